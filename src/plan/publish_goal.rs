//! The goal of a publish: a release that is listed, complete and signed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

use super::pages::{DocsOf, DocsSource, Wanted};
use super::{Flags, Goal, Observation, Step, ToSign, planner};
use crate::content::{Digest, Sealed, ShortDigest};
use crate::error::Refusal;
use crate::openpgp::certificate::PublishableKey;
use crate::package::PackageSet;
use crate::provider::{Platform, Provider, ReleaseId, Version};
use crate::registry::pages::PageKey;
use crate::registry::provenance::Record;
use crate::registry::{Area, BaseUrl, Checksums, Key, ZipFacts};

/// Whether a published platform's contents may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// Never: other contents are refused.
    Immutable,
    /// They may be replaced (staging; `--replace`).
    Replaceable,
}

/// Whether a version that is published with another key may be moved to this run's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionKey {
    /// It stays with the key that its documents embed.
    Kept,
    /// It may be moved (`--replace-key`).
    Replaceable,
}

/// The goal of a run; the same for all its rounds.
#[derive(Debug)]
pub struct PublishGoal {
    /// The provider that is published.
    pub provider: Provider,
    /// Its packages.
    pub packages: PackageSet,
    /// The public key that documents embed: of the key that signs in this run, or has signed the release.
    pub key: PublishableKey,
    /// The signature by this key that the release has brought along for its SHA256SUMS; verified.
    pub signature: Option<Sealed>,
    /// Where clients reach a registry without settings (`--base-url`).
    pub base_url: Option<BaseUrl>,
    /// Whether documents are for clients of a host, which do not all resolve links without one: a warning says so.
    pub is_for_a_host: bool,
    /// Whether published contents may change.
    pub published: Published,
    /// Whether a published version may be moved to this key.
    pub version_key: VersionKey,
    /// What the record of the publish says about the run; `None` without a secret key, because a record that nobody has
    /// signed could be anybody's.
    pub record: Option<Record>,
    /// The date in the version's entry of the index, if this run lists the version first.
    pub date: Timestamp,
    /// The version's documentation, for a registry with pages.
    pub docs: Option<DocsSource>,
    /// All that the run publishes of the provider, where that is more than this version: an earlier attempt of the run
    /// may have written it, and not the index.
    pub together: Arc<BTreeMap<Version, BTreeSet<Platform>>>,
}

/// The state of a publish from round to round.
#[derive(Debug, Default)]
pub struct RunState {
    /// The contents of SHA256SUMS files, by digest.
    pub sums: BTreeMap<ShortDigest, Checksums>,
    /// Other platforms of the version that were listed, whose documents are read early in the next round.
    pub listed: BTreeSet<Platform>,
    /// Objects of `store/` that exist; they are never changed or removed.
    pub known_objects: BTreeSet<Key>,
    /// Platforms whose document was seen or written with this run's contents.
    pub own_platforms: BTreeSet<Platform>,
    /// Signatures made or verified by this run, by the digest of the signed document.
    pub signatures: BTreeMap<Digest, Sealed>,
    /// Records of publishes that existed already, by the digest of their SHA256SUMS.
    pub records: BTreeMap<ShortDigest, Bytes>,
    /// Whether nothing else of the provider was published when this run found no index.
    pub is_first: bool,
    /// The hashes and sizes of zips, by their SHA-256.
    pub zips: BTreeMap<Digest, ZipFacts>,
    /// The files of the network mirror, which are read early in the next round.
    pub mirrored: BTreeSet<Key>,
    /// The lines that were not carried over into the new SHA256SUMS, in words.
    pub left_out: BTreeSet<String>,
    /// The pages of the documentation that this run has written.
    pub docs: BTreeSet<PageKey>,
}

impl Goal for PublishGoal {
    type RunState = RunState;

    fn next(&self, seen: &Observation, state: &mut RunState) -> Result<Step, Refusal> {
        planner::next(self, seen, state)
    }

    fn flags(&self) -> Flags {
        Flags {
            base_url: self.base_url.clone(),
            replace: self.published == Published::Replaceable,
            version: Some(self.packages.version().clone()),
            key: Some(self.key.fingerprint()),
            max_age: None,
        }
    }

    fn pages<'a>(&'a self, state: &'a RunState) -> Wanted<'a> {
        let release = ReleaseId::new(&self.provider, self.packages.version());
        let docs = self.docs.as_ref().map(|source| DocsOf { release, source, written: &state.docs });
        Wanted { all_versions: false, docs }
    }

    fn signed(&self, document: &ToSign, signature: Sealed, state: &mut RunState) {
        state.signatures.insert(Digest::of(&document.document), signature);
    }

    fn written(&self, key: &Key, state: &mut RunState) {
        match key {
            Key::Download { platform, .. } if self.packages.get(platform).is_some() => {
                state.own_platforms.insert(platform.clone());
            }
            Key::Page(page @ PageKey::Docs { .. }) => drop(state.docs.insert(page.clone())),
            key if key.area() == Area::Store => {
                state.known_objects.insert(key.clone());
            }
            _ => {}
        }
    }

    fn indexed(&self) -> &'static str {
        "The index lists this run's version."
    }
}
