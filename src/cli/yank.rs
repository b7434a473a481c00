//! `tfreg yank` and `tfreg unyank`

use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;

use super::change::{self, ChangeArgs, Consent};
use super::resign::read_trusted;
use super::subject::SubjectArgs;
use super::values;
use super::{Environment, GlobalArgs};
use crate::error::{Error, Result};
use crate::plan::completeness::Trust;
use crate::plan::unyank::Unyank;
use crate::plan::yank::Yank;
use crate::plan::yank_expired::YankExpired;
use crate::report::Reporter;

/// Take a version out of the index; its objects stay
///
/// Clients do not find the version any more. `terraform init` fails where a lock file or an exact constraint names it; a
/// copy that is installed goes on working. A publish of the version is refused until `tfreg unyank` puts it back. Nothing is
/// deleted.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  Without being asked, as in a pipeline:
    tfreg yank s3://registry-bucket acme/sample@1.2.0 \\
      --reason \"deletes tags\" --yes

  What would be done, without writing to the target:
    tfreg yank site acme/sample@1.2.0 --dry-run preview

  Pre-releases that are older than 90 days, but for the newest five:
    tfreg yank site acme/sample --prereleases --older-than 90d --keep 5 --yes")]
pub(super) struct YankArgs {
    #[command(flatten)]
    subject: SubjectArgs,

    /// The version, if it is not named with the provider
    #[arg(value_name = "VERSION")]
    version: Option<String>,

    /// Why; kept in the record of the yank, and shown when somebody publishes the version
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,

    /// Do not ask for confirmation; needed where standard input is not a terminal
    #[arg(long)]
    yes: bool,

    #[command(flatten)]
    expired: ExpiredArgs,

    #[command(flatten)]
    change: ChangeArgs,
}

/// Which pre-releases are yanked, in place of one version.
#[derive(Debug, Args)]
#[command(next_help_heading = "Expired pre-releases")]
struct ExpiredArgs {
    /// Yank pre-releases that are too old, in place of one version
    #[arg(long, requires = "older_than", conflicts_with = "version")]
    prereleases: bool,

    /// Those that were published before: how long ago (90d), or a date. A version whose entry of the index has no date is left alone
    #[arg(long, value_name = "TIME", requires = "prereleases", value_parser = before)]
    older_than: Option<Timestamp>,

    /// How many of the newest pre-releases stay, whatever their age [default: 5]
    #[arg(long, value_name = "N", requires = "prereleases")]
    keep: Option<usize>,
}

/// Reads a moment, in relation to now.
fn before(text: &str) -> Result<Timestamp, String> {
    values::moment(text, Timestamp::now())
}

/// Put a yanked version back into the index
///
/// The version is listed again, for the platforms whose download documents are there, once all that they point to is proven
/// to be there, and signed. It can be published again too.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  Put a version back:
    tfreg unyank s3://registry-bucket acme/sample@1.2.0

  What would be done, without writing to the target:
    tfreg unyank site acme/sample@1.2.0 --dry-run preview")]
pub(super) struct UnyankArgs {
    #[command(flatten)]
    subject: SubjectArgs,

    /// The version, if it is not named with the provider
    #[arg(value_name = "VERSION")]
    version: Option<String>,

    /// A key, public or secret, that must have signed what is listed anew; repeatable [default: any, if it is one key for all,
    /// which the plan shows]
    #[arg(long = "trust-key", value_name = "FILE")]
    trusted: Vec<PathBuf>,

    #[command(flatten)]
    change: ChangeArgs,
}

/// How many pre-releases stay, unless the command line says otherwise.
const KEPT: usize = 5;

pub(super) fn yank(
    args: YankArgs,
    global: &GlobalArgs,
    environment: &Environment,
    reporter: &Reporter,
) -> Result<()> {
    if let Some(reason) =
        args.reason.as_ref().filter(|text| text.trim().is_empty() || text.chars().any(char::is_control))
    {
        return Err(Error::Usage(format!("--reason {reason:?}: it has to be text, of one line")));
    }
    let subject =
        args.subject.read(args.version.into_iter().collect(), environment.to.as_deref(), values::target)?;
    let now = Timestamp::now();
    if let Some(before) = args.expired.older_than.filter(|_| args.expired.prereleases) {
        subject.no_version()?;
        let words = format!(
            "Clients will not find these pre-releases of {} any more:\n\
             terraform init fails for lock files and constraints that name one of them.",
            subject.provider()
        );
        let provider = subject.provider().clone();
        let keep = args.expired.keep.unwrap_or(KEPT);
        let goal = YankExpired { provider, before, keep, reason: args.reason, now };
        let consent = Consent::new(args.yes, words);
        let common = (global, environment, reporter);
        return change::run("yank", (&subject, &args.change), &goal, None, consent, common);
    }
    let version = subject.version()?;
    let words = format!(
        "Clients will not find version {} of {} any more:\n\
         terraform init fails for lock files and constraints that name it.",
        version,
        subject.provider()
    );
    let goal = Yank { provider: subject.provider().clone(), version, reason: args.reason, now };
    let consent = Consent::new(args.yes, words);
    change::run("yank", (&subject, &args.change), &goal, None, consent, (global, environment, reporter))
}

pub(super) fn unyank(
    args: UnyankArgs,
    global: &GlobalArgs,
    environment: &Environment,
    reporter: &Reporter,
) -> Result<()> {
    let subject =
        args.subject.read(args.version.into_iter().collect(), environment.to.as_deref(), values::target)?;
    let goal = Unyank {
        provider: subject.provider().clone(),
        version: subject.version()?,
        trust: Trust::new(read_trusted(&args.trusted, reporter)?),
        now: Timestamp::now(),
    };
    let common = (global, environment, reporter);
    change::run("unyank", (&subject, &args.change), &goal, None, Consent::Given, common)
}
