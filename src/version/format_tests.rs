//! The manifest's bytes: what was encoded comes back, and no bytes make a decoder panic or lie.

use super::edit::{NewFile, VersionEdit};
use super::format::{Changes, Current, Header, HeaderError};
use crate::base::key::{EntryKind, InternalKey};
use crate::compaction::testing::Random;
use crate::sst::{SegmentUse, TableProperties};

fn random_properties(random: &mut Random) -> TableProperties {
    let mut value = || random.next() >> (random.below(50));
    let mut properties = TableProperties {
        file_size: value(),
        entries: value(),
        deletions: value(),
        merges: value(),
        range_tombstones: value(),
        raw_key_bytes: value(),
        raw_value_bytes: value(),
        data_blocks: value(),
        data_bytes: value(),
        index_bytes: value(),
        filter_bytes: value(),
        model_bytes: value(),
        model_segments: value(),
        model_error: value(),
        smallest_sequence: value(),
        largest_sequence: value(),
        ..TableProperties::default()
    };
    properties.smallest = InternalKey::new(b"a", 9, EntryKind::Put).0;
    properties.largest = InternalKey::new(&vec![b'z'; random.below(300) as usize], 7, EntryKind::Merge).0;
    for _ in 0..random.below(3) {
        let mut value = || random.next() >> (random.below(50));
        properties.segments.push(SegmentUse {
            segment: value(),
            bytes: value(),
            values: value(),
            end: value(),
        });
    }
    if random.one_in(2) {
        properties.expiring = 1 + random.below(1000);
        (properties.latest_expiry, properties.half_expired) = (random.next(), random.next());
    }
    properties
}

fn random_changes(random: &mut Random) -> Changes {
    let mut changes = Changes::default();
    if random.one_in(2) {
        changes.next_file_number = Some(random.next());
        changes.next_column_family = Some(random.below(9) as u32);
    }
    for _ in 0..random.below(4) {
        let mut edit = VersionEdit { column_family: random.below(300) as u32, ..VersionEdit::default() };
        for _ in 0..random.below(3) {
            let (level, run, number) = (random.below(64) as u32, random.below(3), random.next());
            edit.added.push(NewFile { level, run, number, properties: random_properties(random) });
            edit.removed.push((random.below(64) as u32, random.next()));
        }
        edit.flushed_sequence = random.one_in(2).then(|| random.next());
        edit.create = random.one_in(3).then(|| ("gr\u{f6}\u{df}e".into(), String::new()));
        edit.drop = random.one_in(4);
        edit.last_sequence = random.one_in(2).then(|| random.next());
        edit.min_wal = random.one_in(2).then(|| random.next());
        edit.sealed_wals = (0..random.below(3)).map(|_| (random.next(), random.next())).collect();
        changes.edits.push(edit);
    }
    changes
}

#[test]
fn changes_round_trip_and_are_never_cut_short() {
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let changes = random_changes(&mut random);
        let bytes = changes.encode();
        assert_eq!(Changes::decode(&bytes).as_ref(), Ok(&changes), "seed {seed}");
        for len in 0..bytes.len() {
            assert!(Changes::decode(&bytes[..len]).is_err(), "seed {seed}, cut to {len}");
        }
        for _ in 0..50 {
            let mut bent = bytes.clone();
            let at = random.below(bent.len() as u64) as usize;
            bent[at] = random.next() as u8;
            let _ = Changes::decode(&bent); // Any answer is right, but no panic and no endless allocation.
        }
    }
}

#[test]
fn unknown_fields_and_levels_are_refused() {
    let edit = |bytes: &[u8]| [&[2, 0, bytes.len() as u8][..], bytes].concat();
    assert!(Changes::decode(&edit(&[1, 5])).is_ok());
    assert!(Changes::decode(&edit(&[99, 5])).unwrap_err().contains("tag 99"));
    assert!(Changes::decode(&edit(&[3, 64, 5])).is_err(), "level 64");
    assert!(Changes::decode(&[1, 2, 1, 5]).is_err(), "the counters' edit names a column family");
    assert!(Changes::decode(&[255, 255, 255, 255, 15]).is_err());
}

#[test]
fn header_and_current_bear_no_flipped_bit() {
    let header = Header { database: *b"0123456789abcdef", number: 77, new_database: true };
    let bytes = header.encode();
    assert_eq!(Header::decode(&bytes), Ok(header));
    for len in 0..bytes.len() {
        assert!(Header::decode(&bytes[..len]).is_err());
    }
    let mut newer = bytes.clone();
    newer[8] = 9;
    newer.push(0);
    assert_eq!(Header::decode(&newer), Err(HeaderError::Newer(9)));

    for sealed_len in [None, Some(0), Some(12_345_678_901)] {
        let current = Current { number: 5, sealed_len };
        let text = current.encode();
        assert!(text.starts_with("MANIFEST-000005 ") && text.ends_with('\n'));
        for number in [0, 5, 999_999, 1_000_000, u64::MAX] {
            let current = Current { number, sealed_len };
            assert_eq!(Current::decode(current.encode().as_bytes()), Some(current));
        }
        for bit in 0..text.len() * 8 {
            let mut bent = text.clone().into_bytes();
            bent[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Current::decode(&bent), None, "bit {bit}");
        }
        for len in 0..text.len() {
            assert_eq!(Current::decode(&text.as_bytes()[..len]), None);
        }
    }
}
