//! The key that signs, as pages show it.

use jiff::Timestamp;

use super::frame::Date;
use crate::openpgp::certificate::Certificate;

/// What the templates show of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ShownKey {
    pub(super) fingerprint: String,
    pub(super) key_id: String,
    pub(super) algorithm: String,
    pub(super) expires: Option<Date>,
    pub(super) user_id: Option<String>,
    pub(super) armored: String,
    /// The name under which the instructions save it.
    pub(super) file: String,
}

impl ShownKey {
    /// The key of an armored text; `None` if it is no public key.
    pub(super) fn read(armored: &str) -> Option<Self> {
        let facts = Certificate::embedded(armored).ok()?.facts();
        // As GnuPG writes it: ten groups of four digits.
        let digits = facts.fingerprint.as_str().as_bytes();
        let groups: Vec<_> = digits.chunks(4).map(String::from_utf8_lossy).collect();
        let expires = facts.expires.and_then(|time| Timestamp::try_from(time).ok());
        Some(Self {
            fingerprint: groups.join(" "),
            file: format!("{}.asc", facts.key_id),
            key_id: facts.key_id.to_string(),
            algorithm: facts.algorithm,
            expires: expires.map(Date::from),
            user_id: facts.user_id,
            armored: armored.trim_end().to_owned(),
        })
    }
}
