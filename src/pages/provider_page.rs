//! The page of a provider: a function of its index, of the key that signed its newest version, and of the pages that its
//! earlier self knows of.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::data;
use super::directory::Entry;
use super::frame::{Date, Frame, Site, rendered, snippet};
use super::key::ShownKey;
use crate::error::Refusal;
use crate::provider::{Platform, Provider, Version};
use crate::registry::pages::PageKey;

/// A version as the provider's index has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListedRelease {
    /// When it was published first, if that is known.
    pub published: Option<Timestamp>,
    /// Its protocols, as written.
    pub protocols: Vec<String>,
    /// Its platforms.
    pub platforms: BTreeSet<Platform>,
    /// That it is yanked, if it is: then new installations do not get it.
    pub yanked: Option<Yanked>,
}

/// What is known of a yank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Yanked {
    /// When it was, if that can be read.
    pub when: Option<Timestamp>,
}

/// What a provider's page is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderFacts {
    /// The provider.
    pub provider: Provider,
    /// Its versions, those that are yanked too.
    pub versions: BTreeMap<Version, ListedRelease>,
    /// The warnings that clients show.
    pub warnings: Vec<String>,
    /// The armored public key that a document of [`newest`](Self::newest) embeds.
    pub public_key: Option<String>,
    /// The pages that exist.
    pub made: MadePages,
}

/// The versions of a provider that have a page, and whether they have documentation. The provider's page carries them as
/// data, so it never links to a page that was not written.
///
/// It also carries the last entries of yanked versions: the index has none of them, and a publish does not read the records
/// of all yanked versions for the sake of one page.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MadePages(BTreeMap<Version, Made>);

/// What is known of a version that has a page.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Made {
    docs: bool,
    /// Its last entry in the index, if it is yanked.
    entry: Option<FormerEntry>,
}

/// The last entry in the index of a yanked version.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FormerEntry {
    published: Option<Timestamp>,
    protocols: Vec<String>,
    platforms: BTreeSet<Platform>,
}

#[derive(Template)]
#[template(path = "provider.html")]
struct Page {
    frame: Frame,
    name: String,
    warnings: Vec<String>,
    snippet: Option<String>,
    docs: Option<DocsLink>,
    feed: String,
    rows: Vec<Row>,
    key: Option<ShownKey>,
    data: String,
}

struct DocsLink {
    link: String,
    version: String,
}

struct Row {
    version: String,
    link: Option<String>,
    prerelease: bool,
    yanked: Option<YankMark>,
    published: Option<Date>,
    platforms: String,
    protocols: String,
}

struct YankMark {
    date: Option<Date>,
}

const PAGES: &str = "pages";
const DOCS: &str = "docs";
const PUBLISHED: &str = "published";
const PROTOCOLS: &str = "protocols";
const PLATFORMS: &str = "platforms";

impl Made {
    /// Whether it has documentation; of a yanked version an object, with its last entry too.
    fn to_json(&self) -> Value {
        let Some(entry) = &self.entry else { return self.docs.into() };
        let mut object = serde_json::Map::new();
        object.insert(DOCS.to_owned(), self.docs.into());
        if let Some(published) = entry.published {
            object.insert(PUBLISHED.to_owned(), published.to_string().into());
        }
        object.insert(PROTOCOLS.to_owned(), json!(entry.protocols));
        let platforms = entry.platforms.iter().map(ToString::to_string);
        object.insert(PLATFORMS.to_owned(), platforms.collect::<Vec<_>>().into());
        object.into()
    }

    fn read(value: &Value) -> Option<Self> {
        if let Some(docs) = value.as_bool() {
            return Some(Self { docs, entry: None });
        }
        let texts = |name: &str| -> Option<Vec<&str>> {
            value.get(name)?.as_array()?.iter().map(Value::as_str).collect()
        };
        let published = value.get(PUBLISHED).map(|time| time.as_str()?.parse().ok());
        let entry = FormerEntry {
            published: match published {
                Some(time) => Some(time?),
                None => None,
            },
            protocols: texts(PROTOCOLS)?.into_iter().map(str::to_owned).collect(),
            platforms: texts(PLATFORMS)?.into_iter().map(|name| name.parse().ok()).collect::<Option<_>>()?,
        };
        Some(Self { docs: value.get(DOCS)?.as_bool()?, entry: Some(entry) })
    }
}

impl MadePages {
    /// Reads the data of a provider's page.
    ///
    /// # Errors
    /// The object is not such a page.
    pub fn read(provider: &Provider, page: &[u8]) -> Result<Self, Refusal> {
        let key = PageKey::Provider { provider: provider.clone() };
        let pages = data::object(&key, page, PAGES)?;
        let read = |(version, made): (&String, &Value)| {
            let pair = version.parse().ok().zip(Made::read(made));
            pair.ok_or_else(|| data::unclear(&key, format!("the entry of {version:?}")))
        };
        Ok(Self(pages.iter().map(read).collect::<Result<_, _>>()?))
    }

    /// With a version that has a page, and perhaps documentation. What it had, it keeps.
    #[must_use]
    pub fn with(mut self, version: &Version, docs: bool) -> Self {
        self.0.entry(version.clone()).or_default().docs |= docs;
        self
    }

    /// With the page of a version, and with its last entry, if it is yanked and that is known.
    #[must_use]
    pub fn with_release(mut self, version: &Version, listed: &ListedRelease) -> Self {
        let made = self.0.entry(version.clone()).or_default();
        // Of a version without a record the mark alone is known.
        let is_known = listed.published.is_some() || !listed.platforms.is_empty();
        made.entry = (listed.yanked.is_some() && is_known).then(|| FormerEntry {
            published: listed.published,
            protocols: listed.protocols.clone(),
            platforms: listed.platforms.clone(),
        });
        self
    }

    /// Completes the versions of an index: those that are yanked with their last entries, as far as they are known. The index
    /// may be older than these, so an entry of a version that it lists stays until that version's page is made again.
    pub fn complete(&self, versions: &mut BTreeMap<Version, ListedRelease>) {
        for (version, made) in &self.0 {
            let listed = versions.get_mut(version).filter(|listed| listed.yanked.is_some());
            if let (Some(listed), Some(entry)) = (listed, &made.entry) {
                *listed = ListedRelease {
                    published: entry.published,
                    protocols: entry.protocols.clone(),
                    platforms: entry.platforms.clone(),
                    yanked: listed.yanked,
                };
            }
        }
    }

    /// Whether a version has a page.
    #[must_use]
    pub fn has(&self, version: &Version) -> bool {
        self.0.contains_key(version)
    }

    /// Whether a version has documentation.
    #[must_use]
    pub fn has_docs(&self, version: &Version) -> bool {
        self.0.get(version).is_some_and(|made| made.docs)
    }
}

impl ProviderFacts {
    /// The version that the page tells how to use: the newest stable one that is not yanked, else the newest pre-release.
    #[must_use]
    pub fn newest(&self) -> Option<&Version> {
        newest(&self.versions)
    }

    /// The provider's entry in the page of all providers.
    #[must_use]
    pub fn entry(&self) -> Entry {
        Entry {
            newest: self.newest().cloned(),
            published: self.versions.values().filter_map(|listed| listed.published).max(),
            versions: self.versions.values().filter(|listed| listed.yanked.is_none()).count(),
        }
    }

    /// The page.
    ///
    /// # Errors
    /// It cannot be made, which is a fault of tfreg.
    pub fn page(&self, site: &Site) -> Result<Vec<u8>, Refusal> {
        let provider = &self.provider;
        let key = PageKey::Provider { provider: provider.clone() };
        let row = |(version, listed): (&Version, &ListedRelease)| {
            let release = crate::provider::ReleaseId::new(provider, version);
            Row {
                version: version.to_string(),
                link: self.made.has(version).then(|| key.link_to(&PageKey::Release { release })),
                prerelease: version.is_prerelease(),
                yanked: listed.yanked.map(|yanked| YankMark { date: yanked.when.map(Date::from) }),
                published: listed.published.map(Date::from),
                platforms: platforms(&listed.platforms),
                protocols: listed.protocols.join(", "),
            }
        };
        let with_docs = |version: &&Version| self.made.has_docs(version);
        let docs = self.newest().filter(with_docs).or_else(|| {
            let mut others = self.versions.iter().rev().filter(|(_, listed)| listed.yanked.is_none());
            others.find(|(version, _)| with_docs(version)).map(|(version, _)| version)
        });
        let pages = self.made.0.iter().map(|(version, made)| (version.to_string(), made.to_json()));
        let page = Page {
            frame: Frame::of_provider(Some(site), &key, provider, &[]),
            name: provider.to_string(),
            warnings: self.warnings.clone(),
            snippet: self.newest().map(|version| snippet(site, provider, version)),
            docs: docs.map(|version| DocsLink {
                link: key.link_to(&super::docs::home(provider, version)),
                version: version.to_string(),
            }),
            feed: key.link_to(&PageKey::Feed { provider: provider.clone() }),
            rows: self.versions.iter().rev().map(row).collect(),
            key: self.public_key.as_deref().and_then(ShownKey::read),
            data: data::embedded(&json!({ PAGES: pages.collect::<serde_json::Map<_, _>>() })),
        };
        rendered(&key, &page)
    }
}

fn newest(versions: &BTreeMap<Version, ListedRelease>) -> Option<&Version> {
    let listed = || versions.iter().filter(|(_, listed)| listed.yanked.is_none()).map(|(version, _)| version);
    listed().rfind(|version| !version.is_prerelease()).or_else(|| listed().next_back())
}

/// Platforms by operating system: `linux amd64 arm64, windows amd64`.
pub(super) fn platforms(platforms: &BTreeSet<Platform>) -> String {
    let mut systems: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for platform in platforms {
        systems.entry(platform.os()).or_default().push(platform.arch());
    }
    let texts = systems.iter().map(|(os, architectures)| format!("{os} {}", architectures.join(" ")));
    texts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::feed::feed;

    fn site() -> Site {
        Site::new(Some("Acme & sons"), &"https://registry.example.com:8443/tf/".parse().unwrap())
    }

    fn facts(versions: usize) -> ProviderFacts {
        let platforms: BTreeSet<Platform> =
            ["darwin_amd64", "darwin_arm64", "linux_386", "linux_amd64", "linux_arm", "linux_arm64"]
                .iter()
                .map(|platform| platform.parse().unwrap())
                .collect();
        let start: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let listed = |minor: usize| {
            let published = start + jiff::SignedDuration::from_hours(24 * i64::try_from(minor).unwrap());
            let listed = ListedRelease {
                published: Some(published),
                protocols: vec!["5.0".to_owned(), "6.0".to_owned()],
                platforms: platforms.clone(),
                yanked: None,
            };
            (format!("1.{minor}.0").parse().unwrap(), listed)
        };
        let versions: BTreeMap<Version, ListedRelease> = (0..versions).map(listed).collect();
        let provider =
            Provider { namespace: "acme".parse().unwrap(), provider_type: "sample".parse().unwrap() };
        let made = versions.keys().fold(MadePages::default(), |made, version| made.with(version, true));
        ProviderFacts {
            provider,
            versions,
            warnings: vec!["<b>moved</b>".to_owned()],
            public_key: None,
            made,
        }
    }

    fn page(facts: &ProviderFacts) -> String {
        String::from_utf8(facts.page(&site()).unwrap()).unwrap()
    }

    #[test]
    fn a_page_tells_how_to_use_the_newest_stable_version() {
        let mut facts = facts(3);
        let rc: Version = "2.0.0-rc.1".parse().unwrap();
        let mut listed = facts.versions.last_key_value().unwrap().1.clone();
        facts.versions.insert(rc.clone(), listed.clone());
        listed.yanked = Some(Yanked { when: Some("2026-03-01T00:00:00Z".parse().unwrap()) });
        facts.versions.insert("1.2.0".parse().unwrap(), listed);
        let text = page(&facts);
        let shown = |name: &str, value: &str| {
            format!(
                "<span class=\"tf-hcl-name\">{name}</span> = <span class=\"tf-hcl-text\">&#34;{value}&#34;</span>"
            )
        };
        let source = shown("source", "registry.example.com:8443/acme/sample").replace(" = ", "  = ");
        assert!(text.contains(&source), "{text}");
        assert!(text.contains(&shown("version", "1.1.0")), "{text}");
        assert!(text.contains("darwin amd64 arm64, linux 386 amd64 arm arm64"), "{text}");
        assert!(text.contains("&#60;b&#62;moved") && !text.contains("<b>"), "{text}");
        assert_eq!(text.matches(">yanked <time").count(), 1, "{text}");
        assert_eq!(text.matches(">pre-release<").count(), 1, "{text}");
        // The pre-release has no page of its own.
        assert!(
            !text.contains("2.0.0-rc.1/index.html") && text.contains("href=\"1.1.0/index.html\""),
            "{text}"
        );
        assert!(text.contains("href=\"1.1.0/docs/index.html\">Documentation of 1.1.0"), "{text}");
        assert_eq!(MadePages::read(&facts.provider, text.as_bytes()).unwrap(), facts.made);
        let entry = facts.entry();
        assert_eq!((entry.newest.unwrap().to_string().as_str(), entry.versions), ("1.1.0", 3));
        let only_rc: BTreeMap<_, _> =
            facts.versions.clone().into_iter().filter(|(version, _)| *version == rc).collect();
        assert_eq!(newest(&only_rc), Some(&rc));
        assert!(
            page(&ProviderFacts { versions: BTreeMap::new(), ..facts })
                .contains("No version of this provider")
        );
    }

    #[test]
    fn five_hundred_versions_are_a_page_below_300_kib() {
        let facts = facts(500);
        let len = page(&facts).len();
        assert!(len < 300 * 1024, "{len}");
        assert_eq!(page(&facts), page(&facts.clone()));
    }

    #[test]
    fn a_feed_has_the_newest_releases_and_yanks() {
        let mut facts = facts(60);
        facts.versions.get_mut(&"1.3.0".parse().unwrap()).unwrap().yanked =
            Some(Yanked { when: Some("2026-12-01T00:00:00Z".parse().unwrap()) });
        facts.versions.get_mut(&"1.58.0".parse().unwrap()).unwrap().published = None;
        let text = String::from_utf8(feed(&site(), &facts).unwrap()).unwrap();
        let mut reader = quick_xml::Reader::from_str(&text);
        let mut names = Vec::new();
        loop {
            match reader.read_event().unwrap() {
                quick_xml::events::Event::Eof => break,
                quick_xml::events::Event::Start(start) => {
                    names.push(String::from_utf8(start.name().as_ref().to_vec()).unwrap());
                }
                _ => {}
            }
        }
        assert_eq!(names.iter().filter(|name| *name == "entry").count(), 50);
        assert!(text.contains("<updated>2026-12-01T00:00:00Z</updated>"), "{text}");
        assert!(text.contains("Acme &amp; sons") && text.contains("acme/sample 1.3.0 was yanked"), "{text}");
        assert!(
            text.contains(
                "href=\"https://registry.example.com:8443/tf/providers/acme/sample/1.59.0/index.html\""
            ),
            "{text}"
        );
        assert!(!text.contains("1.58.0"), "{text}");
        assert!(crate::pages::data::is_ours(text.as_bytes()));
    }
}
