//! Small workloads, each about one thing that a crash can come between.

use super::recorder::{Recorder, Recording};
use crate::support::Random;
use crate::support::reference::Change;
use crate::support::settings::{NONE, WRITE_PATHS, WritePath, tiny};
use auradb::config::{Config, SyncPolicy};
use auradb::db::Options;
use auradb::env::simulated::{ImageKind, SimEnv};

pub struct Workload {
    pub name: &'static str,
    knobs: fn(&mut Config),
    options: fn(&mut Options, &SimEnv),
    script: fn(Recorder, u64) -> Recorder,
    path: Option<WritePath>,
}

impl Workload {
    pub fn record(&self, seed: u64) -> Recording {
        let mut config = tiny();
        (self.knobs)(&mut config);
        self.path.iter().for_each(|path| path.choose(&mut config));
        let recorder = Recorder::start(seed, &config, self.options);
        (self.script)(recorder, seed).finish(self.name)
    }
}

pub const fn workload(
    name: &'static str,
    knobs: fn(&mut Config),
    script: fn(Recorder, u64) -> Recorder,
) -> Workload {
    Workload { name, knobs, options: |_, _| {}, script, path: None }
}

/// All of `WORKLOADS`, and the families together over each write path.
pub fn workloads() -> Vec<Workload> {
    let paths = WRITE_PATHS.map(|path| Workload {
        name: path.name,
        knobs: manual,
        options: |options, _| options.atomic_flush = true,
        script: several_at_once,
        path: Some(path),
    });
    WORKLOADS.into_iter().chain(paths).collect()
}

pub fn plain(_: &mut Config) {}

pub fn manual(config: &mut Config) {
    config.wal.sync_policy = SyncPolicy::Manual;
}

fn manual_by_leader(config: &mut Config) {
    manual(config);
    config.wal.async_writes = false;
}

pub const WORKLOADS: [Workload; 63] = [
    workload("first create", plain, |mut run, _| {
        run.put("a", 10, false);
        run
    }),
    workload("synced puts", plain, |run, _| puts(run, 16, 10)),
    workload(
        "synced puts by the leader",
        |config| config.wal.async_writes = false,
        |run, _| puts(run, 16, 40),
    ),
    workload("some synced", manual, |run, _| some_synced(run, 12)),
    workload("some synced by the leader", manual_by_leader, |run, _| some_synced(run, 40)),
    workload("big values", manual, |run, _| some_synced(run, 1500)),
    workload("values larger than segments", manual, |run, _| some_synced(run, 5000)),
    workload("all separated, four queues", all_separated, |run, _| some_synced(run, 60)),
    workload(
        "none separated",
        |config| config.value_log.separation_threshold = NONE,
        |run, _| puts(run, 12, 300),
    ),
    workload("batches over families", manual, |run, _| batches(run)),
    workload("batches of big values", manual, |run, _| big_batches(run)),
    workload("batches of big values, synced", plain, |run, _| big_batches(run)),
    workload("flush of a part of a batch", manual, |run, _| flush_of_part(run)),
    workload("flushes", manual, |run, _| flushes(run)),
    workload("flushes with synced writes", plain, |run, _| flushes(run)),
    workload("flush of one family among three", manual, |run, _| flush_of_one(run)),
    workload("compactions", manual, |run, _| compactions(run)),
    workload("deletes", manual, |run, _| deletes(run)),
    workload("families", manual, |run, _| families(run)),
    workload("families with synced writes", plain, |run, _| families(run)),
    workload("log rotation", small_logs, |run, _| some_synced_many(run, 60, 300)),
    workload("log rotation, little of it synced", small_logs, |run, _| rotations(run)),
    workload(
        "log rotation, not mapped",
        |config| {
            small_logs(config);
            config.performance.memory_mapped = false;
        },
        |run, _| rotations(run),
    ),
    workload(
        "log rotation with synced writes",
        |config| {
            small_logs(config);
            config.wal.sync_policy = SyncPolicy::EveryWrite;
        },
        |run, _| rotations(run),
    ),
    workload("recycled logs", recycling, |run, _| recycled(run, &[24; 7])),
    workload("recycled logs, more and less in them", recycling, |run, _| {
        recycled(run, &[40, 12, 20, 30, 9, 36, 5])
    }),
    workload(
        "recycled logs with synced writes",
        |config| {
            recycling(config);
            config.wal.sync_policy = SyncPolicy::EveryWrite;
        },
        |run, _| recycled(run, &[24; 6]),
    ),
    workload("recycled logs of families", recycling, |mut run, _| {
        run.create_family("one");
        recycled(run, &[24; 6])
    }),
    workload("segment roll-over", small_logs, |run, _| some_synced_many(run, 20, 900)),
    workload("close and reopen", manual, |run, _| reopens(run)),
    workload("power loss, then on", manual, |run, seed| crash_then_on(run, ImageKind::RandomSectors, seed)),
    workload("garbage, then on", manual, |run, seed| crash_then_on(run, ImageKind::GarbageTails, seed)),
    workload("kill, then on", manual, |run, seed| crash_then_on(run, ImageKind::ProcessCrash, seed)),
    workload(
        "every third write",
        |config| config.wal.sync_policy = SyncPolicy::EveryNWrites(3),
        |run, _| puts(run, 16, 40),
    ),
    workload(
        "every millisecond",
        |config| config.wal.sync_policy = SyncPolicy::EveryNMs(1),
        |run, _| pauses(run),
    ),
    workload("log synced by hand", manual, |run, _| synced_by_hand(run)),
    workload("merges", manual, |run, _| merges(run)),
    workload("unlogged among logged", plain, |run, _| unlogged(run)),
    workload("threshold", manual, |run, _| thresholds(run)),
    workload("threshold, tight", tight, |run, _| thresholds(run)),
    workload("TTL", manual, |run, _| expiries(run)),
    workload("TTL, tight", tight, |run, _| expiries(run)),
    workload("TTL with synced writes", plain, |run, _| expiries(run)),
    workload("snapshots", manual, |run, _| snapshots(run)),
    workload("kept values", kept, |run, _| flushes(run)),
    workload("kept values of a few synced writes", kept_by_some, |run, _| kept_and_flushed(run)),
    workload("kept values in batches", kept, |run, _| big_batches(run)),
    workload("kept values, tight", kept_tight, |run, _| compactions(run)),
    workload("kept values while the threshold moves", kept, |run, _| thresholds(run)),
    workload("kept values that expire", kept, |run, _| expiries(run)),
    workload("kept values of anything", kept_by_some, anything),
    workload(
        "kept values, past the page cache",
        |config| {
            direct(config);
            kept(config);
        },
        |run, _| flushes(run),
    ),
    workload("not mapped", not_mapped, |run, _| some_synced(run, 200)),
    Workload {
        name: "mapping refused",
        knobs: manual,
        options: |_, env| env.refuse_mapping(true),
        script: |run, _| some_synced_many(run, 30, 300),
        path: None,
    },
    Workload {
        name: "flushed together",
        knobs: manual,
        options: |options, _| options.atomic_flush = true,
        script: |run, _| flush_of_one(run),
        path: None,
    },
    workload("anything", manual, anything),
    workload("anything, synced", plain, anything),
    workload("anything, all separated", all_separated, anything),
    workload("anything in small logs", small_logs, anything),
    workload("anything, not mapped", not_mapped, anything),
    workload("anything, past the page cache", direct, anything),
    workload("compactions past the page cache", direct, |run, _| compactions(run)),
    workload("threshold, past the page cache", direct, |run, _| thresholds(run)),
];

fn all_separated(config: &mut Config) {
    manual(config);
    config.value_log.separation_threshold = 0;
    config.value_log.write_queues = 4;
}

/// Every value is separated, segments are small, and next to no garbage is allowed.
pub fn tight(config: &mut Config) {
    manual(config);
    config.value_log.separation_threshold = 0;
    config.value_log.max_segment_size = 4 << 10;
    config.value_log.max_space_amp = 1.05;
    config.value_log.write_queues = 1;
}

/// Every write is synced and keeps its values, unless they fill a log file.
fn kept(config: &mut Config) {
    config.wal.sync_policy = SyncPolicy::EveryWrite;
    config.value_log.synced_separation_threshold = 1 << 20;
}

/// So do those that ask for a sync, if they have not many bytes.
fn kept_by_some(config: &mut Config) {
    manual(config);
    config.value_log.synced_separation_threshold = 1000;
}

pub fn kept_tight(config: &mut Config) {
    tight(config);
    kept(config);
}

fn small_logs(config: &mut Config) {
    manual(config);
    config.wal.max_file_size = 4 << 10;
    config.memtable.max_size = 64 << 10;
}

/// Logs of 16 writes of `recycled`.
fn recycling(config: &mut Config) {
    small_logs(config);
    config.value_log.separation_threshold = NONE;
    config.wal.recycled_files = 2;
}

pub fn not_mapped(config: &mut Config) {
    manual(config);
    config.performance.memory_mapped = false;
}

/// What can go past the page cache does; segments are long enough for whole pages of copies.
pub fn direct(config: &mut Config) {
    manual(config);
    config.performance.direct_io = true;
    config.value_log.max_segment_size = 32 << 10;
}

fn puts(mut run: Recorder, count: usize, len: usize) -> Recorder {
    for index in 0..count {
        run.put(&format!("k{}", index % 5), len, false);
    }
    run
}

fn some_synced(run: Recorder, len: usize) -> Recorder {
    some_synced_many(run, 14, len)
}

fn some_synced_many(mut run: Recorder, count: usize, len: usize) -> Recorder {
    for index in 0..count {
        run.put(&format!("k{}", index % 7), if index % 3 == 0 { 8 } else { len }, index % 4 == 2);
    }
    run
}

/// Logs of which some are taken into use and left without a sync, one is too small for a batch, and one is left when
/// a flush has retired those before it.
fn rotations(mut run: Recorder) -> Recorder {
    for index in 0..40 {
        run.put(&format!("k{}", index % 9), if index % 2 == 0 { 23 } else { 20 }, index % 17 == 16);
        if index == 20 {
            let changes: Vec<_> =
                (0..200).map(|key| ("default", put(&mut run, &format!("large{}", key % 40), 22))).collect();
            run.write(&changes, false);
        }
        for other in 0..6 {
            run.put(&format!("o{other}"), 22, false);
        }
        if index == 30 {
            run.flush(&["default"]);
        }
    }
    run
}

/// Logs in files that held others before, whose frames stand at the same places; some writes are synced in neither.
fn recycled(mut run: Recorder, rounds: &[usize]) -> Recorder {
    let names = run.names();
    for (round, writes) in rounds.iter().enumerate() {
        for index in 0..*writes {
            let name = &names[index % names.len()];
            run.put_in(name, &format!("k{}", (index + round) % 9), 200, index % 11 == round);
        }
        run.flush(&[names[round % names.len()].as_str()]);
    }
    run.put("last", 200, false);
    run
}

pub fn put(run: &mut Recorder, key: &str, len: usize) -> Change {
    Change::Put { family: 0, key: key.as_bytes().into(), value: run.value(len).into() }
}

fn batches(mut run: Recorder) -> Recorder {
    run.create_family("one");
    run.create_family("two");
    for index in 0..10 {
        let len = if index % 2 == 0 { 10 } else { 700 };
        let key = format!("k{}", index % 3);
        let changes = [
            ("default", put(&mut run, &key, len)),
            ("one", put(&mut run, &key, 2 * len)),
            ("two", put(&mut run, &key, 30)),
            ("one", Change::Delete { family: 0, key: format!("k{}", (index + 1) % 3).into_bytes().into() }),
        ];
        run.write(&changes, index % 4 == 3);
        if index == 6 {
            run.flush(&["one"]);
        }
    }
    run
}

/// Batches whose values are written together, over the ends of segments, between records that have none.
fn big_batches(mut run: Recorder) -> Recorder {
    run.create_family("one");
    for (index, len) in [90, 700, 30, 1500, 300, 5000].into_iter().enumerate() {
        let mut changes = Vec::new();
        for at in 0..9 {
            let key = format!("k{}", (index + 2 * at) % 13);
            let name = if at % 4 == 3 { "one" } else { "default" };
            let len = if at % 5 == 2 { 10 } else { len + at };
            changes.push((name, put(&mut run, &key, len)));
        }
        changes.push(("default", Change::Delete { family: 0, key: format!("k{index}").into_bytes().into() }));
        run.write(&changes, index % 3 == 2);
        run.put("single", 600, false);
        if index == 3 {
            run.flush(&["default"]);
        }
    }
    run
}

fn flushes(mut run: Recorder) -> Recorder {
    for round in 0..4 {
        for index in 0..6 {
            run.put(&format!("k{}", (index + round) % 8), 10 + 100 * index, false);
        }
        run.flush(&["default"]);
    }
    run.put("last", 100, false);
    run
}

/// Values of one memtable in the log and in the value log, over each other.
fn kept_and_flushed(mut run: Recorder) -> Recorder {
    for round in 0..4 {
        for index in 0..9 {
            run.put(&format!("k{}", (index + round) % 5), [30, 300, 1200][index % 3], index % 4 != 1);
        }
        if round == 1 {
            run.snapshot();
        }
        run.merge("k1", true);
        run.flush(&["default"]);
        run.put("k2", 400, round % 2 == 0);
    }
    run
}

fn flush_of_one(mut run: Recorder) -> Recorder {
    run.create_family("one");
    run.create_family("two");
    for round in 0..4 {
        for name in ["default", "one", "two"] {
            run.put_in(name, &format!("k{round}"), 100, false);
            run.put_in(name, "same", 10, false);
        }
        let name = ["one", "two", "default", "one"][round];
        run.flush(&[name]);
    }
    run.put_in("two", "last", 10, false);
    run
}

/// Memtables of three families, with something of every kind in them, and then a flush of all at once.
fn several_at_once(mut run: Recorder, seed: u64) -> Recorder {
    let names = ["default", "one", "two"];
    run.create_family("one");
    run.create_family("two");
    let mut random = Random::new(seed);
    for round in 0..3 {
        for _ in 0..10 {
            let key = format!("k{}", random.below(6));
            let sync = random.one_in(6);
            match random.below(6) {
                0 => run.delete(&key, sync),
                1 => run.merge(&key, sync),
                2 => run.delete_range(&key, "k9", sync),
                3 => {
                    let changes = names.map(|name| (name, put(&mut run, &key, 50)));
                    run.write(&changes, sync);
                }
                _ => run.put_in(random.pick(&names), &key, random.pick(&[4, 40, 400]), sync),
            }
        }
        run.flush(if round == 1 { &["one"] } else { &names });
    }
    run.put("last", 10, false);
    run
}

/// Nothing older is in memory than the batch of which one family's part goes to a table.
fn flush_of_part(mut run: Recorder) -> Recorder {
    run.create_family("one");
    for (index, name) in ["default", "one", "default"].into_iter().enumerate() {
        let key = format!("k{index}");
        let changes = ["default", "one"].map(|name| (name, put(&mut run, &key, 100)));
        run.write(&changes, false);
        run.flush(&[name]);
        run.flush(&["default", "one"]);
    }
    run
}

fn compactions(mut run: Recorder) -> Recorder {
    for round in 0..3 {
        for index in 0..12 {
            run.put(&format!("k{:02}", (index * 5 + round) % 16), 150, index == 11);
        }
        run.flush(&["default"]);
    }
    run.compact("default");
    for index in 0..4 {
        run.put(&format!("k{index:02}"), 20, false);
    }
    run.compact("default");
    run.put("last", 300, false);
    run
}

/// Compactions that move values into the value log and out of it again.
fn thresholds(mut run: Recorder) -> Recorder {
    for (round, least) in [Some(700), Some(0), None, Some(200), Some(700)].into_iter().enumerate() {
        run.separate_from("default", least);
        for index in 0..6 {
            run.put(&format!("k{}", (5 * round + index) % 12), [30, 300, 1200][index % 3], index == 3);
        }
        run.flush(&["default"]);
        if round == 2 {
            run.snapshot();
        }
        run.put("k1", 300, false);
        run.compact("default");
        run.put("k2", 800, false);
    }
    run
}

/// Entries that expire while the workload runs, that expire later and that never do, over each other.
fn expiries(mut run: Recorder) -> Recorder {
    for round in 0..4 {
        for index in 0..6 {
            let (key, len) = (format!("k{}", (3 * round + index) % 9), [20, 400, 1500][index % 3]);
            let change = match index % 4 {
                0 => run.expiring(&key, len, 150),
                1 => run.expiring(&key, len, 750),
                2 => run.expiring(&key, len, 10_050),
                _ => put(&mut run, &key, len),
            };
            run.write(&[("default", change)], index == 4);
        }
        let both = [run.expiring("k1", 30, 150), run.expiring("k2", 900, 10_050)];
        run.write(&both.map(|change| ("default", change)), false);
        run.merge("k3", false);
        run.delete("k4", false);
        match round {
            0 => run.flush(&["default"]),
            1 => run.compact("default"),
            2 => run.snapshot(),
            _ => run.collect_garbage(0.0),
        }
        // Seconds later than that nobody looks, and all images are younger or 1000 older.
        run.sleep(100_000);
    }
    run.put("last", 10, false);
    run.flush(&["default"]);
    run.put("k5", 10, false);
    run
}

fn deletes(mut run: Recorder) -> Recorder {
    for index in 0..10 {
        run.put(&format!("k{index}"), 60, false);
    }
    run.delete("k3", true);
    run.flush(&["default"]);
    run.delete_range("k5", "k8", false);
    run.put("k6", 10, false);
    run.delete("k6", true);
    run.delete_range("k0", "k2", false);
    run.flush(&["default"]);
    run.put("k1", 200, false);
    run.compact("default");
    run.delete_range("k", "l", false);
    run.put("k4", 10, false);
    run
}

fn families(mut run: Recorder) -> Recorder {
    run.put("a", 10, false);
    run.create_family("one");
    run.put_in("one", "a", 700, false);
    run.put("b", 30, false);
    run.create_family("two");
    run.put_in("two", "a", 20, false);
    run.flush(&["one"]);
    run.put_in("one", "b", 10, false);
    run.drop_family("one");
    run.put("c", 10, true);
    run.put_in("two", "b", 40, false);
    run.create_family("one");
    run.put_in("one", "c", 10, false);
    run.drop_family("two");
    run.put("d", 10, false);
    run
}

fn reopens(mut run: Recorder) -> Recorder {
    for round in 0..3 {
        run.put("a", 10, false);
        run.put(&format!("k{round}"), 600, false);
        if round == 1 {
            run.flush(&["default"]);
            run.delete("k0", false);
        }
        run.reopen();
    }
    run.put("last", 10, false);
    run
}

fn crash_then_on(mut run: Recorder, kind: ImageKind, seed: u64) -> Recorder {
    run.create_family("one");
    for index in 0..8 {
        run.put(&format!("k{index}"), 300, index == 2);
        run.put_in("one", &format!("k{index}"), 10, index == 5);
    }
    let mut run = run.crash_and_go_on(kind, seed);
    for index in 0..8 {
        run.put(&format!("k{}", 2 * index), 200, index % 3 == 1);
    }
    let names = run.names();
    run.flush(&names.iter().map(String::as_str).collect::<Vec<_>>());
    run.put("last", 10, true);
    run
}

fn pauses(mut run: Recorder) -> Recorder {
    for index in 0..14 {
        run.put(&format!("k{}", index % 5), 50, false);
        if index % 3 == 2 {
            run.sleep(2);
        }
    }
    run
}

fn synced_by_hand(mut run: Recorder) -> Recorder {
    for index in 0..14 {
        run.put(&format!("k{}", index % 5), 80, false);
        if index % 4 == 3 {
            run.sync_log();
        }
    }
    run
}

fn merges(mut run: Recorder) -> Recorder {
    for index in 0..24 {
        run.merge(&format!("k{}", index % 3), index % 5 == 4);
        match index {
            7 => run.flush(&["default"]),
            11 => run.put("k1", 200, false),
            15 => run.compact("default"),
            _ => {}
        }
    }
    run
}

fn unlogged(mut run: Recorder) -> Recorder {
    for index in 0..12 {
        run.put(&format!("k{}", index % 4), 100, false);
        run.put_unlogged(&format!("u{}", index % 4), 100);
        run.put_unlogged(&format!("k{}", (index + 2) % 4), 10);
        if index == 6 {
            run.flush(&["default"]);
        }
    }
    run
}

fn snapshots(mut run: Recorder) -> Recorder {
    for round in 0..3 {
        for index in 0..5 {
            run.put(&format!("k{index}"), 120, false);
        }
        run.snapshot();
        run.delete("k2", false);
        run.flush(&["default"]);
        if round == 1 {
            run.snapshots.remove(0);
            run.compact("default");
        }
    }
    run
}

pub fn anything(mut run: Recorder, seed: u64) -> Recorder {
    let mut random = Random::new(seed);
    for _ in 0..80 {
        let names = run.names();
        let name = random.pick(&names);
        let key = format!("k{:02}", random.below(20));
        let sync = random.one_in(5);
        match random.below(30) {
            0..=12 => run.put_in(&name, &key, random.pick(&[4, 40, 400, 1200]), sync),
            13..=16 => run.delete(&key, sync),
            17 => run.delete_range(&key, &format!("k{:02}", 20 + random.below(5)), sync),
            18..=20 => run.merge(&key, sync),
            21..=22 => run.flush(&[name.as_str()]),
            23 => run.compact(&name),
            24 if random.one_in(2) => {
                run.separate_from(&name, random.pick(&[Some(0), Some(200), Some(1000), None]));
            }
            24 => run.sync_log(),
            25 if names.len() < 4 => run.create_family(&format!("f{}", random.below(1000))),
            26 if name != "default" => run.drop_family(&name),
            27 => run.reopen(),
            28 if run.snapshots.len() % 2 == 1 => run.collect_garbage(0.2),
            28 => run.snapshot(),
            _ => {
                let changes: Vec<(&str, Change)> =
                    names.iter().map(|name| (name.as_str(), put(&mut run, &key, 50))).collect();
                run.write(&changes, sync);
            }
        }
    }
    run
}
