//! Opens the registry that a command reads or changes, and the folder of its dry run.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use url::Url;

use crate::content::Scratch;
use crate::error::{Error, Refusal, Result};
use crate::plan::{Action, Plan};
use crate::reader::Reader;
use crate::reader::web::Web;
use crate::store::access::Access;
use crate::store::directory::Directory;
use crate::store::s3::{Location, S3};
use crate::store::{Answer, Condition, RegistryStore};

/// The location of a registry that can be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// In a directory.
    Directory(PathBuf),
    /// In a bucket, or below a prefix of one.
    S3(Location),
}

impl std::fmt::Display for Target {
    /// As its store describes it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Directory(root) => root.display().fmt(f),
            Self::S3(location) => location.fmt(f),
        }
    }
}

/// The location of a registry that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In its store.
    Target(Target),
    /// At its public address.
    Web(Url),
}

/// Opens the target of a command that writes. A dry run does not even remove the files of a killed run there.
pub async fn open_store(target: &Target, dry_run: Option<&Path>, access: &Access) -> Result<RegistryStore> {
    if let (Target::Directory(root), None) = (target, dry_run) {
        Directory::open(root)?.clean_up()?;
    }
    open(target, access).await
}

/// The folder for zips until they are written: near their destination, if that is a directory.
pub fn scratch(target: &Target, dry_run: Option<&Path>) -> Scratch {
    let root = match target {
        Target::Directory(root) => Some(root.as_path()),
        Target::S3(_) => None,
    };
    dry_run.or(root).map(Scratch::near).unwrap_or_default()
}

/// Opens a target without changing it.
pub async fn open(target: &Target, access: &Access) -> Result<RegistryStore> {
    match target {
        Target::Directory(root) => Ok(RegistryStore::of(Directory::open(root)?)),
        Target::S3(location) => Ok(RegistryStore::of(S3::connect(location.clone(), access).await?)),
    }
}

/// Opens a registry for reading. `private_links` lets a host lead to others at private addresses.
pub async fn open_reader(place: &Place, access: &Access, private_links: bool) -> Result<Reader> {
    Ok(match place {
        Place::Web(host) => {
            Reader::Web(Box::new(Web::connect(host.clone(), access.ca_bundle.as_ref(), private_links)?))
        }
        Place::Target(target) => Reader::Store(open(target, access).await?),
    })
}

/// A dry run writes into a folder of its own, so that the folder contains exactly what a run would write.
pub fn check_dry_run(target: &Target, folder: Option<&Path>) -> Result<()> {
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

/// The path that `path` leads to through links and `..`, even if its last parts do not exist yet.
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

/// Writes every object of the plan into the folder, as it would be written to the target. What an earlier plan of the
/// same dry run has written there is replaced, if this plan was made for that: providers share a page.
pub async fn write_dry_run(plan: &Plan, folder: &Path) -> Result<()> {
    let tree = RegistryStore::of(Directory::open(folder)?);
    for write in plan.writes().iter().filter(|write| write.action != Action::Keep) {
        let body = write.body.at_hand().await?;
        let condition = match &write.action {
            // An earlier plan's object is what this plan has observed, and not the target's.
            Action::Replace { revision, .. } if tree.get(&write.key).await?.is_some() => {
                Condition::Unchanged(revision.clone())
            }
            _ => Condition::Absent,
        };
        match tree.put(&write.key, &body, &condition, Arc::new(|_| {})).await {
            Answer::Written => {}
            Answer::ConditionFailed(found) | Answer::Busy(found) => {
                return Err(Error::Usage(format!("--dry-run {}: {}: {found}", folder.display(), write.key)));
            }
            Answer::Unknown(error) | Answer::Failed(error) => return Err(error.into()),
        }
    }
    Ok(())
}
