//! Whose signature a publish has: that of the run's own key, or the one that a release of ready-made zips has brought
//! along.

use std::sync::Arc;

use crate::content::Sealed;
use crate::error::{Error, Refusal, Result};
use crate::openpgp::Signer;
use crate::openpgp::certificate::PublishableKey;
use crate::release::Release;
use crate::release::file::Companion;
use crate::release::name::Form;

/// A public key that the user gives, and where it is from.
pub struct GivenKey {
    /// The option and the file.
    pub source: String,
    /// The key.
    pub key: PublishableKey,
}

/// How the signature that a release has brought along is treated.
#[derive(Default)]
pub struct Signatures {
    /// The key that must have made it.
    pub public_key: Option<GivenKey>,
    /// Whether the run's own key signs SHA256SUMS again.
    pub sign_again: bool,
}

/// The keys of a publish.
pub(super) struct Chosen {
    /// The key that documents embed.
    pub(super) key: PublishableKey,
    /// The release's signature by this key, if it is kept; verified.
    pub(super) kept: Option<Sealed>,
    /// The secret half of this key, if the run has it.
    pub(super) signer: Option<Arc<dyn Signer>>,
}

impl Signatures {
    /// Whether the run needs a secret key.
    #[must_use]
    pub fn need_signer(&self) -> bool {
        self.public_key.is_none() || self.sign_again
    }

    /// Verifies the signature of a release, if it has one, and decides whose signature is published.
    ///
    /// # Errors
    /// Clients would not accept the signature, it is not by the expected key, or there is none where one is expected.
    pub(super) fn choose(&self, release: &Release, signer: Option<Arc<dyn Signer>>) -> Result<Chosen> {
        let Self { public_key, sign_again } = self;
        let verified = match (public_key, &release.sums) {
            (Some(given), _) if release.form == Form::Tarball => {
                return Err(Refusal::new(&given.source, "there is no signature to verify by this key")
                    .found("tarballs, of which zips are made that only this run can sign")
                    .expected("ready-made zips with their SHA256SUMS and its signature")
                    .remedy("leave out --public-key, and sign by --signing-key-file")
                    .into());
            }
            (Some(given), None) => return Err(nothing_to_verify(given, release, "SHA256SUMS").into()),
            (Some(given), Some(sums)) => {
                let Some(Companion { bytes, .. }) = sums.verify(&given.key, &given.source)? else {
                    return Err(nothing_to_verify(given, release, "signature of SHA256SUMS").into());
                };
                Some((given.key.clone(), bytes.clone()))
            }
            (None, Some(sums)) if !sign_again => {
                let Some(key) = signer.as_deref().map(Signer::public_key) else { return Err(no_key()) };
                let signature = sums.verify(key, "the signing key; --public-key names another")?;
                signature.map(|Companion { bytes, .. }| (key.clone(), bytes.clone()))
            }
            (None, _) => None,
        };
        if let Some((key, signature)) = verified.filter(|_| !sign_again) {
            let is_same = |signer: &Arc<dyn Signer>| signer.public_key().fingerprint() == key.fingerprint();
            let signer = signer.filter(is_same);
            return Ok(Chosen { key, kept: Some(Sealed::from_bytes(signature)), signer });
        }
        let signer = signer.ok_or_else(no_key)?;
        Ok(Chosen { key: signer.public_key().clone(), kept: None, signer: Some(signer) })
    }
}

fn no_key() -> Error {
    Error::Usage("no signing key, and no --public-key".to_owned())
}

fn nothing_to_verify(given: &GivenKey, release: &Release, what: &str) -> Refusal {
    let subject = release.artifacts.first().map_or(given.source.as_str(), |zip| zip.file.display());
    Refusal::new(subject, format!("no {what} beside the zips, which {} could verify", given.source))
        .found(format!("no {what}"))
        .expected("the SHA256SUMS of the release with its signature, …_SHA256SUMS.sig")
        .remedy(
            "give both files with the zips, such as the release's whole folder; or, to sign by a key of your own, leave out \
             --public-key",
        )
}
