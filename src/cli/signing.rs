//! The options that name the key that signs, for every command that signs.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use zeroize::Zeroizing;

use super::{Environment, misplaced, values};
use crate::error::{Error, Result};
use crate::openpgp::Signer;
use crate::openpgp::gpg::{self, CertificateFile};
use crate::openpgp::signing_key::Secret;
use crate::regular;
use crate::store::access::Access;
use crate::workflow::signer::{KeySource, SignerReference};

#[derive(Debug, Args)]
pub(super) struct SigningArgs {
    /// The armored secret key that signs, from `gpg --armor --export-secret-keys`; or its text in TFREG_SIGNING_KEY
    #[arg(long, value_name = "FILE", help_heading = "Signing")]
    signing_key_file: Option<PathBuf>,

    /// A file with the key's passphrase; or the passphrase in TFREG_SIGNING_PASSPHRASE
    #[arg(long, value_name = "FILE", help_heading = "Signing")]
    signing_passphrase_file: Option<PathBuf>,

    /// The key that signs, where it stays; or in TFREG_SIGNER. gpg:FINGERPRINT: GnuPG has it, in its keyring, on a card or
    /// behind a forwarded agent; with a ! behind the fingerprint, exactly this subkey signs. awskms:ARN: AWS KMS has it
    #[arg(
        long,
        value_name = "SIGNER",
        value_parser = values::signer,
        conflicts_with = "signing_key_file",
        help_heading = "Signing"
    )]
    signer: Option<SignerReference>,

    /// The public half of --signer: from `gpg --armor --export`; of a key of AWS KMS, for which it is needed, from
    /// `tfreg key create` [default: from GnuPG's keyring]
    #[arg(long, value_name = "FILE", conflicts_with = "signing_key_file", help_heading = "Signing")]
    certificate: Option<PathBuf>,

    #[command(flatten)]
    account: SignerAccountArgs,
}

/// The account that may use a key of AWS KMS.
#[derive(Debug, Args)]
pub(super) struct SignerAccountArgs {
    /// The AWS profile that may use a key of AWS KMS [default: the credentials that write the registry]
    #[arg(long, value_name = "NAME", help_heading = "Signing")]
    signer_profile: Option<String>,

    /// The role that is assumed to use a key of AWS KMS
    #[arg(long, value_name = "ARN", help_heading = "Signing")]
    signer_role_arn: Option<String>,
}

impl SignerAccountArgs {
    /// Access to KMS: the options' own, or the account that writes the registry, by `role_arn` if one is assumed.
    pub(super) fn access(&self, role_arn: Option<&str>, environment: &Environment) -> Result<Access> {
        environment.check_endpoints()?;
        let set = |value: Option<&str>| value.filter(|text| !text.is_empty()).map(str::to_owned);
        let (profile, role) = (set(self.signer_profile.as_deref()), set(self.signer_role_arn.as_deref()));
        let is_own = profile.is_some() || role.is_some();
        Ok(Access {
            profile,
            role_arn: if is_own { role } else { set(role_arn) },
            ca_bundle: environment.ca_bundle()?,
            ..Access::default()
        })
    }

    fn is_given(&self) -> bool {
        self.signer_profile.is_some() || self.signer_role_arn.is_some()
    }
}

impl SigningArgs {
    /// Opens the key: one that stays elsewhere, or the text of one in a file or in the environment. It is unlocked here,
    /// once for each run. `role_arn` is the role that writes the registry, if one is assumed.
    ///
    /// # Errors
    /// Fails if there is no key, or more than one, or it cannot sign for clients.
    pub(super) async fn open(
        &self,
        role_arn: Option<&str>,
        environment: &mut Environment,
    ) -> Result<Arc<dyn Signer>> {
        let source = self.source(role_arn, environment)?;
        let passphrase = match &self.signing_passphrase_file {
            // Its name is not repeated in messages: it may be the passphrase itself.
            Some(file) => Some(read_secret(file, "the file that --signing-passphrase-file names")?),
            None => environment.signing_passphrase.take(),
        };
        source.open(passphrase.map(Secret::without_line_end)).await
    }

    /// Refuses options that name a key for a run in which no key signs.
    ///
    /// # Errors
    /// Fails if there is one.
    pub(super) fn refuse_beside_public_key(&self) -> Result<()> {
        let given = [
            ("--signing-key-file", self.signing_key_file.is_some()),
            ("--signer", self.signer.is_some()),
            ("--certificate", self.certificate.is_some()),
            ("--signer-profile", self.account.signer_profile.is_some()),
            ("--signer-role-arn", self.account.signer_role_arn.is_some()),
        ];
        match given.into_iter().find(|(_, is_given)| *is_given) {
            None => Ok(()),
            Some((option, _)) => Err(Error::Usage(format!(
                "{option}: with --public-key, the signature of the release is published, and no other key signs; add \
                 --sign-again to sign by this key, or leave one of the two out"
            ))),
        }
    }

    fn source(&self, role_arn: Option<&str>, environment: &mut Environment) -> Result<KeySource> {
        let usage = |text: &str| Err(Error::Usage(text.to_owned()));
        let key = environment.signing_key.take();
        let signer = match (&self.signer, &environment.signer) {
            (Some(signer), _) => Some(signer.clone()),
            (None, Some(text)) => Some(
                values::signer(text)
                    .map_err(|error| Error::Usage(format!("TFREG_SIGNER {text:?}: {error}")))?,
            ),
            (None, None) => None,
        };
        match (&self.signing_key_file, key, signer) {
            (Some(_), _, Some(_)) => usage(
                "two keys that sign: --signing-key-file and TFREG_SIGNER; give one of them, and unset the other",
            ),
            (None, Some(_), Some(_)) => usage(
                "two keys that sign: the key's text (TFREG_SIGNING_KEY, or the setting signing_key) and --signer (or TFREG_SIGNER); \
                 give one of them, and unset the other",
            ),
            (_, _, None) if self.certificate.is_some() => {
                usage("--certificate is the public half of a --signer, and none is given")
            }
            (_, _, signer) if self.account.is_given() && !matches!(signer, Some(SignerReference::Kms(_))) => {
                usage(
                    "--signer-profile and --signer-role-arn are about a key of AWS KMS (--signer awskms:ARN)",
                )
            }
            (None, None, None) => usage(
                "no signing key: give --signing-key-file FILE, or the key's text in TFREG_SIGNING_KEY; or name by --signer a key \
                 that stays where it is (`tfreg publish --public-key FILE`, without --sign-again, needs none: it publishes zips by \
                 the signature that they have)",
            ),
            (Some(file), _, None) => {
                let name = misplaced::name_of(file, "the file that --signing-key-file names");
                let key = read_secret(file, &name)?;
                Ok(KeySource::Text { name, key })
            }
            (None, Some(key), None) => Ok(KeySource::Text { name: "TFREG_SIGNING_KEY".to_owned(), key }),
            (None, None, Some(reference)) => {
                let certificate = self.certificate.as_deref().map(certificate).transpose()?;
                let terminal = if environment.has_gpg_tty { None } else { gpg::terminal() };
                let gpg = gpg::Settings { terminal, ..gpg::Settings::default() };
                let access = match &reference {
                    SignerReference::Kms(_) => Box::new(self.account.access(role_arn, environment)?),
                    SignerReference::GnuPg(_) => Box::default(),
                };
                Ok(KeySource::Signer { reference, certificate, gpg, access })
            }
        }
    }
}

fn certificate(file: &Path) -> Result<CertificateFile> {
    let name = misplaced::name_of(file, "the file that --certificate names");
    let text = read_secret(file, &name)?;
    Ok(CertificateFile { name, text })
}

pub(super) const MAX_SECRET: u64 = 4 << 20;
/// The minimum size of the buffer: pipes, such as `<(pass show key)`, do not report their length.
pub(super) const READ_AHEAD: usize = 256 << 10;

/// Reads the file of a key or a passphrase; `name` is its name in messages.
pub(super) fn read_secret(file: &Path, name: &str) -> Result<Secret> {
    let failed = |source| Error::Io { context: format!("cannot read {name}"), source };
    let file = regular::open_or_handed_over(file).map_err(failed)?;
    // A buffer that grows leaves copies of parts of the secret behind, which are not wiped. A file with a larger length
    // is read all the same.
    let size = file.metadata().map_or(0, |found| found.len()).min(MAX_SECRET);
    let size = usize::try_from(size).unwrap_or(0).max(READ_AHEAD);
    let mut bytes = Zeroizing::new(Vec::with_capacity(size + 1));
    // A key with many signatures on it has some 100 KiB; a far larger file is something else.
    file.take(MAX_SECRET).read_to_end(&mut bytes).map_err(failed)?;
    Ok(Secret::from(bytes))
}
