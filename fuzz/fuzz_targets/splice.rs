//! The unpacker and its recordings against zlib, over any DEFLATE stream.
//!
//! The first five bytes say where a file is in the unpacked stream and in what pieces it is read; the rest is the stream.
//! What zlib takes must be taken with the same bytes, and what is recorded must be one stream of just the file's bytes.
//! What zlib refuses must be refused.

#![no_main]

use std::io::Read;

use flate2::{Decompress, FlushDecompress, Status};
use libfuzzer_sys::fuzz_target;

// The module alone, so that nothing else of tfreg is built for it.
#[path = "../../src/splice/mod.rs"]
mod splice;

use splice::{Tape, Unpacker};

/// More than this is not unpacked.
const MOST: usize = 1 << 20;

fuzz_target!(|input: &[u8]| {
    let Some((&[start_low, start_high, size_low, size_high, piece], stream)) = input.split_first_chunk() else {
        return;
    };
    let zlib = zlib(stream);
    let Some((bytes, taken)) = zlib else { return };
    let mut gz = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    gz.extend_from_slice(&stream[..taken.unwrap_or(stream.len())]);
    gz.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    gz.extend_from_slice(&(bytes.len() as u32).to_le_bytes());

    let start = usize::from(u16::from_le_bytes([start_low, start_high])).min(bytes.len());
    let size = (usize::from(u16::from_le_bytes([size_low, size_high])) * 4).min(bytes.len() - start);
    let unpacked = unpack(&gz, start, size, usize::from(piece) * 37 + 1);
    if taken.is_none() {
        assert!(unpacked.is_err(), "zlib refuses it");
        return;
    }
    let (found, recorded) = unpacked.expect("zlib takes it");
    assert!(found == bytes);
    if let Some(recorded) = recorded {
        let (found, taken) = self::zlib(&recorded).expect("it is as long as before");
        assert!(taken == Some(recorded.len()) && found == bytes[start..start + size]);
    } else {
        assert!(size <= 258);
    }
});

type Unpacked = (Vec<u8>, Option<Vec<u8>>);

fn unpack(gz: &[u8], start: usize, size: usize, piece: usize) -> std::io::Result<Unpacked> {
    let tape = Tape::default();
    let mut unpacker = Unpacker::new(gz, tape.clone());
    let (mut all, mut recorded) = (Vec::new(), Vec::new());
    unpacker.by_ref().take(start as u64).read_to_end(&mut all)?;
    tape.record(size as u64);
    let mut buffer = vec![0; piece];
    while all.len() < start + size {
        let most = piece.min(start + size - all.len());
        let count = unpacker.read(&mut buffer[..most])?;
        if count == 0 {
            break;
        }
        all.extend_from_slice(&buffer[..count]);
        tape.take(&mut recorded)?;
    }
    let recorded = tape.is_complete().then_some(recorded);
    unpacker.read_to_end(&mut all)?;
    Ok((all, recorded))
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
