//! Runs a command, and stops it: SIGINT and SIGTERM always end it.
//!
//! Asynchronous work is dropped at once. A blocked thread (a file system that does not answer, a terminal that is not
//! read) cannot be dropped: the process waits for it for a moment, and then ends anyway.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::error::{Error, Result};
use crate::report::{Format, Reporter, Volume};

/// How long a write may continue when a command has ended or is stopped: one file is written and synced.
const GRACE: Duration = Duration::from_secs(2);

/// The async runtime of a command. A blocked thread does not prevent its end.
pub(super) struct Running(Option<Runtime>);

/// Starts the async runtime of a command.
pub(super) fn runtime() -> Result<Running> {
    super::machine::check_room()?;
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|source| Error::Io { context: "cannot start".to_owned(), source })?;
    Ok(Running(Some(runtime)))
}

impl Running {
    /// Runs `work` to its end.
    ///
    /// # Errors
    /// Fails if `work` fails.
    pub(super) fn block_on<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        match &self.0 {
            Some(runtime) => runtime.block_on(work),
            None => Err(Error::Interrupted),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // A plain drop would wait for blocked threads without a limit.
            runtime.shutdown_timeout(GRACE);
        }
    }
}

/// Completes when the user or the system asks to stop: Ctrl-C or SIGTERM. If the command has not ended a moment later,
/// because it is blocked and does not poll this, the process is ended.
///
/// # Errors
/// Fails if the system does not let this process handle signals.
pub(super) fn stop_signal() -> Result<impl Future<Output = ()> + Send + 'static> {
    let failed = |source| Error::Io { context: "cannot listen for signals".to_owned(), source };
    let interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let (stop, stopped) = oneshot::channel();
    Handle::current().spawn(watch(interrupt, terminate, stop));
    Ok(async move {
        // The watch ends without a message only if the runtime itself ends.
        if stopped.await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}

/// Passes the first signal on. A second signal, or the end of the grace period, ends the process.
async fn watch(mut interrupt: Signal, mut terminate: Signal, stop: oneshot::Sender<()>) {
    let mut next = async || {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    next().await;
    // The receiver is gone if the command is ending already.
    let _ = stop.send(());
    tokio::select! {
        () = next() => {}
        () = tokio::time::sleep(GRACE.saturating_mul(2)) => {}
    }
    // The blocked thread may be writing to the terminal, so the message is printed by another thread, with a time limit.
    let told = tokio::task::spawn_blocking(|| {
        Reporter::new(Format::Human, Volume::Normal, false).failed(&Error::Interrupted);
    });
    let _ = tokio::time::timeout(GRACE, told).await;
    #[expect(clippy::exit, reason = "a thread that hangs can be ended in no other way")]
    std::process::exit(i32::from(Error::Interrupted.exit_code()));
}
