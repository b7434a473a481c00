//! The page of a version: a function of its entry in the index, its documents, and the record of its publish.

use askama::Template;

use super::frame::{Date, Frame, Site, rendered, snippet};
use super::key::ShownKey;
use super::origin::Origin;
use super::provider_page::ListedRelease;
use crate::content::Digest;
use crate::error::Refusal;
use crate::provider::{Platform, ReleaseId};
use crate::registry::layout::Key;
use crate::registry::pages::PageKey;
use crate::words;

/// The zip of a platform, as its document offers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedFile {
    /// The platform.
    pub platform: Platform,
    /// The file's name.
    pub name: String,
    /// Its key; `None` if it is not in the registry.
    pub key: Option<Key>,
    /// Its length in bytes, if that is known.
    pub size: Option<u64>,
    /// Its SHA-256.
    pub sha256: Digest,
}

/// What a version's page is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseFacts {
    /// The release.
    pub release: ReleaseId,
    /// Its entry in the index; if it is yanked, its last one.
    pub listed: ListedRelease,
    /// Why it was yanked, if that was said.
    pub reason: Option<String>,
    /// Its files, by platform.
    pub files: Vec<OfferedFile>,
    /// The keys of SHA256SUMS and of its signature.
    pub signed: Option<(Key, Key)>,
    /// The armored public keys that its documents embed, without repeats.
    pub public_keys: Vec<String>,
    /// The record of the publish, with its key.
    pub origin: Option<(Key, Origin)>,
    /// Whether it has documentation.
    pub has_docs: bool,
}

#[derive(Template)]
#[template(path = "release.html")]
struct Page {
    frame: Frame,
    name: String,
    version: String,
    prerelease: bool,
    yanked: Option<ShownYank>,
    published: Option<Date>,
    protocols: String,
    docs: Option<String>,
    snippet: Option<String>,
    platforms: Vec<Row>,
    origin: Option<ShownOrigin>,
    keys: Vec<ShownKey>,
    check: Option<Check>,
}

struct ShownYank {
    date: Option<Date>,
    reason: Option<String>,
}

struct Row {
    platform: String,
    file: String,
    link: Option<String>,
    size: Option<String>,
    sha256: String,
}

struct ShownOrigin {
    record: String,
    facts: Vec<(&'static str, String, Option<String>)>,
}

struct Check {
    sums: String,
    signature: String,
    key_file: String,
    commands: String,
}

impl ReleaseFacts {
    /// The page.
    ///
    /// # Errors
    /// It cannot be made, which is a fault of tfreg.
    pub fn page(&self, site: &Site) -> Result<Vec<u8>, Refusal> {
        let ReleaseId { provider, version } = &self.release;
        let key = PageKey::Release { release: self.release.clone() };
        let row = |file: &OfferedFile| Row {
            platform: file.platform.to_string(),
            file: file.name.clone(),
            link: file.key.as_ref().map(|to| key.link_to(to)),
            size: file.size.map(|size| words::size(size).to_string()),
            sha256: file.sha256.to_string(),
        };
        let keys: Vec<ShownKey> = self.public_keys.iter().filter_map(|key| ShownKey::read(key)).collect();
        let check = self.signed.as_ref().zip(keys.first()).map(|((sums, signature), shown)| Check {
            sums: key.link_to(sums),
            signature: key.link_to(signature),
            key_file: shown.file.clone(),
            commands: format!(
                "gpg --import {}\ngpg --verify {} {}\nsha256sum --check --ignore-missing {}\n",
                shown.file,
                file_name(signature),
                file_name(sums),
                file_name(sums)
            ),
        });
        let page = Page {
            frame: Frame::of_provider(Some(site), &key, provider, &[(&version.to_string(), &key)]),
            name: provider.to_string(),
            version: version.to_string(),
            prerelease: version.is_prerelease(),
            yanked: self
                .listed
                .yanked
                .map(|yanked| ShownYank { date: yanked.when.map(Date::from), reason: self.reason.clone() }),
            published: self.listed.published.map(Date::from),
            protocols: self.listed.protocols.join(", "),
            docs: self.has_docs.then(|| key.link_to(&super::docs::home(provider, version))),
            snippet: self.listed.yanked.is_none().then(|| snippet(site, provider, version)),
            platforms: self.files.iter().map(row).collect(),
            origin: self
                .origin
                .as_ref()
                .map(|(record, origin)| ShownOrigin { record: key.link_to(record), facts: origin.facts() }),
            keys,
            check,
        };
        rendered(&key, &page)
    }
}

/// The last part of a key.
fn file_name(key: &Key) -> String {
    let text = key.to_string();
    text.rsplit_once('/').map_or(text.clone(), |(_, name)| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::Yanked;
    use crate::provider::Provider;

    #[test]
    fn a_page_has_files_sums_and_who_built_them() {
        let provider =
            Provider { namespace: "acme".parse().unwrap(), provider_type: "sample".parse().unwrap() };
        let release = ReleaseId { provider, version: "1.2.0".parse().unwrap() };
        let store = "store/acme/sample/1.2.0/ba7816bf8f01cfea";
        let key = |name: &str| -> Key { format!("{store}/{name}").parse().unwrap() };
        let zip = "terraform-provider-sample_1.2.0_linux_amd64.zip";
        let sums = key("terraform-provider-sample_1.2.0_SHA256SUMS");
        let signature = key("terraform-provider-sample_1.2.0_SHA256SUMS.0123456789ABCDEF.sig");
        let record = r#"{"subject": [{"name": "a.zip"}], "predicate": {"buildDefinition": {"externalParameters":
            {"repository": "acme/<sample>", "commit": "0123abcd"}}, "runDetails": {"metadata":
            {"invocationId": "https://drone.example.com/acme/sample/42"}, "builder": {"id": "javascript:alert(1)"}}}}"#;
        let facts = ReleaseFacts {
            release,
            listed: ListedRelease {
                published: Some("2026-01-02T03:04:05Z".parse().unwrap()),
                protocols: vec!["6.0".to_owned()],
                platforms: ["linux_amd64".parse().unwrap()].into(),
                yanked: Some(Yanked { when: Some("2026-02-03T00:00:00Z".parse().unwrap()) }),
            },
            reason: Some("it <broke>".to_owned()),
            files: vec![OfferedFile {
                platform: "linux_amd64".parse().unwrap(),
                name: zip.to_owned(),
                key: Some(key(zip)),
                size: Some(12_345_678),
                sha256: Digest::of(b"zip"),
            }],
            signed: Some((sums, signature)),
            public_keys: vec!["not a key".to_owned()],
            origin: Origin::read(record.as_bytes()).map(|origin| (key("provenance.json"), origin)),
            has_docs: true,
        };
        let site = Site::new(None, &"https://registry.example.com/".parse().unwrap());
        let text = String::from_utf8(facts.page(&site).unwrap()).unwrap();
        for part in [
            &*format!("href=\"../../../../{store}/{zip}\""),
            &*Digest::of(b"zip").to_string(),
            "acme/&#60;sample&#62;",
            "0123abcd",
            "href=\"https://drone.example.com/acme/sample/42\"",
            "it &#60;broke&#62;",
            "href=\"docs/index.html\"",
            "2026-02-03",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert!(!text.contains("href=\"javascript:") && !text.contains("Use this version"), "{text}");
        assert_eq!(facts.page(&site).unwrap(), text.into_bytes());
    }
}
