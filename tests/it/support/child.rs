//! Children of a test. None outlives its test, and none outlives the test binary, not even one that is killed.

use std::io::Write as _;
use std::ops::{Deref, DerefMut};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

/// A child that leads a process group of its own. Killed with the group, and reaped, when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    /// `None` only while a method takes it out of here.
    child: Option<Child>,
    group: Pid,
}

impl Running {
    #[track_caller]
    pub(crate) fn start(command: &mut Command) -> Self {
        let started = command.process_group(0).spawn();
        let child = started.unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
        let group = Pid::from_child(&child);
        tell_watchdog('+', group);
        Self { child: Some(child), group }
    }

    /// Sends a signal to the child alone.
    pub(crate) fn signal(&self, signal: Signal) {
        // Once it is reaped the number may be another process's.
        if self.is_unreaped() {
            rustix::process::kill_process(self.group, signal).unwrap();
        }
    }

    /// Waits for its end, and gives what it has written to pipes until then.
    pub(crate) fn output(mut self) -> Output {
        self.child.take().unwrap().wait_with_output().unwrap()
    }

    /// Whether nobody has waited for it yet, whether it has ended or not.
    fn is_unreaped(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        rustix::process::waitid(WaitId::Pid(self.group), options).is_ok()
    }
}

impl Deref for Running {
    type Target = Child;

    fn deref(&self) -> &Child {
        self.child.as_ref().unwrap()
    }
}

impl DerefMut for Running {
    fn deref_mut(&mut self) -> &mut Child {
        self.child.as_mut().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Nothing here may panic: a test that fails is unwinding, and a second panic takes the whole binary down.
        if self.is_unreaped() {
            let _ = rustix::process::kill_process_group(self.group, Signal::KILL);
        }
        if let Some(child) = &mut self.child {
            let _ = child.wait();
        }
        tell_watchdog('-', self.group);
    }
}

/// Tells the watchdog of a process group: `+` to be killed with this binary, `-` no more.
fn tell_watchdog(sign: char, group: Pid) {
    static PIPE: OnceLock<Option<Mutex<ChildStdin>>> = OnceLock::new();
    // A benchmark has this file too, and no test that could be started.
    let start = || if env!("CARGO_CRATE_NAME") == "it" { start_watchdog().ok() } else { None };
    let Some(pipe) = PIPE.get_or_init(|| start().map(Mutex::new)) else { return };
    let mut pipe = pipe.lock().unwrap_or_else(PoisonError::into_inner);
    let _ = writeln!(pipe, "{sign}{}", group.as_raw_nonzero());
}

/// This very binary once more, in a process group that no Ctrl-C reaches. No other process gets the writing end of its
/// pipe, so that the pipe ends with this process, however that comes.
fn start_watchdog() -> std::io::Result<ChildStdin> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--ignored", "--exact", "children::watchdog"]).env(WATCHDOG, "1");
    let mut child =
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    child.stdin.take().ok_or_else(|| std::io::Error::other("no pipe"))
}

/// The variable that makes a run of the test `children::watchdog` one.
pub(crate) const WATCHDOG: &str = "TFREG_TEST_WATCHDOG";
