//! The function of each command: a request in, an outcome out.
//!
//! Nothing here reads arguments or the environment, or prints: the command line makes the requests, and the report
//! prints the outcomes. Whether an outcome fails the command is decided here.

pub mod change;
mod docs;
pub mod downloads;
pub mod invalidation;
pub mod list;
pub mod mirror;
pub mod publish;
pub mod signature;
pub mod signer;
pub mod source;
pub mod target;

use crate::release::Release;

/// Observes a command while it runs.
pub trait Observer: crate::publish::Observer {
    /// A warning for the user, which does not stop the command.
    fn warn(&self, text: &str);

    /// What the command is doing.
    fn note(&self, text: &str);

    /// This many tarballs or zips with this many bytes are fetched; returns a function that is called with the bytes that
    /// arrive.
    fn fetching(&self, count: usize, bytes: u64) -> Box<dyn Fn(u64) + Send + Sync>;

    /// A release is repacked, or its zips are checked; `position` is its number, and that of all releases of the run.
    /// Returns an observer of it.
    fn repacking(&self, release: &Release, position: (usize, usize)) -> Box<dyn Repacking + '_>;
}

/// Observes the repacking of tarballs.
pub trait Repacking: Sync {
    /// More compressed bytes of a tarball were read; `index` is its position in the release.
    fn advance(&self, tarball: usize, bytes: u64);

    /// All tarballs are repacked.
    fn finish(&self);
}
