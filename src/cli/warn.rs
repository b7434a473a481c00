//! `tfreg warn`

use clap::Args;

use super::change::{self, ChangeArgs, Consent, Subject};
use super::{Environment, GlobalArgs};
use crate::error::{Error, Result};
use crate::plan::warn::Warn;
use crate::report::Reporter;

/// Set or clear the warnings that clients show at init
///
/// `terraform init` and `tofu init` show the warnings of every provider that they install or look up. Each MESSAGE is one;
/// those that were there before are replaced. Without MESSAGE there are none any more.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  Tell all users of a provider:
    tfreg warn s3://registry-bucket acme/sample \
      \"Version 1.2.0 deletes tags; use 1.2.1.\"

  What would be done, without writing to the target:
    tfreg warn site acme/sample \"Moved to acme/better.\" --dry-run preview

  No warnings any more:
    tfreg warn s3://registry-bucket acme/sample")]
pub(super) struct WarnArgs {
    #[command(flatten)]
    subject: Subject,

    /// What clients show; repeatable. None clears the warnings
    #[arg(value_name = "MESSAGE")]
    messages: Vec<String>,

    #[command(flatten)]
    change: ChangeArgs,
}

pub(super) fn run(
    args: &WarnArgs,
    global: &GlobalArgs,
    environment: &Environment,
    reporter: &Reporter,
) -> Result<()> {
    for message in &args.messages {
        // Clients print it on a terminal as it is.
        if message.trim().is_empty() || message.chars().any(char::is_control) {
            return Err(Error::Usage(format!(
                "{message:?} is no warning: it has to be text, of one line (several MESSAGEs for several lines)"
            )));
        }
    }
    let goal = Warn { provider: args.subject.provider().clone(), warnings: args.messages.clone() };
    let common = (global, environment, reporter);
    change::run("warn", (&args.subject, &args.change), &goal, Consent::Given, common)
}
