//! Reads another registry as clients do, to mirror what it has: discovery, a provider's versions, download documents,
//! SHA256SUMS, signatures and zips. The host is not trusted: all is bounded in size and time, and nothing is taken but what
//! a key of the provider has signed under the name of this very release.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;

use serde::Deserialize;
use url::Url;

use super::web::ZipOnWeb;
use crate::content::{Digest, Spooled};
use crate::error::{Error, Refusal, Result, StoreError};
use crate::openpgp::certificate::PublishableKey;
use crate::openpgp::signing_key::Secret;
use crate::provider::{Platform, Provider, ReleaseId, Version};
use crate::reader::client_config::{ClientConfig, HostConfig};
use crate::reader::web::{Part, Web};
use crate::reader::{MAX_SIGNATURE, MAX_SUMS, Reply};
use crate::registry::{Checksums, DownloadDocument, Key, MirrorHost};
use crate::store::trust::CaBundle;

/// Another registry.
pub struct Upstream {
    web: Web,
    host: MirrorHost,
}

/// What its index says of a version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    /// The plugin protocols, as written.
    pub protocols: Vec<String>,
    /// The platforms.
    pub platforms: BTreeSet<Platform>,
}

/// A SHA256SUMS whose signature is verified.
#[derive(Debug, Clone)]
pub struct SignedSums {
    /// Where it is, for messages.
    pub address: String,
    /// Its bytes.
    pub sums: Vec<u8>,
    /// Its lines.
    pub lines: Checksums,
    /// The signature.
    pub signature: Vec<u8>,
    /// The key that made it.
    pub key: PublishableKey,
}

/// What a download document says of a platform.
#[derive(Debug)]
pub struct Offer {
    /// Where the zip is.
    zip: Url,
    /// Its digest, by the document and by SHA256SUMS.
    digest: Digest,
    /// The SHA256SUMS that lists it.
    pub signed: SignedSums,
    /// The plugin protocols, as written.
    pub protocols: Vec<String>,
}

impl Offer {
    /// The zip's digest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Where the zip is.
    #[must_use]
    pub fn address(&self) -> &str {
        self.zip.as_str()
    }
}

/// The index, as far as clients read it.
#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    versions: Option<Vec<Entry>>,
}

#[derive(Deserialize)]
struct Entry {
    version: String,
    #[serde(default)]
    protocols: Option<Vec<String>>,
    #[serde(default)]
    platforms: Option<Vec<EntryPlatform>>,
}

#[derive(Deserialize)]
struct EntryPlatform {
    os: String,
    arch: String,
}

impl Upstream {
    /// A reader of the registry of `host`, with what the CLI configuration says of it. Makes no request yet.
    /// `private_links` lets a public host lead to private addresses.
    ///
    /// # Errors
    /// Fails if the certificates cannot be used.
    pub fn connect(
        host: &MirrorHost,
        config: &ClientConfig,
        ca_bundle: Option<&CaBundle>,
        private_links: bool,
    ) -> Result<Self> {
        let HostConfig { token, service } = config.of(host);
        let invalid = |error: url::ParseError| Error::Usage(format!("{host}: {error}"));
        let root = match &service {
            Some(service) => service.join("/").map_err(invalid)?,
            // Clients ask by https alone.
            None => Url::parse(&format!("https://{host}/")).map_err(invalid)?,
        };
        let web = Web::connect(root, ca_bundle, private_links)?.with_token(token);
        let web = match service {
            Some(service) => web.with_service(service),
            None => web,
        };
        Ok(Self { web, host: host.clone() })
    }

    fn source(&self, provider: &Provider) -> String {
        format!("{}/{provider}", self.host)
    }

    /// The versions of a provider, without those that no client of a mirror can choose: yanked ones are in no index.
    ///
    /// # Errors
    /// The index cannot be read, or the registry does not have the provider.
    pub async fn versions(&self, provider: &Provider) -> Result<BTreeMap<Version, Listed>> {
        let key = Key::Versions { provider: provider.clone() };
        let found = self.web.document(&key).await.map_err(|error| self.unread(error))?;
        let Some(found) = found else {
            return Err(Refusal::new(self.source(provider), "the registry does not have this provider")
                .found("HTTP status 404 for its versions")
                .expected("a provider of that registry, as HOST/NAMESPACE/TYPE")
                .remedy(format!(
                    "check the address; a registry may hide a private provider so: {}",
                    self.give_a_token()
                ))
                .into());
        };
        let index: Index = serde_json::from_slice(&found.bytes).map_err(|error| {
            not_understood(
                &found.url,
                format!("{} bytes: {error}", found.bytes.len()),
                "the provider's versions",
            )
        })?;
        let mut versions = BTreeMap::new();
        for Entry { version, protocols, platforms } in index.versions.unwrap_or_default() {
            // As clients do: what is no version is not for them.
            let Ok(version) = version.parse::<Version>() else {
                tracing::debug!(%version, url = %found.url, "passed over");
                continue;
            };
            let platforms = platforms.unwrap_or_default();
            let platforms =
                platforms.iter().filter_map(|platform| Platform::new(&platform.os, &platform.arch).ok());
            let listed: &mut Listed = versions.entry(version).or_default();
            listed.platforms.extend(platforms);
            listed.protocols = protocols.unwrap_or_default();
        }
        Ok(versions)
    }

    /// What the registry offers for a platform, with its SHA256SUMS and signature verified by a key of the document. A
    /// SHA256SUMS that is `known` is not read again.
    ///
    /// # Errors
    /// It cannot be read, is of another release, or clients would not accept it.
    pub async fn offer(
        &self,
        release: &ReleaseId,
        platform: &Platform,
        known: Option<&SignedSums>,
    ) -> Result<Offer> {
        let key = Key::Download { release: release.clone(), platform: platform.clone() };
        let found = self.web.document(&key).await.map_err(|error| self.unread(error))?;
        let Some(found) = found else {
            return Err(Refusal::new(
                format!("{} {}", self.source(&release.provider), release.version),
                "the registry lists a platform that it does not have",
            )
            .found(format!("HTTP status 404 for {platform}"))
            .expected("a download document for every platform that is listed")
            .remedy("leave that platform out: name those that you want by --platform")
            .into());
        };
        let what = "a download document of the provider registry protocol";
        let unfit = |refusal: Refusal| not_understood(&found.url, refusal.found, what);
        let document = DownloadDocument::parse(&key, platform, &found.bytes).map_err(unfit)?;
        let name = Key::zip_file_name(&release.provider, &release.version, platform);
        if document.filename() != name {
            return Err(contradiction(
                &found.url,
                "the document offers the file of another release",
                document.filename().to_owned(),
                name,
            ));
        }
        let link = |link: &str| {
            found
                .url
                .join(link)
                .map_err(|error| not_understood(&found.url, format!("{link:?}: {error}"), what))
        };
        let zip = link(document.zip_link().map_err(unfit)?)?;
        let sums = link(document.sums_link().map_err(unfit)?)?;
        let signature = link(document.signature_link().map_err(unfit)?)?;
        let signed = match known {
            Some(known) if known.address == sums.as_str() => known.clone(),
            _ => self.signed(&sums, &signature, &document.public_keys(), &found.url).await?,
        };
        let listed = signed.lines.get(&name);
        if listed != Some(document.shasum()) {
            return Err(contradiction(
                &found.url,
                "the document has another checksum than SHA256SUMS",
                format!("SHA-256 {}", document.shasum()),
                match listed {
                    Some(listed) => format!("SHA-256 {listed}, the line {name} of {sums}"),
                    None => format!("a line {name} in {sums}"),
                },
            ));
        }
        let protocols = document.protocols().unwrap_or_default();
        Ok(Offer { zip, digest: document.shasum(), signed, protocols })
    }

    /// Reads a SHA256SUMS and its signature, and verifies it by one of the keys of `document`.
    async fn signed(&self, sums: &Url, signature: &Url, keys: &[&str], document: &Url) -> Result<SignedSums> {
        let (text, made) =
            futures::try_join!(self.small(sums, MAX_SUMS), self.small(signature, MAX_SIGNATURE))?;
        let lines = Checksums::parse(&text).map_err(|found| {
            not_understood(sums, found, "on each line 64 lower-case hex digits, two spaces and a name")
        })?;
        let mut refused: Option<Refusal> = None;
        let mut failed = Vec::new();
        for (index, armor) in keys.iter().enumerate() {
            let source = format!("key {} of {document}", index + 1);
            // Clients of a mirror look at no key, so one that has expired since the release is as good.
            match PublishableKey::read_as_of(&source, &Secret::new(armor.as_bytes().to_vec()), &made) {
                Ok(key) => match key.verify(&text, &made) {
                    Ok(()) => {
                        return Ok(SignedSums {
                            address: sums.to_string(),
                            sums: text,
                            lines,
                            signature: made,
                            key,
                        });
                    }
                    Err(why) => failed.push(format!("key {}: {why}", key.key_id())),
                },
                Err(refusal) => {
                    failed.push(format!("key {}: {}", index + 1, refusal.problem));
                    refused = refused.or(Some(refusal));
                }
            }
        }
        if let (Some(refusal), [_]) = (refused, failed.as_slice()) {
            return Err(refusal.remedy(format!("{NOT_YOURS}: not all clients take this key")).into());
        }
        let found = if failed.is_empty() { "no key in the document".to_owned() } else { failed.join("\n") };
        Err(Refusal::new(signature, "the signature of SHA256SUMS does not verify")
            .found(format!("{found}\nSHA-256 of SHA256SUMS: {}", Digest::of(&text)))
            .expected(format!("a signature of {sums} by a key of {document}"))
            .remedy(format!("{NOT_YOURS}; clients refuse this release too"))
            .into())
    }

    async fn small(&self, url: &Url, limit: u64) -> Result<Vec<u8>> {
        let found = self.web.fetch(url, limit).await?.or_failed(url)?;
        Ok(found.ok_or_else(|| gone(url))?.bytes.to_vec())
    }

    /// Fetches the zip of an offer into `file`.
    ///
    /// # Errors
    /// It cannot be read, or is not the one that is listed.
    pub async fn zip(&self, offer: &Offer, file: File, progress: &(dyn Fn(u64) + Sync)) -> Result<Spooled> {
        let (url, listed_in) = (&offer.zip, offer.signed.address.as_str());
        let zip = ZipOnWeb { web: &self.web, url, listed: offer.digest, listed_in };
        let found = |reply: Reply<Part>| reply.or_failed(url)?.ok_or_else(|| gone(url));
        zip.fetch(file, found, progress).await
    }

    /// The error of a request that a registry answers only to those who have a token.
    fn unread(&self, error: Error) -> Error {
        match error {
            Error::Store(error) if matches!(error.status, Some(401 | 403)) => {
                let remedy =
                    Some(format!("the registry wants a token, or another one: {}", self.give_a_token()));
                StoreError { remedy, ..error }.into()
            }
            error => error,
        }
    }

    fn give_a_token(&self) -> String {
        format!(
            "set {}, or write credentials \"{}\" {{ token = \"…\" }} into the CLI configuration (~/.terraformrc), as for \
             terraform",
            ClientConfig::variable(&self.host),
            self.host
        )
    }
}

/// What to do about something that is wrong with another registry.
const NOT_YOURS: &str = "have whoever keeps that registry, or makes the provider, look at it";

fn not_understood(url: &Url, found: String, expected: &str) -> Error {
    Refusal::new(url, "the registry's answer cannot be understood")
        .found(found)
        .expected(expected)
        .remedy(NOT_YOURS)
        .into()
}

fn contradiction(url: &Url, problem: &str, found: String, expected: String) -> Error {
    Refusal::new(url, problem).found(found).expected(expected).remedy(NOT_YOURS).into()
}

fn gone(url: &Url) -> StoreError {
    StoreError {
        doing: format!("cannot read {url}"),
        answer: "HTTP status 404, though a document of the registry leads there".to_owned(),
        status: Some(404),
        remedy: Some(NOT_YOURS.to_owned()),
    }
}
