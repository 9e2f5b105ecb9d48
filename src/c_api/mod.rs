//! The C face of the engine: the only place with `extern "C"`, one file for each kind of handle.
//!
//! Names after the prefix, argument order, ownership and message prefixes are those of RocksDB's C API, so that
//! porting a program is renaming `rocksdb_` to `auradb_`. cbindgen turns these files into `include/auradb.h`;
//! the doc comments here are the manual there. Every function goes through `boundary`, which turns NULL into an
//! error, catches panics, and knows malloc. No macro defines a function, so that the header needs no compiler.
//!
//! Rules the caller keeps, and `SAFETY` comments refer to:
//! - **C1** A pointer with a length names that many readable bytes for the call; an array argument has as many
//!   elements as its count says; an out pointer is NULL or writable; a name is NUL-terminated.
//! - **C2** A handle is NULL or came from this library and was not destroyed. A handle that is changed (iterators,
//!   batches, options) is used by one thread at a time; databases, column families, snapshots and caches are not
//!   changed by their functions and may be shared freely.
//! - **C3** What a callback returns stays readable as its description says, and callbacks do not unwind.
//! - **C4** Callbacks and their state may be used from any thread, and from several at once.

#![allow(non_camel_case_types, reason = "C type names")]
#![allow(clippy::too_many_arguments, reason = "the argument lists are RocksDB's")]
#![allow(clippy::not_unsafe_ptr_arg_deref, reason = "only C calls these; rules C1-C4 are its side")]

mod boundary;
mod callbacks;
mod options;

mod batch;
mod column_family;
mod constants;
mod db;
mod env;
mod health;
mod indexed_batch;
mod indexed_reads;
mod iterator;
mod last_error;
mod library;
mod maintenance;
mod memory_usage;
mod multi_get;
mod packed;
mod properties;
mod read;
mod snapshot;
mod write;
