//! SHA-256 of the files that are packed, computed by another thread, beside their decompression.

use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread;

use sha2::{Digest as _, Sha256};

use crate::content::{CHUNK, Digest};

/// How many buffers may wait to be hashed: enough to bridge the time of an empty stretch, and 1 MiB in all.
const WAITING: usize = 8;

/// A file's SHA-256, and its length in bytes.
pub(super) type FileDigest = (Digest, u64);

/// Computes the SHA-256 of one file after the other.
pub(super) struct FileHasher(Place);

enum Place {
    Thread {
        pieces: SyncSender<Piece>,
        /// Buffers that were hashed.
        spare: Receiver<Vec<u8>>,
        digests: Receiver<FileDigest>,
    },
    /// No thread could be started.
    Here(State),
}

enum Piece {
    /// The first so many bytes of the buffer.
    Bytes(Vec<u8>, usize),
    EndOfFile,
}

#[derive(Default)]
struct State {
    hash: Sha256,
    len: u64,
    done: Vec<FileDigest>,
}

impl State {
    fn update(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.len += bytes.len() as u64;
    }

    fn end(&mut self) -> FileDigest {
        let hash = std::mem::take(&mut self.hash);
        (Digest::from_hasher(hash), std::mem::take(&mut self.len))
    }
}

impl FileHasher {
    /// Starts the thread. It ends with this value.
    pub(super) fn new() -> Self {
        let (pieces, waiting) = sync_channel(WAITING);
        let (hashed, spare) = channel();
        let (done, digests) = channel();
        let work = move || {
            let mut state = State::default();
            while let Ok(piece) = waiting.recv() {
                // The other side does not need what is sent to it if it is gone.
                match piece {
                    Piece::Bytes(buffer, count) => {
                        state.update(buffer.get(..count).unwrap_or_default());
                        drop(hashed.send(buffer));
                    }
                    Piece::EndOfFile => drop(done.send(state.end())),
                }
            }
        };
        match thread::Builder::new().name("h1".to_owned()).spawn(work) {
            Ok(_) => Self(Place::Thread { pieces, spare, digests }),
            Err(error) => {
                tracing::debug!("cannot start a thread for h1: {error}");
                Self(Place::Here(State::default()))
            }
        }
    }

    /// Adds the first `count` bytes of `buffer` to the current file. `buffer` is another one of at least the same size
    /// afterwards.
    pub(super) fn update(&mut self, buffer: &mut Vec<u8>, count: usize) {
        match &mut self.0 {
            Place::Thread { pieces, spare, .. } => {
                let other = spare.try_recv().unwrap_or_else(|_| vec![0; CHUNK.max(buffer.len())]);
                let full = std::mem::replace(buffer, other);
                // A thread that is gone is noticed at the end, where its digests are missing.
                drop(pieces.send(Piece::Bytes(full, count)));
            }
            Place::Here(state) => state.update(buffer.get(..count).unwrap_or_default()),
        }
    }

    /// Ends the current file.
    pub(super) fn end_of_file(&mut self) {
        match &mut self.0 {
            Place::Thread { pieces, .. } => drop(pieces.send(Piece::EndOfFile)),
            Place::Here(state) => {
                let digest = state.end();
                state.done.push(digest);
            }
        }
    }

    /// The digests of all files, in order.
    pub(super) fn finish(self) -> Vec<FileDigest> {
        match self.0 {
            Place::Thread { pieces, digests, .. } => {
                drop(pieces);
                digests.iter().collect()
            }
            Place::Here(state) => state.done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_places_give_the_same() {
        let files: [Vec<u8>; 4] = [vec![7; 3 * CHUNK + 5], vec![], vec![1, 2, 3], vec![9; CHUNK]];
        let expected: Vec<FileDigest> =
            files.iter().map(|file| (Digest::of(file), file.len() as u64)).collect();
        for mut hasher in [FileHasher::new(), FileHasher(Place::Here(State::default()))] {
            let mut buffer = vec![0; CHUNK];
            for file in &files {
                for piece in file.chunks(CHUNK / 3) {
                    buffer[..piece.len()].copy_from_slice(piece);
                    hasher.update(&mut buffer, piece.len());
                    assert!(buffer.len() >= CHUNK);
                }
                hasher.end_of_file();
            }
            assert_eq!(hasher.finish(), expected);
        }
    }
}
