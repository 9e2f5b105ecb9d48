use super::format::{self, HEADER_LEN};
use super::test_env::{Random, TestEnv};
use super::*;
use crate::base::error::Subcode;
use crate::env::faulty::{Failure, Fault, FaultyEnv, OperationClass, Selection};
use crate::env::simulated::SimEnv;
use crate::env::{Env, OpenMode};
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

const NUMBER: u64 = 7;

fn writer(env: &TestEnv) -> RecordWriter {
    RecordWriter::new(env.open(Path::new("log"), OpenMode::Create).unwrap(), NUMBER, 0)
}

/// The bytes of a file with these payloads, and where each frame starts.
fn file_of(payloads: &[Vec<u8>]) -> (Vec<u8>, Vec<u64>) {
    let env = TestEnv::new();
    let mut writer = writer(&env);
    let mut starts = Vec::new();
    for payload in payloads {
        starts.push(writer.offset());
        let middle = payload.len() / 2;
        writer.append(3, &[&payload[..middle], &payload[middle..]]).unwrap();
    }
    (env.bytes(Path::new("log")), starts)
}

fn payloads(seed: u64, count: usize) -> Vec<Vec<u8>> {
    let mut random = Random(seed);
    (0..count)
        .map(|_| {
            let len = random.below(90) as usize;
            random.bytes(len)
        })
        .collect()
}

/// The payloads before the first bad place, and that place.
fn read_all(reader: &mut RecordReader) -> (Vec<Vec<u8>>, Result<u64, u64>) {
    let mut payloads = Vec::new();
    loop {
        match reader.next() {
            ReadOutcome::Record { kind, payload, .. } => {
                assert_eq!(kind, 3);
                payloads.push(payload.to_vec());
            }
            ReadOutcome::End { offset } => return (payloads, Ok(offset)),
            ReadOutcome::Bad { offset, .. } => return (payloads, Err(offset)),
        }
    }
}

#[test]
fn records_round_trip_with_any_number_of_parts() {
    let env = TestEnv::new();
    let mut writer = writer(&env);
    let piece: &[u8] = b"piece";
    let mut ends = Vec::new();
    for count in 0..20 {
        ends.push(writer.append(count + 1, &vec![piece; count.into()]).unwrap());
    }
    assert_eq!(writer.offset(), *ends.last().unwrap());
    let mut reader = RecordReader::open(&*env, Path::new("log"), NUMBER, 0, None).unwrap();
    for count in 0..20u8 {
        let ReadOutcome::Record { end, kind, payload, .. } = reader.next() else { panic!("record {count}") };
        assert_eq!((end, kind), (ends[usize::from(count)], count + 1));
        assert_eq!(payload, piece.repeat(count.into()));
    }
    assert_eq!(reader.next(), ReadOutcome::End { offset: writer.offset() });

    let mut part = RecordReader::open(&*env, Path::new("log"), NUMBER, ends[4], Some(ends[6])).unwrap();
    assert!(matches!(part.next(), ReadOutcome::Record { kind: 6, .. }));
    assert!(matches!(part.next(), ReadOutcome::Record { kind: 7, .. }));
    assert_eq!(part.next(), ReadOutcome::End { offset: ends[6] });
}

#[test]
fn the_bytes_of_a_frame_stay_as_they_are() {
    let (bytes, _) = file_of(&[b"abc".to_vec()]);
    let place = format::place(NUMBER, 0, 0);
    assert_eq!(
        bytes,
        [0xe7, 0x0d, 0x98, 0xc5, 0x03, 0x00, 0x00, 0x00, 0x03, 0xf4, 0x2f, 0x99, 0x61, 0x62, 0x63],
        "{bytes:x?}"
    );
    assert_eq!(format::frame_checksum(place, &bytes[4..]).to_le_bytes(), bytes[..4]);
}

#[test]
fn every_flipped_byte_ends_the_log_there_and_later_frames_are_found() {
    let payloads = payloads(1, 20);
    let (bytes, starts) = file_of(&payloads);
    for at in 0..bytes.len() {
        for flip in [1, 0x80, 0xff] {
            let mut bad = bytes.clone();
            bad[at] ^= flip;
            let hit = starts.iter().rposition(|&start| start <= at as u64).unwrap();
            let mut reader = RecordReader::from_bytes(bad, NUMBER, 0);
            let (read, end) = read_all(&mut reader);
            assert_eq!(read, payloads[..hit], "byte {at}");
            assert_eq!(end, Err(starts[hit]), "byte {at}");
            assert_eq!(reader.next_valid_after(starts[hit]), starts.get(hit + 1).copied(), "byte {at}");
        }
    }
}

#[test]
fn every_truncation_is_a_prefix() {
    let payloads = payloads(2, 12);
    let (bytes, starts) = file_of(&payloads);
    for len in 0..bytes.len() {
        for zeros in [0, 5, 300] {
            let mut cut = bytes[..len].to_vec();
            cut.resize(len + zeros, 0);
            let whole = starts.iter().filter(|&&start| start <= len as u64).count() - 1;
            let mut reader = RecordReader::from_bytes(cut, NUMBER, 0);
            let (read, end) = read_all(&mut reader);
            // A payload that ends in zeros may be whole again after zeros are put behind the cut.
            assert!(read.len() == whole || zeros > 0 && read.len() == whole + 1, "cut at {len}");
            assert_eq!(read, payloads[..read.len()]);
            let end = end.unwrap_or_else(|offset| offset);
            assert_eq!(end, starts[read.len()]);
            assert_eq!(reader.next_valid_after(end), None);
            assert!(reader.non_zero_bytes_after(end) <= len as u64 - starts[whole]);
        }
    }
}

#[test]
fn frames_pass_nowhere_but_in_their_place() {
    let (bytes, starts) = file_of(&[vec![1; 40], vec![2; 40], vec![3; 40]]);
    let mut other_file = RecordReader::from_bytes(bytes.clone(), NUMBER + 1, 0);
    assert!(matches!(other_file.next(), ReadOutcome::Bad { offset: 0, .. }));
    assert_eq!(other_file.next_valid_after(0), None);

    let frame = starts[1] as usize;
    let mut swapped = bytes[frame..2 * frame].to_vec();
    swapped.extend_from_slice(&bytes[..frame]);
    swapped.extend_from_slice(&bytes[2 * frame..]);
    let mut reader = RecordReader::from_bytes(swapped, NUMBER, 0);
    assert!(matches!(reader.next(), ReadOutcome::Bad { offset: 0, .. }));
    assert_eq!(reader.next_valid_after(0), Some(starts[2]));

    for number in 0..50 {
        let mut zeros = RecordReader::from_bytes(vec![0; 100], number, number * 10);
        assert_eq!(zeros.next(), ReadOutcome::End { offset: number * 10 });
        assert_eq!(zeros.non_zero_bytes_after(0), 0);
    }
}

#[test]
fn a_lost_page_reads_as_the_end_but_later_frames_show_it() {
    let payloads = payloads(3, 30);
    let (mut bytes, starts) = file_of(&payloads);
    bytes[starts[10] as usize..starts[14] as usize + 3].fill(0);
    let len = bytes.len() as u64;
    bytes.resize(5000, 0);
    let mut reader = RecordReader::from_bytes(bytes, NUMBER, 0);
    let (read, end) = read_all(&mut reader);
    assert_eq!((read.len(), end), (10, Ok(starts[10])));
    assert_eq!(reader.next_valid_after(starts[10]), Some(starts[15]));
    let span = len - starts[10];
    assert!((span - 8..=span).contains(&reader.non_zero_bytes_after(starts[10])));
    reader.seek(starts[15]);
    assert_eq!(read_all(&mut reader).0, payloads[15..]);
}

#[test]
fn hostile_bytes_cost_bounded_work() {
    // Each frame claims the whole rest of the file, with a right guard and a wrong checksum.
    let len = 1 << 20;
    let mut bytes = vec![9u8; len];
    for at in (0..len - HEADER_LEN).step_by(HEADER_LEN) {
        let rest = (len - at - HEADER_LEN) as u32;
        let mut header = format::encode_header(format::place(NUMBER, 0, at as u64), 1, rest, &[]);
        header[0] ^= 1;
        bytes[at..at + HEADER_LEN].copy_from_slice(&header);
    }
    // Without a bound this would checksum 45 GB.
    let reader = RecordReader::from_bytes(bytes, NUMBER, 0);
    assert_eq!(reader.next_valid_after(0), None);
}

#[test]
fn random_bytes_are_no_frames() {
    for seed in 1..200 {
        let mut random = Random(seed);
        let len = random.below(600) as usize;
        let mut reader = RecordReader::from_bytes(random.bytes(len), seed, 0);
        assert!(!matches!(reader.next(), ReadOutcome::Record { .. }), "seed {seed}");
        assert_eq!(reader.next_valid_after(0), None, "seed {seed}");
    }
}

#[test]
fn a_failed_append_finishes_the_writer() {
    let env = TestEnv::new();
    let mut writer = writer(&env);
    let end = writer.append(3, &[b"kept"]).unwrap();
    *env.faults.tear_next_write.lock() = Some(9);
    let error = writer.append(3, &[b"torn"]).unwrap_err();
    assert_eq!(writer.append(3, &[b"later"]).unwrap_err().to_string(), error.to_string());
    assert_eq!(writer.offset(), end);
    let mut reader = RecordReader::open(&*env, Path::new("log"), NUMBER, 0, None).unwrap();
    assert_eq!(read_all(&mut reader), (vec![b"kept".to_vec()], Err(end)));
}

#[test]
fn a_failed_sync_is_final() {
    let env = TestEnv::new();
    let mut writer = writer(&env);
    writer.append(3, &[b"one"]).unwrap();
    env.faults.fail_next_sync.store(true, Ordering::SeqCst);
    let error = writer.sync().unwrap_err();
    assert_eq!(error.subcode(), Subcode::SyncUnknown);
    let syncs = env.faults.syncs.load(Ordering::SeqCst);
    assert_eq!(writer.sync().unwrap_err().to_string(), error.to_string());
    assert_eq!(writer.append(3, &[b"two"]).unwrap_err().to_string(), error.to_string());
    assert_eq!(env.faults.syncs.load(Ordering::SeqCst), syncs, "a failed fsync is never tried again");
}

#[test]
fn syncs_cover_what_was_appended_and_are_not_repeated() {
    let env = TestEnv::new();
    let mut writer = writer(&env);
    let file: Arc<DurableFile> = writer.file().clone();
    let end = writer.append(3, &[b"one"]).unwrap();
    assert_eq!((file.appended_len(), file.durable_len()), (end, 0));
    assert!(file.sync().unwrap());
    assert!(!file.sync().unwrap());
    assert_eq!(file.durable_len(), end);
    assert_eq!(env.faults.syncs.load(Ordering::SeqCst), 1);
}

#[test]
fn a_sync_that_fails_as_it_begins_is_a_failed_sync() {
    let simulated = SimEnv::new(1);
    let env = FaultyEnv::new(simulated.clone());
    let file = DurableFile::new(env.open(Path::new("/log"), OpenMode::Create).unwrap(), 0, 0);
    file.file().write_at(0, &[IoSlice::new(b"abc")]).unwrap();
    file.set_appended(3);
    assert!(file.begin_sync() && file.sync().unwrap());
    assert!(!file.begin_sync(), "there is nothing to write");
    file.file().write_at(3, &[IoSlice::new(b"def")]).unwrap();
    file.set_appended(6);
    let selection = Selection::of(&[OperationClass::BeginSync]);
    env.plan().arm(Fault { selection, nth: 0, failure: Failure::FULL, lasting: false });
    assert!(file.begin_sync(), "whoever asks goes on to sync, and is told there");
    assert_eq!((env.plan().fired(), file.has_failed(), file.durable_len()), (1, true, 3));
    for _ in 0..2 {
        let error = file.sync().unwrap_err();
        assert_eq!((error.subcode(), error.errno()), (Subcode::SyncUnknown, Some(libc::ENOSPC)));
        assert!(!file.begin_sync(), "it is final");
    }
    assert_eq!(file.durable_len(), 3);
}
