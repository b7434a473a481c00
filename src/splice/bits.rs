//! A range of the gzip file's bits.

/// The bits `from..to` of `source`, the first one being the lowest of the first byte (RFC 1951 3.1.1).
#[derive(Clone, Copy)]
pub(super) struct Bits<'a> {
    pub(super) source: &'a [u8],
    pub(super) from: usize,
    pub(super) to: usize,
    /// How many bits of the gzip file are before them.
    pub(super) at: u64,
}

impl Bits<'_> {
    pub(super) fn len(&self) -> usize {
        self.to.saturating_sub(self.from)
    }
}

/// Bits that are stored for later use.
#[derive(Default)]
pub(super) struct Kept {
    bytes: Vec<u8>,
    from: usize,
    to: usize,
    at: u64,
}

impl Kept {
    /// Stores the bits of a block's header, with BFINAL, its first bit (RFC 1951 3.2.3), cleared.
    pub(super) fn keep_header(&mut self, bits: &Bits<'_>) {
        let first = bits.from / 8;
        self.bytes.clear();
        self.bytes.extend_from_slice(bits.source.get(first..bits.to.div_ceil(8)).unwrap_or_default());
        (self.from, self.to, self.at) = (bits.from % 8, bits.from % 8 + bits.len(), bits.at);
        if let Some(byte) = self.bytes.first_mut() {
            *byte &= !(1 << self.from);
        }
    }

    pub(super) fn bits(&self) -> Bits<'_> {
        Bits { source: &self.bytes, from: self.from, to: self.to, at: self.at }
    }
}
