"""What can be run: suites of cells. A cell is one database filled and then used, by each arm in turn."""

from dataclasses import dataclass, field

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


@dataclass
class Cell:
    name: str
    # Workloads of one process; with --cold each phase is a process of its own that starts with cold caches.
    phases: list
    num: int
    options: dict = field(default_factory=dict)
    # Groups of arms this cell says something about: "plain", "blob", "index", "commit", "memtable" (see arms.py).
    groups: tuple = ("plain", "blob", "index")
    # What the cell is for: (workload, measure of report.MEASURES). They head the report.
    figures: tuple = ()
    # Options of every phase but the first, which loads; with them each phase is a process of its own.
    later: dict = field(default_factory=dict)

    def scaled(self, scale):
        options, later = dict(self.options), dict(self.later)
        for changed in (options, later):
            for name in ("reads", "writes"):
                if name in changed:
                    changed[name] = max(1, int(changed[name] * scale))
            if "duration" in changed:
                changed["duration"] = max(1, changed["duration"] * min(1, scale))
        return Cell(self.name, self.phases, max(1, int(self.num * scale)), options, self.groups, self.figures, later)

    def value_size(self):
        return self.options.get("value_size", 100)

    def peak_bytes(self):
        """Disk that one arm may need for a while: everything written, twice, without compression."""
        options = {**self.options, **self.later}
        writes = options.get("writes", 0)
        if "duration" in options:  # what stops them is the clock: a million writes a second at most
            writes = int(options["duration"] * min(1_000_000, options.get("write_rate", 1_000_000)))
        written = max(self.num, writes) * (self.value_size() + 16)
        return 2 * written + GIB


READS = ["readrandom", "readmissing", "multireadrandom", "seekrandom", "readseq", "readreverse"]


def smoke():
    return [
        Cell("100 B", [["fillrandom", "overwrite"], READS + ["readwhilewriting", "deleterandom", "readrandom"]], 20000,
             {"threads": 2}),
        Cell("4 KiB", [["filluniquerandom", "ycsba", "ycsbd"], ["ycsbc", "ycsbe", "readseq"]], 4000,
             {"value_size": 4 * KIB, "threads": 2}),
    ]


def small():
    return [
        Cell("100 B, in order", [["fillseq"], ["readrandom", "readseq"]], 3_000_000, {}, ("plain", "index")),
        Cell("100 B, 1 thread", [["fillrandom"], READS, ["overwrite", "readrandom"]], 3_000_000, {}, ("plain", "index")),
        Cell("100 B, 2 threads", [["fillrandom"], ["readrandom", "seekrandom", "readwhilewriting"]], 3_000_000,
             {"threads": 2}, ("plain", "index")),
        Cell("100 B, batches of 1000", [["fillbatch"]], 3_000_000, {}, ("plain",)),
    ]


def values():
    return [
        Cell(f"{size // KIB} KiB", [["filluniquerandom", "overwrite"], ["readrandom", "seekrandom", "readseq"]], GIB // size,
             {"value_size": size, "seek_nexts": 10, "reads": min(GIB // size, 200_000)}, ("plain", "blob"))
        for size in (KIB, 4 * KIB, 16 * KIB, 64 * KIB)
    ]


def sync():
    return [
        Cell(f"{size // KIB} KiB, {threads} thread{'s' if threads > 1 else ''}, synced", [["fillrandom"]], 16384,
             {"value_size": size, "threads": threads, "sync": 1}, ("plain", "blob"))
        for size in (KIB, 64 * KIB)
        for threads in (1, 8)
    ]


def ycsb():
    order = [["filluniquerandom"], ["ycsba", "ycsbb", "ycsbc", "ycsbf", "ycsbd", "ycsbe"]]
    return [
        Cell("YCSB, 1 M x 1 KiB", order, 1_000_000, {"value_size": KIB, "threads": 2, "reads": 400_000}),
        Cell("YCSB, 40 k x 32 KiB", order, 40_000, {"value_size": 32 * KIB, "threads": 2, "reads": 60_000}, ("plain", "blob")),
    ]


def overwrite64k():
    """Random 64 KiB writes, twice as many as keys, into levels scaled down so that compaction has work."""
    levels = {"write_buffer_size": 16 * MIB, "target_file_size": 16 * MIB, "level_base_bytes": 64 * MIB}
    options = {"value_size": 64 * KIB, "threads": 2, "writes": 131072, "reads": 65536, **levels}
    return [Cell("64 KiB over 65536 keys", [["fillrandom"], ["readrandom"]], 65536, options, ("plain", "blob"))]


def separated():
    """Values in the value log against values in tables and in blob files: overwritten twice until all debt is paid, then
    read from what that left. Levels are scaled down so that compaction has work."""
    levels = {"write_buffer_size": 16 * MIB, "target_file_size": 16 * MIB, "level_base_bytes": 64 * MIB}
    phases = [["filluniquerandom", "overwrite"], ["readrandom", "seekrandom", "readseq"]]
    figures = (("overwrite", "ops"), ("overwrite", "ops_drained"), ("overwrite", "space"), ("overwrite", "wa"),
               ("overwrite", "rss"), ("readrandom", "ops"), ("seekrandom", "ops"), ("readseq", "ops"), ("readseq", "rss"))
    cells = [
        Cell(f"{size // KIB} KiB, {writers} writer{'s' if writers > 1 else ''}", phases, 2 * GIB // size,
             {"value_size": size, "threads": writers, "writes": 4 * GIB // size, "reads": 32768 if size > 4 * KIB else 131072,
              "seek_nexts": 10, **levels}, ("plain", "blob"), figures, {"threads": 1})
        for size, writers in ((64 * KIB, 1), (64 * KIB, 2), (16 * KIB, 2), (4 * KIB, 2), (KIB, 2))
    ]
    cells += [
        Cell(f"64 KiB, {writers} writer{'s' if writers > 1 else ''}, synced", [["fillrandom"]], 16384,
             {"value_size": 64 * KIB, "threads": writers, "sync": 1}, ("plain", "blob"),
             (("fillrandom", "ops"), ("fillrandom", "syncs_per_write")))
        for writers in (1, 2)
    ]
    return cells


WRITE_GROUPS = ("plain", "commit", "memtable")
LATENCIES = ("p50w", "p99w", "p999w", "maxw")


def fills():
    latencies = tuple(("fillrandom", measure) for measure in LATENCIES)
    cells = [
        Cell(f"fillrandom, {threads} thread{'s' if threads > 1 else ''}", [["harness", "fillrandom"]], 5_000_000,
             {"threads": threads}, WRITE_GROUPS, (("fillrandom", "ops"),) + (latencies if threads == 1 else ()))
        for threads in (1, 2, 4)
    ]
    cells.append(Cell("fillseq", [["fillseq"]], 5_000_000, {}, WRITE_GROUPS, (("fillseq", "ops"),)))
    cells += [
        Cell(f"fillbatch of {size}", [["fillbatch"]], 5_000_000, {"batch_size": size}, WRITE_GROUPS, (("fillbatch", "ops"),))
        for size in (100, 1000)
    ]
    return cells


def sustained():
    """5 GB over a key space of 1 GB: what the engine owes at the end is part of the time."""
    keys, written = 10**9 // 116, 5 * 10**9 // 116
    return [Cell("overwrite, 5 GB over 1 GB", [["filluniquerandom"], ["overwrite"]], keys, {"writes": written},
                 WRITE_GROUPS, (("overwrite", "ops_drained"), ("overwrite", "p999w")))]


def durable():
    """fillsync does num/1000 writes."""
    cells = [
        Cell(f"fillsync, {threads} thread{'s' if threads > 1 else ''}", [["fillsync"]], 20_000_000, {"threads": threads},
             WRITE_GROUPS, (("fillsync", "ops"), ("fillsync", "syncs_per_write")))
        for threads in (1, 8)
    ]
    cells += [
        Cell(f"fillasync, {threads} thread{'s' if threads > 1 else ''}, durable", [["fillasync"]], 1_000_000,
             {"threads": threads, "duration": 10, "writes": 100_000_000}, WRITE_GROUPS,
             (("fillasync", "ops"), ("fillasync", "syncs_per_write")))
        for threads in (1, 8)
    ]
    return cells


def mixed():
    """Both sides run for the same time. Beside an unlimited writer the faster engine also has more to read through,
    so the second cell offers both the same writes."""
    load, beside = [["filluniquerandom"], ["readwhilewriting"]], "readwhilewriting"
    figures = ((beside, "ops"), (beside, "writer_ops"), (beside, "p999r"), (beside, "p999w"))
    later = {"reads": 10**12, "duration": 20}
    return [
        Cell("readwhilewriting, writer unlimited", load, 3_000_000, {}, WRITE_GROUPS, figures, later),
        Cell("readwhilewriting, 20000 writes/s", load, 3_000_000, {}, WRITE_GROUPS, figures,
             {**later, "write_rate": 20_000}),
    ]


def offered():
    """Every arm gets the same writes at the same times; latency counts from when a write was due."""
    figures = tuple(("overwrite", measure) for measure in LATENCIES + ("p999c",))
    return [Cell(f"{rate} writes/s offered", [["filluniquerandom"], ["overwrite"]], 3_000_000,
                 {}, WRITE_GROUPS, figures, {"write_rate": rate, "writes": 30 * rate}) for rate in (20_000, 50_000)]


def writes():
    return fills() + sustained() + durable() + mixed() + offered()


SUITES = {
    "smoke": (smoke, "seconds: does everything run and answer rightly? Its figures mean nothing"),
    "small": (small, "100-byte values: every basic workload, 1 and 2 threads"),
    "values": (values, "1, 4, 16, 64 KiB: load 1 GiB, overwrite it, read it"),
    "writes": (writes, "the write path: all the suites that begin with 'write-'"),
    "write-fill": (fills, "100 B without sync: fillrandom with 1, 2, 4 threads, fillseq, fillbatch"),
    "write-sustained": (sustained, "5 GB over a key space of 1 GB, compaction included"),
    "write-sync": (durable, "durable writes with 1 and 8 threads: synced, and asynchronous; syncs a write"),
    "write-mixed": (mixed, "reads beside writes, both sides"),
    "write-latency": (offered, "put latency at a fixed offered load"),
    "sync": (sync, "every write durable: 1 and 64 KiB, 1 and 8 threads"),
    "ycsb": (ycsb, "YCSB A-F at 1 KiB and 32 KiB"),
    "separated": (separated, "values of 1 to 64 KiB overwritten to the drained end, then read and scanned; synced writes"),
    "overwrite64k": (overwrite64k, "8 GiB of random 64 KiB writes over 4 GiB, with the compaction debt shown"),
}


def cells_of(names, scale):
    expanded = []
    for name in names:
        expanded += [n for n in SUITES if n != "smoke" and not n.startswith("write-")] if name == "all" else [name]
    return [(name, cell.scaled(scale)) for name in dict.fromkeys(expanded) for cell in SUITES[name][0]()]
