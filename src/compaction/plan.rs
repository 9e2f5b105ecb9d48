//! From an action to inputs: which tables, checked and claimed.
//!
//! 1. Seeds: for level 0 its oldest run, elsewhere the tables whose move rewrites least of the next level.
//! 2. Level 0 is closed over: every run that meets the range joins, until none does.
//! 3. Going down to the output level, every table that meets the range joins and may widen it (C1). Tables of
//!    levels below 0 never share a user key (V2), so there is nothing to widen within a level.
//! 4. All inputs are claimed (C3); if one cannot be, nothing is.

use super::policy::leveled::targets;
use super::policy::{Action, Observation, weighted_bytes};
use super::{CompactionPlan, LevelOptions};
use crate::base::{Error, ErrorKind, InternalComparator, Result};
use crate::sst::TableProperties;
use crate::version::{FileMeta, KeyRange, Version};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bits of a claim's identity that are the output level; see `FileMeta::compaction`.
const LEVEL_BITS: u32 = 8;

/// Tables of a level that are tried as seeds before giving up, when running compactions are in the way.
const SEEDS_TRIED: usize = 8;

/// Inputs before they are claimed.
struct Inputs {
    levels: Vec<(usize, Vec<Arc<FileMeta>>)>,
    range: KeyRange,
    output_level: usize,
}

/// Holds the inputs of a compaction; lets go when dropped. Tables that an installed edit took out stay marked, so
/// that a plan made from a stale version cannot claim them.
pub(super) struct Claim {
    id: u64,
    files: Vec<Arc<FileMeta>>,
}

impl Claim {
    /// Claims all tables at the levels where `inputs` has them, or none.
    fn take(inputs: &Inputs) -> Option<Claim> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed) << LEVEL_BITS | inputs.output_level as u64;
        let mut claim = Claim { id, files: Vec::new() };
        for (level, files) in &inputs.levels {
            for file in files {
                file.compaction.compare_exchange(0, id, Ordering::AcqRel, Ordering::Acquire).ok()?;
                file.being_compacted.store(true, Ordering::Release);
                claim.files.push(file.clone());
                if file.is_obsolete() || file.current_level() as usize != *level {
                    return None;
                }
            }
        }
        Some(claim)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        for file in &self.files {
            if !file.is_obsolete() {
                debug_assert_eq!(file.compaction.load(Ordering::Acquire), self.id);
                file.being_compacted.store(false, Ordering::Release);
                file.compaction.store(0, Ordering::Release);
            }
        }
    }
}

/// Level-0 tables that meet `range`, and those that meet these, and so on: newest first.
fn close_level0(version: &Version, range: &mut KeyRange, order: &InternalComparator) -> Vec<Arc<FileMeta>> {
    let all: Vec<&Arc<FileMeta>> = version.runs(0).iter().flat_map(|run| &run.files).collect();
    let mut taken = vec![false; all.len()];
    loop {
        let mut grew = false;
        for (at, file) in all.iter().enumerate() {
            if !taken[at] && range.meets(file, order) {
                taken[at] = true;
                grew = true;
                range.extend(file, order);
            }
        }
        if !grew {
            return all
                .iter()
                .zip(taken)
                .filter(|(_, taken)| *taken)
                .map(|(file, _)| (*file).clone())
                .collect();
        }
    }
}

/// Inputs for `seeds` (tables of `level` in order) into `output_level`.
fn expand(
    version: &Version,
    level: usize,
    mut seeds: Vec<Arc<FileMeta>>,
    output_level: usize,
    order: &InternalComparator,
) -> Option<Inputs> {
    let mut range = KeyRange::around(&seeds, order)?;
    if level == 0 {
        seeds = close_level0(version, &mut range, order);
    }
    let mut levels = vec![(level, seeds)];
    for below in level + 1..=output_level {
        let files: Vec<Arc<FileMeta>> = version.meeting(below, &range, order).cloned().collect();
        files.iter().for_each(|file| range.extend(file, order));
        if !files.is_empty() {
            levels.push((below, files));
        }
    }
    Some(Inputs { levels, range, output_level })
}

/// Whether a running compaction writes to the same level a range that meets this one (C3). Its inputs may lie
/// apart with a gap between, so their common range counts.
fn meets_running(version: &Version, inputs: &Inputs, order: &InternalComparator) -> bool {
    let mut running: BTreeMap<u64, KeyRange> = BTreeMap::new();
    for (_, file) in version.files() {
        let id = file.compaction.load(Ordering::Acquire);
        if id != 0 && id & ((1 << LEVEL_BITS) - 1) == inputs.output_level as u64 {
            running.entry(id).and_modify(|range| range.extend(file, order)).or_insert_with(|| file.range());
        }
    }
    running.values().any(|range| range.meets_range(&inputs.range, order))
}

/// Whether a compaction that takes level-0 tables is running: only one at a time does.
fn level0_is_busy(version: &Version) -> bool {
    version.runs(0).iter().flat_map(|run| &run.files).any(|file| file.compaction.load(Ordering::Acquire) != 0)
}

/// Claims `inputs` and makes the plan. `None` if a running compaction is in the way.
fn claim(
    column_family: u32,
    version: &Version,
    inputs: Inputs,
    order: &InternalComparator,
    reason: String,
) -> Option<CompactionPlan> {
    if (inputs.levels[0].0 == 0 && level0_is_busy(version)) || meets_running(version, &inputs, order) {
        return None;
    }
    let claim = Claim::take(&inputs)?;
    let is_clear = |level: usize| version.meeting(level, &inputs.range, order).next().is_none();
    let bottommost = (inputs.output_level + 1..version.levels.len()).all(is_clear);
    let full = claim.files.len() == version.files().count();
    Some(CompactionPlan {
        column_family,
        inputs: inputs.levels,
        output_level: inputs.output_level,
        trivial_move: false,
        discard: false,
        bottommost,
        manual: false,
        full,
        reason,
        _claim: claim,
    })
}

/// The plan for a policy's action. `None` if there is nothing to do or running compactions are in the way.
pub(super) fn from_action(
    column_family: u32,
    version: &Version,
    action: Action,
    options: &LevelOptions,
    order: &InternalComparator,
) -> Option<CompactionPlan> {
    let Action { level, output_level, score } = action;
    let seeds = if level == 0 {
        vec![version.runs(0).last()?.files.clone()]
    } else {
        cheapest_seeds(version, level, output_level, options, order)
    };
    for seed in seeds {
        let inputs = expand(version, level, seed, output_level, order)?;
        let reason = format!("level {level} scores {score:.2}");
        if let Some(mut plan) = claim(column_family, version, inputs, order, reason) {
            plan.trivial_move = can_move(&plan, version, options, order);
            return Some(plan);
        }
    }
    None
}

/// Single tables of `level`, those first whose compaction rewrites the fewest bytes below for each own byte.
fn cheapest_seeds(
    version: &Version,
    level: usize,
    output_level: usize,
    options: &LevelOptions,
    order: &InternalComparator,
) -> Vec<Vec<Arc<FileMeta>>> {
    let mut seeds = Vec::new();
    for run in version.runs(level) {
        // Both levels are in key order, so one walk finds what each table meets.
        let below = version.runs(output_level);
        let mut from = vec![0; below.len()];
        for file in &run.files {
            let mut met = 0;
            for (run, from) in below.iter().zip(&mut from) {
                while run.files.get(*from).is_some_and(|f| f.ends_before(file.smallest_user(), order)) {
                    *from += 1;
                }
                let range = run.files[*from..].iter().take_while(|other| {
                    let side = order.compare_user(other.smallest_user(), file.largest_user());
                    side.is_lt() || (side.is_eq() && !file.largest_is_exclusive())
                });
                met += range.map(|other| other.properties.file_size).sum::<u64>();
            }
            if file.compaction.load(Ordering::Acquire) == 0 {
                let cost = met as f64 / value(file, options);
                seeds.push((cost, file));
            }
        }
    }
    seeds.sort_by(|a, b| a.0.total_cmp(&b.0));
    seeds.into_iter().take(SEEDS_TRIED).map(|(_, file)| vec![file.clone()]).collect()
}

/// What moving a table down is worth: its bytes, and more if it is mostly deletions, which free what lies below.
fn value(file: &FileMeta, options: &LevelOptions) -> f64 {
    let properties = &file.properties;
    let bytes = weighted_bytes(file, options.referenced_value_weight).max(1) as f64;
    let deletions = properties.deletions as f64 / properties.entries.max(1) as f64;
    bytes * (1.0 + 3.0 * deletions) * if properties.range_tombstones > 0 { 2.0 } else { 1.0 }
}

/// Whether the one input can change its level without being read: nothing to merge with, nothing to drop in the
/// last place where dropping is possible, and no burden for the level after.
fn can_move(
    plan: &CompactionPlan,
    version: &Version,
    options: &LevelOptions,
    order: &InternalComparator,
) -> bool {
    let mut files = plan.files();
    let (Some(file), None) = (files.next(), files.next()) else { return false };
    let properties = &file.properties;
    if plan.manual || plan.start_level() == plan.output_level {
        return false;
    }
    if plan.bottommost
        && (properties.deletions > 0 || properties.range_tombstones > 0 || properties.merges > 0)
    {
        return false;
    }
    let range = file.range();
    let burden: u64 =
        version.meeting(plan.output_level + 1, &range, order).map(|f| f.properties.file_size).sum();
    burden <= options.max_grandparent_bytes(plan.output_level)
}

/// A plan that replaces one table by its copy in the same place. `None` if a running compaction is in the way.
pub fn plan_in_place(
    column_family: u32,
    version: &Arc<Version>,
    level: usize,
    file: &Arc<FileMeta>,
    order: &InternalComparator,
) -> Option<CompactionPlan> {
    let inputs =
        Inputs { levels: vec![(level, vec![file.clone()])], range: file.range(), output_level: level };
    claim(column_family, version, inputs, order, format!("table {:06} in its place", file.number))
}

/// Whether every entry of a table expires, or is a deletion.
pub fn expires_whole(properties: &TableProperties) -> bool {
    properties.expiring > 0
        && properties.range_tombstones == 0
        && properties.expiring.saturating_add(properties.deletions) >= properties.entries
}

/// Whether every entry of a table is a deletion of one key.
pub fn only_deletes(properties: &TableProperties) -> bool {
    properties.entries > 0 && properties.range_tombstones == 0 && properties.deletions >= properties.entries
}

/// Whether older entries may lie in the range of a table: in deeper levels, and beside it.
fn has_older(
    version: &Version,
    level: usize,
    file: &Arc<FileMeta>,
    order: &InternalComparator,
) -> (bool, bool) {
    let range = file.range();
    let meets = |below: usize| version.meeting(below, &range, order).next().is_some();
    let older_runs = version.runs(0).iter().skip_while(|run| !run.files.iter().any(|f| Arc::ptr_eq(f, file)));
    let is_beside =
        level == 0 && older_runs.skip(1).flat_map(|run| &run.files).any(|other| range.meets(other, order));
    ((level + 1..version.levels.len()).any(meets), is_beside)
}

/// A plan that drops one table unread.
fn plan_discard(
    column_family: u32,
    version: &Version,
    (level, file): (usize, &Arc<FileMeta>),
    order: &InternalComparator,
    reason: String,
) -> Option<CompactionPlan> {
    let inputs =
        Inputs { levels: vec![(level, vec![file.clone()])], range: file.range(), output_level: level };
    let mut plan = claim(column_family, version, inputs, order, reason)?;
    plan.discard = true;
    Some(plan)
}

/// A plan to drop a table of deletions unread. `None` if something older lies in its range, or a running compaction is
/// in the way.
pub fn plan_needless(
    column_family: u32,
    version: &Arc<Version>,
    (level, file): (usize, &Arc<FileMeta>),
    order: &InternalComparator,
) -> Option<CompactionPlan> {
    if has_older(version, level, file, order) != (false, false) {
        return None;
    }
    let reason = format!("table {:06} deletes what is not there", file.number);
    plan_discard(column_family, version, (level, file), order, reason)
}

/// A plan for a table much of which has expired by `now`: to drop it unread, if all of it has and it hides nothing
/// older, else to compact it, to the next level if that has something of its range. `None` if a running compaction is
/// in the way.
pub fn plan_expired(
    column_family: u32,
    version: &Arc<Version>,
    (level, file): (usize, &Arc<FileMeta>),
    now: u64,
    options: &LevelOptions,
    order: &InternalComparator,
) -> Option<CompactionPlan> {
    let (is_older_below, is_older_beside) = has_older(version, level, file, order);
    let whole = expires_whole(&file.properties) && file.properties.latest_expiry <= now;
    if whole && !is_older_below && !is_older_beside {
        let reason = format!("everything in table {:06} has expired", file.number);
        return plan_discard(column_family, version, (level, file), order, reason);
    }
    let output_level = match level {
        0 => targets(&Observation::of(version, options, order)).base_level,
        _ if is_older_below => level + 1,
        _ => level,
    };
    let inputs = expand(version, level, vec![file.clone()], output_level, order)?;
    let reason = format!("much of table {:06} has expired", file.number);
    claim(column_family, version, inputs, order, reason)
}

/// A plan for the part of `level` that meets `[begin, end]`, into `output_level` (manual compaction), which may be
/// `level` itself below level 0. `Busy` if a running compaction has some of it.
pub fn plan_range(
    column_family: u32,
    version: &Arc<Version>,
    level: usize,
    output_level: usize,
    begin: Option<&[u8]>,
    end: Option<&[u8]>,
    order: &InternalComparator,
) -> Result<Option<CompactionPlan>> {
    if output_level < level || output_level == 0 || output_level >= crate::version::MAX_LEVELS as usize {
        let message = format!("cannot compact level {level} into level {output_level}");
        return Err(Error::invalid_argument(message));
    }
    let seeds = version.overlapping(level, begin, end, order);
    let Some(inputs) = expand(version, level, seeds, output_level, order) else { return Ok(None) };
    let reason = format!("level {level} into {output_level}, asked for");
    match claim(column_family, version, inputs, order, reason) {
        Some(mut plan) => {
            plan.manual = true;
            Ok(Some(plan))
        }
        None => {
            let message =
                format!("a running compaction has tables of the range in level {level} or {output_level}");
            Err(Error::new(ErrorKind::Busy, message))
        }
    }
}
