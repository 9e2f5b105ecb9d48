//! The tree against an ordered map with keys of every shape, alone and with writers and readers at once.

use super::entry::{at_or_before, last_after, oldest};
use super::*;
use crate::base::InternalComparator;
use crate::base::key::{InternalKey, MAX_SEQUENCE, ParsedKey};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::AtomicU64;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 ^ self.0 >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd) >> 8
    }

    fn below(&mut self, bound: usize) -> usize {
        self.next() as usize % bound
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// Makes the key of a number; different numbers have different keys.
type Shape = (&'static str, fn(u64) -> Vec<u8>);

const SHAPES: [Shape; 11] = [
    ("big-endian", |n| [&n.to_be_bytes()[..], b"00000000"].concat()),
    ("scattered", |n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes().to_vec()),
    ("little-endian", |n| n.to_le_bytes().to_vec()),
    ("hexadecimal", |n| format!("{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).into_bytes()),
    ("decimal", |n| n.to_string().into_bytes()),
    ("each a prefix of the next", |n| vec![b'a'; n as usize]),
    ("each a prefix of the next, zeros", |n| vec![0; n as usize]),
    ("prefixes and both ends of a byte", |n| {
        (0..64 - n.leading_zeros()).rev().map(|bit| if n >> bit & 1 == 0 { 0 } else { 255 }).collect()
    }),
    ("addresses", |n| {
        format!("https://www.example.com/shop/section-{:02}/product/{:07}/details.html", n % 7, n * 7919)
            .into_bytes()
    }),
    ("long ends", |n| [&n.to_be_bytes()[6..], &[b'e'; 300][..(n % 300) as usize]].concat()),
    ("short", |n| n.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect()),
];

/// Trailers newest first, with their values.
type Versions = BTreeMap<std::cmp::Reverse<u64>, Vec<u8>>;
type Model = BTreeMap<Vec<u8>, Versions>;

/// Inserts `keys` with several versions of some, out of order if so wished.
fn fill(tree: &Art, random: &mut Random, keys: &[Vec<u8>], disorder: usize) -> Model {
    let mut model = Model::new();
    let mut inserts: Vec<(u64, &Vec<u8>)> = (1..).zip(keys).collect();
    for window in inserts.chunks_mut(disorder.max(1)) {
        random.shuffle(window);
    }
    for (sequence, key) in inserts {
        let kind = [EntryKind::Put, EntryKind::Delete, EntryKind::Merge, EntryKind::Pointer][random.below(4)];
        let value = vec![sequence as u8; random.below(30)];
        tree.insert(sequence, kind, key, &value);
        let versions = model.entry(key.clone()).or_default();
        versions.insert(std::cmp::Reverse(trailer(sequence, kind)), value);
    }
    model
}

fn flat(model: &Model) -> Vec<(Vec<u8>, &Vec<u8>)> {
    let entries = model.iter().flat_map(|(key, versions)| versions.iter().map(move |version| (key, version)));
    entries.map(|(key, (trailer, value))| ([&key[..], &trailer.0.to_le_bytes()].concat(), value)).collect()
}

fn check_all(tree: &Arc<Art>, model: &Model, what: &str) {
    let flat = flat(model);
    assert_eq!(tree.len(), flat.len(), "{what}");
    let mut iterator = tree.clone().iter();
    iterator.seek_to_first();
    for (key, value) in &flat {
        assert!(iterator.valid() && iterator.key() == key && iterator.value() == *value, "{what}: up");
        iterator.next();
    }
    assert!(!iterator.valid());
    iterator.seek_to_last();
    for (key, value) in flat.iter().rev() {
        assert!(iterator.valid() && iterator.key() == key && iterator.value() == *value, "{what}: down");
        iterator.prev();
    }
    assert!(!iterator.valid());
}

/// A key of the model, or one near it.
fn near(model: &Model, random: &mut Random) -> Vec<u8> {
    let keys: Vec<&Vec<u8>> = model.keys().collect();
    let mut key = keys[random.below(keys.len())].clone();
    match random.below(8) {
        0 => key.push([0, 255, b'a'][random.below(3)]),
        1 => key.truncate(random.below(key.len() + 1)),
        2 if !key.is_empty() => {
            let at = random.below(key.len());
            key[at] = key[at].wrapping_add([1, 255][random.below(2)]);
        }
        _ => {}
    }
    key
}

fn check_lookups(tree: &Arc<Art>, model: &Model, random: &mut Random, what: &str) {
    let flat = flat(model);
    let place = |key: &[u8]| {
        let order = InternalComparator::default();
        flat.partition_point(|entry| order.compare(&entry.0, key).is_lt())
    };
    let mut iterator = tree.clone().iter();
    for _ in 0..400 {
        let key = near(model, random);
        let snapshot = random.below(flat.len() + 2) as u64;
        let target = InternalKey::for_lookup(&key, snapshot).0;
        let at = place(&target);
        let expected: Vec<u64> = model.get(&key).map_or(Vec::new(), |versions| {
            let from = Bound::Included(std::cmp::Reverse(trailer(snapshot, EntryKind::SEEK)));
            versions.range((from, Bound::Unbounded)).map(|version| version.0.0).collect()
        });
        let mut seen = Vec::new();
        tree.get(&key, snapshot, &mut |sequence, kind, _| {
            seen.push(trailer(sequence, kind));
            true
        });
        assert_eq!(seen, expected, "{what}: get {key:?} at {snapshot}");
        // From the same place both ways, and turning round.
        iterator.seek(&target);
        for step in at..at + 4 {
            assert_eq!(iterator.valid().then(|| iterator.key()), flat.get(step).map(|e| &e.0[..]), "{what}");
            if !iterator.valid() {
                break;
            }
            iterator.next();
        }
        iterator.seek_for_prev(&target);
        let end = at + usize::from(flat.get(at).is_some_and(|entry| entry.0 == target));
        for step in (0..end).rev().take(4) {
            assert!(iterator.valid() && iterator.key() == flat[step].0, "{what}: before {target:?}");
            iterator.prev();
        }
        iterator.seek(&target);
        if at > 0 && iterator.valid() {
            iterator.prev();
            assert!(iterator.key() == flat[at - 1].0, "{what}");
            iterator.next();
            assert!(iterator.key() == flat[at].0, "{what}");
        }
    }
}

#[test]
fn keys_of_every_shape_are_found_and_in_order() {
    for (name, key) in SHAPES {
        for (count, seed) in [(1, 1), (2, 2), (20, 3), (300, 4), (3000, 5)] {
            let what = format!("{name}, seed {seed}");
            let mut random = Random(seed);
            let mut keys: Vec<Vec<u8>> = (0..count).map(key).collect();
            // Some come again.
            for _ in 0..count / 4 {
                keys.push(keys[random.below(count as usize)].clone());
            }
            if seed % 2 == 0 {
                random.shuffle(&mut keys);
            }
            let tree = Arc::new(Art::new());
            let model = fill(&tree, &mut random, &keys, 0);
            check_all(&tree, &model, &what);
            check_lookups(&tree, &model, &mut random, &what);
        }
    }
}

#[test]
fn shapes_may_be_mixed() {
    for seed in 0..20 {
        let mut random = Random(seed);
        let mut keys = Vec::new();
        for _ in 0..2000 {
            let (_, key) = SHAPES[random.below(SHAPES.len())];
            keys.push(key(random.below(1 + (seed as usize) * 100) as u64));
        }
        let tree = Arc::new(Art::new());
        let model = fill(&tree, &mut random, &keys, [0, 3, 2500][seed as usize % 3]);
        check_all(&tree, &model, &format!("seed {seed}"));
        check_lookups(&tree, &model, &mut random, &format!("seed {seed}"));
    }
}

#[test]
fn random_bytes_make_nodes_of_every_size() {
    for seed in 0..20 {
        let mut random = Random(seed);
        let (letters, longest) = ([2, 5, 17, 60, 256][seed as usize % 5], 1 + random.below(6));
        let keys: Vec<Vec<u8>> = (0..4000)
            .map(|_| (0..random.below(longest + 1)).map(|_| (random.below(letters) * 7) as u8).collect())
            .collect();
        let tree = Arc::new(Art::new());
        let model = fill(&tree, &mut random, &keys, 0);
        check_all(&tree, &model, &format!("seed {seed}"));
        check_lookups(&tree, &model, &mut random, &format!("seed {seed}"));
    }
}

#[test]
fn keys_may_be_long_and_differ_anywhere() {
    let mut random = Random(9);
    let long = vec![b'l'; 64 << 10];
    let mut keys = vec![Vec::new(), long.clone(), long[..long.len() - 1].to_vec()];
    for _ in 0..60 {
        let mut key = long[..random.below(long.len())].to_vec();
        key.extend([[0, 1, b'm', 255][random.below(4)]]);
        key.extend(&long[key.len()..]);
        keys.push(key.clone());
        key.truncate(random.below(key.len()));
        keys.push(key);
    }
    let tree = Arc::new(Art::new());
    let model = fill(&tree, &mut random, &keys, 0);
    check_all(&tree, &model, "long");
    check_lookups(&tree, &model, &mut random, "long");
}

#[test]
fn versions_that_come_out_of_order_stand_in_order() {
    for (seed, disorder) in (0..).zip([2, 3, 8, 50, 5000]) {
        let mut random = Random(seed);
        let keys: Vec<Vec<u8>> = (0..5000).map(|_| vec![b'k'; random.below(3)]).collect();
        let tree = Arc::new(Art::new());
        let model = fill(&tree, &mut random, &keys, disorder);
        check_all(&tree, &model, &format!("seed {seed}"));
        check_lookups(&tree, &model, &mut random, &format!("seed {seed}"));
    }
}

#[test]
fn a_version_among_very_many_is_a_few_steps_away() {
    const VERSIONS: u64 = 200_000;
    let tree = Arc::new(Art::new());
    for sequence in 1..=VERSIONS {
        tree.insert(sequence, EntryKind::Put, b"hot", &sequence.to_le_bytes());
    }
    let head = tree.root.load().entry().unwrap();
    let mut random = Random(3);
    for _ in 0..2000 {
        let snapshot = 1 + random.below(VERSIONS as usize) as u64;
        let bound = trailer(snapshot, EntryKind::SEEK);
        let (found, steps) = head.search(|entry| entry.trailer() > bound);
        assert_eq!(found.unwrap().trailer() >> 8, snapshot);
        assert!(steps <= 60, "{steps} steps to {snapshot}");
        let found = at_or_before(head, bound).unwrap();
        assert_eq!(found.value(), snapshot.to_le_bytes());
        let newer = last_after(head, found.trailer()).map(|entry| entry.trailer() >> 8);
        assert_eq!(newer, (snapshot < VERSIONS).then_some(snapshot + 1));
    }
    assert_eq!(oldest(head).trailer() >> 8, 1);
    let mut iterator = tree.iter();
    iterator.seek_to_last();
    for sequence in 1..=VERSIONS {
        assert_eq!(ParsedKey::parse(iterator.key()).unwrap().sequence, sequence);
        iterator.prev();
    }
    assert!(!iterator.valid());
}

/// Writers, gets and iterators at once, over key shapes that make nodes grow and prefixes break all the time:
/// whatever was acknowledged before a read began is there, in order, once.
#[test]
fn whatever_was_acknowledged_is_seen_while_nodes_are_replaced() {
    const WRITERS: u64 = 3;
    for round in 0..6 * SHAPES.len() as u64 {
        let (name, shape) = SHAPES[round as usize % SHAPES.len()];
        let inserts = if name.starts_with("each") { 150 } else { 700 };
        let mut keys: Vec<Vec<u8>> = (0..WRITERS * inserts).map(shape).collect();
        Random(round).shuffle(&mut keys);
        let keys = &keys;
        let tree = Arc::new(Art::new());
        let acknowledged: Vec<AtomicU64> = (0..WRITERS).map(|_| AtomicU64::new(0)).collect();
        std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (tree, acknowledged) = (&tree, &acknowledged[writer as usize]);
                scope.spawn(move || {
                    for insert in 0..inserts {
                        let number = insert * WRITERS + writer;
                        tree.insert(
                            1 + number,
                            EntryKind::Put,
                            &keys[number as usize],
                            &number.to_le_bytes(),
                        );
                        acknowledged.store(insert + 1, Ordering::Release);
                    }
                });
            }
            for reader in 0..2 {
                let (tree, acknowledged) = (&tree, &acknowledged);
                scope.spawn(move || read_meanwhile(tree, acknowledged, keys, round * 2 + reader));
            }
        });
        let expected: BTreeMap<&Vec<u8>, u64> = keys.iter().zip(0..).collect();
        let mut iterator = tree.clone().iter();
        iterator.seek_to_first();
        for (key, number) in expected {
            assert!(iterator.key() == InternalKey::new(key, 1 + number, EntryKind::Put).as_bytes(), "{name}");
            iterator.next();
        }
        assert!(!iterator.valid());
    }
}

fn read_meanwhile(tree: &Arc<Art>, acknowledged: &[AtomicU64], keys: &[Vec<u8>], seed: u64) {
    let mut random = Random(seed);
    let writers = acknowledged.len();
    loop {
        let done: Vec<u64> = acknowledged.iter().map(|count| count.load(Ordering::Acquire)).collect();
        let is_done = |number: usize| (number / writers) < done[number % writers] as usize;
        for _ in 0..50 {
            let number = random.below(keys.len());
            let mut found = None;
            tree.get(&keys[number], MAX_SEQUENCE, &mut |sequence, _, value| {
                assert_eq!(value, (sequence - 1).to_le_bytes());
                found = Some(sequence - 1);
                true
            });
            assert!(
                found == Some(number as u64) || found.is_none() && !is_done(number),
                "seed {seed}: {number}"
            );
        }
        let mut iterator = tree.clone().iter();
        let (upwards, whole) = (random.below(2) == 0, random.below(2) == 0);
        let start = &keys[random.below(keys.len())];
        match (upwards, whole) {
            (true, true) => iterator.seek_to_first(),
            (false, true) => iterator.seek_to_last(),
            (true, false) => iterator.seek(InternalKey::for_lookup(start, MAX_SEQUENCE).as_bytes()),
            (false, false) => {
                iterator.seek_for_prev(InternalKey::new(start, 0, EntryKind::Delete).as_bytes())
            }
        }
        let wanted = |number: usize| {
            is_done(number) && (whole || (keys[number] >= *start) == upwards || keys[number] == *start)
        };
        let mut missing = (0..keys.len()).filter(|number| wanted(*number)).count();
        let mut last: Option<Vec<u8>> = None;
        while iterator.valid() {
            let entry = ParsedKey::parse(iterator.key()).unwrap();
            let number = (entry.sequence - 1) as usize;
            assert!(entry.user_key == keys[number] && iterator.value() == (number as u64).to_le_bytes());
            assert!(last.as_ref().is_none_or(|last| if upwards {
                **last < *entry.user_key
            } else {
                **last > *entry.user_key
            }));
            last = Some(entry.user_key.to_vec());
            missing -= usize::from(wanted(number));
            if upwards { iterator.next() } else { iterator.prev() }
        }
        assert_eq!(missing, 0, "seed {seed}, upwards {upwards}");
        if (0..keys.len()).all(is_done) {
            return;
        }
    }
}

/// Versions of a few keys from several threads: out of order, with readers on them.
#[test]
fn versions_written_at_once_stand_in_order() {
    const WRITERS: u64 = 3;
    const INSERTS: u64 = 3000;
    let key = |number: u64| [&b""[..], b"\0", b"abc", b"abd"][number as usize % 4].to_vec();
    for _ in 0..5 {
        let tree = Arc::new(Art::new());
        let acknowledged: Vec<AtomicU64> = (0..WRITERS).map(|_| AtomicU64::new(0)).collect();
        std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (tree, acknowledged) = (&tree, &acknowledged[writer as usize]);
                scope.spawn(move || {
                    for insert in 0..INSERTS {
                        let number = insert * WRITERS + writer;
                        tree.insert(1 + number, EntryKind::Put, &key(number / 5), &number.to_le_bytes());
                        acknowledged.store(insert + 1, Ordering::Release);
                    }
                });
            }
            let (tree, acknowledged) = (&tree, &acknowledged);
            scope.spawn(move || {
                let mut random = Random(1);
                let mut all_done = false;
                while !all_done {
                    let done: Vec<u64> =
                        acknowledged.iter().map(|count| count.load(Ordering::Acquire)).collect();
                    all_done = done.iter().all(|&done| done == INSERTS);
                    let is_done = |number: u64| number / WRITERS < done[(number % WRITERS) as usize];
                    for wanted in 0..4 {
                        let snapshot = random.below((WRITERS * INSERTS) as usize) as u64;
                        let mut seen = Vec::new();
                        tree.get(&key(wanted), snapshot, &mut |sequence, _, value| {
                            assert_eq!(value, (sequence - 1).to_le_bytes());
                            seen.push(sequence);
                            true
                        });
                        assert!(seen.is_sorted_by(|newer, older| newer > older));
                        let expected = (1..=snapshot).filter(|sequence| {
                            key((sequence - 1) / 5) == key(wanted) && is_done(sequence - 1)
                        });
                        let seen: std::collections::HashSet<u64> = seen.into_iter().collect();
                        assert!(expected.into_iter().all(|sequence| seen.contains(&sequence)));
                    }
                }
            });
        });
        assert_eq!(tree.len() as u64, WRITERS * INSERTS);
        let mut iterator = tree.clone().iter();
        iterator.seek_to_last();
        let mut count = 0;
        while iterator.valid() {
            count += 1;
            iterator.prev();
        }
        assert_eq!(count, WRITERS * INSERTS);
    }
}

#[test]
fn memory_is_what_nodes_and_entries_take() {
    let tree = Art::new();
    assert_eq!(tree.memory_bytes(), 0);
    // header, key, trailer, value, rounded up to eight.
    let entry = |key_len: usize, value_len: usize| (16 + key_len + 8 + value_len).next_multiple_of(8);
    tree.insert(1, EntryKind::Put, b"a", b"value");
    assert_eq!(tree.memory_bytes(), entry(1, 5));
    tree.insert(2, EntryKind::Put, b"b", b"");
    assert_eq!(tree.memory_bytes(), entry(1, 5) + entry(1, 0) + 64);
    // A second version has a jump.
    tree.insert(3, EntryKind::Put, b"b", b"");
    assert_eq!(tree.memory_bytes(), entry(1, 5) + 2 * entry(1, 0) + 16 + 64);
    let before = tree.memory_bytes();
    for byte in b'c'..=b'e' {
        tree.insert(4, EntryKind::Put, &[byte], b"");
    }
    // The fifth child made a larger copy.
    assert_eq!(tree.memory_bytes(), before + 3 * entry(1, 0) + 192);
}
