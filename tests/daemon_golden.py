#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The golden messages through the whole daemon: every row right, in each form
in which a message may come and under each cipher that may seal it."""
import glob
import json
import os
import subprocess
import sys

sys.dont_write_bytecode = True
import daemon  # noqa: E402
import golden as rows  # noqa: E402
from daemon import check, equal  # noqa: E402

GOLDEN = os.path.join(daemon.HERE, "golden.py")


def golden(*arguments, status=0):
    done = subprocess.run([sys.executable, GOLDEN] + list(arguments),
                          stdout=subprocess.PIPE, check=False)
    if status is not None and done.returncode != status:
        raise daemon.Failure("golden.py %s: %d: %s" % (
            " ".join(arguments), done.returncode, done.stdout[-2000:]))
    return done


def configure(ground):
    daemon.need("crypto_cluster")
    ground.write_text("secret", golden("secret").stdout.decode())
    os.chmod(ground.path("secret"), 0o600)
    ground.configure(
        source={"crypto": "legion"},
        crypto={"legion": {"plugin": "cluster",
                           "secret-file": ground.path("secret"),
                           "allow-legacy-cbc": True}})


def letter_files(ground):
    return sorted(glob.glob(os.path.join(ground.state_dir, "dead-letters",
                                         "*.jsonl")))


def contents(ground):
    """All that stands in the ledger."""
    return [tuple(row) for table in
            ("metering_records", "prompt_records", "tool_records",
             "rollup_cells", "record_keys")
            for row in ground.rows("SELECT * FROM %s ORDER BY 1, 2, 3, 4, 5"
                                   % table if table == "rollup_cells" else
                                   "SELECT * FROM %s ORDER BY 1" % table)]


def entries():
    with open(rows.GOLDEN, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def check_legacy_flags(ground):
    legacy = {row[0] for kind in ("metering", "prompt", "tool")
              for row in ground.rows("SELECT message_id FROM %s_records "
                                     "WHERE dq_flags & 32768" % kind)}
    equal(sorted(legacy), sorted(
        entry["properties"]["message_id"] for entry in entries()
        if entry["encryption"] == "cbc"), "all that was under CBC is flagged")


def envelopes_become_the_golden_rows(ground):
    configure(ground)
    with open(ground.path("in/golden.jsonl"), "wb") as file:
        file.write(golden("lines").stdout)
    ground.once(env=daemon.clock())
    done = golden("check", ground.ledger, "--dead-letters",
                  *letter_files(ground), status=None)
    check(done.returncode == 0, "every row is right, every id-conflict a "
          "dead letter: %s" % done.stdout.decode().splitlines()[-1],
          done.stdout.decode())
    equal(sorted({letter["reason"] for letter in ground.letters()}),
          ["id-conflict"], "there are no other dead letters")
    equal(len(ground.letters()), 6, "and six of these")
    daemon.check_rollups(ground)
    daemon.check_sound(ground)
    check_legacy_flags(ground)

    before = contents(ground)
    letters = {letter["id"] for letter in ground.letters()}
    ground.forget_offsets()
    again = ground.once(env=daemon.clock())
    check("duplicates=394" in again.events("source-state")[-1],
          "sent again, 394 are duplicates", again.events("source-state"))
    equal(contents(ground), before, "and nothing changes")
    equal({letter["id"] for letter in ground.letters()}, letters,
          "nor are there new dead letters")


def plain_lines_become_the_golden_rows(ground):
    """Bodies alone: kind by source; ids, headers are said nowhere."""
    for kind in ("metering", "prompt", "tool"):
        os.mkdir(ground.path(kind))
        with open(ground.path("%s/golden.jsonl" % kind), "wb") as file:
            file.write(golden("lines", "--form", "bare", "--kind",
                              kind).stdout)
    ground.configure(sources={
        kind: {"plugin": "file", "path": ground.path(kind + "/*"),
               "kind": kind} for kind in ("metering", "prompt", "tool")})
    ground.once(env=daemon.clock())
    want = {"metering": 208, "prompt": 26, "tool": 21}
    got = {kind: ground.count(kind) for kind in want}
    equal(got, want, "each line is a record")
    equal(ground.letters(), [], "and none a dead letter")
    compare_bare(ground)
    daemon.check_rollups(ground)
    daemon.check_sound(ground)


def compare_bare(ground):
    """All columns but those that properties and headers fill."""
    wrong = []
    for kind in ("metering", "prompt", "tool"):
        mine = [e for e in entries()
                if e["kind"] == kind and e["encryption"] == "none"]
        stored = ground.rows("SELECT * FROM %s_records ORDER BY id & "
                             "((1 << 40) - 1)" % kind)
        by_offset = {}
        for row in stored:
            by_offset[int(row["message_id"].rsplit(":", 1)[1])
                      if ":" in row["message_id"] else
                      row["message_id"]] = row
        offset = 0
        with open(ground.path("%s/golden.jsonl" % kind), "rb") as file:
            lines = file.readlines()
        for entry, line in zip(mine, lines):
            row = by_offset.get(offset)
            if row is None:
                row = by_offset.get(json.loads(line).get("message_id"))
            offset += len(line)
            if entry["result"] != "ok":
                continue
            if row is None:
                wrong.append((kind, offset, "not there"))
                continue
            for column in ("request_id", "conversation_id", "provider",
                           "model_id", "input_tokens", "output_tokens",
                           "cost_usd", "recorded_at", "request_json",
                           "response_json", "arguments_json", "result_json",
                           "tool_name", "tool_duration_ms", "status"):
                if column not in entry["expected_row"]:
                    continue
                bad = rows.difference(entry, row, column,
                                      entry["expected_row"][column])
                if bad is not None:
                    wrong.append((kind, offset, column, bad))
    check(not wrong, "what the bodies say is in the rows", wrong[:5])


daemon.main(envelopes_become_the_golden_rows,
            plain_lines_become_the_golden_rows)
