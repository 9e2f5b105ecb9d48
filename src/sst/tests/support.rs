//! A file in memory, tables made of chosen keys, and the oracle they are compared with.

use crate::base::key::{append_internal_key, trailer};
use crate::base::{
    Codec, Comparator, EntryKind, Error, ErrorKind, InternalComparator, InternalKey, ParsedKey, Result,
};
use crate::env::File;
use crate::iterator::InternalIterator;
use crate::sst::{Table, TableBuilder, TableOptions, TableProperties, TableRead};
use parking_lot::Mutex;
use std::cmp::Ordering;
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering as AtomicOrdering};

pub const NUMBER: u64 = 42;

pub const READ: TableRead = TableRead { fill_cache: true, allow_io: true, read_ahead: 0 };

/// A file in memory that counts what is done to it and can be told to fail.
pub struct MemoryFile {
    path: PathBuf,
    pub bytes: Mutex<Vec<u8>>,
    pub reads: AtomicU64,
    pub writes: AtomicU64,
    pub syncs: AtomicU64,
    pub hinted: AtomicU64,
    /// Reads left before they fail.
    pub reads_allowed: AtomicU64,
    pub fail_writes: std::sync::atomic::AtomicBool,
}

impl MemoryFile {
    pub fn new(bytes: Vec<u8>) -> Arc<MemoryFile> {
        Arc::new(MemoryFile {
            path: PathBuf::from("000042.sst"),
            bytes: Mutex::new(bytes),
            reads: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            syncs: AtomicU64::new(0),
            hinted: AtomicU64::new(0),
            reads_allowed: AtomicU64::new(u64::MAX),
            fail_writes: Default::default(),
        })
    }
}

impl File for MemoryFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        if self.reads.fetch_add(1, AtomicOrdering::Relaxed)
            >= self.reads_allowed.load(AtomicOrdering::Relaxed)
        {
            return Err(Error::new(ErrorKind::Io, "injected").in_file(&self.path));
        }
        let bytes = self.bytes.lock();
        let rest = bytes.get(offset as usize..).unwrap_or_default();
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }
    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> Result<()> {
        if self.fail_writes.load(AtomicOrdering::Relaxed) {
            return Err(Error::new(ErrorKind::Io, "injected").in_file(&self.path));
        }
        self.writes.fetch_add(1, AtomicOrdering::Relaxed);
        let mut bytes = self.bytes.lock();
        assert_eq!(offset as usize, bytes.len(), "tables are written front to back");
        parts.iter().for_each(|part| bytes.extend_from_slice(part));
        Ok(())
    }
    fn sync_data(&self) -> Result<()> {
        self.syncs.fetch_add(1, AtomicOrdering::Relaxed);
        Ok(())
    }
    fn truncate(&self, len: u64) -> Result<()> {
        self.bytes.lock().resize(len as usize, 0);
        Ok(())
    }
    fn len(&self) -> Result<u64> {
        Ok(self.bytes.lock().len() as u64)
    }
    fn will_need(&self, _offset: u64, len: u64) {
        self.hinted.fetch_add(len, AtomicOrdering::Relaxed);
    }
    fn path(&self) -> &Path {
        &self.path
    }
}

/// Deterministic randomness.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    pub fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 11) % bound
    }
}

/// Byte order backwards.
pub struct Reverse;

impl Comparator for Reverse {
    fn name(&self) -> &str {
        "test.Reverse"
    }
    fn compare(&self, a: &[u8], b: &[u8]) -> Ordering {
        b.cmp(a)
    }
}

pub fn options() -> TableOptions {
    TableOptions {
        order: InternalComparator::default(),
        block_size: 4096,
        compression: Codec::None,
        bloom_bits_per_key: Some(10.0),
        whole_key_filtering: true,
        prefix_extractor: None,
        learned_index: true,
        cache: None,
        cache_owner: 0,
    }
}

pub type Entry = (Vec<u8>, Vec<u8>);

/// Internal keys of `keys`, each with 1 to `versions` versions, in order and with values.
pub fn entries_of(
    keys: &[Vec<u8>],
    versions: u64,
    random: &mut Random,
    order: &InternalComparator,
) -> Vec<Entry> {
    let mut entries = Vec::new();
    for key in keys {
        for _ in 0..1 + random.below(versions) {
            let kind = [EntryKind::Put, EntryKind::Delete, EntryKind::Merge][random.below(3) as usize];
            let internal = InternalKey::new(key, 1 + random.below(1000), kind).0;
            let value: Vec<u8> = (0..random.below(40)).map(|_| random.below(5) as u8).collect();
            entries.push((internal, value));
        }
    }
    entries.sort_by(|a, b| order.compare(&a.0, &b.0));
    entries.dedup_by(|a, b| a.0 == b.0);
    entries
}

pub fn build(entries: &[Entry], options: &TableOptions) -> (Arc<MemoryFile>, TableProperties) {
    let file = MemoryFile::new(Vec::new());
    let mut builder = TableBuilder::new(file.clone(), NUMBER, options.clone(), 10_000);
    for (key, value) in entries {
        builder.add(key, value).unwrap();
    }
    let properties = builder.finish().unwrap();
    (file, properties)
}

pub fn open(file: &Arc<MemoryFile>, options: &TableOptions) -> Result<Arc<Table>> {
    let size = file.len().unwrap();
    Table::open(file.clone(), NUMBER, size, options.clone())
}

pub fn table_of(entries: &[Entry], options: &TableOptions) -> Arc<Table> {
    let (file, properties) = build(entries, options);
    let table = open(&file, options).unwrap();
    assert_eq!(table.properties(), &properties);
    table
}

/// All that `get` shows for `lookup`.
pub fn get_all(table: &Arc<Table>, lookup: &[u8]) -> Result<Vec<Entry>> {
    let mut seen = Vec::new();
    table.get(lookup, READ, &mut |entry: ParsedKey<'_>, value, pin| {
        let mut key = Vec::new();
        append_internal_key(&mut key, entry.user_key, entry.sequence, entry.kind);
        assert_eq!(key[key.len() - 8..], trailer(entry.sequence, entry.kind).to_le_bytes());
        let pin = pin();
        assert_eq!(&pin.buffer[pin.range], value);
        seen.push((key, value.to_vec()));
        true
    })?;
    Ok(seen)
}

pub fn current(iterator: &dyn InternalIterator) -> Option<(&[u8], &[u8])> {
    iterator.valid().then(|| (iterator.key(), iterator.value()))
}

pub fn as_slices(entry: Option<&Entry>) -> Option<(&[u8], &[u8])> {
    entry.map(|(key, value)| (&key[..], &value[..]))
}

/// Keys at and around every user key of `entries`, and far from all.
pub fn targets(entries: &[Entry], random: &mut Random) -> Vec<Vec<u8>> {
    let mut users: Vec<Vec<u8>> = vec![vec![], vec![0], vec![0xff; 30], b"m".to_vec()];
    for (key, _) in entries {
        let user = key[..key.len() - 8].to_vec();
        let mut longer = user.clone();
        longer.push(0);
        users.push(longer);
        for (at, step) in
            [(user.len().wrapping_sub(1), 1), (random.below(1 + user.len() as u64) as usize, 255)]
        {
            let mut changed = user.clone();
            if let Some(byte) = changed.get_mut(at) {
                *byte = byte.wrapping_add(step);
                users.push(changed);
            }
        }
        users.push(user[..random.below(1 + user.len() as u64) as usize].to_vec());
        users.push(user);
    }
    let mut targets: Vec<Vec<u8>> = entries.iter().map(|(key, _)| key.clone()).collect();
    for user in users {
        let sequence = [0, random.below(1000), crate::base::key::MAX_SEQUENCE][random.below(3) as usize];
        targets.push(InternalKey::for_lookup(&user, sequence).0);
    }
    targets
}

/// Sets of keys of different character.
pub fn key_sets(random: &mut Random, count: usize) -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let mut sets: Vec<(&str, Vec<Vec<u8>>)> = Vec::new();
    let mut set = |name: &'static str, make: &mut dyn FnMut(usize) -> Vec<u8>| {
        let mut keys: Vec<Vec<u8>> = (0..count).map(make).collect();
        keys.sort();
        keys.dedup();
        sets.push((name, keys));
    };
    set("decimal", &mut |n| format!("user{n:012}").into_bytes());
    set("decimal of any length", &mut |n| format!("{}", n * 7).into_bytes());
    set("big endian", &mut |n| (n as u64 * 3).to_be_bytes().to_vec());
    set("random binary", &mut |_| random.next().to_be_bytes().repeat(2));
    set("clustered", &mut |_| (random.below(20) << 40 | random.below(300)).to_be_bytes().to_vec());
    set("random length", &mut |_| (0..random.below(12)).map(|_| random.below(256) as u8).collect());
    set("zeros and 0xff", &mut |_| {
        (0..random.below(14)).map(|_| [0, 0, 0xff, 1][random.below(4) as usize]).collect()
    });
    set("long shared prefix", &mut |n| {
        let mut key = b"https://example.org/a/very/long/path/".to_vec();
        key.extend_from_slice(format!("{}/{}", n % 7, random.below(5000)).as_bytes());
        key
    });
    set("codes that tie", &mut |n| {
        let mut key = vec![b'a' + (n % 3) as u8; 25];
        key.extend_from_slice(&(n as u32).to_be_bytes());
        key
    });
    sets
}
