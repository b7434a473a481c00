//! Why GnuPG does not sign, by its cause; and what each refusal tells the user to do, done: the refusal is gone.

use std::fs;

use sequoia_openpgp::Cert;
use sequoia_openpgp::crypto::mpi;
use sequoia_openpgp::parse::Parse as _;

use super::Owner;
use crate::support::archive::write;
use crate::support::key;

#[test]
fn without_gnupg_it_is_told_to_install_it() {
    let Some(owner) = Owner::new() else { return };
    let key = owner.imports("ed25519.asc");
    let texts = ["GnuPG is not installed", "or add its folder to PATH"];
    owner.refuses("no gpg", owner.publish_by(&key).env("PATH", owner.at("nowhere")), &texts);
    owner.publishes("gpg", &mut owner.publish_by(&key));
}

#[test]
fn a_key_that_is_not_there_is_imported() {
    let Some(owner) = Owner::new() else { return };
    let fingerprint = "4E8911C0E0EC692102243A48A7F2BC5B6E845A69";
    let texts = ["GnuPG does not have this secret key", "`gpg --list-secret-keys`", "`gpg --import FILE`"];
    owner.refuses("no key", &mut owner.publish_by(fingerprint), &texts);
    // Its public half alone.
    let other = Owner::new().unwrap();
    other.imports("ed25519.asc");
    let public = other.gpg(&["--armor", "--export", fingerprint]).succeeds().stdout;
    let public = write(owner.root.path(), "public.asc", public);
    owner.gpg(&["--import", public.to_str().unwrap()]).succeeds();
    owner.refuses("public only", &mut owner.publish_by(fingerprint), &texts);
    let option = ["--signer", &format!("gpg:{fingerprint}"), "--certificate", public.to_str().unwrap()];
    owner.refuses("certificate only", &mut owner.publish(&option), &texts);
    owner.imports("ed25519.asc");
    owner.publishes("imported", &mut owner.publish_by(fingerprint));
    owner.publishes("with a certificate", &mut owner.publish(&option));
}

#[test]
fn a_certificate_of_another_key_is_exported_again() {
    let Some(owner) = Owner::new() else { return };
    let (wanted, other) = (owner.imports("ed25519.asc"), owner.imports("rsa3072.asc"));
    let export = owner.gpg(&["--armor", "--export", &other]).succeeds().stdout;
    let file = write(owner.root.path(), "release.asc", export);
    let option = ["--signer", &format!("gpg:{wanted}"), "--certificate", file.to_str().unwrap()];
    let refused = owner.refuses(
        "other",
        &mut owner.publish(&option),
        &["of another key than the signer", &other, &wanted],
    );
    does_what_it_says(&owner, &refused.stderr);
    owner.publishes("exported", &mut owner.publish(&option));
    fs::write(&file, "hello").unwrap();
    owner.refuses("no certificate", &mut owner.publish(&option), &["not an OpenPGP key"]);
}

/// Runs the commands of a remedy.
#[track_caller]
fn does_what_it_says(owner: &Owner, said: &str) {
    let remedy = said.split("remedy:").nth(1).unwrap();
    let mut commands = 0;
    for line in remedy.split('`').skip(1).step_by(2) {
        let line =
            line.replace("gpg ", "gpg --batch --no-tty --yes --pinentry-mode loopback --passphrase '' ");
        owner.does(&line);
        commands += 1;
    }
    assert!(commands > 0, "no command in {remedy}");
}

#[test]
fn a_key_that_has_expired_is_extended() {
    let Some(owner) = Owner::new() else { return };
    let fingerprint = owner.imports("expired.asc");
    let texts = ["the signing key has expired", "then run this again"];
    let refused = owner.refuses("expired", &mut owner.publish_by(&fingerprint), &texts);
    does_what_it_says(&owner, &refused.stderr);
    owner.publishes("extended", &mut owner.publish_by(&fingerprint));
}

#[test]
fn a_prompt_that_was_not_answered_is_answered() {
    let Some(owner) = Owner::new() else { return };
    let key = owner.locked();
    owner.answers("cancel");
    let texts = ["the passphrase was asked for, and not given", "run this again, and answer the prompt"];
    owner.refuses("cancelled", &mut owner.publish_by(&key), &texts);
    owner.answers("wrong");
    owner.refuses(
        "wrong",
        &mut owner.publish_by(&key),
        &["the passphrase does not unlock the key", "answer the prompt"],
    );
    owner.answers("ok");
    owner.publishes("answered", &mut owner.publish_by(&key));
}

#[test]
fn without_a_prompt_the_passphrase_is_given() {
    let Some(owner) = Owner::new() else { return };
    let key = owner.locked();
    owner.agent("pinentry-program /nonexistent/pinentry");
    let texts = ["GnuPG cannot ask for the passphrase", "TFREG_SIGNING_PASSPHRASE", "GPG_TTY=$(tty)"];
    owner.refuses("no pinentry", &mut owner.publish_by(&key), &texts);
    owner.publishes("given", owner.publish_by(&key).env("TFREG_SIGNING_PASSPHRASE", "hushed"));
}

#[test]
fn an_agent_that_takes_no_passphrase_is_told_to_or_asks() {
    let Some(owner) = Owner::new() else { return };
    let key = owner.locked();
    let pinentry = format!("pinentry-program {}", owner.at("pinentry").display());
    owner.agent(&format!("{pinentry}\nno-allow-loopback-pinentry"));
    let given = || {
        let mut command = owner.publish_by(&key);
        command.env("TFREG_SIGNING_PASSPHRASE", "hushed");
        command
    };
    let texts = [
        "takes no passphrase from other programs",
        "remove no-allow-loopback-pinentry",
        "gpgconf --kill gpg-agent",
    ];
    owner.refuses("forbidden", &mut given(), &texts);
    owner.publishes("asks", &mut owner.publish_by(&key));
    owner.agent(&pinentry);
    owner.publishes("allowed", &mut given());
}

/// The number of a card that nobody has.
const CARD: &str = "D2760001240102000006123456780000";

/// Leaves of a secret key in GnuPG's keyring what its command `keytocard` leaves: the public part, and the number of the card.
///
/// Source: the file keyformat.txt of GnuPG, "Shadowed Private Key Format".
fn move_to_card(owner: &Owner, name: &str) {
    let keys = owner.home().join("private-keys-v1.d");
    let file = fs::read_dir(&keys).unwrap().next().unwrap().unwrap().path();
    let cert = Cert::from_bytes(&fs::read(key(name)).unwrap()).unwrap();
    let mpi::PublicKey::EdDSA { q, .. } = cert.primary_key().key().mpis() else { panic!("no Ed25519") };
    let text = |bytes: &[u8]| [format!("{}:", bytes.len()).as_bytes(), bytes].concat();
    let list = |parts: &[Vec<u8>]| [b"(".to_vec(), parts.concat(), b")".to_vec()].concat();
    let number: Vec<u8> = CARD
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect();
    let stub = list(&[
        text(b"shadowed-private-key"),
        list(&[
            text(b"ecc"),
            list(&[text(b"curve"), text(b"Ed25519")]),
            list(&[text(b"flags"), text(b"eddsa")]),
            list(&[text(b"q"), text(q.value())]),
            list(&[text(b"shadowed"), text(b"t1-v1"), list(&[text(&number), text(b"OPENPGP.1")])]),
        ]),
    ]);
    owner.forgets();
    fs::write(&file, stub).unwrap();
}

#[test]
fn a_card_that_is_absent_is_asked_for() {
    let Some(owner) = Owner::new() else { return };
    let fingerprint = owner.imports("ed25519.asc");
    move_to_card(&owner, "ed25519.asc");
    let listed = owner.gpg(&["--with-colons", "--list-secret-keys", &fingerprint]).succeeds().stdout;
    assert!(listed.contains(CARD), "{listed}");
    let card = format!("insert the card {CARD}");
    // With and without GnuPG's daemon for cards, which not every machine has.
    let texts = [&card, "gpg --card-status"];
    owner.answers("cancel");
    owner.refuses("not inserted", &mut owner.publish_by(&fingerprint), &texts);
    owner.agent("pinentry-program /nonexistent/pinentry");
    owner.refuses("no prompt", &mut owner.publish_by(&fingerprint), &texts);
    owner.refuses("PIN", owner.publish_by(&fingerprint).env("TFREG_SIGNING_PASSPHRASE", "123456"), &texts);
    owner.agent("scdaemon-program /nonexistent/scdaemon");
    owner.refuses("no daemon", &mut owner.publish_by(&fingerprint), &[&card, "apt-get install scdaemon"]);
}
