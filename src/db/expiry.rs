//! Tables in which everything or much of it has expired: they go, or are compacted, without waiting for compactions to
//! come by.
//!
//! 1. A table knows when its last entry expires and when half of them have (`TableProperties`): nothing is read to find
//!    out that one is due.
//! 2. One in which everything has expired, with nothing older below that it hides, goes by an edit alone; value-log
//!    segments that only it referred to go with it, whole.
//! 3. Another one of which half has expired is compacted: what has expired becomes deletions, or goes with them.
//! 4. So is one that keeps much more in the value log than it takes itself, when the last of what expires in it has.
//! 5. A table of deletions only goes as in 2: a relocation that leaves behind what newer tables hide makes such ones.
//! 6. Until the next one is due the workers sleep.
//!
//! Snapshots play no part: what has expired is absent for them too.

use super::background::Job;
use super::state::{BackgroundState, Engine};
use crate::compaction;
use crate::sst::{SegmentUse, TableProperties};
use std::sync::Arc;
use std::time::Duration;

/// A table in which everything expires is not compacted for its first half when the second one follows so soon.
const WORTH_WAITING: u64 = 600;
/// Workers look again after that, however far the next time is: the system's clock may be set.
const LONGEST_SLEEP: u64 = 3600;

/// A table of which less than half expires is compacted for so many times its size in the value log.
const FREED_TO_REWRITTEN: u64 = 8;

/// About how many value-log bytes the values of a table take that expire. The table does not tell whose they are.
fn expiring_bytes(properties: &TableProperties) -> u64 {
    let sum = |sum: (u64, u64), used: &SegmentUse| (sum.0 + used.bytes, sum.1 + used.values);
    let (bytes, values) = properties.segments.iter().fold((0, 0), sum);
    (bytes / values.max(1)).saturating_mul(properties.expiring.min(values))
}

/// When something is to be done about a table; `None` if never.
fn due(properties: &TableProperties) -> Option<u64> {
    if properties.half_expired == 0 {
        let rewritten = properties.file_size.saturating_mul(FREED_TO_REWRITTEN);
        let is_worth_it = properties.expiring > 0 && expiring_bytes(properties) >= rewritten;
        return is_worth_it.then_some(properties.latest_expiry);
    }
    let soon = properties.latest_expiry.saturating_sub(properties.half_expired) <= WORTH_WAITING;
    let waits = soon && compaction::expires_whole(properties);
    Some(if waits { properties.latest_expiry } else { properties.half_expired })
}

/// What a sleep may end too early.
const MILLISECOND: Duration = Duration::from_millis(1);

impl Engine {
    /// The next table that has expired. Called under the state lock; marks its compaction as running.
    pub(super) fn next_expired(&self, state: &mut BackgroundState) -> Option<Job> {
        let first = state.expiry_due?;
        let now = self.clock.now();
        if now < first || state.compactions >= self.compaction_slots() {
            return None;
        }
        let mut next: Option<u64> = None;
        for family in self.all_families() {
            if family.is_dropped() || family.options.read().disable_auto_compactions {
                continue;
            }
            let version = Arc::clone(&family.view().version);
            let options = self.level_options(&family);
            for (level, file) in version.files() {
                if compaction::only_deletes(&file.properties) {
                    let plan = compaction::plan_needless(family.id, &version, (level, file), &family.order);
                    if let Some(plan) = plan {
                        state.compactions += 1;
                        return Some(Job::Compact(Arc::clone(&family), Arc::clone(&version), plan));
                    }
                    continue;
                }
                let Some(due) = due(&file.properties) else { continue };
                if due > now {
                    next = Some(next.map_or(due, |next| next.min(due)));
                    continue;
                }
                // One that another job has is looked at again when that ends.
                if let Some(plan) =
                    compaction::plan_expired(family.id, &version, (level, file), now, &options, &family.order)
                {
                    state.compactions += 1;
                    return Some(Job::Compact(Arc::clone(&family), Arc::clone(&version), plan));
                }
            }
        }
        state.expiry_due = next;
        None
    }

    /// Open segments go as well when a compaction has dropped the last that referred to them, or a table: nobody may
    /// write for long, and fill them.
    pub(super) fn close_unheld_segments(&self) {
        self.value_log.seal_unheld_segments();
        if let Some(mut copier) = self.garbage.copier.try_lock() {
            copier.close_unheld();
        }
    }

    /// How long a worker without work sleeps; `None`: until it is woken.
    pub(super) fn sleep_of_workers(&self, state: &BackgroundState) -> Option<Duration> {
        // One whose time has come waits for what runs, whose end wakes this worker.
        let retry =
            state.retry_at.and_then(|at| at.checked_sub(self.env.now())).map(|wait| wait + MILLISECOND);
        let expiry = state
            .expiry_due
            .map(|due| Duration::from_secs(due.saturating_sub(self.clock.now()).clamp(1, LONGEST_SLEEP)));
        let held = state.garbage.wait_for_jobs(self.env.now()).map(|wait| wait + MILLISECOND);
        let removed = (state.garbage.look && state.garbage.removes_first).then_some(MILLISECOND);
        retry.into_iter().chain(expiry).chain(held).chain(removed).min()
    }
}
