//! Sizes shown to users against what the allocator handed out and what the system keeps resident.
//!
//! A binary of its own, for its allocator counts: what each thread allocated and did not free, as the C library sets it
//! aside (its header and rounding too).

#![allow(clippy::disallowed_methods)] // Tests may touch files and processes directly.

use auradb::base::{Codec, Comparator, EntryKind, InternalComparator};
use auradb::cache::{Cache, CacheKey, EntryClass, EvictionPolicy};
use auradb::config::{Config, MemtableConfig, ValueLogConfig};
use auradb::db::{ColumnFamilyOptions, Db, Options, WriteOptions};
use auradb::env::{OpenMode, default_env};
use auradb::memtable::Structure;
use auradb::memtable::write_buffer::WriteBuffer;
use auradb::sst::{Table, TableOptions};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::cmp::Ordering;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

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
const STRUCTURES: [Structure; 1] = [Structure::SkipList];

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
                    check(&what, buffer.allocated_bytes(), real);
                    drop(buffer);
                    // But for what the thread keeps to tell when nodes may be freed.
                    assert!((live() - before).abs() < 8 << 10, "{what}: all is given back");
                }
            }
        }
    }
}

#[test]
fn range_deletions_show_what_they_take() {
    for (count, overlap) in [(300, 1), (3000, 1), (3000, 50)] {
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

#[test]
fn tables_show_what_their_indexes_take() {
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
    for (count, len) in [(20_000u64, 100), (5000, 4000), (200, 64 << 10)] {
        let cache = Cache::new(1 << 30, EvictionPolicy::Lru, 0);
        let before = live();
        for number in 0..count {
            let key = CacheKey { owner: 1, file: 1, offset: number };
            cache.insert(key, EntryClass::Data, &Arc::new(vec![7; len]));
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

fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
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
            println!("{}", text.lines().find(|line| line.contains("shown")).unwrap_or_default());
            assert!(child.status.success(), "{text}{}", String::from_utf8_lossy(&child.stderr));
        }
    }
}
