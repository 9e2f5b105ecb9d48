//! Failing operations: the n-th one, for all n, in each way, once or until healed.
//!
//! 1. A workload runs without faults and its operations are counted.
//! 2. It runs again for each n and each way to fail. Every call returns; what was acknowledged stays readable.
//! 3. The device is healed; writes go on (after `resume`, where that is called for, or a reopen).
//! 4. The database is opened anew: what was acknowledged is there, what failed is there or not, and what is shown
//!    stays so after one more power loss.
//!
//! `AURADB_FAULT_STEP=n` takes each n-th operation only.

mod driver;

use crate::support::reference::show;
use crate::support::{guarded, on_two_threads, setting};
use auradb::env::faulty::{Failure, Fault, OperationClass, Selection};
use driver::{Driver, Step};
use std::sync::atomic::{AtomicUsize, Ordering};

struct Workload {
    name: &'static str,
    steps: &'static [Step],
}

use Step::{
    Batch, BigBatch, BigPut, Collect, Compact, CreateFamily, Delete, DeleteRange, DropFamily, Flush, Get,
    Merge, Put, Reopen, SyncLog, SyncedPut,
};

const WORKLOADS: [Workload; 11] = [
    Workload { name: "puts", steps: &[Put, SyncedPut, Put, Put, Get, SyncedPut, Delete, Put, SyncLog, Put] },
    Workload {
        name: "big values",
        steps: &[BigPut, BigPut, Put, BigPut, SyncLog, BigPut, Delete, BigPut, Flush, BigPut],
    },
    Workload {
        name: "flushes",
        steps: &[Put, BigPut, Flush, Put, Delete, Flush, Put, Merge, Flush, Get, Put],
    },
    Workload {
        name: "compactions",
        steps: &[
            Put,
            BigPut,
            Flush,
            Put,
            DeleteRange,
            Flush,
            Put,
            Merge,
            Compact,
            Put,
            BigPut,
            Compact,
            Get,
            Put,
        ],
    },
    Workload {
        name: "families",
        steps: &[CreateFamily, Put, Batch, CreateFamily, Batch, Flush, DropFamily, Put, Batch, SyncedPut],
    },
    Workload {
        name: "reopening",
        steps: &[Put, BigPut, Reopen, Put, Flush, Put, Reopen, BigPut, Merge, Reopen, Put],
    },
    Workload {
        name: "log rotation",
        steps: &[
            Put, Put, Put, Batch, Put, Put, Put, Batch, Put, Put, Put, Batch, Put, Put, Put, Batch, Put, Put,
            SyncLog, Put,
        ],
    },
    Workload { name: "batches", steps: &[Batch, Batch, SyncLog, Batch, Flush, Batch, Merge, Batch, Batch] },
    Workload {
        name: "batches of big values",
        steps: &[BigBatch, Put, BigBatch, SyncLog, BigBatch, Flush, BigBatch, Reopen, BigBatch, BigPut],
    },
    Workload {
        name: "deletes",
        steps: &[Put, Put, BigPut, DeleteRange, Flush, Put, Delete, DeleteRange, Compact, Put],
    },
    Workload {
        name: "garbage",
        steps: &[
            BigPut, BigPut, BigPut, BigPut, BigPut, Flush, BigPut, Delete, BigPut, Collect, BigPut, BigPut,
            Flush, BigPut, Compact, BigPut, Collect, Get, Put,
        ],
    },
];

const FAILURES: [(&str, Failure); 4] = [
    ("EIO", Failure::BROKEN),
    ("ENOSPC", Failure::FULL),
    ("short, EIO", Failure::ShortWrite(libc::EIO)),
    ("short, ENOSPC", Failure::ShortWrite(libc::ENOSPC)),
];

/// How many operations of the selection the workload does when nothing fails.
fn count(workload: usize, selection: &Selection, policy: usize) -> u64 {
    let Workload { name, steps } = WORKLOADS[workload];
    let mut driver = Driver::new(workload, policy);
    driver.plan().count(selection.clone());
    driver.run(steps).unwrap_or_else(|what| panic!("workload `{name}` without faults: {what}"));
    let seen = driver.plan().seen();
    assert!(seen > 0 || Driver::keeps(workload, policy), "workload `{name}` does nothing that could fail");
    seen
}

#[derive(Clone)]
struct Case {
    workload: usize,
    policy: usize,
    fault: Fault,
    how: &'static str,
}

impl Case {
    fn name(&self) -> String {
        let lasting = if self.fault.lasting { "from then on" } else { "once" };
        format!(
            "workload `{}` (policy {}), operation {} fails {lasting} with {}",
            WORKLOADS[self.workload].name, self.policy, self.fault.nth, self.how
        )
    }
}

/// All cases of a selection. `failures`: which ways to fail.
fn cases(selection: &Selection, failures: &[(&'static str, Failure)]) -> Vec<Case> {
    cases_of(0..WORKLOADS.len(), selection, failures)
}

/// The same of these workloads.
fn cases_of(
    workloads: impl IntoIterator<Item = usize>,
    selection: &Selection,
    failures: &[(&'static str, Failure)],
) -> Vec<Case> {
    let step = setting("AURADB_FAULT_STEP", 1) as usize;
    let mut cases = Vec::new();
    for workload in workloads {
        for policy in 0..Driver::POLICIES {
            let operations = count(workload, selection, policy);
            for nth in (0..operations).step_by(step) {
                for (how, failure) in failures {
                    for lasting in [false, true] {
                        let fault = Fault { selection: selection.clone(), nth, failure: *failure, lasting };
                        cases.push(Case { workload, policy, fault, how });
                    }
                }
            }
        }
    }
    cases
}

/// Runs all cases; fails with the first of each workload.
fn run_all(cases: &[Case], check: impl Fn(&Case, &mut Driver) -> Result<(), String> + Sync) {
    let fired = AtomicUsize::new(0);
    let failures = std::sync::Mutex::new(std::collections::BTreeMap::<usize, (usize, String)>::new());
    on_two_threads(cases, |case| {
        let outcome = guarded(|| {
            let mut driver = Driver::new(case.workload, case.policy);
            driver.plan().arm(case.fault.clone());
            let outcome = driver.run(WORKLOADS[case.workload].steps).and_then(|()| driver.check("at once"));
            fired.fetch_add(usize::from(driver.plan().fired() > 0), Ordering::Relaxed);
            let outcome = outcome.and_then(|()| check(case, &mut driver));
            outcome.map_err(|what| format!("{what}\n{}", driver.history()))
        });
        if let Err(what) = outcome {
            let mut failures = failures.lock().unwrap();
            let entry =
                failures.entry(case.workload).or_insert_with(|| (0, format!("{}: {what}", case.name())));
            entry.0 += 1;
        }
        Ok(())
    });
    println!("{} runs, in {} of them something failed", cases.len(), fired.into_inner());
    let failures = failures.into_inner().unwrap();
    let texts: Vec<String> = failures
        .values()
        .map(|(count, first)| format!("{count} runs go wrong, the first: {first}"))
        .collect();
    assert!(texts.is_empty(), "{}", texts.join("\n"));
}

#[test]
fn no_failing_change_loses_what_was_acknowledged() {
    run_all(&cases(&Selection::mutating(), &FAILURES), |_, driver| {
        driver.plan().heal();
        driver.check("healed")?;
        driver.reopen_for_good()
    });
}

#[test]
fn a_process_killed_after_a_failure_loses_nothing_acknowledged() {
    run_all(&cases(&Selection::mutating(), &FAILURES[..2]), |_, driver| {
        driver.plan().heal();
        driver.kill_and_reopen()
    });
}

#[test]
fn writes_go_on_once_there_is_space_again() {
    // A failed sync is final for its file, so it is left out here: that is for a reopen.
    use OperationClass::{Create, CreateDir, Rename, Truncate, Write};
    let selection = Selection::of(&[Create, Write, Truncate, Rename, CreateDir]);
    run_all(&cases(&selection, &FAILURES[1..2]), |_, driver| {
        driver.plan().heal();
        driver.go_on()?;
        driver.check("gone on")?;
        driver.kill_and_reopen()
    });
}

#[test]
fn a_sync_that_fails_as_it_begins_ends_all_writes_and_loses_nothing_acknowledged() {
    let workloads =
        || WORKLOADS.iter().enumerate().filter(|(_, workload)| workload.name.contains("big values"));
    // A log goes by the name that its file was created under.
    for part in [".vlog", ".tmp"] {
        let selection = Selection::of(&[OperationClass::BeginSync]).named(part);
        let cases = cases_of(workloads().map(|(number, _)| number), &selection, &FAILURES[..2]);
        assert!(cases.len() > 20, "{} cases of {part}", cases.len());
        run_all(&cases, |case, driver| {
            driver.plan().heal();
            // Where the workload reopens the database, that has ended it.
            let reopens = WORKLOADS[case.workload].steps.iter().any(|step| matches!(step, Reopen));
            if !reopens && !driver.takes_no_writes() {
                return Err("the failure was passed over".to_string());
            }
            driver.kill_and_reopen()
        });
    }
}

#[test]
fn failing_reads_are_errors_and_nothing_more() {
    let ways = [("EIO", Failure::BROKEN), ("EMFILE", Failure::TOO_MANY_FILES)];
    run_all(&cases(&Selection::reading(), &ways), |_, driver| {
        driver.plan().heal();
        driver.check("healed")?;
        driver.reopen_for_good()
    });
}

/// For messages.
fn show_all(values: &[Option<Vec<u8>>]) -> String {
    let texts: Vec<String> =
        values.iter().map(|value| value.as_ref().map_or("nothing".into(), |value| show(value))).collect();
    texts.join(" or ")
}
