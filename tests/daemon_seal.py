#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sealed at rest: what people wrote and models answered lies sealed in SQLite
and PostgreSQL, whoever has the key reads it, and a change of keys costs no
record, whenever it is killed."""
import glob
import json
import os
import random
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
import daemon  # noqa: E402
import real  # noqa: E402
import vault  # noqa: E402
from daemon import check, equal  # noqa: E402
from real import change, sql  # noqa: E402

real.SOURCE = "file"
MANY = daemon.scaled(300, 100)
KILLS = daemon.scaled(4, 2)
WORDS = ("quixotic", "zephyrean", "halcyonic")	# in every body, no column name
BODIES = {"prompt": ("extra_json", "request_json", "response_json",
                     "response_thinking_json", "error_message"),
          "tool": ("extra_json", "arguments_json", "result_json",
                   "error_json")}


# --- ground --------------------------------------------------------------------

def prompt(n, **more):
    return daemon.prompt(n, **dict({
        "request": {"messages": [{"role": "user",
                                  "content": "a quixotic plan %d" % n}]},
        "response": {"text": "zephyrean answer %d \u00e9\ud83d\ude00" % n},
        "error": {"message": "halcyonic %d" % n},
        "unheard_of": "quixotic extra %d" % n}, **more))


def tool(n, **more):
    return daemon.tool(n, tool_call={
        "id": "t%d" % n, "name": "add",
        "arguments": {"text": "quixotic %d" % n},
        "result": {"text": "zephyrean %d" % n}}, **more)


def names(kind, first, count):
    return ["%s-%08d" % (kind, n) for n in range(first, first + count)]


def add_key(ground, name, *arguments, file="keys"):
    """A new key on top of the file, so that it seals."""
    path = ground.path(file)
    made = subprocess.run(
        [daemon.BURSAR, "crypto", "keygen", "--plugin", "sodium", "--id",
         name] + list(arguments), stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, env=daemon.environment(), check=True)
    old = b""
    if os.path.exists(path):
        with open(path, "rb") as keys:
            old = keys.read()
    write_keys(ground, made.stdout + old, file)
    return made.stdout


def write_keys(ground, text, file="keys"):
    path = ground.path(file)
    with open(path + ".new", "wb") as keys:
        os.fchmod(keys.fileno(), 0o600)
        keys.write(text)
    os.rename(path + ".new", path)


def sodium(ground, file="keys"):
    return {"plugin": "sodium", "keys-file": ground.path(file)}


def configure(ground, seal="own", crypto=None, **more):
    """All in one ledger, prompts and tool calls sealed."""
    route = {"kinds": ["prompt", "tool"], "sinks": ["ledger"]}
    if seal is not None:
        route["seal"] = seal
    if crypto is None:
        crypto = {"own": sodium(ground)}
    more.setdefault("source", {"follow": True})
    ground.configure(
        crypto=crypto, routes=[{"kinds": ["metering"], "sinks": ["ledger"]},
                               route], **more)


def settle(ground, process, count):
    ground.wait_settled(count)
    equal(process.stop(), 0, "TERM ends it with 0")


def export(ground, *arguments, status=0):
    """Rows by kind and id, and what was said on standard error."""
    done = subprocess.run(
        [daemon.BURSAR, "-c", ground.config, "export", "--bodies"] +
        list(arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, cwd=ground.folder, env=daemon.environment(),
        timeout=daemon.PATIENCE, check=False)
    said = done.stderr.decode()
    if status is not None and done.returncode != status:
        raise daemon.Failure("export: exit status %d, not %d: %s" % (
            done.returncode, status, said))
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {(row["kind"], row["message_id"]): row for row in rows}, said


def bare(rows, *left_out):
    """Without what sealing and the time of ingest change."""
    return {key: {name: value for name, value in row.items()
                  if name not in ("inserted_at", "row_hash", "sealed_by",
                                  "source") + left_out}
            for key, row in rows.items()}


def column(ground, name, kind="prompt"):
    """That column of all rows, in order of id."""
    query = "SELECT %s FROM %s_records ORDER BY message_id" % (name, kind)
    if real.SINK == "postgres":
        return [row[0] for row in sql(query)]
    return [row[0] for row in ground.rows(query)]


def files_with(ground, *words):
    """Files of the database in which one of the words stands."""
    if real.SINK == "postgres":
        real.sql("CHECKPOINT")
        data = [os.path.join(path, name) for path, _, found in os.walk(
            os.path.join(os.environ["BURSAR_TEST_SERVERS"], "postgres"))
                for name in found]
    else:
        data = glob.glob(ground.ledger + "*")
    check(data, "there are files", data)
    wrong = []
    for path in data:
        try:
            with open(path, "rb") as file:
                text = file.read()
        except OSError:
            continue	# a file that came and went, a socket
        wrong += [path for word in words if word.encode() in text]
    return wrong


def clear_export(ground, messages):
    """What a ledger without sealing gives, by the same daemon."""
    path = ground.path("clear.db")
    seal, config = ground.config, ground.path("clear.yaml")
    os.mkdir(ground.path("clear"))
    ground.write("clear/a", messages)
    tree = {"sources": {"in": {"plugin": "file",
                               "path": ground.path("clear/*")}},
            "sinks": {"ledger": {"plugin": "sqlite", "path": path}},
            "state-dir": ground.path("clear-state"),
            "dead-letters": {"reserve": "64k"}}
    ground.write_text("clear.yaml", json.dumps(tree))
    ground.config = config
    try:
        ground.once()
        return export(ground)[0]
    finally:
        ground.config = seal


def decoy(n):
    """A prompt that somebody wrote to look like a sealed one."""
    return prompt(n, request="sealed:1:encrypted/sodium;"
                  "x-bursar-key-id=2026-11:AAAA")


# --- at rest -------------------------------------------------------------------

def lies_sealed_and_is_read_with_the_key(ground):
    daemon.need("crypto_sodium")
    key = add_key(ground, "2026-11")
    configure(ground)
    messages = [make(n) for n in range(MANY) for make in (prompt, tool)] + \
        [daemon.fact(n) for n in range(20)] + [decoy(MANY)]
    process = ground.follow()
    ground.write("in/a", messages)
    ground.wait_settled(len(messages))
    # While it runs, and its log is as full as it gets.
    equal(files_with(ground, *WORDS), [],
          "no file of the database holds what was written")
    equal(process.stop(), 0, "TERM ends it with 0")
    equal(files_with(ground, *WORDS), [], "nor after the end")
    check(files_with(ground, "prompt-00000007"), "ids are found there")
    for word in WORDS + (key.split()[2].decode(),):
        check(word not in process.log(), "the log keeps quiet", word)
    for kind, columns in BODIES.items():
        equal(set(column(ground, "sealed_by", kind)), {"own/2026-11"},
              "%s: each row says which key" % kind)
        for name in columns:
            texts = [text for text in column(ground, name, kind)
                     if text is not None]
            if not all(text.startswith("sealed:1:encrypted/sodium;")
                       for text in texts):
                check(False, name + " is sealed", texts[:2])
    request = column(ground, "request_json")
    equal(len(set(request)), MANY + 1, "equal prompts would lie in other words")
    ground.verify()

    rows, said = export(ground)
    equal(said, "", "who has the key is told nothing else")
    golden = clear_export(ground, messages)
    equal(bare(rows, "recorded_at_text"), bare(golden, "recorded_at_text"),
          "and reads what a ledger without sealing holds")
    check(all(row["content_check"] ==
              golden[name]["content_check"] for name, row in rows.items()),
          "the check of a message is that of its clear body")


def golden_rows_are_the_same(ground):
    """The golden messages, sealed and opened."""
    daemon.need("crypto_sodium")
    lines = subprocess.run(
        [sys.executable, os.path.join(daemon.HERE, "golden.py"), "lines",
         "--encryption", "none"], stdout=subprocess.PIPE,
        check=True).stdout.splitlines()
    add_key(ground, "k")
    configure(ground, source={"follow": False})
    ground.write("in/a", lines)
    ground.once()
    rows = bare(export(ground)[0], "expires_at")
    want = bare(clear_export(ground, lines), "expires_at")
    sealed = [key for key in column(ground, "sealed_by") +
              column(ground, "sealed_by", "tool") if key is not None]
    check(len(rows) > 100 and len(sealed) > 20, "there are golden rows",
          len(rows), len(sealed))
    differing = [key for key in set(rows) | set(want)
                 if rows.get(key) != want.get(key)]
    equal(differing[:3], [], "every golden row is as in clear")
    ground.verify()


def without_the_key(ground):
    daemon.need("crypto_sodium")
    first = add_key(ground, "right")
    configure(ground)
    process = ground.follow()
    ground.write("in/a", [prompt(n) for n in range(5)])
    settle(ground, process, 5)

    configure(ground, seal=None, crypto={})
    rows, said = export(ground)
    marks = [row["request_json"] for row in rows.values()]
    equal(marks, [{"sealed_by": "own/right", "why": "no key"}] * 5,
          "without a crypto each body says that it is sealed, and by what")
    check("25 bodies" in said and "own/right" in said or
          "bodies stay sealed" in said and "own/right" in said,
          "and so does the end", said)
    check("provider" in str(rows), "the other columns are there")
    text = ground.bursar("export", "--bodies", "--kind", "prompt", "--format",
                         "csv")
    check("[sealed by own/right: no key]" in text, "in CSV as well", text)
    kept, _ = export(ground, "--sealed", "keep")
    check(all(row["request_json"].startswith("sealed:1:")
              for row in kept.values()), "they can be kept as they are")
    said = ground.bursar("export", "--bodies", "--sealed", "fail", status=1)
    check("own/right" in said and "prompt-0000000" in said,
          "or be a failure that names the first", said)
    rows, said = export(ground, "--kind", "metering")
    equal(said, "", "facts are nobody's secret")

    write_keys(ground, b"")
    os.unlink(ground.path("keys"))
    add_key(ground, "wrong")
    configure(ground)
    rows, said = export(ground)
    equal({json.dumps(row["request_json"]) for row in rows.values()},
          {json.dumps({"sealed_by": "own/right", "why": "no key"})},
          "another key opens nothing")
    # The same name, another key.
    write_keys(ground, b"secret right " + add_key(
        ground, "x", file="other").split()[2] + b"\n")
    rows, said = export(ground, status=3)
    equal({row["request_json"]["why"] for row in rows.values()},
          {"does not open"}, "one of the same name does not either")
    check("do not open" in said, "which is told, with exit status 3", said)
    write_keys(ground, first)
    rows, said = export(ground)
    check("quixotic" in str(rows), "the right one does")
    ground.verify()


def what_was_moved_does_not_open(ground):
    """Sealed texts swapped between rows, or between columns of one."""
    daemon.need("crypto_sodium")
    add_key(ground, "k")
    configure(ground)
    process = ground.follow()
    ground.write("in/a", [prompt(n) for n in range(3)] +
                 [{"kind": "prompt", "body": prompt(9)["body"]}] * 2)
    settle(ground, process, 5)
    derived = [row for (_, name), row in export(ground)[0].items()
               if not name.startswith("prompt-")]
    check(len(derived) == 2 and all(
        isinstance(row["request_json"], str) for row in derived),
        "records without an id of their own open", derived)

    change(ground, "UPDATE prompt_records SET request_json = (SELECT "
           "request_json FROM prompt_records WHERE message_id = "
           "'prompt-00000001') WHERE message_id = 'prompt-00000000'")
    change(ground, "UPDATE prompt_records SET response_json = request_json "
           "WHERE message_id = 'prompt-00000002'")
    rows, said = export(ground, status=3)
    closed = {"sealed_by": "own/k", "why": "does not open"}
    equal((rows["prompt", "prompt-00000000"]["request_json"],
           rows["prompt", "prompt-00000002"]["response_json"]),
          (closed, closed), "what was moved does not open")
    check("quixotic plan 1" in
          rows["prompt", "prompt-00000001"]["request_json"] and
          "quixotic plan 2" in
          rows["prompt", "prompt-00000002"]["request_json"],
          "what stands where it was does")
    said = ground.bursar("verify", status=3)
    check("its columns are not those that were stored" in said,
          "and `verify` names the rows", said)


def a_duplicate_remains_one(ground):
    daemon.need("crypto_sodium")
    add_key(ground, "k")
    configure(ground)
    messages = [prompt(n) for n in range(50)]
    process = ground.follow()
    ground.write("in/a", messages)
    ground.wait_settled(50)
    first = column(ground, "request_json")
    ground.append("in/a", messages + [prompt(3, request="another")])
    ground.wait_settled(101)
    part = ground.part("sources", "in")
    equal((part["stored"], part["duplicates"], part["conflicts"]),
          (50, 50, 1), "duplicates are dropped, another body is a conflict")
    equal(column(ground, "request_json"), first, "and the first stays")
    process.kill()
    ground.forget_offsets()
    process = ground.follow()
    ground.wait_settled(101)
    equal(ground.part("sources", "in")["duplicates"], 100,
          "after a kill as well")
    equal(process.stop(), 0, "TERM ends it with 0")
    ground.verify()


# --- keys that are not there ---------------------------------------------------

TOKEN = "hvs.tokenofthedaemon"


def start_vault(ground, mode="secret", **more):
    """A Vault, and the crypto `own` that has its key there."""
    daemon.need("crypto_vault")
    server = vault.Vault().start()
    ground.secret = "%064x" % random.Random(daemon.SEED).getrandbits(256)
    server.control(engine={"legion": 2}, transit=["audit"], token={TOKEN: {}},
                   secret={"legion/crypt": {"cluster_secret": ground.secret}})
    with open(ground.path("token"), "w", encoding="ascii",
              opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.write(TOKEN + "\n")
    return server, {"own": dict({
        "plugin": "vault", "mode": mode, "address": server.address,
        "token-file": ground.path("token"), "key": "audit",
        "refresh": "300ms", "retry": "1s", "max-age": "1s"}, **more)}


def without_a_key_nothing_is_stored(ground):
    for mode in ("secret", "transit"):
        server, crypto = start_vault(ground, mode)
        first = 1000 if mode == "transit" else 0
        server.control(fault="sealed")
        os.makedirs(ground.path("facts"), exist_ok=True)
        configure(ground, crypto=crypto, source={
            "follow": True, "kind": "prompt"},
            sources={"facts": {"plugin": "file", "follow": True,
                               "path": ground.path("facts/*"),
                               "kind": "metering",
                               "scan-interval": "50ms"}})
        process = ground.follow()
        ground.append("in/a", [prompt(first + n) for n in range(100)])
        part = ground.wait_state("sources", "in", "parked")
        check("own" in part["why"] and "sealed" in part["why"],
              mode + ": the status says why", part["why"])
        ground.append("facts/a", [daemon.fact(first + n) for n in range(50)])
        ground.wait_settled(50, "facts")
        reads = ground.part("sources", "in")["read"]
        time.sleep(1.5)
        equal(ground.part("sources", "in")["read"], reads,
              "nothing is read again and again")
        equal(ground.count("prompt"), first // 10, "nothing is stored")
        server.control(fault=None)
        ground.wait_settled(100)
        server.control(fault="sealed")
        time.sleep(1.2)		# what was read of it is too old now
        ground.append("in/a", [prompt(first + n) for n in range(90, 100)])
        equal(files_with(ground, *WORDS), [], "nothing was stored in clear")
        ground.wait_state("sources", "in", "parked")
        server.control(fault=None)
        ground.wait_settled(110)
        equal(ground.part("sources", "in")["duplicates"], 10,
              "what was given back is settled once")
        equal(process.stop(), 0, "TERM ends it with 0")
        daemon.once_each(
            ground.ids("prompt"), names("prompt", 0, 100) +
            (names("prompt", 1000, 100) if first else []), "each once")
        equal(set(column(ground, "sealed_by")) - {None}, {
            key for key in column(ground, "sealed_by")
            if key.startswith("own/")}, "all lie sealed")
        rows, _ = export(ground, status=None)
        check("quixotic plan %d" % (first + 7) in str(
            rows["prompt", "prompt-%08d" % (first + 7)]), "and open")
        equal(server.told()["unfaithful"], [], "all that was asked is Vault's")
        check(TOKEN not in process.log(), "the log keeps the token")
        ground.verify()
        server.stop()
        process.kill()
        os.unlink(ground.path("in/a"))
        os.unlink(ground.path("facts/a"))


def a_policy_that_lets_nobody_seal_waits_for_a_person(ground):
    server, crypto = start_vault(ground, "transit")
    server.control(token={TOKEN: {"may": ["transit/decrypt"]}})
    configure(ground, crypto=crypto)
    out = ground.bursar("check", status=1)
    check("seal" in out and "transit/encrypt" in out,
          "`check` says that it cannot seal", out)
    process = ground.follow()
    ground.write("in/a", [prompt(n) for n in range(20)])
    part = ground.wait_state("sources", "in", "blocked")
    check("transit/encrypt" in part["why"], "the route is blocked",
          part["why"])
    reads = ground.part("sources", "in")["read"]
    time.sleep(2)
    equal(ground.part("sources", "in")["read"], reads,
          "nothing is read again meanwhile")
    equal(ground.count("prompt"), 0, "and nothing stored")
    server.control(token={TOKEN: {}})
    settle(ground, process, 20)
    equal(ground.letters(), [], "nothing became a dead letter")
    out = ground.bursar("check")
    check("seals under own/audit:v1" in out, "`check` names the key", out)
    server.stop()


def two_sinks_each_in_its_own_way(ground):
    """One sealed by sodium, one by a cluster's secret, one in clear that is
    not required, and one not required whose key is away."""
    daemon.need("crypto_sodium", "crypto_cluster", "crypto_vault")
    server, crypto = start_vault(ground)
    server.control(fault="sealed")
    add_key(ground, "k")
    crypto = {"own": sodium(ground), "away": crypto["own"],
              "legion": {"plugin": "cluster",
                         "secret-file": daemon.cluster_secret(ground,
                                                              "secret")}}
    sinks = {name: {"plugin": "sqlite", "path": ground.path(name + ".db"),
                    "required": name == "second"}
             for name in ("second", "clear", "spare")}
    ground.configure(
        source={"follow": True, "kind": "prompt"}, sinks=sinks, crypto=crypto,
        book="ledger",
        routes=[{"kinds": ["metering", "prompt"], "sinks": ["ledger"],
                 "seal": "own"},
                {"kinds": ["prompt"], "sinks": ["second"], "seal": "legion"},
                {"kinds": ["prompt"], "sinks": ["clear"]},
                {"kinds": ["prompt"], "sinks": ["spare"], "seal": "away"}])
    process = ground.follow()
    for name in sinks:
        ground.wait_state("sinks", name, "open")
    ground.write("in/a", [prompt(n) for n in range(40)])
    ground.wait_settled(40)
    clear = ground.path("clear.db")
    daemon.wait_for(lambda: ground.count("prompt", clear) == 40,
                    "the third has them")
    equal(process.stop(), 0, "TERM ends it with 0")
    keys = [[row[0] for row in ground.rows(
        "SELECT DISTINCT sealed_by FROM prompt_records",
        path=ground.path(name + ".db"))] for name in sinks]
    check(keys[0][0].startswith("legion/") and keys[1:] == [[None], []] and
          column(ground, "sealed_by") == ["own/k"] * 40,
          "each sink has its own, and nobody waits for what is not required",
          keys)
    texts = {name: bare(export(ground, "--sink", name)[0])
             for name in ("ledger", "second", "clear")}
    check(texts["ledger"] == texts["second"] == texts["clear"],
          "all of them read alike")
    for name in texts:
        ground.bursar("verify", "--sink", name)
    server.stop()


def what_check_says(ground):
    daemon.need("crypto_sodium")
    add_key(ground, "k")
    bad = [("nobody", {"own": sodium(ground)}, "no entry of 'crypto'"),
           ("clear", {"clear": {"plugin": "none"}}, "cannot seal")]
    for seal, crypto, want in bad:
        configure(ground, seal=seal, crypto=crypto)
        out = ground.bursar("check", status=2)
        with open(ground.config, encoding="utf-8") as file:
            line = [number for number, text in enumerate(file, 1)
                    if '"seal"' in text][0]
        check(want in out and "bursar.yaml:%d:" % line in out,
              "%s: `check` names file and line" % seal, out, line)
    ground.configure(crypto={"own": sodium(ground)}, routes=[
        {"kinds": ["metering"], "sinks": ["ledger"], "seal": "own"},
        {"kinds": ["prompt", "tool"], "sinks": ["ledger"], "seal": "own"},
        {"kinds": ["prompt"], "sinks": ["ledger"]}])
    out = ground.bursar("check", status=2)
    check("none of its kinds has that" in out, "facts have nothing to seal",
          out)
    check("by another route that seals it with own, this one with nothing"
          in out, "one sink is not sealed in two ways", out)


# --- other keys ----------------------------------------------------------------

def reseal(ground, *arguments, status=0):
    """Rows of the table that the command prints."""
    out = ground.bursar("reseal", "--format", "json", *arguments,
                        status=status)
    tree = json.loads(out[out.index("{"):out.rindex("}") + 1])
    return tree["rows"], out


def numbers(rows, *names):
    return [sum(row[name] for row in rows) for name in names]


def settle_all_of(ground, name, messages):
    """A daemon takes them, from a file of their own."""
    process = ground.follow()
    ground.write("in/" + name, messages)
    settle(ground, process, len(messages))


def another_key(ground):
    """Records in clear, then of two keys, one after another."""
    daemon.need("crypto_sodium")
    configure(ground, seal=None, crypto={})
    settle_all_of(ground, "clear", [prompt(n) for n in range(MANY)])
    check(files_with(ground, *WORDS), "in clear they would be found")
    golden = bare(export(ground)[0])
    for turn in range(2):
        add_key(ground, "key-%d" % turn)
        configure(ground)
        first = MANY + 100 * turn
        settle_all_of(ground, "k%d" % turn, [
            make(n) for n in range(first, first + 50)
            for make in (prompt, tool)])
    equal(len(set(column(ground, "sealed_by"))), 3, "rows of three sorts")
    before = bare(export(ground)[0])
    check(all(before[name] == row for name, row in golden.items()),
          "the old key opens the old rows")
    ground.verify()
    hashes = column(ground, "row_hash")

    rows, _ = reseal(ground, "--dry-run")
    equal([(row["table"], row["sealed_by"], row["rows"]) for row in
           sorted(rows, key=lambda row: (row["table"],
                                         row["sealed_by"] or ""))],
          [("prompt_records", None, MANY),
           ("prompt_records", "own/key-0", 50),
           ("tool_records", "own/key-0", 50)], "--dry-run counts them")
    equal(column(ground, "row_hash"), hashes, "and changes nothing")
    rows, _ = reseal(ground)
    equal(numbers(rows, "sealed", "resealed", "left"), [MANY, 100, 0],
          "all are brought under the present key")
    for kind in BODIES:
        equal(set(column(ground, "sealed_by", kind)), {"own/key-1"}, kind)
    equal(reseal(ground, "--dry-run")[0], [], "nothing is left")
    rows, _ = reseal(ground)
    equal(numbers(rows, "sealed", "resealed", "left"), [0, 0, 0],
          "a second time does nothing")
    ground.verify()
    equal(bare(export(ground)[0]), before, "they read as before")
    if real.SINK == "sqlite":	# PostgreSQL's log is the administrator's
        ground.run_sql("VACUUM")
        equal(files_with(ground, *WORDS), [],
              "after VACUUM the file holds nothing in clear any more")
    # The old key can go.
    with open(ground.path("keys"), "rb") as keys:
        write_keys(ground, keys.read().splitlines(True)[0])
    equal(bare(export(ground)[0]), before, "without the old key")
    settle_all_of(ground, "again", [prompt(n) for n in range(MANY)])
    equal(len(column(ground, "sealed_by")), MANY + 100,
          "duplicates are still dropped")


def left(ground):
    """How many rows lie under the old key."""
    return int(real.ask(ground, "SELECT count(*) FROM prompt_records WHERE "
                        "sealed_by = 'own/old'")[0][0])


def killed_while_it_reseals(ground):
    """Beside a daemon that stores, with rows of all sizes."""
    daemon.need("crypto_sodium")
    add_key(ground, "old")
    configure(ground)
    count = 8 * MANY
    big = [prompt(n, response={"text": "zephyrean" * 20000})
           for n in range(count, count + 40)]
    settle_all_of(ground, "a", [prompt(n) for n in range(count)] + big)
    before = bare(export(ground)[0])
    add_key(ground, "new")
    process = ground.follow()
    pick = random.Random(daemon.SEED)
    partial = 0
    old = left(ground)
    for kill in range(40 * KILLS):
        ground.write("in/more%d" % kill, [
            prompt(10000 + 10 * kill + n) for n in range(10)])
        command = subprocess.Popen(
            [daemon.BURSAR, "-c", ground.config, "reseal"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=daemon.environment(), preexec_fn=daemon.die_with_parent)
        # It is at work as soon as there is less to do, however fast that is.
        while command.poll() is None and left(ground) == old:
            pass
        time.sleep(pick.random() * 0.02)
        command.send_signal(signal.SIGKILL)
        command.communicate()
        old = left(ground)
        partial += 0 < old < count + 40
        ground.verify() if kill % 4 == 0 else None
        if partial >= KILLS or old == 0:
            break
    check(partial >= 1, "%d kills hit it at work" % partial, partial)
    command = ground.bursar("reseal")
    ground.wait_settled(10 * (kill + 1))
    equal(process.stop(), 0, "TERM ends it with 0")
    equal(set(column(ground, "sealed_by")), {"own/new"},
          "the next run does the rest")
    ground.verify()
    after = bare(export(ground)[0])
    equal([name for name in before if after.get(name) != before[name]], [],
          "every record reads as before")
    daemon.once_each(
        ground.ids("prompt"), names("prompt", 0, count + 40) +
        names("prompt", 10000, 10 * (kill + 1)), "each is there once")


def two_at_once(ground):
    """Two people have the same idea, while the daemon stores."""
    daemon.need("crypto_sodium")
    add_key(ground, "old")
    configure(ground)
    settle_all_of(ground, "a", [prompt(n) for n in range(4 * MANY)])
    before = bare(export(ground)[0])
    add_key(ground, "new")
    process = ground.follow()
    ground.write("in/b", [prompt(n) for n in range(5000, 5000 + MANY)])
    both = [subprocess.Popen(
        [daemon.BURSAR, "-c", ground.config, "reseal", "--format", "json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=daemon.environment(), preexec_fn=daemon.die_with_parent)
            for _ in range(2)]
    rows = []
    for one in both:
        out, err = one.communicate(timeout=daemon.PATIENCE)
        check(one.returncode in (0, 3), "neither fails", one.returncode, err)
        rows += json.loads(out)["rows"]
    equal(numbers(rows, "resealed"), [4 * MANY], "each row is done by one")
    settle(ground, process, MANY)
    equal(set(column(ground, "sealed_by")), {"own/new"}, "all are done")
    after = bare(export(ground)[0])
    check(all(after[name] == row for name, row in before.items()),
          "they read as before")
    ground.verify()


def what_cannot_be_resealed_stays(ground):
    daemon.need("crypto_sodium")
    lost = add_key(ground, "lost")
    configure(ground)
    settle_all_of(ground, "a", [prompt(n) for n in range(5)])
    write_keys(ground, b"")
    os.unlink(ground.path("keys"))
    add_key(ground, "old")
    settle_all_of(ground, "b", [prompt(n) for n in range(5, 10)])
    add_key(ground, "new")
    spoil = "UPDATE prompt_records SET provider = 'x' " \
        "WHERE message_id = 'prompt-00000007'"
    sql(spoil) if real.SINK == "postgres" else ground.run_sql(spoil)
    rows, said = reseal(ground, status=3)
    equal(numbers(rows, "sealed", "resealed", "left"), [0, 4, 6],
          "the others are resealed")
    check("own/lost" in said and "bursar verify" in said,
          "what is left is told, and why", said)
    equal(sorted(column(ground, "sealed_by")),
          ["own/lost"] * 5 + ["own/new"] * 4 + ["own/old"],
          "what does not open or was changed stays as it is")
    said = ground.bursar("verify", status=3)
    check("prompt-00000007" in said and "1 places differ" in said,
          "what was changed is still found", said)
    with open(ground.path("keys"), "ab") as keys:
        keys.write(lost)
    rows, _ = reseal(ground, status=3)
    equal(numbers(rows, "resealed", "left"), [5, 1],
          "with the key that was lost they are resealed too")
    configure(ground, seal=None)
    said = ground.bursar("reseal", status=2)
    check("says `seal`" in said, "without a route there is nothing to do",
          said)


def expired_and_derived_rows(ground):
    """Rows that expire, that came expired, and without an id of their own."""
    daemon.need("crypto_sodium")
    add_key(ground, "old")
    configure(ground)
    twin = {"kind": "prompt", "properties": {"timestamp": 1793491300},
            "body": prompt(1)["body"]}
    settle_all_of(ground, "a", [
        prompt(1, retention_policy="session_only"),
        prompt(2, retention_policy="days_3000"), twin, twin,
        prompt(3, request=None, response=None, error=None,
               unheard_of=None)])
    rows = export(ground)[0]
    add_key(ground, "new")
    done, _ = reseal(ground)
    equal(numbers(done, "left"), [0], "nothing is left")
    sealed = dict(zip(column(ground, "message_id"),
                      column(ground, "sealed_by")))
    equal(sealed.get("prompt-00000001"), None,
          "what came expired has no body and no key")
    check(sealed["prompt-00000002"] == "own/new" and
          list(sealed.values()).count("own/new") >= 3, "the rest has", sealed)
    equal(bare(export(ground)[0]), bare(rows), "and reads as before")
    ground.verify()
    ground.bursar("purge")
    ground.verify()


def a_reload_changes_the_key(ground):
    """While records flow; and a key file that is no good changes nothing."""
    daemon.need("crypto_sodium")
    add_key(ground, "old")
    configure(ground)
    process = ground.follow()
    ground.write("in/a", [prompt(n) for n in range(30)])
    ground.wait_settled(30)
    add_key(ground, "new")
    process.signal(signal.SIGHUP)
    process.wait_event("reloaded")
    ground.append("in/a", [prompt(n) for n in range(30, 60)])
    ground.wait_settled(60)
    good = open(ground.path("keys"), "rb").read()
    os.unlink(ground.path("keys"))
    process.signal(signal.SIGHUP)
    process.wait_event("reload-refused")
    ground.append("in/a", [prompt(n) for n in range(60, 90)])
    ground.wait_settled(90)
    equal(process.stop(), 0, "TERM ends it with 0")
    equal(column(ground, "sealed_by"), ["own/old"] * 30 + ["own/new"] * 60,
          "new rows lie under the new key, also after a reload without any")
    process = ground.start()
    check(process.wait() != 0, "without a key file it does not start")
    write_keys(ground, good)
    rows, said = export(ground)
    check(said == "" and all("quixotic plan" in str(row["request_json"])
                             for row in rows.values()), "all are read", said)
    equal(files_with(ground, *WORDS), [], "and nothing lies in clear")


def who_seals_need_not_read(ground):
    """Under a public key: the daemon cannot open what it stores."""
    daemon.need("crypto_sodium")
    made = add_key(ground, "box", "--type", "sealed").decode()
    public = made.splitlines()[0].lstrip("# ")
    check(public.startswith("public box "), "keygen prints the public line",
          public)
    write_keys(ground, (public + "\n").encode())
    configure(ground)
    settle_all_of(ground, "a", [prompt(n) for n in range(10)])
    rows, said = export(ground)
    equal({json.dumps(row["request_json"]) for row in rows.values()},
          {json.dumps({"sealed_by": "own/box", "why": "no key"})},
          "who has the public half reads nothing")
    equal(files_with(ground, *WORDS), [], "nothing lies in clear")
    ground.verify()
    write_keys(ground, made.encode(), "auditor")
    configure(ground, crypto={"own": sodium(ground, "auditor")})
    rows, said = export(ground)
    check(said == "" and "quixotic plan 3" in str(rows), "the auditor does",
          said)


def what_is_replayed_is_sealed(ground):
    """Dead letters that come in later take the same way."""
    daemon.need("crypto_sodium", "crypto_cluster")
    add_key(ground, "k")
    secret = {"legion": {"plugin": "cluster", "secret-file":
                         daemon.cluster_secret(ground, "secret")}}
    configure(ground, seal=None, crypto=secret, source={"follow": False})
    ground.write("in/a", daemon.sealed(ground, "legion", [
        prompt(n) for n in range(10)]))
    ground.once()
    equal(len(ground.letters("no-key")), 10, "without a crypto: dead letters")
    configure(ground, crypto=dict(secret, own=sodium(ground)),
              source={"follow": False, "crypto": "legion"})
    ground.bursar("replay", "--all")
    equal(column(ground, "sealed_by"), ["own/k"] * 10, "replayed, they are "
          "sealed")
    equal(files_with(ground, *WORDS), [], "and nothing lies in clear")
    check("quixotic plan 3" in str(export(ground)[0]), "and open")
    ground.verify()


def vault_moves_on(ground):
    """A new version of the key, in both modes, without a restart."""
    for mode in ("secret", "transit"):
        server, crypto = start_vault(ground, mode)
        configure(ground, crypto=crypto)
        process = ground.follow()
        first = 1000 if mode == "transit" else 0
        ground.write("in/" + mode, [prompt(first + n) for n in range(20)])
        ground.wait_settled(20)
        if mode == "secret":
            server.control(secret={"legion/crypt": {
                "cluster_secret": "%064x" % (int(ground.secret, 16) ^ 1)}})
        else:
            server.control(transit=["audit"])
        time.sleep(1.5)
        ground.append("in/" + mode, [prompt(first + n)
                                     for n in range(20, 40)])
        ground.wait_settled(40)
        equal(process.stop(), 0, "TERM ends it with 0")
        keys = sorted(set(column(ground, "sealed_by")))
        check(len(keys) >= 2, "%s: the new key seals new rows" % mode, keys)
        out = reseal(ground, status=3 if first else 0)[0]
        equal(numbers(out, "resealed"), [20], "the old ones are resealed")
        rows, _ = export(ground, status=None)
        check(all("quixotic plan" in str(
            rows["prompt", "prompt-%08d" % (first + n)]["request_json"])
            for n in range(40)), "all are read")
        equal(server.told()["unfaithful"], [], "all that was asked is Vault's")
        ground.verify()
        server.stop()


SCENARIOS = (
    lies_sealed_and_is_read_with_the_key,
    golden_rows_are_the_same,
    without_the_key,
    what_was_moved_does_not_open,
    a_duplicate_remains_one,
    without_a_key_nothing_is_stored,
    a_policy_that_lets_nobody_seal_waits_for_a_person,
    two_sinks_each_in_its_own_way,
    what_check_says,
    killed_while_it_reseals,
    two_at_once,
    what_cannot_be_resealed_stays,
    expired_and_derived_rows,
    a_reload_changes_the_key,
    who_seals_need_not_read,
    what_is_replayed_is_sealed,
    vault_moves_on,
    # Stores something in clear, which a server remembers: after all others.
    another_key,
)

if __name__ == "__main__":
    real.SINK = os.environ.get("BURSAR_TEST_SINK", "sqlite")
    daemon.make_ground = real.Ground
    daemon.main(*SCENARIOS)
