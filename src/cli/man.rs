//! `tfreg man`

use std::path::PathBuf;

use clap::{Args, Command, CommandFactory as _};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::Cli;
use crate::error::{Error, Result};
use crate::report::Reporter;

/// Print the man page, or write a page for every command into a directory
///
/// Without DIR the page of tfreg itself is printed, in the format of man. With DIR that page and one for every command are
/// written there: tfreg.1, tfreg-publish.1 and so on. DIR is made if it does not exist.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  Read it:
    tfreg man | man -l -

  All pages, where man finds them:
    tfreg man ~/.local/share/man/man1
    man -l ~/.local/share/man/man1/tfreg-publish.1")]
pub(super) struct ManArgs {
    /// Where the pages are written
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

pub(super) fn run(args: &ManArgs, reporter: &Reporter) -> Result<()> {
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    let Some(directory) = &args.directory else {
        return reporter.raw(&page(&root)?);
    };
    std::fs::create_dir_all(directory).map_err(|error| Error::io("cannot create", directory, error))?;
    let commands = root.get_subcommands().filter(|command| !command.is_hide_set());
    let commands = commands.flat_map(|command| std::iter::once(command).chain(command.get_subcommands()));
    for command in std::iter::once(&root).chain(commands) {
        let file = directory.join(Man::new(command.clone()).get_filename());
        std::fs::write(&file, page(command)?).map_err(|error| Error::io("cannot write", &file, error))?;
        reporter.note(&format!("wrote {}", file.display()));
    }
    Ok(())
}

fn page(command: &Command) -> Result<Vec<u8>> {
    let mut page = Vec::new();
    write_page(command, &mut page)
        .map_err(|source| Error::Io { context: "cannot make the man page".to_owned(), source })?;
    Ok(page)
}

fn write_page(command: &Command, page: &mut Vec<u8>) -> std::io::Result<()> {
    let man = Man::new(command.clone()).manual("tfreg");
    man.render_title(page)?;
    man.render_name_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_description_section(page)?;
    man.render_options_section(page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(page)?;
    }
    // clap_mangen would join the lines of the text after the options.
    let after = command.get_after_long_help().or_else(|| command.get_after_help());
    after.map_or_else(Roff::new, |after| sections(&after.to_string())).to_writer(page)?;
    if command.get_version().is_some() {
        man.render_version_section(page)?;
    }
    Ok(())
}

/// The text after the options in `--help`, such as "Examples:" and the indented lines below it, as sections whose lines
/// are kept.
fn sections(text: &str) -> Roff {
    let mut roff = Roff::new();
    let mut verbatim = false;
    for line in text.lines() {
        let heading = line.strip_suffix(':').filter(|heading| !heading.starts_with(' '));
        if verbatim && (heading.is_some() || !(line.is_empty() || line.starts_with(' '))) {
            roff.control("fi", []);
            verbatim = false;
        }
        match heading {
            Some(heading) => {
                roff.control("SH", [heading.to_uppercase().as_str()]);
            }
            None if line.starts_with(' ') && !verbatim => {
                roff.control("nf", []);
                verbatim = true;
                roff.text([example(line)]);
            }
            None if line.is_empty() && !verbatim => {
                roff.control("PP", []);
            }
            None => {
                roff.text([example(line)]);
            }
        }
    }
    if verbatim {
        roff.control("fi", []);
    }
    roff
}

/// Commands are indented more deeply than their descriptions.
fn example(line: &str) -> clap_mangen::roff::Inline {
    let line = line.strip_prefix("  ").unwrap_or(line);
    if line.starts_with("  ") { bold(line) } else { roman(line) }
}
