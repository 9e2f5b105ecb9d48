//! What of the entries in a family's tables is garbage that no compaction has met yet.
//!
//! An entry is hidden when a newer value or deletion of its key, or a newer range deletion, stands in a table and no
//! snapshot lies between the two. Then no read that begins from now on sees it, and that stays so:
//! - H1: what hides it survives every crash, for it is in a table of an installed version, and every later snapshot
//!   sees it, for it is visible already.
//! - H2: it goes only when something newer takes its place, or when it is a deletion below which nothing of the key is
//!   left. So what was hidden may be made a deletion, where it stands: it reads the same for all.
//! - H3: an entry below operands is not called hidden, whatever hides the operands: they may be combined with it.
//!
//! Who began to read before goes on with the tables of then.

use crate::base::key::ParsedKey;
use crate::base::range_tombstone::{RangeTombstone, TombstoneList};
use crate::base::{EntryKind, InternalComparator, SequenceNumber};
use crate::db::family::Family;
use crate::db::state::Engine;
use crate::iterator::InternalIterator;
use crate::iterator::merging::merge;
use crate::sst::TableRead;
use crate::version::{FileMeta, Version, iterate_run};
use std::collections::HashSet;
use std::sync::Arc;

/// Whom entries may be hidden from. Made after the version was taken whose entries are judged.
pub(super) struct Readers {
    /// Sequence numbers that snapshots read at, ascending.
    pub(super) snapshots: Vec<SequenceNumber>,
    /// Every later snapshot sees at least so much.
    pub(super) visible: SequenceNumber,
}

impl Readers {
    pub(super) fn of(engine: &Engine) -> Readers {
        // In this order: a snapshot that is not in the list is taken later.
        let visible = engine.durability.visible();
        Readers { snapshots: engine.snapshots.sequences(), visible }
    }

    /// How many snapshots are too old to see an entry.
    fn stripe(&self, sequence: SequenceNumber) -> usize {
        self.snapshots.partition_point(|snapshot| *snapshot < sequence)
    }
}

/// Goes through the entries of all tables in internal order.
pub(super) struct Histories<'a> {
    order: &'a InternalComparator,
    readers: &'a Readers,
    tombstones: TombstoneList,
    key: Option<Vec<u8>>,
    /// The last value or deletion of the key.
    newer: Option<SequenceNumber>,
    /// There are operands between that and the next entry.
    operands: bool,
}

impl<'a> Histories<'a> {
    pub(super) fn new(
        tombstones: &[RangeTombstone],
        readers: &'a Readers,
        order: &'a InternalComparator,
    ) -> Histories<'a> {
        let tombstones = TombstoneList::build(tombstones, order);
        Histories { order, readers, tombstones, key: None, newer: None, operands: false }
    }

    /// Takes the next entry. Whether it is hidden.
    pub(super) fn is_hidden(&mut self, entry: &ParsedKey<'_>) -> bool {
        match &mut self.key {
            Some(key) if self.order.compare_user(key, entry.user_key).is_eq() => {}
            Some(key) => {
                key.clear();
                key.extend_from_slice(entry.user_key);
                (self.newer, self.operands) = (None, false);
            }
            None => self.key = Some(entry.user_key.to_vec()),
        }
        let hidden = !self.operands && (self.is_replaced(entry) || self.is_covered(entry));
        if matches!(entry.kind, EntryKind::Merge | EntryKind::ExpiringMerge) {
            self.operands = true;
        } else if entry.sequence <= self.readers.visible {
            (self.newer, self.operands) = (Some(entry.sequence), false);
        }
        hidden
    }

    fn is_replaced(&self, entry: &ParsedKey<'_>) -> bool {
        let stripe = self.readers.stripe(entry.sequence);
        // An entry that is there twice does not hide itself.
        self.newer.is_some_and(|newer| newer > entry.sequence && self.readers.stripe(newer) == stripe)
    }

    fn is_covered(&self, entry: &ParsedKey<'_>) -> bool {
        if self.tombstones.is_empty() {
            return false;
        }
        let readers = self.readers;
        let top = readers.snapshots.get(readers.stripe(entry.sequence)).copied().unwrap_or(readers.visible);
        self.tombstones.covering_sequence(entry.user_key, top, self.order) > entry.sequence
    }
}

/// What is to be read to judge the entries of the tables that `refers` names.
pub(super) struct Judged {
    pub(super) entries: Box<dyn InternalIterator>,
    pub(super) tombstones: Vec<RangeTombstone>,
}

impl Judged {
    /// In key order over all tables of the family, not table by table. None if `refers` names none.
    pub(super) fn new(
        family: &Family,
        version: &Version,
        refers: impl Fn(&FileMeta) -> bool,
        read: TableRead,
    ) -> Option<Judged> {
        let order = &family.order;
        let mut wanted: HashSet<u64> = HashSet::new();
        for (level, file) in version.files().filter(|(_, file)| refers(file)) {
            wanted.insert(file.number);
            let range = file.range();
            // What is newer lies above or, in level 0, beside it.
            for above in 0..=level {
                wanted.extend(version.meeting(above, &range, order).map(|other| other.number));
            }
        }
        if wanted.is_empty() {
            return None;
        }
        let (mut runs, mut tombstones) = (Vec::new(), Vec::new());
        for run in version.levels.iter().flat_map(|level| &level.runs) {
            let files: Vec<Arc<FileMeta>> =
                run.files.iter().filter(|file| wanted.contains(&file.number)).cloned().collect();
            tombstones.extend(files.iter().flat_map(|file| file.table.range_tombstones().iter()));
            if !files.is_empty() {
                runs.push(iterate_run(files, read, order));
            }
        }
        Some(Judged { entries: merge(runs, order), tombstones })
    }
}
