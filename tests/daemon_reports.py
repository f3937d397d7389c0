#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every report and every budget, against what plain sums over the sent records
say: in SQLite and in PostgreSQL, in any zone, however the records came, and
after they were purged."""
import collections
import csv
import datetime
import io
import json
import random
import sys
import threading
import time
import zoneinfo
from decimal import Decimal

sys.dont_write_bytecode = True
import daemon  # noqa: E402
import real  # noqa: E402
from daemon import check, equal  # noqa: E402

real.SOURCE = "file"
MANY = daemon.scaled(1200, 300)
HOUR, DAY = 3600, 86400
NANO = 10 ** 9
BOUNDS = (25, 50, 100, 200, 300, 500, 750, 1000, 1500, 2000, 3000, 5000, 7500,
          10000, 15000, 20000, 30000, 60000, 120000)
FIELDS = ("provider", "model_id", "worker_id", "node_id", "team",
          "request_type", "tier", "routing_reason", "budget_id")
# Times of a lot of jumping clocks: Apia goes back on 2021-04-04, Vienna on
# 2024-10-27 and forth on 2025-03-30, Lord Howe goes back on 2025-04-06.
CLUMPS = (("2021-04-02", 5), ("2024-10-25", 5), ("2025-03-28", 12))
ZONES = ("UTC", "Asia/Kathmandu", "Australia/Lord_Howe", "Europe/Vienna",
         "Pacific/Apia", "America/St_Johns")


# --- what is sent ----------------------------------------------------------------

def second(text):
    return int(datetime.datetime.fromisoformat(text).replace(
        tzinfo=datetime.timezone.utc).timestamp())


class Fact:
    """What a producer says of a call; what it does not say is None."""

    def __init__(self, name, at, **fields):
        self.name, self.at = name, at
        self.fields = {key: value for key, value in fields.items()
                       if value is not None}

    def __getattr__(self, name):
        return self.fields.get(name)

    def message(self):
        body = {key: value for key, value in self.fields.items()
                if key not in ("nano", "budget_id")}
        if self.nano is not None:
            body["cost_usd"] = self.nano / NANO
        if self.budget_id is not None:
            body["billing"] = {"budget_id": self.budget_id}
        body["recorded_at"] = daemon.instant(self.at)
        return daemon.envelope("metering", self.name, body)

    def failed(self):
        return self.status not in (None, "success", "ok")


def any_fact(pick, n, at):
    def some(*values):
        return pick.choice(values + (None,))
    tokens = pick.randrange(4000), pick.randrange(1000)
    return Fact(
        "sent-%06d" % n, at,
        provider=some("openai", "anthropic", "=1+1"),
        model_id=some("large", "small", "größte"),
        worker_id=some("w1", "w2", "w3", "w'4"), node_id=some("n1", "n2"),
        team=some("red", "blue"), request_type=some("chat", "embed"),
        tier=some("cloud", "local"), routing_reason=some("cheap", "near"),
        budget_id=some("b1", "b2"),
        status=pick.choice(["success", "ok", "error", "timeout", None]),
        input_tokens=tokens[0], output_tokens=tokens[1],
        thinking_tokens=some(0, 7, 250), total_tokens=sum(tokens),
        latency_ms=some(pick.randrange(200), pick.randrange(200000)),
        nano=some(pick.randrange(10 ** 6), pick.randrange(10 ** 9), 0))


def history(pick, count=MANY):
    """Facts of the days on which clocks jump, some of them on the hour."""
    found = []
    for n in range(count):
        begin, days = pick.choice(CLUMPS)
        at = second(begin) + pick.randrange(days * DAY)
        if pick.random() < 0.3:
            at = at // 900 * 900
        found.append(any_fact(pick, n, at))
    return found


def lately(pick, count=MANY):
    """Facts of the last forty days, none near where a period begins."""
    now = int(time.time())
    found = []
    while len(found) < count:
        ago = pick.choice([pick.randrange(600, HOUR), pick.randrange(2 * DAY),
                           pick.randrange(40 * DAY)])
        if all(abs(ago - border) > 540
               for border in (0, HOUR, DAY, 2 * DAY, 7 * DAY, 30 * DAY)):
            found.append(any_fact(pick, len(found), now - ago))
    return found


# --- what must come out ------------------------------------------------------------

def money(nano):
    return None if nano is None else Decimal(nano) / NANO


def total(facts, field):
    """None where nobody said anything."""
    said = [getattr(one, field) for one in facts
            if getattr(one, field) is not None]
    return sum(said) if said else None


def cost(facts):
    return money(total(facts, "nano"))


def average(facts, places=2):
    said = [one.latency_ms for one in facts if one.latency_ms is not None]
    if not said:
        return None
    unit = 10 ** places
    return Decimal((2 * sum(said) * unit + len(said)) // (2 * len(said))) / unit


def percent(part, whole):
    return None if not whole else Decimal(
        str(round(part / whole * 100 + 1e-12, 1)))


def failed(facts):
    return sum(one.failed() for one in facts)


def unpriced(facts):
    return sum(one.nano is None for one in facts)


def groups(facts, *fields):
    found = collections.defaultdict(list)
    for one in facts:
        found[tuple(getattr(one, field) for field in fields)].append(one)
    return found


def by_cost(found):
    """As reports order them: by cost, then by key; unknown is ''."""
    return sorted(found, key=lambda key: (
        -(total(found[key], "nano") or 0),
        [(word or "").encode() for word in key]))


def by_requests(found):
    return sorted(found, key=lambda key: (
        -len(found[key]), [(word or "").encode() for word in key]))


def since(facts, seconds):
    return [one for one in facts if one.at > time.time() - seconds]


def bucket(ms):
    return sum(ms > bound for bound in BOUNDS)


# --- asking ------------------------------------------------------------------------

def ask(ground, *words, status=0):
    said = ground.bursar(*words, "--format", "json", status=status)
    return json.loads(said[:said.rindex("}") + 1], parse_float=Decimal)


def report(ground, *words):
    return ask(ground, "report", *words)["rows"]


def columns(rows, *names):
    return [tuple(row[name] for name in names) for row in rows]


def store(ground, facts, name="in/sent"):
    ground.write(name, [one.message() for one in facts])
    ground.once()
    equal(ground.count(), len(facts), "every fact is stored")


# --- groups ------------------------------------------------------------------------

def summary_of(facts):
    return {
        "total_input_tokens": total(facts, "input_tokens"),
        "total_output_tokens": total(facts, "output_tokens"),
        "total_thinking_tokens": total(facts, "thinking_tokens"),
        "total_cache_read_input_tokens": None,
        "total_cache_write_input_tokens": None,
        "grand_total_tokens": total(facts, "total_tokens"),
        "total_cost_usd": cost(facts), "avg_latency_ms": average(facts),
        "request_count": len(facts), "error_count": failed(facts),
        "unpriced_count": unpriced(facts)}


def check_summary(ground, facts, fields, *more):
    want = []
    found = groups(facts, *fields)
    for key in by_cost(found):
        want.append(dict(zip(fields, key), **summary_of(found[key])))
    words = ["summary"] + (["--by", ",".join(fields)] if fields else [])
    got = report(ground, *words, *more)
    return equal(got, want, "%s%s" % (" ".join(words), "".join(
        " " + one for one in more)))


def sums_by_any_field_are_those_of_the_records(ground):
    pick = random.Random(daemon.SEED)
    facts = history(pick)
    store(ground, facts)
    check_summary(ground, facts, ())
    for field in FIELDS:
        check_summary(ground, facts, (field,))
    check_summary(ground, facts, ("provider", "model_id"))
    check_summary(ground, facts, ("team", "provider", "model_id"))
    check_summary(ground, facts, ("team", "worker_id"))
    begin, end = second("2025-03-29") + 1, second("2025-04-02") + 4321
    part = [one for one in facts if begin <= one.at < end]
    window = ("--since", daemon.instant(begin), "--until", daemon.instant(end))
    check_summary(ground, part, ("worker_id",), *window)
    check_summary(ground, part, ("worker_id",), *window, "--from-records")
    red = [one for one in part if one.team == "red"]
    check_summary(ground, red, ("provider",), *window, "--where", "team=red")
    check_summary(ground, [one for one in red if one.worker_id is None],
                  ("provider",), *window, "--where", "team=red", "--where",
                  "worker=")
    rows = list(csv.reader(io.StringIO(ground.bursar(
        "report", "summary", "--by", "provider", "--format", "csv"))))
    equal(sorted(row[0] for row in rows[1:]),
          ["", "'=1+1", "anthropic", "openai"],
          "CSV guards what a spreadsheet would run")


# --- zones -------------------------------------------------------------------------

def local(at, zone):
    return datetime.datetime.fromtimestamp(at, zoneinfo.ZoneInfo(zone))


def check_zones(ground, facts, zones):
    for zone in zones:
        for begin, days in CLUMPS:
            day = datetime.date.fromisoformat(begin) + \
                datetime.timedelta(days=1)
            end = day + datetime.timedelta(days=days - 2)
            part = [one for one in facts
                    if day <= local(one.at, zone).date() < end]
            window = ("--since", str(day), "--until", str(end), "--tz", zone)
            check_days(ground, part, zone, day, end, window)
            check_hours(ground, part, zone, window)


def days_and_hours_are_those_of_any_zone(ground):
    pick = random.Random(daemon.SEED)
    facts = history(pick)
    store(ground, facts)
    check_zones(ground, facts, ZONES)
    # Days of UTC are those of London in winter, and not in summer.
    ground.bursar("jobs", "run", "rollup")
    check(int(real.ask(ground, "SELECT count(*) FROM rollup_closed "
                       "WHERE summed > 0")[0][0]) > 1000,
          "days are summed up")
    check_zones(ground, facts, ("UTC", "Europe/London"))
    equal(columns(report(ground, "daily", "--since", "2025-05-01", "--until",
                         "2025-05-03"), "day", "request_count",
                  "total_cost_usd", "avg_latency_ms"),
          [("2025-05-01", 0, 0, None), ("2025-05-02", 0, 0, None)],
          "days without calls are listed, and cost nothing")
    days = report(ground, "summary", "--by", "month,provider")
    equal(sum(row["request_count"] for row in days), len(facts),
          "months of all time have all facts")


def check_days(ground, part, zone, day, end, window):
    want = []
    while day < end:
        of_day = [one for one in part if local(one.at, zone).date() == day]
        want.append((str(day), len(of_day), cost(of_day) or 0))
        day += datetime.timedelta(days=1)
    rows = report(ground, "daily", *window)
    equal(columns(rows, "day", "request_count", "total_cost_usd"), want,
          "days in %s from %s" % (zone, window[1]))
    whole = report(ground, "summary", *window)[0]
    equal((sum(row["request_count"] for row in rows),
           sum(row["total_cost_usd"] for row in rows)),
          (whole["request_count"], whole["total_cost_usd"] or 0),
          "and they add up")
    records = report(ground, "daily", "--from-records", *window)
    equal(records, rows, "as the records say")


def check_hours(ground, part, zone, window):
    rows = report(ground, "summary", "--by", "hour", *window)
    starts = [datetime.datetime.fromisoformat(
        row["hour"].replace("Z", "+00:00")).timestamp() for row in rows]
    found = [0] * len(rows)
    for one in part:
        found[max(i for i, start in enumerate(starts) if start <= one.at)] += 1
    equal([row["request_count"] for row in rows], found,
          "hours in %s from %s" % (zone, window[1]))
    check(all(local(start, zone).minute == 0 or zone == "Australia/Lord_Howe"
              for start in starts), "each begins with a full hour")


# --- each report -------------------------------------------------------------------

def reports_on_use_say_what_was_sent(ground):
    facts = lately(random.Random(daemon.SEED))
    store(ground, facts)
    day, week = since(facts, DAY), since(facts, 7 * DAY)

    found = groups([one for one in facts if one.worker_id == "w1"],
                   "provider", "model_id", "request_type")
    equal(columns(report(ground, "worker", "w1"), "provider", "model_id",
                  "request_type", "total_tokens", "cost_usd", "count"),
          [key + (total(found[key], "total_tokens"), cost(found[key]),
                  len(found[key])) for key in by_cost(found)], "worker")

    found = groups(day, "node_id")
    equal(columns(report(ground, "top", "--limit", "2"), "node_id",
                  "total_tokens", "cost_usd", "request_count"),
          [key + (total(found[key], "total_tokens"), cost(found[key]),
                  len(found[key])) for key in by_cost(found)[:2]], "top")

    red = [one for one in week if one.team == "red"]
    found = groups(red, "worker_id")
    got = report(ground, "team", "red", "--period", "week")[0]
    equal((got["team"], got["period"], got["worker_count"],
           got["total_tokens"], got["total_calls"], got["cost_usd"]),
          ("red", "week", len([key for key in found if key[0]]),
           total(red, "total_tokens"), len(red), cost(red)),
          "team keeps to its period")
    equal(columns(got["by_worker"], "worker_id", "count", "cost_usd"),
          [key + (len(found[key]), cost(found[key]))
           for key in by_cost(found)], "and has its workers")

    found = groups([one for one in day if one.provider == "openai"],
                   "model_id", "request_type")
    equal(columns(report(ground, "provider", "openai"), "model_id",
                  "request_type", "count", "total_tokens", "avg_latency_ms",
                  "cost_usd"),
          [key + (len(found[key]), total(found[key], "total_tokens"),
                  average(found[key]), cost(found[key]))
           for key in by_requests(found)], "provider")
    check_health(ground, day)
    check_circuit(ground, since(facts, HOUR))
    check_routing(ground, facts)
    check_compare(ground, facts)


def check_health(ground, facts):
    found = groups(facts, "provider")
    want, got = [], report(ground, "health")
    for key in by_requests(found):
        some = found[key]
        mean = average(some)
        said = [one.latency_ms for one in some if one.latency_ms is not None]
        want.append(key + (
            len(some), total(some, "total_tokens"), mean,
            max(said) if said else None, failed(some),
            percent(failed(some), len(some)),
            "unknown" if mean is None else "healthy" if mean < 2000
            else "degraded" if mean < 8000 else "critical"))
    equal(columns(got, "provider", "request_count", "total_tokens",
                  "avg_latency_ms", "max_latency_ms", "error_count",
                  "error_rate_percent", "status"), want, "health")
    for row in got:
        said = sorted(one.latency_ms for one in found[(row["provider"],)]
                      if one.latency_ms is not None)
        for rank in (50, 95, 99):
            true = said[-(-len(said) * rank // 100) - 1] if said else None
            got_ms = row["p%d_latency_ms" % rank]
            if true is None or got_ms is None:
                equal(got_ms, true, "p%d of nothing" % rank)
            else:
                check(abs(bucket(got_ms) - bucket(true)) <= (
                    1 if true > BOUNDS[-1] else 0),
                    "p%d lies in the bucket of the true one" % rank, got_ms,
                    true)


def check_circuit(ground, facts):
    found = groups(facts, "provider", "tier")
    want = []
    for key in by_requests(found):
        some = found[key]
        bad = failed(some)
        state = ("closed" if bad == 0 else "unknown") if len(some) < 5 else (
            "open" if bad * 2 >= len(some) else
            "half-open" if bad * 10 >= len(some) else "closed")
        want.append(key + (len(some), average(some), cost(some),
                           percent(bad, len(some)), state))
    equal(columns(report(ground, "circuit"), "provider", "tier",
                  "request_count", "avg_latency_ms", "cost_usd",
                  "error_rate_percent", "circuit"), want, "circuit")


def check_routing(ground, facts):
    some = [one for one in facts if one.worker_id == "w2"]
    got = report(ground, "routing", "--where", "worker=w2")[0]
    for name, field in (("by_routing_reason", "routing_reason"),
                        ("by_provider", "provider"),
                        ("by_model", "model_id")):
        found = groups(some, field)
        equal(got[name], [{field: key[0], "count": len(found[key])}
                          for key in by_requests(found)], "routing " + name)
    found = groups(some, "provider")
    equal(got["avg_latency_by_provider"],
          [{"provider": key[0], "avg_latency": average(found[key])}
           for key in by_requests(found)], "routing avg_latency_by_provider")


def check_compare(ground, facts):
    now = time.time()
    before = [one for one in facts if now - 2 * DAY <= one.at < now - DAY]
    old = groups(before, "provider")
    for row in report(ground, "summary", "--by", "provider", "--period", "day",
                      "--compare"):
        spent = total(old.get((row["provider"],), []), "nano")
        want = None
        if spent:
            want = percent(int(row["total_cost_usd"] * NANO) - spent, spent)
        near = row["cost_delta_percent"] is want or want is not None and \
            abs(row["cost_delta_percent"] - want) <= Decimal("0.1")
        check(row["previous_cost_usd"] == money(spent) and near,
              "the day before of %s" % row["provider"], row, spent, want)


def reports_on_cost_say_what_was_sent(ground):
    facts = lately(random.Random(daemon.SEED))
    store(ground, facts)
    day, week = since(facts, DAY), since(facts, 7 * DAY)

    mine = [one for one in week if one.worker_id == "w1"]
    got = report(ground, "worker-costs", "w1", "--period", "weekly")[0]
    equal([got[name] for name in (
        "worker_id", "period", "total_tokens", "input_tokens",
        "output_tokens", "thinking_tokens", "total_calls", "avg_latency_ms",
        "cost_usd")],
        ["w1", "weekly"] + [total(mine, name) for name in (
            "total_tokens", "input_tokens", "output_tokens",
            "thinking_tokens")] + [len(mine), average(mine, 1), cost(mine)],
        "worker-costs")
    found = groups(mine, "model_id")
    equal(columns(got["by_model"], "model_id", "count", "cost_usd"),
          [key + (len(found[key]), cost(found[key]))
           for key in by_requests(found)], "and its models")

    mine = [one for one in day if one.worker_id == "w1"]
    got = report(ground, "worker-report", "w1")[0]
    equal((got["salary"], got["overtime"], got["productivity"],
           got["avg_latency"], got["autonomy_level"], got["period"]),
          (cost(mine), 0, len(mine), average(mine), "unknown", "day"),
          "worker-report")

    found = groups(day, "worker_id")
    got = report(ground, "payroll")[0]
    equal(columns(got["workers"], "worker_id", "task_count", "cost",
                  "autonomy"),
          [key + (len(found[key]), cost(found[key]), "unknown")
           for key in by_cost(found)], "payroll")
    nobodys = found.pop((None,), [])
    check(len(nobodys) > 0, "there are calls of nobody")
    check(got["total_cost"] == cost(day) and abs(
        got["avg_productivity"] -
        Decimal(len(day) - len(nobodys)) / len(found)) < Decimal("0.006"),
        "and its totals", got["total_cost"])
    equal((got["worker_count"], got["unattributed_count"],
           got["unattributed_cost"]),
          (len(found), len(nobodys), cost(nobodys)), "nobody is no head")

    got = report(ground, "forecast", "--days", "10")[0]
    equal((got["daily_average"], got["projected_cost"], got["days"],
           got["trend"]),
          (cost(day), cost(day) * 10, 10, "active"), "forecast")

    found = groups(week, "provider", "model_id", "tier")
    got = report(ground, "cost-drivers", "--limit", "4")[0]
    equal(columns(got["cost_drivers"], "provider", "model_id", "tier",
                  "total_tokens", "total_cost", "call_count"),
          [key + (total(found[key], "total_tokens"), cost(found[key]),
                  len(found[key])) for key in by_cost(found)[:4]],
          "cost-drivers")
    check_overview(ground, facts)
    check_totals(ground, facts)
    check_calls(ground, facts)
    check_quality(ground, facts)


def check_overview(ground, facts):
    got = report(ground, "overview", "--since", "2020-01-01")[0]
    priced = len(facts) - unpriced(facts)
    each = (2 * total(facts, "nano") + priced) // (2 * priced)
    equal([got[name] for name in (
        "total_cost", "requests_count", "average_cost_per_call",
        "total_tokens", "error_rate_percent", "average_latency_ms",
        "unknown_pricing_count")],
        [cost(facts), len(facts), money(each), total(facts, "total_tokens"),
         percent(failed(facts), len(facts)), average(facts),
         unpriced(facts)], "overview")
    found = groups(facts, "model_id")
    equal(columns(got["cost_by_model"], "model_id", "total_cost",
                  "requests_count"),
          [key + (cost(found[key]), len(found[key]))
           for key in by_cost(found)], "and its models")
    equal(columns(got["top_calls"], "total_cost"),
          [(money(one.nano),) for one in sorted(
              (one for one in facts if one.nano is not None),
              key=lambda one: -one.nano)[:5]], "and its calls")
    got = report(ground, "overview", "--period", "day")[0]
    now = time.time()
    before = [one for one in facts if now - 2 * DAY <= one.at < now - DAY]
    equal(got["previous_cost_usd"], cost(before), "the day before")


def check_totals(ground, facts):
    want = []
    for name, size in (("month", 7), ("day", 10)):
        found = collections.defaultdict(list)
        for one in facts:
            found[daemon.instant(one.at)[:size]].append(one)
        want += [(name, key + ("-01" if size == 7 else ""),
                  cost(found[key]) or 0, len(found[key]),
                  unpriced(found[key])) for key in sorted(found)]
    equal(columns(report(ground, "period-totals"), "period", "period_start",
                  "total_cost", "request_count", "unpriced_count"), want,
          "period-totals")


def check_calls(ground, facts):
    priced = sorted((one for one in facts if one.nano is not None
                     and one.provider == "openai"),
                    key=lambda one: -one.nano)[:7]
    equal(columns(report(ground, "calls", "--limit", "7", "--where",
                         "provider=openai", "--since", "2020-01-01"),
                  "message_id", "cost_usd", "latency_ms", "worker_id"),
          [(one.name, money(one.nano), one.latency_ms, one.worker_id)
           for one in priced], "calls")


def check_quality(ground, facts):
    got = report(ground, "data-quality", "--since", "2020-01-01")[0]
    quiet = sum(one.latency_ms is None for one in facts)
    equal([got[name] for name in (
        "total_calls", "unknown_pricing_count", "missing_latency_count",
        "missing_provider_response_id_count", "total_cost",
        "cost_coverage_percent", "latency_coverage_percent")],
        [len(facts), unpriced(facts), quiet, len(facts), cost(facts),
         percent(len(facts) - unpriced(facts), len(facts)),
         percent(len(facts) - quiet, len(facts))], "data-quality")
    found = groups([one for one in facts if one.nano is None], "model_id")
    equal(columns(got["unknown_pricing_by_model"], "model_id", "count"),
          [key + (len(found[key]),) for key in by_requests(found)],
          "and its models")


# --- what the reference says --------------------------------------------------------

def a_few(*facts):
    return [Fact("few-%d" % n, fields.pop("at", int(time.time()) - 600),
                 **fields) for n, fields in enumerate(facts)]


def dollars(amount):
    return int(Decimal(str(amount)) * NANO)


def vectors_of_the_reference_hold(ground):
    facts = a_few(
        dict(node_id="node-a", nano=dollars(5), latency_ms=500,
             provider="p500"),
        dict(node_id="node-b", nano=dollars(10), latency_ms=3000,
             provider="p3000"),
        dict(node_id="node-c", nano=dollars(1), latency_ms=10000,
             provider="p10000"),
        dict(latency_ms=2000, provider="p2000"),
        dict(latency_ms=8000, provider="p8000"),
        dict(provider="silent"),
        dict(provider="silent", latency_ms=100), dict(provider="mute"))
    store(ground, facts)
    equal(columns(report(ground, "top", "--limit", "2"), "node_id"),
          [("node-b",), ("node-a",)], "the two most expensive nodes")
    equal(dict(columns(report(ground, "health"), "provider", "status")),
          {"p500": "healthy", "p3000": "degraded", "p10000": "critical",
           "p2000": "degraded", "p8000": "critical", "silent": "healthy",
           "mute": "unknown"}, "classes of latency, unknown left out")
    equal([row["avg_latency_ms"] for row in report(ground, "health")
           if row["provider"] == "silent"], [100],
          "a latency that nobody said is not 0")
    equal(set(report(ground, "routing")[0]) - {"count"},
          {"by_routing_reason", "by_provider", "by_model",
           "avg_latency_by_provider"}, "the four lists of routing")
    got = ground.bursar("report", "summary", "--period", "fortnight", status=2)
    check("unknown period 'fortnight'" in got, "an unknown period is refused")


def two_calls_cost_what_a_tracker_says(ground):
    ground.configure(prices={})
    store(ground, a_few(
        dict(provider="openai", model_id="gpt-4o", input_tokens=1000,
             output_tokens=0, latency_ms=100),
        dict(provider="openai", model_id="gpt-4o-mini", input_tokens=1000,
             output_tokens=0, latency_ms=300)))
    got = report(ground, "overview")[0]
    equal((got["total_cost"], got["requests_count"],
           got["average_latency_ms"], got["unknown_pricing_count"]),
          (Decimal("0.00265"), 2, 200, 0), "their total and mean")
    equal(columns(got["top_calls"], "model_id", "total_cost"),
          [("gpt-4o", Decimal("0.0025")),
           ("gpt-4o-mini", Decimal("0.00015"))], "the dearer one first")


def hours(ground):
    """What the view of hours says, and what the records say of it."""
    epoch = "extract(epoch FROM hour)::bigint" if real.SINK == "postgres" \
        else "CAST(strftime('%s', hour) AS INTEGER)"
    said = (real.sql if real.SINK == "postgres" else ground.rows)(
        "SELECT worker_id, provider, model_id, %s, total_calls, "
        "total_cost_usd, avg_latency_ms FROM metering_hourly_rollup" % epoch)
    return sorted((row[0] or "", row[1] or "", row[2] or "", int(row[3]),
                   int(row[4]), Decimal(str(row[5] or 0)),
                   Decimal(str(row[6]))) for row in said)


def hours_of(facts):
    rows = []
    for hour in {one.at // HOUR * HOUR for one in facts}:
        found = groups([one for one in facts if one.at // HOUR * HOUR == hour],
                       "worker_id", "provider", "model_id")
        rows += [tuple(part or "" for part in key) + (
            hour, len(some), cost(some) or 0, average(some) or 0)
            for key, some in found.items()]
    return sorted(rows)


def hours_are_whole_after_an_outage(ground):
    """What came in while it happened, what came six hours later, and what came
    again: each hour is that of its calls."""
    pick = random.Random(daemon.SEED)
    begin = second("2026-03-05")
    facts = []
    for n in range(400):
        at = begin + pick.randrange(6 * HOUR)
        one = any_fact(pick, n, at)
        # The view rounds to millionths.
        if one.nano is not None:
            one.fields["nano"] = one.nano // 1000 * 1000
        facts.append(one)
    facts.sort(key=lambda one: one.at)
    early = [one for one in facts if one.at < begin + HOUR]
    store(ground, early[::2])
    equal(hours(ground), hours_of(early[::2]), "the first hour")
    ground.write("in/outage", [one.message() for one in facts[::-1]])
    ground.once()
    equal(ground.count(), len(facts), "all have come")
    equal(hours(ground), hours_of(facts), "all hours, the first one anew")
    ground.write("in/again", [one.message() for one in facts])
    ground.once()
    equal(hours(ground), hours_of(facts), "and once more nothing changes")


def budgets_hold_the_vectors_of_the_reference(ground):
    old = int(time.time()) - 31 * DAY
    store(ground, a_few(
        dict(budget_id="b", nano=dollars(3)), dict(budget_id="b",
                                                   nano=dollars(5)),
        dict(budget_id="b", nano=dollars(100), at=old),
        dict(budget_id="over", nano=dollars(11)),
        dict(budget_id="full", nano=dollars(10)), dict(budget_id="b"),
        dict(nano=dollars(7), team="red")))

    def budget(*words, status=0):
        row = ask(ground, "budget", "check", *words, status=status)["rows"][0]
        return [row[name] for name in ("spent_usd", "remaining_usd",
                                       "exceeded", "threshold_reached")]
    equal(budget("b", "--limit", "10"), [8, 2, False, True],
          "3 and 5 of 10: the threshold is reached")
    equal(budget("b", "--limit", "10", "--threshold", "81"),
          [8, 2, False, False], "a higher threshold is not")
    equal(budget("over", "--limit", "10", status=3), [11, 0, True, True],
          "11 of 10 is exceeded, and the answer stands there")
    equal(budget("full", "--limit", "10"), [10, 0, False, True],
          "10 of 10 is not exceeded")
    equal(budget("nobody", "--limit", "0"), [0, 0, False, True],
          "0 of 0 reaches the threshold")
    equal(budget("all", "--limit", "7", "--where", "team=red"),
          [7, 0, False, True], "calls by another field")

    ground.configure(budgets={
        "b": {"limit": "20"}, "full": {"limit": "10", "exceeded": "reached"},
        "red": {"limit": "70", "where": "team=red", "period": "week"}})
    equal(budget("full", status=3), [10, 0, True, True],
          "10 of 10 is exceeded where that is configured")
    rows = ask(ground, "budget", "list")["rows"]
    equal(columns(rows, "budget_id", "budget_usd", "spent_usd",
                  "unpriced_count"),
          [("b", 20, 8, 1), ("full", 10, 10, 0), ("red", 70, 7, 0),
           ("over", None, 11, 0)], "all of them, configured ones first")
    row = ask(ground, "budget", "forecast", "red", "--days", "10")["rows"][0]
    equal([row[name] for name in (
        "projected_cost", "daily_average", "days", "trend", "projected_usd",
        "projected_percent", "projected_delta", "days_left")],
        [70, 7, 10, "active", 49, 70, -21, 9], "a forecast")


def a_forecast_is_of_what_has_passed(ground):
    """Days to come, and the years before the first call, have no part in an
    average; what is averaged and drawn out is rounded once."""
    day = int(time.time()) // DAY * DAY
    store(ground, a_few(*(
        dict(nano=100 * NANO, at=day - n * DAY + 1) for n in range(1, 11))))

    def forecast(*window):
        row = report(ground, "forecast", *window)[0]
        return row["daily_average"], row["projected_cost"]

    def near(got, days, what):
        check(abs(float(got[0]) * days - 1000) < 1 and
              abs(float(got[1]) * days / 30 - 1000) < 1, what, got, days)
    for window in (("--until", daemon.instant(day + 20 * DAY)),
                   ("--since", daemon.instant(day - 10 * DAY)),
                   ("--since", daemon.instant(day - 10 * DAY), "--until",
                    daemon.instant(day + 20 * DAY))):
        near(forecast(*window), (time.time() - day) / DAY + 10,
             "a forecast of " + " ".join(window))
    equal(forecast("--since", daemon.instant(day - 9 * DAY), "--until",
                   daemon.instant(day - 2 * DAY)), (100, 3000),
          "of a week that is over")
    equal(forecast("--since", daemon.instant(day - 9 * DAY), "--until",
                   daemon.instant(day - 8 * DAY + 6 * HOUR)),
          (160, 4800), "of more than a day")
    equal(forecast("--since", daemon.instant(day - 3 * DAY), "--until",
                   daemon.instant(day)), (100, 3000), "of three days")
    equal(forecast("--since", daemon.instant(day - 2 * DAY - HOUR), "--until",
                   daemon.instant(day + 6 * HOUR - 2 * DAY)),
          (Decimal("342.857142857"), Decimal("10285.714285714")),
          "of seven hours, rounded once")
    equal(forecast("--since", daemon.instant(day), "--until",
                   daemon.instant(day)), (0, 0), "of no time")
    equal(forecast("--since", daemon.instant(day + 2 * DAY)), (0, 0),
          "of what has not begun")


def anomalies_hold_the_vectors_of_the_reference(ground):
    def day(n):
        return second("2025-05-01") + n * DAY + 3 * HOUR
    facts = [dict(model_id="jumps", nano=dollars(1), at=day(n))
             for n in range(7)] + [
        dict(model_id="jumps", nano=dollars(12), at=day(7)),
        dict(model_id="wakes", nano=dollars(3), at=day(7)),
        dict(model_id="falls", nano=dollars(1), at=day(7)),
        dict(model_id="unpriced", at=day(7))]
    # A mean of 3 and a deviation of 2.
    for name in ("falls", "within", "beyond"):
        facts += [dict(model_id=name, nano=dollars(n), at=day(n))
                  for n in range(7)]
    facts += [dict(model_id="within", nano=dollars(7), at=day(7)),
              dict(model_id="beyond", nano=dollars("7.5"), at=day(7))]
    store(ground, a_few(*facts))
    window = ("--since", "2025-05-01", "--until", "2025-05-09")
    equal(columns(report(ground, "anomalies", *window), "model_id", "day",
                  "latest_cost", "baseline_mean", "ratio"),
          [("jumps", "2025-05-08", 12, 1, 12),
           ("beyond", "2025-05-08", Decimal("7.5"), 3, Decimal("2.5")),
           ("wakes", "2025-05-08", 3, 0, None)],
          "what stands out, the largest ratio first")
    equal(report(ground, "anomalies", "--since", "2025-05-02", "--until",
                 "2025-05-09"), [], "seven days are too few")
    check("Nothing stands out" in ground.bursar(
        "report", "anomalies", "--since", "2025-05-02", "--until",
        "2025-05-09"), "and a person is told")


def lists_of_few_do_not_change_what_they_are_of(ground):
    at = int(time.time()) // 900 * 900 - 7200
    store(ground, a_few(
        *(dict(worker_id=name, nano=nano, at=at + n * 60, team="red")
          for n, (name, nano) in enumerate((
              ("ann", 9), ("bob", 5), (None, 4), ("cid", 2))))))
    for more in ((), ("--limit", "1"), ("--limit", "2"), ("--limit", "3")):
        equal(report(ground, "team", "red", *more)[0]["worker_count"], 3,
              "nobody is no worker: team red " + " ".join(more))
        got = report(ground, "payroll", *more)[0]
        equal((got["worker_count"], got["avg_productivity"],
               got["unattributed_count"], got["unattributed_cost"]),
              (3, 1, 1, money(4)), "nor a head: payroll " + " ".join(more))


def calls_that_cost_the_same_come_by_their_age(ground):
    at = int(time.time()) // 900 * 900 - 7200
    for n in (3, 1, 2):
        ground.write("in/%d" % n, [Fact("call-%d" % n, at + n,
                                        nano=7).message()])
        ground.once()
    equal(columns(report(ground, "calls"), "message_id"),
          [("call-1",), ("call-2",), ("call-3",)],
          "the oldest first, whichever was stored first")


def years_are_told_as_days_are(ground):
    """More days than one question can have; one wrong clock is enough."""
    ages = (3000, 1900, 1500, 1199, 700, 400, 399, 1)
    today = int(time.time()) // DAY * DAY
    facts = a_few(*(dict(nano=n + 1, at=today - age * DAY + 3 * HOUR,
                         provider="p") for n, age in enumerate(ages)))
    store(ground, facts)
    check_totals(ground, facts)
    for zone in ("Australia/Lord_Howe", "America/New_York"):
        rows = report(ground, "period-totals", "--tz", zone)
        days = [row for row in rows if row["period"] == "day"]
        equal([row["period_start"] for row in days],
              sorted({str(local(one.at, zone).date()) for one in facts}),
              "days of years in " + zone)
        equal(sum(row["total_cost"] for row in days), cost(facts),
              "and they add up")
    for begin in ("2010-01-01", "1900-01-01"):
        said = ground.bursar("report", "overview", "--since", begin)
        check("\nmonths " in said and "by provider" in said,
              "an overview since %s" % begin, said)
    said = ground.bursar("report", "overview", "--since",
                         daemon.instant(today - 1199 * DAY))
    check("\ndays " in said, "as many days as can be", said)


def windows_end_where_they_end(ground):
    """A day that is cut is cut for whoever looks at days, too."""
    noon = second("2025-05-08T12:00:00")
    store(ground, a_few(*(
        dict(model_id="m", nano=dollars(1), at=noon - n * DAY)
        for n in range(1, 8)), dict(model_id="m", nano=dollars(2),
                                    at=noon - 1),
        dict(model_id="m", nano=dollars(50), at=noon)))
    got = ask(ground, "report", "anomalies", "--since", "2025-05-01",
              "--until", "2025-05-08T12:00:00Z")
    equal(columns(got["rows"], "day", "latest_cost", "ratio"),
          [("2025-05-08", 2, 2)], "a call at --until is not part of it")
    got = report(ground, "anomalies", "--since", "2025-05-01", "--until",
                 "2025-05-09")
    equal(columns(got, "latest_cost"), [(52,)], "of the whole day it is")


def means_of_refunds_are_rounded_as_others(ground):
    store(ground, a_few(
        dict(model_id="m", nano=-7, at=second("2025-05-03")),
        dict(model_id="n", nano=-2, at=second("2025-05-03")),
        dict(model_id="m", nano=5, at=second("2025-05-08")),
        dict(model_id="n", nano=4, at=second("2025-05-08"))))
    equal(columns(report(ground, "anomalies", "--since", "2025-05-01",
                         "--until", "2025-05-09"), "model_id",
                  "baseline_mean"),
          [("m", money(-1)), ("n", 0)], "to the nearest")


def what_is_left_lasts_as_long_as_it_does(ground):
    store(ground, a_few(dict(budget_id="b", nano=1)))
    row = ask(ground, "budget", "forecast", "b", "--limit",
              "9000000000")["rows"][0]
    check(row["days_left"] > 8 * 10 ** 18, "for ever, nearly",
          row["days_left"])


def what_needs_records_says_that_they_are_gone(ground):
    """Sums stay; what only records tell is told to be short."""
    today = int(time.time()) // DAY * DAY
    store(ground, a_few(*(
        dict(provider="p", nano=1000 + n, at=today - n * DAY + 60)
        for n in range(1, 21))))
    ground.configure(retention={"facts-days": 10})
    ground.bursar("purge", "--force")

    def window(first, last):
        return ("--since", daemon.instant(today - first * DAY), "--until",
                daemon.instant(today - last * DAY))
    got = ask(ground, "report", "overview", *window(20, 12))
    equal((got["rows"][0]["requests_count"], got["rows"][0]["top_calls"],
           "incomplete_before" in got), (8, [], True),
          "the most expensive calls of an overview")
    got = ask(ground, "report", "overview", *window(5, 0))
    check("incomplete_before" not in got, "what is there is whole")
    got = ask(ground, "report", "calls", *window(15, 15))
    check("incomplete_before" not in got, "nothing is missing of no time")
    got = ask(ground, "report", "routing", *window(20, 0))
    equal((got["rows"][0]["count"], got["rows"][0]["by_provider"],
           "incomplete_before" in got),
          (20, [{"provider": "p", "count": 20}], True),
          "a total is that of the list that has all")


def a_report_is_of_one_moment(ground):
    """Records come in while it is made: its lists are of what its totals
    are."""
    ground.configure(source={"follow": True})
    ground.follow()
    at = int(time.time()) - HOUR	# of what the reports ask for: a day
    ended = threading.Event()

    def feed():
        for n in range(0, 10 ** 6, 20):
            if ended.wait(0.01):
                return
            ground.append("in/a", [
                Fact("fed-%d" % one, at - one, nano=one, worker_id="w",
                     provider="p%d" % (one % 7)).message()
                for one in range(n, n + 20)])
    feeding = real.InBackground(feed)
    torn = []
    try:
        daemon.wait_for(lambda: ground.count() > 0, "records come in")
        for _ in range(25):
            got = report(ground, "routing")[0]
            counts = [got["count"]] + [
                sum(row["count"] for row in got[name])
                for name in ("by_routing_reason", "by_provider", "by_model")]
            torn += [counts] * (len(set(counts)) > 1)
            got = report(ground, "worker-costs", "w")[0]
            counts = [got["cost_usd"]] + [
                sum(row["cost_usd"] for row in got[name])
                for name in ("by_provider", "by_model")]
            torn += [counts] * (len(set(counts)) > 1)
    finally:
        ended.set()
        feeding.done()
    equal(torn[:3], [], "each list adds up to its total")


def cheaper_models_are_named(ground):
    def calls(model, nano, count=20, **more):
        return [dict(dict(provider="p", tier="cloud", model_id=model,
                          input_tokens=800, output_tokens=200,
                          total_tokens=1000, nano=nano), **more)
                for _ in range(count)]
    store(ground, a_few(
        *calls("dear", 10 ** 7), *calls("near", 6 * 10 ** 6),
        *calls("cheaper", 10 ** 6),
        *calls("cheapest", 10 ** 5), *calls("rare", 2 * 10 ** 6, 19),
        *calls("elsewhere", 3 * 10 ** 6, provider="q"),
        *calls("other-tier", 3 * 10 ** 6, tier="local"),
        *calls("writer", 3 * 10 ** 6, input_tokens=200, output_tokens=800)))
    got = report(ground, "cost-drivers")[0]
    equal(got["status"], "analyzed", "there are drivers")
    equal(columns(got["recommendations"], "provider", "current_model",
                  "suggested_model", "estimated_savings_pct",
                  "estimated_savings_usd"),
          [("p", "dear", "cheaper", 90, Decimal("0.18")),
           ("p", "near", "cheaper", Decimal("83.3"), Decimal("0.1")),
           ("p", "cheaper", "cheapest", 90, Decimal("0.018"))],
          "for the same work, by what was paid")


def periods_have_names_and_no_other(ground):
    facts = lately(random.Random(daemon.SEED), 200)
    store(ground, facts)
    for short, long, seconds in (
            ("hour", "hourly", HOUR), ("day", "daily", DAY),
            ("week", "weekly", 7 * DAY), ("month", "monthly", 30 * DAY)):
        for word in (short, long):
            equal(report(ground, "summary", "--period", word)[0][
                "request_count"], len(since(facts, seconds)), word)
    for row in ask(ground, "report", "list")["rows"]:
        operand = ["x"] if row["operand"] else []
        for word in ("fortnight", "Day", "", "30"):
            said = ground.bursar("report", row["report"], *operand,
                                 "--period", word, status=2)
            if "unknown period" not in said:
                check(False, "%s refuses '%s'" % (row["report"], word), said)
    check(True, "every report refuses what is no period")


def an_empty_ledger_answers_everything(ground):
    store(ground, [])
    names = [row["report"] for row in ask(ground, "report", "list")["rows"]]
    check(len(names) >= 19, "there are all reports", names)
    for row in ask(ground, "report", "list")["rows"]:
        operand = ["x"] if row["operand"] else []
        for form in ("json", "csv", "table"):
            ground.bursar("report", row["report"], *operand, "--format", form)
    check(True, "every report answers")
    equal(report(ground, "cost-drivers")[0]["status"], "no_data", "no data")
    equal(report(ground, "payroll")[0]["workers"], [], "no workers")
    equal(report(ground, "forecast")[0]["trend"], "flat", "no trend")
    got = report(ground, "summary")[0]
    equal((got["request_count"], got["total_cost_usd"],
           got["avg_latency_ms"]), (0, None, None), "unknown is not zero")


# --- however they came --------------------------------------------------------------

ALL = (("summary", "--by", "provider"), ("summary", "--by", "day,team"),
       ("summary", "--by", "worker,model_id"), ("worker", "w1"),
       ("team", "red"), ("routing",), ("health",), ("circuit",),
       ("provider", "openai"), ("worker-costs", "w1"), ("payroll",),
       ("cost-drivers",), ("period-totals",), ("daily",), ("anomalies",),
       ("data-quality",), ("overview",), ("calls", "--limit", "1"))
WINDOW = ("--since", "2025-03-28", "--until", "2025-04-09T12:34:56")


def answers(ground, *more):
    return {" ".join(words): report(ground, *words, *WINDOW, *more)
            for words in ALL}


def same(got, want, what):
    differ = [name for name in want if got[name] != want[name]]
    check(not differ, what, *((name, got[name], want[name])
                              for name in differ[:2]))


def order_repetition_and_splitting_change_nothing(ground):
    pick = random.Random(daemon.SEED)
    facts = history(pick)
    store(ground, facts)
    want = answers(ground)
    same(answers(ground, "--from-records"), want, "records say the same")
    other = daemon.make_ground("again")
    try:
        other.configure(batch_records=50)
        twice = facts + pick.sample(facts, len(facts) // 2)
        pick.shuffle(twice)
        for turn in range(3):
            for n in range(4):
                other.write("in/%d-%d" % (turn, n), [
                    one.message() for one in twice[turn * 4 + n::12]])
            other.once()
        equal(other.count(), len(facts), "each is stored once")
        same(answers(other), want,
             "in another order, some of them twice, in twelve files")
    finally:
        other.leave()


def what_comes_late_counts_and_what_is_purged_stays_counted(ground):
    pick = random.Random(daemon.SEED)
    facts = history(pick)
    store(ground, facts[::2])
    first = answers(ground)
    same(answers(ground, "--from-records"), first, "before: as the records")
    ground.write("in/late", [one.message() for one in facts[1::2]])
    ground.once()
    after = answers(ground)
    check(after != first, "what came late is counted")
    same(answers(ground, "--from-records"), after, "after: as the records")
    window = ("--since", "2025-03-28", "--until", "2025-04-09")
    days = {zone: report(ground, "daily", *window, "--tz", zone)
            for zone in ZONES}
    ground.configure(retention={"facts-days": 1})
    ground.bursar("purge", "--force")
    equal(ground.count(), 0, "all facts are purged")
    for zone in ZONES:
        equal(report(ground, "daily", *window, "--tz", zone), days[zone],
              "the days of %s stay" % zone)
    said = ground.bursar("report", "daily", "--from-records", *window,
                         "--format", "json")
    check('"incomplete_before":"' in said and "are purged" in said,
          "and the records say that they are not all there")


def what_is_repriced_counts_as_the_records_say(ground):
    """Priced, late, repriced, late again and purged; in any order the sums are
    those of the records."""
    pick = random.Random(daemon.SEED)
    facts = history(pick)

    def prices(rate, *models):
        ground.write_text("prices.json", json.dumps({
            "schema": 1, "models": {"%s/%s" % (provider, model): {
                "input": rate, "output": 2 * rate} for model in models
                for provider in ("openai", "anthropic", "local")}}))
        ground.configure(prices={"book": ground.path("prices.json"),
                                 "built-in": False})

    def agree(what):
        got = answers(ground)
        same(answers(ground, "--from-records"), got, what)
        return got
    prices(3, "large")
    store(ground, facts[::3])
    said = [agree("priced")]
    prices(5, "large", "small")
    ground.bursar("reprice", "--since", "2020-01-01")
    said.append(agree("repriced"))
    ground.write("in/late", [one.message() for one in facts[1::3]])
    ground.once()
    said.append(agree("what came late, at the new prices"))
    prices(7, "small")
    ground.bursar("reprice", "--since", "2025-03-01", "--until", "2025-04-01")
    ground.bursar("reprice", "--since", "2025-04-01")
    said.append(agree("repriced in two windows that touch"))
    ground.write("in/later", [one.message() for one in facts])
    ground.once()
    said.append(agree("and late once more, some for the second time"))
    check(all(one != other for one, other in zip(said, said[1:])),
          "each step changes something")
    equal(ground.count(), len(facts), "each is there once")
    ground.bursar("verify")
    days = {zone: report(ground, "daily", *WINDOW, "--tz", zone)
            for zone in ZONES}
    ground.configure(retention={"facts-days": 1})
    ground.bursar("purge", "--force")
    ground.bursar("verify")
    for zone in ZONES:
        # The end of the window cuts a quarter of an hour: whole ones stay.
        equal(report(ground, "daily", *WINDOW, "--tz", zone)[:-1],
              days[zone][:-1], "the days of %s stay" % zone)


real.main_in_both(
    sums_by_any_field_are_those_of_the_records,
    days_and_hours_are_those_of_any_zone,
    reports_on_use_say_what_was_sent,
    reports_on_cost_say_what_was_sent,
    vectors_of_the_reference_hold,
    two_calls_cost_what_a_tracker_says,
    hours_are_whole_after_an_outage,
    budgets_hold_the_vectors_of_the_reference,
    a_forecast_is_of_what_has_passed,
    anomalies_hold_the_vectors_of_the_reference,
    lists_of_few_do_not_change_what_they_are_of,
    calls_that_cost_the_same_come_by_their_age,
    years_are_told_as_days_are,
    windows_end_where_they_end,
    means_of_refunds_are_rounded_as_others,
    what_is_left_lasts_as_long_as_it_does,
    what_needs_records_says_that_they_are_gone,
    a_report_is_of_one_moment,
    cheaper_models_are_named,
    periods_have_names_and_no_other,
    an_empty_ledger_answers_everything,
    order_repetition_and_splitting_change_nothing,
    what_comes_late_counts_and_what_is_purged_stays_counted,
    what_is_repriced_counts_as_the_records_say)
