//! Whether the documents of a version, and all objects that they point to, exist and are signed as this version's: the
//! condition for listing them in an index.
//!
//! A SHA256SUMS must have only lines of this version, and its signature must verify with a key that the document
//! embeds. No object of the registry can prove whose key that is: either the user names keys, or everything that is
//! newly listed has to be signed by one key, which the plan shows.

use std::collections::{BTreeMap, BTreeSet};

use super::{Observation, Observed, ReadKind, ReadZip};
use crate::content::Digest;
use crate::error::Refusal;
use crate::openpgp::Fingerprint;
use crate::openpgp::certificate::Certificate;
use crate::openpgp::signature;
use crate::provider::{Platform, Provider, ReleaseId, Version};
use crate::registry::{Checksums, DownloadDocument, Key, Links, Settings};
use crate::store::{Listed, Summary};

/// The platforms of a provider's versions for which a listing contains documents.
pub(super) fn documents(provider: &Provider, listed: &[Listed]) -> BTreeMap<Version, BTreeSet<Platform>> {
    let mut found: BTreeMap<Version, BTreeSet<Platform>> = BTreeMap::new();
    for Listed { key, .. } in listed {
        if let Ok(Key::Download { release: ReleaseId { provider: of, version }, platform }) = key.parse()
            && of == *provider
        {
            found.entry(version).or_default().insert(platform);
        }
    }
    found
}

/// A complete version.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Whole {
    pub(super) protocols: Vec<String>,
    pub(super) platforms: BTreeSet<Platform>,
    /// Platforms that have a document but cannot be listed with the others yet.
    pub(super) left_out: BTreeSet<Platform>,
    /// Fingerprints of the keys that have signed their SHA256SUMS.
    pub(super) signers: BTreeSet<Fingerprint>,
}

/// The result of a check.
#[derive(Debug)]
pub(super) enum Completeness {
    /// These objects have to be read first.
    Read(Vec<(Key, ReadKind)>),
    /// The version may be listed.
    Whole(Whole),
    /// The version may not be listed, for these reasons.
    Not(Vec<String>),
}

struct PlatformDocument {
    document: DownloadDocument,
    sums: Key,
    signature: Key,
}

/// What is proven by a document's SHA256SUMS.
struct Signed {
    sums: Checksums,
    protocols: Vec<String>,
    signer: Fingerprint,
}

/// The signer of a SHA256SUMS, by the digests on which it depends: verified once for all documents of a version.
type Verified = BTreeMap<(Digest, Digest, Digest), Result<Fingerprint, String>>;

/// Checks the documents of `platforms`. `prior` are those that an index once listed together: if a publish that adds
/// others is under way, or was stopped, at least these may still be listed.
pub(super) fn judge(
    (provider, version): (&Provider, &Version),
    platforms: &BTreeSet<Platform>,
    prior: &BTreeSet<Platform>,
    seen: &Observation,
) -> Completeness {
    let key_of = |platform: &Platform| Key::Download {
        release: ReleaseId::new(provider, version),
        platform: platform.clone(),
    };
    let unseen = |reads: Vec<(Key, ReadKind)>| {
        reads.into_iter().filter(|(key, _)| !seen.objects.contains_key(key)).collect::<Vec<_>>()
    };
    let reads = unseen(platforms.iter().map(|platform| (key_of(platform), ReadKind::Read)).collect());
    if !reads.is_empty() {
        return Completeness::Read(reads);
    }
    let (mut parts, mut problems, mut reads) = (BTreeMap::new(), Vec::new(), Vec::new());
    for platform in platforms {
        match part(provider, version, platform, &key_of(platform), seen) {
            Ok((part, needed)) => {
                reads.extend(unseen(needed));
                parts.insert(platform, part);
            }
            Err(problem) => problems.push(problem),
        }
    }
    if !reads.is_empty() {
        return Completeness::Read(reads);
    }
    let (mut lines, mut protocols, mut signers) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
    let mut verified = Verified::new();
    for (platform, part) in &parts {
        match check((provider, version, platform), part, &key_of(platform), seen, &mut verified) {
            Ok(Signed { sums, protocols: declared, signer }) => {
                lines.insert(*platform, sums);
                protocols.insert(declared);
                signers.insert(*platform, signer);
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
        return Completeness::Not(problems);
    };
    let together = |set: &BTreeSet<Platform>| {
        set.iter().all(|platform| {
            let name = |other| Key::zip_file_name(provider, version, other);
            lines.get(platform).is_some_and(|sums| set.iter().all(|other| sums.get(&name(other)).is_some()))
        })
    };
    let signers = |set: &BTreeSet<Platform>| {
        set.iter().filter_map(|platform| signers.get(platform).cloned()).collect::<BTreeSet<Fingerprint>>()
    };
    if together(platforms) {
        let (signers, platforms) = (signers(platforms), platforms.clone());
        return Completeness::Whole(Whole { protocols, platforms, left_out: BTreeSet::new(), signers });
    }
    if !prior.is_empty() && together(prior) {
        let left_out = platforms.difference(prior).cloned().collect();
        let (signers, platforms) = (signers(prior), prior.clone());
        return Completeness::Whole(Whole { protocols, platforms, left_out, signers });
    }
    Completeness::Not(vec![
        "its documents are on SHA256SUMS that do not list all of its platforms: a publish is under way, or was stopped"
            .to_owned(),
    ])
}

/// A platform's document, and the reads that its objects still need.
fn part(
    provider: &Provider,
    version: &Version,
    platform: &Platform,
    key: &Key,
    seen: &Observation,
) -> Result<(PlatformDocument, Vec<(Key, ReadKind)>), String> {
    let say = |refusal: Refusal| format!("{key}: {}", refusal.found);
    let read = seen.document(key).ok_or_else(|| format!("{key}: not there"))?;
    let document = DownloadDocument::parse(key, platform, &read.bytes).map_err(say)?;
    let target = |link: Result<&str, Refusal>| {
        let link = link.map_err(say)?;
        Links::target(link).ok_or_else(|| format!("{key}: {link} is no object of this registry"))
    };
    let zip = target(document.zip_link())?;
    let sums = target(document.sums_link())?;
    let signature = target(document.signature_link())?;
    let release = ReleaseId::new(provider, version);
    let ours = match (&zip, &sums, &signature) {
        (
            Key::Zip { release: of_zip, platform: of, .. },
            Key::Sums { release: of_sums, digest },
            Key::Signature { release: of_signature, digest: signed, .. },
        ) => {
            of == platform
                && signed == digest
                && [of_zip, of_sums, of_signature].into_iter().all(|of| *of == release)
        }
        _ => false,
    };
    if !ours {
        return Err(format!("{key}: it points to the objects of something else: {zip}, {sums}, {signature}"));
    }
    let reads =
        vec![(zip, ReadKind::Summary), (sums.clone(), ReadKind::Read), (signature.clone(), ReadKind::Read)];
    Ok((PlatformDocument { document, sums, signature }, reads))
}

/// Whether the objects that a document points to exist, match it, and are signed for this version.
fn check(
    (provider, version, platform): (&Provider, &Version, &Platform),
    part: &PlatformDocument,
    key: &Key,
    seen: &Observation,
    verified: &mut Verified,
) -> Result<Signed, String> {
    let PlatformDocument { document, sums, signature } = part;
    let say = |refusal: Refusal| format!("{key}: {}", refusal.found);
    let gone = |key: &Key| format!("{key}: not there, and the document of {platform} points to it");
    let zip_link = document.zip_link().map_err(say)?;
    let zip = Links::target(zip_link).ok_or_else(|| format!("{key}: {zip_link} leads nowhere"))?;
    match seen.objects.get(&zip) {
        Some(Observed::Summary(Summary { digest, .. }) | Observed::Zip(ReadZip { digest, .. })) => {
            let shasum = document.shasum();
            if *digest != shasum {
                return Err(format!("{zip}: SHA-256 {digest}, and {shasum} in its document"));
            }
        }
        _ => return Err(gone(&zip)),
    }
    let signature_read = seen.document(signature).ok_or_else(|| gone(signature))?;
    let read = seen.document(sums).ok_or_else(|| gone(sums))?;
    let digest = Digest::of(&read.bytes);
    if !matches!(sums, Key::Sums { digest: short, .. } if *short == digest.short()) {
        return Err(format!("{sums}: SHA-256 {digest}"));
    }
    let checksums = Checksums::parse(&read.bytes).map_err(|problem| format!("{sums}: {problem}"))?;
    let foreign = checksums.foreign(&provider.provider_type, version);
    if !foreign.is_empty() {
        return Err(format!("{sums}: it lists {}, which this version does not have", foreign.join(", ")));
    }
    if document.filename() != Key::zip_file_name(provider, version, platform)
        || checksums.get(document.filename()) != Some(document.shasum())
    {
        return Err(format!("{sums}: it does not list {} as its document does", document.filename()));
    }
    let mut why = format!("{key}: it embeds no public key");
    for armor in document.public_keys() {
        let fact = (digest, Digest::of(&signature_read.bytes), Digest::of(armor.as_bytes()));
        let signer = verified.entry(fact).or_insert_with(|| {
            let certificate = Certificate::embedded(armor)?;
            // What clients would refuse is not listed, though the key has made it.
            signature::check_form(&signature_read.bytes)?;
            certificate.verify_as_of_then(&read.bytes, &signature_read.bytes)?;
            Ok(certificate.fingerprint())
        });
        match signer {
            Ok(signer) => {
                let protocols = document.protocols().map_err(say)?;
                return Ok(Signed { sums: checksums, protocols, signer: signer.clone() });
            }
            Err(error) => why = format!("{signature}: {error}"),
        }
    }
    Err(why)
}

/// Keys whose signatures are trusted, if the user has named any.
#[derive(Debug, Default)]
pub struct Trust(Vec<Certificate>);

impl Trust {
    /// Only objects that these keys have signed are newly listed; if there are none, objects that one key has signed.
    #[must_use]
    pub fn new(keys: Vec<Certificate>) -> Self {
        Self(keys)
    }

    /// The keys that are trusted: those that the user has named, and those that may sign by the registry's settings.
    fn known(&self, settings: Option<&Settings>) -> BTreeSet<Fingerprint> {
        let named = self.0.iter().map(Certificate::fingerprint);
        named.chain(settings.into_iter().flat_map(Settings::signing_keys).cloned()).collect()
    }

    /// The `signers` that are not trusted; none if neither the user nor the settings name any key.
    pub(super) fn unknown(
        &self,
        settings: Option<&Settings>,
        signers: &BTreeSet<Fingerprint>,
    ) -> BTreeSet<Fingerprint> {
        let known = self.known(settings);
        if known.is_empty() { BTreeSet::new() } else { signers.difference(&known).cloned().collect() }
    }

    /// Whether objects of these signers may be newly listed together.
    ///
    /// # Errors
    /// Fails if there are several, and neither the user nor the settings name any.
    pub(super) fn together(
        &self,
        settings: Option<&Settings>,
        subject: &Key,
        signers: &BTreeSet<Fingerprint>,
    ) -> Result<(), Refusal> {
        if signers.len() < 2 || !self.known(settings).is_empty() {
            return Ok(());
        }
        let signers = signers.iter().map(|signer| format!("key {signer}")).collect::<Vec<_>>();
        Err(Refusal::new(subject, "what is to be listed is signed by different keys")
            .found(signers.join("\n"))
            .expected("signatures by one key, or by keys that are named")
            .remedy(
                "name each key that you know by --trust-key FILE, with its public half; the others stay out",
            ))
    }
}
