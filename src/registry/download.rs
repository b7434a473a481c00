//! The download document of one platform: `GET :namespace/:type/:version/download/:os/:arch` of the provider registry
//! protocol.

use serde_json::Value;

use super::Checksums;
use super::json::{self, Object};
use super::layout::Key;
use super::links::Links;
use super::packages::{PACKAGES, Packages};
use super::raw::RawObject;
use crate::content::Digest;
use crate::error::Refusal;
use crate::openpgp::KeyId;
use crate::provider::{Platform, Protocols};

/// A platform's download document; unknown members are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownloadDocument {
    key: Key,
    object: RawObject,
    /// The members that are read.
    values: Object,
    filename: String,
    shasum: Digest,
}

/// The signed SHA256SUMS that the documents of a version point to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedSums {
    /// The link to SHA256SUMS.
    pub sums_link: String,
    /// The link to its signature.
    pub signature_link: String,
    /// The id of the key that made the signature, as clients name it.
    pub key_id: KeyId,
    /// The armored public key.
    pub public_key: String,
}

/// What all documents of a version say the same of.
#[derive(Debug, Clone, Copy)]
pub struct OfVersion<'a> {
    /// Its protocols.
    pub protocols: &'a Protocols,
    /// Its SHA256SUMS.
    pub sums: &'a SignedSums,
    /// All zips that the SHA256SUMS lists, if all of them are known.
    pub packages: Option<&'a Packages>,
    /// The form of the links.
    pub links: &'a Links,
}

/// The zip that a document offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedZip {
    /// The link to the zip.
    pub link: String,
    /// Its name in SHA256SUMS.
    pub filename: String,
    /// Its SHA-256.
    pub shasum: Digest,
}

/// What the member `packages` says of a zip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TellsOfZip {
    /// The `h1:` hash of its contents.
    pub h1: Option<String>,
    /// Its size.
    pub bytes: Option<u64>,
}

/// The names of the members that are read.
const KNOWN: &[&str] = &[
    "protocols",
    "os",
    "arch",
    "filename",
    "download_url",
    "shasums_url",
    "shasums_signature_url",
    "shasum",
    SIGNING_KEYS,
];
/// The members that are links to objects.
const LINKS: [&str; 3] = ["download_url", "shasums_url", "shasums_signature_url"];
const SIGNING_KEYS: &str = "signing_keys";
const PUBLIC_KEYS: &str = "gpg_public_keys";

impl DownloadDocument {
    /// Reads the document at `key`, which must be that of `platform`.
    ///
    /// # Errors
    /// The document is not a download document, or is for another platform.
    pub fn parse(key: &Key, platform: &Platform, bytes: &[u8]) -> Result<Self, Refusal> {
        let object = RawObject::parse(key, bytes)?;
        let values = object.values(key, KNOWN)?;
        for (name, expected) in [("os", platform.os()), ("arch", platform.arch())] {
            let found = json::string(key, &values, name)?;
            if found != expected {
                return Err(json::refuse(
                    key,
                    format!("{name:?} is {found:?}, which is not what the key says"),
                ));
            }
        }
        let filename = json::string(key, &values, "filename")?.to_owned();
        // The name becomes a part of a line of SHA256SUMS.
        if !Checksums::is_plain_name(&filename) {
            return Err(json::refuse(
                key,
                format!("\"filename\" is {filename:?}, which is no plain file name"),
            ));
        }
        let shasum = json::string(key, &values, "shasum")?;
        let shasum = shasum.parse().map_err(|error| json::refuse(key, format!("\"shasum\" is {error}")))?;
        Ok(Self { key: key.clone(), object, values, filename, shasum })
    }

    /// Builds the document at `key` that offers `zip` for `platform`. All other members of an earlier document are kept.
    #[must_use]
    pub fn offering(
        key: &Key,
        earlier: Option<&Self>,
        platform: &Platform,
        zip: &OfferedZip,
        version: OfVersion<'_>,
    ) -> Self {
        let mut document = earlier.cloned().unwrap_or_else(|| Self {
            key: key.clone(),
            object: RawObject::new(0),
            values: Object::new(),
            filename: String::new(),
            shasum: zip.shasum,
        });
        // The first member of a new document, as in the protocol's example.
        document.set("protocols", version.protocols.to_strings().into());
        document.set("os", platform.os().into());
        document.set("arch", platform.arch().into());
        document.set("filename", zip.filename.clone().into());
        document.set("download_url", zip.link.clone().into());
        Self { filename: zip.filename.clone(), shasum: zip.shasum, ..document }.on(version)
    }

    /// Returns the document with its version's protocols and packages, pointing to another signed SHA256SUMS.
    #[must_use]
    pub fn on(&self, version: OfVersion<'_>) -> Self {
        let OfVersion { protocols, sums, packages, links } = version;
        // All links of a version have the same base; a link to a zip outside of the registry is not changed.
        let mut document = self.linked(links);
        document.set("protocols", protocols.to_strings().into());
        document.set("shasums_url", sums.sums_link.clone().into());
        document.set("shasums_signature_url", sums.signature_link.clone().into());
        document.set("shasum", self.shasum.to_string().into());
        document.signed_by(&sums.signature_link, &sums.key_id, &sums.public_key).with_packages(packages)
    }

    /// Returns the document with these packages, or with none.
    #[must_use]
    pub fn with_packages(mut self, packages: Option<&Packages>) -> Self {
        match packages {
            Some(packages) => packages.set_in(&mut self.object),
            None => self.object.remove(PACKAGES),
        }
        self
    }

    /// Returns the document with its links in the form of `links`. A link that has no key of a registry stays.
    #[must_use]
    pub fn linked(&self, links: &Links) -> Self {
        let mut document = self.clone();
        for (name, link) in self.links() {
            if let Some(key) = Links::target(link) {
                document.set(name, links.to(&key).into());
            }
        }
        document
    }

    /// The links, as written, with the names of their members.
    fn links(&self) -> impl Iterator<Item = (&'static str, &str)> {
        LINKS.into_iter().filter_map(|name| Some((name, self.values.get(name)?.as_str()?)))
    }

    /// The texts with which the links begin, without those that have no key of a registry.
    pub fn link_bases(&self) -> impl Iterator<Item = &str> {
        self.links().filter_map(|(_, link)| Links::base_of(link))
    }

    /// The links that have no key of a registry.
    pub fn foreign_links(&self) -> impl Iterator<Item = &str> {
        self.links().map(|(_, link)| link).filter(|link| Links::target(link).is_none())
    }

    /// Returns the document with another signature of its SHA256SUMS, and the public key of that signature.
    #[must_use]
    pub fn signed_by(&self, signature_link: &str, key_id: &KeyId, public_key: &str) -> Self {
        let mut document = self.clone();
        document.set("shasums_signature_url", signature_link.into());
        let mut keys = self.object.object(SIGNING_KEYS);
        let same_key = |entry: &RawObject| entry.value("key_id").is_some_and(|id| id == key_id.as_str());
        let earlier = keys.objects(PUBLIC_KEYS).into_iter().find(same_key);
        // Depth 3: the document, its keys, their list, the key.
        let mut entry = earlier.unwrap_or_else(|| RawObject::new(3));
        entry.set("key_id", &key_id.as_str().into());
        entry.set("ascii_armor", &public_key.into());
        keys.set_objects(PUBLIC_KEYS, &[entry]);
        document.object.set_object(SIGNING_KEYS, &keys);
        if let Some(keys) = document.object.value(SIGNING_KEYS) {
            document.values.insert(SIGNING_KEYS.to_owned(), keys);
        }
        document
    }

    fn set(&mut self, name: &str, value: Value) {
        self.object.set(name, &value);
        self.values.insert(name.to_owned(), value);
    }

    /// The key under which it is stored.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The armored public keys, as written, in their order.
    #[must_use]
    pub fn public_keys(&self) -> Vec<&str> {
        let keys = self.values.get(SIGNING_KEYS).and_then(|keys| keys.get(PUBLIC_KEYS));
        let keys = keys.and_then(Value::as_array).into_iter().flatten();
        keys.filter_map(|key| key.get("ascii_armor").and_then(Value::as_str)).collect()
    }

    /// The ids of the public keys, as written, in their order.
    #[must_use]
    pub fn key_ids(&self) -> Vec<&str> {
        let keys = self.values.get(SIGNING_KEYS).and_then(|keys| keys.get(PUBLIC_KEYS));
        let keys = keys.and_then(Value::as_array).into_iter().flatten();
        keys.filter_map(|key| key.get("key_id").and_then(Value::as_str)).collect()
    }

    /// What the member `packages` says of the zip of a platform; `None` if it says nothing. Source: OpenTofu 1.12.
    #[must_use]
    pub fn package(&self, platform: &Platform) -> Option<TellsOfZip> {
        let packages = self.object.value(PACKAGES)?;
        let package = packages.get(platform.to_string())?;
        let mut hashes = package.get("hashes").and_then(Value::as_array).into_iter().flatten();
        let h1 = hashes.find_map(|hash| hash.as_str().filter(|hash| hash.starts_with("h1:")));
        let bytes = package.get("package_size").and_then(Value::as_u64);
        Some(TellsOfZip { h1: h1.map(str::to_owned), bytes })
    }

    /// The zip's name in SHA256SUMS.
    #[must_use]
    pub fn filename(&self) -> &str {
        &self.filename
    }

    /// The zip's SHA-256.
    #[must_use]
    pub fn shasum(&self) -> Digest {
        self.shasum
    }

    /// The protocols, as written.
    ///
    /// # Errors
    /// They are not a list of strings.
    pub fn protocols(&self) -> Result<Vec<String>, Refusal> {
        json::strings(&self.key, &self.values, "protocols")
    }

    /// The link to the zip, as written.
    ///
    /// # Errors
    /// There is none.
    pub fn zip_link(&self) -> Result<&str, Refusal> {
        json::string(&self.key, &self.values, "download_url")
    }

    /// The link to the signature of SHA256SUMS, as written.
    ///
    /// # Errors
    /// There is none.
    pub fn signature_link(&self) -> Result<&str, Refusal> {
        json::string(&self.key, &self.values, "shasums_signature_url")
    }

    /// The link to SHA256SUMS, as written.
    ///
    /// # Errors
    /// There is none.
    pub fn sums_link(&self) -> Result<&str, Refusal> {
        json::string(&self.key, &self.values, "shasums_url")
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
    use crate::content::DirHash;
    use crate::provider::{Provider, ReleaseId};
    use crate::registry::ZipFacts;

    fn platform() -> Platform {
        "linux_amd64".parse().unwrap()
    }

    fn key() -> Key {
        let provider = Provider { namespace: "acme".parse().unwrap(), provider_type: "x".parse().unwrap() };
        Key::Download {
            release: ReleaseId { provider, version: "1.0.0".parse().unwrap() },
            platform: platform(),
        }
    }

    fn document(earlier: Option<&DownloadDocument>) -> DownloadDocument {
        let zip = OfferedZip { link: "/z".into(), filename: "x.zip".into(), shasum: Digest::of(b"zip") };
        let sums = SignedSums {
            sums_link: "/s".into(),
            signature_link: "/g".into(),
            key_id: "0123456789ABCDEF".parse().unwrap(),
            public_key: "armor".into(),
        };
        let protocols = Protocols::new(["6.0".parse().unwrap()]).unwrap();
        let facts = ZipFacts { shasum: zip.shasum, h1: DirHash::of([("x", zip.shasum)]), size: 3 };
        let packages: Packages = [(platform(), facts)].into_iter().collect();
        let version = OfVersion {
            protocols: &protocols,
            sums: &sums,
            packages: Some(&packages),
            links: &Links::RootRelative,
        };
        DownloadDocument::offering(&key(), earlier, &platform(), &zip, version)
    }

    #[test]
    fn a_document_has_all_that_the_protocol_names() {
        let text = String::from_utf8(document(None).to_bytes()).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        let shasum = Digest::of(b"zip");
        let hashes = [format!("zh:{shasum}"), DirHash::of([("x", shasum)]).to_string()];
        let expected = serde_json::json!({
            "protocols": ["6.0"], "os": "linux", "arch": "amd64", "filename": "x.zip", "download_url": "/z",
            "shasums_url": "/s", "shasums_signature_url": "/g", "shasum": Digest::of(b"zip").to_string(),
            "signing_keys": {"gpg_public_keys": [{"key_id": "0123456789ABCDEF", "ascii_armor": "armor"}]},
            "packages": {"linux_amd64": {"hashes": hashes, "package_size": 3}},
        });
        assert_eq!(value, expected);
        assert_eq!(DownloadDocument::parse(&key(), &platform(), text.as_bytes()), Ok(document(None)));
    }

    #[test]
    fn packages_are_whole_or_not_there() {
        let text = String::from_utf8(document(None).with_packages(None).to_bytes()).unwrap();
        assert!(!text.contains("packages") && text.contains("signing_keys"), "{text}");
    }

    #[test]
    fn unknown_members_are_kept() {
        let mut text = String::from_utf8(document(None).to_bytes()).unwrap();
        text = text
            .replacen('{', "{\"note\": [1, 2.50],", 1)
            .replace("\"gpg_public_keys\"", "\"other\": 1, \"gpg_public_keys\"");
        let earlier = DownloadDocument::parse(&key(), &platform(), text.as_bytes()).unwrap();
        let again = document(Some(&earlier));
        assert_eq!(again, earlier);
        let text = String::from_utf8(again.to_bytes()).unwrap();
        assert!(
            text.contains("\"note\"") && text.contains("2.50") && text.contains("\"other\": 1"),
            "{text}"
        );
    }

    #[test]
    fn what_is_said_of_zips_is_read() {
        let packages = r#"{"packages": {"linux_amd64": {"hashes": ["zh:00", "h1:abc="], "package_size": 7}, "x_y": {}},"#;
        let text = String::from_utf8(document(None).with_packages(None).to_bytes()).unwrap();
        let text = text.replacen('{', packages, 1);
        let document = DownloadDocument::parse(&key(), &platform(), text.as_bytes()).unwrap();
        let told = TellsOfZip { h1: Some("h1:abc=".to_owned()), bytes: Some(7) };
        assert_eq!(document.package(&platform()), Some(told));
        assert_eq!(document.package(&"x_y".parse().unwrap()), Some(TellsOfZip { h1: None, bytes: None }));
        assert_eq!(document.package(&"darwin_arm64".parse().unwrap()), None);
        assert_eq!(document.key_ids(), ["0123456789ABCDEF"]);
    }

    #[test]
    fn what_cannot_be_understood_is_refused() {
        let good = String::from_utf8(document(None).to_bytes()).unwrap();
        for bad in [
            String::new(),
            "{}".to_owned(),
            good.replace("\"linux\"", "\"darwin\""),
            good.replace("\"amd64\"", "64"),
            good.replace("\"shasum\"", "\"sha\""),
            good.replace(&format!("\"{}\"", Digest::of(b"zip")), "\"abc\""),
            good.replace("\"filename\"", "\"file\""),
            good.replace("x.zip", "x.zip\\n0000"),
            good.replace("x.zip", "../x.zip"),
            good.replace("x.zip", ""),
        ] {
            assert!(DownloadDocument::parse(&key(), &platform(), bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
