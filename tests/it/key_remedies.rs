//! What a refusal of a key tells its owner to do, done with real GnuPG: after it the refusal is gone.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::archive::write;
use crate::support::clients::require_program;
use crate::support::{Ran, folder, run, tarball, tfreg};

/// A GnuPG home, a key in it as its owner made it, and a `gpg` that asks nothing, since nobody is there to answer.
struct Owner {
    root: TempDir,
}

impl Owner {
    fn new() -> Option<Self> {
        if !require_program("gpg") || !require_program("gpgconf") || !require_program("sh") {
            return None;
        }
        let root = folder();
        let home = root.path().join("home");
        fs::create_dir(&home).unwrap();
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
        let owner = Self { root };
        let real = run(Command::new("sh").args(["-c", "command -v gpg"])).succeeds().stdout;
        let script = format!(
            "#!/bin/sh\nexec {} --batch --quiet --no-tty --pinentry-mode loopback --passphrase '' \"$@\"\n",
            real.trim()
        );
        let program = write(owner.root.path(), "gpg", script);
        fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
        Some(owner)
    }

    /// A line of a shell, where `gpg` is the owner's.
    #[track_caller]
    fn does(&self, line: &str) -> Ran {
        let path = format!("{}:{}", self.root.path().display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).env("PATH", path).env("GNUPGHOME", self.root.path().join("home"));
        run(shell.env("LC_ALL", "C").current_dir(self.root.path())).succeeds()
    }

    /// The fingerprints of the only key: the primary's, then its subkeys'.
    fn fingerprints(&self) -> Vec<String> {
        let listed = self.does("gpg --with-colons --list-keys").stdout;
        let of = |line: &str| line.strip_prefix("fpr:").map(|rest| rest.trim_matches(':').to_owned());
        listed.lines().filter_map(of).collect()
    }

    fn export(&self, line: &str) -> PathBuf {
        let text = self.does(line).stdout;
        write(self.root.path(), "key.asc", text)
    }

    fn publish(&self, key: &Path) -> Ran {
        let mut command = tfreg();
        command.arg("publish").arg("--to").arg(self.root.path().join("site")).args(["--namespace", "acme"]);
        command.arg("--signing-key-file").arg(key).arg(tarball("release-1.2.0", "linux-amd64"));
        run(&mut command)
    }

    /// The key is refused, saying `texts`; every command of the remedy is carried out, the last of which exports it; then it
    /// signs.
    #[track_caller]
    fn is_cured(&self, row: &str, export: &str, texts: &[&str]) {
        let refused = self.publish(&self.export(export)).refused(row, texts);
        let remedy = refused.stderr.split("remedy:").nth(1).unwrap();
        let mut commands: Vec<&str> = remedy.split('`').skip(1).step_by(2).collect();
        let export = commands.pop().unwrap_or_else(|| panic!("{row}: no command in {remedy}"));
        assert!(export.contains("--export-secret-"), "{row}: {remedy}");
        assert!(!remedy.contains("FINGERPRINT") && !remedy.contains("KEYID"), "{row}: {remedy}");
        for command in commands {
            self.does(command);
        }
        let cured = self.publish(&self.export(export));
        assert_eq!(cured.code, 0, "{row}: after {remedy}: {cured:#?}");
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let home = self.root.path().join("home");
        drop(Command::new("gpgconf").env("GNUPGHOME", home).args(["--kill", "all"]).status());
    }
}

const LONG_AGO: &str = "gpg --faked-system-time 20200101T000000";
const EXPORT: &str = "gpg --armor --export-secret-keys";

#[test]
fn expired_keys_are_extended() {
    for (row, usage, expiry, subkey, texts) in [
        ("primary", "sign", "2020-02-01", None, &["the signing key has expired", "2020-02-01"][..]),
        ("subkey", "cert", "never", Some("2020-02-01"), &["the signing subkey ", " has expired"]),
        ("both", "cert", "2020-03-01", Some("2020-02-01"), &["the signing key has expired", " and `gpg"]),
    ] {
        let Some(owner) = Owner::new() else { return };
        owner.does(&format!("{LONG_AGO} --quick-generate-key worthless ed25519 {usage} {expiry}"));
        let fingerprint = owner.fingerprints().remove(0);
        if let Some(expiry) = subkey {
            owner.does(&format!("{LONG_AGO} --quick-add-key {fingerprint} ed25519 sign {expiry}"));
        }
        let fingerprints = owner.fingerprints();
        let named: Vec<&str> = fingerprints.iter().map(String::as_str).collect();
        owner.is_cured(row, EXPORT, &[texts, &named, &["--quick-set-expire"]].concat());
    }
}

#[test]
fn keys_that_cannot_sign_get_a_subkey() {
    let Some(owner) = Owner::new() else { return };
    owner.does("gpg --quick-generate-key worthless ed25519 cert never");
    let fingerprint = owner.fingerprints().remove(0);
    owner.is_cured("no sign flag", EXPORT, &["no key that may sign", "--quick-add-key", &fingerprint]);
}

#[test]
fn keys_by_sha_1_are_renewed() {
    let Some(owner) = Owner::new() else { return };
    owner.does("gpg --cert-digest-algo SHA1 --quick-generate-key worthless rsa2048 sign never");
    owner.is_cured("primary", EXPORT, &["self-signature is too weak"]);
}

#[test]
fn what_the_export_left_out_is_exported() {
    // What signs is the primary key, and an export of the subkeys leaves a stub of it.
    let Some(owner) = Owner::new() else { return };
    owner.does("gpg --quick-generate-key worthless ed25519 sign never");
    let fingerprint = owner.fingerprints().remove(0);
    owner.does(&format!("gpg --quick-add-key {fingerprint} cv25519 encr never"));
    let stub = "gpg --armor --export-secret-subkeys";
    owner.is_cured("stub", stub, &["not in the file", "offline or on a card", &fingerprint]);
    let public = "gpg --armor --export";
    owner.is_cured("public half", public, &["only the public half", &fingerprint]);
    let nameless = "gpg --armor --export-filter 'keep-uid=uid =~ nobody' --export-secret-keys";
    owner.is_cured("no user id", nameless, &["has no user id", &fingerprint]);
    // A second key in the same home.
    owner.does("gpg --quick-generate-key another ed25519 sign never");
    owner.is_cured("two keys", EXPORT, &["more than one key", &fingerprint]);
}

#[test]
fn keys_of_a_weak_kind_are_made_anew() {
    let Some(owner) = Owner::new() else { return };
    owner.does("gpg --quick-generate-key worthless rsa1024 sign never");
    let refused =
        owner.publish(&owner.export(EXPORT)).refused("weak", &["RSA of 1024 bits", "make another key"]);
    let command = refused.stderr.split('`').nth(1).unwrap();
    owner.does(command);
    let made = owner.does("gpg --with-colons --list-keys NAME").stdout;
    let fingerprint =
        made.lines().find_map(|line| line.strip_prefix("fpr:")).unwrap().trim_matches(':').to_owned();
    assert_eq!(owner.publish(&owner.export(&format!("{EXPORT} {fingerprint}"))).code, 0);
}

#[test]
fn of_a_curve_that_no_client_was_tried_with_nothing_is_claimed() {
    let Some(owner) = Owner::new() else { return };
    owner.does("gpg --quick-generate-key worthless brainpoolP256r1 sign never");
    let key = owner.export("gpg --armor --export");
    let told = run(tfreg().args(["key", "--format", "json"]).arg(&key)).stdout;
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let verdicts: Vec<_> = (0..6).map(|client| &told["clients"][client]["verdict"]).collect();
    assert_eq!(verdicts, ["rejects", "not_known", "not_known", "not_known", "not_known", "not_known"]);
}
