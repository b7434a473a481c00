//! The programs of the machine that tests run. Each is asked for before it is run.
//!
//! What is missing is told at once, on standard error past the test's capture, and once more by `tests/skipped.rs`, whose
//! list comes after all results.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Every program that a test runs by its name, and where it comes from: mostly the Debian package that has it.
pub(crate) const PROGRAMS: &[(&str, &str)] = &[
    ("7z", "p7zip-full"),
    ("bash", "bash"),
    ("bgzip", "tabix"),
    ("bsdtar", "libarchive-tools"),
    ("bzip2", "bzip2"),
    ("busybox", "busybox"),
    ("cc", "gcc"),
    ("chromium", "chromium"),
    ("curl", "curl"),
    ("faketime", "faketime"),
    ("git", "git"),
    ("go", ".ci/run has one where it builds Terraform"),
    ("gpg", "gnupg"),
    ("gpgconf", "gnupg"),
    ("gzip", "gzip"),
    ("jq", "jq"),
    ("libdeflate-gzip", "libdeflate-tools"),
    ("make", "make"),
    ("man", "man-db"),
    ("node", "nodejs"),
    ("pigz", "pigz"),
    ("python3", "python3"),
    ("rclone", ".ci/run fetches one"),
    ("script", "bsdutils"),
    ("setpriv", "util-linux"),
    ("sh", "dash"),
    ("sha256sum", "coreutils"),
    ("tar", "tar"),
    ("terraform", ".ci/run builds one"),
    ("unshare", "util-linux"),
    ("unzip", "unzip"),
    ("xz", "xz-utils"),
    ("zstd", "zstd"),
];

/// Whether a program that a test needs is in `PATH`; see [`require`].
#[track_caller]
pub(crate) fn require_program(name: &str) -> bool {
    let from = PROGRAMS.iter().find(|(program, _)| *program == name).map_or("", |(_, from)| from);
    require(&format!("{name} ({from})"), found(name).is_some())
}

/// Gives whether something that a test needs is there. In CI (`CI=true`) a missing one is a failure; on a user's machine
/// the test says loudly that it is skipped.
#[track_caller]
pub(crate) fn require(what: &str, there: bool) -> bool {
    if there {
        return true;
    }
    assert!(
        std::env::var_os("CI").is_none_or(|ci| ci != "true"),
        "{what} is not installed, and CI may skip no test"
    );
    skipped(&format!("{what} is not installed"));
    false
}

/// Says that the test is skipped, or a part of it, for something that no program can mend; in CI too.
#[track_caller]
pub(crate) fn skipped(because: &str) {
    let thread = std::thread::current();
    // Where tests run one after the other, they do so in the main thread.
    let named = thread.name().filter(|name| *name != "main").map(str::to_owned);
    let test = named.unwrap_or_else(|| Location::caller().to_string());
    // libtest captures what the print macros write, and shows it for a test that fails only.
    let _ = writeln!(std::io::stderr(), "*** SKIPPED, because {because}: {test}");
    if let Err(error) = note(&list(), because, &test) {
        let _ = writeln!(std::io::stderr(), "*** {}: {error}", list().display());
    }
}

/// The list of what is skipped in this run of cargo, which `tests/skipped.rs` reads: `REASON<TAB>TEST` a line.
fn list() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("skipped-{}", std::os::unix::process::parent_id()))
}

fn note(list: &Path, because: &str, test: &str) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(list)?;
    // One write: other tests append at the same time.
    file.write_all(format!("{because}\t{test}\n").as_bytes())
}

/// The file that would be started.
fn found(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut files = std::env::split_paths(&path).map(|folder| folder.join(name));
    files.find(|file| {
        std::fs::metadata(file).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    })
}

/// A shell command in a file system of its own, which is gone with the command: mounts, then runs `script` with the arguments
/// that the caller adds as `$@`. `None` where this machine does not allow that, as most containers do not.
#[track_caller]
pub(crate) fn unshared(mount: &str, script: &str) -> Option<Command> {
    if !require_program("unshare") {
        return None;
    }
    let unshared = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--map-root-user", "sh", "-c", script, "sh"]);
        command
    };
    let tried = unshared("mount -t tmpfs none /tmp").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !tried.is_ok_and(|status| status.success()) {
        skipped("this machine does not allow a file system of one's own (unshare --mount)");
        return None;
    }
    Some(unshared(&format!("{mount} && {script}")))
}
