//! Buffers decompressed bytes, and the bytes before them that copies refer to.

/// How far a copy reaches back at the most (RFC 1951 3.2.5).
pub(super) const HISTORY: usize = 32 * 1024;
/// Bytes that are decompressed before the window moves on: many, because moving copies the history.
const SPAN: usize = 256 * 1024;
/// Bytes by which a token, or a copy in whole words, may exceed its end.
pub(super) const SLACK: usize = 512;
/// The whole window; a constant, so that the compiler knows it.
pub(super) const SIZE: usize = HISTORY + SPAN + SLACK;

/// The bytes that were decompressed last. Positions are indices into `bytes`.
pub(super) struct Window {
    pub(super) bytes: Vec<u8>,
    /// Where the next byte goes.
    pub(super) out: usize,
    /// The next byte to be returned to the reader.
    given: usize,
    /// The first byte that a copy may refer to: the DEFLATE stream's first, if it is still here.
    pub(super) floor: usize,
    /// The position of the first of `bytes` in all decompressed data.
    base: u64,
}

impl Window {
    pub(super) fn new() -> Self {
        Self { bytes: vec![0; SIZE], out: 0, given: 0, floor: 0, base: 0 }
    }

    /// Bytes that were decompressed and not returned yet.
    pub(super) fn pending(&self) -> &[u8] {
        &self.bytes[self.given..self.out]
    }

    /// Copies as many pending bytes as fit into `buffer`.
    pub(super) fn give(&mut self, buffer: &mut [u8]) -> usize {
        let count = buffer.len().min(self.out - self.given);
        buffer[..count].copy_from_slice(&self.bytes[self.given..self.given + count]);
        self.given += count;
        count
    }

    /// Makes room for up to `wanted` bytes; returns how many fit. There must be no pending bytes.
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

    /// The position, in all decompressed data, of an index.
    pub(super) fn absolute(&self, place: usize) -> u64 {
        self.base + place as u64
    }

    /// The position, in all decompressed data, of the next byte to be returned.
    pub(super) fn absolute_given(&self) -> u64 {
        self.absolute(self.given)
    }

    pub(super) fn push(&mut self, byte: u8) {
        self.bytes[self.out] = byte;
        self.out += 1;
    }

    /// Copies `length` bytes from `distance` back; the distance must lie in the stream, and the length must be that of
    /// a token.
    pub(super) fn repeat(&mut self, distance: usize, length: usize) {
        for at in self.out..self.out + length {
            self.bytes[at] = self.bytes[at - distance];
        }
        self.out += length;
    }
}
