//! Straight lines through points of ascending code, each within an error bound: greedy fit by a shrinking
//! cone.
//!
//! From a segment's first point a cone of slopes is kept that pass all points so far within the bound; when
//! it becomes empty, the segment ends and the next starts at the point that did not fit. One pass, no memory.

/// Number of buckets for each segment in the table that finds a code's segment.
const BUCKETS_PER_SEGMENT: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq)]
struct Line {
    slope: f64,
    ordinal: u64,
}

/// One segment as stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Segment {
    /// The first code it covers.
    pub start: u64,
    /// Entries for each step of the code.
    pub slope: f64,
    /// The ordinal at `start`.
    pub ordinal: u64,
}

/// A monotone function from codes to ordinals, made of straight lines.
#[derive(Clone, Debug, PartialEq)]
pub struct PiecewiseLinear {
    starts: Vec<u64>,
    lines: Vec<Line>,
    entries: u64,
    /// For each bucket of codes above the first start, the number of segments that start before it.
    buckets: Vec<u32>,
    shift: u32,
}

impl PiecewiseLinear {
    /// Fits lines through `points`, ascending strictly in code and ordinal, within `bound`.
    pub fn fit(points: impl Iterator<Item = (u64, u64)>, bound: u64, entries: u64) -> PiecewiseLinear {
        let bound = bound as f64;
        let mut segments = Vec::new();
        let mut open: Option<(u64, u64, f64, f64)> = None;
        let close = |(start, ordinal, low, high): (u64, u64, f64, f64)| {
            let slope = if high.is_finite() { (low + high) / 2.0 } else { 0.0 };
            Segment { start, slope, ordinal }
        };
        for (code, ordinal) in points {
            if let Some((start, first, low, high)) = &mut open {
                let (run, rise) = ((code - *start) as f64, (ordinal - *first) as f64);
                let (lowest, highest) = (rise - bound, rise + bound);
                // Few points narrow the cone once it is narrow; the others cost no division.
                let narrowed_low = if lowest > *low * run { lowest / run } else { *low };
                let narrowed_high = if highest < *high * run { highest / run } else { *high };
                if narrowed_low <= narrowed_high {
                    (*low, *high) = (narrowed_low, narrowed_high);
                    continue;
                }
            }
            segments.extend(open.replace((code, ordinal, 0.0, f64::INFINITY)).map(close));
        }
        segments.extend(open.map(close));
        PiecewiseLinear::from_segments(segments.into_iter(), entries).expect("fitted segments ascend")
    }

    /// The function of stored segments; `None` unless there is one and they ascend.
    pub fn from_segments(segments: impl Iterator<Item = Segment>, entries: u64) -> Option<PiecewiseLinear> {
        let (starts, lines): (Vec<u64>, Vec<Line>) = segments
            .map(|segment| (segment.start, Line { slope: segment.slope, ordinal: segment.ordinal }))
            .unzip();
        let ascend = starts.is_sorted_by(|a, b| a < b) && lines.is_sorted_by(|a, b| a.ordinal <= b.ordinal);
        if !ascend || lines.last()?.ordinal > entries || u32::try_from(lines.len()).is_err() {
            return None;
        }
        let mut function = PiecewiseLinear { starts, lines, entries, buckets: Vec::new(), shift: 0 };
        function.index_starts();
        Some(function)
    }

    fn index_starts(&mut self) {
        let first = self.starts[0];
        let span = self.starts[self.starts.len() - 1] - first;
        let buckets = (self.starts.len() * BUCKETS_PER_SEGMENT).next_power_of_two();
        self.shift = (64 - span.leading_zeros()).saturating_sub(buckets.ilog2());
        let mut segment = 0;
        for bucket in 0..=span >> self.shift {
            while segment < self.starts.len() && (self.starts[segment] - first) >> self.shift < bucket {
                segment += 1;
            }
            self.buckets.push(segment as u32);
        }
    }

    /// The segment that covers `code`, which is at or after the first start.
    #[inline]
    fn segment_of(&self, code: u64) -> usize {
        let bucket = ((code - self.starts[0]) >> self.shift) as usize;
        let Some(&low) = self.buckets.get(bucket) else { return self.starts.len() - 1 };
        let low = low as usize;
        let high = self.buckets.get(bucket + 1).map_or(self.starts.len(), |&high| high as usize);
        (low + self.starts[low..high].partition_point(|&start| start <= code)).saturating_sub(1)
    }

    /// The ordinal where `code` probably stands, at most `entries`. A gap never extrapolates past the next
    /// segment.
    #[inline]
    pub fn predict(&self, code: u64) -> u64 {
        if code < self.starts[0] {
            return 0;
        }
        self.predict_in(self.segment_of(code), code)
    }

    /// How far `points`, ascending in code, stand above and below what is predicted, at most.
    pub fn errors(&self, points: impl Iterator<Item = (u64, u64)>) -> (u64, u64) {
        let (mut under, mut over) = (0, 0);
        let mut segment = 0;
        for (code, ordinal) in points {
            while self.starts.get(segment + 1).is_some_and(|&next| next <= code) {
                segment += 1;
            }
            let guess = if code < self.starts[0] { 0 } else { self.predict_in(segment, code) };
            under = under.max(ordinal.saturating_sub(guess));
            over = over.max(guess.saturating_sub(ordinal));
        }
        (under, over)
    }

    /// The ordinal of `code` by a segment that starts at or before it.
    #[inline]
    fn predict_in(&self, segment: usize, code: u64) -> u64 {
        let line = self.lines[segment];
        let limit = self.lines.get(segment + 1).map_or(self.entries, |next| next.ordinal);
        let rise = line.slope * (code - self.starts[segment]) as f64 + 0.5;
        line.ordinal.saturating_add(rise as u64).min(limit)
    }

    /// Segments.
    pub fn segments(&self) -> usize {
        self.starts.len()
    }

    /// The segments one by one.
    pub fn iter(&self) -> impl Iterator<Item = Segment> + '_ {
        let parts = self.starts.iter().zip(&self.lines);
        parts.map(|(&start, line)| Segment { start, slope: line.slope, ordinal: line.ordinal })
    }

    /// Entries in the table.
    #[inline]
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Bytes held.
    pub fn memory_bytes(&self) -> usize {
        8 * self.starts.capacity() + size_of::<Line>() * self.lines.capacity() + 4 * self.buckets.capacity()
    }
}
