//! The key that signs: where it is, and how it is opened.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::kms::{Kms, KmsKey};
use crate::openpgp::Signer;
use crate::openpgp::gpg::{CertificateFile, GpgKey, GpgSigner, Settings};
use crate::openpgp::signing_key::{Secret, SigningKey};
use crate::store::access::Access;

/// The option that names the profile of an [`Access`] to KMS.
pub const PROFILE_OPTION: &str = "--signer-profile";

/// A key that stays where it is, by its name on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignerReference {
    /// `gpg:FINGERPRINT`: GnuPG has it.
    GnuPg(GpgKey),
    /// `awskms:ARN`, or `awskms:///ARN`: AWS KMS has it.
    Kms(KmsKey),
}

impl FromStr for SignerReference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("gpg", key)) => key.parse().map(Self::GnuPg),
            Some(("awskms", key)) => key.parse().map(Self::Kms),
            _ => Err("expected gpg:FINGERPRINT or awskms:ARN".to_owned()),
        }
    }
}

impl fmt::Display for SignerReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GnuPg(key) => key.fmt(f),
            Self::Kms(key) => key.fmt(f),
        }
    }
}

/// Where the key that signs is.
pub enum KeySource {
    /// In a text, the name of which is for messages.
    Text {
        /// The name.
        name: String,
        /// The text.
        key: Secret,
    },
    /// Where it stays.
    Signer {
        /// Its name.
        reference: SignerReference,
        /// The public half, if it is in a file.
        certificate: Option<CertificateFile>,
        /// How GnuPG is run.
        gpg: Settings,
        /// The account that may use a key of KMS.
        access: Box<Access>,
    },
}

impl KeySource {
    /// Opens the key, once for each run.
    ///
    /// # Errors
    /// There is no such key, clients could not verify its signatures, or the passphrase is missing or wrong.
    pub async fn open(self, passphrase: Option<Secret>) -> Result<Arc<dyn Signer>> {
        match self {
            Self::Text { name, key } => Ok(Arc::new(SigningKey::read(&name, &key, passphrase.as_ref())?)),
            Self::Signer { reference: SignerReference::GnuPg(key), certificate, gpg, .. } => {
                Ok(Arc::new(GpgSigner::open(key, certificate, passphrase, gpg).await?))
            }
            Self::Signer { reference: SignerReference::Kms(key), certificate, access, .. } => {
                let Some(certificate) = certificate else { return Err(no_certificate(&key)) };
                Ok(Arc::new(Kms::open(key, &access, PROFILE_OPTION).await?.signer(&certificate)?))
            }
        }
    }
}

fn no_certificate(key: &KmsKey) -> Error {
    Error::Usage(format!(
        "a key of AWS KMS has no OpenPGP certificate of its own: name it by --certificate FILE; it is made once, by `tfreg key \
         create --signer {key} --user-id 'NAME <MAIL>' --expires 2y > FILE`"
    ))
}
