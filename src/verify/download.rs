//! The download document of a platform.

use std::collections::BTreeSet;

use serde_json::Value;
use url::Url;

use crate::content::Digest;
use crate::provider::{Platform, Provider, ReleaseId};
use crate::reader::{Fetched, Reply};
use crate::registry::json::{self, Object};
use crate::registry::{Key, Links};

use super::finding::{Finding, Group, Rule, Severity, rules};
use super::index::{IndexEntry, major};
use super::packages::{self, Packages};
use super::served;
use super::signature::EmbeddedKey;

rules! { Documents:
    /// Source: Terraform takes 404 here for a platform that the version does not have.
    MISSING = "document-missing", Error,
        "the index lists a platform that has no download document",
        "terraform init on that platform says: does not have a package available for your current platform",
        "publish the platform's tarball again";
    UNREADABLE = "document-unreadable", Error,
        "a download document cannot be read",
        "terraform init says: host requires authentication credentials, or fails",
        "let the CDN or web server answer it with the status 200";
    JSON = "document-json", Error,
        "a download document is no strict JSON object",
        "terraform init on that platform cannot decode it, or two readers read it differently",
        "publish the platform's tarball again after removing the damaged document";
    /// Source: the fields of the registry protocol, and the types into which Terraform decodes them.
    MEMBER = "document-member", Error,
        "a member of a download document is missing, or is not what the protocol says",
        "terraform init or tofu init on that platform refuses it, or the next publish does",
        "publish the platform's tarball again after removing the damaged document";
    /// Source: Terraform compares both with what it asked for.
    PLATFORM = "document-platform", Error,
        "a download document is for another platform than its address",
        "terraform init says that the registry returned a package for another platform",
        "publish the platform's tarball again after removing the wrong document";
    FILENAME = "document-filename", Warning,
        "the file name of a zip is not terraform-provider-TYPE_VERSION_OS_ARCH.zip",
        "clients look it up in SHA256SUMS and install; mirrors and people expect the usual name",
        "publish the version anew under the next number";
    PROTOCOLS = "document-protocols", Error,
        "the protocols of a download document are not such as 5.0 or 6.0",
        "terraform init says: provider registry includes invalid protocol, or: incompatible provider version",
        "publish the version again with the right --protocol";
    /// Source: clients choose by the index, and check by the document.
    PROTOCOLS_DIFFER = "document-protocols-differ", Error,
        "a download document names other protocols than the index",
        "clients choose a version by the index that the document then forbids; the next publish of the version is refused",
        "publish the version again with the right --protocol, or write the index again by `tfreg reindex`";
    LINK = "document-link", Error,
        "a link of a download document is not one that clients can follow",
        "terraform init says that the registry returned an invalid URL",
        "publish the platform's tarball again after removing the damaged document";
    PLAIN_HTTP = "document-plain-http", Warning,
        "a link of a download document leads to plain http",
        "the signature still protects the contents, but others on the network can see who installs what, and networks block it",
        "publish with a --base-url of https, or without one";
    OTHER_VERSION = "document-reuse", Warning,
        "a download document leads to an object of another version, platform or provider",
        "what is installed is not what its version says",
        "publish the version's own tarballs under a new version";
    SAME_ZIP = "zip-reuse", Warning,
        "the same zip is published as two versions or platforms",
        "users who update get the same bits again: one of the builds was packed wrongly",
        "check the build; release a new version";
    SEVERAL_SUMS = "document-several-checksums", Warning,
        "the platforms of a version are not on one SHA256SUMS",
        "lock files hold other checksums, depending on the platform they were made on; a publish under way looks like this for a \
         moment",
        "publish the version's tarballs again";
}

/// A download document, as far as it can be parsed.
#[derive(Debug, Clone)]
pub(super) struct Download {
    pub(super) platform: Platform,
    /// The document's name in findings.
    pub(super) subject: String,
    pub(super) filename: Option<String>,
    pub(super) shasum: Option<Digest>,
    pub(super) zip: Option<Url>,
    pub(super) sums: Option<Url>,
    pub(super) signature: Option<Url>,
    /// The texts with which the links begin.
    pub(super) bases: BTreeSet<String>,
    /// The keys, in order.
    pub(super) keys: Vec<EmbeddedKey>,
    /// The packages, or what is wrong with them, if the member is there.
    pub(super) packages: Option<Result<Packages, String>>,
}

/// The expected provider, version and platform of a document.
pub(super) struct ExpectedDocument<'a> {
    pub(super) provider: &'a Provider,
    pub(super) entry: &'a IndexEntry,
    pub(super) platform: &'a Platform,
}

/// Checks a download document; returns its members, or `None` if it cannot be read at all.
pub(super) fn check(
    expected: &ExpectedDocument<'_>,
    key: &Key,
    subject: &str,
    reply: Reply<Fetched>,
) -> (Vec<Finding>, Option<Download>) {
    let expected_there = "a document, as the index lists it";
    let document = match served::found(reply, subject, [&MISSING, &UNREADABLE], expected_there) {
        Ok(document) => document,
        Err(finding) => return (vec![finding], None),
    };
    let mut findings = served::document(subject, &document.headers);
    let object = match json::parse(key, &document.bytes) {
        Ok(object) => object,
        Err(refusal) => {
            let found = format!("{} ({})", refusal.found, served::shape(&document));
            findings.push(JSON.at(subject).found(found).expected("one JSON object"));
            return (findings, None);
        }
    };
    let mut read = Members { key, subject, object: &object, findings: &mut findings };
    read.platform(expected.platform);
    let filename = read.filename(expected);
    let shasum = read.shasum();
    read.protocols(expected.entry);
    let mut link = |name: &str| read.link(name, &document.url);
    let (zip, sums, signature) = (link("download_url"), link("shasums_url"), link("shasums_signature_url"));
    let links = ["download_url", "shasums_url", "shasums_signature_url"].map(|name| object.get(name));
    let links = links.into_iter().flatten().filter_map(Value::as_str);
    let bases = links.filter_map(Links::base_of).map(str::to_owned).collect();
    let keys = read.keys();
    let platform = expected.platform.clone();
    let subject = subject.to_owned();
    let packages = object.get("packages").filter(|value| !value.is_null()).map(packages::read);
    let download =
        Download { platform, subject, filename, shasum, zip, sums, signature, bases, keys, packages };
    findings.extend(packages::own(&download));
    (findings, Some(download))
}

/// The members of a document, each checked as it is read.
struct Members<'a> {
    key: &'a Key,
    subject: &'a str,
    object: &'a Object,
    findings: &'a mut Vec<Finding>,
}

impl Members<'_> {
    fn report(
        &mut self,
        rule: &'static Rule,
        found: impl std::fmt::Display,
        expected: impl std::fmt::Display,
    ) {
        self.findings.push(rule.at(self.subject).found(found).expected(expected));
    }

    fn text(&mut self, name: &str) -> Option<String> {
        match json::string(self.key, self.object, name) {
            Ok(text) => Some(text.to_owned()),
            Err(refusal) => {
                self.report(&MEMBER, refusal.found, format!("{name:?}, a text"));
                None
            }
        }
    }

    fn platform(&mut self, platform: &Platform) {
        for (name, expected) in [("os", platform.os()), ("arch", platform.arch())] {
            if let Some(found) = self.text(name)
                && found != expected
            {
                self.report(&PLATFORM, format!("{name:?} is {found:?}"), format!("{expected:?}"));
            }
        }
    }

    fn filename(&mut self, expected: &ExpectedDocument<'_>) -> Option<String> {
        let found = self.text("filename")?;
        let usual = Key::zip_file_name(expected.provider, &expected.entry.version, expected.platform);
        let odd = |c: char| c == '/' || c.is_whitespace() || c.is_control();
        if found.is_empty() || found.starts_with('*') || found.contains(odd) {
            self.report(&MEMBER, format!("\"filename\" is {found:?}, which cannot be in SHA256SUMS"), usual);
            return None;
        }
        if found != usual {
            self.report(&FILENAME, &found, usual);
        }
        Some(found)
    }

    fn shasum(&mut self) -> Option<Digest> {
        let text = self.text("shasum")?;
        let digest = text.parse().ok();
        if digest.is_none() {
            self.report(&MEMBER, format!("\"shasum\" is {text:?}"), "64 lower-case hex digits");
        }
        digest
    }

    fn protocols(&mut self, entry: &IndexEntry) {
        let protocols = match json::strings(self.key, self.object, "protocols") {
            Ok(protocols) => protocols,
            Err(refusal) => {
                return self.report(&MEMBER, refusal.found, "\"protocols\", a list such as [\"6.0\"]");
            }
        };
        if let Some(text) = protocols.iter().find(|text| major(text).is_none()) {
            return self.report(&PROTOCOLS, format!("{text:?}"), "MAJOR.MINOR, such as 6.0");
        }
        if !protocols.iter().filter_map(|text| major(text)).any(|major| matches!(major, 5 | 6)) {
            return self.report(&PROTOCOLS, format!("{protocols:?}"), "5 or 6, which clients speak");
        }
        let set = |list: &[String]| list.iter().cloned().collect::<BTreeSet<_>>();
        if let Some(listed) = &entry.protocols
            && set(listed) != set(&protocols)
        {
            self.report(
                &PROTOCOLS_DIFFER,
                format!("{protocols:?}"),
                format!("{listed:?}, as the index says"),
            );
        }
    }

    fn link(&mut self, name: &str, document: &Url) -> Option<Url> {
        let text = self.text(name)?;
        let url = match document.join(&text) {
            Ok(url) if matches!(url.scheme(), "https" | "http") && !text.is_empty() => url,
            Ok(_) => {
                self.report(&LINK, format!("{name:?} is {text:?}"), "a path, or an https URL");
                return None;
            }
            Err(error) => {
                self.report(&LINK, format!("{name:?} is {text:?}: {error}"), "a path, or an https URL");
                return None;
            }
        };
        if document.scheme() == "https" && url.scheme() != "https" {
            self.report(&PLAIN_HTTP, format!("{name:?} is {text:?}"), "https");
        }
        Some(url)
    }

    fn keys(&mut self) -> Vec<EmbeddedKey> {
        let list = match self.object.get("signing_keys").and_then(|keys| keys.get("gpg_public_keys")) {
            Some(Value::Array(list)) if !list.is_empty() => list,
            other => {
                let found = other.map_or("nothing", |value| match value {
                    Value::Array(_) => "an empty list",
                    other => json::kind(other),
                });
                let found = format!("\"signing_keys\" has as \"gpg_public_keys\": {found}");
                self.report(&MEMBER, found, "a list of keys");
                return Vec::new();
            }
        };
        let mut keys = Vec::new();
        for entry in list {
            let trust = entry.get("trust_signature");
            if trust.is_some_and(|value| !value.is_string() && !value.is_null()) {
                self.report(&MEMBER, "\"trust_signature\" of a key is no text", "a text");
            }
            let id = entry.get("key_id").and_then(Value::as_str).map(str::to_owned);
            let armor = match entry.get("ascii_armor") {
                Some(Value::String(armor)) => armor.clone(),
                other => {
                    let found = other.map_or("missing", json::kind);
                    let found = format!("\"ascii_armor\" of a key is {found}");
                    self.report(&MEMBER, found, "an armored public key");
                    // Clients read a missing one as an empty text, which is not a key.
                    String::new()
                }
            };
            keys.push(EmbeddedKey { id, armor });
        }
        keys
    }
}

/// A link that leads to an object of another provider, version or platform.
pub(super) fn other_version(
    expected: &ExpectedDocument<'_>,
    subject: &str,
    link: &str,
    target: &Key,
) -> Option<Finding> {
    let (provider, version, platform) = match target {
        Key::Zip { release: ReleaseId { provider, version }, platform, .. } => {
            (provider, version, Some(platform))
        }
        Key::Sums { release: ReleaseId { provider, version }, .. }
        | Key::Signature { release: ReleaseId { provider, version }, .. } => (provider, version, None),
        _ => return None,
    };
    let same = provider == expected.provider
        && *version == expected.entry.version
        && platform.is_none_or(|platform| platform == expected.platform);
    (!same).then(|| {
        OTHER_VERSION.at(subject).found(format!("{link:?} leads to {target}")).expected(format!(
            "an object of {} {} {}",
            expected.provider, expected.entry.version, expected.platform
        ))
    })
}
