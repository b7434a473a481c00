//! The commands that change what is published: warn, yank, unyank, reindex and resign.

mod reindex;
mod resign;
mod warn;
mod yank;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tfreg::openpgp::Signer;
use tfreg::plan::Goal;
use tfreg::provider::Provider;

use crate::support::child::Running;
use crate::support::in_process::{bucket, publish_signed, registry};
use crate::support::reader::Objects;
use crate::support::s3_server::{Action, Matcher, Point, S3Server};
use crate::support::watched::{watched, watched_with};
use crate::support::{Ran, folder, key, publish, run, tarballs, tfreg};

const INDEX: &str = "registry/acme/sample/versions";
const RECORD: &str = "registry/acme/sample/1.2.0/yanked";
const OLD_FINGERPRINT: &str = "4E8911C0E0EC692102243A48A7F2BC5B6E845A69";

/// `tfreg COMMAND TARGET acme/sample ARG…`, with nobody to answer.
fn command(name: &str, target: impl AsRef<std::ffi::OsStr>, args: &[&str]) -> Command {
    let mut command = tfreg();
    command.arg(name).arg(target).arg("acme/sample").args(args).stdin(Stdio::null());
    command
}

fn on(site: &Path, name: &str, args: &[&str]) -> Ran {
    run(&mut command(name, site, args))
}

/// A registry with two versions of four platforms each, in a directory.
fn site() -> (tempfile::TempDir, std::path::PathBuf) {
    let root = folder();
    let site = root.path().join("site");
    for release in ["release-1.2.0", "release-1.10.0"] {
        run(&mut publish(&site, &tarballs(release))).succeeds();
    }
    (root, site)
}

/// The same in a bucket whose every further state is judged.
fn server() -> S3Server {
    let server = watched();
    for release in ["release-1.2.0", "release-1.10.0"] {
        run(publish("s3://bucket", &tarballs(release)).envs(server.envs())).succeeds();
    }
    server.clear_requests();
    server
}

fn json(site: &Path, key: &str) -> Value {
    serde_json::from_slice(&std::fs::read(site.join(key)).unwrap()).unwrap()
}

/// Changes a document by hand.
fn edit(site: &Path, key: &str, change: impl FnOnce(&mut Value)) {
    let mut document = json(site, key);
    change(&mut document);
    std::fs::write(site.join(key), document.to_string()).unwrap();
}

fn result(ran: Ran) -> Value {
    serde_json::from_str(&ran.succeeds().stdout).unwrap()
}

fn versions(site: &Path) -> Vec<String> {
    let index = json(site, INDEX);
    let entries = index["versions"].as_array().unwrap().iter();
    entries.map(|entry| entry["version"].as_str().unwrap().to_owned()).collect()
}

fn key_file(name: &str) -> String {
    key(name).to_str().unwrap().to_owned()
}

/// What is wanted of the sample provider's 1.2.0 in the tests of faults.
fn provider() -> Provider {
    Provider { namespace: "acme".parse().unwrap(), provider_type: "sample".parse().unwrap() }
}

/// Every request of a command fails before and after it is carried out, and kills the process before and after; every state
/// is judged, and running again completes it.
fn every_request<G: Goal>(
    base: &Objects,
    goal: (&G, &Arc<dyn Signer>),
    name: &str,
    args: &[&str],
    judge: &dyn Fn(&S3Server),
) {
    every_request_of(base, goal, &|| command(name, "s3://bucket", args), judge);
}

/// The same of any command; `command` makes it, for `s3://bucket`.
pub(crate) fn every_request_of<G: Goal>(
    base: &Objects,
    (goal, signer): (&G, &Arc<dyn Signer>),
    command: &dyn Fn() -> Command,
    judge: &dyn Fn(&S3Server),
) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let start = |server: &S3Server| {
        let mut command = command();
        command.envs(server.envs()).args(["--jobs", "1"]);
        command
    };
    for nth in 1.. {
        let mut fired = false;
        for (said, action) in [
            ("500 before", Action::AnswerBefore(500, "InternalError")),
            ("500 after", Action::AnswerAfter(500, "InternalError")),
            ("dropped before", Action::DropBefore),
            ("dropped after", Action::DropAfter),
            ("answer cut", Action::CutAnswer),
        ] {
            let server = watched_with(base);
            let store = registry(bucket(&server, "s3://bucket"));
            let rule = server.fault(Matcher::any().nth(nth), action);
            let outcome =
                runtime.block_on(publish_signed(&store, goal, 1, Duration::from_secs(5), Arc::clone(signer)));
            assert!(outcome.is_ok(), "{said} of request {nth}: {outcome:?}");
            fired |= rule.fired() > 0;
            judge(&server);
            server.verify();
        }
        for point in [Point::Before, Point::After] {
            let server = watched_with(base);
            let child: std::sync::Arc<std::sync::Mutex<Option<Running>>> = std::sync::Arc::default();
            let victim = std::sync::Arc::clone(&child);
            let rule = server.kill_hook(Matcher::any().nth(nth), point, move |_| {
                let mut child = victim.lock().unwrap().take().unwrap();
                child.kill().unwrap();
                child.wait().unwrap();
            });
            {
                // The slot is locked until the child is in it.
                let mut slot = child.lock().unwrap();
                let mut command = start(&server);
                *slot = Some(Running::start(command.stdout(Stdio::null()).stderr(Stdio::null())));
            }
            loop {
                let ended =
                    child.lock().unwrap().as_mut().is_none_or(|child| child.try_wait().unwrap().is_some());
                if ended {
                    break;
                }
                std::thread::yield_now();
            }
            server.clear_rules();
            let ran = run(&mut start(&server));
            assert_eq!(ran.code, 0, "again after a kill {point:?} request {nth}: {ran:?}");
            fired |= rule.fired() > 0;
            judge(&server);
            server.verify();
        }
        if !fired {
            assert!(nth > 6, "only {nth} requests?");
            return;
        }
    }
}

#[test]
fn every_command_takes_the_registry_and_the_version_in_one_way() {
    let (root, site) = site();
    let at = site.to_str().unwrap();
    let elsewhere = root.path().join("elsewhere");
    let elsewhere = elsewhere.to_str().unwrap();
    let tried = |args: &[&str], variable: Option<&str>| {
        run(tfreg().args(args).envs(variable.map(|to| ("TFREG_TO", to))).stdin(Stdio::null()))
    };
    for (words, variable) in [
        (&[at, "acme/sample@1.2.0"][..], None),
        (&["--to", at, "acme/sample@v1.2.0"], None),
        (&["acme/sample", "1.2.0"], Some(at)),
        (&[at, "acme/sample", "v1.2.0"], Some(elsewhere)),
        (&["--to", at, "acme/sample@refs/tags/terraform-provider-sample-v1.2.0"], Some(elsewhere)),
    ] {
        tried(&[&["yank"], words, &["--yes"]].concat(), variable).succeeds();
        assert_eq!(versions(&site), ["1.10.0"], "{words:?}");
        tried(&[&["unyank"], words].concat(), variable).succeeds();
        assert_eq!(versions(&site).len(), 2, "{words:?}");
    }
    let public = root.path().join("public.asc");
    std::fs::write(&public, run(tfreg().args(["key", "--public"]).arg(key("ed25519.asc"))).succeeds().stdout)
        .unwrap();
    let refresh = ["--refresh-key", "--key", public.to_str().unwrap()];
    for (command, more) in [
        ("warn", &["text"][..]),
        ("reindex", &["--yes"]),
        ("verify", &[]),
        ("resign", &refresh),
        ("resign", &[&["v1.2.0"], &refresh[..]].concat()),
    ] {
        let rest = [&["acme/sample"], more].concat();
        tried(&[&[command, "--to", at], rest.as_slice()].concat(), Some(elsewhere)).succeeds();
        tried(&[&[command], rest.as_slice()].concat(), Some(at)).succeeds();
        tried(&[&[command, at], rest.as_slice()].concat(), Some(elsewhere)).succeeds();
    }
    // Where --to names the registry, a MESSAGE may look like NS/TYPE.
    tried(&["warn", "--to", at, "acme/sample", "acme/better"], Some(elsewhere)).succeeds();
    assert_eq!(json(&site, INDEX)["warnings"], serde_json::json!(["acme/better"]));
    let verified = result(tried(&["verify", at, "acme/sample@v1.2.0", "--format", "json"], None));
    let narrowed =
        ["verify", at, "--namespace", "acme", "--type", "sample", "--version", "1.2.0", "--format", "json"];
    assert_eq!(verified["checked"], result(tried(&narrowed, None))["checked"]);

    for (args, text) in [
        (&["yank"][..], "no TARGET"),
        (&["yank", "acme/sample@1.2.0"], "no TARGET"),
        (&["yank", at], "no NS/TYPE"),
        (&["yank", at, "acme/sample"], "no version"),
        (&["yank", at, "acme/sample@1.2.0", "1.2.0"], "takes one"),
        (&["yank", "--to", elsewhere, at, "acme/sample@1.2.0"], "named twice"),
        (&["yank", at, "acme/sample@latest"], "'NS/TYPE[@VERSION]'"),
        (&["warn", at, "acme/sample@1.2.0", "text"], "all versions"),
        (&["reindex", at, "acme/sample@1.2.0"], "all versions"),
        (&["verify"], "no TARGET"),
        (&["verify", at, "acme/sample", "--version", "1.2.0"], "named twice"),
    ] {
        tried(args, None).fails(2, &[text]);
    }
    assert!(!Path::new(elsewhere).exists());
}
