//! Correct zips, and zips with one fault each.

use std::io::{Cursor, Read, Write};

use flate2::write::DeflateEncoder;
use flate2::{Compress, Compression, FlushCompress};
use proptest::prelude::*;

use super::*;
use crate::package::container::Container;
use crate::splice::tests::encoder::{Maker, gzip, text};
use crate::splice::{DeflateRecorder, Run, Unpacker};

const MODE: u32 = 0o100_644;

/// A zip of one entry with this data, whose headers claim these contents.
fn zip_of(data: &[u8], contents: &[u8]) -> Vec<u8> {
    let mut zip = Container::new(tempfile::tempfile().unwrap());
    zip.begin("x", MODE, contents.len() as u64).unwrap();
    zip.write_all(data).unwrap();
    zip.end(contents.len() as u64, crc32fast::hash(contents)).unwrap();
    let mut file = zip.finish().unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

fn entry_of(contents: &[u8], fingerprint: Option<StreamFingerprint>) -> Vec<AddedEntry> {
    let mut hash = ContentsHasher::new();
    hash.update(contents);
    vec![AddedEntry { name: "x".to_owned(), mode: MODE, contents: hash.finish(), fingerprint }]
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(6));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Decompresses a stream with zlib; `None` if it is not valid, or if data follows it.
fn zlib(stream: &[u8]) -> Option<Vec<u8>> {
    let mut decoder = flate2::bufread::DeflateDecoder::new(stream);
    let mut bytes = Vec::new();
    decoder.read_to_end(&mut bytes).ok()?;
    decoder.into_inner().is_empty().then_some(bytes)
}

#[test]
fn an_entry_is_exactly_one_stream() {
    // Two streams one after the other, and one with a byte behind it, under sizes that agree with that.
    let good = deflated(b"contents");
    for (data, is_good) in [
        (good.clone(), true),
        ([good.clone(), deflated(b"")].concat(), false),
        ([good.clone(), vec![0]].concat(), false),
        (good[..good.len() - 1].to_vec(), false),
    ] {
        let zip = Cursor::new(zip_of(&data, b"contents"));
        assert_eq!(check(zip, &entry_of(b"contents", None)).is_ok(), is_good, "{data:?}");
    }
}

#[test]
fn a_changed_zip_is_found() {
    let contents = text(300, &mut fastrand::Rng::with_seed(3));
    let data = deflated(&contents);
    let good = zip_of(&data, &contents);
    let (digest, len) = check(Cursor::new(&good), &entry_of(&contents, None)).unwrap();
    assert_eq!((digest, len), (Digest::of(&good), good.len() as u64));
    let mut passed = std::collections::BTreeSet::new();
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        if check(Cursor::new(bad), &entry_of(&contents, None)).is_ok() {
            passed.insert(bit / 8);
        }
    }
    // Versions, flags and time of both headers, lengths of what is not there, disks, the attributes but for the permissions,
    // the directory's length (APPNOTE 4.3.7, 4.3.12, 4.3.16), and the bits behind the stream's last code.
    let central = 31 + data.len();
    let mut harmless: Vec<_> = (4..8).chain(10..14).collect();
    harmless
        .extend([4, 6, 7, 8, 9, 12, 13, 14, 15, 30, 32, 34, 35, 36, 37, 38, 39, 41].map(|at| central + at));
    harmless.extend((12..16).map(|at| central + 47 + at));
    harmless.push(central - 1);
    assert!(passed.iter().all(|at| harmless.contains(at)), "{passed:?} of {central}");
}

/// A file's recorded stream and its fingerprint.
struct Spliced {
    stream: Vec<u8>,
    contents: Vec<u8>,
    fingerprint: Option<StreamFingerprint>,
}

/// Records the bytes `start..start + size` of a gzip file.
fn splice(gz: &[u8], start: usize, size: usize) -> Spliced {
    let recorder = DeflateRecorder::default();
    let mut unpacker = Unpacker::new(gz, recorder.clone());
    std::io::copy(&mut (&mut unpacker).take(start as u64), &mut std::io::sink()).unwrap();
    recorder.record(size as u64);
    let (mut stream, mut contents) = (Vec::new(), Vec::new());
    let mut buffer = vec![0; 100_000];
    while contents.len() < size {
        let most = buffer.len().min(size - contents.len());
        let count = unpacker.read(&mut buffer[..most]).unwrap();
        contents.extend_from_slice(&buffer[..count]);
        recorder.take(&mut stream).unwrap();
    }
    Spliced { stream, contents, fingerprint: recorder.take_fingerprint() }
}

impl Spliced {
    /// Whether the self-check passes with this stream in place of the recorded one.
    fn check(&self, stream: &[u8]) -> Result<(), String> {
        let zip = Cursor::new(zip_of(stream, &self.contents));
        check(zip, &entry_of(&self.contents, self.fingerprint.clone()))
            .map(drop)
            .map_err(|error| error.to_string())
    }
}

/// Compressed at a level, with a flush after each `every` bytes.
fn compressed(bytes: &[u8], level: u32, every: usize, flush: FlushCompress) -> Vec<u8> {
    let mut deflate = Compress::new(Compression::new(level), false);
    let mut stream = Vec::with_capacity(2 * bytes.len() + 100_000);
    for piece in bytes.chunks(every) {
        deflate.compress_vec(piece, &mut stream, flush).unwrap();
    }
    deflate.compress_vec(&[], &mut stream, FlushCompress::Finish).unwrap();
    stream
}

/// Text with noise in it, so that there are stored blocks between the others.
fn mixed(random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..4 {
        bytes.extend(text(random.usize(50_000..150_000), random));
        let noise = random.usize(0..90_000);
        bytes.extend(std::iter::repeat_with(|| random.u8(..)).take(noise));
    }
    bytes
}

/// Gzip files as the usual programs make them: one stream, flushed ones as by pigz, many members as by bgzip.
fn usual(random: &mut fastrand::Rng) -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let bytes = mixed(random);
    let all = bytes.len();
    let mut files = Vec::new();
    for (what, level, every, flush) in [
        ("level 1", 1, all, FlushCompress::None),
        ("level 6", 6, all, FlushCompress::None),
        ("level 9", 9, all, FlushCompress::None),
        ("stored", 0, all, FlushCompress::None),
        ("flushed", 6, 60_000, FlushCompress::Sync),
    ] {
        files.push((what, gzip(&compressed(&bytes, level, every, flush), &bytes, random), bytes.clone()));
    }
    let members = bytes.chunks(65_280);
    let members = members.flat_map(|part| gzip(&compressed(part, 6, all, FlushCompress::None), part, random));
    files.push(("members", members.collect(), bytes.clone()));
    files
}

#[test]
fn no_bit_of_a_spliced_stream_can_be_another() {
    let mut random = fastrand::Rng::with_seed(11);
    for (what, gz, bytes) in usual(&mut random) {
        let spliced = splice(&gz, 1000, bytes.len() - 3000);
        let Some(fingerprint) = &spliced.fingerprint else {
            // zlib-rs makes one block of everything at this level.
            assert_eq!(what, "level 1");
            continue;
        };
        let of_both_ends = fingerprint.head.size + fingerprint.tail.size;
        assert!(of_both_ends < bytes.len() as u64 * 3 / 4, "{what}: {of_both_ends} of {}", bytes.len());
        assert_eq!(spliced.check(&spliced.stream), Ok(()), "{what}");
        let bits = spliced.stream.len() * 8;
        let head = usize::try_from(fingerprint.head_bits).unwrap();
        let tail = bits - usize::try_from(fingerprint.tail_bits).unwrap() - 8;
        for nth in 0..600 {
            let bit = match nth % 4 {
                0 => random.usize(..head),
                1 => random.usize(tail..bits),
                _ => random.usize(head..tail),
            };
            let mut stream = spliced.stream.clone();
            stream[bit / 8] ^= 1 << (bit % 8);
            // The bits that fill the byte before a stored block's length have no meaning.
            let harmless = zlib(&stream).is_some_and(|found| found == spliced.contents);
            assert!(spliced.check(&stream).is_err() || harmless, "{what}: bit {bit} of {bits}");
        }
    }
}

#[test]
fn no_part_of_a_spliced_stream_can_be_elsewhere() {
    let mut random = fastrand::Rng::with_seed(12);
    for (what, gz, bytes) in usual(&mut random) {
        let spliced = splice(&gz, 1000, bytes.len() - 3000);
        let good = &spliced.stream;
        for _ in 0..50 {
            let (a, b) = (random.usize(..good.len()), random.usize(..good.len()));
            let (from, to) = (a.min(b), a.max(b) + 1);
            let left_out = [&good[..from], &good[to..]].concat();
            let twice = [&good[..to], &good[from..]].concat();
            let zeros = [&good[..from], &vec![0; to - from], &good[to..]].concat();
            for bad in [&left_out, &twice, &zeros, &good[..to - 1].to_vec()] {
                let harmless = zlib(bad).is_some_and(|found| found == spliced.contents);
                assert!(spliced.check(bad).is_err() || harmless, "{what}: {from}..{to}");
            }
        }
        for more in [&[0][..], &[1], &deflated(b"")] {
            assert!(spliced.check(&[good, more].concat()).is_err(), "{what}: {more:?} behind it");
        }
    }
}

#[test]
fn a_fingerprint_vouches_for_its_own_file_only() {
    let mut random = fastrand::Rng::with_seed(14);
    // No noise: there are copies everywhere, so the tail has some that reach back to before it.
    let bytes = text(400_000, &mut random);
    let gz = gzip(&compressed(&bytes, 6, 50_000, FlushCompress::Sync), &bytes, &mut random);
    let good = splice(&gz, 1000, bytes.len() - 3000);
    let fingerprint = good.fingerprint.clone().unwrap();
    assert!(fingerprint.runs.len() > 2);
    let change = |change: &mut dyn FnMut(&mut StreamFingerprint)| {
        let mut fingerprint = fingerprint.clone();
        change(&mut fingerprint);
        Spliced {
            fingerprint: Some(fingerprint),
            stream: good.stream.clone(),
            contents: good.contents.clone(),
        }
    };
    for (what, bad) in [
        ("length", change(&mut |fingerprint| fingerprint.size -= 1)),
        ("CRC-32", change(&mut |fingerprint| fingerprint.crc ^= 1)),
        ("head", change(&mut |fingerprint| fingerprint.head.crc ^= 1)),
        ("shorter head", change(&mut |fingerprint| fingerprint.head.size -= 1)),
        ("head's bits", change(&mut |fingerprint| fingerprint.head_bits -= 1)),
        ("other history", change(&mut |fingerprint| fingerprint.history.reverse())),
        ("no history", change(&mut |fingerprint| fingerprint.history.clear())),
        ("tail", change(&mut |fingerprint| fingerprint.tail.crc ^= 1)),
        ("longer tail", change(&mut |fingerprint| fingerprint.tail.size += 1)),
        ("tail's bits", change(&mut |fingerprint| fingerprint.tail_bits += 8)),
        ("no run", change(&mut |fingerprint| fingerprint.runs.clear())),
        ("runs in another order", change(&mut |fingerprint| fingerprint.runs.reverse())),
        (
            "a run's hash",
            change(&mut |fingerprint| {
                if let Some(Run::Tokens { check, .. } | Run::Stored { check, .. }) =
                    fingerprint.runs.first_mut()
                {
                    *check ^= 1;
                }
            }),
        ),
    ] {
        assert!(bad.check(&good.stream).is_err(), "{what}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Streams of every kind: the self-check passes for what is right, with a fingerprint and without.
    #[test]
    fn what_is_right_passes(seed in any::<u64>()) {
        let mut random = fastrand::Rng::with_seed(seed);
        let (gz, bytes) = Maker::new(&mut random).file();
        let start = random.usize(..=bytes.len().min(2000));
        let size = bytes.len() - start - random.usize(..=(bytes.len() - start).min(2000));
        prop_assume!(size > 258);
        let spliced = splice(&gz, start, size);
        prop_assert!(spliced.contents == bytes[start..start + size]);
        prop_assert_eq!(spliced.check(&spliced.stream), Ok(()));
        let by_decompressing = Spliced { fingerprint: None, ..spliced };
        prop_assert_eq!(by_decompressing.check(&by_decompressing.stream), Ok(()));
    }

    /// Streams of every kind, with one bit changed: if the check passes, the contents are right nevertheless.
    #[test]
    fn what_passes_is_right(seed in any::<u64>()) {
        let mut random = fastrand::Rng::with_seed(seed);
        let (gz, bytes) = Maker::new(&mut random).file();
        prop_assume!(bytes.len() > 2000);
        let spliced = splice(&gz, 500, bytes.len() - 1000);
        for _ in 0..20 {
            let mut stream = spliced.stream.clone();
            let bit = random.usize(..stream.len() * 8);
            stream[bit / 8] ^= 1 << (bit % 8);
            if spliced.check(&stream).is_ok() {
                prop_assert!(zlib(&stream).as_ref() == Some(&spliced.contents), "bit {}", bit);
            }
        }
    }
}
