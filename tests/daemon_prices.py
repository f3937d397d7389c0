#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What calls cost, from the configuration to the ledger: which cost counts,
which book answers, what a reload changes, and what is said of the unknown."""
import json
import os
import signal
import sqlite3
import sys
import threading

sys.dont_write_bytecode = True
import daemon  # noqa: E402
from daemon import check, equal  # noqa: E402

BOOK = {"schema": 1, "version": "first", "providers": {
    "maker": {"models": {
        "big": {"aliases": ["big-latest"], "prices": [
            {"from": "2026-01-01", "input": 3, "output": 15,
             "cache_read": 0.3, "cache_write": 3.75, "cache_write_1h": 6,
             "tiers": [{"above": 200000, "input": 6, "output": 22.5}],
             "modes": {"batch": {"input": 1.5, "output": 7.5}}}]},
        "half": {"input": 1}}},
    "house": {"models": {"*": {"input": 0, "output": 0}}}}}


def call(name, **more):
    """A metering message whose cost nobody reported."""
    body = {"provider": "maker", "model_id": "big", "input_tokens": 1000,
            "output_tokens": 100, "recorded_at": daemon.instant(daemon.BEGIN)}
    body.update(more)
    return daemon.envelope("metering", name, body)


def write_book(ground, book, name="prices.json"):
    ground.write_text(name, json.dumps(book))
    return ground.path(name)


def row(ground, name):
    return dict(ground.rows(
        "SELECT cost_nano, cost_reported_nano, cost_computed_nano, "
        "price_book, price_rule FROM metering_records WHERE message_id = ?",
        name)[0])


def costs(ground, name):
    got = row(ground, name)
    return (got["cost_nano"], got["cost_reported_nano"],
            got["cost_computed_nano"])


def without_prices_nothing_is_computed(ground):
    ground.write("in/a", [call("a"), call("b", cost_usd=0.5)])
    ground.once()
    equal(costs(ground, "a"), (None, None, None), "unknown is not zero")
    equal(costs(ground, "b"), (500000000, 500000000, None),
          "what was reported is what it cost")
    equal(row(ground, "b")["price_rule"], None, "no rule")


def what_was_reported_counts_and_the_computed_cost_stands_beside(ground):
    ground.configure(prices={"book": write_book(ground, BOOK)})
    ground.write("in/a", [
        call("plain"), call("said", cost_usd=0.5),
        call("nothing", input_tokens=None, output_tokens=None),
        call("caches", cache_read_input_tokens=10000,
             cache_write_input_tokens=3000,
             cache_write_1h_input_tokens=1000, thinking_tokens=50,
             hidden_output_tokens=20),
        call("tier", input_tokens=1, cache_read_input_tokens=200000),
        call("batch", pricing_mode="batch"),
        call("alias", model_id="big-latest"),
        call("dated", model_id="big-20260301"),
        call("free", provider="house", model_id="any:27b"),
    ])
    process = ground.once()
    equal(costs(ground, "plain"), (4500000, None, 4500000), "computed")
    equal(costs(ground, "said"), (500000000, 500000000, 4500000), "reported")
    equal(costs(ground, "nothing"), (None, None, None), "no usage, no cost")
    # 3000 + 3000 + 7500 + 6000 + 80 * 15 + 70 * 15 millionths of a dollar
    equal(costs(ground, "caches")[2], 21750000, "every bucket, once")
    # 1 * 6 + 200000 * .3 + 100 * 22.5 millionths
    equal(costs(ground, "tier")[2], 62256000, "the tier is a cliff")
    equal(costs(ground, "batch")[2], 2250000, "half in a batch")
    equal(costs(ground, "free"), (0, None, 0), "free is known, and zero")
    for name, want in (
            ("plain", "book:maker/big@2026-01-01 provider_model"),
            ("tier", "book:maker/big@2026-01-01>200000 provider_model"),
            ("batch", "book:maker/big@2026-01-01+batch provider_model"),
            ("alias", "book:maker/big@2026-01-01 alias"),
            ("dated", "book:maker/big@2026-01-01 dated_snapshot"),
            ("free", "book:house/* provider_default"),
            ("nothing", None)):
        equal(row(ground, name)["price_rule"], want, "%s: its rule" % name)
    version = row(ground, "plain")["price_book"]
    check(version.startswith("first.") and len(version) == 14,
          "the book says its version", version)
    check(any(version in line for line in process.events("prices")),
          "and the log does", process.events("prices"))
    daemon.check_rollups(ground)
    said = ground.bursar("verify")
    check(" 0 " in said or "no difference" in said or "agree" in said,
          "verify finds nothing", said)


def a_source_may_trust_the_book_more(ground):
    ground.configure(source={"cost-from": "computed"},
                     prices={"book": write_book(ground, BOOK)})
    ground.write("in/a", [call("said", cost_usd=0.5),
                          call("strange", model_id="other", cost_usd=0.25)])
    ground.once()
    equal(costs(ground, "said"), (4500000, 500000000, 4500000), "computed")
    equal(costs(ground, "strange"), (250000000, 250000000, None),
          "what no book knows costs what was reported")


def overrides_come_first_then_the_file_then_the_built_in_book(ground):
    ground.configure(prices={
        "book": write_book(ground, BOOK),
        "overrides": {"maker/big": {"input": "9", "output": 9},
                      "openai/gpt-4o": {"input": 9}}})
    ground.write("in/a", [
        call("first"),
        call("second", model_id="half", output_tokens=0),
        call("third", provider="openai", model_id="gpt-4.1"),
        call("hidden", provider="openai", model_id="gpt-4o")])
    ground.once()
    equal(costs(ground, "first")[2], 9900000, "the override")
    equal(row(ground, "first")["price_rule"],
          "override:maker/big provider_model", "says so")
    equal(row(ground, "second")["price_rule"], "book:maker/half "
          "provider_model", "the file")
    equal(costs(ground, "third")[2], 2800000, "the built-in book")
    equal(costs(ground, "hidden")[2], None, "half an override hides the rest")
    ground.configure(prices={"built-in": False})
    ground.write("in/b", [call("none", provider="openai",
                               model_id="gpt-4.1")])
    ground.once()
    equal(costs(ground, "none")[2], None, "it can be left out")


def what_no_book_knows_is_told_once_and_stored(ground):
    unknown = [call("u%d" % n, model_id="other") for n in range(5)] + [
        call("v", model_id="half"), call("w", model_id=None),
        call("x", recorded_at=daemon.instant(1700000000)),
        call("y", model_id="a b\u00e4\"c")]
    ground.configure(prices={"book": write_book(ground, BOOK),
                             "built-in": False})
    ground.write("in/a", unknown)
    process = ground.once()
    equal(ground.count(), len(unknown), "all are stored")
    equal(ground.value("SELECT count(cost_nano) FROM metering_records"), 0,
          "none has a cost")
    lines = process.events("price-unknown")
    equal(len(lines), 5, "each sort is told once")
    for reason in ("no-match", "no-rate", "no-model", "not-then"):
        check(any("reason=%s " % reason in line for line in lines), reason,
              lines)
    check(all("level=warning" in line for line in lines), "as a warning",
          lines)
    for word, level in (("raise", "level=error"), ("ignore", None)):
        ground.configure(prices={"book": ground.path("prices.json"),
                                 "built-in": False, "unknown": word})
        ground.write("in/" + word, [call(word, model_id="other")])
        lines = ground.once().events("price-unknown")
        equal(ground.count(), len(unknown) + (2 if level is None else 1),
              "%s: stored all the same" % word)
        check(len(lines) == (level is not None) and
              all(level in line for line in lines), word, lines)


def a_model_is_told_of_once_whoever_sends_it(ground):
    ground.configure(
        sources={"other": {"plugin": "file", "path": ground.path("more/*")}},
        prices={"book": write_book(ground, BOOK), "built-in": False})
    long = "x" * 300
    ground.write("in/a", [call("a%d" % n, model_id=model)
                          for n, model in enumerate(("other", long) * 20)])
    os.mkdir(ground.path("more"))
    ground.write("more/a", [call("b%d" % n, model_id=model)
                            for n, model in enumerate(("other", long) * 20)])
    process = ground.once()
    equal(ground.count(), 80, "all are stored")
    lines = process.events("price-unknown")
    equal(len(lines), 2, "one line for each model")


def a_reload_takes_new_prices_and_keeps_the_old_where_they_are_wrong(ground):
    path = write_book(ground, BOOK)
    ground.configure(source={"follow": True}, prices={"book": path})
    process = ground.follow()
    ground.write("in/a", [call("before")])
    ground.wait_settled(1)
    new = json.loads(json.dumps(BOOK))
    new["version"] = "second"
    new["providers"]["maker"]["models"]["big"]["prices"][0]["input"] = 30
    write_book(ground, new)
    ground.append("in/a", [call("not yet")])
    ground.wait_settled(2)
    process.signal(signal.SIGHUP)
    process.wait_event("reloaded")
    ground.append("in/a", [call("after")])
    daemon.wait_for(lambda: ground.count() == 3, "it is stored")
    ground.write_text("prices.json", '{"schema": 1, "models": {"maker/big": '
                      '{"input": "cheap", "otput": 1}}}')
    process.signal(signal.SIGHUP)
    process.wait_event("reload-refused")
    check("maker/big: input is" in process.log() and
          "'otput' is not known" in process.log() and "cheap" in process.log(),
          "every mistake is named", process.log()[-2000:])
    ground.append("in/a", [call("still")])
    daemon.wait_for(lambda: ground.count() == 4, "it is stored")
    os.unlink(path)
    process.signal(signal.SIGHUP)
    process.wait_event("reload-refused", 2)
    check(process.runs(), "it runs on")
    equal(process.stop(), 0, "it ends well")
    for name, cost, version in (
            ("before", 4500000, "first"), ("not yet", 4500000, "first"),
            ("after", 31500000, "second"), ("still", 31500000, "second")):
        equal(costs(ground, name)[2], cost, "%s: its cost" % name)
        check(row(ground, name)["price_book"].startswith(version + "."),
              "%s: its book" % name, row(ground, name))
    daemon.check_rollups(ground)


def an_older_ledger_gets_the_columns(ground):
    ground.write("in/a", [call("old")])
    ground.once()
    ground.run_sql("".join(
        "ALTER TABLE metering_records DROP COLUMN %s;" % name for name in (
            "price_book", "price_rule", "pricing_mode",
            "hidden_output_tokens", "cache_write_1h_input_tokens",
            "region", "web_searches", "images", "pages", "media_ms",
            "characters", "audio_input_tokens",
            "audio_cache_read_input_tokens", "audio_output_tokens",
            "image_input_tokens", "image_cache_read_input_tokens",
            "image_output_tokens")))
    ground.configure(prices={"book": write_book(ground, BOOK)})
    said = ground.bursar("price", "explain", "--id", "old", status=1)
    check("made by an older bursar" in said, "the daemon comes first", said)
    ground.write("in/b", [call("new", pricing_mode="batch", region="eu")])
    ground.once()
    equal(row(ground, "new")["price_rule"],
          "book:maker/big@2026-01-01+batch provider_model", "new columns")
    equal([tuple(one) for one in ground.rows(
              "SELECT message_id, region FROM metering_records "
              "ORDER BY message_id")],
          [("new", "eu"), ("old", None)], "what is new has values")
    ground.bursar("price", "explain", "--id", "old")
    equal(row(ground, "old")["price_rule"], None, "old rows stay as they are")


def a_stored_record_is_explained(ground):
    ground.configure(prices={"book": write_book(ground, BOOK)})
    ground.write("in/a", [
        call("said", cost_usd=0.5, pricing_mode="batch"),
        call("strange", model_id="other"), call("early", recorded_at=(
            daemon.instant(1700000000)))])
    ground.once()
    new = json.loads(json.dumps(BOOK))
    new["providers"]["maker"]["models"]["big"]["prices"][0]["modes"][
        "batch"]["input"] = 2
    write_book(ground, new)
    said = ground.bursar("price", "explain", "--id", "said")
    for text in ("stored   cost $0.5; reported $0.5; computed $0.00225\n",
                 "by book:maker/big@2026-01-01+batch provider_model of first.",
                 "cost     $0.00275,"):
        check(text in said, "it shows %s" % text.strip(), said)
    tree = json.loads(ground.bursar("price", "explain", "--id", "said",
                                    "--format", "json", "--since",
                                    "2026-11-01"))
    equal(tree["stored"]["cost_computed_usd"], 0.00225, "JSON: stored")
    equal(tree["cost_usd"], 0.00275, "JSON: now")
    said = ground.bursar("price", "explain", "--id", "strange", status=3)
    check("computed unknown" in said and "no entry matched" in said,
          "why it has no price", said)
    said = ground.bursar("price", "explain", "--id", "early", status=3)
    check("no price for that time" in said, "prices have dates", said)
    ground.bursar("price", "explain", "--id", "said", "--until",
                  "2026-11-01", status=1)
    said = ground.bursar("price", "explain", "--id", "nobody", status=1)
    check("no metering record has the id 'nobody'" in said, "no such one",
          said)


def clean(ground):
    """verify has nothing to say, and each cell is the sum of its records."""
    daemon.check_rollups(ground)
    ground.bursar("verify")
    check(True, "verify is clean")


def repricing_is_a_journal_entry(ground):
    path = write_book(ground, BOOK)
    ground.configure(prices={"book": path, "built-in": False})
    ground.write("in/a", [
        call("fact-%04d" % n, worker_id="w%d" % (n % 3), team="t%d" % (n % 2),
             recorded_at=daemon.instant(daemon.BEGIN + n * 60))
        for n in range(1500)] + [
        call("said", cost_usd=0.5), call("late", model_id="new"),
        call("gone", model_id="half", output_tokens=0)])
    ground.once()
    before = ground.value("SELECT sum(cost_nano) FROM metering_records")
    new = json.loads(json.dumps(BOOK))
    new["version"] = "second"
    models = new["providers"]["maker"]["models"]
    models["big"]["prices"][0]["input"] = 30
    models["new"] = {"input": 1, "output": 1}
    del models["half"]
    write_book(ground, new)

    ground.bursar("reprice", status=2)
    said = ground.bursar("reprice", "--since", "2026-11-01", "--dry-run")
    check("1,502" in said.replace("1502", "1,502") and
          "would change" in said, "a dry run says what would change", said)
    equal(ground.value("SELECT sum(cost_nano) FROM metering_records"),
          before, "and changes nothing")
    equal(ground.value("SELECT count(*) FROM sqlite_master WHERE name = "
                       "'bursar_corrections'"), 0, "not even the journal")

    tree = json.loads(ground.bursar(
        "reprice", "--since", "2026-11-01", "--format", "json", "--reason",
        "new prices"))
    equal((tree["facts"], tree["changed"], tree["unknown"]), (1503, 1502, 1),
          "what became of them")
    # 30,000 + 1,500 millionths, and 1,100 for the new model.
    equal(costs(ground, "fact-0007"), (31500000, None, 31500000), "changed")
    equal(costs(ground, "said"), (500000000, 500000000, 31500000),
          "what was reported counts on")
    equal(costs(ground, "late"), (1100000, None, 1100000), "now known")
    equal(costs(ground, "gone"), (1000000, None, 1000000),
          "what was known stays known")
    equal(row(ground, "late")["price_rule"], "book:maker/new provider_model",
          "its rule")
    equal(ground.value("SELECT sum(cost_nano) FROM metering_records"),
          1500 * 31500000 + 500000000 + 1100000 + 1000000, "the sum")
    equal(ground.value("SELECT count(*) FROM bursar_corrections WHERE "
                       "reason = 'new prices'"), 1502, "each has an entry")
    clean(ground)

    tree = json.loads(ground.bursar("reprice", "--since", "2026-11-01",
                                    "--format", "json"))
    equal((tree["changed"], tree["rows"]), (0, []), "once is enough")
    said = ground.bursar("price", "explain", "--id", "fact-0007")
    check(", cost $0.0045 -> $0.0315, book first." in said and
          ": new prices\n" in said, "explain shows the history", said)
    tree = json.loads(ground.bursar("price", "explain", "--id", "late",
                                    "--format", "json"))
    equal([(one["old_cost_usd"], one["new_cost_usd"])
           for one in tree["history"]], [(None, 0.0011)], "as JSON, too")

    models["new"]["input"] = 2
    write_book(ground, new)
    said = ground.bursar("reprice", "--since", "2026-11-01", "--until",
                         "2026-11-01T00:00:00.000001Z", "--unpriced")
    check("0 of" in said, "--unpriced leaves alone what has a price", said)
    ground.bursar("reprice", "--since", "2026-11-01")
    equal(costs(ground, "late")[0], 2100000, "again")
    tree = json.loads(ground.bursar("price", "explain", "--id", "late",
                                    "--format", "json"))
    equal(len(tree["history"]), 2, "two entries")
    clean(ground)


def where_it_was_served_raises_its_price(ground):
    book = json.loads(json.dumps(BOOK))
    price = book["providers"]["maker"]["models"]["big"]["prices"][0]
    price["regions"] = {"eu": 1.1}
    ground.configure(prices={"book": write_book(ground, book)})
    ground.write("in/a", [call("home"), call("far", region="eu"),
                          call("geo", inference_geo="eu"),
                          call("any", region="global")])
    ground.once()
    for name, want in (("home", 4500000), ("far", 4950000),
                       ("geo", 4950000), ("any", 4500000)):
        equal(costs(ground, name)[2], want, name)
    equal(row(ground, "far")["price_rule"],
          "book:maker/big@2026-01-01^eu provider_model", "its rule")
    tree = json.loads(ground.bursar("reprice", "--since", "2026-11-01",
                                    "--format", "json"))
    equal(tree["changed"], 0, "repricing comes to the same")
    said = ground.bursar("price", "explain", "--id", "far")
    check("asked    maker / big, region eu" in said and "x 1.1" in said and
          "cost     $0.00495," in said, "it is explained", said)
    price["regions"] = {"*": 2}
    write_book(ground, book)
    ground.bursar("reprice", "--since", "2026-11-01")
    equal(costs(ground, "far")[2], 9000000, "repriced")
    equal(costs(ground, "home")[2], 4500000, "and nothing else")
    clean(ground)


def pieces_are_priced_and_repriced(ground):
    book = json.loads(json.dumps(BOOK))
    models = book["providers"]["maker"]["models"]
    models["big"]["prices"][0]["web_search"] = 0.01
    models["paint"] = {"image": 0.04}
    models["hear"] = {"second": 0.0001}
    ground.configure(prices={"book": write_book(ground, book)})
    none = {"input_tokens": None, "output_tokens": None}
    ground.write("in/a", [
        call("search", web_searches=3),
        call("paint", model_id="paint", images=2, **none),
        call("hear", model_id="hear", seconds=90.5, **none),
        call("blind", model_id="paint"),
        call("half", model_id="half", output_tokens=0, web_searches=1)])
    ground.once()
    for name, want in (("search", 34500000), ("paint", 80000000),
                       ("hear", 9050000), ("blind", None), ("half", None)):
        equal(costs(ground, name)[2], want, name)
    tree = json.loads(ground.bursar("reprice", "--since", "2026-11-01",
                                    "--format", "json"))
    equal(tree["changed"], 0, "repricing comes to the same")
    said = ground.bursar("price", "explain", "--id", "search")
    check("search" in said and "cost     $0.0345," in said, "explained", said)
    models["big"]["prices"][0]["web_search"] = 0.02
    write_book(ground, book)
    ground.bursar("reprice", "--since", "2026-11-01")
    equal(costs(ground, "search")[2], 64500000, "repriced")
    clean(ground)


def sound_is_never_billed_as_text(ground):
    book = json.loads(json.dumps(BOOK))
    models = book["providers"]["maker"]["models"]
    models["talk"] = {"input": 2, "output": 8, "cache_read": 0.5,
                      "audio_input": 32, "audio_output": 64}
    models["pro"] = {"input": 2, "output": 8, "audio_input": "input"}
    ground.configure(prices={"book": write_book(ground, book)})
    ground.write("in/a", [
        call("talk", model_id="talk", audio_input_tokens=600,
             audio_output_tokens=80),
        call("text", model_id="talk"),
        call("pro", model_id="pro", audio_input_tokens=600),
        call("see", image_input_tokens=900),
        call("unheard", audio_input_tokens=1),
        call("drawn", image_output_tokens=1)])
    lines = ground.once().events("price-unknown")
    check(len(lines) == 1 and "reason=no-rate provider=maker model=big" in
          lines[0], "what has no rate is told of", lines)
    for name, want in (("talk", 25280000), ("text", 2800000),
                       ("pro", 2800000), ("see", 4500000),
                       ("unheard", None), ("drawn", None)):
        equal(costs(ground, name)[2], want, name)
    said = ground.bursar("price", "explain", "--id", "talk")
    check("audio_output" in said and "cost     $0.02528," in said,
          "explained", said)
    said = ground.bursar("price", "explain", "--id", "pro")
    check("input, says standard" in said, "as text, by the book", said)
    models["talk"]["audio_output"] = 80
    models["big"]["prices"][0]["audio_input"] = 10
    write_book(ground, book)
    tree = json.loads(ground.bursar("reprice", "--since", "2026-11-01",
                                    "--format", "json"))
    equal(tree["changed"], 2, "repriced by the columns")
    equal(costs(ground, "talk")[2], 26560000, "the one that has sound")
    equal(costs(ground, "unheard")[2], 4507000, "and what had no rate")
    clean(ground)


def repricing_beside_a_daemon_that_writes(ground):
    path = write_book(ground, BOOK)
    ground.configure(source={"follow": True}, prices={"book": path})
    ground.write("in/a", [call("a%05d" % n) for n in range(3000)])
    process = ground.follow()
    ground.wait_settled(3000)
    for price in (4, 5):
        new = json.loads(json.dumps(BOOK))
        new["providers"]["maker"]["models"]["big"]["prices"][0]["input"] = \
            price
        write_book(ground, new)
        ground.append("in/a", [call("b%d%05d" % (price, n))
                               for n in range(3000)])
        ground.bursar("reprice", "--since", "2026-11-01")
    ground.wait_settled(9000)
    equal(process.stop(), 0, "it ends well")
    ground.bursar("reprice", "--since", "2026-11-01")
    equal(ground.value("SELECT count(DISTINCT cost_nano) FROM "
                       "metering_records"), 1, "all cost the same at last")
    equal(ground.value("SELECT sum(cost_nano) FROM metering_records"),
          9000 * 6500000, "the sum")
    clean(ground)


def repricing_waits_for_who_writes(ground):
    path = write_book(ground, BOOK)
    ground.configure(prices={"book": path})
    ground.write("in/a", [call("a")])
    ground.once()
    new = json.loads(json.dumps(BOOK))
    new["providers"]["maker"]["models"]["big"]["prices"][0]["input"] = 30
    write_book(ground, new)
    lock = sqlite3.connect(ground.ledger, check_same_thread=False,
                           isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    later = threading.Timer(1, lambda: lock.execute("ROLLBACK"))
    later.start()
    ground.bursar("reprice", "--since", "2026-11-01")
    later.join()
    lock.close()
    equal(costs(ground, "a")[0], 31500000, "it is repriced")
    clean(ground)


def a_source_that_trusts_the_book_is_repriced_as_such(ground):
    path = write_book(ground, BOOK)
    ground.configure(source={"cost-from": "computed"}, prices={"book": path})
    ground.write("in/a", [call("a", cost_usd=0.5)])
    ground.once()
    new = json.loads(json.dumps(BOOK))
    new["providers"]["maker"]["models"]["big"]["prices"][0]["input"] = 30
    write_book(ground, new)
    ground.bursar("reprice", "--since", "2026-11-01")
    equal(costs(ground, "a"), (31500000, 500000000, 31500000), "computed")
    ground.configure()
    ground.bursar("reprice", "--since", "2026-11-01", status=2)


def prompts_are_not_priced(ground):
    ground.configure(prices={"book": write_book(ground, BOOK)})
    ground.write("in/a", [daemon.prompt(
        1, provider="maker", model_id="big",
        tokens={"input": 1000, "output": 100})])
    ground.once()
    equal(ground.value("SELECT cost_nano FROM prompt_records"), None,
          "a prompt costs what was said of it")


daemon.main(without_prices_nothing_is_computed,
            what_was_reported_counts_and_the_computed_cost_stands_beside,
            a_source_may_trust_the_book_more,
            overrides_come_first_then_the_file_then_the_built_in_book,
            what_no_book_knows_is_told_once_and_stored,
            a_model_is_told_of_once_whoever_sends_it,
            a_reload_takes_new_prices_and_keeps_the_old_where_they_are_wrong,
            an_older_ledger_gets_the_columns,
            a_stored_record_is_explained,
            repricing_is_a_journal_entry,
            where_it_was_served_raises_its_price,
            pieces_are_priced_and_repriced,
            sound_is_never_billed_as_text,
            repricing_beside_a_daemon_that_writes,
            repricing_waits_for_who_writes,
            a_source_that_trusts_the_book_is_repriced_as_such,
            prompts_are_not_priced)
