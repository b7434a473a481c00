//! Mirrors providers of other registries: what a registry has and a key of the provider has signed in, files of the network
//! mirror out.
//!
//! All documents and signatures of a run are read and checked before anything is written; then the versions are taken, the
//! oldest first: fetched, checked, written. What is there already is not fetched again.

mod find;
mod take;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::Observer;
use super::publish::Progress;
use super::target::{self, Target};
use crate::content::{Digest, Scratch};
use crate::error::Result;
use crate::fetch::upstream::Upstream;
use crate::openpgp::Fingerprint;
use crate::openpgp::certificate::PublishableKey;
use crate::plan::Plan;
use crate::plan::upstream::{MirrorGoal, MirroredProvider};
use crate::provider::{Constraint, Platform, Version};
use crate::publish::{self, Options};
use crate::reader::client_config::ClientConfig;
use crate::registry::mirror::trusted::Reason;
use crate::registry::{Key, MirrorHost, Settings};
use crate::release::archive::Limits;
use crate::store::RegistryStore;
use crate::store::access::Access;
use crate::store::trust::CaBundle;
use find::FoundProvider;

/// A provider of another registry, and which of its versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The provider.
    pub provider: MirroredProvider,
    /// Which versions; the newest one that is no pre-release if it says nothing.
    pub constraint: Option<Constraint>,
}

/// What to mirror, and where.
pub struct Request {
    /// The providers and their versions.
    pub wanted: Vec<Wanted>,
    /// Only these platforms; all if there are none.
    pub platforms: BTreeSet<Platform>,
    /// The keys that the user has given; they may have expired since they signed.
    pub given: BTreeSet<Fingerprint>,
    /// How registries are reached.
    pub config: ClientConfig,
    /// Further certificates that are trusted.
    pub ca_bundle: Option<CaBundle>,
    /// Whether a public registry may lead to private addresses.
    pub private_links: bool,
    /// The registry whose network mirror it is.
    pub target: Target,
    /// The account that writes it.
    pub access: Access,
    /// A folder for the objects of a dry run, which writes nothing to the target.
    pub dry_run: Option<PathBuf>,
    /// The limits of what a zip may hold.
    pub limits: Limits,
    /// Where zips are until they are written.
    pub scratch: Scratch,
    /// The settings of the run.
    pub options: Options,
}

/// The result of a run.
pub struct Outcome {
    /// The registry in the user's words.
    pub target: String,
    /// Where clients reach the network mirror.
    pub address: String,
    /// What was taken of each provider.
    pub providers: Vec<Mirrored>,
    /// The folder with the objects of a dry run.
    pub dry_run: Option<PathBuf>,
    /// Warnings about what was taken.
    pub warnings: Vec<String>,
}

/// What was taken of a provider.
pub struct Mirrored {
    /// The provider.
    pub provider: MirroredProvider,
    /// The keys that have signed, and why each is taken.
    pub keys: Vec<(PublishableKey, Reason)>,
    /// The versions, the oldest first.
    pub versions: Vec<MirroredVersion>,
    /// The plans of a dry run, of which nothing was written to the target.
    pub plans: Vec<Plan>,
    /// The objects that were written.
    pub written: BTreeMap<Key, Written>,
}

/// An object that was written.
pub struct Written {
    /// Whether it was there before.
    pub effect: publish::Effect,
    /// Its SHA-256.
    pub digest: Digest,
    /// Its length in bytes.
    pub len: u64,
}

/// What was taken of a version.
pub struct MirroredVersion {
    /// The version.
    pub version: Version,
    /// The id of the key that has signed it.
    pub key_id: String,
    /// Its platforms.
    pub platforms: Vec<MirroredPlatform>,
    /// Whether the run has changed, or would change, what the mirror has of it.
    pub is_changed: bool,
}

/// A platform of a version that is in the mirror.
pub struct MirroredPlatform {
    /// The platform.
    pub platform: Platform,
    /// The key of its zip.
    pub zip: Key,
    /// The zip's SHA-256.
    pub sha256: String,
    /// How many bytes were fetched, if it was.
    pub fetched: Option<u64>,
}

/// A run that knows what it takes.
pub struct Prepared {
    request: Request,
    store: RegistryStore,
    address: String,
    providers: Vec<FoundProvider>,
    warnings: Vec<String>,
    progress: Arc<Progress>,
}

impl Request {
    fn connect(&self, host: &MirrorHost) -> Result<Arc<Upstream>> {
        Ok(Arc::new(Upstream::connect(host, &self.config, self.ca_bundle.as_ref(), self.private_links)?))
    }

    /// Reads what the registries have, chooses the versions, and verifies their signatures. Writes nothing.
    ///
    /// # Errors
    /// The target has no network mirror, a registry cannot be read, no version meets a constraint, or a signature or key is
    /// refused.
    pub async fn prepare(self, observer: &dyn Observer) -> Result<Prepared> {
        let store = target::open_store(&self.target, self.dry_run.as_deref(), &self.access).await?;
        let providers: BTreeSet<MirroredProvider> =
            self.wanted.iter().map(|wanted| wanted.provider.clone()).collect();
        for provider in &providers {
            let goal = MirrorGoal {
                provider: provider.clone(),
                releases: Vec::new(),
                keys: Vec::new(),
                given: BTreeSet::new(),
            };
            publish::check(&store, &goal, &self.options).await?;
        }
        let address = mirror_address(&store).await?;
        let mut hosts: BTreeMap<MirrorHost, Arc<Upstream>> = BTreeMap::new();
        let (mut found, mut warnings) = (Vec::new(), Vec::new());
        for provider in providers {
            let upstream = match hosts.entry(provider.host.clone()) {
                Entry::Occupied(known) => Arc::clone(known.get()),
                Entry::Vacant(new) => Arc::clone(new.insert(self.connect(&provider.host)?)),
            };
            let one = find::find(&self, &store, upstream, provider, &mut warnings).await?;
            for (key, reason) in &one.keys {
                if *reason == Reason::FirstUse {
                    observer.note(&format!(
                        "{}: signed by key {} ({}); it is recorded now, and no other key is taken later without --public-key",
                        one.provider,
                        key.fingerprint(),
                        key.user_id()
                    ));
                }
            }
            found.push(one);
        }
        for warning in &warnings {
            observer.warn(warning);
        }
        let versions = found.iter().flat_map(|one| {
            one.releases.iter().map(|release| format!("{} {}", one.provider, release.version))
        });
        let progress = Arc::new(Progress::of(&self.target, versions.collect()));
        Ok(Prepared { request: self, store, address, providers: found, warnings, progress })
    }
}

/// Where clients reach the network mirror of a registry that has one.
async fn mirror_address(store: &RegistryStore) -> Result<String> {
    let settings = store.get(&Key::Settings).await?;
    let settings = settings.map(|read| Settings::parse(&read.bytes)).transpose()?;
    Ok(settings.map(|settings| format!("{}mirror/", settings.links().base())).unwrap_or_default())
}

impl Prepared {
    /// What the run has mirrored so far; for when it is stopped.
    #[must_use]
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Fetches, checks and writes what is not there yet.
    ///
    /// # Errors
    /// A zip cannot be fetched or is refused, or [`publish::publish`] fails.
    pub async fn mirror(self, observer: &dyn Observer) -> Result<Outcome> {
        let Self { request, store, address, providers, mut warnings, progress } = self;
        let mut mirrored = Vec::new();
        for provider in providers {
            let taking = take::Taking { request: &request, store: &store, progress: &progress, observer };
            let one = taking.provider(provider, &mut warnings).await;
            mirrored.push(one.map_err(|error| progress.stopped(error))?);
        }
        Ok(Outcome {
            target: store.describe(),
            address,
            providers: mirrored,
            dry_run: request.dry_run,
            warnings,
        })
    }
}
