//! Progress bars on a terminal, for repacking and for uploads.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Reporter;

use crate::release::{Artifact, Release};
use crate::workflow;

/// All bars of a command; none is drawn if standard error is not a terminal.
#[derive(Clone)]
pub(super) struct Bars {
    all: MultiProgress,
    drawn: bool,
    /// The bar of the upload under way; a finished bar is never drawn again.
    sending: Arc<Mutex<ProgressBar>>,
}

// Within 80 columns.
const STYLE: &str =
    "{prefix:>14} {bar:24} {binary_bytes:>10}/{binary_total_bytes:10} {binary_bytes_per_sec:>12}";

fn style() -> ProgressStyle {
    // The template is a constant; the default style is a sufficient fallback.
    ProgressStyle::with_template(STYLE).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Bars {
    pub(super) fn new(drawn: bool) -> Self {
        let target = if drawn { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self {
            all: MultiProgress::with_draw_target(target),
            drawn,
            sending: Arc::new(Mutex::new(ProgressBar::hidden())),
        }
    }

    pub(super) fn drawn(&self) -> bool {
        self.drawn
    }

    /// Adds a bar.
    pub(super) fn add(&self, bar: ProgressBar) -> ProgressBar {
        self.all.add(bar)
    }

    /// Prints something without disturbing the bars.
    pub(super) fn around(&self, print: impl FnOnce()) {
        self.all.suspend(print);
    }

    /// Removes all bars.
    pub(super) fn clear(&self) {
        self.current().finish_and_clear();
        // Only the terminal can fail here, and then the bars are not visible anyway.
        drop(self.all.clear());
    }

    pub(super) fn start_sending(&self, total: u64) {
        let bar = ProgressBar::hidden();
        self.start(&bar, "uploading", total);
        *self.sending.lock().unwrap_or_else(PoisonError::into_inner) = bar;
    }

    fn current(&self) -> ProgressBar {
        self.sending.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A bar for fetched bytes; hidden if none is drawn.
    pub(super) fn fetching(&self, total: u64) -> ProgressBar {
        let bar = ProgressBar::hidden();
        self.start(&bar, "fetching", total);
        bar
    }

    fn start(&self, bar: &ProgressBar, prefix: &'static str, total: u64) {
        if self.drawn && total > 0 {
            bar.set_style(style());
            bar.set_prefix(prefix);
            bar.set_length(total);
            self.all.add(bar.clone());
            bar.enable_steady_tick(Duration::from_millis(200));
        }
    }

    /// Draws no bar until the result is dropped: another program uses the terminal.
    pub(super) fn step_aside(&self) -> Aside {
        drop(self.all.clear());
        self.all.set_draw_target(ProgressDrawTarget::hidden());
        Aside(self.drawn.then(|| self.all.clone()))
    }

    pub(super) fn sending(&self) -> Sending {
        Sending(self.current())
    }
}

/// The time in which no bar is drawn.
pub(super) struct Aside(Option<MultiProgress>);

impl Drop for Aside {
    fn drop(&mut self) {
        if let Some(all) = &self.0 {
            all.set_draw_target(ProgressDrawTarget::stderr());
        }
    }
}

/// The upload of one object.
pub(super) struct Sending(ProgressBar);

impl Sending {
    pub(super) fn advance(&self, bytes: u64) {
        self.0.inc(bytes);
    }
}

/// The progress of repacking, with a bar for each tarball.
pub(super) struct Repacking<'a> {
    reporter: &'a Reporter,
    bars: Vec<ProgressBar>,
}

impl<'a> Repacking<'a> {
    pub(super) fn new(reporter: &'a Reporter, release: &Release) -> Self {
        let bar = |artifact: &Artifact| {
            let bar = reporter.bars.all.add(ProgressBar::new(artifact.file.len_hint().unwrap_or(0)));
            bar.set_style(style());
            bar.set_prefix(artifact.name.platform.to_string());
            bar
        };
        let artifacts = if reporter.bars.drawn { release.artifacts.as_slice() } else { &[] };
        let bars = artifacts.iter().map(bar).collect();
        Self { reporter, bars }
    }
}

impl workflow::Repacking for Repacking<'_> {
    fn advance(&self, artifact: usize, bytes: u64) {
        if let Some(bar) = self.bars.get(artifact) {
            bar.inc(bytes);
        }
    }

    fn finish(&self) {
        for bar in &self.bars {
            bar.finish_and_clear();
        }
        self.reporter.bars.clear();
    }
}
