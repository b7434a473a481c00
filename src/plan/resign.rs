//! New signatures over existing SHA256SUMS and records, and documents that embed another public key.
//!
//! A signature is the users' only defence against whoever can write the registry. So a SHA256SUMS is signed again only
//! if
//!
//! - its digest is the one in its key,
//! - all of its lines are zips of this version (a signature proves bytes, not their place),
//! - each document matches its line, and
//! - the key that its documents embed is one that the user has named, and has signed it.
//!
//! All of this is checked before anything is written. Records: see `resign::record`. Zips and SHA256SUMS do not change, so
//! lock files stay valid.

mod record;

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Action, ConditionCheck, Flags, Goal, Observation, Plan, ReadKind, Step, ToSign, Write, completeness,
    condition_check, keep, lost_index, object_conflict, replace,
};
use crate::content::{Digest, Sealed};
use crate::error::Refusal;
use crate::openpgp::certificate::{Certificate, PublishableKey};
use crate::provider::{Platform, Provider, ReleaseId, Version};
use crate::registry::{Area, Checksums, DownloadDocument, Folder, Key, Links, VersionsDocument};

/// What changes in the documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// New signatures, by the key.
    Signatures,
    /// A newer copy of the key that has signed them; the signatures stay.
    KeyCopy,
}

/// Versions to sign again, or to give a newer copy of their key.
#[derive(Debug)]
pub struct Resign {
    /// The provider.
    pub provider: Provider,
    /// The versions; if none is named, all versions that the index lists or that are yanked.
    pub versions: BTreeSet<Version>,
    /// The key that documents shall embed.
    pub key: PublishableKey,
    /// What changes in the documents.
    pub renewal: Renewal,
    /// Keys whose signatures prove existing objects; the signer's own is one of them.
    pub trusted: Vec<Certificate>,
}

/// The state of a run.
#[derive(Debug, Default)]
pub struct RunState {
    /// Signatures that it has made, by the digest of the signed document.
    made: BTreeMap<Digest, Sealed>,
    /// Signatures that it has written.
    known_objects: BTreeSet<Key>,
    /// Proven combinations: the digests of a SHA256SUMS, a signature and a public key.
    proven: BTreeSet<(Digest, Digest, Digest)>,
}

/// A document, and the signed file that it points to.
struct Signed {
    key: Key,
    version: Version,
    document: DownloadDocument,
    sums: Key,
    signature: Key,
    signature_link: String,
    /// The signature to which the document shall point.
    wanted: Key,
}

impl Goal for Resign {
    type RunState = RunState;

    fn next(&self, seen: &Observation, state: &mut RunState) -> Result<Step, Refusal> {
        let index_key = Key::Versions { provider: self.provider.clone() };
        if let Some(step) =
            seen.missing([(Key::Discovery, ReadKind::Read), (index_key.clone(), ReadKind::Read)])
        {
            return Ok(step);
        }
        let Some(read) = seen.document(&index_key) else {
            return lost_index::without_index(seen, &self.provider);
        };
        let index = VersionsDocument::parse(&index_key, &read.bytes)?;
        let folder = Folder::provider(&self.provider);
        let Some(listing) = seen.folders.get(&folder) else { return Ok(Step::List(folder)) };
        let mut plan = Plan::default();
        let platforms = self.chosen(&index, completeness::documents(&self.provider, listing), &mut plan)?;
        let keys = platforms.iter().flat_map(|(version, platforms)| {
            platforms.iter().map(|platform| (self.download(version, platform), ReadKind::Read))
        });
        if let Some(step) = seen.missing(keys) {
            return Ok(step);
        }
        let mut all = Vec::new();
        for (version, platforms) in &platforms {
            for platform in platforms {
                all.extend(self.signed(version, platform, seen)?);
            }
        }
        let reads = all.iter().flat_map(|signed| {
            let mut reads = self.record_keys(signed);
            reads.push(signed.wanted.clone());
            reads.retain(|key| !state.known_objects.contains(key));
            reads.extend([signed.sums.clone(), signed.signature.clone()]);
            reads.into_iter().map(|key| (key, ReadKind::Read))
        });
        if let Some(step) = seen.missing(reads) {
            return Ok(step);
        }
        self.prove(&mut all, seen, state, &mut plan)?;

        let (mut signatures, mut records, mut documents) = (BTreeMap::new(), Vec::new(), Vec::new());
        let mut unsigned = Vec::new();
        let key_id = self.key.key_id();
        let mut changed: BTreeMap<&Version, BTreeSet<String>> = BTreeMap::new();
        for signed in &all {
            if self.renewal == Renewal::Signatures && !signatures.contains_key(&signed.wanted) {
                let signature = self.signature(signed, seen, state, &mut unsigned)?;
                signatures.insert(signed.wanted.clone(), signature);
                records.extend(self.record(signed, seen, state, &mut plan, &mut unsigned));
            }
            let link = Links::beside(&signed.signature_link, &signed.wanted).unwrap_or_default();
            let document = signed.document.signed_by(&link, key_id, self.key.armored());
            let Some(read) = seen.document(&signed.key) else { continue };
            if document == signed.document {
                documents.push(keep(signed.key.clone(), &read.bytes));
                continue;
            }
            changed.entry(&signed.version).or_default().extend(ids(&signed.document));
            documents.push(replace(signed.key.clone(), read, document.to_bytes()));
        }
        if !unsigned.is_empty() {
            return Ok(Step::Sign(unsigned));
        }
        let moved = changed.into_iter().map(|(version, earlier)| {
            let earlier = earlier.into_iter().collect::<Vec<_>>().join(", ");
            if earlier == key_id.as_str() {
                format!("~ {version}: a newer copy of key {key_id}")
            } else {
                format!("~ {version}: signed by key {earlier} -> {key_id}")
            }
        });
        plan.changes = moved.chain(std::mem::take(&mut plan.changes)).collect();
        let sums = all
            .first()
            .and_then(|signed| Some(ConditionCheck::there(&signed.sums, seen.document(&signed.sums)?)));
        plan.condition_check = sums.or_else(|| condition_check(seen, &index_key));
        plan.writes = signatures.into_values().flatten().chain(documents).chain(records).collect();
        Ok(Step::Ready(Box::new(plan)))
    }

    fn flags(&self) -> Flags {
        Flags { key: Some(self.key.fingerprint()), ..Flags::default() }
    }

    fn signed(&self, document: &ToSign, signature: Sealed, state: &mut RunState) {
        state.made.insert(Digest::of(&document.document), signature);
    }

    fn written(&self, key: &Key, state: &mut RunState) {
        if key.area() == Area::Store {
            state.known_objects.insert(key.clone());
        }
    }

    fn indexed(&self) -> &'static str {
        "The index was not changed by this run."
    }
}

impl Resign {
    fn download(&self, version: &Version, platform: &Platform) -> Key {
        Key::Download { release: ReleaseId::new(&self.provider, version), platform: platform.clone() }
    }

    /// The versions to change, with their platforms.
    fn chosen(
        &self,
        index: &VersionsDocument,
        mut found: BTreeMap<Version, BTreeSet<Platform>>,
        plan: &mut Plan,
    ) -> Result<BTreeMap<Version, BTreeSet<Platform>>, Refusal> {
        if self.versions.is_empty() {
            let marks = index.marks()?;
            let known: BTreeSet<&Version> = index.versions().chain(marks.keys()).collect();
            found.retain(|version, _| {
                let is_known = known.contains(version);
                if !is_known {
                    plan.warnings
                        .push(format!("{version} is neither listed nor yanked; it is left as it is"));
                }
                is_known
            });
            return Ok(found);
        }
        let mut chosen = BTreeMap::new();
        for version in &self.versions {
            let platforms = found.remove(version).ok_or_else(|| {
                Refusal::new(
                    Folder::version(&self.provider, version),
                    format!("version {version} is not published"),
                )
                .found("no download document")
                .expected("a version that is published here")
                .remedy("check the version")
            })?;
            chosen.insert(version.clone(), platforms);
        }
        Ok(chosen)
    }

    /// The signed file of a document; `None` if the document was removed meanwhile.
    fn signed(
        &self,
        version: &Version,
        platform: &Platform,
        seen: &Observation,
    ) -> Result<Option<Signed>, Refusal> {
        let key = self.download(version, platform);
        let Some(read) = seen.document(&key) else { return Ok(None) };
        let document = DownloadDocument::parse(&key, platform, &read.bytes)?;
        let (sums_link, signature_link) = (document.sums_link()?, document.signature_link()?.to_owned());
        let elsewhere = || {
            let found = format!("its SHA256SUMS is {sums_link}, its signature {signature_link}");
            unproven(&key, &found, "objects of this registry and this version")
        };
        let (sums, signature) =
            Links::target(sums_link).zip(Links::target(&signature_link)).ok_or_else(elsewhere)?;
        let (
            Key::Sums { release, digest },
            Key::Signature { release: signed_release, digest: signed_digest, .. },
        ) = (&sums, &signature)
        else {
            return Err(elsewhere());
        };
        let is_of_version = *release == ReleaseId::new(&self.provider, version);
        if !is_of_version || signed_release != release || signed_digest != digest {
            return Err(elsewhere());
        }
        let wanted = match self.renewal {
            Renewal::Signatures => Key::Signature {
                release: release.clone(),
                digest: *digest,
                key_id: self.key.key_id().clone(),
            },
            Renewal::KeyCopy => signature.clone(),
        };
        let version = version.clone();
        Ok(Some(Signed { key, version, document, sums, signature, signature_link, wanted }))
    }

    /// Proves all documents before anything is signed. With a newer copy of a key, documents with other keys are
    /// ignored.
    fn prove(
        &self,
        all: &mut Vec<Signed>,
        seen: &Observation,
        state: &mut RunState,
        plan: &mut Plan,
    ) -> Result<(), Refusal> {
        let mut problems: Vec<String> = Vec::new();
        let mut subjects: BTreeSet<String> = BTreeSet::new();
        let mut others: BTreeMap<Version, BTreeSet<String>> = BTreeMap::new();
        all.retain(|signed| match self.prove_one(signed, seen, state) {
            Ok(()) => true,
            Err(Unproven::Other(key)) if self.renewal == Renewal::KeyCopy && self.versions.is_empty() => {
                others.entry(signed.version.clone()).or_default().insert(key);
                false
            }
            Err(Unproven::Other(key)) => {
                subjects.insert(signed.key.to_string());
                let text = format!("{}: embeds {key}, which is not one that is trusted", signed.version);
                if !problems.contains(&text) {
                    problems.push(text);
                }
                false
            }
            Err(Unproven::Because(text)) => {
                subjects.insert(signed.key.to_string());
                let text = format!("{}: {text}", signed.key);
                problems.push(text);
                false
            }
        });
        let others = others.into_iter().map(|(version, keys)| {
            let keys = keys.into_iter().collect::<Vec<_>>().join(", ");
            format!("{version} embeds {keys}")
        });
        let others: Vec<String> = others.collect();
        if problems.is_empty() && all.is_empty() && !others.is_empty() {
            let problem = format!("no version of {} is signed by key {}", self.provider, self.key.key_id());
            return Err(Refusal::new(Key::Versions { provider: self.provider.clone() }, problem)
                .found(others.join("\n"))
                .expected(format!("a newer copy of a key that signs versions of {}", self.provider))
                .remedy(
                    "give the newer copy of one of these keys by --key; to move versions to another key, sign them again with \
                     --signing-key-file and --trust-key",
                ));
        }
        plan.warnings.extend(others.into_iter().map(|other| format!("{other}; it is left as it is")));
        if problems.is_empty() {
            return Ok(());
        }
        let subject = subjects.into_iter().next().unwrap_or_default();
        let trusted: Vec<String> = self.trusted.iter().map(|key| key.fingerprint().to_string()).collect();
        Err(unproven(
            &subject,
            &problems.join("\n"),
            &format!("a signature by a trusted key: {}", trusted.join(", ")),
        ))
    }

    fn prove_one(&self, signed: &Signed, seen: &Observation, state: &mut RunState) -> Result<(), Unproven> {
        let because = |text: String| Unproven::Because(text);
        let gone = |key: &Key| because(format!("{key} is not there"));
        let sums = seen.document(&signed.sums).ok_or_else(|| gone(&signed.sums))?;
        let signature = seen.document(&signed.signature).ok_or_else(|| gone(&signed.signature))?;
        let digest = Digest::of(&sums.bytes);
        if !matches!(&signed.sums, Key::Sums { digest: short, .. } if *short == digest.short()) {
            return Err(because(format!("the SHA-256 of {} is {digest}", signed.sums)));
        }
        let checksums =
            Checksums::parse(&sums.bytes).map_err(|error| because(format!("{}: {error}", signed.sums)))?;
        let foreign = checksums.foreign(&self.provider.provider_type, &signed.version);
        if !foreign.is_empty() {
            let names = foreign.join(", ");
            return Err(because(format!("{} lists {names}, which this version does not have", signed.sums)));
        }
        let name = match &signed.key {
            Key::Download { release: ReleaseId { provider, version }, platform } => {
                Key::zip_file_name(provider, version, platform)
            }
            _ => String::new(),
        };
        let (filename, shasum) = (signed.document.filename(), signed.document.shasum());
        if filename != name || checksums.get(&name) != Some(shasum) {
            let listed = checksums.get(&name).map_or("nothing".to_owned(), |digest| digest.to_string());
            return Err(because(format!(
                "{filename:?}, SHA-256 {shasum}, in the document; {listed} for {name} in {}",
                signed.sums
            )));
        }
        let mut why = Unproven::Because("it embeds no public key".to_owned());
        for armor in signed.document.public_keys() {
            let embedded = Certificate::embedded(armor).map_err(because)?;
            let fingerprint = embedded.fingerprint();
            let Some(trusted) = self.trusted.iter().find(|trusted| trusted.fingerprint() == fingerprint)
            else {
                why = Unproven::Other(format!("key {fingerprint}"));
                continue;
            };
            if self.renewal == Renewal::KeyCopy && self.key.certificate().is_older_than(&embedded) {
                return Err(because(format!(
                    "it embeds a newer copy of key {fingerprint} than the one given"
                )));
            }
            let fact = (digest, Digest::of(&signature.bytes), Digest::of(armor.as_bytes()));
            if state.proven.contains(&fact) {
                return Ok(());
            }
            let verified = embedded
                .with(trusted)
                .and_then(|key| key.verify_as_of_then(&sums.bytes, &signature.bytes))
                .and_then(|()| match self.renewal {
                    Renewal::KeyCopy => self.key.verify(&sums.bytes, &signature.bytes),
                    Renewal::Signatures => Ok(()),
                });
            match verified {
                Ok(()) => {
                    state.proven.insert(fact);
                    return Ok(());
                }
                Err(error) => why = because(format!("{}: {error}", signed.signature)),
            }
        }
        Err(why)
    }

    /// The signature to which documents shall point: an existing one that verifies, or one that this run has made;
    /// `None` if it is still to be made.
    fn signature(
        &self,
        signed: &Signed,
        seen: &Observation,
        state: &RunState,
        unsigned: &mut Vec<ToSign>,
    ) -> Result<Option<Write>, Refusal> {
        let sums =
            seen.document(&signed.sums).ok_or_else(|| unproven(&signed.sums, "nothing", "SHA256SUMS"))?;
        if let Some(found) = seen.document(&signed.wanted) {
            self.key.verify(&sums.bytes, &found.bytes).map_err(|error| {
                object_conflict(&signed.wanted, Digest::of(&found.bytes), Digest::of(&sums.bytes))
                    .found(error)
                    .expected(format!(
                        "a signature of {} by key {}, which has this name",
                        signed.sums,
                        self.key.key_id()
                    ))
                    .remedy("objects in store/ never change; sign with another key")
            })?;
            return Ok(Some(keep(signed.wanted.clone(), &found.bytes)));
        }
        let Some(body) = state.made.get(&Digest::of(&sums.bytes)).cloned() else {
            unsigned.push(ToSign::new(&signed.sums, sums.bytes.clone()));
            return Ok(None);
        };
        let is_there = state.known_objects.contains(&signed.wanted);
        let action = if is_there { Action::Keep } else { Action::Create };
        Ok(Some(Write { key: signed.wanted.clone(), body, action }))
    }
}

/// Why something is not proven.
enum Unproven {
    /// It is signed by a key that is not trusted.
    Other(String),
    Because(String),
}

fn unproven(subject: impl std::fmt::Display, found: &str, expected: &str) -> Refusal {
    Refusal::new(subject, "what is published cannot be proven to be what was signed, so it is not signed again")
        .found(found)
        .expected(expected)
        .remedy(
            "if it was signed by a key that you know, name that one's public half by --trust-key; otherwise publish the \
             version's tarballs again, under a new version",
        )
}

/// The ids of the keys that a document embeds.
fn ids(document: &DownloadDocument) -> Vec<String> {
    let keys = document.public_keys().into_iter();
    keys.filter_map(|armor| Certificate::embedded(armor).ok()).map(|key| key.key_id().to_string()).collect()
}
