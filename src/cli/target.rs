//! Opening the registry that a command changes, and the folder of its dry run.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::Environment;
use super::values::{Place, Target};
use crate::error::{Error, Refusal, Result};
use crate::plan::{Action, Plan};
use crate::publish::Observer as _;
use crate::publish::budget::Patience;
use crate::reader::Reader;
use crate::reader::web::Web;
use crate::registry::DocumentMaxAge;
use crate::report::Reporter;
use crate::store::access::Access;
use crate::store::directory::Directory;
use crate::store::s3::S3;
use crate::store::s3::encryption::{Algorithm, Encryption};
use crate::store::{Answer, Condition, Store};

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
    /// What they mean together. Pipelines set variables of what is not configured to nothing.
    pub(super) fn encryption(&self) -> Result<Option<Encryption>> {
        let set = |value: &Option<String>| value.clone().filter(|text| !text.is_empty());
        let algorithm = set(&self.sse).map(|text| text.parse::<Algorithm>()).transpose();
        let algorithm = algorithm.map_err(|error| Error::Usage(format!("--sse: {error}")))?;
        Encryption::new(algorithm, set(&self.sse_kms_key_id))
            .map_err(|error| Error::Usage(format!("--sse-kms-key-id: {error}")))
    }
}

/// How long reads are tried again, which is told.
pub(super) fn patience(limit: Duration, reporter: &Reporter) -> Patience {
    let reporter = reporter.clone();
    Patience::new(limit).telling(move |reason| reporter.waiting(reason))
}

/// The standard AWS configuration with `role_arn`, and with what the environment says of the network, where `target` is in
/// S3.
pub(super) fn access(target: &Target, role_arn: Option<String>, environment: &Environment) -> Result<Access> {
    let mut access = Access { role_arn: role_arn.filter(|arn| !arn.is_empty()), ..Access::default() };
    if matches!(target, Target::S3(_)) {
        environment.check_endpoints()?;
        access.ca_bundle = environment.ca_bundle()?;
    }
    Ok(access)
}

/// The same for a place that is only read.
pub(super) fn access_to(place: &Place, environment: &Environment) -> Result<Access> {
    match place {
        Place::Target(target) => access(target, None, environment),
        Place::Web(_) => Ok(Access { ca_bundle: environment.ca_bundle()?, ..Access::default() }),
    }
}

/// Opens the target of a command that writes. A dry run leaves even what a killed run left there.
pub(super) async fn open_store(
    target: &Target,
    dry_run: Option<&Path>,
    max_age: DocumentMaxAge,
    access: &Access,
) -> Result<Box<dyn Store>> {
    if let (Target::Directory(root), None) = (target, dry_run) {
        Directory::open(root)?.clean_up()?;
    }
    open(target, max_age, access).await
}

/// Opens a target, which is left as it is.
pub(super) async fn open(
    target: &Target,
    max_age: DocumentMaxAge,
    access: &Access,
) -> Result<Box<dyn Store>> {
    match target {
        Target::Directory(root) => Ok(Box::new(Directory::open(root)?)),
        Target::S3(location) => Ok(Box::new(S3::open(location.clone(), access, max_age).await?)),
    }
}

/// Opens a registry to be read. `private_links` lets a host lead to others at private addresses.
pub(super) async fn open_reader(place: &Place, access: &Access, private_links: bool) -> Result<Reader> {
    Ok(match place {
        Place::Web(host) => {
            Reader::Web(Box::new(Web::connect(host.clone(), access.ca_bundle.as_ref(), private_links)?))
        }
        Place::Target(target) => Reader::Store(open(target, DocumentMaxAge::default(), access).await?),
    })
}

/// A dry run writes into a folder of its own, so that what is in it is what a run would write, and nothing else.
pub(super) fn check_dry_run(target: &Target, folder: Option<&Path>) -> Result<()> {
    let Some(folder) = folder else { return Ok(()) };
    let refuse = |found: &str| -> Error {
        Refusal::new(folder.display(), "not a place for a dry run's objects")
            .found(found)
            .expected("a directory that is empty or does not exist, outside of the target")
            .remedy("name another directory, or remove this one first")
            .into()
    };
    if let Target::Directory(root) = target
        && resolve(folder)?.starts_with(resolve(root)?)
    {
        return Err(refuse("a directory of the target itself"));
    }
    match std::fs::read_dir(folder).map(|mut entries| entries.next().is_some()) {
        Ok(true) => Err(refuse("a directory with files in it")),
        Ok(false) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io("cannot use", folder, error)),
    }
}

/// Where `path` leads through links and `..`, also where its last parts do not exist yet.
fn resolve(path: &Path) -> Result<PathBuf> {
    let absolute = std::path::absolute(path).map_err(|error| Error::io("cannot use", path, error))?;
    let mut resolved = PathBuf::new();
    for part in absolute.components() {
        match part {
            Component::ParentDir => drop(resolved.pop()),
            part => resolved.push(part),
        }
        resolved = std::fs::canonicalize(&resolved).unwrap_or(resolved);
    }
    Ok(resolved)
}

/// Leaves every object that the plan would write, as it would be written.
pub(super) async fn leave_tree(plan: &Plan, folder: &Path) -> Result<()> {
    let tree = Directory::open(folder)?;
    for write in plan.writes().iter().filter(|write| write.action != Action::Keep) {
        match tree.put(&write.key, &write.body, &Condition::Absent, Arc::new(|_| {})).await {
            Answer::Written => {}
            Answer::ConditionFailed(found) | Answer::Busy(found) => {
                return Err(Error::Usage(format!("--dry-run {}: {}: {found}", folder.display(), write.key)));
            }
            Answer::Unknown(error) | Answer::Failed(error) => return Err(error.into()),
        }
    }
    Ok(())
}
