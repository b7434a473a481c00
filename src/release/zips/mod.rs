//! Zips of a release: a strict reader, and the rules for what is in a zip that clients unpack and start.
//!
//! `directory` reads the records around the entries' data, `rules` has the list of rules and judges the entries by it,
//! `contents` reads every entry to its end. A registry's `verify` and a publish of ready-made zips use this one list.
//!
//! # One reading
//!
//! Readers of zips do not agree: some read the central directory, some the local headers, some search for one of
//! several ends, some decode names by a code page. A zip of which two readers list other names or contents could pass
//! a check by one and install something else by another. So a zip must leave no choice: one end record, at the file's
//! end; entries that lie behind each other without gaps, from the file's first byte to the central directory, in its
//! order; local headers that say the same as the directory; names in UTF-8 that are marked as such; no name twice.
//! Source: PKWARE's APPNOTE.TXT 6.3, section 4.3; and what Go's archive/zip, Python's zipfile, Info-ZIP and libarchive
//! do, which tests compare.

mod contents;
mod directory;
mod rules;

use std::fs::File;
use std::io;

use super::archive::Limits;
use crate::content::DirHash;
use crate::provider::{Platform, ProviderType, Version};
use directory::{Entry, Unreadable};
pub use rules::{RULES, Severity, ZipRule};

/// The requirements on a zip.
#[derive(Debug, Clone)]
pub struct ExpectedZip {
    /// The provider's type.
    pub provider_type: ProviderType,
    /// The version.
    pub version: Version,
    /// The platform.
    pub platform: Platform,
}

/// A broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The rule.
    pub rule: &'static ZipRule,
    /// What was found.
    pub found: String,
    /// What was expected.
    pub expected: String,
}

/// What an inspection of a zip tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// The rules that are broken.
    pub broken: Vec<Found>,
    /// The hash of the package in lock files, if every entry can be read.
    pub h1: Option<DirHash>,
    /// The name of the entry that clients start, if there is one.
    pub executable: Option<String>,
}

impl Inspection {
    /// The first broken rule because of which clients fail.
    #[must_use]
    pub fn error(&self) -> Option<&Found> {
        self.broken.iter().find(|found| found.rule.severity == Severity::Error)
    }
}

/// Inspects the zip in `file`, in bounded memory. `progress` is called with the number of compressed bytes that were
/// read.
///
/// # Errors
/// The file cannot be read. That it is no zip, or a bad one, is a part of the inspection.
pub fn inspect(
    file: &File,
    expected: &ExpectedZip,
    limits: Limits,
    progress: &dyn Fn(u64),
) -> io::Result<Inspection> {
    let nothing = |rule: &'static ZipRule, found: String| Inspection {
        broken: vec![rule.broken(found, "a zip that every reader can unpack, and reads alike")],
        h1: None,
        executable: None,
    };
    let (entries, doubts) = match directory::read(file, limits.entries) {
        Ok(read) => read,
        Err(Unreadable::Io(error)) => return Err(error),
        Err(Unreadable::Damaged(found)) => return Ok(nothing(&rules::DAMAGED, found)),
        Err(Unreadable::Ambiguous(found)) => return Ok(nothing(&rules::AMBIGUOUS, found)),
    };
    let mut broken: Vec<Found> = Vec::new();
    broken.extend(doubts.into_iter().map(|doubt| rules::AMBIGUOUS.broken(doubt, "one reading")));
    let executable = rules::judge(&entries, expected, &mut broken);
    let name = executable.and_then(|index| entries.get(index)).map(|entry| entry.name.clone());
    if !entries.iter().all(Entry::is_readable) {
        return Ok(Inspection { broken, h1: None, executable: name });
    }
    let h1 = match contents::read(file, &entries, executable, expected, limits, progress) {
        Ok(contents::Contents { digests, mismatch }) => {
            broken.extend(mismatch.map(|(found, wanted)| rules::HEADER.broken(found, wanted)));
            let names = entries.iter().map(|entry| entry.name.as_str());
            Some(DirHash::of(names.zip(digests)))
        }
        Err(Unreadable::Io(error)) => return Err(error),
        Err(Unreadable::Damaged(found) | Unreadable::Ambiguous(found)) => {
            broken.push(rules::DAMAGED.broken(found, "a zip that can be unpacked"));
            None
        }
    };
    Ok(Inspection { broken, h1, executable: name })
}
