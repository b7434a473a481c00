//! The rules for what is in a zip of a provider, in the order in which they are listed for users.

use std::collections::BTreeMap;

use super::directory::Entry;
use super::{ExpectedZip, Found};
use crate::release::contents;
use crate::release::entry_name::{self, Names};

/// How bad it is that a rule is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// A client fails because of it.
    Error,
    /// Everything installs, but the user should know.
    Warning,
}

/// A property that a zip must have.
#[derive(Debug, PartialEq, Eq)]
pub struct ZipRule {
    /// Its name, which does not change.
    pub name: &'static str,
    /// The severity if it is broken.
    pub severity: Severity,
    /// The problem if it is broken.
    pub what: &'static str,
    /// Why it matters to a user.
    pub why: &'static str,
    /// What the release build has to change.
    pub in_the_build: &'static str,
    /// The remedy if the zip is published.
    pub once_published: &'static str,
}

impl ZipRule {
    pub(super) fn broken(&'static self, found: impl Into<String>, expected: impl std::fmt::Display) -> Found {
        Found { rule: self, found: found.into(), expected: expected.to_string() }
    }
}

macro_rules! zip_rules {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $severity:ident, $what:literal, $why:literal, $build:literal, $next:literal;)+) => {
        $($(#[$doc])*
        pub(super) static $name: ZipRule = ZipRule {
            name: $text,
            severity: Severity::$severity,
            what: $what,
            why: $why,
            in_the_build: $build,
            once_published: concat!($build, $next),
        };)+

        /// All rules for what is in a zip.
        pub static RULES: &[&ZipRule] = &[$(&$name),+];
    };
}

zip_rules! {
    DAMAGED = "zip-damaged", Error,
        "a zip cannot be unpacked",
        "terraform init on that platform fails to unpack it",
        "build the release again", ", and publish the version anew under the next number";
    AMBIGUOUS = "zip-ambiguous", Error,
        "a zip is one that programs read differently",
        "what one program checks is not what another installs",
        "make the zip with a usual program, in one go: GoReleaser, zip", "; publish the version anew under the next number";
    /// Source: `CachedProvider.ExecutableFile`: the first file at the root, in the order of the names, whose name is
    /// terraform-provider-TYPE, or that followed by `_` or `.`.
    NO_EXECUTABLE = "zip-no-executable", Error,
        "a zip has no executable terraform-provider-TYPE at its root",
        "terraform init on that platform says that it could not find an executable file",
        "put the executable at the root of the zip, under that name", "; publish the version anew under the next number";
    SEVERAL_EXECUTABLES = "zip-several-executables", Warning,
        "a zip has several files that clients take for the executable",
        "clients start the first by name, which may be the wrong one",
        "leave one of them in the zip", "; publish the version anew under the next number";
    EXECUTABLE_NAME = "zip-executable-name", Warning,
        "the executable of a zip is not named terraform-provider-TYPE_vVERSION",
        "old releases of Terraform, and people, tell versions by it",
        "name it so (GoReleaser: `binary: '{{ .ProjectName }}_v{{ .Version }}'` under `builds`)", " for the next version";
    /// Source: Go's archive/zip takes modes from entries of unix and macOS only, all else is 0666.
    NOT_UNIX = "zip-not-unix", Error,
        "the executable of a zip has no unix mode",
        "it is installed and cannot be started: permission denied",
        "make the zip on a unix system, or let tfreg make it from a tarball", "; publish the version anew under the next number";
    NOT_EXECUTABLE = "zip-mode", Error,
        "the executable of a zip is not executable for everybody",
        "it is installed and cannot be started: permission denied",
        "give the executable the mode 0755 before it is packed", "; publish the version anew under the next number";
    ODD_MODE = "zip-odd-mode", Warning,
        "the executable of a zip has another mode than 0755",
        "everybody on the machine may be able to change what is started",
        "give the executable the mode 0755 before it is packed", ", for the next version";
    /// Source: a package's `h1:` hash is over the entries of the zip, and over the files of the folder once it is
    /// installed.
    FOLDER = "zip-folder-entry", Warning,
        "a zip has entries for folders",
        "the h1: hash of the zip, in lock files made by terraform providers lock, is not that of what is installed",
        "leave them out (zip -D)", " of the next version";
    /// Source: go-getter's zip unpacker writes what the link says into a file.
    SYMLINK = "zip-symlink", Error,
        "a zip has a symbolic link",
        "it becomes a small text file when it is installed",
        "put the file itself there", "; publish the version anew under the next number";
    /// Source: go-getter refuses `..`; Go's archive/zip calls the others insecure.
    PATH = "zip-path", Error,
        "a zip has an entry outside of its root",
        "terraform init on that platform refuses to unpack it",
        "pack the files from inside of their folder", "; publish the version anew under the next number";
    /// Source: [`entry_name`], which cites each rule.
    NAME = "zip-name", Error,
        "a zip has a name that its platform's file systems cannot hold",
        "terraform init on that platform fails to unpack it, or writes another file",
        "rename the file", "; publish the version anew under the next number";
    NAME_ELSEWHERE = "zip-name-elsewhere", Warning,
        "a zip has a name that file systems of other platforms cannot hold",
        "it cannot be unpacked there, and terminals and people may read it as another name",
        "rename the file", " for the next version";
    SAME_NAME = "zip-same-name", Error,
        "a zip has two names that its platform's file systems hold as one",
        "terraform init on that platform fails to unpack it, or one file takes the place of the other",
        "rename one of them", "; publish the version anew under the next number";
    SAME_NAME_ELSEWHERE = "zip-same-name-elsewhere", Warning,
        "a zip has two names that file systems of other platforms hold as one",
        "where it is unpacked there, one file takes the place of the other",
        "rename one of them", " for the next version";
    METHOD = "zip-method", Error,
        "an entry of a zip is encrypted, or compressed by another method than store and deflate",
        "terraform init on that platform cannot unpack it",
        "make the zip without encryption, by deflate", "; publish the version anew under the next number";
    DUPLICATE = "zip-duplicate-entry", Error,
        "a zip has two entries of one name",
        "which of the two is installed depends on the client, and the h1: hash fits neither",
        "leave one of them in the zip", "; publish the version anew under the next number";
    HEADER = "zip-wrong-executable", Error,
        "the executable of a zip is not one for its platform, or is cut short",
        "it is installed and cannot be started: exec format error, or it crashes",
        "correct the build", "; publish the version anew under the next number";
}

/// The maximum number of broken rules about names; more do not help.
const MAX_NAMES: usize = 20;

/// Judges the entries of a zip by all rules that do not need their contents; returns the entry that clients start.
pub(super) fn judge(entries: &[Entry], expected: &ExpectedZip, broken: &mut Vec<Found>) -> Option<usize> {
    broken.extend(duplicates(entries));
    for entry in entries {
        broken.extend(method(entry));
        broken.extend(path(entry));
        broken.extend(folder(entry));
        broken.extend(symlink(entry));
    }
    broken.extend(names(expected, entries));
    let executable = executable(expected, entries, broken);
    if let Some(entry) = executable.and_then(|index| entries.get(index)) {
        broken.extend(executable_name(expected, entry));
        broken.extend(mode(expected, entry));
    }
    executable
}

fn duplicates(entries: &[Entry]) -> Vec<Found> {
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in entries {
        *names.entry(&entry.name).or_default() += 1;
    }
    let twice = names.into_iter().filter(|(_, count)| *count > 1);
    twice
        .take(MAX_NAMES)
        .map(|(name, _)| DUPLICATE.broken(format!("{name:?} twice or more"), "each name once"))
        .collect()
}

fn method(entry: &Entry) -> Option<Found> {
    (!entry.is_readable()).then(|| METHOD.broken(&entry.name, "store or deflate, not encrypted"))
}

fn is_outside(name: &str) -> bool {
    name.is_empty()
        || name.starts_with('/')
        || name.contains(['\\', '\0'])
        || name.split('/').any(|part| part == "..")
        || name.get(1..2) == Some(":")
}

fn path(entry: &Entry) -> Option<Found> {
    let name = &entry.name;
    if is_outside(name) {
        return Some(PATH.broken(format!("{name:?}"), "paths below the root"));
    }
    // Some readers drop these parts, and some do not.
    let inner = name.strip_suffix('/').unwrap_or(name);
    let is_odd = inner.split('/').any(|part| matches!(part, "" | "."));
    is_odd.then(|| AMBIGUOUS.broken(format!("{name:?}"), "paths without empty parts and without ."))
}

fn folder(entry: &Entry) -> Option<Found> {
    entry.is_folder().then(|| FOLDER.broken(&entry.name, "files only"))
}

fn symlink(entry: &Entry) -> Option<Found> {
    (entry.file_type() == 0o120_000).then(|| SYMLINK.broken(&entry.name, "files only"))
}

/// Names that file systems cannot store, or treat as equal, among those that stay inside the folder.
fn names(expected: &ExpectedZip, entries: &[Entry]) -> Vec<Found> {
    let os = expected.platform.os();
    let mut broken = Vec::new();
    let mut names = Names::default();
    let files = entries.iter().filter(|entry| !is_outside(&entry.name) && !entry.is_folder());
    for Entry { name, .. } in files {
        if broken.len() >= MAX_NAMES {
            break;
        }
        if let Err(fault) = entry_name::check(name) {
            let rule = if fault.fails_on(os) { &NAME } else { &NAME_ELSEWHERE };
            let shown: String = name.chars().take(300).collect();
            broken.push(rule.broken(format!("{shown:?}: {fault}"), "names that every file system can hold"));
        }
        if let Err(clash) = names.add(name)
            && clash.first != clash.second
        {
            // By default NTFS and APFS ignore case, and nearly all of Linux's file systems do not.
            let fails = clash.is_exact() || matches!(os, "windows" | "darwin");
            let rule = if fails { &SAME_NAME } else { &SAME_NAME_ELSEWHERE };
            let found = format!("{:?} and {:?}", clash.first, clash.second);
            broken.push(rule.broken(found, "names that differ for every file system"));
        }
    }
    broken
}

/// The entry that clients start: the first by name.
fn executable(expected: &ExpectedZip, entries: &[Entry], broken: &mut Vec<Found>) -> Option<usize> {
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
        broken.push(SEVERAL_EXECUTABLES.broken(names.join(", "), "one"));
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
        broken.push(NO_EXECUTABLE.broken(found, usual_name(expected)));
    }
    first
}

fn usual_name(expected: &ExpectedZip) -> String {
    contents::executable_name(&expected.provider_type, &expected.version, &expected.platform)
}

fn executable_name(expected: &ExpectedZip, entry: &Entry) -> Option<Found> {
    let usual = usual_name(expected);
    (entry.name != usual).then(|| EXECUTABLE_NAME.broken(&entry.name, usual))
}

fn mode(expected: &ExpectedZip, entry: &Entry) -> Option<Found> {
    // Windows has no modes.
    if expected.platform.os() == "windows" {
        return None;
    }
    let Some(mode) = entry.mode.map(|mode| mode & 0o7777) else {
        return Some(NOT_UNIX.broken(&entry.name, "created by unix, mode 0755"));
    };
    let rule = match mode {
        0o755 => return None,
        _ if mode & 0o555 == 0o555 => &ODD_MODE,
        _ => &NOT_EXECUTABLE,
    };
    Some(rule.broken(format!("{} has mode {mode:04o}", entry.name), "0755"))
}
