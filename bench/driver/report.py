"""Medians and ratios of what was measured, as a table for a terminal and as one self-contained HTML page."""

import html
from statistics import median


def values_of(lines, get):
    values = [get(line) for line in lines]
    return [v for v in values if v is not None]


def latency(of, percentile):
    """Of the histograms `latency` (all), `latency_reads`, `latency_writes`, `latency_calls` (see bench/README.md)."""
    return lambda line: line.get(of, {}).get(percentile)


def writer_ops(line):
    return line.get("background_ops_per_second") or None


def syncs_per_write(line):
    durable = line.get("fsyncs", 0) + line.get("fdatasyncs", 0) + line.get("msyncs", 0)
    return durable / line["entries_written"] if line.get("entries_written") and durable else None


def fairness(line):
    """The slowest of several threads to the fastest."""
    rates = [t["operations"] / t["seconds"] for t in line.get("threads", []) if not t["background_writer"] and t["seconds"]]
    return min(rates) / max(rates) if len(rates) > 1 and max(rates) > 0 else None


def write_amplification(line, field):
    if line["user_bytes_written"] <= 0 or field not in line:
        return None
    return line[field] / line["user_bytes_written"]


def space_amplification(line):
    return line["space_bytes"] / line["live_bytes"] if line.get("live_bytes") else None


MEASURES = {
    "ops": lambda line: line["ops_per_second"],
    "ops_drained": lambda line: line["ops_per_second_with_drain"] if line["drain_done"] else None,
    "writer_ops": writer_ops,
    "p50": latency("latency", "p50_us"),
    "p99": latency("latency", "p99_us"),
    "p999": latency("latency", "p999_us"),
    "max": latency("latency", "max_us"),
    "p999r": latency("latency_reads", "p999_us"),
    "p50w": latency("latency_writes", "p50_us"),
    "p99w": latency("latency_writes", "p99_us"),
    "p999w": latency("latency_writes", "p999_us"),
    "maxw": latency("latency_writes", "max_us"),
    "p999c": latency("latency_calls", "p999_us"),
    "syncs_per_write": syncs_per_write,
    "fairness": fairness,
    "wa": lambda line: write_amplification(line, "process_write_bytes_with_drain"),
    "wa_device": lambda line: write_amplification(line, "device_write_bytes_with_drain"),
    "space": space_amplification,
    "rss": lambda line: line["peak_resident_bytes"] / (1 << 20),
    "cpu": lambda line: line["cpu_seconds_with_drain"],
}


def summarize(lines):
    """{measure: (median, lowest, highest)}; a measure that does not apply is absent."""
    summary = {}
    for name, get in MEASURES.items():
        values = values_of(lines, get)
        if values:
            summary[name] = (median(values), min(values), max(values))
    summary["syncs_missing"] = any(line.get("syncs_missing") for line in lines)
    summary["notes"] = sorted({line["note"] for line in lines if "note" in line})
    summary["not_idle"] = any(line["drain_timed_out"] or line["drain_unknown_properties"] for line in lines)
    return summary


def steps_of(cell):
    steps = []
    for arm in cell["arms"].values():
        steps += [step for step in arm if step not in steps]
    return steps


def pick_baseline(cell, wanted):
    for name in wanted:
        if name in cell["arms"]:
            return name
    return next(iter(cell["arms"]), None)


def number(value):
    if value is None:
        return "-"
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def ratio(summary, base, measure):
    if measure not in summary or measure not in base or base[measure][0] == 0:
        return "-"
    return f"{summary[measure][0] / base[measure][0]:.2f}x"


COLUMNS = ["arm", "ops/s", "range", "ratio", "ops/s+drain", "ratio", "writer/s", "ratio", "p50 us", "ratio", "p99 us", "ratio",
           "p99.9 us", "ratio", "max us", "ratio", "syncs/write", "slowest/fastest", "WA", "WA disk", "space", "RSS MiB", "CPU s"]


def row(arm, summary, base):
    def middle(measure):
        return number(summary[measure][0] if measure in summary else None)

    low_high = f"{number(summary['ops'][1])} - {number(summary['ops'][2])}"
    drained = middle("ops_drained") + ("!" if summary["not_idle"] else "")
    return [arm, middle("ops"), low_high, ratio(summary, base, "ops"), drained, ratio(summary, base, "ops_drained"),
            middle("writer_ops"), ratio(summary, base, "writer_ops"),
            *[cell for p in ("p50", "p99", "p999", "max") for cell in (middle(p), ratio(summary, base, p))],
            middle("syncs_per_write") + ("!" if summary["syncs_missing"] else ""), middle("fairness"),
            middle("wa"), middle("wa_device"), middle("space"), middle("rss"), middle("cpu")]


MEASURE_NAMES = {
    "ops": "ops/s", "ops_drained": "ops/s, drain included", "writer_ops": "writes/s beside the readers",
    "p50w": "put p50, us", "p99w": "put p99, us", "p999w": "put p99.9, us", "maxw": "put max, us",
    "p999r": "get p99.9, us", "p999c": "put p99.9 of the call alone, us", "syncs_per_write": "syncs a write",
    "wa": "write amplification", "space": "space to live bytes", "rss": "peak RSS, MiB",
}
FIGURE_COLUMNS = ["figure", "arm", "median", "range", "to baseline", "to best other engine"]


def used_columns(rows):
    """The columns where some arm has something to show."""
    return [i for i in range(len(COLUMNS)) if i == 0 or any(r[i] != "-" for r in rows)]


def more_is_better(measure):
    return measure in ("ops", "ops_drained", "writer_ops")


def figures(result):
    """Yields the rows of each figure that the cells are for. The last column compares with the best arm of RocksDB."""
    for cell in result["cells"]:
        baseline = pick_baseline(cell, result["baseline"])
        for step, measure in cell.get("figures", ()):
            summaries = {arm: summarize(steps[step]) for arm, steps in cell["arms"].items() if step in steps}
            summaries = {arm: s for arm, s in summaries.items() if measure in s}
            others = [s[measure][0] for arm, s in summaries.items() if not arm.startswith("auradb")]
            best = (max if more_is_better(measure) else min)(others, default=0)
            title = f"{cell['suite']} / {cell['name']} / {step}: {MEASURE_NAMES[measure]}"
            rows = []
            for arm, s in summaries.items():
                middle, low, high = s[measure]
                rows.append([title if not rows else "", arm, number(middle), f"{number(low)} - {number(high)}",
                             ratio(s, summaries.get(baseline, {}), measure), f"{middle / best:.2f}x" if best else "-"])
            yield rows


def notes(result):
    """What a reader must know, once each."""
    seen = {}
    for cell in result["cells"]:
        for arm, steps in cell["arms"].items():
            for step, lines in steps.items():
                summary = summarize(lines)
                for note in summary["notes"]:
                    seen[f"{cell['name']} / {step} / {arm}: {note}"] = True
                if summary["syncs_missing"]:
                    seen[f"{cell['name']} / {step} / {arm}: NOT ONE SYNC WAS SEEN, and every write had to be durable"] = True
    return list(seen)


def tables(result):
    """Yields (suite, cell name, step, baseline, rows, {arm: summary})."""
    for cell in result["cells"]:
        baseline = pick_baseline(cell, result["baseline"])
        for step in steps_of(cell):
            summaries = {arm: summarize(steps[step]) for arm, steps in cell["arms"].items() if step in steps}
            base = summaries.get(baseline, {})
            yield cell["suite"], cell["name"], step, baseline, [row(a, s, base) for a, s in summaries.items()], summaries


LEGEND = ("Medians of {repetitions} repetition(s). Ratios are to the baseline: of ops/s more is better, of latencies less. "
          "ops/s+drain counts the time until flush and compaction were done ('!': the engine was not, or cannot tell). "
          "writer/s: the writer beside readers. syncs/write: fsync, fdatasync and msync to entries written, without the "
          "drain ('!': none was seen though every write had to be durable). slowest/fastest: the rates of the threads. "
          "WA: bytes the process wrote (/proc/self/io) to bytes the user wrote; WA disk: the same from /proc/diskstats "
          "(other processes included; what was deleted before it reached the disk is not). space: blocks on disk to live "
          "key and value bytes, below 1 by compression. RSS is the peak of the workload, CPU includes the drain.")


def aligned(rows, left):
    """Lines with the first `left` columns aligned left and the others right."""
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    return ["  " + "  ".join(c.ljust(w) if i < left else c.rjust(w) for i, (c, w) in enumerate(zip(r, widths))) for r in rows]


def text(result):
    lines = []
    for suite, cell, step, baseline, rows, _ in tables(result):
        used = used_columns(rows)
        lines.append(f"\n{suite} / {cell} / {step}   (baseline {baseline})")
        lines += aligned([[r[i] for i in used] for r in [COLUMNS] + rows], 1)
    headline = [r for rows in figures(result) for r in rows]
    if headline:
        lines += ["\nWhat these suites are for:"] + aligned([FIGURE_COLUMNS] + headline, 2)
    lines += [f"NOTE: {note}" for note in notes(result)]
    lines.append("\n" + LEGEND.format(repetitions=result["repetitions"]))
    for name, why in result["missing"].items():
        lines.append(f"NOT MEASURED: {name}: {why}")
    for failure in result["failures"]:
        kind = "WRONG ANSWER" if failure["status"] == 3 else "FAILED"
        lines.append(f"{kind}: {failure['suite']} / {failure['cell']} / {failure['arm']}: {failure['text']}")
    return "\n".join(lines)


STYLE = """
:root { color-scheme: light dark; --bar: #4a7fb5; --pale: #a9c4df; --own: #c8643c; --own-pale: #e6b8a4; --line: #8888; }
body { font: 14px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 75em; padding: 0 1em; }
table { border-collapse: collapse; margin: .4em 0 2em; } td, th { padding: .15em .7em; text-align: right; }
td:first-child, th:first-child { text-align: left; } tr { border-bottom: 1px solid var(--line); }
h2 { margin-top: 2.5em; border-bottom: 2px solid var(--line); } svg text { font: 12px system-ui, sans-serif; fill: currentColor; }
.bad { color: #c33; font-weight: bold; } pre { white-space: pre-wrap; }
"""

BAR_LEFT, BAR_WIDTH, BAR_HEIGHT = 190, 560, 22


def bars(summaries):
    """Throughput as horizontal bars: the full bar without, the solid part with the drain; the line is the range."""
    widest = max((s["ops"][2] for s in summaries.values()), default=0) or 1
    parts = []
    for i, (arm, summary) in enumerate(summaries.items()):
        top, own = i * BAR_HEIGHT, "own" if arm == "auradb" else "bar"
        middle, low, high = (v / widest * BAR_WIDTH for v in summary["ops"])
        drained = summary.get("ops_drained", summary["ops"])[0] / widest * BAR_WIDTH
        pale = "own-pale" if own == "own" else "pale"
        parts.append(f'<text x="{BAR_LEFT - 8}" y="{top + 15}" text-anchor="end">{html.escape(arm)}</text>'
                     f'<rect x="{BAR_LEFT}" y="{top + 3}" width="{middle:.1f}" height="16" style="fill:var(--{pale})"/>'
                     f'<rect x="{BAR_LEFT}" y="{top + 3}" width="{drained:.1f}" height="16" style="fill:var(--{own})"/>'
                     f'<line x1="{BAR_LEFT + low:.1f}" x2="{BAR_LEFT + high:.1f}" y1="{top + 11}" y2="{top + 11}" stroke="currentColor"/>'
                     f'<text x="{BAR_LEFT + high + 6:.1f}" y="{top + 15}">{number(summary["ops"][0])}</text>')
    width, height = BAR_LEFT + BAR_WIDTH + 110, len(summaries) * BAR_HEIGHT + 4
    return f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img">{"".join(parts)}</svg>'


def table_row(tag, cells):
    return "<tr>" + "".join(f"<{tag}>{html.escape(c)}</{tag}>" for c in cells) + "</tr>"


def page(result):
    out = [f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Benchmark</title><style>{STYLE}</style>',
           f"<h1>Benchmark: {html.escape(', '.join(result['suites']))}</h1>"]
    machine = ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in result["machine"].items() if k != "directory")
    out.append(f"<p>{html.escape(machine)}</p><p>{html.escape(LEGEND.format(repetitions=result['repetitions']))}"
               " In the bars the pale end is what the drain takes away; the thin line is the range.</p><ul>")
    for name, arm in result["arms"].items():
        out.append(f"<li><b>{html.escape(name)}</b>: {html.escape(arm['version'])}; {html.escape(arm['help'])}</li>")
    for name, why in result["missing"].items():
        out.append(f'<li class="bad">not measured: {html.escape(name)}: {html.escape(why)}</li>')
    for failure in result["failures"]:
        out.append(f'<li class="bad">{"WRONG ANSWER" if failure["status"] == 3 else "failed"}: '
                   f'{html.escape(failure["cell"])} / {html.escape(failure["arm"])}<pre>{html.escape(failure["text"])}</pre></li>')
    out += [f"<li>{html.escape(note)}</li>" for note in notes(result)]
    out.append("</ul>")
    headline = [r for rows in figures(result) for r in rows]
    if headline:
        out.append("<h2>What these suites are for</h2><table>" + table_row("th", FIGURE_COLUMNS))
        out += [table_row("td", r) for r in headline] + ["</table>"]
    before = None
    for suite, cell, step, baseline, rows, summaries in tables(result):
        if (suite, cell) != before:
            out.append(f"<h2>{html.escape(suite)}: {html.escape(cell)}</h2>")
            before = (suite, cell)
        out.append(f"<h3>{html.escape(step)} <small>operations a second</small></h3>{bars(summaries)}<table>")
        used = used_columns(rows)
        out += [table_row("th" if r is COLUMNS else "td", [r[i] for i in used]) for r in [COLUMNS] + rows] + ["</table>"]
    out.append("</html>\n")
    return "\n".join(out)
