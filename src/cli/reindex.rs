//! `tfreg reindex`

use std::path::PathBuf;

use clap::Args;

use super::change::{self, About, ChangeArgs, Consent};
use super::resign::read_trusted;
use super::subject::SubjectArgs;
use super::values;
use super::{Environment, GlobalArgs};
use crate::error::Result;
use crate::plan::align::Align;
use crate::plan::completeness::Trust;
use crate::plan::reindex::Reindex;
use crate::report::Reporter;

/// Compute the index of a provider again from its download documents; with --all, bring every document in line with the settings
///
/// For an index that was deleted or damaged by hand. It lists every version whose download documents can be read and point
/// to a zip, a SHA256SUMS of this version, and a signature of it that verifies. Incomplete and yanked versions are skipped and
/// reported. Warnings and other members of the old index are kept, if it can be read.
///
/// With --all and without NS/TYPE: brings the documents of all providers, the files of the network mirror, and discovery in line
/// with the registry's settings, after `tfreg init` has changed them. Indexes, zips and signatures stay as they are. A run that
/// was stopped is completed by running it again.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  Look at the plan only; the new index is left in DIR:
    tfreg reindex site acme/sample --dry-run preview

  Without being asked, as in a pipeline:
    tfreg reindex s3://registry-bucket acme/sample --yes

  After the registry's address was set by tfreg init:
    tfreg reindex s3://registry-bucket --all --dry-run preview
    tfreg reindex s3://registry-bucket --all --yes")]
pub(super) struct ReindexArgs {
    #[command(flatten)]
    subject: SubjectArgs,

    /// Do not ask for confirmation; needed where standard input is not a terminal
    #[arg(long)]
    yes: bool,

    /// Bring the documents of all providers in line with the registry's settings
    #[arg(long)]
    all: bool,

    /// A key, public or secret, that must have signed what is listed anew; repeatable [default: any, if it is one key for all,
    /// which the plan shows]
    #[arg(long = "trust-key", value_name = "FILE", conflicts_with = "all")]
    trusted: Vec<PathBuf>,

    #[command(flatten)]
    change: ChangeArgs,
}

pub(super) fn run(
    args: ReindexArgs,
    global: &GlobalArgs,
    environment: &Environment,
    reporter: &Reporter,
) -> Result<()> {
    let common = (global, environment, reporter);
    if args.all {
        let target = args.subject.read_target(environment.to.as_deref(), values::target)?;
        let words = "Clients get the links that the plan says; check the address in it.";
        let consent = Consent::new(args.yes, words.to_owned());
        let about = About { target: &target, provider: None };
        return change::run("reindex", (about, &args.change), &Align, None, consent, common);
    }
    let subject = args.subject.read(Vec::new(), environment.to.as_deref(), values::target)?;
    subject.no_version()?;
    let trust = Trust::new(read_trusted(&args.trusted, reporter)?);
    let goal = Reindex { provider: subject.provider().clone(), trust };
    let words =
        format!("The index of {} will list what the plan says, and nothing else.", subject.provider());
    let consent = Consent::new(args.yes, words);
    change::run("reindex", (&subject, &args.change), &goal, None, consent, common)
}
