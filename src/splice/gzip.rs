//! Headers and trailers of gzip members (RFC 1952 2.3).

use std::io::{self, Read};

use super::input::Input;
use super::{CUT_SHORT, Corrupt};

/// The format has no limit for names and comments; Go's `compress/gzip` accepts none of 512 bytes or more.
const MAX_TEXT: usize = 511;
/// Zero bytes after the last member, as programs leave them that write in tape records: bsdtar pads to 10 KiB.
const MAX_PADDING: u64 = 1024 * 1024;

const FHCRC: u8 = 1 << 1;
const FEXTRA: u8 = 1 << 2;
const FNAME: u8 = 1 << 3;
const FCOMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0b1110_0000;

const NO_GZIP: Corrupt = Corrupt("there is no gzip header where one should begin");
const BEHIND: Corrupt =
    Corrupt("there is something behind the end of the gzip data that is neither gzip data nor zero bytes");

/// Reads a member's header; `None` if the data ends here, or only zero bytes follow. `is_first` says that no member
/// came before.
pub(super) fn read_header(
    input: &mut Input,
    source: &mut impl Read,
    is_first: bool,
) -> io::Result<Option<()>> {
    input.fill(source)?;
    if input.is_at_end() {
        return Ok(None);
    }
    if !is_first {
        match input.rest() {
            [0, ..] => {
                skip_padding(input, source)?;
                return Ok(None);
            }
            [0x1f, 0x8b, ..] => {}
            [0x1f] => return Err(CUT_SHORT.into()),
            _ => return Err(BEHIND.into()),
        }
    }
    let mut header = Header { input, source, seen: Vec::new() };
    let [id1, id2, method, flags] = header.take()?;
    if [id1, id2] != [0x1f, 0x8b] || method != 8 || flags & RESERVED != 0 {
        return Err(NO_GZIP.into());
    }
    // MTIME, XFL and OS say nothing about the contents.
    let _: [u8; 6] = header.take()?;
    if flags & FEXTRA != 0 {
        let length = u16::from_le_bytes(header.take()?);
        for _ in 0..length {
            let _: [u8; 1] = header.take()?;
        }
    }
    for text in [FNAME, FCOMMENT] {
        if flags & text != 0 {
            let mut length = 0;
            while header.take()? != [0] {
                length += 1;
                if length > MAX_TEXT {
                    return Err(Corrupt("a gzip header has a name or comment of more than 511 bytes").into());
                }
            }
        }
    }
    if flags & FHCRC != 0 {
        let found = crc32fast::hash(&header.seen).to_le_bytes();
        if header.take()? != [found[0], found[1]] {
            return Err(Corrupt("the gzip header's checksum is wrong").into());
        }
    }
    Ok(Some(()))
}

/// Skips zero bytes up to the end, as `gzip -t` does.
fn skip_padding(input: &mut Input, source: &mut impl Read) -> io::Result<()> {
    let mut seen = 0_u64;
    while !input.is_at_end() {
        let rest = input.rest();
        let count = rest.len();
        if rest.iter().any(|byte| *byte != 0) {
            return Err(BEHIND.into());
        }
        seen += count as u64;
        if seen > MAX_PADDING {
            return Err(Corrupt("there is more than 1 MiB of zero bytes behind the gzip data").into());
        }
        input.skip(count);
        input.fill(source)?;
    }
    Ok(())
}

/// A header's bytes, as they are read.
struct Header<'a, R> {
    input: &'a mut Input,
    source: &'a mut R,
    seen: Vec<u8>,
}

impl<R: Read> Header<'_, R> {
    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.input.fill(self.source)?;
        for byte in &mut bytes {
            *byte = self.input.take(8).to_le_bytes()[0];
        }
        self.input.check()?;
        self.seen.extend_from_slice(&bytes);
        Ok(bytes)
    }
}

/// Reads a member's trailer, and compares it with the decompressed contents.
pub(super) fn check_trailer(input: &mut Input, crc: u32, length: u64) -> Result<(), Corrupt> {
    input.align();
    let (expected_crc, expected_length) = (input.take(32), input.take(32));
    input.check()?;
    if expected_crc != crc {
        return Err(Corrupt("the gzip trailer's CRC-32 is not that of the contents"));
    }
    // ISIZE is the length modulo 2^32.
    if u64::from(expected_length) != length & 0xFFFF_FFFF {
        return Err(Corrupt("the gzip trailer's length is not that of the contents"));
    }
    Ok(())
}
