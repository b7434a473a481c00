//! The commit that a build is made from: what the build is told of it, what an archive of the source says, or that of the
//! checkout. A part of the build script, and of the tests.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Digits of a commit that are shown.
const SHOWN: usize = 12;

/// A checkout of this project.
#[derive(Debug)]
pub(crate) struct Checkout {
    /// Its commit, with `-dirty` behind it where files were changed.
    pub(crate) commit: String,
    /// Files that change with it.
    pub(crate) watched: Vec<PathBuf>,
}

/// The commit of the checkout that `root` is; `None` where it is none, or a part of another project's.
pub(crate) fn of_checkout(root: &Path) -> Option<Checkout> {
    let git = |arguments: &[&str]| -> Option<String> {
        let output = Command::new("git").arg("-C").arg(root).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let top = git(&["rev-parse", "--show-toplevel"])?;
    if Path::new(&top).canonicalize().ok()? != root.canonicalize().ok()? {
        return None;
    }
    let commit = hash(&git(&["rev-parse", "HEAD"])?)?;
    let changed = !git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    let watched = ["HEAD", "logs/HEAD"].into_iter();
    let watched = watched.filter_map(|file| Some(root.join(git(&["rev-parse", "--git-path", file])?)));
    Some(Checkout {
        commit: format!("{commit}{}", if changed { "-dirty" } else { "" }),
        watched: watched.filter(|file| file.exists()).collect(),
    })
}

/// The commit, where it is known: as the build was given it, as `git archive` wrote it into the source, or of a checkout.
pub(crate) fn known(given: &str, archive: &str, checkout: Option<String>) -> Option<String> {
    hash(given).or_else(|| hash(archive)).or(checkout)
}

/// The program's version as `--version` prints it.
pub(crate) fn version(version: &str, commit: Option<&str>) -> String {
    commit.map_or_else(|| version.to_owned(), |commit| format!("{version} (commit {commit})"))
}

/// The first digits of a text that is a commit's hash.
fn hash(text: &str) -> Option<String> {
    let text = text.trim();
    let is_hash = text.len() >= SHOWN && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_hash.then(|| text[..SHOWN].to_ascii_lowercase())
}
