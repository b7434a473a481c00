//! The unpacker and its recordings against zlib, over any DEFLATE stream.
//!
//! The first ten bytes say how often the stream is repeated, as a member of its own each time; where a file is in what is
//! unpacked, and in what pieces it is read; which bit of what is recorded is damaged then. The rest is the stream.
//!
//! What zlib takes must be taken with the same bytes. What is recorded must be one stream of just the file's bytes; its fingerprint,
//! if there is one, must find it right, and pass nothing that zlib does not find right. What zlib refuses must be refused.

#![no_main]

use std::io::Read;

use flate2::{Decompress, FlushDecompress, Status};
use libfuzzer_sys::fuzz_target;

// The module alone, so that nothing else of tfreg is built for it.
#[path = "../../src/splice/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the rest of tfreg uses all of it")]
mod splice;

use splice::{DeflateRecorder, Unpacker, StreamFingerprint};

/// More than this is not unpacked.
const MOST: usize = 1 << 20;

fuzz_target!(|input: &[u8]| {
    let Some((&[times, start_low, start_high, size @ .., piece, d0, d1, d2], stream)) = input.split_first_chunk::<10>()
    else {
        return;
    };
    let Some((bytes, taken)) = zlib(stream) else { return };
    let mut member = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    member.extend_from_slice(&stream[..taken.unwrap_or(stream.len())]);
    member.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    member.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    let times = usize::from(times % 8) + 1;
    let (gz, bytes) = (member.repeat(times), bytes.repeat(times));

    let start = usize::from(u16::from_le_bytes([start_low, start_high])).min(bytes.len());
    let size = (u32::from_le_bytes([size[0], size[1], size[2], 0]) as usize).min(bytes.len() - start);
    let unpacked = unpack(&gz, start, size, usize::from(piece) * 37 + 1);
    if taken.is_none() {
        assert!(unpacked.is_err(), "zlib refuses it");
        return;
    }
    let (found, recorded, fingerprint) = unpacked.expect("zlib takes it");
    assert!(found == bytes);
    let Some(mut recorded) = recorded else {
        assert!(size <= 258);
        return;
    };
    let is_right = |stream: &[u8]| {
        zlib(stream).is_some_and(|(found, taken)| {
            taken == Some(stream.len()) && found == bytes[start..start + size]
        })
    };
    assert!(is_right(&recorded));
    if let Some(fingerprint) = fingerprint {
        fingerprint.check(&mut recorded.as_slice()).expect("it is right");
        let bit = u32::from_le_bytes([d0, d1, d2, 0]) as usize % (recorded.len() * 8);
        recorded[bit / 8] ^= 1 << (bit % 8);
        assert!(fingerprint.check(&mut recorded.as_slice()).is_err() || is_right(&recorded));
    }
});

type Unpacked = (Vec<u8>, Option<Vec<u8>>, Option<StreamFingerprint>);

fn unpack(gz: &[u8], start: usize, size: usize, piece: usize) -> std::io::Result<Unpacked> {
    let recorder = DeflateRecorder::default();
    let mut unpacker = Unpacker::new(gz, recorder.clone());
    let (mut all, mut recorded) = (Vec::new(), Vec::new());
    unpacker.by_ref().take(start as u64).read_to_end(&mut all)?;
    recorder.record(size as u64);
    let mut buffer = vec![0; piece];
    while all.len() < start + size {
        let most = piece.min(start + size - all.len());
        let count = unpacker.read(&mut buffer[..most])?;
        if count == 0 {
            break;
        }
        all.extend_from_slice(&buffer[..count]);
        recorder.take(&mut recorded)?;
    }
    let recorded = recorder.is_complete().then_some(recorded);
    let fingerprint = recorder.take_fingerprint();
    unpacker.read_to_end(&mut all)?;
    Ok((all, recorded, fingerprint))
}

/// What zlib unpacks, and how many bytes the stream has, if zlib takes it; `None` where it is too much.
fn zlib(stream: &[u8]) -> Option<(Vec<u8>, Option<usize>)> {
    let mut inflate = Decompress::new(false);
    let mut out = Vec::new();
    loop {
        if out.len() > MOST {
            return None;
        }
        out.reserve(1 << 16);
        let (before_in, before_out) = (inflate.total_in(), inflate.total_out());
        let rest = &stream[before_in as usize..];
        match inflate.decompress_vec(rest, &mut out, FlushDecompress::None) {
            Ok(Status::StreamEnd) => return Some((out, Some(inflate.total_in() as usize))),
            Ok(_) if (before_in, before_out) != (inflate.total_in(), inflate.total_out()) => {}
            Ok(_) | Err(_) => return Some((out, None)),
        }
    }
}
