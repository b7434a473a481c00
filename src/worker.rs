//! The threads that serve requests, and what must not keep them.

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task;

/// Does what takes a processor some time, such as parsing a large index, beside the requests that are under way: this thread
/// leaves them to another one until it has done it. Without such a thread it is done as it is.
pub(crate) fn compute<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current() {
        Ok(handle) if handle.runtime_flavor() == RuntimeFlavor::MultiThread => task::block_in_place(work),
        _ => work(),
    }
}
