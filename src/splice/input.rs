//! Reads compressed data bit by bit.

use std::io::{self, Read};

use super::bits::Bits;
use super::{CHUNK, CUT_SHORT, Corrupt};

/// [`Input::fill`] makes at least this many bytes available, if the source has them: more than a block's header needs,
/// which has at most 3 + 14 + 19 × 3 + (286 + 30) × 14 bits (RFC 1951 3.2.7).
pub(super) const ENOUGH: usize = 1024;
/// Zero bytes after the last byte, so that eight bytes can be read where fewer are left.
const PADDING: usize = 16;
/// The size of the whole buffer; a constant, so that the compiler knows it.
pub(super) const SIZE: usize = CHUNK + PADDING;

/// A buffer of the source's bytes, and a register of the bits that were taken from it.
///
/// The register's lower `count` bits are the next ones; the bits above them are either zero or equal to the next bits
/// at `at`, so that a refill can combine whole words with it.
pub(super) struct Input {
    buffer: Vec<u8>,
    /// The next byte to go into the register.
    at: usize,
    /// The end of the source's bytes.
    end: usize,
    hold: u64,
    count: u32,
    /// Whether the source has ended.
    ended: bool,
    /// How many bytes of the source are no longer in `buffer`.
    gone: u64,
}

impl Input {
    pub(super) fn new() -> Self {
        Self { buffer: vec![0; SIZE], at: 0, end: 0, hold: 0, count: 0, ended: false, gone: 0 }
    }

    /// Whether so few bytes are left in memory that more must be read from the source.
    pub(super) fn is_low(&self) -> bool {
        !self.ended && self.end.saturating_sub(self.at) < ENOUGH
    }

    /// Whether too few bytes are in memory to start [`fast`](super::inflate::fast).
    pub(super) fn is_nearly_out(&self) -> bool {
        self.end.saturating_sub(self.at) <= 16
    }

    /// Reads from the source if few bytes are left. This changes all positions.
    pub(super) fn fill(&mut self, source: &mut impl Read) -> io::Result<()> {
        if !self.is_low() {
            return Ok(());
        }
        // The bits in the register are also kept in the buffer, because positions count from them.
        self.hold &= (1 << self.count) - 1;
        let from = self.at - self.count.div_ceil(8) as usize;
        self.buffer.copy_within(from..self.end, 0);
        self.at -= from;
        self.end -= from;
        self.gone += from as u64;
        while self.is_low() {
            match source.read(&mut self.buffer[self.end..CHUNK]) {
                Ok(0) => self.ended = true,
                Ok(count) => self.end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.buffer[self.end..self.end + PADDING].fill(0);
        Ok(())
    }

    /// Whether every bit has been taken and the source has no more.
    pub(super) fn is_at_end(&self) -> bool {
        self.ended && self.position() >= self.end * 8
    }

    /// An error if more bits were taken than there are.
    pub(super) fn check(&self) -> Result<(), Corrupt> {
        if self.position() > self.end * 8 { Err(CUT_SHORT) } else { Ok(()) }
    }

    /// The next bit's place in memory, in bits.
    pub(super) fn position(&self) -> usize {
        self.at * 8 - self.count as usize
    }

    /// The bits in memory from the position `from` to the next bit.
    pub(super) fn since(&self, from: usize) -> Bits<'_> {
        let at = self.gone * 8 + from as u64;
        Bits { source: &self.buffer[..self.end], from, to: self.position(), at }
    }

    /// The buffer with its padding, and the end of its bytes.
    pub(super) fn buffer(&self) -> Option<(&[u8; SIZE], usize)> {
        Some((self.buffer.first_chunk()?, self.end))
    }

    /// Fills the register to at least 56 bits; past the source's end they are zeros.
    pub(super) fn refill(&mut self) -> u64 {
        let word = self.buffer.get(self.at..).and_then(|rest| rest.first_chunk());
        self.hold |= word.map_or(0, |word| u64::from_le_bytes(*word)) << self.count;
        self.at += ((63 - self.count) / 8) as usize;
        self.count |= 0x38;
        self.hold
    }

    /// Drops bits of the register, which must have at least as many.
    pub(super) fn consume(&mut self, count: u32) {
        self.hold >>= count;
        self.count -= count;
    }

    /// Takes up to 32 bits, the first one being the lowest (RFC 1951 3.1.1).
    pub(super) fn take(&mut self, count: u32) -> u32 {
        let word = self.refill() & ((1 << count) - 1);
        self.consume(count);
        (word & 0xFFFF_FFFF) as u32
    }

    /// Drops bits up to the next whole byte.
    pub(super) fn align(&mut self) {
        self.consume(self.count & 7);
    }

    /// The whole bytes that come next, after [`Input::align`]; empties the register.
    pub(super) fn rest(&mut self) -> &[u8] {
        self.at -= (self.count / 8) as usize;
        self.count = 0;
        self.hold = 0;
        self.buffer.get(self.at..self.end).unwrap_or_default()
    }

    /// Drops bytes of [`Input::rest`].
    pub(super) fn skip(&mut self, bytes: usize) {
        self.at += bytes;
    }

    /// The register and its position, for a loop that keeps them in variables of its own.
    pub(super) fn register(&self) -> Register {
        Register { at: self.at, hold: self.hold, count: self.count }
    }

    /// Restores the values that [`Input::register`] returned.
    pub(super) fn set_register(&mut self, register: Register) {
        Register { at: self.at, hold: self.hold, count: self.count } = register;
    }
}

/// See [`Input`].
#[derive(Clone, Copy)]
pub(super) struct Register {
    pub(super) at: usize,
    pub(super) hold: u64,
    pub(super) count: u32,
}
