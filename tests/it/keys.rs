//! Every test key: those that clients can verify sign, and real GnuPG agrees; the others are refused in words that a
//! release engineer understands. Passphrases and key texts from all their sources.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::archive::write;
use crate::support::clients::require_program;
use crate::support::{Ran, folder, key, run, tarball, testdata, tfreg, tree};

/// A registry to be, and where it will be.
struct Case {
    root: TempDir,
    site: PathBuf,
}

impl Case {
    fn new() -> Self {
        let root = folder();
        let site = root.path().join("site");
        Self { root, site }
    }

    /// `tfreg publish` of one tarball, without a key.
    fn publish(&self) -> Command {
        let mut command = tfreg();
        command.arg("publish").arg("--to").arg(&self.site).args(["--namespace", "acme"]);
        command.arg(tarball("release-1.2.0", "linux-amd64"));
        command
    }

    fn publish_with(&self, key: impl AsRef<OsStr>) -> Command {
        let mut command = self.publish();
        command.arg("--signing-key-file").arg(key);
        command
    }

    /// The key that the download document names, and its armored text.
    fn embedded(&self) -> (String, String) {
        let document = self.site.join("registry/acme/sample/1.2.0/download/linux/amd64");
        let document: Value = serde_json::from_slice(&fs::read(document).unwrap()).unwrap();
        let keys = document["signing_keys"]["gpg_public_keys"].as_array().unwrap();
        assert_eq!(keys.len(), 1, "{document:#}");
        let text = |name: &str| keys[0][name].as_str().unwrap().to_owned();
        (text("key_id"), text("ascii_armor"))
    }

    /// Refused, and nothing written.
    #[track_caller]
    fn refused(&self, row: &str, ran: Ran, texts: &[&str]) {
        ran.refused(row, texts);
        assert!(!self.site.exists(), "{row}: something was written");
    }

    #[track_caller]
    fn signed_by(&self, row: &str, ran: &Ran, key_id: &str) {
        assert_eq!(ran.code, 0, "{row}: {ran:#?}");
        assert_eq!(self.embedded().0, key_id, "{row}");
        assert!(ran.stdout.contains(&format!("signed by {key_id}")), "{row}: {ran:#?}");
    }
}

/// GnuPG in a home of its own, which needs no agent for public keys.
fn gpg(home: &Path) -> Command {
    let mut command = Command::new("gpg");
    command.env("GNUPGHOME", home).env("LC_ALL", "C");
    command.args(["--batch", "--no-tty", "--no-autostart", "--trust-model", "always", "--status-fd", "1"]);
    command
}

/// The rows of the keys' README: name, whether it is taken, primary key id, fingerprint.
pub(crate) fn rows() -> Vec<(String, bool, String, String)> {
    let text = fs::read_to_string(testdata("keys/README.md")).unwrap();
    let cell = |text: &str| text.trim().trim_matches('`').to_owned();
    let mut rows = Vec::new();
    for line in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').collect();
        let [name, taken, _, key_id, fingerprint, _] = cells.as_slice() else { panic!("{line}") };
        let taken = match taken.trim() {
            "yes" => true,
            "no" => false,
            other => panic!("{other}"),
        };
        rows.push((cell(name), taken, cell(key_id), cell(fingerprint)));
    }
    rows
}

/// Has GnuPG verify every signature of a registry under the key that its document embeds. Gives its status lines.
#[track_caller]
fn verify_with_gpg(case: &Case) -> String {
    let home = case.root.path().join("gnupg");
    fs::create_dir(&home).unwrap();
    fs::set_permissions(&home, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let (_, armor) = case.embedded();
    let public = write(&home, "public.asc", armor);
    let packets = run(gpg(&home).arg("--list-packets").arg(&public)).succeeds().stdout;
    assert!(!packets.contains("secret"), "a secret key is published: {packets}");
    run(gpg(&home).arg("--import").arg(public)).succeeds();
    let files = tree(&case.site);
    let signatures = files.keys().filter(|name| Path::new(name).extension() == Some("sig".as_ref()));
    let verified = signatures.map(|signature| {
        // FILE.KEYID.sig is a signature of FILE.
        let signed = Path::new(signature).with_extension("").with_extension("");
        run(gpg(&home).arg("--verify").arg(case.site.join(signature)).arg(case.site.join(signed)))
            .succeeds()
            .stdout
    });
    let verified: Vec<String> = verified.collect();
    assert_eq!(verified.len(), 2, "SHA256SUMS and the record");
    verified.concat()
}

#[test]
fn keys_that_are_taken_sign_and_gnupg_agrees() {
    let gnupg = require_program("gpg");
    let mut count = 0;
    for (name, _, key_id, fingerprint) in rows().into_iter().filter(|(_, taken, ..)| *taken) {
        let case = Case::new();
        let mut command = case.publish_with(key(&name));
        let passphrase = key(&name.replace(".asc", ".txt"));
        if passphrase.exists() {
            command.arg("--signing-passphrase-file").arg(&passphrase);
        }
        let ran = run(&mut command);
        assert!(!ran.stderr.contains("warning"), "{name}: {ran:#?}");
        case.signed_by(&name, &ran, &key_id);
        let (_, armor) = case.embedded();
        assert!(armor.starts_with("-----BEGIN PGP PUBLIC KEY BLOCK-----\n"), "{name}: {armor}");
        let signature = format!("_SHA256SUMS.{key_id}.sig");
        assert_eq!(tree(&case.site).keys().filter(|key| key.ends_with(&signature)).count(), 1, "{name}");
        if gnupg {
            let status = verify_with_gpg(&case);
            assert!(status.contains("[GNUPG:] GOODSIG "), "{name}: {status}");
            let valid = status.lines().find(|line| line.starts_with("[GNUPG:] VALIDSIG ")).unwrap();
            assert!(valid.ends_with(&fingerprint), "{name}: the primary key's fingerprint ends {valid}");
        }
        count += 1;
    }
    assert_eq!(count, 12, "the keys' README has other rows than this test knows");
}

#[test]
fn the_newest_of_several_subkeys_signs() {
    if !require_program("gpg") {
        return;
    }
    for (name, subkey) in [
        ("two-signing-subkeys.asc", "756EC18A550BE680"),
        ("ed25519-subkey.asc", "D3F021945B9B4E89"),
        ("rsa-subkey-offline-primary.asc", "ED4FAB7FC7354B18"),
    ] {
        let case = Case::new();
        run(&mut case.publish_with(key(name))).succeeds();
        let status = verify_with_gpg(&case);
        assert!(status.contains(&format!("GOODSIG {subkey} ")), "{name}: {status}");
    }
}

#[test]
fn keys_that_are_refused() {
    let rules = "RSA of 2048 bits or more, Ed25519 (EdDSA), or ECDSA on NIST P-256, P-384 or P-521";
    let expected: &[(&str, &[&str])] = &[
        ("public-only.asc", &["only the public half", "10921DE49C52B149", "--export-secret-keys"]),
        ("expired.asc", &["the signing key has expired", "expired on 2020-01-31", "--quick-set-expire"]),
        ("revoked.asc", &["the signing key is revoked", "0C732BFE74F7104D", "sign with another key"]),
        ("rsa1024.asc", &["RSA of 1024 bits", rules]),
        ("dsa2048.asc", &["found:    DSA\n", rules]),
        ("secp256k1.asc", &["ECDSA on the curve", "1.3.132.0.10", rules]),
        ("cv25519-encrypt-only.asc", &["no key that may sign", "not for signing", "--quick-add-key"]),
        ("two-keys.asc", &["more than one key", "76DBFFCA422D8834, 6D1BFE8E16BA7AC4", "exactly one"]),
        ("subkey-revoked.asc", &["the signing subkey is revoked", "995BD5D5AB159E9D"]),
        ("subkey-expired.asc", &["the signing subkey 26E5DDB7139D59B4 has expired", "2020-01-31"]),
        ("v6.asc", &["an OpenPGP version 6 key", "version 4", "GnuPG"]),
        ("v4-ed25519-alg27.asc", &["algorithm 27", "Terraform 1.12 or OpenTofu 1.11", rules]),
        ("no-userid.asc", &["the signing key has no user id", "--export-secret-keys"]),
    ];
    for (name, ..) in rows().into_iter().filter(|(_, taken, ..)| !*taken) {
        let Some((_, texts)) = expected.iter().find(|(known, _)| *known == name) else {
            panic!("{name} is not known to this test");
        };
        let case = Case::new();
        let path = key(&name);
        case.refused(&name, run(&mut case.publish_with(&path)), texts);
        case.refused(&name, run(&mut case.publish_with(&path)), &[&format!("{}: ", path.display())]);
        let text = fs::read_to_string(&path).unwrap();
        let ran = run(case.publish().env("TFREG_SIGNING_KEY", text));
        case.refused(&name, ran, &["error: TFREG_SIGNING_KEY: "]);
    }
    assert_eq!(expected.len(), rows().iter().filter(|(_, taken, ..)| !*taken).count());
}

#[test]
fn a_key_whose_secret_is_elsewhere() {
    if !require_program("gpg") || !require_program("gpgconf") {
        return;
    }
    // What signs in this key is the primary key, and an export of the subkeys leaves a stub of that.
    let case = Case::new();
    let gnupg = |arguments: &[&str]| {
        let mut command = Command::new("gpg");
        command.env("GNUPGHOME", case.root.path()).args(["--batch", "--no-tty", "--quiet"]).args(arguments);
        run(&mut command).succeeds()
    };
    gnupg(&["--import", key("encryption-too.asc").to_str().unwrap()]);
    let stub = gnupg(&["--armor", "--export-secret-subkeys"]).stdout;
    run(Command::new("gpgconf").env("GNUPGHOME", case.root.path()).args(["--kill", "all"])).succeeds();
    let ran = run(case.publish().env("TFREG_SIGNING_KEY", stub));
    case.refused("stub", ran, &["not in the file", "ED1716D238F2984C", "offline or on a card"]);
}

#[test]
fn passphrases() {
    for (name, key_id) in
        [("ed25519-passphrase", "77E0F3ABD489F715"), ("rsa3072-passphrase", "AB1AB7708108A86E")]
    {
        let asc = key(&format!("{name}.asc"));
        let passphrase = fs::read_to_string(key(&format!("{name}.txt"))).unwrap().trim_end().to_owned();
        for (row, text, taken) in [
            ("bare", passphrase.clone(), true),
            ("with a line end", format!("{passphrase}\n"), true),
            ("with a line end of Windows", format!("{passphrase}\r\n"), true),
            ("with two line ends", format!("{passphrase}\n\n"), false),
            ("with a space", format!("{passphrase} "), false),
            ("another", "another passphrase".to_owned(), false),
        ] {
            // The usual number of rounds takes a second; that the right one opens it is seen elsewhere.
            if name == "rsa3072-passphrase" && row != "another" {
                continue;
            }
            let row = format!("{name}, {row}");
            let case = Case::new();
            let file = write(case.root.path(), "passphrase", &text);
            let mut from_file = case.publish_with(&asc);
            from_file.arg("--signing-passphrase-file").arg(file);
            let mut from_variable = case.publish_with(&asc);
            from_variable.env("TFREG_SIGNING_PASSPHRASE", &text);
            for command in [&mut from_file, &mut from_variable] {
                let ran = run(command);
                if taken {
                    let nothing_to_do = ran.stdout.contains("Already published");
                    assert!(
                        ran.code == 0 && (nothing_to_do || ran.stdout.contains(key_id)),
                        "{row}: {ran:#?}"
                    );
                    assert_eq!(case.embedded().0, key_id, "{row}");
                } else {
                    case.refused(
                        &row,
                        ran,
                        &["the signing key cannot be unlocked", key_id, "check the passphrase"],
                    );
                }
            }
        }
        let case = Case::new();
        for (row, variable) in [("missing", None), ("empty variable", Some(""))] {
            let mut command = case.publish_with(&asc);
            command.envs(variable.map(|value| ("TFREG_SIGNING_PASSPHRASE", value)));
            let texts = [
                "the signing key is locked",
                key_id,
                "--signing-passphrase-file",
                "TFREG_SIGNING_PASSPHRASE",
            ];
            case.refused(row, run(&mut command), &texts);
        }
    }
}

#[test]
fn the_file_wins_over_the_variable() {
    let case = Case::new();
    let mut command = case.publish_with(key("ed25519-passphrase.asc"));
    command.arg("--signing-passphrase-file").arg(key("ed25519-passphrase.txt"));
    command.env("TFREG_SIGNING_PASSPHRASE", "another").env("TFREG_SIGNING_KEY", "another");
    case.signed_by("both", &run(&mut command), "77E0F3ABD489F715");
}

#[test]
fn a_passphrase_that_is_not_needed_does_no_harm() {
    let case = Case::new();
    let mut command = case.publish_with(key("ed25519.asc"));
    case.signed_by("p", &run(command.env("TFREG_SIGNING_PASSPHRASE", "another")), "A7F2BC5B6E845A69");
}

#[test]
fn keys_as_pipelines_store_them() {
    let text = fs::read_to_string(key("ed25519.asc")).unwrap();
    let without = |at: usize| -> String {
        text.split_inclusive('\n').enumerate().filter(|(n, _)| *n != at).map(|(_, line)| line).collect()
    };
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.len() - 1;
    for (row, value) in [
        ("as it is", text.clone()),
        ("without the last line end", text.trim_end().to_owned()),
        ("with line ends of Windows", text.replace('\n', "\r\n")),
        ("with empty lines around", format!("\n\n{text}\n\n")),
        ("with spaces for line ends", text.replace('\n', " ")),
        ("with a text before", format!("sec ed25519 2025-01-01\n{text}")),
        ("backslash-n", text.replace('\n', "\\n")),
        ("backslash-n and a line end", text.trim_end().replace('\n', "\\n") + "\n"),
        ("backslash-r, backslash-n, quoted", format!("\"{}\"", text.replace('\n', "\\r\\n"))),
        ("in double quotes", format!("\"{text}\"")),
        ("in single quotes", format!("'{text}'\n")),
        ("indented", format!("    {}\n", text.trim_end().replace('\n', "\n    "))),
        ("with a byte order mark", format!("\u{feff}{text}")),
        ("base64", base64_of(text.as_bytes(), 0)),
        ("base64 in lines", base64_of(text.as_bytes(), 76)),
        ("base64 in lines of Windows", base64_of(text.as_bytes(), 64).replace('\n', "\r\n")),
        (
            "base64 without its padding",
            base64_of(text.as_bytes(), 0).trim_end_matches(['=', '\n']).to_owned(),
        ),
        ("base64 for addresses", base64_of(text.as_bytes(), 0).replace('+', "-").replace('/', "_")),
        ("base64 in quotes", format!("\"{}\"", base64_of(text.as_bytes(), 0).trim_end())),
        ("base64 of base64", base64_of(base64_of(text.as_bytes(), 76).as_bytes(), 76)),
        ("base64 of the binary key", lines[2..last - 1].join("\n")),
        ("base64 of the binary key in one line", lines[2..last - 1].concat()),
        ("the body with its checksum", lines[2..last].join("\n")),
    ] {
        let case = Case::new();
        case.signed_by(row, &run(case.publish().env("TFREG_SIGNING_KEY", &value)), "A7F2BC5B6E845A69");
        let case = Case::new();
        let file = write(case.root.path(), "key", &value);
        case.signed_by(row, &run(&mut case.publish_with(file)), "A7F2BC5B6E845A69");
    }
    for (row, value, texts) in [
        ("without the first line", without(0), &["not an OpenPGP key", "first or last line"][..]),
        ("without the last line", without(last), &["not an OpenPGP key", "first or last line"]),
        ("without a line", without(4), &["not an OpenPGP key", "export the key again"]),
        ("a file's name", "new.asc".to_owned(), &["looks like a file's name", "--signing-key-file FILE"]),
        ("a path", "/secrets/tfreg/key".to_owned(), &["looks like a file's name", "--signing-key-file FILE"]),
        ("no value", "${{ secrets.KEY }}".to_owned(), &["a variable that was not replaced"]),
        (
            "a key for SSH",
            "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\n".to_owned(),
            &["not an OpenPGP key", "an OpenSSH key", "such as GnuPG makes"],
        ),
        (
            "a key in PEM",
            "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n".to_owned(),
            &["not an OpenPGP key", "another kind than OpenPGP (PEM)"],
        ),
        ("a signature", text.replace("PRIVATE KEY BLOCK", "SIGNATURE"), &["a signature or a message"]),
        ("white space", " \n".to_owned(), &["not an OpenPGP key", "found:    nothing"]),
        ("one letter changed", text.replacen("lF", "mF", 1), &["export the key again"]),
    ] {
        let case = Case::new();
        let ran = run(case.publish().env("TFREG_SIGNING_KEY", &value));
        case.refused(row, ran, &[&["error: TFREG_SIGNING_KEY: "], texts].concat());
    }
    let case = Case::new();
    for value in [None, Some("")] {
        let mut command = case.publish();
        command.envs(value.map(|value| ("TFREG_SIGNING_KEY", value)));
        run(&mut command).fails(2, &["no signing key", "--signing-key-file FILE", "TFREG_SIGNING_KEY"]);
        assert!(!case.site.exists());
    }
    let empty = write(case.root.path(), "empty", "");
    case.refused(
        "empty file",
        run(&mut case.publish_with(empty)),
        &["not an OpenPGP key", "found:    nothing"],
    );
}

/// As `base64 -w WIDTH` writes it; 0 for one line.
fn base64_of(bytes: &[u8], width: usize) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    if width == 0 {
        return text + "\n";
    }
    let lines: Vec<_> =
        text.as_bytes().chunks(width).map(|line| std::str::from_utf8(line).unwrap()).collect();
    lines.join("\n") + "\n"
}

/// Windows writes files so: `gpg … > key.asc` in PowerShell.
#[test]
fn keys_in_utf_16_are_read() {
    let text = fs::read_to_string(key("ed25519.asc")).unwrap().replace('\n', "\r\n");
    let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    for (row, bytes) in [
        ("little", [&b"\xff\xfe"[..], &little].concat()),
        ("big", [&b"\xfe\xff"[..], &big].concat()),
        ("little, without a mark", little.clone()),
        ("big, without a mark", big),
        ("base64 of it", base64_of(&little, 76).into_bytes()),
    ] {
        let case = Case::new();
        let file = write(case.root.path(), "key", &bytes);
        case.signed_by(row, &run(&mut case.publish_with(&file)), "A7F2BC5B6E845A69");
        let shown = run(tfreg().arg("key").arg(&file)).succeeds();
        assert!(shown.stdout.contains("A7F2BC5B6E845A69"), "{row}: {shown:#?}");
        let public = run(tfreg().args(["key", "--public"]).arg(&file)).succeeds();
        assert!(public.stdout.starts_with("-----BEGIN PGP PUBLIC KEY BLOCK-----\n"), "{row}");
    }
}

/// Keys that are named to resign are read as the signing key is.
#[test]
fn other_keys_are_read_likewise() {
    let case = Case::new();
    run(&mut case.publish_with(key("ed25519.asc"))).succeeds();
    let text = fs::read(key("ed25519.asc")).unwrap();
    let old = write(case.root.path(), "old", base64_of(&text, 76));
    let mut resign = tfreg();
    resign.arg("resign").arg(&case.site).arg("acme/sample").arg("--trust-key").arg(&old);
    resign.arg("--signing-key-file").arg(key("rsa3072.asc"));
    run(&mut resign).succeeds();
    let new = write(case.root.path(), "new", base64_of(&fs::read(key("rsa3072.asc")).unwrap(), 0));
    let mut refresh = tfreg();
    refresh.arg("resign").arg(&case.site).args(["acme/sample", "--refresh-key", "--key"]).arg(new);
    run(&mut refresh).succeeds();
}

#[test]
fn what_is_odd_about_a_passphrase_is_said() {
    let passphrase = fs::read_to_string(key("ed25519-passphrase.txt")).unwrap().trim_end().to_owned();
    let utf16: Vec<u8> =
        format!("\u{feff}{passphrase}\r\n").encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (bytes, said) in [
        (format!("\u{feff}{passphrase}").into_bytes(), "a byte order mark"),
        (utf16, "it is UTF-16"),
        (format!("\"{passphrase}\"\n").into_bytes(), "it is in quotes"),
        (format!("{passphrase} \n").into_bytes(), "white space at an end"),
        (format!("{passphrase}\\n").into_bytes(), "ends with backslash-n"),
        (b"$PASSPHRASE".to_vec(), "begins with $"),
        (b"\n".to_vec(), "it is empty"),
    ] {
        let case = Case::new();
        let file = write(case.root.path(), "passphrase", &bytes);
        let mut command = case.publish_with(key("ed25519-passphrase.asc"));
        let ran = run(command.arg("--signing-passphrase-file").arg(file));
        assert!(!ran.stderr.contains(&passphrase), "{ran:#?}");
        case.refused(said, ran, &["the signing key cannot be unlocked", said]);
    }
}

#[test]
fn binary_keys_are_read() {
    if !require_program("gpg") {
        return;
    }
    let case = Case::new();
    let binary = case.root.path().join("key.gpg");
    run(gpg(case.root.path()).arg("--output").arg(&binary).arg("--dearmor").arg(key("ed25519.asc")))
        .succeeds();
    case.signed_by("binary", &run(&mut case.publish_with(binary)), "A7F2BC5B6E845A69");
}

#[test]
fn a_key_that_expires_soon_is_warned_of() {
    if !require_program("gpg") || !require_program("gpgconf") || !require_program("bash") {
        return;
    }
    for (days, warned) in [("2", true), ("89", true), ("92", false)] {
        let case = Case::new();
        let made =
            run(Command::new(testdata("make-keys.sh")).arg("expiring").arg(case.root.path()).arg(days));
        let key_id = made.succeeds().stdout.trim().to_owned();
        let asc = case.root.path().join("expiring-soon.asc");
        let ran = run(&mut case.publish_with(&asc));
        assert_eq!(ran.stderr.contains("warning: the signing key"), warned, "{days}: {ran:#?}");
        let days_left = format!("({} days from now)", days.parse::<u32>().unwrap() - 1);
        let texts = [key_id.as_str(), &days_left, "extend it before clients refuse its signatures"];
        assert!(!warned || texts.iter().all(|text| ran.stderr.contains(text)), "{days}: {ran:#?}");
        case.signed_by(days, &ran, &key_id);
        let quiet = run(case.publish_with(&asc).arg("--quiet")).succeeds();
        assert_eq!(quiet.stderr, "", "{days}");
    }
}
