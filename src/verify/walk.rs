//! Walks through a registry: its providers, and the versions of each index.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use crate::error::{Error, Result};
use crate::provider::{Provider, ReleaseId, Version};
use crate::reader::{Reader, Reply};
use crate::registry::Key;
use crate::worker;

use super::finding::Finding;
use super::objects::{Folder, Inventory};
use super::site::{self, RegistryView};
use super::tally::{PartialResult, Sum, same_zips};
use super::version::VersionCheck;
use super::{Extent, Scope, index, served};

/// The providers of the scope.
pub(super) fn providers(
    scope: &Scope,
    inventory: Option<&Inventory>,
    reader: &Reader,
) -> Result<Vec<Provider>> {
    match (&scope.namespace, &scope.provider_type, inventory) {
        (Some(namespace), Some(provider_type), _) => {
            Ok(vec![Provider { namespace: namespace.clone(), provider_type: provider_type.clone() }])
        }
        (_, _, Some(inventory)) => Ok(inventory.providers.keys().cloned().collect()),
        _ => Err(reader.cannot_be_listed(
            "give --namespace and --type, the parts of the provider's address HOST/NAMESPACE/TYPE",
        )),
    }
}

/// Whether the root of the host lists the bucket behind it.
pub(super) async fn root(site: &RegistryView<'_>, scope: &Scope) -> Result<Option<Finding>> {
    if site.store().is_some() || scope.extent != Extent::Registry {
        return Ok(None);
    }
    let host = site.host();
    Ok(match site.document(host, site::SUMS).await {
        Ok(Reply::Found(page)) => served::listing(host.as_str(), &page),
        // A listing may be long, and clients need nothing else at the root.
        Ok(_) | Err(Error::Store(_)) => None,
        Err(error) => return Err(error),
    })
}

/// Whether a missing object is answered 404, and the answer not cached for long: a platform of a version that is never
/// published.
pub(super) async fn missing(site: &RegistryView<'_>, provider: Option<&Provider>) -> Result<Option<Finding>> {
    let Some(provider) = provider else { return Ok(None) };
    let (Ok(version), Ok(platform)) = ("0.0.0-tfreg-verify".parse(), "linux_amd64".parse()) else {
        return Ok(None);
    };
    let url =
        site.url(&Key::Download { release: ReleaseId { provider: provider.clone(), version }, platform });
    let name = site.name(&url);
    Ok(match site.head(&url).await {
        Ok(reply) => served::missing(&name, &reply),
        // A bucket answers this to callers without the right to list, and the requested object is known to be missing.
        Err(Error::Store(error)) if matches!(error.status, Some(401 | 403)) => {
            served::missing(&name, &Reply::<()>::Status(403, error.answer))
        }
        Err(error) => return Err(error),
    })
}

/// Checks all providers, a few at a time.
pub(super) async fn check_providers(
    site: &RegistryView<'_>,
    scope: &Scope,
    reads: usize,
    providers: Vec<Provider>,
    folders: Option<&BTreeMap<Provider, Folder>>,
    sum: &mut Sum,
) -> Result<()> {
    let parts = stream::iter(providers.into_iter().map(|provider| async move {
        let folder = folders.and_then(|folders| folders.get(&provider));
        check_provider(site, scope, reads, provider, folder).await
    }));
    let mut parts = parts.buffer_unordered(8);
    while let Some(part) = parts.try_next().await? {
        sum.add(part);
    }
    Ok(())
}

async fn check_provider(
    site: &RegistryView<'_>,
    scope: &Scope,
    reads: usize,
    provider: Provider,
    folder: Option<&Folder>,
) -> Result<PartialResult> {
    let key = Key::Versions { provider: provider.clone() };
    let url = site.url(&key);
    let subject = site.name(&url);
    let index = site.document(&url, site::DOCUMENT).await?;
    let (findings, entries) = worker::compute(|| index::check(&key, &subject, index));
    let mut part = PartialResult { findings, ..PartialResult::default() };
    let Some(mut entries) = entries else { return Ok(part) };
    part.checked.providers = 1;
    if let Some(folder) = folder {
        part.findings.extend(index::both_ways(&subject, &entries, folder, scope));
    }
    part.listed = Some((provider.clone(), entries.iter().map(|entry| entry.version.clone()).collect()));
    if !scope.versions.is_empty() {
        entries.retain(|entry| scope.has(&entry.version));
        let found: BTreeSet<&Version> = entries.iter().map(|entry| &entry.version).collect();
        // Whether another provider has them is known when all were checked.
        let lacking = scope.versions.iter().filter(|version| !found.contains(version));
        part.lacking.extend(lacking.map(|version| (provider.clone(), version.clone())));
        if entries.is_empty() {
            part.checked.providers = 0;
        }
    }
    site.watch.versions(entries.len());
    let (provider, subject) = (&provider, &subject);
    let versions = stream::iter(entries.into_iter().map(|entry| async move {
        let check = VersionCheck { site, scope, provider, entry: &entry, index: subject };
        let part = check.version().await;
        site.watch.version_done();
        part
    }));
    let mut versions = versions.buffer_unordered(reads);
    while let Some(version) = versions.try_next().await? {
        part.add(version);
    }
    part.findings.extend(same_zips(&part.zips));
    part.zips.clear();
    Ok(part)
}
