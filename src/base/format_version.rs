//! The format of everything on disk, as one number. A number is never reused and says what it allows.

/// What a database directory may contain. Stored in the manifest; a newer one than known is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum FormatVersion {
    /// The first: see docs/format.md.
    V1 = 1,
    /// Entries may expire: kinds 0x41, 0x42 and 0x51 in logs and tables, what tables tell of them in the manifest.
    V2 = 2,
    /// Log files that held another log before: the header has a salt. No other file is written with this number, so a
    /// directory without such a log is still of the version before.
    V3 = 3,
}

/// The version that files are written with where nothing in them needs a later one.
pub const CURRENT_FORMAT: FormatVersion = FormatVersion::V2;

impl FormatVersion {
    /// The version with this number, if this build knows it.
    pub fn from_number(number: u32) -> Option<FormatVersion> {
        match number {
            1 => Some(FormatVersion::V1),
            2 => Some(FormatVersion::V2),
            3 => Some(FormatVersion::V3),
            _ => None,
        }
    }
}
