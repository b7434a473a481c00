//! What verifying has come to, as a table and as JSON.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use anstyle::Style;
use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::json::{Verified, to_json};
use super::key::ClientReport;
use super::{BOLD, DIM, Format, GREEN, RED, Reporter, Volume, YELLOW, printable, to_stderr, to_stdout};
use crate::error::{Error, Refusal};
use crate::verify::{
    Checked, Depth, Finding, Group, Package, Rule, Severity, SigningKeyUse, Unreferenced, Verification, Watch,
};

/// The progress of verifying.
pub struct Verifying {
    bar: ProgressBar,
    total: Mutex<u64>,
}

impl Watch for Verifying {
    fn versions(&self, count: usize) {
        let mut total = self.total.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *total += count as u64;
        self.bar.set_length(*total);
    }

    fn version_done(&self) {
        self.bar.inc(1);
    }

    fn read(&self, bytes: u64) {
        tracing::trace!(bytes, "read");
        self.bar.tick();
    }
}

impl Verifying {
    /// All is read.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// How many places of a broken rule are told of; JSON has all.
const PLACES: usize = 5;

impl Reporter {
    /// Starts the progress of verifying.
    #[must_use]
    pub fn verifying(&self, place: &str) -> Verifying {
        self.note_plain(&format!("Verifying {place}"));
        let bar = if self.bars.drawn() { self.bars.add(ProgressBar::new(0)) } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("{prefix:>14} {bar:24} {pos:>10}/{len:10} versions");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix("verifying");
        Verifying { bar, total: Mutex::new(0) }
    }

    /// Prints what `tfreg verify` has come to.
    pub fn verified(&self, verification: &Verification, duration: Duration) {
        self.bars.clear();
        match (self.format, self.volume) {
            (Format::Json, _) => to_stdout(&to_json(&VerificationReport::new(verification, duration))),
            (Format::Human, Volume::Quiet) if verification.is_good() => {}
            (Format::Human, _) => {
                to_stdout(&printable(&table(verification)));
                for line in findings(verification) {
                    to_stdout(&line);
                }
                to_stdout(&summary(verification, duration));
            }
        }
    }

    /// Tells on standard error what was found in what a publish has written.
    ///
    /// # Errors
    /// Clients would trip over it, or it could not be read.
    pub fn judge_published(&self, verified: Verified) -> Result<(), Error> {
        let verification = verified.map_err(|error| Error::Unverified(Box::new(error)))?;
        if self.volume != Volume::Quiet || !verification.is_good() {
            self.bars.around(|| {
                for line in findings(&verification) {
                    to_stderr(&line);
                }
            });
        }
        // Discovery is the host's own: a publish leaves what it finds there, and has warned of it.
        let of_version = |finding: &Finding| {
            finding.rule.severity == Severity::Error && finding.rule.group != Group::Discovery
        };
        match verification.refusal().filter(|_| verification.findings.iter().any(of_version)) {
            None => Ok(()),
            Some(refusal) => {
                let problem = "all is published, and clients would trip over it".to_owned();
                Err(Error::Reported(Box::new(Refusal { problem, ..refusal })))
            }
        }
    }
}

/// A row for every broken rule, and for every group without one.
fn table(verification: &Verification) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL).set_content_arrangement(ContentArrangement::Dynamic);
    let width = terminal_size::terminal_size().map_or(120, |(width, _)| width.0);
    table.set_width(width.clamp(60, 200));
    table.set_header(["What", "State", "Why it matters", "Remedy"]);
    let mut broken: BTreeMap<(Group, Severity, &str), (&Rule, usize)> = BTreeMap::new();
    for Finding { rule, .. } in &verification.findings {
        broken.entry((rule.group, rule.severity, rule.name)).or_insert((rule, 0)).1 += 1;
    }
    for group in Group::ALL {
        let rows: Vec<_> = broken
            .iter()
            .filter(|((of, ..), _)| *of == group)
            .map(|(_, (rule, count))| (*rule, *count))
            .collect();
        if rows.is_empty() {
            let state = if was_checked(verification, group) { "ok" } else { "not checked" };
            table.add_row([group.name(), state, group.why(), ""]);
        }
        for (rule, count) in rows {
            let state = match rule.severity {
                Severity::Error => "ERROR",
                Severity::Warning => "warning",
            };
            let state = if count > 1 { format!("{state}, {count} times") } else { state.to_owned() };
            table.add_row([rule.what, &state, rule.why, rule.remedy]);
        }
    }
    if let Some(state) = table.column_mut(1) {
        state.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(9)));
    }
    table.trim_fmt()
}

fn was_checked(verification: &Verification, group: Group) -> bool {
    let Checked { providers, platforms, .. } = verification.checked;
    match group {
        Group::Discovery => true,
        Group::Index | Group::Objects => providers > 0,
        Group::Zips => platforms > 0 && verification.depth == Depth::Full,
        Group::Documents | Group::Checksums | Group::Signature | Group::Record => platforms > 0,
    }
}

/// Where the rules are broken: what was found, and what was expected.
fn findings(verification: &Verification) -> Vec<String> {
    let mut lines = Vec::new();
    let mut told: BTreeMap<&str, usize> = BTreeMap::new();
    for finding in &verification.findings {
        let count = told.entry(finding.rule.name).or_default();
        *count += 1;
        let (style, word): (Style, &str) = match finding.rule.severity {
            Severity::Error => (RED, "ERROR"),
            Severity::Warning => (YELLOW, "warning"),
        };
        if *count == PLACES + 1 {
            lines.push(format!("{DIM}… and more of {}; --format json has all{DIM:#}", finding.rule.name));
        }
        if *count > PLACES {
            continue;
        }
        lines.push(format!(
            "{style}{word}{style:#} {}: {} ({})",
            printable(&finding.subject),
            finding.rule.what,
            finding.rule.name
        ));
        for (label, text) in
            [("found:", &*finding.found), ("expected:", &finding.expected), ("remedy:", finding.rule.remedy)]
        {
            if !text.is_empty() {
                lines.push(format!("  {label:<10}{}", printable(text).replace('\n', "\n            ")));
            }
        }
    }
    lines
}

fn summary(verification: &Verification, duration: Duration) -> String {
    let Checked { providers, versions, platforms, zips, zip_bytes } = verification.checked;
    let mut lines = Vec::new();
    for signer in &verification.signers {
        let clients: Vec<String> = signer
            .clients
            .iter()
            .map(|client| format!("{} {}", client.family, client.verdict.word()))
            .collect();
        lines.push(format!(
            "{DIM}Key {}, {} versions: {}{DIM:#}",
            signer.key_id,
            signer.versions,
            clients.join(", ")
        ));
    }
    if let Some(Unreferenced { objects, bytes, earlier_objects, earlier_bytes }) = verification.unreferenced
        && objects + earlier_objects > 0
    {
        lines.push(format!(
            "{DIM}No listed version leads to {objects} objects ({bytes} bytes); {earlier_objects} more \
             ({earlier_bytes} bytes) are earlier SHA256SUMS of listed versions{DIM:#}"
        ));
    }
    let (errors, warnings) = (verification.count(Severity::Error), verification.count(Severity::Warning));
    let verdict = if errors > 0 {
        format!("{RED}Clients would trip over {errors} things{RED:#}, and there are {warnings} warnings,")
    } else if warnings > 0 {
        format!("{YELLOW}{BOLD}Good, with {warnings} warnings{BOLD:#}{YELLOW:#}")
    } else {
        format!("{GREEN}{BOLD}Good{BOLD:#}{GREEN:#}")
    };
    let read = match verification.depth {
        Depth::Full => format!("{zips} zips ({zip_bytes} bytes) read"),
        Depth::Quick => "zips not downloaded".to_owned(),
    };
    lines.push(format!(
        "{verdict} in {}: {providers} providers, {versions} versions, {platforms} platforms, {read}, in {:.2} s",
        verification.place,
        duration.as_secs_f64()
    ));
    lines.join("\n")
}

/// What verifying has come to, as JSON.
#[derive(Serialize)]
pub(super) struct VerificationReport<'a> {
    outcome: &'static str,
    place: &'a str,
    quick: bool,
    errors: usize,
    warnings: usize,
    findings: &'a [Finding],
    checked: Checked,
    #[serde(skip_serializing_if = "Option::is_none")]
    unreferenced: Option<Unreferenced>,
    signers: Vec<SignerReport<'a>>,
    packages: &'a [Package],
    duration_ms: u64,
}

#[derive(Serialize)]
struct SignerReport<'a> {
    key_id: &'a str,
    key_fingerprint: &'a str,
    versions: u64,
    clients: Vec<ClientReport<'a>>,
}

impl<'a> SignerReport<'a> {
    fn new(signer: &'a SigningKeyUse) -> Self {
        Self {
            key_id: &signer.key_id,
            key_fingerprint: &signer.fingerprint,
            versions: signer.versions,
            clients: signer.clients.iter().map(ClientReport::new).collect(),
        }
    }
}

impl<'a> VerificationReport<'a> {
    pub(super) fn new(verification: &'a Verification, duration: Duration) -> Self {
        let (errors, warnings) = (verification.count(Severity::Error), verification.count(Severity::Warning));
        Self {
            outcome: verification.outcome(),
            place: &verification.place,
            quick: verification.depth == Depth::Quick,
            errors,
            warnings,
            findings: &verification.findings,
            checked: verification.checked,
            unreferenced: verification.unreferenced,
            signers: verification.signers.iter().map(SignerReport::new).collect(),
            packages: &verification.packages,
            duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        }
    }
}
