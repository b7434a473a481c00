//! `tfreg list`

use clap::Args;

use super::subject::{PlaceArgs, ReadPlace};
use super::{Environment, GlobalArgs, runtime, stop_signal};
use crate::error::Result;
use crate::provider::ReleaseId;
use crate::report::Reporter;
use crate::workflow::list::{self, Request, Subject};

/// List what is in a registry: its providers, the versions of one, or the platforms of a version
///
/// Of a registry: each provider with its newest version, its platforms and the last publish. Of a provider: each version with
/// its platforms, protocols, date and key, those that are yanked too. Of a version: each platform with the hashes of lock files,
/// size and link, the key's fingerprint, and what the record of the publish says of commit and build. Nothing is written, and
/// nothing is verified but the signature of the record.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  The providers of a registry, in a directory or a bucket:
    tfreg list site
    tfreg list s3://registry-bucket

  The versions of a provider, and one of them:
    tfreg list site acme/sample
    tfreg list site acme/sample@1.2.0

  As clients see it (a host cannot be listed: name the provider):
    tfreg list https://registry.example.com/ acme/sample

  The versions that can be installed, for another program:
    tfreg list site acme/sample --format json |
      jq -r '.versions[] | select(.yanked | not) | .version'

Exit codes:
  0  all could be read
  1  it could not be read: a file, the store or the network
  3  the provider or version is not there; or parts are missing or cannot be
     understood, and the rest is listed")]
pub(super) struct ListArgs {
    #[command(flatten)]
    place: PlaceArgs,
}

pub(super) fn run(
    args: ListArgs,
    global: &GlobalArgs,
    environment: Environment,
    reporter: &Reporter,
) -> Result<()> {
    let ReadPlace { place, named, access, private_links } = args.place.read(environment, "list", reporter)?;
    let subject = match named.map(|named| (named.provider, named.version)) {
        None => Subject::Registry,
        Some((provider, None)) => Subject::Provider(provider),
        Some((provider, Some(version))) => Subject::Version(ReleaseId { provider, version }),
    };
    let request = Request { place, access, private_links, subject, reads: global.jobs().reads };
    let bars = reporter.listing();
    let outcome = runtime()?.block_on(async {
        tokio::select! {
            outcome = list::list(request, &bars) => outcome,
            () = stop_signal()? => Err(crate::error::Error::Interrupted),
        }
    });
    bars.finish();
    let outcome = outcome?;
    reporter.listed(&outcome);
    outcome.verdict()
}
