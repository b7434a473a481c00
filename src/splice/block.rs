//! The headers of blocks (RFC 1951 3.2.3 to 3.2.7).

use super::bits::Kept;
use super::fixed::{DISTANCE_LENGTHS, DISTANCES, LENGTHS, LITERAL_LENGTHS, Range};
use super::huffman::{self, Code, END, INVALID, Incomplete, LITERAL};
use super::input::Input;
use super::{Corrupt, inflate};

/// What follows a block's header.
pub(super) enum BlockBody {
    /// The bytes of a stored block: how many.
    Stored(usize),
    /// Tokens in the codes that were read into [`Codes`].
    Tokens,
}

/// The width of the tables: wider ones are slower to fill than they save.
pub(super) const LITERAL_WIDTH: usize = 11;
pub(super) const DISTANCE_WIDTH: usize = 8;
/// Number of entries in a table: a power of two, so that any index can be masked into range. zlib's `enough` says that
/// 288 codes of up to 15 bits need 2342 of them with a main table of 11 bits, and 30 codes with one of 8 bits need 402.
pub(super) const LITERAL_PLACES: usize = 4096;
pub(super) const DISTANCE_PLACES: usize = 512;

/// The codes of a block, as tables.
pub(super) struct Tables {
    pub(super) literals: [u32; LITERAL_PLACES],
    pub(super) distances: [u32; DISTANCE_PLACES],
}

/// The codes of a block.
pub(super) struct Codes {
    pub(super) tables: Box<Tables>,
    /// The end-of-block code.
    pub(super) end: Code,
    /// Whether they are the fixed codes.
    fixed: bool,
    /// Whether every common reader decodes the block; see [`is_common`].
    pub(super) common: bool,
}

impl Codes {
    pub(super) fn new() -> Self {
        Self {
            tables: Box::new(Tables {
                literals: [INVALID; LITERAL_PLACES],
                distances: [INVALID; DISTANCE_PLACES],
            }),
            end: Code::default(),
            fixed: false,
            common: true,
        }
    }

    fn set(&mut self, literals: &[u8], distances: &[u8]) -> Result<(), Corrupt> {
        self.fixed = false;
        huffman::build(
            &mut self.tables.literals,
            LITERAL_WIDTH,
            literals,
            &LITERAL_SYMBOLS,
            Incomplete::Single,
        )?;
        huffman::build(
            &mut self.tables.distances,
            DISTANCE_WIDTH,
            distances,
            &DISTANCE_SYMBOLS,
            Incomplete::Single,
        )?;
        self.end = huffman::code_of(256, literals);
        Ok(())
    }
}

/// The entries of the literal and length alphabet, in the form that `huffman` expects.
const LITERAL_SYMBOLS: [u32; 288] = {
    let mut symbols = [INVALID; 288];
    let mut symbol = 0;
    while symbol < 256 {
        symbols[symbol] = LITERAL | (symbol as u32) << 16;
        symbol += 1;
    }
    symbols[256] = END;
    with_ranges(&mut symbols, 257, &LENGTHS);
    symbols
};
const DISTANCE_SYMBOLS: [u32; 32] = {
    let mut symbols = [INVALID; 32];
    with_ranges(&mut symbols, 0, &DISTANCES);
    symbols
};

const fn with_ranges(symbols: &mut [u32], first: usize, ranges: &[Range]) {
    let mut at = 0;
    while at < ranges.len() {
        symbols[first + at] = (ranges[at].base as u32) << 16 | ranges[at].extra as u32;
        at += 1;
    }
}

/// Reads a block's header, and its codes into `codes`; returns whether it is the stream's last block. The header of a
/// block of tokens is stored in `header`.
///
/// `input` must have enough bytes for a header, or all that are left.
pub(super) fn read(
    input: &mut Input,
    codes: &mut Codes,
    header: &mut Kept,
) -> Result<(bool, BlockBody), Corrupt> {
    let from = input.position();
    let is_last = input.take(1) == 1;
    let kind = input.take(2);
    let body = match kind {
        0 => BlockBody::Stored(stored(input)?),
        1 => {
            if !codes.fixed {
                codes.set(&LITERAL_LENGTHS, &DISTANCE_LENGTHS)?;
                (codes.fixed, codes.common) = (true, true);
            }
            BlockBody::Tokens
        }
        2 => {
            dynamic(input, codes)?;
            BlockBody::Tokens
        }
        _ => return Err(Corrupt("a block is of no known type")),
    };
    input.check()?;
    if matches!(body, BlockBody::Tokens) {
        header.keep_header(&input.since(from));
    }
    Ok((is_last, body))
}

/// RFC 1951 3.2.4
fn stored(input: &mut Input) -> Result<usize, Corrupt> {
    input.align();
    let length = input.take(16);
    let inverted = input.take(16);
    input.check()?;
    if length != !inverted & 0xFFFF {
        return Err(Corrupt("a stored block's length is not what it is checked against"));
    }
    Ok(length as usize)
}

/// The order in which the lengths of the code for lengths come (RFC 1951 3.2.7).
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
/// The longest of these codes, so that one table holds them all.
const ORDER_WIDTH: usize = 7;
const ORDER_SYMBOLS: [u32; 19] = {
    let mut symbols = [0; 19];
    let mut symbol = 0;
    while symbol < 19 {
        symbols[symbol] = (symbol as u32) << 16;
        symbol += 1;
    }
    symbols
};

/// RFC 1951 3.2.7
fn dynamic(input: &mut Input, codes: &mut Codes) -> Result<(), Corrupt> {
    let literals = input.take(5) as usize + 257;
    let distances = input.take(5) as usize + 1;
    let count = input.take(4) as usize + 4;
    if literals > 286 || distances > 30 {
        return Err(Corrupt("a block has more codes than there are symbols"));
    }
    let mut order = [0_u8; 19];
    for symbol in ORDER.iter().take(count) {
        order[*symbol] = input.take(3).to_le_bytes()[0];
    }
    let mut table = [INVALID; 1 << ORDER_WIDTH];
    huffman::build(&mut table, ORDER_WIDTH, &order, &ORDER_SYMBOLS, Incomplete::Refused)?;

    let mut lengths = [0_u8; 286 + 30];
    let all = literals + distances;
    let mut at = 0;
    while at < all {
        let entry = table[(input.refill() & ((1 << ORDER_WIDTH) - 1)) as usize];
        input.consume(huffman::bits(entry));
        let (length, repeat) = match huffman::value(entry) {
            16 => {
                let before =
                    at.checked_sub(1).ok_or(Corrupt("a code length repeats one that is not there"))?;
                (lengths[before], input.take(2) + 3)
            }
            17 => (0, input.take(3) + 3),
            18 => (0, input.take(7) + 11),
            length => (length.to_le_bytes()[0], 1),
        };
        let end = at + repeat as usize;
        if end > all {
            return Err(Corrupt("a code length repeats too often"));
        }
        lengths[at..end].fill(length);
        at = end;
    }
    input.check()?;
    if lengths[inflate::END_SYMBOL] == 0 {
        return Err(Corrupt("a block's code has no end"));
    }
    let (literals, distances) = lengths[..all].split_at(literals);
    codes.common = is_common(literals, distances);
    codes.set(literals, distances)
}

/// Whether every common zip reader decodes a block with these code lengths, which are ones that zlib accepts.
///
/// Source: Info-ZIP UnZip 6.0, `inflate_dynamic`: `if (bd == 0 && nl > 257) … incomplete distance tree`. So it refuses
/// a block that has no distance code but has codes for lengths, even if no length is used and the block is all
/// literals, which RFC 1951 3.2.7 allows. UnZip, 7-Zip, libarchive, Go and zlib were compared over the unusual codes
/// that zlib accepts, and differ in nothing else. All of them read a single distance code of one bit, which Go writes.
fn is_common(literals: &[u8], distances: &[u8]) -> bool {
    literals.len() == inflate::END_SYMBOL + 1 || distances.iter().any(|length| *length > 0)
}
