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
//! All points are taken, seed after seed, until there were `AURADB_CRASH_IMAGES`. `SEED=n` takes those of one seed;
//! `AURADB_CRASH_WORKLOAD` picks the workloads whose names contain it.

mod oracle;
mod recorder;
mod workloads;

use crate::support::{Random, chosen_seed, guarded, on_two_threads, setting};
use auradb::env::simulated::ImageKind;
use oracle::{Images, check_image};
use recorder::Recording;
use std::sync::Mutex;
use workloads::workloads;

fn record_all(seed: u64) -> Result<Vec<Recording>, String> {
    let wanted = std::env::var("AURADB_CRASH_WORKLOAD").unwrap_or_default();
    let mut chosen = workloads();
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

/// Checks about `wanted` images of what the workloads do with this seed; says how many there were to choose from.
fn check_round(seed: u64, wanted: u64, images: &Images) -> Result<u64, String> {
    let recordings = record_all(seed)?;
    let points = recordings.iter().map(|recording| recording.journal_len + 1 - recording.first_point);
    let possible = (points.sum::<usize>() * ImageKind::ALL.len()) as u64;
    let failures: Mutex<Vec<String>> = Mutex::default();
    on_two_threads(&recordings, |recording| {
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

#[test]
fn every_crash_leaves_a_prefix_with_all_that_was_promised() {
    let images = Images::default();
    let mut left = setting("AURADB_CRASH_IMAGES", 100_000);
    let mut seed = chosen_seed().unwrap_or(1);
    while left > 0 {
        let possible = check_round(seed, left, &images).unwrap_or_else(|failures| panic!("{failures}"));
        left = if chosen_seed().is_some() { 0 } else { left.saturating_sub(possible) };
        seed += 1;
    }
    println!("{images}");
}
