//! What the judgement of a history asks of its surroundings: whether the tables below have older versions of a key, and
//! what stands in the value log.

use crate::base::{Result, ValuePointer};
use crate::value_log::{ValueBytes, ValueLog};

/// Tells whether older versions of a key may exist below the merge's inputs. Asked with ascending keys.
pub trait OlderVersions {
    /// False only if there are none.
    fn may_exist(&mut self, user_key: &[u8]) -> bool;
}

/// Older versions may always exist: a flush.
pub struct MayExist;

impl OlderVersions for MayExist {
    fn may_exist(&mut self, _user_key: &[u8]) -> bool {
        true
    }
}

/// Where separated values are read when a filter or merge needs them.
pub trait Values {
    /// The value of `user_key`, verified.
    fn read(&self, pointer: &ValuePointer, user_key: &[u8]) -> Result<ValueBytes>;
}

/// The values of one column family in the value log.
pub struct LoggedValues<'a> {
    /// The value log.
    pub log: &'a ValueLog,
    /// The column family, to verify the values.
    pub column_family: u32,
}

impl Values for LoggedValues<'_> {
    fn read(&self, pointer: &ValuePointer, user_key: &[u8]) -> Result<ValueBytes> {
        self.log.read(pointer, self.column_family, user_key, false, true)
    }
}
