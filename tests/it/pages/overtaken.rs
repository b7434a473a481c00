//! Two runs at once with different documentation of one version.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{BASE, to};
use crate::support::child::Running;
use crate::support::s3_server::{Gate, Matcher, Point};
use crate::support::watched::watched;
use crate::support::{folder, ran, run, tarballs, tfreg};

/// So long a process may take to its last write, on a machine that does much else.
const PATIENCE: Duration = Duration::from_mins(2);

#[test]
fn of_two_documentations_of_a_version_at_once_one_is_refused() {
    let (root, server) = (folder(), watched());
    let envs = || server.envs();
    run(tfreg().args(["init", "s3://bucket", "--base-url", BASE, "--pages"]).envs(envs())).succeeds();
    let docs = |name: &str| -> PathBuf {
        let docs = root.path().join(name);
        std::fs::create_dir(&docs).unwrap();
        std::fs::write(docs.join("index.md"), format!("# The provider of {name}\n")).unwrap();
        docs
    };
    let (ours, theirs) = (docs("one"), docs("two"));
    let publish = |docs: &Path| {
        let mut command = to(envs(), "acme", &tarballs("release-1.2.0"));
        command.arg("--docs").arg(docs);
        command
    };
    let page = "providers/acme/sample/1.2.0/docs/index.html";
    let shows = |name: &str| {
        String::from_utf8_lossy(&server.objects("bucket")[page].bytes)
            .contains(&format!("The provider of {name}"))
    };

    // The first has written its documentation, and not yet its last page, when the second does all that it has to do.
    let gate = Gate::manual();
    server.gate(Matcher::put().key("index.html").nth(1), Point::Before, &gate);
    let first = Running::start(&mut publish(&ours));
    gate.wait_until_arrived(1, PATIENCE);
    assert!(shows("one"));
    run(&mut publish(&theirs)).succeeds();
    assert!(shows("two"));
    gate.release();
    let overtaken = ran(&first.output())
        .fails(3, &[page, "overtaken", "\n  found:    ", "\n  expected: ", "\n  remedy:   "]);
    assert!(
        overtaken
            .stderr
            .contains("find out which was meant, and publish that one again; let one pipeline give --docs"),
        "{overtaken:#?}"
    );
    assert!(shows("two"), "what was refused is not there");
    // The version is published nevertheless, and whole; the pages too.
    let index = String::from_utf8_lossy(&server.objects("bucket")["index.html"].bytes).into_owned();
    assert!(index.contains("acme/sample"), "{index}");
    let verified = run(tfreg().args(["verify", "s3://bucket"]).envs(envs())).succeeds();
    assert!(!verified.stdout.contains("page-"), "{verified:#?}");

    // The remedy: that which was meant is published again, and only one gives --docs.
    run(&mut publish(&ours)).succeeds();
    assert!(shows("one"));
    run(&mut to(envs(), "acme", &tarballs("release-1.2.0"))).succeeds();
    assert!(shows("one"));
    server.verify();
}
