#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Files in which providers answer batches, as docs/producers.md shows them."""
import json
import os
import shutil
import sys

sys.dont_write_bytecode = True
import daemon  # noqa: E402
from daemon import check, equal  # noqa: E402
from daemon_http import blocks  # noqa: E402

BOOK = {"schema": 1, "version": "batches", "providers": {
    "openai": {"models": {"gpt-4o-mini": {
        "input": 2, "output": 8,
        "modes": {"batch": {"input": 1, "output": 4}}}}},
    "anthropic": {"models": {"claude-sonnet-4-5": {
        "input": 3, "output": 15,
        "modes": {"batch": {"input": 1.5, "output": 7.5}}}}}}}


def configure(ground):
    """The sources that are shown, at rest when all is read."""
    shown = [one for one in blocks("yaml") if "batches/" in one][0]
    ground.write_text("prices.json", json.dumps(BOOK))
    ground.write_text("bursar.yaml", shown + "prices: {book: prices.json}\n"
                      "sinks: {ledger: {plugin: sqlite, path: ledger.db}}\n"
                      "state-dir: state\n")
    os.mkdir(ground.path("batches"))
    ground.bursar("check")


def stored(ground):
    return [tuple(row) for row in ground.rows(
        "SELECT correlation_id, message_id, provider, pricing_mode, status, "
        "error_type, input_tokens, cost_nano FROM metering_records "
        "ORDER BY 1, 2")]


def answers_of_batches_are_read_as_shown(ground):
    configure(ground)
    ground.write_text("batches/first.jsonl", blocks("jsonl")[0])
    ground.once()
    want = [
        ("mine-1", "batch_req_1", "openai", "batch", "success", None, 1000,
         1400000),
        ("mine-2", "batch_req_2", "openai", "batch", "error",
         "batch_expired", None, None),
        ("mine-3", "msg_1", "anthropic", "batch", "success", None, 1000,
         2250000)]
    got = stored(ground)
    equal(got[:3], want, "billed as batches")
    equal((got[3][0], got[3][2:]), ("mine-4", (
        "anthropic", "batch", "error", "expired", None, None)),
          "one that expired")
    equal(ground.letters(), [], "no dead letter")


def a_file_that_is_read_twice_counts_once(ground):
    configure(ground)
    ground.write_text("batches/first.jsonl", blocks("jsonl")[0])
    ground.once()
    shutil.copyfile(ground.path("batches/first.jsonl"),
                    ground.path("batches/again.jsonl"))
    ground.once()
    equal([row[0] for row in stored(ground)],
          ["mine-1", "mine-2", "mine-3", "mine-4", "mine-4"],
          "but for the failure that has no id")
    equal(ground.value("SELECT sum(cost_nano) FROM metering_records"), 3650000,
          "nothing is billed twice")
    ground.bursar("verify")


def one_bad_line_is_a_dead_letter_and_no_more(ground):
    configure(ground)
    good = blocks("jsonl")[0].splitlines()
    ground.write("batches/first.jsonl", [
        '{"custom_id":"a","params":{"model":"m"}}',
        good[0][:60], good[2]])
    ground.once()
    equal([row[0] for row in stored(ground)], ["mine-3"], "the good line")
    letters = ground.letters()
    equal(len(letters), 2, "the others")
    check(any("what a batch was asked" in json.dumps(one) for one in letters),
          "which says why", letters)


daemon.main(answers_of_batches_are_read_as_shown,
            a_file_that_is_read_twice_counts_once,
            one_bad_line_is_a_dead_letter_and_no_more)
