//! What is refused of a ready-made release, and the remedies.

use std::path::Path;
use std::process::Command;

use super::{RELEASE, STEM, copied, keep, named, sums};
use crate::support::clients::require_program;
use crate::support::mutated::{Entry, Signer, executable, zip_of};
use crate::support::{folder, key, run, tarball, testdata, tfreg, tree};

type Change = fn(&Path);

fn remove(name: &str) -> impl Fn(&Path) {
    let name = named(name);
    move |dist: &Path| std::fs::remove_file(dist.join(&name)).unwrap()
}

/// Changes SHA256SUMS, and signs it again.
fn rewrite(dist: &Path, change: impl FnOnce(String) -> String) {
    let path = dist.join(named("SHA256SUMS"));
    let text = change(std::fs::read_to_string(&path).unwrap());
    let signature = Signer::of("ed25519.asc").sign(text.as_bytes(), |builder| builder);
    std::fs::write(dist.join(named("SHA256SUMS.sig")), signature).unwrap();
    std::fs::write(path, text).unwrap();
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let rows: &[(&str, Change, &[&str])] = &[
        (
            "a line without its zip",
            |dist| remove("linux_arm64.zip")(dist),
            &["lists zips that are not in this run", "no zip for linux_arm64"],
        ),
        (
            "a zip without a line",
            |dist| {
                let to = dist.join(named("freebsd_amd64.zip"));
                std::fs::copy(dist.join(named("linux_amd64.zip")), to).unwrap();
            },
            &["freebsd_amd64.zip: a zip that the release's SHA256SUMS does not list"],
        ),
        (
            "no signature",
            |dist| remove("SHA256SUMS.sig")(dist),
            &["no signature of SHA256SUMS beside the zips"],
        ),
        ("no SHA256SUMS", |dist| remove("SHA256SUMS")(dist), &["no SHA256SUMS beside the zips"]),
        (
            "another version's line",
            |dist| rewrite(dist, |text| text.replace("1.2.0_linux_arm64", "1.2.1_linux_arm64")),
            &["not the SHA256SUMS of sample 1.2.0 alone"],
        ),
        (
            "CRLF",
            |dist| rewrite(dist, |text| text.replace('\n', "\r\n")),
            &["clients would stumble", "line 1"],
        ),
        ("a star", |dist| rewrite(dist, |text| text.replace("  ", " *")), &["clients would stumble"]),
        (
            "a blank line",
            |dist| rewrite(dist, |text| format!("{text}\n")),
            &["clients would stumble", "line 6"],
        ),
        (
            "an end",
            |dist| rewrite(dist, |text| text.trim_end().to_owned()),
            &["clients would stumble", "not ended"],
        ),
        (
            "changed after it was signed",
            |dist| {
                let path = dist.join(named("SHA256SUMS"));
                let mut lines: Vec<String> =
                    std::fs::read_to_string(&path).unwrap().lines().map(|line| format!("{line}\n")).collect();
                lines.reverse();
                std::fs::write(path, lines.concat()).unwrap();
            },
            &["the signature of SHA256SUMS does not verify", "A7F2BC5B6E845A69", "GoReleaser 2.15.0"],
        ),
        (
            "a tarball too",
            |dist| {
                let from = tarball("release-1.10.0", "linux_amd64");
                std::fs::copy(from, dist.join(format!("{STEM}_linux_386.tar.gz"))).unwrap();
            },
            &["tarballs and ready-made zips in one run"],
        ),
        (
            "another checksum beside a zip",
            |dist| {
                let zip = named("linux_amd64.zip");
                std::fs::write(dist.join(format!("{zip}.sha256")), format!("{}  {zip}\n", "0".repeat(64)))
                    .unwrap();
            },
            &["two files beside the zip give it different checksums", "write the .sha256 file again"],
        ),
        (
            "two packets",
            |dist| {
                let path = dist.join(named("SHA256SUMS.sig"));
                let bytes = std::fs::read(&path).unwrap();
                std::fs::write(path, bytes.repeat(2)).unwrap();
            },
            &["does not verify", "2 packets"],
        ),
    ];
    for (row, change, texts) in rows {
        let root = folder();
        let (dist, site) = (copied(root.path()), root.path().join("site"));
        change(&dist);
        run(&mut keep(&site, &dist)).refused(row, texts);
        assert!(!site.exists(), "{row}: something was written");
    }
}

#[test]
fn the_remedy_of_two_forms_in_a_folder_is_carried_out() {
    if !require_program("sh") {
        return;
    }
    let root = folder();
    let dist = copied(root.path());
    let from = tarball("release-1.2.0", "linux-amd64");
    std::fs::copy(from, dist.join(named("linux_amd64.tar.gz"))).unwrap();
    let told =
        run(&mut keep(root.path().join("site"), &dist)).refused("both", &["tarballs and ready-made zips"]);
    let secret = key("ed25519.asc");
    let publish = |artifacts: &str, args: &[&str]| {
        assert!(told.stderr.contains(&format!("`{artifacts}`")), "{told:?}");
        let site = root.path().join(artifacts.replace(['/', '*'], "-"));
        let mut shell = Command::new("sh");
        let line = format!(
            "{} publish --to \"$1\" --namespace acme --$2 \"$3\" --protocol 6.0 {artifacts}",
            env!("CARGO_BIN_EXE_tfreg")
        );
        shell.env_clear().current_dir(root.path()).args(["-c", &line, "sh"]).arg(&site).args(args);
        run(&mut shell).succeeds();
        run(tfreg().arg("verify").arg(&site)).succeeds();
    };
    let public = testdata(RELEASE).join("public-key.asc");
    publish("dist/*.zip", &["public-key", public.to_str().unwrap()]);
    publish("dist/*.tar.gz", &["signing-key-file", secret.to_str().unwrap()]);
}

#[test]
fn the_remedy_of_an_armored_signature_is_carried_out() {
    if !require_program("gpg") || !require_program("sh") {
        return;
    }
    let root = folder();
    let (dist, site) = (copied(root.path()), root.path().join("site"));
    let name = named("SHA256SUMS.sig");
    let armor = |from: &str, to: &str| {
        run(Command::new("gpg")
            .args(["--batch", "--yes", "--output", to, "--enarmor", from])
            .current_dir(&dist))
        .succeeds();
    };
    armor(&name, "armored");
    let text = std::fs::read_to_string(dist.join("armored")).unwrap();
    std::fs::write(dist.join(&name), text.replace("ARMORED FILE", "SIGNATURE")).unwrap();
    let ran = run(&mut keep(&site, &dist))
        .refused("armored", &["the signature is armored, and clients refuse that"]);
    let remedy = ran.stderr.split_once("make it binary: `").unwrap().1.split_once('`').unwrap().0.to_owned();
    run(Command::new("sh").args(["-c", &remedy]).current_dir(&dist)).succeeds();
    run(&mut keep(&site, &dist)).succeeds();
}

#[test]
fn keys_that_cannot_be_right_are_refused() {
    let root = folder();
    let site = root.path().join("site");
    let by = |file: &str| {
        let mut command = tfreg();
        command.arg("publish").arg("--to").arg(&site).args(["--namespace", "acme", "--public-key"]);
        command.arg(key(file)).arg(testdata(RELEASE));
        command
    };
    run(&mut by("p256.asc"))
        .refused("another key", &["the signature of SHA256SUMS does not verify", "1FD51C14BF354275"]);
    for (file, text) in [
        ("revoked.asc", "revoked"),
        ("expired.asc", "expired"),
        ("rsa1024.asc", "should not trust"),
        ("v6.asc", "version 6"),
    ] {
        run(&mut by(file)).refused(file, &[text]);
    }
    run(by("ed25519.asc").arg("--signing-key-file").arg(key("rsa3072.asc"))).fails(2, &["--sign-again"]);
    let mut command = tfreg();
    command.arg("publish").arg("--to").arg(&site).args(["--namespace", "acme", "--public-key"]);
    command.arg(key("ed25519.asc")).arg(testdata("release-1.2.0"));
    run(&mut command)
        .refused("tarballs", &["there is no signature to verify by this key", "--signing-key-file"]);
    assert!(!site.exists());
}

#[test]
fn zips_are_judged_by_the_rules_of_verify() {
    let rules: Vec<&str> = tfreg::release::zips::RULES.iter().map(|rule| rule.name).collect();
    let binary = format!("{}_v1.2.0", STEM.split('_').next().unwrap());
    let good = || Entry::File("terraform-provider-sample_v1.2.0", 0o755, b"");
    assert!(matches!(good(), Entry::File(name, ..) if name == binary));
    let content = executable();
    let own = |mode: u32| Entry::File("terraform-provider-sample_v1.2.0", mode, &content);
    let text = |name: &'static str| Entry::File(name, 0o644, b"x");
    // A rule, whether it refuses, and the zip.
    let rows = [
        ("zip-mode", true, zip_of(&[own(0o644)])),
        ("zip-no-executable", true, zip_of(&[text("README.md")])),
        ("zip-symlink", true, zip_of(&[own(0o755), Entry::Link("LICENSE", "COPYING")])),
        ("zip-path", true, zip_of(&[own(0o755), text("../outside")])),
        ("zip-same-name", true, zip_of(&[own(0o755), text("a"), text("a/b")])),
        (
            "zip-wrong-executable",
            true,
            zip_of(&[Entry::File("terraform-provider-sample_v1.2.0", 0o755, b"#!/bin/sh\n")]),
        ),
        ("zip-damaged", true, b"no zip".to_vec()),
        ("zip-folder-entry", false, zip_of(&[own(0o755), Entry::Folder("docs")])),
        ("zip-several-executables", false, zip_of(&[own(0o755), text("terraform-provider-sample_v9.md")])),
        ("zip-executable-name", false, zip_of(&[Entry::File("terraform-provider-sample", 0o755, &content)])),
        ("zip-odd-mode", false, zip_of(&[own(0o777)])),
        ("zip-name-elsewhere", false, zip_of(&[own(0o755), text("aux.md")])),
        ("zip-same-name-elsewhere", false, zip_of(&[own(0o755), text("README"), text("readme")])),
    ];
    for (rule, refuses, zip) in rows {
        assert!(rules.contains(&rule), "{rule}");
        let root = folder();
        let (dist, site) = (root.path().join("dist"), root.path().join("site"));
        std::fs::create_dir(&dist).unwrap();
        std::fs::write(dist.join(named("linux_amd64.zip")), &zip).unwrap();
        sums(&dist, &Signer::of("ed25519.asc"));
        let ran = run(keep(&site, &dist).args(["--protocol", "6.0"]));
        if refuses {
            ran.refused(rule, &["linux_amd64.zip: ", &format!("({rule})")]);
            assert!(!site.exists(), "{rule}");
            continue;
        }
        let ran = ran.succeeds();
        assert!(ran.stderr.contains(&format!("({rule})")), "{rule}: {ran:#?}");
        let kept = tree(&site).into_iter().find(|(key, _)| key.ends_with(".zip")).unwrap().1;
        assert!(kept == zip, "{rule}: never repacked");
        let verified = run(tfreg().args(["verify", site.to_str().unwrap()])).succeeds();
        assert!(verified.stdout.contains(rule), "{rule}: {verified:#?}");
    }
}

#[test]
fn other_lines_are_kept_with_a_warning() {
    let root = folder();
    let (dist, site) = (copied(root.path()), root.path().join("site"));
    let sbom = named("linux_amd64.zip.sbom.json");
    rewrite(&dist, |text| format!("{text}{}  {sbom}\n", "ab".repeat(32)));
    let ran = run(&mut keep(&site, &dist)).succeeds();
    assert!(ran.stderr.contains(&format!("it also lists {sbom}")), "{ran:#?}");
    let published = tree(&site).into_iter().find(|(key, _)| key.ends_with("_SHA256SUMS")).unwrap().1;
    assert!(published == std::fs::read(dist.join(named("SHA256SUMS"))).unwrap());
}
