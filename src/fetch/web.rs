//! Fetches a release of ready-made zips from the web: a SHA256SUMS, and the files beside it that it lists.
//!
//! Nothing but the address of SHA256SUMS is known, and the host is not trusted: what is fetched is bounded in size and
//! time, the digest of each zip is computed as it arrives, and a zip that has another one than its line is refused.
//! Redirects are followed, as code hosts have them for the files of a release, but not to plain http or to private
//! addresses; see [`Web`].

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::TryStreamExt as _;
use url::Url;

use super::not_kept;
use crate::content::{Digest, Spool, Spooled};
use crate::error::{Error, Refusal, Result, StoreError};
use crate::provider::{ProviderType, Version};
use crate::reader::web::{Part, Web, is_allowed};
use crate::reader::{Fetched, Reply};
use crate::release::file::{ArtifactFile, Origin};
use crate::release::manifest;
use crate::release::ready_made::{self, KeptSums};
use crate::store::trust::CaBundle;

/// No zip of a provider is larger; S3 takes no larger object in one write.
const MAX_ZIP: u64 = 5 << 30;
/// How often a zip whose answer was cut short is resumed.
const RESUMES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);

/// Reads the address of a release's SHA256SUMS.
///
/// # Errors
/// It is not one; the text says why.
pub fn address(text: &str) -> Result<Url, String> {
    const EXPECTED: &str = "the address of a release's terraform-provider-TYPE_VERSION_SHA256SUMS";
    let url = Url::parse(text).map_err(|error| format!("{error}; expected {EXPECTED}"))?;
    if !is_allowed(&url) {
        return Err("expected https:// (http only on this machine)".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("expected an address without a user or password".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("expected an address without a query: the zips are fetched from beside it".to_owned());
    }
    if named(&url).is_none() {
        return Err(format!("expected {EXPECTED}; the zips are fetched from beside it"));
    }
    Ok(url)
}

fn file_name(url: &Url) -> String {
    url.path_segments().and_then(|mut parts| parts.next_back().map(str::to_owned)).unwrap_or_default()
}

/// The provider and version of a SHA256SUMS, by its name.
fn named(url: &Url) -> Option<(ProviderType, Version)> {
    let name = file_name(url);
    let (provider_type, version) =
        name.strip_prefix("terraform-provider-")?.strip_suffix("_SHA256SUMS")?.split_once('_')?;
    Some((provider_type.parse().ok()?, version.parse().ok()?))
}

/// A release on the web, whose zips are not fetched yet.
pub struct WebRelease {
    web: Arc<Web>,
    sums: Url,
    zips: Vec<(Url, Digest)>,
    /// SHA256SUMS, its signature and the manifest, by their names.
    beside: Arc<BTreeMap<String, Vec<u8>>>,
}

impl WebRelease {
    /// Reads the SHA256SUMS at an [`address`], and the small files beside it.
    ///
    /// # Errors
    /// It is not there, cannot be read, or lists no zip.
    pub async fn find(sums: &Url, ca_bundle: Option<&CaBundle>) -> Result<Self> {
        let mut host = sums.clone();
        host.set_path("/");
        let web = Arc::new(Web::connect(host, ca_bundle, false)?);
        let refuse = |problem: &str, found: String| {
            Refusal::new(sums, problem)
                .found(found)
                .expected("the SHA256SUMS of a release of ready-made zips")
                .remedy("check the address; the files of a release have one each, as `curl --location` fetches them")
        };
        let (provider_type, version) =
            named(sums).ok_or_else(|| refuse("no SHA256SUMS of a release", file_name(sums)))?;
        let Some(text) = small(&web, sums).await? else {
            return Err(refuse("no SHA256SUMS is there", "HTTP status 404".to_owned()).into());
        };
        let kept = KeptSums::parse(sums.to_string(), text.clone(), None, &provider_type, &version)?;
        let mut zips = Vec::new();
        for (platform, digest) in kept.lines.platforms(&provider_type, &version) {
            let name = format!("terraform-provider-{provider_type}_{version}_{platform}.zip");
            zips.push((beside(sums, &name)?, digest));
        }
        if zips.is_empty() {
            return Err(refuse("it lists no zip", format!("{} lines", kept.lines.iter().count())).into());
        }
        let mut files = BTreeMap::from([(kept.name.clone(), text)]);
        for name in [ready_made::signature_name(&kept.name), manifest::release_name(&provider_type, &version)]
        {
            if let Some(bytes) = small(&web, &beside(sums, &name)?).await? {
                files.insert(name, bytes);
            }
        }
        Ok(Self { web, sums: sums.clone(), zips, beside: Arc::new(files) })
    }

    /// The address of SHA256SUMS.
    #[must_use]
    pub fn describe(&self) -> String {
        self.sums.to_string()
    }

    /// The addresses of the zips, which are enough to check their names.
    #[must_use]
    pub fn named(&self) -> Vec<ArtifactFile> {
        self.zips.iter().map(|(url, _)| ArtifactFile::at(url.as_str().as_ref())).collect()
    }

    /// How many zips there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.zips.len()
    }

    /// The zips, each of which is fetched when it is needed.
    #[must_use]
    pub fn files(&self) -> Vec<ArtifactFile> {
        let file = |(url, listed): &(Url, Digest)| {
            let (web, sums) = (Arc::clone(&self.web), self.sums.clone());
            let origin = OnWeb { web, sums, url: url.clone(), listed: *listed };
            ArtifactFile::remote(url.to_string(), Arc::new(origin), Arc::clone(&self.beside))
        };
        self.zips.iter().map(file).collect()
    }
}

/// A zip on the web.
struct OnWeb {
    web: Arc<Web>,
    sums: Url,
    url: Url,
    listed: Digest,
}

impl std::fmt::Debug for OnWeb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.url.as_str())
    }
}

#[async_trait(?Send)]
impl Origin for OnWeb {
    fn length(&self) -> Option<u64> {
        None
    }

    /// Fetches it into a temporary file without a name.
    async fn fetch(&self, progress: &(dyn Fn(u64) + Sync)) -> Result<File> {
        let file = tempfile::tempfile().map_err(|source| not_kept(self.url.as_str(), source))?;
        let zip =
            ZipOnWeb { web: &self.web, url: &self.url, listed: self.listed, listed_in: self.sums.as_str() };
        Ok(zip.fetch(file, |reply| found(&self.url, reply), progress).await?.file)
    }
}

/// A zip on the web, of which a SHA256SUMS says the digest.
pub(super) struct ZipOnWeb<'a> {
    pub(super) web: &'a Web,
    pub(super) url: &'a Url,
    pub(super) listed: Digest,
    /// The SHA256SUMS, for messages.
    pub(super) listed_in: &'a str,
}

impl ZipOnWeb<'_> {
    /// Fetches it into `file`. An answer that is cut short is resumed. `found` is the part in an answer, or why there is
    /// none.
    pub(super) async fn fetch(
        &self,
        file: File,
        found: impl Fn(Reply<Part>) -> Result<Part, StoreError>,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Spooled> {
        let Self { web, url, listed, listed_in } = self;
        let failed = |source| not_kept(url.as_str(), source);
        let mut spool = Spool::into(file);
        let (mut resumes, mut pause) = (0, PAUSE);
        loop {
            let Part { start, mut pieces } =
                found(web.part(url, spool.arrived(), MAX_ZIP - spool.arrived()).await?)?;
            if start != spool.arrived() {
                // The server sends all of it.
                spool.restart().map_err(failed)?;
            }
            let broken = loop {
                match pieces.try_next().await {
                    Ok(None) => break None,
                    Ok(Some(piece)) => {
                        progress(piece.len() as u64);
                        spool.write(&piece).map_err(failed)?;
                    }
                    Err(error) => break Some(error),
                }
            };
            let Some(error) = broken else { break };
            if !error.may_pass() || resumes == RESUMES {
                return Err(unread(url, error.to_string()).into());
            }
            tracing::debug!(%url, len = spool.arrived(), "resumed: {error}");
            tokio::time::sleep(pause).await;
            (resumes, pause) = (resumes + 1, pause * 2);
        }
        let spooled = spool.finish().map_err(failed)?;
        if spooled.digest != *listed {
            return Err(Refusal::new(url, "the zip does not have the checksum in its SHA256SUMS file")
                .found(format!("{} bytes, SHA-256 {}", spooled.len, spooled.digest))
                .expected(format!("SHA-256 {listed}, from {listed_in}"))
                .remedy(
                    "try again; if it is the same, the release was changed after it was made: do not use it",
                )
                .into());
        }
        Ok(spooled)
    }
}

/// The address of a file beside SHA256SUMS.
fn beside(sums: &Url, name: &str) -> Result<Url> {
    sums.join(name).map_err(|error| Error::Usage(format!("{name}: {error}")))
}

/// A small file; `None` only if the answer is 404.
async fn small(web: &Web, url: &Url) -> Result<Option<Vec<u8>>> {
    match web.fetch(url, manifest::MAX_BYTES).await? {
        Reply::Absent(_) => Ok(None),
        reply => Ok(Some(found(url, reply.map(|Fetched { bytes, .. }| bytes.to_vec()))?)),
    }
}

fn found<T>(url: &Url, reply: Reply<T>) -> Result<T, StoreError> {
    let (answer, status, remedy) = match reply {
        Reply::Found(value) => return Ok(value),
        Reply::Absent(_) => ("HTTP status 404".to_owned(), Some(404), None),
        Reply::Status(status, text) => (text, Some(status), None),
        Reply::Misdirected(text) => (text, None, Some("give the address that the redirect leads to")),
        Reply::NotFollowed(why) => {
            (why.to_string(), None, Some("fetch the files yourself, and give their folder"))
        }
        Reply::TooLarge(limit) => (format!("more than {limit} bytes"), None, None),
    };
    let remedy = remedy.unwrap_or(
        "check the address; for a private release, fetch its files yourself, and give their folder",
    );
    Err(StoreError { status, remedy: Some(remedy.to_owned()), ..unread(url, answer) })
}

fn unread(url: &Url, answer: String) -> StoreError {
    StoreError {
        doing: format!("cannot read {url}"),
        answer,
        status: None,
        remedy: Some("try again; check the address, the network and the proxy settings".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in [
            "https://example.com/acme/sample/releases/download/v1.2.0/terraform-provider-sample_1.2.0_SHA256SUMS",
            "http://127.0.0.1:8080/terraform-provider-sample_1.2.0-rc.1_SHA256SUMS",
        ] {
            assert!(address(good).is_ok(), "{good}");
        }
        for bad in [
            "https://example.com/",
            "https://example.com/SHA256SUMS",
            "https://example.com/terraform-provider-sample_1.2.0_linux_amd64.zip",
            "https://example.com/terraform-provider-sample_v1.2.0_SHA256SUMS",
            "http://example.com/terraform-provider-sample_1.2.0_SHA256SUMS",
            "https://u:p@example.com/terraform-provider-sample_1.2.0_SHA256SUMS",
            "https://example.com/terraform-provider-sample_1.2.0_SHA256SUMS?token=x",
        ] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
