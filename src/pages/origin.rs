//! Who built a version, as the record of its publish says.

use serde_json::Value;
use url::Url;

/// What a record says about the build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(Value);

/// The members that a page shows: name, place in the statement, and whether it may be a link.
const FACTS: &[(&str, &str)] = &[
    ("Repository", "/predicate/buildDefinition/externalParameters/repository"),
    ("Tag", "/predicate/buildDefinition/externalParameters/tag"),
    ("Commit", "/predicate/buildDefinition/externalParameters/commit"),
    ("Build", "/predicate/buildDefinition/internalParameters/buildNumber"),
    ("Build page", "/predicate/runDetails/metadata/invocationId"),
    ("Builder", "/predicate/runDetails/builder/id"),
    ("Started", "/predicate/runDetails/metadata/startedOn"),
    ("tfreg", "/predicate/runDetails/builder/version/tfreg"),
];

impl Origin {
    /// Reads a record; `None` if it is not JSON. A page shows what it says; whether that is signed is for `verify`.
    #[must_use]
    pub fn read(record: &[u8]) -> Option<Self> {
        serde_json::from_slice(record).ok().map(Self)
    }

    /// What it says, in words, with a link where the text is an address.
    pub(super) fn facts(&self) -> Vec<(&'static str, String, Option<String>)> {
        let fact = |(name, place): &(&'static str, &str)| {
            let text = self.0.pointer(place)?.as_str()?.to_owned();
            let url = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "https" | "http"));
            Some((*name, text, url.map(String::from)))
        };
        let mut facts: Vec<_> = FACTS.iter().filter_map(fact).collect();
        let subjects = self.0.get("subject").and_then(Value::as_array).into_iter().flatten();
        let names: Vec<&str> =
            subjects.filter_map(|subject| subject.get("name").and_then(Value::as_str)).collect();
        if !names.is_empty() {
            facts.push(("Files of this publish", names.join(", "), None));
        }
        facts
    }
}
