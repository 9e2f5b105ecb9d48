//! What a user asks of the engine by hand: flush, sync the log, compact a range, resume after a failure, close.

use super::background::panic_error;
use super::family::Family;
use super::options::CompactRangeOptions;
use super::rescue::Rescue;
use super::state::Engine;
use crate::base::error::Subcode;
use crate::base::extension::LogLevel;
use crate::base::{Error, ErrorKind, Result};
use crate::compaction;
use crate::memtable::write_buffer::WriteBuffer;
use crate::version::VersionEdit;
use crate::wal::WalPosition;
use crate::write::commit::Owner;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What to do where resume is no help.
const REOPEN: &str = "resume cannot repair this; reopen the database";

impl Engine {
    /// Makes edits durable, after starting a new manifest if the last write to the old one failed. Called under the
    /// install lock.
    pub(super) fn apply_edits(&self, edits: Vec<VersionEdit>) -> Result<()> {
        if self.versions.manifest_failed() {
            self.versions.reset_manifest()?;
        }
        self.versions.apply(edits, &self.value_log)
    }

    /// Seals the active memtables of `families`; with `wait`, until they and those sealed before are flushed.
    pub(super) fn flush(&self, families: &[Arc<Family>], wait: bool) -> Result<()> {
        self.check_writes()?;
        let mut waiting: Vec<(Arc<Family>, Vec<Arc<WriteBuffer>>)> = Vec::new();
        {
            let mut commit = self.committer.lock();
            for family in families {
                self.seal(&mut commit, family.id)?;
                waiting.push((Arc::clone(family), family.view().sealed.clone()));
            }
        }
        self.run_inline();
        if !wait {
            return Ok(());
        }
        self.wait_until(&|_| {
            waiting.iter().all(|(family, buffers)| {
                let view = family.view();
                family.is_dropped()
                    || !buffers.iter().any(|buffer| view.sealed.iter().any(|held| Arc::ptr_eq(held, buffer)))
            })
        })
    }

    /// Makes every acknowledged write durable.
    pub(super) fn sync_logs(&self) -> Result<()> {
        self.check_writes()?;
        self.durability.sync().map_err(|error| self.fail(&error))
    }

    /// Waits until nothing is due or running.
    pub(super) fn wait_for_quiet(&self) -> Result<()> {
        self.wait_until(&|state| {
            let quiet = state.flushes == 0
                && state.compactions == 0
                && !state.look_for_compactions
                && !state.garbage.is_pending();
            quiet && !self.all_families().iter().any(|family| family.is_flush_due())
        })
    }

    /// Compacts `[begin, end]` of a family, level by level, down to the last level that holds some of it.
    pub(super) fn compact_range(
        &self,
        family: &Arc<Family>,
        begin: Option<&[u8]>,
        end: Option<&[u8]>,
        options: &CompactRangeOptions,
    ) -> Result<()> {
        self.check_writes()?;
        self.flush(std::slice::from_ref(family), true)?;
        let holds =
            |level: usize| !family.view().version.overlapping(level, begin, end, &family.order).is_empty();
        let Some(last) = (0..family.view().version.levels.len()).rev().find(|level| holds(*level)) else {
            return Ok(());
        };
        let has_filter = {
            let options = family.options.read();
            options.compaction_filter.is_some() || options.compaction_filter_factory.is_some()
        };
        // With everything in level 0, the first level below it is where it goes.
        let bottom = last.max(1);
        for level in 0..bottom {
            if holds(level) {
                self.compact_level(family, level, level + 1, begin, end)?;
            }
        }
        if last > 0 && (has_filter || options.force_bottommost) {
            self.compact_level(family, bottom, bottom, begin, end)?;
        }
        Ok(())
    }

    fn compact_level(
        &self,
        family: &Arc<Family>,
        level: usize,
        output: usize,
        begin: Option<&[u8]>,
        end: Option<&[u8]>,
    ) -> Result<()> {
        loop {
            self.check_writes()?;
            let planned = {
                let mut state = self.state.lock();
                let version = Arc::clone(&family.view().version);
                let plan =
                    compaction::plan_range(family.id, &version, level, output, begin, end, &family.order);
                plan.map(|plan| {
                    plan.map(|plan| {
                        state.manual += 1;
                        (version, plan, state.garbage.begin_job())
                    })
                })
            };
            match planned {
                Ok(None) => return Ok(()),
                Ok(Some((version, plan, job))) => {
                    let outcome = catch_unwind(AssertUnwindSafe(|| self.compact(family, &version, &plan)))
                        .unwrap_or_else(|panic| Err(self.fail(&panic_error(&*panic))));
                    drop((plan, version));
                    let mut state = self.state.lock();
                    state.manual -= 1;
                    state.garbage.end_job(job);
                    state.look_for_compactions = true;
                    self.update_pressure(&mut state);
                    self.wake_workers(&mut state);
                    drop(state);
                    self.done.notify_all();
                    self.close_unheld_segments();
                    self.remove_obsolete_files();
                    return outcome;
                }
                // Where there are no threads, whoever has the inputs waits for this call to return.
                Err(error) if error.kind() == ErrorKind::Busy && !self.env.runs_inline() => {
                    // A running compaction has some of the inputs: its end is signalled.
                    let mut state = self.state.lock();
                    if state.compactions + state.manual > 0 {
                        self.done.wait_for(&mut state, std::time::Duration::from_millis(20));
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// After a failure was repaired: flushes every memtable to new tables, with a new manifest and a new log; values
    /// whose segment failed to sync are copied to new segments (R6).
    pub(super) fn resume(&self) -> Result<()> {
        self.hold_flushes();
        let outcome = catch_unwind(AssertUnwindSafe(|| self.resume_after_failure()))
            .unwrap_or_else(|panic| Err(self.fail(&panic_error(&*panic))));
        self.state.lock().hold_flushes = false;
        self.done.notify_all();
        let Some(failure) = outcome? else { return Ok(()) };
        self.log(LogLevel::Info, format_args!("resumed after: {failure}"));
        let mut state = self.state.lock();
        state.retry_at = None;
        state.look_for_compactions = true;
        self.update_pressure(&mut state);
        self.wake_workers(&mut state);
        Ok(())
    }

    /// The failure that is over now; `None` if there was none.
    fn resume_after_failure(&self) -> Result<Option<Error>> {
        let Some(failure) = self.health.failure().or_else(|| self.durability.failure()) else {
            return Ok(None);
        };
        let broken = failure.subcode() == Subcode::Panic || self.durability.is_broken();
        if broken || failure.is_corruption() {
            return Err(failure.context(REOPEN));
        }
        self.write_everything_anew(&failure)?;
        Ok(Some(failure))
    }

    /// Lets no background flush begin, and waits for those that run and for another resume.
    fn hold_flushes(&self) {
        let mut state = self.state.lock();
        while state.hold_flushes {
            self.done.wait_for(&mut state, std::time::Duration::from_millis(20));
        }
        state.hold_flushes = true;
        while state.flushes > 0 {
            self.done.wait_for(&mut state, std::time::Duration::from_millis(20));
        }
    }

    /// Every memtable to tables, every value in doubt to a new segment, a new manifest, new logs: after `failure`.
    fn write_everything_anew(&self, failure: &Error) -> Result<()> {
        {
            let _one = self.install.lock();
            self.versions.reset_manifest()?;
        }
        let mut commit = self.committer.lock();
        // A writer may have given up since that was asked: half of its batch is in a memtable, all of it in a log.
        if self.durability.is_broken() {
            return Err(failure.clone().context(REOPEN));
        }
        self.committer.abandon_log(&mut commit);
        for family in self.all_families() {
            self.seal(&mut commit, family.id)?;
        }
        let work: Vec<_> = self
            .all_families()
            .into_iter()
            .map(|family| {
                let sealed = family.view().sealed.clone();
                (family, sealed)
            })
            .filter(|(_, sealed)| !sealed.is_empty())
            .collect();
        let rescue = Rescue::new(&self.value_log);
        let first_new_log = self.next_file_number.fetch_add(1, Ordering::Relaxed);
        if !work.is_empty() {
            self.flush_tables(&work, Some(&rescue), &|| Some(first_new_log))?;
        } else {
            let _one = self.install.lock();
            self.apply_edits(vec![VersionEdit { min_wal: Some(first_new_log), ..VersionEdit::default() }])?;
        }
        rescue.finish();
        let retired = self.committer.forget_logs(&mut commit);
        self.durability.recovered(WalPosition { log: first_new_log, offset: 0 });
        self.health.clear();
        drop(commit);
        self.remove_logs(&retired);
        Ok(())
    }

    /// Ends background work, makes everything durable, notes the logs' lengths in the manifest (so that the next
    /// open knows every byte of them), and lets the lock go.
    pub(super) fn close(&self) -> Result<()> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.throttle.release();
        self.memtables.manager().wake();
        self.stop_workers();
        self.stop_log_helper();
        if !self.read_only {
            self.committer.remove_spare_logs();
        }
        let outcome = if self.read_only { Ok(()) } else { self.seal_logs() };
        self.detach_memtables();
        self.durability.stop();
        // Not joined under its lock, which a callback may take; nor by itself, where the last user was a callback.
        let log_thread = self.log_thread.lock().take();
        if let Some(thread) = log_thread
            && !self.durability.is_calling()
        {
            thread.join();
        }
        // After a failure nothing was synced above: who still waits for it is told.
        self.durability.end();
        *self.lock.lock() = None;
        outcome
    }

    fn seal_logs(&self) -> Result<()> {
        if let Some(failure) = self.health.failure().or_else(|| self.durability.failure()) {
            self.log(
                LogLevel::Warn,
                format_args!("closed after a failure; the next open recovers: {failure}"),
            );
            return Ok(());
        }
        // Under the commit lock nothing more is inserted: no writer is left waiting for a sync.
        let mut commit = self.committer.lock();
        self.durability.sync()?;
        let unlogged: Vec<_> = self
            .all_families()
            .into_iter()
            .filter_map(|family| {
                let view = family.view();
                let buffers: Vec<_> = view.buffers().cloned().collect();
                buffers.iter().any(|buffer| buffer.first_unlogged().is_some()).then_some((family, buffers))
            })
            .collect();
        for (family, _) in &unlogged {
            self.seal(&mut commit, family.id)?;
        }
        if !unlogged.is_empty() {
            self.cancel.store(false, Ordering::Release);
            self.flush_tables(&unlogged, None, &|| self.first_needed_log(&commit, &unlogged))?;
        }
        let sealed_wals = self.committer.finish_log(&mut commit)?;
        let last_sequence = Some(commit.last_sequence);
        drop(commit);
        let _one = self.install.lock();
        self.apply_edits(vec![VersionEdit { sealed_wals, last_sequence, ..VersionEdit::default() }])?;
        self.versions.seal()?;
        self.log(LogLevel::Info, format_args!("closed"));
        Ok(())
    }
}
