//! Checks what this machine must provide before a command begins. Libraries would end the process if it were missing;
//! here that is a proper error.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::{Error, Result};

/// The number of threads that every command needs: two that compute, and some that wait for files.
const THREADS: usize = 6;
/// The number of pipes that must open at once, of two file descriptors each: for the runtime, its signals, files and
/// connections.
const PIPES: usize = 10;

/// Checks that OpenPGP can represent the time of the clock: 32 bits of seconds since 1970 (RFC 9580, 3.5).
///
/// # Errors
/// Fails if it is before 1970 or after 2106.
pub(super) fn check_clock(now: SystemTime) -> Result<()> {
    let seconds = now.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs());
    if seconds.is_some_and(|seconds| u32::try_from(seconds).is_ok()) {
        return Ok(());
    }
    let says =
        jiff::Timestamp::try_from(now).map_or("a time that is no date".to_owned(), |time| time.to_string());
    Err(Error::Machine(format!(
        "the clock of this machine says {says}, and signatures can only hold times from 1970 to 2106; set the clock"
    )))
}

/// Checks that threads can be started and files opened.
///
/// # Errors
/// Fails if they cannot; the error names the limit that may be the reason.
pub(super) fn check_room() -> Result<()> {
    let pipes: io::Result<Vec<_>> = (0..PIPES).map(|_| io::pipe()).collect();
    pipes.map_err(|source| Error::Io {
        context: format!(
            "cannot open {} files at once (`ulimit -n` shows the limit, `ulimit -n 1024` raises it)",
            2 * PIPES
        ),
        source,
    })?;
    // Each thread waits until all of them have started.
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock();
    let thread = |_| {
        let gate = Arc::clone(&gate);
        std::thread::Builder::new().spawn(move || drop(gate.lock()))
    };
    let threads: Vec<io::Result<_>> = (0..THREADS).map(thread).collect();
    drop(closed);
    let mut failure = None;
    for thread in threads {
        match thread {
            Ok(thread) => drop(thread.join()),
            Err(error) => failure = Some(error),
        }
    }
    failure.map_or(Ok(()), |source| {
        Err(Error::Io {
            context: format!(
                "cannot start {THREADS} threads at once (`ulimit -u` of bash shows the limit of this user)"
            ),
            source,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_clock_that_signatures_cannot_hold_is_an_error() {
        let last = UNIX_EPOCH + Duration::from_secs(u64::from(u32::MAX));
        for (good, time) in [
            (true, UNIX_EPOCH),
            (true, SystemTime::now()),
            (true, last),
            (false, last + Duration::from_secs(1)),
            (false, UNIX_EPOCH - Duration::from_secs(1)),
            (false, UNIX_EPOCH + Duration::from_hours(24 * 365 * 100_000)),
        ] {
            assert_eq!(check_clock(time).is_ok(), good, "{time:?}");
        }
        let error = check_clock(last + Duration::from_secs(1)).unwrap_err();
        assert!(error.to_string().contains("says 2106-02-07T06:28:16Z"), "{error}");
        assert_eq!(error.exit_code(), 1);
    }

    #[test]
    fn this_machine_has_room() {
        check_room().unwrap();
    }
}
