//! Keys that anybody may have made, to keep whoever reads them busy: what is read of one is bounded.

use std::fs;
use std::process::Command;

use sequoia_openpgp as openpgp;

use openpgp::cert::CertBuilder;
use openpgp::packet::UserID;
use openpgp::packet::signature::SignatureBuilder;
use openpgp::serialize::SerializeInto as _;
use openpgp::types::SignatureType;
use openpgp::{Cert, Packet};
use tfreg::openpgp::certificate::Certificate;
use tfreg::openpgp::key_packets::{self, Unreadable};
use tfreg::openpgp::signature;

use crate::support::archive::write;
use crate::support::{folder, publish, run, tarball, tfreg, tree};

/// A key with these user ids, each with so many signatures that claim to be its own and are none.
fn flooded(user_ids: usize, signatures: usize, by_another: bool) -> Vec<u8> {
    let (cert, _) = CertBuilder::new().add_userid("worthless").add_signing_subkey().generate().unwrap();
    let (another, _) = CertBuilder::new().add_userid("another").generate().unwrap();
    let issuer = if by_another { &another } else { &cert };
    let mut signer = another.primary_key().key().clone().parts_into_secret().unwrap().into_keypair().unwrap();
    let bad = SignatureBuilder::new(SignatureType::PositiveCertification)
        .set_issuer_fingerprint(issuer.fingerprint())
        .unwrap()
        .set_issuer(issuer.keyid())
        .unwrap();
    let bad = bad.sign_userid_binding(&mut signer, another.primary_key().key(), &UserID::from("x"));
    let bad = Packet::from(bad.unwrap());
    let mut packets: Vec<Packet> = cert.into_packets().collect();
    for number in 0..user_ids {
        packets.push(UserID::from(format!("user {number}")).into());
        packets.extend(std::iter::repeat_n(bad.clone(), signatures));
    }
    packets.iter().flat_map(|packet| packet.to_vec().unwrap()).collect()
}

fn too_much(bytes: &[u8]) -> String {
    match key_packets::read(bytes) {
        Err(Unreadable::TooMuch { found, expected }) => {
            assert!(expected.starts_with("at most "), "{expected}");
            found
        }
        other => panic!("{:?}", other.map(|certs| certs.len())),
    }
}

#[test]
fn what_is_read_of_a_key_is_bounded() {
    assert_eq!(too_much(&flooded(101, 0, false)), "more than 100 user ids and subkeys in one key");
    assert_eq!(too_much(&flooded(1, 501, false)), "more than 500 signatures by the key on itself");
    assert_eq!(too_much(&flooded(1, 20_001, true)), "more than 20000 packets");
    assert_eq!(too_much(&vec![0; (4 << 20) + 1]), "more than 4194304 bytes");
    let long = Packet::from(UserID::from("x".repeat(2049))).to_vec().unwrap();
    assert_eq!(too_much(&[flooded(0, 0, false), long].concat()), "more than 2048 bytes in a user id");
    assert_eq!(key_packets::read(&flooded(50, 5, false)).unwrap().len(), 1);
}

#[test]
fn what_others_say_of_a_key_is_not_looked_at() {
    let certs = key_packets::read(&flooded(50, 200, true)).unwrap();
    let packets = certs[0].clone().into_packets().count();
    assert!(packets < 80, "{packets} packets are left");
    assert_eq!(certs[0].userids().count(), 51);
}

#[test]
fn a_signature_file_is_bounded_too() {
    let signatures = flooded(1, 17, false);
    let cert = flooded(1, 0, false);
    let found = signature::packets(&signatures).unwrap_err();
    assert!(found.contains("more than 16 packets"), "{found}");
    assert!(signature::packets(&cert).unwrap().len() <= 16);
}

/// In a document of a registry, and wherever a user names one.
#[test]
fn a_flooded_key_is_refused_everywhere() {
    let root = folder();
    let site = root.path().join("site");
    run(&mut publish(&site, &[tarball("release-1.2.0", "linux-amd64")])).succeeds();
    let flooded = flooded(1000, 4, false);
    let file = write(root.path(), "flooded.gpg", &flooded);
    let text = "more than 100 user ids and subkeys in one key";
    run(tfreg().arg("key").arg(&file)).refused("key", &["too much in one key", text, "export-minimal"]);
    let mut resign = tfreg();
    resign.arg("resign").arg(&site).arg("acme/sample").arg("--trust-key").arg(&file);
    resign.arg("--signing-key-file").arg(crate::support::key("rsa3072.asc"));
    run(&mut resign).refused("resign", &["too much in one key", text]);

    let armored = {
        use std::io::Write as _;
        let mut writer = openpgp::armor::Writer::new(Vec::new(), openpgp::armor::Kind::PublicKey).unwrap();
        writer.write_all(&flooded).unwrap();
        String::from_utf8(writer.finalize().unwrap()).unwrap()
    };
    assert!(Certificate::embedded(&armored).unwrap_err().contains(text));
    let document = site.join("registry/acme/sample/1.2.0/download/linux/amd64");
    let mut value: serde_json::Value = serde_json::from_slice(&fs::read(&document).unwrap()).unwrap();
    value["signing_keys"]["gpg_public_keys"][0]["ascii_armor"] = armored.into();
    fs::write(&document, serde_json::to_vec(&value).unwrap()).unwrap();
    let verified = run(tfreg().arg("verify").arg(&site));
    assert_eq!(verified.code, 3, "{verified:#?}");
    assert!(verified.stdout.contains(text), "{verified:#?}");
    assert!(!tree(&site).is_empty());
}

/// The remedy, with a key of real size for what it says.
#[test]
fn what_is_too_much_is_left_out_by_gnupg() {
    if !crate::support::clients::require_program("gpg") || !crate::support::clients::require_program("sh") {
        return;
    }
    let root = folder();
    let mut builder = CertBuilder::new().set_cipher_suite(openpgp::cert::CipherSuite::RSA2k);
    for number in 0..101 {
        builder = builder.add_userid(format!("user {number} <user-{number}@example.invalid>"));
    }
    let (cert, _): (Cert, _) = builder.add_signing_subkey().generate().unwrap();
    let file = write(root.path(), "many.gpg", cert.as_tsk().to_vec().unwrap());
    let refused = run(tfreg().arg("key").arg(&file)).refused("many", &["too much in one key"]);
    let fingerprint = format!("{:X}", cert.fingerprint());
    let command =
        refused.stderr.split('`').nth(1).unwrap().replace("FINGERPRINT", &fingerprint).replace('\n', " ");
    let script = format!(
        "set -e; export GNUPGHOME={0}; chmod 700 {0}; gpg --batch --quiet --import {1}; {command} > {0}/key.asc; gpgconf --kill all",
        root.path().display(),
        file.display()
    );
    run(Command::new("sh").args(["-c", &script])).succeeds();
    let shown = run(tfreg().arg("key").arg(root.path().join("key.asc"))).succeeds();
    assert!(shown.stdout.contains(&fingerprint), "{shown:#?}");
}
