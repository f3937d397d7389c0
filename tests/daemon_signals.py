#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Signals, exit statuses, one daemon for one state folder, and what the
daemon says of itself."""
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
import daemon  # noqa: E402
from daemon import check, equal  # noqa: E402

MANY = daemon.scaled(20000, 2000)


def facts(first, count):
    return [daemon.fact(n) for n in range(first, first + count)]


def names(first, count):
    return ["fact-%08d" % n for n in range(first, first + count)]


def term_drains(ground):
    """What was read is stored, the rest is read the next time."""
    for number in (signal.SIGTERM, signal.SIGINT):
        ground.configure(source={"follow": True, "window-messages": 500},
                         batch_records=250)
        ground.write("in/%d" % number, facts(number * MANY, MANY // 2))
        process = ground.follow()
        daemon.wait_for(lambda: ground.count() > 0, "it stores something")
        process.signal(number)
        name = signal.Signals(number).name
        equal(process.wait(), 0, "%s: ends with 0" % name)
        check(process.events("drained") and
              "given_back=no" in process.events("drained")[0],
              "%s: drained" % name, process.events("drained"))
        stored = ground.count()
        again = ground.once()
        line = [one for one in again.events("source-state")][-1]
        check("duplicates=0 " in line, "%s: what was stored was settled" %
              name, line)
        print("       %d of %d were stored before" % (stored, MANY // 2))
    daemon.once_each(ground.ids(), [
        name for number in (signal.SIGTERM, signal.SIGINT)
        for name in names(number * MANY, MANY // 2)], "all are stored, each "
        "once")


def term_does_not_wait_for_ever(ground):
    ground.write("in/nothing", [])
    ground.once()
    ground.configure(source={"follow": True}, drain_timeout="500ms")
    lock = ground.database()
    lock.isolation_level = None
    lock.execute("BEGIN IMMEDIATE")
    ground.write("in/a", facts(0, 50))
    process = ground.follow()
    ground.wait_state("sinks", "ledger", "held")
    began = time.monotonic()
    equal(process.stop(), 0, "TERM ends it with 0")
    took = time.monotonic() - began
    check(0.4 < took < 20, "after drain-timeout: %.1f s" % took)
    check("given_back=yes" in process.events("drained")[0],
          "what was not stored is given back", process.events("drained"))
    lock.execute("COMMIT")
    lock.close()
    ground.configure(source={"follow": True}, drain_timeout="1h")
    lock = ground.database()
    lock.isolation_level = None
    lock.execute("BEGIN IMMEDIATE")
    process = ground.follow()
    ground.wait_state("sinks", "ledger", "held")
    process.signal(signal.SIGTERM)
    process.wait_event("draining")
    time.sleep(0.3)
    check(process.runs(), "a long one is waited for")
    process.signal(signal.SIGTERM)
    equal(process.wait(), 0, "a second TERM ends it at once")
    lock.execute("COMMIT")
    lock.close()
    ground.configure()
    ground.once()
    daemon.once_each(ground.ids(), names(0, 50), "all are stored later")


def two_daemons_do_not_share_a_state_folder(ground):
    ground.configure(source={"follow": True})
    first = ground.follow()
    for arguments in ((), ("--once",)):
        second = ground.start(*arguments)
        equal(second.wait(), 1, "a second bursard %s ends with 1" %
              " ".join(arguments))
        line = second.events("cannot-start")[0]
        check("in use by another bursard (process %d)" % first.pid in line,
              "and says who is there", line)
    check(ground.state() is not None, "the first one answers as before")
    first.kill()
    third = ground.follow()
    check(third.runs(), "a lock dies with its daemon")
    # Two with folders of their own share one ledger.
    ground.write("in/a", facts(0, 500))
    other = daemon.Ground("other")
    try:
        other.configure(source={"follow": True},
                        sink={"path": ground.ledger})
        other.write("in/b", facts(250, 500))
        fourth = other.follow()
        ground.wait_settled(500)
        other.wait_settled(500)
        equal((third.stop(), fourth.stop()), (0, 0), "both end with 0")
        daemon.once_each(ground.ids(), names(0, 750),
                         "two daemons share one ledger: each once")
        daemon.check_rollups(ground)
        daemon.check_sound(ground)
    finally:
        other.leave()


def hup(process, event):
    """Sends it, and gives the line that follows."""
    before = len(process.events(event))
    process.signal(signal.SIGHUP)
    return process.wait_event(event, before + 1)


def hup_takes_over_the_new_configuration_whole(ground):
    second = ground.path("second.db")
    ground.configure(source={"follow": True})
    ground.write("in/a", facts(0, 100))
    process = ground.follow()
    ground.wait_settled(100)
    check("sources=1 sinks=1" in hup(process, "reloaded"),
          "the same configuration again")
    ground.configure(source={"follow": True}, sink={"path": second})
    hup(process, "reloaded")
    ground.append("in/a", facts(100, 100))
    ground.wait_settled(200)
    equal(ground.ids(), names(0, 100), "a changed sink: the old ledger keeps "
          "what it has")
    equal(ground.ids(path=second), names(100, 100),
          "the new one has what came since: the source kept its place")
    os.mkdir(ground.path("more"))
    ground.write("more/x", facts(200, 50))
    ground.configure(
        source={"follow": True},
        sources={"more": {"plugin": "file", "path": ground.path("more/*")}})
    hup(process, "reloaded")
    ground.wait_settled(50, "more")
    daemon.once_each(ground.ids(), names(0, 100) + names(200, 50),
                     "a new source is read, the first ledger is back")
    ground.configure(source={"follow": True})
    hup(process, "reloaded")
    equal([one["name"] for one in ground.state()["sources"]], ["in"],
          "a source that is gone is closed")
    equal(process.stop(), 0, "TERM ends it with 0")
    daemon.check_rollups(ground)
    daemon.check_rollups(ground, second)


def hup_keeps_the_old_configuration_where_the_new_one_is_wrong(ground):
    ground.configure(source={"follow": True})
    ground.write("in/a", facts(0, 100))
    process = ground.follow()
    ground.wait_settled(100)

    ground.write_text("bursar.yaml", "sources: [\n")
    hup(process, "reload-refused")
    check(True, "a file that cannot be read is refused")
    ground.configure(source={"follow": True, "colour": "red"}, linger="soon")
    hup(process, "reload-refused")
    log = process.log()
    check("colour" in log and "linger" in log,
          "all mistakes are named at once", log[-600:])
    strange = [line for line in log.splitlines()
               if not line.startswith("time=")]
    equal(strange, [], "what is wrong stands in the log as events")
    ground.configure(source={"follow": True},
                     state_dir=ground.path("elsewhere"))
    check("state-dir" in hup(process, "reload-refused"),
          "another state-dir is refused, with the reason")
    check(not os.path.exists(ground.path("elsewhere")), "and not made")
    ground.configure(
        source={"follow": True, "crypto": "legion"},
        crypto={"legion": {"plugin": "cluster",
                           "secret-file": ground.path("secret")}})
    ground.write_text("secret", "this is no secret\n")
    os.chmod(ground.path("secret"), 0o600)
    if daemon.plugin_is_built("crypto_cluster"):
        why = hup(process, "reload-failed")
        check("secret" in why and "this is no secret" not in why,
              "one that cannot be opened is given up, and says why", why)
    ground.append("in/a", facts(100, 100))
    daemon.wait_for(lambda: ground.count() == 200, "the old one goes on")
    check(True, "after each the old configuration goes on")
    ground.configure(source={"follow": True})
    hup(process, "reloaded")
    equal(process.stop(), 0, "a right one is taken again; TERM ends it")
    daemon.once_each(ground.ids(), names(0, 200), "each is stored once")


def hups_lose_nothing_under_load(ground):
    ground.configure(source={"follow": True}, batch_records=200)
    ground.write("in/a", facts(0, MANY // 4))
    process = ground.follow()
    for n in range(6):
        ground.append("in/a", facts(MANY // 4 + n * 100, 100))
        ground.configure(source={"follow": True, "window-messages":
                                 1000 + n}, batch_records=200 + n)
        hup(process, "reloaded")
    total = MANY // 4 + 600
    daemon.wait_for(lambda: ground.count() == total, "all are stored")
    equal(process.stop(), 0, "TERM ends it with 0")
    daemon.once_each(ground.ids(), names(0, total), "each once")
    daemon.check_rollups(ground)
    again = ground.once()
    check("read=0 " in again.events("source-state")[0],
          "and all was settled", again.events("source-state"))


def usr1_logs_the_state(ground):
    ground.configure(source={"follow": True})
    ground.write("in/a", facts(0, 10) + ["{"])
    process = ground.follow()
    ground.wait_settled(11)
    process.signal(signal.SIGUSR1)
    line = process.wait_event("sink-state")
    check("instance=ledger" in line and "stored=10" in line,
          "of each sink", line)
    line = process.wait_event("source-state")
    check("instance=in" in line and "read=11 stored=10" in line and
          "refused=1" in line, "of each source", line)
    check(process.runs(), "and goes on")
    equal(process.stop(), 0, "TERM ends it with 0")


def status_tells_what_it_does(ground):
    ground.configure(source={"follow": True})
    said = ground.bursar("status", status=1)
    check("no daemon runs" in said and "bursard -c" in said,
          "without a daemon it says so, and how to start one", said)
    ground.write("in/a", facts(0, 10) + facts(0, 10) + ["{"])
    process = ground.follow()
    ground.wait_settled(21)
    state = json.loads(ground.bursar("status", "--format", "json"))
    source, sink = state["sources"][0], state["sinks"][0]
    equal((source["read"], source["stored"], source["duplicates"],
           source["refused"], source["in_flight_messages"]),
          (21, 10, 10, 1, 0), "as JSON: what became of messages")
    equal((sink["name"], sink["state"], sink["stored"], sink["duplicates"],
           sink["required"]), ("ledger", "open", 10, 10, True),
          "and of records")
    check(state["ready"] is True and state["dead_letter_bytes"] > 0,
          "whether it is ready", state)
    table = ground.bursar("status")
    check(table.startswith("ready") and "ledger" in table and
          "in " in table, "as a table", table)
    mode = os.stat(os.path.join(ground.state_dir, "status")).st_mode & 0o777
    equal(mode, 0o600, "the socket is for its user alone")
    equal(os.stat(ground.state_dir).st_mode & 0o777, 0o700,
          "and so is the state folder")
    process.kill()
    said = ground.bursar("status", status=1)
    check("no daemon runs" in said, "killed, it says so as well", said)


def exit_statuses(ground):
    process = ground.start("--check")
    equal(process.wait(), 0, "--check of a good configuration: 0")
    check(not os.path.exists(ground.ledger) and
          not os.path.exists(ground.state_dir), "it makes nothing")
    ground.write("in/a", ["{", daemon.fact(1), daemon.fact(1),
                          daemon.fact(1, tier="other")])
    equal(ground.start("--once").wait(), 0, "--once: 0, dead letters and "
          "duplicates included")
    ground.configure(sink={"colour": "red"})
    for arguments in (("--once",), (), ("--check",)):
        process = ground.start(*arguments)
        equal(process.wait(), 2, "a wrong configuration %s: 2" %
              " ".join(arguments))
        check("colour" in process.log(), "with the mistake and its line",
              process.log())
    equal(ground.start("--colour").wait(), 2, "a wrong option: 2")
    os.unlink(ground.config)
    process = ground.start("--once")
    equal(process.wait(), 2, "no configuration: 2")
    check("bursar.yaml" in process.log(), "it is named", process.log())
    ground.configure(state_dir="/proc/nowhere")
    equal(ground.start("--once").wait(), 1, "no state folder: 1")


def once_reads_what_there_is_and_ends(ground):
    """Also with a source that follows, and with none to be found."""
    ground.once()
    equal(ground.letters(), [], "no file at all: 0")
    ground.configure(source={"follow": True})
    ground.write("in/a", facts(0, 10))
    with open(ground.path("in/a"), "ab") as file:
        file.write(daemon.line_of(daemon.fact(10))[:-1])
    ground.once()
    daemon.once_each(ground.ids(), names(0, 11),
                     "a last line without its end is taken")
    ground.once()
    equal(ground.count(), 11, "once")


def core_limit(pid):
    with open("/proc/%d/limits" % pid, encoding="ascii") as file:
        return re.search(r"core file size +(\w+)", file.read())[1]


def leaves_no_core_dump(ground):
    """Bodies in clear would outlive their expiry there."""
    before = resource.getrlimit(resource.RLIMIT_CORE)
    if before[1] == 0:
        raise daemon.Skip("core dumps are not allowed here")
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    ground.configure(source={"follow": True},
                     crypto={"own": {"plugin": "none"}})
    process = ground.start()
    command = subprocess.Popen(
        [daemon.BURSAR, "-c", ground.path("bursar.yaml"), "crypto", "open"],
        stdin=subprocess.PIPE, env=daemon.environment())
    resource.setrlimit(resource.RLIMIT_CORE, before)
    for pid, name in ((process.pid, "bursard"), (command.pid, "bursar")):
        daemon.wait_for(lambda pid=pid: core_limit(pid) == "0",
                        "%s: its limit is 0" % name)
        check(True, "%s leaves no core dump" % name)
    command.communicate()
    process.stop()


daemon.main(term_drains,
            term_does_not_wait_for_ever,
            two_daemons_do_not_share_a_state_folder,
            hup_takes_over_the_new_configuration_whole,
            hup_keeps_the_old_configuration_where_the_new_one_is_wrong,
            hups_lose_nothing_under_load,
            usr1_logs_the_state,
            status_tells_what_it_does,
            exit_statuses,
            leaves_no_core_dump,
            once_reads_what_there_is_and_ends)
