//! What the value log says of itself: numbers and texts for properties.

use super::space::Space;
use crate::db::state::Engine;
use crate::value_log::SegmentClass;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::Ordering;

/// The number of the property `auradb.value-log-NAME`.
pub(in crate::db) fn number(engine: &Engine, name: &str) -> Option<u64> {
    let stats = &engine.garbage.stats;
    let values = engine.value_log.stats();
    match name {
        "syncs" => Some(values.syncs),
        "bytes" => Some(segment_bytes(engine)),
        "live-bytes" => Some(referenced_bytes(engine)),
        "bytes-written" => Some(values.bytes_written),
        "values-written" => Some(values.values_written),
        "values-read" => Some(values.values_read),
        "dead-bytes" => {
            let space = space(engine);
            Some(space.total.saturating_sub(space.referenced))
        }
        "hidden-bytes" => Some(space(engine).hidden),
        "reclaimable-bytes" => Some(space(engine).reclaimable),
        "pinned-bytes" => Some(space(engine).pinned),
        "pinned-segments" => Some(engine.pinned_segments().len() as u64),
        "oldest-pinned-seconds" => {
            let pins = engine.pinned_segments();
            Some(pins.values().map(|pin| pin.since.as_secs()).max().unwrap_or(0))
        }
        "bound-bytes" => Some(engine.garbage.bound.most(&space(engine))),
        "delayed-write-rate" => Some(engine.throttle.value_rate()),
        "gc-relocations" => Some(stats.relocations.load(Ordering::Relaxed)),
        "gc-values-moved" => Some(stats.values.load(Ordering::Relaxed)),
        "gc-bytes-read" => Some(stats.copied.load(Ordering::Relaxed)),
        "gc-bytes-left-behind" => Some(stats.left_behind.load(Ordering::Relaxed)),
        "gc-bytes-written" => Some(values.copied_bytes),
        "gc-table-bytes-written" => Some(stats.tables.load(Ordering::Relaxed)),
        "gc-bytes-reclaimed" => Some(stats.reclaimed.load(Ordering::Relaxed)),
        "gc-segments-removed" => Some(stats.segments_removed.load(Ordering::Relaxed)),
        "gc-pending" => Some(u64::from(engine.state.lock().garbage.is_pending())),
        _ => None,
    }
}

fn space(engine: &Engine) -> Space {
    let state = engine.state.lock();
    engine.survey(&state.garbage).space
}

/// Bytes of all segments.
pub(in crate::db) fn segment_bytes(engine: &Engine) -> u64 {
    engine.value_log.segments().iter().map(|segment| segment.len).sum()
}

/// Bytes of the value log that tables refer to; values that only memtables refer to are not among them.
pub(in crate::db) fn referenced_bytes(engine: &Engine) -> u64 {
    engine.versions.segment_use().iter().map(|used| used.bytes).sum()
}

/// All in a few lines.
pub(in crate::db) fn text(engine: &Engine) -> String {
    let segments = engine.value_log.segments();
    let used = engine.versions.segment_use();
    let stats = engine.value_log.stats();
    let bytes: u64 = segments.iter().map(|segment| segment.len).sum();
    let referenced: u64 = used.iter().map(|used| used.bytes).sum();
    let mut text = format!(
        "value log: {} segments ({} open), {bytes} bytes; tables refer to {referenced} bytes in {} values\n",
        segments.len(),
        segments.iter().filter(|segment| !segment.sealed).count(),
        used.iter().map(|used| used.values).sum::<u64>(),
    );
    let _ = writeln!(
        text,
        "value log since open: {} values of {} bytes written as {} bytes, {} syncs, {} values read",
        stats.values_written, stats.value_bytes, stats.bytes_written, stats.syncs, stats.values_read
    );
    let space = space(engine);
    let _ = writeln!(
        text,
        "value log space: {:.3} times the {} live bytes (bound {} and {} segments: {} bytes); {} dead, {} \
         reclaimable now, up to {} hidden, {} pinned by readers, {} coming or going; writers of values get {} bytes/s",
        engine.garbage.bound.ratio(&space),
        engine.garbage.bound.live(&space),
        engine.garbage.bound.factor,
        super::space::ALLOWED_SEGMENTS,
        engine.garbage.bound.most(&space),
        space.total.saturating_sub(space.referenced),
        space.reclaimable,
        space.hidden,
        space.pinned,
        space.passing + space.leaving,
        engine.throttle.value_rate(),
    );
    let gc = &engine.garbage.stats;
    let _ = writeln!(
        text,
        "garbage collection since open: {} relocations copied {} values in {} bytes, left {} hidden bytes behind and \
         wrote {} bytes of tables; {} segments of {} bytes removed",
        gc.relocations.load(Ordering::Relaxed),
        gc.values.load(Ordering::Relaxed),
        stats.copied_bytes,
        gc.left_behind.load(Ordering::Relaxed),
        gc.tables.load(Ordering::Relaxed),
        gc.segments_removed.load(Ordering::Relaxed),
        gc.reclaimed.load(Ordering::Relaxed),
    );
    text
}

/// A line for each segment, then one for each class.
pub(in crate::db) fn segments_text(engine: &Engine) -> String {
    let uses: BTreeMap<u64, u64> =
        engine.versions.segment_use().into_iter().map(|used| (used.segment, used.bytes)).collect();
    let (now, pinned) = (engine.env.now(), engine.pinned_segments());
    let mut text =
        String::from("segment        bytes   referenced         dead  seconds  holders  class, state\n");
    let mut classes = [ClassSum::default(); SegmentClass::ALL.len()];
    for segment in engine.value_log.segments() {
        let referenced = uses.get(&segment.number).copied().unwrap_or(0);
        let records = segment.len.saturating_sub(crate::value_log::SEGMENT_HEADER_LEN);
        let seconds = now.saturating_sub(segment.since).as_secs();
        let state = match pinned.get(&segment.number) {
            _ if segment.is_arriving => "being filled by a flush or a compaction".to_string(),
            Some(pin) => pin.text(),
            None if segment.is_leaving => "leaving".to_string(),
            None if segment.sealed => "sealed".to_string(),
            None => "open".to_string(),
        };
        let _ = writeln!(
            text,
            "{:06} {:>13} {referenced:>12} {:>12} {seconds:>8} {:>8}  {}, {state}",
            segment.number,
            segment.len,
            records.saturating_sub(referenced),
            segment.holders,
            segment.class.name(),
        );
        classes[segment.class as usize].add(segment.len, referenced, records, seconds);
    }
    text +=
        "class          segments        bytes   referenced         dead  youngest and oldest in seconds\n";
    for (class, sum) in SegmentClass::ALL.into_iter().zip(classes).filter(|(_, sum)| sum.segments > 0) {
        let _ = writeln!(
            text,
            "{:13} {:>9} {:>12} {:>12} {:>12} {:>9} {:>9}",
            class.name(),
            sum.segments,
            sum.bytes,
            sum.referenced,
            sum.dead,
            sum.youngest,
            sum.oldest,
        );
    }
    text
}

/// The segments of a class together.
#[derive(Clone, Copy, Default)]
struct ClassSum {
    segments: u64,
    bytes: u64,
    referenced: u64,
    dead: u64,
    youngest: u64,
    oldest: u64,
}

impl ClassSum {
    fn add(&mut self, bytes: u64, referenced: u64, records: u64, seconds: u64) {
        self.youngest = if self.segments == 0 { seconds } else { self.youngest.min(seconds) };
        self.oldest = self.oldest.max(seconds);
        self.segments += 1;
        self.bytes += bytes;
        self.referenced += referenced;
        self.dead += records.saturating_sub(referenced);
    }
}
