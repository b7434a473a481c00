//! `tfreg key`

use std::io::Read as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use zeroize::Zeroizing;

use super::key_create::{self, KeyCreateArgs};
use super::signing::{MAX_SECRET, READ_AHEAD, read_secret};
use super::{Environment, misplaced};
use crate::error::{Error, Result};
use crate::openpgp::inspection::{self, Inspection};
use crate::openpgp::signing_key::Secret;
use crate::report::Reporter;

/// Look at a signing key: what it is, and which clients accept signatures by it
///
/// Reads one OpenPGP key, secret or public, armored or binary, and prints its fingerprint, user ids, algorithm, expiry and
/// revocation, the key or subkey that signs, whether tfreg would sign with it, and what each family of Terraform and
/// OpenTofu makes of a signature by it. It needs no passphrase, changes nothing, and prints nothing secret. Exit code 3: not
/// fit to sign with; of a public key, accepted by no client.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  A key before it signs its first release:
    tfreg key key.asc

  The key that a pipeline has in TFREG_SIGNING_KEY:
    tfreg key

  The public key as the registry's documents will embed it:
    tfreg key --public key.asc > public.asc

  The key in a document of a registry:
    jq -r '.signing_keys.gpg_public_keys[0].ascii_armor' \\
      site/registry/acme/sample/1.2.0/download/linux/amd64 | tfreg key -

  The clients that reject it, for another program:
    tfreg key --format json key.asc |
      jq '.clients[] | select(.verdict == \"rejects\")'")]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
pub(super) struct KeyArgs {
    #[command(subcommand)]
    command: Option<KeyCommand>,

    /// The file with the key; - is standard input [default: the text in TFREG_SIGNING_KEY]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,

    /// Print the public key exactly as the registry's documents embed it, and nothing else
    #[arg(long)]
    public: bool,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    Create(Box<KeyCreateArgs>),
}

impl KeyArgs {
    /// The key's text, and its name for messages.
    fn read(&self, environment: Environment) -> Result<(String, Secret)> {
        match (&self.file, environment.signing_key) {
            (Some(file), _) if file.as_os_str() == "-" => {
                let mut bytes = Zeroizing::new(Vec::with_capacity(READ_AHEAD));
                std::io::stdin().lock().take(MAX_SECRET).read_to_end(&mut bytes).map_err(|source| {
                    Error::Io { context: "cannot read standard input".to_owned(), source }
                })?;
                Ok(("standard input".to_owned(), Secret::from(bytes)))
            }
            (Some(file), _) => {
                let name = misplaced::name_of(file, "the FILE that was named");
                let key = read_secret(file, &name)?;
                Ok((name, key))
            }
            (None, Some(text)) => Ok(("TFREG_SIGNING_KEY".to_owned(), text)),
            (None, None) => Err(Error::Usage(
                "no key: name its FILE, - for standard input, or put its text into TFREG_SIGNING_KEY"
                    .to_owned(),
            )),
        }
    }
}

pub(super) fn run(args: &KeyArgs, environment: Environment, reporter: &Reporter) -> Result<()> {
    if let Some(KeyCommand::Create(args)) = &args.command {
        return key_create::run(args, &environment, reporter);
    }
    let (source, key) = args.read(environment)?;
    if args.public {
        reporter.public_key(&inspection::embedded_certificate(&source, &key)?);
        return Ok(());
    }
    let inspection = Inspection::read(&source, &key)?;
    reporter.key(&inspection);
    inspection.fit().map_err(|refusal| Error::Reported(Box::new(refusal)))
}
