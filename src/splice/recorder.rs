//! The interface of a recording for the caller that reads the file.

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;

use super::block::Codes;
use super::fingerprint::StreamFingerprint;
use super::spliced_stream::SplicedStream;

/// Records the compressed stream of a file while its bytes are read from an [`Unpacker`](super::Unpacker).
///
/// Call [`record`](DeflateRecorder::record) when the reader is at the file's first byte, read the file, and call
/// [`take`](DeflateRecorder::take) from time to time: recorded data stays in memory until it is taken.
#[derive(Clone, Default)]
pub struct DeflateRecorder(Rc<RefCell<State>>);

#[derive(Default)]
enum State {
    #[default]
    Off,
    /// Requested for a file of this size, which begins with the next byte to be read.
    Asked(u64),
    On(Box<SplicedStream>),
    /// The recording could not begin.
    Impossible,
}

impl DeflateRecorder {
    /// Records the next `size` bytes that are read; discards earlier recordings.
    pub fn record(&self, size: u64) {
        *self.0.borrow_mut() = State::Asked(size);
    }

    /// Moves the bytes that are ready to `sink`; returns how many there were.
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

    /// Whether all requested bytes have been read and recorded, and the stream has ended.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        matches!(&*self.0.borrow(), State::On(recording) if recording.is_done())
    }

    /// The fingerprint of the recorded stream, if it is [complete](DeflateRecorder::is_complete), large enough, and
    /// made of blocks that are small compared with it. It is returned only once.
    #[must_use]
    pub fn take_fingerprint(&self) -> Option<StreamFingerprint> {
        match &mut *self.0.borrow_mut() {
            State::On(recording) => recording.take_fingerprint(),
            _ => None,
        }
    }

    /// Begins the requested recording at the byte `start`. `ahead` are the bytes from `start` on that are already
    /// decompressed; `stored` is the number of bytes left in the stored block that the reader is in.
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

    /// Calls `with` with the current recording, if there is one.
    pub(super) fn with<T: Default>(&self, with: impl FnOnce(&mut SplicedStream) -> T) -> T {
        match &mut *self.0.borrow_mut() {
            State::On(recording) if !recording.is_done() => with(recording),
            _ => T::default(),
        }
    }
}
