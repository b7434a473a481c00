//! The account that release tarballs are read from.

use clap::Args;

use crate::store::access::Access;

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
    /// Access to the tarballs' account. In pipelines, variables of settings that are not configured are empty.
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
