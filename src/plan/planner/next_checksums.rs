//! The lines of a version's present SHA256SUMS that are carried over into the next one.
//!
//! A signature is the users' only defence against whoever can write the registry, and it proves bytes, not their place:
//! a genuine SHA256SUMS of another version can be copied under this version's key. So a line is carried over only if
//!
//! 1. the SHA256SUMS that contains it has the digest of its key, and this run's key has signed it;
//! 2. all lines of that file are zips of this provider and this version, so that it was signed for this version;
//! 3. the download document of the line's platform has the same file name and digest.
//!
//! A file that fails one of the first two checks proves nothing. A platform that is not in this run and depends on it
//! is refused; if all of its documents are of this run, the file is left out with a warning. A line without a document
//! belongs to a publish that is under way, or was stopped: the run waits for the document, and is refused in the end.

use std::collections::{BTreeMap, BTreeSet};

use super::{Planner, PublishedDocument};
use crate::content::{Digest, ShortDigest};
use crate::error::Refusal;
use crate::plan::{ReadKind, RunState, names};
use crate::provider::{Platform, ReleaseId};
use crate::registry::{Checksums, DownloadDocument, Key, Links};

/// The SHA256SUMS to which all documents of the version shall point.
pub(super) enum NextSums {
    /// Some objects have to be read first.
    Read,
    /// Another run may be about to write the missing objects; if it does not, the publish is refused for this reason.
    Wait(Box<Refusal>),
    /// It is known.
    Known(Checksums),
}

/// What is proven by a SHA256SUMS in use.
enum ProvenSums {
    /// That this run's key has signed these lines for this version.
    Lines(Checksums),
    /// Nothing, for this reason.
    Nothing {
        because: String,
        /// Whether the user is warned of it even if nothing depends on it.
        is_odd: bool,
    },
}

impl Planner<'_> {
    /// Computes the SHA256SUMS to which all documents of the version shall point.
    pub(super) fn sums(
        &mut self,
        documents: &BTreeMap<Platform, PublishedDocument>,
        state: &mut RunState,
    ) -> Result<NextSums, Refusal> {
        if let Some(kept) = self.goal.packages.sums() {
            return self.keep_sums(kept, documents);
        }
        let mut own = Checksums::default();
        self.add_packages(&mut own);
        let mut likely = own.clone();
        let mut in_use = BTreeSet::new();
        let mut carried = BTreeMap::new();
        for (platform, published) in documents {
            let link = published.document.sums_link()?;
            let digest = match Links::target(link) {
                Some(Key::Sums { release: ReleaseId { provider, version }, digest })
                    if provider == self.goal.provider && version == *self.version =>
                {
                    in_use.insert(digest);
                    Some(digest)
                }
                _ => None,
            };
            if self.package(platform).is_none() {
                let digest = digest.ok_or_else(|| {
                    self.unproven(platform, &published.document, format!("its SHA256SUMS is {link}"))
                })?;
                likely.set(published.document.filename().to_owned(), published.document.shasum());
                carried.insert(platform, (published, digest));
            }
        }
        if carried.is_empty() {
            in_use.remove(&own.seal().digest().short());
        }
        if in_use.is_empty() {
            return Ok(NextSums::Known(own));
        }
        for digest in &in_use {
            if !self.is_known(*digest, state) {
                self.need(&self.sums_key(*digest), ReadKind::Read);
                self.need(&self.signature_key(*digest), ReadKind::Read);
                // It may have the hashes of the zips that are carried over.
                self.need_record(state, *digest);
            }
        }
        if !self.missing.is_empty() {
            // They probably contain nothing new; then this saves a round.
            self.need_signed(state, likely.seal().digest().short());
            return Ok(NextSums::Read);
        }
        let mut proofs = BTreeMap::new();
        for digest in in_use {
            let proof = match state.sums.get(&digest) {
                Some(sums) if self.is_known(digest, state) => ProvenSums::Lines(sums.clone()),
                _ => self.proof(digest)?,
            };
            proofs.insert(digest, proof);
        }
        let (mut all, without_document) = self.carried_lines(&proofs, documents, state)?;
        if !self.missing.is_empty() {
            return Ok(NextSums::Read);
        }
        for (platform, (published, digest)) in carried {
            let (name, shasum) = self.carried_document(platform, &published.document, proofs.get(&digest))?;
            all.set(name, shasum);
        }
        if !without_document.is_empty() {
            return Ok(NextSums::Wait(Box::new(self.half_published(&without_document))));
        }
        self.add_packages(&mut all);
        Ok(NextSums::Known(all))
    }

    /// The lines that documents of other platforms confirm, and the platforms of lines without a document.
    fn carried_lines(
        &mut self,
        proofs: &BTreeMap<ShortDigest, ProvenSums>,
        documents: &BTreeMap<Platform, PublishedDocument>,
        state: &mut RunState,
    ) -> Result<(Checksums, BTreeSet<Platform>), Refusal> {
        let mut all = Checksums::default();
        let mut without_document = BTreeSet::new();
        for proof in proofs.values() {
            let sums = match proof {
                ProvenSums::Lines(sums) => sums,
                ProvenSums::Nothing { because, is_odd } => {
                    if *is_odd {
                        self.left_out.insert(format!("left out of the new SHA256SUMS: {because}"));
                    }
                    continue;
                }
            };
            for (platform, name, digest) in self.platforms_of(sums) {
                if self.package(&platform).is_some() {
                    continue;
                }
                let lists =
                    |document: &DownloadDocument| document.shasum() == digest && document.filename() == name;
                if let Some(published) = documents.get(&platform) {
                    if lists(&published.document) {
                        all.set(name, digest);
                    }
                    continue;
                }
                // No index lists it (yet): its document tells whether it is published.
                let key = self.download_key(&platform);
                self.need(&key, ReadKind::Read);
                state.listed.insert(platform.clone());
                match self.document(&key) {
                    None => drop(without_document.insert(platform)),
                    Some(read) if lists(&DownloadDocument::parse(&key, &platform, &read.bytes)?) => {
                        all.set(name, digest);
                    }
                    Some(_) => drop(self.left_out.insert(format!(
                        "left out of the new SHA256SUMS: {name}, SHA-256 {digest}, because {key} has another one"
                    ))),
                }
            }
        }
        Ok((all, without_document))
    }

    /// The line of a platform that is not in this run, according to its document and the SHA256SUMS to which that
    /// points.
    fn carried_document(
        &self,
        platform: &Platform,
        document: &DownloadDocument,
        proof: Option<&ProvenSums>,
    ) -> Result<(String, Digest), Refusal> {
        let sums = match proof {
            Some(ProvenSums::Lines(sums)) => sums,
            Some(ProvenSums::Nothing { because, .. }) => {
                return Err(self.unproven(platform, document, because.clone()));
            }
            None => return Err(self.unproven(platform, document, "no SHA256SUMS".to_owned())),
        };
        let (name, shasum) = (self.zip_file_name(platform), document.shasum());
        let listed = sums.get(&name);
        if document.filename() != name || listed != Some(shasum) {
            let listed = listed.map_or("nothing".to_owned(), |digest| digest.to_string());
            let filename = document.filename();
            let found =
                format!("{filename:?}, SHA-256 {shasum}, in its document; {listed} for {name} in SHA256SUMS");
            return Err(self.unproven(platform, document, found));
        }
        Ok((name, shasum))
    }

    /// The lines of a SHA256SUMS that are zips of this version.
    pub(super) fn platforms_of(&self, sums: &Checksums) -> Vec<(Platform, String, Digest)> {
        let provider = &self.goal.provider;
        sums.iter()
            .filter_map(|(name, digest)| {
                Some((Key::zip_platform(provider, self.version, name)?, name.to_owned(), digest))
            })
            .collect()
    }

    /// Whether this run has written or verified a SHA256SUMS and its signature.
    fn is_known(&self, digest: ShortDigest, state: &RunState) -> bool {
        state.sums.contains_key(&digest)
            && state.known_objects.contains(&self.sums_key(digest))
            && state.known_objects.contains(&self.signature_key(digest))
    }

    /// Checks what a SHA256SUMS in use proves.
    fn proof(&self, digest: ShortDigest) -> Result<ProvenSums, Refusal> {
        let key = self.sums_key(digest);
        // A file that proves nothing does not get there.
        if let Some(lines) = self.document(&key).and_then(|sums| Checksums::parse(&sums.bytes).ok())
            && lines.foreign(&self.goal.provider.provider_type, self.version).is_empty()
        {
            self.check_not_kept(&key, &lines)?;
        }
        let (Some(sums), Some(signature)) = (self.document(&key), self.document(&self.signature_key(digest)))
        else {
            let because = format!("no signature of its SHA256SUMS by key {}", self.goal.key.key_id());
            return Ok(ProvenSums::Nothing { because, is_odd: false });
        };
        let refuse = |found: String| {
            Refusal::new(&key, "the SHA256SUMS in use cannot be understood")
                .found(found)
                .expected("the file whose digest its key names, signed")
                .remedy(
                    "look at the object; objects in store/ never change, so something else has written it",
                )
        };
        if Digest::of(&sums.bytes).short() != digest {
            return Err(refuse(format!("SHA-256 {}", Digest::of(&sums.bytes))));
        }
        self.goal.key.verify(&sums.bytes, &signature.bytes).map_err(refuse)?;
        let sums = Checksums::parse(&sums.bytes).map_err(refuse)?;
        let foreign = sums.foreign(&self.goal.provider.provider_type, self.version);
        if !foreign.is_empty() {
            let because = format!("{key} lists {}, which this version does not have", foreign.join(", "));
            return Ok(ProvenSums::Nothing { because, is_odd: true });
        }
        Ok(ProvenSums::Lines(sums))
    }

    fn unproven(&self, platform: &Platform, document: &DownloadDocument, found: String) -> Refusal {
        let moving = if self.is_on_another_key(document) { " with --replace-key" } else { "" };
        Refusal::new(
            self.download_key(platform),
            "a platform that is not in this run cannot be proven to be what was published, so it is not signed again",
        )
        .found(found)
        .expected(format!(
            "a SHA256SUMS of this version only that lists it as its document does, signed by key {}",
            self.goal.key.key_id()
        ))
        .remedy(format!(
            "publish the tarball for {platform} in the same run{moving}, or sign with the key of the version"
        ))
    }

    /// The refusal for a SHA256SUMS in use that has lines without documents.
    fn half_published(&self, platforms: &BTreeSet<Platform>) -> Refusal {
        let names = names(platforms);
        let subject =
            platforms.first().map_or_else(String::new, |first| self.download_key(first).to_string());
        Refusal::new(
            subject,
            "a publish of other platforms of this version is under way, or was stopped, and its lines are not signed \
             without their documents",
        )
        .found(format!("{names} in the SHA256SUMS in use, and no download document"))
        .expected("a download document for every line of the SHA256SUMS")
        .remedy(format!(
            "run the publish that was stopped again, or publish the tarballs for {names} in the same run"
        ))
    }
}
