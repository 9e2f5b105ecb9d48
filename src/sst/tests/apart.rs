//! Tables whose blocks a second thread writes.

use super::support::{MemoryFile, NUMBER, Random, options};
use crate::base::{Codec, EntryKind, ErrorKind, InternalKey};
use crate::env::default_env;
use crate::sst::{TableBuilder, TableOptions};
use std::sync::Arc;
use std::sync::atomic::Ordering;

const IO_BUFFER: usize = 64 << 10;

/// About 3 MB, so that batches come back and are used again.
fn entries() -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut random = Random(77);
    let entry = |number: u64| {
        let key = InternalKey::new(&number.to_be_bytes(), number + 1, EntryKind::Put).0;
        let half = random.below(100) as usize;
        let mut value: Vec<u8> = (0..half).map(|_| random.next() as u8).collect();
        value.resize(2 * half, 0);
        (key, value)
    };
    (0..30_000).map(entry).collect()
}

fn builder(file: &Arc<MemoryFile>, codec: Codec) -> TableBuilder {
    let options = TableOptions { compression: codec, ..options() };
    let mut builder = TableBuilder::new(file.clone(), NUMBER, options, IO_BUFFER);
    builder.set_apart(default_env());
    builder
}

#[test]
fn the_bytes_are_the_same_with_and_without_the_thread() {
    let entries = entries();
    for codec in [Codec::None, Codec::Lz4] {
        let (apart, here) = (MemoryFile::new(Vec::new()), MemoryFile::new(Vec::new()));
        let options = TableOptions { compression: codec, ..options() };
        let mut one = TableBuilder::new(here.clone(), NUMBER, options, IO_BUFFER);
        let mut other = builder(&apart, codec);
        for (key, value) in &entries {
            one.add(key, value).unwrap();
            other.add(key, value).unwrap();
            let (size, expected) = (other.estimated_size(), one.estimated_size());
            assert!(size + size / 20 >= expected, "{size} of {expected}: what is on its way counts raw");
        }
        let expected = one.finish().unwrap();
        assert_eq!(other.finish().unwrap(), expected);
        assert!(*apart.bytes.lock() == *here.bytes.lock(), "{codec:?}");
        assert_eq!(expected.file_size, here.bytes.lock().len() as u64);
    }
}

#[test]
fn a_write_that_fails_in_the_thread_fails_the_table() {
    let entries = entries();
    for failing_from in [0, 5_000, 20_000, 29_999] {
        let file = MemoryFile::new(Vec::new());
        let mut builder = builder(&file, Codec::Lz4);
        let outcome = entries.iter().enumerate().try_for_each(|(number, (key, value))| {
            if number == failing_from {
                file.fail_writes.store(true, Ordering::Relaxed);
            }
            builder.add(key, value)
        });
        if let Err(error) = &outcome {
            assert_eq!(error.kind(), ErrorKind::Io, "{error}");
            let later = InternalKey::new(&[0xff; 9], 1, EntryKind::Put).0;
            assert_eq!(builder.add(&later, b"").unwrap_err().kind(), ErrorKind::Io);
        }
        file.fail_writes.store(false, Ordering::Relaxed);
        let finished = builder.finish();
        assert!(outcome.is_ok() || finished.is_err(), "failing from {failing_from}");
        if outcome.is_err() {
            assert_eq!(finished.unwrap_err().kind(), ErrorKind::Io);
        }
    }
    let file = MemoryFile::new(Vec::new());
    let mut builder = builder(&file, Codec::Lz4);
    entries.iter().for_each(|(key, value)| builder.add(key, value).unwrap());
    file.fail_writes.store(true, Ordering::Relaxed);
    assert_eq!(builder.finish().unwrap_err().kind(), ErrorKind::Io);
}

#[test]
fn the_thread_has_ended_when_a_builder_is_dropped() {
    let file = MemoryFile::new(Vec::new());
    let mut builder = builder(&file, Codec::Lz4);
    entries().iter().for_each(|(key, value)| builder.add(key, value).unwrap());
    assert!(file.writes.load(Ordering::Relaxed) > 1, "the thread has begun");
    drop(builder);
    assert_eq!(Arc::strong_count(&file), 1);
}
