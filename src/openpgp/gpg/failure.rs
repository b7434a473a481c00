//! Why GnuPG did not do what was asked, and what the user can do.

use std::ffi::OsStr;
use std::time::Duration;

use super::GpgKey;
use crate::error::Refusal;

/// A failure: the cause, and GnuPG's words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure {
    cause: Cause,
    said: String,
}

/// What is known of the secret that GnuPG was asked to use.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Asked<'a> {
    /// Whether its passphrase was given to tfreg.
    pub(super) has_passphrase: bool,
    /// The number of the card that it is on.
    pub(super) card: Option<&'a str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    NotInstalled,
    NotStarted,
    Silent,
    NoKey,
    WrongPassphrase,
    Cancelled,
    NoPrompt,
    LoopbackForbidden,
    AgentRestricted,
    NoAgent,
    Card,
    Pin,
    Other,
}

/// Codes of libgpg-error (gpg-error.h): the lower 16 bits are the error, bits 24 to 30 the program that reported it.
mod code {
    pub(super) const NO_PUBKEY: u32 = 9;
    pub(super) const BAD_PASSPHRASE: u32 = 11;
    pub(super) const NO_SECKEY: u32 = 17;
    pub(super) const NOT_SUPPORTED: u32 = 60;
    pub(super) const TIMEOUT: u32 = 62;
    pub(super) const NO_AGENT: u32 = 77;
    pub(super) const AGENT: u32 = 78;
    pub(super) const NO_PIN_ENTRY: u32 = 85;
    pub(super) const PIN_ENTRY: u32 = 86;
    pub(super) const BAD_PIN: u32 = 87;
    pub(super) const WRONG_CARD: u32 = 91;
    pub(super) const CANCELED: u32 = 99;
    pub(super) const CARD: u32 = 108;
    pub(super) const CARD_NOT_PRESENT: u32 = 112;
    pub(super) const NO_SCDAEMON: u32 = 119;
    pub(super) const SCDAEMON: u32 = 120;
    pub(super) const CARD_NOT_INITIALIZED: u32 = 123;
    pub(super) const PIN_BLOCKED: u32 = 130;
    pub(super) const NO_PASSPHRASE: u32 = 177;
    pub(super) const FULLY_CANCELED: u32 = 198;
    pub(super) const FORBIDDEN: u32 = 251;
    pub(super) const ASS_CONNECT_FAILED: u32 = 259;
    pub(super) const ENODEV: u32 = 32_768 + 80;
    pub(super) const SOURCE_PINENTRY: u32 = 5;
    pub(super) const SOURCE_SCDAEMON: u32 = 6;
}

impl Cause {
    fn of(number: u32) -> Self {
        let (source, error) = ((number >> 24) & 0x7f, number & 0xffff);
        match error {
            code::NO_SECKEY | code::NO_PUBKEY => Self::NoKey,
            code::BAD_PASSPHRASE | code::NO_PASSPHRASE => Self::WrongPassphrase,
            code::CANCELED | code::FULLY_CANCELED | code::TIMEOUT => Self::Cancelled,
            code::NO_PIN_ENTRY | code::PIN_ENTRY => Self::NoPrompt,
            code::NO_AGENT | code::AGENT | code::ASS_CONNECT_FAILED => Self::NoAgent,
            code::BAD_PIN | code::PIN_BLOCKED => Self::Pin,
            code::CARD..=code::CARD_NOT_PRESENT
            | code::WRONG_CARD
            | code::NO_SCDAEMON
            | code::SCDAEMON
            | code::CARD_NOT_INITIALIZED
            | code::ENODEV => Self::Card,
            code::FORBIDDEN => Self::AgentRestricted,
            _ if source == code::SOURCE_PINENTRY => Self::NoPrompt,
            _ if source == code::SOURCE_SCDAEMON => Self::Card,
            _ => Self::Other,
        }
    }
}

impl Failure {
    /// Reads what GnuPG wrote to standard error: messages, and status lines with numbers, which no language changes.
    pub(super) fn read(said: &str) -> Self {
        let mut cause = Cause::Other;
        let mut words: Vec<&str> = Vec::new();
        for line in said.lines() {
            let Some(status) = line.strip_prefix("[GNUPG:] ") else {
                words.push(line.strip_prefix("gpg: ").unwrap_or(line).trim());
                continue;
            };
            let fields: Vec<&str> = status.split_whitespace().collect();
            let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u32>().ok());
            let found = match (fields.first(), fields.get(1)) {
                (Some(&"ERROR"), Some(&"set_pinentry_mode")) => {
                    match number(2).map_or(0, |number| number & 0xffff) {
                        code::NOT_SUPPORTED => Cause::LoopbackForbidden,
                        _ => number(2).map_or(Cause::Other, Cause::of),
                    }
                }
                (Some(&"ERROR" | &"FAILURE"), _) => number(2).map_or(Cause::Other, Cause::of),
                _ => continue,
            };
            // The first cause that is known is the reason of those behind it.
            if cause == Cause::Other {
                cause = found;
            }
        }
        words.retain(|line| !line.is_empty());
        let said = words.last().copied().unwrap_or("gpg ended without a message").to_owned();
        Self { cause, said }
    }

    /// The failure of an export that exports nothing.
    pub(super) fn unknown() -> Self {
        Self { cause: Cause::NoKey, said: "no key of this fingerprint in GnuPG's keyring".to_owned() }
    }

    pub(super) fn not_started(program: &OsStr, error: &std::io::Error) -> Self {
        let cause = if error.kind() == std::io::ErrorKind::NotFound {
            Cause::NotInstalled
        } else {
            Cause::NotStarted
        };
        Self { cause, said: format!("{}: {error}", program.display()) }
    }

    pub(super) fn silent(patience: Duration) -> Self {
        Self { cause: Cause::Silent, said: format!("no answer of gpg in {} s", patience.as_secs()) }
    }

    /// The refusal.
    pub(super) fn refusal(&self, key: &GpgKey, asked: Asked<'_>) -> Refusal {
        let (problem, expected, remedy) =
            asked.card.and_then(|number| self.about_card(number)).unwrap_or_else(|| {
                let (problem, expected, remedy) = self.about_key(key, asked.has_passphrase);
                (problem, expected.to_owned(), remedy)
            });
        Refusal::new(key, problem).found(&self.said).expected(expected).remedy(remedy)
    }

    /// Problem, expected and remedy where the secret is on a card: GnuPG asks for the card by the same prompt as for the PIN,
    /// so a prompt that cannot be shown, or is not answered, may be about either.
    fn about_card(&self, number: &str) -> Option<(&'static str, String, String)> {
        let insert = format!("insert the card {number}, and check that `gpg --card-status` shows it");
        Some(match self.cause {
            Cause::Cancelled => (
                "the card or its PIN was asked for, and not given",
                format!("the card {number} in its reader, and an answer to the prompt"),
                format!("{insert}; then run this again, and answer the prompt"),
            ),
            Cause::NoPrompt => (
                "GnuPG cannot ask for the card or its PIN",
                format!(
                    "the card {number} in its reader, and a terminal and a program (pinentry) to ask for the PIN"
                ),
                format!(
                    "{insert}; on a terminal, install pinentry (Debian: `apt-get install pinentry-curses`) and \
                     `export GPG_TTY=$(tty)`"
                ),
            ),
            Cause::Card => (
                "GnuPG cannot use the card of this key",
                format!("the card {number} in its reader, and GnuPG's daemon for cards"),
                format!("{insert} (Debian: `apt-get install scdaemon`)"),
            ),
            _ => return None,
        })
    }

    /// Problem, expected and remedy; `has_passphrase` if the passphrase was given to tfreg.
    fn about_key(&self, key: &GpgKey, has_passphrase: bool) -> (&'static str, &'static str, String) {
        const OPTION: &str = "give it by --signing-passphrase-file FILE or TFREG_SIGNING_PASSPHRASE";
        match self.cause {
            Cause::NotInstalled => (
                "GnuPG is not installed",
                "the program gpg in PATH",
                "install GnuPG (Debian: `apt-get install gnupg`; macOS: `brew install gnupg`), or add its folder to PATH"
                    .to_owned(),
            ),
            Cause::NotStarted => {
                ("GnuPG cannot be started", "a program gpg that runs", "check the program `gpg` in PATH".to_owned())
            }
            Cause::Silent => (
                "GnuPG does not answer",
                "a signature",
                "run this again, and answer the prompt for the passphrase or the card; if there was none, restart GnuPG's agent: \
                 `gpgconf --kill gpg-agent`"
                    .to_owned(),
            ),
            Cause::NoKey => (
                "GnuPG does not have this secret key",
                "a secret key with this fingerprint in the keyring, on a card, or behind a forwarded agent",
                "`gpg --list-secret-keys` lists those that are here (in GNUPGHOME, else in ~/.gnupg); import the key by \
                 `gpg --import FILE`; of a key whose agent is forwarded, give the public half by --certificate FILE"
                    .to_owned(),
            ),
            Cause::WrongPassphrase if has_passphrase => (
                "the passphrase does not unlock the key",
                "the key's passphrase",
                "check --signing-passphrase-file or TFREG_SIGNING_PASSPHRASE; one line end behind the passphrase is ignored, other \
                 white space counts"
                    .to_owned(),
            ),
            Cause::WrongPassphrase => (
                "the passphrase does not unlock the key",
                "the key's passphrase",
                format!("run this again, and answer the prompt; or {OPTION}"),
            ),
            Cause::Cancelled => (
                "the passphrase was asked for, and not given",
                "an answer to the prompt",
                format!(
                    "run this again, and answer the prompt (if none comes, an earlier one may still be open); or {OPTION}"
                ),
            ),
            Cause::NoPrompt => (
                "GnuPG cannot ask for the passphrase",
                "a passphrase, or a terminal and a program (pinentry) to ask for it",
                format!(
                    "{OPTION}; on a terminal, install pinentry (Debian: `apt-get install pinentry-curses`) and \
                     `export GPG_TTY=$(tty)`"
                ),
            ),
            Cause::LoopbackForbidden => (
                "GnuPG's agent takes no passphrase from other programs",
                "an agent that allows it, or no passphrase from here",
                "remove no-allow-loopback-pinentry from gpg-agent.conf, and run `gpgconf --kill gpg-agent`; or give no passphrase \
                 to tfreg, and answer the agent's prompt"
                    .to_owned(),
            ),
            Cause::AgentRestricted if has_passphrase => (
                "a forwarded agent takes no passphrase from here",
                "no passphrase: the agent asks for it on its own machine",
                "give no passphrase (--signing-passphrase-file, TFREG_SIGNING_PASSPHRASE) to tfreg, and answer the prompt on the \
                 machine of the agent"
                    .to_owned(),
            ),
            Cause::AgentRestricted => (
                "GnuPG's agent forbids it",
                "an agent that signs",
                "check what the agent's machine allows (gpg-agent.conf there)".to_owned(),
            ),
            Cause::NoAgent => (
                "GnuPG's agent does not answer",
                "an agent at the socket that `gpgconf --list-dirs agent-socket` names",
                "start it: `gpgconf --launch gpg-agent`; if it is forwarded, connect to its machine again".to_owned(),
            ),
            Cause::Card => (
                "GnuPG cannot use the card of this key",
                "the card in its reader, and GnuPG's daemon for cards",
                "insert the card, and check that `gpg --card-status` shows it (Debian: `apt-get install scdaemon`)".to_owned(),
            ),
            Cause::Pin => (
                "the card does not accept the PIN",
                "the card's PIN",
                "run this again with the right PIN; `gpg --card-status` shows how many attempts are left".to_owned(),
            ),
            Cause::Other => (
                "GnuPG cannot sign with this key",
                "a signature",
                format!("see whether GnuPG itself can: `echo test | gpg --no-options --local-user {} --detach-sign > /dev/null`", key.name()),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_for_a_key_on_a_card_may_be_about_the_card() {
        let key: GpgKey = "4E8911C0E0EC692102243A48A7F2BC5B6E845A69".parse().unwrap();
        for (said, expected) in [
            (
                "[GNUPG:] FAILURE sign 83886179",
                "insert the card D27600; then run this again, and answer the prompt",
            ),
            ("[GNUPG:] FAILURE sign 67108949", "insert the card D27600; on a terminal, install pinentry"),
            (
                "[GNUPG:] FAILURE sign 100663408",
                "insert the card D27600 (Debian: `apt-get install scdaemon`)",
            ),
            ("[GNUPG:] FAILURE sign 100663383", "run this again with the right PIN"),
        ] {
            let asked = Asked { has_passphrase: false, card: Some("D27600") };
            let refusal = Failure::read(said).refusal(&key, asked).to_string();
            let refusal = refusal.replace(", and check that `gpg --card-status` shows it", "");
            assert!(refusal.contains(expected), "{refusal}");
            let other = Failure::read(said).refusal(&key, Asked::default()).to_string();
            assert!(!other.contains("D27600"), "{other}");
        }
    }

    #[test]
    fn causes_are_read_from_status_lines_and_not_from_words() {
        for (said, cause) in [
            (
                "gpg: Signieren fehlgeschlagen: Kein geheimer Schlüssel\n[GNUPG:] FAILURE sign 17",
                Cause::NoKey,
            ),
            ("[GNUPG:] FAILURE sign 67108875\ngpg: signing failed: Bad passphrase", Cause::WrongPassphrase),
            ("[GNUPG:] FAILURE sign 83886179", Cause::Cancelled),
            ("[GNUPG:] FAILURE sign 83902463", Cause::NoPrompt),
            ("[GNUPG:] FAILURE sign 83918950", Cause::NoPrompt),
            ("[GNUPG:] FAILURE sign 67108949", Cause::NoPrompt),
            (
                "[GNUPG:] ERROR set_pinentry_mode 67108924\n[GNUPG:] FAILURE sign 67108924",
                Cause::LoopbackForbidden,
            ),
            (
                "[GNUPG:] ERROR set_pinentry_mode 67109115\n[GNUPG:] FAILURE sign 67109115",
                Cause::AgentRestricted,
            ),
            ("[GNUPG:] INV_SGNR 0 X\n[GNUPG:] FAILURE sign 33554509", Cause::NoAgent),
            ("[GNUPG:] FAILURE sign 100663404", Cause::Card),
            ("[GNUPG:] FAILURE sign 100663408", Cause::Card),
            ("[GNUPG:] FAILURE sign 67108983", Cause::Card),
            ("[GNUPG:] FAILURE sign 100663383", Cause::Pin),
            ("[GNUPG:] FAILURE sign 60", Cause::Other),
            ("", Cause::Other),
            ("[GNUPG:] FAILURE", Cause::Other),
        ] {
            assert_eq!(Failure::read(said).cause, cause, "{said}");
        }
        assert_eq!(
            Failure::read("gpg: first\ngpg: signing failed: X\n[GNUPG:] Y\n\n").said,
            "signing failed: X"
        );
    }
}
