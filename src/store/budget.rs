//! How long, and how often, a run retries when other runs write first, or a store does not answer. Reads and writes
//! share the time limit, and their pauses are computed here.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

/// A clock and random numbers, passed in so that tests control them.
#[async_trait]
pub trait Pace: Send {
    /// Time since some fixed moment; never goes back.
    fn now(&self) -> Duration;

    /// A number from 0 to 1.
    fn jitter(&mut self) -> f64;

    /// Waits.
    async fn sleep(&mut self, duration: Duration);
}

/// The machine's clock and random numbers.
#[derive(Debug)]
pub struct RealPace(std::time::Instant);

impl Default for RealPace {
    fn default() -> Self {
        Self(std::time::Instant::now())
    }
}

#[async_trait]
impl Pace for RealPace {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn jitter(&mut self) -> f64 {
        fastrand::f64()
    }

    async fn sleep(&mut self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// One budget for a whole run, started by its first conflict and never restarted: jittered exponential backoff until
/// the time is used up.
pub struct Budget {
    pace: Box<dyn Pace>,
    limit: Duration,
    started: Option<Duration>,
    attempts: u32,
}

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

impl Budget {
    /// A budget of `limit`.
    #[must_use]
    pub fn new(limit: Duration, pace: Box<dyn Pace>) -> Self {
        Self { pace, limit, started: None, attempts: 0 }
    }

    /// Waits before the next attempt: a random part of a time that doubles with every attempt.
    ///
    /// # Errors
    /// Fails with the time spent if the budget is used up.
    pub async fn wait(&mut self) -> Result<(), Duration> {
        let now = self.pace.now();
        let started = *self.started.get_or_insert(now);
        let spent = now.saturating_sub(started);
        if spent >= self.limit {
            return Err(spent);
        }
        let full = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(self.attempts)).min(LONGEST_WAIT);
        self.attempts += 1;
        // At least half of it, so that attempts become rarer; at most the remaining time, so that the last attempt is
        // made at the end of the budget rather than after it.
        let wait = full.mul_f64(0.5 + 0.5 * self.pace.jitter()).min(self.limit.saturating_sub(spent));
        self.pace.sleep(wait).await;
        Ok(())
    }
}

/// How long a single request is retried, as every read is: each one that fails has its own [`Budget`].
#[derive(Clone)]
pub struct Patience {
    limit: Duration,
    pace: Arc<dyn Fn() -> Box<dyn Pace> + Send + Sync>,
    told: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Patience {
    /// Uses the machine's clock.
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        Self::with_pace(limit, || Box::new(RealPace::default()))
    }

    /// Uses clocks that `pace` makes, one for each budget.
    #[must_use]
    pub fn with_pace(limit: Duration, pace: impl Fn() -> Box<dyn Pace> + Send + Sync + 'static) -> Self {
        Self { limit, pace: Arc::new(pace), told: Arc::new(|_| {}) }
    }

    /// The same, with a function that is called with the reason for each wait.
    #[must_use]
    pub fn telling(self, told: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { told: Arc::new(told), ..self }
    }

    /// Creates a budget, which starts at its first failure.
    #[must_use]
    pub fn budget(&self) -> Budget {
        Budget::new(self.limit, (self.pace)())
    }

    /// Reports that a request failed and is sent again.
    pub fn tell(&self, reason: &str) {
        (self.told)(reason);
    }
}

impl Default for Patience {
    /// The default of `--contention-timeout`, for commands that do not have it.
    fn default() -> Self {
        Self::new(DEFAULT_PATIENCE)
    }
}

impl fmt::Debug for Patience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Patience").field(&self.limit).finish()
    }
}

/// The default time limit of a run.
pub const DEFAULT_PATIENCE: Duration = Duration::from_mins(5);

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    struct Scripted {
        now: Arc<Mutex<Duration>>,
        waits: Arc<Mutex<Vec<Duration>>>,
        jitter: f64,
    }

    #[async_trait]
    impl Pace for Scripted {
        fn now(&self) -> Duration {
            *self.now.lock().unwrap()
        }
        fn jitter(&mut self) -> f64 {
            self.jitter
        }
        async fn sleep(&mut self, duration: Duration) {
            *self.now.lock().unwrap() += duration;
            self.waits.lock().unwrap().push(duration);
        }
    }

    async fn exhaust(limit: Duration, jitter: f64) -> (Vec<Duration>, Duration) {
        let now = Arc::new(Mutex::new(Duration::from_secs(1000)));
        let waits = Arc::default();
        let mut budget = Budget::new(limit, Box::new(Scripted { now, waits: Arc::clone(&waits), jitter }));
        loop {
            if let Err(spent) = budget.wait().await {
                let waits = waits.lock().unwrap().clone();
                return (waits, spent);
            }
        }
    }

    #[tokio::test]
    async fn waits_double_and_the_sum_is_the_budget() {
        for jitter in [0.0, 0.3, 1.0] {
            let (waits, spent) = exhaust(Duration::from_mins(1), jitter).await;
            assert_eq!(spent, Duration::from_mins(1));
            assert_eq!(waits.iter().sum::<Duration>(), spent);
            assert_eq!(waits[0], FIRST_WAIT.mul_f64(0.5 + 0.5 * jitter));
            assert!(waits.iter().all(|wait| *wait <= LONGEST_WAIT));
            assert!(waits[1] == waits[0] * 2 && waits[2] == waits[0] * 4, "{waits:?}");
        }
        assert!(exhaust(Duration::ZERO, 1.0).await.0.is_empty());
    }
}
