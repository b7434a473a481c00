//! Verifies a registry: reads it back as clients do, and checks every claim that they rely on.
//!
//! It shares only the wire types with the writing side: keys, strict JSON, names. Wherever the registry is read, in a
//! directory, in a bucket or at its public address, the same rules are applied to the same URLs, so the verdict is the
//! same. A directory has no headers, and a host cannot be listed; checks that depend on these are skipped there.
//!
//! ```text
//! discovery ─► index ─► download documents ─► SHA256SUMS ─► signature and key
//!     │          │               │                 └──────► record of the publish
//!     │          │               └──► zips
//!     └──────────┴──► objects: unreferenced ones, missing ones; the network mirror
//! ```
//!
//! Each group of rules is one file; each rule is a small function that returns a [`Finding`]. If something cannot be
//! read because the network or the disk fails, that is an error and not a finding.

mod discovery;
mod download;
mod finding;
mod index;
mod links;
mod mirror;
mod mirrored;
mod objects;
mod packages;
mod pages;
mod record;
mod scope;
mod served;
mod signature;
mod site;
mod sums;
mod tally;
mod verification;
mod version;
mod walk;
mod zip;

pub use finding::{Finding, Group, Rule, Severity};
pub use scope::{Depth, Extent, MAX_ZIP, Scope};
pub use verification::{Checked, Package, SigningKeyUse, Unreferenced, Verification};

use crate::error::{Error, Result};
use crate::reader::Reader;
use crate::registry::{Key, Settings};
use mirrored::Mirrored;
use objects::Inventory;
use site::RegistryView;
use tally::Sum;

/// Observes the progress.
pub trait Watch: Send + Sync {
    /// This many more versions will be checked.
    fn versions(&self, count: usize);
    /// A version was checked.
    fn version_done(&self);
    /// This many bytes were read.
    fn read(&self, bytes: u64);
}

/// An observer that does nothing.
pub struct Unwatched;

impl Watch for Unwatched {
    fn versions(&self, _: usize) {}
    fn version_done(&self) {}
    fn read(&self, _: u64) {}
}

/// All rules, in the order in which clients meet their objects.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    let first =
        [discovery::RULES, index::RULES, download::RULES, packages::RULES, sums::RULES, signature::RULES];
    let last = [
        served::RULES,
        objects::RULES,
        record::RULES,
        links::RULES,
        mirror::RULES,
        mirrored::RULES,
        pages::RULES,
    ];
    first.into_iter().flatten().copied().chain(zip::all_rules()).chain(last.into_iter().flatten().copied())
}

/// The settings of a registry that is verified as a whole. Where it has pages, its documents are kept for these from now on.
async fn settings(site: &RegistryView<'_>, scope: &Scope) -> Result<(Option<Finding>, Option<Settings>)> {
    if scope.extent != Extent::Registry {
        return Ok((None, None));
    }
    let read = links::settings(site).await?;
    if read.1.as_ref().is_some_and(Settings::pages) {
        site.keep_documents();
    }
    Ok(read)
}

/// Verifies the registry at `reader`, with `reads` concurrent requests.
///
/// # Errors
/// Fails if it cannot be read, or the scope does not say what to read.
pub async fn verify(reader: &Reader, scope: &Scope, reads: usize, watch: &dyn Watch) -> Result<Verification> {
    let mut site = RegistryView::new(reader, reads, watch)?;
    let mut sum = Sum::default();
    let url =
        site.host().join(&Key::Discovery.to_string()).map_err(|error| Error::Usage(error.to_string()))?;
    let reply = site.document(&url, discovery::LARGEST).await?;
    let (findings, service) = discovery::check(&site.name(&url), reply, site.store().is_some());
    sum.findings.extend(findings);
    let reachable = service.is_some();
    if let Some(service) = service {
        site.found_at(service);
    }
    let (mut unreferenced, mut has_mirror) = (None, false);
    // A host cannot be read without the address of its registry; in a store the keys are known.
    if reachable || site.store().is_some() {
        let inventory = match (site.store(), &scope.extent) {
            (Some(store), Extent::Registry) => Some(Inventory::take(store, scope).await?),
            _ => None,
        };
        let providers = walk::providers(scope, inventory.as_ref(), reader)?;
        // A publish has read the settings, and warned of links.
        let (unread, settings) = settings(&site, scope).await?;
        let mirrored = Mirrored::find(&site, scope, settings.as_ref()).await?;
        if providers.is_empty() && !mirrored.is_empty() {
            // A mirror of other registries alone: nobody asks for its discovery document.
            sum.findings.clear();
        } else if providers.is_empty() {
            // If there are no objects, there is no discovery document either.
            sum.findings.clear();
            sum.findings
                .push(index::NOTHING.at(reader.describe()).found("no provider").expected("a registry"));
        }
        let asked = providers.len();
        let (site, folders) = (&site, inventory.as_ref().map(|inventory| &inventory.providers));
        // A publish would have failed earlier.
        let probed = providers.first().filter(|_| scope.extent == Extent::Registry).cloned();
        let parts = walk::check_providers(site, scope, reads, providers, folders, &mut sum);
        let missing = walk::missing(site, probed.as_ref());
        let root = walk::root(site, scope);
        let (missing, root, ()) = futures::try_join!(missing, root, parts)?;
        sum.findings.extend(missing);
        sum.findings.extend(root);
        sum.findings.extend(unread);
        if scope.extent == Extent::Registry {
            sum.findings.extend(links::check(site, settings.as_ref(), &sum.bases));
            if let Some(settings) = settings.as_ref().filter(|settings| settings.pages()) {
                for provider in sum.listed.keys() {
                    let only = scope.versions.first().filter(|_| scope.versions.len() == 1);
                    let of = (provider, only);
                    let (pages, found) = pages::check(site, settings, of, scope.depth, reads).await?;
                    sum.checked.pages += pages;
                    sum.findings.extend(found);
                }
            }
        }
        let mirror = match &scope.extent {
            Extent::Registry => settings.as_ref().and_then(Settings::mirror_host),
            Extent::Versions { mirror } => mirror.clone(),
        };
        if let Some(host) = mirror {
            has_mirror = true;
            sum.findings.extend(mirror::check(site, &host, scope, &sum.listed, &sum.offered).await?);
        }
        let (kept, found) = mirrored.check(site, scope).await?;
        has_mirror |= kept > 0;
        sum.checked.mirrored = kept;
        sum.findings.extend(found);
        for wanted in &scope.versions {
            let mut lacking = sum.lacking.iter().filter(|(_, version)| version == wanted);
            if asked == 0 || lacking.clone().count() < asked {
                continue;
            }
            let subject = match lacking.next().filter(|_| asked == 1) {
                Some((provider, _)) => site.name(&site.url(&Key::Versions { provider: provider.clone() })),
                None => reader.describe(),
            };
            sum.findings.push(index::NOT_LISTED.at(subject).found(format!("no {wanted}")).expected(wanted));
        }
        if let (Some(store), Some(inventory)) = (site.store(), inventory) {
            let known =
                objects::Known { listed: &sum.listed, unsure: &sum.unsure, references: &sum.references };
            let (findings, counted) = objects::check(store, scope, inventory, &known).await?;
            sum.findings.extend(findings);
            unreferenced = Some(counted);
        }
    }
    sum.findings.sort_by(|a, b| a.order().cmp(&b.order()));
    sum.findings.dedup();
    sum.packages.sort();
    Ok(Verification {
        place: reader.describe(),
        depth: scope.depth,
        findings: sum.findings,
        checked: sum.checked,
        unreferenced,
        has_mirror,
        signers: sum.signers.into_values().collect(),
        packages: sum.packages,
    })
}
