//! Random histories against ordered maps.
//!
//! A seed gives settings and 200 operations; each answer of the database must be that of the reference. `SEED=n`
//! replays one seed, `AURADB_MODEL_CASES` says how many are run. A history that fails is cut down to what still
//! fails before it is shown.

mod operations;
mod run;

use crate::support::settings::{ARMS, Arm};
use crate::support::{Random, chosen_seed, guarded, on_two_threads, setting};
use operations::{Operation, generate};
use run::{Place, run};

const OPERATIONS: usize = 200;
/// Times a failing history is run again to cut it down.
const SHRINK_RUNS: usize = 400;

fn case(seed: u64, place: Place) -> Result<(), String> {
    let arm = &ARMS[seed as usize % ARMS.len()];
    let operations = generate(&mut Random::new(seed), OPERATIONS);
    match attempt(seed, arm, place, &operations) {
        Ok(()) => Ok(()),
        Err(failure) => Err(explain(seed, arm, place, operations, failure)),
    }
}

struct Failure {
    /// The operation that went wrong.
    at: usize,
    message: String,
}

fn attempt(seed: u64, arm: &Arm, place: Place, operations: &[Operation]) -> Result<(), Failure> {
    let mut done = 0;
    guarded(|| run(seed, arm, place, operations, &mut done)).map_err(|message| Failure { at: done, message })
}

fn explain(seed: u64, arm: &Arm, place: Place, operations: Vec<Operation>, failure: Failure) -> String {
    let first = failure.message.clone();
    let (operations, failure) = shrink(seed, arm, place, operations, failure);
    let tail = failure.at.saturating_sub(30);
    let mut text = format!(
        "SEED={seed} arm `{}` {place:?}: {first}\ncut down to {} operations, operation {} fails: {}\n",
        arm.name,
        operations.len(),
        failure.at,
        failure.message
    );
    for (index, operation) in operations.iter().enumerate().take(failure.at + 1).skip(tail) {
        text.push_str(&format!("  {index}: {operation:?}\n"));
    }
    text
}

/// Leaves out operations as long as the rest still fails.
fn shrink(
    seed: u64,
    arm: &Arm,
    place: Place,
    mut operations: Vec<Operation>,
    mut failure: Failure,
) -> (Vec<Operation>, Failure) {
    if place != Place::Simulated {
        return (operations, failure); // Threads: the next run may go another way.
    }
    operations.truncate(failure.at + 1);
    let mut chunk = operations.len() / 2;
    let mut runs = 0;
    while chunk > 0 && runs < SHRINK_RUNS {
        let mut start = 0;
        while start < operations.len() && runs < SHRINK_RUNS {
            let mut fewer = operations.clone();
            fewer.drain(start..(start + chunk).min(fewer.len()));
            runs += 1;
            match attempt(seed, arm, place, &fewer) {
                Ok(()) => start += chunk,
                Err(found) => {
                    fewer.truncate(found.at + 1);
                    (operations, failure) = (fewer, found);
                }
            }
        }
        chunk /= 2;
    }
    (operations, failure)
}

fn seeds(count: u64, offset: u64) -> Vec<u64> {
    chosen_seed().map_or_else(|| (offset..offset + count).collect(), |seed| vec![seed])
}

#[test]
fn random_histories_match_the_reference() {
    let seeds = seeds(setting("AURADB_MODEL_CASES", 2000), 0);
    on_two_threads(&seeds, |seed| case(*seed, Place::Simulated));
}

#[test]
fn random_histories_with_threads_and_files_match_the_reference() {
    let seeds = seeds(setting("AURADB_MODEL_CASES", 2000).div_ceil(50), 1_000_000);
    on_two_threads(&seeds, |seed| case(*seed, Place::System));
}
