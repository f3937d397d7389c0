#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Files that grow, rotate, are cut and are packed, read by the daemon."""
import gzip
import os
import shutil
import subprocess
import sys
import time

sys.dont_write_bytecode = True
import daemon  # noqa: E402
from daemon import check, equal  # noqa: E402

MANY = daemon.scaled(2000, 200)


def facts(first, count):
    return [daemon.fact(n) for n in range(first, first + count)]


def names(first, count):
    return ["fact-%08d" % n for n in range(first, first + count)]


def marks(first, count):
    return [daemon.fact_without_id(n) for n in range(first, first + count)]


def marked(ground):
    return sorted(row[0] for row in ground.rows(
        "SELECT idempotency_key FROM metering_records "
        "WHERE idempotency_key IS NOT NULL"))


def mark_names(first, count):
    return ["none-%08d" % n for n in range(first, first + count)]


def wait_count(ground, count):
    daemon.wait_for(lambda: ground.count() >= count,
                    "%d records are stored" % count)


def files_that_grow_are_followed(ground):
    ground.configure(source={"follow": True, "path": ground.path("in/*.log")})
    process = ground.follow()
    ground.write("in/a.log", facts(0, 10))
    wait_count(ground, 10)
    check(True, "a file that appears is read")
    line = daemon.line_of(daemon.fact(10))
    with open(ground.path("in/a.log"), "ab", buffering=0) as file:
        file.write(line[:40])
        time.sleep(0.3)
        equal((ground.count(), ground.letters()), (10, []),
              "a line without its end waits")
        file.write(line[40:])
        wait_count(ground, 11)
    ground.write("in/b.txt", facts(100, 5))
    ground.append("in/a.log", facts(11, 9))
    wait_count(ground, 20)
    equal(ground.ids(), names(0, 20), "other names are left alone")
    ground.write("in/blank.log", ["", "   ", "\t"] + facts(20, 1) + [""])
    wait_count(ground, 21)
    equal(ground.letters(), [], "blank lines are no messages")
    equal(process.stop(), 0, "TERM ends it with 0")


def rotation_by_renaming_loses_and_doubles_nothing(ground):
    ground.configure(source={"follow": True,
                             "path": ground.path("in/app.log*")})
    process = ground.follow()
    total = 0
    for turn in range(6):
        ground.append("in/app.log", facts(total, MANY // 10) +
                      marks(total, MANY // 10))
        total += MANY // 10
        if turn % 2:
            wait_count(ground, 2 * total)
        # What is written after the rename still belongs to the old name.
        with open(ground.path("in/app.log"), "ab") as old:
            os.rename(ground.path("in/app.log"),
                      ground.path("in/app.log.%d" % turn))
            for message in facts(total, 3) + marks(total, 3):
                old.write(daemon.line_of(message))
        total += 3
        if turn == 3:
            process.stop()
            process = ground.follow()
    wait_count(ground, 2 * total)
    time.sleep(0.3)
    equal(process.stop(), 0, "TERM ends it with 0")
    daemon.once_each([one for one in ground.ids() if one[0] == "f"],
                     names(0, total), "records with ids, each once")
    daemon.once_each(marked(ground), mark_names(0, total),
                     "records without ids, each once")
    daemon.check_rollups(ground)
    again = ground.once()
    check("read=0 " in again.events("source-state")[0],
          "read once more there is nothing to read",
          again.events("source-state"))


def rotation_to_a_name_that_is_not_read(ground):
    """What was written before is read to its end all the same."""
    ground.configure(source={"follow": True,
                             "path": ground.path("in/app.log")})
    process = ground.follow()
    ground.write("in/app.log", facts(0, 50))
    wait_count(ground, 50)
    with open(ground.path("in/app.log"), "ab") as old:
        os.rename(ground.path("in/app.log"), ground.path("in/app.log.1"))
        ground.write("in/app.log", facts(100, 50))
        for message in facts(50, 50):
            old.write(daemon.line_of(message))
    wait_count(ground, 150)
    equal(ground.ids(), names(0, 150), "the old file to its end, and the new")
    os.unlink(ground.path("in/app.log.1"))
    equal(process.stop(), 0, "TERM ends it with 0")


def truncation_begins_anew(ground):
    """copytruncate: new lines at old places are new messages."""
    ground.configure(source={"follow": True})
    process = ground.follow()
    ground.write("in/a", marks(0, 100))
    wait_count(ground, 100)
    ground.wait_settled(100)
    with open(ground.path("in/a"), "r+b") as file:
        file.truncate(0)
        for message in marks(100, 40):
            file.write(daemon.line_of(message))
    wait_count(ground, 140)
    check(process.events("file-truncated"), "the log tells of it")
    equal(process.stop(), 0, "TERM ends it with 0")
    with open(ground.path("in/a"), "r+b") as file:
        file.truncate(0)
        for message in marks(140, 200):
            file.write(daemon.line_of(message))
    process = ground.follow()
    wait_count(ground, 340)
    equal(process.stop(), 0, "also while no daemon runs, and though it is "
          "longer")
    daemon.once_each(marked(ground), mark_names(0, 340), "each once")
    daemon.check_rollups(ground)


def truncation_is_seen_though_the_first_line_is_the_same(ground):
    """A header, say: what follows it is new all the same."""
    ground.configure(source={"follow": True})
    process = ground.follow()
    ground.write("in/a", marks(0, 100))
    ground.wait_settled(100)
    ground.write("in/a", marks(0, 1) + marks(100, 40))
    ground.wait_settled(141)
    equal(process.stop(), 0, "TERM ends it with 0")
    daemon.once_each(marked(ground), mark_names(0, 1) + mark_names(0, 140),
                     "lines at old places are new messages")
    equal(ground.letters(), [], "and no conflicts")


def packed_files_are_read_once(ground):
    with gzip.open(ground.path("in/a.gz"), "wb") as file:
        for message in facts(0, MANY) + marks(0, MANY):
            file.write(daemon.line_of(message))
    with open(ground.path("in/b"), "wb") as file:	# two members, no name
        for first in (MANY, MANY + 10):
            file.write(gzip.compress(b"".join(map(
                daemon.line_of, facts(first, 10)))))
    total = MANY + 20
    if shutil.which("zstd"):
        ground.write("plain", facts(total, 30))
        subprocess.run(["zstd", "-q", ground.path("plain"), "-o",
                        ground.path("in/c.zst")], check=True)
        total += 30
    else:
        print("       zstd is not installed: gzip only")
    ground.configure(batch_records=300)
    ground.once()
    daemon.once_each([one for one in ground.ids() if one[0] == "f"],
                     names(0, total), "gzip, several members, zstd: each once")
    daemon.once_each(marked(ground), mark_names(0, MANY),
                     "lines without ids too")
    again = ground.once()
    check("read=0 " in again.events("source-state")[0], "read only once",
          again.events("source-state"))


def packed_files_survive_kills(ground):
    """A kill in the middle goes on where it was."""
    with gzip.open(ground.path("in/a.gz"), "wb") as file:
        for message in marks(0, 3 * MANY):
            file.write(daemon.line_of(message))
    ground.configure(batch_records=200, linger="1ms",
                     source={"window-messages": 400})
    for _ in range(3):
        before = ground.count()
        process = ground.start("--once")
        daemon.wait_for(lambda: ground.count() > before or
                        not process.runs(), "it stores something")
        process.kill()
    ground.once()
    daemon.once_each(marked(ground), mark_names(0, 3 * MANY), "each once")


def a_damaged_packed_file_gives_what_it_has(ground):
    data = gzip.compress(b"".join(map(daemon.line_of, facts(0, MANY))))
    with open(ground.path("in/cut.gz"), "wb") as file:
        file.write(data[:len(data) // 2])
    bad = bytearray(gzip.compress(b"".join(map(daemon.line_of,
                                               facts(MANY, 50)))))
    bad[-6] ^= 0xff
    with open(ground.path("in/sum.gz"), "wb") as file:
        file.write(bad)
    ground.write("in/z", facts(2 * MANY, 10))
    process = ground.once(status=1)
    have = set(ground.ids())
    check(0 < len(have & set(names(0, MANY))) < MANY,
          "half a file: the lines that stand in it")
    check(set(names(2 * MANY, 10)) <= have, "files behind it are read")
    check("cut.gz" in process.log() and "sum.gz" in process.log(),
          "the log names both")
    check("2 files could not be read" in process.events("stopped")[-1],
          "and how many there are in the end", process.events("stopped"))
    with open(ground.path("in/cut.gz"), "wb") as file:
        file.write(data)
    ground.once(status=1)
    check(set(names(0, MANY)) <= set(ground.ids()),
          "when the rest is there, it is read")
    os.unlink(ground.path("in/sum.gz"))
    ground.once()
    daemon.check_rollups(ground)


def a_file_that_cannot_be_read_holds_no_other_up(ground):
    os.mkdir(ground.path("in/folder.log"))
    os.mkfifo(ground.path("in/pipe.log"))
    os.symlink("/nowhere/at/all", ground.path("in/link.log"))
    ground.write("in/a.log", facts(0, 10))
    ground.write("in/z.log", facts(10, 10))
    process = ground.once()
    equal(ground.ids(), names(0, 20), "the others are read")
    check(process.events("file-unreadable"), "the log tells of it")


def many_files_are_read(ground):
    """More than may be open at a time."""
    count = daemon.scaled(600, 300)
    for n in range(count):
        ground.write("in/%05d" % n, marks(2 * n, 2))
    ground.once()
    daemon.once_each(marked(ground), mark_names(0, 2 * count),
                     "%d files: each line once" % count)


daemon.main(files_that_grow_are_followed,
            rotation_by_renaming_loses_and_doubles_nothing,
            rotation_to_a_name_that_is_not_read,
            truncation_begins_anew,
            truncation_is_seen_though_the_first_line_is_the_same,
            packed_files_are_read_once,
            packed_files_survive_kills,
            a_damaged_packed_file_gives_what_it_has,
            a_file_that_cannot_be_read_holds_no_other_up,
            many_files_are_read)
