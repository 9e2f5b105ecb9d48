//! Skip list.
