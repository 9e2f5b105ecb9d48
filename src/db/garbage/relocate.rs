//! Emptying segments: copy what is alive, then rewrite the tables that point to it.
//!
//! Garbage that is hidden behind newer entries (`histories`) is found here first, by reading all pointers in order:
//! once to count it, so that the segments are chosen by what is really alive in them, and once while copying. It is
//! left behind, and its entries become deletions.
//!
//! Tables are rewritten in their place, but for those that a compaction is to rewrite soon anyway: it is done at once,
//! and replaces the pointers as they pass.

use super::histories::{Histories, Judged, Readers};
use super::space::{Candidate, Space};
use super::{AskedFor, Survey};
use crate::base::error::Subcode;
use crate::base::expiry::{decoded_pointer, seen_at};
use crate::base::extension::LogLevel;
use crate::base::key::ParsedKey;
use crate::base::{EntryKind, Error, Result, SequenceNumber, ValuePointer};
use crate::compaction::rate_limit::Priority;
use crate::compaction::{self, CompactionPlan, plan_in_place};
use crate::db::background::Job;
use crate::db::family::Family;
use crate::db::state::{BackgroundState, Engine};
use crate::sst::TableRead;
use crate::value_log::{Copied, Copier, Moves, Relocation};
use crate::version::{FileMeta, Version};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Bytes copied between two visits to the rate limiter and looks at the cancel flag.
const PACE_BYTES: u64 = 1 << 20;

/// A compaction is due soon where a level hides this part of what it may.
const SOON_DUE: u64 = 8;
/// Hidden values left behind at once: each takes some memory until the tables are rewritten.
const MOST_HIDDEN: usize = 1 << 20;
/// Entries between two looks at the cancel flag.
const CANCEL_ENTRIES: u32 = 4096;

/// What a relocation chooses from and copies.
pub(in crate::db) struct CopyWork {
    /// By what is known to be dead in them.
    victims: Vec<Candidate>,
    space: Space,
    candidates: Vec<Candidate>,
    asked_for: Option<AskedFor>,
    /// Tables at the moment of the survey. What memtables point into is no victim; a write that was under
    /// way then and holds one may bring a pointer into it later, and its table keeps the segment for the next time.
    versions: Vec<(Arc<Family>, Arc<Version>)>,
}

/// A pointer that some table has.
struct Found<'a> {
    user_key: &'a [u8],
    sequence: SequenceNumber,
    pointer: ValuePointer,
    is: Is,
}

/// What the entry of a pointer is.
#[derive(Clone, Copy, PartialEq)]
enum Is {
    Alive,
    /// Garbage that no compaction has met: left behind, rewriting its table makes a deletion of it.
    Hidden,
    /// The same, by itself.
    Expired,
}

/// Pointers copied so far.
struct Copying<'a> {
    copier: &'a mut Copier,
    moves: Moves,
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
        // Copies would come on top of segments that running jobs are about to let go of, or whose files are being
        // removed: whoever does that looks again.
        if survey.space.going() >= self.garbage.bound.segment {
            return self.remove_first(state, &survey.space);
        }
        let asked_for = state.garbage.asked_for;
        let victims = self.choose_victims(&survey.space, &survey.candidates, asked_for);
        if victims.is_empty() {
            state.garbage.look = false;
            state.garbage.asked_for = None;
            return None;
        }
        if !self.garbage.bound.has_room_beside_what_goes(&survey.space, &victims) {
            return self.remove_first(state, &survey.space);
        }
        state.garbage.removes_first = false;
        state.garbage.copying = true;
        state.garbage.copies_from = self.next_file_number.load(Ordering::Acquire);
        self.expect_copies(state, &victims);
        let Survey { space, candidates, views, .. } = survey;
        let versions = views.iter().map(|(family, view)| (Arc::clone(family), Arc::clone(&view.version)));
        let versions = versions.collect();
        Some(Job::Copy(CopyWork { victims, space, candidates, asked_for, versions }))
    }

    /// Nobody may be about to remove what is leaving. Who has just let go of it may not have said so yet.
    fn remove_first(&self, state: &mut BackgroundState, space: &Space) -> Option<Job> {
        let job = self.value_log.has_obsolete().then_some(Job::Remove);
        state.garbage.removes_first = job.is_none() && space.leaving > 0;
        job
    }

    /// Writers leave room for the copies.
    fn expect_copies(&self, state: &mut BackgroundState, victims: &[Candidate]) {
        let live: u64 = victims.iter().map(|victim| victim.live).sum();
        state.garbage.copied_then = self.value_log.stats().copied_bytes + live;
        self.update_pressure(state);
    }

    fn tell_choice(&self, space: &Space, victims: &[Candidate]) {
        let list: Vec<String> = victims
            .iter()
            .map(|victim| format!("{:06} ({} of {} bytes dead)", victim.segment, victim.dead(), victim.bytes))
            .collect();
        self.log(
            LogLevel::Info,
            format_args!(
                "value log: {} bytes for {} live ones is {:.3}, above {}: emptying {}",
                space.total,
                self.garbage.bound.live(space),
                self.garbage.bound.ratio(space),
                self.garbage.bound.factor,
                list.join(", ")
            ),
        );
    }

    /// A compaction that is due soon and rewrites tables which are to be rewritten anyway.
    fn next_repointing_compaction(
        &self,
        state: &mut BackgroundState,
        relocation: &Relocation,
    ) -> Option<Job> {
        if state.compactions >= self.compaction_slots() || state.garbage.asked_for.is_some() {
            return None;
        }
        for family in self.all_families() {
            if family.is_dropped() || family.options.read().disable_auto_compactions {
                continue;
            }
            let version = Arc::clone(&family.view().version);
            let mut options = self.level_options(&family);
            options.hidden_value_budget = (options.hidden_value_budget / SOON_DUE).max(1);
            let Some(plan) = compaction::pick(family.id, &version, &options, &family.order) else { continue };
            if plan.trivial_move {
                // It rewrites nothing.
                continue;
            }
            let bytes = |file: &Arc<FileMeta>| file.properties.file_size;
            let referring = plan.files().filter(|file| refers_to(file, relocation.victims()));
            if referring.map(bytes).sum::<u64>() >= plan.input_bytes() / 2 {
                state.compactions += 1;
                return Some(Job::Compact(family, version, plan));
            }
        }
        None
    }

    /// A table to rewrite, and whether there are others that a compaction has now.
    fn next_repointing(
        &self,
        state: &mut BackgroundState,
        relocation: &Arc<Relocation>,
    ) -> (Option<Job>, bool) {
        if let Some(job) = self.next_repointing_compaction(state, relocation) {
            return (Some(job), true);
        }
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
            state.garbage.left_alone.extend(still.filter(|segment| !relocation.has_emptied(*segment)));
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

    /// Chooses the victims, copies what tables refer to in them, and offers it for rewriting tables (G1).
    pub(in crate::db) fn copy_values(&self, work: &CopyWork) -> Result<()> {
        let readers = Readers::of(self);
        let victims = self.choose_by_what_is_alive(work, &readers)?;
        self.tell_choice(&work.space, &victims);
        let victims: BTreeSet<u64> = victims.iter().map(|victim| victim.segment).collect();
        let mut copier = self.garbage.copier.lock();
        let mut copying = Copying {
            copier: &mut copier,
            moves: Moves::out_of(victims.clone()),
            damaged: BTreeSet::new(),
            bytes: 0,
            unpaced: 0,
        };
        let outcome = self.copy_all(work, &readers, &victims, &mut copying);
        let Copying { moves, damaged, bytes, .. } = copying;
        let holds = match outcome.and_then(|()| copier.finish(&self.value_log)) {
            Ok(holds) => holds,
            Err(error) => {
                copier.abandon(&self.value_log);
                self.garbage.no_room.store(error.subcode() == Subcode::NoSpace, Ordering::Relaxed);
                return Err(error);
            }
        };
        drop(copier);
        self.garbage.no_room.store(false, Ordering::Relaxed);
        let stats = &self.garbage.stats;
        stats.relocations.fetch_add(1, Ordering::Relaxed);
        stats.values.fetch_add(moves.values(), Ordering::Relaxed);
        stats.copied.fetch_add(bytes, Ordering::Relaxed);
        stats.left_behind.fetch_add(moves.hidden_bytes(), Ordering::Relaxed);
        let relocation = Arc::new(Relocation::new(moves, holds));
        let mut state = self.state.lock();
        state.garbage.left_alone.extend(damaged);
        state.garbage.relocation = Some(relocation);
        Ok(())
    }

    /// The victims, by what is alive in the segments apart from what is hidden.
    fn choose_by_what_is_alive(&self, work: &CopyWork, readers: &Readers) -> Result<Vec<Candidate>> {
        if work.asked_for.is_some() || work.space.hidden == 0 {
            return Ok(work.victims.clone());
        }
        let segments: BTreeSet<u64> = work.candidates.iter().map(|candidate| candidate.segment).collect();
        let mut hidden: HashMap<u64, u64> = HashMap::new();
        for (family, version) in &work.versions {
            self.find_values(family, version, readers, &segments, &mut |found| {
                if found.is != Is::Alive {
                    *hidden.entry(found.pointer.segment).or_default() += u64::from(found.pointer.record_len);
                }
                Ok(())
            })?;
        }
        let mut candidates = work.candidates.clone();
        for candidate in &mut candidates {
            let hidden = hidden.get(&candidate.segment).copied().unwrap_or(0);
            candidate.live = candidate.live.saturating_sub(hidden);
        }
        let victims = self.choose_victims(&work.space, &candidates, None);
        self.expect_copies(&mut self.state.lock(), &victims);
        Ok(victims)
    }

    fn copy_all(
        &self,
        work: &CopyWork,
        readers: &Readers,
        victims: &BTreeSet<u64>,
        copying: &mut Copying<'_>,
    ) -> Result<()> {
        for (family, version) in &work.versions {
            self.find_values(family, version, readers, victims, &mut |found| {
                match found.is {
                    _ if copying.moves.is_full() => {}
                    Is::Hidden if copying.moves.hidden() < MOST_HIDDEN => {
                        copying.moves.push_hidden(&found.pointer, found.sequence);
                    }
                    // What would take too much memory to remember is copied.
                    Is::Alive | Is::Hidden => {
                        self.copy_one(family, &found.pointer, found.user_key, copying)?;
                    }
                    Is::Expired => copying.moves.has_expired(found.pointer.segment),
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Shows every pointer into `segments`, in key order over all tables of the family, not table by table: neighbours
    /// by key lie side by side when they are copied, so that a scan reads many with one call.
    fn find_values(
        &self,
        family: &Family,
        version: &Version,
        readers: &Readers,
        segments: &BTreeSet<u64>,
        show: &mut dyn FnMut(Found<'_>) -> Result<()>,
    ) -> Result<()> {
        let read_ahead = self.options.config.performance.io_buffer_size;
        let read = TableRead { fill_cache: false, allow_io: true, read_ahead };
        let refers = |file: &FileMeta| refers_to(file, segments);
        let Some(judged) = Judged::new(family, version, refers, read) else { return Ok(()) };
        let mut histories = Histories::new(&judged.tombstones, readers, &family.order);
        let mut entries = judged.entries;
        entries.seek_to_first();
        let now = self.clock.now();
        let mut count: u32 = 0;
        while entries.valid() {
            count = count.wrapping_add(1);
            if count.is_multiple_of(CANCEL_ENTRIES) {
                self.check_copying()?;
            }
            if let Some(entry) = ParsedKey::parse(entries.key()) {
                let hidden = histories.is_hidden(&entry);
                if let Some(pointer) = decoded_pointer(entry.kind, entries.value())
                    && segments.contains(&pointer.segment)
                {
                    let expired = seen_at(entry.kind, entries.value(), now).0 == EntryKind::Delete;
                    let is = if expired { Is::Expired } else { [Is::Alive, Is::Hidden][usize::from(hidden)] };
                    let (user_key, sequence) = (entry.user_key, entry.sequence);
                    show(Found { user_key, sequence, pointer, is })?;
                }
            }
            entries.next();
        }
        entries.error().map_or(Ok(()), |error| Err(error.clone()))
    }

    fn check_copying(&self) -> Result<()> {
        if self.cancel.load(Ordering::Relaxed) {
            return Err(Error::new(crate::base::ErrorKind::ShutdownInProgress, "the copying was cancelled"));
        }
        Ok(())
    }

    fn copy_one(
        &self,
        family: &Family,
        pointer: &ValuePointer,
        key: &[u8],
        copying: &mut Copying<'_>,
    ) -> Result<()> {
        match copying.copier.copy(&self.value_log, pointer, family.id, key)? {
            Copied::To(new) => copying.moves.push(pointer, &new),
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

    fn pace_copies(&self, bytes: u64) -> Result<()> {
        self.check_copying()?;
        self.rate_limiter.request(bytes, Priority::Compaction, &self.cancel);
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
