//! Range deletions: `[start, end)` deleted at a sequence number, and the question every read asks of them.
//!
//! `TombstoneList` answers for any number of deletions that overlap in any way. Immutable.
//! 1. Where tombstones begin or end, keys are cut into stretches, which a binary search finds.
//! 2. Over the stretches stands a binary tree: leaf `stretches + i` is stretch `i`, the parent of node `n` is `n / 2`.
//!    A tombstone is noted at the largest nodes that it covers whole, O(log n) of them: n tombstones take O(n log n)
//!    memory, where a list for each stretch could take O(n * n).
//! 3. A lookup goes from the leaf to the root, and takes the newest visible of what is noted on the way.
//!
//! `newest` is what remains where only the newest deletion matters.

use super::comparator::InternalComparator;
use super::key::SequenceNumber;
use super::memory::allocation;
use std::collections::BinaryHeap;

/// Deletes every key in `[start, end)` written at or before `sequence`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeTombstone {
    /// First key deleted.
    pub start: Vec<u8>,
    /// First key no longer deleted.
    pub end: Vec<u8>,
    /// When the deletion was written.
    pub sequence: SequenceNumber,
}

impl RangeTombstone {
    /// The same, borrowed.
    pub fn span(&self) -> Span<'_> {
        Span { start: &self.start, end: &self.end, sequence: self.sequence }
    }
}

/// A range deletion, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span<'a> {
    /// First key deleted.
    pub start: &'a [u8],
    /// First key no longer deleted.
    pub end: &'a [u8],
    /// When the deletion was written.
    pub sequence: SequenceNumber,
}

impl From<Span<'_>> for RangeTombstone {
    fn from(span: Span<'_>) -> RangeTombstone {
        RangeTombstone { start: span.start.to_vec(), end: span.end.to_vec(), sequence: span.sequence }
    }
}

/// Where spans begin and end, in order, without repeats.
fn edges<'a>(spans: &[Span<'a>], order: &InternalComparator) -> Vec<&'a [u8]> {
    let mut edges: Vec<&[u8]> = spans.iter().flat_map(|span| [span.start, span.end]).collect();
    edges.sort_unstable_by(|a, b| order.compare_user(a, b));
    edges.dedup_by(|a, b| order.compare_user(a, b).is_eq());
    edges
}

/// The newest deletion of each key, as tombstones in key order that do not overlap: fewer than twice as many as
/// `spans`.
pub fn newest(spans: &[Span<'_>], order: &InternalComparator) -> Vec<RangeTombstone> {
    let mut spans = spans.to_vec();
    spans.sort_by(|a, b| order.compare_user(a.start, b.start));
    let (mut kept, mut next) = (Vec::new(), 0);
    // Those that have begun, newest on top; what has ended stays until it gets there.
    let mut begun: BinaryHeap<(SequenceNumber, usize)> = BinaryHeap::new();
    // Since when the newest has been which; 0 where nothing is deleted.
    let mut open: (&[u8], SequenceNumber) = (&[], 0);
    for edge in edges(&spans, order) {
        while next < spans.len() && order.compare_user(spans[next].start, edge).is_le() {
            begun.push((spans[next].sequence, next));
            next += 1;
        }
        while begun.peek().is_some_and(|(_, span)| order.compare_user(spans[*span].end, edge).is_le()) {
            begun.pop();
        }
        let sequence = begun.peek().map_or(0, |(sequence, _)| *sequence);
        if sequence != open.1 {
            if open.1 > 0 {
                kept.push(Span { start: open.0, end: edge, sequence: open.1 }.into());
            }
            open = (edge, sequence);
        }
    }
    kept
}

/// A tombstone of a list: its first stretch, and the one behind its last.
#[derive(Clone, Copy, Debug)]
struct Stretches {
    from: usize,
    to: usize,
    sequence: SequenceNumber,
}

impl Stretches {
    /// Shows the largest nodes that it covers whole, of a tree over `leaves` stretches.
    fn nodes(&self, leaves: usize, mut show: impl FnMut(usize)) {
        let (mut from, mut to) = (self.from + leaves, self.to + leaves);
        while from < to {
            if from % 2 == 1 {
                show(from);
                from += 1;
            }
            if to % 2 == 1 {
                to -= 1;
                show(to);
            }
            (from, to) = (from / 2, to / 2);
        }
    }
}

/// Range deletions, with an index to look keys up.
#[derive(Clone, Debug, Default)]
pub struct TombstoneList {
    /// The keys where tombstones begin and end, back to back; `offsets[i]` is where key `i` begins, with the end.
    keys: Vec<u8>,
    offsets: Vec<usize>,
    /// Newest first.
    tombstones: Vec<Stretches>,
    /// `sequences[first[node]..first[node + 1]]` are noted at a node, newest first.
    first: Vec<usize>,
    sequences: Vec<SequenceNumber>,
}

impl TombstoneList {
    /// A list of `tombstones`. Those with `start >= end` cover nothing and are dropped.
    pub fn build(tombstones: &[RangeTombstone], order: &InternalComparator) -> TombstoneList {
        let spans = tombstones.iter().map(RangeTombstone::span);
        let mut live: Vec<Span<'_>> =
            spans.filter(|span| order.compare_user(span.start, span.end).is_lt()).collect();
        if live.is_empty() {
            return TombstoneList::default();
        }
        live.sort_by_key(|span| std::cmp::Reverse(span.sequence));
        let edges = edges(&live, order);
        let at = |key: &[u8]| edges.partition_point(|edge| order.compare_user(edge, key).is_lt());
        let stretches =
            |span: &Span<'_>| Stretches { from: at(span.start), to: at(span.end), sequence: span.sequence };
        let tombstones: Vec<Stretches> = live.iter().map(stretches).collect();
        let mut keys = Vec::with_capacity(edges.iter().map(|edge| edge.len()).sum());
        let mut offsets = Vec::with_capacity(edges.len() + 1);
        for edge in &edges {
            offsets.push(keys.len());
            keys.extend_from_slice(edge);
        }
        offsets.push(keys.len());
        let (first, sequences) = note(&tombstones, edges.len() - 1);
        TombstoneList { keys, offsets, tombstones, first, sequences }
    }

    /// True when nothing is deleted.
    pub fn is_empty(&self) -> bool {
        self.tombstones.is_empty()
    }

    /// Tombstones.
    pub fn len(&self) -> usize {
        self.tombstones.len()
    }

    /// Stretches of keys that are each covered by the same tombstones all over, some by none; in key order and without
    /// gaps.
    #[inline]
    pub fn stretches(&self) -> usize {
        self.offsets.len().saturating_sub(2)
    }

    /// The first key of a stretch, or the one behind the last stretch.
    #[inline]
    pub fn edge(&self, stretch: usize) -> &[u8] {
        &self.keys[self.offsets[stretch]..self.offsets[stretch + 1]]
    }

    /// The stretch with `user_key`.
    fn stretch_of(&self, user_key: &[u8], order: &InternalComparator) -> Option<usize> {
        // The first edge behind the key is in `low..=high`.
        let (mut low, mut high) = (0, self.offsets.len().saturating_sub(1));
        while low < high {
            let middle = low.midpoint(high);
            if order.compare_user(self.edge(middle), user_key).is_le() {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low.checked_sub(1).filter(|stretch| *stretch < self.stretches())
    }

    /// The newest deletion of a stretch visible at `snapshot`; 0 if none.
    #[inline]
    pub fn newest_of(&self, stretch: usize, snapshot: SequenceNumber) -> SequenceNumber {
        let (mut node, mut newest) = (self.stretches() + stretch, 0);
        while node > 0 {
            let noted = &self.sequences[self.first[node]..self.first[node + 1]];
            if noted.first().is_some_and(|sequence| *sequence > newest) {
                let visible = noted.partition_point(|sequence| *sequence > snapshot);
                newest = newest.max(noted.get(visible).copied().unwrap_or(0));
            }
            node /= 2;
        }
        newest
    }

    /// The newest deletion of `user_key` visible at `snapshot`; 0 if none. (No deletion has sequence 0.)
    pub fn covering_sequence(
        &self,
        user_key: &[u8],
        snapshot: SequenceNumber,
        order: &InternalComparator,
    ) -> SequenceNumber {
        self.stretch_of(user_key, order).map_or(0, |stretch| self.newest_of(stretch, snapshot))
    }

    /// The stretch around `user_key` that is deleted: its first key and the one behind it.
    pub fn covering_stretch(&self, user_key: &[u8], order: &InternalComparator) -> Option<(&[u8], &[u8])> {
        let stretch = self.stretch_of(user_key, order)?;
        let deleted = self.newest_of(stretch, SequenceNumber::MAX) > 0;
        deleted.then(|| (self.edge(stretch), self.edge(stretch + 1)))
    }

    /// Bytes of memory held, with what the allocator adds.
    pub fn memory_bytes(&self) -> usize {
        allocation(self.keys.capacity())
            + allocation(self.offsets.capacity() * size_of::<usize>())
            + allocation(self.tombstones.capacity() * size_of::<Stretches>())
            + allocation(self.first.capacity() * size_of::<usize>())
            + allocation(self.sequences.capacity() * size_of::<SequenceNumber>())
    }

    /// The tombstones, newest first.
    pub fn spans(&self) -> impl Iterator<Item = Span<'_>> {
        self.tombstones.iter().map(|tombstone| Span {
            start: self.edge(tombstone.from),
            end: self.edge(tombstone.to),
            sequence: tombstone.sequence,
        })
    }

    /// Copies of the tombstones, newest first.
    pub fn iter(&self) -> impl Iterator<Item = RangeTombstone> + '_ {
        self.spans().map(RangeTombstone::from)
    }
}

/// Notes tombstones, newest first, in a tree over `leaves` stretches: where each node's begin, and their numbers.
fn note(tombstones: &[Stretches], leaves: usize) -> (Vec<usize>, Vec<SequenceNumber>) {
    let mut first = vec![0; 2 * leaves + 1];
    for tombstone in tombstones {
        tombstone.nodes(leaves, |node| first[node + 1] += 1);
    }
    for node in 1..first.len() {
        first[node] += first[node - 1];
    }
    let mut sequences = vec![0; first[2 * leaves]];
    let mut next = first.clone();
    for tombstone in tombstones {
        tombstone.nodes(leaves, |node| {
            sequences[next[node]] = tombstone.sequence;
            next[node] += 1;
        });
    }
    (first, sequences)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tombstone(start: u8, end: u8, sequence: u64) -> RangeTombstone {
        RangeTombstone { start: vec![start], end: vec![end], sequence }
    }

    /// Every key at every snapshot answers as a scan over the original tombstones does.
    #[test]
    fn lists_answer_as_the_originals() {
        let order = InternalComparator::default();
        let mut state = 1u64;
        let mut random = move |bound: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) % bound
        };
        for _ in 0..200 {
            let originals: Vec<RangeTombstone> = (0..random(8))
                .map(|_| tombstone(random(20) as u8, random(20) as u8, 1 + random(30)))
                .collect();
            let list = TombstoneList::build(&originals, &order);
            let again = TombstoneList::build(&list.iter().collect::<Vec<_>>(), &order);
            let spans: Vec<Span<'_>> = list.spans().collect();
            assert!(spans.is_sorted_by(|a, b| a.sequence >= b.sequence));
            let newest = newest(&spans, &order);
            assert!(newest.len() < (2 * spans.len()).max(1), "{} of {}", newest.len(), spans.len());
            assert!(newest.windows(2).all(|pair| pair[0].end <= pair[1].start));
            assert!(newest.windows(2).all(|p| p[0].end < p[1].start || p[0].sequence != p[1].sequence));
            let newest = TombstoneList::build(&newest, &order);
            for key in 0..21u8 {
                for snapshot in 0..32 {
                    let expected = originals
                        .iter()
                        .filter(|t| t.start[0] <= key && key < t.end[0] && t.sequence <= snapshot)
                        .map(|t| t.sequence)
                        .max()
                        .unwrap_or(0);
                    assert_eq!(list.covering_sequence(&[key], snapshot, &order), expected);
                    assert_eq!(again.covering_sequence(&[key], snapshot, &order), expected);
                }
                let last = list.covering_sequence(&[key], u64::MAX, &order);
                assert_eq!(newest.covering_sequence(&[key], u64::MAX, &order), last);
                let stretch = list.covering_stretch(&[key], &order);
                assert_eq!(stretch.is_some(), last > 0);
                assert!(stretch.is_none_or(|(start, end)| start <= &[key][..] && &[key][..] < end));
            }
        }
    }

    /// Deletions that all overlap take memory in proportion to their number, or little more.
    #[test]
    fn nested_deletions_take_little_memory() {
        let order = InternalComparator::default();
        const COUNT: u64 = 50_000;
        let nested: [fn(u64) -> (u64, u64); 4] =
            [|n| (0, n), |n| (n, COUNT + 1), |n| (COUNT - n, COUNT + n), |n| (n, COUNT + n)];
        for shape in nested {
            let bound = |number: u64| number.to_be_bytes().to_vec();
            let tombstones: Vec<RangeTombstone> = (1..=COUNT)
                .map(|sequence| (shape(sequence), sequence))
                .map(|((start, end), sequence)| RangeTombstone {
                    start: bound(start),
                    end: bound(end),
                    sequence,
                })
                .collect();
            let list = TombstoneList::build(&tombstones, &order);
            let each = list.memory_bytes() as u64 / COUNT;
            assert!(each < 400, "{each} bytes a tombstone");
            for (number, snapshot) in
                [(1, COUNT), (COUNT - 1, COUNT / 2), (COUNT / 2, COUNT - 1), (COUNT, COUNT)]
            {
                let covers = |n: &u64| (shape(*n).0..shape(*n).1).contains(&number);
                let expected = (1..=snapshot).rev().find(covers).unwrap_or(0);
                assert_eq!(list.covering_sequence(&bound(number), snapshot, &order), expected);
            }
            let spans: Vec<Span<'_>> = tombstones.iter().map(RangeTombstone::span).collect();
            assert!(newest(&spans, &order).len() <= COUNT as usize);
        }
    }
}
