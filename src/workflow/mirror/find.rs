//! Finds out what there is to take: the versions, their signed SHA256SUMS, and which zips the mirror has already.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use super::{Request, Wanted};
use crate::content::Digest;
use crate::error::{Refusal, Result};
use crate::fetch::upstream::{Listed, Offer, SignedSums, Upstream};
use crate::openpgp::certificate::PublishableKey;
use crate::plan::upstream::{MirroredProvider, check_offered};
use crate::provider::{Platform, ReleaseId, Version};
use crate::registry::mirror::trusted::{Reason, TrustedKeys};
use crate::registry::{Key, Links, MirrorVersion};
use crate::store::RegistryStore;

/// How many versions are read at once: a registry is others' machine.
const AT_ONCE: usize = 8;

/// What there is to take of a provider.
pub(super) struct FoundProvider {
    pub(super) provider: MirroredProvider,
    pub(super) upstream: Arc<Upstream>,
    /// The keys that have signed, and why each is taken.
    pub(super) keys: Vec<(PublishableKey, Reason)>,
    /// The oldest first.
    pub(super) releases: Vec<FoundRelease>,
}

/// A release whose signatures are verified.
pub(super) struct FoundRelease {
    pub(super) version: Version,
    pub(super) protocols: Vec<String>,
    /// Usually one; the first one is that of the first platform.
    pub(super) signed: Vec<SignedSums>,
    pub(super) zips: BTreeMap<Platform, FoundZip>,
}

/// A zip that a signed SHA256SUMS lists.
pub(super) struct FoundZip {
    pub(super) digest: Digest,
    /// The SHA256SUMS that lists it, of those of the release.
    pub(super) sums: usize,
    /// Its document, if it was read.
    pub(super) offer: Option<Offer>,
    /// The hash of its contents, if the mirror has the zip.
    pub(super) kept: Option<String>,
}

impl FoundZip {
    /// The zip of an offer, which a SHA256SUMS of the release lists.
    fn of(offer: Offer, sums: usize) -> Self {
        Self { digest: offer.digest(), sums, offer: Some(offer), kept: None }
    }
}

/// Finds what there is to take of a provider.
pub(super) async fn find(
    request: &Request,
    store: &RegistryStore,
    upstream: Arc<Upstream>,
    provider: MirroredProvider,
    warnings: &mut Vec<String>,
) -> Result<FoundProvider> {
    let index = upstream.versions(&provider.provider).await?;
    let chosen = choose(request.wanted.iter().filter(|wanted| wanted.provider == provider), &index)?;
    let finding = Finding { request, store, upstream: &upstream, provider: &provider };
    let reads = stream::iter(chosen.iter().filter_map(|version| index.get_key_value(version)));
    let found = reads.map(|(version, listed)| finding.release(version, listed)).buffered(AT_ONCE);
    let found: Vec<(Option<FoundRelease>, Vec<String>)> = found.try_collect().await?;
    let mut releases = Vec::new();
    for (release, told) in found {
        warnings.extend(told);
        releases.extend(release);
    }
    if releases.is_empty() {
        return Err(Refusal::new(&provider, "it has none of the platforms that are wanted")
            .found(platforms(
                index
                    .iter()
                    .filter(|(version, _)| chosen.contains(version))
                    .flat_map(|(_, of)| &of.platforms),
            ))
            .expected(platforms(&request.platforms))
            .remedy("name platforms that it has by --platform, or leave that out to take all")
            .into());
    }
    let keys = finding.keys(&releases).await?;
    for (key, _) in &keys {
        if let Some(date) = key.expired_on() {
            warnings.push(format!(
                "{provider}: key {} expired on {date}; what it has signed before that is taken",
                key.fingerprint()
            ));
        }
    }
    Ok(FoundProvider { provider, upstream, keys, releases })
}

fn platforms<'p>(all: impl IntoIterator<Item = &'p Platform>) -> String {
    let all: BTreeSet<&Platform> = all.into_iter().collect();
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The versions that meet one of the constraints.
fn choose<'w>(
    wanted: impl Iterator<Item = &'w Wanted>,
    index: &BTreeMap<Version, Listed>,
) -> Result<BTreeSet<Version>, Refusal> {
    let mut chosen = BTreeSet::new();
    for Wanted { provider, constraint } in wanted {
        let newest = || index.keys().rev().find(|version| !version.is_prerelease()).cloned();
        let found = match constraint {
            Some(constraint) => constraint.choose(index.keys()),
            None => newest().into_iter().collect(),
        };
        if found.is_empty() {
            let newest: Vec<String> = index.keys().rev().take(5).map(ToString::to_string).collect();
            let expected = match constraint {
                Some(constraint) => format!("a version that meets {constraint}"),
                None => "a version that is no pre-release".to_owned(),
            };
            return Err(Refusal::new(provider, "no version of it is to be mirrored")
                .found(match newest.as_slice() {
                    [] => "no version".to_owned(),
                    newest => format!("{} (the newest of {})", newest.join(", "), index.len()),
                })
                .expected(expected)
                .remedy("correct the constraint; a pre-release has to be named exactly, as for terraform: @1.2.0-rc.1"));
        }
        chosen.extend(found);
    }
    Ok(chosen)
}

struct Finding<'a> {
    request: &'a Request,
    store: &'a RegistryStore,
    upstream: &'a Upstream,
    provider: &'a MirroredProvider,
}

impl Finding<'_> {
    /// A release, unless it has none of the wanted platforms; and warnings.
    async fn release(
        &self,
        version: &Version,
        listed: &Listed,
    ) -> Result<(Option<FoundRelease>, Vec<String>)> {
        let wanted = &self.request.platforms;
        let (mut platforms, mut warnings) = (listed.platforms.clone(), Vec::new());
        if !wanted.is_empty() {
            platforms.retain(|platform| wanted.contains(platform));
            let missing = self::platforms(wanted.difference(&platforms));
            if !missing.is_empty() {
                warnings.push(format!("{} {version} has no {missing}", self.provider));
            }
        }
        let Some(first) = platforms.first() else { return Ok((None, warnings)) };
        let release = ReleaseId::new(&self.provider.provider, version);
        // One document tells the digests of all platforms; the others are read for what is fetched.
        let offer = self.upstream.offer(&release, first, None).await?;
        let mut found = FoundRelease {
            version: version.clone(),
            protocols: match listed.protocols.as_slice() {
                [] => offer.protocols.clone(),
                protocols => protocols.to_vec(),
            },
            signed: vec![offer.signed.clone()],
            zips: BTreeMap::from([(first.clone(), FoundZip::of(offer, 0))]),
        };
        for platform in platforms.iter().skip(1) {
            let name = Key::zip_file_name(&release.provider, version, platform);
            let listed = found.signed.first().and_then(|signed| signed.lines.get(&name));
            let zip = if let Some(digest) = listed {
                FoundZip { digest, sums: 0, offer: None, kept: None }
            } else {
                let offer = self.upstream.offer(&release, platform, None).await?;
                found.signed.push(offer.signed.clone());
                FoundZip::of(offer, found.signed.len() - 1)
            };
            found.zips.insert(platform.clone(), zip);
        }
        self.compare(&mut found).await?;
        Ok((Some(found), warnings))
    }

    /// Finds out which zips of a release the mirror has.
    ///
    /// # Errors
    /// It has others.
    async fn compare(&self, found: &mut FoundRelease) -> Result<()> {
        let key = self.provider.version_key(&found.version);
        let file = match self.store.get(&key).await? {
            Some(read) => MirrorVersion::parse(&key, &read.bytes)?,
            None => MirrorVersion::empty(&key),
        };
        for (platform, zip) in &mut found.zips {
            check_offered(&file, platform, zip.digest, None)?;
            zip.kept = self.kept(&file, &found.version, platform, zip.digest).await?;
        }
        Ok(())
    }

    /// The hash of a zip's contents, if the mirror offers the zip and it is there.
    async fn kept(
        &self,
        file: &MirrorVersion,
        version: &Version,
        platform: &Platform,
        digest: Digest,
    ) -> Result<Option<String>> {
        let key = self.provider.zip_key(version, platform, digest);
        let Some(archive) = file.archives().get(platform) else { return Ok(None) };
        let is_ours = archive.zh() == Some(format!("zh:{digest}").as_str())
            && Links::target(&archive.url).as_ref() == Some(&key);
        let Some(h1) = archive.h1().filter(|_| is_ours) else { return Ok(None) };
        Ok(self.store.head(&key).await?.map(|_| h1.to_owned()))
    }

    /// The keys that have signed, each once.
    ///
    /// # Errors
    /// One is neither recorded nor given.
    async fn keys(&self, releases: &[FoundRelease]) -> Result<Vec<(PublishableKey, Reason)>> {
        let key = self.provider.keys_key();
        let recorded = match self.store.get(&key).await? {
            Some(read) => TrustedKeys::parse(&key, &read.bytes)?,
            None => TrustedKeys::empty(&key),
        };
        let mut keys: Vec<(PublishableKey, Reason)> = Vec::new();
        for release in releases {
            for signed in &release.signed {
                if keys.iter().any(|(known, _)| known.fingerprint() == signed.key.fingerprint()) {
                    continue;
                }
                let subject = format!("{} {}", self.provider, release.version);
                let reason = recorded.judge(&signed.key, &self.request.given, &subject)?;
                keys.push((signed.key.clone(), reason));
            }
        }
        Ok(keys)
    }
}
