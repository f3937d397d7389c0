#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a daemon does to its ledger by itself: purge, facts, reconcile; once for
all daemons, whoever is killed, and never what is held."""
import calendar
import json
import os
import random
import re
import subprocess
import sys
import time

sys.dont_write_bytecode = True
import daemon  # noqa: E402
import real  # noqa: E402
from daemon import check, equal, wait_for  # noqa: E402
from real import ask, change  # noqa: E402

real.SOURCE = "file"
DAY = 86400
USAGE, NO = 2, 3
NEVER = {"purge": 0, "facts": 0, "reconcile": 0, "rollup": 0, "lease": "3s"}


# --- the ledger, of either kind ------------------------------------------------

def number(ground, sql):
    return int(ask(ground, sql)[0][0])


def configure(ground, jobs, **more):
    return ground.configure(jobs=dict(NEVER, **jobs), log_level="debug",
                            source={"follow": True}, **more)


def jobs(ground, name):
    """What `bursar jobs` says of one."""
    rows = json.loads(ground.bursar("jobs", "--format", "json"))["rows"]
    return [row for row in rows if row["job"] == name][0]


def expired(first, count, ago=DAY, **more):
    """Prompts that expired by their label: they came in when they had."""
    when = daemon.instant(time.time() - 31 * DAY - ago)
    return [daemon.prompt(n, retention_policy="days_30",
                          timestamps={"returned": when}, **more)
            for n in range(first, first + count)]


def old_facts(first, count, days=20, **more):
    when = time.time() - days * DAY
    return [daemon.fact(n, recorded_at=daemon.instant(when + n % 3600), **more)
            for n in range(first, first + count)]


def store(ground, messages):
    ground.configure(jobs=NEVER)
    ground.write("in/a", messages)
    ground.once()


# What arrives expired has no body; a test wants some that take room, and
# expired since.
def fill(ground, count, ago=DAY):
    store(ground, [daemon.prompt(n, request={"text": "x" * 3000})
                   for n in range(count)])
    day = int(time.time() - ago) // DAY
    if real.SINK == "postgres":
        # Rows by rows, so that a purge has many steps: a month far off.
        change(ground, "DO $$ DECLARE n text; BEGIN "
               "SELECT relname INTO n FROM pg_inherits JOIN pg_class "
               "ON oid = inhrelid WHERE inhparent = "
               "'prompt_records'::regclass; EXECUTE format('ALTER TABLE "
               "prompt_records DETACH PARTITION %I', n); EXECUTE format("
               "'UPDATE %I SET id = id - (4194304::bigint - "
               + str(day) + ") * 1099511627776, expires_us = "
               + str(day * DAY * 10 ** 6) + "', n); EXECUTE format("
               "'ALTER TABLE prompt_records ATTACH PARTITION %I FOR VALUES "
               "FROM (" + str((day - 20) << 40) + ") TO ("
               + str((day + 20) << 40) + ")', n); END $$")
    else:
        change(ground, "UPDATE prompt_records SET id = id - (4194304 - %d) * "
               "1099511627776, expires_us = %d" % (day, day * DAY * 10 ** 6))


def rehash(ground):
    """Changed behind the daemon's back, so `verify` would tell of rows."""
    said = ground.bursar("verify", "--format", "json", status=None)
    rows = json.loads(said[:said.rindex("}") + 1])["rows"]
    return [row for row in rows if row.get("check") != "row"]


def sound(ground, what):
    equal(rehash(ground), [], "verify finds nothing " + what)


# --- purge ---------------------------------------------------------------------

def a_purge_happens_by_itself(ground):
    store(ground, expired(0, 50) + [daemon.prompt(100), daemon.fact(1)])
    equal(ground.count("prompt"), 51, "they are there")
    configure(ground, {"purge": "300ms"})
    process = ground.follow()
    wait_for(lambda: ground.count("prompt") == 1, "they are gone")
    wait_for(lambda: jobs(ground, "purge")["result"] == "ok", "it ended")
    process.wait_event("job-ended")
    row = jobs(ground, "purge")
    check(row["last"] and row["next"] and row["took_ms"] is not None,
          "`bursar jobs` tells when", row)
    equal(ground.count(), 1, "facts are left alone")
    # And again, for what comes later.
    ground.append("in/a", expired(200, 5))
    wait_for(lambda: number(ground, "SELECT count(*) FROM record_keys") == 57,
             "five more came")
    wait_for(lambda: ground.count("prompt") == 1, "they are gone as well")
    equal(process.stop(), 0, "TERM ends it")
    ground.bursar("verify")


# What a prompt says of itself, in headers and in its body; after how many days
# it goes by the defaults, and by {default-days: 60, phi-ttl-days: 14}.
LABELS = (
    ({}, {}, 90, 60),
    ({"x-legion-retention": "default"}, {}, 90, 60),
    ({"x-legion-retention": ""}, {}, 90, 60),
    ({"x-legion-retention": "unknown_label"}, {}, 90, 60),
    ({"x-legion-retention": "days_30"}, {}, 30, 30),
    ({"x-legion-retention": "days_90"}, {}, 90, 90),
    ({"x-legion-retention": "permanent"}, {}, None, None),
    ({"x-legion-retention": "session_only"}, {}, 0, 0),
    ({"x-legion-retention": "permanent",
      "x-legion-contains-phi": "true"}, {}, 30, 14),
    ({"x-legion-retention": "permanent",
      "x-legion-contains-phi": True}, {}, 30, 14),
    ({"x-legion-retention": "permanent"},
     {"classification": {"contains_phi": True}}, 30, 14),
    ({"x-legion-retention": "days_90", "x-legion-contains-phi": "false"},
     {"classification": {"contains_phi": True}}, 30, 14),
    ({"x-legion-retention": "days_90", "x-legion-contains-phi": "true"},
     {"classification": {"contains_phi": False}}, 30, 14),
    ({"x-legion-retention": "days_7", "x-legion-contains-phi": "true"}, {},
     7, 7),
    ({"x-legion-retention": "session_only",
      "x-legion-contains-phi": "true"}, {}, 0, 0),
    ({"x-legion-contains-phi": "false"}, {}, 90, 60))


def labelled(first):
    when = daemon.instant(int(time.time()))
    found = []
    for n, (headers, body, _, _) in enumerate(LABELS):
        message = daemon.prompt(first + n, retention_policy=None,
                                timestamps={"returned": when}, **body)
        message["headers"] = headers
        found.append(message)
    return found


def days_of_expiry(ground, first):
    rows = dict(ask(ground, "SELECT message_id, (expires_us - recorded_us + "
                    "5000000) / 86400000000 FROM prompt_records"))
    found = [rows["prompt-%08d" % (first + n)] for n in range(len(LABELS))]
    return [int(one) if one else None for one in found]


def labels_and_health_data_say_when_a_prompt_goes(ground):
    store(ground, labelled(0))
    equal(days_of_expiry(ground, 0), [row[2] for row in LABELS],
          "by the defaults")
    ground.configure(jobs=NEVER, retention={"default-days": 60,
                                            "phi-ttl-days": 14})
    ground.write("in/b", labelled(100))
    ground.once()
    equal(days_of_expiry(ground, 100), [row[3] for row in LABELS],
          "by other terms")
    said = ground.bursar("purge")
    gone = 2 * sum(row[2] == 0 for row in LABELS)
    equal(ground.count("prompt"), 2 * len(LABELS) - gone,
          "the next purge takes what was of a session only")
    check("%d" % gone in said, "and says how many", said)
    sound(ground, "behind it")


def facts_go_when_that_is_asked_for(ground):
    store(ground, old_facts(0, 40) + old_facts(100, 10, days=2))
    cells = number(ground, "SELECT count(*) FROM rollup_cells")
    configure(ground, {"facts": "300ms"}, retention={"facts-days": 15})
    process = ground.follow()
    wait_for(lambda: number(ground, "SELECT count(*) FROM metering_records "
                            "WHERE recorded_us < %d" % (
                                (time.time() - 10 * DAY) * 10 ** 6)) == 0,
             "the old ones are gone")
    equal(ground.count(), 10, "the others are there")
    equal(number(ground, "SELECT count(*) FROM rollup_cells"), cells,
          "sums stay")
    process.stop()
    check("are closed" in ground.bursar("verify"), "verify knows of it")


def months(ground):
    """Facts that came in when they happened, in the first days of a month that
    is over: too many to be deleted row by row.  Returns its first day."""
    today = time.gmtime()
    year, month = divmod(today.tm_year * 12 + today.tm_mon - 3, 12)
    first = calendar.timegm((year, month + 1, 1, 0, 0, 0)) // DAY
    store(ground, [daemon.fact(n, recorded_at=daemon.instant(
        first * DAY + n % 3600)) for n in range(8000)])
    change(ground, "UPDATE metering_records SET inserted_us = recorded_us")
    return first


def a_month_that_is_not_over_waits_for_nobody(ground):
    first = months(ground)
    today = int(time.time()) // DAY

    def run(days):
        """As if the month had begun `days` before facts have to go."""
        configure(ground, {"facts": "300ms"},
                  retention={"facts-days": today - first - days})
        process = ground.follow()
        wait_for(lambda: process.events("job-ended") or
                 process.events("purge-waits"), "a run ends")
        equal(process.stop(), 0, "TERM ends it")
        equal(process.events("purge-waits"), [],
              "%d days after its beginning" % days)

    run(9)
    equal(ground.count(), 8000, "what is of a month stays until it is over")
    run(33)
    equal(ground.count(), 0, "then all of it goes, and nobody is asked")
    ground.bursar("verify")


def a_month_that_should_be_gone_for_long_waits(ground):
    first = months(ground)
    configure(ground, {"facts": "300ms"}, retention={
        "facts-days": int(time.time()) // DAY - first - 40})
    process = ground.follow()
    process.wait_event("purge-waits")
    process.stop()
    equal(ground.count(), 8000, "nothing was taken")
    ground.bursar("purge", "--force")
    equal(ground.count(), 0, "but by a person")


def a_job_that_is_off_is_not_run(ground):
    store(ground, expired(0, 3))
    configure(ground, {})
    process = ground.follow()
    time.sleep(1)
    equal(ground.count("prompt"), 3, "nothing is taken")
    equal(jobs(ground, "purge")["result"], "off", "`bursar jobs` says so")
    check("bodies=3" in ground.bursar("jobs", "run", "purge"),
          "by hand it runs")
    equal(ground.count("prompt"), 0, "they are gone")
    said = ground.bursar("jobs", env={"COLUMNS": "80"})
    check("\n  purge of sink 'ledger': bodies=3" in said,
          "what it did stands below the table", said)
    equal(jobs(ground, "purge")["note"][:8], "bodies=3", "and in JSON")
    check("did you mean 'purge'?" in
          ground.bursar("jobs", "run", "puurge", status=USAGE), "a slip")
    check("there is no job 'other': see `bursar jobs`" in
          ground.bursar("jobs", "run", "other", status=USAGE), "no job")
    process.stop()


# --- several -------------------------------------------------------------------

# --- days ----------------------------------------------------------------------

def summary(ground, *more):
    """Of the last thirty days, as of one moment."""
    until = int(time.time()) // DAY * DAY
    return json.loads(ground.bursar(
        "report", "summary", "--by", "provider", "--since",
        daemon.instant(until - 30 * DAY), "--until", daemon.instant(until),
        "--format", "json", *more))["rows"]


def closed(ground):
    return number(ground, "SELECT count(*) FROM rollup_closed "
                  "WHERE summed = 2")


def days_are_summed_up(ground):
    store(ground, old_facts(0, 200) + old_facts(1000, 200, days=18))
    before = summary(ground)
    check(jobs(ground, "rollup")["open_days"] >= 18, "all of them are open")
    configure(ground, {"rollup": "300ms"})
    process = ground.follow()
    wait_for(lambda: closed(ground) >= 18, "days are closed")
    equal(summary(ground), before, "the report says what it said")
    wait_for(lambda: jobs(ground, "rollup")["open_days"] == 0,
             "none is open")
    change(ground, "UPDATE rollup_days SET request_count = request_count * 2")
    check(summary(ground) != before, "and is made of days")
    out = ground.bursar("verify", status=NO)
    check("rollup_days" in out, "verify finds what was changed", out)
    change(ground, "DELETE FROM rollup_closed")
    wait_for(lambda: closed(ground) >= 18, "days are summed up again")
    sound(ground, "after that")
    ground.append("in/a", old_facts(2000, 3, days=18))
    wait_for(lambda: ground.count() == 403, "some come late")
    after = summary(ground)
    equal(sum(row["request_count"] for row in after), 403, "they are counted")
    equal(after, summary(ground, "--from-records"), "as the records say")
    wait_for(lambda: closed(ground) >= 18, "their day is closed again")
    equal(summary(ground), after, "and says the same")
    equal(process.stop(), 0, "TERM ends it")
    sound(ground, "in the end")


def a_day_waits_for_who_writes(ground):
    """Sums of a transaction that is not over yet belong to their day."""
    store(ground, old_facts(0, 50))
    session = real.Session(
        "BEGIN",
        "UPDATE rollup_cells SET request_count = request_count + 1",
        "DELETE FROM rollup_closed WHERE day = 1")
    waiting = subprocess.Popen(
        [daemon.BURSAR, "-c", ground.config, "jobs", "run", "rollup"],
        cwd=ground.folder, env=daemon.environment())
    time.sleep(1.5)
    equal((waiting.poll(), closed(ground)), (None, 0), "it waits")
    session.say("COMMIT")
    session.end()
    equal(waiting.wait(60), 0, "it goes on")
    check(closed(ground) >= 19, "days are closed")
    equal(ask(ground, "SELECT sum(request_count), count(*) FROM (SELECT "
              "sum(request_count) AS request_count FROM rollup_days "
              "WHERE dimension = 'all' GROUP BY day) d"),
          ask(ground, "SELECT sum(request_count), count(DISTINCT cell / 96) "
              "FROM rollup_cells WHERE dimension = 'all'"),
          "with all that was written")


def second_daemon(ground):
    """Another one with the same ledger, and a state folder of its own."""
    with open(ground.config, encoding="utf-8") as file:
        tree = json.load(file)
    tree["state-dir"] = ground.path("state-2")
    tree["sources"]["in"]["path"] = ground.path("none/*")
    ground.write_text("second.yaml", json.dumps(tree))
    first, ground.config = ground.config, ground.path("second.yaml")
    try:
        return ground.follow()
    finally:
        ground.config = first


def of_two_daemons_one_runs_it(ground):
    fill(ground, 3000)
    configure(ground, {"purge": "1h"})
    both_of_them = [ground.follow(), second_daemon(ground)]
    wait_for(lambda: ground.count("prompt") == 0, "all are gone")
    wait_for(lambda: jobs(ground, "purge")["result"] == "ok", "it ended")
    time.sleep(2.5)	# both have looked by then
    runs = [len(one.events("job-started")) for one in both_of_them]
    equal(sum(runs), 1, "one run of one of them")
    equal(number(ground, "SELECT runs FROM bursar_jobs WHERE job = 'purge'"),
          1, "the ledger says so too")
    for one in both_of_them:
        equal(one.stop(), 0, "TERM ends it")
    sound(ground, "after it")


def leases(ground):
    """Who had them, how often; and the runs of jobs."""
    return [ask(ground, "SELECT job, fence, until_us, holder FROM "
                "bursar_leases ORDER BY 1"),
            ask(ground, "SELECT job, fence, runs, next_us FROM bursar_jobs "
                "ORDER BY 1")]


def what_changes(ground):
    """Whatever moves when something is written to the ledger."""
    if real.SINK == "sqlite":
        return [(os.stat(path).st_size, os.stat(path).st_mtime_ns)
                for path in (ground.ledger, ground.ledger + "-wal")]
    return ask(ground, " UNION ALL ".join(
        "SELECT '%s', xmin::text FROM bursar_%s" % (table, table)
        for table in ("leases", "jobs", "meta", "journal")) + " ORDER BY 1, 2")


def two_idle_daemons_write_nothing(ground):
    store(ground, [daemon.fact(1), daemon.prompt(1), daemon.tool(1)])
    ground.bursar("team", "set", "red", "ann")
    configure(ground, {"purge": "1h", "facts": "1h", "reconcile": "1h"},
              retention={"facts-days": 3000})
    both_of_them = [ground.follow()]
    wait_for(lambda: all(jobs(ground, name)["result"] == "ok" for name in
                         ("purge", "facts", "reconcile")), "all jobs ran")
    was = leases(ground)
    # It looks at each of them once within two seconds, and at teams.
    both_of_them.append(second_daemon(ground))
    for process in both_of_them:
        process.wait_event("teams")
    time.sleep(3)
    equal(leases(ground), was, "what is not due is only looked at")
    was = what_changes(ground)
    check(was, "there is something to look at", was)
    time.sleep(4)
    equal(what_changes(ground), was, "nothing is written in the meantime")
    for process in both_of_them:
        equal(process.stop(), 0, "it ends well")


def slow_down(ground, table):
    """Each tenth row that is deleted takes its time, so that a job is caught
    in the middle however fast the machine is."""
    if real.SINK == "postgres":
        change(ground, "CREATE FUNCTION slow() RETURNS trigger LANGUAGE "
               "plpgsql AS $$ BEGIN PERFORM pg_sleep(0.002); RETURN OLD; "
               "END $$; CREATE TRIGGER slow BEFORE DELETE ON %s FOR EACH ROW "
               "WHEN (OLD.id %% 10 = 0) EXECUTE FUNCTION slow()" % table)
    else:
        change(ground, "CREATE TRIGGER slow BEFORE DELETE ON %s "
               "WHEN OLD.id %% 10 = 0 BEGIN SELECT count(*) FROM (WITH "
               "RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c "
               "WHERE x < 15000) SELECT x FROM c); END" % table)


def at_full_speed(ground, table):
    if real.SINK == "postgres":
        change(ground, "DROP TRIGGER slow ON %s; DROP FUNCTION slow" % table)
    else:
        change(ground, "DROP TRIGGER slow")


def who_is_killed_is_taken_over(ground):
    fill(ground, 12000)
    # Longer than three commands take on a machine that is busy.
    configure(ground, {"purge": "1h", "lease": "8s"})
    slow_down(ground, "prompt_records")
    first = ground.follow()
    first.wait_event("job-started")
    wait_for(lambda: 0 < ground.count("prompt") < 12000, "some are gone")
    left = ground.count("prompt")
    first.kill()
    at_full_speed(ground, "prompt_records")
    left = min(left, ground.count("prompt"))
    check(left > 0, "it was killed in the middle", left)
    equal(jobs(ground, "purge")["result"], "running", "the ledger shows it")
    said = ground.bursar("jobs", "run", "purge", status=NO)
    check("somebody else" in said, "its lease is still its own", said)
    sound(ground, "in the middle")
    second = second_daemon(ground)
    wait_for(lambda: ground.count("prompt") == 0, "another one goes on")
    wait_for(lambda: jobs(ground, "purge")["result"] == "ok", "it ended")
    equal(number(ground, "SELECT fence FROM bursar_leases WHERE job = "
                 "'purge'"), 2, "under the next number")
    equal(second.stop(), 0, "TERM ends it")
    sound(ground, "after it")


def term_ends_a_job_between_two_steps(ground):
    fill(ground, 12000)
    configure(ground, {"purge": "1h"})
    slow_down(ground, "prompt_records")
    process = ground.follow()
    process.wait_event("job-started")
    equal(process.stop(), 0, "TERM ends it")
    at_full_speed(ground, "prompt_records")
    check(ground.count("prompt") > 0, "in the middle")
    equal(jobs(ground, "purge")["result"], "stopped", "and it says so")
    process = ground.follow()
    wait_for(lambda: ground.count("prompt") == 0, "the next one goes on")
    process.stop()


def facts_killed_in_the_middle(ground):
    # Months in PostgreSQL, each small enough to go row by row.
    store(ground, [one for month in range(5) for one in old_facts(
        month * 3000, 3000, days=60 + month * 35)])
    configure(ground, {"facts": "1h"}, retention={"facts-days": 15})
    slow_down(ground, "metering_records")
    process = ground.follow()
    process.wait_event("job-started")
    wait_for(lambda: ground.count() < 15000, "some are gone")
    process.kill()
    at_full_speed(ground, "metering_records")
    check(ground.count() > 0, "it was killed in the middle")
    check("are closed" in ground.bursar("verify"), "verify finds nothing "
          "in the middle (%d left)" % ground.count())
    process = ground.follow()
    wait_for(lambda: ground.count() == 0, "the next one goes on")
    process.stop()
    ground.bursar("verify")


# --- reconcile -----------------------------------------------------------------

def near(n, **more):
    return daemon.tool(n, recorded_at=daemon.instant(time.time() - 60),
                       request_id="r%d" % n, **more)


def tool_calls_find_their_prompts(ground):
    store(ground, [near(n) for n in range(1000)])
    configure(ground, {"reconcile": "300ms"})
    process = ground.follow()
    wait_for(lambda: number(ground, "SELECT count(*) FROM tool_links") == 1000,
             "all were looked at")
    process.kill()	# whatever it was at
    ground.append("in/a", [daemon.prompt(
        n, request_id="r%d" % n,
        timestamps={"returned": daemon.instant(time.time() - 90)})
        for n in range(1000)])
    process = ground.follow()
    wait_for(lambda: ground.count("prompt") == 1000, "the prompts came late")
    change(ground, "UPDATE tool_links SET next_us = 0")
    wait_for(lambda: number(ground, "SELECT count(*) FROM tool_prompts WHERE "
                            "method = 'request' AND substr(tool_id, 6) = "
                            "substr(prompt_id, 8)") == 1000,
             "each has the prompt that is its own")
    process.stop()
    ground.bursar("verify")


# --- holds ---------------------------------------------------------------------

def a_hold_suspends_and_a_release_resumes(ground):
    store(ground, expired(0, 10, contains_phi=True, conversation_id="held") +
          expired(10, 10, conversation_id="other") +
          old_facts(0, 10, conversation_id="held") +
          old_facts(10, 10, conversation_id="other"))
    said = ground.bursar("hold", "add", "case-1", "--reason", "a court",
                         "--where", "conversation_id=held")
    check("held in sink 'ledger'" in said, "a hold is added", said)
    check("case-1" in ground.bursar("hold", "list"), "and listed")
    configure(ground, {"purge": "300ms", "facts": "300ms"},
              retention={"facts-days": 15})
    process = ground.follow()
    wait_for(lambda: ground.count("prompt") == 10 and ground.count() == 10,
             "what is not held is gone")
    ground.append("in/a", expired(50, 5, conversation_id="held") +
                  expired(60, 5, conversation_id="other"))
    wait_for(lambda: ground.count("prompt") == 15, "what came later, too")
    time.sleep(1)
    equal((ground.count("prompt"), ground.count()), (15, 10),
          "what is held stays")
    said = ground.bursar("purge", "--dry-run", "--format", "csv")
    check(re.search(r"^held,25\r?$", said, re.M), "a dry run counts it", said)
    equal(len(ground.bursar("export", "--kind", "prompt").splitlines()), 15,
          "it can be exported")
    ground.bursar("verify")
    ground.bursar("hold", "add", "case-1", "--reason", "again", "--kind",
                  "tool", status=1)
    ground.bursar("hold", "release", "case-1")
    wait_for(lambda: ground.count("prompt") == 0 and ground.count() == 0,
             "released it goes")
    process.stop()
    check("case-1" not in ground.bursar("hold", "list"), "the hold is over")
    check("case-1" in ground.bursar("hold", "list", "--all"), "and known")
    equal([row[0] for row in ask(
        ground, "SELECT what FROM bursar_journal ORDER BY entry")],
        ["hold-added", "hold-released"], "the journal has both")
    ground.bursar("verify")


FIELDS = ["conversation_id", "request_id", "caller_identity", "model_id",
          "provider", "worker_id", "team", "operation"]
FILTERS = [word for field in FIELDS for word in ("--where", field + "=x")]


def half_holds(ground):
    return number(ground, "SELECT count(*) FROM bursar_hold_filters WHERE "
                          "hold NOT IN (SELECT id FROM bursar_holds)")


def add_hold(ground, name, **more):
    return ground.bursar("hold", "add", name, "--reason", "a court", *FILTERS,
                         **more)


def a_hold_is_whole_or_is_none(ground):
    store(ground, old_facts(0, 1))
    add_hold(ground, "one")
    add_hold(ground, "one", status=1)
    equal(half_holds(ground), 0, "a name that is taken leaves no filters")
    change(ground, "INSERT INTO bursar_hold_filters VALUES "
                   "('00ff', 'team', 'x')")
    add_hold(ground, "two")
    equal(half_holds(ground), 0, "the next takes away what was killed")
    pick = random.Random(daemon.SEED)
    for n in range(20):
        process = subprocess.Popen(
            [daemon.BURSAR, "-c", ground.config, "hold", "add", "k%d" % n,
             "--reason", "a court"] + FILTERS, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, env=daemon.environment())
        time.sleep(pick.uniform(0, 0.06))
        process.kill()
        process.wait()
    add_hold(ground, "last")
    equal(half_holds(ground), 0, "nothing is left of those that were killed")
    equal(number(ground, "SELECT count(*) FROM bursar_holds h WHERE %d <> "
                         "(SELECT count(*) FROM bursar_hold_filters f WHERE "
                         "f.hold = h.id)" % len(FIELDS)), 0,
          "each hold has all of its filters")
    ground.bursar("verify")


# --- clocks --------------------------------------------------------------------

def a_clock_that_jumps_empties_nothing(ground):
    when = daemon.instant(time.time() - 3 * DAY)
    store(ground, [daemon.prompt(n, retention_policy="days_30",
                                 timestamps={"returned": when})
                   for n in range(20)] + old_facts(0, 20, days=3))
    configure(ground, {"purge": "300ms", "facts": "300ms"},
              retention={"facts-days": 90})
    env = dict(daemon.clock(), FAKETIME="+400d")
    process = ground.follow(env=env)
    if real.SINK == "sqlite":
        process.wait_event("purge-waits", 2)
        check("--force" in process.events("purge-waits")[0], "it says what to do")
    else:
        # The server's clock is believed.
        process.wait_event("job-ended", 4)
    process.kill()
    equal((ground.count("prompt"), ground.count()), (20, 20),
          "all is there")
    # With the right clock all goes on, though the next run stands far off.
    change(ground, "UPDATE bursar_leases SET until_us = until_us + "
           "400 * 86400000000")
    process = ground.follow()
    wait_for(lambda: jobs(ground, "purge")["result"] == "ok", "it runs again")
    equal((ground.count("prompt"), ground.count()), (20, 20),
          "all is there still")
    process.stop()


def a_command_with_a_fast_clock_takes_nothing_early(ground):
    when = daemon.instant(time.time() - 28 * DAY)
    store(ground, [daemon.prompt(n, retention_policy="days_30",
                                 timestamps={"returned": when})
                   for n in range(20)])
    env = dict(daemon.clock(), FAKETIME="+5d")
    ground.bursar("purge", env=env)
    equal(ground.count("prompt"), 20, "what expires in two days is there")


real.main_in_both(
    a_purge_happens_by_itself,
    labels_and_health_data_say_when_a_prompt_goes,
    facts_go_when_that_is_asked_for,
    a_job_that_is_off_is_not_run,
    days_are_summed_up,
    of_two_daemons_one_runs_it,
    two_idle_daemons_write_nothing,
    who_is_killed_is_taken_over,
    term_ends_a_job_between_two_steps,
    facts_killed_in_the_middle,
    tool_calls_find_their_prompts,
    a_hold_suspends_and_a_release_resumes,
    a_hold_is_whole_or_is_none,
    a_clock_that_jumps_empties_nothing,
    postgres=(
        a_command_with_a_fast_clock_takes_nothing_early,
        a_month_that_is_not_over_waits_for_nobody,
        a_month_that_should_be_gone_for_long_waits,
        a_day_waits_for_who_writes))
