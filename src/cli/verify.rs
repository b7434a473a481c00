//! `tfreg verify`

use std::time::Instant;

use clap::Args;

use super::subject::{PlaceArgs, ReadPlace};
use super::{Environment, GlobalArgs, runtime, stop_signal};
use crate::error::{Error, Result};
use crate::provider::{Namespace, ProviderType, Version};
use crate::report::Reporter;
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
    #[command(flatten)]
    place: PlaceArgs,

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
    let ReadPlace { place, named, access, private_links } =
        args.place.read(environment, "verify", reporter)?;
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
    let reads = global.jobs().reads;
    let verifying = async {
        let reader = open_reader(&place, &access, private_links).await?;
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
