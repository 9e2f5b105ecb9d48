//! AuraDB: a key-value storage engine with a C ABI. The two paths, which the folders show:
//!
//! ```text
//! write: c_api -> db -> batch -> write -> {value_log, wal} -> memtable -> flush -> sst -> compaction
//! read:  c_api -> db -> read -> memtable -> sst {filter, learned_index, block} -> value_log
//! ```
//!
//! Start reading at `db/mod.rs` (the engine's face), then `write/mod.rs` and `read/mod.rs`. On-disk formats live
//! in one `format.rs` for each file kind; `docs/format.md` is their map, `docs/architecture.md` the design.

// Tests may touch files and threads directly; the engine goes through `env` (see clippy.toml).
#![cfg_attr(test, allow(clippy::disallowed_methods))]

#[cfg(not(panic = "unwind"))]
compile_error!("the C boundary catches panics: build with panic = \"unwind\"");

pub mod base;
pub mod config;
pub mod env;

pub mod batch;
pub mod cache;
pub mod compaction;
pub mod db;
pub mod flush;
pub mod iterator;
pub mod memtable;
pub mod read;
pub mod record;
pub mod sst;
pub mod value_log;
pub mod version;
pub mod wal;
pub mod write;

mod c_api;
