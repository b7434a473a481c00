//! What of a version's present SHA256SUMS is carried over into the next one.
//!
//! A signature is the users' one defence against whoever can write the registry, so nothing is signed that is not this
//! run's own or signed by the same key already: the lines of a SHA256SUMS are carried over only if its signature verifies,
//! and a platform that is not in this run must be listed there as its document says.

use std::collections::{BTreeMap, BTreeSet};

use super::{Planner, PublishedDocument};
use crate::digest::{Digest, ShortDigest};
use crate::error::Refusal;
use crate::package::Checksums;
use crate::plan::{Look, Memory};
use crate::provider::Platform;
use crate::registry::{Key, Links};

impl Planner<'_> {
    /// The SHA256SUMS that all documents of the version shall be on; `None` when something has to be seen first.
    pub(super) fn sums(
        &mut self,
        documents: &BTreeMap<Platform, PublishedDocument>,
        memory: &Memory,
    ) -> Result<Option<Checksums>, Refusal> {
        let mut own = Checksums::default();
        self.add_packages(&mut own);
        let mut likely = own.clone();
        let mut in_use = BTreeSet::new();
        let mut carried = BTreeMap::new();
        for (platform, published) in documents {
            let link = published.document.sums_link(&self.download_key(platform))?;
            let digest = match Links::target(link) {
                Some(Key::Sums(provider, version, digest))
                    if provider == self.wanted.provider && version == *self.version =>
                {
                    in_use.insert(digest);
                    Some(digest)
                }
                _ => None,
            };
            if self.package(platform).is_none() {
                let digest =
                    digest.ok_or_else(|| self.unproven(platform, format!("its SHA256SUMS is {link}")))?;
                likely.set(published.document.filename().to_owned(), published.document.shasum());
                carried.insert(platform, (published, digest));
            }
        }
        if carried.is_empty() {
            in_use.remove(&own.seal().digest().short());
        }
        if in_use.is_empty() {
            return Ok(Some(own));
        }
        for digest in &in_use {
            if !self.is_known(*digest, memory) {
                self.need(&self.sums_key(*digest), Look::Read);
                self.need(&self.signature_key(*digest), Look::Read);
            }
        }
        if !self.missing.is_empty() {
            // Most likely they hold nothing new; then this saves a round.
            self.need_signed(memory, likely.seal().digest().short());
            return Ok(None);
        }
        let mut all = Checksums::default();
        let mut proven = BTreeMap::new();
        for digest in in_use {
            let read = match memory.sums.get(&digest) {
                Some(sums) if self.is_known(digest, memory) => Some(sums.clone()),
                _ => self.proven_sums(digest)?,
            };
            for (name, digest) in read.iter().flat_map(Checksums::iter) {
                all.set(name.to_owned(), digest);
            }
            proven.insert(digest, read);
        }
        for (platform, (published, digest)) in carried {
            let Some(sums) = proven.get(&digest).and_then(Option::as_ref) else {
                let found = format!("no signature of its SHA256SUMS by key {}", self.wanted.key.key_id());
                return Err(self.unproven(platform, found));
            };
            let (name, shasum) = (self.zip_file_name(platform), published.document.shasum());
            let listed = sums.get(&name);
            if published.document.filename() != name || listed != Some(shasum) {
                let listed = listed.map_or("nothing".to_owned(), |digest| digest.to_string());
                let filename = published.document.filename();
                let found = format!(
                    "{filename:?}, SHA-256 {shasum}, in its document; {listed} for {name} in SHA256SUMS"
                );
                return Err(self.unproven(platform, found));
            }
            all.set(name, shasum);
        }
        self.add_packages(&mut all);
        Ok(Some(all))
    }

    /// Whether this run has itself put a SHA256SUMS and its signature there, or verified them.
    fn is_known(&self, digest: ShortDigest, memory: &Memory) -> bool {
        memory.sums.contains_key(&digest)
            && memory.stored.contains(&self.sums_key(digest))
            && memory.stored.contains(&self.signature_key(digest))
    }

    /// A SHA256SUMS in use, if its signature by this run's key verifies; `None` where it or the signature is not there.
    fn proven_sums(&self, digest: ShortDigest) -> Result<Option<Checksums>, Refusal> {
        let key = self.sums_key(digest);
        let (Some(sums), Some(signature)) = (self.document(&key), self.document(&self.signature_key(digest)))
        else {
            return Ok(None);
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
        self.wanted.key.verify(&sums.bytes, &signature.bytes).map_err(refuse)?;
        Checksums::parse(&sums.bytes).map_err(refuse).map(Some)
    }

    fn unproven(&self, platform: &Platform, found: String) -> Refusal {
        Refusal::new(
            self.download_key(platform),
            "a platform that is not in this run cannot be proven to be what was published, so it is not signed again",
        )
        .found(found)
        .expected(format!("a SHA256SUMS that lists it as its document does, signed by key {}", self.wanted.key.key_id()))
        .remedy(format!("publish the tarball for {platform} in the same run, or sign with the key of the version"))
    }
}
