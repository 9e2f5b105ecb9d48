use super::*;
use crate::base::ErrorKind;
use crate::base::key::MAX_SEQUENCE;

/// A small deterministic generator; the seed is printed when a check fails.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
    fn bytes(&mut self) -> Vec<u8> {
        let longest = [1, 10, 130, 20_000][self.below(4) as usize];
        let len = self.below(longest + 1);
        (0..len).map(|_| self.next() as u8).collect()
    }
    fn column_family(&mut self) -> u32 {
        [0, 0, 1, 127, 128, 70_000, u32::MAX][self.below(7) as usize]
    }
}

/// A record that owns its bytes: what the batch should say.
#[derive(Clone, Debug, PartialEq)]
struct Owned {
    kind: u64,
    column_family: u32,
    first: Vec<u8>,
    second: Vec<u8>,
}

impl Owned {
    fn random(random: &mut Random) -> Owned {
        let kind = random.below(7);
        let column_family = if kind == 6 { 0 } else { random.column_family() };
        let second = if matches!(kind, 1 | 2 | 6) { Vec::new() } else { random.bytes() };
        Owned { kind, column_family, first: random.bytes(), second }
    }
    fn record(&self) -> Record<'_> {
        let (column_family, key, second) = (self.column_family, &self.first[..], &self.second[..]);
        match self.kind {
            0 => Record::Put { column_family, key, value: second },
            1 => Record::Delete { column_family, key },
            2 => Record::SingleDelete { column_family, key },
            3 => Record::RangeDelete { column_family, start: key, end: second },
            4 => Record::Merge { column_family, key, operand: second },
            5 => Record::Pointer { column_family, key, pointer: second },
            _ => Record::LogData(key),
        }
    }
}

fn assert_holds(batch: &WriteBatch, expected: &[Owned], seed: u64) {
    let got: Vec<Record<'_>> = batch.iter().map(|record| record.unwrap()).collect();
    let wanted: Vec<Record<'_>> = expected.iter().map(Owned::record).collect();
    assert_eq!(got, wanted, "seed {seed}");
    let counted = wanted.iter().filter(|record| record.is_counted()).count();
    assert_eq!(batch.count() as usize, counted, "seed {seed}");
    assert_eq!(batch.is_empty(), expected.is_empty(), "seed {seed}");
    let has = |kind| expected.iter().any(|record| record.kind == kind);
    let flags = (batch.has_merge(), batch.has_range_delete(), batch.has_pointer());
    assert_eq!(flags, (has(4), has(3), has(5)), "seed {seed}");
    verify(batch.data()).unwrap();
}

/// The text of the error, and that it is of the kind.
fn message<T: std::fmt::Debug>(result: Result<T>, kind: ErrorKind) -> String {
    let error = result.expect_err("must fail");
    assert_eq!(error.kind(), kind, "{error}");
    error.message().to_string()
}

fn with_header(count: u32, records: &[u8]) -> Vec<u8> {
    [&[0; 8][..], &count.to_le_bytes(), records].concat()
}

#[test]
fn golden_bytes_of_every_record() {
    let mut batch = WriteBatch::new();
    assert_eq!(batch.data(), [0; 12]);
    batch.put(0, b"k", b"v").unwrap();
    assert_eq!(batch.data(), [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 1, b'k', 1, b'v']);

    type Build = fn(&mut WriteBatch) -> Result<()>;
    let cases: [(Build, u32, &[u8]); 14] = [
        (|batch| batch.put(5, b"k", b"v"), 1, b"\x05\x05\x01k\x01v"),
        (|batch| batch.put(300, b"k", b""), 1, b"\x05\xac\x02\x01k\x00"),
        (|batch| batch.delete(0, b"k"), 1, b"\x00\x01k"),
        (|batch| batch.delete(1, b"k"), 1, b"\x04\x01\x01k"),
        (|batch| batch.single_delete(0, b"k"), 1, b"\x07\x01k"),
        (|batch| batch.single_delete(1, b"k"), 1, b"\x08\x01\x01k"),
        (|batch| batch.merge(0, b"k", b"op"), 1, b"\x02\x01k\x02op"),
        (|batch| batch.merge(1, b"k", b"op"), 1, b"\x06\x01\x01k\x02op"),
        (|batch| batch.delete_range(0, b"a", b"z"), 1, b"\x0f\x01a\x01z"),
        (|batch| batch.delete_range(1, b"a", b"z"), 1, b"\x0e\x01\x01a\x01z"),
        (|batch| batch.put_pointer(0, b"k", b"ptr"), 1, b"\x11\x01k\x03ptr"),
        (|batch| batch.put_pointer(1, b"k", b"ptr"), 1, b"\x10\x01\x01k\x03ptr"),
        (|batch| batch.put_log_data(b"blob"), 0, b"\x03\x04blob"),
        (|batch| batch.delete(0, b""), 1, b"\x00\x00"),
    ];
    for (build, count, records) in cases {
        batch.clear();
        build(&mut batch).unwrap();
        assert_eq!(batch.data(), with_header(count, records));
    }
}

#[test]
fn lengths_at_the_varint_borders() {
    for len in [0usize, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152] {
        let value = vec![7u8; len];
        for column_family in [0, 127, 128, u32::MAX] {
            let mut batch = WriteBatch::new();
            batch.put(column_family, b"key", &value).unwrap();
            let got: Vec<_> = batch.iter().map(|record| record.unwrap()).collect();
            assert_eq!(got, [Record::Put { column_family, key: b"key", value: &value }]);
        }
    }
}

#[test]
fn header_round_trips() {
    let mut batch = WriteBatch::new();
    batch.put(0, b"a", b"1").unwrap();
    batch.put_log_data(b"note").unwrap();
    batch.set_sequence(0x0012_3456_789a_bcde);
    assert_eq!(batch.sequence(), 0x0012_3456_789a_bcde);
    assert_eq!(decode_header(batch.data()).unwrap(), (0x0012_3456_789a_bcde, 1));
    assert_eq!(batch.data()[..8], [0xde, 0xbc, 0x9a, 0x78, 0x56, 0x34, 0x12, 0]);
    assert_eq!(batch.approximate_bytes(), batch.data().len());
    let copy = WriteBatch::from_data(batch.data()).unwrap();
    assert_eq!((copy.sequence(), copy.count(), copy.data()), (batch.sequence(), 1, batch.data()));
    batch.clear();
    assert_eq!((batch.sequence(), batch.count(), batch.data()), (0, 0, &[0u8; 12][..]));
}

#[test]
fn random_batches_say_what_was_put_in() {
    for seed in 0..400 {
        let mut random = Random(seed);
        let expected: Vec<Owned> = (0..random.below(30)).map(|_| Owned::random(&mut random)).collect();
        let mut batch = WriteBatch::with_capacity(random.below(100) as usize);
        for record in &expected {
            batch.append_record(record.record()).unwrap();
        }
        assert_holds(&batch, &expected, seed);
        assert_holds(&WriteBatch::from_log_data(batch.data()).unwrap(), &expected, seed);
        let public = WriteBatch::from_data(batch.data());
        assert_eq!(public.is_ok(), !batch.has_pointer(), "seed {seed}");
        let split = random.below(expected.len() as u64 + 1) as usize;
        let mut halves = [WriteBatch::new(), WriteBatch::new()];
        for (at, record) in expected.iter().enumerate() {
            halves[usize::from(at >= split)].append_record(record.record()).unwrap();
        }
        let [mut first, second] = halves;
        first.append_batch(&second).unwrap();
        assert_holds(&first, &expected, seed);
        assert_eq!(first.data(), batch.data(), "seed {seed}");
    }
}

#[test]
fn save_points_nest_and_restore_everything() {
    for seed in 0..300 {
        let mut random = Random(seed);
        let mut batch = WriteBatch::new();
        let (mut expected, mut places): (Vec<Owned>, Vec<usize>) = (Vec::new(), Vec::new());
        for _ in 0..40 {
            match random.below(8) {
                0 => {
                    batch.set_save_point();
                    places.push(expected.len());
                }
                1 => match places.pop() {
                    Some(place) => {
                        batch.rollback_to_save_point().unwrap();
                        expected.truncate(place);
                    }
                    None => assert!(batch.rollback_to_save_point().unwrap_err().is_not_found()),
                },
                2 => match places.pop() {
                    Some(_) => batch.pop_save_point().unwrap(),
                    None => assert!(batch.pop_save_point().unwrap_err().is_not_found()),
                },
                _ => {
                    let record = Owned::random(&mut random);
                    batch.append_record(record.record()).unwrap();
                    expected.push(record);
                }
            }
            assert_holds(&batch, &expected, seed);
        }
        batch.set_save_point();
        batch.clear();
        assert!(batch.pop_save_point().unwrap_err().is_not_found(), "clear forgets save points");
    }
}

#[test]
fn malformed_bytes_say_what_and_where() {
    let corrupt = |data: &[u8]| message(WriteBatch::from_data(data), ErrorKind::Corruption);
    assert_eq!(corrupt(b"short"), "write batch: got 5 bytes, expected at least the 12 of the header");
    assert_eq!(message(BatchIter::over(&[0; 11]), ErrorKind::Corruption), corrupt(&[0; 11]));
    assert_eq!(
        corrupt(&with_header(1, b"")),
        "write batch: count in the header: got 1, expected 0, the records there"
    );
    assert_eq!(
        corrupt(&with_header(0, b"\x00\x01k")),
        "write batch: count in the header: got 0, expected 1, the records there"
    );
    for tag in [0x9, 0xa, 0xb, 0xc, 0x12, 0x13, 0x7f, 0xff] {
        let data = with_header(2, &[0, 1, b'k', tag, 1, b'x']);
        assert_eq!(corrupt(&data), format!("write batch: unknown tag 0x{tag:x} at byte 15 of 18"));
    }
    let cut = with_header(1, b"\x05\x01\x02k");
    assert_eq!(
        corrupt(&cut),
        "write batch: record of tag 0x5 with a bad or cut-short field at byte 12 of 16"
    );
    let long = with_header(1, b"\x00\xff\xff\xff\xff\x1f");
    assert_eq!(
        corrupt(&long),
        "write batch: record of tag 0x0 with a bad or cut-short field at byte 12 of 18"
    );
    let mut late = with_header(0, b"");
    late[..8].copy_from_slice(&(MAX_SEQUENCE + 1).to_le_bytes());
    assert!(corrupt(&late).contains("sequence number: got 72057594037927936"), "{}", corrupt(&late));
    assert!(corrupt(&with_header(1, b"\x11\x01k\x01p")).contains("only the engine"));
}

#[test]
fn the_error_is_the_last_item() {
    let data = with_header(3, b"\x00\x01a\x7f\x00\x01b");
    let mut records = BatchIter::over(&data).unwrap();
    assert_eq!(records.next().unwrap().unwrap(), Record::Delete { column_family: 0, key: b"a" });
    assert_eq!(records.offset(), 15);
    assert!(records.next().unwrap().is_err());
    assert!(records.next().is_none());
    assert!(records.next().is_none());
}

#[test]
fn no_ops_and_the_long_form_of_the_default_family_are_read() {
    let data = with_header(1, b"\x0d\x05\x00\x01k\x01v\x0d");
    let batch = WriteBatch::from_data(&data).unwrap();
    let records: Vec<_> = batch.iter().map(|record| record.unwrap()).collect();
    assert_eq!(records, [Record::Put { column_family: 0, key: b"k", value: b"v" }]);
    assert_eq!(batch.data(), data);
}

#[test]
fn damaged_bytes_never_panic_and_never_grow() {
    for seed in 0..300 {
        let mut random = Random(seed);
        let mut batch = WriteBatch::new();
        for _ in 0..1 + random.below(6) {
            batch.append_record(Owned::random(&mut random).record()).unwrap();
        }
        let good = batch.data();
        for _ in 0..200 {
            let mut bad = good.to_vec();
            match random.below(3) {
                0 => bad.truncate(random.below(good.len() as u64) as usize),
                1 => {
                    let at = random.below(good.len() as u64) as usize;
                    bad[at] ^= 1 << random.below(8);
                }
                _ => {
                    let at = HEADER_LEN + random.below((good.len() - HEADER_LEN) as u64) as usize;
                    bad[at] = random.next() as u8;
                }
            }
            // What is accepted must be a batch that says the same when its records are put together again.
            if let Ok(accepted) = WriteBatch::from_log_data(&bad) {
                let records: Result<Vec<_>> = accepted.iter().collect();
                let mut again = WriteBatch::new();
                for record in records.unwrap() {
                    again.append_record(record).unwrap();
                }
                assert_eq!(again.count(), accepted.count(), "seed {seed}");
                assert!(
                    again.iter().map(|r| r.unwrap()).eq(accepted.iter().map(|r| r.unwrap())),
                    "seed {seed}"
                );
            }
        }
        for len in 0..good.len().min(300) {
            let prefix = WriteBatch::from_log_data(&good[..len]);
            assert!(len >= HEADER_LEN || prefix.is_err(), "seed {seed}");
        }
    }
}

#[test]
fn refused_calls_leave_the_batch_as_it_was() {
    assert!(check_lengths(0, MAX_RECORD_BYTES as usize).is_ok());
    assert!(check_lengths(10, MAX_RECORD_BYTES as usize - 10).is_ok());
    let text = message(check_lengths(10, MAX_RECORD_BYTES as usize - 9), ErrorKind::InvalidArgument);
    assert_eq!(
        text,
        "key of 10 bytes and value of 2147483575 bytes: a record holds at most 2147483584 bytes of both"
    );
    assert!(check_lengths(usize::MAX, usize::MAX).is_err());

    let mut full = WriteBatch::new();
    full.put(0, b"k", b"v").unwrap();
    full.set_count(u32::MAX);
    let before = full.data().to_vec();
    let text = message(full.delete(0, b"x"), ErrorKind::InvalidArgument);
    assert_eq!(text, "write batch: more than 4294967295 records; split the batch");
    assert_eq!(message(full.clone().append_batch(&full), ErrorKind::InvalidArgument), text);
    assert_eq!(full.data(), before);
}

/// Every kind of record counts, in bytes from outside too. The limit is lowered here: 2 GiB are no unit test.
#[test]
fn the_lengths_of_every_kind_of_record_are_checked() {
    let long = [7; 60];
    let builders: [fn(&mut WriteBatch, &[u8]); 6] = [
        |batch, long| batch.put(3, b"key", long).unwrap(),
        |batch, long| batch.merge(0, b"key", long).unwrap(),
        |batch, long| batch.delete(3, long).unwrap(),
        |batch, long| batch.single_delete(0, long).unwrap(),
        |batch, long| batch.delete_range(0, b"key", long).unwrap(),
        |batch, long| batch.put_log_data(long).unwrap(),
    ];
    for (kind, build) in builders.iter().enumerate() {
        let mut batch = WriteBatch::new();
        batch.put(0, b"before", b"fits").unwrap();
        build(&mut batch, &long);
        let len = if kind == 2 || kind == 3 || kind == 5 { 60 } else { 63 };
        assert!(check_records(batch.data(), len).is_ok(), "kind {kind}");
        let text = message(check_records(batch.data(), len - 1), ErrorKind::InvalidArgument);
        assert!(
            text.contains("60 bytes") && text.contains(&format!("at most {}", len - 1)),
            "{kind}: {text}"
        );
    }
}

#[test]
fn clearing_keeps_the_memory() {
    let mut batch = WriteBatch::new();
    batch.put(0, b"key", &[1; 10_000]).unwrap();
    let place = batch.data().as_ptr();
    batch.clear();
    batch.put(0, b"key", &[2; 9_000]).unwrap();
    assert_eq!(batch.data().as_ptr(), place);
}
