//! Protects the secrets of this process before it does anything else.
//!
//! Its memory contains the key and the passphrase, and so does, with the AWS credentials, the environment with which it
//! was started. Only root (`CAP_SYS_PTRACE`) may read either, and a crash does not write them to a file. The kernel
//! protects its copy of the environment (`/proc/PID/environ`) by the same check as the memory; so executing this
//! program again with fewer variables would gain nothing.
//!
//! The secret parts of an unlocked key are encrypted in memory until they are used, by the OpenPGP library
//! (`sequoia_openpgp::crypto::mem`), under a key of several pages, so that a single page in swap reveals nothing. The
//! texts of key and passphrase are wiped as soon as the key is read.

use rustix::process::{Resource, Rlimit, setrlimit};

/// Makes this process unreadable for other processes of its user, and disables core dumps. If the system forbids these
/// calls, as a sandbox may, the process runs without them, because it needs the secrets all the same.
pub(super) fn harden() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
}
