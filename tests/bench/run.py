#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""run.py [--rounds N] [--records N] [--growth N] [--keep] [PATH ...] - measure, with the machine's floor beside it

Paths: decode null sqlite growth memory summary (all).  Every figure is the median of interleaved rounds on this machine,
now; goals are ratios to a floor of the same run wherever there is one.  Nothing here passes or fails: it prints."""
import argparse
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

BUILD = pathlib.Path(os.environ.get("top_builddir", ".")).resolve()
SOURCE = pathlib.Path(os.environ.get("top_srcdir", ".")).resolve()
BENCH = BUILD / "tests" / "bench"
ENVIRONMENT = dict(os.environ, BURSAR_PLUGIN_PATH=str(BUILD / "plugins"))

rows = []


def row(path, ours, floor, ratio, goal):
    rows.append((path, ours, floor, ratio, goal))
    print(f"  {path}: {ours}   floor {floor}   ratio {ratio}   goal {goal}", flush=True)


def program(name):
    return str(BUILD / name)


def generate(folder, name, count, first=0):
    path = folder / name
    with open(path, "wb") as out:
        subprocess.run([program("tests/bench/generate"), str(count), str(first)], stdout=out, check=True)
    return path


def once(folder, sink, lines, state="state", keep_state=False, extra=""):
    """One `bursard --once`; seconds, and peak resident memory in KB."""
    if not keep_state:
        shutil.rmtree(folder / state, ignore_errors=True)
    config = folder / "bench.yaml"
    config.write_text(f"sources: {{lines: {{plugin: file, path: {lines}, kind: metering}}}}\n"
                      f"sinks: {{ledger: {sink}}}\nstate-dir: {state}\nlog-level: error\n{extra}")
    begin = time.monotonic()
    process = subprocess.Popen([program("core/bursard"), "-c", str(config), "--once"], env=ENVIRONMENT,
                               stderr=subprocess.PIPE)
    _, errors = process.stderr.read(), None
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"bursard failed: {errors}")
    return time.monotonic() - begin, usage.ru_maxrss


def fresh(folder):
    for name in ("ledger.db", "ledger.db-wal", "ledger.db-shm"):
        (folder / name).unlink(missing_ok=True)


def floor(folder, *arguments):
    out = subprocess.run([program("tests/bench/floor_sqlite"), str(folder / "ledger.db"), str(folder / "scratch.db"),
                          *arguments], check=True, capture_output=True, text=True).stdout
    return float(re.search(r"seconds=([0-9.]+)", out)[1])


def median(values):
    return statistics.median(values)


def bench_decode(folder, options):
    lines = generate(folder, "decode.jsonl", 20000)
    out = subprocess.run([program("tests/bench_ledger"), str(lines)], check=True, capture_output=True, text=True).stdout
    for line in out.strip().splitlines():
        print("  " + line)
    rows.append(("decode", " ".join(out.split()), "", "", "<= 1.5 us a record"))


def bench_null(folder, options):
    lines = generate(folder, "null.jsonl", options.records)
    seconds = median([once(folder, '{plugin: "null"}', lines)[0] for _ in range(options.rounds)])
    rate = options.records / seconds
    cat = []
    for _ in range(options.rounds):
        begin = time.monotonic()
        subprocess.run(["wc", "-l", str(lines)], check=True, stdout=subprocess.DEVNULL)
        cat.append(time.monotonic() - begin)
    row("file -> null", f"{rate:,.0f}/s", f"{options.records / median(cat):,.0f}/s (wc -l)", "",
        ">= 300,000/s")
    lines.unlink()


def bench_sqlite(folder, options):
    lines = generate(folder, "sqlite.jsonl", options.records)
    ours, own, plain = [], [], []
    for _ in range(options.rounds):
        fresh(folder)
        ours.append(once(folder, "{plugin: sqlite, path: ledger.db}", lines)[0])
        own.append(floor(folder))
        plain.append(floor(folder, str(SOURCE / "tests/bench/reference.sql"), "plain"))
    n = options.records
    a, b, c = median(ours), median(own), median(plain)
    row("file -> SQLite, same tables", f"{n / a:,.0f}/s", f"{n / b:,.0f}/s", f"{b / a:.2f}", ">= 0.8")
    row("file -> SQLite, plain table", f"{n / a:,.0f}/s", f"{n / c:,.0f}/s", f"{c / a:.2f}", ">= 0.5")
    lines.unlink()
    (folder / "scratch.db").unlink(missing_ok=True)


def bench_growth(folder, options):
    """One ledger, a million records at a time; the cost of the last against the first."""
    fresh(folder)
    shutil.rmtree(folder / "grown", ignore_errors=True)
    cost, peak = [], 0
    for million in range(options.growth):
        lines = generate(folder, f"growth-{million}.jsonl", 1000000, million * 1000000)
        seconds, memory = once(folder, "{plugin: sqlite, path: ledger.db}", lines, state="grown", keep_state=True)
        lines.unlink()
        cost.append(seconds)
        peak = max(peak, memory)
        print(f"    {million + 1} million: {seconds:.1f} us a record, {memory // 1024} MB resident", flush=True)
    last = median(cost[-3:]) / median(cost[:2])
    row("growth", f"{cost[-1]:.1f} us a record at {options.growth} million", f"{cost[0]:.1f} us at 1 million",
        f"{last:.2f}", "<= 1.5 at 10 million")
    row("memory, SQLite", f"{peak / 1024:.0f} MB", "32 MB of it SQLite's cache", "", "<= 64 MB without caches")
    bench_summary(folder, options, growing=True)


def bench_summary(folder, options, growing=False):
    if not growing and not (folder / "ledger.db").exists():
        lines = generate(folder, "summary.jsonl", options.records)
        once(folder, "{plugin: sqlite, path: ledger.db}", lines)
        lines.unlink()
    command = [program("core/bursar"), "-c", str(folder / "bench.yaml"), "report", "summary", "--by", "provider",
               "--since", "2026-11-01T00:00:00Z", "--until", "2026-12-01T00:00:00Z", "--format", "json"]
    version = [program("core/bursar"), "--version"]
    ours, idle = [], []
    for _ in range(max(options.rounds, 11)):
        begin = time.monotonic()
        subprocess.run(command, env=ENVIRONMENT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        ours.append(time.monotonic() - begin)
        begin = time.monotonic()
        subprocess.run(version, env=ENVIRONMENT, check=True, stdout=subprocess.DEVNULL)
        idle.append(time.monotonic() - begin)
    row("month's summary by provider", f"{median(ours) * 1e3:.1f} ms", f"{median(idle) * 1e3:.1f} ms (process start)",
        f"{(median(ours) - median(idle)) * 1e3:.1f} ms more", "<= 20 ms over 10 million")


def bench_memory(folder, options):
    lines = generate(folder, "memory.jsonl", options.records)
    peak = max(once(folder, '{plugin: "null"}', lines)[1] for _ in range(2))
    row("memory, null", f"{peak / 1024:.0f} MB", "", "", "<= 64 MB")
    lines.unlink()


PATHS = {"decode": bench_decode, "null": bench_null, "sqlite": bench_sqlite, "growth": bench_growth,
         "memory": bench_memory, "summary": bench_summary}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--records", type=int, default=1000000)
    parser.add_argument("--growth", type=int, default=10, help="millions")
    parser.add_argument("--folder", help="where to work (default: a temporary folder)")
    parser.add_argument("paths", nargs="*", metavar="PATH")
    options = parser.parse_args()
    wanted = options.paths or ["decode", "null", "memory", "sqlite", "growth"]
    for path in wanted:
        if path not in PATHS:
            sys.exit(f"run.py: no path '{path}'; there are {', '.join(PATHS)}")
    folder = pathlib.Path(options.folder or tempfile.mkdtemp(prefix="bursar-bench-"))
    folder.mkdir(exist_ok=True)
    try:
        for path in wanted:
            print(path, flush=True)
            PATHS[path](folder, options)
    finally:
        if not options.folder:
            shutil.rmtree(folder)
    print(f"\n{os.cpu_count()} processors, {os.uname().machine}, {options.records:,} records, medians of"
          f" {options.rounds} rounds, load {os.getloadavg()[0]:.1f}\n")
    for path, ours, base, ratio, goal in rows:
        print(f"{path:32} {ours:34} {base:28} {ratio:14} {goal}")


if __name__ == "__main__":
    main()
