//! `packages` of documents that were published before tfreg wrote it, or that have lost it.
//!
//! A version gets it only if it is whole: its documents point to SHA256SUMS that list exactly its platforms and are signed by a
//! key that the documents embed, and all zips are there. So the member says nothing that clients would not find by following
//! the documents. The hashes come from the records beside these SHA256SUMS, if such a key has signed them, or from the zips.

use std::collections::{BTreeMap, BTreeSet};

use crate::content::Digest;
use crate::error::Refusal;
use crate::openpgp::certificate::Certificate;
use crate::plan::completeness::{self, Completeness, Trust};
use crate::plan::{Observation, Observed, ReadKind, names};
use crate::provider::{Platform, ReleaseId};
use crate::registry::{Checksums, DownloadDocument, Key, Links, Packages, ZipFacts, provenance};

/// The hashes and sizes of zips, by their SHA-256: facts that do not change.
pub(in crate::plan) type KnownZips = BTreeMap<Digest, ZipFacts>;

/// The packages of a version, or what is made of them.
pub(in crate::plan) enum Found<T = Packages> {
    /// These objects have to be read first.
    Read(Vec<(Key, ReadKind)>),
    /// They are known.
    Known(T),
    /// The documents are left as they are, for this reason.
    Left(String),
}

/// The documents of these platforms, as they were read.
///
/// # Errors
/// One cannot be understood.
pub(in crate::plan) fn documents<'a>(
    release: &ReleaseId,
    platforms: &'a BTreeSet<Platform>,
    seen: &Observation,
) -> Result<BTreeMap<&'a Platform, DownloadDocument>, Refusal> {
    let mut documents = BTreeMap::new();
    for platform in platforms {
        let key = Key::Download { release: release.clone(), platform: platform.clone() };
        if let Some(read) = seen.document(&key) {
            documents.insert(platform, DownloadDocument::parse(&key, platform, &read.bytes)?);
        }
    }
    Ok(documents)
}

/// The packages of a version with these documents, which are all that it has.
pub(in crate::plan) fn of_version(
    release: &ReleaseId,
    documents: &BTreeMap<&Platform, DownloadDocument>,
    seen: &Observation,
    known: &mut KnownZips,
) -> Found {
    let platforms: BTreeSet<Platform> = documents.keys().map(|platform| (*platform).clone()).collect();
    match completeness::judge((&release.provider, &release.version), &platforms, &BTreeSet::new(), seen) {
        Completeness::Read(reads) => return Found::Read(reads),
        Completeness::Not(problems) => return Found::Left(problems.join("; ")),
        Completeness::Whole(whole) => {
            let unknown = Trust::default().unknown(seen.settings(), &whole.signers);
            if !unknown.is_empty() {
                let unknown = names(unknown);
                return Found::Left(format!("it is signed by key {unknown}, which the settings do not name"));
            }
        }
    }
    let sums: BTreeSet<Key> = documents.values().filter_map(sums_of).collect();
    for key in &sums {
        let lines =
            seen.document(key).and_then(|read| Checksums::parse(&read.bytes).ok()).unwrap_or_default();
        let listed = lines
            .iter()
            .filter_map(|(name, _)| Key::zip_platform(&release.provider, &release.version, name))
            .collect::<BTreeSet<_>>();
        if listed != platforms {
            return Found::Left(format!(
                "{key} lists {}, and there are documents for {}: a publish is under way, or was stopped",
                names(&listed),
                names(&platforms)
            ));
        }
    }
    let is_known = |known: &KnownZips| documents.values().all(|one| known.contains_key(&one.shasum()));
    if !is_known(known) {
        let records = records(documents);
        let keys = records.iter().flat_map(|(statement, signature, _)| [statement, signature]);
        let mut unseen: Vec<Key> = keys.filter(|key| !seen.objects.contains_key(*key)).cloned().collect();
        if !unseen.is_empty() {
            unseen.sort();
            unseen.dedup();
            return Found::Read(unseen.into_iter().map(|key| (key, ReadKind::Read)).collect());
        }
        learn_from_records(&records, seen, known);
    }
    let mut reads = Vec::new();
    let unknown: Vec<_> =
        documents.values().filter(|document| !known.contains_key(&document.shasum())).collect();
    for document in unknown {
        // A whole version has such links only.
        let Some(key) = document.zip_link().ok().and_then(Links::target) else { continue };
        match seen.objects.get(&key) {
            Some(Observed::Zip(zip)) => match zip.h1 {
                Ok(h1) => {
                    known.insert(zip.digest, ZipFacts { shasum: zip.digest, h1, size: zip.len });
                }
                Err(ref problem) => return Found::Left(format!("{key} cannot be unpacked: {problem}")),
            },
            _ => reads.push((key, ReadKind::Zip)),
        }
    }
    if !reads.is_empty() {
        return Found::Read(reads);
    }
    let packages = documents
        .iter()
        .filter_map(|(platform, document)| Some(((*platform).clone(), *known.get(&document.shasum())?)));
    Found::Known(packages.collect())
}

fn sums_of(document: &DownloadDocument) -> Option<Key> {
    document.sums_link().ok().and_then(Links::target)
}

/// The records beside the SHA256SUMS of documents, with the signatures that an embedded key may have made.
fn records(documents: &BTreeMap<&Platform, DownloadDocument>) -> Vec<(Key, Key, Certificate)> {
    let mut records: Vec<(Key, Key, Certificate)> = Vec::new();
    for document in documents.values() {
        let Some(Key::Sums { release, digest }) = sums_of(document) else { continue };
        for certificate in
            document.public_keys().into_iter().filter_map(|armor| Certificate::embedded(armor).ok())
        {
            let statement = Key::Provenance { release: release.clone(), digest };
            let signature =
                Key::ProvenanceSignature { release: release.clone(), digest, key_id: certificate.key_id() };
            if !records.iter().any(|(_, other, _)| *other == signature) {
                records.push((statement, signature, certificate));
            }
        }
    }
    records
}

fn learn_from_records(records: &[(Key, Key, Certificate)], seen: &Observation, known: &mut KnownZips) {
    for (statement, signature, certificate) in records {
        let (Some(record), Some(signature)) = (seen.document(statement), seen.document(signature)) else {
            continue;
        };
        if certificate.verify_as_of_then(&record.bytes, &signature.bytes).is_ok() {
            for recorded in provenance::recorded_zips(&record.bytes) {
                known.entry(recorded.zip.shasum).or_insert(recorded.zip);
            }
        }
    }
}
