//! Data blocks: entries that can be addressed by slot, in two columns. See `format`.

pub mod builder;
pub mod format;
pub mod iter;

pub use builder::BlockBuilder;
pub use format::Block;
pub use iter::{BlockCursor, Target};
