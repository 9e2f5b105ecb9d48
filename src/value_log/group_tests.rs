//! Groups put the same records into segments as single appends do, with fewer writes, and fail as a whole.

use super::format::SEGMENT_HEADER_LEN;
use super::tests::{dir, options};
use super::*;
use crate::base::file_name::{FileKind, path_of};
use crate::env::faulty::{Failure, Fault, FaultyEnv, OperationClass, Selection};
use crate::env::simulated::SimEnv;
use crate::record::test_env::Random;

type Values = Vec<(Vec<u8>, Vec<u8>)>;

fn open(env: &Arc<FaultyEnv>, max_segment_size: u64, codec: Codec) -> Arc<ValueLog> {
    let options = ValueLogOptions { max_segment_size, codec, ..options() };
    ValueLog::open(env.clone(), options, Arc::new(AtomicU64::new(1))).unwrap()
}

fn environment() -> Arc<FaultyEnv> {
    FaultyEnv::new(SimEnv::new(1))
}

/// Appends all in groups as large as they get.
fn append(log: &ValueLog, values: &Values) -> Result<(Vec<ValuePointer>, Vec<SegmentRef>)> {
    let (mut group, mut pointers, mut holds) = (ValueGroup::new(8), Vec::new(), Vec::new());
    let mut pushed = 0;
    for (at, (key, value)) in values.iter().enumerate() {
        group.push(log, 7, key, value)?;
        pushed += 1;
        if values.get(at + 1).is_none_or(|(key, value)| !group.takes(key.len() + value.len())) {
            group.append(log, &mut |segment| holds.push(segment))?;
            pointers.extend((0..pushed).map(|index| group.pointer(index)));
            group.clear();
            pushed = 0;
        }
    }
    assert!(pointers.iter().all(|pointer| holds.iter().any(|hold| hold.number() == pointer.segment)));
    Ok((pointers, holds))
}

fn check(log: &ValueLog, values: &Values, pointers: &[ValuePointer], what: &str) {
    assert_eq!(values.len(), pointers.len(), "{what}");
    for ((key, value), pointer) in values.iter().zip(pointers) {
        assert_eq!(log.read(pointer, 7, key, false, true).unwrap().as_slice(), value, "{what}");
        assert!(log.verify(pointer, 7, key).unwrap(), "{what}");
    }
}

/// V1: records stand back to back, from the header to the end of their segment.
fn check_no_holes(log: &ValueLog, mut pointers: Vec<ValuePointer>, what: &str) {
    pointers.sort_unstable();
    let mut ends: Vec<(u64, u64)> = Vec::new();
    for pointer in pointers {
        match ends.last_mut() {
            Some((segment, end)) if *segment == pointer.segment => {
                assert_eq!(pointer.offset, *end, "{what}");
                *end = pointer.end();
            }
            _ => {
                assert_eq!(pointer.offset, SEGMENT_HEADER_LEN, "{what}");
                ends.push((pointer.segment, pointer.end()));
            }
        }
    }
    for info in log.segments() {
        let end =
            ends.iter().find(|(segment, _)| *segment == info.number).map_or(SEGMENT_HEADER_LEN, |e| e.1);
        assert_eq!(info.len, end, "{what}: segment {}", info.number);
    }
}

fn random_values(random: &mut Random) -> Values {
    let count = random.below(60);
    (0..count)
        .map(|n| {
            let len = match random.below(40) {
                0..=9 => random.below(10),
                10..=19 => random.below(600),
                20..=37 => random.below(3000),
                38 => random.below(70_000),
                _ => 200_000 + random.below(200_000),
            };
            let more = random.below(20) as usize;
            let key = [format!("key{n}").into_bytes(), random.bytes(more)].concat();
            let value = match random.below(2) {
                0 => random.bytes(len as usize),
                _ => (0..len).map(|at| b"a value that repeats, "[at as usize % 22]).collect(),
            };
            (key, value)
        })
        .collect()
}

#[test]
fn groups_of_any_values_are_read_back_and_leave_no_holes() {
    for seed in 1..=60u64 {
        let mut random = Random(seed * 7919);
        let codec = [Codec::None, Codec::Lz4, Codec::Snappy, Codec::Zstd][random.below(4) as usize];
        let max = [1000, 4096, 40_000, 1 << 20][random.below(4) as usize];
        let log = open(&environment(), max, codec);
        let (mut all, mut kept) = (Vec::new(), Vec::new());
        let (mut count, mut value_bytes) = (0, 0);
        for _ in 0..4 {
            let values = random_values(&mut random);
            let (pointers, holds) = append(&log, &values).unwrap();
            check(&log, &values, &pointers, &format!("seed {seed}"));
            count += values.len() as u64;
            value_bytes += values.iter().map(|(_, value)| value.len() as u64).sum::<u64>();
            all.extend(pointers);
            kept.extend(holds);
        }
        let stats = log.stats();
        assert_eq!((stats.values_written, stats.value_bytes), (count, value_bytes), "seed {seed}");
        assert_eq!(
            stats.bytes_written,
            all.iter().map(|p| u64::from(p.record_len)).sum::<u64>(),
            "seed {seed}"
        );
        for info in log.segments() {
            let records = all.iter().filter(|pointer| pointer.segment == info.number).count();
            assert!(
                info.len <= max || records == 1,
                "seed {seed}: segment of {} bytes, at most {max}",
                info.len
            );
        }
        check_no_holes(&log, all, &format!("seed {seed}"));
    }
}

#[test]
fn a_group_is_one_write_and_one_more_for_each_segment_that_ends_in_it() {
    let values = |count: usize, len: usize| -> Values {
        (0..count).map(|n| (format!("{n:04}").into_bytes(), vec![n as u8; len])).collect()
    };
    let record = |len: usize| (RECORD_HEADER_LEN + 4 + len) as u64;
    // Records of so many bytes, segments of so many, and what that takes: the writes of headers count too.
    let cases = [
        (1, 1000, 1 << 20, 1),
        (2, 1000, 1 << 20, 1),
        (100, 1000, 1 << 20, 1),
        (100, 100, 1 << 20, 1),
        (100, 1000, 64 + 50 * record(1000), 2),
        (101, 1000, 64 + 50 * record(1000), 3),
        (700, 10, 1 << 20, 2),
        (10, 1000, 900, 10),
        (2, 300_000, 1 << 20, 2),
        (64, 16_000, 1 << 21, 4),
    ];
    for (count, len, max, writes) in cases {
        for codec in [Codec::None, Codec::Lz4] {
            let env = environment();
            let log = open(&env, max, codec);
            env.plan().count(Selection::of(&[OperationClass::Write]));
            let (pointers, _holds) = append(&log, &values(count, len)).unwrap();
            let segments = log.segments().len() as u64;
            let what = format!("{count} values of {len} bytes, segments of {max}, {codec:?}");
            let seen = env.plan().seen() - segments;
            // Compressed, segments hold more.
            assert!(seen == writes || (codec == Codec::Lz4 && seen < writes), "{what}: {seen} writes");
            check(&log, &values(count, len), &pointers, &what);
        }
    }
}

#[test]
fn a_failed_write_takes_back_its_records_and_ends_their_segment() {
    for failure in [Failure::BROKEN, Failure::FULL, Failure::ShortWrite(libc::EIO)] {
        for nth in 0.. {
            let mut random = Random(nth + 1);
            let values = |random: &mut Random, count| -> Values {
                (0..count).map(|n: u64| (n.to_le_bytes().to_vec(), random.bytes(700))).collect()
            };
            let env = environment();
            let log = open(&env, 4096, Codec::None);
            let before = values(&mut random, 3);
            let (kept, _holds) = append(&log, &before).unwrap();
            let selection = Selection::of(&[OperationClass::Write]);
            env.plan().arm(Fault { selection, nth, failure, lasting: false });
            let failing = values(&mut random, 20);
            let outcome = append(&log, &failing);
            let what = format!("write {nth}, {failure:?}");
            if env.plan().fired() == 0 {
                assert!(nth > 6 && outcome.is_ok());
                break;
            }
            assert!(outcome.is_err(), "{what}");
            env.plan().heal();
            check(&log, &before, &kept, &what);
            for info in log.segments() {
                let path = path_of(dir(), FileKind::Segment(info.number));
                assert_eq!(env.file_len(&path).unwrap(), info.len, "{what}: nothing torn is left");
                assert!(info.sealed, "{what}");
            }
            let (pointers, _holds) = append(&log, &failing).unwrap();
            check(&log, &failing, &pointers, &what);
            check(&log, &before, &kept, &what);
        }
    }
}

#[test]
fn values_of_a_group_go_to_the_segments_of_their_classes() {
    let log = open(&environment(), 1 << 22, Codec::None);
    let twin = Lifetimes::new(0);
    let (live, values) = (10 << 20, 10_000);
    log.set_live(live, values);
    twin.set_live(live, values);
    let mut random = Random(5);
    let (mut seen, mut all, mut kept) = ([0; 4], Vec::new(), Vec::new());
    for _ in 0..400 {
        let values: Values = (0..1 + random.below(60))
            .map(|_| {
                let keys = 1 << random.below(11);
                (random.below(keys).to_le_bytes().to_vec(), random.bytes(1500))
            })
            .collect();
        let (pointers, holds) = append(&log, &values).unwrap();
        let infos = log.segments();
        for ((key, _), pointer) in values.iter().zip(&pointers) {
            let hash = || crate::base::checksum::hash64(key, 7);
            let class = twin.class_of_new(u64::from(pointer.record_len), hash);
            let info = infos.iter().find(|info| info.number == pointer.segment).unwrap();
            assert_eq!(info.class, class);
            seen[class as usize] += 1;
        }
        check(&log, &values, &pointers, "classes");
        all.extend(pointers);
        kept.extend(holds);
    }
    assert!(seen.iter().all(|count| *count > 10), "{seen:?}");
    check_no_holes(&log, all, "classes");
}

#[test]
fn groups_of_several_threads_stand_side_by_side() {
    let options =
        ValueLogOptions { max_segment_size: 1 << 16, write_queues: 2, codec: Codec::Lz4, ..options() };
    let log = ValueLog::open(SimEnv::new(3), options, Arc::new(AtomicU64::new(1))).unwrap();
    let mut all: Vec<ValuePointer> = Vec::new();
    let kept: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (1..=3)
            .map(|thread| {
                let log = &log;
                scope.spawn(move || {
                    let mut random = Random(thread);
                    let mut written = Vec::new();
                    for _ in 0..6 {
                        let values = random_values(&mut random);
                        written.push((append(log, &values).unwrap(), values));
                    }
                    written
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    for ((pointers, _), values) in &kept {
        check(&log, values, pointers, "threads");
        all.extend(pointers);
    }
    check_no_holes(&log, all, "threads");
}

#[test]
fn what_is_too_long_is_refused_before_anything_is_written() {
    let log = open(&environment(), 4096, Codec::None);
    // Zeros that are never touched cost no memory.
    let huge = vec![0u8; u32::MAX as usize - 20];
    let mut group = ValueGroup::new(8);
    assert!(group.takes(huge.len()));
    assert!(group.push(&log, 0, b"key", &huge).is_err());
    assert!(group.takes(1 << 30), "it is still empty");
    group.append(&log, &mut |_| panic!("there is nothing to append")).unwrap();
    assert!(log.segments().is_empty());
}
