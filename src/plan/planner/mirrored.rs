//! The files of the network mirror for the version that is published: see [`crate::plan::mirror`].

use std::collections::BTreeMap;

use super::{Planner, PublishedDocument, Shared};
use crate::error::Refusal;
use crate::plan::mirror::Found;
use crate::plan::{ReadKind, RunState, Write};
use crate::provider::Platform;
use crate::registry::mirror::Archive;
use crate::registry::{DownloadDocument, Key, Links, MirrorVersion, Packages};

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

    /// The version's file, and requests for the documents of platforms that only it has: another run may be about to list
    /// them.
    ///
    /// # Errors
    /// A file is not understood, or the index says that the version is yanked: its record was written after this run
    /// looked for it.
    pub(super) fn mirrored(
        &mut self,
        shared: &mut Shared<'a>,
        state: &mut RunState,
    ) -> Result<Option<Found<'a, MirrorVersion>>, Refusal> {
        let Some(mirror) = &self.mirror else { return Ok(None) };
        let mark = shared.mirror_mark(mirror, &self.goal.provider, self.version)?;
        if let Some((key, mark)) = mark.filter(|(_, mark)| mark.is_yanked) {
            let found = format!("yanked at {}, and not put back whole", mark.when);
            return Err(self.yanked(key, found));
        }
        let version = mirror.version(&self.release(), self.seen)?;
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
        Ok(Some(version))
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

    /// The write of the version's file; without `archives` it stays as it is.
    ///
    /// # Errors
    /// A document cannot be understood.
    pub(super) fn mirror_write(
        &self,
        file: &Found<'_, MirrorVersion>,
        archives: Option<&BTreeMap<Platform, Archive>>,
    ) -> Result<Option<Write>, Refusal> {
        let Some(archives) = archives else { return Ok(None) };
        let mut documents = BTreeMap::new();
        for platform in file.document().archives().keys() {
            let key = self.download_key(platform);
            if let Some(read) = self.document(&key) {
                let document = DownloadDocument::parse(&key, platform, &read.bytes)?;
                documents.insert(platform, format!("zh:{}", document.shasum()));
            }
        }
        let offers = |platform: &Platform, archive: &Archive| {
            documents.get(platform).is_some_and(|zh| archive.zh() == Some(zh.as_str()))
        };
        Ok(Some(file.with(archives, offers)))
    }
}
