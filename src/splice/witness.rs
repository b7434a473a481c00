//! What a recorded stream can be held to without decompressing all of it.
//!
//! To be sure of a finished zip one can decompress it, which costs as much as everything else together, or compare it with
//! what is sure already: the gzip file, which was decompressed to its end, and whose CRC-32 and length agree. A stream is
//! right if all of these are, and a [`Witness`] has what they need:
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
//! 2. **Runs.** They have the same bits as whole blocks of the gzip file that follow each other there, but for BFINAL,
//!    which is 0. Where blocks are left out between two runs, those have no byte.
//! 3. **Tail.** Decompressed by itself, after the 32 KiB of the file that are before it, it gives the rest of the file, and
//!    ends, with its data, by a block with BFINAL.
//!
//! For what a block gives depends on three things alone: its bits, that it is read from its first one on, and the 32 KiB
//! before it (RFC 1951 3.2.3, 2). The head's end is where a block begins, in the stream as in the gzip file, and 32 KiB of the
//! file and more are before it in both. So the first block of the first run gives the same bytes in both, and after it the
//! same holds for the next.
//!
//! None of the three trusts what made the stream: neither which tokens had to be encoded anew, nor how bits were moved.

use super::bits::Bits;
use super::contents::{Contents, ContentsHasher};
use super::window::HISTORY;

/// The tail begins when so many bytes of the file are left, or fewer.
const NEAR: u64 = 8 << 20;
/// Runs at the most: there are many only where something is wrong with who compressed.
const MOST_RUNS: usize = 1 << 16;

/// What a recorded stream can be held to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// The bits of the head.
    pub head_bits: u64,
    /// The file's bytes that the head gives.
    pub head: Contents,
    /// What is between head and tail.
    pub runs: Vec<Run>,
    /// The bits of the tail, without those that bring it to a whole byte. It begins with an even bit of the stream.
    pub tail_bits: u64,
    /// The 32 KiB of the file before what the tail gives.
    pub history: Vec<u8>,
    /// The file's bytes that the tail gives.
    pub tail: Contents,
}

/// Blocks that were copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// Blocks of tokens, whole, bit for bit.
    Tokens {
        /// How many bits.
        bits: u64,
        /// The place of the first one in its byte.
        phase: u32,
        /// CRC-64/NVME of the bytes that they are in, in the gzip file; bits of others are zero in it.
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

/// A witness in the making: told of the gzip file, never of what is written.
pub(super) struct Watch {
    stage: Stage,
    /// The file's bytes so far, from the beginning of the head or of the tail.
    bytes: ContentsHasher,
    head: Option<(u64, Contents)>,
    runs: Vec<Run>,
    open: Option<Open>,
    tail: Option<Tail>,
    /// Whether the block that the gzip file is in gave bytes, and whether it is being copied.
    has_given: bool,
    is_copied: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Head,
    Runs,
    /// There can be no witness.
    Lost,
}

/// Where the tail begins, as far as is known.
struct Tail {
    position: u64,
    /// How many runs are before it.
    runs: usize,
    history: Vec<u8>,
}

/// The run that goes on.
enum Open {
    Tokens(BitHash),
    Stored { length: u16, hash: crc_fast::Digest },
}

impl Watch {
    pub(super) fn new() -> Self {
        Self {
            stage: Stage::Head,
            bytes: ContentsHasher::new(),
            head: None,
            runs: Vec::new(),
            open: None,
            tail: None,
            has_given: false,
            is_copied: false,
        }
    }

    /// The file goes on with `bytes`.
    pub(super) fn gives(&mut self, bytes: &[u8]) {
        self.has_given |= !bytes.is_empty();
        if self.stage == Stage::Head || self.tail.is_some() {
            self.bytes.update(bytes);
        }
    }

    /// A block begins in the gzip file, after `before`, of which the last 32 KiB are the file's; the stream's next bit is
    /// the one at `position`, and `left` bytes of the file are to come.
    pub(super) fn block_begins(&mut self, before: &[u8], position: u64, left: u64) {
        (self.has_given, self.is_copied) = (false, false);
        if self.stage == Stage::Head {
            self.stage = Stage::Runs;
            self.head = Some((position, std::mem::take(&mut self.bytes).finish()));
        }
        // At an even bit, because that is where empty blocks of ten bits can bring who decompresses the tail alone.
        if self.stage == Stage::Runs && left <= NEAR && position.is_multiple_of(2) {
            self.close_run();
            let history = before[before.len().saturating_sub(HISTORY)..].to_vec();
            self.tail = Some(Tail { position, runs: self.runs.len(), history });
            self.bytes = ContentsHasher::new();
        }
    }

    /// A block of tokens is copied: its header first, with BFINAL cleared.
    pub(super) fn copies_header(&mut self, header: &Bits<'_>) {
        if self.stage != Stage::Runs {
            return;
        }
        if !matches!(&self.open, Some(Open::Tokens(hash)) if hash.next == header.at) {
            self.close_run();
            self.open = Some(Open::Tokens(BitHash::new(header)));
        }
        self.is_copied = true;
        self.copies(header);
    }

    /// A block of tokens is copied: what follows its header, all in order.
    pub(super) fn copies(&mut self, bits: &Bits<'_>) {
        match &mut self.open {
            Some(Open::Tokens(hash)) if hash.next == bits.at => hash.update(bits),
            _ if self.stage == Stage::Runs => self.lose(),
            _ => {}
        }
    }

    /// A block of tokens ended in the gzip file before the bit `at`.
    pub(super) fn block_ends(&mut self, at: u64) {
        let is_whole = match &self.open {
            Some(Open::Tokens(hash)) if self.is_copied => hash.next == at,
            _ => !self.is_copied && !self.has_given,
        };
        if self.stage == Stage::Runs && !is_whole {
            self.lose();
        }
    }

    /// A stored block of `length` bytes begins.
    pub(super) fn stored_begins(&mut self, length: u16) {
        if self.stage == Stage::Runs {
            self.close_run();
            self.open = Some(Open::Stored { length, hash: new_hash() });
        }
    }

    /// The stored block goes on with `bytes`.
    pub(super) fn stores(&mut self, bytes: &[u8]) {
        if let Some(Open::Stored { hash, .. }) = &mut self.open {
            hash.update(bytes);
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

    /// There can be no witness.
    fn lose(&mut self) {
        *self = Self { stage: Stage::Lost, ..Self::new() };
    }

    /// The stream ends at `position`. Gives the witness, if there can be one.
    pub(super) fn finish(self, position: u64) -> Option<Witness> {
        let (head_bits, head) = self.head?;
        let Tail { position: begins, runs: count, history } = self.tail?;
        let mut runs = self.runs;
        runs.truncate(count);
        Some(Witness {
            head_bits,
            head,
            runs,
            tail_bits: position - begins,
            history,
            tail: self.bytes.finish(),
        })
    }
}

fn new_hash() -> crc_fast::Digest {
    crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme)
}

/// Takes the CRC of bits that follow each other in the gzip file, byte by byte as they are there.
struct BitHash {
    hash: crc_fast::Digest,
    /// The bits of the byte that is begun.
    partial: u8,
    phase: u32,
    from: u64,
    /// The place of the next bit in the gzip file.
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
