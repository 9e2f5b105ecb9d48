//! Merging and concatenation against one sorted vector, with random moves and injected failures.

use super::concat::{ConcatIterator, FileList};
use super::merging::{merge, merge_within};
use super::*;
use crate::base::key::{EntryKind, InternalKey, MAX_SEQUENCE};
use crate::base::{Comparator, ErrorKind, InternalComparator, Result};
use std::cmp::Ordering;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering as MemoryOrdering};

struct Backwards;

impl Comparator for Backwards {
    fn name(&self) -> &str {
        "test.Backwards"
    }
    fn compare(&self, a: &[u8], b: &[u8]) -> Ordering {
        b.cmp(a)
    }
}

fn orders() -> [InternalComparator; 2] {
    [InternalComparator::default(), InternalComparator::new(Arc::new(Backwards))]
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) as usize) % bound
    }

    fn user_key(&mut self) -> Vec<u8> {
        let start: &[u8] = [&b""[..], b"a", b"prefix of eight and more"][self.below(3)];
        let mut key = start.to_vec();
        for _ in 0..self.below(3) {
            key.push(self.below(5) as u8);
        }
        key
    }

    fn target(&mut self) -> Vec<u8> {
        InternalKey::for_lookup(&self.user_key(), [self.below(400) as u64, 0, MAX_SEQUENCE][self.below(3)]).0
    }
}

type Entries = Vec<(Vec<u8>, Vec<u8>)>;

/// Walks over entries; each operation takes one from `budget`, and the one that finds it empty fails.
struct VectorIterator {
    entries: Entries,
    order: InternalComparator,
    position: Option<usize>,
    budget: Arc<AtomicI64>,
    error: Option<Error>,
}

impl VectorIterator {
    fn boxed(
        entries: Entries,
        order: &InternalComparator,
        budget: &Arc<AtomicI64>,
    ) -> Box<dyn InternalIterator> {
        let (order, budget) = (order.clone(), budget.clone());
        Box::new(VectorIterator { entries, order, position: None, budget, error: None })
    }

    fn go(&mut self, position: Option<usize>) {
        let failed = self.budget.fetch_sub(1, MemoryOrdering::Relaxed) == 0;
        self.error = failed.then(|| Error::corruption(std::path::Path::new("000007.sst"), 42, "injected"));
        self.position = position.filter(|&p| !failed && p < self.entries.len());
    }

    fn current(&self) -> usize {
        assert!(self.error.is_none());
        self.position.expect("moved or read while not valid")
    }
}

impl InternalIterator for VectorIterator {
    fn valid(&self) -> bool {
        self.position.is_some()
    }
    fn seek_to_first(&mut self) {
        self.go(Some(0));
    }
    fn seek_to_last(&mut self) {
        self.go(self.entries.len().checked_sub(1));
    }
    fn seek(&mut self, target: &[u8]) {
        self.go(Some(self.entries.partition_point(|e| self.order.compare(&e.0, target).is_lt())));
    }
    fn seek_for_prev(&mut self, target: &[u8]) {
        self.go(self.entries.partition_point(|e| self.order.compare(&e.0, target).is_le()).checked_sub(1));
    }
    fn next(&mut self) {
        self.go(Some(self.current() + 1));
    }
    fn prev(&mut self) {
        self.go(self.current().checked_sub(1));
    }
    fn key(&self) -> &[u8] {
        &self.entries[self.current()].0
    }
    fn value(&self) -> &[u8] {
        &self.entries[self.current()].1
    }
    fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }
}

/// Moves at random and compares with `model`. Ends at the first failure, which must be reported as such; true then.
fn walk(
    iterator: &mut dyn InternalIterator,
    model: &VectorIterator,
    random: &mut Random,
    what: &str,
) -> bool {
    let (entries, order) = (&model.entries, &model.order);
    let mut position: Option<usize> = None;
    assert!(!iterator.valid(), "{what}: valid before the first seek");
    // Long runs one way and quick turns both occur.
    let mut forward = true;
    for step in 0..300 {
        if random.below(6) == 0 {
            forward = !forward;
        }
        position = match (random.below(16), position) {
            (0, _) => {
                iterator.seek_to_first();
                (!entries.is_empty()).then_some(0)
            }
            (1, _) => {
                iterator.seek_to_last();
                entries.len().checked_sub(1)
            }
            (2.., Some(index)) if forward => {
                if index % 2 == 0 {
                    iterator.next();
                } else {
                    let stepped = iterator.step().map(<[u8]>::to_vec);
                    assert_eq!(
                        stepped.as_deref(),
                        iterator.entry().map(|(key, _)| key),
                        "{what}, step {step}"
                    );
                }
                Some(index + 1).filter(|&i| i < entries.len())
            }
            (2.., Some(index)) => {
                iterator.prev();
                index.checked_sub(1)
            }
            (2.., None) if forward => {
                let target = random.target();
                iterator.seek(&target);
                let index = entries.partition_point(|e| order.compare(&e.0, &target).is_lt());
                Some(index).filter(|&i| i < entries.len())
            }
            (2.., None) => {
                let target = random.target();
                iterator.seek_for_prev(&target);
                entries.partition_point(|e| order.compare(&e.0, &target).is_le()).checked_sub(1)
            }
        };
        if let Some(error) = iterator.error() {
            assert!(!iterator.valid(), "{what}, step {step}: valid with an error");
            assert_eq!(error.kind(), ErrorKind::Corruption);
            return true;
        }
        assert_eq!(iterator.valid(), position.is_some(), "{what}, step {step}");
        if let Some(index) = position {
            let expected = (&entries[index].0[..], &entries[index].1[..]);
            assert_eq!((iterator.key(), iterator.value()), expected, "{what}, step {step}");
            assert_eq!(iterator.entry(), Some(expected), "{what}, step {step}");
        }
    }
    false
}

fn endless() -> Arc<AtomicI64> {
    Arc::new(AtomicI64::new(i64::MAX))
}

fn sort(entries: &mut Entries, order: &InternalComparator) {
    entries.sort_by(|a, b| order.compare(&a.0, &b.0));
}

/// Random entries with distinct internal keys, each also given to one of `parts`.
fn scatter(
    random: &mut Random,
    order: &InternalComparator,
    count: usize,
    parts: usize,
) -> (Entries, Vec<Entries>) {
    let mut all = Entries::new();
    let mut scattered = vec![Entries::new(); parts];
    for sequence in 1..=count as u64 {
        let key = InternalKey::new(&random.user_key(), sequence, EntryKind::Put).0;
        let entry = (key, sequence.to_le_bytes().to_vec());
        // The first parts get more, so that some are empty at times.
        let part = random.below(parts).min(random.below(parts));
        scattered[part].push(entry.clone());
        all.push(entry);
    }
    sort(&mut all, order);
    scattered.iter_mut().for_each(|part| sort(part, order));
    (all, scattered)
}

fn model(entries: Entries, order: &InternalComparator) -> VectorIterator {
    VectorIterator { entries, order: order.clone(), position: None, budget: endless(), error: None }
}

#[test]
fn merged_children_move_as_one_vector() {
    for seed in 0..150 {
        for order in orders() {
            let random = &mut Random(seed);
            let count = [0, 5, 40, 300][random.below(4)];
            let parts = 1 + random.below(9);
            let (all, parts) = scatter(random, &order, count, parts);
            let children =
                parts.into_iter().map(|part| VectorIterator::boxed(part, &order, &endless())).collect();
            let mut merged = merge(children, &order);
            assert!(!walk(&mut *merged, &model(all, &order), random, &format!("seed {seed}, {order:?}")));
        }
    }
}

/// Keys that all begin alike, where the merge knows it and compares what follows.
#[test]
fn children_of_a_known_range_move_as_one_vector() {
    let behind_start = |mut entries: Entries| {
        entries.iter_mut().for_each(|(key, _)| drop(key.splice(..0, *b"longer than eight bytes ")));
        entries
    };
    for seed in 0..100 {
        for order in orders() {
            let random = &mut Random(seed);
            let parts = 2 + random.below(5);
            let (all, parts) = scatter(random, &order, 100, parts);
            let boxed = |part| VectorIterator::boxed(behind_start(part), &order, &endless());
            let children = parts.into_iter().map(boxed).collect();
            let range = (&b"longer than eight bytes "[..], &b"longer than eight bytes z"[..]);
            let mut merged = merge_within(children, &order, range);
            let what = format!("seed {seed}, {order:?}");
            assert!(!walk(&mut *merged, &model(behind_start(all), &order), random, &what));
        }
    }
}

#[test]
fn nothing_merged_is_nothing() {
    let mut merged = merge(Vec::new(), &InternalComparator::default());
    merged.seek_to_first();
    assert!(!merged.valid() && merged.error().is_none());
}

/// The same internal keys in several children cannot happen, but must neither loop nor lose an entry, and turning
/// round must retrace the steps.
#[test]
fn equal_keys_come_in_the_order_of_children() {
    let order = InternalComparator::default();
    for seed in 0..50 {
        let random = &mut Random(seed);
        let mut children = Vec::new();
        let mut all: Vec<(Vec<u8>, usize)> = Vec::new();
        for child in 0..4 {
            let keys: Vec<usize> = (0..12).filter(|_| random.below(2) == 0).collect();
            let entries: Entries = keys
                .iter()
                .map(|&k| (InternalKey::new(&[k as u8], 7, EntryKind::Put).0, vec![child as u8]))
                .collect();
            all.extend(entries.iter().map(|e| (e.0.clone(), child)));
            children.push(VectorIterator::boxed(entries, &order, &endless()));
        }
        all.sort();
        if all.is_empty() {
            continue;
        }
        let mut merged = merge(children, &order);
        merged.seek_to_first();
        let mut index = 0;
        for step in 0..300 {
            assert_eq!(
                (merged.key(), merged.value()[0] as usize),
                (&all[index].0[..], all[index].1),
                "seed {seed}, {step}"
            );
            let forward = index == 0 || (index + 1 < all.len() && random.below(3) > 0);
            if all.len() == 1 {
                break;
            }
            if forward {
                merged.next()
            } else {
                merged.prev()
            }
            index = if forward { index + 1 } else { index - 1 };
        }
    }
}

#[test]
fn a_failing_child_is_never_the_end_of_data() {
    let order = InternalComparator::default();
    let mut failures = 0;
    for seed in 0..300 {
        let random = &mut Random(seed);
        let (all, parts) = scatter(random, &order, 60, 4);
        let budget = Arc::new(AtomicI64::new(random.below(200) as i64));
        let children = parts.into_iter().map(|part| VectorIterator::boxed(part, &order, &budget)).collect();
        let mut merged = merge(children, &order);
        if walk(&mut *merged, &model(all.clone(), &order), random, &format!("seed {seed}")) {
            failures += 1;
            // The children work again: so does a new seek.
            merged.seek_to_first();
            assert!(merged.error().is_none());
            assert_eq!(merged.key(), all[0].0);
        }
    }
    assert!(failures > 200, "only {failures} of 300 walks met the injected failure");
}

/// Files cut from a sorted vector. Bounds may be wider than the entries, as with range tombstones.
struct Files {
    files: Vec<(Entries, Vec<u8>, Vec<u8>)>,
    order: InternalComparator,
    budget: Arc<AtomicI64>,
    opened: Arc<AtomicUsize>,
}

impl FileList for Files {
    fn len(&self) -> usize {
        self.files.len()
    }
    fn smallest(&self, index: usize) -> &[u8] {
        &self.files[index].1
    }
    fn largest(&self, index: usize) -> &[u8] {
        &self.files[index].2
    }
    fn open(&self, index: usize) -> Result<Box<dyn InternalIterator>> {
        self.opened.fetch_add(1, MemoryOrdering::Relaxed);
        if self.budget.fetch_sub(1, MemoryOrdering::Relaxed) == 0 {
            return Err(Error::corruption(std::path::Path::new("000009.sst"), 0, "injected"));
        }
        Ok(VectorIterator::boxed(self.files[index].0.clone(), &self.order, &self.budget))
    }
}

/// Cuts `all` into files, some of them empty; an empty file's bounds are those of entries taken out of it, which
/// then are also gone from what is returned.
fn cut(
    all: &Entries,
    random: &mut Random,
    order: &InternalComparator,
    budget: Arc<AtomicI64>,
) -> (Entries, Files) {
    let (mut kept, mut files) = (Entries::new(), Vec::new());
    let mut rest = &all[..];
    while !rest.is_empty() {
        let (file, after) = rest.split_at((1 + random.below(8)).min(rest.len()));
        rest = after;
        let mut entries = file.to_vec();
        // Bounds of what was there: now wider than the entries left.
        match random.below(5) {
            0 => entries.clear(),
            1 => drop(entries.pop()),
            2 => drop(entries.remove(0)),
            _ => {}
        }
        kept.extend(entries.iter().cloned());
        files.push((entries, file[0].0.clone(), file[file.len() - 1].0.clone()));
    }
    (kept, Files { files, order: order.clone(), budget, opened: Arc::default() })
}

#[test]
fn concatenated_files_move_as_one_vector() {
    for seed in 0..150 {
        for order in orders() {
            let random = &mut Random(seed);
            let count = [0, 5, 40, 300][random.below(4)];
            let (all, _) = scatter(random, &order, count, 1);
            let (kept, files) = cut(&all, random, &order, endless());
            let mut iterator = ConcatIterator::new(files, order.clone());
            assert!(!walk(&mut iterator, &model(kept, &order), random, &format!("seed {seed}, {order:?}")));
        }
    }
}

#[test]
fn files_are_opened_when_needed() {
    let order = InternalComparator::default();
    let entry = |key: u8| (InternalKey::new(&[key], 1, EntryKind::Put).0, vec![key]);
    let file = |keys: [u8; 2]| (vec![entry(keys[0]), entry(keys[1])], entry(keys[0]).0, entry(keys[1]).0);
    let opened = Arc::new(AtomicUsize::new(0));
    let files = vec![file([1, 3]), file([5, 7]), file([9, 11])];
    let files = Files { files, order: order.clone(), budget: endless(), opened: opened.clone() };
    let mut iterator = ConcatIterator::new(files, order);
    let lookup = |key: u8| InternalKey::for_lookup(&[key], MAX_SEQUENCE).0;
    assert_eq!(opened.load(MemoryOrdering::Relaxed), 0);
    for (target, expected, opens) in [(4, 5, 1), (6, 7, 1), (5, 5, 1), (8, 9, 2), (1, 1, 3)] {
        iterator.seek(&lookup(target));
        assert_eq!((iterator.value(), opened.load(MemoryOrdering::Relaxed)), (&[expected][..], opens));
    }
    iterator.seek(&lookup(12));
    assert!(!iterator.valid());
    iterator.seek_for_prev(&lookup(0));
    assert!(!iterator.valid());
    assert_eq!(opened.load(MemoryOrdering::Relaxed), 3, "nothing is opened for keys outside all files");
}

#[test]
fn a_failing_file_is_never_the_end_of_data() {
    let order = InternalComparator::default();
    let mut failures = 0;
    for seed in 0..300 {
        let random = &mut Random(seed);
        let (all, _) = scatter(random, &order, 60, 1);
        let budget = Arc::new(AtomicI64::new(random.below(200) as i64));
        let (kept, files) = cut(&all, random, &order, budget);
        let mut iterator = ConcatIterator::new(files, order.clone());
        if walk(&mut iterator, &model(kept.clone(), &order), random, &format!("seed {seed}")) {
            failures += 1;
            iterator.seek_to_last();
            assert!(iterator.error().is_none());
            assert_eq!(iterator.key(), kept[kept.len() - 1].0);
        }
    }
    assert!(failures > 200, "only {failures} of 300 walks met the injected failure");
}
