//! Builds the tables that decode a Huffman code from its code lengths.
//!
//! The codes are canonical (RFC 1951 3.2.2), so their lengths define them. A table has an entry for every value of the
//! next bits; codes that are longer than the table's width continue in a further table behind it. An entry is 32 bits:
//!
//! ```text
//!  31       16 15           12 11  8 7    0
//! ┌───────────┬───────────────┬─────┬──────┐
//! │ value     │ flags         │ len │ bits │
//! └───────────┴───────────────┴─────┴──────┘
//! value  the byte of a literal (with bit 31 set), the base of a length or distance, or where the further table begins
//! len    the bits of the code itself, without extra bits; of a further table, its width
//! bits   all bits to drop: the code and the extra bits behind it
//! ```

use super::Corrupt;

/// The longest code (RFC 1951 3.2.7).
const LONGEST: usize = 15;
/// Symbols of the largest alphabet.
const SYMBOLS: usize = 288;

/// The entry is a literal. Being the highest bit, it is part of the value, whose lower half is the byte.
pub(super) const LITERAL: u32 = 1 << 31;
/// The entry is not a symbol with a value, but one of the next three.
pub(super) const SPECIAL: u32 = 1 << 15;
/// The code continues in a further table.
pub(super) const FURTHER: u32 = SPECIAL | 1 << 14;
/// The end of the block.
pub(super) const END: u32 = SPECIAL | 1 << 13;
/// No symbol has this code, or none that may be used.
pub(super) const INVALID: u32 = SPECIAL | 1 << 12;

/// The bits that an entry drops.
pub(super) fn bits(entry: u32) -> u32 {
    entry & 0xFF
}

/// The value of an entry that is no literal.
pub(super) fn value(entry: u32) -> usize {
    (entry >> 16) as usize
}

/// The value of a length or distance: its base plus its extra bits, which follow the code in `word`.
pub(super) fn with_extra(entry: u32, word: u64) -> usize {
    let all = word & ((1 << bits(entry)) - 1);
    value(entry) + (all >> (entry >> 8 & 15)) as usize
}

/// The index of the entry in a further table, to which the entry `first` points.
pub(super) fn further(first: u32, word: u64) -> usize {
    let width = first >> 8 & 15;
    value(first) + (word & ((1 << width) - 1)) as usize
}

/// How an incomplete code is treated: one that has no symbol for some values of the next bits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Incomplete {
    /// Refused.
    Refused,
    /// Accepted if there is no code at all, or a single one of one bit, as zlib and Go do.
    Single,
}

/// The code of one symbol, as it is in the stream: its first bit is the lowest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Code {
    pub(super) bits: u32,
    pub(super) count: u32,
}

/// Fills `table`, of which the first 2^`width` entries are the main table.
///
/// `lengths` are those of all symbols in order, 0 for one that is not used; `symbols` are the symbols' entries, to
/// which the lengths are added. The table must have room for every further table that a code can need.
pub(super) fn build(
    table: &mut [u32],
    width: usize,
    lengths: &[u8],
    symbols: &[u32],
    incomplete: Incomplete,
) -> Result<(), Corrupt> {
    let mut counts = [0_usize; LONGEST + 1];
    for length in lengths {
        counts[usize::from(*length & 15)] += 1;
    }
    let used = lengths.len() - counts[0];
    counts[0] = 0;
    let mut left = 1_usize;
    for count in &counts[1..] {
        left = (left * 2).checked_sub(*count).ok_or(Corrupt("a Huffman code has too many codes"))?;
    }
    if left > 0 {
        let single = used == 0 || (used == 1 && counts[1] == 1);
        if incomplete == Incomplete::Refused || !single {
            return Err(Corrupt("a Huffman code is incomplete"));
        }
        table[..1 << width].fill(INVALID);
        if let Some(symbol) = lengths.iter().position(|length| *length == 1) {
            let entry = entry(symbols[symbol], 1);
            table[..1 << width].iter_mut().step_by(2).for_each(|slot| *slot = entry);
        }
        return Ok(());
    }
    let sorted = sort(lengths, &counts);
    fill(table, width, &counts, sorted[..used].iter().map(|symbol| symbols[usize::from(*symbol)]));
    Ok(())
}

/// The symbols in the order of their codes: by length, then by number.
fn sort(lengths: &[u8], counts: &[usize; LONGEST + 1]) -> [u16; SYMBOLS] {
    let mut next = [0; LONGEST + 1];
    for length in 1..LONGEST {
        next[length + 1] = next[length] + counts[length];
    }
    let mut sorted = [0; SYMBOLS];
    for (symbol, length) in (0_u16..).zip(lengths) {
        if *length > 0 {
            let place = &mut next[usize::from(*length & 15)];
            sorted[*place] = symbol;
            *place += 1;
        }
    }
    sorted
}

fn entry(symbol: u32, length: usize) -> u32 {
    let length = (length & 15) as u32;
    symbol + (length << 8) + length
}

/// The code after `code` of the same length: plus one, counted from the highest bit down, because codes are read from
/// there.
fn next(code: usize, length: usize) -> usize {
    let zeros = !code & ((1 << length) - 1);
    match zeros.checked_ilog2() {
        Some(highest) => code & ((1 << highest) - 1) | 1 << highest,
        None => code,
    }
}

/// Fills the tables of a complete code, of which `entries` are the symbols in order.
fn fill(
    table: &mut [u32],
    width: usize,
    counts: &[usize; LONGEST + 1],
    mut entries: impl Iterator<Item = u32>,
) {
    let mut code = 0;
    // The table of the codes so far is as wide as the longest of them; it doubles with every bit.
    let mut end = 1;
    for (length, count) in counts.iter().enumerate().take(width + 1).skip(1) {
        table.copy_within(..end, end);
        end *= 2;
        for symbol in entries.by_ref().take(*count) {
            table[code] = entry(symbol, length);
            code = next(code, length);
        }
    }
    let mut prefix = usize::MAX;
    let mut start = end;
    for length in width + 1..=LONGEST {
        for nth in 0..counts[length] {
            let Some(symbol) = entries.next() else { return };
            if code & ((1 << width) - 1) != prefix {
                prefix = code & ((1 << width) - 1);
                start = end;
                let further = further_width(counts, width, length, nth);
                end = start + (1 << further);
                let place = u32::try_from(start).unwrap_or(0) << 16;
                table[prefix] = place | FURTHER | (further as u32 & 15) << 8 | width as u32 & 15;
            }
            let entry = entry(symbol, length - width);
            let stride = 1 << (length - width);
            table[start + (code >> width)..end].iter_mut().step_by(stride).for_each(|slot| *slot = entry);
            code = next(code, length);
        }
    }
}

/// The width of a further table whose first code is the `nth` of its length: as wide as the codes that share its prefix.
fn further_width(counts: &[usize; LONGEST + 1], width: usize, length: usize, nth: usize) -> usize {
    let mut further = length - width;
    let mut used = counts[length] - nth;
    while used < 1 << further && width + further < LONGEST {
        further += 1;
        used = used * 2 + counts[width + further];
    }
    further
}

/// The code of one symbol, in a Huffman code that is complete or has this symbol only.
pub(super) fn code_of(symbol: usize, lengths: &[u8]) -> Code {
    let length = lengths.get(symbol).copied().unwrap_or(0);
    // Shorter codes come before it, each counting as several of its length, and so do earlier codes of its length.
    let mut before = 0_u32;
    for (other, other_length) in lengths.iter().enumerate() {
        let is_before = *other_length < length || (*other_length == length && other < symbol);
        if *other_length > 0 && is_before {
            before += 1 << (length - other_length);
        }
    }
    let count = u32::from(length);
    Code { bits: if count == 0 { 0 } else { before.reverse_bits() >> (32 - count) }, count }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Symbol n has the value n.
    fn numbered() -> Vec<u32> {
        (0..288).map(|symbol| symbol << 16).collect()
    }

    fn decode(table: &[u32], width: usize, code: Code) -> (usize, u32) {
        let first = table[code.bits as usize & ((1 << width) - 1)];
        if first & FURTHER != FURTHER {
            return (value(first), bits(first));
        }
        let second = table[further(first, u64::from(code.bits) >> width)];
        (value(second), bits(first) + bits(second))
    }

    #[test]
    fn the_example_of_the_rfc() {
        // RFC 1951 3.2.2: A to H with the lengths (3, 3, 3, 3, 3, 2, 4, 4) are 010, 011, 100, 101, 110, 00, 1110, 1111.
        let lengths = [3, 3, 3, 3, 3, 2, 4, 4];
        let expected = [0b010, 0b110, 0b001, 0b101, 0b011, 0b00, 0b0111, 0b1111];
        for (symbol, bits) in expected.into_iter().enumerate() {
            assert_eq!(code_of(symbol, &lengths), Code { bits, count: u32::from(lengths[symbol]) });
        }
        for width in 1..=5 {
            let mut table = vec![0; 64];
            build(&mut table, width, &lengths, &numbered(), Incomplete::Refused).unwrap();
            for (symbol, bits) in expected.into_iter().enumerate() {
                let count = u32::from(lengths[symbol]);
                assert_eq!(decode(&table, width, Code { bits, count }), (symbol, count), "{width}");
            }
        }
    }

    #[test]
    fn the_longest_codes_are_decoded() {
        // 1, 2, ... 14, 15, 15
        let mut lengths: Vec<u8> = (1..=15).collect();
        lengths.push(15);
        let mut table = vec![0; 4096];
        build(&mut table, 11, &lengths, &numbered(), Incomplete::Refused).unwrap();
        for symbol in 0..lengths.len() {
            let code = code_of(symbol, &lengths);
            assert_eq!(decode(&table, 11, code), (symbol, code.count));
        }
    }

    #[test]
    fn what_is_no_code_is_refused() {
        let built = |lengths: &[u8], incomplete| build(&mut [0; 2048], 7, lengths, &numbered(), incomplete);
        assert!(built(&[1, 1, 1], Incomplete::Single).is_err(), "too many");
        assert!(built(&[1, 2], Incomplete::Single).is_err(), "incomplete");
        assert!(built(&[2], Incomplete::Single).is_err(), "incomplete");
        assert!(built(&[1], Incomplete::Refused).is_err() && built(&[], Incomplete::Refused).is_err());
        assert!(built(&[1], Incomplete::Single).is_ok() && built(&[0], Incomplete::Single).is_ok());
        assert!(built(&[1, 1], Incomplete::Refused).is_ok());
    }
}
