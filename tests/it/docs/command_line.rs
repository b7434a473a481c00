//! `docs/cli.md` is made from the definition of the command line, and no page names an option or a variable that is none.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use clap::{Arg, ArgAction, Command};

use super::{codes, page, pages, root};

/// Where the part of the page begins that is made here; what is before it is written by hand.
const BEGINNING: &str = "<!-- From here on this page is made by a test. -->\n";

/// Where more is said of a command.
const MORE: &[(&str, &str)] = &[
    ("publish", "[inputs.md](inputs.md), [s3.md](s3.md), [registry-layout.md](registry-layout.md)"),
    ("drone", "[drone/README.md](../drone/README.md)"),
    ("mirror", "[network-mirror.md](network-mirror.md#providers-of-other-registries)"),
    ("verify", "[verify.md](verify.md)"),
    ("list", "[maintenance.md](maintenance.md#what-is-there), [json-output.md](json-output.md#lists)"),
    ("policy", "[policies.md](policies.md)"),
    ("hosting", "[hosting.md](hosting.md#everything-at-once-on-aws)"),
    ("downloads", "[downloads.md](downloads.md)"),
    ("warn", "[maintenance.md](maintenance.md#warnings)"),
    ("yank", "[maintenance.md](maintenance.md#yanked-versions)"),
    ("unyank", "[maintenance.md](maintenance.md#yanked-versions)"),
    ("reindex", "[maintenance.md](maintenance.md#a-lost-or-damaged-index)"),
    ("resign", "[maintenance.md](maintenance.md#another-key-or-a-longer-expiry)"),
    ("key", "[signing-keys.md](signing-keys.md#look-at-a-key)"),
    ("key create", "[signing-keys.md](signing-keys.md#a-key-in-aws-kms)"),
];

fn definition() -> Command {
    let mut root = tfreg::cli::command();
    root.build();
    root
}

/// The part that is made of the definition.
fn generated() -> String {
    let root = definition();
    let mut text = BEGINNING.to_owned();
    let commands = || root.get_subcommands().filter(|command| command.get_name() != "help");
    text.push_str("\n## Commands\n\n| Command | What it does |\n|---|---|\n");
    for command in commands() {
        let name = command.get_name();
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(text, "| [`tfreg {name}`](#tfreg-{name}) | {} |", cell(&about));
    }
    text.push_str("\n## All commands\n");
    table("Option", root.get_arguments().filter(|arg| arg.is_global_set()), &mut text);
    for command in commands() {
        section(command.get_name(), command, &mut text);
        for below in command.get_subcommands() {
            section(&format!("{} {}", command.get_name(), below.get_name()), below, &mut text);
        }
    }
    text
}

fn section(name: &str, command: &Command, text: &mut String) {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    let _ = write!(text, "\n## tfreg {name}\n\n{}.\n\n```text\n{usage}\n```\n", prose(&about));
    if let Some((_, pages)) = MORE.iter().find(|(command, _)| *command == name) {
        let _ = write!(text, "\nSee {pages}.\n");
    }
    let arguments: Vec<&Arg> =
        command.get_arguments().filter(|arg| !arg.is_global_set() && !arg.is_hide_set()).collect();
    table("Argument", arguments.iter().copied().filter(|arg| arg.is_positional()), text);
    // In the order in which the help has them.
    let mut headings: Vec<Option<&str>> = Vec::new();
    for arg in arguments.iter().filter(|arg| !arg.is_positional()) {
        if !headings.contains(&arg.get_help_heading()) {
            headings.push(arg.get_help_heading());
        }
    }
    for heading in headings {
        let of_heading = |arg: &&Arg| !arg.is_positional() && arg.get_help_heading() == heading;
        table(heading.unwrap_or("Option"), arguments.iter().copied().filter(of_heading), text);
    }
}

/// A table of arguments, without the columns that it does not need.
fn table<'a>(title: &str, arguments: impl Iterator<Item = &'a Arg>, text: &mut String) {
    let is_help =
        |arg: &&Arg| matches!(arg.get_action(), ArgAction::Help | ArgAction::HelpLong | ArgAction::HelpShort);
    let rows: Vec<[String; 4]> = arguments.filter(|arg| !is_help(arg)).map(row).collect();
    let columns: Vec<usize> =
        (0..4).filter(|column| rows.iter().any(|row| !row[*column].is_empty())).collect();
    if rows.is_empty() {
        return;
    }
    let titles = [title, "Variable", "Meaning", "Default"];
    let line = |cells: Vec<&str>| format!("| {} |\n", cells.join(" | "));
    let _ = write!(text, "\n{}", line(columns.iter().map(|column| titles[*column]).collect()));
    let _ = writeln!(text, "|{}", "---|".repeat(columns.len()));
    for row in &rows {
        text.push_str(&line(columns.iter().map(|column| &*row[*column]).collect()));
    }
}

/// Name, variable, meaning and default of an argument.
fn row(arg: &Arg) -> [String; 4] {
    let takes_value = arg.get_action().takes_values();
    let names = arg.get_value_names().unwrap_or_default();
    let value = if takes_value { names.join(" ") } else { String::new() };
    let long = arg.get_long().map(|long| format!("--{long} {value}"));
    let name = long.unwrap_or(value).trim_end().replace('|', "\\|");
    let short = arg.get_short().map(|short| format!("`-{short}`, ")).unwrap_or_default();
    let variable = arg.get_env().map(|name| format!("`{}`", name.to_string_lossy())).unwrap_or_default();
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    // Defaults that are no value are written into the help.
    let (help, told) = help
        .split_once(" [default: ")
        .map_or((&*help, None), |(help, default)| (help, default.strip_suffix(']')));
    let values: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    let default = match told {
        Some(told) => cell(told),
        None if values.is_empty() || !takes_value => String::new(),
        None => format!("`{}`", values.join(",")),
    };
    let possible: Vec<String> = arg
        .get_possible_values()
        .iter()
        .filter(|_| takes_value)
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    let possible = if possible.is_empty() { String::new() } else { format!(": {}", possible.join(", ")) };
    [format!("{short}`{name}`"), variable, cell(help) + &possible, default]
}

fn prose(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('<', "&lt;")
}

fn cell(text: &str) -> String {
    prose(text).replace('|', "\\|")
}

/// The page as it has to be: what is written by hand, and the generated part.
fn wanted(found: &str) -> String {
    let by_hand = found.split_once(BEGINNING).map(|(by_hand, _)| by_hand);
    let by_hand = by_hand.unwrap_or_else(|| panic!("docs/cli.md has no line {BEGINNING:?}"));
    by_hand.to_owned() + &generated()
}

#[test]
fn the_page_of_the_command_line_is_current() {
    let found = page("docs/cli.md");
    let wanted = wanted(&found);
    if std::env::var_os("TFREG_UPDATE_DOCS").is_some() {
        fs::write(root().join("docs/cli.md"), &wanted).unwrap();
        return;
    }
    let differs = wanted.lines().zip(found.lines()).find(|(wanted, found)| wanted != found);
    assert!(
        found == wanted,
        "docs/cli.md is stale ({differs:?}); run: TFREG_UPDATE_DOCS=1 cargo test --test it docs"
    );

    // A page of another command line is noticed, and one that has lost an option.
    assert_ne!(self::wanted(&found.replace("`5m`", "`6m`")), found.replace("`5m`", "`6m`"));
    for row in [
        "| `--to TARGET` | `TFREG_TO` | Where the registry is: a directory, or s3://BUCKET[/PREFIX] |",
        "| `--format FORMAT` | How results are printed on standard output: `human`, `json` | `human` |",
        "| `SHELL` | The shell: `bash`, `elvish`, `fish`, `powershell`, `zsh` |",
    ] {
        assert!(found.contains(row), "{row}");
    }
}

/// Options that pages name and that are other programs'.
const FOREIGN_OPTIONS: &[&str] = &[
    "--dereference",
    "--export-secret-keys",
    "--hard-dereference",
    "--no-read-sparse",
    "--sparse",
    // Those of tfreg that begin so.
    "--source-…",
];

/// Variables that tfreg reads without clap.
fn variables() -> BTreeSet<String> {
    let sources = crate::support::tree(&root().join("src"))
        .into_iter()
        .filter(|(path, _)| Path::new(path).extension().is_some_and(|e| e == "rs"));
    let mut variables = BTreeSet::new();
    for (_, bytes) in sources {
        let text = String::from_utf8(bytes).unwrap();
        for part in text.split('"').filter(|part| part.starts_with("TFREG_")) {
            variables.insert(part.to_owned());
        }
    }
    variables
}

#[test]
fn options_commands_and_variables_that_pages_name_exist() {
    let root = definition();
    let longs = |command: &Command| -> BTreeSet<String> {
        let below = command.get_subcommands().flat_map(Command::get_arguments);
        command.get_arguments().chain(below).filter_map(|arg| arg.get_long().map(ToOwned::to_owned)).collect()
    };
    let all: BTreeSet<String> = root.get_subcommands().flat_map(longs).chain(longs(&root)).collect();
    let variables = variables();
    assert!(variables.contains("TFREG_TO") && variables.contains("TFREG_SIGNING_KEY"), "{variables:?}");
    let mut wrong = Vec::new();
    for (page, text) in pages() {
        for code in codes(&text) {
            let mut words = code.split([' ', '=']);
            let command = match words.next() {
                Some("tfreg") => {
                    words.next().filter(|word| word.starts_with(|c: char| c.is_ascii_lowercase()))
                }
                Some(option) if option.starts_with("--") => {
                    words = code.split([' ', '=']);
                    None
                }
                Some(word) if word.starts_with("TFREG_") => {
                    let is_test = [
                        "TFREG_TEST_",
                        "TFREG_CI_",
                        "TFREG_BENCH_",
                        "TFREG_UPDATE_",
                        "TFREG_COMMIT",
                        "TFREG_…",
                    ];
                    if !variables.contains(word) && !is_test.iter().any(|other| word.starts_with(other)) {
                        wrong.push(format!("{page}: {code}: no variable of tfreg"));
                    }
                    continue;
                }
                _ => continue,
            };
            let options = match command.filter(|word| *word != "help").map(|word| root.find_subcommand(word))
            {
                None => all.clone(),
                Some(Some(command)) => longs(command),
                Some(None) => {
                    wrong.push(format!("{page}: {code}: no command"));
                    continue;
                }
            };
            for option in words.filter_map(|word| word.strip_prefix("--")).filter(|option| !option.is_empty())
            {
                if !options.contains(option) && !FOREIGN_OPTIONS.contains(&&*format!("--{option}")) {
                    wrong.push(format!("{page}: {code}: --{option} is no option"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
