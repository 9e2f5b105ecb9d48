//! Paces background writing.
//!
//! A token bucket: tokens (bytes) accrue with time, at most a tenth of a second's worth. A writer takes what it
//! wrote, possibly into debt, and waits while there is debt. Flushes take without waiting, so that they go first
//! and compactions pay for them. While writers wait noticeably for space that background work frees, all do so.

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
    hurried: AtomicBool,
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
        let bucket = Mutex::new(Bucket { rate: None, tokens: 0.0, filled });
        let limiter = RateLimiter { env, bucket, hurried: AtomicBool::new(false) };
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

    /// Says whether writers wait for background work of any kind: it is charged then, and not delayed.
    pub fn set_hurried(&self, hurried: bool) {
        self.hurried.store(hurried, Ordering::Relaxed);
    }

    /// What `set_hurried` said last.
    pub fn is_hurried(&self) -> bool {
        self.hurried.load(Ordering::Relaxed)
    }

    /// Accounts for `bytes` and waits until they are within the rate, or `cancel` is set, or there is a hurry; never
    /// for flushes and where background work runs inline.
    pub fn request(&self, bytes: u64, priority: Priority, cancel: &AtomicBool) {
        {
            let mut bucket = self.bucket.lock();
            bucket.refill(self.env.now());
            bucket.take(bytes);
        }
        if priority == Priority::Flush || self.env.runs_inline() {
            return;
        }
        while !cancel.load(Ordering::Relaxed) && !self.is_hurried() {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::simulated::{SimEnv, Waiting};

    fn waiting(seed: u64) -> Arc<Waiting> {
        Arc::new(Waiting::new(SimEnv::new(seed), |duration| assert!(duration <= LONGEST_SLEEP)))
    }

    fn seconds(env: &Waiting, from: Duration) -> f64 {
        (env.now() - from).as_secs_f64()
    }

    #[test]
    fn compactions_are_held_to_the_rate_and_pay_for_flushes() {
        let env = waiting(1);
        let go = AtomicBool::new(false);
        let limiter = RateLimiter::new(env.clone(), Some(1000));
        let start = env.now();
        (0..50).for_each(|_| limiter.request(100, Priority::Compaction, &go));
        assert!((4.8..5.1).contains(&seconds(&env, start)), "5000 bytes took {}", seconds(&env, start));
        let start = env.now();
        limiter.request(1000, Priority::Flush, &go);
        assert!(seconds(&env, start) < 0.01, "a flush waited");
        limiter.request(10, Priority::Compaction, &go);
        assert!(
            (0.9..1.1).contains(&seconds(&env, start)),
            "the flush was not paid: {}",
            seconds(&env, start)
        );
        limiter.set_rate(Some(1_000_000));
        let start = env.now();
        limiter.request(100_000, Priority::Compaction, &go);
        assert!((0.09..0.12).contains(&seconds(&env, start)), "the new rate: {}", seconds(&env, start));
        limiter.set_rate(None);
        let start = env.now();
        limiter.request(u64::MAX, Priority::Compaction, &go);
        assert!(limiter.rate().is_none() && seconds(&env, start) < 0.01);
    }

    #[test]
    fn nothing_waits_while_there_is_a_hurry_but_it_is_paid() {
        let env = waiting(4);
        let go = AtomicBool::new(false);
        let limiter = RateLimiter::new(env.clone(), Some(1000));
        let start = env.now();
        limiter.set_hurried(true);
        limiter.request(1000, Priority::Compaction, &go);
        assert!(seconds(&env, start) < 0.01, "it waited in a hurry");
        limiter.set_hurried(false);
        limiter.request(10, Priority::Compaction, &go);
        assert!(seconds(&env, start) > 0.9, "it was not paid: {}", seconds(&env, start));
    }

    #[test]
    fn a_cancel_ends_the_wait_and_inline_work_never_waits() {
        let env = waiting(2);
        let limiter = RateLimiter::new(env.clone(), Some(10));
        let start = env.now();
        limiter.request(1 << 20, Priority::Compaction, &AtomicBool::new(true));
        assert!(seconds(&env, start) < 0.01);
        let inline = SimEnv::new(3);
        let limiter = RateLimiter::new(inline.clone(), Some(10));
        let start = inline.now();
        limiter.request(1 << 20, Priority::Compaction, &AtomicBool::new(false));
        assert!((inline.now() - start).as_secs_f64() < 0.01);
    }
}
