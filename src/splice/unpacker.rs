//! Reads the decompressed contents of a gzip file.

use std::io::{self, Read};

use super::bits::Kept;
use super::block::{self, BlockBody, Codes};
use super::inflate::{self, ROUND, Token};
use super::input::Input;
use super::recorder::DeflateRecorder;
use super::window::Window;
use super::{CUT_SHORT, Corrupt, gzip};

/// A read ends early when this many bytes of a recording are ready to be taken.
const READY: usize = 256 * 1024;

/// Decompresses a gzip file of one or more members, whose CRC-32 and lengths are checked.
///
/// It decompresses only as far as it is read, up to the end of a token, so that a [`DeflateRecorder`] can begin to
/// record at any byte. It accepts and refuses the same compressed data as zlib, so that every client can read the data
/// that it accepts.
pub struct Unpacker<R> {
    source: R,
    input: Input,
    window: Window,
    codes: Codes,
    header: Kept,
    state: State,
    /// The block is the last one of its member.
    is_last: bool,
    /// Of the member so far; of the window, up to `checked`.
    crc: crc32fast::Hasher,
    length: u64,
    checked: usize,
    /// Whether a member was read: a file without any is not a gzip file.
    any: bool,
    recorder: DeflateRecorder,
}

#[derive(Clone, Copy)]
enum State {
    /// A member begins, or the file ends.
    Member,
    /// A block begins, or the member's trailer follows.
    Block,
    Tokens,
    /// A stored block with so many bytes left.
    Stored(usize),
    Ended,
    Failed(Corrupt),
}

impl<R: Read> Unpacker<R> {
    /// Decompresses the data of `source`; `recorder` can record it.
    pub fn new(source: R, recorder: DeflateRecorder) -> Self {
        Self {
            source,
            input: Input::new(),
            window: Window::new(),
            codes: Codes::new(),
            header: Kept::default(),
            state: State::Member,
            is_last: true,
            crc: crc32fast::Hasher::new(),
            length: 0,
            checked: 0,
            any: false,
            recorder,
        }
    }

    /// Decompresses up to `wanted` bytes, and the rest of the last token; fewer only at the end of the data, or when
    /// many recorded bytes are ready.
    fn decompress(&mut self, wanted: usize) -> io::Result<()> {
        let room = self.window.make_room(wanted);
        self.checked = self.window.out;
        let target = self.window.out + room;
        let start = self.window.out;
        while self.window.out < target {
            self.input.fill(&mut self.source)?;
            match self.state {
                State::Member => self.member()?,
                State::Block if self.is_last => self.trailer()?,
                State::Block => self.block()?,
                State::Tokens => self.tokens(target)?,
                State::Stored(left) => self.stored(left, target)?,
                State::Ended => break,
                State::Failed(corrupt) => return Err(corrupt.into()),
            }
            if self.window.out > start && self.recorder.with(|recording| recording.ready().len() > READY) {
                break;
            }
        }
        self.check_in();
        self.recorder.with(|recording| recording.end_if_complete(&self.codes));
        Ok(())
    }

    fn member(&mut self) -> io::Result<()> {
        self.state = match gzip::read_header(&mut self.input, &mut self.source, !self.any)? {
            Some(()) => State::Block,
            None if self.any => State::Ended,
            None => return Err(CUT_SHORT.into()),
        };
        self.any = true;
        self.is_last = false;
        self.crc = crc32fast::Hasher::new();
        self.length = 0;
        self.checked = self.window.out;
        self.window.floor = self.window.out;
        Ok(())
    }

    fn block(&mut self) -> Result<(), Corrupt> {
        let from = self.input.position();
        let (is_last, body) = block::read(&mut self.input, &mut self.codes, &mut self.header)?;
        self.is_last = is_last;
        let before = &self.window.bytes[..self.window.out];
        let bits = self.input.since(from);
        let header = matches!(body, BlockBody::Tokens).then_some(&bits);
        self.recorder.with(|recording| recording.block_begins(header, &self.codes, before));
        self.state = match body {
            BlockBody::Stored(length) => {
                self.recorder.with(|recording| recording.stored_begins(length));
                State::Stored(length)
            }
            BlockBody::Tokens => State::Tokens,
        };
        Ok(())
    }

    fn trailer(&mut self) -> Result<(), Corrupt> {
        self.check_in();
        gzip::check_trailer(&mut self.input, self.crc.clone().finalize(), self.length)?;
        self.state = State::Member;
        Ok(())
    }

    /// Adds the decompressed bytes to the member's CRC-32 and length.
    fn check_in(&mut self) {
        let bytes = &self.window.bytes[self.checked..self.window.out];
        self.crc.update(bytes);
        self.length += bytes.len() as u64;
        self.checked = self.window.out;
    }

    fn stored(&mut self, left: usize, target: usize) -> Result<(), Corrupt> {
        let out = self.window.out;
        let bytes = self.input.rest();
        let count = left.min(target - out).min(bytes.len());
        if count == 0 && left > 0 {
            return Err(CUT_SHORT);
        }
        self.window.bytes[out..out + count].copy_from_slice(&bytes[..count]);
        self.recorder.with(|recording| recording.stored(&bytes[..count]));
        self.input.skip(count);
        self.window.out += count;
        self.state = if left == count { State::Block } else { State::Stored(left - count) };
        Ok(())
    }

    /// Decodes tokens until the target, the end of the block, or the end of the input in memory.
    fn tokens(&mut self, target: usize) -> Result<(), Corrupt> {
        let limit = target.saturating_sub(ROUND);
        let by_token = self.recorder.with(|recording| recording.wants_tokens());
        if !by_token && self.window.out < limit && !self.input.is_nearly_out() {
            let (from, start) = (self.input.position(), self.window.out);
            let ended = inflate::fast(&self.codes, &mut self.input, &mut self.window, limit)?;
            let bytes = &self.window.bytes[start..self.window.out];
            self.recorder.with(|recording| {
                recording.tokens(&self.input.since(from), &self.header.bits(), bytes, ended);
            });
            if ended {
                self.state = State::Block;
            }
            return Ok(());
        }
        while self.window.out < target && !self.input.is_low() {
            let (from, start) = (self.input.position(), self.window.out);
            let token = Token::read(&self.codes, &mut self.input)?;
            token.apply(&mut self.window)?;
            let more_tokens = self.recorder.with(|recording| {
                let (bits, header) = (self.input.since(from), self.header.bits());
                recording.token(
                    token,
                    &bits,
                    &header,
                    &self.window.bytes[start..self.window.out],
                    &self.codes,
                );
                recording.wants_tokens()
            });
            if token == Token::End {
                self.state = State::Block;
                break;
            }
            if by_token && !more_tokens {
                break;
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for Unpacker<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let stored = match self.state {
            State::Stored(left) => Some(left),
            _ => None,
        };
        self.recorder.begin(self.window.absolute_given(), self.window.pending(), stored, &self.codes);
        if self.window.pending().is_empty() {
            // A read must not pass the end of a recorded file, because the recording needs to stop there.
            let left = self.recorder.with(|recording| recording.left());
            let wanted = match usize::try_from(left) {
                Ok(left) if left > 0 => buffer.len().min(left),
                _ => buffer.len(),
            };
            if let Err(error) = self.decompress(wanted) {
                self.state = State::Failed(Corrupt("the compressed data is damaged"));
                return Err(error);
            }
        }
        Ok(self.window.give(buffer))
    }
}
