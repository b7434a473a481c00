//! The HTTP layer: it records the requests and plays the script.

use std::any::Any;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_LENGTH, HeaderMap};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use s3s::auth::{S3Auth, SecretKey};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, HttpRequest, HttpResponse, S3Error, S3Result, s3_error};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinError;

use super::accounts::Accounts;
use super::lock;
use super::script::{Action, Hook, Point, Rule};
use super::store::Store;

/// A request as the server received it, and what became of it.
#[derive(Clone, Debug)]
pub(crate) struct RecordedRequest {
    /// The place of this request among all, by arrival, from 1; 0 if it did not arrive whole.
    pub(crate) ordinal: u64,
    /// The HTTP method, in upper case.
    pub(crate) method: String,
    /// The bucket, empty if none is named.
    pub(crate) bucket: String,
    /// The key, decoded; empty if none is named.
    pub(crate) key: String,
    /// The query's parameters, decoded.
    pub(crate) query: BTreeMap<String, String>,
    /// The headers, by lower-case name, without `authorization`.
    pub(crate) headers: BTreeMap<String, String>,
    /// The region that the request is signed for; empty if it is not signed.
    pub(crate) region: String,
    /// The length of the body on the wire.
    pub(crate) body_len: usize,
    /// The status with which the request was really executed, if it was.
    pub(crate) executed: Option<u16>,
    /// The status of the answer; `None` if the connection was closed without or within it.
    pub(crate) status: Option<u16>,
    /// The length of the answer's body on the wire.
    pub(crate) answer_len: usize,
    /// When the head of the request was there.
    pub(crate) began: Instant,
    /// When the answer was ready to be sent.
    pub(crate) ended: Instant,
}

impl RecordedRequest {
    fn new(parts: &Parts) -> Self {
        let path = percent_decode(parts.uri.path());
        let path = path.strip_prefix('/').unwrap_or(&path);
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let now = Instant::now();
        let query = url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
        Self {
            ordinal: 0,
            method: parts.method.to_string(),
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            query: query.into_owned().collect(),
            headers: header_map(&parts.headers),
            region: signed_region(&parts.headers).unwrap_or_default(),
            body_len: 0,
            executed: None,
            status: None,
            answer_len: 0,
            began: now,
            ended: now,
        }
    }
}

/// The requests and the script.
#[derive(Default)]
pub(super) struct Log {
    arrived: u64,
    pub(super) requests: Vec<RecordedRequest>,
    pub(super) rules: Vec<Rule>,
    pub(super) puts: usize,
    pub(super) max_puts: usize,
    pub(super) latency: Duration,
}

/// What the connection does with a request in the end.
enum Outcome {
    Answer(HttpResponse),
    /// It sends these bytes and closes.
    Close(Vec<u8>),
}

/// The layer in front of the S3 service.
pub(super) struct Front {
    store: Store,
    service: S3Service,
    accounts: Arc<Mutex<Accounts>>,
    log: Mutex<Log>,
}

impl Front {
    pub(super) fn new(store: Store, accounts: Arc<Mutex<Accounts>>) -> Self {
        let mut service = S3ServiceBuilder::new(store.clone());
        service.set_auth(Credentials(Arc::clone(&accounts)));
        Self { store, service: service.build(), accounts, log: Mutex::default() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Log> {
        lock(&self.log)
    }

    /// Serves one connection.
    pub(super) async fn serve(self: Arc<Self>, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let last_words = Arc::new(Mutex::new(Vec::new()));
        let words = Arc::clone(&last_words);
        let service = service_fn(move |request| {
            let (front, words) = (Arc::clone(&self), Arc::clone(&words));
            async move {
                // A task of its own, so that a client that goes away does not cancel its request.
                let outcome = tokio::spawn(Arc::clone(&front).handle(request)).await;
                match front.finished("a request", outcome) {
                    Some(Outcome::Answer(answer)) => return Ok(answer),
                    Some(Outcome::Close(bytes)) => *lock(&words) = bytes,
                    None => {}
                }
                // At an error hyper lets go of the connection without a word.
                Err(io::Error::from(io::ErrorKind::ConnectionAborted))
            }
        });
        let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        let _ = Pin::new(&mut connection).await;
        let mut stream = connection.into_parts().io.into_inner();
        let bytes = std::mem::take(&mut *lock(&last_words));
        let _ = stream.write_all(&bytes).await;
        let _ = stream.shutdown().await;
    }

    async fn handle(self: Arc<Self>, request: Request<Incoming>) -> Outcome {
        let (parts, body) = request.into_parts();
        let mut record = RecordedRequest::new(&parts);
        let running = (record.method == "PUT").then(|| RunningPut::new(&self));
        let mut outcome = match body.collect().await {
            Ok(body) => {
                let way = self.lock().latency / 2;
                travel(way).await;
                let outcome = self.play(&mut record, parts, body.to_bytes()).await;
                travel(way).await;
                outcome
            }
            Err(_) => Outcome::Close(Vec::new()),
        };
        if let Outcome::Answer(answer) = &mut outcome {
            record.answer_len = body_len(answer, &record.method);
            answer.headers_mut().insert("x-amz-request-id", record.ordinal.into());
            record.status = Some(answer.status().as_u16());
        }
        drop(running);
        record.ended = Instant::now();
        self.lock().requests.push(record);
        outcome
    }

    /// Executes a request as the script wants it.
    async fn play(&self, record: &mut RecordedRequest, parts: Parts, body: Bytes) -> Outcome {
        record.body_len = body.len();
        let rules: Vec<Rule> = {
            let mut log = self.lock();
            log.arrived += 1;
            record.ordinal = log.arrived;
            // Every rule is asked, since every rule counts for itself.
            log.rules.iter().filter(|rule| rule.selects(record)).cloned().collect()
        };
        for action in rules.iter().filter_map(|rule| rule.fire(Point::Before)) {
            match action {
                Action::Hold(_, gate) => gate.pass().await,
                Action::Kill(_, hook) => return self.kill(hook, record).await,
                Action::AnswerBefore(status, code) => return answer_error(*status, code),
                Action::AnswerRaw(status, headers, body) => return answer_raw(*status, headers, body),
                _ => return Outcome::Close(Vec::new()),
            }
        }
        if parts.method == "POST" && parts.uri.path() == "/" {
            return Outcome::Answer(lock(&self.accounts).assume_role(&parts.headers, &body));
        }
        if parts.uri.path() == "/federation/credentials" {
            return Outcome::Answer(lock(&self.accounts).sso_credentials(&parts.headers));
        }
        if !lock(&self.accounts).may_use(&parts.headers, &record.bucket) {
            return answer_error(403, "AccessDenied");
        }
        let request = HttpRequest::from_parts(parts, Body::from(body));
        let answer = match self.service.call(request).await {
            Ok(answer) => answer,
            Err(error) => {
                self.store.lock().failures.push(format!("the service failed: {error:?}"));
                return Outcome::Close(Vec::new());
            }
        };
        record.executed = Some(answer.status().as_u16());
        for action in rules.iter().filter_map(|rule| rule.fire(Point::After)) {
            match action {
                Action::Hold(_, gate) => gate.pass().await,
                Action::Kill(_, hook) => return self.kill(hook, record).await,
                Action::AnswerAfter(status, code) => return answer_error(*status, code),
                Action::CutAnswer => {
                    return Outcome::Close(half_of(answer, &record.method).await);
                }
                _ => return Outcome::Close(Vec::new()),
            }
        }
        Outcome::Answer(answer)
    }

    /// Calls the hook where it may block, and closes the connection.
    async fn kill(&self, hook: &Hook, record: &RecordedRequest) -> Outcome {
        let (hook, record) = (Arc::clone(hook), record.clone());
        let called = tokio::task::spawn_blocking(move || hook(&record)).await;
        self.finished("a hook", called);
        Outcome::Close(Vec::new())
    }

    /// What the task returned. If it panicked, that is kept for the test's thread.
    fn finished<T>(&self, task: &str, result: Result<T, JoinError>) -> Option<T> {
        let panic = match result.map_err(JoinError::try_into_panic) {
            Ok(value) => return Some(value),
            // The server is ending.
            Err(Err(_)) => return None,
            Err(Ok(panic)) => panic,
        };
        let failure = format!("{task} panicked: {}", panic_text(&*panic));
        self.store.lock().failures.push(failure);
        None
    }
}

/// Counts a PUT for as long as it lives.
struct RunningPut(Arc<Front>);

impl RunningPut {
    fn new(front: &Arc<Front>) -> Self {
        let mut log = front.lock();
        log.puts += 1;
        log.max_puts = log.max_puts.max(log.puts);
        Self(Arc::clone(front))
    }
}

impl Drop for RunningPut {
    fn drop(&mut self) {
        let mut log = self.0.lock();
        log.puts = log.puts.saturating_sub(1);
    }
}

/// The users. `s3s`'s own `SimpleAuth` has another error for an unknown access key than AWS.
struct Credentials(Arc<Mutex<Accounts>>);

#[async_trait::async_trait]
impl S3Auth for Credentials {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        lock(&self.0).secret(access_key).map(Into::into).ok_or_else(|| s3_error!(InvalidAccessKeyId))
    }
}

/// Takes the time of one way through a network, if that is asked for.
async fn travel(way: Duration) {
    if !way.is_zero() {
        tokio::time::sleep(way).await;
    }
}

/// The length of the body that is sent with an answer.
fn body_len(answer: &HttpResponse, method: &str) -> usize {
    let sent = answer.body().size_hint().exact().filter(|_| method != "HEAD");
    sent.and_then(|len| usize::try_from(len).ok()).unwrap_or_default()
}

fn answer_error(status: u16, code: &str) -> Outcome {
    let code = code.parse().unwrap_or_else(|never: Infallible| match never {});
    let mut error = S3Error::with_message(code, "This error was scripted by the test.");
    error.set_status_code(StatusCode::from_u16(status).unwrap());
    Outcome::Answer(error.to_http_response().unwrap())
}

fn answer_raw(status: u16, headers: &[(&'static str, String)], body: &str) -> Outcome {
    let mut answer = hyper::Response::builder().status(status);
    for (name, value) in headers {
        answer = answer.header(*name, value);
    }
    Outcome::Answer(answer.body(Body::from(body.to_owned())).unwrap())
}

/// The answer up to half of its body, or half of the head if there is no body.
async fn half_of(answer: HttpResponse, method: &str) -> Vec<u8> {
    let (mut parts, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    parts.headers.entry(CONTENT_LENGTH).or_insert(body.len().into());
    let mut bytes = format!("{:?} {}\r\n", parts.version, parts.status).into_bytes();
    for (name, value) in &parts.headers {
        bytes.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    bytes.extend(b"\r\n");
    if method == "HEAD" || body.is_empty() {
        bytes.truncate(bytes.len() / 2);
    } else {
        bytes.extend(&body[..body.len() / 2]);
    }
    bytes
}

fn header_map(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut map = BTreeMap::<String, String>::new();
    for (name, value) in headers.iter().filter(|(name, _)| *name != "authorization") {
        let value = String::from_utf8_lossy(value.as_bytes());
        map.entry(name.to_string())
            .and_modify(|all| *all = format!("{all}, {value}"))
            .or_insert_with(|| value.to_string());
    }
    map
}

/// Of `Credential=KEY/DATE/REGION/s3/aws4_request`.
fn signed_region(headers: &HeaderMap) -> Option<String> {
    let header = headers.get("authorization")?.to_str().ok()?;
    header.split_once("Credential=")?.1.split('/').nth(2).map(str::to_owned)
}

fn percent_decode(text: &str) -> String {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let code = part.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.extend(code.or(Some(b'%')));
        bytes.extend(&part.as_bytes()[if code.is_some() { 2 } else { 0 }..]);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What a panic said.
pub(super) fn panic_text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or(payload.downcast_ref::<&str>().copied()).unwrap_or("(no text)")
}
