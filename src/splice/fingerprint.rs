//! What a recorded stream can be held to without decompressing all of it.
//!
//! To be sure of a finished zip one can decompress it, which costs as much as everything else together, or compare it with
//! what is sure already: the gzip file, which was decompressed to its end, and whose CRC-32 and length agree. A stream is
//! right if all of these are, and a [`StreamFingerprint`] has what they need:
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
//! What is told to the fingerprint comes from the gzip file: the bits that each block has, and the bytes that it gives. It is
//! not told which tokens had to be encoded anew, what was left out, or how bits were moved. That the file was followed from
//! its first byte to its last is seen by who compares the [`StreamFingerprint`]'s length and CRC-32 with those of what was read. So what
//! is trusted is the decoder, whose contents have the gzip file's CRC-32, and [`Input::since`](super::input::Input::since),
//! which says where it was.

use super::bits::Bits;
use super::contents::{Contents, ContentsHasher};
use super::window::HISTORY;

/// The tail begins with the last block that begins at an even bit, if so many bytes of the file are left there, or fewer.
const NEAR: u64 = 8 << 20;
/// Runs at the most: there are many only where something is wrong with who compressed.
const MOST_RUNS: usize = 1 << 16;

/// What a recorded stream can be held to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamFingerprint {
    /// The length of the file in bytes, and its CRC-32.
    pub size: u64,
    /// See `size`.
    pub crc: u32,
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

/// A fingerprint in the making.
pub(super) struct FingerprintBuilder {
    stage: Stage,
    /// How many bytes the file has left.
    left: u64,
    size: u64,
    crc: crc32fast::Hasher,
    /// The file's bytes so far, from the beginning of the head or of the tail.
    bytes: ContentsHasher,
    head: Option<(u64, Contents)>,
    runs: Vec<Run>,
    open: Option<Open>,
    /// What was open before the block of tokens that the gzip file is in: if that gives no byte, it is in no run.
    before: Option<Open>,
    /// The gzip file is in a block of tokens, which has given a byte.
    is_in_block: bool,
    has_given: bool,
    tail: Option<Tail>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Head,
    Runs,
    /// There can be no fingerprint.
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

    /// The gzip file goes on with `bytes`.
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

    /// A block begins in the gzip file, one of tokens if it has a header, after the bytes `before`; the stream's next bit is
    /// the one at `position`, where that is known.
    pub(super) fn block_begins(&mut self, header: Option<&Bits<'_>>, before: &[u8], position: Option<u64>) {
        let Some(position) = position else { return };
        // Then 32 KiB of `before` are the file's.
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
        // At an even bit, because that is where empty blocks of ten bits can bring who decompresses the tail alone. And
        // not so often that to keep the history costs more than to decompress the file.
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

    /// The block of tokens goes on with these bits and the `bytes` that they give; it `ended` with them, or did not.
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

    /// These bits follow.
    fn sees(&mut self, bits: &Bits<'_>) {
        let is_there = bits.to <= bits.source.len() * 8;
        match &mut self.open {
            Some(Open::Tokens(hash)) if self.is_in_block && is_there && hash.next == bits.at => {
                hash.update(bits);
            }
            _ => self.lose(),
        }
    }

    /// A stored block of `length` bytes begins.
    pub(super) fn stored_begins(&mut self, length: usize) {
        if self.stage == Stage::Runs && length > 0 {
            match u16::try_from(length) {
                Ok(length) => self.open = Some(Open::Stored { length, hash: new_hash() }),
                Err(_) => self.lose(),
            }
        }
    }

    /// The stored block goes on with `bytes`.
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

    /// There can be no fingerprint.
    pub(super) fn lose(&mut self) {
        *self = Self { stage: Stage::Lost, ..Self::new(self.left) };
    }

    /// The stream ends at `position`. Gives the fingerprint, if there can be one.
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

/// Takes the CRC of bits that follow each other in the gzip file, byte by byte as they are there.
#[derive(Clone)]
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
