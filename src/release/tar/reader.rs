//! Reads a tar file from its first header to its end.

use std::io::{self, Read};

use super::header::{EntryType, Format, Header, HeaderKind, is_likely, raw_name};
use super::{BLOCK, Fault, pax, shown};

/// Extension headers (long names, pax records) are small; anything larger is an attack or damage.
const MAX_EXTENSION: u64 = 64 * 1024;
/// Zero bytes after the end of an archive: tar pads to its record size, 10 KiB by default.
const MAX_PADDING: u64 = 1024 * 1024;
/// `git archive` writes one global header.
const MAX_GLOBALS: u32 = 8;

/// A file or a folder; its data comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::release) struct Member {
    pub(in crate::release) entry_type: EntryType,
    /// The name as it is written, unchecked.
    pub(in crate::release) name: Vec<u8>,
    /// Permission bits.
    pub(in crate::release) mode: u32,
    /// Bytes of data; 0 for a folder.
    pub(in crate::release) size: u64,
}

/// Why reading a tar file failed.
#[derive(Debug)]
pub(in crate::release) enum ReadError {
    /// The stream fails, or ends too early.
    Io(io::Error),
    /// The first block is not a tar header at all: its bytes, fewer than a block if there are no more.
    NotTar(Vec<u8>),
    /// A header does not follow the profile; with the name of its entry.
    Outside(String, Fault),
    /// The whole archive does not follow the profile.
    Archive(Fault),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Reads the headers of a tar file, and the data between them.
pub(in crate::release) struct Reader<R> {
    source: R,
    /// Bytes of the current entry's data and of its padding that were not read yet.
    data: u64,
    padding: u64,
    /// Bytes read so far.
    position: u64,
    globals: u32,
}

/// The extension headers before an entry's header.
#[derive(Default)]
enum Extension {
    #[default]
    None,
    Pax(pax::Records),
    LongName(Vec<u8>),
}

impl<R: Read> Reader<R> {
    pub(in crate::release) fn new(source: R) -> Self {
        Self { source, data: 0, padding: 0, position: 0, globals: 0 }
    }

    /// Returns the next file or folder, and skips the data of the current one; `None` at the end of the archive, after
    /// checking that nothing follows it.
    pub(in crate::release) fn next(&mut self) -> Result<Option<Member>, ReadError> {
        self.skip_data()?;
        let mut extension = Extension::None;
        // Python also refuses a global header without an entry after it.
        let mut is_behind_global = false;
        loop {
            let Some(block) = self.block()? else {
                if is_behind_global || !matches!(extension, Extension::None) {
                    return Err(ReadError::Archive(Fault::new(
                        "an extension header without its entry",
                        "the end of the archive",
                        "an entry behind each extension header",
                    )));
                }
                self.finish()?;
                return Ok(None);
            };
            if self.position == BLOCK as u64 {
                check_first(&block)?;
            }
            let outside = |fault| {
                let name = match &extension {
                    Extension::Pax(pax::Records { path: Some(name), .. }) | Extension::LongName(name) => name,
                    Extension::Pax(_) | Extension::None => raw_name(&block),
                };
                ReadError::Outside(shown(name), fault)
            };
            let header = Header::read(&block).map_err(outside)?;
            let HeaderKind::Entry(entry_type) = header.kind else {
                if !matches!(extension, Extension::None) {
                    return Err(outside(Fault::new(
                        "two extension headers before one entry",
                        "a second pax header or long name",
                        "one pax header or one long name directly before its entry",
                    )));
                }
                is_behind_global = header.kind == HeaderKind::GlobalPax;
                extension = self.extension(&header)?;
                continue;
            };
            let member = member(header, entry_type, &extension).map_err(outside)?;
            self.data = member.size;
            self.padding = member.size.next_multiple_of(BLOCK as u64) - member.size;
            return Ok(Some(member));
        }
    }

    /// Reads the current entry's data; 0 bytes only at its end.
    pub(in crate::release) fn read_data(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.data).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let count = self.source.read(&mut buffer[..most])?;
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file ends inside an entry"));
        }
        self.data -= count as u64;
        self.position += count as u64;
        Ok(count)
    }

    /// Reads the data of an extension header.
    fn extension(&mut self, header: &Header) -> Result<Extension, ReadError> {
        let outside = |fault| ReadError::Outside(shown(&header.name), fault);
        if header.size > MAX_EXTENSION {
            return Err(outside(
                Fault::new(
                    "an extension header is too large",
                    format!("an extension header of {} bytes", header.size),
                    format!("at most {MAX_EXTENSION} bytes"),
                )
                .remedy(
                    "make the tarball without extended attributes: --no-xattrs --no-mac-metadata (bsdtar)",
                ),
            ));
        }
        let mut data =
            vec![0; usize::try_from(header.size.next_multiple_of(BLOCK as u64)).unwrap_or_default()];
        self.read_exact(&mut data)?;
        // Python reads the padding of the last block as records and as the end of the name.
        let padding = data.split_off(usize::try_from(header.size).unwrap_or_default());
        if padding.iter().any(|byte| *byte != 0) {
            let found = shown(&padding);
            return Err(outside(Fault::new(
                "an extension header has data behind its end",
                found,
                "NUL bytes there",
            )));
        }
        match header.kind {
            HeaderKind::LongName => Ok(Extension::LongName(long_name(data).map_err(outside)?)),
            HeaderKind::GlobalPax => {
                self.globals += 1;
                if self.globals > MAX_GLOBALS {
                    return Err(outside(Fault::new(
                        "too many global pax headers",
                        self.globals.to_string(),
                        format!("at most {MAX_GLOBALS}"),
                    )));
                }
                pax::read(&data, true).map_err(outside)?;
                Ok(Extension::None)
            }
            HeaderKind::Pax | HeaderKind::Entry(_) => {
                Ok(Extension::Pax(pax::read(&data, false).map_err(outside)?))
            }
        }
    }

    /// Reads the next header; `None` for the first of the final zero blocks.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>, ReadError> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.source.read(&mut block[filled..]) {
                Ok(0) if filled == 0 && self.position > 0 => return Err(ReadError::Archive(cut_short())),
                Ok(0) if self.position == 0 => return Err(ReadError::NotTar(block[..filled].to_vec())),
                Ok(0) => {
                    return Err(ReadError::Io(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "the file ends inside a header",
                    )));
                }
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ReadError::Io(error)),
            }
        }
        self.position += BLOCK as u64;
        Ok(if block == [0; BLOCK] { None } else { Some(block) })
    }

    /// An archive ends with two zero blocks (POSIX.1-2017, pax, "ustar Interchange Format") and then only zeros.
    fn finish(&mut self) -> Result<(), ReadError> {
        let mut seen = 0_u64;
        let mut buffer = [0; 8 * 1024];
        loop {
            let count = match self.source.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            seen += count as u64;
            if buffer[..count].iter().any(|byte| *byte != 0) || seen > MAX_PADDING {
                return Err(ReadError::Archive(
                    Fault::new(
                        "the archive goes on behind its end",
                        "data after the end-of-archive blocks",
                        "nothing but zero padding there",
                    )
                    .remedy("make the tarball again; a concatenation of tar files is not accepted"),
                ));
            }
        }
        if seen < BLOCK as u64 {
            return Err(ReadError::Archive(cut_short()));
        }
        if !seen.is_multiple_of(BLOCK as u64) {
            return Err(ReadError::Archive(
                Fault::new(
                    "the archive is cut short",
                    format!("{} bytes", self.position + seen),
                    "whole blocks of 512 bytes",
                )
                .remedy("fetch or build the tarball again"),
            ));
        }
        Ok(())
    }

    /// Skips the rest of the current entry.
    fn skip_data(&mut self) -> io::Result<()> {
        let mut buffer = [0; 8 * 1024];
        self.data += std::mem::take(&mut self.padding);
        while self.data > 0 {
            match self.read_data(&mut buffer) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }

    fn read_exact(&mut self, data: &mut [u8]) -> io::Result<()> {
        self.source.read_exact(data).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                io::Error::new(io::ErrorKind::UnexpectedEof, "the file ends inside an extension header")
            }
            _ => error,
        })?;
        self.position += data.len() as u64;
        Ok(())
    }
}

fn cut_short() -> Fault {
    Fault::new(
        "the archive is cut short",
        "no end-of-archive blocks",
        "two zero blocks at the end of the tar file",
    )
    .remedy("fetch or build the tarball again")
}

/// Checks that the first block is a header, and that its name does not make the file look like another format.
fn check_first(block: &[u8; BLOCK]) -> Result<(), ReadError> {
    if !is_likely(block) {
        return Err(ReadError::NotTar(block.to_vec()));
    }
    // bsdtar decompresses a file that begins like a bzip2 file.
    if block.starts_with(b"BZh") {
        let fault = Fault::new(
            "the first entry's name makes the archive look like a bzip2 file",
            shown(raw_name(block)),
            "another name for the first entry",
        );
        return Err(ReadError::Archive(fault.remedy("rename the file, or put another one first")));
    }
    Ok(())
}

/// Builds an entry from its header and the extension header before it.
fn member(header: Header, entry_type: EntryType, extension: &Extension) -> Result<Member, Fault> {
    let mixed = || {
        Fault::new(
            "an extension header and its entry are of different formats",
            "POSIX and GNU",
            "a pax header before a POSIX entry, or a long name before a GNU entry",
        )
    };
    let name = match extension {
        Extension::None => header.name,
        Extension::Pax(records) => {
            if header.format != Format::Posix {
                return Err(mixed());
            }
            if records.size.is_some_and(|size| size != header.size) {
                return Err(Fault::new(
                    "its pax header and its own header have different sizes",
                    format!("{} and {} bytes", records.size.unwrap_or_default(), header.size),
                    "one size",
                ));
            }
            records.path.clone().unwrap_or(header.name)
        }
        Extension::LongName(name) => {
            if header.format != Format::Gnu {
                return Err(mixed());
            }
            name.clone()
        }
    };
    Ok(Member { entry_type, name, mode: header.mode, size: header.size })
}

/// Reads a name, and removes the NUL byte at its end, if there is one.
fn long_name(mut data: Vec<u8>) -> Result<Vec<u8>, Fault> {
    let whole = shown(&data);
    if data.last() == Some(&0) {
        data.pop();
    }
    if data.is_empty() || data.contains(&0) {
        return Err(Fault::new(
            "a long name is empty or has a NUL byte inside",
            whole,
            "a name, and one NUL byte behind it",
        ));
    }
    Ok(data)
}
