//! Entries that expire: the second at which they do stands before what they store.
//!
//! stored := expiry:u64 little-endian, seconds since 1970 | value, operand or pointer          (the `Expiring*` kinds)
//!
//! One rule for everybody who meets such an entry, reader, flush, compaction or garbage collection: from that second
//! on it is a deletion, before it is what it was written as. The entry alone decides: not the options of whoever reads
//! it, nor the value, which may lie in the value log.

use super::{EntryKind, ValuePointer};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// Bytes of the expiry before what is stored.
pub const EXPIRY_LEN: usize = 8;

/// The time that entries are judged by. While a database is open it never goes back, and never stands still: it follows
/// the system's clock forwards, and where that is set back it goes on by the time that has passed. What was seen to be
/// expired stays so.
pub struct ExpiryClock {
    seconds: Box<dyn Fn() -> u64 + Send + Sync>,
    passed: Box<dyn Fn() -> Duration + Send + Sync>,
    /// The most nanoseconds that the system's clock was ever ahead of the time that has passed.
    ahead: AtomicI64,
    latest: AtomicU64,
}

const NANOS: i64 = 1_000_000_000;

impl ExpiryClock {
    /// Over a clock that gives seconds since 1970, and one of the time that has passed, which never goes back.
    pub fn new(
        seconds: impl Fn() -> u64 + Send + Sync + 'static,
        passed: impl Fn() -> Duration + Send + Sync + 'static,
    ) -> ExpiryClock {
        let (ahead, latest) = (AtomicI64::new(i64::MIN), AtomicU64::new(0));
        ExpiryClock { seconds: Box::new(seconds), passed: Box::new(passed), ahead, latest }
    }

    /// Seconds since 1970.
    pub fn now(&self) -> u64 {
        let passed = i64::try_from((self.passed)().as_nanos()).unwrap_or(i64::MAX);
        let seconds = i64::try_from((self.seconds)()).unwrap_or(i64::MAX);
        // The system's seconds are whole: this is less than a second too little, and never too much.
        let ahead = seconds.saturating_mul(NANOS).saturating_sub(passed);
        let ahead = self.ahead.fetch_max(ahead, Ordering::Relaxed).max(ahead);
        let now = u64::try_from(passed.saturating_add(ahead) / NANOS).unwrap_or(0);
        self.latest.fetch_max(now, Ordering::Relaxed).max(now)
    }

    /// What an entry is, and what of its stored bytes is value, operand or pointer: at `second`, which is that of the
    /// first entry that expires of all that are judged together. Reads the clock for that one only.
    #[inline]
    pub fn seen<'a>(
        &self,
        second: &mut Option<u64>,
        kind: EntryKind,
        stored: &'a [u8],
    ) -> (EntryKind, &'a [u8]) {
        if !kind.is_expiring() {
            return (kind, stored);
        }
        seen_at(kind, stored, *second.get_or_insert_with(|| self.now()))
    }
}

/// The second at which one operation judges all that it meets. The clock is read when the first entry that expires is
/// met: most operations meet none.
pub struct Moment<'a> {
    clock: &'a ExpiryClock,
    second: Cell<Option<u64>>,
}

impl<'a> Moment<'a> {
    /// By this clock.
    pub fn of(clock: &'a ExpiryClock) -> Moment<'a> {
        Moment { clock, second: Cell::new(None) }
    }

    /// As `ExpiryClock::seen`, at the operation's second.
    #[inline]
    pub fn seen<'e>(&self, kind: EntryKind, stored: &'e [u8]) -> (EntryKind, &'e [u8]) {
        let mut second = self.second.get();
        let seen = self.clock.seen(&mut second, kind, stored);
        self.second.set(second);
        seen
    }
}

/// What an entry is at a time, as `ExpiryClock::seen`.
#[inline]
pub fn seen_at(kind: EntryKind, stored: &[u8], now: u64) -> (EntryKind, &[u8]) {
    match split(kind, stored) {
        (Some(expiry), _) if expiry <= now => (EntryKind::Delete, &[]),
        (_, rest) => (kind.lasting(), rest),
    }
}

/// The expiry of an entry, if it has one, and the rest of what it stores. Tables and batches are checked for the
/// length when they are read; where one is too short all the same, the entry never expires and stores nothing.
#[inline]
pub fn split(kind: EntryKind, stored: &[u8]) -> (Option<u64>, &[u8]) {
    if !kind.is_expiring() {
        return (None, stored);
    }
    match stored.split_first_chunk::<EXPIRY_LEN>() {
        Some((expiry, rest)) => (Some(u64::from_le_bytes(*expiry)), rest),
        None => (None, &[]),
    }
}

/// Whether an entry of this kind may store so many bytes.
#[inline]
pub fn is_long_enough(kind: EntryKind, stored: usize) -> bool {
    stored >= EXPIRY_LEN || !kind.is_expiring()
}

/// The encoded pointer that an entry stores, expired or not; `None` if it stores something else.
#[inline]
pub fn pointer_of(kind: EntryKind, stored: &[u8]) -> Option<&[u8]> {
    (kind.lasting() == EntryKind::Pointer).then(|| split(kind, stored).1)
}

/// As `pointer_of`, decoded; `None` also if it is malformed.
#[inline]
pub fn decoded_pointer(kind: EntryKind, stored: &[u8]) -> Option<ValuePointer> {
    ValuePointer::decode(pointer_of(kind, stored)?)
}

/// Counts entries by when they expire, in little memory: when there are many different times, neighbours are counted
/// at the later one.
#[derive(Default)]
pub struct ExpiryCounter {
    /// Times, ascending, and how many entries have expired then that had not at the time before.
    times: BTreeMap<u64, u64>,
    count: u64,
}

impl ExpiryCounter {
    /// Times that are told apart after neighbours were counted together; before that, twice as many.
    const TIMES: u64 = 128;

    /// Counts an entry.
    pub fn add(&mut self, expiry: u64) {
        self.count += 1;
        *self.times.entry(expiry).or_default() += 1;
        if self.times.len() as u64 > 2 * Self::TIMES {
            self.merge_neighbours();
        }
    }

    /// Leaves about as many entries at each time.
    fn merge_neighbours(&mut self) {
        let (mut merged, mut waiting) = (BTreeMap::new(), 0);
        let last = self.latest();
        for (&time, &count) in &self.times {
            waiting += count;
            if waiting > self.count / Self::TIMES || time == last {
                merged.insert(time, std::mem::take(&mut waiting));
            }
        }
        self.times = merged;
    }

    /// Entries counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// When the last of them expires; 0 if there is none.
    pub fn latest(&self) -> u64 {
        self.times.last_key_value().map_or(0, |(time, _)| *time)
    }

    /// A time at which `wanted` of them have expired for sure; `None` if there are fewer.
    pub fn when(&self, wanted: u64) -> Option<u64> {
        let mut expired = 0;
        self.times.iter().find_map(|(time, count)| {
            expired += count;
            (expired >= wanted).then_some(*time)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn an_entry_is_a_deletion_from_its_second_on() {
        let stored = [&100u64.to_le_bytes()[..], b"value"].concat();
        for (kind, lasting) in [
            (EntryKind::ExpiringPut, EntryKind::Put),
            (EntryKind::ExpiringMerge, EntryKind::Merge),
            (EntryKind::ExpiringPointer, EntryKind::Pointer),
        ] {
            assert_eq!(seen_at(kind, &stored, 99), (lasting, &b"value"[..]));
            assert_eq!(seen_at(kind, &stored, 100), (EntryKind::Delete, &b""[..]));
            assert!(is_long_enough(kind, 8) && !is_long_enough(kind, 7));
        }
        assert_eq!(seen_at(EntryKind::Put, b"abc", u64::MAX), (EntryKind::Put, &b"abc"[..]));
        assert_eq!(pointer_of(EntryKind::ExpiringPointer, &stored), Some(&b"value"[..]));
        assert_eq!(pointer_of(EntryKind::ExpiringPut, &stored), None);
    }

    /// A clock, and what it goes by: seconds since 1970 and milliseconds that have passed.
    fn clock() -> (ExpiryClock, Arc<AtomicU64>, Arc<AtomicU64>) {
        let (system, passed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (seconds, millis) = (Arc::clone(&system), Arc::clone(&passed));
        let clock = ExpiryClock::new(
            move || seconds.load(Ordering::Relaxed),
            move || Duration::from_millis(millis.load(Ordering::Relaxed)),
        );
        (clock, system, passed)
    }

    #[test]
    fn time_never_goes_back_and_never_stands_still() {
        let (clock, system, passed) = clock();
        let at = |now, millis| {
            system.store(now, Ordering::Relaxed);
            passed.store(millis, Ordering::Relaxed);
            clock.now()
        };
        // Side by side, then set back, set ahead, and back again for good.
        assert_eq!([at(50, 7000), at(50, 7900), at(51, 8000), at(52, 9100)], [50, 50, 51, 52]);
        assert_eq!([at(40, 9200), at(41, 10_050), at(0, 19_000)], [52, 53, 62]);
        assert_eq!([at(90, 19_500), at(60, 20_000), at(61, 21_500)], [90, 90, 92]);
        assert_eq!(
            [at(94, 22_400), at(94, 22_600), at(u64::MAX, 22_700)],
            [94, 94, i64::MAX as u64 / NANOS as u64]
        );
    }

    #[test]
    fn one_operation_has_one_second() {
        let (clock, system, passed) = clock();
        system.store(99, Ordering::Relaxed);
        let moment = Moment::of(&clock);
        let stored = [&100u64.to_le_bytes()[..], b"value"].concat();
        assert_eq!(moment.seen(EntryKind::ExpiringPut, &stored).0, EntryKind::Put);
        passed.store(5000, Ordering::Relaxed);
        assert_eq!(moment.seen(EntryKind::ExpiringPut, &stored).0, EntryKind::Put);
        assert_eq!(Moment::of(&clock).seen(EntryKind::ExpiringPut, &stored).0, EntryKind::Delete);
    }

    #[test]
    fn counts_are_never_too_early() {
        let mut counter = ExpiryCounter::default();
        assert_eq!((counter.latest(), counter.when(1)), (0, None));
        let mut all: Vec<u64> = (0..5000u64).map(|n| n.wrapping_mul(2_654_435_761) % 100_000).collect();
        all.iter().for_each(|time| counter.add(*time));
        all.sort_unstable();
        assert_eq!((counter.count(), counter.latest()), (5000, all[4999]));
        for wanted in [1, 100, 2500, 4999, 5000] {
            let (when, exact) = (counter.when(wanted).unwrap(), all[wanted as usize - 1]);
            let late = all[(wanted as usize + 150).min(4999)];
            assert!(when >= exact && when <= late, "{wanted}: {when} for {exact} to {late}");
        }
        assert_eq!(counter.when(5001), None);
    }
}
