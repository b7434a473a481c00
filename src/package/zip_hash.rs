//! The `h1:` hash of a zip that is there already, whoever made it.

use std::io::{self, BufReader, Read, Seek};

use zip::{CompressionMethod, ZipArchive};

use crate::content::{CHUNK, Digest, DirHash};
use crate::release::archive::Limits;

const LIMITS: Limits = Limits::PUBLISHED;

/// Reads all entries of a zip, whose checksums are checked, in constant memory.
///
/// # Errors
/// Why it has no such hash: it is damaged, or larger than any provider, or has entries that clients cannot read either.
pub fn zip_hash(zip: impl Read + Seek) -> Result<DirHash, String> {
    let mut archive =
        ZipArchive::new(BufReader::with_capacity(CHUNK, zip)).map_err(|error| error.to_string())?;
    if archive.len() as u64 > LIMITS.entries {
        return Err(format!("{} entries", archive.len()));
    }
    if archive.has_duplicate_names() {
        return Err("a name is twice in the central directory".to_owned());
    }
    let mut files = Vec::with_capacity(archive.len());
    let mut unpacked = 0;
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(|error| error.to_string())?;
        let name = String::from_utf8_lossy(entry.name_raw()).into_owned();
        if !matches!(entry.compression(), CompressionMethod::Stored | CompressionMethod::Deflated) {
            return Err(format!("{name:?} is compressed by another method than store and deflate"));
        }
        if name.contains('\n') {
            return Err(format!("{name:?} has a line end in it"));
        }
        let size = entry.size();
        let left = LIMITS.unpacked_bytes - unpacked;
        let digested = Digest::of_reader(&mut entry.take(size.saturating_add(1).min(left)));
        let (digest, len) = digested.map_err(|error: io::Error| format!("{name:?}: {error}"))?;
        if len != size {
            return Err(format!("{name:?} has other than the {size} bytes that are recorded"));
        }
        unpacked += len;
        files.push((name, digest));
    }
    Ok(DirHash::of(files.iter().map(|(name, digest)| (name.as_str(), *digest))))
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write as _};

    use super::*;
    use zip::write::SimpleFileOptions;

    #[test]
    fn it_is_over_what_is_in_the_zip() {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in [("b", "second"), ("a/b", "first")] {
            writer.start_file(name, SimpleFileOptions::default()).unwrap();
            writer.write_all(content.as_bytes()).unwrap();
        }
        let bytes = writer.finish().unwrap().into_inner();
        let expected = DirHash::of([("a/b", Digest::of(b"first")), ("b", Digest::of(b"second"))]);
        assert_eq!(zip_hash(Cursor::new(&bytes)), Ok(expected));
        for cut in [0, 10, bytes.len() - 1] {
            assert!(zip_hash(Cursor::new(&bytes[..cut])).is_err(), "{cut}");
        }
        let mut damaged = bytes.clone();
        damaged[31] ^= 0x55;
        assert!(zip_hash(Cursor::new(damaged)).is_err());
    }
}
