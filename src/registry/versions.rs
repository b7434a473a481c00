//! The index of a provider's versions: `GET :namespace/:type/versions` of the provider registry protocol.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::json::{self, Object};
use super::layout::Key;
use crate::error::Refusal;
use crate::provider::{Platform, Version};

const WARNINGS: &str = "warnings";
/// Not of the protocol; clients pass it over.
const YANKED: &str = "yanked";

/// The index, as it was read or merged; members that are not understood are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionsDocument {
    /// The whole document; its `versions` are kept apart.
    object: Object,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    version: Version,
    object: Object,
}

/// What the index says of a version that is, or was, yanked: see [`crate::plan::yank`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Whether it is now.
    pub is_yanked: bool,
    /// When it was yanked, or put back, as its record says.
    pub when: String,
}

/// What the index says of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedVersion {
    /// Its protocols, as written.
    pub protocols: Vec<String>,
    /// Its platforms.
    pub platforms: BTreeSet<Platform>,
}

impl Default for VersionsDocument {
    /// An index without versions. They come first, whatever else is put into it.
    fn default() -> Self {
        let object = Object::from_iter([("versions".to_owned(), Value::Null)]);
        Self { object, entries: Vec::new() }
    }
}

impl VersionsDocument {
    /// Reads an index, strictly; `key` names it in refusals.
    ///
    /// # Errors
    /// It is not an index, a version in it is not canonical (which makes older clients refuse the whole provider), or one
    /// is listed twice.
    pub fn parse(key: &Key, bytes: &[u8]) -> Result<Self, Refusal> {
        let mut object = json::parse(key, bytes)?;
        let mut entries: Vec<Entry> = Vec::new();
        for value in json::list(key, &object, "versions")? {
            let Value::Object(entry) = value else {
                return Err(json::refuse(key, format!("an entry of \"versions\" is {}", json::kind(value))));
            };
            let version: Version =
                json::string(key, entry, "version")?.parse().map_err(|error| json::refuse(key, error))?;
            entries.push(Entry { version, object: entry.clone() });
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = entries.iter().find(|entry| !seen.insert(&entry.version)) {
            return Err(json::refuse(key, format!("version {} is listed twice", twice.version)));
        }
        object.insert("versions".to_owned(), Value::Null);
        Ok(Self { object, entries })
    }

    /// What the index says of `version`; `None` when it does not list it.
    ///
    /// # Errors
    /// Its entry cannot be understood.
    pub fn listed(&self, key: &Key, version: &Version) -> Result<Option<ListedVersion>, Refusal> {
        let Some(entry) = self.entries.iter().find(|entry| entry.version == *version) else {
            return Ok(None);
        };
        let protocols = json::strings(key, &entry.object, "protocols")?;
        let platforms = json::list(key, &entry.object, "platforms")?.iter();
        let platforms = platforms.map(|value| platform(key, version, value)).collect::<Result<_, _>>()?;
        Ok(Some(ListedVersion { protocols, platforms }))
    }

    /// The index with `platforms` of `version` added and the version's protocols set: versions in semver order, newest
    /// last, platforms by operating system and architecture.
    ///
    /// # Errors
    /// The version's present entry cannot be understood.
    pub fn merged(
        &self,
        key: &Key,
        version: &Version,
        protocols: &[String],
        platforms: &BTreeSet<Platform>,
    ) -> Result<Self, Refusal> {
        let mut all = platforms.clone();
        if let Some(listed) = self.listed(key, version)? {
            all.extend(listed.platforms);
        }
        Ok(self.with(version, &Object::new(), protocols, &all))
    }

    /// The index that lists `version` for exactly these platforms. What else its entry holds is kept; where it is not listed
    /// now, that of `earlier`, an entry that it once had.
    #[must_use]
    pub fn with(
        &self,
        version: &Version,
        earlier: &Object,
        protocols: &[String],
        platforms: &BTreeSet<Platform>,
    ) -> Self {
        let mut merged = self.clone();
        let mut kept: Vec<Object> = Vec::new();
        let at = merged.entries.iter().position(|entry| entry.version == *version).unwrap_or_else(|| {
            merged.entries.push(Entry { version: version.clone(), object: earlier.clone() });
            merged.entries.len() - 1
        });
        let entry = &mut merged.entries[at].object;
        if let Some(Value::Array(values)) = entry.get("platforms") {
            kept.extend(values.iter().filter_map(Value::as_object).cloned());
        }
        entry.insert("version".to_owned(), version.to_string().into());
        entry.insert("protocols".to_owned(), protocols.into());
        let list = platforms.iter().map(|platform| {
            let same = |object: &&Object| {
                object.get("os").and_then(Value::as_str) == Some(platform.os())
                    && object.get("arch").and_then(Value::as_str) == Some(platform.arch())
            };
            let mut object = kept.iter().find(same).cloned().unwrap_or_default();
            object.insert("os".to_owned(), platform.os().into());
            object.insert("arch".to_owned(), platform.arch().into());
            Value::Object(object)
        });
        entry.insert("platforms".to_owned(), list.collect());
        merged.entries.sort_by(|a, b| a.version.cmp(&b.version));
        merged
    }

    /// The index that does not list `version`.
    #[must_use]
    pub fn without(&self, version: &Version) -> Self {
        let mut changed = self.clone();
        changed.entries.retain(|entry| entry.version != *version);
        changed
    }

    /// A version's entry, whole.
    #[must_use]
    pub fn entry(&self, version: &Version) -> Option<&Object> {
        self.entries.iter().find(|entry| entry.version == *version).map(|entry| &entry.object)
    }

    /// The marks of the versions that are or were yanked.
    ///
    /// # Errors
    /// The member is something else than that.
    pub fn marks(&self, key: &Key) -> Result<BTreeMap<Version, Mark>, Refusal> {
        let refuse =
            || json::refuse(key, format!("{YANKED:?} has something else than marks of yanked versions"));
        let mark = |(version, mark): (&String, &Value)| {
            let is_yanked = mark.get("yanked").and_then(Value::as_bool);
            let when = mark.get("when").and_then(Value::as_str);
            match (version.parse(), is_yanked, when) {
                (Ok(version), Some(is_yanked), Some(when)) => {
                    Ok((version, Mark { is_yanked, when: when.to_owned() }))
                }
                _ => Err(refuse()),
            }
        };
        match self.object.get(YANKED) {
            None => Ok(BTreeMap::new()),
            Some(Value::Object(marks)) => marks.iter().map(mark).collect(),
            Some(_) => Err(refuse()),
        }
    }

    /// The same without any mark.
    #[must_use]
    pub fn without_marks(&self) -> Self {
        let mut changed = self.clone();
        changed.object.shift_remove(YANKED);
        changed
    }

    /// The same with the mark of one more version, in place of an earlier one.
    #[must_use]
    pub fn with_mark(&self, version: &Version, mark: &Mark) -> Self {
        let mut changed = self.clone();
        let mut marks = self.object.get(YANKED).and_then(Value::as_object).cloned().unwrap_or_default();
        let mut object = Object::new();
        object.insert("yanked".to_owned(), mark.is_yanked.into());
        object.insert("when".to_owned(), mark.when.as_str().into());
        marks.insert(version.to_string(), Value::Object(object));
        changed.object.insert(YANKED.to_owned(), Value::Object(marks));
        changed
    }

    /// What clients show at init.
    ///
    /// # Errors
    /// It is no list of strings.
    pub fn warnings(&self, key: &Key) -> Result<Vec<String>, Refusal> {
        match self.object.get(WARNINGS) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(_) => json::strings(key, &self.object, WARNINGS),
        }
    }

    /// The same with other warnings; without the member where there are none.
    #[must_use]
    pub fn with_warnings(&self, warnings: &[String]) -> Self {
        let mut changed = self.clone();
        if warnings.is_empty() {
            changed.object.shift_remove(WARNINGS);
        } else {
            changed.object.insert(WARNINGS.to_owned(), warnings.into());
        }
        changed
    }

    /// The document's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut object = self.object.clone();
        let entries = self.entries.iter().map(|entry| Value::Object(entry.object.clone()));
        object.insert("versions".to_owned(), entries.collect());
        json::to_bytes(&object)
    }

    /// The listed versions in the document's order.
    pub fn versions(&self) -> impl Iterator<Item = &Version> {
        self.entries.iter().map(|entry| &entry.version)
    }
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
        Key::Versions(Provider { namespace: "acme".parse().unwrap(), provider_type: "x".parse().unwrap() })
    }

    fn platforms(list: &[&str]) -> BTreeSet<Platform> {
        list.iter().map(|p| p.parse().unwrap()).collect()
    }

    fn add(document: &VersionsDocument, version: &str, list: &[&str]) -> VersionsDocument {
        document.merged(&key(), &version.parse().unwrap(), &["6.0".to_owned()], &platforms(list)).unwrap()
    }

    #[test]
    fn a_first_version_makes_the_protocols_document() {
        let document = add(&VersionsDocument::default(), "1.0.0", &["linux_amd64"]);
        let expected = r#"{
  "versions": [
    {
      "version": "1.0.0",
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
    fn versions_are_ordered_as_semver_not_as_text() {
        let mut document = VersionsDocument::default();
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
        // An entry that another tool left incomplete is in nobody's way, until its own version is published.
        let document = VersionsDocument::parse(&key(), br#"{"versions":[{"version":"1.0.0"}]}"#).unwrap();
        assert_eq!(document.listed(&key(), &"2.0.0".parse().unwrap()), Ok(None));
        assert!(document.listed(&key(), &"1.0.0".parse().unwrap()).is_err());
    }

    proptest! {
        #[test]
        fn merging_commutes_and_repeats_without_effect(
            steps in prop::collection::vec((0u8..3, prop::collection::vec(0usize..4, 1..4)), 1..6),
            shuffle in any::<prop::sample::Index>(),
        ) {
            let names = ["linux_amd64", "linux_arm64", "darwin_arm64", "windows_amd64"];
            let apply = |steps: &[(u8, Vec<usize>)]| steps.iter().fold(VersionsDocument::default(), |document, (version, list)| {
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
