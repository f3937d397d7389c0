#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""From a RabbitMQ into a ledger: acknowledged means durable, whatever becomes
of broker, queue, network, key and daemon."""
import base64
import json
import os
import random
import signal
import sys
import time

sys.dont_write_bytecode = True
import daemon  # noqa: E402
import real  # noqa: E402
from daemon import check, equal  # noqa: E402
from real import broker, facts, names  # noqa: E402

real.SINK = "sqlite"
MANY = daemon.scaled(3000, 500)
KILLS = daemon.scaled(4, 2)


def settle_all(ground, process, count):
    """All that was published is settled, and acknowledged."""
    ground.wait_settled(count)
    equal(process.stop(), 0, "TERM ends it with 0")
    equal(ground.ready(), 0, "the queue is empty")


# --- what a message brings -----------------------------------------------------

def properties_and_routing_key_come_along(ground):
    """No kind is configured, bodies are bare: all else is in the message."""
    broker("exchange", "llm", "topic")
    ground.configure(source={"kind": "", "exchange": "llm", "binding": "#"})
    process = ground.follow()
    daemon.wait_for(lambda: broker("consumers", ground.queue, status=None),
                    "the queue is declared")
    messages = [dict(daemon.fact(1), routing_key="metering.chat"),
                dict(daemon.prompt(2), routing_key="audit.prompt.x",
                     headers={"x-legion-contains-phi": "true",
                              "x-legion-retention": "default"}),
                dict(daemon.tool(3), routing_key="audit.tool.y"),
                dict(daemon.fact(4), routing_key="other.z")]
    messages[1]["properties"].update(correlation_id="c-2", app_id="app")
    del messages[1]["body"]["retention_policy"]
    ground.publish(messages, target="llm:")
    ground.wait_settled(4)
    equal((ground.ids(), ground.ids("prompt"), ground.ids("tool")),
          (["fact-00000001"], ["prompt-00000002"], ["tool-00000003"]),
          "the routing key says the kind, message_id the id")
    equal([one["reason"] for one in ground.letters()], ["no-kind"],
          "a routing key that says nothing is a dead letter")
    row = ground.rows("SELECT * FROM prompt_records")[0]
    check(row["contains_phi"] == 1, "headers arrive")
    settle_all(ground, process, 4)
    ground.verify()


def an_envelope_comes_out_of_its_own(ground):
    """The bytes of a message may be an envelope as well."""
    ground.declare()
    inner = daemon.fact(7)
    ground.publish([{"properties": {"message_id": "outer"},
                     "body": json.dumps(inner)}])
    process = ground.follow()
    ground.wait_settled(1)
    equal(ground.ids(), ["fact-00000007"], "its own id counts")
    settle_all(ground, process, 1)


def what_cannot_be_stored_is_a_dead_letter(ground):
    daemon.need("crypto_sodium")
    ground.declare()
    ground.configure(max_message="100k")
    bad = [("{no json", "malformed"), ("[1]", "malformed"),
           ('"text"', "malformed"),
           (json.dumps({"x": "y" * 200000}), "too-large"),
           ({"properties": {"message_id": "sealed",
                            "content_encoding": "encrypted/sodium"},
             "body": "x"}, "no-key")]
    ground.publish([message for message, _ in bad] + facts(0, 50))
    process = ground.follow()
    settle_all(ground, process, 50 + len(bad))
    daemon.once_each(ground.ids(), names(0, 50), "the others are stored")
    letters = ground.letters()
    equal(sorted(one["reason"] for one in letters),
          sorted(reason for _, reason in bad), "each has its reason")
    equal({one["source"] for one in letters}, {"in"}, "and its source")
    whole = {base64.b64decode(one["body_base64"]) for one in letters}
    check({b"{no json", b"[1]", b'"text"'} <= whole,
          "and is kept as it was delivered", whole)
    ground.check_ledger()


def dead_letters_can_go_to_the_broker_too(ground):
    broker("exchange", "graveyard", "fanout")
    broker("declare", "dead")
    broker("bind", "dead", "graveyard", "")
    ground.declare("--argument", "x-dead-letter-exchange=graveyard")
    ground.configure(source={"dead-letter": "broker"})
    ground.publish(["{bad"] + facts(0, 20) + ["worse"])
    process = ground.follow()
    ground.wait_settled(22)
    daemon.wait_for(lambda: ground.ready("dead") == 2,
                    "two are dead letters of the broker")
    dead = [json.loads(line) for line in
            broker("get", "dead", 9).splitlines()]
    equal([base64.b64decode(one["body_base64"]) for one in dead],
          [b"{bad", b"worse"], "as they were delivered")
    equal(len(ground.letters("malformed")), 2, "and of ours")
    settle_all(ground, process, 22)
    equal(ground.count(), 20, "the others are stored")


def a_message_without_an_id(ground):
    """Two equal ones are two calls; one that comes again is one."""
    ground.declare()
    twin = dict(daemon.body_of_fact(1))
    ground.publish([{"properties": {"timestamp": 1793491300}, "body": twin},
                    {"properties": {"timestamp": 1793491300}, "body": twin},
                    {"properties": {"timestamp": 1793491301}, "body": twin}])
    process = ground.follow()
    ground.wait_settled(3)
    equal(ground.count(), 3, "equal calls are separate calls")
    settle_all(ground, process, 3)

    # A second sink is locked: the first has them, and none is settled.
    copy = ground.path("copy.db")
    ground.configure(sinks={"copy": {"plugin": "sqlite", "path": copy}},
                     book="ledger")
    process = ground.follow()
    ground.wait_state("sinks", "copy", "open")
    lock = ground.database(copy)
    lock.isolation_level = None
    lock.execute("BEGIN IMMEDIATE")
    ground.publish([{"body": daemon.body_of_fact(n)} for n in range(2, 40)])
    ground.wait_stored(41)
    process.kill()
    lock.execute("ROLLBACK")
    lock.close()
    process = ground.follow()
    settle_all(ground, process, 38)
    equal((ground.count(), ground.count(path=copy)), (41, 38),
          "what is delivered again is a duplicate where it was stored")
    ground.check_ledger()


# --- the ledger is away --------------------------------------------------------

def hold_ledger(ground):
    """A lock on the ledger, which is made if there is none."""
    if not os.path.exists(ground.ledger):
        kept = open(ground.config, encoding="utf-8").read()
        ground.configure(source={"plugin": "file",
                                 "path": ground.path("in/*")},
                         sources={"in": {"plugin": "file",
                                         "path": ground.path("in/*")}})
        ground.once()
        ground.write_text("bursar.yaml", kept)
    lock = ground.database()
    lock.isolation_level = None
    lock.execute("BEGIN IMMEDIATE")
    return lock


def unsettled_messages_go_back_at_the_end(ground):
    ground.declare()
    ground.configure(drain_timeout="300ms")
    ground.publish(facts(0, 200))
    lock = hold_ledger(ground)
    process = ground.follow()
    daemon.wait_for(lambda: ground.part("sources", "in").get(
        "in_flight_messages", 0) > 0, "some are in flight")
    equal(process.stop(), 0, "TERM ends it with 0 after drain-timeout")
    ground.wait_ready(200)
    check(True, "all are in the queue again")
    lock.rollback()
    lock.close()
    process = ground.follow()
    settle_all(ground, process, 200)
    daemon.once_each(ground.ids(), names(0, 200), "then each is stored once")
    equal(ground.letters(), [], "none is a dead letter")


def heartbeats_go_on_while_the_ledger_is_held(ground):
    """Also when the window is full, and nothing is read."""
    ground.declare()
    network = ground.network("AMQP")
    ground.configure(source={"uri": real.through(network, real.address("AMQP")),
                             "heartbeat": "1s", "window-messages": 20})
    ground.publish(facts(0, 500))
    lock = hold_ledger(ground)
    process = ground.follow()
    ground.wait_state("sinks", "ledger", "held")
    time.sleep(5)
    equal(network.accepted, 1, "five heartbeats later it is one connection")
    lock.rollback()
    lock.close()
    settle_all(ground, process, 500)
    equal(network.accepted, 1, "and remains one")
    daemon.once_each(ground.ids(), names(0, 500), "each is stored once")


def an_outage_that_lasts_gives_messages_back(ground):
    ground.declare()
    ground.configure(source={"give-back-after": "1s"})
    ground.publish(facts(0, 1000))
    lock = hold_ledger(ground)
    process = ground.follow()
    daemon.wait_for(lambda: ground.part("sources", "in").get(
        "in_flight_messages", 0) > 0, "some are in flight")
    ground.wait_ready(1000)
    check(True, "after give-back-after all are in the queue again")
    ground.wait_state("sources", "in", "parked")
    equal(ground.consumers(), 0, "nobody consumes")
    check(not ground.state()["ready"], "the daemon is not ready")
    lock.rollback()
    lock.close()
    ground.wait_stored(1000)
    daemon.wait_for(lambda: ground.ready() == 0, "the queue is empty")
    equal(process.stop(), 0, "the outage over, it goes on by itself")
    equal(ground.ready(), 0, "and acknowledges all")
    daemon.once_each(ground.ids(), names(0, 1000), "each is stored once")
    equal(ground.letters(), [], "none is a dead letter")


# --- the broker is away --------------------------------------------------------

def a_broker_that_restarts(ground):
    ground.declare()
    process = ground.follow()
    ground.publish(facts(0, 500))
    ground.wait_settled(500)
    real.servers("stop", "rabbitmq")
    daemon.wait_for(lambda: ground.part("sources", "in").get("state") in (
        "held", "blocked"), "the source is held")
    check("127.0.0.1" in ground.part("sources", "in")["why"],
          "and says who is away", ground.part("sources", "in"))
    check(process.runs(), "the daemon goes on")
    real.servers("start", "rabbitmq")
    ground.publish(facts(500, 500))
    ground.wait_stored(1000)
    real.servers("kill", "rabbitmq")
    real.servers("start", "rabbitmq")
    ground.publish(facts(1000, 500))
    ground.wait_stored(1500)
    equal(process.stop(), 0, "stopped, killed, started: it goes on")
    equal(ground.ready(), 0, "the queue is empty")
    daemon.once_each(ground.ids(), names(0, 1500), "each is stored once")


def a_broker_that_comes_later(ground):
    real.servers("stop", "rabbitmq")
    process = ground.follow()
    daemon.wait_for(lambda: ground.part("sources", "in").get("state") ==
                    "held", "the source is held")
    real.servers("start", "rabbitmq")
    daemon.wait_for(lambda: broker("count", ground.queue, status=None),
                    "it declares its queue")
    ground.publish(facts(0, 10))
    settle_all(ground, process, 10)


def a_queue_that_is_deleted_and_comes_again(ground):
    """The broker cancels the consumer; nobody else tells of it."""
    ground.declare()
    process = ground.follow()
    ground.publish(facts(0, 100))
    ground.wait_settled(100)
    broker("delete", ground.queue)
    daemon.wait_for(lambda: broker("consumers", ground.queue, status=None) ==
                    "1\n", "the queue is declared again and consumed")
    ground.publish(facts(100, 100))
    ground.wait_stored(200)
    equal(process.stop(), 0, "it goes on by itself")
    daemon.once_each(ground.ids(), names(0, 200), "each is stored once")


def a_publisher_that_comes_later(ground):
    """Whose exchange it is: it is not declared, and waited for."""
    ground.configure(source={"exchange": "late", "binding": "#",
                             "look-interval": "200ms"})
    process = ground.follow()
    said = process.wait_event("exchange-missing")
    check("late" in said, "a missing exchange is named", said)
    broker("exchange", "late", "topic")
    # It is sent again until there is a queue that takes it.
    ground.publish(facts(1, 1), target="late:")
    settle_all(ground, process, 1)


def a_password_that_is_wrong_for_a_while(ground):
    ground.declare()
    ground.publish(facts(0, 10))
    secret = real.address("AMQP").split(":")[2].split("@")[0]
    real.rabbitmqctl("change_password", "bursar", "another")
    try:
        process = ground.follow()
        part = ground.wait_state("sources", "in", "blocked")
        check(secret not in json.dumps(ground.state()) + process.log(),
              "it blocks, and the password is told nowhere", part)
        check("password" in ground.bursar("status"), "`bursar status` says "
              "what to do")
    finally:
        real.rabbitmqctl("change_password", "bursar", secret)
    settle_all(ground, process, 10)


def a_network_that_is_cut_again_and_again(ground):
    """At any byte of the protocol; what was not acknowledged comes again."""
    rng = random.Random(daemon.SEED)
    ground.declare()
    network = ground.network("AMQP")
    ground.configure(source={"uri": real.through(network, real.address("AMQP")),
                             "heartbeat": "2s"}, batch_records=200)
    process = ground.follow()
    sender = real.InBackground(lambda: ground.publish(
        facts(0, MANY), "--rate", "1000"))
    cuts = 0
    while cuts < 12:
        network.cut_after(rng.choice((8, 400, rng.randrange(4000))))
        time.sleep(rng.uniform(0.05, 0.2))
        network.resume()
        network.reset()
        cuts += 1
        time.sleep(rng.uniform(0, 0.3))
    sender.done()
    ground.wait_stored(MANY)
    check(network.accepted > 5, "%d connections" % network.accepted)
    daemon.wait_for(lambda: ground.ready() == 0, "the queue is empty")
    daemon.wait_for(lambda: not ground.part("sources", "in").get(
        "in_flight_messages", 1), "nothing is in flight")
    equal(process.stop(), 0, "TERM ends it with 0")
    equal(ground.ready(), 0, "the queue is empty")
    daemon.once_each(ground.ids(), names(0, MANY), "each is stored once")
    equal(ground.letters(), [], "none is a dead letter")
    ground.check_ledger()


def a_network_that_swallows_all(ground):
    """Only the heartbeat tells of it."""
    ground.declare()
    network = ground.network("AMQP")
    ground.configure(source={"uri": real.through(network, real.address("AMQP")),
                             "heartbeat": "1s"})
    process = ground.follow()
    ground.publish(facts(0, 100))
    ground.wait_settled(100)
    network.black_hole()
    ground.publish(facts(100, 100))
    daemon.wait_for(lambda: ground.part("sources", "in").get("state") ==
                    "held", "a connection that says nothing is given up")
    network.reset()
    network.resume()
    ground.wait_stored(200)
    equal(process.stop(), 0, "the network is back: it goes on")
    equal(ground.ready(), 0, "the queue is empty")
    daemon.once_each(ground.ids(), names(0, 200), "each is stored once")


def over_tls_with_a_certificate(ground):
    ground.declare()
    ground.publish(facts(0, 10))
    uri = real.address("AMQPS")
    ground.configure(source={
        "uri": "amqps://" + uri.split("@")[1], "sasl": "external",
        "ca-file": real.address("CA"), "cert-file": real.address("CERT"),
        "key-file": real.address("KEY")})
    process = ground.follow()
    settle_all(ground, process, 10)
    ground.publish(facts(10, 10))
    ground.configure(source={"uri": uri})
    process = ground.follow()
    daemon.wait_for(lambda: ground.part("sources", "in").get("state") in (
        "held", "blocked"), "an unknown authority is refused")
    equal(process.stop(), 0, "TERM ends it with 0")
    equal(ground.ready(), 10, "and nothing is taken from it")
    ground.configure(source={"uri": uri, "ca-file": real.address("CA")})
    process = ground.follow()
    settle_all(ground, process, 10)


# --- the daemon is away --------------------------------------------------------

def killed_again_and_again(ground):
    for queue in ("classic", "quorum"):
        arguments = ["--quorum"] if queue == "quorum" else []
        ground.declare(*arguments, queue=queue)
    rng = random.Random(daemon.SEED)
    more = {"plugin": "amqp", "uri": real.address("AMQP"), "queue": "quorum",
            "kind": "metering"}
    ground.queue = "classic"
    ground.configure(sources={"other": more}, batch_records=300)
    count = hits = 0
    while hits < KILLS:
        before = ground.count()
        if before >= count:
            ground.publish(facts(count, MANY), target="classic")
            ground.publish(facts(count + MANY, MANY), target="quorum")
            count += 2 * MANY
        process = ground.start()
        daemon.wait_for(lambda: ground.count() > before, "it stores some")
        time.sleep(rng.uniform(0, 0.05))
        process.kill()
        hits += ground.count() < count
    process = ground.follow()
    ground.wait_stored(count)
    daemon.wait_for(lambda: ground.ready("classic") + ground.ready("quorum")
                    == 0, "the queues are empty")
    daemon.wait_for(lambda: not any(
        one["in_flight_messages"] for one in ground.state()["sources"]),
        "nothing is in flight")
    equal(process.stop(), 0, "TERM ends it with 0")
    equal((ground.ready("classic"), ground.ready("quorum")), (0, 0),
          "all is acknowledged")
    daemon.once_each(ground.ids(), names(0, count), "each is stored once, "
                     "with %d kills that hit unsettled messages" % hits)
    equal(ground.letters(), [], "none is a dead letter")
    ground.check_ledger()
    ground.verify()


# --- keys ----------------------------------------------------------------------

def with_secret(ground, path, **more):
    ground.configure(
        source=dict({"crypto": "legion"}, **more),
        crypto={"legion": {"plugin": "cluster", "secret-file": path}})


def a_wrong_key_costs_few_letters(ground):
    daemon.need("crypto_cluster")
    right = daemon.cluster_secret(ground, "right")
    wrong = daemon.cluster_secret(ground, "wrong")
    ground.declare()
    with_secret(ground, right)
    ground.publish(daemon.sealed(ground, "legion", facts(0, 300)))
    with_secret(ground, wrong)
    process = ground.follow()
    ground.wait_state("sources", "in", "slow")
    time.sleep(1)
    letters = len(ground.letters("undecryptable"))
    check(8 <= letters <= 20, "few are dead letters: %d" % letters)
    equal(ground.count(), 0, "nothing is stored")
    with_secret(ground, right)
    process.signal(signal.SIGHUP)
    process.wait_event("reloaded")
    daemon.wait_for(lambda: ground.count() + len(ground.letters()) >= 300,
                    "the right key ends it: the rest is stored")
    daemon.wait_for(lambda: ground.ready() == 0, "the queue is empty")
    equal(process.stop(), 0, "TERM ends it with 0")
    equal(ground.ready(), 0, "all is acknowledged")
    ground.bursar("replay", "--reason", "undecryptable")
    daemon.once_each(ground.ids(), names(0, 300), "replayed, all are stored")


def a_key_that_is_gone_parks_the_source(ground):
    """Its messages are in the queue meanwhile, others go on."""
    ground.declare()
    ground.declare(queue="clear")
    more = {"plugin": "amqp", "uri": real.address("AMQP"), "queue": "clear",
            "kind": "metering"}
    ground.configure(
        source={"crypto": "far"}, sources={"clear": more},
        crypto={"far": {"plugin": "moody", "key-file": ground.path("key")}})
    sealed = facts(0, 200)
    for message in sealed:
        message["properties"]["content_encoding"] = "encrypted/moody"
    ground.write_text("key", "")
    ground.publish(sealed[:100])
    process = ground.follow(env=real.with_test_modules())
    ground.wait_settled(100)
    os.unlink(ground.path("key"))
    ground.publish(sealed[100:])
    ground.publish(facts(200, 100), target="clear")
    ground.wait_settled(100, "clear")
    ground.wait_state("sources", "in", "parked")
    ground.wait_ready(100)
    equal(ground.consumers(), 0, "its messages are in the queue, for others")
    time.sleep(0.5)
    equal(ground.ready(), 100, "and nothing is read in a loop")
    equal(ground.letters(), [], "none is a dead letter")
    ground.write_text("key", "")
    ground.wait_stored(300)
    daemon.wait_for(lambda: ground.ready() == 0, "the queue is empty")
    equal(process.stop(), 0, "the key is back: it goes on by itself")
    equal(ground.ready(), 0, "all is acknowledged")
    daemon.once_each(ground.ids(), names(0, 300), "each is stored once")


# --- memory --------------------------------------------------------------------

def resident(process):
    with open("/proc/%d/status" % process.pid, encoding="ascii") as file:
        for line in file:
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    return 0


def memory_does_not_grow(ground):
    """BURSAR_TEST_SCALE=50 is a million messages and a half."""
    rounds, each = 10, daemon.scaled(3000)
    ground.declare()
    ground.configure(source={"window-messages": 2000, "window-bytes": "2M"},
                     sinks={"ledger": {"plugin": "null"}})
    # What a sanitizer keeps of what was freed is not ours; and that of
    # threads notes which of them touched which memory, in more and more of it.
    process = ground.follow(env={"ASAN_OPTIONS": ":".join(
        filter(None, [os.environ.get("ASAN_OPTIONS"),
                      "quarantine_size_mb=1"]))})
    seen = []
    for n in range(rounds):
        ground.publish(facts(n * each, each))
        ground.wait_settled((n + 1) * each)
        seen.append(resident(process))
    print("       %d messages, kB: %s" % (rounds * each, seen))
    # At first it grows to what a full window takes.
    most = 4000
    growth = seen[-1] - seen[rounds // 2 - 1]
    check(growth <= most or "tsan" in str(daemon.runtime_of_sanitizer()),
          "the second half adds %d kB" % growth, seen)
    settle_all(ground, process, rounds * each)


if __name__ == "__main__":
    real.main(properties_and_routing_key_come_along,
              an_envelope_comes_out_of_its_own,
              what_cannot_be_stored_is_a_dead_letter,
              dead_letters_can_go_to_the_broker_too,
              a_message_without_an_id,
              unsettled_messages_go_back_at_the_end,
              heartbeats_go_on_while_the_ledger_is_held,
              an_outage_that_lasts_gives_messages_back,
              a_queue_that_is_deleted_and_comes_again,
              a_publisher_that_comes_later,
              a_password_that_is_wrong_for_a_while,
              a_network_that_is_cut_again_and_again,
              a_network_that_swallows_all,
              over_tls_with_a_certificate,
              killed_again_and_again,
              a_wrong_key_costs_few_letters,
              a_key_that_is_gone_parks_the_source,
              memory_does_not_grow,
              a_broker_that_restarts,
              a_broker_that_comes_later,
              servers=["rabbitmq"], plugins=["source_amqp"])
