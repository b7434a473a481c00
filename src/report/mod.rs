//! The only printer: results on standard output, for people or as JSON; progress, warnings and logs on standard error.

mod change;
mod downloads;
mod failure;
mod invalidation;
mod json;
mod key;
mod list;
mod masked;
mod mirror;
mod progress;
mod publish;
mod serve;
mod verify;

use std::collections::BTreeSet;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

use crate::error::{Error, Result};
use crate::hosting::Stack;
use crate::openpgp::KeyId;
use crate::openpgp::signer::Holder;
use crate::plan::{Action, Plan, Write};
use crate::policy::{Document, Policies};
use crate::publish::Observer;
use crate::registry::Key;
use crate::release::Release;
use crate::release::name::Form;
use crate::serve::{Answered, OnAnswered};
use crate::store::OnSent;
use crate::words;
use crate::workflow;
use crate::workflow::publish::End;
pub use change::ChangeReport;
pub use downloads::{Column, DownloadsView};
pub use list::ListProgress;
use masked::masked;
use progress::{Bars, Repacking, Sending};
use publish::{Contents, OneOfMany, Report, VersionReport};
pub use serve::ServeReport;
pub use verify::Verifying;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text for people
    Human,
    /// One JSON object
    Json,
}

/// How much is printed beside the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Volume {
    /// Errors only.
    Quiet,
    /// Progress and warnings.
    Normal,
    /// Every step and request.
    Verbose,
}

/// Prints the progress and the result of a command.
#[derive(Clone)]
pub struct Reporter {
    format: Format,
    volume: Volume,
    bars: Bars,
}

const BOLD: Style = Style::new().bold();
const GREEN: Style = AnsiColor::Green.on_default();
const YELLOW: Style = AnsiColor::Yellow.on_default();
const RED: Style = AnsiColor::Red.on_default().bold();
const DIM: Style = Style::new().dimmed();

impl Reporter {
    /// A printer; `redraw` allows progress bars if standard error is a terminal.
    #[must_use]
    pub fn new(format: Format, volume: Volume, redraw: bool) -> Self {
        if volume == Volume::Verbose {
            // The AWS SDK's own logs stay off: only tfreg's own log is known to contain no secrets.
            let subscriber = tracing_subscriber::fmt()
                .with_env_filter(EnvFilter::new("tfreg=debug"))
                .with_writer(std::io::stderr)
                // It would be printed to standard error again, and panic if that cannot be written.
                .log_internal_errors(false)
                .with_ansi(
                    std::io::stderr().is_terminal()
                        && anstream::stderr().current_choice() != anstream::ColorChoice::Never,
                );
            // If one is installed already, because the process runs two commands, this changes nothing.
            drop(subscriber.try_init());
        }
        let draw = redraw && volume == Volume::Normal && std::io::stderr().is_terminal();
        Self { format, volume, bars: Bars::new(draw) }
    }

    /// Prints a note on standard error, on its own line.
    pub fn note(&self, text: &str) {
        if self.volume != Volume::Quiet {
            self.bars.around(|| to_stderr(&printable(text)));
        }
    }

    /// Prints a warning on standard error.
    pub fn warn(&self, text: &str) {
        if self.volume != Volume::Quiet {
            self.bars.around(|| to_stderr(&format!("{YELLOW}warning:{YELLOW:#} {}", printable(text))));
        }
    }

    /// Prints the error that ended the command, with its causes, once.
    pub fn failed(&self, error: &Error) {
        let mut text = error.to_string();
        let ended_by: &Error = match error {
            Error::Unfinished { cause, .. } => cause,
            other => other,
        };
        let mut cause = std::error::Error::source(ended_by);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        let text = masked(&text);
        self.bars.around(|| to_stderr(&format!("{RED}error:{RED:#} {}", printable(&text))));
        if let Error::Unfinished { state, .. } = error {
            self.bars.around(|| to_stderr(&printable(&state.to_string())));
        }
        if self.format == Format::Json && !matches!(error, Error::Reported(_) | Error::Unverified(_)) {
            to_stdout(&failure::failure(error, &text));
        }
    }

    /// Prints a result that is one text in every format, such as a script.
    ///
    /// # Errors
    /// Fails if standard output cannot be written, unless its reader has closed it.
    pub fn raw(&self, bytes: &[u8]) -> Result<()> {
        let mut out = std::io::stdout().lock();
        keep_failure(out.write_all(bytes).and_then(|()| out.flush()));
        self.check_written()
    }

    /// Checks whether all results so far were written. The command's changes stay in any case.
    ///
    /// # Errors
    /// Fails if standard output could not be written, unless its reader has closed it.
    pub fn check_written(&self) -> Result<()> {
        let failure = UNWRITTEN.lock().unwrap_or_else(PoisonError::into_inner).take();
        failure.map_or(Ok(()), |source| {
            Err(Error::Io { context: "cannot write the result to standard output".to_owned(), source })
        })
    }

    /// Prints an error of the command line, in colours if nothing has to be omitted from it, and also as JSON if that
    /// is the format.
    pub fn usage(&self, error: &clap::Error) {
        let text = error.render().to_string();
        let shown = masked(&text);
        if shown == text {
            // Nothing can be done if the terminal is gone.
            let _ = error.print();
        } else {
            to_stderr(printable(&shown).trim_end());
        }
        if self.format == Format::Json {
            let message = shown.trim_end().trim_start_matches("error: ").to_owned();
            to_stdout(&failure::failure(&Error::Usage(message.clone()), &message));
        }
    }

    /// Returns the observer of a preview's requests: it prints each on a line of standard error, unless only errors are
    /// printed.
    #[must_use]
    pub fn requests(&self) -> OnAnswered {
        let quiet = self.volume == Volume::Quiet;
        Arc::new(move |Answered { method, path, status, bytes }| {
            if !quiet {
                to_stderr(&printable(&format!("{method} {path} {status} {bytes}")));
            }
        })
    }

    /// Announces a preview and how to use it.
    pub fn serving(&self, report: &ServeReport) {
        match self.format {
            Format::Json => to_stdout(&report.to_json()),
            Format::Human => to_stdout(report.to_string().trim_end()),
        }
    }

    /// Prints policies, with the steps that remain.
    pub fn policies(&self, policies: &Policies) {
        match self.format {
            Format::Json => to_stdout(&json::to_json(policies)),
            Format::Human => {
                Self::document(
                    "Publisher policy, for the user or role that publishes",
                    &policies.publisher_policy,
                );
                to_stdout("");
                Self::document("Bucket policy", &policies.bucket_policy);
            }
        }
        for note in &policies.notes {
            self.note(&format!("note: {note}"));
        }
    }

    /// Prints a template, which is JSON in every format, with the steps that remain.
    pub fn stack(&self, stack: &Stack) {
        to_stdout(&json::to_json(&stack.template));
        for note in &stack.notes {
            self.note(&format!("note: {note}"));
        }
    }

    fn document(heading: &str, document: &Document) {
        to_stdout(&format!("{BOLD}{heading}{BOLD:#}\n\n{}\n", json::to_json(document)));
        for statement in document.statements() {
            to_stdout(&format!("  {DIM}{}:{DIM:#} {}", statement.sid(), statement.purpose()));
        }
    }

    /// Prints the plans of a dry run.
    fn dry_run(&self, report: &Report<'_>, plans: &[&Plan]) {
        for plan in plans {
            self.warnings(plan);
        }
        if self.format == Format::Json {
            return to_stdout(&report.to_json());
        }
        if self.volume == Volume::Quiet {
            return;
        }
        for plan in plans {
            Self::plan(plan);
        }
        if let Some(line) = probe_line(report) {
            to_stdout(&line);
        }
        if report.is_unchanged() {
            to_stdout(&format!(
                "{BOLD}Already published, nothing to do.{BOLD:#} Nothing was written to {}.",
                report.target
            ));
        } else {
            let folder = report.dry_run.as_deref().unwrap_or_default();
            to_stdout(&format!(
                "{BOLD}Dry run:{BOLD:#} nothing was written to {}; the objects that would be written are in {folder}.",
                report.target
            ));
        }
    }

    /// Prints the result of a publish, or of its dry run.
    pub fn published(
        &self,
        outcome: &workflow::publish::Outcome,
        told: Option<&workflow::invalidation::Outcome>,
        duration: Duration,
    ) {
        let report = Report::new(outcome, told, duration);
        let ends = || outcome.batches.iter().map(|batched| &batched.end);
        let planned = ends().filter_map(|end| match end {
            End::DryRun { plan, .. } => Some(&**plan),
            End::Published { .. } => None,
        });
        let planned: Vec<&Plan> = planned.collect();
        if !planned.is_empty() {
            return self.dry_run(&report, &planned);
        }
        self.bars.clear();
        let mut said = BTreeSet::new();
        for end in ends() {
            let End::Published { run, .. } = end else { continue };
            // What holds for all batches is said once.
            for warning in run.plan.warnings().iter().filter(|warning| said.insert((*warning).clone())) {
                self.warn(warning);
            }
        }
        match (self.format, self.volume) {
            (Format::Json, _) => to_stdout(&report.to_json()),
            (Format::Human, Volume::Quiet) => {}
            (Format::Human, _) => to_stdout(&format!("{}", HumanResult(&report))),
        }
        for end in ends() {
            if let End::Published { verified: Some(Ok(verification)), .. } = end {
                self.read_back(verification);
            }
        }
    }

    /// Prints the result of a command other than publish, or of its dry run.
    pub fn changed(&self, report: &ChangeReport, plan: &Plan) {
        self.bars.clear();
        self.warnings(plan);
        if self.format == Format::Json {
            return to_stdout(&report.to_json());
        }
        if self.volume == Volume::Quiet {
            return;
        }
        let (target, about) = (&report.target, report.about());
        match &report.dry_run {
            Some(folder) => {
                Self::plan(plan);
                let what = if report.is_unchanged() {
                    format!("{BOLD}Nothing to do.{BOLD:#} Nothing was written to {target}.")
                } else {
                    format!(
                        "{BOLD}Dry run:{BOLD:#} nothing was written to {target}; the objects that would be written are in {folder}."
                    )
                };
                to_stdout(&what);
            }
            None if report.is_unchanged() => {
                to_stdout(&format!(
                    "{BOLD}Nothing to do:{BOLD:#} no change of {about} in {target} is needed"
                ));
            }
            None => {
                let done = if report.is_new() { "Created" } else { "Changed" };
                to_stdout(&format!("{GREEN}{BOLD}{done}{BOLD:#}{GREEN:#} {BOLD}{about}{BOLD:#} in {target}"));
            }
        }
    }

    /// Prints a plan that the user has to confirm, if results are for people.
    pub fn proposed(&self, plan: &Plan) {
        if self.format == Format::Human {
            Self::plan(plan);
        }
    }

    /// Prints a question on standard error; the caller reads the answer.
    pub fn ask(&self, question: &str) {
        self.bars.around(|| {
            drop(write!(anstream::stderr().lock(), "{BOLD}{}{BOLD:#} [y/N] ", printable(question)));
        });
    }

    fn warnings(&self, plan: &Plan) {
        for warning in plan.warnings() {
            self.warn(warning);
        }
    }

    fn changes(plan: &Plan) {
        for change in plan.changes() {
            let style = match change.as_bytes().first() {
                Some(b'+') => GREEN,
                Some(b'-') => RED,
                _ => YELLOW,
            };
            to_stdout(&format!("  {style}{}{style:#}", printable(change)));
        }
    }

    fn plan(plan: &Plan) {
        Self::changes(plan);
        for write in plan.writes() {
            let style = match write.action {
                Action::Create => GREEN,
                Action::Replace { .. } => YELLOW,
                Action::Keep => DIM,
            };
            to_stdout(&format!("  {style}{write}{style:#}"));
        }
        to_stdout(&format!("Plan: {}.", plan.totals()));
    }

    /// Prints a note, unless a bar shows the same.
    fn note_plain(&self, text: &str) {
        if !self.bars.drawn() {
            self.note(text);
        }
    }
}

impl Observer for Reporter {
    fn planned(&self, plan: &Plan) {
        if self.format == Format::Human && self.volume != Volume::Quiet {
            self.bars.clear();
            if self.volume == Volume::Verbose {
                Self::plan(plan);
            } else {
                // The objects are printed at the end, once.
                Self::changes(plan);
                to_stdout(&format!("Plan: {}.", plan.totals()));
            }
        }
        self.bars.start_sending(plan.totals().bytes);
    }

    fn sending(&self, write: &Write) -> OnSent {
        tracing::debug!(key = %write.key, bytes = write.body.len(), "sending");
        let sending: Sending = self.bars.sending();
        Arc::new(move |bytes| sending.advance(bytes))
    }

    /// Logged with `--verbose`; otherwise the bar, or the end, shows it.
    fn written(&self, _: &Key) {}

    fn waiting(&self, reason: &str) {
        self.note(&format!("waiting to try again: {reason}"));
    }

    fn signing(&self, key: &KeyId, holder: Holder, count: usize) -> Box<dyn Send> {
        let name = holder.name();
        self.note(&format!("{name} is asked for {} by key {key}", words::count(count, "signature")));
        if holder.may_ask() { Box::new(self.bars.step_aside()) } else { Box::new(()) }
    }
}

impl workflow::Observer for Reporter {
    fn warn(&self, text: &str) {
        self.warn(text);
    }

    fn note(&self, text: &str) {
        self.note(text);
    }

    fn fetching(&self, count: usize, bytes: u64) -> Box<dyn Fn(u64) + Send + Sync> {
        let files = words::count(count, "file");
        self.note_plain(&format!("Fetching {files}, {}", indicatif::HumanBytes(bytes)));
        let bar = self.bars.fetching(bytes);
        Box::new(move |came| {
            bar.inc(came);
            if bar.position() >= bytes {
                bar.finish_and_clear();
            }
        })
    }

    fn repacking(&self, release: &Release, position: (usize, usize)) -> Box<dyn workflow::Repacking + '_> {
        let count = release.artifacts.len();
        let doing = match release.form {
            Form::Tarball => format!("Repacking {}", words::count(count, "tarball")),
            Form::Zip => format!("Checking {}", words::count(count, "zip")),
        };
        let of = match position {
            (_, 1) => String::new(),
            (at, count) => format!(" ({at} of {count})"),
        };
        let what = format!("{doing} of {} {}{of}", release.provider_type, release.version);
        if of.is_empty() {
            self.note_plain(&what);
        } else {
            self.note(&what);
        }
        Box::new(Repacking::new(self, release))
    }
}

/// Text from a registry, an archive or a server, without characters that affect a terminal: control characters, and
/// those that are invisible or change the direction of writing.
fn printable(text: &str) -> String {
    let acts = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    text.chars().fold(String::with_capacity(text.len()), |mut printable, c| {
        if acts(c) {
            printable.extend(c.escape_unicode());
        } else {
            printable.push(c);
        }
        printable
    })
}

/// The result of the probe of a version, for people; `None` if a warning has said that there is none.
fn probe_line(report: &Report<'_>) -> Option<String> {
    let Contents::One(version) = &report.contents else { return None };
    let probe = version.probe.as_ref()?;
    Some(format!("{} speaks plugin protocol {}, as declared", probe.platform, probe.protocol?))
}

struct HumanResult<'a>(&'a Report<'a>);

impl std::fmt::Display for HumanResult<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0.contents {
            Contents::One(version) => self.one(version, f),
            Contents::Many { versions, .. } => self.many(versions, f),
        }
    }
}

impl HumanResult<'_> {
    fn one(&self, version: &VersionReport<'_>, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let report = self.0;
        let name = format!("{} {}", version.provider, version.version);
        if report.is_unchanged() {
            write!(f, "{BOLD}Already published, nothing to do:{BOLD:#} {name} is in {}", report.target)?;
            for line in [probe_line(report), report.verified_line()].into_iter().flatten() {
                write!(f, "\n{line}")?;
            }
            return Ok(());
        }
        writeln!(f, "{GREEN}{BOLD}Published{BOLD:#}{GREEN:#} {BOLD}{name}{BOLD:#} to {}", report.target)?;
        for platform in &version.platforms {
            writeln!(f, "  {:<16} sha256:{}", platform.platform, platform.zip_sha256)?;
        }
        if let Some(line) = probe_line(report) {
            writeln!(f, "{line}")?;
        }
        let (key, protocols, seconds) = (version.key_id, version.protocols.join(", "), report.seconds());
        write!(f, "signed by {key}, protocols {protocols}, in {seconds:.2} s")?;
        report.verified_line().map_or(Ok(()), |line| write!(f, "\n{line}"))
    }

    fn many(&self, versions: &[OneOfMany<'_>], f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (report, count) = (self.0, words::count(versions.len(), "version"));
        if report.is_unchanged() {
            write!(f, "{BOLD}Already published, nothing to do:{BOLD:#} {count} in {}", report.target)?;
            return report.verified_line().map_or(Ok(()), |line| write!(f, "\n{line}"));
        }
        let published = versions.iter().filter(|version| version.outcome != "unchanged").count();
        let heading = format!("{GREEN}{BOLD}Published{BOLD:#}{GREEN:#}");
        writeln!(f, "{heading} {BOLD}{published} of {count}{BOLD:#} to {}", report.target)?;
        for OneOfMany { outcome, version } in versions {
            let name = format!("{} {}", version.provider, version.version);
            let platforms = words::count(version.platforms.len(), "platform");
            let there = if *outcome == "unchanged" { ", there already" } else { "" };
            writeln!(f, "  {name:<32} {platforms}{there}")?;
        }
        let keys: BTreeSet<&str> = versions.iter().map(|version| version.version.key_id).collect();
        let keys = keys.into_iter().collect::<Vec<_>>().join(", ");
        write!(f, "signed by {keys}, in {:.2} s", report.seconds())?;
        report.verified_line().map_or(Ok(()), |line| write!(f, "\n{line}"))
    }
}

/// The failure to write a result to standard output; one for the whole process.
static UNWRITTEN: Mutex<Option<io::Error>> = Mutex::new(None);

/// Keeps the first failure to write a result, for [`Reporter::check_written`].
fn keep_failure(written: io::Result<()>) {
    match written {
        // A closed pipe (`tfreg … | head`) is not a failure: its reader needs no more.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            UNWRITTEN.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
        _ => {}
    }
}

fn to_stdout(text: &str) {
    let mut out = anstream::stdout().lock();
    keep_failure(writeln!(out, "{text}").and_then(|()| out.flush()));
}

fn to_stderr(text: &str) {
    drop(writeln!(anstream::stderr().lock(), "{text}"));
}
