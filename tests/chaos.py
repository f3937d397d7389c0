#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""chaos.py - nothing is lost and nothing stored twice, whatever happens

    chaos.py [--minutes M] [--rate N] [--seed S]

Two daemons share two queues of a RabbitMQ (facts in a classic one, sealed
prompts in a quorum queue) and a PostgreSQL.  A producer has each message
confirmed by the broker, and sends again what was not.  Meanwhile daemons are
killed (SIGKILL) and stopped, broker and database are killed and restarted,
the network between them is cut, delayed and swallows all, backends are
terminated, tables locked, rights revoked; a daemon runs with a wrong key for
a while; some messages make no sense, some rows are refused.

Then all is put right, and counted.  Each message that the broker confirmed is
in the ledger, once, or among the dead letters with its reason; `bursar verify`
finds nothing; sums are those of the records; the queues are empty.

It prints its seed and what it did.  Without --minutes it is what `make check`
does, about a minute; `make soak` runs it for SOAK_MINUTES.  It fails as well
when it did too little: see ENOUGH and SOAK_ENOUGH.  The same seed makes the
same schedule and the same messages.

`wrong key` letters: a daemon that runs with a wrong key refuses what another
one would store; those messages are in the ledger or among the letters.
"""
import argparse
import glob
import json
import os
import random
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
import daemon  # noqa: E402
import real  # noqa: E402
from daemon import check, equal  # noqa: E402
from real import sql  # noqa: E402

# What it must have done at least.
ENOUGH = {"messages": 20000, "kills that hit unsettled messages": 3,
          "restarts of rabbitmq": 1, "restarts of postgres": 1,
          "networks cut": 2}
SOAK_ENOUGH = {"messages": 200000, "kills that hit unsettled messages": 20,
               "restarts of rabbitmq": 3, "restarts of postgres": 3,
               "networks cut": 10}
QUEUES = ("facts", "prompts")
DAEMONS = 2
POOL = 300		# prompts that are sealed, to be sent under many ids
PATIENCE = 180		# seconds in which something goes on

GOOD, POISON, MALFORMED, NO_KEY, WRONG_KEY, CONFLICT = range(6)
REASONS = {POISON: "refused", MALFORMED: "malformed", NO_KEY: "no-key",
           WRONG_KEY: "undecryptable", CONFLICT: "id-conflict"}


# --- messages ------------------------------------------------------------------

class Messages:
    """What is sent; the number of a message says all of it."""

    def __init__(self, ground, seed):
        self.seed = seed
        self.pools = {}
        for name in ("right", "other"):
            ground.write_text("pool.yaml", json.dumps(settings(
                ground, 0, ground.path(name))))
            kept, ground.config = ground.config, ground.path("pool.yaml")
            lines = daemon.sealed(ground, "legion", [
                daemon.prompt(n) for n in range(POOL)])
            ground.config = kept
            for line in lines:
                del line["properties"]["message_id"]
            self.pools[name] = lines

    def pick(self, n):
        return (n * 2654435761 + self.seed * 40503) % (1 << 32) >> 8

    def what(self, queue, n):
        pick = self.pick(n)
        if queue == "facts":
            return {0: POISON, 1: MALFORMED, 2: CONFLICT}.get(
                pick % 1000, GOOD)
        return {0: WRONG_KEY, 1: NO_KEY}.get(pick % 200, GOOD)

    def lines(self, queue, n):
        """One line; two where another message has the same id."""
        what = self.what(queue, n)
        name = "%s-%d" % (queue, n)
        if queue == "prompts":
            pool = self.pools["other" if what == WRONG_KEY else "right"]
            line = dict(pool[n % POOL])
            line["properties"] = dict(line["properties"], message_id=name)
            if what == NO_KEY:
                line["properties"]["content_encoding"] = "encrypted/other"
            return [line]
        if what == MALFORMED:
            return [{"properties": {"message_id": name}, "body": "{no json"}]
        pick = self.pick(n)
        body = {"provider": ("openai", "anthropic", "ollama")[pick % 3],
                "model_id": ("small", "large")[pick % 2],
                "worker_id": "poison" if what == POISON else
                "worker-%d" % (pick % 5),
                "input_tokens": pick % 4000, "latency_ms": pick % 20000,
                "cost_usd": pick / 1e9, "status": "success",
                "recorded_at": daemon.instant(daemon.BEGIN + pick % 28800)}
        lines = [{"properties": {"message_id": name}, "body": body}]
        if what == CONFLICT:
            lines.append({"properties": {"message_id": name},
                          "body": dict(body, input_tokens=4001)})
        elif pick % 100 == 50:
            lines.append(lines[0])	# a producer that says it twice
        return lines


class Producer(threading.Thread):
    """Sends to one queue until told to stop; all of it is confirmed then."""

    def __init__(self, ground, messages, queue, rate):
        super().__init__(daemon=True)
        self.messages = messages
        self.queue = queue
        self.numbers = 0	# 0 .. numbers - 1 were sent
        self.ended = threading.Event()
        self.failed = None
        self.confirmed = ground.path("confirmed-" + queue)
        self.log = ground.path("publish-" + queue)
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [real.BROKER, real.address("AMQP"), "publish", queue, "-",
                 "--until-done", "--mandatory", "--window", "500", "--rate",
                 str(rate), "--confirmed", self.confirmed],
                stdin=subprocess.PIPE, stdout=log, stderr=log)
        self.start()

    def run(self):
        try:
            while not self.ended.is_set():
                text = b"".join(
                    daemon.line_of(line) for n in
                    range(self.numbers, self.numbers + 20)
                    for line in self.messages.lines(self.queue, n))
                self.process.stdin.write(text)
                self.process.stdin.flush()
                self.numbers += 20
            self.process.stdin.close()
        except OSError as why:
            self.failed = why

    def stop(self):
        """Waits until all that was sent is confirmed."""
        self.ended.set()
        self.join(PATIENCE)
        status = self.process.wait(PATIENCE)
        with open(self.log, encoding="utf-8") as log:
            said = log.read().splitlines()
        if status != 0 or self.failed is not None:
            raise daemon.Failure("the producer of %s: %s %s %s" % (
                self.queue, status, self.failed, said[-3:]))
        return said[-1]


# --- daemons -------------------------------------------------------------------

def settings(ground, n, secret):
    source = {"plugin": "amqp", "uri": ground.at["AMQP"], "heartbeat": "2s",
              "give-back-after": "3s", "connect-timeout": "3s"}
    return {
        "sources": {
            "facts": dict(source, queue="facts", kind="metering"),
            "prompts": dict(source, queue="prompts", kind="prompt",
                            crypto="legion")},
        "crypto": {"legion": {"plugin": "cluster", "secret-file": secret}},
        "sinks": {"ledger": {
            "plugin": "postgres", "conninfo": ground.at["PG"] +
            " tcp_user_timeout=3000", "schema": "bursar",
            "connect-timeout": "3s", "statement-timeout": "5s",
            "lock-timeout": "1s"}},
        "state-dir": ground.path("state-%d" % n),
        "blocked-retry": "200ms",
        "dead-letters": {"reserve": "64k"},
    }


class Pair:
    """The daemons, each with its state and, for a while, with another key."""

    def __init__(self, ground):
        self.ground = ground
        self.running = [None] * DAEMONS
        for n in range(DAEMONS):
            for name in ("right", "wrong"):
                ground.write_text("%d-%s.yaml" % (n, name), json.dumps(
                    settings(ground, n, ground.path(name))))

    def start(self, n, key="right"):
        self.ground.config = self.ground.path("%d-%s.yaml" % (n, key))
        self.running[n] = self.ground.start()

    def alive(self, n):
        """It was not we who ended it, if it is not."""
        if not self.running[n].runs():
            raise daemon.Failure("daemon %d ended by itself: %s" % (
                n, self.running[n].process.returncode))
        return self.running[n]

    def state(self, n):
        self.ground.state_dir = self.ground.path("state-%d" % n)
        return self.ground.state() or {}

    def in_flight(self, n):
        return sum(source["in_flight_messages"]
                   for source in self.state(n).get("sources", []))


# --- what happens --------------------------------------------------------------

class Chaos:
    def __init__(self, ground, pair, seed):
        self.ground = ground
        self.pair = pair
        self.rng = random.Random(seed)
        self.broker = ground.wires["AMQP"]
        self.database = ground.wires["PG"]
        self.did = dict.fromkeys(SOAK_ENOUGH, 0)
        self.did.update({"kills": 0, "messages in flight when killed": 0})
        self.wrong_keys = 0

    def count(self, what, number=1):
        self.did[what] = self.did.get(what, 0) + number

    # Each is given what was drawn for it.

    def kill(self, which, pause, _):
        process = self.pair.alive(which)
        hit = 0
        until = time.monotonic() + 4
        while hit == 0 and time.monotonic() < until:
            hit = self.pair.in_flight(which)
        process.kill()
        self.count("kills")
        self.count("kills that hit unsettled messages", hit > 0)
        self.count("messages in flight when killed", hit)
        time.sleep(pause / 2)
        self.pair.start(which)

    def stop(self, which, pause, _):
        process = self.pair.alive(which)
        # Before that TERM ends it as it ends any process.
        process.wait_event("started")
        status = process.stop(PATIENCE)
        if status != 0:
            raise daemon.Failure("stopped, daemon %d ended with %s" % (
                which, status))
        self.count("daemons stopped")
        time.sleep(pause / 2)
        self.pair.start(which)

    def wrong_key(self, which, pause, _):
        self.pair.alive(which).kill()
        self.wrong_keys += 1
        self.count("daemons with a wrong key")
        self.pair.start(which, "wrong")
        time.sleep(0.5 + pause)
        self.pair.alive(which).kill()
        self.pair.start(which)

    def wire(self, which):
        return (self.broker, self.database)[which]

    def cut(self, which, pause, _):
        self.wire(which).cut()
        self.count("networks cut")
        time.sleep(pause)
        self.wire(which).resume()

    def cut_somewhere(self, which, pause, size):
        self.wire(which).cut_after(size)
        self.count("networks cut")
        time.sleep(0.3 + pause)
        self.wire(which).resume()

    def cut_at_commit(self, which, pause, _):
        struck = self.database.struck
        self.database.cut_at(b"COMMIT", behind=which == 1)
        time.sleep(0.3 + pause / 2)
        self.count("commits cut off", self.database.struck - struck)
        self.database.resume()

    def delay(self, which, pause, size):
        self.wire(which).delay(size % 200 / 1000)
        self.count("networks delayed")
        time.sleep(1 + pause)
        self.wire(which).resume()

    def black_hole(self, which, pause, size):
        self.wire(which).black_hole()
        self.count("networks that swallow all")
        time.sleep(1 + 3 * pause)
        if size % 2:
            self.wire(which).reset()
        self.wire(which).resume()

    def restart_server(self, which, pause, how):
        name = ("rabbitmq", "postgres")[which]
        real.servers("kill" if how % 2 else "stop", name)
        self.count("restarts of " + name)
        time.sleep(pause / 2)
        real.servers("start", name)

    def terminate(self, _, pause, __):
        sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE usename = 'bursar'")
        self.count("backends terminated")
        time.sleep(pause / 4)

    def lock(self, _, pause, __):
        lock = real.Session("BEGIN", "LOCK TABLE metering_records")
        self.count("tables locked")
        time.sleep(0.5 + pause * 2)
        lock.say("COMMIT")
        lock.end()

    def revoke(self, _, pause, __):
        sql("REVOKE INSERT ON prompt_records FROM bursar")
        self.count("rights revoked")
        time.sleep(0.3 + pause)
        sql("GRANT INSERT ON prompt_records TO bursar")

    def nothing(self, _, pause, __):
        time.sleep(1 + pause)

    def deck(self):
        """About a minute, in an order of its own."""
        names = ["kill"] * 6 + ["cut", "cut_somewhere", "cut_somewhere",
                                "cut_at_commit", "cut_at_commit", "delay", "black_hole", "terminate", "lock",
                                "revoke", "wrong_key", "stop", "nothing"]
        actions = [(name, self.rng.randrange(2)) for name in names]
        actions += [("restart_server", 0), ("restart_server", 1)]
        self.rng.shuffle(actions)
        return [(name, which, self.rng.random(), self.rng.randrange(1 << 16))
                for name, which in actions]

    def play(self, until, enough):
        """Decks until the time is over and enough was done."""
        while True:
            for name, which, pause, size in self.deck():
                print("       %6.1f s  %s %d" % (
                    time.monotonic() - self.ground.began, name, which),
                    flush=True)
                getattr(self, name)(which, pause, size)
                for n in range(DAEMONS):
                    self.pair.alive(n)
                time.sleep(pause / 2)
            if time.monotonic() >= until and all(
                    self.did[what] >= least for what, least in
                    enough.items() if what != "messages"):
                return
            if time.monotonic() >= until + 120:
                return


# --- the reckoning -------------------------------------------------------------

def reasons_of_letters(ground):
    """For each queue: number -> reasons; one per letter that has an id."""
    found = {queue: {} for queue in QUEUES}
    strangers = []
    for path in sorted(glob.glob(ground.path("state-*/dead-letters/*.jsonl"))):
        with open(path, encoding="utf-8") as file:
            for line in file:
                letter = json.loads(line)
                name = letter.get("properties", {}).get("message_id", "")
                queue, _, n = name.partition("-")
                if queue in found and n.isdigit():
                    found[queue].setdefault(int(n), set()).add(
                        letter["reason"])
                else:
                    strangers.append(letter.get("reason"))
    check(not strangers, "each dead letter has the id of a message",
          strangers[:4])
    return found


def numbers_in(path, queue, most):
    """How often each number was confirmed."""
    counts = bytearray(most)
    with open(path, encoding="utf-8") as file:
        for line in file:
            n = int(line[len(queue) + 1:])
            counts[n] = min(255, counts[n] + 1)
    return counts


def numbers_stored(queue, most):
    """How often each number stands in the ledger."""
    table = {"facts": "metering", "prompts": "prompt"}[queue]
    counts = bytearray(most)
    strangers = 0
    with subprocess.Popen(
            real.psql("ADMIN") + ["-c", "COPY (SELECT message_id FROM "
                                  "%s_records) TO STDOUT" % table],
            stdout=subprocess.PIPE) as process:
        for line in process.stdout:
            name, _, n = line.decode().rstrip("\n").partition("-")
            if name == queue and n.isdigit() and int(n) < most:
                counts[int(n)] = min(255, counts[int(n)] + 1)
            else:
                strangers += 1
    equal((process.returncode, strangers), (0, 0),
          "%s: no record is of a message that was not sent" % queue)
    return counts


def wrong_end(what, stored, reasons, wrong_keys, queue):
    """What is wrong with the end of one confirmed message, or None."""
    if stored > 1:
        return "stored %d times" % stored
    if what == GOOD:
        if stored == 1 and (not reasons or queue == "prompts" and wrong_keys
                            and reasons == {"undecryptable"}):
            return None
        if stored == 0 and queue == "prompts" and wrong_keys and \
                reasons == {"undecryptable"}:
            return None
        return "stored %d, letters %s" % (stored, sorted(reasons))
    if what == CONFLICT:
        if stored == 1 and reasons == {"id-conflict"}:
            return None
        return "stored %d, letters %s" % (stored, sorted(reasons))
    allowed = {REASONS[what]}
    if stored == 0 and reasons == allowed:
        return None
    return "stored %d, letters %s, not %s" % (stored, sorted(reasons),
                                              sorted(allowed))


def reckon(ground, messages, producers, chaos):
    letters = reasons_of_letters(ground)
    by_reason = {}
    for queue, producer in producers.items():
        most = producer.numbers
        sent = numbers_in(producer.confirmed, queue, most)
        stored = numbers_stored(queue, most)
        equal(sent.count(0), 0, "%s: all %d are confirmed" % (queue, most))
        wrong = []
        for n in range(most):
            reasons = letters[queue].get(n, set())
            why = wrong_end(messages.what(queue, n), stored[n], reasons,
                            chaos.wrong_keys, queue)
            if why is not None:
                wrong.append((queue, n, why))
            for reason in reasons:
                by_reason[reason] = by_reason.get(reason, 0) + 1
        check(not wrong, "%s: each confirmed message is in the ledger once, "
              "or a dead letter with its reason" % queue, len(wrong),
              wrong[:6])
        print("       %s: %d stored, %d among the dead letters" % (
            queue, sum(stored), len(letters[queue])))
    print("       letters: %s" % ", ".join(
        "%s %d" % pair for pair in sorted(by_reason.items())))


def check_sums():
    differ = sql("SELECT count(*) FROM ((%s EXCEPT ALL %s) UNION ALL "
                 "(%s EXCEPT ALL %s)) AS differ" % (
                     ("(%s)" % daemon.cells_as_stored(),
                      "(%s)" % daemon.cells_of_records()) +
                     ("(%s)" % daemon.cells_of_records(),
                      "(%s)" % daemon.cells_as_stored())),
                 patience=3600)
    equal(differ, [["0"]], "every cell is the sum of its records")
    keys = sql("SELECT count(*) - count(DISTINCT key), count(*) - (SELECT "
               "count(*) FROM metering_records) - (SELECT count(*) FROM "
               "prompt_records) FROM record_keys", patience=3600)
    equal(keys, [["0", "0"]], "there are as many keys as records, none twice")


# --- running -------------------------------------------------------------------

def prepare(ground):
    """Networks, keys, queues, and a ledger that refuses poison."""
    ground.wires = {name: ground.network(name) for name in ("AMQP", "PG")}
    ground.at = {name: real.through(network, real.address(name))
                 for name, network in ground.wires.items()}
    for name in ("right", "wrong", "other"):
        daemon.cluster_secret(ground, name)
    ground.declare(queue="facts")
    ground.declare("--quorum", "--argument", "x-delivery-limit=1000000",
                   queue="prompts")
    pair = Pair(ground)
    for n in range(DAEMONS):
        pair.start(n)
        pair.running[n].wait_event("ready")
    sql("ALTER TABLE metering_records ADD CHECK (worker_id <> 'poison')")
    return pair


def left(ground, pair):
    """Messages in the queues, in flight, and with a connection that only the
    broker still believes in."""
    found = [ground.ready(queue) for queue in QUEUES] + \
        [pair.in_flight(n) for n in range(DAEMONS)]
    if not any(found):
        found += [int(line.split()[-1]) for line in real.rabbitmqctl(
            "list_queues", "--no-table-headers", "messages").split("\n")
                  if line.strip()]
    return found


def drain(ground, pair):
    """Until nothing waits anywhere; then the daemons stop."""
    seen, until = None, 0
    while seen is None or any(seen):
        now = left(ground, pair)
        for n in range(DAEMONS):
            pair.alive(n)
        if now != seen:
            seen, until = now, time.monotonic() + PATIENCE
        elif time.monotonic() > until:
            raise daemon.Failure("nothing goes on: %s" % seen)
        time.sleep(0.1)
    for n in range(DAEMONS):
        equal(pair.alive(n).stop(PATIENCE), 0, "daemon %d ends with 0" % n)
    equal([ground.ready(queue) for queue in QUEUES], [0, 0],
          "the queues are empty")


def conservation(ground):
    enough = ENOUGH if ARGUMENTS.minutes is None else SOAK_ENOUGH
    pair = prepare(ground)
    messages = Messages(ground, daemon.SEED)
    ground.began = time.monotonic()
    minutes = 0.6 if ARGUMENTS.minutes is None else ARGUMENTS.minutes
    until = ground.began + minutes * 60
    rate = {"facts": ARGUMENTS.rate, "prompts": max(1, ARGUMENTS.rate // 4)}
    producers = {queue: Producer(ground, messages, queue, rate[queue])
                 for queue in QUEUES}
    chaos = Chaos(ground, pair, daemon.SEED)
    chaos.play(until, enough)
    for producer in producers.values():
        print("       " + producer.stop())
    for network in ground.wires.values():
        network.resume()
    drain(ground, pair)
    chaos.did["messages"] = sum(one.numbers for one in producers.values())
    reckon(ground, messages, producers, chaos)
    check_sums()
    ground.verify()
    for what in sorted(chaos.did):
        print("       %s: %d" % (what, chaos.did[what]))
    for what, least in enough.items():
        check(chaos.did[what] >= least, "it did enough: %s: %d of %d" % (
            what, chaos.did[what], least))


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--rate", type=int,
                        help="facts a second, at most (2000, or 1000 without "
                        "--minutes)")
    parser.add_argument("--seed", type=int)
    arguments = parser.parse_args()
    if arguments.rate is None:
        arguments.rate = 1000 if arguments.minutes is None else 2000
    if arguments.seed is not None:
        os.environ["BURSAR_TEST_SEED"] = str(arguments.seed)
        daemon.SEED = arguments.seed
    return arguments


if __name__ == "__main__":
    ARGUMENTS = parse()
    if "BURSAR_TEST_SERVERS" in os.environ:
        del sys.argv[1:]	# they name no scenario
    real.main(conservation, plugins=["source_amqp", "sink_postgres",
                                     "crypto_cluster"])
