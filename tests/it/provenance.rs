//! What the key signs: only what the run has made, or proves. The record of a publish: what it says, that the key of the
//! release has signed it, and whose it stays.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tfreg::content::Digest;

use crate::support::clients::require_program;
use crate::support::in_process::signer;
use crate::support::{Ran, folder, key, publish, reader, run, tarball, tarballs, tfreg, tree};

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
        .env("DRONE_BUILD_STARTED", "1767322986")
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
    assert_eq!(details["metadata"]["startedOn"], "2026-01-02T03:03:06Z");

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
    let (path, signature) = record(&site);
    let signature = signature.unwrap();
    // As a run leaves it that was stopped between the two.
    std::fs::remove_file(&signature).unwrap();
    let other = unchanged(run(&mut by_build(&site, &linux, "43")));
    assert!(other.stderr.contains("warning") && other.stderr.contains("is not signed"), "{other:#?}");
    assert!(!signature.exists());

    let before = std::fs::read_to_string(&path).unwrap();
    let same = run(&mut by_build(&site, &linux, "42")).succeeds();
    assert!(same.stdout.contains("Plan: 1 to create") && !same.stderr.contains("warning"), "{same:#?}");
    assert!(signature.exists() && std::fs::read_to_string(&path).unwrap() == before);

    // Whoever can write the bucket gets no signature for a record of his own, nor for this one with another time, or with
    // text where a time may have it.
    std::fs::remove_file(&signature).unwrap();
    for (from, to) in [
        ("acme/sample", "evil/sample"),
        ("2026-01-02T03:03:06Z", "2026-01-02T03:03:07Z"),
        ("2026-01-02T03:03:06Z", "2026-01-02T03:03:06+00:00[!evil=pwned]"),
        ("{\n", "{\n "),
        ("}\n", "}"),
    ] {
        let forged = before.replace(from, to);
        assert_ne!(forged, before, "{from}");
        std::fs::write(&path, &forged).unwrap();
        let refused = unchanged(run(&mut by_build(&site, &linux, "42")));
        assert!(refused.stderr.contains("is not signed") && !signature.exists(), "{to}: {refused:#?}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), forged);
    }

    // A signature of something else is told of; it does not hinder a release.
    std::fs::write(&signature, "no signature").unwrap();
    let told = unchanged(run(&mut by_build(&site, &linux, "42")));
    assert!(told.stderr.contains("does not verify"), "{told:#?}");
}

/// Every attempt of a publish by hand writes the same record too, so that a stopped one is completed.
#[test]
fn an_attempt_later_writes_the_same_record() {
    let root = folder();
    let linux = [tarball("release-1.2.0", "linux-amd64")];
    let records: Vec<Vec<u8>> = ["a", "b"]
        .map(|name| {
            let site = root.path().join(name);
            run(&mut publish(&site, &linux)).succeeds();
            std::fs::read(record(&site).0).unwrap()
        })
        .into();
    assert_eq!(records[0], records[1]);
}

const LINUX: &str = "registry/acme/sample/1.2.0/download/linux/amd64";

fn edit(site: &Path, key: &str, change: impl FnOnce(&mut Value)) {
    let mut document: Value = serde_json::from_slice(&std::fs::read(site.join(key)).unwrap()).unwrap();
    change(&mut document);
    std::fs::write(site.join(key), document.to_string()).unwrap();
}

fn document(site: &Path, key: &str) -> Value {
    serde_json::from_slice(&std::fs::read(site.join(key)).unwrap()).unwrap()
}

/// The lines of every SHA256SUMS of 1.2.0 whose signature is there, but for those in `but`.
fn signed_lines(site: &Path, but: &str) -> Vec<String> {
    let files = tree(site);
    let signed = files.keys().filter_map(|key| key.strip_suffix(".A7F2BC5B6E845A69.sig"));
    let sums = signed.filter(|key| key.contains("/1.2.0/") && key.ends_with("_SHA256SUMS") && *key != but);
    sums.flat_map(|key| {
        String::from_utf8(files[key].clone()).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
    })
    .collect()
}

/// Puts the signed SHA256SUMS of 1.10.0 under the key of one of 1.2.0, and a document on it; gives its key.
fn copied(site: &Path) -> String {
    let other = document(site, "registry/acme/sample/1.10.0/download/linux/amd64");
    let mut keys = ["shasums_url", "shasums_signature_url"].map(|member| {
        let from = other[member].as_str().unwrap()[1..].to_owned();
        let to = from.replace("1.10.0", "1.2.0");
        std::fs::create_dir_all(site.join(&to).parent().unwrap()).unwrap();
        std::fs::copy(site.join(from), site.join(&to)).unwrap();
        edit(site, LINUX, |document| document[member] = format!("/{to}").into());
        to
    });
    std::mem::take(&mut keys[0])
}

#[test]
fn a_signed_file_of_another_version_is_not_signed_as_this_ones() {
    for poses in [false, true] {
        let root = folder();
        let site = root.path().join("site");
        run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
        run(&mut publish(&site, &tarballs("release-1.10.0"))).succeeds();
        let planted = copied(&site);
        if poses {
            // The document offers the other version's zip under this one's number.
            let other = document(&site, "registry/acme/sample/1.10.0/download/linux/amd64");
            edit(&site, LINUX, |document| {
                for member in ["filename", "shasum", "download_url"] {
                    document[member] = other[member].clone();
                }
            });
        }
        let before = tree(&site);
        let more = tarballs("release-1.2.0-more");
        run(&mut publish(&site, &more))
            .refused("carried over", &[LINUX, "cannot be proven", "_1.10.0_", "linux_amd64"]);
        assert!(tree(&site) == before, "nothing is written");
        // The remedy: the platform's tarball in the same run. What is published does not change, though.
        let healing = [more, vec![tarball("release-1.2.0", "linux-amd64")]].concat();
        if poses {
            run(&mut publish(&site, &healing)).refused("immutable", &["published with other contents"]);
            continue;
        }
        let healed = run(&mut publish(&site, &healing)).succeeds();
        assert!(healed.stderr.contains("left out of the new SHA256SUMS"), "{healed:#?}");
        let lines = signed_lines(&site, &planted);
        assert!(lines.len() > 4 && lines.iter().all(|line| line.contains("_1.2.0_")), "{lines:#?}");
        assert_eq!(reader::read(&tree(&site)).unwrap().len(), 10);
    }
}

/// A SHA256SUMS that an earlier release of tfreg could have been made to sign: lines of two versions, by the very key.
#[test]
fn a_file_with_lines_of_two_versions_is_not_carried_over_or_signed_again() {
    let root = folder();
    let site = root.path().join("site");
    run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
    run(&mut publish(&site, &tarballs("release-1.10.0"))).succeeds();
    let sums = |key: &str| {
        let link = document(&site, key)["shasums_url"].as_str().unwrap()[1..].to_owned();
        std::fs::read_to_string(site.join(link)).unwrap()
    };
    let mixed = sums(LINUX) + &sums("registry/acme/sample/1.10.0/download/linux/amd64");
    let digest = Digest::of(mixed.as_bytes()).short();
    let key_of = |end: &str| {
        format!("store/acme/sample/1.2.0/{digest}/terraform-provider-sample_1.2.0_SHA256SUMS{end}")
    };
    std::fs::create_dir_all(site.join(key_of("")).parent().unwrap()).unwrap();
    std::fs::write(site.join(key_of("")), &mixed).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let bytes = runtime.block_on(signer().sign(&mixed.clone().into())).unwrap();
    std::fs::write(site.join(key_of(".A7F2BC5B6E845A69.sig")), bytes).unwrap();
    for platform in ["linux/amd64", "linux/arm64", "darwin/arm64", "windows/amd64"] {
        edit(&site, &format!("registry/acme/sample/1.2.0/download/{platform}"), |document| {
            document["shasums_url"] = format!("/{}", key_of("")).into();
            document["shasums_signature_url"] = format!("/{}", key_of(".A7F2BC5B6E845A69.sig")).into();
        });
    }
    let before = tree(&site);
    run(&mut publish(&site, &tarballs("release-1.2.0-more")))
        .refused("publish", &["cannot be proven", "_1.10.0_"]);
    let mut resign = tfreg();
    resign
        .arg("resign")
        .arg(&site)
        .args(["acme/sample", "1.2.0", "--signing-key-file"])
        .arg(key("rsa3072.asc"));
    run(resign.arg("--trust-key").arg(key("ed25519.asc")))
        .refused("resign", &["cannot be proven", "_1.10.0_"]);
    std::fs::remove_file(site.join("registry/acme/sample/versions")).unwrap();
    let mut reindex = tfreg();
    reindex.arg("reindex").arg(&site).args(["acme/sample", "--yes"]);
    let listed = run(&mut reindex).succeeds();
    assert!(
        listed.stderr.contains("1.2.0 is not listed") && listed.stderr.contains("_1.10.0_"),
        "{listed:#?}"
    );
    assert_eq!(reader::read(&tree(&site)).unwrap().len(), 4);
    std::fs::write(site.join("registry/acme/sample/versions"), &before["registry/acme/sample/versions"])
        .unwrap();
    assert!(tree(&site) == before, "nothing else was written");
    // All tarballs in one run make it whole again, as the refusals say.
    run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
    let lines = signed_lines(&site, &key_of(""));
    assert!(!lines.is_empty() && lines.iter().all(|line| line.contains("_1.2.0_")), "{lines:#?}");
}

#[test]
fn a_line_without_a_document_is_not_signed() {
    let root = folder();
    let site = root.path().join("site");
    run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
    // As a publish leaves it that was stopped among its documents.
    std::fs::remove_file(site.join("registry/acme/sample/1.2.0/download/windows/amd64")).unwrap();
    edit(&site, "registry/acme/sample/versions", |index| {
        let platforms = index["versions"][0]["platforms"].as_array_mut().unwrap();
        platforms.retain(|platform| platform["os"] != "windows");
    });
    let before = tree(&site);
    let more = tarballs("release-1.2.0-more");
    run(&mut publish(&site, &more)).refused(
        "half",
        &[
            "windows/amd64",
            "under way, or was stopped",
            "publish the tarballs for windows_amd64 in the same run",
        ],
    );
    assert!(tree(&site) == before, "nothing is written");
    let with_windows = [more, vec![tarball("release-1.2.0", "windows-amd64")]].concat();
    run(&mut publish(&site, &with_windows)).succeeds();
    assert_eq!(reader::read(&tree(&site)).unwrap().len(), 6);
}
