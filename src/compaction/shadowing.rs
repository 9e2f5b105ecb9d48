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
//! What has expired (`base::expiry`) is a deletion from the start, for every stripe: time is no part of a snapshot.
//! What is going to expire stays apart: operands over such a base, and operands that expire themselves, are not
//! combined with what lasts, or expires, otherwise, for one will be read without the other one day.
//!
//! The newest value of a key is shown to the compaction filter before anything else is done with it.
//! Keys come out in order. Most keys have a value on top of each stripe and nothing to combine: such an entry goes
//! from the input straight to where it is kept, with one comparison of keys and no copy on the way. What is kept of
//! any other stripe stands in one reused buffer until the end of its key.

use super::merge_failed;
use crate::base::expiry::{pointer_of, split};
use crate::base::extension::{CompactionFilter, FilterDecision, MergeOperator};
use crate::base::key::{MAX_SEQUENCE, append_internal_key, user_key};
use crate::base::range_tombstone::{RangeTombstone, Span, TombstoneList, newest};
use crate::base::{EntryKind, Error, ErrorKind, InternalComparator, ParsedKey, Result};
use crate::base::{SequenceNumber, ValuePointer};
use crate::iterator::InternalIterator;
use std::cmp::Ordering;
use std::ops::Range;

pub use super::surroundings::{LoggedValues, MayExist, OlderVersions, Values};

/// How histories are judged.
pub struct Rules<'a> {
    /// Order of keys.
    pub order: &'a InternalComparator,
    /// Sequence numbers that snapshots read at, ascending.
    pub snapshots: &'a [SequenceNumber],
    /// The time, in seconds since 1970, at which it is judged what has expired.
    pub now: u64,
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

    /// Of `tombstones` what a later read or merge can need: the newest of each stripe, key by key; and none that every
    /// snapshot sees where `covers_older` says that there is nothing below to cover. In order of their starts. Those of
    /// one stripe do not overlap, so there are fewer than twice as many as `tombstones`.
    pub fn needed_tombstones(
        &self,
        mut covers_older: impl FnMut(&RangeTombstone) -> bool,
    ) -> Vec<RangeTombstone> {
        let newest_first: Vec<Span<'_>> = self.tombstones.spans().collect();
        let mut needed = Vec::new();
        for spans in newest_first.chunk_by(|a, b| self.stripe(a.sequence) == self.stripe(b.sequence)) {
            let all_see = self.stripe(spans[0].sequence) == 0;
            let newest = newest(spans, self.order);
            needed.extend(newest.into_iter().filter(|tombstone| !all_see || covers_older(tombstone)));
        }
        needed.sort_by(|a, b| self.order.compare_user(&a.start, &b.start));
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

/// Takes what stays.
pub trait Keeper {
    /// Entries of this user key follow: the first one, or one after the last.
    fn begin_key(&mut self, user_key: &[u8]) -> Result<()>;
    /// An entry of the user key that was begun, older than the last one: internal key and stored value.
    fn add(&mut self, internal_key: &[u8], value: &[u8]) -> Result<()>;
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
    /// Whether the keeper knows of the current key.
    begun: bool,
    /// The first stretch of the tombstones that does not end before the current key.
    stretch: usize,
    /// The newest entry of the key after the current one, where the input stands, once it got there; and that key.
    next_key: Option<Version>,
    next_user_key: Vec<u8>,
    last_trailer: Version,
    read: u64,
    written: u64,
}

/// Sequence number and kind of an entry.
type Version = (SequenceNumber, EntryKind);

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
    /// A value that is going to expire.
    Expiring,
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
            begun: false,
            stretch: 0,
            next_key: None,
            next_user_key: Vec::new(),
            last_trailer: (MAX_SEQUENCE, EntryKind::SEEK),
            read: 0,
            written: 0,
        }
    }

    /// Gives everything that stays to `keeper`, to the end of the input.
    pub fn run(&mut self, keeper: &mut impl Keeper) -> Result<()> {
        self.next_key = match self.input.entry() {
            Some((key, stored)) => {
                let version = version_of(key, stored, self.rules.now)?;
                self.next_user_key.extend_from_slice(user_key(key));
                Some(version)
            }
            None => self.ended()?,
        };
        while let Some(newest) = self.next_key.take() {
            self.begin_key(newest);
            self.judge(newest, keeper)?;
        }
        Ok(())
    }

    /// Entries read and kept so far.
    pub fn counts(&self) -> (u64, u64) {
        (self.read, self.written)
    }

    /// `Err` with the input's error if it failed, else nothing: its end.
    #[cold]
    fn ended(&self) -> Result<Option<Version>> {
        self.input.error().map_or(Ok(None), |error| Err(error.clone()))
    }

    /// Starts the user key that the input stands on.
    #[inline]
    fn begin_key(&mut self, newest: Version) {
        std::mem::swap(&mut self.user_key, &mut self.next_user_key);
        self.begun = false;
        self.last_trailer = newest;
        self.read += 1;
        let tombstones = self.rules.tombstones;
        while self.stretch < tombstones.stretches()
            && self.rules.order.compare_user(tombstones.edge(self.stretch + 1), &self.user_key).is_le()
        {
            self.stretch += 1;
        }
    }

    /// On to the next entry. Gives it if it is one of the current user key; else it is the first of `next_key`, if
    /// there is one. `Err` for the input's error and for keys that no table may contain: they must never be copied on.
    #[inline]
    fn next_entry(&mut self) -> Result<Option<Version>> {
        let now = self.rules.now;
        let Some(key) = self.input.step() else { return self.ended() };
        let mut version = version_of_key(key)?;
        let key = if version.1.is_expiring() {
            let Some((key, stored)) = self.input.entry() else { return self.ended() };
            version.1 = kind_at(version.1, stored, now);
            key
        } else {
            key
        };
        match self.rules.order.compare_user(user_key(key), &self.user_key) {
            Ordering::Greater => {
                self.next_key = Some(version);
                self.next_user_key.clear();
                self.next_user_key.extend_from_slice(user_key(key));
                Ok(None)
            }
            Ordering::Equal if version < self.last_trailer => {
                self.last_trailer = version;
                self.read += 1;
                Ok(Some(version))
            }
            Ordering::Equal => Err(corrupt_input("versions out of order", key)),
            Ordering::Less => Err(corrupt_input("keys out of order", key)),
        }
    }

    /// The newest range tombstone that covers the current key at `snapshot`; 0 if none.
    #[inline]
    fn covering(&self, snapshot: SequenceNumber) -> SequenceNumber {
        let tombstones = self.rules.tombstones;
        if self.stretch >= tombstones.stretches()
            || self.rules.order.compare_user(tombstones.edge(self.stretch), &self.user_key).is_gt()
        {
            return 0;
        }
        tombstones.newest_of(self.stretch, snapshot)
    }

    /// Gives what stays of the current key, whose newest entry the input stands on. Leaves the input at the next key.
    #[inline]
    fn judge(&mut self, first: Version, keeper: &mut impl Keeper) -> Result<()> {
        let mut at = Some(first);
        let mut newest = true;
        while let Some((sequence, kind)) = at {
            let stripe = self.rules.stripe(sequence);
            let covered_to = self.covering(self.rules.top(stripe));
            let filtered = newest && self.rules.filter.is_some();
            // Operands kept of newer stripes may yet be combined with what is below: they wait for the key's end.
            let direct = kind.is_value() && covered_to < sequence && !filtered && self.kept.is_empty();
            at = if direct {
                newest = false;
                self.pass_on(kind, keeper)?;
                self.skip_stripe(self.bottom(stripe))?
            } else {
                self.collect_stripe(stripe, covered_to, at, &mut newest)?
            };
        }
        if self.kept.is_empty() {
            return Ok(());
        }
        self.finish_history()?;
        self.give_kept(keeper)
    }

    /// Gives the input's entry to the keeper, as it is.
    #[inline]
    fn pass_on(&mut self, kind: EntryKind, keeper: &mut impl Keeper) -> Result<()> {
        if !std::mem::replace(&mut self.begun, true) {
            keeper.begin_key(&self.user_key)?;
        }
        self.written += 1;
        let (key, value) = self.input.entry().expect("the input stands on the entry");
        if let Some(pointer) = pointer_of(kind, value) {
            decode_pointer(pointer, &self.user_key)?;
        }
        keeper.add(key, value)
    }

    /// Gives what was kept of the current key to the keeper, and forgets it.
    fn give_kept(&mut self, keeper: &mut impl Keeper) -> Result<()> {
        if !self.kept.is_empty() && !self.begun {
            keeper.begin_key(&self.user_key)?;
        }
        for kept in &self.kept {
            keeper.add(&self.bytes[kept.key.clone()], &self.bytes[kept.value.clone()])?;
        }
        self.written += self.kept.len() as u64;
        self.bytes.clear();
        self.kept.clear();
        Ok(())
    }

    /// The lowest sequence number of a stripe.
    #[inline]
    fn bottom(&self, stripe: usize) -> SequenceNumber {
        stripe.checked_sub(1).map_or(0, |below| self.rules.snapshots[below] + 1)
    }

    /// Collects what stays of one stripe and gives the first entry of the next one. Range tombstones of the stripe
    /// cover the key up to `covered_to`.
    fn collect_stripe(
        &mut self,
        stripe: usize,
        covered_to: SequenceNumber,
        mut at: Option<Version>,
        newest: &mut bool,
    ) -> Result<Option<Version>> {
        let bottom = self.bottom(stripe);
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
                EntryKind::Merge | EntryKind::ExpiringMerge => {}
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
                self.merge_fully(first_kept, Base::Deleted)?;
            } else {
                self.merge_partially(first_kept)?;
            }
            return Ok(at);
        }
        self.merge_fully(first_kept, base)?;
        *newest = false;
        self.skip_stripe(bottom)
    }

    /// Passes the input's entry and the others of the stripe that ends at `bottom`.
    #[inline]
    fn skip_stripe(&mut self, bottom: SequenceNumber) -> Result<Option<Version>> {
        loop {
            match self.next_entry()? {
                Some((sequence, _)) if sequence >= bottom => {}
                at => return Ok(at),
            }
        }
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
        let (expiry, stored) = split(kind, self.input.value());
        let decision = if kind.lasting() == EntryKind::Pointer {
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
                let Some(expiry) = expiry else {
                    self.keep(sequence, EntryKind::Put, &value);
                    return Ok(EntryKind::Put);
                };
                let stored = [&expiry.to_le_bytes()[..], &value].concat();
                self.keep(sequence, EntryKind::ExpiringPut, &stored);
                Ok(EntryKind::ExpiringPut)
            }
        }
    }

    fn keep_input(&mut self, sequence: SequenceNumber, kind: EntryKind) {
        if kind.is_delete() {
            // Also what was a value until it expired.
            return self.keep(sequence, kind, &[]);
        }
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
            EntryKind::ExpiringPut => Base::Expiring,
            EntryKind::ExpiringPointer => {
                decode_pointer(split(kind, &self.bytes[value]).1, &self.user_key)?;
                Base::Expiring
            }
            _ => Base::Deleted,
        })
    }

    /// Turns the operands kept from `first` on, and their base if it was kept, into one value.
    fn merge_fully(&mut self, first: usize, base: Base) -> Result<()> {
        if self.kept[first..].iter().any(|kept| kept.kind == EntryKind::ExpiringMerge) {
            return self.merge_partially(first);
        }
        if matches!(base, Base::Expiring) {
            let base = self.kept.pop();
            self.merge_partially(first)?;
            self.kept.extend(base);
            return Ok(());
        }
        let operands = self.kept[first..].iter().filter(|kept| kept.kind == EntryKind::Merge).count();
        let Some(operator) = self.rules.merge_operator.filter(|_| operands > 0) else { return Ok(()) };
        let read;
        let existing = match base {
            Base::None | Base::Deleted | Base::Expiring => None,
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

    /// Combines neighbours among the operands kept from `first` on that last, or expire, alike, if the operator can.
    fn merge_partially(&mut self, first: usize) -> Result<()> {
        let Some(operator) = self.rules.merge_operator.filter(|_| self.kept.len() > first + 1) else {
            return Ok(());
        };
        let mut at = first;
        while let Some(newest) = self.kept.get(at).cloned() {
            let expiry = |kept: &Kept| split(kept.kind, &self.bytes[kept.value.clone()]).0;
            let is_operand = newest.kind.lasting() == EntryKind::Merge;
            let alike =
                |kept: &&Kept| is_operand && kept.kind == newest.kind && expiry(kept) == expiry(&newest);
            let count = self.kept[at..].iter().take_while(alike).count();
            if count > 1
                && let Some(merged) = operator.partial_merge(&self.user_key, &self.operands(at, count))
            {
                let expiry = expiry(&newest).map(u64::to_le_bytes);
                let stored = [expiry.as_ref().map_or(&[][..], |expiry| expiry), &merged].concat();
                self.keep(newest.sequence, newest.kind, &stored);
                let combined = self.kept.pop();
                self.kept.splice(at..at + count, combined);
                at += 1;
            } else {
                at += count.max(1);
            }
        }
        Ok(())
    }

    fn operands(&self, first: usize, count: usize) -> Vec<&[u8]> {
        let operands = self.kept[first..first + count].iter().rev();
        operands.map(|kept| split(kept.kind, &self.bytes[kept.value.clone()]).1).collect()
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

/// Sequence number and kind of an entry at a time: what has expired is a deletion.
#[inline]
fn version_of(key: &[u8], stored: &[u8], now: u64) -> Result<Version> {
    let (sequence, kind) = version_of_key(key)?;
    Ok((sequence, kind_at(kind, stored, now)))
}

#[inline]
fn kind_at(kind: EntryKind, stored: &[u8], now: u64) -> EntryKind {
    match split(kind, stored) {
        (Some(expiry), _) if expiry <= now => EntryKind::Delete,
        _ => kind,
    }
}

/// Sequence number and kind of an entry that a table may contain.
#[inline]
fn version_of_key(key: &[u8]) -> Result<Version> {
    match ParsedKey::parse(key) {
        Some(parsed) if parsed.kind != EntryKind::RangeDelete => Ok((parsed.sequence, parsed.kind)),
        _ => Err(corrupt_input("malformed internal key", key)),
    }
}

fn decode_pointer(stored: &[u8], key: &[u8]) -> Result<ValuePointer> {
    ValuePointer::decode(stored).ok_or_else(|| corrupt_input("malformed value pointer", key))
}

#[cold]
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
