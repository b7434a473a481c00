//! `SHA256SUMS`: one file a version, a line for every platform's zip.
//!
//! Every line of a signed SHA256SUMS goes into the users' lock files as a `zh:` hash, so the file lists all platforms of
//! the version and nothing else. The format is that of `sha256sum`: 64 lower-case hex digits, two spaces, the name.
//! Clients find no `*name` or `./name`, and crash on a blank line.

use std::collections::BTreeMap;
use std::fmt;

use super::Key;
use crate::content::{Digest, Sealed};
use crate::provider::{Provider, Version};

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

    /// The names that are not zips of this version of this provider. A SHA256SUMS with such a line was not made for
    /// this version, no matter who signed it and where it is stored.
    #[must_use]
    pub fn foreign(&self, provider: &Provider, version: &Version) -> Vec<&str> {
        self.0
            .keys()
            .map(String::as_str)
            .filter(|name| Key::zip_platform(provider, version, name).is_none())
            .collect()
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

    proptest! {
        #[test]
        fn what_is_written_is_read_back(names in prop::collection::btree_set("[a-zA-Z0-9._-]{1,30}", 1..20)) {
            let mut sums = Checksums::default();
            for name in names { let digest = Digest::of(name.as_bytes()); sums.set(name, digest); }
            prop_assert_eq!(Checksums::parse(sums.to_string().as_bytes()), Ok(sums));
        }
    }
}
