//! Knobs whose value is a number or a word, in JSON and in TOML alike. TOML has neither null nor numbers above
//! `i64::MAX`, and a knob that is left out is at its default, so "no limit" needs a spelling of its own.

use serde::de::{Deserializer, Error, Unexpected, Visitor};
use serde::ser::Serializer;
use std::fmt;

/// Accepts a number, or the word, which gives `None`.
struct NumberOrWord(&'static str);

impl<'de> Visitor<'de> for NumberOrWord {
    type Value = Option<u64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number or \"{}\"", self.0)
    }
    fn visit_u64<E: Error>(self, number: u64) -> Result<Option<u64>, E> {
        Ok(Some(number))
    }
    fn visit_i64<E: Error>(self, number: i64) -> Result<Option<u64>, E> {
        u64::try_from(number).map(Some).map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
    }
    fn visit_str<E: Error>(self, word: &str) -> Result<Option<u64>, E> {
        if word == self.0 { Ok(None) } else { Err(E::invalid_value(Unexpected::Str(word), &self)) }
    }
}

fn write<S: Serializer>(number: Option<u64>, word: &str, serializer: S) -> Result<S::Ok, S::Error> {
    match number {
        Some(number) => serializer.serialize_u64(number),
        None => serializer.serialize_str(word),
    }
}

/// `"none"` is `u64::MAX`: no value is that long.
pub(super) mod threshold {
    use super::*;

    pub fn serialize<S: Serializer>(threshold: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        write((*threshold != u64::MAX).then_some(*threshold), "none", serializer)
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        Ok(deserializer.deserialize_any(NumberOrWord("none"))?.unwrap_or(u64::MAX))
    }
}

/// `"none"` is no limit.
pub(super) mod limit {
    use super::*;

    pub fn serialize<S: Serializer>(limit: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
        write(*limit, "none", serializer)
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
        deserializer.deserialize_any(NumberOrWord("none"))
    }
}

/// `"cores"` is the number of cores of the machine that reads it, so that a written configuration can move.
pub(super) mod threads {
    use super::*;

    pub fn serialize<S: Serializer>(threads: &usize, serializer: S) -> Result<S::Ok, S::Error> {
        write((*threads != num_cpus::get()).then_some(*threads as u64), "cores", serializer)
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
        match deserializer.deserialize_any(NumberOrWord("cores"))? {
            Some(threads) => usize::try_from(threads).map_err(D::Error::custom),
            None => Ok(num_cpus::get()),
        }
    }
}
