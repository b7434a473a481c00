//! The plan: the objects that have to be written to reach a goal. A pure function of a [`Goal`] and of what was
//! observed; it is printed as it is before anything is done, and a dry run prints the same.
//!
//! The planner also returns what has to be read first ([`Step::Read`]), so that everything relevant is read, and
//! nothing else, in as few rounds as possible.
//!
//! Each command has a goal, with its own planner. The goal of a publish: all download documents of the version point to
//! one SHA256SUMS that lists all its platforms, the version is in the index, and the discovery document exists.
//! Platforms that a SHA256SUMS in use lists stay listed, so that two publishers who add platforms at the same time
//! never drop each other's from the users' lock files.
//!
//! # What is signed, embedded and listed, and its proof
//!
//! Whoever can write the registry can put any object anywhere. So the run signs, embeds or newly lists only objects
//! that it has made, or that it proves to be signed by a trusted key; and a signature proves the bytes of an object,
//! not its place.
//!
//! | object | where | proof |
//! | --- | --- | --- |
//! | a line of SHA256SUMS for a platform of the run | publish | the run has made the zip, and checked it |
//! | a line for another platform | publish: `planner::next_checksums` | the SHA256SUMS in use has the digest of its key and a signature by *this run's* key, all its lines are zips of this provider and version, and the platform's document has the line's file name and digest |
//! | the SHA256SUMS as a whole | publish: `planner` | it consists of these lines only; an existing object under its key must have the same bytes |
//! | the record of the publish | publish: `planner::record` | it is, byte for byte, what this run would write |
//! | the hashes of a zip in `packages` and in the network mirror, and of an earlier zip in a record | publish: `planner::packages` | the run has made the zip; or a record says it that *this run's* key has signed; or the zip was read, and has the digest of its proven line |
//! | an existing SHA256SUMS | [`resign`] | digest, lines of this version only, a signature by a key that is embedded *and* that the user has named; each document matches its line |
//! | an existing record | [`resign`] | a signature by a key that the user has named, and its contents are about this version and zips in its SHA256SUMS |
//! | the public key in a document | publish, [`resign`] | it is the key that signs in this run; it replaces another published key only with `--replace-key`, or if the user has named that key |
//! | a newer copy of the public key | [`resign`] (`--refresh-key`) | the user gives it, it is a copy of the embedded key, not older, and verifies the signature |
//! | a platform listed by a publish | publish | it is one of this run; the others in the index stay |
//! | a version or platform listed again | [`reindex`], [`unyank`] | [`completeness`]: all objects that its documents point to exist, are of this version, and are signed by an embedded key: one key for all, or one that the user has named |
//! | an index where there was none | publish, [`reindex`] | the provider's folder was listed: a publish is refused if it contains documents of other versions or platforms (`lost_index`) |
//!
//! No object can prove for which namespace or registry a SHA256SUMS was made, if one key signs the same type and
//! version for several; nor that it is the newest one that a trusted key has signed.

pub mod align;
pub mod batch;
pub mod completeness;
pub mod init;
mod lost_index;
mod mirror;
pub mod pages;
mod planner;
mod publish_goal;
pub mod reindex;
pub mod resign;
pub mod settings_check;
pub mod unyank;
pub mod upstream;
pub mod warn;
pub mod yank;
pub mod yank_expired;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bytes::Bytes;

use crate::content::{Digest, DirHash, Sealed};
use crate::error::Refusal;
use crate::provider::{Provider, ReleaseId};
use crate::registry::pages::PageKey;
use crate::registry::{DocumentMaxAge, Folder, Key, Settings, YankedRecord};
use crate::store::{Document, Listed, Revision, Summary};
use crate::words;
pub use publish_goal::{PublishGoal, Published, RunState, VersionKey};
pub use settings_check::Flags;

/// The goal of a command; the same for all rounds of its run.
pub trait Goal: Send + Sync {
    /// The state of a run from round to round. Only facts that cannot become false, and hints where to look.
    type RunState: Default + Send;

    /// Computes the next step from the observations of this round.
    ///
    /// # Errors
    /// Fails if the registry contains something that cannot be parsed, or if the goal is refused.
    fn next(&self, seen: &Observation, state: &mut Self::RunState) -> Result<Step, Refusal>;

    /// What the command line says that the registry's settings may say otherwise.
    fn flags(&self) -> Flags {
        Flags::default()
    }

    /// What the run wants of the registry's pages.
    fn pages<'a>(&'a self, _state: &'a Self::RunState) -> pages::Wanted<'a> {
        pages::Wanted::default()
    }

    /// Records a signature that [`Step::Sign`] has requested, and that verifies with this run's key. Not called for a
    /// goal that signs nothing.
    fn signed(&self, _document: &ToSign, _signature: Sealed, _state: &mut Self::RunState) {}

    /// Records that this run has written an object.
    fn written(&self, key: &Key, state: &mut Self::RunState);

    /// What it means for readers of the registry that this run has written the index.
    fn indexed(&self) -> &'static str;
}

/// How an object is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadKind {
    /// Its bytes and revision.
    Read,
    /// Its length and digest only.
    Summary,
    /// All of a zip, for its hashes. A zip may be large, so this is only read if no record has them.
    Zip,
}

/// What is known of a zip that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadZip {
    /// Its length in bytes.
    pub len: u64,
    /// Its SHA-256.
    pub digest: Digest,
    /// The hash of the files in it, or why it has none.
    pub h1: Result<DirHash, String>,
}

/// The observed state of an object.
#[derive(Debug, Clone)]
pub enum Observed {
    /// The store answered that it does not exist.
    Absent,
    /// It was read.
    Document(Document),
    /// Its length and digest were read.
    Summary(Summary),
    /// It is a zip, and was read.
    Zip(ReadZip),
}

/// The observations of one round.
#[derive(Debug, Clone, Default)]
pub struct Observation {
    /// Objects.
    pub objects: BTreeMap<Key, Observed>,
    /// The listings of folders.
    pub folders: BTreeMap<Folder, Vec<Listed>>,
    /// The registry's settings, once they were read.
    settings: Option<Settings>,
}

impl Observation {
    /// A document that was read; `None` if it does not exist, or was not read.
    #[must_use]
    pub fn document(&self, key: &Key) -> Option<&Document> {
        match self.objects.get(key) {
            Some(Observed::Document(document)) => Some(document),
            _ => None,
        }
    }

    /// The registry's settings; `None` if it has none, or before they were read.
    #[must_use]
    pub fn settings(&self) -> Option<&Settings> {
        self.settings.as_ref()
    }

    /// Those of `reads` that were not made yet, as the next step; `None` if all were made.
    fn missing(&self, reads: impl IntoIterator<Item = (Key, ReadKind)>) -> Option<Step> {
        // Of a whole registry these are many thousands.
        let (mut missing, mut known) = (Vec::new(), BTreeSet::new());
        for (key, kind) in reads {
            if !self.objects.contains_key(&key) && known.insert(key.clone()) {
                missing.push((key, kind));
            }
        }
        if missing.is_empty() { None } else { Some(Step::Read(missing)) }
    }
}

/// The next step of a run.
#[derive(Debug)]
pub enum Step {
    /// These objects have to be read first.
    Read(Vec<(Key, ReadKind)>),
    /// This folder has to be listed first.
    List(Folder),
    /// This run's key has to sign these documents first.
    Sign(Vec<ToSign>),
    /// Something is missing that another run may be about to write. The run looks again after a pause; if it is still
    /// missing, the goal is refused for this reason.
    Wait(Box<Refusal>),
    /// Everything relevant was read.
    Ready(Box<Plan>),
}

/// A document to sign: its bytes are proven to be this run's to sign (see the table above).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToSign {
    /// Its key.
    pub key: Key,
    /// The bytes to sign.
    pub document: Bytes,
}

impl ToSign {
    fn new(key: &Key, document: impl Into<Bytes>) -> Self {
        Self { key: key.clone(), document: document.into() }
    }
}

/// The action for one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// It does not exist and is created.
    Create,
    /// It is replaced, if it has not changed since it was read.
    Replace {
        /// The revision that was read.
        revision: Revision,
        /// Its length at that time.
        old_len: u64,
    },
    /// It is as wanted already.
    Keep,
}

/// One object of the plan.
#[derive(Debug, Clone)]
pub struct Write {
    /// Its key.
    pub key: Key,
    /// Its wanted contents.
    pub body: Sealed,
    /// The action.
    pub action: Action,
}

/// The stage in which an object is written: all objects of a stage are written before the next stage begins, so that a
/// reader never sees a version with missing parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Objects of `store/`, to which nothing points yet.
    Store,
    /// The settings, download documents, yank records and keys of mirrored providers; then the record's signature, once the
    /// record is known to be this run's.
    Downloads,
    /// The index of the network mirror, where it loses versions: it never lists what the index does not.
    Withdrawal,
    /// The index, and what the network mirror has of a version.
    Index,
    /// The index of the network mirror, where it gets versions.
    MirrorIndex,
    /// The discovery document.
    Discovery,
    /// Pages of versions, and what pages load.
    VersionPages,
    /// Pages that lead to these.
    Pages,
    /// The page of all providers, which leads to theirs.
    RegistryPage,
}

impl Stage {
    /// All stages in order.
    pub const ALL: [Self; 9] = [
        Self::Store,
        Self::Downloads,
        Self::Withdrawal,
        Self::Index,
        Self::MirrorIndex,
        Self::Discovery,
        Self::VersionPages,
        Self::Pages,
        Self::RegistryPage,
    ];

    /// The stage in which an object is written; `withdraws` says whether indexes of the network mirror lose versions.
    fn of(key: &Key, withdraws: bool) -> Self {
        match key {
            Key::Zip { .. }
            | Key::Sums { .. }
            | Key::Signature { .. }
            | Key::Provenance { .. }
            | Key::Kept(_) => Self::Store,
            Key::Settings
            | Key::Download { .. }
            | Key::Yanked { .. }
            | Key::ProvenanceSignature { .. }
            | Key::MirrorKeys { .. } => Self::Downloads,
            Key::Versions { .. } | Key::MirrorVersion { .. } => Self::Index,
            Key::MirrorIndex { .. } if withdraws => Self::Withdrawal,
            Key::MirrorIndex { .. } => Self::MirrorIndex,
            Key::Discovery => Self::Discovery,
            Key::Page(PageKey::Asset { .. } | PageKey::Docs { .. } | PageKey::Release { .. }) => {
                Self::VersionPages
            }
            Key::Page(PageKey::Registry) => Self::RegistryPage,
            Key::Page(_) => Self::Pages,
        }
    }
}

/// The objects to write, in order.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    changes: Vec<String>,
    writes: Vec<Write>,
    warnings: Vec<String>,
    signed: Vec<SignedObjects>,
    /// The versions whose entry in the index is new or changes.
    listed: BTreeSet<ReleaseId>,
    condition_check: Option<ConditionCheck>,
    /// How long clients may keep a document, if the registry's settings say it.
    max_age: Option<DocumentMaxAge>,
    /// The registry's settings.
    settings: Option<Settings>,
    /// Whether indexes of the network mirror lose versions, and are written before the index.
    withdraws: bool,
}

/// An object with which a store can be checked for honouring conditions: see [`crate::publish::conditional_writes`].
#[derive(Debug, Clone)]
pub struct ConditionCheck {
    /// Its key.
    pub key: Key,
    /// Its contents.
    pub body: Sealed,
    /// Whether it exists, or the plan has to create it.
    pub is_there: bool,
}

impl ConditionCheck {
    fn there(key: &Key, document: &Document) -> Self {
        Self { key: key.clone(), body: Sealed::from_bytes(document.bytes.clone()), is_there: true }
    }
}

/// The SHA256SUMS to which the version's documents point, and its signature.
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
    /// The changes for users, in words; those of a publish follow from its objects.
    #[must_use]
    pub fn changes(&self) -> &[String] {
        &self.changes
    }

    /// All objects of the wanted state, in the order of writing.
    #[must_use]
    pub fn writes(&self) -> &[Write] {
        &self.writes
    }

    /// The objects of one stage that have to be written.
    pub fn pending(&self, stage: Stage) -> impl Iterator<Item = &Write> {
        let is_pending = move |write: &&Write| {
            write.action != Action::Keep && Stage::of(&write.key, self.withdraws) == stage
        };
        self.writes.iter().filter(is_pending)
    }

    /// Whether nothing has to be written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.writes.iter().all(|write| write.action == Action::Keep)
    }

    /// The warnings for the user.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// A version's SHA256SUMS and signature, if this is the plan of its publish.
    #[must_use]
    pub fn signed(&self, of: &ReleaseId) -> Option<&SignedObjects> {
        self.signed.iter().find(|signed| signed.sums.release() == Some(of))
    }

    /// The versions whose entry in the index is new or changes by a publish.
    #[must_use]
    pub fn listed(&self) -> &BTreeSet<ReleaseId> {
        &self.listed
    }

    /// The object for a check of conditional writes.
    #[must_use]
    pub fn condition_check(&self) -> Option<&ConditionCheck> {
        self.condition_check.as_ref()
    }

    /// How long clients may keep a document, if the registry's settings say it.
    #[must_use]
    pub fn max_age(&self) -> Option<DocumentMaxAge> {
        self.max_age
    }

    /// The registry's settings as they were observed for this plan; `None` if it has none.
    #[must_use]
    pub fn settings(&self) -> Option<&Settings> {
        self.settings.as_ref()
    }

    /// Replaces `TARGET` in the commands of warnings.
    pub fn name_target(&mut self, target: &str) {
        for warning in self.warnings.iter_mut().filter(|warning| warning.contains("TARGET")) {
            *warning = warning.replace("TARGET", target);
        }
    }

    /// The numbers of objects that are created, changed and unchanged.
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
    /// Objects that are as wanted already.
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

/// Replaces a document that was read by its wanted contents; keeps it if they are the same.
fn replace(key: Key, read: &Document, wanted: Vec<u8>) -> Write {
    if read.bytes == wanted {
        return keep(key, &read.bytes);
    }
    let action = Action::Replace { revision: read.revision.clone(), old_len: read.bytes.len() as u64 };
    Write { key, body: Sealed::from_bytes(wanted), action }
}

/// The write by which an object says what is wanted. What was read stays, byte for byte, if it says so already.
fn revise(key: &Key, read: Option<&Document>, is_so: bool, wanted: impl FnOnce() -> Vec<u8>) -> Write {
    match read {
        Some(read) if is_so => keep(key.clone(), &read.bytes),
        Some(read) => replace(key.clone(), read, wanted()),
        None => Write { key: key.clone(), body: Sealed::from_bytes(wanted()), action: Action::Create },
    }
}

/// The object for a check of conditional writes: discovery, which is rarely changed, or else a document that was just
/// read.
fn condition_check(seen: &Observation, other: &Key) -> Option<ConditionCheck> {
    [&Key::Discovery, other].into_iter().find_map(|key| Some(ConditionCheck::there(key, seen.document(key)?)))
}

/// The refusal for a missing index.
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

/// The refusal for an object of `store/` whose contents do not match its key. It is never overwritten.
#[must_use]
pub fn object_conflict(key: &Key, found: Digest, meant: Digest) -> Refusal {
    Refusal::new(key, "another object is there under the same key")
        .found(format!("SHA-256 {found}"))
        .expected(format!("SHA-256 {meant}"))
        .remedy(
            "objects in store/ never change, so something else than tfreg has written it; look at it, remove it by hand, \
             and run this again",
        )
}
