//! The zip of one platform: written deterministically, then read again and compared with the files that were added.
//!
//! The compression can change behind this interface: [`ZipWriter::add`] is called with a file's bytes,
//! [`ZipWriter::add_recorded`] also with a [`DeflateRecorder`] that has the compressed stream; [`ZipWriter::finish`]
//! returns a [`Sealed`] zip that has passed the self-check, and the hash of the files in it.

use std::io::{self, BufReader, Read, Write};

use flate2::Compression;
use flate2::write::DeflateEncoder;
use zip::ZipArchive;

use super::check::{self, AddedEntry};
use super::container::Container;
use super::file_hasher::FileHasher;
use crate::content::{CHUNK, DirHash, Scratch, Sealed};
use crate::splice::{ContentsChecksum, ContentsHasher, DeflateRecorder, StreamFingerprint};

/// The type of an entry's file; decides its fixed mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// Mode 0755: Terraform takes the mode from the zip, and cannot start a file that is not executable.
    Executable,
    /// Mode 0644.
    Plain,
}

impl FileKind {
    fn mode(self) -> u32 {
        match self {
            Self::Executable => 0o755,
            Self::Plain => 0o644,
        }
    }
}

/// The compression level: 9 costs more than twice the time of 6 for 2 % of the size.
const LEVEL: Compression = Compression::new(6);
/// The most memory for all fingerprints of a zip, in bytes.
const FINGERPRINTS: usize = 4 << 20;
/// The type of a regular file in a unix mode.
const S_IFREG: u32 = 0o100_000;

/// Why a zip could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ZipError {
    /// The temporary file could not be written or read.
    #[error("cannot write the zip to a temporary file")]
    Io(#[from] io::Error),
    /// The zip library failed.
    #[error("cannot make the zip")]
    Zip(#[from] zip::result::ZipError),
    /// The finished zip does not have the contents that were added.
    #[error("the finished zip fails its self-check: {0}")]
    SelfCheck(String),
}

/// Writes one zip into an unnamed temporary file, in bounded memory.
///
/// The same calls with the same bytes give the same zip on every machine: fixed time and modes, the callers' order, no
/// folder entries (they break Terraform's `h1:` hash). Contents are passed to the compressor in pieces of a fixed size,
/// because its output depends on their size.
pub struct ZipWriter {
    zip: Container,
    scratch: Scratch,
    written: Vec<AddedEntry>,
    /// The memory that the entries' fingerprints use.
    of_fingerprints: usize,
    buffer: Vec<u8>,
    files: FileHasher,
}

/// A zip that has passed the self-check.
#[derive(Debug, Clone)]
pub struct FinishedZip {
    /// The zip.
    pub zip: Sealed,
    /// The hash of the files in it.
    pub h1: DirHash,
}

impl ZipWriter {
    /// Starts a zip in a temporary file of `scratch`.
    ///
    /// # Errors
    /// No temporary file can be made.
    pub fn new(scratch: &Scratch) -> Result<Self, ZipError> {
        Ok(Self {
            zip: Container::new(scratch.file()?),
            scratch: scratch.clone(),
            written: Vec::new(),
            of_fingerprints: 0,
            buffer: vec![0; CHUNK],
            files: FileHasher::new(),
        })
    }

    /// Adds a file of `size` bytes, and compresses it.
    ///
    /// # Errors
    /// `content` fails or the zip cannot be written.
    pub fn add(
        &mut self,
        name: &str,
        kind: FileKind,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<(), ZipError> {
        self.zip.begin(name, S_IFREG | kind.mode(), size)?;
        let mut hash = ContentsHasher::new();
        let mut encoder = DeflateEncoder::new(&mut self.zip, LEVEL);
        loop {
            let filled = fill(content, &mut self.buffer)?;
            if filled == 0 {
                break;
            }
            hash.update(&self.buffer[..filled]);
            encoder.write_all(&self.buffer[..filled])?;
            self.files.update(&mut self.buffer, filled);
        }
        encoder.finish()?;
        self.end(name, kind, hash.finish(), None)
    }

    /// Adds a file of `size` bytes whose compressed stream `recorder` records while `content` is read. Recording must have
    /// begun with the first byte of `content`.
    ///
    /// # Errors
    /// `content` fails, is not recorded to its end, or the zip cannot be written.
    pub fn add_recorded(
        &mut self,
        name: &str,
        kind: FileKind,
        size: u64,
        content: &mut dyn Read,
        recorder: &DeflateRecorder,
    ) -> Result<(), ZipError> {
        self.zip.begin(name, S_IFREG | kind.mode(), size)?;
        let mut hash = ContentsHasher::new();
        loop {
            match content.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(count) => {
                    hash.update(&self.buffer[..count]);
                    self.files.update(&mut self.buffer, count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
            recorder.take(&mut self.zip)?;
        }
        if !recorder.is_complete() {
            return Err(ZipError::SelfCheck(format!("{name} was not recorded to its end")));
        }
        self.end(name, kind, hash.finish(), recorder.take_fingerprint())
    }

    fn end(
        &mut self,
        name: &str,
        kind: FileKind,
        contents: ContentsChecksum,
        fingerprint: Option<StreamFingerprint>,
    ) -> Result<(), ZipError> {
        self.zip.end(contents.size, contents.crc)?;
        self.files.end_of_file();
        // An entry without a fingerprint is decompressed to check it.
        let fingerprint =
            fingerprint.filter(|fingerprint| self.of_fingerprints + fingerprint.memory() <= FINGERPRINTS);
        self.of_fingerprints += fingerprint.as_ref().map_or(0, StreamFingerprint::memory);
        self.written.push(AddedEntry {
            name: name.to_owned(),
            mode: S_IFREG | kind.mode(),
            contents,
            fingerprint,
        });
        Ok(())
    }

    /// Ends the zip, reads it again, and compares every entry with the file that was added.
    ///
    /// # Errors
    /// The zip cannot be written, or its contents are not those that were added.
    pub fn finish(self) -> Result<FinishedZip, ZipError> {
        let file = self.zip.finish()?;
        let sync = self.scratch.begin_sync(&file);
        let (digest, len) = check::check(&file, &self.written)?;
        let h1 = check::dir_hash(&self.written, &self.files.finish())?;
        Ok(FinishedZip { zip: Sealed::from_digested(file, sync, digest, len), h1 })
    }
}

/// Reads until `buffer` is full or the source ends.
fn fill(source: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Writes one file of a finished zip to `to`.
///
/// # Errors
/// The zip has no such file or cannot be read, or `to` fails.
pub fn extract(zip: &Sealed, name: &str, to: &mut dyn Write) -> Result<(), ZipError> {
    let mut archive = ZipArchive::new(BufReader::with_capacity(CHUNK, zip.reader()))?;
    io::copy(&mut archive.by_name(name)?, to)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::Digest;
    use crate::splice::Unpacker;
    use crate::splice::tests::encoder;

    /// Bytes that compress, but not trivially; the same on every machine.
    fn sample(len: usize) -> Vec<u8> {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let word = state.to_le_bytes();
            bytes.extend_from_slice(if state.is_multiple_of(3) { &word } else { b"terraform" });
        }
        bytes.truncate(len);
        bytes
    }

    /// Returns its bytes in pieces of odd sizes.
    struct Dribble<'a>(&'a [u8], usize);

    impl Read for Dribble<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = self.1 * 7 % 10_007 + 1;
            let count = self.1.min(buffer.len()).min(self.0.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn zip_of(content: &[u8], dribble: bool) -> Sealed {
        let mut zip = ZipWriter::new(&Scratch::default()).unwrap();
        let mut whole = content;
        let mut pieces = Dribble(content, 3);
        let reader: &mut dyn Read = if dribble { &mut pieces } else { &mut whole };
        zip.add("terraform-provider-x_v1.0.0", FileKind::Executable, content.len() as u64, reader).unwrap();
        zip.add("doc/README.md", FileKind::Plain, 3, &mut &b"hi\n"[..]).unwrap();
        zip.add("empty", FileKind::Plain, 0, &mut io::empty()).unwrap();
        let FinishedZip { zip, h1 } = zip.finish().unwrap();
        let files = [("terraform-provider-x_v1.0.0", content), ("doc/README.md", b"hi\n"), ("empty", b"")];
        assert_eq!(h1, DirHash::of(files.map(|(name, bytes)| (name, Digest::of(bytes)))));
        assert_eq!(super::super::zip_hash(zip.reader()), Ok(h1));
        zip
    }

    #[test]
    fn the_zip_is_a_function_of_the_bytes() {
        let content = sample(1_000_000);
        let zip = zip_of(&content, false);
        assert_eq!(zip.digest(), zip_of(&content, true).digest(), "the sizes of the reads must not matter");
        // Pinned: published zips must come out the same from the next release of tfreg, on any machine.
        assert_eq!(
            zip.digest().to_string(),
            "7d9a244f95bcb755de8f45303bd10d0e2079a9ad9ba5775467eb3056d38c6e82"
        );
    }

    #[test]
    fn modes_order_and_system_are_as_clients_want_them() {
        let zip = zip_of(&sample(10), false);
        let mut archive = ZipArchive::new(zip.reader()).unwrap();
        let entries: Vec<_> = (0..archive.len())
            .map(|i| {
                let entry = archive.by_index(i).unwrap();
                (entry.name().unwrap().into_owned(), entry.unix_mode().unwrap(), entry.is_dir())
            })
            .collect();
        let expected =
            [("terraform-provider-x_v1.0.0", 0o100_755), ("doc/README.md", 0o100_644), ("empty", 0o100_644)];
        assert_eq!(entries, expected.map(|(name, mode)| (name.to_owned(), mode, false)));
    }

    #[test]
    fn a_file_is_extracted_by_its_name() {
        let zip = zip_of(&sample(300_000), false);
        let mut content = Vec::new();
        extract(&zip, "terraform-provider-x_v1.0.0", &mut content).unwrap();
        assert_eq!(content, sample(300_000));
        assert!(matches!(extract(&zip, "README.md", &mut content), Err(ZipError::Zip(_))));
    }

    #[test]
    fn an_entry_that_may_be_large_has_zip64_fields() {
        let mut zip = ZipWriter::new(&Scratch::default()).unwrap();
        let content = sample(100_000);
        zip.add("large", FileKind::Executable, 5 << 30, &mut content.as_slice()).unwrap();
        zip.add("small", FileKind::Plain, 3, &mut &b"hi\n"[..]).unwrap();
        let zip = zip.finish().unwrap().zip;
        let mut bytes = Vec::new();
        zip.reader().read_to_end(&mut bytes).unwrap();
        // Version 4.5, and 16 bytes of extra field 1 behind the name (APPNOTE 4.5.3).
        assert_eq!((bytes[4], &bytes[18..26], &bytes[35..39]), (45, &[0xff; 8][..], &[1, 0, 16, 0][..]));
        assert_eq!(bytes[39..47], 100_000_u64.to_le_bytes());
        let mut archive = ZipArchive::new(zip.reader()).unwrap();
        let mut found = Vec::new();
        archive.by_name("large").unwrap().read_to_end(&mut found).unwrap();
        assert!(found == content);
    }

    #[test]
    fn the_fingerprints_of_a_zip_take_no_more_than_their_share() {
        let mut random = fastrand::Rng::with_seed(5);
        let content = encoder::text(300_000, &mut random);
        let mut compressor = DeflateEncoder::new(Vec::new(), LEVEL);
        compressor.write_all(&content).unwrap();
        let gz = encoder::gzip(&compressor.finish().unwrap(), &content, &mut random);
        let mut zip = ZipWriter::new(&Scratch::default()).unwrap();
        zip.of_fingerprints = FINGERPRINTS - 40_000;
        for name in ["a", "b"] {
            let recorder = DeflateRecorder::default();
            let mut unpacker = Unpacker::new(gz.as_slice(), recorder.clone());
            recorder.record(content.len() as u64);
            zip.add_recorded(name, FileKind::Plain, content.len() as u64, &mut unpacker, &recorder).unwrap();
        }
        assert_eq!(
            zip.written.iter().map(|entry| entry.fingerprint.is_some()).collect::<Vec<_>>(),
            [true, false]
        );
        assert!(zip.of_fingerprints <= FINGERPRINTS);
        let FinishedZip { zip, h1 } = zip.finish().unwrap();
        assert_eq!(h1, DirHash::of(["a", "b"].map(|name| (name, Digest::of(&content)))));
        for name in ["a", "b"] {
            let mut found = Vec::new();
            extract(&zip, name, &mut found).unwrap();
            assert!(found == content);
        }
    }
}
