//! The goal of a mirroring: releases of another registry's provider in this registry's network mirror.
//!
//! # What is taken, and its proof
//!
//! A zip is taken if a SHA256SUMS lists it under the name of this very release, with a signature by a key that the user has
//! given, or that was recorded when the provider was mirrored first (see [`TrustedKeys`]). What the mirror offers already
//! for a platform is never changed to another zip.
//!
//! # The order of the writes
//!
//! Zips, SHA256SUMS and signatures first, to which nothing leads yet; then the record of the keys; then the version's file;
//! the index last. So at every point the index lists no version whose file is missing, no file offers a zip that is not
//! there, and no version is offered whose key is not recorded.

use std::collections::{BTreeMap, BTreeSet};

use super::mirror::Found;
use super::{
    Action, Goal, Observation, Observed, Plan, ReadKind, Step, Write, condition_check, keep, names,
    object_conflict, revise,
};
use crate::content::{Digest, Sealed};
use crate::error::Refusal;
use crate::openpgp::Fingerprint;
use crate::openpgp::certificate::PublishableKey;
use crate::provider::{Platform, Provider, ReleaseId, Version};
use crate::registry::mirror::kept::{Facts, KeptKey, KeptObject};
use crate::registry::mirror::trusted::TrustedKeys;
use crate::registry::mirror::{Archive, SignedLinks};
use crate::registry::{Folder, Key, Links, MirrorHost, MirrorIndex, MirrorVersion, Settings};
use crate::words::count;

/// Releases of a provider of another registry that are to be in the mirror.
#[derive(Debug)]
pub struct MirrorGoal {
    /// The provider.
    pub provider: MirroredProvider,
    /// The releases.
    pub releases: Vec<MirroredRelease>,
    /// The keys that have signed releases of the provider that this run takes, also those of other goals of the run.
    pub keys: Vec<PublishableKey>,
    /// The keys that the user has given.
    pub given: BTreeSet<Fingerprint>,
}

/// A provider of another registry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MirroredProvider {
    /// The registry's host.
    pub host: MirrorHost,
    /// The rest of its address.
    pub provider: Provider,
}

/// A release that is to be in the mirror.
#[derive(Debug)]
pub struct MirroredRelease {
    /// The version.
    pub version: Version,
    /// Its plugin protocols, as the registry lists them.
    pub protocols: Vec<String>,
    /// What upstream has signed: usually one SHA256SUMS.
    pub signed: Vec<KeptSums>,
    /// The zips of the wanted platforms.
    pub zips: BTreeMap<Platform, MirroredZip>,
}

/// A SHA256SUMS of upstream, whose signature is verified.
#[derive(Debug)]
pub struct KeptSums {
    /// The file.
    pub sums: Sealed,
    /// Its signature.
    pub signature: Sealed,
    /// The key that has made it.
    pub key: PublishableKey,
}

/// A zip that is to be in the mirror.
#[derive(Debug)]
pub struct MirroredZip {
    /// Its SHA-256, as it is listed.
    pub digest: Digest,
    /// The hash of its contents, with its scheme.
    pub h1: String,
    /// Its contents, unless they are kept already.
    pub body: Option<Sealed>,
    /// The digest of the SHA256SUMS that lists it.
    pub sums: Digest,
}

impl std::fmt::Display for MirroredProvider {
    /// As source addresses have it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.host, self.provider)
    }
}

impl MirroredProvider {
    /// The key of its index.
    #[must_use]
    pub fn index_key(&self) -> Key {
        Key::MirrorIndex { host: self.host.clone(), provider: self.provider.clone() }
    }

    /// The key of the record of its keys.
    #[must_use]
    pub fn keys_key(&self) -> Key {
        Key::MirrorKeys { host: self.host.clone(), provider: self.provider.clone() }
    }

    /// The key of a version's file.
    #[must_use]
    pub fn version_key(&self, version: &Version) -> Key {
        Key::MirrorVersion { host: self.host.clone(), release: self.release(version) }
    }

    /// The key of a platform's zip.
    #[must_use]
    pub fn zip_key(&self, version: &Version, platform: &Platform, digest: Digest) -> Key {
        self.kept(version, KeptObject::Zip { platform: platform.clone(), digest: digest.short() })
    }

    fn kept(&self, version: &Version, object: KeptObject) -> Key {
        KeptKey { host: self.host.clone(), release: self.release(version), object }.into()
    }

    fn release(&self, version: &Version) -> ReleaseId {
        ReleaseId::new(&self.provider, version)
    }
}

/// Checks that the mirror offers no other zip for a platform than the one of upstream.
///
/// # Errors
/// It does.
pub fn check_offered(
    file: &MirrorVersion,
    platform: &Platform,
    digest: Digest,
    h1: Option<&str>,
) -> Result<(), Refusal> {
    let Some(archive) = file.archives().get(platform) else { return Ok(()) };
    let zh = format!("zh:{digest}");
    let (found, expected) = match (archive.zh(), archive.h1(), h1) {
        (Some(found), _, _) if found != zh => (found, zh.as_str()),
        (None, Some(found), Some(h1)) if found != h1 => (found, h1),
        _ => return Ok(()),
    };
    Err(Refusal::new(file.key(), "the registry has another zip now than the mirror")
        .found(format!("{found} for {platform} in the mirror"))
        .expected(format!("{expected}, as the registry's signed SHA256SUMS lists it"))
        .remedy(format!(
            "a release never changes, and users' lock files have the hash of the mirror: ask the provider's makers what happened. \
             If the new zip is right, remove {} by hand, and run this again",
            file.key()
        )))
}

impl Goal for MirrorGoal {
    type RunState = ();

    fn next(&self, seen: &Observation, (): &mut ()) -> Result<Step, Refusal> {
        if let Some(step) = seen.missing(self.reads()) {
            return Ok(step);
        }
        let links = self.links(seen.settings())?;
        let (keys_key, index_key) = (self.provider.keys_key(), self.provider.index_key());
        let recorded = Found::read(&keys_key, seen, TrustedKeys::parse, TrustedKeys::empty)?;
        let trusted = recorded.document();
        for key in &self.keys {
            trusted.judge(key, &self.given, &self.provider.to_string())?;
        }
        let listed = Found::read(&index_key, seen, MirrorIndex::parse, MirrorIndex::empty)?;
        let index = listed.document();
        let mut versions: BTreeSet<Version> =
            self.releases.iter().map(|release| release.version.clone()).collect();
        if !listed.is_there() && !self.releases.is_empty() {
            // Files of versions that are there were listed before.
            let folder = Folder::mirrored(&self.provider.host, &self.provider.provider);
            let Some(found) = seen.folders.get(&folder) else { return Ok(Step::List(folder)) };
            versions.extend(found.iter().filter_map(|listed| match listed.key.parse() {
                Ok(Key::MirrorVersion { release, .. }) => Some(release.version),
                _ => None,
            }));
        }
        let mut plan = Plan { condition_check: condition_check(seen, &Key::Settings), ..Plan::default() };
        if !self.keys.is_empty() {
            let wanted = trusted.with(&self.keys);
            plan.writes.push(recorded.revise(&keys_key, &wanted, || wanted.to_bytes()));
        }
        for release in &self.releases {
            self.release(release, &links, seen, &mut plan)?;
        }
        if !self.releases.is_empty() {
            let wanted = index.with(&versions, &BTreeSet::new());
            let new = names(wanted.versions().difference(&index.versions()));
            if !new.is_empty() {
                plan.changes.push(format!("+ {} in the network mirror: {new}", self.provider));
            }
            plan.writes.push(listed.revise(&index_key, &wanted, || wanted.to_bytes()));
        }
        Ok(Step::Ready(Box::new(plan)))
    }

    fn written(&self, _: &Key, (): &mut ()) {}

    fn indexed(&self) -> &'static str {
        "The registry's index was not changed."
    }
}

impl MirrorGoal {
    /// What the plan depends on.
    fn reads(&self) -> Vec<(Key, ReadKind)> {
        let provider = &self.provider;
        let mut reads = vec![
            (Key::Discovery, ReadKind::Read),
            (Key::Settings, ReadKind::Read),
            (provider.keys_key(), ReadKind::Read),
            (provider.index_key(), ReadKind::Read),
        ];
        for release in &self.releases {
            reads.push((provider.version_key(&release.version), ReadKind::Read));
            for signed in &release.signed {
                reads.push((self.sums_key(release, signed.sums.digest()), ReadKind::Summary));
                reads.push((self.signature_key(release, signed), ReadKind::Read));
                reads.push((self.facts_key(release, signed), ReadKind::Read));
            }
            for (platform, zip) in &release.zips {
                let key = provider.zip_key(&release.version, platform, zip.digest);
                reads.push((key, ReadKind::Summary));
            }
        }
        reads
    }

    fn sums_key(&self, release: &MirroredRelease, digest: Digest) -> Key {
        self.provider.kept(&release.version, KeptObject::Sums { digest: digest.short() })
    }

    fn signature_key(&self, release: &MirroredRelease, signed: &KeptSums) -> Key {
        let (digest, key_id) = (signed.sums.digest().short(), signed.key.key_id().clone());
        self.provider.kept(&release.version, KeptObject::Signature { digest, key_id })
    }

    fn facts_key(&self, release: &MirroredRelease, signed: &KeptSums) -> Key {
        self.provider.kept(&release.version, KeptObject::Facts { digest: signed.sums.digest().short() })
    }

    /// The links of the registry's documents.
    ///
    /// # Errors
    /// Its settings want no network mirror, or the provider is its own.
    fn links(&self, settings: Option<&Settings>) -> Result<Links, Refusal> {
        let Some((settings, own)) = settings.and_then(|settings| Some((settings, settings.mirror_host()?)))
        else {
            return Err(Refusal::new(Key::Settings, "this registry has no network mirror")
                .found(settings.map_or("no settings", |_| "\"network_mirror\": false"))
                .expected("\"base_url\", and \"network_mirror\": true")
                .remedy(
                    "say where clients reach the registry, and that it has a mirror: \
                     `tfreg init TARGET --base-url https://HOST/ --network-mirror`",
                ));
        };
        if self.provider.host == own {
            return Err(Refusal::new(
                &self.provider,
                "this is a provider of this registry, not of another one",
            )
            .found(format!("{own}, the host of {}", settings.links().base()))
            .expected("a provider of another registry")
            .remedy(
                "publish it by `tfreg publish`: the registry's own providers are in its mirror by themselves",
            ));
        }
        Ok(settings.links())
    }

    /// Adds the writes of a release.
    fn release(
        &self,
        release: &MirroredRelease,
        links: &Links,
        seen: &Observation,
        plan: &mut Plan,
    ) -> Result<(), Refusal> {
        let id = self.provider.release(&release.version);
        for signed in &release.signed {
            let key = self.sums_key(release, signed.sums.digest());
            plan.writes.push(immutable(key, &signed.sums, seen)?);
            let key = self.signature_key(release, signed);
            plan.writes.push(signature(key, signed, seen)?);
            let key = self.facts_key(release, signed);
            let facts = Facts {
                protocols: &release.protocols,
                key_id: signed.key.key_id(),
                fingerprint: &signed.key.fingerprint(),
                public_key: signed.key.armored(),
            };
            // The first one is kept.
            plan.writes
                .push(revise(&key, seen.document(&key), true, || facts.to_bytes(&self.provider.host, &id)));
        }
        let key = self.provider.version_key(&release.version);
        let found = Found::read(&key, seen, MirrorVersion::parse, MirrorVersion::empty)?;
        let file = found.document();
        let mut archives = BTreeMap::new();
        for (platform, zip) in &release.zips {
            check_offered(file, platform, zip.digest, Some(&zip.h1))?;
            let key = self.provider.zip_key(&release.version, platform, zip.digest);
            let url = links.to(&key);
            match &zip.body {
                Some(body) => plan.writes.push(immutable(key, body, seen)?),
                None => is_kept(key, zip.digest, seen)?,
            }
            let signed = release.signed.iter().find(|signed| signed.sums.digest() == zip.sums);
            let signed = signed.map(|signed| SignedLinks {
                sums: links.to(&self.sums_key(release, signed.sums.digest())),
                signature: links.to(&self.signature_key(release, signed)),
            });
            let hashes = vec![zip.h1.clone(), format!("zh:{}", zip.digest)];
            archives.insert(platform.clone(), Archive { url, hashes, signed });
        }
        let wanted = file.merged(&archives);
        let new: Vec<_> =
            archives.keys().filter(|platform| !file.archives().contains_key(platform)).collect();
        if found.is_there() && !new.is_empty() {
            let of = format!("{} {}", self.provider, release.version);
            plan.changes.push(format!(
                "~ {of} in the network mirror: {} of {}",
                count(new.len(), "platform"),
                names(new)
            ));
        }
        plan.writes.push(found.revise(&key, &wanted, || wanted.to_bytes()));
        Ok(())
    }
}

/// The write of an object that never changes.
fn immutable(key: Key, body: &Sealed, seen: &Observation) -> Result<Write, Refusal> {
    let action = match seen.objects.get(&key) {
        Some(Observed::Summary(there)) if there.digest != body.digest() => {
            return Err(object_conflict(&key, there.digest, body.digest()));
        }
        Some(Observed::Summary(_)) => Action::Keep,
        _ => Action::Create,
    };
    Ok(Write { key, body: body.clone(), action })
}

/// Checks that a zip is kept.
fn is_kept(key: Key, digest: Digest, seen: &Observation) -> Result<(), Refusal> {
    match seen.objects.get(&key) {
        Some(Observed::Summary(there)) if there.digest == digest => Ok(()),
        Some(Observed::Summary(there)) => Err(object_conflict(&key, there.digest, digest)),
        _ => Err(Refusal::new(key, "a zip that the mirror offers has gone while this ran")
            .found("nothing")
            .expected(format!("SHA-256 {digest}"))
            .remedy("run this again: it is fetched anew")),
    }
}

/// The write of a signature. Another one by the same key is as good.
fn signature(key: Key, signed: &KeptSums, seen: &Observation) -> Result<Write, Refusal> {
    let Some(there) = seen.document(&key) else {
        return Ok(Write { key, body: signed.signature.clone(), action: Action::Create });
    };
    let is_good = there.bytes == signed.signature.bytes().map(|bytes| &bytes[..]).unwrap_or_default()
        || signed.sums.bytes().is_some_and(|sums| signed.key.verify(sums, &there.bytes).is_ok());
    if !is_good {
        return Err(object_conflict(&key, Digest::of(&there.bytes), signed.signature.digest()));
    }
    Ok(keep(key, &there.bytes))
}
