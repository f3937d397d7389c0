#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The service web over a daemon at work: what it says is what happened, who
may ask is held to, and nobody who asks disturbs."""
import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
import daemon  # noqa: E402
from daemon import check, equal  # noqa: E402
from web import Web  # noqa: E402

FACTS = daemon.scaled(3000, 300)
SLOW = 64		# connections
FLOOD = 4		# threads that ask and ask


def locked(ground):
    """Nobody else writes the ledger meanwhile."""
    @contextlib.contextmanager
    def lock():
        database = sqlite3.connect(ground.ledger, isolation_level=None)
        database.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            database.execute("ROLLBACK")
            database.close()
    return lock()


# --- what is said ----------------------------------------------------------------

def every_outcome(ground):
    """Messages of which each outcome is known; writes them."""
    facts = [daemon.fact(n) for n in range(FACTS)]
    again = facts[:FACTS // 3]
    clash = [daemon.fact(n, worker_id="other") for n in range(7)]
    tools = [daemon.tool(n) for n in range(11)]
    prompts = [daemon.prompt(n) for n in range(13)]
    broken = ["{"] * 5 + ["[1]"] * 2
    no_kind = [{"input_tokens": 1}] * 3
    ground.write("in/a.jsonl", facts)
    ground.write("in/b.jsonl", broken + no_kind + tools + prompts)
    return {"stored": len(facts) + len(prompts), "duplicate": len(again),
            "conflict": len(clash), "discarded": len(tools),
            "refused": len(broken) + len(no_kind)}, again + clash


def figures_are_what_happened(ground):
    web = Web(ground, routes=[{"kinds": ["metering", "prompt"],
                               "sinks": ["ledger"]}],
              discard=["tool"]).start()
    want, later = every_outcome(ground)
    web.wait_read(sum(want.values()) - len(later))
    ground.write("in/c.jsonl", later)
    figures = web.wait_read(sum(want.values()))
    got = figures.by("bursar_messages_total", "outcome")
    equal({name: got[name] for name in want}, want, "every outcome")
    equal(sum(got.values()), figures.sum("bursar_messages_read_total"),
          "outcomes add up to what was read")
    equal(sum(got.values()), sum(want.values()), "and to what was sent")
    equal(got["returned"] + got["void"], 0, "nothing went back")
    equal(figures.sum("bursar_end_to_end_seconds_count"), sum(got.values()),
          "each message has its time")
    equal(figures.by("bursar_records_total", "outcome", sink="ledger"),
          {"stored": want["stored"], "duplicate": want["duplicate"],
           "conflict": want["conflict"], "refused": 0, "dropped": 0},
          "records of the sink")
    equal(ground.count() + ground.count("prompt"), want["stored"],
          "as the ledger has them")
    letters = figures.by("bursar_dead_letters_total", "reason", source="in")
    for reason, count in letters.items():
        equal(len(ground.letters(reason)), count, "letters of " + reason)
    equal(sum(letters.values()), want["refused"] + want["conflict"],
          "all that was refused")
    equal(figures.sum("bursar_dead_letters_bytes"),
          sum(os.path.getsize(os.path.join(path, name))
              for path, _, names in os.walk(
                  os.path.join(ground.state_dir, "dead-letters"))
              for name in names if name.endswith(".jsonl")),
          "bytes of letters")
    equal(figures.sum("bursar_batches_total", verdict="done"),
          figures.sum("bursar_commit_seconds_count"),
          "each commit has its time")
    seconds = figures.sum("bursar_commit_seconds_sum")
    check(0 < seconds <= figures.sum("bursar_write_seconds_total") < 60,
          "seconds are seconds", seconds)
    equal(figures.sum("bursar_read_bytes_total"),
          sum(os.path.getsize(ground.path("in/" + name)) - 1 * count
              for name, count in ((name, open(ground.path(
                  "in/" + name), "rb").read().count(b"\n"))
                  for name in ("a.jsonl", "b.jsonl", "c.jsonl"))),
          "bytes, line ends left out")
    check_process(figures, web.process.pid)
    equal(web.process.stop(), 0, "TERM ends it with 0")


def check_process(figures, pid):
    equal(figures.sum("bursar_build_info"), 1, "it says which build it is")
    started = figures.sum("process_start_time_seconds")
    check(abs(time.time() - started) < 120, "when it was started", started)
    with open("/proc/%d/status" % pid, encoding="ascii") as file:
        kb = int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1))
    resident = figures.sum("process_resident_memory_bytes")
    check(0.5 < resident / (kb * 1024) < 2, "resident memory", resident, kb)
    files = len(os.listdir("/proc/%d/fd" % pid))
    check(abs(files - figures.sum("process_open_fds")) <= 2, "open files",
          figures.sum("process_open_fds"), files)
    ticks = open("/proc/%d/stat" % pid,
                 encoding="ascii").read().rsplit(")", 1)[1].split()
    seconds = (int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK")
    check(abs(seconds - figures.sum("process_cpu_seconds_total")) < 1,
          "CPU seconds", seconds)


def histograms_grow_and_add_up(ground):
    web = Web(ground).start()
    ground.write("in/a.jsonl", [daemon.fact(n) for n in range(200)])
    figures = web.wait_read(200)
    for name, kind in figures.types.items():
        if kind != "histogram":
            continue
        buckets = [(float(le), value) for le, value in
                   figures.by(name + "_bucket", "le").items()]
        buckets.sort()
        counts = [value for _, value in buckets]
        equal(counts, sorted(counts), name + " grows")
        equal(counts[-1], figures.sum(name + "_count"), "to its count")
    web.process.stop()


def prometheus_has_no_complaint(ground):
    if shutil.which("promtool") is None:
        raise daemon.Skip("promtool is not installed")
    web = Web(ground).start()
    ground.write("in/a.jsonl", [daemon.fact(1), "{"])
    text = web.wait_read(2).text
    done = subprocess.run(["promtool", "check", "metrics"],
                          input=text.encode(), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False)
    equal((done.returncode, done.stdout.decode()), (0, ""),
          "`promtool check metrics` has no complaint")
    web.process.stop()


def keys_have_an_age(ground):
    secret = daemon.cluster_secret(ground, "secret")
    os.utime(secret, (1700000000, 1700000000))
    web = Web(ground, source={"crypto": "key"},
              crypto={"key": {"plugin": "cluster", "secret-file": secret}})
    web.start()
    figures = web.figures()
    equal(figures.sum("bursar_secret_modified_timestamp_seconds",
                      crypto="key", option="secret"), 1700000000,
          "a secret is as old as its file")
    ground.write("in/a.jsonl", daemon.sealed(
        ground, "key", [daemon.prompt(n) for n in range(5)]))
    figures = web.wait_read(5)
    equal(figures.sum("bursar_messages_total", outcome="stored"), 5,
          "and opens")
    web.process.stop()


# --- health ----------------------------------------------------------------------

def a_sink_that_is_away_is_named_until_it_is_back(ground):
    web = Web(ground).start()
    ground.write("in/a.jsonl", [daemon.fact(1)])
    web.wait_read(1)
    equal(web.ready()[0], 200, "ready")
    with locked(ground):
        ground.write("in/b.jsonl", [daemon.fact(2)])
        daemon.wait_for(lambda: web.ready()[0] == 503, "it is not ready")
        told = json.loads(web.ask("/readyz")[2])
        routes = {one["name"]: one for one in told["routes"]}
        equal((told["ready"], routes["metering"]["state"]), (False, "held"),
              "the route is held")
        check("sink 'ledger'" in routes["metering"]["why"] and
              "locked" in routes["metering"]["why"], "it says why",
              routes["metering"]["why"])
        ages = []
        for _ in range(3):
            time.sleep(0.2)
            ages.append(web.figures().sum("bursar_oldest_unsettled_seconds"))
        check(0 < ages[0] < ages[1] < ages[2] and ages[2] - ages[0] > 0.35,
              "the oldest message grows older", ages)
        figures = web.figures()
        equal(figures.sum("bursar_in_flight_messages"), 1, "one in flight")
        equal(figures.sum("bursar_queue_records"), 1, "one waits")
        equal(figures.sum("bursar_ready"), 0, "bursar_ready is 0")
        equal(figures.by("bursar_route_state", "state", kind="metering"),
              {"opening": 0, "open": 0, "held": 1, "blocked": 0},
              "the route's state")
        check(figures.sum("bursar_sink_retries_total", **{"class": "retry"})
              > 0, "it is tried again")
        equal(web.ask("/livez")[0], 200, "it is alive all the same")
    daemon.wait_for(lambda: web.ready()[0] == 200, "it is ready again")
    figures = web.wait_read(2)
    equal((figures.sum("bursar_oldest_unsettled_seconds"),
           figures.sum("bursar_ready")), (0, 1), "nothing is old any more")
    web.process.stop()


def a_thread_that_hangs_is_named(ground):
    web = Web(ground, web={"stalled-after": "1s"},
              sink={"busy-timeout": "20s"}).start()
    ground.write("in/a.jsonl", [daemon.fact(1)])
    web.wait_read(1)
    equal(web.ask("/livez")[::2], (200, "live\n"), "/livez is 200")
    with locked(ground):
        ground.write("in/b.jsonl", [daemon.fact(2)])
        daemon.wait_for(lambda: web.ask("/livez")[0] == 503,
                        "/livez is 503")
        said = web.ask("/livez")[2]
        check(said.startswith("stalled: sink ledger has been at one thing"),
              "it names the thread", said)
        check(web.figures().sum("bursar_thread_busy_seconds",
                                thread="sink ledger") > 1, "so do figures")
    daemon.wait_for(lambda: web.ask("/livez")[0] == 200, "/livez is 200")
    web.process.stop()


# --- who may ask -----------------------------------------------------------------

def only_what_is_there_is_answered(ground):
    web = Web(ground, web={"hosts": ["metrics.example.org"]}).start()
    for path, words in (("/metrics", "bursar_build_info"),
                        ("/livez", "live"), ("/readyz", '"ready":true'),
                        ("/", "/metrics")):
        daemon.wait_for(lambda: web.ask(path)[0] == 200, path)
        status, headers, text = web.ask(path)
        check(words in text, path, text)
        again, head, nothing = web.ask(path, method="HEAD")
        equal((again, nothing), (status, ""), "HEAD " + path)
        equal(head["Content-Type"], headers["Content-Type"], "has its head")
    equal(web.ask("/metrics")[1]["Content-Type"],
          "text/plain; version=0.0.4; charset=utf-8", "the format is named")
    equal(web.ask("/metrics?x=1")[0], 200, "a query is not looked at")
    for path in ("/metric", "/metrics/", "//metrics", "/../etc/passwd"):
        equal(web.ask(path)[0], 404, "404: " + path)
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"):
        status, headers, _ = web.ask("/metrics", method, b"x" * 100)
        equal((status, headers["Allow"]), (405, "GET, HEAD"), method)
    for host, want in (("evil.example", 421), ("localhost.evil.example", 421),
                       ("localhost", 200), ("[::1]:1", 200),
                       ("Metrics.example.org:443", 200)):
        equal(web.ask("/metrics", Host=host)[0], want, "Host " + host)
    equal(web.ask("/metrics", Origin="http://evil.example")[0], 403,
          "pages of others are refused")
    own = "127.0.0.1:%d" % web.port
    equal(web.ask("/metrics", Origin="http://" + own, Host=own)[0], 200,
          "our own are not")
    with socket.create_connection(("127.0.0.1", web.port)) as old:
        old.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
        check(old.recv(100).startswith(b"HTTP/1.1 200"), "HTTP/1.0, no Host")
    with socket.create_connection(("127.0.0.1", web.port)) as long:
        long.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: " +
                     b"x" * 70000)
        check(re.match(rb"HTTP/1.1 4\d\d", long.recv(100)),
              "a header that is too long is refused")
    check(web.figures().sum("bursar_plugin_requests_refused_total") >= 13,
          "refusals are counted")
    web.process.stop()


def add_token(ground, name):
    return ground.bursar("token", "add", name, "--file",
                         ground.path("tokens")).splitlines()[0]


def tokens_open_the_figures(ground):
    token = add_token(ground, "prometheus")
    web = Web(ground, web={"token-file": ground.path("tokens")}).start()
    bearer = {"Authorization": "Bearer " + token}
    status, headers, text = web.ask("/metrics")
    equal((status, headers["WWW-Authenticate"].split()[0]), (401, "Bearer"),
          "401 without a token")
    check("bursar_" not in text, "and no figure", text)
    equal(web.ask("/metrics", Authorization="Bearer " + "x" * 43)[0], 401,
          "401 with another")
    equal(web.ask("/metrics", **bearer)[0], 200, "200 with it")
    daemon.wait_for(lambda: web.ask("/readyz")[0] == 200, "it is ready")
    equal(json.loads(web.ask("/readyz")[2]), {"ready": True},
          "/readyz tells others no more than that")
    check("routes" in json.loads(web.ask("/readyz", **bearer)[2]),
          "and all to who has it")
    equal(web.ask("/livez")[::2], (200, "live\n"), "/livez wants none")
    figures = web.figures(**bearer)
    equal(figures.sum("bursar_plugin_known_tokens"), 1, "one is known")
    check(abs(time.time() - figures.sum(
        "bursar_plugin_tokens_modified_timestamp_seconds")) < 120,
          "and how old they are")
    ground.bursar("token", "remove", "prometheus", "--file",
                  ground.path("tokens"))
    daemon.wait_for(lambda: web.ask("/metrics", **bearer)[0] == 401,
                    "it is forgotten")
    web.process.stop()


def other_machines_need_a_token_or_a_word(ground):
    web = Web(ground, web={"listen": "0.0.0.0:%d" % daemon.free_port()})
    said = ground.bursar("check", status=1)
    check("allow-all" in said and "token-file" in said,
          "`bursar check` says what to do", said)
    with open(ground.config, encoding="utf-8") as file:
        lines = file.read().splitlines()
    line = 1 + next(n for n, one in enumerate(lines) if '"0.0.0.0' in one)
    process = ground.start()
    event = process.wait_event("service-blocked")
    check("%s:%d: listen: " % (ground.config, line) in event,
          "the alarm names file, line and option", event)
    ground.write("in/a.jsonl", [daemon.fact(1)])
    ground.wait_settled(1)
    process.stop()
    web.web["allow-all"] = True
    web.configure()
    web.port = int(web.web["listen"].split(":")[1])
    web.start()
    equal(web.ask("/metrics")[0], 200, "a word is enough")
    web.process.stop()
    for more, words in (({"listen": "nowhere"}, "listen: "),
                        ({"listen": "127.0.0.1:1", "token-file": "/none"},
                         "token-file: /none"),
                        ({"cert-file": "/none"}, "cert-file: ")):
        web.web = dict({"plugin": "web"}, **more)
        web.configure()
        said = ground.bursar("check", status=1)
        check(words in said, "`bursar check` names " + words, said)


def a_port_that_is_taken_is_an_alarm_and_passes(ground):
    web = Web(ground)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", web.port))
        other.listen(1)
        process = ground.start()
        event = process.wait_event("service-blocked")
        check("listen: cannot listen" in event, "the alarm says it", event)
    process.wait_event("listening")
    equal(web.ask("/livez")[0], 200, "it listens when the port is free")
    equal(process.stop(), 0, "and ends")


# --- clients ---------------------------------------------------------------------

def slow_clients_are_cut(ground):
    web = Web(ground, web={"timeout": "500ms", "connections": 16,
                           "connections-per-address": 16}).start()
    slow = []
    for n in range(SLOW):
        one = socket.socket()
        one.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            one.connect(("127.0.0.1", web.port))
        slow.append(one)
    until = time.monotonic() + 3
    dripped = 0
    while time.monotonic() < until:
        for one in slow:
            with contextlib.suppress(OSError):
                one.send(b"G")
                dripped += 1
        time.sleep(0.1)
    check(dripped > SLOW, "%d bytes dripped" % dripped)
    ground.write("in/a.jsonl", [daemon.fact(n) for n in range(100)])
    ground.wait_settled(100)
    for one in slow:
        one.close()
    daemon.wait_for(lambda: web.ask("/livez")[0] == 200, "it is answered")
    check(web.figures().sum("bursar_plugin_connections_cut_total") >= 16,
          "slow ones were cut")
    idle = [socket.create_connection(("127.0.0.1", web.port))
            for _ in range(10)]
    equal(web.process.stop(), 0, "TERM ends it, whoever is connected")
    for one in idle:
        one.close()


def who_waits_for_a_place_gets_it_at_once(ground):
    web = Web(ground, web={"connections": 4, "timeout": "500ms"}).start()
    web.wait_read(0)
    times = []
    for _ in range(3):
        idle = [socket.create_connection(("127.0.0.1", web.port))
                for _ in range(4)]
        began = time.monotonic()
        with socket.create_connection(("127.0.0.1", web.port)) as waits:
            waits.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            check(waits.recv(100).startswith(b"HTTP/1.1 200"), "answered")
            times.append(time.monotonic() - began)
        for one in idle:
            one.close()
    check(0.4 < min(times) < 1, "when idle ones are cut", times)
    web.process.stop()


def a_flood_does_not_disturb(ground):
    web = Web(ground).start()
    ends = threading.Event()
    counts = [0] * FLOOD

    def ask(number):
        while not ends.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException):
                if web.ask("/metrics")[0] == 200:
                    counts[number] += 1
    threads = [threading.Thread(target=ask, args=(n,)) for n in range(FLOOD)]
    for thread in threads:
        thread.start()
    before = web.process.pid, resident_kb(web.process.pid)
    ground.write("in/a.jsonl", [daemon.fact(n) for n in range(FACTS)])
    ground.wait_settled(FACTS)
    ends.set()
    for thread in threads:
        thread.join()
    figures = web.wait_read(FACTS)
    check(sum(counts) > 20, "%d answers meanwhile" % sum(counts))
    equal(figures.sum("bursar_messages_total", outcome="stored"), FACTS,
          "all is stored")
    check(resident_kb(web.process.pid) < before[1] + 200000,
          "memory has an end", resident_kb(web.process.pid))
    equal(web.process.stop(), 0, "TERM ends it")


def resident_kb(pid):
    with open("/proc/%d/status" % pid, encoding="ascii") as file:
        return int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1))


def a_reload_goes_on_counting(ground):
    web = Web(ground, sources={"other": {
        "plugin": "file", "path": ground.path("none/*"), "follow": True}})
    web.start()
    ground.write("in/a.jsonl", [daemon.fact(n) for n in range(50)] + ["{"])
    before = web.wait_read(51)
    check(before.sum("bursar_oldest_unsettled_seconds", source="other")
          is not None and before.sum("bursar_plugin_files_open",
                                     source="other") is not None,
          "the other source has figures")
    web.more.pop("sources")
    web.configure()
    web.process.signal(signal.SIGHUP)
    web.process.wait_event("reloaded")
    web.process.wait_event("listening", 2)
    ground.write("in/b.jsonl", [daemon.fact(n) for n in range(50, 60)])
    after = web.wait_read(61)
    fell = [key for key, value in before.counters().items()
            if after.values.get(key, -1) < value]
    equal(fell, [], "no counter fell")
    equal(after.sum("bursar_messages_total", source="in",
                    outcome="stored"), 60, "and they went on")
    equal([key for key in after.values if ("source", "other") in key[1] and
           after.types.get(key[0]) == "gauge"], [],
          "no gauge of the source that went")
    equal((after.sum("bursar_config_reloads_total", result="success"),
           after.sum("bursar_config_last_reload_successful")), (1, 1),
          "the reload is counted")
    ground.write_text("bursar.yaml", "sinks: [\n")
    web.process.signal(signal.SIGHUP)
    web.process.wait_event("reload-refused")
    daemon.wait_for(lambda: web.figures().sum(
        "bursar_config_last_reload_successful") == 0, "a failure shows")
    equal(web.figures().sum("bursar_config_reloads_total",
                            result="failure"), 1, "and is counted")
    web.process.stop()


def with_tls_and_a_renewed_certificate(ground):
    daemon.make_certificate(ground, "first")
    web = Web(ground, web={"cert-file": ground.path("cert"),
                           "key-file": ground.path("key")}).start()
    trust = ssl.create_default_context(cafile=ground.path("cert"))
    equal(web.ask("/livez", tls=trust)[0], 200, "TLS is spoken")
    daemon.make_certificate(ground, "second")
    renewed = ssl.create_default_context(cafile=ground.path("cert"))

    def is_renewed():
        try:
            return web.ask("/livez", tls=renewed)[0] == 200
        except OSError:
            return False
    daemon.wait_for(is_renewed, "the new certificate is shown")
    daemon.make_certificate(ground, "third", move=["key"])
    web.process.wait_event("certificate-not-renewed")
    time.sleep(0.5)
    equal(web.ask("/livez", tls=renewed)[0], 200,
          "a key without its certificate changes nothing")
    equal(web.process.stop(), 0, "TERM ends it")


for plugin in ("service_web",):
    if not daemon.plugin_is_built(plugin):
        print("skipped: %s was not built" % plugin)
        sys.exit(daemon.SKIP)
daemon.main(
    figures_are_what_happened, histograms_grow_and_add_up,
    prometheus_has_no_complaint, keys_have_an_age,
    a_sink_that_is_away_is_named_until_it_is_back,
    a_thread_that_hangs_is_named, only_what_is_there_is_answered,
    tokens_open_the_figures, other_machines_need_a_token_or_a_word,
    a_port_that_is_taken_is_an_alarm_and_passes, slow_clients_are_cut,
    who_waits_for_a_place_gets_it_at_once, a_flood_does_not_disturb, a_reload_goes_on_counting,
    with_tls_and_a_renewed_certificate)
