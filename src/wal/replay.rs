//! Replay: shows the frames of the log in order, and decides at every bad place whether the log ends there.
//!
//! 1. `Scan` reads all files once: headers, marks, how they continue each other.
//! 2. Frames are shown file by file. At a place that is no frame, or where `visit` finds a value torn:
//!    - what is known durable beyond it (a sealed length, or a mark of the same era) makes it a `Corruption`;
//!    - else it is the torn tail of its era: nothing later of that era is shown (L1).
//!
//! Before each frame the visitor may look at those that follow in the file, to begin with what takes long.

use super::format::{self, KIND_FRAME_WITH_MARK};
use super::scan::{Header, Scan, ScannedFile, is_frame};
use super::{DurableMark, Previous, RecoveryMode, ReplayFrame, ReplayReport, WalFile, WalPosition};
use crate::base::{Error, Result};
use crate::env::Env;
use crate::record::{ReadOutcome, RecordReader};
use std::ops::ControlFlow;

type Visit<'v> = dyn FnMut(&ReplayFrame<'_>) -> Result<ControlFlow<String>> + 'v;

/// Who a log is replayed to.
pub trait ReplayVisitor {
    /// The next frame. It may break with a reason: the log ends before that frame (a torn value); if the frame is
    /// known durable, that is a `Corruption` instead. In mode `SkipCorrupted` it is left out and the next one is shown.
    fn frame(&mut self, frame: &ReplayFrame<'_>) -> Result<ControlFlow<String>>;

    /// Called before each frame with those that follow in its file, itself included, and that were not taken from here
    /// before. Not all of them need be shown later: the log may end before that.
    fn look_ahead(&mut self, frames: &mut FramesAhead<'_>);
}

/// Frames that follow, up to one that is not whole.
pub struct FramesAhead<'a> {
    reader: &'a RecordReader,
    /// Where the next one starts.
    at: &'a mut u64,
    log: u64,
    durable: &'a DurableMark,
}

impl<'a> FramesAhead<'a> {
    /// Takes the next one.
    #[allow(clippy::should_implement_trait)] // Who looks ahead takes some and leaves the rest.
    pub fn next(&mut self) -> Option<ReplayFrame<'a>> {
        loop {
            let (kind, payload, end) = self.reader.peek(*self.at)?;
            let position = WalPosition { log: self.log, offset: *self.at };
            *self.at = end;
            if let Some(payload) = frame_payload(kind, payload) {
                return Some(ReplayFrame { position, payload, durable: self.durable });
            }
        }
    }
}

/// Does not look ahead.
struct Function<'a, 'v>(&'a mut Visit<'v>);

impl ReplayVisitor for Function<'_, '_> {
    fn frame(&mut self, frame: &ReplayFrame<'_>) -> Result<ControlFlow<String>> {
        (self.0)(frame)
    }

    fn look_ahead(&mut self, _: &mut FramesAhead<'_>) {}
}

/// As `replay_to`, for a visitor that does not look ahead.
pub fn replay(
    env: &dyn Env,
    files: &[WalFile],
    database: [u8; 16],
    mode: RecoveryMode,
    visit: &mut dyn FnMut(&ReplayFrame<'_>) -> Result<ControlFlow<String>>,
) -> Result<ReplayReport> {
    replay_to(&mut Function(visit), env, files, database, mode)
}

/// Shows every frame of `files` (ascending numbers) in order.
pub fn replay_to(
    visitor: &mut dyn ReplayVisitor,
    env: &dyn Env,
    files: &[WalFile],
    database: [u8; 16],
    mode: RecoveryMode,
) -> Result<ReplayReport> {
    assert!(files.is_sorted_by(|one, next| one.number < next.number), "log files ascend");
    let mut scan = Scan::run(env, files, &database, mode == RecoveryMode::SkipCorrupted)?;
    let mut replay = Replay { env, files, mode, report: ReplayReport::default() };
    let mut ended_era = None;
    for index in 0..files.len() {
        if !scan.files[index].takes_part {
            replay.pass_over(&scan, index)?;
        } else if ended_era == Some(scan.files[index].era) {
            let ScannedFile { data_len, first_frame, .. } = scan.files[index];
            replay.report.dropped_bytes += data_len.saturating_sub(first_frame);
        } else {
            let reader = scan.files[index].reader.take();
            if let Flow::EraEnds = replay.show_file(&scan, index, reader, visitor)? {
                ended_era = Some(scan.files[index].era);
            }
        }
    }
    Ok(replay.report)
}

/// What follows after a file.
enum Flow {
    NextFile,
    EraEnds,
}

/// What follows after a bad place.
enum Verdict {
    Resume(u64),
    File(Flow),
}

/// A place where the log cannot go on.
struct Trouble {
    at: u64,
    /// If the file is durable up to here, the trouble is a corruption. `None`: it is one in any case.
    durable_beyond: Option<u64>,
    /// Where the next frame starts, if the trouble is in a valid frame.
    next: Option<u64>,
    reason: String,
}

impl Trouble {
    fn bad_bytes(at: u64, reason: String) -> Trouble {
        Trouble { at, durable_beyond: Some(at + 1), next: None, reason }
    }
}

enum Step {
    Shown(u64),
    Reached(u64),
    Trouble(Trouble),
}

struct Replay<'a> {
    env: &'a dyn Env,
    files: &'a [WalFile],
    mode: RecoveryMode,
    report: ReplayReport,
}

impl Replay<'_> {
    /// A file with a header but no frame, which nothing continues. Its bytes matter in one mode only.
    fn pass_over(&mut self, scan: &Scan, index: usize) -> Result<()> {
        let first_frame = scan.files[index].first_frame;
        let dropped = scan.files[index].data_len.saturating_sub(first_frame);
        if dropped == 0 {
            return Ok(());
        }
        let reason = "no frame after the header";
        if self.mode == RecoveryMode::AbsoluteConsistency {
            let why = "recovery mode AbsoluteConsistency accepts no bad byte";
            return Err(self.corruption(index, first_frame, reason, why));
        }
        self.report.dropped_bytes += dropped;
        self.end_early(index, first_frame, reason.to_string());
        Ok(())
    }

    fn show_file(
        &mut self,
        scan: &Scan,
        index: usize,
        kept: Option<RecordReader>,
        visitor: &mut dyn ReplayVisitor,
    ) -> Result<Flow> {
        let file = &self.files[index];
        let mut reader = match kept {
            Some(reader) => reader,
            None => RecordReader::open(self.env, &file.path, file.number, 0, None)?,
        };
        match &scan.files[index].header {
            Header::Valid(_) => {
                let offset = scan.files[index].first_frame;
                reader.seek(offset);
                self.report.end = Some(WalPosition { log: file.number, offset });
            }
            Header::Damaged(reason) => {
                let trouble = Trouble { at: 0, durable_beyond: None, next: None, reason: reason.clone() };
                match self.decide(scan, index, &reader, trouble)? {
                    Verdict::Resume(offset) => reader.seek(offset),
                    Verdict::File(flow) => return Ok(flow),
                }
            }
        }
        let mut ahead = 0;
        loop {
            ahead = reader.offset().max(ahead);
            let durable = &scan.durable[scan.files[index].era];
            visitor.look_ahead(&mut FramesAhead {
                reader: &reader,
                at: &mut ahead,
                log: file.number,
                durable,
            });
            let trouble = match self.step(scan, index, &mut reader, visitor)? {
                Step::Shown(end) => {
                    self.report.frames += 1;
                    self.report.end = Some(WalPosition { log: file.number, offset: end });
                    continue;
                }
                Step::Reached(end) => {
                    self.report.end = Some(WalPosition { log: file.number, offset: end });
                    return Ok(Flow::NextFile);
                }
                Step::Trouble(trouble) => trouble,
            };
            match self.decide(scan, index, &reader, trouble)? {
                Verdict::Resume(offset) => reader.seek(offset),
                Verdict::File(flow) => return Ok(flow),
            }
        }
    }

    /// Shows one frame, or says what is in its place.
    fn step(
        &self,
        scan: &Scan,
        index: usize,
        reader: &mut RecordReader,
        visitor: &mut dyn ReplayVisitor,
    ) -> Result<Step> {
        let file = &self.files[index];
        let must_end = file.sealed_len.or(scan.files[index].continued_at);
        let durable = &scan.durable[scan.files[index].era];
        let offset = match reader.next() {
            ReadOutcome::Record { offset, .. } | ReadOutcome::Bad { offset, .. }
                if must_end == Some(offset) =>
            {
                // What follows was never acknowledged: the rest of a failed append.
                return Ok(Step::Reached(offset));
            }
            ReadOutcome::Record { offset, end, .. } if must_end.is_some_and(|must_end| end > must_end) => {
                let reason =
                    format!("a frame up to {end} crosses the end of the file at {}", must_end.unwrap_or(0));
                return Ok(Step::Trouble(Trouble::bad_bytes(offset, reason)));
            }
            ReadOutcome::Record { offset, end, .. } if is_untold(&scan.files[index], offset) => {
                let reason = "the first record does not say which log this one continues".to_string();
                return Ok(Step::Trouble(Trouble {
                    at: offset,
                    durable_beyond: None,
                    next: Some(end),
                    reason,
                }));
            }
            ReadOutcome::Record { offset, end, kind, payload } => {
                let position = WalPosition { log: file.number, offset };
                let Some(payload) = frame_payload(kind, payload) else {
                    let reason = format!("a valid record of kind {kind} is no frame");
                    return Ok(Step::Trouble(Trouble {
                        at: offset,
                        durable_beyond: None,
                        next: Some(end),
                        reason,
                    }));
                };
                return Ok(match visitor.frame(&ReplayFrame { position, payload, durable })? {
                    ControlFlow::Continue(()) => Step::Shown(end),
                    ControlFlow::Break(reason) => Step::Trouble(Trouble {
                        at: offset,
                        durable_beyond: Some(end),
                        next: Some(end),
                        reason,
                    }),
                });
            }
            ReadOutcome::Bad { offset, reason } => {
                return Ok(Step::Trouble(Trouble::bad_bytes(offset, reason)));
            }
            ReadOutcome::End { offset } => offset,
        };
        let after = reader.non_zero_bytes_after(offset);
        let reason = match must_end {
            Some(must_end) if offset >= must_end => return Ok(Step::Reached(offset)),
            Some(must_end) => format!("the log ends here, but it went on to {must_end}"),
            None if after > 0 => {
                format!("zeros in place of a frame, with {after} bytes up to the last other one")
            }
            None if self.is_durable(scan, index, offset + 1) => "the log ends here".to_string(),
            None => return Ok(Step::Reached(offset)),
        };
        Ok(Step::Trouble(Trouble::bad_bytes(offset, reason)))
    }

    fn is_durable(&self, scan: &Scan, index: usize, up_to: u64) -> bool {
        let file = &self.files[index];
        let sealed = file.sealed_len.is_some_and(|sealed| sealed >= up_to);
        let position = WalPosition { log: file.number, offset: up_to };
        sealed || scan.durable[scan.files[index].era].wal >= position
    }

    fn decide(
        &mut self,
        scan: &Scan,
        index: usize,
        reader: &RecordReader,
        trouble: Trouble,
    ) -> Result<Verdict> {
        let Trouble { at, durable_beyond, next, reason } = trouble;
        if self.mode == RecoveryMode::SkipCorrupted {
            let next = next.or_else(|| reader.next_valid_after(at));
            let dropped = match next {
                Some(next) => next - at,
                None => reader.non_zero_bytes_after(at),
            };
            self.report.dropped_bytes += dropped;
            if self.report.ended_early.is_none() {
                self.end_early(index, at, format!("skipped {dropped} bytes: {reason}"));
            }
            return Ok(next.map_or(Verdict::File(Flow::NextFile), Verdict::Resume));
        }
        if durable_beyond.is_none_or(|up_to| self.is_durable(scan, index, up_to)) {
            let why = match self.files[index].sealed_len {
                Some(sealed) => format!("the file was closed cleanly at {sealed}"),
                None if durable_beyond.is_none() => "this cannot come from a crash".to_string(),
                None => self.durable_text(scan, index),
            };
            return Err(self.corruption(index, at, &reason, &why));
        }
        if self.mode == RecoveryMode::AbsoluteConsistency {
            let why = "recovery mode AbsoluteConsistency accepts no bad byte";
            return Err(self.corruption(index, at, &reason, why));
        }
        if self.mode == RecoveryMode::TolerateCorruptedTail && scan.is_continued(index) {
            let why = "later logs follow, and recovery mode TolerateCorruptedTail accepts a torn tail of the last only";
            return Err(self.corruption(index, at, &reason, why));
        }
        self.report.dropped_bytes += reader.non_zero_bytes_after(at);
        self.report.end = Some(WalPosition { log: self.files[index].number, offset: at });
        self.end_early(index, at, reason);
        Ok(Verdict::File(Flow::EraEnds))
    }

    fn durable_text(&self, scan: &Scan, index: usize) -> String {
        let wal = scan.durable[scan.files[index].era].wal;
        format!("this part of the log was synced (up to log {} @ {})", wal.log, wal.offset)
    }

    fn end_early(&mut self, index: usize, at: u64, reason: String) {
        self.report.ended_early = Some((WalPosition { log: self.files[index].number, offset: at }, reason));
    }

    fn corruption(&self, index: usize, at: u64, reason: &str, why: &str) -> Error {
        Error::corruption(
            &self.files[index].path,
            at,
            format!("{reason}; {why}: restore from a backup, or open with recovery mode SkipCorrupted"),
        )
    }
}

/// Whether the record at `offset` should have said what the file continues, and did not.
fn is_untold(file: &ScannedFile, offset: u64) -> bool {
    offset == file.first_frame
        && matches!(&file.header, Header::Valid(header) if header.previous == Previous::ToldLater)
}

/// The caller's part of a frame; `None` if the record is no frame.
fn frame_payload(kind: u8, payload: &[u8]) -> Option<&[u8]> {
    match kind {
        KIND_FRAME_WITH_MARK => format::decode_mark(payload).map(|(_, rest)| rest),
        _ => is_frame(kind).then_some(payload),
    }
}
