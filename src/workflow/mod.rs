//! What the commands do: a request in, an outcome out.
//!
//! Nothing here reads arguments or the environment, or prints: the command line makes the requests, and the report tells of
//! outcomes. Whether an outcome fails the command is decided here.

pub mod change;
pub mod publish;
pub mod source;
pub mod target;

use crate::probe::Probe;
use crate::release::Release;

/// Is told of what a command does while it does it.
pub trait Observer: crate::publish::Observer {
    /// Something that the user should know, and that does not stop the command.
    fn warn(&self, text: &str);

    /// What is going on.
    fn note(&self, text: &str);

    /// So many tarballs of so many bytes are fetched; gives what is told of bytes that have come.
    fn fetching(&self, count: usize, bytes: u64) -> Box<dyn Fn(u64) + Send + Sync>;

    /// A release is repacked; gives what is told of it.
    fn repacking(&self, release: &Release) -> Box<dyn Repacking + '_>;

    /// An executable was asked for its protocols.
    fn probed(&self, probe: &Probe);
}

/// Is told of tarballs that are repacked.
pub trait Repacking: Sync {
    /// More compressed bytes of a tarball were read; it is named by its index in the release.
    fn advance(&self, tarball: usize, bytes: u64);

    /// All is repacked.
    fn finish(&self);
}
