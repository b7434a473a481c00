//! An artifact of a release, a tarball or a ready-made zip: a local file, or one that is fetched when it is needed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use super::manifest;
use crate::error::{Error, Refusal, Result};
use crate::regular;

/// An artifact's file, with the files beside it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ArtifactFile {
    /// The name in messages: its path, or the address that it was fetched from.
    shown: String,
    name: String,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    Local(PathBuf),
    Remote {
        /// The contents, once they are fetched.
        file: Option<Arc<File>>,
        origin: Arc<dyn Origin>,
        beside: Arc<BTreeMap<String, Vec<u8>>>,
    },
}

/// Where a file is fetched from.
#[async_trait(?Send)]
pub trait Origin: std::fmt::Debug + Send + Sync {
    /// Its length in bytes, if it is known.
    fn length(&self) -> Option<u64>;

    /// Fetches it into a file without a name. `progress` is called with the numbers of bytes that arrive.
    ///
    /// # Errors
    /// It cannot be read, is not the file that was listed, or the temporary folder cannot be written.
    async fn fetch(&self, progress: &(dyn Fn(u64) + Sync)) -> Result<File>;
}

/// A small file that accompanies an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Companion {
    /// The name in messages.
    pub shown: String,
    /// The contents.
    pub bytes: Vec<u8>,
}

impl ArtifactFile {
    /// The file at `path`, which is not opened yet.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self {
            shown: path.display().to_string(),
            name: path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned(),
            content: Content::Local(path.to_owned()),
        }
    }

    /// A file at `address` (it ends in the file's name) that is fetched from `origin`, with the small files beside it
    /// there, by their names.
    #[must_use]
    pub fn remote(address: String, origin: Arc<dyn Origin>, beside: Arc<BTreeMap<String, Vec<u8>>>) -> Self {
        let name = address.rsplit('/').next().unwrap_or_default().to_owned();
        Self { shown: address, name, content: Content::Remote { file: None, origin, beside } }
    }

    /// Whether it has to be [fetched](Self::fetched) before it is opened.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        matches!(self.content, Content::Remote { .. })
    }

    /// The file, ready to be opened: it is fetched if it is not local. It disappears with the last copy of what is
    /// returned.
    ///
    /// # Errors
    /// Those of [`Origin::fetch`].
    pub async fn fetched(&self, progress: &(dyn Fn(u64) + Sync)) -> Result<Self> {
        let mut fetched = self.clone();
        if let Content::Remote { file, origin, .. } = &mut fetched.content
            && file.is_none()
        {
            *file = Some(Arc::new(origin.fetch(progress).await?));
        }
        Ok(fetched)
    }

    /// The same file without its fetched contents, which take room in the temporary folder.
    #[must_use]
    pub fn unfetched(&self) -> Self {
        let mut unfetched = self.clone();
        if let Content::Remote { file, .. } = &mut unfetched.content {
            *file = None;
        }
        unfetched
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

    /// The address that it is fetched from, if it is not local.
    #[must_use]
    pub fn address(&self) -> Option<&str> {
        match self.content {
            Content::Local(_) => None,
            Content::Remote { .. } => Some(&self.shown),
        }
    }

    /// Whether two files are in one folder.
    #[must_use]
    pub fn is_beside(&self, other: &Self) -> bool {
        let folder = |file: &Self| {
            let path = Path::new(&file.shown).parent().map(Path::to_owned).unwrap_or_default();
            match file.content {
                Content::Local(_) => std::fs::canonicalize(&path).unwrap_or(path),
                Content::Remote { .. } => path,
            }
        };
        self.is_remote() == other.is_remote() && folder(self) == folder(other)
    }

    /// Its length in bytes, if it is known; for progress.
    #[must_use]
    pub fn len_hint(&self) -> Option<u64> {
        match &self.content {
            Content::Local(path) => std::fs::metadata(path).ok().map(|metadata| metadata.len()),
            Content::Remote { file, origin, .. } => {
                let fetched = file.as_ref().and_then(|file| file.metadata().ok());
                fetched.map(|metadata| metadata.len()).or_else(|| origin.length())
            }
        }
    }

    /// Opens it at its beginning. A fetched file can be read by one reader at a time.
    ///
    /// # Errors
    /// It cannot be opened, or is not a regular file.
    pub fn open(&self) -> Result<File> {
        let failed = |source| Error::Io { context: format!("cannot open {}", self.shown), source };
        let path = match &self.content {
            Content::Local(path) => path,
            Content::Remote { file, .. } => {
                let file = file.as_ref().ok_or_else(|| failed(io::Error::other("it is not fetched")))?;
                let mut file = file.try_clone().map_err(failed)?;
                file.rewind().map_err(failed)?;
                return Ok(file);
            }
        };
        // Checked before the file is opened: opening a named pipe would block until its other end is opened.
        if !std::fs::metadata(path).map_err(failed)?.is_file() {
            return Err(Refusal::new(&self.shown, "not a regular file")
                .found("a folder, a pipe or a device")
                .expected("a release tarball or zip")
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
            Content::Remote { beside, .. } => Ok(beside.get(name).map(|bytes| Companion {
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
