//! The zip of a platform, which clients unpack and start.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};

use sha2::{Digest as _, Sha256};
use zip::{CompressionMethod, System, ZipArchive};

use crate::content::{CHUNK, Digest, DirHash};
use crate::package::{MAX_ENTRIES, MAX_UNPACKED};
use crate::provider::{Platform, ProviderType, Version};
use crate::release::entry_name::{self, Names};
use crate::release::executable::Expectation;

use crate::store::Headers;

use super::finding::{Finding, Group, Rule, Severity, rules};
use super::served;

rules! { Zips:
    MISSING = "zip-missing", Error,
        "a zip is not there",
        "terraform init on that platform fails to download the provider",
        "publish the platform's tarball again";
    UNREADABLE = "zip-unreadable", Error,
        "a zip cannot be fetched",
        "terraform init on that platform fails to download the provider",
        "let the CDN or web server answer it with the status 200";
    TOO_LARGE = "zip-too-large", Error,
        "a zip is larger than verify reads",
        "what is in it is not known; a host may send for ever",
        "if the zip is meant to be so large: --max-zip-mib with its size in MiB; else look at what is served there";
    EMPTY = "zip-empty", Error,
        "a zip has no bytes",
        "terraform init on that platform says that the checksum does not match",
        "publish the platform's tarball again";
    CHECKSUM = "zip-checksum", Error,
        "a zip is not the one that its document names",
        "terraform init on that platform says that the checksum does not match",
        "something changed it in store/: remove it, and publish the original tarball again; if that is lost, publish the next version";
    DAMAGED = "zip-damaged", Error,
        "a zip cannot be unpacked",
        "terraform init on that platform fails to unpack it",
        "publish the version anew under the next number";
    /// Source: `CachedProvider.ExecutableFile`: the first file at the root, in the order of the names, whose name is
    /// terraform-provider-TYPE, or that followed by `_` or `.`.
    NO_EXECUTABLE = "zip-no-executable", Error,
        "a zip has no executable terraform-provider-TYPE at its root",
        "terraform init on that platform says that it could not find an executable file",
        "publish the version anew under the next number";
    SEVERAL_EXECUTABLES = "zip-several-executables", Error,
        "a zip has several files that clients take for the executable",
        "clients start the first by name, which may be the wrong one",
        "publish the version anew under the next number, with one of them";
    EXECUTABLE_NAME = "zip-executable-name", Warning,
        "the executable of a zip is not named terraform-provider-TYPE_vVERSION",
        "old releases of Terraform, and people, tell versions by it",
        "publish the version anew under the next number";
    /// Source: Go's archive/zip takes modes from entries of unix and macOS only, all else is 0666.
    NOT_UNIX = "zip-not-unix", Error,
        "the executable of a zip has no unix mode",
        "it is installed and cannot be started: permission denied",
        "make the zip on a unix system, or by tfreg; publish the version anew under the next number";
    NOT_EXECUTABLE = "zip-mode", Error,
        "the executable of a zip is not executable for everybody",
        "it is installed and cannot be started: permission denied",
        "mode 0755; publish the version anew under the next number";
    ODD_MODE = "zip-odd-mode", Warning,
        "the executable of a zip has another mode than 0755",
        "everybody on the machine may be able to change what is started",
        "mode 0755 for the next version";
    /// Source: a package's `h1:` hash is over the entries of the zip, and over the files of the folder once it is
    /// installed.
    FOLDER = "zip-folder-entry", Error,
        "a zip has entries for folders",
        "the h1: hash in lock files differs between the zip and what is installed: terraform init fails later on",
        "leave them out (zip -D); publish the version anew under the next number";
    /// Source: go-getter's zip unpacker writes what the link says into a file.
    SYMLINK = "zip-symlink", Error,
        "a zip has a symbolic link",
        "it becomes a small text file when it is installed",
        "put the file itself there; publish the version anew under the next number";
    /// Source: go-getter refuses `..`; Go's archive/zip calls the others insecure.
    PATH = "zip-path", Error,
        "a zip has an entry outside of its root",
        "terraform init on that platform refuses to unpack it",
        "publish the version anew under the next number";
    /// Source: [`entry_name`], which cites each rule.
    NAME = "zip-name", Error,
        "a zip has a name that its platform's file systems cannot hold",
        "terraform init on that platform fails to unpack it, or writes another file",
        "rename the file; publish the version anew under the next number";
    NAME_ELSEWHERE = "zip-name-elsewhere", Warning,
        "a zip has a name that file systems of other platforms cannot hold",
        "it cannot be unpacked there, and terminals and people may read it as another name",
        "rename the file for the next version";
    SAME_NAME = "zip-same-name", Error,
        "a zip has two names that its platform's file systems hold as one",
        "terraform init on that platform fails to unpack it, or one file takes the place of the other",
        "rename one of them; publish the version anew under the next number";
    SAME_NAME_ELSEWHERE = "zip-same-name-elsewhere", Warning,
        "a zip has two names that file systems of other platforms hold as one",
        "where it is unpacked there, one file takes the place of the other",
        "rename one of them for the next version";
    METHOD = "zip-method", Error,
        "an entry of a zip is encrypted, or compressed by another method than store and deflate",
        "terraform init on that platform cannot unpack it",
        "publish the version anew under the next number";
    DUPLICATE = "zip-duplicate-entry", Error,
        "a zip has two entries of one name",
        "which of the two is installed depends on the client, and the h1: hash fits neither",
        "publish the version anew under the next number";
    HEADER = "zip-wrong-executable", Error,
        "the executable of a zip is not one for its platform, or is cut short",
        "it is installed and cannot be started: exec format error, or it crashes",
        "correct the build; publish the version anew under the next number";
}

/// The maximum number of findings about names; more do not help.
const MAX_NAMES: usize = 20;
/// The requirements on a zip.
#[derive(Debug, Clone)]
pub(super) struct ExpectedZip {
    pub(super) provider_type: ProviderType,
    pub(super) version: Version,
    pub(super) platform: Platform,
}

/// Checks of a zip that do not open it.
pub(super) fn unopened(
    subject: &str,
    headers: &Headers,
    len: Option<u64>,
    digest: Option<Digest>,
    shasum: Option<Digest>,
) -> Vec<Finding> {
    let mut findings: Vec<Finding> = served::stored(subject, headers).into_iter().collect();
    if len == Some(0) {
        findings.push(EMPTY.at(subject).found("0 bytes").expected("a zip"));
    } else if let (Some(digest), Some(shasum)) = (digest, shasum)
        && digest != shasum
    {
        findings.push(CHECKSUM.at(subject).found(format!("SHA-256 {digest}")).expected(shasum));
    }
    findings
}

/// The facts about an entry before its contents are read.
#[derive(Debug)]
struct ZipEntry {
    name: String,
    /// Its mode, if it is a Unix mode.
    mode: Option<u32>,
    link: bool,
    readable: bool,
}

/// Checks a zip; returns its `h1:` hash for lock files, if every entry can be read.
pub(super) fn check(subject: &str, expected: &ExpectedZip, file: File) -> (Vec<Finding>, Option<DirHash>) {
    let damaged = |found: String| DAMAGED.at(subject).found(found).expected("a zip that can be unpacked");
    let mut archive = match ZipArchive::new(BufReader::with_capacity(CHUNK, file)) {
        Ok(archive) if archive.len() > MAX_ENTRIES => {
            let found = damaged(format!("{} entries", archive.len()));
            return (vec![found], None);
        }
        Ok(archive) => archive,
        Err(error) => return (vec![damaged(error.to_string())], None),
    };
    let mut findings = Vec::new();
    if archive.has_duplicate_names() {
        findings.push(
            DUPLICATE.at(subject).found("a name twice in the central directory").expected("each name once"),
        );
    }
    let entries = match entries(&archive) {
        Ok(entries) => entries,
        Err(error) => {
            findings.push(damaged(error));
            return (findings, None);
        }
    };
    for entry in &entries {
        findings.extend(method(subject, entry));
        findings.extend(path(subject, entry));
        findings.extend(folder(subject, entry));
        findings.extend(symlink(subject, entry));
    }
    findings.extend(names(subject, expected, &entries));
    let executable = executable(subject, expected, &entries, &mut findings);
    if let Some(entry) = executable.and_then(|index| entries.get(index)) {
        findings.extend(executable_name(subject, expected, entry));
        findings.extend(mode(subject, expected, entry));
    }
    if entries.iter().any(|entry| !entry.readable) {
        return (findings, None);
    }
    match contents(&mut archive, executable, expected) {
        Ok(ZipContents { digests, mismatch }) => {
            if let Some((found, wanted)) = mismatch {
                findings.push(HEADER.at(subject).found(found).expected(wanted));
            }
            let names = entries.iter().map(|entry| entry.name.as_str());
            (findings, Some(DirHash::of(names.zip(digests))))
        }
        Err(error) => {
            findings.push(damaged(error.to_string()));
            (findings, None)
        }
    }
}

fn entries(archive: &ZipArchive<BufReader<File>>) -> Result<Vec<ZipEntry>, String> {
    let entry = |index: usize| {
        let entry = archive.by_index_data(index).map_err(|error| error.to_string())?;
        let name = String::from_utf8_lossy(entry.name_raw()).into_owned();
        let method = matches!(entry.compression(), CompressionMethod::Stored | CompressionMethod::Deflated);
        let unix = matches!(entry.system(), System::Unix | System::OsDarwin | System::Macintosh);
        let mode = unix.then(|| entry.external_attributes() >> 16);
        Ok(ZipEntry {
            mode,
            link: mode.is_some_and(|mode| mode & 0o170_000 == 0o120_000),
            readable: method && !entry.encrypted(),
            name,
        })
    };
    (0..archive.len()).map(entry).collect()
}

fn method(subject: &str, entry: &ZipEntry) -> Option<Finding> {
    (!entry.readable)
        .then(|| METHOD.at(subject).found(&entry.name).expected("store or deflate, not encrypted"))
}

fn path(subject: &str, entry: &ZipEntry) -> Option<Finding> {
    let name = &entry.name;
    let outside = name.starts_with('/')
        || name.contains(['\\', '\0'])
        || name.split('/').any(|part| part == "..")
        || name.is_empty()
        || name.get(1..2) == Some(":");
    outside.then(|| PATH.at(subject).found(format!("{name:?}")).expected("paths below the root"))
}

fn folder(subject: &str, entry: &ZipEntry) -> Option<Finding> {
    entry.name.ends_with('/').then(|| FOLDER.at(subject).found(&entry.name).expected("files only"))
}

fn symlink(subject: &str, entry: &ZipEntry) -> Option<Finding> {
    entry.link.then(|| SYMLINK.at(subject).found(&entry.name).expected("files only"))
}

/// Names that file systems cannot store, or treat as equal, among those that stay inside the folder.
fn names(subject: &str, expected: &ExpectedZip, entries: &[ZipEntry]) -> Vec<Finding> {
    let os = expected.platform.os();
    let mut findings = Vec::new();
    let mut names = Names::default();
    let files = entries.iter().filter(|entry| path(subject, entry).is_none() && !entry.name.ends_with('/'));
    for ZipEntry { name, .. } in files {
        if findings.len() >= MAX_NAMES {
            break;
        }
        if let Err(fault) = entry_name::check(name) {
            let rule = if fault.fails_on(os) { &NAME } else { &NAME_ELSEWHERE };
            let shown: String = name.chars().take(300).collect();
            let found = format!("{shown:?}: {fault}");
            findings.push(rule.at(subject).found(found).expected("names that every file system can hold"));
        }
        if let Err(clash) = names.add(name)
            && clash.first != clash.second
        {
            // By default NTFS and APFS ignore case, and nearly all of Linux's file systems do not.
            let fails = clash.is_exact() || matches!(os, "windows" | "darwin");
            let rule = if fails { &SAME_NAME } else { &SAME_NAME_ELSEWHERE };
            let found = format!("{:?} and {:?}", clash.first, clash.second);
            findings.push(rule.at(subject).found(found).expected("names that differ for every file system"));
        }
    }
    findings
}

/// The entry that clients start: the first by name.
fn executable(
    subject: &str,
    expected: &ExpectedZip,
    entries: &[ZipEntry],
    findings: &mut Vec<Finding>,
) -> Option<usize> {
    let start = format!("terraform-provider-{}", expected.provider_type);
    let taken = |name: &str| {
        let rest = name.strip_prefix(&start).filter(|_| !name.contains('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['_', '.']))
    };
    let candidates = entries.iter().enumerate().filter(|(_, entry)| taken(&entry.name));
    let candidates: BTreeMap<&str, usize> =
        candidates.map(|(index, entry)| (entry.name.as_str(), index)).collect();
    if candidates.len() > 1 {
        let names: Vec<&str> = candidates.keys().copied().collect();
        findings.push(SEVERAL_EXECUTABLES.at(subject).found(names.join(", ")).expected("one"));
    }
    let first = candidates.into_values().next();
    if first.is_none() {
        let root: Vec<&str> = entries
            .iter()
            .map(|entry| entry.name.as_str())
            .filter(|name| !name.contains('/'))
            .take(5)
            .collect();
        let found = if root.is_empty() { "nothing at the root".to_owned() } else { root.join(", ") };
        findings.push(NO_EXECUTABLE.at(subject).found(found).expected(usual_name(expected)));
    }
    first
}

fn usual_name(expected: &ExpectedZip) -> String {
    let suffix = expected.platform.executable_suffix();
    format!("terraform-provider-{}_v{}{suffix}", expected.provider_type, expected.version)
}

fn executable_name(subject: &str, expected: &ExpectedZip, entry: &ZipEntry) -> Option<Finding> {
    let usual = usual_name(expected);
    (entry.name != usual).then(|| EXECUTABLE_NAME.at(subject).found(&entry.name).expected(usual))
}

fn mode(subject: &str, expected: &ExpectedZip, entry: &ZipEntry) -> Option<Finding> {
    // Windows has no modes.
    if expected.platform.os() == "windows" {
        return None;
    }
    let Some(mode) = entry.mode.map(|mode| mode & 0o7777) else {
        return Some(NOT_UNIX.at(subject).found(&entry.name).expected("created by unix, mode 0755"));
    };
    let rule = match mode {
        0o755 => return None,
        _ if mode & 0o555 == 0o555 => &ODD_MODE,
        _ => &NOT_EXECUTABLE,
    };
    Some(rule.at(subject).found(format!("{} has mode {mode:04o}", entry.name)).expected("0755"))
}

struct ZipContents {
    digests: Vec<Digest>,
    /// The actual and expected file type of the executable, if they differ.
    mismatch: Option<(String, String)>,
}

/// Reads every entry to its end, and checks its checksum, in constant memory.
fn contents(
    archive: &mut ZipArchive<BufReader<File>>,
    executable: Option<usize>,
    expected: &ExpectedZip,
) -> io::Result<ZipContents> {
    let mut contents = ZipContents { digests: Vec::with_capacity(archive.len()), mismatch: None };
    // A platform that Go does not have is a finding of the index.
    let expectation = Expectation::of(&expected.platform).ok();
    let mut unpacked = 0;
    let mut buffer = vec![0; CHUNK];
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(io::Error::from)?;
        let (size, mut len, mut hash) = (entry.size(), 0, Sha256::new());
        let wanted = expectation.as_ref().filter(|_| executable == Some(index));
        let mut examiner = wanted.map(|expectation| expectation.examine(size));
        loop {
            let count = match entry.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let piece = buffer.get(..count).unwrap_or_default();
            if let Some(examiner) = &mut examiner {
                examiner.feed(piece);
            }
            hash.update(piece);
            len += count as u64;
            if len > size || unpacked + len > MAX_UNPACKED {
                return Err(io::Error::other(format!(
                    "entry {index} is larger than it says, or than any provider"
                )));
            }
        }
        if len != size {
            return Err(io::Error::other(format!("entry {index} has {len} bytes, {size} are recorded")));
        }
        unpacked += len;
        contents.digests.push(Digest::from_hasher(hash));
        if let Some(examiner) = examiner {
            contents.mismatch = examiner.check().err();
        }
    }
    Ok(contents)
}
