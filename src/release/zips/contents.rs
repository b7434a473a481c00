//! Reads every entry of a zip to its end, in constant memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use sha2::{Digest as _, Sha256};

use super::directory::{Entry, Unreadable};
use super::{ExpectedZip, Limits};
use crate::content::{CHUNK, Digest};
use crate::release::executable::Expectation;
use crate::splice::{ContentsHasher, Fault, ZlibStream};

/// What is in a zip.
pub(super) struct Contents {
    /// The SHA-256 of each entry.
    pub(super) digests: Vec<Digest>,
    /// The actual and expected file type of the executable, if they differ.
    pub(super) mismatch: Option<(String, String)>,
}

/// Reads all entries, and checks their lengths and checksums; `executable` is examined.
pub(super) fn read(
    file: &File,
    entries: &[Entry],
    executable: Option<usize>,
    expected: &ExpectedZip,
    limits: Limits,
    progress: &dyn Fn(u64),
) -> Result<Contents, Unreadable> {
    let damaged = |entry: &Entry, what: &str| Unreadable::Damaged(format!("{:?}: {what}", entry.name));
    let mut contents = Contents { digests: Vec::with_capacity(entries.len()), mismatch: None };
    // A platform that Go does not have is refused by its name, and a finding of the index.
    let expectation = Expectation::of(&expected.platform).ok();
    let mut buffer = vec![0; CHUNK];
    let mut unpacked = 0_u64;
    for (index, entry) in entries.iter().enumerate() {
        unpacked = unpacked.saturating_add(entry.size);
        if unpacked > limits.unpacked_bytes {
            let found = format!("{unpacked} bytes up to and with it, more than {}", limits.unpacked_bytes);
            return Err(damaged(entry, &found));
        }
        let wanted = expectation.as_ref().filter(|_| executable == Some(index));
        let mut examiner = wanted.map(|expectation| expectation.examine(entry.size));
        let (mut sum, mut hash) = (ContentsHasher::new(), Sha256::new());
        let mut with = |bytes: &[u8]| {
            sum.update(bytes);
            // What is larger than it says is refused below.
            if sum.size() <= entry.size {
                hash.update(bytes);
                if let Some(examiner) = &mut examiner {
                    examiner.feed(bytes);
                }
            }
            sum.size() <= entry.size
        };
        let mut stream = entry.is_deflated().then(ZlibStream::new);
        let mut left = entry.compressed;
        let mut at = entry.start;
        while left > 0 {
            let want = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
            let count = match file.read_at(buffer.get_mut(..want).unwrap_or_default(), at) {
                Ok(0) => return Err(damaged(entry, "it is cut short")),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Unreadable::Io(error)),
            };
            (left, at) = (left - count as u64, at + count as u64);
            progress(count as u64);
            let piece = buffer.get(..count).unwrap_or_default();
            let mut fits = true;
            match &mut stream {
                Some(stream) => match stream.feed(piece, &mut |bytes| fits &= with(bytes)) {
                    Ok(()) => {}
                    Err(Fault::Io(error)) => return Err(Unreadable::Io(error)),
                    Err(Fault::Wrong(what)) => return Err(damaged(entry, &what)),
                },
                None => fits = with(piece),
            }
            if !fits {
                return Err(damaged(entry, "it is larger than it says"));
            }
        }
        match stream.as_ref().map(ZlibStream::end) {
            None | Some(Ok(())) => {}
            Some(Err(Fault::Io(error))) => return Err(Unreadable::Io(error)),
            Some(Err(Fault::Wrong(what))) => return Err(damaged(entry, &what)),
        }
        let sum = sum.finish();
        if sum.size != entry.size {
            let found = format!("it has {} bytes, {} are recorded", sum.size, entry.size);
            return Err(damaged(entry, &found));
        }
        if sum.crc != entry.crc {
            return Err(damaged(entry, "its CRC-32 is not the one that is recorded"));
        }
        contents.digests.push(Digest::from_hasher(hash));
        if let Some(examiner) = examiner {
            contents.mismatch = examiner.check().err();
        }
    }
    Ok(contents)
}
