//! The result of `tfreg downloads`: a table, JSON or CSV.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, IsTerminal as _};
use std::time::Duration;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;

use super::json::{as_text, to_json};
use super::{BOLD, DIM, Format, Reporter, Volume, YELLOW, keep_failure, printable, to_stdout};
use crate::error::Result;
use crate::logs::{Client, Missing, Row, Tally};
use crate::provider::{Platform, Provider, Version};
use crate::registry::Key;
use crate::words;

/// What is counted separately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// The versions.
    Version,
    /// The platforms.
    Platform,
    /// The clients.
    Client,
    /// The days.
    Day,
}

impl Column {
    fn name(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::Platform => "platform",
            Self::Client => "client",
            Self::Day => "day",
        }
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Counts, and how they are shown.
pub struct DownloadsView<'a> {
    /// The counts.
    pub tally: &'a Tally,
    /// What is counted separately, besides the providers.
    pub by: &'a [Column],
    /// The earliest request that was counted.
    pub since: Option<Timestamp>,
    /// How long it took.
    pub duration: Duration,
}

/// A value of a column. Versions are ordered from the newest on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Version(std::cmp::Reverse<Version>),
    Platform(Platform),
    Client(Client),
    Day(Date),
}

impl Value {
    fn of(row: &Row, column: Column) -> Self {
        match column {
            Column::Version => Self::Version(std::cmp::Reverse(row.release.version.clone())),
            Column::Platform => Self::Platform(row.platform.clone()),
            Column::Client => Self::Client(row.client),
            Column::Day => Self::Day(row.day),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => version.0.fmt(f),
            Self::Platform(platform) => platform.fmt(f),
            Self::Client(client) => client.fmt(f),
            Self::Day(day) => day.fmt(f),
        }
    }
}

/// A row of the result: the provider, the columns, the count.
type Counted = (Provider, Vec<Value>, u64);

impl DownloadsView<'_> {
    /// The rows: of platforms or clients alone the most frequent ones first, else in the order of the columns.
    fn rows(&self) -> Vec<Counted> {
        let mut sums: BTreeMap<(&Provider, Vec<Value>), u64> = BTreeMap::new();
        for (row, count) in &self.tally.downloads {
            let values = self.by.iter().map(|column| Value::of(row, *column)).collect();
            *sums.entry((&row.release.provider, values)).or_default() += count;
        }
        let mut rows: Vec<Counted> =
            sums.into_iter().map(|((provider, values), count)| (provider.clone(), values, count)).collect();
        if matches!(self.by, [Column::Platform | Column::Client]) {
            // Stable: rows with equal counts stay in order.
            rows.sort_by(|a, b| a.0.cmp(&b.0).then(b.2.cmp(&a.2)));
        }
        rows
    }

    /// What was asked for in vain, the most frequent first.
    fn missing(&self) -> Vec<(&Key, &Missing)> {
        let mut missing: Vec<_> = self.tally.missing.iter().collect();
        missing.sort_by_key(|(_, missing)| std::cmp::Reverse(missing.requests));
        missing
    }
}

impl Reporter {
    /// Prints counts as a table, with bars on a terminal, or as JSON.
    pub fn downloads(&self, view: &DownloadsView<'_>) {
        self.warn_of_logs(view.tally);
        match (self.format, self.volume) {
            (Format::Json, _) => to_stdout(&to_json(&DownloadsReport::new(view))),
            (Format::Human, volume) => {
                let width = io::stdout()
                    .is_terminal()
                    .then(|| terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0)));
                to_stdout(&human(view, width, volume));
            }
        }
    }

    /// Prints counts as CSV (RFC 4180, lines ending with LF).
    ///
    /// # Errors
    /// Fails if standard output cannot be written, unless its reader has closed it.
    pub fn downloads_csv(&self, view: &DownloadsView<'_>) -> Result<()> {
        self.warn_of_logs(view.tally);
        keep_failure(write_csv(view, io::stdout().lock()));
        self.check_written()
    }

    fn warn_of_logs(&self, tally: &Tally) {
        if let Some(place) = &tally.first_malformed {
            self.warn(&format!(
                "{} not understood and not counted; the first is line {} of {}",
                if tally.malformed == 1 {
                    "1 line is".to_owned()
                } else {
                    format!("{} lines are", tally.malformed)
                },
                place.line,
                place.file
            ));
        }
        for (file, reason) in &tally.damaged {
            self.warn(&format!("{file}: not read to its end, and counted as far as it was: {reason}"));
        }
    }
}

fn write_csv(view: &DownloadsView<'_>, out: impl io::Write) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    let names = view.by.iter().map(|column| column.name());
    csv.write_record(["provider"].into_iter().chain(names).chain(["downloads"]))?;
    for (provider, values, count) in view.rows() {
        let mut record = vec![provider.to_string()];
        record.extend(values.iter().map(ToString::to_string));
        record.push(count.to_string());
        csv.write_record(&record)?;
    }
    csv.flush()
}

/// The most lines of what is missing that people are shown.
const MISSING: usize = 10;
/// The columns of the longest bar.
const BAR: usize = 40;

/// The result for people; `terminal` is its width, if there is one.
fn human(view: &DownloadsView<'_>, terminal: Option<usize>, volume: Volume) -> String {
    let tally = view.tally;
    let rows = view.rows();
    let mut parts = Vec::new();
    if !rows.is_empty() {
        parts.push(table(view.by, &rows, terminal));
    }
    if volume == Volume::Quiet {
        return parts.concat();
    }
    let of = words::count(
        rows.iter().map(|row| &row.0).collect::<std::collections::BTreeSet<_>>().len(),
        "provider",
    );
    let from = match (tally.days, view.since) {
        (Some((first, last)), _) => format!(" from {first} to {last}"),
        (None, Some(since)) => format!(" since {since}"),
        (None, None) => String::new(),
    };
    let read =
        format!("{} and {} read", words::count(tally.files, "file"), words::count(tally.lines, "line"));
    parts.push(format!("{BOLD}{}{BOLD:#} of {of}{from}; {read}", words::count(tally.total(), "download")));
    let apart = [
        (tally.later_ranges, "later range"),
        (tally.unknown_ranges, "range of unknown beginning"),
        (tally.head, "HEAD request"),
        (tally.by_cdn, "fetch by the CDN"),
        (tally.by_tfreg, "fetch by tfreg"),
    ];
    let apart: Vec<String> = apart
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, noun)| match noun.split_once(' ') {
            // The noun that takes the plural is the first word of these.
            Some((first @ ("range" | "fetch"), rest)) => {
                let plural = if *count == 1 {
                    ""
                } else if first == "fetch" {
                    "es"
                } else {
                    "s"
                };
                format!("{count} {first}{plural} {rest}")
            }
            _ => words::count(*count, noun),
        })
        .collect();
    if !apart.is_empty() {
        parts.push(format!("{DIM}  not counted: {}{DIM:#}", apart.join(", ")));
    }
    if !tally.errors.is_empty() {
        let of = |(status, count): (&u16, &u64)| match status {
            0 => format!("{count} without an answer"),
            status => format!("{count} with {status}"),
        };
        let errors: Vec<String> = tally.errors.iter().map(of).collect();
        parts.push(format!("{YELLOW}  failed requests: {}{YELLOW:#}", errors.join(", ")));
    }
    let missing = view.missing();
    if !missing.is_empty() {
        parts.push(format!("{BOLD}Asked for in vain{BOLD:#} (requests, last day)"));
        for (key, Missing { requests, last }) in missing.iter().take(MISSING) {
            parts.push(format!("  {requests:>7}  {last}  {}", printable(&key.to_string())));
        }
        let more = missing.len().saturating_sub(MISSING);
        if more > 0 || tally.missing_more > 0 {
            parts.push(format!("{DIM}  … and {more} more; --format json has them{DIM:#}"));
        }
    }
    parts.join("\n")
}

fn table(by: &[Column], rows: &[Counted], terminal: Option<usize>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    let mut header = vec!["provider".to_owned()];
    header.extend(by.iter().map(ToString::to_string));
    header.push("downloads".to_owned());
    table.set_header(header.iter().map(|name| name.to_uppercase()));
    for (provider, values, count) in rows {
        let mut cells = vec![provider.to_string()];
        cells.extend(values.iter().map(ToString::to_string));
        cells.push(count.to_string());
        table.add_row(cells);
    }
    if let Some(downloads) = table.column_mut(header.len() - 1) {
        downloads.set_cell_alignment(CellAlignment::Right);
    }
    let text = table.trim_fmt();
    let Some(width) = terminal else { return text };
    let most = rows.iter().map(|row| row.2).max().unwrap_or_default();
    let widest = text.lines().map(|line| line.chars().count()).max().unwrap_or_default();
    let room = width.saturating_sub(widest + 3).min(BAR);
    let bars = std::iter::once(String::new()).chain(rows.iter().map(|row| bar(row.2, most, room)));
    let lines =
        text.lines().zip(bars).map(|(line, bar)| format!("{line:<widest$}  {bar}").trim_end().to_owned());
    lines.collect::<Vec<_>>().join("\n")
}

/// A bar of at most `room` columns, in eighths of a column.
fn bar(count: u64, most: u64, room: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let all = u128::try_from(room * 8).unwrap_or_default();
    let eighths = u128::from(count) * all / u128::from(most.max(1));
    let eighths = usize::try_from(eighths).unwrap_or_default();
    format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
}

/// The result as JSON.
#[derive(Serialize)]
struct DownloadsReport {
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    first_day: Option<String>,
    last_day: Option<String>,
    downloads: u64,
    rows: Vec<RowReport>,
    missing: Vec<MissingReport>,
    missing_more: u64,
    errors: Vec<ErrorReport>,
    not_counted: NotCounted,
    files: u64,
    lines: u64,
    malformed_lines: u64,
    damaged_files: Vec<DamagedReport>,
    duration_ms: u64,
}

#[derive(Serialize)]
struct RowReport {
    #[serde(serialize_with = "as_text")]
    provider: Provider,
    #[serde(flatten)]
    values: BTreeMap<&'static str, String>,
    downloads: u64,
}

#[derive(Serialize)]
struct MissingReport {
    key: String,
    requests: u64,
    last_day: String,
}

#[derive(Serialize)]
struct ErrorReport {
    status: u16,
    requests: u64,
}

#[derive(Serialize)]
struct DamagedReport {
    file: String,
    reason: String,
}

#[derive(Serialize)]
struct NotCounted {
    later_ranges: u64,
    unknown_ranges: u64,
    head: u64,
    by_cdn: u64,
    by_tfreg: u64,
}

impl DownloadsReport {
    fn new(view: &DownloadsView<'_>) -> Self {
        let tally = view.tally;
        let row = |(provider, values, downloads): Counted| RowReport {
            provider,
            values: view
                .by
                .iter()
                .map(|column| column.name())
                .zip(values.iter().map(ToString::to_string))
                .collect(),
            downloads,
        };
        let missing = |(key, missing): (&Key, &Missing)| MissingReport {
            key: key.to_string(),
            requests: missing.requests,
            last_day: missing.last.to_string(),
        };
        let error = |(status, requests): (&u16, &u64)| ErrorReport { status: *status, requests: *requests };
        let damaged =
            |(file, reason): &(String, String)| DamagedReport { file: file.clone(), reason: reason.clone() };
        Self {
            outcome: "counted",
            since: view.since.map(|since| since.to_string()),
            first_day: tally.days.map(|(first, _)| first.to_string()),
            last_day: tally.days.map(|(_, last)| last.to_string()),
            downloads: tally.total(),
            rows: view.rows().into_iter().map(row).collect(),
            missing: view.missing().into_iter().map(missing).collect(),
            missing_more: tally.missing_more,
            errors: tally.errors.iter().map(error).collect(),
            not_counted: NotCounted {
                later_ranges: tally.later_ranges,
                unknown_ranges: tally.unknown_ranges,
                head: tally.head,
                by_cdn: tally.by_cdn,
                by_tfreg: tally.by_tfreg,
            },
            files: tally.files,
            lines: tally.lines,
            malformed_lines: tally.malformed,
            damaged_files: tally.damaged.iter().map(damaged).collect(),
            duration_ms: u64::try_from(view.duration.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_proportional() {
        for (count, most, room, expected) in [
            (0, 10, 4, ""),
            (10, 10, 4, "████"),
            (5, 10, 4, "██"),
            (1, 8, 1, "▏"),
            (7, 8, 1, "▉"),
            (0, 0, 4, ""),
            (u64::MAX, u64::MAX, 2, "██"),
            (3, 3, 0, ""),
        ] {
            assert_eq!(bar(count, most, room), expected, "{count} of {most}");
        }
    }
}
