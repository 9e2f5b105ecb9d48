//! What background work does: flush sealed memtables, run compactions, install the outcome, remove what is obsolete.
//!
//! Invariant W2 (flush barrier): before the edit that retires WAL records is written, every segment the flushed
//! memtables point into is synced.
//! Invariant W3 (one history): before a flush is installed that leaves older entries in other memtables, the WAL is
//! durable up to the flushed entries; otherwise a power loss could keep the newer writes and lose the older. So it is
//! if the rest of a batch is in other memtables: otherwise a power loss could keep half of it.

use super::family::{Family, table_options};
use super::rescue::Rescue;
use super::state::Engine;
use crate::base::error::Subcode;
use crate::base::extension::LogLevel;
use crate::base::file_name::{FileKind, path_of};
use crate::base::range_tombstone::RangeTombstone;
use crate::base::{Result, SequenceNumber};
use crate::compaction::{self, CompactionPlan, MergeContext, Separation};
use crate::flush;
use crate::iterator::merging;
use crate::memtable::write_buffer::WriteBuffer;
use crate::read::ReadView;
use crate::value_log::Origin;
use crate::version::{NewFile, Version, VersionEdit};
use crate::write::CommitState;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Sealed memtables to flush, oldest last, by family.
pub(super) type FlushWork = [(Arc<Family>, Vec<Arc<WriteBuffer>>)];

impl Engine {
    /// What a merge into `level` needs.
    pub(super) fn merge_context(&self, family: &Family, level: usize, bottommost: bool) -> MergeContext {
        // Before the options: who holds the state lock may want them.
        let relocation = self.state.lock().garbage.relocation.clone();
        // Read once: a second read lock waits for ever behind a change of options that waits for the first.
        let options = family.options.read();
        let how = table_options(&options, level, bottommost, &self.cache, self.cache_owner);
        MergeContext {
            env: Arc::clone(&self.env),
            sst_dir: self.directories.sst.clone(),
            next_file_number: Arc::clone(&self.next_file_number),
            column_family: family.id,
            order: family.order.clone(),
            table_options: how,
            io_buffer_size: self.options.config.performance.io_buffer_size,
            direct: Arc::clone(&self.direct),
            bytes_per_sync: self.options.bytes_per_sync,
            snapshots: self.snapshots.sequences(),
            now: self.clock.now(),
            merge_operator: options.merge_operator.clone(),
            filter: options.compaction_filter.clone(),
            filter_factory: options.compaction_filter_factory.clone(),
            value_log: Arc::clone(&self.value_log),
            relocation,
            separation: None,
            rate_limiter: Some(Arc::clone(&self.rate_limiter)),
            cancel: Arc::clone(&self.cancel),
            stats: Arc::clone(&self.stats),
        }
    }

    /// Flushes what is sealed of each family now, and installs it in one edit.
    pub(super) fn flush_sealed(&self, families: &[Arc<Family>]) -> Result<()> {
        self.seal_picked(families)?;
        let work: Vec<(Arc<Family>, Vec<Arc<WriteBuffer>>)> = {
            // All of one moment: views change under this lock.
            let _state = self.state.lock();
            let all = families.iter().map(|family| (Arc::clone(family), family.view().sealed.clone()));
            all.filter(|(_, sealed)| !sealed.is_empty()).collect()
        };
        if work.is_empty() {
            return Ok(());
        }
        let last = work
            .iter()
            .flat_map(|(_, sealed)| sealed)
            .map(|buffer| buffer.last_sequence())
            .max()
            .unwrap_or(0);
        // Entries nobody may see yet must not make older versions look superseded.
        self.durability.wait(last)?;
        let needs_log = || self.oldest_unflushed(&work) <= last || self.divides_batch(&work, last);
        if self.durability.durable() < last && needs_log() {
            self.durability.sync()?; // W3
        }
        self.flush_buffers(&work)
    }

    /// Writes the memtables as tables, installs them, and removes the logs they were in.
    pub(super) fn flush_buffers(&self, work: &FlushWork) -> Result<()> {
        self.flush_tables(work, None, &|| self.first_needed_log(&self.committer.lock(), work))?;
        self.retire_logs()
    }

    /// The first log still needed once `work` is in tables.
    pub(super) fn first_needed_log(&self, commit: &CommitState, work: &FlushWork) -> Option<u64> {
        self.committer.first_needed_log(commit, self.oldest_unflushed(work))
    }

    /// Writes the memtables as tables and installs them. `first_needed_log` is asked when the tables are written (the
    /// commit lock is the caller's business: resume and close hold it). `rescue` copies values in doubt.
    pub(super) fn flush_tables(
        &self,
        work: &FlushWork,
        rescue: Option<&Arc<Rescue>>,
        first_needed_log: &dyn Fn() -> Option<u64>,
    ) -> Result<()> {
        let mut written = Vec::with_capacity(work.len());
        let outcome = self.write_and_install(work, rescue, first_needed_log, &mut written);
        if outcome.is_err() {
            // The next try writes its own: on a full device leftovers would take the room it needs.
            self.remove_outputs(&written);
        }
        outcome
    }

    fn write_and_install(
        &self,
        work: &FlushWork,
        rescue: Option<&Arc<Rescue>>,
        first_needed_log: &dyn Fn() -> Option<u64>,
        written: &mut Vec<u64>,
    ) -> Result<()> {
        let started = self.env.now();
        let mut edits = Vec::with_capacity(work.len());
        // They hold what is separated until the tables that point there are installed.
        let mut separations = Vec::with_capacity(work.len());
        for (family, sealed) in work {
            let separation = self.separation(family, Origin::Memtables);
            separations.push(Arc::clone(&separation));
            let file = self.write_table(family, sealed, separation, rescue)?;
            written.extend(file.as_ref().map(|file| file.number));
            let size = file.as_ref().map_or(0, |file| file.properties.file_size);
            self.log(
                LogLevel::Info,
                format_args!(
                    "flush of [{}]: {} memtables to {size} bytes in {:?}",
                    family.name,
                    sealed.len(),
                    self.env.now() - started
                ),
            );
            let last = sealed.iter().map(|buffer| buffer.last_sequence()).max().unwrap_or(0);
            edits.push(VersionEdit {
                column_family: family.id,
                added: file.into_iter().collect(),
                flushed_sequence: Some(last),
                last_sequence: Some(self.durability.visible().max(last)),
                ..VersionEdit::default()
            });
        }
        // W2
        let mut segments: Vec<u64> =
            work.iter().flat_map(|(_, sealed)| sealed).flat_map(|buffer| buffer.held()).collect();
        segments.sort_unstable();
        segments.dedup();
        if let Some(rescue) = rescue {
            segments = rescue.segments_to_sync(&segments);
        }
        self.value_log.sync(Some(&segments))?;
        if let Some(edit) = edits.first_mut() {
            edit.min_wal = first_needed_log();
        }
        self.install(edits, |family, view| {
            let flushed = work.iter().find(|(of, _)| of.id == family.id).map(|(_, sealed)| sealed.as_slice());
            let flushed = flushed.unwrap_or_default();
            view.sealed
                .iter()
                .filter(|held| !flushed.iter().any(|gone| Arc::ptr_eq(held, gone)))
                .cloned()
                .collect()
        })
    }

    fn write_table(
        &self,
        family: &Family,
        sealed: &[Arc<WriteBuffer>],
        separation: Arc<Separation>,
        rescue: Option<&Arc<Rescue>>,
    ) -> Result<Option<NewFile>> {
        let children = sealed.iter().map(|buffer| Arc::clone(buffer.table()).iter()).collect();
        let mut entries = merging::merge(children, &family.order);
        if let Some(rescue) = rescue {
            entries = rescue.wrap(entries, family.id);
        }
        let tombstones: Vec<RangeTombstone> = sealed
            .iter()
            .filter(|buffer| !buffer.deletions().is_empty())
            .flat_map(|buffer| buffer.deletions().all())
            .collect();
        let mut context = self.merge_context(family, 0, false);
        context.separation = Some(separation);
        // After a failed sync (resume) there may be entries nobody sees yet: what readers see now is kept.
        let visible = self.durability.visible();
        if sealed.iter().any(|buffer| buffer.last_sequence() > visible)
            && !context.snapshots.contains(&visible)
        {
            context.snapshots.push(visible);
            context.snapshots.sort_unstable();
        }
        flush::write_level0(entries, &tombstones, &context)
    }

    /// Where the values of a family belong now.
    fn separation(&self, family: &Family, origin: Origin) -> Arc<Separation> {
        Arc::new(Separation::new(origin, family.threshold.load(Ordering::Relaxed), &self.value_log))
    }

    /// Runs a compaction and installs its outcome.
    pub(super) fn compact(
        &self,
        family: &Arc<Family>,
        version: &Arc<Version>,
        plan: &CompactionPlan,
    ) -> Result<()> {
        let started = self.env.now();
        let mut context = self.merge_context(family, plan.output_level, plan.bottommost);
        context.separation = Some(self.separation(family, Origin::Tables));
        let edit = compaction::run(plan, version, &context, &self.level_options(family))?;
        let (files, bytes) =
            (edit.added.len(), edit.added.iter().map(|file| file.properties.file_size).sum::<u64>());
        let outputs: Vec<u64> = edit.added.iter().map(|file| file.number).collect();
        if family.is_dropped() {
            self.remove_outputs(&outputs);
            return Ok(());
        }
        if let Err(error) = self.install(vec![edit], |_, view| view.sealed.clone()) {
            self.remove_outputs(&outputs);
            return if family.is_dropped() { Ok(()) } else { Err(error) };
        }
        self.log(
            LogLevel::Info,
            format_args!(
                "compaction of [{}] to level {}: {} ({files} files, {bytes} bytes out) in {:?}",
                family.name,
                plan.output_level,
                plan.reason,
                self.env.now() - started
            ),
        );
        Ok(())
    }

    /// Removes tables that were not installed. Those that live are left: a moved table, and one that the manifest
    /// may name because its last write is in doubt.
    pub(super) fn remove_outputs(&self, outputs: &[u64]) {
        let live = self.versions.live_tables();
        for number in outputs.iter().filter(|number| live.binary_search(number).is_err()) {
            // What stays behind is swept at the next open.
            let _ = self.env.remove_file(&path_of(&self.directories.sst, FileKind::Table(*number)));
        }
    }

    /// Makes edits durable, then shows them to readers together with `sealed`, what remains unflushed (D1).
    pub(super) fn install(
        &self,
        edits: Vec<VersionEdit>,
        sealed: impl Fn(&Family, &ReadView) -> Vec<Arc<WriteBuffer>>,
    ) -> Result<()> {
        let ids: Vec<u32> = edits.iter().map(|edit| edit.column_family).collect();
        let _one = self.install.lock();
        self.apply_edits(edits)?;
        let mut state = self.state.lock();
        for id in ids {
            let (Some(family), Some(version)) = (self.family(id), self.versions.current(id)) else {
                continue;
            };
            let old = family.view();
            let sealed = sealed(&family, &old);
            for gone in old.sealed.iter().filter(|held| !sealed.iter().any(|kept| Arc::ptr_eq(kept, held))) {
                gone.release();
            }
            family.set_view(ReadView { active: Arc::clone(&old.active), sealed, version });
        }
        state.look_for_compactions = true;
        state.expiry_due = Some(0);
        self.update_pressure(&mut state);
        self.wake_workers(&mut state);
        Ok(())
    }

    /// Everything up to here is durable: in the log, or in tables.
    pub(super) fn durable_sequence(&self) -> SequenceNumber {
        let durable = self.durability.durable();
        let families = self.all_families();
        let unlogged = families
            .iter()
            .filter_map(|family| family.view().buffers().filter_map(|buffer| buffer.first_unlogged()).min());
        unlogged.map(|first| first - 1).fold(durable, SequenceNumber::min)
    }

    /// The smallest sequence number that is in a memtable only, those of `work` not counted.
    fn oldest_unflushed(&self, work: &FlushWork) -> SequenceNumber {
        let in_work = |buffer: &Arc<WriteBuffer>| {
            work.iter().flat_map(|(_, buffers)| buffers).any(|flushed| Arc::ptr_eq(flushed, buffer))
        };
        self.all_families()
            .iter()
            .filter(|family| !family.is_dropped())
            .flat_map(|family| {
                let view = family.view();
                let kept = view.buffers().filter(|buffer| !in_work(buffer));
                kept.map(|buffer| buffer.first_sequence()).collect::<Vec<SequenceNumber>>()
            })
            .min()
            .unwrap_or(u64::MAX)
    }

    /// Whether the batch that `last`, the newest entry of `work`, belongs to may go on in another family's memtable:
    /// then its next entry is the first there, or an older one is.
    fn divides_batch(&self, work: &FlushWork, last: SequenceNumber) -> bool {
        let holds_last = |family: &Family| {
            let buffers = work.iter().filter(|(of, _)| of.id == family.id).flat_map(|(_, buffers)| buffers);
            buffers.map(|buffer| buffer.last_sequence()).max() == Some(last)
        };
        self.all_families()
            .iter()
            // A batch is in one memtable of each family.
            .filter(|family| !family.is_dropped() && !holds_last(family))
            .any(|family| family.view().buffers().any(|buffer| buffer.first_sequence() == last + 1))
    }

    /// Removes the logs that hold nothing unflushed, or keeps their files for the next ones, after the manifest says
    /// that they are not needed.
    pub(super) fn retire_logs(&self) -> Result<()> {
        // Under the commit lock no batch is between log and memtable.
        let needed = self.first_needed_log(&self.committer.lock(), &[]);
        if needed.is_some_and(|needed| needed > self.versions.min_wal()) {
            // Two flushes at once each counted the other's memtables as unflushed.
            let _one = self.install.lock();
            self.apply_edits(vec![VersionEdit { min_wal: needed, ..VersionEdit::default() }])?;
        }
        let retired = self.committer.retire_logs(&mut self.committer.lock(), self.versions.min_wal());
        // The manifest says so durably: their files may be put to another use.
        let removed: Vec<u64> =
            retired.into_iter().filter(|number| !self.committer.recycles(*number)).collect();
        self.remove_logs(&removed);
        Ok(())
    }

    /// Removes log files; one that cannot be removed now is swept at the next open.
    pub(super) fn remove_logs(&self, numbers: &[u64]) {
        for number in numbers {
            let path = path_of(&self.directories.wal, FileKind::Wal(*number));
            if let Err(error) = self.env.remove_file(&path) {
                self.log(LogLevel::Warn, format_args!("a log file no longer needed stays for now: {error}"));
            }
        }
        if let Some(last) = numbers.iter().max() {
            self.committer.close_logs_below(last + 1);
        }
    }

    /// Removes tables, segments and manifests that nothing refers to any more.
    pub(super) fn remove_obsolete_files(&self) {
        if self.read_only || self.closed.load(Ordering::Acquire) {
            return;
        }
        for number in self.versions.take_obsolete() {
            let path = path_of(&self.directories.sst, FileKind::Table(number));
            if let Err(error) = self.env.remove_file(&path) {
                self.log(LogLevel::Warn, format_args!("a table no longer needed stays for now: {error}"));
            }
        }
        for number in self.versions.take_obsolete_manifests() {
            let path = path_of(&self.directories.db, FileKind::Manifest(number));
            match self.env.remove_file(&path) {
                // The sweep of an open may have been there first.
                Err(error) if error.subcode() != Subcode::MissingFile => {
                    self.log(
                        LogLevel::Warn,
                        format_args!("a manifest no longer needed stays for now: {error}"),
                    );
                }
                _ => {}
            }
        }
        let segments = self.value_log.take_obsolete();
        for &number in &segments {
            match self.value_log.remove(number) {
                Ok(bytes) => {
                    self.garbage.stats.segments_removed.fetch_add(1, Ordering::Relaxed);
                    self.garbage.stats.reclaimed.fetch_add(bytes, Ordering::Relaxed);
                }
                Err(error) => {
                    let what = "a segment no longer needed stays for now";
                    self.log(LogLevel::Warn, format_args!("{what}: {error}"));
                }
            }
        }
        if !segments.is_empty() {
            // Writers may wait for the space, and garbage collection to use it.
            let mut state = self.state.lock();
            self.update_pressure(&mut state);
            self.wake_for_garbage(&mut state);
        }
    }
}
