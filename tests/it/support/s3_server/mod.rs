//! An S3 server inside the test process, for tests that start the real binary.
//!
//! The wire is real (HTTP/1.1, Signature V4 and XML by `s3s`), the storage is a map, and faults
//! are scripted: nothing is random and nothing sleeps, unless a benchmark asks for a latency.
//!
//! * [`store`]: the objects, S3's rules for them, and the observers of every write.
//! * [`script`]: which requests are to meet which fault, gate or hook.
//! * [`accounts`]: who may use which bucket, and STS.
//! * [`front`]: the HTTP layer, which records the requests and plays the script.

#![expect(clippy::unwrap_used, clippy::panic, reason = "here a failure is a bug of the test")]

mod accounts;
mod front;
mod script;
mod store;

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

pub(crate) use accounts::AccessKey;
#[allow(unused_imports, reason = "benches/ log in nowhere")]
pub(crate) use accounts::SSO_TOKEN;
pub(crate) use front::RecordedRequest;
pub(crate) use script::{Action, Gate, Matcher, Point, Rule};
pub(crate) use store::{Conditions, Objects, Snapshot, StoredObject, WriteEvent, Writer};

use accounts::Accounts;
use front::Front;
use store::{Observer, Store};

const ACCESS_KEY: &str = "TESTACCESSKEYID";
const SECRET_KEY: &str = "test-secret-access-key-that-must-never-be-printed";

/// A running server. It ends, with every connection, when this is dropped.
///
/// A panic inside an observer or a hook (a failed assertion, say) is kept and raised again by
/// [`verify`](Self::verify), or at the latest when the server is dropped.
pub(crate) struct S3Server {
    address: SocketAddr,
    access_key: &'static str,
    secret_key: &'static str,
    store: Store,
    accounts: Arc<Mutex<Accounts>>,
    front: Arc<Front>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl S3Server {
    /// Starts a server with these buckets, all empty, on a free port of 127.0.0.1.
    pub(crate) fn start(buckets: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (access_key, secret_key) = (ACCESS_KEY, SECRET_KEY);
        let store = Store::new(buckets);
        let accounts = Arc::new(Mutex::new(Accounts::new(access_key, secret_key)));
        let front = Arc::new(Front::new(store.clone(), Arc::clone(&accounts)));
        let (stop, stopped) = oneshot::channel();
        let serve = serve(listener, Arc::clone(&front), stopped);
        let thread = std::thread::Builder::new().name(format!("s3-server-{}", address.port()));
        let thread = thread.spawn(move || {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            let runtime = builder.worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(serve);
            // Ends every connection. The limit is only for a hook that never returns.
            runtime.shutdown_timeout(Duration::from_secs(10));
        });
        let (stop, thread) = (Some(stop), Some(thread.unwrap()));
        Self { address, access_key, secret_key, store, accounts, front, stop, thread }
    }

    /// The endpoint's URL, `http://127.0.0.1:PORT`.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A new access key for these buckets only, which may assume these roles.
    pub(crate) fn add_key(&self, buckets: &[&str], roles: &[&str]) -> AccessKey {
        lock(&self.accounts).add_key(buckets, roles)
    }

    /// A role for these buckets, that STS gives out to who may assume it.
    pub(crate) fn add_role(&self, arn: &str, buckets: &[&str]) {
        lock(&self.accounts).add_role(arn, buckets);
    }

    /// The access key that may use every bucket.
    pub(crate) fn access_key(&self) -> &'static str {
        self.access_key
    }

    /// The secret of that access key.
    pub(crate) fn secret_key(&self) -> &'static str {
        self.secret_key
    }

    /// The environment with which an AWS SDK in a child process talks to this server only, past
    /// any proxy.
    ///
    /// It overrides; it does not remove the caller's other variables, like `AWS_ENDPOINT_URL_S3`.
    pub(crate) fn envs(&self) -> Vec<(String, String)> {
        let endpoint = self.endpoint();
        let pairs = [
            ("AWS_ENDPOINT_URL", endpoint.as_str()),
            ("AWS_ACCESS_KEY_ID", self.access_key),
            ("AWS_SECRET_ACCESS_KEY", self.secret_key),
            ("AWS_REGION", "us-east-1"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_CONFIG_FILE", "/dev/null"),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
            ("NO_PROXY", "127.0.0.1"),
            ("no_proxy", "127.0.0.1"),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }

    /// The objects of a bucket.
    pub(crate) fn objects(&self, bucket: &str) -> Objects {
        self.store.lock().snapshot.bucket(bucket).clone()
    }

    /// The writes that took effect, in their order.
    pub(crate) fn history(&self) -> Vec<WriteEvent> {
        self.store.lock().history.clone()
    }

    /// Writes an object without a request. Observers see it, as they see any other write.
    pub(crate) fn put_directly(&self, bucket: &str, key: &str, bytes: impl Into<Bytes>) {
        let object = StoredObject::new(bytes.into());
        self.store.lock().write(bucket, key, Some(object), Writer::Test);
    }

    /// Replaces an object's contents by what they are with a `Content-Encoding`; its other headers stay. As on S3, the checksum is
    /// that of the bytes that are kept.
    pub(crate) fn encode_directly(&self, bucket: &str, key: &str, encoding: &str, bytes: impl Into<Bytes>) {
        let old = self.objects(bucket)[key].clone();
        let bytes = bytes.into();
        let object = StoredObject {
            content_type: old.content_type,
            cache_control: old.cache_control,
            content_encoding: Some(encoding.to_owned()),
            checksum_sha256: Some(tfreg::content::Digest::of(&bytes).to_base64()),
            ..StoredObject::new(bytes)
        };
        self.store.lock().write(bucket, key, Some(object), Writer::Test);
    }

    /// Removes an object without a request. Observers see it, if there was such an object.
    pub(crate) fn delete_directly(&self, bucket: &str, key: &str) {
        self.store.lock().write(bucket, key, None, Writer::Test);
    }

    /// Calls `observer` after every effective write from now on, with the state it led to.
    ///
    /// The store is locked meanwhile: nothing changes under the observer, and it must not call
    /// this server.
    pub(crate) fn on_write(&self, observer: Observer) {
        self.store.lock().observers.push(observer);
    }

    /// How conditions on a PUT are treated from now on.
    pub(crate) fn set_conditions(&self, conditions: Conditions) {
        self.store.lock().conditions = conditions;
    }

    /// Lets every request from now on take this much longer: half of it before it is executed, half after. For
    /// benchmarks; a test holds requests at a [`Gate`].
    #[allow(dead_code, reason = "only benches/ uses it")]
    pub(crate) fn set_latency(&self, latency: Duration) {
        self.front.lock().latency = latency;
    }

    /// Caps the keys on one page of a listing, whatever `max-keys` asks for.
    pub(crate) fn set_page_size(&self, keys: usize) {
        self.store.lock().page_size = keys;
    }

    /// The requests so far, in the order of their completion.
    pub(crate) fn requests(&self) -> Vec<RecordedRequest> {
        self.front.lock().requests.clone()
    }

    /// Forgets the requests so far, and the greatest number of concurrent PUTs.
    pub(crate) fn clear_requests(&self) {
        let mut log = self.front.lock();
        log.requests.clear();
        log.max_puts = log.puts;
    }

    /// The greatest number of PUT requests that were in progress at the same time.
    pub(crate) fn max_concurrent_puts(&self) -> usize {
        self.front.lock().max_puts
    }

    /// Lets the requests that match meet `action`.
    ///
    /// Every rule counts its own matches, from now on. A request meets all the rules it matches,
    /// in the order in which they were given, until one of them answers or drops it.
    pub(crate) fn fault(&self, matches: Matcher, action: Action) -> Rule {
        let rule = Rule::new(matches, action);
        self.front.lock().rules.push(rule.clone());
        rule
    }

    /// Holds the requests that match at `gate`, before or after they are executed.
    pub(crate) fn gate(&self, matches: Matcher, point: Point, gate: &Gate) -> Rule {
        self.fault(matches, Action::Hold(point, gate.clone()))
    }

    /// Calls `hook` while a request that matches is held, then drops the request's connection.
    ///
    /// The hook may block, to kill a child process and wait for its end, for example.
    pub(crate) fn kill_hook<F>(&self, matches: Matcher, point: Point, hook: F) -> Rule
    where
        F: Fn(&RecordedRequest) + Send + Sync + 'static,
    {
        self.fault(matches, Action::Kill(point, Arc::new(hook)))
    }

    /// Removes all faults, gates and hooks. Requests that are held stay held by their gate.
    pub(crate) fn clear_rules(&self) {
        self.front.lock().rules.clear();
    }

    /// Panics if an observer or a hook did.
    pub(crate) fn verify(&self) {
        let failures = std::mem::take(&mut self.store.lock().failures);
        assert!(failures.is_empty(), "S3 server: {}", failures.join("; "));
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        let joined = self.thread.take().map(JoinHandle::join);
        // What an observer has found fails its test. Not so while another panic unwinds it: a second one would abort the
        // whole binary, and leave its children.
        if !std::thread::panicking() {
            joined.unwrap().unwrap();
            self.verify();
        }
    }
}

/// Accepts connections until `stopped` resolves, which it does when its sender is dropped.
async fn serve(listener: TcpListener, front: Arc<Front>, mut stopped: oneshot::Receiver<()>) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        tokio::select! {
            _ = &mut stopped => return,
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                tokio::spawn(Arc::clone(&front).serve(stream));
            },
        }
    }
}

/// Locks, also when a test that panicked held the lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
