//! Range deletions: `[start, end)` deleted at a sequence number, and the question every read asks of them.
//!
//! `TombstoneList` holds tombstones cut into fragments that do not overlap, each with the sequence numbers that
//! cover it, newest first; a lookup is one binary search over fragments and one over sequences. Immutable.

use super::comparator::InternalComparator;
use super::key::SequenceNumber;
use super::memory::allocation;

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

/// One stretch of keys and the sequence numbers, newest first, of the deletions that cover it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// First key covered.
    pub start: Vec<u8>,
    /// First key no longer covered.
    pub end: Vec<u8>,
    /// Sequence numbers of the covering deletions, newest first, without repeats.
    pub sequences: Vec<SequenceNumber>,
}

/// Tombstones cut into ordered fragments that do not overlap.
#[derive(Clone, Debug, Default)]
pub struct TombstoneList {
    fragments: Vec<Fragment>,
}

impl TombstoneList {
    /// Cuts `tombstones` into fragments. Tombstones with `start >= end` cover nothing and are dropped.
    pub fn build(tombstones: &[RangeTombstone], order: &InternalComparator) -> TombstoneList {
        let mut live: Vec<&RangeTombstone> =
            tombstones.iter().filter(|t| order.compare_user(&t.start, &t.end).is_lt()).collect();
        live.sort_by(|a, b| order.compare_user(&a.start, &b.start));
        let mut edges: Vec<&[u8]> = live.iter().flat_map(|t| [&t.start[..], &t.end[..]]).collect();
        edges.sort_by(|a, b| order.compare_user(a, b));
        edges.dedup_by(|a, b| order.compare_user(a, b).is_eq());
        let mut fragments: Vec<Fragment> = Vec::new();
        let (mut active, mut next): (Vec<&RangeTombstone>, usize) = (Vec::new(), 0);
        for pair in edges.windows(2) {
            active.retain(|t| order.compare_user(&t.end, pair[0]).is_gt());
            while next < live.len() && order.compare_user(&live[next].start, pair[0]).is_le() {
                active.push(live[next]);
                next += 1;
            }
            if active.is_empty() {
                continue;
            }
            let mut sequences: Vec<SequenceNumber> = active.iter().map(|t| t.sequence).collect();
            sequences.sort_unstable_by(|a, b| b.cmp(a));
            sequences.dedup();
            fragments.push(Fragment { start: pair[0].to_vec(), end: pair[1].to_vec(), sequences });
        }
        TombstoneList { fragments }
    }

    /// True when nothing is deleted.
    pub fn is_empty(&self) -> bool {
        self.fragments.is_empty()
    }

    /// The fragments in key order.
    pub fn fragments(&self) -> &[Fragment] {
        &self.fragments
    }

    /// The fragment that covers `user_key`.
    pub fn covering_fragment(&self, user_key: &[u8], order: &InternalComparator) -> Option<&Fragment> {
        let after = self.fragments.partition_point(|f| order.compare_user(&f.start, user_key).is_le());
        let fragment = &self.fragments[after.checked_sub(1)?];
        order.compare_user(user_key, &fragment.end).is_lt().then_some(fragment)
    }

    /// The newest deletion of `user_key` visible at `snapshot`; 0 if none. (No deletion has sequence 0.)
    pub fn covering_sequence(
        &self,
        user_key: &[u8],
        snapshot: SequenceNumber,
        order: &InternalComparator,
    ) -> SequenceNumber {
        let Some(fragment) = self.covering_fragment(user_key, order) else { return 0 };
        let first_visible = fragment.sequences.partition_point(|&s| s > snapshot);
        fragment.sequences.get(first_visible).copied().unwrap_or(0)
    }

    /// Bytes of memory held, with what the allocator adds.
    pub fn memory_bytes(&self) -> usize {
        let fragment = |f: &Fragment| {
            let sequences = f.sequences.capacity() * size_of::<SequenceNumber>();
            allocation(f.start.capacity()) + allocation(f.end.capacity()) + allocation(sequences)
        };
        allocation(self.fragments.capacity() * size_of::<Fragment>())
            + self.fragments.iter().map(fragment).sum::<usize>()
    }

    /// The tombstones again, one a fragment and sequence, in key order.
    pub fn iter(&self) -> impl Iterator<Item = RangeTombstone> + '_ {
        self.fragments.iter().flat_map(|f| {
            f.sequences.iter().map(|&sequence| RangeTombstone {
                start: f.start.clone(),
                end: f.end.clone(),
                sequence,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tombstone(start: u8, end: u8, sequence: u64) -> RangeTombstone {
        RangeTombstone { start: vec![start], end: vec![end], sequence }
    }

    /// Every key at every snapshot answers as a scan over the original tombstones does.
    #[test]
    fn fragments_answer_as_the_originals() {
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
            }
        }
    }
}
