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
//! An attacker who may write and delete any object takes part in some explorations: one of his writes may come before every
//! step. Then R1 is his to break, and what is judged is every write of the honest runs: what they sign, list and embed is
//! theirs, or was in the registry before him (R7), and an index that he deletes never comes back with fewer versions (R5).
//!
//! Where the registry has a network mirror, its files are documents like the others: in every state it lists no version whose
//! file is not there, and none that the registry's index does not list, and at every end it says what the registry says.
//!
//! Several versions in one run are one publisher: it may crash before every step of the whole run.
//!
//! Where the registry has pages, those that more than one run writes are steps too: see the module `pages`.
//!
//! Where somebody changes the registry's settings, or brings everything in line with them, reads and writes of the settings, and
//! of the discovery document, are steps too. Who reports success has written what the settings wanted that it saw last.
//!
//! Not covered: three publishers of different versions at once, two crashes, and a store that answers wrongly (see `faults`).

mod batch;
mod pages;

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::future::Future;
use std::hash::{Hash as _, Hasher as _};
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _};
use jiff::Timestamp;
use serde_json::Value;
use tfreg::content::Digest;
use tfreg::content::Sealed;
use tfreg::error::Error;
use tfreg::openpgp::Signer;
use tfreg::openpgp::certificate::{Certificate, PublishableKey};
use tfreg::openpgp::signing_key::Secret;
use tfreg::plan::align::Align;
use tfreg::plan::batch::Batch;
use tfreg::plan::completeness::Trust;
use tfreg::plan::init::Init;
use tfreg::plan::reindex::Reindex;
use tfreg::plan::unyank::Unyank;
use tfreg::plan::yank::Yank;
use tfreg::plan::{PublishGoal, Published};
use tfreg::provider::{Provider, Version};
use tfreg::publish::Outcome;
use tfreg::registry::settings::SettingsChange;
use tfreg::registry::{BaseUrl, Key, Links};
use tfreg::store::{
    Answer, Condition, Conditions, Form, Headers, HttpHeaders, Listed as Found, Object, ObjectState,
    ObjectStore, OnSent, Revision, StoreError, Summary,
};

use crate::support::in_process::{publish_signed, publish_with, registry, signer, wanted};
use crate::support::reader::{self, Listed, Objects};
use crate::support::{key, tarball, tarballs};

/// One publisher's view of the objects, which all share.
#[derive(Clone)]
struct Memory {
    objects: Arc<Mutex<Objects>>,
    publisher: Arc<Mutex<Publisher>>,
    /// What may be written, where an attacker takes part.
    honest: Option<Arc<Honest>>,
    /// Whether settings change.
    has_settings: bool,
    /// Whether somebody writes records of yanks.
    has_yanks: bool,
    /// The documents that are no steps.
    quiet: Quiet,
}

/// Documents whose operations are no steps of their own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quiet {
    Nothing,
    /// Those of platforms, versions' files of the mirror and versions' pages, where nobody reads or writes one that another
    /// writes; and records of yanks, where nobody yanks.
    Versions,
}

/// What honest runs may sign, list and embed.
#[derive(Default)]
struct Honest {
    /// Names and digests of zips: of the actors' packages, and of the registry at the start.
    lines: BTreeSet<(String, String)>,
    /// `VERSION OS_ARCH` that may be listed anew.
    listed: BTreeSet<String>,
    /// `VERSION OS_ARCH` that the index lists at the start.
    before: BTreeSet<String>,
    /// Hashes and sizes of these zips, as documents have them.
    packages: BTreeSet<String>,
    /// The public key.
    armor: String,
    certificate: OnceLock<Certificate>,
}

impl Honest {
    fn new(start: &Objects, actors: &[Actor]) -> Self {
        let mut honest = Self::default();
        for (key, bytes) in start {
            if key.ends_with("_SHA256SUMS") {
                honest.lines.extend(lines(bytes));
            } else if key.contains("/download/") {
                let document: Value = serde_json::from_slice(bytes).unwrap();
                honest.armor = armor(&document);
                honest.packages.extend(packages(&document));
            }
        }
        honest.before = index_of(start.get(INDEX));
        for actor in actors {
            for wanted in actor.goals() {
                let (provider, version) = (&wanted.provider, wanted.packages.version());
                wanted.key.armored().clone_into(&mut honest.armor);
                for package in wanted.packages.packages() {
                    let name = Key::zip_file_name(provider, version, &package.platform);
                    honest.lines.insert((name, package.zip.digest().to_string()));
                    honest.listed.insert(format!("{version} {}", package.platform));
                    let zip = &package.zip;
                    let hashes = [format!("zh:{}", zip.digest()), package.h1.to_string()];
                    let package = serde_json::json!({"hashes": hashes, "package_size": zip.len()});
                    honest.packages.insert(package.to_string());
                }
            }
            if matches!(actor, Actor::Unyank(_) | Actor::Reindex(_)) {
                honest.listed.extend(published(start));
            }
        }
        honest
    }

    fn certificate(&self) -> &Certificate {
        let read = || Certificate::read("the public key", &Secret::new(self.armor.clone().into_bytes()));
        self.certificate.get_or_init(|| read().unwrap())
    }

    /// Judges a write of an honest run, before it is carried out.
    fn judge(&self, key: &str, bytes: &[u8], objects: &Objects) {
        let signed = |end: &str| key.rfind(end).map(|at| key[..at + end.len()].to_owned());
        if let Some(record) = signed("/provenance.json").filter(|_| key.ends_with(".sig")) {
            // A run that was overtaken after it had made its record signs its own bytes, and they are not what is there.
            let text = String::from_utf8_lossy(&objects[&record]).into_owned();
            let is_signed = || self.certificate().verify_as_of_then(&objects[&record], bytes).is_ok();
            assert!(!text.contains(EVIL) || !is_signed(), "R7: signed a planted record: {text}");
        } else if let Some(sums) = signed("_SHA256SUMS").filter(|_| key.ends_with(".sig")) {
            let version = key.split('/').nth(3).unwrap();
            // What is there may have been planted after the run had signed its own bytes: of that this is no signature.
            let there = objects.get(&sums).map_or(&[][..], Vec::as_slice);
            let is_signed = self.certificate().verify_as_of_then(there, bytes).is_ok();
            for line in lines(there).into_iter().filter(|_| is_signed) {
                let of_version = line.0.starts_with(&format!("terraform-provider-sample_{version}_"));
                assert!(of_version && self.lines.contains(&line), "R7: signed {line:?} as {version}");
            }
        } else if key.contains("/download/") {
            let document: Value = serde_json::from_slice(bytes).unwrap();
            let line = ["filename", "shasum"].map(|member| document[member].as_str().unwrap().to_owned());
            assert!(self.lines.contains(&line.into()), "R7: offers {document}");
            assert_eq!(armor(&document), self.armor, "R7: embeds another key");
            let mut packages = packages(&document);
            assert!(packages.all(|package| self.packages.contains(&package)), "R7: offers {document}");
        } else if key.ends_with("/versions") {
            let (was, is) = (objects.get(key), index_of(Some(&bytes.to_vec())));
            let listed = index_of(was);
            let mut new = is.difference(&listed).filter(|name| !self.before.contains(*name));
            assert!(new.all(|name| self.listed.contains(name)), "R7: {listed:?} became {is:?}");
            assert!(was.is_some() || self.before.is_subset(&is), "R5: {:?} became {is:?}", self.before);
        }
    }
}

/// A member that no honest run of these tests writes into a record.
const EVIL: &str = "startedOn";
const INDEX: &str = "registry/acme/sample/versions";
const SETTINGS: &str = "registry/settings.json";
const BASE: &str = "https://registry.example.com/";

/// Names and digests of a SHA256SUMS.
fn lines(sums: &[u8]) -> BTreeSet<(String, String)> {
    let text = String::from_utf8_lossy(sums).into_owned();
    let lines = text.lines().filter_map(|line| line.split_once("  "));
    lines.map(|(digest, name)| (name.to_owned(), digest.to_owned())).collect()
}

fn armor(document: &Value) -> String {
    let keys = document["signing_keys"]["gpg_public_keys"].as_array().unwrap();
    let [key] = keys.as_slice() else { panic!("several keys: {keys:?}") };
    key["ascii_armor"].as_str().unwrap().to_owned()
}

/// What a document says of each package.
fn packages(document: &Value) -> impl Iterator<Item = String> {
    document["packages"].as_object().into_iter().flatten().map(|(_, package)| package.to_string())
}

/// What an index lists: `VERSION OS_ARCH`.
fn index_of(index: Option<&Vec<u8>>) -> BTreeSet<String> {
    let index: Value = index.map_or(Value::Null, |bytes| serde_json::from_slice(bytes).unwrap());
    let versions = index["versions"].as_array().into_iter().flatten();
    let names = versions.flat_map(|entry| {
        let platforms = entry["platforms"].as_array().into_iter().flatten();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        platforms.map(move |platform| {
            format!("{} {}_{}", text(&entry["version"]), text(&platform["os"]), text(&platform["arch"]))
        })
    });
    names.collect()
}

/// What has a download document: `VERSION OS_ARCH`.
fn published(objects: &Objects) -> BTreeSet<String> {
    let parts = objects.keys().map(|key| key.split('/').collect::<Vec<_>>());
    let names = parts.filter_map(|parts| match parts.as_slice() {
        ["registry", _, _, version, "download", os, arch] => Some(format!("{version} {os}_{arch}")),
        _ => None,
    });
    names.collect()
}

#[derive(Default)]
struct Publisher {
    /// The step that waits to be taken.
    waiting: Option<Waker>,
    /// Whether it may be taken now.
    granted: bool,
    /// All that this publisher has seen; its own state is a function of it.
    history: DefaultHasher,
    /// The settings that it has seen last.
    settings: Option<Vec<u8>>,
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
    async fn step(&self, key: &str) {
        let key: Key = key.parse().unwrap();
        let is_document = match key {
            Key::Versions { .. } | Key::MirrorIndex { .. } => true,
            Key::Yanked { .. } => self.quiet == Quiet::Nothing || self.has_yanks,
            Key::Download { .. } | Key::MirrorVersion { .. } => self.quiet == Quiet::Nothing,
            Key::Page(ref page) => pages::is_step(page, self.quiet),
            _ => false,
        };
        if is_document || self.has_settings && matches!(key, Key::Settings | Key::Discovery) {
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

    async fn read(&self, key: &str) -> Option<Vec<u8>> {
        self.step(key).await;
        let bytes = self.objects.lock().unwrap().get(key).cloned();
        self.remember("get", key, bytes.as_deref());
        if key == SETTINGS {
            self.publisher.lock().unwrap().settings.clone_from(&bytes);
        }
        bytes
    }

    fn remember(&self, what: &str, key: &str, seen: Option<&[u8]>) {
        let history = &mut self.publisher.lock().unwrap().history;
        (what, key, seen.map(|bytes| content(key, bytes))).hash(history);
    }
}

/// What matters of an object's bytes: signatures are salted, and one is as good as another.
fn content(key: &str, bytes: &[u8]) -> Digest {
    Digest::of(if key.ends_with(".sig") { b"signature" } else { bytes })
}

#[async_trait]
impl ObjectStore for Memory {
    fn describe(&self) -> String {
        "memory".to_owned()
    }

    fn conditions(&self) -> Conditions {
        Conditions::Built
    }

    async fn open(&self, key: &str, _: Form) -> Result<Option<Object>, StoreError> {
        Ok(self.read(key).await.map(|bytes| Object {
            headers: Headers::default(),
            state: ObjectState::Named(Revision(Digest::of(&bytes).to_string())),
            body: stream::iter([Ok(bytes.into())]).boxed(),
        }))
    }

    async fn head(&self, _: &str) -> Result<Option<Headers>, StoreError> {
        panic!("a publish reads documents and summaries")
    }

    async fn summary(&self, key: &str) -> Result<Option<Summary>, StoreError> {
        let bytes = self.read(key).await;
        Ok(bytes.map(|bytes| Summary { len: bytes.len() as u64, digest: Digest::of(&bytes) }))
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

    async fn put(
        &self,
        key: &str,
        body: &Sealed,
        _: &HttpHeaders,
        condition: &Condition,
        _: OnSent,
    ) -> Answer {
        self.step(key).await;
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut body.reader(), &mut bytes).unwrap();
        let mut objects = self.objects.lock().unwrap();
        let now = objects.get(key);
        let holds = match (condition, now) {
            (Condition::Absent, None) => true,
            (Condition::Unchanged(Revision(read)), Some(now)) => *read == Digest::of(now).to_string(),
            _ => false,
        };
        assert!(!holds || now.is_none() || !key.starts_with("store/"), "R3: {key} would change");
        if let Some(honest) = self.honest.as_ref().filter(|_| holds) {
            honest.judge(key, &bytes, &objects);
        }
        self.remember(if holds { "written" } else { "refused" }, key, None);
        if !holds {
            return Answer::ConditionFailed("412".to_owned());
        }
        objects.insert(key.to_owned(), bytes);
        Answer::Written
    }
}

/// Signs when this step is chosen.
struct Stepped {
    store: Memory,
    signer: Arc<dyn Signer>,
}

#[async_trait]
impl Signer for Stepped {
    fn public_key(&self) -> &PublishableKey {
        self.signer.public_key()
    }

    async fn sign(&self, document: &Bytes) -> Result<Vec<u8>, Error> {
        // It commutes with everything; what is disputed is what was read before.
        if self.store.quiet == Quiet::Nothing {
            self.store.wait().await;
        }
        ("signed", document).hash(&mut self.store.publisher.lock().unwrap().history);
        self.signer.sign(document).await
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    Step(usize),
    Crash(usize),
    /// One of the attacker's writes.
    Attack(usize),
}

/// Objects that an attacker writes at once, or deletes where there is nothing to be written.
type Attack = Vec<(String, Option<Vec<u8>>)>;

/// Who takes part.
enum Actor {
    Publish(Box<PublishGoal>),
    Batch(Box<Batch>),
    Yank(Yank),
    Unyank(Unyank),
    Reindex(Reindex),
    Init(Init),
    Align(Align),
}

impl Actor {
    /// The versions that it publishes.
    fn goals(&self) -> &[PublishGoal] {
        match self {
            Self::Publish(goal) => std::slice::from_ref(&**goal),
            Self::Batch(batch) => batch.goals(),
            _ => &[],
        }
    }

    async fn run(&self, store: &Memory) -> Result<Outcome, Error> {
        let registry = registry(store.clone());
        let signer = || Arc::new(Stepped { store: store.clone(), signer: signer() });
        match self {
            Self::Publish(goal) => publish_signed(&registry, &**goal, 1, PATIENCE, signer()).await,
            Self::Batch(goal) => publish_signed(&registry, &**goal, 1, PATIENCE, signer()).await,
            Self::Yank(goal) => publish_with(&registry, goal, 1, PATIENCE).await,
            Self::Unyank(goal) => publish_with(&registry, goal, 1, PATIENCE).await,
            Self::Reindex(goal) => publish_with(&registry, goal, 1, PATIENCE).await,
            Self::Init(goal) => publish_with(&registry, goal, 1, PATIENCE).await,
            Self::Align(goal) => publish_with(&registry, goal, 1, PATIENCE).await,
        }
    }
}

fn yank(version: &str, second: i64) -> Actor {
    let (version, now) = (version.parse().unwrap(), Timestamp::from_second(second).unwrap());
    Actor::Yank(Yank { provider: sample(), version, reason: Some("broken".to_owned()), now })
}

fn unyank(version: &str, second: i64) -> Actor {
    let (version, now) = (version.parse().unwrap(), Timestamp::from_second(second).unwrap());
    Actor::Unyank(Unyank { provider: sample(), version, trust: Trust::default(), now })
}

fn init(change: SettingsChange) -> Actor {
    Actor::Init(Init { change, prefix: String::new() })
}

/// Where clients reach the registry.
fn address() -> SettingsChange {
    let links = Links::Absolute(BaseUrl::of_registry(BASE).unwrap());
    SettingsChange { links: Some(links), ..SettingsChange::default() }
}

fn sample() -> Provider {
    Provider { namespace: "acme".parse().unwrap(), provider_type: "sample".parse().unwrap() }
}

/// Whether somebody changes the settings, or what depends on them.
fn changes_settings(actors: &[Actor]) -> bool {
    actors.iter().any(|actor| matches!(actor, Actor::Init(_) | Actor::Align(_)))
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
    /// Whether the registry has had a network mirror from the beginning.
    has_mirror: bool,
    /// Whether it has had pages.
    has_pages: bool,
    /// The versions that the index has ever listed.
    listed_ever: BTreeSet<String>,
    attacks: &'a [Attack],
    /// Those that were carried out.
    attacked: BTreeSet<usize>,
}

/// The objects, what each running publisher has seen, the results, and who has crashed.
type State = (u64, Vec<u64>, Vec<Option<Result<(), u8>>>, Option<usize>);

/// So many waits of the backoff are allowed to a publisher: more than any interleaving of two needs, unless it starves.
const PATIENCE: Duration = Duration::from_secs(30);

impl<'a> World<'a> {
    fn new(start: &Objects, wanted: &'a [Actor]) -> Self {
        Self::with(start, wanted, None, &[], Quiet::Nothing)
    }

    fn attacked(
        start: &Objects,
        wanted: &'a [Actor],
        honest: Option<&Arc<Honest>>,
        attacks: &'a [Attack],
    ) -> Self {
        Self::with(start, wanted, honest, attacks, Quiet::Nothing)
    }

    fn with(
        start: &Objects,
        wanted: &'a [Actor],
        honest: Option<&Arc<Honest>>,
        attacks: &'a [Attack],
        quiet: Quiet,
    ) -> Self {
        let objects = Arc::new(Mutex::new(start.clone()));
        let has_settings = changes_settings(wanted);
        let has_yanks = wanted.iter().any(|actor| matches!(actor, Actor::Yank(_) | Actor::Unyank(_)));
        let publishers: Vec<Arc<Mutex<Publisher>>> = wanted.iter().map(|_| Arc::default()).collect();
        let running = wanted.iter().zip(&publishers).map(|(wanted, publisher)| {
            let (objects, publisher) = (Arc::clone(&objects), Arc::clone(publisher));
            let honest = honest.cloned();
            let store = Memory { objects, publisher, honest, has_settings, has_yanks, quiet };
            let run: Publishing<'a> = Box::pin(async move { wanted.run(&store).await });
            Some(run)
        });
        let running = running.collect();
        let results = wanted.iter().map(|_| None).collect();
        let attacked = BTreeSet::new();
        let settings =
            start.get(SETTINGS).map_or(Value::Null, |bytes| serde_json::from_slice(bytes).unwrap());
        let (has_mirror, has_pages) = (settings["network_mirror"] == true, settings["pages"] == true);
        let listed_ever = pages::indexed(start);
        let mut world = Self {
            objects,
            publishers,
            running,
            results,
            crashed: None,
            has_mirror,
            has_pages,
            listed_ever,
            attacks,
            attacked,
        };
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
            Choice::Attack(attack) => {
                let mut objects = self.objects.lock().unwrap();
                for (key, bytes) in &self.attacks[attack] {
                    match bytes {
                        Some(bytes) => drop(objects.insert(key.clone(), bytes.clone())),
                        None => drop(objects.remove(key)),
                    }
                }
                self.attacked.insert(attack);
            }
        }
        if self.has_pages {
            let objects = self.objects.lock().unwrap();
            self.listed_ever.extend(pages::indexed(&objects));
        }
    }

    fn choices(&self) -> Vec<Choice> {
        let running: Vec<usize> = (0..self.running.len()).filter(|p| self.running[*p].is_some()).collect();
        let steps = running.iter().map(|publisher| Choice::Step(*publisher));
        let crashes =
            running.iter().filter(|_| self.crashed.is_none()).map(|publisher| Choice::Crash(*publisher));
        if self.attacks.is_empty() {
            return steps.chain(crashes).collect();
        }
        let attacks = (0..self.attacks.len()).filter(|attack| {
            !running.is_empty() && self.attacked.is_empty() && !self.attacked.contains(attack)
        });
        steps.chain(attacks.map(Choice::Attack)).collect()
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
        if let Err(error) = reader::packaged(&self.objects.lock().unwrap()) {
            panic!("not for OpenTofu after {path:?}: {error}");
        }
        if self.has_mirror
            && let Err(error) = reader::mirrored(&self.objects.lock().unwrap(), BASE)
        {
            panic!("not in the mirror after {path:?}: {error}");
        }
        if self.has_pages
            && let Err(error) = pages::current(&self.objects.lock().unwrap())
        {
            panic!("not on the pages after {path:?}: {error}");
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
    explore_from(start, wanted, Quiet::Nothing, judge)
}

/// The same where all that is disputed are the indexes, and the records of yanks: operations on other documents commute.
fn explore_indexes(start: &Objects, wanted: &[Actor], judge: impl Fn(&World<'_>, &Listed)) -> Covered {
    explore_from(start, wanted, Quiet::Versions, judge)
}

fn explore_from(
    start: &Objects,
    wanted: &[Actor],
    quiet: Quiet,
    judge: impl Fn(&World<'_>, &Listed),
) -> Covered {
    let mut covered = Covered::default();
    let (mut seen, mut whole) = (HashSet::new(), HashSet::new());
    let mut todo: Vec<Vec<Choice>> = vec![Vec::new()];
    while let Some(mut path) = todo.pop() {
        let mut world = World::with(start, wanted, None, &[], quiet);
        for choice in &path {
            world.take(*choice);
        }
        loop {
            if !seen.insert(world.state()) {
                break;
            }
            covered.states += 1;
            if whole.insert((world.objects_hash(), world.listed_ever.clone())) {
                if let Err(error) = world.listed() {
                    panic!("R1 after {path:?}: {error}");
                }
                if world.has_pages
                    && let Err(error) = pages::not_ahead(&world.objects.lock().unwrap(), &world.listed_ever)
                {
                    panic!("the pages after {path:?}: {error}");
                }
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

/// Explores all interleavings of `wanted` from `start` with one of `attacks` at any point; every write of theirs is judged.
fn explore_attacked(name: &str, start: &Objects, wanted: &[Actor], attacks: &[Attack]) {
    let honest = Arc::new(Honest::new(start, wanted));
    let (mut states, mut ends, mut refused) = (0, 0, 0);
    let mut seen = HashSet::new();
    let mut todo: Vec<Vec<Choice>> = vec![Vec::new()];
    while let Some(mut path) = todo.pop() {
        let mut world = World::attacked(start, wanted, Some(&honest), attacks);
        for choice in &path {
            world.take(*choice);
        }
        loop {
            if !seen.insert((world.state(), world.attacked.clone())) {
                break;
            }
            states += 1;
            let choices = world.choices();
            let Some((first, others)) = choices.split_first() else {
                ends += 1;
                let is_known = |result: &Option<Result<(), u8>>| matches!(result, Some(Ok(()) | Err(3)));
                assert!(world.results.iter().all(is_known), "{:?} after {path:?}", world.results);
                refused += usize::from(world.results.contains(&Some(Err(3))));
                break;
            };
            todo.extend(others.iter().map(|other| [path.as_slice(), &[*other]].concat()));
            path.push(*first);
            world.take(*first);
        }
    }
    println!("{name}: {states} states, {ends} ends, {refused} with a refusal");
    assert!(
        states > 50 && refused > 0 && refused < ends,
        "{name}: {states} states, {refused} of {ends} refused"
    );
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
        let published = wanted.goals().iter().filter(|_| *result == Some(Ok(())));
        for wanted in published.filter(|wanted| wanted.published == Published::Immutable) {
            if !is_yanked(wanted.packages.version()) {
                assert_lists(&listed, wanted, &format!("R2 after {path:?}"));
            }
        }
    }
    for (actor, (publisher, result)) in wanted.iter().zip(world.publishers.iter().zip(&world.results)) {
        for goal in actor.goals().iter().filter(|_| *result == Some(Ok(()))) {
            assert_in_line(world, goal, publisher.lock().unwrap().settings.as_deref(), path);
        }
    }
    if world.crashed.is_none() {
        world.assert_settled(path);
    }
    if let Some(crashed) = world.crashed {
        covered.crashes += 1;
        match again_alone(world, &wanted[crashed]) {
            Ok(_) => {
                world.assert_settled(path);
                let listed = world.listed().unwrap();
                match &wanted[crashed] {
                    Actor::Publish(_) | Actor::Batch(_) => {
                        let goals = wanted[crashed].goals().iter();
                        goals.for_each(|wanted| {
                            assert_lists(&listed, wanted, &format!("again after {path:?}"));
                        });
                    }
                    Actor::Yank(yank) => assert!(!lists(&listed, &yank.version), "again after {path:?}"),
                    Actor::Unyank(unyank) => assert!(lists(&listed, &unyank.version), "again after {path:?}"),
                    Actor::Reindex(_) | Actor::Init(_) | Actor::Align(_) => {}
                }
            }
            Err(error) => assert_eq!(error.exit_code(), 3, "again after {path:?}: {error}"),
        }
    }
    judge(world, &listed);
}

/// Who reports success was allowed to publish by the settings that it saw last, and its documents have their links; or those of
/// settings that came later, by a run that saw them.
fn assert_in_line(world: &World<'_>, goal: &PublishGoal, seen: Option<&[u8]>, path: &[Choice]) {
    let objects = world.objects.lock().unwrap();
    let base = |settings: Option<&[u8]>| {
        let settings: Value = settings.map_or(Value::Null, |bytes| serde_json::from_slice(bytes).unwrap());
        settings["base_url"].as_str().unwrap_or("/").to_owned()
    };
    let bases = [base(seen), base(objects.get(SETTINGS).map(Vec::as_slice))];
    for package in goal.packages.packages() {
        let release = tfreg::provider::ReleaseId::new(&goal.provider, goal.packages.version());
        let key = Key::Download { release, platform: package.platform.clone() }.to_string();
        let document: Value = serde_json::from_slice(&objects[&key]).unwrap();
        for link in ["download_url", "shasums_url", "shasums_signature_url"] {
            let link = document[link].as_str().unwrap();
            let is_so = |base: &String| {
                link.strip_prefix(base.as_str()).is_some_and(|rest| rest.starts_with("store/"))
            };
            assert!(bases.iter().any(is_so), "after {path:?}: {link}, and the settings say {bases:?}");
        }
    }
    let Some(seen) = seen else { return };
    let seen: Value = serde_json::from_slice(seen).unwrap();
    let keys = seen["signing_keys"].as_array().unwrap();
    assert!(
        keys.is_empty() || keys.contains(&goal.key.fingerprint().to_string().into()),
        "after {path:?}: {seen}"
    );
    assert!(goal.published == Published::Immutable || seen["replace"] == true, "after {path:?}: {seen}");
}

/// Runs one again when all others have ended.
fn again_alone(world: &World<'_>, wanted: &Actor) -> Result<Outcome, Error> {
    let (objects, publisher) = (Arc::clone(&world.objects), Arc::default());
    let quiet = Quiet::Nothing;
    let store = Memory { objects, publisher, honest: None, has_settings: true, has_yanks: true, quiet };
    let mut again = Box::pin(wanted.run(&store));
    loop {
        let context = &mut Context::from_waker(futures::task::noop_waker_ref());
        if let Poll::Ready(result) = again.as_mut().poll(context) {
            return result;
        }
        store.publisher.lock().unwrap().grant();
    }
}

#[track_caller]
fn assert_lists(listed: &Listed, wanted: &PublishGoal, context: &str) {
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
    after_from(&Objects::new(), published)
}

fn after_from(start: &Objects, published: &[Actor]) -> Objects {
    let mut objects = start.clone();
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

/// All succeed in the end. One may be refused at first, where another was stopped, or has stood still for longer than it is
/// waited for: it cannot know whether an index was lost, nor what a line without a document is. It says to run again, and then
/// it succeeds.
fn all_succeed_in_the_end(wanted: &[Actor]) -> impl Fn(&World<'_>, &Listed) {
    move |world, _| {
        let results = &world.results;
        assert!(world.crashed.is_some() || results.contains(&Some(Ok(()))), "{results:?}");
        for (actor, result) in wanted.iter().zip(results) {
            match result {
                None | Some(Ok(())) => {}
                Some(Err(code)) => {
                    assert_eq!(*code, 3, "{results:?}");
                    again_alone(world, actor).unwrap();
                    assert!(!actor.goals().is_empty(), "these publish");
                    for wanted in actor.goals() {
                        assert_lists(&world.listed().unwrap(), wanted, "again");
                    }
                }
            }
        }
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
    report("into an empty registry", &explore(&Objects::new(), &two, all_succeed_in_the_end(&two)));
    let start = after(&[immutable(&[tarball("release-1.2.0", "darwin-arm64")])]);
    report("into one with a version", &explore(&start, &two, both_succeed));
}

#[test]
fn two_platforms_of_a_version() {
    let two = [
        immutable(&[tarball("release-1.2.0", "linux-amd64")]),
        immutable(&[tarball("release-1.2.0", "darwin-arm64")]),
    ];
    report("of a new version", &explore(&Objects::new(), &two, all_succeed_in_the_end(&two)));
}

#[test]
fn two_platforms_beside_a_third() {
    let two = [
        immutable(&[tarball("release-1.2.0", "linux-amd64")]),
        immutable(&[tarball("release-1.2.0", "darwin-arm64")]),
    ];
    let start = after(&[immutable(&[tarball("release-1.2.0", "windows-amd64")])]);
    report("of a version with a third", &explore(&start, &two, all_succeed_in_the_end(&two)));
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
    let hash = |wanted: &PublishGoal| wanted.packages.packages()[0].zip.digest().to_string();
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

/// All end well, or are refused where the settings forbid what they do.
fn well_or_refused(world: &World<'_>, _: &Listed) {
    assert!(world.results.iter().all(|result| matches!(result, None | Some(Ok(()) | Err(3)))));
    let settings = world.results.last().unwrap();
    assert!(*settings == Some(Ok(())) || world.crashed.is_some(), "{:?}", world.results);
}

#[test]
fn settings_that_change_while_a_version_is_published() {
    let linux = || immutable(&[tarball("release-1.2.0", "linux-amd64")]);
    let moving = [linux(), init(address())];
    report("an address, and a first publish", &explore(&Objects::new(), &moving, both_succeed));
    let start = after(&[immutable(&[tarball("release-1.2.0", "darwin-arm64")])]);
    report("an address, and a platform", &explore(&start, &moving, both_succeed));
    let other = "5062C27F84CD6903A969B8281FD51C14BF354275".parse().unwrap();
    let other_key = || SettingsChange { added_keys: [other].into(), ..SettingsChange::default() };
    let forbidden = [linux(), init(other_key())];
    report("another key", &explore(&start, &forbidden, well_or_refused));
}

#[test]
fn settings_that_forbid_a_replacement_that_is_under_way() {
    let allow = |replace: bool| init(SettingsChange { replace: Some(replace), ..SettingsChange::default() });
    let start = after(&[immutable(&[tarball("release-1.2.0", "linux-amd64")]), allow(true)]);
    let replacing =
        Actor::Publish(Box::new(wanted(&tarballs("release-1.2.0-rebuilt"), Published::Replaceable)));
    let two = [replacing, allow(false)];
    report("no --replace any more", &explore(&start, &two, well_or_refused));
}

#[test]
fn two_who_change_the_settings() {
    let published = || immutable(&[tarball("release-1.2.0", "linux-amd64")]);
    let start = after(&[published(), init(SettingsChange::default())]);
    let stable = || init(SettingsChange { prereleases: Some(false), ..SettingsChange::default() });
    let both_hold = |world: &World<'_>, listed: &Listed| {
        both_succeed(world, listed);
        let settings: Value = serde_json::from_slice(&world.objects.lock().unwrap()[SETTINGS]).unwrap();
        assert!(world.results[0].is_none() || settings["base_url"] == BASE, "{settings}");
        assert!(world.results[1].is_none() || settings["prereleases"] == false, "{settings}");
    };
    report("different members", &explore(&start, &[init(address()), stable()], both_hold));
    report("of a new registry", &explore(&Objects::new(), &[init(address()), stable()], both_hold));
}

#[test]
fn everything_is_brought_in_line_while_a_platform_is_added() {
    let start = after(&[immutable(&[tarball("release-1.2.0", "darwin-arm64")]), init(address())]);
    let in_line = |world: &World<'_>, listed: &Listed| {
        both_succeed(world, listed);
        let documents = world.objects.lock().unwrap();
        let documents =
            documents.iter().filter(|(key, _)| key.contains("/download/") || key.starts_with(".well-known"));
        for (key, bytes) in documents.filter(|_| world.crashed.is_none()) {
            assert!(String::from_utf8_lossy(bytes).contains(BASE), "{key}: {:?}", world.results);
        }
    };
    let adding = immutable(&[tarball("release-1.2.0", "linux-amd64")]);
    report("in line", &explore(&start, &[adding, Actor::Align(Align)], in_line));
}

/// A registry with a network mirror, and with what these publish.
fn with_mirror(published: &[Actor]) -> Objects {
    let mirror = SettingsChange { network_mirror: Some(true), ..address() };
    after_from(&after(&[init(mirror)]), published)
}

#[test]
fn two_versions_over_one_mirror() {
    let two = [
        immutable(&[tarball("release-1.2.0", "linux-amd64")]),
        immutable(&[tarball("release-1.10.0", "linux_amd64")]),
    ];
    let start = with_mirror(&[immutable(&[tarball("release-1.2.0", "darwin-arm64")])]);
    report("versions", &explore_indexes(&start, &two, both_succeed));
}

#[test]
fn a_yank_and_a_publish_over_one_mirror() {
    let linux = || immutable(&[tarball("release-1.2.0", "linux-amd64")]);
    let start = with_mirror(&[linux()]);
    let adding = [yank("1.2.0", 1), immutable(&[tarball("release-1.2.0", "darwin-arm64")])];
    report("another platform", &explore_indexes(&start, &adding, yanked_stays_out("1.2.0")));
    // It is not in the mirror yet, where the publish lists it.
    let mut unlisted = start.clone();
    unlisted.retain(|key, _| !key.starts_with("mirror/"));
    report("the same", &explore_indexes(&unlisted, &[yank("1.2.0", 1), linux()], yanked_stays_out("1.2.0")));
}

#[test]
fn a_version_that_is_put_back_into_a_mirror() {
    let linux = || immutable(&[tarball("release-1.2.0", "linux-amd64")]);
    let start = with_mirror(&[linux(), yank("1.2.0", 1)]);
    report("put back", &explore_indexes(&start, &[unyank("1.2.0", 2), linux()], |_, _| {}));
    report(
        "put back and yanked",
        &explore_indexes(&start, &[unyank("1.2.0", 2), yank("1.2.0", 3)], |_, _| {}),
    );
}

#[test]
fn a_mirror_that_is_switched_on_while_a_version_is_published() {
    let start = after(&[immutable(&[tarball("release-1.10.0", "linux_amd64")]), init(address())]);
    let mirror = || init(SettingsChange { network_mirror: Some(true), ..SettingsChange::default() });
    let linux = || immutable(&[tarball("release-1.2.0", "linux-amd64")]);
    let is_mirrored = |world: &World<'_>, listed: &Listed| {
        both_succeed(world, listed);
        // Who has seen the mirror has written its files; who has not, was done before.
        let objects = world.objects.lock().unwrap();
        let settings = world.publishers[0].lock().unwrap().settings.clone().unwrap_or_default();
        let has_mirror = String::from_utf8_lossy(&settings).contains("\"network_mirror\": true");
        let index = objects.get("mirror/registry.example.com/acme/sample/index.json");
        let is_there = index.is_some_and(|bytes| String::from_utf8_lossy(bytes).contains("\"1.2.0\""));
        assert!(world.results[0] != Some(Ok(())) || is_there == has_mirror, "{is_there}");
    };
    report("switched on", &explore_indexes(&start, &[linux(), mirror()], is_mirrored));
}

/// Writes of somebody who may write and delete any object of `start`, into which `adding` adds a platform to 1.2.0, which has
/// windows_amd64, beside 1.10.0, which has linux_amd64.
fn attacks(start: &Objects, adding: &Actor) -> Vec<Attack> {
    let windows = "registry/acme/sample/1.2.0/download/windows/amd64";
    let other = "registry/acme/sample/1.10.0/download/linux/amd64";
    let document = |key: &str| -> Value { serde_json::from_slice(&start[key]).unwrap() };
    let target = |document: &Value, member: &str| document[member].as_str().unwrap()[1..].to_owned();
    let bytes = |document: &Value| Some(serde_json::to_vec(document).unwrap());
    let evil = Digest::of(b"evil").to_string();

    // The signed SHA256SUMS of the other version, copied to this one.
    let foreign = |member: &str| {
        let from = target(&document(other), member);
        (from.replace("1.10.0", "1.2.0"), Some(start[&from].clone()))
    };
    let copied = [foreign("shasums_url"), foreign("shasums_signature_url")];
    let mut pointing = document(windows);
    pointing["shasums_url"] = format!("/{}", copied[0].0).into();
    pointing["shasums_signature_url"] = format!("/{}", copied[1].0).into();
    let mut posing = pointing.clone();
    posing["filename"] = document(other)["filename"].clone();
    posing["shasum"] = document(other)["shasum"].clone();
    let with_copied = |key: &str, document: &Value| {
        let mut attack = copied.to_vec();
        attack.push((key.to_owned(), bytes(document)));
        attack
    };

    // Documents of a platform that nobody has published, and of the one that is about to be.
    let planted = |os: &str, arch: &str| {
        let mut planted = document(windows);
        planted["os"] = os.into();
        planted["arch"] = arch.into();
        planted["filename"] = format!("terraform-provider-sample_1.2.0_{os}_{arch}.zip").into();
        planted["shasum"] = evil.clone().into();
        planted
    };
    let freebsd =
        ("registry/acme/sample/1.2.0/download/freebsd/amd64".to_owned(), bytes(&planted("freebsd", "amd64")));
    let mut index: Value = serde_json::from_slice(&start[INDEX]).unwrap();
    for entry in index["versions"].as_array_mut().unwrap() {
        if entry["version"] == "1.2.0" {
            let platforms = entry["platforms"].as_array_mut().unwrap();
            platforms.push(serde_json::json!({"os": "freebsd", "arch": "amd64"}));
        }
    }
    // What the run is going to write, as it would alone.
    let mut world = World::new(start, std::slice::from_ref(adding));
    while let Some(step) = world.choices().first().copied() {
        world.take(step);
    }
    let after = world.objects.lock().unwrap().clone();
    let new = |end: &str| {
        let mut new = after.iter().filter(|(key, _)| !start.contains_key(*key) && key.ends_with(end));
        let (key, bytes) = new.next().unwrap();
        (key.clone(), bytes.clone())
    };
    let (record, text) = new("/provenance.json");
    let text = String::from_utf8(text).unwrap();
    let with_time = |time: &str| {
        let changed = text.replacen(
            "\"metadata\": {}",
            &format!("\"metadata\": {{\n        \"{EVIL}\": \"{time}\"\n      }}"),
            1,
        );
        assert_ne!(changed, text);
        vec![(record.clone(), Some(changed.into_bytes()))]
    };
    let (sums, _) = new("_SHA256SUMS");
    let linux = "registry/acme/sample/1.2.0/download/linux/amd64";
    // Other hashes of the zip that is there: in the record that the run reads, in a document, and by another zip.
    let (start_record, start_text) = start
        .iter()
        .find(|(key, _)| key.contains("/1.2.0/") && key.ends_with("/provenance.json"))
        .map(|(key, bytes)| (key.clone(), String::from_utf8_lossy(bytes).into_owned()))
        .unwrap();
    let h1 = "\"dirHash\": \"";
    let at = start_text.find(h1).unwrap() + h1.len();
    let other_h1 = format!("{}{evil}{}", &start_text[..at], &start_text[at + 64..]);
    let mut other_package = document(windows);
    other_package["packages"]["windows_amd64"]["hashes"][1] =
        "h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".into();
    let no_record = (format!("{start_record}.A7F2BC5B6E845A69.sig"), None);
    let zip = target(&document(windows), "download_url");
    vec![
        vec![(start_record, Some(other_h1.into_bytes()))],
        vec![(windows.to_owned(), bytes(&other_package))],
        vec![no_record.clone()],
        vec![no_record.clone(), (zip.clone(), Some(b"evil".to_vec()))],
        vec![no_record, (zip, None)],
        with_copied(windows, &pointing),
        with_copied(windows, &posing),
        with_copied(linux, &{
            let mut own = planted("linux", "amd64");
            own["shasums_url"] = pointing["shasums_url"].clone();
            own
        }),
        vec![freebsd.clone()],
        vec![freebsd, (INDEX.to_owned(), bytes(&index))],
        with_time("2001-01-01T00:00:00Z"),
        with_time("2026-01-02T03:04:05Z[!evil=yes]"),
        vec![(
            sums.clone(),
            Some(format!("{evil}  terraform-provider-sample_1.2.0_linux_amd64.zip\n").into_bytes()),
        )],
        vec![(format!("{sums}.A7F2BC5B6E845A69.sig"), Some(b"evil".to_vec()))],
        vec![(INDEX.to_owned(), None)],
        vec![(INDEX.to_owned(), None), (windows.to_owned(), None)],
    ]
}

/// 1.2.0 for windows_amd64, and 1.10.0 for linux_amd64.
fn two_versions() -> Objects {
    after(&[
        immutable(&[tarball("release-1.2.0", "windows-amd64")]),
        immutable(&[tarball("release-1.10.0", "linux_amd64")]),
    ])
}

#[test]
fn nothing_of_an_attacker_is_signed_or_listed_by_a_publish() {
    let start = two_versions();
    let linux = immutable(&[tarball("release-1.2.0", "linux-amd64")]);
    let attacks = attacks(&start, &linux);
    explore_attacked("one publisher", &start, &[linux], &attacks);
}

#[test]
fn nothing_of_an_attacker_is_listed_again() {
    let start = two_versions();
    let linux = immutable(&[tarball("release-1.2.0", "linux-amd64")]);
    let attacks = attacks(&start, &linux);
    let trust = || {
        let key = std::fs::read(key("ed25519.asc")).unwrap();
        Trust::new(vec![Certificate::read("ed25519.asc", &Secret::new(key)).unwrap()])
    };
    let reindex = || [Actor::Reindex(Reindex { provider: sample(), trust: trust() })];
    let mut lost = start.clone();
    lost.remove(INDEX);
    let (mut states, mut refused) = (0, 0);
    for attack in &attacks {
        for start in [&start, &lost] {
            let mut objects = start.clone();
            for (key, bytes) in attack {
                match bytes {
                    Some(bytes) => drop(objects.insert(key.clone(), bytes.clone())),
                    None => drop(objects.remove(key)),
                }
            }
            let actors = reindex();
            let mut honest = Honest::new(start, &actors);
            // What he has damaged may go.
            honest.before.clear();
            let mut world = World::attacked(&objects, &actors, Some(&Arc::new(honest)), &[]);
            while let Some(step) = world.choices().first().copied() {
                world.take(step);
            }
            states += 1;
            refused += usize::from(world.results[0] == Some(Err(3)));
            assert!(matches!(world.results[0], Some(Ok(()) | Err(3))), "{:?}", world.results);
        }
    }
    println!("reindex: {states} starts, {refused} refused");
    let yanked = after_from(&start, &[yank("1.2.0", 1)]);
    let put_back = Unyank {
        provider: sample(),
        version: "1.2.0".parse().unwrap(),
        trust: trust(),
        now: Timestamp::from_second(2).unwrap(),
    };
    // A planted index says what it likes; what is judged is what is put back.
    explore_attacked("an unyank", &yanked, &[Actor::Unyank(put_back)], &attacks[5..9]);
}
