//! The arguments about the signature that a release of ready-made zips has brought along.

use std::path::{Path, PathBuf};

use clap::Args;

use super::misplaced;
use super::signing::read_secret;
use crate::error::Result;
use crate::openpgp::Fingerprint;
use crate::openpgp::certificate::{Certificate, PublishableKey};
use crate::workflow::signature::{GivenKey, Signatures};

#[derive(Debug, Args)]
pub(super) struct SignaturesArgs {
    /// The public key that has signed the SHA256SUMS of ready-made zips: its signature is verified by it, and published.
    /// Then no secret key is needed, and none is read
    #[arg(long, value_name = "FILE", help_heading = "Signing")]
    public_key: Option<PathBuf>,

    /// Sign the SHA256SUMS of ready-made zips by the signing key, whatever signature is beside it; with --public-key, that
    /// one is verified first
    #[arg(long, help_heading = "Signing")]
    sign_again: bool,
}

impl SignaturesArgs {
    /// Whether the run needs a secret key.
    pub(super) fn need_signer(&self) -> bool {
        self.public_key.is_none() || self.sign_again
    }

    /// Reads the public key.
    ///
    /// # Errors
    /// Fails if it cannot be read, or clients do not take it.
    pub(super) fn read(self) -> Result<Signatures> {
        let public_key = self.public_key.as_deref().map(given).transpose()?;
        Ok(Signatures { public_key, sign_again: self.sign_again })
    }
}

/// Reads the key of a release that `--public-key` names.
fn given(file: &Path) -> Result<GivenKey> {
    let name = name(file);
    let key = PublishableKey::read(&name, &read_secret(file, &name)?)?;
    Ok(GivenKey { source: format!("--public-key {name}"), key })
}

/// Reads a key that `--public-key` names, which may have expired since it signed.
///
/// # Errors
/// The file cannot be read, or is not of one key.
pub(super) fn fingerprint(file: &Path) -> Result<Fingerprint> {
    let name = name(file);
    Ok(Certificate::read(&name, &read_secret(file, &name)?)?.fingerprint())
}

fn name(file: &Path) -> String {
    misplaced::name_of(file, "the file that --public-key names")
}
