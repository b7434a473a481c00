//! The record of a publish: what it says, that the key of the release has signed it, and whose it stays.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tfreg::digest::Digest;

use crate::support::clients::require_program;
use crate::support::{Ran, folder, key, publish, run, tarball, tarballs, tree};

const COMMIT: &str = "89abcdef0123456789abcdef0123456789abcdef";

/// A publish by build `number` of a build server.
fn by_build(site: &Path, tarballs: &[PathBuf], number: &str) -> Command {
    let mut command = publish(site, tarballs);
    command
        .env("DRONE_REPO", "acme/sample")
        .env("DRONE_GIT_HTTP_URL", "https://robot:hunter2@git.example.com/acme/sample.git")
        .env("DRONE_COMMIT_SHA", COMMIT)
        .env("DRONE_TAG", "terraform-provider-sample-v1.2.0")
        .env("DRONE_BUILD_EVENT", "tag")
        .env("DRONE_BUILD_NUMBER", number)
        .env("DRONE_BUILD_LINK", format!("https://drone.example.com/acme/sample/{number}"));
    command
}

/// The paths of the one record in a registry and of its signature, where there is one.
fn record(site: &Path) -> (PathBuf, Option<PathBuf>) {
    let keys: Vec<String> = tree(site).into_keys().filter(|key| key.contains("/provenance.json")).collect();
    let statement = keys.iter().find(|key| key.ends_with(".json")).unwrap();
    let signature = keys.iter().find(|key| key.ends_with(".A7F2BC5B6E845A69.sig"));
    (site.join(statement), signature.map(|key| site.join(key)))
}

fn statement(site: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(record(site).0).unwrap()).unwrap()
}

#[track_caller]
fn unchanged(ran: Ran) -> Ran {
    let ran = ran.succeeds();
    assert!(ran.stdout.contains("Already published"), "{ran:#?}");
    ran
}

#[test]
fn it_says_what_was_made_of_what_by_whom() {
    let root = folder();
    let site = root.path().join("site");
    let ran = run(&mut by_build(&site, &tarballs("release-1.2.0"), "42")).succeeds();
    assert!(!ran.stdout.contains("hunter2") && !ran.stderr.contains("hunter2"));
    let (path, signature) = record(&site);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(!text.contains("hunter2"), "{text}");

    let statement = statement(&site);
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(statement["predicateType"], "https://slsa.dev/provenance/v1");
    let subjects = statement["subject"].as_array().unwrap();
    assert_eq!(subjects.len(), 4);
    for subject in subjects {
        let (name, sha256) = (subject["name"].as_str().unwrap(), &subject["digest"]["sha256"]);
        let (_, zip) = tree(&site).into_iter().find(|(key, _)| key.ends_with(name)).unwrap();
        assert_eq!(*sha256, Digest::of(&zip).to_string(), "{name}");
    }
    let definition = &statement["predicate"]["buildDefinition"];
    let dependencies = definition["resolvedDependencies"].as_array().unwrap();
    assert_eq!(dependencies[0]["digest"]["gitCommit"], COMMIT);
    for path in tarballs("release-1.2.0") {
        let name = path.file_name().unwrap().to_str().unwrap();
        let named = dependencies.iter().find(|dependency| dependency["name"] == name).unwrap();
        assert_eq!(named["digest"]["sha256"], Digest::of(&std::fs::read(path).unwrap()).to_string());
    }
    assert_eq!(definition["externalParameters"]["tag"], "terraform-provider-sample-v1.2.0");
    assert_eq!(definition["internalParameters"]["buildNumber"], "42");
    let details = &statement["predicate"]["runDetails"];
    assert_eq!(details["metadata"]["invocationId"], "https://drone.example.com/acme/sample/42");
    let started: jiff::Timestamp = details["metadata"]["startedOn"].as_str().unwrap().parse().unwrap();
    assert!(jiff::Timestamp::now().duration_since(started).as_mins() < 10, "{started}");

    let sums = tree(&site).into_iter().find(|(key, _)| key.ends_with("_SHA256SUMS")).unwrap().1;
    assert!(!String::from_utf8(sums).unwrap().contains("provenance"));
    if require_program("gpg") && require_program("gpgconf") {
        let home = folder();
        let gpg = || {
            let mut gpg = Command::new("gpg");
            gpg.arg("--homedir").arg(home.path()).arg("--batch");
            gpg
        };
        run(gpg().arg("--import").arg(key("ed25519.asc"))).succeeds();
        run(gpg().arg("--verify").arg(signature.unwrap()).arg(path)).succeeds();
        drop(Command::new("gpgconf").arg("--homedir").arg(home.path()).args(["--kill", "all"]).output());
    }
}

#[test]
fn the_first_one_stays() {
    let root = folder();
    let site = root.path().join("site");
    run(&mut by_build(&site, &tarballs("release-1.2.0"), "42")).succeeds();
    let before = tree(&site);
    let again = unchanged(run(&mut by_build(&site, &tarballs("release-1.2.0"), "43")));
    assert!(!again.stderr.contains("warning"), "{again:#?}");
    unchanged(run(&mut publish(&site, &[tarball("release-1.2.0", "linux-amd64")])));
    assert!(tree(&site) == before);
}

#[test]
fn only_who_would_have_written_it_signs_it() {
    let root = folder();
    let site = root.path().join("site");
    let linux = [tarball("release-1.2.0", "linux-amd64")];
    run(&mut by_build(&site, &linux, "42")).succeeds();
    let signature = record(&site).1.unwrap();
    // As a run leaves it that was stopped between the two, two seconds earlier or later.
    std::fs::remove_file(&signature).unwrap();
    std::thread::sleep(std::time::Duration::from_secs(1));
    let other = unchanged(run(&mut by_build(&site, &linux, "43")));
    assert!(other.stderr.contains("warning") && other.stderr.contains("is not signed"), "{other:#?}");
    assert!(!signature.exists());

    let before = statement(&site);
    let same = run(&mut by_build(&site, &linux, "42")).succeeds();
    assert!(same.stdout.contains("Plan: 1 to create") && !same.stderr.contains("warning"), "{same:#?}");
    assert!(signature.exists() && statement(&site) == before);

    // Whoever can write the bucket gets no signature for a record of his own.
    std::fs::remove_file(&signature).unwrap();
    let forged = std::fs::read_to_string(record(&site).0).unwrap().replace("acme/sample", "evil/sample");
    std::fs::write(record(&site).0, forged).unwrap();
    let refused = unchanged(run(&mut by_build(&site, &linux, "42")));
    assert!(refused.stderr.contains("is not signed") && !signature.exists(), "{refused:#?}");

    // A signature of something else is told of; it does not hinder a release.
    std::fs::write(&signature, "no signature").unwrap();
    let told = unchanged(run(&mut by_build(&site, &linux, "42")));
    assert!(told.stderr.contains("does not verify"), "{told:#?}");
}
