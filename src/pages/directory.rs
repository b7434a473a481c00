//! The page of all providers. It carries what it says as data, and each run merges its own provider into it, so a publish
//! reads no other provider's documents.

use std::collections::BTreeMap;

use askama::Template;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::data;
use super::frame::{Date, Frame, Site, rendered};
use crate::error::Refusal;
use crate::provider::{Provider, Version};
use crate::registry::pages::PageKey;

/// The providers of a registry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Directory(BTreeMap<Provider, Entry>);

/// What the page says about a provider: a function of its index.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entry {
    /// The newest version, stable if there is a stable one.
    pub newest: Option<Version>,
    /// When a version was published last, if that is known.
    pub published: Option<Timestamp>,
    /// The number of versions that can be installed.
    pub versions: usize,
}

#[derive(Template)]
#[template(path = "registry.html")]
struct Page {
    frame: Frame,
    title: String,
    host: String,
    rows: Vec<Row>,
    data: String,
}

struct Row {
    name: String,
    link: String,
    newest: String,
    published: Option<Date>,
    versions: usize,
}

const PROVIDERS: &str = "providers";

impl Directory {
    /// Reads the data of the page.
    ///
    /// # Errors
    /// The object is not the page of all providers that tfreg writes.
    pub fn read(page: &[u8]) -> Result<Self, Refusal> {
        let key = PageKey::Registry;
        let providers = data::object(&key, page, PROVIDERS)?;
        let entry = |(name, value): (&String, &Value)| -> Option<(Provider, Entry)> {
            let (namespace, provider_type) = name.split_once('/')?;
            let provider =
                Provider { namespace: namespace.parse().ok()?, provider_type: provider_type.parse().ok()? };
            let text = |member: &str| value.get(member).and_then(Value::as_str);
            let entry = Entry {
                newest: text("newest").map(str::parse).transpose().ok()?,
                published: text("published").map(str::parse).transpose().ok()?,
                versions: usize::try_from(value.get("versions")?.as_u64()?).ok()?,
            };
            Some((provider, entry))
        };
        let read = |pair: (&String, &Value)| {
            entry(pair).ok_or_else(|| data::unclear(&key, format!("the entry of {:?}", pair.0)))
        };
        Ok(Self(providers.iter().map(read).collect::<Result<_, _>>()?))
    }

    /// The directory with a provider's entry, which replaces an earlier one.
    #[must_use]
    pub fn with(mut self, provider: &Provider, entry: Entry) -> Self {
        self.0.insert(provider.clone(), entry);
        self
    }

    /// The page.
    ///
    /// # Errors
    /// It cannot be made, which is a fault of tfreg.
    pub fn page(&self, site: &Site) -> Result<Vec<u8>, Refusal> {
        let key = PageKey::Registry;
        let row = |(provider, entry): (&Provider, &Entry)| Row {
            name: provider.to_string(),
            link: key.link_to(&PageKey::Provider { provider: provider.clone() }),
            newest: entry.newest.as_ref().map_or("none".to_owned(), ToString::to_string),
            published: entry.published.map(Date::from),
            versions: entry.versions,
        };
        let page = Page {
            frame: Frame::new(Some(site), &key, &[]),
            title: site.title().to_owned(),
            host: site.host().to_owned(),
            rows: self.0.iter().map(row).collect(),
            data: data::embedded(&self.to_json()),
        };
        rendered(&key, &page)
    }

    fn to_json(&self) -> Value {
        let entry = |(provider, entry): (&Provider, &Entry)| {
            let mut object = serde_json::Map::new();
            if let Some(newest) = &entry.newest {
                object.insert("newest".to_owned(), newest.to_string().into());
            }
            if let Some(published) = entry.published {
                object.insert("published".to_owned(), published.to_string().into());
            }
            object.insert("versions".to_owned(), entry.versions.into());
            (provider.to_string(), Value::Object(object))
        };
        json!({ PROVIDERS: self.0.iter().map(entry).collect::<serde_json::Map<_, _>>() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> Site {
        Site::new(Some("Acme <providers>"), &"https://registry.example.com/tf".parse().unwrap())
    }

    fn provider(text: &str) -> Provider {
        let (namespace, provider_type) = text.split_once('/').unwrap();
        Provider { namespace: namespace.parse().unwrap(), provider_type: provider_type.parse().unwrap() }
    }

    fn entry(newest: &str) -> Entry {
        let published = Some("2026-01-02T03:04:05Z".parse().unwrap());
        Entry { newest: Some(newest.parse().unwrap()), published, versions: 3 }
    }

    #[test]
    fn providers_are_merged_in_any_order_to_the_same_bytes() {
        let one = Directory::default().page(&site()).unwrap();
        let add = |page: &[u8], name: &str, newest: &str| {
            let next = Directory::read(page).unwrap().with(&provider(name), entry(newest));
            next.page(&site()).unwrap()
        };
        let ab = add(&add(&one, "acme/a", "1.0.0"), "acme/b", "2.0.0");
        let ba = add(&add(&one, "acme/b", "2.0.0"), "acme/a", "1.0.0");
        assert_eq!(ab, ba);
        assert_eq!(add(&ab, "acme/b", "2.0.0"), ab);
        let text = String::from_utf8(ab).unwrap();
        assert!(text.contains("providers/acme/a/index.html\">acme/a</a>"), "{text}");
        assert!(text.contains("datetime=\"2026-01-02T03:04:05Z\">2026-01-02<"), "{text}");
        assert!(text.contains("Acme &#60;providers&#62;") && !text.contains("Acme <"), "{text}");
    }

    #[test]
    fn data_that_is_not_understood_is_refused() {
        let page = String::from_utf8(Directory::default().page(&site()).unwrap()).unwrap();
        for bad in
            [r#"{"providers":1}"#, r#"{"providers":{"a":{"versions":1}}}"#, r#"{"providers":{"a/b":{}}}"#]
        {
            let page = page.replace(r#"{"providers":{}}"#, bad);
            assert!(Directory::read(page.as_bytes()).is_err(), "{bad}");
        }
    }
}
