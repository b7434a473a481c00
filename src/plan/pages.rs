//! The pages of the registry, as a part of every plan that changes what they show.
//!
//! What a plan touches follows from its objects (`touched`). Everything else follows from the documents as they will be
//! once the plan is applied, and from what the earlier pages say about other pages. So the last observation of a run, which
//! is made after its last write, also sees whether another run has changed what the pages show, and then writes them anew:
//! of all runs at once, the one that writes a page last has seen the documents of all.

mod documentation;
mod view;

use std::collections::{BTreeMap, BTreeSet};

use url::Url;

use super::{Observation, Plan, Step, Write};
use crate::error::Refusal;
use crate::pages::provider_page::MadePages;
use crate::pages::{Directory, ProviderFacts, Site, assets, feed};
use crate::provider::{Provider, ReleaseId, Version};
use crate::registry::pages::PageKey;
use crate::registry::{Key, Settings, VersionsDocument};
pub use documentation::{DocsOf, DocsSource};
use view::{View, listed};

/// What a goal wants of the pages.
#[derive(Debug, Default)]
pub struct Wanted<'a> {
    /// The pages of all versions of the providers that the plan touches are made again, and not only those of the versions.
    pub all_versions: bool,
    /// The documentation that the run brings.
    pub docs: Option<DocsOf<'a>>,
}

/// The registry whose pages are written; `None` if its settings want none.
pub fn site(settings: &Settings) -> Option<Site> {
    if !settings.pages() {
        return None;
    }
    let base = Url::parse(settings.base_url()?.as_str()).ok()?;
    Some(Site::new(settings.title(), &base))
}

/// The plan with the pages that show what it changes; or what has to be read first.
///
/// # Errors
/// A page is there that tfreg has not written, or what it is made from cannot be understood.
pub(super) fn with_pages(
    mut plan: Plan,
    wanted: &Wanted<'_>,
    site: &Site,
    seen: &Observation,
) -> Result<Step, Refusal> {
    let touched = touched(&plan);
    if touched.is_empty() {
        return Ok(Step::Ready(Box::new(plan)));
    }
    let writes = match writes(touched, &plan, wanted, site, seen)? {
        Ok(writes) => writes,
        Err(step) => return Ok(step),
    };
    plan.writes.extend(writes);
    Ok(Step::Ready(Box::new(plan)))
}

/// The pages of a provider, and of all of its versions or of one, as they have to be by what was seen: each with what has to
/// be done for that. Or what has to be read first.
///
/// # Errors
/// A page is there that tfreg has not written, or what it is made from cannot be understood.
pub fn current(
    provider: &Provider,
    version: Option<&Version>,
    site: &Site,
    seen: &Observation,
) -> Result<Step, Refusal> {
    let touched = BTreeMap::from([(provider.clone(), version.into_iter().cloned().collect())]);
    let wanted = Wanted { all_versions: version.is_none(), docs: None };
    Ok(match writes(touched, &Plan::default(), &wanted, site, seen)? {
        Ok(writes) => Step::Ready(Box::new(Plan { writes, ..Plan::default() })),
        Err(step) => step,
    })
}

/// The writes of the pages of these providers and versions once a plan is applied; or what has to be read first.
fn writes(
    touched: BTreeMap<Provider, BTreeSet<Version>>,
    plan: &Plan,
    wanted: &Wanted<'_>,
    site: &Site,
    seen: &Observation,
) -> Result<Result<Vec<Write>, Step>, Refusal> {
    let view = View::new(plan, seen);
    let mut pages = Pages { view: &view, site, made: BTreeMap::new() };
    pages.add(touched, wanted)?;
    let made = pages.made;
    if let Some(step) = view.next_reads() {
        return Ok(Err(step));
    }
    let mut writes = Vec::with_capacity(made.len());
    for (key, bytes) in made {
        writes.extend(view.write(&key, bytes, wanted.docs.as_ref())?);
    }
    Ok(view.next_reads().map_or(Ok(writes), Err))
}

/// The providers whose index or documents a plan has, with the versions whose documents or yank it has.
fn touched(plan: &Plan) -> BTreeMap<Provider, BTreeSet<Version>> {
    let mut touched: BTreeMap<Provider, BTreeSet<Version>> = BTreeMap::new();
    for write in &plan.writes {
        match &write.key {
            Key::Versions { provider } => drop(touched.entry(provider.clone()).or_default()),
            Key::Download { release: ReleaseId { provider, version }, .. }
            | Key::Yanked { release: ReleaseId { provider, version } } => {
                touched.entry(provider.clone()).or_default().insert(version.clone());
            }
            _ => {}
        }
    }
    touched
}

/// The pages as they will be, as far as everything was read.
struct Pages<'a> {
    view: &'a View<'a>,
    site: &'a Site,
    made: BTreeMap<PageKey, Vec<u8>>,
}

impl Pages<'_> {
    fn add(
        &mut self,
        touched: BTreeMap<Provider, BTreeSet<Version>>,
        wanted: &Wanted<'_>,
    ) -> Result<(), Refusal> {
        let mut directory = match self.view.page(&PageKey::Registry) {
            Some(page) => Directory::read(&page)?,
            None => Directory::default(),
        };
        for (key, bytes) in assets() {
            self.view.page_summary(&key);
            self.made.insert(key, bytes.to_vec());
        }
        for (provider, versions) in touched {
            if let Some(facts) = self.provider(&provider, versions, wanted)? {
                directory = directory.with(&provider, facts.entry());
                let key = PageKey::Feed { provider: provider.clone() };
                self.made.insert(key, feed::feed(self.site, &facts)?);
                self.made.insert(PageKey::Provider { provider }, facts.page(self.site)?);
            }
        }
        self.made.insert(PageKey::Registry, directory.page(self.site)?);
        Ok(())
    }

    /// What the pages show of a provider; the pages of its versions are added. `None` if it has no index, or something has
    /// to be read first.
    fn provider(
        &mut self,
        provider: &Provider,
        mut versions: BTreeSet<Version>,
        wanted: &Wanted<'_>,
    ) -> Result<Option<ProviderFacts>, Refusal> {
        let view = self.view;
        let index_key = Key::Versions { provider: provider.clone() };
        let earlier = view.page(&PageKey::Provider { provider: provider.clone() });
        view.page(&PageKey::Feed { provider: provider.clone() });
        let mut made = earlier.map(|page| MadePages::read(provider, &page)).transpose()?.unwrap_or_default();
        let index = view.bytes(&index_key);
        let index = index.map(|index| VersionsDocument::parse(&index_key, &index)).transpose()?;
        let mut entries = index.as_ref().map(listed).transpose()?.unwrap_or_default();
        if wanted.all_versions {
            versions.extend(entries.keys().cloned());
        }
        if let Some(docs) = wanted.docs.as_ref().filter(|docs| docs.release.provider == *provider) {
            self.documentation(docs)?;
            made = made.with(&docs.release.version, true);
        }
        for version in &versions {
            let release = ReleaseId::new(provider, version);
            view.page(&PageKey::Release { release: release.clone() });
            let facts = view.release(&release, entries.get(version), made.has_docs(version))?;
            if let Some(facts) = facts {
                self.made.insert(PageKey::Release { release }, facts.page(self.site)?);
                made = made.with_release(version, &facts.listed);
            }
        }
        made.complete(&mut entries);
        let Some(index) = index else { return Ok(None) };
        let warnings = index.warnings()?;
        let mut facts =
            ProviderFacts { provider: provider.clone(), versions: entries, warnings, public_key: None, made };
        facts.public_key = view.newest_key(&facts)?;
        Ok(view.is_complete().then_some(facts))
    }
}
