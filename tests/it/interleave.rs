//! Garbage collection among everything that can happen around it and inside it.
//!
//! 1. Around: every history of a few acts (writes, deletes, readers, flushes, compactions, collections, crashes) over
//!    two keys, then a collection and a crash.
//! 2. Inside: a relocation reads, copies, rewrites tables and removes files. Before each of these operations another
//!    thread could do anything; the thread that collects does it there itself, so that every order can be tried: all
//!    pairs of acts at all pairs of points, a look at what a crash leaves at each.
//! 3. Longer histories at random, with acts inside each collection, also those that begin by themselves, when the
//!    newest tables hide garbage that no compaction has met: it is left behind.
//!
//! After each act everything is compared: keys, scans, snapshots, the iterator, pinned values; after each collection
//! every value is verified. `AURADB_INTERLEAVE_DEPTH` and `AURADB_INTERLEAVE_RANDOM` change how much is tried.

mod histories;
mod stage;

use crate::support::{Random, chosen_seed, guarded, on_two_threads, setting};
use auradb::env::simulated::ImageKind;
use stage::{Act, Stage, Work};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Two segments with a long live value and a short dead one each, all in tables: there is something to relocate, and
/// the copies fill one segment and begin another.
const VICTIMS: [Act; 7] =
    [Act::Put(0), Act::Put(1), Act::Put(2), Act::Put(0), Act::Flush, Act::Put(0), Act::Flush];

impl Work {
    fn say(&self, runs: usize, what: &str) {
        let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        println!(
            "{runs} {what}: {} relocations, which left {} bytes behind, {} segments removed, {} acts inside \
             relocations, {} crashes",
            count(&self.relocations),
            count(&self.left_behind),
            count(&self.removals),
            count(&self.interrupted),
            count(&self.images)
        );
    }
}

/// Runs one history; on failure says what it was.
fn run(work: &Work, tight: bool, body: impl FnOnce(&mut Stage<'_>) -> stage::Outcome) -> stage::Outcome {
    let mut stage = Stage::new(tight, work)?;
    guarded(|| body(&mut stage)).map_err(|what| format!("{what}\nhistory: {}", stage.history()))
}

#[test]
fn every_short_history_around_a_collection() {
    let depth = setting("AURADB_INTERLEAVE_DEPTH", 5) as usize;
    let mut histories = histories::all(&[], depth);
    histories.extend(histories::all(&VICTIMS, depth - 1));
    let work = Work::default();
    let numbered: Vec<_> = histories.iter().enumerate().collect();
    on_two_threads(&numbered, |(number, history)| {
        run(&work, false, |stage| {
            stage.act_all(history)?;
            stage.end(ImageKind::ALL[number % ImageKind::ALL.len()])
        })
    });
    work.say(histories.len(), "histories");
    assert!(work.relocations.into_inner() > histories.len() / 10, "too few of them relocate anything");
}

/// What can happen inside a relocation.
const INSIDE: [Act; 13] = [
    Act::Put(0),
    Act::Put(1),
    Act::PutInline(1),
    Act::Delete(0),
    Act::Delete(1),
    Act::DeleteAll,
    Act::Snapshot,
    Act::Release,
    Act::Iterate,
    Act::Step,
    Act::Pin(1),
    Act::Flush,
    Act::Compact,
];

/// Acts at points of one relocation, each followed by a look at a crash image.
#[derive(Clone, Debug)]
struct Script(Vec<(usize, Act)>);

impl Script {
    fn run(&self, work: &Work, number: usize) -> stage::Outcome {
        let kind = ImageKind::ALL[number % ImageKind::ALL.len()];
        run(work, false, |stage| {
            stage.act_all(&VICTIMS)?;
            if number.is_multiple_of(2) {
                stage.act_all(&[Act::Snapshot, Act::Iterate])?;
            }
            let script = self.clone();
            stage.collect(move |at| {
                let here = script.0.iter().filter(|(point, _)| *point == at);
                let mut acts: Vec<Act> = here.map(|(_, act)| *act).collect();
                if !acts.is_empty() {
                    acts.push(Act::Crash(kind));
                }
                acts
            })?;
            stage.act_all(&[Act::Step, Act::Release, Act::Compact, Act::Delete(1)])?;
            stage.end(kind)
        })
        .map_err(|what| format!("{self:?}: {what}"))
    }
}

/// How many points the relocation has when nothing happens inside.
fn points() -> usize {
    let work = Work::default();
    let mut stage = Stage::new(false, &work).unwrap();
    stage.act_all(&VICTIMS).unwrap();
    let points = stage.collect(|_| Vec::new()).unwrap();
    assert!(work.relocations.into_inner() > 0, "the stage is not set for a relocation");
    points
}

#[test]
fn any_two_acts_inside_a_relocation() {
    let points = points();
    assert!(points >= 8, "only {points} points of the relocation are known");
    let mut scripts = Vec::new();
    let places: Vec<(usize, Act)> =
        (0..points).flat_map(|at| INSIDE.iter().map(move |act| (at, *act))).collect();
    for (first, place) in places.iter().enumerate() {
        scripts.push(Script(vec![*place]));
        scripts
            .extend(places[first - first % INSIDE.len()..].iter().map(|other| Script(vec![*place, *other])));
    }
    let work = Work::default();
    let numbered: Vec<_> = scripts.iter().enumerate().collect();
    on_two_threads(&numbered, |(number, script)| script.run(&work, *number));
    work.say(scripts.len(), &format!("scripts over {points} points of a relocation"));
    assert!(work.interrupted.into_inner() > scripts.len(), "too little happens inside");
}

/// The order of events by which another store brought a deleted key back: the collector has read a value and found
/// it alive; the key is deleted; a compaction drops deletion and value; the collector goes on with what it read.
#[test]
fn a_key_deleted_while_its_value_is_copied_stays_deleted() {
    for at in 0..points() {
        for flush in [false, true] {
            let work = Work::default();
            run(&work, false, |stage| {
                stage.act_all(&VICTIMS)?;
                stage.collect(move |point| match (point == at, flush) {
                    (false, _) => Vec::new(),
                    (true, false) => vec![Act::Delete(1), Act::Compact],
                    (true, true) => vec![Act::Delete(1), Act::Flush, Act::Compact],
                })?;
                stage.act_all(&[Act::Compact, Act::Collect, Act::Reopen, Act::Compact])?;
                stage.end(ImageKind::SyncedOnly)
            })
            .unwrap_or_else(|what| panic!("deleted at point {at}: {what}"));
            assert!(work.interrupted.into_inner() > 0, "nothing happened at point {at}");
        }
    }
}

#[test]
fn long_histories_with_acts_inside_collections() {
    let seeds: Vec<u64> = match chosen_seed() {
        Some(seed) => vec![seed],
        None => (1..=setting("AURADB_INTERLEAVE_RANDOM", 150)).collect(),
    };
    let work = Work::default();
    on_two_threads(&seeds, |seed| {
        let mut random = Random::new(*seed);
        run(&work, random.one_in(2), |stage| {
            for _ in 0..60 {
                any(&mut random, stage)?;
            }
            stage.end(random.pick(&ImageKind::ALL))
        })
        .map_err(|what| format!("SEED={seed}: {what}"))
    });
    work.say(seeds.len(), "long histories");
    assert!(work.relocations.into_inner() >= seeds.len(), "too few of them relocate anything");
    assert!(work.left_behind.into_inner() > 300 * seeds.len(), "too little is left behind");
}

fn any(random: &mut Random, stage: &mut Stage<'_>) -> stage::Outcome {
    let key = random.below(stage::KEYS.len());
    match random.below(28) {
        0..=8 => stage.act(Act::Put(key)),
        9 => stage.act(Act::PutInline(key)),
        10..=11 => stage.act(Act::Delete(key)),
        12 => stage.act(Act::DeleteAll),
        13 => stage.act(random.pick(&[Act::Snapshot, Act::Release])),
        14 => stage.act(random.pick(&[Act::Iterate, Act::Step, Act::CloseIterator])),
        15 => stage.act(Act::Pin(key)),
        16..=18 => stage.act(Act::Flush),
        19 => stage.act(Act::Compact),
        20 => {
            let kind = random.pick(&ImageKind::ALL);
            stage.act(random.pick(&[Act::Reopen, Act::Crash(kind)]))
        }
        collects => {
            let (seed, one_in) = (random.next(), random.pick(&[2, 5, 20]));
            let what = move |at: usize| {
                let mut random = Random::new(seed ^ at as u64);
                let count = if random.one_in(one_in) { 1 + random.below(3) } else { 0 };
                let crash = Act::Crash(random.pick(&ImageKind::ALL));
                (0..count).map(|_| if random.one_in(8) { crash } else { random.pick(&INSIDE) }).collect()
            };
            if collects < 24 {
                stage.collect(what)?
            } else {
                stage.flush(what)?
            };
            stage.act(Act::Step)
        }
    }
}
