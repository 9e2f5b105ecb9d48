//! Emptying segments: copy what is alive, then rewrite the tables that point to it.

use super::Survey;
use super::space::Candidate;
use crate::base::error::Subcode;
use crate::base::expiry::seen_at;
use crate::base::extension::LogLevel;
use crate::base::key::ParsedKey;
use crate::base::{EntryKind, Error, Result, ValuePointer};
use crate::compaction::rate_limit::Priority;
use crate::compaction::{self, CompactionPlan, plan_in_place};
use crate::db::background::Job;
use crate::db::family::Family;
use crate::db::state::{BackgroundState, Engine};
use crate::iterator::merging::merge;
use crate::sst::TableRead;
use crate::value_log::{Copied, Copier, Relocation};
use crate::version::{FileMeta, Version, iterate_run};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Bytes copied between two visits to the rate limiter and looks at the cancel flag.
const PACE_BYTES: u64 = 1 << 20;

/// What a relocation copies.
pub(in crate::db) struct CopyWork {
    victims: BTreeSet<u64>,
    /// Tables at the moment the victims were chosen. What memtables point into is no victim; a write that was under
    /// way then and holds one may bring a pointer into it later, and its table keeps the segment for the next time.
    versions: Vec<(Arc<Family>, Arc<Version>)>,
}

/// Pointers copied so far.
struct Copying<'a> {
    copier: &'a mut Copier,
    moved: Vec<(ValuePointer, ValuePointer)>,
    damaged: BTreeSet<u64>,
    bytes: u64,
    unpaced: u64,
}

fn refers_to(file: &FileMeta, victims: &BTreeSet<u64>) -> bool {
    file.properties.segments.iter().any(|used| victims.contains(&used.segment))
}

impl Engine {
    /// The next step of garbage collection that is due. Called under the state lock; marks it as running.
    pub(in crate::db) fn next_garbage_job(&self, state: &mut BackgroundState) -> Option<Job> {
        if state.garbage.is_running() {
            return None;
        }
        if let Some(relocation) = state.garbage.relocation.clone() {
            let (job, waiting) = self.next_repointing(state, &relocation);
            if job.is_some() || waiting {
                return job;
            }
            self.end_relocation(state);
        }
        if !state.garbage.look {
            return None;
        }
        let survey = self.survey(&state.garbage);
        if survey.space.passing + survey.space.leaving >= self.garbage.bound.segment {
            // Copies would come on top of segments that running jobs are about to let go of, or whose files are being
            // removed: whoever does that looks again. Nobody may be about to.
            return self.value_log.has_obsolete().then_some(Job::Remove);
        }
        let victims = self.choose_victims(&survey, state.garbage.asked_for);
        if victims.is_empty() {
            state.garbage.look = false;
            state.garbage.asked_for = None;
            return None;
        }
        self.tell_choice(&survey, &victims);
        state.garbage.copying = true;
        let live: u64 = victims.iter().map(|victim| victim.live).sum();
        state.garbage.copies_from = self.next_file_number.load(Ordering::Acquire);
        state.garbage.copied_then = self.value_log.stats().copied_bytes + live;
        let versions =
            survey.views.iter().map(|(family, view)| (Arc::clone(family), Arc::clone(&view.version)));
        let victims = victims.iter().map(|victim| victim.segment).collect();
        // Writers leave room for the copies.
        self.update_pressure(state);
        Some(Job::Copy(CopyWork { victims, versions: versions.collect() }))
    }

    fn tell_choice(&self, survey: &Survey, victims: &[Candidate]) {
        let space = &survey.space;
        let list: Vec<String> = victims
            .iter()
            .map(|victim| format!("{:06} ({} of {} bytes dead)", victim.segment, victim.dead(), victim.bytes))
            .collect();
        self.log(
            LogLevel::Info,
            format_args!(
                "value log: {} bytes for {} live ones is {:.3}, above {}: emptying {}",
                space.total,
                space.live(),
                space.ratio(),
                self.garbage.bound.factor,
                list.join(", ")
            ),
        );
    }

    /// A table to rewrite, and whether there are others that a compaction has now.
    fn next_repointing(
        &self,
        state: &mut BackgroundState,
        relocation: &Arc<Relocation>,
    ) -> (Option<Job>, bool) {
        let mut waiting = false;
        for family in self.all_families() {
            let version = Arc::clone(&family.view().version);
            for (level, file) in version.files() {
                if !refers_to(file, relocation.victims()) || state.garbage.repointed.contains(&file.number) {
                    continue;
                }
                waiting = true;
                if let Some(plan) = plan_in_place(family.id, &version, level, file, &family.order) {
                    state.garbage.repointing = true;
                    return (Some(Job::Repoint(family, plan)), true);
                }
            }
        }
        (None, waiting)
    }

    fn end_relocation(&self, state: &mut BackgroundState) {
        state.garbage.repointed.clear();
        if let Some(relocation) = state.garbage.relocation.take() {
            // What could not be moved would be chosen again and again. Where something was, more has come since: writes
            // that had their values in the segment before it was chosen, and reached a table only now.
            let uses = self.versions.segment_use();
            let still = uses.iter().map(|used| used.segment).filter(|s| relocation.victims().contains(s));
            state.garbage.left_alone.extend(still.filter(|segment| !relocation.has_moved_from(*segment)));
            self.log(
                LogLevel::Info,
                format_args!(
                    "value log: {} values of {} bytes out of {} segments moved",
                    relocation.values(),
                    relocation.bytes(),
                    relocation.victims().len()
                ),
            );
        }
        state.garbage.look = true;
    }

    /// Copies what tables refer to in the victims, and offers it for rewriting tables (G1).
    pub(in crate::db) fn copy_values(&self, work: &CopyWork) -> Result<()> {
        let mut copier = self.garbage.copier.lock();
        let mut copying = Copying {
            copier: &mut copier,
            moved: Vec::new(),
            damaged: BTreeSet::new(),
            bytes: 0,
            unpaced: 0,
        };
        let outcome = self.copy_all(work, &mut copying);
        let (moved, damaged, bytes) = (copying.moved, copying.damaged, copying.bytes);
        let holds = match outcome.and_then(|()| copier.finish(&self.value_log)) {
            Ok(holds) => holds,
            Err(error) => {
                copier.abandon();
                self.garbage.no_room.store(error.subcode() == Subcode::NoSpace, Ordering::Relaxed);
                return Err(error);
            }
        };
        drop(copier);
        self.garbage.no_room.store(false, Ordering::Relaxed);
        let stats = &self.garbage.stats;
        stats.relocations.fetch_add(1, Ordering::Relaxed);
        stats.values.fetch_add(moved.len() as u64, Ordering::Relaxed);
        stats.copied.fetch_add(bytes, Ordering::Relaxed);
        let relocation = Arc::new(Relocation::new(work.victims.clone(), moved, holds));
        let mut state = self.state.lock();
        state.garbage.left_alone.extend(damaged);
        state.garbage.relocation = Some(relocation);
        Ok(())
    }

    fn copy_all(&self, work: &CopyWork, copying: &mut Copying<'_>) -> Result<()> {
        for (family, version) in &work.versions {
            self.copy_of_family(family, version, &work.victims, copying)?;
        }
        Ok(())
    }

    /// In key order over all tables of the family, not table by table: neighbours by key lie side by side afterwards,
    /// so that a scan reads many with one call.
    fn copy_of_family(
        &self,
        family: &Family,
        version: &Version,
        victims: &BTreeSet<u64>,
        copying: &mut Copying<'_>,
    ) -> Result<()> {
        let read_ahead = self.options.config.performance.io_buffer_size;
        let read = TableRead { fill_cache: false, allow_io: true, read_ahead };
        let mut runs = Vec::new();
        for run in version.levels.iter().flat_map(|level| &level.runs) {
            let files: Vec<_> = run.files.iter().filter(|file| refers_to(file, victims)).cloned().collect();
            if !files.is_empty() {
                runs.push(iterate_run(files, read, &family.order));
            }
        }
        let mut entries = merge(runs, &family.order);
        entries.seek_to_first();
        // What has expired stays behind: rewriting its table makes a deletion of it.
        let now = self.clock.now();
        while entries.valid() {
            if let Some(entry) = ParsedKey::parse(entries.key())
                && let (EntryKind::Pointer, pointer) = seen_at(entry.kind, entries.value(), now)
                && let Some(pointer) = ValuePointer::decode(pointer)
                && victims.contains(&pointer.segment)
            {
                self.copy_one(family, &pointer, entry.user_key, copying)?;
            }
            entries.next();
        }
        entries.error().map_or(Ok(()), |error| Err(error.clone()))
    }

    fn copy_one(
        &self,
        family: &Family,
        pointer: &ValuePointer,
        key: &[u8],
        copying: &mut Copying<'_>,
    ) -> Result<()> {
        match copying.copier.copy(&self.value_log, pointer, family.id, key)? {
            Copied::To(new) => copying.moved.push((*pointer, new)),
            Copied::Damaged(what) => {
                if copying.damaged.insert(pointer.segment) {
                    self.log(
                        LogLevel::Warn,
                        format_args!(
                            "value log: the value at {:06}.vlog @ {} stays where it is, with its segment: {what}",
                            pointer.segment, pointer.offset
                        ),
                    );
                }
            }
        }
        let len = u64::from(pointer.record_len);
        copying.bytes += len;
        copying.unpaced += len;
        if copying.unpaced >= PACE_BYTES {
            self.pace_copies(std::mem::take(&mut copying.unpaced))?;
        }
        Ok(())
    }

    /// Copies are background writing; but while writers wait for them, they do not wait themselves.
    fn pace_copies(&self, bytes: u64) -> Result<()> {
        if self.cancel.load(Ordering::Relaxed) {
            return Err(Error::new(crate::base::ErrorKind::ShutdownInProgress, "the copying was cancelled"));
        }
        let is_urgent = self.throttle.values_are_held_back();
        let priority = if is_urgent { Priority::Flush } else { Priority::Compaction };
        self.rate_limiter.request(bytes, priority, &self.cancel);
        Ok(())
    }

    /// Replaces one table by its copy with new pointers.
    pub(in crate::db) fn repoint(&self, family: &Arc<Family>, plan: &CompactionPlan) -> Result<()> {
        // Whether older versions may exist decides nothing here but the codec of the last level.
        let context = self.merge_context(family, plan.output_level, plan.bottommost);
        let edit = compaction::rewrite_in_place(plan, &context)?;
        let outputs: Vec<u64> = edit.added.iter().map(|file| file.number).collect();
        let bytes: u64 = edit.added.iter().map(|file| file.properties.file_size).sum();
        if family.is_dropped() {
            self.remove_outputs(&outputs);
            return Ok(());
        }
        if let Err(error) = self.install(vec![edit], |_, view| view.sealed.clone()) {
            self.remove_outputs(&outputs);
            return if family.is_dropped() { Ok(()) } else { Err(error) };
        }
        self.garbage.stats.tables.fetch_add(bytes, Ordering::Relaxed);
        self.state.lock().garbage.repointed.extend(outputs);
        Ok(())
    }
}
