//! Filters that tell which keys are certainly not in a table.

pub mod bloom;

pub use bloom::{BloomBuilder, BloomFilter};
