//! The sources of tarballs or zips: files, folders, prefixes of S3 buckets in an account of their own, or the web.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use url::Url;

use super::Observer;
use crate::error::{Error, Refusal, Result};
use crate::fetch;
use crate::fetch::web::WebRelease;
use crate::release::file::ArtifactFile;
use crate::release::name::{ArtifactName, is_pattern};
use crate::release::{Expected, Release};
use crate::store::ObjectStore;
use crate::store::access::Access;
use crate::store::s3::{Location, S3};
use crate::store::trust::CaBundle;
use crate::words;

/// A location of release tarballs or zips.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file, or a folder with the files of releases.
    File(PathBuf),
    /// All tarballs or zips below a prefix of a bucket.
    Prefix(Location),
    /// The zips that a SHA256SUMS on the web lists, from beside it.
    Web(Url),
}

/// Tarballs or zips whose names are checked; those in buckets are not fetched yet.
pub struct Sources {
    files: Vec<ArtifactFile>,
    buckets: Vec<Arc<dyn ObjectStore>>,
    releases: Vec<Url>,
    ca_bundle: Option<CaBundle>,
    left_alone: Vec<LeftAlone>,
}

/// What was found in buckets and on the web, and is not fetched yet.
pub struct Found {
    buckets: Vec<fetch::FoundArtifacts>,
    releases: Vec<WebRelease>,
}

/// The tarballs and zips of a run; those in buckets and on the web are fetched when they are needed.
pub struct Artifacts {
    /// The files.
    pub files: Vec<ArtifactFile>,
    /// What is beside them and belongs to no release.
    pub left_alone: Vec<LeftAlone>,
}

/// Files of a folder or prefix that do not belong to a release.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct LeftAlone {
    /// The folder or prefix.
    pub place: String,
    /// How many files and folders.
    pub count: u64,
}

impl Sources {
    /// Opens the sources; makes no request, unless a profile requires one. Folders are listed, but not those in them.
    ///
    /// # Errors
    /// Fails if a folder cannot be read or has no tarball or zip, or a named profile does not exist.
    pub async fn open(artifacts: &[Source], access: &Access) -> Result<Self> {
        let mut sources = Self {
            files: Vec::new(),
            buckets: Vec::new(),
            releases: Vec::new(),
            ca_bundle: access.ca_bundle.clone(),
            left_alone: Vec::new(),
        };
        for artifact in artifacts {
            match artifact {
                Source::File(path) if path.is_dir() => sources.open_folder(path)?,
                Source::File(path) if leads_nowhere(path) => {
                    return Err(Refusal::new(path.display().to_string(), "there is no such file or folder")
                        .found("nothing")
                        .expected("a release tarball or zip, or a folder of them")
                        .remedy("check the path, and that the build has left its tarballs or zips there")
                        .into());
                }
                Source::File(path) => sources.files.push(ArtifactFile::at(path)),
                Source::Prefix(location) => {
                    sources.buckets.push(Arc::new(S3::connect(location.clone(), access).await?));
                }
                Source::Web(sums) => sources.releases.push(sums.clone()),
            }
        }
        Ok(sources)
    }

    fn open_folder(&mut self, folder: &Path) -> Result<()> {
        let failed = |error| Error::io("cannot read", folder, error);
        let (mut archives, mut companions, mut count) = (Vec::new(), 0, 0);
        for entry in std::fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if path.is_dir() {
                count += 1;
            } else if ArtifactName::is_in_release(name) {
                archives.push(path);
            } else if fetch::is_companion(name) {
                companions += 1;
            } else {
                count += 1;
            }
        }
        let place = folder.display().to_string();
        if archives.is_empty() {
            return Err(fetch::nothing_found(&place, "in this folder", count + companions).into());
        }
        archives.sort();
        self.files.extend(archives.iter().map(|path| ArtifactFile::at(path)));
        self.left_alone.push(LeftAlone { place, count });
        Ok(())
    }

    /// Finds the tarballs and zips in the buckets and on the web, and checks all names before anything is fetched.
    ///
    /// # Errors
    /// Fails if a bucket or SHA256SUMS cannot be read or has no tarball or zip, or a name is refused.
    pub async fn find(&self, expected: &Expected) -> Result<Found> {
        let mut found = Found { buckets: Vec::new(), releases: Vec::new() };
        let mut named = self.files.clone();
        for bucket in &self.buckets {
            let in_bucket = fetch::find(Arc::clone(bucket)).await?;
            named.extend(in_bucket.named());
            found.buckets.push(in_bucket);
        }
        for sums in &self.releases {
            let release = WebRelease::find(sums, self.ca_bundle.as_ref()).await?;
            named.extend(release.named());
            found.releases.push(release);
        }
        Release::check_names(named, expected)?;
        Ok(found)
    }

    /// The files, and the found tarballs and zips. The small files beside these are fetched, `jobs` objects at once.
    ///
    /// # Errors
    /// Fails if a bucket cannot be read.
    pub async fn artifacts(&self, found: Found, jobs: usize, observer: &dyn Observer) -> Result<Artifacts> {
        let Found { buckets: found, releases } = found;
        let in_buckets = found
            .iter()
            .zip(&self.buckets)
            .map(|(found, bucket)| LeftAlone { place: bucket.describe(), count: found.others() });
        let left_alone = self.left_alone.iter().cloned().chain(in_buckets).filter(|place| place.count > 0);
        let left_alone: Vec<_> = left_alone.collect();
        for LeftAlone { place, count } in &left_alone {
            observer.note(&format!("{} in {place} left alone", words::count(*count, "other file")));
        }
        let mut files = self.files.clone();
        for in_bucket in found {
            files.extend(in_bucket.files(jobs).await?);
        }
        for release in releases {
            let zips = words::count(release.count(), "zip");
            observer.note(&format!("Fetching {zips} from beside {}", release.describe()));
            files.extend(release.files());
        }
        Ok(Artifacts { files, left_alone })
    }
}

/// Whether nothing is at a path that has the name of no archive and is no pattern: it was meant to be a folder.
fn leads_nowhere(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    ArtifactName::form_of(name).is_none() && !is_pattern(&path.to_string_lossy()) && !path.exists()
}

/// Fetches the files of a release that are not local, `jobs` at once.
///
/// # Errors
/// One cannot be read, is not the one that is listed, or the temporary folder cannot be written.
pub(super) async fn fetch(release: &mut Release, jobs: usize, observer: &dyn Observer) -> Result<()> {
    let remote = || release.artifacts.iter().map(|artifact| &artifact.file).filter(|file| file.is_remote());
    let known: Vec<u64> = remote().filter_map(ArtifactFile::len_hint).collect();
    let nothing: Box<dyn Fn(u64) + Send + Sync> = Box::new(|_| {});
    let progress =
        if known.is_empty() { nothing } else { observer.fetching(known.len(), known.iter().sum()) };
    let progress: &(dyn Fn(u64) + Sync) = &*progress;
    let fetched = stream::iter(release.artifacts.iter().map(|artifact| artifact.file.fetched(progress)));
    let fetched: Vec<ArtifactFile> = fetched.buffered(jobs).try_collect().await?;
    for (artifact, file) in release.artifacts.iter_mut().zip(fetched) {
        artifact.file = file;
    }
    Ok(())
}
