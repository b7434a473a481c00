//! `tfreg resign`

use std::path::{Path, PathBuf};

use clap::Args;

use super::change::{self, ChangeArgs, Consent};
use super::signing::{SigningArgs, read_secret};
use super::subject::SubjectArgs;
use super::values;
use super::{Environment, GlobalArgs, misplaced, runtime};
use crate::error::{Error, Result};
use crate::openpgp::certificate::{Certificate, PublishableKey};
use crate::openpgp::signing_key::Secret;
use crate::plan::resign::{Renewal, Resign};
use crate::report::Reporter;

/// Sign published versions again, with another key or one that was extended
///
/// After a key has expired, was extended or was lost: new signatures over the SHA256SUMS and the records of publishes that are
/// there, and download documents that embed the new public key. Zips and SHA256SUMS stay, so lock files stay valid. Without VERSION all versions
/// are signed that are listed or yanked.
///
/// A SHA256SUMS is signed again only if it is signed now by the key that its documents embed, and only if you trust that key,
/// because anyone who can write to the registry could embed another one. By default the signing key itself is trusted, which was
/// extended. Name another key with --trust-key FILE, the public half of the old key.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  The key was extended, so its signatures are good; the public half is enough:
    tfreg resign s3://registry-bucket acme/sample --refresh-key --key public.asc

  To a new key, from one that has expired or was lost:
    tfreg resign s3://registry-bucket acme/sample \\
      --signing-key-file new.asc --trust-key old-public.asc

  Only one version, and only the plan:
    tfreg resign site acme/sample@1.2.0 --dry-run preview \\
      --signing-key-file new.asc --trust-key old-public.asc

The public half of a lost key is in every download document that it has signed.
Compare its fingerprint with one that you know before you trust it:
    curl -s https://HOST/registry/NS/TYPE/VERSION/download/OS/ARCH |
      jq -r '.signing_keys.gpg_public_keys[0].ascii_armor' > old-public.asc
    gpg --show-keys old-public.asc")]
pub(super) struct ResignArgs {
    #[command(flatten)]
    subject: SubjectArgs,

    /// The versions [default: all that are listed or yanked]
    #[arg(value_name = "VERSION")]
    versions: Vec<String>,

    #[command(flatten)]
    signing: SigningArgs,

    /// A key, public or secret, whose present signatures are trusted; repeatable [default: the signing key]
    #[arg(long = "trust-key", value_name = "FILE", help_heading = "Signing", conflicts_with = "refresh_key")]
    trusted: Vec<PathBuf>,

    /// Only replace the embedded public key by a newer copy of the same key; nothing is signed
    #[arg(
        long,
        requires = "key",
        conflicts_with_all = ["signing_key_file", "signing_passphrase_file", "signer", "certificate", "signer_profile", "signer_role_arn"],
        help_heading = "Signing"
    )]
    refresh_key: bool,

    /// The newer copy of the public key, from `gpg --armor --export`
    #[arg(long, value_name = "FILE", requires = "refresh_key", help_heading = "Signing")]
    key: Option<PathBuf>,

    #[command(flatten)]
    change: ChangeArgs,
}

/// Reads a key, which may be a secret one.
fn read(path: &Path) -> Result<(String, Secret)> {
    let name = misplaced::name_of(path, "the key's file that was named");
    let key = read_secret(path, &name)?;
    Ok((name, key))
}

/// Reads the keys of --trust-key.
pub(super) fn read_trusted(paths: &[PathBuf], reporter: &Reporter) -> Result<Vec<Certificate>> {
    let mut trusted: Vec<Certificate> = Vec::new();
    for path in paths {
        let (name, bytes) = read(path)?;
        let key = Certificate::read(&name, &bytes)?;
        reporter.note(&format!("trusting what is signed by key {} ({name})", key.fingerprint()));
        // Two copies of a key contain more than one.
        match trusted.iter_mut().find(|other| other.fingerprint() == key.fingerprint()) {
            Some(other) => *other = other.with(&key).map_err(Error::Usage)?,
            None => trusted.push(key),
        }
    }
    Ok(trusted)
}

pub(super) fn run(
    args: ResignArgs,
    global: &GlobalArgs,
    mut environment: Environment,
    reporter: &Reporter,
) -> Result<()> {
    let subject = args.subject.read(args.versions, environment.to.as_deref(), values::target)?;
    let versions = subject.versions()?;
    let runtime = runtime()?;
    let (key, renewal, signer) = if let Some(path) = &args.key {
        let (name, key) = read(path)?;
        (PublishableKey::read(&name, &key)?, Renewal::KeyCopy, None)
    } else {
        let signer = runtime.block_on(args.signing.open(args.change.role_arn(), &mut environment))?;
        let key = signer.public_key().clone();
        if let Some(warning) = key.expiry_warning() {
            reporter.warn(&warning);
        }
        (key, Renewal::Signatures, Some(signer))
    };
    let own = key.certificate().clone();
    let mut trusted = read_trusted(&args.trusted, reporter)?;
    match trusted.iter_mut().find(|other| other.fingerprint() == own.fingerprint()) {
        Some(other) => *other = other.with(&own).map_err(Error::Usage)?,
        None => trusted.push(own),
    }
    let goal = Resign {
        provider: subject.provider().clone(),
        versions: versions.into_iter().collect(),
        key,
        renewal,
        trusted,
    };
    let common = (global, &environment, reporter);
    change::run_in(&runtime, "resign", (&subject, &args.change), &goal, signer, Consent::Given, common)
}
