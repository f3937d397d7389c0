#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""JSON that the standard forbids is never stored, wherever it hides; what the
standard allows is never lost, and bodies are stored as they were written."""
import base64
import json
import random
import sys

sys.dont_write_bytecode = True
import daemon  # noqa: E402
from daemon import check, equal  # noqa: E402

RANDOM = daemon.scaled(400, 50)

FORBIDDEN = [b"01", b"-", b"+1", b".5", b"1.", b"1e", b"1e+", b"0x1", b"1_0",
             b"NaN", b"Infinity", b"-Infinity", b"nan", b"True", b"nul",
             b"undefined", b"'a'", b'"a', b'"\\x41"', b'"\\u12"',
             b'"\\u{41}"', b'"\\\'"', b'"\x01"', b'"\x1f"', b'"\x00"',
             b'"\t"', b'"\xff"', b'"\xc0\x80"', b'"\xed\xa0\x80"',
             b'"\xf4\x90\x80\x80"', b'"\xe2\x82"', b"[1,]", b"[,1]", b"[1 2]",
             b"[1", b"]", b'{"a"}', b'{"a":}', b'{"a":1,}', b"{,}", b"{1:2}",
             b'{"a":1 "b":2}', b"{'a':1}", b"/**/1", b"1//", b"#1",
             b"\xef\xbb\xbf1", b"\x0c1", b"\xa01", b"", b"1 1", b"tru e"]

ALLOWED = [b'"\\u0000"', b'"\\ud800"', b'"\\udc00x"', b'"\\ud800\\ud800"',
           b'"\\uD83D\\uDE00"', b'"\\/\\b\\f\\n\\r\\t\\"\\\\"',
           b"123456789012345678901234567890", b"1e400", b"-1e400", b"1e-400",
           b"-0", b"-0.0", b"0e0", b"1E+2", b"0.1000",
           b"3.141592653589793238462643383279502884197",
           b"18446744073709551616", b"-9223372036854775809",
           b"9" * 2000, b"1" + b"0" * 500 + b"e5", b'""', b"{}", b"[]",
           b"[ ]", b"{ }", b'{"":""}', b'{"a":1,"a":2}', b"true", b"false",
           b"null", b"[" * 90 + b"]" * 90, b'{"a":' * 90 + b"1" + b"}" * 90,
           "\"\u00e4\u20ac\U0001f600\u2028\u2029\ufeff\ufffe\"".encode(),
           b'"\x7f"', b'"' + b"x" * 70000 + b'"',
           b'{"a" : [ 1 ,\t2 ] ,"b":{ } }']

# Where it may stand in a message: mapped, kept apart, skipped, deep inside.
PLACES = [b'{"input_tokens":%s}', b'{"provider":%s}', b'{"unknown":%s}',
          b'{"unknown":{"deep":[1,{"er":%s}]}}', b'{"recorded_at":%s}',
          b'{"billing":{"cost_center":%s,"other":1}}', b'{"status":%s}']
PROMPT = b'{"request":%s,"response":{"deep":[[[{"x":%s}]]]}}'
TOOL = b'{"tool_call":{"name":"t","arguments":%s,"result":[%s]}}'
ENVELOPE = b'{"kind":"%s","properties":{"message_id":"%s"%s},"body":%s}'


def envelope(kind, name, body, more=b""):
    return ENVELOPE % (kind.encode(), name.encode(), more, body)


def what_is_forbidden_is_never_stored(ground):
    lines = []
    for n, bad in enumerate(FORBIDDEN):
        if b"\n" in bad:
            continue
        for place in PLACES:
            lines.append(envelope("metering", "m%d" % n, place % bad))
        lines.append(envelope("prompt", "p%d" % n, PROMPT % (bad, b"1")))
        lines.append(envelope("prompt", "q%d" % n, PROMPT % (b"1", bad)))
        lines.append(envelope("tool", "t%d" % n, TOOL % (bad, b"1")))
        lines.append(envelope("tool", "u%d" % n, TOOL % (b"{}", bad))
                     if bad else b"{")
        # Around the body, where only the envelope is read.
        lines.append(envelope("metering", "e%d" % n, b"{}",
                              b',"other":' + bad))
        # As bytes, which the envelope does not look into.
        body = base64.b64encode(PLACES[3] % bad)
        lines.append(b'{"kind":"metering","body_base64":"' + body + b'"}')
    ground.write("in/a", lines)
    ground.once()
    stored = [(kind, row[0]) for kind in ("metering", "prompt", "tool")
              for row in ground.rows("SELECT message_id FROM %s_records" %
                                     kind)]
    equal(stored, [], "none of %d lines is stored" % len(lines))
    letters = ground.letters()
    equal(len({one["line"] for one in letters}), len(lines),
          "each is a dead letter")
    kept = {one["line"]: base64.b64decode(one["body_base64"])
            for one in letters}
    equal([n for n, line in enumerate(lines, 1) if kept.get(n) != line], [],
          "kept byte by byte")
    check({one["reason"] for one in letters} <= {"malformed",
                                                 "bad-envelope"},
          "as malformed or bad-envelope",
          {one["reason"] for one in letters})


def what_is_allowed_is_never_lost(ground):
    lines = []
    for n, value in enumerate(ALLOWED):
        for place in PLACES:
            lines.append(envelope("metering", "m%d-%d" % (n, len(lines)),
                                  place % value))
        lines.append(envelope("prompt", "p%d" % n, PROMPT % (value, value)))
        lines.append(envelope("tool", "t%d" % n, TOOL % (value, value)))
        lines.append(envelope("metering", "e%d" % n, b"{}",
                              b',"other":' + value))
    ground.configure(retention={"default-days": 30000})
    ground.write("in/a", lines)
    ground.once()
    equal([(one["line"], one["text"]) for one in ground.letters()], [],
          "none of %d lines is a dead letter" % len(lines))
    equal(ground.count() + ground.count("prompt") + ground.count("tool"),
          len(lines), "all are stored")
    wrong = []
    for n, value in enumerate(ALLOWED):
        request, response = ground.rows(
            "SELECT CAST(request_json AS BLOB), CAST(response_json AS BLOB) "
            "FROM prompt_records WHERE message_id = ?", "p%d" % n)[0]
        arguments, result = ground.rows(
            "SELECT CAST(arguments_json AS BLOB), CAST(result_json AS BLOB) "
            "FROM tool_records WHERE message_id = ?", "t%d" % n)[0]
        null = value == b"null"		# the same as absent
        for got, want in (
                (request, b"{}" if null else value),
                (response, b'{"deep":[[[{"x":%s}]]]}' % value),
                (arguments, b"{}" if null else value),
                (result, b"[%s]" % value)):
            if got != want:
                wrong.append((value[:60], got and got[:80]))
    check(not wrong, "bodies are stored as they were written", wrong[:4])
    check_mapped_fields(ground)
    equal(ground.value("PRAGMA integrity_check"), "ok",
          "the database is sound")


def check_mapped_fields(ground):
    """What its field cannot hold is unknown, flagged, and kept as written."""
    wrong = []
    for row in ground.rows("SELECT message_id, input_tokens, dq_flags, "
                           "extra_json FROM metering_records WHERE "
                           "message_id LIKE 'm%'"):
        number = int(row["message_id"][1:].split("-")[0])
        place = (int(row["message_id"].split("-")[1]) % 10)
        value = ALLOWED[number]
        if place != 0 or value == b"null":
            continue
        try:
            says = int(value)
            fits = 0 <= says < 1 << 63
        except ValueError:
            fits = None
        if fits is False and row["input_tokens"] is not None and \
                row["input_tokens"] >= 0:
            wrong.append((value[:40], row["input_tokens"]))
        if row["input_tokens"] is None and not row["dq_flags"] and \
                value not in (b'""', b"{}", b"[]", b"[ ]", b"{ }"):
            wrong.append((value[:40], "not flagged"))
        if row["input_tokens"] is None and len(value) < 4000 and \
                row["dq_flags"] and value.decode("utf-8") not in (
                    row["extra_json"] or ""):
            wrong.append((value[:40], "not kept", row["extra_json"]))
    check(not wrong, "what a number field cannot hold is unknown, flagged "
          "and kept", wrong[:4])


def too_deep_is_refused_and_costs_nothing(ground):
    """Limits hold, and nothing falls over."""
    ground.configure(retention={"default-days": 30000}, max_message="4M")
    lines = [envelope("prompt", "deep%d" % depth, PROMPT % (
        b"[" * depth + b"]" * depth, b"1"))
        for depth in (100, 500, 5000, 100000, 1000000)]
    lines.append(envelope("metering", "wide", b"{%s}" % b",".join(
        b'"k%d":%d' % (n, n) for n in range(100000))))
    lines.append(envelope("metering", "last", b'{"input_tokens":1}'))
    ground.write("in/a", lines)
    ground.once()
    stored = ground.ids("prompt")
    check("deep100" in stored, "100 levels are stored", stored)
    check("deep1000000" not in stored, "a million levels are not", stored)
    equal(ground.count() + len(stored) + len(ground.letters()), len(lines),
          "each is stored or a dead letter")
    check("last" in ground.ids(), "what follows is stored")
    extra = ground.rows("SELECT extra_json, dq_flags FROM metering_records "
                        "WHERE message_id = 'wide'")
    check(not extra or (len(extra[0][0]) <= 8192 and extra[0][1] & 1024),
          "extra_json is cut at 8 KB, and flagged")


def valid_as_python_says(text):
    """RFC 8259 as Python's reader knows it, its own liberties taken away."""
    def refuse(word):
        raise ValueError(word)
    try:
        json.loads(text.decode("utf-8"), parse_constant=refuse,
                   parse_int=str, parse_float=str)
        return True
    except (ValueError, RecursionError):
        return False


def mutations(rng):
    """Bodies with some bytes changed."""
    seed = b'{"input_tokens":12,"x":[1.5e3,"a\\u00e9\\n",{"y":null}],' \
        b'"request":{"z":[true,false,"\xc3\xa9"]},"status":"ok"}'
    letters = b'{}[]",:\\0123456789.eE+-truefalsn \t\x00\x1f\x80\xc3\xff/u'
    for n in range(RANDOM):
        body = bytearray(seed)
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(1, len(body) - 1)
            what = rng.randrange(3)
            if what == 0:
                body[at] = rng.choice(letters)
            elif what == 1:
                del body[at]
            else:
                body.insert(at, rng.choice(letters))
        yield n, bytes(body)


def mutations_are_judged_as_by_another_reader(ground):
    rng = random.Random(daemon.SEED)
    lines, want = [], []
    for n, body in mutations(rng):
        lines.append(b'{"kind":"prompt","properties":{"message_id":"x%d"},'
                     b'"body_base64":"%s"}' % (n, base64.b64encode(body)))
        if valid_as_python_says(body):
            want.append("x%d" % n)
    ground.configure(retention={"default-days": 30000})
    ground.write("in/a", lines)
    ground.once()
    print("       %d of %d are JSON" % (len(want), len(lines)))
    daemon.once_each(ground.ids("prompt"), want,
                     "stored is what another reader takes, no more, no less")
    equal(len(ground.letters()), len(lines) - len(want),
          "the others are dead letters")


daemon.main(what_is_forbidden_is_never_stored,
            what_is_allowed_is_never_lost,
            too_deep_is_refused_and_costs_nothing,
            mutations_are_judged_as_by_another_reader)
