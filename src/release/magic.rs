//! Recognises files that are not gzip-compressed tar files by their first bytes, and says what to do about them.

use super::file::ArtifactFile;
use super::tar;
use crate::error::Refusal;

/// How many bytes [`not_gzip`] and [`not_tar`] read.
pub(super) const LOOKED_AT: usize = 512;

/// The remedy for a file.
enum Fix {
    /// A program that writes the tar file to standard output.
    Unpack(&'static str),
    /// The file is not a release at all: fetch it again.
    Fetch,
    /// Another remedy, in which NAME stands for the tarball's name.
    Other(&'static str),
}

/// Files by their first bytes: their description and their remedy.
const MAGICS: &[(&[u8], &str, Fix)] = &[
    (b"\x28\xb5\x2f\xfd", "a Zstandard file", Fix::Unpack("zstd -dc")),
    (b"\xfd7zXZ\0", "an xz file", Fix::Unpack("xz -dc")),
    (b"BZh", "a bzip2 file", Fix::Unpack("bzip2 -dc")),
    (b"\x04\x22\x4d\x18", "an LZ4 file", Fix::Unpack("lz4 -dc")),
    (b"LZIP", "an lzip file", Fix::Unpack("lzip -dc")),
    (b"\x1f\x9d", "a file that the program compress made", Fix::Unpack("gzip -dc")),
    (b"\x1f\x8b", "a gzip file", Fix::Unpack("gzip -dc")),
    (b"PK\x03\x04", "a zip file", Fix::Other(UNZIP)),
    (b"PK\x05\x06", "an empty zip file", Fix::Other(MAKE)),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip file", Fix::Other(MAKE)),
    (b"Rar!", "a RAR file", Fix::Other(MAKE)),
    (b"\x7fELF", "an executable (ELF)", Fix::Other(PACK)),
    (b"MZ", "an executable (PE)", Fix::Other(PACK)),
    (b"\xcf\xfa\xed\xfe", "an executable (Mach-O)", Fix::Other(PACK)),
    (b"version https://git-lfs.github.com/", "a pointer of Git LFS", Fix::Other(LFS)),
    (b"-----BEGIN PGP", "an OpenPGP key or message", Fix::Other(NAMED_SO)),
];

const MAKE: &str = "have the release build make a tar file and compress it with gzip: `tar -czf NAME FILES`";
const UNZIP: &str = "have the release build make a tar file and compress it with gzip (GoReleaser: `formats: [tar.gz]` under \
                     `archives`); or convert this one: `unzip -q NAME -d NAME.files && tar -C NAME.files -czf NAME.new . && \
                     mv NAME.new NAME`";
const PACK: &str = "put the executable into a tar file: `tar -czf NAME EXECUTABLE`";
const LFS: &str = "fetch the file that it stands for: `git lfs pull`";
const NAMED_SO: &str = "give the tarball itself; another file has its name";
const FETCH: &str = "fetch it again with `curl --fail --location`, and with the credentials that the address needs: what was \
                     saved is a server's answer, not the file";
const UNKNOWN: &str = "a file of an unknown kind";
const EXPECTED: &str = "a tar file, compressed with gzip";

/// The refusal of `tarball`, which begins with `head` and is not a gzip file.
pub(super) fn not_gzip(tarball: &ArtifactFile, head: &[u8]) -> Refusal {
    let refusal = Refusal::new(tarball.display(), "not a gzip-compressed tar file").expected(EXPECTED);
    if head.is_empty() {
        return refusal.found("an empty file").remedy(
            "fetch or build the tarball again: a download or a build has stopped before its first byte",
        );
    }
    if is_tar(head) {
        return refusal.found("a tar file that is not compressed").remedy(convert(tarball, &["gzip -n"]));
    }
    let (what, fix) = guess(head);
    let remedy = match fix {
        Fix::Unpack(program) => convert(tarball, &[program, "gzip -n"]),
        Fix::Fetch => FETCH.to_owned(),
        Fix::Other(text) => text.replace("NAME", tarball.name()),
    };
    refusal.found(what).remedy(remedy)
}

/// The refusal of the gzip file `tarball`, whose contents begin with `head` and are not a tar file.
pub(super) fn not_tar(tarball: &ArtifactFile, head: &[u8]) -> Refusal {
    let refusal = Refusal::new(tarball.display(), "no tar file in the gzip file").expected(EXPECTED);
    if head.is_empty() {
        return refusal.found("nothing in the gzip file").remedy("build the tarball again");
    }
    let (what, fix) = guess(head);
    if what == UNKNOWN && head.len() < LOOKED_AT {
        return Refusal::new(tarball.display(), "the archive is cut short")
            .found(format!("{} bytes in the gzip file", head.len()))
            .expected(EXPECTED)
            .remedy("fetch or build the tarball again");
    }
    let remedy = match fix {
        // Removing one layer of compression is enough.
        Fix::Unpack("gzip -dc") if head.starts_with(&GZIP) => convert(tarball, &["gzip -dc"]),
        Fix::Unpack(program) => convert(tarball, &["gzip -dc", program, "gzip -n"]),
        Fix::Fetch => FETCH.to_owned(),
        Fix::Other(PACK) => PACK.replace("NAME", tarball.name()),
        Fix::Other(_) => MAKE.replace("NAME", tarball.name()),
    };
    let twice = if head.starts_with(&GZIP) { ": it is compressed twice" } else { "" };
    refusal.found(format!("{what} in the gzip file{twice}")).remedy(remedy)
}

/// The first bytes of a gzip file (RFC 1952 2.3.1).
pub(super) const GZIP: [u8; 2] = [0x1f, 0x8b];

/// A shell command, to be run in the tarball's folder, that replaces the file with the output of the programs.
fn convert(tarball: &ArtifactFile, programs: &[&str]) -> String {
    let name = tarball.name();
    let (first, rest) = programs.split_first().unwrap_or((&"cat", &[]));
    let pipe: String = rest.iter().fold(String::new(), |pipe, program| pipe + " | " + program);
    format!(
        "have the release build compress the tar file with gzip; or convert this one: \
         `{first} <{name}{pipe} >{name}.new && mv {name}.new {name}`"
    )
}

fn guess(head: &[u8]) -> (&'static str, &'static Fix) {
    if let Some((_, what, fix)) = MAGICS.iter().find(|(magic, _, _)| head.starts_with(magic)) {
        return (what, fix);
    }
    let Some(text) = text(head) else {
        return (UNKNOWN, &Fix::Other(MAKE));
    };
    let text = text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
    match text.chars().next() {
        Some('<') if text.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("<?xml")) => {
            ("an XML document", &Fix::Fetch)
        }
        Some('<') => ("an HTML page", &Fix::Fetch),
        Some('{' | '[') => ("a JSON document", &Fix::Fetch),
        _ => ("a text file", &Fix::Fetch),
    }
}

/// The text at the beginning of a file, if it is one.
fn text(head: &[u8]) -> Option<&str> {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // `head` ends inside a character.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(head.get(..error.valid_up_to())?).ok()?
        }
        Err(_) => return None,
    };
    let is_text = |c: char| !c.is_control() || matches!(c, '\t' | '\r' | '\n');
    text.chars().all(is_text).then_some(text)
}

/// Whether `head` has a whole tar header.
fn is_tar(head: &[u8]) -> bool {
    head.first_chunk().is_some_and(tar::is_likely)
}
