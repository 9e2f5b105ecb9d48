//! What is logged is what the caller wrote, with pointers in the place of big values.

use super::*;
use crate::base::{Codec, ErrorKind, ValuePointer};
use crate::batch::verify;
use crate::env::simulated::SimEnv;
use crate::value_log::ValueLogOptions;
use std::sync::atomic::AtomicU64;

/// The families 0, 5 and 300; the last has no merge operator.
struct Families;

impl FamilyRules for Families {
    fn rules(&self, column_family: u32) -> Option<Rules> {
        let separate_from = match column_family {
            0 => 50,
            5 => u64::MAX,
            300 => 0,
            _ => return None,
        };
        Some(Rules { separate_from, can_merge: column_family != 300, ttl: 0 })
    }

    fn unix_seconds(&self) -> u64 {
        1000
    }

    fn cannot_merge(&self, column_family: u32) -> Error {
        Error::invalid_argument(format!("no operator: {column_family}"))
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
    fn bytes(&mut self, longest: u64) -> Vec<u8> {
        (0..self.below(longest + 1)).map(|_| self.below(256) as u8).collect()
    }
}

fn separator() -> Separator {
    let options = ValueLogOptions {
        dir: "/db".into(),
        database: [1; 16],
        // Small: a batch has values in several segments.
        max_segment_size: 2000,
        write_queues: 2,
        codec: Codec::None,
        cache: None,
        cache_owner: 0,
        direct: Arc::default(),
    };
    Separator::new(ValueLog::open(SimEnv::new(1), options, Arc::new(AtomicU64::new(1))).unwrap())
}

/// A random batch, and the same operations packed; families are packed as indexes into `IDS`.
fn random_batch(random: &mut Random) -> (WriteBatch, Vec<u8>) {
    let (mut batch, mut packed) = (WriteBatch::new(), Vec::new());
    for _ in 0..random.below(40) {
        let index = random.below(3) as usize;
        let id = IDS[index];
        let (key, value) = (random.bytes(10), random.bytes(120));
        let (kind, index, value) = match random.below(8) {
            0 => (2, index, Vec::new()),
            1 => (3, index, Vec::new()),
            2 => (4, index % 2, value),
            3 => (5, index, value),
            4 => (6, 0, Vec::new()),
            _ => (1, index, value),
        };
        match kind {
            1 => batch.put(id, &key, &value),
            2 => batch.delete(id, &key),
            3 => batch.single_delete(id, &key),
            4 => batch.merge(IDS[index], &key, &value),
            5 => batch.delete_range(id, &key, &value),
            _ => batch.put_log_data(&key),
        }
        .unwrap();
        for number in [kind + 256 * index as u32, key.len() as u32, value.len() as u32] {
            packed.extend_from_slice(&number.to_le_bytes());
        }
        packed.extend_from_slice(&key);
        packed.extend_from_slice(&value);
    }
    (batch, packed)
}

const IDS: [u32; 3] = [0, 5, 300];

fn id_at(index: usize) -> Result<u32> {
    Ok(IDS[index])
}

fn check(separator: &Separator, prepared: &Prepared<'_>, batch: &WriteBatch, seed: u64) {
    verify(prepared.bytes).unwrap();
    assert_eq!(prepared.count, batch.count(), "seed {seed}");
    let (mut families, mut segments) = (Vec::new(), Vec::new());
    let mut logged = BatchIter::over(prepared.bytes).unwrap();
    for record in batch.iter().map(Result::unwrap) {
        let got = logged.next().unwrap().unwrap();
        let family = match record {
            Record::Put { column_family, key, value } => {
                if value.len() as u64 >= Families.rules(column_family).unwrap().separate_from {
                    let Record::Pointer { column_family: id, key: at, pointer } = got else {
                        panic!("seed {seed}: {got:?} in the place of a big value");
                    };
                    assert_eq!((id, at), (column_family, key), "seed {seed}");
                    let pointer = ValuePointer::decode(pointer).unwrap();
                    let read = separator.value_log.read(&pointer, id, key, false, true).unwrap();
                    assert_eq!(read.as_slice(), value, "seed {seed}");
                    segments.push(pointer.segment);
                } else {
                    assert_eq!(got, record, "seed {seed}");
                }
                Some(column_family)
            }
            Record::Delete { column_family, .. }
            | Record::SingleDelete { column_family, .. }
            | Record::Merge { column_family, .. }
            | Record::RangeDelete { column_family, .. }
            | Record::PutWithTtl { column_family, .. }
            | Record::Expiring { column_family, .. }
            | Record::Pointer { column_family, .. } => {
                assert_eq!(got, record, "seed {seed}");
                Some(column_family)
            }
            Record::LogData(_) => {
                assert_eq!(got, record, "seed {seed}");
                None
            }
        };
        families.extend(family.filter(|family| !families.contains(family)));
    }
    assert!(logged.next().is_none(), "seed {seed}");
    assert_eq!(prepared.families[..], families, "seed {seed}");
    segments.sort_unstable();
    segments.dedup();
    let mut held: Vec<u64> = prepared.holds.iter().map(|(number, _)| *number).collect();
    held.sort_unstable();
    assert_eq!(held, segments, "seed {seed}");
}

#[test]
fn batches_and_packed_operations_are_logged_as_written() {
    let separator = separator();
    // Both are used again: what an earlier batch left in them does no harm.
    let (mut buffer, mut target) = (Vec::new(), WriteBatch::new());
    for seed in 1..=300u64 {
        let (batch, packed) = random_batch(&mut Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let prepared = separator.prepare(&batch, &mut buffer, &Families, BigValues::Separated).unwrap();
        check(&separator, &prepared, &batch, seed);
        let operations = PackedOperations::new(&packed, &id_at);
        let prepared =
            separator.prepare_packed(&operations, &mut target, &Families, BigValues::Separated).unwrap();
        check(&separator, &prepared, &batch, seed);
    }
}

#[test]
fn a_batch_without_big_values_is_borrowed() {
    let mut batch = WriteBatch::new();
    batch.put(0, b"key", b"value").unwrap();
    let mut buffer = Vec::new();
    let prepared = separator().prepare(&batch, &mut buffer, &Families, BigValues::Separated).unwrap();
    assert_eq!(prepared.bytes.as_ptr(), batch.data().as_ptr());
    assert!(prepared.holds.is_empty());
}

#[test]
fn kept_values_stay_with_their_batch() {
    let separator = separator();
    let (mut buffer, mut target) = (Vec::new(), WriteBatch::new());
    for seed in 1..=100u64 {
        let (batch, packed) = random_batch(&mut Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let kept = separator.prepare(&batch, &mut buffer, &Families, BigValues::Kept).unwrap();
        assert_eq!(kept.bytes.as_ptr(), batch.data().as_ptr(), "seed {seed}: nothing is copied");
        assert!(kept.holds.is_empty() && kept.count == batch.count(), "seed {seed}");
        let families = kept.families[..].to_vec();
        let operations = PackedOperations::new(&packed, &id_at);
        let kept = separator.prepare_packed(&operations, &mut target, &Families, BigValues::Kept).unwrap();
        assert_eq!((kept.bytes, &kept.families[..]), (batch.data(), &families[..]), "seed {seed}");
        assert!(kept.holds.is_empty() && kept.count == batch.count(), "seed {seed}");
    }
    assert_eq!(separator.value_log.stats().values_written, 0);
    // One that expires is rewritten, with its value.
    let mut batch = WriteBatch::new();
    batch.put_with_ttl(0, b"key", &[7; 100], 60).unwrap();
    let kept = separator.prepare(&batch, &mut buffer, &Families, BigValues::Kept).unwrap();
    let records: Vec<_> = BatchIter::over(kept.bytes).unwrap().map(Result::unwrap).collect();
    let [Record::Expiring { kind: EntryKind::ExpiringPut, stored, .. }] = records[..] else {
        panic!("{records:?}");
    };
    assert_eq!(crate::base::expiry::split(EntryKind::ExpiringPut, stored), (Some(1061), &[7; 100][..]));
}

#[test]
fn what_a_family_does_not_take_is_refused() {
    type Build = fn(&mut WriteBatch) -> Result<()>;
    let refused: [(Build, &str); 3] = [
        (|batch| batch.delete(1, b"k"), "no column family has the id 1"),
        (|batch| batch.merge(300, b"k", b"o"), "no operator: 300"),
        (|batch| batch.put_pointer(0, b"k", b"p"), "only the engine makes those"),
    ];
    for (build, text) in refused {
        let mut batch = WriteBatch::new();
        batch.put(0, b"good", &[7; 100]).unwrap();
        build(&mut batch).unwrap();
        let error =
            separator().prepare(&batch, &mut Vec::new(), &Families, BigValues::Separated).err().unwrap();
        assert!(error.kind() == ErrorKind::InvalidArgument && error.message().contains(text), "{error}");
    }
}

/// Not even garbage in the value log.
#[test]
fn refused_packed_operations_append_no_value() {
    let mut packed = Vec::new();
    for (kind, value) in [(1u32, &[7u8; 100][..]), (4 + 256 * 2, b"o")] {
        for number in [kind, 1, value.len() as u32] {
            packed.extend_from_slice(&number.to_le_bytes());
        }
        packed.push(b'k');
        packed.extend_from_slice(value);
    }
    let separator = separator();
    let operations = PackedOperations::new(&packed, &id_at);
    let mut target = WriteBatch::new();
    let prepared = separator.prepare_packed(&operations, &mut target, &Families, BigValues::Separated);
    let error = prepared.err().unwrap();
    assert_eq!(error.message(), "packed operations: operation 1 at byte 113: no operator: 300");
    assert_eq!(separator.value_log.stats().values_written, 0);
}
