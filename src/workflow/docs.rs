//! The provider's documentation on this machine: the files of a folder.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::source::Source;
use crate::error::{Error, Refusal, Result};
use crate::pages::docs::{MAX_FILES, MAX_IMAGE, MAX_PAGE, MAX_TOTAL, Place, place};
use crate::plan::pages::DocsSource;
use crate::regular;
use crate::words::count;

/// How deep folders may be nested; pages and images are in folders of the first to the third level.
const MAX_DEPTH: usize = 8;

/// Reads the documentation of a release: that of `named`, or of `docs/` in a folder among the artifacts, if it has pages.
/// What is wrong with the latter is found when the registry has pages.
///
/// # Errors
/// The folder `named` cannot be read, has no page, or is too large.
pub(super) fn read(named: Option<&Path>, artifacts: &[Source]) -> Result<Option<DocsSource>> {
    if let Some(folder) = named {
        let files = files_of(folder)?;
        if !files.keys().any(|path| is_page(path)) {
            return Err(Refusal::new(folder.display(), "there is no documentation in the folder")
                .found(format!("{} that may belong to a documentation, and no page", count(files.len(), "file")))
                .expected("index.md, or Markdown in resources/, data-sources/, functions/, guides/, …")
                .remedy("give the folder that holds index.md, such as docs/ or website/docs/, or leave out --docs")
                .into());
        }
        return Ok(Some(DocsSource::new(Ok(files), true)));
    }
    let mut found: Option<(PathBuf, std::result::Result<_, Box<Refusal>>)> = None;
    for artifact in artifacts {
        let Source::File(path) = artifact else { continue };
        let folder = path.join("docs");
        if !folder.is_dir() {
            continue;
        }
        let files = match files_of(&folder) {
            Ok(files) if files.keys().any(|path| is_page(path)) => Ok(files),
            Ok(_) => continue,
            Err(Error::Refused(refusal)) => Err(refusal),
            Err(other) => return Err(other),
        };
        let files = match found {
            None => files,
            Some((other, _)) => Err(Box::new(
                Refusal::new(folder.display(), "two folders have documentation")
                    .found(format!("{} too", other.display()))
                    .expected("the documentation of one version")
                    .remedy("name the one that is meant by --docs"),
            )),
        };
        found = Some((folder, files));
    }
    Ok(found.map(|(_, files)| DocsSource::new(files, false)))
}

fn is_page(path: &str) -> bool {
    matches!(place(path), Ok(Place::Page(_)))
}

/// The pages and images below a folder, by their paths in it. Links are not followed: they may lead anywhere on the machine
/// of the build.
fn files_of(root: &Path) -> Result<BTreeMap<String, Bytes>> {
    let mut files = BTreeMap::new();
    let mut total = 0;
    let mut folders = vec![(root.to_owned(), String::new(), 0)];
    while let Some((folder, prefix, depth)) = folders.pop() {
        let failed = |error| Error::io("cannot read", &folder, error);
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let (path, kind) = (entry.path(), entry.file_type().map_err(failed)?);
            let Ok(name) = entry.file_name().into_string() else { continue };
            let relative = format!("{prefix}{name}");
            if kind.is_dir() && depth < MAX_DEPTH {
                folders.push((path, format!("{relative}/"), depth + 1));
            } else if kind.is_file() && place(&relative) != Ok(Place::Other) {
                let bytes = read_at_most(&path, MAX_IMAGE.max(MAX_PAGE) + 1)?;
                total += bytes.len() as u64;
                files.insert(relative, bytes);
                check(root, files.len(), total)?;
            }
        }
    }
    Ok(files)
}

/// The limits of the whole, before all of it is in memory; those of each file are for who renders them.
fn check(root: &Path, files: usize, total: u64) -> Result<(), Refusal> {
    if files <= MAX_FILES && total <= MAX_TOTAL {
        return Ok(());
    }
    Err(Refusal::new(root.display(), "the documentation is too large")
        .found(format!("more than {MAX_FILES} files, or more than {MAX_TOTAL} bytes"))
        .expected(format!("at most {MAX_FILES} files of {MAX_TOTAL} bytes together"))
        .remedy("leave out what is not documentation"))
}

fn read_at_most(path: &Path, limit: u64) -> Result<Bytes> {
    let failed = |error| Error::io("cannot read", path, error);
    let mut bytes = Vec::new();
    regular::open(path).map_err(failed)?.take(limit).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes.into())
}
