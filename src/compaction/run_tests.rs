//! Single compactions: what stops them and what they leave behind, filters and moves, and several at once.

use super::simulation::*;
use super::testing::{Entry, ListIterator};
use super::*;
use crate::base::extension::{FilterContext, FilterDecision};
use crate::base::file_name::{FileKind, path_of};
use crate::base::key::{EntryKind, MAX_SEQUENCE};
use crate::env::Env;
use parking_lot::Mutex;
use std::path::Path;

fn flushed(seed: u64, flushes: usize) -> World {
    let mut world = World::new(seed);
    (0..flushes).for_each(|_| world.flush());
    world
}

fn order() -> InternalComparator {
    InternalComparator::default()
}

fn everything(version: &Arc<Version>, level: usize, output: usize) -> Result<Option<CompactionPlan>> {
    plan_range(0, version, level, output, None, None, &order())
}

fn tables(world: &World) -> Vec<String> {
    let mut names = world.env.list(Path::new("/db/sst")).unwrap();
    names.sort();
    names
}

#[test]
fn a_damaged_input_stops_it_and_no_output_stays() {
    let world = flushed(1, 5);
    let version = world.current();
    let before = tables(&world);
    let (_, file) = version.files().next().unwrap();
    let path = path_of(Path::new("/db/sst"), FileKind::Table(file.number));
    let bytes = world.env.read_raw(&path);
    for at in (0..file.properties.data_bytes as usize).step_by(17) {
        let mut bent = bytes.clone();
        bent[at] ^= 1 << (at % 8);
        world.env.write_raw(&path, &bent);
        let plan = everything(&version, 0, 1).unwrap().unwrap();
        let error = run(&plan, &version, &world.context(), &world.options).unwrap_err();
        assert!(error.is_corruption(), "byte {at}: {error}");
        assert_eq!(tables(&world), before, "byte {at}");
    }
    world.env.write_raw(&path, &bytes);
    let plan = everything(&version, 0, 1).unwrap().unwrap();
    run(&plan, &version, &world.context(), &world.options).unwrap();
}

#[test]
fn a_cancel_stops_it_and_the_inputs_are_free_again() {
    let world = flushed(2, 3);
    let version = world.current();
    let before = tables(&world);
    let plan = everything(&version, 0, 2).unwrap().unwrap();
    assert!(plan.full && plan.bottommost && plan.manual);
    assert_eq!(everything(&version, 0, 2).err().unwrap().kind(), ErrorKind::Busy);
    assert!(pick(0, &version, &world.options, &order()).is_none(), "level 0 is taken");
    let mut context = world.context();
    context.cancel = Arc::new(AtomicBool::new(true));
    let error = run(&plan, &version, &context, &world.options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ShutdownInProgress);
    assert_eq!(tables(&world), before);
    drop(plan);
    assert!(version.files().all(|(_, file)| !file.being_compacted.load(Ordering::Relaxed)));
    assert!(everything(&version, 0, 2).unwrap().is_some());
}

#[test]
fn wrong_levels_are_refused_and_empty_ranges_are_nothing_to_do() {
    let world = flushed(3, 1);
    let version = world.current();
    for (level, output) in [(0, 0), (2, 1), (1, 64)] {
        let error = everything(&version, level, output).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
    assert!(everything(&version, 3, 4).unwrap().is_none());
    assert!(plan_range(0, &version, 0, 1, Some(b"z"), None, &order()).unwrap().is_none());
}

struct Emptying;

impl CompactionFilter for Emptying {
    fn name(&self) -> &str {
        "emptying"
    }
    fn filter(&self, _level: u32, _key: &[u8], value: &[u8]) -> FilterDecision {
        // Separated values are shown as they are, not as pointers.
        match value.starts_with(b"large value") {
            true => FilterDecision::Remove,
            false => FilterDecision::Change(b"small".to_vec()),
        }
    }
}

#[derive(Default)]
struct Factory(Mutex<Vec<FilterContext>>);

impl CompactionFilterFactory for Factory {
    fn name(&self) -> &str {
        "factory"
    }
    fn create(&self, context: FilterContext) -> Option<Box<dyn CompactionFilter>> {
        self.0.lock().push(context);
        Some(Box::new(Emptying))
    }
}

#[test]
fn a_filter_from_a_factory_sees_all_values() {
    let world = flushed(4, 4);
    let factory = Arc::new(Factory::default());
    let mut context = world.context();
    context.filter_factory = Some(factory.clone());
    let version = world.current();
    let plan = everything(&version, 0, 3).unwrap().unwrap();
    let edit = run(&plan, &version, &context, &world.options).unwrap();
    let about = factory.0.lock()[0];
    assert!(about.is_full && about.is_manual && about.column_family == 0);
    world.set.apply(vec![edit], &world.log).unwrap();
    let mut small = 0;
    for number in 0..KEYS {
        let before = read(&version, &world.log, &key(number), MAX_SEQUENCE);
        let after = read(&world.current(), &world.log, &key(number), MAX_SEQUENCE);
        match before {
            Some(value) if value.starts_with(b"value") && !value.contains(&b',') => {
                assert_eq!(after.as_deref(), Some(&b"small"[..]));
                small += 1;
            }
            Some(value) if value.starts_with(b"large") && !value.contains(&b',') => assert_eq!(after, None),
            Some(_) => {}
            None => assert_eq!(after, None),
        }
    }
    assert!(small > 0);
}

#[test]
fn a_level_0_run_never_passes_an_older_one_it_meets() {
    for seed in 0..40 {
        let world = flushed(seed, 6);
        let version = world.current();
        let Some(plan) =
            pick(0, &version, &LevelOptions { level0_trigger: 2, ..world.options.clone() }, &order())
        else {
            continue;
        };
        let taken: Vec<u64> = plan.files().map(|file| file.number).collect();
        let runs: Vec<&Arc<FileMeta>> = version.runs(0).iter().flat_map(|run| &run.files).collect();
        for (at, newer) in runs.iter().enumerate().filter(|(_, file)| taken.contains(&file.number)) {
            for older in &runs[at + 1..] {
                let meets = newer.range().meets(older, &order());
                assert!(!meets || taken.contains(&older.number), "seed {seed}");
            }
        }
    }
}

/// Threads pick, run and install while the main one flushes: nothing is lost, refused or done twice.
#[test]
fn compactions_of_several_threads_do_not_disturb_each_other() {
    for seed in 0..4 {
        let mut world = World::new(seed);
        world.options.level0_trigger = 2;
        let done = AtomicBool::new(false);
        let set = world.set.clone();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                let (set, log, context) = (set.clone(), world.log.clone(), world.context());
                let (options, done) = (world.options.clone(), &done);
                scope.spawn(move || {
                    loop {
                        let last_round = done.load(Ordering::Acquire);
                        let version = set.current(0).unwrap();
                        match pick(0, &version, &options, &order()) {
                            Some(plan) => {
                                let edit = run(&plan, &version, &context, &options).unwrap();
                                set.apply(vec![edit], &log).unwrap();
                            }
                            None if last_round => break,
                            None => std::thread::yield_now(),
                        }
                    }
                });
            }
            for _ in 0..25 {
                world.flush();
            }
            done.store(true, Ordering::Release);
        });
        world.check();
        world.sweep();
    }
}

/// Puts `keys` into a table of their own and moves it to `level`.
fn place(world: &mut World, keys: &[&str], level: usize) {
    let mut entries = Vec::new();
    for key in keys {
        world.sequence += 1;
        let (sequence, kind) = (world.sequence, EntryKind::Put);
        let entry = Entry { key: key.as_bytes().to_vec(), sequence, kind, value: b"v".to_vec() };
        entries.push(entry.internal());
    }
    let entries = Box::new(ListIterator::new(entries, &order()));
    let new = crate::flush::write_level0(entries, &[], &world.context()).unwrap();
    let edit = VersionEdit { added: new.into_iter().collect(), ..VersionEdit::default() };
    world.set.apply(vec![edit], &world.log).unwrap();
    (0..level).for_each(|from| compact_whole(world, from));
}

fn compact_whole(world: &World, level: usize) {
    let version = world.current();
    let action = policy::Action { level, output_level: level + 1, score: 1.0 };
    if let Some(plan) = plan::from_action(0, &version, action, &world.options, &order()) {
        let edit = run(&plan, &version, &world.context(), &world.options).unwrap();
        world.set.apply(vec![edit], &world.log).unwrap();
    }
}

/// The outputs of a running compaction may fill the gap between its inputs.
#[test]
fn nothing_is_put_into_the_gap_of_a_running_compaction() {
    let mut world = World::new(1);
    world.options =
        LevelOptions { level1_bytes: 1 << 20, target_file_size: 1 << 20, ..world.options.clone() };
    place(&mut world, &["a", "c"], 1);
    place(&mut world, &["x", "z"], 1);
    let version = world.current();
    assert_eq!(version.runs(1)[0].files.len(), 2);
    let running = everything(&version, 1, 2).unwrap().unwrap();
    place(&mut world, &["k", "m"], 1);
    let current = world.current();
    assert_eq!(current.runs(1)[0].files.len(), 3);
    let between = |level, output| plan_range(0, &current, level, output, Some(b"k"), Some(b"m"), &order());
    assert_eq!(between(1, 2).err().unwrap().kind(), ErrorKind::Busy);
    let action = policy::Action { level: 1, output_level: 2, score: 9.0 };
    assert!(plan::from_action(0, &current, action, &world.options, &order()).is_none());
    assert!(between(1, 1).unwrap().is_some(), "another level is not in its way");
    let edit = run(&running, &version, &world.context(), &world.options).unwrap();
    assert_eq!(edit.added.len(), 1, "one table from a to z");
    world.set.apply(vec![edit], &world.log).unwrap();
    drop(running);
    // Even a plan from the version before cannot be made now: the inputs stay marked.
    assert_eq!(between(1, 2).err().unwrap().kind(), ErrorKind::Busy);
    assert!(plan_range(0, &world.current(), 1, 2, Some(b"k"), None, &order()).unwrap().is_some());
}

#[test]
fn a_stale_version_cannot_claim_a_table_that_moved() {
    let mut world = World::new(2);
    place(&mut world, &["a", "c"], 1);
    let stale = world.current();
    let number = stale.files().next().unwrap().1.number;
    compact_whole(&world, 1);
    let current = world.current();
    assert_eq!(current.files().map(|(level, f)| (level, f.number)).collect::<Vec<_>>(), [(2, number)]);
    assert_eq!(world.merge.stats.trivial_moves.load(Ordering::Relaxed), 2);
    assert_eq!(everything(&stale, 1, 2).err().unwrap().kind(), ErrorKind::Busy);
    assert!(everything(&current, 2, 3).unwrap().is_some(), "the failed claim let go");
}
