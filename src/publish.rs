//! Publishing, and every other change of a registry: observe, plan and apply until the plan is empty.
//!
//! An empty plan on an observation made after the last write is the only success; a first plan that is empty means
//! "already published". So every run heals what an earlier one left, and concurrent runs converge: who loses a race
//! observes again and computes everything anew from what is there then.

pub mod budget;
pub mod capability;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use crate::error::{Error, Refusal, Result};
use crate::plan::{self, Action, Goal, Look, Observation, Plan, Probe, Seen, Stage, Step, Write};
use crate::registry::Key;
use crate::store::readback::{self, Meant, Verdict};
use crate::store::{Condition, Conditions, MAX_DOCUMENT, OnSent, Store, StoreError};
use crate::words;
use budget::Budget;
use capability::Proof;

/// Is told of what a run does.
pub trait Observer: Send + Sync {
    /// The first plan, before anything is written.
    fn planned(&self, plan: &Plan);

    /// An object is about to be sent; gives what is told of its bytes on their way.
    fn sending(&self, write: &Write) -> OnSent;

    /// An object is written.
    fn written(&self, key: &Key);

    /// The run waits, because others were first or the store gave no clear answer.
    fn waiting(&self, reason: &str);
}

/// How a run goes about its work.
pub struct Options {
    /// Writes at once.
    pub jobs: usize,
    /// Reads at once; they are small, so more of them.
    pub reads: usize,
    /// How long to go on when others are first.
    pub contention_timeout: Duration,
}

/// What a run has come to.
#[derive(Debug)]
pub struct Outcome {
    /// The last plan; all of it is in the registry.
    pub plan: Plan,
    /// What this run wrote.
    pub written: BTreeMap<Key, Effect>,
}

/// What a run did to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It was created.
    Created,
    /// It was replaced.
    Changed,
}

/// What a run that stopped had and had not written.
#[derive(Debug, Default)]
pub struct Unfinished {
    target: String,
    written: Vec<Key>,
    pending: Vec<Key>,
    /// What it means that the index was written.
    indexed: &'static str,
    /// Whether running again can complete it; a refusal stays one.
    completes: bool,
}

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |keys: &[Key], stage: Stage| keys.iter().filter(|key| Stage::of(key) == stage).count();
        if self.written.is_empty() {
            write!(f, "Nothing was written to {}.", self.target)?;
        } else {
            writeln!(f, "Written to {}:", self.target)?;
            for key in &self.written {
                writeln!(f, "  + {key}")?;
            }
            writeln!(f, "Not written, or not known to be:")?;
            for key in &self.pending {
                writeln!(f, "  - {key}")?;
            }
            let index = if count(&self.written, Stage::Index) > 0 {
                self.indexed
            } else {
                "The index was not changed by this run."
            };
            write!(f, "{index} What is listed is whole at every point.")?;
        }
        if self.completes {
            write!(f, " Running the same command again is safe, and completes what is missing.")
        } else {
            write!(f, " Running the same command again is safe, and is refused for the same reason.")
        }
    }
}

impl Unfinished {
    /// The keys that were written.
    #[must_use]
    pub fn written(&self) -> &[Key] {
        &self.written
    }

    /// The keys that were not written, or not known to be.
    #[must_use]
    pub fn pending(&self) -> &[Key] {
        &self.pending
    }
}

/// Observes as much as the plan depends on, and plans.
///
/// # Errors
/// The store cannot be read, or the plan is refused.
pub async fn observe<G: Goal>(
    store: &dyn Store,
    goal: &G,
    memory: &mut G::Memory,
    reads: usize,
) -> Result<Plan> {
    match observe_once(store, goal, memory, reads).await? {
        Observed::Plan(plan) => Ok(*plan),
        Observed::Missing(refusal) => Err(Error::Refused(refusal)),
    }
}

/// What an observation comes to.
enum Observed {
    Plan(Box<Plan>),
    /// Others may be about to write what is missing; refused with this if they do not.
    Missing(Box<Refusal>),
}

async fn observe_once<G: Goal>(
    store: &dyn Store,
    goal: &G,
    memory: &mut G::Memory,
    reads: usize,
) -> Result<Observed> {
    let mut seen = Observation::default();
    loop {
        let next = goal.next(&seen, memory).map_err(|refusal| with_target(refusal, store))?;
        let missing = match next {
            Step::Ready(plan) => {
                check_sizes(&plan).map_err(|refusal| with_target(refusal, store))?;
                return Ok(Observed::Plan(plan));
            }
            Step::Wait(refusal) => return Ok(Observed::Missing(Box::new(with_target(*refusal, store)))),
            Step::Look(missing) => missing,
            Step::List(folder) => {
                let found: Vec<_> = store.list(folder.as_str()).try_collect().await?;
                tracing::debug!(%folder, objects = found.len(), "listed");
                seen.folders.insert(folder, found);
                continue;
            }
        };
        tracing::debug!("looking at {} objects", missing.len());
        // In order, so that of several failures the same one is reported every time: that of a document, whose answer says
        // more than that of a HEAD request.
        let mut looks = stream::iter(missing.into_iter().map(|(key, look)| async move {
            let found = look_at(store, &key, look).await;
            (key, found)
        }))
        .buffered(reads);
        while let Some((key, found)) = looks.next().await {
            let found = found?;
            tracing::debug!(%key, found = %describe(&found), "seen");
            seen.objects.insert(key, found);
        }
    }
}

/// A remedy names commands as they are typed, for this store in place of TARGET.
fn with_target(mut refusal: Refusal, store: &dyn Store) -> Refusal {
    if refusal.remedy.contains("TARGET") {
        refusal.remedy = refusal.remedy.replace("TARGET", &words::quoted(&store.describe()));
    }
    refusal
}

/// Refuses a plan with a document that could not be read again once it is written: see [`MAX_DOCUMENT`].
fn check_sizes(plan: &Plan) -> Result<(), Refusal> {
    let large = |write: &&Write| {
        write.action != Action::Keep && !matches!(write.key, Key::Zip(..)) && write.body.len() > MAX_DOCUMENT
    };
    let Some(write) = plan.writes().iter().find(large) else { return Ok(()) };
    let remedy = match &write.key {
        Key::Versions(provider) => format!(
            "take versions that nobody needs any more out of the index, each by `tfreg yank TARGET {provider} VERSION`, and \
             run this again; nothing was written"
        ),
        _ => "shorten what makes it so long; nothing was written".to_owned(),
    };
    Err(Refusal::new(&write.key, "the document would be too large to be read again")
        .found(format!("{} bytes to be written", write.body.len()))
        .expected(format!("at most {MAX_DOCUMENT} bytes"))
        .remedy(remedy))
}

async fn look_at(store: &dyn Store, key: &Key, look: Look) -> Result<Seen, StoreError> {
    Ok(match look {
        Look::Read => store.get(key).await?.map_or(Seen::Absent, Seen::Document),
        Look::Summary => store.summary(key).await?.map_or(Seen::Absent, Seen::Summary),
    })
}

fn describe(seen: &Seen) -> String {
    match seen {
        Seen::Absent => "absent".to_owned(),
        Seen::Document(document) => {
            format!("{} bytes, revision {}", document.bytes.len(), document.revision.0)
        }
        Seen::Summary(summary) => format!("{} bytes, SHA-256 {}", summary.len, summary.digest),
    }
}

/// Makes the store hold what is wanted.
///
/// # Errors
/// The plan is refused, the store cannot be read or written, or others were first until the budget was used up. Once
/// something was planned, the error is an [`Error::Unfinished`] that says what was and what was not written.
pub async fn publish<G: Goal>(
    store: &dyn Store,
    goal: &G,
    options: &Options,
    budget: Budget,
    observer: &dyn Observer,
) -> Result<Outcome> {
    let mut run = Run {
        store,
        goal,
        jobs: options.jobs,
        reads: options.reads,
        budget,
        observer,
        memory: G::Memory::default(),
        written: BTreeMap::new(),
        pending: BTreeSet::new(),
        proven: store.conditions() == Conditions::Built,
    };
    match run.until_nothing_is_left().await {
        Ok(plan) => Ok(Outcome { plan, written: run.written }),
        Err(cause) if run.pending.is_empty() && run.written.is_empty() => Err(cause),
        Err(cause) => {
            let state = Unfinished {
                target: store.describe(),
                written: run.written.into_keys().collect(),
                pending: run.pending.into_iter().collect(),
                indexed: goal.indexed(),
                completes: !matches!(cause, Error::Refused(_)),
            };
            Err(Error::Unfinished { cause: Box::new(cause), state })
        }
    }
}

/// Why a round did not end as planned, and the next one must see what there is.
enum Interruption {
    /// Somebody else was first.
    Conflict(String),
    /// The store gave no clear answer.
    Unclear(StoreError),
}

impl fmt::Display for Interruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict(what) => f.write_str(what),
            Self::Unclear(error) => write!(f, "{}: {}", error.doing, error.answer),
        }
    }
}

/// How often what is missing is looked for again. Another publish writes it a few requests after what was seen of it, and
/// the pauses double: together they are some seconds.
const ROUNDS_FOR_OTHERS: u32 = 5;

/// What one write has come to.
enum Written {
    Done,
    Again(Interruption),
    Failed(Error),
}

struct Run<'a, G: Goal> {
    store: &'a dyn Store,
    goal: &'a G,
    jobs: usize,
    reads: usize,
    budget: Budget,
    observer: &'a dyn Observer,
    memory: G::Memory,
    written: BTreeMap<Key, Effect>,
    pending: BTreeSet<Key>,
    proven: bool,
}

impl<G: Goal> Run<'_, G> {
    async fn until_nothing_is_left(&mut self) -> Result<Plan> {
        let mut round = 0_u32;
        // Rounds since the last wait that wrote all they had planned.
        let mut clean = 0_u32;
        // Rounds in a row in which something was missing.
        let mut missing = 0_u32;
        loop {
            let plan = match observe_once(self.store, self.goal, &mut self.memory, self.reads).await? {
                Observed::Plan(plan) => plan,
                Observed::Missing(refusal) => {
                    missing += 1;
                    let reason = Interruption::Conflict(format!("{}: {}", refusal.subject, refusal.problem));
                    if missing > ROUNDS_FOR_OTHERS || self.wait(reason).await.is_err() {
                        return Err(Error::Refused(refusal));
                    }
                    continue;
                }
            };
            missing = 0;
            self.pending = plan
                .writes()
                .iter()
                .filter(|write| write.action != Action::Keep)
                .map(|w| w.key.clone())
                .collect();
            tracing::debug!(round, totals = %plan.totals(), "planned");
            if round == 0 {
                self.observer.planned(&plan);
            }
            if plan.is_empty() {
                return Ok(*plan);
            }
            if clean >= 2 {
                // All was written, twice, and again it is not as wanted: somebody else is writing too.
                self.wait(Interruption::Conflict("the registry goes on changing".to_owned())).await?;
                clean = 0;
                continue;
            }
            match self.apply(&plan).await? {
                None => clean += 1,
                Some(interruption) => {
                    self.wait(interruption).await?;
                    clean = 0;
                }
            }
            round += 1;
        }
    }

    /// Writes stage by stage; stops after a stage that did not end as planned.
    async fn apply(&mut self, plan: &Plan) -> Result<Option<Interruption>> {
        if !self.proven
            && let Some(interruption) = self.prove(plan).await?
        {
            return Ok(Some(interruption));
        }
        for stage in Stage::ALL {
            let writes: Vec<&Write> =
                plan.pending(stage).filter(|write| self.pending.contains(&write.key)).collect();
            if let Some(interruption) = self.write_all(&writes).await? {
                return Ok(Some(interruption));
            }
        }
        Ok(None)
    }

    /// Makes the store prove that it honours conditions, with an object that is there; where there is none yet, with one of
    /// this run that nothing points to.
    async fn prove(&mut self, plan: &Plan) -> Result<Option<Interruption>> {
        let Some(probe) = plan.probe() else { return Ok(None) };
        let Probe { key, body, is_there } = probe;
        if let Some(write) = plan.writes().iter().find(|write| !is_there && write.key == *key) {
            let created = self.write_all(&[write]).await.map_err(|error| match error {
                // Where the answer names something else that is not implemented, that is the remedy.
                Error::Store(error) if error.status == Some(501) && error.remedy.is_none() => {
                    let answer = format!("was answered {}", error.answer);
                    capability::refuse(self.store, capability::FIRST_CREATE, key, &answer).into()
                }
                error => error,
            })?;
            if let Some(interruption) = created {
                return Ok(Some(interruption));
            }
        }
        match capability::prove(self.store, key, body).await? {
            Proof::Honoured => {
                self.proven = true;
                Ok(None)
            }
            Proof::Unclear(answer) => Ok(Some(Interruption::Unclear(StoreError {
                doing: format!("cannot prove conditional writes on {}", self.store.describe()),
                answer,
                status: None,
                remedy: None,
            }))),
        }
    }

    /// Writes objects at the same time. All are brought to an end, so that what was written is known.
    async fn write_all(&mut self, writes: &[&Write]) -> Result<Option<Interruption>> {
        let (store, observer) = (self.store, self.observer);
        let mut results =
            stream::iter(writes.iter().map(|write| async move {
                (*write, write_one(store, write, observer.sending(write)).await)
            }))
            .buffer_unordered(self.jobs);
        let mut outcome = Ok(None);
        while let Some((write, result)) = results.next().await {
            match result {
                Written::Done => {
                    tracing::debug!(key = %write.key, "written");
                    observer.written(&write.key);
                    let effect =
                        if write.action == Action::Create { Effect::Created } else { Effect::Changed };
                    self.written.entry(write.key.clone()).or_insert(effect);
                    self.pending.remove(&write.key);
                    self.goal.written(&write.key, &mut self.memory);
                }
                Written::Again(interruption) => {
                    tracing::debug!(key = %write.key, %interruption, "not written");
                    if outcome.is_ok() {
                        outcome = Ok(Some(interruption));
                    }
                }
                Written::Failed(error) => {
                    if outcome.is_ok() {
                        outcome = Err(error);
                    } else {
                        tracing::debug!("also failed: {error}");
                    }
                }
            }
        }
        outcome
    }

    async fn wait(&mut self, interruption: Interruption) -> Result<()> {
        self.observer.waiting(&interruption.to_string());
        let Err(spent) = self.budget.wait().await else { return Ok(()) };
        Err(match interruption {
            Interruption::Conflict(last) => Error::Contended { waited: spent.as_secs(), last },
            // A store that asks for fewer requests is contended; one that fails otherwise is broken.
            Interruption::Unclear(error) if matches!(error.status, Some(429 | 503)) => {
                Error::Contended { waited: spent.as_secs(), last: error.to_string() }
            }
            Interruption::Unclear(error) => Error::Store(error),
        })
    }
}

/// Writes one object, once, and finds out what became of it.
async fn write_one(store: &dyn Store, write: &Write, on_sent: OnSent) -> Written {
    let condition = match &write.action {
        Action::Replace { revision, .. } => Condition::Unchanged(revision.clone()),
        Action::Create | Action::Keep => Condition::Absent,
    };
    let meant = Meant::by(&write.key, write.body.digest());
    let answer = store.put(&write.key, &write.body, &condition, on_sent).await;
    let now = if readback::needs_reading(meant, &answer) {
        match store.summary(&write.key).await {
            Ok(now) => now,
            Err(error) => return Written::Failed(error.into()),
        }
    } else {
        None
    };
    match readback::judge(meant, answer, now) {
        Verdict::Done => Written::Done,
        Verdict::Overtaken(answer) => Written::Again(Interruption::Conflict(format!(
            "{} was written by another publish ({answer})",
            write.key
        ))),
        Verdict::Busy(who) => Written::Again(Interruption::Conflict(who)),
        Verdict::Unclear(error) => Written::Again(Interruption::Unclear(error)),
        Verdict::Different(found) => {
            Written::Failed(plan::foreign(&write.key, found, write.body.digest()).into())
        }
        Verdict::Failed(error) => Written::Failed(error.into()),
    }
}
