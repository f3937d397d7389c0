#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""From files into a PostgreSQL: whatever becomes of database, network, rights
and rows, each record is stored once, or a dead letter that says why."""
import json
import os
import random
import re
import sys
import time

sys.dont_write_bytecode = True
import daemon  # noqa: E402
import real  # noqa: E402
from daemon import check, equal  # noqa: E402
from real import facts, names, sql  # noqa: E402

real.SOURCE = "file"
MANY = daemon.scaled(3000, 500)
KILLS = daemon.scaled(4, 2)
NO_RIGHT = "metering_records|may read this ledger and not write to it"


def make_ledger(ground):
    ground.write("in/nothing", [])
    ground.once()
    os.unlink(ground.path("in/nothing"))


def follow(ground, **sink):
    """A daemon that reads what comes, and commits nothing else."""
    ground.configure(source={"follow": True}, sink=sink,
                     jobs={"purge": 0, "facts": 0, "reconcile": 0,
                           "rollup": 0})
    return ground.follow()


def settle_all(ground, process, count, what="each is stored once", before=0):
    """All of them, `before` by an earlier daemon."""
    ground.wait_settled(count - before)
    equal(process.stop(), 0, "TERM ends it with 0")
    daemon.once_each(ground.ids(), names(0, count), what)
    equal(ground.letters(), [], "none is a dead letter")
    ground.check_ledger()


# --- what is stored ------------------------------------------------------------

def each_record_is_stored_once(ground):
    ground.write("in/a", facts(0, MANY) + [daemon.prompt(n) for n in range(90)]
                 + [daemon.tool(n) for n in range(70)])
    ground.once()
    equal([ground.count(kind) for kind in ("metering", "prompt", "tool")],
          [MANY, 90, 70], "each kind in its table")
    ground.check_ledger()
    ground.verify()
    before = sql("SELECT * FROM metering_records ORDER BY id")
    cells = sql("SELECT * FROM rollup_cells ORDER BY 1, 2, 3, 4, 5")
    ground.forget_offsets()
    again = ground.once()
    check("duplicates=%d" % (MANY + 160) in again.events("source-state")[-1],
          "sent again, all are duplicates", again.events("source-state"))
    equal(sql("SELECT * FROM metering_records ORDER BY id"), before,
          "and nothing changes in the records")
    equal(sql("SELECT * FROM rollup_cells ORDER BY 1, 2, 3, 4, 5"), cells,
          "nor in the sums")


def an_id_with_other_content_is_a_dead_letter(ground):
    ground.write("in/a", facts(0, 100) + [daemon.fact(7, input_tokens=1),
                                          daemon.fact(8)])
    ground.write("in/b", [daemon.fact(9, input_tokens=1)])
    ground.once()
    daemon.once_each(ground.ids(), names(0, 100), "the first is stored")
    equal([one["reason"] for one in ground.letters()], ["id-conflict"] * 2,
          "other content is a dead letter, in one batch and in two")
    ground.check_ledger()


def texts_of_all_kinds_are_kept(ground):
    bodies = ["\\u0000", "a\\u0000b", "\\ud83d\\ude00", "é\\n\\t\\\\", "😀"]
    ground.write("in/a", [
        '{"kind":"prompt","properties":{"message_id":"p%d"},"body":{'
        '"request":{"text":"%s"},"model_id":"%s","retention_policy":'
        '"permanent"}}' % (n, text, text) for n, text in enumerate(bodies)])
    ground.once()
    equal(ground.count("prompt"), len(bodies), "all are stored")
    equal([row[0].replace("\\u0000", "NUL") for row in sql(
        "SELECT model_id FROM prompt_records ORDER BY message_id")],
        ["NUL", "aNULb", "\U0001f600", "\u00e9\n\t\\", "\U0001f600"],
        "NUL is its escape in a column")
    rows = dict(sql("SELECT message_id, request_json FROM prompt_records"))
    equal([json.loads(rows["p%d" % n]) for n in range(len(bodies))],
          [json.loads('{"text":"%s"}' % text) for text in bodies],
          "and bodies say what they said")
    equal(ground.letters(), [], "none is a dead letter")


def reports_read_with_a_role_that_only_reads(ground):
    ground.write("in/a", facts(0, 200))
    ground.once()
    arguments = ["report", "summary", "--since", "2026-10-01T00:00:00Z",
                 "--until", "2026-12-01T00:00:00Z", "--format", "json"]
    owner = ground.bursar(*arguments)
    ground.configure(sink={"conninfo": real.address("PG_READER")})
    reader = ground.bursar(*arguments)
    equal(json.loads(reader), json.loads(owner), "it sees what the owner sees")
    equal(json.loads(reader)["rows"][0]["request_count"], 200,
          "all of it")
    ground.bursar("verify")
    ground.write("in/b", facts(200, 10))
    process = ground.start("--once")
    equal(process.wait(), 1, "and can store nothing")
    equal(ground.count(), 200, "nothing is added")


# --- the database is away ------------------------------------------------------

def a_database_that_restarts(ground):
    process = follow(ground)
    ground.write("in/a", facts(0, 500))
    ground.wait_settled(500)
    real.servers("stop", "postgres")
    ground.write("in/b", facts(500, 500))
    ground.wait_state("sinks", "ledger", "held")
    check(not ground.state()["ready"], "stopped: the daemon is not ready")
    real.servers("start", "postgres")
    ground.wait_settled(1000)
    check(ground.state()["ready"], "started: it goes on, and is ready")
    sender = real.InBackground(lambda: write_slowly(ground, 1000, MANY))
    for _ in range(3):
        time.sleep(0.2)
        real.servers("kill", "postgres")
        real.servers("start", "postgres")
    sender.done()
    settle_all(ground, process, 1000 + MANY,
               "killed thrice while it stores: each is stored once")


def write_slowly(ground, first, count):
    done = 0
    while done < count:
        some = min(100, count - done)
        ground.append("in/slow", facts(first + done, some))
        done += some
        time.sleep(0.03)


def a_database_that_comes_later(ground):
    real.servers("stop", "postgres")
    ground.write("in/a", facts(0, 100))
    process = follow(ground)
    ground.wait_state("sinks", "ledger", "held")
    real.servers("start", "postgres")
    settle_all(ground, process, 100)


def backends_that_are_terminated(ground):
    make_ledger(ground)
    process = follow(ground)
    sent = ended = 0
    while sent < MANY or ended < 3:
        write_slowly(ground, sent, 300)
        sent += 300
        ended += len(sql("SELECT pg_terminate_backend(pid) FROM "
                         "pg_stat_activity WHERE usename = 'bursar'"))
    settle_all(ground, process, sent, "%d backends were terminated" % ended)


def a_network_that_is_cut_again_and_again(ground):
    """At any byte of the protocol: a commit may be known or not."""
    rng = random.Random(daemon.SEED)
    make_ledger(ground)
    network = ground.network("PG")
    ground.configure(batch_records=100)
    ground.configure(
        source={"follow": True}, batch_records=100,
        sink={"conninfo": real.through(network, real.address("PG"))})
    process = ground.follow()
    sender = real.InBackground(lambda: write_slowly(ground, 0, MANY))
    for _ in range(12):
        network.cut_after(rng.choice((50, 500, rng.randrange(200000))))
        time.sleep(rng.uniform(0.05, 0.3))
        network.reset()
        network.resume()
        time.sleep(rng.uniform(0, 0.2))
    sender.done()
    check(network.accepted > 3, "%d connections" % network.accepted)
    settle_all(ground, process, MANY)


def cut_at_commits(ground, behind):
    make_ledger(ground)
    network = ground.network("PG")
    process = follow(ground, conninfo=real.through(
        network, real.address("PG")))
    ground.write("in/0", facts(0, 100))
    ground.wait_settled(100)	# with its partition, in a transaction before
    for n in range(1, 4):
        network.cut_at(b"COMMIT", behind)
        ground.write("in/%d" % n, facts(100 * n, 100))
        ground.wait_settled(100 * (n + 1))
    equal(network.struck, 3, "three commits were cut off")
    return process


def a_commit_that_does_not_arrive(ground):
    process = cut_at_commits(ground, False)
    equal(ground.part("sources", "in")["duplicates"], 0,
          "what was not committed is stored afterwards")
    settle_all(ground, process, 400)


def a_commit_whose_answer_is_lost(ground):
    """It is stored, and nobody knows."""
    process = cut_at_commits(ground, True)
    equal(ground.part("sources", "in")["duplicates"], 300,
          "offered again, it is a duplicate")
    settle_all(ground, process, 400)


def a_network_that_swallows_all(ground):
    make_ledger(ground)
    network = ground.network("PG")
    process = follow(ground, conninfo=real.through(
        network, real.address("PG")), **{"network-timeout": "1s",
                                         "statement-timeout": "1s",
                                         "connect-timeout": "1s"})
    ground.write("in/a", facts(0, 100))
    ground.wait_settled(100)
    network.black_hole()
    ground.write("in/b", facts(100, 100))
    ground.wait_state("sinks", "ledger", "held")
    check(True, "a connection that says nothing is given up")
    network.reset()
    network.resume()
    settle_all(ground, process, 200)


def a_slow_network_is_no_outage(ground):
    make_ledger(ground)
    network = ground.network("PG")
    network.delay(0.03)
    process = follow(ground, conninfo=real.through(
        network, real.address("PG")))
    ground.write("in/a", facts(0, 500))
    ground.wait_settled(500)
    check(not process.events("sink-held"), "it is never held")
    settle_all(ground, process, 500)


def a_table_that_is_locked(ground):
    make_ledger(ground)
    process = follow(ground, **{"lock-timeout": "200ms"})
    lock = real.Session("BEGIN", "LOCK TABLE metering_records")
    ground.write("in/a", facts(0, 500))
    part = ground.wait_state("sinks", "ledger", "held")
    check("lock" in part["why"], "status says why", part["why"])
    check(not ground.state()["ready"], "the daemon is not ready")
    lock.say("COMMIT")
    lock.end()
    settle_all(ground, process, 500)


def a_database_that_is_read_only_for_a_while(ground):
    """As after a failover: the server is a standby, until it is promoted."""
    make_ledger(ground)
    process = follow(ground)
    ground.wait_state("sinks", "ledger", "open")
    data = sql("SHOW data_directory")[0][0]
    owner = os.stat(data)
    real.servers("stop", "postgres")
    signal = os.path.join(data, "standby.signal")
    os.close(os.open(signal, os.O_CREAT | os.O_WRONLY, 0o600))
    os.chown(signal, owner.st_uid, owner.st_gid)
    real.servers("start", "postgres")
    equal(sql("SELECT pg_is_in_recovery()"), [["t"]], "it is a standby")
    ground.write("in/a", facts(0, 100))
    daemon.wait_for(lambda: ground.part("sinks", "ledger").get("state") ==
                    "held" and "read-only" in ground.part(
                        "sinks", "ledger")["why"], "status says why")
    equal((ground.settled(), ground.letters()), (0, []),
          "held, and no dead letters")
    sql("SELECT pg_promote()")
    settle_all(ground, process, 100)


def a_full_disk_is_waited_for(ground):
    """The disk of a tablespace in which bursar's tables are."""
    disk = ground.mount_tmpfs("disk", "24m")
    os.chmod(ground.folder, 0o711)
    data = sql("SHOW data_directory")[0][0]
    owner = os.stat(data)
    os.chown(disk, owner.st_uid, owner.st_gid)
    sql("CREATE TABLESPACE small LOCATION '%s'" % disk)
    try:
        sql("GRANT CREATE ON TABLESPACE small TO bursar")
        sql("ALTER ROLE bursar SET default_tablespace = small")
        process = follow(ground)
        ground.write("in/a", facts(0, 500))
        ground.wait_settled(500)
        ground.fill(disk)
        ground.write("in/b", facts(500, 20000))
        part = ground.wait_state("sinks", "ledger", "held")
        check("No space left" in part["why"] or "full" in part["why"],
              "status says that the disk is full", part["why"])
        settled = ground.settled()
        time.sleep(0.5)
        check(process.runs(), "the daemon goes on")
        equal(ground.settled(), settled, "nothing is settled")
        equal(ground.letters(), [], "nothing becomes a dead letter")
        ground.resize(disk, "256m")
        settle_all(ground, process, 20500)
    finally:
        ground.kill_all()
        sql("ALTER ROLE bursar RESET default_tablespace")
        real.empty_schema()
        sql("DROP TABLESPACE small")


# --- a person must act ---------------------------------------------------------

def blocked_until(ground, word, spoil, repair):
    """Blocked with a sentence; nothing is lost; repaired, it goes on.

    So it is with a daemon that runs, and with one that is started.
    """
    process = follow(ground)
    ground.write("in/0", facts(0, 10))
    ground.wait_settled(10)
    spoil()
    ground.write("in/a", facts(10, 40))
    wait_blocked(ground, word)
    process.kill()
    process = ground.follow()
    wait_blocked(ground, word)
    equal(ground.letters(), [], "nothing is a dead letter")
    repair()
    ground.wait_state("sinks", "ledger", "open")
    settle_all(ground, process, 50, "repaired, all is stored by itself",
               before=10)
    return process


def wait_blocked(ground, word):
    part = ground.wait_state("sinks", "ledger", "blocked")
    check(re.search(word, part["why"]), "blocked, and the sentence has '%s'" %
          word, part["why"])
    check(not ground.state()["ready"], "the daemon is not ready")


def end_connections():
    sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE usename = 'bursar'")


def a_wrong_password(ground):
    secret = real.address("PG").split("password=")[1].split()[0]

    def spoil():
        sql("ALTER ROLE bursar PASSWORD 'another'")
        end_connections()

    def repair():
        sql("ALTER ROLE bursar PASSWORD '%s'" % secret)
    try:
        process = blocked_until(ground, "password", spoil, repair)
        check(secret not in process.log(), "the password is told nowhere")
    finally:
        repair()


def a_password_that_is_an_option(ground):
    secret = real.address("PG").split("password=")[1].split()[0]
    ground.write_text("password", secret + "\n")
    os.chmod(ground.path("password"), 0o600)
    ground.write("in/a", facts(0, 10))
    process = follow(ground, conninfo=real.address("PG").replace(
        "password=" + secret, ""), **{"password-file": ground.path(
            "password")})
    settle_all(ground, process, 10)


def a_missing_privilege(ground):
    blocked_until(ground, NO_RIGHT, lambda: sql(
        "REVOKE INSERT ON metering_records FROM bursar"), lambda: sql(
            "GRANT INSERT ON metering_records TO bursar"))


def a_missing_schema(ground):
    blocked_until(ground, "bursar", lambda: sql(
        "ALTER SCHEMA bursar RENAME TO elsewhere"), lambda: sql(
            "ALTER SCHEMA elsewhere RENAME TO bursar"))


def a_missing_table(ground):
    blocked_until(ground, "rollup_cells", lambda: sql(
        "ALTER TABLE rollup_cells RENAME TO elsewhere"), lambda: sql(
            "ALTER TABLE elsewhere RENAME TO rollup_cells"))


def a_missing_database(ground):
    def spoil():
        real.servers("restart", "postgres")
        sql_elsewhere("ALTER DATABASE ledger RENAME TO elsewhere")

    def repair():
        sql_elsewhere("ALTER DATABASE elsewhere RENAME TO ledger")
    blocked_until(ground, "ledger", spoil, repair)


def sql_elsewhere(statement):
    """Through another database, since this one may not be in use."""
    name = "BURSAR_TEST_PG_ADMIN"
    here = os.environ[name]
    os.environ[name] = here.replace("dbname=ledger", "dbname=postgres")
    try:
        sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
            "datname = 'ledger'")
        daemon.wait_for(lambda: done_by(statement), statement)
    finally:
        os.environ[name] = here


def done_by(statement):
    """False while somebody uses the database."""
    try:
        sql(statement)
        return True
    except daemon.Failure:
        return False


def once_says_who_must_act(ground):
    make_ledger(ground)
    sql("REVOKE INSERT ON metering_records FROM bursar")
    ground.write("in/a", facts(0, 10))
    began = time.monotonic()
    process = ground.once(status=1)
    check(time.monotonic() - began < 30, "--once ends with 1 at once")
    stopped = process.events("stopped")
    check(stopped and re.search(NO_RIGHT, stopped[0]), "and says why",
          stopped)


# --- rows that are refused -----------------------------------------------------

def refuse(what):
    sql("ALTER TABLE metering_records ADD CONSTRAINT poison CHECK (NOT (%s)) "
        "NOT VALID" % what)


def a_poisoned_row_stands_alone(ground):
    make_ledger(ground)
    bad = ["fact-00000003", "fact-00000400", "fact-00000403",
           names(0, MANY)[-1]]
    refuse("message_id IN (%s)" % ", ".join("'%s'" % one for one in bad))
    ground.write("in/a", facts(0, MANY))
    process = ground.once()
    daemon.once_each(ground.ids(), [name for name in names(0, MANY)
                                    if name not in bad],
                     "all but four of %d are stored" % MANY)
    letters = ground.letters()
    equal([(one["reason"], one["sink"]) for one in letters],
          [("refused", "ledger")] * 4, "the four are dead letters: refused")
    check(all("poison" in one["text"] for one in letters),
          "which name the constraint", [one["text"] for one in letters])
    check(not any("gpt" in one["text"] or "worker-" in one["text"]
                  for one in letters), "and nothing of the row",
          [one["text"] for one in letters])
    check("worker-" not in process.log(), "nor does the log")
    ground.check_ledger()
    sql("ALTER TABLE metering_records DROP CONSTRAINT poison")
    said = ground.bursar("replay", "--all")
    check(said.startswith("4 stored"), "`bursar replay` stores them", said)
    daemon.once_each(ground.ids(), names(0, MANY), "now all are stored")
    ground.check_ledger()
    ground.verify()


def a_database_that_refuses_everything(ground):
    make_ledger(ground)
    refuse("true")
    ground.write("in/a", facts(0, MANY))
    process = follow(ground)
    ground.wait_state("sinks", "ledger", "blocked")
    check(not ground.state()["ready"], "blocked: the daemon is not ready")
    time.sleep(0.5)
    refused = len(ground.letters())
    check(0 < refused <= 20, "few become dead letters: %d" % refused)
    sql("ALTER TABLE metering_records DROP CONSTRAINT poison")
    ground.wait_state("sinks", "ledger", "open")
    ground.wait_settled(MANY)
    equal(process.stop(), 0, "it opens by itself")
    equal(ground.count() + len(ground.letters()), MANY,
          "each is stored or a dead letter")
    ground.bursar("replay", "--all")
    daemon.once_each(ground.ids(), names(0, MANY), "replayed, all are stored")
    ground.check_ledger()


# --- the daemon is away --------------------------------------------------------

def killed_again_and_again(ground):
    rng = random.Random(daemon.SEED)
    make_ledger(ground)
    ground.configure(batch_records=300)
    count = hits = 0
    while hits < KILLS:
        before = ground.count()
        if before >= count:
            ground.write("in/%d" % count, facts(count, 3 * MANY))
            count += 3 * MANY
        process = ground.start("--once")
        daemon.wait_for(lambda: ground.count() > before, "it stores some")
        time.sleep(rng.uniform(0, 0.05))
        process.kill()
        hits += ground.count() < count
    ground.once()
    daemon.once_each(ground.ids(), names(0, count), "each is stored once, "
                     "with %d kills that hit unsettled messages" % hits)
    equal(ground.letters(), [], "none is a dead letter")
    ground.check_ledger()
    ground.verify()


def two_daemons_write_the_same(ground):
    """The same ids in other orders, so that each meets the other's keys."""
    make_ledger(ground)
    rng = random.Random(daemon.SEED)
    messages = facts(0, MANY)
    for folder in ("one", "two"):
        os.mkdir(ground.path(folder))
        rng.shuffle(messages)
        ground.write(folder + "/a", messages)
    processes = []
    for folder in ("one", "two"):
        ground.configure(
            source={"path": ground.path(folder + "/*")},
            state_dir=ground.path("state-" + folder), batch_records=97)
        processes.append(ground.start("--once"))
        processes[-1].wait_event("started")
    for process in processes:
        equal(process.wait(), 0, "it ends with 0")
        check(not process.events("sink-blocked"), "and was never blocked")
    daemon.once_each(ground.ids(), names(0, MANY), "each is stored once")
    equal(ground.letters(), [], "none is a dead letter")
    ground.check_ledger()
    ground.verify()


if __name__ == "__main__":
    real.main(each_record_is_stored_once,
              an_id_with_other_content_is_a_dead_letter,
              texts_of_all_kinds_are_kept,
              reports_read_with_a_role_that_only_reads,
              a_database_that_comes_later,
              a_database_that_restarts,
              backends_that_are_terminated,
              a_network_that_is_cut_again_and_again,
              a_commit_that_does_not_arrive,
              a_commit_whose_answer_is_lost,
              a_network_that_swallows_all,
              a_slow_network_is_no_outage,
              a_table_that_is_locked,
              a_database_that_is_read_only_for_a_while,
              a_full_disk_is_waited_for,
              a_wrong_password,
              a_password_that_is_an_option,
              a_missing_privilege,
              a_missing_schema,
              a_missing_table,
              a_missing_database,
              once_says_who_must_act,
              a_poisoned_row_stands_alone,
              a_database_that_refuses_everything,
              killed_again_and_again,
              two_daemons_write_the_same,
              servers=["postgres"], plugins=["sink_postgres"])
