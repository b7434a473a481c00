//! Names of tarballs: which are understood, and whether they are of the version and the platforms that are expected.

use std::path::PathBuf;

use super::{EXECUTABLE, EXECUTABLE_MODE, NAME, linux, published};
use crate::support::archive::Archive;
use crate::support::{folder, publish, run, tarball};

/// Publishes files of `testdata` under other names; every run is refused with `texts`, before any file is opened.
#[track_caller]
fn refuses_names(row: &str, names: &[&str], args: &[&str], texts: &[&str]) {
    let root = folder();
    let site = root.path().join("site");
    let original = tarball("release-1.2.0", "linux-amd64");
    let copies: Vec<PathBuf> = names.iter().map(|name| root.path().join(name)).collect();
    for copy in &copies {
        std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
        std::fs::copy(&original, copy).unwrap();
    }
    run(publish(&site, &copies).args(["--protocol", "6.0"]).args(args)).refused(row, texts);
    assert!(!site.exists(), "{row}: something was written");
}

#[test]
fn names() {
    let first = "terraform-provider-sample-v1.2.0-linux-amd64-bin.tar.gz";
    let grammar = "terraform-provider-TYPE-vVERSION-OS-ARCH-bin.tar.gz";
    for (row, names, texts) in [
        ("none", &[][..], &["ARTIFACT", "no release tarball or zip was given"][..]),
        ("unknown", &["sample.tar.gz"], &["sample.tar.gz: not the name of a release tarball", grammar]),
        ("zip", &["sample.zip"], &["sample.zip: not the name", grammar]),
        ("no zip", &["terraform-provider-sample_1.2.0_linux_amd64.zip"], &["(zip-damaged)", "no end record"]),
        (
            "sidecar",
            &["terraform-provider-sample_1.2.0_linux_amd64.tar.gz.sha256"],
            &["not the name", grammar],
        ),
        ("v", &["terraform-provider-sample_v1.2.0_linux_amd64.tar.gz"], &["\"v1.2.0\" is no valid version"]),
        ("short", &["terraform-provider-sample_1.2_linux_amd64.tar.gz"], &["\"1.2\" is no valid version"]),
        ("upper", &["terraform-provider-Sample_1.2.0_linux_amd64.tar.gz"], &["write \"sample\""]),
        (
            "build metadata",
            &["terraform-provider-sample-v1.2.0+b7-linux-amd64-bin.tar.gz"],
            &["build metadata (+b7) cannot be served"],
        ),
        (
            "build metadata, second grammar",
            &["terraform-provider-sample_1.2.0+b7_linux_amd64.tar.gz"],
            &["build metadata (+b7) cannot be served"],
        ),
        (
            "alias of an architecture",
            &["terraform-provider-sample_1.2.0_linux_aarch64.tar.gz"],
            &["linux_aarch64.tar.gz: the platform is not known", "like Go, calls it \"arm64\""],
        ),
        (
            "architecture with an underscore",
            &["terraform-provider-sample_1.2.0_Linux_x86_64.tar.gz"],
            &[
                "the platform is not known",
                "\"Linux\"; Terraform, like Go, calls it \"linux\"",
                "\"x86_64\"; Terraform, like Go, calls it \"amd64\"",
                "expected: terraform-provider-sample_1.2.0_linux_amd64.tar.gz",
                "change the name template",
            ],
        ),
        (
            "leading zeros",
            &["terraform-provider-sample_2024.01.15_linux_amd64.tar.gz"],
            &["leading zero", "write \"2024.1.15\"", "tag the release as v2024.1.15"],
        ),
        (
            "alias of a system",
            &["terraform-provider-sample-v1.2.0-macos-arm64-bin.tar.gz"],
            &["the platform is not known", "like Go, calls it \"darwin\""],
        ),
        (
            "unknown system",
            &["terraform-provider-sample_1.2.0_haiku_amd64.tar.gz"],
            &["operating system \"haiku\"; known are", "freebsd"],
        ),
        (
            "unknown architecture",
            &["terraform-provider-sample_1.2.0_linux_vax.tar.gz"],
            &["architecture \"vax\"; known are", "amd64"],
        ),
        (
            "an executable of several architectures",
            &["terraform-provider-sample_1.2.0_darwin_all.zip"],
            &[
                "the platform is not known",
                "architecture \"all\"",
                "(GoReleaser: remove `universal_binaries`)",
            ],
        ),
        (
            "the same under another word",
            &["terraform-provider-sample_1.2.0_darwin_universal.zip"],
            &["the platform is not known", "have the build make none"],
        ),
        (
            "one of several targets for ARM",
            &["terraform-provider-sample_1.2.0_linux_arm_6.zip"],
            &[
                "like Go, calls it \"arm\"",
                "change the name template",
                "build one target for 32-bit ARM only",
            ],
        ),
        (
            "an executable",
            &["terraform-provider-sample_v1.2.0"],
            &["not the name of a release tarball or zip", "have it make archives", "`formats: [zip]`"],
        ),
        ("two for a platform", &[first, NAME], &["two tarballs for one platform in one run", first, NAME]),
        ("one given twice", &[first, first], &["two tarballs for one platform in one run", first]),
        ("bad one among good ones", &[first, "notes.txt"], &["notes.txt: not the name of a release tarball"]),
    ] {
        refuses_names(row, names, &[], texts);
    }
    let root = folder();
    run(&mut publish(root.path().join("site"), &[root.path().join("dist/")]))
        .refused("no such folder", &["dist/: there is no such file or folder", "check the path"]);
    run(&mut publish(root.path().join("site"), &[root.path().join("releases/*/dist")]))
        .refused("a pattern", &["dist: not the name of a release", "the pattern matched no file"]);
}

#[test]
fn names_that_are_taken() {
    for (name, expected) in [
        ("terraform-provider-sample-v1.2.0-linux-amd64-bin.tar.gz", EXECUTABLE),
        ("terraform-provider-sample-v1.2.0-linux-amd64-bin.tgz", EXECUTABLE),
        ("terraform-provider-sample_1.2.0_linux_amd64.tar.gz", EXECUTABLE),
        ("terraform-provider-sample_1.2.0_linux_amd64.tgz", EXECUTABLE),
        (
            "terraform-provider-sample-v1.2.0-rc.1-linux-amd64-bin.tar.gz",
            "terraform-provider-sample_v1.2.0-rc.1",
        ),
        ("terraform-provider-sample_1.2.0_android_amd64.tar.gz", EXECUTABLE),
    ] {
        let archive = Archive::new().file("terraform-provider-sample", linux());
        let expected = vec![(expected.to_owned(), EXECUTABLE_MODE, linux())];
        assert_eq!(published(name, name, &archive.gz(), &[]), expected, "{name}");
    }
}

#[test]
fn expectations() {
    let linux = "terraform-provider-sample-v1.2.0-linux-amd64-bin.tar.gz";
    let arm = "terraform-provider-sample-v1.2.0-linux-arm64-bin.tar.gz";
    let other = "terraform-provider-other-v1.2.0-linux-arm64-bin.tar.gz";
    let newer = "terraform-provider-sample-v1.2.1-linux-arm64-bin.tar.gz";
    for (row, names, args, texts) in [
        (
            "two providers",
            &[linux, other][..],
            &["--expect-version", "1.2.0"][..],
            &["two providers in one run", "other", "sample"][..],
        ),
        (
            "two versions",
            &[linux, newer],
            &["--expect-version", "1.2.0"],
            &["two versions in one run", "1.2.0", "1.2.1"],
        ),
        (
            "version",
            &[linux][..],
            &["--expect-version", "1.3.0"][..],
            &[linux, "version 1.2.0", "version 1.3.0 (--expect-version)"][..],
        ),
        (
            "tag",
            &[linux],
            &["--expect-version", "terraform-provider-sample-v1.2.0-rc.1"],
            &[linux, "version 1.2.0-rc.1 (--expect-version)"],
        ),
        (
            "platform missing",
            &[linux],
            &["--expect-platform", "linux_amd64", "--expect-platform", "linux_arm64"],
            &["missing: linux_arm64", "linux_amd64, linux_arm64 (--expect-platform)"],
        ),
        (
            "platform too many",
            &[linux, arm],
            &["--expect-platform", "linux_amd64"],
            &["not expected: linux_arm64"],
        ),
        (
            "another platform",
            &[linux],
            &["--expect-platform", "linux_arm64"],
            &["missing: linux_arm64; not expected: linux_amd64"],
        ),
    ] {
        refuses_names(row, names, args, texts);
    }
}

#[test]
fn expectations_that_hold() {
    for tag in
        ["1.2.0", "v1.2.0", "terraform-provider-sample-v1.2.0", "refs/tags/terraform-provider-sample-v1.2.0"]
    {
        for platforms in [&["--expect-platform", "linux_amd64"][..], &[]] {
            let root = folder();
            let tarballs = [tarball("release-1.2.0", "linux-amd64")];
            let mut command = publish(root.path().join("site"), &tarballs);
            let ran = run(command.args(["--expect-version", tag]).args(platforms));
            assert_eq!(ran.code, 0, "{tag}: {ran:#?}");
        }
    }
    let root = folder();
    let pair = [tarball("release-1.2.0", "linux-amd64"), tarball("release-1.2.0", "darwin-arm64")];
    run(publish(root.path().join("site"), &pair).args(["--expect-platform", "linux_amd64,darwin_arm64"]))
        .succeeds();
}
