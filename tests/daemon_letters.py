#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Messages that can never be stored: kept as they were delivered, with a
reason, replayable; and keys that are wrong or not there."""
import base64
import hashlib
import json
import os
import subprocess
import sys
import time

sys.dont_write_bytecode = True
import daemon  # noqa: E402
from daemon import check, equal  # noqa: E402

SECRET = "MARK-of-a-body"	# never to be told in a reason or a log
SOME = daemon.scaled(300, 100)


def delivered(letter):
    return base64.b64decode(letter["body_base64"])


def by_line(ground):
    return {letter["line"]: letter for letter in ground.letters()}


def each_mistake_has_its_reason(ground):
    say = '{"kind":"metering","text":"%s"' % SECRET
    lines = [
        (say, "malformed"),				# cut off
        ("%s %s" % (SECRET, SECRET), "malformed"),
        ('{"kind":"metering","body":"%s"}' % SECRET, "malformed"),
        ('{"kind":"metering","body":[{"%s":1}]}' % SECRET, "malformed"),
        ('{"kind":"metering","body":17}', "malformed"),
        ('{"kind":"metering","body_base64":"e30="}', None),
        ('{"kind":"metering","body_base64":"!%s"}' % SECRET, "bad-envelope"),
        ('{"kind":"metering","properties":[],"body":{}}', "bad-envelope"),
        ('{"kind":"metering","headers":"x","body":{}}', "bad-envelope"),
        ('{"kind":"other","body":{"x":"%s"}}' % SECRET, "bad-envelope"),
        ('{"kind":17,"body":{}}', "bad-envelope"),
        ('{"body":{"x":"%s"}}' % SECRET, "no-kind"),
        ('{"x":"%s"}' % SECRET, "no-kind"),
        ('{"routing_key":"metering.chat","body":{}}', None),
        ('{"routing_key":"audit.tool.x","body":{}}', None),
        ('{"routing_key":"other.%s","body":{}}' % SECRET, "no-kind"),
        ('{"kind":"metering","properties":{"content_encoding":'
         '"encrypted/cluster"},"body":"%s"}' % SECRET, "no-key"),
    ]
    ground.write("in/a", [line for line, _ in lines])
    process = ground.once()
    found = by_line(ground)
    for number, (line, reason) in enumerate(lines, 1):
        letter = found.get(number)
        check((letter or {}).get("reason") == reason, "%s: %s" % (
            line[:50], reason or "stored"), letter)
        if letter is not None:
            equal(delivered(letter), line.encode(), "  kept as delivered")
            check(SECRET not in letter["text"], "  no content in the reason",
                  letter["text"])
    check(SECRET not in process.log(), "no content of a body in the log")
    equal(ground.count() + ground.count("tool"),
          len([1 for _, reason in lines if reason is None]),
          "the others are stored")
    again = ground.once()
    check("read=0 " in again.events("source-state")[0],
          "they are settled: nothing is read again",
          again.events("source-state"))
    said = json.loads(ground.bursar("dead-letters", "list", "--reason",
                                    "no-kind", "--format", "json"))
    equal(len(said["rows"]), 3, "`bursar dead-letters` lists by reason")
    shown = json.loads(ground.bursar("dead-letters", "show",
                                     found[1]["id"][:10], "--format",
                                     "json"))
    equal(shown["id"], found[1]["id"], "and shows one by its id")


def a_line_above_the_limit_is_kept_in_part(ground):
    ground.configure(source={"kind": "metering"}, max_message="100k")
    long = json.dumps({"x": "y" * 200000})
    fits = json.dumps({"x": "y" * 90000})
    ground.write("in/a", [daemon.body_of_fact(1), long, fits,
                          daemon.body_of_fact(2)])
    ground.once()
    equal(ground.count(), 3, "lines around it are stored")
    letters = ground.letters()
    equal([one["reason"] for one in letters], ["too-large"], "it is too-large")
    equal(letters[0]["full_size"], len(long), "its length is kept")
    equal(letters[0]["sha256"], hashlib.sha256(long.encode()).hexdigest(),
          "and its SHA-256")
    equal(delivered(letters[0]), long[:65536].encode(), "and its first 64 KB")
    equal((letters[0]["line"], letters[0]["place"]),
          (2, ground.path("in/a")), "and its place")
    ground.bursar("replay", "--all", status=1)
    equal(ground.count(), 3, "a part is never replayed as the whole")


def id_conflicts_store_the_first(ground):
    ground.write("in/a", [daemon.fact(1), daemon.fact(1, input_tokens=1),
                          daemon.fact(1)])
    ground.once()
    equal(ground.count(), 1, "one is stored")
    equal([(one["reason"], one["line"]) for one in ground.letters()],
          [("id-conflict", 2)], "other content is a dead letter")
    daemon.check_rollups(ground)
    ground.write("in/b", [daemon.fact(1, input_tokens=2)])
    ground.once()
    equal(ground.count(), 1, "also in another run")
    equal(len(ground.letters("id-conflict")), 2, "so it is there")
    said = ground.bursar("replay", "--all", status=1)
    check("2 left" in said, "a replay leaves it", said)
    daemon.check_rollups(ground)


def a_letter_that_is_sent_again_keeps_what_its_token_said(ground):
    """As `bursar dead-letters show --format json` prints it."""
    held = {"fixed": {"team": "blue", "tag:desk": "7"}, "kinds": ["metering"]}
    ground.write("in/a", [
        dict(daemon.fact(1, team="red", tags={"desk": "8"}), **held),
        dict(daemon.prompt(2), **held)])
    ground.once()
    equal([tuple(row) for row in ground.rows(
        "SELECT team, tags FROM metering_records")],
          [("blue", '{"desk":"7"}')], "the token's fields win")
    equal(ground.count("prompt"), 0, "a kind that it may not send is refused")
    equal([one["reason"] for one in ground.letters()], ["no-kind"],
          "as a dead letter")


# --- keys --------------------------------------------------------------------

def sealed(ground, crypto, first, count):
    return daemon.sealed(ground, crypto, [
        {"kind": "metering", "body": daemon.body_of_fact(n),
         "properties": {"message_id": "fact-%08d" % n}}
        for n in range(first, first + count)])


def with_secret(ground, path, **more):
    ground.configure(
        source=dict({"crypto": "legion"}, **more),
        crypto={"legion": {"plugin": "cluster", "secret-file": path}})


def what_cannot_be_opened_has_one_text(ground):
    daemon.need("crypto_cluster")
    with_secret(ground, daemon.cluster_secret(ground, "secret"))
    lines = sealed(ground, "legion", 0, 6)
    del lines[1]["headers"]["iv"]
    body = base64.b64decode(lines[2].pop("body_base64"))
    lines[2]["body_base64"] = base64.b64encode(
        body[:-8] + b"AAAA" + body[-4:]).decode()
    lines[3]["headers"]["iv"] = "AAAAAAAAAAAAAAAA"
    lines[4]["properties"]["content_encoding"] = "encrypted/other"
    ground.write("in/a", lines)
    ground.once()
    found = by_line(ground)
    equal({n: one["reason"] for n, one in found.items()},
          {2: "undecryptable", 3: "undecryptable", 4: "undecryptable",
           5: "no-key"}, "each has its reason")
    equal(len({found[n]["text"] for n in (2, 3, 4)}), 1,
          "one text for every cause")
    equal(ground.ids(), ["fact-00000000", "fact-00000005"],
          "the others are stored")


def a_wrong_key_costs_few_letters(ground):
    daemon.need("crypto_cluster")
    right = daemon.cluster_secret(ground, "right")
    wrong = daemon.cluster_secret(ground, "wrong")
    with_secret(ground, right)
    ground.write("in/a", sealed(ground, "legion", 0, SOME))
    with_secret(ground, wrong, follow=True)
    process = ground.follow()
    ground.wait_state("sources", "in", "slow")
    check("right key" in process.events("source-slow")[0],
          "the log asks whether it is the right key",
          process.events("source-slow"))
    time.sleep(1)
    letters = len(ground.letters("undecryptable"))
    check(8 <= letters <= 20, "few are dead letters: %d of %d" % (letters,
                                                                  SOME))
    equal(ground.count(), 0, "nothing is stored")
    with_secret(ground, right, follow=True)
    process.signal(daemon.signal.SIGHUP)
    process.wait_event("reloaded")
    daemon.wait_for(lambda: ground.count() + len(ground.letters()) >= SOME,
                    "the rest is stored")
    equal(process.stop(), 0, "the right key ends it")
    letters = len(ground.letters("undecryptable"))
    check(letters < 25, "with few letters in all: %d" % letters)
    said = ground.bursar("replay", "--reason", "undecryptable")
    check(said.startswith("%d stored" % letters), "which are replayed", said)
    daemon.once_each(ground.ids(), ["fact-%08d" % n for n in range(SOME)],
                     "now all are stored")
    daemon.check_rollups(ground)


def an_unknown_key_is_added_and_its_letters_replayed(ground):
    daemon.need("crypto_sodium")
    def keygen(name):
        out = subprocess.run(
            [daemon.BURSAR, "crypto", "keygen", "--plugin", "sodium", "--id",
             name], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env=daemon.environment(), check=True).stdout
        with open(ground.path("keys-" + name), "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(out)
        return out

    old = keygen("old")
    new = keygen("new")
    cryptos = {name: {"plugin": "sodium",
                      "keys-file": ground.path("keys-" + name)}
               for name in ("old", "new")}
    ground.configure(source={"crypto": "old"}, crypto=cryptos)
    mixed = sealed(ground, "old", 0, 50) + sealed(ground, "new", 50, 50)
    ground.write("in/a", mixed)
    process = ground.once()
    equal(ground.ids(), ["fact-%08d" % n for n in range(50)],
          "what the known key opens is stored")
    equal(len(ground.letters("no-key")), 50, "the others are no-key")
    check(not process.events("source-slow"), "which does not slow the source")
    kept = delivered(ground.letters()[0])
    check(b"encrypted/sodium" in kept and b"input_tokens" not in kept,
          "a letter is never decrypted", kept[:200])
    with open(ground.path("keys-old"), "wb") as file:
        file.write(old + new)
    said = ground.bursar("replay", "--reason", "no-key")
    check(said.startswith("50 stored"), "the key is added: replayed", said)
    equal(ground.ids(), ["fact-%08d" % n for n in range(100)],
          "now all are stored")
    said = ground.bursar("dead-letters")
    check("No dead letters" in said, "no letter is listed any more", said)


def a_replay_that_is_killed_stores_nothing_twice(ground):
    equal_calls = [{"body": daemon.body_of_fact(1)}] * 3
    ground.configure()
    ground.write("in/a", equal_calls)
    ground.once()
    equal(len(ground.letters("no-kind")), 3, "nobody says of what kind it is")
    # As letters of a broker's are: without a place.
    folder = os.path.join(ground.state_dir, "dead-letters")
    day, = [name for name in os.listdir(folder) if name.endswith(".jsonl")]
    lines = ground.letters()
    with open(os.path.join(folder, day), "w", encoding="utf-8") as file:
        for letter in lines:
            for name in ("origin", "place", "offset"):
                letter.pop(name, None)
            file.write(json.dumps(letter, separators=(",", ":")) + "\n")
    ground.configure(source={"kind": "metering"})
    said = ground.bursar("replay", "--all")
    check(said.startswith("3 stored (0 of"), "equal calls are calls", said)
    equal(ground.count(), 3, "and all stored")
    # Stored, and killed before that was noted.
    os.remove(os.path.join(folder, "replayed"))
    said = ground.bursar("replay", "--all")
    check(said.startswith("3 stored (3 of"), "the next replay knows", said)
    equal(ground.count(), 3, "and stores nothing twice")


def clear_messages_are_refused_where_none_should_come(ground):
    daemon.need("crypto_cluster")
    with_secret(ground, daemon.cluster_secret(ground, "secret"))
    lines = sealed(ground, "legion", 0, 3) + [daemon.fact(3)]
    with_secret(ground, ground.path("secret"), **{"require-encryption": True})
    ground.write("in/a", lines)
    ground.once()
    equal((ground.count(), [one["reason"] for one in ground.letters()]),
          (3, ["not-encrypted"]), "clear ones are not-encrypted")


# --- limits ------------------------------------------------------------------

LIMITS = {"max-size": "1M", "reserve": "64k"}


def reach_the_limit(ground):
    """A ledger that refuses all, and letters that nobody has room for."""
    ground.write("in/nothing", [])
    ground.once()
    ground.run_sql("CREATE TRIGGER refuses BEFORE INSERT ON metering_records "
                   "WHEN NEW.input_tokens > 0 BEGIN SELECT RAISE(ABORT, 'no')"
                   "; END;")
    ground.configure(source={"follow": True}, dead_letters=LIMITS)
    ground.write("in/a", [daemon.fact(n, input_tokens=1, padding="x" * 300000)
                          for n in range(5)] +
                 [daemon.fact(9, input_tokens=0)])
    process = ground.follow()
    part = ground.wait_state("sinks", "ledger", "held")
    check("max-size" in part["why"], "status says that the limit is reached",
          part)
    letters = len(ground.letters())
    check(1 <= letters < 5, "with %d letters" % letters)
    time.sleep(0.3)
    equal(len(ground.letters()), letters, "no letter passes it")
    held = ground.part("sources", "in")["in_flight_messages"]
    check(6 - letters <= held <= 6,
          "nothing but letters is settled, nothing lost", held)
    return process


def room_that_a_replay_makes_is_used_at_once(ground):
    process = reach_the_limit(ground)
    ground.run_sql("DROP TRIGGER refuses")
    ground.bursar("replay", "--all")
    ground.wait_settled(6)
    equal(process.stop(), 0, "TERM ends it with 0")
    ground.bursar("replay", "--all")
    equal(ground.count(), 6, "replayed, all are stored")
    daemon.check_rollups(ground)


def files_of_letters_may_be_removed(ground):
    """Those that come later are kept all the same."""
    process = reach_the_limit(ground)
    folder = os.path.join(ground.state_dir, "dead-letters")
    os.mkdir(ground.path("away"))

    def settled():
        """Takes away what stands there, until nothing waits."""
        if ground.part("sinks", "ledger").get("state") == "held":
            for name in os.listdir(folder):
                if name.endswith(".jsonl"):
                    os.rename(os.path.join(folder, name), ground.path(
                        "away/%d" % len(os.listdir(ground.path("away")))))
        return ground.settled() == 6
    daemon.wait_for(settled, "all are settled")
    equal(process.stop(), 0, "TERM ends it with 0")
    seen = {one["id"] for one in ground.letters()}
    for name in os.listdir(ground.path("away")):
        with open(ground.path("away/" + name), encoding="utf-8") as file:
            seen.update(json.loads(line)["id"] for line in file)
    check(len(os.listdir(ground.path("away"))) > 1,
          "letters that follow are in a file that is there")
    equal((ground.count(), len(seen)), (1, 5),
          "each is stored or was a dead letter")


def a_higher_limit_lets_a_paused_source_go_on(ground):
    ground.configure(source={"follow": True, "kind": "metering"},
                     dead_letters=LIMITS)
    ground.write("in/a", ['{"broken":"%s' % ("x" * 300000)] * 5 +
                 [daemon.body_of_fact(1)])
    process = ground.follow()
    part = ground.wait_state("sources", "in", "paused")
    check("max-size" in part["why"], "status says why", part)
    check("max-size" in ground.bursar("status"), "and `bursar status`")
    equal(ground.count(), 0, "nothing behind it is stored")
    ground.configure(source={"follow": True, "kind": "metering"},
                     dead_letters={"max-size": "8M", "reserve": "64k"})
    process.signal(daemon.signal.SIGHUP)
    process.wait_event("reloaded")
    daemon.wait_for(lambda: ground.count() == 1, "the last line is stored")
    equal(process.stop(), 0, "TERM ends it with 0")
    equal(len({one["id"] for one in ground.letters()}), 5,
          "each of the others is a dead letter")


daemon.main(each_mistake_has_its_reason,
            a_line_above_the_limit_is_kept_in_part,
            id_conflicts_store_the_first,
            a_letter_that_is_sent_again_keeps_what_its_token_said,
            what_cannot_be_opened_has_one_text,
            a_wrong_key_costs_few_letters,
            an_unknown_key_is_added_and_its_letters_replayed,
            a_replay_that_is_killed_stores_nothing_twice,
            clear_messages_are_refused_where_none_should_come,
            room_that_a_replay_makes_is_used_at_once,
            files_of_letters_may_be_removed,
            a_higher_limit_lets_a_paused_source_go_on)
