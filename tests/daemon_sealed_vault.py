#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Vault is sealed for an hour, between a real RabbitMQ and HTTP: what needs its
key waits where it was, metering flows, nothing is delivered again and again,
and all arrives once when it is unsealed.

The hour is compressed: the daemon waits at most a second between two looks at
Vault (`retry: 1s`, 30 by default), and Vault is sealed for SEALED seconds; an
hour at 30 seconds has as many looks as two minutes at one.  What is measured is
that nothing grows with the time: BURSAR_TEST_SCALE=30 takes the whole hour's
looks."""
import http.client
import json
import os
import secrets
import sys
import threading
import time

sys.dont_write_bytecode = True
import daemon  # noqa: E402
import real  # noqa: E402
import vault  # noqa: E402
from daemon import check, equal  # noqa: E402

real.SINK = "sqlite"
SEALED = daemon.scaled(4, 4)	# seconds
MANY = daemon.scaled(400, 200)
TOKEN = "hvs.tokenofthedaemon"
LINES = ["--rabbitmq", "collect_statistics = fine"]


def prompts(first, count):
    return [daemon.prompt(n) for n in range(first, first + count)]


def names(first, count):
    return ["prompt-%08d" % n for n in range(first, first + count)]


def crypto(ground, server):
    """The configuration of `legion`, whose secret is in that Vault."""
    daemon.need("crypto_vault")
    ground.secret = secrets.token_hex(32)
    server.control(engine={"legion": 2}, token={TOKEN: {}},
                   secret={"legion/crypt": {"cluster_secret": ground.secret}})
    with open(ground.path("token"), "w", encoding="ascii",
              opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.write(TOKEN + "\n")
    return {"legion": {"plugin": "vault", "address": server.address,
                       "token-file": ground.path("token"),
                       "refresh": "300ms", "max-age": "1s", "retry": "1s"}}


def deliveries():
    """What the broker has delivered since its start, for the first time and
    again, over the channels that are open."""
    said = real.rabbitmqctl("eval", """
        lists:foldl(fun(Row, {D, R}) -> {D + element(4, Row) + element(5, Row),
                                         R + element(6, Row)} end,
                    {0, 0}, ets:tab2list(channel_queue_metrics)).""")
    return [int(word) for word in said.strip().strip("{}").split(",")]


class Flow(threading.Thread):
    """Publishes metering as long as it is told to."""

    def __init__(self, ground):
        super().__init__(daemon=True)
        self.ground, self.sent, self.on = ground, 0, True
        self.start()

    def run(self):
        while self.on:
            self.ground.write("flow", [daemon.fact(self.sent)])
            real.broker("publish", self.ground.queue,
                        self.ground.path("flow"), "--mandatory")
            self.sent += 1
            time.sleep(0.1)

    def end(self):
        self.on = False
        self.join(daemon.PATIENCE)
        return self.sent


def an_hour_between_queues(ground):
    server = vault.Vault().start()
    tree = crypto(ground, server)
    for queue in (ground.queue, "prompts"):
        ground.declare("--quorum", queue=queue)
    ground.configure(
        sources={"prompts": {"plugin": "amqp", "uri": real.address("AMQP"),
                             "queue": "prompts", "kind": "prompt",
                             "crypto": "legion", "require-encryption": True}},
        crypto=tree)
    lines = daemon.sealed(ground, "legion", prompts(0, MANY))
    process = ground.follow()
    ground.publish(lines[:MANY // 4], target="prompts")
    ground.wait_stored(MANY // 4, "prompt")

    server.control(fault="sealed")
    process.wait_event("vault-secret-stale")	# what was read is too old
    ground.publish(lines[MANY // 4:MANY // 2], target="prompts")
    ground.wait_state("sources", "prompts", "parked")
    ground.wait_ready(MANY // 4, "prompts")
    equal(ground.consumers("prompts"), 0, "the queue is left to others")
    flow = Flow(ground)
    daemon.wait_for(lambda: ground.count() > 0, "metering flows")
    before, stored = deliveries(), ground.count()
    read = ground.part("sources", "prompts")["read"]
    asked = len(server.told()["requests"])
    began = time.monotonic()
    until = began + SEALED
    slowest = 0
    while time.monotonic() < until:
        at, count = time.monotonic(), ground.count()
        daemon.wait_for(lambda seen=count: ground.count() > seen,
                        "metering goes on flowing")
        slowest = max(slowest, time.monotonic() - at)
    # Some come while it is sealed: they wait with the broker.
    ground.publish(lines[MANY // 2:], target="prompts")
    ground.wait_ready(MANY - MANY // 4, "prompts")
    after = deliveries()
    looks = len(server.told()["requests"]) - asked
    took = time.monotonic() - began
    equal(after[1], before[1], "nothing was delivered again while it is sealed")
    equal(ground.part("sources", "prompts")["read"], read,
          "nor read by the source")
    check(after[0] - before[0] <= flow.sent,
          "metering alone was delivered", before, after, flow.sent)
    check(looks <= 3 * took + 20, "Vault was asked now and then", looks)
    equal(ground.count("prompt"), MANY // 4, "no prompt was opened")
    equal(len(process.events("vault-sealed")), 1, "one alarm")
    state = ground.state()
    check("sealed" in ground.part("sources", "prompts")["why"] and
          ground.part("sources", "in")["state"] == "open",
          "the status says which source waits, and why", state["sources"])
    print("       sealed for %d s: %d facts stored, %.1f s between two at "
          "most, %d looks at Vault" % (SEALED, ground.count() - stored,
                                       slowest, looks))

    server.control(fault=None)
    ground.wait_stored(MANY, "prompt")
    sent = flow.end()
    ground.wait_stored(sent)
    check(deliveries()[1] <= before[1] + MANY // 4,
          "what was given back was delivered once more", deliveries())
    equal(process.stop(), 0, "TERM ends it with 0")
    daemon.once_each(ground.ids("prompt"), names(0, MANY), "each prompt once")
    daemon.once_each(ground.ids(), real.names(0, sent), "each fact once")
    equal([ground.ready(), ground.ready("prompts")], [0, 0],
          "the queues are empty")
    equal(ground.letters(), [], "no dead letters")
    equal(server.told()["unfaithful"], [], "all that was asked is Vault's")
    check(ground.secret not in process.log(), "the log keeps the secret")
    ground.verify()
    server.stop()


def post(port, records):
    """Status, headers, and what was answered."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        client.request("POST", "/v1/records", json.dumps(records),
                       {"Content-Type": "application/json"})
        answer = client.getresponse()
        return answer.status, answer.headers, json.loads(answer.read())
    finally:
        client.close()


def statuses(told):
    return [one["status"] for one in told.get("records", [])]


def an_hour_over_http(ground):
    """The same where a sender waits for an answer."""
    server = vault.Vault().start()
    audit, metering = daemon.free_port(), daemon.free_port()
    ground.configure(
        source={"plugin": "http", "kind": "metering", "queue": None,
                "listen": "127.0.0.1:%d" % metering},
        sources={"prompts": {"plugin": "http", "kind": "prompt",
                             "listen": "127.0.0.1:%d" % audit,
                             "crypto": "legion", "require-encryption": True}},
        crypto=crypto(ground, server))
    without_queue(ground)
    lines = daemon.sealed(ground, "legion", prompts(0, 40))
    process = ground.follow()
    process.wait_event("listening", 2)
    equal(statuses(post(audit, lines[:10])[2]), ["stored"] * 10, "it works")

    server.control(fault="sealed")
    process.wait_event("vault-secret-stale")	# what was read is too old
    reads = ground.part("sources", "prompts")["read"]
    seen, wrong, answers, facts, slowest = set(), [], 0, 0, 0
    until = time.monotonic() + SEALED
    while time.monotonic() < until:
        began = time.monotonic()
        status, headers, told = post(audit, lines[10:20])
        slowest = max(slowest, time.monotonic() - began)
        seen.add((status, headers["Retry-After"] is not None))
        wrong += set(statuses(told)) - {"retry"}
        answers += 1
        status, _, told = post(metering, [daemon.fact(facts)])
        wrong += set(statuses(told)) - {"stored"}
        facts += status == 200
        time.sleep(0.02)
    equal((seen, wrong), ({(503, True)}, []),
          "503 and when to come back, as long as it is sealed")
    check(slowest < 10, "at once", slowest)
    equal((ground.count("prompt"), ground.count()), (10, facts),
          "no prompt was opened, and every fact was stored")
    read = ground.part("sources", "prompts")["read"] - reads
    check(read <= 20, "what is turned away is not read", read, answers)
    equal(len(process.events("vault-sealed")), 1, "one alarm")
    print("       sealed for %d s: %d requests turned away in %.2f s at most, "
          "%d records read, %d facts stored" % (SEALED, answers, slowest, read,
                                                facts))

    server.control(fault=None)
    daemon.wait_for(lambda: post(audit, lines[10:20])[0] == 200,
                    "the same request is taken")
    equal(statuses(post(audit, lines[10:])[2]),
          ["duplicate"] * 10 + ["stored"] * 20, "and is there once")
    equal(process.stop(), 0, "TERM ends it with 0")
    daemon.once_each(ground.ids("prompt"), names(0, 40), "each prompt once")
    equal(ground.letters(), [], "no dead letters")
    server.stop()


def without_queue(ground):
    """`in` is no AMQP source here."""
    with open(ground.config, encoding="utf-8") as file:
        tree = json.load(file)
    for name in ("queue", "uri"):
        tree["sources"]["in"].pop(name)
    ground.write_text("bursar.yaml", json.dumps(tree))


if __name__ == "__main__":
    real.main(an_hour_between_queues, an_hour_over_http,
              servers=["rabbitmq"],
              plugins=["source_amqp", "source_http", "crypto_vault"],
              lines=LINES)
