//! What a mirror keeps of other registries, in `store/HOST/…`: zips, SHA256SUMS and signatures, byte for byte as upstream
//! has them, and what upstream's documents say beside.

use std::fmt;

use serde_json::json;

use crate::content::ShortDigest;
use crate::openpgp::{Fingerprint, KeyId};
use crate::provider::{Platform, ReleaseId};
use crate::registry::file_name::FileName;
use crate::registry::layout::{Key, NotAKey};
use crate::registry::mirror::MirrorHost;

/// The name of the facts of upstream's documents.
const FACTS: &str = "upstream.json";

/// An object that is kept of another registry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeptKey {
    /// The registry's host.
    pub host: MirrorHost,
    /// The release there.
    pub release: ReleaseId,
    /// Which object of the release.
    pub object: KeptObject,
}

/// What is kept of a release.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeptObject {
    /// A platform's zip.
    Zip {
        /// The platform.
        platform: Platform,
        /// The zip's own digest.
        digest: ShortDigest,
    },
    /// A SHA256SUMS.
    Sums {
        /// Its own digest.
        digest: ShortDigest,
    },
    /// A signature of a SHA256SUMS.
    Signature {
        /// The digest of the SHA256SUMS.
        digest: ShortDigest,
        /// The key that signed it.
        key_id: KeyId,
    },
    /// What upstream's documents say of a release with this SHA256SUMS.
    Facts {
        /// The digest of the SHA256SUMS.
        digest: ShortDigest,
    },
}

impl KeptKey {
    /// The content type that clients get.
    #[must_use]
    pub fn content_type(&self) -> &'static str {
        match self.object {
            KeptObject::Zip { .. } => "application/zip",
            KeptObject::Sums { .. } => "text/plain; charset=utf-8",
            KeptObject::Signature { .. } => "application/pgp-signature",
            KeptObject::Facts { .. } => "application/json",
        }
    }

    /// The key of an object in the folder `digest` of this release, if a file of this name can be there.
    pub(in crate::registry) fn of(
        host: MirrorHost,
        release: ReleaseId,
        digest: ShortDigest,
        name: &str,
    ) -> Result<Self, NotAKey> {
        let object = match FileName::of(&release, name) {
            Some(FileName::Zip(platform)) => KeptObject::Zip { platform, digest },
            Some(FileName::Sums) => KeptObject::Sums { digest },
            Some(FileName::Signature(key_id)) => KeptObject::Signature { digest, key_id },
            None if name == FACTS => KeptObject::Facts { digest },
            None => return Err(NotAKey),
        };
        Ok(Self { host, release, object })
    }
}

impl fmt::Display for KeptKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, release, object } = self;
        let (digest, name) = match object {
            KeptObject::Zip { platform, digest } => {
                (digest, FileName::Zip(platform.clone()).in_full(release))
            }
            KeptObject::Sums { digest } => (digest, FileName::Sums.in_full(release)),
            KeptObject::Signature { digest, key_id } => {
                (digest, FileName::Signature(key_id.clone()).in_full(release))
            }
            KeptObject::Facts { digest } => (digest, FACTS.to_owned()),
        };
        write!(f, "store/{host}/{}/{}/{digest}/{name}", release.provider, release.version)
    }
}

/// What upstream's documents say of a release, beside the zips and their digests.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The plugin protocols, as written.
    pub protocols: &'a [String],
    /// The id of the key that has signed, as clients name it.
    pub key_id: &'a KeyId,
    /// Its fingerprint.
    pub fingerprint: &'a Fingerprint,
    /// Its armored public key.
    pub public_key: &'a str,
}

impl Facts<'_> {
    /// The document's bytes; it is written once and never changed.
    #[must_use]
    pub fn to_bytes(&self, host: &MirrorHost, release: &ReleaseId) -> Vec<u8> {
        let document = json!({
            "source": format!("{host}/{}", release.provider),
            "version": release.version.to_string(),
            "protocols": self.protocols,
            "signing_keys": { "gpg_public_keys": [{
                "key_id": self.key_id.as_str(),
                "fingerprint": self.fingerprint.to_string(),
                "ascii_armor": self.public_key,
            }]},
        });
        format!("{document:#}\n").into_bytes()
    }
}

impl From<KeptKey> for Key {
    fn from(key: KeptKey) -> Self {
        Self::Kept(key)
    }
}
