//! The page that leads from a page of the documentation to the same page of other versions.
//!
//! A version's own pages never change after its publish, so they cannot list the versions that come later. They link to
//! this page instead, which carries what it lists as data; each publish with documentation merges its own pages into it.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use serde_json::{Value, json};

use super::{INDEX, home, page_path};
use crate::error::Refusal;
use crate::pages::data;
use crate::pages::frame::{Frame, rendered};
use crate::provider::{Provider, ReleaseId, Version};
use crate::registry::pages::PageKey;

/// The most versions whose pages are listed one by one; earlier ones only by their start page.
const VERSIONS: usize = 20;
/// The most links of that kind, so that the page of a provider with thousands of resources stays small.
const LINKS: usize = 10_000;

/// The documentation's pages by version; `None` for a version that is only known to have documentation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DocsVersions(BTreeMap<Version, Option<BTreeSet<String>>>);

#[derive(Template)]
#[template(path = "versions.html")]
struct Page {
    frame: Frame,
    name: String,
    pages: Vec<Row>,
    older: Vec<(String, String)>,
    data: String,
}

struct Row {
    id: String,
    title: String,
    versions: Vec<(String, String)>,
}

const VERSIONS_MEMBER: &str = "versions";

impl DocsVersions {
    /// Reads the data of the page.
    ///
    /// # Errors
    /// The object is not such a page.
    pub fn read(provider: &Provider, page: &[u8]) -> Result<Self, Refusal> {
        let key = PageKey::DocsVersions { provider: provider.clone() };
        let versions = data::object(&key, page, VERSIONS_MEMBER)?;
        let read = |(version, names): (&String, &Value)| {
            let list = |names: &Vec<Value>| -> Option<BTreeSet<String>> {
                let is_name = |name: &&str| page_path(name).is_some();
                names.iter().map(|name| name.as_str().filter(is_name).map(str::to_owned)).collect()
            };
            let names = match names {
                Value::Null => Some(None),
                Value::Array(names) => list(names).map(Some),
                _ => None,
            };
            let pair = version.parse().ok().zip(names);
            pair.ok_or_else(|| data::unclear(&key, format!("the entry of {version:?}")))
        };
        Ok(Self(versions.iter().map(read).collect::<Result<_, _>>()?))
    }

    /// With the pages of a version, which replace earlier ones.
    #[must_use]
    pub fn with(mut self, version: &Version, names: &BTreeSet<String>) -> Self {
        self.0.insert(version.clone(), Some(names.clone()));
        let (mut versions, mut links) = (0, 0);
        for names in self.0.values_mut().rev() {
            versions += 1;
            links += names.as_ref().map_or(0, BTreeSet::len);
            // The newest one is always listed.
            if versions > 1 && (versions > VERSIONS || links > LINKS) {
                *names = None;
            }
        }
        self
    }

    /// The page.
    ///
    /// # Errors
    /// It cannot be made, which is a fault of tfreg.
    pub fn page(&self, provider: &Provider) -> Result<Vec<u8>, Refusal> {
        let key = PageKey::DocsVersions { provider: provider.clone() };
        // The start page first.
        let mut pages: BTreeMap<(bool, &str), Vec<(String, String)>> = BTreeMap::new();
        let mut older = Vec::new();
        for (version, names) in self.0.iter().rev() {
            let text = version.to_string();
            for name in names.iter().flatten() {
                let release = ReleaseId::new(provider, version);
                let page = page_path(name).map(|path| PageKey::Docs { release, path });
                if let Some(page) = page {
                    pages.entry((name != INDEX, name)).or_default().push((text.clone(), key.link_to(&page)));
                }
            }
            if names.is_none() {
                older.push((text, key.link_to(&home(provider, version))));
            }
        }
        let row = |((_, name), versions): ((bool, &str), _)| Row {
            id: name.to_owned(),
            title: if name == INDEX { "Overview".to_owned() } else { name.to_owned() },
            versions,
        };
        let names =
            |names: &Option<BTreeSet<String>>| names.as_ref().map_or(Value::Null, |names| json!(names));
        let versions = self.0.iter().map(|(version, of)| (version.to_string(), names(of)));
        let page = Page {
            frame: Frame::of_provider(None, &key, provider, &[("Documentation", &key)]),
            name: provider.to_string(),
            pages: pages.into_iter().map(row).collect(),
            older,
            data: data::embedded(&json!({ VERSIONS_MEMBER: versions.collect::<serde_json::Map<_, _>>() })),
        };
        rendered(&key, &page)
    }
}
