//! k-way merge.
