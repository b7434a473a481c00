//! The OpenPGP key that signs SHA256SUMS: read, judged, unlocked once.
//!
//! A key that this library could sign with is not always one that clients can verify (Terraform and OpenTofu use
//! ProtonMail's go-crypto through its v1 interface), so what they cannot take is refused here, in words for a release
//! engineer: v6 keys, algorithms other than RSA, EdDSA and NIST ECDSA, keys that are revoked, expired or too weak.

use std::fmt;
use std::time::{Duration, SystemTime};

use sequoia_openpgp as openpgp;

use openpgp::cert::amalgamation::ValidAmalgamation as _;
use openpgp::cert::amalgamation::key::ValidErasedKeyAmalgamation;
use openpgp::cert::prelude::*;
use openpgp::crypto::{KeyPair, Password};
use openpgp::packet::key::{PublicParts, SecretKeyMaterial};
use openpgp::parse::Parse as _;
use openpgp::policy::StandardPolicy;
use openpgp::serialize::SerializeInto as _;
use openpgp::types::{Curve, HashAlgorithm, PublicKeyAlgorithm, RevocationStatus};
use openpgp::{Cert, Packet};
use zeroize::Zeroizing;

use crate::error::Refusal;

/// A warning is due when the key expires within this time.
const EXPIRY_WARNING: Duration = Duration::from_hours(90 * 24);

/// Text that must never be shown: a secret key or a passphrase. Wiped from memory when dropped.
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes `bytes` over as a secret.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The same without the line end that an editor or `echo` left behind a passphrase.
    #[must_use]
    pub fn without_line_end(mut self) -> Self {
        if self.0.last() == Some(&b'\n') {
            self.0.pop();
            if self.0.last() == Some(&b'\r') {
                self.0.pop();
            }
        }
        self
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A key that is ready to sign, and the certificate by which clients verify what it signs.
pub struct SigningKey {
    pair: KeyPair,
    certificate: Cert,
    armored: String,
    key_id: String,
    fingerprint: String,
    user_id: String,
    expires: Option<SystemTime>,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.fingerprint)
    }
}

impl SigningKey {
    /// Reads a secret key as GnuPG exports it (armored, or binary) and unlocks it; `source` names it in refusals.
    ///
    /// With several signing subkeys the newest is used, as GnuPG does.
    ///
    /// # Errors
    /// It is not one secret key, clients could not verify its signatures, or the passphrase is missing or wrong.
    pub fn read(source: &str, key: &Secret, passphrase: Option<&Secret>) -> Result<Self, Refusal> {
        let judge = Judge { source, now: SystemTime::now(), half: Half::Secret };
        let cert = judge.single_certificate(key)?;
        let candidate = judge.candidate(&cert)?;
        Ok(Self {
            pair: judge.unlock(&candidate.signer, passphrase)?,
            // The key id of the primary key is the one that clients print: `entity.PrimaryKey.KeyIdString()`.
            key_id: format!("{:X}", cert.keyid()),
            fingerprint: format!("{:X}", cert.fingerprint()),
            user_id: candidate.user_id,
            certificate: candidate.certificate,
            armored: candidate.armored,
            expires: candidate.expires,
        })
    }

    /// The 16 upper-case hex digits by which clients name the key.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The primary key's fingerprint in upper-case hex.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The primary user id.
    #[must_use]
    pub fn user_id(&self) -> &str {
        &self.user_id
    }

    /// The armored public key that the documents embed: primary key, primary user id and signing subkeys, each with its
    /// self-signature, and nothing else. The same key file always gives the same text.
    #[must_use]
    pub fn armored_certificate(&self) -> &str {
        &self.armored
    }

    /// What to tell the user if the key expires soon.
    #[must_use]
    pub fn expiry_warning(&self) -> Option<String> {
        expiry_warning(&self.key_id, self.expires?)
    }

    pub(super) fn pair(&self) -> &KeyPair {
        &self.pair
    }

    pub(super) fn certificate(&self) -> &Cert {
        &self.certificate
    }
}

/// What to tell the user of a key that expires soon.
pub(super) fn expiry_warning(key_id: &str, expires: SystemTime) -> Option<String> {
    let left = expires.duration_since(SystemTime::now()).unwrap_or_default();
    (left < EXPIRY_WARNING).then(|| {
        format!(
            "the signing key {key_id} expires on {} ({} days from now); extend it before clients refuse its signatures",
            date(expires),
            left.as_secs() / 86_400
        )
    })
}

/// What a key is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Half {
    /// To sign: the secret must be there.
    Secret,
    /// To be embedded: its public half is all that matters.
    Public,
}

/// A key that has passed every check that needs no passphrase, and what of it is embedded.
pub(super) struct Candidate<'c> {
    pub(super) signer: ValidErasedKeyAmalgamation<'c, PublicParts>,
    user_id: String,
    pub(super) certificate: Cert,
    pub(super) armored: String,
    pub(super) expires: Option<SystemTime>,
}

const POLICY: &StandardPolicy<'_> = &StandardPolicy::new();

/// One key of a file, public or secret; nothing of its secret is left. It may be expired, revoked or weak.
pub(super) fn public_half(source: &str, key: &[u8]) -> Result<Cert, Refusal> {
    let judge = Judge { source, now: SystemTime::now(), half: Half::Public };
    let secret = Secret::new(key.to_vec());
    Ok(judge.single_certificate(&secret)?.strip_secret_key_material())
}

/// What the documents embed of a public key that is valid now, and that clients can use.
pub(super) fn embeddable(source: &str, cert: &Cert) -> Result<(Cert, String), Refusal> {
    let candidate = Judge { source, now: SystemTime::now(), half: Half::Public }.candidate(cert)?;
    Ok((candidate.certificate, candidate.armored))
}

/// Words for what is wrong with a key.
pub(super) struct Judge<'a> {
    pub(super) source: &'a str,
    pub(super) now: SystemTime,
    pub(super) half: Half,
}

impl Judge<'_> {
    /// Every check of a key but the passphrase.
    pub(super) fn candidate<'c>(&self, cert: &'c Cert) -> Result<Candidate<'c>, Refusal> {
        self.check_kind(cert)?;
        let valid = match cert.with_policy(POLICY, self.now) {
            Ok(valid) => valid,
            Err(error) => return Err(self.no_valid_binding(cert, &error)),
        };
        self.check_certificate(&valid)?;
        let signer = self.choose(&valid)?;
        let expires = [signer.key_expiration_time(), valid.primary_key().key_expiration_time()];
        let user_id =
            valid.primary_userid().map(|uid| String::from_utf8_lossy(uid.userid().value()).into_owned());
        let user_id = user_id.map_err(|_| self.no_user_id())?;
        let certificate = minimal_certificate(&valid).map_err(|error| self.broken(&error))?;
        let armored = armor(&certificate).map_err(|error| self.broken(&error))?;
        Ok(Candidate { signer, user_id, certificate, armored, expires: expires.into_iter().flatten().min() })
    }

    fn refuse(&self, problem: &str) -> Refusal {
        Refusal::new(self.source, problem)
    }

    /// The one certificate in the text of a key.
    pub(super) fn single_certificate(&self, key: &Secret) -> Result<Cert, Refusal> {
        let expected = match self.half {
            Half::Secret => "one armored secret key, as `gpg --armor --export-secret-keys KEYID` writes it",
            Half::Public => "one key, as `gpg --armor --export KEYID` or `--export-secret-keys` writes it",
        };
        let text = &key.0;
        let contains = |needle: &[u8]| text.windows(needle.len()).any(|window| window == needle);
        if contains(b"-----BEGIN PGP") && contains(b"\\n") && !contains(b"\n-----END") {
            return Err(self
                .refuse("the signing key's line breaks are lost")
                .found("backslash-n in place of line breaks")
                .expected(expected)
                .remedy("store the secret with real line breaks"));
        }
        let unreadable = |found: String| {
            self.refuse("not an OpenPGP key")
                .found(found)
                .expected(expected)
                .remedy("export the key again; a secret pasted by hand often lacks its first or last line")
        };
        if text.iter().all(u8::is_ascii_whitespace) {
            return Err(unreadable("nothing".to_owned()));
        }
        let certs =
            CertParser::from_bytes(text.as_slice()).and_then(Iterator::collect::<openpgp::Result<Vec<Cert>>>);
        let mut certs = certs.map_err(|error| unreadable(error.to_string()))?;
        match (certs.pop(), certs.len()) {
            (Some(cert), 0) => Ok(cert),
            (None, _) => Err(unreadable("no key".to_owned())),
            (Some(last), _) => {
                certs.push(last);
                let ids: Vec<_> = certs.iter().map(|cert| format!("{:X}", cert.keyid())).collect();
                Err(self
                    .refuse("more than one key")
                    .found(ids.join(", "))
                    .expected("exactly one")
                    .remedy("export only the key that signs releases"))
            }
        }
    }

    /// What makes a whole key unfit, whatever its signatures say.
    fn check_kind(&self, cert: &Cert) -> Result<(), Refusal> {
        if self.half == Half::Secret && !cert.is_tsk() {
            return Err(self
                .refuse("only the public half of the signing key")
                .found(format!("public key {:X}", cert.keyid()))
                .expected("the secret key")
                .remedy("export it with `gpg --armor --export-secret-keys KEYID`"));
        }
        let version = cert.primary_key().key().version();
        if version != 4 {
            return Err(self
                .refuse("clients cannot read this kind of key")
                .found(format!("an OpenPGP version {version} key"))
                .expected("version 4: Terraform before 1.12 and OpenTofu before 1.11 know no other")
                .remedy("make an RSA or Ed25519 key with GnuPG 2.2 or 2.4"));
        }
        let created = cert.primary_key().key().creation_time();
        if created > self.now {
            return Err(self
                .refuse("the signing key is from the future")
                .found(format!("made on {}", date(created)))
                .expected(format!("a time before now, {}", date(self.now)))
                .remedy("set this machine's clock"));
        }
        check_strength(cert.primary_key().key()).map_err(|found| self.unfit_algorithm(&found))
    }

    fn unfit_algorithm(&self, found: &str) -> Refusal {
        self.refuse("clients cannot verify, or should not trust, signatures of this key")
            .found(found)
            .expected("RSA of 2048 bits or more, Ed25519 (EdDSA), or ECDSA on NIST P-256, P-384 or P-521")
            .remedy("make an RSA 3072 or Ed25519 key with GnuPG, and publish further releases with it")
    }

    /// Why the policy finds no valid self-signature at all.
    fn no_valid_binding(&self, cert: &Cert, error: &anyhow::Error) -> Refusal {
        // The lax policy is only asked why the real one said no; nothing is signed by it.
        let mut lax = StandardPolicy::new();
        lax.accept_hash(HashAlgorithm::SHA1);
        lax.accept_hash(HashAlgorithm::MD5);
        match cert.with_policy(&lax, self.now) {
            Ok(_) => self
                .refuse("the signing key's self-signature is too weak")
                .found("a self-signature by SHA-1 or another broken algorithm")
                .expected("SHA-256 or better")
                .remedy("renew it: `gpg --cert-digest-algo SHA512 --quick-set-expire FINGERPRINT 2y`, and export the key again"),
            Err(_) if cert.userids().next().is_none() => self.no_user_id(),
            Err(_) => self
                .refuse("the signing key has no valid self-signature")
                .found(error)
                .expected("a user id that the key itself has signed")
                .remedy("export the key again from the GnuPG home where it was made"),
        }
    }

    fn no_user_id(&self) -> Refusal {
        self.refuse("the signing key has no user id")
            .found("no self-signed user id that is valid now")
            .expected("one at least: clients cannot read the key without")
            .remedy("add one with `gpg --quick-add-uid FINGERPRINT 'NAME <MAIL>'`, and export the key again")
    }

    fn check_certificate(&self, valid: &ValidCert<'_>) -> Result<(), Refusal> {
        if let RevocationStatus::Revoked(signatures) = valid.revocation_status() {
            let reason = revocation_reason(signatures.iter().copied());
            let reason = reason.map_or(String::new(), |reason| format!(" ({reason})"));
            return Err(self
                .refuse("the signing key is revoked")
                .found(format!("key {:X}, revoked{reason}", valid.keyid()))
                .expected("a key that is in use: clients refuse every signature of a revoked one")
                .remedy("sign with another key"));
        }
        if let Some(expired) = valid.primary_key().key_expiration_time().filter(|time| *time <= self.now) {
            return Err(self.expired("the signing key", expired));
        }
        if valid.primary_userid().is_err() {
            return Err(self.no_user_id());
        }
        Ok(())
    }

    fn expired(&self, what: &str, expired: SystemTime) -> Refusal {
        self.refuse(&format!("{what} has expired"))
            .found(format!("expired on {}", date(expired)))
            .expected(format!("valid today, {}", date(self.now)))
            .remedy("extend it: `gpg --quick-set-expire FINGERPRINT 2y` (subkeys: add '*'), and export the key again")
    }

    /// The newest key of the certificate that may sign, has its secret here, and that clients can verify.
    fn choose<'a>(
        &self,
        valid: &ValidCert<'a>,
    ) -> Result<ValidErasedKeyAmalgamation<'a, PublicParts>, Refusal> {
        let mut unfit: Vec<(u8, Box<Refusal>)> = Vec::new();
        let mut fit: Vec<ValidErasedKeyAmalgamation<'a, PublicParts>> = Vec::new();
        for key in valid.keys() {
            match self.check_signer(&key) {
                Ok(()) => fit.push(key),
                Err(reason) => unfit.push(reason),
            }
        }
        fit.sort_by_key(|key| (key.key().creation_time(), key.key().fingerprint()));
        fit.pop().ok_or_else(|| {
            // The reason nearest to success helps most: it is about the key that was meant to sign.
            unfit.sort_by_key(|(nearness, _)| *nearness);
            unfit.pop().map_or_else(|| self.no_user_id(), |(_, refusal)| *refusal)
        })
    }

    /// Whether one key of the certificate can sign for clients; if not, how near it comes and why.
    fn check_signer(
        &self,
        key: &ValidErasedKeyAmalgamation<'_, PublicParts>,
    ) -> Result<(), (u8, Box<Refusal>)> {
        let name = format!("{} {:X}", if key.primary() { "key" } else { "subkey" }, key.key().keyid());
        if !key.for_signing() {
            let refusal = self
                .refuse("no key that may sign")
                .found(format!("{name}, which is not for signing"))
                .expected("a primary key or subkey with the sign flag")
                .remedy("add a signing subkey: `gpg --quick-add-key FINGERPRINT ed25519 sign 2y`, and export the key again");
            return Err((0, refusal.into()));
        }
        if let RevocationStatus::Revoked(_) = key.revocation_status() {
            let refusal = self
                .refuse("the signing subkey is revoked")
                .found(name)
                .expected("a signing key that is in use")
                .remedy("add a new signing subkey, and export the key again");
            return Err((1, refusal.into()));
        }
        if let Some(expired) = key.key_expiration_time().filter(|time| *time <= self.now) {
            return Err((2, self.expired(&format!("the signing {name}"), expired).into()));
        }
        check_strength(key.key()).map_err(|found| (3, self.unfit_algorithm(&found).into()))?;
        if self.half == Half::Secret && !secret_part(key.key()).is_here() {
            let refusal = self
                .refuse("the secret part of the signing key is not in the file")
                .found(format!("{name}, whose secret is offline or on a card"))
                .expected("the secret of a signing key")
                .remedy("export on the machine that has it: `gpg --armor --export-secret-subkeys KEYID`");
            return Err((4, refusal.into()));
        }
        Ok(())
    }

    fn unlock(
        &self,
        signer: &ValidErasedKeyAmalgamation<'_, PublicParts>,
        passphrase: Option<&Secret>,
    ) -> Result<KeyPair, Refusal> {
        let name = format!("key {:X}", signer.key().keyid());
        let mut key = signer.key().clone().parts_into_secret().map_err(|error| self.broken(&error))?;
        if !key.has_unencrypted_secret() {
            let Some(passphrase) = passphrase else {
                return Err(self
                    .refuse("the signing key is locked")
                    .found(format!("{name} with a passphrase, and no passphrase given"))
                    .expected("the passphrase")
                    .remedy("give --signing-passphrase-file FILE, or set TFREG_SIGNING_PASSPHRASE"));
            };
            // The library's own words for a wrong passphrase are those of a damaged key.
            key = key.decrypt_secret(&Password::from(passphrase.0.as_slice())).map_err(|_| {
                self.refuse("the signing key cannot be unlocked")
                    .found(format!("{name}, and a passphrase that does not open it"))
                    .expected("the passphrase that the key was exported with")
                    .remedy(
                        "check the passphrase; one line end behind it is ignored, other white space counts",
                    )
            })?;
        }
        key.into_keypair().map_err(|error| self.broken(&error))
    }

    fn broken(&self, error: &anyhow::Error) -> Refusal {
        self.refuse("the signing key cannot be used")
            .found(error)
            .expected("a complete secret key")
            .remedy("export the key again from the GnuPG home where it was made")
    }
}

/// The secret part of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretPart {
    /// It is there, and open.
    Open,
    /// It is there, locked by a passphrase.
    Locked,
    /// A stub says that it is elsewhere: offline, or on a card.
    Elsewhere,
    /// It is not there.
    Absent,
}

impl SecretPart {
    /// Whether it can be used, with a passphrase if need be.
    #[must_use]
    pub fn is_here(self) -> bool {
        matches!(self, Self::Open | Self::Locked)
    }
}

/// Where the secret part of a key is.
pub(super) fn secret_part<R: openpgp::packet::key::KeyRole>(
    key: &openpgp::packet::Key<PublicParts, R>,
) -> SecretPart {
    match key.optional_secret() {
        Some(SecretKeyMaterial::Unencrypted(_)) => SecretPart::Open,
        // A stub says only that the secret is elsewhere, on a card or offline (gnu-dummy).
        Some(SecretKeyMaterial::Encrypted(secret)) if secret.s2k().is_supported() => SecretPart::Locked,
        Some(SecretKeyMaterial::Encrypted(_)) => SecretPart::Elsewhere,
        None => SecretPart::Absent,
    }
}

/// Why a key was revoked, if its revocation says so.
pub(super) fn revocation_reason<'s>(
    mut revocations: impl Iterator<Item = &'s openpgp::packet::Signature>,
) -> Option<String> {
    let (code, text) = revocations.find_map(|signature| signature.reason_for_revocation())?;
    let text = String::from_utf8_lossy(text);
    Some(format!("{code}{}{text}", if text.is_empty() { "" } else { ": " }))
}

/// Whether clients can verify, and users should trust, signatures of a key; if not, what it is.
fn check_strength(
    key: &openpgp::packet::Key<PublicParts, impl openpgp::packet::key::KeyRole>,
) -> Result<(), String> {
    use openpgp::crypto::mpi;
    #[allow(
        deprecated,
        reason = "algorithm 22 is deprecated by RFC 9580, and the only Ed25519 that clients know"
    )]
    match (key.pk_algo(), key.mpis()) {
        (PublicKeyAlgorithm::RSAEncryptSign | PublicKeyAlgorithm::RSASign, mpi::PublicKey::RSA { n, .. }) => {
            if n.bits() >= 2048 {
                Ok(())
            } else {
                Err(format!("RSA of {} bits", n.bits()))
            }
        }
        (PublicKeyAlgorithm::ECDSA, mpi::PublicKey::ECDSA { curve, .. }) => match curve {
            Curve::NistP256 | Curve::NistP384 | Curve::NistP521 => Ok(()),
            other => Err(format!("ECDSA on the curve {other}")),
        },
        (PublicKeyAlgorithm::EdDSA, mpi::PublicKey::EdDSA { curve: Curve::Ed25519, .. }) => Ok(()),
        (PublicKeyAlgorithm::Ed25519, _) => {
            Err("Ed25519 in the form of RFC 9580 (algorithm 27), which needs Terraform 1.12 or OpenTofu 1.11"
                .to_owned())
        }
        (algorithm, _) => Err(algorithm.to_string()),
    }
}

/// Primary key, its direct-key signature, the primary user id and the signing subkeys, each with the one
/// self-signature in force.
fn minimal_certificate(valid: &ValidCert<'_>) -> openpgp::Result<Cert> {
    let mut packets: Vec<Packet> = vec![valid.primary_key().key().clone().parts_into_public().into()];
    if let Ok(signature) = valid.direct_key_signature() {
        packets.push(signature.clone().into());
    }
    let user_id = valid.primary_userid()?;
    packets.push(user_id.userid().clone().into());
    packets.push(user_id.binding_signature().clone().into());
    for subkey in valid.keys().subkeys().for_signing().revoked(false) {
        packets.push(subkey.key().clone().parts_into_public().into());
        packets.push(subkey.binding_signature().clone().into());
    }
    Cert::from_packets(packets.into_iter())
}

fn armor(cert: &Cert) -> openpgp::Result<String> {
    use std::io::Write as _;
    let mut writer = openpgp::armor::Writer::new(Vec::new(), openpgp::armor::Kind::PublicKey)?;
    writer.write_all(&cert.to_vec()?)?;
    Ok(String::from_utf8(writer.finalize()?)?)
}

pub(crate) fn date(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time)
        .map_or_else(|_| "an unknown date".to_owned(), |t| t.strftime("%Y-%m-%d").to_string())
}
