//! A machine that lacks what every program takes for granted: an error with its cause, and no panic.

use std::process::Command;

use tfreg::content::Scratch;

use crate::support::programs::require_program;
use crate::support::{Ran, folder, key, publish, run, tarballs, tfreg};

/// Runs a command below a shell that has changed its limits, or a program that does.
fn below(words: &[&str], command: &Command) -> Ran {
    let mut outer = Command::new(words[0]);
    outer.args(&words[1..]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    let ran = run(&mut outer);
    assert!(ran.code != 101 && !ran.stderr.contains("panicked"), "{words:?}: {ran:#?}");
    ran
}

#[test]
fn few_file_descriptors_are_an_error() {
    let root = folder();
    let site = root.path().join("site");
    let publish = publish(&site, &tarballs("release-1.2.0"));
    let script = |limit: u32| format!("ulimit -n {limit}; exec \"$@\"");
    below(&["sh", "-c", &script(6), "sh"], &publish)
        .fails(1, &["cannot open 20 files at once", "os error 24"]);
    for limit in 4..40 {
        let ran = below(&["sh", "-c", &script(limit), "sh"], &publish);
        assert!(ran.code == 0 || ran.stderr.contains("error: "), "{limit}: {ran:#?}");
    }
    // The remedy.
    below(&["sh", "-c", &script(1024), "sh"], &publish).succeeds();
    let mut serve = tfreg();
    serve.arg("serve").arg(&site).args(["--listen", "0"]);
    below(&["sh", "-c", &script(8), "sh"], &serve).fails(1, &["cannot open 20 files at once"]);
    let mut verify = tfreg();
    verify.arg("verify").arg(&site);
    below(&["sh", "-c", &script(8), "sh"], &verify).fails(1, &["cannot open 20 files at once"]);
}

#[test]
fn a_thread_that_cannot_be_started_is_an_error() {
    // The limit is that of a user, and does not bind root: another user is needed, whose only process this is.
    let user = ["setpriv", "--reuid", "60123", "--regid", "60123", "--clear-groups"];
    let allowed =
        || Command::new(user[0]).args(&user[1..]).arg("true").output().is_ok_and(|out| out.status.success());
    if !require_program("setpriv") {
        return;
    }
    if !allowed() {
        eprintln!("*** SKIPPED: only root may run a program as another user");
        return;
    }
    let root = folder();
    // A path that the other user can reach.
    let program = root.path().join("tfreg");
    std::fs::copy(env!("CARGO_BIN_EXE_tfreg"), &program).unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(root.path(), open).unwrap();
    for limit in 1..9 {
        let mut command = Command::new(&program);
        command.arg("verify").arg(root.path());
        let limited = format!("--nproc={limit}:{limit}");
        let ran = below(&[&user[..], &["prlimit", &limited]].concat(), &command);
        if limit < 6 {
            ran.fails(1, &["cannot start 6 threads at once", "os error 11"]);
        }
    }
}

#[test]
fn folders_that_are_not_there_are_named() {
    let root = folder();
    let site = root.path().join("site");
    let mut nowhere = publish("s3://bucket", &tarballs("release-1.2.0"));
    nowhere.env("TMPDIR", "/nonexistent/folder");
    let ran = below(&["env"], &nowhere);
    ran.fails(1, &["error: ", "/nonexistent/folder", "os error 2"]);
    // What is published into a directory is made on its file system, where that can be.
    let mut near = publish(root.path().join("near/site"), &tarballs("release-1.2.0"));
    near.env("TMPDIR", "/nonexistent/folder");
    let ran = below(&["env"], &near);
    if Scratch::near(root.path()).describe().contains("target") {
        ran.succeeds();
    } else {
        ran.fails(1, &["error: ", "/nonexistent/folder"]);
    }
    let mut homeless = publish(&site, &tarballs("release-1.2.0"));
    homeless.env_remove("HOME").env_remove("PATH");
    below(&["/usr/bin/env"], &homeless).succeeds();
    let mut bucket = publish("s3://bucket", &tarballs("release-1.2.0"));
    bucket
        .env_remove("HOME")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_ENDPOINT_URL", "http://127.0.0.1:9");
    below(&["env"], &bucket).fails(1, &["error: "]);
}

#[test]
fn standard_input_may_be_closed() {
    let root = folder();
    let script = "exec \"$@\" <&-";
    let mut command = tfreg();
    command.args(["key", "-"]);
    let ran = below(&["sh", "-c", script, "sh"], &command);
    assert!(ran.code == 3 && ran.stderr.contains("standard input"), "{ran:#?}");
    below(&["sh", "-c", script, "sh"], &publish(root.path().join("site"), &tarballs("release-1.2.0")))
        .succeeds();
}

#[test]
fn a_clock_beyond_what_signatures_hold_is_an_error() {
    if !require_program("faketime") {
        return;
    }
    let root = folder();
    let site = root.path().join("site");
    let text = &["the clock of this machine says", "set the clock"];
    for time in ["2106-03-01 00:00:00", "2150-01-01 00:00:00"] {
        below(&["faketime", time], &publish(&site, &tarballs("release-1.2.0"))).fails(1, text);
        let mut looked_at = tfreg();
        looked_at.arg("key").arg(key("ed25519.asc"));
        below(&["faketime", time], &looked_at).fails(1, text);
    }
    assert!(!site.exists());
}
