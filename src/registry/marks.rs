//! The marks of yanked versions, in the member `yanked` of an index. Not a part of any protocol; clients pass it over.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::json;
use super::layout::Key;
use super::raw::RawObject;
use crate::error::Refusal;
use crate::provider::Version;

/// The member's name.
const YANKED: &str = "yanked";

/// The mark of a version that is, or was, yanked: see [`crate::plan::yank`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Whether it is yanked now.
    pub is_yanked: bool,
    /// When it was yanked or unyanked, according to its record.
    pub when: String,
}

impl Mark {
    /// Whether this is what became of the version after `other` was said of it. A time that cannot be read is older than
    /// every other.
    #[must_use]
    pub fn is_newer_than(&self, other: &Self) -> bool {
        self.time() > other.time()
    }

    fn time(&self) -> Option<Timestamp> {
        self.when.parse().ok()
    }

    /// The time for what comes after these marks: now, or just after them, where another machine's clock was ahead. So of
    /// two marks the later one is the newer one, whatever the clocks say.
    #[must_use]
    pub fn time_after<'m>(now: Timestamp, marks: impl IntoIterator<Item = &'m Self>) -> Timestamp {
        let latest = marks.into_iter().filter_map(Self::time).max();
        let next = latest.and_then(|latest| latest.checked_add(SignedDuration::from_nanos(1)).ok());
        next.map_or(now, |next| next.max(now))
    }
}

/// The marks in a document.
///
/// # Errors
/// The member is not a map of marks.
pub(super) fn read(key: &Key, document: &RawObject) -> Result<BTreeMap<Version, Mark>, Refusal> {
    let refuse = || json::refuse(key, format!("{YANKED:?} has something else than marks of yanked versions"));
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
    match document.values(key, &[YANKED])?.get(YANKED) {
        None => Ok(BTreeMap::new()),
        Some(Value::Object(marks)) => marks.iter().map(mark).collect(),
        Some(_) => Err(refuse()),
    }
}

/// Sets marks, which replace earlier ones of the same versions.
pub(super) fn set<'m>(document: &mut RawObject, marks: impl IntoIterator<Item = (&'m Version, &'m Mark)>) {
    let mut all = document.object(YANKED);
    let mut count = 0;
    for (version, mark) in marks {
        all.set(&version.to_string(), &json!({ "yanked": mark.is_yanked, "when": mark.when }));
        count += 1;
    }
    if count > 0 {
        document.set_object(YANKED, &all);
    }
}

/// Removes all marks.
pub(super) fn remove(document: &mut RawObject) {
    document.remove(YANKED);
}
