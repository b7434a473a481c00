//! `tfreg list`: what is in a registry, wherever it is read.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tfreg::content::Digest;

use crate::support::archive::{Archive, genuine_executable, write};
use crate::support::clients::Preview;
use crate::support::host::Host;
use crate::support::s3_server::S3Server;
use crate::support::{DATE, Ran, folder, publish, run, tarball, tarballs, tfreg, tree};

const INDEX: &str = "registry/acme/sample/versions";
const DOCUMENT: &str = "registry/acme/sample/1.2.0/download/linux/amd64";
const KEY: &str = "A7F2BC5B6E845A69";
const FINGERPRINT: &str = "4E8911C0E0EC692102243A48A7F2BC5B6E845A69";
const COMMIT: &str = "0123456789012345678901234567890123456789";
const STARTED: &str = "2026-01-02T03:03:06Z";

/// The tarball of a pre-release, 2.0.0-rc.1 for linux_amd64.
fn candidate(folder: &Path) -> PathBuf {
    let manifest = br#"{"version":1,"metadata":{"protocol_versions":["6.0"]}}"#;
    let archive = Archive::new()
        .file("terraform-provider-sample", genuine_executable("linux-amd64"))
        .file("terraform-registry-manifest.json", manifest);
    write(folder, "terraform-provider-sample-v2.0.0-rc.1-linux-amd64-bin.tar.gz", archive.gz())
}

/// A registry of `acme/sample` with 1.2.0 (of a build), 1.3.0 that is yanked, 1.10.0 and 2.0.0-rc.1; and of `other/sample`.
fn fill(target: &str, envs: &[(String, String)]) {
    let root = folder();
    let put = |tarballs: &[PathBuf], namespace: &str| {
        let mut command = tfreg();
        command.args(["publish", "--to", target, "--namespace", namespace, "--signing-key-file"]);
        command.arg(crate::support::key("ed25519.asc")).args(tarballs).envs(envs.iter().cloned());
        command
    };
    let mut build = put(&tarballs("release-1.2.0"), "acme");
    build.envs([
        ("DRONE_REPO", "acme/sample"),
        ("DRONE_COMMIT_SHA", COMMIT),
        ("DRONE_TAG", "v1.2.0"),
        ("DRONE_BUILD_LINK", "https://drone.example.com/acme/sample/42"),
        ("DRONE_BUILD_STARTED", "1767322986"),
    ]);
    run(&mut build).succeeds();
    let other = root.path().join("terraform-provider-sample-v1.3.0-linux-amd64-bin.tar.gz");
    std::fs::copy(tarball("release-1.2.0", "linux-amd64"), &other).unwrap();
    run(put(&[other], "acme").args(["--protocol", "6.0"])).succeeds();
    run(&mut put(&tarballs("release-1.10.0"), "acme")).succeeds();
    run(&mut put(&[candidate(root.path())], "acme")).succeeds();
    run(&mut put(&[tarball("release-1.2.0", "linux-amd64")], "other")).succeeds();
    let yank = ["yank", "--to", target, "acme/sample@1.3.0", "--yes", "--reason", "deletes tags"];
    run(tfreg().args(yank).envs(envs.iter().cloned())).succeeds();
}

fn site() -> (tempfile::TempDir, PathBuf) {
    let root = folder();
    let site = root.path().join("site");
    fill(site.to_str().unwrap(), &[]);
    (root, site)
}

fn list(place: impl AsRef<std::ffi::OsStr>, args: &[&str]) -> Ran {
    run(tfreg().arg("list").arg(place).args(args))
}

#[track_caller]
fn json_of(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:#?}"))
}

fn listed(site: &Path, args: &[&str]) -> Value {
    json_of(&list(site, &[args, &["--format", "json"]].concat()).succeeds())
}

/// The list without what depends on where it is read.
fn placeless(mut list: Value) -> Value {
    list["place"].take();
    for platform in list.get_mut("platforms").and_then(Value::as_array_mut).into_iter().flatten() {
        platform["bytes"].take();
    }
    list
}

#[test]
fn a_registry_has_its_providers() {
    let (_root, site) = site();
    let before = tree(&site);
    let all = listed(&site, &[]);
    let four = json!(["darwin_arm64", "linux_amd64", "linux_arm64", "windows_amd64"]);
    let expected = json!({
        "outcome": "listed", "place": site.to_str().unwrap(), "settings": null, "problems": [],
        "providers": [
            { "provider": "acme/sample", "newest": "1.10.0", "versions": 3, "yanked": 1, "platforms": four,
              "last_publish": DATE },
            { "provider": "other/sample", "newest": "1.2.0", "versions": 1, "yanked": 0, "platforms": ["linux_amd64"],
              "last_publish": DATE },
        ],
    });
    assert_eq!(all, expected, "{all:#}");
    let human = list(&site, &[]).succeeds().stdout;
    for text in
        ["2 providers", "acme/sample", "other/sample", "1.10.0", "1 yanked", "linux amd64 arm64", &DATE[..10]]
    {
        assert!(human.contains(text), "{text}: {human}");
    }
    assert!(tree(&site) == before, "nothing is written");

    // The target is named as for every command.
    for command in [tfreg().args(["list", "--to"]).arg(&site), tfreg().arg("list").env("TFREG_TO", &site)] {
        assert_eq!(run(command).succeeds().stdout, human);
    }
    run(tfreg().arg("list")).fails(2, &["no TARGET"]);

    run(tfreg().args(["init", "--base-url", "https://registry.example.com/"]).arg(&site)).succeeds();
    let settings = &listed(&site, &[])["settings"];
    assert_eq!(settings["base_url"], "https://registry.example.com/", "{settings:#}");
    let human = list(&site, &[]).succeeds().stdout;
    assert!(human.contains("base_url") && human.contains("https://registry.example.com/"), "{human}");
    let empty = folder();
    run(tfreg().args(["init", "--stable-only"]).arg(empty.path())).succeeds();
    assert_eq!(listed(empty.path(), &[])["providers"], json!([]));
}

#[test]
fn a_provider_has_its_versions() {
    let (_root, site) = site();
    run(tfreg().args(["warn", "acme/sample", "Use 1.10.0.", "--to"]).arg(&site)).succeeds();
    let all = listed(&site, &["acme/sample"]);
    assert_eq!(all["warnings"], json!(["Use 1.10.0."]));
    assert_eq!(all["problems"], json!([]));
    let rows: Vec<Value> = all["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let yanked = row["yanked"]["reason"].clone();
            assert_eq!((&row["key_id"], &row["protocols"]), (&json!(KEY), &json!(["6.0"])), "{row:#}");
            json!([
                row["version"],
                row["prerelease"],
                yanked,
                row["published"],
                row["platforms"].as_array().unwrap().len()
            ])
        })
        .collect();
    let expected = json!([
        ["2.0.0-rc.1", true, null, DATE, 1],
        ["1.10.0", false, null, DATE, 4],
        ["1.3.0", false, "deletes tags", DATE, 1],
        ["1.2.0", false, null, STARTED, 4],
    ]);
    assert_eq!(json!(rows), expected, "{all:#}");
    let human = list(&site, &["acme/sample"]).succeeds().stdout;
    for text in [
        "acme/sample in",
        "4 versions",
        "pre-release",
        "yanked",
        "deletes tags",
        KEY,
        "clients show: Use 1.10.0.",
    ] {
        assert!(human.contains(text), "{text}: {human}");
    }
    assert!(human.lines().all(|line| line.chars().count() <= 80), "{human}");
}

#[test]
fn a_version_has_its_platforms() {
    let (_root, site) = site();
    // As OpenTofu 1.12 reads it.
    let text = std::fs::read_to_string(site.join(DOCUMENT)).unwrap();
    let mut document: Value = serde_json::from_str(&text).unwrap();
    let hashes = json!([format!("zh:{}", document["shasum"].as_str().unwrap()), "h1:abc="]);
    document["packages"] = json!({ "linux_amd64": { "hashes": hashes, "package_size": 4711 } });
    std::fs::write(site.join(DOCUMENT), document.to_string()).unwrap();

    let all = listed(&site, &["acme/sample@v1.2.0"]);
    assert_eq!(all, listed(&site, &["acme/sample@1.2.0"]));
    assert_eq!(
        (&all["provider"], &all["version"], &all["published"]),
        (&json!("acme/sample"), &json!("1.2.0"), &json!(STARTED))
    );
    assert_eq!(all["keys"], json!([{ "key_id": KEY, "key_fingerprint": FINGERPRINT }]));
    assert_eq!(all["shasums_urls"], json!([document["shasums_url"]]));
    let record = json!({
        "signed": true, "repository": "acme/sample", "commit": COMMIT, "tag": "v1.2.0", "event": null, "target": null,
        "build_number": null, "build_link": "https://drone.example.com/acme/sample/42", "started": STARTED,
    });
    assert_eq!(all["record"], record);
    let platforms = all["platforms"].as_array().unwrap();
    assert_eq!(platforms.len(), 4);
    for platform in platforms {
        let link = platform["download_url"].as_str().unwrap();
        let zip = std::fs::read(site.join(link.trim_start_matches('/'))).unwrap();
        assert_eq!(platform["sha256"], Digest::of(&zip).to_string(), "{platform:#}");
        let told = platform["platform"] == "linux_amd64";
        assert_eq!(platform["bytes"], zip.len(), "{platform:#}");
        let h1 = platform["h1"].as_str().unwrap();
        assert!(if told { h1 == "h1:abc=" } else { h1.starts_with("h1:") }, "{platform:#}");
        assert!(site.join(platform["document"].as_str().unwrap()).exists());
    }
    let human = list(&site, &["acme/sample@1.2.0"]).succeeds().stdout;
    for text in
        ["acme/sample 1.2.0 in", FINGERPRINT, COMMIT, "signed by the key", "linux_amd64  ", "h1:abc=", "zh:"]
    {
        assert!(human.contains(text), "{text}: {human}");
    }

    // A record that somebody has changed is not shown as what the key has signed; one of other zips is none at all.
    let signature = tree(&site)
        .into_keys()
        .find(|key| key.contains("/1.2.0/") && key.contains("provenance.json."))
        .unwrap();
    let kept = std::fs::read(site.join(&signature)).unwrap();
    std::fs::write(site.join(&signature), "x").unwrap();
    assert_eq!(listed(&site, &["acme/sample@1.2.0"])["record"]["signed"], false);
    assert!(list(&site, &["acme/sample@1.2.0"]).succeeds().stdout.contains("not signed by the key"));
    std::fs::write(site.join(&signature), kept).unwrap();
    let record = signature.replace(&format!(".{KEY}.sig"), "");
    std::fs::remove_file(site.join(&record)).unwrap();
    assert_eq!(listed(&site, &["acme/sample@1.2.0"])["record"], Value::Null);
    std::fs::write(site.join(&record), r#"{"subject":[]}"#).unwrap();
    let ran = list(&site, &["acme/sample@1.2.0", "--format", "json"]).fails(3, &[&record]);
    assert_eq!(json_of(&ran)["problems"][0]["subject"], record, "{ran:#?}");
}

#[test]
fn the_list_is_the_same_wherever_it_is_read() {
    let (_root, site) = site();
    let server = S3Server::start(&["bucket"]);
    let bucket = "s3://bucket/some/prefix";
    fill(bucket, &server.envs());
    let (preview, host) = (Preview::of(&site), Host::of(&site));
    let certificate = host.certificate().display().to_string();
    for args in [&["acme/sample"][..], &["acme/sample@1.2.0"], &["acme/sample@2.0.0-rc.1"]] {
        let args = [args, &["--format", "json"]].concat();
        let expected = placeless(json_of(&list(&site, &args).succeeds()));
        let at_host = list(host.url(), &[&args[..], &["--ca-file", &certificate]].concat());
        let in_bucket = run(tfreg().arg("list").arg(bucket).args(&args).envs(server.envs()));
        for ran in [in_bucket, list(preview.url(), &args), at_host] {
            // When a version was yanked differs.
            let mut found = placeless(json_of(&ran.succeeds()));
            for (at, row) in
                found.get_mut("versions").and_then(Value::as_array_mut).into_iter().flatten().enumerate()
            {
                if !row["yanked"].is_null() {
                    row["yanked"]["when"] = expected["versions"][at]["yanked"]["when"].clone();
                }
            }
            assert_eq!(found, expected, "{args:?}");
        }
    }
    let registry = run(tfreg().args(["list", bucket, "--format", "json"]).envs(server.envs()));
    assert_eq!(placeless(json_of(&registry.succeeds())), placeless(listed(&site, &[])));
    // A host cannot be listed.
    list(preview.url(), &[]).fails(2, &["cannot be listed", "name the provider"]);
    list(preview.url(), &["acme/other"]).refused("no such provider", &["acme/other is not published"]);
    preview.stop();
}

/// A version costs one request: that of a document of it. Its platforms come from the index.
#[test]
fn a_provider_is_listed_with_few_requests() {
    let server = S3Server::start(&["bucket"]);
    for release in ["release-1.2.0", "release-1.10.0"] {
        run(publish("s3://bucket", &tarballs(release)).envs(server.envs())).succeeds();
    }
    let count = |args: &[&str]| {
        server.clear_requests();
        run(tfreg().args(["list", "s3://bucket"]).args(args).envs(server.envs())).succeeds();
        server.requests().len()
    };
    assert_eq!(count(&["acme/sample"]), 1 + 2, "the index, and a document of each version");
    assert_eq!(count(&[]), 3, "the settings, the listing, and the index");
    let version = count(&["acme/sample@1.2.0"]);
    assert!(version <= 1 + 4 + 4 + 3, "the index, documents, sizes, SHA256SUMS and record: {version}");
}

#[test]
fn what_is_not_there_is_refused() {
    let (root, site) = site();
    let place = site.to_str().unwrap();
    list(root.path().join("missing"), &[]).refused("no directory", &["there is no registry to list"]);
    list(root.path(), &[])
        .refused("no registry", &["there is no registry to list", "no index of a provider"]);
    list(&site, &["acme/other"]).refused(
        "no provider",
        &["registry/acme/other/versions: acme/other is not published", &format!("`tfreg list {place}`")],
    );
    list(&site, &["acme/sample@1.2.1"]).refused(
        "no version",
        &[
            "version 1.2.1 is not published",
            "1.2.0, 1.10.0, 2.0.0-rc.1",
            &format!("`tfreg list {place} acme/sample`"),
        ],
    );
    list(&site, &["acme/sample@1.3.0"]).refused("yanked", &["version 1.3.0 is yanked", "deletes tags"]);
    run(tfreg().args(["unyank", place, "acme/sample@1.3.0"])).succeeds();
    list(&site, &["acme/sample@1.3.0"]).succeeds();
    let json = json_of(&list(&site, &["acme/sample@1.2.1", "--format", "json"]));
    assert_eq!((&json["outcome"], &json["exit_code"]), (&json!("refused"), &json!(3)));
    list(&site, &["acme/sample@latest"]).fails(2, &["latest"]);
    list(&site, &["acme/sample", "1.2.0"]).fails(2, &["unexpected argument"]);

    std::fs::remove_file(site.join(INDEX)).unwrap();
    list(&site, &["acme/sample"])
        .refused("a lost index", &["the index is missing", &format!("`tfreg reindex {place} acme/sample`")]);
    let ran = list(&site, &["--format", "json"]).fails(3, &[INDEX]);
    assert_eq!(json_of(&ran)["problems"][0]["subject"], INDEX);
    assert_eq!(json_of(&ran)["providers"][1]["newest"], "1.2.0", "the other one is listed all the same");
    run(tfreg().args(["reindex", place, "acme/sample", "--yes"])).succeeds();
    list(&site, &["acme/sample"]).succeeds();
    std::fs::write(site.join(INDEX), "{").unwrap();
    list(&site, &["acme/sample"]).refused("a damaged index", &[INDEX]);
}

/// Each damage is named, with the place that verify names, and all else is listed.
#[test]
fn what_is_broken_does_not_stop_the_rest() {
    let (_root, site) = site();
    let place = site.to_str().unwrap();
    let base = tree(&site);
    let zip =
        base.keys().find(|key| key.contains("1.2.0_linux_amd64.zip") && key.contains("/acme/")).unwrap();
    let sums = base.keys().filter(|key| key.contains("/acme/") && key.ends_with("1.2.0_SHA256SUMS"));
    let sums: BTreeSet<&String> = sums.collect();
    let sums = *sums.first().unwrap();
    for (key, text, of_provider) in [
        // The first platform of 1.2.0 is that whose document is read for the key.
        ("registry/acme/sample/1.2.0/download/darwin/arm64", None, true),
        ("registry/acme/sample/1.2.0/download/darwin/arm64", Some("{"), true),
        (DOCUMENT, None, false),
        (DOCUMENT, Some("[]"), false),
        (zip, None, false),
        (sums, None, false),
        (sums, Some("x"), false),
    ] {
        match text {
            None => std::fs::remove_file(site.join(key)).unwrap(),
            Some(text) => std::fs::write(site.join(key), text).unwrap(),
        }
        let ran = list(&site, &["acme/sample@1.2.0", "--format", "json"]).fails(3, &[key, "`tfreg verify"]);
        let found = json_of(&ran);
        assert_eq!(
            (&found["outcome"], &found["problems"][0]["subject"]),
            (&json!("incomplete"), &json!(key))
        );
        assert_eq!(found["platforms"].as_array().unwrap().len(), 4, "{key}");
        let whole =
            found["platforms"].as_array().unwrap().iter().filter(|platform| !platform["sha256"].is_null());
        assert!(whole.count() >= 3, "{found:#}");
        let human = list(&site, &["acme/sample@1.2.0"]).fails(3, &[key]);
        assert!(human.stdout.contains("linux_arm64"), "{human:#?}");
        let provider = list(&site, &["acme/sample", "--format", "json"]);
        assert_eq!(provider.code, if of_provider { 3 } else { 0 }, "{key}: {provider:#?}");
        assert_eq!(json_of(&provider)["versions"].as_array().unwrap().len(), 4);
        let verified = run(tfreg().args(["verify", place, "acme/sample"]));
        assert!(verified.code == 3 && verified.stdout.contains(key), "{key}: {verified:#?}");
        std::fs::write(site.join(key), &base[key]).unwrap();
    }
    // What is broken in the index: a version that cannot be understood, and marks.
    let text = std::fs::read_to_string(site.join(INDEX)).unwrap();
    let mut index: Value = serde_json::from_str(&text).unwrap();
    index["versions"][0]["platforms"] = 7.into();
    index["yanked"] = 7.into();
    index["warnings"] = 7.into();
    std::fs::write(site.join(INDEX), index.to_string()).unwrap();
    for args in [&[][..], &["acme/sample"]] {
        let ran = list(&site, &[args, &["--format", "json"]].concat()).fails(3, &[INDEX]);
        assert!(json_of(&ran)["problems"].as_array().unwrap().len() >= 2, "{ran:#?}");
    }
    let rows = json_of(&list(&site, &["acme/sample", "--format", "json"]));
    assert_eq!(rows["versions"].as_array().unwrap().len(), 3, "{rows:#}");
    std::fs::write(site.join("registry/settings.json"), r#"{"format":2}"#).unwrap();
    list(&site, &[]).fails(3, &["registry/settings.json"]);
}

#[test]
fn what_the_store_does_not_answer_is_a_failure() {
    let server = S3Server::start(&["bucket"]);
    run(tfreg().args(["list", "s3://nobucket"]).envs(server.envs())).fails(1, &["s3://nobucket"]);
}
