//! The results of a verification so far: of a version, of a provider, of all.

use std::collections::{BTreeMap, BTreeSet};

use crate::content::Digest;
use crate::openpgp::Fingerprint;
use crate::provider::{Provider, Version};
use crate::registry::{Key, ZipFacts};

use super::download;
use super::finding::Finding;
use super::links::LinkBases;
use super::mirror::Offered;
use super::objects::References;
use super::signature::SignedBy;
use super::{Checked, Package, SigningKeyUse};

/// The combined results.
#[derive(Default)]
pub(super) struct Sum {
    pub(super) findings: Vec<Finding>,
    pub(super) checked: Checked,
    pub(super) signers: BTreeMap<Fingerprint, SigningKeyUse>,
    pub(super) packages: Vec<Package>,
    pub(super) references: References,
    pub(super) bases: LinkBases,
    pub(super) offered: Vec<Offered>,
    pub(super) listed: BTreeMap<Provider, BTreeSet<Version>>,
    /// Providers that do not list the version that was asked for.
    pub(super) lacking: BTreeSet<(Provider, Version)>,
    /// Versions of which not all documents could be read; their objects may be referenced.
    pub(super) unsure: BTreeSet<(Provider, Version)>,
}

/// The results for a version, or a provider.
#[derive(Default)]
pub(super) struct PartialResult {
    pub(super) findings: Vec<Finding>,
    pub(super) checked: Checked,
    pub(super) signers: Vec<SignedBy>,
    pub(super) packages: Vec<Package>,
    pub(super) references: Vec<Key>,
    pub(super) listed: Option<(Provider, BTreeSet<Version>)>,
    pub(super) unsure: Vec<(Provider, Version)>,
    /// Providers that do not list the version that was asked for.
    pub(super) lacking: Vec<(Provider, Version)>,
    /// The checksum in each document.
    pub(super) zips: Vec<(Digest, String)>,
    pub(super) bases: LinkBases,
    /// What was found in the zips that were read.
    pub(super) read: Vec<ZipFacts>,
    /// What signed records say of zips.
    pub(super) recorded: Vec<ZipFacts>,
    /// What the documents offer.
    pub(super) offered: Vec<Offered>,
}

impl PartialResult {
    pub(super) fn add(&mut self, other: Self) {
        self.findings.extend(other.findings);
        self.checked.add(&other.checked);
        self.signers.extend(other.signers);
        self.packages.extend(other.packages);
        self.references.extend(other.references);
        self.unsure.extend(other.unsure);
        self.lacking.extend(other.lacking);
        self.zips.extend(other.zips);
        self.bases.extend(other.bases);
        self.read.extend(other.read);
        self.recorded.extend(other.recorded);
        self.offered.extend(other.offered);
    }
}

impl Checked {
    fn add(&mut self, other: &Self) {
        self.providers += other.providers;
        self.versions += other.versions;
        self.platforms += other.platforms;
        self.zips += other.zips;
        self.zip_bytes += other.zip_bytes;
        self.pages += other.pages;
        self.mirrored += other.mirrored;
    }
}

impl Sum {
    pub(super) fn add(&mut self, part: PartialResult) {
        self.findings.extend(part.findings);
        self.checked.add(&part.checked);
        self.packages.extend(part.packages);
        part.references.iter().for_each(|key| self.references.add(key));
        self.listed.extend(part.listed);
        self.lacking.extend(part.lacking);
        self.unsure.extend(part.unsure);
        self.bases.extend(part.bases);
        self.offered.extend(part.offered);
        for SignedBy { key_id, fingerprint, clients } in part.signers {
            let used = self.signers.entry(fingerprint.clone()).or_insert(SigningKeyUse {
                key_id,
                fingerprint,
                versions: 0,
                clients,
            });
            used.versions += 1;
        }
    }
}

/// Documents that name the same checksum.
pub(super) fn same_zips(zips: &[(Digest, String)]) -> Vec<Finding> {
    let mut by_digest: BTreeMap<Digest, Vec<&str>> = BTreeMap::new();
    for (digest, subject) in zips {
        by_digest.entry(*digest).or_default().push(subject);
    }
    let shared = by_digest.into_iter().filter(|(_, subjects)| subjects.len() > 1);
    let finding = |(digest, mut subjects): (Digest, Vec<&str>)| {
        subjects.sort_unstable();
        // With reproducible builds, thousands of versions may have the same checksum.
        let others = subjects.get(1..).unwrap_or_default();
        let named: Vec<&str> = others.iter().copied().take(5).collect();
        let more = others.len() - named.len();
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        let found = format!("{digest}, as {}{more}", named.join(", "));
        download::SAME_ZIP
            .at(subjects.first().copied().unwrap_or_default())
            .found(found)
            .expected("a zip of its own")
    };
    shared.map(finding).collect()
}
