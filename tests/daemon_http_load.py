#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Many clients over HTTP: killed daemons, thousands of connections, clients
that behave badly beside others that do not.

BURSAR_TEST_SECONDS is how long the daemon is killed (20)."""
import base64
import gzip
import http.client
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
import daemon  # noqa: E402
import daemon_http  # noqa: E402
from daemon import check, equal  # noqa: E402
from daemon_http import Load, Server, facts, resident_kb  # noqa: E402

SECONDS = float(os.environ.get("BURSAR_TEST_SECONDS") or 20)
CLIENTS = daemon.scaled(24, 8)
# Whatever the machine: with less the run proves nothing.
KILLS = 6
REQUESTS = 300
UNANSWERED = 10
CONNECTIONS = 5000
STRANGER = "127.0.0.2"		# an address of its own for who behaves badly


# --- conservation ----------------------------------------------------------------

class Job:
    """Records that are sent until each has its answer."""

    def __init__(self, records, rejected=(), key=None):
        self.records, self.key = records, key
        self.left = list(range(len(records)))
        self.rejected = set(rejected)	# indices
        self.unanswered = False

    def take(self, told):
        """What was said of each; what nobody expected."""
        wrong, known = [], 0
        sent = range(len(self.records)) if self.key else list(self.left)
        for one, index in zip(told, sent):
            status = one["status"]
            if status == "retry":
                continue
            if (status == "rejected") != (index in self.rejected):
                wrong.append((self.records[index], one))
            known += status == "duplicate" and self.unanswered
            if index in self.left:
                self.left.remove(index)
        return wrong, known


class Client(threading.Thread):
    """One of many; it numbers its records by itself."""

    def __init__(self, server, number, seed):
        super().__init__(daemon=True)
        self.server, self.number = server, number
        self.random = random.Random(seed)
        self.ending = False
        self.count = self.requests = self.unanswered = self.known = 0
        self.stored, self.rejected, self.wrong = [], [], []
        self.connection = None

    def name_of(self, what):
        self.count += 1
        return "%s-%d-%d" % (what, self.number, self.count)

    def good(self, count):
        made = []
        for _ in range(count):
            record = daemon.fact(self.number * 1000000 + self.count)
            record["properties"]["message_id"] = self.name_of("good")
            made.append(record)
        return made

    def jobs(self):
        """What this client sends, in turns; each with the ids it brings."""
        while not self.ending:
            kind = self.random.random()
            records = self.good(self.random.choice((1, 1, 5, 20)))
            ids = [one["properties"]["message_id"] for one in records]
            if kind < 0.15:
                key = self.name_of("key")
                yield Job([one["body"] for one in records], key=key), \
                    ["-:%s:%d" % (key, n) for n in range(len(records))]
            elif kind < 0.3:
                bad = self.name_of("bad")
                at = self.random.randrange(len(records) + 1)
                records.insert(at, {"kind": "metering", "body": [bad],
                                    "properties": {"message_id": bad}})
                self.rejected.append(bad)
                yield Job(records, [at]), ids
            elif kind < 0.4:
                yield Job(records), ids
                again = json.loads(json.dumps(records[0]))
                again["body"]["worker_id"] = "somebody else"
                yield Job([again], [0]), []
            else:
                yield Job(records), ids

    def send(self, job):
        records = job.records if job.key else \
            [job.records[n] for n in job.left]
        body = json.dumps(records).encode()
        head = {"Content-Type": "application/json"}
        if job.key:
            head["Idempotency-Key"] = job.key
        if self.random.random() < 0.2:
            body = gzip.compress(body, 1)
            head["Content-Encoding"] = "gzip"
        if self.connection is None:
            self.connection = self.server.connect()
        sent = False
        try:
            if self.connection.sock is None:
                self.connection.connect()
            self.requests += 1
            sent = True
            self.connection.request("POST", "/v1/records", body, head)
            answer = self.connection.getresponse()
            return json.loads(answer.read()).get("records")
        except (OSError, http.client.HTTPException, ValueError):
            # Where it was not even connected nothing was sent.
            self.unanswered += sent
            job.unanswered = job.unanswered or sent
            self.connection.close()
            self.connection = None
            return None

    def work(self, job, until):
        while job.left and time.monotonic() < until:
            told = self.send(job)
            if told is None:
                time.sleep(self.random.uniform(0, 0.05))
                continue
            wrong, known = job.take(told)
            self.wrong += wrong
            self.known += known
        return not job.left

    def run(self):
        until = time.monotonic() + 2 * SECONDS + 4 * daemon.PATIENCE
        for job, ids in self.jobs():
            if not self.work(job, until):
                self.wrong.append(("no answer", job.records[0]))
                return
            self.stored += ids


def total(clients, name):
    return sum(getattr(client, name) for client in clients)


def kill_until(ground, server, clients, chance):
    """Kills, ends and reloads; how often each."""
    done = {"kill": 0, "end": 0, "reload": 0}
    begin = time.monotonic()

    def enough():
        return (done["kill"] >= KILLS and
                total(clients, "requests") >= REQUESTS and
                total(clients, "unanswered") >= UNANSWERED)

    while time.monotonic() - begin < SECONDS or (
            not enough() and time.monotonic() - begin < SECONDS +
            daemon.PATIENCE):
        before = ground.count()
        daemon.wait_for(lambda: ground.count() > before, "more is stored")
        time.sleep(chance.uniform(0, 0.5))
        kind = chance.random()
        if kind < 0.15:
            server.process.signal(signal.SIGHUP)
            done["reload"] += 1
            continue
        if kind < 0.3:
            server.process.stop()
            done["end"] += 1
        else:
            server.process.kill()
            done["kill"] += 1
        server.start()
    return done, enough()


def each_id_once_whatever_is_killed(ground):
    server = Server(ground, linger="2ms").start()
    equal(server.post(facts(0, 1))[0], 200, "it is up")
    chance = random.Random(daemon.SEED)
    clients = [Client(server, n, chance.random())
               for n in range(1, CLIENTS + 1)]
    for client in clients:
        client.start()
    done, enough = kill_until(ground, server, clients, chance)
    for client in clients:
        client.ending = True
    for client in clients:
        client.join(4 * daemon.PATIENCE)
    check(enough, "%s; %d requests, %d of them without an answer; %d records "
          "were known when they came again" % (
              ", ".join("%d times %s" % (n, what)
                        for what, n in done.items()),
              total(clients, "requests"), total(clients, "unanswered"),
              total(clients, "known")))
    equal([client.wrong[:2] for client in clients if client.wrong], [],
          "everybody has the answers that are due")
    stored = [one for client in clients for one in client.stored]
    rejected = [one for client in clients for one in client.rejected]
    daemon.once_each(ground.ids(), stored + ["fact-00000000"],
                     "%d records are stored once, and nothing else" %
                     len(stored))
    check(len(rejected) >= 10, "%d were answered as rejected" % len(rejected))
    letters = [json.dumps(one.get("body")) + base64.b64decode(
        one.get("body_base64", "")).decode() for one in ground.letters()]
    equal([one for one in letters if '"bad-' not in one and
           "somebody else" not in one], [],
          "%d dead letters hold what was rejected and not told" %
          len(letters))
    equal(server.process.stop(), 0, "TERM ends it with 0")
    daemon.check_sound(ground)
    daemon.check_rollups(ground)
    # Which takes as long as there are records.
    ground.bursar("verify", seconds=daemon.PATIENCE + SECONDS)


# --- many connections ------------------------------------------------------------

def five_thousand_connections_are_answered(ground):
    before = daemon_http.open_files(CONNECTIONS + 400)
    server = Server(ground, before, {
        "connections": CONNECTIONS + 100,
        "connections-per-address": CONNECTIONS + 100}).start()
    server.post(facts(0, 1))
    rounds = 2
    load = Load(ground, server, rounds * CONNECTIONS, CONNECTIONS, first=1,
                before=before)
    got = load.figures()
    equal((got["requests"], got["stored"] + got["duplicate"], got["again"]),
          (rounds * CONNECTIONS, rounds * CONNECTIONS, 0),
          "%d connections, each answered after its commits" % CONNECTIONS)
    print("      %d records a second, half within %d ms, the last %d ms" % (
        got["per_s"], got["p50_ms"], got["max_ms"]))
    used = resident_kb(server.process, "VmHWM")
    check(used < 65536 + 16 * CONNECTIONS or daemon.runtime_of_sanitizer(),
          "%d MB of memory at most, %d KB a connection" % (
              used // 1024, used // CONNECTIONS))
    equal(server.post(facts(rounds * CONNECTIONS + 1, 1))[0], 200,
          "one more is served beside them")
    load.end()
    daemon.once_each(ground.ids(), ["fact-%08d" % n for n in range(
        rounds * CONNECTIONS + 2)], "each record is stored once")
    equal(server.process.stop(), 0, "TERM ends it with 0")
    daemon.check_rollups(ground)


# --- who behaves badly -----------------------------------------------------------

ATTACK = r"""
import gzip, os, random, socket, sys, threading, time
port, address = int(sys.argv[1]), sys.argv[2]
HEAD = (b"POST /v1/records HTTP/1.1\r\nHost: x\r\n"
        b"Content-Type: application/json\r\n")
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
BOMB = gzip.compress(b" " * (64 << 20))
done = dict.fromkeys(("half", "slow", "endless", "bomb", "flood", "gone"), 0)

def dial():
    return socket.create_connection(("127.0.0.1", port), 5,
                                    (address, 0))

def half(one):		# a header that stops
    one.sendall(HEAD[:random.randrange(len(HEAD))])
    time.sleep(2)

def slow(one):		# a body, byte by byte
    one.sendall(HEAD + b"Content-Length: 100000\r\n\r\n[")
    for _ in range(40):
        one.sendall(b" ")
        time.sleep(0.05)

def endless(one):	# a body without end
    one.sendall(CHUNKED)
    for _ in range(200):
        one.sendall(b"8000\r\n" + b" " * 0x8000 + b"\r\n")
        time.sleep(0.005)

def bomb(one):		# 64 KB that would be 64 MB
    one.sendall(HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
                % len(BOMB) + BOMB)
    one.recv(1000)
    time.sleep(0.5)

def flood(one):		# connections, and what is no HTTP
    one.sendall(os.urandom(100))
    time.sleep(0.005)

def gone(one):		# a request, and nobody who reads the answer
    one.sendall(HEAD + b"Content-Length: 9\r\n\r\n[1,2,\"3\"]")
    time.sleep(0.01)

def run(what):
    while True:
        try:
            with dial() as one:
                what(one)
        except OSError:
            time.sleep(0.01)
        done[what.__name__] += 1

for what, threads in ((half, 20), (slow, 20), (endless, 2), (bomb, 1),
                      (flood, 2), (gone, 2)):
    for _ in range(threads):
        threading.Thread(target=run, args=(what,), daemon=True).start()
print("begun", flush=True)
sys.stdin.read()
print(" ".join("%s=%d" % one for one in done.items()), flush=True)
os._exit(0)
"""


class Attack:
    def __init__(self, server):
        self.process = subprocess.Popen(
            [sys.executable, "-c", ATTACK, str(server.port), STRANGER],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            preexec_fn=daemon.die_with_parent)
        self.process.stdout.readline()

    def end(self):
        """How often it did what."""
        said, _ = self.process.communicate()
        return {name: int(value) for name, value in
                re.findall(r"(\w+)=(\d+)", said.decode())}


def send_for(ground, server, first, seconds):
    """Good clients for a while; how many milliseconds half of the answers
    took, and the number of the next record."""
    waits, until = [], time.monotonic() + seconds
    while time.monotonic() < until or len(waits) < 3:
        load = Load(ground, server, 2000, 8, first=first, records=10)
        got = load.figures()
        load.end()
        first += 2000
        if (got["stored"], got["again"]) != (2000, 0):
            raise daemon.Failure("a good client was not served: %r" % got)
        waits.append(got["p50_ms"])
    return sorted(waits)[len(waits) // 2], first


def who_behaves_badly_changes_nothing_for_others(ground):
    try:
        socket.create_server((STRANGER, 0)).close()
    except OSError:
        raise daemon.Skip("there is no address %s" % STRANGER) from None
    server = Server(ground, source={
        "header-timeout": "1s", "body-timeout": "1s", "max-body": "1M",
        "connections-per-address": 64}).start()
    quiet, first = send_for(ground, server, 0, 1)
    idle = resident_kb(server.process)
    attack = Attack(server)
    beside, first = send_for(ground, server, first, 5)
    done = attack.end()
    check(min(done.values()) > 0, "it is attacked: " + ", ".join(
        "%d times %s" % (count, what) for what, count in done.items()))
    # How busy the machine is decides more than the attack; a client that
    # waited for one of these would wait for a second.
    check(beside < 20 * quiet + 500,
          "half of the answers took %.1f ms alone, %.1f ms beside" % (
              quiet, beside))
    used = resident_kb(server.process, "VmHWM")
    check(used < idle + 65536 or daemon.runtime_of_sanitizer(),
          "%d MB of memory more" % ((used - idle) // 1024))
    equal(server.post(facts(first, 1))[0], 200, "it goes on")
    letters = ground.letters()
    check({one["reason"] for one in letters} <= {"malformed", "no-kind"},
          "%d dead letters of who did not read the answer" % len(letters))
    ids = [one for one in ground.ids() if one.startswith("fact-")]
    equal(len(ids), first + 1, "every good record is stored once")
    equal(server.process.stop(), 0, "TERM ends it with 0")


if __name__ == "__main__":
    daemon_http.main(each_id_once_whatever_is_killed,
                     five_thousand_connections_are_answered,
                     who_behaves_badly_changes_nothing_for_others)
