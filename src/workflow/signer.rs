//! The key that signs: where it is, and how it is opened.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::error::Result;
use crate::openpgp::Signer;
use crate::openpgp::gpg::{CertificateFile, GpgKey, GpgSigner, Settings};
use crate::openpgp::signing_key::{Secret, SigningKey};

/// A key that stays where it is, by its name on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignerReference {
    /// `gpg:FINGERPRINT`: GnuPG has it.
    GnuPg(GpgKey),
}

impl FromStr for SignerReference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("gpg", key)) => key.parse().map(Self::GnuPg),
            _ => Err("expected gpg:FINGERPRINT".to_owned()),
        }
    }
}

impl fmt::Display for SignerReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GnuPg(key) => key.fmt(f),
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
            Self::Signer { reference: SignerReference::GnuPg(key), certificate, gpg } => {
                Ok(Arc::new(GpgSigner::open(key, certificate, passphrase, gpg).await?))
            }
        }
    }
}
