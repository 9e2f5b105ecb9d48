//! Runs a plan: merge the inputs, drop what nobody can see, write the outputs, give the edit.

use super::outputs::{Cuts, Outputs};
use super::rate_limit::Priority;
use super::shadowing::{LoggedValues, OlderVersions, Rules, Shadowing};
use super::{CompactionPlan, CompactionStats, LevelOptions, MergeContext};
use crate::base::extension::{CompactionFilter, FilterContext};
use crate::base::range_tombstone::{RangeTombstone, TombstoneList};
use crate::base::{InternalComparator, Result};
use crate::iterator::InternalIterator;
use crate::iterator::merging::merge_within;
use crate::sst::TableRead;
use crate::version::{FileMeta, KeyRange, NewFile, Version, VersionEdit, iterate_run};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(super) fn run(
    plan: &CompactionPlan,
    version: &Arc<Version>,
    context: &MergeContext,
    options: &LevelOptions,
) -> Result<VersionEdit> {
    context.check_cancel()?;
    let mut edit = VersionEdit { column_family: plan.column_family, ..VersionEdit::default() };
    for (level, files) in &plan.inputs {
        edit.removed.extend(files.iter().map(|file| (*level as u32, file.number)));
    }
    if plan.discard {
        let expired = plan.files().filter(|file| file.properties.expiring > 0).count();
        count(&context.stats.expired_tables, expired as u64);
        return Ok(edit);
    }
    if plan.trivial_move {
        edit.added = plan.files().map(|file| moved(file, plan.output_level)).collect();
        count(&context.stats.trivial_moves, edit.added.len() as u64);
        return Ok(edit);
    }
    edit.added = merge_inputs(plan, version, context, options)?;
    count(&context.stats.compactions, 1);
    count(&context.stats.read_bytes, plan.input_bytes());
    count(&context.stats.write_bytes, edit.added.iter().map(|file| file.properties.file_size).sum());
    Ok(edit)
}

fn moved(file: &FileMeta, level: usize) -> NewFile {
    NewFile { level: level as u32, run: 0, number: file.number, properties: file.properties.clone() }
}

fn merge_inputs(
    plan: &CompactionPlan,
    version: &Version,
    context: &MergeContext,
    options: &LevelOptions,
) -> Result<Vec<NewFile>> {
    let order = &context.order;
    let Some(range) = KeyRange::around(plan.files(), order) else { return Ok(Vec::new()) };
    let older = OlderTables::new(version, plan.output_level, &range, order);
    let originals: Vec<RangeTombstone> =
        plan.files().flat_map(|file| file.table.range_tombstones().iter()).collect();
    let tombstones = TombstoneList::build(&originals, order);
    let made = made_filter(plan, context);
    let values = LoggedValues { log: &context.value_log, column_family: context.column_family };
    let rules = Rules {
        order,
        snapshots: &context.snapshots,
        now: context.now,
        tombstones: &tombstones,
        merge_operator: context.merge_operator.as_deref(),
        filter: context.filter.as_deref().or(made.as_deref()),
        level: plan.start_level() as u32,
        values: &values,
    };
    let kept = rules.needed_tombstones(|tombstone| older.may_cover(tombstone));
    let grandparents = version.meeting(plan.output_level + 1, &range, order).cloned().collect();
    let cuts = Cuts::new(plan.output_level, options, grandparents);
    let outputs = Outputs::new(context, plan.output_level, Priority::Compaction, cuts, kept);
    let entries = merge_within(input_iterators(plan, context), order, (&range.start, &range.end));
    write(Shadowing::new(entries, rules, Box::new(older)), outputs, &context.stats)
}

/// Copies what stays into `outputs`. Also the body of a flush.
pub(crate) fn write(
    mut entries: Shadowing<'_>,
    mut outputs: Outputs<'_>,
    stats: &CompactionStats,
) -> Result<Vec<NewFile>> {
    entries.run(&mut outputs)?;
    let (read, written) = entries.counts();
    drop(entries);
    let files = outputs.finish()?;
    count(&stats.dropped_entries, read.saturating_sub(written));
    Ok(files)
}

fn made_filter(plan: &CompactionPlan, context: &MergeContext) -> Option<Box<dyn CompactionFilter>> {
    if context.filter.is_some() {
        return None;
    }
    let about =
        FilterContext { is_full: plan.full, is_manual: plan.manual, column_family: context.column_family };
    context.filter_factory.as_ref()?.create(about)
}

/// Newest first: each level-0 table alone, each level below as runs.
fn input_iterators(plan: &CompactionPlan, context: &MergeContext) -> Vec<Box<dyn InternalIterator>> {
    let read = TableRead { fill_cache: false, allow_io: true, read_ahead: context.io_buffer_size };
    let mut iterators: Vec<Box<dyn InternalIterator>> = Vec::new();
    for (level, files) in &plan.inputs {
        if *level == 0 {
            iterators.extend(files.iter().map(|file| file.table.iter(read)));
            continue;
        }
        for run in files.chunk_by(|a, b| a.run == b.run) {
            iterators.push(iterate_run(run.to_vec(), read, &context.order));
        }
    }
    iterators
}

/// The tables below a compaction's output level that meet its range, run by run.
struct OlderTables<'a> {
    runs: Vec<(&'a [Arc<FileMeta>], usize)>,
    order: &'a InternalComparator,
}

impl<'a> OlderTables<'a> {
    fn new(
        version: &'a Version,
        output_level: usize,
        range: &KeyRange,
        order: &'a InternalComparator,
    ) -> Self {
        let mut runs = Vec::new();
        for level in output_level + 1..version.levels.len() {
            for run in version.runs(level) {
                let from = run.position(&range.start, order);
                let to = from + run.files[from..].partition_point(|file| range.meets(file, order));
                if from < to {
                    runs.push((&run.files[from..to], 0));
                }
            }
        }
        OlderTables { runs, order }
    }

    fn may_cover(&self, tombstone: &RangeTombstone) -> bool {
        self.runs.iter().any(|(files, _)| {
            let at = files.partition_point(|file| file.ends_before(&tombstone.start, self.order));
            files
                .get(at)
                .is_some_and(|file| self.order.compare_user(file.smallest_user(), &tombstone.end).is_lt())
        })
    }
}

impl OlderVersions for OlderTables<'_> {
    fn may_exist(&mut self, user_key: &[u8]) -> bool {
        let order = self.order;
        self.runs.iter_mut().any(|(files, at)| {
            while files.get(*at).is_some_and(|file| file.ends_before(user_key, order)) {
                *at += 1;
            }
            files.get(*at).is_some_and(|file| order.compare_user(file.smallest_user(), user_key).is_le())
        })
    }
}

fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}
