//! The atomics of `memtable/sync.rs`, with a point before each operation where the scheduler may let another thread go
//! on. Outside `explore` they are what they are in the library.
//!
//! They have the size and the layout of the real ones. All orderings are obeyed, but on one processor: what is
//! explored is every order of operations, not what weaker processors make of `Relaxed`.

use std::cell::RefCell;
pub(in crate::memtable) use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, atomic};

/// Four entries fill a node.
pub(in crate::memtable) const SMALL_NODES: bool = true;

thread_local! {
    /// What the scheduler watches: an operation on it is a point where threads may take turns. All threads of a run are
    /// coroutines of one.
    static POINT: RefCell<Option<Arc<shuttle::sync::atomic::AtomicBool>>> = const { RefCell::new(None) };
}

/// Runs `body`, inside a run of the scheduler, with points.
pub(super) fn with_points(body: impl FnOnce()) {
    struct Reset;
    impl Drop for Reset {
        fn drop(&mut self) {
            POINT.set(None);
        }
    }
    POINT.set(Some(Arc::new(shuttle::sync::atomic::AtomicBool::new(false))));
    let _reset = Reset;
    body();
}

/// Runs `body` without points: where there is one thread, there is nothing to explore.
pub(super) fn without_points(body: impl FnOnce()) {
    let points = POINT.take();
    body();
    POINT.set(points);
}

fn point() {
    let point = POINT.with_borrow(Option::clone);
    if let Some(point) = point {
        point.load(Ordering::SeqCst);
    }
}

/// Where a thread waits for another.
pub(in crate::memtable) fn yield_now() {
    if POINT.with_borrow(Option::is_some) { shuttle::thread::yield_now() } else { std::thread::yield_now() }
}

/// As `yield_now`: whoever spins needs another thread to go on.
pub(in crate::memtable) fn spin_loop() {
    yield_now();
}

macro_rules! atomic_with_points {
    ($name:ident $(<$parameter:ident>)?, $value:ty) => {
        #[repr(transparent)]
        pub(in crate::memtable) struct $name$(<$parameter>)?(atomic::$name$(<$parameter>)?);

        #[allow(dead_code, reason = "not every type needs every operation")]
        impl$(<$parameter>)? $name$(<$parameter>)? {
            pub(in crate::memtable) const fn new(value: $value) -> Self {
                Self(atomic::$name::new(value))
            }

            pub(in crate::memtable) fn load(&self, ordering: Ordering) -> $value {
                point();
                self.0.load(ordering)
            }

            pub(in crate::memtable) fn store(&self, value: $value, ordering: Ordering) {
                point();
                self.0.store(value, ordering);
            }

            pub(in crate::memtable) fn compare_exchange(
                &self,
                expected: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                point();
                self.0.compare_exchange(expected, new, success, failure)
            }

            pub(in crate::memtable) fn compare_exchange_weak(
                &self,
                expected: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.compare_exchange(expected, new, success, failure)
            }
        }
    };
}

atomic_with_points!(AtomicPtr<T>, *mut T);
atomic_with_points!(AtomicU16, u16);
atomic_with_points!(AtomicU32, u32);
atomic_with_points!(AtomicU64, u64);
atomic_with_points!(AtomicUsize, usize);

impl AtomicUsize {
    pub(in crate::memtable) fn fetch_add(&self, value: usize, ordering: Ordering) -> usize {
        point();
        self.0.fetch_add(value, ordering)
    }
}
