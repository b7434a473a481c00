//! Key ids and fingerprints.

use std::fmt;
use std::str::FromStr;

use sequoia_openpgp as openpgp;

/// A key's id: the 16 hex digits that clients use for it, in upper case where tfreg writes them. They are the end of a
/// version 4 key's fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(String);

/// A primary key's fingerprint, in upper-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(String);

impl KeyId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<openpgp::KeyID> for KeyId {
    fn from(id: openpgp::KeyID) -> Self {
        Self(format!("{id:X}"))
    }
}

impl FromStr for KeyId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!("{text:?} is no key id: expected 16 hex digits"))
        }
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Fingerprint {
    /// The fingerprint as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<openpgp::Fingerprint> for Fingerprint {
    fn from(fingerprint: openpgp::Fingerprint) -> Self {
        Self(format!("{fingerprint:X}"))
    }
}

impl FromStr for Fingerprint {
    type Err = String;

    /// Reads a fingerprint of a version 4 key in upper or lower case; the spaces in which GnuPG groups the digits are
    /// passed over.
    fn from_str(text: &str) -> Result<Self, String> {
        let digits: String = text.chars().filter(|c| *c != ' ').collect();
        if digits.len() == 40 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            Ok(Self(digits.to_ascii_uppercase()))
        } else {
            Err(format!(
                "{text:?} is no fingerprint: expected 40 hex digits, as `tfreg key FILE` prints them"
            ))
        }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_read_as_gnupg_writes_them() {
        let text = "4E8911C0E0EC692102243A48A7F2BC5B6E845A69";
        for same in [text, &text.to_ascii_lowercase(), "4E89 11C0 E0EC 6921 0224  3A48 A7F2 BC5B 6E84 5A69"] {
            assert_eq!(same.parse::<Fingerprint>().unwrap().as_str(), text);
        }
        for bad in ["", "A7F2BC5B6E845A69", "0x4E8911C0E0EC692102243A48A7F2BC5B6E845A69", &"G".repeat(40)] {
            assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
        }
    }

    #[test]
    fn key_ids_are_read_as_they_are_written() {
        let id: KeyId = "A7F2BC5B6E845A69".parse().unwrap();
        assert_eq!(id.to_string(), "A7F2BC5B6E845A69");
        for bad in ["", "A7F2BC5B6E845A6", "A7F2BC5B6E845A69A", "A7F2BC5B6E845A6G", "../../../../../x"] {
            assert!(bad.parse::<KeyId>().is_err(), "{bad}");
        }
    }
}
