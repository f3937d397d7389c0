#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tags, in both databases: what is stored of them, and that their sums are
those of the records, whether they are named, named late, or not at all; also
after late arrival, repricing and a purge."""
import json
import random
import signal
import sys
import time
from decimal import Decimal

sys.dont_write_bytecode = True
import daemon  # noqa: E402
import real  # noqa: E402
from daemon import check, equal  # noqa: E402
from real import ask, change  # noqa: E402

real.SOURCE = "file"
NANO = 10 ** 9
CELL = 900
SINCE = ("--since", "2025-01-01")
MANY = daemon.scaled(600, 200)


def report(ground, *words):
    said = ground.bursar("report", *words, "--format", "json")
    return json.loads(said[:said.rindex("}") + 1],
                      parse_float=Decimal)["rows"]


def call(pick, n, at):
    """A fact, and what its tags are then."""
    body = daemon.body_of_fact(n)
    body["recorded_at"] = daemon.instant(at)
    body["cost_usd"] = pick.randrange(10 ** 9) / 1e9
    tags = {}
    if pick.random() < 0.7:
        tags["feature"] = pick.choice(["chat", "search", "sö\"k\n", ""])
    if pick.random() < 0.4:
        tags["customer"] = pick.randrange(9)
    if tags:
        body["tags"] = tags
    return daemon.envelope("metering", "call-%06d" % n, body), {
        "feature": tags.get("feature") or None,
        "customer": str(tags["customer"]) if "customer" in tags else None,
        "provider": body["provider"], "worker_id": body["worker_id"],
        "day": body["recorded_at"][:10],
        "nano": round(body["cost_usd"] * NANO)}


def calls(seed, first, count, begin=daemon.BEGIN, days=3):
    pick = random.Random(seed)
    return list(zip(*[call(pick, n, begin + pick.randrange(days * 86400))
                      for n in range(first, first + count)]))


def sums(facts, *fields):
    """{values: (calls, dollars)}"""
    found = {}
    for one in facts:
        key = tuple(one[field] for field in fields)
        count, nano = found.get(key, (0, 0))
        found[key] = (count + 1, nano + one["nano"])
    return {key: (count, Decimal(nano) / NANO)
            for key, (count, nano) in found.items()}


def grouped(rows, *fields):
    return {tuple(row[field] for field in fields):
            (row["request_count"], row["total_cost_usd"]) for row in rows}


def columns(*fields):
    return [field if field in ("provider", "worker_id", "day")
            else "tag:" + field for field in fields]


def check_by(ground, facts, *fields, more=()):
    names = columns(*fields)
    for also in ((), ("--from-records",)):
        got = report(ground, "summary", "--by", ",".join(names), *SINCE,
                     *more, *also)
        equal(grouped(got, *names), sums(facts, *fields),
              "by %s%s%s" % (" and ".join(names), "".join(
                  " " + word for word in more), "".join(also)))


def check_all(ground, facts):
    """Every question about tags, in each way in which it is answered."""
    for fields in (("feature",), ("customer",), ("feature", "provider"),
                   ("feature", "worker_id"), ("customer", "feature")):
        check_by(ground, facts, *fields)
    check_by(ground, [one for one in facts if one["feature"] == "chat"],
             "provider", more=("--tag", "feature=chat"))
    check_by(ground, [one for one in facts if one["customer"] == "3"],
             "feature", more=("--tag", "customer=3"))
    check_by(ground, [one for one in facts if one["customer"] == "3"],
             "worker_id", more=("--where", "tag:customer=3"))
    got = report(ground, "summary", "--by", "day,tag:feature", *SINCE)
    equal({(row["day"], row["tag:feature"]): row["request_count"]
           for row in got},
          {key: value[0] for key, value in sums(facts, "day",
                                                "feature").items()},
          "by day and tag")
    total = report(ground, "summary", *SINCE)[0]
    equal(sum(row["total_cost_usd"] for row in report(
        ground, "summary", "--by", "tag:feature", *SINCE)),
        total["total_cost_usd"], "the values of a tag add up to the total")
    ground.verify()


def store(ground, messages, name, **more):
    ground.configure(**more)
    ground.write("in/" + name, messages)
    ground.once()


NAMED = {"tags": {"report": ["feature"]}}


def sums_of_tags_are_those_of_the_records(ground):
    messages, facts = calls(1, 0, MANY)
    store(ground, messages, "a", **NAMED)
    check_all(ground, facts)
    equal(ask(ground, "SELECT sum(request_count) FROM rollup_cells "
              "WHERE dimension = 'tag:feature'"), [[str(MANY)]],
          "every call is in the dimension, once")

    said = ground.bursar("tags", "--format", "json")
    rows = {row["key"]: row for row in json.loads(said)["rows"]}
    bear = [one for one in facts if one["customer"] is not None]
    equal((rows["customer"]["calls_count"],
           rows["customer"]["distinct_values"],
           rows["customer"]["dimension"]),
          (len(bear), len({one["customer"] for one in bear}), False),
          "a key that is no dimension")
    equal((rows["feature"]["distinct_values"], rows["feature"]["dimension"]),
          (3, True), "and one that is")
    first = ask(ground, "SELECT min(recorded_us), max(recorded_us) FROM "
                "metering_records WHERE bursar_tag(tags, 'customer') "
                "IS NOT NULL") if real.SINK == "postgres" else ask(
        ground, "SELECT min(recorded_us), max(recorded_us) FROM "
        "metering_records WHERE json_extract(tags, '$.customer') "
        "IS NOT NULL")
    equal([rows["customer"][name] for name in ("first_seen", "last_seen")],
          [daemon.instant(int(us) // 10 ** 6)[:-5] + "Z" for us in first[0]],
          "first and last seen")

    said = ground.bursar("tags", "customer", *SINCE, "--format", "json")
    row = json.loads(said, parse_float=Decimal)["rows"][0]
    want = sums(bear, "customer")
    equal({(one["value"],): (one["calls"], one["total_cost_usd"])
           for one in row["by_value"]}, want, "the values of a tag")
    equal((row["total_calls"], row["tagged_calls"], row["distinct_values"]),
          (MANY, len(bear), len(want)), "and how many bear it")

    for feature in ("chat", "search"):
        said = ground.bursar("budget", "check", "x", "--limit", "1000000",
                             "--where", "tag:feature=" + feature, *SINCE,
                             "--format", "json")
        equal(json.loads(said, parse_float=Decimal)["rows"][0]["spent_usd"],
              sums(facts, "feature")[(feature,)][1],
              "a budget of the tag %s" % feature)

    for dimension in ("tag", "tag:feature"):
        for by in ("+ 1", "- 1"):
            change(ground, "UPDATE rollup_cells SET request_count = "
                   "request_count %s WHERE dimension = '%s'" % (by, dimension))
            said = ground.bursar("verify", status=3 if by == "+ 1" else 0)
        check("agrees" in said, "the dimension %s is verified" % dimension)


def what_comes_late_is_repriced_or_purged_stays_right(ground):
    book = {"schema": 1, "version": "a", "models": {
        "openai/small": {"input": 1, "output": 1}}}
    ground.write_text("prices.json", json.dumps(book))
    more = dict(NAMED, prices={"book": ground.path("prices.json"),
                               "built-in": False, "unknown": "ignore"})
    body = {"provider": "openai", "model_id": "small", "input_tokens": 1000,
            "output_tokens": 0}

    def priced(n, hour, feature):
        return daemon.envelope("metering", "p%d" % n, dict(
            body, tags={"feature": feature, "customer": n % 3},
            recorded_at=daemon.instant(daemon.BEGIN + hour * 3600)))

    store(ground, [priced(n, 30, "a") for n in range(10)], "a", **more)
    ground.write("in/b", [priced(n, 2, "b") for n in range(10, 15)])
    ground.once()
    cost = Decimal("0.001")

    def by(*words):
        return {row["tag:feature"]: row["total_cost_usd"] for row in report(
            ground, "summary", "--by", "tag:feature", *SINCE, *words)}

    equal(by(), {"a": 10 * cost, "b": 5 * cost}, "what comes late counts")
    ground.verify()

    book["models"]["openai/small"]["input"] = 7
    ground.write_text("prices.json", json.dumps(book))
    ground.bursar("reprice", *SINCE)
    equal(by(), {"a": 70 * cost, "b": 35 * cost}, "repricing corrects tags")
    equal(by("--from-records"), by(), "as it does the records")
    ground.verify()

    ground.configure(retention={"facts-days": 1}, **more)
    ground.bursar("purge", "--force")
    equal(ask(ground, "SELECT count(*) FROM metering_records"), [["0"]],
          "all records are purged")
    equal(by(), {"a": 70 * cost, "b": 35 * cost},
          "the sums of a tag outlive its records")
    ground.verify()


def a_tag_named_later_counts_from_then_on(ground):
    old, facts = calls(2, 0, MANY // 2)
    store(ground, old, "a")
    equal(ask(ground, "SELECT count(*) FROM bursar_meta WHERE name LIKE "
              "'tag:%'"), [["0"]], "nothing is named")
    check_all(ground, facts)

    now = int(time.time())
    more, others = calls(3, MANY // 2, 60, begin=now - 3600, days=0.125)
    store(ground, more, "b", **NAMED)
    facts = facts + others
    since = int(ask(ground, "SELECT value FROM bursar_meta WHERE name = "
                    "'tag:feature'")[0][0])
    check(since > now // CELL, "it is fed from later than now on", since)
    fed = int(ask(ground, "SELECT count(*) FROM metering_records WHERE "
                  "recorded_us >= %d" % (since * CELL * 10 ** 6))[0][0])
    check(0 < fed < 60, "some calls are from before, some from behind", fed)
    equal(ask(ground, "SELECT sum(request_count) FROM rollup_cells "
              "WHERE dimension = 'tag:feature'"), [[str(fed)]],
          "only what is behind is in the dimension")
    check_all(ground, facts)

    third, others = calls(4, MANY, 40, begin=now - 3600, days=0.125)
    store(ground, third, "c")
    check_all(ground, facts + others)
    equal(ask(ground, "SELECT count(*) FROM bursar_meta WHERE name LIKE "
              "'tag:%'"), [["1"]], "a daemon that does not name it feeds it")


def a_reload_names_a_tag(ground):
    messages, facts = calls(5, 0, 20)
    ground.configure(source={"follow": True},
                     budgets={"chat": {"limit": 1,
                                       "where": "tag:feature=chat"}})
    process = ground.follow()
    ground.configure(source={"follow": True}, **NAMED)
    process.signal(signal.SIGHUP)
    process.wait_event("reloaded")
    ground.write("in/a", messages)
    daemon.wait_for(lambda: ask(ground, "SELECT count(*) FROM "
                                "metering_records") == [["20"]],
                    "the calls are stored")
    equal(ask(ground, "SELECT sum(request_count) FROM rollup_cells "
              "WHERE dimension = 'tag:feature'"), [["20"]],
          "the ledger was empty: all of them are fed")
    process.stop()
    check_by(ground, facts, "feature")
    ground.verify()


def tags_are_stored_in_one_form(ground):
    base = {"provider": "p", "model_id": "m",
            "recorded_at": daemon.instant(daemon.BEGIN)}
    said = {
        "none": {},
        "own": {"tags": {"env": "test", "n": 42, "apiKey": "sk-1"}},
        "both": {"tags": {"a": "1", "b": "1"},
                 "metadata": {"b": "2", "input_tokens": 5,
                              "deep": {"client_secret": "sk-2", "x": [1]}}},
        "many": {"tags": {"k%d" % n: n for n in range(60)}},
        "odd": {"tags": ["x"]},
    }
    store(ground, [daemon.envelope("metering", name, dict(base, **more))
                   for name, more in said.items()], "a",
          source={"tags": ["env=source", "from=source"]},
          tags={"default": ["env=all", "region=eu"]})
    stored = {name: (json.loads(tags), int(flags)) for name, tags, flags in
              ask(ground, "SELECT message_id, tags, dq_flags FROM "
                  "metering_records")}
    base = {"env": "source", "from": "source", "region": "eu"}
    equal(stored["none"], (base, 0), "what all calls of the source bear")
    equal(stored["own"], (dict(base, env="test", n="42",
                               apiKey="[REDACTED]"), 0),
          "what a record says comes first, secrets are gone")
    equal(stored["both"], (dict(base, a="1", b="2", deep={
        "client_secret": "[REDACTED]", "x": ["1"]}), 0),
        "metadata come before tags, usage is no tag")
    equal((len(stored["many"][0]), stored["many"][1]), (50, 65536),
          "fifty stay, and the record says so")
    equal(stored["odd"], (base, 16), "what is no object is kept beside")
    whole = str(ask(ground, "SELECT message_id, tags, extra_json FROM "
                    "metering_records"))
    check("sk-" not in whole, "no secret is stored")
    said = ground.bursar("report", "summary", "--by", "tag:a;b", status=2)
    check("is no tag" in said, "a key that cannot be asked about", said)
    ground.bursar("tags", "a b", status=2)
    ground.bursar("report", "daily", "--tag", "x'=1", status=2)


def mistakes_in_the_configuration_are_told(ground):
    for tags, words in (
            ({"raport": ["x"]}, "did you mean 'report'"),
            ({"report": ["a b"]}, "'a b' is no key of a tag"),
            ({"report": ["t%d" % n for n in range(17)]}, "more than 16"),
            ({"default": ["env"]}, "a tag is KEY=VALUE, not 'env'"),
            ({"default": ["a'b=1"]}, "is no key of a tag")):
        ground.configure(tags=tags)
        said = ground.bursar("check", status=2)
        check(words in said, "%s is refused" % json.dumps(tags)[:40], said)
    ground.configure(source={"tags": ["x"]})
    check("source 'in': tags: a tag is KEY=VALUE" in ground.bursar(
        "check", status=2), "and of a source")


real.main_in_both(
    sums_of_tags_are_those_of_the_records,
    what_comes_late_is_repriced_or_purged_stays_right,
    a_tag_named_later_counts_from_then_on,
    a_reload_names_a_tag,
    tags_are_stored_in_one_form,
    mistakes_in_the_configuration_are_told)
