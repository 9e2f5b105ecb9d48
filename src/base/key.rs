//! Internal keys: what memtables and tables sort by.
//!
//! internal key := user key | trailer:u64 little-endian, where trailer = sequence << 8 | kind.
//! Order: user key ascending by the comparator, then trailer descending, so that the newest version of a key
//! comes first. `EntryKind` values reach disk (tables and write batches): never renumber them.

/// The position of a write in the history of the database. 56 bits; a new database is at 0.
pub type SequenceNumber = u64;

/// The largest sequence number; reading at it sees everything.
pub const MAX_SEQUENCE: SequenceNumber = (1 << 56) - 1;

/// Bytes of the trailer after the user key.
pub const TRAILER_LEN: usize = 8;

/// What an entry is. The numbers are RocksDB's record tags and part of the disk format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum EntryKind {
    /// The key is deleted.
    Delete = 0x0,
    /// The value follows.
    Put = 0x1,
    /// An operand for the merge operator.
    Merge = 0x2,
    /// The key, written once before, is deleted.
    SingleDelete = 0x7,
    /// Everything from the key up to (not including) the value is deleted.
    RangeDelete = 0xf,
    /// The value is in the value log; a pointer follows.
    Pointer = 0x11,
    /// An expiry (`base::expiry`) and the value follow.
    ExpiringPut = 0x41,
    /// An expiry and an operand follow.
    ExpiringMerge = 0x42,
    /// An expiry and a pointer follow.
    ExpiringPointer = 0x51,
}

/// Set in the tags of kinds that have an expiry, and in no other.
const EXPIRING: u8 = 0x40;

/// The kind of each tag: one load where a choice between the tags would be a jump.
static KINDS: [Option<EntryKind>; 256] = {
    let all = [
        EntryKind::Delete,
        EntryKind::Put,
        EntryKind::Merge,
        EntryKind::SingleDelete,
        EntryKind::RangeDelete,
        EntryKind::Pointer,
        EntryKind::ExpiringPut,
        EntryKind::ExpiringMerge,
        EntryKind::ExpiringPointer,
    ];
    let mut kinds = [None; 256];
    let mut at = 0;
    while at < all.len() {
        kinds[all[at] as usize] = Some(all[at]);
        at += 1;
    }
    kinds
};

impl EntryKind {
    /// The largest tag: a lookup key built with it sorts before every entry of the same key and sequence.
    pub const SEEK: EntryKind = EntryKind::ExpiringPointer;

    /// The kind with this tag.
    #[inline]
    pub fn from_tag(tag: u8) -> Option<EntryKind> {
        KINDS[usize::from(tag)]
    }

    /// True for kinds that carry a value or a pointer to one.
    #[inline]
    pub fn is_value(self) -> bool {
        matches!(self.lasting(), EntryKind::Put | EntryKind::Pointer)
    }

    /// True for kinds whose stored bytes begin with an expiry.
    #[inline]
    pub fn is_expiring(self) -> bool {
        self as u8 & EXPIRING != 0
    }

    /// The kind without an expiry.
    #[inline]
    pub fn lasting(self) -> EntryKind {
        match self {
            EntryKind::ExpiringPut => EntryKind::Put,
            EntryKind::ExpiringMerge => EntryKind::Merge,
            EntryKind::ExpiringPointer => EntryKind::Pointer,
            other => other,
        }
    }

    /// The kind with an expiry; deletions have none and stay what they are.
    pub fn expiring(self) -> EntryKind {
        match self {
            EntryKind::Put => EntryKind::ExpiringPut,
            EntryKind::Merge => EntryKind::ExpiringMerge,
            EntryKind::Pointer => EntryKind::ExpiringPointer,
            other => other,
        }
    }

    /// True for point deletions.
    pub fn is_delete(self) -> bool {
        matches!(self, EntryKind::Delete | EntryKind::SingleDelete)
    }
}

/// Packs a sequence number and a kind.
#[inline]
pub fn trailer(sequence: SequenceNumber, kind: EntryKind) -> u64 {
    debug_assert!(sequence <= MAX_SEQUENCE);
    sequence << 8 | kind as u64
}

/// Appends the internal key of (`user_key`, `sequence`, `kind`) to `out`.
pub fn append_internal_key(out: &mut Vec<u8>, user_key: &[u8], sequence: SequenceNumber, kind: EntryKind) {
    out.extend_from_slice(user_key);
    out.extend_from_slice(&trailer(sequence, kind).to_le_bytes());
}

/// The user key of an internal key. `key` must be at least a trailer long; tables check that when they decode.
#[inline]
pub fn user_key(key: &[u8]) -> &[u8] {
    &key[..key.len() - TRAILER_LEN]
}

/// The trailer of an internal key.
#[inline]
pub fn key_trailer(key: &[u8]) -> u64 {
    u64::from_le_bytes(key[key.len() - TRAILER_LEN..].try_into().expect("eight bytes"))
}

/// The sequence number of an internal key.
#[inline]
pub fn key_sequence(key: &[u8]) -> SequenceNumber {
    key_trailer(key) >> 8
}

/// An internal key taken apart; borrows the user key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParsedKey<'a> {
    /// The caller's key.
    pub user_key: &'a [u8],
    /// When it was written.
    pub sequence: SequenceNumber,
    /// What the entry is.
    pub kind: EntryKind,
}

impl<'a> ParsedKey<'a> {
    /// Takes an internal key apart; `None` if it is too short or the kind is unknown.
    #[inline]
    pub fn parse(key: &'a [u8]) -> Option<ParsedKey<'a>> {
        let split = key.len().checked_sub(TRAILER_LEN)?;
        let packed = u64::from_le_bytes(key[split..].try_into().ok()?);
        Some(ParsedKey {
            user_key: &key[..split],
            sequence: packed >> 8,
            kind: EntryKind::from_tag(packed as u8)?,
        })
    }
}

/// An owned internal key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct InternalKey(pub Vec<u8>);

impl InternalKey {
    /// The internal key of (`user_key`, `sequence`, `kind`).
    pub fn new(user_key: &[u8], sequence: SequenceNumber, kind: EntryKind) -> Self {
        let mut bytes = Vec::with_capacity(user_key.len() + TRAILER_LEN);
        append_internal_key(&mut bytes, user_key, sequence, kind);
        InternalKey(bytes)
    }

    /// The key to seek with to find the newest entry of `user_key` visible at `sequence`.
    pub fn for_lookup(user_key: &[u8], sequence: SequenceNumber) -> Self {
        InternalKey::new(user_key, sequence, EntryKind::SEEK)
    }

    /// The encoded bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The caller's part.
    pub fn user_key(&self) -> &[u8] {
        user_key(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_apart_as_they_were_put_together() {
        let plain = [EntryKind::Delete, EntryKind::Put, EntryKind::Merge, EntryKind::Pointer];
        for kind in plain.into_iter().chain(plain.map(EntryKind::expiring)) {
            assert_eq!(EntryKind::from_tag(kind as u8), Some(kind));
            assert!(kind <= EntryKind::SEEK && plain.contains(&kind.lasting()));
            let key = InternalKey::new(b"k", 77, kind);
            let parsed = ParsedKey::parse(key.as_bytes()).unwrap();
            assert_eq!((parsed.user_key, parsed.sequence, parsed.kind), (&b"k"[..], 77, kind));
        }
        let known = (0..=u8::MAX).filter_map(|tag| EntryKind::from_tag(tag).map(|kind| (tag, kind as u8)));
        assert_eq!(known.clone().count(), 9);
        assert!(known.into_iter().all(|(tag, kind)| tag == kind));
        assert!(ParsedKey::parse(b"short").is_none());
        assert!(ParsedKey::parse(&[9; 8]).is_none());
    }
}
