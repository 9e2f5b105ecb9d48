//! Framed, checksummed records appended to a file: what the write-ahead log and the manifest are made of.
//!
//! 1. `RecordWriter` appends a frame with one `write_at`: a header made on the stack, then the caller's pieces.
//! 2. `RecordReader` holds a file's bytes and walks the frames until the log ends or a frame is bad.
//! 3. `RecordReader::next_valid_after` looks for a later frame. For a log that is synced after every record, or
//!    up to a known mark, a later valid frame tells rot (bytes that were written and changed) from a torn tail.
//!    In a file that held other records (`RecordWriter::over`), zeros are put behind each, a salt is part of what they
//!    are bound to, and whatever else stands behind the last is the old records.
//! 4. `DurableFile` is the one way a log file is synced: failures stick (R6), concurrent syncs share one call.
//!
//! Invariants:
//! - F1 no frame passes at a place where it was not written: file number and offset are part of its checksum, so
//!   zero tails, recycled blocks, misdirected writes and copied files read as the end of the log or as bad.
//! - F2 decoding never panics, never allocates by a length it read, and does bounded work on hostile bytes.

mod durable_file;
mod format;
mod reader;
#[cfg(test)]
pub(crate) mod test_env;
#[cfg(test)]
mod tests;
mod writer;

pub use durable_file::DurableFile;
pub use format::{HEADER_LEN, MAX_PAYLOAD_LEN};
pub use reader::{ReadOutcome, RecordReader, changed_hands};
pub use writer::{RecordWriter, Way};
