//! The self-check: reads a finished zip as other readers do, and compares it with the files that were added.
//!
//! Every byte is read once. An entry that was compressed here is decompressed, with another decoder than the one that
//! read the tarball. An entry whose compressed stream was copied is checked against its fingerprint, at a small part of
//! the cost.

mod pass;

use std::io::{BufReader, Read, Seek, SeekFrom};

use zip::read::read_zipfile_from_stream;
use zip::{CompressionMethod, System, ZipArchive};

use super::archive::ZipError;
use super::file_hasher::FileDigest;
use crate::content::{CHUNK, Digest, DirHash};
use crate::splice::{ContentsChecksum, ContentsHasher, Fault, StreamFingerprint, ZlibStream};
use pass::Pass;

/// An entry, as it was added.
#[derive(Debug)]
pub(super) struct AddedEntry {
    pub(super) name: String,
    pub(super) mode: u32,
    pub(super) contents: ContentsChecksum,
    /// The fingerprint, if its stream was copied.
    pub(super) fingerprint: Option<StreamFingerprint>,
}

/// Reads a whole zip, and compares it with the entries that were added, in this order. Returns its SHA-256 and length.
///
/// # Errors
/// It cannot be read, has other entries, or an entry is not exactly one DEFLATE stream with the contents that were
/// added.
pub(super) fn check(mut zip: impl Read + Seek, written: &[AddedEntry]) -> Result<(Digest, u64), ZipError> {
    let places = places(&mut zip)?;
    if places.len() != written.len() {
        let text = format!("it has {} entries instead of {}", places.len(), written.len());
        return Err(ZipError::SelfCheck(text));
    }
    zip.seek(SeekFrom::Start(0))?;
    let mut pass = Pass::new(zip);
    for (place, written) in places.iter().zip(written) {
        entry(place, written, &mut pass).map_err(|fault| match fault {
            Fault::Io(error) => ZipError::Io(error),
            Fault::Wrong(what) => ZipError::SelfCheck(format!("{}: {what}", written.name)),
        })?;
    }
    Ok(pass.finish()?)
}

/// The `h1:` hash of the entries that [`check`] has found in the zip; `files` are the digests of what was added, in the
/// same order.
///
/// # Errors
/// They are not of the same files.
pub(super) fn dir_hash(written: &[AddedEntry], files: &[FileDigest]) -> Result<DirHash, ZipError> {
    let are_same = written.len() == files.len()
        && written.iter().zip(files).all(|(entry, (_, len))| entry.contents.size == *len);
    if !are_same {
        return Err(ZipError::SelfCheck("other files were hashed than were put in".to_owned()));
    }
    Ok(DirHash::of(written.iter().zip(files).map(|(entry, (digest, _))| (entry.name.as_str(), *digest))))
}

fn entry(place: &EntryHeaders, written: &AddedEntry, pass: &mut Pass<impl Read>) -> Result<(), Fault> {
    let of_headers = (&*place.name, place.mode, place.size, place.crc);
    if of_headers != (&*written.name, written.mode, written.contents.size, written.contents.crc) {
        return Err(Fault::of("its headers are not as they were written"));
    }
    if place.header != pass.at() {
        return Err(Fault::of("it does not begin where the entry before it ends"));
    }
    local_header(place, pass)?;
    let mut data = pass.take(place.compressed);
    if let Some(fingerprint) = &written.fingerprint {
        if (fingerprint.size, fingerprint.crc) != (written.contents.size, written.contents.crc) {
            return Err(Fault::of("other contents were recorded than were put in"));
        }
        return fingerprint.check(&mut data);
    }
    let (mut stream, mut hash) = (ZlibStream::new(), ContentsHasher::new());
    let mut bytes = Vec::with_capacity(CHUNK);
    while data.by_ref().take(CHUNK as u64).read_to_end(&mut bytes)? > 0 {
        stream.feed(&bytes, &mut |contents| hash.update(contents))?;
        bytes.clear();
    }
    stream.end()?;
    if hash.finish() == written.contents {
        Ok(())
    } else {
        Err(Fault::of("it has other contents than were put in"))
    }
}

/// Reads the header before an entry's data, which programs use that read a zip from its beginning on.
fn local_header(place: &EntryHeaders, pass: &mut Pass<impl Read>) -> Result<(), Fault> {
    let mut bytes = Vec::new();
    pass.take(place.start.saturating_sub(place.header)).read_to_end(&mut bytes)?;
    let other = Fault::of("its local header is not as the central directory says");
    let mut rest = bytes.as_slice();
    let Ok(Some(found)) = read_zipfile_from_stream(&mut rest) else { return Err(other) };
    let is_same = found.name().is_ok_and(|name| name == place.name)
        && found.compression() == CompressionMethod::Deflated
        && (found.size(), found.compressed_size(), found.crc32())
            == (place.size, place.compressed, place.crc);
    if is_same { Ok(()) } else { Err(other) }
}

/// An entry's headers.
struct EntryHeaders {
    name: String,
    mode: u32,
    /// The positions of the local header and of the data.
    header: u64,
    start: u64,
    compressed: u64,
    size: u64,
    crc: u32,
}

fn places(zip: impl Read + Seek) -> Result<Vec<EntryHeaders>, ZipError> {
    let mut archive = ZipArchive::new(BufReader::new(zip))?;
    let mut places = Vec::with_capacity(archive.len());
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index)?;
        if entry.compression() != CompressionMethod::Deflated || entry.system() != System::Unix {
            return Err(ZipError::SelfCheck(format!("entry {index} is not deflated by a unix system")));
        }
        let start = entry.data_start();
        places.push(EntryHeaders {
            name: entry.name()?.into_owned(),
            mode: entry.unix_mode().unwrap_or(0),
            header: entry.header_start(),
            start: start.ok_or_else(|| ZipError::SelfCheck(format!("entry {index} has no data")))?,
            compressed: entry.compressed_size(),
            size: entry.size(),
            crc: entry.crc32(),
        });
    }
    Ok(places)
}

#[cfg(test)]
mod readers;
#[cfg(test)]
mod tests;
