use super::format::{FIRST_FRAME, KIND_CONTINUATION, KIND_FRAME};
use super::*;
use crate::base::error::Subcode;
use crate::base::file_name::{FileKind, path_of};
use crate::base::{Error, Result};
use crate::record::test_env::{Random, TestEnv};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub(super) const DATABASE: [u8; 16] = *b"a database's id.";

pub(super) fn dir() -> &'static Path {
    Path::new("db/wal")
}

pub(super) fn path(log: u64) -> PathBuf {
    path_of(dir(), FileKind::Wal(log))
}

pub(super) fn create(env: &TestEnv, number: u64, previous: Option<WalPosition>) -> WalWriter {
    let options = WalWriterOptions { mapped: number.is_multiple_of(2), capacity: 8192, buffer_size: 1024 };
    let header = WalHeader { database: DATABASE, number, previous: previous.into() };
    WalWriter::create(env, dir(), &header, options).unwrap()
}

/// A file made while the one before it is still written to.
pub(super) fn create_ahead(env: &TestEnv, number: u64) -> WalWriter {
    let options = WalWriterOptions { mapped: number.is_multiple_of(2), capacity: 8192, buffer_size: 1024 };
    let header = WalHeader { database: DATABASE, number, previous: Previous::ToldLater };
    WalWriter::create(env, dir(), &header, options).unwrap()
}

pub(super) fn files(numbers: &[u64]) -> Vec<WalFile> {
    numbers.iter().map(|&number| WalFile { number, path: path(number), sealed_len: None }).collect()
}

/// The payloads shown, and the report.
pub(super) fn replay_files(
    env: &TestEnv,
    files: &[WalFile],
    mode: RecoveryMode,
) -> Result<(Vec<Vec<u8>>, ReplayReport)> {
    let mut shown = Vec::new();
    let report = replay(env, files, DATABASE, mode, &mut |frame| {
        shown.push(frame.payload.to_vec());
        Ok(ControlFlow::Continue(()))
    })?;
    assert_eq!(report.frames, shown.len() as u64);
    Ok((shown, report))
}

pub(super) fn point_in_time(env: &TestEnv, numbers: &[u64]) -> Result<(Vec<Vec<u8>>, ReplayReport)> {
    replay_files(env, &files(numbers), RecoveryMode::PointInTime)
}

fn corruption(result: Result<(Vec<Vec<u8>>, ReplayReport)>, log: u64, offset: u64) -> Error {
    let error = result.expect_err("this is a corruption");
    assert!(error.is_corruption(), "{error}");
    assert_eq!((error.file(), error.offset()), (Some(&*path(log)), Some(offset)), "{error}");
    error
}

pub(super) fn payload(n: usize) -> Vec<u8> {
    format!("payload {n} ").into_bytes().repeat(1 + n % 4)
}

/// Appends payloads `from..to`; returns where each frame starts, and the end.
fn append(writer: &mut WalWriter, from: usize, to: usize) -> Vec<u64> {
    let mut places = vec![writer.position().offset];
    for n in from..to {
        let bytes = payload(n);
        places.push(writer.append(&[&bytes[..3], &bytes[3..]], None).unwrap().offset);
    }
    places
}

fn mark(log: u64, offset: u64) -> DurableMark {
    DurableMark { wal: WalPosition { log, offset }, segments: vec![(40, log * 100 + offset)] }
}

pub(super) fn all(to: usize) -> Vec<Vec<u8>> {
    (0..to).map(payload).collect()
}

pub(super) fn change(env: &TestEnv, log: u64, how: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = env.bytes(&path(log));
    how(&mut bytes);
    env.put(&path(log), bytes);
}

/// Logs 3, 4, 5 that continue each other with five frames each; where frames start, by log.
fn three_logs(env: &TestEnv) -> [Vec<u64>; 3] {
    let mut previous = None;
    [3, 4, 5].map(|number| {
        let mut writer = create(env, number, previous);
        let first = (number as usize - 3) * 5;
        let places = append(&mut writer, first, first + 5);
        previous = Some(writer.finish().unwrap());
        places
    })
}

#[test]
fn frames_and_marks_round_trip_over_several_files() {
    let env = TestEnv::new();
    let mut writer = create(&env, 3, None);
    append(&mut writer, 0, 4);
    let durable = mark(3, FIRST_FRAME);
    writer.append(&[&payload(4)], Some(&durable)).unwrap();
    let previous = writer.finish().unwrap();
    let mut writer = create(&env, 4, Some(previous));
    append(&mut writer, 5, 7);
    let newest = DurableMark { wal: previous, segments: vec![(41, 7)] };
    let last = payload(7);
    let end = writer.append(&[&last[..1], &last[1..2], &last[2..]], Some(&newest)).unwrap();
    assert_eq!(end, writer.position());

    let mut shown = Vec::new();
    let all_known = DurableMark { wal: previous, segments: vec![(40, 300 + FIRST_FRAME), (41, 7)] };
    let report = replay(&*env, &files(&[3, 4]), DATABASE, RecoveryMode::AbsoluteConsistency, &mut |frame| {
        assert_eq!(frame.durable, &all_known, "marks of later frames count from the first frame on");
        shown.push((frame.position, frame.payload.to_vec()));
        Ok(ControlFlow::Continue(()))
    })
    .unwrap();
    assert_eq!(shown.iter().map(|(_, payload)| payload.clone()).collect::<Vec<_>>(), all(8));
    assert!(shown.is_sorted_by_key(|(position, _)| *position));
    assert_eq!(shown[0].0, WalPosition { log: 3, offset: FIRST_FRAME });
    assert_eq!((report.frames, report.dropped_bytes, report.ended_early), (8, 0, None));
    assert_eq!(report.end, Some(end));
}

/// Looks ahead by as many frames as a random number says.
struct Ahead {
    random: Random,
    seen: Vec<(WalPosition, Vec<u8>)>,
    shown: Vec<(WalPosition, Vec<u8>)>,
}

impl ReplayVisitor for Ahead {
    fn frame(&mut self, frame: &ReplayFrame<'_>) -> Result<ControlFlow<String>> {
        self.shown.push((frame.position, frame.payload.to_vec()));
        Ok(ControlFlow::Continue(()))
    }

    fn look_ahead(&mut self, frames: &mut FramesAhead<'_>) {
        for _ in 0..self.random.below(4) {
            let Some(frame) = frames.next() else { return };
            let last_shown = self.shown.last().map_or(WalPosition::default(), |(position, _)| *position);
            assert!(frame.position > last_shown);
            self.seen.push((frame.position, frame.payload.to_vec()));
        }
    }
}

#[test]
fn frames_are_seen_ahead_once_and_in_order() {
    for seed in 1..=30 {
        let env = TestEnv::new();
        let places = three_logs(&env);
        if seed % 3 > 0 {
            change(&env, 4, |bytes| bytes[places[1][1] as usize + 20] ^= 1);
        }
        let mode = if seed % 3 == 1 { RecoveryMode::SkipCorrupted } else { RecoveryMode::PointInTime };
        let mut ahead = Ahead { random: Random(seed), seen: Vec::new(), shown: Vec::new() };
        replay_to(&mut ahead, &*env, &files(&[3, 4, 5]), DATABASE, mode).unwrap();
        assert!(ahead.seen.is_sorted_by(|one, next| one.0 < next.0), "seed {seed}");
        for seen in &ahead.seen {
            let was_shown = ahead.shown.contains(seen);
            assert!(was_shown || ahead.shown.iter().all(|shown| shown.0 < seen.0), "seed {seed}: {seen:?}");
        }
        assert!(!ahead.seen.is_empty() && ahead.shown.len() > 3, "seed {seed}");
    }
}

#[test]
fn every_flipped_byte_is_a_torn_tail_or_a_corruption_but_never_a_wrong_frame() {
    let env = TestEnv::new();
    let mut writer = create(&env, 3, None);
    let places = append(&mut writer, 0, 8);
    // Frames 0..5 are durable, and the last frame says so.
    writer.append(&[b"with mark"], Some(&mark(3, places[5]))).unwrap();
    let good = env.bytes(&path(3));
    for at in 0..good.len() {
        for flip in [1u8, 0x40, 0xff] {
            change(&env, 3, |bytes| bytes[at] ^= flip);
            let result = point_in_time(&env, &[3]);
            if at < FIRST_FRAME as usize {
                corruption(result, 3, 0);
            } else {
                let hit = places.iter().rposition(|&place| place <= at as u64).unwrap();
                if hit < 5 {
                    corruption(result, 3, places[hit]);
                } else {
                    let (shown, report) = result.unwrap();
                    assert_eq!(shown, all(hit), "byte {at}");
                    assert_eq!(report.end, Some(WalPosition { log: 3, offset: places[hit] }));
                    assert_eq!(report.ended_early.unwrap().0.offset, places[hit]);
                    assert_eq!(report.dropped_bytes, good.len() as u64 - places[hit]);
                }
            }
            let mut sealed = files(&[3]);
            sealed[0].sealed_len = Some(good.len() as u64);
            for mode in [RecoveryMode::PointInTime, RecoveryMode::TolerateCorruptedTail] {
                assert!(replay_files(&env, &sealed, mode).unwrap_err().is_corruption(), "byte {at}");
            }
            env.put(&path(3), good.clone());
        }
    }
}

#[test]
fn every_cut_with_any_bytes_behind_it_is_a_prefix() {
    let env = TestEnv::new();
    let mut writer = create(&env, 4, None);
    let places = append(&mut writer, 0, 8);
    let good = env.bytes(&path(4));
    assert_eq!(good.len(), 8192, "mapped: preallocated");
    let mut random = Random(5);
    for cut in 0..=places[8] as usize {
        for tail in 0..3 {
            let mut bytes = good[..cut].to_vec();
            match tail {
                0 => {}
                1 => bytes.resize(8192, 0),
                _ => bytes.extend(random.bytes(700)),
            }
            env.put(&path(4), bytes);
            if (cut as u64) < FIRST_FRAME {
                // A header ends in zeros, so zeros behind the cut may make it whole.
                let result = point_in_time(&env, &[4]);
                assert!(tail == 1 && result.is_ok() || result.unwrap_err().is_corruption(), "cut at {cut}");
                continue;
            }
            let whole = places.iter().filter(|&&place| place <= cut as u64).count().saturating_sub(1);
            for mode in [RecoveryMode::PointInTime, RecoveryMode::TolerateCorruptedTail] {
                let (shown, _) = replay_files(&env, &files(&[4]), mode).unwrap();
                assert_eq!(shown, all(whole), "cut at {cut}");
            }
            let strict = replay_files(&env, &files(&[4]), RecoveryMode::AbsoluteConsistency);
            assert_eq!(strict.is_ok(), places.contains(&(cut as u64)) && tail < 2, "cut at {cut}");
        }
    }
}

#[test]
fn a_lost_page_before_good_frames_is_a_torn_tail_unless_a_mark_proves_rot() {
    for proved in [false, true] {
        let env = TestEnv::new();
        let mut writer = create(&env, 4, None);
        let places = append(&mut writer, 0, 20);
        let durable = mark(4, if proved { places[11] } else { places[10] });
        writer.append(&[b"last"], Some(&durable)).unwrap();
        change(&env, 4, |bytes| bytes[places[10] as usize..places[12] as usize + 5].fill(0));
        let result = point_in_time(&env, &[4]);
        if proved {
            let error = corruption(result, 4, places[10]);
            assert!(error.to_string().contains("SkipCorrupted"), "{error}");
            continue;
        }
        let (shown, report) = result.unwrap();
        assert_eq!(shown, all(10));
        assert!(report.dropped_bytes > 0 && report.ended_early.is_some());
        let (skipped, report) = replay_files(&env, &files(&[4]), RecoveryMode::SkipCorrupted).unwrap();
        let rest: Vec<_> = all(20).into_iter().skip(13).chain([b"last".to_vec()]).collect();
        assert_eq!(skipped, [all(10), rest].concat());
        assert!(report.ended_early.unwrap().1.starts_with("skipped"));
    }
}

#[test]
fn a_mark_beyond_a_clean_end_shows_that_the_tail_vanished() {
    let env = TestEnv::new();
    let mut writer = create(&env, 4, None);
    let places = append(&mut writer, 0, 3);
    writer.append(&[b"x"], Some(&mark(4, 4000))).unwrap();
    let end = writer.position().offset;
    assert!(places[3] < end);
    corruption(point_in_time(&env, &[4]), 4, end);
}

#[test]
fn a_file_that_lost_its_tail_hides_later_files() {
    let env = TestEnv::new();
    let places = three_logs(&env);
    assert_eq!(point_in_time(&env, &[3, 4, 5]).unwrap().0, all(15));
    // Log 4 loses its last two frames: nothing of log 5 may be shown.
    change(&env, 4, |bytes| bytes.truncate(places[1][3] as usize));
    let (shown, report) = point_in_time(&env, &[3, 4, 5]).unwrap();
    assert_eq!(shown, all(8));
    assert_eq!(report.end, Some(WalPosition { log: 4, offset: places[1][3] }));
    assert_eq!(report.dropped_bytes, places[2][5] - FIRST_FRAME);
    let strict = replay_files(&env, &files(&[3, 4, 5]), RecoveryMode::TolerateCorruptedTail);
    corruption(strict, 4, places[1][3]);
    let (skipped, _) = replay_files(&env, &files(&[3, 4, 5]), RecoveryMode::SkipCorrupted).unwrap();
    assert_eq!(skipped.len(), 13);
    // A mark in log 5 says that log 4 was durable.
    let mut writer = create(&env, 5, Some(WalPosition { log: 4, offset: places[1][5] }));
    writer.append(&[b"x"], Some(&mark(5, FIRST_FRAME))).unwrap();
    corruption(point_in_time(&env, &[3, 4, 5]), 4, places[1][3]);
}

#[test]
fn bytes_of_a_failed_append_before_a_rotation_are_not_shown() {
    let env = TestEnv::new();
    let mut writer = create(&env, 3, None);
    append(&mut writer, 0, 3);
    let end = writer.position();
    // The append reports a failure though all its bytes arrive; the file is not cut either (as after a crash).
    *env.faults.tear_next_write.lock() = Some(1000);
    let error = writer.append(&[b"never acknowledged"], None).unwrap_err();
    assert_eq!(writer.append(&[b"later"], None).unwrap_err().to_string(), error.to_string());
    assert_eq!(writer.position(), end);
    let mut next = create(&env, 4, Some(end));
    append(&mut next, 3, 5);
    for mode in [RecoveryMode::PointInTime, RecoveryMode::AbsoluteConsistency] {
        assert_eq!(replay_files(&env, &files(&[3, 4]), mode).unwrap().0, all(5));
    }
    assert_eq!(writer.finish().unwrap(), end);
    assert_eq!(env.bytes(&path(3)).len() as u64, end.offset);
}

#[test]
fn missing_renamed_swapped_and_foreign_files_are_named() {
    let env = TestEnv::new();
    let places = three_logs(&env);
    let error = corruption(point_in_time(&env, &[3, 5]), 5, 0);
    assert!(error.to_string().contains("000004.log"), "{error}");
    assert_eq!(error.subcode(), Subcode::MissingFile);
    // The first of the list may continue a log that is gone because it is not needed any more.
    assert_eq!(point_in_time(&env, &[4, 5]).unwrap().0, all(15)[5..]);
    let (skipped, _) = replay_files(&env, &files(&[3, 5]), RecoveryMode::SkipCorrupted).unwrap();
    assert_eq!(skipped.len(), 10);

    let (three, four) = (env.bytes(&path(3)), env.bytes(&path(4)));
    env.put(&path(3), four);
    env.put(&path(4), three);
    let error = corruption(point_in_time(&env, &[3, 4, 5]), 3, 0);
    assert!(error.to_string().contains("this is log 4, not 3"), "{error}");

    three_logs(&env);
    let foreign = replay(&*env, &files(&[3]), [1; 16], RecoveryMode::PointInTime, &mut |_| {
        panic!("nothing of another database is shown")
    });
    assert!(foreign.unwrap_err().to_string().contains("another database"));

    let mut sealed = files(&[3, 4, 5]);
    sealed[1].sealed_len = Some(places[1][4]);
    corruption(replay_files(&env, &sealed, RecoveryMode::PointInTime), 5, 0);
    env.remove(&path(5));
    let missing = point_in_time(&env, &[3, 4, 5]).unwrap_err();
    assert_eq!(missing.subcode(), Subcode::MissingFile);
}

#[test]
fn a_sealed_length_ends_the_file() {
    let env = TestEnv::new();
    let mut writer = create(&env, 4, None);
    let places = append(&mut writer, 0, 6);
    let mut sealed = files(&[4]);
    sealed[0].sealed_len = Some(places[4]);
    assert_eq!(replay_files(&env, &sealed, RecoveryMode::AbsoluteConsistency).unwrap().0, all(4));
    change(&env, 4, |bytes| bytes[places[5] as usize..].fill(0x55));
    assert_eq!(replay_files(&env, &sealed, RecoveryMode::AbsoluteConsistency).unwrap().0, all(4));
    change(&env, 4, |bytes| bytes.truncate(places[3] as usize));
    corruption(replay_files(&env, &sealed, RecoveryMode::PointInTime), 4, places[3]);
    change(&env, 4, |bytes| bytes.clear());
    corruption(replay_files(&env, &sealed, RecoveryMode::PointInTime), 4, 0);
}

#[test]
fn a_log_without_frames_is_passed_over_but_one_without_a_header_was_damaged() {
    let env = TestEnv::new();
    three_logs(&env);
    let end = point_in_time(&env, &[3, 4, 5]).unwrap().1.end;
    for torn in [0, 20] {
        create(&env, 6, end);
        change(&env, 6, |bytes| bytes[FIRST_FRAME as usize..][..torn].fill(0x77));
        let (shown, report) = point_in_time(&env, &[3, 4, 5, 6]).unwrap();
        assert_eq!((shown, report.dropped_bytes, report.end), (all(15), torn as u64, end));
        let strict = replay_files(&env, &files(&[3, 4, 5, 6]), RecoveryMode::AbsoluteConsistency);
        assert_eq!(strict.is_ok(), torn == 0);
    }
    // It may also stand between, where creating was tried again under the next number.
    append(&mut create(&env, 7, end), 15, 17);
    assert_eq!(point_in_time(&env, &[3, 4, 5, 6, 7]).unwrap().0, all(17));
    let good = env.bytes(&path(7));
    for bytes in [vec![], vec![0; 8192], good[..20].to_vec(), vec![9; 300]] {
        env.put(&path(7), bytes);
        let error = corruption(point_in_time(&env, &[3, 4, 5, 6, 7]), 7, 0);
        assert!(error.to_string().contains("cannot come from a crash"), "{error}");
        let (skipped, _) = replay_files(&env, &files(&[3, 4, 5, 6, 7]), RecoveryMode::SkipCorrupted).unwrap();
        assert_eq!(skipped, all(15));
    }
}

#[test]
fn a_torn_tail_that_an_earlier_open_accepted_ends_only_its_era() {
    let env = TestEnv::new();
    let places = three_logs(&env);
    change(&env, 4, |bytes| bytes.truncate(places[1][2] as usize + 5));
    // The open after that crash starts log 8, whose marks say nothing about the logs before it.
    let mut writer = create(&env, 8, None);
    writer.append(&[b"new era"], None).unwrap();
    let end = writer.append(&[b"more"], Some(&mark(8, FIRST_FRAME))).unwrap();
    let expected = [all(7), vec![b"new era".to_vec(), b"more".to_vec()]].concat();
    let mut wal_known = Vec::new();
    let mut shown = Vec::new();
    let report = replay(&*env, &files(&[3, 4, 5, 8]), DATABASE, RecoveryMode::PointInTime, &mut |frame| {
        wal_known.push(frame.durable.wal);
        assert_eq!(frame.durable.segments, mark(8, FIRST_FRAME).segments);
        shown.push(frame.payload.to_vec());
        Ok(ControlFlow::Continue(()))
    })
    .unwrap();
    assert_eq!(shown, expected);
    assert_eq!(wal_known[..7], [WalPosition::default(); 7]);
    assert_eq!(wal_known[7..], [WalPosition { log: 8, offset: FIRST_FRAME }; 2]);
    assert_eq!(report.end, Some(end));
}

#[test]
fn an_open_may_also_say_where_it_accepted_the_end() {
    let env = TestEnv::new();
    let places = three_logs(&env);
    change(&env, 5, |bytes| bytes.truncate(places[2][2] as usize + 5));
    let end = point_in_time(&env, &[3, 4, 5]).unwrap().1.end;
    assert_eq!(end, Some(WalPosition { log: 5, offset: places[2][2] }));
    let mut writer = create(&env, 8, end);
    writer.append(&[b"next"], Some(&mark(8, FIRST_FRAME))).unwrap();
    let expected = [all(12), vec![b"next".to_vec()]].concat();
    assert_eq!(point_in_time(&env, &[3, 4, 5, 8]).unwrap().0, expected);
    change(&env, 5, |bytes| bytes[places[2][1] as usize + 3] ^= 1);
    corruption(point_in_time(&env, &[3, 4, 5, 8]), 5, places[2][1]);
}

#[test]
fn a_visitor_that_finds_a_torn_value_ends_the_log_there() {
    let env = TestEnv::new();
    let mut writer = create(&env, 3, None);
    let places = append(&mut writer, 0, 6);
    let refuse = |known: u64, mode: RecoveryMode| {
        let mut writer = create(&env, 4, Some(WalPosition { log: 3, offset: places[6] }));
        writer.append(&[b"x"], Some(&mark(3, known))).unwrap();
        let mut shown = Vec::new();
        let report = replay(&*env, &files(&[3, 4]), DATABASE, mode, &mut |frame| {
            if frame.payload == payload(3) {
                return Ok(ControlFlow::Break("its value is torn".into()));
            }
            shown.push(frame.payload.to_vec());
            Ok(ControlFlow::Continue(()))
        });
        report.map(|report| (shown, report))
    };
    let (shown, report) = refuse(places[4] - 1, RecoveryMode::PointInTime).unwrap();
    assert_eq!(shown, all(3));
    assert_eq!(
        report.ended_early,
        Some((WalPosition { log: 3, offset: places[3] }, "its value is torn".into()))
    );
    let error = corruption(refuse(places[4], RecoveryMode::PointInTime), 3, places[3]);
    assert!(error.to_string().contains("its value is torn"));
    corruption(refuse(0, RecoveryMode::AbsoluteConsistency), 3, places[3]);
    let (shown, _) = refuse(places[4], RecoveryMode::SkipCorrupted).unwrap();
    assert_eq!(shown, [all(3), vec![payload(4), payload(5), b"x".to_vec()]].concat());

    let failing = replay(&*env, &files(&[3]), DATABASE, RecoveryMode::PointInTime, &mut |_| {
        Err(Error::invalid_argument("from the visitor"))
    });
    assert!(failing.unwrap_err().to_string().contains("from the visitor"));
}

#[test]
fn a_newer_format_and_read_errors_are_told() {
    let env = TestEnv::new();
    create(&env, 3, None);
    let mut payload =
        format::encode_header(&WalHeader { database: DATABASE, number: 3, previous: Previous::None }, 0);
    payload[8] = 9;
    let file = crate::env::Env::open(&*env, &path(3), crate::env::OpenMode::Create).unwrap();
    crate::record::RecordWriter::new(file, 3, 0).append(format::KIND_HEADER, &[&payload]).unwrap();
    assert_eq!(point_in_time(&env, &[3]).unwrap_err().subcode(), Subcode::NewerFormat);
    env.faults.fail_reads.store(1, Ordering::SeqCst);
    assert_eq!(point_in_time(&env, &[3]).unwrap_err().errno(), Some(libc::EIO));
}

#[test]
fn a_mapped_file_says_when_it_is_full() {
    let env = TestEnv::new();
    let mut writer = create(&env, 4, None);
    let big = vec![7u8; 500];
    let mut frames = 0;
    while writer.has_room(big.len()) {
        // More segments than there is room for: the mark is left out, the frame is not.
        let segments = (0..400).map(|n| (n, 1 << 40)).collect();
        writer.append(&[&big], Some(&DurableMark { wal: writer.position(), segments })).unwrap();
        frames += 1;
    }
    let position = writer.position();
    let refused = writer.append(&[&vec![7u8; 8192]], None).unwrap_err();
    assert!(refused.to_string().contains("rotate"), "{refused}");
    assert!(!writer.has_room(usize::MAX));
    assert_eq!(writer.position(), position);
    writer.append(&[b"small"], None).unwrap();
    assert_eq!(point_in_time(&env, &[4]).unwrap().0.len(), frames + 1);

    let capacity = WalWriterOptions::capacity_for(100_000);
    let options = WalWriterOptions { mapped: true, capacity, buffer_size: 1024 };
    let header = WalHeader { database: DATABASE, number: 5, previous: Previous::At(writer.position()) };
    let mut larger = WalWriter::create(&*env, dir(), &header, options).unwrap();
    assert!(larger.has_room(100_000) && !larger.has_room(100_001));
    larger.append_frame(&[&vec![1; 100_000]], Some(&mark(4, 1)), true).unwrap();
    assert_eq!(point_in_time(&env, &[4, 5]).unwrap().0.len(), frames + 2);
}

#[test]
fn frames_for_a_sync_have_zeros_behind_them_and_need_no_pages() {
    let env = TestEnv::new();
    let options = WalWriterOptions { mapped: true, capacity: 1 << 20, buffer_size: 1024 };
    let header = WalHeader { database: DATABASE, number: 3, previous: Previous::None };
    let mut writer = WalWriter::create(&*env, dir(), &header, options).unwrap();
    // What is not zeros stays so, unless it is cleared.
    let mut bytes = env.bytes(&path(3));
    bytes.resize(1 << 20, 0);
    bytes[FIRST_FRAME as usize..].fill(9);
    env.put_over(&path(3), &bytes);
    let zeros_from = |writer: &WalWriter| {
        let (bytes, end) = (env.bytes(&path(3)), writer.position().offset as usize);
        bytes[end..].iter().position(|byte| *byte != 0).map_or(bytes.len(), |at| end + at)
    };
    writer.append(&[b"mapped"], None).unwrap();
    assert!(!writer.was_for_sync());
    assert_eq!(zeros_from(&writer) as u64, writer.position().offset);
    writer.append_frame(&[b"synced"], None, true).unwrap();
    assert_eq!((writer.was_for_sync(), zeros_from(&writer)), (true, 256 << 10));
    writer.append_frame(&[&vec![1; 200 << 10]], None, true).unwrap();
    writer.append_frame(&[&vec![2; 100 << 10]], None, true).unwrap();
    assert_eq!(zeros_from(&writer), 512 << 10);
    writer.append(&[b"mapped"], None).unwrap();
    assert!(!writer.was_for_sync(), "it was never synced");
    writer.syncer().sync().unwrap();
    for (len, near) in [(100 << 10, true), (100 << 10, true), (1, false)] {
        writer.append(&[&vec![3; len]], None).unwrap();
        assert_eq!(writer.was_for_sync(), near, "{len} bytes, {} in no sync", writer.position().offset);
    }
    while writer.has_room(100 << 10) {
        writer.append_frame(&[&vec![4; 100 << 10]], None, true).unwrap();
    }
    assert_eq!((zeros_from(&writer), env.bytes(&path(3)).len()), (1 << 20, 1 << 20));
    assert_eq!(point_in_time(&env, &[3]).unwrap().1.end, Some(writer.position()));
}

#[test]
fn a_file_is_durable_before_its_first_append() {
    let env = TestEnv::new();
    let writer = create(&env, 3, None);
    assert_eq!(env.faults.syncs.load(Ordering::SeqCst), 1);
    assert_eq!(env.faults.dir_syncs.load(Ordering::SeqCst), 1);
    assert_eq!(writer.syncer().durable(), WalPosition { log: 3, offset: FIRST_FRAME });
    let header = WalHeader { database: DATABASE, number: 4, previous: Previous::None };
    let options = WalWriterOptions { mapped: false, capacity: 0, buffer_size: 0 };
    env.faults.fail_next_dir_sync.store(true, Ordering::SeqCst);
    assert!(WalWriter::create(&*env, dir(), &header, options).is_err());
    env.faults.fail_next_sync.store(true, Ordering::SeqCst);
    assert!(WalWriter::create(&*env, dir(), &header, options).is_err());
    *env.faults.tear_next_write.lock() = Some(30);
    assert!(WalWriter::create(&*env, dir(), &header, options).is_err());
    assert_eq!(crate::env::Env::list(&*env, dir()).unwrap(), ["000003.log"]);
}

#[test]
fn a_failed_sync_is_final_for_every_syncer_and_for_appends() {
    let env = TestEnv::new();
    let mut writer = create(&env, 3, None);
    append(&mut writer, 0, 2);
    let (one, other) = (writer.syncer(), writer.syncer());
    env.faults.fail_next_sync.store(true, Ordering::SeqCst);
    let error = one.sync().unwrap_err();
    assert_eq!(error.subcode(), Subcode::SyncUnknown);
    assert_eq!(other.sync().unwrap_err().to_string(), error.to_string());
    assert_eq!(writer.append(&[b"x"], None).unwrap_err().to_string(), error.to_string());
    assert_eq!((other.number(), error.file()), (3, Some(&*path(3))));
}

#[test]
fn syncs_and_appends_go_on_together() {
    let env = TestEnv::new();
    let options = WalWriterOptions { mapped: true, capacity: 1 << 20, buffer_size: 4096 };
    let header = WalHeader { database: DATABASE, number: 3, previous: Previous::None };
    let mut writer = WalWriter::create(&*env, dir(), &header, options).unwrap();
    let appended = Arc::new(parking_lot::Mutex::new(WalPosition::default()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let (syncer, appended) = (writer.syncer(), appended.clone());
            scope.spawn(move || {
                for _ in 0..300 {
                    let before = *appended.lock();
                    syncer.sync().unwrap();
                    assert!(syncer.durable() >= before);
                }
            });
        }
        for n in 0..2000 {
            let position = writer.append(&[&payload(n)], None).unwrap();
            *appended.lock() = position;
        }
    });
    assert_eq!(point_in_time(&env, &[3]).unwrap().0, all(2000));
}

/// Logs 3, 4, 5 with five frames each, of which 4 and 5 were made ahead; where frames start, by log.
fn three_logs_made_ahead(env: &TestEnv) -> [Vec<u64>; 3] {
    let mut writers = vec![create_ahead(env, 5), create_ahead(env, 4), create(env, 3, None)];
    let mut previous = None;
    [0, 5, 10].map(|first| {
        let mut writer = writers.pop().unwrap();
        previous.into_iter().for_each(|end| writer.continue_from(end).unwrap());
        let places = append(&mut writer, first, first + 5);
        previous = Some(writer.finish().unwrap());
        places
    })
}

#[test]
fn files_made_ahead_continue_each_other() {
    let env = TestEnv::new();
    let places = three_logs_made_ahead(&env);
    // The next one is there already, unused, in any number.
    create_ahead(&env, 6);
    create_ahead(&env, 7);
    for mode in [RecoveryMode::AbsoluteConsistency, RecoveryMode::TolerateCorruptedTail] {
        let (shown, report) = replay_files(&env, &files(&[3, 4, 5, 6, 7]), mode).unwrap();
        assert_eq!((shown, report.dropped_bytes, report.ended_early), (all(15), 0, None));
        assert_eq!(report.end, Some(WalPosition { log: 5, offset: places[2][5] }));
    }
    let mut sealed = files(&[3, 4, 5, 6]);
    sealed[2].sealed_len = Some(places[2][5]);
    assert_eq!(replay_files(&env, &sealed, RecoveryMode::AbsoluteConsistency).unwrap().0, all(15));
    // Taken into use, and nothing more: the log before it ends where it ends.
    create_ahead(&env, 6).continue_from(WalPosition { log: 5, offset: places[2][5] }).unwrap();
    let (shown, report) =
        replay_files(&env, &files(&[3, 4, 5, 6]), RecoveryMode::AbsoluteConsistency).unwrap();
    assert_eq!((shown, report.ended_early), (all(15), None));
    env.remove(&path(4));
    let missing = corruption(point_in_time(&env, &[3, 5]), 5, 0);
    assert_eq!(missing.subcode(), Subcode::MissingFile);
}

/// Without the record that says what a file continues, nothing of it is shown, and nothing that comes after it: the
/// log before it may have lost its tail.
#[test]
fn a_file_made_ahead_that_does_not_say_what_it_continues_ends_the_log() {
    let env = TestEnv::new();
    let places = three_logs_made_ahead(&env);
    let first_frame = places[1][0] as usize;
    let (three, good) = (env.bytes(&path(3)), env.bytes(&path(4)));
    for at in FIRST_FRAME as usize..first_frame {
        change(&env, 4, |bytes| bytes[at] ^= 0x41);
        let (shown, report) = point_in_time(&env, &[3, 4, 5]).unwrap();
        assert_eq!(shown, all(5), "byte {at}");
        assert_eq!(report.ended_early.unwrap().0, WalPosition { log: 4, offset: FIRST_FRAME });
        env.put(&path(4), good.clone());
    }
    // The page never came to the device; log 3 lost its last frame with it.
    change(&env, 4, |bytes| bytes[FIRST_FRAME as usize..first_frame].fill(0));
    change(&env, 3, |bytes| bytes.truncate(places[0][4] as usize));
    let (shown, report) = point_in_time(&env, &[3, 4, 5]).unwrap();
    assert_eq!(shown, all(4));
    assert!(report.dropped_bytes > 0);
    assert!(replay_files(&env, &files(&[3, 4, 5]), RecoveryMode::AbsoluteConsistency).is_err());
    // Had it been synced, it would be rot: log 3 must have gone on.
    env.put(&path(3), three);
    env.put(&path(4), good);
    let mut writer = create_ahead(&env, 6);
    writer.continue_from(WalPosition { log: 5, offset: places[2][5] }).unwrap();
    writer.append(&[b"x"], Some(&mark(4, places[1][1]))).unwrap();
    change(&env, 4, |bytes| bytes[FIRST_FRAME as usize + 4] ^= 1);
    corruption(point_in_time(&env, &[3, 4, 5, 6]), 3, places[0][5]);
    // Also if no frame of it is left, and the next one does not say that it continues it.
    change(&env, 4, |bytes| bytes[FIRST_FRAME as usize..].fill(0));
    change(&env, 5, |bytes| bytes[FIRST_FRAME as usize + 4] ^= 1);
    corruption(point_in_time(&env, &[3, 4, 5, 6]), 3, places[0][5]);
}

#[test]
fn a_file_made_ahead_is_continued_only_where_the_one_before_is_whole() {
    let env = TestEnv::new();
    let places = three_logs_made_ahead(&env);
    for lost in 0..5 {
        change(&env, 4, |bytes| bytes.truncate(places[1][4 - lost] as usize));
        let (shown, report) = point_in_time(&env, &[3, 4, 5]).unwrap();
        assert_eq!(shown, all(9 - lost));
        assert_eq!(report.end, Some(WalPosition { log: 4, offset: places[1][4 - lost] }));
    }
}

#[test]
fn other_records_in_place_of_a_continuation_are_no_crash() {
    let cases: [(u8, &[u8]); 3] = [(KIND_FRAME, b"a frame"), (KIND_CONTINUATION, b"short"), (9, &[0; 16])];
    for (kind, bytes) in cases {
        let env = TestEnv::new();
        let end = three_logs(&env)[2][5];
        create_ahead(&env, 6);
        let file = crate::env::Env::open(&*env, &path(6), crate::env::OpenMode::ReadWrite).unwrap();
        let mut records = crate::record::RecordWriter::new(file, 6, FIRST_FRAME);
        records.append(kind, &[bytes]).unwrap();
        corruption(point_in_time(&env, &[3, 4, 5, 6]), 6, FIRST_FRAME);
        let (skipped, _) = replay_files(&env, &files(&[3, 4, 5, 6]), RecoveryMode::SkipCorrupted).unwrap();
        assert_eq!(skipped, all(15));
        assert!(end > FIRST_FRAME);
    }
}

#[test]
fn pages_are_populated_in_whole_pieces_up_to_the_end() {
    let env = TestEnv::new();
    assert!(create(&env, 3, None).pages().is_none(), "not mapped");
    let pages = create(&env, 4, None).pages().unwrap();
    assert_eq!((pages.populated(), pages.capacity(), pages.piece()), (0, 8192, 1024));
    pages.populate(1);
    assert_eq!(pages.populated(), 1024);
    pages.populate(2049);
    assert_eq!(pages.populated(), 3072);
    pages.populate(100);
    assert_eq!(pages.populated(), 3072);
    pages.populate(u64::MAX);
    assert_eq!((pages.populated(), pages.released()), (8192, 0));
}

#[test]
fn written_pages_are_let_go_in_large_steps() {
    let env = TestEnv::new();
    let how = WalWriterOptions { mapped: true, capacity: 4 << 20, buffer_size: 1 << 10 };
    let header = WalHeader { database: DATABASE, number: 3, previous: Previous::ToldLater };
    let mut log = WalWriter::create(&*env, dir(), &header, how).unwrap();
    let pages = log.pages().unwrap();
    let frame = vec![7; 300 << 10];
    for appended in 1..=12u64 {
        let end = log.append(&[&frame], None).unwrap().offset;
        pages.populate(end + 1);
        assert_eq!(pages.released(), end >> 20 << 20, "after {appended}");
    }
    assert_eq!(pages.released(), 3 << 20);
}
