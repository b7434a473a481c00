//! Decompressed bytes on their way out, and those before them that copies refer to.

/// How far a copy reaches back at the most (RFC 1951 3.2.5).
pub(super) const HISTORY: usize = 32 * 1024;
/// Bytes that are decompressed before the window moves on: many, as it keeps the history by copying it.
const SPAN: usize = 256 * 1024;
/// Bytes that a token, or a copy in whole words, may go on behind where it should end.
pub(super) const SLACK: usize = 512;
/// The whole window; a constant, so that the compiler knows it.
pub(super) const SIZE: usize = HISTORY + SPAN + SLACK;

/// What was decompressed last. Indices are places in `bytes`.
pub(super) struct Window {
    pub(super) bytes: Vec<u8>,
    /// Where the next byte goes.
    pub(super) out: usize,
    /// The next byte to be given to the reader.
    given: usize,
    /// The first byte that a copy may refer to: the DEFLATE stream's first, if it is still here.
    pub(super) floor: usize,
    /// How far `bytes` is from the beginning of everything.
    base: u64,
}

impl Window {
    pub(super) fn new() -> Self {
        Self { bytes: vec![0; SIZE], out: 0, given: 0, floor: 0, base: 0 }
    }

    /// Bytes that were decompressed and are not given yet.
    pub(super) fn pending(&self) -> &[u8] {
        &self.bytes[self.given..self.out]
    }

    /// Gives as many pending bytes as `buffer` takes.
    pub(super) fn give(&mut self, buffer: &mut [u8]) -> usize {
        let count = buffer.len().min(self.out - self.given);
        buffer[..count].copy_from_slice(&self.bytes[self.given..self.given + count]);
        self.given += count;
        count
    }

    /// Makes room for up to `wanted` bytes; gives for how many there is. Everything must have been given.
    pub(super) fn make_room(&mut self, wanted: usize) -> usize {
        let end = self.bytes.len() - SLACK;
        if self.out + wanted > end && self.out > HISTORY {
            let from = self.out - HISTORY;
            self.bytes.copy_within(from..self.out, 0);
            self.base += from as u64;
            self.floor = self.floor.saturating_sub(from);
            self.given -= from;
            self.out = HISTORY;
        }
        wanted.min(end - self.out)
    }

    /// How far a place is from the beginning of everything.
    pub(super) fn absolute(&self, place: usize) -> u64 {
        self.base + place as u64
    }

    /// How far the next byte to be given is from the beginning of everything.
    pub(super) fn absolute_given(&self) -> u64 {
        self.absolute(self.given)
    }

    pub(super) fn push(&mut self, byte: u8) {
        self.bytes[self.out] = byte;
        self.out += 1;
    }

    /// Copies what is `distance` bytes back, where that is in the stream and `length` is one of a token.
    pub(super) fn repeat(&mut self, distance: usize, length: usize) {
        for at in self.out..self.out + length {
            self.bytes[at] = self.bytes[at - distance];
        }
        self.out += length;
    }
}
