//! A registry at its public address, found and read as Terraform does: discovery, then the service's address, then paths
//! below it.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::stream::{self, StreamExt as _};
use reqwest::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Method, Response, StatusCode, Url};
use serde_json::Value;
use tokio::sync::OnceCell;

use super::{Fetched, Opened, Reply};
use crate::error::{Error, Refusal, Result};
use crate::registry::{Key, json};
use crate::store::ca_bundle::CaBundle;
use crate::store::{Headers, HttpHeaders, MAX_DOCUMENT, StoreError};

/// A registry behind a web server or a CDN.
pub struct Web {
    client: Client,
    host: Url,
    /// The address of the provider registry service, by discovery.
    service: OnceCell<Url>,
}

/// The name of the provider registry service in discovery documents.
pub const SERVICE: &str = "providers.v1";
/// For a document as a whole, and for every piece of anything larger.
const TIMEOUT: Duration = Duration::from_mins(1);
/// As Go's HTTP client does, which Terraform reads a registry with; discovery allows fewer.
const REDIRECTS: usize = 10;
/// A request is repeated as often as the S3 client does it, with a pause that doubles.
pub(super) const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(500);

/// Reads a registry's address, `https://HOST[:PORT]/`: a source address names no more than the host.
///
/// # Errors
/// What is wrong with it.
pub fn address(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{error}; expected https://HOST/"))?;
    let local = match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    // What is read by plain http may be anybody's; a preview on this machine is not.
    if url.scheme() != "https" && !(url.scheme() == "http" && local) {
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
    /// The host at `host`, as [`address`] gives it. No request is made yet.
    ///
    /// Trusted are the system's certificates (`SSL_CERT_FILE` and `SSL_CERT_DIR` name others) and those of `ca_bundle`;
    /// proxies are those of the environment.
    ///
    /// # Errors
    /// The certificates cannot be used.
    pub fn connect(host: Url, ca_bundle: Option<&CaBundle>) -> Result<Self> {
        // Refused where one is installed already, by an earlier call.
        drop(rustls::crypto::ring::default_provider().install_default());
        let failed = |error: reqwest::Error| StoreError {
            doing: format!("cannot read {host}"),
            answer: chain(&error),
            status: None,
            remedy: None,
        };
        let certificates = match ca_bundle {
            Some(bundle) => Certificate::from_pem_bundle(bundle.pem()).map_err(failed)?,
            None => Vec::new(),
        };
        let client = Client::builder()
            .user_agent(concat!("tfreg/", env!("CARGO_PKG_VERSION")))
            .tls_certs_merge(certificates)
            // Followed by `send`, which counts them.
            .redirect(Policy::none())
            .connect_timeout(Duration::from_secs(10))
            .read_timeout(TIMEOUT)
            .build()
            .map_err(failed)?;
        Ok(Self { client, host, service: OnceCell::new() })
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

    /// A document of the registry service; `None` only where the answer is 404.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn document(&self, key: &Key) -> Result<Option<Bytes>> {
        let key = key.to_string();
        let path = key.strip_prefix("registry/").unwrap_or(&key);
        let service = self.service().await?;
        let url = service.join(path).map_err(|error| Error::Usage(format!("{path}: {error}")))?;
        Ok(self.fetch(&url).await?.or_failed(&url)?.map(|answer| answer.bytes))
    }

    async fn service(&self) -> Result<&Url> {
        self.service.get_or_try_init(|| self.discover()).await
    }

    /// Where the host's provider registry is.
    ///
    /// Source: Terraform's remote service discovery protocol; Terraform demands the content type to be
    /// `application/json`, and adds no slash to the address.
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
        let Some(answer) = self.fetch(&url).await?.or_failed(&url)? else {
            return Err(refuse(format!("404 for {url}")).into());
        };
        let content_type = answer.headers.http.and_then(|http| http.content_type).unwrap_or_default();
        if content_type != "application/json" {
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

    /// Reads a document, a few times if the server or the network fails.
    ///
    /// # Errors
    /// The server or the network goes on failing, or it is larger than any document.
    pub async fn fetch(&self, url: &Url) -> Result<Reply<Fetched>, StoreError> {
        self.patiently(url, async || {
            let (mut response, redirects) = match self.send(Method::GET, url, Some(TIMEOUT)).await? {
                Reply::Found(found) => found,
                other => return Ok(other.without()),
            };
            let (headers, final_url) = (headers(&response), response.url().clone());
            let mut bytes = BytesMut::new();
            while let Some(chunk) = response.chunk().await.map_err(|error| broken(url, &error))? {
                if (bytes.len() + chunk.len()) as u64 > MAX_DOCUMENT {
                    return Ok(Reply::TooLarge);
                }
                bytes.extend_from_slice(&chunk);
            }
            Ok(Reply::Found(Fetched { bytes: bytes.freeze(), headers, url: final_url, redirects }))
        })
        .await
    }

    /// Opens an object of any size, to be read once.
    ///
    /// # Errors
    /// The server or the network goes on failing.
    pub async fn stream(&self, url: &Url) -> Result<Reply<Opened>, StoreError> {
        self.patiently(url, async || {
            let (response, _) = match self.send(Method::GET, url, None).await? {
                Reply::Found(found) => found,
                other => return Ok(other.without()),
            };
            let headers = headers(&response);
            let body = stream::try_unfold(response, |mut response| async {
                let chunk = response.chunk().await.map_err(|error| chain(&error))?;
                Ok(chunk.map(|chunk| (chunk, response)))
            });
            Ok(Reply::Found((headers, body.boxed())))
        })
        .await
    }

    /// What a server tells of an object without its bytes.
    ///
    /// # Errors
    /// The server or the network goes on failing.
    pub async fn head(&self, url: &Url) -> Result<Reply<Headers>, StoreError> {
        let reply = self
            .patiently(url, async || {
                Ok(self.send(Method::HEAD, url, Some(TIMEOUT)).await?.map(|(response, _)| headers(&response)))
            })
            .await?;
        match reply {
            // A server that has no HEAD may still have the object.
            Reply::Status(400 | 405 | 501, _) => Ok(self.stream(url).await?.map(|(headers, _)| headers)),
            reply => Ok(reply),
        }
    }

    /// Asks a few times, if the server or the network fails in a way that may pass.
    async fn patiently<T>(
        &self,
        url: &Url,
        ask: impl AsyncFn() -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        let mut attempt = 1;
        let mut pause = PAUSE;
        loop {
            let failure = match ask().await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            if attempt == ATTEMPTS || !failure.passing {
                return Err(failure.error);
            }
            tracing::debug!(%url, attempt, "{}", failure.error.answer);
            tokio::time::sleep(pause).await;
            (attempt, pause) = (attempt + 1, pause * 2);
        }
    }

    /// Sends a request and follows its redirects; gives the answer with their number.
    async fn send(
        &self,
        method: Method,
        url: &Url,
        timeout: Option<Duration>,
    ) -> Result<Reply<(Response, usize)>, Failure> {
        let mut at = url.clone();
        for redirects in 0..=REDIRECTS {
            // A CDN's copy is what users get, but not one of this machine's proxies.
            let mut request =
                self.client.request(method.clone(), at.clone()).header(CACHE_CONTROL, "no-cache");
            if let Some(timeout) = timeout {
                request = request.timeout(timeout);
            }
            let response = request.send().await.map_err(|error| broken(&at, &error))?;
            let status = response.status();
            match status {
                StatusCode::OK => return Ok(Reply::Found((response, redirects))),
                StatusCode::NOT_FOUND => return Ok(Reply::Absent),
                StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::SEE_OTHER
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT => {
                    let to = header(response.headers(), &LOCATION).unwrap_or_default();
                    let Some(to) = at.join(&to).ok().filter(|_| !to.is_empty()) else {
                        return Ok(Reply::Misdirected(format!("a redirect to {to:?}, which is no address")));
                    };
                    if at.scheme() == "https" && to.scheme() != "https" {
                        return Ok(Reply::Misdirected(format!("a redirect from https to plain http: {to}")));
                    }
                    at = to;
                }
                _ if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                    let error = failed(&at, format!("HTTP status {status}"), Some(status.as_u16()));
                    return Err(Failure { error, passing: true });
                }
                _ => return Ok(Reply::Status(status.as_u16(), format!("HTTP status {status}"))),
            }
        }
        Ok(Reply::Misdirected(format!("more than {REDIRECTS} redirects, the last to {at}")))
    }
}

/// A request without a usable answer.
struct Failure {
    error: StoreError,
    /// Whether asking again may help.
    passing: bool,
}

fn broken(url: &Url, error: &reqwest::Error) -> Failure {
    let passing = error.is_connect() || error.is_timeout() || error.is_body() || error.is_request();
    Failure { error: failed(url, chain(error), None), passing }
}

pub(super) fn failed(url: &Url, answer: String, status: Option<u16>) -> StoreError {
    StoreError {
        doing: format!("cannot read {url}"),
        answer,
        status,
        remedy: match status {
            Some(401 | 403) => Some(
                "clients get the same answer: they take it for a registry that needs credentials. A missing object must be \
                 answered 404, for which the CDN needs s3:ListBucket"
                    .to_owned(),
            ),
            Some(_) => None,
            None => Some("check the address, the network, the proxy settings and the server's certificate".to_owned()),
        },
    }
}

fn header(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    Some(String::from_utf8_lossy(headers.get(name)?.as_bytes()).into_owned())
}

fn headers(response: &Response) -> Headers {
    let (content_type, cache_control) =
        (header(response.headers(), &CONTENT_TYPE), header(response.headers(), &CACHE_CONTROL));
    // Of a HEAD request the body is empty, and the header says how long it would be.
    let len = response.headers().get(reqwest::header::CONTENT_LENGTH);
    let len = len.and_then(|len| len.to_str().ok()?.parse().ok());
    Headers { len, digest: None, http: Some(HttpHeaders { content_type, cache_control }) }
}

/// An error with its causes; reqwest's own words name only the outermost one.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
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
