//! Tokens: literals, copies and the end of the block (RFC 1951 3.2.3).
//!
//! Two functions decode them. [`Token::read`] decodes one token and returns it. [`fast`] decodes all tokens up to a
//! limit without returning them; a publish spends most of its time there.

use super::block::{Codes, DISTANCE_PLACES, DISTANCE_WIDTH, LITERAL_PLACES, LITERAL_WIDTH};
use super::huffman::{END, FURTHER, LITERAL, SPECIAL, bits, further, with_extra};
use super::input::{Input, Register};
use super::window::{SIZE, Window};
use super::{CUT_SHORT, Corrupt, window};

/// The symbol that ends a block.
pub(super) const END_SYMBOL: usize = 256;

const BAD_LENGTH: Corrupt = Corrupt("a literal or length has a code that means nothing");
const BAD_DISTANCE: Corrupt = Corrupt("a distance has a code that means nothing");
const TOO_FAR: Corrupt = Corrupt("a copy reaches back behind the beginning");

/// Bytes that one round of [`fast`] can give: three literals and a copy.
pub(super) const ROUND: usize = 3 + 258;
/// Bytes of input that a round needs: two refills of eight bytes, the second of which begins seven bytes after the
/// first.
const ROUND_INPUT: usize = 16;
/// Copies are made in pieces of at most this size, so they write up to `PIECE - 1` bytes past their end.
const PIECE: usize = 32;
const _: () = assert!(window::SLACK >= ROUND + PIECE);

/// One token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Literal(u8),
    Copy { length: u16, distance: u16 },
    End,
}

impl Token {
    /// Decodes the next token.
    pub(super) fn read(codes: &Codes, input: &mut Input) -> Result<Self, Corrupt> {
        let (entry, word) = symbol(&codes.tables.literals, LITERAL_WIDTH, input);
        if entry & LITERAL != 0 {
            input.check()?;
            return Ok(Self::Literal(entry.to_le_bytes()[2]));
        }
        if entry & SPECIAL != 0 {
            input.check()?;
            return if entry & END == END { Ok(Self::End) } else { Err(BAD_LENGTH) };
        }
        let length = with_extra(entry, word);
        let (entry, word) = symbol(&codes.tables.distances, DISTANCE_WIDTH, input);
        // Checked before the code is: if there are too few bits, that is the error to report.
        input.check()?;
        if entry & SPECIAL != 0 {
            return Err(BAD_DISTANCE);
        }
        let distance = with_extra(entry, word);
        Ok(Self::Copy {
            length: u16::try_from(length).map_err(|_| BAD_LENGTH)?,
            distance: u16::try_from(distance).map_err(|_| BAD_DISTANCE)?,
        })
    }

    /// Appends the bytes of the token to the window.
    pub(super) fn apply(self, window: &mut Window) -> Result<(), Corrupt> {
        match self {
            Self::Literal(byte) => window.push(byte),
            Self::Copy { length, distance } => {
                if usize::from(distance) > window.out - window.floor {
                    return Err(TOO_FAR);
                }
                window.repeat(distance.into(), length.into());
            }
            Self::End => {}
        }
        Ok(())
    }
}

/// Decodes the next symbol; returns its entry, and the bits from the point where its last table was entered.
fn symbol(table: &[u32], width: usize, input: &mut Input) -> (u32, u64) {
    let mask = (1 << width) - 1;
    let mut word = input.refill();
    let mut entry = table[(word & mask) as usize];
    if entry & FURTHER == FURTHER {
        input.consume(bits(entry));
        word = input.refill();
        entry = table[further(entry, word) & (table.len() - 1)];
    }
    input.consume(bits(entry));
    (entry, word)
}

/// Decodes tokens until the block ends (then it returns true), `out` has reached `limit`, or the input may not suffice
/// for another round.
///
/// `limit` must be at least [`ROUND`] before the end of the window's capacity.
#[expect(clippy::too_many_lines, reason = "one loop, whose parts share what it keeps in registers")]
pub(super) fn fast(
    codes: &Codes,
    input: &mut Input,
    window: &mut Window,
    limit: usize,
) -> Result<bool, Corrupt> {
    let Register { mut at, mut hold, mut count } = input.register();
    let Some((source, source_end)) = input.buffer() else { return Ok(false) };
    let (floor, mut out) = (window.floor, window.out);
    let Some(target) = window.bytes.first_chunk_mut::<SIZE>() else { return Ok(false) };
    let tables = &*codes.tables;
    let source_limit = source_end.saturating_sub(ROUND_INPUT);
    let mut outcome = Ok(false);

    'rounds: {
        // Fills the register to at least 56 bits.
        macro_rules! refill {
            () => {
                let Some(word) = source.get(at..).and_then(|rest| rest.first_chunk::<8>()) else {
                    // Not before the limit.
                    outcome = Err(CUT_SHORT);
                    break 'rounds;
                };
                hold |= u64::from_le_bytes(*word) << count;
                at += ((63 - count) >> 3) as usize;
                count |= 56;
            };
        }
        // Drops the bits of an entry; returns the register as it was before.
        macro_rules! consume {
            ($entry:expr) => {{
                let word = hold;
                hold >>= $entry & 63;
                count -= $entry & 63;
                word
            }};
        }
        macro_rules! literal_entry {
            () => {
                tables.literals[(hold & ((1 << LITERAL_WIDTH) - 1)) as usize]
            };
        }
        macro_rules! push {
            ($entry:expr) => {
                target[out] = $entry.to_le_bytes()[2];
                out += 1;
            };
        }
        macro_rules! is_at_limit {
            () => {
                out >= limit || at >= source_limit
            };
        }
        // A round begins with a full register and the entry of its first code.
        macro_rules! begin {
            () => {{
                refill!();
                literal_entry!()
            }};
        }
        macro_rules! begin_unless_at_limit {
            () => {{
                if is_at_limit!() {
                    break 'rounds;
                }
                begin!()
            }};
        }
        let mut entry = begin_unless_at_limit!();
        loop {
            let mut word = consume!(entry);
            if entry & LITERAL != 0 {
                push!(entry);
                entry = literal_entry!();
                word = consume!(entry);
                if entry & LITERAL != 0 {
                    push!(entry);
                    entry = literal_entry!();
                    word = consume!(entry);
                    if entry & LITERAL != 0 {
                        push!(entry);
                        entry = begin_unless_at_limit!();
                        continue;
                    }
                }
            }
            // At most 33 bits are gone here, so there are 23 for the further table's 4 and the length's extra 5.
            if entry & SPECIAL != 0 {
                if entry & FURTHER == FURTHER {
                    entry = tables.literals[further(entry, hold) & (LITERAL_PLACES - 1)];
                    word = consume!(entry);
                    if entry & LITERAL != 0 {
                        push!(entry);
                        entry = begin_unless_at_limit!();
                        continue;
                    }
                }
                if entry & SPECIAL != 0 {
                    outcome = if entry & END == END { Ok(true) } else { Err(BAD_LENGTH) };
                    break 'rounds;
                }
            }
            let length = with_extra(entry, word);
            // A distance has up to 15 bits and 13 extra ones.
            if count < 28 {
                refill!();
            }
            entry = tables.distances[(hold & ((1 << DISTANCE_WIDTH) - 1)) as usize];
            word = consume!(entry);
            if entry & SPECIAL != 0 {
                if entry & FURTHER == FURTHER {
                    entry = tables.distances[further(entry, hold) & (DISTANCE_PLACES - 1)];
                    word = consume!(entry);
                }
                if entry & SPECIAL != 0 {
                    outcome = Err(BAD_DISTANCE);
                    break 'rounds;
                }
            }
            let distance = with_extra(entry, word);
            if distance > out - floor {
                outcome = Err(TOO_FAR);
                break 'rounds;
            }
            let to = out;
            out += length;
            let is_last = is_at_limit!();
            if !is_last {
                entry = begin!();
            }
            copy(target, to, distance, length);
            if is_last {
                break 'rounds;
            }
        }
    }
    window.out = out;
    input.set_register(Register { at, hold, count });
    outcome
}

/// Copies `length` bytes from `distance` before `out` to `out`; may write up to `PIECE - 1` bytes past them.
#[inline]
fn copy(target: &mut [u8; SIZE], out: usize, distance: usize, length: usize) {
    let end = out + length;
    match distance {
        PIECE.. => copy_by::<PIECE>(target, out - distance, out, end),
        8.. => copy_by::<8>(target, out - distance, out, end),
        1 => {
            let byte = target[out - 1];
            target[out..end].fill(byte);
        }
        _ => {
            for to in out..end {
                target[to] = target[to - distance];
            }
        }
    }
}

/// Copies the bytes from `from` on to `to..end`, in pieces of `N` bytes, which must not exceed the distance.
#[inline]
fn copy_by<const N: usize>(target: &mut [u8; SIZE], mut from: usize, mut to: usize, end: usize) {
    while let Some(piece) = target.get(from..).and_then(|rest| rest.first_chunk::<N>()).copied()
        && let Some(place) = target.get_mut(to..).and_then(|rest| rest.first_chunk_mut())
    {
        *place = piece;
        from += N;
        to += N;
        if to >= end {
            break;
        }
    }
}
