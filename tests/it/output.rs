//! What is printed, how much of it, and what becomes of it where it cannot be written.

use std::fs::File;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::programs::{require, require_program};
use crate::support::{Ran, folder, key, publish, ran, run, tarballs, tfreg};

/// Opens the device that is always full.
fn full() -> Option<File> {
    let file = File::options().write(true).open("/dev/full").ok();
    require("/dev/full", file.is_some()).then_some(file).flatten()
}

/// One command line of each kind of result.
fn results(site: &std::path::Path) -> Vec<(String, Command)> {
    let site = site.to_str().unwrap();
    let key = key("ed25519.asc");
    let key = key.to_str().unwrap();
    let mut all: Vec<(String, Command)> = [
        vec!["--version"],
        vec!["--help"],
        vec!["help", "publish"],
        vec!["publish", "-h"],
        vec!["key", key],
        vec!["key", "--public", key],
        vec!["key", "--format", "json", key],
        vec!["policy", "--bucket", "registry-bucket"],
        vec!["policy", "--bucket", "registry-bucket", "--format", "json"],
        vec!["completions", "bash"],
        vec!["man"],
        vec!["serve", "--listen", "0", site],
        vec!["serve", "--listen", "0", site, "--format", "json"],
        vec!["verify", site],
        vec!["verify", site, "--format", "json"],
        vec!["reindex", site, "acme/sample"],
    ]
    .into_iter()
    .map(|args| {
        let mut command = tfreg();
        command.args(&args);
        (args.join(" "), command)
    })
    .collect();
    let preview = format!("{site}-preview");
    for args in [
        vec![],
        vec!["--format", "json"],
        vec!["--dry-run", &*preview],
        vec!["--dry-run", &*preview, "--format", "json"],
    ] {
        let mut command = publish(site, &tarballs("release-1.2.0"));
        command.args(&args);
        all.push((format!("publish {}", args.join(" ")), command));
    }
    all
}

#[test]
fn a_result_that_cannot_be_written_is_a_failure() {
    let root = folder();
    let site = root.path().join("site");
    run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
    for (name, mut command) in results(&site) {
        let Some(full) = full() else { return };
        let output = command.stdin(Stdio::null()).stdout(full).stderr(Stdio::piped()).output().unwrap();
        let ran = ran(&output);
        let told = ran.stderr.matches("error: cannot write").count();
        assert!(ran.code == 1 && told == 1 && ran.stderr.contains("No space left"), "tfreg {name}: {ran:#?}");
    }
}

#[test]
fn what_is_done_is_done_although_nobody_can_read_it() {
    let root = folder();
    let site = root.path().join("site");
    let Some(full) = full() else { return };
    let output = publish(&site, &tarballs("release-1.2.0")).stdout(full).output().unwrap();
    ran(&output).fails(1, &["cannot write the result to standard output"]);
    assert!(run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds().stdout.contains("nothing to do"));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let root = folder();
    let site = root.path().join("site");
    run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
    for (name, mut command) in results(&site) {
        if name.starts_with("serve") {
            // It goes on serving.
            continue;
        }
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ran = ran(&command.stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped()).output().unwrap());
        assert!(
            ran.code == 0 && !ran.stderr.contains("error") && !ran.stderr.contains("panic"),
            "{name}: {ran:#?}"
        );
    }
}

#[test]
fn messages_that_cannot_be_written_change_nothing() {
    let root = folder();
    let site = root.path().join("site");
    let Some(full) = full() else { return };
    let mut verbose = publish(&site, &tarballs("release-1.2.0"));
    let done = ran(&verbose.arg("--verbose").stderr(full.try_clone().unwrap()).output().unwrap()).succeeds();
    assert!(done.stdout.contains("Published"), "{done:#?}");
    for (code, args) in [(2, vec!["publish", "--nothing"]), (3, vec!["serve", "/nonexistent"])] {
        let ran = ran(&tfreg().args(args).stderr(full.try_clone().unwrap()).output().unwrap());
        assert_eq!(ran.code, code, "{ran:#?}");
    }
}

fn lines(ran: &Ran) -> usize {
    ran.stdout.lines().count() + ran.stderr.lines().count()
}

#[test]
fn a_publish_says_each_thing_once() {
    let root = folder();
    let site = root.path().join("site");
    let first = run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
    let all = format!("{}{}", first.stdout, first.stderr);
    assert!(lines(&first) <= 10, "{} lines: {first:#?}", lines(&first));
    for name in ["darwin_arm64", "linux_amd64", "linux_arm64", "windows_amd64"] {
        assert_eq!(
            all.lines().filter(|line| line.trim_start().starts_with(name)).count(),
            1,
            "{name}: {first:#?}"
        );
    }
    assert!(!all.contains("registry/acme"), "{first:#?}");
    // Each object where all is asked for, and in the plan of a dry run.
    let verbose =
        run(publish(root.path().join("other"), &tarballs("release-1.2.0")).arg("--verbose")).succeeds();
    let mut dry = publish(root.path().join("third"), &tarballs("release-1.2.0"));
    let dry = run(dry.arg("--dry-run").arg(root.path().join("preview"))).succeeds();
    for ran in [&verbose, &dry] {
        assert_eq!(ran.stdout.matches("  + registry/acme/sample/versions").count(), 1, "{ran:#?}");
        assert_eq!(ran.stdout.lines().filter(|line| line.starts_with("  + ")).count(), 14, "{ran:#?}");
    }
}

#[test]
fn one_is_singular() {
    let root = folder();
    let site = root.path().join("site");
    let one = vec![crate::support::tarball("release-1.2.0", "linux-amd64")];
    let done = run(publish(&site, &one).args(["--protocol", "6.0"])).succeeds();
    assert!(done.stdout.contains("1 platform read back"), "{done:#?}");
}

#[test]
fn yank_checks_before_it_warns() {
    let root = folder();
    let site = root.path().join("site");
    run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
    let yank = |version: &str| {
        let mut command = tfreg();
        command.arg("yank").arg(&site).args(["acme/sample", version, "--yes"]);
        run(&mut command)
    };
    let words = "Clients will not find version";
    let missing = yank("9.9.9").fails(3, &["version 9.9.9 is not published"]);
    assert!(!missing.stderr.contains(words), "{missing:#?}");
    let done = yank("1.2.0").succeeds();
    assert_eq!(done.stderr.matches(words).count(), 1, "{done:#?}");
    assert_eq!(done.stdout.matches("- 1.2.0 (").count(), 1, "{done:#?}");
    let again = yank("1.2.0").succeeds();
    assert!(!again.stderr.contains(words), "{again:#?}");
}

#[test]
fn mistakes_of_the_command_line_are_an_object_too() {
    for args in [
        &["verify", "--nothing", "--format", "json"][..],
        &["--format=json", "publish"],
        &["--format", "json", "warp"],
        &["serve", ".", "--listen", "x", "--format", "json"],
    ] {
        let ran = run(tfreg().args(args)).fails(2, &["error: "]);
        let object: Value =
            serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{args:?}: {e}: {ran:#?}"));
        assert_eq!((&object["outcome"], &object["exit_code"]), (&"usage".into(), &2.into()), "{ran:#?}");
        let message = object["message"].as_str().unwrap();
        assert!(
            ran.stderr.contains(message.lines().next().unwrap()) && !message.starts_with("error"),
            "{ran:#?}"
        );
    }
    assert_eq!(run(tfreg().args(["verify", "--nothing"])).fails(2, &["error: "]).stdout, "");
}

#[test]
fn other_names_of_the_format_get_a_tip_that_works() {
    for (name, value) in [("--output", Some("json")), ("-o", Some("json")), ("--json", None)] {
        let mut command = tfreg();
        command.args(["policy", "--bucket", "registry-bucket", name]).args(value);
        let ran = run(&mut command).fails(2, &["--format json"]);
        assert!(!ran.stderr.contains("similar"), "{ran:#?}");
    }
    let done = run(tfreg().args(["policy", "--bucket", "registry-bucket", "--format", "json"])).succeeds();
    serde_json::from_str::<Value>(&done.stdout).unwrap();
}

#[path = "../../build/commit.rs"]
mod commit;

#[test]
fn the_version_says_the_commit_where_it_is_known() {
    let printed = run(tfreg().arg("--version")).succeeds().stdout;
    assert!(printed.starts_with(&format!("tfreg {}", env!("CARGO_PKG_VERSION"))), "{printed}");

    let hash = "0123456789abcdef0123456789abcdef01234567";
    let of = |given: &str, archive: &str, checkout: Option<&str>| {
        commit::version("1.0.0", commit::known(given, archive, checkout.map(str::to_owned)).as_deref())
    };
    assert_eq!(of("", "$Format:%H$\n", None), "1.0.0");
    assert_eq!(of("", &format!("{hash}\n"), None), "1.0.0 (commit 0123456789ab)");
    assert_eq!(of(&hash.to_uppercase(), "", Some("x")), "1.0.0 (commit 0123456789ab)");
    assert_eq!(of("", "", Some("fedcba987654-dirty")), "1.0.0 (commit fedcba987654-dirty)");

    if !require_program("git") || !require_program("tar") {
        return;
    }
    let root = folder();
    let git = |args: &[&str]| {
        let who = ["-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "commit.gpgsign=false"];
        run(Command::new("git").arg("-C").arg(root.path()).args(who).args(args)).succeeds().stdout
    };
    assert!(commit::of_checkout(root.path()).is_none());
    git(&["init", "-q"]);
    std::fs::create_dir(root.path().join("part")).unwrap();
    std::fs::write(root.path().join("part/file"), "$Format:%H$\n").unwrap();
    std::fs::write(root.path().join(".gitattributes"), "part/file export-subst\n").unwrap();
    git(&["add", "."]);
    git(&["commit", "-q", "-m", "x"]);
    let head = git(&["rev-parse", "HEAD"]);
    let checkout = commit::of_checkout(root.path()).unwrap();
    assert_eq!(checkout.commit, head[..12]);
    assert!(!checkout.watched.is_empty());
    // A folder of another project is no checkout of this one.
    assert!(commit::of_checkout(&root.path().join("part")).is_none());
    git(&["archive", "--output", root.path().join("a.tar").to_str().unwrap(), "HEAD"]);
    let archived =
        run(Command::new("tar").arg("-xOf").arg(root.path().join("a.tar")).arg("part/file")).succeeds();
    assert_eq!(commit::known("", &archived.stdout, None).as_deref(), Some(&head[..12]));
    std::fs::write(root.path().join("part/file"), "changed").unwrap();
    assert_eq!(commit::of_checkout(root.path()).unwrap().commit, format!("{}-dirty", &head[..12]));
}

#[test]
fn uploads_have_a_bar_on_a_terminal() {
    if !require_program("script") {
        return;
    }
    let root = folder();
    let site = root.path().join("site");
    let command = publish(&site, &tarballs("release-1.2.0"));
    let quoted = |text: &std::ffi::OsStr| format!("'{}'", text.to_str().unwrap());
    let words: Vec<String> =
        std::iter::once(command.get_program()).chain(command.get_args()).map(quoted).collect();
    let mut script = Command::new("script");
    script
        .args(["-qec", &words.join(" "), "/dev/null"])
        .env_remove("CI")
        .env("TERM", "xterm")
        .stdin(Stdio::null());
    let done = run(&mut script).succeeds();
    assert!(done.stdout.contains("uploading") && done.stdout.contains("Published"), "{done:#?}");
}
