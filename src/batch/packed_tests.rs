use super::*;
use crate::base::ErrorKind;

fn pack(out: &mut Vec<u8>, kind: u8, family: u32, key: &[u8], value: &[u8]) {
    for number in [u32::from(kind) | family << 8, key.len() as u32, value.len() as u32] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(key);
    out.extend_from_slice(value);
}

/// The families 0, 1 and 2 have the ids 0, 10 and 300.
fn id_at(index: usize) -> Result<u32> {
    [0, 10, 300].get(index).copied().ok_or_else(|| Error::invalid_argument("no such family"))
}

fn expected() -> (Vec<u8>, WriteBatch) {
    let (mut data, mut batch) = (Vec::new(), WriteBatch::new());
    pack(&mut data, 1, 0, b"key", b"value");
    batch.put(0, b"key", b"value").unwrap();
    pack(&mut data, 2, 1, b"gone", b"");
    batch.delete(10, b"gone").unwrap();
    pack(&mut data, 3, 2, b"once", b"");
    batch.single_delete(300, b"once").unwrap();
    pack(&mut data, 4, 0, b"sum", b"1");
    batch.merge(0, b"sum", b"1").unwrap();
    pack(&mut data, 5, 0, b"a", b"z");
    batch.delete_range(0, b"a", b"z").unwrap();
    pack(&mut data, 6, 0, b"log", b"");
    batch.put_log_data(b"log").unwrap();
    pack(&mut data, 1, 2, b"", b"");
    batch.put(300, b"", b"").unwrap();
    (data, batch)
}

#[test]
fn packed_operations_make_the_batch_that_calls_make() {
    let (data, expected) = expected();
    let mut batch = WriteBatch::new();
    batch.append_packed(PackedOperations::new(&data, &id_at)).unwrap();
    assert_eq!(batch.data(), expected.data());
    assert_eq!(batch.has_merge(), expected.has_merge());
    batch.append_packed(PackedOperations::new(&[], &id_at)).unwrap();
    assert_eq!(batch.data(), expected.data());
}

/// Each cut, and each byte changed: the same batch or a longer one, or an error, and nothing is appended then.
#[test]
fn malformed_operations_name_their_place_and_change_nothing() {
    let (data, _) = expected();
    let starts: Vec<usize> = {
        let mut operations = PackedOperations::new(&data, &id_at);
        let mut starts = vec![0];
        while operations.next().is_some() {
            starts.push(operations.offset());
        }
        starts
    };
    let mut before = WriteBatch::new();
    before.put(0, b"before", b"").unwrap();
    for len in 0..data.len() {
        let mut batch = before.clone();
        let outcome = batch.append_packed(PackedOperations::new(&data[..len], &id_at));
        match starts.iter().position(|start| *start == len) {
            Some(operations) => {
                outcome.unwrap();
                let got = PackedOperations::new(&data[..len], &id_at).count();
                assert_eq!(got, operations);
            }
            None => {
                let error = outcome.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidArgument);
                let number = starts.iter().rposition(|start| *start < len).unwrap();
                let place = format!("packed operations: operation {number} at byte {}: ", starts[number]);
                assert!(error.message().starts_with(&place), "cut at {len}: {error}");
                assert_eq!(batch.data(), before.data());
            }
        }
    }
    for at in 0..data.len() {
        for value in [0, 1, 2, 5, 7, 0x7f, 0xff] {
            let mut bad = data.clone();
            bad[at] = value;
            let mut batch = before.clone();
            if batch.append_packed(PackedOperations::new(&bad, &id_at)).is_err() {
                assert_eq!(batch.data(), before.data());
            }
            verify(batch.data()).unwrap();
        }
    }
}

#[test]
fn each_kind_of_mistake_is_told() {
    type Mistake = (u8, u32, &'static [u8], &'static [u8], &'static str);
    let mistakes: [Mistake; 6] = [
        (0, 0, b"k", b"", "its kind is 0"),
        (7, 0, b"k", b"", "its kind is 7"),
        (1, 3, b"k", b"", "no such family"),
        (2, 0, b"k", b"v", "Delete with a value of 1 bytes"),
        (3, 0, b"k", b"vv", "SingleDelete with a value of 2 bytes"),
        (6, 1, b"k", b"", "log data with the family 1"),
    ];
    for (kind, family, key, value, wanted) in mistakes {
        let mut data = Vec::new();
        pack(&mut data, 1, 0, b"good", b"1");
        pack(&mut data, kind, family, key, value);
        let error = WriteBatch::new().append_packed(PackedOperations::new(&data, &id_at)).unwrap_err();
        assert!(error.message().starts_with("packed operations: operation 1 at byte 17: "), "{error}");
        assert!(error.message().contains(wanted), "{error}");
    }
    let mut data = Vec::new();
    pack(&mut data, 1, 0, b"", b"");
    data[4..12].fill(0xff);
    let error = WriteBatch::new().append_packed(PackedOperations::new(&data, &id_at)).unwrap_err();
    assert!(error.message().contains("a record holds at most"), "{error}");
}

#[test]
fn packed_keys_are_read_or_refused() {
    let keys: [(u32, &[u8]); 3] = [(0, b"key"), (2, b""), (1, b"another")];
    let mut data = Vec::new();
    for (family, key) in keys {
        data.extend_from_slice(&family.to_le_bytes());
        data.extend_from_slice(&(key.len() as u32).to_le_bytes());
        data.extend_from_slice(key);
    }
    let got: Vec<_> = PackedKeys::new(&data).map(Result::unwrap).collect();
    assert_eq!(got, keys.map(|(family, key)| (family as usize, key)));
    for len in 0..data.len() {
        let got: Result<Vec<_>> = PackedKeys::new(&data[..len]).collect();
        assert_eq!(got.is_ok(), [0, 11, 19].contains(&len), "cut at {len}");
        if let Err(error) = got {
            assert!(error.message().contains("cut short"), "{error}");
        }
    }
}
