//! The record that a version is yanked: `registry/NS/TYPE/VERSION/yanked`. Clients do not read it.
//!
//! The record is authoritative, and the index follows it: the record is written first. It is never deleted; the record
//! of an unyanked version says so. Every yank and unyank changes the text to one that it never had before, because it
//! contains the times. So a compare-and-swap of it cannot succeed by accident.

use jiff::Timestamp;
use serde_json::Value;

use super::json;
use super::layout::Key;
use super::marks::Mark;
use super::raw::RawObject;
use crate::error::Refusal;

/// A version's record; unknown members are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct YankedRecord {
    object: RawObject,
    is_yanked: bool,
    when: String,
    reason: Option<String>,
    unyanked: Option<String>,
}

const YANKED: &str = "yanked";
const REASON: &str = "reason";
const WHEN: &str = "when";
const UNYANKED: &str = "unyanked";
const ENTRY: &str = "entry";

impl YankedRecord {
    /// Reads the record at `key`.
    ///
    /// # Errors
    /// The document is not such a record. It is never treated as absent.
    pub fn parse(key: &Key, bytes: &[u8]) -> Result<Self, Refusal> {
        let object = RawObject::parse(key, bytes)?;
        let values = object.values(key, &[YANKED, REASON, WHEN, UNYANKED])?;
        let is_yanked = match values.get(YANKED) {
            Some(Value::Bool(is_yanked)) => *is_yanked,
            Some(other) => {
                return Err(json::refuse(key, format!("{YANKED:?} is {}, not a boolean", json::kind(other))));
            }
            None => return Err(json::refuse(key, format!("no {YANKED:?}"))),
        };
        if values.contains_key(REASON) {
            json::string(key, &values, REASON)?;
        }
        let when = json::string(key, &values, WHEN)?.to_owned();
        let text = |name: &str| values.get(name).and_then(Value::as_str).map(str::to_owned);
        Ok(Self { object, is_yanked, when, reason: text(REASON), unyanked: text(UNYANKED) })
    }

    /// The record of a yanked version, with its entry in the index, which an unyank restores.
    #[must_use]
    pub fn of(
        earlier: Option<&Self>,
        reason: Option<&str>,
        when: Timestamp,
        entry: Option<&RawObject>,
    ) -> Self {
        let mut object = earlier.map_or_else(|| RawObject::new(0), |record| record.object.clone());
        object.remove(UNYANKED);
        object.set(YANKED, &true.into());
        match reason {
            Some(reason) => object.set(REASON, &reason.into()),
            None => object.remove(REASON),
        }
        let when = when.to_string();
        object.set(WHEN, &when.as_str().into());
        Self { object, is_yanked: true, when, reason: reason.map(str::to_owned), unyanked: None }
            .with_entry(entry)
    }

    /// Returns the record with another entry of the index; if `entry` is `None`, its own is kept.
    #[must_use]
    pub fn with_entry(&self, entry: Option<&RawObject>) -> Self {
        let mut record = self.clone();
        if let Some(entry) = entry {
            record.object.set_object(ENTRY, &entry.at_depth(1));
        }
        record
    }

    /// Returns the record of the same version, unyanked.
    #[must_use]
    pub fn put_back(&self, when: Timestamp) -> Self {
        let mut record = self.clone();
        record.object.set(YANKED, &false.into());
        record.object.set(UNYANKED, &when.to_string().into());
        Self { is_yanked: false, unyanked: Some(when.to_string()), ..record }
    }

    /// Whether the version is yanked.
    #[must_use]
    pub fn is_yanked(&self) -> bool {
        self.is_yanked
    }

    /// The mark that the index must have.
    #[must_use]
    pub fn mark(&self) -> Mark {
        let put_back = self.unyanked.as_ref().filter(|_| !self.is_yanked);
        Mark { is_yanked: self.is_yanked, when: put_back.unwrap_or(&self.when).to_owned() }
    }

    /// Why it was yanked.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// The version's entry in the index when it was yanked.
    #[must_use]
    pub fn entry(&self) -> Option<RawObject> {
        self.object.get(ENTRY).and_then(|text| RawObject::read(text, 1).ok())
    }

    /// The time and the reason, for messages.
    #[must_use]
    pub fn words(&self) -> String {
        let reason = self.reason().map_or(", without a reason".to_owned(), |reason| format!(": {reason}"));
        format!("yanked at {}{reason}", self.when)
    }

    /// The document's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.object.to_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        "registry/acme/x/1.0.0/yanked".parse().unwrap()
    }

    #[test]
    fn a_record_is_written_put_back_and_written_again() {
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let entry = RawObject::read(r#"{"version":"1.0.0","x":1}"#, 1).unwrap();
        let first = YankedRecord::of(None, Some("leaks"), time("2026-01-02T03:04:05Z"), Some(&entry));
        assert_eq!(YankedRecord::parse(&key(), &first.to_bytes()), Ok(first.clone()));
        assert_eq!(first.words(), "yanked at 2026-01-02T03:04:05Z: leaks");
        let mut object = first.object.clone();
        object.set("ticket", &7.into());
        let back = YankedRecord { object, ..first }.put_back(time("2026-02-02T03:04:05Z"));
        let text = String::from_utf8(back.to_bytes()).unwrap();
        assert!(text.contains("\"ticket\": 7") && text.contains("\"yanked\": false"), "{text}");
        assert_eq!(YankedRecord::parse(&key(), text.as_bytes()), Ok(back.clone()));
        let again = YankedRecord::of(Some(&back), None, time("2026-03-02T03:04:05Z"), None);
        let text = String::from_utf8(again.to_bytes()).unwrap();
        assert!(again.is_yanked() && again.reason().is_none() && !text.contains("unyanked"), "{text}");
        assert_eq!(again.entry(), Some(entry));
    }

    #[test]
    fn what_cannot_be_understood_is_refused() {
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"yanked":1}"#,
            r#"{"yanked":true}"#,
            r#"{"yanked":true,"when":1}"#,
            r#"{"yanked":false,"when":"x","reason":{}}"#,
        ] {
            assert!(YankedRecord::parse(&key(), bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
