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
    # Groups of arms this cell says something about: "plain", "blob", "index" (see arms.py).
    groups: tuple = ("plain", "blob", "index")

    def scaled(self, scale):
        options = dict(self.options)
        for name in ("reads", "writes"):
            if name in options:
                options[name] = max(1, int(options[name] * scale))
        return Cell(self.name, self.phases, max(1, int(self.num * scale)), options, self.groups)

    def value_size(self):
        return self.options.get("value_size", 100)

    def peak_bytes(self):
        """Disk that one arm may need for a while: everything written, twice, without compression."""
        written = max(self.num, self.options.get("writes", 0)) * (self.value_size() + 16)
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


SUITES = {
    "smoke": (smoke, "seconds: does everything run and answer rightly? Its figures mean nothing"),
    "small": (small, "100-byte values: every basic workload, 1 and 2 threads"),
    "values": (values, "1, 4, 16, 64 KiB: load 1 GiB, overwrite it, read it"),
    "sync": (sync, "every write durable: 1 and 64 KiB, 1 and 8 threads"),
    "ycsb": (ycsb, "YCSB A-F at 1 KiB and 32 KiB"),
    "overwrite64k": (overwrite64k, "8 GiB of random 64 KiB writes over 4 GiB, with the compaction debt shown"),
}


def cells_of(names, scale):
    expanded = []
    for name in names:
        expanded += [n for n in SUITES if n != "smoke"] if name == "all" else [name]
    return [(name, cell.scaled(scale)) for name in dict.fromkeys(expanded) for cell in SUITES[name][0]()]
