//! An independent reader: what a client finds in a registry's objects. Shares no code with the writing side, and judges
//! every state in between, not only the last.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Cursor, Read as _};
use std::sync::Mutex;

use base64::Engine as _;
use sequoia_openpgp as openpgp;

use openpgp::parse::Parse as _;
use openpgp::parse::stream::{DetachedVerifierBuilder, MessageLayer, MessageStructure, VerificationHelper};
use openpgp::policy::StandardPolicy;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Objects by key.
pub(crate) type Objects = BTreeMap<String, Vec<u8>>;

/// What a registry lists: `VERSION OS_ARCH` with the zip's SHA-256.
pub(crate) type Listed = BTreeMap<String, String>;

/// Reads every index, and for each version and platform that it lists the document, SHA256SUMS, signature and zip.
///
/// Every platform that is listed must be whole, and the SHA256SUMS that its document points to must have every platform
/// of the version that is listed.
pub(crate) fn read(objects: &Objects) -> Result<Listed, String> {
    let mut listed = Listed::new();
    for (key, bytes) in objects {
        let Some(base) = key.strip_prefix("registry/").and(key.strip_suffix("/versions")) else { continue };
        let index = json(key, bytes)?;
        for entry in index["versions"].as_array().ok_or(format!("{key}: no versions"))? {
            let version = text(entry, "version")?;
            let platforms =
                entry["platforms"].as_array().ok_or(format!("{key}: {version} has no platforms"))?;
            let names: BTreeSet<String> = platforms
                .iter()
                .map(|platform| Ok(format!("{}_{}", text(platform, "os")?, text(platform, "arch")?)))
                .collect::<Result<_, String>>()?;
            for name in &names {
                let shasum = platform(objects, base, version, name, &names, &entry["protocols"])
                    .map_err(|error| format!("{version} {name}: {error}"))?;
                listed.insert(format!("{version} {name}"), shasum);
            }
        }
    }
    mirror(objects)?;
    Ok(listed)
}

/// A network mirror as its clients find it at any moment: every version that its index lists has its file, all zips of the
/// registry in it are there with these hashes, and it lists no version of the registry that the registry's index does not.
fn mirror(objects: &Objects) -> Result<(), String> {
    for (key, bytes) in objects {
        let Some(folder) = key.strip_prefix("mirror/").and(key.strip_suffix("/index.json")) else { continue };
        let (_, provider) = folder["mirror/".len()..].split_once('/').ok_or("no host")?;
        let listed = versions(objects, provider)?;
        for version in json(key, bytes)?["versions"].as_object().ok_or(format!("{key}: no versions"))?.keys()
        {
            let file = format!("{folder}/{version}.json");
            let archives =
                json(&file, objects.get(&file).ok_or(format!("{key} lists {version}, and no {file}"))?)?;
            let is_ours =
                objects.keys().any(|key| key.starts_with(&format!("registry/{provider}/{version}/")));
            if is_ours && !listed.contains(version) {
                return Err(format!("{key} lists {version}, and the registry does not"));
            }
            for (platform, archive) in
                archives["archives"].as_object().ok_or(format!("{file}: no archives"))?
            {
                let url = text(archive, "url")?;
                let Some(at) = url.find("/store/") else { continue };
                let document =
                    format!("registry/{provider}/{version}/download/{}", platform.replace('_', "/"));
                if !objects.contains_key(&document) {
                    return Err(format!("{file} has {platform}, and there is no {document}"));
                }
                let zip = objects.get(&url[at + 1..]).ok_or(format!("{file}: {url} is not there"))?;
                let shasum = hex::encode(Sha256::digest(zip));
                if archive["hashes"] != serde_json::json!([h1(&shasum, zip)?, format!("zh:{shasum}")]) {
                    return Err(format!("{file}: other hashes than those of {url}: {archive}"));
                }
            }
        }
    }
    Ok(())
}

/// The versions that the registry lists of a provider.
fn versions(objects: &Objects, provider: &str) -> Result<BTreeSet<String>, String> {
    let key = format!("registry/{provider}/versions");
    let Some(bytes) = objects.get(&key) else { return Ok(BTreeSet::new()) };
    let index = json(&key, bytes)?;
    let entries = index["versions"].as_array().ok_or(format!("{key}: no versions"))?;
    entries.iter().map(|entry| Ok(text(entry, "version")?.to_owned())).collect()
}

/// Whether the network mirror below `base` says all that the registry says, as it does whenever nobody is publishing: it
/// lists the same versions, and offers each platform as its document does.
pub(crate) fn mirrored(objects: &Objects, base: &str) -> Result<(), String> {
    read(objects)?;
    let host = base.split('/').nth(2).ok_or("no host")?;
    for key in objects.keys() {
        let Some(provider) = key.strip_prefix("registry/").and_then(|rest| rest.strip_suffix("/versions"))
        else {
            continue;
        };
        let (index, folder) = (versions(objects, provider)?, format!("mirror/{host}/{provider}"));
        let key = format!("{folder}/index.json");
        let mirrored = match objects.get(&key) {
            Some(bytes) => json(&key, bytes)?,
            None if index.is_empty() => continue,
            None => return Err(format!("no {key}")),
        };
        let mirrored: BTreeSet<String> = mirrored["versions"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(version, _)| version.clone())
            .collect();
        if !index.is_subset(&mirrored) {
            return Err(format!("{key} lists {mirrored:?}, and the registry {index:?}"));
        }
        for version in &index {
            let file = json(&key, &objects[&format!("{folder}/{version}.json")])?;
            let mut archives = file["archives"].as_object().cloned().unwrap_or_default();
            let documents = format!("registry/{provider}/{version}/download/");
            for (key, bytes) in objects.iter().filter(|(key, _)| key.starts_with(&documents)) {
                let (platform, document) = (key[documents.len()..].replace('/', "_"), json(key, bytes)?);
                let archive = archives
                    .shift_remove(&platform)
                    .ok_or(format!("{folder}: no {platform} of {version}"))?;
                let link = text(&document, "download_url")?;
                if archive["url"] != *link || !link.starts_with(base) {
                    return Err(format!("{folder} {version}: {archive}, and {link} in {key}"));
                }
            }
            if !archives.is_empty() {
                return Err(format!("{folder} {version}: {archives:?} has no documents"));
            }
        }
    }
    Ok(())
}

/// Whether all documents of each listed version point to one SHA256SUMS, as they do whenever nobody is publishing.
pub(crate) fn settled(objects: &Objects) -> Result<(), String> {
    let mut sums: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for name in read(objects)?.into_keys() {
        let (version, platform) = name.split_once(' ').ok_or("no platform")?;
        let end = format!("/{version}/download/{}", platform.replace('_', "/"));
        for (key, bytes) in objects.iter().filter(|(key, _)| key.ends_with(&end)) {
            let link = text(&json(key, bytes)?, "shasums_url")?.to_owned();
            sums.entry(version.to_owned()).or_default().insert(link);
        }
    }
    match sums.into_iter().find(|(_, links)| links.len() != 1) {
        None => Ok(()),
        Some((version, links)) => Err(format!("{version} is on several SHA256SUMS: {links:?}")),
    }
}

fn platform(
    objects: &Objects,
    base: &str,
    version: &str,
    name: &str,
    all: &BTreeSet<String>,
    protocols: &Value,
) -> Result<String, String> {
    let key = format!("{base}/{version}/download/{}", name.replace('_', "/"));
    let document = json(&key, objects.get(&key).ok_or(format!("no {key}"))?)?;
    if format!("{}_{}", text(&document, "os")?, text(&document, "arch")?) != name
        || document["protocols"] != *protocols
    {
        return Err(format!("{key} is for another platform or protocol"));
    }
    let linked = |member: &str| -> Result<&Vec<u8>, String> {
        let link = text(&document, member)?;
        // From the host's root, or on any host below any prefix.
        let at = link.find("/store/").ok_or(format!("{member} is {link}"))?;
        let key = &link[at + 1..];
        objects.get(key).ok_or(format!("{member} leads to {key}, which is not there"))
    };
    let (shasum, filename) = (text(&document, "shasum")?, text(&document, "filename")?);
    let zip = linked("download_url")?;
    if hex::encode(Sha256::digest(zip)) != shasum {
        return Err("the zip is not the one that the document names".to_owned());
    }
    let sums = linked("shasums_url")?;
    let lines: BTreeMap<&str, &str> = std::str::from_utf8(sums)
        .map_err(|error| error.to_string())?
        .lines()
        .map(|line| {
            line.split_once("  ").map(|(hash, name)| (name, hash)).ok_or(format!("a bad line: {line:?}"))
        })
        .collect::<Result<_, _>>()?;
    if lines.get(filename) != Some(&shasum) {
        return Err(format!(
            "SHA256SUMS has {:?} for {filename}, the document {shasum}",
            lines.get(filename)
        ));
    }
    for other in all {
        if !lines.keys().any(|line| line.ends_with(&format!("_{version}_{other}.zip"))) {
            return Err(format!("SHA256SUMS lacks {other}, which is listed"));
        }
    }
    packages(objects, base, version, &document, &lines)?;
    let armor = text(&document["signing_keys"]["gpg_public_keys"][0], "ascii_armor")?;
    verify(armor, sums, linked("shasums_signature_url")?)?;
    Ok(shasum.to_owned())
}

/// Whether every document of the registry has `packages`, as those that this release has written have.
pub(crate) fn packaged(objects: &Objects) -> Result<(), String> {
    read(objects)?;
    for (key, bytes) in objects.iter().filter(|(key, _)| key.contains("/download/")) {
        if !json(key, bytes)?["packages"].is_object() {
            return Err(format!("{key} has no packages"));
        }
    }
    Ok(())
}

/// What OpenTofu demands of `packages`, and that each platform of SHA256SUMS is there with the hashes of its zip.
fn packages(
    objects: &Objects,
    base: &str,
    version: &str,
    document: &Value,
    lines: &BTreeMap<&str, &str>,
) -> Result<(), String> {
    let Some(packages) = document.get("packages") else { return Ok(()) };
    let packages = packages.as_object().ok_or("packages is no object")?;
    // A SHA256SUMS that a release has brought along lists its manifest too.
    let zips = || lines.iter().filter(|(name, _)| name.ends_with(".zip"));
    if packages.len() != zips().count() {
        return Err(format!("packages has {} platforms, SHA256SUMS {}", packages.len(), zips().count()));
    }
    let provider = base.strip_prefix("registry/").ok_or("no registry")?;
    for (name, shasum) in zips() {
        let (_, platform) =
            name.rsplit_once(&format!("_{version}_")).ok_or_else(|| format!("a line {name}"))?;
        let package = platform.strip_suffix(".zip").and_then(|platform| packages.get(platform));
        let package = package.ok_or_else(|| format!("packages lacks {platform}"))?;
        let folder = shasum.get(..16).ok_or("a short hash")?;
        let key = format!("store/{provider}/{version}/{folder}/{name}");
        let zip = objects.get(&key).ok_or_else(|| format!("{key} is not there, and packages has it"))?;
        let expected = serde_json::json!([format!("zh:{shasum}"), h1(shasum, zip)?]);
        if package["hashes"] != expected || package["package_size"] != zip.len() {
            return Err(format!(
                "packages has {package} for {platform}, and the zip {expected} and {}",
                zip.len()
            ));
        }
    }
    Ok(())
}

/// The `h1:` hash of a zip, computed once for each.
fn h1(shasum: &str, zip: &[u8]) -> Result<String, String> {
    static KNOWN: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());
    if let Some(h1) = KNOWN.lock().map_err(|error| error.to_string())?.get(shasum) {
        return Ok(h1.clone());
    }
    let mut archive = zip::ZipArchive::new(Cursor::new(zip)).map_err(|error| error.to_string())?;
    let mut lines = BTreeMap::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(|error| error.to_string())?;
        let mut contents = Vec::new();
        entry.read_to_end(&mut contents).map_err(|error| error.to_string())?;
        let name = entry.name().map_err(|error| error.to_string())?.into_owned();
        lines.insert(name.clone(), format!("{}  {name}\n", hex::encode(Sha256::digest(&contents))));
    }
    let lines: String = lines.into_values().collect();
    let h1 =
        format!("h1:{}", base64::engine::general_purpose::STANDARD.encode(Sha256::digest(lines.as_bytes())));
    KNOWN.lock().map_err(|error| error.to_string())?.insert(shasum.to_owned(), h1.clone());
    Ok(h1)
}

fn json(key: &str, bytes: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(bytes).map_err(|error| format!("{key}: {error}"))
}

fn text<'a>(value: &'a Value, member: &str) -> Result<&'a str, String> {
    value[member].as_str().ok_or(format!("no {member} in {value}"))
}

struct Helper(openpgp::Cert);

impl VerificationHelper for Helper {
    fn get_certs(&mut self, _: &[openpgp::KeyHandle]) -> openpgp::Result<Vec<openpgp::Cert>> {
        Ok(vec![self.0.clone()])
    }

    fn check(&mut self, structure: MessageStructure<'_>) -> openpgp::Result<()> {
        let results = structure.into_iter().flat_map(|layer| match layer {
            MessageLayer::SignatureGroup { results } => results,
            _ => Vec::new(),
        });
        let mut results: Vec<_> =
            results.map(|result| result.map(drop).map_err(|error| error.to_string())).collect();
        match (results.pop(), results.len()) {
            (Some(Ok(())), 0) => Ok(()),
            other => Err(openpgp::Error::BadSignature(format!("{other:?}")).into()),
        }
    }
}

fn verify(armor: &str, document: &[u8], signature: &[u8]) -> Result<(), String> {
    let failed = |error: anyhow::Error| format!("the signature does not verify: {error}");
    let policy = StandardPolicy::new();
    let cert = openpgp::Cert::from_bytes(armor.as_bytes()).map_err(failed)?;
    let verifier = DetachedVerifierBuilder::from_bytes(signature).map_err(failed)?;
    let mut verifier = verifier.with_policy(&policy, None, Helper(cert)).map_err(failed)?;
    verifier.verify_bytes(document).map_err(failed)
}
