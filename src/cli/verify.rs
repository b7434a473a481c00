//! `tfreg verify`

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;

use super::subject;
use super::target::{access_to, check_exists, patience};
use super::{Environment, GlobalArgs, runtime, stop_signal};
use crate::error::{Error, Result};
use crate::provider::{Namespace, ProviderType, Version};
use crate::report::Reporter;
use crate::store::budget::DEFAULT_PATIENCE;
use crate::verify::{self, Depth, Extent, Scope};
use crate::workflow::target::open_reader;

/// Verify a registry: read it back as clients do, and check every claim that they rely on
///
/// Reads a directory, a bucket, or the public address through the CDN: discovery, the index, every download document,
/// SHA256SUMS, the signature and its key, every zip. Each finding is an error (clients, or the next publish, would fail) or a
/// warning, and says why it matters and what to do. Nothing is written. Exit code 3: there are errors.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  A registry in a directory or a bucket, all of it:
    tfreg verify site
    tfreg verify s3://registry-bucket

  What users get, through the CDN (a host cannot be listed: name the provider):
    tfreg verify https://registry.example.com/ acme/sample

  One version, without downloading its zips:
    tfreg verify site acme/sample@1.2.0 --quick

  The errors, for another program:
    tfreg verify site --format json |
      jq '[.findings[] | select(.severity == \"error\")]'

Exit codes:
  0  no errors; there may be warnings
  1  it could not be read: a file, the store or the network
  3  errors: clients, or the next publish, would fail")]
pub(super) struct VerifyArgs {
    /// The registry: a directory, s3://BUCKET[/PREFIX], or https://HOST/ as clients see it. Not given where --to or TFREG_TO
    /// names it
    #[arg(value_name = "TARGET|URL")]
    target: Option<String>,

    /// Only this provider, or this version of it; for a host the provider is needed
    #[arg(value_name = "NS/TYPE[@VERSION]")]
    provider: Option<String>,

    /// The same as TARGET|URL; or in TFREG_TO
    #[arg(long, value_name = "TARGET|URL")]
    to: Option<String>,

    /// Only this namespace
    #[arg(long, value_name = "NS")]
    namespace: Option<Namespace>,

    /// Only this provider type
    #[arg(long = "type", value_name = "TYPE")]
    provider_type: Option<ProviderType>,

    /// Only this version
    #[arg(long, value_name = "V", value_parser = Version::from_tag)]
    version: Option<Version>,

    /// Download no zips: ask whether they are there, and compare the checksums that the store keeps
    #[arg(long)]
    quick: bool,

    /// A PEM file of certificates to trust beside the system's, instead of those of AWS_CA_BUNDLE
    #[arg(long, value_name = "PEM")]
    ca_file: Option<PathBuf>,

    /// Follow the links of a public host to private addresses too, inside of your network
    ///
    /// A host may lead anywhere. Only https is followed, and only to public addresses, or to those of the network in which the
    /// host itself is. Link-local and loopback addresses stay closed.
    #[arg(long)]
    allow_private_links: bool,

    /// Read no zip that is larger; zips go to TMPDIR, a few at a time
    #[arg(long, value_name = "MIB", default_value_t = verify::MAX_ZIP >> 20)]
    max_zip_mib: u64,
}

pub(super) fn run(
    args: VerifyArgs,
    global: &GlobalArgs,
    environment: Environment,
    reporter: &Reporter,
) -> Result<()> {
    let started = Instant::now();
    let words = args.target.into_iter().chain(args.provider).collect();
    let (place, named) = subject::place(words, args.to, environment.to.as_deref())?;
    if named.is_some() && (args.namespace.is_some() || args.provider_type.is_some() || args.version.is_some())
    {
        return Err(Error::Usage(
            "the provider is named twice: give NS/TYPE[@VERSION], or --namespace, --type and --version"
                .to_owned(),
        ));
    }
    let (provider, version) = named.map(|named| (named.provider, named.version)).unzip();
    let (namespace, provider_type) =
        provider.map(|provider| (provider.namespace, provider.provider_type)).unzip();
    let scope = Scope {
        namespace: namespace.or(args.namespace),
        provider_type: provider_type.or(args.provider_type),
        versions: version.flatten().or(args.version).into_iter().collect(),
        depth: if args.quick { Depth::Quick } else { Depth::Full },
        extent: Extent::Registry,
        max_zip: args.max_zip_mib.saturating_mul(1 << 20),
    };
    check_exists(&place, "verify")?;
    let ca_file = args.ca_file.map(|path| ("--ca-file", path));
    let environment = Environment { ca_bundle: ca_file.or(environment.ca_bundle), ..environment };
    let mut access = access_to(&place, &environment)?;
    access.patience = patience(DEFAULT_PATIENCE, reporter);
    let reads = global.jobs().reads;
    let verifying = async {
        let reader = open_reader(&place, &access, args.allow_private_links).await?;
        let bars = reporter.verifying(&reader.describe());
        let verification = verify::verify(&reader, &scope, reads, &bars).await;
        bars.finish();
        let verification = verification?;
        reporter.verified(&verification, started.elapsed());
        match verification.refusal() {
            None => Ok(()),
            Some(refusal) => Err(Error::Reported(Box::new(refusal))),
        }
    };
    runtime()?.block_on(async {
        tokio::select! {
            outcome = verifying => outcome,
            () = stop_signal()? => Err(Error::Interrupted),
        }
    })
}
