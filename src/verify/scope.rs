//! What is verified, and how thoroughly.

use crate::provider::{Namespace, Provider, ProviderType, Version};

/// What is verified.
#[derive(Debug, Clone)]
pub struct Scope {
    /// Only this namespace.
    pub namespace: Option<Namespace>,
    /// Only this type.
    pub provider_type: Option<ProviderType>,
    /// Only this version.
    pub version: Option<Version>,
    /// What is done about zips.
    pub depth: Depth,
    /// What is done about everything else that is there.
    pub extent: Extent,
    /// The most bytes that are read of a zip, which goes to this machine's disk.
    pub max_zip: u64,
}

/// The most bytes that are read of a zip where nothing else is said. No provider comes near it: the largest known ones
/// have 200 MB.
pub const MAX_ZIP: u64 = 1 << 30;

impl Scope {
    /// The version that a publish has just written, read back with as few requests as possible: its zips were sent with
    /// their SHA-256, and are not downloaded.
    #[must_use]
    pub fn published(provider: &Provider, version: &Version) -> Self {
        Self {
            namespace: Some(provider.namespace.clone()),
            provider_type: Some(provider.provider_type.clone()),
            version: Some(version.clone()),
            depth: Depth::Quick,
            extent: Extent::Versions,
            max_zip: MAX_ZIP,
        }
    }
}

/// What is done about zips.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Each is downloaded, and looked into.
    Full,
    /// Each must be there, with the right checksum where one is kept beside it.
    Quick,
}

/// How much is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// What there is, found by listing where that is possible.
    Registry,
    /// What the listed versions of the scope lead to.
    Versions,
}
