//! The process that becomes a probed executable: tfreg itself, started again, gives up every right that it can and then
//! executes the executable in its place.
//!
//! It is a process of its own because a confinement cannot be undone, and because no code of this program can run
//! between `fork` and `exec` without `unsafe`. It writes the rights that it could give up to its standard input, a
//! pipe, which closes when the executable takes over; so no output of the executable can be mistaken for the
//! launcher's.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
#[cfg(target_os = "linux")]
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// The first argument of tfreg that makes it the launcher. Not a subcommand: no user should type it.
pub const ARGUMENT: &str = "__probe";

/// Attempts to start an executable that is still open for writing somewhere.
const STARTS: u32 = 20;
/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(20);

/// The access that is denied to an executable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Confinement {
    /// It cannot read files except those that programs need, nor the memory or environment of another process.
    pub(super) files_and_processes: bool,
    /// It cannot send a signal to another process.
    pub(super) signals: bool,
    /// It cannot use a network, or connect to a socket.
    pub(super) network: bool,
}

/// The message of the launcher before it becomes the executable, or after it failed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Word {
    /// The access that is denied to the executable.
    pub(super) confinement: Confinement,
    /// It has another user than tfreg.
    pub(super) other_user: bool,
    /// Why it was not executed, as the system's error number.
    pub(super) failed: Option<i32>,
}

impl Word {
    /// The message as text: four digits, then the error's number if there is one.
    fn write(self) -> String {
        let Confinement { files_and_processes, signals, network } = self.confinement;
        let digits = [files_and_processes, signals, network, self.other_user].map(u8::from);
        let digits: String = digits.iter().map(ToString::to_string).collect();
        self.failed.map_or(digits.clone(), |number| format!("{digits} {number}"))
    }

    /// Parses the last message; `None` if there is none.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let line = text.lines().last()?;
        let (digits, failed) = match line.split_once(' ') {
            Some((digits, number)) => (digits, Some(number.parse().ok()?)),
            None => (line, None),
        };
        let digits: Vec<bool> = digits.bytes().map(|digit| digit == b'1').collect();
        let [files_and_processes, signals, network, other_user] = digits.try_into().ok()?;
        let confinement = Confinement { files_and_processes, signals, network };
        Some(Self { confinement, other_user, failed })
    }
}

/// The command line of a launcher: the executable's user, if it is another, its folder, and its path relative to the
/// folder.
pub(super) fn arguments(user: Option<u32>, folder: &Path, executable: &OsStr) -> [OsString; 4] {
    let user = user.map_or("-".to_owned(), |user| user.to_string());
    [ARGUMENT.into(), user.into(), folder.into(), executable.into()]
}

/// Runs the launcher with the arguments after [`ARGUMENT`]; returns only if it cannot become the executable.
pub fn run(arguments: &[OsString]) -> ExitCode {
    let [user, folder, executable] = arguments else { return ExitCode::from(2) };
    let user: Option<u32> = user.to_str().and_then(|user| user.parse().ok());
    // Standard input is the pipe to the parent until the executable takes over.
    let Ok(parent) = rustix::io::fcntl_dupfd_cloexec(io::stdin(), 3) else { return ExitCode::from(2) };
    let mut parent = std::fs::File::from(parent);
    let mut word = give_up(user, Path::new(folder));
    if writeln!(parent, "{}", word.write()).is_err() {
        return ExitCode::from(2);
    }
    let mut attempt = 0;
    let error = loop {
        let error = become_executable(executable, user);
        // Another thread of tfreg started a process while the executable was being written: until that process has
        // executed its own program, it holds the file open too.
        if error.kind() != io::ErrorKind::ExecutableFileBusy || attempt == STARTS {
            break error;
        }
        attempt += 1;
        std::thread::sleep(PAUSE);
    };
    word.failed = Some(error.raw_os_error().unwrap_or(0));
    drop(writeln!(parent, "{}", word.write()));
    ExitCode::from(2)
}

/// Becomes the executable, as that user; returns the error if that fails.
///
/// Uses `execve` and not the standard library's `exec`, which is `execvp`: the C library runs a file of an unknown
/// format with `/bin/sh`, whose error message would then be mistaken for the plugin's. Unlike the standard library this
/// leaves SIGPIPE ignored, which a plugin does not need before its first line.
#[cfg(target_os = "linux")]
fn become_executable(executable: &OsStr, user: Option<u32>) -> io::Error {
    use std::ffi::CString;

    use nix::unistd::{Gid, Uid, dup2_stdin, execve, getuid, setgid, setgroups, setuid};

    let attempt = || -> io::Result<std::convert::Infallible> {
        let path = CString::new([b"./", executable.as_bytes()].concat())?;
        let variable = |(name, value): (OsString, OsString)| {
            CString::new([name.as_bytes(), b"=", value.as_bytes()].concat())
        };
        let environment = std::env::vars_os().map(variable).collect::<Result<Vec<_>, _>>()?;
        dup2_stdin(std::fs::File::open("/dev/null")?)?;
        // In a second attempt the process has that user already.
        if let Some(user) = user.filter(|user| getuid().as_raw() != *user) {
            setgroups(&[])?;
            setgid(Gid::from_raw(user))?;
            setuid(Uid::from_raw(user))?;
        }
        Ok(execve(&path, &[&path], &environment)?)
    };
    let Err(error) = attempt();
    error
}

/// Becomes the executable, as that user; returns the error if that fails. A file of an unknown format is run with
/// `/bin/sh` here.
#[cfg(not(target_os = "linux"))]
fn become_executable(executable: &OsStr, user: Option<u32>) -> io::Error {
    use std::os::unix::process::CommandExt as _;

    let mut command = std::process::Command::new(Path::new(".").join(executable));
    command.stdin(std::process::Stdio::null());
    if let Some(user) = user {
        // No other groups are left then: the standard library clears them for root.
        command.gid(user).uid(user);
    }
    command.exec()
}

#[cfg(target_os = "linux")]
fn give_up(user: Option<u32>, folder: &Path) -> Word {
    use rustix::thread::{CapabilitySet, CapabilitySets};

    // A failure here is not reported: nothing relies on this, it is an additional barrier.
    let _ = rustix::thread::set_no_new_privs(true);
    if user.is_none() {
        let none = CapabilitySet::empty();
        let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
        // Without new privileges, executing a program gives none back, not even to root.
        let _ = rustix::thread::set_capabilities(None, sets);
    }
    let mut confinement = super::confinement::confine(folder);
    confinement.signals |= user.is_some();
    Word { confinement, other_user: user.is_some(), failed: None }
}

/// Other systems have no confinement that can be requested without `unsafe`.
#[cfg(not(target_os = "linux"))]
fn give_up(user: Option<u32>, _folder: &Path) -> Word {
    let confinement = Confinement { signals: user.is_some(), ..Confinement::default() };
    Word { confinement, other_user: user.is_some(), failed: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_read_as_it_was_written() {
        for bits in 0..16_u8 {
            for failed in [None, Some(2), Some(0)] {
                let bit = |at: u8| bits & (1 << at) != 0;
                let (files_and_processes, signals, network, other_user) = (bit(0), bit(1), bit(2), bit(3));
                let confinement = Confinement { files_and_processes, signals, network };
                let word = Word { confinement, other_user, failed };
                assert_eq!(Word::read(word.write().as_bytes()), Some(word));
                let earlier = Word::default().write();
                assert_eq!(Word::read(format!("{earlier}\n{}\n", word.write()).as_bytes()), Some(word));
            }
        }
        for text in ["", "\n", "111", "11111", "1111 x", "usage: tfreg"] {
            assert_eq!(Word::read(text.as_bytes()), None, "{text:?}");
        }
    }
}
