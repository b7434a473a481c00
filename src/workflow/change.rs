//! Runs the commands that change what is published, and the registry's settings: plans a goal, asks for confirmation if
//! needed, and applies the plan.

use std::path::PathBuf;

use super::target::{self, Target};
use crate::error::Result;
use crate::plan::{Goal, Plan};
use crate::publish::{self, Observer, Options};
use crate::store::access::Access;
use crate::store::budget::{Budget, RealPace};

/// The target of a change, and the settings.
pub struct Request {
    /// The registry.
    pub target: Target,
    /// The account that writes the registry.
    pub access: Access,
    /// A folder for the objects of a dry run, which writes nothing to the target.
    pub dry_run: Option<PathBuf>,
    /// The settings of the run.
    pub options: Options,
}

/// The result of a change.
pub struct Outcome {
    /// The registry in the user's words.
    pub target: String,
    /// How it ended.
    pub end: End,
}

/// How a change ended.
pub enum End {
    /// Nothing was written to the target.
    DryRun {
        /// The plan.
        plan: Plan,
        /// The folder with its objects.
        folder: PathBuf,
    },
    /// All objects are in the registry.
    Changed(publish::Outcome),
}

/// Asks for consent to a plan that is not empty; an error means that it was refused.
pub type Confirm<'a> = &'a (dyn Fn(&Plan) -> Result<()> + Sync);

/// Brings the registry into the state of `goal`, after `confirm` has agreed if consent is needed.
///
/// # Errors
/// Fails if the plan is refused or not confirmed, or if [`publish::publish`] fails.
pub async fn change<G: Goal>(
    request: Request,
    goal: &G,
    confirm: Option<Confirm<'_>>,
    observer: &dyn Observer,
) -> Result<Outcome> {
    let Request { target, access, dry_run, options } = request;
    let store = target::open_store(&target, dry_run.as_deref(), &access).await?;
    let observe =
        async || publish::observe(&store, goal, &mut G::RunState::default(), &options, observer).await;
    let target = store.describe();
    if let Some(folder) = dry_run {
        let plan = observe().await?;
        target::write_dry_run(&plan, &folder).await?;
        return Ok(Outcome { target, end: End::DryRun { plan, folder } });
    }
    if let Some(confirm) = confirm {
        let plan = observe().await?;
        if !plan.is_empty() {
            confirm(&plan)?;
        }
    }
    let budget = Budget::new(options.contention_timeout, Box::new(RealPace::default()));
    let run = publish::publish(&store, goal, &options, budget, observer).await?;
    Ok(Outcome { target, end: End::Changed(run) })
}
