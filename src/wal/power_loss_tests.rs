//! A random log under power loss and rot.

use super::format::FIRST_FRAME;
use super::tests::{DATABASE, all, change, create, create_ahead, files, path, payload, point_in_time};
use super::*;
use crate::record::HEADER_LEN;
use crate::record::test_env::{Random, TestEnv};
use std::ops::ControlFlow;
use std::sync::Arc;

/// A log written with random syncs, marks and rotations, then a power loss: every unsynced piece may be there,
/// zero or garbage. Replay shows a prefix with everything that was synced; and a flipped byte in what a mark that
/// survived covers is never taken for a tear.
#[test]
fn power_loss_leaves_a_prefix_with_everything_that_was_synced() {
    let (mut corruptions, mut tears) = (0, 0);
    for seed in 1..900 {
        let mut random = Random(seed * 7919);
        let (env, written) = random_log(&mut random);
        let numbers: Vec<u64> = written.durable.iter().map(|&(log, _)| log).collect();
        for &(log, durable) in &written.durable {
            change(&env, log, |bytes| lose_power(bytes, durable as usize, &mut random));
        }
        let (shown, report) =
            point_in_time(&env, &numbers).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert!(shown.len() >= written.durable_frames, "seed {seed}");
        assert_eq!(shown, all(shown.len()), "seed {seed}");

        let Some(&(log, place)) = written.frames.first() else { continue };
        let at = place + random.below(HEADER_LEN as u64 + 4);
        change(&env, log, |bytes| bytes[at as usize] ^= 0x10);
        let mut known = WalPosition::default();
        let skipping = replay(&*env, &files(&numbers), DATABASE, RecoveryMode::SkipCorrupted, &mut |frame| {
            known = frame.durable.wal;
            Ok(ControlFlow::Continue(()))
        });
        skipping.unwrap();
        let proved = known > WalPosition { log, offset: place };
        match point_in_time(&env, &numbers) {
            Err(error) => {
                assert!(error.is_corruption() && proved, "seed {seed}: {error}");
                corruptions += 1;
            }
            Ok((again, _)) => {
                assert!(!proved, "seed {seed}: rot was taken for a tear");
                assert!(again.is_empty() && report.frames >= 1, "seed {seed}");
                tears += 1;
            }
        }
    }
    assert!(corruptions > 50 && tears > 50, "{corruptions} and {tears}: the cases say too little");
}

struct Written {
    /// (log, durable up to).
    durable: Vec<(u64, u64)>,
    durable_frames: usize,
    /// Where the frames that are durable start.
    frames: Vec<(u64, u64)>,
}

fn random_log(random: &mut Random) -> (Arc<TestEnv>, Written) {
    let env = TestEnv::new();
    let mut writer = create(&env, 3, None);
    let mut written = Written { durable: vec![(3, FIRST_FRAME)], durable_frames: 0, frames: Vec::new() };
    let mut durable_mark = DurableMark::default();
    let mut frames = Vec::new();
    for n in 0..random.below(60) as usize {
        let place = writer.position();
        let with_mark = random.below(3) == 0;
        let (payload, mark) = (payload(n), with_mark.then_some(&durable_mark));
        let for_sync = random.below(2) == 0;
        let position = writer.append_frame(&[&payload], mark, for_sync).unwrap();
        frames.push((place.log, place.offset));
        match random.below(12) {
            0 | 1
                if written
                    .durable
                    .iter()
                    .rev()
                    .skip(1)
                    .all(|&(log, to)| env.bytes(&path(log)).len() as u64 == to) =>
            {
                writer.syncer().sync().unwrap();
                written.durable.last_mut().unwrap().1 = position.offset;
                written.durable_frames = n + 1;
                durable_mark = DurableMark { wal: position, segments: vec![] };
            }
            2 => {
                let number = position.log + 1;
                let old = writer.syncer();
                let next = if random.below(2) == 0 {
                    create(&env, number, Some(position))
                } else {
                    let mut next = create_ahead(&env, number);
                    next.continue_from(position).unwrap();
                    next
                };
                let previous = std::mem::replace(&mut writer, next).finish().unwrap();
                // Often the old file is synced when it is left, as the engine does before it syncs the next.
                if random.below(4) > 0 {
                    old.sync().unwrap();
                    written.durable.last_mut().unwrap().1 = previous.offset;
                }
                written.durable.push((number, FIRST_FRAME));
            }
            _ => {}
        }
    }
    written.frames = frames[..written.durable_frames].to_vec();
    (env, written)
}

/// Each piece of 64 bytes after `durable` stays, is zeros, or is garbage; or the file is cut.
fn lose_power(bytes: &mut Vec<u8>, durable: usize, random: &mut Random) {
    if random.below(3) == 0 {
        let cut = durable + random.below((bytes.len() - durable) as u64 + 1) as usize;
        bytes.truncate(cut);
    }
    for piece in bytes[durable..].chunks_mut(64) {
        match random.below(4) {
            0 => piece.fill(0),
            1 => piece.iter_mut().for_each(|byte| *byte = (random.next() >> 40) as u8),
            _ => {}
        }
    }
}
