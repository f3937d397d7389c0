#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What becomes of messages when the ledger cannot take them: held, never
dropped; refused one by one; nobody else waits."""
import os
import shutil
import stat
import sys
import time

sys.dont_write_bytecode = True
import daemon  # noqa: E402
from daemon import check, equal  # noqa: E402

MANY = daemon.scaled(3000, 500)


def facts(first, count):
    return [daemon.fact(n) for n in range(first, first + count)]


def names(first, count):
    return ["fact-%08d" % n for n in range(first, first + count)]


def make_ledger(ground):
    """A ledger with tables and nothing in it."""
    ground.write("in/nothing", [])
    ground.once()
    os.unlink(ground.path("in/nothing"))


def refuse(ground, what, why="not this one"):
    ground.run_sql("CREATE TRIGGER refuses BEFORE INSERT ON metering_records "
                   "WHEN %s BEGIN SELECT RAISE(ABORT, '%s'); END;"
                   % (what, why))


def what_a_database_says_is_no_member_of_the_log(ground):
    why = 'not "this\\one" level=error why=" event=x \u2028 '
    make_ledger(ground)
    refuse(ground, "1", why)
    ground.write("in/a", facts(0, 1))
    process = ground.once(status=None)
    told = process.events("record-refused") + process.events("sink-blocked")
    check(told, "the log tells of it")
    for line in told:
        said = daemon.members(line)
        check(why in said["why"], "in the words of the database",
              said["why"])
        check(said["level"] in ("warning", "error") and
              said["event"] in ("record-refused", "sink-blocked"),
              "which change nothing else on the line", line)


def a_refused_row_is_a_dead_letter_and_the_others_are_stored(ground):
    make_ledger(ground)
    refuse(ground, "NEW.message_id IN ('fact-00000400', 'fact-00000403')")
    ground.write("in/a", facts(0, MANY))
    process = ground.once()
    daemon.once_each(ground.ids(), [
        name for name in names(0, MANY)
        if name not in ("fact-00000400", "fact-00000403")],
        "all but two of %d are stored" % MANY)
    letters = ground.letters()
    equal([(one["reason"], one["sink"], one["source"]) for one in letters],
          [("refused", "ledger", "in")] * 2, "two dead letters: refused")
    equal(sorted(one["line"] for one in letters), [401, 404],
          "they name the lines")
    check(all("not this one" in one["text"] for one in letters),
          "and say why in the words of the database",
          [one["text"] for one in letters])
    check(process.events("record-refused"), "the log tells of it")
    daemon.check_rollups(ground)
    daemon.check_sound(ground)
    folder = os.path.join(ground.state_dir, "dead-letters")
    modes = {stat.S_IMODE(os.stat(os.path.join(folder, name)).st_mode)
             for name in os.listdir(folder)}
    equal(modes, {0o600}, "nobody else can read dead letters")

    ground.run_sql("DROP TRIGGER refuses")
    said = ground.bursar("replay", "--all")
    check(said.startswith("2 stored"), "`bursar replay` stores them", said)
    daemon.once_each(ground.ids(), names(0, MANY), "now all are stored")
    said = ground.bursar("replay", "--all")
    check("no such letter" in said, "each is replayed once", said)
    daemon.check_rollups(ground)


def a_sink_that_refuses_everything_is_blocked_and_opens_by_itself(ground):
    make_ledger(ground)
    refuse(ground, "true")
    ground.write("in/a", facts(0, MANY))
    process = ground.follow()
    ground.wait_state("sinks", "ledger", "blocked")
    check(not ground.state()["ready"], "the daemon is not ready")
    time.sleep(0.5)
    refused = len(ground.letters())
    check(0 < refused <= 20, "few become dead letters before: %d" % refused)
    said = ground.bursar("status", env={"COLUMNS": "80"})
    check("not ready" in said, "`bursar status` says so", said)
    why = [one for one in ground.state()["sinks"]
           if one["name"] == "ledger"][0]["why"]
    check(len(why) > 20 and why in " ".join(said.split()),
          "and says why, whole: " + why, said)
    ground.run_sql("DROP TRIGGER refuses")
    ground.wait_state("sinks", "ledger", "open")
    ground.wait_settled(MANY)
    check(ground.state()["ready"], "once it stores again, the daemon is "
          "ready")
    equal(process.stop(), 0, "TERM ends it with 0")
    letters = len(ground.letters("refused"))
    equal(ground.count() + letters, MANY, "each is stored or a dead letter")
    equal(letters, refused, "no letter was added while it was blocked")
    ground.bursar("replay", "--all")
    daemon.once_each(ground.ids(), names(0, MANY), "replayed, all are stored")
    daemon.check_rollups(ground)


def a_locked_ledger_is_waited_for(ground):
    make_ledger(ground)
    lock = ground.database()
    lock.isolation_level = None
    lock.execute("BEGIN IMMEDIATE")
    ground.write("in/a", facts(0, MANY))
    process = ground.follow()
    part = ground.wait_state("sinks", "ledger", "held")
    check("locked" in part["why"], "status says why", part)
    check(not ground.state()["ready"], "the daemon is not ready")
    daemon.wait_for(lambda: ground.part("sources", "in")
                    ["in_flight_messages"] == MANY,
                    "all messages to be in flight")
    wait = ground.part("sources", "in")
    equal(wait["in_flight_messages"], MANY, "all messages are in flight")
    check(wait["oldest_unsettled_ms"] > 0, "and have an age", wait)
    lock.execute("COMMIT")
    lock.close()
    ground.wait_settled(MANY)
    equal(ground.letters(), [], "no dead letters")
    equal(process.stop(), 0, "TERM ends it with 0")
    daemon.once_each(ground.ids(), names(0, MANY), "all are stored")
    daemon.check_rollups(ground)


def once_gives_up_a_ledger_that_stays_locked(ground):
    make_ledger(ground)
    ground.configure(once_timeout="1s")
    lock = ground.database()
    lock.isolation_level = None
    lock.execute("BEGIN IMMEDIATE")
    ground.write("in/a", facts(0, 10))
    began = time.monotonic()
    process = ground.once(status=1)
    took = time.monotonic() - began
    check(took >= 1, "--once ends with 1 after once-timeout: %.1f s" % took)
    check("locked" in process.log(), "and says why", process.log())
    lock.close()
    ground.once()
    daemon.once_each(ground.ids(), names(0, 10), "a second run stores all")


def a_full_disk_is_waited_for(ground):
    """While the ledger is open, and when it is opened."""
    disk = ground.mount_tmpfs("disk", "4m")
    ledger = os.path.join(disk, "ledger.db")
    ground.configure(sink={"path": ledger, "checkpoint": "1M"},
                     source={"follow": True}, batch_records=500)
    process = ground.follow()
    ground.write("in/a", facts(0, 500))
    ground.wait_settled(500)
    ground.fill(disk)
    ground.write("in/b", facts(500, 2000))
    part = ground.wait_state("sinks", "ledger", "held")
    check("the disk is full: make room" in part["why"],
          "status says that the disk is full", part["why"])
    check(not ground.state()["ready"], "the daemon is not ready")
    equal(ground.letters(), [], "nothing becomes a dead letter")
    settled = ground.settled()
    time.sleep(0.5)
    check(process.runs(), "the daemon goes on")
    equal(ground.settled(), settled, "nothing is settled")
    process.kill()

    process = ground.follow()
    part = ground.wait_state("sinks", "ledger", "held")
    check("the disk is full: make room" in part["why"],
          "started anew, it says so, too", part["why"])
    ground.resize(disk, "64m")
    daemon.wait_for(lambda: ground.count(path=ledger) == 2500,
                    "all are stored")
    ground.wait_state("sinks", "ledger", "open")
    check(ground.state()["ready"], "room is made: the daemon is ready")
    equal(process.stop(), 0, "TERM ends it with 0")
    daemon.once_each(ground.ids(path=ledger), names(0, 2500),
                     "all are stored, each once")
    equal(ground.letters(), [], "none is a dead letter")
    daemon.check_rollups(ground, ledger)
    daemon.check_sound(ground, ledger)


def a_full_disk_still_takes_dead_letters(ground):
    """Their room is held back from the start."""
    disk = ground.mount_tmpfs("disk", "2m")
    ground.state_dir = os.path.join(disk, "state")
    ground.configure(source={"follow": True}, state_dir=ground.state_dir,
                     dead_letters={"reserve": "512k", "max-size": "1M"})
    ground.write("in/a", ["{no json"])
    process = ground.follow()
    daemon.wait_for(lambda: len(ground.letters()) == 1, "the first letter")
    ground.fill(disk)
    ground.append("in/a", ["{no json either" + "." * 50000])
    daemon.wait_for(lambda: len(ground.letters()) == 2, "the second letter")
    check(process.runs(), "on a full disk a dead letter is written all the "
          "same")
    ground.resize(disk, "8m")
    ground.wait_settled(2)
    equal(process.stop(), 0, "TERM ends it with 0")
    again = ground.once()
    check("read=0 " in again.events("source-state")[0],
          "room is made: both are settled", again.events("source-state"))


def a_person_must_act(ground):
    """Each is blocked, named by --once at once, and opens when repaired."""
    make_ledger(ground)
    ground.write("in/a", facts(0, 50))
    kept = ground.path("kept.db")

    def no_database():
        os.rename(ground.ledger, kept)
        ground.write_text("ledger.db", "this is no database\n" * 100)

    def newer():
        shutil.copy(kept, ground.ledger)
        ground.run_sql("PRAGMA user_version = 999")

    def other_program():
        os.unlink(ground.ledger)
        ground.run_sql("CREATE TABLE accounts (a); "
                       "PRAGMA application_id = 7")

    def folder():
        os.unlink(ground.ledger)
        os.mkdir(ground.ledger)

    def damaged():
        os.rmdir(ground.ledger)
        with open(kept, "rb") as file:
            data = bytearray(file.read())
        data[100:4 * 4096] = b"\xa5" * (4 * 4096 - 100)
        with open(ground.ledger, "wb") as file:
            file.write(data)

    for spoil, word in ((no_database, "not an SQLite database"),
                        (newer, "newer"), (other_program, "ledger"),
                        (folder, "ledger.db"), (damaged, "ledger.db")):
        spoil()
        what = spoil.__name__.replace("_", " ")
        began = time.monotonic()
        process = ground.once(status=1)
        took = time.monotonic() - began
        check(took < 30, "%s: --once ends with 1 at once: %.1f s" % (what,
                                                                    took))
        stopped = process.events("stopped")
        check(stopped and word in stopped[0], "%s: and says why" % what,
              stopped)
        equal(ground.letters(), [], "%s: nothing is a dead letter" % what)
    process = ground.follow()
    ground.wait_state("sinks", "ledger", "blocked")
    check(not ground.state()["ready"], "the daemon is not ready, and runs")
    os.unlink(ground.ledger)
    os.rename(kept, ground.ledger)
    ground.wait_settled(50)
    equal(process.stop(), 0, "put right, all is stored by itself")
    daemon.once_each(ground.ids(), names(0, 50), "each once")


def a_newer_bursar_migrates_it_while_the_daemon_runs(ground):
    ground.configure(source={"follow": True})
    ground.write("in/a", facts(0, 50))
    process = ground.follow()
    ground.wait_settled(50)
    ours = ground.value("PRAGMA user_version")
    ground.run_sql("PRAGMA user_version = 999")
    ground.append("in/a", facts(50, 50))
    part = ground.wait_state("sinks", "ledger", "blocked")
    check("made by a newer bursar (ledger version 999" in part["why"],
          "it says what a start would say", part)
    check(not ground.state()["ready"], "the daemon is not ready")
    time.sleep(0.5)
    equal((ground.settled(), ground.count(), ground.letters()), (50, 50, []),
          "nothing is settled, stored or refused")
    ground.run_sql("PRAGMA user_version = %d" % ours)
    ground.wait_settled(100)
    equal(process.stop(), 0, "once it is as it was all is stored")
    daemon.once_each(ground.ids(), names(0, 100), "each once")
    daemon.check_rollups(ground)


def a_ledger_that_cannot_be_written_is_waited_for(ground):
    """As another user, since root may write everything."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        raise daemon.Skip("only root can become another user")
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534",
              "--clear-groups"]
    os.chown(ground.folder, 65534, 65534)
    for name in ("in", "bursar.yaml"):
        os.chown(ground.path(name), 65534, 65534)
    os.mkdir(ground.path("books"))
    os.chmod(ground.path("books"), 0o755)
    ledger = ground.path("books/ledger.db")
    ground.configure(sink={"path": ledger})
    ground.write("in/a", facts(0, 20))
    try:
        process = ground.follow(before=nobody)
    except daemon.Failure as why:
        if "Permission denied" in ground.daemons[-1].log() and \
                "event=" not in ground.daemons[-1].log():
            raise daemon.Skip("others cannot run the build") from why
        raise
    part = ground.wait_state("sinks", "ledger", "blocked")
    check("ledger.db" in part["why"], "a folder that cannot be written "
          "blocks, and is named", part["why"])
    os.chown(ground.path("books"), 65534, 65534)
    ground.wait_settled(20)
    equal(ground.count(path=ledger), 20, "made writable, all is stored")
    equal(process.stop(), 0, "TERM ends it with 0")
    os.chown(ledger, 0, 0)
    os.chmod(ledger, 0o444)
    ground.write("in/b", facts(20, 20))
    process = ground.follow(before=nobody)
    ground.wait_state("sinks", "ledger", "blocked")
    check(True, "a file that cannot be written blocks")
    equal(ground.letters(), [], "nothing becomes a dead letter")
    os.chown(ledger, 65534, 65534)
    os.chmod(ledger, 0o600)
    ground.wait_settled(20)
    equal(process.stop(), 0, "made writable, all is stored")
    daemon.once_each(ground.ids(path=ledger), names(0, 40), "each once")


def a_missing_folder_is_waited_for(ground):
    ledger = ground.path("books/ledger.db")
    ground.configure(sink={"path": ledger})
    ground.write("in/a", facts(0, 20))
    ground.once(status=1)
    process = ground.follow()
    part = ground.wait_state("sinks", "ledger", "blocked")
    check("books" in part["why"], "it is named", part["why"])
    os.mkdir(ground.path("books"))
    ground.wait_settled(20)
    equal(process.stop(), 0, "made, all is stored")
    equal(ground.count(path=ledger), 20, "each once")


def take_away(ground, how):
    """A ledger, and a daemon that follows, without its files."""
    ground.configure(source={"follow": True})
    ground.write("in/a", facts(0, 100))
    process = ground.follow()
    ground.wait_settled(100)
    os.mkdir(ground.path("away"))
    for name in os.listdir(ground.folder):
        if name.startswith("ledger.db"):
            how(name)
    ground.append("in/a", facts(100, 100))
    ground.wait_settled(200)
    why = process.wait_event("sink-held")
    check("moved" in why, "the log says what happened", why)
    equal(process.stop(), 0, "TERM ends it with 0")
    daemon.once_each(ground.ids(), names(100, 100),
                     "what came after is in the ledger that is there")
    daemon.check_rollups(ground)


def a_ledger_that_is_moved_is_not_written_to(ground):
    take_away(ground, lambda name: os.rename(
        ground.path(name), ground.path("away/" + name)))
    daemon.once_each(ground.ids(path=ground.path("away/ledger.db")),
                     names(0, 100), "what came before is in the old one")


def a_ledger_that_is_removed_is_not_written_to(ground):
    take_away(ground, lambda name: os.unlink(ground.path(name)))


def a_damaged_ledger_is_replaced_while_the_daemon_runs(ground):
    make_ledger(ground)
    ground.write("in/a", facts(0, 2000))
    ground.once()
    ground.run_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(ground.ledger, ground.path("backup.db"))
    ground.configure(source={"follow": True})
    process = ground.follow()
    ground.wait_state("sinks", "ledger", "open")
    with open(ground.ledger, "r+b") as file:
        size = os.path.getsize(ground.ledger)
        for page in range(2, size // 8192):
            file.seek(page * 8192)
            file.write(b"\xa5" * 64)
    ground.append("in/a", facts(2000, 2000))
    part = ground.wait_state("sinks", "ledger", "blocked")
    check("damaged" in part["why"], "status says that it is damaged",
          part["why"])
    for name in os.listdir(ground.folder):
        if name.startswith("ledger.db"):
            os.unlink(ground.path(name))
    os.rename(ground.path("backup.db"), ground.ledger)
    ground.wait_settled(2000)
    equal(process.stop(), 0, "a backup takes its place: all is stored")
    daemon.once_each(ground.ids(), names(0, 4000), "each once")
    equal(ground.letters(), [], "nothing becomes a dead letter")
    daemon.check_rollups(ground)
    daemon.check_sound(ground)


def a_sink_that_is_not_required_holds_nothing_up(ground):
    extra = ground.path("nowhere/extra.db")
    ground.configure(
        sinks={"extra": {"plugin": "sqlite", "path": extra,
                         "required": False}}, book="ledger")
    ground.write("in/a", facts(0, MANY))
    ground.once()
    daemon.once_each(ground.ids(), names(0, MANY), "all are in the ledger")
    equal(ground.letters(), [], "no dead letters")
    process = ground.follow()
    ground.wait_state("sinks", "extra", "blocked")
    ground.wait_state("sinks", "ledger", "open")
    check(ground.state()["ready"], "the daemon is ready without it")
    equal(process.stop(), 0, "TERM ends it with 0")
    os.mkdir(ground.path("nowhere"))
    ground.write("in/b", facts(MANY, 50))
    process = ground.follow()
    ground.wait_settled(50)
    daemon.wait_for(lambda: ground.count(path=extra) == 50,
                    "the other sink has them too")
    equal(process.stop(), 0, "once it is there it gets records as well")


def one_required_sink_down_holds_the_message(ground):
    """Both have it, or it is not settled; what one has is a duplicate."""
    second = ground.path("later/second.db")
    ground.configure(sinks={"second": {"plugin": "sqlite", "path": second}})
    ground.write("in/a", facts(0, 200))
    process = ground.follow()
    ground.wait_state("sinks", "second", "blocked")
    daemon.wait_for(lambda: ground.count() == 200, "one has them")
    equal(ground.settled(), 0, "nothing is settled before both have it")
    process.kill()
    os.mkdir(ground.path("later"))
    last = ground.once()
    check("duplicates=200" in [line for line in last.events("sink-state")
                               if "instance=ledger" in line][0],
          "killed between two commits: the first says duplicate",
          last.events("sink-state"))
    for path in (ground.ledger, second):
        daemon.once_each(ground.ids(path=path), names(0, 200),
                         "each once in %s" % os.path.basename(path))
        daemon.check_rollups(ground, path)


def kinds_take_their_routes(ground):
    audit = ground.path("audit.db")
    ground.configure(
        sinks={"audit": {"plugin": "sqlite", "path": audit}},
        routes=[{"kinds": ["metering"], "sinks": ["ledger"]},
                {"kinds": ["prompt"], "sinks": ["audit"]}],
        discard=["tool"])
    ground.write("in/a", facts(0, 20) + [daemon.prompt(n) for n in range(9)] +
                 [daemon.tool(n) for n in range(7)])
    ground.once()
    equal([ground.count(kind, path) for path in (ground.ledger, audit)
           for kind in ("metering", "prompt", "tool")],
          [20, 0, 0, 0, 9, 0], "each kind where its route leads, discarded "
          "kinds nowhere")
    equal(ground.letters(), [], "no dead letters")
    last = ground.once()
    check("read=0 " in last.events("source-state")[0],
          "what was discarded is done with", last.events("source-state"))
    ground.configure(
        routes=[{"kinds": ["metering"], "sinks": ["ledger"]}])
    refused = ground.start("--once")
    equal(refused.wait(), 2, "a kind without a sink is refused at start")
    check("prompt" in refused.log() and "discard" in refused.log(),
          "the sentence names kind and remedy", refused.log())


def what_two_cannot_share_is_a_mistake(ground):
    daemon.need("source_http", "service_web")
    there = "127.0.0.1:%d" % daemon.free_port()
    ground.configure(
        sinks={"twin": {"plugin": "sqlite", "path": ground.ledger}},
        sources={"door": {"plugin": "http", "listen": there},
                 "again": {"plugin": "file", "path": ground.path("in/*")}},
        services={"figures": {"plugin": "web", "listen": there}})
    said = ground.bursar("check", status=2)
    for word in ("sink 'twin': 'path' is what sink 'ledger' writes",
                 "service 'figures': 'listen' is what source 'door' "
                 "listens at"):
        check(word in said, "check says: %s" % word, said)
    ground.configure(
        sources={"again": {"plugin": "file", "path": ground.path("in/*")}})
    said = ground.bursar("check")
    check("source 'again': 'path' is what source 'in' reads" in said,
          "a file that is read twice is worth a word", said)


daemon.main(a_refused_row_is_a_dead_letter_and_the_others_are_stored,
            what_a_database_says_is_no_member_of_the_log,
            a_sink_that_refuses_everything_is_blocked_and_opens_by_itself,
            a_locked_ledger_is_waited_for,
            once_gives_up_a_ledger_that_stays_locked,
            a_full_disk_is_waited_for,
            a_full_disk_still_takes_dead_letters,
            a_person_must_act,
            a_newer_bursar_migrates_it_while_the_daemon_runs,
            a_ledger_that_cannot_be_written_is_waited_for,
            a_missing_folder_is_waited_for,
            a_ledger_that_is_moved_is_not_written_to,
            a_ledger_that_is_removed_is_not_written_to,
            a_damaged_ledger_is_replaced_while_the_daemon_runs,
            a_sink_that_is_not_required_holds_nothing_up,
            one_required_sink_down_holds_the_message,
            kinds_take_their_routes,
            what_two_cannot_share_is_a_mistake)
