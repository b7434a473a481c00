//! Binary detached OpenPGP signatures, as clients read them.

use sequoia_openpgp as openpgp;

use openpgp::Packet;
use openpgp::parse::{PacketParser, PacketParserResult, Parse as _};
use openpgp::types::SignatureType;

/// The most packets of a signature file that are read; clients accept the file if one valid signature is among them.
pub const MAX_PACKETS: usize = 16;

/// Reads a signature of the only kind that clients accept: binary, detached, of version 4.
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
