//! Binary detached OpenPGP signatures: made, and verified as clients do.

use sequoia_openpgp as openpgp;

use openpgp::Packet;
use openpgp::packet::signature::SignatureBuilder;
use openpgp::parse::{PacketParser, PacketParserResult, Parse as _};
use openpgp::policy::StandardPolicy;
use openpgp::serialize::SerializeInto as _;
use openpgp::types::{HashAlgorithm, SignatureType};

use super::sealed::Sealed;
use super::signing_key::SigningKey;
use crate::error::Refusal;

impl SigningKey {
    /// Signs `document`: a binary detached signature (clients refuse an armored one), verified before it is given.
    ///
    /// Signatures carry a time and a random salt, so two of the same document differ.
    ///
    /// # Errors
    /// The key cannot sign, or what it signed does not verify under the certificate that clients will get.
    pub fn sign(&self, document: &[u8]) -> Result<Sealed, Refusal> {
        let failed = |error: String| {
            Refusal::new(format!("signing key {}", self.key_id()), "the signature that it made is not good")
                .found(error)
                .expected("a signature that verifies under the embedded public key")
                .remedy("export the key again, or sign with another one")
        };
        let mut pair = self.pair().clone();
        let signature = SignatureBuilder::new(SignatureType::Binary)
            .set_hash_algo(HashAlgorithm::SHA512)
            .sign_message(&mut pair, document)
            .map_err(|error| failed(error.to_string()))?;
        let bytes = Packet::from(signature).to_vec().map_err(|error| failed(error.to_string()))?;
        self.verify(document, &bytes).map_err(failed)?;
        Ok(Sealed::from_bytes(bytes))
    }

    /// Verifies a binary detached signature of `document` under the certificate that the documents embed, read anew from
    /// its armored text.
    ///
    /// # Errors
    /// Why clients would not accept it.
    pub fn verify(&self, document: &[u8], signature: &[u8]) -> Result<(), String> {
        let signature = detached(signature)?;
        signature.signature_alive(None, None).map_err(|error| error.to_string())?;
        let embedded = openpgp::Cert::from_bytes(self.armored_certificate().as_bytes());
        let embedded =
            embedded.map_err(|error| format!("the embedded public key cannot be read: {error}"))?;
        if embedded != *self.certificate() {
            return Err("the embedded public key is not the key's own".to_owned());
        }
        let policy = StandardPolicy::new();
        let valid = embedded.with_policy(&policy, None).map_err(|error| error.to_string())?;
        let verified = valid
            .keys()
            .for_signing()
            .revoked(false)
            .any(|key| signature.verify_message(key.key(), document).is_ok());
        if verified {
            Ok(())
        } else {
            Err(format!("not made by key {}, or not over this file", self.key_id()))
        }
    }
}

/// Packets of a signature file that are looked at; clients look for one signature that is good among them.
pub const MAX_PACKETS: usize = 16;

/// Reads a signature of the only kind that clients take: binary, detached, of version 4.
pub(super) fn detached(bytes: &[u8]) -> Result<openpgp::packet::Signature, String> {
    let packets = packets(bytes)?;
    let [Packet::Signature(signature)] = packets.as_slice() else {
        return Err(format!("{} packets where one signature is expected", packets.len()));
    };
    if signature.version() != 4 || signature.typ() != SignatureType::Binary {
        return Err(format!("a version {} signature of type {}", signature.version(), signature.typ()));
    }
    Ok(signature.clone())
}

/// The packets of a file that should hold one signature. Nothing within another packet is looked at, and no more than
/// `MAX_PACKETS`: each signature is held against each key.
///
/// # Errors
/// They are none of OpenPGP, or too many.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::signing_key::Secret;
    use openpgp::PacketPile;

    fn key(name: &str) -> SigningKey {
        read(name, None).unwrap()
    }

    fn read(name: &str, passphrase: Option<&str>) -> Result<SigningKey, Refusal> {
        let path = format!("{}/testdata/keys/{name}", env!("CARGO_MANIFEST_DIR"));
        let passphrase = passphrase.map(|text| Secret::new(text.into()).without_line_end());
        SigningKey::read(name, &Secret::new(std::fs::read(path).unwrap()), passphrase.as_ref())
    }

    #[test]
    fn fit_keys_sign_and_others_do_not_verify() {
        let other = key("ed25519.asc");
        for name in [
            "rsa3072.asc",
            "ed25519-subkey.asc",
            "rsa-subkey-offline-primary.asc",
            "p256.asc",
            "p384.asc",
            "p521.asc",
            "encryption-too.asc",
            "two-signing-subkeys.asc",
        ] {
            let key = key(name);
            let signature = key.sign(b"document").unwrap();
            let bytes = signature.bytes().unwrap();
            assert_eq!(key.verify(b"document", bytes), Ok(()), "{name}");
            assert!(key.verify(b"Document", bytes).is_err(), "{name}");
            assert!(other.verify(b"document", bytes).is_err(), "{name}");
            assert!(key.verify(b"document", &bytes[..bytes.len() - 1]).is_err(), "{name}");
            assert!(key.verify(b"document", &[bytes.as_ref(), bytes].concat()).is_err(), "{name}");
        }
    }

    #[test]
    fn the_embedded_certificate_is_minimal_and_stable() {
        let text = key("with-photo-and-third-party.asc").armored_certificate().to_owned();
        assert_eq!(text, key("with-photo-and-third-party.asc").armored_certificate());
        let pile = PacketPile::from_bytes(text.as_bytes()).unwrap();
        let kinds: Vec<String> = pile.children().map(|packet| packet.tag().to_string()).collect();
        assert_eq!(kinds, ["Public-Key Packet", "User ID Packet", "Signature Packet"]);
        assert!(!text.contains("Comment"));
    }

    #[test]
    fn no_secret_is_in_any_debug_output() {
        let secret = Secret::new(b"hunter2".to_vec());
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        let key = key("rsa3072.asc");
        assert_eq!(format!("{key:?}"), format!("SigningKey({})", key.fingerprint()));
    }
}
