//! The signature of SHA256SUMS, and the keys under which clients verify it.

use std::time::{Duration, SystemTime};

use sequoia_openpgp as openpgp;

use openpgp::packet::Signature;
use openpgp::packet::signature::subpacket::SubpacketTag;
use openpgp::types::{HashAlgorithm, SignatureType};
use openpgp::{Cert, Fingerprint, Packet};

use crate::openpgp::KeyId;
use crate::openpgp::client_support::{self, ClientFamily, Judgement, Verdict};
use crate::openpgp::key_packets;
use crate::openpgp::signature::{packets as packets_of, unknown_critical};

use super::finding::{Finding, Group, Rule, Severity, rules};

rules! { Signature:
    MISSING = "signature-missing", Error,
        "the signature of SHA256SUMS is not there",
        "terraform init says: failed to retrieve cryptographic signature for provider",
        "publish the version's tarballs again";
    UNREADABLE = "signature-unreadable", Error,
        "the signature of SHA256SUMS cannot be read",
        "terraform init says: failed to retrieve cryptographic signature for provider",
        "let the CDN or web server answer it with the status 200";
    /// Source: clients hand the file to an OpenPGP library as it is, and that takes packets only.
    ARMORED = "signature-armored", Error,
        "the signature is armored",
        "terraform init says: error checking signature",
        "a detached binary signature is expected: `gpg --detach-sign` without --armor; `tfreg resign` makes one";
    PACKETS = "signature-packets", Error,
        "the signature is no OpenPGP signature of a document",
        "terraform init says: error checking signature",
        "`tfreg resign` the version";
    /// Source: `findSigningKey` tries the keys in order; one that does not decode ends the search.
    KEY_UNREADABLE = "key-unreadable", Error,
        "a key in the download document cannot be read",
        "terraform init says: error decoding signing key; keys behind it are not tried",
        "`tfreg resign` the version, which embeds the key anew";
    KEY_ID = "key-id", Warning,
        "the key id in a download document is not that of the key",
        "clients do not look at it; people and other tools look the key up by it",
        "`tfreg resign` the version, which embeds the key anew";
    SECRET_KEY = "key-secret", Error,
        "a download document holds a secret key",
        "everybody can sign in your name",
        "revoke the key at once, and `tfreg resign` everything with another one";
    UNKNOWN = "signature-unknown", Error,
        "the signature is not by a key of the download document, or not over this SHA256SUMS",
        "terraform init says: authentication signature from unknown issuer, or: signature is invalid",
        "if nobody has tampered with it: `tfreg resign` the version";
    NOT_FIRST = "signature-not-first-key", Warning,
        "the signature is by another key than the first one of the download document",
        "clients try keys in order, and stop at one that they cannot read",
        "put the key that signs first";
    /// Source: Terraform 1.11 takes SHA-1; the libraries warn that they will not always.
    HASH = "signature-hash", Warning,
        "the signature is over a hash that is broken",
        "anybody who can make two files of one hash can make the signature fit both; clients will stop accepting it",
        "`tfreg resign` the version, which uses SHA-512";
    /// Source: ProtonMail/go-crypto, `SigExpired`; Terraform tolerates an expired key, and no expired signature.
    EXPIRED = "signature-expired", Error,
        "the signature has expired, or is not valid yet",
        "terraform init says: signature expired; tofu init takes the key for expired, and warns",
        "`tfreg resign` the version; signatures by tfreg do not expire";
    /// Source: ProtonMail/go-crypto, `Signature.Verify`: each critical notation has to be known, and clients name none.
    CRITICAL = "signature-critical", Error,
        "the signature has a critical notation, which clients do not know",
        "terraform init says: unknown critical notation",
        "`tfreg resign` the version with another key; signatures by tfreg have none";
    /// Source: the rules of `openpgp::client_support`.
    KEY_REFUSED = "key-refused", Error,
        "clients reject signatures by this key",
        "terraform init or tofu init fails, and says that the signature cannot be checked",
        "`tfreg resign` with another key; `tfreg key` tells what clients make of a key";
    KEY_DOUBTFUL = "key-doubtful", Warning,
        "some clients warn about this key or reject it, or what they do is not known",
        "users of these releases are told that something is wrong, or cannot install",
        "`tfreg resign` with another key, or with a newer copy of this one; `tfreg key` tells more";
    KEY_EXPIRES = "key-expires", Warning,
        "the key that signs expires within 90 days",
        "OpenTofu warns then, and Terraform 1.6.0 rejects it",
        "extend it, and `tfreg resign --refresh-key`";
}

/// A key in a download document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EmbeddedKey {
    /// Its id according to the document; `None` if it has none.
    pub(super) id: Option<String>,
    /// Its armored text.
    pub(super) armor: String,
}

/// The signer, and how clients judge its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SignedBy {
    /// The id by which clients name the key: that of the primary key.
    pub(super) key_id: KeyId,
    pub(super) fingerprint: crate::openpgp::Fingerprint,
    pub(super) clients: Vec<Judgement>,
}

/// The families of clients in use: Terraform 1.6.1 and newer, OpenTofu.
const IN_USE: [ClientFamily; 4] = [
    ClientFamily::Terraform1_6_1,
    ClientFamily::Terraform1_12,
    ClientFamily::OpenTofu1_6,
    ClientFamily::OpenTofu1_11,
];
const SOON: Duration = Duration::from_hours(90 * 24);

/// Checks a signature over `document` as clients do: with `keys`, in order.
///
/// `document_subject` is the document that contains the keys, `subject` the signature.
pub(super) fn check(
    subject: &str,
    document_subject: &str,
    keys: &[EmbeddedKey],
    signature: &[u8],
    document: &[u8],
    now: SystemTime,
) -> (Vec<Finding>, Option<SignedBy>) {
    let mut findings: Vec<Finding> =
        keys.iter().filter_map(|key| secret_key(document_subject, &key.armor)).collect();
    let signatures = match packets(subject, signature) {
        Ok(signatures) => signatures,
        Err(finding) => {
            findings.push(finding);
            return (findings, None);
        }
    };
    for (index, key) in keys.iter().enumerate() {
        let certs = match certificates(&key.armor) {
            Ok(certs) => certs,
            Err(error) => {
                let found = format!("key {}: {error}", index + 1);
                findings
                    .push(KEY_UNREADABLE.at(document_subject).found(found).expected("an armored public key"));
                return (findings, None);
            }
        };
        let verified = certs.iter().find_map(|cert| {
            signatures
                .iter()
                .find_map(|signature| Some((cert, verifies(cert, signature, document)?, signature)))
        });
        let Some((cert, signer, signature)) = verified else { continue };
        if index > 0 {
            let found = format!("key {}, {:X}", index + 1, cert.keyid());
            findings.push(NOT_FIRST.at(document_subject).found(found).expected("the first key"));
        }
        findings.extend(key_id(document_subject, key.id.as_deref(), cert));
        findings.extend(hash(subject, signature));
        findings.extend(alive(subject, signature, now));
        findings.extend(critical(subject, signature));
        let clients = client_support::judge(cert, Some(&signer), now);
        findings.extend(accepted(document_subject, cert, &clients));
        findings.extend(expires_soon(document_subject, cert, &signer, now));
        let signer =
            SignedBy { key_id: cert.keyid().into(), fingerprint: cert.fingerprint().into(), clients };
        return (findings, Some(signer));
    }
    let issuers: Vec<String> =
        signatures.iter().flat_map(Signature::get_issuers).map(|id| format!("{id:X}")).collect();
    let found = format!(
        "a signature that names {}",
        if issuers.is_empty() { "no issuer".to_owned() } else { issuers.join(", ") }
    );
    let expected = format!("one by a key of {document_subject}");
    findings.push(UNKNOWN.at(subject).found(found).expected(expected));
    (findings, None)
}

/// Whether `signature` is a signature of `document` by one of the keys; nothing else is checked.
pub(super) fn is_by(keys: &[EmbeddedKey], signature: &[u8], document: &[u8]) -> bool {
    let Ok(signatures) = packets("", signature) else { return false };
    keys.iter()
        .filter_map(|key| certificates(&key.armor).ok())
        .flatten()
        .any(|cert| signatures.iter().any(|signature| verifies(&cert, signature, document).is_some()))
}

fn key_id(subject: &str, id: Option<&str>, cert: &Cert) -> Option<Finding> {
    let ids = cert.keys().map(|key| format!("{:X}", key.key().keyid()));
    let given = id.unwrap_or("none");
    (!ids.into_iter().any(|id| id.eq_ignore_ascii_case(given)))
        .then(|| KEY_ID.at(subject).found(given).expected(format!("{:X}", cert.keyid())))
}

fn secret_key(subject: &str, armor: &str) -> Option<Finding> {
    let secret = armor.contains("PRIVATE KEY BLOCK")
        || certificates(armor).is_ok_and(|certs| certs.iter().any(Cert::is_tsk));
    secret.then(|| SECRET_KEY.at(subject).found("a secret key (not repeated here)").expected("a public key"))
}

/// The signatures in a file, which must contain nothing else.
fn packets(subject: &str, bytes: &[u8]) -> Result<Vec<Signature>, Finding> {
    let expected = "one binary OpenPGP signature";
    if bytes.trim_ascii_start().starts_with(b"-----BEGIN") {
        return Err(ARMORED.at(subject).found("-----BEGIN …").expected(expected));
    }
    let unfit = |found: String| PACKETS.at(subject).found(found).expected(expected);
    let mut signatures = Vec::new();
    for packet in packets_of(bytes).map_err(unfit)? {
        match packet {
            Packet::Signature(signature)
                if matches!(signature.typ(), SignatureType::Binary | SignatureType::Text) =>
            {
                signatures.push(signature);
            }
            Packet::Signature(signature) => {
                return Err(unfit(format!("a signature of type {}", signature.typ())));
            }
            other => return Err(unfit(format!("{}", other.tag()))),
        }
    }
    if signatures.is_empty() { Err(unfit("nothing".to_owned())) } else { Ok(signatures) }
}

/// The certificates of an armored text. Clients read only its first block.
///
/// Source: `ReadArmoredKeyRing` of the OpenPGP libraries for Go.
fn certificates(armor: &str) -> Result<Vec<Cert>, String> {
    let begin = armor.find("-----BEGIN PGP").ok_or("no armored key (-----BEGIN PGP …)")?;
    let end = armor[begin..].find("-----END PGP").ok_or("the armor is not ended (-----END PGP …)")?;
    let rest = &armor[begin + end..];
    let block = &armor[begin..begin + end + rest.find('\n').unwrap_or(rest.len())];
    let certs = key_packets::read(block.as_bytes()).map_err(|error| error.to_string())?;
    if certs.is_empty() { Err("no key in the armor".to_owned()) } else { Ok(certs) }
}

/// The key that made a signature, even if it is expired or revoked.
fn verifies(cert: &Cert, signature: &Signature, document: &[u8]) -> Option<Fingerprint> {
    let mut keys = cert.keys().map(|key| key.key());
    keys.find(|key| signature.verify_message(*key, document).is_ok()).map(openpgp::packet::Key::fingerprint)
}

fn hash(subject: &str, signature: &Signature) -> Option<Finding> {
    let weak =
        matches!(signature.hash_algo(), HashAlgorithm::MD5 | HashAlgorithm::SHA1 | HashAlgorithm::RipeMD);
    weak.then(|| HASH.at(subject).found(signature.hash_algo()).expected("SHA-256 or SHA-512"))
}

fn alive(subject: &str, signature: &Signature, now: SystemTime) -> Option<Finding> {
    let date = crate::openpgp::signing_key::date;
    if let Some(created) = signature.signature_creation_time()
        && created > now
    {
        return Some(
            EXPIRED.at(subject).found(format!("made on {}", date(created))).expected("a time before now"),
        );
    }
    let expires = signature.signature_expiration_time().filter(|time| *time <= now)?;
    Some(EXPIRED.at(subject).found(format!("expired on {}", date(expires))).expected("a signature in force"))
}

fn critical(subject: &str, signature: &Signature) -> Option<Finding> {
    let parts = signature.hashed_area().iter().chain(signature.unhashed_area().iter());
    let mut notations = parts.filter(|part| part.tag() == SubpacketTag::NotationData);
    let found = notations.find_map(unknown_critical)?;
    Some(CRITICAL.at(subject).found(found).expected("no critical notation"))
}

/// How the clients in use judge the key. Older ones are reported in the result and are not a finding: Terraform 1.5 and
/// older cannot read Ed25519 at all.
fn accepted(subject: &str, cert: &Cert, clients: &[Judgement]) -> Option<Finding> {
    let worst = |judged: &&Judgement| match judged.verdict {
        Verdict::Accepts => false,
        Verdict::Warns | Verdict::NotKnown | Verdict::Rejects => {
            IN_USE.contains(&judged.family)
                // It accepts the same signatures as the others of its kind, except those by expired keys.
                || (judged.family == ClientFamily::Terraform1_6_0 && judged.verdict == Verdict::Rejects)
        }
    };
    let objections: Vec<&Judgement> = clients.iter().filter(worst).collect();
    if objections.is_empty() {
        return None;
    }
    let refused = objections.iter().any(|j| j.verdict == Verdict::Rejects && IN_USE.contains(&j.family));
    let rule = if refused { &KEY_REFUSED } else { &KEY_DOUBTFUL };
    let lines: Vec<String> = objections
        .iter()
        .map(|j| format!("{} {}: {}", j.family, j.verdict.word(), j.reasons.join("; ")))
        .collect();
    Some(
        rule.at(subject)
            .found(format!("key {:X}: {}", cert.keyid(), lines.join("\n")))
            .expected("a key that all clients in use accept"),
    )
}

fn expires_soon(subject: &str, cert: &Cert, signer: &Fingerprint, now: SystemTime) -> Option<Finding> {
    let expires = client_support::expires(cert, signer, now).filter(|time| *time > now)?;
    (expires.duration_since(now).unwrap_or_default() < SOON).then(|| {
        let date = crate::openpgp::signing_key::date(expires);
        let found = format!("key {:X} expires on {date}", cert.keyid());
        KEY_EXPIRES.at(subject).found(found).expected("more than 90 days")
    })
}
