//! Checks whether a key may sign or be embedded, and says what to do if not.
//!
//! Tests run most commands of the remedies with GnuPG, on the key that was refused. The exception is the command for a
//! subkey whose signature back to the primary key uses SHA-1: the GnuPG of the tests makes no such key.

use std::time::SystemTime;

use sequoia_openpgp as openpgp;

use openpgp::cert::amalgamation::ValidAmalgamation as _;
use openpgp::cert::amalgamation::key::ValidErasedKeyAmalgamation;
use openpgp::cert::prelude::*;
use openpgp::crypto::{KeyPair, Password};
use openpgp::packet::key::PublicParts;
use openpgp::policy::StandardPolicy;
use openpgp::serialize::SerializeInto as _;
use openpgp::types::{Curve, HashAlgorithm, PublicKeyAlgorithm, RevocationStatus};
use openpgp::{Cert, Fingerprint, Packet};

use super::certificate::PublishableKey;
use super::key_packets::{self, Unreadable};
use super::key_text;
use super::signer::Holder;
use super::signing_key::{Secret, date, secret_part};
use crate::error::Refusal;
use crate::words;

/// The command that makes a key that every client accepts.
const MAKE_KEY: &str = "`gpg --quick-generate-key 'NAME <MAIL>' rsa3072 sign 2y`";

/// The use of a key that is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyUse<'a> {
    /// To sign: the secret must be present.
    Secret,
    /// To be embedded: only its public half matters.
    Public,
    /// To sign by another program or service, which has the secret.
    Held(&'a Held),
}

/// The keys of a certificate whose secrets a program or service has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) holder: Holder,
    /// How the user names the signer, such as `gpg:FINGERPRINT`.
    pub(super) reference: String,
    /// The file of the certificate; `None` if it is from the holder itself.
    pub(super) file: Option<String>,
    pub(super) keys: Vec<Fingerprint>,
    /// The one key that the user wants to sign.
    pub(super) exactly: Option<Fingerprint>,
}

impl Held {
    fn has(&self, fingerprint: &Fingerprint) -> bool {
        self.keys.contains(fingerprint)
    }
}

/// A key that has passed every check that needs no passphrase, and the part of it that is embedded.
pub(super) struct Candidate<'c> {
    pub(super) signer: ValidErasedKeyAmalgamation<'c, PublicParts>,
    pub(super) user_id: String,
    pub(super) certificate: Cert,
    pub(super) armored: String,
    pub(super) expires: Option<SystemTime>,
}

const POLICY: &StandardPolicy<'_> = &StandardPolicy::new();

/// Reads one key of a file, public or secret, and drops its secrets. The key may be expired, revoked or weak.
pub(super) fn public_half(source: &str, key: &Secret) -> Result<Cert, Refusal> {
    let check = KeyCheck { source, now: SystemTime::now(), key_use: KeyUse::Public };
    Ok(check.single_certificate(key)?.strip_secret_key_material())
}

/// Returns the part that documents embed of a public key that is valid now, and that clients can use.
pub(super) fn publishable(source: &str, cert: &Cert) -> Result<PublishableKey, Refusal> {
    publishable_as_of(source, cert, SystemTime::now())
}

/// The same of a key that was valid then.
pub(super) fn publishable_as_of(
    source: &str,
    cert: &Cert,
    time: SystemTime,
) -> Result<PublishableKey, Refusal> {
    let check = KeyCheck { source, now: time, key_use: KeyUse::Public };
    Ok(PublishableKey::new(check.candidate(cert)?))
}

/// Checks a key, and builds the refusal of an unusable one.
pub(super) struct KeyCheck<'a> {
    pub(super) source: &'a str,
    pub(super) now: SystemTime,
    pub(super) key_use: KeyUse<'a>,
}

impl KeyCheck<'_> {
    /// Runs every check of a key except that of the passphrase.
    pub(super) fn candidate<'c>(&self, cert: &'c Cert) -> Result<Candidate<'c>, Refusal> {
        self.check_kind(cert)?;
        let valid = match cert.with_policy(POLICY, self.now) {
            Ok(valid) => valid,
            Err(error) => return Err(self.no_valid_binding(cert, &error)),
        };
        self.check_certificate(cert, &valid)?;
        let signer = self.choose(cert, &valid)?;
        let expires = [signer.key_expiration_time(), valid.primary_key().key_expiration_time()];
        let user_id =
            valid.primary_userid().map(|uid| String::from_utf8_lossy(uid.userid().value()).into_owned());
        let user_id = user_id.map_err(|_| self.no_user_id(cert))?;
        let certificate = minimal_certificate(&valid).map_err(|error| self.broken(&error))?;
        let armored = armor(&certificate).map_err(|error| self.broken(&error))?;
        Ok(Candidate { signer, user_id, certificate, armored, expires: expires.into_iter().flatten().min() })
    }

    fn refuse(&self, problem: &str) -> Refusal {
        Refusal::new(self.source, problem)
    }

    /// Reads the one certificate in the text of a key.
    pub(super) fn single_certificate(&self, key: &Secret) -> Result<Cert, Refusal> {
        let expected = match self.key_use {
            KeyUse::Secret => "one armored secret key, as `gpg --armor --export-secret-keys KEYID` writes it",
            KeyUse::Public | KeyUse::Held(_) => {
                "one key, as `gpg --armor --export KEYID` or `--export-secret-keys` writes it"
            }
        };
        let text = key_text::unwrap(key.bytes());
        let unreadable = |found: String, remedy: &str| {
            self.refuse("not an OpenPGP key").found(found).expected(expected).remedy(remedy)
        };
        let again = "export the key again; a secret pasted by hand often lacks its first or last line";
        if text.iter().all(u8::is_ascii_whitespace) {
            return Err(unreadable("nothing".to_owned(), again));
        }
        if let Some((found, remedy)) = key_text::recognise(key.bytes()) {
            return Err(unreadable(found.to_owned(), remedy));
        }
        let mut certs = key_packets::read(&text).map_err(|error| match error {
            Unreadable::Damaged(why) => unreadable(why, again),
            Unreadable::TooMuch { found, expected } => self
                .refuse("too much in one key")
                .found(found)
                .expected(expected)
                .remedy(
                    "export it without what clients do not need: `gpg --armor --export-options export-minimal \
                     --export-filter 'keep-uid=primary -t' --export-secret-keys FINGERPRINT` (--export for the public half)",
                ),
        })?;
        match (certs.pop(), certs.len()) {
            (Some(cert), 0) => Ok(cert),
            (None, _) => Err(unreadable("no key".to_owned(), again)),
            (Some(last), _) => {
                certs.push(last);
                let ids: Vec<_> = certs.iter().map(|cert| format!("{:X}", cert.keyid())).collect();
                Err(self.refuse("more than one key").found(ids.join(", ")).expected("exactly one").remedy(
                    format!(
                        "export only the key that signs releases, such as the first: `{}`",
                        self.export(certs.first())
                    ),
                ))
            }
        }
    }

    /// Checks for faults of the whole key, whatever its signatures say.
    fn check_kind(&self, cert: &Cert) -> Result<(), Refusal> {
        if self.key_use == KeyUse::Secret && !cert.is_tsk() {
            return Err(self
                .refuse("only the public half of the signing key")
                .found(format!("public key {:X}", cert.keyid()))
                .expected("the secret key")
                .remedy(format!(
                    "export the secret key: `gpg --armor --export-secret-keys {}`",
                    fingerprint(cert)
                )));
        }
        let version = cert.primary_key().key().version();
        if version != 4 {
            return Err(self
                .refuse("clients cannot read this kind of key")
                .found(format!("an OpenPGP version {version} key"))
                .expected("version 4: Terraform before 1.12 and OpenTofu before 1.11 know no other")
                .remedy(format!("make another one with GnuPG: {MAKE_KEY}")));
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
            .remedy(format!("make another key, and publish further releases with it: {MAKE_KEY}"))
    }

    /// Finds out why the policy accepts no self-signature at all.
    fn no_valid_binding(&self, cert: &Cert, error: &anyhow::Error) -> Refusal {
        // The lax policy is used only to find the reason for the refusal; it never permits a signature.
        let mut lax = StandardPolicy::new();
        lax.accept_hash(HashAlgorithm::SHA1);
        lax.accept_hash(HashAlgorithm::MD5);
        match cert.with_policy(&lax, self.now) {
            Ok(valid) => {
                let fingerprint = fingerprint(cert);
                let renew = format!("`gpg --cert-digest-algo SHA512 --quick-set-expire {fingerprint} 2y`");
                // GnuPG does not renew a subkey's signature back to the primary key, so that still has the old hash.
                let renew = if valid.primary_key().for_signing() {
                    renew
                } else {
                    format!("{renew}, then add a new signing subkey: {}", add_subkey(cert))
                };
                self.refuse("the signing key's self-signature is too weak")
                    .found("a self-signature by SHA-1 or another broken algorithm")
                    .expected("SHA-256 or better")
                    .remedy(self.then_export(cert, &format!("renew it: {renew}")))
            }
            Err(_) if cert.userids().next().is_none() => self.no_user_id(cert),
            Err(_) => self
                .refuse("the signing key has no valid self-signature")
                .found(error)
                .expected("a user id that the key itself has signed")
                .remedy(format!(
                    "export the key again from the GnuPG home where it was made: `{}`",
                    self.export(Some(cert))
                )),
        }
    }

    /// The refusal of a certificate without a valid key of the name that the user has given.
    fn no_key(&self, cert: &Cert, wanted: Option<&Fingerprint>) -> Refusal {
        let Some(wanted) = wanted else { return self.no_user_id(cert) };
        let there: Vec<String> = cert.keys().map(|key| format!("{:X}", key.key().fingerprint())).collect();
        self.refuse("the key that is named is no valid key of the certificate")
            .found(format!("{}, and not {wanted:X}", there.join(", ")))
            .expected("a primary key or subkey that the certificate binds")
            .remedy(format!(
                "name one of them, or let GnuPG's newest signing key sign: --signer gpg:{}",
                fingerprint(cert)
            ))
    }

    fn no_user_id(&self, cert: &Cert) -> Refusal {
        let refusal = self
            .refuse("the signing key has no user id")
            .found("no self-signed user id that is valid now")
            .expected("one at least: clients cannot read the key without");
        if cert.userids().next().is_none() {
            // GnuPG imports no key without a user id, so it cannot add one either.
            return refusal.remedy(format!(
                "export the key again from the GnuPG home where it was made, which has its user id: `{}`",
                self.export(Some(cert))
            ));
        }
        let add = format!("add one: `gpg --quick-add-uid {} 'NAME <MAIL>'`", fingerprint(cert));
        refusal.remedy(self.then_export(cert, &add))
    }

    /// The GnuPG command that exports the key as it is needed here.
    fn export(&self, cert: Option<&Cert>) -> String {
        let Some(cert) = cert else { return "gpg --armor --export-secret-keys FINGERPRINT".to_owned() };
        let offline = cert.is_tsk() && !secret_part(cert.primary_key().key()).is_here();
        let what = match self.key_use {
            KeyUse::Public | KeyUse::Held(_) if !cert.is_tsk() => "--export",
            _ if offline => "--export-secret-subkeys",
            _ => "--export-secret-keys",
        };
        format!("gpg --armor {what} {}", fingerprint(cert))
    }

    /// A remedy that changes the key where its primary secret is, and then exports the key again.
    fn then_export(&self, cert: &Cert, remedy: &str) -> String {
        if let KeyUse::Held(held) = self.key_use {
            return then_use(held, cert, remedy);
        }
        let elsewhere = self.key_use == KeyUse::Secret && !secret_part(cert.primary_key().key()).is_here();
        let there = if elsewhere { "where the secret of the primary key is, " } else { "" };
        format!("{there}{remedy}; then export the key again: `{}`", self.export(Some(cert)))
    }

    fn check_certificate(&self, cert: &Cert, valid: &ValidCert<'_>) -> Result<(), Refusal> {
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
            // Names the expired subkeys too; otherwise the next run would refuse them, and the key would be extended
            // twice.
            let subkeys = valid.keys().subkeys().for_signing().revoked(false);
            let subkeys =
                subkeys.filter(|subkey| subkey.key_expiration_time().is_some_and(|time| time <= self.now));
            let subkeys: Vec<Fingerprint> = subkeys.map(|subkey| subkey.key().fingerprint()).collect();
            return Err(self.expired(cert, "the signing key", expired, true, &subkeys));
        }
        if valid.primary_userid().is_err() {
            return Err(self.no_user_id(cert));
        }
        Ok(())
    }

    /// `subkeys` are those that have expired: GnuPG extends each only if it is named.
    fn expired(
        &self,
        cert: &Cert,
        what: &str,
        expired: SystemTime,
        primary: bool,
        subkeys: &[Fingerprint],
    ) -> Refusal {
        let extend = format!("gpg --quick-set-expire {} 2y", fingerprint(cert));
        let of_subkeys = (!subkeys.is_empty())
            .then(|| subkeys.iter().fold(extend.clone(), |command, subkey| format!("{command} {subkey:X}")));
        let commands = primary.then_some(extend.clone()).into_iter().chain(of_subkeys);
        let commands: Vec<String> = commands.map(|command| format!("`{command}`")).collect();
        self.refuse(&format!("{what} has expired"))
            .found(format!("expired on {}", date(expired)))
            .expected(format!("valid today, {}", date(self.now)))
            .remedy(self.then_export(cert, &format!("extend it: {}", commands.join(" and "))))
    }

    /// Chooses the newest key of the certificate that may sign, has its secret here, and can be verified by clients.
    fn choose<'a>(
        &self,
        cert: &Cert,
        valid: &ValidCert<'a>,
    ) -> Result<ValidErasedKeyAmalgamation<'a, PublicParts>, Refusal> {
        let mut unfit: Vec<(u8, Box<Refusal>)> = Vec::new();
        let mut fit: Vec<ValidErasedKeyAmalgamation<'a, PublicParts>> = Vec::new();
        let wanted = match self.key_use {
            KeyUse::Held(held) => held.exactly.clone(),
            _ => None,
        };
        for key in valid.keys() {
            if wanted.as_ref().is_some_and(|wanted| *wanted != key.key().fingerprint()) {
                continue;
            }
            match self.check_signer(cert, &key) {
                Ok(()) => fit.push(key),
                Err(reason) => unfit.push(reason),
            }
        }
        fit.sort_by_key(|key| (key.key().creation_time(), key.key().fingerprint()));
        fit.pop().ok_or_else(|| {
            // The key that fails the last check is most likely the one that was meant to sign, so its reason is
            // reported.
            unfit.sort_by_key(|(nearness, _)| *nearness);
            unfit.pop().map_or_else(|| self.no_key(cert, wanted.as_ref()), |(_, refusal)| *refusal)
        })
    }

    /// Whether one key of the certificate can sign for clients; if not, how many checks it passes, and the reason.
    fn check_signer(
        &self,
        cert: &Cert,
        key: &ValidErasedKeyAmalgamation<'_, PublicParts>,
    ) -> Result<(), (u8, Box<Refusal>)> {
        let name = format!("{} {:X}", if key.primary() { "key" } else { "subkey" }, key.key().keyid());
        if !key.for_signing() {
            let refusal = self
                .refuse("no key that may sign")
                .found(format!("{name}, which is not for signing"))
                .expected("a primary key or subkey with the sign flag")
                .remedy(self.then_export(cert, &format!("add a signing subkey: {}", add_subkey(cert))));
            return Err((0, refusal.into()));
        }
        if let RevocationStatus::Revoked(_) = key.revocation_status() {
            let refusal = self
                .refuse("the signing subkey is revoked")
                .found(name)
                .expected("a signing key that is in use")
                .remedy(self.then_export(cert, &format!("add a new signing subkey: {}", add_subkey(cert))));
            return Err((1, refusal.into()));
        }
        if let Some(expired) = key.key_expiration_time().filter(|time| *time <= self.now) {
            let subkey = (!key.primary()).then(|| key.key().fingerprint());
            let what = format!("the signing {name}");
            let refusal = self.expired(cert, &what, expired, key.primary(), subkey.as_slice());
            return Err((2, refusal.into()));
        }
        check_strength(key.key()).map_err(|found| (3, self.unfit_algorithm(&found).into()))?;
        if let KeyUse::Held(held) = self.key_use
            && !held.has(&key.key().fingerprint())
        {
            let refusal = self
                .refuse("GnuPG does not have the secret of the signing key")
                .found(format!("{name}, whose secret is offline"))
                .expected(
                    "a signing key whose secret is in the keyring, on a card, or behind a forwarded agent",
                )
                .remedy(format!(
                    "import it: `gpg --import FILE`, FILE being the export from where its secret is: \
                     `gpg --armor --export-secret-{} {} > FILE`",
                    if key.primary() { "keys" } else { "subkeys" },
                    fingerprint(cert)
                ));
            return Err((4, refusal.into()));
        }
        if self.key_use == KeyUse::Secret && !secret_part(key.key()).is_here() {
            let refusal = self
                .refuse("the secret part of the signing key is not in the file")
                .found(format!("{name}, whose secret is offline or on a card"))
                .expected("the secret of a signing key")
                // An export of the subkeys leaves only a stub of the primary key.
                .remedy(format!(
                    "export it where its secret is: `gpg --armor --export-secret-{} {}`; of a secret on a card there is no export",
                    if key.primary() { "keys" } else { "subkeys" },
                    fingerprint(cert)
                ));
            return Err((4, refusal.into()));
        }
        Ok(())
    }

    pub(super) fn unlock(
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
            // The library reports a wrong passphrase with the same error as a damaged key.
            key = key.decrypt_secret(&Password::from(passphrase.bytes())).map_err(|_| {
                self.refuse("the signing key cannot be unlocked")
                    .found(format!(
                        "{name}, and a passphrase that does not open it{}",
                        oddity(passphrase.bytes())
                    ))
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

/// The reason for a key's revocation, if the revocation has one.
pub(super) fn revocation_reason<'s>(
    mut revocations: impl Iterator<Item = &'s openpgp::packet::Signature>,
) -> Option<String> {
    let (code, text) = revocations.find_map(|signature| signature.reason_for_revocation())?;
    let text = String::from_utf8_lossy(text);
    Some(format!("{code}{}{text}", if text.is_empty() { "" } else { ": " }))
}

/// Whether clients can verify, and users should trust, signatures of a key; if not, the algorithm.
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

/// The primary key, its direct-key signature, the primary user id and the signing subkeys, each with the self-signature
/// that is in force.
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

fn fingerprint(cert: &Cert) -> String {
    format!("{:X}", cert.fingerprint())
}

/// A remedy that changes a key where its primary secret is, and then lets this run's signer see the change.
fn then_use(held: &Held, cert: &Cert, remedy: &str) -> String {
    let file = held.file.as_deref().unwrap_or("FILE");
    if held.holder == Holder::Kms {
        let user_id =
            cert.userids().next().map(|id| String::from_utf8_lossy(id.userid().value()).into_owned());
        return format!(
            "make the certificate again: `tfreg key create --signer {} --user-id {} --expires 2y > {}`",
            held.reference,
            words::quoted(user_id.as_deref().unwrap_or("NAME <MAIL>")),
            words::quoted(file)
        );
    }
    let is_elsewhere = !held.has(&cert.fingerprint());
    let there = if is_elsewhere { "where the secret of the primary key is, " } else { "" };
    match (&held.file, is_elsewhere) {
        (Some(_), _) => format!(
            "{there}{remedy}; then export the certificate again: `gpg --armor --export {} > {}`",
            fingerprint(cert),
            words::quoted(file)
        ),
        (None, true) => {
            format!("{there}{remedy}; then export it there, and import it here: `gpg --import FILE`")
        }
        (None, false) => format!("{remedy}; then run this again"),
    }
}

/// Adds an RSA subkey, because every client accepts RSA.
fn add_subkey(cert: &Cert) -> String {
    format!("`gpg --quick-add-key {} rsa3072 sign 2y`", fingerprint(cert))
}

/// Names a likely mistake in a passphrase that does not unlock a key, as a clause that does not repeat the passphrase.
fn oddity(passphrase: &[u8]) -> &'static str {
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_whitespace);
    match passphrase {
        [] => "; it is empty",
        [0xef, 0xbb, 0xbf, ..] => "; it begins with a byte order mark: store it without",
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
            "; it is UTF-16, as PowerShell writes files: store it as UTF-8"
        }
        [b'"', .., b'"'] | [b'\'', .., b'\''] => "; it is in quotes, which count: store it without",
        [b'$', ..] => "; it begins with $: is it the name of a variable that was not replaced?",
        _ if ends(passphrase.first()) || ends(passphrase.last()) => {
            "; it has white space at an end, which counts"
        }
        _ if passphrase.ends_with(b"\\n") => "; it ends with backslash-n, which counts",
        _ => "",
    }
}
