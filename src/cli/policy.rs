//! `tfreg policy`

use clap::Args;

use super::values;
use crate::error::{Error, Result};
use crate::policy::{Cdn, Partition, Policies, Publisher, Subject};
use crate::report::Reporter;
use crate::store::s3::Location;
use crate::workflow::signer::SignerReference;

/// Print the policies of a bucket that holds a registry
///
/// Prints two documents and changes nothing. The publisher policy grants what `tfreg publish` needs and nothing else:
/// attach it to the user or role that publishes. The bucket policy makes S3 itself enforce the rules of writing, against
/// every tool and every user: objects in store/ are only created, documents are never overwritten blindly, TLS only. With
/// --cdn it lets the CDN read, with 404 for what is missing.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  To read, with an explanation of each statement:
    tfreg policy --bucket registry-bucket \\
      --cdn arn:aws:cloudfront::123456789012:distribution/EDFDVBD6EXAMPLE

  A registry under a prefix, published from another account:
    tfreg policy --bucket registry-bucket --prefix tf \\
      --publisher arn:aws:iam::123456789012:role/publisher

  Put the bucket policy on a bucket that has none yet:
    tfreg policy --bucket registry-bucket --format json |
      jq .bucket_policy > policy.json
    aws s3api put-bucket-policy --bucket registry-bucket \\
      --policy file://policy.json")]
pub(super) struct PolicyArgs {
    /// The bucket's name
    #[arg(long, value_name = "BUCKET")]
    bucket: String,

    /// The prefix under which the registry is in the bucket, as in `publish --to s3://BUCKET/PREFIX`
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true)]
    prefix: String,

    /// The user or role that publishes: lets it in by the bucket policy too, which it needs if it is of another account
    #[arg(long, value_name = "ARN")]
    publisher: Option<Publisher>,

    /// The CDN that reads: a CloudFront distribution with origin access control, or the user or role that a CDN reads as
    #[arg(long, value_name = "ARN")]
    cdn: Option<Cdn>,

    /// Let the publisher change the registry's settings too, as `tfreg init` does; by default it only reads them
    #[arg(long)]
    allow_init: bool,

    /// Let the publisher make the distribution of --cdn ask again for what has changed, as `tfreg publish --invalidate` does
    #[arg(long, requires = "cdn")]
    allow_invalidation: bool,

    /// The registry has pages for people (`tfreg init --pages`): index.html and providers/ are parts of it too
    #[arg(long)]
    pages: bool,

    /// The key of AWS KMS that the publisher signs by: awskms:ARN
    #[arg(long, value_name = "SIGNER", value_parser = values::signer)]
    signer: Option<SignerReference>,

    /// The part of AWS that the bucket is in: aws, aws-cn, aws-us-gov [default: that of the ARNs, else aws]
    #[arg(long, value_name = "PARTITION")]
    partition: Option<Partition>,
}

impl PolicyArgs {
    fn into_subject(self) -> Result<Subject> {
        let location = Location::new(&self.bucket, &self.prefix).map_err(Error::Usage)?;
        let subject = Subject::new(location, self.publisher, self.cdn, self.partition);
        let subject = subject.map_err(Error::Usage)?.with_init(self.allow_init).with_pages(self.pages);
        let subject = subject.with_invalidation(self.allow_invalidation).map_err(Error::Usage)?;
        match self.signer {
            None => Ok(subject),
            Some(SignerReference::Kms(key)) => subject.signing_by(&key).map_err(Error::Usage),
            Some(SignerReference::GnuPg(key)) => {
                Err(Error::Usage(format!("{key}: a key of GnuPG needs no rights of AWS")))
            }
        }
    }
}

pub(super) fn run(args: PolicyArgs, reporter: &Reporter) -> Result<()> {
    reporter.policies(&Policies::new(&args.into_subject()?));
    Ok(())
}
