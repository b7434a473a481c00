//! Lists what is in a registry: its providers, the versions of one, or the platforms of a version. Reads only.
//!
//! What is missing though an index or a document leads to it, or cannot be understood, is a part of the outcome and does not
//! stop the rest: see [`Outcome::verdict`]. What cannot be read because the network or the disk fails is an error.

mod provider;
mod registry;
mod version;

use futures::StreamExt as _;

use crate::error::{Error, Refusal, Result};
use crate::provider::{Provider, ReleaseId};
use crate::reader::Reader;
use crate::registry::{Folder, Key, VersionsDocument};
use crate::store::access::Access;
use crate::words;
use crate::worker;

use super::target::{self, Place};
pub use provider::{ListedRelease, ProviderListing, Yanked};
pub use registry::{ProviderSummary, RegistryListing};
pub use version::{ListedPlatform, PublishRecord, SigningKey, VersionListing};

/// What is listed, and where.
pub struct Request {
    /// The registry.
    pub place: Place,
    /// The account that reads it.
    pub access: Access,
    /// Whether a host may lead to private addresses.
    pub private_links: bool,
    /// What is listed of it.
    pub subject: Subject,
    /// How many requests are under way at once.
    pub reads: usize,
}

/// What is listed of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// Its providers; not of a host, which cannot be listed.
    Registry,
    /// The versions of a provider.
    Provider(Provider),
    /// The platforms of a version.
    Version(ReleaseId),
}

/// Observes the reading.
pub trait Watch: Send + Sync {
    /// The registry is open; this is its name.
    fn opened(&self, place: &str);
    /// This many parts will be read: providers, versions or platforms.
    fn parts(&self, count: usize);
    /// A part was read.
    fn part_done(&self);
}

/// What was found.
#[derive(Debug)]
pub struct Outcome {
    /// The registry in the user's words.
    pub place: String,
    /// The list.
    pub listing: Listing,
    /// What is missing, or cannot be understood.
    pub problems: Vec<Refusal>,
}

/// A list.
#[derive(Debug)]
pub enum Listing {
    /// The providers of a registry.
    Registry(RegistryListing),
    /// The versions of a provider.
    Provider(ProviderListing),
    /// The platforms of a version.
    Version(Box<VersionListing>),
}

impl Outcome {
    /// Whether everything could be read.
    ///
    /// # Errors
    /// Fails if a part is missing or cannot be understood; the printed result has the rest.
    pub fn verdict(self) -> Result<()> {
        if self.problems.is_empty() {
            return Ok(());
        }
        let found: Vec<String> =
            self.problems.iter().map(|part| format!("{}: {}", part.subject, part.found)).collect();
        let provider = match &self.listing {
            Listing::Registry(_) => String::new(),
            Listing::Provider(listing) => format!(" {}", listing.provider),
            Listing::Version(listing) => format!(" {}", listing.release.provider),
        };
        let verify = format!("`tfreg verify {}{provider}`", words::quoted(&self.place));
        Err(Error::Reported(Box::new(
            Refusal::new(self.place, "some parts are missing or cannot be understood")
                .found(found.join("\n"))
                .expected("a registry that is whole")
                .remedy(format!("{verify} says for each what clients make of it, and what to do")),
        )))
    }
}

/// A part of the list, with what is wrong in it.
struct Part<T> {
    part: T,
    problems: Vec<Refusal>,
}

impl<T> Part<T> {
    /// Takes the parts out of `parts`; what is wrong in them is added to `problems`.
    fn gather(parts: Vec<Self>, problems: &mut Vec<Refusal>) -> Vec<T> {
        let part = |part: Self| {
            problems.extend(part.problems);
            part.part
        };
        parts.into_iter().map(part).collect()
    }
}

/// Lists what the request names.
///
/// # Errors
/// Fails if the registry cannot be read, is not there, or does not have the provider or version.
pub async fn list(request: Request, watch: &dyn Watch) -> Result<Outcome> {
    let Request { place, access, private_links, subject, reads } = request;
    let reader = target::open_reader(&place, &access, private_links).await?;
    watch.opened(&reader.describe());
    let (listing, problems) = match &subject {
        Subject::Registry => {
            let Part { part, problems } = registry::list(&reader, reads, watch).await?;
            (Listing::Registry(part), problems)
        }
        Subject::Provider(provider) => {
            let Part { part, problems } = provider::list(&reader, provider, reads, watch).await?;
            (Listing::Provider(part), problems)
        }
        Subject::Version(release) => {
            let Part { part, problems } = version::list(&reader, release, reads, watch).await?;
            (Listing::Version(Box::new(part)), problems)
        }
    };
    Ok(Outcome { place: reader.describe(), listing, problems })
}

/// The problem of a provider with documents.
const NO_INDEX: &str = "the index is missing";

/// The index of a provider that has to be there.
async fn index(reader: &Reader, provider: &Provider) -> Result<VersionsDocument> {
    let key = Key::Versions { provider: provider.clone() };
    match reader.document(&key).await? {
        Some(found) => Ok(worker::compute(|| VersionsDocument::parse(&key, &found.bytes))?),
        None => Err(no_index(reader, provider, &key).await?.into()),
    }
}

/// The refusal of a provider without an index: it was lost if there are documents. A host cannot be asked.
async fn no_index(reader: &Reader, provider: &Provider, key: &Key) -> Result<Refusal> {
    let place = words::quoted(&reader.describe());
    let Reader::Store(store) = reader else {
        return Ok(Refusal::new(key, format!("{provider} is not published"))
            .found("no index")
            .expected(format!("the index of a provider that is published at {}", reader.describe()))
            .remedy(
                "check the name; `tfreg list` of the directory or bucket behind the host names all providers",
            ));
    };
    let mut listing = store.list(Folder::provider(provider).as_str());
    while let Some(object) = listing.next().await {
        if let Ok(Key::Download { .. }) = object?.key.parse() {
            return Ok(Refusal::new(key, NO_INDEX)
                .found("no index, and download documents of the provider")
                .expected("the index of a provider that is published there")
                .remedy(format!("write it again by `tfreg reindex {place} {provider}`")));
        }
    }
    Ok(Refusal::new(key, format!("{provider} is not published"))
        .found("no index")
        .expected("the index of a provider that is published there")
        .remedy(format!("check the name; `tfreg list {place}` names all providers")))
}
