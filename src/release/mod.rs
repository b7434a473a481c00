//! Releases: tarballs or zips whose names belong together, and the rules for their contents. A run may have several.

pub mod archive;
pub mod contents;
pub mod entry_name;
pub mod executable;
pub mod file;
mod magic;
pub mod manifest;
pub mod name;
pub mod ready_made;
pub mod sidecar;
mod tar;
pub mod tarball;
pub mod zips;

use std::collections::{BTreeMap, BTreeSet};

use crate::content::Digest;
use crate::error::{Refusal, Result};
use crate::provider::{Platform, Protocols, ProviderType, Version};
use executable::Expectation;
use file::{ArtifactFile, Companion};
use name::{ArtifactName, Form};
use ready_made::KeptSums;
use sidecar::Sidecar;

/// The user's requirements for a release. All but [`stable`](Self::stable) need a run with one release.
#[derive(Debug, Default)]
pub struct Expected {
    /// The provider's type.
    pub provider_type: Option<ProviderType>,
    /// The one version that the tarballs must have.
    pub version: Option<Version>,
    /// The platforms that must be present, and no others; empty if there is no such requirement.
    pub platforms: BTreeSet<Platform>,
    /// Whether pre-releases are refused.
    pub stable: bool,
    /// The one pre-release that is accepted nevertheless.
    pub prerelease: Option<Version>,
    /// Whether another registry has to list the same zips (`--expect-match`).
    pub elsewhere: bool,
}

impl Expected {
    /// The option that names one release, if there is one.
    fn names_one(&self) -> Option<&'static str> {
        [
            ("--expect-version", self.version.is_some()),
            ("--expect-type", self.provider_type.is_some()),
            ("--expect-platform", !self.platforms.is_empty()),
            ("--expect-match", self.elsewhere),
        ]
        .into_iter()
        .find_map(|(option, is_given)| is_given.then_some(option))
    }
}

/// One artifact of a release, a tarball or a ready-made zip: its name is valid, its platform known, its sidecar read; its contents were not read yet.
#[derive(Debug, Clone)]
pub struct Artifact {
    /// The file.
    pub file: ArtifactFile,
    /// The parts of its name.
    pub name: ArtifactName,
    /// The properties that its executable must have.
    pub expectation: Expectation,
    /// Its checksum, if a sidecar has it.
    pub sidecar: Option<Sidecar>,
}

/// The archives of one version of one provider, all of one form, one a platform, in the order of their platforms.
pub struct Release {
    /// The provider's type.
    pub provider_type: ProviderType,
    /// The version.
    pub version: Version,
    /// What its archives are.
    pub form: Form,
    /// At least one archive.
    pub artifacts: Vec<Artifact>,
    /// The SHA256SUMS of ready-made zips, if there is one.
    pub sums: Option<KeptSums>,
    /// Protocols declared by manifests beside the tarballs or zips, by the manifest's path.
    pub manifests: BTreeMap<String, Protocols>,
    /// Of a manifest that SHA256SUMS lists and that was not found: what it says, and what was found in its place.
    pub missing_manifest: Option<String>,
}

impl Release {
    /// Sorts these tarballs and zips into releases, and reads the files beside them: provider by provider, and of each
    /// the oldest version first.
    ///
    /// # Errors
    /// Those of [`Release::check_names`], or a bad sidecar or manifest.
    pub fn open_all(files: Vec<ArtifactFile>, expected: &Expected) -> Result<Vec<Self>> {
        let releases = checked(files, expected)?;
        releases.into_iter().map(Self::with_files_beside).collect()
    }

    /// The one release that these tarballs or zips are.
    ///
    /// # Errors
    /// Those of [`Release::open_all`], or there are several.
    pub fn open(files: Vec<ArtifactFile>, expected: &Expected) -> Result<Self> {
        let mut releases = Self::open_all(files, expected)?;
        let release = releases.pop();
        match (release, releases.pop()) {
            (Some(release), None) => Ok(release),
            (Some(release), Some(other)) => {
                Err(several(&other.artifacts, &release.artifacts, "one release").into())
            }
            (None, _) => Err(nothing_given().into()),
        }
    }

    /// Checks the tarballs by their names alone, before any of them is fetched.
    ///
    /// # Errors
    /// No tarball, a name of no known form, two tarballs for one platform, tarballs and zips of one version, an unknown
    /// platform, or a mismatch with `expected`, several releases where it describes one included.
    pub fn check_names(files: Vec<ArtifactFile>, expected: &Expected) -> Result<()> {
        checked(files, expected).map(drop)
    }

    /// The release that these archives are, with the files beside them.
    fn with_files_beside(mut artifacts: Vec<Artifact>) -> Result<Self> {
        let Some(first) = artifacts.first() else { return Err(nothing_given().into()) };
        let (provider_type, version) = (first.name.provider_type.clone(), first.name.version.clone());
        let form = first.name.form;
        let sums = if form == Form::Zip { KeptSums::beside(&artifacts)? } else { None };
        let (manifests, missing_manifest) = manifests_beside(&artifacts, sums.as_ref())?;
        for artifact in &mut artifacts {
            artifact.sidecar = Sidecar::beside(&artifact.file, &artifact.name)?;
        }
        ready_made::merge_given_twice(&mut artifacts)?;
        Ok(Self { provider_type, version, form, artifacts, sums, manifests, missing_manifest })
    }
}

/// The tarballs and zips by their releases, in order, each release in the order of its platforms.
fn checked(files: Vec<ArtifactFile>, expected: &Expected) -> Result<Vec<Vec<Artifact>>> {
    let mut releases: BTreeMap<(ProviderType, Version), Vec<Artifact>> = BTreeMap::new();
    for artifact in named(files)? {
        let ArtifactName { provider_type, version, .. } = &artifact.name;
        releases.entry((provider_type.clone(), version.clone())).or_default().push(artifact);
    }
    let mut given = releases.values();
    let Some(first) = given.next() else { return Err(nothing_given().into()) };
    if let (Some(second), Some(option)) = (given.next(), expected.names_one()) {
        return Err(several(first, second, option).into());
    }
    for artifacts in releases.values() {
        check_together(artifacts)?;
        check_expected(artifacts, expected)?;
    }
    Ok(releases.into_values().collect())
}

/// The tarballs with their parsed names, in the order of their platforms.
fn named(files: Vec<ArtifactFile>) -> Result<Vec<Artifact>> {
    let mut artifacts = Vec::with_capacity(files.len());
    for file in files {
        let name = ArtifactName::parse(&file)?;
        let expectation = Expectation::of(&name.platform).map_err(|found| {
            Refusal::new(file.display(), "the platform is not known")
                .found(found)
                .expected("an operating system and an architecture in Go's words, such as linux and arm64")
                .remedy(name::platform_remedy(&name.platform))
        })?;
        artifacts.push(Artifact { file, name, expectation, sidecar: None });
    }
    artifacts.sort_by(|a, b| a.name.platform.cmp(&b.name.platform));
    Ok(artifacts)
}

fn nothing_given() -> Refusal {
    Refusal::new("ARTIFACT", "no release tarball or zip was given")
        .found("nothing")
        .expected("at least one terraform-provider-….tar.gz or .zip")
        .remedy("check the path; a pattern that matches no file gives nothing")
}

/// The refusal of two releases where `option` describes one.
fn several(one: &[Artifact], other: &[Artifact], option: &str) -> Refusal {
    let (Some(a), Some(b)) = (one.first(), other.first()) else { return nothing_given() };
    let (what, of_a, of_b) = if a.name.provider_type == b.name.provider_type {
        ("versions", a.name.version.to_string(), b.name.version.to_string())
    } else {
        ("providers", a.name.provider_type.to_string(), b.name.provider_type.to_string())
    };
    Refusal::new(b.file.display(), format!("two {what} in one run"))
        .found(format!("{of_b}, and {of_a} in {}", a.file.display()))
        .expected(format!("one version of one provider, which {option} describes"))
        .remedy(format!(
            "give only the tarballs or zips of that version; to publish all of these, leave out {option} and every other \
             --expect-… option"
        ))
}

/// Checks that the archives of a version are of one form, and one for each platform.
fn check_together(artifacts: &[Artifact]) -> Result<(), Refusal> {
    ready_made::check_one_form(artifacts)?;
    for pair in artifacts.windows(2) {
        let [a, b] = pair else { continue };
        if a.name.platform == b.name.platform && !ready_made::may_be_given_twice(a, b) {
            return Err(ready_made::two_for_a_platform(a, b));
        }
    }
    Ok(())
}

fn check_expected(artifacts: &[Artifact], expected: &Expected) -> Result<(), Refusal> {
    for artifact in artifacts {
        let name = &artifact.name;
        let what = name.form.word();
        if let Some(provider_type) = expected.provider_type.as_ref().filter(|ty| **ty != name.provider_type) {
            return Err(Refusal::new(
                artifact.file.display(),
                format!("the {what} is of another provider than expected"),
            )
            .found(format!("provider {}", name.provider_type))
            .expected(format!("provider {provider_type} (--expect-type)"))
            .remedy(format!("give the {what}s of the tag that is being released")));
        }
        if expected.stable
            && name.version.is_prerelease()
            && expected.prerelease.as_ref() != Some(&name.version)
        {
            return Err(Refusal::new(artifact.file.display(), "a pre-release, which this registry does not get")
                .found(format!("version {}", name.version))
                .expected("a version without a pre-release part (--stable-only)")
                .remedy(format!(
                    "release it without a pre-release part; or, if it is meant, name it: --allow-prerelease {0}, or \
                     TFREG_ALLOW_PRERELEASE={0}",
                    name.version
                )));
        }
        if let Some(version) = expected.version.as_ref().filter(|version| **version != artifact.name.version)
        {
            return Err(Refusal::new(
                artifact.file.display(),
                format!("the {what} is of another version than expected"),
            )
            .found(format!("version {}", artifact.name.version))
            .expected(format!("version {version} (--expect-version)"))
            .remedy(format!("give the {what}s of the tag that is being released")));
        }
    }
    if expected.platforms.is_empty() {
        return Ok(());
    }
    let found: BTreeSet<Platform> = artifacts.iter().map(|artifact| artifact.name.platform.clone()).collect();
    if found == expected.platforms {
        return Ok(());
    }
    let list = |set: &BTreeSet<Platform>| set.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let mut problem = Vec::new();
    for (what, set) in [
        ("missing", expected.platforms.difference(&found).cloned().collect::<BTreeSet<_>>()),
        ("not expected", found.difference(&expected.platforms).cloned().collect()),
    ] {
        if !set.is_empty() {
            problem.push(format!("{what}: {}", list(&set)));
        }
    }
    let give = match artifacts.first().map(|artifact| artifact.name.form) {
        Some(Form::Zip) => {
            "give all zips of the release, such as its whole folder; if it was built for other platforms, build it again for these"
        }
        _ => "wait for all builds of the release, and give the tarballs of these platforms only",
    };
    Err(Refusal::new("the release", format!("not the platforms expected ({})", problem.join("; ")))
        .found(list(&found))
        .expected(format!("{} (--expect-platform)", list(&expected.platforms)))
        .remedy(format!("{give}; or correct --expect-platform (Go's words: darwin, amd64, arm64)")))
}

/// Reads the manifests beside the archives; those in one folder share theirs. Tells too of one that SHA256SUMS lists and
/// that is not there.
///
/// A release tool may leave its folder without the manifest, and list it in SHA256SUMS from the root of the repository:
/// then it is taken from the folder above, if it has the checksum of its line.
fn manifests_beside(
    artifacts: &[Artifact],
    sums: Option<&KeptSums>,
) -> Result<(BTreeMap<String, Protocols>, Option<String>)> {
    let (mut manifests, mut not_found) = (BTreeMap::new(), None);
    for artifact in artifacts {
        let ArtifactName { provider_type, version, .. } = &artifact.name;
        let release_name = manifest::release_name(provider_type, version);
        for name in [manifest::PLAIN_NAME, &release_name] {
            if let Some(companion) = artifact.file.beside(name)? {
                if let Some(sums) = sums {
                    sums.check_manifest(&companion, &release_name)?;
                }
                let protocols = manifest::parse(&companion.shown, &companion.bytes)?;
                manifests.insert(companion.shown, protocols);
            }
        }
        let Some(sums) = sums.filter(|_| manifests.is_empty()) else { continue };
        let Some(listed) = sums.lines.get(&release_name) else { continue };
        let is_another = match artifact.file.beside(&format!("../{}", manifest::PLAIN_NAME)) {
            Ok(Some(Companion { shown, bytes })) if Digest::of(&bytes) == listed => {
                let protocols = manifest::parse(&shown, &bytes)?;
                manifests.insert(shown, protocols);
                continue;
            }
            Ok(Some(Companion { shown, bytes })) => {
                format!(", and {shown} is another file (SHA-256 {})", Digest::of(&bytes))
            }
            Ok(None) => String::new(),
            // It is not among what was given, so it is no reason to stop.
            Err(error) => format!(", and the one in the folder above cannot be taken ({error})"),
        };
        // What is above one folder is told also where nothing is above the next.
        if not_found.is_none() || !is_another.is_empty() {
            not_found = Some(format!(
                "the manifest {release_name} that {} lists (SHA-256 {listed}) is beside none of the zips{is_another}",
                sums.shown
            ));
        }
    }
    let not_found = not_found.filter(|_| manifests.is_empty());
    Ok((manifests, not_found))
}
