//! Budget, hits and evictions of both policies; scan resistance; the adaptive policy's invariants; many threads.

use super::shard::ENTRY_OVERHEAD;
use super::*;
use EntryClass::{Data, Value};
use EvictionPolicy::{Arc as Adaptive, Lru};
use std::collections::HashMap;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) as usize) % bound
    }
}

fn key(offset: u64) -> CacheKey {
    CacheKey { owner: 1, file: 7, offset }
}

/// A buffer whose capacity is `len` and whose content tells its key.
fn buffer(key: CacheKey, len: usize) -> Buffer {
    let bytes = vec![(key.offset ^ key.file << 3) as u8; len];
    assert_eq!(bytes.capacity(), len);
    Arc::new(bytes.into())
}

/// Room for `count` buffers of 1000 bytes in one shard.
fn cache_for(count: u64, policy: EvictionPolicy) -> Arc<Cache> {
    Cache::new(count * (1000 + ENTRY_OVERHEAD as u64), policy, 0)
}

/// Looks `key` up and inserts it if it is not there, as a reader does; whether it was there.
fn read(cache: &Cache, key: CacheKey, len: usize) -> bool {
    match cache.get(key, Data) {
        Some(found) => {
            assert_eq!(found, buffer(key, found.len()));
            true
        }
        None => {
            cache.insert(key, Data, &buffer(key, len));
            false
        }
    }
}

/// Reads where it does not matter whether it was there.
fn warm(cache: &Cache, key: CacheKey, len: usize) {
    read(cache, key, len);
}

fn check(cache: &Cache) {
    cache.shards.iter().for_each(|shard| shard.0.lock().check());
}

#[test]
fn what_went_in_comes_out() {
    for policy in [Lru, Adaptive] {
        let cache = cache_for(10, policy);
        let other_owner = CacheKey { owner: 2, ..key(5) };
        assert_eq!(cache.get(key(5), Data), None);
        let kept = buffer(key(5), 1000);
        cache.insert(key(5), Data, &kept);
        assert!(Arc::ptr_eq(&cache.get(key(5), Data).unwrap(), &kept));
        assert!(cache.get(key(5), Value).is_some() && cache.get(other_owner, Value).is_none());
        cache.remove(key(5));
        assert_eq!((cache.get(key(5), Data), cache.usage()), (None, 0));
        let expected = CacheStats {
            data_hits: 1,
            data_misses: 2,
            value_hits: 1,
            value_misses: 1,
            inserts: 1,
            evictions: 0,
            refusals: 0,
        };
        assert_eq!(cache.stats(), expected);
        assert_ne!(cache.new_owner(), cache.new_owner());
    }
}

#[test]
fn the_least_recently_used_leaves() {
    let cache = cache_for(3, Lru);
    for offset in [1, 2, 3] {
        read(&cache, key(offset), 1000);
    }
    assert!(read(&cache, key(1), 1000));
    read(&cache, key(4), 1000);
    assert_eq!(cache.get(key(2), Data), None);
    assert!([1, 3, 4].iter().all(|&offset| cache.get(key(offset), Data).is_some()));
    // One large entry takes the place of two small ones: 1 and 3 are the oldest now.
    cache.insert(key(5), Data, &buffer(key(5), 2000));
    assert!([4, 5].iter().all(|&offset| cache.get(key(offset), Data).is_some()));
    assert_eq!((cache.usage(), cache.stats().evictions), (3000 + 2 * ENTRY_OVERHEAD as u64, 3));
}

#[test]
fn a_second_buffer_for_a_key_takes_the_place_of_the_first() {
    for policy in [Lru, Adaptive] {
        let cache = cache_for(4, policy);
        for len in [1000, 1000, 500, 2000] {
            let newer = buffer(key(1), len);
            cache.insert(key(1), Data, &newer);
            assert!(Arc::ptr_eq(&cache.get(key(1), Data).unwrap(), &newer));
            assert_eq!(cache.usage(), (len + ENTRY_OVERHEAD) as u64);
            check(&cache);
        }
        assert_eq!(cache.stats().evictions, 0);
    }
}

#[test]
fn nothing_is_kept_without_capacity_or_when_too_large() {
    for policy in [Lru, Adaptive] {
        let cache = Cache::new(0, policy, -1);
        read(&cache, key(1), 0);
        assert_eq!((cache.get(key(1), Data), cache.usage(), cache.stats().inserts), (None, 0, 0));
        let cache = cache_for(2, policy);
        read(&cache, key(1), 1000);
        read(&cache, key(2), 2 * (1000 + ENTRY_OVERHEAD) - ENTRY_OVERHEAD + 1);
        assert!(cache.get(key(2), Data).is_none() && cache.get(key(1), Data).is_some());
        read(&cache, key(2), 2 * (1000 + ENTRY_OVERHEAD) - ENTRY_OVERHEAD);
        assert!(cache.get(key(2), Data).is_some() && cache.get(key(1), Data).is_none());
    }
}

#[test]
fn reservations_and_a_smaller_capacity_take_room_at_once() {
    for policy in [Lru, Adaptive] {
        let cache = cache_for(10, policy);
        let capacity = cache.capacity();
        let entry = capacity / 10;
        (0..10).for_each(|offset| warm(&cache, key(offset), 1000));
        assert_eq!((cache.usage(), cache.pinned_usage()), (capacity, 0));
        let reservation = cache.reserve(entry * 4 + 1);
        assert_eq!((cache.usage(), cache.pinned_usage()), (entry * 9 + 1, entry * 4 + 1));
        let held = cache.get(key(9), Data).unwrap();
        assert_eq!(cache.pinned_usage(), entry * 5 + 1);
        // Reservations alone may exceed the capacity; no entry is left then, and the holder keeps its buffer.
        let more = cache.reserve(capacity);
        assert_eq!(cache.usage(), reservation.bytes() + more.bytes());
        assert_eq!((held.len(), cache.get(key(9), Data)), (1000, None));
        read(&cache, key(1), 1000);
        assert_eq!(cache.get(key(1), Data), None);
        drop((reservation, more));
        assert_eq!(cache.usage(), 0);
        (0..10).for_each(|offset| warm(&cache, key(offset), 1000));
        assert_eq!(cache.usage(), capacity);
        cache.set_capacity(entry * 3);
        assert_eq!((cache.usage(), cache.capacity()), (entry * 3, entry * 3));
        check(&cache);
    }
}

#[test]
fn shards_are_chosen_by_capacity() {
    for (capacity, bits, shards) in [
        (0, -1, 1),
        (8 << 10, -1, 1),
        (8 << 20, -1, 2),
        (100 << 20, -1, 16),
        (1 << 40, -1, 64),
        (8 << 10, 3, 8),
        (0, 30, 1 << 16),
    ] {
        let cache = Cache::new(capacity, Lru, bits);
        assert_eq!((cache.shards.len(), cache.capacity()), (shards, capacity));
    }
}

#[test]
fn keys_spread_over_shards_and_chains() {
    let mut shards = [0; 16];
    let mut chains = vec![0; 1024];
    for file in 0..64 {
        for block in 0..256 {
            let hash = CacheKey { owner: 1, file, offset: block * 4096 }.hash();
            shards[(hash >> 32) as usize % 16] += 1;
            chains[hash as usize % 1024] += 1;
        }
    }
    assert!(shards.iter().all(|&n| (820..1230).contains(&n)), "{shards:?}");
    assert!(*chains.iter().max().unwrap() < 45);
}

/// A hot set used again and again, and one pass over ten times the cache: adaptive replacement keeps the hot set,
/// least-recently-used loses it.
#[test]
fn a_scan_washes_out_lru_but_not_arc() {
    let hot_hits_after_scan = |policy| {
        let cache = cache_for(100, policy);
        for _ in 0..3 {
            (0..50).for_each(|offset| warm(&cache, key(offset), 1000));
        }
        for offset in 1000..2000 {
            assert!(!read(&cache, key(offset), 1000));
            check(&cache);
        }
        (0..50).filter(|&offset| read(&cache, key(offset), 1000)).count()
    };
    assert_eq!(hot_hits_after_scan(Lru), 0);
    assert_eq!(hot_hits_after_scan(Adaptive), 50);
}

/// After a frequent set has filled the cache, a set used once and again at a distance larger than what is left for
/// recent entries is won only by moving the target: the ghosts' doing.
#[test]
fn ghosts_move_the_target() {
    let cache = cache_for(100, Adaptive);
    for _ in 0..3 {
        (0..100).for_each(|offset| warm(&cache, key(offset), 1000));
    }
    let mut hits = Vec::new();
    for round in 0..12u64 {
        // Forty keys, each round new ones and those of the round before.
        let reads = (round * 40..round * 40 + 80).map(|offset| read(&cache, key(10_000 + offset), 1000));
        hits.push(reads.filter(|&hit| hit).count());
        check(&cache);
    }
    assert!(hits[0] == 0 && hits[11] >= 39, "{hits:?}");
}

/// Random operations with buffers of all sizes: every invariant after every operation, and never wrong bytes.
#[test]
fn invariants_hold_under_random_use() {
    for seed in 0..20 {
        for policy in [Lru, Adaptive] {
            let random = &mut Random(seed);
            let cache = Cache::new(60_000, policy, (seed % 2) as i32);
            let mut sizes: HashMap<u64, usize> = HashMap::new();
            let mut reservations = Vec::new();
            for step in 0..3000 {
                let offset = (random.below(60) * random.below(6)) as u64;
                let len =
                    *sizes.entry(offset).or_insert_with(|| [0, 100, 1000, 5000, 40_000][random.below(5)]);
                match random.below(100) {
                    0 => cache.set_capacity(random.below(80_000) as u64),
                    1 => reservations.push(cache.reserve(random.below(20_000) as u64)),
                    2 => drop(reservations.pop()),
                    3..6 => {
                        cache.remove(key(offset));
                        assert_eq!(cache.get(key(offset), Value), None);
                    }
                    6 => cache.insert(key(offset), Data, &buffer(key(offset), len + 1)),
                    _ => warm(&cache, key(offset), len),
                }
                let reserved: u64 = reservations.iter().map(|r| r.bytes()).sum();
                let usage = cache.usage();
                assert!(usage <= cache.capacity().max(reserved), "C1: seed {seed}, step {step}: {usage}");
                assert_eq!(cache.pinned_usage(), reserved);
                check(&cache);
            }
            drop(reservations);
            (0..400).for_each(|offset| cache.remove(key(offset)));
            assert_eq!(cache.usage(), 0);
        }
    }
}

#[test]
fn threads_share_a_cache() {
    for policy in [Lru, Adaptive] {
        let cache = Cache::new(200_000, policy, 2);
        let reads = 20_000;
        std::thread::scope(|scope| {
            for seed in 0..4u64 {
                let cache = &cache;
                scope.spawn(move || {
                    let random = &mut Random(seed);
                    let mut held = Vec::new();
                    for _ in 0..reads {
                        let key = key((random.below(300) * random.below(3)) as u64);
                        read(cache, key, 200 + random.below(3000));
                        match random.below(200) {
                            0 => held.extend(cache.get(key, Value)),
                            1 => held.clear(),
                            2 => cache.remove(key),
                            3 => drop(cache.reserve(50_000)),
                            _ => {}
                        }
                    }
                });
            }
            for _ in 0..200 {
                let usage = cache.usage();
                assert!(usage <= cache.capacity(), "C1: {usage}");
                std::thread::yield_now();
            }
        });
        check(&cache);
        let stats = cache.stats();
        assert_eq!(stats.data_hits + stats.data_misses, 4 * reads);
        assert!(stats.data_hits > 0 && stats.evictions > 0 && stats.inserts <= stats.data_misses);
        assert_eq!(cache.pinned_usage(), 0);
    }
}

#[test]
fn a_full_cache_takes_a_value_the_second_time() {
    for policy in [Lru, Adaptive] {
        let cache = cache_for(10, policy);
        let put = |at: u64, class| cache.insert(key(at), class, &buffer(key(at), 1000));
        // There is room: everything is kept.
        (0..10).for_each(|at| put(at, Value));
        assert_eq!((cache.stats().inserts, cache.stats().refusals), (10, 0));
        assert!(cache.get(key(3), Value).is_some());
        // A scan over values that are read once leaves the cache as it is.
        (100..110).for_each(|at| put(at, Value));
        assert_eq!((cache.stats().evictions, cache.stats().refusals), (0, 10));
        assert!((0..10).all(|at| cache.get(key(at), Value).is_some()));
        // The second time, soon after, it is kept. Blocks are kept the first time.
        put(109, Value);
        assert!(cache.get(key(109), Value).is_some());
        put(200, Data);
        assert!(cache.get(key(200), Data).is_some());
        assert_eq!(cache.stats().evictions, 2);
        // What is cached is renewed, not asked about.
        put(9, Value);
        assert_eq!(cache.stats().refusals, 10);
        check(&cache);
    }
}

#[test]
fn memory_of_values_is_used_again_and_given_back() {
    let (len, capacity) = (65_600, 16 << 20);
    let cache = Cache::new(capacity, Lru, 0);
    let mut seen = std::collections::HashSet::new();
    for at in 0..2000 {
        let mut bytes = cache.buffer(len);
        bytes.fill(at as u8);
        seen.insert(bytes.as_ptr() as usize);
        let bytes: Buffer = Arc::new(bytes);
        // Every third one is asked for again, and pushes another one out.
        cache.insert(key(at), Value, &bytes);
        if at % 3 == 0 {
            cache.insert(key(at), Value, &bytes);
        }
        assert!(cache.usage() <= capacity);
    }
    for at in 0..2000 {
        if let Some(found) = cache.get(key(at), Value) {
            assert!(found.len() == len && found.iter().all(|&byte| byte == at as u8), "{at}");
        }
    }
    // So much memory was used in all, though 2000 buffers were.
    assert!(seen.len() * len <= capacity as usize + 2 * len, "{}", seen.len());
    let pinned = cache.get(key(1998), Value).expect("it was asked for twice");
    cache.set_capacity(0);
    assert!(cache.pool.mapped_bytes() <= 16 << 20, "{:?}", cache.pool);
    assert!(pinned.iter().all(|&byte| byte == 1998u64 as u8));
}
