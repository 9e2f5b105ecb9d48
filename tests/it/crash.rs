//! Power loss and killed processes, at every point.
//!
//! 1. A workload runs once on a simulated machine; the recorder notes what each call may and must have changed, and
//!    at which point of the machine's journal.
//! 2. At points of the journal the machine stops, in each way a device can be left. The database is opened in what
//!    is left.
//! 3. What it shows must be the state after the first n changes for one n: at least what was promised durable by
//!    then (all acknowledged, if only the process was killed), at most what was begun.
//! 4. Half of the images crash again inside recovery, or right after it: nothing shown may be lost again.
//!
//! All points are taken, seed after seed, until there were `AURADB_CRASH_IMAGES`, and `AURADB_CRASH_GARBAGE_IMAGES` of
//! workloads in which values are relocated and segments removed. `SEED=n` takes those of one seed;
//! `AURADB_CRASH_WORKLOAD` picks the workloads whose names contain it.

mod garbage;
mod oracle;
mod recorder;
mod workloads;

use crate::support::{Random, chosen_seed, guarded, on_two_threads, setting};
use auradb::env::simulated::ImageKind;
use oracle::{Images, check_image};
use recorder::Recording;
use std::sync::Mutex;
use workloads::{Workload, workloads};

/// So many images with garbage collection are the least that a full run looks at.
const GARBAGE_IMAGES: u64 = 50_000;

fn record_all(mut chosen: Vec<Workload>, seed: u64) -> Result<Vec<Recording>, String> {
    let wanted = std::env::var("AURADB_CRASH_WORKLOAD").unwrap_or_default();
    chosen.retain(|workload| workload.name.contains(&wanted));
    chosen
        .iter()
        .map(|workload| {
            guarded(|| Ok(workload.record(seed)))
                .map_err(|what| format!("SEED={seed} workload `{}`, before any image: {what}", workload.name))
        })
        .collect()
}

/// Checks images of one recording; the failures, each with what is needed to see it again.
fn check(recording: &Recording, seed: u64, one_in: f64, images: &Images) -> Vec<String> {
    let mut random = Random::new(seed ^ recording.journal_len as u64);
    let mut failures = Vec::new();
    for at in recording.first_point..=recording.journal_len {
        for kind in ImageKind::ALL {
            let chance = random.next() as f64 / u64::MAX as f64;
            let image_seed = random.next();
            if chance >= one_in {
                continue;
            }
            if let Err(what) = guarded(|| check_image(recording, at, kind, image_seed, images)) {
                failures.push(format!("{}:\n{what}\n", describe(recording, seed, at, kind, image_seed)));
            }
        }
    }
    failures
}

fn describe(recording: &Recording, seed: u64, at: usize, kind: ImageKind, image_seed: u64) -> String {
    let last = at.checked_sub(1).map(|before| recording.env.describe_operation(before));
    let next = (at < recording.journal_len).then(|| recording.env.describe_operation(at));
    format!(
        "SEED={seed} workload `{}`, {kind:?} at point {at} of {} (image seed {image_seed}), after {}, before {}",
        recording.name,
        recording.journal_len,
        last.unwrap_or_default(),
        next.unwrap_or_default(),
    )
}

/// Checks about `wanted` images of the recordings; says how many there were to choose from.
fn check_round(recordings: &[Recording], seed: u64, wanted: u64, images: &Images) -> Result<u64, String> {
    let points = recordings.iter().map(|recording| recording.journal_len + 1 - recording.first_point);
    let possible = (points.sum::<usize>() * ImageKind::ALL.len()) as u64;
    let failures: Mutex<Vec<String>> = Mutex::default();
    on_two_threads(recordings, |recording| {
        let found = check(recording, seed, wanted as f64 / possible as f64, images);
        if let Some(first) = found.first() {
            let text = format!("{} images of `{}` fail, the first: {first}", found.len(), recording.name);
            failures.lock().unwrap().push(text);
        }
        Ok(())
    });
    let failures = failures.into_inner().unwrap();
    if failures.is_empty() { Ok(possible) } else { Err(failures.join("\n")) }
}

/// Checks `wanted` images or more of `workloads`, unless a seed was chosen: then all of that.
fn check_all(
    workloads: fn() -> Vec<Workload>,
    wanted: u64,
    fits: impl Fn(&Recording) -> Result<(), String>,
) -> Images {
    let images = Images::default();
    let mut seed = chosen_seed().unwrap_or(1);
    loop {
        let recordings = record_all(workloads(), seed).unwrap_or_else(|failure| panic!("{failure}"));
        if recordings.is_empty() {
            return images;
        }
        recordings.iter().try_for_each(&fits).unwrap_or_else(|what| panic!("SEED={seed}: {what}"));
        // A little more than is left, since chance decides.
        let left = wanted.saturating_sub(images.opened()) + wanted / 100 + 1;
        check_round(&recordings, seed, left, &images).unwrap_or_else(|failures| panic!("{failures}"));
        if chosen_seed().is_some() || images.opened() >= wanted {
            return images;
        }
        seed += 1;
    }
}

#[test]
fn every_crash_leaves_a_prefix_with_all_that_was_promised() {
    let images = check_all(workloads, setting("AURADB_CRASH_IMAGES", 100_000), |recording| {
        let name = recording.name;
        let lacks = |prefix: &str, count: u64| name.starts_with(prefix) && count == 0;
        if lacks("recycled", recording.recycled) {
            return Err(format!("workload `{name}` has no recycled log: no test of them"));
        }
        if lacks("kept values", recording.kept) {
            return Err(format!("workload `{name}` has no value that a flush separates: no test of them"));
        }
        Ok(())
    });
    println!("{images}");
}

#[test]
fn every_crash_around_relocations_leaves_a_prefix_with_all_that_was_promised() {
    let wanted = setting("AURADB_CRASH_GARBAGE_IMAGES", GARBAGE_IMAGES);
    let images = check_all(
        || garbage::WORKLOADS.into(),
        wanted,
        |recording| {
            let (relocations, removals) = recording.collected;
            let name = recording.name;
            if name.contains("kept values") && recording.kept == 0 {
                return Err(format!(
                    "workload `{name}` has no value that a flush separates: no test of them"
                ));
            }
            if relocations > 0 && removals > 0 {
                return Ok(());
            }
            Err(format!(
                "workload `{name}` has {relocations} relocations and {removals} segments removed: no test of them"
            ))
        },
    );
    println!("with garbage collected: {images}");
    let picked = ["SEED", "AURADB_CRASH_WORKLOAD", "AURADB_CRASH_GARBAGE_IMAGES"];
    if picked.iter().all(|name| std::env::var_os(name).is_none()) {
        assert!(images.opened() >= GARBAGE_IMAGES, "only {} images were looked at", images.opened());
    }
}
