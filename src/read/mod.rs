//! The read path below the engine's face: a view of one column family, point lookups, scans.
//!
//! A read takes a `ReadView` (memtables and tables that stay as they are while it is held), then the sequence number
//! to read at, in this order: what the view lacks was written after it. Newest source first: active memtable,
//! sealed memtables, level 0 newest run first, deeper levels.

pub mod ahead;
pub mod fold;
pub mod get;
pub mod pinned;
pub mod scan;
pub mod view;

pub use ahead::Scan;
pub use fold::FoldContext;
pub use pinned::PinnedValue;
pub use scan::{ScanBounds, ScanIterator};
pub use view::{ReadView, Tombstones};

/// How one read treats caches and devices.
#[derive(Clone, Copy, Debug)]
pub struct ReadMode {
    /// Keep what is read in the cache.
    pub fill_cache: bool,
    /// Go to the device if need be.
    pub allow_io: bool,
}
