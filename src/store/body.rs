//! The body of an answer, read with limits on its size, its pace and its time.
//!
//! A server may announce any length, or none, and may send without end, or a byte now and then. So the bytes are
//! counted as they arrive, whatever was announced, and the time that the reader waits is measured. What the reader does
//! between two pieces, such as writing to a slow disk, is not counted against the server.
//!
//! The time comes from a [`Clock`] that is passed in, so that tests do not wait.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::future::{Either, select};
use futures::stream::{self, Stream, StreamExt as _};

/// The limits of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The maximum number of bytes.
    pub bytes: u64,
    /// The minimum pace in each `window` of waiting, in bytes per second.
    pub bytes_per_second: u64,
    /// The time over which the pace is averaged.
    pub window: Duration,
    /// The maximum time to wait for the whole body.
    pub total: Duration,
}

/// The usual time over which the pace is averaged. Source: Cargo waits as long (`http.timeout`).
pub const WINDOW: Duration = Duration::from_secs(30);
/// The minimum pace of any read, in bytes per second. A slower link cannot download a provider.
pub const SLOWEST: u64 = 1024;

impl Limits {
    /// At most `bytes`, at no less than [`SLOWEST`] in each [`WINDOW`], within `total`.
    #[must_use]
    pub fn new(bytes: u64, total: Duration) -> Self {
        Self { bytes, bytes_per_second: SLOWEST, window: WINDOW, total }
    }
}

/// Why a body was not read to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError<E> {
    /// The source failed, with this error.
    #[error("{0}")]
    Source(E),
    /// More bytes arrived than are allowed.
    #[error("more than {limit} bytes were sent")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// Fewer bytes arrived in a window than are required.
    #[error("{bytes} bytes came in {} seconds, which is below {bytes_per_second} bytes per second", window.as_secs())]
    TooSlow {
        /// The length of the window.
        window: Duration,
        /// The number of bytes that arrived in the last window.
        bytes: u64,
        /// The required number, per second.
        bytes_per_second: u64,
    },
    /// It took longer than is allowed, at whatever pace.
    #[error("it was not all there after {} seconds", limit.as_secs())]
    TooLong {
        /// The limit.
        limit: Duration,
    },
}

impl<E> BodyError<E> {
    /// Whether another read may succeed. A body that was too slow has been waited for already.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Source(_))
    }
}

/// A source of the time.
pub trait Clock: Send {
    /// The time since a fixed moment in the past.
    fn now(&self) -> Duration;

    /// Ends when `duration` has passed.
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// This machine's clock.
#[derive(Debug, Clone, Copy)]
pub struct MachineClock(tokio::time::Instant);

impl MachineClock {
    /// A clock that starts now.
    #[must_use]
    pub fn start() -> Self {
        Self(tokio::time::Instant::now())
    }
}

impl Clock for MachineClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// The progress of a body; pure, it is given every wait.
#[derive(Debug, Clone)]
struct Meter {
    limits: Limits,
    bytes: u64,
    waited: Duration,
    /// Bytes that arrived, and time spent waiting, since the window began.
    window_bytes: u64,
    window_waited: Duration,
}

impl Meter {
    fn new(limits: Limits) -> Self {
        Self { limits, bytes: 0, waited: Duration::ZERO, window_bytes: 0, window_waited: Duration::ZERO }
    }

    /// How long to wait for the next piece before the limits are checked again.
    fn patience(&self) -> Duration {
        let window = self.limits.window.saturating_sub(self.window_waited);
        window.min(self.limits.total.saturating_sub(self.waited))
    }

    /// Records a wait of `waited`, after which `bytes` arrived, perhaps none.
    fn wait<E>(&mut self, waited: Duration, bytes: u64) -> Result<(), BodyError<E>> {
        self.bytes = self.bytes.saturating_add(bytes);
        self.window_bytes = self.window_bytes.saturating_add(bytes);
        self.waited += waited;
        self.window_waited += waited;
        let Limits { bytes: limit, bytes_per_second, window, total } = self.limits;
        if self.bytes > limit {
            return Err(BodyError::TooLarge { limit });
        }
        if self.waited >= total {
            return Err(BodyError::TooLong { limit: total });
        }
        if self.window_waited >= window {
            let least = u128::from(bytes_per_second) * window.as_millis() / 1000;
            if u128::from(self.window_bytes) < least {
                return Err(BodyError::TooSlow { window, bytes: self.window_bytes, bytes_per_second });
            }
            (self.window_bytes, self.window_waited) = (0, Duration::ZERO);
        }
        Ok(())
    }
}

/// The pieces of `source` as they arrive, within `limits`. The first failure is the last item; the source is dropped
/// then, which ends its connection.
pub fn bounded<S, E, C>(
    source: S,
    limits: Limits,
    clock: C,
) -> impl Stream<Item = Result<Bytes, BodyError<E>>>
where
    S: Stream<Item = Result<Bytes, E>>,
    C: Clock,
{
    let state = Some((Box::pin(source), Meter::new(limits), clock));
    stream::unfold(state, async |state| {
        let (mut source, mut meter, clock) = state?;
        loop {
            let began = clock.now();
            let came = match select(source.next(), clock.sleep(meter.patience())).await {
                Either::Left((None, _)) => return None,
                Either::Left((Some(Err(error)), _)) => return Some((Err(BodyError::Source(error)), None)),
                Either::Left((Some(Ok(piece)), _)) => Some(piece),
                Either::Right(_) => None,
            };
            let len = came.as_ref().map_or(0, |piece| piece.len() as u64);
            if let Err(error) = meter.wait(clock.now().saturating_sub(began), len) {
                return Some((Err(error), None));
            }
            if let Some(piece) = came {
                return Some((Ok(piece), Some((source, meter, clock))));
            }
        }
    })
}

/// All of a body, within `limits`.
///
/// # Errors
/// Fails if the source fails or a limit is exceeded; the bytes that have arrived are dropped.
pub async fn collect<S, E, C>(source: S, limits: Limits, clock: C) -> Result<Bytes, BodyError<E>>
where
    S: Stream<Item = Result<Bytes, E>>,
    C: Clock,
{
    all(bounded(source, limits, clock)).await
}

/// Joins all pieces, which are within their limits.
pub(crate) async fn all<E>(
    pieces: impl Stream<Item = Result<Bytes, BodyError<E>>>,
) -> Result<Bytes, BodyError<E>> {
    let mut pieces = std::pin::pin!(pieces);
    let mut bytes = BytesMut::new();
    while let Some(piece) = pieces.next().await {
        bytes.extend_from_slice(&piece?);
    }
    Ok(bytes.freeze())
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::{Arc, Mutex, PoisonError};
    use std::task::{Context, Poll};

    use super::*;

    /// A clock that advances only while something waits for it, and the pieces that arrive meanwhile.
    #[derive(Clone, Default)]
    struct Script(Arc<Mutex<State>>);

    #[derive(Default)]
    struct State {
        now: Duration,
        /// When each piece arrives.
        due: VecDeque<(Duration, Result<Bytes, &'static str>)>,
        /// Whether there is always another piece.
        for_ever: Option<(Duration, usize)>,
    }

    impl Script {
        fn pieces(pieces: &[(u64, usize)]) -> Self {
            let due = pieces.iter().map(|(at, len)| (Duration::from_secs(*at), Ok(vec![0; *len].into())));
            Self(Arc::new(Mutex::new(State { due: due.collect(), ..State::default() })))
        }

        /// A piece of `len` bytes every `millis` milliseconds.
        fn for_ever(millis: u64, len: usize) -> Self {
            let for_ever = Some((Duration::from_millis(millis), len));
            Self(Arc::new(Mutex::new(State { for_ever, ..State::default() })))
        }

        fn state(&self) -> std::sync::MutexGuard<'_, State> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }

        fn read(&self, limits: Limits) -> Result<usize, BodyError<&'static str>> {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(collect(self.clone(), limits, self.clone())).map(|bytes| bytes.len())
        }

        fn seconds(&self) -> u64 {
            self.state().now.as_secs()
        }
    }

    impl Stream for Script {
        type Item = Result<Bytes, &'static str>;

        fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            let mut state = self.state();
            if state.due.is_empty() {
                let Some((pause, len)) = state.for_ever else { return Poll::Ready(None) };
                let at = state.now + pause;
                state.due.push_back((at, Ok(vec![0; len].into())));
            }
            match state.due.front() {
                Some((at, _)) if *at <= state.now => {
                    Poll::Ready(state.due.pop_front().map(|(_, piece)| piece))
                }
                // The next call of `sleep` wakes it.
                _ => Poll::Pending,
            }
        }
    }

    impl Clock for Script {
        fn now(&self) -> Duration {
            self.state().now
        }

        fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
            let (script, until) = (self.clone(), self.now() + duration);
            Box::pin(futures::future::poll_fn(move |context| {
                let mut state = script.state();
                let next = state.due.front().map_or(until, |(at, _)| *at);
                state.now = state.now.max(next.min(until));
                if state.now >= until && next > until {
                    return Poll::Ready(());
                }
                context.waker().wake_by_ref();
                Poll::Pending
            }))
        }
    }

    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn what_comes_in_time_is_read_to_the_end() {
        let script = Script::pieces(&[(0, 10), (1, 20), (29, 1)]);
        assert_eq!(script.read(Limits::new(31, MINUTE)), Ok(31));
        assert_eq!(Script::pieces(&[]).read(Limits::new(0, MINUTE)), Ok(0));
    }

    #[test]
    fn bytes_are_counted_as_they_come() {
        let limit = BodyError::TooLarge { limit: 30 };
        assert_eq!(Script::pieces(&[(0, 10), (1, 20), (2, 1)]).read(Limits::new(30, MINUTE)), Err(limit));
        let endless = Script::for_ever(0, 1 << 16);
        assert_eq!(endless.read(Limits::new(1 << 20, MINUTE)), Err(BodyError::TooLarge { limit: 1 << 20 }));
    }

    #[test]
    fn a_byte_now_and_then_is_too_slow() {
        for seconds in [1, 5, 20, 29, 31, 10_000] {
            let dripping = Script::for_ever(seconds * 1000, 1);
            let Err(BodyError::TooSlow { bytes, bytes_per_second: SLOWEST, window: WINDOW }) =
                dripping.read(Limits::new(1 << 20, 10 * MINUTE))
            else {
                panic!("{seconds}")
            };
            assert!(bytes <= 30 / seconds, "{seconds}: {bytes}");
            assert_eq!(dripping.seconds(), 30, "{seconds}");
        }
        // Fast at first, then nothing.
        let stalled = Script::pieces(&[(1, 1 << 20), (3600, 1)]);
        let error = stalled.read(Limits::new(1 << 30, 10 * MINUTE));
        assert_eq!(error, Err(BodyError::TooSlow { bytes: 0, bytes_per_second: SLOWEST, window: WINDOW }));
        assert_eq!(stalled.seconds(), 60, "the window with the bytes, and the next one");
    }

    #[test]
    fn a_pace_above_the_floor_is_fine_until_the_time_is_over() {
        let slow = Script::for_ever(1000, 2048);
        let error = slow.read(Limits::new(1 << 30, 10 * MINUTE));
        assert_eq!(error, Err(BodyError::TooLong { limit: 10 * MINUTE }));
        assert_eq!(slow.seconds(), 600);
    }

    #[test]
    fn a_failure_is_the_last_item() {
        let script = Script::pieces(&[(0, 10)]);
        script.state().due.push_back((Duration::ZERO, Err("reset")));
        assert_eq!(script.read(Limits::new(100, MINUTE)), Err(BodyError::Source("reset")));
    }

    #[test]
    fn the_readers_own_time_is_not_the_servers() {
        let script = Script::pieces(&[(0, 1), (0, 1), (0, 1)]);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let read = runtime.block_on(async {
            let mut pieces = std::pin::pin!(bounded(script.clone(), Limits::new(3, MINUTE), script.clone()));
            let mut read = 0;
            while let Some(piece) = pieces.next().await {
                read += piece?.len();
                // A slow disk.
                script.state().now += 2 * MINUTE;
            }
            Ok::<_, BodyError<&str>>(read)
        });
        assert_eq!(read, Ok(3));
    }
}
