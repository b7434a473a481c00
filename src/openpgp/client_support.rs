//! Which clients accept a signature by a key: how each family of Terraform and OpenTofu treats a certificate.
//!
//! Clients pass the document's armored key and the signature to an OpenPGP library for Go, and the library decides. So
//! a new family begins where a client changed the library, its version, or its use of the library's result. The rules
//! are one table, `rules`, each with its source, and `tests/it/matrix` tries them with real clients: `docs/clients.md` has
//! their versions.
//!
//! These are the rules of the clients, not of tfreg: tfreg is stricter with the keys that it signs with, see
//! [`SigningKey`](super::signing_key::SigningKey).

use std::fmt;
use std::time::SystemTime;

use sequoia_openpgp as openpgp;

use openpgp::Fingerprint;
use openpgp::cert::Cert;
use openpgp::crypto::mpi;
use openpgp::packet::key::{KeyRole, PublicParts, SubordinateRole, UnspecifiedRole};
use openpgp::packet::{Key, Signature, UserID};
use openpgp::types::{Curve, HashAlgorithm, PublicKeyAlgorithm, SignatureType};

use super::key_packets;
use super::signing_key::date;

/// Releases of a client that treat keys alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClientFamily {
    /// Terraform 1.5 and older, with golang.org/x/crypto/openpgp.
    Terraform1_5,
    /// Terraform 1.6.0, the first with ProtonMail/go-crypto (hashicorp/terraform#33406), and the only one that refuses
    /// expired keys (hashicorp/terraform#33984).
    Terraform1_6_0,
    /// Terraform 1.6.1 to 1.11, with go-crypto 1.0.0 or the commits before it, and expired keys ignored
    /// (hashicorp/terraform#34011).
    Terraform1_6_1,
    /// Terraform 1.12 and newer, with go-crypto 1.1 and newer, which know RFC 9580.
    Terraform1_12,
    /// OpenTofu 1.6 to 1.10, with go-crypto of June 2023.
    OpenTofu1_6,
    /// OpenTofu 1.11 and newer, with go-crypto 1.3.0 (opentofu/opentofu#3375).
    OpenTofu1_11,
}

impl ClientFamily {
    /// All families, in the order in which they are shown and in which the rules have their columns.
    pub const ALL: [Self; 6] = [
        Self::Terraform1_5,
        Self::Terraform1_6_0,
        Self::Terraform1_6_1,
        Self::Terraform1_12,
        Self::OpenTofu1_6,
        Self::OpenTofu1_11,
    ];

    /// The family of a Terraform release.
    #[must_use]
    pub fn of_terraform(version: &semver::Version) -> Self {
        match (version.major, version.minor, version.patch) {
            (0, ..) | (1, 0..=5, _) => Self::Terraform1_5,
            (1, 6, 0) => Self::Terraform1_6_0,
            (1, 6..=11, _) => Self::Terraform1_6_1,
            _ => Self::Terraform1_12,
        }
    }

    /// The family of an OpenTofu release.
    #[must_use]
    pub fn of_opentofu(version: &semver::Version) -> Self {
        match (version.major, version.minor) {
            (1, 0..=10) => Self::OpenTofu1_6,
            _ => Self::OpenTofu1_11,
        }
    }

    /// The client's name and its releases.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Terraform1_5 => "Terraform up to 1.5",
            Self::Terraform1_6_0 => "Terraform 1.6.0",
            Self::Terraform1_6_1 => "Terraform 1.6.1 to 1.11",
            Self::Terraform1_12 => "Terraform 1.12 and newer",
            Self::OpenTofu1_6 => "OpenTofu up to 1.10",
            Self::OpenTofu1_11 => "OpenTofu 1.11 and newer",
        }
    }
}

impl fmt::Display for ClientFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a client does with a signature by a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It installs.
    Accepts,
    /// It installs, and warns its user.
    Warns,
    /// Its behaviour was neither observed nor found in its source.
    NotKnown,
    /// It does not install.
    Rejects,
}

impl Verdict {
    /// Whether the client installs, as far as is known.
    #[must_use]
    pub fn installs(self) -> bool {
        matches!(self, Self::Accepts | Self::Warns)
    }

    /// The verdict in one or two words.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Accepts => "accepts",
            Self::Warns => "warns",
            Self::NotKnown => "not known",
            Self::Rejects => "rejects",
        }
    }
}

/// How one family of clients treats a key, and the reasons if it does not simply accept it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The clients.
    pub family: ClientFamily,
    /// The verdict of these clients.
    pub verdict: Verdict,
    /// The reasons; also the faults that they overlook when they accept it.
    pub reasons: Vec<String>,
}

/// Judges signatures by `signer`, a key of `cert`, as each family of clients does at the time `now`. Without a signer,
/// the key that most likely signed is judged: the newest with the sign flag, valid keys first.
///
/// This does not verify a signature: the caller must know whether the signature is by a key of `cert` at all.
#[must_use]
pub fn judge(cert: &Cert, signer: Option<&Fingerprint>, now: SystemTime) -> Vec<Judgement> {
    let facts = Facts::new(cert, signer, now);
    let findings: Vec<(Rule<'_>, String)> = rules()
        .into_iter()
        .filter_map(|rule| {
            let found = (rule.finds)(&facts)?;
            Some((rule, found))
        })
        .collect();
    let judged = ClientFamily::ALL.into_iter().enumerate().map(|(column, family)| {
        let effects = findings.iter().filter_map(|(rule, found)| Some((*rule.effects.get(column)?, found)));
        let verdict = effects.clone().map(|(effect, _)| effect.verdict()).max().unwrap_or(Verdict::Accepts);
        // Only the reasons of the verdict: a client that refuses a key shows no warnings.
        let reasons = effects
            .filter(|(effect, _)| *effect != Reaction::Nothing && effect.verdict() == verdict)
            .map(|(effect, found)| effect.word(found))
            .collect();
        Judgement { family, verdict, reasons }
    });
    judged.collect()
}

/// The properties of a certificate as clients see them, however weak it is.
pub(super) struct Overview<'a> {
    /// The user id that clients take for the primary one.
    pub(super) user_id: Option<&'a UserID>,
    /// The primary key's expiry.
    pub(super) expires: Option<SystemTime>,
    /// The most likely signer, or the one that the caller named.
    pub(super) signer: &'a Key<PublicParts, UnspecifiedRole>,
    /// The signer's own expiry.
    pub(super) signer_expires: Option<SystemTime>,
}

impl<'a> Overview<'a> {
    pub(super) fn new(cert: &'a Cert, signer: Option<&Fingerprint>, now: SystemTime) -> Self {
        let facts = Facts::new(cert, signer, now);
        Self {
            expires: facts.primary().expires(),
            signer: facts.signer.key,
            signer_expires: facts.signer.expires(),
            user_id: facts.identity.map(|identity| identity.user_id),
        }
    }
}

/// When clients begin to refuse signatures by `signer` or to warn about them: when it or the primary key expires.
pub(crate) fn expires(cert: &Cert, signer: &Fingerprint, now: SystemTime) -> Option<SystemTime> {
    let overview = Overview::new(cert, Some(signer), now);
    [overview.expires, overview.signer_expires].into_iter().flatten().min()
}

/// [`judge`] for the text that a registry's document embeds, of which clients read the first armor block only.
///
/// # Errors
/// The text is not one certificate, so no client reads it.
pub fn judge_armored(
    armored: &str,
    signer: Option<&Fingerprint>,
    now: SystemTime,
) -> Result<Vec<Judgement>, String> {
    let cert = key_packets::read_one(armored.as_bytes()).map_err(|error| error.to_string())?;
    Ok(judge(&cert, signer, now))
}

/// How a family reacts to the finding of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reaction {
    /// No reaction: the finding does not matter to this client.
    Nothing,
    /// Accepts the signature nevertheless; worth reporting.
    Overlooks,
    Warns,
    NotKnown,
    Refuses,
}

impl Reaction {
    fn verdict(self) -> Verdict {
        match self {
            Self::Nothing | Self::Overlooks => Verdict::Accepts,
            Self::Warns => Verdict::Warns,
            Self::NotKnown => Verdict::NotKnown,
            Self::Refuses => Verdict::Rejects,
        }
    }

    fn word(self, found: &str) -> String {
        match self {
            Self::Overlooks => format!("{found}, which it overlooks"),
            // Only OpenTofu warns, and only about expiry.
            Self::Warns => format!("{found}; with OPENTOFU_ENFORCE_GPG_EXPIRATION=true it refuses"),
            _ => found.to_owned(),
        }
    }
}

/// One fault that clients may react to: how it is found, and how each of [`ClientFamily::ALL`] reacts.
struct Rule<'a> {
    finds: fn(&Facts<'a>) -> Option<String>,
    effects: [Reaction; 6],
}

fn rule<'a>(finds: fn(&Facts<'a>) -> Option<String>, effects: [Reaction; 6]) -> Rule<'a> {
    Rule { finds, effects }
}

use Reaction::{NotKnown as U, Nothing as N, Overlooks as O, Refuses as R, Warns as W};

/// The rules. Columns: Terraform to 1.5, 1.6.0, 1.6.1 to 1.11, from 1.12; OpenTofu to 1.10, from 1.11. N: does not matter,
/// O: overlooked, W: warns, U: not known, R: refuses.
///
/// Sources: A, `ReadEntity` and `CheckDetachedSignature` of golang.org/x/crypto/openpgp. B, the same, `addSubkey` and
/// `checkSignatureDetails` of ProtonMail/go-crypto's v1 interface. C, `findSigningKey` of the client's
/// internal/getproviders/package_authentication.go. T, runs of real clients.
#[rustfmt::skip]
fn rules<'a>() -> Vec<Rule<'a>> { vec![
    // A: "public key type: 22" is unsupported; hashicorp/terraform#32056 says so of everything that go-crypto added. T
    rule(Facts::eddsa,                [R, N, N, N, N, N]),
    // RFC 9580. go-crypto 1.0.0 supports neither; 1.1 does. T
    rule(Facts::version_6,            [R, R, R, N, R, N]),
    rule(Facts::rfc9580_algorithm,    [R, R, R, N, R, N]),
    // A has P-256, P-384 and P-521 only. B lists the curve. T
    rule(Facts::secp256k1,            [R, N, N, N, N, N]),
    rule(Facts::other_curve,          [R, U, U, U, U, U]),
    // T for 1024 to 4096 bits. Go itself refuses less than 1024 since 1.24.
    rule(Facts::odd_rsa,              [U, U, U, U, U, U]),
    rule(Facts::unheard_of_algorithm, [U, U, U, U, U, U]),
    // A, B: "entity without any identities"; B since 1.1 only of version 4. T
    rule(Facts::no_user_id,           [R, R, R, R, R, R]),
    // A, B: `KeysByIdUsage` leaves out a key whose flags do not have it, so the issuer is unknown. T
    rule(Facts::no_sign_flag,         [R, R, R, R, R, R]),
    // A treats a key without any flags as one that may do everything; go-crypto 1.0.0 does not. T
    rule(Facts::no_flags,             [N, R, R, R, R, R]),
    // A, B: "signing subkey is missing cross-signature", and the whole key is not read. T
    rule(Facts::unbound_subkey,       [R, R, R, R, R, R]),
    // A: `ReadEntity` passes the error of the packet on, and the whole key is not read.
    rule(Facts::other_subkey_eddsa,   [R, N, N, N, N, N]),
    // go-crypto 1.0.0 drops the packet, and then takes the binding signature for one of the user id: "user ID signature
    // with wrong type". A binding with a signature back by an algorithm that it does not know is dropped too. T
    rule(Facts::other_subkey_x25519,  [R, R, R, N, R, N]),
    rule(Facts::other_subkey_ed25519, [R, N, N, N, N, N]),
    // A: `KeysByIdUsage` leaves out a revoked key. B: `ErrKeyRevoked`, which C passes on. T
    rule(Facts::revoked,              [R, R, R, R, R, R]),
    rule(Facts::signer_revoked,       [R, R, R, R, R, R]),
    // A does not look at it. B: "primary identity is revoked". T
    rule(Facts::user_id_revoked,      [O, R, R, R, R, R]),
    // A does not look at it. B: `ErrKeyExpired`, on which C differs: hashicorp/terraform#33984 and #34011 (1.6.1),
    // opentofu/opentofu#848 (a warning). T
    rule(Facts::expired,              [O, R, O, O, W, W]),
    // T
    rule(Facts::future,               [O, R, O, O, W, W]),
    // A does not look at it. B: `ErrSignatureExpired`, which C takes for an expired key in OpenTofu only. T
    rule(Facts::binding_expired,      [O, R, R, R, W, W]),
    // A, B: SHA-1 is among the hashes that signatures of keys may have. T
    rule(Facts::sha1,                 [O, O, O, O, O, O]),
] }

/// The properties of a certificate and of the key that signs, as clients see them, without a policy about algorithms.
struct Facts<'a> {
    cert: &'a Cert,
    now: SystemTime,
    /// The newest self-signature of the user id that clients take for the primary one.
    identity: Option<Identity<'a>>,
    signer: Component<'a>,
}

struct Identity<'a> {
    user_id: &'a UserID,
    signature: &'a Signature,
    revoked: bool,
}

/// The primary key or a subkey.
struct Component<'a> {
    key: &'a Key<PublicParts, UnspecifiedRole>,
    primary: bool,
    /// The signature that has its flags and its lifetime.
    signature: Option<&'a Signature>,
    revoked: bool,
}

impl Component<'_> {
    fn says_it_signs(&self) -> bool {
        self.signature.and_then(|signature| signature.key_flags()).is_some_and(|flags| flags.for_signing())
    }

    fn expires(&self) -> Option<SystemTime> {
        let lifetime = self.signature?.key_validity_period()?;
        self.key.creation_time().checked_add(lifetime)
    }

    fn expired(&self, now: SystemTime) -> Option<SystemTime> {
        self.expires().filter(|time| *time <= now)
    }

    fn name(&self) -> String {
        format!("{} {:X}", if self.primary { "key" } else { "subkey" }, self.key.keyid())
    }
}

impl<'a> Facts<'a> {
    fn new(cert: &'a Cert, signer: Option<&Fingerprint>, now: SystemTime) -> Self {
        let identity = primary_identity(cert);
        let mut components = components(cert, identity.as_ref());
        // The last is the most likely signer.
        components.sort_by_key(|component| {
            let in_force = !component.revoked && component.expired(now).is_none();
            (
                signer.is_some_and(|wanted| component.key.fingerprint() == *wanted),
                component.says_it_signs(),
                in_force,
                component.key.creation_time(),
                component.key.fingerprint(),
            )
        });
        let signer = match components.pop() {
            Some(likeliest)
                if likeliest.says_it_signs()
                    || signer.is_some_and(|wanted| likeliest.key.fingerprint() == *wanted) =>
            {
                likeliest
            }
            // No key has the sign flag: then the primary key is the most likely signer.
            _ => primary_component(cert, identity.as_ref()),
        };
        Self { cert, now, identity, signer }
    }

    fn primary(&self) -> Component<'a> {
        primary_component(self.cert, self.identity.as_ref())
    }

    /// The primary key and the signer, each with a name, once if they are the same.
    fn pair(&self) -> Vec<Component<'a>> {
        let mut pair = vec![self.primary()];
        if !self.signer.primary {
            let Component { key, primary, signature, revoked } = self.signer;
            pair.push(Component { key, primary, signature, revoked });
        }
        pair
    }

    fn any(&self, found: impl Fn(&Component<'_>) -> Option<String>) -> Option<String> {
        self.pair().iter().find_map(found)
    }

    fn others(&self) -> impl Iterator<Item = &'a Key<PublicParts, SubordinateRole>> {
        let signer = self.signer.key.fingerprint();
        self.cert.keys().subkeys().map(|subkey| subkey.key()).filter(move |key| key.fingerprint() != signer)
    }

    fn of_kind(&self, kind: Algorithm, what: &str) -> Option<String> {
        self.any(|component| {
            (Algorithm::of(component.key) == kind).then(|| format!("{} is {what}", component.name()))
        })
    }

    fn eddsa(&self) -> Option<String> {
        self.of_kind(Algorithm::Ed25519Legacy, "Ed25519 (EdDSA, algorithm 22), which it cannot read")
    }

    fn version_6(&self) -> Option<String> {
        let version = self.cert.primary_key().key().version();
        (version != 4).then(|| format!("an OpenPGP version {version} key, which it cannot read"))
    }

    fn rfc9580_algorithm(&self) -> Option<String> {
        self.any(|component| {
            let number = u8::from(component.key.pk_algo());
            (Algorithm::of(component.key) == Algorithm::Rfc9580).then(|| {
                format!("{} is of algorithm {number} of RFC 9580, which it cannot read", component.name())
            })
        })
    }

    fn secp256k1(&self) -> Option<String> {
        self.of_kind(Algorithm::Secp256k1, "ECDSA on secp256k1")
    }

    fn other_curve(&self) -> Option<String> {
        self.any(|component| match Algorithm::of(component.key) {
            Algorithm::OtherCurve => Some(format!("{} is {}", component.name(), algorithm(component.key))),
            _ => None,
        })
    }

    fn odd_rsa(&self) -> Option<String> {
        self.any(|component| match Algorithm::of(component.key) {
            Algorithm::Rsa { bits } if !(1024..=4096).contains(&bits) => {
                Some(format!("{} is RSA of {bits} bits; seen to work are 1024 to 4096", component.name()))
            }
            _ => None,
        })
    }

    fn unheard_of_algorithm(&self) -> Option<String> {
        self.any(|component| match Algorithm::of(component.key) {
            Algorithm::Other => Some(format!("{} is {}", component.name(), algorithm(component.key))),
            _ => None,
        })
    }

    fn no_user_id(&self) -> Option<String> {
        let needed = self.cert.primary_key().key().version() == 4;
        (needed && self.identity.is_none()).then(|| "no user id that the key itself has signed".to_owned())
    }

    fn no_sign_flag(&self) -> Option<String> {
        let flags = self.signer.signature?.key_flags()?;
        (!flags.for_signing()).then(|| format!("{} is not for signing", self.signer.name()))
    }

    fn no_flags(&self) -> Option<String> {
        let flags = self.signer.signature?.key_flags();
        flags.is_none().then(|| format!("{} does not say what it is for", self.signer.name()))
    }

    /// A subkey whose binding, or binding back to the primary key, clients cannot verify.
    fn unbound_subkey(&self) -> Option<String> {
        let unbound = |subkey: &openpgp::cert::amalgamation::key::SubordinateKeyAmalgamation<
            '_,
            PublicParts,
        >| { subkey.self_signatures().next().is_none() };
        let subkey = self.cert.keys().subkeys().find(unbound).filter(|_| verifiable(self.cert))?;
        Some(format!("subkey {:X} is not bound to the key, or not back", subkey.key().keyid()))
    }

    fn other_subkey_eddsa(&self) -> Option<String> {
        let eddsa = |key: &&Key<PublicParts, _>| {
            let cv25519 = matches!(key.mpis(), mpi::PublicKey::ECDH { curve, .. } if !is_nist(curve));
            Algorithm::of(key) == Algorithm::Ed25519Legacy || cv25519
        };
        let key = self.others().find(eddsa)?;
        Some(format!("it cannot read subkey {:X}, {}, nor then the key", key.keyid(), algorithm(key)))
    }

    fn other_subkey_x25519(&self) -> Option<String> {
        self.other_subkey(25..=26)
    }

    fn other_subkey_ed25519(&self) -> Option<String> {
        self.other_subkey(27..=28)
    }

    fn other_subkey(&self, algorithms: std::ops::RangeInclusive<u8>) -> Option<String> {
        let key = self.others().find(|key| algorithms.contains(&u8::from(key.pk_algo())))?;
        Some(format!("it cannot read subkey {:X}, {}, nor then the key", key.keyid(), algorithm(key)))
    }

    fn revoked(&self) -> Option<String> {
        let primary = self.primary();
        primary.revoked.then(|| format!("{} is revoked", primary.name()))
    }

    fn signer_revoked(&self) -> Option<String> {
        (!self.signer.primary && self.signer.revoked).then(|| format!("{} is revoked", self.signer.name()))
    }

    fn user_id_revoked(&self) -> Option<String> {
        self.identity
            .as_ref()
            .filter(|identity| identity.revoked)
            .map(|_| "all user ids are revoked".to_owned())
    }

    fn expired(&self) -> Option<String> {
        self.any(|component| {
            let expired = component.expired(self.now)?;
            Some(format!("{} expired on {}", component.name(), date(expired)))
        })
    }

    fn future(&self) -> Option<String> {
        self.any(|component| {
            let created = component.key.creation_time();
            (created > self.now)
                .then(|| format!("{} was made on {}, in the future", component.name(), date(created)))
        })
    }

    fn binding_expired(&self) -> Option<String> {
        self.any(|component| {
            let expired =
                component.signature?.signature_expiration_time().filter(|time| *time <= self.now)?;
            Some(format!("the self-signature of {} expired on {}", component.name(), date(expired)))
        })
    }

    fn sha1(&self) -> Option<String> {
        self.any(|component| {
            let hash = component.signature?.hash_algo();
            matches!(hash, HashAlgorithm::SHA1 | HashAlgorithm::MD5)
                .then(|| format!("{} has a self-signature with {hash}", component.name()))
        })
    }
}

/// The user id that go-crypto's `PrimaryIdentity` picks: in force, marked as primary, with the newest self-signature, in
/// this order.
fn primary_identity(cert: &Cert) -> Option<Identity<'_>> {
    let identities = cert.userids().filter_map(|user_id| {
        let signature = newest(user_id.self_signatures())?;
        Some(Identity {
            user_id: user_id.userid(),
            signature,
            revoked: user_id.self_revocations().next().is_some(),
        })
    });
    let identity = identities.max_by_key(|identity| {
        let primary = identity.signature.primary_userid().unwrap_or(false);
        (!identity.revoked, primary, identity.signature.signature_creation_time())
    });
    if identity.is_some() || verifiable(cert) {
        return identity;
    }
    let signature = newest(unverified(cert, is_certification))?;
    Some(Identity { user_id: cert.userids().next()?.userid(), signature, revoked: false })
}

/// Whether signatures by the primary key can be verified here; those of some curves cannot. The self-signatures of such
/// a key are accepted without verification, because keys from other programs must be judged too.
fn verifiable(cert: &Cert) -> bool {
    let key = cert.primary_key().key();
    match key.mpis() {
        mpi::PublicKey::ECDSA { curve, .. } | mpi::PublicKey::EdDSA { curve, .. } => {
            key.pk_algo().is_supported() && curve.is_supported()
        }
        _ => key.pk_algo().is_supported(),
    }
}

fn is_certification(kind: SignatureType) -> bool {
    use SignatureType::{
        CasualCertification, GenericCertification, PersonaCertification, PositiveCertification,
    };
    matches!(kind, GenericCertification | PersonaCertification | CasualCertification | PositiveCertification)
}

fn unverified(cert: &Cert, kind: impl Fn(SignatureType) -> bool) -> impl Iterator<Item = &Signature> {
    cert.bad_signatures().filter(move |signature| kind(signature.typ()))
}

fn newest<'a>(signatures: impl Iterator<Item = &'a Signature>) -> Option<&'a Signature> {
    signatures.max_by_key(|signature| signature.signature_creation_time())
}

fn primary_component<'a>(cert: &'a Cert, identity: Option<&Identity<'a>>) -> Component<'a> {
    let primary = cert.primary_key();
    // For a version 6 key the direct-key signature has the key's properties, RFC 9580 section 10.1.1.
    let direct = (primary.key().version() > 4).then(|| newest(primary.self_signatures())).flatten();
    Component {
        key: primary.key().into(),
        primary: true,
        signature: direct.or(identity.map(|identity| identity.signature)),
        revoked: primary.self_revocations().next().is_some()
            || !verifiable(cert)
                && unverified(cert, |kind| kind == SignatureType::KeyRevocation).next().is_some(),
    }
}

fn components<'a>(cert: &'a Cert, identity: Option<&Identity<'a>>) -> Vec<Component<'a>> {
    let subkeys = cert.keys().subkeys().map(|subkey| Component {
        key: subkey.key().into(),
        primary: false,
        signature: newest(subkey.self_signatures()),
        revoked: subkey.self_revocations().next().is_some(),
    });
    std::iter::once(primary_component(cert, identity)).chain(subkeys).collect()
}

/// Public-key algorithms, as far as clients distinguish them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Rsa {
        bits: usize,
    },
    Dsa,
    Nist,
    Secp256k1,
    Ed25519Legacy,
    /// Algorithms 27 and 28.
    Rfc9580,
    OtherCurve,
    Other,
}

/// The object identifier of secp256k1, 1.3.132.0.10.
const SECP256K1: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x0a];

impl Algorithm {
    fn of(key: &Key<PublicParts, impl KeyRole>) -> Self {
        #[allow(deprecated, reason = "deprecated by RFC 9580, and what most keys are")]
        match (key.pk_algo(), key.mpis()) {
            (_, mpi::PublicKey::RSA { n, .. }) => Self::Rsa { bits: n.bits() },
            (_, mpi::PublicKey::DSA { .. }) => Self::Dsa,
            (PublicKeyAlgorithm::ECDSA, mpi::PublicKey::ECDSA { curve, .. }) if is_nist(curve) => Self::Nist,
            (PublicKeyAlgorithm::ECDSA, mpi::PublicKey::ECDSA { curve, .. }) if curve.oid() == SECP256K1 => {
                Self::Secp256k1
            }
            (PublicKeyAlgorithm::EdDSA, mpi::PublicKey::EdDSA { curve: Curve::Ed25519, .. }) => {
                Self::Ed25519Legacy
            }
            (PublicKeyAlgorithm::ECDSA | PublicKeyAlgorithm::EdDSA, _) => Self::OtherCurve,
            (PublicKeyAlgorithm::Ed25519 | PublicKeyAlgorithm::Ed448, _) => Self::Rfc9580,
            _ => Self::Other,
        }
    }
}

fn is_nist(curve: &Curve) -> bool {
    matches!(curve, Curve::NistP256 | Curve::NistP384 | Curve::NistP521)
}

/// A key's algorithm with its size or curve, and with its number where names are ambiguous.
#[must_use]
pub fn algorithm(key: &Key<PublicParts, impl KeyRole>) -> String {
    let number = u8::from(key.pk_algo());
    match key.mpis() {
        mpi::PublicKey::RSA { n, .. } => format!("RSA of {} bits", n.bits()),
        mpi::PublicKey::DSA { p, .. } => format!("DSA of {} bits", p.bits()),
        mpi::PublicKey::ElGamal { p, .. } => format!("Elgamal of {} bits", p.bits()),
        mpi::PublicKey::EdDSA { curve, .. } => format!("EdDSA on {} (algorithm {number})", curve_name(curve)),
        mpi::PublicKey::ECDSA { curve, .. } => format!("ECDSA on {}", curve_name(curve)),
        mpi::PublicKey::ECDH { curve, .. } => format!("ECDH on {}", curve_name(curve)),
        mpi::PublicKey::Ed25519 { .. } | mpi::PublicKey::Ed448 { .. } => {
            format!("{} in the form of RFC 9580 (algorithm {number})", key.pk_algo())
        }
        _ => format!("{} (algorithm {number})", key.pk_algo()),
    }
}

fn curve_name(curve: &Curve) -> String {
    if curve.oid() == SECP256K1 { "secp256k1".to_owned() } else { curve.to_string() }
}
