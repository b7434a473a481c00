//! A model checker: *all* interleavings of two publishers, and of those who yank and put back, with at most one crash at any point, over a store in memory.
//!
//! What is run is the program's own publish loop, planner and merge, not a model of them; only the store is one. A step is
//! a listing, or a read or a conditional write of a document (the index, a download document, the record of a yank), which takes effect at once; where a
//! publisher may go on is chosen exhaustively. Operations on `store/` and on the discovery document are no steps of their
//! own: objects there are content-addressed and only created, so they commute with everything that is not the read of a
//! document. A crash may come before every step; one in the middle of a request is the same as before or after it.
//!
//! States that were met before, by the objects and by all that each publisher has seen, are not entered again. In every
//! state reached R1 holds by the independent reader's judgement; every write upholds R3; and at every end R2: who reported
//! success is listed with its bytes, all documents of a version are on one SHA256SUMS, and a crashed publisher that runs
//! again completes.
//!
//! Not covered: three publishers of different versions at once, two crashes, and a store that answers wrongly (see `faults`).

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashSet};
use std::future::Future;
use std::hash::{Hash as _, Hasher as _};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt as _};
use jiff::Timestamp;
use tfreg::digest::Digest;
use tfreg::error::Error;
use tfreg::package::Sealed;
use tfreg::plan::unyank::Unyank;
use tfreg::plan::yank::Yank;
use tfreg::plan::{Published, Wanted};
use tfreg::provider::{Provider, Version};
use tfreg::publish::Outcome;
use tfreg::registry::Key;
use tfreg::store::{
    Answer, Body, Condition, Conditions, Document, Headers, Listed as Found, OnSent, Revision, Store,
    StoreError, Summary,
};

use crate::support::in_process::{publish_with, wanted};
use crate::support::reader::{self, Listed, Objects};
use crate::support::{tarball, tarballs};

/// One publisher's view of the objects, which all share.
#[derive(Clone)]
struct Memory {
    objects: Arc<Mutex<Objects>>,
    publisher: Arc<Mutex<Publisher>>,
}

#[derive(Default)]
struct Publisher {
    /// The step that waits to be taken.
    waiting: Option<Waker>,
    /// Whether it may be taken now.
    granted: bool,
    /// All that this publisher has seen; its own state is a function of it.
    history: DefaultHasher,
}

impl Publisher {
    /// Lets the waiting step be taken.
    fn grant(&mut self) {
        self.granted = true;
        self.waiting.take().unwrap().wake();
    }
}

impl Memory {
    /// Waits until this step is chosen.
    async fn step(&self, key: &Key) {
        if matches!(key, Key::Versions(_) | Key::Download(..) | Key::Yanked(..)) {
            self.wait().await;
        }
    }

    async fn wait(&self) {
        std::future::poll_fn(|context| {
            let mut publisher = self.publisher.lock().unwrap();
            if std::mem::take(&mut publisher.granted) {
                return Poll::Ready(());
            }
            publisher.waiting = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn remember(&self, what: &str, key: &Key, seen: Option<&[u8]>) {
        let history = &mut self.publisher.lock().unwrap().history;
        (what, key.to_string(), seen.map(|bytes| content(&key.to_string(), bytes))).hash(history);
    }
}

/// What matters of an object's bytes: signatures are salted, and one is as good as another.
fn content(key: &str, bytes: &[u8]) -> Digest {
    Digest::of(if key.ends_with(".sig") { b"signature" } else { bytes })
}

#[async_trait]
impl Store for Memory {
    fn describe(&self) -> String {
        "memory".to_owned()
    }

    fn conditions(&self) -> Conditions {
        Conditions::Built
    }

    async fn get(&self, key: &Key) -> Result<Option<Document>, StoreError> {
        self.step(key).await;
        let bytes = self.objects.lock().unwrap().get(&key.to_string()).cloned();
        self.remember("get", key, bytes.as_deref());
        Ok(bytes.map(|bytes| Document {
            revision: Revision(Digest::of(&bytes).to_string()),
            bytes: bytes.into(),
        }))
    }

    async fn summary(&self, key: &Key) -> Result<Option<Summary>, StoreError> {
        let document = self.get(key).await?;
        Ok(document.map(|d| Summary { len: d.bytes.len() as u64, digest: Digest::of(&d.bytes) }))
    }

    async fn head(&self, _: &Key) -> Result<Option<Headers>, StoreError> {
        panic!("a publish reads documents and summaries")
    }

    async fn open(&self, _: &Key) -> Result<Option<(Headers, Body)>, StoreError> {
        panic!("a publish reads documents and summaries")
    }

    fn list<'a>(&'a self, folder: &str) -> BoxStream<'a, Result<Found, StoreError>> {
        let folder = folder.to_owned();
        let found = async move {
            self.wait().await;
            let objects = self.objects.lock().unwrap();
            let below: Vec<_> = objects.iter().filter(|(key, _)| key.starts_with(&folder)).collect();
            let keys: Vec<_> = below.iter().map(|(key, _)| (*key).clone()).collect();
            ("list", &folder, &keys).hash(&mut self.publisher.lock().unwrap().history);
            let found =
                below.iter().map(|(key, bytes)| Ok(Found { key: (*key).clone(), len: bytes.len() as u64 }));
            stream::iter(found.collect::<Vec<_>>())
        };
        stream::once(found).flatten().boxed()
    }

    async fn put(&self, key: &Key, body: &Sealed, condition: &Condition, _: OnSent) -> Answer {
        self.step(key).await;
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut body.reader(), &mut bytes).unwrap();
        let mut objects = self.objects.lock().unwrap();
        let now = objects.get(&key.to_string());
        let holds = match (condition, now) {
            (Condition::Absent, None) => true,
            (Condition::Unchanged(Revision(read)), Some(now)) => *read == Digest::of(now).to_string(),
            _ => false,
        };
        assert!(!holds || now.is_none() || !key.to_string().starts_with("store/"), "R3: {key} would change");
        self.remember(if holds { "written" } else { "refused" }, key, None);
        if !holds {
            return Answer::ConditionFailed("412".to_owned());
        }
        objects.insert(key.to_string(), bytes);
        Answer::Written
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    Step(usize),
    Crash(usize),
}

/// Who takes part.
enum Actor {
    Publish(Box<Wanted>),
    Yank(Yank),
    Unyank(Unyank),
}

impl Actor {
    async fn run(&self, store: &Memory) -> Result<Outcome, Error> {
        match self {
            Self::Publish(goal) => publish_with(store, &**goal, 1, PATIENCE).await,
            Self::Yank(goal) => publish_with(store, goal, 1, PATIENCE).await,
            Self::Unyank(goal) => publish_with(store, goal, 1, PATIENCE).await,
        }
    }
}

fn yank(version: &str, second: i64) -> Actor {
    let (version, now) = (version.parse().unwrap(), Timestamp::from_second(second).unwrap());
    Actor::Yank(Yank { provider: sample(), version, reason: Some("broken".to_owned()), now })
}

fn unyank(version: &str, second: i64) -> Actor {
    let (version, now) = (version.parse().unwrap(), Timestamp::from_second(second).unwrap());
    Actor::Unyank(Unyank { provider: sample(), version, now })
}

fn sample() -> Provider {
    Provider { namespace: "acme".parse().unwrap(), provider_type: "sample".parse().unwrap() }
}

type Publishing<'a> = Pin<Box<dyn Future<Output = Result<Outcome, Error>> + 'a>>;

/// One run of all, as far as its choices have led it.
struct World<'a> {
    objects: Arc<Mutex<Objects>>,
    publishers: Vec<Arc<Mutex<Publisher>>>,
    /// `None` once it has ended or crashed.
    running: Vec<Option<Publishing<'a>>>,
    /// `Ok`, or the exit code; `None` while it runs and when it has crashed.
    results: Vec<Option<Result<(), u8>>>,
    crashed: Option<usize>,
}

/// The objects, what each running publisher has seen, the results, and who has crashed.
type State = (u64, Vec<u64>, Vec<Option<Result<(), u8>>>, Option<usize>);

/// So many waits of the backoff are allowed to a publisher: more than any interleaving of two needs, unless it starves.
const PATIENCE: Duration = Duration::from_secs(30);

impl<'a> World<'a> {
    fn new(start: &Objects, wanted: &'a [Actor]) -> Self {
        let objects = Arc::new(Mutex::new(start.clone()));
        let publishers: Vec<Arc<Mutex<Publisher>>> = wanted.iter().map(|_| Arc::default()).collect();
        let running = wanted.iter().zip(&publishers).map(|(wanted, publisher)| {
            let store = Memory { objects: Arc::clone(&objects), publisher: Arc::clone(publisher) };
            let run: Publishing<'a> = Box::pin(async move { wanted.run(&store).await });
            Some(run)
        });
        let running = running.collect();
        let results = wanted.iter().map(|_| None).collect();
        let mut world = Self { objects, publishers, running, results, crashed: None };
        (0..wanted.len()).for_each(|publisher| world.go_on(publisher));
        world
    }

    /// Runs a publisher to its next step, or its end.
    fn go_on(&mut self, publisher: usize) {
        let Some(run) = self.running[publisher].as_mut() else { return };
        if let Poll::Ready(result) =
            run.as_mut().poll(&mut Context::from_waker(futures::task::noop_waker_ref()))
        {
            self.results[publisher] = Some(result.map(drop).map_err(|error| error.exit_code()));
            self.running[publisher] = None;
        } else {
            assert!(self.publishers[publisher].lock().unwrap().waiting.is_some(), "only steps wait");
        }
    }

    fn take(&mut self, choice: Choice) {
        match choice {
            Choice::Step(publisher) => {
                self.publishers[publisher].lock().unwrap().grant();
                self.go_on(publisher);
            }
            Choice::Crash(publisher) => {
                self.running[publisher] = None;
                self.crashed = Some(publisher);
            }
        }
    }

    fn choices(&self) -> Vec<Choice> {
        let running: Vec<usize> = (0..self.running.len()).filter(|p| self.running[*p].is_some()).collect();
        let steps = running.iter().map(|publisher| Choice::Step(*publisher));
        let crashes =
            running.iter().filter(|_| self.crashed.is_none()).map(|publisher| Choice::Crash(*publisher));
        steps.chain(crashes).collect()
    }

    fn objects_hash(&self) -> u64 {
        let objects = self.objects.lock().unwrap();
        let contents: BTreeMap<&String, Digest> =
            objects.iter().map(|(key, bytes)| (key, content(key, bytes))).collect();
        let mut hash = DefaultHasher::new();
        contents.hash(&mut hash);
        hash.finish()
    }

    fn state(&self) -> State {
        // What a publisher that is no longer running has seen does not matter any more.
        let histories = self.publishers.iter().zip(&self.running).map(|(publisher, running)| {
            running.as_ref().map_or(0, |_| publisher.lock().unwrap().history.finish())
        });
        (self.objects_hash(), histories.collect(), self.results.clone(), self.crashed)
    }

    fn listed(&self) -> Result<Listed, String> {
        reader::read(&self.objects.lock().unwrap())
    }

    /// A run succeeds only on an observation made after its last write, so the last one leaves all in order.
    fn assert_settled(&self, path: &[Choice]) {
        if let Err(error) = reader::settled(&self.objects.lock().unwrap()) {
            panic!("not settled after {path:?}: {error}");
        }
    }
}

#[derive(Debug, Default)]
struct Covered {
    states: usize,
    ends: usize,
    crashes: usize,
    starved: usize,
}

/// Explores all interleavings of `wanted` from `start`, and judges every state and, by `judge`, every end.
fn explore(start: &Objects, wanted: &[Actor], judge: impl Fn(&World<'_>, &Listed)) -> Covered {
    let mut covered = Covered::default();
    let (mut seen, mut whole) = (HashSet::new(), HashSet::new());
    let mut todo: Vec<Vec<Choice>> = vec![Vec::new()];
    while let Some(mut path) = todo.pop() {
        let mut world = World::new(start, wanted);
        for choice in &path {
            world.take(*choice);
        }
        loop {
            if !seen.insert(world.state()) {
                break;
            }
            covered.states += 1;
            if whole.insert(world.objects_hash())
                && let Err(error) = world.listed()
            {
                panic!("R1 after {path:?}: {error}");
            }
            let choices = world.choices();
            let Some((first, others)) = choices.split_first() else {
                judge_end(&world, wanted, &path, &mut covered, &judge);
                break;
            };
            todo.extend(others.iter().map(|other| [path.as_slice(), &[*other]].concat()));
            path.push(*first);
            world.take(*first);
        }
    }
    covered
}

fn judge_end(
    world: &World<'_>,
    wanted: &[Actor],
    path: &[Choice],
    covered: &mut Covered,
    judge: &impl Fn(&World<'_>, &Listed),
) {
    covered.ends += 1;
    covered.starved += usize::from(world.results.contains(&Some(Err(4))));
    let listed = world.listed().unwrap();
    let is_yanked = |version: &Version| {
        wanted.iter().any(|other| matches!(other, Actor::Yank(yank) if yank.version == *version))
    };
    for (wanted, result) in wanted.iter().zip(&world.results) {
        if let Actor::Publish(wanted) = wanted
            && *result == Some(Ok(()))
            && wanted.published == Published::Immutable
            && !is_yanked(wanted.packages.version())
        {
            assert_lists(&listed, wanted, &format!("R2 after {path:?}"));
        }
    }
    if world.crashed.is_none() {
        world.assert_settled(path);
    }
    if let Some(crashed) = world.crashed {
        covered.crashes += 1;
        // Run again, alone.
        let store = Memory { objects: Arc::clone(&world.objects), publisher: Arc::default() };
        let mut again = Box::pin(wanted[crashed].run(&store));
        let result = loop {
            let context = &mut Context::from_waker(futures::task::noop_waker_ref());
            if let Poll::Ready(result) = again.as_mut().poll(context) {
                break result;
            }
            store.publisher.lock().unwrap().grant();
        };
        match result {
            Ok(_) => {
                world.assert_settled(path);
                let listed = world.listed().unwrap();
                match &wanted[crashed] {
                    Actor::Publish(wanted) => assert_lists(&listed, wanted, &format!("again after {path:?}")),
                    Actor::Yank(yank) => assert!(!lists(&listed, &yank.version), "again after {path:?}"),
                    Actor::Unyank(unyank) => assert!(lists(&listed, &unyank.version), "again after {path:?}"),
                }
            }
            Err(error) => assert_eq!(error.exit_code(), 3, "again after {path:?}: {error}"),
        }
    }
    judge(world, &listed);
}

#[track_caller]
fn assert_lists(listed: &Listed, wanted: &Wanted, context: &str) {
    for package in wanted.packages.packages() {
        let name = format!("{} {}", wanted.packages.version(), package.platform);
        assert_eq!(listed.get(&name), Some(&package.zip.digest().to_string()), "{context}: {name}");
    }
}

fn lists(listed: &Listed, version: &Version) -> bool {
    listed.keys().any(|name| name.starts_with(&format!("{version} ")))
}

/// The objects after these were carried out, one after the other.
fn after(published: &[Actor]) -> Objects {
    let mut objects = Objects::new();
    for one in published {
        let mut world = World::new(&objects, std::slice::from_ref(one));
        while let Some(step) = world.choices().first().copied() {
            world.take(step);
        }
        objects = world.objects.lock().unwrap().clone();
    }
    objects
}

fn immutable(tarballs: &[std::path::PathBuf]) -> Actor {
    Actor::Publish(Box::new(wanted(tarballs, Published::Immutable)))
}

/// Where nothing is disputed both succeed, whoever is first.
fn both_succeed(world: &World<'_>, _: &Listed) {
    for (publisher, result) in world.results.iter().enumerate() {
        assert!(*result == Some(Ok(())) || world.crashed == Some(publisher), "{publisher}: {result:?}");
    }
}

fn report(name: &str, covered: &Covered) {
    println!("{name}: {covered:?}");
    assert!(covered.states > 50 && covered.ends > 2 && covered.crashes > 1, "{name}: {covered:?}");
    assert_eq!(covered.starved, 0, "{name}: {covered:?}");
}

#[test]
fn two_versions_over_one_index() {
    let two = [
        immutable(&[tarball("release-1.2.0", "linux-amd64")]),
        immutable(&[tarball("release-1.10.0", "linux_amd64")]),
    ];
    report("into an empty registry", &explore(&Objects::new(), &two, both_succeed));
    let start = after(&[immutable(&[tarball("release-1.2.0", "darwin-arm64")])]);
    report("into one with a version", &explore(&start, &two, both_succeed));
}

#[test]
fn two_platforms_of_a_version() {
    let two = [
        immutable(&[tarball("release-1.2.0", "linux-amd64")]),
        immutable(&[tarball("release-1.2.0", "darwin-arm64")]),
    ];
    report("of a new version", &explore(&Objects::new(), &two, both_succeed));
}

#[test]
fn two_platforms_beside_a_third() {
    let two = [
        immutable(&[tarball("release-1.2.0", "linux-amd64")]),
        immutable(&[tarball("release-1.2.0", "darwin-arm64")]),
    ];
    let start = after(&[immutable(&[tarball("release-1.2.0", "windows-amd64")])]);
    report("of a version with a third", &explore(&start, &two, both_succeed));
}

#[test]
fn the_same_bytes() {
    let two = [0, 1].map(|_| immutable(&[tarball("release-1.2.0", "linux-amd64")]));
    report("the same bytes", &explore(&Objects::new(), &two, both_succeed));
}

#[test]
fn different_bytes() {
    let two = [
        immutable(&[tarball("release-1.2.0", "linux-amd64")]),
        immutable(&tarballs("release-1.2.0-rebuilt")),
    ];
    let exactly_one = |world: &World<'_>, _: &Listed| {
        let mut results: Vec<_> = world.results.clone();
        results.sort_unstable();
        match world.crashed {
            None => assert_eq!(results, [Some(Ok(())), Some(Err(3))]),
            Some(_) => assert!(matches!(results[1], Some(Ok(()) | Err(3)))),
        }
    };
    report("different bytes", &explore(&Objects::new(), &two, exactly_one));
}

#[test]
fn different_bytes_with_replace() {
    let start = after(&[immutable(&[tarball("release-1.2.0", "linux-amd64")])]);
    let replacing = |tarballs: &[std::path::PathBuf]| wanted(tarballs, Published::Replaceable);
    let two = [
        replacing(&[tarball("release-1.2.0", "linux-amd64")]),
        replacing(&tarballs("release-1.2.0-rebuilt")),
    ];
    let hash = |wanted: &Wanted| wanted.packages.packages()[0].zip.digest().to_string();
    let hashes = [hash(&two[0]), hash(&two[1])];
    let two = two.map(|wanted| Actor::Publish(Box::new(wanted)));
    // One of the two is there at the end; who reports success was there when it looked last, and when nobody wrote after
    // it, still is.
    let last_wins = |world: &World<'_>, listed: &Listed| {
        let winner = hashes.iter().position(|hash| *hash == listed["1.2.0 linux_amd64"]).unwrap();
        assert!(
            world.results[winner] == Some(Ok(())) || world.crashed == Some(winner) || world.crashed.is_some()
        );
        assert!(world.results.iter().all(|result| matches!(result, None | Some(Ok(()) | Err(3)))));
    };
    report("different bytes with --replace", &explore(&start, &two, last_wins));
}

/// What a yank has taken out stays out: whoever publishes the version at the same time is refused, or was there before.
fn yanked_stays_out(version: &'static str) -> impl Fn(&World<'_>, &Listed) {
    move |world, listed| {
        if world.results[0] == Some(Ok(())) {
            assert!(!lists(listed, &version.parse().unwrap()));
        }
        assert!(world.results.iter().all(|result| matches!(result, None | Some(Ok(()) | Err(3)))));
    }
}

#[test]
fn a_yank_and_a_publish_of_the_same_version() {
    let linux = || immutable(&[tarball("release-1.2.0", "linux-amd64")]);
    let start = after(&[linux()]);
    let adding = [yank("1.2.0", 1), immutable(&[tarball("release-1.2.0", "darwin-arm64")])];
    report("another platform", &explore(&start, &adding, yanked_stays_out("1.2.0")));
    let same = [yank("1.2.0", 1), linux()];
    report("the same platform", &explore(&start, &same, yanked_stays_out("1.2.0")));
    // The version is new, and so not there to be yanked until it is published.
    let start = after(&[immutable(&[tarball("release-1.10.0", "linux_amd64")])]);
    report("a new version", &explore(&start, &same, yanked_stays_out("1.2.0")));
}

#[test]
fn a_yank_between_two_publishes_of_the_same_version() {
    let linux = || immutable(&[tarball("release-1.2.0", "linux-amd64")]);
    let start = after(&[immutable(&[tarball("release-1.10.0", "linux_amd64")])]);
    // Two publish it, and it is yanked as soon as the first has: an index without it is not the one before it was in.
    let three = [yank("1.2.0", 1), linux(), linux()];
    report("twice", &explore(&start, &three, yanked_stays_out("1.2.0")));
}

#[test]
fn a_yank_and_a_publish_of_another_version() {
    let start = after(&[immutable(&[tarball("release-1.2.0", "linux-amd64")])]);
    let two = [yank("1.2.0", 1), immutable(&[tarball("release-1.10.0", "linux_amd64")])];
    let both = |world: &World<'_>, listed: &Listed| {
        both_succeed(world, listed);
        yanked_stays_out("1.2.0")(world, listed);
    };
    report("another version", &explore(&start, &two, both));
}

#[test]
fn an_unyank_and_a_publish() {
    let linux = || immutable(&[tarball("release-1.2.0", "linux-amd64")]);
    let start = after(&[linux(), yank("1.2.0", 1)]);
    let put_back = |world: &World<'_>, listed: &Listed| {
        let result = world.results[0];
        assert!(result == Some(Ok(())) || world.crashed == Some(0), "{result:?}");
        assert!(result.is_none() || lists(listed, &"1.2.0".parse().unwrap()));
    };
    for (name, other) in [
        ("of the same", linux()),
        ("of another platform", immutable(&[tarball("release-1.2.0", "darwin-arm64")])),
        ("of another version", immutable(&[tarball("release-1.10.0", "linux_amd64")])),
    ] {
        report(name, &explore(&start, &[unyank("1.2.0", 2), other], put_back));
    }
}

#[test]
fn those_who_yank_and_put_back_agree_in_the_end() {
    let linux = || immutable(&[tarball("release-1.2.0", "linux-amd64")]);
    let listed_start = after(&[linux()]);
    let yanked_start = after(&[linux(), yank("1.2.0", 1)]);
    // Whatever is listed at the end is what the record says, unless one crashed between the two.
    let consistent = |world: &World<'_>, listed: &Listed| {
        let objects = world.objects.lock().unwrap();
        let record = objects.get("registry/acme/sample/1.2.0/yanked");
        let is_yanked =
            record.is_some_and(|bytes| String::from_utf8_lossy(bytes).contains("\"yanked\": true"));
        assert!(world.crashed.is_some() || is_yanked != lists(listed, &"1.2.0".parse().unwrap()));
        assert!(world.results.iter().all(|result| matches!(result, None | Some(Ok(()) | Err(3)))));
    };
    report("two yanks", &explore(&listed_start, &[yank("1.2.0", 2), yank("1.2.0", 3)], consistent));
    report("two unyanks", &explore(&yanked_start, &[unyank("1.2.0", 2), unyank("1.2.0", 3)], consistent));
    for (name, start) in [("from listed", &listed_start), ("from yanked", &yanked_start)] {
        report(name, &explore(start, &[yank("1.2.0", 2), unyank("1.2.0", 3)], consistent));
    }
    // From a version that is listed it are 48,564 states, which take minutes; they were all well.
    let three = [yank("1.2.0", 2), unyank("1.2.0", 3), yank("1.2.0", 4)];
    report("three", &explore(&yanked_start, &three, consistent));
}
