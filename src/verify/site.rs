//! A registry as one space of URLs, wherever it is read.
//!
//! Clients know only URLs. A directory or a bucket stands for a host with an unknown address: the statements of its
//! discovery document are accepted, and every link is resolved as a client resolves it, and then mapped to a key.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use tokio::sync::{Semaphore, mpsc};
use url::Url;

use crate::content::{Spool, Spooled};
use crate::error::{Error, Result};
use crate::reader::{Fetched, Missing, Opened, Pieces, Reader, Reply};
use crate::registry::{Key, Links};
use crate::store::body::{self, BodyError, Limits, MachineClock};
use crate::store::{Headers, MAX_DOCUMENT, RegistryStore, StoreError};

use super::Watch;

pub(super) use crate::reader::{MAX_SIGNATURE as SIGNATURE, MAX_SUMS as SUMS};

/// How often an object is read if the answer is cut short.
const ATTEMPTS: u32 = 3;
/// The time limit for an object of a store.
const TOTAL: Duration = Duration::from_hours(1);

/// The maximum size of a JSON document.
pub(super) const DOCUMENT: u64 = MAX_DOCUMENT;

/// How many bytes of documents are kept for a second look: those of some 10,000 platforms. Beyond, they are read again.
const KEPT: u64 = 64 << 20;

/// Documents that were read, and will be looked at once more.
struct Kept {
    /// Whether they will be.
    is_wanted: bool,
    bytes: u64,
    documents: BTreeMap<Key, Seen>,
}

/// What was read of a document.
pub(super) enum Seen {
    /// Its bytes.
    Document(Bytes),
    /// It is not there.
    Absent,
}

impl Seen {
    fn len(&self) -> u64 {
        match self {
            Self::Document(bytes) => bytes.len() as u64,
            Self::Absent => 0,
        }
    }
}

/// The registry that is verified.
pub(super) struct RegistryView<'a> {
    reader: &'a Reader,
    /// The root of the host.
    host: Url,
    /// The address of the provider registry service; ends in a slash.
    service: Url,
    /// Limits the concurrent requests.
    requests: Semaphore,
    /// Limits the zips on this machine's disk.
    zips: Semaphore,
    kept: Mutex<Kept>,
    pub(super) watch: &'a dyn Watch,
}

/// A zip on this machine's disk, in a file without a name.
pub(super) struct SpooledZip {
    pub(super) spooled: Spooled,
    pub(super) headers: Headers,
}

/// The place of a URL's object.
enum At<'a> {
    Web(&'a crate::reader::web::Web),
    Store(&'a RegistryStore, Key),
    /// No object of this store has this address.
    Nowhere,
}

impl<'a> RegistryView<'a> {
    pub(super) fn new(reader: &'a Reader, reads: usize, watch: &'a dyn Watch) -> Result<Self> {
        let host = match reader {
            Reader::Web(web) => web.host().clone(),
            // A reserved name (RFC 2606).
            Reader::Store(_) => {
                Url::parse("https://registry.invalid/").map_err(|error| Error::Usage(error.to_string()))?
            }
        };
        let service = host.join("registry/").map_err(|error| Error::Usage(error.to_string()))?;
        // A zip takes up to some 100 MB on disk and occupies a core.
        let zips = Semaphore::new(reads.min(2 * std::thread::available_parallelism().map_or(1, usize::from)));
        let kept = Mutex::new(Kept { is_wanted: false, bytes: 0, documents: BTreeMap::new() });
        Ok(Self { reader, host, service, requests: Semaphore::new(reads), zips, kept, watch })
    }

    /// Keeps the documents that pages are made from, as they are read from now on.
    pub(super) fn keep_documents(&self) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).is_wanted = true;
    }

    /// A document that was kept, to be looked at for the last time; `None` if it has to be read.
    pub(super) fn take_kept(&self, key: &Key) -> Option<Seen> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let document = kept.documents.remove(key)?;
        kept.bytes -= document.len();
        Some(document)
    }

    fn keep_document(&self, url: &Url, reply: &Reply<Fetched>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = match reply {
            Reply::Found(document) => Seen::Document(document.bytes.clone()),
            Reply::Absent(_) => Seen::Absent,
            _ => return,
        };
        if !kept.is_wanted || kept.bytes + seen.len() > KEPT {
            return;
        }
        let Some(key) = self.key(url) else { return };
        let is_shown = matches!(
            key,
            Key::Versions { .. } | Key::Download { .. } | Key::Yanked { .. } | Key::Provenance { .. }
        );
        // On the web a link may lead to a copy of the object elsewhere.
        if is_shown && (matches!(self.reader, Reader::Store(_)) || *url == self.url(&key)) {
            kept.bytes += seen.len();
            if let Some(before) = kept.documents.insert(key, seen) {
                kept.bytes -= before.len();
            }
        }
    }

    /// Sets the address of the service that the discovery document names.
    pub(super) fn found_at(&mut self, service: Url) {
        self.service = service;
    }

    pub(super) fn store(&self) -> Option<&'a RegistryStore> {
        match self.reader {
            Reader::Store(store) => Some(store),
            Reader::Web(_) => None,
        }
    }

    /// The host's root, against which the discovery document's own address is resolved.
    pub(super) fn host(&self) -> &Url {
        &self.host
    }

    /// The prefix of all keys, according to the service's address.
    fn base(&self) -> Option<&str> {
        self.service.as_str().strip_suffix("registry/")
    }

    /// The address of a document.
    pub(super) fn url(&self, key: &Key) -> Url {
        let text = key.to_string();
        let joined = match (key, text.strip_prefix("registry/"), self.base()) {
            (Key::Discovery, ..) | (_, None, None) => self.host.join(&text),
            (_, Some(path), _) => self.service.join(path),
            (_, None, Some(base)) => Url::parse(&format!("{base}{text}")),
        };
        // Keys are made of letters, digits, dots, dashes and slashes: they always join.
        joined.unwrap_or_else(|_| self.host.clone())
    }

    /// The key of an object; `None` if the URL does not contain a key of the registry.
    pub(super) fn key(&self, url: &Url) -> Option<Key> {
        if *url == self.url(&Key::Discovery) {
            return Some(Key::Discovery);
        }
        if let Some(path) = url.as_str().strip_prefix(self.service.as_str())
            && let Ok(key) = format!("registry/{path}").parse()
        {
            return Some(key);
        }
        if let Some(base) = self.base()
            && let Some(text) = url.as_str().strip_prefix(base)
        {
            return text.parse().ok();
        }
        match self.reader {
            Reader::Web(_) => Links::target(url.as_str()),
            // Documents have absolute URLs and the discovery document has not: only a host could resolve them.
            Reader::Store(_) if url.host_str() != self.host.host_str() => Links::target(url.as_str()),
            Reader::Store(_) => None,
        }
    }

    /// The name of an object in findings.
    pub(super) fn name(&self, url: &Url) -> String {
        match (self.reader, self.key(url)) {
            (Reader::Store(_), Some(key)) => key.to_string(),
            (Reader::Store(_), None) if url.host_str() == self.host.host_str() => url.path().to_owned(),
            _ => url.to_string(),
        }
    }

    fn at(&self, url: &Url) -> At<'a> {
        match self.reader {
            Reader::Web(web) => At::Web(web),
            Reader::Store(store) => match self.key(url) {
                Some(key) => At::Store(store, key),
                None => At::Nowhere,
            },
        }
    }

    /// Reads a document of at most `limit` bytes.
    pub(super) async fn document(&self, url: &Url, limit: u64) -> Result<Reply<Fetched>> {
        let _permit = self.requests.acquire().await;
        let reply = match self.at(url) {
            At::Web(web) => web.fetch(url, limit).await?,
            At::Nowhere => Reply::Absent(Missing::Stored),
            At::Store(store, key) => match store.open(&key).await? {
                Some(object) => {
                    let headers = object.headers.clone();
                    object.collect(limit).await?.map_or(Reply::TooLarge(limit), |bytes| {
                        Reply::Found(Fetched { bytes, headers, url: url.clone(), redirects: 0 })
                    })
                }
                None => Reply::Absent(Missing::Stored),
            },
        };
        if let Reply::Found(document) = &reply {
            self.watch.read(document.bytes.len() as u64);
        }
        self.keep_document(url, &reply);
        Ok(reply)
    }

    /// Requests the metadata of an object.
    pub(super) async fn head(&self, url: &Url) -> Result<Reply<Headers>> {
        let _permit = self.requests.acquire().await;
        let reply = match self.at(url) {
            At::Web(web) => web.head(url).await?,
            At::Nowhere => Reply::Absent(Missing::Stored),
            At::Store(store, key) => {
                store.head(&key).await?.map_or(Reply::Absent(Missing::Stored), Reply::Found)
            }
        };
        Ok(reply)
    }

    /// Reads a zip of at most `limit` bytes into a file without a name, in constant memory.
    pub(super) async fn zip<T>(
        &self,
        url: &Url,
        limit: u64,
        look: impl FnOnce(SpooledZip) -> T + Send + 'static,
    ) -> Result<Reply<T>>
    where
        T: Send + 'static,
    {
        let _disk = self.zips.acquire().await;
        let mut attempt = 1;
        let spooled = loop {
            let _permit = self.requests.acquire().await;
            let opened: Reply<Opened> = match self.at(url) {
                At::Web(web) => web.stream(url, limit).await?,
                At::Nowhere => Reply::Absent(Missing::Stored),
                At::Store(store, key) => match store.open(&key).await? {
                    Some(object) => {
                        // The store has already retried.
                        attempt = ATTEMPTS;
                        let body = object.body.map_err(|error| error.answer);
                        let limits = Limits::new(limit, TOTAL);
                        Reply::Found((
                            object.headers,
                            body::bounded(body, limits, MachineClock::start()).boxed(),
                        ))
                    }
                    None => Reply::Absent(Missing::Stored),
                },
            };
            let (headers, body) = match opened {
                Reply::Found(opened) => opened,
                other => return Ok(other.without()),
            };
            match spool(headers, body).await? {
                Ok(spooled) => break spooled,
                Err(BodyError::TooLarge { limit }) => return Ok(Reply::TooLarge(limit)),
                Err(failure) if attempt == ATTEMPTS || !failure.may_pass() => {
                    return Err(cut_short(&self.name(url), &failure).into());
                }
                Err(failure) => tracing::debug!(%url, attempt, "the answer was cut short: {failure}"),
            }
            attempt += 1;
        };
        self.watch.read(spooled.spooled.len);
        let looked = tokio::task::spawn_blocking(move || look(spooled)).await;
        looked.map(Reply::Found).map_err(|error| temporary(std::io::Error::other(error)))
    }
}

/// Writes the arriving pieces to a file, in a thread that may block; the inner error is that of the source.
async fn spool(headers: Headers, mut body: Pieces) -> Result<Result<SpooledZip, BodyError<String>>> {
    let (sender, mut chunks) = mpsc::channel::<Bytes>(4);
    let writing = tokio::task::spawn_blocking(move || -> std::io::Result<Spooled> {
        let mut spool = Spool::into(tempfile::tempfile()?);
        while let Some(chunk) = chunks.blocking_recv() {
            spool.write(&chunk)?;
        }
        spool.finish()
    });
    let mut failure = None;
    while let Some(chunk) = body.next().await {
        match chunk {
            // The writer is gone if it failed; its error is returned below.
            Ok(chunk) => {
                if sender.send(chunk).await.is_err() {
                    break;
                }
            }
            Err(answer) => {
                failure = Some(answer);
                break;
            }
        }
    }
    drop(sender);
    let written = writing.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    let spooled = written.map_err(temporary)?;
    Ok(match failure {
        Some(answer) => Err(answer),
        None => Ok(SpooledZip { spooled, headers }),
    })
}

fn temporary(source: std::io::Error) -> Error {
    Error::Io { context: "cannot write to a temporary file (TMPDIR names its folder)".to_owned(), source }
}

fn cut_short(name: &str, failure: &BodyError<String>) -> StoreError {
    let answer = failure.to_string();
    StoreError { doing: format!("cannot read {name}"), answer, status: None, remedy: None }
}
