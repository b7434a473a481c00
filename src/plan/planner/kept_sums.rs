//! A SHA256SUMS that a release of ready-made zips has brought along, and that is published unchanged.
//!
//! Its signature covers its bytes, so no line is added to it and none is left out. A version has one SHA256SUMS for all
//! of its platforms; so a platform comes to such a version only by another SHA256SUMS of the release, which lists what
//! is published with the same digests.

use std::collections::BTreeMap;

use super::next_checksums::NextSums;
use super::{Planner, PublishedDocument};
use crate::content::Sealed;
use crate::error::Refusal;
use crate::plan::Published;
use crate::provider::Platform;
use crate::registry::{Checksums, Key};
use crate::release::ready_made::KeptSums;

impl Planner<'_> {
    /// The SHA256SUMS with this run's lines only: the kept one, or one that is made.
    pub(super) fn own_sums(&self) -> Sealed {
        if let Some(kept) = self.goal.packages.sums() {
            return Sealed::from_bytes(kept.bytes.clone());
        }
        let mut own = Checksums::default();
        self.add_packages(&mut own);
        own.seal()
    }

    /// The bytes of the SHA256SUMS to which the documents shall point.
    pub(super) fn seal(&self, next: &Checksums) -> Sealed {
        if self.goal.packages.sums().is_some() { self.own_sums() } else { next.seal() }
    }

    /// The signature that the release has brought along for this SHA256SUMS.
    pub(super) fn kept_signature(&self, sums: &Sealed) -> Option<Sealed> {
        self.goal.signature.clone().filter(|_| self.own_sums().digest() == sums.digest())
    }

    /// Takes a kept SHA256SUMS for all documents of the version. Every zip that it lists is in this run.
    ///
    /// # Errors
    /// Another platform is published that it does not list.
    pub(super) fn keep_sums(
        &self,
        kept: &KeptSums,
        documents: &BTreeMap<Platform, PublishedDocument>,
    ) -> Result<NextSums, Refusal> {
        let missing: Vec<_> =
            documents.iter().filter(|(platform, _)| self.package(platform).is_none()).collect();
        let Some((first, _)) = missing.first() else { return Ok(NextSums::Known(kept.lines.clone())) };
        let found = missing.iter().map(|(platform, published)| {
            format!(
                "{platform}: SHA-256 {}, as published; no line in {}",
                published.document.shasum(),
                kept.shown
            )
        });
        Err(Refusal::new(
            self.download_key(first),
            "a platform is published that the release's SHA256SUMS does not list, and that file is never changed",
        )
        .found(found.collect::<Vec<_>>().join("\n"))
        .expected("a SHA256SUMS that lists all platforms of the version, those that are published with the same digests")
        .remedy(
            "build the SHA256SUMS of all platforms, from the very zips that are published, and sign it; then give it with all \
             these zips; or release a new version",
        ))
    }

    /// Refuses to put a SHA256SUMS that this run makes in the place of one that a release has brought along, whatever
    /// its signature; unless all that it lists is replaced.
    pub(super) fn check_not_kept(&self, key: &Key, lines: &Checksums) -> Result<(), Refusal> {
        let (provider_type, version) = (&self.goal.provider.provider_type, self.version);
        let besides = lines.besides(provider_type, version);
        let is_own_form = matches!(key, Key::Sums { digest, .. } if *digest == lines.seal().digest().short());
        if is_own_form && besides.is_empty() {
            return Ok(());
        }
        let are_all_replaced = self.goal.published == Published::Replaceable
            && lines
                .platforms(provider_type, version)
                .keys()
                .all(|platform| self.package(platform).is_some());
        if are_all_replaced {
            return Ok(());
        }
        let found = match besides.as_slice() {
            [] => "a SHA256SUMS in another order than tfreg's".to_owned(),
            names => format!("a SHA256SUMS that also lists {}", names.join(", ")),
        };
        Err(Refusal::new(
            key,
            format!("version {version} has the SHA256SUMS of its release, which is kept as it is"),
        )
        .found(format!("{found}; and a run without such a file"))
        .expected("a SHA256SUMS of the release that lists all platforms, those that are published with the same digests")
        .remedy(
            "give the zips of all platforms with the release's SHA256SUMS beside them, and its signature; or release a new \
             version",
        ))
    }
}
