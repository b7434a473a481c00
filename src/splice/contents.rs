//! ContentsChecksum of contents, for comparison.

/// The length of contents, their CRC-32 as a zip stores it, and a CRC-64.
///
/// They detect mistakes and damage, not attacks: an attacker who could forge them controls the contents anyway. Both
/// together cost a few percent of the time of SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentsChecksum {
    /// In bytes.
    pub size: u64,
    /// CRC-32 (APPNOTE 4.4.7).
    pub crc: u32,
    check: u64,
}

/// Computes [`ContentsChecksum`] piece by piece.
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
    /// A hasher that has seen no bytes.
    #[must_use]
    pub fn new() -> Self {
        let check = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme);
        Self { size: 0, crc: crc32fast::Hasher::new(), check }
    }

    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        self.crc.update(bytes);
        self.check.update(bytes);
    }

    /// The number of bytes so far.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns the length and the checksums of all bytes.
    #[must_use]
    pub fn finish(self) -> ContentsChecksum {
        ContentsChecksum { size: self.size, crc: self.crc.finalize(), check: self.check.finalize() }
    }
}
