//! Entries that expire: the second at which they do stands before what they store.
//!
//! stored := expiry:u64 little-endian, seconds since 1970 | value, operand or pointer          (the `Expiring*` kinds)
//!
//! One rule for everybody who meets such an entry, reader, flush, compaction or garbage collection: from that second
//! on it is a deletion, before it is what it was written as. The entry alone decides: not the options of whoever reads
//! it, nor the value, which may lie in the value log.

use super::{EntryKind, ValuePointer};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of the expiry before what is stored.
pub const EXPIRY_LEN: usize = 8;

/// The time that entries are judged by. While a database is open it never goes back, whatever the system's clock does:
/// what was seen to be expired stays so.
pub struct ExpiryClock {
    seconds: Box<dyn Fn() -> u64 + Send + Sync>,
    latest: AtomicU64,
}

impl ExpiryClock {
    /// Over a clock that gives seconds since 1970.
    pub fn new(seconds: impl Fn() -> u64 + Send + Sync + 'static) -> ExpiryClock {
        ExpiryClock { seconds: Box::new(seconds), latest: AtomicU64::new(0) }
    }

    /// Seconds since 1970.
    pub fn now(&self) -> u64 {
        let now = (self.seconds)();
        let latest = self.latest.load(Ordering::Relaxed);
        if now <= latest {
            return latest;
        }
        self.latest.fetch_max(now, Ordering::Relaxed).max(now)
    }

    /// What an entry is now, and what of its stored bytes is value, operand or pointer. Reads the clock only for
    /// entries that expire.
    #[inline]
    pub fn seen<'a>(&self, kind: EntryKind, stored: &'a [u8]) -> (EntryKind, &'a [u8]) {
        if kind.is_expiring() { seen_at(kind, stored, self.now()) } else { (kind, stored) }
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

    #[test]
    fn time_never_goes_back() {
        let system = Arc::new(AtomicU64::new(50));
        let source = Arc::clone(&system);
        let clock = ExpiryClock::new(move || source.load(Ordering::Relaxed));
        let seen: Vec<u64> = [50, 40, 60, 59, 0, 61]
            .map(|now| {
                system.store(now, Ordering::Relaxed);
                clock.now()
            })
            .to_vec();
        assert_eq!(seen, [50, 50, 60, 60, 60, 61]);
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
