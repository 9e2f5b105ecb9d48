//! What an asynchronous write is told, and how.

use crate::base::error::Subcode;
use crate::base::{Error, ErrorKind, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What an asynchronous write is told when it is durable, or never will be.
pub type Callback = Box<dyn FnOnce(Result<()>) + Send>;

/// Calls back. A panic in a callback must not end the thread, or the close, that others wait for.
pub(super) fn call(callback: Callback, outcome: Result<()>) {
    let _ = catch_unwind(AssertUnwindSafe(|| callback(outcome)));
}

/// Nobody will know before the next open.
pub(super) fn closed() -> Error {
    let message =
        "the database was closed before the write was synced: the next open knows whether it is durable";
    Error::new(ErrorKind::ShutdownInProgress, message).with_subcode(Subcode::SyncUnknown)
}
