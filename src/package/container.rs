//! The records of a zip around its entries' compressed data.
//!
//! PKWARE's APPNOTE.TXT 6.3, section 4.3: local file headers with their data, the central directory, and its end. Sizes
//! and CRC-32 are written into the local headers when they are known, so there are no data descriptors, which some
//! readers do not accept. Numbers are little-endian (4.4.1.1).

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt as _;

use crate::content::CHUNK;

/// APPNOTE 4.3.7, 4.3.12, 4.3.14, 4.3.15 and 4.3.16
const LOCAL_HEADER: u32 = 0x0403_4b50;
const CENTRAL_HEADER: u32 = 0x0201_4b50;
const ZIP64_END: u32 = 0x0606_4b50;
const ZIP64_LOCATOR: u32 = 0x0706_4b50;
const END: u32 = 0x0605_4b50;

/// Where CRC-32 and the two sizes are in a local header, and how long it is without name and extra field.
const LOCAL_CRC: u64 = 14;
const LOCAL_LENGTH: u64 = 30;
/// The zip64 extra field's id (APPNOTE 4.5.3).
const ZIP64_EXTRA: u16 = 1;

/// Replaces a number that is in a zip64 record (APPNOTE 4.4.1.4).
const MANY: u32 = u32::MAX;
const MANY_ENTRIES: u16 = u16::MAX;

/// Versions needed to extract (APPNOTE 4.4.3.2): deflate, and zip64.
const DEFLATE_VERSION: u16 = 20;
const ZIP64_VERSION: u16 = 45;
/// The host system of "version made by" (APPNOTE 4.4.2.2): external attributes hold a unix mode.
const UNIX: u16 = 3 << 8;
/// The method (APPNOTE 4.4.5).
const DEFLATED: u16 = 8;
/// General purpose bit 11: the name is UTF-8 (APPNOTE 4.4.4).
const UTF8: u16 = 1 << 11;
/// 1980-01-01 00:00:00, the earliest time in the MS-DOS format (APPNOTE 4.4.6).
const DOS_TIME: u16 = 0;
const DOS_DATE: u16 = 1 << 5 | 1;

/// Entries of this size and above get zip64 fields: below it, even incompressible data stays under 4 GiB with deflate's
/// overhead of 5 bytes a block.
const LARGE: u64 = 0xFFFF_FFFF - (16 << 20);

/// A zip that is being written into a file.
pub(super) struct Container {
    file: BufWriter<File>,
    at: u64,
    entries: Vec<WrittenEntry>,
}

struct WrittenEntry {
    name: String,
    mode: u32,
    offset: u64,
    is_large: bool,
    data: u64,
    size: u64,
    compressed: u64,
    crc: u32,
}

impl Container {
    pub(super) fn new(file: File) -> Self {
        Self { file: BufWriter::with_capacity(CHUNK, file), at: 0, entries: Vec::new() }
    }

    /// Begins an entry; its data is then written to the container.
    ///
    /// `mode` is the whole unix mode, with the file type; `size` is the size that the entry will have.
    pub(super) fn begin(&mut self, name: &str, mode: u32, size: u64) -> io::Result<()> {
        let entry = WrittenEntry {
            name: name.to_owned(),
            mode,
            offset: self.at,
            is_large: size >= LARGE,
            data: 0,
            size: 0,
            compressed: 0,
            crc: 0,
        };
        let mut record = Record::default();
        record.u32(LOCAL_HEADER).u16(entry.version()).entry(&entry);
        record.u16(length(name.len())?).u16(if entry.is_large { 20 } else { 0 }).bytes(name.as_bytes());
        if entry.is_large {
            record.u16(ZIP64_EXTRA).u16(16).u64(0).u64(0);
        }
        self.write_all(&record.0)?;
        self.entries.push(WrittenEntry { data: self.at, ..entry });
        Ok(())
    }

    /// Ends the current entry, which has this size and CRC-32.
    pub(super) fn end(&mut self, size: u64, crc: u32) -> io::Result<()> {
        let Some(entry) = self.entries.last_mut() else { return Ok(()) };
        (entry.size, entry.crc, entry.compressed) = (size, crc, self.at - entry.data);
        if !entry.is_large && (entry.size >= MANY.into() || entry.compressed >= MANY.into()) {
            let text = format!("{} takes 4 GiB, which its size did not tell", entry.name);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
        }
        let mut sizes = Record::default();
        sizes.sizes(entry);
        let at = entry.offset + LOCAL_CRC;
        let mut extra = Record::default();
        extra.u64(entry.size).u64(entry.compressed);
        let extra =
            entry.is_large.then_some((entry.offset + LOCAL_LENGTH + entry.name.len() as u64 + 4, extra));
        self.file.flush()?;
        let file = self.file.get_ref();
        file.write_all_at(&sizes.0, at)?;
        if let Some((at, extra)) = extra {
            file.write_all_at(&extra.0, at)?;
        }
        Ok(())
    }

    /// Writes the central directory (APPNOTE 4.3.12) and its end; returns the whole zip.
    pub(super) fn finish(mut self) -> io::Result<File> {
        let start = self.at;
        let mut directory = Record::default();
        for entry in &self.entries {
            let mut extra = Record::default();
            if entry.is_large {
                extra.u64(entry.size).u64(entry.compressed);
            }
            if entry.offset >= MANY.into() {
                extra.u64(entry.offset);
            }
            let extra_length = if extra.0.is_empty() { 0 } else { extra.0.len() + 4 };
            directory.u32(CENTRAL_HEADER).u16(UNIX | entry.version()).u16(entry.version()).entry(entry);
            directory.u16(length(entry.name.len())?).u16(length(extra_length)?);
            // No comment, the first disk, no internal attributes; the mode is the upper half of the external ones.
            directory.u16(0).u16(0).u16(0).u32(entry.mode << 16).u32(capped(entry.offset));
            directory.bytes(entry.name.as_bytes());
            if !extra.0.is_empty() {
                directory.u16(ZIP64_EXTRA).u16(length(extra.0.len())?).bytes(&extra.0);
            }
        }
        self.write_all(&directory.0)?;
        let (end, entries) = (self.at, self.entries.len() as u64);
        let mut record = Record::default();
        if entries > MANY_ENTRIES.into() || start > MANY.into() || end - start > MANY.into() {
            record.u32(ZIP64_END).u64(44).u16(ZIP64_VERSION).u16(ZIP64_VERSION).u32(0).u32(0);
            record.u64(entries).u64(entries).u64(end - start).u64(start);
            record.u32(ZIP64_LOCATOR).u32(0).u64(end).u32(1);
        }
        let entries = u16::try_from(entries).unwrap_or(MANY_ENTRIES);
        record.u32(END).u16(0).u16(0).u16(entries).u16(entries);
        record.u32(capped(end - start)).u32(capped(start)).u16(0);
        self.write_all(&record.0)?;
        self.file.into_inner().map_err(io::IntoInnerError::into_error)
    }
}

impl Write for Container {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.at += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl WrittenEntry {
    fn version(&self) -> u16 {
        if self.is_large { ZIP64_VERSION } else { DEFLATE_VERSION }
    }
}

fn capped(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(MANY)
}

fn length(length: usize) -> io::Result<u16> {
    u16::try_from(length).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// The bytes of a record.
#[derive(Default)]
struct Record(Vec<u8>);

impl Record {
    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn u16(&mut self, number: u16) -> &mut Self {
        self.bytes(&number.to_le_bytes())
    }

    fn u32(&mut self, number: u32) -> &mut Self {
        self.bytes(&number.to_le_bytes())
    }

    fn u64(&mut self, number: u64) -> &mut Self {
        self.bytes(&number.to_le_bytes())
    }

    /// The fields that local and central headers share, from the flags to the sizes.
    fn entry(&mut self, entry: &WrittenEntry) -> &mut Self {
        self.u16(if entry.name.is_ascii() { 0 } else { UTF8 }).u16(DEFLATED).u16(DOS_TIME).u16(DOS_DATE);
        self.sizes(entry)
    }

    fn sizes(&mut self, entry: &WrittenEntry) -> &mut Self {
        self.u32(entry.crc);
        if entry.is_large {
            self.u32(MANY).u32(MANY)
        } else {
            self.u32(capped(entry.compressed)).u32(capped(entry.size))
        }
    }
}
