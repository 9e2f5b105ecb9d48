//! Tests of whole tables: against an oracle, under damage, and (ignored) their speed.

mod apart;
mod bench;
mod corruption;
mod direct;
mod reads;
mod round_trip;
mod support;
