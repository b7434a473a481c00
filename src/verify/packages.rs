//! `packages` of a download document, with which OpenTofu 1.12 and newer compare zips.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::content::DirHash;
use crate::provider::{Platform, Provider, Version};
use crate::registry::{Key, ZipFacts, json};

use super::download::Download;
use super::finding::{Finding, Group, Rule, Severity, rules};
use super::sums::Sums;

rules! { Documents:
    /// Source: OpenTofu 1.12, `internal/getproviders/registry_client.go`.
    MEMBER = "packages-member", Error,
        "\"packages\" of a download document is not what OpenTofu reads",
        "tofu init (1.12 and newer) refuses the provider, or does so on the platform concerned; other clients pass it over",
        "publish the version's tarballs again, which writes it anew";
    OWN = "packages-own-platform", Error,
        "\"packages\" of a download document does not have the document's own zip",
        "tofu init (1.12 and newer) on that platform refuses the provider",
        "publish the version's tarballs again, which writes it anew";
    DIFFER = "packages-differ", Error,
        "\"packages\" of a download document has other hashes or sizes than the zips",
        "tofu init (1.12 and newer) refuses the provider on the platforms whose zh: or size differs",
        "publish the version's tarballs again, which writes it anew; if a zip was changed, see zip-checksum";
    PLATFORMS = "packages-platforms", Warning,
        "\"packages\" of a download document does not have all platforms of SHA256SUMS, or has others",
        "nothing today: OpenTofu 1.12 needs the own platform only",
        "publish the version's tarballs again, which writes it anew";
    SOME = "packages-some", Warning,
        "some download documents of a version have \"packages\", and others do not",
        "tofu init (1.12 and newer) compares the zips of some platforms only",
        "publish the version's tarballs again, which writes it to all";
}

/// What a document says of one zip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Package {
    /// `zh:` hashes, without the scheme.
    zh: Vec<String>,
    h1: Vec<String>,
    size: u64,
}

/// What a document says of the zips of its version.
pub(super) type Packages = BTreeMap<Platform, Package>;

/// Reads the member.
///
/// # Errors
/// What OpenTofu would not read.
pub(super) fn read(value: &Value) -> Result<Packages, String> {
    let Value::Object(members) = value else {
        return Err(format!("it is {}, not an object", json::kind(value)));
    };
    let mut packages = Packages::new();
    for (name, value) in members {
        let platform: Platform = name.parse().map_err(|_| format!("{name:?} is no platform"))?;
        let Some(Value::Array(hashes)) = value.get("hashes") else {
            return Err(format!("{name} has no list \"hashes\""));
        };
        let Some(size) = value.get("package_size").and_then(Value::as_u64).filter(|size| *size > 0) else {
            return Err(format!("{name} has no size above 0 as \"package_size\""));
        };
        let mut package = Package { zh: Vec::new(), h1: Vec::new(), size };
        for hash in hashes {
            let split = hash.as_str().and_then(|hash| hash.split_once(':'));
            match split {
                Some(("zh", hex)) if hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()) => {
                    package.zh.push(hex.to_owned());
                }
                Some(("h1", rest)) if format!("h1:{rest}").parse::<DirHash>().is_ok() => {
                    package.h1.push(format!("h1:{rest}"));
                }
                Some((scheme, rest)) if !matches!(scheme, "zh" | "h1") && !rest.is_empty() => {}
                _ => return Err(format!("{name} has a hash {hash}")),
            }
        }
        if package.zh.is_empty() {
            return Err(format!("{name} has no zh: hash"));
        }
        packages.insert(platform, package);
    }
    Ok(packages)
}

/// The form of the member, and what it says of the document's own zip. An empty one is as good as none.
pub(super) fn own(download: &Download) -> Option<Finding> {
    let packages = match download.packages.as_ref()? {
        Ok(packages) if packages.is_empty() => return None,
        Ok(packages) => packages,
        Err(problem) => {
            let expected = "for each platform hashes with a zh: one, and the size";
            return Some(MEMBER.at(&download.subject).found(problem).expected(expected));
        }
    };
    let own = packages.get(&download.platform);
    let shasum = download.shasum?.to_string();
    if own.is_some_and(|package| package.zh.iter().all(|zh| *zh == shasum)) {
        return None;
    }
    let found = own.map_or_else(
        || format!("nothing for {}", download.platform),
        |package| format!("zh:{} for {}", package.zh.join(", zh:"), download.platform),
    );
    Some(OWN.at(&download.subject).found(found).expected(format!("zh:{shasum}, the document's \"shasum\"")))
}

/// The documents of a version that lack what others have.
pub(super) fn some(subject: &str, downloads: &[Download]) -> Option<Finding> {
    let has = |download: &&Download| {
        download.packages.as_ref().is_some_and(|packages| packages.as_ref().is_ok_and(|all| !all.is_empty()))
    };
    let lacking: Vec<&str> =
        downloads.iter().filter(|d| !has(d)).map(|download| download.subject.as_str()).collect();
    if lacking.is_empty() || lacking.len() == downloads.len() {
        return None;
    }
    Some(SOME.at(subject).found(format!("none in {}", lacking.join(", "))).expected("it in all documents"))
}

/// What a document says of each zip, against the SHA256SUMS that it points to.
pub(super) fn against_sums(
    provider: &Provider,
    version: &Version,
    download: &Download,
    sums: &Sums,
) -> Vec<Finding> {
    let Some(packages) = claims(download) else { return Vec::new() };
    let zips: BTreeMap<Platform, String> = sums
        .iter()
        .filter_map(|(name, digest)| Some((Key::zip_platform(provider, version, name)?, digest.to_string())))
        .collect();
    let mut findings = Vec::new();
    for (platform, package) in packages {
        if let Some(expected) = zips.get(platform)
            && !package.zh.iter().all(|zh| zh == expected)
        {
            let found = format!("zh:{} for {platform}", package.zh.join(", zh:"));
            let expected = format!("zh:{expected}, as SHA256SUMS says");
            findings.push(DIFFER.at(&download.subject).found(found).expected(expected));
        }
    }
    let (found, expected): (BTreeSet<_>, BTreeSet<_>) = (packages.keys().collect(), zips.keys().collect());
    if found != expected {
        findings.push(PLATFORMS.at(&download.subject).found(names(&found)).expected(names(&expected)));
    }
    findings
}

/// What a document says of each zip, against what is known of the zip; `source` says from where.
pub(super) fn against_zips(download: &Download, source: &str, zips: &[ZipFacts]) -> Vec<Finding> {
    let Some(packages) = claims(download) else { return Vec::new() };
    let mut findings = Vec::new();
    for (platform, package) in packages {
        let Some(zip) = zips.iter().find(|zip| package.zh.contains(&zip.shasum.to_string())) else {
            continue;
        };
        let [_, h1] = zip.hashes();
        if package.size != zip.size || package.h1.iter().any(|found| *found != h1) {
            let found = format!("{} and {} bytes for {platform}", package.h1.join(", "), package.size);
            let expected = format!("{h1} and {} bytes, as {source} says", zip.size);
            findings.push(DIFFER.at(&download.subject).found(found).expected(expected));
        }
    }
    findings
}

fn claims(download: &Download) -> Option<&Packages> {
    download.packages.as_ref()?.as_ref().ok().filter(|packages| !packages.is_empty())
}

fn names(platforms: &BTreeSet<&Platform>) -> String {
    platforms.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_opentofu_does_not_read_is_named() {
        let zh = format!("zh:{}", "0".repeat(64));
        let h1 = DirHash::of([]).to_string();
        let good = json!({"linux_amd64": {"hashes": [zh, h1, "h9:x"], "package_size": 1, "more": 1}});
        assert_eq!(read(&good).unwrap().len(), 1);
        assert!(read(&json!({})).unwrap().is_empty());
        for (bad, text) in [
            (json!([]), "a list"),
            (json!({"linux": {}}), "\"linux\" is no platform"),
            (json!({"linux_amd64": 1}), "no list \"hashes\""),
            (json!({"linux_amd64": {"hashes": [zh]}}), "package_size"),
            (json!({"linux_amd64": {"hashes": [zh], "package_size": 0}}), "package_size"),
            (json!({"linux_amd64": {"hashes": [zh], "package_size": -1}}), "package_size"),
            (json!({"linux_amd64": {"hashes": [h1], "package_size": 1}}), "no zh: hash"),
            (json!({"linux_amd64": {"hashes": [zh, 7], "package_size": 1}}), "a hash 7"),
            (json!({"linux_amd64": {"hashes": [zh, "zh:abc"], "package_size": 1}}), "zh:abc"),
            (json!({"linux_amd64": {"hashes": [zh, "h1:abc"], "package_size": 1}}), "h1:abc"),
            (json!({"linux_amd64": {"hashes": [zh, "hello"], "package_size": 1}}), "hello"),
        ] {
            let problem = read(&bad).unwrap_err();
            assert!(problem.contains(text), "{bad}: {problem}");
        }
    }
}
