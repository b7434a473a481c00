//! The hashes and sizes of all zips that the next SHA256SUMS lists, for `packages` in the documents and for the record.
//!
//! A document's own `packages` prove nothing: nobody signs them. So the facts about a zip come from, in this order,
//!
//! 1. this run, which has made it;
//! 2. a record beside a SHA256SUMS in use that this run's key has signed;
//! 3. the zip itself, which is read once, and must be the one that the SHA256SUMS lists.
//!
//! A zip that has no such hash, or is offered by another host only, leaves all documents without `packages`: clients take
//! a part for an error.

use std::collections::BTreeSet;

use super::Planner;
use crate::content::Digest;
use crate::error::Refusal;
use crate::plan::{Observed, ReadKind, RunState, object_conflict};
use crate::provider::Platform;
use crate::registry::{Checksums, DownloadDocument, Key, Links, Packages, ZipFacts, provenance};

/// What all documents of the version shall say of its packages.
pub(super) enum NextPackages {
    /// Some objects have to be read first.
    Read,
    /// These.
    Known(Packages),
    /// Nothing.
    LeftOut,
}

impl NextPackages {
    /// The packages, if the documents get any.
    pub(super) fn known(&self) -> Option<&Packages> {
        match self {
            Self::Known(packages) => Some(packages),
            Self::Read | Self::LeftOut => None,
        }
    }
}

impl Planner<'_> {
    /// The packages of the SHA256SUMS that the documents shall point to.
    ///
    /// # Errors
    /// A zip is not there, or not the one that SHA256SUMS lists.
    pub(super) fn packages(
        &mut self,
        sums: &Checksums,
        state: &mut RunState,
    ) -> Result<NextPackages, Refusal> {
        for package in self.goal.packages.packages() {
            let shasum = package.zip.digest();
            state.zips.insert(shasum, ZipFacts { shasum, h1: package.h1, size: package.zip.len() });
        }
        let lines = self.platforms_of(sums);
        if lines.iter().any(|(_, _, digest)| !state.zips.contains_key(digest)) {
            self.learn_from_records(state);
        }
        let mut unknown = BTreeSet::new();
        for (platform, name, digest) in &lines {
            if !state.zips.contains_key(digest)
                && let Err(problem) = self.learn_from_zip(platform, *digest, state)?
            {
                unknown.insert(format!("{name}: {problem}"));
            }
        }
        if !self.missing.is_empty() {
            return Ok(NextPackages::Read);
        }
        if !unknown.is_empty() {
            let unknown = unknown.into_iter().collect::<Vec<_>>().join("; ");
            if self.mirror.is_some() {
                let release = self.release();
                self.left_out.insert(format!(
                    "{release} is not in the network mirror either, which has its zips' hashes"
                ));
            }
            self.left_out.insert(format!(
                "the documents of {} {} get no \"packages\", which OpenTofu compares zips with: {unknown}",
                self.goal.provider, self.version
            ));
            return Ok(NextPackages::LeftOut);
        }
        let known = lines
            .iter()
            .filter_map(|(platform, _, digest)| Some((platform.clone(), *state.zips.get(digest)?)));
        Ok(NextPackages::Known(known.collect()))
    }

    /// Takes what the records say that were read in this round, if this run's key has signed them.
    fn learn_from_records(&self, state: &mut RunState) {
        for key in self.seen.objects.keys() {
            let Key::Provenance { release, digest } = key else { continue };
            let (statement, signature) = self.record_keys(*digest);
            if *release != self.release() || statement != *key {
                continue;
            }
            let (Some(record), Some(signature)) = (self.document(key), self.document(&signature)) else {
                continue;
            };
            if self.goal.key.verify(&record.bytes, &signature.bytes).is_ok() {
                for recorded in provenance::recorded_zips(&record.bytes) {
                    state.zips.entry(recorded.zip.shasum).or_insert(recorded.zip);
                }
            }
        }
    }

    /// Takes the facts from a zip of the registry that was read, or has it read.
    ///
    /// # Errors
    /// A refusal if the zip that a document points to is missing, or another one; else why nothing is known of it.
    fn learn_from_zip(
        &mut self,
        platform: &Platform,
        digest: Digest,
        state: &mut RunState,
    ) -> Result<Result<(), String>, Refusal> {
        let key = Key::Zip { release: self.release(), platform: platform.clone(), digest: digest.short() };
        match self.seen.objects.get(&key) {
            Some(Observed::Zip(found)) if found.digest != digest => {
                Err(object_conflict(&key, found.digest, digest))
            }
            Some(Observed::Zip(found)) => Ok(match &found.h1 {
                Ok(h1) => {
                    let zip = ZipFacts { shasum: digest, h1: *h1, size: found.len };
                    state.zips.insert(digest, zip);
                    Ok(())
                }
                Err(problem) => Err(format!("it cannot be unpacked: {problem}")),
            }),
            Some(_) => self.without_zip(platform, &key).map(Err),
            None => {
                self.need(&key, ReadKind::Zip);
                Ok(Ok(()))
            }
        }
    }

    /// Why a zip is not there.
    fn without_zip(&self, platform: &Platform, zip: &Key) -> Result<String, Refusal> {
        let key = self.download_key(platform);
        let Some(read) = self.document(&key) else { return Ok("it has no document".to_owned()) };
        let document = DownloadDocument::parse(&key, platform, &read.bytes)?;
        let link = document.zip_link()?;
        if Links::target(link).as_ref() != Some(zip) {
            return Ok(format!("it is offered at {link}"));
        }
        Err(Refusal::new(zip, "the zip of a platform that is not in this run is not there")
            .found(format!("nothing, and {key} points to it"))
            .expected("the zip of every platform of the version, whose hashes each document has")
            .remedy(format!("publish the tarball for {platform} in the same run, which puts it back")))
    }
}
