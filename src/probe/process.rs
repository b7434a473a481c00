//! The process of the executable: started by the launcher without this process's environment, read for a limited time,
//! and killed with all processes that it has started.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use super::handshake::COOKIE;
use super::launcher::{self, Word};

/// The longest first line; go-plugin's own is some hundred bytes, and a thousand more with a certificate.
const MAX_LINE: usize = 4 * 1024;
/// How much of standard error is kept: its end, where a program reports why it exits.
const MAX_STDERR: usize = 4 * 1024;
/// How often the process is polled.
const TICK: Duration = Duration::from_millis(10);
/// How much is read of one pipe at a time: the capacity of a pipe.
const PIPE: usize = 64 * 1024;
/// How long to wait for killed processes; the kernel needs less time than a user would notice.
const KILLED: Duration = Duration::from_millis(500);
/// The maximum length of a folder in which a plugin can create its socket: the path of a socket has 103 bytes on macOS
/// and 107 on Linux, and go-plugin adds `/plugin` and a number of up to ten digits.
const MAX_SOCKET_FOLDER: usize = 103 - 17;

/// The output of a process, and how the wait for it ended.
#[derive(Debug)]
pub(super) struct FirstLine {
    pub(super) end: End,
    /// The end of its standard error.
    pub(super) stderr: Vec<u8>,
    /// The message of its launcher.
    pub(super) word: Word,
}

/// The arguments of a start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Start<'a> {
    /// The tfreg program.
    pub(super) launcher: &'a Path,
    /// The executable's name in `folder`.
    pub(super) executable: &'a OsStr,
    /// The only folder that it can use.
    pub(super) folder: &'a Path,
    /// The user that it gets, if it is not this process's; that user owns the folder.
    pub(super) user: Option<u32>,
}

/// Why reading its output has ended.
#[derive(Debug)]
pub(super) enum End {
    /// It has written a line to standard output.
    Line(Vec<u8>),
    /// It has written more than the maximum length of a first line.
    Endless(Vec<u8>),
    /// It has exited; its standard output did not end in a line end.
    Ended(ExitStatus, Vec<u8>),
    /// It has neither answered nor exited.
    Silent,
}

/// Starts an executable, offers it these versions, and reads its first line. When this returns or is dropped, the
/// executable and all processes of its group are gone.
///
/// # Errors
/// Fails if it cannot be started.
pub(super) async fn hear(start: Start<'_>, offered: &str, patience: Duration) -> io::Result<FirstLine> {
    let deadline = Instant::now() + patience;
    let (word, writer) = io::pipe()?;
    let mut running = {
        let mut command = command(start, offered);
        Running { child: command.stdin(writer).spawn()?, stopped: false }
    };
    let mut word = Pipe::new(Some(word))?;
    let mut stdout = Pipe::new(running.child.stdout.take())?;
    let mut stderr = Pipe::new(running.child.stderr.take())?;
    let (mut line, mut tail, mut said) = (Vec::new(), Tail::default(), Vec::new());
    loop {
        // Polled before the pipes are read: they then contain everything that the process wrote before its exit.
        let ended = running.has_ended();
        let late = Instant::now() >= deadline;
        stdout.read(|bytes| first_line(&mut line, bytes));
        stderr.read(|bytes| tail.add(bytes));
        word.read(|bytes| said.extend_from_slice(bytes));
        let is_line = line.last() == Some(&b'\n');
        if is_line || line.len() > MAX_LINE || ended || late {
            let status = running.stop();
            stderr.read(|bytes| tail.add(bytes));
            word.read(|bytes| said.extend_from_slice(bytes));
            let word = Word::read(&said)
                .ok_or_else(|| io::Error::other(format!("{} did not start it", start.launcher.display())))?;
            if let Some(error) = word.failed {
                return Err(io::Error::from_raw_os_error(error));
            }
            let end = match status {
                _ if is_line => {
                    line.pop();
                    End::Line(line)
                }
                _ if line.len() > MAX_LINE => End::Endless(line),
                Some(status) if ended => End::Ended(status, line),
                _ => End::Silent,
            };
            return Ok(FirstLine { end, stderr: tail.0.into(), word });
        }
        tokio::time::sleep(TICK).await;
    }
}

/// Starts it as go-plugin does (`client.go`), but without this process's environment. Terraform sends the certificate
/// for TLS too; without one a plugin listens without TLS, and nothing connects here.
fn command(start: Start<'_>, offered: &str) -> Command {
    let here = Path::new(".");
    // Another user may not be able to access the folder by its whole path.
    let reachable = start.user.is_none() || start.folder.ancestors().skip(1).all(is_open_to_all);
    let home = if reachable { start.folder } else { here };
    let temporary = if start.folder.as_os_str().len() > MAX_SOCKET_FOLDER { here } else { home };
    let mut command = Command::new(start.launcher);
    command
        .args(launcher::arguments(start.user, start.folder, start.executable))
        .env_clear()
        .env(COOKIE.0, COOKIE.1)
        .envs([
            ("PLUGIN_PROTOCOL_VERSIONS", offered),
            ("PLUGIN_MIN_PORT", "10000"),
            ("PLUGIN_MAX_PORT", "25000"),
        ])
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", home)
        .env("TMPDIR", temporary)
        .current_dir(start.folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    command
}

/// Whether every user can pass through a folder.
fn is_open_to_all(folder: &Path) -> bool {
    std::fs::metadata(folder).is_ok_and(|found| found.permissions().mode() & 0o001 != 0)
}

/// A child that leads a process group of its own. It is killed with the group when dropped.
struct Running {
    child: Child,
    stopped: bool,
}

impl Running {
    fn group(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Whether it has exited. It is not reaped here: until then, no other process can get its number.
    fn has_ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        // An error means that there is no such child to wait for.
        !matches!(rustix::process::waitid(WaitId::Pid(self.group()), options), Ok(None))
    }

    /// Kills the group and reaps its leader; returns the leader's exit status.
    fn stop(&mut self) -> Option<ExitStatus> {
        let group = self.group();
        if !self.stopped {
            self.stopped = true;
            // The kill comes before the wait: after it is reaped, the number may belong to another process. It fails if
            // no process is left to kill.
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
            let deadline = Instant::now() + KILLED;
            let wait_while = |condition: &mut dyn FnMut() -> bool| {
                while condition() && Instant::now() < deadline {
                    std::thread::sleep(Duration::from_millis(1));
                }
            };
            wait_while(&mut || matches!(self.child.try_wait(), Ok(None)));
            // This process cannot reap the processes that it started, but gives them time to exit: they write into the
            // folder that is removed next.
            wait_while(&mut || rustix::process::test_kill_process_group(group).is_ok());
        }
        self.child.try_wait().ok().flatten()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The reading end of a pipe; reads do not block.
struct Pipe<R>(Option<R>);

impl<R: Read + AsFd> Pipe<R> {
    fn new(pipe: Option<R>) -> io::Result<Self> {
        if let Some(pipe) = &pipe {
            rustix::io::ioctl_fionbio(pipe, true)?;
        }
        Ok(Self(pipe))
    }

    /// Passes on the available bytes, up to a limit, because the process may continue to write.
    fn read(&mut self, mut to: impl FnMut(&[u8])) {
        let Some(pipe) = &mut self.0 else { return };
        let mut buffer = [0; 4096];
        for _ in 0..2 * PIPE / buffer.len() {
            match pipe.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => to(buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Nothing is available, or the pipe is closed.
                Err(_) => break,
            }
        }
    }
}

/// Adds `bytes` up to the end of the first line, and not much more than its maximum length.
fn first_line(line: &mut Vec<u8>, bytes: &[u8]) {
    if line.last() != Some(&b'\n') && line.len() <= MAX_LINE {
        let end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
        line.extend(bytes.iter().take(end.min(MAX_LINE + 1)));
    }
}

/// The last bytes of a long output.
#[derive(Default)]
struct Tail(VecDeque<u8>);

impl Tail {
    fn add(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
        self.0.drain(..self.0.len().saturating_sub(MAX_STDERR));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_taken_however_it_comes() {
        for size in 1..8 {
            let mut line = Vec::new();
            b"1|6|x\nmore\n".chunks(size).for_each(|bytes| first_line(&mut line, bytes));
            assert_eq!(line, b"1|6|x\n", "{size}");
        }
        let mut line = Vec::new();
        for _ in 0..100 {
            first_line(&mut line, &[b'x'; 1000]);
        }
        assert!(line.len() > MAX_LINE && line.len() < 2 * MAX_LINE + 2, "{}", line.len());
    }

    #[test]
    fn the_tail_is_the_end() {
        let mut tail = Tail::default();
        for number in 0..5000_u32 {
            tail.add(format!("{number}\n").as_bytes());
        }
        let tail = Vec::from(tail.0);
        assert!(tail.len() == MAX_STDERR && tail.ends_with(b"\n4998\n4999\n"));
    }
}
