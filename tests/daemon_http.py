#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Over HTTP into a ledger: what was answered as stored is stored, once,
whatever becomes of clients, sink and daemon."""
import base64
import ctypes
import gzip
import http.client
import json
import os
import re
import resource
import select
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
import daemon  # noqa: E402
from daemon import check, equal  # noqa: E402

CONNECTIONS = 5000
HTTP_LOAD = os.path.join(daemon.BUILD, "tests", "bench", "http_load")


def open_files(many):
    """What starts a program with room for so many connections."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < many:
        raise daemon.Skip("the hard limit of open files, %d, is less than %d"
                          % (hard, many))
    if shutil.which("prlimit") is None:
        raise daemon.Skip("prlimit is not installed")
    return ["prlimit", "--nofile=%d" % many]


class Load:
    """Many good clients in a process of their own: tests/bench/http_load."""

    def __init__(self, ground, server, count, connections, first=0, records=1,
                 before=()):
        path = ground.path("load-%d" % first)
        with open(path, "wb") as file:
            for n in range(first, first + count):
                file.write(daemon.line_of(daemon.fact(n)))
        self.process = subprocess.Popen(
            list(before) + [HTTP_LOAD, str(server.port), path, "--hold",
                            "--connections", str(connections), "--records",
                            str(records), "--patience",
                            "%d" % daemon.PATIENCE],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, preexec_fn=daemon.die_with_parent)

    def figures(self):
        """When all is answered; the connections stay."""
        line = self.process.stdout.readline().decode()
        if not line.startswith("http_load connections="):
            raise daemon.Failure(line)
        return {name: float(value) for name, value in
                re.findall(r"(\w+)=([0-9.]+)", line)}

    def end(self):
        self.process.stdin.close()
        self.process.wait()


class Server:
    """A daemon that listens, and requests to it."""

    def __init__(self, ground, before=(), source=None, **more):
        self.ground, self.before = ground, before
        self.port = daemon.free_port()
        self.source = {"plugin": "http", "kind": "metering",
                       "listen": "127.0.0.1:%d" % self.port}
        self.source.update(source or {})
        self.more = more
        self.configure()
        self.process = None

    def configure(self):
        tree = self.ground.configure(**self.more)
        tree["sources"] = {"in": self.source}
        self.ground.write_text("bursar.yaml", json.dumps(tree))

    def start(self):
        self.process = self.ground.start(before=self.before)
        self.process.wait_event("listening")
        return self

    def connect(self, timeout=60):
        return http.client.HTTPConnection("127.0.0.1", self.port,
                                          timeout=timeout)

    def post(self, records, connection=None, token=None, path="/v1/records",
             method="POST", **headers):
        """Status, headers and the object that was answered."""
        body = records if isinstance(records, bytes) else \
            json.dumps(records).encode()
        head = {"Content-Type": "application/json"}
        if token:
            head["Authorization"] = "Bearer " + token
        head.update({name.replace("_", "-"): value
                     for name, value in headers.items()})
        own = connection or self.connect()
        try:
            own.request(method, path, body, head)
            answer = own.getresponse()
            text = answer.read()
            return answer.status, answer.headers, json.loads(text)
        finally:
            if connection is None:
                own.close()


def statuses(told):
    return [one["status"] for one in told["records"]]


def facts(first, count):
    return [daemon.fact(n) for n in range(first, first + count)]


def add_token(ground, name, *arguments):
    out = ground.bursar("token", "add", name, *arguments, "--file",
                        ground.path("tokens"))
    return out.splitlines()[0]


# --- answers ---------------------------------------------------------------------

def every_status_is_answered(ground):
    server = Server(ground, source={"max-body": "64k"}).start()
    status, headers, told = server.post(facts(1, 3))
    equal((status, statuses(told)), (200, ["stored"] * 3), "200: stored")
    equal(headers["Content-Type"], "application/json", "as JSON")
    status, _, told = server.post(facts(2, 3))
    equal((status, statuses(told)), (200, ["duplicate"] * 2 + ["stored"]),
          "200: duplicates are as good")
    clash = daemon.fact(1, worker_id="somebody else")
    status, _, told = server.post([daemon.fact(5), clash, {"body": 7}])
    equal((status, statuses(told)), (207, ["stored"] + ["rejected"] * 2),
          "207: some are")
    check(all("reason" in one for one in told["records"][1:]),
          "what is rejected has a reason", told)
    status, _, told = server.post([clash])
    equal((status, told["rejected"]), (422, 1), "422: none is")
    for body, want in ((b"[1", 400), (b"", 400), (b"x" * 70000, 413)):
        equal(server.post(body)[0], want, "%d" % want)
    equal(server.post(b"{}", Content_Type="text/plain")[0], 415, "415")
    equal(server.post(b"{}", path="/v2")[0], 404, "404")
    status, headers, _ = server.post(b"", method="GET")
    equal((status, headers["Allow"]), (405, "POST"), "405 says what is")
    bomb = gzip.compress(b" " * (64 << 20))
    check(len(bomb) < 70000, "a bomb of %d bytes" % len(bomb))
    equal(server.post(bomb[:64000], Content_Encoding="gzip")[0], 413,
          "is refused")
    equal(ground.ids(), ["fact-%08d" % n for n in range(1, 6)],
          "what was answered as stored is stored")
    equal(ground.letters(), [], "what was answered is no dead letter")
    equal(server.process.stop(), 0, "TERM ends it with 0")
    daemon.check_sound(ground)
    daemon.check_rollups(ground)


def a_key_makes_a_request_the_same(ground):
    server = Server(ground).start()
    bodies = [daemon.body_of_fact(n) for n in range(3)]
    for want in ("stored", "duplicate"):
        told = server.post(bodies, Idempotency_Key="batch 1")[2]
        equal(statuses(told), [want] * 3, want)
    for _ in range(2):
        server.post(bodies)
    ids = ground.ids()
    equal([one for one in ids if "batch" in one],
          ["-:batch 1:%d" % n for n in range(3)],
          "the id is token, key and index")
    equal(len(ids), 9, "without a key each request is new")
    server.process.stop()


def tokens_are_held_to_what_they_may(ground):
    add = add_token(ground, "meter", "--kinds", "metering", "--set",
                    "team=support", "--set", "cost_center=c1", "--set",
                    "tag:customer=acme")
    server = Server(ground, source={"token-file": ground.path("tokens"),
                                    "kind": ""})
    del server.source["kind"]
    server.configure()
    server.start()
    equal(server.post(facts(1, 1))[0], 401, "401 without a token")
    equal(server.post(facts(1, 1), token="x")[0], 401, "401 with another")
    forged = daemon.fact(2, team="finance", tags={
        "customer": "other", "feature": "chat"})
    equal(server.post([forged], token=add)[0], 200, "its own kind is taken")
    status, _, told = server.post([daemon.prompt(1)], token=add)
    equal(status, 403, "403: another kind is not")
    status, _, told = server.post(
        [daemon.fact(3), daemon.prompt(2),
         {"routing_key": "audit.tool.x", "body": {"message_id": "t"}}],
        token=add)
    equal(statuses(told), ["stored", "rejected", "rejected"],
          "by envelope or routing key")
    rows = ground.rows("SELECT DISTINCT team, cost_center FROM "
                       "metering_records")
    equal([tuple(row) for row in rows], [("support", "c1")],
          "fixed fields win")
    rows = ground.rows("SELECT tags FROM metering_records ORDER BY 1")
    equal([row[0] for row in rows],
          ['{"customer":"acme","feature":"chat"}', '{"customer":"acme"}'],
          "and so do fixed tags")
    equal(ground.count("prompt") + ground.count("tool"), 0, "nothing else")

    both = add_token(ground, "both")
    server.process.wait_event("tokens-reloaded")
    equal(server.post([daemon.prompt(1)], token=both)[0], 200,
          "a new token is known without a word")
    ground.bursar("token", "remove", "meter", "--file",
                  ground.path("tokens"))
    server.process.signal(signal.SIGHUP)
    server.process.wait_event("tokens-reloaded", 2)
    equal(server.post(facts(9, 1), token=add)[0], 401,
          "one that was taken away is not")
    log = server.process.log()
    check(add not in log and both not in log, "no token is logged")
    check("worker-" not in log, "no body is logged")
    server.source["listen"] = "0.0.0.0:%d" % server.port
    del server.source["token-file"]
    server.configure()
    out = ground.bursar("check", status=1)
    check("token-file" in out, "check says what is missing elsewhere", out)
    server.process.stop()


def nothing_is_told_of_what_does_not_open(ground):
    daemon.need("crypto_sodium")
    for name in ("keys", "others"):
        out = subprocess.run(
            [daemon.BURSAR, "crypto", "keygen", "--plugin", "sodium", "--id",
             name], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env=daemon.environment(), check=True).stdout
        with open(ground.path(name), "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(out)
    crypto = {"own": {"plugin": "sodium", "keys-file": ground.path("keys")}}
    server = Server(ground, source={"crypto": "own"}, crypto=crypto)
    del server.source["kind"]
    ground.configure(crypto={"own": {
        "plugin": "sodium", "keys-file": ground.path("others")}})
    alien = daemon.sealed(ground, "own", [daemon.prompt(1)])[0]
    server.configure()
    good = daemon.sealed(ground, "own", [daemon.prompt(n) for n in (2, 3)])
    broken = json.loads(json.dumps(good[1]))
    text = broken["body_base64"]
    broken["body_base64"] = text[:20] + \
        ("A" if text[20] != "A" else "B") + text[21:]
    headless = dict(good[1], headers={})
    server.start()
    told = server.post([alien, broken, headless] * 8)[2]
    equal({one.get("reason") for one in told["records"]},
          {"it cannot be decrypted"}, "one answer for every failure")
    equal(server.post(good)[2]["stored"], 2, "what opens is stored")
    equal(ground.part("sources", "in")["state"], "open",
          "and is not slowed down by what does not")
    server.process.stop()


def usage_of_a_gateway_is_metering(ground):
    server = Server(ground)
    del server.source["kind"]
    server.configure()
    server.start()
    body = {"model": "anthropic/claude-sonnet-4", "provider": "anthropic",
            "service": "chat", "operation": "agent/chat",
            "input_tokens": 2300, "output_tokens": 311,
            "total_tokens": 2611, "latency_ms": 2310, "status": "ok",
            "error_type": None,
            "raw_usage": {"input": 300, "output": 311, "cacheRead": 1900,
                          "cacheWrite": 100, "totalTokens": 2611}}

    def post(what, **headers):
        return server.post(what, path="/v1/usage", **headers)

    status, _, told = post(body, X_Database_Id="db 1", X_Entity_Id='e"1')
    equal((status, told), (202, {"accepted": True}), "202: accepted")
    row = ground.rows("SELECT * FROM metering_records")[0]
    equal([row[name] for name in (
        "model_id", "provider", "request_type", "operation", "status",
        "input_tokens", "output_tokens", "total_tokens", "latency_ms",
        "cache_read_input_tokens", "cache_write_input_tokens")],
          ["anthropic/claude-sonnet-4", "anthropic", "chat", "agent/chat",
           "ok", 300, 311, 2611, 2310, 1900, 100], "as it was said")
    extra = json.loads(row["extra_json"])
    equal([extra["database_id"], extra["entity_id"]], ["db 1", 'e"1'],
          "ids are kept")
    equal(post(body)[0], 400, "400 without X-Database-Id")
    equal(post({"provider": "x"}, X_Database_Id="d")[0], 400,
          "400 without model")
    equal(post({"model": "m", "service": "embed", "input_tokens": "many"},
               X_Database_Id="d")[0], 202, "the least is enough")
    row = ground.rows("SELECT * FROM metering_records WHERE model_id = 'm'")
    equal([row[0][name] for name in ("provider", "request_type",
                                     "operation", "input_tokens")],
          ["unknown", "embed", "external", None],
          "what is no number is not said")
    server.process.stop()


# --- what cannot be stored -------------------------------------------------------

def a_sink_that_is_away_is_503_and_passes(ground):
    server = Server(ground, source={"give-back-after": "300ms",
                                    "answer-timeout": "60s"}).start()
    equal(server.post(facts(1, 1))[0], 200, "before")
    lock = ground.database()
    lock.isolation_level = None
    lock.execute("BEGIN EXCLUSIVE")
    status, headers, told = server.post(facts(2, 5))
    equal((status, told["retry"]), (503, 5), "503: nothing is known")
    check(int(headers["Retry-After"]) > 0, "Retry-After says when")
    before = time.monotonic()
    equal(server.post(facts(7, 1))[0], 503, "the next one is told")
    check(time.monotonic() - before < 30, "long before answer-timeout")
    lock.execute("ROLLBACK")
    lock.close()
    daemon.wait_for(lambda: server.post(facts(2, 6))[0] == 200,
                    "it works again")
    equal(len(ground.ids()), 7, "each once")
    server.process.stop()


def come_again(answer, words, what):
    """503, when and why."""
    status, headers, told = answer
    equal((status, int(headers["Retry-After"] or 0) > 0), (503, True), what)
    check(words in told["error"], "it says why", told)


def each_reason_to_come_again_is_told(ground):
    server = Server(ground, source={
        "answer-timeout": "500ms", "give-back-after": "1m",
        "window-messages": 1, "max-body": "64k",
        "max-pending": "100k"}, drain_timeout="300ms").start()
    equal(server.post(facts(1, 1))[0], 200, "before")
    lock = ground.database()
    lock.isolation_level = None
    lock.execute("BEGIN EXCLUSIVE")
    come_again(server.post(facts(2, 1)), "not stored in time",
               "503: the time is up")
    # One is with the ledger, which is all that it takes; others wait.
    big = [daemon.fact(n, task_id="x" * 40000) for n in range(3, 7)]
    got = []
    threads = [threading.Thread(target=lambda one=one: got.append(
        server.post([one]))) for one in big]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(daemon.PATIENCE)
    full = [one for one in got if "too much is waiting" in one[2]["error"]]
    check(full, "503: the ledger takes no more", got)
    for answer in full:
        come_again(answer, "too much is waiting", "of %d" % len(got))
    server.source["give-back-after"] = "200ms"
    server.source["answer-timeout"] = "30s"
    server.configure()
    server.process.signal(signal.SIGHUP)
    server.process.wait_event("listening", 2)
    come_again(server.post(facts(7, 1)), "could not be stored now",
               "503: the sink is away")
    come_again(server.post(facts(7, 1)), "a database is away",
               "503: it is still away")
    lock.execute("ROLLBACK")
    lock.close()
    daemon.wait_for(lambda: server.post(facts(1, 8))[0] == 200,
                    "it works again")
    server.process.stop()


def term_answers_everybody(ground):
    server = Server(ground, source={"answer-timeout": "1m"},
                    drain_timeout="300ms").start()
    equal(server.post(facts(1, 1))[0], 200, "it is up")
    lock = ground.database()
    lock.isolation_level = None
    lock.execute("BEGIN EXCLUSIVE")
    got = []
    threads = [threading.Thread(
        target=lambda n=n: got.append(server.post(facts(10 * n, 2))[0]))
        for n in range(1, 21)]
    for thread in threads:
        thread.start()
    daemon.wait_for(lambda: ground.part("sources", "in").get(
        "in_flight_messages", 0) >= 20, "some are in flight")
    server.process.signal(signal.SIGTERM)
    for thread in threads:
        thread.join(daemon.PATIENCE)
    equal(got, [503] * 20, "everybody is answered")
    server.process.wait()
    lock.execute("ROLLBACK")
    lock.close()


def what_is_rejected_and_not_told_is_a_dead_letter(ground):
    server = Server(ground).start()
    equal(server.post(facts(1, 1))[0], 200, "before")
    lock = ground.database()
    lock.isolation_level = None
    lock.execute("BEGIN EXCLUSIVE")
    connection = server.connect()
    connection.request("POST", "/v1/records",
                       json.dumps([daemon.fact(2), {"body": 7}]),
                       {"Content-Type": "application/json"})
    daemon.wait_for(lambda: ground.part("sources", "in").get(
        "in_flight_messages", 0) >= 1, "it is in flight")
    connection.close()
    lock.execute("ROLLBACK")
    lock.close()
    letters = daemon.wait_for(ground.letters, "there is a dead letter")
    equal([(one["reason"], base64.b64decode(one["body_base64"]))
           for one in letters], [("malformed", b'{"body": 7}')],
          "it holds what nobody was told of")
    equal(ground.ids(), ["fact-%08d" % n for n in (1, 2)],
          "the rest is stored")
    equal(server.post([{"body": 8}])[0], 422, "who is told")
    time.sleep(0.5)
    equal(len(ground.letters()), 1, "needs no letter")
    equal(server.process.stop(), 0, "TERM ends it with 0")


def a_replay_takes_no_more_than_the_token_may(ground):
    daemon.need("crypto_sodium")
    for name in ("old", "new"):
        out = subprocess.run(
            [daemon.BURSAR, "crypto", "keygen", "--plugin", "sodium", "--id",
             name], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env=daemon.environment(), check=True).stdout
        ground.write_text(name, out.decode())
        os.chmod(ground.path(name), 0o600)
    cryptos = {name: {"plugin": "sodium", "keys-file": ground.path(name)}
               for name in ("old", "new")}
    token = add_token(ground, "meter", "--kinds", "metering")
    server = Server(ground, crypto=cryptos, source={
        "crypto": "old", "token-file": ground.path("tokens")})
    del server.source["kind"]
    server.configure()
    prompt = daemon.sealed(ground, "new", [daemon.prompt(1)])[0]
    server.start()
    lock = ground.database()
    lock.isolation_level = None
    lock.execute("BEGIN EXCLUSIVE")
    connection = server.connect()
    connection.request("POST", "/v1/records",
                       json.dumps([daemon.fact(1), prompt]),
                       {"Content-Type": "application/json",
                        "Authorization": "Bearer " + token})
    daemon.wait_for(lambda: ground.part("sources", "in").get(
        "in_flight_messages", 0) >= 1, "it is in flight")
    connection.close()
    lock.execute("ROLLBACK")
    lock.close()
    letters = daemon.wait_for(ground.letters, "there is a dead letter")
    equal([(one["reason"], one["kinds"]) for one in letters],
          [("no-key", ["metering"])], "with what its sender may send")
    server.process.stop()
    with open(ground.path("old"), "a", encoding="utf-8") as file:
        with open(ground.path("new"), encoding="utf-8") as more:
            file.write(more.read())
    said = ground.bursar("replay", "--all", status=1)
    check("may not send" in said, "a replay brings in no more", said)
    equal(ground.count("prompt"), 0, "nothing else")


# --- many clients ----------------------------------------------------------------

def clients_in_step_wait_for_nobody(ground):
    # As many events at once as the library takes in one go, and again.
    server = Server(ground, open_files(1024)).start()
    load = Load(ground, server, 256 * 20, 256)
    got = load.figures()
    load.end()
    equal((got["stored"], got["again"]), (256 * 20, 0),
          "each is answered at the first try")
    check(got["max_ms"] < 1000 * daemon.PATIENCE / 2,
          "%d ms for the slowest" % got["max_ms"])
    equal(server.process.stop(), 0, "TERM ends it with 0")


# --- clients that behave badly ---------------------------------------------------

HOLD = r"""
import resource, socket, sys, time
port, want = int(sys.argv[1]), int(sys.argv[2])
held = []
for n in range(want):
    one = socket.create_connection(("127.0.0.1", port), 10)
    if n % 3 == 1:
        one.sendall(b"POST /v1/records HTT")
    elif n % 3 == 2:
        one.sendall(b"POST /v1/records HTTP/1.1\r\nHost: x\r\n"
                    b"Content-Type: application/json\r\n"
                    b"Content-Length: 1000\r\n\r\n[")
    held.append(one)
print(len(held), flush=True)
sys.stdin.read()
"""


def resident_kb(process, which="VmRSS"):
    with open("/proc/%d/status" % process.pid, encoding="ascii") as file:
        return int(re.search(which + r":\s*(\d+)", file.read()).group(1))


def thousands_of_idle_connections_change_nothing(ground):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    many = CONNECTIONS if hard == resource.RLIM_INFINITY else \
        min(CONNECTIONS, hard - 400)
    before = ["prlimit", "--nofile=%d" % (many + 300)]
    if shutil.which("prlimit") is None:
        raise daemon.Skip("prlimit is not installed")
    server = Server(ground, before, {
        "connections": many + 100, "connections-per-address": many + 100,
        "header-timeout": "5m", "body-timeout": "5m"}).start()
    server.post(facts(0, 1))
    alone = resident_kb(server.process)
    holder = subprocess.Popen(
        before + ["python3", "-c", HOLD, str(server.port), str(many)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        preexec_fn=daemon.die_with_parent)
    try:
        equal(int(holder.stdout.readline()), many,
              "%d connections stand half open" % many)
        equal({server.post(facts(n, 1))[0] for n in range(1, 51)}, {200},
              "others are served all the same")
        grown = (resident_kb(server.process) - alone) / many
        check(grown < 24 or daemon.runtime_of_sanitizer(),
              "%.1f KB a connection" % grown)
    finally:
        holder.stdin.close()
        holder.wait()
    equal(server.post(facts(51, 1))[0], 200, "and when they are gone")
    equal(server.process.stop(), 0, "TERM ends it with 0")


def slow_clients_are_cut(ground):
    if shutil.which("slowhttptest") is None:
        raise daemon.Skip("slowhttptest is not installed")
    server = Server(ground, source={
        "header-timeout": "1s", "body-timeout": "1s", "idle-timeout": "1s",
        "connections": 200, "connections-per-address": 150}).start()
    for mode in ("-H", "-B", "-X"):
        attack = subprocess.Popen(
            ["slowhttptest", "-c", "120", mode, "-i", "1", "-r", "100",
             "-l", "6", "-t", "POST", "-p", "3", "-u",
             "http://127.0.0.1:%d/v1/records" % server.port],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            cwd=ground.folder, preexec_fn=daemon.die_with_parent)
        told = []
        while attack.poll() is None:
            told.append(server.post(facts(len(told), 1))[0])
            time.sleep(0.2)
        # 503 is said of a ledger that is held, and of nobody's slowness.
        check(told and set(told) <= {200, 503},
              "%s: %d requests of others were answered" % (mode, len(told)),
              told)
        daemon.wait_for(lambda: server.post(facts(len(told), 1))[0] == 200,
                        "others are served")
    text = json.dumps(ground.state())
    check("in" in text, "it runs")
    equal(server.process.stop(), 0, "TERM ends it with 0")


# --- TLS -------------------------------------------------------------------------

def one_network_of_ipv6_is_one_client(ground):
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/self/ns/net", encoding="ascii") as before:
        if libc.unshare(0x40000000) != 0:       # CLONE_NEWNET
            raise daemon.Skip("no network of its own")
        try:
            in_ipv6(ground)
        finally:
            libc.setns(before.fileno(), 0)


def in_ipv6(ground):
    own = ["fd00::%d" % n for n in range(1, 7)]
    other = "fd00:0:0:1::1"
    for line in ["link set lo up"] + \
            ["-6 addr add %s/128 dev lo" % one for one in own + [other]]:
        if subprocess.run(["ip"] + line.split(), check=False,
                          stderr=subprocess.DEVNULL).returncode != 0:
            raise daemon.Skip("no ip, or no IPv6")
    port, web = daemon.free_port(), daemon.free_port()
    add_token(ground, "any")
    limits = {"token-file": ground.path("tokens"),
              "connections-per-address": 4}
    services = {"web": {"plugin": "web", "listen": "[::]:%d" % web, **limits}}
    server = Server(ground, source={"listen": "[::]:%d" % port, **limits},
                    services=services)
    server.start()
    server.process.wait_event("listening", 2)
    for at, name in ((port, "the source"), (web, "the service")):
        links = []
        for one in own + [other]:
            links.append(socket.create_connection(("fd00::1", at), 10,
                                                  (one, 0)))
            time.sleep(0.05)
        daemon.wait_for(lambda: len(select.select(links, [], [], 0)[0]) >= 2,
                        "%s closes two of them" % name)
        time.sleep(0.3)
        equal(select.select(links, [], [], 0)[0], links[4:6],
              "%s: what is more than four is closed, and no other" % name)
        for link in links:
            link.close()
    server.process.stop()


def with_tls_and_a_renewed_certificate(ground):
    daemon.make_certificate(ground, "first")
    server = Server(ground, source={"cert-file": ground.path("cert"),
                                    "key-file": ground.path("key")}).start()

    def serial():
        try:
            return ssl.get_server_certificate(("127.0.0.1", server.port))
        except OSError:
            return None

    def post(number):
        context = ssl.create_default_context(cafile=ground.path("cert"))
        connection = http.client.HTTPSConnection(
            "127.0.0.1", server.port, context=context, timeout=30)
        return server.post(facts(number, 1), connection)[0]

    equal(post(1), 200, "a client that checks the certificate is served")
    old = serial()
    daemon.make_certificate(ground, "second")
    daemon.wait_for(lambda: serial() not in (None, old),
                    "the new certificate is shown")
    equal(post(2), 200, "a client that knows the new one is served")
    shown = serial()
    held = len(server.process.events("source-held"))
    daemon.make_certificate(ground, "third", move=["cert"])
    server.process.wait_event("certificate-not-renewed")
    time.sleep(0.5)
    equal(serial(), shown, "one without its key changes nothing")
    equal(len(server.process.events("source-held")), held,
          "it goes on listening")
    os.rename(ground.path("key.new"), ground.path("key"))
    daemon.wait_for(lambda: serial() not in (None, shown),
                    "with its key it is shown")
    equal(post(3), 200, "and served")
    server.process.stop()
    os.chmod(ground.path("key"), 0o644)
    out = ground.bursar("check", status=1)
    check("chmod 600" in out, "a key that others can read is refused", out)


# --- a reload --------------------------------------------------------------------

def a_reload_goes_on_listening(ground):
    server = Server(ground).start()
    equal(server.post(facts(1, 1))[0], 200, "before")
    server.source["max-records"] = 2
    server.configure()
    server.process.signal(signal.SIGHUP)
    server.process.wait_event("listening", 2)
    equal(server.post(facts(2, 2))[0], 200, "after")
    equal(server.post(facts(4, 3))[0], 413, "with what was changed")
    server.process.stop()


# --- what the documentation shows ------------------------------------------------

def blocks(language):
    path = os.path.join(os.environ.get("top_srcdir") or
                        os.path.join(daemon.HERE, ".."), "docs",
                        "producers.md")
    with open(path, encoding="utf-8") as file:
        return re.findall(r"```%s\n(.*?)```" % language, file.read(), re.S)


def run_shown(ground, server, command, text, token):
    """One example, at the port of this run."""
    text = text.replace("127.0.0.1:8377", "127.0.0.1:%d" % server.port)
    done = subprocess.run(
        command + [text], cwd=ground.folder, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=daemon.environment(TOKEN=token, PATH=os.path.dirname(
            daemon.BURSAR) + ":" + os.environ["PATH"]),
        timeout=daemon.PATIENCE, check=False)
    check(done.returncode == 0, "%s: %s" % (
        command[0], text.strip().splitlines()[0][:50]),
          done.stdout.decode())
    return done.stdout.decode()


def answers_of_providers_are_read_as_shown(ground):
    server = Server(ground)
    shown = [one for one in blocks("yaml") if "8379" in one][0]
    ground.write_text("bursar.yaml", shown.replace(
        "127.0.0.1:8379", "127.0.0.1:%d" % server.port) +
        "sinks: {ledger: {plugin: sqlite, path: ledger.db}}\n"
        "state-dir: state\n")
    ground.bursar("check")
    server.process = ground.start()
    server.process.wait_event("listening")
    status = server.post(blocks("json")[-1].encode())[0]
    equal(status, 200, "the answer of a provider is taken")
    equal([tuple(row) for row in ground.rows(
        "SELECT message_id, provider, model_id, team, input_tokens, "
        "output_tokens, usage_source FROM metering_records")],
          [("5b1f0f0e", "openai", "gpt-5-mini", "search", 150, 42,
            "response")], "its usage is stored")
    equal(server.process.stop(), 0, "TERM ends it")


def the_examples_work_as_they_are_shown(ground):
    yaml = blocks("yaml")
    shells = blocks("sh")
    make_token, one, many, append = shells[:4]
    server = Server(ground)
    token = run_shown(ground, server, ["sh", "-ec"],
                      make_token + 'echo "$TOKEN"', "").splitlines()[-1]
    rest = "sinks: {ledger: {plugin: sqlite, path: ledger.db}}\n" \
        "state-dir: state\n"
    files = yaml[1].split("\n", 1)[1]
    ground.write_text("bursar.yaml", yaml[0].replace(
        "127.0.0.1:8377", "127.0.0.1:%d" % server.port) + files + rest)
    ground.bursar("check")
    server.process = ground.start()
    server.process.wait_event("listening")
    if shutil.which("curl"):
        told = run_shown(ground, server, ["sh", "-ec"], one, token)
        check(json.loads(blocks("json")[0]) ==
              json.loads(told[told.index("{"):]),
              "the answer is the one that is shown", told)
        run_shown(ground, server, ["sh", "-ec"], many, token)
        run_shown(ground, server, ["sh", "-ec"], many, token)
        daemon.once_each(ground.ids(), [
            "call-1", "gateway:batch-7:0", "gateway:batch-7:1"],
            "curl: each once")
    before = len(ground.ids())
    run_shown(ground, server, ["python3", "-c"], blocks("python")[0], token)
    equal(len(ground.ids()), before + 1, "python: stored")
    if shutil.which("node"):
        run_shown(ground, server, ["node", "-e"], blocks("js")[0], token)
        equal(ground.value("SELECT count(*) FROM metering_records WHERE "
                           "provider = 'ollama'"), 1, "node: stored")
    else:
        print("node is not installed")
    run_shown(ground, server, ["sh", "-ec"], append, token)
    daemon.wait_for(lambda: "call-3" in ground.ids(), "the file is read")
    equal(server.post(json.loads(blocks("json")[1]), token=token)[0], 200,
          "an envelope: stored")
    equal(ground.value("SELECT count(*) FROM metering_records WHERE "
                       "team IS NOT 'support'"), 1, "by that token's team")
    server.process.stop()


def main(*scenarios):
    if not os.path.exists(os.path.join(daemon.PLUGINS, "sources",
                                       "source_http.la")):
        print("skipped: source_http was not built")
        sys.exit(daemon.SKIP)
    daemon.main(*scenarios)


if __name__ == "__main__":
    main(every_status_is_answered, a_key_makes_a_request_the_same,
         tokens_are_held_to_what_they_may,
         nothing_is_told_of_what_does_not_open,
         usage_of_a_gateway_is_metering,
         a_sink_that_is_away_is_503_and_passes,
         each_reason_to_come_again_is_told, term_answers_everybody,
         what_is_rejected_and_not_told_is_a_dead_letter,
         a_replay_takes_no_more_than_the_token_may,
         clients_in_step_wait_for_nobody,
         thousands_of_idle_connections_change_nothing,
         slow_clients_are_cut, one_network_of_ipv6_is_one_client,
         with_tls_and_a_renewed_certificate, a_reload_goes_on_listening,
         the_examples_work_as_they_are_shown,
         answers_of_providers_are_read_as_shown)
