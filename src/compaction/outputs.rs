//! The tables that a merge writes, and where one ends and the next begins.
//!
//! Tables are cut between user keys only (V2), when they have their size or when they meet so much of the level
//! below that compacting them later would be a burden. Range tombstones are clipped to the cuts: the part before
//! the next table's first key goes into this one, the rest into those that follow. Unless `finish` succeeds, every
//! file made is removed.

use super::placement::Placement;
use super::rate_limit::Priority;
use super::shadowing::Keeper;
use super::{LevelOptions, MergeContext};
use crate::base::file_name::{FileKind, path_of};
use crate::base::range_tombstone::RangeTombstone;
use crate::base::{InternalComparator, Result};
use crate::sst::{SpareKeyMemory, TableBuilder};
use crate::version::{FileMeta, NewFile};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Bytes written between two visits to the rate limiter.
const PACE_BYTES: u64 = 128 << 10;
/// Keys between two looks at the cancel flag.
const CANCEL_KEYS: u32 = 256;

/// Where tables end.
pub(crate) struct Cuts {
    target_size: u64,
    max_grandparent_bytes: u64,
    /// Tables of the level below the output that meet the merge, in key order.
    grandparents: Vec<Arc<FileMeta>>,
    next_grandparent: usize,
    met_bytes: u64,
}

impl Cuts {
    /// Cuts for outputs into `level`.
    pub(crate) fn new(level: usize, options: &LevelOptions, grandparents: Vec<Arc<FileMeta>>) -> Cuts {
        Cuts {
            target_size: options.target_size(level),
            max_grandparent_bytes: options.max_grandparent_bytes(level),
            grandparents,
            next_grandparent: 0,
            met_bytes: 0,
        }
    }

    /// No cuts: one table of everything.
    pub(crate) fn none() -> Cuts {
        Cuts {
            target_size: u64::MAX,
            max_grandparent_bytes: u64::MAX,
            grandparents: Vec::new(),
            next_grandparent: 0,
            met_bytes: 0,
        }
    }

    /// False for `none`.
    fn are_possible(&self) -> bool {
        self.target_size < u64::MAX || self.max_grandparent_bytes < u64::MAX
    }

    /// Whether to cut before `key`, the current table being `size` bytes.
    fn before(&mut self, key: &[u8], size: u64, order: &InternalComparator) -> bool {
        while let Some(file) = self.grandparents.get(self.next_grandparent) {
            if !file.ends_before(key, order) {
                break;
            }
            self.met_bytes += file.properties.file_size;
            self.next_grandparent += 1;
        }
        size >= self.target_size || self.met_bytes > self.max_grandparent_bytes
    }
}

struct Current {
    number: u64,
    builder: TableBuilder,
    /// Bytes that the rate limiter knows of.
    charged: u64,
    /// Bytes that were added when the table's size was last looked at.
    looked: u64,
}

/// Writes tables; see the module's text.
pub(crate) struct Outputs<'a> {
    context: &'a MergeContext,
    level: u32,
    priority: Priority,
    cuts: Cuts,
    /// In order of their starts.
    tombstones: Vec<RangeTombstone>,
    /// Tombstones from this one on begin behind the finished tables.
    next_tombstone: usize,
    /// Those before that one that reach behind the finished tables.
    reaching: Vec<usize>,
    /// Where the current table begins; `None` for the first.
    lower: Option<Vec<u8>>,
    current: Option<Current>,
    finished: Vec<NewFile>,
    created: Vec<u64>,
    committed: bool,
    keys: u32,
    placement: Placement<'a>,
}

impl<'a> Outputs<'a> {
    /// Outputs into `level` with `tombstones`, in order of their starts.
    pub(crate) fn new(
        context: &'a MergeContext,
        level: usize,
        priority: Priority,
        cuts: Cuts,
        tombstones: Vec<RangeTombstone>,
    ) -> Outputs<'a> {
        Outputs {
            context,
            level: level as u32,
            priority,
            cuts,
            tombstones,
            next_tombstone: 0,
            reaching: Vec::new(),
            lower: None,
            current: None,
            finished: Vec::new(),
            created: Vec::new(),
            committed: false,
            keys: 0,
            placement: Placement::new(context, priority),
        }
    }

    /// Finishes the last table and makes all of them durable.
    pub(crate) fn finish(mut self) -> Result<Vec<NewFile>> {
        if self.current.is_none() && !self.tombstones.is_empty() {
            self.open()?;
        }
        // Values first: a table that is whole, which a repair may find, has all that it points to.
        self.placement.finish()?;
        self.finish_table(None)?;
        if !self.finished.is_empty() {
            self.context.env.sync_dir(&self.context.sst_dir)?;
        }
        self.committed = true;
        Ok(std::mem::take(&mut self.finished))
    }

    fn open(&mut self) -> Result<()> {
        let context = self.context;
        let number = context.next_file_number.fetch_add(1, Ordering::AcqRel);
        let path = path_of(&context.sst_dir, FileKind::Table(number));
        self.created.push(number);
        let file = context.direct.create(&*context.env, &path)?;
        let mut builder =
            TableBuilder::new(file, number, context.table_options.clone(), context.io_buffer_size);
        builder.set_bytes_per_sync(context.bytes_per_sync);
        if self.priority == Priority::Flush {
            builder.set_apart(Arc::clone(&context.env));
            builder.set_key_memory(SpareKeyMemory::of_process());
        }
        self.current = Some(Current { number, builder, charged: 0, looked: 0 });
        Ok(())
    }

    /// Ends the current table, if there is one, before `upper`.
    fn finish_table(&mut self, upper: Option<&[u8]>) -> Result<()> {
        let Some(mut current) = self.current.take() else { return Ok(()) };
        self.add_tombstones(&mut current.builder, upper)?;
        let properties = current.builder.finish()?;
        self.pace(properties.file_size.saturating_sub(current.charged));
        self.lower = upper.map(<[u8]>::to_vec);
        self.finished.push(NewFile { level: self.level, run: 0, number: current.number, properties });
        Ok(())
    }

    fn add_tombstones(&mut self, builder: &mut TableBuilder, upper: Option<&[u8]>) -> Result<()> {
        let order = &self.context.order;
        let rest = &self.tombstones[self.next_tombstone..];
        let begins_before = |upper| rest.partition_point(|t| order.compare_user(&t.start, upper).is_lt());
        let begun = self.next_tombstone + upper.map_or(rest.len(), begins_before);
        self.reaching.extend(self.next_tombstone..begun);
        self.next_tombstone = begun;
        for &index in &self.reaching {
            let mut clipped = self.tombstones[index].clone();
            if let Some(lower) =
                self.lower.as_ref().filter(|lower| order.compare_user(lower, &clipped.start).is_gt())
            {
                clipped.start.clone_from(lower);
            }
            if let Some(upper) = upper.filter(|upper| order.compare_user(&clipped.end, upper).is_gt()) {
                clipped.end = upper.to_vec();
            }
            builder.add_range_tombstone(&clipped)?;
        }
        let tombstones = &self.tombstones;
        let reaches = |index: &usize| {
            upper.is_some_and(|upper| order.compare_user(&tombstones[*index].end, upper).is_gt())
        };
        self.reaching.retain(reaches);
        Ok(())
    }

    fn pace(&self, bytes: u64) {
        if let Some(limiter) = &self.context.rate_limiter {
            limiter.request(bytes, self.priority, &self.context.cancel);
        }
    }
}

impl Keeper for Outputs<'_> {
    fn begin_key(&mut self, user_key: &[u8]) -> Result<()> {
        self.keys = self.keys.wrapping_add(1);
        if self.keys.is_multiple_of(CANCEL_KEYS) {
            self.context.check_cancel()?;
        }
        let Some(current) = &mut self.current else { return self.open() };
        let added = current.builder.added_bytes();
        if !self.cuts.are_possible() && added - current.looked < PACE_BYTES / 2 {
            return Ok(());
        }
        current.looked = added;
        let size = current.builder.estimated_size();
        let unpaced = size.saturating_sub(current.charged);
        if unpaced >= PACE_BYTES {
            current.charged = size;
            self.pace(unpaced);
        }
        if self.cuts.before(user_key, size, &self.context.order) {
            self.finish_table(Some(user_key))?;
            self.cuts.met_bytes = 0;
            self.open()?;
        }
        Ok(())
    }

    #[inline]
    fn add(&mut self, internal_key: &[u8], value: &[u8]) -> Result<()> {
        let current = self.current.as_mut().expect("begin_key opens a table");
        let (internal_key, value) = self.placement.place(internal_key, value)?;
        current.builder.add(internal_key, value)
    }
}

impl Drop for Outputs<'_> {
    fn drop(&mut self) {
        if self.committed {
            return;
        }
        self.current = None;
        for &number in &self.created {
            // What cannot be removed now is an orphan, which the sweep removes.
            let _ = self.context.env.remove_file(&path_of(&self.context.sst_dir, FileKind::Table(number)));
        }
    }
}
