"""Who is measured. An arm is a binary and the options that make it that arm; everything else is the same for all."""

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass

MIN_BLOB_SIZE = 1024


@dataclass
class Arm:
    name: str
    binary: str
    arguments: list
    group: str  # "plain": every cell; "blob": separates values; "index": changes the index search;
    # "commit": changes how writes are committed; "memtable": changes the structure of the memtable
    help: str
    capabilities: dict = None
    missing: str = None  # why it cannot run


def all_arms(build):
    system, current = os.path.join(build, "bench_rocksdb"), os.path.join(build, "bench_rocksdb_current")
    blob, gc = ["--blob", "1", "--min_blob_size", str(MIN_BLOB_SIZE)], ["--blob_gc", "1"]
    direct = ["--blob_direct_write", "1", "--blob_partitions", "{threads}"]
    return [
        Arm("auradb", os.path.join(build, "bench_auradb"), [], "plain", "AuraDB"),
        Arm("rocksdb", system, [], "plain", "the RocksDB of the system, or of ROCKSDB_DIR"),
        Arm("rocksdb-blob", system, blob, "blob", "BlobDB, no garbage collection"),
        Arm("rocksdb-blob-gc", system, blob + gc, "blob", "BlobDB with garbage collection"),
        Arm("rocksdb-current", current, [], "plain", "RocksDB of `make rocksdb-current`"),
        Arm("rocksdb-current-blob", current, blob, "blob", "its BlobDB, no garbage collection"),
        Arm("rocksdb-current-blob-gc", current, blob + gc, "blob", "its BlobDB with garbage collection"),
        Arm("rocksdb-direct", current, blob + direct, "blob", "its BlobDB with direct write, no garbage collection"),
        Arm("rocksdb-interpolation", current, ["--index_search", "auto"], "index", "its interpolation search in index blocks"),
        Arm("rocksdb-current-unordered", current, ["--unordered_write", "1"], "commit",
            "its unordered_write: what a snapshot shows may change"),
        Arm("rocksdb-current-pipelined", current, ["--pipelined_write", "1"], "commit", "its enable_pipelined_write"),
    ] + [
        Arm(f"auradb-{kind}", os.path.join(build, "bench_auradb"), ["--memtable", kind], "memtable",
            f"AuraDB with its {text} as memtable")
        for kind, text in (("skiplist", "skip list"), ("art", "adaptive radix tree"), ("btree", "B-tree"))
    ]


def probe(arm, directory, shared_options):
    """Sets arm.missing unless the arm can do a small run with its own options."""
    if not os.access(arm.binary, os.X_OK):
        arm.missing = f"{os.path.basename(arm.binary)} is not built"
        return
    answer = subprocess.run([arm.binary, "--capabilities"], capture_output=True, text=True)
    if answer.returncode != 0:
        arm.missing = f"does not start: {answer.stderr.strip()}"
        return
    arm.capabilities = json.loads(answer.stdout)
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        command = [arm.binary, "--db", os.path.join(scratch, "db"), "--benchmarks", "fillseq,readrandom", "--num", "100",
                   "--value_size", "2048"] + [a.format(threads=1) for a in arm.arguments] + shared_options
        answer = subprocess.run(command, capture_output=True, text=True)
    if answer.returncode != 0:
        arm.missing = (answer.stderr.strip().splitlines() or [f"exit status {answer.returncode}"])[-1]


def arms_for(cell, arms):
    """The arms that say something in this cell: with smaller values than min_blob_size, BlobDB is plain RocksDB."""
    groups = [g for g in cell.groups if g != "blob" or cell.value_size() >= MIN_BLOB_SIZE]
    return [arm for arm in arms if arm.group in groups]
