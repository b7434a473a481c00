//! What the integration tests share.

pub(crate) mod archive;
pub(crate) mod child;
pub(crate) mod clients;
pub(crate) mod drone;
pub(crate) mod examples;
pub(crate) mod host;
pub(crate) mod iam;
pub(crate) mod in_process;
pub(crate) mod kms;
pub(crate) mod mutated;
pub(crate) mod plain_host;
pub(crate) mod programs;
pub(crate) mod reader;
pub(crate) mod s3_server;
pub(crate) mod tunnel;
pub(crate) mod watched;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// The `testdata` folder.
pub(crate) fn testdata(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(path)
}

/// A test key's file.
pub(crate) fn key(name: &str) -> PathBuf {
    testdata("keys").join(name)
}

/// The release tarballs in a folder of `testdata`, in order.
pub(crate) fn tarballs(release: &str) -> Vec<PathBuf> {
    let folder = testdata(release);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "gz" || e == "tgz"));
    paths.sort();
    assert!(!paths.is_empty(), "no tarballs in {}", folder.display());
    paths
}

/// The tarball of one platform (as its name spells it) in a folder of `testdata`.
pub(crate) fn tarball(release: &str, platform: &str) -> PathBuf {
    let paths = tarballs(release).into_iter();
    let mut paths = paths.filter(|path| path.file_name().unwrap().to_string_lossy().contains(platform));
    paths.next().unwrap_or_else(|| panic!("no tarball for {platform} in {release}"))
}

/// Variables of the machine that would change what tfreg or its SDK does.
const INHERITED: &[&str] = &[
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL_KMS",
    "AWS_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_CA_BUNDLE",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "TFREG_TO",
    "TFREG_NAMESPACE",
    "TFREG_PROTOCOLS",
    "TFREG_SIGNING_KEY",
    "TFREG_SIGNING_PASSPHRASE",
    "TFREG_SIGNER",
    "TFREG_BASE_URL",
    "TFREG_ROLE_ARN",
    "TFREG_SSE",
    "TFREG_SSE_KMS_KEY_ID",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "TFREG_ALLOW_PRERELEASE",
    "TFREG_SOURCE_PROFILE",
    "TFREG_SOURCE_ROLE_ARN",
    "TFREG_SOURCE_REGION",
    "TFREG_SOURCE_ENDPOINT_URL",
    "DRONE_REPO",
    "DRONE_GIT_HTTP_URL",
    "DRONE_COMMIT_SHA",
    "DRONE_TAG",
    "DRONE_BUILD_EVENT",
    "DRONE_DEPLOY_TO",
    "DRONE_BUILD_NUMBER",
    "DRONE_BUILD_LINK",
    "DRONE_BUILD_STARTED",
    "SOURCE_DATE_EPOCH",
];

/// The date of publishes in the tests, so that two runs write the same bytes.
pub(crate) const DATE: &str = "2026-01-02T03:04:05Z";

/// The real binary, in an environment without what the machine may have set.
pub(crate) fn tfreg() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tfreg"));
    for name in INHERITED {
        command.env_remove(name);
    }
    command.env("SOURCE_DATE_EPOCH", DATE.parse::<jiff::Timestamp>().unwrap().as_second().to_string());
    command
}

/// `tfreg publish --to TARGET --namespace acme --signing-key-file ed25519.asc TARBALL…`
pub(crate) fn publish(target: impl AsRef<std::ffi::OsStr>, tarballs: &[PathBuf]) -> Command {
    let mut command = tfreg();
    command.arg("publish").arg("--to").arg(target).args(["--namespace", "acme", "--signing-key-file"]);
    command.arg(key("ed25519.asc")).args(tarballs);
    command
}

/// What a command printed and how it ended.
#[derive(Debug, Clone)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    #[track_caller]
    pub(crate) fn succeeds(self) -> Self {
        assert_eq!(self.code, 0, "expected success: {self:#?}");
        self
    }

    /// Ends with `code`, and says each of `texts` on standard error.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, texts: &[&str]) -> Self {
        assert_eq!(self.code, code, "expected exit code {code}: {self:#?}");
        for text in texts {
            assert!(self.stderr.contains(text), "expected {text:?} on standard error: {self:#?}");
        }
        self
    }

    /// Ends with exit code 3, saying each of `texts`, what was found, what was expected and what to do. `row` names the
    /// case in a table.
    #[track_caller]
    pub(crate) fn refused(self, row: &str, texts: &[&str]) -> Self {
        assert_eq!(self.code, 3, "{row}: expected a refusal: {self:#?}");
        for text in texts.iter().chain(&["\n  found:    ", "\n  expected: ", "\n  remedy:   "]) {
            assert!(self.stderr.contains(text), "{row}: expected {text:?} on standard error: {self:#?}");
        }
        assert_eq!(self.stderr.matches("error: ").count(), 1, "{row}: expected one error: {self:#?}");
        assert_eq!(self.stdout, "", "{row}: a refusal is no result");
        self
    }
}

/// Runs a command to its end.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> Ran {
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    ran(&output)
}

/// Reads a finished command's output.
pub(crate) fn ran(output: &Output) -> Ran {
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Every file below a folder, by its path from there.
pub(crate) fn tree(root: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(root: &Path, folder: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, files);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                files.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    let mut files = BTreeMap::new();
    if root.exists() {
        walk(root, root, &mut files);
    }
    files
}

/// The objects, with indexes that do not say when their versions were published: a lost index has taken that with it.
pub(crate) fn undated(objects: &BTreeMap<String, Vec<u8>>) -> BTreeMap<String, Vec<u8>> {
    let mut objects = objects.clone();
    for (_, index) in objects.iter_mut().filter(|(key, _)| key.ends_with("/versions")) {
        let text = String::from_utf8(std::mem::take(index)).unwrap();
        let lines = text.split_inclusive('\n').filter(|line| !line.contains("\"published\": "));
        *index = lines.collect::<String>().into_bytes();
    }
    objects
}

/// Whether two runs with the same input write different bytes: signatures are salted.
pub(crate) fn varies(key: &str) -> bool {
    key.ends_with(".sig")
}

/// A temporary folder.
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Makes a named pipe.
pub(crate) fn named_pipe(path: &Path) {
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mkfifoat(rustix::fs::CWD, path, mode).unwrap();
}
