//! A missing index: of a provider that was never published, or whose index was lost.
//!
//! A missing index is not an empty one. If documents show that versions were published, an index that lists fewer would
//! hide them from all clients; so the provider's folder is listed if there is no index, and only then.

use std::collections::{BTreeMap, BTreeSet};

use super::{Observation, Step, names, not_published};
use crate::error::Refusal;
use crate::provider::{Platform, Provider, ReleaseId, Version};
use crate::registry::{Folder, Key};
use crate::store::Listed;

/// The versions in a listing of the provider's folder, with the platforms that have a document; a version has none if
/// only its record exists, which says that it is, or was, yanked.
pub(super) fn published(provider: &Provider, listed: &[Listed]) -> BTreeMap<Version, BTreeSet<Platform>> {
    let mut found: BTreeMap<Version, BTreeSet<Platform>> = BTreeMap::new();
    for Listed { key, .. } in listed {
        match key.parse() {
            Ok(Key::Download { release: ReleaseId { provider: of, version }, platform })
                if of == *provider =>
            {
                found.entry(version).or_default().insert(platform);
            }
            Ok(Key::Yanked { release: ReleaseId { provider: of, version } }) if of == *provider => {
                found.entry(version).or_default();
            }
            _ => {}
        }
    }
    found
}

/// The refusal to write an index that omits published versions.
pub(super) fn refusal(provider: &Provider, published: &BTreeMap<Version, BTreeSet<Platform>>) -> Refusal {
    let version = |(version, platforms): (&Version, &BTreeSet<Platform>)| {
        if platforms.is_empty() {
            format!("the record that {version} was yanked")
        } else {
            format!("documents of {version}: {}", names(platforms))
        }
    };
    Refusal::new(
        Key::Versions { provider: provider.clone() },
        format!("the index of {provider} is missing, and versions were published"),
    )
    .found(published.iter().map(version).collect::<Vec<_>>().join("\n"))
    .expected("an index that lists them; one without them would hide them from all clients")
    .remedy(format!(
        "make the index anew by `tfreg reindex TARGET {provider} --yes`, and run this again; if a first publish was stopped, \
         run that one again"
    ))
}

/// The next step if a command needs the index, and there is none.
///
/// # Errors
/// Fails if the command cannot go on; the error says why.
pub(super) fn without_index(seen: &Observation, provider: &Provider) -> Result<Step, Refusal> {
    let folder = Folder::provider(provider);
    let Some(listing) = seen.folders.get(&folder) else { return Ok(Step::List(folder)) };
    let published = published(provider, listing);
    if published.is_empty() { Err(not_published(provider)) } else { Err(refusal(provider, &published)) }
}
