#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""golden.py - the golden messages, to be sent and to be found again

    golden.py lines [--form envelope|bare] [--kind KIND] [--encryption E]
        writes the messages as JSON lines for a file source. `envelope` (the
        default) wraps each with its properties and headers; `bare` writes the
        bodies alone, of those that are not encrypted
    golden.py secret
        prints the cluster secret that the encrypted ones are sealed with
    golden.py check LEDGER [--kind KIND] [--encryption E] [--dead-letters FILE...]
        compares a SQLite ledger that took them (and nothing else) with the
        rows they must become; prints each difference, exit status 1 for any.
        With dead letters, each message that carries a known id and other
        content must be among them as `id-conflict`

KIND is metering, prompt or tool; E is none, gcm or cbc. Both may be given
several times. Most records expire within 90 days of November 2026: run the
daemon with the clock set to that month.
"""
import argparse
import base64
import datetime
import json
import os
import sqlite3
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDEN = os.path.join(HERE, "fixtures", "ledger-golden.jsonl")
SECRET = "a3" * 32
UTC = datetime.timezone.utc
DQ_EXPIRED = 1 << 13
DAY = datetime.timedelta(days=1)
SECOND = datetime.timedelta(seconds=1)
MOST_SHOWN = 50

# Where a body says what the ledger before us stored as 0 when nothing was said.
SAID_AT = {
    "metering": {name: name for name in (
        "input_tokens", "output_tokens", "thinking_tokens", "total_tokens",
        "latency_ms", "wall_clock_ms", "cost_usd")},
    "prompt": {"input_tokens": "tokens.input",
               "output_tokens": "tokens.output",
               "total_tokens": "tokens.total",
               "cost_usd": "cost.estimated_usd"},
    "tool": {"tool_duration_ms": "tool_call.duration_ms"},
}


def golden(arguments):
    """The lines that were asked for."""
    with open(arguments.golden, encoding="utf-8") as file:
        for line in file:
            entry = json.loads(line)
            if arguments.kind and entry["kind"] not in arguments.kind:
                continue
            if (arguments.encryption and
                    entry["encryption"] not in arguments.encryption):
                continue
            yield entry


# --- lines ---------------------------------------------------------------------

def write_lines(arguments):
    for entry in golden(arguments):
        body = base64.b64decode(entry["body_base64"])
        if arguments.form == "envelope":
            wrapped = {name: entry[name] for name in (
                "kind", "routing_key", "properties", "headers",
                "body_base64")}
            print(json.dumps(wrapped, separators=(",", ":")))
        elif entry["encryption"] == "none":
            sys.stdout.flush()
            sys.stdout.buffer.write(body + b"\n")
    return 0


# --- check ---------------------------------------------------------------------

def instant(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def from_us(us):
    return (datetime.datetime(1970, 1, 1, tzinfo=UTC) +
            datetime.timedelta(microseconds=us))


def stored(row, column):
    """A column by the name of its field: times as instants, money in dollars."""
    for ending, other, read in (("_at", "_us", from_us),
                                ("_usd", "_nano", lambda nano: nano / 1e9)):
        if column.endswith(ending):
            name = column[:-len(ending)] + other
            if name in row.keys():
                return None if row[name] is None else read(row[name])
    return row[column]


def said(entry, column):
    """Whether the body says it; None where the body cannot be read here."""
    path = SAID_AT[entry["kind"]].get(column)
    if entry["encryption"] != "none" or path is None:
        return None
    value = json.loads(base64.b64decode(entry["body_base64"]))
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value is not None


def difference(entry, row, column, want):
    """What is wrong with a column, or None."""
    got = stored(row, column)
    if column in SAID_AT[entry["kind"]] and want == 0:
        told = said(entry, column)
        if told is False and got is not None:
            return "%r where nothing was said" % (got,)
        if told is not True and got is None:
            return None
    if want is None or got is None:
        same = want is got
    elif column.endswith("_json"):
        same = json.loads(got) == json.loads(want)
    elif column.endswith("_at"):
        same = got == instant(want)
    elif column == "cost_usd":
        same = abs(got - want) < 1e-9
    elif isinstance(want, bool):
        same = got == int(want)
    else:
        same = type(got) is type(want) and got == want
    return None if same else "%r, not %r" % (got, want)


def wrong_expiry(entry, row):
    """From the record's own time, and never later than from ingest."""
    got = stored(row, "expires_at")
    days = entry["expected_ttl_days"]
    if days is None:
        return None if got is None else "%s, not never" % got
    base = min(stored(row, "recorded_at"), stored(row, "inserted_at"))
    if got is not None and abs(got - (base + days * DAY)) < SECOND:
        return None
    return "%s, not %s + %d days" % (got, base, days)


def differences(entry, row):
    if row is None:
        yield "row", "not there"
        return
    if (row["dq_flags"] or 0) & DQ_EXPIRED:
        yield "dq_flags", "expired on arrival: set the clock to 2026-11"
        return
    for column, want in entry["expected_row"].items():
        wrong = difference(entry, row, column, want)
        if wrong is not None:
            yield column, wrong
    if entry["kind"] != "metering":
        wrong = wrong_expiry(entry, row)
        if wrong is not None:
            yield "expires_at", wrong


def rows_of(database, kind):
    rows = {}
    for row in database.execute("SELECT * FROM %s_records" % kind):
        rows.setdefault(row["message_id"], []).append(row)
    return rows


def id_of(letter):
    """The id of a dead letter: its own, or that of the envelope it keeps."""
    own = letter.get("properties", {}).get("message_id")
    if own is not None:
        return own
    try:
        kept = json.loads(base64.b64decode(letter["body_base64"]))
        return kept["properties"]["message_id"]
    except (KeyError, TypeError, ValueError):
        return None


def missing_conflicts(entries, paths):
    found = set()
    for path in paths:
        with open(path, encoding="utf-8") as file:
            letters = [json.loads(line) for line in file]
        found |= {id_of(letter) for letter in letters
                  if letter["reason"] == "id-conflict"}
    for entry in entries:
        name = entry["properties"]["message_id"]
        if name not in found:
            yield "%s %s: dead letter id-conflict: not there" % (
                entry["kind"], name)


def check_kind(database, kind, entries):
    rows = rows_of(database, kind)
    stored_count = sum(len(found) for found in rows.values())
    expected = [entry for entry in entries if entry["result"] == "ok"]
    if stored_count != len(expected):
        yield "%s: %d rows, not %d" % (kind, stored_count, len(expected))
    for entry in expected:
        name = entry["properties"]["message_id"]
        found = rows.get(name, [None])
        for column, wrong in differences(entry, found[0]):
            yield "%s %s: %s: %s" % (kind, name, column, wrong)


def check(arguments):
    database = sqlite3.connect("file:%s?mode=ro" % arguments.ledger, uri=True)
    database.row_factory = sqlite3.Row
    entries = list(golden(arguments))
    wrong = []
    for kind in sorted({entry["kind"] for entry in entries}):
        wrong += check_kind(database, kind,
                            [e for e in entries if e["kind"] == kind])
    if arguments.dead_letters is not None:
        wrong += missing_conflicts(
            [e for e in entries if e["result"] == "duplicate"],
            arguments.dead_letters)
    for line in wrong[:MOST_SHOWN]:
        print(line)
    if len(wrong) > MOST_SHOWN:
        print("and %d more" % (len(wrong) - MOST_SHOWN))
    print("%d messages, %d differences" % (len(entries), len(wrong)))
    return 1 if wrong or not entries else 0


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--golden", default=GOLDEN, metavar="FILE")
    modes = parser.add_subparsers(dest="mode", required=True)
    lines = modes.add_parser("lines")
    lines.add_argument("--form", choices=("envelope", "bare"),
                       default="envelope")
    checking = modes.add_parser("check")
    checking.add_argument("ledger")
    checking.add_argument("--dead-letters", nargs="*", metavar="FILE")
    for mode in (lines, checking):
        mode.add_argument("--kind", action="append",
                          choices=("metering", "prompt", "tool"))
        mode.add_argument("--encryption", action="append",
                          choices=("none", "gcm", "cbc"))
    modes.add_parser("secret")
    return parser.parse_args()


def main():
    arguments = parse()
    if arguments.mode == "secret":
        print(SECRET)
        return 0
    return write_lines(arguments) if arguments.mode == "lines" else \
        check(arguments)


if __name__ == "__main__":
    sys.exit(main())
