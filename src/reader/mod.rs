//! A registry as its clients see it: at its public address, or in a directory or a bucket.

pub mod client_config;
mod network;
mod tls;
pub mod web;

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use crate::content::Digest;
use crate::error::{Error, Refusal, Result};
use crate::provider::{Platform, Provider, ReleaseId, Version};
use crate::registry::{DownloadDocument, Key, Links, VersionsDocument};
use crate::store::body::BodyError;
use crate::store::{Headers, RegistryStore, StoreError};
use futures::stream::BoxStream;
pub use network::Forbidden;
use url::Url;
use web::Web;

/// The maximum size of SHA256SUMS: a line has a hundred bytes, and a version some twenty platforms.
pub const MAX_SUMS: u64 = 1 << 20;
/// The maximum size of a signature, which has some hundred bytes.
pub const MAX_SIGNATURE: u64 = 64 << 10;

/// The source from which a registry is read.
pub enum Reader {
    /// Its public address, as for clients.
    Web(Box<Web>),
    /// A directory or a bucket.
    Store(RegistryStore),
}

/// The answer to a request for an object.
#[derive(Debug)]
pub enum Reply<T> {
    /// The object exists.
    Found(T),
    /// The object does not exist, according to the answer.
    Absent(Missing),
    /// Another status, with its text: clients get this instead.
    Status(u16, String),
    /// A redirect that leads nowhere, or that is not followed, with the reason.
    Misdirected(String),
    /// A link or a redirect to an address that is not followed.
    NotFollowed(NotFollowed),
    /// More bytes than this limit.
    TooLarge(u64),
}

/// How the answer says that an object does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// A store does not contain the object.
    Stored,
    /// A server answered 404.
    Answered {
        /// `Cache-Control`, which tells CDNs how long to keep the answer.
        cache_control: Option<String>,
        /// For how many seconds a CDN has kept it, according to its header.
        age: Option<u64>,
    },
}

/// Why an address is not followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotFollowed {
    /// Its scheme is not https.
    #[error("not followed, for it is not https: {0}")]
    Scheme(Url),
    /// No registry has a reason to lead to this address.
    #[error("not followed: {0}")]
    Address(Forbidden),
}

impl NotFollowed {
    /// What the user can do.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Scheme(_) => {
                "publish with relative links, or with a --base-url of https; redirect to https only"
            }
            Self::Address(forbidden) if forbidden.is_private() => {
                "lead to a public address; if all users are inside that network, give --allow-private-links"
            }
            Self::Address(_) => {
                "correct the link, or the address of that name: users would ask a machine of their own network there"
            }
        }
    }
}

/// A document as it was answered.
#[derive(Debug)]
pub struct Fetched {
    /// Its bytes.
    pub bytes: Bytes,
    /// Its metadata.
    pub headers: Headers,
    /// The address after all redirects, against which links are resolved.
    pub url: Url,
    /// The number of redirects.
    pub redirects: usize,
}

/// An object that is being read.
pub type Opened = (Headers, Pieces);

/// Contents as they arrive, within limits.
pub type Pieces = BoxStream<'static, Result<Bytes, BodyError<String>>>;

impl<T> Reply<T> {
    /// Replaces a found value by the result of `with`; all other replies stay.
    pub fn map<U>(self, with: impl FnOnce(T) -> U) -> Reply<U> {
        match self {
            Self::Found(value) => Reply::Found(with(value)),
            other => other.without(),
        }
    }

    /// Removes the value; a found object becomes an absent one.
    pub(crate) fn without<U>(self) -> Reply<U> {
        match self {
            Self::Found(_) => Reply::Absent(Missing::Stored),
            Self::Absent(missing) => Reply::Absent(missing),
            Self::Status(status, text) => Reply::Status(status, text),
            Self::Misdirected(text) => Reply::Misdirected(text),
            Self::NotFollowed(why) => Reply::NotFollowed(why),
            Self::TooLarge(limit) => Reply::TooLarge(limit),
        }
    }

    /// The value, or `None` if the object does not exist; every other reply is a failure to read `url`.
    pub(crate) fn or_failed(self, url: &Url) -> Result<Option<T>, StoreError> {
        let (text, status, remedy) = match self {
            Self::Found(value) => return Ok(Some(value)),
            Self::Absent(_) => return Ok(None),
            Self::Status(status, text) => (text, Some(status), None),
            Self::Misdirected(text) => (text, None, Some("let the server answer it without a redirect")),
            Self::NotFollowed(why) => (why.to_string(), None, Some(why.remedy())),
            Self::TooLarge(limit) => {
                let text = format!("more than {limit} bytes, which is no document");
                (text, None, Some("look at what is served there"))
            }
        };
        let failed = web::failed(url, text, status);
        Err(StoreError { remedy: remedy.map(str::to_owned).or(failed.remedy), ..failed })
    }
}

/// A document, and where it was found.
#[derive(Debug)]
pub struct Found {
    /// Its bytes.
    pub bytes: Bytes,
    /// Its address after all redirects, against which its links are resolved; `None` in a store.
    url: Option<Url>,
}

/// The zips that a registry lists for a version: the SHA-256 for each platform.
pub type ListedZips = BTreeMap<Platform, Digest>;

impl Reader {
    /// The registry in the user's words.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Web(web) => web.describe(),
            Self::Store(store) => store.describe(),
        }
    }

    /// The error of a command that would have to list a host; `remedy` says what to give instead.
    #[must_use]
    pub fn cannot_be_listed(&self, remedy: &str) -> Error {
        Error::Usage(format!("{} cannot be listed: {remedy}", self.describe()))
    }

    /// A document of the registry; `None` only if the answer says that it does not exist.
    ///
    /// # Errors
    /// Fails if it cannot be read.
    pub async fn document(&self, key: &Key) -> Result<Option<Found>> {
        Ok(match self {
            Self::Web(web) => {
                web.document(key).await?.map(|found| Found { bytes: found.bytes, url: Some(found.url) })
            }
            Self::Store(store) => {
                store.get(key).await?.map(|document| Found { bytes: document.bytes, url: None })
            }
        })
    }

    /// The object of at most `limit` bytes to which a document links; `None` if it does not exist, or, in a store, the link
    /// leads to no object of the registry.
    ///
    /// # Errors
    /// Fails if it cannot be read, or is larger.
    pub async fn linked(&self, document: &Found, link: &str, limit: u64) -> Result<Option<Bytes>> {
        match (self, &document.url) {
            (Self::Web(web), Some(url)) => {
                let Ok(url) = url.join(link) else { return Ok(None) };
                Ok(web.fetch(&url, limit).await?.or_failed(&url)?.map(|found| found.bytes))
            }
            (Self::Store(store), _) => {
                let Some(key) = Links::target(link) else { return Ok(None) };
                let Some(object) = store.open(&key).await? else { return Ok(None) };
                let too_large = || StoreError {
                    doing: format!("cannot read {key} in {}", store.describe()),
                    answer: format!("it has more than {limit} bytes"),
                    status: None,
                    remedy: Some("look at what is there; it is not what a registry holds".to_owned()),
                };
                Ok(Some(object.collect(limit).await?.ok_or_else(too_large)?))
            }
            (Self::Web(_), None) => Ok(None),
        }
    }

    /// The zips of a version according to its index and download documents, of which `reads` are read at a time; `None`
    /// if the version is not listed.
    ///
    /// # Errors
    /// Fails if the registry cannot be read or parsed, or a listed platform has no document.
    pub async fn zips(
        &self,
        provider: &Provider,
        version: &Version,
        reads: usize,
    ) -> Result<Option<ListedZips>> {
        let index = Key::Versions { provider: provider.clone() };
        let Some(found) = self.document(&index).await? else { return Ok(None) };
        let Some(listed) = VersionsDocument::parse(&index, &found.bytes)?.listed(version)? else {
            return Ok(None);
        };
        let zips = stream::iter(listed.platforms.into_iter().map(|platform| async move {
            let key =
                Key::Download { release: ReleaseId::new(provider, version), platform: platform.clone() };
            let Some(found) = self.document(&key).await? else {
                return Err(Refusal::new(
                    &key,
                    "the index lists a platform whose download document is missing",
                )
                .found(format!("no document for {platform} of {version} in {}", self.describe()))
                .expected("a document for every platform that the index lists")
                .remedy("publish that version there again")
                .into());
            };
            let shasum = DownloadDocument::parse(&key, &platform, &found.bytes)?.shasum();
            Ok::<_, Error>((platform, shasum))
        }));
        Ok(Some(zips.buffered(reads).try_collect().await?))
    }
}
