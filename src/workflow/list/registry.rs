//! The providers of a registry, found by listing, each with a summary of its index.

use std::collections::BTreeSet;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;

use super::{Part, Watch};
use crate::error::{Error, Refusal, Result};
use crate::provider::{Platform, Provider, Version};
use crate::reader::Reader;
use crate::registry::json::{self, Object};
use crate::registry::settings::Settings;
use crate::registry::{Folder, Key, VersionsDocument};
use crate::worker;

/// A provider, and what its index says in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderSummary {
    /// The provider.
    pub provider: Provider,
    /// Its newest version: the newest pre-release only if there is no other version. `None` if nothing is listed, or the
    /// index cannot be read.
    pub newest: Option<Version>,
    /// How many versions are listed.
    pub versions: usize,
    /// How many versions are yanked.
    pub yanked: usize,
    /// The platforms of the newest version.
    pub platforms: BTreeSet<Platform>,
    /// The latest first publish of a listed version, as far as their entries say.
    pub last_publish: Option<Timestamp>,
}

/// The providers of a registry, and its settings.
#[derive(Debug)]
pub struct RegistryListing {
    /// The members of its settings, if it has any.
    pub settings: Option<Object>,
    /// Its providers.
    pub providers: Vec<ProviderSummary>,
}

/// Lists the providers with an index, or with a download document.
pub(super) async fn list(reader: &Reader, reads: usize, watch: &dyn Watch) -> Result<Part<RegistryListing>> {
    let Reader::Store(store) = reader else {
        return Err(reader.cannot_be_listed(
            "name the provider, NS/TYPE, by the parts of its address HOST/NAMESPACE/TYPE",
        ));
    };
    let providers = async {
        let mut providers = BTreeSet::new();
        let mut listing = store.list(Folder::registry().as_str());
        while let Some(object) = listing.next().await {
            // Documents without an index tell that it was lost.
            match object?.key.parse() {
                Ok(Key::Versions { provider }) => drop(providers.insert(provider)),
                Ok(Key::Download { release, .. }) => drop(providers.insert(release.provider)),
                _ => {}
            }
        }
        Ok::<_, Error>(providers)
    };
    let (providers, found) = futures::try_join!(providers, reader.document(&Key::Settings))?;
    let mut problems = Vec::new();
    let settings = found.and_then(|found| match settings(&found.bytes) {
        Ok(members) => Some(members),
        Err(refusal) => {
            problems.push(refusal);
            None
        }
    });
    if providers.is_empty() && settings.is_none() && problems.is_empty() {
        return Err(Refusal::new(reader.describe(), "there is no registry to list")
            .found("no index of a provider")
            .expected("a registry")
            .remedy("check the target; the first publish makes the registry")
            .into());
    }
    watch.parts(providers.len());
    let summaries = stream::iter(providers.into_iter().map(|provider| async move {
        let summary = summary(reader, provider).await;
        watch.part_done();
        summary
    }));
    let parts: Vec<Part<ProviderSummary>> = summaries.buffered(reads).try_collect().await?;
    let providers = Part::gather(parts, &mut problems);
    Ok(Part { part: RegistryListing { settings, providers }, problems })
}

/// The members of the settings, which have to be ones that every command understands.
fn settings(bytes: &[u8]) -> Result<Object, Refusal> {
    Settings::parse(bytes)?;
    json::parse(&Key::Settings, bytes)
}

async fn summary(reader: &Reader, provider: Provider) -> Result<Part<ProviderSummary>> {
    let key = Key::Versions { provider: provider.clone() };
    let found = reader.document(&key).await?;
    let mut problems = Vec::new();
    let mut part = ProviderSummary {
        provider,
        newest: None,
        versions: 0,
        yanked: 0,
        platforms: BTreeSet::new(),
        last_publish: None,
    };
    let index = found.map(|found| worker::compute(|| VersionsDocument::parse(&key, &found.bytes)));
    match index {
        None => problems.push(Refusal::new(&key, super::NO_INDEX).found("not there")),
        Some(Err(refusal)) => problems.push(refusal),
        Some(Ok(index)) => worker::compute(|| summarize(&index, &mut part, &mut problems)),
    }
    Ok(Part { part, problems })
}

fn summarize(index: &VersionsDocument, part: &mut ProviderSummary, problems: &mut Vec<Refusal>) {
    part.newest = newest(index.versions()).cloned();
    for (version, listed) in index.entries() {
        part.versions += 1;
        match listed {
            Ok(listed) => {
                part.last_publish = part.last_publish.max(listed.published);
                if part.newest.as_ref() == Some(version) {
                    part.platforms = listed.platforms;
                }
            }
            Err(refusal) => problems.push(refusal),
        }
    }
    match index.marks() {
        Ok(marks) => part.yanked = marks.values().filter(|mark| mark.is_yanked).count(),
        Err(refusal) => problems.push(refusal),
    }
}

/// The version that clients choose if nothing else is asked for: the newest, a pre-release only if there is no other.
fn newest<'a>(versions: impl Iterator<Item = &'a Version>) -> Option<&'a Version> {
    versions.max_by(|a, b| (!a.is_prerelease(), a).cmp(&(!b.is_prerelease(), b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prerelease_is_the_newest_only_if_nothing_else_is_there() {
        for (versions, expected) in [
            (&["1.2.0", "1.10.0", "2.0.0-rc.1"][..], Some("1.10.0")),
            (&["2.0.0-rc.1", "2.0.0-rc.10"], Some("2.0.0-rc.10")),
            (&[], None),
        ] {
            let versions: Vec<Version> = versions.iter().map(|text| text.parse().unwrap()).collect();
            assert_eq!(newest(versions.iter()).map(ToString::to_string).as_deref(), expected);
        }
    }
}
