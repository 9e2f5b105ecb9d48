//! Compares what a database shows with what it should hold.

use super::reference::{FamilyState, show};
use auradb::db::{ColumnFamily, Db, DbIterator, ReadOptions};

/// Keys and values, as read.
pub type Entries = Vec<(Vec<u8>, Vec<u8>)>;

/// The whole family by a scan forwards.
pub fn scan(db: &Db, family: &ColumnFamily, options: &ReadOptions) -> Result<Entries, String> {
    let mut iterator = db.iterator(family, options).map_err(|error| format!("iterator: {error}"))?;
    let mut found = Vec::new();
    iterator.seek_to_first();
    while iterator.valid() {
        let key = iterator.key().to_vec();
        let value = iterator.value().to_vec();
        iterator.status().map_err(|error| format!("value of {} in a scan: {error}", show(&key)))?;
        found.push((key, value));
        iterator.next();
    }
    iterator.status().map_err(|error| format!("scan: {error}"))?;
    Ok(found)
}

/// The same backwards, and as a scan that keeps nothing in the cache: such a one reads values together.
pub fn scan_back(db: &Db, family: &ColumnFamily, options: &ReadOptions) -> Result<Entries, String> {
    let options = ReadOptions { fill_cache: false, ..options.clone() };
    let mut iterator = db.iterator(family, &options).map_err(|error| format!("iterator: {error}"))?;
    let mut found = Vec::new();
    iterator.seek_to_last();
    while iterator.valid() {
        let key = iterator.key().to_vec();
        let value = iterator.value().to_vec();
        iterator.status().map_err(|error| format!("value of {} in a scan: {error}", show(&key)))?;
        found.push((key, value));
        iterator.prev();
    }
    iterator.status().map_err(|error| format!("scan back: {error}"))?;
    found.reverse();
    Ok(found)
}

/// Both scans and a get of each key of `universe` must show exactly `expected`.
pub fn family_is<'a>(
    db: &Db,
    family: &ColumnFamily,
    expected: &FamilyState,
    options: &ReadOptions,
    universe: impl Iterator<Item = &'a [u8]>,
) -> Result<(), String> {
    let wrong = |what: String| format!("family {}: {what}", family.name());
    same(&scan(db, family, options)?, expected).map_err(|what| wrong(format!("scan: {what}")))?;
    same(&scan_back(db, family, options)?, expected).map_err(|what| wrong(format!("scan back: {what}")))?;
    for key in universe {
        let found =
            db.get(family, key, options).map_err(|error| wrong(format!("get {}: {error}", show(key))))?;
        equal(key, found.as_deref(), expected.get(key).map(|value| &**value)).map_err(wrong)?;
    }
    Ok(())
}

/// What a scan found must be what is expected.
pub fn same(found: &[(Vec<u8>, Vec<u8>)], expected: &FamilyState) -> Result<(), String> {
    let mut wanted = expected.entries.iter();
    for (key, value) in found {
        match wanted.next() {
            Some((other, _)) if *other.bytes != key[..] => {
                return Err(format!("shows {} where {} comes next", show(key), show(&other.bytes)));
            }
            Some((_, other)) if **other != value[..] => {
                return Err(format!("shows {} = {}, expected {}", show(key), show(value), show(other)));
            }
            Some(_) => {}
            None => return Err(format!("shows {} = {} behind the last", show(key), show(value))),
        }
    }
    match wanted.next() {
        Some((key, value)) => Err(format!("lacks {} = {}", show(&key.bytes), show(value))),
        None => Ok(()),
    }
}

pub fn equal(key: &[u8], found: Option<&[u8]>, expected: Option<&[u8]>) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    let say = |value: Option<&[u8]>| value.map_or("nothing".to_string(), show);
    Err(format!("key {}: found {}, expected {}", show(key), say(found), say(expected)))
}

/// Where an iterator stands must be `expected`.
pub fn stands_at(iterator: &mut DbIterator, expected: Option<(&[u8], &[u8])>) -> Result<(), String> {
    iterator.status().map_err(|error| format!("status: {error}"))?;
    let place = iterator.valid().then(|| (iterator.key().to_vec(), iterator.value().to_vec()));
    iterator.status().map_err(|error| format!("status after value: {error}"))?;
    let found = place.as_ref().map(|(key, value)| (&key[..], &value[..]));
    if found == expected {
        return Ok(());
    }
    let say = |at: Option<(&[u8], &[u8])>| {
        at.map_or("nowhere".to_string(), |(key, value)| format!("at {} = {}", show(key), show(value)))
    };
    Err(format!("iterator stands {}, expected {}", say(found), say(expected)))
}
