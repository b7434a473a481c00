//! Writes compressed data bit by bit.

use super::bits::Bits;

/// A sequence of bits, the first one being the lowest of the first byte (RFC 1951 3.1.1).
#[derive(Debug, Default)]
pub(super) struct Output {
    bytes: Vec<u8>,
    /// The bits after the last whole byte: fewer than eight.
    hold: u64,
    count: u32,
    /// How many whole bytes were removed.
    taken: u64,
}

impl Output {
    pub(super) fn clear(&mut self) {
        *self = Self { bytes: std::mem::take(&mut self.bytes), ..Self::default() };
        self.bytes.clear();
    }

    /// The whole bytes that were not removed yet.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many bits there have been so far.
    pub(super) fn position(&self) -> u64 {
        (self.taken + self.bytes.len() as u64) * 8 + u64::from(self.count)
    }

    /// Removes the whole bytes; keeps the bits after them.
    pub(super) fn forget_bytes(&mut self) {
        self.taken += self.bytes.len() as u64;
        self.bytes.clear();
    }

    /// Adds up to 32 bits.
    pub(super) fn put(&mut self, bits: u32, count: u32) {
        self.hold |= u64::from(bits) << self.count;
        self.count += count;
        while self.count >= 8 {
            self.bytes.push(self.hold.to_le_bytes()[0]);
            self.hold >>= 8;
            self.count -= 8;
        }
    }

    /// Adds zeros up to the next whole byte.
    pub(super) fn align(&mut self) {
        if self.count > 0 {
            self.put(0, 8 - self.count);
        }
    }

    /// Adds whole bytes, after [`Output::align`].
    pub(super) fn put_bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Adds all bits of another sequence, after [`Output::align`].
    pub(super) fn append(&mut self, other: &Self) {
        self.bytes.extend_from_slice(&other.bytes);
        (self.hold, self.count) = (other.hold, other.count);
    }

    /// Adds bits of the gzip file.
    pub(super) fn copy(&mut self, bits: &Bits<'_>) {
        let Bits { source, mut from, to, .. } = *bits;
        // First the bits up to a whole byte, then whole bytes, and then the remaining bits.
        let first = to.saturating_sub(from).min((8 - self.count as usize) % 8);
        self.put_from(source, from, first);
        from += first;
        let whole = to.saturating_sub(from) / 8;
        if whole > 0 {
            self.copy_bytes(source, from, whole);
            from += whole * 8;
        }
        self.put_from(source, from, to.saturating_sub(from));
    }

    /// Adds fewer than 9 bits of `source` that begin at `from`.
    fn put_from(&mut self, source: &[u8], from: usize, count: usize) {
        let byte = |at: usize| u32::from(source.get(at).copied().unwrap_or(0));
        let word = (byte(from / 8) | byte(from / 8 + 1) << 8) >> (from % 8);
        self.put(word & ((1 << count) - 1), u32::try_from(count).unwrap_or(0));
    }

    /// Adds `count` times 8 bits of `source` that begin at `from`; this is at a whole byte.
    fn copy_bytes(&mut self, source: &[u8], from: usize, count: usize) {
        let (first, shift) = (from / 8, from % 8);
        let source = source.get(first..).unwrap_or_default();
        if shift == 0 {
            self.bytes.extend_from_slice(&source[..count.min(source.len())]);
            return;
        }
        // Eight bytes from nine.
        let begun = self.bytes.len();
        self.bytes.resize(begun + count, 0);
        let mut target = self.bytes[begun..].chunks_exact_mut(8);
        let mut at = 0;
        for (to, (low, high)) in target
            .by_ref()
            .zip(source.chunks_exact(8).zip(source.get(8..).unwrap_or_default().iter().step_by(8)))
        {
            let low: [u8; 8] = low.try_into().unwrap_or_default();
            let word = u64::from_le_bytes(low) >> shift | u64::from(*high) << (64 - shift);
            to.copy_from_slice(&word.to_le_bytes());
            at += 8;
        }
        let byte = |at: usize| u16::from(source.get(at).copied().unwrap_or(0));
        for to in &mut self.bytes[begun + at..] {
            *to = ((byte(at) | byte(at + 1) << 8) >> shift).to_le_bytes()[0];
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bits_of(output: &Output) -> Vec<bool> {
        let bit = |byte: u8, at: u32| byte >> at & 1 == 1;
        let whole = output.bytes.iter().flat_map(|byte| (0..8).map(move |at| bit(*byte, at)));
        whole.chain((0..output.count).map(|at| bit(output.hold.to_le_bytes()[0], at))).collect()
    }

    proptest! {
        #[test]
        fn bits_are_copied_from_any_place_to_any_place(
            source in prop::collection::vec(any::<u8>(), 1..100),
            pieces in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..5),
        ) {
            let mut output = Output::default();
            let mut expected = Vec::new();
            for (a, b) in pieces {
                let (a, b) = (a.index(source.len() * 8 + 1), b.index(source.len() * 8 + 1));
                let (from, to) = (a.min(b), a.max(b));
                output.copy(&Bits { source: &source, from, to, at: 0 });
                expected.extend((from..to).map(|at| source[at / 8] >> (at % 8) & 1 == 1));
                prop_assert_eq!(bits_of(&output), expected.clone());
            }
        }
    }
}
