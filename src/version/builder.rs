//! A version plus edits gives the next version.
//!
//! Removals and additions are checked against what is there, and every changed level is sorted into runs and
//! checked for V2 again. A violation is told as text: at recovery it is corruption, before a write our mistake.

use super::file_meta::FileMeta;
use super::version::{Level, Run, Version};
use super::{DEFAULT_LEVELS, MAX_LEVELS};
use crate::base::InternalComparator;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// Builds the version after some edits.
pub(super) struct VersionBuilder {
    base: Arc<Version>,
    order: InternalComparator,
    /// Levels that changed, flat.
    changed: BTreeMap<usize, Vec<Arc<FileMeta>>>,
    numbers: HashSet<u64>,
    removed: Vec<Arc<FileMeta>>,
}

/// A version ready to be installed.
pub(super) struct Built {
    pub(super) version: Arc<Version>,
    /// Tables of the base that the new version does not list.
    pub(super) gone: Vec<Arc<FileMeta>>,
}

impl VersionBuilder {
    pub(super) fn new(base: Arc<Version>, order: InternalComparator) -> Self {
        let numbers = base.files().map(|(_, file)| file.number).collect();
        VersionBuilder { base, order, changed: BTreeMap::new(), numbers, removed: Vec::new() }
    }

    fn level(&mut self, level: u32) -> &mut Vec<Arc<FileMeta>> {
        let base = &self.base;
        self.changed.entry(level as usize).or_insert_with(|| {
            base.runs(level as usize).iter().flat_map(|run| run.files.iter().cloned()).collect()
        })
    }

    /// Takes a table out.
    pub(super) fn remove(&mut self, level: u32, number: u64) -> Result<(), String> {
        let files = self.level(level);
        let at = files
            .iter()
            .position(|file| file.number == number)
            .ok_or_else(|| format!("table {number:06} is removed from level {level}, where it is not"))?;
        let file = files.swap_remove(at);
        self.numbers.remove(&number);
        self.removed.push(file);
        Ok(())
    }

    /// A table that was taken out by this builder: to be put back in at another level.
    pub(super) fn taken_out(&self, number: u64) -> Option<Arc<FileMeta>> {
        self.removed.iter().find(|file| file.number == number).cloned()
    }

    /// Puts a table in.
    pub(super) fn add(&mut self, level: u32, file: Arc<FileMeta>) -> Result<(), String> {
        if level >= MAX_LEVELS {
            return Err(format!(
                "table {:06} is added to level {level}, the limit is {MAX_LEVELS}",
                file.number
            ));
        }
        if !self.numbers.insert(file.number) {
            return Err(format!("table {:06} is added twice", file.number));
        }
        self.level(level).push(file);
        Ok(())
    }

    /// The version, with every changed level in order and checked.
    pub(super) fn finish(self) -> Result<Built, String> {
        let mut levels = self.base.levels.clone();
        let deepest = self.changed.keys().next_back().map_or(0, |level| level + 1);
        levels.resize_with(levels.len().max(deepest).max(DEFAULT_LEVELS), Level::default);
        for (level, files) in self.changed {
            levels[level] = match level {
                0 => newest_first(files, &self.order),
                _ => sorted_runs(level, files, &self.order)?,
            };
        }
        let gone = self.removed.into_iter().filter(|file| !self.numbers.contains(&file.number)).collect();
        Ok(Built { version: Arc::new(Version { levels }), gone })
    }
}

/// Level 0: each table is a run; the one with the newest entry first.
fn newest_first(mut files: Vec<Arc<FileMeta>>, order: &InternalComparator) -> Level {
    files.sort_by_key(|file| std::cmp::Reverse((file.properties.largest_sequence, file.number)));
    Level { runs: files.into_iter().map(|file| Run::new(vec![file], order)).collect() }
}

/// Levels below 0: tables by run, runs with the largest number first, each run in key order and without overlap.
fn sorted_runs(level: usize, files: Vec<Arc<FileMeta>>, order: &InternalComparator) -> Result<Level, String> {
    let mut by_run: BTreeMap<u64, Vec<Arc<FileMeta>>> = BTreeMap::new();
    for file in files {
        by_run.entry(file.run).or_default().push(file);
    }
    let mut runs = Vec::with_capacity(by_run.len());
    for (_, mut files) in by_run.into_iter().rev() {
        files.sort_by(|a, b| order.compare(&a.properties.smallest, &b.properties.smallest));
        check_v2(level, &files, order)?;
        runs.push(Run::new(files, order));
    }
    Ok(Level { runs })
}

/// V2: tables of one run never share a user key.
fn check_v2(level: usize, files: &[Arc<FileMeta>], order: &InternalComparator) -> Result<(), String> {
    for pair in files.windows(2) {
        if !pair[0].ends_before(pair[1].smallest_user(), order) {
            return Err(format!(
                "tables {:06} and {:06} of level {level} overlap",
                pair[0].number, pair[1].number
            ));
        }
    }
    Ok(())
}
