#!/usr/bin/env python3
"""Checks what the driver computes: figures and ratios, who runs where, and what the budget attributes to whom."""

import importlib.machinery
import importlib.util
import os
import sys
import unittest

sys.dont_write_bytecode = True
BENCH = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, BENCH)

from driver import arms, report, suites  # noqa: E402


def load_script(name):
    loader = importlib.machinery.SourceFileLoader(name, os.path.join(BENCH, name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


budget = load_script("budget")


def line(rate, **more):
    base = {"workload": "fillsync", "ops_per_second": rate, "ops_per_second_with_drain": rate / 2, "drain_done": 1,
            "user_bytes_written": 100, "space_bytes": 10, "peak_resident_bytes": 1 << 20, "cpu_seconds_with_drain": 1,
            "drain_timed_out": 0, "drain_unknown_properties": 0}
    return {**base, **more}


class Report(unittest.TestCase):
    def result(self, steps, figures):
        return {"baseline": ["rocksdb-current"], "cells": [
            {"suite": "s", "name": "c", "figures": figures, "arms": {a: {"fillsync": lines} for a, lines in steps.items()}}]}

    def test_a_figure_compares_with_the_baseline_and_with_the_best_other_engine(self):
        result = self.result({"auradb": [line(300), line(100), line(200)], "auradb-art": [line(400)],
                              "rocksdb-current": [line(50)], "rocksdb-current-pipelined": [line(100)]}, [("fillsync", "ops")])
        rows = list(report.figures(result))[0]
        self.assertEqual([(r[1], r[4], r[5]) for r in rows],
                         [("auradb", "4.00x", "2.00x"), ("auradb-art", "8.00x", "4.00x"),
                          ("rocksdb-current", "1.00x", "0.50x"), ("rocksdb-current-pipelined", "2.00x", "1.00x")])

    def test_of_latencies_and_syncs_the_least_is_the_best(self):
        def synced(count):
            return [line(1, entries_written=100, fdatasyncs=count, fsyncs=0, msyncs=0)]
        result = self.result({"auradb": synced(25), "rocksdb-current": synced(100), "rocksdb-current-pipelined": synced(50)},
                             [("fillsync", "syncs_per_write")])
        self.assertEqual([r[5] for r in list(report.figures(result))[0]], ["0.50x", "2.00x", "1.00x"])

    def test_what_is_absent_is_not_zero(self):
        self.assertNotIn("syncs_per_write", report.summarize([line(1, entries_written=5, fsyncs=0, fdatasyncs=0, msyncs=0)]))
        self.assertNotIn("writer_ops", report.summarize([line(1, background_ops_per_second=0)]))

    def test_durable_writes_without_a_sync_are_said_aloud(self):
        result = self.result({"auradb": [line(1, syncs_missing=1)], "rocksdb-current": [line(1, note="a note")]}, [])
        said = "\n".join(report.notes(result))
        self.assertIn("auradb: NOT ONE SYNC", said)
        self.assertIn("rocksdb-current: a note", said)


class Suites(unittest.TestCase):
    def test_arms_of_the_write_path_run_in_its_cells_only(self):
        every = arms.all_arms("build")
        for name, cell in suites.cells_of(["all"], 1):
            groups = {arm.group for arm in arms.arms_for(cell, every)}
            self.assertEqual({"commit", "memtable"} <= groups, name == "writes", f"{name} / {cell.name}")

    def test_figures_name_steps_and_measures_that_exist(self):
        for _, cell in suites.cells_of(["writes", "separated"], 1):
            steps = {workload for phase in cell.phases for workload in phase}
            self.assertTrue(cell.figures, cell.name)
            for step, measure in cell.figures:
                self.assertIn(step, steps)
                self.assertIn(measure, report.MEASURES)
                self.assertIn(measure, report.MEASURE_NAMES)

    def test_all_runs_no_cell_twice(self):
        names = [(suite, cell.name) for suite, cell in suites.cells_of(["all"], 1)]
        self.assertEqual(len(names), len(set(names)))

    def test_scale_reaches_the_phases_after_the_load(self):
        cell = next(c for _, c in suites.cells_of(["write-latency"], 0.5))
        self.assertEqual(cell.later["writes"], 300_000)
        self.assertEqual(cell.later["write_rate"], 20_000)


class Budget(unittest.TestCase):
    def chain(self, *frames):
        return budget.part_of([(function, "/home/x/auradb/src/" + file) for function, file in frames])

    def test_the_innermost_part_owns_the_sample(self):
        self.assertEqual(self.chain(("put", "env/posix/file.rs"), ("append", "record/writer.rs"), ("append", "write/commit.rs")),
                         budget.LOG)
        self.assertEqual(self.chain(("find", "memtable/skiplist.rs"), ("insert", "write/commit.rs")), budget.INSERT)
        self.assertEqual(self.chain(("commit", "write/commit.rs"), ("put", "db/writes.rs"), ("auradb_put", "c_api/write.rs")),
                         budget.COMMIT)

    def test_reading_the_batch_for_the_memtable_is_no_encoding(self):
        self.assertEqual(self.chain(("next", "batch/format.rs"), ("insert", "write/commit.rs")), budget.INSERT)
        self.assertEqual(self.chain(("put", "batch/mod.rs"), ("put", "db/writes.rs")), budget.ENCODE)

    def test_a_new_log_is_no_append(self):
        self.assertEqual(self.chain(("create", "wal/writer.rs"), ("rotate", "write/commit.rs")), budget.SWITCH)

    def test_other_crates_belong_to_their_caller(self):
        frames = [("search", "/root/.cargo/registry/src/x/crossbeam-skiplist-0.1/src/base.rs"),
                  ("insert", "/w/src/memtable/skiplist.rs")]
        self.assertEqual(budget.part_of(frames), budget.INSERT)
        self.assertIsNone(budget.part_of(frames[:1]))

    def test_samples_are_read(self):
        text = "bench 12 \n\t  1f a::b+0x5 (/x/lib.so)\n\t  2f run_worker+0x1 (/x/bench)\n\nother 13 \n\t 1f c+0x1 (/x/lib.so)\n"
        samples = budget.writer_samples(budget.read_samples(text))
        self.assertEqual(samples, [[(0x1f, "a::b", 5, "/x/lib.so"), (0x2f, "run_worker", 1, "/x/bench")]])


if __name__ == "__main__":
    unittest.main()
