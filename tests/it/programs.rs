//! Every program is asked for before a test runs it, and what is missing is told of: `support/programs.rs`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::programs::PROGRAMS;

/// The sources of the tests, with their paths.
fn sources() -> Vec<(PathBuf, String)> {
    let tests = crate::support::tree(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it"));
    let sources = tests.into_iter().filter(|(path, _)| path.ends_with(".rs"));
    sources.map(|(path, text)| (path.into(), String::from_utf8(text).unwrap())).collect()
}

/// The names that are written as `before` and a text: `before("name")`.
fn named<'a>(text: &'a str, before: &str) -> BTreeSet<&'a str> {
    let before = format!("{before}(\"");
    text.split(before.as_str())
        .skip(1)
        .filter_map(|rest| rest.split_once('"'))
        .map(|(name, _)| name)
        .collect()
}

#[test]
fn every_program_is_asked_for_and_installed_by_ci() {
    let ci = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/run")).unwrap();
    for (program, package) in PROGRAMS.iter().filter(|(_, package)| !package.starts_with(".ci/run")) {
        let needed = ci.lines().any(|line| line.trim().starts_with(&format!("need {program} {package}")));
        assert!(needed, ".ci/run has no \"need {program} {package}\"");
    }
    let mut all = 0;
    for (path, text) in sources() {
        let (run, asked) = (named(&text, "Command::new"), named(&text, "require_program"));
        for program in run.union(&asked) {
            assert!(
                PROGRAMS.iter().any(|(known, _)| known == program),
                "{}: {program} is not in PROGRAMS, with the package that has it",
                path.display()
            );
        }
        // What is shared is asked for by who uses it.
        let is_shared = path.starts_with("support") || path.starts_with("tar_differential");
        let unasked: Vec<_> = run.difference(&asked).filter(|_| !is_shared).collect();
        assert!(unasked.is_empty(), "{}: {unasked:?} are run without require_program", path.display());
        all += run.len();
    }
    assert!(all > 20, "{all}");
}

#[test]
fn what_is_missing_is_told_of_though_the_test_passes() {
    const TEST: &str = "clients::gpg_verifies_the_signature_with_the_embedded_key";
    let run_without_programs = |ci: Option<&str>| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", TEST]).env("PATH", "").env_remove("CI").envs(ci.map(|value| ("CI", value)));
        crate::support::run(&mut command)
    };
    let ran = run_without_programs(None).succeeds();
    assert!(ran.stdout.contains("1 passed"), "{ran:#?}");
    assert!(
        ran.stderr.contains(&format!("*** SKIPPED, because gpg (gnupg) is not installed: {TEST}\n")),
        "{ran:#?}"
    );
    let list = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("skipped-{}", std::process::id()));
    let listed = std::fs::read_to_string(&list).unwrap();
    std::fs::remove_file(list).unwrap();
    assert_eq!(listed, format!("gpg (gnupg) is not installed\t{TEST}\n"));

    let ran = run_without_programs(Some("true"));
    assert!(ran.code == 101 && ran.stdout.contains("CI may skip no test"), "{ran:#?}");
}
