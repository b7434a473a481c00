//! What contents come to, for comparison.

/// What contents come to: their length, the CRC-32 that a zip holds, and a CRC-64 beside it.
///
/// It guards against mistakes and damage, not against an attacker: who could forge it makes the contents anyway. Both
/// together cost a few percent of what SHA-256 does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contents {
    /// In bytes.
    pub size: u64,
    /// CRC-32 (APPNOTE 4.4.7).
    pub crc: u32,
    check: u64,
}

/// Takes contents in, piece by piece.
pub struct ContentsHasher {
    size: u64,
    crc: crc32fast::Hasher,
    check: crc_fast::Digest,
}

impl Default for ContentsHasher {
    fn default() -> Self {
        Self::new()
    }
}

impl ContentsHasher {
    /// Nothing so far.
    #[must_use]
    pub fn new() -> Self {
        let check = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme);
        Self { size: 0, crc: crc32fast::Hasher::new(), check }
    }

    /// What follows.
    pub fn update(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        self.crc.update(bytes);
        self.check.update(bytes);
    }

    /// How many bytes there were.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// What all of it comes to.
    #[must_use]
    pub fn finish(self) -> Contents {
        Contents { size: self.size, crc: self.crc.finalize(), check: self.check.finalize() }
    }
}
