//! The plugin protocols of a release: from manifests beside the tarballs and in them, and from options.

use serde_json::Value;

use super::{EXECUTABLE, MANIFEST, NAME, good, protocols};
use crate::support::archive::{Archive, genuine_executable, write};
use crate::support::{folder, publish, run};

/// The row's name, files beside the tarball, files in it, options, and what is said.
type ManifestRow<'a> =
    (&'a str, &'a [(&'a str, &'a str)], &'a [(&'a str, &'a str)], &'a [&'a str], &'a [&'a str]);

#[test]
fn manifests() {
    let (five, six) = (protocols(r#""5.0""#), protocols(r#""6.0""#));
    let release = "terraform-provider-sample_1.2.0_manifest.json";
    let (none, say_six) = (&[][..], &["--protocol", "6.0"][..]);
    let large = format!("{}{six}", " ".repeat(70_000));
    let rows: &[ManifestRow<'_>] = &[
        ("nobody says", &[], &[], none, &["the plugin protocol is not known", "--protocol 5.0 or 6.0"]),
        (
            "beside against option",
            &[(MANIFEST, &five)],
            &[],
            say_six,
            &["disputed", "5.0 in", "6.0, as --protocol"],
        ),
        ("inside against option", &[], &[(MANIFEST, &five)], say_six, &["disputed", "5.0 in", NAME]),
        (
            "inside against beside",
            &[(MANIFEST, &six)],
            &[(MANIFEST, &five)],
            none,
            &["disputed", "5.0", "6.0"],
        ),
        ("two beside", &[(MANIFEST, &six), (release, &five)], &[], none, &["disputed", MANIFEST, release]),
        ("two inside", &[], &[(MANIFEST, &six), (release, &five)], none, &["disputed", MANIFEST, release]),
        ("in a folder inside", &[], &[("f/terraform-registry-manifest.json", &five)], say_six, &["disputed"]),
        (
            "more than the option",
            &[(MANIFEST, &protocols(r#""5.0", "6.0""#))],
            &[],
            say_six,
            &["disputed", "5.0, 6.0"],
        ),
        ("not JSON", &[(MANIFEST, "{")], &[], say_six, &[MANIFEST, "not a registry manifest"]),
        ("not JSON inside", &[], &[(MANIFEST, "")], say_six, &[MANIFEST, NAME, "not a registry manifest"]),
        (
            "named by version, not JSON",
            &[],
            &[(release, "x")],
            say_six,
            &[release, "not a registry manifest"],
        ),
        (
            "another kind",
            &[(MANIFEST, r#"{"version": 2, "metadata": {"protocol_versions": ["6.0"]}}"#)],
            &[],
            none,
            &["manifest version 2"],
        ),
        ("empty list", &[(MANIFEST, &protocols(""))], &[], none, &["an empty list of protocol_versions"]),
        (
            "unknown protocol",
            &[(MANIFEST, &protocols(r#""4.0""#))],
            &[],
            none,
            &["\"4.0\" is no valid protocol"],
        ),
        (
            "no text",
            &[(MANIFEST, &protocols("6.0"))],
            &[],
            none,
            &["not a registry manifest", "expected a string"],
        ),
        ("huge inside", &[], &[(MANIFEST, &large)], none, &["not a registry manifest", MANIFEST]),
    ];
    for (row, beside, inside, args, texts) in rows {
        let root = folder();
        let site = root.path().join("site");
        for (name, text) in *beside {
            write(root.path(), name, text);
        }
        let archive = inside.iter().fold(good(), |archive, (name, text)| archive.file(name, text));
        let path = write(root.path(), NAME, archive.gz());
        run(publish(&site, &[path]).args(*args)).refused(row, texts);
        assert!(!site.exists(), "{row}: something was written");
    }
}

#[test]
fn manifests_of_two_tarballs_disagree() {
    let root = folder();
    let site = root.path().join("site");
    let other = "terraform-provider-sample_1.2.0_linux_arm64.tar.gz";
    let paths = [
        write(root.path(), NAME, good().file(MANIFEST, protocols(r#""6.0""#)).gz()),
        write(
            root.path(),
            other,
            Archive::new()
                .file(MANIFEST, protocols(r#""5.0""#))
                .file(EXECUTABLE, genuine_executable("linux-arm64"))
                .gz(),
        ),
    ];
    run(&mut publish(&site, &paths)).refused("two tarballs", &["disputed", NAME, other]);
    assert!(!site.exists());
}

#[test]
fn protocols_from_all_sources() {
    let sources = (protocols(r#""5.0""#), protocols(r#""6.0""#), protocols(r#""6.0", "5""#));
    let [five, six, both] = [&sources.0, &sources.1, &sources.2].map(String::as_str);
    let release = "terraform-provider-sample_1.2.0_manifest.json";
    let none: &[(&str, &str)] = &[];
    for (row, beside, inside, args, variable, expected) in [
        ("beside", &[(MANIFEST, six)][..], none, &[][..], "", &["6.0"][..]),
        ("beside, named by version", &[(release, five)], none, &[], "", &["5.0"]),
        ("inside", none, &[(MANIFEST, six)][..], &[], "", &["6.0"]),
        ("inside, in a folder", none, &[("f/terraform-registry-manifest.json", six)], &[], "", &["6.0"]),
        ("inside, named by version", none, &[(release, both)], &[], "", &["5.0", "6.0"]),
        ("option", none, none, &["--protocol", "6.0"], "", &["6.0"]),
        ("option without its minor", none, none, &["--protocol", "6"], "", &["6.0"]),
        ("option twice", none, none, &["--protocol", "6.0", "--protocol", "5.1"], "", &["5.1", "6.0"]),
        ("option with a comma", none, none, &["--protocol", "6,5"], "", &["5.0", "6.0"]),
        ("variable", none, none, &[], "5.0, 6", &["5.0", "6.0"]),
        ("option over variable", none, none, &["--protocol", "6"], "5.0", &["6.0"]),
        (
            "all agree",
            &[(MANIFEST, six), (release, six)],
            &[(MANIFEST, six)],
            &["--protocol", "6"],
            "",
            &["6.0"],
        ),
    ] {
        let root = folder();
        let site = root.path().join("site");
        for (name, text) in beside {
            write(root.path(), name, text);
        }
        let archive = inside.iter().fold(good(), |archive, (name, text)| archive.file(name, text));
        let path = write(root.path(), NAME, archive.gz());
        let mut command = publish(&site, &[path]);
        if !variable.is_empty() {
            command.env("TFREG_PROTOCOLS", variable);
        }
        let ran = run(command.args(args));
        assert_eq!(ran.code, 0, "{row}: {ran:#?}");
        let json =
            |key: &str| -> Value { serde_json::from_slice(&std::fs::read(site.join(key)).unwrap()).unwrap() };
        let versions = json("registry/acme/sample/versions");
        assert_eq!(versions["versions"][0]["protocols"], serde_json::json!(expected), "{row}");
        let download = json("registry/acme/sample/1.2.0/download/linux/amd64");
        assert_eq!(download["protocols"], serde_json::json!(expected), "{row}");
    }
}
