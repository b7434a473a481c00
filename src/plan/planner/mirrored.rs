//! The files of the network mirror for the version that is published: see [`crate::plan::mirror`].

use std::collections::BTreeMap;

use super::{Planner, PublishedDocument};
use crate::error::Refusal;
use crate::plan::mirror::{Found, Listing};
use crate::plan::{Plan, ReadKind, RunState, Write};
use crate::provider::{Platform, Version};
use crate::registry::mirror::Archive;
use crate::registry::{DownloadDocument, Key, Links, Mark, MirrorIndex, MirrorVersion, Packages};

/// The files as they were read.
pub(super) struct Mirrored<'a> {
    index: Found<'a, MirrorIndex>,
    version: Found<'a, MirrorVersion>,
}

impl<'a> Planner<'a> {
    /// Requests the files. Which they are is known once the settings are read, so later rounds read them early.
    pub(super) fn need_mirror(&mut self, state: &mut RunState) {
        let Some(mirror) = &self.mirror else { return };
        let keys = [mirror.index_key(&self.goal.provider), mirror.version_key(&self.release())];
        for key in keys {
            self.need(&key, ReadKind::Read);
            state.mirrored.insert(key);
        }
    }

    /// The files, and requests for the documents of platforms that only they have: another run may be about to list them.
    ///
    /// # Errors
    /// A file is not understood, or says that the version is yanked: its record was written after this run looked for it.
    pub(super) fn mirrored(
        &mut self,
        marks: &BTreeMap<Version, Mark>,
        state: &mut RunState,
    ) -> Result<Option<Mirrored<'a>>, Refusal> {
        let Some(mirror) = &self.mirror else { return Ok(None) };
        let seen = self.seen;
        let index = mirror.index(&self.goal.provider, seen)?;
        let version = mirror.version(&self.release(), seen)?;
        let mark = index.newer_mark(self.version, marks.get(self.version));
        if let Some(mark) = mark.filter(|mark| mark.is_yanked) {
            let found = format!("yanked at {}, and not put back whole", mark.when);
            return Err(self.yanked(index.document().key(), found));
        }
        let others: Vec<Platform> = version
            .document()
            .archives()
            .keys()
            .filter(|platform| self.package(platform).is_none())
            .cloned()
            .collect();
        for platform in others {
            self.need(&self.download_key(&platform), ReadKind::Read);
            state.listed.insert(platform);
        }
        Ok(Some(Mirrored { index, version }))
    }

    /// The zips of all platforms, where the mirror offers them; `None` if not all are known.
    pub(super) fn archives(
        &self,
        packages: Option<&Packages>,
        documents: &BTreeMap<Platform, PublishedDocument>,
    ) -> Option<BTreeMap<Platform, Archive>> {
        let zip = |platform: &Platform| match self.package(platform) {
            Some(package) => Some(self.zip_key(package)),
            None => self.target(&documents.get(platform)?.document),
        };
        self.mirror.as_ref()?.archives(packages?, zip)
    }

    fn target(&self, document: &DownloadDocument) -> Option<Key> {
        let zip = Links::target(document.zip_link().ok()?)?;
        matches!(&zip, Key::Zip { release, .. } if *release == self.release()).then_some(zip)
    }

    /// The writes of the files, and whether the index loses versions. Without `archives` the version is not listed.
    ///
    /// # Errors
    /// A document cannot be understood.
    pub(super) fn mirror_writes(
        &self,
        files: &Mirrored<'_>,
        archives: Option<&BTreeMap<Platform, Archive>>,
        marks: BTreeMap<Version, Mark>,
    ) -> Result<(Vec<Write>, bool), Refusal> {
        let mut writes = Vec::new();
        let mut listing = Listing { marks, ..Listing::default() };
        match archives {
            Some(archives) => {
                let mut documents = BTreeMap::new();
                for platform in files.version.document().archives().keys() {
                    let key = self.download_key(platform);
                    if let Some(read) = self.document(&key) {
                        let document = DownloadDocument::parse(&key, platform, &read.bytes)?;
                        documents.insert(platform, format!("zh:{}", document.shasum()));
                    }
                }
                let offers = |platform: &Platform, archive: &Archive| {
                    documents.get(platform).is_some_and(|zh| archive.zh() == Some(zh.as_str()))
                };
                writes.push(files.version.with(archives, offers));
                listing.add.insert(self.version.clone());
            }
            None => drop(listing.remove.insert(self.version.clone())),
        }
        let mut plan = Plan { writes, ..Plan::default() };
        files.index.list_in(&listing, &mut plan);
        Ok((plan.writes, plan.withdraws))
    }
}
