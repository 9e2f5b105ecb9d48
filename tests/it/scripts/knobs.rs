//! Each knob is turned, and what it says it does is seen through properties and files.

use super::{Fixture, PATH, keys, noise};
use crate::support::check;
use crate::support::settings::{NONE, family, options, tiny};
use auradb::base::{Codec, ErrorKind};
use auradb::config::{Config, SyncPolicy};
use auradb::db::{Db, ReadOptions, WriteOptions};
use auradb::env::Env;
use auradb::env::simulated::SimEnv;
use std::path::Path;
use std::time::Duration;

/// Small everything, and nothing starts by itself.
fn quiet() -> Config {
    let mut config = tiny();
    config.memtable.max_size = 1 << 20;
    config.wal.max_file_size = 1 << 20;
    config.value_log.max_segment_size = 1 << 20;
    config.value_log.separation_threshold = NONE;
    config.cache.block_cache_size = 4 << 20;
    config
}

fn with(change: impl FnOnce(&mut Config)) -> Config {
    let mut config = quiet();
    change(&mut config);
    config
}

fn fill(fixture: &Fixture, count: usize, len: usize) {
    keys(count).enumerate().for_each(|(number, key)| fixture.put(key, noise(number, len)));
}

#[test]
fn paths_are_where_files_go() {
    let fixture = Fixture::new(&with(|config| {
        config.wal.wal_path = Some("/logs".into());
        config.value_log.vlog_path = Some("/values/here".into());
        config.sst.sst_path = Some("/tables".into());
        config.value_log.separation_threshold = 50;
    }));
    fill(&fixture, 10, 100);
    fixture.flush();
    fill(&fixture, 10, 100);
    for (suffix, directory) in [(".log", "/logs"), (".vlog", "/values/here"), (".sst", "/tables")] {
        let files: Vec<_> = fixture
            .env
            .list_all()
            .into_iter()
            .filter(|path| path.to_string_lossy().ends_with(suffix))
            .collect();
        assert!(
            !files.is_empty() && files.iter().all(|file| file.parent() == Some(Path::new(directory))),
            "{files:?}"
        );
    }
}

#[test]
fn max_file_size_starts_new_logs() {
    let logs = |size: u64| {
        let fixture = Fixture::new(&with(|config| config.wal.max_file_size = size));
        fill(&fixture, 100, 200);
        let count = fixture.count(".log");
        assert_eq!(fixture.number("auradb.wal-files"), count as u64);
        fixture.flush();
        assert!(fixture.count(".log") <= 1, "logs that hold nothing needed stay");
        count
    };
    assert_eq!(logs(1 << 20), 1);
    assert!(logs(4 << 10) >= 4, "{}", logs(4 << 10));
}

#[test]
fn sync_policy_is_how_often_the_log_is_synced() {
    let syncs = |policy: SyncPolicy, by_thread: bool| {
        let fixture = Fixture::new(&with(|config| {
            config.wal.sync_policy = policy;
            config.wal.async_writes = by_thread;
        }));
        let before = fixture.number("auradb.wal-syncs");
        for key in keys(20) {
            fixture.put(key, "x");
            fixture.env.sleep(Duration::from_millis(2));
        }
        fixture.number("auradb.wal-syncs") - before
    };
    for by_thread in [true, false] {
        assert_eq!(syncs(SyncPolicy::EveryWrite, by_thread), 20);
        assert_eq!(syncs(SyncPolicy::EveryNWrites(5), by_thread), 4);
        assert_eq!(syncs(SyncPolicy::Manual, by_thread), 0);
        let timed = syncs(SyncPolicy::EveryNMs(10), by_thread);
        assert!((2..=5).contains(&timed), "{timed} syncs in 40 ms, one each 10 ms");
    }
}

#[test]
fn a_synced_write_is_synced_whatever_the_policy() {
    let fixture = Fixture::new(&with(|config| config.wal.sync_policy = SyncPolicy::Manual));
    let how = WriteOptions { sync: true, ..WriteOptions::default() };
    fixture.db.put(&fixture.family, b"a", b"1", &how).unwrap();
    assert_eq!((fixture.number("auradb.wal-syncs"), fixture.db.durable_sequence()), (1, 1));
    fixture.put("b", "2");
    assert_eq!((fixture.db.latest_sequence(), fixture.db.durable_sequence()), (2, 1));
    fixture.db.flush_wal(true).unwrap();
    assert_eq!((fixture.number("auradb.wal-syncs"), fixture.db.durable_sequence()), (2, 2));
}

#[test]
fn mapped_logs_are_allocated_ahead() {
    let len = |mapped: bool| {
        let fixture = Fixture::new(&with(|config| config.performance.memory_mapped = mapped));
        fixture.put("a", "b");
        let log =
            fixture.env.list_all().into_iter().find(|path| path.extension().is_some_and(|end| end == "log"));
        fixture.env.file_len(&log.expect("there is a log")).unwrap()
    };
    assert!(len(false) < 4096, "{}", len(false));
    assert!(len(true) >= 4096, "{}", len(true));
}

#[test]
fn max_segment_size_rolls_over() {
    let segments = |size: u64| {
        let fixture = Fixture::new(&with(|config| {
            config.value_log.max_segment_size = size;
            config.value_log.separation_threshold = 0;
            config.value_log.write_queues = 1;
        }));
        fill(&fixture, 60, 500);
        assert_eq!(fixture.number("rocksdb.num-blob-files"), fixture.count(".vlog") as u64);
        fixture.count(".vlog")
    };
    assert_eq!(segments(1 << 20), 1);
    assert!(segments(4 << 10) >= 6, "{}", segments(4 << 10));
}

#[test]
fn separation_threshold_decides_and_may_change() {
    let at = |threshold: u64| {
        with(|config| {
            config.value_log.separation_threshold = threshold;
            config.value_log.synced_separation_threshold = 0;
        })
    };
    let mut fixture = Fixture::new(&at(100));
    let mut round = 0;
    for (threshold, separated, recovered) in [(100, 2, 0), (0, 4, 2), (NONE, 0, 0), (101, 1, 1), (100, 2, 0)]
    {
        fixture = fixture.reopened(&at(threshold));
        for len in [0, 99, 100, 101] {
            fixture.put(format!("{round}-{len}"), noise(len, len));
        }
        // What the log held was flushed by the new threshold too.
        let flushed = fixture.number("auradb.flush-values-separated");
        let written = fixture.number("auradb.value-log-values-written") - flushed;
        assert_eq!((written, flushed), (separated, recovered), "threshold {threshold}");
        round += 1;
        if round % 2 == 0 {
            fixture.compact();
        }
        for (earlier, len) in (0..round).flat_map(|round| [0, 99, 100, 101].map(|len| (round, len))) {
            assert_eq!(fixture.get(format!("{earlier}-{len}")), Some(noise(len, len)), "{earlier}-{len}");
        }
    }
}

#[test]
fn synced_separation_threshold_decides_when_values_are_separated() {
    let numbers = |least: u64, policy: SyncPolicy| {
        let fixture = Fixture::new(&with(|config| {
            config.value_log.separation_threshold = 100;
            config.value_log.synced_separation_threshold = least;
            config.wal.sync_policy = policy;
        }));
        for len in [99, 100, 500, 1000] {
            fixture.put(format!("{len}"), noise(len, len));
        }
        let before = fixture.number("auradb.value-log-values-written");
        fixture.compact();
        for len in [99, 100, 500, 1000] {
            assert_eq!(fixture.get(format!("{len}")), Some(noise(len, len)), "{len}");
        }
        let flushed = fixture.number("auradb.flush-values-separated");
        assert_eq!(fixture.number("auradb.value-log-values-written"), before + flushed);
        (before, flushed)
    };
    assert_eq!(numbers(0, SyncPolicy::EveryWrite), (3, 0));
    // The key has 3 bytes.
    assert_eq!(numbers(503, SyncPolicy::EveryWrite), (2, 1));
    assert_eq!(numbers(504, SyncPolicy::EveryWrite), (1, 2));
    assert_eq!(numbers(1 << 20, SyncPolicy::EveryWrite), (0, 3));
    assert_eq!(numbers(1 << 20, SyncPolicy::Manual), (3, 0));
}

#[test]
fn values_are_compressed_where_it_pays() {
    let bytes = |compress: bool, codec: Codec, value: &dyn Fn(usize) -> Vec<u8>| {
        let fixture = Fixture::new(&with(|config| {
            config.value_log.separation_threshold = 0;
            config.value_log.compress_values = compress;
            config.value_log.compression_algorithm = codec;
        }));
        keys(20).enumerate().for_each(|(number, key)| fixture.put(key, value(number)));
        let written = fixture.number("auradb.value-log-bytes-written");
        // Readable after the setting changes.
        let fixture = fixture.reopened(&with(|config| config.value_log.compression_algorithm = Codec::None));
        for (number, key) in keys(20).enumerate() {
            assert_eq!(fixture.get(&key), Some(value(number)), "{key}");
        }
        written
    };
    let same = |number: usize| vec![number as u8; 1000];
    let random = |number: usize| noise(number, 1000);
    let raw = bytes(false, Codec::Lz4, &same);
    assert!(raw >= 20_000, "{raw}");
    assert_eq!(bytes(true, Codec::None, &same), raw);
    for codec in [Codec::Lz4, Codec::Zstd, Codec::Snappy] {
        assert!(bytes(true, codec, &same) < raw / 4, "{codec:?}");
        assert_eq!(bytes(true, codec, &random), raw, "{codec:?}: what does not shrink is stored raw");
    }
}

#[test]
fn memtables_are_sealed_at_their_share() {
    let flushes = |size: u64, share: f64| {
        let fixture = Fixture::new(&with(|config| {
            config.memtable.max_size = size;
            config.memtable.flush_threshold = share;
        }));
        fill(&fixture, 200, 300);
        fixture.number("auradb.flushes")
    };
    let (whole, half, quarter) = (flushes(32 << 10, 1.0), flushes(32 << 10, 0.5), flushes(8 << 10, 1.0));
    assert_eq!(flushes(1 << 20, 1.0), 0);
    assert!(
        0 < whole && whole < half && half < quarter,
        "{whole} flushes, {half} at half, {quarter} of 8 KiB"
    );
}

#[test]
fn target_file_size_cuts_tables() {
    let tables = |size: u64| {
        let fixture = Fixture::new(&with(|config| config.sst.target_file_size = size));
        fill(&fixture, 200, 300);
        fixture.compact();
        fixture.number("rocksdb.num-files-at-level1")
    };
    let (large, small) = (tables(1 << 20), tables(8 << 10));
    assert_eq!(large, 1);
    assert!((5..=12).contains(&small), "{small} tables of 8 KiB for 60 KB");
}

/// Blocks read from the device by the calls of `read` on a database that was just opened.
fn block_reads(config: &Config, read: impl FnOnce(&Fixture)) -> u64 {
    let fixture = Fixture::new(config);
    fill(&fixture, 300, 100);
    fixture.flush();
    let fixture = fixture.reopened(config);
    let before = fixture.number("auradb.cache-data-misses");
    read(&fixture);
    fixture.number("auradb.cache-data-misses") - before
}

#[test]
fn block_size_is_how_much_a_read_reads() {
    let blocks = |size: usize| {
        block_reads(&with(|config| config.sst.block_size = size), |fixture| {
            assert_eq!(
                check::scan(&fixture.db, &fixture.family, &ReadOptions::default()).unwrap().len(),
                300
            );
        })
    };
    let (small, large) = (blocks(512), blocks(8 << 10));
    assert!(small > 4 * large && large >= 2, "{small} blocks of 512 bytes, {large} of 8 KiB");
}

#[test]
fn filters_keep_reads_of_absent_keys_away() {
    let reads = |on: bool, bits: f64| {
        let config = with(|config| {
            config.sst.use_bloom_filters = on;
            config.sst.bloom_bits_per_key = bits;
            config.cache.block_cache_size = 1;
            config.cache.unified_cache = false;
        });
        block_reads(&config, |fixture| keys(300).for_each(|key| assert_eq!(fixture.get(key + "+"), None)))
    };
    let (none, few, many) = (reads(false, 10.0), reads(true, 2.0), reads(true, 12.0));
    assert!(none >= 290, "{none} reads without filters");
    assert!(many < 15 && many < few && few < none, "{few} reads with 2 bits, {many} with 12, {none} without");
}

#[test]
fn tables_are_compressed_where_it_pays() {
    let bytes = |codec: Codec| {
        let fixture = Fixture::new(&with(|config| {
            config.sst.compression = codec;
            config.sst.block_size = 4096;
        }));
        keys(200).for_each(|key| fixture.put(key, "abc".repeat(60)));
        fixture.flush();
        assert_eq!(fixture.get("key-00007"), Some("abc".repeat(60).into_bytes()));
        fixture.number("rocksdb.total-sst-files-size")
    };
    let raw = bytes(Codec::None);
    for codec in [Codec::Lz4, Codec::Zstd, Codec::Snappy] {
        assert!(bytes(codec) < raw / 3, "{codec:?}: {} of {raw}", bytes(codec));
    }
}

#[test]
fn level0_files_start_compactions() {
    let runs = |trigger: usize| {
        let fixture = Fixture::new(&with(|config| config.compaction.triggers.level0_files = trigger));
        for _ in 0..6 {
            fill(&fixture, 10, 30);
            fixture.flush();
        }
        (fixture.number("rocksdb.num-files-at-level0"), fixture.number("auradb.compactions"))
    };
    assert_eq!(runs(10), (6, 0));
    let (files, compactions) = runs(3);
    assert!(files < 3 && compactions > 0, "{files} files in level 0, {compactions} compactions");
}

#[test]
fn cache_budgets_are_strict() {
    for unified in [true, false] {
        let config = with(|config| {
            config.cache.block_cache_size = 16 << 10;
            config.cache.vlog_cache_size = 4 << 10;
            config.cache.unified_cache = unified;
            config.value_log.separation_threshold = 200;
        });
        let fixture = Fixture::new(&config);
        for (number, key) in keys(400).enumerate() {
            fixture.put(key, noise(number, if number % 2 == 0 { 100 } else { 300 }));
        }
        fixture.flush();
        let capacity = fixture.number("rocksdb.block-cache-capacity");
        assert_eq!(capacity, if unified { 20 << 10 } else { 16 << 10 });
        for key in keys(400) {
            assert!(fixture.get(key).is_some());
            let usage = fixture.number("rocksdb.block-cache-usage");
            assert!(usage <= capacity, "{usage} of {capacity} bytes used");
        }
        assert!(fixture.number("rocksdb.block-cache-usage") > 0);
    }
}

#[test]
fn cached_values_are_not_read_again() {
    let fixture = Fixture::new(&with(|config| config.value_log.separation_threshold = 0));
    fill(&fixture, 10, 100);
    fixture.flush();
    let fixture = fixture.reopened(&with(|config| config.value_log.separation_threshold = 0));
    keys(10).for_each(|key| drop(fixture.get(key)));
    let hits = fixture.number("auradb.cache-value-hits");
    keys(10).for_each(|key| drop(fixture.get(key)));
    assert_eq!(fixture.number("auradb.cache-value-hits") - hits, 10);
}

#[test]
fn learned_indexes_are_built_if_enabled() {
    let text = |enabled: bool| {
        let fixture = Fixture::new(&with(|config| {
            config.learned_index.enabled = enabled;
            config.sst.block_size = 256;
        }));
        keys(2000).for_each(|key| fixture.put(key, "value"));
        fixture.flush();
        keys(2000).for_each(|key| assert_eq!(fixture.get(key), Some(b"value".to_vec())));
        fixture.db.property(&fixture.family, "auradb.learned-index").unwrap()
    };
    let (on, off) = (text(true), text(false));
    assert!(on.contains("1 of 1 tables have a model") && !on.contains(" 0 by model"), "{on}");
    assert!(off.contains("0 of 1 tables have a model") && off.contains(" 0 by model"), "{off}");
}

#[test]
fn options_of_a_family_change_while_open() {
    let fixture = Fixture::new(&quiet());
    fill(&fixture, 20, 300);
    assert_eq!(fixture.number("auradb.flushes"), 0);
    fixture.db.set_options(&fixture.family, &[("write_buffer_size", "8k")]).unwrap();
    fill(&fixture, 60, 300);
    assert!(fixture.number("auradb.flushes") > 0);
    let unknown = fixture.db.set_options(&fixture.family, &[("no_such_option", "1")]).unwrap_err();
    assert!(
        unknown.kind() == ErrorKind::InvalidArgument && unknown.to_string().contains("no_such_option"),
        "{unknown}"
    );
}

#[test]
fn wrong_knobs_are_refused_by_name_and_nothing_is_made() {
    type Change = fn(&mut Config);
    let wrong: [(&str, Change); 8] = [
        ("wal.max_file_size", |config| config.wal.max_file_size = 0),
        ("value_log.separation_threshold", |config| config.value_log.separation_threshold = 1 << 50),
        ("memtable.flush_threshold", |config| config.memtable.flush_threshold = 1.5),
        ("memtable.count", |config| config.memtable.count = 1),
        ("sst.block_size", |config| config.sst.block_size = 1),
        ("compaction.triggers.level_size_ratio", |config| config.compaction.triggers.level_size_ratio = 1.0),
        ("cache.block_cache_size", |config| config.cache.block_cache_size = 0),
        ("wal.sync_policy", |config| config.wal.sync_policy = SyncPolicy::EveryNWrites(0)),
    ];
    for (name, change) in wrong {
        let (env, config) = (SimEnv::new(1), with(change));
        let outcome =
            Db::open(&options(Some(env.clone()), &config), Path::new(super::PATH), &family(&quiet()));
        let refused = outcome.err().unwrap_or_else(|| panic!("{name} is not refused"));
        assert_eq!(refused.kind(), ErrorKind::InvalidArgument, "{refused}");
        assert!(refused.to_string().starts_with(&format!("Invalid argument: {name}: ")), "{refused}");
        assert!(env.list_all().is_empty());
    }
}

#[test]
fn the_configuration_can_be_read_back() {
    let config = with(|config| config.sst.block_size = 1234);
    let fixture = Fixture::new(&config);
    assert_eq!(fixture.db.config(), Config { db_path: super::PATH.into(), ..config });
}

/// Past the page cache everything is as through it; where the machine does not have it, one warning says so.
#[test]
fn direct_io_is_used_where_it_can_be() {
    for alignment in [1, 512, 4096] {
        for (reads, writes) in [(true, false), (false, true), (true, true)] {
            let env = SimEnv::new(1);
            env.set_direct_alignment(alignment);
            let config = with(|config| {
                config.performance.direct_reads = reads;
                config.performance.direct_background_writes = writes;
                config.value_log.separation_threshold = 500;
            });
            let fixture = Fixture::with(env.clone(), &config, &family(&config));
            for round in 0..3 {
                fill(&fixture, 60, 300 + 400 * round);
                fixture.flush();
            }
            fixture.compact();
            for (number, key) in keys(60).enumerate() {
                assert_eq!(fixture.get(key), Some(noise(number, 1100)));
            }
            let fixture = fixture.reopened(&config);
            for (number, key) in keys(60).enumerate() {
                assert_eq!(fixture.get(key), Some(noise(number, 1100)));
            }
            fixture.put("k", "v");
            fixture.flush();
            let (opened, refused) =
                (fixture.number("auradb.direct-files-opened"), fixture.number("auradb.direct-files-refused"));
            assert_eq!(
                (opened > 0, refused > 0),
                (alignment > 1, alignment == 1),
                "{alignment} {reads} {writes}"
            );
            let text = fixture.db.property(&fixture.family, "auradb.direct-io").unwrap();
            let on = |wanted| if wanted { "on" } else { "off" };
            let start = format!("reads {}, background writes {}; ", on(reads), on(writes));
            assert!(text.starts_with(&start), "{text}");
            let log = String::from_utf8(env.read_raw(&Path::new(PATH).join("LOG"))).unwrap();
            assert_eq!(log.contains("direct I/O: the file system of "), alignment == 1, "{log}");
        }
    }
}
