//! Compares the unpacker and the recordings with zlib, over streams of every kind, damaged ones too.

pub(crate) mod encoder;

use std::io::Read;

use flate2::{Decompress, FlushDecompress, Status};
use proptest::prelude::*;

use super::bits::Bits;
use super::fingerprint::FingerprintBuilder;
use super::fixed::{self, BlockPosition};
use super::output::Output;
use super::window::HISTORY;
use super::{DeflateRecorder, Unpacker};
use encoder::{Maker, gzip};

/// A file in the unpacked stream: its first byte and its length.
type File = (usize, usize);
/// What was recorded of each file.
type Streams = Vec<Option<Vec<u8>>>;

/// Reads all of a gzip file in pieces of up to `piece` bytes, with recordings of `files`, which follow each other.
fn unpack(gz: &[u8], files: &[File], piece: usize) -> std::io::Result<(Vec<u8>, Streams)> {
    let recorder = DeflateRecorder::default();
    let mut unpacker = Unpacker::new(gz, recorder.clone());
    let (mut all, mut streams) = (Vec::new(), Vec::new());
    let mut read = |all: &mut Vec<u8>, count: usize, stream: &mut Vec<u8>| -> std::io::Result<bool> {
        let end = all.len() + count;
        while all.len() < end {
            let mut buffer = vec![0; piece.min(end - all.len())];
            let count = unpacker.read(&mut buffer)?;
            if count == 0 {
                return Ok(false);
            }
            all.extend_from_slice(&buffer[..count]);
            recorder.take(stream)?;
        }
        Ok(true)
    };
    for (start, size) in files {
        let before = start - all.len();
        read(&mut all, before, &mut Vec::new())?;
        recorder.record(*size as u64);
        let mut stream = Vec::new();
        if !read(&mut all, *size, &mut stream)? {
            return Ok((all, streams));
        }
        // One token may hold all of a very small file, which cannot be recorded then.
        assert!(recorder.is_complete() || *size <= 258, "all was read, so all is recorded");
        streams.push(recorder.is_complete().then_some(stream));
    }
    read(&mut all, usize::MAX / 2, &mut Vec::new())?;
    Ok((all, streams))
}

/// What a DEFLATE stream is decompressed to by zlib, if it ends exactly where its bytes end.
fn zlib(stream: &[u8]) -> Result<Vec<u8>, String> {
    match zlib_prefix(stream)? {
        (bytes, taken) if taken == stream.len() => Ok(bytes),
        _ => Err("it ends before its end".to_owned()),
    }
}

/// What zlib decompresses the stream to that the bytes begin with, and how many bytes that stream has.
pub(crate) fn zlib_prefix(stream: &[u8]) -> Result<(Vec<u8>, usize), String> {
    let mut inflate = Decompress::new(false);
    let mut out = Vec::with_capacity(1 << 16);
    loop {
        out.reserve(1 << 16);
        let rest = &stream[usize::try_from(inflate.total_in()).unwrap()..];
        let before = (inflate.total_in(), inflate.total_out());
        match inflate.decompress_vec(rest, &mut out, FlushDecompress::None) {
            Err(error) => return Err(error.to_string()),
            Ok(Status::StreamEnd) => return Ok((out, usize::try_from(inflate.total_in()).unwrap())),
            Ok(_) if before == (inflate.total_in(), inflate.total_out()) => {
                return Err("cut short".to_owned());
            }
            Ok(_) => {}
        }
    }
}

#[track_caller]
fn check(gz: &[u8], expected: &[u8], files: &[File], pieces: &[usize]) {
    let mut first: Option<Streams> = None;
    for piece in pieces {
        let (all, streams) = unpack(gz, files, *piece).unwrap();
        assert!(all == expected, "pieces of {piece}: other bytes");
        assert_eq!(streams.len(), files.len());
        for ((start, size), stream) in files.iter().zip(&streams) {
            let Some(stream) = stream else { continue };
            let found = zlib(stream).unwrap_or_else(|error| panic!("({start}, {size}) in {piece}: {error}"));
            assert!(found == expected[*start..start + size], "({start}, {size}) in {piece}: other bytes");
        }
        if let Some(first) = &first {
            assert!(*first == streams, "pieces of {piece}: what is recorded depends on how it is read");
        }
        first.get_or_insert(streams);
    }
}

/// Files of a stream of `len` bytes: some that meet, some with bytes between.
fn some_files(len: usize, random: &mut fastrand::Rng) -> Vec<File> {
    let mut files = Vec::new();
    let mut at = 0;
    while at < len && files.len() < 6 {
        at += *random.choice(&[0, 0, 1, 512, 700, 40_000]).unwrap();
        if at >= len {
            break;
        }
        let most = len - at;
        let size = match random.u8(0..6) {
            0 => most,
            1 => random.usize(0..=most.min(300)),
            2 => most.min(32_768 + random.usize(0..3) - 1),
            _ => random.usize(0..=most),
        };
        files.push((at, size));
        at += size;
    }
    files
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// Streams that were put together token by token: blocks of all kinds and sizes, codes of any shape, several members.
    #[test]
    fn any_stream_is_read_and_recorded(seed in any::<u64>(), piece in 1_usize..200_000) {
        let mut random = fastrand::Rng::with_seed(seed);
        let (gz, expected) = Maker::new(&mut random).file();
        let files = some_files(expected.len(), &mut random);
        check(&gz, &expected, &files, &[piece, 128 * 1024]);
    }

    /// Damage anywhere: the file is refused, or its contents are right nevertheless.
    #[test]
    fn damage_is_refused_or_harmless(seed in any::<u64>(), cut in any::<bool>(), byte in 1_u8..) {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut gz, expected) = Maker::new(&mut random).file();
        let files = some_files(expected.len(), &mut random);
        let at = random.usize(..gz.len());
        if cut { gz.truncate(at); } else { gz[at] ^= byte; }
        if let Ok((all, streams)) = unpack(&gz, &files, 5000) {
            prop_assert!(all == expected || (cut && expected.starts_with(&all)));
            for ((start, size), stream) in files.iter().zip(&streams) {
                let Some(stream) = stream else { continue };
                prop_assert!(zlib(stream).as_deref() == Ok(&expected[*start..start + size]));
            }
        }
    }

    /// Damage that no checksum detects: data that zlib accepts is accepted, with the same bytes, and data that zlib
    /// refuses is refused. So no zip has a stream in it that clients cannot read.
    #[test]
    fn what_zlib_refuses_is_refused(seed in any::<u64>(), flips in prop::collection::vec(0_u8..8, 0..4)) {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut stream, _) = Maker::new(&mut random).stream(3000);
        for bit in flips {
            // Most of it where the first header is.
            let most = if random.bool() { stream.len().min(80) } else { stream.len() };
            stream[random.usize(..most)] ^= 1 << bit;
        }
        if let Ok((bytes, taken)) = zlib_prefix(&stream) {
            let gz = gzip(&stream[..taken], &bytes, &mut random);
            let files = some_files(bytes.len(), &mut random);
            check(&gz, &bytes, &files, &[1000, 128 * 1024]);
        } else {
            let gz = gzip(&stream, &zlib_all(&stream), &mut random);
            prop_assert!(unpack(&gz, &[], 128 * 1024).is_err());
        }
    }

    /// Noise is refused without a panic, also where it looks like gzip.
    #[test]
    fn noise_does_no_harm(mut noise in prop::collection::vec(any::<u8>(), 0..2000), kind in 0_u8..3) {
        let mut gz = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
        if let Some(first) = noise.first_mut() { *first = *first & !7 | kind << 1 | 1; }
        gz.extend_from_slice(&noise);
        prop_assert!(unpack(&gz, &[(0, 1000)], 77).is_err());
    }

    /// What zlib-rs makes: every level, flushes of every kind, one or many members.
    #[test]
    fn what_zlib_makes_is_recorded(
        seed in any::<u64>(),
        level in 0_u32..=9,
        flush in 0_u8..4,
        members in 1_usize..4,
        piece in 1_usize..200_000,
    ) {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut gz, mut expected) = (Vec::new(), Vec::new());
        for _ in 0..members {
            let len = *random.choice(&[0, 1, 511, 32_767, 32_768, 32_769, 65_535, 131_072, 300_000]).unwrap();
            let bytes = encoder::text(len, &mut random);
            let mut deflate = flate2::Compress::new(flate2::Compression::new(level), false);
            let mut stream = Vec::with_capacity(2 * len + 70_000);
            for chunk in bytes.chunks(30_000) {
                let how = match flush {
                    0 => flate2::FlushCompress::None,
                    1 => flate2::FlushCompress::Partial,
                    2 => flate2::FlushCompress::Sync,
                    _ => flate2::FlushCompress::Full,
                };
                deflate.compress_vec(chunk, &mut stream, how).unwrap();
            }
            deflate.compress_vec(&[], &mut stream, flate2::FlushCompress::Finish).unwrap();
            gz.extend(gzip(&stream, &bytes, &mut random));
            expected.extend(bytes);
        }
        let files = some_files(expected.len(), &mut random);
        check(&gz, &expected, &files, &[piece, 128 * 1024]);
    }
}

/// What zlib finds in a stream before an error.
fn zlib_all(stream: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let _ = flate2::read::DeflateDecoder::new(stream).read_to_end(&mut out);
    out
}

#[test]
fn every_boundary() {
    let mut random = fastrand::Rng::with_seed(7);
    let bytes = encoder::text(200_000, &mut random);
    for level in [1, 6, 9] {
        let mut deflate = flate2::Compress::new(flate2::Compression::new(level), false);
        let mut stream = Vec::with_capacity(300_000);
        deflate.compress_vec(&bytes, &mut stream, flate2::FlushCompress::Finish).unwrap();
        let gz = gzip(&stream, &bytes, &mut random);
        for start in [0, 1, 2, 257, 258, 259, 512, 513, 32_767, 32_768, 32_769] {
            for size in [0, 1, 2, 3, 257, 258, 259, 32_767, 32_768, 32_769, 33_026, 131_072] {
                check(&gz, &bytes, &[(start, size)], &[4096]);
            }
        }
        check(&gz, &bytes, &[(0, bytes.len())], &[1, 4096, bytes.len()]);
    }
}

#[test]
fn blocks_without_a_byte_are_left_out() {
    let mut random = fastrand::Rng::with_seed(1);
    let bytes = encoder::text(1000, &mut random);
    let mut deflate = flate2::Compress::new(flate2::Compression::new(6), false);
    let mut stream = Vec::with_capacity(1 << 20);
    for byte in bytes.chunks(1) {
        deflate.compress_vec(byte, &mut stream, flate2::FlushCompress::Sync).unwrap();
    }
    deflate.compress_vec(&[], &mut stream, flate2::FlushCompress::Finish).unwrap();
    let gz = gzip(&stream, &bytes, &mut random);
    check(&gz, &bytes, &[(0, 1000)], &[1, 1000]);
    let (_, streams) = unpack(&gz, &[(0, 1000)], 1000).unwrap();
    let recorded = streams[0].as_ref().unwrap().len();
    assert!(recorded < stream.len() / 2, "{recorded} of {}", stream.len());
}

#[test]
fn a_block_that_unzip_refuses_is_encoded_anew() {
    let mut random = fastrand::Rng::with_seed(11);
    let bytes: Vec<u8> = (0..200_000_u32).map(|nth| (nth * 7 % 251) as u8).collect();
    let odd = encoder::without_distances(&bytes);
    assert!(zlib(&odd).as_ref() == Ok(&bytes), "zlib takes it");
    let gz = gzip(&odd, &bytes, &mut random);
    // The whole file, and one that begins and one that ends in the middle of the block.
    for file in [(0, 200_000), (300, 199_700), (0, 100_000), (1000, 100_000)] {
        check(&gz, &bytes, &[file], &[1000, 128 * 1024]);
        let (_, streams) = unpack(&gz, &[file], 5000).unwrap();
        let stream = streams[0].as_ref().unwrap();
        assert_eq!(stream[0] & 7, 0b010, "{file:?}: a block of fixed codes");
    }
    // Around it everything is copied as ever: the whole is little larger than its parts.
    let text = encoder::text(300_000, &mut random);
    let mut deflate = flate2::Compress::new(flate2::Compression::new(6), false);
    let mut usual = Vec::with_capacity(400_000);
    deflate.compress_vec(&text, &mut usual, flate2::FlushCompress::Finish).unwrap();
    let usual = gzip(&usual, &text, &mut random);
    let all = [usual.as_slice(), &gz, &usual].concat();
    let contents = [text.as_slice(), &bytes, &text].concat();
    check(&all, &contents, &[(0, contents.len())], &[1000, 128 * 1024]);
    let (_, streams) = unpack(&all, &[(0, contents.len())], 5000).unwrap();
    let spliced = streams[0].as_ref().unwrap().len();
    assert!(spliced < 2 * usual.len() + 225_000 + 1000, "{spliced}");
    let recorder = DeflateRecorder::default();
    let mut unpacker = Unpacker::new(all.as_slice(), recorder.clone());
    recorder.record(contents.len() as u64);
    unpacker.read_to_end(&mut Vec::new()).unwrap();
    assert!(
        recorder.is_complete() && recorder.take_fingerprint().is_none(),
        "it is decompressed to check it"
    );
}

#[test]
fn wrong_trailers_and_headers_are_refused() {
    let mut random = fastrand::Rng::with_seed(2);
    let good = gzip(&[3, 0], b"", &mut random);
    assert_eq!(unpack(&good, &[], 10).unwrap().0, b"");
    let plain = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..], &[3, 0, 0, 0, 0, 0, 0, 0, 0, 0]].concat();
    assert!(unpack(&plain, &[], 10).is_ok());
    for (at, value, said) in [
        (0, 0x1e, "no gzip header"),
        (2, 7, "no gzip header"),
        (3, 0x20, "no gzip header"),
        (3, 2, "header's checksum"),
        (10, 7, "no known type"),
        (10, 1, "stored block's length"),
        (12, 1, "CRC-32"),
        (16, 1, "trailer's length"),
    ] {
        let mut bad = plain.clone();
        bad[at] = value;
        let error = unpack(&bad, &[], 10).unwrap_err();
        assert!(error.to_string().contains(said), "{at}: {error}");
    }
    for end in 0..plain.len() {
        let error = unpack(&plain[..end], &[], 10).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof, "{end}: {error}");
    }
    for behind in [&b"x"[..], &[0, 1], &[0, 0x1f, 0x8b], &vec![0; (1 << 20) + 1], &plain[..1], &plain[..5]] {
        assert!(unpack(&[&plain, behind].concat(), &[], 10).is_err(), "{}", behind.len());
    }
    // As bsdtar leaves them, and `gzip -t` takes them.
    for zeros in [1, 512, 10_000, 1 << 20] {
        assert_eq!(unpack(&[plain.as_slice(), &vec![0; zeros]].concat(), &[], 10).unwrap().0, b"", "{zeros}");
    }
    // Go reads no name or comment of 512 bytes.
    for (length, is_read) in [(511, true), (512, false)] {
        let header = [&[0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3][..], &vec![b'n'; length], &[0]].concat();
        assert_eq!(unpack(&[&header, &plain[10..]].concat(), &[], 10).is_ok(), is_read, "{length}");
    }
}

/// A gzip file of a block of fixed codes for every byte, with as many empty ones behind each, and its contents.
fn tiny_blocks(count: usize, empty: usize) -> (Vec<u8>, Vec<u8>) {
    let mut output = Output::default();
    let bytes: Vec<u8> = (0..count).map(|nth| (nth % 251) as u8).collect();
    for byte in &bytes {
        fixed::put_header(&mut output, BlockPosition::Middle);
        fixed::put_literal(&mut output, *byte);
        fixed::put_end(&mut output);
        for _ in 0..empty {
            fixed::put_header(&mut output, BlockPosition::Middle);
            fixed::put_end(&mut output);
        }
    }
    fixed::put_header(&mut output, BlockPosition::Last);
    fixed::put_end(&mut output);
    output.align();
    (gzip(output.bytes(), &bytes, &mut fastrand::Rng::with_seed(3)), bytes)
}

#[test]
fn a_fingerprint_is_small_whatever_the_blocks() {
    for (count, empty, most_runs) in [(200_000, 0, 10), (50_000, 1, 50_000), (40_000, 9, 40_000)] {
        let (gz, bytes) = tiny_blocks(count, empty);
        let recorder = DeflateRecorder::default();
        let mut unpacker = Unpacker::new(gz.as_slice(), recorder.clone());
        recorder.record(count as u64);
        let (mut found, mut stream) = (Vec::new(), Vec::new());
        unpacker.read_to_end(&mut found).unwrap();
        recorder.take(&mut stream).unwrap();
        assert!(found == bytes && zlib(&stream).is_ok_and(|found| found == bytes));
        let fingerprint = recorder.take_fingerprint().unwrap();
        assert!(fingerprint.check(&mut stream.as_slice()).is_ok());
        assert!(fingerprint.runs.len() <= most_runs, "{count}, {empty}: {} runs", fingerprint.runs.len());
    }
}

/// If the conditions of the proof do not hold, because of a wrong caller, there is no fingerprint.
#[test]
fn there_is_no_fingerprint_without_what_the_check_needs() {
    let before = vec![7; HISTORY];
    let header = [0b010_u8; 4];
    let bits = |from: usize, to: usize| Bits { source: &header, from, to, at: from as u64 };
    // A stream whose head is 32 KiB, or less, then a block, of which bits may be missing, then the tail.
    let fingerprint = |head: usize, first: Bits<'_>, rest: Option<Bits<'_>>| {
        let mut watch = FingerprintBuilder::new(100_000);
        watch.gives(&vec![7; head]);
        watch.block_begins(Some(&first), &before, Some(80));
        watch.tokens(&rest?, b"x", true);
        watch.gives(&vec![7; HISTORY]);
        watch.block_begins(None, &before, Some(100));
        watch.finish(200)
    };
    assert_eq!(fingerprint(HISTORY, bits(0, 3), Some(bits(3, 20))).unwrap().runs.len(), 1);
    let later = fingerprint(HISTORY - 1, bits(0, 3), Some(bits(3, 20))).unwrap();
    assert!(later.runs.is_empty() && later.head.size > HISTORY as u64, "the block is the head's then");
    assert!(fingerprint(HISTORY, bits(0, 3), Some(bits(4, 20))).is_none(), "a bit that was not seen");
    assert!(fingerprint(HISTORY, bits(0, 3), Some(bits(3, 33))).is_none(), "bits that are not there");
    assert!(fingerprint(HISTORY, bits(0, 0), Some(bits(0, 20))).is_none(), "a block without a header");
    // BFINAL makes no difference, another bit does.
    let run = |byte: u8| {
        let source = [byte, 0, 0, 0];
        let header = Bits { source: &source, from: 0, to: 3, at: 0 };
        fingerprint(HISTORY, header, Some(bits(3, 20))).unwrap().runs
    };
    assert_eq!(run(0b010), run(0b011));
    assert_ne!(run(0b010), run(0b000));
}
