//! Which requests are to meet which fault, gate or hook.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use tokio::sync::Notify;

use super::front::RecordedRequest;
use super::lock;

type Test = Box<dyn Fn(&RecordedRequest) -> bool + Send + Sync>;
pub(super) type Hook = Arc<dyn Fn(&RecordedRequest) + Send + Sync>;

/// Selects requests: all of them at first, fewer with every further condition.
pub(crate) struct Matcher {
    tests: Vec<Test>,
    occurrences: RangeInclusive<u64>,
}

impl Matcher {
    /// Every request.
    pub(crate) fn any() -> Self {
        Self { tests: Vec::new(), occurrences: 1..=u64::MAX }
    }

    /// Every request with this HTTP method.
    pub(crate) fn method(method: &'static str) -> Self {
        Self::any().when(move |request| request.method == method)
    }

    /// PUT requests.
    pub(crate) fn put() -> Self {
        Self::method("PUT")
    }

    /// GET requests for an object.
    pub(crate) fn get() -> Self {
        Self::method("GET").when(|request| !request.key.is_empty())
    }

    /// HEAD requests, for an object or a bucket.
    pub(crate) fn head() -> Self {
        Self::method("HEAD")
    }

    /// Listings of a bucket.
    pub(crate) fn list() -> Self {
        Self::method("GET").when(|request| request.key.is_empty())
    }

    /// Only requests to this bucket.
    pub(crate) fn bucket(self, bucket: &str) -> Self {
        let bucket = bucket.to_owned();
        self.when(move |request| request.bucket == bucket)
    }

    /// Only requests for this key.
    pub(crate) fn key(self, key: &str) -> Self {
        let key = key.to_owned();
        self.when(move |request| request.key == key)
    }

    /// Only requests for a key that ends so.
    pub(crate) fn suffix(self, suffix: &str) -> Self {
        let suffix = suffix.to_owned();
        self.when(move |request| request.key.ends_with(&suffix))
    }

    /// Only requests for a key that contains this.
    pub(crate) fn contains(self, part: &str) -> Self {
        let part = part.to_owned();
        self.when(move |request| request.key.contains(&part))
    }

    /// Only requests with this header (in lower case).
    pub(crate) fn header(self, name: &'static str) -> Self {
        self.when(move |request| request.headers.contains_key(name))
    }

    /// Only the `ordinal`-th request of all that the server received, from 1.
    pub(crate) fn ordinal(self, ordinal: u64) -> Self {
        self.when(move |request| request.ordinal == ordinal)
    }

    /// Only requests of which `test` holds. Of their outcome nothing is known yet.
    pub(crate) fn when(mut self, test: impl Fn(&RecordedRequest) -> bool + Send + Sync + 'static) -> Self {
        self.tests.push(Box::new(test));
        self
    }

    /// Of the requests selected otherwise, only the `n`-th, from 1.
    pub(crate) fn nth(self, n: u64) -> Self {
        self.occurrences(n..=n)
    }

    /// Of the requests selected otherwise, only these, from 1.
    pub(crate) fn occurrences(mut self, occurrences: RangeInclusive<u64>) -> Self {
        self.occurrences = occurrences;
        self
    }
}

/// What a request meets.
pub(crate) enum Action {
    /// The request is not executed and is answered with this status and S3 error code.
    AnswerBefore(u16, &'static str),
    /// The request is not executed and is answered so: with a status, further headers, and a body as it is.
    AnswerRaw(u16, Vec<(&'static str, String)>, String),
    /// The request is executed, yet answered with this status and S3 error code.
    AnswerAfter(u16, &'static str),
    /// The request is not executed and its connection is closed.
    DropBefore,
    /// The request is executed and its connection is closed without an answer.
    DropAfter,
    /// The request is executed and its connection is closed within the answer: after half of the
    /// body, or half of the head if there is no body.
    CutAnswer,
    /// The request waits at the gate. See [`S3Server::gate`](super::S3Server::gate).
    Hold(Point, Gate),
    /// See [`S3Server::kill_hook`](super::S3Server::kill_hook).
    Kill(Point, Arc<dyn Fn(&RecordedRequest) + Send + Sync>),
}

/// Where a request is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Point {
    /// The server has the whole request and has not executed it.
    Before,
    /// The server has executed the request and has not answered it.
    After,
}

/// A rule of the script.
#[derive(Clone)]
pub(crate) struct Rule(Arc<Inner>);

struct Inner {
    matcher: Matcher,
    action: Action,
    seen: AtomicU64,
    fired: AtomicU64,
}

impl Rule {
    pub(super) fn new(matcher: Matcher, action: Action) -> Self {
        let (seen, fired) = (AtomicU64::new(0), AtomicU64::new(0));
        Self(Arc::new(Inner { matcher, action, seen, fired }))
    }

    /// How many requests met this rule's action.
    pub(crate) fn fired(&self) -> u64 {
        self.0.fired.load(Ordering::SeqCst)
    }

    /// Counts the request if it matches, and says whether it is to meet the action.
    pub(super) fn selects(&self, request: &RecordedRequest) -> bool {
        let matcher = &self.0.matcher;
        matcher.tests.iter().all(|test| test(request))
            && matcher.occurrences.contains(&(self.0.seen.fetch_add(1, Ordering::SeqCst) + 1))
    }

    /// The action, if it takes place at `point`.
    pub(super) fn fire(&self, point: Point) -> Option<&Action> {
        let at = match &self.0.action {
            Action::AnswerBefore(..) | Action::AnswerRaw(..) | Action::DropBefore => Point::Before,
            Action::AnswerAfter(..) | Action::DropAfter | Action::CutAnswer => Point::After,
            Action::Hold(point, _) | Action::Kill(point, _) => *point,
        };
        (at == point).then(|| {
            self.0.fired.fetch_add(1, Ordering::SeqCst);
            &self.0.action
        })
    }
}

/// Holds requests until they are released, in the order of their arrival.
///
/// A request whose client goes away meanwhile stays: released before its execution it is still
/// executed, as on a real server that has received all of it.
#[derive(Clone)]
pub(crate) struct Gate(Arc<GateInner>);

struct GateInner {
    state: Mutex<GateState>,
    arrival: Condvar,
    release: Notify,
}

struct GateState {
    arrived: usize,
    released: usize,
    opens_at: Option<usize>,
    open: bool,
}

impl Gate {
    /// A gate that the test opens.
    pub(crate) fn manual() -> Self {
        Self::new(None)
    }

    /// A gate that opens by itself when `n` requests have arrived, and stays open.
    pub(crate) fn arrive(n: usize) -> Self {
        Self::new(Some(n))
    }

    fn new(opens_at: Option<usize>) -> Self {
        let state = GateState { arrived: 0, released: 0, opens_at, open: false };
        let (state, arrival, release) = (Mutex::new(state), Condvar::new(), Notify::new());
        Self(Arc::new(GateInner { state, arrival, release }))
    }

    /// How many requests have arrived, those released included.
    pub(crate) fn arrived(&self) -> usize {
        lock(&self.0.state).arrived
    }

    /// Blocks until `n` requests have arrived in all.
    ///
    /// # Panics
    ///
    /// When `timeout` is over first.
    pub(crate) fn wait_until_arrived(&self, n: usize, timeout: Duration) {
        let state = lock(&self.0.state);
        let waited = self.0.arrival.wait_timeout_while(state, timeout, |state| state.arrived < n);
        let arrived = waited.unwrap().0.arrived;
        assert!(arrived >= n, "{arrived} of {n} requests arrived at the gate in {timeout:?}");
    }

    /// Opens the gate for good.
    pub(crate) fn release(&self) {
        lock(&self.0.state).open = true;
        self.0.release.notify_waiters();
    }

    /// Lets one more request pass: the first that waits, or the next to arrive.
    pub(crate) fn release_one(&self) {
        lock(&self.0.state).released += 1;
        self.0.release.notify_waiters();
    }

    /// Arrives, and waits for the release.
    pub(super) async fn pass(&self) {
        let ticket = {
            let mut state = lock(&self.0.state);
            state.arrived += 1;
            state.open |= state.opens_at == Some(state.arrived);
            state.arrived
        };
        self.0.arrival.notify_all();
        self.0.release.notify_waiters();
        loop {
            // Made before the look at the state, so that no release is missed.
            let release = self.0.release.notified();
            {
                let state = lock(&self.0.state);
                if state.open || ticket <= state.released {
                    return;
                }
            }
            release.await;
        }
    }
}
