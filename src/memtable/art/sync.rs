//! The atomics the tree is built from, in one place: whoever checks the synchronisation with a model of memory
//! exchanges them here.

pub(super) use super::super::sync::{AtomicPtr, AtomicU32, AtomicU64, Ordering, spin_loop, yield_now};
