//! The built-in merge operator that adds 64-bit counters.

use crate::base::extension::MergeOperator;

/// Adds little-endian 64-bit integers, wrapping around. As RocksDB's, it takes a value of another length for 0.
pub struct Uint64Add;

fn number(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_le_bytes)
}

fn sum(start: u64, operands: &[&[u8]]) -> Vec<u8> {
    let total = operands.iter().fold(start, |total, operand| total.wrapping_add(number(operand)));
    total.to_le_bytes().to_vec()
}

impl MergeOperator for Uint64Add {
    fn name(&self) -> &str {
        "UInt64AddOperator"
    }
    fn full_merge(&self, _key: &[u8], existing: Option<&[u8]>, operands: &[&[u8]]) -> Option<Vec<u8>> {
        Some(sum(existing.map_or(0, number), operands))
    }
    fn partial_merge(&self, _key: &[u8], operands: &[&[u8]]) -> Option<Vec<u8>> {
        Some(sum(0, operands))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_add_up_in_any_grouping() {
        let [one, two, bad] = [1u64.to_le_bytes().to_vec(), 2u64.to_le_bytes().to_vec(), b"bad".to_vec()];
        let all = Uint64Add.full_merge(b"k", Some(&one), &[&two, &bad, &two]).unwrap();
        let part = Uint64Add.partial_merge(b"k", &[&two, &bad, &two]).unwrap();
        assert_eq!(all, Uint64Add.full_merge(b"k", Some(&one), &[&part]).unwrap());
        assert_eq!(number(&all), 5);
        assert_eq!(number(&Uint64Add.full_merge(b"k", None, &[&two]).unwrap()), 2);
    }
}
