//! Scans: from internal entries to the keys and values a reader sees at a sequence number, both ways.
//!
//! Forward, the inner iterator stands on the entry shown (or, after a merge, behind its operands); the newest
//! visible version of a key comes first, the rest is skipped. Backward, versions come oldest first, so a key is
//! known only when the inner iterator has left it: it then stands before the key shown.
//!
//! All versions of a key are judged at one second, that in which the first of them that expires is met.
//!
//! Values are read from the value log only when `value` is called: a scan of keys never touches it.

use super::ReadMode;
use super::fold::FoldContext;
use super::view::Tombstones;
use crate::base::key::MAX_SEQUENCE;
use crate::base::{
    EntryKind, Error, ErrorKind, InternalComparator, InternalKey, ParsedKey, Result, SequenceNumber,
    SliceTransform,
};
use crate::iterator::InternalIterator;
use std::cmp::Ordering;
use std::sync::Arc;

/// Hidden versions of one key that are stepped over before seeking past them.
const SKIPS_BEFORE_SEEK: usize = 16;

/// What a scan is limited to.
#[derive(Clone, Default)]
pub struct ScanBounds {
    /// First key shown.
    pub lower: Option<Vec<u8>>,
    /// First key not shown any more.
    pub upper: Option<Vec<u8>>,
    /// Show only keys with the prefix of the key sought.
    pub prefix: Option<Arc<dyn SliceTransform>>,
}

/// Which way a scan moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Direction {
    Forward,
    Backward,
}

/// Where the current value is.
enum Current {
    /// The inner iterator stands on it (forward only): pointer or not, and how many bytes stand before it.
    Inner { pointer: bool, after: usize },
    /// Copied or merged.
    Owned(Vec<u8>),
    /// An encoded pointer, copied.
    Pointer(Vec<u8>),
    /// Read from the value log.
    Read(super::PinnedValue),
}

/// What is stored for the entry shown.
pub(super) enum Stored<'a> {
    /// The value, or what operands were merged to.
    Value(&'a [u8]),
    /// An encoded pointer to it.
    Pointer(&'a [u8]),
}

/// Moves over the visible entries.
pub struct ScanIterator {
    inner: Box<dyn InternalIterator>,
    tombstones: Option<Tombstones>,
    order: InternalComparator,
    snapshot: SequenceNumber,
    fold: FoldContext,
    mode: ReadMode,
    bounds: ScanBounds,
    direction: Direction,
    valid: bool,
    /// The key shown, unless `Current::Inner`: then the inner iterator has it.
    key: Vec<u8>,
    current: Current,
    /// The prefix the scan keeps to, once sought.
    prefix: Option<Vec<u8>>,
    error: Option<Error>,
    meets_expiring: bool,
    seek_key: Vec<u8>,
    /// The search for the next entry was given up for the time being; whether it was passing versions of `key`.
    paused: Option<bool>,
}

impl ScanIterator {
    /// Over `inner` at `snapshot`; not positioned.
    pub fn new(
        inner: Box<dyn InternalIterator>,
        tombstones: Option<Tombstones>,
        order: InternalComparator,
        snapshot: SequenceNumber,
        fold: FoldContext,
        mode: ReadMode,
        bounds: ScanBounds,
    ) -> ScanIterator {
        ScanIterator {
            inner,
            tombstones,
            order,
            snapshot,
            fold,
            mode,
            bounds,
            direction: Direction::Forward,
            valid: false,
            key: Vec::new(),
            current: Current::Owned(Vec::new()),
            prefix: None,
            error: None,
            meets_expiring: false,
            seek_key: Vec::new(),
            paused: None,
        }
    }

    /// Whether it stands on an entry.
    pub fn valid(&self) -> bool {
        self.valid
    }

    /// What went wrong, if anything.
    pub fn status(&self) -> Result<()> {
        self.error.clone().map_or(Ok(()), Err)
    }

    /// The key shown.
    pub fn key(&self) -> &[u8] {
        match self.current {
            Current::Inner { .. } if self.valid => crate::base::key::user_key(self.inner.key()),
            _ => &self.key,
        }
    }

    /// The value shown; reads the value log on first use. After a failed read the iterator is not valid.
    pub fn value(&mut self) -> &[u8] {
        let read = match &self.current {
            Current::Inner { pointer: true, after } => {
                Some(self.fold.resolve(self.key(), &self.inner.value()[*after..], self.mode))
            }
            Current::Pointer(encoded) => Some(self.fold.resolve(&self.key, encoded, self.mode)),
            _ => None,
        };
        match read {
            None => {}
            Some(Ok(value)) => {
                // From here on the key is our own copy, so that the inner position and `current` may differ.
                if matches!(self.current, Current::Inner { .. }) {
                    self.copy_key();
                }
                self.current = Current::Read(value);
            }
            Some(Err(error)) => {
                self.fail(error);
                return &[];
            }
        }
        match &self.current {
            Current::Inner { after, .. } => &self.inner.value()[*after..],
            Current::Owned(value) => value,
            Current::Pointer(_) => &[],
            Current::Read(value) => value,
        }
    }

    /// To the first entry within the bounds.
    pub fn seek_to_first(&mut self) {
        self.start(Direction::Forward);
        match self.bounds.lower.clone() {
            Some(lower) => self.seek_inner(&lower),
            None => self.inner.seek_to_first(),
        }
        self.find_forward(false, usize::MAX);
    }

    /// To the last entry within the bounds.
    pub fn seek_to_last(&mut self) {
        self.start(Direction::Backward);
        match self.bounds.upper.clone() {
            Some(upper) => self.seek_inner_before(&upper),
            None => self.inner.seek_to_last(),
        }
        self.find_backward(usize::MAX);
    }

    /// To the first entry at or after `target`.
    pub fn seek(&mut self, target: &[u8]) {
        self.start(Direction::Forward);
        self.keep_prefix_of(target);
        match self.bounds.lower.clone().filter(|lower| self.order.compare_user(target, lower).is_lt()) {
            Some(lower) => self.seek_inner(&lower),
            None => self.seek_inner(target),
        }
        self.find_forward(false, usize::MAX);
    }

    /// To the last entry at or before `target`.
    pub fn seek_for_prev(&mut self, target: &[u8]) {
        self.start(Direction::Backward);
        self.keep_prefix_of(target);
        match self.bounds.upper.clone().filter(|upper| self.order.compare_user(target, upper).is_ge()) {
            Some(upper) => self.seek_inner_before(&upper),
            None => {
                let last = InternalKey::new(target, 0, EntryKind::Delete);
                self.inner.seek_for_prev(last.as_bytes());
            }
        }
        self.find_backward(usize::MAX);
    }

    /// One on. Only when valid.
    pub fn next(&mut self) {
        self.next_within(usize::MAX);
    }

    /// The same, but pauses when `patience` entries that are not shown have been passed.
    fn next_within(&mut self, patience: usize) {
        if !self.valid {
            return;
        }
        match self.direction {
            Direction::Forward => {
                if matches!(self.current, Current::Inner { .. }) {
                    self.copy_key();
                }
                // After a merge the inner iterator is already behind the key.
                if self.inner.valid() && self.inner_is_on(&self.key) {
                    self.inner.next();
                }
            }
            Direction::Backward => {
                self.direction = Direction::Forward;
                match self.inner.valid() {
                    true => self.inner.next(),
                    false if self.inner.error().is_none() => self.inner.seek_to_first(),
                    false => {}
                }
            }
        }
        self.current = Current::Owned(Vec::new());
        self.find_forward(true, patience);
    }

    /// One back. Only when valid.
    pub fn prev(&mut self) {
        self.prev_within(usize::MAX);
    }

    fn prev_within(&mut self, patience: usize) {
        if !self.valid {
            return;
        }
        if self.direction == Direction::Forward {
            if matches!(self.current, Current::Inner { .. }) {
                self.copy_key();
            }
            self.direction = Direction::Backward;
            self.seek_inner_before(&self.key.clone());
        }
        self.current = Current::Owned(Vec::new());
        self.find_backward(patience);
    }

    /// One further. After `patience` entries (keys, when going back) that are not shown it pauses: it is not valid
    /// then, and has no error, until `resume`.
    pub(super) fn step(&mut self, direction: Direction, patience: usize) {
        match direction {
            Direction::Forward => self.next_within(patience),
            Direction::Backward => self.prev_within(patience),
        }
    }

    /// Whether it has met an entry that expires since this was last asked.
    pub(super) fn take_meets_expiring(&mut self) -> bool {
        std::mem::take(&mut self.meets_expiring)
    }

    /// Goes on with a search that was paused.
    pub(super) fn resume(&mut self) {
        match (self.paused.take(), self.direction) {
            (None, _) => {}
            (Some(skipping), Direction::Forward) => self.find_forward(skipping, usize::MAX),
            (Some(_), Direction::Backward) => self.find_backward(usize::MAX),
        }
    }

    /// From wherever it is to the neighbour of `key` in `direction`, within the prefix it keeps to.
    pub(super) fn go_beside(&mut self, key: &[u8], direction: Direction) {
        let prefix = self.prefix.take();
        self.start(direction);
        self.prefix = prefix;
        match direction {
            Direction::Forward => {
                self.key.clear();
                self.key.extend_from_slice(key);
                self.seek_inner(key);
                self.find_forward(true, usize::MAX);
            }
            Direction::Backward => {
                self.seek_inner_before(key);
                self.find_backward(usize::MAX);
            }
        }
    }

    /// What is stored for the entry shown. Only when valid.
    pub(super) fn stored(&self) -> Stored<'_> {
        match &self.current {
            Current::Inner { pointer: true, after } => Stored::Pointer(&self.inner.value()[*after..]),
            Current::Inner { pointer: false, after } => Stored::Value(&self.inner.value()[*after..]),
            Current::Owned(value) => Stored::Value(value),
            Current::Pointer(encoded) => Stored::Pointer(encoded),
            Current::Read(value) => Stored::Value(value),
        }
    }

    /// Whether the value of the entry shown is in the value log.
    pub(super) fn is_separated(&self) -> bool {
        matches!(self.current, Current::Inner { pointer: true, .. } | Current::Pointer(_) | Current::Read(_))
    }

    /// What turns stored entries into values.
    pub(super) fn fold(&self) -> &FoldContext {
        &self.fold
    }

    /// How values are to be read.
    pub(super) fn mode(&self) -> ReadMode {
        self.mode
    }

    fn start(&mut self, direction: Direction) {
        self.direction = direction;
        self.valid = false;
        self.error = None;
        self.prefix = None;
        self.paused = None;
        self.current = Current::Owned(Vec::new());
    }

    fn keep_prefix_of(&mut self, target: &[u8]) {
        if let Some(transform) = &self.bounds.prefix
            && transform.in_domain(target)
        {
            self.prefix = Some(transform.transform(target).to_vec());
        }
    }

    fn copy_key(&mut self) {
        self.key.clear();
        self.key.extend_from_slice(crate::base::key::user_key(self.inner.key()));
    }

    fn inner_is_on(&self, key: &[u8]) -> bool {
        self.order.compare_user(crate::base::key::user_key(self.inner.key()), key).is_eq()
    }

    /// To the first entry of `user_key` or behind that is visible by its number.
    fn seek_inner(&mut self, user_key: &[u8]) {
        self.seek_key.clear();
        crate::base::key::append_internal_key(&mut self.seek_key, user_key, self.snapshot, EntryKind::SEEK);
        self.inner.seek(&self.seek_key);
    }

    /// To the last entry of any key before `user_key`.
    fn seek_inner_before(&mut self, user_key: &[u8]) {
        self.seek_key.clear();
        crate::base::key::append_internal_key(&mut self.seek_key, user_key, MAX_SEQUENCE, EntryKind::SEEK);
        self.inner.seek_for_prev(&self.seek_key);
    }

    /// Shows nothing any more, for this reason.
    pub(super) fn fail(&mut self, error: Error) {
        self.valid = false;
        self.error = Some(error);
    }

    fn out_of_prefix(&self, user_key: &[u8]) -> bool {
        match (&self.prefix, &self.bounds.prefix) {
            (Some(prefix), Some(transform)) => {
                !transform.in_domain(user_key) || transform.transform(user_key) != &prefix[..]
            }
            _ => false,
        }
    }

    fn covering(&self, user_key: &[u8]) -> SequenceNumber {
        self.tombstones
            .as_ref()
            .map_or(0, |list| list.covering_sequence(user_key, self.snapshot, &self.order))
    }

    /// From the inner position on, to the first key shown. With `skipping`, versions of `self.key` are passed over.
    fn find_forward(&mut self, mut skipping: bool, patience: usize) {
        self.valid = false;
        let (mut skipped, mut left) = (0, patience);
        while self.inner.valid() {
            if left == 0 {
                self.paused = Some(skipping);
                return;
            }
            left -= 1;
            let Some(entry) = ParsedKey::parse(self.inner.key()) else { return self.fail(bad_key()) };
            if let Some(upper) = &self.bounds.upper
                && self.order.compare_user(entry.user_key, upper).is_ge()
            {
                return;
            }
            if skipping && self.order.compare_user(entry.user_key, &self.key) != Ordering::Greater {
                skipped += 1;
                if skipped == SKIPS_BEFORE_SEEK {
                    let behind = InternalKey::new(&self.key, 0, EntryKind::Delete);
                    self.inner.seek(behind.as_bytes());
                } else {
                    self.inner.next();
                }
                continue;
            }
            if self.out_of_prefix(entry.user_key) {
                return;
            }
            if entry.sequence > self.snapshot {
                self.inner.next();
                continue;
            }
            // The newest of a key: what is older is passed over, or merged with it.
            let mut second = None;
            let (kind, after) = match entry.kind.is_expiring() {
                true => {
                    self.meets_expiring = true;
                    let stored = self.inner.value();
                    let (kind, value) = self.fold.clock.seen(&mut second, entry.kind, stored);
                    (kind, stored.len() - value.len())
                }
                false => (entry.kind, 0),
            };
            let deleted = kind.is_delete() || entry.sequence < self.covering(entry.user_key);
            match kind {
                _ if deleted => {
                    self.copy_key();
                    skipping = true;
                    skipped = 0;
                    self.inner.next();
                }
                EntryKind::Merge => {
                    return match self.merge_forward(second) {
                        Ok(()) => self.valid = true,
                        Err(error) => self.fail(error),
                    };
                }
                kind => {
                    self.current = Current::Inner { pointer: kind == EntryKind::Pointer, after };
                    self.valid = true;
                    return;
                }
            }
        }
        if let Some(error) = self.inner.error() {
            self.fail(error.clone());
        }
    }

    /// The inner iterator stands on the newest operand of a key, judged at `second`: collects to the base and merges.
    fn merge_forward(&mut self, mut second: Option<u64>) -> Result<()> {
        self.copy_key();
        let covering = self.covering(&self.key);
        let mut operands: Vec<Vec<u8>> = Vec::new();
        let mut base: Option<super::PinnedValue> = None;
        while self.inner.valid() && self.inner_is_on(&self.key) {
            let entry = ParsedKey::parse(self.inner.key()).ok_or_else(bad_key)?;
            if entry.sequence < covering {
                break;
            }
            self.meets_expiring |= entry.kind.is_expiring();
            let (kind, value) = self.fold.clock.seen(&mut second, entry.kind, self.inner.value());
            match kind {
                EntryKind::Merge => operands.push(value.to_vec()),
                EntryKind::Put => {
                    base = Some(super::PinnedValue::Owned(value.to_vec()));
                    break;
                }
                EntryKind::Pointer => {
                    base = Some(self.fold.resolve(&self.key, value, self.mode)?);
                    break;
                }
                _ => break,
            }
            self.inner.next();
        }
        if let Some(error) = self.inner.error() {
            return Err(error.clone());
        }
        let oldest_first: Vec<&[u8]> = operands.iter().rev().map(Vec::as_slice).collect();
        self.current = Current::Owned(self.fold.merge(&self.key, base.as_deref(), &oldest_first)?);
        Ok(())
    }

    /// From the inner position backwards, to the first key shown; the inner iterator ends before it.
    fn find_backward(&mut self, patience: usize) {
        self.valid = false;
        let mut left = patience;
        while self.inner.valid() {
            if left == 0 {
                self.paused = Some(false);
                return;
            }
            left -= 1;
            let Some(entry) = ParsedKey::parse(self.inner.key()) else { return self.fail(bad_key()) };
            if let Some(lower) = &self.bounds.lower
                && self.order.compare_user(entry.user_key, lower).is_lt()
            {
                return;
            }
            if self.out_of_prefix(entry.user_key) {
                return;
            }
            self.copy_key();
            match self.fold_key_backward() {
                Ok(true) => {
                    self.valid = true;
                    return;
                }
                Ok(false) => {}
                Err(error) => return self.fail(error),
            }
        }
        if let Some(error) = self.inner.error() {
            self.fail(error.clone());
        }
    }

    /// Passes all versions of `self.key`, oldest first, and leaves its visible value in `current`. False if deleted.
    fn fold_key_backward(&mut self) -> Result<bool> {
        let covering = self.covering(&self.key);
        let mut base: Option<(bool, Vec<u8>)> = None;
        let mut operands: Vec<Vec<u8>> = Vec::new();
        let mut second = None;
        while self.inner.valid() && self.inner_is_on(&self.key) {
            let entry = ParsedKey::parse(self.inner.key()).ok_or_else(bad_key)?;
            if entry.sequence > self.snapshot {
                // Newer ones only from here to the start of the key: leave it.
                self.seek_inner_before(&self.key.clone());
                break;
            }
            self.meets_expiring |= entry.kind.is_expiring();
            let (kind, value) = self.fold.clock.seen(&mut second, entry.kind, self.inner.value());
            match kind {
                _ if entry.sequence < covering => (base, operands) = (None, Vec::new()),
                EntryKind::Put | EntryKind::Pointer => {
                    base = Some((kind == EntryKind::Pointer, value.to_vec()));
                    operands.clear();
                }
                EntryKind::Merge => operands.push(value.to_vec()),
                _ => (base, operands) = (None, Vec::new()),
            }
            self.inner.prev();
        }
        if let Some(error) = self.inner.error() {
            return Err(error.clone());
        }
        if operands.is_empty() {
            let Some((pointer, bytes)) = base else { return Ok(false) };
            self.current = if pointer { Current::Pointer(bytes) } else { Current::Owned(bytes) };
            return Ok(true);
        }
        let resolved = match base {
            Some((true, encoded)) => Some(self.fold.resolve(&self.key, &encoded, self.mode)?),
            Some((false, bytes)) => Some(super::PinnedValue::Owned(bytes)),
            None => None,
        };
        let oldest_first: Vec<&[u8]> = operands.iter().map(Vec::as_slice).collect();
        self.current = Current::Owned(self.fold.merge(&self.key, resolved.as_deref(), &oldest_first)?);
        Ok(true)
    }
}

fn bad_key() -> Error {
    Error::new(
        ErrorKind::Corruption,
        "a table holds a malformed internal key; run repair or restore from a backup",
    )
}
