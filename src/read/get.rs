//! Point lookups: from the newest source to the oldest, until a base value, a deletion or the end of history.

use super::ReadMode;
use super::fold::FoldContext;
use super::pinned::PinnedValue;
use super::view::ReadView;
use crate::base::expiry::Moment;
use crate::base::{EntryKind, InternalComparator, InternalKey, Result, SequenceNumber};
use crate::sst::{Pin, TableRead};

/// What the search has found so far.
struct Search {
    /// Newest range deletion of the key seen so far; entries older than it are deleted.
    covering: SequenceNumber,
    /// Operands, newest first.
    operands: Vec<Vec<u8>>,
    base: Base,
}

enum Base {
    /// Keep looking in older sources.
    Unknown,
    /// Deleted, or the end of history.
    Absent,
    /// A value of the entry itself.
    Value(PinnedValue),
    /// An encoded pointer.
    Pointer(PointerBytes),
}

/// An encoded pointer, copied out of its source (it is short).
struct PointerBytes {
    bytes: [u8; crate::base::ValuePointer::MAX_ENCODED_LEN],
    len: usize,
}

impl Search {
    /// Takes one entry, newest first; returns whether older ones matter. `pin` makes the value, which stands so many
    /// bytes after the beginning of what is stored, outlive the source.
    fn consider(
        &mut self,
        sequence: SequenceNumber,
        kind: EntryKind,
        stored: &[u8],
        moment: &Moment<'_>,
        pin: &dyn Fn(usize) -> PinnedValue,
    ) -> bool {
        if sequence < self.covering {
            self.base = Base::Absent;
            return false;
        }
        let (kind, value) = moment.seen(kind, stored);
        self.base = match kind {
            EntryKind::Put => Base::Value(pin(stored.len() - value.len())),
            EntryKind::Pointer => Base::Pointer(PointerBytes::copy(value)),
            EntryKind::Delete | EntryKind::SingleDelete | EntryKind::RangeDelete => Base::Absent,
            EntryKind::Merge => {
                self.operands.push(value.to_vec());
                return true;
            }
            EntryKind::ExpiringPut | EntryKind::ExpiringMerge | EntryKind::ExpiringPointer => {
                unreachable!("what is seen of an entry has no expiry")
            }
        };
        false
    }

    fn is_decided(&self) -> bool {
        !matches!(self.base, Base::Unknown)
    }
}

impl PointerBytes {
    fn copy(value: &[u8]) -> PointerBytes {
        let mut bytes = [0; crate::base::ValuePointer::MAX_ENCODED_LEN];
        // A longer encoding is malformed; its cut form is too, and `resolve` says so.
        let len = value.len().min(bytes.len());
        bytes[..len].copy_from_slice(&value[..len]);
        PointerBytes { bytes, len }
    }
}

/// The value of `key` in `view` at `snapshot`; `None` if it has none. What has expired is judged at `moment`.
pub fn get(
    view: &ReadView,
    order: &InternalComparator,
    key: &[u8],
    snapshot: SequenceNumber,
    moment: &Moment<'_>,
    fold: &FoldContext,
    mode: ReadMode,
) -> Result<Option<PinnedValue>> {
    let mut search = Search { covering: 0, operands: Vec::new(), base: Base::Unknown };
    for buffer in view.buffers() {
        search.covering = search.covering.max(buffer.covering_sequence(key, snapshot));
        buffer.table().get(key, snapshot, &mut |sequence, kind, value| {
            let copy = |from: usize| PinnedValue::Owned(value[from..].to_vec());
            search.consider(sequence, kind, value, moment, &copy)
        });
        if search.is_decided() {
            return finish(search, key, fold, mode);
        }
    }
    search_tables(view, order, key, snapshot, moment, mode, &mut search)?;
    finish(search, key, fold, mode)
}

fn search_tables(
    view: &ReadView,
    order: &InternalComparator,
    key: &[u8],
    snapshot: SequenceNumber,
    moment: &Moment<'_>,
    mode: ReadMode,
    search: &mut Search,
) -> Result<()> {
    let lookup = InternalKey::for_lookup(key, snapshot);
    let read = TableRead { fill_cache: mode.fill_cache, allow_io: mode.allow_io, read_ahead: 0 };
    for (_, file) in view.version.files_for_key(lookup.as_bytes(), order) {
        if file.properties.range_tombstones > 0 {
            let covering = file.table.range_tombstones().covering_sequence(key, snapshot, order);
            search.covering = search.covering.max(covering);
        }
        file.table.get(lookup.as_bytes(), read, &mut |entry, value, pin| {
            search.consider(entry.sequence, entry.kind, value, moment, &|from| {
                let Pin { buffer, range } = pin();
                PinnedValue::Block(Pin { buffer, range: range.start + from..range.end })
            })
        })?;
        if search.is_decided() {
            break;
        }
    }
    Ok(())
}

fn finish(search: Search, key: &[u8], fold: &FoldContext, mode: ReadMode) -> Result<Option<PinnedValue>> {
    let base = match search.base {
        Base::Unknown | Base::Absent => None,
        Base::Value(value) => Some(value),
        Base::Pointer(pointer) => Some(fold.resolve(key, &pointer.bytes[..pointer.len], mode)?),
    };
    if search.operands.is_empty() {
        return Ok(base);
    }
    let operands: Vec<&[u8]> = search.operands.iter().rev().map(Vec::as_slice).collect();
    fold.merge(key, base.as_deref(), &operands).map(|merged| Some(PinnedValue::Owned(merged)))
}
