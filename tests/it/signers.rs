//! Keys that stay where they are: in GnuPG, and in AWS KMS. What these sign is what clients take, or it is not published.

mod gnupg;
mod judged;
mod kms;
mod refused;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::archive::write;
use crate::support::clients::{Preview, Terraform, require_program};
use crate::support::{Ran, folder, key, run, tarball, tfreg, tree};

/// A person or machine with GnuPG: a home, a `gpg` in PATH that notes how it is called, and a program that answers the
/// prompt for a passphrase.
struct Owner {
    root: TempDir,
}

/// What every option of it would do to a signature. `OTHER` is the fingerprint of a second key.
const HOSTILE: &str = "armor
textmode
comment hostile
default-sig-expire 1d
sig-notation !hostile@example.com=1
set-notation other@example.com=1
sig-policy-url !https://hostile.example.com/
sig-keyserver-url !https://hostile.example.com/
digest-algo SHA1
local-user OTHER
include-key-block
";

/// Speaks as a pinentry does, and answers as the file `mode` says: `ok`, `wrong`, `cancel`, or `wait`.
const PINENTRY: &str = r#"#!/bin/sh
here=$(dirname "$0")
echo OK ready
while read -r line; do
    echo "$line" >> "$here/asked"
    case $line in
    GETPIN*)
        case $(cat "$here/mode") in
        ok) echo "D hushed"; echo OK ;;
        wrong) echo "D guess"; echo OK ;;
        cancel) echo "ERR 83886179 cancelled" ;;
        wait) : > "$here/waiting"; read -r line; exit 1 ;;
        esac ;;
    CONFIRM*)
        case $(cat "$here/mode") in
        cancel) echo "ERR 83886179 cancelled" ;;
        *) echo OK ;;
        esac ;;
    BYE*) echo OK; exit 0 ;;
    *) echo OK ;;
    esac
done
"#;

impl Owner {
    fn new() -> Option<Self> {
        if !require_program("gpg") || !require_program("gpgconf") || !require_program("sh") {
            return None;
        }
        let owner = Self { root: folder() };
        fs::create_dir(owner.at("home")).unwrap();
        fs::set_permissions(owner.at("home"), fs::Permissions::from_mode(0o700)).unwrap();
        let real = owner.does("command -v gpg").stdout;
        let gpg = "#!/bin/sh\necho \"$@\" >> \"$ROOT/calls\"\nenv >> \"$ROOT/environments\"\n\
                   exec REAL $(cat \"$ROOT/more\" 2> /dev/null) \"$@\"\n";
        let root = owner.root.path().to_str().unwrap();
        let gpg = gpg.replace("$ROOT", root).replace("REAL", real.trim());
        owner.program("gpg", &gpg);
        owner.program("pinentry", PINENTRY);
        owner.answers("ok");
        owner.agent(&format!("pinentry-program {root}/pinentry"));
        Some(owner)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn home(&self) -> PathBuf {
        self.at("home")
    }

    fn site(&self) -> PathBuf {
        self.at("site")
    }

    fn program(&self, name: &str, text: &str) {
        let path = write(self.root.path(), name, text);
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// How the prompt is answered from now on.
    fn answers(&self, mode: &str) {
        fs::write(self.at("mode"), mode).unwrap();
    }

    /// The agent's options from now on; it forgets what it knows.
    fn agent(&self, options: &str) {
        fs::write(self.home().join("gpg-agent.conf"), format!("{options}\n")).unwrap();
        self.forgets();
    }

    fn forgets(&self) {
        drop(self.gpgconf(&["--kill", "gpg-agent"]));
        // It goes on for a moment, and cuts off who asks it then.
        let listed = self.gpgconf(&["--list-dirs", "agent-socket"]).succeeds();
        let socket = PathBuf::from(listed.stdout.trim());
        let deadline = Instant::now() + Duration::from_secs(2);
        while socket.exists() && Instant::now() < deadline {
            sleep(Duration::from_millis(10));
        }
    }

    fn gpgconf(&self, args: &[&str]) -> Ran {
        run(Command::new("gpgconf").env("GNUPGHOME", self.home()).args(args))
    }

    /// A line of a shell, in this home.
    #[track_caller]
    fn does(&self, line: &str) -> Ran {
        let mut shell = Command::new("sh");
        run(shell.args(["-c", line]).env("GNUPGHOME", self.home()).env("LC_ALL", "C")).succeeds()
    }

    /// Options that every `gpg` of tfreg gets behind its back.
    fn meddles(&self, options: &str) {
        fs::write(self.at("more"), options).unwrap();
    }

    /// Makes GnuPG's options those that spoil every signature, by a second key too.
    fn is_hostile(&self) {
        let other = self.imports("rsa3072.asc");
        fs::write(self.home().join("gpg.conf"), HOSTILE.replace("OTHER", &other)).unwrap();
    }

    /// GnuPG as its owner runs it.
    fn gpg(&self, args: &[&str]) -> Ran {
        let mut command = Command::new("gpg");
        command.env("GNUPGHOME", self.home()).env("LC_ALL", "C").stdin(Stdio::null());
        run(command.args(["--batch", "--no-tty", "--no-options", "--trust-model", "always"]).args(args))
    }

    /// A test key, in GnuPG's keyring; gives its fingerprint.
    fn imports(&self, name: &str) -> String {
        self.gpg(&[
            "--pinentry-mode",
            "loopback",
            "--passphrase",
            "",
            "--import",
            key(name).to_str().unwrap(),
        ]);
        let rows = crate::keys::rows();
        rows.into_iter().find(|(row, ..)| row == name).unwrap().3
    }

    /// A new key that certifies and signs, behind the passphrase `hushed`; gives its fingerprint.
    fn locked(&self) -> String {
        let made = ["--pinentry-mode", "loopback", "--passphrase", "hushed", "--quick-generate-key"];
        self.gpg(&[&made[..], &["Acme <releases@example.com>", "ed25519", "sign", "never"]].concat())
            .succeeds();
        self.forgets();
        let listed =
            self.gpg(&["--with-colons", "--list-secret-keys", "releases@example.com"]).succeeds().stdout;
        let fingerprint = listed.lines().find_map(|line| line.strip_prefix("fpr:")).unwrap();
        fingerprint.trim_matches(':').to_owned()
    }

    /// A command of tfreg, with this GnuPG.
    fn tfreg(&self, args: &[&str]) -> Command {
        let path = format!("{}:{}", self.root.path().display(), std::env::var("PATH").unwrap());
        let mut command = tfreg();
        command.args(args).env("PATH", path).env("GNUPGHOME", self.home()).stdin(Stdio::null());
        command.env_remove("GPG_TTY");
        command
    }

    /// `tfreg publish` of one tarball into the site.
    fn publish(&self, args: &[&str]) -> Command {
        let mut command = self.tfreg(&["publish", "--namespace", "acme", "--to"]);
        command.arg(self.site()).args(args).arg(tarball("release-1.2.0", "linux-amd64"));
        command
    }

    fn publish_by(&self, key: &str) -> Command {
        self.publish(&["--signer", &format!("gpg:{key}")])
    }

    /// How often GnuPG was asked for a signature.
    fn signatures(&self) -> usize {
        let calls = fs::read_to_string(self.at("calls")).unwrap_or_default();
        calls.lines().filter(|line| line.contains("--detach-sign")).count()
    }

    /// Refused, and nothing written.
    #[track_caller]
    fn refuses(&self, row: &str, command: &mut Command, texts: &[&str]) -> Ran {
        let ran = run(command).refused(row, texts);
        assert!(!self.site().exists(), "{row}: something was written: {ran:#?}");
        ran
    }

    /// Published, and taken by GnuPG, by `tfreg verify` and by Terraform; then the site is removed.
    #[track_caller]
    fn publishes(&self, row: &str, command: &mut Command) -> Vec<String> {
        let ran = run(command);
        assert_eq!(ran.code, 0, "{row}: {ran:#?}");
        let signers = clients_take(row, &self.site(), &self.at("verifier"));
        fs::remove_dir_all(self.site()).unwrap();
        signers
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let home = self.home();
        drop(Command::new("gpgconf").env("GNUPGHOME", home).args(["--kill", "all"]).status());
    }
}

/// Has real clients take what is published: GnuPG every signature under the embedded key, in a home of its own at
/// `verifier`; Terraform the provider. Gives the fingerprints of the keys that made the signatures.
#[track_caller]
fn clients_take(row: &str, site: &Path, user: &Path) -> Vec<String> {
    drop(fs::remove_dir_all(user));
    fs::create_dir(user).unwrap();
    fs::set_permissions(user, fs::Permissions::from_mode(0o700)).unwrap();
    let gpg = |args: &[&str]| {
        let mut command = Command::new("gpg");
        command.env("GNUPGHOME", user).env("LC_ALL", "C");
        run(command
            .args(["--batch", "--no-tty", "--no-autostart", "--trust-model", "always", "--status-fd", "1"])
            .args(args))
    };
    let document = fs::read(site.join("registry/acme/sample/1.2.0/download/linux/amd64")).unwrap();
    let document: Value = serde_json::from_slice(&document).unwrap();
    let armor = document["signing_keys"]["gpg_public_keys"][0]["ascii_armor"].as_str().unwrap();
    let public = write(user, "public.asc", armor);
    gpg(&["--import", public.to_str().unwrap()]).succeeds();
    let mut signers = Vec::new();
    for name in tree(site).keys().filter(|name| name.ends_with(".sig")) {
        let signature = site.join(name);
        let signed = signature.with_extension("").with_extension("");
        let packets = gpg(&["--list-packets", signature.to_str().unwrap()]).succeeds().stdout;
        assert_eq!(packets.matches(":signature packet:").count(), 1, "{row}: {packets}");
        assert!(packets.contains("version 4") && packets.contains("sigclass 0x00"), "{row}: {packets}");
        for hostile in ["hostile", "sig expires", "other@", "BEGIN PGP"] {
            assert!(!packets.contains(hostile), "{row}: {packets}");
        }
        let verified = gpg(&["--verify", signature.to_str().unwrap(), signed.to_str().unwrap()]);
        assert_eq!(verified.code, 0, "{row}: {verified:#?}");
        let valid = verified.stdout.lines().find_map(|line| line.strip_prefix("[GNUPG:] VALIDSIG "));
        signers.push(valid.unwrap().split(' ').next().unwrap().to_owned());
    }
    assert_eq!(signers.len(), 2, "{row}: SHA256SUMS and the record");
    let ran = run(tfreg().arg("verify").arg(site).arg("acme/sample"));
    assert_eq!(ran.code, 0, "{row}: {ran:#?}");
    if require_program("terraform") {
        let preview = Preview::of(site);
        let init = Terraform::new(&preview, "1.2.0").run(&["init"]);
        assert_eq!(init.code, 0, "{row}: {init:#?}");
    }
    signers
}
