//! `SHA256SUMS`: one file a version, a line for every platform's zip.
//!
//! Every line of a signed SHA256SUMS goes into the users' lock files as a `zh:` hash, so a file that tfreg makes lists
//! all platforms of the version and nothing else. One that a release brings along may list more, such as its manifest. The format is that of `sha256sum`: 64 lower-case hex digits, two spaces, the name.
//! Clients find no `*name` or `./name`, and crash on a blank line.

use std::collections::BTreeMap;
use std::fmt;

use super::file_name::zip_platform;
use crate::content::{Digest, Sealed};
use crate::provider::{Platform, ProviderType, Version};

/// How the names of all files of providers' releases begin.
const RELEASE: &str = "terraform-provider-";

/// File names with their digests, in the order of the names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checksums(BTreeMap<String, Digest>);

impl Checksums {
    /// Reads a SHA256SUMS file, strictly.
    ///
    /// # Errors
    /// The line that breaks the format, and how.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
        let body = text.strip_suffix('\n').ok_or("the last line is not ended")?;
        let mut sums = BTreeMap::new();
        for (number, line) in body.split('\n').enumerate() {
            let parsed =
                line.split_once("  ").and_then(|(hex, name)| Some((hex.parse::<Digest>().ok()?, name)));
            let Some((digest, name)) = parsed.filter(|(_, name)| Self::is_plain_name(name)) else {
                return Err(format!("line {} is not a checksum and a name", number + 1));
            };
            if sums.insert(name.to_owned(), digest).is_some() {
                return Err(format!("line {} names {name} again", number + 1));
            }
        }
        Ok(Self(sums))
    }

    /// Sets the digest of a file; an earlier one is replaced.
    pub fn set(&mut self, file_name: String, digest: Digest) {
        self.0.insert(file_name, digest);
    }

    /// The digest of a file.
    #[must_use]
    pub fn get(&self, file_name: &str) -> Option<Digest> {
        self.0.get(file_name).copied()
    }

    /// Names and digests in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Digest)> {
        self.0.iter().map(|(name, digest)| (name.as_str(), *digest))
    }

    /// The names of other versions' or providers' files. A SHA256SUMS with such a line was not made for this version,
    /// no matter who signed it and where it is stored.
    ///
    /// A release's own SHA256SUMS may list more than the zips: its manifest, software bills of materials. So a file that
    /// is no zip, and has no name of a provider's release, is not foreign.
    #[must_use]
    pub fn foreign(&self, provider_type: &ProviderType, version: &Version) -> Vec<&str> {
        let own = format!("{RELEASE}{provider_type}_{version}_");
        let is_foreign = |name: &&str| {
            let is_zip = name.to_ascii_lowercase().ends_with(".zip");
            let is_named = name.starts_with(RELEASE) && !name.starts_with(&own);
            (is_zip || is_named) && zip_platform(provider_type, version, name).is_none()
        };
        self.0.keys().map(String::as_str).filter(is_foreign).collect()
    }

    /// The names that are not zips of this version.
    #[must_use]
    pub fn besides(&self, provider_type: &ProviderType, version: &Version) -> Vec<&str> {
        let is_zip = |name: &&str| zip_platform(provider_type, version, name).is_some();
        self.0.keys().map(String::as_str).filter(|name| !is_zip(name)).collect()
    }

    /// The platforms of the zips of this version.
    #[must_use]
    pub fn platforms(&self, provider_type: &ProviderType, version: &Version) -> BTreeMap<Platform, Digest> {
        let platform = |(name, digest)| Some((zip_platform(provider_type, version, name)?, digest));
        self.iter().filter_map(platform).collect()
    }

    /// Whether `name` is allowed in a line: a file name without folders, white space or control characters.
    #[must_use]
    pub fn is_plain_name(name: &str) -> bool {
        let bad = |c: char| c == '/' || c.is_whitespace() || c.is_control();
        !name.is_empty() && !name.starts_with('*') && !name.contains(bad)
    }

    /// The file's bytes.
    #[must_use]
    pub fn seal(&self) -> Sealed {
        Sealed::from_bytes(self.to_string())
    }
}

impl fmt::Display for Checksums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter().try_for_each(|(name, digest)| writeln!(f, "{digest}  {name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_format_is_sha256sums() {
        let mut sums = Checksums::default();
        sums.set("b.zip".into(), Digest::of(b"b"));
        sums.set("a.zip".into(), Digest::of(b"a"));
        let text = sums.to_string();
        assert_eq!(text, format!("{}  a.zip\n{}  b.zip\n", Digest::of(b"a"), Digest::of(b"b")));
        assert_eq!(Checksums::parse(text.as_bytes()), Ok(sums));
    }

    #[test]
    fn what_clients_stumble_over_is_refused() {
        let line = format!("{}  a.zip\n", Digest::of(b"a"));
        for bad in [
            String::new(),
            line.trim_end().to_owned(),
            format!("{line}\n"),
            format!("\n{line}"),
            format!("{line}{line}"),
            line.replace("  ", " "),
            line.replace("  ", " *"),
            line.replace("a.zip", "./a.zip"),
            line.replace("a.zip", "*a.zip"),
            line.to_uppercase(),
            line.replace('\n', "\r\n"),
        ] {
            assert!(Checksums::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn lines_of_other_versions_are_foreign_and_a_manifest_is_not() {
        let provider_type: ProviderType = "x".parse().unwrap();
        let version: Version = "1.2.0".parse().unwrap();
        for (name, is_foreign, is_besides) in [
            ("terraform-provider-x_1.2.0_linux_amd64.zip", false, false),
            ("terraform-provider-x_1.2.0_manifest.json", false, true),
            ("terraform-provider-x_1.2.0_linux_amd64.zip.sbom.json", false, true),
            ("NOTES.txt", false, true),
            ("terraform-provider-x_1.2.1_manifest.json", true, true),
            ("terraform-provider-x_1.2.1_linux_amd64.zip", true, true),
            ("terraform-provider-x_1.2.0-rc.1_linux_amd64.zip", true, true),
            ("terraform-provider-x_1.2.0_linux_amd64_v1.zip", true, true),
            ("terraform-provider-xy_1.2.0_linux_amd64.zip", true, true),
            ("other.ZIP", true, true),
        ] {
            let mut sums = Checksums::default();
            sums.set(name.into(), Digest::of(b"a"));
            let found = (
                !sums.foreign(&provider_type, &version).is_empty(),
                !sums.besides(&provider_type, &version).is_empty(),
            );
            assert_eq!(found, (is_foreign, is_besides), "{name}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(names in prop::collection::btree_set("[a-zA-Z0-9._-]{1,30}", 1..20)) {
            let mut sums = Checksums::default();
            for name in names { let digest = Digest::of(name.as_bytes()); sums.set(name, digest); }
            prop_assert_eq!(Checksums::parse(sums.to_string().as_bytes()), Ok(sums));
        }
    }
}
