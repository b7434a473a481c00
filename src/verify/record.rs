//! The record of a publish beside SHA256SUMS: `provenance.json` and its signature. Clients do not read it.

use serde_json::Value;

use crate::registry::Key;
use crate::registry::json;

use super::finding::{Finding, Group, Rule, Severity, rules};
use super::sums::Sums;

rules! { Record:
    MISSING = "record-missing", Warning,
        "a version has no record of its publish",
        "nobody can tell which tarballs and which commit it was made of",
        "publish the version's tarballs again by the same build, which writes it";
    UNREADABLE = "record-unreadable", Warning,
        "the record of a publish is no in-toto statement",
        "nobody can tell which tarballs and which commit the version was made of",
        "what is in store/ was changed: look at the object";
    UNSIGNED = "record-unsigned", Warning,
        "the record of a publish is not signed",
        "nobody can tell who wrote it",
        "if a publish was stopped, run the same build again; if the version was moved to another key, `tfreg resign` it with \
         that key and the one before by --trust-key";
    SIGNATURE = "record-signature", Warning,
        "the signature of the record of a publish does not verify",
        "the record may be anybody's",
        "what is in store/ was changed: look at the object";
    SUBJECTS = "record-subjects", Warning,
        "the record of a publish tells of other zips than SHA256SUMS",
        "it is not the record of what is installed",
        "what is in store/ was changed: look at the object";
}

/// Checks a record: the zips that it names must be those of SHA256SUMS. It describes one run, so it may not name all of
/// them.
pub(super) fn check(subject: &str, bytes: &[u8], sums: &Sums) -> Vec<Finding> {
    let unfit = |found: String| {
        vec![
            UNREADABLE
                .at(subject)
                .found(found)
                .expected("an in-toto statement with a SLSA provenance predicate"),
        ]
    };
    let statement = match json::parse(&Key::Discovery, bytes) {
        Ok(object) => Value::Object(object),
        Err(refusal) => return unfit(refusal.found),
    };
    for (member, expected) in
        [("_type", "https://in-toto.io/Statement/v1"), ("predicateType", "https://slsa.dev/provenance/v1")]
    {
        let found = statement.get(member).and_then(Value::as_str);
        if found != Some(expected) {
            return unfit(format!("{member:?} is {found:?}"));
        }
    }
    let Some(subjects) = statement.get("subject").and_then(Value::as_array) else {
        return unfit("no list \"subject\"".to_owned());
    };
    let differing = subjects.iter().filter_map(|zip| {
        let name = zip.get("name").and_then(Value::as_str).unwrap_or_default();
        let digest = zip.pointer("/digest/sha256").and_then(Value::as_str).unwrap_or_default();
        let listed = sums.get(name).map(ToString::to_string);
        (listed.as_deref() != Some(digest)).then(|| {
            let expected = listed.unwrap_or_else(|| "no such file".to_owned());
            SUBJECTS
                .at(subject)
                .found(format!("{name:?} {digest}"))
                .expected(format!("{expected}, as SHA256SUMS says"))
        })
    });
    differing.collect()
}
