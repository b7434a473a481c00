//! How a command runs, and how it is stopped: SIGINT and SIGTERM end it always.
//!
//! What is asynchronous is dropped at once. What blocks a thread (a file system that does not answer, a terminal that nobody
//! reads) cannot be dropped: it is waited for a moment, and then the process ends with it.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::error::{Error, Result};
use crate::report::{Format, Reporter, Volume};

/// How long a write that is under way may go on when a command is done or stopped: one file is written and synced.
const GRACE: Duration = Duration::from_secs(2);

/// The async runtime of a command. Whatever still blocks a thread does not keep it from ending.
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
    /// Those of `work`.
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
            // Dropped as it is, it would wait for ever.
            runtime.shutdown_timeout(GRACE);
        }
    }
}

/// Done when the user or the system asks to stop: Ctrl-C or SIGTERM. If the command has not ended a moment later, because
/// nobody gets to see that this is done, the process is ended.
///
/// # Errors
/// The system does not let this process listen.
pub(super) fn stop_signal() -> Result<impl Future<Output = ()> + Send + 'static> {
    let failed = |source| Error::Io { context: "cannot listen for signals".to_owned(), source };
    let interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let (stop, stopped) = oneshot::channel();
    Handle::current().spawn(watch(interrupt, terminate, stop));
    Ok(async move {
        // The watch ends without a word only with the runtime itself.
        if stopped.await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}

/// Passes the first signal on. A second one, or the end of the grace, ends the process.
async fn watch(mut interrupt: Signal, mut terminate: Signal, stop: oneshot::Sender<()>) {
    let mut next = async || {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    next().await;
    // Nobody listens any more when the command is ending by itself.
    let _ = stop.send(());
    tokio::select! {
        () = next() => {}
        () = tokio::time::sleep(GRACE.saturating_mul(2)) => {}
    }
    // What is to be said cannot be said where that is what hangs: tried aside, for a moment.
    let told = tokio::task::spawn_blocking(|| {
        Reporter::new(Format::Human, Volume::Normal, false).failed(&Error::Interrupted);
    });
    let _ = tokio::time::timeout(GRACE, told).await;
    #[expect(clippy::exit, reason = "a thread that hangs can be ended in no other way")]
    std::process::exit(i32::from(Error::Interrupted.exit_code()));
}
