//! The commands that change a published provider: a goal is planned, perhaps confirmed, and run.

use std::path::PathBuf;

use super::target::{self, Target};
use crate::error::Result;
use crate::plan::{Goal, Plan};
use crate::publish::{self, Observer, Options};
use crate::registry::DocumentMaxAge;
use crate::store::access::Access;
use crate::store::budget::{Budget, RealPace};

/// Where something is changed, and how.
pub struct Request {
    /// The registry.
    pub target: Target,
    /// The account that writes it.
    pub access: Access,
    /// A folder for the objects, of which none is then written to the target.
    pub dry_run: Option<PathBuf>,
    /// How long clients may keep a document.
    pub max_age: DocumentMaxAge,
    /// How the run goes about its work.
    pub options: Options,
}

/// What a change has come to.
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
        /// What would be.
        plan: Plan,
        /// Where its objects are.
        folder: PathBuf,
    },
    /// All is in the registry.
    Changed(publish::Outcome),
}

/// Asks for consent to a plan that is not empty; an error is a refusal of it.
pub type Confirm<'a> = &'a (dyn Fn(&Plan) -> Result<()> + Sync);

/// Makes the registry as `goal` wants it, once `confirm` has agreed where consent is needed.
///
/// # Errors
/// The plan is refused or not confirmed, or what [`publish::publish`] fails of.
pub async fn change<G: Goal>(
    request: Request,
    goal: &G,
    confirm: Option<Confirm<'_>>,
    observer: &dyn Observer,
) -> Result<Outcome> {
    let Request { target, access, dry_run, max_age, options } = request;
    let store = target::open_store(&target, dry_run.as_deref(), max_age, &access).await?;
    let observe = async || publish::observe(&store, goal, &mut G::RunState::default(), &options).await;
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
