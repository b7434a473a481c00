//! The objects in a directory or a bucket, found by listing: providers, versions, and unreferenced objects.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{Hash as _, Hasher as _};

use futures::StreamExt as _;

use crate::error::Result;
use crate::provider::{Platform, Provider, ReleaseId, Version};
use crate::registry::{Area, Key};
use crate::store::{Listed, RegistryStore};

use super::finding::{Finding, Group, Rule, Severity, rules};
use super::{Scope, Unreferenced};

rules! { Objects:
    UNREFERENCED = "object-unreferenced", Warning,
        "no listed version leads to some objects of a provider",
        "nobody can install them, and they cost money; a publish that was stopped leaves such, and one with --replace",
        "publish the version again to complete it; if it is not wanted, remove them by hand";
    FOREIGN = "object-foreign", Warning,
        "some objects are none of a registry",
        "everybody can read them through the CDN",
        "remove them by hand if they are not meant to be there";
}

/// How many keys a finding names.
const EXAMPLES: usize = 3;

/// The existing documents of a provider.
#[derive(Debug, Default)]
pub(super) struct Folder {
    pub(super) documents: BTreeMap<Version, BTreeSet<Platform>>,
    pub(super) yanked: BTreeSet<Version>,
}

/// All objects that a listing has found below `registry/`.
#[derive(Debug, Default)]
pub(super) struct Inventory {
    pub(super) providers: BTreeMap<Provider, Folder>,
    foreign: ObjectTally,
}

/// Objects that are reported together.
#[derive(Debug, Default)]
struct ObjectTally {
    count: u64,
    bytes: u64,
    examples: Vec<String>,
}

impl ObjectTally {
    fn add(&mut self, listed: &Listed) {
        self.count += 1;
        self.bytes += listed.len;
        if self.examples.len() < EXAMPLES {
            self.examples.push(listed.key.clone());
        }
    }

    fn in_words(&self) -> String {
        let more = self.count - self.examples.len() as u64;
        let more = if more == 0 { String::new() } else { format!("\nand {more} more") };
        format!("{} objects, {} bytes:\n{}{more}", self.count, self.bytes, self.examples.join("\n"))
    }
}

/// The folder of an area within the scope.
fn folder(area: Area, scope: &Scope) -> String {
    let mut folder = area.folder().unwrap_or_default().to_owned();
    if let Some(namespace) = &scope.namespace {
        folder = format!("{folder}{namespace}/");
        if let Some(provider_type) = &scope.provider_type {
            folder = format!("{folder}{provider_type}/");
        }
    }
    folder
}

fn in_scope(scope: &Scope, provider: &Provider) -> bool {
    scope.namespace.as_ref().is_none_or(|namespace| *namespace == provider.namespace)
        && scope.provider_type.as_ref().is_none_or(|ty| *ty == provider.provider_type)
}

impl Inventory {
    /// Lists the existing documents.
    pub(super) async fn take(store: &RegistryStore, scope: &Scope) -> Result<Self> {
        let mut inventory = Self::default();
        let mut listing = store.list(&folder(Area::Registry, scope));
        while let Some(listed) = listing.next().await {
            let listed = listed?;
            match listed.key.parse() {
                Ok(Key::Versions { provider }) if in_scope(scope, &provider) => {
                    inventory.providers.entry(provider).or_default();
                }
                Ok(Key::Download { release: ReleaseId { provider, version }, platform })
                    if in_scope(scope, &provider) =>
                {
                    let folder = inventory.providers.entry(provider).or_default();
                    folder.documents.entry(version).or_default().insert(platform);
                }
                Ok(Key::Yanked { release: ReleaseId { provider, version } })
                    if in_scope(scope, &provider) =>
                {
                    inventory.providers.entry(provider).or_default().yanked.insert(version);
                }
                Ok(_) => {}
                Err(_) => inventory.foreign.add(&listed),
            }
        }
        Ok(inventory)
    }
}

/// The referenced objects. Only a hash of each key is kept: with some 100,000 objects, an unreferenced one is
/// overlooked only if two hashes collide.
#[derive(Debug, Default)]
pub(super) struct References(HashSet<u64>);

impl References {
    fn hash(key: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        hasher.finish()
    }

    pub(super) fn add(&mut self, key: &Key) {
        self.0.insert(Self::hash(&key.to_string()));
    }

    fn has(&self, key: &str) -> bool {
        self.0.contains(&Self::hash(key))
    }
}

/// The facts known from the documents.
pub(super) struct Known<'a> {
    /// The versions of each index that could be read.
    pub(super) listed: &'a BTreeMap<Provider, BTreeSet<Version>>,
    /// Versions of which not all documents could be read.
    pub(super) unsure: &'a BTreeSet<(Provider, Version)>,
    pub(super) references: &'a References,
}

/// Finds unreferenced objects: those to which no document of a listed or yanked version refers. Earlier SHA256SUMS of a
/// listed version, with their signatures and records, are its history, and are only counted: each added platform leaves
/// some.
pub(super) async fn check(
    store: &RegistryStore,
    scope: &Scope,
    inventory: Inventory,
    known: &Known<'_>,
) -> Result<(Vec<Finding>, Unreferenced)> {
    let mut unreferenced: BTreeMap<Provider, ObjectTally> = BTreeMap::new();
    let mut foreign = inventory.foreign;
    let mut counted = Unreferenced::default();
    let mut listing = store.list(&folder(Area::Store, scope));
    while let Some(object) = listing.next().await {
        let object = object?;
        let (provider, version, history) = match object.key.parse() {
            Ok(Key::Zip { release: ReleaseId { provider, version }, .. }) => (provider, version, false),
            Ok(
                Key::Sums { release: ReleaseId { provider, version }, .. }
                | Key::Signature { release: ReleaseId { provider, version }, .. }
                | Key::Provenance { release: ReleaseId { provider, version }, .. }
                | Key::ProvenanceSignature { release: ReleaseId { provider, version }, .. },
            ) => (provider, version, true),
            // Of other registries' providers, to which their files in the mirror lead.
            Ok(Key::Kept(_)) => continue,
            Ok(_) | Err(_) => {
                foreign.add(&object);
                continue;
            }
        };
        // An index that exists and cannot be read may list any version.
        let unread = inventory.providers.contains_key(&provider) && !known.listed.contains_key(&provider);
        let unsure = unread || known.unsure.contains(&(provider.clone(), version.clone()));
        let yanked =
            inventory.providers.get(&provider).is_some_and(|folder| folder.yanked.contains(&version));
        if !in_scope(scope, &provider)
            || !scope.has(&version)
            || yanked
            || unsure
            || known.references.has(&object.key)
        {
            continue;
        }
        if history && known.listed.get(&provider).is_some_and(|versions| versions.contains(&version)) {
            counted.earlier_objects += 1;
            counted.earlier_bytes += object.len;
            continue;
        }
        counted.objects += 1;
        counted.bytes += object.len;
        unreferenced.entry(provider).or_default().add(&object);
    }
    let mut findings: Vec<Finding> = unreferenced
        .into_iter()
        .map(|(provider, pile)| {
            UNREFERENCED.at(provider).found(pile.in_words()).expected("objects that a document leads to")
        })
        .collect();
    if foreign.count > 0 {
        findings.push(FOREIGN.at(store.describe()).found(foreign.in_words()).expected("keys of a registry"));
    }
    Ok((findings, counted))
}
