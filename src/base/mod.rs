//! What every other module stands on: errors, keys, order, byte coding, checksums, codecs, file names.
//! Nothing here touches the operating system and nothing here knows another module of the crate.

pub mod checksum;
pub mod coding;
pub mod comparator;
pub mod compression;
pub mod error;
pub mod expiry;
pub mod extension;
pub mod file_name;
pub mod format_version;
pub mod key;
pub mod memory;
pub mod range_tombstone;
pub mod value_pointer;

pub use comparator::{BytewiseComparator, Comparator, InternalComparator, SliceTransform};
pub use compression::Codec;
pub use error::{Error, ErrorKind, Result};
pub use key::{EntryKind, InternalKey, ParsedKey, SequenceNumber};
pub use value_pointer::ValuePointer;
