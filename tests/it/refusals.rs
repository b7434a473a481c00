//! What tfreg refuses, and the nearest things that it takes: names, sidecars, manifests, contents, executables, options.
//!
//! Every refusal names the file, what was found, what was expected and what to do, and nothing is written.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tar::EntryType;

use crate::support::archive::{Archive, genuine_executable, gzip, noise, write};
use crate::support::{folder, key, named_pipe, publish, run, tarball, testdata, tfreg, tree};

pub(super) const NAME: &str = "terraform-provider-sample_1.2.0_linux_amd64.tar.gz";
pub(super) const EXECUTABLE: &str = "terraform-provider-sample_v1.2.0";
const MANIFEST: &str = "terraform-registry-manifest.json";

fn protocols(list: &str) -> String {
    format!(r#"{{"version": 1, "metadata": {{"protocol_versions": [{list}]}}}}"#)
}

fn linux() -> Vec<u8> {
    genuine_executable("linux-amd64")
}

/// A tarball's files: the executable, at the root.
pub(super) fn good() -> Archive {
    Archive::new().file(EXECUTABLE, linux())
}

/// Publishes one tarball, which is refused; says so with the tarball's name and `texts`.
#[track_caller]
pub(super) fn refuses(row: &str, name: &str, bytes: &[u8], args: &[&str], texts: &[&str]) {
    let root = folder();
    let site = root.path().join("site");
    let path = write(root.path(), name, bytes);
    let ran = run(publish(&site, &[path]).args(["--protocol", "6.0"]).args(args));
    ran.refused(row, texts).refused(row, &[name]);
    assert!(!site.exists(), "{row}: something was written");
}

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
        ("none", &[][..], &["TARBALL", "no release tarball was given"][..]),
        ("unknown", &["sample.tar.gz"], &["sample.tar.gz: not the name of a release tarball", grammar]),
        ("zip", &["terraform-provider-sample_1.2.0_linux_amd64.zip"], &["not the name", grammar]),
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
            "two providers",
            &[first, "terraform-provider-other-v1.2.0-linux-arm64-bin.tar.gz"],
            &["two providers in one run", "other", "sample"],
        ),
        (
            "two versions",
            &[first, "terraform-provider-sample-v1.2.1-linux-arm64-bin.tar.gz"],
            &["two versions in one run", "1.2.0", "1.2.1"],
        ),
        ("two for a platform", &[first, NAME], &["two tarballs for one platform in one run", first, NAME]),
        ("one given twice", &[first, first], &["two tarballs for one platform in one run", first]),
        ("bad one among good ones", &[first, "notes.txt"], &["notes.txt: not the name of a release tarball"]),
    ] {
        refuses_names(row, names, &[], texts);
    }
}

#[test]
fn expectations() {
    let linux = "terraform-provider-sample-v1.2.0-linux-amd64-bin.tar.gz";
    let arm = "terraform-provider-sample-v1.2.0-linux-arm64-bin.tar.gz";
    for (row, names, args, texts) in [
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
fn sidecars() {
    let digest = "91c96892a96ebcadf39dc3aa1764e5fea392d099da5a83a16e551c09bd6406d2";
    let zeros = "0".repeat(64);
    let original = tarball("release-1.2.0", "linux-amd64");
    for (row, sidecar, texts) in [
        (
            "another checksum",
            format!("{zeros}  {NAME}\n"),
            &["the tarball does not have the checksum in its .sha256 file", digest, zeros.as_str()][..],
        ),
        ("another file's", format!("{digest}  other.tar.gz\n"), &["a checksum for \"other.tar.gz\""]),
        ("two lines", format!("{digest}  {NAME}\n{digest}  {NAME}\n"), &["2 lines"]),
        ("empty", String::new(), &["0 lines"]),
        ("too short", format!("{}\n", &digest[1..]), &["64 hex digits"]),
        ("an error page", "<html>404</html>\n".to_owned(), &["\"<html>404</html>\""]),
        ("BSD form", format!("SHA256 ({NAME}) = {digest}\n"), &["64 hex digits"]),
    ] {
        let root = folder();
        let site = root.path().join("site");
        let path = root.path().join(NAME);
        std::fs::copy(&original, &path).unwrap();
        write(root.path(), &format!("{NAME}.sha256"), &sidecar);
        let ran = run(publish(&site, &[path]).args(["--protocol", "6.0"]));
        ran.refused(row, texts).refused(row, &[&format!("{NAME}.sha256")]);
        assert!(!site.exists(), "{row}: something was written");
    }
    for (row, sidecar) in [
        ("bare", format!("{digest}\n")),
        ("no line end", digest.to_owned()),
        ("text mode", format!("{digest}  {NAME}\n")),
        ("binary mode", format!("{digest} *{NAME}\n")),
        ("of Windows", format!("{digest}  {NAME}\r\n")),
        ("upper case", format!("{}  {NAME}\n", digest.to_uppercase())),
        ("with a folder", format!("{digest}  ./build/{NAME}\n")),
    ] {
        let root = folder();
        let site = root.path().join("site");
        let path = root.path().join(NAME);
        std::fs::copy(&original, &path).unwrap();
        write(root.path(), &format!("{NAME}.sha256"), &sidecar);
        let ran = run(publish(&site, &[path]).args(["--protocol", "6.0"]));
        assert_eq!(ran.code, 0, "{row}: {ran:#?}");
    }
}

#[test]
fn the_sums_of_the_release() {
    let digest = "91c96892a96ebcadf39dc3aa1764e5fea392d099da5a83a16e551c09bd6406d2";
    let zeros = "0".repeat(64);
    let original = tarball("release-1.2.0", "linux-amd64");
    let release = "terraform-provider-sample_1.2.0_SHA256SUMS";
    let attempt = |files: &[(&str, String)]| {
        let root = folder();
        let site = root.path().join("site");
        let path = root.path().join(NAME);
        std::fs::copy(&original, &path).unwrap();
        for (name, text) in files {
            write(root.path(), name, text);
        }
        let ran = run(publish(&site, &[path]).args(["--protocol", "6.0"]));
        assert_eq!(site.exists(), ran.code == 0, "{files:?}");
        ran
    };
    let line = |digest: &str| format!("{zeros}  other.zip\n{digest}  {NAME}\n");
    for sums in ["SHA256SUMS", release] {
        attempt(&[(sums, line(digest))]).succeeds();
        attempt(&[(sums, line(digest)), (&format!("{NAME}.sha256"), digest.to_owned())]).succeeds();
        let other_files = attempt(&[(sums, format!("{zeros}  other.tar.gz\n"))]);
        other_files.succeeds();
        attempt(&[(sums, line(&zeros))]).refused(
            sums,
            &["the tarball does not have the checksum in its SHA256SUMS file", digest, &zeros, sums],
        );
        attempt(&[(sums, line(&zeros)), (&format!("{NAME}.sha256"), digest.to_owned())])
            .refused(sums, &["different checksums", digest, &zeros, sums, &format!("{NAME}.sha256")]);
        attempt(&[(sums, line(digest) + &line(&zeros))]).refused(sums, &["not one checksum", sums]);
        attempt(&[(sums, line("damaged"))]).refused(sums, &["not one checksum", "damaged", sums]);
    }
}

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
fn contents_without_the_one_executable() {
    let exe = linux();
    for (row, archive, texts) in [
        ("empty archive", Archive::new(), &["no provider executable in the archive", "an empty archive"][..]),
        (
            "only others",
            Archive::new().file("LICENSE", "x").file("f/README.md", "x"),
            &["no provider executable", "LICENSE", "f/README.md"],
        ),
        (
            "another type's",
            Archive::new().file("terraform-provider-other", &exe),
            &["no provider executable", "terraform-provider-other"],
        ),
        ("another case", Archive::new().file("Terraform-Provider-Sample", &exe), &["no provider executable"]),
        (
            "too deep",
            Archive::new().file("a/b/terraform-provider-sample", &exe),
            &["no provider executable", "a/b/terraform-provider-sample"],
        ),
        (
            "two at the root",
            good().file("terraform-provider-sample", &exe),
            &["more than one provider executable", EXECUTABLE, "\"terraform-provider-sample\""],
        ),
        (
            "root and folder",
            good().file("f/terraform-provider-sample", &exe),
            &["more than one provider executable", "f/terraform-provider-sample"],
        ),
        (
            "two folders",
            Archive::new()
                .file("a/terraform-provider-sample", &exe)
                .file("b/terraform-provider-sample", &exe),
            &["more than one"],
        ),
        (
            "another version's name",
            Archive::new().file("terraform-provider-sample_v1.1.0", &exe),
            &["another version than the tarball", "version 1.1.0", "version 1.2.0"],
        ),
        (
            "another version's name in a folder",
            Archive::new().file("f/terraform-provider-sample_v1.2.0-rc.1", &exe),
            &["another version", "1.2.0-rc.1"],
        ),
        (
            "a text that clients would start",
            good().file("terraform-provider-sample.md", "x"),
            &["clients would take for the provider's executable", "terraform-provider-sample.md"],
        ),
        (
            "a signature that clients would start",
            Archive::new().file("terraform-provider-sample.asc", "x").file(EXECUTABLE, &exe),
            &["clients would take for"],
        ),
        (
            "windows' name on linux",
            Archive::new().file("terraform-provider-sample.exe", &exe),
            &["clients would take for"],
        ),
    ] {
        refuses(row, NAME, &archive.gz(), &[], texts);
    }
}

/// A name in the zip that two files would share, or a file and a folder: clients could not unpack it.
#[test]
fn names_that_meet_only_in_the_zip() {
    let exe = linux();
    for (row, archive) in [
        (
            "the executable's new name is that of its folder",
            Archive::new()
                .file("terraform-provider-sample_v1.2.0/LICENSE", "x")
                .file("terraform-provider-sample_v1.2.0/terraform-provider-sample", &exe),
        ),
        (
            "the executable's new name is that of its folder, which has more behind it",
            Archive::new()
                .file("terraform-provider-sample_v1.2.0/terraform-provider-sample", &exe)
                .file("terraform-provider-sample_v1.2.0/LICENSE", "x"),
        ),
        (
            "the executable's new name is another file's but for the case",
            Archive::new()
                .file("f/terraform-provider-sample", &exe)
                .file("Terraform-provider-sample_v1.2.0", "x"),
        ),
    ] {
        refuses(row, NAME, &archive.gz(), &[], &["one name", EXECUTABLE]);
    }
}

/// Names that some client's file system cannot hold, holds as another one, or holds as one.
#[test]
fn names_that_file_systems_do_not_hold() {
    for (name, text) in [
        ("terraform-provider-sample_v1.2.0.", "ends in a dot"),
        ("terraform-provider-sample_v1.2.0 ", "ends in a space"),
        ("what?", "Windows refuses"),
        ("a*", "Windows refuses"),
        ("\"quoted\"", "Windows refuses"),
        ("<a>", "Windows refuses"),
        ("a|b", "Windows refuses"),
        ("docs/nul.md", "device"),
        ("COM1", "device"),
        ("TERRAF~1", "short names"),
        ("a\u{200d}b", "not seen (U+200D)"),
        ("a\u{202e}b", "not seen (U+202E)"),
        ("a\u{f03a}b", "without a meaning"),
    ] {
        refuses(
            name,
            NAME,
            &good().file(name, "x").gz(),
            &[],
            &["a name that not every file system can hold", text],
        );
    }
    for (first, second) in [
        ("caf\u{e9}", "cafe\u{301}"),
        ("Straße", "STRASSE"),
        ("terraform-provider-\u{17f}ample_v1.2.0", "x"),
        ("docs/a", "Docs/b"),
    ] {
        let archive = good().file(first, "x").file(second, "y");
        let shown = first.split('/').next().unwrap();
        refuses(first, NAME, &archive.gz(), &[], &["have one name", shown]);
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn entries_that_are_no_plain_files() {
    let file = |name: &str| good().entry(EntryType::Regular, name.as_bytes(), b"x");
    for (row, archive, texts) in [
        ("absolute", file("/etc/passwd"), &["it is absolute", "\"/etc/passwd\""][..]),
        ("parent", file("../x"), &["it leads out of its folder", "\"../x\""]),
        ("parent inside", file("a/../../x"), &["it leads out of its folder"]),
        ("parent of a folder", good().folder("../x/"), &["it leads out of its folder"]),
        (
            "parent by a long name",
            good().pax(EntryType::XHeader, &[("path", b"../x")]).posix().file("x", ""),
            &["it leads out of its folder"],
        ),
        (
            "parent by GNU's long name",
            good().entry(EntryType::GNULongName, b"././@LongLink", b"../x\0").file("x", ""),
            &["it leads out of its folder"],
        ),
        ("backslash", file("a\\..\\x"), &["the character \\, which Windows refuses"]),
        ("drive", file("c:x"), &["the character :, which Windows refuses"]),
        ("line end", file("a\nb"), &["a control character", "a\\nb"]),
        ("escape", file("a\x1b[2Jb"), &["a control character", "a\\u{1b}[2Jb"]),
        ("not UTF-8", good().entry(EntryType::Regular, b"\xff\xfe", b"x"), &["it is not UTF-8"]),
        ("no name", good().entry(EntryType::Regular, b"", b"x"), &["it is empty"]),
        (
            "symbolic link",
            good().link(EntryType::Symlink, "l", "/etc/passwd"),
            &["\"l\" in the archive", "a symbolic link"],
        ),
        (
            "executable as a link",
            Archive::new().link(EntryType::Symlink, EXECUTABLE, "x"),
            &["a symbolic link", EXECUTABLE],
        ),
        (
            "hard link",
            good().link(EntryType::Link, "l", EXECUTABLE),
            &["\"l\" in the archive", "a hard link", "--hard-dereference", "cp -R"],
        ),
        ("character device", good().entry(EntryType::Char, b"d", b""), &["\"d\" in the archive", "a device"]),
        ("block device", good().entry(EntryType::Block, b"d", b""), &["\"d\" in the archive", "a device"]),
        ("named pipe", good().entry(EntryType::Fifo, b"p", b""), &["\"p\" in the archive", "a named pipe"]),
        (
            "sparse file",
            good().entry(EntryType::GNUSparse, b"s", b""),
            &["\"s\" in the archive", "a sparse file", "--sparse", "--no-read-sparse"],
        ),
        (
            "sparse file by pax",
            good().pax(EntryType::XHeader, &[("GNU.sparse.major", b"1")]).file("s", ""),
            &["it is a sparse file", "--no-read-sparse"],
        ),
        (
            "size by pax",
            good().pax(EntryType::XHeader, &[("size", b"9")]).posix().file("s", ""),
            &["different sizes", "9 and 0 bytes"],
        ),
        (
            "path for all by pax",
            Archive::new().pax(EntryType::XGlobalHeader, &[("path", b"x")]).file("s", ""),
            &["a global pax header changes more", "path"],
        ),
        (
            "long name without its entry",
            good().pax(EntryType::XHeader, &[("path", b"x")]),
            &["without its entry"],
        ),
        ("reserved kind", good().entry(EntryType::new(b'7'), b"c", b""), &["tar type '7'"]),
        (
            "twice",
            good().file("a", "1").file("a", "2"),
            &["two entries of the archive have one name", "\"a\" and \"a\""],
        ),
        ("the executable twice", good().file(EXECUTABLE, linux()), &["have one name", EXECUTABLE]),
        ("twice by a dot", good().file("a", "1").file("./a", "2"), &["have one name"]),
        (
            "but for the case",
            good().file("README", "1").file("readme", "2"),
            &["\"README\" and \"readme\"", "upper and lower case"],
        ),
        ("file and folder", good().file("a", "1").file("a/b", "2"), &["have one name", "\"a\"", "\"a/b\""]),
        (
            "a folder's entry and a file",
            good().folder("a/").file("a", "2"),
            &["have one name", "\"a\" and \"a\""],
        ),
        (
            "a folder with a size, whose data is another executable",
            good().sized_folder("d/", Archive::new().file(EXECUTABLE, "another")),
            &["\"d/\" in the archive", "it is a folder with a size"],
        ),
        (
            "two pax headers",
            good()
                .pax(EntryType::XHeader, &[("path", b"a")])
                .pax(EntryType::XHeader, &[("path", b"b")])
                .posix()
                .file("c", ""),
            &["two extension headers before one entry"],
        ),
        (
            "a keyword with a space",
            good().pax(EntryType::XHeader, &[(" path", b"a")]).posix().file("c", ""),
            &["a keyword that tar programs read differently"],
        ),
        ("folder and file", good().file("a/b", "1").file("A", "2"), &["have one name", "\"A\""]),
    ] {
        refuses(row, NAME, &archive.gz(), &[], texts);
    }
}

#[test]
fn archives_cut_short() {
    let files = || Archive::new().file("LICENSE", "x").file(EXECUTABLE, linux()).file("data", noise(300_000));
    let (gz, tar) = (files().gz(), files().tar());
    let end = tar.len() - 1024;
    refuses("no byte", NAME, &[], &[], &["an empty file"]);
    for at in [1, 5, 10, 12, 300, 2_000, gz.len() / 2, gz.len() - 9, gz.len() - 8, gz.len() - 1] {
        refuses(&format!("file of {at} bytes"), NAME, &gz[..at], &[], &["cut short"]);
    }
    // Within the tar file: a header, contents (small, the executable's, large), between entries, its end.
    for at in [100, 512, 600, 513 + 1024, 2_000, 100_000, end - 400, end, end + 512, end + 1000] {
        refuses(&format!("tar file of {at} bytes"), NAME, &gzip(&tar[..at]), &[], &["cut short"]);
    }
    refuses("no gzip", NAME, &tar, &[], &["a tar file that is not compressed"]);
    refuses("no tar", NAME, &gzip(b"not a tar file"), &[], &["a text file in the gzip file"]);
    for at in [20, gz.len() / 2, gz.len() - 6] {
        let mut bad = gz.clone();
        bad[at] ^= 0x10;
        refuses(&format!("byte {at} changed"), NAME, &bad, &[], &["damaged"]);
    }
}

#[test]
fn archives_that_go_on() {
    let (gz, tar) = (good().gz(), good().tar());
    for (row, bytes, text) in [
        ("text behind gzip", [gz.as_slice(), b"trailing"].concat(), "damaged"),
        ("a gzip member with text", [gz.as_slice(), &gzip(b"trailing")].concat(), "goes on behind its end"),
        ("another archive", [gz.as_slice(), &gz].concat(), "goes on behind its end"),
        ("another tar file", gzip(&[tar.as_slice(), &tar].concat()), "goes on behind its end"),
        ("a byte", gzip(&[tar.as_slice(), b"x"].concat()), "goes on behind its end"),
    ] {
        refuses(row, NAME, &bytes, &[], &[text]);
    }
}

#[test]
fn limits() {
    let size = linux().len() as u64;
    let files = || good().folder("f/").file("f/a", "12345");
    let at_most = |name: &str, value: u64| [format!("--max-{name}"), value.to_string()];
    for (row, option, says) in [
        ("entries", at_most("entries", 2), "too many entries"),
        ("bytes", at_most("unpacked-bytes", size + 4), "too large unpacked"),
    ] {
        let args = option.each_ref().map(String::as_str);
        refuses(row, NAME, &files().gz(), &args, &[says, "\"f/a\"", args[0]]);
    }
    let root = folder();
    let path = write(root.path(), NAME, files().gz());
    let exact = [at_most("entries", 3), at_most("unpacked-bytes", size + 5)].concat();
    run(publish(root.path().join("site"), &[path]).args(["--protocol", "6.0"]).args(exact)).succeeds();

    let many = (0..1_000).fold(good(), |archive, n| archive.file(&format!("f/{n}"), ""));
    refuses("the usual limit of entries", NAME, &many.gz(), &[], &["at most 1000", "--max-entries"]);
}

/// What an archive says that it holds decides, so a bomb costs no more than its headers. That nothing is read on shows
/// by the archive's end, which is missing.
#[test]
fn bombs_are_not_unpacked() {
    let large = 5 << 30;
    let bomb = |archive: Archive| gzip(&archive.raw(&vec![0; 16 << 20]).unended());
    let file = bomb(good().promise(EntryType::Regular, b"bomb", large));
    refuses("a large file", NAME, &file, &[], &["too large unpacked", "\"bomb\"", "--max-unpacked-bytes"]);
    let huge = bomb(good().promise(EntryType::Regular, b"bomb", 1 << 62));
    refuses("a huge file", NAME, &huge, &[], &["too large unpacked"]);
    let twice = good().promise(EntryType::Regular, b"a", 0).promise(EntryType::Regular, b"b", u64::MAX >> 1);
    refuses("a sum that overflows", NAME, &bomb(twice), &[], &["too large unpacked"]);
    for (row, kind) in [("pax", EntryType::XHeader), ("long name", EntryType::GNULongName)] {
        let header = bomb(good().promise(kind, b"x", large));
        refuses(row, NAME, &header, &[], &["an extension header is too large"]);
    }
    let headers =
        (0..60).fold(Archive::new(), |archive, _| archive.pax(EntryType::XHeader, &[("mtime", b"1")]));
    refuses(
        "many headers",
        NAME,
        &headers.gz(),
        &["--max-entries", "20"],
        &["two extension headers before one entry"],
    );
    let padded = [good().tar(), vec![0; 32 << 20]].concat();
    refuses("padding", NAME, &gzip(&padded), &[], &["goes on behind its end"]);
}

fn patched(mut bytes: Vec<u8>, at: usize, with: &[u8]) -> Vec<u8> {
    bytes[at..at + with.len()].copy_from_slice(with);
    bytes
}

fn half(bytes: &[u8]) -> Vec<u8> {
    bytes[..bytes.len() / 2].to_vec()
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn executables_of_something_else() {
    let exe = genuine_executable;
    let windows = exe("windows-amd64");
    let pe = u32::from_le_bytes(windows[0x3c..0x40].try_into().unwrap()) as usize;
    let name = |platform: &str| format!("terraform-provider-sample_1.2.0_{platform}.tar.gz");
    for (row, platform, bytes, found, expected) in [
        (
            "another architecture",
            "linux_amd64",
            exe("linux-arm64"),
            "ELF executable for arm64",
            "ELF executable for linux amd64",
        ),
        (
            "another architecture",
            "linux_arm64",
            exe("linux-amd64"),
            "ELF executable for amd64",
            "ELF executable for linux arm64",
        ),
        (
            "another architecture",
            "darwin_amd64",
            exe("darwin-arm64"),
            "Mach-O executable for darwin arm64",
            "Mach-O executable for darwin amd64",
        ),
        (
            "another architecture",
            "windows_386",
            exe("windows-amd64"),
            "PE executable for windows amd64",
            "PE executable for windows 386",
        ),
        (
            "darwin's on linux",
            "linux_arm64",
            exe("darwin-arm64"),
            "Mach-O executable for darwin arm64",
            "ELF executable for linux arm64",
        ),
        (
            "windows' on linux",
            "linux_amd64",
            exe("windows-amd64"),
            "PE executable for windows amd64",
            "ELF executable for linux amd64",
        ),
        (
            "freebsd's on linux",
            "linux_amd64",
            exe("freebsd-amd64"),
            "ELF executable for freebsd amd64",
            "ELF executable for linux amd64",
        ),
        (
            "linux's on freebsd",
            "freebsd_amd64",
            exe("linux-amd64"),
            "ELF executable for amd64",
            "ELF executable for freebsd amd64",
        ),
        (
            "linux's on windows",
            "windows_amd64",
            exe("linux-amd64"),
            "ELF executable for amd64",
            "PE executable for windows amd64",
        ),
        (
            "linux's on darwin",
            "darwin_arm64",
            exe("linux-arm64"),
            "ELF executable for arm64",
            "Mach-O executable for darwin arm64",
        ),
        (
            "object file",
            "linux_amd64",
            patched(exe("linux-amd64"), 16, &[1, 0]),
            "ELF object file (not linked) for amd64",
            "ELF",
        ),
        (
            "core dump",
            "linux_amd64",
            patched(exe("linux-amd64"), 16, &[4, 0]),
            "ELF file that is no executable",
            "ELF",
        ),
        (
            "dylib",
            "darwin_arm64",
            patched(exe("darwin-arm64"), 12, &[6, 0, 0, 0]),
            "Mach-O file that is no executable",
            "Mach-O",
        ),
        ("DLL", "windows_amd64", patched(windows.clone(), pe + 22, &[0x22, 0x20]), "PE library", "PE"),
        ("script", "linux_amd64", b"#!/bin/sh\nexec true\n".to_vec(), "a script", "ELF"),
        ("text", "linux_amd64", b"hello\n".to_vec(), "neither ELF, Mach-O nor PE", "ELF"),
        ("empty", "linux_amd64", Vec::new(), "an empty file", "ELF"),
        (
            "only magic",
            "linux_amd64",
            b"\x7fELF\x02\x01\x01".to_vec(),
            "an executable with damaged headers",
            "ELF",
        ),
        ("cut short", "windows_amd64", b"MZ".to_vec(), "an executable with damaged headers", "PE"),
        ("half", "linux_amd64", half(&exe("linux-amd64")), "an executable that is cut short", "ELF"),
        ("half", "linux_arm64", half(&exe("linux-arm64")), "an executable that is cut short", "ELF"),
        ("half", "darwin_arm64", half(&exe("darwin-arm64")), "an executable that is cut short", "Mach-O"),
        ("half", "windows_amd64", half(&windows), "an executable that is cut short", "PE"),
    ] {
        let archive = Archive::new().file("terraform-provider-sample", bytes);
        let problem = format!("terraform-provider-sample is not an executable for {platform}");
        let texts = [problem.as_str(), &format!("found:    {found}"), &format!("expected: {expected}")];
        refuses(&format!("{row}: {platform}"), &name(platform), &archive.gz(), &[], &texts);
    }
}

#[test]
fn a_bad_tarball_among_good_ones_stops_all() {
    let root = folder();
    let site = root.path().join("site");
    let bad = "terraform-provider-sample_1.2.0_windows_amd64.tar.gz";
    let paths = [
        tarball("release-1.2.0", "linux-amd64"),
        tarball("release-1.2.0", "darwin-arm64"),
        write(root.path(), bad, Archive::new().file("terraform-provider-sample.exe", "x").gz()),
    ];
    for jobs in ["1", "4"] {
        run(publish(&site, &paths).args(["--jobs", jobs])).refused(jobs, &[bad]);
        assert!(!site.exists());
    }
}

#[test]
fn dry_runs_into_the_wrong_place() {
    let root = folder();
    let (site, other) = (root.path().join("site"), root.path().join("other"));
    std::fs::create_dir_all(&other).unwrap();
    write(&other, "file", "x");
    std::fs::create_dir_all(root.path().join("empty")).unwrap();
    let tarballs = [tarball("release-1.2.0", "linux-amd64")];
    for (row, preview, text) in [
        ("not empty", "other", "a directory with files in it"),
        ("the target", "site", "a directory of the target itself"),
        ("inside the target", "site/preview", "a directory of the target itself"),
        ("inside the target, said otherwise", "empty/../site/./preview", "a directory of the target itself"),
    ] {
        let preview = root.path().join(preview);
        let ran = run(publish(&site, &tarballs).arg("--dry-run").arg(&preview));
        ran.refused(row, &[&format!("{}: not a place for a dry run", preview.display()), text]);
        assert_eq!(tree(root.path()).into_keys().collect::<Vec<_>>(), ["other/file"], "{row}");
        assert!(!site.exists(), "{row}");
    }
    run(publish(&site, &tarballs).arg("--dry-run").arg(other.join("file"))).fails(1, &["other/file"]);
}

/// A link to the target's folder leads into the target as well.
#[test]
fn a_dry_run_into_the_target_by_a_link() {
    let root = folder();
    let (site, link) = (root.path().join("site"), root.path().join("link"));
    std::fs::create_dir(&site).unwrap();
    std::os::unix::fs::symlink(&site, &link).unwrap();
    let tarballs = [tarball("release-1.2.0", "linux-amd64")];
    for (target, preview) in
        [(&site, link.join("preview")), (&link, site.join("preview")), (&link, site.clone())]
    {
        let ran = run(publish(target, &tarballs).arg("--dry-run").arg(&preview));
        ran.refused("link", &["a directory of the target itself"]);
        assert_eq!(std::fs::read_dir(&site).unwrap().count(), 0);
    }
}

#[test]
fn files_that_cannot_be_read() {
    let good = tarball("release-1.2.0", "linux-amd64");
    let root = folder();
    let (missing, site) = (root.path().join("missing"), root.path().join("site"));
    let absent = root.path().join(NAME);
    run(publish(&site, std::slice::from_ref(&absent)).args(["--protocol", "6.0"]))
        .fails(1, &[&format!("cannot open {}", absent.display()), "No such file"]);
    run(publish(&site, std::slice::from_ref(&good)).arg("--signing-passphrase-file").arg(&missing))
        .fails(1, &["--signing-passphrase-file", "No such file"]);
    let mut no_key = tfreg();
    no_key.arg("publish").arg("--to").arg(&site).args(["--namespace", "acme", "--signing-key-file"]);
    run(no_key.arg(&missing).arg(&good))
        .fails(1, &[&format!("cannot read {}", missing.display()), "No such file"]);

    let folder_named_so = root.path().join("terraform-provider-sample_1.2.0_linux_arm64.tar.gz");
    std::fs::create_dir(&folder_named_so).unwrap();
    run(publish(&site, std::slice::from_ref(&folder_named_so)).args(["--protocol", "6.0"]))
        .fails(3, &[&folder_named_so.display().to_string(), "not a regular file", "remedy:"]);

    std::fs::copy(&good, &absent).unwrap();
    let sidecar = root.path().join(format!("{NAME}.sha256"));
    std::fs::create_dir(&sidecar).unwrap();
    run(publish(&site, std::slice::from_ref(&absent)).args(["--protocol", "6.0"]))
        .fails(3, &[&sidecar.display().to_string(), "not a small file", "remedy:"]);
    std::fs::remove_dir(&sidecar).unwrap();
    std::fs::create_dir(root.path().join(MANIFEST)).unwrap();
    run(publish(&site, std::slice::from_ref(&absent)).args(["--protocol", "6.0"]))
        .fails(3, &[MANIFEST, "not a small file", "remedy:"]);
    // To open a named pipe would be to wait for ever.
    std::fs::remove_dir(root.path().join(MANIFEST)).unwrap();
    named_pipe(&sidecar);
    run(publish(&site, std::slice::from_ref(&absent)).args(["--protocol", "6.0"]))
        .fails(3, &["not a small file"]);
    assert!(!site.exists());

    let file = write(root.path(), "file", "x");
    run(&mut publish(&file, std::slice::from_ref(&good))).fails(1, &[&file.display().to_string()]);
    assert_eq!(std::fs::read(&file).unwrap(), b"x");
    run(&mut publish(file.join("site"), &[good])).fails(1, &[&file.display().to_string()]);
}

#[test]
fn command_lines_that_make_no_sense() {
    let tarball = tarball("release-1.2.0", "linux-amd64");
    let (tarball, key) = (tarball.to_str().unwrap(), key("ed25519.asc"));
    let key = key.to_str().unwrap();
    let (to, namespace, signing) = (["--to", "site"], ["--namespace", "acme"], ["--signing-key-file", key]);
    let whole = [&["publish"], &to[..], &namespace, &signing, &[tarball]].concat();
    let with = |more: &[&'static str]| [whole.as_slice(), more].concat();
    for (row, args, text) in [
        ("nothing", vec![], "Usage: tfreg"),
        ("unknown command", vec!["publsh"], "'publish'"),
        ("unknown option", with(&["--force"]), "--force"),
        ("no target", [&["publish"], &namespace[..], &signing, &[tarball]].concat(), "--to <TARGET>"),
        ("no namespace", [&["publish"], &to[..], &signing, &[tarball]].concat(), "--namespace <NS>"),
        ("no key", [&["publish"], &to[..], &namespace, &[tarball]].concat(), "no signing key"),
        (
            "upper-case namespace",
            [&["publish", "--namespace", "Acme"], &to[..], &signing, &[tarball]].concat(),
            "write \"acme\"",
        ),
        (
            "namespace with a slash",
            [&["publish", "--namespace", "a/b"], &to[..], &signing, &[tarball]].concat(),
            "dashes are allowed",
        ),
        (
            "empty namespace",
            [&["publish", "--namespace", ""], &to[..], &signing, &[tarball]].concat(),
            "--namespace",
        ),
        (
            "empty target",
            [&["publish", "--to", ""], &namespace[..], &signing, &[tarball]].concat(),
            "--to <TARGET>",
        ),
        (
            "target on the web",
            [&["publish", "--to", "https://example.com/"], &namespace[..], &signing, &[tarball]].concat(),
            "https:// cannot be written to",
        ),
        (
            "target without a bucket",
            [&["publish", "--to", "s3://"], &namespace[..], &signing, &[tarball]].concat(),
            "s3://",
        ),
        (
            "target with one slash",
            [&["publish", "--to", "s3:/bucket"], &namespace[..], &signing, &[tarball]].concat(),
            "s3:/bucket",
        ),
        ("protocol 4", with(&["--protocol", "4.0"]), "--protocol: \"4.0\" is no valid protocol"),
        ("protocol v6", with(&["--protocol", "v6.0"]), "expected MAJOR.MINOR"),
        ("one bad protocol of two", with(&["--protocol", "6.0,x"]), "\"x\" is no valid protocol"),
        ("no jobs", with(&["--jobs", "0"]), "--jobs <N>"),
        ("many jobs", with(&["--jobs", "257"]), "--jobs <N>"),
        ("half a version", with(&["--expect-version", "1.2"]), "--expect-version <V>"),
        ("half a platform", with(&["--expect-platform", "linux"]), "OS_ARCH"),
        ("relative base", with(&["--base-url", "store/"]), "--base-url: "),
        ("no time", with(&["--contention-timeout", "soon"]), "90s or 5m"),
        ("negative limit", with(&["--max-entries=-1"]), "--max-entries <N>"),
        ("fractional limit", with(&["--max-unpacked-bytes", "1.5"]), "--max-unpacked-bytes <BYTES>"),
        ("negative age", with(&["--document-max-age=-1"]), "--document-max-age <SECONDS>"),
        ("quiet and verbose", with(&["--quiet", "--verbose"]), "cannot be used with"),
        ("unknown format", with(&["--format", "yaml"]), "human, json"),
    ] {
        let root = folder();
        let ran = run(tfreg().args(args).current_dir(root.path()));
        assert_eq!(ran.code, 2, "{row}: {ran:#?}");
        assert!(ran.stderr.contains(text), "{row}: expected {text:?}: {ran:#?}");
        assert_eq!(ran.stdout, "", "{row}");
        assert!(tree(root.path()).is_empty(), "{row}: something was written");
        assert!(!root.path().join("site").exists(), "{row}: the target was made");
    }
}

#[test]
fn a_refusal_as_json() {
    let root = folder();
    let site = root.path().join("site");
    let path = write(root.path(), NAME, Archive::new().file("LICENSE", "x").gz());
    let ran = run(publish(&site, &[path]).args(["--protocol", "6.0", "--format", "json"]))
        .fails(3, &["no provider executable"]);
    let value: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert!(value.to_string().contains("no provider executable"), "{value:#}");
    assert!(!site.exists());
}

// What is taken.

/// Publishes one tarball, and gives the zip's entries: name, mode, contents.
#[track_caller]
fn published(row: &str, name: &str, bytes: &[u8], args: &[&str]) -> Vec<(String, u32, Vec<u8>)> {
    let root = folder();
    let site = root.path().join("site");
    let path = write(root.path(), name, bytes);
    let ran = run(publish(&site, &[path]).args(["--protocol", "6.0"]).args(args));
    assert_eq!(ran.code, 0, "{row}: {ran:#?}");
    entries(&site)
}

/// The entries of the one zip in a registry.
fn entries(site: &Path) -> Vec<(String, u32, Vec<u8>)> {
    let files = tree(site);
    let mut zips = files.iter().filter(|(name, _)| Path::new(name).extension() == Some("zip".as_ref()));
    let (_, bytes) = zips.next().unwrap();
    assert!(zips.next().is_none(), "more than one zip");
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bytes)).unwrap();
    let mut entries = Vec::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).unwrap();
        assert!(!entry.is_dir(), "a folder's entry breaks the h1: hash");
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        let name = String::from_utf8(entry.name_raw().to_vec()).unwrap();
        entries.push((name, entry.unix_mode().unwrap(), content));
    }
    entries
}

const EXECUTABLE_MODE: u32 = 0o100_755;
const PLAIN_MODE: u32 = 0o100_644;

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
fn executables_that_are_taken() {
    let windows = genuine_executable("windows-amd64");
    let windows_name = "terraform-provider-sample_1.2.0_windows_amd64.tar.gz";
    for (name, path, bytes, expected) in [
        (NAME, "terraform-provider-sample", &linux(), EXECUTABLE),
        (NAME, "./terraform-provider-sample", &linux(), EXECUTABLE),
        (NAME, EXECUTABLE, &linux(), EXECUTABLE),
        (NAME, "terraform-provider-sample_1.2.0", &linux(), EXECUTABLE),
        (NAME, "terraform-provider-sample_v1.2.0_x5", &linux(), EXECUTABLE),
        (NAME, "any folder/terraform-provider-sample", &linux(), EXECUTABLE),
        (NAME, "terraform-provider-sample/terraform-provider-sample_v1.2.0", &linux(), EXECUTABLE),
        (NAME, "terraform-provider-sample_v1.2.0/terraform-provider-sample", &linux(), EXECUTABLE),
        (windows_name, "terraform-provider-sample.exe", &windows, "terraform-provider-sample_v1.2.0.exe"),
        (windows_name, "terraform-provider-sample", &windows, "terraform-provider-sample_v1.2.0.exe"),
        (
            windows_name,
            "f/terraform-provider-sample_v1.2.0.exe",
            &windows,
            "terraform-provider-sample_v1.2.0.exe",
        ),
    ] {
        let archive = Archive::new().file(path, bytes);
        let expected = vec![(expected.to_owned(), EXECUTABLE_MODE, bytes.clone())];
        assert_eq!(published(path, name, &archive.gz(), &[]), expected, "{path}");
    }
}

#[test]
fn the_zip_has_the_tarballs_files_in_its_order() {
    let long = format!("f/{}/{}", "d".repeat(90), "x".repeat(120));
    let release = "terraform-provider-sample_1.2.0_manifest.json";
    let archive = Archive::new()
        .posix()
        .pax(EntryType::XGlobalHeader, &[("comment", b"0123456789abcdef")])
        .folder("./")
        .folder("f/")
        .file("f/README.md", "read me")
        .file("./LICENSE", "license")
        .pax(EntryType::XHeader, &[("path", long.as_bytes()), ("mtime", b"1.5")])
        .file("short", "long")
        .file("f/terraform-provider-sample", linux())
        .file(MANIFEST, protocols(r#""6.0""#))
        .file(release, protocols(r#""6.0""#))
        .folder("empty/")
        .file("f/terraform-provider-sample.md", "text")
        .file("terraform-provider-samples", "near")
        .file("f/nothing", "");
    let plain = |name: &str, content: &str| (name.to_owned(), PLAIN_MODE, content.as_bytes().to_vec());
    let expected = vec![
        plain("f/README.md", "read me"),
        plain("LICENSE", "license"),
        plain(&long, "long"),
        (EXECUTABLE.to_owned(), EXECUTABLE_MODE, linux()),
        plain(MANIFEST, &protocols(r#""6.0""#)),
        plain("f/terraform-provider-sample.md", "text"),
        plain("terraform-provider-samples", "near"),
        plain("f/nothing", ""),
    ];
    let tar = archive.tar();
    assert_eq!(published("plain", NAME, &gzip(&tar), &[]), expected);
    // Several gzip members are one file, and tar pads to its record size.
    let members = [gzip(&tar[..1_000]), gzip(&tar[1_000..]), gzip(&[0; 9_216])].concat();
    assert_eq!(published("members and padding", NAME, &members, &[]), expected);
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

#[test]
fn release_builds_as_they_are() {
    for release in ["release-1.2.0", "release-1.10.0"] {
        let root = folder();
        let site = root.path().join("site");
        let path = tarball(release, "linux");
        run(publish(&site, &[path]).current_dir(testdata(""))).succeeds();
        let entries = entries(&site);
        let modes: Vec<_> = entries.iter().map(|(name, mode, _)| (name.as_str(), *mode)).collect();
        let expected: &[(&str, u32)] = if release == "release-1.2.0" {
            &[
                ("terraform-provider-sample/CHANGELOG.md", PLAIN_MODE),
                ("terraform-provider-sample/LICENSE", PLAIN_MODE),
                ("terraform-provider-sample/README.md", PLAIN_MODE),
                (EXECUTABLE, EXECUTABLE_MODE),
            ]
        } else {
            &[
                ("LICENSE", PLAIN_MODE),
                ("terraform-provider-sample_v1.10.0", EXECUTABLE_MODE),
                (MANIFEST, PLAIN_MODE),
            ]
        };
        assert_eq!(modes, expected, "{release}");
    }
}
