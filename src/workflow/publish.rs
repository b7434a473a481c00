//! Publishes releases: tarballs or ready-made zips in, a registry from which clients install out.
//!
//! All releases of a run are read and checked before anything is written. Of a backfill that is more than the temporary
//! folder may hold: then zips are given up once they are checked, and made again when they are written.

mod batches;
mod progress;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

use super::signature::{Chosen, Signatures};
use super::source::{self, Artifacts, LeftAlone, Source, Sources};
use super::target::{self, Place, Target};
use super::{Observer, docs};
use crate::error::{Error, Result};
use crate::openpgp::Signer;
use crate::package::{BuildOptions, PackageSet};
use crate::plan::batch::Batch;
use crate::plan::pages::DocsSource;
use crate::plan::{Plan, PublishGoal, Published, VersionKey};
use crate::probe::{self, Probe};
use crate::promotion;
use crate::provider::{Namespace, Platform, Provider, ProviderType, ReleaseId, Version};
use crate::publish::{self, Options};
use crate::registry::BaseUrl;
use crate::registry::provenance::Record;
use crate::release::{Expected, Release};
use crate::store::access::Access;
use crate::verify::Verification;
use crate::worker;
pub use progress::Progress;

/// What to publish, and where.
pub struct Request {
    /// The locations of the tarballs or zips.
    pub artifacts: Vec<Source>,
    /// Whose signature is published.
    pub signatures: Signatures,
    /// The account of the tarballs in buckets.
    pub source: Access,
    /// The registry.
    pub target: Target,
    /// The account that writes the registry.
    pub access: Access,
    /// The providers' namespace; their types come from the tarballs.
    pub namespace: Namespace,
    /// The requirements on the release, or on each of several.
    pub expected: Expected,
    /// Another registry, which has to list the same zips.
    pub expected_in: Option<Place>,
    /// Whether that registry may lead to private addresses.
    pub private_links: bool,
    /// The folder of the provider's documentation, if it is named.
    pub docs: Option<PathBuf>,
    /// How tarballs are repacked.
    pub build: BuildOptions,
    /// How many bytes of the zips of several releases are kept until they are written.
    pub max_kept_bytes: u64,
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

/// Releases that are ready to be published: every package is checked.
pub struct Prepared {
    request: Request,
    goals: Vec<PublishGoal>,
    left_alone: Vec<LeftAlone>,
    expiry_warning: Option<String>,
    progress: Arc<Progress>,
}

/// The result of a publish.
pub struct Outcome {
    /// The registry in the user's words.
    pub target: String,
    /// The warning for the user if the key expires soon.
    pub expiry_warning: Option<String>,
    /// What was beside the artifacts and belongs to no release.
    pub left_alone: Vec<LeftAlone>,
    /// The answers of the executables that were asked for their protocols, if any were asked.
    pub probes: BTreeMap<ReleaseId, Probe>,
    /// What was written together, at least one batch: provider by provider, the oldest versions first.
    pub batches: Vec<Batched>,
}

/// Versions of a provider that were written together.
pub struct Batched {
    /// The versions.
    pub batch: Batch,
    /// How it ended.
    pub end: End,
}

/// How a batch ended.
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
    /// Finds the tarballs or zips. `signing` opens the key in between, if the run needs one: after the names are checked,
    /// and before anything is fetched.
    ///
    /// # Errors
    /// Fails if a tarball's name is refused, a bucket cannot be read, or there is no usable key.
    pub async fn find(
        &self,
        signing: impl AsyncFnOnce() -> Result<Arc<dyn Signer>>,
        observer: &dyn Observer,
    ) -> Result<(Artifacts, Option<Arc<dyn Signer>>)> {
        let sources = Sources::open(&self.artifacts, &self.source).await?;
        let found = sources.find(&self.expected).await?;
        let signer = if self.signatures.need_signer() { Some(signing().await?) } else { None };
        Ok((sources.artifacts(found, self.options.jobs, observer).await?, signer))
    }

    /// Verifies the signatures of all releases; then, release by release, fetches what is not local, repacks the tarballs
    /// or takes the zips, and checks them. The work on archives keeps the thread that calls it.
    ///
    /// # Errors
    /// Fails if a tarball, zip or signature is refused or cannot be read, or the protocols are unknown or disputed.
    pub async fn prepare(
        mut self,
        artifacts: Artifacts,
        signer: Option<Arc<dyn Signer>>,
        observer: &dyn Observer,
    ) -> Result<Prepared> {
        let Artifacts { files, left_alone } = artifacts;
        let releases = Release::open_all(files, &self.expected)?;
        let together = together(&releases);
        let mut docs = self.docs_of(&releases)?;
        let signatures = std::mem::take(&mut self.signatures);
        let choose = |release: Release| Ok((signatures.choose(&release, signer.clone())?, release));
        let releases = releases.into_iter().map(choose).collect::<Result<Vec<_>>>()?;
        let (count, mut kept_bytes, mut goals) = (releases.len(), 0, Vec::new());
        let mut expiry_warning = None;
        for (at, (chosen, release)) in releases.into_iter().enumerate() {
            let expires = chosen.key.expiry_warning();
            if let Some(warning) = expires.filter(|_| expiry_warning.is_none()) {
                observer.warn(&warning);
                expiry_warning = Some(warning);
            }
            self.options.signer = self.options.signer.or_else(|| chosen.signer.clone());
            let mut packages = self.build(release, (at + 1, count), observer).await?;
            kept_bytes += packages.kept_bytes();
            if count > 1 && kept_bytes > self.max_kept_bytes {
                kept_bytes -= packages.kept_bytes();
                packages.give_zips_up(&self.build);
            }
            let together = together.get(packages.provider_type()).cloned().unwrap_or_default();
            goals.push(self.goal(packages, chosen, together, docs.take()));
        }
        let versions =
            goals.iter().map(|goal| ReleaseId::new(&goal.provider, goal.packages.version()).to_string());
        let progress = Arc::new(Progress::of(&self.target, versions.collect()));
        Ok(Prepared { request: self, goals, left_alone, expiry_warning, progress })
    }

    /// The packages of a release.
    async fn build(
        &self,
        mut release: Release,
        position: (usize, usize),
        observer: &dyn Observer,
    ) -> Result<PackageSet> {
        source::fetch(&mut release, self.options.jobs, observer).await?;
        let packages = worker::compute(|| {
            let repacking = observer.repacking(&release, position);
            let packages =
                PackageSet::build(release, &self.build, &|index, bytes| repacking.advance(index, bytes))?;
            repacking.finish();
            Ok::<_, Error>(packages)
        })?;
        for warning in packages.warnings() {
            observer.warn(warning);
        }
        for package in packages.packages() {
            tracing::debug!(
                platform = %package.platform,
                tarball_sha256 = %package.artifact_digest,
                zip_sha256 = %package.zip.digest(),
                bytes = package.zip.len(),
                "packed"
            );
        }
        Ok(packages)
    }

    /// The documentation of the release, if there is one release only: a folder is not that of several.
    fn docs_of(&self, releases: &[Release]) -> Result<Option<DocsSource>> {
        match (releases, &self.docs) {
            ([_], named) => docs::read(named.as_deref(), &self.artifacts),
            (_, None) => Ok(None),
            (_, Some(_)) => Err(Error::Usage(
                "--docs is the documentation of one version, and the run has several; give the tarballs or zips of that version, \
                 or leave out --docs"
                    .to_owned(),
            )),
        }
    }

    fn goal(
        &self,
        packages: PackageSet,
        chosen: Chosen,
        together: Arc<Together>,
        docs: Option<DocsSource>,
    ) -> PublishGoal {
        let Chosen { key, kept, signer } = chosen;
        let provider =
            Provider { namespace: self.namespace.clone(), provider_type: packages.provider_type().clone() };
        PublishGoal {
            provider,
            packages,
            key,
            signature: kept,
            base_url: self.base_url.clone(),
            is_for_a_host: matches!(self.target, Target::S3(_)),
            published: self.published,
            version_key: self.version_key,
            record: signer.is_some().then(|| self.record.clone()),
            date: self.date,
            together,
            docs,
        }
    }
}

/// The versions of a provider, with their platforms.
type Together = BTreeMap<Version, BTreeSet<Platform>>;

/// What a run publishes of each provider.
fn together(releases: &[Release]) -> BTreeMap<ProviderType, Arc<Together>> {
    let mut all: BTreeMap<ProviderType, Together> = BTreeMap::new();
    for Release { provider_type, version, artifacts, .. } in releases {
        let platforms = artifacts.iter().map(|tarball| tarball.name.platform.clone()).collect();
        all.entry(provider_type.clone()).or_default().insert(version.clone(), platforms);
    }
    all.into_iter().map(|(provider, together)| (provider, Arc::new(together))).collect()
}

impl Prepared {
    /// What the run has published so far; for when it is stopped.
    #[must_use]
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Publishes, and reads back what was published.
    ///
    /// # Errors
    /// Fails if the declared protocols are wrong, another registry lists other zips, or [`publish::publish`] fails.
    /// Findings about the published version are not an error but a part of the outcome: see [`Outcome::verdict`].
    pub async fn publish(self, observer: &dyn Observer) -> Result<Outcome> {
        let Self { request, goals, left_alone, expiry_warning, progress } = self;
        let probes = probe_all(&goals, request.probe.as_ref(), observer).await?;
        if let (Some(place), Some(goal)) = (&request.expected_in, goals.first()) {
            let reader = target::open_reader(place, &request.access, request.private_links).await?;
            let reads = request.options.reads;
            promotion::expect_match(&goal.packages, &goal.provider, &reader, reads).await?;
            observer.note(&format!("Every zip is the one that {} lists", reader.describe()));
        }
        let dry_run = request.dry_run.as_deref();
        let store = target::open_store(&request.target, dry_run, &request.access).await?;
        let target = store.describe();
        let batches = match dry_run {
            Some(folder) => batches::dry_run(&store, goals, folder, &request.options, observer).await?,
            None => batches::publish(&store, goals, &request.options, &progress, observer).await?,
        };
        Ok(Outcome { target, expiry_warning, left_alone, probes, batches })
    }
}

/// Asks the executable of each release for its protocols. What several have to be warned of is said once.
async fn probe_all(
    goals: &[PublishGoal],
    options: Option<&probe::Options>,
    observer: &dyn Observer,
) -> Result<BTreeMap<ReleaseId, Probe>> {
    let (mut probes, mut warned) = (BTreeMap::new(), BTreeSet::new());
    let Some(options) = options else { return Ok(probes) };
    for goal in goals {
        let probe = probe::probe(&goal.packages, options).await?;
        for warning in probe.warnings().into_iter().filter(|warning| warned.insert(warning.clone())) {
            observer.warn(&warning);
        }
        probes.insert(ReleaseId::new(&goal.provider, goal.packages.version()), probe);
    }
    Ok(probes)
}

impl Outcome {
    /// Whether the command has succeeded. Errors found when reading back fail it, though everything is published then.
    ///
    /// # Errors
    /// Fails if clients would fail with a published version, or it could not be read back.
    pub fn verdict(self) -> Result<()> {
        let mut refusal = None;
        for Batched { end, .. } in self.batches {
            let End::Published { verified: Some(verified), .. } = end else { continue };
            let verification = verified.map_err(|error| Error::Unverified(Box::new(error)))?;
            refusal = refusal.or_else(|| verification.publish_refusal());
        }
        refusal.map_or(Ok(()), |refusal| Err(Error::Reported(Box::new(refusal))))
    }
}
