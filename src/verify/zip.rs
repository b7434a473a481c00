//! The zip of a platform, which clients unpack and start. What is in it is judged by [`zips`], as for a publish.

use std::fs::File;

use crate::content::{Digest, DirHash};
use crate::release::archive::Limits;
use crate::release::zips::{self, ExpectedZip, ZipRule};
use crate::store::Headers;

use super::finding::{Finding, Group, Rule, Severity, rules};
use super::served;

rules! { Zips:
    MISSING = "zip-missing", Error,
        "a zip is not there",
        "terraform init on that platform fails to download the provider",
        "publish the platform's tarball again";
    UNREADABLE = "zip-unreadable", Error,
        "a zip cannot be fetched",
        "terraform init on that platform fails to download the provider",
        "let the CDN or web server answer it with the status 200";
    TOO_LARGE = "zip-too-large", Error,
        "a zip is larger than verify reads",
        "what is in it is not known; a host may send for ever",
        "if the zip is meant to be so large: --max-zip-mib with its size in MiB; else look at what is served there";
    EMPTY = "zip-empty", Error,
        "a zip has no bytes",
        "terraform init on that platform says that the checksum does not match",
        "publish the platform's tarball again";
    CHECKSUM = "zip-checksum", Error,
        "a zip is not the one that its document names",
        "terraform init on that platform says that the checksum does not match",
        "something changed it in store/: remove it, and publish the original tarball again; if that is lost, publish the next version";
}

/// The rules for what is in a zip.
static INSIDE: [Rule; zips::RULES.len()] = {
    let mut all = [Rule::of_zip(zips::RULES[0]); zips::RULES.len()];
    let mut index = 0;
    while index < all.len() {
        all[index] = Rule::of_zip(zips::RULES[index]);
        index += 1;
    }
    all
};

impl Rule {
    const fn of_zip(rule: &'static ZipRule) -> Self {
        let severity = match rule.severity {
            zips::Severity::Error => Severity::Error,
            zips::Severity::Warning => Severity::Warning,
        };
        let ZipRule { name, what, why, once_published: remedy, .. } = *rule;
        Self { name, group: Group::Zips, severity, what, why, remedy }
    }
}

/// All rules for zips.
pub(super) fn all_rules() -> impl Iterator<Item = &'static Rule> {
    RULES.iter().copied().chain(&INSIDE)
}

/// Checks of a zip that do not open it.
pub(super) fn unopened(
    subject: &str,
    headers: &Headers,
    len: Option<u64>,
    digest: Option<Digest>,
    shasum: Option<Digest>,
) -> Vec<Finding> {
    let mut findings: Vec<Finding> = served::stored(subject, headers).into_iter().collect();
    if len == Some(0) {
        findings.push(EMPTY.at(subject).found("0 bytes").expected("a zip"));
    } else if let (Some(digest), Some(shasum)) = (digest, shasum)
        && digest != shasum
    {
        findings.push(CHECKSUM.at(subject).found(format!("SHA-256 {digest}")).expected(shasum));
    }
    findings
}

/// Checks a zip; returns its `h1:` hash for lock files, if every entry can be read.
pub(super) fn check(subject: &str, expected: &ExpectedZip, file: &File) -> (Vec<Finding>, Option<DirHash>) {
    let inspection = match zips::inspect(file, expected, Limits::PUBLISHED, &|_| {}) {
        Ok(inspection) => inspection,
        Err(error) => {
            let finding = INSIDE.iter().find(|rule| rule.name == "zip-damaged").map(|rule| rule.at(subject));
            return (finding.into_iter().map(|finding| finding.found(&error)).collect(), None);
        }
    };
    let findings = inspection.broken.into_iter().filter_map(|broken| {
        let rule = INSIDE.iter().find(|rule| rule.name == broken.rule.name)?;
        Some(rule.at(subject).found(broken.found).expected(broken.expected))
    });
    (findings.collect(), inspection.h1)
}
