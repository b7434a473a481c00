//! A mirror in a bucket: the order of the writes, runs that are killed, and runs that meet.

use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use super::{BASE, INDEX, KEYS, SOURCE, UPSTREAM, World, publish_upstream, version_key};
use crate::support::child::Running;
use crate::support::s3_server::{Gate, Matcher, Point, S3Server};
use crate::support::{ran, run, tarballs, tfreg};

const TARGET: &str = "s3://registry-bucket";

fn server() -> S3Server {
    let server = S3Server::start(&["registry-bucket"]);
    let init = ["init", TARGET, "--base-url", BASE, "--network-mirror"];
    run(tfreg().args(init).envs(server.envs())).succeeds();
    server
}

/// `tfreg mirror --to s3://registry-bucket`
fn mirror(world: &World, server: &S3Server, args: &[&str]) -> Command {
    let mut command = tfreg();
    command.arg("mirror").args(["--to", TARGET]).args(args).envs(server.envs());
    world.reaching(&mut command);
    command
}

fn versions(server: &S3Server) -> Vec<String> {
    let index: serde_json::Value =
        serde_json::from_slice(&server.objects("registry-bucket")[INDEX].bytes).unwrap();
    index["versions"].as_object().unwrap().keys().cloned().collect()
}

#[test]
fn what_leads_to_an_object_is_written_after_it_and_every_write_has_a_condition() {
    let world = World::new(&["release-1.2.0"]);
    let server = server();
    let before = server.history().len();
    server.clear_requests();
    run(&mut mirror(&world, &server, &[SOURCE])).succeeds();
    let written: Vec<String> = server.history()[before..].iter().map(|event| event.key.clone()).collect();
    let (documents, kept): (Vec<&String>, Vec<&String>) =
        written.iter().partition(|key| key.starts_with("mirror/"));
    assert_eq!(kept.len(), 7, "four zips, SHA256SUMS, its signature, the facts: {kept:?}");
    assert!(kept.iter().all(|key| key.starts_with(&format!("store/{UPSTREAM}/acme/sample/1.2.0/"))));
    assert_eq!(documents, [KEYS, &version_key("1.2.0"), INDEX]);
    assert_eq!(written[kept.len()..].iter().collect::<Vec<_>>(), documents, "documents last");
    for request in server.requests().iter().filter(|request| request.method == "PUT") {
        let has = |name: &str| request.headers.contains_key(name);
        assert!(has("if-none-match") || has("if-match"), "{request:?}");
    }
    // An unchanged run writes nothing, and reads no zip, there or upstream.
    server.clear_requests();
    let zips = world.host.gets(".zip");
    run(&mut mirror(&world, &server, &[SOURCE])).succeeds();
    let requests = server.requests();
    assert!(requests.iter().all(|request| request.method != "PUT"));
    assert!(!requests.iter().any(|request| request.method == "GET" && request.key.ends_with(".zip")));
    assert_eq!(world.host.gets(".zip"), zips);
    run(tfreg().args(["verify", TARGET]).envs(server.envs())).succeeds();
}

/// Runs a command that is killed at its write to a key with this end.
fn killed(server: &S3Server, suffix: &str, point: Point, command: &mut Command) {
    let child = Arc::new(Mutex::new(None::<Running>));
    let at = Arc::clone(&child);
    let rule = server.kill_hook(Matcher::put().suffix(suffix), point, move |_| {
        loop {
            if let Some(running) = at.lock().unwrap().as_mut() {
                return running.kill().unwrap();
            }
            std::thread::yield_now();
        }
    });
    let running = Running::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
    *child.lock().unwrap() = Some(running);
    while child.lock().unwrap().as_mut().unwrap().try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    assert_eq!(rule.fired(), 1, "{suffix}: it ended by itself");
}

#[test]
fn a_run_that_is_killed_is_completed() {
    let world = World::new(&["release-1.2.0", "release-1.10.0"]);
    for suffix in ["sample_1.2.0_linux_amd64.zip", "signing-keys.json", "1.2.0.json", "index.json"] {
        for point in [Point::Before, Point::After] {
            let server = server();
            killed(&server, suffix, point, &mut mirror(&world, &server, &[&format!("{SOURCE}@>= 1.0")]));
            server.clear_rules();
            let listed = server.objects("registry-bucket").contains_key(INDEX);
            assert_eq!(listed, suffix == "index.json" && point == Point::After, "{suffix}");
            run(&mut mirror(&world, &server, &[&format!("{SOURCE}@>= 1.0")])).succeeds();
            assert_eq!(versions(&server), ["1.2.0", "1.10.0"], "{suffix}");
            run(tfreg().args(["verify", TARGET]).envs(server.envs())).succeeds();
        }
    }
}

#[test]
fn two_runs_that_read_the_same_index_both_stay() {
    let world = World::new(&["release-1.2.0", "release-1.10.0"]);
    for (suffix, one, two) in [
        ("sample/index.json", vec![format!("{SOURCE}@1.2.0")], vec![format!("{SOURCE}@1.10.0")]),
        (
            "1.2.0.json",
            vec![format!("{SOURCE}@1.2.0"), "--platform=linux_amd64".to_owned()],
            vec![format!("{SOURCE}@1.2.0"), "--platform=darwin_arm64".to_owned()],
        ),
    ] {
        let server = server();
        let gate = Gate::arrive(2);
        server.gate(Matcher::put().suffix(suffix).occurrences(1..=2), Point::Before, &gate);
        let start = |args: &[String]| {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let mut command = mirror(&world, &server, &args);
            Running::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()))
        };
        let (one, two) = (start(&one), start(&two));
        ran(&one.output()).succeeds();
        ran(&two.output()).succeeds();
        server.verify();
        let objects = server.objects("registry-bucket");
        let file: serde_json::Value = serde_json::from_slice(&objects[&version_key("1.2.0")].bytes).unwrap();
        let platforms = file["archives"].as_object().unwrap().len();
        if suffix == "1.2.0.json" {
            assert_eq!((versions(&server).len(), platforms), (1, 2));
        } else {
            assert_eq!((versions(&server).len(), platforms), (2, 4));
        }
        run(tfreg().args(["verify", TARGET]).envs(server.envs())).succeeds();
    }
}

#[test]
fn a_key_that_another_run_records_first_is_the_one_that_counts() {
    // Two first runs at once, and upstream changes its key in between.
    let world = World::new(&["release-1.2.0"]);
    let server = server();
    let gate = Gate::arrive(2);
    server.gate(Matcher::put().suffix("signing-keys.json").occurrences(1..=2), Point::Before, &gate);
    let start = || {
        let mut command = mirror(&world, &server, &[SOURCE]);
        Running::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()))
    };
    let first = start();
    while world.host.gets(".zip") < 4 {
        std::thread::yield_now();
    }
    publish_upstream(&world.upstream(), "rsa3072.asc", &tarballs("release-1.10.0"));
    let second = start();
    let outcomes = [ran(&first.output()), ran(&second.output())];
    let refused: Vec<_> = outcomes.iter().filter(|ran| ran.code == 3).collect();
    assert_eq!(refused.len(), 1, "{outcomes:?}");
    assert!(refused[0].stderr.contains("another key than before"), "{refused:?}");
    assert_eq!(versions(&server).len(), 1);
}
