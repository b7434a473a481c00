//! The command `reindex`: the index of a provider's versions is computed again from the documents of the versions.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tfreg::plan::completeness::Trust;
use tfreg::plan::reindex::Reindex;

use super::{
    INDEX, OLD_FINGERPRINT, RECORD, command, edit, every_request, json, key_file, on, provider, site,
    versions,
};
use crate::support::child::Running;
use crate::support::clients::{Preview, Terraform, require_program};
use crate::support::in_process::signer;
use crate::support::reader;
use crate::support::s3_server::{Gate, Matcher, Point};
use crate::support::watched::{listed, objects, watched};
use crate::support::{publish, run, tarball, tarballs, tfreg, tree, undated};

#[test]
fn a_lost_or_damaged_index_is_computed_again() {
    let (root, site) = site();
    on(&site, "yank", &["1.2.0", "--yes"]).succeeds();
    run(&mut publish(&site, &tarballs("release-1.2.0-rebuilt"))).refused("yanked", &["is yanked"]);
    let before = tree(&site);
    let ran = on(&site, "reindex", &[]).succeeds();
    assert!(ran.stdout.contains("Nothing to do"), "{ran:?}");
    for damage in [None, Some(""), Some("{"), Some("[]"), Some(r#"{"versions":[{"version":"v1"}]}"#)] {
        match damage {
            None => std::fs::remove_file(site.join(INDEX)).unwrap(),
            Some(text) => std::fs::write(site.join(INDEX), text).unwrap(),
        }
        let damaged = tree(&site);
        on(&site, "reindex", &[]).fails(2, &["--yes"]);
        let folder = root.path().join(format!("preview-{}", damage.map_or(0, |text| 1 + text.len())));
        let dry = on(&site, "reindex", &["--dry-run", folder.to_str().unwrap()]).succeeds();
        assert!(
            dry.stdout.contains("+ 1.10.0 (darwin_arm64, linux_amd64, linux_arm64, windows_amd64)"),
            "{dry:?}"
        );
        assert_eq!(tree(&site), damaged);
        on(&site, "reindex", &["--yes"]).succeeds();
        // The yanked version stays out, and its mark is there again.
        assert!(tree(&site) == undated(&before), "{damage:?}");
        assert_eq!(tree(&folder)[INDEX], undated(&before)[INDEX]);
    }
    run(&mut publish(&site, &tarballs("release-1.2.0"))).refused("yanked", &["is yanked"]);
    on(&site, "unyank", &["1.2.0"]).succeeds();
    assert_eq!(reader::read(&tree(&site)).unwrap().len(), 8);
}

#[test]
fn only_whole_versions_are_listed_again() {
    let (_root, site) = site();
    edit(&site, INDEX, |index| {
        index["warnings"] = serde_json::json!(["careful"]);
        index["id"] = 7.into();
        index["versions"][0]["note"] = 1.into();
    });
    let whole = tree(&site);
    let document = "registry/acme/sample/1.2.0/download/linux/amd64";
    let linked = |member: &str| json(&site, document)[member].as_str().unwrap()[1..].to_owned();
    for key in
        [document.to_owned(), linked("download_url"), linked("shasums_url"), linked("shasums_signature_url")]
    {
        if key == document {
            std::fs::write(site.join(&key), "{").unwrap();
        } else {
            std::fs::remove_file(site.join(&key)).unwrap();
        }
        let ran = on(&site, "reindex", &["--yes"]).succeeds();
        assert!(ran.stdout.contains("- 1.2.0: ") && ran.stdout.contains(&key), "{ran:?}");
        let index = json(&site, INDEX);
        assert_eq!(
            (versions(&site), &index["warnings"][0], &index["id"]),
            (vec!["1.10.0".to_owned()], &"careful".into(), &7.into())
        );
        std::fs::write(site.join(&key), &whole[&key]).unwrap();
        let ran = on(&site, "reindex", &["--yes"]).succeeds();
        assert!(ran.stdout.contains("+ 1.2.0 ("), "{ran:?}");
        std::fs::write(site.join(INDEX), &whole[INDEX]).unwrap();
    }
    // A platform whose document is gone is not listed any more; one that is there and not listed is.
    std::fs::remove_file(site.join(document)).unwrap();
    let ran = on(&site, "reindex", &["--yes"]).succeeds();
    assert!(
        ran.stdout.contains("~ 1.2.0 (darwin_arm64, linux_amd64,")
            && ran.stdout.contains("-> darwin_arm64, linux_arm64,"),
        "{ran:?}"
    );
    assert_eq!(json(&site, INDEX)["versions"][0]["note"], 1);
    std::fs::write(site.join(document), &whole[document]).unwrap();
    on(&site, "reindex", &["--yes"]).succeeds();
    let was: Value = serde_json::from_slice(&whole[INDEX]).unwrap();
    assert_eq!(json(&site, INDEX), was);
    // What is no object of a registry is told.
    std::fs::write(site.join("registry/acme/sample/1.2.0/download/linux/amd64.bak"), "x").unwrap();
    let ran = on(&site, "reindex", &["--yes"]).succeeds();
    assert!(
        ran.stderr.contains("amd64.bak: no object of a registry") && ran.stdout.contains("Nothing to do"),
        "{ran:?}"
    );
    // A record that is not understood might say that a version is yanked.
    std::fs::write(site.join(RECORD), "{}").unwrap();
    on(&site, "reindex", &["--yes"]).refused("record", &[RECORD, "cannot be understood"]);
    run(tfreg().arg("reindex").arg(&site).args(["acme/other", "--yes"]).stdin(Stdio::null()))
        .refused("nothing there", &["acme/other has no version that can be listed"]);
    assert_eq!(json(&site, INDEX), was);
}

#[test]
fn half_yanked_versions_follow_their_record() {
    let (_root, site) = site();
    let index = std::fs::read(site.join(INDEX)).unwrap();
    on(&site, "yank", &["1.2.0", "--yes"]).succeeds();
    let yanked = std::fs::read(site.join(INDEX)).unwrap();
    // As if the yank had been stopped between record and index; and likewise the putting back.
    std::fs::write(site.join(INDEX), &index).unwrap();
    on(&site, "reindex", &["--yes"]).succeeds();
    assert_eq!(std::fs::read(site.join(INDEX)).unwrap(), yanked);
    on(&site, "unyank", &["1.2.0"]).succeeds();
    let back = std::fs::read(site.join(INDEX)).unwrap();
    std::fs::write(site.join(INDEX), &yanked).unwrap();
    run(&mut publish(&site, &tarballs("release-1.2.0")))
        .refused("half put back", &[INDEX, "not put back whole"]);
    on(&site, "reindex", &["--yes"]).succeeds();
    assert_eq!(std::fs::read(site.join(INDEX)).unwrap(), back);
}

/// A publish that has written its documents, and not the index, when the index is made anew; and one that is there before.
#[test]
fn a_reindex_and_a_publish_lose_nothing() {
    for held in ["GET", "PUT"] {
        let server = watched();
        run(publish("s3://bucket", &tarballs("release-1.2.0")).envs(server.envs())).succeeds();
        let publishing = || {
            let mut command = publish("s3://bucket", &tarballs("release-1.10.0"));
            command.envs(server.envs()).stdout(Stdio::piped()).stderr(Stdio::piped());
            command
        };
        let gate = Gate::manual();
        let reindex = || {
            let mut command = command("reindex", "s3://bucket", &["--yes"]);
            command.envs(server.envs()).stdout(Stdio::piped()).stderr(Stdio::piped());
            command
        };
        if held == "PUT" {
            // The publish is held before it writes the index.
            server.gate(Matcher::put().suffix("versions").nth(1), Point::Before, &gate);
            let child = Running::start(&mut publishing());
            gate.wait_until_arrived(1, Duration::from_mins(1));
            run(&mut reindex()).succeeds();
            gate.release();
            crate::support::ran(&child.output()).succeeds();
        } else {
            // The index is lost. A publish does not make one without the versions that were published, and finds the one
            // that is made anew.
            server.delete_directly("bucket", INDEX);
            server.gate(Matcher::get().suffix("versions").nth(1), Point::After, &gate);
            let child = Running::start(&mut reindex());
            gate.wait_until_arrived(1, Duration::from_mins(1));
            run(&mut publishing()).fails(3, &["is missing", "tfreg reindex s3://bucket"]);
            gate.release();
            crate::support::ran(&child.output()).succeeds();
            run(&mut publishing()).succeeds();
        }
        assert_eq!(listed(&server).len(), 8, "{held}");
        server.verify();
    }
}

#[test]
fn each_request_of_a_reindex_may_fail_or_be_its_last() {
    // Few objects, because each of them is a request that may fail: a whole version, and a yanked one.
    let server = watched();
    run(publish("s3://bucket", &[tarball("release-1.2.0", "linux-amd64")]).envs(server.envs())).succeeds();
    run(publish("s3://bucket", &[tarball("release-1.10.0", "linux_amd64")]).envs(server.envs())).succeeds();
    run(command("yank", "s3://bucket", &["1.10.0", "--yes"]).envs(server.envs())).succeeds();
    let mut base = objects(&server, "");
    base.remove(INDEX);
    let goal = Reindex { provider: provider(), trust: Trust::default() };
    every_request(&base, (&goal, &signer()), "reindex", &["--yes"], &|server| {
        assert_eq!(listed(server).len(), 1);
    });
}

#[test]
fn terraform_installs_after_a_reindex() {
    if !require_program("terraform") {
        return;
    }
    let (_root, site) = site();
    std::fs::remove_file(site.join(INDEX)).unwrap();
    let preview = Preview::of(&site);
    assert_ne!(Terraform::new(&preview, "1.2.0").run(&["init", "-no-color"]).code, 0);
    on(&site, "reindex", &["--yes"]).succeeds();
    let terraform = Terraform::new(&preview, "1.2.0");
    terraform.run(&["init", "-no-color"]).succeeds();
    assert!(terraform.installed("1.2.0").exists());
}

/// What is listed anew is signed for its version, by one key or by keys that are named.
#[test]
fn what_is_listed_again_is_proven() {
    let (root, site) = site();
    let theirs = root.path().join("theirs");
    let mut command = tfreg();
    command
        .args(["publish", "--namespace", "acme", "--signing-key-file", &key_file("p256.asc"), "--to"])
        .arg(&theirs);
    run(command.args(tarballs("release-1.10.0"))).succeeds();
    for (key, bytes) in tree(&theirs).into_iter().filter(|(key, _)| key.contains("/1.10.0/")) {
        std::fs::create_dir_all(site.join(&key).parent().unwrap()).unwrap();
        std::fs::write(site.join(&key), bytes).unwrap();
    }
    std::fs::remove_file(site.join(INDEX)).unwrap();
    let planted = tree(&site);
    on(&site, "reindex", &["--yes"]).refused(
        "two keys",
        &["different keys", OLD_FINGERPRINT, "5062C27F84CD6903A969B8281FD51C14BF354275"],
    );
    assert_eq!(tree(&site), planted);
    let trust = key_file("ed25519.asc");
    let named = on(&site, "reindex", &["--yes", "--trust-key", &trust]).succeeds();
    assert!(named.stdout.contains(&format!("windows_amd64), signed by key {OLD_FINGERPRINT}")), "{named:?}");
    assert!(named.stderr.contains("1.10.0 is left as it is"), "{named:?}");
    assert_eq!(versions(&site), ["1.2.0"]);
    on(&site, "yank", &["1.2.0", "--yes"]).succeeds();
    on(&site, "unyank", &["1.2.0", "--trust-key", &key_file("p256.asc")])
        .refused("another key", &["not trusted", OLD_FINGERPRINT]);
    // A signature of something else proves nothing.
    let sums =
        json(&site, "registry/acme/sample/1.2.0/download/linux/amd64")["shasums_signature_url"].clone();
    let signature = site.join(&sums.as_str().unwrap()[1..]);
    let good = std::fs::read(&signature).unwrap();
    let record = tree(&site)
        .into_keys()
        .find(|key| key.contains("/1.2.0/") && key.contains("provenance.json."))
        .unwrap();
    std::fs::copy(site.join(record), &signature).unwrap();
    on(&site, "unyank", &["1.2.0"])
        .refused("a signature of something else", &["cannot be put back", "not over this file"]);
    std::fs::write(&signature, good).unwrap();
    on(&site, "unyank", &["1.2.0", "--trust-key", &trust]).succeeds();
    assert_eq!(versions(&site), ["1.2.0"]);
}
