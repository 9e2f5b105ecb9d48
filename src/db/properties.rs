//! What the database says of itself: numbers and tables of text, by name.
//!
//! `rocksdb.*` names are RocksDB's and mean the same; `auradb.*` names tell of what only this engine has.

use super::family::Family;
use super::state::Engine;
use crate::read::ReadView;
use crate::version::FileMeta;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Numbers over all files of a view.
fn sum(view: &ReadView, of: impl Fn(&FileMeta) -> u64) -> u64 {
    view.version.files().map(|(_, file)| of(file)).sum()
}

fn estimate_keys(view: &ReadView) -> u64 {
    let tables = sum(view, |file| {
        let entries = file.properties.entries;
        entries.saturating_sub(2 * file.properties.deletions.min(entries / 2))
    });
    tables + view.buffers().map(|buffer| buffer.entries()).sum::<u64>()
}

fn estimate_live_bytes(view: &ReadView) -> u64 {
    sum(view, |file| file.properties.file_size)
}

/// The number `name` stands for.
pub(super) fn property_int(engine: &Engine, family: &Family, name: &str) -> Option<u64> {
    if let Some(own) = name.strip_prefix("auradb.") {
        match own {
            "separation-threshold" => return Some(family.threshold.load(Ordering::Relaxed)),
            "ttl" => return Some(family.ttl.load(Ordering::Relaxed)),
            "expiring-entries" => return Some(sum(&family.view(), |file| file.properties.expiring)),
            _ => {}
        }
        // Without a view where that is possible: it would keep segments which the answer is about.
        return own_int(engine, own).or_else(|| memory_int(engine, family, &family.view(), own));
    }
    let view = family.view();
    let name = name.strip_prefix("rocksdb.")?;
    let flag = |on: bool| Some(u64::from(on));
    if let Some(level) = name.strip_prefix("num-files-at-level") {
        let level: usize = level.parse().ok()?;
        let levels = family.options.read().levels.max(view.version.levels.len());
        return (level < levels).then(|| view.version.files().filter(|(at, _)| *at == level).count() as u64);
    }
    match name {
        "num-immutable-mem-table" => Some(view.sealed.len() as u64),
        "num-immutable-mem-table-flushed" => Some(0),
        "mem-table-flush-pending" => flag(!view.sealed.is_empty()),
        "compaction-pending" => {
            let state = engine.state.lock();
            flag(state.look_for_compactions || state.garbage.is_pending())
        }
        "background-errors" => flag(engine.health.failure().is_some()),
        "num-entries-active-mem-table" => Some(view.active.entries()),
        "num-entries-imm-mem-tables" => Some(view.sealed.iter().map(|buffer| buffer.entries()).sum()),
        "estimate-num-keys" => Some(estimate_keys(&view)),
        "estimate-live-data-size" => Some(estimate_live_bytes(&view)),
        "total-sst-files-size" | "live-sst-files-size" => Some(estimate_live_bytes(&view)),
        "num-snapshots" => Some(engine.snapshots.summary().0 as u64),
        "oldest-snapshot-time" => {
            let oldest = engine.snapshots.summary().1;
            Some(oldest.map_or(0, |since| engine.env.unix_seconds() - (engine.env.now() - since).as_secs()))
        }
        "oldest-snapshot-sequence" => Some(engine.snapshots.sequences().first().copied().unwrap_or(0)),
        "min-log-number-to-keep" => Some(engine.committer.lock().wals.front().map_or(0, |wal| wal.number)),
        "num-running-flushes" => Some(engine.state.lock().flushes as u64),
        "num-running-compactions" => {
            let state = engine.state.lock();
            Some((state.compactions + state.manual + usize::from(state.garbage.is_running())) as u64)
        }
        "actual-delayed-write-rate" => Some(engine.throttle.delayed_rate()),
        "is-write-stopped" => flag(engine.throttle.is_stopped() || engine.memtables.manager().is_stalling()),
        "estimate-pending-compaction-bytes" => {
            Some(crate::compaction::debt_bytes(&view.version, &engine.level_options(family), &family.order))
        }
        "block-cache-capacity" => Some(engine.cache.capacity()),
        "block-cache-usage" => Some(engine.cache.usage()),
        "block-cache-pinned-usage" => Some(engine.cache.pinned_usage()),
        "num-blob-files" => Some(engine.value_log.segments().len() as u64),
        "total-blob-file-size" => Some(super::garbage::report::segment_bytes(engine)),
        "live-blob-file-size" => Some(super::garbage::report::referenced_bytes(engine)),
        _ => memory_int(engine, family, &view, name),
    }
}

/// The numbers that `Db::memory_usage` adds up, for one family; under both prefixes.
fn memory_int(engine: &Engine, family: &Family, view: &ReadView, name: &str) -> Option<u64> {
    match name {
        "cur-size-active-mem-table" => Some(view.active.allocated_bytes() as u64),
        "cur-size-all-mem-tables" => Some(unflushed_bytes(view)),
        "size-all-mem-tables" => Some(engine.memtables.held_bytes(Some(family.id))),
        "estimate-table-readers-mem" => Some(table_reader_bytes(view)),
        _ => None,
    }
}

/// Bytes of the memtables that are not flushed.
pub(super) fn unflushed_bytes(view: &ReadView) -> u64 {
    view.buffers().map(|buffer| buffer.allocated_bytes() as u64).sum()
}

/// Bytes of the open tables: indexes, filters, models.
pub(super) fn table_reader_bytes(view: &ReadView) -> u64 {
    sum(view, |file| file.table.memory_bytes() as u64)
}

fn own_int(engine: &Engine, name: &str) -> Option<u64> {
    if let Some(name) = name.strip_prefix("value-log-") {
        return super::garbage::report::number(engine, name);
    }
    let relaxed = |counter: &std::sync::atomic::AtomicU64| Some(counter.load(Ordering::Relaxed));
    match name {
        "wal-syncs" => Some(engine.durability.syncs()),
        "wal-files" => Some(engine.committer.lock().wals.len() as u64),
        "wal-files-recycled" => relaxed(&engine.committer.stats.recycled_logs),
        "durable-sequence" => Some(engine.durable_sequence()),
        "direct-files-opened" => Some(engine.direct.opened()),
        "direct-files-refused" => Some(engine.direct.refused()),
        "spare-memtable-bytes" => Some(crate::memtable::spare_bytes() as u64),
        "flushes" => relaxed(&engine.stats.flushes),
        "compactions" => relaxed(&engine.stats.compactions),
        "trivial-moves" => relaxed(&engine.stats.trivial_moves),
        "flush-bytes" => relaxed(&engine.stats.flush_bytes),
        "compaction-bytes-read" => relaxed(&engine.stats.read_bytes),
        "compaction-bytes-written" => relaxed(&engine.stats.write_bytes),
        "expired-tables-dropped" => relaxed(&engine.stats.expired_tables),
        "compaction-values-separated" => relaxed(&engine.stats.separated_values),
        "flush-values-separated" => relaxed(&engine.stats.flush_separated_values),
        "flush-value-bytes-separated" => Some(engine.value_log.stats().flushed_bytes),
        "compaction-values-inlined" => relaxed(&engine.stats.inlined_values),
        "compaction-value-bytes-separated" => Some(engine.value_log.stats().separated_bytes),
        "user-bytes-written" => relaxed(&engine.committer.stats.user_bytes),
        "write-stops" => relaxed(&engine.throttle.stats.stops),
        "write-delays" => relaxed(&engine.throttle.stats.delays),
        "write-stall-micros" => relaxed(&engine.throttle.stats.micros),
        "grouped-writes" => Some(engine.durability.shared_syncs()),
        "cache-data-hits" => Some(engine.cache.stats().data_hits),
        "cache-data-misses" => Some(engine.cache.stats().data_misses),
        "cache-value-hits" => Some(value_cache_stats(engine).value_hits),
        "cache-value-misses" => Some(value_cache_stats(engine).value_misses),
        _ => None,
    }
}

fn value_cache_stats(engine: &Engine) -> crate::cache::CacheStats {
    engine.value_cache.as_ref().unwrap_or(&engine.cache).stats()
}

/// The text `name` stands for; numbers are texts too.
pub(super) fn property(engine: &Engine, family: &Family, name: &str) -> Option<String> {
    match name {
        "rocksdb.stats" | "rocksdb.cfstats" => return Some(stats(engine, family)),
        "rocksdb.dbstats" => return Some(writes_text(engine)),
        "rocksdb.levelstats" | "auradb.levels" => return Some(levels_text(family)),
        "rocksdb.sstables" => return Some(tables_text(family)),
        "auradb.value-log" => return Some(super::garbage::report::text(engine)),
        "auradb.value-log-segments" => return Some(super::garbage::report::segments_text(engine)),
        "auradb.write-pressure" => return Some(engine.throttle.reason().to_string()),
        "auradb.learned-index" => return Some(learned_index_text(engine)),
        "auradb.cache" => return Some(cache_text(engine)),
        "auradb.write-amplification" => return Some(amplification_text(engine)),
        "auradb.memory" => return Some(engine.memory_text()),
        "auradb.direct-io" => return Some(direct_text(engine)),
        "auradb.config" => return Some(format!("{:#?}", engine.options.config)),
        "auradb.summary" => {
            let mut text = String::new();
            for family in engine.all_families() {
                let _ = writeln!(text, "column family [{}]", family.name);
                text.push_str(&levels_text(&family));
            }
            text.push_str(&super::garbage::report::text(engine));
            text.push_str(&learned_index_text(engine));
            text.push_str(&cache_text(engine));
            text.push_str(&engine.memory_text());
            text.push_str(&amplification_text(engine));
            return Some(text);
        }
        _ => {}
    }
    property_int(engine, family, name).map(|number| number.to_string())
}

/// What is asked to go past the page cache, and what the file system made of it.
fn direct_text(engine: &Engine) -> String {
    let direct = &engine.direct;
    let on = |wanted: bool| if wanted { "on" } else { "off" };
    let mut text = format!(
        "reads {}, background writes {}; files opened past the page cache: {}, refused: {}",
        on(direct.reads()),
        on(direct.writes()),
        direct.opened(),
        direct.refused()
    );
    if let Some(path) = direct.first_refused() {
        let _ = write!(text, ", the first being {}", path.display());
    }
    text
}

fn stats(engine: &Engine, family: &Family) -> String {
    let mut text = format!("** Compaction Stats [{}] **\n", family.name);
    text.push_str(&levels_text(family));
    let _ = writeln!(text, "\n** DB Stats **");
    text.push_str(&writes_text(engine));
    text.push_str(&super::garbage::report::text(engine));
    text.push_str(&cache_text(engine));
    text.push_str(&amplification_text(engine));
    text
}

fn writes_text(engine: &Engine) -> String {
    let stats = &engine.committer.stats;
    let uptime = (engine.env.now() - engine.opened_at).as_secs_f64();
    let mut text = format!("Uptime(secs): {uptime:.1} total\n");
    let _ = writeln!(
        text,
        "Cumulative writes: {} writes, {} keys, {} bytes logged, {} committed by another writer's group",
        stats.batches.load(Ordering::Relaxed),
        stats.entries.load(Ordering::Relaxed),
        stats.batch_bytes.load(Ordering::Relaxed),
        engine.durability.shared_syncs(),
    );
    let _ = writeln!(
        text,
        "Cumulative WAL: {} files, {} syncs; stalls: {} stops, {} delays, {:.3} s",
        engine.committer.lock().wals.len(),
        engine.durability.syncs(),
        engine.throttle.stats.stops.load(Ordering::Relaxed),
        engine.throttle.stats.delays.load(Ordering::Relaxed),
        engine.throttle.stats.micros.load(Ordering::Relaxed) as f64 / 1e6,
    );
    text
}

fn levels_text(family: &Family) -> String {
    let view = family.view();
    let mut text = String::from("level  runs  files       bytes     entries  values in log (bytes)\n");
    for (level, held) in view.version.levels.iter().enumerate() {
        let files: Vec<&Arc<FileMeta>> = held.files().collect();
        if files.is_empty() && level > 0 {
            continue;
        }
        let total = |of: &dyn Fn(&FileMeta) -> u64| files.iter().map(|file| of(file)).sum::<u64>();
        let _ = writeln!(
            text,
            "{level:>5} {:>5} {:>6} {:>11} {:>11} {:>14}",
            held.runs.iter().filter(|run| !run.files.is_empty()).count(),
            files.len(),
            total(&|file| file.properties.file_size),
            total(&|file| file.properties.entries),
            total(&|file| file.properties.segments.iter().map(|used| used.bytes).sum()),
        );
    }
    let (entries, bytes) = view
        .buffers()
        .fold((0, 0), |sum, buffer| (sum.0 + buffer.entries(), sum.1 + buffer.allocated_bytes()));
    let _ = writeln!(text, "memtables: {} with {entries} entries in {bytes} bytes", 1 + view.sealed.len());
    text
}

fn tables_text(family: &Family) -> String {
    let mut text = String::new();
    for (level, file) in family.view().version.files() {
        let of = &file.properties;
        let _ = writeln!(
            text,
            "level {level}: {:06}.sst {} bytes, {} entries, keys {} .. {}",
            file.number,
            of.file_size,
            of.entries,
            file.smallest_user().escape_ascii(),
            file.largest_user().escape_ascii(),
        );
    }
    text
}

fn learned_index_text(engine: &Engine) -> String {
    let (mut tables, mut modelled, mut bytes, mut segments, mut fences, mut filters) = (0, 0, 0, 0, 0, 0);
    let (mut error, mut entries, mut hits, mut fallbacks) = (0, 0, 0, 0);
    for family in engine.all_families() {
        for (_, file) in family.view().version.files() {
            let of = &file.properties;
            tables += 1;
            modelled += u64::from(of.model_bytes > 0);
            bytes += of.model_bytes;
            segments += of.model_segments;
            fences += of.index_bytes;
            filters += of.filter_bytes;
            error = error.max(of.model_error);
            entries += if of.model_bytes > 0 { of.entries } else { 0 };
            let used = file.table.model_stats();
            hits += used.model_hits;
            fallbacks += used.model_fallbacks;
        }
    }
    format!(
        "learned index: {modelled} of {tables} tables have a model: {segments} segments, {bytes} bytes for {entries} \
         entries (largest error {error}); fence indexes {fences} bytes, filters {filters} bytes; searches {hits} by \
         model, {fallbacks} by fence index\n"
    )
}

fn cache_text(engine: &Engine) -> String {
    let share = |hits: u64, misses: u64| 100.0 * hits as f64 / (hits + misses).max(1) as f64;
    let (data, value) = (engine.cache.stats(), value_cache_stats(engine));
    format!(
        "cache: {} of {} bytes used; blocks {} hits, {} misses ({:.1} % hits); values {} hits, {} misses \
         ({:.1} % hits)\n",
        engine.cache.usage(),
        engine.cache.capacity(),
        data.data_hits,
        data.data_misses,
        share(data.data_hits, data.data_misses),
        value.value_hits,
        value.value_misses,
        share(value.value_hits, value.value_misses),
    )
}

fn amplification_text(engine: &Engine) -> String {
    let stats = &engine.stats;
    let user = engine.committer.stats.user_bytes.load(Ordering::Relaxed);
    let wal = engine.committer.stats.batch_bytes.load(Ordering::Relaxed);
    let values = engine.value_log.stats().bytes_written;
    let flushed = stats.flush_bytes.load(Ordering::Relaxed);
    let compacted = stats.write_bytes.load(Ordering::Relaxed);
    let copied = engine.value_log.stats().copied_bytes;
    let repointed = engine.garbage.stats.tables.load(Ordering::Relaxed);
    let all = wal + values + flushed + compacted + copied + repointed;
    let factor = if user == 0 { "none".to_string() } else { format!("{:.2}", all as f64 / user as f64) };
    format!(
        "write amplification since open: {factor} ({user} bytes from the user; log {wal}, value log {values}, {} \
         flushes {flushed}, {} compactions {compacted} and {} moves, values copied \
         {copied}, tables for them {repointed})\n",
        stats.flushes.load(Ordering::Relaxed),
        stats.compactions.load(Ordering::Relaxed),
        stats.trivial_moves.load(Ordering::Relaxed),
    )
}

/// About how many bytes of tables (and memtables) lie in each range.
pub(super) fn approximate_sizes(
    family: &Family,
    ranges: &[(&[u8], &[u8])],
    include_memtables: bool,
) -> Vec<u64> {
    let view = family.view();
    ranges
        .iter()
        .map(|(start, end)| {
            let tables = view.version.approximate_size(start, end, &family.order);
            let memtables = if include_memtables { memtable_bytes(&view, family, start, end) } else { 0 };
            tables + memtables
        })
        .collect()
}

/// Counts entries of the range, up to a limit, and scales by the mean entry size.
fn memtable_bytes(view: &ReadView, family: &Family, start: &[u8], end: &[u8]) -> u64 {
    const COUNT_AT_MOST: u64 = 10_000;
    let mut total = 0;
    for buffer in view.buffers().filter(|buffer| buffer.entries() > 0) {
        let mut entries = Arc::clone(buffer.table()).iter();
        let mut counted = 0;
        let from = crate::base::InternalKey::for_lookup(start, crate::base::key::MAX_SEQUENCE);
        entries.seek(from.as_bytes());
        while entries.valid()
            && counted < COUNT_AT_MOST
            && family.order.compare_user(crate::base::key::user_key(entries.key()), end).is_lt()
        {
            counted += 1;
            entries.next();
        }
        total += counted * buffer.memory_bytes() as u64 / buffer.entries();
    }
    total
}
