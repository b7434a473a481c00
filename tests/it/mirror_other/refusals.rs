//! What is not taken of another registry; then nothing is written.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::{SOURCE, World, assert_mirrored, publish_upstream, version_key};
use crate::support::mutated::Signer;
use crate::support::{run, tarballs, tfreg, tree};

const DOCUMENT: &str = "registry/acme/sample/1.2.0/download/linux/amd64";

/// The file of upstream whose name ends so.
fn file(world: &World, end: &str) -> PathBuf {
    let tree = tree(&world.upstream());
    let is_it =
        |key: &&String| key.starts_with("store/") && key.ends_with(end) && !key.contains("provenance");
    let key = tree.keys().find(is_it).unwrap();
    world.upstream().join(key)
}

fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

fn change(path: &Path, with: impl Fn(&mut Value)) {
    let mut value: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    with(&mut value);
    std::fs::write(path, value.to_string()).unwrap();
}

#[track_caller]
fn refused(world: &World, row: &str, texts: &[&str]) {
    let before = world.objects();
    run(&mut world.mirror(&[SOURCE])).refused(row, texts);
    assert_eq!(world.objects(), before, "{row}");
}

#[test]
fn one_bit_is_enough() {
    for (end, texts) in [
        ("linux_amd64.zip", &["does not have the checksum in its SHA256SUMS", "SHA-256"][..]),
        ("_SHA256SUMS", &[]),
        (".sig", &["the signature of SHA256SUMS does not verify"]),
    ] {
        let world = World::new(&["release-1.2.0"]);
        flip(&file(&world, end));
        refused(&world, end, texts);
    }
    // A digit of a line: the file is as it should be, but for its signature.
    let world = World::new(&["release-1.2.0"]);
    let sums = file(&world, "_SHA256SUMS");
    let text = std::fs::read_to_string(&sums).unwrap();
    let digit = if text.starts_with('0') { "1" } else { "0" };
    std::fs::write(&sums, format!("{digit}{}", &text[1..])).unwrap();
    refused(&world, "a digit", &["the signature of SHA256SUMS does not verify"]);
}

/// A change of a download document, and what is said of it.
type Row<'a> = (&'a str, &'a dyn Fn(&mut Value), &'a [&'a str]);

#[test]
fn a_document_of_something_else_is_refused() {
    let other = "terraform-provider-other_1.2.0_linux_amd64.zip";
    let digest = "0".repeat(64);
    let rows: [Row<'_>; 8] = [
        ("another provider", &|document| document["filename"] = other.into(), &["another release", other]),
        (
            "an older version",
            &|document| document["filename"] = "terraform-provider-sample_1.1.0_linux_amd64.zip".into(),
            &["another release"],
        ),
        (
            "another shasum",
            &|document| document["shasum"] = digest.clone().into(),
            &["another checksum than SHA256SUMS"],
        ),
        ("another platform", &|document| document["os"] = "plan9".into(), &["cannot be understood", "plan9"]),
        ("no keys", &|document| document["signing_keys"] = Value::Null, &["no key in the document"]),
        (
            "no key",
            &|document| document["signing_keys"]["gpg_public_keys"][0]["ascii_armor"] = "x".into(),
            &["not an OpenPGP key", "not all clients take this key"],
        ),
        ("plain http", &|document| document["shasums_url"] = "http://upstream.example.org/x".into(), &[]),
        ("no link", &|document| document["download_url"] = Value::Null, &["cannot be understood"]),
    ];
    for (row, with, texts) in rows {
        let world = World::new(&["release-1.2.0"]);
        for platform in ["linux/amd64", "linux/arm64", "darwin/arm64", "windows/amd64", "darwin/amd64"] {
            let path = world.upstream().join(DOCUMENT.replace("linux/amd64", platform));
            if platform == "linux/amd64" {
                change(&path, with);
            } else if path.exists() {
                std::fs::remove_file(path).unwrap();
            }
        }
        change(&world.upstream().join("registry/acme/sample/versions"), |index| {
            index["versions"][0]["platforms"] = serde_json::json!([{"os": "linux", "arch": "amd64"}]);
        });
        if row == "plain http" {
            let before = world.objects();
            run(&mut world.mirror(&[SOURCE])).fails(1, &["not https"]);
            assert_eq!(world.objects(), before);
        } else {
            refused(&world, row, texts);
        }
    }
}

#[test]
fn documents_and_files_have_limits() {
    for (what, length) in [("versions", 33 << 20), ("_SHA256SUMS", 2 << 20), (".sig", 1 << 20)] {
        let world = World::new(&["release-1.2.0"]);
        let path = if what == "versions" {
            world.upstream().join("registry/acme/sample/versions")
        } else {
            file(&world, what)
        };
        std::fs::write(path, vec![b' '; length]).unwrap();
        let before = world.objects();
        run(&mut world.mirror(&[SOURCE])).fails(1, &["more than", "bytes"]);
        assert_eq!(world.objects(), before, "{what}");
    }
}

#[test]
fn a_zip_that_clients_trip_over_is_refused() {
    use std::io::Write as _;
    let world = World::new(&["release-1.2.0"]);
    // A release whose zip has no executable, rightly signed.
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file("README.md", zip::write::SimpleFileOptions::default()).unwrap();
    zip.write_all(b"nothing").unwrap();
    let bytes = zip.finish().unwrap().into_inner();
    let digest = tfreg::content::Digest::of(&bytes).to_string();
    let sums = file(&world, "_SHA256SUMS");
    let text = format!("{digest}  terraform-provider-sample_1.2.0_linux_amd64.zip\n");
    let signer = Signer::of("ed25519.asc");
    std::fs::write(&sums, &text).unwrap();
    std::fs::write(file(&world, ".sig"), signer.sign(text.as_bytes(), |builder| builder)).unwrap();
    std::fs::write(file(&world, "linux_amd64.zip"), bytes).unwrap();
    change(&world.upstream().join(DOCUMENT), |document| {
        document["shasum"] = digest.clone().into();
        document["signing_keys"]["gpg_public_keys"][0]["ascii_armor"] = signer.armored().into();
    });
    change(&world.upstream().join("registry/acme/sample/versions"), |index| {
        index["versions"][0]["platforms"] = serde_json::json!([{"os": "linux", "arch": "amd64"}]);
    });
    refused(&world, "no executable", &["linux_amd64.zip", "executable"]);
}

#[test]
fn a_zip_that_has_changed_upstream_is_refused() {
    let world = World::new(&["release-1.2.0"]);
    run(&mut world.mirror(&[SOURCE])).succeeds();
    std::fs::remove_dir_all(world.upstream()).unwrap();
    publish_upstream(&world.upstream(), "ed25519.asc", &tarballs("release-1.2.0-rebuilt"));
    let before = world.objects();
    let changed = run(&mut world.mirror(&[SOURCE]));
    let file = version_key("1.2.0");
    changed.refused("rebuilt", &["another zip now than the mirror", &format!("remove {file} by hand")]);
    assert_eq!(world.objects(), before);
    // The remedy, carried out.
    std::fs::remove_file(world.site().join(file)).unwrap();
    run(&mut world.mirror(&[SOURCE])).succeeds();
    assert_mirrored(&world, &["1.2.0"]);
}

#[test]
fn a_zip_that_something_has_changed_in_the_store_is_never_overwritten() {
    let world = World::new(&["release-1.2.0"]);
    run(&mut world.mirror(&[SOURCE])).succeeds();
    let whole = world.objects();
    let key = whole.keys().find(|key| key.ends_with("linux_amd64.zip")).unwrap();
    std::fs::write(world.site().join(key), b"PK").unwrap();
    // Also where nothing leads to it yet.
    for has_file in [true, false] {
        if !has_file {
            std::fs::remove_file(world.site().join(version_key("1.2.0"))).unwrap();
        }
        refused(
            &world,
            "changed",
            &[key, "another object is there", "remove it by hand, and run this again"],
        );
    }
    std::fs::remove_file(world.site().join(key)).unwrap();
    run(&mut world.mirror(&[SOURCE])).succeeds();
    assert_eq!(world.objects(), whole);
}

#[test]
fn an_expired_key_is_refused() {
    let world = World::new(&["release-1.2.0"]);
    let armor = Signer::of("expired.asc").armored();
    change(&world.upstream().join("registry/acme/sample/versions"), |index| {
        index["versions"][0]["platforms"] = serde_json::json!([{"os": "linux", "arch": "amd64"}]);
    });
    change(&world.upstream().join(DOCUMENT), |document| {
        document["signing_keys"]["gpg_public_keys"][0]["ascii_armor"] = armor.clone().into();
    });
    refused(&world, "expired", &["has expired", "not all clients take this key"]);
    // Another key of the document is tried.
    change(&world.upstream().join(DOCUMENT), |document| {
        let good = Signer::of("ed25519.asc").armored();
        document["signing_keys"]["gpg_public_keys"] =
            serde_json::json!([{"ascii_armor": armor}, {"ascii_armor": good}]);
    });
    run(&mut world.mirror(&[SOURCE])).succeeds();
}

#[test]
fn what_a_key_has_signed_before_it_expired_is_taken() {
    let world = World::new(&["release-1.2.0"]);
    let signer = Signer::of("expired.asc");
    change(&world.upstream().join("registry/acme/sample/versions"), |index| {
        index["versions"][0]["platforms"] = serde_json::json!([{"os": "linux", "arch": "amd64"}]);
    });
    change(&world.upstream().join(DOCUMENT), |document| {
        document["signing_keys"]["gpg_public_keys"][0]["ascii_armor"] = signer.armored().into();
    });
    // The key was valid in January of 2020.
    let sums = std::fs::read(file(&world, "_SHA256SUMS")).unwrap();
    let sign_on = |days: u64| {
        let time = SystemTime::UNIX_EPOCH + Duration::from_hours(24 * (18_262 + days));
        let signature = signer.sign(&sums, |builder| builder.set_signature_creation_time(time).unwrap());
        std::fs::write(file(&world, ".sig"), signature).unwrap();
    };
    sign_on(60);
    refused(&world, "signed when it had expired", &["has expired", "2020-01-31"]);
    sign_on(14);
    let public = world.root.path().join("public.asc");
    std::fs::write(&public, signer.armored()).unwrap();
    let done = run(world.mirror(&[SOURCE, "--public-key"]).arg(&public)).succeeds();
    assert!(done.stderr.contains("expired on 2020-01-31"), "{done:?}");
    let again = run(&mut world.mirror(&[SOURCE])).succeeds();
    assert!(again.stdout.contains("nothing to do"), "{again:?}");
    run(tfreg().arg("verify").arg(world.site())).succeeds();
}

#[test]
fn the_command_line_is_checked() {
    let world = World::new(&["release-1.2.0"]);
    for (args, text) in [
        (&["acme/sample"][..], "HOST/NAMESPACE/TYPE"),
        (&["upstream.example.org/acme/sample@^1.2"], "constraint"),
        (&["upstream.example.org/acme/sample@"], "constraint"),
        (&[], "HOST/NS/TYPE"),
        (&[SOURCE, "--platform", "Linux"], "platform"),
    ] {
        run(&mut world.mirror(args)).fails(2, &[text]);
    }
}
