//! Builds the compressed stream of one file while the file is decompressed. The drawing is in `super`.

use super::bits::Bits;
use super::block::Codes;
use super::fingerprint::{FingerprintBuilder, StreamFingerprint};
use super::fixed::{self, BlockPosition};
use super::inflate::Token;
use super::output::Output;
use super::window::HISTORY;

/// The stream of a file, while it is built.
///
/// Its methods are called with everything that is decompressed from the file's first byte on, and write compressed data
/// for the same bytes. The output depends on the positions of bytes and bits only, not on how the calls divide them.
pub(super) struct SplicedStream {
    /// The positions of the file's first byte and of the byte after its last, in all decompressed data.
    start: u64,
    end: u64,
    /// The next byte that is to be recorded.
    at: u64,
    /// Tokens that may have to be encoded again, until it is known which of them must be.
    head: Option<Head>,
    output: Output,
    block: Block,
    /// Whether the current block of tokens is encoded again instead of copied, because some readers do not decode it.
    renews: bool,
    watch: FingerprintBuilder,
    fingerprint: Option<StreamFingerprint>,
    done: bool,
}

/// The block of the file's stream that is being written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    /// None yet: a block is begun only with its first byte, because it may have none.
    Due,
    /// A block of tokens, which must be ended.
    Open,
    /// A block of fixed codes, which must be ended.
    Renewed,
    /// A stored block: its length is written, and there is nothing to end.
    Stored,
}

/// What is known of the file's first 32 KiB.
#[derive(Default)]
struct Head {
    tokens: Vec<Token>,
    /// How many of the tokens are encoded again: up to the last one that reaches back to before the file.
    renewed: usize,
}

impl SplicedStream {
    /// Begins the stream of a file of `size` bytes at the byte `start`; `ahead` are its bytes that are already
    /// decompressed.
    ///
    /// `codes` are those of the block that the gzip file is in, if it is in one of tokens.
    ///
    /// `None` if more was decompressed than one token can give: the bits of the later tokens are no longer available.
    pub(super) fn begin(start: u64, size: u64, ahead: &[u8], codes: &Codes) -> Option<Self> {
        let end = start.checked_add(size)?;
        let at = start + ahead.len() as u64;
        if ahead.len() > 258 || at > end {
            return None;
        }
        let tokens: Vec<_> = ahead.iter().map(|byte| Token::Literal(*byte)).collect();
        let head = Head { renewed: tokens.len(), tokens };
        let mut watch = FingerprintBuilder::new(size);
        watch.gives(ahead);
        Some(Self {
            start,
            end,
            at,
            head: Some(head),
            output: Output::default(),
            block: Block::Due,
            renews: !codes.common,
            watch,
            fingerprint: None,
            done: false,
        })
    }

    /// Whether it must be called with every single token, by [`SplicedStream::token`].
    pub(super) fn wants_tokens(&self) -> bool {
        (self.head.is_some() || self.renews) && !self.done
    }

    /// Whether all of the file is recorded.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// How many bytes of the file are left.
    pub(super) fn left(&self) -> u64 {
        self.end - self.at
    }

    /// The bytes of the stream that are ready to be taken.
    pub(super) fn ready(&self) -> &[u8] {
        if self.head.is_some() { &[] } else { self.output.bytes() }
    }

    /// Removes the bytes that were taken.
    pub(super) fn forget_ready(&mut self) {
        if self.head.is_none() {
            self.output.forget_bytes();
        }
    }

    /// The fingerprint, once the recording is done.
    pub(super) fn take_fingerprint(&mut self) -> Option<StreamFingerprint> {
        self.fingerprint.take()
    }

    /// Called when a block begins. It is a block of tokens, with these codes, if it has a header to copy; `before` are
    /// the bytes that were decompressed before it.
    pub(super) fn block_begins(&mut self, header: Option<&Bits<'_>>, codes: &Codes, before: &[u8]) {
        self.block = Block::Due;
        self.renews = header.is_some() && !codes.common;
        if self.renews {
            // The finished stream does not have the block's bits, so it is decompressed to check it.
            self.watch.lose();
        }
        let position = self.head.is_none().then(|| self.output.position());
        self.watch.block_begins(header, before, position);
    }

    /// Called with the bits of tokens that together gave `bytes`, and of the block's end if it `ended`. None of the
    /// tokens extends past the end of the file.
    pub(super) fn tokens(&mut self, bits: &Bits<'_>, header: &Bits<'_>, bytes: &[u8], ended: bool) {
        if !self.done {
            self.watch.tokens(bits, bytes, ended);
            self.copy(bits, header, bytes.len(), ended);
        }
    }

    /// Copies tokens that together gave `produced` bytes.
    fn copy(&mut self, bits: &Bits<'_>, header: &Bits<'_>, produced: usize, ended: bool) {
        if produced > 0 && self.block == Block::Due {
            self.output.copy(header);
            self.block = Block::Open;
        }
        // A block without a byte is left out, together with its end.
        if self.block == Block::Open {
            self.output.copy(bits);
        }
        if ended {
            self.block = Block::Due;
        }
        self.at += produced as u64;
    }

    /// Encodes again a token that gave `produced` bytes.
    fn renew(&mut self, token: Token, produced: usize) {
        if produced > 0 && self.block == Block::Due {
            fixed::put_header(&mut self.output, BlockPosition::Middle);
            self.block = Block::Renewed;
        }
        if self.block == Block::Renewed {
            fixed::put(&mut self.output, token);
        }
        if token == Token::End {
            self.block = Block::Due;
        }
        self.at += produced as u64;
    }

    /// Called with the bits of one token, and the `bytes` that it gave.
    pub(super) fn token(
        &mut self,
        token: Token,
        bits: &Bits<'_>,
        header: &Bits<'_>,
        bytes: &[u8],
        codes: &Codes,
    ) {
        if self.done {
            return;
        }
        self.watch.tokens(bits, bytes, token == Token::End);
        let left = usize::try_from(self.left()).unwrap_or(usize::MAX);
        if let Some(bytes) = bytes.get(..left).filter(|_| bytes.len() > left) {
            self.at = self.end;
            self.finish(bytes, codes);
            return;
        }
        let reaches = match token {
            Token::Copy { distance, .. } => u64::from(distance) > self.at - self.start,
            Token::Literal(_) | Token::End => false,
        };
        match &mut self.head {
            Some(head) if reaches => {
                head.tokens.extend(bytes.iter().map(|byte| Token::Literal(*byte)));
                head.renewed = head.tokens.len();
                self.at += bytes.len() as u64;
                // Everything before it is in the head now. Its block continues after it, if it has more.
                self.output.clear();
                self.block = Block::Due;
            }
            head => {
                if let Some(head) = head.as_mut().filter(|_| token != Token::End) {
                    head.tokens.push(token);
                }
                if self.renews {
                    self.renew(token, bytes.len());
                } else {
                    self.copy(bits, header, bytes.len(), token == Token::End);
                }
            }
        }
        self.check_head();
    }

    /// Called when a stored block has `length` bytes that are not recorded yet.
    pub(super) fn stored_begins(&mut self, length: usize) {
        self.watch.stored_begins(length);
        let length = usize::try_from(self.left()).map_or(length, |left| length.min(left));
        if self.done || length == 0 {
            return;
        }
        // RFC 1951 3.2.4: the type 00, and LEN and NLEN at the next whole byte.
        self.output.put(0, 3);
        self.output.align();
        let length = u16::try_from(length).unwrap_or(u16::MAX);
        self.output.put(u32::from(length), 16);
        self.output.put(u32::from(!length), 16);
        self.block = Block::Stored;
    }

    /// Called with bytes of a stored block.
    pub(super) fn stored(&mut self, bytes: &[u8]) {
        if self.done {
            return;
        }
        self.watch.stored(bytes);
        let left = usize::try_from(self.left()).unwrap_or(usize::MAX);
        let bytes = &bytes[..bytes.len().min(left)];
        self.output.put_bytes(bytes);
        if let Some(head) = &mut self.head {
            head.tokens.extend(bytes.iter().map(|byte| Token::Literal(*byte)));
        }
        self.at += bytes.len() as u64;
        self.check_head();
    }

    /// Ends the stream if all of the file is recorded.
    pub(super) fn end_if_complete(&mut self, codes: &Codes) {
        if !self.done && self.at == self.end {
            self.finish(&[], codes);
        }
    }

    /// Writes the head as soon as no later token can reach back to before the file.
    fn check_head(&mut self) {
        if self.at - self.start >= HISTORY as u64 {
            self.close_head();
        }
    }

    fn close_head(&mut self) {
        let Some(head) = self.head.take() else { return };
        if head.renewed == 0 {
            return;
        }
        let mut output = Output::default();
        fixed::put_header(&mut output, BlockPosition::Middle);
        for token in head.tokens.iter().take(head.renewed) {
            fixed::put(&mut output, *token);
        }
        fixed::put_end(&mut output);
        // The body was written as if it began at a whole byte, so it must; an empty stored block pads to one.
        output.put(0, 3);
        output.align();
        output.put(0xFFFF_0000, 32);
        output.append(&self.output);
        self.output = output;
    }

    /// Ends the stream after `bytes`, the first ones of a token that extends past the end of the file.
    fn finish(&mut self, bytes: &[u8], codes: &Codes) {
        self.close_head();
        match self.block {
            Block::Open => self.output.put(codes.end.bits, codes.end.count),
            Block::Renewed => fixed::put_end(&mut self.output),
            Block::Due | Block::Stored => {}
        }
        fixed::put_header(&mut self.output, BlockPosition::Last);
        for byte in bytes {
            fixed::put_literal(&mut self.output, *byte);
        }
        fixed::put_end(&mut self.output);
        let watch = std::mem::replace(&mut self.watch, FingerprintBuilder::new(0));
        self.fingerprint = watch.finish(self.output.position());
        self.output.align();
        self.done = true;
    }
}
