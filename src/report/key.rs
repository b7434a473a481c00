//! The inspection of a key, as text and as JSON.

use std::fmt;
use std::time::SystemTime;

use anstyle::Style;
use serde::Serialize;

use super::failure::RefusalReport;
use super::json::to_json;
use super::{BOLD, DIM, Format, GREEN, RED, Reporter, YELLOW, printable, to_stdout};
use crate::openpgp::client_support::{Judgement, Verdict};
use crate::openpgp::inspection::{Inspection, KeyPart};
use crate::openpgp::signing_key::SecretPart;

impl Reporter {
    /// Prints the facts about a key.
    pub fn key(&self, inspection: &Inspection) {
        if let Some(warning) = &inspection.expiry_warning {
            self.warn(warning);
        }
        match self.format {
            Format::Json => to_stdout(&to_json(&KeyReport::new(inspection))),
            Format::Human => to_stdout(HumanKey(inspection).to_string().trim_end()),
        }
    }

    /// Prints the public key that documents embed, byte for byte.
    pub fn public_key(&self, armored: &str) {
        #[derive(Serialize)]
        struct PublicKey<'a> {
            public_key: &'a str,
        }
        match self.format {
            Format::Json => to_stdout(&to_json(&PublicKey { public_key: armored })),
            // `to_stdout` adds the line end.
            Format::Human => to_stdout(armored.strip_suffix('\n').unwrap_or(armored)),
        }
    }
}

#[derive(Serialize)]
struct KeyReport<'a> {
    source: &'a str,
    #[serde(flatten)]
    primary: PartReport<'a>,
    version: u8,
    user_ids: Vec<UserIdReport<'a>>,
    signing_key: PartReport<'a>,
    expires_in_days: Option<i64>,
    signs: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<RefusalReport>,
    clients: Vec<ClientReport<'a>>,
    public_key: Option<&'a str>,
    warnings: Vec<&'a str>,
}

#[derive(Serialize)]
struct PartReport<'a> {
    fingerprint: &'a str,
    key_id: &'a str,
    algorithm: &'a str,
    created: Option<String>,
    expires: Option<String>,
    secret: &'static str,
    revoked: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    revocation: Option<&'a str>,
}

#[derive(Serialize)]
struct UserIdReport<'a> {
    text: &'a str,
    primary: bool,
    revoked: bool,
}

/// How a family of clients judges a key.
#[derive(Serialize)]
pub(super) struct ClientReport<'a> {
    client: &'static str,
    verdict: &'static str,
    reasons: &'a [String],
}

impl<'a> ClientReport<'a> {
    pub(super) fn new(judged: &'a Judgement) -> Self {
        let verdict = match judged.verdict {
            Verdict::Accepts => "accepts",
            Verdict::Warns => "warns",
            Verdict::NotKnown => "not_known",
            Verdict::Rejects => "rejects",
        };
        Self { client: judged.family.name(), verdict, reasons: &judged.reasons }
    }
}

impl<'a> KeyReport<'a> {
    fn new(inspection: &'a Inspection) -> Self {
        let user_ids = inspection.user_ids.iter();
        Self {
            source: &inspection.source,
            primary: PartReport::new(&inspection.primary),
            version: inspection.version,
            user_ids: user_ids
                .map(|id| UserIdReport { text: &id.text, primary: id.primary, revoked: id.revoked })
                .collect(),
            signing_key: PartReport::new(&inspection.signer),
            expires_in_days: inspection.expires.map(days_left),
            signs: inspection.refusal.is_none(),
            refusal: inspection.refusal.as_ref().map(RefusalReport::new),
            clients: inspection.clients.iter().map(ClientReport::new).collect(),
            public_key: inspection.embedded.as_deref(),
            warnings: inspection.expiry_warning.as_deref().into_iter().collect(),
        }
    }
}

impl<'a> PartReport<'a> {
    fn new(part: &'a KeyPart) -> Self {
        Self {
            fingerprint: part.fingerprint.as_str(),
            key_id: part.key_id.as_str(),
            algorithm: &part.algorithm,
            created: timestamp(part.created).map(|time| time.to_string()),
            expires: part.expires.and_then(timestamp).map(|time| time.to_string()),
            secret: match part.secret {
                SecretPart::Open => "open",
                SecretPart::Locked => "locked",
                SecretPart::Elsewhere => "elsewhere",
                SecretPart::Absent => "absent",
            },
            revoked: part.revoked.is_some(),
            revocation: part.revoked.as_ref().and_then(Option::as_deref),
        }
    }
}

fn timestamp(time: SystemTime) -> Option<jiff::Timestamp> {
    jiff::Timestamp::try_from(time).ok()
}

fn date(time: SystemTime) -> String {
    timestamp(time).map_or_else(|| "an unknown date".to_owned(), |time| time.strftime("%Y-%m-%d").to_string())
}

/// Whole days from now; negative for the past.
fn days_left(time: SystemTime) -> i64 {
    let days = |duration: std::time::Duration| i64::try_from(duration.as_secs() / 86_400).unwrap_or(i64::MAX);
    match time.duration_since(SystemTime::now()) {
        Ok(left) => days(left),
        Err(past) => -days(past.duration()),
    }
}

struct HumanKey<'a>(&'a Inspection);

impl fmt::Display for HumanKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_human(f, self.0)
    }
}

fn write_human(out: &mut fmt::Formatter<'_>, inspection: &Inspection) -> fmt::Result {
    let Inspection { primary, signer, .. } = inspection;
    writeln!(out, "{BOLD}Key {}{BOLD:#}  {}", primary.key_id, printable(&inspection.source))?;
    let mut line = |label: &str, value: &str| writeln!(out, "  {DIM}{label:<12}{DIM:#} {}", printable(value));
    line("fingerprint", primary.fingerprint.as_str())?;
    for user_id in &inspection.user_ids {
        let primary = if user_id.primary && inspection.user_ids.len() > 1 { " (primary)" } else { "" };
        let revoked = if user_id.revoked { " (revoked)" } else { "" };
        line("user id", &format!("{}{primary}{revoked}", user_id.text.replace('\n', " ")))?;
    }
    if inspection.user_ids.is_empty() {
        line("user id", "none")?;
    }
    line("algorithm", &format!("{}, OpenPGP version {}", primary.algorithm, inspection.version))?;
    line("created", &date(primary.created))?;
    line("expires", &expiry(primary.expires))?;
    if let Some(reason) = &primary.revoked {
        line("revoked", reason.as_deref().unwrap_or("no reason is given"))?;
    }
    line("secret half", secret(primary.secret))?;
    if signer.fingerprint == primary.fingerprint {
        line("signs with", "the primary key")?;
    } else {
        line("signs with", &format!("subkey {}", signer.fingerprint))?;
        line("", &signer.algorithm)?;
        line("", &format!("created {}, expires {}", date(signer.created), expiry(signer.expires)))?;
        if let Some(reason) = &signer.revoked {
            line("", &format!("revoked: {}", reason.as_deref().unwrap_or("no reason is given")))?;
        }
        line("", &format!("secret half {}", secret(signer.secret)))?;
    }
    writeln!(out, "\n{BOLD}Signatures by it{BOLD:#}")?;
    let (style, word, why) = match &inspection.refusal {
        None if signer.secret == SecretPart::Locked => {
            (GREEN, "signs", Some("with its passphrase".to_owned()))
        }
        None => (GREEN, "signs", None),
        Some(_) if inspection.is_public_half() => {
            (DIM, "cannot sign", Some("public half only: it cannot sign".to_owned()))
        }
        Some(refusal) => (RED, "rejects", Some(format!("{}: {}", refusal.problem, refusal.found))),
    };
    row(out, "tfreg publish", style, word, why.as_slice())?;
    for judged in &inspection.clients {
        let style = match judged.verdict {
            Verdict::Accepts => GREEN,
            Verdict::Warns | Verdict::NotKnown => YELLOW,
            Verdict::Rejects => RED,
        };
        row(out, judged.family.name(), style, judged.verdict.word(), &judged.reasons)?;
    }
    Ok(())
}

fn row(
    out: &mut fmt::Formatter<'_>,
    name: &str,
    style: Style,
    word: &str,
    reasons: &[String],
) -> fmt::Result {
    let reasons = printable(&reasons.join("; ").replace('\n', " "));
    if reasons.is_empty() {
        return writeln!(out, "  {name:<24} {style}{word}{style:#}");
    }
    writeln!(out, "  {name:<24} {style}{word:<12}{style:#} {reasons}")
}

fn secret(part: SecretPart) -> &'static str {
    match part {
        SecretPart::Open => "here, without a passphrase",
        SecretPart::Locked => "here, locked by a passphrase",
        SecretPart::Elsewhere => "elsewhere: offline, or on a card",
        SecretPart::Absent => "not here",
    }
}

fn expiry(expires: Option<SystemTime>) -> String {
    let Some(expires) = expires else { return "never".to_owned() };
    let date = date(expires);
    if expires <= SystemTime::now() {
        return format!("{date}, expired");
    }
    match days_left(expires) {
        1 => format!("{date}, 1 day left"),
        days => format!("{date}, {days} days left"),
    }
}
