//! Ready-made zips, taken as they are: checked by the rules that `verify` has for zips, and never changed.

use std::fs::File;
use std::io::{self, Read as _, Write as _};

use sha2::{Digest as _, Sha256};

use super::{BuildOptions, Package};
use crate::content::{CHUNK, Digest, DirHash, Scratch, Spooled};
use crate::error::{Error, Refusal, Result};
use crate::release::Artifact;
use crate::release::archive::Limits;
use crate::release::file::ArtifactFile;
use crate::release::zips::{self, ExpectedZip, Found};

/// Takes a zip; also returns the warnings about it.
///
/// What is checked is what is published: a local file is first copied into a file that no other process can change.
pub(super) fn take(
    zip: &Artifact,
    options: &BuildOptions,
    progress: &dyn Fn(u64),
) -> Result<(Package, Vec<String>)> {
    let subject = zip.file.display();
    let own = own(&zip.file, &options.scratch, progress)?;
    if let Some(sidecar) = &zip.sidecar {
        sidecar.check(&zip.file, &own.digest)?;
    }
    let expected = ExpectedZip {
        provider_type: zip.name.provider_type.clone(),
        version: zip.name.version.clone(),
        platform: zip.name.platform.clone(),
    };
    let Judged { h1, executable, warnings } = judge(subject, &own.file, &expected, options.limits)?;
    let sync = options.scratch.begin_sync(&own.file);
    let digest = own.digest;
    let package = Package {
        platform: zip.name.platform.clone(),
        zip: own.seal(sync),
        h1,
        executable,
        artifact: zip.file.unfetched(),
        artifact_digest: digest,
        source: super::source_of(zip),
    };
    Ok((package, warnings))
}

/// What is known of a zip that clients install from.
#[derive(Debug)]
pub struct Judged {
    /// The hash of its contents.
    pub h1: DirHash,
    /// The name of the entry that clients start.
    pub executable: String,
    /// What is untidy about it.
    pub warnings: Vec<String>,
}

/// Judges a zip by the rules that `verify` has; `subject` names it in messages.
///
/// # Errors
/// The file cannot be read, or clients would fail because of what is in it.
pub fn judge(subject: &str, file: &File, expected: &ExpectedZip, limits: Limits) -> Result<Judged> {
    let inspection = zips::inspect(file, expected, limits, &|_| {})
        .map_err(|source| Error::Io { context: format!("cannot read {subject}"), source })?;
    if let Some(broken) = inspection.error() {
        return Err(refusal(subject, broken).into());
    }
    let (Some(h1), Some(executable)) = (inspection.h1, inspection.executable) else {
        let source = io::Error::other("it has no executable, or cannot be read, and no rule says so");
        return Err(Error::Io { context: format!("cannot take {subject}"), source });
    };
    let warnings = inspection.broken.iter().map(|broken| warning(subject, broken)).collect();
    Ok(Judged { h1, executable, warnings })
}

/// The zip in a file of this process, with its digest and length.
fn own(zip: &ArtifactFile, scratch: &Scratch, progress: &dyn Fn(u64)) -> Result<Spooled> {
    let unread = |source| Error::Io { context: format!("cannot read {}", zip.display()), source };
    let unwritten = |source| Error::Io {
        context: format!("cannot copy {}: {} cannot be used", zip.display(), scratch.describe()),
        source,
    };
    let mut from = zip.open()?;
    // A file that was fetched has no name, so it is this process's own.
    let mut to = if zip.address().is_none() { Some(scratch.file().map_err(unwritten)?) } else { None };
    let (mut hash, mut len) = (Sha256::new(), 0);
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(unread(error)),
        };
        let piece = buffer.get(..count).unwrap_or_default();
        hash.update(piece);
        len += count as u64;
        progress(count as u64);
        if let Some(to) = &mut to {
            to.write_all(piece).map_err(unwritten)?;
        }
    }
    Ok(Spooled { file: to.unwrap_or(from), digest: Digest::from_hasher(hash), len })
}

fn refusal(subject: &str, broken: &Found) -> Refusal {
    let Found { rule, found, expected } = broken;
    Refusal::new(subject, format!("{} ({})", rule.what, rule.name))
        .found(found)
        .expected(expected)
        .remedy(format!("{}; as it is, {}", rule.in_the_build, rule.why))
}

fn warning(subject: &str, broken: &Found) -> String {
    let Found { rule, found, .. } = broken;
    let found: String = found.chars().take(300).collect();
    format!("{subject}: {} ({}): {}; {}", rule.what, rule.name, found, rule.why)
}
