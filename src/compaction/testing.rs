//! What tests of flush, compaction and version share: a seeded generator, an iterator over a list, an operator,
//! and a model of a history that answers reads by looking at everything.

use crate::base::expiry::seen_at;
use crate::base::extension::MergeOperator;
use crate::base::key::InternalKey;
use crate::base::range_tombstone::RangeTombstone;
use crate::base::{EntryKind, Error, InternalComparator, ParsedKey};
use crate::iterator::InternalIterator;

/// A small generator: one seed, one history.
#[derive(Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
    pub(crate) fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}

/// Internal keys and values in order.
pub(crate) struct ListIterator {
    entries: Vec<(Vec<u8>, Vec<u8>)>,
    at: usize,
    /// Shown when the end is reached.
    pub(crate) error: Option<Error>,
}

impl ListIterator {
    pub(crate) fn new(mut entries: Vec<(Vec<u8>, Vec<u8>)>, order: &InternalComparator) -> ListIterator {
        entries.sort_by(|a, b| order.compare(&a.0, &b.0));
        ListIterator { entries, at: usize::MAX, error: None }
    }
    /// In the order given, right or wrong.
    pub(crate) fn unsorted(entries: Vec<(Vec<u8>, Vec<u8>)>) -> ListIterator {
        ListIterator { entries, at: usize::MAX, error: None }
    }
}

impl InternalIterator for ListIterator {
    fn valid(&self) -> bool {
        self.at < self.entries.len()
    }
    fn seek_to_first(&mut self) {
        self.at = 0;
    }
    fn seek_to_last(&mut self) {
        unreachable!("merges go forward only")
    }
    fn seek(&mut self, _target: &[u8]) {
        unreachable!("merges start at the first entry")
    }
    fn seek_for_prev(&mut self, _target: &[u8]) {
        unreachable!("merges go forward only")
    }
    fn next(&mut self) {
        self.at += 1;
    }
    fn prev(&mut self) {
        unreachable!("merges go forward only")
    }
    fn key(&self) -> &[u8] {
        &self.entries[self.at].0
    }
    fn value(&self) -> &[u8] {
        &self.entries[self.at].1
    }
    fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }
}

/// Joins operands with commas. Combines operands alone only in even numbers; fails on the operand "fail".
pub(crate) struct Joining;

impl MergeOperator for Joining {
    fn name(&self) -> &str {
        "joining"
    }
    fn full_merge(&self, _key: &[u8], existing: Option<&[u8]>, operands: &[&[u8]]) -> Option<Vec<u8>> {
        if operands.contains(&&b"fail"[..]) {
            return None;
        }
        let all: Vec<&[u8]> = existing.into_iter().chain(operands.iter().copied()).collect();
        Some(all.join(&b","[..]))
    }
    fn partial_merge(&self, _key: &[u8], operands: &[&[u8]]) -> Option<Vec<u8>> {
        operands.len().is_multiple_of(2).then(|| operands.join(&b","[..]))
    }
}

/// One write of a history.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: Vec<u8>,
    pub(crate) sequence: u64,
    pub(crate) kind: EntryKind,
    pub(crate) value: Vec<u8>,
}

impl Entry {
    pub(crate) fn internal(&self) -> (Vec<u8>, Vec<u8>) {
        (InternalKey::new(&self.key, self.sequence, self.kind).0, self.value.clone())
    }
    pub(crate) fn parse(key: &[u8], value: &[u8]) -> Entry {
        let parsed = ParsedKey::parse(key).expect("a key that was written");
        let (sequence, kind) = (parsed.sequence, parsed.kind);
        Entry { key: parsed.user_key.to_vec(), sequence, kind, value: value.to_vec() }
    }
}

/// Everything that was written, or what is left of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) entries: Vec<Entry>,
    pub(crate) tombstones: Vec<RangeTombstone>,
}

impl History {
    /// What a read of `key` at `snapshot` sees, with `Joining`. `Pointer` values are shown by `resolve`.
    pub(crate) fn get(
        &self,
        key: &[u8],
        snapshot: u64,
        resolve: &dyn Fn(&[u8]) -> Vec<u8>,
    ) -> Option<Vec<u8>> {
        self.get_at(key, snapshot, 0, resolve)
    }

    /// The same at a time.
    pub(crate) fn get_at(
        &self,
        key: &[u8],
        snapshot: u64,
        now: u64,
        resolve: &dyn Fn(&[u8]) -> Vec<u8>,
    ) -> Option<Vec<u8>> {
        let covers = |t: &&RangeTombstone| t.sequence <= snapshot && &t.start[..] <= key && key < &t.end[..];
        let covered = self.tombstones.iter().filter(covers).map(|t| t.sequence).max().unwrap_or(0);
        let mut versions: Vec<&Entry> = self
            .entries
            .iter()
            .filter(|e| e.key == key && e.sequence <= snapshot && e.sequence > covered)
            .collect();
        versions.sort_by_key(|entry| std::cmp::Reverse(entry.sequence));
        let mut operands: Vec<&[u8]> = Vec::new();
        let mut base = None;
        for entry in versions {
            let (kind, value) = seen_at(entry.kind, &entry.value, now);
            match kind {
                EntryKind::Merge => operands.push(value),
                EntryKind::Put => {
                    base = Some(value.to_vec());
                    break;
                }
                EntryKind::Pointer => {
                    base = Some(resolve(value));
                    break;
                }
                _ => break,
            }
        }
        operands.reverse();
        if operands.is_empty() {
            return base;
        }
        Joining.full_merge(key, base.as_deref(), &operands)
    }
}
