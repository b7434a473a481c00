//! The command `resign`: published versions are signed again by another key, or get a newer copy of their key.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use sequoia_openpgp as openpgp;

use openpgp::Cert;
use openpgp::parse::Parse as _;
use openpgp::policy::StandardPolicy;
use openpgp::serialize::SerializeInto as _;
use openpgp::types::ReasonForRevocation;
use serde_json::Value;
use tfreg::openpgp::certificate::Certificate;
use tfreg::openpgp::signing_key::Secret;
use tfreg::plan::resign::{Renewal, Resign};

use super::{
    INDEX, OLD_FINGERPRINT, command, edit, every_request, json, key_file, on, provider, result, server, site,
};
use crate::support::child::Running;
use crate::support::clients::{Preview, Terraform, require_program};
use crate::support::in_process::signer_of;
use crate::support::reader;
use crate::support::s3_server::{Gate, Matcher, Point, S3Server};
use crate::support::watched::{listed, objects, watched};
use crate::support::{Ran, folder, key, publish, run, tarball, tarballs, tfreg, tree};

const OLD: &str = "A7F2BC5B6E845A69";
const NEW: &str = "B89BCD519BBF8ED5";

fn cert(name: &str) -> Cert {
    Cert::from_file(key(name)).unwrap()
}

/// The same key, with another expiry.
fn expiring(cert: &Cert, when: std::time::SystemTime) -> Cert {
    let mut pair = cert.primary_key().key().clone().parts_into_secret().unwrap().into_keypair().unwrap();
    let policy = StandardPolicy::new();
    let valid = cert
        .with_policy(&policy, None)
        .unwrap_or_else(|_| cert.with_policy(&policy, cert.primary_key().key().creation_time()).unwrap());
    let signatures = valid.primary_key().set_expiration_time(&mut pair, Some(when)).unwrap();
    cert.clone().insert_packets(signatures).unwrap().0
}

fn save(folder: &Path, name: &str, bytes: Vec<u8>) -> String {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

fn public(folder: &Path, name: &str, cert: &Cert) -> String {
    save(folder, name, cert.armored().to_vec().unwrap())
}

fn secret(folder: &Path, name: &str, cert: &Cert) -> String {
    save(folder, name, cert.as_tsk().armored().to_vec().unwrap())
}

/// `tfreg resign SITE acme/sample --signing-key-file rsa3072.asc --trust-key ed25519.asc`
fn to_new_key(site: &Path, args: &[&str]) -> Ran {
    let (new, old) = (key_file("rsa3072.asc"), key_file("ed25519.asc"));
    let signing = ["--signing-key-file", &new, "--trust-key", &old];
    on(site, "resign", &[&signing, args].concat())
}

#[test]
fn versions_are_signed_again_by_another_key() {
    let (_root, site) = site();
    let document = "registry/acme/sample/1.2.0/download/linux/amd64";
    edit(&site, document, |document| {
        document["note"] = 1.into();
        document["signing_keys"]["other"] = 2.into();
    });
    let before = tree(&site);
    // Some versions.
    let done = to_new_key(&site, &["1.2.0", "--format", "json"]);
    assert!(done.stderr.contains(&format!("trusting what is signed by key {OLD_FINGERPRINT}")), "{done:?}");
    let done = result(done);
    let said = [
        format!("~ 1.2.0: signed by key {OLD} -> {NEW}"),
        format!("~ 1.2.0: the record of its publish is signed by key {NEW}"),
    ];
    assert_eq!(done["changes"], serde_json::json!(said));
    let after = tree(&site);
    let changed: Vec<&String> = after.keys().filter(|key| before.get(*key) != after.get(*key)).collect();
    assert!(
        changed.len() == 6
            && changed.iter().all(|key| key.contains("/download/") || key.ends_with(&format!(".{NEW}.sig"))),
        "{changed:?}"
    );
    assert!(before.keys().all(|key| after.contains_key(key)), "nothing is deleted");
    let moved = json(&site, document);
    assert_eq!((&moved["note"], &moved["signing_keys"]["other"]), (&1.into(), &2.into()));
    assert_eq!(moved["signing_keys"]["gpg_public_keys"][0]["key_id"], NEW);
    assert_eq!(moved["signing_keys"]["gpg_public_keys"].as_array().unwrap().len(), 1);
    assert_eq!(reader::read(&after).unwrap().len(), 8);
    // All, yanked ones too.
    on(&site, "yank", &["1.10.0", "--yes"]).succeeds();
    to_new_key(&site, &[]).succeeds();
    assert_eq!(
        json(&site, "registry/acme/sample/1.10.0/download/linux/amd64")["signing_keys"]["gpg_public_keys"][0]
            ["key_id"],
        NEW
    );
    on(&site, "unyank", &["1.10.0"]).succeeds();
    assert_eq!(reader::read(&tree(&site)).unwrap().len(), 8);
    // Again there is nothing to do, and the old key need not be named any more.
    let signed = tree(&site);
    let again = on(&site, "resign", &["--signing-key-file", &key_file("rsa3072.asc")]).succeeds();
    assert!(again.stdout.contains("Nothing to do"), "{again:?}");
    assert_eq!(tree(&site), signed);
    // A publish by the new key carries the other platforms over.
    let mut adding = tfreg();
    adding
        .args(["publish", "--namespace", "acme", "--signing-key-file", &key_file("rsa3072.asc"), "--to"])
        .arg(&site);
    run(adding.args(tarballs("release-1.2.0-more"))).succeeds();
    assert_eq!(reader::read(&tree(&site)).unwrap().len(), 10);
}

#[test]
fn nothing_is_signed_that_is_not_proven() {
    let (root, site) = site();
    let whole = tree(&site);
    let document = "registry/acme/sample/1.2.0/download/linux/amd64";
    let linked = |member: &str| json(&site, document)[member].as_str().unwrap()[1..].to_owned();
    let (sums, signature) = (linked("shasums_url"), linked("shasums_signature_url"));
    let refused = |row: &str, texts: &[&str]| {
        let before = tree(&site);
        to_new_key(&site, &[]).refused(row, &[&["cannot be proven", "is not signed again"], texts].concat());
        assert_eq!(tree(&site), before, "{row}: nothing is written");
        for (key, bytes) in &whole {
            std::fs::write(site.join(key), bytes).unwrap();
        }
    };
    on(&site, "resign", &["--signing-key-file", &key_file("rsa3072.asc")])
        .refused("not named", &["cannot be proven", &format!("embeds key {OLD_FINGERPRINT}"), "--trust-key"]);
    // Who can write the registry embeds his own key, and signs by it, or puts his zip into a document.
    let theirs = root.path().join("theirs");
    let mut command = tfreg();
    command
        .args(["publish", "--namespace", "acme", "--signing-key-file", &key_file("p256.asc"), "--to"])
        .arg(&theirs);
    run(command.args(tarballs("release-1.2.0"))).succeeds();
    for (key, bytes) in tree(&theirs) {
        if key.contains("/download/") || key.ends_with(".sig") {
            std::fs::write(site.join(&key), bytes).unwrap();
        }
    }
    refused("another's key", &["1.2.0: embeds key 5062C27F84CD6903A969B8281FD51C14BF354275"]);
    edit(&site, document, |document| document["shasum"] = "0".repeat(64).into());
    refused("another zip", &[document, &"0".repeat(64)]);
    edit(&site, document, |document| {
        document["filename"] = "terraform-provider-sample_1.2.0_linux_arm64.zip".into();
    });
    refused("another name", &[document, "linux_arm64.zip"]);
    let mut text = String::from_utf8(whole[&sums].clone()).unwrap();
    text.replace_range(0..1, if text.starts_with('0') { "1" } else { "0" });
    std::fs::write(site.join(&sums), &text).unwrap();
    refused("another SHA256SUMS", &[&sums, "SHA-256"]);
    let other = whole
        .keys()
        .find(|key| key.contains("/1.10.0/") && key.ends_with(&format!("SHA256SUMS.{OLD}.sig")))
        .unwrap();
    std::fs::write(site.join(&signature), &whole[other]).unwrap();
    refused("another file's signature", &[&signature, "not over this file"]);
    std::fs::write(site.join(&signature), b"x").unwrap();
    refused("no signature", &[&signature]);
    std::fs::remove_file(site.join(&signature)).unwrap();
    refused("a lost signature", &[&signature, "not there"]);
    std::fs::remove_file(site.join(&sums)).unwrap();
    refused("a lost SHA256SUMS", &[&sums, "not there"]);
    edit(&site, document, |document| document["shasums_url"] = "https://elsewhere.example/SHA256SUMS".into());
    refused("elsewhere", &[document, "elsewhere.example"]);
    edit(&site, document, |document| document["signing_keys"] = serde_json::json!({"gpg_public_keys": []}));
    refused("no key", &[document, "embeds no public key"]);
    let version = |key: &str| key.replace("1.2.0", "1.10.0");
    let from = json(&site, &version(document))["shasums_url"].clone();
    edit(&site, document, |document| document["shasums_url"] = from);
    refused("another version's", &[document]);
    // What another signature of the new key's name holds is not overwritten, nor taken.
    let foreign = signature.replace(OLD, NEW);
    std::fs::write(site.join(&foreign), &whole[&signature]).unwrap();
    to_new_key(&site, &["1.2.0"]).refused("a foreign signature", &[&foreign, "another object is there"]);
    std::fs::remove_file(site.join(&foreign)).unwrap();

    // A key that was revoked because others have it proves nothing, also by a signature made before.
    let stolen = cert("ed25519.asc");
    let mut pair = stolen.primary_key().key().clone().parts_into_secret().unwrap().into_keypair().unwrap();
    let revocation = stolen.revoke(&mut pair, ReasonForRevocation::KeyCompromised, b"stolen").unwrap();
    let revoked = public(root.path(), "revoked.asc", &stolen.insert_packets(revocation).unwrap().0);
    on(&site, "resign", &["--signing-key-file", &key_file("rsa3072.asc"), "--trust-key", &revoked])
        .refused("revoked", &["is revoked"]);

    to_new_key(&site, &["1.3.0"]).refused("no such version", &["version 1.3.0 is not published"]);
    on(&site, "resign", &[]).fails(2, &["no signing key"]);
    on(&site, "resign", &["--refresh-key"]).fails(2, &["--key"]);
    on(&site, "resign", &["--key", &revoked]).fails(2, &["--refresh-key"]);
    on(&site, "resign", &["--refresh-key", "--key", &revoked]).refused("revoked", &["is revoked"]);
    on(&site, "resign", &["--signing-key-file", &key_file("public-only.asc")])
        .refused("public", &["public half"]);
    std::fs::write(site.join(INDEX), "{").unwrap();
    to_new_key(&site, &[]).refused("damaged", &[INDEX, "cannot be understood"]);
}

/// The key expires, is extended, and is put into the documents, with and without its secret half.
#[test]
fn a_key_that_has_expired_is_extended() {
    let root = folder();
    let now = std::time::SystemTime::now();
    let short = expiring(&cert("ed25519.asc"), now + Duration::from_secs(8));
    let (short_secret, short_public) =
        (secret(root.path(), "short.asc", &short), public(root.path(), "short-public.asc", &short));
    let site = root.path().join("site");
    let publishing = || {
        let mut command = tfreg();
        command
            .args(["publish", "--namespace", "acme", "--signing-key-file", &short_secret, "--to"])
            .arg(&site);
        command
    };
    run(publishing().args(tarballs("release-1.2.0"))).succeeds();
    let terraform = require_program("terraform").then(|| {
        let preview = Preview::of(&site);
        let terraform = Terraform::new(&preview, "1.2.0");
        terraform.run(&["init", "-no-color"]).succeeds();
        terraform
    });
    while now.elapsed().unwrap() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(200));
    }
    on(&site, "resign", &["--signing-key-file", &short_secret]).refused("expired", &["has expired"]);
    on(&site, "resign", &["--refresh-key", "--key", &short_public]).refused("expired", &["has expired"]);

    let long = expiring(&short, now + Duration::from_hours(24 * 700));
    let (long_secret, long_public) =
        (secret(root.path(), "long.asc", &long), public(root.path(), "long-public.asc", &long));
    let before = tree(&site);
    let done = on(&site, "resign", &["--refresh-key", "--key", &long_public]).succeeds();
    assert!(done.stdout.contains(&format!("~ 1.2.0: a newer copy of key {OLD}")), "{done:?}");
    let refreshed = tree(&site);
    let changed: Vec<_> = refreshed.keys().filter(|key| before.get(*key) != refreshed.get(*key)).collect();
    assert!(changed.len() == 4 && changed.iter().all(|key| key.contains("/download/")), "{changed:?}");
    // A newer copy of a key has only its newest self-signature, which is younger than the signatures. To the reader of the
    // other tests that is a key that was not bound then; to the clients it is good, as the end of this test shows.
    let error = reader::read(&refreshed).unwrap_err();
    assert!(error.contains("No binding signature at time"), "{error}");
    // With the secret half it comes to the same; and the documents are proven by the newer copy alone.
    let again = on(&site, "resign", &["--signing-key-file", &long_secret]).succeeds();
    assert!(again.stdout.contains("Nothing to do"), "{again:?}");
    assert_eq!(tree(&site), refreshed);
    for (key, bytes) in &before {
        std::fs::write(site.join(key), bytes).unwrap();
    }
    on(&site, "resign", &["--signing-key-file", &long_secret]).succeeds();
    assert_eq!(tree(&site), refreshed);
    // From an expired key to another one.
    for (key, bytes) in &before {
        std::fs::write(site.join(key), bytes).unwrap();
    }
    let new = key_file("rsa3072.asc");
    on(&site, "resign", &["--signing-key-file", &new, "--trust-key", &short_public]).succeeds();
    assert_eq!(reader::read(&tree(&site)).unwrap().len(), 4);
    // A key that has signed none of the versions is refused, rather than told that there is nothing to do.
    let moved = tree(&site);
    on(&site, "resign", &["--refresh-key", "--key", &long_public]).refused(
        "a wrong key",
        &[&format!("no version of acme/sample is signed by key {OLD}"), "1.2.0 embeds key"],
    );
    assert_eq!(tree(&site), moved);
    // It is no matter where it has signed some of them.
    run(&mut publish(&site, &tarballs("release-1.10.0"))).succeeds();
    let other = on(&site, "resign", &["--refresh-key", "--key", &long_public]).succeeds();
    assert!(
        other.stderr.contains("1.2.0 embeds key") && other.stdout.contains("~ 1.10.0: a newer copy"),
        "{other:?}"
    );
    on(&site, "resign", &["1.2.0", "--refresh-key", "--key", &long_public])
        .refused("another key", &["1.2.0: embeds key"]);
    // A copy that is older than the one in the documents does not replace it.
    for (key, bytes) in &refreshed {
        std::fs::write(site.join(key), bytes).unwrap();
    }
    on(&site, "resign", &["--refresh-key", "--key", &key_file("ed25519.asc")])
        .refused("older", &["newer copy"]);
    if let Some(terraform) = terraform {
        installs_by_its_lock_file(&site, &terraform.lock_file());
    }
}

/// A fresh directory with a lock file from before installs without changing it.
fn installs_by_its_lock_file(site: &Path, lock: &str) {
    let preview = Preview::of(site);
    let terraform = Terraform::new(&preview, "1.2.0");
    std::fs::write(terraform.path(".terraform.lock.hcl"), lock).unwrap();
    terraform.run(&["init", "-no-color", "-lockfile=readonly"]).succeeds();
    assert!(terraform.installed("1.2.0").exists());
    assert_eq!(terraform.lock_file(), lock);
}

#[test]
fn terraform_installs_by_an_old_lock_file_after_a_resign() {
    if !require_program("terraform") {
        return;
    }
    let (_root, site) = site();
    let lock = {
        let preview = Preview::of(&site);
        let terraform = Terraform::new(&preview, "1.2.0");
        let ran = terraform.run(&["init", "-no-color"]).succeeds();
        assert!(ran.stdout.contains(OLD), "{ran:?}");
        terraform.lock_file()
    };
    to_new_key(&site, &[]).succeeds();
    installs_by_its_lock_file(&site, &lock);
    let preview = Preview::of(&site);
    let ran = Terraform::new(&preview, "1.2.0").run(&["init", "-no-color"]).succeeds();
    assert!(ran.stdout.contains(NEW), "{ran:?}");
}

#[test]
fn each_request_of_a_resign_may_fail_or_be_its_last() {
    let server = watched();
    run(publish("s3://bucket", &[tarball("release-1.2.0", "linux-amd64")]).envs(server.envs())).succeeds();
    run(publish("s3://bucket", &[tarball("release-1.2.0", "darwin-arm64")]).envs(server.envs())).succeeds();
    let base = objects(&server, "");
    let signing = signer_of("rsa3072.asc");
    let old = Certificate::read("old", &Secret::new(std::fs::read(key("ed25519.asc")).unwrap())).unwrap();
    let (key, renewal) = (signing.public_key().clone(), Renewal::Signatures);
    let trusted = vec![old, key.certificate().clone()];
    let goal = Resign { provider: provider(), versions: [].into(), key, renewal, trusted };
    let (new, old) = (key_file("rsa3072.asc"), key_file("ed25519.asc"));
    let args = ["--signing-key-file", &new, "--trust-key", &old];
    every_request(&base, (&goal, &signing), "resign", &args, &|server| {
        assert_eq!(listed(server).len(), 2);
        let documents = objects(server, "").into_iter().filter(|(key, _)| key.contains("/download/"));
        assert!(documents.into_iter().all(|(_, bytes)| String::from_utf8_lossy(&bytes).contains(NEW)));
    });
}

/// A publish by the old key that moves the documents to another SHA256SUMS while they are signed anew.
#[test]
fn a_resign_and_a_publish_by_the_old_key_meet() {
    let server = server();
    let gate = Gate::manual();
    server.gate(Matcher::put().suffix("download/linux/amd64").nth(1), Point::Before, &gate);
    let (new, old) = (key_file("rsa3072.asc"), key_file("ed25519.asc"));
    let mut resign = command("resign", "s3://bucket", &["--signing-key-file", &new, "--trust-key", &old]);
    let child = Running::start(resign.envs(server.envs()).stdout(Stdio::piped()).stderr(Stdio::piped()));
    gate.wait_until_arrived(1, Duration::from_mins(1));
    let published = run(publish("s3://bucket", &tarballs("release-1.2.0-more")).envs(server.envs()));
    gate.release();
    crate::support::ran(&child.output()).succeeds();
    assert!(matches!(published.code, 0 | 3), "{published:?}");
    assert_eq!(listed(&server).len(), if published.code == 0 { 10 } else { 8 });
    let documents = objects(&server, "").into_iter().filter(|(key, _)| key.contains("/download/"));
    for (key, bytes) in documents {
        assert!(published.code == 3 || String::from_utf8_lossy(&bytes).contains(NEW), "{key}");
    }
    server.verify();
}

/// Who still has the old key, or an old copy of it, is told so.
#[test]
fn a_pipeline_with_the_old_key_does_not_undo_a_resign() {
    let (root, site) = site();
    let long = expiring(&cert("ed25519.asc"), std::time::SystemTime::now() + Duration::from_hours(24 * 700));
    let long_public = public(root.path(), "long-public.asc", &long);
    on(&site, "resign", &["1.10.0", "--refresh-key", "--key", &long_public]).succeeds();
    to_new_key(&site, &["1.2.0"]).succeeds();
    let before = tree(&site);
    for (release, said) in
        [("release-1.2.0", format!("key {NEW} (")), ("release-1.10.0", "newer copy".to_owned())]
    {
        run(&mut publish(&site, &tarballs(release))).refused(release, &[&said, OLD, "--replace-key"]);
        assert_eq!(tree(&site), before, "{release}: nothing is written");
    }
    for (release, said) in [
        ("release-1.2.0", format!("~ 1.2.0: key {NEW} -> {OLD}")),
        ("release-1.10.0", format!("~ 1.10.0: a newer copy of key {OLD} -> an older one")),
    ] {
        let moved = run(publish(&site, &tarballs(release)).args(["--replace-key", "--no-verify"])).succeeds();
        assert!(moved.stdout.contains(&said), "{moved:#?}");
    }
    let back: Value =
        serde_json::from_slice(&tree(&site)["registry/acme/sample/1.2.0/download/linux/amd64"]).unwrap();
    assert_eq!(back["signing_keys"]["gpg_public_keys"][0]["key_id"], OLD);
}

/// The records of publishes are signed again too, if they are proven; of tarballs in a bucket as of files.
#[test]
fn a_resign_signs_the_records() {
    let server = S3Server::start(&["bucket", "artifacts"]);
    for path in tarballs("release-1.2.0") {
        let name = path.file_name().unwrap().to_str().unwrap();
        server.put_directly("artifacts", &format!("v1.2.0/{name}"), std::fs::read(&path).unwrap());
    }
    let manifest = "terraform-registry-manifest.json";
    if let Ok(bytes) = std::fs::read(crate::support::testdata("release-1.2.0").join(manifest)) {
        server.put_directly("artifacts", &format!("v1.2.0/{manifest}"), bytes);
    }
    run(publish("s3://bucket", &["s3://artifacts/v1.2.0/".into()]).envs(server.envs())).succeeds();
    run(publish("s3://bucket", &tarballs("release-1.10.0")).envs(server.envs())).succeeds();
    let (new, old) = (key_file("rsa3072.asc"), key_file("ed25519.asc"));
    let resign = || {
        let mut command =
            command("resign", "s3://bucket", &["--signing-key-file", &new, "--trust-key", &old]);
        run(command.envs(server.envs())).succeeds()
    };
    let verify = || {
        let ran = run(tfreg().args(["verify", "s3://bucket"]).envs(server.envs()));
        format!("{}{}", ran.stdout, ran.stderr)
    };
    resign();
    let records = || -> Vec<String> {
        let end = format!("provenance.json.{NEW}.sig");
        objects(&server, "").into_keys().filter(|key| key.ends_with(&end)).collect()
    };
    assert_eq!(records().len(), 2);
    assert!(!verify().contains("record-"), "{}", verify());
    // As a release of tfreg left it that signed no records: what verify tells to do heals it.
    for key in records() {
        server.delete_directly("bucket", &key);
    }
    let told = verify();
    assert!(
        told.contains("record-unsigned") && told.contains("tfreg resign") && told.contains("--trust-key"),
        "{told}"
    );
    let again = resign();
    assert!(again.stdout.contains("~ 1.2.0: the record of its publish is signed"), "{again:#?}");
    assert!(!verify().contains("record-"), "{}", verify());

    // A record of another version with its good signature, and one that nobody has signed, stay without one.
    for key in records() {
        server.delete_directly("bucket", &key);
    }
    let all = objects(&server, "");
    let of = |version: &str, end: &str| {
        let part = format!("/{version}/");
        all.keys().find(|key| key.contains(&part) && key.ends_with(end)).unwrap().clone()
    };
    let signature = format!("provenance.json.{OLD}.sig");
    for end in ["provenance.json", &signature] {
        server.put_directly("bucket", &of("1.2.0", end), all[&of("1.10.0", end)].clone());
    }
    server.delete_directly("bucket", &of("1.10.0", &signature));
    let left = resign();
    assert!(left.stderr.contains("\"version\" is 1.10.0"), "{left:#?}");
    assert!(left.stderr.contains("no trusted key has signed it") && records().is_empty(), "{left:#?}");
}
