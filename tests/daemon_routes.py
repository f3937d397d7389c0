#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Several backends in one daemon: each kind takes its route, each source its
crypto, and what one backend does costs no other a record."""
import os
import subprocess
import sys
import time

sys.dont_write_bytecode = True
import daemon  # noqa: E402
import golden  # noqa: E402
import real  # noqa: E402
from daemon import check, equal  # noqa: E402
from real import facts, names, sql  # noqa: E402

MANY = daemon.scaled(2000, 500)
FEW = 40	# a source takes so many before it knows its sinks


def amqp(queue, **more):
    return dict({"plugin": "amqp", "uri": real.address("AMQP"),
                 "queue": queue}, **more)


def sqlite(path, **more):
    return dict({"plugin": "sqlite", "path": path}, **more)


def prompts(first, count):
    return [daemon.prompt(n) for n in range(first, first + count)]


def prompt_names(first, count):
    return ["prompt-%08d" % n for n in range(first, first + count)]


def settled(ground):
    return not any(one["in_flight_messages"]
                   for one in ground.state()["sources"])


def stop(ground, process, *queues):
    """All queues are empty, and remain so."""
    daemon.wait_for(lambda: settled(ground) and not any(
        ground.ready(queue) for queue in queues), "all are settled")
    equal(process.stop(), 0, "TERM ends it with 0")
    equal([ground.ready(queue) for queue in queues], [0] * len(queues),
          "the queues are empty")


def mixed(ground, **more):
    """Metering to PostgreSQL in clear, audit to SQLite sealed."""
    daemon.need("crypto_cluster")
    for queue in ("metering", "audit"):
        ground.declare(queue=queue)
    if not os.path.exists(ground.path("secret")):
        daemon.cluster_secret(ground, "secret")
    ground.configure(
        source=amqp("metering", kind="metering"),
        sources={"audit": amqp("audit", crypto="legion", kind="prompt")},
        crypto={"legion": {"plugin": "cluster",
                           "secret-file": ground.path("secret")}},
        sinks={"audit": sqlite(ground.path("audit.db"))},
        routes=[{"kinds": ["metering"], "sinks": ["ledger"]},
                {"kinds": ["prompt", "tool"], "sinks": ["audit"]}],
        book="ledger", **more)


def metering_and_audit_take_their_routes(ground):
    mixed(ground)
    ground.publish(facts(0, MANY), target="metering")
    ground.publish(daemon.sealed(ground, "legion", prompts(0, 200)),
                   target="audit")
    process = ground.follow()
    ground.wait_stored(MANY)
    audit = ground.path("audit.db")
    ground.wait_stored(200, "prompt", audit)
    stop(ground, process, "metering", "audit")
    daemon.once_each(ground.ids(), names(0, MANY), "facts in PostgreSQL")
    daemon.once_each(ground.ids("prompt", audit), prompt_names(0, 200),
                     "prompts in SQLite")
    equal((ground.count("prompt"), ground.count(path=audit)), (0, 0),
          "and nowhere else")
    equal(ground.letters(), [], "no dead letters")
    ground.check_ledger()
    ground.verify()


def a_blocked_route_holds_no_other(ground):
    mixed(ground)
    process = ground.follow()
    ground.wait_state("sinks", "ledger", "open")
    sql("REVOKE INSERT ON metering_records FROM bursar")
    ground.publish(facts(0, 100), target="metering")
    ground.wait_state("sinks", "ledger", "blocked")
    ground.publish(daemon.sealed(ground, "legion", prompts(0, 50)),
                   target="audit")
    ground.wait_settled(50, "audit")
    check(True, "audit goes on while metering is blocked")
    equal(ground.settled(), 0, "nothing of metering is settled")
    sql("GRANT INSERT ON metering_records TO bursar")
    ground.wait_stored(100)
    stop(ground, process, "metering", "audit")
    equal(ground.letters(), [], "no dead letters")


def a_kill_between_two_commits(ground):
    """One sink has it, the other has not: the first says duplicate."""
    copy = ground.path("copy-of-facts.db")
    ground.declare()
    ground.configure(sinks={"copy": sqlite(copy)}, book="ledger",
                     sink={"lock-timeout": "200ms"})
    process = ground.follow()
    ground.wait_state("sinks", "ledger", "open")
    ground.publish(facts(0, 10))
    ground.wait_settled(10)
    lock = real.Session("BEGIN", "LOCK TABLE metering_records")
    ground.publish(facts(10, FEW))
    daemon.wait_for(lambda: ground.count(path=copy) == 10 + FEW,
                    "SQLite has committed")
    equal(ground.settled(), 10, "nothing is settled before PostgreSQL has")
    process.kill()
    lock.say("COMMIT")
    lock.end()
    equal(ground.count(), 10, "killed: PostgreSQL has none of them")
    process = ground.follow()
    ground.wait_stored(10 + FEW)
    ground.wait_settled(FEW)
    equal(ground.part("sinks", "copy")["duplicates"], FEW,
          "SQLite says duplicate")
    stop(ground, process, ground.queue)
    for path in (None, copy):
        daemon.once_each(ground.ids(path=path), names(0, 10 + FEW),
                         "each once in %s" % (path or "PostgreSQL"))
        ground.check_ledger(path)
    equal(ground.letters(), [], "no dead letters")


def the_other_commit_first(ground):
    """PostgreSQL has it, SQLite has not."""
    copy = ground.path("copy-of-facts.db")
    ground.declare()
    ground.configure(sinks={"copy": sqlite(copy)}, book="ledger")
    process = ground.follow()
    ground.publish(facts(0, 10))
    ground.wait_settled(10)
    lock = ground.database(copy)
    lock.isolation_level = None
    lock.execute("BEGIN IMMEDIATE")
    ground.publish(facts(10, FEW))
    ground.wait_stored(10 + FEW)
    equal(ground.settled(), 10, "nothing is settled before SQLite has")
    process.kill()
    lock.execute("COMMIT")
    lock.close()
    process = ground.follow()
    daemon.wait_for(lambda: ground.count(path=copy) == 10 + FEW,
                    "SQLite has all")
    ground.wait_settled(FEW)
    equal(ground.part("sinks", "ledger")["duplicates"], FEW,
          "PostgreSQL says duplicate")
    stop(ground, process, ground.queue)
    for path in (None, copy):
        daemon.once_each(ground.ids(path=path), names(0, 10 + FEW),
                         "each once in %s" % (path or "PostgreSQL"))
        ground.check_ledger(path)


def a_sink_that_is_not_required(ground):
    """PostgreSQL is down, and nobody waits for it."""
    book = ground.path("book.db")
    ground.declare()
    ground.configure(sink={"required": False},
                     sinks={"book": sqlite(book)}, book="book")
    process = ground.follow()
    ground.wait_state("sinks", "ledger", "open")
    real.servers("stop", "postgres")
    ground.publish(facts(0, MANY))
    ground.wait_settled(MANY)
    check(ground.state()["ready"], "down, and the daemon is ready")
    daemon.once_each(ground.ids(path=book), names(0, MANY),
                     "the sink that is required has all")
    real.servers("start", "postgres")
    ground.publish(facts(MANY, 100))
    daemon.wait_for(lambda: ground.count() >= 100, "once it is back it gets "
                    "records as well")
    stop(ground, process, ground.queue)
    equal(ground.letters(), [], "no dead letters")


def a_slow_database_and_a_broker_that_wants_heartbeats(ground):
    ground.declare()
    network = ground.network("AMQP")
    ground.configure(source={"uri": real.through(network, real.address("AMQP")),
                             "heartbeat": "1s", "window-messages": 20},
                     sink={"lock-timeout": "60s", "statement-timeout": "60s"})
    process = ground.follow()
    ground.publish(facts(0, 10))
    ground.wait_settled(10)
    lock = real.Session("BEGIN", "LOCK TABLE metering_records")
    ground.publish(facts(10, 500))
    time.sleep(5)
    equal(ground.settled(), 10, "the database takes its time")
    equal(network.accepted, 1, "and the broker's connection is still there")
    lock.say("COMMIT")
    lock.end()
    ground.wait_settled(510)
    equal(network.accepted, 1, "to the end")
    stop(ground, process, ground.queue)
    daemon.once_each(ground.ids(), names(0, 510), "each is stored once")


def equal_calls_whose_commit_is_not_answered(ground):
    """They have no ids, and are offered again: nobody knows any better."""
    ground.declare()
    network = ground.network("PG")
    ground.configure(sink={"conninfo": real.through(network,
                                                    real.address("PG"))})
    process = ground.follow()
    ground.publish([{"body": daemon.body_of_fact(1)}])
    ground.wait_settled(1)
    network.cut_at(b"COMMIT", behind=True)
    calls = [{"body": daemon.body_of_fact(n // 2)} for n in range(2, 42)]
    ground.publish(calls)
    ground.wait_settled(41)
    equal(network.struck, 1, "the answer to a commit was lost")
    stop(ground, process, ground.queue)
    equal(ground.count(), 41, "equal calls are as many as they were")
    equal(ground.letters(), [], "no dead letters")
    ground.check_ledger()


def start_one_of_three(ground, n, **more):
    ground.state_dir = ground.path("state-%d" % n)
    ground.configure(batch_records=200, state_dir=ground.state_dir, **more)
    return ground.follow()


def several_daemons_share_a_queue(ground):
    """And the database.  One is killed when it has stored what the others
    will be sent."""
    ground.declare("--quorum")
    ground.publish(facts(0, 3 * MANY))
    network = ground.network("PG")
    first = start_one_of_three(ground, 0, sink={
        "conninfo": real.through(network, real.address("PG"))})
    ground.wait_settled(1)
    network.cut_at(b"COMMIT", behind=True)
    daemon.wait_for(lambda: network.struck == 1, "a commit is not answered")
    network.cut()
    first.kill()
    network.resume()
    daemon.wait_for(lambda: ground.consumers() == 0, "the broker notices")
    # Stored, and not acknowledged: unless the cut was quicker than the commit.
    twice = ground.count() - (3 * MANY - ground.ready())
    processes = [start_one_of_three(ground, n) for n in range(3)]
    ground.publish(facts(3 * MANY, 3 * MANY), "--rate", "2000")
    ground.wait_stored(6 * MANY)
    parts = []
    for n in range(3):
        ground.state_dir = ground.path("state-%d" % n)
        daemon.wait_for(lambda: settled(ground), "all are settled")
        parts.append(ground.part("sources", "in"))
    for process in processes:
        equal(process.stop(), 0, "TERM ends it with 0")
    check(all(part["read"] for part in parts),
          "each did some of the work: %s" % [part["read"] for part in parts])
    check(sum(part["duplicates"] for part in parts) >= twice,
          "what the first had stored is a duplicate for the others: %d" %
          twice, parts)
    equal(ground.ready(), 0, "the queue is empty")
    daemon.once_each(ground.ids(), names(0, 6 * MANY), "each is stored once")
    equal(ground.letters(), [], "no dead letters")
    ground.check_ledger()
    ground.verify()


def the_golden_messages(ground):
    """Through the broker into PostgreSQL, under each cipher: every row."""
    daemon.need("crypto_cluster")
    clock = daemon.clock()
    ground.write_text("secret", golden.SECRET)
    os.chmod(ground.path("secret"), 0o600)
    ground.declare()
    ground.topic()
    ground.configure(
        source={"kind": "", "crypto": "legion"},
        crypto={"legion": {"plugin": "cluster",
                           "secret-file": ground.path("secret"),
                           "allow-legacy-cbc": True}})
    lines = subprocess.run(
        [sys.executable, os.path.join(daemon.HERE, "golden.py"), "lines"],
        stdout=subprocess.PIPE, check=True).stdout.splitlines()
    ground.publish(lines, target="topic:")
    process = ground.follow(env=clock)
    ground.wait_settled(len(lines))
    ground.publish(lines, target="topic:")
    ground.wait_settled(2 * len(lines))
    part = ground.part("sources", "in")
    equal((part["duplicates"], part["refused"]), (394, 0),
          "sent again, 394 are duplicates")
    stop(ground, process, ground.queue)
    check_golden(ground)
    equal({letter["reason"] for letter in ground.letters()},
          {"id-conflict"}, "there are no other dead letters")
    equal(len({letter["id"] for letter in ground.letters()}), 6,
          "and six of these")
    ground.check_ledger()


def check_golden(ground):
    folder = os.path.join(ground.state_dir, "dead-letters")
    done = subprocess.run(
        [sys.executable, os.path.join(daemon.HERE, "golden.py"), "check",
         ground.copy(), "--dead-letters"] +
        [os.path.join(folder, name) for name in sorted(os.listdir(folder))
         if name.endswith(".jsonl")],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    said = done.stdout.decode("utf-8", "replace")
    check(done.returncode == 0, "every row is right, every id-conflict a "
          "dead letter: %s" % said.splitlines()[-1], said)


def both_ledgers_say_the_same(ground):
    """Column by column, but for what each has for itself."""
    book = ground.path("book.db")
    ground.declare()
    ground.topic()
    ground.configure(source={"kind": ""}, sinks={"book": sqlite(book)},
                     book="ledger")
    process = ground.follow()
    ground.publish(facts(0, 300) + prompts(0, 50) +
                   [daemon.tool(n) for n in range(50)], target="topic:")
    ground.wait_settled(400)
    stop(ground, process, ground.queue)
    copy = ground.copy()
    for table in ("metering_records", "prompt_records", "tool_records",
                  "rollup_cells"):
        compare(ground, table, book, copy)


def compare(ground, table, one, other):
    columns = [row[1] for row in ground.rows(
        "PRAGMA table_xinfo(%s)" % table, path=one)]
    # Times as text are written as each database does.
    columns = [name for name in columns if name not in ("id", "inserted_us")
               and name[:-3] + "_us" not in columns]
    rows = [{tuple(row) for row in ground.rows("SELECT %s FROM %s" % (
        ", ".join('"%s"' % name for name in columns), table), path=path)}
        for path in (one, other)]
    differ = [(name, a, b) for x, y in zip(sorted(rows[0], key=str),
                                           sorted(rows[1], key=str))
              for name, a, b in zip(columns, x, y) if a != b]
    check(rows[0] == rows[1] and rows[0], "%d rows of %s are the same" % (
        len(rows[0]), table), differ[:4])


if __name__ == "__main__":
    real.main(metering_and_audit_take_their_routes,
              a_blocked_route_holds_no_other,
              a_kill_between_two_commits,
              the_other_commit_first,
              a_sink_that_is_not_required,
              a_slow_database_and_a_broker_that_wants_heartbeats,
              equal_calls_whose_commit_is_not_answered,
              several_daemons_share_a_queue,
              the_golden_messages,
              both_ledgers_say_the_same,
              plugins=["source_amqp", "sink_postgres"])
