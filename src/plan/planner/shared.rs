//! What the versions of a run share: the index, and that of the network mirror. They are parsed once; every version lists
//! itself in them, and they are serialised once, however many versions there are.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::error::Refusal;
use crate::plan::mirror::{Found, Listing, Mirror};
use crate::plan::{Observation, Plan, Stage, revise};
use crate::provider::{Platform, Provider, Version};
use crate::registry::{Key, Mark, MirrorIndex, VersionsDocument};

/// The documents, as the versions so far leave them.
pub(in crate::plan) struct Shared<'a> {
    seen: &'a Observation,
    /// The index; `None` if there is none, and no version is listed so far.
    index: Option<VersionsDocument>,
    /// The marks in it; a publish changes none.
    marks: BTreeMap<Version, Mark>,
    /// Whether a version has changed the index.
    is_changed: bool,
    /// The index of the network mirror as it was read, once a version needs it.
    mirror: Option<Found<'a, MirrorIndex>>,
    /// What that index shall list.
    listing: Listing,
}

impl<'a> Shared<'a> {
    /// The documents as they were read.
    pub(in crate::plan) fn new(seen: &'a Observation) -> Self {
        Self {
            seen,
            index: None,
            marks: BTreeMap::new(),
            is_changed: false,
            mirror: None,
            listing: Listing::default(),
        }
    }

    /// Parses the index at `key`, if it is there and was not parsed before.
    ///
    /// # Errors
    /// It is not understood.
    pub(super) fn read_index(&mut self, key: &Key) -> Result<(), Refusal> {
        if let (None, Some(read)) = (&self.index, self.seen.document(key)) {
            let index = VersionsDocument::parse(key, &read.bytes)?;
            self.marks = index.marks()?;
            self.index = Some(index);
        }
        Ok(())
    }

    /// The index with the versions so far; `None` if there is none.
    pub(super) fn index(&self) -> Option<&VersionsDocument> {
        self.index.as_ref()
    }

    /// The marks of the index.
    pub(super) fn marks(&self) -> &BTreeMap<Version, Mark> {
        &self.marks
    }

    /// Lists a version in the index: see [`VersionsDocument::list`].
    ///
    /// # Errors
    /// The version's present entry cannot be understood.
    pub(super) fn list(
        &mut self,
        key: &Key,
        version: &Version,
        protocols: &[String],
        platforms: &BTreeSet<Platform>,
        date: Timestamp,
    ) -> Result<(), Refusal> {
        let index = self.index.get_or_insert_with(|| VersionsDocument::empty(key));
        index.list(version, protocols, platforms, date)?;
        self.is_changed = true;
        Ok(())
    }

    /// The mark of a version in the index of the mirror, if it is newer than that of the registry's; with the index's key.
    ///
    /// # Errors
    /// The index is not understood.
    pub(super) fn mirror_mark(
        &mut self,
        mirror: &Mirror,
        provider: &Provider,
        version: &Version,
    ) -> Result<Option<(&Key, Mark)>, Refusal> {
        let found = match self.mirror.take() {
            Some(found) => found,
            None => mirror.index(provider, self.seen)?,
        };
        let found = self.mirror.insert(found);
        let mark = found.newer_mark(version, self.marks.get(version));
        Ok(mark.map(|mark| (found.document().key(), mark)))
    }

    /// Lists a version in the index of the mirror; if not all its zips are known, it is not listed there.
    pub(super) fn list_in_mirror(&mut self, version: &Version, are_zips_known: bool) {
        let list = if are_zips_known { &mut self.listing.add } else { &mut self.listing.remove };
        list.insert(version.clone());
    }

    /// The plan of all versions, with what they share, in the order of writing.
    pub(in crate::plan) fn complete(self, mut plan: Plan) -> Plan {
        let mut all = Plan { writes: Vec::with_capacity(plan.writes.len() + 2), ..Plan::default() };
        if let Some(index) = &self.index {
            let (key, read) = (index.key(), self.seen.document(index.key()));
            all.writes.push(revise(key, read, !self.is_changed, || index.to_bytes()));
        }
        if let Some(mirror) = &self.mirror {
            mirror.list_in(&Listing { marks: self.marks, ..self.listing }, &mut all);
        }
        all.writes.append(&mut plan.writes);
        all.writes.sort_by_key(|write| Stage::of(&write.key, all.withdraws));
        Plan { writes: all.writes, withdraws: all.withdraws, ..plan }
    }
}
