//! Objects in a directory, each a file.
//!
//! It gives the same guarantees as S3, also between processes: a write takes an exclusive lock, compares, and then
//! renames a complete, synced file into place. Readers need no lock: a rename is atomic.
//!
//! New files are first written to `.tfreg-staging` in the root, which exists only while the lock is held. If a process
//! is killed, the next one that takes the lock removes its files there.
//!
//! Web servers run as another user. So whatever the umask is, every user can read a new file (at least 0644) and enter
//! a new folder (at least 0755). A file that is replaced keeps its mode, and its group if that is allowed.

mod lock;

use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt as _};
use tokio::sync::mpsc;

use super::{
    Answer, Condition, Conditions, Form, Headers, HttpHeaders, Listed, Object, ObjectState, ObjectStore,
    OnSent, Revision, StoreError, Summary,
};
use crate::content::{CHUNK, Digest, Sealed};
use crate::regular;
use lock::Lock;

const STAGING: &str = ".tfreg-staging";
/// The minimum permissions of a new file, and of a new folder.
const FILE_MODE: u32 = 0o644;
const FOLDER_MODE: u32 = 0o755;

/// A directory as a store.
#[derive(Debug, Clone)]
pub struct Directory {
    root: Arc<PathBuf>,
    /// Writes of one run wait for each other here, however long that takes: the lock is for other processes, and is not
    /// waited for that long.
    turn: Arc<Mutex<()>>,
}

impl Directory {
    /// The store in `root`, which the first write creates if it does not exist.
    ///
    /// # Errors
    /// Fails if `root` exists and is not a directory.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let store = Self { root: Arc::new(root.to_owned()), turn: Arc::default() };
        match fs::metadata(root) {
            Ok(metadata) if !metadata.is_dir() => {
                Err(failed("cannot use", root, &io::Error::from(io::ErrorKind::NotADirectory)))
            }
            Ok(_) => Ok(store),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(store),
            Err(error) => Err(failed("cannot use", root, &error)),
        }
    }

    /// Removes the files of a killed process, if there are any and no other process is writing.
    ///
    /// # Errors
    /// Fails if they cannot be removed.
    pub fn clean_up(&self) -> Result<(), StoreError> {
        if ![STAGING, lock::NAME].iter().any(|name| self.root.join(name).symlink_metadata().is_ok()) {
            return Ok(());
        }
        self.lock().map(drop).map_err(|error| failed("cannot clean up", &self.root, &error))
    }

    fn path(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    /// Takes the exclusive lock, waiting a moment for it, and removes the files of a killed process. The inner error
    /// names the holder of the lock.
    fn lock(&self) -> io::Result<Result<Locked, String>> {
        make_folders(&self.root)?;
        let lock = match Lock::take(&self.root)? {
            Ok(lock) => lock,
            Err(kept) => return Ok(Err(kept)),
        };
        let staging = self.root.join(STAGING);
        match fs::remove_dir_all(&staging) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        Ok(Ok(Locked { staging, _lock: lock }))
    }

    /// Writes under the lock, if the condition holds.
    fn write(&self, key: &str, body: &Sealed, condition: &Condition, on_sent: &OnSent) -> io::Result<Answer> {
        let refused = |found: &str| Ok(Answer::ConditionFailed(found.to_owned()));
        let path = self.path(key);
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let locked = match self.lock()? {
            Ok(locked) => locked,
            Err(kept) => return Ok(Answer::Busy(kept)),
        };
        let now = revision_of(&path)?;
        match (condition, now) {
            (Condition::Absent, None) => {}
            (Condition::Unchanged(expected), Some(found)) if *expected == found => {}
            (Condition::Absent, Some(_)) => return refused("it exists already"),
            (Condition::Unchanged(_), Some(_)) => return refused("it has changed since it was read"),
            (Condition::Unchanged(_), None) => return refused("it is gone"),
        }
        fs::create_dir(&locked.staging)?;
        let staged = locked.staging.join("object");
        let file = if let Some(linked) = body.link(&staged)? {
            on_sent(body.len());
            linked
        } else {
            copy(body, &staged, on_sent)?
        };
        set_mode(&file, fs::metadata(&path).ok().as_ref())?;
        file.sync_all()?;
        let folder = path.parent().unwrap_or(&self.root);
        make_folders(folder)?;
        fs::rename(&staged, &path)?;
        File::open(folder)?.sync_all()?;
        Ok(Answer::Written)
    }
}

fn copy(body: &Sealed, path: &Path, on_sent: &OnSent) -> io::Result<File> {
    let mut file = File::create_new(path)?;
    let mut reader = body.reader();
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = reader.read(&mut buffer)?;
        if count == 0 {
            return Ok(file);
        }
        file.write_all(&buffer[..count])?;
        on_sent(count as u64);
    }
}

/// The exclusive lock; the staging folder is removed when it is released.
struct Locked {
    staging: PathBuf,
    // Released last: fields are dropped after `drop` has run.
    _lock: Lock,
}

impl Drop for Locked {
    fn drop(&mut self) {
        // If it cannot be removed now, the next process that takes the lock removes it; it is not served, and nothing
        // refers to it.
        if let Err(error) = fs::remove_dir_all(&self.staging)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!("cannot remove {}: {error}", self.staging.display());
        }
    }
}

/// Creates a folder and its parents; each is made durable by syncing its parent.
fn make_folders(folder: &Path) -> io::Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    let parent = folder.parent().unwrap_or(Path::new(""));
    make_folders(parent)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => return Ok(()),
        outcome => outcome?,
    }
    let made = fs::metadata(folder)?.mode();
    if made & FOLDER_MODE != FOLDER_MODE {
        // Keeps the further permissions that the umask allows, and the group that the parent passes on.
        fs::set_permissions(folder, Permissions::from_mode(made | FOLDER_MODE))?;
    }
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    File::open(parent)?.sync_all()
}

/// Gives a new file the permissions of the file that it replaces, which may be the target of a link; a file that
/// replaces none can be read by every user.
fn set_mode(file: &File, replaced: Option<&Metadata>) -> io::Result<()> {
    let new = file.metadata()?;
    let mode = match replaced {
        Some(replaced) => {
            if replaced.gid() != new.gid()
                && let Err(error) = fchown(file, None, Some(replaced.gid()))
            {
                // The file belongs to another user, and to a group that this user is not in.
                tracing::debug!("cannot keep a file's group {}: {error}", replaced.gid());
            }
            replaced.mode() & 0o777
        }
        None => (new.mode() & 0o7777) | FILE_MODE,
    };
    if new.mode() & 0o7777 == mode {
        return Ok(());
    }
    file.set_permissions(Permissions::from_mode(mode))
}

/// Opens a file for reading; `None` if it does not exist.
fn open(path: &Path) -> io::Result<Option<File>> {
    match regular::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Calls `found` with every file below `folder`; it returns whether to continue. `base` is the folder's key, ending in
/// a slash or empty; `above` are the parents of the folder, by device and inode, so that the walk does not follow a
/// link to one of them.
fn walk(
    folder: &Path,
    base: &str,
    above: &mut Vec<(u64, u64)>,
    found: &mut dyn FnMut(Listed) -> bool,
) -> io::Result<bool> {
    let entries = match fs::metadata(folder).and_then(|metadata| Ok((metadata, fs::read_dir(folder)?))) {
        Ok((metadata, entries)) => {
            let here = (metadata.dev(), metadata.ino());
            if above.contains(&here) {
                return Err(io::Error::other(format!(
                    "{} leads back to a folder that it is in",
                    folder.display()
                )));
            }
            above.push(here);
            entries
        }
        // The key of a file has nothing below it, as on S3.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(true);
        }
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry?.file_name().into_string().map_err(|name| {
            io::Error::other(format!("the name {} is not UTF-8", folder.join(name).display()))
        })?;
        if base.is_empty() && [STAGING, lock::NAME].contains(&name.as_str()) {
            continue;
        }
        let path = folder.join(&name);
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => names.push((format!("{name}/"), None)),
            Ok(metadata) => names.push((name, Some(metadata.len()))),
            // Removed meanwhile, or a dangling link: neither can be read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    // In S3's order of keys: a folder's name includes its slash.
    names.sort();
    for (name, len) in names {
        let key = format!("{base}{name}");
        let go_on = match len {
            Some(len) => found(Listed { key, len }),
            None => walk(&folder.join(&name), &key, above, found)?,
        };
        if !go_on {
            return Ok(false);
        }
    }
    above.pop();
    Ok(true)
}

fn summary_of(path: &Path) -> io::Result<Option<Summary>> {
    let Some(mut file) = open(path)? else { return Ok(None) };
    let (digest, len) = Digest::of_reader(&mut file)?;
    Ok(Some(Summary { len, digest }))
}

/// A file's revision is the digest of its bytes: equal contents are the same state.
fn revision_of(path: &Path) -> io::Result<Option<Revision>> {
    Ok(summary_of(path)?.map(|summary| Revision::of_contents(summary.digest)))
}

fn failed(doing: &str, path: &Path, error: &io::Error) -> StoreError {
    let remedy = match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            Some("give this user the right to write there, or choose another --to")
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some("make room there, and run again"),
        // `InvalidInput` is the error for a pipe, a socket or a device.
        io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory | io::ErrorKind::InvalidInput => Some(
            "a registry's directory holds files and folders where its keys say; remove what is in the way",
        ),
        _ => None,
    };
    StoreError {
        doing: format!("{doing} {}", path.display()),
        answer: error.to_string(),
        status: None,
        remedy: remedy.map(str::to_owned),
    }
}

/// Runs blocking file work off the async threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

#[async_trait]
impl ObjectStore for Directory {
    fn describe(&self) -> String {
        self.root.display().to_string()
    }

    fn conditions(&self) -> Conditions {
        Conditions::Built
    }

    async fn summary(&self, key: &str) -> Result<Option<Summary>, StoreError> {
        let path = self.path(key);
        let read = path.clone();
        blocking(move || summary_of(&read)).await.map_err(|error| failed("cannot read", &path, &error))
    }

    async fn head(&self, key: &str) -> Result<Option<Headers>, StoreError> {
        let path = self.path(key);
        let read = path.clone();
        let len = blocking(move || open(&read)?.map(|file| Ok(file.metadata()?.len())).transpose());
        let len = len.await.map_err(|error| failed("cannot read", &path, &error))?;
        Ok(len.map(|len| Headers { len: Some(len), ..Headers::default() }))
    }

    async fn open(&self, key: &str, _: Form) -> Result<Option<Object>, StoreError> {
        let path = self.path(key);
        let read = path.clone();
        let opened =
            blocking(move || open(&read)?.map(|file| Ok((file.metadata()?.len(), file))).transpose());
        let opened = opened.await.map_err(|error| failed("cannot read", &path, &error))?;
        let Some((len, file)) = opened else { return Ok(None) };
        let body = stream::try_unfold((file, path), |(mut file, path)| async move {
            let read = blocking(move || {
                let mut buffer = vec![0; CHUNK];
                let count = file.read(&mut buffer)?;
                buffer.truncate(count);
                Ok((!buffer.is_empty()).then(|| (buffer.into(), file)))
            });
            let read = read.await.map_err(|error| failed("cannot read", &path, &error))?;
            Ok(read.map(|(piece, file)| (piece, (file, path))))
        });
        Ok(Some(Object {
            headers: Headers { len: Some(len), ..Headers::default() },
            state: ObjectState::Contents,
            body: body.boxed(),
        }))
    }

    fn list<'a>(&'a self, folder: &str) -> BoxStream<'a, Result<Listed, StoreError>> {
        let base = super::with_slash(folder);
        let path = self.root.join(&base);
        let (sender, found) = mpsc::channel(256);
        tokio::task::spawn_blocking(move || {
            // The receiver is gone if the listing was abandoned.
            let mut send = |listed| sender.blocking_send(Ok(listed)).is_ok();
            if let Err(error) = walk(&path, &base, &mut Vec::new(), &mut send) {
                drop(sender.blocking_send(Err(failed("cannot list", &path, &error))));
            }
        });
        stream::unfold(found, |mut found| async { found.recv().await.map(|listed| (listed, found)) }).boxed()
    }

    async fn put(
        &self,
        key: &str,
        body: &Sealed,
        _: &HttpHeaders,
        condition: &Condition,
        on_sent: OnSent,
    ) -> Answer {
        let (store, key_, body, condition) = (self.clone(), key.to_owned(), body.clone(), condition.clone());
        match blocking(move || store.write(&key_, &body, &condition, &on_sent)).await {
            Ok(answer) => answer,
            Err(error) => Answer::Failed(failed("cannot write", &self.path(key), &error)),
        }
    }
}
