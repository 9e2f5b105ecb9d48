//! What lookups cost with and without a learned index. Run with
//! `cargo test --release --lib sst -- --ignored --nocapture`.

use super::support::*;
use crate::base::Result;
use crate::base::{EntryKind, InternalKey};
use crate::sst::block::Block;
use crate::sst::blocks::BlockSource;
use crate::sst::{Table, TableOptions};
use std::hint::black_box;

const ENTRIES: usize = 1_000_000;

/// All blocks in memory, as with a warm cache but without its cost.
struct Resident(Vec<Block>);

impl BlockSource for &Resident {
    fn block(&mut self, _table: &Table, index: usize) -> Result<Block> {
        Ok(self.0[index].clone())
    }
}

#[allow(clippy::disallowed_methods, reason = "measures time")]
fn nanoseconds(count: usize, mut run: impl FnMut()) -> f64 {
    let start = std::time::Instant::now();
    run();
    start.elapsed().as_nanos() as f64 / count as f64
}

fn report(name: &str, keys: &[Vec<u8>], block_size: usize) {
    let entries: Vec<Entry> =
        keys.iter().map(|key| (InternalKey::new(key, 7, EntryKind::Put).0, vec![b'v'; 100])).collect();
    let mut order: Vec<usize> = (0..entries.len()).collect();
    let mut random = Random(77);
    for at in (1..order.len()).rev() {
        order.swap(at, random.below(at as u64 + 1) as usize);
    }
    // In one piece and in the order of use, so that the targets themselves cost nothing.
    let key_len = entries[0].0.len();
    let targets: Vec<u8> = order.iter().flat_map(|&at| entries[at].0.iter().copied()).collect();
    for learned_index in [false, true] {
        let options = TableOptions { block_size, learned_index, ..options() };
        let mut built = None;
        let build_cost = nanoseconds(entries.len(), || built = Some(build(&entries, &options).0));
        let table = open(&built.unwrap(), &options).unwrap();
        let resident =
            Resident((0..table.fence.blocks()).map(|index| table.read_block(index).unwrap()).collect());
        let find = nanoseconds(entries.len(), || {
            for key in targets.chunks_exact(key_len) {
                let target = crate::sst::block::Target::new(key);
                let found = table.find(&target, &mut &resident).unwrap().unwrap();
                assert!(found.block.has_user_key(found.slot, target.user_key, &options.order));
                black_box(found.block.value(found.slot));
            }
        });
        let filter = nanoseconds(entries.len(), || {
            for key in targets.chunks_exact(key_len) {
                assert!(black_box(table.may_contain(&key[..key.len() - 8])));
            }
        });
        let mut iterator = table.iter(READ);
        let next = nanoseconds(entries.len(), || {
            iterator.seek_to_first();
            while iterator.valid() {
                black_box((iterator.key(), iterator.value()));
                iterator.next();
            }
        });
        let properties = table.properties();
        println!(
            "{name:>14}, {block_size:>6} B blocks, model {learned_index:>5}: find {find:6.0} ns, filter {filter:4.0} ns, \
             next {next:4.1} ns, build {build_cost:4.0} ns/entry; fence {} B, model {} B, {} segments, error {}, \
             hits {}, fallbacks {}",
            properties.index_bytes,
            properties.model_bytes,
            properties.model_segments,
            properties.model_error,
            table.model_stats().model_hits,
            table.model_stats().model_fallbacks,
        );
    }
}

#[test]
#[ignore = "measures time"]
fn what_the_model_saves() {
    let mut random = Random(5);
    let decimal: Vec<Vec<u8>> = (0..ENTRIES).map(|n| format!("user{n:012}").into_bytes()).collect();
    let mut sparse: Vec<Vec<u8>> =
        (0..ENTRIES).map(|_| format!("user{:012}", random.below(1_000_000_000_000)).into_bytes()).collect();
    let mut binary: Vec<Vec<u8>> = (0..ENTRIES).map(|_| random.next().to_be_bytes().repeat(2)).collect();
    for keys in [&mut sparse, &mut binary] {
        keys.sort();
        keys.dedup();
    }
    for block_size in [4 << 10, 64 << 10] {
        report("dense decimal", &decimal, block_size);
        report("random decimal", &sparse, block_size);
        report("random binary", &binary, block_size);
    }
}
