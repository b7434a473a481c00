//! `packages` in download documents and `h1:` hashes, judged by Python and by the real Terraform.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tfreg::content::Digest;

use crate::support::clients::{Preview, Terraform, require_program};
use crate::support::in_process::signer;
use crate::support::{Ran, folder, key, publish, reader, run, tarball, tarballs, tfreg, tree};

/// Prints, for every zip below a folder, its name, its SHA-256, its `h1:` hash and its size.
const PYTHON: &str = r#"
import base64, hashlib, json, pathlib, sys, zipfile
zips = {}
for path in pathlib.Path(sys.argv[1]).rglob("*.zip"):
    archive = zipfile.ZipFile(path)
    lines = "".join(f"{hashlib.sha256(archive.read(name)).hexdigest()}  {name}\n"
                    for name in sorted(archive.namelist(), key=lambda name: name.encode()))
    h1 = "h1:" + base64.b64encode(hashlib.sha256(lines.encode()).digest()).decode()
    contents = path.read_bytes()
    zips[hashlib.sha256(contents).hexdigest()] = {"h1": h1, "size": len(contents), "name": path.name}
print(json.dumps(zips))
"#;

/// The zips of a registry by their SHA-256, as Python reads them.
fn zips(site: &Path) -> BTreeMap<String, Value> {
    let ran = run(Command::new("python3").args(["-c", PYTHON]).arg(site)).succeeds();
    serde_json::from_str(&ran.stdout).unwrap()
}

fn documents(site: &Path, version: &str) -> BTreeMap<String, Value> {
    let start = format!("registry/acme/sample/{version}/download/");
    let files = tree(site).into_iter().filter_map(|(key, bytes)| {
        let platform = key.strip_prefix(&start)?.replace('/', "_");
        Some((platform, serde_json::from_slice(&bytes).unwrap()))
    });
    files.collect()
}

/// Each document of a version has the packages of all its platforms, as Python finds them.
#[track_caller]
fn assert_whole(site: &Path, version: &str, platforms: usize) {
    let (zips, documents) = (zips(site), documents(site, version));
    assert_eq!(documents.len(), platforms, "{:?}", documents.keys());
    let expected = documents.iter().map(|(platform, document)| {
        let shasum = document["shasum"].as_str().unwrap();
        let zip = &zips[shasum];
        let hashes = json!([format!("zh:{shasum}"), zip["h1"]]);
        (platform.clone(), json!({"hashes": hashes, "package_size": zip["size"]}))
    });
    let expected: Value = Value::Object(expected.collect());
    for (platform, document) in &documents {
        assert_eq!(document["packages"], expected, "{platform}");
    }
    reader::packaged(&tree(site)).unwrap();
}

/// The path of what ends so, of which there is one.
#[track_caller]
fn one(site: &Path, end: &str) -> PathBuf {
    let keys: Vec<String> = tree(site).into_keys().filter(|key| key.ends_with(end)).collect();
    let [key] = keys.as_slice() else { panic!("{end}: {keys:?}") };
    site.join(key)
}

fn edit(site: &Path, key: &str, change: impl FnOnce(&mut Value)) {
    let mut document: Value = serde_json::from_slice(&std::fs::read(site.join(key)).unwrap()).unwrap();
    change(&mut document);
    std::fs::write(site.join(key), document.to_string()).unwrap();
}

#[track_caller]
fn unchanged(ran: Ran) {
    let ran = ran.succeeds();
    assert!(ran.stdout.contains("Already published"), "{ran:#?}");
}

const RECORD: &str = "provenance.json";
const RECORD_SIGNATURE: &str = "provenance.json.A7F2BC5B6E845A69.sig";
const LINUX: &str = "registry/acme/sample/1.2.0/download/linux/amd64";

#[test]
fn every_document_has_all_platforms() {
    if !require_program("python3") {
        return;
    }
    let root = folder();
    let site = root.path().join("site");
    run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
    assert_whole(&site, "1.2.0", 4);
    let record: Value = serde_json::from_slice(&std::fs::read(one(&site, RECORD)).unwrap()).unwrap();
    let found = zips(&site);
    for subject in record["subject"].as_array().unwrap() {
        let zip = &found[subject["digest"]["sha256"].as_str().unwrap()];
        let h1 = zip["h1"].as_str().unwrap().trim_start_matches("h1:");
        let hash = subject["digest"]["dirHash"].as_str().unwrap();
        assert_eq!(Digest::from_base64(h1).unwrap().to_string(), hash);
        assert_eq!(subject["annotations"]["size"], zip["size"]);
    }

    run(&mut publish(&site, &tarballs("release-1.2.0-more"))).succeeds();
    assert_whole(&site, "1.2.0", 6);
    let before = tree(&site);
    for again in [tarballs("release-1.2.0-more"), tarballs("release-1.2.0")] {
        unchanged(run(&mut publish(&site, &again)));
        assert!(tree(&site) == before);
    }
    run(publish(&site, &tarballs("release-1.2.0-rebuilt")).arg("--replace")).succeeds();
    assert_whole(&site, "1.2.0", 6);
}

#[test]
fn terraform_finds_the_same_hash() {
    if !require_program("terraform") {
        return;
    }
    let root = folder();
    let site = root.path().join("site");
    run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
    let preview = Preview::of(&site);
    let terraform = Terraform::new(&preview, "1.2.0");
    terraform.run(&["init"]).succeeds();
    terraform
        .run(&[
            "providers",
            "lock",
            "-platform=linux_amd64",
            "-platform=darwin_arm64",
            "-platform=windows_amd64",
        ])
        .succeeds();
    let lock = terraform.lock_file();
    assert_eq!(lock.matches("\"h1:").count(), 3, "{lock}");
    for platform in ["linux_amd64", "darwin_arm64", "windows_amd64"] {
        let packages = &documents(&site, "1.2.0")["linux_amd64"]["packages"][platform];
        for hash in packages["hashes"].as_array().unwrap() {
            assert!(lock.contains(&hash.to_string()), "{platform}: {hash} is not in {lock}");
        }
    }
}

#[test]
fn hashes_of_earlier_platforms_come_from_a_signed_record() {
    if !require_program("python3") {
        return;
    }
    let root = folder();
    let site = root.path().join("site");
    // One at a time: each record has what the one before it says.
    let [first, second, third] =
        ["windows-amd64", "linux-amd64", "darwin-arm64"].map(|platform| tarball("release-1.2.0", platform));
    run(&mut publish(&site, std::slice::from_ref(&first))).succeeds();
    run(&mut publish(&site, std::slice::from_ref(&second))).succeeds();
    let zip = one(&site, "windows_amd64.zip");
    let contents = std::fs::read(&zip).unwrap();
    // A zip is not read where a record has its hashes.
    std::fs::remove_file(&zip).unwrap();
    run(publish(&site, std::slice::from_ref(&third)).arg("--no-verify")).succeeds();
    std::fs::write(&zip, &contents).unwrap();
    assert_whole(&site, "1.2.0", 3);
    let records = tree(&site).into_iter().filter(|(key, _)| key.ends_with(RECORD));
    let of_three: Vec<Value> = records.map(|(_, bytes)| serde_json::from_slice(&bytes).unwrap()).collect();
    let dependencies = |record: &Value| {
        let list = record["predicate"]["buildDefinition"]["resolvedDependencies"].as_array().unwrap();
        let zips = list.iter().filter(|dependency| dependency["digest"]["dirHash"].is_string());
        zips.map(|zip| zip["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let last = of_three.iter().find(|record| dependencies(record).len() == 2).unwrap();
    assert!(dependencies(last)[0].contains("linux_amd64") && dependencies(last)[1].contains("windows_amd64"));
    assert_eq!(last["subject"].as_array().unwrap().len(), 1);
}

/// What somebody does to a registry.
type Harm = fn(&Path);

#[test]
fn without_a_signed_record_the_zip_is_read() {
    if !require_program("python3") {
        return;
    }
    let linux = [tarball("release-1.2.0", "linux-amd64")];
    let windows = [tarball("release-1.2.0", "windows-amd64")];
    let harms: [(&str, Harm); 4] = [
        ("no signature", |site| std::fs::remove_file(one(site, RECORD_SIGNATURE)).unwrap()),
        ("no record", |site| std::fs::remove_file(one(site, RECORD)).unwrap()),
        ("another signature", |site| {
            std::fs::copy(one(site, "SHA256SUMS.A7F2BC5B6E845A69.sig"), one(site, RECORD_SIGNATURE))
                .map(drop)
                .unwrap();
        }),
        ("another record", |site| {
            let path = one(site, RECORD);
            let text = std::fs::read_to_string(&path).unwrap();
            let at = text.find("\"dirHash\": \"").unwrap() + 12;
            let other = if text[at..].starts_with('0') { "1" } else { "0" };
            std::fs::write(&path, format!("{}{other}{}", &text[..at], &text[at + 1..])).unwrap();
        }),
    ];
    for (name, harm) in harms {
        let root = folder();
        let site = root.path().join("site");
        run(&mut publish(&site, &windows)).succeeds();
        harm(&site);
        let zip = one(&site, "windows_amd64.zip");
        let contents = std::fs::read(&zip).unwrap();
        let before = tree(&site);

        std::fs::write(&zip, "another").unwrap();
        let text = ["another object is there", &Digest::of(b"another").to_string()];
        run(&mut publish(&site, &linux)).refused(name, &text);
        std::fs::remove_file(&zip).unwrap();
        let text = ["is not there", "publish the tarball for windows_amd64 in the same run"];
        run(&mut publish(&site, &linux)).refused(name, &text);
        // The remedy.
        let both = [linux.clone(), windows.clone()].concat();
        run(&mut publish(&site, &both)).succeeds();
        assert_whole(&site, "1.2.0", 2);

        std::fs::remove_dir_all(&site).unwrap();
        for (key, bytes) in &before {
            std::fs::create_dir_all(site.join(key).parent().unwrap()).unwrap();
            std::fs::write(site.join(key), bytes).unwrap();
        }
        std::fs::write(&zip, &contents).unwrap();
        run(&mut publish(&site, &linux)).succeeds();
        assert_whole(&site, "1.2.0", 2);
    }
}

/// Documents and records as releases before this one wrote them.
fn as_before(site: &Path) {
    for key in tree(site).into_keys() {
        if key.contains("/download/") {
            edit(site, &key, |document| drop(document.as_object_mut().unwrap().remove("packages")));
        } else if key.ends_with(RECORD) {
            edit(site, &key, |record| {
                for subject in record["subject"].as_array_mut().unwrap() {
                    subject["digest"].as_object_mut().unwrap().remove("dirHash");
                    subject.as_object_mut().unwrap().remove("annotations");
                }
            });
            let record = std::fs::read(site.join(&key)).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let signature = runtime.block_on(signer().sign(&record.into())).unwrap();
            std::fs::write(site.join(format!("{key}.A7F2BC5B6E845A69.sig")), signature).unwrap();
        }
    }
}

#[test]
fn what_an_earlier_release_published_is_brought_in_line() {
    if !require_program("python3") {
        return;
    }
    for (again, platforms) in [
        (tarballs("release-1.2.0"), 4),
        (vec![tarball("release-1.2.0", "linux-amd64")], 4),
        (tarballs("release-1.2.0-more"), 6),
    ] {
        let root = folder();
        let site = root.path().join("site");
        run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
        as_before(&site);
        run(&mut publish(&site, &again)).succeeds();
        assert_whole(&site, "1.2.0", platforms);
        let before = tree(&site);
        unchanged(run(&mut publish(&site, &again)));
        assert!(tree(&site) == before, "R4");
    }
}

/// `tfreg reindex SITE --all --yes`
fn reindex_all(site: &Path) -> Command {
    let mut command = tfreg();
    command.arg("reindex").arg(site).args(["--all", "--yes"]);
    command
}

#[test]
fn reindex_adds_it_to_what_was_published_before() {
    if !require_program("python3") {
        return;
    }
    let root = folder();
    let site = root.path().join("site");
    for release in ["release-1.2.0", "release-1.2.0-more", "release-1.10.0"] {
        run(&mut publish(&site, &tarballs(release))).succeeds();
    }
    let whole = tree(&site);
    as_before(&site);
    let old = tree(&site);
    let mut yank = tfreg();
    run(yank.arg("yank").arg(&site).args(["acme/sample", "1.10.0", "--yes"])).succeeds();
    let done = run(&mut reindex_all(&site)).succeeds();
    assert!(done.stdout.contains("acme/sample 1.2.0: packages of 6 documents"), "{done:#?}");
    assert_whole(&site, "1.2.0", 6);
    assert_whole(&site, "1.10.0", documents(&site, "1.10.0").len());
    let now = tree(&site);
    for (key, bytes) in &now {
        let same = if key.contains("/download/") { whole.get(key) } else { old.get(key) };
        let value = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).ok();
        let is_yank = key.ends_with("yanked") || key.ends_with("versions");
        assert!(is_yank || same.is_some_and(|same| same == bytes || value(same) == value(bytes)), "{key}");
    }
    let again = run(&mut reindex_all(&site)).succeeds();
    assert!(again.stdout.contains(", 0 to change"), "{again:#?}");
    assert!(tree(&site) == now);
}

#[test]
fn reindex_leaves_what_is_not_whole() {
    let root = folder();
    let site = root.path().join("site");
    run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
    as_before(&site);
    std::fs::write(one(&site, "windows_amd64.zip"), "another").unwrap();
    let left = run(&mut reindex_all(&site)).succeeds();
    let text =
        ["acme/sample 1.2.0", "left as it is", "windows_amd64.zip", &Digest::of(b"another").to_string()];
    for text in text {
        assert!(left.stderr.contains(text), "{text}: {left:#?}");
    }
    assert!(documents(&site, "1.2.0").values().all(|document| document.get("packages").is_none()));
}

/// A document's own claims are no source: what is wrong is put right.
#[test]
fn reindex_corrects_what_is_wrong() {
    if !require_program("python3") {
        return;
    }
    let root = folder();
    let site = root.path().join("site");
    run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
    let before = documents(&site, "1.2.0");
    edit(&site, LINUX, |document| {
        document["packages"]["windows_amd64"]["hashes"][1] = format!("h1:{}=", "A".repeat(43)).into();
        document["packages"].as_object_mut().unwrap().remove("darwin_arm64");
    });
    run(&mut reindex_all(&site)).succeeds();
    assert_eq!(documents(&site, "1.2.0"), before);
    assert_whole(&site, "1.2.0", 4);
}

#[test]
fn a_zip_without_a_hash_leaves_the_member_out_everywhere() {
    let root = folder();
    let site = root.path().join("site");
    run(&mut publish(&site, &[tarball("release-1.2.0", "windows-amd64")])).succeeds();
    std::fs::remove_file(one(&site, RECORD_SIGNATURE)).unwrap();
    let windows = "registry/acme/sample/1.2.0/download/windows/amd64";
    edit(&site, windows, |document| {
        document["download_url"] = "https://elsewhere.example/windows.zip".into();
    });
    std::fs::remove_file(one(&site, "windows_amd64.zip")).unwrap();
    let linux = [tarball("release-1.2.0", "linux-amd64")];
    let ran = run(publish(&site, &linux).arg("--no-verify")).succeeds();
    for text in ["get no \"packages\"", "windows_amd64", "https://elsewhere.example/windows.zip"] {
        assert!(ran.stderr.contains(text), "{text}: {ran:#?}");
    }
    for (platform, document) in documents(&site, "1.2.0") {
        assert_eq!(document.get("packages"), None, "{platform}");
    }
}

#[test]
fn what_another_program_has_added_is_kept() {
    let root = folder();
    let site = root.path().join("site");
    run(&mut publish(&site, &[tarball("release-1.2.0", "linux-amd64")])).succeeds();
    edit(&site, LINUX, |document| {
        document["packages"]["linux_amd64"]["note"] = json!([1, 2]);
        document["packages"]["linux_amd64"]["hashes"].as_array_mut().unwrap().insert(0, "h9:x".into());
    });
    run(&mut publish(&site, &[tarball("release-1.2.0", "darwin-arm64")])).succeeds();
    let document = &documents(&site, "1.2.0")["linux_amd64"];
    let package = &document["packages"]["linux_amd64"];
    assert_eq!(package["note"], json!([1, 2]));
    assert_eq!(package["hashes"].as_array().unwrap().len(), 3);
    assert_eq!(package["hashes"][2], "h9:x");
    assert!(document["packages"]["darwin_arm64"].is_object());
}

/// The other commands write documents and the index; what the documents say of the packages stays true.
#[test]
fn other_commands_keep_it() {
    if !require_program("python3") {
        return;
    }
    let root = folder();
    let site = root.path().join("site");
    run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
    let before = documents(&site, "1.2.0");
    let command = |name: &str, args: &[&str]| {
        let mut command = tfreg();
        command.arg(name).arg(&site).arg("acme/sample").args(args);
        run(&mut command).succeeds();
    };
    command("yank", &["1.2.0", "--yes"]);
    command("unyank", &["1.2.0"]);
    std::fs::remove_file(site.join("registry/acme/sample/versions")).unwrap();
    command("reindex", &["--yes"]);
    assert_eq!(documents(&site, "1.2.0"), before);
    let (rsa, ed25519) = (key("rsa3072.asc"), key("ed25519.asc"));
    let (rsa, ed25519) = (rsa.to_str().unwrap(), ed25519.to_str().unwrap());
    command("resign", &["1.2.0", "--signing-key-file", rsa, "--trust-key", ed25519]);
    assert_whole(&site, "1.2.0", 4);
    // The record is signed by the new key too, so that it is still read.
    std::fs::remove_file(one(&site, "windows_amd64.zip")).unwrap();
    let mut more = tfreg();
    more.args(["publish", "--to"]).arg(&site).args([
        "--namespace",
        "acme",
        "--signing-key-file",
        rsa,
        "--no-verify",
    ]);
    run(more.args(tarballs("release-1.2.0-more"))).succeeds();
    assert_eq!(documents(&site, "1.2.0")["linux_amd64"]["packages"].as_object().unwrap().len(), 6);
}
