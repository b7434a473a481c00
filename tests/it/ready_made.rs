//! Ready-made releases: GoReleaser's zips, published byte for byte with their own SHA256SUMS and signature.

mod drone;
mod platforms;
mod refusals;
mod web;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::clients::{Preview, Terraform, require_program};
use crate::support::mutated::Signer;
use crate::support::s3_server::S3Server;
use crate::support::{folder, key, publish, run, testdata, tfreg, tree};

const RELEASE: &str = "goreleaser-1.2.0";
const STEM: &str = "terraform-provider-sample_1.2.0";

/// The name of a zip, SHA256SUMS or manifest.
fn named(rest: &str) -> String {
    format!("{STEM}_{rest}")
}

/// `tfreg publish --to TARGET --namespace acme --public-key FILE ARTIFACT`, without any secret.
fn keep(target: impl AsRef<std::ffi::OsStr>, artifact: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = tfreg();
    command.arg("publish").arg("--to").arg(target).args(["--namespace", "acme", "--public-key"]);
    command.arg(testdata(RELEASE).join("public-key.asc")).arg(artifact);
    command
}

/// A copy of the release, to be changed.
fn copied(to: &Path) -> PathBuf {
    let dist = to.join("dist");
    std::fs::create_dir(&dist).unwrap();
    for (name, bytes) in tree(&testdata(RELEASE)) {
        std::fs::write(dist.join(name), bytes).unwrap();
    }
    dist
}

/// Writes SHA256SUMS for the zips of a folder, and for its manifest, and signs it.
fn sums(dist: &Path, signer: &Signer) {
    let files =
        tree(dist).into_iter().filter(|(name, _)| name.ends_with(".zip") || name.ends_with("_manifest.json"));
    let lines: Vec<String> =
        files.map(|(name, bytes)| format!("{}  {name}\n", tfreg::content::Digest::of(&bytes))).collect();
    let text = lines.concat();
    std::fs::write(dist.join(named("SHA256SUMS.sig")), signer.sign(text.as_bytes(), |builder| builder))
        .unwrap();
    std::fs::write(dist.join(named("SHA256SUMS")), text).unwrap();
}

/// What `verify` says of every directory whose address is not known.
const LINKS: &str = "links-relative";

/// The rules that `verify` finds broken; it must find no error.
fn findings(site: &Path) -> Vec<String> {
    let report = run(tfreg().arg("verify").arg(site).args(["--format", "json"])).succeeds();
    let report: Value = serde_json::from_str(&report.stdout).unwrap();
    report["findings"].as_array().unwrap().iter().map(|f| f["rule"].as_str().unwrap().to_owned()).collect()
}

/// What is in a registry under a file's name, wherever it is.
fn found(files: &[(String, Vec<u8>)], name: &str) -> Vec<u8> {
    let mut found = files.iter().filter(|(key, _)| key.rsplit('/').next() == Some(name));
    let (_, bytes) = found
        .next()
        .unwrap_or_else(|| panic!("no {name} in {:?}", files.iter().map(|f| &f.0).collect::<Vec<_>>()));
    assert!(found.next().is_none(), "one {name}");
    bytes.clone()
}

/// Checks that a registry has the release as it is, and nothing of another key.
fn has_the_release(files: &[(String, Vec<u8>)]) {
    for (name, bytes) in tree(&testdata(RELEASE)) {
        if name.ends_with(".zip") || name.ends_with("_SHA256SUMS") {
            assert!(found(files, &name) == bytes, "{name} is another");
        }
    }
    let signature = std::fs::read(testdata(RELEASE).join(named("SHA256SUMS.sig"))).unwrap();
    assert!(found(files, &named("SHA256SUMS.A7F2BC5B6E845A69.sig")) == signature);
    assert!(!files.iter().any(|(key, _)| key.contains("provenance")), "a record that nobody has signed");
}

#[test]
fn a_release_is_published_byte_for_byte_without_a_secret() {
    let root = folder();
    let site = root.path().join("site");
    let ran = run(&mut keep(&site, testdata(RELEASE))).succeeds();
    assert!(
        ran.stderr.contains("4 other files in ") && ran.stderr.contains("Checking 4 zips of sample 1.2.0"),
        "{ran:#?}"
    );
    assert!(!ran.stderr.contains("warning"), "{ran:#?}");
    assert!(ran.stdout.contains("verified: good; 4 platforms read back"), "{ran:#?}");
    let files = tree(&site).into_iter().collect::<Vec<_>>();
    has_the_release(&files);
    let document: Value = serde_json::from_slice(
        &std::fs::read(site.join("registry/acme/sample/1.2.0/download/linux/amd64")).unwrap(),
    )
    .unwrap();
    assert_eq!(document["protocols"], serde_json::json!(["6.0"]), "from the manifest");
    assert_eq!(document["signing_keys"]["gpg_public_keys"][0]["key_id"], "A7F2BC5B6E845A69");
    assert_eq!(findings(&site), [LINKS]);

    let again = run(&mut keep(&site, testdata(RELEASE))).succeeds();
    assert!(again.stdout.contains("Already published"), "{again:#?}");
    assert!(tree(&site).into_iter().collect::<Vec<_>>() == files, "a second publish writes nothing");
}

#[test]
fn terraform_locks_the_original_zips() {
    if !require_program("terraform") {
        return;
    }
    let root = folder();
    let site = root.path().join("site");
    run(&mut keep(&site, testdata(RELEASE))).succeeds();
    let preview = Preview::of(&site);
    let terraform = Terraform::new(&preview, "1.2.0");
    let init = terraform.run(&["init"]).succeeds();
    assert!(init.stdout.contains("A7F2BC5B6E845A69"), "{init:#?}");
    let lock = terraform.lock_file();
    let locked: BTreeSet<&str> =
        lock.lines().filter_map(|line| line.trim().trim_matches([',', '"']).strip_prefix("zh:")).collect();
    let sums = std::fs::read_to_string(testdata(RELEASE).join(named("SHA256SUMS"))).unwrap();
    let listed: BTreeSet<&str> = sums.lines().map(|line| &line[..64]).collect();
    assert_eq!(locked, listed, "the zips, and the manifest's line");
    for platform in ["darwin_arm64", "linux_amd64", "linux_arm64", "windows_amd64"] {
        let zip = std::fs::read(testdata(RELEASE).join(named(&format!("{platform}.zip")))).unwrap();
        assert!(locked.contains(&*tfreg::content::Digest::of(&zip).to_string()), "{platform}");
    }
    let version = run(Command::new(terraform.installed("1.2.0")).arg("--version")).succeeds();
    assert_eq!(version.stdout, "terraform-provider-sample v1.2.0\n");
}

#[test]
fn buckets_hold_the_release_and_the_registry() {
    let server = S3Server::start(&["artifacts", "registry"]);
    for (name, bytes) in tree(&testdata(RELEASE)) {
        server.put_directly("artifacts", &format!("sample/v1.2.0/{name}"), bytes);
    }
    let mut command = keep("s3://registry", "s3://artifacts/sample/v1.2.0/");
    let ran = run(command.envs(server.envs())).succeeds();
    assert!(ran.stderr.contains("4 other files in s3://artifacts/sample/v1.2.0/ left alone"), "{ran:#?}");
    let objects = server.objects("registry");
    let files: Vec<(String, Vec<u8>)> =
        objects.iter().map(|(key, object)| (key.clone(), object.bytes.to_vec())).collect();
    has_the_release(&files);
    // One bit of the zip, in the bucket.
    let name = format!("sample/v1.2.0/{}", named("linux_amd64.zip"));
    let mut zip = std::fs::read(testdata(RELEASE).join(named("linux_amd64.zip"))).unwrap();
    zip[700] ^= 1;
    server.put_directly("artifacts", &name, zip);
    let other = S3Server::start(&["registry"]);
    let mut command = keep("s3://registry", "s3://artifacts/sample/v1.2.0/");
    command.envs(other.envs()).args(["--source-endpoint-url", &server.endpoint()]);
    run(&mut command).refused("a changed zip", &["linux_amd64.zip: the zip does not have the checksum"]);
    assert!(
        other.objects("registry").is_empty() && other.requests().is_empty(),
        "nothing is written, nor asked"
    );
}

#[test]
fn a_changed_bit_is_refused_before_anything_is_written() {
    let root = folder();
    let (dist, site) = (copied(root.path()), root.path().join("site"));
    let mut random = fastrand::Rng::with_seed(16);
    for (name, text) in [
        (named("linux_amd64.zip"), "the zip does not have the checksum in its SHA256SUMS file"),
        (named("SHA256SUMS"), ""),
        (named("SHA256SUMS.sig"), ""),
        (named("manifest.json"), "the manifest does not have the checksum in its SHA256SUMS file"),
    ] {
        let good = std::fs::read(dist.join(&name)).unwrap();
        for _ in 0..16 {
            let (at, bit) = (random.usize(..good.len()), random.u8(..8));
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            std::fs::write(dist.join(&name), bad).unwrap();
            let row = format!("{name}, bit {bit} of byte {at}");
            run(&mut keep(&site, &dist)).refused(&row, &[text]);
            assert!(!site.exists(), "{row}: something was written");
        }
        std::fs::write(dist.join(&name), good).unwrap();
    }
    run(&mut keep(&site, &dist)).succeeds();
}

#[test]
fn the_signing_key_itself_keeps_its_signature_and_signs_the_record() {
    let root = folder();
    let site = root.path().join("site");
    run(&mut publish(&site, &[testdata(RELEASE)])).succeeds();
    let files = tree(&site).into_iter().collect::<Vec<_>>();
    let signature = std::fs::read(testdata(RELEASE).join(named("SHA256SUMS.sig"))).unwrap();
    assert!(found(&files, &named("SHA256SUMS.A7F2BC5B6E845A69.sig")) == signature, "kept");
    let record: Value = serde_json::from_slice(&found(&files, "provenance.json")).unwrap();
    let materials =
        record["predicate"]["buildDefinition"]["resolvedDependencies"].as_array().unwrap().clone();
    let names: Vec<&str> = materials.iter().map(|material| material["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            &*named("darwin_arm64.zip"),
            &named("linux_amd64.zip"),
            &named("linux_arm64.zip"),
            &named("windows_amd64.zip"),
            &named("SHA256SUMS")
        ]
    );
    found(&files, "provenance.json.A7F2BC5B6E845A69.sig");
    assert_eq!(findings(&site), [LINKS]);
}

#[test]
fn the_runs_own_key_signs_again_or_what_is_not_signed() {
    let root = folder();
    let dist = copied(root.path());
    let sums_of = |site: &Path| {
        let files = tree(site).into_iter().collect::<Vec<_>>();
        found(&files, &named("SHA256SUMS.B89BCD519BBF8ED5.sig"));
        found(&files, &named("SHA256SUMS"))
    };
    let own = |site: &Path| {
        let mut command = tfreg();
        command.arg("publish").arg("--to").arg(site).args(["--namespace", "acme", "--signing-key-file"]);
        command.arg(key("rsa3072.asc")).arg(&dist);
        command
    };
    let original = std::fs::read(dist.join(named("SHA256SUMS"))).unwrap();
    let refused = root.path().join("refused");
    run(&mut own(&refused))
        .refused("another key's signature", &["does not verify", "--public-key", "--sign-again"]);
    let again = root.path().join("again");
    run(own(&again).arg("--sign-again")).succeeds();
    assert!(sums_of(&again) == original, "signed again, unchanged");
    let verified = root.path().join("verified");
    run(own(&verified).arg("--sign-again").arg("--public-key").arg(dist.join("public-key.asc"))).succeeds();
    assert!(sums_of(&verified) == original);
    run(own(&refused).arg("--sign-again").arg("--public-key").arg(key("p256.asc")))
        .refused("verified first", &["does not verify"]);

    std::fs::remove_file(dist.join(named("SHA256SUMS.sig"))).unwrap();
    let unsigned = root.path().join("unsigned");
    run(&mut own(&unsigned)).succeeds();
    assert!(sums_of(&unsigned) == original);
    std::fs::remove_file(dist.join(named("SHA256SUMS"))).unwrap();
    let made = root.path().join("made");
    run(&mut own(&made)).succeeds();
    let text = String::from_utf8(sums_of(&made)).unwrap();
    assert_eq!(text.lines().count(), 4, "the zips only: {text}");
    assert!(String::from_utf8(original).unwrap().contains(text.lines().next().unwrap()));
    assert!(!refused.exists());
}

#[test]
fn options_of_a_publish_hold_for_zips() {
    let root = folder();
    let site = root.path().join("site");
    let with = |args: &[&str]| run(keep(&site, testdata(RELEASE)).args(args));
    with(&["--expect-version", "1.2.1"]).refused("version", &["the zip is of another version"]);
    with(&["--expect-type", "other"]).refused("type", &["the zip is of another provider"]);
    with(&["--expect-platform", "linux_amd64"])
        .refused("platform", &["not expected: darwin_arm64", "build it again for these"]);
    // Some of the zips, and the remedy: the whole folder.
    let all = ["--expect-platform", "darwin_arm64,linux_amd64,linux_arm64,windows_amd64"];
    run(keep(&site, testdata(RELEASE).join(named("linux_amd64.zip"))).args(all))
        .refused("one", &["missing: darwin_arm64", "give all zips of the release, such as its whole folder"]);
    run(keep(root.path().join("all"), testdata(RELEASE)).args(all)).succeeds();
    with(&["--protocol", "5.0"]).refused("protocol", &["_manifest.json", "5.0, as --protocol says"]);
    with(&["--max-unpacked-bytes", "2000"]).refused("unpacked", &["(zip-damaged)", "more than 2000"]);
    with(&["--max-entries", "3"]).refused("entries", &["(zip-damaged)", "4 entries, more than 3"]);
    assert!(!site.exists());
    let preview = root.path().join("preview");
    with(&["--dry-run", preview.to_str().unwrap()]).succeeds();
    has_the_release(&tree(&preview).into_iter().collect::<Vec<_>>());
    assert!(!site.exists());
    let probed = with(&["--probe-protocol", "--format", "json"]).succeeds();
    let report: Value = serde_json::from_str(&probed.stdout).unwrap();
    assert_eq!(report["probe"]["protocol"], 6, "{report:#}");
    assert_eq!(report["platforms"][0]["tarball_sha256"], report["platforms"][0]["zip_sha256"]);

    let production = root.path().join("production");
    let expect = ["--expect-match", site.to_str().unwrap()];
    run(keep(&production, testdata(RELEASE)).args(expect)).succeeds();
    let dist = copied(root.path());
    std::fs::remove_file(dist.join(named("windows_amd64.zip"))).unwrap();
    sums(&dist, &Signer::of("ed25519.asc"));
    run(keep(root.path().join("other"), &dist).args(expect))
        .refused("match", &["windows_amd64: not in this run"]);
}

#[test]
fn the_manifest_may_be_in_the_folder_above() {
    let root = folder();
    let (dist, site) = (copied(root.path()), root.path().join("site"));
    let manifest = dist.join(named("manifest.json"));
    let above = root.path().join("terraform-registry-manifest.json");
    std::fs::rename(&manifest, &above).unwrap();
    run(&mut keep(&site, &dist)).succeeds();
    // Another project's manifest is not the one that is listed.
    let released = std::fs::read(&above).unwrap();
    std::fs::write(&above, r#"{"version":1,"metadata":{"protocol_versions":["5.0"]}}"#).unwrap();
    let other = root.path().join("other");
    let listed = format!("the manifest {} that ", named("manifest.json"));
    let unknown = "--protocol: the plugin protocol is not known";
    let is_another = "terraform-registry-manifest.json is another file";
    run(&mut keep(&other, &dist)).refused("another", &[unknown, &listed, is_another]);
    std::fs::remove_file(&above).unwrap();
    run(&mut keep(&other, &dist))
        .refused("none", &[unknown, &listed, "is beside none of the zips", "give the manifest"]);
    // The remedies: who says it by the option is told that the manifest is not there.
    let said = run(keep(&other, &dist).args(["--protocol", "6.0"])).succeeds();
    assert!(said.stderr.contains("as --protocol says"), "{said:#?}");
    // What is above was not given, so it stops nothing.
    std::fs::create_dir(&above).unwrap();
    let said = run(keep(root.path().join("odd"), &dist).args(["--protocol", "6.0"])).succeeds();
    assert!(said.stderr.contains("the one in the folder above cannot be taken"), "{said:#?}");
    std::fs::write(&manifest, released).unwrap();
    let given = run(&mut keep(root.path().join("given"), &dist)).succeeds();
    assert!(!given.stderr.contains("warning"), "{given:#?}");
}

#[test]
fn archives_of_the_source_and_other_files_are_left_alone() {
    let root = folder();
    let (dist, site) = (copied(root.path()), root.path().join("site"));
    std::fs::write(dist.join("terraform-provider-sample-1.2.0.tar.gz"), "source").unwrap();
    std::fs::create_dir(dist.join("sample_linux_amd64_v1")).unwrap();
    let ran = run(&mut keep(&site, &dist)).succeeds();
    assert!(ran.stderr.contains("6 other files in "), "{ran:#?}");
    // A platform is not left out for its name.
    std::fs::copy(dist.join(named("linux_amd64.zip")), dist.join(named("linux-amd64.zip"))).unwrap();
    run(&mut keep(&site, &dist))
        .refused("name", &["linux-amd64.zip: not the name of a release tarball or zip"]);
    std::fs::remove_file(dist.join(named("linux-amd64.zip"))).unwrap();
    std::fs::rename(dist.join(named("linux_amd64.zip")), dist.join(named("linux_armv6.zip"))).unwrap();
    run(&mut keep(&site, &dist))
        .refused("arm", &["linux_armv6.zip: the platform is not known", "calls it \"arm\"", "ARM only"]);
    let empty = root.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    run(&mut keep(&site, &empty))
        .refused("empty", &["no release tarball or zip is there", "nothing in this folder"]);
}
