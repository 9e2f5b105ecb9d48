//! What of a key's history has to stay: the heart of flush and compaction.
//!
//! Snapshots cut the history of a key into stripes: entries between two neighbouring snapshots are seen or not
//! seen together, so of each stripe only what a read at its top sees has to stay (C2).
//! 1. Entries of one user key are collected, newest first, stripe by stripe.
//! 2. In a stripe, operands are gathered until a base ends it: a value, a deletion, or a range tombstone of the
//!    same stripe. Older entries of the stripe are dropped. With a base the operands become one value; without
//!    one they are combined among themselves if the operator can, and kept else.
//! 3. At the end of the key: operands at the end of all history get their base (nothing), and deletions with
//!    nothing older below them are dropped. "Nothing older" is asked of the tables below, key by key.
//!
//! The newest value of a key is shown to the compaction filter before anything else is done with it.
//! Keys come out in order; what is kept of one key stands in one reused buffer.

use super::merge_failed;
use crate::base::extension::{CompactionFilter, FilterDecision, MergeOperator};
use crate::base::key::{MAX_SEQUENCE, append_internal_key};
use crate::base::range_tombstone::{Fragment, RangeTombstone, TombstoneList};
use crate::base::{EntryKind, Error, ErrorKind, InternalComparator, ParsedKey, Result};
use crate::base::{SequenceNumber, ValuePointer};
use crate::iterator::InternalIterator;
use crate::value_log::{ValueBytes, ValueLog};
use std::cmp::Ordering;
use std::ops::Range;

/// Tells whether older versions of a key may exist below the merge's inputs. Asked with ascending keys.
pub trait OlderVersions {
    /// False only if there are none.
    fn may_exist(&mut self, user_key: &[u8]) -> bool;
}

/// Older versions may always exist: a flush.
pub struct MayExist;

impl OlderVersions for MayExist {
    fn may_exist(&mut self, _user_key: &[u8]) -> bool {
        true
    }
}

/// Where separated values are read when a filter or merge needs them.
pub trait Values {
    /// The value of `user_key`, verified.
    fn read(&self, pointer: &ValuePointer, user_key: &[u8]) -> Result<ValueBytes>;
}

/// The values of one column family in the value log.
pub struct LoggedValues<'a> {
    /// The value log.
    pub log: &'a ValueLog,
    /// The column family, to verify the values.
    pub column_family: u32,
}

impl Values for LoggedValues<'_> {
    fn read(&self, pointer: &ValuePointer, user_key: &[u8]) -> Result<ValueBytes> {
        self.log.read(pointer, self.column_family, user_key, false, true)
    }
}

/// How histories are judged.
pub struct Rules<'a> {
    /// Order of keys.
    pub order: &'a InternalComparator,
    /// Sequence numbers that snapshots read at, ascending.
    pub snapshots: &'a [SequenceNumber],
    /// The range tombstones of all inputs.
    pub tombstones: &'a TombstoneList,
    /// Combines operands; without one they are kept as they are.
    pub merge_operator: Option<&'a dyn MergeOperator>,
    /// Judges values.
    pub filter: Option<&'a dyn CompactionFilter>,
    /// The level a filter is told.
    pub level: u32,
    /// Where separated values are read.
    pub values: &'a dyn Values,
}

impl Rules<'_> {
    /// The stripe of a sequence number: how many snapshots are too old to see it.
    #[inline]
    pub fn stripe(&self, sequence: SequenceNumber) -> usize {
        self.snapshots.partition_point(|&snapshot| snapshot < sequence)
    }

    /// The sequence number at which a stripe is read.
    #[inline]
    fn top(&self, stripe: usize) -> SequenceNumber {
        self.snapshots.get(stripe).copied().unwrap_or(MAX_SEQUENCE)
    }

    /// Of `tombstones` those that a later read or merge can need: the newest of each stripe; and none that every
    /// snapshot sees where `older` says that there is nothing below to cover.
    pub fn needed_tombstones(&self, mut covers_older: impl FnMut(&Fragment) -> bool) -> Vec<RangeTombstone> {
        let mut needed = Vec::new();
        for fragment in self.tombstones.fragments() {
            let covers = covers_older(fragment);
            let mut last_stripe = None;
            for &sequence in &fragment.sequences {
                let stripe = self.stripe(sequence);
                let same = last_stripe.replace(stripe) == Some(stripe);
                if !same && (stripe > 0 || covers) {
                    let (start, end) = (fragment.start.clone(), fragment.end.clone());
                    needed.push(RangeTombstone { start, end, sequence });
                }
            }
        }
        needed
    }
}

/// An entry that is kept, in the buffer of its key.
#[derive(Clone, Debug)]
struct Kept {
    sequence: SequenceNumber,
    kind: EntryKind,
    key: Range<usize>,
    value: Range<usize>,
}

/// Goes through a merge key by key; see the module's text.
pub struct Shadowing<'a> {
    input: Box<dyn InternalIterator + 'a>,
    rules: Rules<'a>,
    older: Box<dyn OlderVersions + 'a>,
    user_key: Vec<u8>,
    /// Keys and values of `kept`.
    bytes: Vec<u8>,
    kept: Vec<Kept>,
    /// The first tombstone fragment that does not end before the current key.
    fragment: usize,
    last_trailer: Option<(SequenceNumber, EntryKind)>,
    read: u64,
    written: u64,
}

/// How a stripe ends.
enum Base {
    /// No entry of the stripe ends it.
    None,
    /// Deleted, by an entry or a range tombstone.
    Deleted,
    /// A value, in the buffer.
    Value(Range<usize>),
    /// A value in the value log.
    Pointer(ValuePointer),
}

impl<'a> Shadowing<'a> {
    /// Judges the entries of `input`, which must be in internal order, from its first on.
    pub fn new(
        mut input: Box<dyn InternalIterator + 'a>,
        rules: Rules<'a>,
        older: Box<dyn OlderVersions + 'a>,
    ) -> Shadowing<'a> {
        debug_assert!(rules.snapshots.is_sorted());
        input.seek_to_first();
        Shadowing {
            input,
            rules,
            older,
            user_key: Vec::new(),
            bytes: Vec::new(),
            kept: Vec::new(),
            fragment: 0,
            last_trailer: None,
            read: 0,
            written: 0,
        }
    }

    /// To the next user key of which something stays; false at the end.
    pub fn next_key(&mut self) -> Result<bool> {
        loop {
            self.bytes.clear();
            self.kept.clear();
            let Some(first) = self.begin_key()? else { return Ok(false) };
            self.collect(first)?;
            if !self.kept.is_empty() {
                self.written += self.kept.len() as u64;
                return Ok(true);
            }
        }
    }

    /// The current user key.
    pub fn user_key(&self) -> &[u8] {
        &self.user_key
    }

    /// What stays of the current key, newest first: internal keys and stored values.
    pub fn entries(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.kept.iter().map(|kept| (&self.bytes[kept.key.clone()], &self.bytes[kept.value.clone()]))
    }

    /// Entries read and kept so far.
    pub fn counts(&self) -> (u64, u64) {
        (self.read, self.written)
    }

    /// The entry the input stands on, if it is a valid one. `Err` for the input's error and for keys that no
    /// table may contain: they must never be copied on.
    fn peek(&self) -> Result<Option<(SequenceNumber, EntryKind)>> {
        if !self.input.valid() {
            return match self.input.error() {
                Some(error) => Err(error.clone()),
                None => Ok(None),
            };
        }
        let key = self.input.key();
        match ParsedKey::parse(key) {
            Some(parsed) if parsed.kind != EntryKind::RangeDelete => Ok(Some((parsed.sequence, parsed.kind))),
            _ => Err(corrupt_input("malformed internal key", key)),
        }
    }

    /// Starts the user key that the input stands on.
    fn begin_key(&mut self) -> Result<Option<(SequenceNumber, EntryKind)>> {
        let Some(entry) = self.peek()? else { return Ok(None) };
        let key = crate::base::key::user_key(self.input.key());
        if self.last_trailer.is_some()
            && self.rules.order.compare_user(key, &self.user_key) != Ordering::Greater
        {
            return Err(corrupt_input("keys out of order", key));
        }
        self.user_key.clear();
        self.user_key.extend_from_slice(key);
        self.last_trailer = Some(entry);
        self.read += 1;
        let fragments = self.rules.tombstones.fragments();
        while let Some(fragment) = fragments.get(self.fragment) {
            if self.rules.order.compare_user(&fragment.end, &self.user_key).is_gt() {
                break;
            }
            self.fragment += 1;
        }
        Ok(Some(entry))
    }

    /// On to the next entry of the current user key, if there is one.
    fn next_entry(&mut self) -> Result<Option<(SequenceNumber, EntryKind)>> {
        self.input.next();
        let Some((sequence, kind)) = self.peek()? else { return Ok(None) };
        let key = crate::base::key::user_key(self.input.key());
        if self.rules.order.compare_user(key, &self.user_key).is_ne() {
            return Ok(None);
        }
        let older = self.last_trailer.is_none_or(|last| (sequence, kind) < last);
        if !older {
            return Err(corrupt_input("versions out of order", key));
        }
        self.last_trailer = Some((sequence, kind));
        self.read += 1;
        Ok(Some((sequence, kind)))
    }

    /// The newest range tombstone that covers the current key at `snapshot`; 0 if none.
    fn covering(&self, snapshot: SequenceNumber) -> SequenceNumber {
        let Some(fragment) = self.rules.tombstones.fragments().get(self.fragment) else { return 0 };
        if self.rules.order.compare_user(&fragment.start, &self.user_key).is_gt() {
            return 0;
        }
        let visible = fragment.sequences.partition_point(|&sequence| sequence > snapshot);
        fragment.sequences.get(visible).copied().unwrap_or(0)
    }

    /// Collects what stays of the current key, whose newest entry the input stands on. Leaves the input at the
    /// next key.
    fn collect(&mut self, first: (SequenceNumber, EntryKind)) -> Result<()> {
        let mut at = Some(first);
        let mut newest = true;
        while let Some((sequence, _)) = at {
            let stripe = self.rules.stripe(sequence);
            at = self.collect_stripe(stripe, at, &mut newest)?;
        }
        self.finish_history()
    }

    /// Collects what stays of one stripe and gives the first entry of the next one.
    fn collect_stripe(
        &mut self,
        stripe: usize,
        mut at: Option<(SequenceNumber, EntryKind)>,
        newest: &mut bool,
    ) -> Result<Option<(SequenceNumber, EntryKind)>> {
        let covered_to = self.covering(self.rules.top(stripe));
        let bottom = stripe.checked_sub(1).map_or(0, |below| self.rules.snapshots[below] + 1);
        let first_kept = self.kept.len();
        let mut base = Base::None;
        while let Some((sequence, kind)) = at {
            if sequence < bottom {
                break;
            }
            if covered_to >= sequence {
                base = Base::Deleted;
                break;
            }
            let is_newest = std::mem::replace(newest, false);
            let alone = self.kept.len() == first_kept;
            match self.take_entry(sequence, kind, is_newest)? {
                EntryKind::Merge => {}
                kind => {
                    base = self.base_of(kind)?;
                    if alone {
                        // Nothing to combine: the entry stays as it is.
                        return self.skip_stripe(bottom);
                    }
                    break;
                }
            }
            at = self.next_entry()?;
        }
        if matches!(base, Base::None) {
            if covered_to >= bottom && covered_to > 0 {
                // Whatever is older in this stripe or below is deleted for every read that gets this far.
                base = Base::Deleted;
            } else {
                self.merge_partially(first_kept)?;
                return Ok(at);
            }
        }
        self.merge_fully(first_kept, base)?;
        *newest = false;
        self.skip_stripe(bottom)
    }

    /// Passes the entries of the stripe that ends at `bottom`.
    fn skip_stripe(&mut self, bottom: SequenceNumber) -> Result<Option<(SequenceNumber, EntryKind)>> {
        loop {
            match self.peek_same_key()? {
                Some((sequence, _)) if sequence >= bottom => {
                    if self.next_entry()?.is_none() {
                        return Ok(None);
                    }
                }
                at => return Ok(at),
            }
        }
    }

    fn peek_same_key(&self) -> Result<Option<(SequenceNumber, EntryKind)>> {
        let Some(entry) = self.peek()? else { return Ok(None) };
        let key = crate::base::key::user_key(self.input.key());
        Ok(self.rules.order.compare_user(key, &self.user_key).is_eq().then_some(entry))
    }

    /// Keeps the input's entry, as the filter will have it. Gives the kind it has then.
    fn take_entry(&mut self, sequence: SequenceNumber, kind: EntryKind, newest: bool) -> Result<EntryKind> {
        if let Some(filter) = self.rules.filter.filter(|_| newest && kind.is_value()) {
            let protected = self.rules.snapshots.last().is_some_and(|&snapshot| sequence <= snapshot);
            if filter.ignore_snapshots() || !protected {
                return self.take_filtered(filter, sequence, kind);
            }
        }
        self.keep_input(sequence, kind);
        Ok(kind)
    }

    fn take_filtered(
        &mut self,
        filter: &dyn CompactionFilter,
        sequence: SequenceNumber,
        kind: EntryKind,
    ) -> Result<EntryKind> {
        let stored = self.input.value();
        let decision = if kind == EntryKind::Pointer {
            let pointer = decode_pointer(stored, &self.user_key)?;
            let value = self.rules.values.read(&pointer, &self.user_key)?;
            filter.filter(self.rules.level, &self.user_key, &value.buffer[value.range.clone()])
        } else {
            filter.filter(self.rules.level, &self.user_key, stored)
        };
        match decision {
            FilterDecision::Keep => {
                self.keep_input(sequence, kind);
                Ok(kind)
            }
            FilterDecision::Remove => {
                self.keep(sequence, EntryKind::Delete, &[]);
                Ok(EntryKind::Delete)
            }
            FilterDecision::Change(value) => {
                self.keep(sequence, EntryKind::Put, &value);
                Ok(EntryKind::Put)
            }
        }
    }

    fn keep_input(&mut self, sequence: SequenceNumber, kind: EntryKind) {
        let key = self.append_key(sequence, kind);
        let start = self.bytes.len();
        self.bytes.extend_from_slice(self.input.value());
        self.kept.push(Kept { sequence, kind, key, value: start..self.bytes.len() });
    }

    fn keep(&mut self, sequence: SequenceNumber, kind: EntryKind, value: &[u8]) {
        let key = self.append_key(sequence, kind);
        let start = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.kept.push(Kept { sequence, kind, key, value: start..self.bytes.len() });
    }

    fn append_key(&mut self, sequence: SequenceNumber, kind: EntryKind) -> Range<usize> {
        let start = self.bytes.len();
        append_internal_key(&mut self.bytes, &self.user_key, sequence, kind);
        start..self.bytes.len()
    }

    /// The base that the entry kept last, of `kind`, is.
    fn base_of(&self, kind: EntryKind) -> Result<Base> {
        let value = self.kept.last().expect("the entry was just kept").value.clone();
        Ok(match kind {
            EntryKind::Put => Base::Value(value),
            EntryKind::Pointer => Base::Pointer(decode_pointer(&self.bytes[value], &self.user_key)?),
            _ => Base::Deleted,
        })
    }

    /// Turns the operands kept from `first` on, and their base if it was kept, into one value.
    fn merge_fully(&mut self, first: usize, base: Base) -> Result<()> {
        let operands = self.kept[first..].iter().filter(|kept| kept.kind == EntryKind::Merge).count();
        let Some(operator) = self.rules.merge_operator.filter(|_| operands > 0) else { return Ok(()) };
        let read;
        let existing = match base {
            Base::None | Base::Deleted => None,
            Base::Value(range) => Some(&self.bytes[range]),
            Base::Pointer(pointer) => {
                read = self.rules.values.read(&pointer, &self.user_key)?;
                Some(&read.buffer[read.range.clone()])
            }
        };
        let oldest_first: Vec<&[u8]> = self.operands(first, operands);
        let merged = operator
            .full_merge(&self.user_key, existing, &oldest_first)
            .ok_or_else(|| merge_failed(operator.name(), &self.user_key))?;
        self.replace(first, EntryKind::Put, &merged);
        Ok(())
    }

    /// Combines the operands kept from `first` on, if the operator can.
    fn merge_partially(&mut self, first: usize) -> Result<()> {
        let operands = self.kept.len() - first;
        let Some(operator) = self.rules.merge_operator.filter(|_| operands > 1) else { return Ok(()) };
        let oldest_first: Vec<&[u8]> = self.operands(first, operands);
        if let Some(merged) = operator.partial_merge(&self.user_key, &oldest_first) {
            self.replace(first, EntryKind::Merge, &merged);
        }
        Ok(())
    }

    fn operands(&self, first: usize, count: usize) -> Vec<&[u8]> {
        self.kept[first..first + count].iter().rev().map(|kept| &self.bytes[kept.value.clone()]).collect()
    }

    /// Puts one entry, as new as the newest of them, in place of those kept from `first` on.
    fn replace(&mut self, first: usize, kind: EntryKind, value: &[u8]) {
        let sequence = self.kept[first].sequence;
        self.kept.truncate(first);
        self.keep(sequence, kind, value);
    }

    /// The end of the key: what the history rests on, if there is nothing older below.
    fn finish_history(&mut self) -> Result<()> {
        let rests_on_nothing = |kept: &Kept| kept.kind.is_delete() || kept.kind == EntryKind::Merge;
        if !self.kept.last().is_some_and(rests_on_nothing) || self.older.may_exist(&self.user_key) {
            return Ok(());
        }
        while self.kept.last().is_some_and(|kept| kept.kind.is_delete()) {
            self.kept.pop();
        }
        // Operands of the oldest stripe rest on nothing. Those of stripes above rest on them, so they stay.
        let Some(last) = self.kept.last().filter(|kept| kept.kind == EntryKind::Merge) else { return Ok(()) };
        let stripe = self.rules.stripe(last.sequence);
        let same = |kept: &Kept| kept.kind == EntryKind::Merge && self.rules.stripe(kept.sequence) == stripe;
        let first = self.kept.len() - self.kept.iter().rev().take_while(|kept| same(kept)).count();
        self.merge_fully(first, Base::None)
    }
}

fn decode_pointer(stored: &[u8], key: &[u8]) -> Result<ValuePointer> {
    ValuePointer::decode(stored).ok_or_else(|| corrupt_input("malformed value pointer", key))
}

fn corrupt_input(what: &str, key: &[u8]) -> Error {
    let message = format!(
        "{what} at {} in the input of a flush or compaction; nothing was changed, verify the tables",
        key.escape_ascii()
    );
    Error::new(ErrorKind::Corruption, message)
}

#[cfg(test)]
#[path = "shadowing_tests.rs"]
mod tests;
