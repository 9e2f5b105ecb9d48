//! The integration tests: one binary, because each one more is linked on its own.

#![allow(clippy::disallowed_methods)] // Tests may touch files, threads and clocks directly.

mod corruption;
mod crash;
mod faults;
mod header;
mod interleave;
mod model;
mod scripts;
mod space;
mod support;
mod tidy;
