#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Workers and their teams, in a SQLite and in a PostgreSQL: a call has the team
of its worker as it was when it came in, and keeps it."""
import json
import os
import sys

sys.dont_write_bytecode = True
import daemon  # noqa: E402
import real  # noqa: E402
from daemon import check, equal  # noqa: E402
from real import ask, change  # noqa: E402

real.SOURCE = "file"


def teams(ground):
    """message_id: team, of every record."""
    return dict(ask(ground, "SELECT message_id, team FROM metering_records"))


def call(name, worker=None, **more):
    return daemon.envelope("metering", name, dict({
        "provider": "p", "model_id": "m", "cost_usd": 1, "input_tokens": 10,
        "worker_id": worker, "recorded_at": daemon.instant(daemon.BEGIN)},
        **more))


def report(ground, *words):
    return json.loads(ground.bursar("report", *words, "--format", "json"))


def by_team(ground, *words):
    return {row["team"]: row["request_count"] for row in report(
        ground, "summary", "--by", "team", *words)["rows"]}


def sound(ground):
    ground.check_ledger()
    ground.verify()


def known(process, count):
    """Until the daemon has taken notice so often."""
    return process.wait_event("teams", count)


# --- scenarios -----------------------------------------------------------------

def a_call_has_the_team_of_its_worker_and_keeps_it(ground):
    ground.configure(source={"follow": True})
    process = ground.follow()
    ground.write("in/a", [call("before", "ann")])
    ground.wait_settled(1)
    said = ground.bursar("team", "set", "red", "ann", "bob")
    equal(said, "ann: red\nbob: red\n2 workers changed\n", "it says what")
    known(process, 1)
    ground.append("in/a", [
        call("ann-1", "ann"), call("bob-1", "bob"), call("eve-1", "eve"),
        call("said", "ann", team="blue"), call("nobody"),
        call("empty", "ann", team="")])
    ground.wait_settled(7)
    # She moves; what was, stays.
    said = ground.bursar("team", "set", "green", "ann")
    equal(said, "ann: green, was red\n1 worker changed\n", "and from where")
    known(process, 2)
    ground.append("in/a", [call("ann-2", "ann")])
    ground.wait_settled(8)
    ground.bursar("team", "remove", "ann", "nobody-of-that-name")
    known(process, 3)
    ground.append("in/a", [call("ann-3", "ann"), call("bob-2", "bob")])
    ground.wait_settled(10)
    equal(process.stop(), 0, "the daemon ends well")
    want = {"before": None, "ann-1": "red", "bob-1": "red", "eve-1": None,
            "said": "blue", "nobody": None, "empty": "red",
            "ann-2": "green", "ann-3": None, "bob-2": "red"}
    equal(teams(ground), want, "each call has the team of its time")
    counts = {}
    for team in want.values():
        counts[team] = counts.get(team, 0) + 1
    for words in ((), ("--from-records",)):
        equal(by_team(ground, *words), counts, "summary --by team%s" %
              " ".join(("",) + words))
        row = report(ground, "team", "red", "--since", "2026-11-01",
                     *words)["rows"][0]
        equal((row["worker_count"], row["total_calls"]), (2, 4),
              "report team%s" % " ".join(("",) + words))
    sound(ground)
    history(ground)


def history(ground):
    """The journal says who was where, and is only added to."""
    rows = json.loads(ground.bursar("team", "list", "--all", "--format",
                                    "json"))["rows"]
    equal([(row["worker"], row["team"]) for row in rows],
          [("ann", "red"), ("ann", "green"), ("ann", None), ("bob", "red")],
          "the history")
    check(all("@" in row["by"] and row["since"].startswith("20")
              for row in rows), "with a hand and a time", rows)
    rows = json.loads(ground.bursar("team", "list", "--format",
                                    "json"))["rows"]
    equal([(row["worker"], row["team"]) for row in rows], [("bob", "red")],
          "what counts")
    equal(json.loads(ground.bursar("team", "list", "green", "--format",
                                   "json"))["rows"], [], "of one team")
    equal(ground.bursar("team", "set", "red", "bob"), "0 workers changed\n",
          "what is so is not written again")
    equal(int(ask(ground, "SELECT count(*) FROM bursar_journal WHERE what = "
                  "'team'")[0][0]), 4, "an entry for each change")


def it_is_known_before_the_first_call(ground):
    """A run of --once, and one whose ledger is made just now."""
    ground.write("in/a", [call("first", "ann")])
    ground.once()
    equal(teams(ground), {"first": None}, "a new ledger has no teams")
    ground.bursar("team", "set", "red", "ann")
    for n in range(5):
        ground.write("in/b%d" % n, [call("once-%d" % n, "ann")])
        ground.once()
    equal([team for name, team in sorted(teams(ground).items())],
          [None] + 5 * ["red"], "each run knows it at once")


def repetition_splitting_and_moves_change_nothing(ground):
    """The same calls again, in other files, after their workers moved."""
    calls = [call("call-%03d" % n, "w%d" % (n % 5)) for n in range(200)]
    ground.write("in/zero", [call("zero")])
    ground.once()
    ground.write_text("teams.csv", "".join(
        "w%d,t%d\n" % (n, n % 2) for n in range(5)))
    ground.bursar("team", "import", ground.path("teams.csv"))
    ground.write("in/a", calls)
    ground.once()
    was = teams(ground)
    equal(by_team(ground), {"t0": 120, "t1": 80, None: 1}, "assigned")
    ground.bursar("team", "set", "elsewhere", *("w%d" % n for n in range(5)))
    for n, part in enumerate((calls[100:], calls[::-1], calls[:50])):
        ground.write("in/again%d" % n, part)
    ground.once()
    equal(teams(ground), was, "records keep their teams")
    equal(by_team(ground), {"t0": 120, "t1": 80, None: 1}, "and sums")
    sound(ground)


def calls_wait_for_a_book_that_is_away(ground):
    """Otherwise they would have no team for ever."""
    ground.write("in/a", [call("zero")])
    ground.once()
    ground.bursar("team", "set", "red", "ann")
    if real.SINK == "postgres":
        network = ground.network("PG")
        ground.configure(source={"follow": True}, sink={
            "conninfo": real.through(network, real.address("PG"))})
        network.cut()
    else:
        os.rename(ground.ledger, ground.ledger + ".away")
        os.mkdir(ground.ledger)
        ground.configure(source={"follow": True})
    process = ground.start()
    ground.write("in/b", [call("waited", "ann")])
    ground.wait_state("sources", "in", "held")
    check("teams" in ground.part("sources", "in")["why"], "it says why")
    if real.SINK == "postgres":
        network.resume()
    else:
        os.rmdir(ground.ledger)
        os.rename(ground.ledger + ".away", ground.ledger)
    ground.wait_settled(1)
    equal(process.stop(), 0, "the daemon ends well")
    equal(teams(ground)["waited"], "red", "it has its team")


def a_book_that_is_replaced_is_read_anew(ground):
    """By another one with as many entries, while the daemon has it open."""
    if real.SINK == "postgres":
        raise daemon.Skip("a server's tables are no file")
    kept, red = ground.path("kept.db"), ground.path("red.db")
    ground.write("in/a", [call("zero")])
    ground.once()
    ground.bursar("backup", kept)
    ground.bursar("team", "set", "red", "ann")
    os.rename(ground.ledger, red)
    os.rename(kept, ground.ledger)
    ground.bursar("team", "set", "green", "ann")
    os.rename(ground.ledger, kept)
    os.rename(red, ground.ledger)
    ground.configure(source={"follow": True})
    process = ground.follow()
    known(process, 1)
    for name in os.listdir(ground.folder):
        if name.startswith("ledger.db"):
            os.unlink(ground.path(name))
    os.rename(kept, ground.ledger)
    known(process, 2)
    ground.write("in/b", [call("later", "ann")])
    daemon.wait_for(lambda: "later" in teams(ground), "the call is stored")
    equal(process.stop(), 0, "the daemon ends well")
    equal(teams(ground)["later"], "green", "it has the team of that book")


def a_thousand_workers_by_file(ground):
    ground.write("in/a", [call("zero")])
    ground.once()
    members = {"w%04d" % n: "team %d" % (n % 7) for n in range(1000)}
    ground.write_text("teams.json", json.dumps(members))
    said = ground.bursar("team", "import", ground.path("teams.json"),
                         "--dry-run")
    check(said.endswith("1000 workers would change\n"), "a dry run says so")
    equal(ground.bursar("team", "list", "--format", "csv"),
          "worker,team,since,by\r\n", "and changes nothing")
    ground.bursar("team", "import", ground.path("teams.json"))
    printed = ground.bursar("team", "list", "--format", "json")
    ground.write_text("printed.json", printed)
    equal(ground.bursar("team", "import", ground.path("printed.json")),
          "0 workers changed\n", "what is listed can be read")
    ground.write("in/b", [call(name, name) for name in members])
    ground.once()
    got = teams(ground)
    del got["zero"]
    equal(got, members, "each call has its team")
    # A file that has all, and no more.
    ground.write_text("teams.json", json.dumps({"team 0": ["w0001"]}))
    ground.bursar("team", "import", ground.path("teams.json"), "--replace")
    equal([(row["worker"], row["team"]) for row in json.loads(ground.bursar(
        "team", "list", "--format", "json"))["rows"]],
        [("w0001", "team 0")], "--replace")
    sound(ground)


def entries(ground):
    return int(ask(ground, "SELECT count(*) FROM bursar_journal WHERE what = "
                   "'team'")[0][0])


def staged(ground):
    return int(ask(ground, "SELECT count(*) FROM bursar_meta WHERE name LIKE "
                   "'assign:%'")[0][0])


def all_of_a_file_counts_or_nothing(ground):
    ground.write("in/a", [call("zero")])
    ground.once()
    ground.write_text("teams.json", json.dumps(
        {"w%04d" % n: "team %d" % (n % 7) for n in range(1000)}))
    ground.bursar("team", "set", "before", "w0999")
    change(ground, "CREATE UNIQUE INDEX refuses ON bursar_journal (subject) "
           "WHERE subject = 'w0999'")
    ground.bursar("team", "import", ground.path("teams.json"), status=1)
    equal((entries(ground), staged(ground)), (1, 0), "nothing is left of it")
    change(ground, "DROP INDEX refuses")
    # Of an import that was killed.
    change(ground, "INSERT INTO bursar_meta (name, value) VALUES "
           "('assign:0000000000000000:w0000', 'killed')")
    ground.bursar("team", "import", ground.path("teams.json"))
    equal((entries(ground), staged(ground)), (1001, 0), "then all of it")
    rows = json.loads(ground.bursar("team", "list", "--format",
                                    "json"))["rows"]
    equal({row["worker"]: row["team"] for row in rows},
          {"w%04d" % n: "team %d" % (n % 7) for n in range(1000)}, "as it says")
    sound(ground)


real.main_in_both(
    a_call_has_the_team_of_its_worker_and_keeps_it,
    it_is_known_before_the_first_call,
    repetition_splitting_and_moves_change_nothing,
    calls_wait_for_a_book_that_is_away,
    a_book_that_is_replaced_is_read_anew,
    a_thousand_workers_by_file,
    all_of_a_file_counts_or_nothing)
