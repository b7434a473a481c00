//! The network mirror of the registry's own providers: what real clients install from it alone, and that its files say what the
//! registry says, whoever changes it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::child::Running;
use crate::support::clients::{Preview, Terraform, require_program};
use crate::support::host::{Certificate, Host, Instead};
use crate::support::reader::{self, Objects};
use crate::support::s3_server::{Gate, Matcher, Point, S3Server};
use crate::support::tunnel::Tunnel;
use crate::support::watched::{objects, watched};
use crate::support::{Ran, folder, publish, ran, run, tarball, tarballs, tfreg, tree};

const BASE: &str = "https://registry.example.com/";
const INDEX: &str = "mirror/registry.example.com/acme/sample/index.json";
const VERSION: &str = "mirror/registry.example.com/acme/sample/1.2.0.json";

/// `tfreg COMMAND TARGET ARG…`
fn on(target: impl AsRef<std::ffi::OsStr>, words: &str) -> Command {
    let mut words = words.split(' ');
    let mut command = tfreg();
    command.arg(words.next().unwrap()).arg(target).args(words).stdin(Stdio::null());
    command
}

fn with_mirror(site: impl AsRef<std::ffi::OsStr>) -> Command {
    on(site, &format!("init --base-url {BASE} --network-mirror"))
}

/// A registry with a mirror, and 1.2.0 (two runs, six platforms) and 1.10.0.
fn registry(site: &Path) {
    run(&mut with_mirror(site)).succeeds();
    for release in ["release-1.2.0", "release-1.2.0-more", "release-1.10.0"] {
        run(&mut publish(site, &tarballs(release))).succeeds();
    }
}

fn json_of(objects: &Objects, key: &str) -> Value {
    serde_json::from_slice(&objects[key]).unwrap()
}

fn listed(objects: &Objects) -> Vec<String> {
    json_of(objects, INDEX)["versions"].as_object().unwrap().keys().cloned().collect()
}

#[track_caller]
fn assert_mirrored(objects: &Objects) {
    reader::mirrored(objects, BASE).unwrap();
}

fn hashes(lock_file: &str) -> BTreeSet<String> {
    let lines = lock_file.lines().map(|line| line.trim().trim_matches([',', '"']));
    lines.filter(|line| line.starts_with("zh:") || line.starts_with("h1:")).map(str::to_owned).collect()
}

#[test]
fn terraform_installs_from_the_mirror_alone() {
    if !require_program("terraform") {
        return;
    }
    let root = folder();
    let site = root.path().join("site");
    registry(&site);
    assert_mirrored(&tree(&site));
    let host = Host::with(&site, &Certificate::authority(&["registry.example.com"]));
    let tunnel = Tunnel::to(host.port());
    let newest = Terraform::mirrored(&host, &tunnel, ">= 1.0.0");
    newest.run(&["init"]).succeeds();
    assert!(newest.installed("1.10.0").exists());

    let terraform = Terraform::mirrored(&host, &tunnel, "1.2.0");
    terraform.run(&["init"]).succeeds();
    let version = run(Command::new(terraform.installed("1.2.0")).arg("--version")).succeeds();
    assert_eq!(version.stdout, "terraform-provider-sample v1.2.0\n");
    // The hash of the own platform; then those of two others.
    let archives = json_of(&tree(&site), VERSION)["archives"].clone();
    let of = |platforms: &[&str]| -> BTreeSet<String> {
        // Terraform 1.11 locks this one of the two.
        platforms
            .iter()
            .map(|platform| archives[platform]["hashes"][0].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(hashes(&terraform.lock_file()), of(&["linux_amd64"]));
    terraform
        .run(&[
            "providers",
            "lock",
            "-net-mirror=https://registry.example.com/mirror/",
            "-platform=darwin_arm64",
            "-platform=windows_amd64",
        ])
        .succeeds();
    assert_eq!(hashes(&terraform.lock_file()), of(&["linux_amd64", "darwin_arm64", "windows_amd64"]));
    std::fs::remove_dir_all(terraform.path(".terraform")).unwrap();
    terraform.run(&["init", "-lockfile=readonly"]).succeeds();
    assert_eq!(host.gets("registry/acme/sample/versions"), 0, "the mirror was asked alone");

    // A lock file of the mirror is good for the registry, and the other way round.
    let preview = Preview::of(&site);
    let direct = Terraform::new(&preview, "1.2.0");
    std::fs::copy(terraform.path(".terraform.lock.hcl"), direct.path(".terraform.lock.hcl")).unwrap();
    direct.run(&["init", "-lockfile=readonly"]).succeeds();
    let direct = Terraform::new(&preview, "1.2.0");
    direct.run(&["init"]).succeeds();
    std::fs::remove_dir_all(terraform.path(".terraform")).unwrap();
    std::fs::copy(direct.path(".terraform.lock.hcl"), terraform.path(".terraform.lock.hcl")).unwrap();
    terraform.run(&["init", "-lockfile=readonly"]).succeeds();

    // A yanked version is not chosen, nor installed by an old lock file; and it comes back.
    let choose = |terraform: &Terraform| {
        let _ = std::fs::remove_dir_all(terraform.path(".terraform"));
        terraform.run(&["init"])
    };
    run(&mut on(&site, "yank acme/sample@1.10.0 --yes")).succeeds();
    assert_mirrored(&tree(&site));
    choose(&newest).fails(1, &["longer available"]);
    let fresh = Terraform::mirrored(&host, &tunnel, ">= 1.0.0");
    choose(&fresh).succeeds();
    assert!(fresh.installed("1.2.0").exists());
    run(&mut on(&site, "unyank acme/sample@1.10.0")).succeeds();
    choose(&newest).succeeds();
    assert_mirrored(&tree(&site));
    assert_eq!(listed(&tree(&site)), ["1.2.0", "1.10.0"]);
}

#[test]
fn an_address_with_a_port_reaches_no_mirror() {
    if !require_program("terraform") {
        return;
    }
    let root = folder();
    let site = root.path().join("site");
    std::fs::create_dir(&site).unwrap();
    let host = Host::of(&site);
    let init = run(&mut on(&site, &format!("init --base-url {} --network-mirror", host.url()))).succeeds();
    assert!(init.stderr.contains("has a port"), "{init:?}");
    run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
    let index = format!("mirror/{}/acme/sample/index.json", host.name());
    assert!(site.join(&index).exists());
    let terraform = Terraform::over(&host, "1.2.0");
    let mirror =
        format!("provider_installation {{\n network_mirror {{\n url = \"{}mirror/\"\n }}\n}}\n", host.url());
    std::fs::write(terraform.path("cli.tfrc"), mirror).unwrap();
    let failed = terraform.run(&["init"]);
    assert!(failed.code == 1 && host.gets(&index) == 0, "{failed:?}");
}

#[test]
fn a_mirror_follows_whatever_is_published() {
    let root = folder();
    let site = root.path().join("site");
    run(&mut with_mirror(&site)).succeeds();
    run(&mut publish(&site, &[tarball("release-1.2.0", "linux-amd64")])).succeeds();
    let first = tree(&site);
    assert_mirrored(&first);
    let archive = &json_of(&first, VERSION)["archives"]["linux_amd64"];
    let url = archive["url"].as_str().unwrap();
    assert!(url.starts_with("https://registry.example.com/store/acme/sample/1.2.0/"), "{archive}");
    // The same again writes nothing.
    run(&mut publish(&site, &[tarball("release-1.2.0", "linux-amd64")])).succeeds();
    assert_eq!(tree(&site), first);
    // A platform is added, and one replaced.
    run(&mut publish(&site, &[tarball("release-1.2.0", "darwin-arm64")])).succeeds();
    let two = tree(&site);
    assert_mirrored(&two);
    assert_eq!(json_of(&two, VERSION)["archives"].as_object().unwrap().len(), 2);
    assert_eq!(two[INDEX], first[INDEX]);
    run(&mut on(&site, "init --allow-replace")).succeeds();
    run(publish(&site, &tarballs("release-1.2.0-rebuilt")).arg("--replace")).succeeds();
    let replaced = tree(&site);
    assert_mirrored(&replaced);
    assert_ne!(json_of(&replaced, VERSION)["archives"]["linux_amd64"]["url"], url);
    // Without a mirror its files stay as they are.
    run(&mut on(&site, "init --network-mirror=false")).succeeds();
    run(&mut publish(&site, &tarballs("release-1.10.0"))).succeeds();
    let without = tree(&site);
    assert!(without[INDEX] == replaced[INDEX] && without[VERSION] == replaced[VERSION]);
}

#[test]
fn a_dry_run_has_the_files_too() {
    let root = folder();
    let (site, preview) = (root.path().join("site"), root.path().join("preview"));
    run(&mut with_mirror(&site)).succeeds();
    let tarballs = tarballs("release-1.2.0");
    let dry = run(publish(&site, &tarballs).arg("--dry-run").arg(&preview)).succeeds();
    assert!(
        dry.stdout.contains(&format!("+ {INDEX}")) && dry.stdout.contains(&format!("+ {VERSION}")),
        "{dry:?}"
    );
    assert_eq!(tree(&site).len(), 1, "the settings");
    run(&mut publish(&site, &tarballs)).succeeds();
    for key in [INDEX, VERSION] {
        assert_eq!(tree(&preview)[key], tree(&site)[key]);
    }
}

/// Three versions, one of them yanked, of `acme/sample`, published before there was a mirror.
fn before_the_mirror(site: &Path) {
    for release in ["release-1.2.0", "release-1.10.0"] {
        run(&mut publish(site, &tarballs(release))).succeeds();
    }
    run(&mut on(site, "yank acme/sample@1.10.0 --yes")).succeeds();
}

#[test]
fn what_was_published_before_gets_its_files_by_a_reindex() {
    for reindex in ["reindex --all --yes", "reindex acme/sample --yes"] {
        let root = folder();
        let site = root.path().join("site");
        before_the_mirror(&site);
        let told = run(&mut with_mirror(&site)).succeeds();
        assert!(told.stderr.contains(&format!("`tfreg reindex {} --all`", site.display())), "{told:?}");
        // Links first: the other reindex has no business with them.
        if !reindex.contains("--all") {
            run(&mut on(&site, "init --network-mirror=false")).succeeds();
            run(&mut on(&site, "reindex --all --yes")).succeeds();
            run(&mut with_mirror(&site)).succeeds();
        }
        let (dry, folder) = (reindex.replace(" --yes", ""), root.path().join("preview"));
        let dry = run(on(&site, &dry).arg("--dry-run").arg(&folder)).succeeds();
        let line = "+ acme/sample in the network mirror: 1.2.0";
        assert!(dry.stdout.contains(line) && !tree(&site).contains_key(INDEX), "{dry:?}");
        let done = run(&mut on(&site, reindex)).succeeds();
        assert!(done.stdout.contains(line), "{done:?}");
        let after = tree(&site);
        assert_mirrored(&after);
        assert_eq!(listed(&after), ["1.2.0"]);
        assert_eq!(tree(&folder)[INDEX], after[INDEX]);
        let again = run(&mut on(&site, reindex)).succeeds();
        assert!(again.stdout.contains("Nothing to do") && tree(&site) == after, "{again:?}");
        // It comes back with its file.
        run(&mut on(&site, "unyank acme/sample@1.10.0")).succeeds();
        assert_mirrored(&tree(&site));
        assert_eq!(listed(&tree(&site)), ["1.2.0", "1.10.0"]);
    }
}

#[test]
fn a_registry_that_moves_leaves_the_files_of_its_old_host() {
    let root = folder();
    let site = root.path().join("site");
    registry(&site);
    let before = tree(&site);
    let told = run(&mut on(&site, "init --base-url https://new.example.com/")).succeeds();
    assert!(told.stderr.contains("mirror/registry.example.com/"), "{told:?}");
    run(&mut on(&site, "reindex --all --yes")).succeeds();
    let after = tree(&site);
    reader::mirrored(&after, "https://new.example.com/").unwrap();
    assert!(after[INDEX] == before[INDEX] && after[VERSION] == before[VERSION]);
    let off = run(&mut on(&site, "init --network-mirror=false")).succeeds();
    assert!(off.stderr.contains("mirror/new.example.com/"), "{off:?}");
}

/// What another tool has put into the mirror of `acme/sample`: a version of its own, and members of its own.
fn other_tools(site: &Path) -> (Value, PathBuf) {
    let theirs = site.join("mirror/registry.example.com/acme/sample/9.9.9.json");
    std::fs::create_dir_all(theirs.parent().unwrap()).unwrap();
    let archive = json!({"archives": {"linux_amd64": {"hashes": ["h1:x"], "url": "x.zip"}}});
    std::fs::write(&theirs, archive.to_string()).unwrap();
    std::fs::write(site.join(INDEX), r#"{"note": 2.50, "versions": {"9.9.9": {"by": [1,  2]}}}"#).unwrap();
    (archive, theirs)
}

#[test]
fn what_other_tools_put_into_a_mirror_stays() {
    let root = folder();
    let site = root.path().join("site");
    run(&mut with_mirror(&site)).succeeds();
    let (archive, theirs) = other_tools(&site);
    let is_kept = |step: &str, versions: &[&str]| {
        let after = tree(&site);
        assert_mirrored(&after);
        let text = String::from_utf8(after[INDEX].clone()).unwrap();
        assert!(
            text.contains("\"note\": 2.50") && text.contains(r#""9.9.9": {"by": [1,  2]}"#),
            "{step}: {text}"
        );
        assert_eq!(std::fs::read_to_string(&theirs).unwrap(), archive.to_string(), "{step}");
        assert_eq!(listed(&after), versions, "{step}");
    };
    run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
    is_kept("publish", &["1.2.0", "9.9.9"]);
    run(&mut on(&site, "yank acme/sample@1.2.0 --yes")).succeeds();
    is_kept("yank", &["9.9.9"]);
    run(&mut on(&site, "unyank acme/sample@1.2.0")).succeeds();
    is_kept("unyank", &["1.2.0", "9.9.9"]);
    for reindex in ["reindex --all --yes", "reindex acme/sample --yes"] {
        std::fs::write(site.join(INDEX), r#"{"note": 2.50, "versions": {"9.9.9": {"by": [1,  2]}}}"#)
            .unwrap();
        run(&mut on(&site, reindex)).succeeds();
        is_kept(reindex, &["1.2.0", "9.9.9"]);
    }
    // `terraform providers mirror` writes an index of its own run alone, and files with links beside them.
    std::fs::write(site.join(INDEX), r#"{"versions": {"9.9.9": {}}}"#).unwrap();
    std::fs::write(
        site.join(VERSION),
        r#"{"archives": {"linux_amd64": {"hashes": ["h1:x"], "url": "x.zip"}}}"#,
    )
    .unwrap();
    run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
    assert_mirrored(&tree(&site));
    assert_eq!(listed(&tree(&site)), ["1.2.0", "9.9.9"]);
}

#[test]
fn a_damaged_file_is_refused_and_made_anew_by_a_reindex() {
    for (key, bad) in [(INDEX, "{}"), (INDEX, "<html>"), (VERSION, r#"{"archives": {"linux_amd64": 1}}"#)] {
        for reindex in ["reindex --all --yes", "reindex acme/sample --yes"] {
            let root = folder();
            let site = root.path().join("site");
            run(&mut with_mirror(&site)).succeeds();
            run(&mut publish(&site, &[tarball("release-1.2.0", "linux-amd64")])).succeeds();
            let good = tree(&site);
            std::fs::write(site.join(key), bad).unwrap();
            let adding = || run(&mut publish(&site, &[tarball("release-1.2.0", "darwin-arm64")]));
            let refused = adding().refused(key, &[key, "cannot be understood", "`tfreg reindex "]);
            assert!(refused.stderr.contains(key), "{refused:?}");
            if key == INDEX {
                run(&mut on(&site, "yank acme/sample@1.2.0 --yes")).refused(key, &[key]);
            }
            assert_eq!(std::fs::read_to_string(site.join(key)).unwrap(), bad);
            let done = run(&mut on(&site, reindex)).succeeds();
            assert!(done.stdout.contains("made anew"), "{done:?}");
            assert_eq!(tree(&site), good);
            adding().succeeds();
            assert_mirrored(&tree(&site));
        }
    }
}

#[test]
fn a_version_whose_hashes_are_not_known_is_not_in_the_mirror() {
    let root = folder();
    let site = root.path().join("site");
    registry(&site);
    // A zip that cannot be unpacked, of a platform published earlier, whose record is lost.
    let key = "registry/acme/sample/1.2.0/download/windows/amd64";
    let mut document = json_of(&tree(&site), key);
    let zip = document["download_url"].as_str().unwrap()[BASE.len()..].to_owned();
    document["download_url"] = "https://elsewhere.example/x.zip".into();
    std::fs::write(site.join(key), document.to_string()).unwrap();
    std::fs::remove_file(site.join(&zip)).unwrap();
    let ran = run(&mut on(&site, "reindex --all --yes")).succeeds();
    assert!(ran.stderr.contains("is left as it is"), "{ran:?}");
    assert_eq!(listed(&tree(&site)), ["1.2.0", "1.10.0"], "as it was");
}

/// The rules that `tfreg verify` finds broken.
fn findings(place: &Path, args: &[&str]) -> Vec<String> {
    let ran = run(tfreg().arg("verify").arg(place).args(["--format", "json"]).args(args));
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap().iter();
    let mut rules: Vec<_> = findings.map(|finding| finding["rule"].as_str().unwrap().to_owned()).collect();
    rules.dedup();
    rules
}

#[test]
fn verify_names_what_a_mirror_has_wrong_and_a_reindex_mends_it() {
    let root = folder();
    let site = root.path().join("site");
    registry(&site);
    run(&mut publish(&site, &[tarball("release-1.2.0", "linux-amd64")])).succeeds();
    // Of another tool: it is passed over.
    let mut index = json_of(&tree(&site), INDEX);
    index["versions"]["9.9.9"] = json!({});
    std::fs::write(site.join(INDEX), index.to_string()).unwrap();
    assert_eq!((findings(&site, &[]), findings(&site, &["--quick"])), (Vec::new(), Vec::new()));
    let good = tree(&site);
    let edit = |key: &str, change: &dyn Fn(&mut Value)| {
        let mut value = json_of(&good, key);
        change(&mut value);
        Some(value.to_string())
    };
    let linux = |change: &dyn Fn(&mut Value)| edit(VERSION, &|v| change(&mut v["archives"]["linux_amd64"]));
    let changes: Vec<(&str, &str, Option<String>)> = vec![
        ("mirror-index-missing", INDEX, None),
        ("mirror-json", INDEX, Some("[]".to_owned())),
        ("mirror-json", VERSION, Some("{}".to_owned())),
        ("mirror-version-missing", VERSION, None),
        (
            "mirror-lacks-version",
            INDEX,
            edit(INDEX, &|v| drop(v["versions"].as_object_mut().unwrap().shift_remove("1.2.0"))),
        ),
        (
            "mirror-lacks-platform",
            VERSION,
            edit(VERSION, &|v| drop(v["archives"].as_object_mut().unwrap().shift_remove("linux_amd64"))),
        ),
        (
            "mirror-other-platform",
            VERSION,
            edit(VERSION, &|v| v["archives"]["plan9_386"] = v["archives"]["linux_amd64"].clone()),
        ),
        ("mirror-hashes", VERSION, linux(&|v| v["hashes"][0] = json!(format!("h1:{}=", "A".repeat(43))))),
        ("mirror-hashes", VERSION, linux(&|v| v["hashes"][1] = json!(format!("zh:{}", "0".repeat(64))))),
        ("mirror-hashes", VERSION, linux(&|v| drop(v["hashes"].as_array_mut().unwrap().remove(0)))),
        ("mirror-hashes", VERSION, linux(&|v| drop(v.as_object_mut().unwrap().shift_remove("hashes")))),
        ("mirror-link", VERSION, linux(&|v| v["url"] = "https://elsewhere.example/x.zip".into())),
        ("mirror-link", VERSION, linux(&|v| v["url"] = "x.zip".into())),
    ];
    for (rule, key, bytes) in changes {
        match &bytes {
            Some(bytes) => std::fs::write(site.join(key), bytes).unwrap(),
            None => std::fs::remove_file(site.join(key)).unwrap(),
        }
        assert_eq!(findings(&site, &[]), [rule], "{key}: {bytes:?}");
        assert_eq!(findings(&site, &["--quick"]), [rule], "{key}: {bytes:?}");
        run(&mut on(&site, "reindex --all --yes")).succeeds();
        assert_eq!(findings(&site, &[]), [""; 0], "{rule}");
    }
    // A mirror that lists what is yanked: a yank by hand, or a tool that has put it there again.
    run(&mut on(&site, "yank acme/sample@1.10.0 --yes")).succeeds();
    assert_eq!(findings(&site, &[]), [""; 0]);
    let mut index = json_of(&tree(&site), INDEX);
    index["versions"]["1.10.0"] = json!({});
    std::fs::write(site.join(INDEX), index.to_string()).unwrap();
    assert_eq!(findings(&site, &[]), ["mirror-yanked"]);
    run(&mut on(&site, "yank acme/sample@1.10.0 --yes")).succeeds();
    assert_eq!(findings(&site, &[]), [""; 0]);
}

#[test]
fn a_publish_reads_its_files_of_the_mirror_back() {
    let server = S3Server::start(&["bucket"]);
    run(with_mirror("s3://bucket").envs(server.envs())).succeeds();
    let linux = [tarball("release-1.2.0", "linux-amd64")];
    let read_back = || {
        let done = run(to(&server, &linux).args(["--format", "json"])).succeeds();
        let done: Value = serde_json::from_str(&done.stdout).unwrap();
        let findings = done["verification"]["findings"].as_array().unwrap().iter();
        let of = |name: &str| {
            findings.clone().map(|finding| finding[name].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        (done["outcome"].as_str().unwrap().to_owned(), of("rule"), of("subject"))
    };
    assert_eq!(read_back(), ("published".to_owned(), Vec::new(), Vec::new()));
    // Copied by another program, without a type: the bytes are right, so there is nothing to write.
    for key in [INDEX, VERSION] {
        server.put_directly("bucket", key, server.objects("bucket")[key].bytes.clone());
    }
    let (outcome, rules, subjects) = read_back();
    assert_eq!(outcome, "unchanged");
    let found: BTreeSet<(&str, bool)> = rules
        .iter()
        .zip(&subjects)
        .filter(|(rule, _)| *rule == "document-content-type")
        .map(
            |(_, subject)| {
                if subject.ends_with(INDEX) { (INDEX, true) } else { (VERSION, subject.ends_with(VERSION)) }
            },
        )
        .collect();
    assert_eq!(found, BTreeSet::from([(INDEX, true), (VERSION, true)]), "{rules:?} {subjects:?}");
}

#[test]
fn verify_reads_a_mirror_on_a_host_as_clients_do() {
    let root = folder();
    let site = root.path().join("site");
    registry(&site);
    let host = Host::with(&site, &Certificate::authority(&["registry.example.com"]));
    let tunnel = Tunnel::to(host.port());
    let verify = || {
        let mut command = tfreg();
        command.args(["verify", BASE, "acme/sample", "--quick", "--format", "json", "--ca-file"]);
        let ran = run(tunnel.used_by(command.arg(host.certificate())));
        let report: Value =
            serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
        let findings = report["findings"].as_array().unwrap().iter();
        findings.map(|finding| finding["rule"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(verify(), [""; 0]);
    host.instead("1.10.0.json", Instead::Header("content-type", "text/plain"));
    host.instead("1.2.0.json", Instead::Status(403));
    assert_eq!(verify(), ["mirror-unreadable", "document-content-type"]);
}

fn to(server: &S3Server, tarballs: &[PathBuf]) -> Command {
    let mut command = publish("s3://bucket", tarballs);
    command.envs(server.envs()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Two commands read the same file at `suffix`, and are both held until both have.
fn both(server: &S3Server, suffix: &str, one: &mut Command, two: &mut Command) -> (Ran, Ran) {
    let gate = Gate::arrive(2);
    server.gate(Matcher::get().suffix(suffix).occurrences(1..=2), Point::After, &gate);
    let (one, two) = (Running::start(one), Running::start(two));
    (ran(&one.output()), ran(&two.output()))
}

#[test]
fn two_publishers_at_once_are_both_in_the_mirror() {
    let cases: [(&str, Vec<PathBuf>, Vec<PathBuf>); 2] = [
        ("sample/index.json", tarballs("release-1.2.0"), tarballs("release-1.10.0")),
        (
            "1.2.0.json",
            vec![tarball("release-1.2.0", "linux-amd64")],
            vec![tarball("release-1.2.0", "darwin-arm64")],
        ),
    ];
    for (suffix, one, two) in cases {
        for earlier in [false, true] {
            let server = watched();
            run(with_mirror("s3://bucket").envs(server.envs())).succeeds();
            if earlier {
                run(&mut to(&server, &[tarball("release-1.2.0-more", "darwin-amd64")])).succeeds();
            }
            let (one, two) = both(&server, suffix, &mut to(&server, &one), &mut to(&server, &two));
            one.succeeds();
            two.succeeds();
            assert_mirrored(&objects(&server, ""));
            server.verify();
        }
    }
}

#[test]
fn a_yank_and_a_publish_at_once_leave_no_yanked_version_in_the_mirror() {
    let server = watched();
    run(with_mirror("s3://bucket").envs(server.envs())).succeeds();
    let linux = [tarball("release-1.2.0", "linux-amd64")];
    run(&mut to(&server, &linux)).succeeds();
    // Not in the mirror, so that the publish wants to list it there while it is yanked.
    server.put_directly("bucket", INDEX, r#"{"versions": {}}"#);
    let mut yank = on("s3://bucket", "yank acme/sample@1.2.0 --yes");
    yank.envs(server.envs()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let (yank, publish) = both(&server, "sample/index.json", &mut yank, &mut to(&server, &linux));
    yank.succeeds();
    assert!([0, 3].contains(&publish.code), "{publish:?}");
    assert_eq!(listed(&objects(&server, "")), [""; 0]);
    server.verify();
}
