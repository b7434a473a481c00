//! Publishes versions in batches: provider by provider, the oldest versions first.

use std::path::Path;

use bytes::Bytes;

use super::{Batched, End, Progress, Verified};
use crate::error::Result;
use crate::plan::batch::{Batch, BatchState};
use crate::plan::{Action, Plan, PublishGoal};
use crate::publish::{self, Options};
use crate::reader::Reader;
use crate::registry::pages::PageKey;
use crate::registry::{Key, MirrorHost, Settings};
use crate::store::RegistryStore;
use crate::store::budget::{Budget, RealPace};
use crate::store::snapshot::Snapshot;
use crate::verify::{self, Scope, Unwatched};
use crate::words;
use crate::workflow::Observer;
use crate::workflow::target;

/// How many versions are written together at most, with one write of the index. Their documents are in memory meanwhile;
/// a run that is killed has listed all batches before.
const AT_ONCE: usize = 100;

/// Sorts versions, which are in order, into batches of at most `most`, each of one provider.
fn batches(goals: Vec<PublishGoal>, most: usize) -> Vec<Batch> {
    let mut batches: Vec<Vec<PublishGoal>> = Vec::new();
    for goal in goals {
        let fits = |batch: &&mut Vec<PublishGoal>| {
            batch.len() < most && batch.first().is_some_and(|first| first.provider == goal.provider)
        };
        match batches.last_mut().filter(fits) {
            Some(batch) => batch.push(goal),
            None => batches.push(vec![goal]),
        }
    }
    batches.into_iter().map(Batch::new).collect()
}

/// Plans all versions, and leaves the objects that would be written in `folder`. Each provider is planned as if those
/// before it were published already: all share the discovery document, and the page of all providers.
pub(super) async fn dry_run(
    store: &RegistryStore,
    goals: Vec<PublishGoal>,
    folder: &Path,
    options: &Options,
    observer: &dyn Observer,
) -> Result<Vec<Batched>> {
    let mut planned: Vec<(Batch, Plan)> = Vec::new();
    // All versions of a provider at once: nothing is written in between that the next one could build on.
    for batch in batches(goals, usize::MAX) {
        let before = planned.iter().flat_map(|(_, plan)| shared(plan));
        let store = Snapshot::of(before).in_front_of(store.clone());
        let plan = publish::observe(&store, &batch, &mut BatchState::default(), options, observer).await?;
        planned.push((batch, plan));
    }
    let mut done = Vec::new();
    for (batch, plan) in planned {
        target::write_dry_run(&plan, folder).await?;
        done.push(Batched { batch, end: End::DryRun { plan: Box::new(plan), folder: folder.to_owned() } });
    }
    Ok(done)
}

/// The objects of a plan that are not of its provider alone.
fn shared(plan: &Plan) -> impl Iterator<Item = (Key, Bytes)> {
    let is_shared =
        |key: &Key| matches!(key, Key::Discovery | Key::Page(PageKey::Registry | PageKey::Asset { .. }));
    let writes =
        plan.writes().iter().filter(move |write| write.action != Action::Keep && is_shared(&write.key));
    writes.filter_map(|write| Some((write.key.clone(), write.body.bytes()?.clone())))
}

/// Checks that no version is refused, and publishes all; each batch is read back.
pub(super) async fn publish(
    store: &RegistryStore,
    goals: Vec<PublishGoal>,
    options: &Options,
    progress: &Progress,
    observer: &dyn Observer,
) -> Result<Vec<Batched>> {
    let count = goals.len();
    let batches = batches(goals, AT_ONCE);
    // The first one is checked as it is planned, before its first write.
    for batch in batches.iter().skip(1) {
        publish::check(store, batch, options).await?;
    }
    let (mut done, mut begun) = (Vec::new(), 0);
    for batch in batches {
        begun += batch.goals().len();
        if count > 1 {
            observer.note(&format!("Publishing {} ({begun} of {count})", described(&batch)));
        }
        let budget = Budget::new(options.contention_timeout, Box::new(RealPace::default()));
        let run = publish::publish(store, &batch, options, budget, observer).await;
        let mut run = run.map_err(|error| progress.stopped(error))?;
        progress.published(batch.goals().len(), &run);
        let verified = match run.snapshot.take() {
            Some(snapshot) => {
                let mirror = run.plan.settings().and_then(Settings::mirror_host);
                read_back(store, &batch, snapshot, mirror, options).await
            }
            None => None,
        };
        done.push(Batched { batch, end: End::Published { run: Box::new(run), verified } });
    }
    Ok(done)
}

/// The versions of a batch, in words.
fn described(batch: &Batch) -> String {
    let (Some(first), Some(last)) = (batch.goals().first(), batch.goals().last()) else {
        return String::new();
    };
    let (from, to) = (first.packages.version(), last.packages.version());
    let versions = words::count(batch.goals().len(), "version");
    if from == to {
        format!("{} {from}", first.provider)
    } else {
        format!("{versions} of {}, {from} to {to}", first.provider)
    }
}

/// Verifies the versions of a batch in what was read after the last write.
async fn read_back(
    store: &RegistryStore,
    batch: &Batch,
    snapshot: Snapshot,
    mirror: Option<MirrorHost>,
    options: &Options,
) -> Option<Verified> {
    let reader = Reader::Store(snapshot.in_front_of(store.clone()));
    let provider = &batch.goals().first()?.provider;
    let versions = batch.goals().iter().map(|goal| goal.packages.version().clone());
    let scope = Scope::published(provider, versions, mirror);
    Some(verify::verify(&reader, &scope, options.reads, &Unwatched).await)
}
