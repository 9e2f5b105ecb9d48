//! What the lock-free structures synchronise with, in one place. The systematic tests compile the structures a second
//! time with a scheduler's versions of these (`systematic/sync.rs`).

pub(super) use std::hint::spin_loop;
pub(super) use std::sync::atomic::{
    AtomicPtr, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};
pub(super) use std::thread::yield_now;

/// Whether nodes hold so little that a few inserts split them.
pub(super) const SMALL_NODES: bool = false;
