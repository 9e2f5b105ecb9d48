//! The range tombstones of one memtable.
//!
//! 1. Writers append tombstones to `fresh`, as they come.
//! 2. The first reader after an append cuts the fresh ones into a `TombstoneList` of their own, together with the
//!    newest lists as long as those are not more than twice as large. So each list is more than twice as large as the
//!    next: there are O(log n) lists, a lookup asks each, and each tombstone is cut O(log n) times however writes and
//!    reads alternate.
//! 3. A list once given does not change; what replaces it in here is a new one.
//!
//! Invariant D1: a reader that sees `is_empty` false gets lists with every tombstone whose `add` returned before.

use crate::base::memory::allocation;
use crate::base::range_tombstone::{RangeTombstone, TombstoneList};
use crate::base::{InternalComparator, SequenceNumber};
use parking_lot::{RwLock, RwLockReadGuard};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A list is cut anew together with younger ones that have more than a half of its tombstones.
const RATIO: usize = 2;

/// A concurrent holder of range tombstones. Memtables without any (nearly all) pay one atomic load a read.
#[derive(Default)]
pub struct RangeDeletions {
    count: AtomicUsize,
    memory_bytes: AtomicUsize,
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    /// In no list yet.
    fresh: Vec<RangeTombstone>,
    /// Largest and oldest first.
    parts: Vec<Part>,
}

/// Some tombstones, as they came and cut.
struct Part {
    tombstones: Vec<RangeTombstone>,
    list: Arc<TombstoneList>,
}

impl State {
    /// Cuts the fresh ones.
    fn cut(&mut self, order: &InternalComparator) {
        let mut first = self.parts.len();
        let mut total = self.fresh.len();
        while first > 0 && self.parts[first - 1].tombstones.len() <= RATIO * total {
            first -= 1;
            total += self.parts[first].tombstones.len();
        }
        let mut tombstones = Vec::with_capacity(total);
        for part in self.parts.drain(first..) {
            tombstones.extend(part.tombstones);
        }
        tombstones.append(&mut self.fresh);
        self.fresh = Vec::new();
        let list = Arc::new(TombstoneList::build(&tombstones, order));
        self.parts.push(Part { tombstones, list });
    }

    /// Bytes of memory besides the keys of the tombstones.
    fn overhead(&self) -> usize {
        let tombstones = |held: &Vec<RangeTombstone>| held.capacity() * size_of::<RangeTombstone>();
        let part = |part: &Part| {
            allocation(tombstones(&part.tombstones))
                + part.list.memory_bytes()
                + allocation(size_of::<TombstoneList>() + 2 * size_of::<usize>())
        };
        allocation(tombstones(&self.fresh))
            + allocation(self.parts.capacity() * size_of::<Part>())
            + self.parts.iter().map(part).sum::<usize>()
    }
}

/// Bytes of memory that the keys of a tombstone take.
fn key_bytes(tombstone: &RangeTombstone) -> usize {
    allocation(tombstone.start.capacity()) + allocation(tombstone.end.capacity())
}

impl RangeDeletions {
    /// An empty holder.
    pub fn new() -> RangeDeletions {
        RangeDeletions::default()
    }

    /// Adds a tombstone.
    pub fn add(&self, tombstone: RangeTombstone) {
        let mut grown = key_bytes(&tombstone);
        let mut state = self.state.write();
        let before = state.fresh.capacity();
        state.fresh.push(tombstone);
        let vector = |capacity: usize| allocation(capacity * size_of::<RangeTombstone>());
        grown += vector(state.fresh.capacity()) - vector(before);
        self.memory_bytes.fetch_add(grown, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Release);
    }

    /// True before the first `add`.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// Tombstones added so far.
    #[inline]
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Bytes of memory the tombstones and their lists take, with what the allocator adds. (A list that was replaced and
    /// that a reader still holds is the reader's.)
    pub fn memory_bytes(&self) -> usize {
        self.memory_bytes.load(Ordering::Relaxed)
    }

    /// The newest deletion of `user_key` visible at `snapshot`; 0 if none. `order` must be the same in every call.
    pub fn covering_sequence(
        &self,
        user_key: &[u8],
        snapshot: SequenceNumber,
        order: &InternalComparator,
    ) -> SequenceNumber {
        let state = self.cut_state(order);
        let parts = state.parts.iter();
        parts.map(|part| part.list.covering_sequence(user_key, snapshot, order)).max().unwrap_or(0)
    }

    /// All tombstones added so far, as a few lists. `order` must be the same in every call.
    pub fn lists(&self, order: &InternalComparator) -> Vec<Arc<TombstoneList>> {
        self.cut_state(order).parts.iter().map(|part| Arc::clone(&part.list)).collect()
    }

    /// All tombstones added so far, as they were added.
    pub fn all(&self) -> Vec<RangeTombstone> {
        let state = self.state.read();
        let parts = state.parts.iter().flat_map(|part| &part.tombstones);
        parts.chain(&state.fresh).cloned().collect()
    }

    /// The state with nothing fresh in it (D1).
    fn cut_state(&self, order: &InternalComparator) -> RwLockReadGuard<'_, State> {
        loop {
            let state = self.state.read();
            if state.fresh.is_empty() {
                return state;
            }
            drop(state);
            let mut state = self.state.write();
            if !state.fresh.is_empty() {
                let before = state.overhead();
                state.cut(order);
                let after = state.overhead();
                // Wrapping: it may be less than before.
                self.memory_bytes.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tombstone(start: &[u8], end: &[u8], sequence: u64) -> RangeTombstone {
        RangeTombstone { start: start.to_vec(), end: end.to_vec(), sequence }
    }

    fn numbered(start: u64, end: u64, sequence: u64) -> RangeTombstone {
        tombstone(&start.to_be_bytes(), &end.to_be_bytes(), sequence)
    }

    #[test]
    fn lists_once_given_do_not_change() {
        let order = InternalComparator::default();
        let deletions = RangeDeletions::new();
        assert!(deletions.is_empty() && deletions.lists(&order).is_empty());
        deletions.add(tombstone(b"b", b"d", 5));
        assert_eq!((deletions.is_empty(), deletions.count()), (false, 1));
        let first = deletions.lists(&order);
        assert!(Arc::ptr_eq(&first[0], &deletions.lists(&order)[0]), "no addition, no new list");
        deletions.add(tombstone(b"c", b"f", 9));
        assert_eq!(first[0].covering_sequence(b"c", 100, &order), 5);
        assert_eq!(deletions.covering_sequence(b"c", 100, &order), 9);
        assert_eq!(deletions.covering_sequence(b"c", 8, &order), 5);
        assert_eq!(deletions.covering_sequence(b"e", 8, &order), 0);
        assert_eq!(deletions.all().len(), 2);
    }

    #[test]
    fn readers_see_every_addition_that_finished() {
        let order = InternalComparator::default();
        let deletions = RangeDeletions::new();
        std::thread::scope(|scope| {
            scope.spawn(|| (1..=200).for_each(|sequence| deletions.add(tombstone(b"a", b"z", sequence))));
            loop {
                let added = deletions.count() as u64;
                let seen = deletions.covering_sequence(b"m", 1000, &order);
                assert!(seen >= added, "D1: {added} were added, the lists know {seen}");
                if added == 200 {
                    break;
                }
            }
        });
    }

    /// Reads between additions, at random: the lists answer as the tombstones do.
    #[test]
    fn lists_answer_as_the_tombstones() {
        let order = InternalComparator::default();
        let mut state = 7u64;
        let mut random = move |bound: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) % bound
        };
        let deletions = RangeDeletions::new();
        let mut added: Vec<RangeTombstone> = Vec::new();
        for sequence in 1..=600 {
            let start = random(60);
            let tombstone = numbered(start, start + random(10), sequence);
            deletions.add(tombstone.clone());
            added.push(tombstone);
            if random(3) == 0 {
                continue;
            }
            for _ in 0..4 {
                let (key, snapshot) = (random(70).to_be_bytes(), random(sequence + 1));
                let covers = |t: &&RangeTombstone| t.start[..] <= key[..] && key[..] < t.end[..];
                let visible = added.iter().filter(covers).map(|t| t.sequence).filter(|s| *s <= snapshot);
                let expected = visible.max().unwrap_or(0);
                assert_eq!(deletions.covering_sequence(&key, snapshot, &order), expected, "at {sequence}");
            }
            assert_eq!(deletions.memory_bytes(), exact_memory(&deletions), "at {sequence}");
        }
        assert_eq!(deletions.all(), added, "in the order they were added");
    }

    fn exact_memory(deletions: &RangeDeletions) -> usize {
        let state = deletions.state.read();
        let held = state.parts.iter().flat_map(|part| &part.tombstones).chain(&state.fresh);
        state.overhead() + held.map(key_bytes).sum::<usize>()
    }

    /// Alternating additions and reads stay cheap: few lists, and each tombstone is cut few times.
    #[test]
    fn alternating_additions_and_reads_cut_each_tombstone_a_few_times() {
        let order = InternalComparator::default();
        let deletions = RangeDeletions::new();
        let (count, mut cut) = (4000u64, 0);
        for number in 0..count {
            deletions.add(numbered(2 * number, 2 * number + 1, number + 1));
            let seen = deletions.covering_sequence(&(2 * number).to_be_bytes(), u64::MAX, &order);
            assert_eq!(seen, number + 1);
            let state = deletions.state.read();
            let sizes: Vec<usize> = state.parts.iter().map(|part| part.tombstones.len()).collect();
            assert!(sizes.windows(2).all(|pair| pair[0] > RATIO * pair[1]), "{sizes:?}");
            cut += sizes.last().expect("there is a list");
        }
        let times = cut as f64 / count as f64;
        assert!(times < 16.0, "each was cut {times:.1} times");
    }
}
