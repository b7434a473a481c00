//! The package set: a checked zip for every platform of a release, made of a tarball or taken as it is, and the release's
//! protocols.

pub mod archive;
mod check;
mod container;
mod file_hasher;
mod later;
pub mod ready_made;
mod zip_hash;

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::content::{Digest, DirHash, Scratch, Sealed};
use crate::error::{Error, Refusal, Result};
use crate::provider::{Platform, Protocols, ProviderType, Version};
use crate::release::archive::{ArchiveReader as _, CompressedForm, Limits};
use crate::release::contents::{Destination, TarballRules};
use crate::release::executable::{Examiner, HEADER_BYTES};
use crate::release::file::ArtifactFile;
use crate::release::name::Form;
use crate::release::ready_made::KeptSums;
use crate::release::{Artifact, Release, manifest};
use archive::{FileKind, FinishedZip, ZipError, ZipWriter};
pub use zip_hash::zip_hash;

/// Files of this size and above keep the compression of the tarball; see [`crate::splice`]. Smaller ones are compressed
/// again: that costs almost nothing, and the head of such a file's stream may be larger than the file.
const RECORDED_FROM: u64 = 128 * 1024;

/// The zip of one platform.
#[derive(Debug, Clone)]
pub struct Package {
    /// The platform.
    pub platform: Platform,
    /// The zip.
    pub zip: Sealed,
    /// The hash of the files in it.
    pub h1: DirHash,
    /// The name of the entry that clients start.
    pub executable: String,
    /// The tarball that it was made from, or the zip that was taken.
    pub artifact: ArtifactFile,
    /// The SHA-256 of that file.
    pub artifact_digest: Digest,
    /// What the zip can be made of again.
    source: Arc<Artifact>,
}

impl Package {
    /// Where the zip comes from, in words.
    #[must_use]
    pub fn origin(&self) -> String {
        let file = self.artifact.display();
        if self.artifact_digest == self.zip.digest() {
            file.to_owned()
        } else {
            format!("the zip made from {file}")
        }
    }
}

/// The zips of one release, with its other properties. Only [`PackageSet::build`] makes one.
#[derive(Debug, Clone)]
pub struct PackageSet {
    provider_type: ProviderType,
    version: Version,
    protocols: Protocols,
    declared_by: Vec<String>,
    packages: Vec<Package>,
    form: Form,
    sums: Option<KeptSums>,
    warnings: Vec<String>,
}

/// How packages are built.
#[derive(Debug, Clone)]
pub struct BuildOptions {
    /// The limits for each tarball.
    pub limits: Limits,
    /// How many tarballs are repacked at once.
    pub jobs: usize,
    /// The protocols that the command line declares.
    pub protocols: Option<Protocols>,
    /// The temporary storage for zips until they are written.
    pub scratch: Scratch,
}

/// Called with progress: the tarball's index in the release, and the compressed bytes read since the last call.
pub type OnProgress<'a> = &'a (dyn Fn(usize, u64) + Sync);

impl PackageSet {
    /// Repacks all tarballs of a release, or takes its zips, `options.jobs` at once, and determines its protocols.
    ///
    /// # Errors
    /// A tarball or zip is refused or cannot be read, a zip fails its self-check, or the protocols are unknown or
    /// disputed.
    pub fn build(release: Release, options: &BuildOptions, progress: OnProgress<'_>) -> Result<Self> {
        let mut sources = release.manifests;
        if let Some(protocols) = &options.protocols {
            sources.insert("--protocol".to_owned(), protocols.clone());
        }
        let mut packages = Vec::with_capacity(release.artifacts.len());
        let mut warnings = release.sums.as_ref().map(KeptSums::warnings).unwrap_or_default();
        for repacked in repack_all(&release.artifacts, options, progress) {
            let Repacked { package, manifests, warnings: about } = repacked?;
            packages.push(package);
            sources.extend(manifests);
            warnings.extend(about);
        }
        if let Some(sums) = &release.sums {
            check_listed(sums, &packages)?;
        }
        let (provider_type, version) = (&release.provider_type, &release.version);
        let missing = match (&release.missing_manifest, release.form) {
            (Some(listed), _) => listed.clone(),
            (None, Form::Tarball) => {
                format!("no manifest in or beside the tarballs of {provider_type} {version}")
            }
            (None, Form::Zip) => format!("no manifest beside the zips of {provider_type} {version}"),
        };
        let protocols = manifest::settle(&sources, &missing)?;
        warnings.extend(release.missing_manifest.map(|listed| {
            format!("{listed}; {version} is published with protocols {protocols}, as --protocol says")
        }));
        let declared_by = sources.into_keys().collect();
        Ok(Self {
            provider_type: release.provider_type,
            version: release.version,
            protocols,
            declared_by,
            packages,
            form: release.form,
            sums: release.sums,
            warnings,
        })
    }

    /// The provider's type.
    #[must_use]
    pub fn provider_type(&self) -> &ProviderType {
        &self.provider_type
    }

    /// The version.
    #[must_use]
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// The plugin protocols.
    #[must_use]
    pub fn protocols(&self) -> &Protocols {
        &self.protocols
    }

    /// The declarations of the protocols: the command line's option and manifests, at least one of them.
    #[must_use]
    pub fn declared_by(&self) -> &[String] {
        &self.declared_by
    }

    /// What the archives of the release are.
    #[must_use]
    pub fn form(&self) -> Form {
        self.form
    }

    /// The SHA256SUMS of ready-made zips, which is published unchanged.
    #[must_use]
    pub fn sums(&self) -> Option<&KeptSums> {
        self.sums.as_ref()
    }

    /// What is untidy, for the user to know.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The packages, one a platform, in the order of the platforms.
    #[must_use]
    pub fn packages(&self) -> &[Package] {
        &self.packages
    }

    /// How many bytes of zips are kept until they are written.
    #[must_use]
    pub fn kept_bytes(&self) -> u64 {
        let kept = self.packages.iter().filter(|package| package.zip.is_at_hand());
        kept.map(|package| package.zip.len()).sum()
    }

    /// Gives the zips up, and the room that they take. Each is made again when it is written, and must be the same.
    pub fn give_zips_up(&mut self, options: &BuildOptions) {
        for package in &mut self.packages {
            package.zip = later::later(package, options);
        }
    }

    /// The package of a platform.
    #[must_use]
    pub fn get(&self, platform: &Platform) -> Option<&Package> {
        self.packages.iter().find(|package| package.platform == *platform)
    }
}

/// Checks that the zips are those that the release's SHA256SUMS lists: one may be from another folder than that file.
fn check_listed(sums: &KeptSums, packages: &[Package]) -> Result<(), Refusal> {
    let differs =
        |package: &&Package| sums.lines.get(package.artifact.name()) != Some(package.artifact_digest);
    let Some(package) = packages.iter().find(differs) else { return Ok(()) };
    let listed = sums.lines.get(package.artifact.name());
    Err(Refusal::new(
        package.artifact.display(),
        "the zip does not have the checksum in the release's SHA256SUMS file",
    )
    .found(format!("SHA-256 {}", package.artifact_digest))
    .expected(format!(
        "SHA-256 {}, from {}",
        listed.map_or_else(String::new, |digest| digest.to_string()),
        sums.shown
    ))
    .remedy("give the zips of the release that this SHA256SUMS is of"))
}

/// The package of one archive.
struct Repacked {
    package: Package,
    /// The protocols that manifests inside of the archive declare.
    manifests: BTreeMap<String, Protocols>,
    warnings: Vec<String>,
}

/// Repacks with `jobs` threads that take the next tarball each; results are in the tarballs' order.
///
/// After the first failure no further tarball is begun, so that a bad tarball is reported soon.
fn repack_all(
    artifacts: &[Artifact],
    options: &BuildOptions,
    progress: OnProgress<'_>,
) -> Vec<Result<Repacked>> {
    let next = AtomicUsize::new(0);
    let results: Mutex<BTreeMap<usize, Result<Repacked>>> = Mutex::default();
    let work = || {
        while let Some((index, artifact)) = {
            let index = next.fetch_add(1, Ordering::Relaxed);
            artifacts.get(index).map(|artifact| (index, artifact))
        } {
            let progress = |bytes| progress(index, bytes);
            let repacked = package(artifact, options, &progress);
            if repacked.is_err() {
                next.store(artifacts.len(), Ordering::Relaxed);
            }
            results.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(index, repacked);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..options.jobs.clamp(1, artifacts.len().max(1)) {
            // If no more threads can be started, the existing ones do the work: at least this one.
            if let Err(error) = std::thread::Builder::new().spawn_scoped(scope, work) {
                tracing::debug!("cannot start another thread: {error}");
                break;
            }
        }
        work();
    });
    results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).into_values().collect()
}

/// The package of one archive, whatever it is.
fn package(artifact: &Artifact, options: &BuildOptions, progress: &dyn Fn(u64)) -> Result<Repacked> {
    match artifact.name.form {
        Form::Tarball => repack(artifact, options, progress),
        Form::Zip => ready_made::take(artifact, options, progress).map(|(package, warnings)| Repacked {
            package,
            manifests: BTreeMap::new(),
            warnings,
        }),
    }
}

/// The archive without what was fetched of it, so that nothing of it takes room while the package is kept.
fn source_of(artifact: &Artifact) -> Arc<Artifact> {
    Arc::new(Artifact { file: artifact.file.unfetched(), ..artifact.clone() })
}

/// Converts one tarball into its zip.
fn repack(tarball: &Artifact, options: &BuildOptions, progress: &dyn Fn(u64)) -> Result<Repacked> {
    let zip_error = |error| zip_error(tarball, &options.scratch, error);
    let mut contents = TarballRules::new(&tarball.file, &tarball.name);
    let mut zip = ZipWriter::new(&options.scratch).map_err(zip_error)?;
    let mut manifests = BTreeMap::new();
    let digest = tarball.file.read(options.limits, progress, &mut |entry| {
        let place = contents.place(entry.path)?;
        let (name, kind) = match &place {
            Destination::Executable(name) => (Some(name), FileKind::Executable),
            Destination::Beside(name) => (Some(name), FileKind::Plain),
            Destination::LeftOut => (None, FileKind::Plain),
        };
        // Depends on the size alone, and is decided before the first byte is read.
        let recorder = match entry.compressed {
            CompressedForm::Recordable(recorder) if name.is_some() && entry.size >= RECORDED_FROM => {
                recorder.record(entry.size);
                Some(recorder)
            }
            CompressedForm::Recordable(_) | CompressedForm::None => None,
        };
        let base = entry.path.rsplit('/').next().unwrap_or_default();
        let is_manifest = base == manifest::PLAIN_NAME || place == Destination::LeftOut;
        // A file that is examined is read into memory first, and then packed from the same bytes.
        let peek = match kind {
            FileKind::Executable => HEADER_BYTES as u64,
            FileKind::Plain if is_manifest => manifest::MAX_BYTES,
            FileKind::Plain => 0,
        };
        let subject = format!("{} in {}", entry.path, tarball.file.display());
        let mut head = Vec::new();
        entry
            .content
            .take(peek)
            .read_to_end(&mut head)
            .map_err(|e| Error::Io { context: subject.clone(), source: e })?;
        // A wrong executable is refused before it is packed, if its beginning shows the error.
        let mut examiner = (kind == FileKind::Executable).then(|| tarball.expectation.examine(entry.size));
        if let Some(examiner) = &mut examiner {
            examiner.feed(&head);
            check_executable(tarball, entry.path, examiner)?;
        } else if is_manifest {
            manifests.insert(subject.clone(), manifest::parse(&subject, &head)?);
        }
        let Some(name) = name else { return Ok(()) };
        let mut rest = Examined { content: entry.content, examiner: examiner.as_mut() };
        let content = &mut head.as_slice().chain(&mut rest);
        let added = match recorder {
            Some(recorder) => zip.add_recorded(name, kind, entry.size, content, recorder),
            None => zip.add(name, kind, entry.size, content),
        };
        added.map_err(zip_error)?;
        match &examiner {
            Some(examiner) => Ok(check_executable(tarball, entry.path, examiner)?),
            None => Ok(()),
        }
    })?;
    if let Some(sidecar) = &tarball.sidecar {
        sidecar.check(&tarball.file, &digest)?;
    }
    contents.finish()?;
    let FinishedZip { zip, h1 } = zip.finish().map_err(zip_error)?;
    let package = Package {
        platform: tarball.name.platform.clone(),
        zip,
        h1,
        executable: contents.executable_name(),
        artifact: tarball.file.unfetched(),
        artifact_digest: digest,
        source: source_of(tarball),
    };
    Ok(Repacked { package, manifests, warnings: Vec::new() })
}

/// Contents that are also passed to the examiner of an executable.
struct Examined<'a, 'b> {
    content: &'a mut dyn Read,
    examiner: Option<&'a mut Examiner<'b>>,
}

impl Read for Examined<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.content.read(buffer)?;
        if let Some(examiner) = &mut self.examiner {
            examiner.feed(buffer.get(..count).unwrap_or_default());
        }
        Ok(count)
    }
}

fn check_executable(tarball: &Artifact, path: &str, examiner: &Examiner<'_>) -> Result<(), Refusal> {
    examiner.check().map_err(|(found, expected)| {
        Refusal::new(
            tarball.file.display(),
            format!("{path} is not an executable for {}", tarball.name.platform),
        )
        .found(found)
        .expected(format!("{expected}, as the tarball's name says"))
        .remedy("check that the tarball was made from the right build, and named after it")
    })
}

fn zip_error(tarball: &Artifact, scratch: &Scratch, error: ZipError) -> Error {
    let subject = tarball.file.display();
    match error {
        ZipError::SelfCheck(found) => Refusal::new(subject, "the zip made from it fails its self-check")
            .found(found)
            .expected("the same files that are in the tarball")
            .remedy("try again on another machine; if it happens again, report it as a bug of tfreg")
            .into(),
        ZipError::Io(source) | ZipError::Zip(zip::result::ZipError::Io(source)) => Error::Io {
            context: format!("cannot repack {subject}: {} cannot be used", scratch.describe()),
            source,
        },
        ZipError::Zip(error) => {
            Error::Io { context: format!("cannot repack {subject}"), source: std::io::Error::other(error) }
        }
    }
}
