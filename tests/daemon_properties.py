#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Order, batch size, files and repetition change nothing: the same records
become the same rows and the same sums, however they come."""
import random
import sys

sys.dont_write_bytecode = True
import daemon  # noqa: E402
from daemon import check, equal  # noqa: E402

RECORDS = daemon.scaled(1000, 100)
OUR_OWN = {"id", "inserted_us", "inserted_at", "row_hash"}	# they tell of the storing


def messages():
    """Facts, prompts and tools; each has an id, some come with oddities."""
    found = []
    for n in range(RECORDS):
        more = {}
        if n % 17 == 0:
            more = {"unknown": {"n": n}, "input_tokens": -n}
        if n % 23 == 0:
            more = {"cost_usd": "1.%09d" % n, "recorded_at": "long ago"}
        found.append(daemon.fact(n, **more))
    for n in range(RECORDS // 10):
        found.append(daemon.prompt(n))
        found.append(daemon.tool(n))
    # Without a readable time the time of ingest counts: not comparable.
    return [one for one in found
            if one["body"].get("recorded_at") != "long ago"]


def contents(ground):
    """All rows but for what tells of the storing itself."""
    tables = {}
    for table in ("metering_records", "prompt_records", "tool_records",
                  "rollup_cells"):
        columns = [row[1] for row in ground.rows(
            "SELECT * FROM pragma_table_info('%s')" % table)
            if row[1] not in OUR_OWN]
        tables[table] = sorted(
            map(repr, (tuple(row) for row in ground.rows(
                "SELECT %s FROM %s" % (", ".join(columns), table)))))
    tables["keys"] = sorted(tuple(row) for row in ground.rows(
        "SELECT key, content_check FROM record_keys"))
    return tables


def into_files(ground, lines, files, turn=""):
    """In pieces of about the same size, under names in any order."""
    for i in range(files):
        ground.write("in/%s%d.jsonl" % (turn, i), lines[i::files])


def check_same(got, want, what):
    differ = [table for table in want if got[table] != want[table]]
    check(not differ, what, *(
        (table, sorted(set(got[table]) ^ set(want[table]))[:2])
        for table in differ))


def stored(name, lines, files, **configuration):
    """What a ledger of its own holds after lines came in files."""
    ground = daemon.Ground(name)
    try:
        ground.configure(**configuration)
        into_files(ground, lines, files)
        ground.once()
        equal(ground.letters(), [], "%s: no dead letters" % name)
        daemon.check_rollups(ground)
        return contents(ground)
    except Exception:
        ground.tell()
        raise
    finally:
        ground.leave()


def order_batches_and_repetition_change_nothing(ground):
    del ground
    rng = random.Random(daemon.SEED)
    lines = messages()
    few = lines[::6]	# for where each is a commit
    all_at_once = stored("in order", lines, 1)
    equal(len(all_at_once["metering_records"]),
          len([one for one in lines if one["kind"] == "metering"]),
          "every fact is a row")
    for name, some, want, batch, files, times in (
            ("one by one", few, stored("in order, few", few, 1), 1, 3, 1),
            ("by seven, twice", lines, all_at_once, 7, 5, 2),
            ("many files, three times", lines, all_at_once, 20000, 40, 3)):
        mixed = some * times
        rng.shuffle(mixed)
        check_same(stored(name, mixed, files, batch_records=batch,
                          source={"window-messages": max(batch // 2, 1)}),
                   want, name + ": the same tables")


def what_is_read_again_changes_nothing(ground):
    """The same files from their beginnings, lines without ids too."""
    lines = [daemon.fact_without_id(n) for n in range(RECORDS // 2)]
    lines += [daemon.fact(n) for n in range(RECORDS // 2)]
    random.Random(daemon.SEED).shuffle(lines)
    into_files(ground, lines, 4)
    ground.once()
    want = contents(ground)
    equal(len(want["metering_records"]), len(lines), "every line is a row")
    ground.configure(batch_records=100)
    ground.forget_offsets()
    again = ground.once()
    check("duplicates=%d " % len(lines) in again.events("source-state")[-1],
          "read again, all are duplicates", again.events("source-state"))
    check_same(contents(ground), want, "and nothing changes")
    last = ground.once()
    check("read=0 " in last.events("source-state")[-1],
          "a third run reads nothing", last.events("source-state"))


def equal_lines_without_ids_are_separate_calls(ground):
    ground.write("in/a", [daemon.fact_without_id(1)] * 3)
    ground.write("in/b", [daemon.fact_without_id(1)] * 2)
    ground.once()
    equal(ground.count(), 5, "five equal lines are five records")
    ground.write("in/c", [daemon.fact(1)] * 3)
    ground.once()
    equal(ground.count(), 6, "three equal lines with an id are one more")
    daemon.check_rollups(ground)


def white_space_is_no_other_content(ground):
    body = {"message_id": "m", "input_tokens": 5}
    ground.configure(source={"kind": "metering"})
    ground.write("in/a", ['{"message_id":"m","input_tokens":5}',
                          '{ "message_id" : "m",\t"input_tokens": 5 }',
                          body])
    ground.write("in/b", ['{"message_id":"m","input_tokens":50}',
                          '{"message_id":"m","input_tokens":5,"a b":1}',
                          '{"message_id":"m","input_tokens":5,"ab":1}'])
    ground.once()
    equal([tuple(row) for row in ground.rows(
        "SELECT message_id, input_tokens FROM metering_records")],
        [("m", 5)], "the first is stored")
    equal([letter["reason"] for letter in ground.letters()],
          ["id-conflict"] * 3, "other content under its id is not")
    daemon.check_rollups(ground)


daemon.main(order_batches_and_repetition_change_nothing,
            what_is_read_again_changes_nothing,
            equal_lines_without_ids_are_separate_calls,
            white_space_is_no_other_content)
