//! Every single request of a publish failing in every way, and the process killed before and after each: an independent
//! reader finds a whole registry at every point, and running again completes it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::Signal;
use tfreg::error::Error;
use tfreg::plan::{PublishGoal, Published};

use crate::support::child::Running;
use crate::support::in_process::{bucket, publish_with, registry, unhurried, wanted};
use crate::support::reader::{self, Objects};
use crate::support::s3_server::{Action, Gate, Matcher, Point, S3Server};
use crate::support::watched::{listed, objects, watched, watched_with};
use crate::support::{Ran, folder, publish, ran, run, tarball, tarballs, tfreg, tree, undated};

const PATIENCE: Duration = Duration::from_secs(5);
const BASE: &str = "https://registry.example.com/";

/// What a store can do to a request.
struct Fault {
    name: &'static str,
    action: fn() -> Action,
    /// Whether a publish must succeed in spite of it, when it happens once.
    survived: bool,
}

const fn fault(name: &'static str, action: fn() -> Action, survived: bool) -> Fault {
    Fault { name, action, survived }
}

const FAULTS: &[Fault] = &[
    fault("500 before", || Action::AnswerBefore(500, "InternalError"), true),
    fault("500 after", || Action::AnswerAfter(500, "InternalError"), true),
    fault("503 before", || Action::AnswerBefore(503, "SlowDown"), true),
    fault("503 after", || Action::AnswerAfter(503, "SlowDown"), true),
    fault("dropped before", || Action::DropBefore, true),
    fault("dropped after", || Action::DropAfter, true),
    fault("answer cut", || Action::CutAnswer, true),
    fault("409", || Action::AnswerBefore(409, "ConditionalRequestConflict"), false),
    fault("403", || Action::AnswerBefore(403, "AccessDenied"), false),
];

/// A registry with a network mirror and two versions, each of one platform, as it is in a bucket.
fn base() -> Objects {
    let server = S3Server::start(&["bucket"]);
    let mut init = tfreg();
    init.args(["init", "s3://bucket", "--base-url", BASE, "--network-mirror"]);
    run(init.envs(server.envs())).succeeds();
    for release in ["release-1.2.0", "release-1.10.0"] {
        let linux =
            tarballs(release).into_iter().find(|path| path.to_string_lossy().contains("amd64")).unwrap();
        run(publish("s3://bucket", &[linux]).envs(server.envs())).succeeds();
    }
    objects(&server, "")
}

/// A publish that adds a platform to a version: it creates and replaces.
async fn every_request_fails(fault: &Fault, base: &Objects, adding: &PublishGoal) {
    for nth in 1.. {
        let server = watched_with(base);
        let store = registry(bucket(&server, "s3://bucket"));
        let rule = server.fault(Matcher::any().nth(nth), (fault.action)());
        let outcome = publish_with(&store, adding, 1, PATIENCE).await;
        let fired = rule.fired() > 0;
        if fault.survived || !fired {
            outcome.unwrap_or_else(|error| panic!("{} of request {nth}: {error}", fault.name));
        } else if let Err(error) = outcome {
            // Refused access ends a run. A conflict that is none ends it at a read, where it means nothing.
            assert_eq!(error.exit_code(), 1, "{} of request {nth}: {error}", fault.name);
        }
        server.clear_rules();
        publish_with(&store, adding, 1, PATIENCE)
            .await
            .unwrap_or_else(|error| panic!("again after {} of request {nth}: {error}", fault.name));
        assert_eq!(listed(&server).len(), 3);
        server.verify();
        if !fired {
            assert!(nth > 15, "only {nth} requests?");
            return;
        }
    }
}

#[test]
fn each_request_fails_in_each_way() {
    let mut base = base();
    // Without a signed record the zip of the earlier platform is read too.
    base.retain(|key, _| !key.contains("/provenance.json."));
    let adding = wanted(&[tarball("release-1.2.0", "darwin-arm64")], Published::Immutable);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                while let Some(fault) = FAULTS.get(next.fetch_add(1, Ordering::Relaxed)) {
                    runtime.block_on(every_request_fails(fault, &base, &adding));
                }
            });
        }
    });
}

/// A fault that goes on does not hang a run: it ends with what was and was not published.
#[tokio::test(flavor = "multi_thread")]
async fn a_fault_that_stays_uses_up_the_budget() {
    let answer = |status, code| Action::AnswerBefore(status, code);
    for (name, action, code, said) in [
        ("500", answer(500, "InternalError"), 1, "500"),
        ("dropped", Action::DropBefore, 1, "cannot write"),
        ("503", answer(503, "SlowDown"), 4, "503"),
        ("409 of AWS", answer(409, "ConditionalRequestConflict"), 4, "409"),
        ("409 of Ceph", answer(409, "ConcurrentModification"), 4, "409"),
        ("412", answer(412, "PreconditionFailed"), 4, "412"),
    ] {
        let server = watched();
        let store = registry(bucket(&server, "s3://bucket"));
        server.fault(Matcher::put().suffix("versions"), action);
        let wanted = wanted(&tarballs("release-1.2.0"), Published::Immutable);
        let error = publish_with(&store, &wanted, 4, PATIENCE).await.unwrap_err();
        assert_eq!(error.exit_code(), code, "{name}: {error}");
        let Error::Unfinished { cause, state } = &error else { panic!("{error}") };
        assert!(cause.to_string().contains(said), "{name}: {cause}");
        let state = state.to_string();
        assert!(state.contains("  - registry/acme/sample/versions") && state.contains("+ store/"), "{state}");
        assert!(state.contains("index was not changed") && state.contains("again is safe"), "{state}");
        assert!(listed(&server).is_empty());
        server.clear_rules();
        publish_with(&store, &wanted, 4, PATIENCE).await.unwrap();
        assert_eq!(listed(&server).len(), 4);
        server.verify();
    }
}

/// A store that does not answer reads for a while is waited for, as it is for writes, however the failure looks.
#[tokio::test(flavor = "multi_thread")]
async fn reads_are_as_patient_as_writes() {
    type Failure = (&'static str, fn() -> Action);
    let answer = |status, code| Action::AnswerBefore(status, code);
    let failures: [Failure; 6] = [
        ("503", || Action::AnswerBefore(503, "SlowDown")),
        ("429", || Action::AnswerBefore(429, "TooManyRequests")),
        ("500", || Action::AnswerBefore(500, "InternalError")),
        ("502", || Action::AnswerRaw(502, Vec::new(), "<html>bad gateway</html>".to_owned())),
        ("dropped", || Action::DropBefore),
        ("cut", || Action::CutAnswer),
    ];
    let base = base();
    let wanted = wanted(&[tarball("release-1.2.0", "darwin-arm64")], Published::Immutable);
    for (name, action) in failures {
        for reads in [Matcher::get().suffix("versions"), Matcher::head(), Matcher::get()] {
            let server = watched_with(&base);
            // Ten in a row take longer than a minute: 0.1 s, 0.2 s, … 10 s, 10 s, 10 s.
            let store =
                registry(bucket(&server, "s3://bucket").with_patience(unhurried(Duration::from_mins(2))));
            // One request first, so that the server is known to answer.
            store.get(&".well-known/terraform.json".parse().unwrap()).await.unwrap();
            let rule = server.fault(reads.occurrences(1..=10), action());
            publish_with(&store, &wanted, 1, Duration::from_mins(2))
                .await
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(rule.fired(), 10, "{name}");
            server.clear_rules();
            assert_eq!(listed(&server).len(), 3, "{name}");
            server.verify();
        }
    }
    // What does not pass is not waited for, and what stays is given up.
    for (action, count) in [(answer(403, "AccessDenied"), 1), (answer(501, "NotImplemented"), 1)] {
        let server = watched_with(&base);
        let store = registry(bucket(&server, "s3://bucket").with_patience(unhurried(Duration::from_mins(2))));
        let rule = server.fault(Matcher::get(), action);
        publish_with(&store, &wanted, 1, Duration::from_mins(2)).await.unwrap_err();
        assert_eq!(rule.fired(), count);
    }
    let server = watched_with(&base);
    let store = registry(bucket(&server, "s3://bucket").with_patience(unhurried(Duration::from_mins(2))));
    let rule = server.fault(Matcher::get(), answer(503, "SlowDown"));
    let error = publish_with(&store, &wanted, 1, Duration::from_mins(2)).await.unwrap_err().to_string();
    assert!(error.contains("HTTP status 503") && error.contains("(tried again for 120 s)"), "{error}");
    assert!(rule.fired() > 15, "{}", rule.fired());
}

#[test]
fn a_process_killed_at_each_request_leaves_a_whole_registry() {
    let finished = Mutex::new(false);
    let next = AtomicU64::new(1);
    let base = base();
    let kill_at = |nth: u64, point: Point| -> bool {
        let server = watched_with(&base);
        let start = |tarballs: &[std::path::PathBuf]| {
            let mut command = publish("s3://bucket", tarballs);
            // What was there before was put there without headers, which a verification would tell of.
            command.envs(server.envs()).args(["--jobs", "1", "--no-verify"]);
            command
        };
        let adding = tarballs("release-1.2.0-more");
        let child: Arc<Mutex<Option<Running>>> = Arc::default();
        let victim = Arc::clone(&child);
        let rule = server.kill_hook(Matcher::any().nth(nth), point, move |_| {
            // The slot is locked until the child is in it.
            let mut child = victim.lock().unwrap().take().unwrap();
            child.kill().unwrap();
            child.wait().unwrap();
        });
        {
            let mut slot = child.lock().unwrap();
            *slot = Some(Running::start(start(&adding).stdout(Stdio::null()).stderr(Stdio::null())));
        }
        let killed = loop {
            if rule.fired() > 0 {
                break true;
            }
            if let Some(child) = child.lock().unwrap().as_mut()
                && let Some(status) = child.try_wait().unwrap()
            {
                assert!(status.success());
                break false;
            }
            std::thread::yield_now();
        };
        server.clear_rules();
        run(&mut start(&adding)).succeeds();
        assert_eq!(listed(&server).len(), 4);
        reader::mirrored(&objects(&server, ""), BASE).unwrap();
        server.verify();
        killed
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !*finished.lock().unwrap() {
                    let nth = next.fetch_add(1, Ordering::Relaxed);
                    let killed = kill_at(nth, Point::Before) | kill_at(nth, Point::After);
                    *finished.lock().unwrap() |= !killed;
                }
            });
        }
    });
    assert!(next.into_inner() > 20);
}

/// A server that accepts a request and does not answer: the write is given up, read back and tried again.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_does_not_come_is_given_up() {
    let wanted = wanted(&[tarball("release-1.2.0", "linux-amd64")], Published::Immutable);
    for point in [Point::Before, Point::After] {
        for key in
            [".zip", "SHA256SUMS", "provenance.json", ".sig", "linux/amd64", "versions", "terraform.json"]
        {
            let server = watched();
            let store =
                registry(bucket(&server, "s3://bucket").with_write_timeout(Duration::from_millis(300)));
            let gate = Gate::manual();
            server.gate(Matcher::put().suffix(key).nth(1), point, &gate);
            publish_with(&store, &wanted, 4, PATIENCE).await.unwrap();
            assert_eq!((gate.arrived(), listed(&server).len()), (1, 1), "{key}");
            // A request that was given up may still be carried out, much later; it must not do any harm.
            gate.release();
            publish_with(&store, &wanted, 4, PATIENCE).await.unwrap();
            assert_eq!(listed(&server).len(), 1);
            server.verify();
        }
    }
}

#[test]
fn who_interrupts_is_told_that_running_again_is_safe() {
    let server = watched();
    let gate = Gate::manual();
    server.gate(Matcher::put().suffix("versions").nth(1), Point::Before, &gate);
    let mut command = publish("s3://bucket", &tarballs("release-1.2.0"));
    let child = Running::start(command.envs(server.envs()).stdout(Stdio::piped()).stderr(Stdio::piped()));
    gate.wait_until_arrived(1, Duration::from_mins(1));
    child.signal(Signal::INT);
    ran(&child.output()).fails(1, &["interrupted", "whole", "again is safe"]);
    assert!(listed(&server).is_empty());
    gate.release();
    run(publish("s3://bucket", &tarballs("release-1.2.0")).envs(server.envs())).succeeds();
    assert_eq!(listed(&server).len(), 4);
    server.verify();
}

const INDEX: &str = "registry/acme/sample/versions";

/// What an index lists, whether it is whole or not: `VERSION OS_ARCH`.
fn indexed(objects: &Objects) -> BTreeSet<String> {
    let Some(index) = objects.get(INDEX) else { return BTreeSet::new() };
    let index: serde_json::Value = serde_json::from_slice(index).unwrap();
    let mut names = BTreeSet::new();
    for entry in index["versions"].as_array().unwrap() {
        for platform in entry["platforms"].as_array().unwrap() {
            let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
            names.insert(format!(
                "{} {}_{}",
                text(&entry["version"]),
                text(&platform["os"]),
                text(&platform["arch"])
            ));
        }
    }
    names
}

fn write(site: &Path, objects: &Objects) {
    if site.exists() {
        std::fs::remove_dir_all(site).unwrap();
    }
    for (key, bytes) in objects {
        std::fs::create_dir_all(site.join(key).parent().unwrap()).unwrap();
        std::fs::write(site.join(key), bytes).unwrap();
    }
}

/// Carries out the command that a remedy names.
fn carry_out(refused: &Ran) -> Ran {
    let remedy = refused.stderr.split("remedy:").nth(1).unwrap();
    let command = remedy.split('`').nth(1).unwrap().replace('\n', " ");
    let mut words = command.split_whitespace();
    assert_eq!(words.next(), Some("tfreg"), "{command}");
    run(tfreg().args(words).stdin(Stdio::null()))
}

/// Absent is not empty: whichever object is gone, no publish lists less than before, and what a refusal tells to do heals it.
#[test]
fn each_object_is_deleted_between_publishes() {
    let root = folder();
    let site = root.path().join("site");
    let both = [tarball("release-1.2.0", "linux-amd64"), tarball("release-1.2.0", "darwin-arm64")];
    let other = [tarball("release-1.10.0", "linux_amd64")];
    let put = |tarballs: &[PathBuf]| run(publish(&site, tarballs).arg("--no-verify"));
    put(&both).succeeds();
    put(&other).succeeds();
    let base = tree(&site);
    let listed = indexed(&base);
    assert_eq!(listed.len(), 3);
    let publishes: [(&str, Vec<PathBuf>); 4] = [
        ("the same version", both.to_vec()),
        ("a platform of it", both[..1].to_vec()),
        ("another platform", vec![tarball("release-1.2.0", "windows-amd64")]),
        ("the other version", other.to_vec()),
    ];
    let (mut refused, mut healed) = (0, 0);
    for gone in base.keys() {
        for (name, tarballs) in &publishes {
            let row = format!("{name}, without {gone}");
            let mut objects = base.clone();
            objects.remove(gone);
            write(&site, &objects);
            let ran = put(tarballs);
            let now = indexed(&tree(&site));
            if gone == INDEX {
                ran.clone().refused(&row, &[INDEX, "is missing", "1.2.0", "tfreg reindex"]);
                assert!(tree(&site) == objects, "{row}: nothing is written");
                carry_out(&ran).succeeds();
                assert_eq!(indexed(&tree(&site)), listed, "{row}: after the remedy");
            } else {
                assert!(now.is_superset(&listed), "{row}: {listed:?} became {now:?}");
            }
            if ran.code == 0 {
                healed += 1;
                continue;
            }
            refused += 1;
            assert_eq!(ran.code, 3, "{row}: {ran:#?}");
            if gone != INDEX {
                // "publish the tarball for … in the same run"
                assert!(ran.stderr.contains("in the same run"), "{row}: {ran:#?}");
                let all: BTreeSet<PathBuf> = tarballs.iter().chain(&both).cloned().collect();
                put(&all.into_iter().collect::<Vec<_>>()).succeeds();
            }
            put(tarballs).succeeds();
            let whole = tree(&site);
            assert!(indexed(&whole).is_superset(&listed), "{row}");
            reader::read(&whole).unwrap_or_else(|error| panic!("{row}: {error}"));
        }
    }
    println!("{} objects: {healed} publishes done, {refused} refused and then done", base.len());
    assert!(refused > 4 && healed > refused);
}

/// Every command that writes an index, or needs one, tells a lost one from one that never was.
#[test]
fn a_lost_index_is_told_by_every_command() {
    let root = folder();
    let site = root.path().join("site");
    let linux = [tarball("release-1.2.0", "linux-amd64")];
    run(&mut publish(&site, &linux)).succeeds();
    run(&mut publish(&site, &[tarball("release-1.10.0", "linux_amd64")])).succeeds();
    let key = crate::support::key("ed25519.asc");
    let key = key.to_str().unwrap();
    let commands: [&[&str]; 5] = [
        &["warn", "acme/sample", "careful"],
        &["yank", "acme/sample", "1.2.0", "--yes"],
        &["unyank", "acme/sample", "1.2.0"],
        &["resign", "acme/sample", "--signing-key-file", key],
        &["resign", "acme/sample", "--refresh-key", "--key", key],
    ];
    let command = |args: &[&str], site: &Path| {
        run(tfreg().arg(args[0]).arg(site).args(&args[1..]).stdin(Stdio::null()))
    };
    let before = tree(&site);
    for args in commands {
        std::fs::remove_file(site.join(INDEX)).unwrap();
        let ran = command(args, &site);
        ran.clone().refused(args[0], &[INDEX, "is missing", "1.2.0: linux_amd64", "1.10.0: linux_amd64"]);
        carry_out(&ran).succeeds();
        assert!(undated(&tree(&site)) == undated(&before), "{args:?}: after the remedy");
        assert!(!command(args, &site).stderr.contains("is missing"), "{args:?}");
        write(&site, &before);
        let nothing = [&[args[0], "acme/other"], &args[2..]].concat();
        command(&nothing, &site).refused("never published", &["acme/other is not published"]);
    }
    // Also where all other versions are yanked, and only their records tell.
    command(&["yank", "acme/sample", "1.10.0", "--yes"], &site).succeeds();
    let record = "registry/acme/sample/1.10.0/yanked";
    for key in tree(&site).into_keys().filter(|key| key.contains("/1.10.0/") && key != record) {
        std::fs::remove_file(site.join(key)).unwrap();
    }
    std::fs::remove_file(site.join(INDEX)).unwrap();
    run(&mut publish(&site, &linux)).refused("a record", &["the record that 1.10.0 was yanked"]);
    // And verify does not tell to publish, which would drop versions.
    let told = run(tfreg().arg("verify").arg(&site));
    let said = format!("{}{}", told.stdout, told.stderr);
    assert!(told.code != 0 && said.contains("tfreg reindex"), "{told:#?}");
}
