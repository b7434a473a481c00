//! Binary detached OpenPGP signatures, as clients read them, and the rules by which every signature is judged before it is
//! published, whoever made it.

use std::time::{Duration, SystemTime};

use sequoia_openpgp as openpgp;

use openpgp::Packet;
use openpgp::crypto::mpi;
use openpgp::packet::key::{KeyRole, PublicParts};
use openpgp::packet::signature::subpacket::{Subpacket, SubpacketTag, SubpacketValue};
use openpgp::packet::{Key, Signature};
use openpgp::parse::{PacketParser, PacketParserResult, Parse as _};
use openpgp::types::{Curve, HashAlgorithm, SignatureType};

use super::signing_key::date;

/// The most packets of a signature file that are read; clients accept the file if one valid signature is among them.
pub const MAX_PACKETS: usize = 16;

/// Signatures have whole seconds.
const SECOND: Duration = Duration::from_secs(1);

/// Reads a signature of the only kind that clients accept: binary, detached, of version 4.
pub(super) fn detached(bytes: &[u8]) -> Result<Signature, String> {
    if bytes.trim_ascii_start().starts_with(b"-----BEGIN") {
        return Err("an armored signature, where a binary one is expected".to_owned());
    }
    let packets = packets(bytes)?;
    let [Packet::Signature(signature)] = packets.as_slice() else {
        return Err(format!("{} packets where one signature is expected", packets.len()));
    };
    if signature.version() != 4 || signature.typ() != SignatureType::Binary {
        return Err(format!("a version {} signature of type {}", signature.version(), signature.typ()));
    }
    Ok(signature.clone())
}

/// Reads a signature that is to be published: [`detached`], in force from now on without an end, and without anything that
/// a client refuses because it does not know it.
pub(super) fn publishable(bytes: &[u8]) -> Result<Signature, String> {
    let signature = detached(bytes)?;
    signature.signature_alive(None, None).map_err(|error| error.to_string())?;
    let areas = || signature.hashed_area().iter().chain(signature.unhashed_area().iter());
    if let Some(expires) = signature.signature_expiration_time() {
        return Err(format!("the signature itself expires, on {}", date(expires)));
    }
    if areas().any(|part| part.tag() == SubpacketTag::SignatureExpirationTime) {
        return Err("the signature has an expiry of its own".to_owned());
    }
    areas().find_map(unknown_critical).map_or(Ok(()), Err)?;
    if !matches!(signature.hash_algo(), HashAlgorithm::SHA256 | HashAlgorithm::SHA384 | HashAlgorithm::SHA512)
    {
        return Err(format!("a signature over {}", signature.hash_algo()));
    }
    Ok(signature)
}

/// Whether clients accept a signature as to its form and its parts: the rules for publishing that need no key.
///
/// # Errors
/// The reason why clients would not accept it, whatever key made it.
pub fn check_form(bytes: &[u8]) -> Result<(), String> {
    publishable(bytes).map(drop)
}

/// A critical part that a client may not know, in words. Clients refuse such signatures.
///
/// Source: `parseSignatureSubpacket` of golang.org/x/crypto/openpgp (Terraform up to 1.5), which knows neither notations nor
/// issuer fingerprints, and of ProtonMail/go-crypto, whose `Verify` refuses each critical notation.
pub fn unknown_critical(part: &Subpacket) -> Option<String> {
    let is_known =
        matches!(part.tag(), SubpacketTag::SignatureCreationTime | SubpacketTag::Issuer) || !part.critical();
    match part.value() {
        _ if is_known => None,
        // The value is as the signer wrote it; the name is enough to find where it comes from.
        SubpacketValue::NotationData(notation) => {
            Some(format!("a critical notation, {:?}, which clients do not know", notation.name()))
        }
        _ => Some(format!("a critical part that clients may not know: {}", part.tag())),
    }
}

/// Whether a signature fits the key by which it verifies: it names that key and no other as its issuer, and its hash is
/// at least as long as the order of the key's curve.
///
/// Sources: clients look the key up by the issuer. RFC 6637, section 13, and RFC 9580, section 5.2.3.2, for the hash.
pub(super) fn fits(signature: &Signature, key: &Key<PublicParts, impl KeyRole>) -> Result<(), String> {
    let issuers = signature.get_issuers();
    if !issuers.iter().all(|issuer| issuer.aliases(key.key_handle())) {
        let names: Vec<String> = issuers.iter().map(|issuer| format!("{issuer:X}")).collect();
        return Err(format!("it is made by key {:X}, and names {}", key.keyid(), names.join(", ")));
    }
    if signature.issuers().next().is_none() {
        return Err("it does not name the id of its key".to_owned());
    }
    let (wanted, found) = (digest_bytes(hash_for(key)), digest_bytes(signature.hash_algo()));
    let is_short = matches!(key.mpis(), mpi::PublicKey::ECDSA { .. }) && found < wanted;
    if is_short {
        return Err(format!("a signature over {} by a key on a longer curve", signature.hash_algo()));
    }
    Ok(())
}

/// Whether a signature was made within the time since `began`: clients refuse one from the future, and a program that
/// dates it back was told another time than the present one.
pub(super) fn made_since(signature: &Signature, began: SystemTime) -> Result<(), String> {
    let made = signature.signature_creation_time().ok_or("the signature has no time")?;
    if made + SECOND < began || made > SystemTime::now() + SECOND {
        return Err(format!("it was made now, and says {}", exactly(made)));
    }
    Ok(())
}

fn exactly(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map_or_else(|_| "an unknown time".to_owned(), |time| time.to_string())
}

/// The hash for signatures by a key: for a NIST curve the one of the curve's own length, which smart cards and AWS KMS
/// demand, else SHA-512.
pub fn hash_for(key: &Key<PublicParts, impl KeyRole>) -> HashAlgorithm {
    match key.mpis() {
        mpi::PublicKey::ECDSA { curve: Curve::NistP256, .. } => HashAlgorithm::SHA256,
        mpi::PublicKey::ECDSA { curve: Curve::NistP384, .. } => HashAlgorithm::SHA384,
        _ => HashAlgorithm::SHA512,
    }
}

fn digest_bytes(hash: HashAlgorithm) -> usize {
    hash.digest_size().unwrap_or(0)
}

/// The packets of a file that should hold one signature. Nested packets are not read, and no more than `MAX_PACKETS`
/// are, because each signature is checked against each key.
///
/// # Errors
/// The bytes are not OpenPGP packets, or too many.
pub fn packets(bytes: &[u8]) -> Result<Vec<Packet>, String> {
    let failed = |error: anyhow::Error| format!("no OpenPGP signature: {error}");
    let mut packets = Vec::new();
    let mut next = PacketParser::from_bytes(bytes).map_err(failed)?;
    while let PacketParserResult::Some(parser) = next {
        if packets.len() == MAX_PACKETS {
            return Err(format!("more than {MAX_PACKETS} packets where one signature is expected"));
        }
        let (packet, rest) = parser.next().map_err(failed)?;
        packets.push(packet);
        next = rest;
    }
    Ok(packets)
}
