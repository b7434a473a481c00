//! The goal of a backfill: several versions of one provider, written together.
//!
//! Each version is planned by the planner of a publish, which lists it in what the versions share: the
//! index above all, as the versions before have left it. That is written once, under the condition of what was observed. So
//! the rules of a publish hold for every version of a batch: the stages are those of the whole batch, and the index comes
//! behind the documents of all of its versions.

use std::collections::{BTreeMap, BTreeSet};

use super::pages::Wanted;
use super::planner::{self, Shared};
use super::{
    Action, ConditionCheck, Flags, Goal, Observation, Plan, PublishGoal, ReadKind, RunState, Step, ToSign,
    Write,
};
use crate::content::{Digest, Sealed};
use crate::error::Refusal;
use crate::provider::ReleaseId;
use crate::registry::{Folder, Key};

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
        let mut shared = Shared::new(seen);
        let (mut needs, mut merged) = (Needs::default(), Merged::default());
        for (at, goal) in self.goals.iter().enumerate() {
            match planner::of_version(goal, seen, state.of(at), &mut shared)? {
                Step::Ready(plan) => merged.add(*plan),
                step => needs.add(step),
            }
        }
        Ok(needs.step().unwrap_or_else(|| Step::Ready(Box::new(shared.complete(merged.plan)))))
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
    /// What several versions write, with the same contents: the discovery document.
    common: BTreeSet<Key>,
}

impl Merged {
    /// Adds the plan of a version.
    fn add(&mut self, plan: Plan) {
        let check = plan.condition_check.filter(|check| is_usable(check, &plan.writes));
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
        for warning in plan.warnings {
            if !self.plan.warnings.contains(&warning) {
                self.plan.warnings.push(warning);
            }
        }
        for write in plan.writes {
            if write.key.release().is_some() || self.common.insert(write.key.clone()) {
                self.plan.writes.push(write);
            }
        }
    }
}

/// Whether a store can be checked with this object: it is there, or is created.
fn is_usable(check: &ConditionCheck, writes: &[Write]) -> bool {
    let creates = |write: &Write| write.key == check.key && write.action == Action::Create;
    check.is_there || writes.iter().any(creates)
}
