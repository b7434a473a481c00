//! Takes what was found: fetches the zips that the mirror does not have, checks them, and writes them.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use super::find::{FoundProvider, FoundRelease, FoundZip};
use super::{Mirrored, MirroredPlatform, MirroredVersion, Request, Written};
use crate::content::{Digest, Sealed};
use crate::error::{Error, Refusal, Result};
use crate::fetch::upstream::{SignedSums, Upstream};
use crate::openpgp::certificate::PublishableKey;
use crate::package::ready_made::{Judged, judge};
use crate::plan::upstream::{KeptSums, MirrorGoal, MirroredProvider, MirroredRelease, MirroredZip};
use crate::plan::{Action, Plan, object_conflict};
use crate::provider::{Platform, ReleaseId};
use crate::publish::{self, zips};
use crate::registry::Key;
use crate::release::zips::ExpectedZip;
use crate::store::RegistryStore;
use crate::store::budget::{Budget, RealPace};
use crate::words::count;
use crate::worker;
use crate::workflow::publish::Progress;
use crate::workflow::{Observer, target};

/// How many bytes of zips are fetched before they are written, with one write of the index.
const BYTES_AT_ONCE: u64 = 256 << 20;
/// The same for versions, whose documents are in memory.
const VERSIONS_AT_ONCE: usize = 100;

/// The taking of all providers.
pub(super) struct Taking<'a> {
    pub(super) request: &'a Request,
    pub(super) store: &'a RegistryStore,
    pub(super) progress: &'a Progress,
    pub(super) observer: &'a dyn Observer,
}

/// Versions of a provider that are written together.
#[derive(Default)]
struct Batch {
    releases: Vec<MirroredRelease>,
    told: Vec<MirroredVersion>,
    bytes: u64,
}

/// The taking of one provider.
struct OfProvider<'a> {
    taking: &'a Taking<'a>,
    upstream: &'a Upstream,
    provider: MirroredProvider,
    keys: Vec<PublishableKey>,
}

impl Taking<'_> {
    /// Takes a provider, the oldest versions first.
    pub(super) async fn provider(
        &self,
        found: FoundProvider,
        warnings: &mut Vec<String>,
    ) -> Result<Mirrored> {
        let FoundProvider { provider, upstream, keys, releases } = found;
        let of = OfProvider {
            taking: self,
            upstream: &upstream,
            provider: provider.clone(),
            keys: keys.iter().map(|(key, _)| key.clone()).collect(),
        };
        let mut mirrored =
            Mirrored { provider, keys, versions: Vec::new(), plans: Vec::new(), written: BTreeMap::new() };
        let mut batch = Batch::default();
        for release in releases {
            let (release, told, more) = of.release(release).await?;
            for warning in more {
                self.observer.warn(&warning);
                warnings.push(warning);
            }
            let bodies = release.zips.values().filter_map(|zip| zip.body.as_ref());
            batch.bytes += bodies.map(Sealed::len).sum::<u64>();
            batch.releases.push(release);
            batch.told.push(told);
            let is_full = batch.bytes >= BYTES_AT_ONCE || batch.releases.len() >= VERSIONS_AT_ONCE;
            // A dry run writes nothing in between that the next plan could build on.
            if is_full && self.request.dry_run.is_none() {
                of.write(std::mem::take(&mut batch), &mut mirrored).await?;
            }
        }
        if !batch.releases.is_empty() {
            of.write(batch, &mut mirrored).await?;
        }
        Ok(mirrored)
    }
}

impl OfProvider<'_> {
    /// Writes versions, or plans them in a dry run.
    async fn write(&self, batch: Batch, mirrored: &mut Mirrored) -> Result<()> {
        let Taking { request, store, progress, observer } = self.taking;
        let Batch { releases, mut told, .. } = batch;
        let goal = MirrorGoal {
            provider: self.provider.clone(),
            releases,
            keys: self.keys.clone(),
            given: request.given.clone(),
        };
        let changed = if let Some(folder) = &request.dry_run {
            let plan = publish::observe(store, &goal, &mut (), &request.options, *observer).await?;
            target::write_dry_run(&plan, folder).await?;
            let changed = pending(&plan);
            mirrored.plans.push(plan);
            changed
        } else {
            let budget = Budget::new(request.options.contention_timeout, Box::new(RealPace::default()));
            let run = publish::publish(store, &goal, &request.options, budget, *observer).await?;
            progress.published(goal.releases.len(), &run);
            for write in run.plan.writes() {
                if let Some(effect) = run.written.get(&write.key) {
                    let (digest, len) = (write.body.digest(), write.body.len());
                    mirrored.written.insert(write.key.clone(), Written { effect: *effect, digest, len });
                }
            }
            run.written.into_keys().collect()
        };
        for version in &mut told {
            version.is_changed = changed.contains(&self.provider.version_key(&version.version));
        }
        mirrored.versions.extend(told);
        Ok(())
    }

    /// A release with all zips that have to be written.
    async fn release(&self, found: FoundRelease) -> Result<(MirroredRelease, MirroredVersion, Vec<String>)> {
        let Taking { request, observer, .. } = self.taking;
        let FoundRelease { version, protocols, signed, zips } = found;
        let missing = zips.values().filter(|zip| zip.kept.is_none()).count();
        if missing > 0 {
            observer.note(&format!("Taking {} of {} {version}", count(missing, "zip"), self.provider));
        }
        let release = ReleaseId::new(&self.provider.provider, &version);
        let first = signed.first();
        let taken =
            stream::iter(zips.into_iter().map(|(platform, zip)| self.zip(&release, platform, zip, first)));
        let taken: Vec<Taken> = taken.buffered(request.options.jobs).try_collect().await?;
        let digests: Vec<Digest> = signed.iter().map(|signed| Digest::of(&signed.sums)).collect();
        let key_id = first.map(|first| first.key.key_id().to_string()).unwrap_or_default();
        let (mut zips, mut platforms, mut warnings) = (BTreeMap::new(), Vec::new(), Vec::new());
        for Taken { platform, digest, sums, h1, body, fetched, warnings: more } in taken {
            warnings.extend(more);
            platforms.push(MirroredPlatform {
                platform: platform.clone(),
                zip: self.provider.zip_key(&version, &platform, digest),
                sha256: digest.to_string(),
                fetched,
            });
            let sums = digests.get(sums).copied().unwrap_or(digest);
            zips.insert(platform, MirroredZip { digest, h1, body, sums });
        }
        let told = MirroredVersion { version: version.clone(), key_id, platforms, is_changed: false };
        Ok((MirroredRelease { version, protocols, signed: kept(signed), zips }, told, warnings))
    }

    /// A zip that is ready to be written, unless it is there.
    async fn zip(
        &self,
        release: &ReleaseId,
        platform: Platform,
        zip: FoundZip,
        first: Option<&SignedSums>,
    ) -> Result<Taken> {
        let FoundZip { digest, sums, offer, kept } = zip;
        if let Some(h1) = kept {
            return Ok(Taken { platform, digest, sums, h1, body: None, fetched: None, warnings: Vec::new() });
        }
        let Taking { request, store, .. } = self.taking;
        let failed = |source| Error::Io {
            context: format!("cannot keep a zip: {} cannot be used", request.scratch.describe()),
            source,
        };
        let file = request.scratch.file().map_err(failed)?;
        let key = self.provider.zip_key(&release.version, &platform, digest);
        // A run that was stopped has left some.
        let (subject, spooled, is_fetched) = match zips::spool(store, &key, file).await? {
            Some(there) if there.digest != digest => {
                return Err(object_conflict(&key, there.digest, digest).into());
            }
            Some(there) => (key.to_string(), there, false),
            None => {
                let offer = match offer {
                    Some(offer) => offer,
                    None => self.upstream.offer(release, &platform, first).await?,
                };
                if offer.digest() != digest {
                    return Err(other_zip(offer.address(), offer.digest(), digest).into());
                }
                let file = request.scratch.file().map_err(failed)?;
                let fetched = self.upstream.zip(&offer, file, &|_| {}).await?;
                (offer.address().to_owned(), fetched, true)
            }
        };
        let expected = ExpectedZip {
            provider_type: release.provider.provider_type.clone(),
            version: release.version.clone(),
            platform: platform.clone(),
        };
        let judged = worker::compute(|| judge(&subject, &spooled.file, &expected, request.limits))?;
        let Judged { h1, warnings, .. } = judged;
        let fetched = is_fetched.then_some(spooled.len);
        let sync = request.scratch.begin_sync(&spooled.file);
        let body = Some(spooled.seal(sync));
        Ok(Taken { platform, digest, sums, h1: h1.to_string(), body, fetched, warnings })
    }
}

/// A zip that is checked.
struct Taken {
    platform: Platform,
    digest: Digest,
    sums: usize,
    h1: String,
    body: Option<Sealed>,
    /// How many bytes were fetched, if it was.
    fetched: Option<u64>,
    warnings: Vec<String>,
}

/// What is kept of each SHA256SUMS, once.
fn kept(signed: Vec<SignedSums>) -> Vec<KeptSums> {
    let mut all: Vec<KeptSums> = Vec::new();
    for SignedSums { sums, signature, key, .. } in signed {
        let sums = Sealed::from_bytes(sums);
        if all.iter().all(|known| known.sums.digest() != sums.digest()) {
            all.push(KeptSums { sums, signature: Sealed::from_bytes(signature), key });
        }
    }
    all
}

/// The keys that a plan writes.
fn pending(plan: &Plan) -> BTreeSet<Key> {
    let writes = plan.writes().iter().filter(|write| write.action != Action::Keep);
    writes.map(|write| write.key.clone()).collect()
}

fn other_zip(address: &str, found: Digest, expected: Digest) -> Refusal {
    Refusal::new(address, "the registry's documents contradict each other")
        .found(format!("SHA-256 {found}, by the platform's document"))
        .expected(format!("SHA-256 {expected}, by the SHA256SUMS of another platform of the version"))
        .remedy("try again: a release may be under way; if it is the same, have whoever keeps that registry look at it")
}
