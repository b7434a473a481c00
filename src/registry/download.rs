//! The download document of one platform: `GET :namespace/:type/:version/download/:os/:arch` of the provider registry
//! protocol.

use serde_json::Value;

use super::json::{self, Object};
use super::layout::{Key, Links};
use crate::digest::Digest;
use crate::error::Refusal;
use crate::package::Checksums;
use crate::provider::{Platform, Protocols};

/// A platform's download document; members that are not understood are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownloadDocument {
    object: Object,
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
    /// The id of the key that made it, as clients name it.
    pub key_id: String,
    /// The armored public key.
    pub public_key: String,
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

impl DownloadDocument {
    /// Reads the document at `key`, which must be that of `platform`.
    ///
    /// # Errors
    /// It is not a download document, or one for another platform.
    pub fn parse(key: &Key, platform: &Platform, bytes: &[u8]) -> Result<Self, Refusal> {
        let object = json::parse(key, bytes)?;
        for (name, expected) in [("os", platform.os()), ("arch", platform.arch())] {
            let found = json::string(key, &object, name)?;
            if found != expected {
                return Err(json::refuse(
                    key,
                    format!("{name:?} is {found:?}, which is not what the key says"),
                ));
            }
        }
        let filename = json::string(key, &object, "filename")?.to_owned();
        // It becomes a line of SHA256SUMS.
        if !Checksums::is_plain_name(&filename) {
            return Err(json::refuse(
                key,
                format!("\"filename\" is {filename:?}, which is no plain file name"),
            ));
        }
        let shasum = json::string(key, &object, "shasum")?;
        let shasum = shasum.parse().map_err(|error| json::refuse(key, format!("\"shasum\" is {error}")))?;
        Ok(Self { object, filename, shasum })
    }

    /// The document that offers `zip` for `platform`, on `sums`. What an earlier document holds beyond that is kept.
    #[must_use]
    pub fn offering(
        earlier: Option<&Self>,
        platform: &Platform,
        protocols: &Protocols,
        zip: &OfferedZip,
        sums: &SignedSums,
        links: &Links,
    ) -> Self {
        let mut object = earlier.map(|document| document.object.clone()).unwrap_or_default();
        // First in a new document, as in the protocol's example.
        object.insert("protocols".to_owned(), protocols.to_strings().into());
        object.insert("os".to_owned(), platform.os().into());
        object.insert("arch".to_owned(), platform.arch().into());
        object.insert("filename".to_owned(), zip.filename.clone().into());
        object.insert("download_url".to_owned(), zip.link.clone().into());
        let document = Self { object, filename: zip.filename.clone(), shasum: zip.shasum };
        document.on(protocols, sums, links)
    }

    /// The same document with its version's protocols, pointing to another signed SHA256SUMS, by `links`.
    #[must_use]
    pub fn on(&self, protocols: &Protocols, sums: &SignedSums, links: &Links) -> Self {
        let mut object = self.object.clone();
        // All links of a version begin alike; where the zip is elsewhere, it stays there.
        if let Some(key) = object.get("download_url").and_then(Value::as_str).and_then(Links::target) {
            object.insert("download_url".to_owned(), links.to(&key).into());
        }
        object.insert("protocols".to_owned(), protocols.to_strings().into());
        object.insert("shasums_url".to_owned(), sums.sums_link.clone().into());
        object.insert("shasums_signature_url".to_owned(), sums.signature_link.clone().into());
        object.insert("shasum".to_owned(), self.shasum.to_string().into());
        Self { object, ..self.clone() }.signed_by(&sums.signature_link, &sums.key_id, &sums.public_key)
    }

    /// The same document with another signature of its SHA256SUMS, and the public key that it is by.
    #[must_use]
    pub fn signed_by(&self, signature_link: &str, key_id: &str, public_key: &str) -> Self {
        let mut object = self.object.clone();
        object.insert("shasums_signature_url".to_owned(), signature_link.into());
        let mut keys = object.get("signing_keys").and_then(Value::as_object).cloned().unwrap_or_default();
        let same_key = |entry: &&Value| entry.get("key_id").and_then(Value::as_str) == Some(key_id);
        let earlier =
            keys.get("gpg_public_keys").and_then(Value::as_array).and_then(|list| list.iter().find(same_key));
        let mut entry = earlier.and_then(Value::as_object).cloned().unwrap_or_default();
        entry.insert("key_id".to_owned(), key_id.into());
        entry.insert("ascii_armor".to_owned(), public_key.into());
        keys.insert("gpg_public_keys".to_owned(), Value::Array(vec![Value::Object(entry)]));
        object.insert("signing_keys".to_owned(), Value::Object(keys));
        Self { object, ..self.clone() }
    }

    /// The armored public keys, as written, in their order.
    #[must_use]
    pub fn public_keys(&self) -> Vec<&str> {
        let keys = self.object.get("signing_keys").and_then(|keys| keys.get("gpg_public_keys"));
        let keys = keys.and_then(Value::as_array).into_iter().flatten();
        keys.filter_map(|key| key.get("ascii_armor").and_then(Value::as_str)).collect()
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
    pub fn protocols(&self, key: &Key) -> Result<Vec<String>, Refusal> {
        json::strings(key, &self.object, "protocols")
    }

    /// The link to the zip, as written.
    ///
    /// # Errors
    /// There is none.
    pub fn zip_link(&self, key: &Key) -> Result<&str, Refusal> {
        json::string(key, &self.object, "download_url")
    }

    /// The link to the signature of SHA256SUMS, as written.
    ///
    /// # Errors
    /// There is none.
    pub fn signature_link(&self, key: &Key) -> Result<&str, Refusal> {
        json::string(key, &self.object, "shasums_signature_url")
    }

    /// The link to SHA256SUMS, as written.
    ///
    /// # Errors
    /// There is none.
    pub fn sums_link(&self, key: &Key) -> Result<&str, Refusal> {
        json::string(key, &self.object, "shasums_url")
    }

    /// The document's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        json::to_bytes(&self.object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::Provider;

    fn platform() -> Platform {
        "linux_amd64".parse().unwrap()
    }

    fn key() -> Key {
        let provider = Provider { namespace: "acme".parse().unwrap(), provider_type: "x".parse().unwrap() };
        Key::Download(provider, "1.0.0".parse().unwrap(), platform())
    }

    fn document(earlier: Option<&DownloadDocument>) -> DownloadDocument {
        let zip = OfferedZip { link: "/z".into(), filename: "x.zip".into(), shasum: Digest::of(b"zip") };
        let sums = SignedSums {
            sums_link: "/s".into(),
            signature_link: "/g".into(),
            key_id: "0123456789ABCDEF".into(),
            public_key: "armor".into(),
        };
        let protocols = Protocols::new(["6.0".parse().unwrap()]).unwrap();
        DownloadDocument::offering(earlier, &platform(), &protocols, &zip, &sums, &Links::RootRelative)
    }

    #[test]
    fn a_document_has_all_that_the_protocol_names() {
        let text = String::from_utf8(document(None).to_bytes()).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        let expected = serde_json::json!({
            "protocols": ["6.0"], "os": "linux", "arch": "amd64", "filename": "x.zip", "download_url": "/z",
            "shasums_url": "/s", "shasums_signature_url": "/g", "shasum": Digest::of(b"zip").to_string(),
            "signing_keys": {"gpg_public_keys": [{"key_id": "0123456789ABCDEF", "ascii_armor": "armor"}]},
        });
        assert_eq!(value, expected);
        assert_eq!(DownloadDocument::parse(&key(), &platform(), text.as_bytes()), Ok(document(None)));
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
    fn what_cannot_be_understood_is_refused() {
        let good = String::from_utf8(document(None).to_bytes()).unwrap();
        for bad in [
            String::new(),
            "{}".to_owned(),
            good.replace("\"linux\"", "\"darwin\""),
            good.replace("\"amd64\"", "64"),
            good.replace("\"shasum\"", "\"sha\""),
            good.replace(&Digest::of(b"zip").to_string(), "abc"),
            good.replace("\"filename\"", "\"file\""),
            good.replace("x.zip", "x.zip\\n0000"),
            good.replace("x.zip", "../x.zip"),
            good.replace("x.zip", ""),
        ] {
            assert!(DownloadDocument::parse(&key(), &platform(), bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
