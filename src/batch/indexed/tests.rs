//! The index against a plain list of operations.

use super::*;
use crate::base::Comparator;
use std::cmp::Ordering;
use std::collections::BTreeSet;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
    fn key(&mut self) -> Vec<u8> {
        let len = 1 + self.below(3);
        (0..len).map(|_| b'a' + self.below(4) as u8).collect()
    }
}

struct Backwards;

impl Comparator for Backwards {
    fn name(&self) -> &str {
        "backwards"
    }
    fn compare(&self, a: &[u8], b: &[u8]) -> Ordering {
        b.cmp(a)
    }
}

#[derive(Clone, Debug)]
enum Operation {
    Put(Vec<u8>, Vec<u8>),
    Delete(Vec<u8>),
    Merge(Vec<u8>, Vec<u8>),
    DeleteRange(Vec<u8>, Vec<u8>),
}

/// What the operations say of a key, from the newest to the oldest.
fn expected<'a>(operations: &'a [Operation], key: &[u8], order: &InternalComparator) -> Answer<'a> {
    let mut answer = Answer::default();
    for operation in operations.iter().rev() {
        answer.base = match operation {
            Operation::Put(at, value) if at == key => Base::Value(value),
            Operation::Delete(at) if at == key => Base::Deleted,
            Operation::Merge(at, operand) if at == key => {
                answer.operands.insert(0, operand);
                continue;
            }
            Operation::DeleteRange(start, end)
                if order.compare_user(start, key).is_le() && order.compare_user(key, end).is_lt() =>
            {
                Base::Deleted
            }
            _ => continue,
        };
        break;
    }
    answer
}

fn check(batch: &IndexedBatch, family: u32, operations: &[Operation], order: &InternalComparator, seed: u64) {
    let mut keys: Vec<&Vec<u8>> = operations
        .iter()
        .filter_map(|operation| match operation {
            Operation::Put(key, _) | Operation::Delete(key) | Operation::Merge(key, _) => Some(key),
            Operation::DeleteRange(..) => None,
        })
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    keys.sort_by(|a, b| order.compare_user(a, b));
    let mut walked = Vec::new();
    let mut position = batch.first(family);
    while let Some(at) = position {
        walked.push(batch.key(family, at).to_vec());
        position = batch.next(family, at);
    }
    assert!(walked.iter().eq(keys.iter().copied()), "seed {seed}: {walked:?}, expected {keys:?}");
    let name = |position: Option<Position>| position.map(|at| batch.key(family, at).to_vec());
    assert_eq!(name(batch.last(family)), keys.last().map(|key| key.to_vec()), "seed {seed}");
    let mut random = Random(seed + 77);
    for _ in 0..20 {
        let key = random.key();
        assert_eq!(
            batch.look_up(family, &key),
            expected(operations, &key, order),
            "seed {seed}, key {key:?}"
        );
        let up = |least: Ordering| {
            keys.iter().find(|at| order.compare_user(at, &key) >= least).map(|at| at.to_vec())
        };
        let down = |most: Ordering| {
            keys.iter().rfind(|at| order.compare_user(at, &key) <= most).map(|at| at.to_vec())
        };
        assert_eq!(name(batch.at_or_after(family, &key)), up(Ordering::Equal), "seed {seed}");
        assert_eq!(name(batch.after(family, &key)), up(Ordering::Greater), "seed {seed}");
        assert_eq!(name(batch.at_or_before(family, &key)), down(Ordering::Equal), "seed {seed}");
        assert_eq!(name(batch.before(family, &key)), down(Ordering::Less), "seed {seed}");
    }
}

#[test]
fn lookups_and_steps_are_those_of_the_list_of_operations() {
    for seed in 1..=60u64 {
        let mut random = Random(seed);
        let mut batch = IndexedBatch::new(0, seed % 2 == 0);
        let backwards = InternalComparator::new(Arc::new(Backwards));
        let orders = [InternalComparator::default(), backwards];
        // The order of the second family is named late in some rounds: the index is made anew then.
        if seed % 3 == 0 {
            batch.set_order(7, &orders[1]);
        }
        let mut operations = [Vec::new(), Vec::new()];
        let mut saved: Vec<[Vec<Operation>; 2]> = Vec::new();
        for _ in 0..150 {
            let which = random.below(2) as usize;
            let (family, list) = ([0, 7][which], &mut operations[which]);
            let (key, value) = (random.key(), random.key());
            match random.below(40) {
                0..=15 => {
                    batch.put(family, &key, &value).unwrap();
                    list.push(Operation::Put(key, value));
                }
                16..=21 => {
                    batch.delete(family, &key).unwrap();
                    list.push(Operation::Delete(key));
                }
                22..=23 => {
                    batch.single_delete(family, &key).unwrap();
                    list.push(Operation::Delete(key));
                }
                24..=31 => {
                    batch.merge(family, &key, &value).unwrap();
                    list.push(Operation::Merge(key, value));
                }
                32..=34 => {
                    batch.delete_range(family, &key, &value).unwrap();
                    list.push(Operation::DeleteRange(key, value));
                }
                35 => batch.put_log_data(&value).unwrap(),
                36..=37 => {
                    batch.set_save_point();
                    saved.push(operations.clone());
                }
                38 => match saved.pop() {
                    Some(state) => {
                        batch.rollback_to_save_point().unwrap();
                        operations = state;
                    }
                    None => assert!(batch.rollback_to_save_point().unwrap_err().is_not_found()),
                },
                _ => assert_eq!(batch.pop_save_point().is_ok(), saved.pop().is_some()),
            }
        }
        batch.set_order(7, &orders[1]);
        check(&batch, 0, &operations[0], &orders[0], seed);
        check(&batch, 7, &operations[1], &orders[1], seed);
        assert_eq!(batch.look_up(9, b"a"), Answer::default());
        batch.clear();
        check(&batch, 7, &[], &orders[1], seed);
        assert_eq!((batch.batch().count(), batch.indexed_updates()), (0, 0));
    }
}

#[test]
fn with_overwriting_the_index_forgets_what_is_void() {
    for (overwrite, remembered) in [(true, 3), (false, 6)] {
        let mut batch = IndexedBatch::new(0, overwrite);
        for value in [b"1", b"2", b"3", b"4"] {
            batch.put(0, b"key", value).unwrap();
        }
        batch.merge(0, b"key", b"5").unwrap();
        batch.delete(0, b"other").unwrap();
        assert_eq!(batch.batch().count(), 6, "the batch keeps all");
        let answer = Answer { operands: vec![b"5"], base: Base::Value(b"4") };
        assert_eq!(batch.look_up(0, b"key"), answer);
        assert_eq!(batch.indexed_updates(), remembered);
    }
}
