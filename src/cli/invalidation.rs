//! `--invalidate`: what a CDN is told after a change.

use clap::Args;

use super::running::Running;
use super::{Environment, stop_signal};
use crate::cdn::Distribution;
use crate::error::{Error, Result};
use crate::registry::BaseUrl;
use crate::report::Reporter;
use crate::store::access::Access;
use crate::workflow::invalidation::{Invalidation, Ledger, Outcome};

/// The CDN to tell.
#[derive(Debug, Default, Args)]
pub(super) struct InvalidateArgs {
    /// Have a CloudFront distribution, by its id or ARN, ask again for the documents that have changed; for a CDN that keeps them
    /// for longer than --document-max-age says
    #[arg(long, value_name = "DISTRIBUTION")]
    invalidate: Option<Distribution>,
}

impl InvalidateArgs {
    /// What tells the distribution, by the account that writes the registry.
    ///
    /// # Errors
    /// Fails if the certificates of `AWS_CA_BUNDLE` cannot be read, or a variable names no endpoint.
    pub(super) fn invalidation(
        &self,
        access: &Access,
        base_url: Option<BaseUrl>,
        environment: &Environment,
    ) -> Result<Option<Invalidation>> {
        let Some(distribution) = self.invalidate.clone() else { return Ok(None) };
        // A registry in a directory needs neither.
        environment.check_endpoints()?;
        let mut access = access.clone();
        access.ca_bundle = environment.ca_bundle()?;
        Ok(Some(Invalidation { distribution, access, base_url }))
    }
}

/// Tells the distribution what a run has written that ended well, or not.
///
/// # Errors
/// Fails if it is interrupted.
pub(super) fn tell(
    runtime: &Running,
    invalidation: Option<&Invalidation>,
    ledger: &Ledger,
    is_done: bool,
    reporter: &Reporter,
) -> Result<Option<Outcome>> {
    let Some(invalidation) = invalidation else { return Ok(None) };
    runtime.block_on(async {
        tokio::select! {
            outcome = invalidation.run(ledger, is_done, reporter) => Ok(Some(outcome)),
            () = stop_signal()? => Err(Error::Interrupted),
        }
    })
}
