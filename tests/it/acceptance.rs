//! What clients make of keys: the table of `openpgp::client_support`, and the keys by which `matrix` tries it with real clients,
//! every test key and keys that no program would make. What tfreg refuses to sign with is signed here, by Sequoia or GnuPG.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use sequoia_openpgp as openpgp;

use openpgp::cert::{CertRevocationBuilder, SubkeyRevocationBuilder, UserIDRevocationBuilder};
use openpgp::packet::key::{Key4, PrimaryRole, SecretParts, SubordinateRole, UnspecifiedRole};
use openpgp::packet::signature::SignatureBuilder;
use openpgp::packet::{Key, UserID};
use openpgp::parse::Parse as _;
use openpgp::serialize::SerializeInto as _;
use openpgp::types::{Curve, HashAlgorithm, KeyFlags, ReasonForRevocation, SignatureType};
use openpgp::{Cert, Packet};
use serde_json::Value;
use tfreg::openpgp::client_support::{ClientFamily, Judgement, Verdict, judge, judge_armored};

use crate::support::clients::{Preview, Terraform, require_program};
use crate::support::{folder, key, publish, run, tarball, testdata};

/// A published registry whose key and signature are replaced, one key after the other.
pub(crate) struct Registry {
    root: tempfile::TempDir,
    document: PathBuf,
    original: Value,
    preview: Preview,
}

impl Registry {
    pub(crate) fn new() -> Self {
        let root = folder();
        let site = root.path().join("site");
        run(&mut publish(&site, &[tarball("release-1.2.0", "linux-amd64")])).succeeds();
        let document = site.join("registry/acme/sample/1.2.0/download/linux/amd64");
        let original = serde_json::from_slice(&fs::read(&document).unwrap()).unwrap();
        Self { preview: Preview::of(&site), root, document, original }
    }

    fn at(&self, member: &str) -> PathBuf {
        self.root.path().join("site").join(self.original[member].as_str().unwrap().trim_start_matches('/'))
    }

    pub(crate) fn sums(&self) -> Vec<u8> {
        fs::read(self.at("shasums_url")).unwrap()
    }

    /// What `init` of a client says to a registry with this key and signature, if it installs and if it does not.
    pub(crate) fn init(
        &self,
        client: &Path,
        signer: &Signer,
        signature: &[u8],
        environment: &[(&str, &str)],
    ) -> Result<String, String> {
        let mut document = self.original.clone();
        document["signing_keys"]["gpg_public_keys"][0]["ascii_armor"] = signer.armored().into();
        fs::write(&self.document, serde_json::to_vec(&document).unwrap()).unwrap();
        fs::write(self.at("shasums_signature_url"), signature).unwrap();
        let mut directory = Terraform::new(&self.preview, "1.2.0").by(client);
        for (name, value) in environment {
            directory = directory.with(name, value);
        }
        let init = directory.run(&["init", "-no-color"]);
        assert!(init.code == 0 || init.stderr.contains("Failed to install provider"), "{init:#?}");
        if init.code == 0 { Ok(init.stdout) } else { Err(init.stderr) }
    }
}

/// A certificate and its key that signs.
pub(crate) struct Signer {
    cert: Cert,
    key: Key<SecretParts, UnspecifiedRole>,
}

impl Signer {
    fn armored(&self) -> String {
        String::from_utf8(self.cert.clone().strip_secret_key_material().armored().to_vec().unwrap()).unwrap()
    }

    pub(crate) fn sign(&self, document: &[u8]) -> openpgp::Result<Vec<u8>> {
        self.sign_with(document, |builder| builder)
    }

    /// A signature that was made two days ago, and held for one.
    pub(crate) fn sign_for_yesterday(&self, document: &[u8]) -> openpgp::Result<Vec<u8>> {
        let day = Duration::from_hours(24);
        self.sign_with(document, |builder| {
            let builder = builder.set_signature_creation_time(SystemTime::now() - 2 * day).unwrap();
            builder.set_signature_validity_period(day).unwrap()
        })
    }

    fn sign_with(
        &self,
        document: &[u8],
        change: impl FnOnce(SignatureBuilder) -> SignatureBuilder,
    ) -> openpgp::Result<Vec<u8>> {
        let mut pair = self.key.clone().into_keypair()?;
        let builder = SignatureBuilder::new(SignatureType::Binary).set_hash_algo(HashAlgorithm::SHA512);
        Packet::from(change(builder).sign_message(&mut pair, document)?).to_vec()
    }

    pub(crate) fn judge(&self) -> Vec<Judgement> {
        judge(&self.cert, Some(&self.key.fingerprint()), SystemTime::now())
    }
}

/// Signs with GnuPG, which knows curves and algorithms that the library does not.
fn sign_with_gpg(asc: &Path, document: &[u8]) -> Vec<u8> {
    let home = folder();
    let gpg = |args: &[&str]| {
        let mut command = Command::new("gpg");
        run(command.env("GNUPGHOME", home.path()).args(["--batch", "--quiet", "--no-tty"]).args(args))
            .succeeds()
    };
    fs::set_permissions(home.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    gpg(&["--import", asc.to_str().unwrap()]);
    let file = home.path().join("document");
    fs::write(&file, document).unwrap();
    gpg(&["--digest-algo", "SHA256", "--detach-sign", file.to_str().unwrap()]);
    run(Command::new("gpgconf").env("GNUPGHOME", home.path()).args(["--kill", "all"])).succeeds();
    fs::read(home.path().join("document.sig")).unwrap()
}

/// The key of a test file that signs: the one that the table takes for it.
fn signer(cert: Cert, passphrase: Option<&str>) -> Signer {
    let candidates = cert.keys().secret().filter(|key| key.key().has_secret()).map(|key| key.key().clone());
    let mut candidates: Vec<Key<SecretParts, UnspecifiedRole>> =
        candidates.map(Key::role_into_unspecified).collect();
    candidates.retain(|key| key.pk_algo().for_signing());
    let key = candidates.pop().unwrap();
    let key = match passphrase {
        Some(text) if !key.has_unencrypted_secret() => key.decrypt_secret(&text.into()).unwrap(),
        _ => key,
    };
    Signer { cert, key }
}

/// One of the test keys.
pub(crate) fn test_key(name: &str) -> Signer {
    let path = key(name);
    let passphrase = fs::read_to_string(path.with_extension("txt")).ok();
    signer(Cert::from_file(&path).unwrap(), passphrase.as_deref().map(str::trim_end))
}

/// Every test key that is one key with a secret, and its signature of `document`. None of them without GnuPG.
pub(crate) fn test_keys(document: &[u8]) -> Vec<(String, Signer, Vec<u8>)> {
    let mut keys = Vec::new();
    if !require_program("gpg") || !require_program("gpgconf") {
        return keys;
    }
    for entry in fs::read_dir(testdata("keys")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // Nothing can be signed with a public half, and what clients do with two keys is no matter of one key.
        let left_out = ["public-only.asc", "two-keys.asc"].contains(&name.as_str());
        if path.extension().is_none_or(|extension| extension != "asc") || left_out {
            continue;
        }
        let signer = test_key(&name);
        let signature = signer.sign(document).unwrap_or_else(|_| sign_with_gpg(&path, document));
        keys.push((name, signer, signature));
    }
    assert_eq!(keys.len(), 23);
    keys.sort_by(|(a, ..), (b, ..)| a.cmp(b));
    keys
}

const YEAR: Duration = Duration::from_hours(24 * 365);

/// The signature of a subkey over its primary key.
#[derive(Clone, Copy, PartialEq)]
enum Back {
    Signed,
    Missing,
}

/// A certificate in the making: a primary key on P-256, which every client reads; what follows is up to the case.
struct Making {
    primary: Key<SecretParts, PrimaryRole>,
    created: SystemTime,
}

impl Making {
    fn new() -> Self {
        Self::at(SystemTime::now() - 5 * YEAR)
    }

    fn at(created: SystemTime) -> Self {
        let mut primary: Key<SecretParts, PrimaryRole> =
            Key4::generate_ecc(true, Curve::NistP256).unwrap().into();
        primary.set_creation_time(created).unwrap();
        Self { primary, created }
    }

    fn cert(&self) -> Cert {
        Cert::try_from(vec![Packet::from(self.primary.clone())]).unwrap()
    }

    /// With a user id whose self-signature is made by `change`.
    fn user_id(&self, change: impl FnOnce(SignatureBuilder) -> SignatureBuilder) -> Cert {
        let mut pair = self.primary.clone().into_keypair().unwrap();
        let cert = self.cert();
        let user_id = UserID::from("tfreg worthless test key <made@example.invalid>");
        let builder = SignatureBuilder::new(SignatureType::PositiveCertification)
            .set_signature_creation_time(self.created)
            .unwrap()
            .set_hash_algo(HashAlgorithm::SHA256);
        let binding = user_id.bind(&mut pair, &cert, change(builder)).unwrap();
        cert.insert_packets(vec![Packet::from(user_id), binding.into()]).unwrap().0
    }

    fn revoke_user_id(&self, cert: Cert) -> Cert {
        let mut pair = self.primary.clone().into_keypair().unwrap();
        let user_id = cert.userids().next().unwrap().userid();
        let revocation = UserIDRevocationBuilder::new()
            .set_reason_for_revocation(ReasonForRevocation::UIDRetired, b"gone")
            .unwrap()
            .build(&mut pair, &cert, user_id, None)
            .unwrap();
        cert.insert_packets(revocation).unwrap().0
    }

    fn usual(&self, flags: KeyFlags) -> Cert {
        self.user_id(|builder| builder.set_key_flags(flags).unwrap())
    }

    fn revoke(&self, cert: Cert) -> Cert {
        let mut pair = self.primary.clone().into_keypair().unwrap();
        let revocation = CertRevocationBuilder::new()
            .set_reason_for_revocation(ReasonForRevocation::KeyCompromised, b"gone")
            .unwrap()
            .build(&mut pair, &cert, None)
            .unwrap();
        cert.insert_packets(revocation).unwrap().0
    }

    fn revoke_subkey(&self, signer: Signer) -> Signer {
        let mut pair = self.primary.clone().into_keypair().unwrap();
        let revocation = SubkeyRevocationBuilder::new()
            .set_reason_for_revocation(ReasonForRevocation::KeyCompromised, b"gone")
            .unwrap()
            .build(&mut pair, &signer.cert, signer.cert.keys().subkeys().next().unwrap().key(), None)
            .unwrap();
        Signer { cert: signer.cert.insert_packets(revocation).unwrap().0, key: signer.key }
    }

    /// With a further subkey; `back` tells whether it signs the primary key in turn.
    fn subkey(
        &self,
        cert: Cert,
        subkey: Key<SecretParts, SubordinateRole>,
        flags: KeyFlags,
        back: Back,
    ) -> Signer {
        self.bound(cert, subkey, back, |builder| builder.set_key_flags(flags).unwrap())
    }

    /// The same with a binding that is made by `change`.
    fn bound(
        &self,
        cert: Cert,
        mut subkey: Key<SecretParts, SubordinateRole>,
        back: Back,
        change: impl FnOnce(SignatureBuilder) -> SignatureBuilder,
    ) -> Signer {
        subkey.set_creation_time(self.created).unwrap();
        let mut pair = self.primary.clone().into_keypair().unwrap();
        let mut builder = SignatureBuilder::new(SignatureType::SubkeyBinding)
            .set_signature_creation_time(self.created)
            .unwrap();
        builder = change(builder);
        if back == Back::Signed {
            let mut own = subkey.clone().into_keypair().unwrap();
            let backsig = SignatureBuilder::new(SignatureType::PrimaryKeyBinding)
                .set_signature_creation_time(self.created)
                .unwrap()
                .sign_primary_key_binding(&mut own, cert.primary_key().key(), &subkey)
                .unwrap();
            builder = builder.set_embedded_signature(backsig).unwrap();
        }
        let binding = subkey.bind(&mut pair, &cert, builder).unwrap();
        let (cert, _) = cert.insert_packets(vec![Packet::from(subkey.clone()), binding.into()]).unwrap();
        Signer { cert, key: subkey.role_into_unspecified() }
    }

    fn signs_itself(&self, cert: Cert) -> Signer {
        Signer { cert, key: self.primary.clone().role_into_unspecified() }
    }
}

fn certify() -> KeyFlags {
    KeyFlags::empty().set_certification()
}

fn on(curve: Curve) -> Key<SecretParts, SubordinateRole> {
    Key4::generate_ecc(true, curve).unwrap().into()
}

/// Keys that no program would make, each with what is odd about it.
pub(crate) fn odd_keys() -> Vec<(&'static str, Signer)> {
    let signing = KeyFlags::empty().set_signing();
    let both = certify().set_signing();
    let making = Making::new();
    let encrypts = KeyFlags::empty().set_transport_encryption();
    let x25519: Key<SecretParts, SubordinateRole> = Key4::generate_x25519().unwrap().into();
    let cv25519: Key<SecretParts, SubordinateRole> =
        Key4::generate_ecc(false, Curve::Cv25519).unwrap().into();
    let new_ed25519: Key<SecretParts, SubordinateRole> = Key4::generate_ed25519().unwrap().into();
    let sha1 = |builder: SignatureBuilder| {
        builder.set_key_flags(both.clone()).unwrap().set_hash_algo(HashAlgorithm::SHA1)
    };
    let expires = |builder: SignatureBuilder| {
        let builder = builder.set_key_flags(both.clone()).unwrap();
        builder.set_signature_validity_period(YEAR).unwrap()
    };
    let lives_a_year = |builder: SignatureBuilder| builder.set_key_validity_period(YEAR).unwrap();
    let tomorrow = Making::at(SystemTime::now() + Duration::from_hours(24));
    let (signs, certifies) = (making.usual(both.clone()), making.usual(certify()));
    let other = |subkey, flags: &KeyFlags, back| {
        making.signs_itself(making.subkey(signs.clone(), subkey, flags.clone(), back).cert)
    };
    let subkey = |subkey, back| making.subkey(certifies.clone(), subkey, signing.clone(), back);
    vec![
        ("usual", making.signs_itself(signs.clone())),
        ("no flags at all", making.signs_itself(making.user_id(|builder| builder))),
        ("no sign flag", making.signs_itself(certifies.clone())),
        ("SHA-1", making.signs_itself(making.user_id(sha1))),
        ("self-signature that has expired", making.signs_itself(making.user_id(expires))),
        ("user id that is revoked", making.signs_itself(making.revoke_user_id(signs.clone()))),
        ("key of tomorrow", tomorrow.signs_itself(tomorrow.usual(both.clone()))),
        (
            "key that has expired",
            making.signs_itself(
                making.user_id(|builder| lives_a_year(builder.set_key_flags(both.clone()).unwrap())),
            ),
        ),
        ("key that is revoked", making.signs_itself(making.revoke(signs.clone()))),
        ("subkey", subkey(on(Curve::NistP256), Back::Signed)),
        ("subkey that does not sign back", subkey(on(Curve::NistP256), Back::Missing)),
        (
            "subkey that has expired",
            making.bound(certifies.clone(), on(Curve::NistP256), Back::Signed, |builder| {
                lives_a_year(builder.set_key_flags(signing.clone()).unwrap())
            }),
        ),
        ("subkey that is revoked", making.revoke_subkey(subkey(on(Curve::NistP256), Back::Signed))),
        ("subkey on Ed25519", subkey(on(Curve::Ed25519), Back::Signed)),
        ("subkey of algorithm 27", subkey(new_ed25519.clone(), Back::Signed)),
        ("other subkey that does not sign back", other(on(Curve::NistP256), &signing, Back::Missing)),
        ("other subkey on Ed25519", other(on(Curve::Ed25519), &signing, Back::Signed)),
        ("other subkey of algorithm 27", other(new_ed25519, &signing, Back::Signed)),
        ("other subkey of algorithm 25", other(x25519, &encrypts, Back::Missing)),
        ("other subkey on Curve25519", other(cv25519, &encrypts, Back::Missing)),
    ]
}

/// The verdicts on a test key, in the order of [`ClientFamily::ALL`]: T takes, W warns, U not known, R refuses.
fn verdicts(name: &str) -> String {
    let cert = Cert::from_file(key(name)).unwrap();
    let judged = judge(&cert, None, SystemTime::now());
    assert!(judged.iter().map(|judged| judged.family).eq(ClientFamily::ALL));
    for judged in &judged {
        assert!(judged.verdict == Verdict::Accepts || !judged.reasons.is_empty(), "{name}: {judged:?}");
    }
    let letter = |judged: &Judgement| match judged.verdict {
        Verdict::Accepts => 'T',
        Verdict::Warns => 'W',
        Verdict::NotKnown => 'U',
        Verdict::Rejects => 'R',
    };
    judged.iter().map(letter).collect()
}

#[test]
fn every_family_on_every_test_key() {
    for (name, expected) in [
        ("rsa3072.asc", "TTTTTT"),
        ("rsa1024.asc", "TTTTTT"),
        ("rsa-subkey-offline-primary.asc", "TTTTTT"),
        ("dsa2048.asc", "TTTTTT"),
        ("p256.asc", "TTTTTT"),
        ("p384.asc", "TTTTTT"),
        ("p521.asc", "TTTTTT"),
        ("ed25519.asc", "RTTTTT"),
        ("ed25519-subkey.asc", "RTTTTT"),
        ("two-signing-subkeys.asc", "RTTTTT"),
        ("with-photo-and-third-party.asc", "RTTTTT"),
        ("encryption-too.asc", "RTTTTT"),
        ("public-only.asc", "RTTTTT"),
        ("expired.asc", "RRTTWW"),
        ("subkey-expired.asc", "RRTTWW"),
        ("revoked.asc", "RRRRRR"),
        ("subkey-revoked.asc", "RRRRRR"),
        ("cv25519-encrypt-only.asc", "RRRRRR"),
        ("no-userid.asc", "RRRRRR"),
        ("v6.asc", "RRRTRT"),
        ("v4-ed25519-alg27.asc", "RRRTRT"),
        ("secp256k1.asc", "RTTTTT"),
    ] {
        assert_eq!(verdicts(name), expected, "{name}");
    }
}

#[test]
fn an_embedded_key_is_judged_by_its_text() {
    let now = SystemTime::now();
    let text = fs::read_to_string(key("public-only.asc")).unwrap();
    let judged = judge_armored(&text, None, now).unwrap();
    assert_eq!(judged, judge(&Cert::from_file(key("public-only.asc")).unwrap(), None, now));
    assert!(judge_armored("no key", None, now).is_err());
    assert!(judge_armored("", None, now).is_err());
}

#[test]
fn a_named_signer_is_judged_rather_than_the_likeliest() {
    let cert = Cert::from_file(key("two-signing-subkeys.asc")).unwrap();
    let primary = cert.fingerprint();
    let judged = judge(&cert, Some(&primary), SystemTime::now());
    assert!(judged.iter().all(|judged| judged.verdict == Verdict::Rejects), "{judged:?}");
    assert!(judged[3].reasons[0].contains("is not for signing"), "{judged:?}");
}

#[test]
fn releases_have_their_families() {
    for (version, family) in [
        ("0.13.0", ClientFamily::Terraform1_5),
        ("1.5.7", ClientFamily::Terraform1_5),
        ("1.6.0", ClientFamily::Terraform1_6_0),
        ("1.6.1", ClientFamily::Terraform1_6_1),
        ("1.11.4", ClientFamily::Terraform1_6_1),
        ("1.12.0", ClientFamily::Terraform1_12),
        ("2.0.0", ClientFamily::Terraform1_12),
    ] {
        assert_eq!(ClientFamily::of_terraform(&version.parse().unwrap()), family, "{version}");
    }
    for (version, family) in [
        ("1.6.0", ClientFamily::OpenTofu1_6),
        ("1.10.10", ClientFamily::OpenTofu1_6),
        ("1.11.0", ClientFamily::OpenTofu1_11),
        ("2.0.0", ClientFamily::OpenTofu1_11),
    ] {
        assert_eq!(ClientFamily::of_opentofu(&version.parse().unwrap()), family, "{version}");
    }
}
