//! `tfreg publish`

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use jiff::Timestamp;

use super::invalidation::{InvalidateArgs, tell};
use super::signatures::SignaturesArgs;
use super::signing::SigningArgs;
use super::source::SourceArgs;
use super::target::{self, EncryptionArgs};
use super::values;
use super::{Environment, GlobalArgs, Jobs, runtime, stop_signal};
use crate::error::{Error, Result};
use crate::package::BuildOptions;
use crate::plan::{Published, VersionKey};
use crate::probe;
use crate::provider::{Namespace, Platform, Protocol, Protocols, ProviderType, Version};
use crate::publish::Options;
use crate::registry::provenance::Record;
use crate::registry::{BaseUrl, DocumentMaxAge};
use crate::release::Expected;
use crate::release::archive::Limits;
use crate::report::Reporter;
use crate::store::access::Access;
use crate::workflow::invalidation::{Kept, Ledger};
use crate::workflow::publish::Request;
use crate::workflow::source::Source;
use crate::workflow::target::{Place, Target, check_dry_run, scratch};

/// Publish releases to a registry that `terraform init` installs from
///
/// Reads the release tarballs of a version of a provider, checks them (names, checksums, limits, executable headers),
/// repacks each as a zip, signs one SHA256SUMS for the version, and merges the registry's documents. Ready-made zips, as
/// GoReleaser leaves them, are checked and published byte for byte, with their own SHA256SUMS and its signature. Publishing
/// the same release again writes nothing. Other contents for a published platform are refused.
///
/// Several versions, and several providers of the namespace, may be in one run: all are checked before anything is written,
/// and published the oldest first. A run that is stopped goes on where it was when it is run again.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of the command line")]
#[command(after_long_help = "\
Examples:
  Into a directory, to look at with `tfreg serve site`:
    tfreg publish --to site --namespace acme --signing-key-file key.asc \\
      build/*.tar.gz

  To S3, in a pipeline with TFREG_SIGNING_KEY and TFREG_SIGNING_PASSPHRASE:
    tfreg publish --to s3://registry-bucket --namespace acme --protocol 6.0 \\
      --expect-version \"$DRONE_TAG\" --expect-platform linux_amd64,darwin_arm64 \\
      build/*.tar.gz

  From the bucket of the build into production, the same bits that staging has:
    tfreg publish --to s3://production --namespace acme \\
      --expect-match s3://staging s3://artifacts/sample/v1.2.0/

  A release of GoReleaser, with the signature that it has and no secret key:
    tfreg publish --to s3://registry-bucket --namespace acme \\
      --public-key release-key.asc dist/

  All releases so far (a backfill), each in a folder of its own:
    tfreg publish --to s3://registry-bucket --namespace acme \\
      --public-key release-key.asc releases/*/

  What would be done, without writing to the target:
    tfreg publish --to s3://registry-bucket --namespace acme --dry-run preview \\
      build/*.tar.gz

Names of tarballs (.tgz stands for .tar.gz) and of ready-made zips, with what
belongs to these:
  terraform-provider-TYPE-vVERSION-OS-ARCH-bin.tar.gz
  terraform-provider-TYPE_VERSION_OS_ARCH.tar.gz
  terraform-provider-TYPE_VERSION_OS_ARCH.zip
  terraform-provider-TYPE_VERSION_SHA256SUMS, …_SHA256SUMS.sig, …_manifest.json

The AWS configuration is that of the AWS CLI: AWS_PROFILE, AWS_REGION, roles,
AWS_ENDPOINT_URL (path style then), AWS_CA_BUNDLE, HTTPS_PROXY, NO_PROXY.")]
pub(super) struct PublishArgs {
    /// Release tarballs or ready-made zips, of one version or of several; each may have its FILE.sha256 or
    /// the release's SHA256SUMS beside it. A folder stands for all tarballs or zips in it, s3://BUCKET/PREFIX/
    /// for those below the prefix, https://…_SHA256SUMS for the zips that it lists, which are beside it
    #[arg(value_name = "ARTIFACT", value_parser = values::artifact)]
    artifacts: Vec<Source>,

    /// Where the registry is: a directory, or s3://BUCKET[/PREFIX]
    #[arg(long, value_name = "TARGET", env = "TFREG_TO", hide_env_values = true, value_parser = values::target)]
    to: Target,

    /// The provider's namespace, the middle part of HOST/NAMESPACE/TYPE
    #[arg(long, value_name = "NS", env = "TFREG_NAMESPACE", hide_env_values = true)]
    namespace: Namespace,

    /// A plugin protocol that the provider speaks, such as 6.0; repeatable. Needed when no
    /// terraform-registry-manifest.json in or beside the tarballs declares it
    #[arg(
        long = "protocol",
        value_name = "X.Y",
        env = "TFREG_PROTOCOLS",
        hide_env_values = true,
        value_delimiter = ','
    )]
    protocols: Vec<String>,

    #[command(flatten)]
    signing: SigningArgs,

    #[command(flatten)]
    signatures: SignaturesArgs,

    /// Write absolute URLs that begin with URL into the documents [default: URLs from the host's root, such as /store/…].
    /// Of a registry with settings it has to be theirs (see `tfreg init`)
    #[arg(
        long,
        value_name = "URL",
        env = "TFREG_BASE_URL",
        hide_env_values = true,
        help_heading = "Documents"
    )]
    base_url: Option<String>,

    /// How long clients and CDNs may keep a document, in seconds (S3 only) [default: what the registry's settings say, else 60]
    #[arg(long, value_name = "SECONDS", help_heading = "Documents")]
    document_max_age: Option<u32>,

    /// The provider's documentation, in the layout of the public registries (index.md, resources/, …), for a registry with pages
    /// [default: docs/ in an ARTIFACT that is a folder]
    #[arg(long, value_name = "DIR", help_heading = "Documents")]
    docs: Option<PathBuf>,

    /// Refuse tarballs of another version, and several versions, as every --expect-… option does; a tag that ends in -vV is taken as V
    #[arg(long, value_name = "V", value_parser = Version::from_tag, help_heading = "Safety")]
    expect_version: Option<Version>,

    /// Refuse tarballs of another provider
    #[arg(long, value_name = "TYPE", help_heading = "Safety")]
    expect_type: Option<ProviderType>,

    /// Refuse a pre-release, such as 1.2.0-rc.1 (production registries)
    #[arg(long, help_heading = "Safety")]
    stable_only: bool,

    /// The one pre-release that --stable-only lets pass; a tag is taken as for --expect-version
    #[arg(
        long,
        value_name = "V",
        env = "TFREG_ALLOW_PRERELEASE",
        hide_env_values = true,
        help_heading = "Safety"
    )]
    allow_prerelease: Option<String>,

    /// Refuse unless exactly these platforms are there; repeatable
    #[arg(long = "expect-platform", value_name = "OS_ARCH", value_delimiter = ',', help_heading = "Safety")]
    expect_platforms: Vec<Platform>,

    /// Refuse unless the zips are exactly those that another registry lists for this version: a directory,
    /// s3://BUCKET[/PREFIX], or https://HOST/ as clients see it (promotion from staging)
    #[arg(long, value_name = "TARGET|URL", value_parser = values::place, help_heading = "Safety")]
    expect_match: Option<Place>,

    /// With --expect-match, follow a public host to private addresses too, inside of your network
    #[arg(long, requires = "expect_match", help_heading = "Safety")]
    allow_private_links: bool,

    /// Start the executable for this machine as Terraform does, and refuse a release that declares another plugin protocol
    /// than it speaks; warn when it cannot be started here
    #[arg(long, help_heading = "Safety")]
    probe_protocol: bool,

    /// Do not read back what was published, as clients do, to verify it
    #[arg(long, help_heading = "Safety")]
    no_verify: bool,

    /// Allow other contents for a platform that is published already (staging registries)
    #[arg(long, help_heading = "Safety")]
    replace: bool,

    /// Allow another signing key for a version that is published already; --replace does not allow it
    #[arg(long, help_heading = "Safety")]
    replace_key: bool,

    /// Read TARGET, write nothing to it, leave the objects that would be written in DIR, and print the plan
    #[arg(long, value_name = "DIR", help_heading = "Safety")]
    dry_run: Option<PathBuf>,

    #[command(flatten, next_help_heading = "Documents")]
    invalidate: InvalidateArgs,

    /// The role that is assumed to publish
    #[arg(long, value_name = "ARN", env = "TFREG_ROLE_ARN", hide_env_values = true)]
    role_arn: Option<String>,

    #[command(flatten)]
    encryption: EncryptionArgs,

    #[command(flatten)]
    source: SourceArgs,

    /// How long to go on when other publishers are always first, or a store does not answer, such as 90s or 5m
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = values::duration, help_heading = "Limits")]
    contention_timeout: Duration,

    /// Files and folders that a tarball may hold
    #[arg(long, value_name = "N", default_value_t = Limits::default().entries, help_heading = "Limits")]
    max_entries: u64,

    /// Bytes that a tarball may hold, unpacked
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().unpacked_bytes, help_heading = "Limits")]
    max_unpacked_bytes: u64,

    /// Bytes of zips that a run of several versions keeps in the temporary folder until they are written; the others are
    /// made again, or read again, then
    #[arg(long, value_name = "BYTES", default_value_t = MAX_KEPT_BYTES, help_heading = "Limits")]
    max_kept_bytes: u64,
}

/// Several large releases of a provider, and a part of the disk of a small runner.
const MAX_KEPT_BYTES: u64 = 4 << 30;

/// The path of this program, to start it again.
fn this_program() -> Result<PathBuf> {
    // The link leads to the program itself, even if its path cannot be accessed, or now names another file.
    if cfg!(target_os = "linux") {
        return Ok(PathBuf::from("/proc/self/exe"));
    }
    let failed = |source| Error::Io { context: "cannot find the program tfreg".to_owned(), source };
    std::env::current_exe().map_err(failed)
}

impl PublishArgs {
    /// Converts the arguments into a request for a publish on `date`, and those of the key and of the CDN.
    fn into_request(self, jobs: Jobs, date: Timestamp) -> Result<(Request, SigningArgs, InvalidateArgs)> {
        let usage = |option: &str, error: &dyn std::fmt::Display| Error::Usage(format!("{option}: {error}"));
        let protocols: Vec<Protocol> = self
            .protocols
            .iter()
            .map(|text| text.trim())
            .filter(|text| !text.is_empty())
            .map(|text| text.parse().map_err(|error| usage("--protocol", &error)))
            .collect::<Result<_>>()?;
        let prerelease = self.allow_prerelease.as_deref().map(str::trim).filter(|text| !text.is_empty());
        let prerelease = prerelease.map(Version::from_tag).transpose();
        let prerelease = prerelease.map_err(|error| usage("--allow-prerelease", &error))?;
        let base_url = self.base_url.as_deref().filter(|text| !text.is_empty()).map(str::parse::<BaseUrl>);
        let base_url = base_url.transpose().map_err(|error| usage("--base-url", &error))?;
        let scratch = scratch(&self.to, self.dry_run.as_deref());
        if !self.signatures.need_signer() {
            self.signing.refuse_beside_public_key()?;
        }
        let request = Request {
            artifacts: self.artifacts,
            signatures: self.signatures.read()?,
            source: self.source.access(),
            target: self.to,
            access: Access {
                role_arn: self.role_arn.filter(|arn| !arn.is_empty()),
                encryption: self.encryption.encryption()?,
                ..Access::default()
            },
            namespace: self.namespace,
            expected: Expected {
                provider_type: self.expect_type,
                stable: self.stable_only,
                prerelease,
                version: self.expect_version,
                platforms: self.expect_platforms.into_iter().collect::<BTreeSet<_>>(),
                elsewhere: self.expect_match.is_some(),
            },
            expected_in: self.expect_match,
            private_links: self.allow_private_links,
            docs: self.docs,
            build: BuildOptions {
                limits: Limits { entries: self.max_entries, unpacked_bytes: self.max_unpacked_bytes },
                jobs: jobs.repack,
                protocols: Protocols::new(protocols),
                scratch,
            },
            max_kept_bytes: self.max_kept_bytes,
            probe: self.probe_protocol.then(this_program).transpose()?.map(probe::Options::new),
            base_url,
            published: if self.replace { Published::Replaceable } else { Published::Immutable },
            version_key: if self.replace_key { VersionKey::Replaceable } else { VersionKey::Kept },
            dry_run: self.dry_run,
            record: Record::default(),
            date,
            options: Options {
                jobs: jobs.writes,
                reads: jobs.reads,
                contention_timeout: self.contention_timeout,
                signer: None,
                read_back: !self.no_verify,
                max_age: self.document_max_age.map(DocumentMaxAge),
            },
        };
        Ok((request, self.signing, self.invalidate))
    }
}

/// Adds the build server's facts about the build, and the network settings if the network is used.
fn complete(request: &mut Request, environment: &Environment) -> Result<()> {
    let in_s3 = |target: &Target| matches!(target, Target::S3(_));
    let s3 = in_s3(&request.target)
        || request.artifacts.iter().any(|artifact| matches!(artifact, Source::Prefix(_)))
        || matches!(&request.expected_in, Some(Place::Target(target)) if in_s3(target));
    if s3 {
        environment.check_endpoints()?;
    }
    let from_web = request.artifacts.iter().any(|artifact| matches!(artifact, Source::Web(_)));
    if s3 || from_web || matches!(request.expected_in, Some(Place::Web(_))) {
        request.access.ca_bundle = environment.ca_bundle()?;
        request.source.ca_bundle.clone_from(&request.access.ca_bundle);
    }
    request.record.build = environment.build.clone();
    Ok(())
}

pub(super) fn run(
    args: PublishArgs,
    global: &GlobalArgs,
    mut environment: Environment,
    reporter: &Reporter,
) -> Result<()> {
    let started = Instant::now();
    let (mut request, signing, invalidate) = args.into_request(global.jobs(), environment.date()?)?;
    complete(&mut request, &environment)?;
    request.access.patience = target::patience(request.options.contention_timeout, reporter);
    request.source.patience = request.access.patience.clone();
    check_dry_run(&request.target, request.dry_run.as_deref())?;
    let runtime = runtime()?;
    let role_arn = request.access.role_arn.clone();
    let invalidation = invalidate.invalidation(&request.access, request.base_url.clone(), &environment)?;
    let invalidation = invalidation.filter(|_| request.dry_run.is_none());
    let signing = async || signing.open(role_arn.as_deref(), &mut environment).await;
    let (artifacts, signer) = runtime.block_on(request.find(signing, reporter))?;
    let prepared = runtime.block_on(request.prepare(artifacts, signer, reporter))?;
    let progress = prepared.progress();
    let ledger = Ledger::default();
    let observer = Kept { observer: reporter, ledger: &ledger };
    let outcome = runtime.block_on(async {
        // From here on, signals have an effect only on code that waits for them. Dropping the publish stops the
        // processes that it has started.
        tokio::select! {
            outcome = prepared.publish(&observer) => outcome,
            () = stop_signal()? => Err(progress.stopped(Error::Interrupted)),
        }
    });
    let told = tell(&runtime, invalidation.as_ref(), &ledger, outcome.is_ok(), reporter)?;
    let outcome = outcome?;
    reporter.published(&outcome, told.as_ref(), started.elapsed());
    outcome.verdict()
}
