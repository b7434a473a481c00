//! The plan: what has to be written so that the registry is as wanted. A pure function of a [`Goal`] and of what was
//! observed; it is printed as it is before anything is done, and a dry run prints the same.
//!
//! The planner also says what it has to see first ([`Step::Read`]), so that everything is read that matters, and nothing
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
//! | a line for another platform | publish: `planner::next_checksums` | the SHA256SUMS in use has the digest of its key and a signature by *this run's* key, all its lines are zips of this provider and version, and the platform's document has the line's file name and digest |
//! | the SHA256SUMS as a whole | publish: `planner` | it is made of these lines only; what is there under its key has to be the same bytes |
//! | the record of the publish | publish: `planner::record` | it is, byte for byte, what this run would write |
//! | a SHA256SUMS that is there | [`resign`] | digest, lines of this version only, a signature by a key that is embedded *and* that the user has named; each document as its line says |
//! | a record that is there | [`resign`] | a signature by a key that the user has named, and it tells of this version and of zips in its SHA256SUMS |
//! | the public key in a document | publish, [`resign`] | it is the one that signs in this run; with another published one only by `--replace-key`, or in place of one that the user has named |
//! | a newer copy of the public key | [`resign`] (`--refresh-key`) | the user gives it, it is a copy of the embedded key, not older, and verifies the signature |
//! | a platform listed by a publish | publish | it is one of this run; others in the index stay |
//! | a version or platform listed again | [`reindex`], [`unyank`] | [`completeness`]: all that its documents point to is there, is of this version, and is signed by an embedded key: one for all, or one that the user has named |
//! | an index where there was none | publish, [`reindex`] | the provider's folder was listed: a publish is refused where documents of others are there (`lost_index`) |
//!
//! What no object can prove: which namespace or registry a SHA256SUMS was made for, where one key signs the same type and
//! version for several; and that what a trusted key once signed is the newest that it signed.

pub mod completeness;
mod lost_index;
mod planner;
mod publish_goal;
pub mod reindex;
pub mod resign;
pub mod unyank;
pub mod warn;
pub mod yank;

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;

use crate::content::{Digest, Sealed};
use crate::error::Refusal;
use crate::provider::Provider;
use crate::registry::{Folder, Key, YankedRecord};
use crate::store::{Document, Listed, Revision, Summary};
use crate::words;
pub use publish_goal::{PublishGoal, Published, RunState, VersionKey};

/// What a command wants of a registry; the same for all rounds of its run.
pub trait Goal: Send + Sync {
    /// What a run remembers from round to round. Only facts that cannot become false, and hints where to look.
    type RunState: Default + Send;

    /// Computes the next step from what was seen in this round.
    ///
    /// # Errors
    /// The registry holds what is not understood, or what the goal is refused for.
    fn next(&self, seen: &Observation, state: &mut Self::RunState) -> Result<Step, Refusal>;

    /// Takes a signature that [`Step::Sign`] has asked for, and that verifies by this run's key. A goal that signs nothing
    /// asks for none.
    fn signed(&self, _document: &ToSign, _signature: Sealed, _state: &mut Self::RunState) {}

    /// Remembers that this run has written an object.
    fn written(&self, key: &Key, state: &mut Self::RunState);

    /// What it means to who reads at the registry that this run has written the index.
    fn indexed(&self) -> &'static str;
}

/// How an object is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadKind {
    /// Its bytes and revision.
    Read,
    /// Its length and digest only.
    Summary,
}

/// What was seen of an object.
#[derive(Debug, Clone)]
pub enum Observed {
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
    pub objects: BTreeMap<Key, Observed>,
    /// What is in a folder.
    pub folders: BTreeMap<Folder, Vec<Listed>>,
}

impl Observation {
    /// A document that was read; `None` where there is none, or where it was not looked at.
    #[must_use]
    pub fn document(&self, key: &Key) -> Option<&Document> {
        match self.objects.get(key) {
            Some(Observed::Document(document)) => Some(document),
            _ => None,
        }
    }

    /// Those of `reads` that were not seen yet, as the next step; `None` when all were.
    fn missing(&self, reads: impl IntoIterator<Item = (Key, ReadKind)>) -> Option<Step> {
        let mut missing: Vec<(Key, ReadKind)> = Vec::new();
        for (key, kind) in reads {
            if !self.objects.contains_key(&key) && !missing.iter().any(|(other, _)| *other == key) {
                missing.push((key, kind));
            }
        }
        if missing.is_empty() { None } else { Some(Step::Read(missing)) }
    }
}

/// What comes next.
#[derive(Debug)]
pub enum Step {
    /// These objects have to be seen first.
    Read(Vec<(Key, ReadKind)>),
    /// It has to be seen first what is in this folder.
    List(Folder),
    /// These have to be signed by this run's key first.
    Sign(Vec<ToSign>),
    /// Something is missing that others may be about to write. It is looked for again after a pause; if it stays so, this is
    /// why the goal is refused.
    Wait(Box<Refusal>),
    /// All that matters was seen.
    Ready(Box<Plan>),
}

/// A document that is to be signed: proven to be this run's to sign (see the table above), by its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToSign {
    /// Its key.
    pub key: Key,
    /// What is signed.
    pub document: Bytes,
}

impl ToSign {
    fn new(key: &Key, document: impl Into<Bytes>) -> Self {
        Self { key: key.clone(), document: document.into() }
    }
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
    /// Download documents and yank records; then the record's signature, once the record is known to be this run's.
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
            Key::Zip { .. } | Key::Sums { .. } | Key::Signature { .. } | Key::Provenance { .. } => {
                Self::Store
            }
            Key::Download { .. } | Key::Yanked { .. } | Key::ProvenanceSignature { .. } => Self::Downloads,
            Key::Versions { .. } => Self::Index,
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
    condition_check: Option<ConditionCheck>,
}

/// An object by which a store can prove that it honours conditions: see [`crate::publish::conditional_writes`].
#[derive(Debug, Clone)]
pub struct ConditionCheck {
    /// Which object.
    pub key: Key,
    /// Its contents.
    pub body: Sealed,
    /// Whether it is there, or has to be created as the plan says.
    pub is_there: bool,
}

impl ConditionCheck {
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
    pub fn condition_check(&self) -> Option<&ConditionCheck> {
        self.condition_check.as_ref()
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
        let size = words::size(self.bytes);
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
        let size = words::size(self.body.len());
        match &self.action {
            Action::Create => write!(f, "+ {}  {size}", self.key),
            Action::Replace { old_len, .. } => {
                write!(f, "~ {}  {} -> {size}", self.key, words::size(*old_len))
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
fn condition_check(seen: &Observation, other: &Key) -> Option<ConditionCheck> {
    [&Key::Discovery, other].into_iter().find_map(|key| Some(ConditionCheck::there(key, seen.document(key)?)))
}

/// An index that is not there, where there must be one.
fn not_published(provider: &Provider) -> Refusal {
    Refusal::new(Key::Versions { provider: provider.clone() }, format!("{provider} is not published"))
        .found("no index")
        .expected("the index of a provider that is published here")
        .remedy("check the target and the provider's name; no version of it was ever published here")
}

/// The record of a yanked version, if there is one.
fn yanked_record(seen: &Observation, key: &Key) -> Result<Option<YankedRecord>, Refusal> {
    seen.document(key).map(|read| YankedRecord::parse(key, &read.bytes)).transpose()
}

/// Platforms, or keys, in words.
fn names<T: ToString>(names: impl IntoIterator<Item = T>) -> String {
    names.into_iter().map(|name| name.to_string()).collect::<Vec<_>>().join(", ")
}

/// An object of `store/` that is not what its key says. Never overwritten.
#[must_use]
pub fn object_conflict(key: &Key, found: Digest, meant: Digest) -> Refusal {
    Refusal::new(key, "another object is there under the same key")
        .found(format!("SHA-256 {found}"))
        .expected(format!("SHA-256 {meant}"))
        .remedy(
            "objects in store/ never change, so something else than tfreg has written it; look at it, remove it by hand, \
             and publish these tarballs again",
        )
}
