//! What is refused of a run with several versions; nothing is written then.

use super::{INDEX, PLATFORMS, backfill, listed, release, zip};
use crate::support::mutated::Signer;
use crate::support::{folder, run, tree};

#[test]
fn one_bad_version_of_many_is_refused_before_anything_is_written() {
    let root = folder();
    let (dist, site) = (root.path().join("dist"), root.path().join("site"));
    let signer = Signer::of("ed25519.asc");
    for version in ["1.0.0", "1.1.0", "1.2.0"] {
        release(&dist, "sample", version, &PLATFORMS, &signer);
    }
    let stem = dist.join("terraform-provider-sample_1.2.0").display().to_string();
    for (name, text) in [
        ("_SHA256SUMS.sig", "does not verify"),
        ("_SHA256SUMS", ""),
        ("_linux_amd64.zip", "does not have the checksum in its SHA256SUMS file"),
    ] {
        let path = format!("{stem}{name}");
        let good = std::fs::read(&path).unwrap();
        let mut bad = good.clone();
        bad[good.len() / 2] ^= 1;
        std::fs::write(&path, bad).unwrap();
        run(&mut backfill(&site, std::slice::from_ref(&dist))).refused(name, &["1.2.0", text]);
        assert!(!site.exists(), "{name}: something was written");
        std::fs::write(&path, good).unwrap();
    }
    run(&mut backfill(&site, std::slice::from_ref(&dist))).succeeds();
}

#[test]
fn a_conflict_in_a_later_batch_is_found_before_the_first_is_written() {
    let root = folder();
    let (dist, site) = (root.path().join("dist"), root.path().join("site"));
    let signer = Signer::of("ed25519.asc");
    release(&root.path().join("earlier"), "sample", "1.0.0", &PLATFORMS[..1], &signer);
    run(&mut backfill(&site, &[root.path().join("earlier")])).succeeds();
    let before = tree(&site);
    // `other` is written before `sample`, and the platform of 1.0.0 has other contents now.
    release(&dist, "other", "1.0.0", &PLATFORMS, &signer);
    release(&dist, "sample", "1.0.0", &PLATFORMS[1..], &signer);
    run(&mut backfill(&site, std::slice::from_ref(&dist)))
        .refused("conflict", &["a platform is published that the release's SHA256SUMS does not list"]);
    assert!(tree(&site) == before, "nothing was written");
    // The remedy: a SHA256SUMS that lists what is published.
    release(&dist, "sample", "1.0.0", &PLATFORMS, &signer);
    run(&mut backfill(&site, &[dist])).succeeds();
    assert_eq!(listed(&std::fs::read(site.join("registry/acme/other/versions")).unwrap()), ["1.0.0"]);
}

#[test]
fn expectations_are_of_one_version() {
    let root = folder();
    let (dist, site) = (root.path().join("dist"), root.path().join("site"));
    let signer = Signer::of("ed25519.asc");
    for version in ["1.0.0", "1.1.0"] {
        release(&dist, "sample", version, &PLATFORMS, &signer);
    }
    let elsewhere = site.to_str().unwrap();
    for option in [
        ["--expect-version", "1.1.0"],
        ["--expect-type", "sample"],
        ["--expect-platform", "linux_amd64"],
        ["--expect-match", elsewhere],
    ] {
        let mut command = backfill(&site, std::slice::from_ref(&dist));
        run(command.args(option)).refused(option[0], &["two versions in one run", option[0], "leave out"]);
    }
    release(&dist, "other", "1.0.0", &PLATFORMS, &signer);
    let mut command = backfill(&site, std::slice::from_ref(&dist));
    run(command.args(["--expect-version", "1.0.0"])).refused("providers", &["two providers in one run"]);
    assert!(!site.exists());
    // The remedy.
    run(&mut backfill(&site, std::slice::from_ref(&dist))).succeeds();
    assert_eq!(listed(&std::fs::read(site.join(INDEX)).unwrap()), ["1.0.0", "1.1.0"]);
    // A registry for stable releases takes none of them, if one is no such release.
    release(&dist, "sample", "1.2.0-rc.1", &PLATFORMS, &signer);
    let stable = root.path().join("stable");
    let mut command = backfill(&stable, std::slice::from_ref(&dist));
    run(command.arg("--stable-only")).refused("stable", &["a pre-release", "1.2.0-rc.1"]);
    assert!(!stable.exists());
}

#[test]
fn zips_of_two_folders_that_are_not_one_release_are_refused() {
    let root = folder();
    let (a, b, site) = (root.path().join("a"), root.path().join("b"), root.path().join("site"));
    let signer = Signer::of("ed25519.asc");
    // Neither SHA256SUMS lists all.
    release(&a, "sample", "1.0.0", &PLATFORMS[..2], &signer);
    release(&b, "sample", "1.0.0", &PLATFORMS[2..], &signer);
    run(&mut backfill(&site, &[a.clone(), b.clone()]))
        .refused("neither", &["two files of this name, with other contents", "lists all zips"]);
    // A zip from a folder without a SHA256SUMS, whose line has another digest.
    let _ = std::fs::remove_dir_all(&b);
    std::fs::create_dir(&b).unwrap();
    let name = |platform: &str| format!("terraform-provider-sample_1.0.0_{platform}.zip");
    std::fs::remove_file(a.join(name("linux_amd64"))).unwrap();
    std::fs::write(b.join(name("linux_amd64")), zip("sample", "1.0.1", "linux_amd64")).unwrap();
    run(&mut backfill(&site, &[a.clone(), b.clone()])).refused(
        "another zip",
        &["linux_amd64.zip: the zip does not have the checksum in the release's SHA256SUMS"],
    );
    // Twice, once without a checksum.
    release(&a, "sample", "1.0.0", &PLATFORMS[..2], &signer);
    run(&mut backfill(&site, &[a, b])).refused("twice", &["two zips for one platform in one run"]);
    assert!(!site.exists());
}
