//! The index of a provider's versions.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::provider::{Platform, Version};
use crate::reader::{Fetched, Reply};
use crate::registry::Key;
use crate::registry::json::{self, Object};
use crate::release::executable::Expectation;

use super::finding::{Finding, Group, Rule, Severity, rules};
use super::objects::Folder;
use super::{Scope, served};

rules! { Index:
    NOTHING = "index-none", Error,
        "there is no provider",
        "clients find nothing to install",
        "check the directory, or the bucket and its prefix; publish into it";
    MISSING = "index-missing", Error,
        "the provider has no index",
        "terraform init says: provider registry does not have a provider named so",
        "`tfreg reindex` writes it again, with every version that is whole; if the provider is new, publish it";
    /// Source: Terraform takes 401 and 403 for a registry that needs credentials.
    UNREADABLE = "index-unreadable", Error,
        "the index cannot be read",
        "terraform init says: host requires authentication credentials, or fails",
        "let the CDN or web server answer it with the status 200";
    JSON = "index-json", Error,
        "the index is not the protocol's JSON document",
        "clients cannot choose a version, and the next publish refuses it",
        "repair it by hand, or write it again by `tfreg reindex`";
    EMPTY = "index-empty", Error,
        "the index lists no version",
        "terraform init says that the provider was not found",
        "publish a version, or `tfreg unyank` one; if some were published and not yanked, `tfreg reindex` lists them again";
    /// Source: Terraform parses every listed version, and refuses the whole provider over one that it cannot parse. What is
    /// behind a `+` is lost in S3, which reads it as a space.
    VERSION = "index-version", Error,
        "a listed version is not canonical",
        "Terraform before 1.13 and OpenTofu refuse the whole provider over it, and so does the next publish; Terraform since 1.13 leaves the version out",
        "write MAJOR.MINOR.PATCH or MAJOR.MINOR.PATCH-PRERELEASE, without v and without build metadata";
    DUPLICATE = "index-duplicate-version", Error,
        "a version is listed twice",
        "which of the two counts, clients do not agree on, and the next publish refuses the index",
        "remove one of the two";
    /// Source: the registry protocol; a publish of the same version compares them.
    PROTOCOLS = "index-protocols", Error,
        "the protocols of a listed version cannot be read",
        "when a provider is too new or too old for a client, it cannot tell which version to take instead",
        "write them as [\"6.0\"]; `tfreg reindex` takes them from the download documents";
    PLATFORMS = "index-platforms", Error,
        "the platforms of a listed version cannot be read",
        "mirrors and other readers rely on them, and the next publish of the version refuses them",
        "write them as {\"os\": \"linux\", \"arch\": \"amd64\"}; `tfreg reindex` takes them from the download documents";
    DUPLICATE_PLATFORM = "index-duplicate-platform", Warning,
        "a platform of a version is listed twice",
        "readers that count platforms are misled",
        "remove one of the two";
    UNKNOWN_PLATFORM = "index-unknown-platform", Warning,
        "no client asks for a listed platform",
        "clients use Go's words for systems and architectures, and never find this one",
        "publish it under the name that Go gives it";
    /// Source: Terraform decodes the document as a whole; `warnings` into a list of strings.
    WARNINGS = "index-warnings", Error,
        "the warnings of the index are not a list of texts",
        "terraform init cannot decode the index, and refuses the provider",
        "write [\"text\"], or remove them; `tfreg warn` sets them";
    /// Source: the path of the download document; Terraform takes 404 for a platform that is not there.
    NOT_LISTED = "index-not-listed", Error,
        "the version that was asked for is not listed",
        "terraform init says: no available releases match the given constraints",
        "publish it; a minute may pass until a CDN shows it";
    YANKED = "index-yanked", Warning,
        "a version is yanked and listed",
        "clients go on installing what was withdrawn",
        "`tfreg yank` it again, or `tfreg unyank` it";
    UNLISTED_VERSION = "index-lacks-version", Warning,
        "a version has download documents and is not listed",
        "nobody can install it; a publish was stopped on its way, or the index was damaged",
        "publish it again, or write the index again by `tfreg reindex`";
    UNLISTED_PLATFORM = "index-lacks-platform", Warning,
        "a platform has a download document and is not listed",
        "it can be installed, but readers of the index do not know of it",
        "publish it again, or write the index again by `tfreg reindex`";
}

/// The index's entry for a version, as far as it can be parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct IndexEntry {
    pub(super) version: Version,
    /// As written; `None` if it is not a list of texts.
    pub(super) protocols: Option<Vec<String>>,
    pub(super) platforms: BTreeSet<Platform>,
}

/// Checks an index; returns its versions, or `None` if it cannot be read as a list at all.
pub(super) fn check(
    key: &Key,
    subject: &str,
    reply: Reply<Fetched>,
) -> (Vec<Finding>, Option<Vec<IndexEntry>>) {
    let document = match served::found(reply, subject, [&MISSING, &UNREADABLE], "an index") {
        Ok(document) => document,
        Err(finding) => return (vec![finding], None),
    };
    let mut findings = served::document(subject, &document.headers);
    let unfit = |found: String| JSON.at(subject).found(found).expected("an object with a list \"versions\"");
    let object = match json::parse(key, &document.bytes) {
        Ok(object) => object,
        Err(refusal) => {
            findings.push(unfit(format!("{} ({})", refusal.found, served::shape(&document))));
            return (findings, None);
        }
    };
    findings.extend(warnings(subject, &object));
    let list = match json::list(key, &object, "versions") {
        Ok(list) => list,
        Err(refusal) => {
            findings.push(unfit(refusal.found));
            return (findings, None);
        }
    };
    if list.is_empty() {
        findings.push(EMPTY.at(subject).found("an empty list").expected("versions"));
    }
    let mut entries: BTreeMap<Version, IndexEntry> = BTreeMap::new();
    for value in list {
        let Value::Object(object) = value else {
            findings.push(unfit(format!("an entry of \"versions\" is {}", json::kind(value))));
            continue;
        };
        let version = match version(key, subject, object) {
            Ok(version) => version,
            Err(finding) => {
                findings.push(finding);
                continue;
            }
        };
        let protocols = protocols(key, subject, &version, object);
        let protocols = protocols.map_err(|finding| findings.push(finding)).ok();
        let platforms = platforms(key, subject, &version, object, &mut findings);
        if entries.contains_key(&version) {
            findings.push(DUPLICATE.at(subject).found(&version).expected("each version once"));
        } else {
            entries.insert(version.clone(), IndexEntry { version, protocols, platforms });
        }
    }
    (findings, Some(entries.into_values().collect()))
}

/// Differences between the index and the existing documents, other than listed platforms without a document.
pub(super) fn both_ways(
    subject: &str,
    entries: &[IndexEntry],
    folder: &Folder,
    scope: &Scope,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let listed: BTreeMap<&Version, &IndexEntry> =
        entries.iter().map(|entry| (&entry.version, entry)).collect();
    for (version, platforms) in &folder.documents {
        if !scope.has(version) {
            continue;
        }
        let in_words = |platforms: &mut dyn Iterator<Item = &Platform>| {
            let names: Vec<String> = platforms.map(ToString::to_string).collect();
            format!("{version}: {}", names.join(", "))
        };
        match listed.get(version) {
            Some(entry) => {
                let mut missing = platforms.difference(&entry.platforms).peekable();
                if missing.peek().is_some() {
                    let found = format!("documents of {}", in_words(&mut missing));
                    findings
                        .push(UNLISTED_PLATFORM.at(subject).found(found).expected("listed, or not there"));
                }
            }
            None if folder.yanked.contains(version) => {}
            None => {
                let found = format!("documents of {}", in_words(&mut platforms.iter()));
                findings.push(UNLISTED_VERSION.at(subject).found(found).expected("listed, or not there"));
            }
        }
    }
    findings
}

/// The finding for a version that is both yanked and listed.
pub(super) fn yanked(subject: &str, version: &Version) -> Finding {
    YANKED.at(subject).found(format!("{version}, with a mark that it is yanked")).expected("one or the other")
}

fn warnings(subject: &str, object: &Object) -> Option<Finding> {
    let found = match object.get("warnings")? {
        // Clients ignore null.
        Value::Null => return None,
        Value::Array(list) => match list.iter().find(|value| !value.is_string()) {
            None => return None,
            Some(other) => format!("{} in the list", json::kind(other)),
        },
        other => json::kind(other).to_owned(),
    };
    Some(WARNINGS.at(subject).found(found).expected("a list of texts"))
}

fn version(key: &Key, subject: &str, object: &Object) -> Result<Version, Finding> {
    let text = json::string(key, object, "version")
        .map_err(|refusal| JSON.at(subject).found(refusal.found).expected("an entry with a \"version\""))?;
    text.parse().map_err(|error: crate::provider::InvalidName| {
        VERSION
            .at(subject)
            .found(format!("{text:?}: {}", error.rule))
            .expected("a canonical semantic version")
    })
}

fn protocols(key: &Key, subject: &str, version: &Version, object: &Object) -> Result<Vec<String>, Finding> {
    let bad = |found: String| {
        PROTOCOLS.at(subject).found(format!("{version}: {found}")).expected("a list such as [\"6.0\"]")
    };
    let protocols = json::strings(key, object, "protocols").map_err(|refusal| bad(refusal.found))?;
    match protocols.iter().find(|text| major(text).is_none()) {
        Some(text) => Err(bad(format!("{text:?}"))),
        None if protocols.is_empty() => Err(bad("an empty list".to_owned())),
        None => Ok(protocols),
    }
}

/// The major version of a protocol, which is written `MAJOR.MINOR`.
pub(super) fn major(protocol: &str) -> Option<u32> {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if digits && (text == "0" || !text.starts_with('0')) { text.parse().ok() } else { None }
    };
    let (major, minor) = protocol.split_once('.')?;
    number(minor).and(number(major))
}

fn platforms(
    key: &Key,
    subject: &str,
    version: &Version,
    object: &Object,
    findings: &mut Vec<Finding>,
) -> BTreeSet<Platform> {
    let bad = |found: String| {
        PLATFORMS
            .at(subject)
            .found(format!("{version}: {found}"))
            .expected("objects with \"os\" and \"arch\"")
    };
    let mut platforms = BTreeSet::new();
    let list = match json::list(key, object, "platforms") {
        Ok([]) => {
            findings.push(bad("an empty list".to_owned()));
            return platforms;
        }
        Ok(list) => list,
        Err(refusal) => {
            findings.push(bad(refusal.found));
            return platforms;
        }
    };
    for value in list {
        let Value::Object(object) = value else {
            findings.push(bad(format!("{} in the list", json::kind(value))));
            continue;
        };
        let words = json::string(key, object, "os")
            .and_then(|os| Ok((os, json::string(key, object, "arch")?)))
            .map_err(|refusal| refusal.found);
        let platform =
            words.and_then(|(os, arch)| Platform::new(os, arch).map_err(|error| error.to_string()));
        match platform {
            Err(found) => findings.push(bad(found)),
            Ok(platform) => {
                if let Err(unknown) = Expectation::of(&platform) {
                    findings.push(
                        UNKNOWN_PLATFORM
                            .at(subject)
                            .found(format!("{version} {platform}: {unknown}"))
                            .expected("Go's words"),
                    );
                }
                if !platforms.insert(platform.clone()) {
                    let found = format!("{version} {platform}");
                    findings.push(DUPLICATE_PLATFORM.at(subject).found(found).expected("each platform once"));
                }
            }
        }
    }
    platforms
}
