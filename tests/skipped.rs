//! Not a test: says after all results which tests were skipped, and because of what. libtest counts them as passed, and shows
//! nothing that a passed test has said.
#![allow(clippy::print_stdout, reason = "it is there to say something")]

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    // Who lists the tests finds none here.
    if std::env::args().any(|argument| argument == "--list") {
        return Ok(());
    }
    // `tests/it` writes its list for the cargo that has started it, which has started this program too.
    let cargo = std::os::unix::process::parent_id().to_string();
    let mut reasons: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for entry in fs::read_dir(Path::new(env!("CARGO_TARGET_TMPDIR")))? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(run) = name.and_then(|name| name.strip_prefix("skipped-")) else { continue };
        if run == cargo {
            for (because, test) in fs::read_to_string(&path)?.lines().filter_map(|line| line.split_once('\t'))
            {
                reasons.entry(because.to_owned()).or_default().insert(test.to_owned());
            }
        } else if is_running(run) {
            continue;
        }
        fs::remove_file(path)?;
    }
    print(&reasons);
    Ok(())
}

/// Whether the cargo that a list is of goes on.
fn is_running(process: &str) -> bool {
    let process = process.parse().ok().and_then(rustix::process::Pid::from_raw);
    // What may not be asked is another user's, and no cargo of this folder.
    process.is_some_and(|process| rustix::process::test_kill_process(process).is_ok())
}

fn print(reasons: &BTreeMap<String, BTreeSet<String>>) {
    let tests: BTreeSet<&String> = reasons.values().flatten().collect();
    if tests.is_empty() {
        println!("\nNo test was skipped.\n");
        return;
    }
    println!(
        "\n*** {} were SKIPPED, wholly or in part, though they count as passed above:",
        count(tests.len())
    );
    for (because, tests) in reasons {
        println!("\n{because}: {}", count(tests.len()));
        for test in tests {
            println!("    {test}");
        }
    }
    println!();
}

fn count(tests: usize) -> String {
    format!("{tests} test{}", if tests == 1 { "" } else { "s" })
}
