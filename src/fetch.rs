//! Finds the tarballs or zips of releases below a prefix of an S3 bucket, with the small files beside them, and fetches
//! each when it is needed: those of a backfill together may be larger than the disk.

pub mod upstream;
pub mod web;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use crate::error::{Error, Refusal, Result};
use crate::release::file::{ArtifactFile, Origin};
use crate::release::manifest;
use crate::release::name::ArtifactName;
use crate::release::ready_made;
use crate::release::sidecar::Sidecar;
use crate::store::{Form, Listed, Object, ObjectStore, StoreError};
use crate::words;

/// Small files beside tarballs, by their names.
type Companions = Arc<BTreeMap<String, Vec<u8>>>;

/// The release tarballs below a prefix, not fetched yet.
pub struct FoundArtifacts {
    source: Arc<dyn ObjectStore>,
    artifacts: Vec<Listed>,
    companions: Vec<Listed>,
    others: u64,
}

/// Whether a file of this name belongs to a release, beside its tarballs or zips.
#[must_use]
pub fn is_companion(name: &str) -> bool {
    Sidecar::is_sidecar(name) || manifest::is_manifest(name) || ready_made::is_signature(name)
}

/// The refusal of a place without tarballs and zips; `others` files with other names are there.
#[must_use]
pub fn nothing_found(place: &str, what: &str, others: u64) -> Refusal {
    Refusal::new(place, "no release tarball or zip is there")
        .found(match others {
            0 => format!("nothing {what}"),
            count => words::count(count, "other file"),
        })
        .expected(format!("at least one terraform-provider-….tar.gz or .zip {what}"))
        .remedy("check the address, and that the build has left its tarballs or zips there")
}

/// Finds every release tarball and zip below the prefix of `source`, and the files beside them: `TARBALL.sha256`,
/// SHA256SUMS, its signature, and manifests.
///
/// # Errors
/// Fails if the bucket cannot be read, or contains no release tarball or zip.
pub async fn find(source: Arc<dyn ObjectStore>) -> Result<FoundArtifacts> {
    let (mut artifacts, mut companions, mut count) = (Vec::new(), Vec::new(), 0);
    let mut listing = source.list("");
    while let Some(listed) = listing.try_next().await? {
        let name = file_name(&listed.key);
        if ArtifactName::is_in_release(name) {
            artifacts.push(listed);
        } else if is_companion(name) {
            companions.push(listed);
        } else {
            count += 1;
        }
    }
    drop(listing);
    if artifacts.is_empty() {
        let others = count + companions.len() as u64;
        return Err(nothing_found(&source.describe(), "below this prefix", others).into());
    }
    Ok(FoundArtifacts { source, artifacts, companions, others: count })
}

impl FoundArtifacts {
    /// The addresses of the tarballs, which are enough to check their names.
    #[must_use]
    pub fn named(&self) -> Vec<ArtifactFile> {
        self.artifacts.iter().map(|listed| ArtifactFile::at(self.address(listed).as_ref())).collect()
    }

    /// How many objects there are that belong to no release.
    #[must_use]
    pub fn others(&self) -> u64 {
        self.others
    }

    /// The tarballs, each of which is fetched when it is needed. The small files beside them are fetched now, `jobs` at
    /// once.
    ///
    /// # Errors
    /// Fails if the bucket cannot be read, or a small file is not small.
    pub async fn files(&self, jobs: usize) -> Result<Vec<ArtifactFile>> {
        let folders = self.fetch_companions(jobs).await?;
        let file = |listed: &Listed| {
            let beside = folders.get(folder_of(&listed.key)).cloned().unwrap_or_default();
            let origin = InBucket { source: Arc::clone(&self.source), listed: listed.clone() };
            ArtifactFile::remote(self.address(listed), Arc::new(origin), beside)
        };
        Ok(self.artifacts.iter().map(file).collect())
    }

    fn address(&self, listed: &Listed) -> String {
        address(&*self.source, listed)
    }

    /// The small files, by their folders.
    async fn fetch_companions(&self, jobs: usize) -> Result<BTreeMap<String, Companions>> {
        let read = stream::iter(self.companions.iter().map(|listed| async move {
            if listed.len > manifest::MAX_BYTES {
                return Err(Refusal::new(self.address(listed), "not a small file")
                    .found(format!("{} bytes", listed.len))
                    .expected(format!("a file of at most {} bytes", manifest::MAX_BYTES))
                    .remedy("look at what is there under this name")
                    .into());
            }
            let object = open(&*self.source, listed).await?;
            let len = object.headers.len.unwrap_or_default().max(listed.len + 1);
            let changing = || changing(&self.address(listed), listed, len);
            let bytes = object.collect(listed.len).await?.ok_or_else(changing)?;
            Ok::<_, Error>((listed.key.as_str(), bytes.to_vec()))
        }));
        let read: Vec<(&str, Vec<u8>)> = read.buffered(jobs).try_collect().await?;
        let mut folders: BTreeMap<String, BTreeMap<String, Vec<u8>>> = BTreeMap::new();
        for (key, bytes) in read {
            folders.entry(folder_of(key).to_owned()).or_default().insert(file_name(key).to_owned(), bytes);
        }
        Ok(folders.into_iter().map(|(folder, files)| (folder, Arc::new(files))).collect())
    }
}

/// A tarball in a bucket, as it was listed.
struct InBucket {
    source: Arc<dyn ObjectStore>,
    listed: Listed,
}

impl std::fmt::Debug for InBucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&address(&*self.source, &self.listed))
    }
}

#[async_trait(?Send)]
impl Origin for InBucket {
    fn length(&self) -> Option<u64> {
        Some(self.listed.len)
    }

    /// Fetches it into a temporary file. It has no name, so it disappears however the run ends.
    async fn fetch(&self, progress: &(dyn Fn(u64) + Sync)) -> Result<File> {
        let listed = &self.listed;
        let address = address(&*self.source, listed);
        let failed = |source| not_kept(&address, source);
        let mut file = tempfile::tempfile().map_err(failed)?;
        let mut len = 0;
        let mut pieces = open(&*self.source, listed).await?.body;
        while let Some(piece) = pieces.try_next().await? {
            len += piece.len() as u64;
            if len > listed.len {
                // The object has grown since it was listed; it is discarded.
                return Err(changing(&address, listed, len));
            }
            progress(piece.len() as u64);
            file.write_all(&piece).map_err(failed)?;
        }
        if len != listed.len {
            return Err(changing(&address, listed, len));
        }
        Ok(file)
    }
}

fn address(source: &dyn ObjectStore, listed: &Listed) -> String {
    format!("{}{}", source.describe(), listed.key)
}

/// Opens a listed object, as stored: a tarball is a gzip file, whatever `Content-Encoding` says.
async fn open(source: &dyn ObjectStore, listed: &Listed) -> Result<Object> {
    source.open(&listed.key, Form::Stored).await?.ok_or_else(|| {
        let doing = format!("cannot read {}", address(source, listed));
        let answer = "it was listed, and is not there any more".to_owned();
        StoreError { doing, answer, status: Some(404), remedy: None }.into()
    })
}

fn changing(address: &str, listed: &Listed, len: u64) -> Error {
    Refusal::new(address, "the file is changing")
        .found(format!("{len} bytes, or more"))
        .expected(format!("{} bytes, as it was listed", listed.len))
        .remedy("wait until the build has left all of its files there, and run again")
        .into()
}

/// The error of a file that was fetched from `address`, where the temporary folder fails.
fn not_kept(address: &str, source: std::io::Error) -> Error {
    let folder = std::env::temp_dir();
    let context = format!(
        "cannot keep {address}: the temporary folder {} cannot be used (another one: TMPDIR)",
        folder.display()
    );
    Error::Io { context, source }
}

/// The part of a key before its last slash.
fn folder_of(key: &str) -> &str {
    key.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The part of a key after its last slash.
fn file_name(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or_default()
}
