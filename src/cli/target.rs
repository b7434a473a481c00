//! Access to the registry that a command names.

use std::time::Duration;

use clap::Args;

use super::Environment;
use crate::error::{Error, Refusal, Result};
use crate::publish::Observer as _;
use crate::report::Reporter;
use crate::store::access::Access;
use crate::store::budget::Patience;
use crate::store::s3::encryption::{Algorithm, Encryption};
use crate::workflow::target::{Place, Target};

/// How the server encrypts what is written.
#[derive(Debug, Args)]
#[command(next_help_heading = "Server-side encryption (S3 only)")]
pub(super) struct EncryptionArgs {
    /// Ask the server to encrypt what is written: AES256, or aws:kms. Needed where the bucket's policy demands it
    /// [default: the bucket's own encryption]
    #[arg(long, value_name = "ALGORITHM", env = "TFREG_SSE", hide_env_values = true)]
    sse: Option<String>,

    /// The key of KMS for --sse aws:kms: its id, ARN or alias [default: the account's own for S3]
    #[arg(long, value_name = "ID", env = "TFREG_SSE_KMS_KEY_ID", hide_env_values = true)]
    sse_kms_key_id: Option<String>,
}

impl EncryptionArgs {
    /// Combines the two options. In pipelines, variables of settings that are not configured are empty.
    pub(super) fn encryption(&self) -> Result<Option<Encryption>> {
        let set = |value: &Option<String>| value.clone().filter(|text| !text.is_empty());
        let algorithm = set(&self.sse).map(|text| text.parse::<Algorithm>()).transpose();
        let algorithm = algorithm.map_err(|error| Error::Usage(format!("--sse: {error}")))?;
        Encryption::new(algorithm, set(&self.sse_kms_key_id))
            .map_err(|error| Error::Usage(format!("--sse-kms-key-id: {error}")))
    }
}

/// How long reads are retried; retries are reported.
pub(super) fn patience(limit: Duration, reporter: &Reporter) -> Patience {
    let reporter = reporter.clone();
    Patience::new(limit).telling(move |reason| reporter.waiting(reason))
}

/// The standard AWS configuration with `role_arn`, and with the network settings of the environment if `target` is in
/// S3.
pub(super) fn access(target: &Target, role_arn: Option<String>, environment: &Environment) -> Result<Access> {
    let mut access = Access { role_arn: role_arn.filter(|arn| !arn.is_empty()), ..Access::default() };
    if matches!(target, Target::S3(_)) {
        environment.check_endpoints()?;
        access.ca_bundle = environment.ca_bundle()?;
    }
    Ok(access)
}

/// The same for a registry that is only read.
pub(super) fn access_to(place: &Place, environment: &Environment) -> Result<Access> {
    match place {
        Place::Target(target) => access(target, None, environment),
        Place::Web(_) => Ok(Access { ca_bundle: environment.ca_bundle()?, ..Access::default() }),
    }
}

/// Refuses a directory that does not exist: one error instead of many; `doing` is the command.
pub(super) fn check_exists(place: &Place, doing: &str) -> Result<()> {
    match place {
        Place::Target(Target::Directory(path)) if !path.exists() => {
            let refusal = Refusal::new(path.display(), format!("there is no registry to {doing}"))
                .found("no such directory")
                .expected("the directory of a registry")
                .remedy("check the path; a publish makes the directory. A host is written https://HOST/");
            Err(refusal.into())
        }
        _ => Ok(()),
    }
}
