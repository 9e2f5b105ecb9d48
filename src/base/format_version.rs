//! The format of everything on disk, as one number. A number is never reused and says what it allows.

/// What a database directory may contain. Stored in the manifest; a newer one than known is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum FormatVersion {
    /// The first: see docs/format.md.
    V1 = 1,
}

/// The version that new databases are written with.
pub const CURRENT_FORMAT: FormatVersion = FormatVersion::V1;

impl FormatVersion {
    /// The version with this number, if this build knows it.
    pub fn from_number(number: u32) -> Option<FormatVersion> {
        (number == 1).then_some(FormatVersion::V1)
    }
}
