#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""run.py [--rounds N] [--records N] [--growth N] [PATH ...] - measure, with the machine's floor beside it

Paths: decode price null memory sqlite http growth questions postgres amqp purge questions-postgres (all), and growth-postgres.
Those with a server are run between servers of this machine's distribution that end with the run.  Every figure is the median of
interleaved rounds on this machine, now; goals are ratios to a floor of the same run wherever there is one.  Nothing here passes or
fails: it prints.  The ledgers of `growth` and `questions` take 6 GB of the folder."""
import argparse
import json
import os
import pathlib
import re
import shutil
import socket
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


def generate(folder, name, count, first=0, step=50000):
    path = folder / name
    with open(path, "wb") as out:
        subprocess.run([program("tests/bench/generate"), str(count), str(first), str(step)], stdout=out, check=True)
    return path


def once(folder, sink, lines, state="state", keep_state=False, extra="", kind="metering"):
    """One `bursard --once`; seconds, and peak resident memory in KB."""
    if not keep_state:
        shutil.rmtree(folder / state, ignore_errors=True)
    config = folder / "bench.yaml"
    config.write_text(f"sources: {{lines: {{plugin: file, path: {lines}, kind: {kind}}}}}\n"
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


def bench_price(folder, options):
    out = subprocess.run([program("tests/bench/price")], check=True, capture_output=True, text=True).stdout
    for line in out.strip().splitlines():
        print("  " + line)
    rows.append(("price", " ".join(out.split()), "", "", "<= 200 ns a record"))


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


# --- questions ----------------------------------------------------------------------------------------------------------------

# Records of three months are asked for one of them.
SINCE, UNTIL = "2025-02-01", "2025-03-01"
MONTHS_US = 90 * 86400 * 1000000
DAYS = "day >= 20120 AND day < 20148"
SUMMARY = f"SELECT provider, {{}} FROM {{}} WHERE dimension = 'all' AND value = '' AND {DAYS} GROUP BY provider"
BUDGET = f"SELECT sum(request_count), sum(cost_nano) FROM {{}} WHERE dimension = 'budget_id' AND value = 'budget_7' AND {DAYS}"
SUMS = ("input_tokens", "output_tokens", "thinking_tokens", "total_tokens", "cost_nano", "latency_ms", "request_count",
        "error_count")


def months(folder, options, sink):
    """A ledger of so many million records, its days summed up by the job."""
    shutil.rmtree(folder / "grown", ignore_errors=True)
    step = MONTHS_US // (options.growth * 1000000)
    for million in range(options.growth):
        lines = generate(folder, f"months-{million}.jsonl", 1000000, million * 1000000, step)
        once(folder, sink, lines, state="grown", keep_state=True)
        lines.unlink()
    begin = time.monotonic()
    run_command("-c", str(folder / "bench.yaml"), "jobs", "run", "rollup", env=ENVIRONMENT)
    print(f"    {options.growth} million, days summed up in {time.monotonic() - begin:.0f} s", flush=True)


def run_command(*arguments, command=None, env=None):
    """Seconds of the command, and of those the processor's."""
    begin = time.monotonic()
    process = subprocess.Popen([command or program("core/bursar"), *arguments], env=env or ENVIRONMENT,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) not in (0, 3):
        sys.exit(f"bursar {' '.join(arguments)} failed: {errors}")
    return time.monotonic() - begin, usage.ru_utime + usage.ru_stime


def bench_question(folder, options, name, goal, floor_of, *arguments):
    """What a person sees who runs the command: wall, from its start to its end.  Beside it a program of the database with nothing
    to do but to start, and to log in in the same way; and that program with no more than the sum.  The goal is that of what the
    command adds to the floor, and of the whole."""
    ours, theirs, idle = [], [], []
    for _ in range(max(options.rounds, 21)):
        ours.append(run_command("-c", str(folder / "bench.yaml"), *arguments))
        theirs.append(run_command(*floor_of[1:-1], floor_of[-1], command=floor_of[0]))
        idle.append(run_command(*floor_of[1:-1], "SELECT 1", command=floor_of[0]))
    a, b, c = [[median([one[i] for one in of]) * 1e3 for i in (0, 1)] for of in (ours, theirs, idle)]
    row(name, f"{a[0]:.1f} ms ({a[1]:.1f} of the processor)",
        f"{c[0]:.1f} ms ({c[1]:.1f}; {b[0]:.1f} with the sum)", f"+{a[0] - c[0]:.1f} ms", goal)


def ask(folder, options, title, tool, prefix=""):
    sums = ", ".join(f"sum({one})" for one in SUMS)
    window = ("--since", SINCE, "--until", UNTIL, "--format", "json")
    bench_question(folder, options, f"month's summary by provider, {title}", "<= 20 ms, 10 million",
                   [*tool, SUMMARY.format(sums, prefix + "rollup_days")], "report", "summary", "--by", "provider", *window)
    bench_question(folder, options, f"one budget, {title}", "<= 5 ms, 10 million",
                   [*tool, BUDGET.format(prefix + "rollup_days")], "budget", "check", "budget_7", "--limit", "1000", *window)


def bench_questions(folder, options):
    fresh(folder)
    months(folder, options, "{plugin: sqlite, path: ledger.db}")
    ask(folder, options, "SQLite", [shutil.which("sqlite3"), "-readonly", str(folder / "ledger.db")])


def bench_memory(folder, options):
    lines = generate(folder, "memory.jsonl", options.records)
    peak = max(once(folder, '{plugin: "null"}', lines)[1] for _ in range(2))
    row("memory, null", f"{peak / 1024:.0f} MB", "", "", "<= 64 MB")
    lines.unlink()


# --- HTTP ---------------------------------------------------------------------------------------------------------------------

def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def listens(port):
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def answered(folder, sink, lines, connections, records):
    """A daemon and its clients: what they say, its CPU seconds and its peak resident memory in KB."""
    shutil.rmtree(folder / "http-state", ignore_errors=True)
    port = free_port()
    config = folder / "http.yaml"
    config.write_text(f'sources: {{in: {{plugin: http, listen: "127.0.0.1:{port}", kind: metering}}}}\n'
                      f"sinks: {{ledger: {sink}}}\nstate-dir: http-state\nlog-level: error\n")
    process = subprocess.Popen([program("core/bursard"), "-c", str(config)], env=ENVIRONMENT)
    while not listens(port):
        if process.poll() is not None:
            sys.exit("bursard ended")
        time.sleep(0.02)
    said = subprocess.run([program("tests/bench/http_load"), str(port), str(lines), "--connections", str(connections),
                           "--records", str(records)], capture_output=True, text=True, check=False)
    process.terminate()
    _, _, usage = os.wait4(process.pid, 0)
    if said.returncode != 0:
        sys.exit(said.stderr)
    figures = {name: float(value) for name, value in re.findall(r"(\w+)=([0-9.]+)", said.stdout)}
    if figures["again"]:
        sys.exit(f"requests had to be sent again: {said.stdout}")
    return figures, usage.ru_utime + usage.ru_stime, usage.ru_maxrss


def bench_http(folder, options):
    """Records that are answered when they are stored, beside the same records read from a file."""
    many = generate(folder, "http.jsonl", options.records)
    single = generate(folder, "single.jsonl", max(options.records // 10, 1000), options.records)
    sink = "{plugin: sqlite, path: ledger.db}"
    file, ours, alone = [], [], []
    for _ in range(options.rounds):
        fresh(folder)
        before = sum(os.times()[2:4])
        seconds, _ = once(folder, sink, many)
        file.append((seconds, sum(os.times()[2:4]) - before))
        fresh(folder)
        ours.append(answered(folder, sink, many, 128, 100))
        fresh(folder)
        alone.append(answered(folder, sink, single, 64, 1))
    n, a, b = options.records, median([one[0] for one in file]), median([one[0]["seconds"] for one in ours])
    row("HTTP, 100 records a request -> SQLite", f"{n / b:,.0f}/s", f"{n / a:,.0f}/s (file)", f"{a / b:.2f}", ">= 0.7")
    a, b = median([one[1] for one in file]), median([one[1] for one in ours])
    row("  CPU of the daemon", f"{b / n * 1e6:.1f} us a record", f"{a / n * 1e6:.1f} us (file)", f"{a / b:.2f}", "")
    row("  CPU of the clients", f"{median([one[0]['cpu_s'] for one in ours]) / n * 1e6:.2f} us a record", "", "", "")
    row("  memory", f"{max(one[2] for one in ours) / 1024:.0f} MB", "32 MB of it SQLite's cache", "",
        "<= 66 MB without caches")
    figures = sorted((one[0] for one in alone), key=lambda one: one["seconds"])[len(alone) // 2]
    m = figures["records"]
    row("HTTP, one record a request, 64 connections", f"{figures['per_s']:,.0f}/s",
        f"{figures['p50_ms']:.1f} ms, {figures['p99_ms']:.1f} ms (p50, p99)", "", "")
    row("  CPU of the daemon", f"{median([one[1] for one in alone]) / m * 1e6:.1f} us a record", "", "", "")
    row("  CPU of the clients", f"{figures['cpu_s'] / m * 1e6:.2f} us a record", "", "", "")
    many.unlink()
    single.unlink()


# --- PostgreSQL ---------------------------------------------------------------------------------------------------------------

def psql(*statements, conninfo="BURSAR_TEST_PG"):
    arguments = [word for one in statements for word in ("-c", one)]
    return subprocess.run(["psql", "-qAtX", "-v", "ON_ERROR_STOP=1", os.environ[conninfo], *arguments], check=True,
                          capture_output=True, text=True).stdout.strip()


def postgres_sink():
    return f'{{plugin: postgres, schema: bursar, conninfo: "{os.environ["BURSAR_TEST_PG"]}"}}'


def fresh_postgres():
    psql("DROP SCHEMA IF EXISTS bursar CASCADE", "CREATE SCHEMA bursar AUTHORIZATION bursar",
         "GRANT USAGE ON SCHEMA bursar TO bursar_reader", conninfo="BURSAR_TEST_PG_ADMIN")
    psql("CHECKPOINT", conninfo="BURSAR_TEST_PG_ADMIN")


def floor_postgres(*arguments):
    out = subprocess.run([str(SOURCE / "tests/bench/floor_postgres.sh"), os.environ["BURSAR_TEST_PG_ADMIN"], "bursar",
                          *arguments], check=True, capture_output=True, text=True).stdout
    return float(re.search(r"seconds=([0-9.]+)", out)[1])


def bench_postgres(folder, options):
    lines = generate(folder, "postgres.jsonl", options.records)
    ours, own, plain, peak = [], [], [], 0
    for _ in range(options.rounds):
        fresh_postgres()
        seconds, memory = once(folder, postgres_sink(), lines)
        ours.append(seconds)
        peak = max(peak, memory)
        own.append(floor_postgres())
        plain.append(floor_postgres(str(SOURCE / "tests/bench/reference.sql"), "plain"))
    n = options.records
    a, b, c = median(ours), median(own), median(plain)
    row("file -> PostgreSQL, same tables", f"{n / a:,.0f}/s", f"{n / b:,.0f}/s", f"{b / a:.2f}", ">= 0.8")
    row("file -> PostgreSQL, plain table", f"{n / a:,.0f}/s", f"{n / c:,.0f}/s", f"{c / a:.2f}", ">= 0.5")
    row("memory, PostgreSQL", f"{peak / 1024:.0f} MB", "", "", "<= 64 MB")
    lines.unlink()


def bench_growth_postgres(folder, options):
    fresh_postgres()
    shutil.rmtree(folder / "grown", ignore_errors=True)
    cost = []
    for million in range(options.growth):
        lines = generate(folder, f"growth-{million}.jsonl", 1000000, million * 1000000)
        cost.append(once(folder, postgres_sink(), lines, state="grown", keep_state=True)[0])
        lines.unlink()
        print(f"    {million + 1} million: {cost[-1]:.1f} us a record", flush=True)
    last = median(cost[-3:]) / median(cost[:2])
    row("growth, PostgreSQL", f"{cost[-1]:.1f} us a record at {options.growth} million", f"{cost[0]:.1f} us at 1 million",
        f"{last:.2f}", "<= 1.5 at 10 million")


def bench_questions_postgres(folder, options):
    fresh_postgres()
    months(folder, options, postgres_sink())
    ask(folder, options, "PostgreSQL", [program("tests/bench/floor_login"), os.environ["BURSAR_TEST_PG"]], "bursar.")


def expired_bodies(folder, count):
    """Prompts that expire one and two days from their time, all of which is long past."""
    path = folder / "bodies.jsonl"
    with open(path, "w", encoding="utf-8") as out:
        for i in range(count):
            out.write(json.dumps({
                "kind": "prompt", "properties": {"message_id": f"old-{i}"},
                "body": {"request": {"messages": [{"role": "user", "content": "x" * 600}]},
                         "response": "y" * 300, "timestamps": {"returned": time.strftime(
                             "%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 43200 - i % 3600))}}}) + "\n")
    return path


def bench_purge(folder, options):
    """Bodies that expired yesterday: ten times the rows, the same work."""
    seconds = {}
    for count in (options.records // 20, options.records // 2):
        fresh_postgres()
        lines = expired_bodies(folder, count)
        once(folder, postgres_sink(), lines, kind='""', extra="retention: {default-days: 1}\n")
        lines.unlink()
        begin = time.monotonic()
        out = subprocess.run(["faketime", "-f", "+3d", program("core/bursar"), "-c", str(folder / "bench.yaml"), "purge"],
                             env=ENVIRONMENT, capture_output=True, text=True, check=False)
        seconds[count] = time.monotonic() - begin
        left = int(psql("SELECT count(*) FROM bursar.prompt_records"))
        if out.returncode != 0 or left != 0:
            sys.exit(f"purge left {left} of {count}: {out.stdout}{out.stderr}")
    few, many = sorted(seconds)
    row("purge, PostgreSQL", f"{seconds[many] * 1e3:.0f} ms for {many:,} bodies",
        f"{seconds[few] * 1e3:.0f} ms for {few:,}", f"{seconds[many] / seconds[few]:.2f}", "does not scale with the rows")


# --- AMQP ---------------------------------------------------------------------------------------------------------------------

def broker(*arguments):
    return subprocess.run([program("tests/broker"), os.environ["BURSAR_TEST_AMQP"], *map(str, arguments)], check=True,
                          capture_output=True, text=True).stdout


def fill(queue, lines, quorum):
    broker("declare", queue, *(["--quorum"] if quorum else []))
    broker("purge", queue)
    broker("publish", queue, lines, "--confirm", "--ids", queue)


def stored(folder):
    """What the daemon's sink has stored; 0 while none answers."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(folder / "amqp-state" / "status"))
            data = b""
            while more := client.recv(65536):
                data += more
        except OSError:
            return 0
    return sum(sink["stored"] + sink["duplicates"] for sink in json.loads(data)["sinks"]) if data else 0


def daemon(folder, sink, queue, count):
    """Seconds from the start of a daemon to the last message stored, and peak resident memory in KB."""
    shutil.rmtree(folder / "amqp-state", ignore_errors=True)
    config = folder / "amqp.yaml"
    config.write_text(f'sources: {{queue: {{plugin: amqp, uri: "{os.environ["BURSAR_TEST_AMQP"]}", queue: {queue},'
                      f" kind: metering}}}}\nsinks: {{ledger: {sink}}}\nstate-dir: amqp-state\nlog-level: error\n")
    begin = time.monotonic()
    process = subprocess.Popen([program("core/bursard"), "-c", str(config)], env=ENVIRONMENT)
    while stored(folder) < count:
        if process.poll() is not None:
            sys.exit("bursard ended")
        time.sleep(0.02)
    seconds = time.monotonic() - begin
    process.terminate()
    _, _, usage = os.wait4(process.pid, 0)
    return seconds, usage.ru_maxrss


def bench_amqp(folder, options):
    count = max(options.records // 2, 1000)	# so many that starting a daemon hardly counts
    lines = generate(folder, "amqp.jsonl", count)
    peak = 0
    for quorum in (False, True):
        bare, to_sqlite, to_postgres, copy = [], [], [], []
        kind = "quorum" if quorum else "classic"
        for _ in range(options.rounds):
            fill(f"bare-{kind}", lines, quorum)
            fill(f"ours-{kind}", lines, quorum)
            bare.append(float(re.search(r"seconds=([0-9.]+)", broker("consume", f"bare-{kind}", count))[1]))
            fresh(folder)
            seconds, memory = daemon(folder, "{plugin: sqlite, path: ledger.db}", f"ours-{kind}", count)
            to_sqlite.append(seconds)
            peak = max(peak, memory)
            fill(f"ours-{kind}", lines, quorum)
            fresh_postgres()
            seconds, memory = daemon(folder, postgres_sink(), f"ours-{kind}", count)
            to_postgres.append(seconds)
            peak = max(peak, memory)
            copy.append(floor_postgres())
        a, b, c, d = median(bare), median(to_sqlite), median(to_postgres), median(copy)
        row(f"AMQP ({kind}) -> SQLite", f"{count / b:,.0f}/s", f"{count / a:,.0f}/s (idle consumer)", f"{a / b:.2f}",
            ">= 0.8" if not quorum else "")
        row(f"AMQP ({kind}) -> PostgreSQL", f"{count / c:,.0f}/s", f"{count / (a + d):,.0f}/s (consumer, then COPY)",
            f"{(a + d) / c:.2f}", ">= 0.7")
    row("memory, AMQP", f"{peak / 1024:.0f} MB", "32 MB of it SQLite's cache", "", "<= 64 MB without caches")
    lines.unlink()


# --- all ----------------------------------------------------------------------------------------------------------------------

def have_servers(arguments):
    """Runs all of it once more between servers, where there are any to start."""
    if "BURSAR_TEST_SERVERS" in os.environ:
        return True
    if not os.path.exists(program("tests/broker")):
        return False
    done = subprocess.run([str(SOURCE / "tests/servers"), "run", "--", sys.executable, __file__, *arguments], check=False)
    if done.returncode != 77:
        sys.exit(done.returncode)
    return False


PATHS = {"decode": bench_decode, "price": bench_price, "null": bench_null, "sqlite": bench_sqlite, "growth": bench_growth,
         "memory": bench_memory, "http": bench_http, "questions": bench_questions,
         "questions-postgres": bench_questions_postgres, "postgres": bench_postgres, "amqp": bench_amqp,
         "purge": bench_purge, "growth-postgres": bench_growth_postgres}
NEED_SERVERS = {"postgres", "amqp", "purge", "growth-postgres", "questions-postgres"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--records", type=int, default=1000000)
    parser.add_argument("--growth", type=int, default=10, help="millions")
    parser.add_argument("--folder", help="where to work (default: a temporary folder)")
    parser.add_argument("paths", nargs="*", metavar="PATH")
    options = parser.parse_args()
    wanted = options.paths or ["decode", "price", "null", "memory", "sqlite", "http", "growth", "questions", "postgres",
                               "amqp", "purge", "questions-postgres"]
    for path in wanted:
        if path not in PATHS:
            sys.exit(f"run.py: no path '{path}'; there are {', '.join(PATHS)}")
    if NEED_SERVERS.intersection(wanted) and not have_servers(sys.argv[1:]):
        print("left out, for want of RabbitMQ, PostgreSQL or rabbitmq-c: " + " ".join(NEED_SERVERS.intersection(wanted)))
        wanted = [path for path in wanted if path not in NEED_SERVERS]
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
