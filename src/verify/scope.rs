//! The scope and depth of a verification.

use std::collections::BTreeSet;

use crate::provider::{Namespace, Provider, ProviderType, Version};
use crate::registry::MirrorHost;

/// The scope of a verification.
#[derive(Debug, Clone)]
pub struct Scope {
    /// Only this namespace.
    pub namespace: Option<Namespace>,
    /// Only this type.
    pub provider_type: Option<ProviderType>,
    /// Only these versions; all if there are none.
    pub versions: BTreeSet<Version>,
    /// How zips are checked.
    pub depth: Depth,
    /// Which other objects are checked.
    pub extent: Extent,
    /// The maximum number of bytes to read of a zip, which goes to this machine's disk.
    pub max_zip: u64,
}

/// The default maximum size of a zip. No provider comes near it: the largest known ones have 200 MB.
pub const MAX_ZIP: u64 = 1 << 30;

impl Scope {
    /// Whether all of the registry is checked.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.extent == Extent::Registry
            && self.namespace.is_none()
            && self.provider_type.is_none()
            && self.versions.is_empty()
    }

    /// Whether a version is of the scope.
    #[must_use]
    pub fn has(&self, version: &Version) -> bool {
        self.versions.is_empty() || self.versions.contains(version)
    }

    /// The versions that a publish has just written, read back with as few requests as possible: their zips were sent with
    /// their SHA-256, and are not downloaded. `mirror` is the host of the network mirror whose files the publish keeps.
    #[must_use]
    pub fn published(
        provider: &Provider,
        versions: impl IntoIterator<Item = Version>,
        mirror: Option<MirrorHost>,
    ) -> Self {
        Self {
            namespace: Some(provider.namespace.clone()),
            provider_type: Some(provider.provider_type.clone()),
            versions: versions.into_iter().collect(),
            depth: Depth::Quick,
            extent: Extent::Versions { mirror },
            max_zip: MAX_ZIP,
        }
    }
}

/// How zips are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Each zip is downloaded, and its contents are checked.
    Full,
    /// Each zip must exist, with the right checksum if the store keeps one.
    Quick,
}

/// Which objects are checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extent {
    /// All objects, found by listing if that is possible.
    Registry,
    /// The objects to which the listed versions of the scope lead, and their files of the network mirror under this host, if any.
    Versions {
        /// The host.
        mirror: Option<MirrorHost>,
    },
}
