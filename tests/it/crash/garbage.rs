//! Workloads in which values are relocated and segments removed.

use super::recorder::Recorder;
use super::workloads::{
    Workload, anything, direct, kept_tight, manual, not_mapped, plain, put, tight, workload,
};
use crate::support::Random;
use crate::support::reference::Change;
use auradb::config::Config;
use auradb::env::simulated::ImageKind;

pub const WORKLOADS: [Workload; 21] = [
    workload("garbage collected by itself", tight, |run, _| overwrites(run)),
    workload("garbage collected by classes", tight, |run, _| classes(run)),
    workload("garbage collected by hand", manual, |run, _| collections(run)),
    workload("anything, tight", tight, anything),
    workload("garbage of kept values", kept_tight, |run, _| overwrites(run)),
    workload("garbage of kept values by classes", kept_tight, |run, _| classes(run)),
    workload("garbage under readers", manual, |run, _| under_readers(run)),
    workload("garbage under readers, synced", plain, |run, _| under_readers(run)),
    workload("garbage of deletes", manual, |run, _| of_deletes(run)),
    workload("garbage of deletes, by itself", tight, |run, _| of_deletes(run)),
    workload("garbage over families", manual, |run, _| over_families(run)),
    workload("garbage of dropped families", tight, |run, _| over_families(run)),
    workload("garbage between closes", manual, |run, _| between_closes(run)),
    workload("garbage after a kill", manual, |run, seed| after_crash(run, ImageKind::ProcessCrash, seed)),
    workload("garbage after a power loss", manual, |run, seed| {
        after_crash(run, ImageKind::RandomSectors, seed)
    }),
    workload("garbage while others write", manual, while_others_write),
    workload("garbage while others write, synced", plain, while_others_write),
    workload("garbage while others write, not mapped", not_mapped, while_others_write),
    workload("garbage while others write, tight", tight_and_synced, while_others_write),
    workload("garbage collected by itself, past the page cache", tight_and_direct, |run, _| overwrites(run)),
    workload("garbage while others write, past the page cache", direct, while_others_write),
];

fn tight_and_synced(config: &mut Config) {
    let policy = config.wal.sync_policy;
    tight(config);
    config.wal.sync_policy = policy;
}

fn tight_and_direct(config: &mut Config) {
    tight(config);
    direct(config);
}

fn overwrites(mut run: Recorder) -> Recorder {
    run.create_family("one");
    for index in 0..90 {
        let name = if index % 5 == 0 { "one" } else { "default" };
        run.put_in(name, &format!("k{:02}", (index * 7) % 18), 700, index % 6 == 5);
        if index == 40 {
            run.snapshot();
        }
        if index % 13 == 12 {
            run.delete(&format!("k{:02}", index % 18), false);
        }
        if index % 10 == 9 {
            run.flush(&["default", "one"]);
        }
    }
    run
}

/// Enough segments for classes of values, and keys that are rewritten often, now and then, never.
fn classes(mut run: Recorder) -> Recorder {
    for index in 0..72 {
        run.put(&format!("k{index:02}"), 1000, index == 71);
    }
    run.flush(&["default"]);
    for round in 0..45 {
        run.put(&format!("k{:02}", round % 3), 1000, round % 15 == 14);
        if round % 3 == 2 {
            run.put(&format!("k{:02}", (round * 7) % 60), 900, false);
        }
        if round % 9 == 8 {
            run.flush(&["default"]);
        }
    }
    let segments = run.text("auradb.value-log-segments");
    assert!(segments.contains("hottest") && segments.contains("copies"), "{segments}");
    run
}

fn collections(mut run: Recorder) -> Recorder {
    for round in 0..3 {
        for index in 0..10 {
            run.put(&format!("k{}", (index * 3 + round) % 12), 400, index == 9);
        }
        run.delete_range("k3", "k5", false);
        if round == 1 {
            run.snapshot();
        }
        run.collect_garbage(0.0);
        run.put("k4", 300, false);
    }
    run
}

/// Snapshots, an iterator and pinned values of every age, while what they see is overwritten, moved and removed.
fn under_readers(mut run: Recorder) -> Recorder {
    for round in 0..3 {
        for index in 0..5 {
            run.put(&format!("k{}", (index * 2 + round) % 7), [900, 20, 500][index % 3], index == 4);
        }
        run.snapshot();
        run.hold_iterator("default");
        run.pin(&format!("k{round}"));
        run.delete(&format!("k{}", round + 1), false);
        run.put("k0", 800, false);
        run.flush(&["default"]);
        run.collect_garbage(0.0);
        run.check_readers();
        if round == 1 {
            run.snapshots.remove(0);
            run.collect_garbage(0.0);
        }
    }
    run
}

/// Whole segments go, by deletes and by ranges, and keys come back with other values.
fn of_deletes(mut run: Recorder) -> Recorder {
    for round in 0..3 {
        for index in 0..6 {
            run.put(&format!("k{index}"), 900, index == 3);
        }
        run.flush(&["default"]);
        match round {
            0 => run.delete_range("k1", "k5", true),
            1 => (0..5).for_each(|index| run.delete(&format!("k{index}"), index == 4)),
            _ => run.delete_range("k0", "k9", false),
        }
        run.put("k2", 300, false);
        run.merge("k2", false);
        run.collect_garbage(0.0);
        run.put("k5", 600, round == 1);
    }
    run
}

fn over_families(mut run: Recorder) -> Recorder {
    run.create_family("one");
    run.create_family("two");
    for round in 0..3 {
        for index in 0..4 {
            let key = format!("k{}", (index + round) % 5);
            let changes = ["default", "one"].map(|name| (name, put(&mut run, &key, 700)));
            run.write(&changes, index == 2);
            if round < 2 {
                run.put_in("two", &key, 600, false);
            }
        }
        run.flush(&["one"]);
        if round == 1 {
            run.drop_family("two");
        }
        run.collect_garbage(0.1);
        let delete = Change::Delete { family: 0, key: (*b"k1").into() };
        run.write(&[("one", delete)], round == 1);
    }
    run
}

fn between_closes(mut run: Recorder) -> Recorder {
    for round in 0..3 {
        for index in 0..6 {
            run.put(&format!("k{}", (index + 2 * round) % 8), 600, false);
        }
        if round == 1 {
            run.reopen();
        }
        run.collect_garbage(0.0);
        run.delete("k3", false);
        run.reopen();
    }
    run.put("last", 300, false);
    run
}

/// Recovery finds a half-emptied value log and goes on collecting.
fn after_crash(mut run: Recorder, kind: ImageKind, seed: u64) -> Recorder {
    for index in 0..12 {
        run.put(&format!("k{}", index % 5), 800, index % 5 == 2);
        if index == 7 {
            run.collect_garbage(0.0);
        }
    }
    let mut run = run.crash_and_go_on(kind, seed);
    for index in 0..8 {
        run.put(&format!("k{}", index % 6), 700, index == 5);
        if index % 4 == 3 {
            run.collect_garbage(0.0);
        }
    }
    run.delete("k0", true);
    run.collect_garbage(0.0);
    run
}

/// Puts, deletes, flushes and compactions between the steps of relocations.
fn while_others_write(run: Recorder, seed: u64) -> Recorder {
    let mut run = run.interruptible();
    let mut random = Random::new(seed);
    for round in 0..3 {
        for index in 0..6 {
            run.put(&format!("k{}", (index * 2 + round) % 7), random.pick(&[300, 900, 1300]), index == 5);
        }
        if round == 1 {
            run.snapshot();
        }
        run.collect_interrupted(&mut random);
        run.check_readers();
    }
    run
}
