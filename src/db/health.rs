//! Whether the database takes writes, and if not, why.
//!
//! A failure is *hard* (a failed sync, corruption met by background work, a caught panic): the database is read-only
//! until `resume` or the next open. Or it is *soft* (no space): background work retries by itself, and the first
//! success clears it.

use crate::base::error::Subcode;
use crate::base::{Error, Result};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What state the database is in.
#[derive(Clone, Debug)]
pub struct Health {
    /// The failure that made the database read-only; `None` = healthy.
    pub failure: Option<Error>,
    /// Writes refused since.
    pub refused_writes: u64,
    /// What recovery dropped or repaired at open, in words; empty = nothing.
    pub recovery_report: String,
}

/// Keeps the failure, if any.
#[derive(Default)]
pub(super) struct HealthState {
    failed: AtomicBool,
    failure: Mutex<Option<Error>>,
    refused: AtomicU64,
    report: Mutex<String>,
}

impl HealthState {
    /// Records a failure. The first hard one stays, but for a panic, which nothing but opening anew repairs.
    pub(super) fn fail(&self, error: &Error) {
        let mut failure = self.failure.lock();
        let keep = error.subcode() != Subcode::Panic && failure.as_ref().is_some_and(|held| !is_soft(held));
        if !keep {
            *failure = Some(error.clone());
        }
        self.failed.store(true, Ordering::Release);
    }

    /// Clears a soft failure, after background work got through.
    pub(super) fn clear_soft(&self) -> bool {
        let mut failure = self.failure.lock();
        let soft = failure.as_ref().is_some_and(is_soft);
        if soft {
            *failure = None;
            self.failed.store(false, Ordering::Release);
        }
        soft
    }

    /// Clears any failure (resume).
    pub(super) fn clear(&self) {
        *self.failure.lock() = None;
        self.failed.store(false, Ordering::Release);
        self.refused.store(0, Ordering::Relaxed);
    }

    /// The failure, if any.
    pub(super) fn failure(&self) -> Option<Error> {
        if !self.failed.load(Ordering::Acquire) {
            return None;
        }
        self.failure.lock().clone()
    }

    /// Whether background work may go on: healthy, or a failure that trying again can end.
    pub(super) fn allows_background(&self) -> bool {
        self.failure().is_none_or(|error| is_soft(&error))
    }

    /// Refuses a write while there is a failure.
    pub(super) fn check(&self) -> Result<()> {
        match self.failure() {
            None => Ok(()),
            Some(error) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                let advice = if is_soft(&error) {
                    "writes go on by themselves once there is room"
                } else {
                    "repair the cause, then call resume or reopen"
                };
                let subcode = if is_soft(&error) { Subcode::NoSpace } else { Subcode::ReadOnly };
                Err(error
                    .context(format!("the database takes no writes ({advice}) because"))
                    .with_subcode(subcode))
            }
        }
    }

    pub(super) fn set_report(&self, report: String) {
        *self.report.lock() = report;
    }

    pub(super) fn snapshot(&self) -> Health {
        Health {
            failure: self.failure(),
            refused_writes: self.refused.load(Ordering::Relaxed),
            recovery_report: self.report.lock().clone(),
        }
    }
}

fn is_soft(error: &Error) -> bool {
    error.subcode() == Subcode::NoSpace
}
