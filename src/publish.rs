//! Publishing, and every other change of a registry: observe, plan and apply until the plan is empty.
//!
//! A run succeeds only with an empty plan that was computed from an observation after its last write; if the first plan
//! is empty, the release is "already published". So every run repairs what an earlier one left incomplete, and
//! concurrent runs converge: a run that loses a race observes and plans again.

pub mod conditional_writes;
pub mod zips;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::sync::Semaphore;

use crate::content::Sealed;
use crate::error::{Error, Refusal, Result, Unfinished};
use crate::openpgp::KeyId;
use crate::openpgp::signer::{Holder, Signer, sign_and_verify};
use crate::plan::{
    self, Action, ConditionCheck, Flags, Goal, Observation, Observed, Plan, ReadKind, Stage, Step, ToSign,
    Write, settings_check,
};
use crate::provider::ReleaseId;
use crate::registry::{DocumentMaxAge, Key, Settings};
use crate::store::budget::Budget;
use crate::store::readback::{self, Intent, WriteOutcome};
use crate::store::snapshot::Snapshot;
use crate::store::{Condition, Conditions, MAX_DOCUMENT, OnSent, RegistryStore, StoreError};
use crate::words;
use crate::worker;
use conditional_writes::Proof;

/// Observes the progress of a run.
pub trait Observer: Send + Sync {
    /// The first plan, before anything is written.
    fn planned(&self, plan: &Plan);

    /// The registry's settings, as each round of the run has read them; `None` if it has none.
    fn settings(&self, _settings: Option<&Settings>) {}

    /// Called before an object is sent; returns a function that is called with the bytes sent.
    fn sending(&self, write: &Write) -> OnSent;

    /// An object is written.
    fn written(&self, key: &Key);

    /// The run waits, because other runs wrote first or the store gave no clear answer.
    fn waiting(&self, reason: &str);

    /// `holder` is about to be asked for `count` signatures by a key. Until the result is dropped, it may ask a person on
    /// the terminal.
    fn signing(&self, _key: &KeyId, _holder: Holder, _count: usize) -> Box<dyn Send> {
        Box::new(())
    }
}

/// The settings of a run.
pub struct Options {
    /// Concurrent writes.
    pub jobs: usize,
    /// Concurrent reads; they are small, so there are more of them.
    pub reads: usize,
    /// How long to retry when other runs write first.
    pub contention_timeout: Duration,
    /// The signer, for goals that require signatures.
    pub signer: Option<Arc<dyn Signer>>,
    /// Whether all objects of the plan are read once more, with the last observation, to be verified.
    pub read_back: bool,
    /// How long clients may keep a document (`--document-max-age`), if the registry has no settings.
    pub max_age: Option<DocumentMaxAge>,
}

/// The result of a run.
#[derive(Debug)]
pub struct Outcome {
    /// The last plan; all its objects are in the registry.
    pub plan: Plan,
    /// The objects that this run wrote.
    pub written: BTreeMap<Key, Effect>,
    /// The versions whose entry in the index this run has written.
    pub listed: BTreeSet<ReleaseId>,
    /// The plan's objects, read after the last write, if that was [wanted](Options::read_back).
    pub snapshot: Option<Snapshot>,
}

/// What a run did to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It was created.
    Created,
    /// It was replaced.
    Changed,
}

/// Reads the objects on which the plan depends, and computes the plan.
///
/// # Errors
/// Fails if the store cannot be read, or the plan is refused.
pub async fn observe<G: Goal>(
    store: &RegistryStore,
    goal: &G,
    state: &mut G::RunState,
    options: &Options,
    observer: &dyn Observer,
) -> Result<Plan> {
    match observe_once(store, goal, state, options, observer).await? {
        RoundResult::Plan(plan) => Ok(*plan),
        RoundResult::Missing(refusal) => Err(Error::Refused(refusal)),
    }
}

/// Checks that a goal is not refused as the registry is now; signs nothing and writes nothing.
///
/// # Errors
/// Fails if the store cannot be read, or the plan is refused.
pub async fn check<G: Goal>(store: &RegistryStore, goal: &G, options: &Options) -> Result<()> {
    match look(store, goal, &mut G::RunState::default(), &mut Observation::default(), options).await? {
        // Signing comes after all that can be refused.
        Looked::Plan(_) | Looked::Unsigned(_) => Ok(()),
        Looked::Missing(refusal) => Err(Error::Refused(refusal)),
    }
}

/// The result of an observation.
enum RoundResult {
    Plan(Box<Plan>),
    /// Another run may be about to write the missing objects; if it does not, the goal is refused for this reason.
    Missing(Box<Refusal>),
}

async fn observe_once<G: Goal>(
    store: &RegistryStore,
    goal: &G,
    state: &mut G::RunState,
    options: &Options,
    observer: &dyn Observer,
) -> Result<RoundResult> {
    let mut seen = Observation::default();
    loop {
        match look(store, goal, state, &mut seen, options).await? {
            Looked::Plan(plan) => return Ok(RoundResult::Plan(plan)),
            Looked::Missing(refusal) => return Ok(RoundResult::Missing(refusal)),
            Looked::Unsigned(documents) => {
                for (document, signature) in sign_all(options.signer.as_deref(), documents, observer).await? {
                    goal.signed(&document, signature, state);
                }
            }
        }
    }
}

/// What an observation has led to.
enum Looked {
    Plan(Box<Plan>),
    Missing(Box<Refusal>),
    /// These signatures are needed first.
    Unsigned(Vec<ToSign>),
}

/// Reads the objects on which the plan depends, beyond those that were `seen`.
async fn look<G: Goal>(
    store: &RegistryStore,
    goal: &G,
    state: &mut G::RunState,
    seen: &mut Observation,
    options: &Options,
) -> Result<Looked> {
    let flags = Flags { max_age: options.max_age, ..goal.flags() };
    loop {
        let next = worker::compute(|| settings_check::next(goal, &flags, seen, state));
        let next = next.map_err(|refusal| with_target(refusal, store))?;
        let missing = match next {
            Step::Ready(mut plan) => {
                plan.name_target(&words::quoted(&store.describe()));
                check_sizes(&plan).map_err(|refusal| with_target(refusal, store))?;
                return Ok(Looked::Plan(plan));
            }
            Step::Wait(refusal) => return Ok(Looked::Missing(Box::new(with_target(*refusal, store)))),
            Step::Sign(documents) => return Ok(Looked::Unsigned(documents)),
            Step::Read(missing) => missing,
            Step::List(folder) => {
                let found: Vec<_> = store.list(folder.as_str()).try_collect().await?;
                tracing::debug!(%folder, objects = found.len(), "listed");
                seen.folders.insert(folder, found);
                continue;
            }
        };
        tracing::debug!("looking at {} objects", missing.len());
        // In order, so that of several failures the same one is always reported: that of a document, whose answer says
        // more than that of a HEAD request.
        let zips = &Semaphore::new(zips::AT_ONCE);
        let mut reads = stream::iter(missing.into_iter().map(|(key, kind)| async move {
            let found = read_one(store, &key, kind, zips).await;
            (key, found)
        }))
        .buffered(options.reads);
        while let Some((key, found)) = reads.next().await {
            let found = found?;
            tracing::debug!(%key, found = %describe(&found), "seen");
            seen.objects.insert(key, found);
        }
    }
}

/// Signs documents. Fails if a signature does not verify with the key that clients will get.
async fn sign_all(
    signer: Option<&dyn Signer>,
    documents: Vec<ToSign>,
    observer: &dyn Observer,
) -> Result<Vec<(ToSign, Sealed)>> {
    let names = || documents.iter().map(|document| document.key.to_string()).collect::<Vec<_>>().join(", ");
    let signer = signer.ok_or_else(|| Error::Usage(format!("no key signs {} in this run", names())))?;
    let by = signer.public_key().key_id();
    tracing::debug!(keys = names(), %by, "signing");
    let holder = signer.holder();
    let _asking = holder.map(|holder| observer.signing(by, holder, documents.len()));
    let signing = stream::iter(documents.into_iter().map(|document| async move {
        let signature = sign_and_verify(signer, &document.document).await?;
        Ok((document, signature))
    }));
    signing.buffered(holder.map_or(1, Holder::at_once)).try_collect().await
}

/// Replaces TARGET in a remedy's commands by this store.
fn with_target(mut refusal: Refusal, store: &RegistryStore) -> Refusal {
    if refusal.remedy.contains("TARGET") {
        refusal.remedy = refusal.remedy.replace("TARGET", &words::quoted(&store.describe()));
    }
    refusal
}

/// Refuses a plan with a document that would be too large to read again once it is written: see [`MAX_DOCUMENT`].
fn check_sizes(plan: &Plan) -> Result<(), Refusal> {
    let large = |write: &&Write| {
        write.action != Action::Keep && !write.key.is_zip() && write.body.len() > MAX_DOCUMENT
    };
    let Some(write) = plan.writes().iter().find(large) else { return Ok(()) };
    let remedy = match &write.key {
        Key::Versions { provider } => format!(
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

async fn read_one(
    store: &RegistryStore,
    key: &Key,
    kind: ReadKind,
    zips: &Semaphore,
) -> Result<Observed, StoreError> {
    Ok(match kind {
        ReadKind::Zip => {
            // The semaphore is never closed.
            let _permit = zips.acquire().await;
            zips::read(store, key).await?.map_or(Observed::Absent, Observed::Zip)
        }
        ReadKind::Read => store.get(key).await?.map_or(Observed::Absent, Observed::Document),
        ReadKind::Summary => store.summary(key).await?.map_or(Observed::Absent, Observed::Summary),
    })
}

fn describe(seen: &Observed) -> String {
    match seen {
        Observed::Absent => "absent".to_owned(),
        Observed::Document(document) => {
            format!("{} bytes, revision {}", document.bytes.len(), document.revision.0)
        }
        Observed::Summary(summary) => format!("{} bytes, SHA-256 {}", summary.len, summary.digest),
        Observed::Zip(zip) => format!("a zip of {} bytes, SHA-256 {}", zip.len, zip.digest),
    }
}

/// Brings the store into the state of the goal.
///
/// # Errors
/// Fails if the plan is refused, the store cannot be read or written, or other runs wrote first until the budget was
/// used up. Once the first plan exists, the error is an [`Error::Unfinished`] that says what was and what was not
/// written.
pub async fn publish<G: Goal>(
    store: &RegistryStore,
    goal: &G,
    options: &Options,
    budget: Budget,
    observer: &dyn Observer,
) -> Result<Outcome> {
    let mut run = Run {
        store: store.clone(),
        goal,
        options,
        budget,
        observer,
        state: G::RunState::default(),
        written: BTreeMap::new(),
        listed: BTreeSet::new(),
        pending: BTreeSet::new(),
        proven: store.conditions() == Conditions::Built,
    };
    match run.until_nothing_is_left().await {
        Ok((plan, snapshot)) => Ok(Outcome { plan, written: run.written, listed: run.listed, snapshot }),
        Err(cause) if run.pending.is_empty() && run.written.is_empty() => Err(cause),
        Err(cause) => {
            let is_indexed = run.written.keys().any(|key| matches!(key, Key::Versions { .. }));
            let index = if is_indexed { goal.indexed() } else { "The index was not changed by this run." };
            let state = Unfinished {
                target: store.describe(),
                written: run.written.keys().map(ToString::to_string).collect(),
                pending: run.pending.iter().map(ToString::to_string).collect(),
                consequence: format!("{index} What is listed is whole at every point."),
                completes: !matches!(cause, Error::Refused(_)),
                versions: None,
            };
            Err(Error::Unfinished { cause: Box::new(cause), state: Box::new(state) })
        }
    }
}

/// The keys of the objects of a plan.
fn objects(plan: &Plan) -> Vec<Key> {
    plan.writes().iter().map(|write| write.key.clone()).collect()
}

/// Reads these objects, if the run shall read back what it has written.
async fn snapshot(store: &RegistryStore, keys: Option<Vec<Key>>, options: &Options) -> Option<Snapshot> {
    let keys = keys.filter(|_| options.read_back)?;
    Some(Snapshot::take(store, keys, options.reads).await)
}

/// Why a round did not end as planned, so that the next one must observe again.
enum Interruption {
    /// Another run wrote first.
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

/// How often a run waits for an object that stays missing while nothing else changes. Another publish writes it a few
/// requests after the object that was seen, and the pauses double: together they are some seconds.
const ROUNDS_FOR_OTHERS: u32 = 5;

/// The result of one write.
enum Written {
    Done,
    Again(Interruption),
    Failed(Error),
}

struct Run<'a, G: Goal> {
    store: RegistryStore,
    goal: &'a G,
    options: &'a Options,
    budget: Budget,
    observer: &'a dyn Observer,
    state: G::RunState,
    written: BTreeMap<Key, Effect>,
    listed: BTreeSet<ReleaseId>,
    pending: BTreeSet<Key>,
    proven: bool,
}

impl<G: Goal> Run<'_, G> {
    async fn until_nothing_is_left(&mut self) -> Result<(Plan, Option<Snapshot>)> {
        let mut round = 0_u32;
        // Rounds since the last wait that wrote all planned objects.
        let mut clean = 0_u32;
        // What was missing in the last round, and in how many rounds in a row.
        let mut missing: Option<(Box<Refusal>, u32)> = None;
        // The objects of the plan, all of which were just written.
        let mut written: Option<Vec<Key>> = None;
        loop {
            let observed = observe_once(&self.store, self.goal, &mut self.state, self.options, self.observer);
            let (observed, snapshot) =
                futures::join!(observed, snapshot(&self.store, written.take(), self.options));
            let plan = match observed? {
                RoundResult::Plan(plan) => plan,
                RoundResult::Missing(refusal) => {
                    // Where something else is missing than before, another publish is writing.
                    let same = missing.filter(|(last, _)| *last == refusal);
                    let rounds = same.map_or(1, |(_, rounds)| rounds + 1);
                    missing = Some((refusal.clone(), rounds));
                    let reason = Interruption::Conflict(format!("{}: {}", refusal.subject, refusal.problem));
                    if rounds > ROUNDS_FOR_OTHERS || self.wait(reason).await.is_err() {
                        return Err(Error::Refused(refusal));
                    }
                    continue;
                }
            };
            missing = None;
            self.pending = plan
                .writes()
                .iter()
                .filter(|write| write.action != Action::Keep)
                .map(|w| w.key.clone())
                .collect();
            tracing::debug!(round, totals = %plan.totals(), "planned");
            self.observer.settings(plan.settings());
            if round == 0 {
                self.observer.planned(&plan);
            }
            if plan.is_empty() {
                let snapshot = match snapshot {
                    // Nothing was left to write.
                    None => self::snapshot(&self.store, Some(objects(&plan)), self.options).await,
                    beside => beside,
                };
                return Ok((*plan, snapshot));
            }
            if clean >= 2 {
                // All objects were written, twice, and again they are not as wanted: another run is writing too.
                self.wait(Interruption::Conflict("the registry goes on changing".to_owned())).await?;
                clean = 0;
                continue;
            }
            let max_age = plan.max_age().or(self.options.max_age).unwrap_or_default();
            self.store = self.store.with_max_age(max_age);
            match self.apply(&plan).await? {
                None => {
                    clean += 1;
                    self.listed.extend(plan.listed().iter().cloned());
                    written = Some(objects(&plan));
                }
                Some(interruption) => {
                    self.wait(interruption).await?;
                    clean = 0;
                }
            }
            round += 1;
        }
    }

    /// Writes stage by stage; stops after a stage that did not end as planned. The check that the store honours
    /// conditions runs beside the first stage, whose objects are named by their contents.
    async fn apply(&mut self, plan: &Plan) -> Result<Option<Interruption>> {
        for stage in Stage::ALL {
            let writes: Vec<&Write> =
                plan.pending(stage).filter(|write| self.pending.contains(&write.key)).collect();
            // What has to be created for the check is created in its own stage.
            let is_due = |check: &&ConditionCheck| {
                !self.proven && (check.is_there || writes.iter().any(|write| write.key == check.key))
            };
            let condition_check = plan.condition_check().filter(is_due);
            let interruption = if let Some(check) = condition_check {
                self.write_and_prove(&writes, check).await?
            } else {
                let sent = self.send(&writes).await;
                self.account(sent)?
            };
            if interruption.is_some() {
                return Ok(interruption);
            }
        }
        Ok(None)
    }

    /// Writes the objects of the first stage, while the store is checked for honouring conditions.
    async fn write_and_prove(
        &mut self,
        writes: &[&Write],
        check: &ConditionCheck,
    ) -> Result<Option<Interruption>> {
        let (first, others): (Vec<&Write>, Vec<&Write>) =
            writes.iter().copied().partition(|write| !check.is_there && write.key == check.key);
        let proving = async {
            let first = self.send(&first).await;
            let is_there = check.is_there || first.iter().all(|(_, result)| matches!(result, Written::Done));
            (
                first,
                if is_there {
                    Some(conditional_writes::prove(&self.store, &check.key, &check.body).await)
                } else {
                    None
                },
            )
        };
        let ((first, proof), others) = futures::join!(proving, self.send(&others));
        // Written objects are recorded, whatever the result of the check.
        let (created, written) = (self.account(first), self.account(others));
        let created = created.map_err(|error| match error {
            // If the answer names something else that is not implemented, its remedy is used.
            Error::Store(error) if error.status == Some(501) && error.remedy.is_none() => {
                let answer = format!("was answered {}", error.answer);
                conditional_writes::refuse(&self.store, conditional_writes::FIRST_CREATE, &check.key, &answer)
                    .into()
            }
            error => error,
        })?;
        let proof = match proof.transpose()? {
            Some(Proof::Unclear(answer)) => Some(Interruption::Unclear(StoreError {
                doing: format!("cannot prove conditional writes on {}", self.store.describe()),
                answer,
                status: None,
                remedy: None,
            })),
            Some(Proof::Honoured) => {
                self.proven = true;
                None
            }
            None => None,
        };
        Ok(created.or(proof).or(written?))
    }

    /// Writes objects concurrently. All writes are completed, so that it is known what was written.
    async fn send<'w>(&self, writes: &[&'w Write]) -> Vec<(&'w Write, Written)> {
        let (store, observer) = (&self.store, self.observer);
        let sending = stream::iter(writes.iter().map(|write| async move {
            let result = write_one(store, write, observer.sending(write)).await;
            if matches!(result, Written::Done) {
                observer.written(&write.key);
            }
            (*write, result)
        }));
        sending.buffer_unordered(self.options.jobs).collect().await
    }

    /// Records the written objects, and returns the result of the round.
    fn account(&mut self, sent: Vec<(&Write, Written)>) -> Result<Option<Interruption>> {
        let mut outcome = Ok(None);
        for (write, result) in sent {
            match result {
                Written::Done => {
                    tracing::debug!(key = %write.key, "written");
                    let effect =
                        if write.action == Action::Create { Effect::Created } else { Effect::Changed };
                    self.written.entry(write.key.clone()).or_insert(effect);
                    self.pending.remove(&write.key);
                    self.goal.written(&write.key, &mut self.state);
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

/// Writes one object, once, and determines the result.
async fn write_one(store: &RegistryStore, write: &Write, on_sent: OnSent) -> Written {
    let condition = match &write.action {
        Action::Replace { revision, .. } => Condition::Unchanged(revision.clone()),
        Action::Create | Action::Keep => Condition::Absent,
    };
    let meant = Intent::by(&write.key, write.body.digest());
    let body = match write.body.at_hand().await {
        Ok(body) => body,
        Err(error) => return Written::Failed(error),
    };
    let answer = store.put(&write.key, &body, &condition, on_sent).await;
    drop(body);
    let now = if readback::needs_reading(meant, &answer) {
        match store.summary(&write.key).await {
            Ok(now) => now,
            Err(error) => return Written::Failed(error.into()),
        }
    } else {
        None
    };
    match readback::judge(meant, answer, now) {
        WriteOutcome::Done => Written::Done,
        WriteOutcome::Overtaken(answer) => Written::Again(Interruption::Conflict(format!(
            "{} was written by another publish ({answer})",
            write.key
        ))),
        WriteOutcome::Busy(who) => Written::Again(Interruption::Conflict(who)),
        WriteOutcome::Unclear(error) => Written::Again(Interruption::Unclear(error)),
        WriteOutcome::Different(found) => {
            Written::Failed(plan::object_conflict(&write.key, found, write.body.digest()).into())
        }
        WriteOutcome::Failed(error) => Written::Failed(error.into()),
    }
}
