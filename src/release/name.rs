//! The two grammars of release tarball names.
//!
//! - `terraform-provider-TYPE-vVERSION-OS-ARCH-bin.tar.gz`
//! - `terraform-provider-TYPE_VERSION_OS_ARCH.tar.gz`
//!
//! `.tgz` stands for `.tar.gz` in both.

use super::file::TarballFile;
use crate::error::Refusal;
use crate::provider::{InvalidName, Platform, ProviderType, Version};

/// What a release tarball's file name says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TarballName {
    /// The provider's type.
    pub provider_type: ProviderType,
    /// The release's version.
    pub version: Version,
    /// The platform its executable is for.
    pub platform: Platform,
}

const PREFIX: &str = "terraform-provider-";
const ENDINGS: [&str; 2] = [".tar.gz", ".tgz"];
const GRAMMARS: &str = "terraform-provider-TYPE-vVERSION-OS-ARCH-bin.tar.gz or \
                        terraform-provider-TYPE_VERSION_OS_ARCH.tar.gz (or .tgz)";

impl TarballName {
    /// Whether `name` is that of a release tarball, as far as its beginning and its end say; it may still be a bad one.
    #[must_use]
    pub fn is_tarball(name: &str) -> bool {
        name.starts_with(PREFIX) && ENDINGS.iter().any(|ending| name.ends_with(ending))
    }

    /// Reads the file name of a tarball; the folder does not matter.
    ///
    /// # Errors
    /// The name follows neither grammar, or a part of it is not valid.
    pub fn parse(tarball: &TarballFile) -> Result<Self, Refusal> {
        let is_pattern = tarball.display().contains(['*', '?', '[']);
        let remedy = if is_pattern {
            "the pattern matched no file; check the folder, and that the build has left its tarballs there"
        } else {
            "give the release tarballs under the names that the release build gave them"
        };
        let refuse = |problem: &str, found: String| {
            Refusal::new(tarball.display(), problem).found(found).expected(GRAMMARS).remedy(remedy)
        };
        let name = tarball.name();
        let Some((type_text, version, os, arch)) = split(name) else {
            return Err(refuse("not the name of a release tarball", format!("{name:?}")));
        };
        let part = |error: InvalidName| refuse("not the name of a release tarball", error.to_string());
        let platform = Platform::new(os, arch).map_err(part)?;
        Ok(Self {
            provider_type: type_text.parse().map_err(part)?,
            version: version.parse().map_err(part)?,
            platform,
        })
    }
}

/// Cuts a file name into type, version, operating system and architecture, without judging the parts.
fn split(name: &str) -> Option<(&str, &str, &str, &str)> {
    let stem = ENDINGS.iter().find_map(|ending| name.strip_suffix(ending))?.strip_prefix(PREFIX)?;
    if let Some(dashed) = stem.strip_suffix("-bin") {
        let (rest, arch) = dashed.rsplit_once('-')?;
        let (rest, os) = rest.rsplit_once('-')?;
        // A type has no dot and a version's core has one, so the version begins at the last `-v` before the first dot,
        // whatever dashes and `v`s the type and the pre-release hold.
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
        let name = TarballName::parse(&TarballFile::at(Path::new(name)))?;
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
        ] {
            assert!(parse(name).is_err(), "{name}");
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
