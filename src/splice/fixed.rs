//! The fixed codes, and the symbols for lengths and distances (RFC 1951 3.2.5 and 3.2.6).

use super::inflate::Token;
use super::output::Output;

/// The lengths of the fixed literal and length codes.
pub(super) const LITERAL_LENGTHS: [u8; 288] = {
    let mut lengths = [8; 288];
    let mut symbol = 144;
    while symbol < 280 {
        lengths[symbol] = if symbol < 256 { 9 } else { 7 };
        symbol += 1;
    }
    lengths
};
/// The lengths of the fixed distance codes.
pub(super) const DISTANCE_LENGTHS: [u8; 32] = [5; 32];

/// The first length or distance of a symbol, and its number of extra bits.
#[derive(Clone, Copy)]
pub(super) struct Range {
    pub(super) base: u16,
    pub(super) extra: u8,
}

/// The lengths that the symbols from 257 on stand for.
pub(super) const LENGTHS: [Range; 29] = {
    let mut ranges = [Range { base: 0, extra: 0 }; 29];
    let (mut symbol, mut base) = (0, 3);
    while symbol < 28 {
        let extra = if symbol < 8 { 0 } else { (symbol as u8 - 4) / 4 };
        ranges[symbol] = Range { base, extra };
        base += 1 << extra;
        symbol += 1;
    }
    // 258 has a symbol of its own, although it is in the range of the one before.
    ranges[28] = Range { base: 258, extra: 0 };
    ranges
};

/// The distances that the symbols stand for.
pub(super) const DISTANCES: [Range; 30] = {
    let mut ranges = [Range { base: 0, extra: 0 }; 30];
    let (mut symbol, mut base) = (0, 1);
    while symbol < 30 {
        let extra = if symbol < 4 { 0 } else { (symbol as u8 - 2) / 2 };
        ranges[symbol] = Range { base, extra };
        base += 1 << extra;
        symbol += 1;
    }
    ranges
};

/// BFINAL of a block's header.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum BlockPosition {
    /// More blocks follow.
    Middle,
    /// The stream's last block.
    Last,
}

/// Writes the header of a block of fixed codes.
pub(super) fn put_header(output: &mut Output, place: BlockPosition) {
    output.put(u32::from(place == BlockPosition::Last) | 1 << 1, 3);
}

/// Writes a token.
pub(super) fn put(output: &mut Output, token: Token) {
    match token {
        Token::Literal(byte) => put_literal(output, byte),
        Token::Copy { length, distance } => put_copy(output, length, distance),
        Token::End => put_end(output),
    }
}

/// Writes a literal.
pub(super) fn put_literal(output: &mut Output, byte: u8) {
    put_symbol(output, u32::from(byte));
}

/// Writes a copy of 3 to 258 bytes from a distance of 1 to 32768.
pub(super) fn put_copy(output: &mut Output, length: u16, distance: u16) {
    let mut put = |ranges: &[Range], value: u16, code: &mut dyn FnMut(&mut Output, u32)| {
        let symbol = ranges.partition_point(|range| range.base <= value).saturating_sub(1);
        code(output, u32::try_from(symbol).unwrap_or(0));
        let range = ranges[symbol];
        output.put(u32::from(value - range.base), u32::from(range.extra));
    };
    put(&LENGTHS, length, &mut |output, symbol| put_symbol(output, 257 + symbol));
    put(&DISTANCES, distance, &mut |output, symbol| put_code(output, symbol, 5));
}

/// Writes the end of the block.
pub(super) fn put_end(output: &mut Output) {
    put_symbol(output, 256);
}

/// RFC 1951 3.2.6
fn put_symbol(output: &mut Output, symbol: u32) {
    match symbol {
        0..=143 => put_code(output, 0b0011_0000 + symbol, 8),
        144..=255 => put_code(output, 0b1_1001_0000 + (symbol - 144), 9),
        256..=279 => put_code(output, symbol - 256, 7),
        _ => put_code(output, 0b1100_0000 + (symbol - 280), 8),
    }
}

/// Codes come with their highest bit first (RFC 1951 3.1.1).
fn put_code(output: &mut Output, code: u32, count: u32) {
    output.put(code.reverse_bits() >> (32 - count), count);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_the_rfc() {
        // RFC 1951 3.2.5, the tables' corners.
        let of = |range: Range| (range.base, range.extra);
        assert_eq!([0, 7, 8, 27, 28].map(|n| of(LENGTHS[n])), [(3, 0), (10, 0), (11, 1), (227, 5), (258, 0)]);
        assert_eq!([0, 3, 4, 29].map(|n| of(DISTANCES[n])), [(1, 0), (4, 0), (5, 1), (24577, 13)]);
    }

    #[test]
    fn what_is_written_is_read_by_others() {
        let mut output = Output::default();
        put_header(&mut output, BlockPosition::Middle);
        let mut expected = Vec::new();
        for byte in 0..=255 {
            put_literal(&mut output, byte);
            expected.push(byte);
        }
        put_end(&mut output);
        put_header(&mut output, BlockPosition::Last);
        for length in 3..=258 {
            for distance in [1, 2, 4, 5, 192, 193, 256, 257, 4097, 24577, 32768] {
                if usize::from(distance) <= expected.len() {
                    put_copy(&mut output, length, distance);
                    for _ in 0..length {
                        expected.push(expected[expected.len() - usize::from(distance)]);
                    }
                }
            }
        }
        put_end(&mut output);
        output.align();
        let mut found = Vec::new();
        let mut reader = flate2::read::DeflateDecoder::new(output.bytes());
        std::io::Read::read_to_end(&mut reader, &mut found).unwrap();
        assert!(found == expected);
    }
}
