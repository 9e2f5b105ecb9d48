//! Tables written and read past the page cache are the same tables.

use super::support::*;
use crate::base::Codec;
use crate::cache::{Cache, EvictionPolicy};
use crate::env::faulty::{FaultyEnv, OperationClass, Selection};
use crate::env::simulated::SimEnv;
use crate::env::{Env, OpenMode};
use crate::sst::{Table, TableBuilder, TableOptions, TableRead};
use std::path::Path;
use std::sync::Arc;

fn build_in(env: &dyn Env, mode: OpenMode, entries: &[Entry], options: &TableOptions) -> Vec<u8> {
    let path = Path::new("/a");
    let file = env.open(path, mode).unwrap();
    let mut builder = TableBuilder::new(file.clone(), NUMBER, options.clone(), 10_000);
    for (key, value) in entries {
        builder.add(key, value).unwrap();
    }
    assert_eq!(builder.finish().unwrap().file_size, file.len().unwrap());
    crate::env::read_file(env, path, 1 << 30).unwrap()
}

fn open_direct(env: &dyn Env, options: &TableOptions) -> Arc<Table> {
    let file = env.open(Path::new("/a"), OpenMode::ReadDirect).unwrap();
    let size = file.len().unwrap();
    Table::open(file, NUMBER, size, options.clone()).unwrap()
}

#[test]
fn the_bytes_and_the_answers_are_the_same() {
    let mut random = Random(9);
    for alignment in [512, 4096, 16384] {
        let env = SimEnv::new(1);
        env.set_direct_alignment(alignment);
        for (name, keys) in key_sets(&mut random, 900) {
            let cache = (random.below(2) == 0).then(|| Cache::new(20_000, EvictionPolicy::Lru, 0));
            let compression = [Codec::None, Codec::Lz4][random.below(2) as usize];
            let block_size = [100, 4096][random.below(2) as usize];
            let options = TableOptions { cache, compression, block_size, ..options() };
            let entries = entries_of(&keys, 3, &mut random, &options.order);
            let plain = build_in(&*env, OpenMode::Create, &entries, &options);
            assert!(plain == build_in(&*env, OpenMode::CreateDirect, &entries, &options), "{name}");
            let table = open_direct(&*env, &options);
            for read_ahead in [0, 1 << 14] {
                let mut iterator = table.iter(TableRead { read_ahead, ..READ });
                for _ in 0..2 {
                    iterator.seek_to_first();
                    for entry in &entries {
                        assert_eq!(current(&*iterator), as_slices(Some(entry)), "{name}: forward");
                        iterator.next();
                    }
                    assert!(!iterator.valid() && iterator.error().is_none(), "{:?}", iterator.error());
                    iterator.seek_to_last();
                    for entry in entries.iter().rev() {
                        assert_eq!(current(&*iterator), as_slices(Some(entry)), "{name}: backward");
                        iterator.prev();
                    }
                    assert!(!iterator.valid() && iterator.error().is_none(), "{:?}", iterator.error());
                }
            }
            for (key, value) in &entries {
                let found = get_all(&table, key).unwrap();
                assert_eq!(found[0], (key.clone(), value.clone()), "{name}");
            }
            table.verify().unwrap();
        }
    }
}

#[test]
fn a_scan_past_the_page_cache_reads_many_blocks_with_one_call() {
    let env = FaultyEnv::new(SimEnv::new(1));
    let keys: Vec<Vec<u8>> = (0..20_000u64).map(|n| format!("key{n:08}").into_bytes()).collect();
    let options = options();
    let entries = entries_of(&keys, 1, &mut Random(1), &options.order);
    build_in(&*env, OpenMode::CreateDirect, &entries, &options);
    let table = open_direct(&*env, &options);
    let blocks = table.properties().data_blocks;
    let mut iterator = table.iter(READ);
    env.plan().count(Selection::of(&[OperationClass::Read]));
    iterator.seek_to_first();
    let mut count = 0;
    while iterator.valid() {
        count += 1;
        iterator.next();
    }
    assert_eq!(count, entries.len());
    let reads = env.plan().seen();
    assert!(blocks > 100 && reads < blocks / 8, "{reads} reads of {blocks} blocks");
}
