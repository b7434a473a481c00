//! Temporary storage for large files until they are written: files without a name, so that no other process can open or
//! change them, and so that they are deleted when the process ends.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};

/// A folder for temporary files.
#[derive(Debug, Clone, Default)]
pub struct Scratch {
    /// A folder on whose file system an unnamed file can be given a name later; `None` for the system's temporary
    /// folder.
    folder: Option<PathBuf>,
}

impl Scratch {
    /// Uses the file system of `target` if it supports unnamed files: such a file is given a name in `target` without a
    /// copy ([`Sealed::link`](super::Sealed::link)). Otherwise uses the system's temporary folder, as [`Self::default`]
    /// does.
    #[must_use]
    pub fn near(target: &Path) -> Self {
        let target = std::path::absolute(target).unwrap_or_default();
        // A folder that does not exist yet will be made on the same file system.
        let folder = target.ancestors().find(|folder| folder.is_dir());
        Self { folder: folder.filter(|folder| nameless(folder).is_ok()).map(Path::to_owned) }
    }

    /// A new file, open for reading and writing.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn file(&self) -> io::Result<File> {
        match &self.folder {
            Some(folder) => nameless(folder),
            None => tempfile::tempfile(),
        }
    }

    /// Begins to write a finished file of this folder to the disk, if the file is to stay there: under its name it must
    /// be there safely, and the disk works while the next file is made.
    #[must_use]
    pub fn begin_sync(&self, file: &File) -> Option<BegunSync> {
        self.folder.as_ref()?;
        let file = file.try_clone().ok()?;
        let sync = thread::Builder::new().name("sync".to_owned()).spawn(move || file.sync_data()).ok()?;
        Some(BegunSync(Mutex::new(Some(sync))))
    }

    /// Describes the folder, and how to choose another one, for messages.
    #[must_use]
    pub fn describe(&self) -> String {
        match &self.folder {
            Some(folder) => format!("the target's file system, at {},", folder.display()),
            None => format!("the temporary folder {} (another one: TMPDIR)", std::env::temp_dir().display()),
        }
    }
}

/// A file's data on their way to the disk.
#[derive(Debug)]
pub struct BegunSync(Mutex<Option<JoinHandle<io::Result<()>>>>);

impl BegunSync {
    /// Waits until the data are on the disk. Only the first call waits, and only it reports a failure.
    ///
    /// # Errors
    /// The disk cannot be written.
    pub fn wait(&self) -> io::Result<()> {
        let mut sync = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match sync.take().map(JoinHandle::join) {
            Some(Ok(outcome)) => outcome,
            Some(Err(_)) => Err(io::Error::other("the sync of a file ended early")),
            None => Ok(()),
        }
    }
}

/// A file that never had a name, with the mode that the umask gives a new file.
///
/// Source: open(2), `O_TMPFILE`, which only Linux has. On other systems such a file has a name for a moment, under
/// which a web server might serve it.
#[cfg(target_os = "linux")]
fn nameless(folder: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags};

    let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::WGRP | Mode::ROTH | Mode::WOTH;
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    Ok(rustix::fs::open(folder, flags, mode)?.into())
}

#[cfg(not(target_os = "linux"))]
fn nameless(_folder: &Path) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_that_is_not_there_yet_is_near_what_is_above_it() {
        let root = tempfile::tempdir().unwrap();
        let scratch = Scratch::near(&root.path().join("site/of/mine"));
        if let Some(folder) = &scratch.folder {
            assert_eq!(folder, root.path());
        }
        assert!(scratch.file().is_ok() && Scratch::default().file().is_ok());
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0, "it has a name");
        assert!(Scratch::near(Path::new("/proc/self")).folder.is_none());
    }
}
