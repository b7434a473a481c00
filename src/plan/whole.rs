//! Whether the documents of a version, and all that they point to, are there: what must be so before an index lists them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Look, Observation, Seen};
use crate::error::Refusal;
use crate::package::Checksums;
use crate::provider::{Platform, Provider, Version};
use crate::registry::{DownloadDocument, Key, Links};
use crate::store::Listed;

/// The platforms of a provider's versions whose documents a listing has found.
pub(super) fn documents(provider: &Provider, listed: &[Listed]) -> BTreeMap<Version, BTreeSet<Platform>> {
    let mut found: BTreeMap<Version, BTreeSet<Platform>> = BTreeMap::new();
    for Listed { key, .. } in listed {
        if let Ok(Key::Download(of, version, platform)) = key.parse()
            && of == *provider
        {
            found.entry(version).or_default().insert(platform);
        }
    }
    found
}

/// A version of which all is there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Whole {
    pub(super) protocols: Vec<String>,
    pub(super) platforms: BTreeSet<Platform>,
    /// Platforms that have a document and cannot be listed beside the others yet.
    pub(super) left_out: BTreeSet<Platform>,
}

/// What was found out.
#[derive(Debug)]
pub(super) enum Verdict {
    /// This has to be seen first.
    Look(Vec<(Key, Look)>),
    /// It may be listed.
    Whole(Whole),
    /// It may not, because of these.
    Not(Vec<String>),
}

struct Part {
    document: DownloadDocument,
    sums: Key,
}

/// Judges the documents of `platforms`. `prior` are those that an index has listed together once: where a publish that adds
/// others is under way, or was stopped, at least these may still be listed.
pub(super) fn judge(
    (provider, version): (&Provider, &Version),
    platforms: &BTreeSet<Platform>,
    prior: &BTreeSet<Platform>,
    seen: &Observation,
) -> Verdict {
    let key_of = |platform: &Platform| Key::Download(provider.clone(), version.clone(), platform.clone());
    let unseen = |looks: Vec<(Key, Look)>| {
        looks.into_iter().filter(|(key, _)| !seen.objects.contains_key(key)).collect::<Vec<_>>()
    };
    let looks = unseen(platforms.iter().map(|platform| (key_of(platform), Look::Read)).collect());
    if !looks.is_empty() {
        return Verdict::Look(looks);
    }
    let (mut parts, mut problems, mut looks) = (BTreeMap::new(), Vec::new(), Vec::new());
    for platform in platforms {
        match part(provider, version, platform, &key_of(platform), seen) {
            Ok((part, needed)) => {
                looks.extend(unseen(needed));
                parts.insert(platform, part);
            }
            Err(problem) => problems.push(problem),
        }
    }
    if !looks.is_empty() {
        return Verdict::Look(looks);
    }
    let (mut lines, mut protocols) = (BTreeMap::new(), BTreeSet::new());
    for (platform, part) in &parts {
        match check(platform, part, &key_of(platform), seen) {
            Ok((sums, declared)) => {
                lines.insert(*platform, sums);
                protocols.insert(declared);
            }
            Err(problem) => problems.push(problem),
        }
    }
    if protocols.len() > 1 {
        problems.push(format!("its documents declare different protocols: {protocols:?}"));
    }
    let Some(protocols) = protocols.into_iter().next().filter(|_| problems.is_empty()) else {
        if problems.is_empty() {
            problems.push("it has no download documents".to_owned());
        }
        return Verdict::Not(problems);
    };
    let together = |set: &BTreeSet<Platform>| {
        set.iter().all(|platform| {
            let name = |other| Key::zip_file_name(provider, version, other);
            lines.get(platform).is_some_and(|sums| set.iter().all(|other| sums.get(&name(other)).is_some()))
        })
    };
    if together(platforms) {
        return Verdict::Whole(Whole { protocols, platforms: platforms.clone(), left_out: BTreeSet::new() });
    }
    if !prior.is_empty() && together(prior) {
        let left_out = platforms.difference(prior).cloned().collect();
        return Verdict::Whole(Whole { protocols, platforms: prior.clone(), left_out });
    }
    Verdict::Not(vec![
        "its documents are on SHA256SUMS that do not list all of its platforms: a publish is under way, or was stopped"
            .to_owned(),
    ])
}

/// A platform's document, and what has to be seen of what it points to.
fn part(
    provider: &Provider,
    version: &Version,
    platform: &Platform,
    key: &Key,
    seen: &Observation,
) -> Result<(Part, Vec<(Key, Look)>), String> {
    let say = |refusal: Refusal| format!("{key}: {}", refusal.found);
    let read = seen.document(key).ok_or_else(|| format!("{key}: not there"))?;
    let document = DownloadDocument::parse(key, platform, &read.bytes).map_err(say)?;
    let target = |link: Result<&str, Refusal>| {
        let link = link.map_err(say)?;
        Links::target(link).ok_or_else(|| format!("{key}: {link} is no object of this registry"))
    };
    let zip = target(document.zip_link(key))?;
    let sums = target(document.sums_link(key))?;
    let signature = target(document.signature_link(key))?;
    let ours = match (&zip, &sums, &signature) {
        (Key::Zip(.., of, digest), Key::Sums(.., sums_digest), Key::Signature(.., signed, key_id)) => {
            let (provider, version) = (provider.clone(), version.clone());
            of == platform
                && signed == sums_digest
                && zip == Key::Zip(provider.clone(), version.clone(), of.clone(), *digest)
                && sums == Key::Sums(provider.clone(), version.clone(), *signed)
                && signature == Key::Signature(provider, version, *signed, key_id.clone())
        }
        _ => false,
    };
    if !ours {
        return Err(format!("{key}: it points to the objects of something else: {zip}, {sums}, {signature}"));
    }
    let looks = vec![(zip, Look::Summary), (sums.clone(), Look::Read), (signature, Look::Summary)];
    Ok((Part { document, sums }, looks))
}

/// Whether what a document points to is there and is what it says; gives its SHA256SUMS and protocols.
fn check(
    platform: &Platform,
    part: &Part,
    key: &Key,
    seen: &Observation,
) -> Result<(Checksums, Vec<String>), String> {
    let Part { document, sums } = part;
    let say = |refusal: Refusal| format!("{key}: {}", refusal.found);
    for link in [document.zip_link(key), document.signature_link(key)] {
        let target =
            Links::target(link.map_err(say)?).ok_or_else(|| format!("{key}: a link leads nowhere"))?;
        match seen.objects.get(&target) {
            Some(Seen::Summary(found))
                if matches!(target, Key::Zip(..)) && found.digest != document.shasum() =>
            {
                return Err(format!(
                    "{target}: SHA-256 {}, and {} in its document",
                    found.digest,
                    document.shasum()
                ));
            }
            Some(Seen::Summary(_)) => {}
            _ => return Err(format!("{target}: not there, and the document of {platform} points to it")),
        }
    }
    let read = seen
        .document(sums)
        .ok_or_else(|| format!("{sums}: not there, and the document of {platform} points to it"))?;
    let checksums = Checksums::parse(&read.bytes).map_err(|problem| format!("{sums}: {problem}"))?;
    if checksums.get(document.filename()) != Some(document.shasum()) {
        return Err(format!("{sums}: it does not list {} as its document does", document.filename()));
    }
    Ok((checksums, document.protocols(key).map_err(say)?))
}
