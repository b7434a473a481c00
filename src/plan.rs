//! The plan: what has to be written so that the registry is as wanted. A pure function of a [`Goal`] and of what was
//! observed; it is printed as it is before anything is done, and a dry run prints the same.
//!
//! The planner also says what it has to see first ([`Step::Look`]), so that everything is read that matters, and nothing
//! else, in as few rounds as possible.
//!
//! There is a goal a command, each with its own planner. That of a publish: all download documents of the version point to one SHA256SUMS that lists all its platforms, the
//! version is in the index, and the discovery document is there. What a SHA256SUMS in use lists already stays listed, so
//! that two publishers who add platforms at the same time never drop each other's from the users' lock files.
//!
//! # What is signed, embedded and listed, and what proves it
//!
//! Whoever can write the registry can put any object anywhere. So nothing is signed, embedded or listed anew but what this run
//! has made, or what it proves to be what a trusted key signed; and a signature proves bytes, not the place where they are.
//!
//! | what | where | what proves it |
//! | --- | --- | --- |
//! | a line of SHA256SUMS for a platform of the run | publish | the run has made the zip, and checked it |
//! | a line for another platform | publish: `planner::carried` | the SHA256SUMS in use has the digest of its key and a signature by *this run's* key, all its lines are zips of this provider and version, and the platform's document has the line's file name and digest |
//! | the SHA256SUMS as a whole | publish: `planner` | it is made of these lines only; what is there under its key has to be the same bytes |
//! | the record of the publish | publish: `planner::record` | it is, byte for byte, what this run would write |
//! | a SHA256SUMS that is there | [`resign`] | digest, lines of this version only, a signature by a key that is embedded *and* that the user has named; each document as its line says |
//! | a record that is there | [`resign`] | a signature by a key that the user has named, and it tells of this version and of zips in its SHA256SUMS |
//! | the public key in a document | publish, [`resign`] | it is the one that signs in this run; with another published one only by `--replace-key`, or in place of one that the user has named |
//! | a newer copy of the public key | [`resign`] (`--refresh-key`) | the user gives it, it is a copy of the embedded key, not older, and verifies the signature |
//! | a platform listed by a publish | publish | it is one of this run; others in the index stay |
//! | a version or platform listed again | [`reindex`], [`unyank`] | [`whole`]: all that its documents point to is there, is of this version, and is signed by an embedded key: one for all, or one that the user has named |
//! | an index where there was none | publish, [`reindex`] | the provider's folder was listed: a publish is refused where documents of others are there (`lost_index`) |
//!
//! What no object can prove: which namespace or registry a SHA256SUMS was made for, where one key signs the same type and
//! version for several; and that what a trusted key once signed is the newest that it signed.

mod lost_index;
mod planner;
pub mod reindex;
pub mod resign;
pub mod unyank;
pub mod warn;
pub mod whole;
pub mod yank;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bytes::Bytes;

use crate::digest::{Digest, ShortDigest};
use crate::error::Refusal;
use crate::package::signing_key::SigningKey;
use crate::package::{Checksums, PackageSet, Sealed};
use crate::provider::{Platform, Provider};
use crate::registry::provenance::Record;
use crate::registry::{Area, Folder, Key, Links, YankedRecord};
use crate::store::{Document, Listed, Revision, Summary};

/// What a command wants of a registry; the same for all rounds of its run.
pub trait Goal: Send + Sync {
    /// What a run remembers from round to round. Only facts that cannot become false, and hints where to look.
    type Memory: Default + Send;

    /// Computes the next step from what was seen in this round.
    ///
    /// # Errors
    /// The registry holds what is not understood, or what the goal is refused for.
    fn next(&self, seen: &Observation, memory: &mut Self::Memory) -> Result<Step, Refusal>;

    /// Remembers that this run has written an object.
    fn written(&self, key: &Key, memory: &mut Self::Memory);

    /// What it means to who looks at the registry that this run has written the index.
    fn indexed(&self) -> &'static str;
}

/// Whether a published platform's contents may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// Never: other contents are refused.
    Immutable,
    /// They may be replaced (staging; `--replace`).
    Replaceable,
}

/// Whether a version that is published with another key may be moved to this run's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionKey {
    /// It stays with the key that its documents embed.
    Kept,
    /// It may be moved (`--replace-key`).
    Replaceable,
}

/// What a run wants; the same for all its rounds.
#[derive(Debug)]
pub struct Wanted {
    /// The provider that is published.
    pub provider: Provider,
    /// Its packages.
    pub packages: PackageSet,
    /// The key that signs.
    pub key: SigningKey,
    /// How the documents point to objects.
    pub links: Links,
    /// Whether published contents may change.
    pub published: Published,
    /// Whether a published version may be moved to this key.
    pub version_key: VersionKey,
    /// What the run tells of itself in the record of the publish.
    pub record: Record,
}

/// How an object is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Its bytes and revision.
    Read,
    /// Its length and digest only.
    Summary,
}

/// What was seen of an object.
#[derive(Debug, Clone)]
pub enum Seen {
    /// The store said that it does not exist.
    Absent,
    /// It was read.
    Document(Document),
    /// Its summary was asked for.
    Summary(Summary),
}

/// What was seen of the registry in one round.
#[derive(Debug, Default)]
pub struct Observation {
    /// Objects.
    pub objects: BTreeMap<Key, Seen>,
    /// What is in a folder.
    pub folders: BTreeMap<Folder, Vec<Listed>>,
}

impl Observation {
    /// A document that was read; `None` where there is none, or where it was not looked at.
    #[must_use]
    pub fn document(&self, key: &Key) -> Option<&Document> {
        match self.objects.get(key) {
            Some(Seen::Document(document)) => Some(document),
            _ => None,
        }
    }

    /// Those of `looks` that were not seen yet, as the next step; `None` when all were.
    fn lacks(&self, looks: impl IntoIterator<Item = (Key, Look)>) -> Option<Step> {
        let mut missing: Vec<(Key, Look)> = Vec::new();
        for (key, look) in looks {
            if !self.objects.contains_key(&key) && !missing.iter().any(|(other, _)| *other == key) {
                missing.push((key, look));
            }
        }
        if missing.is_empty() { None } else { Some(Step::Look(missing)) }
    }
}

/// What a publish remembers from round to round.
#[derive(Debug, Default)]
pub struct Memory {
    /// What the SHA256SUMS of a digest hold.
    pub sums: BTreeMap<ShortDigest, Checksums>,
    /// Other platforms of the version that were listed, whose documents are looked at soon again.
    pub listed: BTreeSet<Platform>,
    /// Objects of `store/` that are there; they never change or go.
    pub stored: BTreeSet<Key>,
    /// Platforms whose document was seen or written with this run's contents.
    pub held: BTreeSet<Platform>,
    /// Signatures made or verified by this run, by the digest of what is signed.
    pub signatures: BTreeMap<Digest, Sealed>,
    /// Records of publishes that were there already, by the digest of their SHA256SUMS.
    pub records: BTreeMap<ShortDigest, Bytes>,
    /// Whether nothing else of the provider was published when this run found no index.
    pub is_first: bool,
    /// What was not carried over into the new SHA256SUMS, in words.
    pub left_out: BTreeSet<String>,
}

impl Goal for Wanted {
    type Memory = Memory;

    fn next(&self, seen: &Observation, memory: &mut Memory) -> Result<Step, Refusal> {
        planner::next(self, seen, memory)
    }

    fn written(&self, key: &Key, memory: &mut Memory) {
        match key {
            Key::Download(_, _, platform) if self.packages.get(platform).is_some() => {
                memory.held.insert(platform.clone());
            }
            key if key.area() == Area::Store => {
                memory.stored.insert(key.clone());
            }
            _ => {}
        }
    }

    fn indexed(&self) -> &'static str {
        "The index lists this run's version."
    }
}

/// What comes next.
#[derive(Debug)]
pub enum Step {
    /// These objects have to be seen first.
    Look(Vec<(Key, Look)>),
    /// It has to be seen first what is in this folder.
    List(Folder),
    /// Something is missing that others may be about to write. It is looked for again after a pause; if it stays so, this is
    /// why the goal is refused.
    Wait(Box<Refusal>),
    /// All that matters was seen.
    Ready(Box<Plan>),
}

/// What is to be done about one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// It does not exist and is created.
    Create,
    /// It is replaced if it is still what was read.
    Replace {
        /// What was read.
        revision: Revision,
        /// Its length then.
        old_len: u64,
    },
    /// It is as wanted.
    Keep,
}

/// One object of the plan.
#[derive(Debug, Clone)]
pub struct Write {
    /// Which object.
    pub key: Key,
    /// Its wanted contents.
    pub body: Sealed,
    /// What is to be done.
    pub action: Action,
}

/// When an object is written: everything of a stage is there before the next one begins, so that a reader never sees a
/// version of which a part is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Objects of `store/`, that nothing points to yet.
    Store,
    /// Download documents, that no index lists yet, and the record of a version that is yanked. And the signature of this run's record: only now it is certain that
    /// the record that is there is this run's.
    Downloads,
    /// The index.
    Index,
    /// The discovery document.
    Discovery,
}

impl Stage {
    /// All stages in order.
    pub const ALL: [Self; 4] = [Self::Store, Self::Downloads, Self::Index, Self::Discovery];

    /// The stage in which an object is written.
    #[must_use]
    pub fn of(key: &Key) -> Self {
        match key {
            Key::Zip(..) | Key::Sums(..) | Key::Signature(..) | Key::Provenance(..) => Self::Store,
            Key::Download(..) | Key::Yanked(..) | Key::ProvenanceSignature(..) => Self::Downloads,
            Key::Versions(_) => Self::Index,
            Key::Discovery => Self::Discovery,
        }
    }
}

/// What has to be written, in order.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    changes: Vec<String>,
    writes: Vec<Write>,
    warnings: Vec<String>,
    signed: Option<SignedObjects>,
    probe: Option<Probe>,
}

/// An object by which a store can prove that it honours conditions: see [`crate::publish::capability`].
#[derive(Debug, Clone)]
pub struct Probe {
    /// Which object.
    pub key: Key,
    /// Its contents.
    pub body: Sealed,
    /// Whether it is there, or has to be created as the plan says.
    pub is_there: bool,
}

impl Probe {
    fn there(key: &Key, document: &Document) -> Self {
        Self { key: key.clone(), body: Sealed::from_bytes(document.bytes.clone()), is_there: true }
    }
}

/// The SHA256SUMS that the version is on, and its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedObjects {
    /// SHA256SUMS.
    pub sums: Key,
    /// Its digest.
    pub sums_digest: Digest,
    /// The signature.
    pub signature: Key,
}

impl Plan {
    /// What changes for users, in words; a publish says it by its objects.
    #[must_use]
    pub fn changes(&self) -> &[String] {
        &self.changes
    }

    /// Every object of the wanted state, in the order of writing.
    #[must_use]
    pub fn writes(&self) -> &[Write] {
        &self.writes
    }

    /// The objects of one stage that have to be written.
    pub fn pending(&self, stage: Stage) -> impl Iterator<Item = &Write> {
        self.writes.iter().filter(move |write| write.action != Action::Keep && Stage::of(&write.key) == stage)
    }

    /// Whether nothing has to be written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.writes.iter().all(|write| write.action == Action::Keep)
    }

    /// What the user should know beyond the plan.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The version's SHA256SUMS and signature, if this is the plan of a publish.
    #[must_use]
    pub fn signed(&self) -> Option<&SignedObjects> {
        self.signed.as_ref()
    }

    /// What a store can be tried with.
    #[must_use]
    pub fn probe(&self) -> Option<&Probe> {
        self.probe.as_ref()
    }

    /// How many objects are created, changed and left.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for write in &self.writes {
            match write.action {
                Action::Create => totals.create += 1,
                Action::Replace { .. } => totals.change += 1,
                Action::Keep => {
                    totals.unchanged += 1;
                    continue;
                }
            }
            totals.bytes += write.body.len();
        }
        totals
    }
}

/// The last line of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Objects that are created.
    pub create: usize,
    /// Documents that are replaced.
    pub change: usize,
    /// Objects that are there as wanted.
    pub unchanged: usize,
    /// Bytes that are written.
    pub bytes: u64,
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = indicatif::HumanBytes(self.bytes);
        write!(
            f,
            "{} to create, {} to change, {} unchanged ({size} to write)",
            self.create, self.change, self.unchanged
        )
    }
}

impl fmt::Display for Write {
    /// `+` created, `~` changed, `=` unchanged, then the key and the size.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = indicatif::HumanBytes(self.body.len());
        match &self.action {
            Action::Create => write!(f, "+ {}  {size}", self.key),
            Action::Replace { old_len, .. } => {
                write!(f, "~ {}  {} -> {size}", self.key, indicatif::HumanBytes(*old_len))
            }
            Action::Keep => write!(f, "= {}  {size}", self.key),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for change in &self.changes {
            writeln!(f, "  {change}")?;
        }
        for write in &self.writes {
            writeln!(f, "  {write}")?;
        }
        write!(f, "Plan: {}.", self.totals())
    }
}

fn keep(key: Key, bytes: &Bytes) -> Write {
    Write { key, body: Sealed::from_bytes(bytes.clone()), action: Action::Keep }
}

/// A document that was read, with what it shall be: kept if it is so already.
fn replace(key: Key, read: &Document, wanted: Vec<u8>) -> Write {
    if read.bytes == wanted {
        return keep(key, &read.bytes);
    }
    let action = Action::Replace { revision: read.revision.clone(), old_len: read.bytes.len() as u64 };
    Write { key, body: Sealed::from_bytes(wanted), action }
}

/// What a store can be tried with: discovery, which tfreg never changes, or else a document that was just read.
fn probe(seen: &Observation, other: &Key) -> Option<Probe> {
    [&Key::Discovery, other].into_iter().find_map(|key| Some(Probe::there(key, seen.document(key)?)))
}

/// An index that is not there, where there must be one.
fn not_published(provider: &Provider) -> Refusal {
    Refusal::new(Key::Versions(provider.clone()), format!("{provider} is not published"))
        .found("no index")
        .expected("the index of a provider that is published here")
        .remedy("check the target and the provider's name; no version of it was ever published here")
}

/// The record of a yanked version, if there is one.
fn yanked_record(seen: &Observation, key: &Key) -> Result<Option<YankedRecord>, Refusal> {
    seen.document(key).map(|read| YankedRecord::parse(key, &read.bytes)).transpose()
}

/// Platforms in words.
fn names<'a>(platforms: impl IntoIterator<Item = &'a Platform>) -> String {
    platforms.into_iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// An object of `store/` that is not what its key says. Never overwritten.
#[must_use]
pub fn foreign(key: &Key, found: Digest, meant: Digest) -> Refusal {
    Refusal::new(key, "another object is there under the same key")
        .found(format!("SHA-256 {found}"))
        .expected(format!("SHA-256 {meant}"))
        .remedy(
            "objects in store/ never change, so something else than tfreg has written it; look at it, remove it by hand, \
             and publish these tarballs again",
        )
}
