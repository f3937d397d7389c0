#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tags, in both databases: what is stored of them, and that their sums are
those of the records, whether they are named, named late, or not at all; also
after late arrival, repricing and a purge."""
import calendar
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


def check_keys(ground, facts, since, until, what):
    """The list of keys, of [since, until) alone."""
    want = {}
    for key in ("feature", "customer"):
        some = [one for one in facts if one["tags"].get(key) is not None
                and since <= one["at"] < until]
        if some:
            want[key] = (
                len(some), len({one[key] for one in some} - {None}),
                *(daemon.instant(edge)[:-5] + "Z" for edge in (
                    min(one["at"] for one in some),
                    max(one["at"] for one in some))))
    got = report(ground, "tags", "--since", daemon.instant(since), "--until",
                 daemon.instant(until))
    equal({row["key"]: (row["calls_count"], row["distinct_values"],
                        row["first_seen"], row["last_seen"])
           for row in got}, want, what)
    equal([row["key"] for row in got],
          sorted(want, key=lambda key: (-want[key][0], key)),
          "the one with the most calls first")


def keys_are_those_of_the_window(ground):
    """A window may begin and end within a quarter of an hour."""
    messages, facts = calls(7, 0, 300, days=1)
    for message, one in zip(messages, facts):
        one["tags"] = message["body"].get("tags") or {}
        one["at"] = calendar.timegm(time.strptime(
            message["body"]["recorded_at"][:19], "%Y-%m-%dT%H:%M:%S"))
    store(ground, messages, "a", **NAMED)
    pick = random.Random(daemon.SEED)
    at = sorted(one["at"] for one in facts)
    check_keys(ground, facts, at[0], at[-1] + 1, "from the first to the last")
    check_keys(ground, facts, at[0] + 1, at[-1], "without these two")
    for n in range(12):
        since = pick.choice(at) + pick.choice((0, 1))
        until = since + pick.choice((1, 40, 900, 1000, 20000))
        check_keys(ground, facts, since, until, "keys in %d s" % (
            until - since))
    ground.configure(retention={"facts-days": 1}, **NAMED)
    said = ground.bursar("tags", "--format", "json")
    check("incomplete_before" not in said, "all values are there", said)
    ground.bursar("purge", "--force")
    equal(ground.count(), 0, "all facts are purged")
    said = ground.bursar("tags", "--format", "json")
    check('"incomplete_before":"' in said and "are purged" in said,
          "values that are not counted are told of", said)
    said = ground.bursar("report", "tags", "--tag", "feature", "--format",
                         "json")
    check("incomplete_before" not in said, "sums have those of a name", said)


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


def a_wrong_name_is_taken_back(ground):
    messages, facts = calls(8, 0, MANY // 2)
    wrong = {"tags": {"report": ["feature", "custmoer"]}}
    store(ground, messages, "a", **wrong)
    if real.SINK == "sqlite":
        # No ledger is asked; leaks cannot be looked for behind libraries
        # that were loaded and never used.
        ground.bursar("tags", "forget", "custmoer", status=2)
        ground.bursar("tags", "forget", status=2)
    ground.configure(**NAMED)
    said = ground.bursar("tags", "forget", "custmoer")
    check("summed no more" in said, "it says so", said)
    ground.bursar("tags", "forget", "custmoer", status=1)
    # Of who wrote a moment longer than that.
    change(ground, "INSERT INTO rollup_cells (dimension, value, cell, "
           "provider, model_id) VALUES ('tag:custmoer', '', 0, '', '')")
    ground.bursar("verify", status=3)
    ground.bursar("tags", "forget", "custmoer")
    more, others = calls(9, MANY // 2, 40)
    store(ground, more, "b", **NAMED)
    equal(ask(ground, "SELECT (SELECT count(*) FROM rollup_cells WHERE "
              "dimension = 'tag:custmoer'), (SELECT count(*) FROM "
              "bursar_meta WHERE name LIKE 'tag:%'), (SELECT count(*) FROM "
              "bursar_journal WHERE what = 'tag-forgotten' AND subject = "
              "'custmoer')"), [["0", "1", "1"]],
          "sums and name are gone, the journal has it")
    check_all(ground, facts + others)


ONE = ("(dimension, value, day, provider, model_id) IN (SELECT dimension, "
       "value, day, provider, model_id FROM (SELECT r.*, row_number() OVER ("
       "PARTITION BY dimension ORDER BY %s) AS n FROM rollup_days r) q "
       "WHERE n = 1)")
FIRST = "value, day, provider, model_id"
LAST = "value DESC, day DESC, provider DESC, model_id DESC"

# What is wrong with one sum of each dimension; what verify says of it.
WRONG = (
    ("the first sum", "UPDATE rollup_days SET lat_7 = lat_7 + 1 WHERE " +
     ONE % FIRST, "lat_7"),
    ("the last one", "UPDATE rollup_days SET cost_nano_n = cost_nano_n - 1 "
     "WHERE " + ONE % LAST, "cost_nano_n"),
    ("one that is gone", "DELETE FROM rollup_days WHERE " + ONE % LAST,
     "request_count"),
    ("one that is made up", "INSERT INTO rollup_days (dimension, value, day, "
     "provider, model_id, error_count) SELECT DISTINCT dimension, '~', day, "
     "'p', 'm', 17 FROM rollup_days", "error_count"),
    ("one of a cell", "UPDATE rollup_cells SET input_tokens = input_tokens + "
     "1 WHERE dimension <> 'tag' AND " + ONE.replace("day", "cell") %
     LAST.replace("day", "cell"), "input_tokens"),
)


def each_sum_of_a_day_is_looked_at(ground):
    """In each dimension, whatever is wrong with it."""
    dimensions = {row[0] for row in ask(
        ground, "SELECT DISTINCT dimension FROM rollup_days")}
    check(len(dimensions) == 10, "there are sums of each dimension",
          dimensions)
    keep(ground, "rollup_days", "rollup_cells")
    for what, statement, column in WRONG:
        change(ground, statement)
        said = ground.bursar("verify", "--format", "json", status=3)
        found = {row["dimension"] for row in json.loads(
            said[:said.rindex("}") + 1])["rows"]
            if row["check"] == "day" and row["column"] == column}
        equal(found, dimensions, "%s is found in each dimension" % what)
        bring_back(ground, "rollup_days", "rollup_cells")
    ground.bursar("verify")


def keep(ground, *tables):
    for table in tables:
        change(ground, "CREATE TABLE kept_%s AS SELECT * FROM %s" % (
            table, table))


def bring_back(ground, *tables):
    for table in tables:
        change(ground, "DELETE FROM %s" % table)
        change(ground, "INSERT INTO %s SELECT * FROM kept_%s" % (
            table, table))


def days_are_summed_by_tags(ground):
    """From the day on that follows the naming of a tag."""
    messages, facts = calls(10, 0, MANY)
    store(ground, messages, "a", **NAMED)
    ground.bursar("jobs", "run", "rollup")
    equal(ask(ground, "SELECT sum(request_count) FROM rollup_days "
              "WHERE dimension = 'tag:feature'"), [[str(MANY)]],
          "every call is in the dimension, once")
    check_all(ground, facts)
    change(ground, "UPDATE rollup_days SET request_count = "
           "request_count + 1000 WHERE dimension = 'tag:feature' AND "
           "value = 'chat'")
    check(sum(row["request_count"] for row in report(
        ground, "summary", "--by", "tag:feature", *SINCE)) > MANY + 999,
          "reports are made of days")
    said = ground.bursar("verify", status=3)
    check("rollup_days" in said, "verify finds what was changed", said)
    change(ground, "UPDATE rollup_days SET request_count = "
           "request_count - 1000 WHERE dimension = 'tag:feature' AND "
           "value = 'chat'")

    each_sum_of_a_day_is_looked_at(ground)

    # Days that were summed without tags are summed once more.
    change(ground, "DELETE FROM rollup_days WHERE dimension = 'tag:feature'")
    change(ground, "UPDATE rollup_closed SET summed = 1")
    check_all(ground, facts)
    ground.bursar("jobs", "run", "rollup")
    check_all(ground, facts)
    equal(ask(ground, "SELECT count(*) > 0 AND min(summed) = 2 FROM "
              "rollup_closed")[0][0] in ("1", "t"), True, "all are closed")
    more, others = calls(11, MANY, 40)
    store(ground, more, "b", **NAMED)
    check_all(ground, facts + others)
    ground.configure()
    ground.bursar("tags", "forget", "feature")
    equal(ask(ground, "SELECT count(*) FROM rollup_days WHERE dimension = "
              "'tag:feature'"), [["0"]], "sums of days go with the name")
    check_all(ground, facts + others)


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
    keys_are_those_of_the_window,
    what_comes_late_is_repriced_or_purged_stays_right,
    a_tag_named_later_counts_from_then_on,
    a_wrong_name_is_taken_back,
    days_are_summed_by_tags,
    a_reload_names_a_tag,
    tags_are_stored_in_one_form,
    mistakes_in_the_configuration_are_told)
