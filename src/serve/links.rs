//! Absolute links in a preview: what begins with the registry's own address leads to the preview instead.

use std::path::Path;

use serde_json::Value;

use crate::registry::{Key, Settings, json};
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

/// The document with every text that begins with `from` beginning with `to` instead; `None` if there is no such text, or if
/// it is no JSON object.
pub(super) fn mapped(bytes: &[u8], from: &str, to: &str) -> Option<Vec<u8>> {
    let mut object = json::parse(&Key::Discovery, bytes).ok()?;
    let mut count = 0;
    for value in object.values_mut() {
        map(value, from, to, &mut count);
    }
    (count > 0).then(|| json::to_bytes(&object))
}

fn map(value: &mut Value, from: &str, to: &str, count: &mut usize) {
    match value {
        Value::String(text) => {
            if let Some(rest) = text.strip_prefix(from) {
                *text = format!("{to}{rest}");
                *count += 1;
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|value| map(value, from, to, count)),
        Value::Object(object) => object.values_mut().for_each(|value| map(value, from, to, count)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_the_preview() {
        let (from, to) = ("https://h/p/", "http://127.0.0.1:1/");
        let text = r#"{"a": "https://h/p/x", "b": ["https://h/p/", {"c": "https://h/px", "d": "see https://h/p/"}], "e": 1}"#;
        let mapped_text = mapped(text.as_bytes(), from, to).unwrap();
        let value: Value = serde_json::from_slice(&mapped_text).unwrap();
        let expected = serde_json::json!({
            "a": "http://127.0.0.1:1/x",
            "b": ["http://127.0.0.1:1/", {"c": "https://h/px", "d": "see https://h/p/"}],
            "e": 1,
        });
        assert_eq!(value, expected);
        assert_eq!(mapped(&mapped_text, from, to), None);
        assert_eq!(mapped(b"https://h/p/", from, to), None);
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
