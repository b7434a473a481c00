//! Keeps long computations from blocking the threads that serve requests.

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task;

/// Runs a computation that takes some time, such as parsing a large index, without delaying the requests that are under
/// way: another thread takes over this thread's requests until the computation is done. On a runtime with one thread,
/// or outside of one, it simply runs.
pub(crate) fn compute<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current() {
        Ok(handle) if handle.runtime_flavor() == RuntimeFlavor::MultiThread => task::block_in_place(work),
        _ => work(),
    }
}
