//! Contents of tarballs: the names and kinds of their entries, where the archive ends, and how large it may be.

use tar::EntryType;

use super::{
    EXECUTABLE, EXECUTABLE_MODE, MANIFEST, NAME, PLAIN_MODE, entries, good, linux, protocols, published,
    refuses,
};
use crate::support::archive::{Archive, gzip, noise, write};
use crate::support::{folder, publish, run, tarball, testdata};

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
