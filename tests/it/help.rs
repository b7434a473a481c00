//! The examples of every command's `--help`, run as they stand; completions and man pages.
//!
//! The commands are found by walking `--help` from the root, so a new one is covered as soon as it is there. It must have
//! a section "Examples:" in its long help (`after_long_help`), of paragraphs like this:
//!
//! ```text
//!   What it does, in a line that ends with a colon:
//!     tfreg command --option value \
//!       argument
//! ```
//!
//! Each paragraph's commands are one script, run by `bash -e` in a folder of its own. What an example finds there, and how
//! to add to it, is in [`Fixture`]. Every command of the script must end with exit code 0.

use std::process::Command;

use crate::support::archive::write;
use crate::support::clients::require_program;
use crate::support::examples::{Fixture, can_run};
use crate::support::{folder, run, tfreg, tree};

/// Every command, by its words; the first is tfreg itself, without any.
fn commands() -> Vec<Vec<String>> {
    let mut found = vec![Vec::new()];
    let mut next = 0;
    while let Some(command) = found.get(next).cloned() {
        next += 1;
        let help = help(&command);
        let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
        for line in listed.take_while(|line| !line.is_empty()) {
            // What a command is about may go on in further lines, which are indented more.
            let Some(name) = line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')) else { continue };
            let name = name.split_whitespace().next().unwrap();
            if name != "help" {
                found.push([command.clone(), vec![name.to_owned()]].concat());
            }
        }
    }
    assert!(found.len() > 6, "the walk has not found the commands: {found:?}");
    found
}

fn help(command: &[String]) -> String {
    let ran = run(tfreg().args(command).arg("--help")).succeeds();
    assert_eq!(ran.stderr, "");
    ran.stdout
}

/// The scripts of the section "Examples:", each with its description.
fn examples(command: &[String]) -> Vec<(String, String)> {
    let help = help(command);
    let mut examples: Vec<(String, String)> = Vec::new();
    let section = help.lines().skip_while(|line| *line != "Examples:").skip(1);
    for line in section.take_while(|line| line.is_empty() || line.starts_with(' ')) {
        if let Some(script) = line.strip_prefix("    ") {
            let (_, text) =
                examples.last_mut().unwrap_or_else(|| panic!("{command:?}: nothing is said of {line:?}"));
            text.push_str(script);
            text.push('\n');
        } else if !line.is_empty() {
            let said = line.strip_prefix("  ").and_then(|line| line.strip_suffix(':'));
            let said = said.unwrap_or_else(|| {
                panic!("{command:?}: {line:?} is neither a command (four spaces) nor ends with a colon (two)")
            });
            examples.push((said.to_owned(), String::new()));
        }
    }
    examples
}

#[test]
fn every_example_of_every_help_works() {
    for command in commands() {
        let examples = examples(&command);
        assert!(!examples.is_empty(), "tfreg {} has no examples in its --help", command.join(" "));
        let name = format!("tfreg {}", command.join(" "));
        for (said, script) in examples {
            assert!(
                script.contains(name.trim_end()),
                "{name}: {said}: the example is of another command: {script}"
            );
            if !can_run(&script) {
                continue;
            }
            let fixture = Fixture::new(&script);
            let before = tree(&fixture.root());
            let ran = fixture.run(&script);
            assert!(ran.code == 0 && !ran.stderr.contains("error:"), "{name}: {said}:\n{script}\n{ran:#?}");
            // An example that does nothing to be seen would be none.
            let changed = tree(&fixture.root()) != before;
            let silent = script.contains("source ");
            assert!(changed || silent || !ran.stdout.is_empty(), "{name}: {said}: it does nothing: {ran:#?}");
            println!("{name}: {said}");
        }
    }
}

/// Nothing is broken in two that is to be copied.
#[test]
fn what_follows_the_options_fits_into_80_columns() {
    for command in commands() {
        let help = help(&command);
        for line in help.lines().skip_while(|line| *line != "Examples:") {
            assert!(line.chars().count() <= 80, "tfreg {}: {line:?}", command.join(" "));
        }
    }
}

#[test]
fn a_wrong_example_is_noticed() {
    if !require_program("bash") {
        return;
    }
    let fixture = Fixture::new("tfreg publish");
    for script in [
        "tfreg publish --to site --namespace acme --signing-key-file missing.asc build/*.tar.gz\n",
        "tfreg publish --unknown\n",
        "tfreg unknown\n",
        "tfreg key key.asc | jq .no_json\n",
        "aws s3api put-bucket-policy --bucket registry-bucket --policy file://missing.json\n",
    ] {
        assert_ne!(fixture.run(script).code, 0, "{script}");
    }
}

#[test]
fn bash_takes_its_completions() {
    let folder = folder();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(tfreg().args(["completions", shell])).succeeds();
        assert_eq!(script.stderr, "");
        for command in commands().into_iter().skip(1) {
            assert!(command.iter().all(|word| script.stdout.contains(word)), "{shell}: {command:?}");
        }
        if shell == "bash" && require_program("bash") {
            let file = write(folder.path(), "tfreg.bash", &script.stdout);
            run(Command::new("bash").arg("-n").arg(&file)).succeeds();
            let completed = format!(
                "source {}; COMP_WORDS=(tfreg publ); COMP_CWORD=1; _tfreg tfreg publ tfreg; echo \"${{COMPREPLY[@]}}\"",
                file.display()
            );
            assert_eq!(run(Command::new("bash").args(["-c", &completed])).succeeds().stdout, "publish\n");
        }
    }
    run(tfreg().args(["completions", "tcsh"])).fails(2, &["bash", "zsh", "fish"]);
}

#[test]
fn man_pages_render_without_warnings() {
    let root = folder();
    let pages = root.path().join("share/man1");
    let ran = run(tfreg().arg("man").arg(&pages)).succeeds();
    assert_eq!(ran.stdout, "");
    let printed = run(tfreg().arg("man")).succeeds().stdout;
    let files = tree(&pages);
    let name = |command: &Vec<String>| {
        let words: Vec<&str> = std::iter::once("tfreg").chain(command.iter().map(String::as_str)).collect();
        format!("{}.1", words.join("-"))
    };
    let mut expected: Vec<String> = commands().iter().map(name).collect();
    expected.sort();
    assert!(files.keys().eq(&expected), "{:?} {expected:?}", files.keys());
    assert_eq!(files["tfreg.1"], printed.as_bytes());
    assert!(ran.stderr.contains("tfreg-publish.1"), "{ran:#?}");
    let man = require_program("man");
    for (command, file) in commands().iter().map(|command| (command, name(command))) {
        if man {
            let mut man = Command::new("man");
            man.env("MANWIDTH", "120").env("LC_ALL", "C.UTF-8").env("MANROFFOPT", "-c -ww");
            let page = run(man.args(["--warnings=w", "--local-file"]).arg(pages.join(&file))).succeeds();
            assert_eq!(page.stderr, "", "{file}");
            // The examples are as they are in the help, line for line.
            for line in examples(command).iter().flat_map(|(_, script)| script.lines()) {
                let shown = page.stdout.lines().any(|shown| shown.trim() == line.trim());
                assert!(shown, "{file}: {line:?} is not in\n{}", page.stdout);
            }
        }
    }
    let file = write(root.path(), "file", "");
    run(tfreg().arg("man").arg(file)).fails(1, &["cannot create"]);
}
