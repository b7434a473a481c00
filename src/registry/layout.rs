//! Every object of a registry: its key, its URL, its content type, its cache rule and how it may be written.
//!
//! No other module of the program formats or parses a key.
//!
//! ```text
//! .well-known/terraform.json
//! registry/NS/TYPE/versions
//! registry/NS/TYPE/VERSION/download/OS/ARCH
//! registry/NS/TYPE/VERSION/yanked
//! store/NS/TYPE/VERSION/D/terraform-provider-TYPE_VERSION_OS_ARCH.zip
//! store/NS/TYPE/VERSION/D/terraform-provider-TYPE_VERSION_SHA256SUMS
//! store/NS/TYPE/VERSION/D/terraform-provider-TYPE_VERSION_SHA256SUMS.KEYID.sig
//! store/NS/TYPE/VERSION/D/provenance.json
//! store/NS/TYPE/VERSION/D/provenance.json.KEYID.sig
//! ```

use std::fmt;
use std::str::FromStr;

use url::Url;

use crate::content::ShortDigest;
use crate::openpgp::KeyId;
use crate::provider::{InvalidName, Platform, Provider, ReleaseId, Version};

/// An object of the registry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// The discovery document (remote service discovery).
    Discovery,
    /// The index of a provider's versions.
    Versions {
        /// The provider.
        provider: Provider,
    },
    /// The download document of a platform.
    Download {
        /// Its release.
        release: ReleaseId,
        /// The platform.
        platform: Platform,
    },
    /// The record that a version is, or was, yanked.
    Yanked {
        /// The release.
        release: ReleaseId,
    },
    /// A platform's zip.
    Zip {
        /// Its release.
        release: ReleaseId,
        /// The platform.
        platform: Platform,
        /// The zip's own digest.
        digest: ShortDigest,
    },
    /// A version's SHA256SUMS.
    Sums {
        /// Its release.
        release: ReleaseId,
        /// The file's own digest.
        digest: ShortDigest,
    },
    /// A signature of a SHA256SUMS.
    Signature {
        /// Its release.
        release: ReleaseId,
        /// The digest of the SHA256SUMS.
        digest: ShortDigest,
        /// The key that signed it.
        key_id: KeyId,
    },
    /// The record of the publish that made a SHA256SUMS.
    Provenance {
        /// Its release.
        release: ReleaseId,
        /// The digest of the SHA256SUMS.
        digest: ShortDigest,
    },
    /// A signature of that record.
    ProvenanceSignature {
        /// Its release.
        release: ReleaseId,
        /// The digest of the SHA256SUMS.
        digest: ShortDigest,
        /// The key that signed it.
        key_id: KeyId,
    },
}

/// The condition under which an object may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteRule {
    /// Created once, never changed or deleted.
    CreateOnly,
    /// Created, or replaced if it is unchanged since it was read.
    CompareAndSwap,
}

/// How long clients and CDNs may keep a document; the store's objects never change and have no such setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DocumentMaxAge(pub u32);

impl Default for DocumentMaxAge {
    /// One minute: a release is visible soon, and a CDN still absorbs nearly all reads.
    fn default() -> Self {
        Self(60)
    }
}

/// A part of a registry whose keys have a common prefix: a rule of a server, such as an S3 policy, can name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Area {
    /// Zips, SHA256SUMS, records of publishes, and signatures.
    Store,
    /// The index, the download documents and the records of yanked versions.
    Registry,
    /// Discovery.
    Discovery,
}

impl Area {
    /// Every area; together they hold every key.
    pub const ALL: [Self; 3] = [Self::Store, Self::Registry, Self::Discovery];

    /// A pattern that matches the area's keys; `*` matches any text, slashes included. Without the target's prefix.
    #[must_use]
    pub fn pattern(self) -> &'static str {
        match self {
            Self::Store => "store/*",
            Self::Registry => "registry/*",
            Self::Discovery => DISCOVERY,
        }
    }

    /// The writes that a server may allow in this area. tfreg never changes discovery, but a host's owner may: it can
    /// name other services.
    #[must_use]
    pub fn write_rule(self) -> WriteRule {
        match self {
            Self::Store => WriteRule::CreateOnly,
            Self::Registry | Self::Discovery => WriteRule::CompareAndSwap,
        }
    }
}

const DISCOVERY: &str = ".well-known/terraform.json";
const JSON: &str = "application/json";
const PROVENANCE: &str = "provenance.json";

impl Key {
    /// The file name of a platform's zip, by which SHA256SUMS lists it.
    #[must_use]
    pub fn zip_file_name(provider: &Provider, version: &Version, platform: &Platform) -> String {
        format!("{}_{platform}.zip", stem(provider, version))
    }

    /// The platform whose zip of this version has this file name; `None` for any other file.
    #[must_use]
    pub fn zip_platform(provider: &Provider, version: &Version, name: &str) -> Option<Platform> {
        let rest = name.strip_prefix(&stem(provider, version))?.strip_prefix('_')?;
        rest.strip_suffix(".zip")?.parse().ok()
    }

    /// The content type that clients get. Terraform demands exactly `application/json` for discovery.
    #[must_use]
    pub fn content_type(&self) -> &'static str {
        match self {
            Self::Discovery
            | Self::Versions { .. }
            | Self::Download { .. }
            | Self::Yanked { .. }
            | Self::Provenance { .. } => JSON,
            Self::Zip { .. } => "application/zip",
            Self::Sums { .. } => "text/plain; charset=utf-8",
            Self::Signature { .. } | Self::ProvenanceSignature { .. } => "application/pgp-signature",
        }
    }

    /// The `Cache-Control` that clients and CDNs get.
    #[must_use]
    pub fn cache_control(&self, max_age: DocumentMaxAge) -> String {
        match self.area() {
            Area::Discovery | Area::Registry => format!("public, max-age={}, must-revalidate", max_age.0),
            Area::Store => "public, max-age=31536000, immutable".to_owned(),
        }
    }

    /// How the object may be written.
    #[must_use]
    pub fn write_rule(&self) -> WriteRule {
        match self.area() {
            Area::Registry => WriteRule::CompareAndSwap,
            Area::Discovery | Area::Store => WriteRule::CreateOnly,
        }
    }

    /// The part of the registry that the object is in.
    #[must_use]
    pub fn area(&self) -> Area {
        match self {
            Self::Discovery => Area::Discovery,
            Self::Versions { .. } | Self::Download { .. } | Self::Yanked { .. } => Area::Registry,
            Self::Zip { .. }
            | Self::Sums { .. }
            | Self::Signature { .. }
            | Self::Provenance { .. }
            | Self::ProvenanceSignature { .. } => Area::Store,
        }
    }
}

/// `terraform-provider-TYPE_VERSION`, the prefix of all file names in `store/`.
fn stem(provider: &Provider, version: &Version) -> String {
    format!("terraform-provider-{}_{version}", provider.provider_type)
}

impl fmt::Display for Key {
    /// The key, without the target's prefix and without a leading slash.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Discovery => f.write_str(DISCOVERY),
            Self::Versions { provider } => write!(f, "registry/{provider}/versions"),
            Self::Download { release: ReleaseId { provider, version }, platform } => {
                write!(f, "registry/{provider}/{version}/download/{}/{}", platform.os(), platform.arch())
            }
            Self::Yanked { release: ReleaseId { provider, version } } => {
                write!(f, "registry/{provider}/{version}/yanked")
            }
            Self::Zip { release: ReleaseId { provider, version }, platform, digest } => {
                let name = Self::zip_file_name(provider, version, platform);
                write!(f, "store/{provider}/{version}/{digest}/{name}")
            }
            Self::Sums { release: ReleaseId { provider, version }, digest } => {
                write!(f, "store/{provider}/{version}/{digest}/{}_SHA256SUMS", stem(provider, version))
            }
            Self::Signature { release: ReleaseId { provider, version }, digest, key_id } => {
                let stem = stem(provider, version);
                write!(f, "store/{provider}/{version}/{digest}/{stem}_SHA256SUMS.{key_id}.sig")
            }
            Self::Provenance { release: ReleaseId { provider, version }, digest } => {
                write!(f, "store/{provider}/{version}/{digest}/{PROVENANCE}")
            }
            Self::ProvenanceSignature { release: ReleaseId { provider, version }, digest, key_id } => {
                write!(f, "store/{provider}/{version}/{digest}/{PROVENANCE}.{key_id}.sig")
            }
        }
    }
}

/// A folder of the registry that can be listed; its text ends in a slash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Folder(String);

impl Folder {
    /// All documents of a provider.
    #[must_use]
    pub fn provider(provider: &Provider) -> Self {
        Self(format!("registry/{provider}/"))
    }

    /// The documents of a version.
    #[must_use]
    pub fn version(provider: &Provider, version: &Version) -> Self {
        Self(format!("registry/{provider}/{version}/"))
    }

    /// The folder's key.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is not a key of a registry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an object of a registry")]
pub struct NotAKey;

impl From<InvalidName> for NotAKey {
    fn from(_: InvalidName) -> Self {
        Self
    }
}

impl FromStr for Key {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let parts: Vec<&str> = text.split('/').collect();
        let provider = |namespace: &str, provider_type: &str| -> Result<Provider, NotAKey> {
            Ok(Provider { namespace: namespace.parse()?, provider_type: provider_type.parse()? })
        };
        let key = match parts.as_slice() {
            [".well-known", "terraform.json"] => Self::Discovery,
            ["registry", ns, ty, "versions"] => Self::Versions { provider: provider(ns, ty)? },
            ["registry", ns, ty, version, "download", os, arch] => Self::Download {
                release: ReleaseId { provider: provider(ns, ty)?, version: version.parse()? },
                platform: Platform::new(os, arch)?,
            },
            ["registry", ns, ty, version, "yanked"] => {
                Self::Yanked { release: ReleaseId { provider: provider(ns, ty)?, version: version.parse()? } }
            }
            ["store", ns, ty, version, digest, name] => {
                let release = ReleaseId { provider: provider(ns, ty)?, version: version.parse()? };
                let digest = digest.parse().map_err(|_| NotAKey)?;
                // The key id in a file name, after the name of the file that is signed.
                let key_id = |rest: &str| {
                    let id = rest.strip_prefix('.').and_then(|rest| rest.strip_suffix(".sig"));
                    id.and_then(|id| id.parse::<KeyId>().ok()).ok_or(NotAKey)
                };
                match name.strip_prefix(PROVENANCE) {
                    Some("") => {
                        return Ok(Self::Provenance { release, digest });
                    }
                    Some(rest) => {
                        return Ok(Self::ProvenanceSignature { release, digest, key_id: key_id(rest)? });
                    }
                    None => {}
                }
                let rest = name
                    .strip_prefix(&stem(&release.provider, &release.version))
                    .and_then(|rest| rest.strip_prefix('_'));
                let rest = rest.ok_or(NotAKey)?;
                match rest.strip_prefix("SHA256SUMS") {
                    Some("") => Self::Sums { release, digest },
                    Some(rest) => Self::Signature { release, digest, key_id: key_id(rest)? },
                    None => {
                        let platform = rest.strip_suffix(".zip").ok_or(NotAKey)?;
                        Self::Zip { release, platform: platform.parse()?, digest }
                    }
                }
            }
            _ => return Err(NotAKey),
        };
        Ok(key)
    }
}

/// The form of the links in documents.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Links {
    /// `/store/…`: one tree works on every host, and the tree of a dry run can be served unchanged. Clients resolve
    /// such a link against the document's final URL.
    #[default]
    RootRelative,
    /// `https://HOST/PREFIX/store/…`.
    Absolute(BaseUrl),
}

/// The absolute URL under which a registry's keys are served; ends in a slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl(String);

impl FromStr for BaseUrl {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let invalid =
            |rule: &str| InvalidName { what: "base URL", found: text.to_owned(), rule: rule.to_owned() };
        let url = Url::parse(text).map_err(|_| invalid("expected https://HOST/ or https://HOST/PREFIX/"))?;
        if !matches!(url.scheme(), "https" | "http") || url.host_str().is_none_or(str::is_empty) {
            return Err(invalid("expected https://HOST/ or https://HOST/PREFIX/"));
        }
        if url.query().is_some()
            || url.fragment().is_some()
            || !url.username().is_empty()
            || url.password().is_some()
        {
            return Err(invalid("it may have no user, password, query or fragment"));
        }
        let mut base = url.to_string();
        if !base.ends_with('/') {
            base.push('/');
        }
        Ok(Self(base))
    }
}

impl Links {
    fn base(&self) -> &str {
        match self {
            Self::RootRelative => "/",
            Self::Absolute(base) => &base.0,
        }
    }

    /// The link to an object.
    #[must_use]
    pub fn to(&self, key: &Key) -> String {
        format!("{}{key}", self.base())
    }

    /// The address of the provider registry service. Its trailing slash is required: clients do not add one.
    #[must_use]
    pub fn service(&self) -> String {
        format!("{}registry/", self.base())
    }

    /// The object that a link points to, on any host and under any prefix; `None` if the link has no key of a registry.
    #[must_use]
    pub fn target(link: &str) -> Option<Key> {
        Self::split(link).map(|(_, key)| key)
    }

    /// The link to another object, on the host and under the prefix of `link`; `None` if that has no key of a registry.
    #[must_use]
    pub fn beside(link: &str, key: &Key) -> Option<String> {
        Self::split(link).map(|(base, _)| format!("{base}{key}"))
    }

    fn split(link: &str) -> Option<(&str, Key)> {
        let end = link.find(['?', '#']).unwrap_or(link.len());
        link[..end]
            .match_indices('/')
            .find_map(|(at, _)| Some((&link[..=at], link[at + 1..end].parse().ok()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::Digest;
    use WriteRule::{CompareAndSwap, CreateOnly};

    fn keys() -> Vec<Key> {
        let provider =
            Provider { namespace: "acme".parse().unwrap(), provider_type: "my-x".parse().unwrap() };
        let release = ReleaseId { provider: provider.clone(), version: "1.2.3-rc.1".parse().unwrap() };
        let platform: Platform = "linux_amd64".parse().unwrap();
        let digest = Digest::of(b"abc").short();
        vec![
            Key::Discovery,
            Key::Versions { provider },
            Key::Download { release: release.clone(), platform: platform.clone() },
            Key::Yanked { release: release.clone() },
            Key::Zip { release: release.clone(), platform, digest },
            Key::Sums { release: release.clone(), digest },
            Key::Signature { release: release.clone(), digest, key_id: "0123456789ABCDEF".parse().unwrap() },
            Key::Provenance { release: release.clone(), digest },
            Key::ProvenanceSignature { release, digest, key_id: "0123456789ABCDEF".parse().unwrap() },
        ]
    }

    #[test]
    fn keys_are_those_of_the_design() {
        let written: Vec<String> = keys().iter().map(ToString::to_string).collect();
        let folder = "store/acme/my-x/1.2.3-rc.1/ba7816bf8f01cfea";
        let store = format!("{folder}/terraform-provider-my-x_1.2.3-rc.1");
        assert_eq!(
            written,
            [
                ".well-known/terraform.json".to_owned(),
                "registry/acme/my-x/versions".to_owned(),
                "registry/acme/my-x/1.2.3-rc.1/download/linux/amd64".to_owned(),
                "registry/acme/my-x/1.2.3-rc.1/yanked".to_owned(),
                format!("{store}_linux_amd64.zip"),
                format!("{store}_SHA256SUMS"),
                format!("{store}_SHA256SUMS.0123456789ABCDEF.sig"),
                format!("{folder}/provenance.json"),
                format!("{folder}/provenance.json.0123456789ABCDEF.sig"),
            ]
        );
        for (key, text) in keys().into_iter().zip(written) {
            assert_eq!(text.parse(), Ok(key));
        }
    }

    #[test]
    fn a_zips_name_tells_its_platform_and_no_other_version() {
        let provider =
            Provider { namespace: "acme".parse().unwrap(), provider_type: "my-x".parse().unwrap() };
        let version: Version = "1.2.3".parse().unwrap();
        let platform = |name: &str| Key::zip_platform(&provider, &version, name);
        let name = Key::zip_file_name(&provider, &version, &"linux_amd64".parse().unwrap());
        assert_eq!(platform(&name), Some("linux_amd64".parse().unwrap()));
        for other in [
            "terraform-provider-my-x_1.2.30_linux_amd64.zip",
            "terraform-provider-my-x_1.2.3-rc.1_linux_amd64.zip",
            "terraform-provider-my-xy_1.2.3_linux_amd64.zip",
            "terraform-provider-my-x_1.2.3_linux.zip",
            "terraform-provider-my-x_1.2.3_linux_amd64_v1.zip",
            "terraform-provider-my-x_1.2.3_manifest.json",
            "terraform-provider-my-x_1.2.3_linux_amd64.zip.zip",
            "x.zip",
        ] {
            assert_eq!(platform(other), None, "{other}");
        }
    }

    #[test]
    fn every_key_is_in_one_area() {
        for key in keys() {
            let text = key.to_string();
            let here = Area::ALL.into_iter().filter(|area| match area.pattern().strip_suffix('*') {
                Some(start) => text.starts_with(start),
                None => text == area.pattern(),
            });
            let areas: Vec<Area> = here.collect();
            assert_eq!(areas.len(), 1, "{text}");
            // Every write of the program is one that the area allows.
            assert_eq!(areas[0], key.area(), "{text}");
            assert!(areas[0].write_rule() == CompareAndSwap || key.write_rule() == CreateOnly, "{text}");
        }
    }

    #[test]
    fn other_texts_are_no_keys() {
        for text in [
            "",
            "/registry/acme/x/versions",
            "registry/acme/x/versions/",
            "registry/../x/versions",
            "registry/acme/x/v1.0.0/download/linux/amd64",
            "store/acme/x/1.0.0/ba7816bf8f01cfea/terraform-provider-y_1.0.0_linux_amd64.zip",
            "store/acme/x/1.0.0/BA7816BF8F01CFEA/terraform-provider-x_1.0.0_linux_amd64.zip",
            "store/acme/x/1.0.0/ba7816bf8f01cfea/terraform-provider-x_1.0.0_SHA256SUMS.sig",
        ] {
            assert_eq!(text.parse::<Key>(), Err(NotAKey), "{text}");
        }
    }

    #[test]
    fn links_lead_to_keys_and_back() {
        let absolute = |text: &str| Links::Absolute(text.parse().unwrap());
        for (links, start) in [
            (Links::RootRelative, "/"),
            (absolute("https://example.com"), "https://example.com/"),
            (absolute("https://example.com/store/registry"), "https://example.com/store/registry/"),
        ] {
            for key in keys().into_iter().skip(1) {
                let link = links.to(&key);
                assert_eq!(link, format!("{start}{key}"));
                assert_eq!(Links::target(&link).as_ref(), Some(&key));
                assert_eq!(Links::beside(&links.to(&Key::Discovery), &key), Some(link));
            }
            assert_eq!(links.service(), format!("{start}registry/"));
        }
        assert_eq!(Links::target("https://elsewhere.example/x.zip"), None);
    }

    #[test]
    fn base_urls_are_checked() {
        for bad in [
            "",
            "example.com",
            "/x/",
            "ftp://h/",
            "https://",
            "https://h/?q",
            "https://h/#f",
            "https://u:p@h/",
        ] {
            assert!(bad.parse::<BaseUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn rules_and_types() {
        let types: Vec<_> = keys().iter().map(|key| (key.content_type(), key.write_rule())).collect();
        assert_eq!(
            types,
            [
                ("application/json", CreateOnly),
                ("application/json", CompareAndSwap),
                ("application/json", CompareAndSwap),
                ("application/json", CompareAndSwap),
                ("application/zip", CreateOnly),
                ("text/plain; charset=utf-8", CreateOnly),
                ("application/pgp-signature", CreateOnly),
                ("application/json", CreateOnly),
                ("application/pgp-signature", CreateOnly),
            ]
        );
        assert_eq!(keys()[1].cache_control(DocumentMaxAge(5)), "public, max-age=5, must-revalidate");
        assert_eq!(keys()[4].cache_control(DocumentMaxAge(5)), "public, max-age=31536000, immutable");
    }
}
