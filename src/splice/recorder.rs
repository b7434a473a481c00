//! A recording, as who reads the file sees it.

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;

use super::block::Codes;
use super::fingerprint::StreamFingerprint;
use super::spliced_stream::SplicedStream;

/// Records the compressed stream of a file while its bytes are read from an [`Unpacker`](super::Unpacker).
///
/// Ask it to [record](DeflateRecorder::record) when the reader is at the file's first byte, read the file, and [take](DeflateRecorder::take) what
/// is recorded from time to time: what is not taken is kept in memory.
#[derive(Clone, Default)]
pub struct DeflateRecorder(Rc<RefCell<State>>);

#[derive(Default)]
enum State {
    #[default]
    Off,
    /// A file of so many bytes begins with the next byte to be read.
    Asked(u64),
    On(Box<SplicedStream>),
    /// It could not be begun.
    Impossible,
}

impl DeflateRecorder {
    /// Records the next `size` bytes that are read; forgets what was recorded before.
    pub fn record(&self, size: u64) {
        *self.0.borrow_mut() = State::Asked(size);
    }

    /// Moves what is ready to `sink`; gives how many bytes that were.
    ///
    /// # Errors
    /// `sink` fails.
    pub fn take(&self, sink: &mut dyn Write) -> io::Result<u64> {
        let mut state = self.0.borrow_mut();
        let State::On(recording) = &mut *state else { return Ok(0) };
        sink.write_all(recording.ready())?;
        let count = recording.ready().len() as u64;
        recording.forget_ready();
        Ok(count)
    }

    /// Whether all bytes that were asked for have been read and recorded, and the stream is ended.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        matches!(&*self.0.borrow(), State::On(recording) if recording.is_done())
    }

    /// What the recorded stream can be held to, if it is [complete](DeflateRecorder::is_complete), large enough for that, and made of
    /// blocks that are small beside it. Gives it once.
    #[must_use]
    pub fn take_fingerprint(&self) -> Option<StreamFingerprint> {
        match &mut *self.0.borrow_mut() {
            State::On(recording) => recording.take_fingerprint(),
            _ => None,
        }
    }

    /// Begins what was asked for at the byte `start`, of which and of the bytes behind it `ahead` is decompressed already;
    /// `stored` are the bytes that are left of the stored block that the reader is in.
    pub(super) fn begin(&self, start: u64, ahead: &[u8], stored: Option<usize>, codes: &Codes) {
        let mut state = self.0.borrow_mut();
        if let State::Asked(size) = *state {
            *state = match SplicedStream::begin(start, size, ahead, codes) {
                Some(mut recording) => {
                    recording.end_if_complete(codes);
                    if let Some(left) = stored {
                        recording.stored_begins(left);
                    }
                    State::On(Box::new(recording))
                }
                None => State::Impossible,
            };
        }
    }

    /// Calls `with` with the recording that is under way, if one is.
    pub(super) fn with<T: Default>(&self, with: impl FnOnce(&mut SplicedStream) -> T) -> T {
        match &mut *self.0.borrow_mut() {
            State::On(recording) if !recording.is_done() => with(recording),
            _ => T::default(),
        }
    }
}
