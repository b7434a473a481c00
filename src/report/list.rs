//! What is in a registry, as text; [`json`] has it as JSON.

mod json;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

use comfy_table::{ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;

use super::json::to_json;
use super::verify::width;
use super::{BOLD, DIM, Format, Reporter, YELLOW, printable, to_stdout};
use crate::provider::Platform;
use crate::words;
use crate::workflow::list::{
    ListedPlatform, Listing, Outcome, ProviderListing, PublishRecord, RegistryListing, SigningKey,
    VersionListing, Watch, Yanked,
};
use json::ListReport;

/// The progress of reading what is listed.
pub struct ListProgress {
    reporter: Reporter,
    bar: ProgressBar,
    total: AtomicU64,
}

impl Watch for ListProgress {
    fn opened(&self, place: &str) {
        self.reporter.note(&format!("Reading {place}"));
    }

    fn parts(&self, count: usize) {
        let count = count as u64;
        self.bar.set_length(self.total.fetch_add(count, Ordering::Relaxed) + count);
    }

    fn part_done(&self) {
        self.bar.inc(1);
    }
}

impl ListProgress {
    /// Everything is read.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Reporter {
    /// Starts the progress of a list.
    #[must_use]
    pub fn listing(&self) -> ListProgress {
        let bar = if self.bars.drawn() { self.bars.add(ProgressBar::new(0)) } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("{prefix:>14} {bar:24} {pos:>10}/{len:10}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix("reading");
        ListProgress { reporter: self.clone(), bar, total: AtomicU64::new(0) }
    }

    /// Prints the result of `tfreg list`. Its problems are printed with the error that ends the command.
    pub fn listed(&self, outcome: &Outcome) {
        self.bars.clear();
        match self.format {
            Format::Json => to_stdout(&to_json(&ListReport::new(outcome))),
            Format::Human => to_stdout(human(outcome).trim_end()),
        }
    }
}

fn human(outcome: &Outcome) -> String {
    let place = printable(&outcome.place);
    match &outcome.listing {
        Listing::Registry(listing) => registry(&place, listing),
        Listing::Provider(listing) => provider(&place, listing),
        Listing::Version(listing) => version(&place, listing),
    }
}

fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(u16::try_from(width()).unwrap_or(80));
    table.set_header(header);
    table
}

/// The platforms by operating system, each with its architectures.
fn platforms(platforms: &BTreeSet<Platform>) -> String {
    let mut systems: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for platform in platforms {
        systems.entry(platform.os()).or_default().push(platform.arch());
    }
    let systems = systems.into_iter().map(|(os, archs)| format!("{os} {}", archs.join(" ")));
    systems.collect::<Vec<_>>().join("\n")
}

fn day(time: Option<Timestamp>) -> String {
    time.map_or_else(String::new, |time| time.strftime("%Y-%m-%d").to_string())
}

fn registry(place: &str, RegistryListing { settings, providers }: &RegistryListing) -> String {
    let mut rows = table(["Provider", "Newest", "Versions", "Platforms", "Last publish"]);
    for provider in providers {
        let newest = provider.newest.as_ref().map_or("none".to_owned(), ToString::to_string);
        let yanked = provider.yanked;
        let yanked = if yanked > 0 { format!("\n{yanked} yanked") } else { String::new() };
        rows.add_row([
            provider.provider.to_string(),
            newest,
            format!("{}{yanked}", provider.versions),
            platforms(&provider.platforms),
            day(provider.last_publish),
        ]);
    }
    let mut lines = vec![format!("{BOLD}{place}{BOLD:#}: {}", words::count(providers.len(), "provider"))];
    for (name, value) in settings.iter().flatten() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        lines.push(format!("  {DIM}{name:<17}{DIM:#} {}", printable(&value)));
    }
    if !providers.is_empty() {
        lines.push(rows.trim_fmt());
    }
    lines.join("\n")
}

fn provider(place: &str, listing: &ProviderListing) -> String {
    let mut rows = table(["Version", "Platforms", "Protocols", "Published", "Key"]);
    for release in &listing.versions {
        let mark = match (&release.yanked, release.version.is_prerelease()) {
            (Some(_), _) => "\nyanked",
            (None, true) => "\npre-release",
            (None, false) => "",
        };
        rows.add_row([
            format!("{}{mark}", release.version),
            platforms(&release.platforms),
            printable(&release.protocols.join(", ")),
            day(release.published),
            release.key_id.as_ref().map_or_else(String::new, ToString::to_string),
        ]);
    }
    let count = words::count(listing.versions.len(), "version");
    let mut lines = vec![format!("{BOLD}{}{BOLD:#} in {place}: {count}", listing.provider), rows.trim_fmt()];
    for warning in &listing.warnings {
        lines.push(format!("{YELLOW}clients show:{YELLOW:#} {}", printable(warning)));
    }
    for release in &listing.versions {
        if let Some(Yanked { when, reason }) = &release.yanked {
            let reason = reason.as_deref().unwrap_or("no reason is given");
            lines.push(printable(&format!("{} was yanked at {when}: {reason}", release.version)));
        }
    }
    lines.join("\n")
}

fn version(place: &str, listing: &VersionListing) -> String {
    let mut lines = vec![format!("{BOLD}{}{BOLD:#} in {place}", listing.release)];
    let mut line = |label: &str, value: &str| {
        lines.push(format!("  {DIM}{label:<11}{DIM:#} {}", printable(value)));
    };
    if listing.release.version.is_prerelease() {
        line("", "pre-release");
    }
    let published = listing.published.map_or("the index does not say".to_owned(), |time| time.to_string());
    line("published", &published);
    line("protocols", &listing.protocols.join(", "));
    for SigningKey { key_id, fingerprint } in &listing.keys {
        line("key", &format!("{key_id}, fingerprint {fingerprint}"));
    }
    for link in &listing.checksums {
        line("SHA256SUMS", link);
    }
    match &listing.record {
        None => line("record", "none"),
        Some(PublishRecord { is_signed, build }) => {
            line(
                "record",
                if *is_signed { "signed by the key" } else { "not signed by the key: it may be anybody's" },
            );
            let facts = [
                ("repository", &build.repository),
                ("commit", &build.commit),
                ("tag", &build.tag),
                ("build", &build.link),
            ];
            for (label, value) in facts {
                if let Some(value) = value {
                    line(label, value);
                }
            }
        }
    }
    for ListedPlatform { platform, document, zip } in &listing.platforms {
        let Some(zip) = zip else {
            lines.push(format!("\n{BOLD}{platform}{BOLD:#}  {document}: cannot be read"));
            continue;
        };
        let size = zip.bytes.map_or_else(String::new, |bytes| format!("  {}", words::size(bytes)));
        lines.push(format!("\n{BOLD}{platform}{BOLD:#}{size}\n  zh:{}", zip.sha256));
        lines.extend(zip.h1.iter().chain([&zip.link]).map(|line| format!("  {}", printable(line))));
    }
    lines.join("\n")
}
