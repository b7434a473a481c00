//! `tfreg reindex --all`: what was published before is brought in line with the settings.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tfreg::plan::align::Align;
use tfreg::plan::init::Init;
use tfreg::registry::settings::SettingsChange;
use tfreg::registry::{BaseUrl, Links};

use super::{BASE, DISCOVERY, SETTINGS, init, reindex_all, set, unfollowed};
use crate::support::child::Running;
use crate::support::reader;
use crate::support::s3_server::{Gate, Matcher, Point, S3Server};
use crate::support::watched::{listed, objects, watched};
use crate::support::{Ran, folder, key, publish, ran, run, tarball, tarballs, tfreg, tree};

/// Two versions of `acme/sample`, one of them yanked, and one of `other/sample`.
fn fill(target: impl AsRef<std::ffi::OsStr>, envs: &[(String, String)]) {
    let target = target.as_ref();
    for release in ["release-1.2.0", "release-1.10.0"] {
        run(publish(target, &tarballs(release)).envs(envs.iter().cloned())).succeeds();
    }
    let mut other = tfreg();
    other.arg("publish").arg("--to").arg(target).args(["--namespace", "other", "--signing-key-file"]);
    other.arg(key("ed25519.asc")).arg(tarball("release-1.2.0", "linux-amd64"));
    run(other.envs(envs.iter().cloned())).succeeds();
    let mut yank = tfreg();
    yank.arg("yank").arg(target).args(["acme/sample@1.10.0", "--yes"]).envs(envs.iter().cloned());
    run(&mut yank).succeeds();
}

fn result(ran: Ran) -> Value {
    serde_json::from_str(&ran.succeeds().stdout).unwrap()
}

#[test]
fn every_document_moves_to_the_new_links_and_nothing_else_changes() {
    let root = folder();
    let site = root.path().join("site");
    fill(&site, &[]);
    // Another service of the host, and a member of somebody else's.
    std::fs::write(site.join(DISCOVERY), r#"{"modules.v1": "/m/", "providers.v1": "/registry/"}"#).unwrap();
    let document = "registry/acme/sample/1.2.0/download/linux/amd64";
    let text = std::fs::read_to_string(site.join(document)).unwrap();
    std::fs::write(site.join(document), text.replacen('{', "{\n  \"note\": 2.50,", 1)).unwrap();
    let before = tree(&site);
    let (bad, count) = unfollowed(&site, BASE);
    assert_eq!((bad.len(), count), (28, 28), "9 documents of 3 links, and discovery: {bad:?}");

    let told = set(&site, &["--base-url", BASE]).succeeds();
    assert!(told.stderr.contains(&format!("`tfreg reindex {} --all`", site.display())), "{told:?}");
    let settled = tree(&site);
    run(&mut reindex_all(&site, &[])).fails(2, &["--yes"]);
    let folder = root.path().join("preview");
    let dry = run(&mut reindex_all(&site, &["--dry-run", folder.to_str().unwrap()])).succeeds();
    for text in [
        "~ acme/sample 1.2.0: links of 4 documents: / -> https://registry.example.com/tf/",
        "~ acme/sample 1.10.0: links of 4 documents",
        "~ other/sample 1.2.0: links of 1 document:",
        "~ discovery: /registry/ -> https://registry.example.com/tf/registry/",
    ] {
        assert!(dry.stdout.contains(text), "{text}: {dry:?}");
    }
    assert_eq!(tree(&site), settled);
    let done = result(run(&mut reindex_all(&site, &["--yes", "--format", "json"])));
    assert_eq!((&done["outcome"], &done["command"]), (&"changed".into(), &"reindex".into()));
    let after = tree(&site);
    assert_eq!(unfollowed(&site, BASE), (Vec::new(), 28));
    assert_eq!(reader::read(&after).unwrap(), reader::read(&before).unwrap());
    for (key, bytes) in &before {
        let is_document = key.contains("/download/") || key == DISCOVERY;
        assert_eq!(after[key] != *bytes, is_document, "{key}");
    }
    assert_eq!(after.len(), before.len() + 1, "the settings");
    let note = String::from_utf8(after[document].clone()).unwrap();
    assert!(note.contains("\"note\": 2.50"), "{note}");
    let discovery: Value = serde_json::from_slice(&after[DISCOVERY]).unwrap();
    assert_eq!(discovery, json!({"modules.v1": "/m/", "providers.v1": format!("{BASE}registry/")}));
    assert_eq!(tree(&folder)[document], after[document]);
    let verified = run(tfreg().arg("verify").arg(&site)).succeeds();
    assert!(verified.stdout.starts_with("Good: "), "{verified:?}");
    let again = run(&mut reindex_all(&site, &["--yes"])).succeeds();
    assert!(again.stdout.contains("Nothing to do"), "{again:?}");
    // Publishing the same again is in line too.
    run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
    assert_eq!(tree(&site), after);
    // And back: an address that is taken back.
    set(&site, &["--base-url", ""]).succeeds();
    run(&mut reindex_all(&site, &["--yes"])).succeeds();
    assert_eq!(tree(&site)[document], before[document]);
    // A yanked version comes back with the right links.
    set(&site, &["--base-url", BASE]).succeeds();
    run(&mut reindex_all(&site, &["--yes"])).succeeds();
    run(tfreg().arg("unyank").arg(&site).arg("acme/sample@1.10.0")).succeeds();
    assert_eq!(unfollowed(&site, BASE).0, [""; 0]);
    assert_eq!(
        reader::read(&tree(&site)).unwrap().len(),
        8,
        "4 platforms each, and those of the other namespace"
    );
}

#[test]
fn what_cannot_be_brought_in_line_is_said() {
    let root = folder();
    let site = root.path().join("site");
    run(&mut reindex_all(&site, &["--yes"])).refused("nothing", &["nothing is published here"]);
    fill(&site, &[]);
    // Without settings every publish decides by its flags, and nothing is changed.
    let before = tree(&site);
    let ran = run(&mut reindex_all(&site, &["--yes"])).succeeds();
    assert!(ran.stderr.contains("has no settings") && ran.stdout.contains("Nothing to do"), "{ran:?}");
    assert_eq!(tree(&site), before);
    set(&site, &["--base-url", BASE]).succeeds();
    let document = "registry/acme/sample/1.2.0/download/linux/amd64";
    let mut value: Value = super::json(&site, document);
    value["download_url"] = "https://elsewhere.example/x.zip".into();
    std::fs::write(site.join(document), value.to_string()).unwrap();
    let ran = run(&mut reindex_all(&site, &["--yes"])).succeeds();
    assert!(ran.stderr.contains("https://elsewhere.example/x.zip"), "{ran:?}");
    assert_eq!(super::json(&site, document)["download_url"], "https://elsewhere.example/x.zip");
    assert_eq!(unfollowed(&site, BASE).0.len(), 0, "that one leads to no object of this registry");
    std::fs::write(site.join(document), "{").unwrap();
    run(&mut reindex_all(&site, &["--yes"])).refused("damaged", &[document, "cannot be understood"]);
    for (args, text) in
        [(&["acme/sample"][..], "every provider"), (&["--trust-key", "x"], "cannot be used with")]
    {
        run(&mut reindex_all(&site, args)).fails(2, &[text]);
    }
}

/// Every request fails and kills; every state is whole to a reader, and running again completes it.
#[test]
fn each_request_may_fail_or_be_its_last() {
    let linux = [tarball("release-1.2.0", "linux-amd64")];
    let server = watched();
    run(publish("s3://bucket", &linux).envs(server.envs())).succeeds();
    let before = objects(&server, "");
    let change = SettingsChange {
        links: Some(Links::Absolute(BaseUrl::of_registry(BASE).unwrap())),
        ..SettingsChange::default()
    };
    let signer = crate::support::in_process::signer();
    let settings = Init { change, prefix: String::new() };
    let is_set = |server: &S3Server| {
        assert_eq!(listed(server).len(), 1);
        let settings: Value = serde_json::from_slice(&server.objects("bucket")[SETTINGS].bytes).unwrap();
        assert_eq!(settings["base_url"], BASE);
    };
    crate::operations::every_request_of(
        &before,
        (&settings, &signer),
        &|| init("s3://bucket", &["--base-url", BASE]),
        &is_set,
    );

    run(init("s3://bucket", &["--base-url", BASE]).envs(server.envs())).succeeds();
    let base = objects(&server, "");
    let in_line = |server: &S3Server| {
        assert_eq!(listed(server).len(), 1);
        for (key, bytes) in objects(server, "") {
            let is_document = key.contains("/download/") || key == DISCOVERY;
            assert!(!is_document || String::from_utf8(bytes).unwrap().contains(BASE), "{key}");
        }
    };
    crate::operations::every_request_of(
        &base,
        (&Align, &signer),
        &|| reindex_all("s3://bucket", &["--yes"]),
        &in_line,
    );
}

/// A publish that adds a platform is held before it writes its documents, while everything is brought in line; and the other
/// way round.
#[test]
fn a_publish_at_the_same_time_loses_nothing() {
    for held in ["publish", "reindex"] {
        let server = watched();
        fill("s3://bucket", &server.envs());
        run(init("s3://bucket", &["--base-url", BASE]).envs(server.envs())).succeeds();
        let adding = || {
            let mut command = publish("s3://bucket", &tarballs("release-1.2.0-more"));
            command.envs(server.envs()).stdout(Stdio::piped()).stderr(Stdio::piped());
            command
        };
        let aligning = || {
            let mut command = reindex_all("s3://bucket", &["--yes"]);
            command.envs(server.envs()).stdout(Stdio::piped()).stderr(Stdio::piped());
            command
        };
        let gate = Gate::manual();
        server.gate(Matcher::put().suffix("1.2.0/download/linux/amd64").nth(1), Point::Before, &gate);
        let (mut first, mut second) =
            if held == "publish" { (adding(), aligning()) } else { (aligning(), adding()) };
        let child = Running::start(&mut first);
        gate.wait_until_arrived(1, Duration::from_mins(1));
        run(&mut second).succeeds();
        gate.release();
        ran(&child.output()).succeeds();
        let site = folder();
        for (key, bytes) in objects(&server, "") {
            let path = site.path().join(&key);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        assert_eq!(unfollowed(site.path(), BASE).0, [""; 0], "{held}");
        let documents = objects(&server, "registry/acme/sample/1.2.0/download/").len();
        assert_eq!(documents, 6, "{held}: the platforms that were added are there");
        server.verify();
    }
}

#[test]
fn a_bucket_is_brought_in_line_as_a_directory_is() {
    let server = watched();
    fill("s3://bucket/tf", &server.envs());
    run(init("s3://bucket/tf", &["--base-url", BASE]).envs(server.envs())).succeeds();
    let done = run(reindex_all("s3://bucket/tf", &["--yes"]).envs(server.envs())).succeeds();
    assert!(done.stderr.contains("Clients get the links that the plan says"), "{done:?}");
    let site = folder();
    for (key, bytes) in objects(&server, "tf/") {
        let path = site.path().join(&key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    assert_eq!(unfollowed(site.path(), BASE), (Vec::new(), 28));
    let again = run(reindex_all("s3://bucket/tf", &["--yes"]).envs(server.envs())).succeeds();
    assert!(again.stdout.contains("Nothing to do"), "{again:?}");
    server.verify();
}
