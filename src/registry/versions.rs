//! The index of a provider's versions: `GET :namespace/:type/versions` of the provider registry protocol.

mod reading;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use jiff::Timestamp;
use serde::de::DeserializeSeed as _;
use serde_json::Value;

use super::json;
use super::layout::Key;
use super::marks::{self, Mark};
use super::raw::RawObject;
use crate::error::Refusal;
use crate::provider::{Platform, Version};
use reading::Reading;

const VERSIONS: &str = "versions";
const WARNINGS: &str = "warnings";
/// Not a part of the protocol; clients pass it over.
const PUBLISHED: &str = "published";
/// How deep an entry is in the document.
const ENTRY_DEPTH: usize = 2;

/// The index, as read or merged; unknown members, and entries that do not change, are kept byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionsDocument {
    key: Key,
    /// The whole document, without `versions`, which are stored separately.
    object: RawObject,
    entries: Vec<VersionEntry>,
    /// Whether it was read without spaces between its entries; it is written the same way, so that it stays small
    /// enough to be read.
    dense: bool,
    /// Whether the entries are in the order of their versions.
    sorted: bool,
}

/// An entry, which is parsed only when it is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct VersionEntry {
    version: Version,
    /// A JSON object; a part of the bytes that were read.
    text: Bytes,
}

/// The entry of one version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListedVersion {
    /// Its protocols, as written.
    pub protocols: Vec<String>,
    /// Its platforms.
    pub platforms: BTreeSet<Platform>,
    /// When it was published first; `None` if the entry does not say so, or not as a time.
    pub published: Option<Timestamp>,
}

impl VersionsDocument {
    /// An index without versions, to be written at `key`. `versions` is its first member, whatever else is added.
    #[must_use]
    pub fn empty(key: &Key) -> Self {
        let mut object = RawObject::new(0);
        object.set_text(VERSIONS, "[]");
        Self { key: key.clone(), object, entries: Vec::new(), dense: false, sorted: true }
    }

    /// The key under which it is stored.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Reads the index at `key`, strictly. Uses memory of a few times its length at most.
    ///
    /// # Errors
    /// The document is not an index, a version in it is not canonical (which makes older clients refuse the whole
    /// provider), or one is listed twice.
    pub fn parse(key: &Key, bytes: &[u8]) -> Result<Self, Refusal> {
        let bytes = Bytes::copy_from_slice(bytes);
        let text = json::text(key, &bytes)?;
        let reading = Reading { bytes: &bytes, values: &Cell::new(0) };
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let read = reading.deserialize(&mut deserializer);
        let read = read.and_then(|read| deserializer.end().map(|()| read));
        let (object, entries) = read.map_err(|error| json::not_strict(key, bytes.len(), &error))?;
        let entries = entries.ok_or_else(|| json::refuse(key, format!("no {VERSIONS:?}")))?;
        let sorted = entries.is_sorted_by(|a, b| a.version < b.version);
        if !sorted && let Some(twice) = twice(&entries) {
            return Err(json::refuse(key, format!("version {twice} is listed twice")));
        }
        // An index with indent has six bytes more between two entries.
        let between = bytes.len() - entries.iter().map(|entry| entry.text.len()).sum::<usize>();
        let dense = between < 3 * entries.len();
        Ok(Self { key: key.clone(), object, entries, dense, sorted })
    }

    /// Returns the entry of `version`; `None` if it is not listed.
    ///
    /// # Errors
    /// Its entry cannot be understood.
    pub fn listed(&self, version: &Version) -> Result<Option<ListedVersion>, Refusal> {
        self.position(version).ok().map(|at| self.read(&self.entries[at])).transpose()
    }

    /// Where the entry of `version` is, or where it would be inserted.
    fn position(&self, version: &Version) -> Result<usize, usize> {
        if self.sorted {
            return self.entries.binary_search_by(|entry| entry.version.cmp(version));
        }
        self.entries.iter().position(|entry| entry.version == *version).ok_or(self.entries.len())
    }

    /// The entries of all versions in the document's order, each as far as it can be understood.
    pub fn entries(&self) -> impl Iterator<Item = (&Version, Result<ListedVersion, Refusal>)> {
        self.entries.iter().map(|entry| (&entry.version, self.read(entry)))
    }

    fn read(&self, entry: &VersionEntry) -> Result<ListedVersion, Refusal> {
        let (key, version) = (&self.key, &entry.version);
        let raw = entry.read();
        let object = raw.values(key, &["protocols", "platforms"])?;
        let protocols = json::strings(key, &object, "protocols")?;
        let platforms = json::list(key, &object, "platforms")?.iter();
        let platforms = platforms.map(|value| platform(key, version, value)).collect::<Result<_, _>>()?;
        let published = published_of(&raw);
        Ok(ListedVersion { protocols, platforms, published })
    }

    /// Adds `platforms` of `version`, and sets the version's protocols: versions in semver order, newest last, platforms by
    /// operating system and architecture. A version that was not listed gets the date of this publish; the entry of one
    /// that was stays with the date that it has, or without one. What it takes does not grow with the other versions: many
    /// are listed one after the other.
    ///
    /// # Errors
    /// The version's present entry cannot be understood.
    pub fn list(
        &mut self,
        version: &Version,
        protocols: &[String],
        platforms: &BTreeSet<Platform>,
        date: Timestamp,
    ) -> Result<(), Refusal> {
        let mut all = platforms.clone();
        if let Some(listed) = self.listed(version)? {
            all.extend(listed.platforms);
            self.set(version, None, protocols, &all);
            return Ok(());
        }
        let mut entry = RawObject::new(ENTRY_DEPTH);
        entry.set("version", &version.to_string().into());
        entry.set(PUBLISHED, &date.to_string().into());
        self.set(version, Some(&entry), protocols, &all);
        Ok(())
    }

    /// Returns the index with `version` listed for exactly these platforms. Other members of its entry are kept; if it
    /// is not listed now, those of `earlier`, a former entry of it, are used.
    #[must_use]
    pub fn with(
        &self,
        version: &Version,
        earlier: Option<&RawObject>,
        protocols: &[String],
        platforms: &BTreeSet<Platform>,
    ) -> Self {
        let mut merged = self.clone();
        merged.set(version, earlier, protocols, platforms);
        merged
    }

    fn set(
        &mut self,
        version: &Version,
        earlier: Option<&RawObject>,
        protocols: &[String],
        platforms: &BTreeSet<Platform>,
    ) {
        if !self.sorted {
            self.entries.sort_by(|a, b| a.version.cmp(&b.version));
            self.sorted = true;
        }
        let at = self.position(version);
        let mut object = match (at, earlier) {
            (Ok(at), _) => self.entries[at].read(),
            (Err(_), Some(earlier)) => earlier.at_depth(ENTRY_DEPTH),
            (Err(_), None) => RawObject::new(ENTRY_DEPTH),
        };
        let before = object.clone();
        let kept = object.objects("platforms");
        object.set("version", &version.to_string().into());
        object.set("protocols", &protocols.into());
        let list = platforms.iter().map(|platform| {
            let is =
                |object: &RawObject, name: &str, text: &str| object.value(name).is_some_and(|v| v == text);
            let same =
                |object: &&RawObject| is(object, "os", platform.os()) && is(object, "arch", platform.arch());
            let mut object = kept.iter().find(same).cloned().unwrap_or(RawObject::new(ENTRY_DEPTH + 2));
            object.set("os", &platform.os().into());
            object.set("arch", &platform.arch().into());
            object
        });
        object.set_objects("platforms", &list.collect::<Vec<_>>());
        match at {
            Ok(_) if object == before => {}
            Ok(at) => self.entries[at].write(&object),
            Err(at) => {
                let mut entry = VersionEntry { version: version.clone(), text: Bytes::new() };
                entry.write(&object);
                self.entries.insert(at, entry);
            }
        }
    }

    /// Returns the index without `version`.
    #[must_use]
    pub fn without(&self, version: &Version) -> Self {
        let mut changed = self.clone();
        changed.entries.retain(|entry| entry.version != *version);
        changed
    }

    /// A version's whole entry.
    #[must_use]
    pub fn entry(&self, version: &Version) -> Option<RawObject> {
        self.position(version).ok().map(|at| self.entries[at].read())
    }

    /// Returns the marks of the versions that are or were yanked.
    ///
    /// # Errors
    /// The member is not a map of marks.
    pub fn marks(&self) -> Result<BTreeMap<Version, Mark>, Refusal> {
        marks::read(&self.key, &self.object)
    }

    /// Returns the index without marks.
    #[must_use]
    pub fn without_marks(&self) -> Self {
        let mut changed = self.clone();
        marks::remove(&mut changed.object);
        changed
    }

    /// Returns the index with the mark of a version, which replaces an earlier one.
    #[must_use]
    pub fn with_mark(&self, version: &Version, mark: &Mark) -> Self {
        let mut changed = self.clone();
        marks::set(&mut changed.object, [(version, mark)]);
        changed
    }

    /// The warnings that clients show at init.
    ///
    /// # Errors
    /// The member is not a list of strings.
    pub fn warnings(&self) -> Result<Vec<String>, Refusal> {
        let key = &self.key;
        let object = self.object.values(key, &[WARNINGS])?;
        match object.get(WARNINGS) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(_) => json::strings(key, &object, WARNINGS),
        }
    }

    /// Returns the index with other warnings; without the member if there are none.
    #[must_use]
    pub fn with_warnings(&self, warnings: &[String]) -> Self {
        let mut changed = self.clone();
        if warnings.is_empty() {
            changed.object.remove(WARNINGS);
        } else {
            changed.object.set(WARNINGS, &warnings.into());
        }
        changed
    }

    /// The document's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // A few bytes more for each entry than the separators need.
        let len: usize = self.entries.iter().map(|entry| entry.text.len() + 8).sum();
        let mut text = String::with_capacity(len + 1024);
        self.object.write_with(&mut text, |name, value, text| {
            if name != VERSIONS {
                return text.push_str(value);
            }
            let indent = if self.dense { "" } else { "\n    " };
            text.push('[');
            for (i, entry) in self.entries.iter().enumerate() {
                text.push_str(if i > 0 { "," } else { "" });
                text.push_str(indent);
                text.push_str(entry.text());
            }
            text.push_str(if self.entries.is_empty() { "]" } else { "\n  ]" });
        });
        text.push('\n');
        text.into_bytes()
    }

    /// The listed versions in the document's order.
    pub fn versions(&self) -> impl Iterator<Item = &Version> {
        self.entries.iter().map(|entry| &entry.version)
    }
}

impl VersionEntry {
    fn text(&self) -> &str {
        // The bytes are a part of a text, or were made from one.
        std::str::from_utf8(&self.text).unwrap_or_default()
    }

    fn read(&self) -> RawObject {
        // The entry was parsed once, with the index.
        RawObject::read(self.text(), ENTRY_DEPTH).unwrap_or_else(|_| RawObject::new(ENTRY_DEPTH))
    }

    fn write(&mut self, object: &RawObject) {
        let mut text = String::new();
        object.write(&mut text);
        self.text = text.into();
    }
}

impl ListedVersion {
    /// What a former entry of an index says, as far as it can be understood.
    #[must_use]
    pub fn former(entry: &RawObject) -> Self {
        let protocols = entry.value("protocols");
        let protocols = protocols.as_ref().and_then(Value::as_array).into_iter().flatten();
        let protocols = protocols.filter_map(Value::as_str).map(str::to_owned).collect();
        Self { protocols, platforms: platforms_of(entry), published: published_of(entry) }
    }
}

fn published_of(entry: &RawObject) -> Option<Timestamp> {
    entry.value(PUBLISHED)?.as_str()?.parse().ok()
}

/// The valid platforms of a former entry of an index.
pub fn platforms_of(entry: &RawObject) -> BTreeSet<Platform> {
    let text = |object: &RawObject, name: &str| Some(object.value(name)?.as_str()?.to_owned());
    let platforms = entry.objects("platforms").into_iter();
    platforms
        .filter_map(|object| Platform::new(&text(&object, "os")?, &text(&object, "arch")?).ok())
        .collect()
}

/// Finds a version that is listed twice.
fn twice(entries: &[VersionEntry]) -> Option<&Version> {
    let mut versions: Vec<&Version> = entries.iter().map(|entry| &entry.version).collect();
    versions.sort_unstable();
    versions.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

fn platform(key: &Key, version: &Version, value: &Value) -> Result<Platform, Refusal> {
    let Value::Object(object) = value else {
        return Err(json::refuse(key, format!("a platform of {version} is {}", json::kind(value))));
    };
    Platform::new(json::string(key, object, "os")?, json::string(key, object, "arch")?)
        .map_err(|error| json::refuse(key, format!("version {version}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::Provider;
    use proptest::prelude::*;

    fn key() -> Key {
        Key::Versions {
            provider: Provider { namespace: "acme".parse().unwrap(), provider_type: "x".parse().unwrap() },
        }
    }

    fn platforms(list: &[&str]) -> BTreeSet<Platform> {
        list.iter().map(|p| p.parse().unwrap()).collect()
    }

    fn add(document: &VersionsDocument, version: &str, list: &[&str]) -> VersionsDocument {
        add_at(document, version, list, "2026-11-26T12:00:00Z")
    }

    fn add_at(document: &VersionsDocument, version: &str, list: &[&str], date: &str) -> VersionsDocument {
        let (version, six, platforms) = (version.parse().unwrap(), ["6.0".to_owned()], platforms(list));
        let mut document = document.clone();
        document.list(&version, &six, &platforms, date.parse().unwrap()).unwrap();
        document
    }

    #[test]
    fn a_first_version_makes_the_protocols_document() {
        let document = add(&VersionsDocument::empty(&key()), "1.0.0", &["linux_amd64"]);
        let expected = r#"{
  "versions": [
    {
      "version": "1.0.0",
      "published": "2026-11-26T12:00:00Z",
      "protocols": [
        "6.0"
      ],
      "platforms": [
        {
          "os": "linux",
          "arch": "amd64"
        }
      ]
    }
  ]
}
"#;
        assert_eq!(String::from_utf8(document.to_bytes()).unwrap(), expected);
    }

    #[test]
    fn the_date_is_that_of_the_first_publish() {
        let date = |document: &VersionsDocument, version: &str| {
            document
                .listed(&version.parse().unwrap())
                .unwrap()
                .unwrap()
                .published
                .map(|date| date.to_string())
        };
        let first = add(&VersionsDocument::empty(&key()), "1.0.0", &["linux_amd64"]);
        let later = add_at(&first, "1.0.0", &["linux_arm64"], "2027-01-01T00:00:00Z");
        let later = add_at(&later, "1.1.0", &["linux_arm64"], "2027-01-01T00:00:00Z");
        assert_eq!(date(&later, "1.0.0").as_deref(), Some("2026-11-26T12:00:00Z"));
        assert_eq!(date(&later, "1.1.0").as_deref(), Some("2027-01-01T00:00:00Z"));
        // An entry from before, or of another tool, says nothing, or what is no date; it is kept so.
        for other in ["", r#","published":7"#, r#","published":"yesterday""#, r#","published":1e999"#] {
            let text = format!(
                r#"{{"versions":[{{"version":"1.0.0","protocols":["6.0"],"platforms":[]{other}}}]}}"#
            );
            let document = VersionsDocument::parse(&key(), text.as_bytes()).unwrap();
            assert_eq!(date(&document, "1.0.0"), None, "{other}");
            let added = add(&document, "1.0.0", &["linux_amd64"]);
            assert_eq!(date(&added, "1.0.0"), None, "{other}");
            let text = String::from_utf8(added.to_bytes()).unwrap();
            let kept = other.trim_start_matches(',').replacen(':', ": ", 1);
            assert!(
                text.contains(&kept)
                    && text.matches("published").count() == other.matches("published").count(),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_not_understood_is_kept() {
        let text = r#"{"id":"acme/x","warnings":["old"],"big":123456789012345678901234567890.10,
            "versions":[{"version":"2.0.0","protocols":["5.0"],"platforms":[{"os":"linux","arch":"amd64","x":1}],"y":null}],"after":true}"#;
        let document = VersionsDocument::parse(&key(), text.as_bytes()).unwrap();
        let merged = String::from_utf8(
            add(&add(&document, "2.0.0", &["darwin_arm64"]), "1.9.0", &["linux_amd64"]).to_bytes(),
        )
        .unwrap();
        for kept in [
            "\"id\": \"acme/x\"",
            "\"old\"",
            "123456789012345678901234567890.10",
            "\"x\": 1",
            "\"y\": null",
            "\"after\": true",
        ] {
            assert!(merged.contains(kept), "{kept} in {merged}");
        }
        assert!(
            merged.find("1.9.0") < merged.find("2.0.0")
                && merged.find("\"darwin\"") < merged.rfind("\"linux\"")
        );
        assert!(
            merged.find("\"id\"") < merged.find("\"versions\"")
                && merged.find("\"versions\"") < merged.find("\"after\"")
        );
    }

    #[test]
    fn what_does_not_change_is_kept_byte_for_byte() {
        let odd = r#"{"version" :"1.0.0", "protocols":["5.0"],"platforms":[ {"os":"linux","arch":"amd64"} ],
  "x":{"$serde_json::private::Number": "7"}, "y":1e999}"#;
        let text = format!(
            r#"{{"n":{{"$serde_json::private::Number": "7"}},"versions":[{odd}],"r":{{"$serde_json::private::RawValue":"7"}}}}"#
        );
        let document = VersionsDocument::parse(&key(), text.as_bytes()).unwrap();
        let merged = String::from_utf8(add(&document, "2.0.0", &["linux_amd64"]).to_bytes()).unwrap();
        for kept in [
            odd,
            r#""n": {"$serde_json::private::Number": "7"}"#,
            r#""r": {"$serde_json::private::RawValue":"7"}"#,
        ] {
            assert!(merged.contains(kept), "{kept} in {merged}");
        }
        // An entry that changes keeps its unknown members, and one that has the values already is not changed.
        let changed = String::from_utf8(add(&document, "1.0.0", &["linux_arm64"]).to_bytes()).unwrap();
        assert!(changed.contains(r#""x": {"$serde_json::private::Number": "7"}"#), "{changed}");
        assert!(changed.contains("\"y\": 1e999") && changed.contains("arm64"), "{changed}");
        let five = ["5.0".to_owned()];
        assert_eq!(
            document.with(&"1.0.0".parse().unwrap(), None, &five, &["linux_amd64".parse().unwrap()].into()),
            document
        );
    }

    #[test]
    fn versions_are_ordered_as_semver_not_as_text() {
        let mut document = VersionsDocument::empty(&key());
        for version in ["1.10.0", "1.2.0", "1.10.0-rc.2", "1.10.0-rc.10"] {
            document = add(&document, version, &["linux_amd64"]);
        }
        let order: Vec<String> = document.versions().map(ToString::to_string).collect();
        assert_eq!(order, ["1.2.0", "1.10.0-rc.2", "1.10.0-rc.10", "1.10.0"]);
    }

    #[test]
    fn what_cannot_be_understood_is_never_taken_for_empty() {
        for text in [
            "",
            "null",
            "[]",
            "{}",
            r#"{"versions":null}"#,
            r#"{"versions":{}}"#,
            r#"{"versions":["1.0.0"]}"#,
            r#"{"versions":[{}]}"#,
            r#"{"versions":[{"version":"v1.0.0"}]}"#,
            r#"{"versions":[{"version":1}]}"#,
            r#"{"versions":[{"version":"1.0.0"},{"version":"1.0.0"}]}"#,
            r#"{"versions":[]}trailing"#,
            r#"{"versions":[{"version":"1.0.0"}],"versions":[]}"#,
            r#"{"versions":[],"x":{"a":{"b":1.5,"b":-2}}}"#,
        ] {
            assert!(VersionsDocument::parse(&key(), text.as_bytes()).is_err(), "{text}");
        }
        // An entry that another tool left incomplete does no harm until its own version is published.
        let document = VersionsDocument::parse(&key(), br#"{"versions":[{"version":"1.0.0"}]}"#).unwrap();
        assert_eq!(document.listed(&"2.0.0".parse().unwrap()), Ok(None));
        assert!(document.listed(&"1.0.0".parse().unwrap()).is_err());
    }

    proptest! {
        #[test]
        fn merging_commutes_and_repeats_without_effect(
            steps in prop::collection::vec((0u8..3, prop::collection::vec(0usize..4, 1..4)), 1..6),
            shuffle in any::<prop::sample::Index>(),
        ) {
            let names = ["linux_amd64", "linux_arm64", "darwin_arm64", "windows_amd64"];
            let apply = |steps: &[(u8, Vec<usize>)]| steps.iter().fold(VersionsDocument::empty(&key()), |document, (version, list)| {
                let list: Vec<&str> = list.iter().map(|i| names[*i]).collect();
                add(&document, &format!("1.{version}.0"), &list)
            });
            let once = apply(&steps);
            let mut other = steps.clone();
            other.rotate_left(shuffle.index(steps.len()));
            other.reverse();
            prop_assert_eq!(once.to_bytes(), apply(&other).to_bytes());
            let mut twice = steps.clone();
            twice.extend(steps);
            prop_assert_eq!(once.to_bytes(), apply(&twice).to_bytes());
            prop_assert_eq!(VersionsDocument::parse(&key(), &once.to_bytes()).unwrap().to_bytes(), once.to_bytes());
        }
    }
}
