//! What the commands that change a published provider have in common: their options, and how they are run.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;

use super::subject::Subject;
use super::target::{EncryptionArgs, access, check_dry_run, leave_tree, open_store, patience};
use super::values::{self, Target};
use super::{Environment, GlobalArgs, runtime, stop_signal};
use crate::error::{Error, Result};
use crate::plan::{Goal, Plan, Write};
use crate::publish::budget::{Budget, RealPace};
use crate::publish::{self, Observer, Options};
use crate::registry::{DocumentMaxAge, Key};
use crate::report::{ChangeReport, Reporter};
use crate::store::OnSent;

#[derive(Debug, Args)]
pub(super) struct ChangeArgs {
    /// Read TARGET, write nothing to it, leave the objects that would be written in DIR, and print the plan
    #[arg(long, value_name = "DIR")]
    dry_run: Option<PathBuf>,

    /// The role that is assumed to write
    #[arg(long, value_name = "ARN", env = "TFREG_ROLE_ARN", hide_env_values = true)]
    role_arn: Option<String>,

    /// How long clients and CDNs may keep a document, in seconds (S3 only)
    #[arg(long, value_name = "SECONDS", default_value_t = DocumentMaxAge::default().0)]
    document_max_age: u32,

    /// How long to go on when others are always first, or the store does not answer, such as 90s or 5m
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = values::duration)]
    contention_timeout: Duration,

    #[command(flatten)]
    encryption: EncryptionArgs,
}

/// Whether the user agrees to the plan.
#[derive(Debug, Clone)]
pub(super) enum Consent {
    /// The command line says all.
    Given,
    /// By `--yes`; these words are told all the same.
    Told(String),
    /// The plan is shown, with these words, and the user is asked.
    Asked(String),
}

impl Consent {
    /// What `--yes` gives, and otherwise has to be asked for with `words`. They are told either way.
    pub(super) fn new(yes: bool, words: String) -> Self {
        if yes { Self::Told(words) } else { Self::Asked(words) }
    }
}

/// Makes TARGET as `goal` wants it.
pub(super) fn run<G: Goal>(
    command: &'static str,
    (subject, args): (&Subject<Target>, &ChangeArgs),
    goal: &G,
    consent: Consent,
    (global, environment, reporter): (&GlobalArgs, &Environment, &Reporter),
) -> Result<()> {
    let started = Instant::now();
    check_dry_run(&subject.target, args.dry_run.as_deref())?;
    let jobs = global.jobs();
    let options =
        Options { jobs: jobs.writes, reads: jobs.reads, contention_timeout: args.contention_timeout };
    runtime()?.block_on(async {
        let max_age = DocumentMaxAge(args.document_max_age);
        let mut access = access(&subject.target, args.role_arn.clone(), environment)?;
        access.encryption = args.encryption.encryption()?;
        access.patience = patience(args.contention_timeout, reporter);
        let store = open_store(&subject.target, args.dry_run.as_deref(), max_age, &access).await?;
        let about = || (store.describe(), subject.provider());
        let observe =
            async || publish::observe(&*store, goal, &mut G::Memory::default(), options.reads).await;
        if let Some(folder) = &args.dry_run {
            let plan = observe().await?;
            leave_tree(&plan, folder).await?;
            let report = ChangeReport::planned(command, about(), &plan, folder, started.elapsed());
            reporter.changed(&report, &plan);
            return Ok(());
        }
        let mut heard = Heard { reporter, shown: false, words: None, changes: std::sync::Mutex::default() };
        match consent {
            Consent::Given => {}
            // Once it is known that there is something to do.
            Consent::Told(words) => heard.words = Some(words),
            Consent::Asked(words) => {
                let plan = observe().await?;
                if !plan.is_empty() {
                    reporter.proposed(&plan);
                    heard.shown = true;
                    ask(&words, reporter)?;
                }
            }
        }
        let budget = Budget::new(options.contention_timeout, Box::new(RealPace::default()));
        let running = publish::publish(&*store, goal, &options, budget, &heard);
        let outcome = tokio::select! {
            outcome = running => outcome?,
            () = stop_signal()? => return Err(Error::Interrupted),
        };
        let changes = heard.changes.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        let report = ChangeReport::done(command, about(), &outcome, changes, started.elapsed());
        reporter.changed(&report, &outcome.plan);
        Ok(())
    })
}

/// Asks where there is somebody to answer.
fn ask(words: &str, reporter: &Reporter) -> Result<()> {
    reporter.note(words);
    if !std::io::stdin().is_terminal() {
        return Err(Error::Usage(
            "this has to be confirmed, and standard input is no terminal; look at the plan, and give --yes"
                .to_owned(),
        ));
    }
    reporter.ask("Go on?");
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .map_err(|source| Error::Io { context: "cannot read the answer".to_owned(), source })?;
    if matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
        Ok(())
    } else {
        Err(Error::Declined)
    }
}

/// Passes on what a run does, but for a plan that was shown already; keeps what it changes.
struct Heard<'a> {
    reporter: &'a Reporter,
    shown: bool,
    /// What is told before something is written.
    words: Option<String>,
    changes: std::sync::Mutex<Vec<String>>,
}

impl Observer for Heard<'_> {
    fn planned(&self, plan: &Plan) {
        *self.changes.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = plan.changes().to_vec();
        if let Some(words) = self.words.as_ref().filter(|_| !plan.is_empty()) {
            self.reporter.note(words);
        }
        if !self.shown {
            self.reporter.planned(plan);
        }
    }

    fn sending(&self, write: &Write) -> OnSent {
        self.reporter.sending(write)
    }

    fn written(&self, key: &Key) {
        self.reporter.written(key);
    }

    fn waiting(&self, reason: &str) {
        self.reporter.waiting(reason);
    }
}
