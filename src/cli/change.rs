//! The options that the commands share which change what is published, or the settings; and how these commands run.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Args;

use super::invalidation::{InvalidateArgs, tell};
use super::running::Running;
use super::subject::Subject;
use super::target::{EncryptionArgs, access, patience};
use super::values;
use super::{Environment, GlobalArgs, runtime, stop_signal};
use crate::error::{Error, Result};
use crate::openpgp::signer::Holder;
use crate::openpgp::{KeyId, Signer};
use crate::plan::{Goal, Plan, Write};
use crate::provider::Provider;
use crate::publish::{Observer, Options};
use crate::registry::{DocumentMaxAge, Key};
use crate::report::{ChangeReport, Reporter};
use crate::store::OnSent;
use crate::store::access::Access;
use crate::workflow::change::{Confirm, End, Request, change};
use crate::workflow::invalidation::{Invalidation, Kept, Ledger};
use crate::workflow::target::{Target, check_dry_run};

/// The options of a command that changes documents.
#[derive(Debug, Args)]
pub(super) struct ChangeArgs {
    #[command(flatten)]
    pub(super) run: RunArgs,

    /// How long clients and CDNs may keep a document, in seconds (S3 only) [default: what the registry's settings say, else 60]
    #[arg(long, value_name = "SECONDS")]
    pub(super) document_max_age: Option<u32>,

    #[command(flatten)]
    pub(super) invalidate: InvalidateArgs,
}

/// The options of every such command.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// Read TARGET, write nothing to it, leave the objects that would be written in DIR, and print the plan
    #[arg(long, value_name = "DIR")]
    dry_run: Option<PathBuf>,

    /// The role that is assumed to write
    #[arg(long, value_name = "ARN", env = "TFREG_ROLE_ARN", hide_env_values = true)]
    role_arn: Option<String>,

    /// How long to go on when others are always first, or the store does not answer, such as 90s or 5m
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = values::duration)]
    contention_timeout: Duration,

    #[command(flatten)]
    encryption: EncryptionArgs,
}

impl ChangeArgs {
    /// The folder for the objects of a dry run.
    pub(super) fn dry_run(&self) -> Option<&Path> {
        self.run.dry_run.as_deref()
    }

    /// The account that writes `target`, the settings of the run, and the CDN to tell.
    ///
    /// # Errors
    /// An option or a variable of the environment is not valid.
    pub(super) fn open(
        &self,
        target: &Target,
        (global, environment, reporter): (&GlobalArgs, &Environment, &Reporter),
        signer: Option<Arc<dyn Signer>>,
    ) -> Result<Opened> {
        let jobs = global.jobs();
        let contention_timeout = self.run.contention_timeout;
        let mut access = access(target, self.run.role_arn.clone(), environment)?;
        access.encryption = self.run.encryption.encryption()?;
        access.patience = patience(contention_timeout, reporter);
        let invalidation = self.invalidate.invalidation(&access, None, environment)?;
        let options = Options {
            jobs: jobs.writes,
            reads: jobs.reads,
            contention_timeout,
            signer,
            read_back: false,
            max_age: self.document_max_age.map(DocumentMaxAge),
        };
        Ok(Opened { access, options, invalidation: invalidation.filter(|_| self.dry_run().is_none()) })
    }

    /// The role that is assumed to write.
    pub(super) fn role_arn(&self) -> Option<&str> {
        self.run.role_arn.as_deref()
    }
}

/// What the options say of a run.
pub(super) struct Opened {
    pub(super) access: Access,
    pub(super) options: Options,
    pub(super) invalidation: Option<Invalidation>,
}

/// Whether the user agrees to the plan.
#[derive(Debug, Clone)]
pub(super) enum Consent {
    /// The command line is sufficient.
    Given,
    /// By `--yes`; this text is printed all the same.
    Told(String),
    /// The plan is shown with this text, and the user is asked.
    Asked(String),
}

impl Consent {
    /// Consent by `--yes`; otherwise the user is asked. `words` are printed in both cases.
    pub(super) fn new(yes: bool, words: String) -> Self {
        if yes { Self::Told(words) } else { Self::Asked(words) }
    }
}

/// What a command changes: of one provider, or of the whole registry.
#[derive(Clone, Copy)]
pub(super) struct About<'a> {
    pub(super) target: &'a Target,
    pub(super) provider: Option<&'a Provider>,
}

impl<'a> From<&'a Subject<Target>> for About<'a> {
    fn from(subject: &'a Subject<Target>) -> Self {
        Self { target: &subject.target, provider: Some(subject.provider()) }
    }
}

/// Brings TARGET into the state of `goal`.
pub(super) fn run<'a, G: Goal>(
    command: &'static str,
    about: (impl Into<About<'a>>, &ChangeArgs),
    goal: &G,
    signer: Option<Arc<dyn Signer>>,
    consent: Consent,
    common: (&GlobalArgs, &Environment, &Reporter),
) -> Result<()> {
    run_in(&runtime()?, command, about, goal, signer, consent, common)
}

/// The same, on the runtime on which the signer was opened.
pub(super) fn run_in<'a, G: Goal>(
    runtime: &Running,
    command: &'static str,
    (about, args): (impl Into<About<'a>>, &ChangeArgs),
    goal: &G,
    signer: Option<Arc<dyn Signer>>,
    consent: Consent,
    (global, environment, reporter): (&GlobalArgs, &Environment, &Reporter),
) -> Result<()> {
    let started = Instant::now();
    let About { target, provider } = about.into();
    check_dry_run(target, args.dry_run())?;
    let Opened { access, options, invalidation } =
        args.open(target, (global, environment, reporter), signer)?;
    let request = Request { target: target.clone(), access, dry_run: args.run.dry_run.clone(), options };
    let (told, asked) = match consent {
        Consent::Given => (None, None),
        Consent::Told(words) => (Some(words), None),
        Consent::Asked(words) => (None, Some(words)),
    };
    // Whether the plan was shown, for confirmation.
    let shown = AtomicBool::new(false);
    let confirm = |plan: &Plan| {
        reporter.proposed(plan);
        shown.store(true, Ordering::Relaxed);
        asked.as_ref().map_or(Ok(()), |words| ask(words, reporter))
    };
    let confirm: Option<Confirm<'_>> = if asked.is_some() { Some(&confirm) } else { None };
    let ledger = Ledger::default();
    let observer = ChangeObserver { reporter, shown: &shown, told, changes: Mutex::default() };
    let kept = Kept { observer: &observer, ledger: &ledger };
    let outcome = runtime.block_on(async {
        tokio::select! {
            outcome = change(request, goal, confirm, &kept) => outcome,
            () = stop_signal()? => Err(Error::Interrupted),
        }
    });
    let told = tell(runtime, invalidation.as_ref(), &ledger, outcome.is_ok(), reporter)?;
    let outcome = outcome?;
    let about = (outcome.target, provider);
    match &outcome.end {
        End::DryRun { plan, folder } => {
            let report = ChangeReport::planned(command, about, plan, folder, started.elapsed());
            reporter.changed(&report, plan);
        }
        End::Changed(run) => {
            let changes = observer.changes.into_inner().unwrap_or_else(PoisonError::into_inner);
            let report = ChangeReport::done(command, about, run, changes, started.elapsed());
            reporter.changed(&report.with_invalidation(told.as_ref()), &run.plan);
        }
    }
    Ok(())
}

/// Asks the user, if standard input is a terminal.
fn ask(words: &str, reporter: &Reporter) -> Result<()> {
    reporter.note(words);
    if !std::io::stdin().is_terminal() {
        return Err(Error::Usage(
            "this needs a confirmation, and standard input is not a terminal; look at the plan, then give --yes"
                .to_owned(),
        ));
    }
    reporter.ask("Continue?");
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

/// Reports the progress of a run, except for a plan that was shown already; keeps the changes.
struct ChangeObserver<'a> {
    reporter: &'a Reporter,
    shown: &'a AtomicBool,
    /// The text to print before the first write.
    told: Option<String>,
    changes: Mutex<Vec<String>>,
}

impl Observer for ChangeObserver<'_> {
    fn planned(&self, plan: &Plan) {
        *self.changes.lock().unwrap_or_else(PoisonError::into_inner) = plan.changes().to_vec();
        if let Some(words) = self.told.as_ref().filter(|_| !plan.is_empty()) {
            self.reporter.note(words);
        }
        if !self.shown.load(Ordering::Relaxed) {
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

    fn signing(&self, key: &KeyId, holder: Holder, count: usize) -> Box<dyn Send> {
        Observer::signing(self.reporter, key, holder, count)
    }
}
