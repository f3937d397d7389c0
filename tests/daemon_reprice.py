#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Costs in a PostgreSQL: priced when they come in, repriced by two at once
while a daemon writes; sums, journal and dollars follow."""
import json
import sys
import threading

sys.dont_write_bytecode = True
import daemon  # noqa: E402
import real  # noqa: E402
from daemon import check, equal  # noqa: E402
from real import sql  # noqa: E402

real.SOURCE = "file"


def call(name, **more):
    body = {"provider": "maker", "model_id": "big", "input_tokens": 1000,
            "output_tokens": 100, "worker_id": "w",
            "recorded_at": daemon.instant(daemon.BEGIN)}
    body.update(more)
    return daemon.envelope("metering", name, body)


def configure(ground, price, **more):
    ground.write_text("prices.json", json.dumps({
        "schema": 1, "version": "p%s" % price, "models": {
            "maker/big": {"input": price, "output": 15}}}))
    ground.configure(prices={"book": ground.path("prices.json"),
                             "built-in": False}, **more)


def values(statement):
    return "\n".join("|".join(row) for row in sql(statement))


def repricing_is_a_journal_entry(ground):
    configure(ground, 3)
    ground.write("in/a", [call("f%04d" % n, team="t%d" % (n % 3),
                               recorded_at=daemon.instant(
                                   daemon.BEGIN + 3600 * n))
                          for n in range(1200)] + [call("said",
                                                        cost_usd=0.5)])
    ground.once()
    equal(values("SELECT cost_nano, cost_usd, price_rule FROM "
                 "metering_records WHERE message_id = 'f0001'"),
          "4500000|0.004500000|book:maker/big provider_model", "priced")
    configure(ground, 30)
    said = ground.bursar("reprice", "--since", "2026-11-01", "--dry-run")
    check("would change" in said, "a dry run", said)
    equal(values("SELECT to_regclass('bursar_corrections') IS NULL"), "t",
          "changes nothing")
    tree = json.loads(ground.bursar("reprice", "--since", "2026-11-01",
                                    "--format", "json"))
    equal(tree["changed"], 1201, "all are repriced")
    equal(values("SELECT cost_nano, cost_usd, cost_computed_usd, "
                 "left(price_book, 4) FROM metering_records WHERE "
                 "message_id IN ('f0001', 'said') ORDER BY message_id"),
          "31500000|0.031500000|0.031500000|p30.\n"
          "500000000|0.500000000|0.031500000|p30.",
          "what is read by people, too")
    equal(values("SELECT count(*), sum(new_cost_nano - old_cost_nano) FROM "
                 "bursar_corrections"), "1201|%d" % (1200 * 27000000),
          "each has an entry")
    equal(values("SELECT sum(cost_nano), sum(cost_nano_n) FROM rollup_cells "
                 "WHERE dimension = 'all'"),
          "%d|1201" % (1200 * 31500000 + 500000000), "the sums follow")
    ground.check_ledger()
    ground.verify()
    said = ground.bursar("price", "explain", "--id", "f0001")
    check(", cost $0.0045 -> $0.0315, book p3." in said, "its history", said)


def two_at_once_beside_a_daemon(ground):
    configure(ground, 3, source={"follow": True})
    ground.write("in/a", [call("a%05d" % n) for n in range(3000)])
    process = ground.follow()
    ground.wait_settled(3000)
    configure(ground, 30, source={"follow": True})
    ground.append("in/a", [call("b%05d" % n) for n in range(3000)])
    said = []
    both = [threading.Thread(target=lambda: said.append(json.loads(
        ground.bursar("reprice", "--since", "2026-11-01", "--format",
                      "json")))) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    ground.wait_settled(6000)
    equal(process.stop(), 0, "it ends well")
    ground.bursar("reprice", "--since", "2026-11-01")
    equal(len(said), 2, "both came to their end")
    equal(values("SELECT count(*), count(DISTINCT row_id) FROM "
                 "bursar_corrections"), "6000|6000", "each is changed once")
    equal(values("SELECT sum(cost_nano) FROM rollup_cells WHERE "
                 "dimension = 'worker'"), str(6000 * 31500000), "the sums")
    ground.check_ledger()
    ground.verify()


NEW = ["region", "web_searches", "images", "pages", "media_ms", "characters",
       "audio_input_tokens", "audio_cache_read_input_tokens",
       "audio_output_tokens", "image_input_tokens",
       "image_cache_read_input_tokens", "image_output_tokens"]


def an_older_ledger_gets_the_columns(ground):
    """What was stored before them is explained and priced as ever."""
    configure(ground, 3)
    ground.write("in/a", [call("old")])
    ground.once()
    sql("".join("ALTER TABLE metering_records DROP COLUMN %s;" % name
                for name in NEW) +
        "DELETE FROM bursar_meta WHERE name = 'ledger_stamp';")
    said = ground.bursar("price", "explain", "--id", "old", status=1)
    check("made by an older bursar" in said, "the daemon comes first", said)
    ground.write_text("prices.json", json.dumps({
        "schema": 1, "version": "r", "models": {"maker/big": {
            "input": 3, "output": 15, "web_search": 0.01,
            "audio_input": 30, "regions": {"eu": 1.1}}}}))
    ground.write("in/b", [call("far", region="eu", web_searches=2),
                          call("near"),
                          call("heard", audio_input_tokens=1000)])
    ground.once()
    equal(values("SELECT message_id, coalesce(region, ''), cost_nano, "
                 "price_rule FROM metering_records ORDER BY message_id"),
          "far|eu|24950000|book:maker/big^eu provider_model\n"
          "heard||31500000|book:maker/big provider_model\n"
          "near||4500000|book:maker/big provider_model\n"
          "old||4500000|book:maker/big provider_model", "new columns")
    tree = json.loads(ground.bursar("reprice", "--since", "2026-11-01",
                                    "--format", "json"))
    equal((tree["facts"], tree["changed"]), (4, 0),
          "repricing comes to the same")
    said = ground.bursar("price", "explain", "--id", "far")
    check("region eu" in said and "x 1.1" in said, "it is explained", said)
    said = ground.bursar("price", "explain", "--id", "heard")
    check("audio_input  " in said and "0.03 " in said, "so is sound", said)
    ground.verify()


real.main(repricing_is_a_journal_entry, two_at_once_beside_a_daemon,
          an_older_ledger_gets_the_columns,
          servers=["postgres"])
