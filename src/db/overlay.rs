//! An iterator over a batch that has not been written, on top of an iterator of the database: what the database would
//! show if the batch were applied.
//!
//! 1. Two cursors, one on the database and one on the batch's keys, stand at or beyond the key shown, in the direction
//!    of the walk. A turn brings both to the other side of that key.
//! 2. The nearer one is shown. On equal keys the batch decides, and its merge operands are applied to the database's
//!    value. Keys that the batch deletes, singly or by range, are passed over on both sides.
//! 3. Bounds and the prefix mode of the database's iterator hold for the batch too.
//!
//! The key and the batch's value are copied at each move, so the batch may change meanwhile: the next move sees it as
//! it
//! is then. An error of the database's iterator ends the walk: an end and a failure are not mistaken for each other.

use super::ReadOptions;
use super::iterator::StoredIterator;
use crate::base::{Error, ErrorKind, InternalComparator, Result};
use crate::batch::IndexedBatch;
use crate::batch::indexed::{Base, Position};
use crate::read::{FoldContext, ScanBounds};
use parking_lot::Mutex;
use std::sync::Arc;

/// Keys of a deleted range that are stepped over before seeking past the range.
const STEPS_BEFORE_SEEK: usize = 16;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Current {
    Nothing,
    /// The database's cursor stands on it.
    Stored,
    /// The batch's cursor stands on it; `both`: the database's too.
    Batch {
        both: bool,
    },
}

/// What the two cursors amount to.
enum Step {
    End,
    Stored,
    /// The database's key is in a deleted range, from the first key to the one behind it.
    Covered(Vec<u8>, Vec<u8>),
    /// The batch deletes the key.
    Deleted {
        both: bool,
    },
    /// The batch's value is in `value`.
    Value {
        both: bool,
    },
    Merge {
        both: bool,
        base: MergeBase,
        operands: Vec<Vec<u8>>,
    },
}

enum MergeBase {
    Stored,
    Deleted,
    Value(Vec<u8>),
}

/// Moves over the entries of a database with a batch applied.
pub(super) struct OverlaidIterator {
    stored: StoredIterator,
    batch: Arc<Mutex<IndexedBatch>>,
    column_family: u32,
    order: InternalComparator,
    fold: FoldContext,
    bounds: ScanBounds,
    /// The prefix the walk keeps to.
    prefix: Option<Vec<u8>>,
    /// The batch's cursor, and which state of the batch it belongs to.
    position: Option<Position>,
    changes: u64,
    forward: bool,
    current: Current,
    key: Vec<u8>,
    value: Vec<u8>,
    failure: Option<Error>,
}

impl OverlaidIterator {
    /// `batch` on top of `stored`, not positioned. Bounds of `options` hold besides those of `stored`.
    pub(super) fn new(
        mut stored: StoredIterator,
        batch: Arc<Mutex<IndexedBatch>>,
        options: Option<&ReadOptions>,
    ) -> OverlaidIterator {
        if let Some(options) = options {
            stored.narrow(options);
        }
        let family = Arc::clone(stored.family());
        let (column_family, order, fold) = (family.id, family.order.clone(), family.fold.clone());
        let bounds = stored.bounds();
        OverlaidIterator {
            stored,
            batch,
            column_family,
            order,
            fold,
            bounds,
            prefix: None,
            position: None,
            changes: 0,
            forward: true,
            current: Current::Nothing,
            key: Vec::new(),
            value: Vec::new(),
            failure: None,
        }
    }

    pub(super) fn column_family(&self) -> u32 {
        self.column_family
    }

    pub(super) fn valid(&self) -> bool {
        match self.current {
            Current::Nothing => false,
            Current::Stored => self.stored.valid(),
            Current::Batch { .. } => true,
        }
    }

    pub(super) fn key(&self) -> &[u8] {
        &self.key
    }

    pub(super) fn value(&mut self) -> &[u8] {
        match self.current {
            Current::Stored => self.stored.value(),
            Current::Nothing | Current::Batch { .. } => &self.value,
        }
    }

    pub(super) fn status(&self) -> Result<()> {
        match &self.failure {
            Some(error) => Err(error.clone()),
            None => self.stored.status(),
        }
    }

    pub(super) fn refresh(&mut self) -> Result<()> {
        self.current = Current::Nothing;
        self.stored.refresh()
    }

    pub(super) fn seek_to_first(&mut self) {
        self.start(true, None);
        self.stored.seek_to_first();
        let lower = self.bounds.lower.as_deref();
        self.position =
            with_batch(&self.batch, self.column_family, &self.order, &mut self.changes, |batch| {
                lower.map_or_else(
                    || batch.first(self.column_family),
                    |lower| batch.at_or_after(self.column_family, lower),
                )
            });
        self.settle();
    }

    pub(super) fn seek_to_last(&mut self) {
        self.start(false, None);
        self.stored.seek_to_last();
        let upper = self.bounds.upper.as_deref();
        self.position =
            with_batch(&self.batch, self.column_family, &self.order, &mut self.changes, |batch| {
                upper.map_or_else(
                    || batch.last(self.column_family),
                    |upper| batch.before(self.column_family, upper),
                )
            });
        self.settle();
    }

    pub(super) fn seek(&mut self, target: &[u8]) {
        self.start(true, Some(target));
        self.stored.seek(target);
        let lower = self.bounds.lower.as_deref();
        let from = lower.filter(|lower| self.order.compare_user(target, lower).is_lt()).unwrap_or(target);
        self.position =
            with_batch(&self.batch, self.column_family, &self.order, &mut self.changes, |batch| {
                batch.at_or_after(self.column_family, from)
            });
        self.settle();
    }

    pub(super) fn seek_for_prev(&mut self, target: &[u8]) {
        self.start(false, Some(target));
        self.stored.seek_for_prev(target);
        let upper = self.bounds.upper.as_deref();
        let limit = upper.filter(|upper| self.order.compare_user(target, upper).is_ge());
        self.position =
            with_batch(&self.batch, self.column_family, &self.order, &mut self.changes, |batch| {
                limit.map_or_else(
                    || batch.at_or_before(self.column_family, target),
                    |upper| batch.before(self.column_family, upper),
                )
            });
        self.settle();
    }

    pub(super) fn next(&mut self) {
        self.step(true);
    }

    pub(super) fn prev(&mut self) {
        self.step(false);
    }

    fn start(&mut self, forward: bool, target: Option<&[u8]>) {
        self.forward = forward;
        self.current = Current::Nothing;
        self.failure = None;
        let transform = self.bounds.prefix.as_ref();
        self.prefix = match (transform, target) {
            (Some(transform), Some(target)) if transform.in_domain(target) => {
                Some(transform.transform(target).to_vec())
            }
            _ => None,
        };
    }

    fn step(&mut self, forward: bool) {
        if !self.valid() {
            return;
        }
        let turned = self.forward != forward;
        self.forward = forward;
        if turned {
            self.leave_key();
        } else if self.current != (Current::Batch { both: false }) {
            self.step_stored();
        }
        let key = &self.key[..];
        self.position =
            with_batch(&self.batch, self.column_family, &self.order, &mut self.changes, |batch| {
                if forward {
                    batch.after(self.column_family, key)
                } else {
                    batch.before(self.column_family, key)
                }
            });
        self.settle();
    }

    /// One step of the database's cursor in the direction of the walk.
    fn step_stored(&mut self) {
        if self.forward { self.stored.next() } else { self.stored.prev() }
    }

    /// Whether `key` is not yet beyond `self.key` in the direction of the walk.
    fn is_behind(&self, key: &[u8]) -> bool {
        let order = self.order.compare_user(key, &self.key);
        if self.forward { order.is_le() } else { order.is_ge() }
    }

    /// After a turn: brings the database's cursor beyond `self.key`.
    fn leave_key(&mut self) {
        if self.stored.valid() {
            self.step_stored();
        } else if self.stored.status().is_err() {
            return;
        } else if self.bounds.prefix.is_some() && self.prefix.is_none() {
            // A seek would make the cursor keep to a prefix.
            if self.forward { self.stored.seek_to_first() } else { self.stored.seek_to_last() }
        } else if self.forward {
            self.stored.seek(&self.key);
        } else {
            self.stored.seek_for_prev(&self.key);
        }
        while self.stored.valid() && self.is_behind(self.stored.key()) {
            self.step_stored();
        }
    }

    /// From where the cursors are, in the direction of the walk, to the first key to show.
    fn settle(&mut self) {
        self.current = Current::Nothing;
        let mut covered = 0;
        loop {
            if !self.stored.valid() && self.stored.status().is_err() {
                return;
            }
            match self.look() {
                Step::End => return,
                Step::Stored => {
                    self.key.clear();
                    self.key.extend_from_slice(self.stored.key());
                    self.current = Current::Stored;
                    return;
                }
                Step::Covered(start, end) => {
                    covered += 1;
                    self.leave_range(&start, &end, covered);
                }
                Step::Deleted { both } => {
                    if both {
                        self.step_stored();
                    }
                    self.step_batch();
                }
                Step::Value { both } => {
                    self.current = Current::Batch { both };
                    return;
                }
                Step::Merge { both, base, operands } => {
                    return match self.merge(both, base, &operands) {
                        Ok(merged) => {
                            self.value = merged;
                            self.current = Current::Batch { both };
                        }
                        Err(error) => self.failure = Some(error),
                    };
                }
            }
        }
    }

    /// Passes over keys of the database in a deleted range: one by one at first, then with a seek.
    fn leave_range(&mut self, start: &[u8], end: &[u8], covered: usize) {
        let seeks_keep_prefix = self.bounds.prefix.is_some() && self.prefix.is_none();
        if !covered.is_multiple_of(STEPS_BEFORE_SEEK) || seeks_keep_prefix {
            self.step_stored();
        } else if self.forward {
            self.stored.seek(end);
        } else {
            self.stored.seek_for_prev(start);
            if self.stored.valid() && self.order.compare_user(self.stored.key(), start).is_eq() {
                self.stored.prev();
            }
        }
    }

    /// One step of the batch's cursor beyond `self.key`, where it stands.
    fn step_batch(&mut self) {
        let (forward, key) = (self.forward, &self.key[..]);
        let (known, position) = (self.changes, self.position);
        self.position = with_batch(
            &self.batch,
            self.column_family,
            &self.order,
            &mut self.changes,
            |batch| match position {
                Some(position) if forward && batch.changes() == known => {
                    batch.next(self.column_family, position)
                }
                _ if forward => batch.after(self.column_family, key),
                _ => batch.before(self.column_family, key),
            },
        );
    }

    /// Compares the cursors; `self.key` is the batch's key if it is nearer, and `self.value` its value if it has one.
    fn look(&mut self) -> Step {
        let batch = self.batch.lock();
        if batch.changes() != self.changes {
            // By the user's comparator, which the database's cursor called.
            self.failure = Some(changed_meanwhile());
            return Step::End;
        }
        let stored = self.stored.valid().then(|| self.stored.key());
        if let Some(key) = stored
            && let Some(range) = batch.deleted_range(self.column_family, key)
        {
            return Step::Covered(range.start.to_vec(), range.end.to_vec());
        }
        let admitted = self.position.filter(|position| self.admits(batch.key(self.column_family, *position)));
        let Some(position) = admitted else {
            return if stored.is_some() { Step::Stored } else { Step::End };
        };
        let key = batch.key(self.column_family, position);
        let order = stored.map(|stored| self.order.compare_user(stored, key));
        let order = if self.forward { order } else { order.map(std::cmp::Ordering::reverse) };
        if order.is_some_and(std::cmp::Ordering::is_lt) {
            return Step::Stored;
        }
        let both = order.is_some_and(std::cmp::Ordering::is_eq);
        self.key.clear();
        self.key.extend_from_slice(key);
        let answer = batch.answer_at(self.column_family, position);
        match answer.base {
            base if !answer.operands.is_empty() => Step::Merge {
                both,
                base: match base {
                    Base::Unknown => MergeBase::Stored,
                    Base::Deleted => MergeBase::Deleted,
                    Base::Value(value) => MergeBase::Value(value.to_vec()),
                },
                operands: answer.operands.iter().map(|operand| operand.to_vec()).collect(),
            },
            Base::Value(value) => {
                self.value.clear();
                self.value.extend_from_slice(value);
                Step::Value { both }
            }
            Base::Unknown | Base::Deleted => Step::Deleted { both },
        }
    }

    /// Whether a key of the batch is within the bounds and the prefix.
    fn admits(&self, key: &[u8]) -> bool {
        let ScanBounds { lower, upper, prefix } = &self.bounds;
        let in_prefix = match (prefix, &self.prefix) {
            (Some(transform), Some(prefix)) => {
                transform.in_domain(key) && transform.transform(key) == &prefix[..]
            }
            _ => true,
        };
        in_prefix
            && lower.as_ref().is_none_or(|lower| self.order.compare_user(key, lower).is_ge())
            && upper.as_ref().is_none_or(|upper| self.order.compare_user(key, upper).is_lt())
    }

    /// The operands of the batch applied; outside the batch's lock, for the operator is the user's code.
    fn merge(&mut self, both: bool, base: MergeBase, operands: &[Vec<u8>]) -> Result<Vec<u8>> {
        let operands: Vec<&[u8]> = operands.iter().map(Vec::as_slice).collect();
        match base {
            MergeBase::Stored if both => {
                let value = self.stored.value().to_vec();
                self.stored.status()?;
                self.fold.merge(&self.key, Some(&value), &operands)
            }
            MergeBase::Stored | MergeBase::Deleted => self.fold.merge(&self.key, None, &operands),
            MergeBase::Value(value) => self.fold.merge(&self.key, Some(&value), &operands),
        }
    }
}

#[cold]
fn changed_meanwhile() -> Error {
    Error::new(ErrorKind::Aborted, "the batch was changed while an iterator over it moved; seek again")
}

/// Finds a position in the batch as it is now.
fn with_batch(
    batch: &Mutex<IndexedBatch>,
    column_family: u32,
    order: &InternalComparator,
    changes: &mut u64,
    find: impl FnOnce(&IndexedBatch) -> Option<Position>,
) -> Option<Position> {
    let mut batch = batch.lock();
    batch.set_order(column_family, order);
    let position = find(&batch);
    *changes = batch.changes();
    position
}
