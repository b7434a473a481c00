//! The grammars of the names of a release's archives.
//!
//! - `terraform-provider-TYPE-vVERSION-OS-ARCH-bin.tar.gz`
//! - `terraform-provider-TYPE_VERSION_OS_ARCH.tar.gz`
//! - `terraform-provider-TYPE_VERSION_OS_ARCH.zip`, a ready-made package
//!
//! `.tgz` stands for `.tar.gz` in both of the first.

use super::executable;
use super::file::ArtifactFile;
use crate::error::Refusal;
use crate::provider::{Platform, ProviderType, Version};

/// What a release's archive is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A tarball, of which a zip is made.
    Tarball,
    /// A ready-made zip, which is published byte for byte.
    Zip,
}

impl Form {
    /// The word for one archive of the form in messages.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Tarball => "tarball",
            Self::Zip => "zip",
        }
    }
}

/// The parts of the file name of a release's archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactName {
    /// What it is.
    pub form: Form,
    /// The provider's type.
    pub provider_type: ProviderType,
    /// The release's version.
    pub version: Version,
    /// The platform that its executable is for.
    pub platform: Platform,
}

const PREFIX: &str = "terraform-provider-";
const ENDINGS: [&str; 3] = [".tar.gz", ".tgz", ZIP];
const ZIP: &str = ".zip";
const GRAMMARS: &str = "terraform-provider-TYPE-vVERSION-OS-ARCH-bin.tar.gz or \
                        terraform-provider-TYPE_VERSION_OS_ARCH.tar.gz (or .tgz, or .zip)";

impl ArtifactName {
    /// Whether `name` begins and ends like the name of a release's archive, and of which form; it may not be valid in
    /// between.
    #[must_use]
    pub fn form_of(name: &str) -> Option<Form> {
        let ending = ENDINGS.iter().find(|ending| name.starts_with(PREFIX) && name.ends_with(*ending))?;
        Some(if *ending == ZIP { Form::Zip } else { Form::Tarball })
    }

    /// Whether a folder's file of this name is an archive of a release: also one whose parts are wrong, which is refused
    /// later, so that no platform is left out for its name; but not an archive of the source.
    #[must_use]
    pub fn is_in_release(name: &str) -> bool {
        Self::form_of(name).is_some() && !is_of_source(name)
    }

    /// Parses the file name of a tarball or zip; the folder does not matter.
    ///
    /// # Errors
    /// The name follows neither grammar, or a part of it is not valid.
    pub fn parse(file: &ArtifactFile) -> Result<Self, Refusal> {
        let name = file.name();
        let strict = split(name);
        if let Some((type_text, version, os, arch)) = strict
            && let (Ok(provider_type), Ok(version), Ok(platform)) =
                (type_text.parse(), version.parse(), Platform::new(os, arch))
        {
            let form = Self::form_of(name).unwrap_or(Form::Tarball);
            return Ok(Self { form, provider_type, version, platform });
        }
        let Some(parts) = split_loosely(name).or(strict) else {
            let remedy = if is_pattern(file.display()) {
                "the pattern matched no file; check the folder, and that the build has left its tarballs or zips there"
            } else if Self::form_of(name).is_none() && name.starts_with(PREFIX) {
                "give the tarballs or zips of the release; where its build leaves executables, have it make archives of them \
                 (GoReleaser: `formats: [zip]` under `archives`)"
            } else if Self::form_of(name).is_none() {
                "give the tarballs or zips of the release, or their folder"
            } else {
                "give the tarballs or zips of the release under the names that the release build gave them; where it gives \
                 others, change its name template"
            };
            return Err(Refusal::new(file.display(), NO_NAME)
                .found(format!("{name:?}"))
                .expected(GRAMMARS)
                .remedy(remedy));
        };
        Err(wrong_parts(file, parts))
    }
}

/// Whether a path is a pattern of the shell, which passes it on as it is where no file matches.
#[must_use]
pub fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?', '['])
}

const NO_NAME: &str = "not the name of a release tarball or zip";
/// The remedy for a name with other words for its parts, in general and for the most common release tool.
const NAME_TEMPLATE: &str = "change the name template of the release build (GoReleaser: `name_template: '{{ .ProjectName }}\
                                        _{{ .Version }}_{{ .Os }}_{{ .Arch }}'` under `archives`)";

/// Whether an architecture is a word for several.
fn is_universal(arch: &str) -> bool {
    matches!(arch, "all" | "universal")
}

/// The remedy for what release tools build, and no name makes right.
fn arch_remedy(arch: &str) -> Option<&'static str> {
    if is_universal(arch) {
        Some(
            "no client asks for an executable of several architectures: have the build make none (GoReleaser: remove \
             `universal_binaries`), but one for each architecture",
        )
    } else if arch != "arm" && executable::go_name(arch) == Some("arm") {
        Some("build one target for 32-bit ARM only: clients ask for `arm`, whatever its version")
    } else {
        None
    }
}

/// The remedy for a platform that is none of Go's.
pub(super) fn platform_remedy(platform: &Platform) -> String {
    let template = (!is_universal(platform.arch())).then_some(NAME_TEMPLATE);
    template.into_iter().chain(arch_remedy(platform.arch())).collect::<Vec<_>>().join("; ")
}

/// The refusal of a name, with its wrong parts and their correct forms.
fn wrong_parts(file: &ArtifactFile, (type_text, version, os, arch): Parts<'_>) -> Refusal {
    let (mut found, mut remedies) = (Vec::new(), Vec::new());
    let mut is_platform_only = true;
    let mut template = || {
        if !remedies.contains(&NAME_TEMPLATE.to_owned()) {
            remedies.push(NAME_TEMPLATE.to_owned());
        }
    };
    let mut right_type = Some(type_text.to_owned());
    if let Err(error) = type_text.parse::<ProviderType>() {
        is_platform_only = false;
        found.push(error.to_string());
        right_type = Some(type_text.to_lowercase()).filter(|text| text.parse::<ProviderType>().is_ok());
        template();
    }
    let mut right_version = Some(version.to_owned());
    let mut retag = None;
    if version.is_empty() {
        is_platform_only = false;
        found.push("no version".to_owned());
        right_version = None;
        template();
    } else if let Err(error) = version.parse::<Version>() {
        is_platform_only = false;
        let bare = version.strip_prefix(['v', 'V']).unwrap_or(version);
        right_version = canonical(bare);
        let advice = match &right_version {
            Some(right) => format!("; write {right:?}"),
            None => String::new(),
        };
        found.push(format!("{error}{advice}"));
        if bare != version {
            template();
        }
        if right_version.as_deref() != Some(bare) {
            retag = Some(match &right_version {
                Some(right) => format!("tag the release as v{right}, and build it again"),
                None => "tag the release with a version such as v1.2.3, and build it again".to_owned(),
            });
        }
    }
    let mut right_platform = Vec::new();
    for (what, text) in [("operating system", os), ("architecture", arch)] {
        let go_name = executable::go_name(text);
        if go_name != Some(text) {
            found.push(match go_name {
                Some(name) => format!("{what} {text:?}; Terraform, like Go, calls it {name:?}"),
                None => format!("{what} {text:?}"),
            });
            template();
        }
        right_platform.extend(go_name);
    }
    remedies.extend(arch_remedy(arch).map(str::to_owned));
    remedies.extend(retag);
    let expected = match (right_type, right_version, right_platform.as_slice()) {
        (Some(right_type), Some(version), [os, arch]) if file.name().ends_with("-bin.tar.gz") => {
            format!("{PREFIX}{right_type}-v{version}-{os}-{arch}-bin.tar.gz")
        }
        (Some(right_type), Some(version), [os, arch]) => {
            let ending = if file.name().ends_with(ZIP) { ZIP } else { ".tar.gz" };
            format!("{PREFIX}{right_type}_{version}_{os}_{arch}{ending}")
        }
        _ => GRAMMARS.to_owned(),
    };
    let problem = if is_platform_only { "the platform is not known" } else { NO_NAME };
    Refusal::new(file.display(), problem)
        .found(found.join("\n"))
        .expected(expected)
        .remedy(remedies.join("; "))
}

/// The semantic version that was probably intended: three numbers without leading zeros, and no build metadata.
fn canonical(text: &str) -> Option<String> {
    let text = text.split('+').next()?;
    let (core, pre) = text.split_once('-').map_or((text, None), |(core, pre)| (core, Some(pre)));
    let mut numbers: Vec<u64> = core.split('.').map(|number| number.parse().ok()).collect::<Option<_>>()?;
    if numbers.len() > 3 {
        return None;
    }
    numbers.resize(3, 0);
    let core = numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(".");
    let version = pre.map_or(core.clone(), |pre| format!("{core}-{pre}"));
    version.parse::<Version>().is_ok().then_some(version)
}

/// Whether a name has a type and a version, and nothing of a platform: that of an archive of the source.
fn is_of_source(name: &str) -> bool {
    let Some(stem) = ENDINGS.iter().find_map(|ending| name.strip_suffix(ending)?.strip_prefix(PREFIX)) else {
        return false;
    };
    let is_version = |(at, _): (usize, &str)| {
        let text = stem.get(at + 1..).unwrap_or_default();
        let text = text.strip_prefix('v').unwrap_or(text);
        let names_platform = text.split(['-', '_', '.']).any(|word| executable::go_name(word).is_some());
        !names_platform && text.parse::<Version>().is_ok()
    };
    stem.match_indices(['-', '_']).any(is_version)
}

/// Type, version, operating system and architecture.
type Parts<'a> = (&'a str, &'a str, &'a str, &'a str);

/// Splits a name of the second grammar in which a part has underscores itself, as in `x86_64`, or the version is
/// missing.
fn split_loosely(name: &str) -> Option<Parts<'_>> {
    let stem = ENDINGS.iter().find_map(|ending| name.strip_suffix(ending))?.strip_prefix(PREFIX)?;
    let (type_text, rest) = stem.split_once('_')?;
    let (first, behind) = rest.split_once('_')?;
    if executable::go_name(first).is_some() && !first.starts_with(|c: char| c.is_ascii_digit()) {
        return Some((type_text, "", first, behind));
    }
    let (os, arch) = behind.split_once('_')?;
    executable::go_name(os)?;
    Some((type_text, first, os, arch))
}

/// Splits a file name into type, version, operating system and architecture, without checking the parts.
fn split(name: &str) -> Option<Parts<'_>> {
    let stem = ENDINGS.iter().find_map(|ending| name.strip_suffix(ending))?.strip_prefix(PREFIX)?;
    if let Some(dashed) = stem.strip_suffix("-bin").filter(|_| !name.ends_with(ZIP)) {
        let (rest, arch) = dashed.rsplit_once('-')?;
        let (rest, os) = rest.rsplit_once('-')?;
        // A type has no dot and a version's core has one, so the version begins at the last `-v` before the first dot,
        // even if the type or the pre-release contain dashes and `v`s.
        let core_end = rest.find('.')?;
        let at = rest[..core_end].rfind("-v")?;
        return Some((&rest[..at], &rest[at + 2..], os, arch));
    }
    let mut parts = stem.split('_');
    let cut = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    parts.next().is_none().then_some(cut)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::Path;

    fn parse(name: &str) -> Result<(String, String, String), Refusal> {
        let name = ArtifactName::parse(&ArtifactFile::at(Path::new(name)))?;
        Ok((name.provider_type.to_string(), name.version.to_string(), name.platform.to_string()))
    }

    #[test]
    fn both_grammars_are_read() {
        let parsed = |t: &str, v: &str, p: &str| Ok((t.to_owned(), v.to_owned(), p.to_owned()));
        for (name, expected) in [
            (
                "build/terraform-provider-teleport-v9.1.2-linux-amd64-bin.tar.gz",
                parsed("teleport", "9.1.2", "linux_amd64"),
            ),
            (
                "terraform-provider-teleport-v9.1.2-dev.1-darwin-arm64-bin.tgz",
                parsed("teleport", "9.1.2-dev.1", "darwin_arm64"),
            ),
            (
                "terraform-provider-my-v2-thing-v1.0.0-v2-windows-386-bin.tar.gz",
                parsed("my-v2-thing", "1.0.0-v2", "windows_386"),
            ),
            (
                "terraform-provider-google-beta_1.2.3-rc.1_linux_arm64.tar.gz",
                parsed("google-beta", "1.2.3-rc.1", "linux_arm64"),
            ),
            ("/a_b/terraform-provider-x_0.0.1_freebsd_amd64.tgz", parsed("x", "0.0.1", "freebsd_amd64")),
            ("dist/terraform-provider-x_1.2.3_linux_arm.zip", parsed("x", "1.2.3", "linux_arm")),
        ] {
            assert_eq!(parse(name), expected, "{name}");
        }
    }

    #[test]
    fn other_names_are_refused() {
        for name in [
            "",
            "terraform-provider-x.tar.gz",
            "teleport-v9.1.2-linux-amd64-bin.tar.gz",
            "terraform-provider-x-v1.0.0-linux-amd64.tar.gz",
            "terraform-provider-x-v1.0.0-linux-amd64-bin.zip",
            "terraform-provider-x-v1.0.0-linux-amd64-bin.tar.gz.sha256",
            "terraform-provider-x-1.0.0-linux-amd64-bin.tar.gz",
            "terraform-provider-x_v1.0.0_linux_amd64.tar.gz",
            "terraform-provider-x_1.0_linux_amd64.tar.gz",
            "terraform-provider-x_1.0.0_linux_amd64_musl.tar.gz",
            "terraform-provider-X_1.0.0_linux_amd64.tar.gz",
            "terraform-provider-_1.0.0_linux_amd64.tar.gz",
            "terraform-provider-x_1.0.0_Linux_amd64.tar.gz",
            "terraform-provider-x_1.0.0__amd64.tar.gz",
            "terraform-provider-é-v1.0.0-linux-amd64-bin.tar.gz",
            "terraform-provider-x_1.0.0_SHA256SUMS",
            "terraform-provider-x_v1.0.0_linux_amd64.zip",
        ] {
            assert!(parse(name).is_err(), "{name}");
        }
    }

    #[test]
    fn archives_are_told_from_what_lies_beside_them() {
        for (name, form, is_in_release) in [
            ("terraform-provider-x_1.0.0_linux_amd64.zip", Some(Form::Zip), true),
            ("terraform-provider-x_1.0.0_linux_armv7.zip", Some(Form::Zip), true),
            ("terraform-provider-x_1.0.0_linux_amd64.tgz", Some(Form::Tarball), true),
            ("terraform-provider-x-v1.0.0-linux-amd64-bin.tar.gz", Some(Form::Tarball), true),
            ("terraform-provider-x-1.0.0.tar.gz", Some(Form::Tarball), false),
            ("terraform-provider-x_1.0.0.tar.gz", Some(Form::Tarball), false),
            ("terraform-provider-x-v1.0.0-rc.1.zip", Some(Form::Zip), false),
            ("terraform-provider-x_1.0.0_linux-amd64.zip", Some(Form::Zip), true),
            ("terraform-provider-x-1.0.0-linux-amd64.tar.gz", Some(Form::Tarball), true),
            ("terraform-provider-x.zip", Some(Form::Zip), true),
            ("terraform-provider-x_1.0.0_linux_amd64.zip.sbom.json", None, false),
            ("terraform-provider-x_1.0.0_SHA256SUMS", None, false),
            ("other_1.0.0_linux_amd64.zip", None, false),
        ] {
            assert_eq!(
                (ArtifactName::form_of(name), ArtifactName::is_in_release(name)),
                (form, is_in_release),
                "{name}"
            );
        }
    }

    #[test]
    fn a_pattern_that_matched_nothing_is_recognised() {
        assert!(parse("build/*.tar.gz").unwrap_err().remedy.contains("matched no file"));
    }

    #[test]
    fn build_metadata_is_named() {
        let refusal = parse("terraform-provider-x-v1.0.0+b7-linux-amd64-bin.tar.gz").unwrap_err();
        assert!(refusal.found.contains("+b7"), "{refusal}");
    }

    #[test]
    fn a_wrong_part_is_named_with_what_it_should_be() {
        for (name, problem, found, expected, remedy) in [
            (
                "terraform-provider-x_1.0.0_Linux_x86_64.tar.gz",
                "the platform is not known",
                &[
                    "\"Linux\"; Terraform, like Go, calls it \"linux\"",
                    "\"x86_64\"; Terraform, like Go, calls it \"amd64\"",
                ][..],
                "terraform-provider-x_1.0.0_linux_amd64.tar.gz",
                "name template",
            ),
            (
                "terraform-provider-x_1.0.0_linux_x86_64.tar.gz",
                "the platform is not known",
                &["calls it \"amd64\""],
                "terraform-provider-x_1.0.0_linux_amd64.tar.gz",
                "{{ .Arch }}",
            ),
            (
                "terraform-provider-x-v1.0.0-Darwin-x86_64-bin.tar.gz",
                "the platform is not known",
                &["calls it \"darwin\"", "calls it \"amd64\""],
                "terraform-provider-x-v1.0.0-darwin-amd64-bin.tar.gz",
                "name template",
            ),
            (
                "terraform-provider-x_v1.0.0_linux_amd64.tar.gz",
                NO_NAME,
                &["\"v1.0.0\" is no valid version", "write \"1.0.0\""],
                "terraform-provider-x_1.0.0_linux_amd64.tar.gz",
                "{{ .Version }}",
            ),
            (
                "terraform-provider-x_2024.01.15_linux_amd64.tar.gz",
                NO_NAME,
                &["\"2024.01.15\" is no valid version", "leading zero", "write \"2024.1.15\""],
                "terraform-provider-x_2024.1.15_linux_amd64.tar.gz",
                "tag the release as v2024.1.15",
            ),
            (
                "terraform-provider-x_1.2_linux_amd64.tar.gz",
                NO_NAME,
                &["write \"1.2.0\""],
                "terraform-provider-x_1.2.0_linux_amd64.tar.gz",
                "tag the release as v1.2.0",
            ),
            (
                "terraform-provider-x_Linux_x86_64.tar.gz",
                NO_NAME,
                &["no version", "calls it \"amd64\""],
                GRAMMARS,
                "name template",
            ),
            (
                "terraform-provider-x_1.0.0_linux_amd64_v1.tar.gz",
                "the platform is not known",
                &["\"amd64_v1\"; Terraform, like Go, calls it \"amd64\""],
                "terraform-provider-x_1.0.0_linux_amd64.tar.gz",
                "name template",
            ),
        ] {
            let refusal = parse(name).unwrap_err();
            assert_eq!(refusal.problem, problem, "{name}");
            assert_eq!(refusal.expected, expected, "{name}");
            assert!(found.iter().all(|text| refusal.found.contains(text)), "{name}: {refusal}");
            assert!(refusal.remedy.contains(remedy), "{name}: {refusal}");
            // The name that is given is one.
            if expected != GRAMMARS {
                parse(expected).unwrap();
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            type_text in "[a-z0-9]{1,6}(-[a-z0-9]{1,6}){0,2}",
            core in "[1-9][0-9]?\\.[0-9]\\.[0-9]",
            pre in prop::option::of("[a-z]{1,4}(\\.[1-9]){0,2}(-v[a-z])?"),
            os in "[a-z]{1,8}",
            arch in "[a-z0-9]{1,8}",
        ) {
            prop_assume!(!type_text.starts_with("terraform-"));
            let version = pre.map_or(core.clone(), |pre| format!("{core}-{pre}"));
            let expected = Ok((type_text.clone(), version.clone(), format!("{os}_{arch}")));
            prop_assert_eq!(parse(&format!("terraform-provider-{type_text}-v{version}-{os}-{arch}-bin.tar.gz")), expected.clone());
            prop_assert_eq!(parse(&format!("terraform-provider-{type_text}_{version}_{os}_{arch}.tgz")), expected);
        }

        #[test]
        fn no_name_panics(name in "(terraform-provider-)?\\PC{0,40}(-bin)?(\\.tar\\.gz)?") {
            let _ = parse(&name);
        }
    }
}
