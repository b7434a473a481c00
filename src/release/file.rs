//! A release tarball that can be read: a local file, or one that was fetched.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::manifest;
use crate::error::{Error, Refusal, Result};
use crate::regular;

/// A tarball's file, with the files beside it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct TarballFile {
    /// The name in messages: its path, or the address that it was fetched from.
    shown: String,
    name: String,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    Local(PathBuf),
    Fetched { file: Arc<File>, beside: Arc<BTreeMap<String, Vec<u8>>> },
}

/// A small file that accompanies a tarball.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Companion {
    /// The name in messages.
    pub shown: String,
    /// The contents.
    pub bytes: Vec<u8>,
}

impl TarballFile {
    /// The file at `path`, which is not opened yet.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self {
            shown: path.display().to_string(),
            name: path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned(),
            content: Content::Local(path.to_owned()),
        }
    }

    /// A file that was fetched from `address` (it ends in the file's name), with the small files beside it there, by
    /// their names.
    #[must_use]
    pub fn fetched(address: String, file: File, beside: Arc<BTreeMap<String, Vec<u8>>>) -> Self {
        let name = address.rsplit('/').next().unwrap_or_default().to_owned();
        Self { shown: address, name, content: Content::Fetched { file: Arc::new(file), beside } }
    }

    /// The name in messages.
    #[must_use]
    pub fn display(&self) -> &str {
        &self.shown
    }

    /// The file's name, without folders; empty if it has none that is UTF-8.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address that it was fetched from, if it was.
    #[must_use]
    pub fn address(&self) -> Option<&str> {
        match self.content {
            Content::Local(_) => None,
            Content::Fetched { .. } => Some(&self.shown),
        }
    }

    /// Its length in bytes, if it is known; for progress.
    #[must_use]
    pub fn len_hint(&self) -> Option<u64> {
        let metadata = match &self.content {
            Content::Local(path) => std::fs::metadata(path),
            Content::Fetched { file, .. } => file.metadata(),
        };
        metadata.ok().map(|metadata| metadata.len())
    }

    /// Opens it at its beginning. A fetched file can be read by one reader at a time.
    ///
    /// # Errors
    /// It cannot be opened, or is not a regular file.
    pub fn open(&self) -> Result<File> {
        let failed = |source| Error::Io { context: format!("cannot open {}", self.shown), source };
        let path = match &self.content {
            Content::Local(path) => path,
            Content::Fetched { file, .. } => {
                let mut file = file.try_clone().map_err(failed)?;
                file.rewind().map_err(failed)?;
                return Ok(file);
            }
        };
        // Checked before the file is opened: opening a named pipe would block until its other end is opened.
        if !std::fs::metadata(path).map_err(failed)?.is_file() {
            return Err(Refusal::new(&self.shown, "not a regular file")
                .found("a folder, a pipe or a device")
                .expected("a release tarball")
                .remedy("give the file itself")
                .into());
        }
        regular::open(path).map_err(failed)
    }

    /// The small file called `name` beside it; `None` where there is none.
    ///
    /// # Errors
    /// It exists, but cannot be read or is not small.
    pub fn beside(&self, name: &str) -> Result<Option<Companion>> {
        match &self.content {
            Content::Local(path) => {
                let path = path.with_file_name(name);
                let shown = path.display().to_string();
                Ok(read_small(&path)?.map(|bytes| Companion { shown, bytes }))
            }
            Content::Fetched { beside, .. } => Ok(beside.get(name).map(|bytes| Companion {
                shown: format!("{}{name}", self.shown.strip_suffix(&self.name).unwrap_or_default()),
                bytes: bytes.clone(),
            })),
        }
    }
}

/// Reads a file that accompanies a tarball, and is small; `None` where there is none.
fn read_small(path: &Path) -> Result<Option<Vec<u8>>> {
    let failed = |error| Error::io("cannot read", path, error);
    // Checked before the file is opened: opening a named pipe would block until its other end is opened.
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    if !metadata.is_file() || metadata.len() > manifest::MAX_BYTES {
        return Err(Refusal::new(path.display(), "not a small file")
            .found(if metadata.is_file() {
                format!("{} bytes", metadata.len())
            } else {
                "no regular file".to_owned()
            })
            .expected(format!("a file of at most {} bytes", manifest::MAX_BYTES))
            .remedy("look at what is there under this name")
            .into());
    }
    let mut bytes = Vec::new();
    let read = regular::open(path).and_then(|file| file.take(manifest::MAX_BYTES).read_to_end(&mut bytes));
    read.map_err(failed)?;
    Ok(Some(bytes))
}
