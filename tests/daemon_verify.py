#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`bursar verify` finds nothing in a sound ledger, and each thing that was
changed behind the daemon's back."""
import sys

sys.dont_write_bytecode = True
import daemon  # noqa: E402
from daemon import check, equal  # noqa: E402

FACTS = daemon.scaled(500, 100)
NO = 3		# a check that says no

# What somebody does to the ledger, and a word of the place that is named.
CHANGES = (
    ("a deleted fact",
     "DELETE FROM metering_records WHERE message_id = 'fact-00000050'",
     "request_count"),
    ("an added fact",
     "INSERT INTO metering_records (id, message_id, recorded_us, inserted_us, "
     "source, dq_flags, provider, model_id, input_tokens, cost_nano) "
     "SELECT (SELECT max(id) + 1 FROM metering_records), 'forged', "
     "recorded_us, inserted_us, source, dq_flags, provider, model_id, "
     "input_tokens, cost_nano FROM metering_records LIMIT 1", "forged"),
    ("a changed number of tokens",
     "UPDATE metering_records SET input_tokens = input_tokens + 1 WHERE "
     "message_id = 'fact-00000050'", "input_tokens"),
    ("a changed cost",
     "UPDATE metering_records SET cost_nano = cost_nano - 1 WHERE "
     "message_id = 'fact-00000050'", "cost"),
    ("a changed worker",
     "UPDATE metering_records SET worker_id = 'somebody' WHERE message_id = "
     "'fact-00000050'", "worker"),
    ("a changed body",
     "UPDATE prompt_records SET request_json = '{\"text\":\"else\"}' WHERE "
     "message_id = 'prompt-00000005'", "prompt-00000005"),
    ("an erased body",
     "UPDATE prompt_records SET response_json = NULL WHERE message_id = "
     "'prompt-00000005'", "prompt-00000005"),
    ("a changed result of a tool",
     "UPDATE tool_records SET result_json = '17' WHERE message_id = "
     "'tool-00000005'", "tool-00000005"),
    ("a changed cell",
     "UPDATE rollup_cells SET output_tokens = output_tokens + 1 WHERE "
     "dimension = 'node' AND value = 'node-0' AND cell = (SELECT min(cell) "
     "FROM rollup_cells WHERE dimension = 'node' AND value = 'node-0')",
     "output_tokens"),
    ("a deleted cell",
     "DELETE FROM rollup_cells WHERE dimension = 'all' AND cell = (SELECT "
     "min(cell) FROM rollup_cells)", "all"),
    ("an added cell",
     "INSERT INTO rollup_cells (dimension, value, cell, provider, model_id, "
     "request_count) VALUES ('team', 'nobody', 2000000, 'x', 'y', 1)",
     "nobody"),
)


def fill(ground):
    if "verify" not in ground.bursar("--help"):
        raise daemon.Skip("bursar has no verify")
    ground.write("in/a", [daemon.fact(n) for n in range(FACTS)] +
                 [daemon.prompt(n) for n in range(FACTS // 10)] +
                 [daemon.tool(n) for n in range(FACTS // 10)])
    ground.once()


def a_sound_ledger_is_found_sound(ground):
    fill(ground)
    ground.bursar("verify")
    check(True, "exit status 0")
    process = ground.follow()
    ground.bursar("verify")
    check(True, "also while the daemon runs")
    equal(process.stop(), 0, "TERM ends it with 0")


def each_change_is_found(ground):
    fill(ground)
    with open(ground.ledger, "rb") as file:
        sound = file.read()
    for what, sql, word in CHANGES:
        with open(ground.ledger, "wb") as file:
            file.write(sound)
        ground.run_sql(sql + ";")
        said = ground.bursar("verify", status=None)
        check(word in said, "%s is found and named" % what, said[-600:])
        try:
            ground.bursar("verify", status=NO)
        except daemon.Failure as why:
            check(False, "%s: exit status %d" % (what, NO), str(why)[:300])


daemon.main(a_sound_ledger_is_found_sound,
            each_change_is_found)
