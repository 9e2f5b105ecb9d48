//! What is called hidden can be made a deletion, and no read that is possible from now on tells the difference.

use super::histories::{Histories, Readers};
use crate::base::key::ParsedKey;
use crate::base::range_tombstone::RangeTombstone;
use crate::base::{Comparator, EntryKind, InternalComparator, SequenceNumber};
use std::sync::Arc;

/// A xorshift generator's next number below `end`.
fn below(state: &mut u64, end: u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state % end
}

type Entry = (u8, SequenceNumber, EntryKind);

fn order() -> InternalComparator {
    InternalComparator::new(Arc::new(crate::base::BytewiseComparator) as Arc<dyn Comparator>)
}

/// What a read at `snapshot` finds of `key`: operands, and the value below them.
fn read(entries: &[Entry], tombstones: &[RangeTombstone], key: u8, snapshot: u64) -> (Vec<u64>, Option<u64>) {
    let covers = |t: &&RangeTombstone| t.start[0] <= key && key < t.end[0] && t.sequence <= snapshot;
    let covered_to = tombstones.iter().filter(covers).map(|t| t.sequence).max().unwrap_or(0);
    let mut operands = Vec::new();
    for (_, sequence, kind) in entries.iter().filter(|entry| entry.0 == key && entry.1 <= snapshot) {
        match kind {
            _ if *sequence < covered_to => break,
            EntryKind::Merge => operands.push(*sequence),
            EntryKind::Delete => break,
            _ => return (operands, Some(*sequence)),
        }
    }
    (operands, None)
}

/// The same if whatever lies within one stripe had been combined before, which merges of some tables may do.
fn combined(entries: &[Entry]) -> Vec<(u64, Vec<Entry>)> {
    let operands = entries.iter().filter(|entry| entry.2 == EntryKind::Merge);
    let rests_on = |operand: &Entry| {
        let below = entries.iter().filter(|other| other.0 == operand.0 && other.1 < operand.1);
        (operand.1, below.take(1).copied().collect())
    };
    operands.map(rests_on).collect()
}

struct History {
    entries: Vec<Entry>,
    tombstones: Vec<RangeTombstone>,
    readers: Readers,
}

fn history(state: &mut u64) -> History {
    let last = 4 + below(state, 12);
    let (mut entries, mut tombstones) = (Vec::new(), Vec::new());
    for sequence in 1..=last {
        let key = b'a' + below(state, 3) as u8;
        match below(state, 10) {
            0 => {
                let end = key + 1 + below(state, 3) as u8;
                tombstones.push(RangeTombstone { start: vec![key], end: vec![end], sequence });
            }
            1 | 2 => entries.push((key, sequence, EntryKind::Merge)),
            3 | 4 => entries.push((key, sequence, EntryKind::Delete)),
            5 => entries.push((key, sequence, EntryKind::Put)),
            _ => entries.push((key, sequence, EntryKind::Pointer)),
        }
    }
    entries.sort_by_key(|(key, sequence, _)| (*key, std::cmp::Reverse(*sequence)));
    let visible = last - below(state, 3);
    let snapshots = (0..visible).filter(|_| below(state, 5) == 0).collect();
    History { entries, tombstones, readers: Readers { snapshots, visible } }
}

#[test]
fn no_read_tells_what_is_hidden_from_a_deletion() {
    let order = order();
    let mut found = 0;
    for seed in 1..=20_000u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let History { entries, tombstones, readers } = history(&mut state);
        let mut histories = Histories::new(&tombstones, &readers, &order);
        let mut after = entries.clone();
        for entry in &mut after {
            let (key, sequence, kind) = *entry;
            if histories.is_hidden(&ParsedKey { user_key: &[key], sequence, kind })
                && kind == EntryKind::Pointer
            {
                entry.2 = EntryKind::Delete;
                found += 1;
            }
        }
        let at = readers.snapshots.iter().copied().chain(readers.visible..=readers.visible + 3);
        for (snapshot, key) in at.flat_map(|snapshot| (b'a'..b'd').map(move |key| (snapshot, key))) {
            let [before, then] = [&entries, &after].map(|all| read(all, &tombstones, key, snapshot));
            assert_eq!(before, then, "seed {seed}, key {key} at {snapshot}: {entries:?} {after:?}");
        }
        // H3
        for ((operand, was), (_, is)) in combined(&entries).iter().zip(combined(&after)) {
            assert_eq!(*was, is, "seed {seed}, what operand {operand} rests on");
        }
    }
    assert!(found > 10_000, "only {found} entries were hidden");
}

#[test]
fn what_is_replaced_is_hidden_unless_a_snapshot_or_an_operand_needs_it() {
    let order = order();
    let hidden = |snapshots: &[u64], visible, entries: &[(u64, EntryKind)], tombstone: Option<u64>| {
        let readers = Readers { snapshots: snapshots.to_vec(), visible };
        let range = |sequence| RangeTombstone { start: b"a".to_vec(), end: b"z".to_vec(), sequence };
        let tombstones: Vec<_> = tombstone.into_iter().map(range).collect();
        let mut histories = Histories::new(&tombstones, &readers, &order);
        let judge = |(sequence, kind): &(u64, EntryKind)| {
            histories.is_hidden(&ParsedKey { user_key: b"k", sequence: *sequence, kind: *kind })
        };
        entries.iter().map(judge).collect::<Vec<bool>>()
    };
    use EntryKind::{Delete, Merge, Pointer};
    let two = [(9, Pointer), (5, Pointer)];
    assert_eq!(hidden(&[], 20, &two, None), [false, true]);
    assert_eq!(hidden(&[4, 9], 20, &two, None), [false, true]);
    assert_eq!(hidden(&[5], 20, &two, None), [false, false]);
    assert_eq!(hidden(&[8], 20, &two, None), [false, false]);
    assert_eq!(hidden(&[], 8, &two, None), [false, false], "what hides it may not be seen yet");
    assert_eq!(hidden(&[], 20, &two, Some(12)), [true, true]);
    assert_eq!(hidden(&[9], 20, &two, Some(12)), [false, true]);
    assert_eq!(hidden(&[], 10, &two, Some(12)), [false, true], "nor may a range");
    assert_eq!(hidden(&[], 20, &[(9, Delete), (5, Pointer)], None), [false, true]);
    assert_eq!(hidden(&[], 20, &[(9, Merge), (5, Pointer)], None), [false, false]);
    let below_operand = [(9, Pointer), (7, Merge), (5, Pointer), (3, Pointer)];
    assert_eq!(hidden(&[], 20, &below_operand, None), [false, true, false, true]);
}
