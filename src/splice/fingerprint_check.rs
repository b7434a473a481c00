//! Checks a stream against its fingerprint. `fingerprint` explains why this is sufficient.

use std::io::{self, Read};

use super::CHUNK;
use super::contents::{ContentsChecksum, ContentsHasher};
use super::fingerprint::{Run, StreamFingerprint, new_hash};
use super::zlib::{Fault, ZlibStream};

impl StreamFingerprint {
    /// Reads all of `stream`, and checks that it has the contents that the fingerprint was built from. The fingerprint
    /// has their length and CRC-32, which the caller must compare with the expected ones.
    ///
    /// # Errors
    /// The stream has other contents, or cannot be read.
    pub fn check(&self, stream: &mut impl Read) -> Result<(), Fault> {
        let mut bits =
            BitReader { stream, bytes: vec![0; CHUNK], end: 0, at: 0, shifted: Vec::with_capacity(CHUNK) };
        head(self, &mut bits)?;
        for run in &self.runs {
            self::run(run, &mut bits)?;
        }
        tail(self, &mut bits)
    }
}

fn head(fingerprint: &StreamFingerprint, bits: &mut BitReader<'_, impl Read>) -> Result<(), Fault> {
    let mut decompressed = Decompressed::new(0);
    let over = u32::try_from(fingerprint.head_bits % 8).unwrap_or(0);
    bits.take(fingerprint.head_bits - u64::from(over), 0, &mut |bytes| decompressed.feed(bytes))?;
    let last = bits.few(over)?;
    // An empty stored block and an empty last block of fixed codes (RFC 1951 3.2.3, 3.2.4, 3.2.6) replace the rest of
    // the stream. The stream ends with them only if the head ends where a block begins: if it ended earlier, they would
    // leave data after its end.
    let mut ending = vec![last];
    if over > 5 {
        ending.push(0);
    }
    ending.extend([0, 0, 0xFF, 0xFF, 0b011, 0]);
    decompressed.feed(&ending)?;
    decompressed.end(fingerprint.head)
}

fn run(run: &Run, bits: &mut BitReader<'_, impl Read>) -> Result<(), Fault> {
    let mut hash = new_hash();
    let mut update = |bytes: &[u8]| {
        hash.update(bytes);
        Ok(())
    };
    let expected = match *run {
        Run::Tokens { bits: count, phase, check } => {
            bits.take(count, phase, &mut update)?;
            check
        }
        Run::Stored { length, check } => {
            // RFC 1951 3.2.4: three bits of zero and those up to the next whole byte, LEN, NLEN.
            let kind = bits.few(3)? | bits.few(bits.up_to_byte())?;
            let mut lengths = [0; 4];
            for byte in &mut lengths {
                *byte = bits.few(8)?;
            }
            if kind != 0 || lengths != (u32::from(length) | u32::from(!length) << 16).to_le_bytes() {
                return Err(Fault::of("a stored block has another header"));
            }
            bits.take(u64::from(length) * 8, 0, &mut update)?;
            check
        }
    };
    if hash.finalize() == expected {
        Ok(())
    } else {
        Err(Fault::of("it has other bits than the tarball in the middle"))
    }
}

fn tail(fingerprint: &StreamFingerprint, bits: &mut BitReader<'_, impl Read>) -> Result<(), Fault> {
    let mut decompressed = Decompressed::new(fingerprint.history.len());
    // The history before the tail, as a stored block (RFC 1951 3.2.4).
    let length =
        u16::try_from(fingerprint.history.len()).map_err(|_| Fault::of("its fingerprint is wrong"))?;
    let header = [&[0][..], &length.to_le_bytes(), &(!length).to_le_bytes()].concat();
    decompressed.feed(&header)?;
    decompressed.feed(&fingerprint.history)?;
    // The tail's bits keep their positions in bytes, on which stored blocks depend. Empty blocks of fixed codes pad to
    // that position: 0, 01 and 0000000, ten bits each.
    let empty_blocks = bits.phase() / 2;
    let filler = (0..empty_blocks).fold(0_u32, |bits, nth| bits | 0b010 << (10 * nth)).to_le_bytes();
    let whole = empty_blocks as usize * 10 / 8;
    decompressed.feed(&filler[..whole])?;
    let mut begun = Some(filler[whole]);
    bits.take(fingerprint.tail_bits, bits.phase(), &mut |bytes| match (begun.take(), bytes) {
        (Some(begun), [first, rest @ ..]) => {
            decompressed.feed(&[begun | first])?;
            decompressed.feed(rest)
        }
        _ => decompressed.feed(bytes),
    })?;
    decompressed.end(fingerprint.tail)?;
    // Up to the next whole byte, and no further.
    if bits.few(bits.up_to_byte())? != 0 || !bits.is_at_end()? {
        return Err(Fault::of("it goes on behind its last block"));
    }
    Ok(())
}

/// A stream that is being decompressed, and the checksums of its contents.
struct Decompressed {
    stream: ZlibStream,
    /// How many of the next bytes do not belong to the file.
    before: usize,
    bytes: ContentsHasher,
}

impl Decompressed {
    /// The first `before` bytes do not belong to the file.
    fn new(before: usize) -> Self {
        Self { stream: ZlibStream::new(), before, bytes: ContentsHasher::new() }
    }

    fn feed(&mut self, compressed: &[u8]) -> Result<(), Fault> {
        let (before, bytes) = (&mut self.before, &mut self.bytes);
        self.stream.feed(compressed, &mut |found| {
            let passed = found.len().min(*before);
            *before -= passed;
            bytes.update(&found[passed..]);
        })
    }

    fn end(self, expected: ContentsChecksum) -> Result<(), Fault> {
        self.stream.end()?;
        if self.before == 0 && self.bytes.finish() == expected {
            Ok(())
        } else {
            Err(Fault::of("it has other contents than the tarball"))
        }
    }
}

/// A stream's bits, in order.
struct BitReader<'a, R> {
    stream: &'a mut R,
    /// Bytes that were read, up to `end`.
    bytes: Vec<u8>,
    end: usize,
    /// The position of the next bit in them.
    at: usize,
    /// Bytes that are each assembled from two.
    shifted: Vec<u8>,
}

impl<R: Read> BitReader<'_, R> {
    /// The position of the next bit in its byte.
    fn phase(&self) -> u32 {
        (self.at % 8) as u32
    }

    /// How many bits of the current byte are left.
    fn up_to_byte(&self) -> u32 {
        (8 - self.phase()) % 8
    }

    /// Takes `count` bits, and passes them to `with` as bytes in which the first one is at the position `phase`; all
    /// other bits are zero.
    fn take(
        &mut self,
        count: u64,
        phase: u32,
        with: &mut dyn FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if count == 0 {
            return Ok(());
        }
        let first = u32::try_from(count).map_or(8, |count| count.min(8)).min(8 - phase);
        with(&[self.few(first)? << phase])?;
        let count = count - u64::from(first);
        let mut whole = count / 8;
        while whole > 0 {
            self.fill(8)?;
            let (bytes, shift) = (&self.bytes[self.at / 8..self.end], self.at % 8);
            let ready = bytes.len() - usize::from(shift > 0);
            let ready = usize::try_from(whole).map_or(ready, |whole| whole.min(ready));
            if shift == 0 {
                with(&bytes[..ready])?;
            } else {
                self.shifted.clear();
                let pairs = bytes[..ready].iter().zip(&bytes[1..=ready]);
                self.shifted.extend(pairs.map(|(low, high)| low >> shift | high << (8 - shift)));
                with(&self.shifted)?;
            }
            self.at += ready * 8;
            whole -= ready as u64;
        }
        let rest = self.few(u32::try_from(count % 8).unwrap_or(0))?;
        if count.is_multiple_of(8) { Ok(()) } else { with(&[rest]) }
    }

    /// Takes up to 8 bits.
    fn few(&mut self, count: u32) -> Result<u8, Fault> {
        if count == 0 {
            return Ok(0);
        }
        self.fill(count as usize)?;
        let byte = |place: usize| self.bytes.get(place).copied().unwrap_or(0);
        let pair = u16::from_le_bytes([byte(self.at / 8), byte(self.at / 8 + 1)]);
        self.at += count as usize;
        Ok((pair >> ((self.at - count as usize) % 8)).to_le_bytes()[0] & (0xFF >> (8 - count)))
    }

    /// Reads until there are `count` bits.
    fn fill(&mut self, count: usize) -> Result<(), Fault> {
        while self.at + count > self.end * 8 {
            if !self.read()? {
                return Err(Fault::of("it is cut short"));
            }
        }
        Ok(())
    }

    /// Reads more; returns whether there was more. Fewer than two bytes must be left.
    fn read(&mut self) -> io::Result<bool> {
        self.bytes.copy_within(self.at / 8..self.end, 0);
        self.end -= self.at / 8;
        self.at %= 8;
        loop {
            match self.stream.read(&mut self.bytes[self.end..]) {
                Ok(count) => {
                    self.end += count;
                    return Ok(count > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn is_at_end(&mut self) -> io::Result<bool> {
        Ok(self.at >= self.end * 8 && !self.read()?)
    }
}
