//! The lock-free structures under a scheduler that decides which thread takes the next step.
//!
//! 1. The structures are compiled a second time here; what they find as `super::super::sync` is `systematic/sync.rs`.
//! 2. `explore` runs a scene very often, each time in another order of steps: by chance, and with few but well placed
//!    switches (probabilistic concurrency testing). Both come from fixed seeds; a failure prints its schedule.
//! 3. Scenes are small: nodes of the B+tree hold four entries, so a few inserts split leaves, inner nodes and the root
//!    while others read; nodes of the radix tree start with as many children as they hold.
//!
//! What every scene checks: an entry is found, whole, by whoever starts to look after its insert returned; iterators
//! go in order and never twice over an entry.

use super::{MemTable, arena, prefetch};
use crate::base::InternalComparator;
use crate::base::key::{EntryKind, InternalKey, MAX_SEQUENCE, key_sequence, user_key};
use crate::iterator::InternalIterator;
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, Runner, thread};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[expect(clippy::duplicate_mod, reason = "the same code over a scheduler's atomics")]
#[path = "../art/mod.rs"]
mod art;
#[expect(clippy::duplicate_mod, reason = "the same code over a scheduler's atomics")]
#[path = "../btree/mod.rs"]
mod btree;
mod sync;

/// Orders tried by each scheduler for each structure.
const RUNS: usize = 150;
/// Switches that a bug may need for the second scheduler to look for it.
const SWITCHES: usize = 3;

type Create = fn() -> Arc<dyn MemTable>;

const STRUCTURES: [Create; 2] = [art::create, || btree::create(&InternalComparator::default())];

/// Runs `scene` with every structure in many orders.
fn explore(scene: impl Fn(Arc<dyn MemTable>) + Copy + Send + Sync + 'static) {
    for create in STRUCTURES {
        run(RandomScheduler::new_from_seed(1, RUNS), create, scene);
        run(PctScheduler::new_from_seed(2, SWITCHES, RUNS), create, scene);
    }
}

fn run(
    scheduler: impl Scheduler + 'static,
    create: Create,
    scene: impl Fn(Arc<dyn MemTable>) + Send + Sync + 'static,
) {
    let mut config = Config::new();
    config.stack_size = 256 << 10;
    Runner::new(scheduler, config).run(move || sync::with_points(|| scene(create())));
}

/// A writer's list of keys, each with the sequence number it gets, and how many of them are in.
struct Writer {
    entries: Vec<(Vec<u8>, u64)>,
    done: AtomicUsize,
}

impl Writer {
    fn new(entries: impl IntoIterator<Item = (Vec<u8>, u64)>) -> Arc<Writer> {
        Arc::new(Writer { entries: entries.into_iter().collect(), done: AtomicUsize::new(0) })
    }

    /// One whose entries are in, before there are other threads.
    fn before(memtable: &dyn MemTable, entries: impl IntoIterator<Item = (Vec<u8>, u64)>) -> Arc<Writer> {
        let writer = Writer::new(entries);
        sync::without_points(|| writer.insert_all(memtable));
        writer
    }

    /// Inserts what is not in yet.
    fn insert_all(&self, memtable: &dyn MemTable) {
        let done = self.done.load(Ordering::Acquire);
        for (index, (key, sequence)) in self.entries.iter().enumerate().skip(done) {
            memtable.insert(*sequence, EntryKind::Put, key, &value(key, *sequence));
            self.done.store(index + 1, Ordering::Release);
        }
    }

    /// Internal keys of the entries that are in for sure.
    fn finished(&self) -> Vec<Vec<u8>> {
        let done = self.done.load(Ordering::Acquire);
        self.entries[..done].iter().map(|(key, sequence)| internal(key, *sequence)).collect()
    }
}

fn internal(key: &[u8], sequence: u64) -> Vec<u8> {
    InternalKey::new(key, sequence, EntryKind::Put).0
}

fn value(key: &[u8], sequence: u64) -> Vec<u8> {
    [key, &sequence.to_le_bytes()].concat()
}

/// Keys of two bytes, in the order of `numbers`.
fn keys(numbers: impl IntoIterator<Item = u16>) -> impl Iterator<Item = (Vec<u8>, u64)> {
    numbers.into_iter().map(|number| (number.to_be_bytes().to_vec(), 1 + u64::from(number)))
}

/// Starts a thread for each writer, lets `read` run with them, and checks what there is at the end.
fn with_writers(memtable: &Arc<dyn MemTable>, writers: &[Arc<Writer>], read: impl FnOnce()) {
    let threads: Vec<_> = writers
        .iter()
        .map(|writer| {
            let (writer, memtable) = (Arc::clone(writer), Arc::clone(memtable));
            thread::spawn(move || writer.insert_all(&*memtable))
        })
        .collect();
    read();
    for thread in threads {
        thread.join().expect("writers do not panic");
    }
    sync::without_points(|| {
        assert_eq!(memtable.len(), writers.iter().map(|writer| writer.entries.len()).sum::<usize>());
        get_finished(&**memtable, writers);
        assert_eq!(walk(memtable, writers, true).len(), memtable.len());
        assert_eq!(walk(memtable, writers, false).len(), memtable.len());
    });
}

/// Looks each finished entry up.
fn get_finished(memtable: &dyn MemTable, writers: &[Arc<Writer>]) {
    for key in writers.iter().flat_map(|writer| writer.finished()) {
        let (user, sequence) = (user_key(&key), key_sequence(&key));
        let mut newest = None;
        memtable.get(user, sequence, &mut |found, kind, bytes| {
            assert!(kind == EntryKind::Put && bytes == value(user, found));
            newest = Some(found);
            false
        });
        assert_eq!(newest, Some(sequence), "get {user:?}");
    }
}

/// Goes over everything; what was finished before is among it, in order.
fn walk(memtable: &Arc<dyn MemTable>, writers: &[Arc<Writer>], forward: bool) -> Vec<Vec<u8>> {
    let order = InternalComparator::default();
    let finished: Vec<_> = writers.iter().flat_map(|writer| writer.finished()).collect();
    let mut iterator = Arc::clone(memtable).iter();
    if forward {
        iterator.seek_to_first()
    } else {
        iterator.seek_to_last()
    }
    let mut seen = Vec::new();
    while iterator.valid() {
        let key = iterator.key().to_vec();
        assert_eq!(iterator.value(), value(user_key(&key), key_sequence(&key)));
        seen.push(key);
        if forward { iterator.next() } else { iterator.prev() }
    }
    if !forward {
        seen.reverse();
    }
    assert!(seen.is_sorted_by(|a, b| order.compare(a, b).is_lt()), "forward {forward}: {seen:?}");
    for key in finished {
        assert!(seen.contains(&key), "forward {forward}: {key:?} is not in {seen:?}");
    }
    seen
}

/// Seeks each finished entry both ways.
fn seek_finished(memtable: &Arc<dyn MemTable>, writers: &[Arc<Writer>]) {
    let mut iterator: Box<dyn InternalIterator> = Arc::clone(memtable).iter();
    for key in writers.iter().flat_map(|writer| writer.finished()) {
        iterator.seek(&key);
        assert!(iterator.valid() && iterator.key() == key, "seek {key:?}");
        iterator.seek_for_prev(&key);
        assert!(iterator.valid() && iterator.key() == key, "seek_for_prev {key:?}");
        // Beside the key: whatever comes meanwhile, a seek ends on its side of the target, and not beyond the key.
        let (before, behind) = (internal(user_key(&key), MAX_SEQUENCE), internal(user_key(&key), 0));
        iterator.seek(&before);
        assert!(iterator.valid() && in_order(&before, iterator.key(), &key), "seek before {key:?}");
        iterator.seek_for_prev(&behind);
        assert!(iterator.valid() && in_order(&key, iterator.key(), &behind), "seek_for_prev behind {key:?}");
    }
}

fn in_order(first: &[u8], middle: &[u8], last: &[u8]) -> bool {
    let order = InternalComparator::default();
    order.compare(first, middle).is_le() && order.compare(middle, last).is_le()
}

#[test]
fn two_writers_between_each_other() {
    explore(|memtable| {
        let writers =
            [Writer::new(keys([8, 2, 6, 0, 4, 10, 12])), Writer::new(keys([9, 3, 7, 1, 5, 11, 13]))];
        with_writers(&memtable, &writers, || get_finished(&*memtable, &writers));
    });
}

#[test]
fn the_first_inserts_meet() {
    explore(|memtable| {
        let writers = [Writer::new(keys([1])), Writer::new(keys([0])), Writer::new(keys([2]))];
        with_writers(&memtable, &writers, || {
            walk(&memtable, &writers, true);
        });
    });
}

#[test]
fn ascending_and_descending_runs() {
    explore(|memtable| {
        let writers = [Writer::new(keys(0..12)), Writer::new(keys((100..112).rev()))];
        with_writers(&memtable, &writers, || get_finished(&*memtable, &writers));
    });
}

#[test]
fn two_writers_at_the_end() {
    explore(|memtable| {
        let writers = [Writer::new(keys((0..24).step_by(2))), Writer::new(keys((1..24).step_by(2)))];
        with_writers(&memtable, &writers, || seek_finished(&memtable, &writers));
    });
}

#[test]
fn iterators_go_on_while_nodes_split() {
    explore(|memtable| {
        let before = Writer::before(&*memtable, keys((0..40).step_by(4)));
        let writers = [before, Writer::new(keys([1, 2, 3, 5, 21, 22, 23, 37, 38, 39, 41, 42]))];
        let reader = {
            let (memtable, writers) = (Arc::clone(&memtable), writers.clone());
            thread::spawn(move || walk(&memtable, &writers, false).len())
        };
        with_writers(&memtable, &writers, || {
            walk(&memtable, &writers, true);
        });
        reader.join().expect("readers do not panic");
    });
}

/// Nodes of the radix tree with as many children as they hold, or one less, or more than any but the largest.
#[test]
fn children_come_while_a_node_is_replaced() {
    for children in [3, 4, 16, 48, 49] {
        explore(move |memtable| {
            let at = |first: u16, second: u16| first << 8 | second;
            let before = Writer::before(&*memtable, keys((1..=children).map(|first| at(first, 7))));
            let writers = [
                before,
                Writer::new(keys([at(100, 1), at(1, 9), at(0, 1), at(101, 1)])),
                Writer::new(keys([at(101, 2), at(children, 9), at(0, 2), at(2, 9)])),
            ];
            with_writers(&memtable, &writers, || get_finished(&*memtable, &writers));
        });
    }
}

#[test]
fn shared_starts_are_cut_while_others_go_down() {
    explore(|memtable| {
        let named =
            |names: &[&str]| -> Vec<_> { names.iter().map(|name| (name.as_bytes().to_vec(), 1)).collect() };
        let writers = [
            Writer::before(&*memtable, named(&["abcdefghijkl-1", "abcdefghijkl-2"])),
            Writer::new(named(&["abcdefghijX", "abcdefghijkl-3", "abc", "abcdefghijkl-2x", "aX"])),
            Writer::new(named(&["abcdefghijY", "abcdefghijkl-", "abcdefghijkl-2y", "", "abX"])),
        ];
        with_writers(&memtable, &writers, || seek_finished(&memtable, &writers));
    });
}

#[test]
fn versions_of_a_key_out_of_order() {
    explore(|memtable| {
        let versions = |sequences: &[u64]| -> Vec<_> {
            sequences.iter().map(|&sequence| (b"key".to_vec(), sequence)).collect()
        };
        let writers = [
            Writer::before(&*memtable, versions(&[4, 8, 12, 16, 20, 24])),
            Writer::new(versions(&[9, 3, 22, 10, 26, 1])),
            Writer::new(versions(&[25, 2, 11, 21, 7])),
        ];
        with_writers(&memtable, &writers, || {
            get_finished(&*memtable, &writers);
            let finished: Vec<_> = writers.iter().flat_map(|writer| writer.finished()).collect();
            let mut seen: Vec<u64> = Vec::new();
            memtable.get(b"key", MAX_SEQUENCE, &mut |sequence, _, _| {
                seen.push(sequence);
                true
            });
            assert!(seen.is_sorted_by(|a, b| a > b), "{seen:?}");
            assert!(finished.iter().all(|key| seen.contains(&key_sequence(key))), "{finished:?} {seen:?}");
            walk(&memtable, &writers, false);
        });
    });
}
