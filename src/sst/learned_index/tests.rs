//! Codes keep the order of keys, predictions stay within the measured error, and damage is harmless.

use super::*;
use crate::base::coding::put_varint;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % bound
    }
}

fn builder_of(keys: &[Vec<u8>]) -> KeyCodeBuilder {
    let mut builder = KeyCodeBuilder::default();
    keys.iter().for_each(|key| builder.add(key));
    builder
}

fn random_keys(random: &mut Random, count: u64) -> Vec<Vec<u8>> {
    let alphabet: &[u8] =
        [&b"01"[..], b"0123456789abcdef", &[0, 1, 255], b"\0ab", &[]][random.below(5) as usize];
    let prefix = vec![b'p'; random.below(20) as usize];
    let longest = 1 + random.below(30);
    let mut keys: Vec<Vec<u8>> = (0..count)
        .map(|_| {
            let mut key = prefix.clone();
            for _ in 0..random.below(longest + 1) {
                let any = random.below(256) as u8;
                key.push(if alphabet.is_empty() {
                    any
                } else {
                    alphabet[random.below(alphabet.len() as u64) as usize]
                });
            }
            key
        })
        .collect();
    keys.sort();
    keys
}

/// A number for any key that keeps the order of `KeyCode::code`'s results.
fn rank(code: &KeyCode, key: &[u8]) -> i128 {
    match code.code(key) {
        Ok(code) => code.into(),
        Err(outside) if outside.is_lt() => -1,
        Err(_) => 1 << 64,
    }
}

#[test]
fn codes_keep_the_order_of_all_keys() {
    for seed in 0..300 {
        let mut random = Random(seed);
        let keys = random_keys(&mut random, 60);
        let mut builder = builder_of(&keys);
        let (code, codes) = builder.finish().unwrap();
        let mut expected: Vec<(u64, u64)> =
            keys.iter().zip(0..).map(|(key, ordinal)| (code.code(key).unwrap(), ordinal)).collect();
        expected.dedup_by_key(|(code, _)| *code);
        assert_eq!(codes.points().collect::<Vec<_>>(), expected, "seed {seed}: stored codes of {keys:?}");
        assert_eq!((codes.count(), codes.different), (keys.len() as u64, expected.len() as u64));
        let mut all = keys;
        all.extend(random_keys(&mut random, 60));
        for at in 0..all.len() {
            let mut changed = all[at].clone();
            let len = changed.len();
            if let Some(byte) = changed.get_mut(random.below(1 + len as u64) as usize) {
                *byte = random.below(256) as u8;
            }
            all.push(changed);
            all.push(all[at][..random.below(1 + len as u64) as usize].to_vec());
        }
        all.sort();
        for pair in all.windows(2) {
            assert!(rank(&code, &pair[0]) <= rank(&code, &pair[1]), "seed {seed}: {pair:?}");
        }
    }
}

#[test]
fn numbers_written_as_text_become_numbers() {
    let decimal: Vec<Vec<u8>> =
        (0..100_000u64).step_by(7).map(|n| format!("id{n:019}").into_bytes()).collect();
    let hex: Vec<Vec<u8>> = (0..20_000u64).map(|n| format!("{:016x}", n << 40).into_bytes()).collect();
    let binary: Vec<Vec<u8>> = (0..20_000u64).map(|n| n.to_be_bytes().to_vec()).collect();
    for keys in [decimal, hex, binary] {
        let model = LearnedIndex::learn(&mut builder_of(&keys)).unwrap();
        assert!(model.segments() <= 4 && model.error() <= 32, "{} segments", model.segments());
    }
}

#[test]
fn predictions_stay_within_the_measured_error() {
    let mut learned = 0;
    for seed in 0..60 {
        let mut random = Random(seed);
        let mut keys = random_keys(&mut random, 3000);
        if seed % 2 == 0 {
            keys.dedup();
        }
        let Some(model) = LearnedIndex::learn(&mut builder_of(&keys)) else { continue };
        learned += 1;
        let mut encoded = Vec::new();
        model.encode(&mut encoded);
        assert_eq!(LearnedIndex::decode(&encoded, keys.len() as u64).as_ref(), Some(&model), "seed {seed}");
        let mut first_of_code = 0;
        for (ordinal, key) in keys.iter().enumerate() {
            if ordinal > 0 && model.code.code(&keys[ordinal - 1]) != model.code.code(key) {
                first_of_code = ordinal as u64;
            }
            let Prediction { low, high, .. } = model.predict(key);
            assert!(
                (low..=high).contains(&first_of_code),
                "seed {seed}: {first_of_code} not in {low}..={high}"
            );
        }
    }
    assert!(learned > 10, "{learned} sets were worth a model");
}

#[test]
fn useless_models_are_dropped() {
    let few: Vec<Vec<u8>> = (0..200u32).map(|n| n.to_be_bytes().to_vec()).collect();
    assert!(LearnedIndex::learn(&mut builder_of(&few)).is_none(), "tiny table");
    let mut ties: Vec<Vec<u8>> =
        (0..2000u32).map(|n| [&[b'a' + (n % 2) as u8; 40][..], &n.to_be_bytes()].concat()).collect();
    ties.sort();
    assert!(LearnedIndex::learn(&mut builder_of(&ties)).is_none(), "keys differ only far behind");
    let versions: Vec<Vec<u8>> = (0..5000u32).map(|n| (n / 5).to_be_bytes().to_vec()).collect();
    assert!(LearnedIndex::learn(&mut builder_of(&versions)).is_none(), "five versions of each key");
    let jagged: Vec<Vec<u8>> =
        (0..4096u64).map(|n| ((1u64 << (n / 70)) | (n % 70)).to_be_bytes().to_vec()).collect();
    let mut jagged = jagged;
    jagged.sort();
    jagged.dedup();
    if let Some(model) = LearnedIndex::learn(&mut builder_of(&jagged)) {
        assert!(model.segments() as u64 * MIN_ENTRIES_PER_SEGMENT <= jagged.len() as u64);
    }
    assert!(LearnedIndex::learn(&mut KeyCodeBuilder::default()).is_none());
}

#[test]
fn damaged_models_are_none_or_harmless() {
    let mut random = Random(3);
    let keys: Vec<Vec<u8>> = {
        let mut keys: Vec<Vec<u8>> =
            (0..2000).map(|_| format!("k{:09}", random.below(1 << 29)).into_bytes()).collect();
        keys.sort();
        keys
    };
    let entries = keys.len() as u64;
    let mut encoded = Vec::new();
    LearnedIndex::learn(&mut builder_of(&keys)).unwrap().encode(&mut encoded);
    assert!(LearnedIndex::decode(&encoded, entries + 1).is_none());
    for len in 0..encoded.len() {
        assert!(LearnedIndex::decode(&encoded[..len], entries).is_none());
    }
    for at in 0..encoded.len() {
        for flip in [1, 0x80, 0xff] {
            let mut bad = encoded.clone();
            bad[at] ^= flip;
            if let Some(model) = LearnedIndex::decode(&bad, entries) {
                assert!(keys.iter().step_by(50).all(|key| model.predict(key).ordinal <= entries));
            }
        }
    }
}

#[test]
fn slopes_that_are_no_numbers_are_harmless() {
    for slope in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 1e300] {
        let segments = [(10, 0), (1 << 40, 50), (u64::MAX, 90)];
        let segments = segments.map(|(start, ordinal)| piecewise_linear::Segment { start, slope, ordinal });
        let lines = PiecewiseLinear::from_segments(segments.into_iter(), 100).unwrap();
        for code in [0, 9, 10, 11, 1 << 39, 1 << 40, u64::MAX - 1, u64::MAX] {
            assert!(lines.predict(code) <= 100);
        }
        assert!(lines.predict(1 << 39) <= 50 && lines.predict(u64::MAX) >= 90);
    }
}

#[test]
fn hostile_counts_do_not_allocate() {
    let mut contents = vec![1, 0];
    contents.extend_from_slice(&[0; 33]);
    for number in [5, 0, 0, u64::MAX / 24] {
        put_varint(&mut contents, number);
    }
    assert!(LearnedIndex::decode(&contents, 5).is_none());
}
