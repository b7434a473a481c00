//! The goal of a backfill: several versions of one provider, written together.
//!
//! Each version is planned by the planner of a publish. What they share, the index above all, is written once: the plan
//! of each version is made as if the plans before it were carried out already, and of each shared object the last
//! contents are written, under the condition of what was observed. So the rules of a publish hold for every version of a
//! batch: the stages are those of the whole batch, and the index comes behind the documents of all of its versions.

use std::collections::{BTreeMap, BTreeSet};

use super::pages::Wanted;
use super::{
    Action, ConditionCheck, Flags, Goal, Observation, Observed, Plan, PublishGoal, ReadKind, RunState, Stage,
    Step, ToSign, Write, planner,
};
use crate::content::{Digest, Sealed};
use crate::error::Refusal;
use crate::provider::ReleaseId;
use crate::registry::{Folder, Key, VersionsDocument};
use crate::store::{Document, Revision};

/// Several versions of one provider, the oldest first.
#[derive(Debug)]
pub struct Batch {
    goals: Vec<PublishGoal>,
    releases: BTreeMap<ReleaseId, usize>,
}

/// The state of a batch from round to round: that of each version.
#[derive(Debug, Default)]
pub struct BatchState(Vec<RunState>);

impl BatchState {
    /// The state of the version at a position.
    fn of(&mut self, at: usize) -> &mut RunState {
        if self.0.len() <= at {
            self.0.resize_with(at + 1, RunState::default);
        }
        &mut self.0[at]
    }
}

/// What the versions need before the batch can be planned.
#[derive(Default)]
struct Needs {
    reads: Vec<(Key, ReadKind)>,
    folder: Option<Folder>,
    others: Option<Box<Refusal>>,
    unsigned: Vec<ToSign>,
}

impl Needs {
    /// Takes a step that is not the plan of a version.
    fn add(&mut self, step: Step) {
        match step {
            Step::Read(reads) => self.reads.extend(reads),
            Step::List(folder) => self.folder = Some(folder),
            Step::Wait(refusal) => drop(self.others.get_or_insert(refusal)),
            Step::Sign(documents) => self.unsigned.extend(documents),
            Step::Ready(_) => {}
        }
    }

    /// The next step of the batch, if it cannot be planned yet. Signatures come last: they need not be made if something
    /// is refused.
    fn step(self) -> Option<Step> {
        if !self.reads.is_empty() {
            let mut known = BTreeSet::new();
            let reads = self.reads.into_iter().filter(|(key, _)| known.insert(key.clone()));
            return Some(Step::Read(reads.collect()));
        }
        let list = self.folder.map(Step::List);
        list.or_else(|| self.others.map(Step::Wait))
            .or_else(|| (!self.unsigned.is_empty()).then_some(Step::Sign(self.unsigned)))
    }
}

impl Batch {
    /// A batch of these versions, in the order in which they are written.
    #[must_use]
    pub fn new(goals: Vec<PublishGoal>) -> Self {
        let id = |goal: &PublishGoal| ReleaseId::new(&goal.provider, goal.packages.version());
        let releases = goals.iter().enumerate().map(|(at, goal)| (id(goal), at)).collect();
        Self { goals, releases }
    }

    /// The versions, in order.
    #[must_use]
    pub fn goals(&self) -> &[PublishGoal] {
        &self.goals
    }

    /// The position of the version that an object is of.
    fn position(&self, key: &Key) -> Option<usize> {
        self.releases.get(key.release()?).copied()
    }
}

impl Goal for Batch {
    type RunState = BatchState;

    fn next(&self, seen: &Observation, state: &mut BatchState) -> Result<Step, Refusal> {
        let mut view = seen.clone();
        // It is parsed once, not once for each version.
        let provider = self.goals.first().map(|goal| goal.provider.clone());
        if let Some(key) = provider.map(|provider| Key::Versions { provider })
            && let Some(read) = seen.document(&key)
        {
            let index = VersionsDocument::parse(&key, &read.bytes)?;
            view.indexes.insert(key, index);
        }
        let (mut needs, mut merged) = (Needs::default(), Merged::default());
        for (at, goal) in self.goals.iter().enumerate() {
            match planner::next(goal, &view, state.of(at))? {
                // What leaves the network mirror leaves it before anything else is written, so this plan may list nothing new
                // there. The version is planned alone, and the others in the next round.
                Step::Ready(plan) if plan.withdraws && self.goals.len() > 1 => {
                    return planner::next(goal, seen, state.of(at));
                }
                Step::Ready(plan) => merged.add(*plan, seen, &mut view),
                step => needs.add(step),
            }
        }
        Ok(needs.step().unwrap_or_else(|| Step::Ready(Box::new(merged.plan(seen)))))
    }

    fn flags(&self) -> Flags {
        // A registry may refuse pre-releases, and replacing; the rest is the same for all versions of a run.
        let is_prerelease = |goal: &&PublishGoal| goal.packages.version().is_prerelease();
        let goal = self.goals.iter().find(is_prerelease).or_else(|| self.goals.first());
        goal.map(Goal::flags).unwrap_or_default()
    }

    fn pages<'a>(&'a self, state: &'a BatchState) -> Wanted<'a> {
        // A documentation is of one version.
        match (self.goals.as_slice(), state.0.first()) {
            ([goal], Some(state)) => goal.pages(state),
            _ => Wanted::default(),
        }
    }

    fn signed(&self, document: &ToSign, signature: Sealed, state: &mut BatchState) {
        if let Some(at) = self.position(&document.key) {
            state.of(at).signatures.insert(Digest::of(&document.document), signature);
        }
    }

    fn written(&self, key: &Key, state: &mut BatchState) {
        // Pages of a documentation are of the only version.
        if let Some(at) = self.position(key).or_else(|| (self.goals.len() == 1).then_some(0))
            && let Some(goal) = self.goals.get(at)
        {
            goal.written(key, state.of(at));
        }
    }

    fn indexed(&self) -> &'static str {
        if self.goals.len() == 1 {
            "The index lists this run's version."
        } else {
            "The index lists these versions of this run."
        }
    }
}

/// The plans of the versions so far, as one.
#[derive(Default)]
struct Merged {
    plan: Plan,
    /// The positions of what several versions share.
    shared: BTreeMap<Key, usize>,
}

impl Merged {
    /// Adds the plan of a version, and lets the next one see what it writes of what they share.
    fn add(&mut self, plan: Plan, seen: &Observation, view: &mut Observation) {
        let check = plan.condition_check.filter(|check| is_usable(check, &plan.writes, seen));
        let is_better = |check: &ConditionCheck| {
            let known = self.plan.condition_check.as_ref();
            known.is_none_or(|known| check.is_there && !known.is_there)
        };
        if let Some(check) = check.filter(is_better) {
            self.plan.condition_check = Some(check);
        }
        self.plan.changes.extend(plan.changes);
        self.plan.signed.extend(plan.signed);
        self.plan.listed.extend(plan.listed);
        if let Some(index) = plan.index {
            view.indexes.insert(index.key().clone(), index);
        }
        self.plan.max_age = self.plan.max_age.or(plan.max_age);
        self.plan.withdraws |= plan.withdraws;
        for warning in plan.warnings {
            if !self.plan.warnings.contains(&warning) {
                self.plan.warnings.push(warning);
            }
        }
        for write in plan.writes {
            if write.key.release().is_none()
                && let Some(bytes) = write.body.bytes()
            {
                let revision = match view.document(&write.key) {
                    Some(document) => document.revision.clone(),
                    // Never sent: the action is that of the observation.
                    None => Revision(String::new()),
                };
                let document = Document { bytes: bytes.clone(), revision };
                view.objects.insert(write.key.clone(), Observed::Document(document));
                if let Some(write_at) = self.shared.get(&write.key) {
                    self.plan.writes[*write_at] = write;
                    continue;
                }
                self.shared.insert(write.key.clone(), self.plan.writes.len());
            }
            self.plan.writes.push(write);
        }
    }

    /// The plan of the batch. What is shared is written once, in the place of what was observed.
    fn plan(mut self, seen: &Observation) -> Plan {
        for (key, at) in self.shared {
            let Write { body, action, .. } = &mut self.plan.writes[at];
            *action = match seen.document(&key) {
                None => Action::Create,
                Some(read) if body.digest() == Digest::of(&read.bytes) => Action::Keep,
                Some(read) => {
                    let old_len = read.bytes.len() as u64;
                    Action::Replace { revision: read.revision.clone(), old_len }
                }
            };
        }
        let withdraws = self.plan.withdraws;
        self.plan.writes.sort_by_key(|write| Stage::of(&write.key, withdraws));
        self.plan
    }
}

/// Whether a store can be checked with this object: it is there, or is created. What only the plan of an earlier version
/// has put into the view is not there yet.
fn is_usable(check: &ConditionCheck, writes: &[Write], seen: &Observation) -> bool {
    if !check.is_there {
        let creates = |write: &Write| write.key == check.key && write.action == Action::Create;
        return writes.iter().any(creates);
    }
    let is_seen = |read: &Document| Digest::of(&read.bytes) == check.body.digest();
    check.key.release().is_some() || seen.document(&check.key).is_some_and(is_seen)
}
