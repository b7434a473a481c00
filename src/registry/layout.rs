//! Every object of a registry: its key, its URL, its content type, its cache rule and how it may be written.
//!
//! No other module of the program formats or parses a key.
//!
//! ```text
//! .well-known/terraform.json
//! registry/settings.json
//! registry/NS/TYPE/versions
//! registry/NS/TYPE/VERSION/download/OS/ARCH
//! registry/NS/TYPE/VERSION/yanked
//! store/NS/TYPE/VERSION/D/terraform-provider-TYPE_VERSION_OS_ARCH.zip
//! store/NS/TYPE/VERSION/D/terraform-provider-TYPE_VERSION_SHA256SUMS
//! store/NS/TYPE/VERSION/D/terraform-provider-TYPE_VERSION_SHA256SUMS.KEYID.sig
//! store/NS/TYPE/VERSION/D/provenance.json
//! store/NS/TYPE/VERSION/D/provenance.json.KEYID.sig
//! mirror/HOST/NS/TYPE/index.json
//! mirror/HOST/NS/TYPE/VERSION.json
//! mirror/HOST/NS/TYPE/signing-keys.json
//! store/HOST/NS/TYPE/VERSION/D/…, of other registries: see [`super::mirror::kept`]
//! ```
//!
//! Pages, which are for people: [`super::pages`].

use std::fmt;
use std::str::FromStr;

use super::file_name::{self, FileName};
use super::mirror::MirrorHost;
use super::mirror::kept::{KeptKey, KeptObject};
use super::pages::PageKey;
use crate::content::ShortDigest;
use crate::openpgp::KeyId;
use crate::provider::{InvalidName, Platform, Provider, ReleaseId, Version};

/// An object of the registry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// The discovery document (remote service discovery).
    Discovery,
    /// The registry's settings.
    Settings,
    /// A page, or a file that pages load.
    Page(PageKey),
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
    /// The index of a provider in the network mirror.
    MirrorIndex {
        /// The host of the provider's address.
        host: MirrorHost,
        /// The rest of its address.
        provider: Provider,
    },
    /// What the network mirror has of a version.
    MirrorVersion {
        /// The host of the provider's address.
        host: MirrorHost,
        /// The rest of its address, and the version.
        release: ReleaseId,
    },
    /// The keys by which releases of a mirrored provider of another registry are signed.
    MirrorKeys {
        /// The host of the provider's address.
        host: MirrorHost,
        /// The rest of its address.
        provider: Provider,
    },
    /// What is kept of another registry.
    Kept(KeptKey),
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
    /// The registry's settings, which bind everybody who publishes.
    Settings,
    /// The pages of providers, and what all pages load.
    Pages,
    /// The page of all providers.
    FrontPage,
    /// Discovery.
    Discovery,
    /// The files of the network mirror.
    Mirror,
}

impl Area {
    /// Every area; together they hold every key.
    pub const ALL: [Self; 7] = [
        Self::Store,
        Self::Registry,
        Self::Settings,
        Self::Pages,
        Self::FrontPage,
        Self::Discovery,
        Self::Mirror,
    ];

    /// A pattern that matches the area's keys; `*` matches any text, slashes included. Without the target's prefix.
    #[must_use]
    pub fn pattern(self) -> &'static str {
        match self {
            Self::Store => "store/*",
            // Of two parts at least, which the settings do not have.
            Self::Registry => "registry/*/*",
            Self::Settings => SETTINGS,
            Self::Pages => "providers/*",
            Self::FrontPage => "index.html",
            Self::Discovery => DISCOVERY,
            Self::Mirror => "mirror/*",
        }
    }

    /// The folder that a listing of the area's keys names, with its slash; `None` if the area is one object.
    #[must_use]
    pub fn folder(self) -> Option<&'static str> {
        match self {
            Self::Store => Some("store/"),
            Self::Registry => Some(REGISTRY),
            Self::Mirror => Some(MIRROR),
            Self::Pages => Some("providers/"),
            Self::Settings | Self::FrontPage | Self::Discovery => None,
        }
    }

    /// The writes that a server may allow in this area. A host's owner may change discovery too: it can name other
    /// services.
    #[must_use]
    pub fn write_rule(self) -> WriteRule {
        match self {
            Self::Store => WriteRule::CreateOnly,
            Self::Registry
            | Self::Settings
            | Self::Pages
            | Self::FrontPage
            | Self::Discovery
            | Self::Mirror => WriteRule::CompareAndSwap,
        }
    }
}

const DISCOVERY: &str = ".well-known/terraform.json";
const REGISTRY: &str = "registry/";
const SETTINGS: &str = "registry/settings.json";
const MIRROR: &str = "mirror/";
const MIRROR_INDEX: &str = "index.json";
const MIRROR_KEYS: &str = "signing-keys.json";
const JSON: &str = "application/json";
const PROVENANCE: &str = "provenance.json";

impl Key {
    /// The file name of a platform's zip, by which SHA256SUMS lists it.
    #[must_use]
    pub fn zip_file_name(provider: &Provider, version: &Version, platform: &Platform) -> String {
        FileName::Zip(platform.clone()).in_full(&ReleaseId::new(provider, version))
    }

    /// The platform whose zip of this version has this file name; `None` for any other file.
    #[must_use]
    pub fn zip_platform(provider: &Provider, version: &Version, name: &str) -> Option<Platform> {
        file_name::zip_platform(&provider.provider_type, version, name)
    }

    /// The content type that clients get. Terraform demands exactly `application/json` for discovery.
    #[must_use]
    pub fn content_type(&self) -> &'static str {
        match self {
            Self::Discovery
            | Self::Settings
            | Self::Versions { .. }
            | Self::Download { .. }
            | Self::Yanked { .. }
            | Self::Provenance { .. }
            | Self::MirrorIndex { .. }
            | Self::MirrorVersion { .. }
            | Self::MirrorKeys { .. } => JSON,
            Self::Kept(kept) => kept.content_type(),
            Self::Page(page) => page.content_type(),
            Self::Zip { .. } => "application/zip",
            Self::Sums { .. } => "text/plain; charset=utf-8",
            Self::Signature { .. } | Self::ProvenanceSignature { .. } => "application/pgp-signature",
        }
    }

    /// The `Cache-Control` that clients and CDNs get.
    #[must_use]
    pub fn cache_control(&self, max_age: DocumentMaxAge) -> String {
        match self.area() {
            Area::Discovery
            | Area::Settings
            | Area::Registry
            | Area::Mirror
            | Area::Pages
            | Area::FrontPage => {
                format!("public, max-age={}, must-revalidate", max_age.0)
            }
            Area::Store => "public, max-age=31536000, immutable".to_owned(),
        }
    }

    /// The release that the object is of; `None` of what a whole provider or registry shares.
    #[must_use]
    pub fn release(&self) -> Option<&ReleaseId> {
        match self {
            Self::Discovery
            | Self::Settings
            | Self::Versions { .. }
            | Self::MirrorIndex { .. }
            | Self::MirrorKeys { .. }
            | Self::Page(_) => None,
            Self::Kept(kept) => Some(&kept.release),
            Self::MirrorVersion { release, .. }
            | Self::Download { release, .. }
            | Self::Yanked { release }
            | Self::Zip { release, .. }
            | Self::Sums { release, .. }
            | Self::Signature { release, .. }
            | Self::Provenance { release, .. }
            | Self::ProvenanceSignature { release, .. } => Some(release),
        }
    }

    /// How the object may be written.
    #[must_use]
    pub fn write_rule(&self) -> WriteRule {
        self.area().write_rule()
    }

    /// The part of the registry that the object is in.
    #[must_use]
    pub fn area(&self) -> Area {
        match self {
            Self::Discovery => Area::Discovery,
            Self::Settings => Area::Settings,
            Self::Page(PageKey::Registry) => Area::FrontPage,
            Self::Page(_) => Area::Pages,
            Self::Versions { .. } | Self::Download { .. } | Self::Yanked { .. } => Area::Registry,
            Self::Zip { .. }
            | Self::Sums { .. }
            | Self::Signature { .. }
            | Self::Provenance { .. }
            | Self::ProvenanceSignature { .. }
            | Self::Kept(_) => Area::Store,
            Self::MirrorIndex { .. } | Self::MirrorVersion { .. } | Self::MirrorKeys { .. } => Area::Mirror,
        }
    }

    /// Whether the object is a zip. All others are small.
    #[must_use]
    pub fn is_zip(&self) -> bool {
        matches!(self, Self::Zip { .. } | Self::Kept(KeptKey { object: KeptObject::Zip { .. }, .. }))
    }
}

impl fmt::Display for Key {
    /// The key, without the target's prefix and without a leading slash.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Discovery => f.write_str(DISCOVERY),
            Self::Settings => f.write_str(SETTINGS),
            Self::Page(page) => page.fmt(f),
            Self::Versions { provider } => write!(f, "registry/{provider}/versions"),
            Self::Download { release: ReleaseId { provider, version }, platform } => {
                write!(f, "registry/{provider}/{version}/download/{}/{}", platform.os(), platform.arch())
            }
            Self::Yanked { release: ReleaseId { provider, version } } => {
                write!(f, "registry/{provider}/{version}/yanked")
            }
            Self::Zip { release, platform, digest } => {
                in_store(f, release, *digest, &FileName::Zip(platform.clone()))
            }
            Self::Sums { release, digest } => in_store(f, release, *digest, &FileName::Sums),
            Self::Signature { release, digest, key_id } => {
                in_store(f, release, *digest, &FileName::Signature(key_id.clone()))
            }
            Self::Provenance { release: ReleaseId { provider, version }, digest } => {
                write!(f, "store/{provider}/{version}/{digest}/{PROVENANCE}")
            }
            Self::ProvenanceSignature { release: ReleaseId { provider, version }, digest, key_id } => {
                write!(f, "store/{provider}/{version}/{digest}/{PROVENANCE}.{key_id}.sig")
            }
            Self::MirrorIndex { host, provider } => write!(f, "{MIRROR}{host}/{provider}/{MIRROR_INDEX}"),
            Self::MirrorVersion { host, release: ReleaseId { provider, version } } => {
                write!(f, "{MIRROR}{host}/{provider}/{version}.json")
            }
            Self::MirrorKeys { host, provider } => write!(f, "{MIRROR}{host}/{provider}/{MIRROR_KEYS}"),
            Self::Kept(kept) => kept.fmt(f),
        }
    }
}

/// Writes the key of a release's file in `store/`.
fn in_store(
    f: &mut fmt::Formatter<'_>,
    release: &ReleaseId,
    digest: ShortDigest,
    name: &FileName,
) -> fmt::Result {
    let ReleaseId { provider, version } = release;
    write!(f, "store/{provider}/{version}/{digest}/{}", name.in_full(release))
}

/// A folder of the registry that can be listed; its text ends in a slash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Folder(String);

impl Folder {
    /// All documents of the registry.
    #[must_use]
    pub fn registry() -> Self {
        Self(REGISTRY.to_owned())
    }

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

    /// What the network mirror has of a provider.
    #[must_use]
    pub fn mirrored(host: &MirrorHost, provider: &Provider) -> Self {
        Self(format!("{MIRROR}{host}/{provider}/"))
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
            ["registry", "settings.json"] => Self::Settings,
            ["index.html"] | ["providers", ..] => Self::Page(text.parse()?),
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
                match name.strip_prefix(PROVENANCE) {
                    Some("") => return Ok(Self::Provenance { release, digest }),
                    Some(rest) => {
                        let key_id = file_name::signer(rest).ok_or(NotAKey)?;
                        return Ok(Self::ProvenanceSignature { release, digest, key_id });
                    }
                    None => {}
                }
                match FileName::of(&release, name).ok_or(NotAKey)? {
                    FileName::Zip(platform) => Self::Zip { release, platform, digest },
                    FileName::Sums => Self::Sums { release, digest },
                    FileName::Signature(key_id) => Self::Signature { release, digest, key_id },
                }
            }
            ["store", host, ns, ty, version, digest, name] => {
                let release = ReleaseId { provider: provider(ns, ty)?, version: version.parse()? };
                let digest = digest.parse().map_err(|_| NotAKey)?;
                KeptKey::of(host.parse()?, release, digest, name)?.into()
            }
            ["mirror", host, ns, ty, name] => {
                let (host, provider) = (host.parse()?, provider(ns, ty)?);
                match name.strip_suffix(".json").ok_or(NotAKey)? {
                    "index" => Self::MirrorIndex { host, provider },
                    "signing-keys" => Self::MirrorKeys { host, provider },
                    version => {
                        let release = ReleaseId { provider, version: version.parse()? };
                        Self::MirrorVersion { host, release }
                    }
                }
            }
            _ => return Err(NotAKey),
        };
        Ok(key)
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
        let host: MirrorHost = "registry.example.com:8443".parse().unwrap();
        vec![
            Key::Discovery,
            Key::Settings,
            Key::Page(PageKey::Registry),
            Key::Page(PageKey::Provider { provider: provider.clone() }),
            Key::Versions { provider },
            Key::Download { release: release.clone(), platform: platform.clone() },
            Key::Yanked { release: release.clone() },
            Key::Zip { release: release.clone(), platform, digest },
            Key::Sums { release: release.clone(), digest },
            Key::Signature { release: release.clone(), digest, key_id: "0123456789ABCDEF".parse().unwrap() },
            Key::Provenance { release: release.clone(), digest },
            Key::ProvenanceSignature {
                release: release.clone(),
                digest,
                key_id: "0123456789ABCDEF".parse().unwrap(),
            },
            Key::MirrorIndex { host: host.clone(), provider: release.provider.clone() },
            Key::MirrorVersion { host: host.clone(), release: release.clone() },
            Key::MirrorKeys { host, provider: release.provider },
        ]
        .into_iter()
        .chain(kept())
        .collect()
    }

    fn kept() -> impl Iterator<Item = Key> {
        let provider =
            Provider { namespace: "acme".parse().unwrap(), provider_type: "my-x".parse().unwrap() };
        let release = ReleaseId { provider, version: "1.2.3-rc.1".parse().unwrap() };
        let digest = Digest::of(b"abc").short();
        let objects = [
            KeptObject::Zip { platform: "linux_amd64".parse().unwrap(), digest },
            KeptObject::Sums { digest },
            KeptObject::Signature { digest, key_id: "0123456789ABCDEF".parse().unwrap() },
            KeptObject::Facts { digest },
        ];
        let host: MirrorHost = "registry.example.org".parse().unwrap();
        objects
            .into_iter()
            .map(move |object| KeptKey { host: host.clone(), release: release.clone(), object }.into())
    }

    #[test]
    fn keys_are_those_of_the_design() {
        let written: Vec<String> = keys().iter().map(ToString::to_string).collect();
        let folder = "store/acme/my-x/1.2.3-rc.1/ba7816bf8f01cfea";
        let store = format!("{folder}/terraform-provider-my-x_1.2.3-rc.1");
        let of_others = "store/registry.example.org/acme/my-x/1.2.3-rc.1/ba7816bf8f01cfea";
        assert_eq!(
            written,
            [
                ".well-known/terraform.json".to_owned(),
                "registry/settings.json".to_owned(),
                "index.html".to_owned(),
                "providers/acme/my-x/index.html".to_owned(),
                "registry/acme/my-x/versions".to_owned(),
                "registry/acme/my-x/1.2.3-rc.1/download/linux/amd64".to_owned(),
                "registry/acme/my-x/1.2.3-rc.1/yanked".to_owned(),
                format!("{store}_linux_amd64.zip"),
                format!("{store}_SHA256SUMS"),
                format!("{store}_SHA256SUMS.0123456789ABCDEF.sig"),
                format!("{folder}/provenance.json"),
                format!("{folder}/provenance.json.0123456789ABCDEF.sig"),
                "mirror/registry.example.com:8443/acme/my-x/index.json".to_owned(),
                "mirror/registry.example.com:8443/acme/my-x/1.2.3-rc.1.json".to_owned(),
                "mirror/registry.example.com:8443/acme/my-x/signing-keys.json".to_owned(),
                format!("{of_others}/terraform-provider-my-x_1.2.3-rc.1_linux_amd64.zip"),
                format!("{of_others}/terraform-provider-my-x_1.2.3-rc.1_SHA256SUMS"),
                format!("{of_others}/terraform-provider-my-x_1.2.3-rc.1_SHA256SUMS.0123456789ABCDEF.sig"),
                format!("{of_others}/upstream.json"),
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

    /// As servers match: `*` is any text.
    fn matches(pattern: &str, text: &str) -> bool {
        let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
        let Some(after) = text.strip_prefix(start) else { return false };
        (0..=after.len()).any(|at| after.get(at..).is_some_and(|after| matches(rest, after)))
    }

    #[test]
    fn every_key_is_in_one_area() {
        for key in keys() {
            let text = key.to_string();
            let here = Area::ALL.into_iter().filter(|area| matches(area.pattern(), &text));
            assert_eq!(here.collect::<Vec<_>>(), [key.area()], "{text}");
            if let Some(folder) = key.area().folder() {
                assert!(text.starts_with(folder), "{text}");
            }
        }
    }

    #[test]
    fn other_texts_are_no_keys() {
        for text in [
            "",
            "/registry/acme/x/versions",
            "registry/acme/x/versions/",
            "registry/settings",
            "registry/settings.json/",
            "registry/../x/versions",
            "registry/acme/x/v1.0.0/download/linux/amd64",
            "store/acme/x/1.0.0/ba7816bf8f01cfea/terraform-provider-y_1.0.0_linux_amd64.zip",
            "store/acme/x/1.0.0/BA7816BF8F01CFEA/terraform-provider-x_1.0.0_linux_amd64.zip",
            "store/acme/x/1.0.0/ba7816bf8f01cfea/terraform-provider-x_1.0.0_SHA256SUMS.sig",
            "mirror/acme/x/index.json",
            "mirror/Example.com/acme/x/index.json",
            "mirror/example.com:443/acme/x/index.json",
            "mirror/example.com/acme/x/v1.0.0.json",
            "mirror/example.com/acme/x/1.0.0",
        ] {
            assert_eq!(text.parse::<Key>(), Err(NotAKey), "{text}");
        }
    }

    #[test]
    fn rules_and_types() {
        let types: Vec<_> = keys().iter().map(|key| (key.content_type(), key.write_rule())).collect();
        assert_eq!(
            types,
            [
                ("application/json", CompareAndSwap),
                ("application/json", CompareAndSwap),
                ("text/html; charset=utf-8", CompareAndSwap),
                ("text/html; charset=utf-8", CompareAndSwap),
                ("application/json", CompareAndSwap),
                ("application/json", CompareAndSwap),
                ("application/json", CompareAndSwap),
                ("application/zip", CreateOnly),
                ("text/plain; charset=utf-8", CreateOnly),
                ("application/pgp-signature", CreateOnly),
                ("application/json", CreateOnly),
                ("application/pgp-signature", CreateOnly),
                ("application/json", CompareAndSwap),
                ("application/json", CompareAndSwap),
                ("application/json", CompareAndSwap),
                ("application/zip", CreateOnly),
                ("text/plain; charset=utf-8", CreateOnly),
                ("application/pgp-signature", CreateOnly),
                ("application/json", CreateOnly),
            ]
        );
        assert_eq!(keys()[2].cache_control(DocumentMaxAge(5)), "public, max-age=5, must-revalidate");
        assert_eq!(keys()[7].cache_control(DocumentMaxAge(5)), "public, max-age=31536000, immutable");
    }
}
