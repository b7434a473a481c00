//! Reads an index, strictly: each value is read once to find its end, and once, while it is still in the processor's cache,
//! to check it. An entry that is equal to one that was checked, but for its version, is not checked again.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use bytes::Bytes;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::super::json::{self, Check, Name, Names};
use super::super::raw::RawObject;
use super::{PUBLISHED, VERSIONS, VersionEntry};
use crate::provider::Version;

/// Reads an index.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    /// The whole document, of which the entries keep their parts.
    pub(super) bytes: &'a Bytes,
    /// How many values were read.
    pub(super) values: &'a Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for Reading<'_> {
    type Value = (RawObject, Option<Vec<VersionEntry>>);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Reading<'_> {
    type Value = (RawObject, Option<Vec<VersionEntry>>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut object, mut entries, mut names) = (RawObject::new(0), None, Names::default());
        while let Some(written) = map.next_key::<&RawValue>()? {
            let name = json::name_of(written).map_err(de::Error::custom)?;
            names.add(name.clone())?;
            if name == VERSIONS {
                entries = Some(map.next_value_seed(Entries(self))?);
                object.push(&name, written.get(), "[]");
            } else {
                let value: &RawValue = map.next_value()?;
                json::check(value.get()).map_err(de::Error::custom)?;
                object.push(&name, written.get(), value.get());
            }
        }
        names.end()?;
        Ok((object, entries))
    }
}

struct Entries<'a>(Reading<'a>);

impl<'de> DeserializeSeed<'de> for Entries<'_> {
    type Value = Vec<VersionEntry>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<VersionEntry>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Entries<'_> {
    type Value = Vec<VersionEntry>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{VERSIONS:?} to be a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Vec<VersionEntry>, A::Error> {
        let mut entries = Vec::new();
        let mut checked: Option<CheckedEntry<'de>> = None;
        while let Some(value) = values.next_element::<&RawValue>()? {
            let text = value.get();
            let like = checked.as_ref().and_then(|checked| Some((checked.version_of(text)?, checked.values)));
            let version = if let Some((version, count)) = like {
                json::count(self.0.values, count)?;
                version.parse().map_err(de::Error::custom)?
            } else {
                let before = self.0.values.get();
                let version = version_of(text, self.0.values).map_err(de::Error::custom)?;
                checked = CheckedEntry::new(text, self.0.values.get() - before);
                version
            };
            entries.push(VersionEntry { version, text: self.0.bytes.slice_ref(text.as_bytes()) });
        }
        entries.shrink_to_fit();
        Ok(entries)
    }
}

/// An entry that was checked, as the text around the two strings in which the entries of a provider differ: its version,
/// which is its first member, and its date, if that is its second. What has the same text around other strings is as strict
/// JSON as this one.
struct CheckedEntry<'de> {
    before_version: &'de str,
    behind_version: &'de str,
    behind_date: Option<&'de str>,
    /// How many values it holds.
    values: usize,
}

impl<'de> CheckedEntry<'de> {
    /// `None` if the version is not the first member.
    fn new(text: &'de str, values: usize) -> Option<Self> {
        let (before_version, rest) = split_before_text(text, "{\"version\":\"")?;
        let behind = plain(rest).1;
        let date = split_before_text(behind, &format!("\",\"{PUBLISHED}\":\""));
        let (behind_version, behind_date) =
            date.map_or((behind, None), |(before, rest)| (before, Some(plain(rest).1)));
        Some(Self { before_version, behind_version, behind_date, values })
    }

    /// The version of an entry that is the same but for its version and date.
    fn version_of(&self, text: &'de str) -> Option<&'de str> {
        let (version, rest) = plain(text.strip_prefix(self.before_version)?);
        let rest = rest.strip_prefix(self.behind_version)?;
        match self.behind_date {
            Some(behind) => plain(rest).1 == behind,
            None => rest.is_empty(),
        }
        .then_some(version)
    }
}

/// Splits off these tokens, the last of which begins a string.
fn split_before_text<'t>(text: &'t str, tokens: &str) -> Option<(&'t str, &'t str)> {
    let colon = text.find(':')?;
    let at = colon + text[colon..].find('"')? + 1;
    let found = text[..at].bytes().filter(|byte| !byte.is_ascii_whitespace());
    found.eq(tokens.bytes()).then(|| text.split_at(at))
}

/// Splits off the beginning of a string that is written as it is.
fn plain(text: &str) -> (&str, &str) {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-+:".contains(&byte);
    text.split_at(text.bytes().position(|byte| !is_plain(byte)).unwrap_or(text.len()))
}

/// Returns the version of the entry in `text`, and checks the entry.
fn version_of(text: &str, values: &Cell<usize>) -> Result<Version, String> {
    if !text.starts_with('{') {
        return Err(format!("an entry of {VERSIONS:?} is {}", json::kind_of_text(text)));
    }
    let found = EntryCheck(values).deserialize(&mut serde_json::Deserializer::from_str(text));
    let found = if let Ok(found) = found {
        found
    } else {
        // It may contain a number that is too large for `f64`.
        json::check(text).map_err(|error| error.to_string())?;
        let members = json::members(text).map_err(|error| error.to_string())?;
        let version = members.into_iter().find(|(name, ..)| name == "version");
        version.map(|(_, _, value)| VersionMember::read(value.get()))
    };
    match found {
        None => Err(format!("an entry of {VERSIONS:?} has no \"version\"")),
        Some(VersionMember::Other(kind)) => Err(format!("\"version\" is {kind}, not a string")),
        Some(VersionMember::Text(text)) => {
            text.parse().map_err(|error: crate::provider::InvalidName| error.to_string())
        }
    }
}

/// The `version` member of an entry.
enum VersionMember<'de> {
    Text(Cow<'de, str>),
    Other(&'static str),
}

impl<'de> VersionMember<'de> {
    fn read(text: &'de str) -> Self {
        match Name.deserialize(&mut serde_json::Deserializer::from_str(text)) {
            Ok(text) => Self::Text(text),
            Err(_) => Self::Other(json::kind_of_text(text)),
        }
    }
}

/// Checks an entry, and returns its version.
struct EntryCheck<'c>(&'c Cell<usize>);

impl<'de> DeserializeSeed<'de> for EntryCheck<'_> {
    type Value = Option<VersionMember<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for EntryCheck<'_> {
    type Value = Option<VersionMember<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut version, mut names) = (None, Names::default());
        while let Some(name) = map.next_key_seed(Name)? {
            if name == "version" {
                version = Some(VersionMember::read(map.next_value::<&RawValue>()?.get()));
            } else {
                map.next_value_seed(Check(self.0))?;
            }
            names.add(name)?;
        }
        names.end()?;
        Ok(version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(entries: &str) -> Result<Vec<String>, String> {
        let bytes = Bytes::from(format!("{{\"versions\":[{entries}]}}"));
        let reading = Reading { bytes: &bytes, values: &Cell::new(0) };
        let text = std::str::from_utf8(&bytes).unwrap();
        let read = reading.deserialize(&mut serde_json::Deserializer::from_str(text));
        let entries = read.map_err(|error| error.to_string())?.1.unwrap();
        Ok(entries.iter().map(|entry| entry.version.to_string()).collect())
    }

    #[test]
    fn an_entry_after_one_like_it_is_read_as_the_first_one_is() {
        let like = [
            r#"{"version":"1.0.0","protocols":["6.0"]}"#,
            r#"{"version":"1.0.1","protocols":["6.0"]}"#,
            r#"{"version":"1.0.2", "published":"2026-11-26T12:00:00Z","protocols":["6.0"]}"#,
            r#"{"version":"1.0.3", "published":"2026-11-27T12:00:00Z","protocols":["6.0"]}"#,
            r#"{"version":"1.0.4","published":"x","published_by":{"version":"1.0.0"}}"#,
            r#"{"x":{"version":"1.0.0"},"version":"1.0.\u0035"}"#,
            r#"{"x":{"version":"1.0.9"},"version":"1.0.\u0036"}"#,
        ];
        assert_eq!(
            read(&like.join(",")).unwrap(),
            ["1.0.0", "1.0.1", "1.0.2", "1.0.3", "1.0.4", "1.0.5", "1.0.6"]
        );
        // What is refused alone is refused behind each of them too.
        for bad in [
            r#"{"version":"v1","protocols":["6.0"]}"#,
            r#"{"version":"","protocols":["6.0"]}"#,
            r#"{"version":"1.0.9"#,
            r#"{"version":"1.0.9","version":"1.0.8","protocols":["6.0"]}"#,
            r#"{"version":"1.0.9","protocols":["6.0"],"protocols":["6.0"]}"#,
            r#"{"version":"1.0.9", "published":"2026","published":"2027","protocols":["6.0"]}"#,
            r#"{"version":"1.0.9", "published":"2026"7","protocols":["6.0"]}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
            for before in like {
                assert!(read(&format!("{before},{bad}")).is_err(), "{before},{bad}");
            }
        }
    }
}
