//! A strict reader of tar files: the profile that a release tarball must follow.
//!
//! No tar standard is followed by all programs, and every program is lenient in reading what the others do not write.
//! If two programs see two different executables in a tar file, it can be inspected with the one and published with the
//! other. So this reader accepts only what GNU tar, bsdtar (libarchive), Python's `tarfile` and Go's `archive/tar` all
//! read alike, and refuses everything else by name. The sources are POSIX.1-2017, pax, "ustar Interchange Format" and
//! "pax Interchange Format"; the GNU tar manual, "Basic Tar Format"; and the code of the four.
//! `tests/it/tar_differential.rs` compares it with them.
//!
//! # The profile
//!
//! **File.** Headers of 512 bytes, each followed by its data, which is padded to whole blocks of 512 bytes. Two zero
//! blocks end it, and only zero bytes follow them, 1 MiB at most. Its length is a multiple of 512 bytes.
//!
//! **Magic and version.** `ustar\0` with `00` (POSIX), or `ustar  \0` (GNU). Nothing else: with `ustar\0` and another
//! version GNU tar and libarchive use the prefix, and Go does not. Headers without a magic (v7) are refused: libarchive
//! distinguishes such a file from a cpio, mtree or WARC file by its first name, and Python reads a prefix that these
//! headers do not have.
//!
//! **Numbers.** Octal digits, with spaces before them and spaces and NUL bytes after them, or only NUL bytes for 0. No
//! sign, no NUL byte before a digit, nothing after the end. In `uid`, `gid`, `size` and `mtime` also base-256: the byte
//! 0x80, then the number, big-endian; no negative ones (0xff). `uid` and `gid` have 32 bits at most.
//!
//! **Checksum.** Octal; the sum of the unsigned bytes. (Old systems wrote a sum of signed bytes by mistake.)
//!
//! **Mode.** Octal, of permission bits; a file type above them must be the entry's own.
//!
//! **Text.** Up to the first NUL byte, after which there are only NUL bytes. In a POSIX header the prefix may be
//! followed by the times of access and change at offsets 476 and 488, as Node.js' tar writes them. In a GNU header
//! everything after the device numbers is NUL: Python reads the time of access there as a prefix, libarchive reads the
//! real size of a sparse file.
//!
//! **Type flags.** `0` and NUL for files (NUL not with a name that ends in a slash), `5` for folders, `x`, `g` and `L`
//! for the headers below. Only files and these headers have a size: some programs skip the data of a folder or a link,
//! and others read it as entries. The link name is empty.
//!
//! **pax headers.** POSIX magic. One `x` header directly before an entry; of two, some programs use the first value and
//! some the last. Records are `LENGTH KEYWORD=VALUE\n` with exact lengths, one space, no keyword twice, and fill the
//! data to its end; the padding of the last block is NUL. [Keywords](pax) are those of POSIX for names, times and
//! owners, and those of libarchive, star, SELinux and Node.js that do not affect name, size or mode. `size` must be the
//! header's own size, as Node.js writes it. Refused: `linkpath`, `hdrcharset`, `charset`, `GNU.sparse.*`,
//! `SCHILY.realsize`, `SUN.holesdata`, access control lists, and all unknown keywords.
//!
//! **Global pax headers** (`g`). Comment, times and owners, as `git archive` and Python write them. Only between entries.
//!
//! **GNU long names** (`L`). GNU magic; a name with at most one NUL byte at its end; directly before a GNU entry.
//!
//! **Compression.** One or more gzip members (RFC 1952) without anything between them, and after the last one only zero
//! bytes, 1 MiB at most. A gzip header's name and comment have fewer than 512 bytes each, which is Go's limit.

mod header;
mod number;
mod pax;
mod reader;

pub(super) use header::{EntryType, is_likely};
pub(super) use reader::{ReadError, Reader};

/// The size of a header, and the unit of everything in a tar file.
const BLOCK: usize = 512;

/// The reason why a header does not follow the profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// What is wrong, as part of a sentence.
    pub(super) problem: String,
    /// What was found.
    pub(super) found: String,
    /// The form that the profile requires there.
    pub(super) expected: String,
    /// The remedy, unless it is to make the tarball again in a plain format.
    pub(super) remedy: Option<String>,
}

impl Fault {
    fn new(problem: impl Into<String>, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { problem: problem.into(), found: found.into(), expected: expected.into(), remedy: None }
    }

    fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

/// Formats bytes of a header for messages: text without control characters, and shortened.
fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 80;
    let text = bytes.escape_ascii().to_string();
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("\"{}…\"", &text[..at]),
        None => format!("\"{text}\""),
    }
}
