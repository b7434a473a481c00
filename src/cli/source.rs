//! Where the release tarballs come from: files, or prefixes of S3 buckets in an account of their own.

use clap::Args;

use super::values::Tarballs;
use crate::error::Result;
use crate::fetch;
use crate::registry::DocumentMaxAge;
use crate::release::file::TarballFile;
use crate::release::{Expected, Release};
use crate::report::Reporter;
use crate::store::access::Access;
use crate::store::s3::S3;

/// The account that the tarballs are in, where it is not the one that is published to.
#[derive(Debug, Args)]
#[command(next_help_heading = "Source (tarballs in s3://BUCKET/PREFIX/)")]
#[expect(clippy::struct_field_names, reason = "the options' names")]
pub(super) struct SourceArgs {
    /// The AWS profile that reads the tarballs
    #[arg(long, value_name = "NAME", env = "TFREG_SOURCE_PROFILE", hide_env_values = true)]
    source_profile: Option<String>,

    /// The role that is assumed to read the tarballs
    #[arg(long, value_name = "ARN", env = "TFREG_SOURCE_ROLE_ARN", hide_env_values = true)]
    source_role_arn: Option<String>,

    /// The region of the tarballs' bucket
    #[arg(long, value_name = "REGION", env = "TFREG_SOURCE_REGION", hide_env_values = true)]
    source_region: Option<String>,

    /// The address of the S3 server that has the tarballs
    #[arg(long, value_name = "URL", env = "TFREG_SOURCE_ENDPOINT_URL", hide_env_values = true)]
    source_endpoint_url: Option<String>,
}

impl SourceArgs {
    /// Access to the tarballs' account. Pipelines set variables of what is not configured to nothing.
    pub(super) fn access(self) -> Access {
        let set = |value: Option<String>| value.filter(|text| !text.is_empty());
        Access {
            profile: set(self.source_profile),
            role_arn: set(self.source_role_arn),
            region: set(self.source_region),
            endpoint_url: set(self.source_endpoint_url),
            is_source: true,
            ..Access::default()
        }
    }
}

/// Tarballs whose names are in order; those in buckets are not fetched yet.
pub(super) struct Sources {
    files: Vec<TarballFile>,
    buckets: Vec<S3>,
}

impl Sources {
    /// Takes the arguments; no request is made, unless a profile asks for one.
    pub(super) async fn open(tarballs: &[Tarballs], access: &Access) -> Result<Self> {
        let mut sources = Self { files: Vec::new(), buckets: Vec::new() };
        for tarball in tarballs {
            match tarball {
                Tarballs::File(path) => sources.files.push(TarballFile::at(path)),
                Tarballs::Prefix(location) => {
                    sources
                        .buckets
                        .push(S3::open(location.clone(), access, DocumentMaxAge::default()).await?);
                }
            }
        }
        Ok(sources)
    }

    /// Finds what is in the buckets, and judges all names before anything is fetched.
    pub(super) async fn find(&self, expected: &Expected) -> Result<Vec<fetch::Found<'_>>> {
        let mut found = Vec::with_capacity(self.buckets.len());
        let mut named = self.files.clone();
        for bucket in &self.buckets {
            let in_bucket = fetch::find(bucket).await?;
            named.extend(in_bucket.named());
            found.push(in_bucket);
        }
        Release::check_names(named, expected)?;
        Ok(found)
    }

    /// The files, and what was found, fetched, `jobs` objects at once.
    pub(super) async fn fetch(
        &self,
        found: Vec<fetch::Found<'_>>,
        jobs: usize,
        reporter: &Reporter,
    ) -> Result<Vec<TarballFile>> {
        let mut files = self.files.clone();
        let (count, total) =
            found.iter().fold((0, 0), |(count, total), found| (count + found.count(), total + found.total()));
        if count > 0 {
            let progress = reporter.fetching(count, total);
            for in_bucket in found {
                files.extend(in_bucket.fetch(jobs, &progress).await?);
            }
        }
        Ok(files)
    }
}
