//! The data by which a recorded stream is verified without decompressing all of it.
//!
//! A finished zip can be verified by decompressing it, which costs as much as everything else together, or by comparing
//! it with data that is already verified: the gzip file, which was decompressed to its end, and whose CRC-32 and length
//! agree. A stream is correct if its head, runs and tail are, and a [`StreamFingerprint`] has the data to check each of
//! them:
//!
//! ```text
//!  stream  ┌──────────────────┬──────┬──────┬─ ─ ─┬──────┬────────────────────┐
//!          │ head             │ run  │ run  │     │ run  │ tail               │
//!          └──────────────────┴──────┴──────┴─ ─ ─┴──────┴────────────────────┘
//!                             ▲ a block begins, 32 KiB   ▲ a block begins, near the end
//!                               of the file or more on
//! ```
//!
//! 1. **Head.** Decompressed by itself, it ends with the end of a block, and gives the file's bytes up to there.
//! 2. **Runs.** Their bits are those of consecutive whole blocks of the gzip file, except for BFINAL, which is 0.
//!    Blocks that are left out between two runs have no byte.
//! 3. **Tail.** Decompressed by itself, with the 32 KiB of the file before it as history, it gives the rest of the
//!    file. Its data ends with a block that has BFINAL set.
//!
//! This is sufficient because the output of a block depends on three things alone: its bits, that it is decoded from
//! its first bit on, and the 32 KiB of output before it (RFC 1951 3.2.3, 2). The head ends where a block begins, both
//! in the stream and in the gzip file, and at least 32 KiB of the file come before that point in both. So the first
//! block of the first run gives the same bytes in both, and the same then holds for each block after it.
//!
//! The builder is called with data of the gzip file only: the bits of each block, and the bytes that they give. It does
//! not depend on which tokens had to be encoded again, on what was left out, or on how bits were moved. To make sure
//! that the file was followed from its first byte to its last, the caller compares the length and CRC-32 of the
//! [`StreamFingerprint`] with those of the bytes that were read. So only two things are trusted: the decoder, whose
//! output has the gzip file's CRC-32, and [`Input::since`](super::input::Input::since), which returns the bits that it
//! decoded.

use super::bits::Bits;
use super::contents::{ContentsChecksum, ContentsHasher};
use super::window::HISTORY;

/// The tail begins with the last block that begins at an even bit and has at most this many bytes of the file from
/// there on.
const NEAR: u64 = 8 << 20;
/// The most runs that are recorded: only a defective compressor produces more.
const MOST_RUNS: usize = 1 << 16;

/// The data by which a recorded stream is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamFingerprint {
    /// The length of the file in bytes, and its CRC-32.
    pub size: u64,
    /// See `size`.
    pub crc: u32,
    /// The number of bits in the head.
    pub head_bits: u64,
    /// The file's bytes that the head gives.
    pub head: ContentsChecksum,
    /// What is between head and tail.
    pub runs: Vec<Run>,
    /// The number of bits in the tail, without the padding to a whole byte. The tail begins at an even bit of the
    /// stream.
    pub tail_bits: u64,
    /// The 32 KiB of the file before the bytes that the tail gives.
    pub history: Vec<u8>,
    /// The file's bytes that the tail gives.
    pub tail: ContentsChecksum,
}

/// Blocks that were copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// Blocks of tokens, whole, bit for bit.
    Tokens {
        /// How many bits.
        bits: u64,
        /// The position of the first one in its byte.
        phase: u32,
        /// CRC-64/NVME of the bytes of the gzip file that contain them, with all other bits set to zero.
        check: u64,
    },
    /// A stored block of so many bytes. Its header is not copied, because its length depends on where it is.
    Stored {
        /// LEN (RFC 1951 3.2.4).
        length: u16,
        /// CRC-64/NVME of its bytes.
        check: u64,
    },
}

/// Builds a fingerprint while the file is recorded.
pub(super) struct FingerprintBuilder {
    stage: Stage,
    /// How many bytes the file has left.
    left: u64,
    size: u64,
    crc: crc32fast::Hasher,
    /// The file's bytes so far, from the beginning of the head or of the tail.
    bytes: ContentsHasher,
    head: Option<(u64, ContentsChecksum)>,
    runs: Vec<Run>,
    open: Option<Open>,
    /// The run that was open before the current block of tokens. If the block gives no byte, it belongs to no run.
    before: Option<Open>,
    /// Whether the gzip file is in a block of tokens.
    is_in_block: bool,
    has_given: bool,
    tail: Option<Tail>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Head,
    Runs,
    /// No fingerprint is possible.
    Lost,
}

/// Where the tail begins, as far as is known.
struct Tail {
    position: u64,
    /// How many runs are before it.
    runs: usize,
    history: Vec<u8>,
}

/// The run that is being extended.
#[derive(Clone)]
enum Open {
    Tokens(BitHash),
    Stored { length: u16, hash: crc_fast::Digest },
}

impl FingerprintBuilder {
    /// Begins with a file of `size` bytes.
    pub(super) fn new(size: u64) -> Self {
        Self {
            stage: Stage::Head,
            left: size,
            size: 0,
            crc: crc32fast::Hasher::new(),
            bytes: ContentsHasher::new(),
            head: None,
            runs: Vec::new(),
            open: None,
            before: None,
            is_in_block: false,
            has_given: false,
            tail: None,
        }
    }

    /// Adds `bytes`, the next ones of the file.
    pub(super) fn gives(&mut self, bytes: &[u8]) {
        let count = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let bytes = &bytes[..count];
        self.left -= count as u64;
        self.size += count as u64;
        self.has_given |= count > 0;
        if self.stage != Stage::Lost {
            self.crc.update(bytes);
        }
        if self.stage == Stage::Head || self.tail.is_some() {
            self.bytes.update(bytes);
        }
    }

    /// Called when a block begins in the gzip file, after the bytes `before`. It is a block of tokens if it has a
    /// header. `position` is that of the stream's next bit, if it is known.
    pub(super) fn block_begins(&mut self, header: Option<&Bits<'_>>, before: &[u8], position: Option<u64>) {
        let Some(position) = position else { return };
        // Then the 32 KiB of `before` all belong to the file.
        if self.stage == Stage::Head && self.bytes.size() >= HISTORY as u64 {
            self.stage = Stage::Runs;
            self.head = Some((position, std::mem::take(&mut self.bytes).finish()));
        }
        if self.stage != Stage::Runs {
            return;
        }
        if self.is_in_block {
            return self.lose();
        }
        // At an even bit, because the check decompresses the tail alone, behind empty blocks of ten bits each, which
        // reach only even positions. And not too often, or copying the history would cost more than decompressing the
        // file.
        let is_far = self.tail.is_none() || self.bytes.size() >= HISTORY as u64;
        if self.left <= NEAR && position.is_multiple_of(2) && is_far {
            self.close_run();
            let history = before[before.len().saturating_sub(HISTORY)..].to_vec();
            self.tail = Some(Tail { position, runs: self.runs.len(), history });
            self.bytes = ContentsHasher::new();
        }
        if !matches!((&self.open, header), (Some(Open::Tokens(hash)), Some(header)) if hash.next == header.at)
        {
            self.close_run();
        }
        let Some(header) = header else { return };
        if self.stage != Stage::Runs || header.len() == 0 {
            return self.lose();
        }
        (self.before, self.is_in_block, self.has_given) = (self.open.clone(), true, false);
        self.open.get_or_insert_with(|| Open::Tokens(BitHash::new(header)));
        // BFINAL, the header's first bit, is 0 in the stream, whatever it is here (RFC 1951 3.2.3).
        let (from, at) = (header.from % 8, header.at);
        self.sees(&Bits { source: &[0], from, to: from + 1, at });
        self.sees(&Bits { from: header.from + 1, at: at + 1, ..*header });
    }

    /// Called with the next bits of a block of tokens, the `bytes` that they give, and whether the block `ended` with
    /// them.
    pub(super) fn tokens(&mut self, bits: &Bits<'_>, bytes: &[u8], ended: bool) {
        self.gives(bytes);
        if self.stage != Stage::Runs {
            return;
        }
        self.sees(bits);
        if ended {
            if !self.has_given {
                self.open = self.before.take();
            }
            self.is_in_block = false;
        }
    }

    /// Adds the next bits.
    fn sees(&mut self, bits: &Bits<'_>) {
        let is_there = bits.to <= bits.source.len() * 8;
        match &mut self.open {
            Some(Open::Tokens(hash)) if self.is_in_block && is_there && hash.next == bits.at => {
                hash.update(bits);
            }
            _ => self.lose(),
        }
    }

    /// Called when a stored block of `length` bytes begins.
    pub(super) fn stored_begins(&mut self, length: usize) {
        if self.stage == Stage::Runs && length > 0 {
            match u16::try_from(length) {
                Ok(length) => self.open = Some(Open::Stored { length, hash: new_hash() }),
                Err(_) => self.lose(),
            }
        }
    }

    /// Called with the next bytes of a stored block.
    pub(super) fn stored(&mut self, bytes: &[u8]) {
        self.gives(bytes);
        match &mut self.open {
            Some(Open::Stored { hash, .. }) => hash.update(bytes),
            _ if self.stage == Stage::Runs && !bytes.is_empty() => self.lose(),
            _ => {}
        }
    }

    fn close_run(&mut self) {
        let run = match self.open.take() {
            Some(Open::Tokens(hash)) => hash.finish(),
            Some(Open::Stored { length, hash }) => Run::Stored { length, check: hash.finalize() },
            None => return,
        };
        self.runs.push(run);
        if self.runs.len() > MOST_RUNS {
            self.lose();
        }
    }

    /// Gives up: no fingerprint is possible.
    pub(super) fn lose(&mut self) {
        *self = Self { stage: Stage::Lost, ..Self::new(self.left) };
    }

    /// Ends the stream at `position`. Returns the fingerprint, if one is possible.
    pub(super) fn finish(self, position: u64) -> Option<StreamFingerprint> {
        let (head_bits, head) = self.head?;
        let Tail { position: begins, runs: count, history } = self.tail?;
        let mut runs = self.runs;
        runs.truncate(count);
        runs.shrink_to_fit();
        Some(StreamFingerprint {
            size: self.size,
            crc: self.crc.finalize(),
            head_bits,
            head,
            runs,
            tail_bits: position.checked_sub(begins)?,
            history,
            tail: self.bytes.finish(),
        })
    }
}

impl StreamFingerprint {
    /// About how many bytes of memory it takes.
    #[must_use]
    pub fn memory(&self) -> usize {
        size_of::<Self>() + self.history.len() + self.runs.len() * size_of::<Run>()
    }
}

pub(super) fn new_hash() -> crc_fast::Digest {
    crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme)
}

/// Computes the CRC of consecutive bits of the gzip file, over the bytes that contain them there.
#[derive(Clone)]
struct BitHash {
    hash: crc_fast::Digest,
    /// The bits of an incomplete byte.
    partial: u8,
    phase: u32,
    from: u64,
    /// The position of the next bit in the gzip file.
    next: u64,
}

impl BitHash {
    fn new(first: &Bits<'_>) -> Self {
        let phase = (first.from % 8) as u32;
        Self { hash: new_hash(), partial: 0, phase, from: first.at, next: first.at }
    }

    fn update(&mut self, bits: &Bits<'_>) {
        let mut from = bits.from;
        if !from.is_multiple_of(8) {
            let end = bits.to.min(from.next_multiple_of(8));
            let of_byte = bits.source.get(from / 8).copied().unwrap_or(0) >> (from % 8);
            let mask = (1_u16 << (end - from)) - 1;
            self.partial |= (of_byte & mask as u8) << (from % 8);
            from = end;
            if from.is_multiple_of(8) {
                self.hash.update(&[self.partial]);
                self.partial = 0;
            }
        }
        if from < bits.to {
            self.hash.update(bits.source.get(from / 8..bits.to / 8).unwrap_or_default());
            if !bits.to.is_multiple_of(8) {
                let of_byte = bits.source.get(bits.to / 8).copied().unwrap_or(0);
                self.partial = of_byte & ((1 << (bits.to % 8)) - 1);
            }
        }
        self.next += bits.len() as u64;
    }

    fn finish(mut self) -> Run {
        let bits = self.next - self.from;
        if !(u64::from(self.phase) + bits).is_multiple_of(8) {
            self.hash.update(&[self.partial]);
        }
        Run::Tokens { bits, phase: self.phase, check: self.hash.finalize() }
    }
}
