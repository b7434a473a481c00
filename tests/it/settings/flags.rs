//! Every command keeps to the settings: what a flag says otherwise is refused with both values, and the remedy helps.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::{BASE, ED25519, P256, SETTINGS, candidate, init, json, remedied, set};
use crate::support::child::Running;
use crate::support::s3_server::{Gate, Matcher, Point, S3Server};
use crate::support::watched::watched;
use crate::support::{Ran, folder, key, publish, ran, run, tarball, tarballs, tfreg, tree};

fn linux() -> Vec<std::path::PathBuf> {
    vec![tarball("release-1.2.0", "linux-amd64")]
}

fn resign(site: &Path, new: &str) -> Command {
    let mut command = tfreg();
    command.arg("resign").arg(site).arg("acme/sample@1.2.0");
    command.arg("--signing-key-file").arg(key(new)).arg("--trust-key").arg(key("ed25519.asc"));
    command
}

#[test]
fn a_flag_that_says_otherwise_is_refused_with_both_values_and_the_remedy_helps() {
    let root = folder();
    let site = root.path().join("site");
    let rc = candidate(root.path());
    set(&site, &["--stable-only", "--base-url", BASE]).succeeds();
    run(&mut publish(&site, &linux())).succeeds();
    set(&site, &["--allow-key", ED25519]).succeeds();
    let with = |args: &[&str], tarballs: &[std::path::PathBuf]| {
        let mut command = publish(&site, tarballs);
        command.args(args);
        command
    };
    let other_key = || {
        let mut command = tfreg();
        command.arg("publish").arg("--to").arg(&site).args(["--namespace", "acme", "--signing-key-file"]);
        command.arg(key("p256.asc")).args(tarballs("release-1.10.0"));
        command
    };
    let yank = |args: &[&str]| {
        let mut command = tfreg();
        command.arg("yank").arg(&site).args(["acme/sample@1.2.0", "--yes"]).args(args);
        command
    };
    let rebuilt = tarballs("release-1.2.0-rebuilt");
    let mut cases: Vec<(&str, Command, &[&str])> = vec![
        (
            "base URL",
            with(&["--base-url", "https://other.example.com"], &linux()),
            &["--base-url https://other.example.com/", "\"base_url\": \"https://registry.example.com/tf/\""],
        ),
        (
            "max age",
            with(&["--document-max-age", "5"], &linux()),
            &["--document-max-age 5", "\"document_max_age\": 60"],
        ),
        ("--replace", with(&["--replace"], &rebuilt), &["--replace", "\"replace\": false"]),
        ("pre-release", with(&[], &[rc]), &["1.2.0-rc.1", "\"prereleases\": false"]),
        ("key", other_key(), &[P256, "\"signing_keys\": 4E8911C0E0EC"]),
        ("resign", resign(&site, "rsa3072.asc"), &["\"signing_keys\": "]),
        ("yank", yank(&["--document-max-age", "7"]), &["--document-max-age 7", "\"document_max_age\": 5"]),
    ];
    for (row, command, texts) in &mut cases {
        let before = tree(&site);
        let refused = run(command.stdin(Stdio::null())).refused(row, texts);
        assert!(refused.stderr.contains(SETTINGS) && tree(&site) == before, "{row}: {refused:?}");
        remedied(&refused, &[]);
        run(command).succeeds();
    }
    let settings = json(&site, SETTINGS);
    assert_eq!(settings["signing_keys"].as_array().unwrap().len(), 3, "{settings}");
}

/// What is listed anew is signed by a key of the settings, or by one that is named.
#[test]
fn nothing_of_another_key_is_listed_anew() {
    let root = folder();
    let site = root.path().join("site");
    run(&mut publish(&site, &linux())).succeeds();
    let whole = tree(&site);
    set(&site, &["--allow-key", P256]).succeeds();
    let on = |name: &str, args: &[&str]| {
        let mut command = tfreg();
        command.arg(name).arg(&site).args(args).stdin(Stdio::null());
        run(&mut command)
    };
    // What is listed stays.
    on("reindex", &["acme/sample", "--yes"]).succeeds();
    assert_eq!(tree(&site)["registry/acme/sample/versions"], whole["registry/acme/sample/versions"]);
    on("yank", &["acme/sample@1.2.0", "--yes"]).succeeds();
    on("unyank", &["acme/sample@1.2.0"]).refused("another key", &["not trusted", ED25519]);
    let trust = key("ed25519.asc").display().to_string();
    on("unyank", &["acme/sample@1.2.0", "--trust-key", &trust]).succeeds();
    std::fs::remove_file(site.join("registry/acme/sample/versions")).unwrap();
    on("reindex", &["acme/sample", "--yes"]).refused("another key", &["nor the settings name", ED25519]);
    set(&site, &["--allow-key", ED25519]).succeeds();
    on("reindex", &["acme/sample", "--yes"]).succeeds();
    assert!(site.join("registry/acme/sample/versions").exists());
}

#[test]
fn flags_that_agree_are_taken_and_without_settings_the_flags_decide() {
    let root = folder();
    let (site, plain) = (root.path().join("site"), root.path().join("plain"));
    let flags = ["--base-url", BASE, "--document-max-age", "60"];
    set(&site, &["--base-url", BASE, "--allow-key", ED25519]).succeeds();
    run(&mut publish(&site, &linux())).succeeds();
    let once = tree(&site);
    let same = run(publish(&site, &linux()).args(flags)).succeeds();
    assert_eq!(tree(&site), once, "{same:?}");
    let unset = run(publish(&site, &linux()).env("TFREG_BASE_URL", "")).succeeds();
    assert_eq!(tree(&site), once, "{unset:?}");

    run(publish(&plain, &linux()).args(flags).arg("--replace")).succeeds();
    let links =
        |site: &Path| json(site, "registry/acme/sample/1.2.0/download/linux/amd64")["download_url"].clone();
    assert_eq!(links(&plain), links(&site));
    assert!(links(&site).as_str().unwrap().starts_with(BASE));
    assert_eq!(json(&site, ".well-known/terraform.json")["providers.v1"], format!("{BASE}registry/"));
}

#[test]
fn the_cache_rule_is_that_of_the_settings() {
    let server = S3Server::start(&["bucket"]);
    run(init("s3://bucket", &["--document-max-age", "7"]).envs(server.envs())).succeeds();
    run(publish("s3://bucket", &linux()).envs(server.envs())).succeeds();
    run(tfreg().args(["warn", "s3://bucket", "acme/sample", "text"]).envs(server.envs())).succeeds();
    for (key, object) in server.objects("bucket") {
        let expected = match key.as_str() {
            key if key.starts_with("store/") => "public, max-age=31536000, immutable",
            _ => "public, max-age=7, must-revalidate",
        };
        assert_eq!(object.cache_control.as_deref(), Some(expected), "{key}");
    }
}

/// The settings are read with everything else: no request waits for them, and a second publish makes one request more.
#[test]
fn settings_take_no_round_trip() {
    let server = S3Server::start(&["bucket"]);
    run(init("s3://bucket", &["--base-url", BASE]).envs(server.envs())).succeeds();
    run(publish("s3://bucket", &linux()).envs(server.envs())).succeeds();
    server.clear_requests();
    // All reads of the first round are sent before the first answer comes.
    let gate = Gate::manual();
    let first = [".well-known/terraform.json", "versions", "yanked", "amd64", ".zip", "settings.json"];
    for suffix in first {
        server.gate(Matcher::any().suffix(suffix).nth(1), Point::Before, &gate);
    }
    let mut command = publish("s3://bucket", &linux());
    command.arg("--no-verify").envs(server.envs()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = Running::start(&mut command);
    gate.wait_until_arrived(first.len(), Duration::from_mins(1));
    gate.release();
    ran(&child.output()).succeeds();
    let reads =
        |suffix: &str| server.requests().iter().filter(|request| request.key.ends_with(suffix)).count();
    assert_eq!((reads("settings.json"), reads("versions")), (1, 1));
}

/// A publish is held before its index, while the settings change: it goes on under the new ones, or is refused.
#[test]
fn settings_that_change_under_a_publish_hold_for_it() {
    let changing = |args: &[&str], publish_args: &[&str]| -> (Ran, S3Server) {
        let server = watched();
        run(init("s3://bucket", &["--allow-replace"]).envs(server.envs())).succeeds();
        let gate = Gate::manual();
        server.gate(Matcher::put().suffix("versions").nth(1), Point::Before, &gate);
        let mut command = publish("s3://bucket", &linux());
        command.args(publish_args).envs(server.envs()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = Running::start(&mut command);
        gate.wait_until_arrived(1, Duration::from_mins(1));
        run(init("s3://bucket", args).envs(server.envs())).succeeds();
        gate.release();
        let ran = ran(&child.output());
        server.verify();
        (ran, server)
    };
    let (moved, server) = changing(&["--base-url", BASE], &[]);
    moved.succeeds();
    let objects = server.objects("bucket");
    let document: Value =
        serde_json::from_slice(&objects["registry/acme/sample/1.2.0/download/linux/amd64"].bytes).unwrap();
    for link in ["download_url", "shasums_url", "shasums_signature_url"] {
        assert!(document[link].as_str().unwrap().starts_with(BASE), "{document}");
    }
    for (args, publish_args, text) in [
        (&["--allow-key", P256][..], &[][..], "\"signing_keys\""),
        (&["--allow-replace=false"], &["--replace"], "\"replace\": false"),
    ] {
        let (refused, server) = changing(args, publish_args);
        refused.clone().fails(3, &[text, "The index lists this run's version"]);
        assert!(!refused.stdout.contains("Published"), "{refused:?}");
        // The remedy: the settings allow it again.
        run(init("s3://bucket", &["--any-key", "--allow-replace"]).envs(server.envs())).succeeds();
        run(publish("s3://bucket", &linux()).envs(server.envs())).succeeds();
    }
}

#[test]
fn a_publish_to_s3_without_an_address_says_who_fails() {
    let server = S3Server::start(&["bucket"]);
    let told = run(publish("s3://bucket", &linux()).envs(server.envs())).succeeds();
    for text in ["Renovate", "Terragrunt before 1.0", "tfupdate", "`tfreg init s3://bucket/ --base-url "] {
        assert!(told.stderr.contains(text), "{text}: {told:?}");
    }
    run(init("s3://bucket", &["--base-url", "https://registry.example.com/"]).envs(server.envs())).succeeds();
    let silent = run(publish("s3://bucket", &linux()).envs(server.envs())).succeeds();
    assert!(!silent.stderr.contains("Renovate"), "{silent:?}");
    let root = folder();
    let site = root.path().join("site");
    let silent = run(&mut publish(&site, &linux())).succeeds();
    assert!(!silent.stderr.contains("Renovate"), "{silent:?}");
}
