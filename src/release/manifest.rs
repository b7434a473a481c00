//! The registry manifest: how a release declares its plugin protocols.
//!
//! `terraform-registry-manifest.json`, or `terraform-provider-TYPE_VERSION_manifest.json` as the public registry's release
//! tooling names it: `{"version": 1, "metadata": {"protocol_versions": ["6.0"]}}`.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::error::Refusal;
use crate::provider::{Protocol, Protocols, ProviderType, Version};

/// The name without type and version.
pub const PLAIN_NAME: &str = "terraform-registry-manifest.json";
/// A manifest has a hundred bytes; a much larger file is not a manifest.
pub const MAX_BYTES: u64 = 64 * 1024;

/// The name with type and version.
#[must_use]
pub fn release_name(provider_type: &ProviderType, version: &Version) -> String {
    format!("terraform-provider-{provider_type}_{version}_manifest.json")
}

/// Whether `name` is the name of a manifest, for any type and version.
#[must_use]
pub fn is_manifest(name: &str) -> bool {
    name == PLAIN_NAME || (name.starts_with("terraform-provider-") && name.ends_with("_manifest.json"))
}

/// Whether `base` is the name with this type and version.
#[must_use]
pub fn is_release_manifest(base: &str, provider_type: &ProviderType, version: &Version) -> bool {
    base == release_name(provider_type, version)
}

#[derive(Deserialize)]
struct Manifest {
    version: u32,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    protocol_versions: Vec<String>,
}

/// Reads a manifest; `subject` names it in refusals.
///
/// # Errors
/// It is not JSON of manifest version 1, or declares no protocols or unknown ones.
pub fn parse(subject: &str, bytes: &[u8]) -> Result<Protocols, Refusal> {
    let refuse = |found: String| {
        Refusal::new(subject, "not a registry manifest")
            .found(found)
            .expected(r#"{"version": 1, "metadata": {"protocol_versions": ["6.0"]}}"#)
            .remedy("correct the manifest in the provider's repository and build the release again")
    };
    let manifest: Manifest = serde_json::from_slice(bytes).map_err(|error| refuse(error.to_string()))?;
    if manifest.version != 1 {
        return Err(refuse(format!("manifest version {}", manifest.version)));
    }
    let protocols = manifest.metadata.protocol_versions.iter().map(|text| text.parse::<Protocol>());
    let protocols: Vec<Protocol> =
        protocols.collect::<Result<_, _>>().map_err(|error| refuse(error.to_string()))?;
    Protocols::new(protocols).ok_or_else(|| refuse("an empty list of protocol_versions".to_owned()))
}

/// Determines a release's protocols from all declarations: the command line and every manifest, by name. `missing` tells
/// where no manifest was found.
///
/// A wrong protocol breaks the provider for every user, so nothing is guessed and no declaration overrules another.
///
/// # Errors
/// There is no declaration, or two disagree.
pub fn settle(sources: &BTreeMap<String, Protocols>, missing: &str) -> Result<Protocols, Refusal> {
    let mut sources = sources.iter();
    let Some((first_name, first)) = sources.next() else {
        return Err(Refusal::new("--protocol", "the plugin protocol is not known")
            .found(format!("no --protocol, and {missing}"))
            .expected(format!("the release's {PLAIN_NAME}, or --protocol 5.0 or 6.0"))
            .remedy(
                "give the manifest that was released, beside the tarballs or zips; or say by --protocol which protocol the \
                 provider is built for, and have --probe-protocol check it: it is never guessed",
            ));
    };
    match sources.find(|(_, protocols)| *protocols != first) {
        None => Ok(first.clone()),
        Some((name, other)) => Err(Refusal::new(name, "the plugin protocol is disputed")
            .found(format!("{other} in {name}"))
            .expected(format!("{first}, as {first_name} says"))
            .remedy("find out which one the provider is built for, and correct the other")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protocols(list: &[&str]) -> Protocols {
        Protocols::new(list.iter().map(|p| p.parse().unwrap())).unwrap()
    }

    #[test]
    fn manifests_are_read() {
        let text = br#"{"version":1,"metadata":{"protocol_versions":["6.0","5"]},"more":true}"#;
        assert_eq!(parse("m", text), Ok(protocols(&["5.0", "6.0"])));
        for bad in [
            "",
            "{}",
            r#"{"version":2,"metadata":{"protocol_versions":["6.0"]}}"#,
            r#"{"version":1,"metadata":{"protocol_versions":[]}}"#,
            r#"{"version":1,"metadata":{"protocol_versions":["v6"]}}"#,
            r#"{"version":1,"metadata":{"protocol_versions":["4.0"]}}"#,
            r#"{"version":1,"metadata":{"protocol_versions":"6.0"}}"#,
        ] {
            assert!(parse("m", bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn nothing_is_guessed_and_nothing_outvoted() {
        let sources = |list: &[(&str, &str)]| -> BTreeMap<String, Protocols> {
            list.iter().map(|(name, p)| ((*name).to_owned(), protocols(&[p]))).collect()
        };
        assert!(settle(&sources(&[]), "none").unwrap_err().remedy.contains("never guessed"));
        assert_eq!(settle(&sources(&[("a", "6.0"), ("b", "6")]), ""), Ok(protocols(&["6.0"])));
        let refusal = settle(&sources(&[("--protocol", "6.0"), ("x.json", "5.0")]), "").unwrap_err();
        assert!(
            refusal.found.contains("5.0 in x.json") && refusal.expected.contains("6.0, as --protocol"),
            "{refusal}"
        );
    }
}
