//! `tfreg mirror`

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;

use super::change::{ChangeArgs, Opened};
use super::invalidation::tell;
use super::{Environment, GlobalArgs, client_config, runtime, signatures, stop_signal, values};
use crate::error::{Error, Result};
use crate::provider::Platform;
use crate::release::archive::Limits;
use crate::report::Reporter;
use crate::workflow::invalidation::{Kept, Ledger};
use crate::workflow::mirror::{Request, Wanted};
use crate::workflow::target::{Target, check_dry_run, scratch};

/// Mirror providers of other registries into the registry's network mirror
///
/// Reads another registry as `terraform init` does, verifies the signature of each version, and keeps its zips, SHA256SUMS and
/// signature in TARGET, whose network mirror then offers them under their own addresses. The registry needs a network mirror:
/// `tfreg init TARGET --base-url URL --network-mirror`. Running it again fetches and writes only what is not there yet.
///
/// The key that has signed is shown and recorded when a provider is mirrored first; or --public-key pins it. Later another key is
/// refused, until --public-key names it.
///
/// Tokens are read as terraform does: from TF_TOKEN_host_name, and from credentials blocks of the CLI configuration
/// (TF_CLI_CONFIG_FILE; else ~/.terraformrc, ~/.tofurc and ~/.terraform.d/credentials.tfrc.json).
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  The newest version of a provider that is no pre-release:
    tfreg mirror --to s3://registry-bucket registry.example.org/acme/sample

  All versions that meet a constraint, for two platforms:
    tfreg mirror --to s3://registry-bucket --platform linux_amd64,darwin_arm64 \\
      'registry.example.org/acme/sample@>= 1.2, < 2.0'

  Signed by a key that was had by another way:
    tfreg mirror --to s3://registry-bucket --public-key public.asc \\
      registry.example.org/acme/sample@1.2.0

  What would be done, without writing to the registry:
    tfreg mirror --to site --dry-run preview registry.example.org/acme/sample

Constraints are Terraform's: 1.2.3, ~> 1.2, \">= 1.2, < 2.0\", != 1.2.4. All
versions that meet one are mirrored, pre-releases only if they are named
exactly. What upstream removes later stays in the mirror.")]
pub(super) struct MirrorArgs {
    /// A provider of another registry, as in source addresses, and which of its versions
    /// [default: the newest one that is no pre-release]
    #[arg(value_name = "HOST/NS/TYPE[@CONSTRAINT]", required = true, value_parser = values::mirrored)]
    wanted: Vec<Wanted>,

    /// Where the registry with the network mirror is: a directory, or s3://BUCKET[/PREFIX]
    #[arg(long, value_name = "TARGET", env = "TFREG_TO", hide_env_values = true, value_parser = values::target)]
    to: Target,

    /// Only this platform; repeatable. Others that the mirror has stay [default: all of a version]
    #[arg(long = "platform", value_name = "OS_ARCH", value_delimiter = ',')]
    platforms: Vec<Platform>,

    /// The public key that signs the providers' releases; repeatable. No other key is taken, but those that are recorded
    #[arg(long = "public-key", value_name = "FILE")]
    public_keys: Vec<PathBuf>,

    /// Follow the links of a public host to private addresses too, inside of your network
    #[arg(long)]
    allow_private_links: bool,

    #[command(flatten)]
    change: ChangeArgs,

    /// Files and folders that a zip may hold
    #[arg(long, value_name = "N", default_value_t = Limits::default().entries, help_heading = "Limits")]
    max_entries: u64,

    /// Bytes that a zip may hold, unpacked
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().unpacked_bytes, help_heading = "Limits")]
    max_unpacked_bytes: u64,
}

pub(super) fn run(
    args: MirrorArgs,
    global: &GlobalArgs,
    environment: &Environment,
    reporter: &Reporter,
) -> Result<()> {
    let started = Instant::now();
    let dry_run = args.change.dry_run().map(ToOwned::to_owned);
    check_dry_run(&args.to, dry_run.as_deref())?;
    let Opened { access, options, invalidation } =
        args.change.open(&args.to, (global, environment, reporter), None)?;
    let request = Request {
        wanted: args.wanted,
        platforms: args.platforms.into_iter().collect(),
        given: args.public_keys.iter().map(|file| signatures::fingerprint(file)).collect::<Result<_>>()?,
        config: client_config::read(reporter)?,
        ca_bundle: environment.ca_bundle()?,
        private_links: args.allow_private_links,
        scratch: scratch(&args.to, dry_run.as_deref()),
        target: args.to,
        access,
        dry_run,
        limits: Limits { entries: args.max_entries, unpacked_bytes: args.max_unpacked_bytes },
        options,
    };
    let runtime = runtime()?;
    let prepared = runtime.block_on(async {
        tokio::select! {
            prepared = request.prepare(reporter) => prepared,
            () = stop_signal()? => Err(Error::Interrupted),
        }
    })?;
    let progress = prepared.progress();
    let ledger = Ledger::default();
    let observer = Kept { observer: reporter, ledger: &ledger };
    let outcome = runtime.block_on(async {
        tokio::select! {
            outcome = prepared.mirror(&observer) => outcome,
            () = stop_signal()? => Err(progress.stopped(Error::Interrupted)),
        }
    });
    let told = tell(&runtime, invalidation.as_ref(), &ledger, outcome.is_ok(), reporter)?;
    reporter.mirrored(&outcome?, told.as_ref(), started.elapsed());
    Ok(())
}
