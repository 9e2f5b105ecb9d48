//! The write path between a batch and the memtables.
//!
//! 1. `throttle`: a writer waits or is slowed when flushes or compactions are behind.
//! 2. `separate`: values of at least the threshold go to the value log, outside every lock; the batch then carries
//!    pointers (the WAL never stores a value that the value log stores).
//! 3. `commit`: one thread at a time takes sequence numbers and appends to the WAL; many insert into the memtables
//!    (`families`) at once.
//!    `log_ahead` makes ready what the log needs next, in a thread of its own.
//! 4. `publish`: makes batches visible whole and in the order of their sequence numbers.
//! 5. `durability`: syncs the value log, then the WAL (W1), once for all who wait; calls back for asynchronous writes.
//!    `gather` decides how long a sync waits for those who are about to come.
//!
//! Invariant W1 (value before pointer): no WAL sync covers a pointer whose value is not yet synced.
//! Invariant W4 (order of visibility): a write becomes visible only after every write before it, and a write that
//! asked for durability only after it is durable.

mod callback;
pub mod commit;
pub mod durability;
pub mod families;
pub mod few;
mod gather;
mod log_ahead;
mod publish;
#[cfg(test)]
mod publish_tests;
pub mod separate;
pub mod stats;
mod sync;
#[cfg(test)]
mod systematic;
#[cfg(test)]
mod testing;
pub mod throttle;

pub use callback::Callback;
pub use commit::{CommitState, Committer, Owner, WalSettings};
pub use durability::Durability;
pub use families::FamilyTarget;
pub use few::Few;
pub use separate::{Prepared, Separator};
pub use throttle::Throttle;
