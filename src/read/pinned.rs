//! A value that a read found, kept alive without a copy where it lies in a cached block or a value-log buffer.

use crate::sst::Pin;
use crate::value_log::ValueBytes;

/// The bytes of a value. Stays valid whatever is written, flushed or compacted meanwhile.
#[derive(Clone)]
pub enum PinnedValue {
    /// In a table block.
    Block(Pin),
    /// In a record of the value log.
    Separated(ValueBytes),
    /// Copied from a memtable, or made by a merge operator.
    Owned(Vec<u8>),
}

impl std::ops::Deref for PinnedValue {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            PinnedValue::Block(pin) => &pin.buffer[pin.range.clone()],
            PinnedValue::Separated(value) => &value.buffer[value.range.clone()],
            PinnedValue::Owned(bytes) => bytes,
        }
    }
}

impl std::fmt::Debug for PinnedValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PinnedValue({} bytes)", self.len())
    }
}
