//! The result of a verification, as a table and as JSON.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use anstyle::Style;
use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use serde::Serialize;

use super::json::to_json;
use super::key::ClientReport;
use super::{BOLD, DIM, Format, GREEN, RED, Reporter, Volume, YELLOW, printable, to_stderr, to_stdout};
use crate::verify::{
    Checked, Depth, Finding, Group, Package, Rule, Severity, SigningKeyUse, Unreferenced, Verification, Watch,
};
use crate::words;

/// The progress of a verification.
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
    /// Everything is read.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// How many places of a broken rule are printed; JSON contains all.
const PLACES: usize = 5;

impl Reporter {
    /// Starts the progress of a verification.
    #[must_use]
    pub fn verifying(&self, place: &str) -> Verifying {
        self.note_plain(&format!("Verifying {place}"));
        let bar = if self.bars.drawn() { self.bars.add(ProgressBar::new(0)) } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("{prefix:>14} {bar:24} {pos:>10}/{len:10} versions");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix("verifying");
        Verifying { bar, total: Mutex::new(0) }
    }

    /// Prints the result of `tfreg verify`.
    pub fn verified(&self, verification: &Verification, duration: Duration) {
        self.bars.clear();
        match (self.format, self.volume) {
            (Format::Json, _) => to_stdout(&to_json(&VerificationReport::new(verification, duration))),
            (Format::Human, Volume::Quiet) if verification.is_good() => {}
            (Format::Human, volume) => {
                if volume == Volume::Verbose {
                    to_stdout(&printable(&table(verification)));
                }
                for line in findings(verification) {
                    to_stdout(&line);
                }
                to_stdout(&summary(verification, duration));
            }
        }
    }

    /// Prints on standard error the findings about a version that a publish has written.
    pub(super) fn read_back(&self, verification: &Verification) {
        if self.volume != Volume::Quiet || !verification.is_good() {
            self.bars.around(|| {
                for line in findings(verification) {
                    to_stderr(&line);
                }
            });
        }
    }
}

/// The width of a text: that of the terminal, but at most 80 columns, as in a pipe.
pub(super) fn width() -> usize {
    let terminal = terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0));
    terminal.clamp(40, 80)
}

/// A row for every broken rule, and for every group without one.
fn table(verification: &Verification) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(u16::try_from(width()).unwrap_or(80));
    table.set_header(["What", "State", "Why it matters"]);
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
        if rows.is_empty() && (group != Group::Mirror || verification.has_mirror) {
            let state = if was_checked(verification, group) { "ok" } else { "not checked" };
            table.add_row([group.name(), state, group.why()]);
        }
        for (rule, count) in rows {
            let state = word(rule.severity);
            let state = if count > 1 { format!("{state}, {count} times") } else { state.to_owned() };
            table.add_row([rule.what, &state, rule.why]);
        }
    }
    if let Some(state) = table.column_mut(1) {
        state.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(9)));
    }
    table.trim_fmt()
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

fn was_checked(verification: &Verification, group: Group) -> bool {
    let Checked { providers, platforms, pages, mirrored, .. } = verification.checked;
    match group {
        Group::Discovery => true,
        Group::Index | Group::Objects => providers > 0,
        Group::Mirror => providers > 0 || mirrored > 0,
        Group::Zips => platforms > 0 && verification.depth == Depth::Full,
        Group::Pages => pages > 0,
        Group::Documents | Group::Checksums | Group::Signature | Group::Record => platforms > 0,
    }
}

/// The broken rules, each once: the places, the found and the expected value, and the remedy.
fn findings(verification: &Verification) -> Vec<String> {
    let mut lines = Vec::new();
    // Findings with the same rule and remedy are printed together, in the order of the findings, the worst first.
    let mut groups: Vec<Vec<&Finding>> = Vec::new();
    for finding in &verification.findings {
        let same = |group: &&mut Vec<&Finding>| {
            group
                .first()
                .is_some_and(|first| first.rule == finding.rule && first.remedy() == finding.remedy())
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(finding),
            None => groups.push(vec![finding]),
        }
    }
    for group in groups {
        let Some(first) = group.first() else { continue };
        let style: Style = match first.rule.severity {
            Severity::Error => RED,
            Severity::Warning => YELLOW,
        };
        let title = format!("{}: {} ({})", word(first.rule.severity), first.rule.what, first.rule.name);
        lines.push(format!("{style}{}{style:#}", wrapped(&title, width(), "  ")));
        for finding in group.iter().take(PLACES) {
            lines.extend(labelled("at:", &finding.subject));
            lines.extend(labelled("found:", &finding.found));
            lines.extend(labelled("expected:", &finding.expected));
        }
        if let Some(more) = group.len().checked_sub(PLACES).filter(|more| *more > 0) {
            lines.push(format!("{DIM}  … and {more} more; --format json has all{DIM:#}"));
        }
        lines.extend(labelled("remedy:", first.remedy()));
    }
    lines
}

/// A text after its label, broken between words if it is longer than a line.
fn labelled(label: &str, text: &str) -> Option<String> {
    let indent = " ".repeat(12);
    let parts: Vec<String> =
        text.lines().map(|line| wrapped(&printable(line), width().saturating_sub(12), "")).collect();
    let text = parts.join("\n").replace('\n', &format!("\n{indent}"));
    (!text.is_empty()).then(|| format!("  {label:<10}{text}"))
}

/// A text in lines of `width` columns, all but the first after `indent`. A longer word, such as a key, is not broken.
fn wrapped(text: &str, width: usize, indent: &str) -> String {
    let (mut out, mut column) = (String::new(), 0);
    for word in text.split(' ') {
        let len = word.chars().count();
        if column > 0 && column + 1 + len > width {
            out.push('\n');
            out.push_str(indent);
            column = indent.len();
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += len;
    }
    out
}

fn summary(verification: &Verification, duration: Duration) -> String {
    let Checked { providers, versions, platforms, zips, zip_bytes, pages, mirrored } = verification.checked;
    let mut lines = Vec::new();
    let (errors, warnings) = (verification.count(Severity::Error), verification.count(Severity::Warning));
    let place = printable(&verification.place);
    lines.push(if errors > 0 {
        let found = format!("{}, {}", words::count(errors, "error"), words::count(warnings, "warning"));
        format!("{RED}Clients would fail with this registry{RED:#}: {found}: {place}")
    } else if warnings > 0 {
        format!("{YELLOW}{BOLD}Good, with {}{BOLD:#}{YELLOW:#}: {place}", words::count(warnings, "warning"))
    } else {
        format!("{GREEN}{BOLD}Good{BOLD:#}{GREEN:#}: {place}")
    });
    let read = match verification.depth {
        Depth::Full => format!("{} read ({})", words::count(zips, "zip"), HumanBytes(zip_bytes)),
        Depth::Quick => "zips not downloaded".to_owned(),
    };
    let read = if pages > 0 { format!("{read}, {} seen", words::count(pages, "page")) } else { read };
    let what = format!(
        "{}, {}, {}; {read}, in {:.2} s",
        words::count(providers, "provider"),
        words::count(versions, "version"),
        words::count(platforms, "platform"),
        duration.as_secs_f64()
    );
    let what = if mirrored > 0 {
        format!("{what}; {} of other registries in the network mirror", words::count(mirrored, "version"))
    } else {
        what
    };
    let detail = |text: &str| format!("  {}", wrapped(text, width().saturating_sub(2), "    "));
    lines.push(detail(&what));
    for signer in &verification.signers {
        let clients: Vec<String> = signer
            .clients
            .iter()
            .map(|client| format!("{} {}", client.family, client.verdict.word()))
            .collect();
        let signed = words::count(signer.versions, "version");
        let text = format!("key {}, {signed}: {}", signer.key_id, clients.join(", "));
        lines.push(format!("{DIM}{}{DIM:#}", detail(&text)));
    }
    if let Some(Unreferenced { objects, bytes, earlier_objects, earlier_bytes }) = verification.unreferenced {
        let mut told = Vec::new();
        if objects > 0 {
            told.push(format!(
                "{} without a version, {}",
                words::count(objects, "object"),
                HumanBytes(bytes)
            ));
        }
        if earlier_objects > 0 {
            let earlier = words::count(earlier_objects, "object");
            told.push(format!(
                "{earlier} of earlier publishes of listed versions, {}",
                HumanBytes(earlier_bytes)
            ));
        }
        if !told.is_empty() {
            lines.push(format!("{DIM}{}{DIM:#}", detail(&told.join("; "))));
        }
    }
    lines.join("\n")
}

/// The result of a verification, as JSON.
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
            key_id: signer.key_id.as_str(),
            key_fingerprint: signer.fingerprint.as_str(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words_only() {
        assert_eq!(wrapped("one two three", 7, "  "), "one two\n  three");
        assert_eq!(wrapped("one a-very-long-key two", 9, ""), "one\na-very-long-key\ntwo");
        assert_eq!(wrapped("", 9, ""), "");
    }
}
