//! The process that becomes a probed executable: tfreg itself, started anew, gives up every right that it can and then
//! executes the executable in its place.
//!
//! It is a process of its own because what confines is confined for ever, and because no code of this program can run
//! between `fork` and `exec` without `unsafe`. What it could give up it writes to its standard input, a pipe, which closes
//! when the executable takes over; so nothing that the executable does can be taken for a word of the launcher.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
#[cfg(target_os = "linux")]
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// What tfreg's first argument is when it shall be the launcher. No subcommand: nobody is meant to type it.
pub const ARGUMENT: &str = "__probe";

/// Attempts to start an executable that is still open for writing somewhere.
const STARTS: u32 = 20;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(20);

/// What an executable is kept from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Confinement {
    /// It reads no file but those that programs need, and neither memory nor environment of another process.
    pub(super) files_and_processes: bool,
    /// It can send no signal to another process.
    pub(super) signals: bool,
    /// It can use no network, and connect to no socket.
    pub(super) network: bool,
}

/// What the launcher has to say before it becomes the executable, or cannot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Word {
    /// What the executable is kept from.
    pub(super) confinement: Confinement,
    /// It has another user than tfreg.
    pub(super) other_user: bool,
    /// Why it was not executed, as the system's number.
    pub(super) failed: Option<i32>,
}

impl Word {
    /// As it is written: four digits, then the error's number if there is one.
    fn write(self) -> String {
        let Confinement { files_and_processes, signals, network } = self.confinement;
        let digits = [files_and_processes, signals, network, self.other_user].map(u8::from);
        let digits: String = digits.iter().map(ToString::to_string).collect();
        self.failed.map_or(digits.clone(), |number| format!("{digits} {number}"))
    }

    /// The last word that was written; `None` where there is none.
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

/// The command line of a launcher: the user that the executable shall have, if another, its folder, and its path from there.
pub(super) fn arguments(user: Option<u32>, folder: &Path, executable: &OsStr) -> [OsString; 4] {
    let user = user.map_or("-".to_owned(), |user| user.to_string());
    [ARGUMENT.into(), user.into(), folder.into(), executable.into()]
}

/// Is the launcher, with what follows [`ARGUMENT`]; returns only if there is no executable to become.
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
        // Another thread of tfreg has started a process at the moment when the executable was written: until that
        // process has executed its own program, it holds the file open too.
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

/// Becomes the executable, as that user; gives why not.
///
/// By `execve` and not by the standard library's `exec`, which is `execvp`: the C library hands a file that the kernel does not
/// know to `/bin/sh`, whose complaint would then be taken for the plugin's. Unlike the standard library this leaves
/// SIGPIPE ignored, which a plugin has no use for before its first line.
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
        // A second attempt is that user's already.
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

/// Becomes the executable, as that user; gives why not. What the kernel does not know is handed to `/bin/sh` here.
#[cfg(not(target_os = "linux"))]
fn become_executable(executable: &OsStr, user: Option<u32>) -> io::Error {
    use std::os::unix::process::CommandExt as _;

    let mut command = std::process::Command::new(Path::new(".").join(executable));
    command.stdin(std::process::Stdio::null());
    if let Some(user) = user {
        // Of other groups none is left then: the standard library clears them for root.
        command.gid(user).uid(user);
    }
    command.exec()
}

#[cfg(target_os = "linux")]
fn give_up(user: Option<u32>, folder: &Path) -> Word {
    use rustix::thread::{CapabilitySet, CapabilitySets};

    // What fails here is in no word: it is in none of the promises, but one more wall.
    let _ = rustix::thread::set_no_new_privs(true);
    if user.is_none() {
        let none = CapabilitySet::empty();
        let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
        // With no new privileges allowed, executing gives none back, to root neither.
        let _ = rustix::thread::set_capabilities(None, sets);
    }
    let mut confinement = super::confinement::confine(folder);
    confinement.signals |= user.is_some();
    Word { confinement, other_user: user.is_some(), failed: None }
}

/// Other systems have nothing that can be asked for without `unsafe`.
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
