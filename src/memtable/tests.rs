//! Memtables against an ordered map, for every structure and for byte order and a custom one.

use super::*;
use crate::base::key::{InternalKey, MAX_SEQUENCE, ParsedKey};
use crate::base::{BytewiseComparator, Comparator};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering as MemoryOrdering};

/// Byte order backwards.
struct Backwards;

impl Comparator for Backwards {
    fn name(&self) -> &str {
        "test.Backwards"
    }
    fn compare(&self, a: &[u8], b: &[u8]) -> Ordering {
        b.cmp(a)
    }
}

/// Byte order that does not say so: takes the path of custom orders.
struct ByteOrderUnsaid;

impl Comparator for ByteOrderUnsaid {
    fn name(&self) -> &str {
        "test.ByteOrderUnsaid"
    }
    fn compare(&self, a: &[u8], b: &[u8]) -> Ordering {
        a.cmp(b)
    }
}

fn orders() -> Vec<InternalComparator> {
    let user: [Arc<dyn Comparator>; 3] =
        [Arc::new(BytewiseComparator), Arc::new(Backwards), Arc::new(ByteOrderUnsaid)];
    user.into_iter().map(InternalComparator::new).collect()
}

const STRUCTURES: [Structure; 3] = [Structure::SkipList, Structure::Art, Structure::BTree];

/// Every structure with every order.
fn kinds() -> Vec<(Structure, InternalComparator)> {
    STRUCTURES
        .iter()
        .flat_map(|&structure| orders().into_iter().map(move |order| (structure, order)))
        .collect()
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) as usize) % bound
    }

    /// Keys that share prefixes, end in zeros and are short, long or empty.
    fn key(&mut self) -> Vec<u8> {
        let start: &[u8] =
            [&b""[..], b"a", b"abcdefg", b"abcdefgh", b"abcdefgh\0\0", &[b'x'; 300]][self.below(6)];
        let mut key = start.to_vec();
        for _ in 0..self.below(4) {
            key.push([0, 1, b'a', 255][self.below(4)]);
        }
        key
    }
}

/// A version of a key, as `get` shows it.
type Version = (u64, EntryKind, Vec<u8>);
/// (internal key, value) in internal order.
type Model = Vec<(Vec<u8>, Vec<u8>)>;

fn fill(memtable: &dyn MemTable, random: &mut Random, first: u64, count: u64) -> Model {
    let kinds =
        [EntryKind::Put, EntryKind::Delete, EntryKind::Merge, EntryKind::Pointer, EntryKind::SingleDelete];
    (first..first + count)
        .map(|sequence| {
            let (key, kind) = (random.key(), kinds[random.below(kinds.len())]);
            let value = vec![sequence as u8; random.below(40) * random.below(40)];
            memtable.insert(sequence, kind, &key, &value);
            (InternalKey::new(&key, sequence, kind).0, value)
        })
        .collect()
}

fn assert_stands_on(iterator: &dyn InternalIterator, expected: Option<&(Vec<u8>, Vec<u8>)>, what: &str) {
    assert!(iterator.error().is_none());
    assert_eq!(iterator.valid(), expected.is_some(), "{what}");
    if let Some((key, value)) = expected {
        assert!(
            iterator.key() == key && iterator.value() == value,
            "{what}: {:?} not {key:?}",
            iterator.key()
        );
    }
}

#[test]
fn gets_answer_as_a_map_at_every_snapshot() {
    for (number, (structure, order)) in kinds().iter().enumerate() {
        let mut random = Random(number as u64);
        let memtable = create(*structure, order);
        assert!(memtable.is_empty() && memtable.memory_bytes() == 0);
        let entries = fill(&*memtable, &mut random, 1, 2000);
        assert_eq!(memtable.len(), 2000);
        let mut model: BTreeMap<Vec<u8>, Vec<Version>> = BTreeMap::new();
        for (key, value) in &entries {
            let parsed = ParsedKey::parse(key).unwrap();
            let versions = model.entry(parsed.user_key.to_vec()).or_default();
            versions.insert(0, (parsed.sequence, parsed.kind, value.clone()));
        }
        for _ in 0..2000 {
            let key = random.key();
            let snapshot = [random.below(2100) as u64, MAX_SEQUENCE][random.below(2)];
            let limit = 1 + random.below(5);
            let visible = model.get(&key).into_iter().flatten().filter(|v| v.0 <= snapshot);
            let expected: Vec<_> = visible.take(limit).cloned().collect();
            let mut seen = Vec::new();
            memtable.get(&key, snapshot, &mut |sequence, kind, value| {
                seen.push((sequence, kind, value.to_vec()));
                seen.len() < limit
            });
            assert!(seen == expected, "kind {number}, key {key:?} at {snapshot}");
        }
    }
}

#[test]
fn iterators_move_as_over_a_sorted_list() {
    for (number, (structure, order)) in kinds().iter().enumerate() {
        let mut random = Random(100 + number as u64);
        let memtable = create(*structure, order);
        let mut iterator = memtable.clone().iter();
        iterator.seek_to_first();
        assert_stands_on(&*iterator, None, "empty");
        let mut model = Model::new();
        for round in 0..4 {
            // The iterator was made before: it sees later inserts.
            model.extend(fill(&*memtable, &mut random, 1 + round * 500, 500));
            model.sort_by(|a, b| order.compare(&a.0, &b.0));
            random_walk(&mut *iterator, &model, order, &mut random, &format!("kind {number}, round {round}"));
        }
        // The iterator keeps the memtable alive.
        drop(memtable);
        iterator.seek_to_last();
        assert_stands_on(&*iterator, model.last(), "last");
    }
}

fn random_walk(
    iterator: &mut dyn InternalIterator,
    model: &Model,
    order: &InternalComparator,
    random: &mut Random,
    what: &str,
) {
    let mut position: Option<usize> = None;
    for step in 0..1500 {
        let target = InternalKey::for_lookup(&random.key(), random.below(2200) as u64).0;
        match (random.below(12), position) {
            (0, _) => {
                iterator.seek_to_first();
                position = Some(0);
            }
            (1, _) => {
                iterator.seek_to_last();
                position = Some(model.len() - 1);
            }
            (2, _) | (3..=7, None) => {
                iterator.seek(&target);
                let index = model.partition_point(|e| order.compare(&e.0, &target).is_lt());
                position = (index < model.len()).then_some(index);
            }
            (3, Some(_)) | (8.., None) => {
                iterator.seek_for_prev(&target);
                position = model.partition_point(|e| order.compare(&e.0, &target).is_le()).checked_sub(1);
            }
            (4..=7, Some(index)) => {
                iterator.next();
                position = (index + 1 < model.len()).then_some(index + 1);
            }
            (_, Some(index)) => {
                iterator.prev();
                position = index.checked_sub(1);
            }
        }
        assert_stands_on(iterator, position.map(|p| &model[p]), &format!("{what}, step {step}"));
    }
}

#[test]
fn memory_grows_with_the_entries_without_jumps() {
    for structure in STRUCTURES {
        // What one insert may add to its entry: the largest node of the tree.
        let node = match structure {
            Structure::SkipList => 0,
            Structure::Art => 2112,
            // A split makes one, at the root two, and inner nodes with their children.
            Structure::BTree => 4 * 1088,
        };
        let memtable = create(structure, &InternalComparator::default());
        let entry = 11 + 8 + 100;
        let mut before = 0;
        for sequence in 1..=3000u64 {
            memtable.insert(sequence, EntryKind::Put, format!("key{sequence:08}").as_bytes(), &[7; 100]);
            let now = memtable.memory_bytes();
            let bounds = before + entry..before + 4 * entry + node;
            assert!(bounds.contains(&now), "{structure:?}: {before} then {now} at {sequence}");
            before = now;
        }
        assert!(before < 3000 * 2 * entry, "{structure:?}: {before}");
    }
}

#[test]
fn entries_may_be_large() {
    for structure in STRUCTURES {
        let memtable = create(structure, &InternalComparator::default());
        for (sequence, len) in [(1, 5 << 20), (2, 0), (3, 300 << 10)] {
            memtable.insert(sequence, EntryKind::Put, &vec![b'k'; len], &vec![sequence as u8; len]);
            let mut seen = None;
            memtable.get(&vec![b'k'; len], sequence, &mut |_, _, value| {
                seen = Some(value.to_vec());
                true
            });
            assert!(seen == Some(vec![sequence as u8; len]));
        }
    }
}

/// Four writers, and readers that go through the memtable both ways meanwhile: whatever was finished before the read
/// began must be seen, in order, whole.
#[test]
fn readers_run_while_writers_insert() {
    const WRITERS: u64 = 4;
    const INSERTS: u64 = 5000;
    let (bytewise, backwards) = (InternalComparator::default(), InternalComparator::new(Arc::new(Backwards)));
    let structures = STRUCTURES.map(|structure| (structure, bytewise.clone()));
    let more = [Structure::SkipList, Structure::BTree].map(|structure| (structure, backwards.clone()));
    for (structure, order) in structures.into_iter().chain(more) {
        let memtable = create(structure, &order);
        let finished: Vec<AtomicU64> = (0..WRITERS).map(|_| AtomicU64::new(0)).collect();
        std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (memtable, finished) = (&memtable, &finished);
                scope.spawn(move || {
                    for insert in 0..INSERTS {
                        let key = concurrent_key(writer, insert);
                        memtable.insert(1 + insert, EntryKind::Put, &key, &key);
                        finished[writer as usize].store(insert + 1, MemoryOrdering::Release);
                    }
                });
            }
            for reader in 0..2u64 {
                let (memtable, finished, order) = (&memtable, &finished, &order);
                scope.spawn(move || read_meanwhile(memtable, finished, order, reader, INSERTS));
            }
        });
        assert_eq!(memtable.len() as u64, WRITERS * INSERTS);
    }
}

fn concurrent_key(writer: u64, insert: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&insert.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    key[8..].copy_from_slice(&writer.to_be_bytes());
    key
}

fn read_meanwhile(
    memtable: &Arc<dyn MemTable>,
    finished: &[AtomicU64],
    order: &InternalComparator,
    seed: u64,
    inserts: u64,
) {
    let mut random = Random(seed);
    let mut iterator = memtable.clone().iter();
    loop {
        let done: Vec<u64> = finished.iter().map(|f| f.load(MemoryOrdering::Acquire)).collect();
        for (writer, &done) in done.iter().enumerate().filter(|d| *d.1 > 0) {
            let key = concurrent_key(writer as u64, random.below(done as usize) as u64);
            let mut found = false;
            memtable.get(&key, MAX_SEQUENCE, &mut |_, _, value| {
                found = value == key;
                true
            });
            assert!(found, "writer {writer} had finished {done} inserts");
        }
        let forward = random.below(2) == 0;
        if forward {
            iterator.seek_to_first()
        } else {
            iterator.seek_to_last()
        }
        let (mut seen, mut last) = (0, Vec::new());
        while iterator.valid() {
            let expected = if forward { Ordering::Less } else { Ordering::Greater };
            assert!(last.is_empty() || order.compare(&last, iterator.key()) == expected);
            assert_eq!(iterator.value(), crate::base::key::user_key(iterator.key()));
            last = iterator.key().to_vec();
            seen += 1;
            if forward { iterator.next() } else { iterator.prev() }
        }
        assert!(seen >= done.iter().sum::<u64>());
        if done.iter().all(|&d| d == inserts) {
            return;
        }
    }
}
