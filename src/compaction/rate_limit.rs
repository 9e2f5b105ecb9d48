//! Paces background writing.
//!
//! A token bucket: tokens (bytes) accrue with time, at most a tenth of a second's worth. A writer takes what it
//! wrote, possibly into debt, and waits while there is debt. Flushes take without waiting, so that they go first
//! and compactions pay for them.

use crate::env::Env;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Longest sleep at a time: how soon a waiter notices a cancel or a new rate.
const LONGEST_SLEEP: Duration = Duration::from_millis(50);
/// The part of a second whose tokens may be saved up.
const BURST_SECONDS: f64 = 0.1;
/// Seconds of debt at most, so that a burst of flushes cannot stop compactions for long.
const DEBT_SECONDS: f64 = 2.0;

/// Who writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// Writers wait for flushes: charged, never delayed.
    Flush,
    /// Delayed while there is debt.
    Compaction,
}

/// A token bucket.
pub struct RateLimiter {
    env: Arc<dyn Env>,
    bucket: Mutex<Bucket>,
}

struct Bucket {
    /// Bytes a second.
    rate: Option<f64>,
    tokens: f64,
    filled: Duration,
}

impl Bucket {
    fn refill(&mut self, now: Duration) {
        let elapsed = now.saturating_sub(self.filled).as_secs_f64();
        self.filled = self.filled.max(now);
        if let Some(rate) = self.rate {
            self.tokens = (self.tokens + elapsed * rate).min(rate * BURST_SECONDS);
        }
    }

    fn take(&mut self, bytes: u64) {
        if let Some(rate) = self.rate {
            self.tokens = (self.tokens - bytes as f64).max(-rate * DEBT_SECONDS);
        }
    }

    /// How long until there is no debt.
    fn wait(&self) -> Option<Duration> {
        let rate = self.rate?;
        (self.tokens < 0.0).then(|| Duration::from_secs_f64(-self.tokens / rate).min(LONGEST_SLEEP))
    }
}

impl RateLimiter {
    /// A limit of `rate` bytes a second; `None` = unlimited.
    pub fn new(env: Arc<dyn Env>, rate: Option<u64>) -> RateLimiter {
        let filled = env.now();
        let limiter = RateLimiter { env, bucket: Mutex::new(Bucket { rate: None, tokens: 0.0, filled }) };
        limiter.set_rate(rate);
        limiter
    }

    /// Changes the rate from now on; debt is forgiven.
    pub fn set_rate(&self, rate: Option<u64>) {
        let mut bucket = self.bucket.lock();
        bucket.rate = rate.map(|rate| rate.max(1) as f64);
        bucket.tokens = 0.0;
        bucket.filled = self.env.now();
    }

    /// The rate in bytes a second.
    pub fn rate(&self) -> Option<u64> {
        self.bucket.lock().rate.map(|rate| rate as u64)
    }

    /// Accounts for `bytes` and waits until they are within the rate, or `cancel` is set, or never for flushes and
    /// where background work runs inline.
    pub fn request(&self, bytes: u64, priority: Priority, cancel: &AtomicBool) {
        {
            let mut bucket = self.bucket.lock();
            bucket.refill(self.env.now());
            bucket.take(bytes);
        }
        if priority == Priority::Flush || self.env.runs_inline() {
            return;
        }
        while !cancel.load(Ordering::Relaxed) {
            let wait = {
                let mut bucket = self.bucket.lock();
                bucket.refill(self.env.now());
                bucket.wait()
            };
            match wait {
                Some(duration) => self.env.sleep(duration),
                None => return,
            }
        }
    }
}
