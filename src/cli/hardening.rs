//! What this process does for its secrets before anything else.
//!
//! Key and passphrase are in its memory, and, with the AWS credentials, in the environment that it was started with. Nobody
//! but root (`CAP_SYS_PTRACE`) may read either, and no crash writes them to a file. What the kernel holds of the environment
//! (`/proc/PID/environ`) is as well guarded as the memory itself, by the same check; so nothing would be won by executing this
//! program once more with fewer variables.
//!
//! The secret parts of an unlocked key are encrypted in memory until they are used, by the OpenPGP library
//! (`sequoia_openpgp::crypto::mem`), under a key of several pages, so that a page in swap tells nothing. The texts of key
//! and passphrase are wiped as soon as the key is read.

use rustix::process::{Resource, Rlimit, setrlimit};

/// Makes this process unreadable for other processes of its user, and without core dumps. What the system refuses it, it runs
/// without: a sandbox may forbid these calls, and secrets are needed all the same.
pub(super) fn harden() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
}
