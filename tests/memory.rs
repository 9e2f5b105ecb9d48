//! Sizes shown to users against what the allocator handed out and what the system keeps resident.
//!
//! A binary of its own, for its allocator counts: what each thread allocated and did not free, as the C library sets it
//! aside (its header and rounding too).

#![allow(clippy::disallowed_methods)] // Tests may touch files and processes directly.

use auradb::base::{Codec, Comparator, EntryKind, InternalComparator};
use auradb::cache::{Cache, CacheKey, EntryClass, EvictionPolicy};
use auradb::config::{Config, MemtableConfig, ValueLogConfig};
use auradb::db::{ColumnFamilyOptions, Db, Options, ReadOptions, Snapshot, WriteOptions};
use auradb::env::{OpenMode, default_env};
use auradb::memtable::write_buffer::WriteBuffer;
use auradb::memtable::{Structure, spare_bytes};
use auradb::sst::{Table, TableOptions};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

struct Counting;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

/// What an allocation takes: what may be used, and the header.
fn taken(start: *mut u8) -> isize {
    if start.is_null() {
        return 0;
    }
    // SAFETY: allocated by the C library, which the system allocator uses.
    let usable = unsafe { libc::malloc_usable_size(start.cast()) };
    (usable + size_of::<usize>()) as isize
}

fn count(bytes: isize) {
    // A thread that ends has no counter any more, and nobody asks.
    let _ = LIVE.try_with(|live| live.set(live.get() + bytes));
}

// SAFETY: passes everything on to the system allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's layout.
        let start = unsafe { System.alloc(layout) };
        count(taken(start));
        start
    }
    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        count(-taken(start));
        // SAFETY: allocated above with this layout.
        unsafe { System.dealloc(start, layout) };
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Tests take turns: threads leave memory to each other, that of large memtables and nodes that are freed later.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn live() -> isize {
    LIVE.with(Cell::get)
}

/// What this thread allocated since, and did not free.
fn since(before: isize) -> usize {
    usize::try_from(live() - before).expect("more was allocated than freed")
}

/// Percent by which what is shown is off.
fn off(shown: usize, real: usize) -> f64 {
    100.0 * (shown as f64 - real as f64) / real as f64
}

#[track_caller]
fn check(what: &str, shown: usize, real: usize) {
    println!("{what:<60} shown {shown:>10} real {real:>10} off {:>6.2} %", off(shown, real));
    assert!(off(shown, real).abs() <= 5.0, "{what}: {shown} shown, {real} real");
}

/// Every structure there is.
const STRUCTURES: [Structure; 3] = [Structure::SkipList, Structure::Art, Structure::BTree];

struct Backwards;

impl Comparator for Backwards {
    fn name(&self) -> &str {
        "test.Backwards"
    }
    fn compare(&self, a: &[u8], b: &[u8]) -> Ordering {
        b.cmp(a)
    }
}

fn mixed(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb)
}

/// Puts of random keys until the memtable shows `size` bytes.
fn fill(buffer: &WriteBuffer, size: usize, key_len: usize, value_len: usize) {
    let (mut key, value) = (vec![b'k'; key_len], vec![7; value_len]);
    let mut sequence = 0;
    while buffer.allocated_bytes() < size {
        sequence += 1;
        key[..8].copy_from_slice(&mixed(sequence).to_be_bytes());
        buffer.insert(sequence, EntryKind::Put, &key, &value);
    }
}

#[test]
fn memtables_show_what_they_take() {
    let _alone = alone();
    // What a thread keeps for all its memtables is not theirs.
    fill(&WriteBuffer::new(Structure::SkipList, &InternalComparator::default()), 10_000, 8, 8);
    for structure in STRUCTURES {
        for order in [InternalComparator::default(), InternalComparator::new(Arc::new(Backwards))] {
            for size in [64 << 10, 256 << 10, 1 << 20, 8 << 20] {
                for (key_len, value_len) in
                    [(8, 0), (16, 20), (24, 100), (100, 400), (16, 1500), (16, 20_000)]
                {
                    let before = live();
                    let buffer = WriteBuffer::new(structure, &order);
                    fill(&buffer, size, key_len, value_len);
                    let real = since(before);
                    let what = format!(
                        "{structure:?} of {} KiB, {key_len} byte keys, {value_len} byte values",
                        size >> 10
                    );
                    let shown = buffer.allocated_bytes();
                    drop(buffer);
                    let left = live() - before;
                    check(&what, shown, real);
                    // But for what the thread keeps to tell when nodes may be freed.
                    assert!(left.abs() < 8 << 10, "{what}: all is given back but {left}");
                }
            }
        }
    }
}

#[test]
fn range_deletions_show_what_they_take() {
    let _alone = alone();
    // What a thread keeps for all its memtables is not theirs.
    fill(&WriteBuffer::new(Structure::SkipList, &InternalComparator::default()), 10_000, 8, 8);
    for (count, overlap) in [(300, 1), (3000, 1), (3000, 50), (3000, 6000)] {
        for read_every in [1, 100, usize::MAX] {
            let before = live();
            let buffer = WriteBuffer::new(Structure::SkipList, &InternalComparator::default());
            for number in 0..count {
                let start = mixed(number) % (count * 10);
                let (start, end) = (format!("key-{start:010}"), format!("key-{:010}", start + 5 * overlap));
                buffer.delete_range(number + 1, start.as_bytes(), end.as_bytes());
                if (number as usize + 1).is_multiple_of(read_every) {
                    buffer.covering_sequence(b"key-0000000100", u64::MAX >> 8);
                }
            }
            let real = since(before);
            let what = format!("{count} range deletions, overlap {overlap}, read after {read_every}");
            check(&what, buffer.allocated_bytes(), real);
        }
    }
}

struct TemporaryDirectory(PathBuf);

impl TemporaryDirectory {
    fn new(name: &str) -> TemporaryDirectory {
        let path = std::env::temp_dir().join(format!("auradb-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        TemporaryDirectory(path)
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn open(directory: &TemporaryDirectory) -> Db {
    let config = Config::default()
        .with_memtable(MemtableConfig::default().with_max_size(64u64 << 20))
        .with_value_log(ValueLogConfig::default().with_separation_threshold(u64::MAX));
    let options = Options {
        config: Config {
            wal: config.wal.clone().with_sync_policy(auradb::config::SyncPolicy::Manual),
            ..config
        },
        create_if_missing: true,
        ..Options::default()
    };
    let family = ColumnFamilyOptions::from_config(&options.config);
    Db::open(&options, &directory.0.join("db"), &family).unwrap()
}

fn put(db: &Db, count: u64, value_len: usize) {
    let family = db.default_column_family();
    let mut value = vec![0; value_len];
    for number in 0..count {
        let word = mixed(number).to_le_bytes();
        value.iter_mut().enumerate().for_each(|(at, byte)| *byte = word[at % 8]);
        db.put(&family, &mixed(number).to_be_bytes(), &value, &WriteOptions::default()).unwrap();
    }
}

/// Writing allocates in the writing thread: memtables, and a buffer for batches.
#[test]
fn a_database_shows_what_its_memtables_take() {
    let _alone = alone();
    for (count, value_len) in [(100_000, 16), (20_000, 200), (2000, 4000)] {
        let directory = TemporaryDirectory::new("memory-memtables");
        let db = open(&directory);
        let (before, empty) = (live(), db.memory_usage().memtables as usize);
        put(&db, count, value_len);
        let (real, usage) = (since(before), db.memory_usage());
        check(
            &format!("database with {count} values of {value_len} bytes"),
            usage.memtables as usize - empty,
            real,
        );
        assert_eq!(usage.memtables, usage.memtables_unflushed);
    }
}

/// Chunks of a memtable that is gone are nobody's, but they are shown.
#[test]
fn chunks_that_are_kept_are_shown() {
    let _alone = alone();
    let order = InternalComparator::default();
    let directory = TemporaryDirectory::new("memory-spare");
    let db = open(&directory);
    let family = db.default_column_family();
    let spare = || db.property_int(&family, "auradb.spare-memtable-bytes").unwrap() as usize;
    let buffer = WriteBuffer::new(Structure::BTree, &order);
    fill(&buffer, 40 << 20, 16, 300);
    let before = spare();
    drop(buffer);
    let kept = spare() - before;
    assert!(kept >= 8 << 20 && kept.is_multiple_of(2 << 20) && spare() <= 64 << 20, "{kept}");
    let text = db.property(&family, "auradb.memory").unwrap();
    assert!(text.contains(&format!("{} bytes", spare())), "{text}");
    assert_eq!(spare(), spare_bytes());
    drop((db, family));
    assert_eq!(spare_bytes(), 0, "the last memtable is gone");
}

#[test]
fn tables_show_what_their_indexes_take() {
    let _alone = alone();
    let directory = TemporaryDirectory::new("memory-tables");
    let db = open(&directory);
    put(&db, 200_000, 100);
    db.flush(&[&db.default_column_family()], true).unwrap();
    drop(db);
    let mut seen = 0;
    for entry in std::fs::read_dir(directory.0.join("db/sst")).unwrap() {
        let path = entry.unwrap().path();
        let number: u64 = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
        let size = path.metadata().unwrap().len();
        let before = live();
        let file = default_env().open(&path, OpenMode::Read).unwrap();
        let options = TableOptions {
            order: InternalComparator::default(),
            block_size: 4096,
            compression: Codec::None,
            bloom_bits_per_key: None,
            whole_key_filtering: true,
            prefix_extractor: None,
            learned_index: true,
            cache: None,
            cache_owner: 0,
        };
        let table = Table::open(file, number, size, options).unwrap();
        check(&format!("table of {size} bytes"), table.memory_bytes(), since(before));
        seen += 1;
    }
    assert!(seen > 0);
}

#[test]
fn caches_show_what_their_entries_take() {
    let _alone = alone();
    for (count, len) in [(20_000u64, 100), (5000, 4000), (200, 64 << 10)] {
        let cache = Cache::new(1 << 30, EvictionPolicy::Lru, 0);
        let before = live();
        for number in 0..count {
            let key = CacheKey { owner: 1, file: 1, offset: number };
            cache.insert(key, EntryClass::Data, &Arc::new(vec![7; len].into()));
        }
        let (shown, real) = (cache.usage() as usize, since(before));
        println!(
            "cache of {count} entries of {len} bytes: shown {shown} real {real} off {:.2} %",
            off(shown, real)
        );
        // The charge of an entry pays for what it leaves behind when it is evicted: it is never too low.
        assert!(shown as f64 >= 0.95 * real as f64, "{shown} shown, {real} real");
    }
}

/// Bytes of memory that are resident. Without files, for the pages of a program come as it first runs them.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = text.lines().find(|line| line.starts_with("Anonymous:")).expect("the system counts it");
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
}

/// Run by the test below in a fresh process, where nothing freed before is used again.
#[test]
#[ignore = "needs a process of its own"]
fn resident_child() {
    let value_len: usize = std::env::var("AURADB_VALUE_LEN").map_or(100, |text| text.parse().unwrap());
    let size: usize = std::env::var("AURADB_SIZE").map_or(32 << 20, |text| text.parse().unwrap());
    for structure in STRUCTURES {
        let warm = WriteBuffer::new(structure, &InternalComparator::default());
        fill(&warm, 4096, 16, 10);
        let before = resident();
        let buffer = WriteBuffer::new(structure, &InternalComparator::default());
        fill(&buffer, size, 16, value_len);
        let real = resident() - before;
        check(
            &format!("{structure:?} of {} KiB, {value_len} byte values, resident", size >> 10),
            buffer.allocated_bytes(),
            real,
        );
        // Kept, so that the next one does not get its memory.
        std::mem::forget((buffer, warm));
    }
}

#[test]
fn memtables_show_what_is_resident() {
    for size in [2 << 20, 32 << 20] {
        for value_len in [16, 100, 3000] {
            let child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "resident_child", "--ignored", "--nocapture", "--test-threads=1"])
                .env("AURADB_VALUE_LEN", value_len.to_string())
                .env("AURADB_SIZE", size.to_string())
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&child.stdout);
            text.lines().filter(|line| line.contains("shown")).for_each(|line| println!("{line}"));
            assert!(child.status.success(), "{text}{}", String::from_utf8_lossy(&child.stderr));
        }
    }
}

const DELETIONS: u64 = 20_000;

fn key_of(number: u64) -> [u8; 8] {
    (mixed(number) % (DELETIONS << 8)).to_be_bytes()
}

type State = BTreeMap<Vec<u8>, Vec<u8>>;

/// What is in a database, and what was at snapshots taken meanwhile.
#[derive(Default)]
struct Model {
    now: State,
    then: Vec<(Snapshot, State)>,
}

impl Model {
    /// Deletions that all overlap: of everything before, or from, a key that goes up. Every few, a key is put.
    fn delete(&mut self, db: &Db, up_to: bool) {
        let (family, how) = (db.default_column_family(), WriteOptions::default());
        for number in 1..=DELETIONS {
            let bound = (number << 8).to_be_bytes();
            if up_to {
                db.delete_range(&family, b"", &bound, &how).unwrap();
                self.now = self.now.split_off(&bound[..]);
            } else {
                db.delete_range(&family, &bound, b"\xff", &how).unwrap();
                self.now.split_off(&bound[..]);
            }
            if number % 4 == 0 {
                let key = key_of(number);
                db.put(&family, &key, &number.to_be_bytes(), &how).unwrap();
                self.now.insert(key.to_vec(), number.to_be_bytes().to_vec());
            }
            if number % (DELETIONS / 3) == 1 {
                self.then.push((db.snapshot(), self.now.clone()));
            }
        }
    }

    fn check(&self, db: &Db, what: &str) {
        let then = self.then.iter().map(|(snapshot, state)| (Some(snapshot.sequence()), state));
        for (snapshot, state) in then.chain([(None, &self.now)]) {
            let family = db.default_column_family();
            let options = ReadOptions { snapshot, ..ReadOptions::default() };
            for number in (0..DELETIONS).step_by(20) {
                let key = key_of(number);
                let seen = db.get(&family, &key, &options).unwrap();
                assert_eq!(
                    seen.as_deref(),
                    state.get(&key[..]).map(|value| &value[..]),
                    "{what}, {snapshot:?}"
                );
            }
            let mut iterator = db.iterator(&family, &options).unwrap();
            iterator.seek_to_first();
            for expected in state {
                assert!(iterator.valid(), "{what}, at {snapshot:?}: {expected:?} is missing");
                let seen = (iterator.key().to_vec(), iterator.value().to_vec());
                assert_eq!((&seen.0, &seen.1), expected, "{what}, at {snapshot:?}");
                iterator.next();
            }
            assert!(!iterator.valid(), "{what}, at {snapshot:?}: a deleted key is shown");
            iterator.status().unwrap();
        }
    }
}

/// Run by the test below in a fresh process, whose largest size it limits.
#[test]
#[ignore = "needs a process of its own"]
fn overlapping_deletions_child() {
    for up_to in [true, false] {
        let directory = TemporaryDirectory::new(&format!("memory-deletions-{up_to}"));
        let mut model = Model::default();
        let db = open(&directory);
        model.delete(&db, up_to);
        model.check(&db, "memtable");
        model.then.clear();
        drop(db);
        let db = open(&directory);
        model.check(&db, "after recovery");
        model.delete(&db, up_to);
        db.flush(&[&db.default_column_family()], true).unwrap();
        model.check(&db, "after a flush");
        db.compact_range(&db.default_column_family(), None, None, &Default::default()).unwrap();
        model.check(&db, "after a compaction");
        model.then.clear();
        let bytes: u64 =
            db.property_int(&db.default_column_family(), "rocksdb.total-sst-files-size").unwrap();
        assert!(bytes < 16 << 20, "{bytes} bytes of tables");
    }
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let largest = text.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    let kib: usize = largest.split_whitespace().nth(1).unwrap().parse().unwrap();
    println!("at most {kib} KiB were resident");
    assert!(kib < 300 << 10, "{kib} KiB");
}

/// Lists of tombstones would take gigabytes if they noted each deletion wherever it covers something.
#[test]
fn deletions_that_all_overlap_take_little_memory() {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "overlapping_deletions_child", "--ignored", "--nocapture", "--test-threads=1"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&child.stdout);
    println!("{}", text.lines().find(|line| line.contains("resident")).unwrap_or_default());
    assert!(child.status.success(), "{text}{}", String::from_utf8_lossy(&child.stderr));
}
