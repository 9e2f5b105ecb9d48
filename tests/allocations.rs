//! How often a write asks the allocator, from the C call to the memtable: never, beside the node that the skip list
//! makes for each entry.
//!
//! A test binary of its own, because it replaces the allocator. Only the calling thread is counted.

#![allow(clippy::disallowed_methods)] // Tests may touch files directly.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ffi::{CStr, CString, c_char, c_int, c_uchar, c_void};
use std::ptr;

struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // None while the thread ends.
    let _ = COUNT.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: the system's allocator does the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(start, layout) }
    }
    unsafe fn realloc(&self, start: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(start, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

type Handle = *mut c_void;

// The library is linked for these symbols.
use auradb as _;

unsafe extern "C" {
    fn auradb_options_create() -> Handle;
    fn auradb_options_destroy(options: Handle);
    fn auradb_options_set_create_if_missing(options: Handle, yes: c_uchar);
    fn auradb_options_set_merge_operator(options: Handle, operator: Handle);
    fn auradb_options_set_separation_threshold(options: Handle, bytes: u64);
    fn auradb_mergeoperator_create(
        state: Handle,
        destructor: extern "C" fn(Handle),
        full_merge: *const c_void,
        partial_merge: *const c_void,
        delete_value: *const c_void,
        name: extern "C" fn(Handle) -> *const c_char,
    ) -> Handle;
    fn auradb_writeoptions_create() -> Handle;
    fn auradb_writeoptions_destroy(options: Handle);
    fn auradb_open(options: Handle, path: *const c_char, error: *mut *mut c_char) -> Handle;
    fn auradb_close(db: Handle);
    fn auradb_writebatch_create() -> Handle;
    fn auradb_writebatch_destroy(batch: Handle);
    fn auradb_writebatch_clear(batch: Handle);
    fn auradb_writebatch_count(batch: Handle) -> c_int;
    fn auradb_writebatch_put(batch: Handle, key: *const u8, klen: usize, value: *const u8, vlen: usize);
    fn auradb_write(db: Handle, options: Handle, batch: Handle, error: *mut *mut c_char);
    fn auradb_put(
        db: Handle,
        options: Handle,
        key: *const u8,
        klen: usize,
        value: *const u8,
        vlen: usize,
        error: *mut *mut c_char,
    );
    fn auradb_merge(
        db: Handle,
        options: Handle,
        key: *const u8,
        klen: usize,
        value: *const u8,
        vlen: usize,
        error: *mut *mut c_char,
    );
    fn auradb_delete(db: Handle, options: Handle, key: *const u8, klen: usize, error: *mut *mut c_char);
    fn auradb_write_packed(
        db: Handle,
        options: Handle,
        families: *const Handle,
        number: usize,
        data: *const u8,
        len: usize,
        error: *mut *mut c_char,
    );
}

extern "C" fn nothing(_: Handle) {}
extern "C" fn name(_: Handle) -> *const c_char {
    c"test".as_ptr()
}
extern "C" fn never_called() {
    std::process::abort();
}

/// A database in a directory of its own, and the calls measured.
struct Store {
    db: Handle,
    write: Handle,
    dir: std::path::PathBuf,
}

/// What the default memtable, the skip list, allocates for an entry.
const NODES_PER_ENTRY: u64 = 1;

/// Values from here on are separated.
const THRESHOLD: usize = 1024;

impl Store {
    fn open() -> Store {
        let dir = std::env::temp_dir().join(format!("auradb-allocations-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        let path = CString::new(dir.to_str().unwrap()).unwrap();
        let mut error = ptr::null_mut();
        // SAFETY: handles are live, texts terminated, callbacks of the right types.
        unsafe {
            let options = auradb_options_create();
            auradb_options_set_create_if_missing(options, 1);
            auradb_options_set_separation_threshold(options, THRESHOLD as u64);
            let callback = never_called as extern "C" fn() as *const c_void;
            let operator =
                auradb_mergeoperator_create(ptr::null_mut(), nothing, callback, callback, ptr::null(), name);
            auradb_options_set_merge_operator(options, operator);
            let db = auradb_open(options, path.as_ptr(), &mut error);
            check(error);
            auradb_options_destroy(options);
            Store { db, write: auradb_writeoptions_create(), dir }
        }
    }

    fn put(&self, key: &[u8], value: &[u8]) {
        let mut error = ptr::null_mut();
        // SAFETY: handles are live, slices readable.
        unsafe {
            let (db, write) = (self.db, self.write);
            auradb_put(db, write, key.as_ptr(), key.len(), value.as_ptr(), value.len(), &mut error);
        }
        check(error);
    }

    fn merge(&self, key: &[u8], value: &[u8]) {
        let mut error = ptr::null_mut();
        // SAFETY: handles are live, slices readable.
        unsafe {
            let (db, write) = (self.db, self.write);
            auradb_merge(db, write, key.as_ptr(), key.len(), value.as_ptr(), value.len(), &mut error);
        }
        check(error);
    }

    fn delete(&self, key: &[u8]) {
        let mut error = ptr::null_mut();
        // SAFETY: handles are live, the slice is readable.
        unsafe { auradb_delete(self.db, self.write, key.as_ptr(), key.len(), &mut error) };
        check(error);
    }

    fn write(&self, batch: Handle) {
        let mut error = ptr::null_mut();
        // SAFETY: handles are live.
        unsafe { auradb_write(self.db, self.write, batch, &mut error) };
        check(error);
    }

    fn write_packed(&self, data: &[u8]) {
        let mut error = ptr::null_mut();
        // SAFETY: handles are live, the slice is readable.
        unsafe {
            auradb_write_packed(self.db, self.write, ptr::null(), 0, data.as_ptr(), data.len(), &mut error)
        };
        check(error);
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // SAFETY: the handles are live and not used again.
        unsafe {
            auradb_writeoptions_destroy(self.write);
            auradb_close(self.db);
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn check(error: *mut c_char) {
    // SAFETY: a terminated text if it is not NULL.
    assert!(error.is_null(), "{:?}", unsafe { CStr::from_ptr(error) });
}

/// Allocations of `rounds` calls after as many to warm up. Memory that memtables and logs take in large pieces comes
/// once in very many calls: the smallest of a few tries leaves it out.
fn allocations(rounds: u64, mut call: impl FnMut(u64)) -> u64 {
    (0..rounds).for_each(&mut call);
    let tries = (1..=8u64).map(|part| {
        let before = COUNT.get();
        (part * rounds..(part + 1) * rounds).for_each(&mut call);
        COUNT.get() - before
    });
    tries.min().unwrap()
}

fn fill(batch: Handle, entries: u64, round: u64, value: &[u8]) {
    for n in 0..entries {
        let key = (round * entries + n).to_be_bytes();
        // SAFETY: the handle is live, slices readable.
        unsafe { auradb_writebatch_put(batch, key.as_ptr(), key.len(), value.as_ptr(), value.len()) };
    }
}

fn pack(data: &mut Vec<u8>, entries: u64, round: u64, value: &[u8]) {
    data.clear();
    for n in 0..entries {
        let key = (round * entries + n).to_be_bytes();
        for number in [1, key.len() as u32, value.len() as u32] {
            data.extend_from_slice(&number.to_le_bytes());
        }
        data.extend_from_slice(&key);
        data.extend_from_slice(value);
    }
}

#[test]
fn writes_allocate_nothing_per_entry() {
    let store = Store::open();
    let (small, big) = (vec![7; 100], vec![7; 2 * THRESHOLD]);
    let key = |n: u64| n.to_be_bytes();
    let mut table = vec![
        ("put", 100, allocations(100, |n| store.put(&key(n), &small))),
        ("put of a big value", 20, allocations(20, |n| store.put(&key(n), &big))),
        ("delete", 100, allocations(100, |n| store.delete(&key(n)))),
        ("merge", 100, allocations(100, |n| store.merge(&key(1 << 40 | n), &small))),
    ];

    // SAFETY: no arguments.
    let batch = unsafe { auradb_writebatch_create() };
    for (what, entries, value) in [
        ("batch of 1: build and write", 1, &small),
        ("batch of 1000: build and write", 1000, &small),
        ("batch of 100 big values: build and write", 100, &big),
    ] {
        let call = |round| {
            // SAFETY: the handle is live.
            unsafe { auradb_writebatch_clear(batch) };
            fill(batch, entries, round, value);
            // SAFETY: the handle is live.
            assert_eq!(unsafe { auradb_writebatch_count(batch) } as u64, entries);
            store.write(batch);
        };
        let rounds = if entries == 1 { 100 } else { 3 };
        table.push((what, rounds * entries, allocations(rounds, call)));
    }
    // SAFETY: the handle is live and not used again.
    unsafe { auradb_writebatch_destroy(batch) };

    let mut data = Vec::new();
    for (what, entries, value) in
        [("packed 1", 1, &small), ("packed 1000", 1000, &small), ("packed 100 big values", 100, &big)]
    {
        let call = |round| {
            pack(&mut data, entries, round, value);
            store.write_packed(&data);
        };
        let rounds = if entries == 1 { 100 } else { 3 };
        table.push((what, rounds * entries, allocations(rounds, call)));
    }
    for (what, entries, got) in &table {
        println!("{what:45} {entries:6} entries {got:6} allocations");
    }
    for (what, entries, got) in &table {
        let nodes = entries * NODES_PER_ENTRY;
        // A chunk of the memtable's arena now and then.
        assert!(
            (nodes..=nodes + 8 + entries / 50).contains(got),
            "{what}: {got} allocations for {entries} entries"
        );
    }
}
