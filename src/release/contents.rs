//! Decides which file of a release tarball goes where in the zip, and refuses tarballs with files that clients would
//! mistake.

use super::entry_name::{Clash, Names};
use super::file::ArtifactFile;
use crate::error::Refusal;
use crate::provider::{Platform, ProviderType, Version};
use crate::release::manifest;
use crate::release::name::ArtifactName;

/// The destination of a file of the tarball.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// It is the provider's executable; its name in the zip, at the root.
    Executable(String),
    /// It is packed under this name.
    Beside(String),
    /// Its declarations are read, but it is not packed: a client would take it for the executable.
    LeftOut,
}

/// The executable's name in the zip: `terraform-provider-TYPE_vVERSION`, and `.exe` on windows.
#[must_use]
pub fn executable_name(provider_type: &ProviderType, version: &Version, platform: &Platform) -> String {
    format!("terraform-provider-{provider_type}_v{version}{}", platform.executable_suffix())
}

/// The rules for one tarball, called with its files in order.
pub struct TarballRules {
    tarball: String,
    name: ArtifactName,
    /// `terraform-provider-TYPE`.
    stem: String,
    /// The paths in the tarball, and the names in the zip, which differ for the executable.
    paths: Names,
    names: Names,
    executable: Option<String>,
}

impl TarballRules {
    /// The rules for `tarball`, whose name was parsed into `name`.
    #[must_use]
    pub fn new(tarball: &ArtifactFile, name: &ArtifactName) -> Self {
        Self {
            tarball: tarball.display().to_owned(),
            name: name.clone(),
            stem: format!("terraform-provider-{}", name.provider_type),
            paths: Names::default(),
            names: Names::default(),
            executable: None,
        }
    }

    /// The executable's name in the zip; see [`executable_name`].
    #[must_use]
    pub fn executable_name(&self) -> String {
        executable_name(&self.name.provider_type, &self.name.version, &self.name.platform)
    }

    /// Returns the destination of the next file, at `path` in the tarball. The reader of the tarball has checked the
    /// path with [`entry_name::check`](super::entry_name::check).
    ///
    /// # Errors
    /// On some client's file system the path equals another file's; a second executable; a file at the root that
    /// clients would take for the executable.
    pub fn place(&mut self, path: &str) -> Result<Destination, Refusal> {
        if let Err(clash) = self.paths.add(path) {
            return Err(self.refuse_clash(&clash));
        }
        let place = self.settle(path)?;
        let name = match &place {
            Destination::Executable(name) => name,
            Destination::Beside(path) => path,
            Destination::LeftOut => return Ok(place),
        };
        match self.names.add(name) {
            Ok(()) => Ok(place),
            Err(clash) => Err(self.refuse_clash(&clash)),
        }
    }

    /// Returns the destination of the file at `path`, independent of the other files.
    fn settle(&mut self, path: &str) -> Result<Destination, Refusal> {
        let mut parts = path.split('/');
        let (base, depth) = (parts.next_back().unwrap_or_default(), parts.count());
        if depth == 0 && manifest::is_release_manifest(base, &self.name.provider_type, &self.name.version) {
            return Ok(Destination::LeftOut);
        }
        if depth <= 1 && self.is_executable(base) {
            return self.place_executable(path, base);
        }
        // Terraform takes the first root-level file, in byte order, whose name begins so (`findProviderExecutable…`).
        let followed_by = base.strip_prefix(self.stem.as_str()).and_then(|rest| rest.chars().next());
        if depth == 0 && matches!(followed_by, Some('.' | '_')) {
            return Err(self
                .refuse("a file that clients would take for the provider's executable")
                .found(format!("{path:?}"))
                .expected(format!("{:?} as the only root-level name that begins so", self.executable_name()))
                .remedy("rename the file, move it into a folder, or leave it out"));
        }
        Ok(Destination::Beside(path.to_owned()))
    }

    /// Checks that the tarball, now read to its end, contained an executable.
    ///
    /// # Errors
    /// It contained none.
    pub fn finish(&self) -> Result<(), Refusal> {
        if self.executable.is_some() {
            return Ok(());
        }
        let files: Vec<String> = self.paths.files().take(10).collect();
        Err(self
            .refuse("no provider executable in the archive")
            .found(if files.is_empty() {
                "an empty archive".to_owned()
            } else {
                files.iter().map(|file| format!("{file:?}")).collect::<Vec<_>>().join(", ")
            })
            .expected(format!("{0} or {0}_…, at the root or in one folder", self.stem))
            .remedy(
                "check that the tarball was made from the right build, and that its name has the right type",
            ))
    }

    /// `terraform-provider-TYPE` or `terraform-provider-TYPE_…`, with `.exe` allowed on windows.
    fn is_executable(&self, base: &str) -> bool {
        let suffix = self.name.platform.executable_suffix();
        let base = base.strip_suffix(suffix).unwrap_or(base);
        base.strip_prefix(self.stem.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
    }

    fn place_executable(&mut self, path: &str, base: &str) -> Result<Destination, Refusal> {
        if let Some(first) = &self.executable {
            return Err(self
                .refuse("more than one provider executable in the archive")
                .found(format!("{first:?} and {path:?}"))
                .expected("exactly one")
                .remedy("leave out the one that does not belong to this release"));
        }
        if let Some(other) = self.other_version(base) {
            return Err(self
                .refuse("the executable is of another version than the tarball")
                .found(format!("{path:?}, version {other}"))
                .expected(format!("version {}, as the tarball's name says", self.name.version))
                .remedy("check that the tarball was made from the right build"));
        }
        self.executable = Some(path.to_owned());
        Ok(Destination::Executable(self.executable_name()))
    }

    /// The version in the executable's own name, if it has one that differs from the tarball's.
    fn other_version(&self, base: &str) -> Option<Version> {
        let rest = base.strip_prefix(self.stem.as_str())?.strip_prefix("_v")?;
        let rest = rest.strip_suffix(self.name.platform.executable_suffix()).unwrap_or(rest);
        let text = rest.split('_').next()?;
        text.parse().ok().filter(|version| *version != self.name.version)
    }

    fn refuse_clash(&self, clash: &Clash) -> Refusal {
        let Clash { first, second } = clash;
        let renamed = self.executable.as_ref().filter(|path| **path != self.executable_name());
        let shown = |name: &str| match renamed {
            Some(path) if name == self.executable_name() => format!("{path:?}, which becomes {name:?},"),
            _ => format!("{name:?}"),
        };
        self.refuse("two entries of the archive have one name")
            .found(format!("{} and {}", shown(first), shown(second)).trim_end_matches(','))
            .expected("each name once, also where upper and lower case and forms of accents are the same, and one spelling of each folder")
            .remedy("rename one of them, or leave it out")
    }

    fn refuse(&self, problem: &str) -> Refusal {
        Refusal::new(&self.tarball, problem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn contents(tarball: &str) -> TarballRules {
        let file = ArtifactFile::at(Path::new(tarball));
        TarballRules::new(&file, &ArtifactName::parse(&file).unwrap())
    }

    fn linux() -> TarballRules {
        contents("terraform-provider-x_1.0.0_linux_amd64.tar.gz")
    }

    #[test]
    fn the_executable_goes_to_the_root_under_its_canonical_name() {
        for path in [
            "terraform-provider-x",
            "terraform-provider-x_v1.0.0",
            "terraform-provider-x_v1.0.0_x5",
            "f/terraform-provider-x",
        ] {
            let mut contents = linux();
            assert_eq!(
                contents.place(path),
                Ok(Destination::Executable("terraform-provider-x_v1.0.0".into())),
                "{path}"
            );
            contents.finish().unwrap();
        }
        for path in ["terraform-provider-x", "terraform-provider-x.exe", "f/terraform-provider-x_v1.0.0.exe"]
        {
            let mut contents = contents("terraform-provider-x_1.0.0_windows_amd64.tar.gz");
            let expected = Ok(Destination::Executable("terraform-provider-x_v1.0.0.exe".into()));
            assert_eq!(contents.place(path), expected, "{path}");
        }
    }

    #[test]
    fn other_files_keep_their_place() {
        let mut contents = linux();
        for path in [
            "LICENSE",
            "f/README.md",
            "f/terraform-provider-x.md",
            "a/b/terraform-provider-x",
            "terraform-provider-xy",
            "terraform-registry-manifest.json",
        ] {
            assert_eq!(contents.place(path), Ok(Destination::Beside(path.to_owned())), "{path}");
        }
        assert_eq!(contents.place("terraform-provider-x_1.0.0_manifest.json"), Ok(Destination::LeftOut));
        assert!(contents.finish().unwrap_err().problem.contains("no provider executable"));
    }

    #[test]
    fn nothing_is_in_the_way_of_the_executables_new_name() {
        let folder = "terraform-provider-x_v1.0.0/terraform-provider-x";
        for (executable, other, good) in [
            (folder, "terraform-provider-x_v1.0.0/LICENSE", false),
            ("f/terraform-provider-x", "Terraform-Provider-X_v1.0.0", false),
            ("f/terraform-provider-x", "Terraform-Provider-X_v1.0.0/LICENSE", false),
            (folder, "terraform-provider-x_v1.0/LICENSE", true),
            (folder, "f/LICENSE", true),
            ("f/terraform-provider-x", "terraform-provider-x_V1.0.0", false),
        ] {
            let mut contents = linux();
            contents.place(executable).unwrap();
            assert_eq!(contents.place(other).is_ok(), good, "{executable}, {other}");
            // The other way round.
            let mut contents = linux();
            contents.place(other).unwrap();
            assert_eq!(contents.place(executable).is_ok(), good, "{other}, {executable}");
        }
    }

    #[test]
    fn what_clients_would_trip_over_is_refused() {
        for (paths, text) in [
            (&["terraform-provider-x", "f/terraform-provider-x_v1.0.0"][..], "more than one"),
            (&["terraform-provider-x.md"], "would take for"),
            (&["terraform-provider-x.exe"], "would take for"),
            (&["terraform-provider-x_v2.0.0"], "another version"),
            (&["a", "a"], "one name"),
            (&["README", "readme"], "one name"),
            (&["a", "a/b"], "one name"),
            (&["a/b", "A"], "one name"),
            (&["docs/a", "Docs/b"], "one name"),
            (&["caf\u{e9}", "cafe\u{301}"], "one name"),
            (&["straße", "STRASSE"], "one name"),
        ] {
            let mut contents = linux();
            let refusal = paths.iter().find_map(|path| contents.place(path).err()).unwrap();
            assert!(refusal.problem.contains(text), "{refusal}");
        }
    }
}
