//! How long values live: what is likely to die together is written together.
//!
//! Cleaning is cheap where a segment's values die at about the same time: then it is removed whole, or has little left
//! to copy. So values are put into classes, and each class has segments of its own.
//! 1. The clock counts bytes of new values; a turnover is as many as are alive.
//! 2. A new value's class follows from how long ago its key was last written, in parts of a turnover (`REWRITTEN`). A
//!    table of hashes remembers that for about as many keys as have values. It is a hint: what it forgets, or takes for
//!    another key, costs a copy and nothing else. So do the keys of a flush that failed and is tried again: they
//!    look as if they had just been written.
//! 3. A copy's class follows from the age of the segment that it is taken from (`LIVED`), which for copies is the mean
//!    age of their values: what has lived long lives on.
//!
//! A value log of few segments has one class of new values and one of copies: more would be open segments for the
//! most part.

use super::SegmentClass;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Classes of new values: `SegmentClass::New` and the two after it.
pub(super) const NEW_CLASSES: usize = 4;
/// Classes of copies.
pub(super) const COPY_CLASSES: usize = 4;
/// An open segment is closed when so many parts of a turnover have been written since it was created: one of a class
/// that fills slowly keeps its garbage from being collected.
pub(super) const OPEN_PARTS: u64 = 4;
/// Hundredths of a turnover within which the key of a hottest, hot, warm value was written before.
const REWRITTEN: [u64; NEW_CLASSES - 1] = [4, 20, 100];
/// Hundredths of a turnover that young, old, older copies have lived at most.
const LIVED: [u64; COPY_CLASSES - 1] = [33, 100, 300];
/// The clock's unit in the table of hashes: 2^16 bytes.
const UNIT_BITS: u32 = 16;
const TIME_BITS: u32 = 24;
const TIME_MASK: u32 = (1 << TIME_BITS) - 1;
/// Where the clock starts: far from the times of slots that were never written.
const START: u64 = 1 << (UNIT_BITS + TIME_BITS - 1);
/// Keys remembered, 4 bytes each: at least, how many times as many as the values grow, and how often that can be.
const LEAST_SLOTS: u64 = 1 << 12;
const GROWTH_BITS: u32 = 2;
const SIZES: usize = 5;

/// The clock, and when keys were last written.
pub(crate) struct Lifetimes {
    /// Bytes of new values, from `START` on.
    clock: AtomicU64,
    /// Bytes that are alive; 0: there are no classes.
    turnover: AtomicU64,
    /// 8 bits of the key's hash, and 24 bits of the time it was written at, by size. A smaller one is not used any more
    /// when there is a larger one, but a writer may still look at it.
    slots: [OnceLock<Box<[AtomicU32]>>; SIZES],
}

impl Lifetimes {
    /// `found` are bytes written before.
    pub fn new(found: u64) -> Lifetimes {
        let clock = AtomicU64::new(START.saturating_add(found));
        Lifetimes { clock, turnover: AtomicU64::new(0), slots: Default::default() }
    }

    /// The clock's time of the `at`-th byte found at open.
    pub fn time_of_found(at: u64) -> u64 {
        START.saturating_add(at)
    }

    /// Now, by the clock of bytes.
    #[inline]
    pub fn now(&self) -> u64 {
        self.clock.load(Ordering::Relaxed)
    }

    /// Tells how many bytes and values are alive; no bytes: not enough for classes.
    pub fn set_live(&self, bytes: u64, values: u64) {
        if bytes > 0 {
            self.remember(values);
        }
        self.turnover.store(bytes, Ordering::Relaxed);
    }

    /// Sees to it that about as many keys as there are values can be remembered.
    fn remember(&self, values: u64) {
        let count = |size: usize| LEAST_SLOTS << (GROWTH_BITS * size as u32);
        let wanted = (0..SIZES).find(|size| count(*size) >= values).unwrap_or(SIZES - 1);
        let current = self.current_slots();
        if current.is_some_and(|slots| slots.len() as u64 >= count(wanted)) {
            return;
        }
        // A key's place in the larger table is one of those that its place in the smaller one becomes.
        let slot = |at: u64| {
            let before = |slots: &[AtomicU32]| slots[at as usize & (slots.len() - 1)].load(Ordering::Relaxed);
            AtomicU32::new(current.map_or(0, before))
        };
        self.slots[wanted].get_or_init(|| (0..count(wanted)).map(slot).collect());
    }

    #[inline]
    fn current_slots(&self) -> Option<&[AtomicU32]> {
        self.slots.iter().rev().find_map(OnceLock::get).map(AsRef::as_ref)
    }

    /// Bytes alive, 0 without classes.
    pub fn turnover(&self) -> u64 {
        self.turnover.load(Ordering::Relaxed)
    }

    /// The class of a new value of `len` bytes; `hash` gives that of its key.
    #[inline]
    pub fn class_of_new(&self, len: u64, hash: impl FnOnce() -> u64) -> SegmentClass {
        let now = self.clock.fetch_add(len, Ordering::Relaxed);
        let turnover = self.turnover();
        let (false, Some(slots)) = (turnover == 0, self.current_slots()) else { return SegmentClass::New };
        let hash = hash();
        let slot = &slots[hash as usize & (slots.len() - 1)];
        let tag = (hash >> 56) as u32;
        let time = (now >> UNIT_BITS) as u32 & TIME_MASK;
        let before = slot.load(Ordering::Relaxed);
        slot.store(tag << TIME_BITS | time, Ordering::Relaxed);
        if before >> TIME_BITS != tag {
            return SegmentClass::New;
        }
        let interval = u64::from(time.wrapping_sub(before) & TIME_MASK) << UNIT_BITS;
        let hundredth = turnover / 100;
        let within = REWRITTEN.iter().position(|parts| interval < parts * hundredth);
        SegmentClass::ALL[within.map_or(0, |hotter| NEW_CLASSES - 1 - hotter)]
    }

    /// The class of a copy out of a segment whose values were written at `birth`, on average.
    pub fn class_of_copy(&self, birth: u64) -> SegmentClass {
        let turnover = self.turnover();
        if turnover == 0 {
            return SegmentClass::Copies;
        }
        let age = self.now().saturating_sub(birth);
        let older = LIVED.iter().filter(|parts| age >= **parts * (turnover / 100)).count();
        SegmentClass::ALL[SegmentClass::Copies as usize + older]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: u64 = 1 << 17;

    #[test]
    fn a_class_follows_from_when_a_key_was_last_written() {
        let lifetimes = Lifetimes::new(0);
        let class = |key: u64| lifetimes.class_of_new(VALUE, || key.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        assert_eq!((class(1), class(1)), (SegmentClass::New, SegmentClass::New), "nothing is remembered yet");
        lifetimes.set_live(1000 * VALUE, 1000);
        assert_eq!((class(1), class(1)), (SegmentClass::New, SegmentClass::Hottest));
        let expected = [SegmentClass::Hottest, SegmentClass::Hot, SegmentClass::Warm, SegmentClass::New];
        for (others, expected) in [30, 190, 990, 1010].into_iter().zip(expected) {
            (0..others).for_each(|key| _ = class(100 * others + key));
            assert_eq!(class(1), expected, "{others} other keys between");
        }
        assert_eq!(class(1), SegmentClass::Hottest);
        lifetimes.set_live(0, 0);
        assert_eq!(class(1), SegmentClass::New, "no classes, no hot ones");
    }

    #[test]
    fn more_keys_are_remembered_when_there_are_more_and_none_is_forgotten_for_it() {
        let lifetimes = Lifetimes::new(0);
        let class =
            |key: u64| lifetimes.class_of_new(VALUE, || crate::base::checksum::hash64(&key.to_le_bytes(), 0));
        let live = 1 << 20;
        lifetimes.set_live(live * VALUE, 10);
        let remembered = |keys: u64| (0..keys).filter(|key| class(*key) != SegmentClass::New).count() as u64;
        assert!(remembered(1000) < 20);
        for values in [20_000, 15_000, 30_000, live] {
            lifetimes.set_live(live * VALUE, values);
            assert!(remembered(1000) > 700, "with {values}");
        }
        // With the first table a thirtieth would be.
        remembered(100_000);
        assert!(remembered(100_000) > 80_000);
        assert_eq!(lifetimes.current_slots().unwrap().len(), 1 << 20);
    }

    #[test]
    fn copies_are_kept_apart_by_age() {
        let lifetimes = Lifetimes::new(10 * VALUE);
        let class = |birth| lifetimes.class_of_copy(Lifetimes::time_of_found(birth * VALUE));
        assert_eq!(class(0), SegmentClass::Copies);
        lifetimes.set_live(4 * VALUE, 4);
        let expected = [SegmentClass::Copies, SegmentClass::OldCopies, SegmentClass::OlderCopies];
        assert_eq!([9, 8, 5].map(class), expected);
        lifetimes.set_live(VALUE, 1);
        assert_eq!(class(1), SegmentClass::OldestCopies);
        assert_eq!(class(20), SegmentClass::Copies, "of the future");
    }
}
