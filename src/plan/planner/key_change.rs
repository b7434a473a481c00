//! Moving a published version to another key.
//!
//! Users have verified a version by the key that its documents embed, and `tfreg resign` changes that key on purpose. A
//! publish changes it only if requested: otherwise a pipeline that still has the old key would undo the change
//! silently.

use std::collections::{BTreeMap, BTreeSet};

use super::{Planner, PublishedDocument};
use crate::error::Refusal;
use crate::openpgp::certificate::Certificate;
use crate::openpgp::{Fingerprint, KeyId};
use crate::plan::{VersionKey, names};
use crate::provider::Platform;
use crate::registry::DownloadDocument;

/// How the key that a document embeds differs from this run's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Difference {
    /// It is another key; its id and fingerprint.
    Another(KeyId, Fingerprint),
    /// It is a newer copy of the same key.
    Newer,
}

impl Planner<'_> {
    /// The keys from which the documents of the version are moved, in words.
    ///
    /// # Errors
    /// Fails if there are any, and the run may not move a version to its key.
    pub(super) fn key_changes(
        &self,
        documents: &BTreeMap<Platform, PublishedDocument>,
    ) -> Result<Vec<String>, Refusal> {
        let mut found: BTreeMap<Difference, BTreeSet<Platform>> = BTreeMap::new();
        for (platform, published) in documents {
            if let Some(difference) = self.difference(&published.document) {
                found.entry(difference).or_default().insert(platform.clone());
            }
        }
        let key = &self.goal.key;
        let Some(first) = found.values().next().and_then(BTreeSet::first) else { return Ok(Vec::new()) };
        if self.goal.version_key == VersionKey::Replaceable {
            let change = |difference: Difference| match difference {
                Difference::Another(id, _) => {
                    format!("~ {}: key {id} -> {}", self.version, key.key_id())
                }
                Difference::Newer => {
                    format!("~ {}: a newer copy of key {} -> an older one", self.version, key.key_id())
                }
            };
            return Ok(found.into_keys().map(change).collect());
        }
        let in_words = |(difference, platforms): (&Difference, &BTreeSet<Platform>)| match difference {
            Difference::Another(id, fingerprint) => {
                format!("key {id} ({fingerprint}) in the documents of {}", names(platforms))
            }
            Difference::Newer => format!("a newer copy of this key in the documents of {}", names(platforms)),
        };
        let is_older = found.keys().all(|difference| *difference == Difference::Newer);
        let (problem, remedy) = if is_older {
            (
                format!("version {} is published with a newer copy of the signing key", self.version),
                "sign with the newer copy, from `gpg --armor --export-secret-keys`; to go back to this one, give \
                 --replace-key",
            )
        } else {
            (
                format!(
                    "version {} is published with another key, and is not moved to this one",
                    self.version
                ),
                "sign with the key of the version (did `tfreg resign` move it, and this pipeline has the old key?); to move \
                 the version to this key, give --replace-key",
            )
        };
        Err(Refusal::new(self.download_key(first), problem)
            .found(found.iter().map(in_words).collect::<Vec<_>>().join("\n"))
            .expected(format!("key {} ({}), which signs in this run", key.key_id(), key.fingerprint()))
            .remedy(remedy))
    }

    /// Whether a document embeds keys, and this run's is not among them.
    pub(super) fn is_on_another_key(&self, document: &DownloadDocument) -> bool {
        matches!(self.difference(document), Some(Difference::Another(..)))
    }

    /// Clients try the embedded keys in order; a document without a readable key is useless, and is repaired.
    fn difference(&self, document: &DownloadDocument) -> Option<Difference> {
        let key = &self.goal.key;
        let armored = document.public_keys();
        if armored.contains(&key.armored()) {
            return None;
        }
        let embedded: Vec<Certificate> =
            armored.into_iter().filter_map(|armor| Certificate::embedded(armor).ok()).collect();
        if let Some(same) = embedded.iter().find(|other| other.fingerprint() == key.fingerprint()) {
            return key.certificate().is_older_than(same).then_some(Difference::Newer);
        }
        embedded.first().map(|other| Difference::Another(other.key_id(), other.fingerprint()))
    }
}
