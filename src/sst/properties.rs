//! Facts about a table, and how they are stored.
//!
//! properties := (tag:varint | payload:slice)*, in any order, each tag at most once; unknown tags are
//! skipped, so later versions can add. A number's payload is one varint, a key's or name's payload its bytes,
//! and the segments' payload is (segment:varint | bytes:varint | values:varint | end:varint)*. `file_size` is
//! not stored: it is the length of the file. Tags reach disk: never renumber them.

use crate::base::ValuePointer;
use crate::base::coding::{Decoder, put_slice, put_varint};
use std::collections::BTreeMap;

/// Facts about a table, written into it and into the manifest's file metadata.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableProperties {
    /// Bytes of the file.
    pub file_size: u64,
    /// Point entries.
    pub entries: u64,
    /// Point deletions among them (Delete and SingleDelete).
    pub deletions: u64,
    /// Merge operands among them.
    pub merges: u64,
    /// Range tombstones.
    pub range_tombstones: u64,
    /// Bytes of all internal keys.
    pub raw_key_bytes: u64,
    /// Bytes of all stored values.
    pub raw_value_bytes: u64,
    /// Data blocks.
    pub data_blocks: u64,
    /// Bytes of data blocks as stored.
    pub data_bytes: u64,
    /// Bytes of the fence index as stored.
    pub index_bytes: u64,
    /// Bytes of the filter as stored.
    pub filter_bytes: u64,
    /// Bytes of the learned index as stored (0 = none).
    pub model_bytes: u64,
    /// Linear segments of the learned index.
    pub model_segments: u64,
    /// The learned index's measured error bound, in entries.
    pub model_error: u64,
    /// Smallest internal key of points and tombstones; empty if the table is empty.
    pub smallest: Vec<u8>,
    /// Largest internal key; a tombstone's exclusive end `e` counts as (e, MAX_SEQUENCE, RangeDelete), which
    /// sorts before every real entry of `e`.
    pub largest: Vec<u8>,
    /// Smallest sequence number in the table.
    pub smallest_sequence: u64,
    /// Largest sequence number in the table.
    pub largest_sequence: u64,
    /// Point entries that expire.
    pub expiring: u64,
    /// When the last of them expires, in seconds since 1970; 0 = none does.
    pub latest_expiry: u64,
    /// A time at which half of the point entries that are no deletions, or more, have expired; 0 = that never comes.
    pub half_expired: u64,
    /// Value-log bytes (whole records) that this table's pointers refer to, by segment, ascending.
    pub segments: Vec<SegmentUse>,
}

/// How much of a value-log segment a table refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentUse {
    /// The segment's file number.
    pub segment: u64,
    /// Sum of `record_len` of the pointers.
    pub bytes: u64,
    /// How many pointers.
    pub values: u64,
    /// The highest `ValuePointer::end` among them: the segment must be at least this long.
    pub end: u64,
}

/// Adds up which segments a table's pointers refer to.
#[derive(Default)]
pub(super) struct SegmentCounter {
    uses: BTreeMap<u64, SegmentUse>,
}

impl SegmentCounter {
    pub(super) fn add(&mut self, pointer: &ValuePointer) {
        let segment = pointer.segment;
        let entry = self.uses.entry(segment).or_insert(SegmentUse { segment, bytes: 0, values: 0, end: 0 });
        entry.bytes += u64::from(pointer.record_len);
        entry.values += 1;
        entry.end = entry.end.max(pointer.end());
    }

    pub(super) fn into_uses(self) -> Vec<SegmentUse> {
        self.uses.into_values().collect()
    }
}

/// The names a table was written under, stored with its properties.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TableNames {
    /// The comparator's name.
    pub(super) comparator: String,
    /// The prefix extractor's name; `None` if there was none.
    pub(super) prefix_extractor: Option<String>,
}

const TAG_COMPARATOR: u64 = 1;
const TAG_PREFIX_EXTRACTOR: u64 = 2;
const TAG_SMALLEST: u64 = 3;
const TAG_LARGEST: u64 = 4;
const TAG_SEGMENTS: u64 = 5;
/// The numbers follow from here in the order of `numbers_of`.
const TAG_FIRST_NUMBER: u64 = 16;
const NUMBERS: usize = 18;

/// Every number with its tag's place after `TAG_FIRST_NUMBER`. Append only.
fn numbers_of(properties: &mut TableProperties) -> [&mut u64; NUMBERS] {
    [
        &mut properties.entries,
        &mut properties.deletions,
        &mut properties.merges,
        &mut properties.range_tombstones,
        &mut properties.raw_key_bytes,
        &mut properties.raw_value_bytes,
        &mut properties.data_blocks,
        &mut properties.data_bytes,
        &mut properties.index_bytes,
        &mut properties.filter_bytes,
        &mut properties.model_bytes,
        &mut properties.model_segments,
        &mut properties.model_error,
        &mut properties.smallest_sequence,
        &mut properties.largest_sequence,
        &mut properties.expiring,
        &mut properties.latest_expiry,
        &mut properties.half_expired,
    ]
}

/// Appends the contents of the properties section.
pub(super) fn encode(properties: &TableProperties, names: &TableNames, out: &mut Vec<u8>) {
    let mut put = |tag: u64, payload: &[u8]| {
        put_varint(out, tag);
        put_slice(out, payload);
    };
    put(TAG_COMPARATOR, names.comparator.as_bytes());
    if let Some(name) = &names.prefix_extractor {
        put(TAG_PREFIX_EXTRACTOR, name.as_bytes());
    }
    put(TAG_SMALLEST, &properties.smallest);
    put(TAG_LARGEST, &properties.largest);
    let mut payload = Vec::new();
    for used in &properties.segments {
        for number in [used.segment, used.bytes, used.values, used.end] {
            put_varint(&mut payload, number);
        }
    }
    put(TAG_SEGMENTS, &payload);
    for (tag, number) in (TAG_FIRST_NUMBER..).zip(numbers_of(&mut properties.clone())) {
        payload.clear();
        put_varint(&mut payload, *number);
        put(tag, &payload);
    }
}

/// Reads the contents of the properties section; `None` if malformed.
pub(super) fn decode(contents: &[u8]) -> Option<(TableProperties, TableNames)> {
    let mut properties = TableProperties::default();
    let mut names = TableNames::default();
    let mut decoder = Decoder::new(contents);
    while !decoder.is_empty() {
        let tag = decoder.varint()?;
        let payload = decoder.slice()?;
        match tag {
            TAG_COMPARATOR => names.comparator = String::from_utf8(payload.to_vec()).ok()?,
            TAG_PREFIX_EXTRACTOR => names.prefix_extractor = Some(String::from_utf8(payload.to_vec()).ok()?),
            TAG_SMALLEST => properties.smallest = payload.to_vec(),
            TAG_LARGEST => properties.largest = payload.to_vec(),
            TAG_SEGMENTS => properties.segments = decode_segments(payload)?,
            _ => {
                let place = tag.checked_sub(TAG_FIRST_NUMBER).filter(|&place| place < NUMBERS as u64);
                if let Some(place) = place {
                    *numbers_of(&mut properties)[place as usize] = Decoder::new(payload).varint()?;
                }
            }
        }
    }
    Some((properties, names))
}

fn decode_segments(payload: &[u8]) -> Option<Vec<SegmentUse>> {
    let mut decoder = Decoder::new(payload);
    let mut segments = Vec::new();
    while !decoder.is_empty() {
        segments.push(SegmentUse {
            segment: decoder.varint()?,
            bytes: decoder.varint()?,
            values: decoder.varint()?,
            end: decoder.varint()?,
        });
    }
    segments.is_sorted_by_key(|used| used.segment).then_some(segments)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (TableProperties, TableNames) {
        let mut properties = TableProperties {
            smallest: b"a-------".to_vec(),
            largest: b"z-------".to_vec(),
            segments: vec![
                SegmentUse { segment: 4, bytes: 1 << 33, values: 9, end: 1 << 40 },
                SegmentUse { segment: 9, bytes: 5, values: 1, end: 77 },
            ],
            ..TableProperties::default()
        };
        for (value, number) in (1000u64..).zip(numbers_of(&mut properties)) {
            *number = value * value;
        }
        (properties, TableNames { comparator: "order".into(), prefix_extractor: Some("four".into()) })
    }

    #[test]
    fn properties_round_trip() {
        let (properties, names) = sample();
        let mut bytes = Vec::new();
        encode(&properties, &names, &mut bytes);
        assert_eq!(decode(&bytes), Some((properties.clone(), names.clone())));
        put_varint(&mut bytes, 999);
        put_slice(&mut bytes, b"from a later version");
        assert_eq!(decode(&bytes), Some((properties, names)));
    }

    #[test]
    fn damaged_properties_never_panic() {
        let (properties, names) = sample();
        let mut bytes = Vec::new();
        encode(&properties, &names, &mut bytes);
        for at in 0..bytes.len() {
            let _ = decode(&bytes[..at]);
            let mut bad = bytes.clone();
            bad[at] ^= 0x80;
            let _ = decode(&bad);
        }
        assert_eq!(decode(&bytes[..bytes.len() - 1]), None);
    }

    #[test]
    fn pointers_are_added_up_by_segment() {
        let mut counter = SegmentCounter::default();
        for (segment, offset, record_len) in [(5, 100, 10), (2, 0, 7), (5, 20, 30)] {
            counter.add(&ValuePointer { segment, offset, record_len, value_len: 1, checksum: 0 });
        }
        let expected = vec![
            SegmentUse { segment: 2, bytes: 7, values: 1, end: 7 },
            SegmentUse { segment: 5, bytes: 40, values: 2, end: 110 },
        ];
        assert_eq!(counter.into_uses(), expected);
    }
}
