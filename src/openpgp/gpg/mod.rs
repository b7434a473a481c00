//! A signer whose secret stays in GnuPG: in its keyring, on a smart card, or behind a forwarded agent.
//!
//! The program `gpg` is run, for GnuPG's library interface (GPGME) runs it too. The user's `gpg.conf` is not read: a
//! notation, an expiry or a second key in it would become part of the signature.

mod failure;
mod process;

use std::ffi::OsString;
use std::fmt;
use std::io::Write as _;
use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use sequoia_openpgp as openpgp;

use openpgp::Cert;
use openpgp::serialize::SerializeInto as _;
use openpgp::types::HashAlgorithm;
use tempfile::TempPath;
use zeroize::Zeroizing;

use super::certificate::PublishableKey;
use super::key_check::{Held, KeyCheck, KeyUse, public_half};
use super::signature::hash_for;
use super::signer::{Holder, Signer};
use super::signing_key::Secret;
use crate::error::{Error, Refusal, Result};
use failure::{Asked, Failure};
use process::Gpg;

/// A key by its name in GnuPG: `FINGERPRINT`, or `FINGERPRINT!` for exactly this primary key or subkey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpgKey {
    fingerprint: openpgp::Fingerprint,
    exactly: bool,
}

impl FromStr for GpgKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, exactly) = text.strip_suffix('!').map_or((text, false), |name| (name, true));
        let digits: String = name.chars().filter(|c| !c.is_whitespace()).collect();
        let is_whole = digits.len() == 40 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        match digits.parse::<openpgp::Fingerprint>() {
            Ok(fingerprint) if is_whole => Ok(Self { fingerprint, exactly }),
            _ => Err(format!(
                "{name:?} is no fingerprint: expected its 40 hex digits, as `gpg --list-secret-keys` shows them, and a ! behind \
                 them for exactly this subkey"
            )),
        }
    }
}

impl GpgKey {
    /// The name that GnuPG takes.
    fn name(&self) -> String {
        format!("{:X}{}", self.fingerprint, if self.exactly { "!" } else { "" })
    }
}

impl fmt::Display for GpgKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gpg:{}", self.name())
    }
}

/// How GnuPG is run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The program.
    pub program: OsString,
    /// The terminal on which a passphrase may be asked for, if `GPG_TTY` does not name it.
    pub terminal: Option<OsString>,
    /// How long a signature may take; a person may have to fetch a card.
    pub patience: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { program: "gpg".into(), terminal: None, patience: Duration::from_mins(15) }
    }
}

/// The public half of a key from a file, and the file's name for messages.
#[derive(Debug)]
pub struct CertificateFile {
    /// The name.
    pub name: String,
    /// The contents.
    pub text: Secret,
}

/// A key whose secret GnuPG has.
pub struct GpgSigner {
    gpg: Gpg,
    key: GpgKey,
    public: PublishableKey,
    hash: HashAlgorithm,
    passphrase: Option<Secret>,
    /// The number of the card that holds the secret, if one does.
    card: Option<String>,
}

impl GpgSigner {
    /// Finds a key, and checks that clients can verify its signatures. The public half is in `certificate`, or else in
    /// GnuPG's keyring. With `passphrase` GnuPG asks nobody.
    ///
    /// # Errors
    /// There is no GnuPG or no such key, or it is not fit to sign with.
    pub async fn open(
        key: GpgKey,
        certificate: Option<CertificateFile>,
        passphrase: Option<Secret>,
        settings: Settings,
    ) -> Result<Self> {
        if passphrase.as_ref().is_some_and(|passphrase| passphrase.bytes().contains(&b'\n')) {
            return Err(Refusal::new(&key, "GnuPG takes a passphrase of one line")
                .found("a passphrase of several lines (not repeated here)")
                .expected("one line")
                .remedy(
                    "check whether the passphrase is the one of this key; one line end behind it is ignored",
                )
                .into());
        }
        let mut gpg = Gpg::new(settings);
        let (cert, source) = match &certificate {
            Some(file) => {
                let cert = public_half(&file.name, &file.text)?;
                if !cert.keys().any(|part| part.key().fingerprint() == key.fingerprint) {
                    return Err(other_certificate(&key, &file.name, &cert));
                }
                gpg.use_keyring(keyring(&cert)?);
                (cert, file.name.clone())
            }
            None => (exported(&gpg, &key).await?, key.to_string()),
        };
        let listed = secret_keys(&gpg, &key).await?;
        let held = Held {
            holder: Holder::GnuPg,
            reference: key.to_string(),
            file: certificate.map(|file| file.name),
            keys: usable_keys(&listed),
            exactly: key.exactly.then(|| key.fingerprint.clone()),
        };
        let check = KeyCheck { source: &source, now: SystemTime::now(), key_use: KeyUse::Held(&held) };
        let candidate = check.candidate(&cert)?;
        let hash = hash_for(candidate.signer.key());
        let fingerprint = candidate.signer.key().fingerprint();
        let card =
            listed.into_iter().find(|secret| secret.fingerprint == fingerprint).and_then(SecretKey::card);
        Ok(Self { gpg, key, public: PublishableKey::new(candidate), hash, passphrase, card })
    }
}

#[async_trait]
impl Signer for GpgSigner {
    fn public_key(&self) -> &PublishableKey {
        &self.public
    }

    async fn sign(&self, document: &Bytes) -> Result<Vec<u8>> {
        let hash = match self.hash {
            HashAlgorithm::SHA256 => "SHA256",
            HashAlgorithm::SHA384 => "SHA384",
            _ => "SHA512",
        };
        // Without the user's options these are the defaults; a system-wide configuration may say otherwise.
        let mut arguments: Vec<OsString> =
            ["--no-armor", "--no-textmode", "--default-sig-expire", "0", "--digest-algo", hash]
                .map(OsString::from)
                .to_vec();
        let mut input = Zeroizing::new(Vec::with_capacity(document.len() + 1024));
        if let Some(passphrase) = &self.passphrase {
            arguments.extend(["--pinentry-mode", "loopback", "--passphrase-fd", "0"].map(OsString::from));
            // The document follows the line of the passphrase.
            input.extend_from_slice(passphrase.bytes());
            input.push(b'\n');
        }
        input.extend_from_slice(document);
        arguments.push("--local-user".into());
        arguments.push(format!("{}!", self.public.signing_key()).into());
        arguments.extend(["--output", "-", "--detach-sign"].map(OsString::from));
        let answer = self.gpg.run(&arguments, &input).await;
        let asked = Asked { has_passphrase: self.passphrase.is_some(), card: self.card.as_deref() };
        answer.map_err(|failure| failure.refusal(&self.key, asked).into())
    }

    fn holder(&self) -> Option<Holder> {
        Some(Holder::GnuPg)
    }
}

fn other_certificate(key: &GpgKey, file: &str, cert: &Cert) -> Error {
    Refusal::new(file, "the certificate is of another key than the signer")
        .found(format!("key {:X}", cert.fingerprint()))
        .expected(format!("the public half of {key}"))
        .remedy(format!(
            "export it where the key is: `gpg --armor --export {:X} > {}`",
            key.fingerprint,
            crate::words::quoted(file)
        ))
        .into()
}

/// A keyring for GnuPG that holds one certificate.
fn keyring(cert: &Cert) -> Result<TempPath> {
    let failed = |source| Error::Io { context: "cannot write a keyring for GnuPG".to_owned(), source };
    let bytes = cert.to_vec().map_err(|error| failed(std::io::Error::other(error)))?;
    let mut file = tempfile::Builder::new().prefix("tfreg-").suffix(".gpg").tempfile().map_err(failed)?;
    file.write_all(&bytes).and_then(|()| file.flush()).map_err(failed)?;
    Ok(file.into_temp_path())
}

/// The public half of a key in GnuPG's keyring.
async fn exported(gpg: &Gpg, key: &GpgKey) -> Result<Cert> {
    let arguments = ["--export".into(), format!("{:X}", key.fingerprint).into()];
    let exported =
        gpg.run(&arguments, &[]).await.map_err(|failure| failure.refusal(key, Asked::default()))?;
    if exported.is_empty() {
        return Err(Failure::unknown().refusal(key, Asked::default()).into());
    }
    Ok(public_half(&key.to_string(), &Secret::new(exported))?)
}

/// A secret key that GnuPG lists.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SecretKey {
    fingerprint: openpgp::Fingerprint,
    place: Place,
}

/// Where GnuPG has the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// Elsewhere, or not told.
    Unknown,
    /// In its keyring.
    Keyring,
    /// On the card with this number.
    Card(String),
}

impl SecretKey {
    fn card(self) -> Option<String> {
        match self.place {
            Place::Card(number) => Some(number),
            Place::Unknown | Place::Keyring => None,
        }
    }
}

/// The secret keys of the certificate.
async fn secret_keys(gpg: &Gpg, key: &GpgKey) -> Result<Vec<SecretKey>> {
    let name = format!("{:X}", key.fingerprint);
    let arguments = ["--with-colons", "--fixed-list-mode", "--list-secret-keys", &name].map(OsString::from);
    let listed = gpg.run(&arguments, &[]).await.map_err(|failure| failure.refusal(key, Asked::default()))?;
    Ok(parse_listing(&String::from_utf8_lossy(&listed)))
}

/// The keys whose secrets GnuPG can use.
///
/// A forwarded agent does not tell which of its keys are stubs only, so if none is known to be usable, all may be: the
/// signature will tell.
fn usable_keys(listed: &[SecretKey]) -> Vec<openpgp::Fingerprint> {
    let is_known = listed.iter().any(|key| key.place != Place::Unknown);
    let usable = listed.iter().filter(|key| !is_known || key.place != Place::Unknown);
    usable.map(|key| key.fingerprint.clone()).collect()
}

/// Reads a listing with colons.
///
/// Source: the file DETAILS of GnuPG: field 15 of `sec` and `ssb` is `#` for a stub, `+` for a secret, or the number of a
/// card; a record `fpr` follows.
fn parse_listing(text: &str) -> Vec<SecretKey> {
    let mut listed = Vec::new();
    let mut secret: Option<Place> = None;
    for line in text.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        match fields.first() {
            Some(&"sec" | &"ssb") => {
                secret = Some(match fields.get(14).copied().unwrap_or_default() {
                    "#" | "" => Place::Unknown,
                    "+" => Place::Keyring,
                    number => Place::Card(number.to_owned()),
                });
            }
            Some(&"fpr") => {
                let fingerprint = fields.get(9).and_then(|text| text.parse::<openpgp::Fingerprint>().ok());
                if let (Some(place), Some(fingerprint)) = (secret.take(), fingerprint) {
                    listed.push(SecretKey { fingerprint, place });
                }
            }
            _ => {}
        }
    }
    listed
}

/// The name of the terminal, for programs that have none of their own: GnuPG's agent starts the prompt for a passphrase.
#[must_use]
pub fn terminal() -> Option<OsString> {
    use std::os::unix::ffi::OsStringExt as _;
    let named = |fd: &dyn std::os::fd::AsFd| rustix::termios::ttyname(fd.as_fd(), Vec::new()).ok();
    let name = named(&std::io::stdin()).or_else(|| named(&std::io::stderr()))?;
    Some(OsString::from_vec(name.into_bytes())).filter(|name| Path::new(name).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINGERPRINT: &str = "4E8911C0E0EC692102243A48A7F2BC5B6E845A69";

    #[test]
    fn keys_are_named_by_whole_fingerprints() {
        let spaced = "4e89 11c0 e0ec 6921 0224 3a48 a7f2 bc5b 6e84 5a69";
        for (text, exactly) in [(FINGERPRINT, false), (spaced, false), (&format!("{FINGERPRINT}!"), true)] {
            let key: GpgKey = text.parse().unwrap();
            assert_eq!(key.exactly, exactly, "{text}");
            assert_eq!(key.to_string(), format!("gpg:{FINGERPRINT}{}", if exactly { "!" } else { "" }));
        }
        for bad in [
            "",
            "!",
            "A7F2BC5B6E845A69",
            "me@example.com",
            "--yes",
            &FINGERPRINT.repeat(2),
            &format!("0x{FINGERPRINT}"),
        ] {
            assert!(bad.parse::<GpgKey>().is_err(), "{bad}");
        }
    }

    /// A program in place of GnuPG.
    fn program(script: &str, patience: Duration) -> (tempfile::TempDir, Settings) {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("gpg");
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        (folder, Settings { program: program.into(), terminal: None, patience })
    }

    #[tokio::test]
    async fn a_program_that_does_not_answer_is_ended() {
        let (_folder, settings) = program("#!/bin/sh\nexec sleep 600\n", Duration::from_millis(50));
        let key: GpgKey = FINGERPRINT.parse().unwrap();
        let refused = GpgSigner::open(key, None, None, settings).await.err().unwrap().to_string();
        assert!(refused.contains("GnuPG does not answer") && refused.contains("gpgconf --kill"), "{refused}");
    }

    #[tokio::test]
    async fn a_program_that_is_no_gnupg_is_refused() {
        let key: GpgKey = FINGERPRINT.parse().unwrap();
        for (script, said) in [
            ("#!/bin/sh\necho hello\n", "not an OpenPGP key"),
            ("#!/bin/sh\nexit 1\n", "gpg ended without a message"),
            ("#!/bin/sh\n", "does not have this secret key"),
        ] {
            let (_folder, settings) = program(script, Duration::from_mins(1));
            let refused = GpgSigner::open(key.clone(), None, None, settings).await.err().unwrap().to_string();
            assert!(refused.contains(said), "{script}: {refused}");
        }
    }

    #[test]
    fn stubs_are_told_from_secrets_and_cards() {
        let line = |kind: &str, place: &str, fingerprint: &str| {
            format!(
                "{kind}:u:255:22:0:1:::u:::scSC:::{place}::ed25519:::0:\nfpr:::::::::{fingerprint}:\ngrp:::::::::00:\n"
            )
        };
        let other = FINGERPRINT.replace("4E", "5E");
        let text = line("sec", "#", FINGERPRINT) + &line("ssb", "D2760001240100000006", &other);
        let listed = parse_listing(&text);
        assert_eq!(listed.len(), 2);
        assert_eq!(usable_keys(&listed), [other.parse().unwrap()]);
        assert_eq!(listed[1].clone().card().as_deref(), Some("D2760001240100000006"));
        assert_eq!(usable_keys(&parse_listing(&line("sec", "+", FINGERPRINT))).len(), 1);
        // Of a forwarded agent's keys none is known to be usable, and all may be.
        assert_eq!(usable_keys(&listed[..1]), [FINGERPRINT.parse().unwrap()]);
        assert_eq!(parse_listing("fpr:::::::::\n::\n"), []);
    }
}
