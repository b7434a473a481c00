//! Absolute links in a preview: those to the registry's own objects lead to the preview instead.

use std::path::Path;

use serde_json::Value;

use crate::registry::{Key, Links, Settings, json};
use crate::store::MAX_DOCUMENT;

/// The settings of the registry in `root`; none if they are not there, or not understood: then files are served as stored.
pub(super) fn settings(root: &Path) -> Option<Settings> {
    let bytes = document(&root.join(Key::Settings.to_string()))?;
    Settings::parse(&bytes)
        .inspect_err(|refusal| tracing::debug!("{}: {}", refusal.problem, refusal.found))
        .ok()
}

/// A file's bytes, if it is a regular one of the size of a document.
pub(super) fn document(path: &Path) -> Option<Vec<u8>> {
    // A pipe would block.
    let found = path.metadata().ok()?;
    (found.is_file() && found.len() <= MAX_DOCUMENT).then(|| std::fs::read(path).ok()).flatten()
}

/// Whether the file at `path` (of an address, without its first slash) has links to objects of the registry.
pub(super) fn has_links(path: &str) -> bool {
    path.starts_with("mirror/") && Path::new(path).extension().is_some_and(|end| end == "json")
        || matches!(path.parse(), Ok(Key::Discovery | Key::Download { .. }))
}

/// Which links lead to the preview instead, and where that is.
pub(super) struct Mapping<'a> {
    /// The registry's own address, if its settings say it.
    pub(super) from: Option<&'a str>,
    /// The preview's address, ending in a slash.
    pub(super) to: &'a str,
    /// Whether an object is in the tree: then an absolute link to it leads to the preview, whatever its host is. So the tree
    /// of a dry run, which has no settings, can be looked at too.
    pub(super) is_there: &'a dyn Fn(&Key) -> bool,
}

impl Mapping<'_> {
    /// The document with its links mapped; `None` if there are none to map, or if it is no JSON object.
    pub(super) fn mapped(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut object = json::parse(&Key::Discovery, bytes).ok()?;
        let mut count = 0;
        object.values_mut().for_each(|value| self.map(value, &mut count));
        (count > 0).then(|| json::to_bytes(&object))
    }

    fn map(&self, value: &mut Value, count: &mut usize) {
        match value {
            Value::String(text) => {
                if let Some(link) = self.link(text) {
                    *text = link;
                    *count += 1;
                }
            }
            Value::Array(list) => list.iter_mut().for_each(|value| self.map(value, count)),
            Value::Object(object) => object.values_mut().for_each(|value| self.map(value, count)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn link(&self, text: &str) -> Option<String> {
        if let Some(rest) = self.from.and_then(|from| text.strip_prefix(from)) {
            return Some(format!("{}{rest}", self.to));
        }
        let is_elsewhere = |base: &&str| base.contains("://") && *base != self.to;
        Links::base_of(text).filter(is_elsewhere)?;
        let key = Links::target(text).filter(|key| (self.is_there)(key))?;
        Some(format!("{}{key}", self.to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_the_preview() {
        let to = "http://127.0.0.1:1/";
        let store = "store/acme/x/1.0.0/0123456789abcdef/terraform-provider-x_1.0.0";
        let is_there = |key: &Key| matches!(key, Key::Sums { .. });
        let text = format!(
            r#"{{"a": "https://h/p/x", "b": ["https://h/p/", {{"c": "https://h/px", "d": "see https://h/p/"}}], "e": 1,
                "f": "https://i/{store}_SHA256SUMS", "g": "https://i/{store}_linux_amd64.zip", "h": "/{store}_SHA256SUMS"}}"#
        );
        let mapping = Mapping { from: Some("https://h/p/"), to, is_there: &is_there };
        let mapped = mapping.mapped(text.as_bytes()).unwrap();
        let value: Value = serde_json::from_slice(&mapped).unwrap();
        let expected = serde_json::json!({
            "a": "http://127.0.0.1:1/x",
            "b": ["http://127.0.0.1:1/", {"c": "https://h/px", "d": "see https://h/p/"}],
            "e": 1,
            "f": format!("{to}{store}_SHA256SUMS"),
            "g": format!("https://i/{store}_linux_amd64.zip"),
            "h": format!("/{store}_SHA256SUMS"),
        });
        assert_eq!(value, expected);
        assert_eq!(mapping.mapped(&mapped), None);
        assert_eq!(mapping.mapped(b"https://h/p/"), None);
    }

    #[test]
    fn documents_with_links_are_told_by_their_names() {
        for path in [
            ".well-known/terraform.json",
            "registry/acme/x/1.0.0/download/linux/amd64",
            "mirror/registry.example.com/acme/x/1.0.0.json",
        ] {
            assert!(has_links(path), "{path}");
        }
        for path in ["registry/settings.json", "registry/acme/x/versions", "mirror/x", "store/x.json"] {
            assert!(!has_links(path), "{path}");
        }
    }
}
