//! Counts of what a learned index achieved.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// How often the learned index of an open table led to the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ModelStats {
    /// Lookups and seeks answered where the model pointed.
    pub model_hits: u64,
    /// Lookups and seeks that the fence index had to answer although there is a model.
    pub model_fallbacks: u64,
}

const STRIPES: usize = 8;

#[derive(Default)]
#[repr(align(64))]
struct Stripe {
    hits: AtomicU64,
    fallbacks: AtomicU64,
}

/// Counters striped by thread, so that readers do not take a cache line from each other.
#[derive(Default)]
pub(super) struct ModelCounters {
    stripes: [Stripe; STRIPES],
}

fn stripe_of_thread() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static STRIPE: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    STRIPE.with(|stripe| {
        if stripe.get() == usize::MAX {
            stripe.set(THREADS.fetch_add(1, Ordering::Relaxed) % STRIPES);
        }
        stripe.get()
    })
}

impl ModelCounters {
    #[inline]
    pub(super) fn count(&self, hit: bool) {
        let stripe = &self.stripes[stripe_of_thread()];
        let counter = if hit { &stripe.hits } else { &stripe.fallbacks };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn sum(&self) -> ModelStats {
        let mut stats = ModelStats::default();
        for stripe in &self.stripes {
            stats.model_hits += stripe.hits.load(Ordering::Relaxed);
            stats.model_fallbacks += stripe.fallbacks.load(Ordering::Relaxed);
        }
        stats
    }
}
