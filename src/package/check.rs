//! The self-check: a finished zip, read as others read it.

use std::io::{self, BufReader, Read, Seek, SeekFrom};

use flate2::{Decompress, FlushDecompress, Status};
use sha2::{Digest as _, Sha256};
use zip::{CompressionMethod, System, ZipArchive};

use super::archive::ZipError;
use super::sealed::CHUNK;
use crate::digest::Digest;

/// What is known of an entry: by who put it in, and by who reads it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) mode: u32,
    pub(super) contents: Contents,
}

/// What contents come to: their length, the CRC-32 that a zip holds, and a CRC-64 beside it.
///
/// It guards against mistakes and damage, not against an attacker: who could forge it makes the contents anyway. Both
/// together cost a few percent of what SHA-256 does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) size: u64,
    pub(super) crc: u32,
    check: u64,
}

/// Takes contents in, piece by piece.
pub(super) struct ContentsHasher {
    size: u64,
    crc: crc32fast::Hasher,
    check: crc_fast::Digest,
}

impl ContentsHasher {
    pub(super) fn new() -> Self {
        let check = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme);
        Self { size: 0, crc: crc32fast::Hasher::new(), check }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        self.crc.update(bytes);
        self.check.update(bytes);
    }

    pub(super) fn finish(self) -> Contents {
        Contents { size: self.size, crc: self.crc.finalize(), check: self.check.finalize() }
    }
}

/// What a zip was found to be.
pub(super) struct Found {
    pub(super) entries: Vec<Entry>,
    /// Of the whole zip, from the same read as the contents.
    pub(super) digest: Digest,
    pub(super) len: u64,
}

/// Reads a whole zip: its records with the zip library, and every byte once, from the first to the last.
///
/// # Errors
/// It cannot be read, or an entry is not exactly one DEFLATE stream with the contents that its header promises.
pub(super) fn read_back(mut zip: impl Read + Seek) -> Result<Found, ZipError> {
    let places = places(&mut zip)?;
    zip.seek(SeekFrom::Start(0))?;
    let mut pass = Pass { zip, hash: Sha256::new(), at: 0, buffer: vec![0; CHUNK] };
    let mut unpacked = vec![0; CHUNK];
    let mut entries = Vec::with_capacity(places.len());
    for place in places {
        if place.start < pass.at {
            return Err(ZipError::SelfCheck(format!("{} overlaps another entry", place.name)));
        }
        pass.go_to(place.start, &mut |_| Ok(()))?;
        let mut stream = Stream::new(&mut unpacked);
        pass.go_to(place.start + place.compressed, &mut |bytes| stream.feed(bytes))?;
        let wrong = |what: &str| Err(ZipError::SelfCheck(format!("{} {what}", place.name)));
        if !stream.ended {
            return wrong("is cut short");
        }
        let contents = stream.contents.finish();
        if (contents.size, contents.crc) != (place.size, place.crc) {
            return wrong("has not the contents that its header promises");
        }
        entries.push(Entry { name: place.name, mode: place.mode, contents });
    }
    pass.go_to(u64::MAX, &mut |_| Ok(()))?;
    Ok(Found { entries, digest: Digest::from_hasher(pass.hash), len: pass.at })
}

/// An entry's headers.
struct Place {
    name: String,
    mode: u32,
    start: u64,
    compressed: u64,
    size: u64,
    crc: u32,
}

fn places(zip: impl Read + Seek) -> Result<Vec<Place>, ZipError> {
    let mut archive = ZipArchive::new(BufReader::new(zip))?;
    let mut places = Vec::with_capacity(archive.len());
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index)?;
        if entry.compression() != CompressionMethod::Deflated || entry.system() != System::Unix {
            return Err(ZipError::SelfCheck(format!("entry {index} is not deflated by a unix system")));
        }
        let start = entry.data_start();
        places.push(Place {
            name: entry.name()?.into_owned(),
            mode: entry.unix_mode().unwrap_or(0),
            start: start.ok_or_else(|| ZipError::SelfCheck(format!("entry {index} has no data")))?,
            compressed: entry.compressed_size(),
            size: entry.size(),
            crc: entry.crc32(),
        });
    }
    Ok(places)
}

/// One read from beginning to end, which hashes everything.
struct Pass<R> {
    zip: R,
    hash: Sha256,
    at: u64,
    buffer: Vec<u8>,
}

impl<R: Read> Pass<R> {
    /// Reads on up to `end`, or to the end of the zip where that is no place in it.
    fn go_to(
        &mut self,
        end: u64,
        with: &mut dyn FnMut(&[u8]) -> Result<(), ZipError>,
    ) -> Result<(), ZipError> {
        while self.at < end {
            let wanted = usize::try_from(end - self.at).unwrap_or(usize::MAX).min(self.buffer.len());
            let count = match self.zip.read(&mut self.buffer[..wanted]) {
                Ok(0) if end == u64::MAX => return Ok(()),
                Ok(0) => return Err(ZipError::SelfCheck("it is cut short".to_owned())),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            self.hash.update(&self.buffer[..count]);
            with(&self.buffer[..count])?;
            self.at += count as u64;
        }
        Ok(())
    }
}

/// One DEFLATE stream, which must end where its data does: zlib ends at the first block that says to be the last.
struct Stream<'a> {
    inflate: Decompress,
    unpacked: &'a mut [u8],
    contents: ContentsHasher,
    ended: bool,
}

impl<'a> Stream<'a> {
    fn new(unpacked: &'a mut [u8]) -> Self {
        Self { inflate: Decompress::new(false), unpacked, contents: ContentsHasher::new(), ended: false }
    }

    fn feed(&mut self, mut bytes: &[u8]) -> Result<(), ZipError> {
        loop {
            if self.ended {
                return match bytes {
                    [] => Ok(()),
                    _ => Err(ZipError::SelfCheck("an entry goes on behind its last block".to_owned())),
                };
            }
            let (taken, given) = (self.inflate.total_in(), self.inflate.total_out());
            let status = self
                .inflate
                .decompress(bytes, self.unpacked, FlushDecompress::None)
                .map_err(|error| ZipError::SelfCheck(format!("an entry is no DEFLATE stream: {error}")))?;
            let taken = usize::try_from(self.inflate.total_in() - taken).unwrap_or(usize::MAX);
            let given = usize::try_from(self.inflate.total_out() - given).unwrap_or(usize::MAX);
            self.contents.update(self.unpacked.get(..given).unwrap_or_default());
            bytes = bytes.get(taken..).unwrap_or_default();
            self.ended = status == Status::StreamEnd;
            // There may be more to give although all is taken, unless there was place for it.
            if bytes.is_empty() && given < self.unpacked.len() && !self.ended {
                return Ok(());
            }
        }
    }
}
