//! Empty on purpose: the dependency in Cargo.toml is what gets built (see `make rocksdb-current`).
