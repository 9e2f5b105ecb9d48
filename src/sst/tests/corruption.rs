//! Damage is an error or does not matter; it is never a wrong answer and never a panic.

use super::support::*;
use crate::base::range_tombstone::RangeTombstone;
use crate::base::{Codec, EntryKind, InternalKey, Result};
use crate::env::File;
use crate::sst::block::{Block, BlockBuilder, Target};
use crate::sst::{Table, TableBuilder, TableOptions};
use std::sync::Arc;

fn small_table(compression: Codec) -> (Vec<u8>, Vec<Entry>, TableOptions) {
    let options = TableOptions { compression, block_size: 700, ..options() };
    let keys: Vec<Vec<u8>> = (0..300u32).map(|n| format!("key{:05}", n * n).into_bytes()).collect();
    let mut entries = entries_of(&keys, 1, &mut Random(9), &options.order);
    entries.iter_mut().for_each(|(_, value)| value.resize(3, 1));
    let file = MemoryFile::new(Vec::new());
    let mut builder = TableBuilder::new(file.clone(), NUMBER, options.clone(), 1 << 20);
    for (key, value) in &entries {
        builder.add(key, value).unwrap();
    }
    builder.add_range_tombstone(&RangeTombstone { start: vec![1], end: vec![2], sequence: 3 }).unwrap();
    assert!(builder.finish().unwrap().model_bytes > 0);
    let bytes = file.bytes.lock().clone();
    (bytes, entries, options)
}

/// Reads everything; anything but an error must be right.
fn read_all(table: &Arc<Table>, entries: &[Entry]) -> Result<()> {
    let mut iterator = table.iter(READ);
    iterator.seek_to_first();
    let mut expected = entries.iter();
    while iterator.valid() {
        assert_eq!(current(&*iterator), as_slices(expected.next()));
        iterator.next();
    }
    if let Some(error) = iterator.error() {
        return Err(error.clone());
    }
    assert_eq!(expected.next(), None, "the end came early and without an error");
    assert_eq!(table.range_tombstones().len(), 1);
    for entry in entries.iter().step_by(29) {
        assert_eq!(get_all(table, &entry.0)?, std::slice::from_ref(entry));
    }
    table.verify()
}

#[test]
fn every_flipped_bit_is_noticed() {
    for compression in [Codec::None, Codec::Lz4, Codec::Zstd] {
        let (bytes, entries, options) = small_table(compression);
        read_all(&open(&MemoryFile::new(bytes.clone()), &options).unwrap(), &entries).unwrap();
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1 << (at % 8);
            let outcome = open(&MemoryFile::new(bad), &options).and_then(|table| read_all(&table, &entries));
            let error = outcome.expect_err("every byte is under a checksum");
            assert!(error.is_corruption(), "byte {at}: {error}");
            assert!(error.file().is_some() && error.offset().is_some(), "byte {at}: {error}");
        }
    }
}

#[test]
fn a_file_of_another_length_is_refused() {
    let (bytes, _, options) = small_table(Codec::Lz4);
    for len in (0..bytes.len()).step_by(13) {
        let file = MemoryFile::new(bytes[..len].to_vec());
        assert!(open(&file, &options).err().unwrap().is_corruption(), "cut to {len}");
        let manifest_says = Table::open(file, NUMBER, bytes.len() as u64, options.clone());
        assert!(manifest_says.err().unwrap().is_corruption(), "cut to {len}");
    }
    let mut longer = bytes.clone();
    longer.push(0);
    let file = MemoryFile::new(longer);
    assert!(open(&file, &options).err().unwrap().is_corruption());
    assert!(Table::open(file, NUMBER, bytes.len() as u64, options).err().unwrap().is_corruption());
}

#[test]
fn a_swapped_file_or_block_is_refused() {
    let (bytes, entries, options) = small_table(Codec::None);
    let file = MemoryFile::new(bytes.clone());
    let error = Table::open(file.clone(), NUMBER + 1, file.len().unwrap(), options.clone()).err().unwrap();
    assert!(error.is_corruption() && error.message().contains("is table 42, expected 43"), "{error}");
    // Two blocks of one length, each with its own valid trailer, in each other's place.
    let table = open(&file, &options).unwrap();
    let handles: Vec<_> = (0..table.fence.blocks()).map(|index| table.fence.handle(index)).collect();
    let mut swapped = 0;
    for (at, first) in handles.iter().enumerate() {
        for second in handles[at + 1..].iter().filter(|second| second.stored_len == first.stored_len) {
            let mut bad = bytes.clone();
            let len = first.stored_len as usize + 5;
            bad[first.offset as usize..][..len].copy_from_slice(&bytes[second.offset as usize..][..len]);
            bad[second.offset as usize..][..len].copy_from_slice(&bytes[first.offset as usize..][..len]);
            let table = open(&MemoryFile::new(bad), &options).unwrap();
            assert!(read_all(&table, &entries).unwrap_err().is_corruption());
            swapped += 1;
        }
    }
    assert!(swapped > 0, "no two blocks are equally long");
}

/// Without a checksum to hide behind, block parsing must stand on its own.
#[test]
fn damaged_blocks_never_panic() {
    let mut random = Random(11);
    let order = options().order;
    for uniform in [true, false] {
        let mut builder = BlockBuilder::new(true);
        for n in 0..40u32 {
            let key = InternalKey::new(format!("prefix{n:03}").as_bytes(), 9, EntryKind::Put);
            builder.add(key.as_bytes(), &vec![3; if uniform { 4 } else { n as usize }]);
        }
        let mut contents = Vec::new();
        builder.finish(&mut contents);
        for round in 0..30_000 {
            let mut bad = contents.clone();
            match round % 3 {
                0 => bad.truncate(random.below(bad.len() as u64) as usize),
                1 => bad.extend_from_slice(&random.next().to_le_bytes()),
                _ => {}
            }
            for _ in 0..random.below(4) {
                let within = [40, bad.len().max(1) as u64][random.below(2) as usize];
                let at = random.below(within);
                if let Some(byte) = bad.get_mut(at as usize) {
                    *byte = random.next() as u8;
                }
            }
            if let Some(block) = Block::check(Arc::new(bad.into())) {
                let mut key = Vec::new();
                for slot in 0..block.count() {
                    block.copy_key(slot, &mut key);
                    assert!(key.len() >= 8);
                    let _ = block.value(slot);
                }
                let target = InternalKey::for_lookup(b"prefix020", 5);
                let hint = Some(random.below(50) as usize);
                assert!(block.lower_bound(&Target::new(target.as_bytes()), &order, hint) <= block.count());
            }
        }
    }
}
