//! The write-ahead log: one file format, a writer, and replay that tells a torn tail from rot.
//!
//! 1. `WalWriter::create` makes a file durable with a header that says where the file before it ended (R1). A file
//!    can also be made while the one before it is still written to: then the first record after the header, which
//!    `continue_from` appends when it is taken into use, says it.
//!    A full log that is not needed any more can give its file to the next one (`put_by`, `create_in`): see L4.
//! 2. `append` puts frames into it, some with a `DurableMark`: what was durable when they were written (R3).
//!    `append_frame` does so where a sync follows: with a call instead of through the mapping, which would have the
//!    sync write whole folios. `append` does too once it finds the file synced often.
//! 3. `replay` reads all files, collects the marks, and shows the frames in order up to where the log ends.
//!
//! An *era* is a run of files that continue each other: it starts with a file whose header has no `previous`, the
//! first after an open. The open that started an era had accepted the end of the era before it, wherever that was;
//! so a torn tail ends its era only, and marks say nothing about earlier eras.
//!
//! Invariants:
//! - L1 what replay shows is a prefix of each era: no frame is shown after one of its era that is missing.
//! - L2 a frame below a mark, or below a sealed length, is shown or is a `Corruption`; never silently left out,
//!   except in mode `SkipCorrupted`.
//!   Where a file made ahead does not say what it continues, the log ends: no frame of it is shown.
//! - L3 a log file has a whole header: `create` makes it durable before the file gets its name. Without one the file
//!   was damaged. Leftovers of `create` are `NNNNNN.tmp`, which the open removes.
//! - L4 in a file that held another log, nothing of that is taken for a part of this one. The records after the header
//!   are bound to a random salt in it, which the writer of the old ones could not know. What is no record of this log
//!   there is a torn tail where nothing is known durable beyond it, and no reason to say that bytes were lost.
//!   The old name is gone before a byte changes, and the header changes first; so who was reading the old log notices.

mod format;
#[cfg(test)]
mod power_loss_tests;
mod replay;
#[cfg(test)]
mod reuse_tests;
mod scan;
#[cfg(test)]
mod tests;
mod writer;

pub use crate::record::MAX_PAYLOAD_LEN;
pub use format::database_of;
pub use replay::{FramesAhead, ReplayVisitor, replay, replay_to};
pub use writer::{WalPages, WalSyncer, WalWriter, WalWriterOptions};

use std::path::PathBuf;

/// A byte in the log: file number, then offset. Ordered as the log was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct WalPosition {
    /// The file's number.
    pub log: u64,
    /// The offset in it.
    pub offset: u64,
}

/// What was known to be durable when a frame was written (R3): the log up to a position, and each value-log
/// segment up to an offset.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct DurableMark {
    /// The log is durable up to here.
    pub wal: WalPosition,
    /// (segment, durable up to), ascending by segment.
    pub segments: Vec<(u64, u64)>,
}

/// The first bytes of a log file: ties it to its database and to the file before it (R1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalHeader {
    /// The database's identity.
    pub database: [u8; 16],
    /// This file's number.
    pub number: u64,
    /// The log before this one.
    pub previous: Previous,
}

/// What a header says of the log before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Previous {
    /// There is none: the first log after an open, or after anything else that made those before it unneeded.
    None,
    /// It had ended here when this one was made.
    At(WalPosition),
    /// It was still written to when this one was made: the record after the header says where it ended. Without that
    /// record, which is lost only if no sync covered it, nothing of this file is shown.
    ToldLater,
}

impl From<Option<WalPosition>> for Previous {
    fn from(previous: Option<WalPosition>) -> Previous {
        previous.map_or(Previous::None, Previous::At)
    }
}

/// What to do at a bad frame. The numbers are RocksDB's `WALRecoveryMode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecoveryMode {
    /// Accept a torn tail of the last file (of an era) only.
    TolerateCorruptedTail = 0,
    /// Any bad byte is an error.
    AbsoluteConsistency = 1,
    /// Stop at the first bad frame unless it is known to have been durable.
    PointInTime = 2,
    /// Leave bad frames out and go on.
    SkipCorrupted = 3,
}

/// A log file to replay.
#[derive(Clone, Debug)]
pub struct WalFile {
    /// Its number.
    pub number: u64,
    /// Its path.
    pub path: PathBuf,
    /// Its valid length, where the manifest sealed it at a clean close.
    pub sealed_len: Option<u64>,
}

/// One frame, as replay shows it.
pub struct ReplayFrame<'a> {
    /// Where it starts.
    pub position: WalPosition,
    /// The payload.
    pub payload: &'a [u8],
    /// Everything known durable from any valid frame of the whole log, also of later frames. The position of the
    /// log is the one known from the frame's own era.
    pub durable: &'a DurableMark,
}

/// What replay found.
#[derive(Clone, Debug, Default)]
pub struct ReplayReport {
    /// Frames shown.
    pub frames: u64,
    /// Bytes after the last good frame that were not zero padding.
    pub dropped_bytes: u64,
    /// Where and why the log ended early, for the info log. In mode `SkipCorrupted`, where it was first skipped.
    pub ended_early: Option<(WalPosition, String)>,
    /// The position after the last frame accepted; `None` if there was none.
    pub end: Option<WalPosition>,
}
