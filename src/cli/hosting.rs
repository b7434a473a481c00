//! `tfreg hosting`

use clap::Args;

use crate::error::{Error, Result};
use crate::hosting::{Certificate, Domain, Hosting, PublishedBy, stack};
use crate::report::Reporter;

/// Print a CloudFormation template of everything that a registry needs
///
/// Prints a template (JSON) and changes nothing. It has the bucket with the policies of `tfreg policy`, a CloudFront distribution,
/// a bucket for the logs of both, and who publishes. Deploy it once for staging and once for production, as two stacks with other
/// parameters.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  A registry that pipelines of a repository at GitHub publish to:
    tfreg hosting --domain registry.example.com \\
      --certificate arn:aws:acm:us-east-1:123456789012:certificate/1-2-3 \\
      --publisher-oidc github:acme/terraform-provider-sample > registry.json

  Deploy it:
    tfreg hosting --domain registry.example.com > registry.json
    aws cloudformation deploy --stack-name registry \\
      --template-file registry.json --capabilities CAPABILITY_IAM

  One that asks for a token:
    tfreg hosting --domain registry.example.com --private > registry.json")]
pub(super) struct HostingArgs {
    /// The registry's host name, of which source addresses begin
    #[arg(long, value_name = "HOST")]
    domain: Domain,

    /// The prefix of the registry in the bucket, as in `publish --to s3://BUCKET/PREFIX`
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true)]
    prefix: String,

    /// The certificate of the host name, in us-east-1 [default: none; the CDN then has its own name only]
    #[arg(long, value_name = "ARN")]
    certificate: Option<Certificate>,

    /// Ask for a token for all but discovery and what is below store/, for which clients send none
    #[arg(long)]
    private: bool,

    /// The registry has pages for people (`tfreg init --pages`): the CDN answers its root with index.html
    #[arg(long)]
    pages: bool,

    /// Make a key of AWS KMS (RSA_3072) that the publisher may sign by
    #[arg(long)]
    kms_key: bool,

    /// Who publishes: the pipelines of a repository (github:ORG/REPO in the environment `release`, gitlab:GROUP/PROJECT or
    /// gitlab:https://HOST/GROUP/PROJECT for tags), or the ARN of a user or role [default: a new user]
    #[arg(long, value_name = "PUBLISHER")]
    publisher_oidc: Option<PublishedBy>,
}

pub(super) fn run(args: HostingArgs, reporter: &Reporter) -> Result<()> {
    let HostingArgs { domain, prefix, certificate, private, pages, kms_key: signing_key, publisher_oidc } =
        args;
    let publisher = publisher_oidc.unwrap_or(PublishedBy::User);
    let stack = stack(&Hosting { domain, prefix, certificate, private, pages, signing_key, publisher })
        .map_err(Error::Usage)?;
    reporter.stack(&stack);
    Ok(())
}
