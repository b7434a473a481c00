//! The sources of release tarballs: files, or prefixes of S3 buckets in an account of their own.

use std::path::PathBuf;

use super::Observer;
use crate::error::Result;
use crate::fetch;
use crate::release::file::TarballFile;
use crate::release::{Expected, Release};
use crate::store::ObjectStore;
use crate::store::access::Access;
use crate::store::s3::{Location, S3};

/// A location of release tarballs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// All tarballs below a prefix of a bucket.
    Prefix(Location),
}

/// Tarballs whose names are checked; those in buckets are not fetched yet.
pub struct Sources {
    files: Vec<TarballFile>,
    buckets: Vec<Box<dyn ObjectStore>>,
}

impl Sources {
    /// Opens the sources; makes no request, unless a profile requires one.
    ///
    /// # Errors
    /// Fails if a named profile does not exist.
    pub async fn open(tarballs: &[Source], access: &Access) -> Result<Self> {
        let mut sources = Self { files: Vec::new(), buckets: Vec::new() };
        for tarball in tarballs {
            match tarball {
                Source::File(path) => sources.files.push(TarballFile::at(path)),
                Source::Prefix(location) => {
                    sources.buckets.push(Box::new(S3::connect(location.clone(), access).await?));
                }
            }
        }
        Ok(sources)
    }

    /// Finds the tarballs in the buckets, and checks all names before anything is fetched.
    ///
    /// # Errors
    /// Fails if a bucket cannot be read or has no tarball, or a name is refused.
    pub async fn find(&self, expected: &Expected) -> Result<Vec<fetch::FoundTarballs<'_>>> {
        let mut found = Vec::with_capacity(self.buckets.len());
        let mut named = self.files.clone();
        for bucket in &self.buckets {
            let in_bucket = fetch::find(&**bucket).await?;
            named.extend(in_bucket.named());
            found.push(in_bucket);
        }
        Release::check_names(named, expected)?;
        Ok(found)
    }

    /// The files, and the found tarballs, which are fetched `jobs` objects at once.
    ///
    /// # Errors
    /// Fails if a bucket cannot be read, or the temporary folder cannot be written.
    pub async fn fetch(
        &self,
        found: Vec<fetch::FoundTarballs<'_>>,
        jobs: usize,
        observer: &dyn Observer,
    ) -> Result<Vec<TarballFile>> {
        let mut files = self.files.clone();
        let (count, total) =
            found.iter().fold((0, 0), |(count, total), found| (count + found.count(), total + found.total()));
        if count > 0 {
            let progress = observer.fetching(count, total);
            for in_bucket in found {
                files.extend(in_bucket.fetch(jobs, &*progress).await?);
            }
        }
        Ok(files)
    }
}
