//! The integration tests: one binary, because each one more is linked on its own.

mod header;
mod tidy;
