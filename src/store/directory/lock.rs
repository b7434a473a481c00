//! The lock on a registry's directory: one writer at a time, in this process and in others.
//!
//! It is the operating system's lock (`flock`), on a file of its own, `.tfreg-lock` in the root, which only users who
//! may write the registry can open. Any reader could lock the root itself, and would stop all publishes. The file
//! exists only while the lock is held, so that the tree is the same as in a bucket; a killed process leaves the file
//! behind, unlocked, and the next writer takes it over.

use std::fs::{self, File, Permissions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

use crate::regular;

/// The lock's file, in the root.
pub(super) const NAME: &str = ".tfreg-lock";
/// Other processes hold the lock for one file at a time, so this is long.
const PATIENCE: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(5);
/// How much is read of the file, which contains a process id and a host name.
const MAX_HOLDER: u64 = 300;

/// The lock, until this is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    /// Locked as long as it is open.
    _file: File,
}

impl Lock {
    /// Takes the lock on `root`, which exists, waiting a moment for it. The inner error names the holder. Longer waits
    /// are up to the run, which has a budget for them.
    ///
    /// # Errors
    /// Fails if the file cannot be opened, or is not a regular file.
    pub(super) fn take(root: &Path) -> io::Result<Result<Self, String>> {
        let path = root.join(NAME);
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let root = fs::metadata(root)?;
        let started = Instant::now();
        loop {
            let file = open(&path, mode(root.mode())).map_err(named)?;
            loop {
                match file.try_lock() {
                    Ok(()) => break,
                    Err(TryLockError::Error(error)) => return Err(named(error)),
                    Err(TryLockError::WouldBlock) if started.elapsed() > PATIENCE => {
                        return Ok(Err(format!(
                            "{} holds the lock {}",
                            holder(&file).unwrap_or_else(|| "another process".to_owned()),
                            path.display()
                        )));
                    }
                    Err(TryLockError::WouldBlock) => std::thread::sleep(POLL),
                }
            }
            // The previous holder removed the file before it released the lock; then another file is the lock now.
            if is_at(&file, &path).map_err(named)? {
                sign(&file, &root);
                return Ok(Ok(Self { path, _file: file }));
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // If it cannot be removed, the next writer takes it over.
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!("cannot remove {}: {error}", self.path.display());
        }
    }
}

fn open(path: &Path, mode: u32) -> io::Result<File> {
    let mut options = regular::options(OFlags::NOFOLLOW);
    // Checked before it is opened. A link was put there by another program, whatever its target is.
    match fs::symlink_metadata(path) {
        Ok(metadata) => regular::check(&metadata)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let file = options.read(true).write(true).create(true).truncate(false).mode(mode).open(path)?;
    regular::check(&file.metadata()?)?;
    Ok(file)
}

/// Users who may write the folder may write the file; no other user can even open it.
fn mode(folder: u32) -> u32 {
    let writers = folder & 0o222;
    0o600 | writers | (writers << 1)
}

/// Whether `file` is still the file at `path`.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let opened = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (opened.dev(), opened.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Writes the holder of the lock into its file, and lets the folder's other writers open it. Only messages depend on
/// the former, and only files of a killed process on the latter, so an error here is not returned.
fn sign(mut file: &File, root: &fs::Metadata) {
    let attempt = || {
        let metadata = file.metadata()?;
        if metadata.gid() != root.gid() {
            fchown(file, None, Some(root.gid()))?;
        }
        if metadata.mode() & 0o777 != mode(root.mode()) {
            file.set_permissions(Permissions::from_mode(mode(root.mode())))?;
        }
        Ok::<_, io::Error>(())
    };
    let shared = attempt();
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy().into_owned();
    let written = file.set_len(0).and_then(|()| writeln!(file, "{} {host}", std::process::id()));
    if let Err(error) = shared.and(written) {
        tracing::debug!("cannot sign {NAME}: {error}");
    }
}

/// The holder that the file names.
fn holder(file: &File) -> Option<String> {
    let mut bytes = vec![0; usize::try_from(MAX_HOLDER).ok()?];
    let count = file.read_at(&mut bytes, 0).ok()?;
    let text = String::from_utf8(bytes.get(..count)?.to_vec()).ok()?;
    let (pid, host) = text.trim_end().split_once(' ')?;
    let pid: u32 = pid.parse().ok()?;
    let plain = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    let host = if plain && !host.is_empty() { format!(" on {host}") } else { String::new() };
    Some(if pid == std::process::id() {
        "another write of this process".to_owned()
    } else {
        format!("another process (PID {pid}{host})")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_there_while_the_lock_is_held() {
        let root = tempfile::tempdir().unwrap();
        let lock = Lock::take(root.path()).unwrap().unwrap();
        let path = root.path().join(NAME);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let busy = Lock::take(root.path()).unwrap().unwrap_err();
        assert!(busy.contains("another write of this process") && busy.contains(NAME), "{busy}");
        drop(lock);
        assert!(!path.exists());
        // A file that a killed process left is taken over.
        fs::write(&path, "4194304 elsewhere\n").unwrap();
        drop(Lock::take(root.path()).unwrap().unwrap());
        assert!(!path.exists());
    }

    #[test]
    fn a_reader_of_the_folder_does_not_hold_it() {
        let root = tempfile::tempdir().unwrap();
        let reader = File::open(root.path()).unwrap();
        reader.lock().unwrap();
        assert!(Lock::take(root.path()).unwrap().is_ok());
    }

    #[test]
    fn who_may_write_the_folder_may_open_the_lock() {
        for (folder, expected) in
            [(0o755, 0o600), (0o700, 0o600), (0o2775, 0o660), (0o777, 0o666), (0o570, 0o660)]
        {
            assert_eq!(mode(folder), expected, "{folder:o}");
        }
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), Permissions::from_mode(0o775)).unwrap();
        let _lock = Lock::take(root.path()).unwrap().unwrap();
        assert_eq!(fs::metadata(root.path().join(NAME)).unwrap().mode() & 0o777, 0o660);
    }

    #[test]
    fn what_is_no_file_is_named() {
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/null", root.path().join(NAME)).unwrap();
        let error = Lock::take(root.path()).unwrap_err().to_string();
        assert!(error.contains(NAME) && error.contains("a symbolic link"), "{error}");
    }

    #[test]
    fn only_one_at_a_time() {
        use std::sync::atomic::{AtomicU32, Ordering};
        let root = tempfile::tempdir().unwrap();
        let (inside, turns) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let lock = loop {
                            if let Ok(lock) = Lock::take(root.path()).unwrap() {
                                break lock;
                            }
                        };
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        turns.fetch_add(1, Ordering::SeqCst);
                        assert_eq!(inside.fetch_sub(1, Ordering::SeqCst), 1);
                        drop(lock);
                    }
                });
            }
        });
        assert_eq!(turns.into_inner(), 200);
    }
}
