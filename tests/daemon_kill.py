#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 at random moments loses nothing and stores nothing twice."""
import json
import os
import random
import sys
import threading
import time

sys.dont_write_bytecode = True
import daemon  # noqa: E402
from daemon import check, equal  # noqa: E402

RECORDS = daemon.scaled(12000, 2000)
KILLS = daemon.scaled(8, 3)		# that hit unsettled messages
MOST_ROUNDS = 40 * KILLS
BROKEN = 97		# every so many lines is no message


def messages(first, count):
    """Lines, and what is to become of them."""
    lines = []
    for n in range(first, first + count):
        if n % BROKEN == 0:
            lines.append('{"broken":%d' % n)
        elif n % 5 == 0:
            lines.append(daemon.fact_without_id(n))
        elif n % 11 == 0:
            lines.append(daemon.prompt(n))
        else:
            lines.append(daemon.fact(n))
    return lines


class Sent:
    """What was written for the daemon to read."""

    def __init__(self):
        self.facts, self.marks, self.prompts = [], [], []
        self.broken = 0

    def add(self, lines):
        for line in lines:
            if isinstance(line, str):
                self.broken += 1
            elif line["kind"] == "prompt":
                self.prompts.append(line["properties"]["message_id"])
            elif "properties" in line:
                self.facts.append(line["properties"]["message_id"])
            else:
                self.marks.append(line["body"]["idempotency_key"])

    def count(self):
        return len(self.facts) + len(self.marks) + len(self.prompts)


def stored(ground):
    return ground.count("metering") + ground.count("prompt")


def check_conservation(ground, sent):
    """Each message is in exactly one of ledger and dead letters."""
    daemon.once_each(
        [row[0] for row in ground.rows("SELECT message_id FROM "
         "metering_records WHERE idempotency_key IS NULL")], sent.facts,
        "%d facts with ids, each once" % len(sent.facts))
    daemon.once_each(
        [row[0] for row in ground.rows("SELECT idempotency_key FROM "
         "metering_records WHERE idempotency_key IS NOT NULL")], sent.marks,
        "%d facts without ids, each once" % len(sent.marks))
    daemon.once_each(ground.ids("prompt"), sent.prompts,
                     "%d prompts, each once" % len(sent.prompts))
    letters = {letter["id"]: letter for letter in ground.letters()}
    equal(len(letters), sent.broken, "%d lines that are no messages are "
          "dead letters" % sent.broken)
    equal({letter["reason"] for letter in letters.values()}, {"malformed"},
          "and nothing else is")
    listed = json.loads(ground.bursar("dead-letters", "--limit", "100000",
                                      "--format", "json"))
    equal(len(listed["rows"]), sent.broken,
          "`bursar dead-letters` lists each once")
    daemon.check_rollups(ground)
    daemon.check_sound(ground)
    ground.verify()


def killed_again_and_again_until_done(ground):
    rng = random.Random(daemon.SEED)
    sent = Sent()
    hits = rounds = 0
    ground.configure(batch_records=400, linger="5ms")
    while True:
        rounds += 1
        if rounds > MOST_ROUNDS:
            raise daemon.Failure("not done after %d rounds" % rounds)
        if hits < KILLS and stored(ground) >= sent.count():
            more = messages(sent.count() + sent.broken, RECORDS // 4)
            ground.write("in/%03d" % rounds, more)
            sent.add(more)
        process = ground.start("--once")
        before = stored(ground)
        if hits < KILLS:
            # From the first record on, or at any moment before.
            if rng.random() < 0.8:
                until = time.monotonic() + daemon.PATIENCE
                while stored(ground) == before and process.runs() and \
                        time.monotonic() < until:
                    time.sleep(0.002)
            time.sleep(rng.uniform(0, 0.2))
            if process.runs():
                process.kill()
                left = sent.count() - stored(ground)
                hits += 0 < left and stored(ground) > before
                continue
        status = process.wait()
        if status != 0:
            raise daemon.Failure("--once ended with %s" % status)
        if hits >= KILLS or stored(ground) < sent.count():
            break
    print("       %d rounds, %d kills hit unsettled messages, %d messages" %
          (rounds, hits, sent.count() + sent.broken))
    check_conservation(ground, sent)


def writer(ground, sent, stop, most):
    """Appends, and rotates as logrotate does: rename, then a new file."""
    rng = random.Random(daemon.SEED + 1)
    n = turn = 0
    file = open(ground.path("in/app.log"), "ab", buffering=0)
    while not stop.is_set() and n < most:
        lines = messages(n, rng.randrange(1, 60))
        n += len(lines)
        data = b"".join(map(daemon.line_of, lines))
        cut = rng.randrange(len(data))	# a line may be written in pieces
        file.write(data[:cut])
        time.sleep(0.001)
        file.write(data[cut:])
        sent.add(lines)
        if rng.random() < 0.05:
            turn += 1
            file.close()
            os.rename(ground.path("in/app.log"),
                      ground.path("in/app.log.%04d" % turn))
            file = open(ground.path("in/app.log"), "ab", buffering=0)
        time.sleep(rng.uniform(0, 0.02))
    file.close()
    return n


def killed_while_files_grow_and_rotate(ground):
    rng = random.Random(daemon.SEED + 2)
    sent = Sent()
    stop = threading.Event()
    ground.configure(source={"follow": True}, batch_records=500,
                     linger="5ms")
    thread = threading.Thread(target=writer, args=(
        ground, sent, stop, daemon.scaled(100000, 5000)))
    thread.start()
    hits = 0
    try:
        for _ in range(MOST_ROUNDS):
            before = stored(ground)
            process = ground.start()
            daemon.wait_for(lambda: stored(ground) > before or
                            not thread.is_alive(), "it stores something")
            time.sleep(rng.uniform(0, 0.3))
            hits += sent.count() > stored(ground)
            process.kill()
            if hits >= KILLS or not thread.is_alive():
                break
    finally:
        stop.set()
        thread.join()
    check(hits >= 2, "kills hit unsettled messages: %d" % hits)
    process = ground.follow()
    daemon.wait_for(lambda: stored(ground) >= sent.count(),
                    "all are stored")
    daemon.wait_for(lambda: ground.state()["sources"][0]
                    ["in_flight_messages"] == 0, "all are settled")
    equal(process.stop(), 0, "TERM ends it with 0")
    check_conservation(ground, sent)
    last = ground.follow()
    time.sleep(0.3)
    equal(ground.part("sources", "in").get("read"), 0,
          "started again, it reads nothing")
    equal(last.stop(), 0, "and ends")


daemon.main(killed_again_and_again_until_done,
            killed_while_files_grow_and_rotate)
