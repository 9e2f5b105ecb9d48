//! A whole tree under random flushes, compactions, snapshots and reopenings, on a simulated machine: every key
//! reads at every snapshot as the complete history says, all the time.

use super::simulation::*;
use super::*;
use crate::base::key::MAX_SEQUENCE;
use crate::env::simulated::ImageKind;
use crate::version::VersionSet;
use std::path::Path;

#[test]
fn every_snapshot_of_a_busy_tree_reads_as_the_history() {
    let mut all = Seen::default();
    for seed in 0..120 {
        let mut world = World::new(seed);
        for _ in 0..40 {
            world.step();
        }
        world.check();
        let mut rounds = 0;
        while world.compact() {
            rounds += 1;
            assert!(rounds < 300, "seed {seed}: compactions do not come to rest");
        }
        world.sweep();
        let seen = &world.seen;
        all.compactions += world.merge.stats.compactions.load(Ordering::Relaxed);
        all.trivial_moves += world.merge.stats.trivial_moves.load(Ordering::Relaxed);
        all.manual += seen.manual;
        all.several_at_once += seen.several_at_once;
        all.from_stale += seen.from_stale;
        all.several_outputs += seen.several_outputs;
        all.clipped_tombstones += seen.clipped_tombstones;
        all.deepest = all.deepest.max(seen.deepest);
    }
    assert!(all.compactions > 500 && all.trivial_moves > 20 && all.manual > 50 && all.deepest > 3, "{all:?}");
    assert!(all.several_at_once > 20 && all.from_stale > 5, "{all:?}");
    assert!(all.several_outputs > 100 && all.clipped_tombstones > 20, "{all:?}");
}

/// Whatever point the machine stops at, the tree opens and holds all that a flush acknowledged, and no half of
/// anything.
#[test]
fn a_crash_leaves_all_that_was_flushed() {
    for seed in 0..12 {
        let mut world = World::new(1000 + seed);
        let start = world.env.journal_len();
        for _ in 0..20 {
            world.step();
        }
        let end = world.env.journal_len();
        let step = (end - start) / 40 + 1;
        for at in (start..=end).step_by(step) {
            for kind in
                [ImageKind::SyncedOnly, ImageKind::Prefix, ImageKind::RandomSectors, ImageKind::DirOpsLost]
            {
                world.check_image(at, kind);
            }
        }
    }
}

impl World {
    fn check_image(&self, at: usize, kind: ImageKind) {
        let place = format!("seed {}, crash before {at}, {kind:?}", self.seed);
        let env = self.env.crash_image(at, kind, at as u64);
        let state =
            VersionSet::read_manifest(&*env, Path::new("/db")).unwrap_or_else(|e| panic!("{place}: {e}"));
        let numbers = Arc::new(AtomicU64::new(state.next_file_number));
        let log = open_log(&env, &numbers);
        let set = VersionSet::open(set_context(&env, &numbers), state, &log, false)
            .unwrap_or_else(|error| panic!("{place}: {error}"));
        let flushed = set.column_families()[0].flushed_sequence;
        let least =
            self.flushed.iter().rev().find(|&&(len, _)| len <= at).map_or(0, |&(_, sequence)| sequence);
        assert!(flushed >= least, "{place}: {flushed}, {least} were acknowledged");
        let mut history = self.history.clone();
        history.entries.retain(|entry| entry.sequence <= flushed);
        history.tombstones.retain(|tombstone| tombstone.sequence <= flushed);
        let version = set.current(0).unwrap();
        for number in 0..KEYS {
            let expected = history.get(&key(number), MAX_SEQUENCE, &|stored| self.values[stored].clone());
            let got = read(&version, &log, &key(number), MAX_SEQUENCE);
            assert_eq!(got, expected, "{place}, key {number}");
        }
    }
}
