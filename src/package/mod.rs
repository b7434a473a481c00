//! The package set: a self-checked zip for every tarball of a release, and the release's protocols.

pub mod archive;
mod check;
mod container;
mod file_hasher;
mod zip_hash;

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::content::{Digest, DirHash, Scratch, Sealed};
use crate::error::{Error, Refusal, Result};
use crate::provider::{Platform, Protocols, ProviderType, Version};
use crate::release::archive::{ArchiveReader as _, CompressedForm, Limits};
use crate::release::contents::{self, Destination, TarballRules};
use crate::release::executable::{Examiner, HEADER_BYTES};
use crate::release::file::TarballFile;
use crate::release::{Release, Tarball, manifest};
use archive::{FileKind, FinishedZip, ZipError, ZipWriter};
pub use zip_hash::{MAX_ENTRIES, MAX_UNPACKED, zip_hash};

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
    /// The tarball that it was made from.
    pub tarball: TarballFile,
    /// The SHA-256 of that tarball.
    pub tarball_digest: Digest,
}

/// The zips of one release, with its other properties. Only [`PackageSet::build`] makes one.
#[derive(Debug, Clone)]
pub struct PackageSet {
    provider_type: ProviderType,
    version: Version,
    protocols: Protocols,
    declared_by: Vec<String>,
    packages: Vec<Package>,
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
    /// Repacks all tarballs of a release, `options.jobs` at once, and determines its protocols.
    ///
    /// # Errors
    /// A tarball is refused or cannot be read, a zip fails its self-check, or the protocols are unknown or disputed.
    pub fn build(release: Release, options: &BuildOptions, progress: OnProgress<'_>) -> Result<Self> {
        let mut sources = release.manifests;
        if let Some(protocols) = &options.protocols {
            sources.insert("--protocol".to_owned(), protocols.clone());
        }
        let mut packages = Vec::with_capacity(release.tarballs.len());
        for repacked in repack_all(&release.tarballs, options, progress) {
            let (package, manifests) = repacked?;
            packages.push(package);
            sources.extend(manifests);
        }
        let protocols = manifest::settle(&sources)?;
        let declared_by = sources.into_keys().collect();
        Ok(Self {
            provider_type: release.provider_type,
            version: release.version,
            protocols,
            declared_by,
            packages,
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

    /// The name of a platform's executable in its zip.
    #[must_use]
    pub fn executable_name(&self, platform: &Platform) -> String {
        contents::executable_name(&self.provider_type, &self.version, platform)
    }

    /// The packages, one a platform, in the order of the platforms.
    #[must_use]
    pub fn packages(&self) -> &[Package] {
        &self.packages
    }

    /// The package of a platform.
    #[must_use]
    pub fn get(&self, platform: &Platform) -> Option<&Package> {
        self.packages.iter().find(|package| package.platform == *platform)
    }
}

type Repacked = Result<(Package, BTreeMap<String, Protocols>)>;

/// Repacks with `jobs` threads that take the next tarball each; results are in the tarballs' order.
///
/// After the first failure no further tarball is begun, so that a bad tarball is reported soon.
fn repack_all(tarballs: &[Tarball], options: &BuildOptions, progress: OnProgress<'_>) -> Vec<Repacked> {
    let next = AtomicUsize::new(0);
    let results: Mutex<BTreeMap<usize, Repacked>> = Mutex::default();
    let work = || {
        while let Some((index, tarball)) = {
            let index = next.fetch_add(1, Ordering::Relaxed);
            tarballs.get(index).map(|tarball| (index, tarball))
        } {
            let repacked = repack(tarball, options, &|bytes| progress(index, bytes));
            if repacked.is_err() {
                next.store(tarballs.len(), Ordering::Relaxed);
            }
            results.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(index, repacked);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..options.jobs.clamp(1, tarballs.len().max(1)) {
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

/// Converts one tarball into its zip; also returns the protocols that manifests inside declare.
fn repack(tarball: &Tarball, options: &BuildOptions, progress: &dyn Fn(u64)) -> Repacked {
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
        tarball: tarball.file.clone(),
        tarball_digest: digest,
    };
    Ok((package, manifests))
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

fn check_executable(tarball: &Tarball, path: &str, examiner: &Examiner<'_>) -> Result<(), Refusal> {
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

fn zip_error(tarball: &Tarball, scratch: &Scratch, error: ZipError) -> Error {
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
