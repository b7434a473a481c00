//! Signatures that a release has brought along, and that are published as they are.
//!
//! Parts of a signature packet are not signed: the unhashed subpackets, the first bytes of the digest, the lengths of
//! numbers. Clients use some of them, to find the key and to give up early, so a signature that was changed there may
//! verify here and fail there. So what is not signed must be just what a usual program writes.

use sequoia_openpgp as openpgp;

use openpgp::KeyHandle;
use openpgp::packet::Signature;
use openpgp::packet::signature::subpacket::SubpacketValue;
use openpgp::serialize::MarshalInto;

use super::certificate::Certificate;
use super::signature::detached;

/// The longest header of a packet: its tag, and a length of five octets (RFC 4880 4.2).
const MAX_HEADER: usize = 6;

/// Checks the parts of a verified signature of `document` that are not signed.
///
/// # Errors
/// What is unusual about it.
pub(super) fn check_form(certificate: &Certificate, document: &[u8], bytes: &[u8]) -> Result<(), String> {
    let signature = detached(bytes)?;
    let body = MarshalInto::to_vec(&signature).map_err(|error| error.to_string())?;
    let header =
        bytes.strip_suffix(body.as_slice()).ok_or("its numbers or lengths are not written as usual")?;
    if header.len() > MAX_HEADER {
        return Err("something is before it".to_owned());
    }
    check_issuers(certificate, &signature)?;
    let prefix = digest_prefix(&signature, document).map_err(|error| error.to_string())?;
    if prefix.as_deref() != Some(signature.digest_prefix().as_slice()) {
        return Err("the first bytes of the digest in it are not those of this file".to_owned());
    }
    Ok(())
}

/// The unhashed part only helps to find the key, and all of the signature names one key of this certificate.
fn check_issuers(certificate: &Certificate, signature: &Signature) -> Result<(), String> {
    let is_issuer = |value: &SubpacketValue| {
        matches!(value, SubpacketValue::Issuer(_) | SubpacketValue::IssuerFingerprint(_))
    };
    if !signature
        .unhashed_area()
        .iter()
        .all(|subpacket| is_issuer(subpacket.value()) && !subpacket.critical())
    {
        return Err("its unsigned part has something else than the key's id".to_owned());
    }
    let issuers = signature.get_issuers();
    let is_named = |handle: &KeyHandle| issuers.iter().all(|issuer| issuer.aliases(handle));
    if issuers.is_empty() || !certificate.cert().keys().any(|key| is_named(&key.key().key_handle())) {
        return Err("it names another key than the one that has made it, or none".to_owned());
    }
    Ok(())
}

fn digest_prefix(signature: &Signature, document: &[u8]) -> openpgp::Result<Option<Vec<u8>>> {
    use openpgp::crypto::hash::Hash as _;

    let mut hash = signature.hash_algo().context()?.for_signature(signature.version());
    hash.update(document);
    signature.hash(&mut hash)?;
    Ok(hash.into_digest()?.get(..2).map(<[u8]>::to_vec))
}
