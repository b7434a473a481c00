//! Releases of real providers, made by GoReleaser itself with the configuration of the documentation.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::sites::Site;
use super::{built, document_as, not_checked, wanted};
use crate::docs::block;
use crate::support::clients::require_program;
use crate::support::programs::skipped;
use crate::support::{Ran, folder, key, run, testdata, tfreg, tree};

const KEY: &str = "rsa3072-passphrase.asc";
const TAG: &str = "v1.2.0";
/// Those of the configuration, as the pipelines of the documentation expect them.
const PLATFORMS: &str = "darwin_arm64,linux_amd64,linux_arm64,windows_amd64";

/// That of the key.
fn passphrase() -> String {
    std::fs::read_to_string(key("rsa3072-passphrase.txt")).unwrap().trim_end().to_owned()
}

/// The GoReleasers that were built, the oldest first; none where something is missing that they need.
pub(super) fn goreleasers() -> Vec<(semver::Version, PathBuf)> {
    if !(require_program("go")
        && require_program("git")
        && require_program("gpg")
        && require_program("gpgconf"))
    {
        return Vec::new();
    }
    let found = built("goreleaser", "goreleaser");
    for (version, program) in &found {
        let says = run(Command::new(program).arg("--version")).succeeds().stdout;
        assert!(says.contains(&format!("{version}\n")), "{}: {says}", program.display());
    }
    if found.is_empty() {
        skipped("NOT CHECKED: GoReleaser, which is not there; tests/clients/build builds it");
    }
    found
}

/// The configuration of docs/goreleaser.md, with the tarballs of docs/ci.md, and with `publishers:` of it if they are asked for.
pub(super) fn configuration(with_publishers: bool) -> String {
    let zips = block("docs/goreleaser.md", "A configuration that makes it", "yaml", "signs:");
    let tarballs = block("docs/ci.md", "GoReleaser", "yaml", "archives:");
    let both = zips.replacen("archives:\n", &tarballs, 1);
    assert!(both.contains("[zip]") && both.contains("[tar.gz]"), "{both}");
    if !with_publishers {
        return both;
    }
    // There is no code host, for which the page says this.
    let both = both.replacen("release:\n", "release:\n  disable: true\n", 1);
    both + &block("docs/ci.md", "GoReleaser", "yaml", "publishers:")
}

/// A provider of `testdata/provider-go` in a repository of its own, at the tag of its release.
pub(super) struct Release {
    root: tempfile::TempDir,
}

impl Release {
    /// Makes the release: zips with their SHA256SUMS and signature, and tarballs.
    pub(super) fn made(goreleaser: &Path, provider: &str, protocol: &str, configuration: &str) -> Self {
        let release = Self::of(provider, protocol, configuration);
        run(release.goreleaser(goreleaser).arg("--skip=publish")).succeeds();
        release
    }

    fn of(provider: &str, protocol: &str, configuration: &str) -> Self {
        let release = Self { root: folder() };
        let source = release.path("source");
        std::fs::create_dir(&source).unwrap();
        for (name, bytes) in tree(&testdata("provider-go").join(provider)) {
            std::fs::write(source.join(name), bytes).unwrap();
        }
        let manifest = format!(r#"{{"version": 1, "metadata": {{"protocol_versions": ["{protocol}"]}}}}"#);
        for (name, text) in [
            (".goreleaser.yml", configuration),
            (".gitignore", "/dist\n"),
            ("LICENSE", "None.\n"),
            ("terraform-registry-manifest.json", &manifest),
        ] {
            std::fs::write(source.join(name), text).unwrap();
        }
        for args in [
            &["init", "--quiet"][..],
            &["remote", "add", "origin", "https://git.example.com/acme/terraform-provider-sample.git"],
            &["add", "."],
            &["commit", "--quiet", "--message", "Release"],
            &["tag", TAG],
        ] {
            let mut git = Command::new("git");
            git.args(["-c", "user.name=Acme", "-c", "user.email=releases@example.com"]).args(args);
            // Without what the user has set.
            git.envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")]);
            run(git.current_dir(&source)).succeeds();
        }
        release.gpg(&["--import".as_ref(), key(KEY).as_ref()]);
        let public = release.gpg(&["--armor".as_ref(), "--export".as_ref()]);
        std::fs::write(release.public_key(), public.stdout).unwrap();
        release
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn public_key(&self) -> PathBuf {
        self.path("release-key.asc")
    }

    /// What GoReleaser leaves in `dist/` with this ending: one a platform.
    pub(super) fn artifacts(&self, ending: &str) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.path("source/dist")).unwrap().map(|entry| entry.unwrap().path());
        let found: Vec<PathBuf> =
            entries.filter(|path| path.extension().is_some_and(|found| found == ending)).collect();
        assert_eq!(found.len(), PLATFORMS.split(',').count(), "{ending}: {found:?}");
        found
    }

    /// `goreleaser release`, in the folder of the provider, with the key in GnuPG.
    fn goreleaser(&self, program: &Path) -> Command {
        let fingerprint = crate::keys::rows().into_iter().find(|(name, ..)| name == KEY).unwrap().3;
        let mut command = Command::new(program);
        command.args(["release", "--clean"]).current_dir(self.path("source"));
        command.env("GNUPGHOME", self.root.path()).env("GPG_FINGERPRINT", fingerprint);
        command.env("GPG_PASSPHRASE", passphrase());
        command
    }

    /// The zips, by the key that has signed.
    pub(super) fn publish_signed_zips(&self, site: &Path, args: &[&str]) -> Ran {
        self.publish_signed(site, args, &self.artifacts("zip"))
    }

    fn publish_signed(&self, site: &Path, args: &[&str], artifacts: &[PathBuf]) -> Ran {
        let key = self.public_key();
        publish(site, &[&["--public-key", key.to_str().unwrap()], args].concat(), artifacts)
    }

    fn gpg(&self, args: &[&std::ffi::OsStr]) -> Ran {
        let mut gpg = Command::new("gpg");
        gpg.env("GNUPGHOME", self.root.path()).args(["--batch", "--quiet", "--no-tty"]);
        run(gpg.args(args)).succeeds()
    }
}

impl Drop for Release {
    /// Ends the agent that gpg has started.
    fn drop(&mut self) {
        drop(Command::new("gpgconf").env("GNUPGHOME", self.root.path()).args(["--kill", "all"]).output());
    }
}

/// Publishes artifacts as the pipelines of the documentation do.
fn publish(site: &Path, args: &[&str], artifacts: &[PathBuf]) -> Ran {
    let mut command = tfreg();
    command.arg("publish").arg("--to").arg(site).args(["--namespace", "acme"]).args(args);
    command.args(["--expect-version", TAG, "--expect-platform", PLATFORMS]).args(artifacts);
    run(command.env("TFREG_SIGNING_PASSPHRASE", passphrase()))
}

/// GoReleaser 2.15.0 and 2.15.1 write the signature's own digest into SHA256SUMS after it was signed (goreleaser/goreleaser#6508 and
/// #6514), unless `ids` say which artifacts belong there.
fn needs_ids(version: &semver::Version) -> bool {
    ((2, 15, 0)..=(2, 15, 1)).contains(&(version.major, version.minor, version.patch))
}

pub(super) fn verifies(site: &Path) {
    run(tfreg().arg("verify").arg(site)).succeeds();
}

/// Its zips, by the signature that they have.
fn zips(release: &Release) -> String {
    let site = Site::empty();
    release.publish_signed_zips(&site.path(), &[]).succeeds();
    verifies(&site.path());
    let published = tree(&site.path());
    for zip in release.artifacts("zip") {
        let bytes = std::fs::read(&zip).unwrap();
        assert!(published.values().any(|object| *object == bytes), "{}", zip.display());
    }
    "its zips are published byte for byte, with its signature".to_owned()
}

/// The same where SHA256SUMS has no `ids`, as in most configurations.
fn zips_without_ids(version: &semver::Version, program: &Path) -> String {
    let site = Site::empty();
    let configuration = configuration(false);
    let without = configuration.replacen("  ids: [zips]\n", "", 1);
    assert_ne!(without, configuration);
    let release = Release::made(program, "framework", "6.0", &without);
    let published = release.publish_signed_zips(&site.path(), &[]);
    if !needs_ids(version) {
        published.succeeds();
        verifies(&site.path());
        return "also where `checksum` has no `ids`".to_owned();
    }
    published.refused("without ids", &["the signature of SHA256SUMS does not verify"]);
    assert!(!site.path().exists());
    let sums =
        std::fs::read_to_string(release.path("source/dist/terraform-provider-sample_1.2.0_SHA256SUMS"))
            .unwrap();
    assert!(sums.contains("_SHA256SUMS.sig\n"), "{sums}");
    // The way out that the documentation names.
    let secret = key(KEY);
    let again = ["--sign-again", "--signing-key-file", secret.to_str().unwrap()];
    publish(&site.path(), &again, &release.artifacts("zip")).succeeds();
    verifies(&site.path());
    "where `checksum` has no `ids` they are refused, because SHA256SUMS was changed after it was signed, and `--sign-again` publishes them"
        .to_owned()
}

/// Its tarballs, in one step after it.
fn tarballs(release: &Release) -> String {
    let site = Site::empty();
    site.publish(&release.artifacts("gz"), &["--expect-version", TAG, "--expect-platform", PLATFORMS])
        .succeeds();
    verifies(&site.path());
    "its tarballs are published".to_owned()
}

/// The folder itself, where GoReleaser was not told to make tarballs too.
fn dist(goreleaser: &Path) -> String {
    let zips = block("docs/goreleaser.md", "A configuration that makes it", "yaml", "signs:");
    let (release, site) = (Release::made(goreleaser, "framework", "6.0", &zips), Site::empty());
    release.publish_signed(&site.path(), &[], &[release.path("source/dist")]).succeeds();
    verifies(&site.path());
    "the folder `dist/` that it leaves is published as it is".to_owned()
}

/// `publishers:`, by which GoReleaser runs tfreg once for each tarball, several at once.
fn publishers(goreleaser: &Path) -> String {
    let release = Release::of("framework", "6.0", &configuration(true));
    let site = release.path("site");
    let tfreg = Path::new(env!("CARGO_BIN_EXE_tfreg")).parent().unwrap().to_owned();
    let path = std::env::var_os("PATH").unwrap();
    let path = std::env::join_paths(std::iter::once(tfreg).chain(std::env::split_paths(&path))).unwrap();
    let mut command = release.goreleaser(goreleaser);
    command.env("PATH", path).env("TFREG_TO", &site).env("TFREG_SIGNING_PASSPHRASE", "not needed");
    command.env("TFREG_SIGNING_KEY", std::fs::read_to_string(key("ed25519.asc")).unwrap());
    for name in ["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
        command.env(name, "unused");
    }
    run(&mut command).succeeds();
    let index: serde_json::Value =
        serde_json::from_slice(&tree(&site)["registry/acme/sample/versions"]).unwrap();
    let platforms = index["versions"][0]["platforms"].as_array().unwrap();
    assert_eq!(platforms.len(), PLATFORMS.split(',').count(), "{index:#}");
    verifies(&site);
    "`publishers:` publishes every tarball by a run of its own".to_owned()
}

#[test]
#[ignore = "needs GoReleaser; tests/clients/run builds it"]
fn releases_of_goreleaser_are_published() {
    let wanted = wanted(&["goreleaser"]);
    let (mut names, mut lines) = (Vec::new(), String::new());
    for (version, program) in goreleasers() {
        let name = format!("GoReleaser {version}");
        if !wanted.contains(&name) {
            continue;
        }
        let release = Release::made(&program, "framework", "6.0", &configuration(false));
        let did = [
            zips(&release),
            zips_without_ids(&version, &program),
            dist(&program),
            tarballs(&release),
            publishers(&program),
        ];
        let _ = writeln!(lines, "- {name}: {}", did.join("; "));
        names.push(name);
    }
    document_as("goreleaser", &format!("{}{lines}", not_checked(wanted, &names)));
}
