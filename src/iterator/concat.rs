//! Files one after the other.
