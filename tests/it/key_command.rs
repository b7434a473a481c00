//! `tfreg key`: every test key, from every source, in every format; nothing secret in any of it.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::keys::rows;
use crate::support::archive::write;
use crate::support::child::Running;
use crate::support::clients::require_program;
use crate::support::{Ran, folder, key, ran, run, tarball, testdata, tfreg};

fn look_at(path: impl AsRef<Path>) -> Ran {
    run(tfreg().arg("key").arg(path.as_ref()))
}

fn json(path: impl AsRef<Path>) -> Value {
    let ran = run(tfreg().args(["key", "--format", "json"]).arg(path.as_ref()));
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("not one object: {error}: {ran:#?}"))
}

fn from_stdin(arguments: &[&str], text: &[u8]) -> Ran {
    let mut command = tfreg();
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Running::start(&mut command);
    child.stdin.take().unwrap().write_all(text).unwrap();
    ran(&child.output())
}

/// The error of a publish with this key.
fn publish_error(path: &Path) -> String {
    let site = folder();
    let mut command = tfreg();
    command.arg("publish").arg("--to").arg(site.path().join("site")).args(["--namespace", "acme"]);
    command.arg("--signing-key-file").arg(path).arg(tarball("release-1.2.0", "linux-amd64"));
    run(&mut command).stderr
}

#[test]
fn every_test_key_is_told_of() {
    for (name, taken, key_id, fingerprint) in rows().into_iter().filter(|(name, ..)| name != "two-keys.asc") {
        let path = key(&name);
        let ran = look_at(&path);
        let fit = taken || name == "public-only.asc";
        assert_eq!(ran.code, if fit { 0 } else { 3 }, "{name}: {ran:#?}");
        assert!(ran.stdout.starts_with(&format!("Key {key_id}  {}\n", path.display())), "{name}: {ran:#?}");
        assert!(ran.stdout.contains(&format!("fingerprint  {fingerprint}\n")), "{name}: {ran:#?}");
        for text in [
            "algorithm",
            "created      20",
            "expires",
            "secret half",
            "signs with",
            "Terraform 1.6.1 to 1.11",
        ] {
            assert!(ran.stdout.contains(text), "{name}: {text}: {ran:#?}");
        }
        // What tfreg says to a key is said by one piece of code: the same words, whoever asks.
        let expected = if fit { String::new() } else { publish_error(&path) };
        assert_eq!(ran.stderr, expected, "{name}");

        let told = json(&path);
        assert_eq!(told["key_id"], key_id.as_str(), "{name}");
        assert_eq!(told["fingerprint"], fingerprint.as_str(), "{name}");
        assert_eq!(told["signs"], taken, "{name}: {told:#}");
        assert_eq!(told["public_key"].is_string(), fit, "{name}: {told:#}");
        assert_eq!(told["refusal"].is_object(), !taken, "{name}: {told:#}");
        assert_eq!(told["clients"].as_array().unwrap().len(), 6, "{name}");
    }
}

#[test]
fn the_members_of_the_json_object() {
    let told = json(key("subkey-revoked.asc"));
    assert_eq!(told["version"], 4);
    assert_eq!(told["algorithm"], "EdDSA on Ed25519 (algorithm 22)");
    assert_eq!(told["created"], "2025-01-01T00:00:00Z");
    assert_eq!(told["user_ids"][0]["primary"], true);
    assert_eq!(told["revoked"], false);
    let signer = &told["signing_key"];
    assert_eq!(signer["key_id"], "995BD5D5AB159E9D");
    assert_eq!((&signer["revoked"], &signer["secret"]), (&true.into(), &"open".into()));
    assert_eq!(signer["revocation"], "Key material has been compromised");
    assert_eq!(told["refusal"]["problem"], "the signing subkey is revoked");
    assert_eq!(told["clients"][3]["client"], "Terraform 1.12 and newer");
    assert_eq!(told["clients"][3]["verdict"], "rejects");
    assert_eq!(told["clients"][3]["reasons"][0], "subkey 995BD5D5AB159E9D is revoked");

    let expired = json(key("expired.asc"));
    assert_eq!(expired["expires"], "2020-01-31T12:00:00Z");
    assert!(expired["expires_in_days"].as_i64().unwrap() < -2000);
    let verdicts: Vec<&str> = expired["clients"]
        .as_array()
        .unwrap()
        .iter()
        .map(|client| client["verdict"].as_str().unwrap())
        .collect();
    assert_eq!(verdicts, ["rejects", "rejects", "accepts", "accepts", "warns", "warns"]);
    assert_eq!(json(key("secp256k1.asc"))["clients"][5]["verdict"], "accepts");
    assert_eq!(json(key("ed25519-passphrase.asc"))["secret"], "locked");
    assert_eq!(json(key("rsa-subkey-offline-primary.asc"))["secret"], "elsewhere");
    assert_eq!(json(key("rsa-subkey-offline-primary.asc"))["signing_key"]["secret"], "open");
    assert_eq!(json(key("public-only.asc"))["secret"], "absent");
    assert_eq!(json(key("v6.asc"))["version"], 6);
    let two = json(key("with-photo-and-third-party.asc"));
    assert_eq!(
        (&two["user_ids"][0]["primary"], &two["user_ids"][1]["primary"]),
        (&true.into(), &false.into())
    );

    let refused = json(key("two-keys.asc"));
    assert_eq!((&refused["outcome"], &refused["exit_code"]), (&"refused".into(), &3.into()));
}

#[test]
fn the_words_for_people() {
    for (name, texts) in [
        ("ed25519-passphrase.asc", &["here, locked by a passphrase", "signs        with its passphrase"][..]),
        ("public-only.asc", &["secret half  not here", "public half only: it cannot sign"]),
        ("rsa-subkey-offline-primary.asc", &["elsewhere", "subkey BA12129B07F195C3A4CEDEC6ED4FAB7FC7354B18"]),
        ("two-signing-subkeys.asc", &["RSA of 3072 bits", "created 2025-02-01"]),
        ("with-photo-and-third-party.asc", &["worthless-with-photo-2@example.invalid> (primary)"]),
        ("revoked.asc", &["revoked      No reason specified"]),
        ("expired.asc", &["2020-01-31, expired", "which it overlooks", "OPENTOFU_ENFORCE_GPG_EXPIRATION"]),
        ("ed25519.asc", &["expires      never", "Terraform up to 1.5      rejects"]),
        ("v6.asc", &["OpenPGP version 6", "algorithm 27"]),
    ] {
        let ran = look_at(key(name));
        for text in texts {
            assert!(ran.stdout.contains(text), "{name}: {text:?}: {ran:#?}");
        }
    }
}

#[test]
fn a_public_key_is_fit_if_a_client_takes_it() {
    if !require_program("gpg") || !require_program("gpgconf") {
        return;
    }
    for (name, code) in
        [("rsa1024.asc", 0), ("expired.asc", 0), ("revoked.asc", 3), ("subkey-revoked.asc", 3)]
    {
        let public = PublicHalf::of(name);
        let ran = look_at(&public.file);
        assert_eq!(ran.code, code, "{name}: {ran:#?}");
        assert!(ran.stdout.contains("public half only: it cannot sign"), "{name}: {ran:#?}");
        assert_eq!(
            ran.stderr.contains("no client accepts a signature by this key"),
            code == 3,
            "{name}: {ran:#?}"
        );
    }
}

/// The public half of a test key, as GnuPG exports it.
struct PublicHalf {
    _home: tempfile::TempDir,
    file: std::path::PathBuf,
}

impl PublicHalf {
    fn of(name: &str) -> Self {
        let home = folder();
        fs::set_permissions(home.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let gpg = |arguments: &[&str]| {
            let mut command = Command::new("gpg");
            command.env("GNUPGHOME", home.path()).args(["--batch", "--quiet", "--no-tty"]).args(arguments);
            run(&mut command).succeeds()
        };
        gpg(&["--import", key(name).to_str().unwrap()]);
        let text = gpg(&["--armor", "--export"]).stdout;
        run(Command::new("gpgconf").env("GNUPGHOME", home.path()).args(["--kill", "all"])).succeeds();
        assert!(text.contains("PUBLIC KEY BLOCK"));
        let file = write(home.path(), "public.asc", text);
        Self { _home: home, file }
    }
}

#[test]
fn public_prints_what_is_embedded() {
    let gnupg = require_program("gpg") && require_program("gpgconf");
    for (name, ..) in rows().into_iter().filter(|(_, taken, ..)| *taken) {
        let root = folder();
        let site = root.path().join("site");
        let mut command = tfreg();
        command.arg("publish").arg("--to").arg(&site).args(["--namespace", "acme", "--signing-key-file"]);
        command.arg(key(&name)).arg(tarball("release-1.2.0", "linux-amd64"));
        let passphrase = key(&name.replace(".asc", ".txt"));
        if passphrase.exists() {
            command.arg("--signing-passphrase-file").arg(passphrase);
        }
        run(&mut command).succeeds();
        let document = fs::read(site.join("registry/acme/sample/1.2.0/download/linux/amd64")).unwrap();
        let document: Value = serde_json::from_slice(&document).unwrap();
        let embedded = document["signing_keys"]["gpg_public_keys"][0]["ascii_armor"].as_str().unwrap();

        let public = run(tfreg().args(["key", "--public"]).arg(key(&name))).succeeds();
        assert_eq!((public.stdout.as_str(), public.stderr.as_str()), (embedded, ""), "{name}");
        assert_eq!(json(key(&name))["public_key"], embedded, "{name}");
        let object = run(tfreg().args(["key", "--public", "--format", "json"]).arg(key(&name))).succeeds();
        assert_eq!(serde_json::from_str::<Value>(&object.stdout).unwrap()["public_key"], embedded, "{name}");
        // From the other half, and from the result itself: the same text.
        assert_eq!(
            from_stdin(&["key", "--public", "-"], embedded.as_bytes()).succeeds().stdout,
            embedded,
            "{name}"
        );
        if gnupg {
            let half = PublicHalf::of(&name);
            let public = run(tfreg().args(["key", "--public"]).arg(&half.file)).succeeds();
            assert_eq!(public.stdout, embedded, "{name}");
        }
    }
    for name in ["revoked.asc", "expired.asc", "rsa1024.asc", "no-userid.asc"] {
        let ran = run(tfreg().args(["key", "--public"]).arg(key(name)));
        assert_eq!((ran.code, ran.stdout.as_str()), (3, ""), "{name}");
        assert_eq!(ran.stderr, publish_error(&key(name)), "{name}");
    }
}

#[test]
fn from_every_source() {
    let text = fs::read_to_string(key("ed25519.asc")).unwrap();
    let ran = from_stdin(&["key", "-"], text.as_bytes()).succeeds();
    assert!(ran.stdout.starts_with("Key A7F2BC5B6E845A69  standard input\n"), "{ran:#?}");
    let ran = run(tfreg().arg("key").env("TFREG_SIGNING_KEY", &text)).succeeds();
    assert!(ran.stdout.starts_with("Key A7F2BC5B6E845A69  TFREG_SIGNING_KEY\n"), "{ran:#?}");
    // A file goes before the variable, as in a publish.
    let ran = run(tfreg().arg("key").arg(key("p256.asc")).env("TFREG_SIGNING_KEY", &text)).succeeds();
    assert!(ran.stdout.starts_with("Key 1FD51C14BF354275  "), "{ran:#?}");
    for value in [None, Some("")] {
        let mut command = tfreg();
        command.arg("key").envs(value.map(|value| ("TFREG_SIGNING_KEY", value)));
        run(&mut command).fails(2, &["no key", "FILE", "standard input", "TFREG_SIGNING_KEY"]);
    }
    if require_program("gpg") {
        let output = Command::new("gpg")
            .args(["--batch", "--dearmor"])
            .stdin(fs::File::open(key("ed25519.asc")).unwrap())
            .output()
            .unwrap();
        let ran = from_stdin(&["key", "-"], &output.stdout).succeeds();
        assert!(ran.stdout.starts_with("Key A7F2BC5B6E845A69  "), "{ran:#?}");
    }
}

#[test]
fn what_is_not_one_key_is_refused() {
    let root = folder();
    look_at(key("two-keys.asc")).refused("two", &["more than one key", "76DBFFCA422D8834, 6D1BFE8E16BA7AC4"]);
    look_at(write(root.path(), "empty", "")).refused("empty", &["not an OpenPGP key", "nothing"]);
    look_at(write(root.path(), "text", "key"))
        .refused("text", &["not an OpenPGP key", "gpg --armor --export KEYID"]);
    from_stdin(&["key", "-"], b"").refused("nothing", &["standard input: not an OpenPGP key"]);
    look_at(root.path().join("missing")).fails(1, &["cannot read", "missing"]);
    look_at(root.path()).fails(1, &["cannot read"]);
    let text = fs::read_to_string(key("ed25519.asc")).unwrap();
    run(tfreg().arg("key").arg(&text)).fails(2, &["an argument holds a secret key (not repeated here)"]);
}

#[test]
fn a_key_that_expires_soon_is_warned_of() {
    if !require_program("gpg") || !require_program("gpgconf") || !require_program("bash") {
        return;
    }
    for (days, warned) in [(2, true), (89, true), (92, false)] {
        let root = folder();
        let mut make = Command::new(testdata("make-keys.sh"));
        run(make.arg("expiring").arg(root.path()).arg(days.to_string())).succeeds();
        let file = root.path().join("expiring-soon.asc");
        let ran = look_at(&file).succeeds();
        assert_eq!(ran.stderr.contains("warning: the signing key"), warned, "{days}: {ran:#?}");
        let left = if days == 2 { "1 day left".to_owned() } else { format!("{} days left", days - 1) };
        assert!(ran.stdout.contains(&left), "{days}: {ran:#?}");
        let told = json(&file);
        assert_eq!(told["expires_in_days"], days - 1);
        assert_eq!(told["warnings"].as_array().unwrap().len(), usize::from(warned));
        assert_eq!(run(tfreg().args(["key", "--quiet"]).arg(&file)).succeeds().stderr, "", "{days}");
    }
}

/// The secret numbers of a key, or what a passphrase makes of them.
fn secret_bytes(cert: &sequoia_openpgp::Cert) -> Vec<Vec<u8>> {
    use sequoia_openpgp::packet::key::SecretKeyMaterial;
    use sequoia_openpgp::serialize::MarshalInto as _;
    let secrets = cert.keys().filter_map(|key| match key.key().optional_secret()? {
        SecretKeyMaterial::Unencrypted(secret) => Some(secret.map(|numbers| numbers.to_vec().unwrap())),
        SecretKeyMaterial::Encrypted(secret) => secret.ciphertext().ok().map(<[u8]>::to_vec),
    });
    secrets.filter(|bytes| bytes.len() > 16).collect()
}

#[test]
fn nothing_secret_is_printed() {
    use sequoia_openpgp::parse::Parse as _;
    let mut looked_for = 0;
    for (name, ..) in
        rows().into_iter().filter(|(name, ..)| !["public-only.asc", "two-keys.asc"].contains(&name.as_str()))
    {
        let text = fs::read_to_string(key(&name)).unwrap();
        let secrets = secret_bytes(&sequoia_openpgp::Cert::from_bytes(text.as_bytes()).unwrap());
        let lines: Vec<&str> = text.lines().filter(|line| line.len() > 40 && !line.contains(':')).collect();
        for arguments in [
            &["key"][..],
            &["key", "--format", "json"],
            &["key", "--verbose"],
            &["key", "--public"],
            &["key", "--quiet"],
        ] {
            for ran in [
                run(tfreg().args(arguments).arg(key(&name))),
                run(tfreg().args(arguments).env("TFREG_SIGNING_KEY", &text)),
                from_stdin(&[arguments, &["-"]].concat(), text.as_bytes()),
            ] {
                let said = format!("{}{}", ran.stdout, ran.stderr);
                assert!(!said.contains("PRIVATE KEY"), "{name}: {arguments:?}: {said}");
                let Some(armor) = said.find("-----BEGIN PGP PUBLIC KEY BLOCK-----") else {
                    assert!(
                        !lines.iter().any(|line| said.contains(&line[..32])),
                        "{name}: {arguments:?}: {said}"
                    );
                    continue;
                };
                // The public half shares lines with the secret one: look for the secret numbers in its bytes.
                let armor = said[armor..].replace("\\n", "\n");
                let mut bytes = Vec::new();
                let mut reader = sequoia_openpgp::armor::Reader::from_bytes(armor.as_bytes(), None);
                std::io::Read::read_to_end(&mut reader, &mut bytes).unwrap();
                assert!(bytes.len() > 100, "{name}");
                for secret in secrets.iter().flat_map(|secret| secret.windows(16).step_by(16)) {
                    assert!(!bytes.windows(16).any(|window| window == secret), "{name}: {arguments:?}");
                    looked_for += 1;
                }
            }
        }
    }
    assert!(looked_for > 100, "{looked_for}");
}

#[test]
fn a_user_id_cannot_act_on_the_terminal() {
    let (cert, _) = sequoia_openpgp::cert::CertBuilder::new()
        .set_profile(sequoia_openpgp::Profile::RFC4880)
        .unwrap()
        .set_primary_key_flags(sequoia_openpgp::types::KeyFlags::empty().set_certification().set_signing())
        .add_userid("Acme \u{1b}[31m\nTerraform takes\u{202e}")
        .generate()
        .unwrap();
    let public = sequoia_openpgp::serialize::SerializeInto::to_vec(&cert).unwrap();
    let ran = from_stdin(&["key", "-"], &public).succeeds();
    assert!(ran.stdout.contains(r"user id      Acme \u{1b}[31m Terraform takes\u{202e}"), "{ran:#?}");
}
