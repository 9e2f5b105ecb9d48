//! How long a sync waits for writers that are about to come.
//!
//! Writers that a sync has served come back at about the same time. Who is first among them would sync for himself
//! alone, and the others would wait for the next one: twice the syncs, each for half the writers. So
//!
//! 1. the end of a sync counts whom it served and who was waiting already: as many are expected at the next one;
//! 2. who comes before all are there sleeps; the last one leads. At most half the time a sync takes, or all of it while
//!    half of them or more are missing, for then waiting saves a sync for each that is done; and 5 ms;
//! 3. when they do not come, the next syncs begin at once: one after the first time, then 2, 4 and so on up to 64.
//!
//! One writer alone is never made to wait.

use std::time::Duration;

/// Nobody waits longer, however long the last sync took.
const LONGEST_WAIT: Duration = Duration::from_millis(5);
/// Syncs without waiting after waits that were in vain, at most.
const LONGEST_REST: u32 = 64;

/// Whom the next sync is for. Under the lock of durability's state.
#[derive(Default)]
pub(super) struct Gathering {
    /// Writers that wait for durability at the same time.
    expected: usize,
    /// How long the last sync took.
    sync_time: Duration,
    /// When the wait that goes on began.
    began: Option<Duration>,
    /// Syncs that begin at once.
    rest: u32,
    next_rest: u32,
}

impl Gathering {
    /// How long who would lead a sync for `pending` requests waits for others; `None` if the sync begins now.
    /// `in_vain`: he has waited as long as this said.
    pub(super) fn wait(&mut self, pending: usize, now: Duration, in_vain: bool) -> Option<Duration> {
        if pending >= self.expected || self.expected < 2 {
            if self.began.take().is_some() {
                self.next_rest = 0;
            }
            return None;
        }
        let worth = if 2 * pending <= self.expected { self.sync_time } else { self.sync_time / 2 };
        let limit = worth.min(LONGEST_WAIT);
        match self.began {
            Some(began) if now < began + limit && !in_vain => Some(began + limit - now),
            Some(_) => {
                self.began = None;
                self.next_rest = (2 * self.next_rest).clamp(1, LONGEST_REST);
                self.rest = self.next_rest;
                None
            }
            None if self.rest > 0 => {
                self.rest -= 1;
                None
            }
            None => {
                self.began = Some(now);
                Some(limit)
            }
        }
    }

    /// A sync took `time` and served `served` requests; `left` came meanwhile.
    pub(super) fn synced(&mut self, time: Duration, served: usize, left: usize) {
        self.sync_time = time;
        self.expected = served + left;
        self.began = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYNC: Duration = Duration::from_micros(100);
    const START: Duration = Duration::from_secs(1);

    #[test]
    fn those_who_were_served_and_those_who_waited_are_expected() {
        let mut gathering = Gathering::default();
        assert_eq!(gathering.wait(0, START, false), None);
        gathering.synced(SYNC, 3, 5);
        assert_eq!(gathering.wait(5, START, false), Some(SYNC / 2));
        assert_eq!(gathering.wait(7, START + SYNC / 4, false), Some(SYNC / 4), "one wait for all");
        assert_eq!(gathering.wait(8, START + SYNC / 4, false), None, "all are there");
        gathering.synced(SYNC, 8, 0);
        assert_eq!(gathering.wait(5, START, false), Some(SYNC / 2), "it paid: the next may wait too");
        assert_eq!(gathering.wait(5, START + SYNC / 2, false), None, "half a sync is over");
    }

    #[test]
    fn a_sync_that_would_be_for_half_waits_as_long_as_it_takes() {
        let mut gathering = Gathering::default();
        gathering.synced(SYNC, 1, 1);
        assert_eq!(gathering.wait(1, START, false), Some(SYNC));
        assert_eq!(gathering.wait(2, START + SYNC / 2, false), None, "all are there");
        gathering.synced(SYNC, 2, 0);
        assert_eq!(gathering.wait(1, START, false), Some(SYNC), "it paid");
        assert_eq!(gathering.wait(1, START + SYNC, false), None, "a sync's time is over");
        gathering.synced(SYNC, 8, 0);
        gathering.rest = 0;
        assert_eq!(gathering.wait(1, START, false), Some(SYNC));
        assert_eq!(
            gathering.wait(7, START + SYNC / 2, false),
            None,
            "few are missing: half a sync is enough"
        );
    }

    #[test]
    fn a_slow_sync_makes_nobody_wait_long() {
        let mut gathering = Gathering::default();
        gathering.synced(Duration::from_secs(60), 8, 0);
        assert_eq!(gathering.wait(7, START, false), Some(LONGEST_WAIT));
    }

    #[test]
    fn one_writer_waits_for_nobody() {
        let mut gathering = Gathering::default();
        for _ in 0..3 {
            gathering.synced(SYNC, 1, 0);
            assert_eq!(gathering.wait(1, START, false), None);
            assert_eq!(gathering.wait(0, START, false), None);
        }
    }

    #[test]
    fn waits_in_vain_become_rare() {
        let mut gathering = Gathering::default();
        let mut waits = Vec::new();
        for sync in 0..400 {
            gathering.synced(SYNC, 1, 1);
            if gathering.wait(1, START, false).is_some() {
                waits.push(sync);
                assert_eq!(gathering.wait(1, START, true), None);
            }
        }
        assert_eq!(waits, [0, 2, 5, 10, 19, 36, 69, 134, 199, 264, 329, 394]);
    }
}
