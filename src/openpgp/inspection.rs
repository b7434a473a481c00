//! Describes a key before it signs: its properties, whether tfreg would sign with it, which clients would accept its
//! signatures. It needs no passphrase, and stores no secrets.

use std::time::SystemTime;

use sequoia_openpgp as openpgp;

use openpgp::Cert;
use openpgp::packet::Key;
use openpgp::packet::key::{KeyRole, PublicParts};

use super::client_support::{self, Judgement, Overview, algorithm};
use super::key_check::{KeyCheck, KeyUse, revocation_reason};
use super::signing_key::{Secret, SecretPart, expiry_warning, secret_part};
use super::{Fingerprint, KeyId};
use crate::error::Refusal;

/// The description of a key.
#[derive(Debug)]
pub struct Inspection {
    /// The source of the key: a file's name, or a variable's.
    pub source: String,
    /// The primary key, whose id clients use for the whole key.
    pub primary: KeyPart,
    /// The key that signs: the one that tfreg would sign with, or else the one that most likely signed.
    pub signer: KeyPart,
    /// The version of OpenPGP: 4 (RFC 4880) or 6 (RFC 9580).
    pub version: u8,
    /// The user ids, the primary one first.
    pub user_ids: Vec<UserIdPart>,
    /// When clients begin to refuse its signatures or to warn about them: when the primary key or the signer expires.
    pub expires: Option<SystemTime>,
    /// The warning if that is soon.
    pub expiry_warning: Option<String>,
    /// Why tfreg would not sign with it, with the same refusal as in a publish.
    pub refusal: Option<Refusal>,
    /// How each family of clients treats the key: judged by the part that tfreg would embed, or by the whole key if it
    /// would not embed it.
    pub clients: Vec<Judgement>,
    /// The armored public key that the documents embed, if tfreg would embed it.
    pub embedded: Option<String>,
}

/// The primary key or a subkey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPart {
    /// In upper-case hex.
    pub fingerprint: Fingerprint,
    /// 16 upper-case hex digits.
    pub key_id: KeyId,
    /// The algorithm, with its size or curve.
    pub algorithm: String,
    /// When it was made.
    pub created: SystemTime,
    /// When it expires by its own self-signature.
    pub expires: Option<SystemTime>,
    /// Where its secret is.
    pub secret: SecretPart,
    /// Whether it is revoked, and why, as far as the revocation says.
    pub revoked: Option<Option<String>>,
}

/// A user id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserIdPart {
    /// The text in the key, chosen by the person who made it.
    pub text: String,
    /// Whether clients treat it as the primary one.
    pub primary: bool,
    /// Whether the key has revoked it.
    pub revoked: bool,
}

impl Inspection {
    /// Describes a key, secret or public, armored or binary; `source` names it in refusals.
    ///
    /// # Errors
    /// The text is not exactly one key: nothing can be said about it.
    pub fn read(source: &str, key: &Secret) -> Result<Self, Refusal> {
        let now = SystemTime::now();
        let public = KeyCheck { source, now, key_use: KeyUse::Public };
        let cert = public.single_certificate(key)?;
        let signs = KeyCheck { source, now, key_use: KeyUse::Secret }.candidate(&cert);
        let embeds = public.candidate(&cert);
        // The file may lack a secret subkey that would be the signer by the public half alone.
        let chosen = signs.as_ref().or(embeds.as_ref()).ok();
        let signer = chosen.map(|candidate| candidate.signer.key().fingerprint());
        let overview = Overview::new(&cert, signer.as_ref(), now);
        let judged = chosen.map_or(&cert, |candidate| &candidate.certificate);
        let clients = client_support::judge(judged, signer.as_ref(), now);

        let primary = part(cert.primary_key().key(), overview.expires, &cert);
        let signer = part(overview.signer, overview.signer_expires, &cert);
        let expires = [primary.expires, signer.expires].into_iter().flatten().min();
        let soon = expires.filter(|time| *time > now);
        let expiry_warning = soon.and_then(|time| expiry_warning(&primary.key_id, time));
        let mut user_ids: Vec<UserIdPart> = cert
            .userids()
            .map(|user_id| UserIdPart {
                text: String::from_utf8_lossy(user_id.userid().value()).into_owned(),
                primary: overview.user_id == Some(user_id.userid()),
                revoked: user_id.self_revocations().next().is_some(),
            })
            .collect();
        user_ids.sort_by_key(|user_id| !user_id.primary);
        Ok(Self {
            source: source.to_owned(),
            version: cert.primary_key().key().version(),
            primary,
            signer,
            user_ids,
            expires,
            expiry_warning,
            refusal: signs.err(),
            clients,
            embedded: embeds.ok().map(|candidate| candidate.armored),
        })
    }

    /// Whether it is a public key only: it is valid, but cannot sign.
    #[must_use]
    pub fn is_public_half(&self) -> bool {
        self.primary.secret == SecretPart::Absent && self.signer.secret == SecretPart::Absent
    }

    /// Whether the key can be used: a secret key to sign releases with, a public key to verify them with.
    ///
    /// # Errors
    /// tfreg would not sign with the secret key, or no client accepts a signature by it.
    pub fn fit(&self) -> Result<(), Refusal> {
        let taken = self.clients.iter().any(|judged| judged.verdict.installs());
        match &self.refusal {
            Some(refusal) if !self.is_public_half() => Err(refusal.clone()),
            _ if taken => Ok(()),
            _ => Err(Refusal::new(&self.source, "no client accepts a signature by this key")
                .found(
                    self.clients
                        .iter()
                        .rev()
                        .flat_map(|judged| &judged.reasons)
                        .next()
                        .map_or("", |reason| reason),
                )
                .expected("a key that clients can read, and that is in force")
                .remedy("sign with another key")),
        }
    }
}

/// The armored public key that the documents of a registry embed, from either half of the key: the same text for both.
///
/// # Errors
/// tfreg would not embed it, for the reasons for which it would not sign with its secret half.
pub fn embedded_certificate(source: &str, key: &Secret) -> Result<String, Refusal> {
    let check = KeyCheck { source, now: SystemTime::now(), key_use: KeyUse::Public };
    let cert = check.single_certificate(key)?;
    Ok(check.candidate(&cert)?.armored)
}

fn part(key: &Key<PublicParts, impl KeyRole>, expires: Option<SystemTime>, cert: &Cert) -> KeyPart {
    let fingerprint = key.fingerprint();
    let mut revocations: Vec<_> = if fingerprint == cert.fingerprint() {
        cert.primary_key().self_revocations().collect()
    } else {
        let subkeys = cert.keys().subkeys().filter(|subkey| subkey.key().fingerprint() == fingerprint);
        subkeys.flat_map(|subkey| subkey.self_revocations().collect::<Vec<_>>()).collect()
    };
    revocations.dedup();
    KeyPart {
        key_id: key.keyid().into(),
        fingerprint: fingerprint.into(),
        algorithm: algorithm(key),
        created: key.creation_time(),
        expires,
        secret: secret_part(key),
        revoked: (!revocations.is_empty()).then(|| revocation_reason(revocations.into_iter())),
    }
}
