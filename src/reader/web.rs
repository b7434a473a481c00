//! A registry at its public address, found and read as Terraform does: discovery, then the service's address, then paths
//! below it.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{CACHE_CONTROL, CONTENT_TYPE};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Response, StatusCode, Url};
use serde_json::Value;

use crate::error::{Error, Refusal, Result};
use crate::registry::{Key, json};
use crate::store::ca_bundle::CaBundle;
use crate::store::{MAX_DOCUMENT, StoreError};

/// A registry behind a web server or a CDN.
pub struct Web {
    client: Client,
    host: Url,
    /// The address of the provider registry service, by discovery.
    service: Url,
}

const SERVICE: &str = "providers.v1";
const TIMEOUT: Duration = Duration::from_mins(1);
const REDIRECTS: usize = 10;
/// A request is repeated as often as the S3 client does it, with a pause that doubles.
const ATTEMPTS: u32 = 3;
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
    /// Finds the provider registry of the host at `host`, as [`address`] gives it.
    ///
    /// Trusted are the system's certificates (`SSL_CERT_FILE` and `SSL_CERT_DIR` name others) and those of `ca_bundle`;
    /// proxies are those of the environment.
    ///
    /// # Errors
    /// The host cannot be reached, or announces no provider registry.
    pub async fn open(host: Url, ca_bundle: Option<&CaBundle>) -> Result<Self> {
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
        let secure = host.scheme() == "https";
        let policy = Policy::custom(move |attempt| {
            if attempt.previous().len() > REDIRECTS {
                attempt.error("too many redirects")
            } else if secure && attempt.url().scheme() != "https" {
                attempt.error("a redirect from https to plain http")
            } else {
                attempt.follow()
            }
        });
        let client = Client::builder()
            .user_agent(concat!("tfreg/", env!("CARGO_PKG_VERSION")))
            .tls_certs_merge(certificates)
            .redirect(policy)
            .connect_timeout(Duration::from_secs(10))
            .timeout(TIMEOUT)
            .build()
            .map_err(failed)?;
        let service = discover(&client, &host).await?;
        Ok(Self { client, host, service })
    }

    /// The host's address.
    #[must_use]
    pub fn describe(&self) -> String {
        self.host.to_string()
    }

    /// A document of the registry service; `None` only where the answer is 404.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn document(&self, key: &Key) -> Result<Option<Bytes>> {
        let key = key.to_string();
        let path = key.strip_prefix("registry/").unwrap_or(&key);
        let url = self.service.join(path).map_err(|error| Error::Usage(format!("{path}: {error}")))?;
        Ok(get(&self.client, &url).await?.map(|answer| answer.bytes))
    }
}

/// Where the host's provider registry is.
///
/// Source: Terraform's remote service discovery protocol; Terraform demands the content type to be exactly
/// `application/json`, and adds no slash to the address.
async fn discover(client: &Client, host: &Url) -> Result<Url> {
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
    let Some(answer) = get(client, &url).await? else { return Err(refuse(format!("404 for {url}")).into()) };
    let content_type = answer.content_type.unwrap_or_default();
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
    let service =
        answer.url.join(address).map_err(|error| refuse(format!("{SERVICE:?} is {address:?}: {error}")))?;
    if !service.path().ends_with('/') {
        return Err(refuse(format!("{SERVICE:?} is {address:?}, without a slash at its end")).into());
    }
    if host.scheme() == "https" && service.scheme() != "https" {
        return Err(refuse(format!("{SERVICE:?} is {address:?}, which is not https")).into());
    }
    Ok(service)
}

struct Answer {
    bytes: Bytes,
    content_type: Option<String>,
    /// The address behind all redirects, against which links are resolved.
    url: Url,
}

/// Reads a document, a few times if the server or the network fails; `None` for 404.
async fn get(client: &Client, url: &Url) -> Result<Option<Answer>, StoreError> {
    let mut attempt = 1;
    let mut pause = PAUSE;
    loop {
        let (error, passing) = match get_once(client, url).await {
            Ok(answer) => return Ok(answer),
            Err(failure) => failure,
        };
        if attempt == ATTEMPTS || !passing {
            return Err(error);
        }
        tracing::debug!(%url, attempt, "{}", error.answer);
        tokio::time::sleep(pause).await;
        (attempt, pause) = (attempt + 1, pause * 2);
    }
}

/// Reads a document once; a failure comes with whether it may pass.
async fn get_once(client: &Client, url: &Url) -> Result<Option<Answer>, (StoreError, bool)> {
    let failed = |answer: String, status: Option<StatusCode>| {
        StoreError {
        doing: format!("cannot read {url}"),
        answer,
        status: status.map(|status| status.as_u16()),
        remedy: match status {
            Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => Some(
                "clients get the same answer: they take it for a registry that needs credentials. A missing object must be \
                 answered 404, for which the CDN needs s3:ListBucket"
                    .to_owned(),
            ),
            Some(_) => None,
            None => Some("check the address, the network, the proxy settings and the server's certificate".to_owned()),
        },
    }
    };
    let broken = |error: reqwest::Error| {
        let passing = error.is_connect() || error.is_timeout() || error.is_body() || error.is_request();
        (failed(chain(&error), None), passing && !error.is_redirect())
    };
    // A CDN's copy is what users get, but not one of this machine's proxies.
    let request = client.get(url.clone()).header(CACHE_CONTROL, "no-cache");
    let response: Response = request.send().await.map_err(broken)?;
    let status = response.status();
    match status {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Ok(None),
        _ => {
            let passing = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
            return Err((failed(format!("HTTP status {status}"), Some(status)), passing));
        }
    }
    let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let (content_type, final_url) = (content_type.map(str::to_owned), response.url().clone());
    let mut response = response;
    let mut bytes = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        if (bytes.len() + chunk.len()) as u64 > MAX_DOCUMENT {
            return Err((
                failed(format!("more than {MAX_DOCUMENT} bytes, which is no document"), Some(status)),
                false,
            ));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(Answer { bytes: bytes.freeze(), content_type, url: final_url }))
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
