//! A registry at its public address, found and read as Terraform does: discovery, then the service's address, then
//! paths below it.

mod part;

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::header::{
    ACCEPT_ENCODING, AGE, AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE,
    HeaderMap, HeaderName, LOCATION, RANGE,
};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response, StatusCode, Url};
use serde_json::Value;
use tokio::sync::OnceCell;

use super::client_config::Token;
use super::network::{Forbidden, Guard, GuardedResolver, Lookup, SystemLookup, is_local};
use super::tls;
use super::{Fetched, Missing, NotFollowed, Opened, Pieces, Reply};
use crate::error::{Error, Refusal, Result, chain};
use crate::registry::{Key, json};
use crate::store::body::{self, BodyError, Limits, MachineClock};
use crate::store::encoding::{self, gunzip};
use crate::store::trust::{CaBundle, machine_has_certificates};
use crate::store::{Headers, HttpHeaders, MAX_DOCUMENT, StoreError};

pub use part::Part;

/// A registry behind a web server or a CDN.
pub struct Web {
    /// Connects directly, and only to addresses that the guard allows.
    direct: Client,
    /// Connects through a proxy.
    proxied: Client,
    /// The addresses for which a proxy is set.
    proxies: Matcher,
    guard: Arc<Guard>,
    host: Url,
    /// The address of the provider registry service, found by discovery.
    service: OnceCell<Url>,
    /// Sent to the registry's interface, and nowhere else.
    token: Option<Token>,
    times: Times,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asking {
    /// Discovery, the index or a download document: for these clients send the token of the host.
    Interface,
    /// Anything that a document links to.
    Object,
}

/// How long a host may take for an answer, and its minimum pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// The maximum wait for the head of an answer.
    pub head: Duration,
    /// The maximum wait for a whole document.
    pub document: Duration,
    /// The same for any larger object.
    pub object: Duration,
    /// The minimum pace in each `window` of waiting, in bytes per second.
    pub bytes_per_second: u64,
    /// The time over which the pace is averaged.
    pub window: Duration,
    /// The pause before the first retry; it doubles each time.
    pub pause: Duration,
}

impl Default for Times {
    /// The limits for a reader of a registry: half a minute until an answer begins, two minutes for a document, an hour
    /// for a zip, [`body::SLOWEST`] in each [`body::WINDOW`].
    fn default() -> Self {
        Self {
            head: HEAD_TIME,
            document: DOCUMENT_TIME,
            object: OBJECT_TIME,
            bytes_per_second: body::SLOWEST,
            window: body::WINDOW,
            pause: PAUSE,
        }
    }
}

/// The name of the provider registry service in discovery documents.
pub const SERVICE: &str = "providers.v1";
/// The time limit for a connection, and for the head of an answer.
const CONNECT_TIME: Duration = Duration::from_secs(10);
const HEAD_TIME: Duration = Duration::from_secs(30);
/// The time limit for a whole document, and for any larger object.
const DOCUMENT_TIME: Duration = Duration::from_mins(2);
const OBJECT_TIME: Duration = Duration::from_hours(1);
/// The same as Go's HTTP client, with which Terraform reads a registry; discovery allows fewer.
const REDIRECTS: usize = 10;
/// The number of attempts after failed connections, and with a server that is too busy to answer. The pause doubles: a
/// busy server is given a quarter of a minute.
const ATTEMPTS: u32 = 3;
const BUSY_ATTEMPTS: u32 = 6;
const PAUSE: Duration = Duration::from_millis(500);

/// Whether the user may name an address of this scheme: anyone can change an answer over plain http, except that of a
/// server on this machine.
#[must_use]
pub fn is_allowed(url: &Url) -> bool {
    let local = match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    url.scheme() == "https" || url.scheme() == "http" && local
}

/// Parses a registry's address, `https://HOST[:PORT]/`: a source address contains only the host.
///
/// # Errors
/// Fails if `text` is not such an address; the error says why.
pub fn address(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{error}; expected https://HOST/"))?;
    if !is_allowed(&url) {
        return Err("expected https://HOST/ (http only on this machine)".to_owned());
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err("expected https://HOST/ without a path: clients ask the host's root".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("expected https://HOST/ without a user or password".to_owned());
    }
    Ok(url)
}

impl Web {
    /// Makes a reader of the host at `host`, as [`address`] returns it. Makes no request yet.
    ///
    /// It trusts the system's certificates (or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name) and those of
    /// `ca_bundle`, and uses the proxies of the environment. `private_links` allows other hosts at private addresses.
    ///
    /// # Errors
    /// Fails if the certificates cannot be used.
    pub fn connect(host: Url, ca_bundle: Option<&CaBundle>, private_links: bool) -> Result<Self> {
        Self::connect_by(host, ca_bundle, private_links, Box::new(SystemLookup))
    }

    fn connect_by(
        host: Url,
        ca_bundle: Option<&CaBundle>,
        private_links: bool,
        lookup: Box<dyn Lookup>,
    ) -> Result<Self> {
        // Fails if one is installed already, by an earlier call.
        drop(rustls::crypto::ring::default_provider().install_default());
        let failed = |error: reqwest::Error| StoreError {
            doing: format!("cannot read {host}"),
            answer: chain(&error),
            status: None,
            remedy: None,
        };
        let tls = ca_bundle.map(CaBundle::tls_config).transpose().map_err(|error| StoreError {
            doing: format!("cannot read {host}"),
            answer: error.to_string(),
            status: None,
            remedy: None,
        })?;
        let client = || {
            let client = Client::builder().user_agent(concat!("tfreg/", env!("CARGO_PKG_VERSION")));
            let client = match &tls {
                Some(tls) => client.tls_backend_preconfigured(tls.clone()),
                None if machine_has_certificates() => client,
                None => client.tls_certs_only([]),
            };
            client
                // Redirects are followed by `send`, which checks and counts them.
                .redirect(Policy::none())
                .connect_timeout(CONNECT_TIME)
        };
        let guard = Guard::new(&host, private_links, lookup);
        let direct = client().no_proxy().dns_resolver(Arc::new(GuardedResolver(Arc::clone(&guard))));
        let direct = direct.build().map_err(failed)?;
        let proxied = client().build().map_err(failed)?;
        let (service, token, times) = (OnceCell::new(), None, Times::default());
        Ok(Self { direct, proxied, proxies: Matcher::from_system(), guard, host, service, token, times })
    }

    /// The same, with other time limits.
    #[must_use]
    pub fn with_times(self, times: Times) -> Self {
        Self { times, ..self }
    }

    /// The same, which sends this token to the registry's interface as clients do: for discovery, the index and download
    /// documents, never for zips, SHA256SUMS or signatures, and not to another host that a redirect leads to.
    #[must_use]
    pub fn with_token(self, token: Option<Token>) -> Self {
        Self { token, ..self }
    }

    /// The same, whose registry service is at this address, without discovery.
    #[must_use]
    pub fn with_service(self, service: Url) -> Self {
        Self { service: OnceCell::new_with(Some(service)), ..self }
    }

    /// The host's address.
    #[must_use]
    pub fn describe(&self) -> String {
        self.host.to_string()
    }

    /// The root of the host.
    #[must_use]
    pub fn host(&self) -> &Url {
        &self.host
    }

    /// A document of the registry service; `None` only if the answer is 404.
    ///
    /// # Errors
    /// Fails if it cannot be read.
    pub async fn document(&self, key: &Key) -> Result<Option<Fetched>> {
        let key = key.to_string();
        let path = key.strip_prefix("registry/").unwrap_or(&key);
        let service = self.service().await?;
        let url = service.join(path).map_err(|error| Error::Usage(format!("{path}: {error}")))?;
        Ok(self.read(&url, MAX_DOCUMENT, Asking::Interface).await?.or_failed(&url)?)
    }

    async fn service(&self) -> Result<&Url> {
        self.service.get_or_try_init(|| self.discover()).await
    }

    /// Finds the address of the host's provider registry.
    ///
    /// Source: Terraform's remote service discovery protocol; Terraform demands the content type `application/json`,
    /// and adds no slash to the address.
    async fn discover(&self) -> Result<Url> {
        let host = &self.host;
        let refuse = |found: String| {
            Refusal::new(host, "no provider registry is found there")
                .found(found)
                .expected(format!(
                    "/{} with {SERVICE:?}, the address of the registry, which ends in a slash",
                    Key::Discovery
                ))
                .remedy("check the address; if it is right, clients find no registry there either")
        };
        let url = host.join(&Key::Discovery.to_string()).map_err(|error| refuse(error.to_string()))?;
        let answer = self.read(&url, MAX_DOCUMENT, Asking::Interface).await?.or_failed(&url)?;
        let Some(answer) = answer else {
            return Err(refuse(format!("404 for {url}")).into());
        };
        let content_type = answer.headers.http.and_then(|http| http.content_type).unwrap_or_default();
        // Clients read the media type, and pass over its parameters.
        if content_type.split(';').next().map(str::trim) != Some("application/json") {
            return Err(refuse(format!(
                "content type {content_type:?} instead of \"application/json\" for {url}"
            ))
            .into());
        }
        let object = json::parse(&Key::Discovery, &answer.bytes)?;
        let Some(Value::String(address)) = object.get(SERVICE) else {
            return Err(refuse(format!("no {SERVICE:?} in {url}")).into());
        };
        let service = answer
            .url
            .join(address)
            .map_err(|error| refuse(format!("{SERVICE:?} is {address:?}: {error}")))?;
        if !service.path().ends_with('/') {
            return Err(refuse(format!("{SERVICE:?} is {address:?}, without a slash at its end")).into());
        }
        if host.scheme() == "https" && service.scheme() != "https" {
            return Err(refuse(format!("{SERVICE:?} is {address:?}, which is not https")).into());
        }
        Ok(service)
    }

    /// Reads a document of at most `limit` bytes; retries a few times if the server or the network fails.
    ///
    /// # Errors
    /// Fails if the server or the network continues to fail, or is too slow.
    pub async fn fetch(&self, url: &Url, limit: u64) -> Result<Reply<Fetched>, StoreError> {
        self.read(url, limit, Asking::Object).await
    }

    async fn read(&self, url: &Url, limit: u64, asking: Asking) -> Result<Reply<Fetched>, StoreError> {
        self.with_retries(url, async || {
            let (response, redirects) = match self.send(Method::GET, url, None, asking).await? {
                Reply::Found(found) => found,
                other => return Ok(other.without()),
            };
            let (headers, final_url) = (headers(&response), response.url().clone());
            match body::all(self.pieces(response, limit, self.times.document)).await {
                Ok(bytes) => Ok(Reply::Found(Fetched { bytes, headers, url: final_url, redirects })),
                Err(BodyError::TooLarge { limit }) => Ok(Reply::TooLarge(limit)),
                Err(error) => {
                    let may_pass = if error.may_pass() { MayPass::Soon } else { MayPass::Never };
                    let failed = failed(url, error.to_string(), None);
                    let remedy = body_remedy(&error).map(str::to_owned).or(failed.remedy);
                    Err(Failure { error: StoreError { remedy, ..failed }, may_pass })
                }
            }
        })
        .await
    }

    /// Opens an object of at most `limit` bytes, to be read once.
    ///
    /// # Errors
    /// Fails if the server or the network continues to fail.
    pub async fn stream(&self, url: &Url, limit: u64) -> Result<Reply<Opened>, StoreError> {
        self.with_retries(url, async || {
            let found = self.send(Method::GET, url, None, Asking::Object).await?;
            Ok(found
                .map(|(response, _)| (headers(&response), self.pieces(response, limit, self.times.object))))
        })
        .await
    }

    /// Requests the metadata of an object, without its bytes.
    ///
    /// # Errors
    /// Fails if the server or the network continues to fail.
    pub async fn head(&self, url: &Url) -> Result<Reply<Headers>, StoreError> {
        let reply = self
            .with_retries(url, async || {
                let found = self.send(Method::HEAD, url, None, Asking::Object).await?;
                Ok(found.map(|(response, _)| headers(&response)))
            })
            .await?;
        match reply {
            // A server that does not support HEAD may still have the object.
            Reply::Status(400 | 405 | 501, _) => Ok(self.stream(url, 0).await?.map(|(headers, _)| headers)),
            reply => Ok(reply),
        }
    }

    /// Retries a few times, if the failure of the server or the network may be transient.
    async fn with_retries<T>(
        &self,
        url: &Url,
        ask: impl AsyncFn() -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        let mut attempt = 1;
        let mut pause = self.times.pause;
        loop {
            let failure = match ask().await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let attempts = match failure.may_pass {
                MayPass::Never => 1,
                MayPass::Soon => ATTEMPTS,
                MayPass::Later => BUSY_ATTEMPTS,
            };
            if attempt >= attempts {
                return Err(failure.error);
            }
            tracing::debug!(%url, attempt, "{}", failure.error.answer);
            tokio::time::sleep(pause).await;
            (attempt, pause) = (attempt + 1, pause * 2);
        }
    }

    /// Sends a request and follows its redirects, each only if its address is allowed; returns the answer with their
    /// number. `from` is the first byte that is wanted, as it is stored.
    async fn send(
        &self,
        method: Method,
        url: &Url,
        from: Option<u64>,
        asking: Asking,
    ) -> Result<Reply<(Response, usize)>, Failure> {
        let mut at = url.clone();
        for redirects in 0..=REDIRECTS {
            if let Err(refused) = self.check(&at).await {
                return Ok(Reply::NotFollowed(refused));
            }
            let is_asked = asking == Asking::Interface && at.origin() == url.origin();
            let token = self.token.as_ref().filter(|_| is_asked);
            let response = match self.ask(&method, &at, from, token).await {
                Ok(response) => response,
                Err(Asked::Forbidden(forbidden)) => {
                    return Ok(Reply::NotFollowed(NotFollowed::Address(forbidden)));
                }
                Err(Asked::Failed(failure)) => return Err(failure),
            };
            let status = response.status();
            match status {
                StatusCode::OK => return Ok(Reply::Found((response, redirects))),
                StatusCode::PARTIAL_CONTENT if from.is_some_and(|from| from > 0) => {
                    return Ok(Reply::Found((response, redirects)));
                }
                StatusCode::NOT_FOUND => return Ok(Reply::Absent(missing(response.headers()))),
                StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::SEE_OTHER
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT => {
                    let to = header(response.headers(), &LOCATION).unwrap_or_default();
                    let Some(to) = at.join(&to).ok().filter(|_| !to.is_empty()) else {
                        return Ok(Reply::Misdirected("a redirect that names no address".to_owned()));
                    };
                    if at.scheme() == "https" && to.scheme() != "https" {
                        return Ok(Reply::Misdirected(format!(
                            "a redirect from https to plain {}: {to}",
                            to.scheme()
                        )));
                    }
                    at = to;
                }
                _ if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                    let error = failed(&at, format!("HTTP status {status}"), Some(status.as_u16()));
                    return Err(Failure { error, may_pass: MayPass::Later });
                }
                _ => return Ok(Reply::Status(status.as_u16(), format!("HTTP status {status}"))),
            }
        }
        Ok(Reply::Misdirected(format!("more than {REDIRECTS} redirects, the last to {at}")))
    }

    /// Whether an address is allowed, as far as that is known before its name is resolved.
    async fn check(&self, url: &Url) -> Result<(), NotFollowed> {
        // A preview on this machine is read over plain http, and its links may use plain http to this machine only.
        let local = self.host.scheme() == "http" && url.scheme() == "http" && is_local(url);
        if url.scheme() != "https" && !local {
            return Err(NotFollowed::Scheme(url.clone()));
        }
        self.guard.check_literal(url).map_err(NotFollowed::Address)?;
        if self.has_proxy(url) {
            self.guard.check_name(url).await.map_err(NotFollowed::Address)?;
        }
        Ok(())
    }

    fn has_proxy(&self, url: &Url) -> bool {
        url.as_str().parse().is_ok_and(|uri| self.proxies.intercept(&uri).is_some())
    }

    /// Sends one request.
    async fn ask(
        &self,
        method: &Method,
        url: &Url,
        from: Option<u64>,
        token: Option<&Token>,
    ) -> Result<Response, Asked> {
        let client = if self.has_proxy(url) { &self.proxied } else { &self.direct };
        // Users get the cached copy of a CDN, but not that of a proxy of this machine.
        let mut request = client.request(method.clone(), url.clone()).header(CACHE_CONTROL, "no-cache");
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, token.header());
        }
        if let Some(from) = from {
            request = request.header(ACCEPT_ENCODING, "identity");
            if from > 0 {
                request = request.header(RANGE, format!("bytes={from}-"));
            }
        } else if *method == Method::GET {
            request = request.header(ACCEPT_ENCODING, "gzip");
        }
        let most = self.times.head;
        match tokio::time::timeout(most, request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(match forbidden(&error) {
                Some(forbidden) => Asked::Forbidden(forbidden),
                None => Asked::Failed(broken(url, &error)),
            }),
            Err(_) => {
                let answer = format!("no answer within {} seconds", most.as_secs());
                Err(Asked::Failed(Failure { error: failed(url, answer, None), may_pass: MayPass::Soon }))
            }
        }
    }

    /// The contents of an answer as clients read them, within the limits.
    fn pieces(&self, response: Response, limit: u64, total: Duration) -> Pieces {
        let gzip = is_gzip(&response);
        let raw = stream::try_unfold(response, |mut response| async {
            let chunk = response.chunk().await.map_err(|error| chain(&error))?;
            Ok(chunk.map(|chunk| (chunk, response)))
        });
        let Times { bytes_per_second, window, .. } = self.times;
        let limits = Limits { bytes: limit, bytes_per_second, window, total };
        let raw = body::bounded(raw, limits, MachineClock::start()).boxed();
        if gzip { gunzip(raw, limit, |error| error).boxed() } else { raw }
    }
}

/// A request without an answer.
enum Asked {
    /// It was not sent: the host has no address that is allowed.
    Forbidden(Forbidden),
    Failed(Failure),
}

/// A request without a usable answer.
struct Failure {
    error: StoreError,
    may_pass: MayPass,
}

/// Whether a retry may succeed.
#[derive(Clone, Copy)]
enum MayPass {
    Never,
    /// If the disturbance is short.
    Soon,
    /// The server says that it is busy.
    Later,
}

fn broken(url: &Url, error: &reqwest::Error) -> Failure {
    if let Some((problem, remedy)) = tls::explain(error) {
        let error = StoreError { remedy: Some(remedy), ..failed(url, problem, None) };
        return Failure { error, may_pass: MayPass::Never };
    }
    let passing = error.is_connect() || error.is_timeout() || error.is_body() || error.is_request();
    let may_pass = if passing { MayPass::Soon } else { MayPass::Never };
    Failure { error: failed(url, chain(error), None), may_pass }
}

/// The guard's error, if the guard ended the request.
fn forbidden(error: &reqwest::Error) -> Option<Forbidden> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(forbidden) = error.downcast_ref::<Forbidden>() {
            return Some(forbidden.clone());
        }
        cause = error.source();
    }
    None
}

/// The remedy for a failure of the contents, rather than of the connection.
fn body_remedy(error: &BodyError<String>) -> Option<&'static str> {
    match error {
        BodyError::TooSlow { .. } | BodyError::TooLong { .. } => {
            Some("try again from a faster network; if others are as slow, look at the server")
        }
        BodyError::Source(answer) if answer.starts_with("Content-Encoding") => {
            Some("have the server send the header Content-Encoding: gzip with gzip only, and all of it")
        }
        BodyError::Source(_) | BodyError::TooLarge { .. } => None,
    }
}

fn is_gzip(response: &Response) -> bool {
    encoding::is_gzip(header(response.headers(), &CONTENT_ENCODING).as_deref())
}

fn missing(headers: &HeaderMap) -> Missing {
    let age = header(headers, &AGE).and_then(|age| age.trim().parse().ok());
    Missing::Answered { cache_control: header(headers, &CACHE_CONTROL), age }
}

pub(super) fn failed(url: &Url, answer: String, status: Option<u16>) -> StoreError {
    StoreError {
        doing: format!("cannot read {url}"),
        answer,
        status,
        remedy: match status {
            Some(401 | 403) => Some(
                "let the CDN or web server answer it without credentials; clients take this answer for a registry that needs \
                 them. A bucket answers 403 also for what is missing, until the CDN is granted s3:ListBucket"
                    .to_owned(),
            ),
            Some(429 | 500..) => Some("try again later; the server's logs tell why it answers so".to_owned()),
            Some(_) => None,
            None => Some("check the address, the network and the proxy settings".to_owned()),
        },
    }
}

fn header(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    Some(String::from_utf8_lossy(headers.get(name)?.as_bytes()).into_owned())
}

fn headers(response: &Response) -> Headers {
    let (content_type, cache_control) =
        (header(response.headers(), &CONTENT_TYPE), header(response.headers(), &CACHE_CONTROL));
    // The body of the answer to a HEAD request is empty; the header contains the length of the body that a GET would
    // return.
    // For compressed contents, the header is not the length of the contents.
    let len = response.headers().get(CONTENT_LENGTH).filter(|_| !is_gzip(response));
    let len = len.and_then(|len| len.to_str().ok()?.parse().ok());
    Headers { len, digest: None, http: Some(HttpHeaders { content_type, cache_control }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in
            ["https://registry.example.com", "https://h:8443/", "http://127.0.0.1:80/", "http://[::1]:8080"]
        {
            assert!(address(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "registry.example.com",
            "http://registry.example.com/",
            "ftp://127.0.0.1/",
            "https://h/prefix/",
            "https://h/?q",
            "https://u:p@h/",
            "file:///x",
        ] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
