//! What all pages have in common: title, way back, stylesheet, and how dates are written.

use askama::Template;
use jiff::Timestamp;
use url::Url;

use super::{assets, hcl};
use crate::error::Refusal;
use crate::provider::Provider;
use crate::registry::pages::{AssetKind, PageKey};

/// The registry whose pages are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    title: String,
    base: String,
    host: String,
}

impl Site {
    /// The registry at `base`, its absolute URL, under `title`; without one, under the name of its host.
    #[must_use]
    pub fn new(title: Option<&str>, base: &Url) -> Self {
        let host = match (base.host_str(), base.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (host, _) => host.unwrap_or_default().to_owned(),
        };
        let title = title.map(str::trim).filter(|title| !title.is_empty());
        let slash = if base.as_str().ends_with('/') { "" } else { "/" };
        Self { title: title.unwrap_or(&host).to_owned(), base: format!("{base}{slash}"), host }
    }

    /// The title.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The host, by which clients name it in a provider's source address.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The absolute URL of an object.
    pub(super) fn url(&self, key: &impl std::fmt::Display) -> String {
        format!("{}{key}", self.base)
    }
}

/// What the template of every page needs.
pub(super) struct Frame {
    pub(super) title: String,
    /// The registry's title; `None` on pages that do not depend on it.
    pub(super) site: Option<String>,
    pub(super) style: String,
    pub(super) script: String,
    pub(super) description: Option<String>,
    pub(super) feed: Option<String>,
    pub(super) crumbs: Vec<Crumb>,
}

/// A step of the way from the registry's page to this one.
pub(super) struct Crumb {
    pub(super) text: String,
    pub(super) link: Option<String>,
}

impl Frame {
    /// The frame of the page at `key`, which `crumbs` lead to; the last one is the page itself. Without a site, the page
    /// stays right when the registry gets another title or address.
    pub(super) fn new(site: Option<&Site>, key: &PageKey, crumbs: &[(&str, &PageKey)]) -> Self {
        let title = site.map(Site::title);
        let names: Vec<&str> = crumbs.iter().rev().map(|(text, _)| *text).chain(title).collect();
        let root = title.unwrap_or("Providers");
        let way = std::iter::once((root, &PageKey::Registry)).chain(crumbs.iter().copied());
        let way =
            way.map(|(text, to)| Crumb { text: text.to_owned(), link: (to != key).then(|| key.link_to(to)) });
        Self {
            title: names.join(" - "),
            site: title.map(str::to_owned),
            style: key.link_to(&assets::key(AssetKind::Style)),
            script: key.link_to(&assets::key(AssetKind::Script)),
            description: None,
            feed: None,
            crumbs: way.collect(),
        }
    }

    /// The frame of a page of a provider, with its feed.
    pub(super) fn of_provider(
        site: Option<&Site>,
        key: &PageKey,
        provider: &Provider,
        more: &[(&str, &PageKey)],
    ) -> Self {
        let page = PageKey::Provider { provider: provider.clone() };
        let name = provider.to_string();
        let crumbs: Vec<(&str, &PageKey)> =
            std::iter::once((name.as_str(), &page)).chain(more.iter().copied()).collect();
        let feed = key.link_to(&PageKey::Feed { provider: provider.clone() });
        Self { feed: Some(feed), ..Self::new(site, key, &crumbs) }
    }
}

/// A time as machines and people read it, in UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Date {
    pub(super) machine: String,
    pub(super) day: String,
}

impl From<Timestamp> for Date {
    fn from(time: Timestamp) -> Self {
        Self { machine: time.to_string(), day: time.strftime("%Y-%m-%d").to_string() }
    }
}

/// The bytes of a page.
pub(super) fn rendered(key: &PageKey, page: &impl Template) -> Result<Vec<u8>, Refusal> {
    let text = page.render().map_err(|error| {
        Refusal::new(key, "the page cannot be made")
            .found(error)
            .expected("a page")
            .remedy("report it to the authors of tfreg; or turn pages off")
    })?;
    Ok(text.into_bytes())
}

/// What a configuration needs to install a version of a provider, as safe HTML.
pub(super) fn snippet(site: &Site, provider: &Provider, version: &impl std::fmt::Display) -> String {
    let name = &provider.provider_type;
    hcl::shown(&format!(
        "terraform {{\n  required_providers {{\n    {name} = {{\n      source  = \"{}/{provider}\"\n      version = \
         \"{version}\"\n    }}\n  }}\n}}\n",
        site.host()
    ))
}
