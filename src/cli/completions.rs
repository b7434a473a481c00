//! `tfreg completions`

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::Cli;
use crate::error::Result;
use crate::report::Reporter;

/// Print the completions of a shell
///
/// Prints a script that makes the shell complete tfreg's commands, options and values.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  For this bash only:
    source <(tfreg completions bash)

  For every bash of this user:
    mkdir -p ~/.local/share/bash-completion/completions
    tfreg completions bash > ~/.local/share/bash-completion/completions/tfreg

  For zsh, into a folder that is in its fpath:
    mkdir -p ~/.zfunc
    tfreg completions zsh > ~/.zfunc/_tfreg

  For fish:
    mkdir -p ~/.config/fish/completions
    tfreg completions fish > ~/.config/fish/completions/tfreg.fish")]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs, reporter: &Reporter) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "tfreg", &mut script);
    reporter.raw(&script)
}
