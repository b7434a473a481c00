//! The `h1:` hash of a package: of the names and contents of its files, however they are packed.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use super::digest::{Digest, NotADigest};

/// The hash of a package's files by which lock files know an unpacked package; displayed as `h1:` and base64.
///
/// Source: golang.org/x/mod/sumdb/dirhash, `Hash1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DirHash(Digest);

impl DirHash {
    /// The hash of files by their names and the SHA-256 of their contents: the SHA-256 over a line for every file, in the
    /// order of the names' bytes.
    #[must_use]
    pub fn of<'a>(files: impl IntoIterator<Item = (&'a str, Digest)>) -> Self {
        let mut lines: Vec<(&str, Digest)> = files.into_iter().collect();
        lines.sort_unstable();
        let mut hash = Sha256::new();
        for (name, digest) in lines {
            hash.update(format!("{digest}  {name}\n"));
        }
        Self(Digest::from_hasher(hash))
    }

    /// The hash as in-toto's digest sets have it, by the name `dirHash`: 64 lower-case hex digits.
    ///
    /// Source: <https://github.com/in-toto/attestation/blob/main/spec/v1/digest_set.md>.
    #[must_use]
    pub fn to_hex(&self) -> String {
        self.0.to_string()
    }

    /// Reads [`Self::to_hex`].
    ///
    /// # Errors
    /// It is not 64 lower-case hex digits.
    pub fn from_hex(text: &str) -> Result<Self, NotADigest> {
        text.parse().map(Self)
    }
}

impl fmt::Display for DirHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "h1:{}", self.0.to_base64())
    }
}

impl FromStr for DirHash {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        text.strip_prefix("h1:").and_then(Digest::from_base64).map(Self).ok_or(NotADigest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_gos() {
        // Source: golang.org/x/mod/sumdb/dirhash, hash_test.go, TestHash1.
        let files = [("abc", "data for abc"), ("xyz", "data for xyz")];
        let hash = |files: &[(&'static str, &str)]| {
            DirHash::of(files.iter().map(|(name, data)| (*name, Digest::of(data.as_bytes()))))
        };
        let expected = hash(&files);
        let lines = files.map(|(name, data)| format!("{}  {name}\n", Digest::of(data.as_bytes()))).concat();
        assert_eq!(expected.to_string(), format!("h1:{}", Digest::of(lines.as_bytes()).to_base64()));
        assert_eq!(hash(&[files[1], files[0]]), expected, "the order does not matter");
        assert_eq!(expected.to_string().parse(), Ok(expected));
        assert_eq!(DirHash::from_hex(&expected.to_hex()), Ok(expected));
        for bad in ["", "h1:", "h1:abc", "h2:x", &expected.to_hex()] {
            assert!(bad.parse::<DirHash>().is_err(), "{bad}");
        }
    }
}
