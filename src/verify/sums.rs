//! SHA256SUMS: its format, and what it must list.

use std::collections::{BTreeMap, BTreeSet};

use crate::content::Digest;
use crate::reader::Fetched;
use crate::registry::Checksums;

use super::download::Download;
use super::finding::{Finding, Group, Rule, Severity, rules};
use super::served;

rules! { Checksums:
    MISSING = "checksums-missing", Error,
        "the SHA256SUMS of a version is not there",
        "terraform init says: failed to retrieve authentication checksums for provider",
        "publish the version's tarballs again";
    UNREADABLE = "checksums-unreadable", Error,
        "the SHA256SUMS of a version cannot be read",
        "terraform init says: failed to retrieve authentication checksums for provider",
        "let the CDN or web server answer it with the status 200";
    /// Source: `signatureAuthentication.AcceptableHashes` splits each line, and looks at the first word without asking
    /// whether there is one.
    BLANK_LINE = "checksums-blank-line", Error,
        "SHA256SUMS has a blank line",
        "terraform init crashes",
        "publish the version's tarballs again; nothing may change the file on its way";
    /// Source: the same; a line that is no checksum makes it give up the whole file.
    LINE = "checksums-line", Error,
        "a line of SHA256SUMS is not a checksum, two spaces and a name",
        "every other checksum of the file is left out of lock files, or the next publish refuses it",
        "publish the version's tarballs again; nothing may change the file on its way";
    /// Source: clients compare the second word with the file name.
    NAME = "checksums-name", Error,
        "a name in SHA256SUMS begins with * or has a folder",
        "clients do not find the zip: terraform init says that the checksum list has no SHA-256 hash for it",
        "write it as sha256sum writes it for text files, without * and without ./";
    END = "checksums-end", Error,
        "the last line of SHA256SUMS is not ended",
        "the file was cut off, or changed: the next publish refuses it",
        "publish the version's tarballs again";
    DUPLICATE = "checksums-duplicate", Error,
        "SHA256SUMS names a file twice",
        "which of the two counts, clients do not agree on",
        "publish the version's tarballs again";
    /// Source: every line of a signed SHA256SUMS goes into lock files as a `zh:` hash; see gravitational/teleport#42450.
    LACKS_PLATFORM = "checksums-lack-platform", Error,
        "SHA256SUMS does not list a platform of the version",
        "lock files made elsewhere do not hold its checksum: colleagues on that platform are told that it does not match",
        "publish the version's tarballs again, all in one run";
    /// Source: clients refuse a zip whose checksum the signed file does not confirm.
    DIFFERS = "checksums-differ", Error,
        "a download document names another checksum than SHA256SUMS",
        "terraform init on that platform says that the checksum does not match",
        "publish the platform's tarball again";
    FOREIGN_LINE = "checksums-foreign-line", Warning,
        "SHA256SUMS lists a file that is no zip of the version",
        "it goes into every lock file for nothing",
        "leave it out of the next release";
    FOLDER = "object-folder", Warning,
        "an object's folder is not named by its SHA-256",
        "what is under a write-once key was changed, or was not written by tfreg",
        "look at the object; publish the version again under the next number";
}

/// The checksums of a file, by file name, as far as it can be parsed.
pub(super) type Sums = BTreeMap<String, Digest>;

/// Checks the format.
pub(super) fn check(subject: &str, document: &Fetched) -> (Vec<Finding>, Sums) {
    let mut findings = Vec::new();
    let mut sums = Sums::new();
    let text = String::from_utf8_lossy(&document.bytes);
    let checksum = |line: &str| line.split(' ').next().is_some_and(|word| word.parse::<Digest>().is_ok());
    if !text.trim().is_empty() && !text.lines().any(checksum) {
        // It may be an answer of any server, which does not belong in a log.
        let found = format!("{}, and no line begins with a checksum", served::shape(document));
        findings.push(LINE.at(subject).found(found).expected("64 hex digits, two spaces, the name"));
        return (findings, sums);
    }
    let body = text.strip_suffix('\n');
    if body.is_none() {
        findings.push(END.at(subject).found("no line end behind the last line").expected("a line feed"));
    }
    for (index, line) in body.unwrap_or(&text).split('\n').enumerate() {
        let number = index + 1;
        match parse(line) {
            Ok((digest, name)) => {
                if sums.insert(name.to_owned(), digest).is_some() {
                    let found = format!("line {number}: {name} again");
                    findings.push(DUPLICATE.at(subject).found(found).expected("each name once"));
                }
            }
            Err(rule) => {
                let shown: String = line.chars().take(100).collect();
                let found = format!("line {number}: {shown:?}");
                findings.push(rule.at(subject).found(found).expected("64 hex digits, two spaces, the name"));
            }
        }
    }
    (findings, sums)
}

fn parse(line: &str) -> Result<(Digest, &str), &'static Rule> {
    if line.trim().is_empty() {
        return Err(&BLANK_LINE);
    }
    let (hex, name) = line.split_once(' ').ok_or(&LINE)?;
    let digest = hex.parse().map_err(|_| &LINE)?;
    if let Some(rest) = name.strip_prefix([' ', '*'])
        && (rest.starts_with('*') || name.starts_with('*') || rest.contains('/'))
    {
        return Err(&NAME);
    }
    let name = name.strip_prefix(' ').ok_or(&LINE)?;
    if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(&LINE);
    }
    Ok((digest, name))
}

/// Whether tfreg makes such a file: zips only, in the order of their names. Another one was brought along by a release,
/// and is kept as it is.
pub(super) fn is_made_here(document: &Fetched, sums: &Sums, manifest: &str) -> bool {
    let mut made = Checksums::default();
    for (name, digest) in sums {
        made.set(name.clone(), *digest);
    }
    made.to_string().as_bytes() == document.bytes && !sums.contains_key(manifest)
}

/// Whether the platforms that use these checksums, and all others of the version, are listed in them.
pub(super) fn platforms(
    subject: &str,
    sums: &Sums,
    downloads: &[&Download],
    names: &BTreeSet<String>,
    manifest: &str,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in names {
        if !sums.contains_key(name) {
            let found = format!("no line for {name}");
            findings.push(
                LACKS_PLATFORM.at(subject).found(found).expected("every platform that the index lists"),
            );
        }
    }
    for download in downloads {
        let Some((name, shasum)) = download.filename.as_ref().zip(download.shasum) else { continue };
        match sums.get(name) {
            Some(listed) if *listed == shasum => {}
            Some(listed) => findings.push(
                DIFFERS
                    .at(&download.subject)
                    .found(format!("\"shasum\" {shasum}"))
                    .expected(format!("{listed}, as {subject} says")),
            ),
            // Reported above.
            None if names.contains(name) => {}
            None => findings.push(
                LACKS_PLATFORM
                    .at(subject)
                    .found(format!("no line for {name}"))
                    .expected(format!("the \"filename\" of {}", download.subject)),
            ),
        }
    }
    for name in sums.keys() {
        let zip = Some("zip") == name.rsplit_once('.').map(|(_, extension)| extension);
        let known = names.contains(name) || downloads.iter().any(|d| d.filename.as_ref() == Some(name));
        // Release tools list the manifest too.
        if !known && !zip && name != manifest {
            findings.push(FOREIGN_LINE.at(subject).found(name).expected("zips of the version"));
        }
    }
    findings
}
