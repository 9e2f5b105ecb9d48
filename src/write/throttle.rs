//! Stall control: writers are slowed in proportion to how far flushes and compactions are behind, and stopped only
//! when memory or level 0 are at their limit.
//!
//! The engine sets the pressure after every change of memtables or levels; a writer reads two atomics when there is
//! none. Under pressure each write owes time for its bytes at the delayed rate, kept in one shared debt clock, so
//! that many writers together get the rate and not each of them. Bytes of values have a rate and a debt of their own.
//! What is owed is paid in short sleeps, and forgiven when its pressure ends.

use crate::base::{Error, ErrorKind, Result};
use crate::env::Env;
use parking_lot::{Condvar, Mutex};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Bytes a second that writers get at the least pressure that slows them.
const RATE_MAX: u64 = 128 << 20;
/// Bytes a second that writers get just before they are stopped.
const RATE_MIN: u64 = 1 << 20;
/// Bytes of values a second at the least pressure of the value log, and just before the stop.
const VALUE_RATE_MAX: u64 = 4 << 30;
const VALUE_RATE_MIN: u64 = 4 << 20;
/// Where there are no threads: what is left after so many rounds of work waits for a job that this write interrupts.
const ROUNDS_INLINE: u32 = 8;
/// A writer sleeps when it owes at least this.
const SLEEP_MIN: Duration = Duration::from_millis(1);
/// It sleeps no longer than that before it looks whether it still owes.
const SLEEP_MAX: Duration = Duration::from_millis(10);
/// Writers of values notice that they are slowed from this pressure on: to a few hundred MiB a second.
const VALUES_NOTICED: f64 = 0.5;

/// Why and how much writers are held back.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pressure {
    /// 0 = none; up to 1 = just before the stop.
    pub slow: f64,
    /// Writers wait.
    pub stop: bool,
    /// The same as `slow` for writers of values; at 1 they wait.
    pub values: f64,
    /// What holds them back, for people; empty = nothing.
    pub reason: &'static str,
}

impl Pressure {
    /// Whether background work is to make haste for writers of values. Ordinary overwriting slows them a little all the
    /// time: who set a limit to what background work writes meant it to hold then.
    pub fn hurries(&self) -> bool {
        self.values >= VALUES_NOTICED
    }
}

/// Counts since open.
#[derive(Debug, Default)]
pub struct ThrottleStats {
    /// Writes that waited for a stop to end.
    pub stops: AtomicU64,
    /// Writes that were slowed.
    pub delays: AtomicU64,
    /// Microseconds writers spent in both.
    pub micros: AtomicU64,
}

/// A rate that writers are slowed to, and when what they owe for it together will be paid.
#[derive(Default)]
struct Slowing {
    /// Bytes a second; 0 = not slowed.
    rate: AtomicU64,
    owed_until: Mutex<Duration>,
}

/// Holds writers back.
#[derive(Default)]
pub struct Throttle {
    all: Slowing,
    stopped: AtomicBool,
    values: Slowing,
    values_stopped: AtomicBool,
    reason: Mutex<&'static str>,
    gate: Mutex<()>,
    opened: Condvar,
    /// Counts.
    pub stats: ThrottleStats,
}

impl Throttle {
    /// Sets the pressure; wakes writers when a stop ends.
    pub fn set(&self, pressure: Pressure) {
        let rate = if pressure.slow <= 0.0 {
            0
        } else {
            let free = (1.0 - pressure.slow.min(1.0)).powi(2);
            RATE_MIN + ((RATE_MAX - RATE_MIN) as f64 * free) as u64
        };
        self.all.set_rate(rate);
        let value_rate = if pressure.values <= 0.0 {
            0
        } else {
            let fall = VALUE_RATE_MIN as f64 / VALUE_RATE_MAX as f64;
            (VALUE_RATE_MAX as f64 * fall.powf(pressure.values.min(1.0))) as u64
        };
        self.values.set_rate(value_rate);
        *self.reason.lock() = pressure.reason;
        let _gate = self.gate.lock();
        self.stopped.store(pressure.stop, Ordering::Release);
        self.values_stopped.store(pressure.values >= 1.0, Ordering::Release);
        if !pressure.stop {
            self.opened.notify_all();
        }
    }

    /// What holds writers back now, for people; empty = nothing.
    pub fn reason(&self) -> &'static str {
        *self.reason.lock()
    }

    /// Bytes of values a second that writers are slowed to; 0 = not slowed.
    pub fn value_rate(&self) -> u64 {
        self.values.rate.load(Ordering::Relaxed)
    }

    /// Whether a write with so many bytes of values has to wait.
    fn stops(&self, value_bytes: u64) -> bool {
        self.is_stopped() || (value_bytes > 0 && self.values_stopped.load(Ordering::Acquire))
    }

    /// Whether writers wait.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Bytes a second that writers are slowed to; 0 = not slowed.
    pub fn delayed_rate(&self) -> u64 {
        self.all.rate.load(Ordering::Relaxed)
    }

    /// Lets everybody pass, for close and failure: the next check tells them.
    pub fn release(&self) {
        self.set(Pressure::default());
    }

    /// Waits as long as a write of `bytes`, which adds `value_bytes` to the value log, has to. `work` is run instead of
    /// waiting where there are no background threads; `check` tells whether to give up.
    pub fn admit(
        &self,
        env: &dyn Env,
        bytes: u64,
        value_bytes: u64,
        no_slowdown: bool,
        work: &dyn Fn(),
        check: &dyn Fn() -> Result<()>,
    ) -> Result<()> {
        if !self.is_stopped() && self.delayed_rate() == 0 && (value_bytes == 0 || self.value_rate() == 0) {
            return Ok(());
        }
        if no_slowdown {
            return Err(Error::new(
                ErrorKind::Incomplete,
                "write stall: the caller asked not to wait; try later",
            ));
        }
        let started = env.now();
        if self.stops(value_bytes) {
            self.stats.stops.fetch_add(1, Ordering::Relaxed);
            self.wait_until_open(env, value_bytes, work, check)?;
        }
        for (slowing, bytes) in [(&self.values, value_bytes), (&self.all, bytes)] {
            if bytes > 0 && slowing.pay(env, bytes) {
                self.stats.delays.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.stats.micros.fetch_add((env.now() - started).as_micros() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn wait_until_open(
        &self,
        env: &dyn Env,
        value_bytes: u64,
        work: &dyn Fn(),
        check: &dyn Fn() -> Result<()>,
    ) -> Result<()> {
        let mut rounds_inline = 0;
        while self.stops(value_bytes) && rounds_inline < ROUNDS_INLINE {
            check()?;
            if env.runs_inline() {
                work();
                rounds_inline += 1;
                continue;
            }
            let mut gate = self.gate.lock();
            if self.stops(value_bytes) {
                self.opened.wait_for(&mut gate, Duration::from_millis(100));
            }
        }
        check()
    }
}

impl Slowing {
    /// At 0 what is owed is forgiven.
    fn set_rate(&self, rate: u64) {
        if self.rate.swap(rate, Ordering::Relaxed) > 0 && rate == 0 {
            *self.owed_until.lock() = Duration::ZERO;
        }
    }

    /// Owes the time for `bytes` more, and waits until all is paid or forgiven. False if nothing is slowed.
    fn pay(&self, env: &dyn Env, bytes: u64) -> bool {
        let (mut now, until) = {
            let mut owed_until = self.owed_until.lock();
            // Under the lock: who ends the pressure forgives after this, or this finds it ended.
            let rate = self.rate.load(Ordering::Relaxed);
            let Some(nanos) = bytes.saturating_mul(1_000_000_000).checked_div(rate) else { return false };
            let now = env.now();
            *owed_until = (*owed_until).max(now) + Duration::from_nanos(nanos);
            (now, *owed_until)
        };
        if until - now < SLEEP_MIN || env.runs_inline() {
            return true;
        }
        while now < until && *self.owed_until.lock() >= until {
            env.sleep((until - now).min(SLEEP_MAX));
            now = env.now();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::simulated::{SimEnv, Waiting};
    use std::sync::Arc;

    fn values(pressure: f64) -> Pressure {
        Pressure { values: pressure, ..Pressure::default() }
    }

    /// How long a write of so many bytes of values waits; `at_sleep` is told how often it has slept before.
    fn wait(throttle: &Throttle, bytes: u64, at_sleep: impl Fn(u32) + Send + Sync + 'static) -> Duration {
        wait_for(throttle, 0, bytes, at_sleep)
    }

    fn wait_for(
        throttle: &Throttle,
        bytes: u64,
        value_bytes: u64,
        at_sleep: impl Fn(u32) + Send + Sync + 'static,
    ) -> Duration {
        let sleeps = AtomicU64::new(0);
        let env = Waiting::new(SimEnv::new(1), move |duration| {
            assert!(duration <= SLEEP_MAX, "{duration:?} at once");
            at_sleep(sleeps.fetch_add(1, Ordering::Relaxed) as u32);
        });
        let start = env.now();
        throttle.admit(&env, bytes, value_bytes, false, &|| {}, &|| Ok(())).unwrap();
        env.now() - start
    }

    #[test]
    fn who_waited_for_a_stop_owes_nothing_once_all_pressure_is_gone() {
        let throttle = Throttle::default();
        throttle.set(values(1.0));
        let env = Waiting::new(SimEnv::new(1), |_| panic!("a debt to a pressure that is gone"));
        let stop_ends = || {
            throttle.set(Pressure::default());
            Ok(())
        };
        throttle.admit(&env, 0, 64 << 20, false, &|| {}, &stop_ends).unwrap();
        assert_eq!(throttle.stats.stops.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_debt_is_paid_unless_the_pressure_ends() {
        let throttle: Arc<Throttle> = Arc::default();
        throttle.set(values(0.9));
        let bytes = throttle.value_rate() * 2;
        let paid = wait(&throttle, bytes, |_| {});
        assert!((Duration::from_secs(2)..Duration::from_millis(2100)).contains(&paid), "{paid:?}");
        for then in [Pressure::default(), Pressure { slow: 0.1, ..Pressure::default() }] {
            let throttle: Arc<Throttle> = Arc::default();
            throttle.set(values(0.9));
            let other = Arc::clone(&throttle);
            let paid = wait(&throttle, bytes, move |slept| {
                if slept == 3 {
                    other.set(then);
                }
            });
            assert!(paid < SLEEP_MAX * 5, "{paid:?}");
        }
    }

    #[test]
    fn what_was_forgiven_is_not_owed_again() {
        let throttle: Arc<Throttle> = Arc::default();
        throttle.set(values(0.9));
        let bytes = throttle.value_rate();
        let other = Arc::clone(&throttle);
        // It ends and begins again while the writer sleeps.
        let paid = wait(&throttle, bytes * 100, move |slept| {
            if slept == 3 {
                other.set(Pressure::default());
                other.set(values(0.9));
            }
        });
        assert!(paid < SLEEP_MAX * 5, "{paid:?}");
        let paid = wait(&throttle, bytes, |_| {});
        assert!(paid < Duration::from_millis(1100), "{paid:?}");
    }

    #[test]
    fn the_end_of_one_pressure_forgives_nothing_of_the_other() {
        let throttle: Arc<Throttle> = Arc::default();
        let slow = Pressure { slow: 0.5, ..Pressure::default() };
        throttle.set(Pressure { values: 0.9, ..slow });
        let (bytes, value_bytes) = (throttle.delayed_rate(), throttle.value_rate());
        let other = Arc::clone(&throttle);
        let paid = wait_for(&throttle, bytes, value_bytes, move |slept| {
            if slept == 3 {
                other.set(slow);
            }
        });
        let expected = Duration::from_secs(1)..Duration::from_millis(1100);
        assert!(expected.contains(&paid), "{paid:?}");
    }

    #[test]
    fn a_limit_to_background_work_holds_until_writers_notice_that_they_are_slowed() {
        let throttle = Throttle::default();
        for (pressure, hurries) in [(0.0, false), (0.1, false), (0.4, false), (0.6, true), (1.0, true)] {
            throttle.set(values(pressure));
            assert_eq!(values(pressure).hurries(), hurries, "{pressure}");
            let megabytes = throttle.value_rate() >> 20;
            assert!(hurries == (pressure > 0.0 && megabytes < 200), "{megabytes} MiB/s at {pressure}");
        }
    }
}
