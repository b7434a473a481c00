//! Reads certificates from untrusted bytes.
//!
//! The OpenPGP library checks every signature against every user id and subkey that it may belong to, so its work is
//! the product of both: a public key of 2 MB with 1,000 user ids and 10,000 signatures that match none of them takes
//! most of a minute. So the packets are counted first, in one pass, and those that neither clients nor the checks here
//! use are left out: signatures by others, and photos. The rest is bounded.

use sequoia_openpgp as openpgp;

use openpgp::cert::prelude::*;
use openpgp::packet::{Signature, Tag};
use openpgp::parse::{PacketParser, PacketParserResult, Parse as _};
use openpgp::types::SignatureType;
use openpgp::{Cert, KeyHandle, Packet};

/// The most bytes that are read; a key with many signatures on it has some 100 KiB.
pub(super) const MAX_BYTES: usize = 4 << 20;
/// The most packets that are read.
pub(super) const MAX_PACKETS: usize = 20_000;
/// The most user ids and subkeys of one key.
pub(super) const MAX_COMPONENTS: usize = 100;
/// The most signatures that a key has made on itself, or that claim to be such.
pub(super) const MAX_SIGNATURES: usize = 500;
/// The most bytes of a user id; GnuPG makes none above it.
pub(super) const MAX_USER_ID: usize = 2048;

/// Why bytes are not accepted as certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// They are not certificates; the text is the library's.
    Damaged(String),
    /// They exceed a limit.
    TooMuch {
        /// The excess that was found.
        found: String,
        /// The limit.
        expected: String,
    },
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Damaged(why) => f.write_str(why),
            Self::TooMuch { found, expected } => write!(f, "{found}; {expected}"),
        }
    }
}

impl Unreadable {
    fn more_than(limit: usize, what: &str) -> Self {
        Self::TooMuch {
            found: format!("more than {limit} {what}"),
            expected: format!("at most {limit} {what}"),
        }
    }
}

/// Reads all certificates in `bytes`, armored or binary, without signatures by others and without photos.
///
/// # Errors
/// The bytes are not certificates, or exceed a limit.
pub fn read(bytes: &[u8]) -> Result<Vec<Cert>, Unreadable> {
    let packets = packets(bytes)?;
    let certs = CertParser::from(packets).collect::<openpgp::Result<Vec<Cert>>>();
    certs.map_err(|error| Unreadable::Damaged(error.to_string()))
}

/// Reads the one certificate in `bytes`.
///
/// # Errors
/// There is not exactly one, or it exceeds a limit.
pub fn read_one(bytes: &[u8]) -> Result<Cert, Unreadable> {
    let mut certs = read(bytes)?;
    match (certs.pop(), certs.is_empty()) {
        (Some(cert), true) => Ok(cert),
        (None, _) => Err(Unreadable::Damaged("no key".to_owned())),
        (Some(_), false) => Err(Unreadable::Damaged("more than one key".to_owned())),
    }
}

/// The packets of certificates that are used.
fn packets(bytes: &[u8]) -> Result<Vec<Packet>, Unreadable> {
    let damaged = |error: anyhow::Error| Unreadable::Damaged(error.to_string());
    if bytes.len() > MAX_BYTES {
        return Err(Unreadable::more_than(MAX_BYTES, "bytes"));
    }
    let mut kept = Vec::new();
    let (mut seen, mut components, mut signatures) = (0, 0, 0);
    let mut primary: Vec<KeyHandle> = Vec::new();
    // Whether the signatures that follow belong to a packet that is left out.
    let mut left_out = false;
    let mut next = PacketParser::from_bytes(bytes).map_err(damaged)?;
    while let PacketParserResult::Some(parser) = next {
        // Not `recurse`: no packet of a certificate contains another one.
        let (packet, rest) = parser.next().map_err(damaged)?;
        next = rest;
        seen += 1;
        if seen > MAX_PACKETS {
            return Err(Unreadable::more_than(MAX_PACKETS, "packets"));
        }
        match &packet {
            Packet::PublicKey(key) => primary = handles(key.fingerprint()),
            Packet::SecretKey(key) => primary = handles(key.fingerprint()),
            Packet::UserID(user_id) if user_id.value().len() > MAX_USER_ID => {
                return Err(Unreadable::more_than(MAX_USER_ID, "bytes in a user id"));
            }
            _ => {}
        }
        match packet.tag() {
            Tag::PublicKey | Tag::SecretKey => (components, signatures, left_out) = (0, 0, false),
            Tag::UserID | Tag::PublicSubkey | Tag::SecretSubkey => {
                (components, left_out) = (components + 1, false);
            }
            Tag::UserAttribute => left_out = true,
            _ => {}
        }
        if left_out {
            continue;
        }
        if let Packet::Signature(signature) = &packet {
            if is_by_another(signature, &primary) {
                continue;
            }
            signatures += 1;
        }
        if components > MAX_COMPONENTS {
            return Err(Unreadable::more_than(MAX_COMPONENTS, "user ids and subkeys in one key"));
        }
        if signatures > MAX_SIGNATURES {
            return Err(Unreadable::more_than(MAX_SIGNATURES, "signatures by the key on itself"));
        }
        kept.push(packet);
    }
    Ok(kept)
}

fn handles(fingerprint: openpgp::Fingerprint) -> Vec<KeyHandle> {
    vec![KeyHandle::from(openpgp::KeyID::from(&fingerprint)), KeyHandle::from(fingerprint)]
}

/// Whether a signature claims to be a certification of a user id by another key.
fn is_by_another(signature: &Signature, primary: &[KeyHandle]) -> bool {
    use SignatureType::{
        CasualCertification, CertificationRevocation, GenericCertification, PersonaCertification,
        PositiveCertification,
    };
    let certifies = matches!(
        signature.typ(),
        GenericCertification
            | PersonaCertification
            | CasualCertification
            | PositiveCertification
            | CertificationRevocation
    );
    let issuers = signature.get_issuers();
    certifies
        && !issuers.is_empty()
        && !issuers.iter().any(|issuer| primary.iter().any(|own| own.aliases(issuer)))
}
