//! The one error type of the engine: a coarse kind that callers act on, and rich context that people read.
//!
//! The kind's text before the first `:` is API (clients of RocksDB's C API map it back to a kind); the rest
//! of the message is for people and says what to do. Errors are cloneable because one failed group commit
//! has many waiters and an iterator keeps its status.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The result of every fallible operation in the engine.
pub type Result<T> = std::result::Result<T, Error>;

/// What class of failure it was. The display text of each is fixed: it is what C callers match on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ErrorKind {
    /// The key, column family, snapshot or file asked for is not there.
    NotFound = 1,
    /// Bytes on disk are not what was written, or files contradict each other.
    Corruption = 2,
    /// The request names something this version does not do.
    NotImplemented = 3,
    /// The request itself is wrong; nothing was changed.
    InvalidArgument = 4,
    /// The operating system refused; `errno` tells how.
    Io = 5,
    /// A merge operator is needed to finish and is working elsewhere.
    MergeInProgress = 6,
    /// The answer would need I/O that the caller forbade (read tier) or a budget ran out.
    Incomplete = 7,
    /// The database is closing.
    ShutdownInProgress = 8,
    /// A wait took longer than the caller allows.
    TimedOut = 9,
    /// The operation was given up, by a cancel or a failed group.
    Aborted = 10,
    /// A lock or another user is in the way; trying again later can work.
    Busy = 11,
    /// A snapshot or lock outlived its time.
    Expired = 12,
    /// The state changed underneath; the same call may work if made again.
    TryAgain = 13,
    /// A compaction asked for more than the limit allows.
    CompactionTooLarge = 14,
    /// The column family was dropped.
    ColumnFamilyDropped = 15,
    /// A defect of the engine (a caught panic); the database turned read-only.
    Internal = 16,
}

impl ErrorKind {
    /// The fixed text that starts a message of this kind.
    pub fn prefix(self) -> &'static str {
        match self {
            ErrorKind::NotFound => "NotFound: ",
            ErrorKind::Corruption => "Corruption: ",
            ErrorKind::NotImplemented => "Not implemented: ",
            ErrorKind::InvalidArgument => "Invalid argument: ",
            ErrorKind::Io => "IO error: ",
            ErrorKind::MergeInProgress => "Merge in progress: ",
            ErrorKind::Incomplete => "Result incomplete: ",
            ErrorKind::ShutdownInProgress => "Shutdown in progress: ",
            ErrorKind::TimedOut => "Operation timed out: ",
            ErrorKind::Aborted => "Operation aborted: ",
            ErrorKind::Busy => "Resource busy: ",
            ErrorKind::Expired => "Operation expired: ",
            ErrorKind::TryAgain => "Operation failed. Try again.: ",
            ErrorKind::CompactionTooLarge => "Compaction too large: ",
            ErrorKind::ColumnFamilyDropped => "Column family dropped: ",
            ErrorKind::Internal => "Internal error: ",
        }
    }
}

/// A finer reason inside a kind, for callers that act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum Subcode {
    /// Nothing finer is known.
    #[default]
    None = 0,
    /// The device is full (ENOSPC, EDQUOT).
    NoSpace = 1,
    /// Another process, or this one, has the database open.
    Locked = 2,
    /// The database refuses writes after an earlier failure; `auradb_health` tells which.
    ReadOnly = 3,
    /// A sync failed: whether the write is durable is not known until the next open.
    SyncUnknown = 4,
    /// A file the database needs is not there.
    MissingFile = 5,
    /// The file was written by a newer version.
    NewerFormat = 6,
    /// A C callback or the merge operator reported failure.
    Callback = 7,
    /// A panic was caught.
    Panic = 8,
}

#[derive(Clone, Debug)]
struct Inner {
    kind: ErrorKind,
    subcode: Subcode,
    errno: Option<i32>,
    file: Option<PathBuf>,
    offset: Option<u64>,
    message: String,
}

/// A failure with its context. One word wide and cheap to clone.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

impl Error {
    /// An error of `kind` with a message that says what to do.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error(Arc::new(Inner {
            kind,
            subcode: Subcode::None,
            errno: None,
            file: None,
            offset: None,
            message: message.into(),
        }))
    }

    /// Bytes at `offset` of `file` are not what was written.
    pub fn corruption(file: &Path, offset: u64, message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Corruption, message).at(file, offset)
    }

    /// The caller's argument is wrong.
    pub fn invalid_argument(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::InvalidArgument, message)
    }

    /// The request is for something this version does not do.
    pub fn not_implemented(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::NotImplemented, message)
    }

    /// What was asked for is not there.
    pub fn not_found(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::NotFound, message)
    }

    /// The operating system refused `action` (a verb: "open", "write", "sync") on `file`.
    pub fn io(file: &Path, action: &str, source: &io::Error) -> Self {
        let errno = source.raw_os_error();
        let subcode = match errno {
            Some(libc::ENOSPC) | Some(libc::EDQUOT) => Subcode::NoSpace,
            Some(libc::ENOENT) => Subcode::MissingFile,
            _ => Subcode::None,
        };
        let mut message = format!("{action}: {source}");
        if subcode == Subcode::NoSpace {
            message.push_str("; free space on this file system, then call resume or reopen");
        }
        Error(Arc::new(Inner {
            kind: ErrorKind::Io,
            subcode,
            errno,
            file: Some(file.to_path_buf()),
            offset: None,
            message,
        }))
    }

    /// The same error with a file and a byte offset attached.
    pub fn at(self, file: &Path, offset: u64) -> Self {
        self.change(|inner| {
            inner.file = Some(file.to_path_buf());
            inner.offset = Some(offset);
        })
    }

    /// The same error with a file attached.
    pub fn in_file(self, file: &Path) -> Self {
        self.change(|inner| inner.file = Some(file.to_path_buf()))
    }

    /// The same error with a finer reason.
    pub fn with_subcode(self, subcode: Subcode) -> Self {
        self.change(|inner| inner.subcode = subcode)
    }

    /// The same error, its message led by what was being done.
    pub fn context(self, doing: impl fmt::Display) -> Self {
        self.change(|inner| inner.message = format!("{doing}: {}", inner.message))
    }

    fn change(mut self, how: impl FnOnce(&mut Inner)) -> Self {
        how(Arc::make_mut(&mut self.0));
        self
    }

    /// The class of the failure.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }
    /// The finer reason.
    pub fn subcode(&self) -> Subcode {
        self.0.subcode
    }
    /// The operating system's number, where it was its refusal.
    pub fn errno(&self) -> Option<i32> {
        self.0.errno
    }
    /// The file concerned.
    pub fn file(&self) -> Option<&Path> {
        self.0.file.as_deref()
    }
    /// The byte offset in the file concerned.
    pub fn offset(&self) -> Option<u64> {
        self.0.offset
    }
    /// The message without kind, file and offset.
    pub fn message(&self) -> &str {
        &self.0.message
    }
    /// True for `NotFound`.
    pub fn is_not_found(&self) -> bool {
        self.kind() == ErrorKind::NotFound
    }
    /// True for `Corruption`.
    pub fn is_corruption(&self) -> bool {
        self.kind() == ErrorKind::Corruption
    }
    /// True where the same call may succeed later without anything being repaired.
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind(), ErrorKind::Busy | ErrorKind::TryAgain | ErrorKind::TimedOut)
            || self.subcode() == Subcode::NoSpace
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind().prefix())?;
        if let Some(file) = self.file() {
            write!(f, "{}", file.display())?;
            if let Some(offset) = self.offset() {
                write!(f, " @ {offset}")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(self.message())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_begins_with_kind_then_place() {
        let error = Error::corruption(Path::new("000012.sst"), 4096, "block checksum: got 1, expected 2");
        assert_eq!(error.to_string(), "Corruption: 000012.sst @ 4096: block checksum: got 1, expected 2");
        assert!(error.is_corruption());
    }

    #[test]
    fn enospc_is_told_apart_and_says_what_to_do() {
        let error = Error::io(Path::new("x.log"), "write", &io::Error::from_raw_os_error(libc::ENOSPC));
        assert_eq!(error.subcode(), Subcode::NoSpace);
        assert_eq!(error.errno(), Some(libc::ENOSPC));
        assert!(error.is_retryable() && error.to_string().contains("free space"));
    }

    #[test]
    fn one_word_wide() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
        assert_eq!(size_of::<Result<()>>(), size_of::<usize>());
    }
}
