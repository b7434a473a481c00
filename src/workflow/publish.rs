//! Publishes a release: tarballs or ready-made zips in, a registry from which clients install out.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

use super::signature::{Chosen, Signatures};
use super::source::{Source, Sources};
use super::target::{self, Place, Target};
use super::{Observer, docs};
use crate::error::{Error, Result};
use crate::openpgp::Signer;
use crate::package::{BuildOptions, PackageSet};
use crate::plan::{Plan, PublishGoal, Published, RunState, VersionKey};
use crate::probe::{self, Probe};
use crate::promotion;
use crate::provider::{Namespace, Provider};
use crate::publish::{self, Options};
use crate::reader::Reader;
use crate::registry::provenance::Record;
use crate::registry::{BaseUrl, Key};
use crate::release::file::TarballFile;
use crate::release::{Expected, Release};
use crate::store::RegistryStore;
use crate::store::access::Access;
use crate::store::budget::{Budget, RealPace};
use crate::verify::{self, Scope, Unwatched, Verification};

/// What to publish, and where.
pub struct Request {
    /// The locations of the tarballs or zips.
    pub tarballs: Vec<Source>,
    /// Whose signature is published.
    pub signatures: Signatures,
    /// The account of the tarballs in buckets.
    pub source: Access,
    /// The registry.
    pub target: Target,
    /// The account that writes the registry.
    pub access: Access,
    /// The provider's namespace; its type comes from the tarballs.
    pub namespace: Namespace,
    /// The requirements on the release.
    pub expected: Expected,
    /// Another registry, which has to list the same zips.
    pub expected_in: Option<Place>,
    /// Whether that registry may lead to private addresses.
    pub private_links: bool,
    /// The folder of the provider's documentation, if it is named.
    pub docs: Option<PathBuf>,
    /// How tarballs are repacked.
    pub build: BuildOptions,
    /// How an executable is asked for its protocols; `None` if none is asked.
    pub probe: Option<probe::Options>,
    /// Where clients reach a registry without settings.
    pub base_url: Option<BaseUrl>,
    /// Whether published contents may change.
    pub published: Published,
    /// Whether a published version may be moved to this run's key.
    pub version_key: VersionKey,
    /// A folder for the objects of a dry run, which writes nothing to the target.
    pub dry_run: Option<PathBuf>,
    /// What the record of the publish says about the run.
    pub record: Record,
    /// The date in the version's entry of the index, if this run lists the version first.
    pub date: Timestamp,
    /// The settings of the run.
    pub options: Options,
}

/// A release that is ready to be published: every package is checked.
pub struct Prepared {
    request: Request,
    goal: PublishGoal,
    expiry_warning: Option<String>,
}

/// The result of a publish.
pub struct Outcome {
    /// The goal of the run.
    pub goal: PublishGoal,
    /// The registry in the user's words.
    pub target: String,
    /// The warning for the user if the key expires soon.
    pub expiry_warning: Option<String>,
    /// The answer of the executable that was asked for its protocols, if one was asked.
    pub probe: Option<Probe>,
    /// How it ended.
    pub end: End,
}

/// How a publish ended.
pub enum End {
    /// Nothing was written to the target.
    DryRun {
        /// The plan.
        plan: Box<Plan>,
        /// The folder with its objects.
        folder: PathBuf,
    },
    /// All objects are in the registry.
    Published {
        /// The result of the run.
        run: Box<publish::Outcome>,
        /// The result of reading it back, unless that was not requested.
        verified: Option<Verified>,
    },
}

/// The result of reading a publish back, or the reason why it could not be read.
pub type Verified = Result<Verification>;

impl Request {
    /// Finds the tarballs or zips, and fetches those in buckets. `signing` opens the key in between, if the run needs
    /// one: after all cheap checks, and before anything large is fetched.
    ///
    /// # Errors
    /// Fails if a tarball's name is refused, a bucket cannot be read, or there is no usable key.
    pub async fn fetch(
        &self,
        signing: impl AsyncFnOnce() -> Result<Arc<dyn Signer>>,
        observer: &dyn Observer,
    ) -> Result<(Vec<TarballFile>, Option<Arc<dyn Signer>>)> {
        let sources = Sources::open(&self.tarballs, &self.source).await?;
        let found = sources.find(&self.expected).await?;
        let signer = if self.signatures.need_signer() { Some(signing().await?) } else { None };
        Ok((sources.fetch(found, self.options.jobs, observer).await?, signer))
    }

    /// Repacks the tarballs, or takes the zips, and checks them; CPU-bound work, which should not run on an async thread.
    ///
    /// # Errors
    /// Fails if a tarball, zip or signature is refused or cannot be read, or the protocols are unknown or disputed.
    pub fn prepare(
        mut self,
        tarballs: Vec<TarballFile>,
        signer: Option<Arc<dyn Signer>>,
        observer: &dyn Observer,
    ) -> Result<Prepared> {
        let release = Release::open(tarballs, &self.expected)?;
        let docs = docs::read(self.docs.as_deref(), &self.tarballs)?;
        let Chosen { key, kept, signer } = std::mem::take(&mut self.signatures).choose(&release, signer)?;
        let record = signer.is_some().then(|| self.record.clone());
        self.options.signer = signer;
        let expiry_warning = key.expiry_warning();
        if let Some(warning) = &expiry_warning {
            observer.warn(warning);
        }
        let repacking = observer.repacking(&release);
        let packages =
            PackageSet::build(release, &self.build, &|index, bytes| repacking.advance(index, bytes))?;
        repacking.finish();
        for warning in packages.warnings() {
            observer.warn(warning);
        }
        for package in packages.packages() {
            tracing::debug!(
                platform = %package.platform,
                tarball_sha256 = %package.tarball_digest,
                zip_sha256 = %package.zip.digest(),
                bytes = package.zip.len(),
                "packed"
            );
        }
        drop(repacking);
        let provider =
            Provider { namespace: self.namespace.clone(), provider_type: packages.provider_type().clone() };
        let goal = PublishGoal {
            provider,
            packages,
            key,
            signature: kept,
            base_url: self.base_url.clone(),
            is_for_a_host: matches!(self.target, Target::S3(_)),
            published: self.published,
            version_key: self.version_key,
            record,
            date: self.date,
            docs,
        };
        Ok(Prepared { request: self, goal, expiry_warning })
    }
}

impl Prepared {
    /// Publishes, and reads back what was published.
    ///
    /// # Errors
    /// Fails if the declared protocols are wrong, another registry lists other zips, or [`publish::publish`] fails.
    /// Findings about the published version are not an error but a part of the outcome: see [`Outcome::verdict`].
    pub async fn publish(self, observer: &dyn Observer) -> Result<Outcome> {
        let Self { request, goal, expiry_warning } = self;
        let probe = match &request.probe {
            Some(options) => Some(probe::probe(&goal.packages, options).await?),
            None => None,
        };
        if let Some(probe) = &probe {
            observer.probed(probe);
        }
        if let Some(place) = &request.expected_in {
            let reader = target::open_reader(place, &request.access, request.private_links).await?;
            let reads = request.options.reads;
            promotion::expect_match(&goal.packages, &goal.provider, &reader, reads).await?;
            observer.note(&format!("Every zip is the one that {} lists", reader.describe()));
        }
        let dry_run = request.dry_run.as_deref();
        let store = target::open_store(&request.target, dry_run, &request.access).await?;
        let target = store.describe();
        let end = match request.dry_run {
            Some(folder) => {
                let plan =
                    publish::observe(&store, &goal, &mut RunState::default(), &request.options, observer)
                        .await?;
                target::write_dry_run(&plan, &folder).await?;
                End::DryRun { plan: Box::new(plan), folder }
            }
            None => run(store, &goal, &request.options, observer).await?,
        };
        Ok(Outcome { goal, target, expiry_warning, probe, end })
    }
}

async fn run(
    store: RegistryStore,
    goal: &PublishGoal,
    options: &Options,
    observer: &dyn Observer,
) -> Result<End> {
    let budget = Budget::new(options.contention_timeout, Box::new(RealPace::default()));
    let mut run = publish::publish(&store, goal, options, budget, observer).await?;
    let verified = match run.snapshot.take() {
        Some(snapshot) => {
            let scope = Scope::published(&goal.provider, goal.packages.version());
            let reader = Reader::Store(snapshot.in_front_of(store));
            Some(verify::verify(&reader, &scope, options.reads, &Unwatched).await)
        }
        None => None,
    };
    Ok(End::Published { run: Box::new(run), verified })
}

impl Outcome {
    /// The objects that were written.
    pub fn written(&self) -> impl Iterator<Item = &Key> {
        let run = match &self.end {
            End::DryRun { .. } => None,
            End::Published { run, .. } => Some(run),
        };
        run.into_iter().flat_map(|run| run.written.keys())
    }

    /// Whether the command has succeeded. Errors found when reading back fail it, though everything is published then.
    ///
    /// # Errors
    /// Fails if clients would fail with the published version, or it could not be read back.
    pub fn verdict(self) -> Result<()> {
        let End::Published { verified: Some(verified), .. } = self.end else { return Ok(()) };
        let verification = verified.map_err(|error| Error::Unverified(Box::new(error)))?;
        verification.publish_refusal().map_or(Ok(()), |refusal| Err(Error::Reported(Box::new(refusal))))
    }
}
