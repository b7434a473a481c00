//! `tfreg mirror`: providers of other registries in the network mirror, from which real clients install.

mod hosts;
mod in_s3;
mod keys;
mod refusals;
mod tokens;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::clients::{Terraform, require_program};
use crate::support::host::{Certificate, Host};
use crate::support::reader::Objects;
use crate::support::tunnel::Tunnel;
use crate::support::{Ran, folder, key, publish, run, tarballs, tfreg, tree};

/// The registry that is mirrored.
const UPSTREAM: &str = "upstream.example.org";
pub(super) const SOURCE: &str = "upstream.example.org/acme/sample";
const INDEX: &str = "mirror/upstream.example.org/acme/sample/index.json";
const KEYS: &str = "mirror/upstream.example.org/acme/sample/signing-keys.json";
const BASE: &str = "https://registry.example.com/";

/// A registry with a network mirror, and another one at [`UPSTREAM`].
pub(super) struct World {
    root: TempDir,
    host: Host,
    tunnel: Tunnel,
}

impl World {
    /// Upstream has these releases, signed by `key`; the mirror has nothing.
    fn signed_by(signer: &str, releases: &[&str]) -> Self {
        let root = folder();
        for release in releases {
            publish_upstream(&root.path().join("upstream"), signer, &tarballs(release));
        }
        let host = Host::with(&root.path().join("upstream"), &certificate());
        let tunnel = Tunnel::to(host.port());
        let world = Self { root, host, tunnel };
        run(tfreg().arg("init").arg(world.site()).args(["--base-url", BASE, "--network-mirror"])).succeeds();
        world
    }

    pub(super) fn new(releases: &[&str]) -> Self {
        Self::signed_by("ed25519.asc", releases)
    }

    fn upstream(&self) -> PathBuf {
        self.root.path().join("upstream")
    }

    fn site(&self) -> PathBuf {
        self.root.path().join("site")
    }

    /// `tfreg mirror --to SITE`, on a machine from which [`UPSTREAM`] can be reached.
    fn mirror(&self, args: &[&str]) -> Command {
        let mut command = tfreg();
        command.arg("mirror").arg("--to").arg(self.site()).args(args);
        self.reaching(&mut command);
        command
    }

    pub(super) fn reaching<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TF_")) {
            command.env_remove(name);
        }
        let home = self.root.path().join("home");
        std::fs::create_dir_all(&home).unwrap();
        command.env("HOME", home).env("SSL_CERT_FILE", self.host.certificate());
        self.tunnel.used_by(command)
    }

    fn objects(&self) -> Objects {
        tree(&self.site())
    }

    /// How many requests upstream has heard.
    fn heard(&self) -> usize {
        self.host.heard().len()
    }
}

/// That of [`UPSTREAM`], and of the host that a test is led to from there.
fn certificate() -> Certificate {
    Certificate::server_of(&[UPSTREAM, "elsewhere.example.org"])
}

fn publish_upstream(site: &Path, signer: &str, tarballs: &[PathBuf]) {
    let mut command = tfreg();
    command.arg("publish").arg("--to").arg(site).args(["--namespace", "acme", "--signing-key-file"]);
    run(command.arg(key(signer)).args(tarballs)).succeeds();
}

fn json_of(objects: &Objects, key: &str) -> Value {
    serde_json::from_slice(&objects[key]).unwrap()
}

fn version_key(version: &str) -> String {
    format!("mirror/{SOURCE}/{version}.json")
}

/// The versions that the mirror lists.
fn listed(objects: &Objects) -> Vec<String> {
    json_of(objects, INDEX)["versions"].as_object().unwrap().keys().cloned().collect()
}

fn platforms(objects: &Objects, version: &str) -> Vec<String> {
    json_of(objects, &version_key(version))["archives"].as_object().unwrap().keys().cloned().collect()
}

/// The zips, SHA256SUMS and signatures of the mirror are upstream's, byte for byte, and its files say the truth.
#[track_caller]
fn assert_mirrored(world: &World, versions: &[&str]) {
    let (theirs, ours) = (tree(&world.upstream()), world.objects());
    assert_eq!(listed(&ours), versions);
    for version in versions {
        let file = json_of(&ours, &version_key(version));
        for (platform, archive) in file["archives"].as_object().unwrap() {
            let linked = |name: &str| {
                let link = archive[name].as_str().unwrap();
                let key = link.strip_prefix(BASE).unwrap_or_else(|| panic!("{link}"));
                (key.to_owned(), ours.get(key).unwrap_or_else(|| panic!("no {key}")))
            };
            let (os, arch) = platform.split_once('_').unwrap();
            let document = format!("registry/acme/sample/{version}/download/{os}/{arch}");
            let document: Value = serde_json::from_slice(&theirs[&document]).unwrap();
            for (name, of_document) in [
                ("url", "download_url"),
                ("shasums_url", "shasums_url"),
                ("shasums_signature_url", "shasums_signature_url"),
            ] {
                let (key, bytes) = linked(name);
                let key = key.replacen(&format!("store/{UPSTREAM}/"), "store/", 1);
                let link = document[of_document].as_str().unwrap();
                assert_eq!(format!("/{key}"), link.replacen(BASE, "/", 1));
                assert_eq!(theirs[&key], *bytes, "{key}");
            }
            let hashes: BTreeSet<&str> =
                archive["hashes"].as_array().unwrap().iter().map(|hash| hash.as_str().unwrap()).collect();
            let zh = format!("zh:{}", document["shasum"].as_str().unwrap());
            let h1 = document["packages"][platform]["hashes"][1].as_str().unwrap();
            assert_eq!(hashes, BTreeSet::from([zh.as_str(), h1]), "{platform}");
        }
    }
}

#[test]
fn terraform_installs_from_the_mirror_alone() {
    if !require_program("terraform") {
        return;
    }
    let world = World::new(&["release-1.2.0", "release-1.10.0"]);
    let done = run(&mut world.mirror(&[&format!("{SOURCE}@>= 1.0")])).succeeds();
    assert_mirrored(&world, &["1.2.0", "1.10.0"]);
    for said in ["Mirrored", SOURCE, "recorded now", "network_mirror", "1.10.0"] {
        assert!(done.stdout.contains(said), "{said}: {done:?}");
    }
    // Upstream is gone.
    let host = Host::with(&world.site(), &Certificate::authority(&["registry.example.com"]));
    let tunnel = Tunnel::to(host.port());
    let newest = Terraform::mirrored_of(SOURCE, &host, &tunnel, ">= 1.0.0");
    newest.run(&["init"]).succeeds();
    let version = run(Command::new(newest.installed("1.10.0")).arg("--version")).succeeds();
    assert_eq!(version.stdout, "terraform-provider-sample v1.10.0\n");
    let older = Terraform::mirrored_of(SOURCE, &host, &tunnel, "~> 1.2.0");
    older.run(&["init"]).succeeds();
    assert!(older.installed("1.2.0").exists());
    assert_eq!(host.gets("registry/acme/sample/versions"), 0, "the mirror was asked alone");

    // The configuration that was printed leads there too.
    let printed = done.stdout.split_once("provider_installation").unwrap().1;
    let config = format!("provider_installation{printed}");
    let by_config = Terraform::mirrored_of(SOURCE, &host, &tunnel, "1.2.0");
    std::fs::write(by_config.path("cli.tfrc"), config).unwrap();
    by_config.run(&["init"]).succeeds();
}

#[test]
fn an_unchanged_run_fetches_no_zip_and_writes_nothing() {
    let world = World::new(&["release-1.2.0", "release-1.10.0"]);
    let all = format!("{SOURCE}@>= 1.0");
    run(&mut world.mirror(&[&all])).succeeds();
    let (before, heard) = (world.objects(), world.heard());
    let zips = world.host.gets(".zip");
    let again = run(&mut world.mirror(&[&all])).succeeds();
    assert!(again.stdout.contains("Already mirrored, nothing to do"), "{again:?}");
    assert_eq!((world.objects(), world.host.gets(".zip")), (before, zips));
    // Discovery and the index; of each version one document, SHA256SUMS and its signature.
    assert_eq!(world.heard() - heard, 2 + 2 * 3);
    // Nor does a dry run of it.
    let preview = world.root.path().join("preview");
    let dry = run(world.mirror(&[&all, "--dry-run"]).arg(&preview)).succeeds();
    assert!(dry.stdout.contains("Nothing to do") && !preview.exists(), "{dry:?}");
}

#[test]
fn a_dry_run_has_what_a_run_writes() {
    let world = World::new(&["release-1.2.0", "release-1.10.0"]);
    let preview = world.root.path().join("preview");
    let before = world.objects();
    let all = format!("{SOURCE}@>= 1.0");
    let dry = run(world.mirror(&[&all, "--dry-run"]).arg(&preview)).succeeds();
    assert!(dry.stdout.contains(&format!("+ {INDEX}")), "{dry:?}");
    assert_eq!(world.objects(), before);
    run(&mut world.mirror(&[&all])).succeeds();
    let mut written = world.objects();
    written.retain(|key, _| !before.contains_key(key));
    assert_eq!(tree(&preview), written);
}

#[test]
fn constraints_choose_the_versions() {
    for (constraint, versions) in [
        ("", &["1.10.0"][..]),
        ("@1.2.0", &["1.2.0"]),
        ("@~> 1.2", &["1.2.0", "1.10.0"]),
        ("@>= 1.2, < 1.3", &["1.2.0"]),
        ("@!= 1.10.0", &["1.2.0"]),
    ] {
        let world = World::new(&["release-1.2.0", "release-1.10.0"]);
        run(&mut world.mirror(&[&format!("{SOURCE}{constraint}")])).succeeds();
        assert_mirrored(&world, versions);
    }
    let world = World::new(&["release-1.2.0", "release-1.10.0"]);
    let none = run(&mut world.mirror(&[&format!("{SOURCE}@~> 2.0")]));
    none.refused("~> 2.0", &["no version of it is to be mirrored", "1.10.0, 1.2.0", "~> 2.0"]);
    // Two constraints of one provider are of one run.
    run(&mut world.mirror(&[&format!("{SOURCE}@1.2.0"), &format!("{SOURCE}@1.10.0")])).succeeds();
    assert_mirrored(&world, &["1.2.0", "1.10.0"]);
    // What upstream has yanked is not there for clients.
    let world = World::new(&["release-1.2.0", "release-1.10.0"]);
    run(tfreg().arg("yank").arg(world.upstream()).args(["acme/sample@1.10.0", "--yes"])).succeeds();
    run(&mut world.mirror(&[SOURCE])).succeeds();
    assert_mirrored(&world, &["1.2.0"]);
}

#[test]
fn platforms_come_one_after_the_other() {
    let world = World::new(&["release-1.2.0"]);
    run(&mut world.mirror(&[SOURCE, "--platform", "linux_amd64"])).succeeds();
    assert_eq!(platforms(&world.objects(), "1.2.0"), ["linux_amd64"]);
    assert_eq!(world.host.gets(".zip"), 1);
    run(&mut world.mirror(&[SOURCE, "--platform", "darwin_arm64,linux_amd64"])).succeeds();
    assert_eq!(platforms(&world.objects(), "1.2.0"), ["darwin_arm64", "linux_amd64"]);
    assert_eq!(world.host.gets(".zip"), 2, "what is there is not fetched again");
    // The others stay where one is named.
    run(&mut world.mirror(&[SOURCE, "--platform", "linux_amd64"])).succeeds();
    assert_eq!(platforms(&world.objects(), "1.2.0").len(), 2);
    // A platform that upstream adds later, with a SHA256SUMS of its own.
    publish_upstream(&world.upstream(), "ed25519.asc", &tarballs("release-1.2.0-more"));
    run(&mut world.mirror(&[SOURCE])).succeeds();
    assert_mirrored(&world, &["1.2.0"]);
    assert_eq!(platforms(&world.objects(), "1.2.0").len(), 6);

    let nothing = run(&mut world.mirror(&[SOURCE, "--platform", "plan9_386"]));
    nothing.refused("plan9", &["none of the platforms", "plan9_386", "linux_amd64"]);
    let some = run(&mut world.mirror(&[SOURCE, "--platform", "plan9_386,linux_amd64"])).succeeds();
    assert!(some.stderr.contains("1.2.0 has no plan9_386"), "{some:?}");
}

#[test]
fn a_run_that_was_stopped_goes_on_where_it_was() {
    let world = World::new(&["release-1.2.0"]);
    let all = {
        let whole = World {
            root: folder(),
            host: Host::with(&world.upstream(), &certificate()),
            tunnel: Tunnel::to(world.host.port()),
        };
        run(tfreg().arg("init").arg(whole.site()).args(["--base-url", BASE, "--network-mirror"])).succeeds();
        let whole = World { tunnel: Tunnel::to(whole.host.port()), ..whole };
        run(&mut whole.mirror(&[SOURCE])).succeeds();
        whole.objects()
    };
    // Whatever was written before it ended: objects in the order of the stages.
    let order = |key: &String| {
        (!key.starts_with("store/"), key.ends_with(INDEX), key.ends_with("1.2.0.json"), key.clone())
    };
    let mut keys: Vec<&String> = all.keys().filter(|key| *key != "registry/settings.json").collect();
    keys.sort_by_key(|key| order(key));
    for count in [1, 3, keys.len() - 2, keys.len() - 1] {
        for key in tree(&world.site()).keys().filter(|key| *key != "registry/settings.json") {
            std::fs::remove_file(world.site().join(key)).unwrap();
        }
        let mut zips = 0;
        for key in &keys[..count] {
            let path = world.site().join(key);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, &all[*key]).unwrap();
            zips += usize::from(key.ends_with(".zip"));
        }
        let before = world.host.gets(".zip");
        run(&mut world.mirror(&[SOURCE])).succeeds();
        assert_mirrored(&world, &["1.2.0"]);
        let fetched = world.host.gets(".zip") - before;
        assert_eq!(fetched, platforms(&world.objects(), "1.2.0").len() - zips, "{count}");
    }
}

#[test]
fn what_others_put_into_the_mirror_stays() {
    let world = World::new(&["release-1.2.0"]);
    let others = |key: &str, text: &str| {
        let path = world.site().join(key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    others(INDEX, r#"{"note": 2.50, "versions": {"9.9.9": {"by": [1,  2]}}}"#);
    others(&version_key("9.9.9"), r#"{"archives": {"linux_amd64": {"url": "x.zip"}}}"#);
    others(
        &version_key("1.2.0"),
        r#"{"by": "x", "archives": {"plan9_386": {"url": "y.zip", "note": 1.50}}}"#,
    );
    run(&mut world.mirror(&[SOURCE])).succeeds();
    let after = world.objects();
    assert_eq!(listed(&after), ["1.2.0", "9.9.9"]);
    let index = String::from_utf8(after[INDEX].clone()).unwrap();
    assert!(index.contains("\"note\": 2.50") && index.contains(r#"{"by": [1,  2]}"#), "{index}");
    let version = String::from_utf8(after[&version_key("1.2.0")].clone()).unwrap();
    assert!(version.contains("\"by\": \"x\"") && version.contains("1.50"), "{version}");
    assert_eq!(platforms(&after, "1.2.0").len(), 5);

    // An index that is lost is made of the files that are there.
    std::fs::remove_file(world.site().join(INDEX)).unwrap();
    run(&mut world.mirror(&[SOURCE])).succeeds();
    assert_eq!(listed(&world.objects()), ["1.2.0", "9.9.9"]);
}

#[test]
fn two_at_once_lose_nothing() {
    let world = World::new(&["release-1.2.0", "release-1.10.0"]);
    std::thread::scope(|scope| {
        for version in ["1.2.0", "1.10.0"] {
            let world = &world;
            scope.spawn(move || run(&mut world.mirror(&[&format!("{SOURCE}@{version}")])).succeeds());
        }
        for platform in ["linux_amd64", "darwin_arm64"] {
            let world = &world;
            scope.spawn(move || {
                run(&mut world.mirror(&[&format!("{SOURCE}@1.2.0"), "--platform", platform])).succeeds()
            });
        }
    });
    assert_mirrored(&world, &["1.2.0", "1.10.0"]);
}

#[test]
fn own_providers_stay_as_they_are() {
    let world = World::new(&["release-1.2.0"]);
    run(&mut publish(world.site(), &tarballs("release-1.10.0"))).succeeds();
    let before = world.objects();
    run(&mut world.mirror(&[SOURCE])).succeeds();
    let after = world.objects();
    assert!(before.iter().all(|(key, bytes)| after.get(key) == Some(bytes)));
    // And nothing that is published touches what is mirrored.
    run(&mut publish(world.site(), &tarballs("release-1.2.0"))).succeeds();
    run(tfreg().arg("reindex").arg(world.site()).args(["--all", "--yes"])).succeeds();
    assert_mirrored(&world, &["1.2.0"]);
}

/// The result of a run with `--format json`.
fn result(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

#[test]
fn the_result_is_an_object_for_other_programs() {
    let world = World::new(&["release-1.2.0"]);
    let first = result(&run(&mut world.mirror(&[SOURCE, "--format", "json"])).succeeds());
    let again = result(&run(&mut world.mirror(&[SOURCE, "--format", "json"])).succeeds());
    assert_eq!(first["network_mirror"], format!("{BASE}mirror/"));
    for (result, outcome, trusted) in [(&first, "mirrored", "first-use"), (&again, "unchanged", "recorded")] {
        let provider = &result["providers"][0];
        assert_eq!((&result["outcome"], &result["command"]), (&outcome.into(), &"mirror".into()));
        assert_eq!(provider["source"], SOURCE);
        assert_eq!(provider["keys"][0]["trusted"], trusted);
        let version = &provider["versions"][0];
        assert_eq!((&version["version"], &version["outcome"]), (&"1.2.0".into(), &outcome.into()));
        assert_eq!(version["platforms"].as_array().unwrap().len(), 4);
        assert_eq!(version["platforms"][0]["fetched_bytes"].is_u64(), outcome == "mirrored");
        let objects = result["objects"].as_array().unwrap();
        assert_eq!(objects.len(), if outcome == "mirrored" { 10 } else { 0 }, "{objects:?}");
    }
    let quiet = run(&mut world.mirror(&[SOURCE, "--quiet"])).succeeds();
    assert_eq!((quiet.stdout, quiet.stderr), (String::new(), String::new()));
}

/// The rules that `verify` finds broken.
fn broken(world: &World, args: &[&str]) -> BTreeSet<String> {
    let ran = run(tfreg().arg("verify").arg(world.site()).args(["--format", "json"]).args(args));
    let findings = result(&ran)["findings"].clone();
    let errors = findings.as_array().unwrap().iter().filter(|finding| finding["severity"] == "error");
    errors.map(|finding| finding["rule"].as_str().unwrap().to_owned()).collect()
}

fn set<const N: usize>(rules: [&str; N]) -> BTreeSet<String> {
    rules.into_iter().map(str::to_owned).collect()
}

#[test]
fn verify_checks_what_is_mirrored() {
    let world = World::new(&["release-1.2.0"]);
    run(&mut world.mirror(&[SOURCE])).succeeds();
    // A registry that has nothing but a mirror is one.
    let good = run(tfreg().arg("verify").arg(world.site()).args(["--format", "json"])).succeeds();
    assert_eq!(
        (&result(&good)["checked"]["mirrored"], result(&good)["outcome"].as_str()),
        (&1.into(), Some("good"))
    );
    run(&mut publish(world.site(), &tarballs("release-1.10.0"))).succeeds();
    assert_eq!(broken(&world, &[]), set([]));
    let whole = world.objects();
    let key = |part: &str| {
        let mut keys =
            whole.keys().filter(|key| key.starts_with(&format!("store/{UPSTREAM}")) && key.contains(part));
        keys.next().unwrap().clone()
    };
    let version = version_key("1.2.0");
    let with = |key: &str, change: &dyn Fn(&mut Value)| {
        let mut value = json_of(&whole, key);
        change(&mut value);
        Some(value.to_string().into_bytes())
    };
    let linux = |change: &'static dyn Fn(&mut Value)| {
        with(&version, &move |value| change(&mut value["archives"]["linux_amd64"]))
    };
    let digest = "0".repeat(64);
    let rows: Vec<(&str, String, Option<Vec<u8>>)> = vec![
        ("mirror-zip", key("linux_amd64.zip"), None),
        ("mirror-zip", key("linux_amd64.zip"), Some(b"PK".to_vec())),
        ("mirror-signature", key("SHA256SUMS."), None),
        ("mirror-signature", key("SHA256SUMS."), Some(b"x".to_vec())),
        ("mirror-signature", key("_SHA256SUMS"), None),
        (
            "mirror-signature",
            key("_SHA256SUMS"),
            Some(format!("{digest}  terraform-provider-sample_1.2.0_linux_amd64.zip\n").into_bytes()),
        ),
        ("mirror-keys", KEYS.to_owned(), None),
        ("mirror-keys", KEYS.to_owned(), Some(b"{}".to_vec())),
        (
            "mirror-shasum",
            version.clone(),
            linux(&|archive| archive["hashes"][1] = format!("zh:{}", "0".repeat(64)).into()),
        ),
        (
            "mirror-hashes",
            version.clone(),
            linux(&|archive| archive["hashes"][0] = format!("h1:{}=", "A".repeat(43)).into()),
        ),
        ("mirror-json", version.clone(), Some(b"{}".to_vec())),
        ("mirror-json", INDEX.to_owned(), Some(b"[]".to_vec())),
        ("mirror-version-missing", version.clone(), None),
        ("mirror-index-missing", INDEX.to_owned(), None),
    ];
    for (rule, key, contents) in rows {
        let path = world.site().join(&key);
        match &contents {
            Some(bytes) => std::fs::write(&path, bytes).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        assert_eq!(broken(&world, &[]), set([rule]), "{key}");
        // What is in a zip of a directory is not known without reading it.
        let is_of_zips = rule == "mirror-hashes" || rule == "mirror-zip" && contents.is_some();
        assert_eq!(
            broken(&world, &["--quick"]),
            if is_of_zips { set([]) } else { set([rule]) },
            "{key}, --quick"
        );
        // One provider of the registry's own is not all of it.
        assert_eq!(broken(&world, &["--namespace", "acme"]), set([]), "{key}");
        // The remedy: remove it, and mirror it again.
        if rule != "mirror-keys" {
            let _ = std::fs::remove_file(&path);
            if ["mirror-signature", "mirror-shasum", "mirror-hashes"].contains(&rule) {
                let _ = std::fs::remove_file(world.site().join(&version));
            }
            run(&mut world.mirror(&[&format!("{SOURCE}@1.2.0")])).succeeds();
            assert_eq!(broken(&world, &[]), set([]), "{key}, mirrored again");
        }
        std::fs::write(&path, &whole[&key]).unwrap();
    }
    // What another tool has put there is passed over.
    let theirs = world.site().join("mirror/other.example.org/acme/sample");
    std::fs::create_dir_all(&theirs).unwrap();
    std::fs::write(theirs.join("index.json"), r#"{"versions": {"1.0.0": {}}}"#).unwrap();
    std::fs::write(theirs.join("1.0.0.json"), r#"{"archives": {"linux_amd64": {"url": "x.zip"}}}"#).unwrap();
    assert_eq!(broken(&world, &[]), set([]));
}
