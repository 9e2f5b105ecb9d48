"""Runs the arms of a cell in turn, A-B-B-A, each on a fresh directory, and keeps every line they report."""

import json
import os
import platform
import shutil
import subprocess
import sys
import time

WRONG_ANSWER = 3


class Failed(Exception):
    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


def describe_machine(directory):
    def first_line(path, prefix=""):
        try:
            with open(path) as file:
                return next((line.split(":", 1)[-1].strip() for line in file if line.startswith(prefix)), "")
        except OSError:
            return ""

    kind = subprocess.run(["stat", "-f", "-c", "%T", directory], capture_output=True, text=True).stdout.strip()
    return {
        "processor": first_line("/proc/cpuinfo", "model name"),
        "processors": os.cpu_count(),
        "clock": first_line("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        "memory": first_line("/proc/meminfo", "MemTotal"),
        "kernel": platform.release(),
        "file_system": kind,
        "directory": directory,
        "time": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def quiesce(cold):
    """What the arm before wrote must not be paid for by the next one."""
    os.sync()
    if cold:
        with open("/proc/sys/vm/drop_caches", "w") as file:
            file.write("3\n")


def command_of(arm, cell, phase, database, lines, more, existing):
    threads = cell.options.get("threads", 1)
    command = [arm.binary, "--db", database, "--benchmarks", ",".join(phase), "--num", str(cell.num), "--json", lines]
    for name, value in {**cell.options, **(cell.later if existing else {})}.items():
        command += ["--" + name, str(value)]
    if existing:
        command += ["--use_existing_db", "1"]
    return command + more + [argument.format(threads=threads) for argument in arm.arguments]


def run_arm(arm, cell, directory, options):
    """One repetition: returns the report lines of all phases."""
    phases = cell.phases if options.cold or cell.later else [[w for phase in cell.phases for w in phase]]
    # The room for inserts is laid out when the keys are loaded, maybe by a process that does not insert itself.
    inserts = any(w in ("ycsbd", "ycsbe") for phase in phases for w in phase)
    database, lines = os.path.join(directory, "db"), os.path.join(directory, "lines.json")
    reported = []
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory)
    try:
        for number, phase in enumerate(phases):
            quiesce(options.cold)
            more = list(options.shared) + (["--insert_space", str(cell.num // 4 + 1)] if inserts else [])
            command = command_of(arm, cell, phase, database, lines, more, number > 0)
            load = os.getloadavg()[0]
            answer = subprocess.run(command, capture_output=True, text=True, timeout=options.timeout)
            if answer.returncode != 0:
                raise Failed(answer.returncode, f"{' '.join(command)}\n{answer.stderr.strip()}")
            with open(lines) as file:
                reported += [dict(json.loads(line), load_before=load) for line in file]
    except subprocess.TimeoutExpired:
        raise Failed(1, f"not finished after --timeout {options.timeout} s: {' '.join(command)}") from None
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return reported


def label_lines(lines):
    """Names each line of a process so that the same step has the same name in every arm and repetition."""
    seen, labelled = {}, []
    for line in lines:
        name = line["workload"]
        seen[name] = seen.get(name, 0) + 1
        labelled.append((name if seen[name] == 1 else f"{name} #{seen[name]}", line))
    return labelled


def run_cell(suite, cell, arms, directory, options, failures, unavailable):
    """Returns {arm: {step: [line of each repetition]}}; adds to `failures` and `unavailable` ({where: why})."""
    outcome = {arm.name: {} for arm in arms}
    broken = set()
    for repetition in range(options.repetitions):
        order = arms if repetition % 2 == 0 else list(reversed(arms))
        for arm in order:
            if arm.name in broken:
                continue
            print(f"{suite} / {cell.name}: repetition {repetition + 1} of {options.repetitions}, {arm.name}",
                  file=sys.stderr, flush=True)
            try:
                lines = run_arm(arm, cell, os.path.join(directory, arm.name), options)
            except Failed as failure:
                broken.add(arm.name)
                failures.append({"suite": suite, "cell": cell.name, "arm": arm.name, "status": failure.status,
                                 "text": str(failure)})
                kind = "WRONG ANSWER" if failure.status == WRONG_ANSWER else "failed"
                print(f"  {arm.name} {kind}: {failure}", file=sys.stderr, flush=True)
                continue
            for step, line in label_lines(lines):
                if "not_available" in line:
                    unavailable[f"{suite} / {cell.name} / {step} / {arm.name}"] = line["not_available"]
                else:
                    outcome[arm.name].setdefault(step, []).append(line)
    # An arm that failed once shows no figures: half a result would look like a whole one.
    return {name: steps for name, steps in outcome.items() if name not in broken and steps}
