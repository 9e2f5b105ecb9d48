//! The atomics the tree is built from, in one place: whoever checks the synchronisation with a model of memory
//! exchanges them here.

pub(super) use std::hint::spin_loop;
pub(super) use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
pub(super) use std::thread::yield_now;
