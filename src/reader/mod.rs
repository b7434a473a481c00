//! A registry as its readers see it: through its public address, or in the directory or bucket itself.

mod network;
mod tls;
pub mod web;

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use crate::content::Digest;
use crate::error::{Error, Refusal, Result};
use crate::provider::{Platform, Provider, ReleaseId, Version};
use crate::registry::{DownloadDocument, Key, VersionsDocument};
use crate::store::body::BodyError;
use crate::store::{Headers, RegistryStore, StoreError};
use futures::stream::BoxStream;
pub use network::Forbidden;
use url::Url;
use web::Web;

/// Where a registry is read.
pub enum Reader {
    /// At its public address, as clients do.
    Web(Box<Web>),
    /// In a directory or a bucket.
    Store(RegistryStore),
}

/// What came of asking for an object.
#[derive(Debug)]
pub enum Reply<T> {
    /// It is there.
    Found(T),
    /// It is said not to exist.
    Absent(Missing),
    /// Another status, with its text: what clients get instead.
    Status(u16, String),
    /// A redirect that leads nowhere, or that is not followed; in words.
    Misdirected(String),
    /// A link or a redirect to where nothing is asked.
    NotFollowed(NotFollowed),
    /// More bytes than the number, which are as many as it may have.
    TooLarge(u64),
}

/// How it is told that something does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// A store has no such object.
    Stored,
    /// The answer to a request was 404.
    Answered {
        /// `Cache-Control`, by which CDNs keep the answer.
        cache_control: Option<String>,
        /// For how many seconds a CDN has kept it, as it says.
        age: Option<u64>,
    },
}

/// Why an address is not asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotFollowed {
    /// It is reached by something else than https.
    #[error("not followed, for it is not https: {0}")]
    Scheme(Url),
    /// It is at an address that a registry has no reason to lead to.
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
    /// What was sent along.
    pub headers: Headers,
    /// The address behind all redirects, against which links are resolved.
    pub url: Url,
    /// How many redirects led there.
    pub redirects: usize,
}

/// An object that is being read.
pub type Opened = (Headers, Pieces);

/// Contents as they arrive, within limits.
pub type Pieces = BoxStream<'static, Result<Bytes, BodyError<String>>>;

impl<T> Reply<T> {
    /// The same with another value where it was found.
    pub fn map<U>(self, with: impl FnOnce(T) -> U) -> Reply<U> {
        match self {
            Self::Found(value) => Reply::Found(with(value)),
            other => other.without(),
        }
    }

    /// The same without the value; one that was found counts as absent.
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

    /// The value, `None` where it is said not to exist; everything else is a failure to read `url`.
    fn or_failed(self, url: &Url) -> Result<Option<T>, StoreError> {
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

/// The zips that a registry lists for a version: the SHA-256 of each platform's.
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

    /// A document of the registry; `None` only where it is said not to exist.
    async fn document(&self, key: &Key) -> Result<Option<Bytes>> {
        Ok(match self {
            Self::Web(web) => web.document(key).await?,
            Self::Store(store) => store.get(key).await?.map(|document| document.bytes),
        })
    }

    /// The zips of a version, as its index and its download documents name them, `reads` documents at a time; `None` when
    /// the version is not listed.
    ///
    /// # Errors
    /// The registry cannot be read or understood, or a listed platform has no document.
    pub async fn zips(
        &self,
        provider: &Provider,
        version: &Version,
        reads: usize,
    ) -> Result<Option<ListedZips>> {
        let index = Key::Versions { provider: provider.clone() };
        let Some(bytes) = self.document(&index).await? else { return Ok(None) };
        let Some(listed) = VersionsDocument::parse(&index, &bytes)?.listed(version)? else {
            return Ok(None);
        };
        let zips = stream::iter(listed.platforms.into_iter().map(|platform| async move {
            let key =
                Key::Download { release: ReleaseId::new(provider, version), platform: platform.clone() };
            let Some(bytes) = self.document(&key).await? else {
                return Err(Refusal::new(
                    &key,
                    "the index lists a platform whose download document is missing",
                )
                .found(format!("no document for {platform} of {version} in {}", self.describe()))
                .expected("a document for every platform that the index lists")
                .remedy("publish that version there again")
                .into());
            };
            let shasum = DownloadDocument::parse(&key, &platform, &bytes)?.shasum();
            Ok::<_, Error>((platform, shasum))
        }));
        Ok(Some(zips.buffered(reads).try_collect().await?))
    }
}
