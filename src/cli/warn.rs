//! `tfreg warn`

use clap::Args;

use super::change::{self, ChangeArgs, Consent};
use super::subject::SubjectArgs;
use super::values;
use super::{Environment, GlobalArgs};
use crate::error::{Error, Result};
use crate::plan::warn::Warn;
use crate::report::Reporter;

/// Set or clear the warnings that clients show at init
///
/// `terraform init` and `tofu init` show the warnings of every provider that they install or look up. Each MESSAGE is one;
/// those that were there before are replaced. --clear removes all of them.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  Tell all users of a provider:
    tfreg warn s3://registry-bucket acme/sample \\
      \"Version 1.2.0 deletes tags; use 1.2.1.\"

  What would be done, without writing to the target:
    tfreg warn site acme/sample \"Moved to acme/better.\" --dry-run preview

  No warnings any more:
    tfreg warn s3://registry-bucket acme/sample --clear")]
pub(super) struct WarnArgs {
    #[command(flatten)]
    subject: SubjectArgs,

    /// What clients show; repeatable
    #[arg(value_name = "MESSAGE")]
    messages: Vec<String>,

    /// Remove all warnings
    #[arg(long)]
    clear: bool,

    #[command(flatten)]
    change: ChangeArgs,
}

pub(super) fn run(
    args: WarnArgs,
    global: &GlobalArgs,
    environment: &Environment,
    reporter: &Reporter,
) -> Result<()> {
    let subject = args.subject.read(args.messages, environment.to.as_deref(), values::target)?;
    subject.no_version()?;
    let messages = &subject.rest;
    match (messages.is_empty(), args.clear) {
        // An empty variable without quotes gives no argument.
        (true, false) => {
            return Err(Error::Usage("no MESSAGE: give one, or --clear to remove all warnings".to_owned()));
        }
        (false, true) => {
            return Err(Error::Usage("--clear removes all warnings; give it without MESSAGE".to_owned()));
        }
        _ => {}
    }
    for message in messages {
        // Clients print it to a terminal unchanged.
        if message.trim().is_empty() || message.chars().any(char::is_control) {
            return Err(Error::Usage(format!(
                "{message:?} is no warning: it has to be text, of one line (several MESSAGEs for several lines)"
            )));
        }
    }
    let goal = Warn { provider: subject.provider().clone(), warnings: messages.clone() };
    let common = (global, environment, reporter);
    change::run("warn", (&subject, &args.change), &goal, None, Consent::Given, common)
}
