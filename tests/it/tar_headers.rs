//! Headers of tar files that tar programs read differently: each kind by its name. What is wrong, where, and what to do is said.
//!
//! `tar_differential.rs` holds to the other programs whatever is taken; here are the refusals, one by one.

use std::path::Path;

use tar::EntryType;

use crate::refusals::{NAME, good, refuses};
use crate::support::archive::{Archive, gzip, write};
use crate::support::{folder, publish, run};

/// Where the header of the file behind [`good`]'s begins.
fn second() -> usize {
    good().unended().len()
}

/// A tar file with another one behind the executable, in whose header `patches` are put; its checksum is right.
fn patched(behind: Archive, patches: &[(usize, &[u8])]) -> Vec<u8> {
    let mut tar = [good().unended(), behind.tar()].concat();
    let header = &mut tar[second()..][..512];
    for (at, bytes) in patches {
        header[*at..*at + bytes.len()].copy_from_slice(bytes);
    }
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    gzip(&tar)
}

fn license() -> Archive {
    Archive::new().file("LICENSE", "x")
}

#[test]
fn fields_that_are_read_differently() {
    let posix: (usize, &[u8]) = (257, b"ustar\x0000");
    refuses(
        "as it is, but for the protocol",
        NAME,
        &patched(license(), &[]),
        &["--expect-type", "x"],
        &["another provider"],
    );
    for (row, patches, texts) in [
        (
            "magic of POSIX without a version",
            &[(257, &b"ustar\0\0\0"[..])][..],
            &["its magic and version"][..],
        ),
        ("version of GNU behind POSIX' magic", &[(257, b"ustar\0 \0")], &["its magic and version"]),
        ("another version", &[(257, b"ustar\x0001")], &["its magic and version", "ustar\\x0001"]),
        ("upper case", &[(257, b"USTAR\x0000")], &["its magic and version"]),
        ("v7", &[(257, &[0; 8])], &["the old v7 format", "tar --format=ustar"]),
        ("size with a sign", &[(124, b"+0000000001\0")], &["its size is no number", "\"+0000000001"]),
        ("size with text", &[(124, b"00000000001x")], &["its size is no number"]),
        ("size in decimal", &[(124, b"00000000008\0")], &["its size is no number"]),
        ("size behind NUL", &[(124, b"\x000000000001\0")], &["its size is no number"]),
        (
            "base-256 that begins with 0x81",
            &[(124, b"\x81\0\0\0\0\0\0\0\0\0\0\x01")],
            &["its size is no number", "0x80"],
        ),
        (
            "base-256 that begins with 0xc0",
            &[(124, b"\xc0\0\0\0\0\0\0\0\0\0\0\x01")],
            &["its size is no number"],
        ),
        (
            "negative",
            &[(124, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")],
            &["its size is no number"],
        ),
        ("base-256 of 96 bits", &[(124, b"\x80\x01\0\0\0\0\0\0\0\0\0\x01")], &["its size is no number"]),
        ("owner", &[(108, b"garbage!")], &["its uid is no number", "\"garbage!\""]),
        ("group", &[(116, b"-0000001")], &["its gid is no number"]),
        ("owner of more than 32 bits", &[(108, b"\x80\0\0\x01\0\0\0\0")], &["its uid is too large"]),
        ("time", &[(136, b"1.500000000\0")], &["its time of modification is no number"]),
        ("mode", &[(100, b"rwxr-xr-")], &["its mode is no number"]),
        ("mode of a folder", &[(100, b"0040755\0")], &["its mode has a file type that is not its own"]),
        ("device", &[posix, (329, b"garbage!")], &["its device number is no number"]),
        ("link name", &[(157, b"target")], &["it has a link name, and is no link"]),
        ("name behind NUL", &[(0, b"LIC\0ENSE")], &["its name has a NUL byte inside"]),
        ("user's name behind NUL", &[(265, b"root\0x")], &["its user name has a NUL byte inside"]),
        ("prefix behind NUL", &[posix, (345, b"d\0e")], &["its prefix has a NUL byte inside"]),
        ("prefix in GNU's header", &[(345, b"prefix")], &["it has data behind the device numbers"]),
        ("behind the prefix", &[posix, (500, b"x")], &["it has data behind the prefix"]),
        (
            "folder by its name only",
            &[(0, b"folder/\0"), (156, b"\0")],
            &["it has no type, and a name that ends with a slash"],
        ),
        ("pax header of GNU's", &[(156, b"x")], &["its type flag does not belong to its magic"]),
        ("GNU's long name of POSIX'", &[posix, (156, b"L")], &["its type flag does not belong to its magic"]),
    ] {
        refuses(row, NAME, &patched(license(), patches), &[], texts);
    }
    let mut tar = [good().unended(), license().tar()].concat();
    tar[second() + 1] ^= 1;
    refuses("checksum", NAME, &gzip(&tar), &[], &["its checksum is wrong"]);
}

#[test]
fn pax_records_that_are_read_differently() {
    let pax = |records: &[u8]| {
        let entry = Archive::new().entry(EntryType::XHeader, b"pax", records);
        [good().unended(), entry.posix().file("LICENSE", "x").tar()].concat()
    };
    for (row, records, text) in [
        ("too long", &b"11 path=b\n"[..], "a malformed record"),
        ("too short", b"8 path=b\n", "a malformed record"),
        ("zero before the length", b"09 path=b\n", "a malformed record"),
        ("sign before the length", b"+9 path=b\n", "a malformed record"),
        ("space before the length", b" 9 path=b\n", "a malformed record"),
        ("tab", b"9\tpath=b\n", "a malformed record"),
        ("no line end", b"9 path=bc", "a malformed record"),
        ("no value", b"7 path\n", "a malformed record"),
        ("nothing", b"", "its pax header is empty"),
        ("space before the keyword", b"11  path=b\n", "a keyword that tar programs read differently"),
        ("space behind the keyword", b"11 path =b\n", "a keyword that tar programs read differently"),
        ("no keyword", b"5 =b\n", "a keyword that tar programs read differently"),
        ("twice", b"9 path=b\n9 path=c\n", "a keyword twice"),
        ("empty name", b"8 path=\n", "a bad value for \"path\""),
        ("NUL in the name", b"12 path=b\0c\n", "a bad value for \"path\""),
        ("size with a sign", b"11 size=+1\n", "a bad value for \"size\""),
        ("time that is no number", b"13 mtime=nan\n", "a bad value for \"mtime\""),
        ("link's name", b"14 linkpath=b\n", "a keyword that is not supported"),
        ("character set", b"21 hdrcharset=BINARY\n", "a keyword that is not supported"),
        ("another program's", b"12 VENDOR=x\n", "a keyword that is not supported"),
        ("access control list", b"28 SCHILY.acl.access=u::---\n", "an access control list"),
    ] {
        refuses(row, NAME, &gzip(&pax(records)), &[], &[text]);
    }
    // The same records, as they should be.
    let root = folder();
    let taken = write(root.path(), NAME, gzip(&pax(b"9 path=b\n11 mtime=1\n")));
    run(publish(root.path().join("site"), &[taken]).args(["--protocol", "6.0"])).succeeds();
    assert!(Path::new(&root.path().join("site/registry")).exists());
}

#[test]
fn extension_headers_out_of_place() {
    let comment: &[(&str, &[u8])] = &[("comment", b"0123456789abcdef")];
    let global = |archive: Archive| archive.pax(EntryType::XGlobalHeader, comment);
    let path: &[(&str, &[u8])] = &[("path", b"b")];
    for (row, archive, text) in [
        ("a global pax header at the end", global(good()), "an extension header without its entry"),
        (
            "a pax header at the end",
            good().pax(EntryType::XHeader, path),
            "an extension header without its entry",
        ),
        (
            "a long name at the end",
            good().entry(EntryType::GNULongName, b"././@LongLink", b"b\0"),
            "an extension header without its entry",
        ),
        (
            "two pax headers",
            good().pax(EntryType::XHeader, path).pax(EntryType::XHeader, path).posix().file("c", ""),
            "two extension headers before one entry",
        ),
        (
            "two long names",
            good()
                .entry(EntryType::GNULongName, b"././@LongLink", b"a\0")
                .entry(EntryType::GNULongName, b"././@LongLink", b"b\0")
                .file("c", ""),
            "two extension headers before one entry",
        ),
        (
            "a global pax header between a pax header and its entry",
            global(good().pax(EntryType::XHeader, path)).posix().file("c", ""),
            "two extension headers before one entry",
        ),
        (
            "a pax header before an entry of GNU's",
            good().pax(EntryType::XHeader, path).file("c", ""),
            "of different formats",
        ),
        (
            "a long name before an entry of POSIX'",
            good().entry(EntryType::GNULongName, b"././@LongLink", b"b\0").posix().file("c", ""),
            "of different formats",
        ),
        (
            "a long name with two ends",
            good().entry(EntryType::GNULongName, b"././@LongLink", b"b\0c\0").file("c", ""),
            "a long name is empty or has a NUL byte inside",
        ),
        (
            "a size for all",
            good().pax(EntryType::XGlobalHeader, &[("size", b"1")]).file("c", ""),
            "a global pax header changes more",
        ),
        (
            "a link's name for all",
            good().pax(EntryType::XGlobalHeader, &[("linkpath", b"b")]).file("c", ""),
            "a global pax header changes more",
        ),
        (
            "nine global pax headers",
            (0..9).fold(good(), |archive, _| global(archive)).file("c", ""),
            "too many",
        ),
    ] {
        refuses(row, NAME, &archive.gz(), &[], &[text]);
    }
    let unclean = Archive::new().entry(EntryType::XHeader, b"pax", b"9 path=b\n");
    let mut tar = [good().unended(), unclean.posix().file("c", "").tar()].concat();
    let end = second() + 512 + 511;
    tar[end] = b'x';
    refuses("behind the records", NAME, &gzip(&tar), &[], &["an extension header has data behind its end"]);
}

#[test]
fn a_name_of_macos_is_told_what_it_is() {
    let hidden = |name: &str| good().file(name, "\0\x05\x16\x07\0\x02\0\0");
    let texts = ["ends in a dot", "\"._.\"", "COPYFILE_DISABLE=1"];
    refuses("the folder's own", NAME, &hidden("./._.").gz(), &[], &texts);
    let root = folder();
    let taken = write(root.path(), NAME, hidden("._LICENSE").gz());
    run(publish(root.path().join("site"), &[taken]).args(["--protocol", "6.0"])).succeeds();
}
