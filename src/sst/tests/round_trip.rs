//! What was built is what is read: every entry, every neighbour, both directions, under every option.

use super::support::*;
use crate::base::{Codec, InternalComparator};
use crate::sst::{Table, TableOptions, TableRead};
use std::sync::Arc;

/// Compares a table with the sorted entries it was made of.
fn check(table: &Arc<Table>, entries: &[Entry], options: &TableOptions, random: &mut Random, what: &str) {
    let order = &options.order;
    for read_ahead in [0, 1 << 14] {
        let mut iterator = table.iter(TableRead { read_ahead, ..READ });
        assert!(!iterator.valid());
        iterator.seek_to_first();
        for entry in entries {
            assert_eq!(current(&*iterator), as_slices(Some(entry)), "{what}: forward");
            iterator.next();
        }
        assert!(!iterator.valid() && iterator.error().is_none(), "{what}: {:?}", iterator.error());
        iterator.seek_to_last();
        for entry in entries.iter().rev() {
            assert_eq!(current(&*iterator), as_slices(Some(entry)), "{what}: backward");
            iterator.prev();
        }
        assert!(!iterator.valid() && iterator.error().is_none());
    }
    let mut iterator = table.iter(READ);
    for target in targets(entries, random) {
        let at = entries.partition_point(|(key, _)| order.compare(key, &target).is_lt());
        iterator.seek(&target);
        assert_eq!(current(&*iterator), as_slices(entries.get(at)), "{what}: seek {target:?}");
        if iterator.valid() && random.below(3) == 0 {
            iterator.next();
            assert_eq!(current(&*iterator), as_slices(entries.get(at + 1)), "{what}: after {target:?}");
        }
        let after = entries.partition_point(|(key, _)| order.compare(key, &target).is_le());
        iterator.seek_for_prev(&target);
        let last = after.checked_sub(1);
        assert_eq!(
            current(&*iterator),
            as_slices(last.map(|at| &entries[at])),
            "{what}: for prev {target:?}"
        );
        if iterator.valid() && random.below(3) == 0 {
            iterator.prev();
            let before = last.and_then(|at| at.checked_sub(1));
            assert_eq!(
                current(&*iterator),
                as_slices(before.map(|at| &entries[at])),
                "{what}: before {target:?}"
            );
        }
        assert!(iterator.error().is_none());
        let user = &target[..target.len() - 8];
        let versions: Vec<Entry> = entries[at..]
            .iter()
            .take_while(|(key, _)| order.compare_user(&key[..key.len() - 8], user).is_eq())
            .cloned()
            .collect();
        assert_eq!(get_all(table, &target).unwrap(), versions, "{what}: get {target:?}");
    }
    table.verify().unwrap();
}

#[test]
fn every_set_of_keys_reads_back() {
    let mut random = Random(1);
    let mut models = 0;
    for (name, keys) in key_sets(&mut random, 1500) {
        for (versions, block_size) in [(1, 4096), (4, 300), (1, 1)] {
            let keys = if block_size == 1 { &keys[..keys.len().min(400)] } else { &keys };
            for learned_index in [true, false] {
                let options = TableOptions { block_size, learned_index, ..options() };
                let entries = entries_of(keys, versions, &mut random, &options.order);
                let table = table_of(&entries, &options);
                let what =
                    format!("{name}, {versions} versions, {block_size} byte blocks, model {learned_index}");
                check(&table, &entries, &options, &mut random, &what);
                let modelled = table.properties().model_bytes > 0;
                assert_eq!(
                    table.model_stats() != Default::default(),
                    modelled,
                    "{what}: used exactly if built"
                );
                models += usize::from(modelled);
            }
        }
    }
    assert!(models >= 12, "{models} tables have a model");
}

#[test]
fn every_codec_reads_back() {
    let mut random = Random(2);
    for compression in [Codec::None, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        for block_size in [512, 64 << 10] {
            let options = TableOptions { compression, block_size, ..options() };
            let (_, keys) = key_sets(&mut random, 3000).swap_remove(7);
            let entries = entries_of(&keys, 2, &mut random, &options.order);
            let table = table_of(&entries, &options);
            check(&table, &entries, &options, &mut random, &format!("{compression:?} {block_size}"));
            let raw = table.properties().raw_key_bytes + table.properties().raw_value_bytes;
            if compression != Codec::None && block_size > 512 {
                assert!(table.properties().data_bytes < raw / 2, "{compression:?} compresses");
            }
        }
    }
}

#[test]
fn a_comparator_of_the_users_reads_back() {
    let mut random = Random(3);
    let order = InternalComparator::new(Arc::new(Reverse));
    for (name, keys) in key_sets(&mut random, 600) {
        for block_size in [200, 4096] {
            let options = TableOptions { order: order.clone(), block_size, ..options() };
            let entries = entries_of(&keys, 3, &mut random, &order);
            let table = table_of(&entries, &options);
            assert_eq!(table.properties().model_bytes, 0);
            check(&table, &entries, &options, &mut random, name);
        }
    }
}

#[test]
fn long_runs_of_versions_span_blocks() {
    let mut random = Random(4);
    let keys: Vec<Vec<u8>> = (0..300u32).map(|n| format!("k{n:05}").into_bytes()).collect();
    for block_size in [64, 1000] {
        let options = TableOptions { block_size, ..options() };
        let mut entries = entries_of(&keys, 2, &mut random, &options.order);
        entries.extend(entries_of(&keys[100..103], 700, &mut random, &options.order));
        entries.extend(entries_of(&vec![keys[200].clone(); 300], 2, &mut random, &options.order));
        entries.sort_by(|a, b| options.order.compare(&a.0, &b.0));
        entries.dedup_by(|a, b| a.0 == b.0);
        let table = table_of(&entries, &options);
        check(&table, &entries, &options, &mut random, "runs of versions");
    }
}

#[test]
fn large_entries_read_back() {
    let mut random = Random(5);
    for compression in [Codec::None, Codec::Lz4] {
        let options = TableOptions { compression, ..options() };
        let mut entries =
            entries_of(&[vec![b'a'; 3], vec![b'b'; 70_000], vec![b'c']], 1, &mut random, &options.order);
        entries[0].1 = vec![7; 300_000];
        entries[2].1 = (0..100_000).map(|_| random.below(256) as u8).collect();
        let table = table_of(&entries, &options);
        check(&table, &entries, &options, &mut random, "large");
    }
}

#[test]
fn an_empty_table_reads_back() {
    let table = table_of(&[], &options());
    check(&table, &[], &options(), &mut Random(6), "empty");
    assert_eq!(table.properties().smallest, b"");
    assert_eq!(table.properties().entries, 0);
    assert_eq!(table.approximate_offset(b"anything"), 0);
}
