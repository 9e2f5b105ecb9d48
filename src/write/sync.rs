//! What the order of publication synchronises with, in one place. The systematic tests compile it a second time with a
//! scheduler's versions of these (`systematic.rs`).

pub(super) use std::hint::spin_loop;
pub(super) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
pub(super) use std::thread::yield_now;

/// Groups between their ticket and the end of their insertion; one a thread, so more than enough.
pub(super) const PLACES: usize = 256;
