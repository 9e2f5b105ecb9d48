//! The reference: what a database should hold, as ordered maps, and what each operation does to them.

use auradb::base::extension::MergeOperator;
use auradb::base::{Comparator, Error};
use auradb::batch::WriteBatch;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

pub type Bytes = Arc<[u8]>;

/// A key with its family's order.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    pub bytes: Bytes,
    pub reversed: bool,
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Key) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Key) -> Ordering {
        if self.reversed { other.bytes.cmp(&self.bytes) } else { self.bytes.cmp(&other.bytes) }
    }
}

/// The order of a family whose keys run backwards.
pub struct ReverseComparator;

impl Comparator for ReverseComparator {
    fn name(&self) -> &str {
        "test.reverse"
    }
    fn compare(&self, a: &[u8], b: &[u8]) -> Ordering {
        b.cmp(a)
    }
}

/// What one family holds.
#[derive(Clone, Default)]
pub struct FamilyState {
    pub reversed: bool,
    pub adds: bool,
    pub entries: BTreeMap<Key, Bytes>,
    /// Of `entries`, those whose base expires.
    pub timed: BTreeMap<Key, Timed>,
}

#[derive(Clone)]
pub struct Timed {
    expiry: u64,
    /// What operands since make without the base.
    rest: Option<Bytes>,
}

/// By what is shown.
impl PartialEq for FamilyState {
    fn eq(&self, other: &FamilyState) -> bool {
        (self.reversed, self.adds) == (other.reversed, other.adds) && self.entries == other.entries
    }
}

impl FamilyState {
    pub fn key(&self, bytes: &[u8]) -> Key {
        Key { bytes: bytes.into(), reversed: self.reversed }
    }

    pub fn get(&self, key: &[u8]) -> Option<&Bytes> {
        self.entries.get(&self.key(key))
    }

    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Put { key, value, .. } => {
                self.timed.remove(&self.key(key));
                self.entries.insert(self.key(key), value.clone());
            }
            Change::PutWithTtl { key, value, expiry, .. } => {
                self.timed.insert(self.key(key), Timed { expiry: *expiry, rest: None });
                self.entries.insert(self.key(key), value.clone());
            }
            Change::Delete { key, .. } | Change::SingleDelete { key, .. } => {
                self.timed.remove(&self.key(key));
                self.entries.remove(&self.key(key));
            }
            Change::DeleteRange { start, end, .. } => {
                let (start, end) = (self.key(start), self.key(end));
                self.entries.retain(|key, _| *key < start || *key >= end);
                self.timed.retain(|key, _| *key < start || *key >= end);
            }
            Change::Merge { key, operand, .. } => {
                let key = self.key(key);
                let existing = self.entries.get(&key).map(|value| &**value);
                let all = merged(self.adds, existing, &[operand]);
                if let Some(timed) = self.timed.get_mut(&key) {
                    timed.rest = Some(merged(self.adds, timed.rest.as_deref(), &[operand]).into());
                }
                self.entries.insert(key, all.into());
            }
        }
    }

    /// It is `now`: what has expired goes. Tells whether anything has.
    pub fn pass(&mut self, now: u64) -> bool {
        let gone: Vec<Key> =
            self.timed.iter().filter(|(_, timed)| timed.expiry <= now).map(|(key, _)| key.clone()).collect();
        for key in &gone {
            match self.timed.remove(key).and_then(|timed| timed.rest) {
                Some(rest) => drop(self.entries.insert(key.clone(), rest)),
                None => drop(self.entries.remove(key)),
            }
        }
        !gone.is_empty()
    }

    pub fn describe(&self) -> String {
        let mut text = String::new();
        for (key, value) in &self.entries {
            text.push_str(&format!("  {} = {}\n", show(&key.bytes), show(value)));
        }
        text
    }
}

/// Bytes for people: long ones are cut.
pub fn show(bytes: &[u8]) -> String {
    let head = bytes[..bytes.len().min(24)].escape_ascii();
    if bytes.len() > 24 { format!("{head}..({} bytes)", bytes.len()) } else { head.to_string() }
}

/// One record of a batch; `family` is an id or an index, as the test likes.
#[derive(Clone)]
pub enum Change {
    Put {
        family: usize,
        key: Bytes,
        value: Bytes,
    },
    /// `expiry` is when it expires, if it is written now.
    PutWithTtl {
        family: usize,
        key: Bytes,
        value: Bytes,
        ttl: u64,
        expiry: u64,
    },
    Delete {
        family: usize,
        key: Bytes,
    },
    SingleDelete {
        family: usize,
        key: Bytes,
    },
    DeleteRange {
        family: usize,
        start: Bytes,
        end: Bytes,
    },
    Merge {
        family: usize,
        key: Bytes,
        operand: Bytes,
    },
}

impl Change {
    pub fn family(&self) -> usize {
        match self {
            Change::Put { family, .. }
            | Change::PutWithTtl { family, .. }
            | Change::Delete { family, .. }
            | Change::SingleDelete { family, .. }
            | Change::DeleteRange { family, .. }
            | Change::Merge { family, .. } => *family,
        }
    }

    pub fn family_mut(&mut self) -> &mut usize {
        match self {
            Change::Put { family, .. }
            | Change::PutWithTtl { family, .. }
            | Change::Delete { family, .. }
            | Change::SingleDelete { family, .. }
            | Change::DeleteRange { family, .. }
            | Change::Merge { family, .. } => family,
        }
    }

    /// The same as a record of a batch.
    pub fn add_to(&self, batch: &mut WriteBatch, id: u32) -> Result<(), Error> {
        match self {
            Change::Put { key, value, .. } => batch.put(id, key, value),
            Change::PutWithTtl { key, value, ttl, .. } => batch.put_with_ttl(id, key, value, *ttl),
            Change::Delete { key, .. } => batch.delete(id, key),
            Change::SingleDelete { key, .. } => batch.single_delete(id, key),
            Change::DeleteRange { start, end, .. } => batch.delete_range(id, start, end),
            Change::Merge { key, operand, .. } => batch.merge(id, key, operand),
        }
    }
}

impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Change::Put { family, key, value } => write!(f, "put {family}:{}={}", show(key), show(value)),
            Change::PutWithTtl { family, key, value, ttl, expiry } => {
                write!(f, "put {family}:{}={} for {ttl} s, to {expiry}", show(key), show(value))
            }
            Change::Delete { family, key } => write!(f, "delete {family}:{}", show(key)),
            Change::SingleDelete { family, key } => write!(f, "single_delete {family}:{}", show(key)),
            Change::DeleteRange { family, start, end } => {
                write!(f, "delete_range {family}:{}..{}", show(start), show(end))
            }
            Change::Merge { family, key, operand } => {
                write!(f, "merge {family}:{}+{}", show(key), show(operand))
            }
        }
    }
}

/// `operands` applied to `existing`: added up as numbers, or put behind it.
fn merged(adds: bool, existing: Option<&[u8]>, operands: &[&[u8]]) -> Vec<u8> {
    let all = existing.into_iter().chain(operands.iter().copied());
    if adds {
        let sum = all.fold(0u64, |sum, bytes| sum.wrapping_add(number(bytes)));
        sum.to_le_bytes().to_vec()
    } else {
        all.flatten().copied().collect()
    }
}

fn number(bytes: &[u8]) -> u64 {
    let mut padded = [0; 8];
    let len = bytes.len().min(8);
    padded[..len].copy_from_slice(&bytes[..len]);
    u64::from_le_bytes(padded)
}

/// Puts operands behind the value; combines operands only if `partial`.
pub struct Append {
    pub partial: bool,
}

impl MergeOperator for Append {
    fn name(&self) -> &str {
        "test.append"
    }
    fn full_merge(&self, _: &[u8], existing: Option<&[u8]>, operands: &[&[u8]]) -> Option<Vec<u8>> {
        Some(merged(false, existing, operands))
    }
    fn partial_merge(&self, _: &[u8], operands: &[&[u8]]) -> Option<Vec<u8>> {
        self.partial.then(|| merged(false, None, operands))
    }
}

/// Adds up 64-bit numbers.
pub struct Add;

impl MergeOperator for Add {
    fn name(&self) -> &str {
        "test.add"
    }
    fn full_merge(&self, _: &[u8], existing: Option<&[u8]>, operands: &[&[u8]]) -> Option<Vec<u8>> {
        Some(merged(true, existing, operands))
    }
    fn partial_merge(&self, _: &[u8], operands: &[&[u8]]) -> Option<Vec<u8>> {
        Some(merged(true, None, operands))
    }
}
