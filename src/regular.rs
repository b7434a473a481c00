//! Opens files that others have named or may have placed there: only regular files, and without blocking.
//!
//! Opening a named pipe blocks until its other end is opened, opening a terminal or a tape has side effects, and
//! reading a device such as `/dev/zero` never ends. So the file type is checked, the file is opened without blocking,
//! and the type of the opened file is checked again, because the path may have been replaced in between.

use std::fmt;
use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

/// The path is not a regular file; names its type. The inner error of an [`io::Error`], see [`what_is_there`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotRegular(&'static str);

impl fmt::Display for NotRegular {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is there, not a regular file", self.0)
    }
}

impl std::error::Error for NotRegular {}

/// The file type found instead of a regular file ("a named pipe"), if that is why a file was not opened.
#[must_use]
pub fn what_is_there(error: &io::Error) -> Option<&'static str> {
    error.get_ref()?.downcast_ref::<NotRegular>().map(|kind| kind.0)
}

/// Opens a regular file for reading; symbolic links are followed.
///
/// # Errors
/// The file cannot be opened, or is not a regular file: then [`what_is_there`] returns its type.
pub fn open(path: &Path) -> io::Result<File> {
    check(&std::fs::metadata(path)?)?;
    let file = options(OFlags::empty()).read(true).open(path)?;
    check(&file.metadata()?)?;
    Ok(file)
}

/// Like [`open`], but also accepts a pipe that the caller's shell has passed as a descriptor: `<(command)`,
/// `/dev/stdin`. Such a pipe has a process at its other end.
///
/// # Errors
/// Those of [`open`].
pub fn open_or_handed_over(path: &Path) -> io::Result<File> {
    let handed_over = path == Path::new("/dev/stdin")
        || ["/dev/fd", "/proc/self/fd"].iter().any(|folder| path.starts_with(folder));
    if handed_over && std::fs::metadata(path)?.file_type().is_fifo() {
        return File::open(path);
    }
    open(path)
}

/// The options for opening files: without blocking, and without making a terminal the controlling terminal of this
/// process.
pub(crate) fn options(further: OFlags) -> OpenOptions {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY | further;
    let mut options = OpenOptions::new();
    options.custom_flags(flags.bits().cast_signed());
    options
}

/// Fails if the file is not a regular file.
pub(crate) fn check(metadata: &Metadata) -> io::Result<()> {
    if metadata.is_file() {
        return Ok(());
    }
    let kind = if metadata.is_dir() { io::ErrorKind::IsADirectory } else { io::ErrorKind::InvalidInput };
    Err(io::Error::new(kind, NotRegular(name(metadata.file_type()))))
}

fn name(kind: FileType) -> &'static str {
    if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_symlink() {
        "a symbolic link"
    } else {
        "a device"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::os::fd::AsRawFd as _;
    use std::os::unix::net::UnixListener;

    #[test]
    fn only_regular_files_are_opened() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        std::fs::write(at("file"), "contents").unwrap();
        std::os::unix::fs::symlink("file", at("link")).unwrap();
        for name in ["file", "link"] {
            let mut text = String::new();
            open(&at(name)).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, "contents", "{name}");
        }
        std::fs::create_dir(at("folder")).unwrap();
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), fifo, 0o600.into(), 0).unwrap();
        std::os::unix::fs::symlink("pipe", at("link-to-pipe")).unwrap();
        let _listener = UnixListener::bind(at("socket")).unwrap();
        for (path, expected) in [
            (at("folder"), "a folder"),
            (at("pipe"), "a named pipe"),
            (at("link-to-pipe"), "a named pipe"),
            (at("socket"), "a socket"),
            ("/dev/zero".into(), "a device"),
        ] {
            for opened in [open(&path), open_or_handed_over(&path)] {
                let error = opened.unwrap_err();
                assert_eq!(what_is_there(&error), Some(expected), "{}", path.display());
                assert!(error.to_string().contains(expected), "{error}");
            }
        }
        let missing = open(&at("missing")).unwrap_err();
        assert_eq!((missing.kind(), what_is_there(&missing)), (io::ErrorKind::NotFound, None));
    }

    #[test]
    fn a_pipe_that_was_handed_over_is_read() {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"secret").unwrap();
        drop(writer);
        let path = format!("/dev/fd/{}", reader.as_raw_fd());
        let mut text = String::new();
        open_or_handed_over(Path::new(&path)).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "secret");
        assert_eq!(what_is_there(&open(Path::new(&path)).unwrap_err()), Some("a named pipe"));
    }
}
