# SPDX-License-Identifier: Apache-2.0
"""daemon.py - bursard as its users run it, for the scripts daemon_*.py

    import daemon

    def dead_letter_of_a_line_that_is_no_json(ground):
        ground.write("in/a.jsonl", ["{"])
        ground.once()
        daemon.check(len(ground.letters()) == 1, "one dead letter")

    daemon.main(dead_letter_of_a_line_that_is_no_json)

Each scenario is a function with a ground of its own: a temporary folder with
a configuration, files to read, a ledger, a state folder.  Whatever it starts
is killed when it ends, or when the script ends in whatever way.

    top_builddir        the build whose binaries and plugins are run
    BURSAR_TEST_SCALE   how much work: 1 is what `make check` does
    BURSAR_TEST_SEED    the seed of what is random; printed by each run
    BURSAR_TEST_PATIENCE  seconds to wait for what takes a moment
    BURSAR_TEST_KEEP    not empty: temporary folders are left behind

Arguments name the scenarios to run; all of them without.
"""
import atexit
import ctypes
import glob
import json
import os
import random
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.abspath(os.environ.get("top_builddir") or
                        os.path.join(HERE, ".."))
BURSARD = os.path.join(BUILD, "core", "bursard")
BURSAR = os.path.join(BUILD, "core", "bursar")
PLUGINS = os.path.join(BUILD, "plugins")
SCALE = float(os.environ.get("BURSAR_TEST_SCALE") or 1)
SEED = int(os.environ.get("BURSAR_TEST_SEED") or
           random.SystemRandom().randrange(1 << 32))
# Seconds for what takes a moment on an idle machine.
PATIENCE = float(os.environ.get("BURSAR_TEST_PATIENCE") or 60)
SKIP = 77
LOG_LINES = 40
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)

# A fixed time, so that the same records are the same rows in every run.
BEGIN = 1793491200	# 2026-11-01
CELL_SECONDS = 900

ROLLUP_SUMS = ("input_tokens", "output_tokens", "thinking_tokens",
               "total_tokens", "cache_read_input_tokens",
               "cache_write_input_tokens", "latency_ms", "wall_clock_ms",
               "cost_nano")
DIMENSIONS = {"all": "''", "worker": "worker_id", "node": "node_id",
              "agent": "agent_id", "tier": "tier",
              "request_type": "request_type", "cost_center": "cost_center",
              "budget_id": "budget_id", "team": "team"}


class Failure(Exception):
    """The scenario cannot go on."""


class Skip(Exception):
    """What the scenario needs is not here."""


def scaled(number, least=1):
    return max(least, int(number * SCALE))


# --- verdicts ------------------------------------------------------------------

_failures = 0


def check(holds, what, *values):
    """Says what was checked; the script fails where it does not hold."""
    global _failures
    if not holds:
        _failures += 1
    seen = "" if holds or not values else ": " + ", ".join(
        "%.1000r" % (value,) for value in values)
    print("%s %s%s" % ("ok    " if holds else "FAILED", what, seen),
          flush=True)
    return holds


def equal(got, want, what):
    return check(got == want, what, got, want)


def wait_for(condition, what, seconds=PATIENCE):
    """What the condition gives once it is true."""
    until = time.monotonic() + seconds
    pause = 0.01
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > until:
            raise Failure("waited %g s in vain until %s" % (seconds, what))
        time.sleep(pause)
        pause = min(pause * 1.5, 0.2)


# --- processes -----------------------------------------------------------------

def die_with_parent():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def environment(**more):
    names = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH",
             "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS")
    env = {name: os.environ[name] for name in names if name in os.environ}
    env["BURSAR_PLUGIN_PATH"] = PLUGINS
    env.update(more)
    return env


# One member of a line of the log, as core/base/logfmt.h says.
MEMBER = re.compile(
    r'([a-z][a-z0-9_-]*)=(?:"((?:[^"\\\n]|\\["\\nrt]|\\x[0-9a-f]{2})*)"|'
    r'([^ "=\\\n]+))(?: |$)')
ESCAPE = re.compile(rb'\\(x..|.)')
MEANT = {b"n": b"\n", b"r": b"\r", b"t": b"\t"}


def plain(quoted):
    """The text that a value in quotes stands for."""
    def byte(match):
        what = match.group(1)
        return bytes([int(what[1:], 16)]) if what[:1] == b"x" else \
            MEANT.get(what, what)
    return ESCAPE.sub(byte, quoted.encode()).decode("utf-8", "replace")


def members(line):
    """What a line of the log says, by name; one that can be read in no way,
    or in two, is a failure."""
    found, at = {}, 0
    while at < len(line):
        match = MEMBER.match(line, at)
        if match is None:
            raise Failure("no member of a line of the log at %d: %s" % (
                at, line))
        name, quoted, bare = match.groups()
        found[name] = bare if quoted is None else plain(quoted)
        at = match.end()
    return found


class Daemon:
    """One bursard that was started."""

    def __init__(self, ground, arguments, log, before=(), env=None, fds=()):
        self.log_path = log
        self.before = list(before)
        with open(log, "wb") as out:
            self.process = subprocess.Popen(
                self.before + [BURSARD, "-c", ground.config] +
                list(arguments),
                stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                cwd=ground.folder, env=environment(**(env or {})),
                pass_fds=fds, start_new_session=True, preexec_fn=die_with_parent)
        self.pid = self.process.pid

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def events(self, name):
        return [line for line in self.log().splitlines()
                if " event=%s" % name in line + " " and
                re.search(r" event=%s(\s|$)" % re.escape(name), line)]

    def runs(self):
        return self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def wait_event(self, name, count=1, seconds=PATIENCE):
        def seen():
            if len(self.events(name)) >= count:
                return True
            if not self.runs() and len(self.events(name)) < count:
                raise Failure("ended with %s without event %s" % (
                    self.process.returncode, name))
            return False
        wait_for(seen, "event=%s" % name, seconds)
        return self.events(name)[-1]

    def wait(self, seconds=PATIENCE):
        """Its exit status."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failure("it still runs after %g s" % seconds) from None

    def kill(self):
        if self.runs():
            os.killpg(self.pid, signal.SIGKILL)
        return self.process.wait()

    def stop(self, seconds=PATIENCE):
        """TERM; its exit status."""
        self.signal(signal.SIGTERM)
        return self.wait(seconds)


# --- ground --------------------------------------------------------------------

class Ground:
    def __init__(self, name):
        self.name = name
        # Not named after the scenario: paths stand in messages, and words
        # are looked for there.
        self.folder = tempfile.mkdtemp(prefix="bursar-test-")
        self.config = self.path("bursar.yaml")
        self.state_dir = self.path("state")
        self.ledger = self.path("ledger.db")
        self.daemons = []
        self.mounts = []
        os.mkdir(self.path("in"))
        self.configure()

    def path(self, name):
        return os.path.join(self.folder, name)

    # What is configured.

    def defaults(self):
        """The least that works, with short waits."""
        return {
            "sources": {"in": {"plugin": "file",
                               "path": self.path("in/*"),
                               "scan-interval": "50ms"}},
            "sinks": {"ledger": {"plugin": "sqlite", "path": self.ledger,
                                 "busy-timeout": "100ms",
                                 "cache": "4M", "key-filter": "1M"}},
            "state-dir": self.state_dir,
            "blocked-retry": "100ms",
            "dead-letters": {"reserve": "64k"},
        }

    def configure(self, source=None, sink=None, **more):
        """Writes the configuration: the defaults, and what is given."""
        tree = self.defaults()
        tree["sources"]["in"].update(source or {})
        tree["sinks"]["ledger"].update(sink or {})
        for name, value in more.items():
            name = name.replace("_", "-")
            if name in ("sources", "sinks"):
                tree[name].update(value)
            else:
                tree[name] = value
        self.write_text("bursar.yaml", json.dumps(tree, indent=1) + "\n")
        return tree

    def write_text(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)

    def write(self, name, messages):
        """Lines of a file; what is neither text nor bytes becomes JSON.  A
        daemon that follows sees none of them or all: how many transactions
        they are must not depend on who is quicker."""
        path = self.path(name)
        whole = self.path(".%s.new" % name.replace("/", "-"))
        with open(whole, "wb") as file:
            file.writelines(map(line_of, messages))
        os.rename(whole, path)

    def append(self, name, messages):
        with open(self.path(name), "ab") as file:
            file.write(b"".join(map(line_of, messages)))

    # What runs.

    def start(self, *arguments, before=(), env=None, fds=()):
        log = self.path("log.%d" % len(self.daemons))
        daemon = Daemon(self, arguments, log, before, env, fds)
        self.daemons.append(daemon)
        return daemon

    def follow(self, **more):
        """A daemon that is up; its source follows unless told otherwise."""
        daemon = self.start(**more)
        daemon.wait_event("started")
        return daemon

    def once(self, status=0, seconds=PATIENCE, **more):
        """bursard --once, to its end."""
        daemon = self.start("--once", **more)
        got = daemon.wait(seconds)
        if status is not None and got != status:
            raise Failure("bursard --once ended with %s, not %s" % (
                got, status))
        return daemon

    def bursar(self, *arguments, status=0, env=None, seconds=PATIENCE):
        """The command; what it printed."""
        done = subprocess.run(
            [BURSAR, "-c", self.config] + list(arguments),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, cwd=self.folder,
            env=dict(environment(), **(env or {})), timeout=seconds,
            check=False)
        out = done.stdout.decode("utf-8", "replace")
        err = done.stderr.decode("utf-8", "replace")
        if status is not None and done.returncode != status:
            raise Failure("bursar %s: exit status %d, not %d: %s%s" % (
                " ".join(arguments), done.returncode, status, out, err))
        return out + err

    def state(self):
        """What the daemon says of itself; None while none answers."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            try:
                client.connect(os.path.join(self.state_dir, "status"))
                data = b""
                while True:
                    more = client.recv(65536)
                    if not more:
                        return json.loads(data) if data else None
                    data += more
            except OSError:
                return None

    def part(self, section, name):
        """The state of one source or sink, {} while none answers."""
        for part in (self.state() or {}).get(section, []):
            if part["name"] == name:
                return part
        return {}

    def wait_state(self, section, name, state, seconds=PATIENCE):
        wait_for(lambda: self.part(section, name).get("state") == state,
                 "%s %s is %s" % (section, name, state), seconds)
        return self.part(section, name)

    def settled(self, source="in"):
        """How many messages were settled by this daemon."""
        part = self.part("sources", source)
        return sum(part.get(name, 0) for name in (
            "stored", "duplicates", "conflicts", "refused", "discarded"))

    def wait_settled(self, count, source="in", seconds=PATIENCE):
        wait_for(lambda: self.settled(source) >= count,
                 "%d messages of %s are settled" % (count, source), seconds)

    # What came of it.

    def verify(self, *arguments):
        self.bursar("verify", *arguments)
        check(True, "`bursar verify` finds nothing")

    def database(self, path=None):
        database = sqlite3.connect(path or self.ledger, timeout=30)
        database.row_factory = sqlite3.Row
        return database

    def rows(self, sql, *parameters, path=None):
        database = self.database(path)
        try:
            return database.execute(sql, parameters).fetchall()
        finally:
            database.close()

    def run_sql(self, sql, path=None):
        database = self.database(path)
        try:
            database.executescript(sql)
        finally:
            database.close()

    def value(self, sql, *parameters, path=None):
        return self.rows(sql, *parameters, path=path)[0][0]

    def ids(self, kind="metering", path=None):
        """message_id of every record, in order."""
        return [row[0] for row in self.rows(
            "SELECT message_id FROM %s_records ORDER BY 1" % kind, path=path)]

    def count(self, kind="metering", path=None):
        path = path or self.ledger
        if not os.path.exists(path) or os.path.getsize(path) == 0:
            return 0
        try:
            return self.value("SELECT count(*) FROM %s_records" % kind,
                              path=path)
        except sqlite3.OperationalError:
            return 0	# the tables are being made

    def letters(self, reason=None):
        """Dead letters that stand in the files, replayed ones included."""
        found = []
        for path in sorted(glob.glob(os.path.join(
                self.state_dir, "dead-letters", "*.jsonl"))):
            with open(path, encoding="utf-8") as file:
                for line in file:
                    if line.endswith("\n"):
                        found.append(json.loads(line))
        return [letter for letter in found
                if reason is None or letter["reason"] == reason]

    def forget_offsets(self, source="in"):
        """All files will be read again, from their beginnings."""
        os.unlink(os.path.join(self.state_dir, "source-" + source,
                               "offsets"))

    # Things to be done as root.

    def mount_tmpfs(self, name, size):
        """A small disk; skips where that cannot be."""
        path = self.path(name)
        os.makedirs(path, exist_ok=True)
        if os.geteuid() != 0 or shutil.which("mount") is None:
            raise Skip("only root can mount a small disk")
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "mode=0700,size=%s" % size,
             "bursar-test", path], stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, check=False)
        if done.returncode != 0:
            raise Skip("a small disk cannot be mounted: %s" %
                       done.stdout.decode().strip())
        self.mounts.append(path)
        return path

    def resize(self, path, size):
        subprocess.run(["mount", "-o", "remount,size=%s" % size, path],
                       check=True)

    @staticmethod
    def fill(path):
        """Writes until the disk is full."""
        file = os.open(os.path.join(path, "ballast"),
                       os.O_WRONLY | os.O_CREAT)
        size = 1 << 16
        while size >= 512:
            try:
                os.write(file, bytes(size))
            except OSError:
                size //= 2
        os.close(file)

    # The end.

    def kill_all(self):
        for daemon in self.daemons:
            daemon.kill()

    def leave(self):
        self.kill_all()
        while self.mounts:
            subprocess.run(["umount", "-l", self.mounts.pop()], check=False)
        if os.environ.get("BURSAR_TEST_KEEP"):
            print("kept: %s" % self.folder)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    def tell(self):
        """The last words of the last daemons."""
        for daemon in self.daemons[-2:]:
            lines = daemon.log().splitlines()[-LOG_LINES:]
            print("--- %s: %s" % (os.path.basename(daemon.log_path),
                                  daemon.process.poll()))
            for line in lines:
                print("    " + line)

    def sound(self):
        """No daemon left the words of a sanitizer behind."""
        for daemon in self.daemons:
            log = daemon.log()
            for word in ("runtime error:", "Sanitizer", "Assertion"):
                if word in log:
                    check(False, "no daemon ran into a mistake of its own",
                          word)
                    return
            for line in log.split("\n"):
                if line.startswith("time="):
                    members(line)


# --- messages ------------------------------------------------------------------

def line_of(message):
    if isinstance(message, str):
        message = message.encode("utf-8", "surrogatepass")
    elif not isinstance(message, bytes):
        message = json.dumps(message, separators=(",", ":")).encode()
    return message + b"\n"


def instant(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + ".000Z"


def body_of_fact(n):
    """A metering body; n says what is in it."""
    pick = random.Random(n)
    body = {
        "provider": pick.choice(["openai", "anthropic", "ollama"]),
        "model_id": pick.choice(["small", "large"]),
        "worker_id": "worker-%d" % pick.randrange(4),
        "node_id": "node-%d" % pick.randrange(2),
        "tier": "cloud",
        "request_type": pick.choice(["chat", "embed"]),
        "input_tokens": pick.randrange(4000),
        "output_tokens": pick.randrange(2000),
        "latency_ms": pick.randrange(20000),
        "cost_usd": pick.randrange(10 ** 9) / 1e9,
        "status": "success" if pick.random() < 0.9 else "timeout",
        "recorded_at": instant(BEGIN + pick.randrange(8 * 3600)),
    }
    if pick.random() < 0.3:
        body["thinking_tokens"] = pick.randrange(500)
        body["billing"] = {"cost_center": "cc-%d" % pick.randrange(2),
                           "budget_id": "b-%d" % pick.randrange(3)}
    return body


def fact(n, **more):
    """A metering message with an id, in its envelope."""
    return envelope("metering", "fact-%08d" % n,
                    dict(body_of_fact(n), **more))


def fact_without_id(n):
    return {"kind": "metering",
            "body": dict(body_of_fact(n), idempotency_key="none-%08d" % n)}


def prompt(n, **more):
    """A prompt that never expires."""
    body = {"request": {"text": "what is %d?" % n},
            "response": {"text": "%d" % n},
            "provider": "openai", "model_id": "small",
            "timestamps": {"returned": instant(BEGIN + n % 7200)},
            "retention_policy": "permanent"}
    body.update(more)
    return envelope("prompt", "prompt-%08d" % n, body)


def tool(n, **more):
    body = {"tool_call": {"id": "t%d" % n, "name": "add",
                          "arguments": {"a": n}, "result": n + 1},
            "recorded_at": instant(BEGIN + n % 7200),
            "retention_policy": "permanent"}
    body.update(more)
    return envelope("tool", "tool-%08d" % n, body)


def envelope(kind, message_id, body, **properties):
    properties["message_id"] = message_id
    return {"kind": kind, "properties": properties, "body": body}


# --- keys ----------------------------------------------------------------------

def cluster_secret(ground, name):
    """A new secret in a file of its own."""
    with open(ground.path(name), "wb") as file:
        os.fchmod(file.fileno(), 0o600)
        subprocess.run([BURSAR, "crypto", "keygen", "--plugin", "cluster"],
                       stdout=file, stderr=subprocess.DEVNULL,
                       env=environment(), check=True)
    return ground.path(name)


def sealed(ground, crypto, messages):
    """The same messages, their bodies sealed by the command."""
    ground.write("clear", [message["body"] for message in messages])
    out = ground.bursar("crypto", "seal", "--crypto", crypto, "--kind",
                        messages[0]["kind"], "--lines", ground.path("clear"))
    lines = [json.loads(line) for line in out.splitlines()]
    if len(lines) != len(messages):
        raise Failure("sealed %d of %d: %s" % (len(lines), len(messages),
                                               out[-500:]))
    for line, message in zip(lines, messages):
        line["properties"]["message_id"] = \
            message["properties"]["message_id"]
    return lines


# --- a clock -------------------------------------------------------------------

def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def make_certificate(ground, name, move=("key", "cert")):
    """Files `cert`, of a server on 127.0.0.1 for two days, and `key`, of which
    only those in `move` take the place of what was there."""
    if shutil.which("openssl") is None:
        raise Skip("openssl is not installed")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
         "/CN=" + name, "-addext", "subjectAltName=IP:127.0.0.1", "-keyout",
         ground.path("key.new"), "-out", ground.path("cert.new")],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    os.chmod(ground.path("key.new"), 0o600)
    for one in move:
        os.rename(ground.path(one + ".new"), ground.path(one))


def runtime_of_sanitizer(*names):
    """The library, where the daemon was built with one of them, or any."""
    listed = subprocess.run(["ldd", BURSARD], stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL, check=False)
    return [line.split()[2] for line in listed.stdout.decode().splitlines()
            if any(name in line for name in names or ("libasan", "libtsan"))
            and "=>" in line]


def clock():
    """The environment of a process that lives in November 2026."""
    found = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1") + \
        glob.glob("/usr/lib*/faketime/libfaketimeMT.so.1")
    if not found:
        raise Skip("faketime is not installed")
    # Behind it faketime begins before it does and waits for memory for ever;
    # before it faketime hides from it who waits for a condition.
    if runtime_of_sanitizer("libtsan"):
        raise Skip("faketime and ThreadSanitizer do not go together")
    # AddressSanitizer has to be loaded before all else.
    return {"LD_PRELOAD": ":".join(runtime_of_sanitizer() + found[:1]),
            "FAKETIME": "@2026-11-15 00:00:00",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1", "TZ": "UTC"}


# --- what must be so -----------------------------------------------------------

def cells_of_records():
    """The rollups as they follow from the records, in SQL."""
    sums = "".join(
        ", coalesce(sum({0}), 0), count({0})".format(name)
        for name in ROLLUP_SUMS)
    return " UNION ALL ".join(
        "SELECT '%s', %s, recorded_us / %d, coalesce(provider, ''), "
        "coalesce(model_id, ''), count(*), "
        "count(*) FILTER (WHERE status NOT IN ('', 'success', 'ok'))%s "
        "FROM metering_records%s GROUP BY 1, 2, 3, 4, 5" % (
            name, column, CELL_SECONDS * 1000000, sums,
            "" if name == "all" else " WHERE coalesce(%s, '') <> ''" % column)
        for name, column in DIMENSIONS.items())


def cells_as_stored():
    """The rollups as they stand, column by column as cells_of_records()."""
    columns = "dimension, value, cell, provider, model_id, request_count, " \
        "error_count" + "".join(", {0}, {0}_n".format(name)
                                for name in ROLLUP_SUMS)
    return "SELECT %s FROM rollup_cells WHERE value <> '' OR " \
        "dimension = 'all'" % columns


def check_rollups(ground, path=None):
    """Every cell is the sum of its records, and there is no other cell."""
    stored = {tuple(row) for row in ground.rows(cells_as_stored(),
                                                path=path)}
    summed = {tuple(row) for row in ground.rows(cells_of_records(),
                                                path=path)}
    wrong = sorted(stored ^ summed)
    check(not wrong and stored, "%d rollup cells are the sums of their "
          "records" % len(stored), wrong[:4])
    lost = ground.value(
        "SELECT count(*) FROM rollup_cells WHERE latency_ms_n <> %s" %
        " + ".join("lat_%d" % i for i in range(20)), path=path)
    equal(lost, 0, "every latency is in one bucket")


def check_sound(ground, path=None):
    equal(ground.value("PRAGMA integrity_check", path=path), "ok",
          "the database is sound")
    equal(ground.value(
        "SELECT count(*) - count(DISTINCT key) FROM record_keys",
        path=path), 0, "no key stands twice")
    records = sum(ground.count(kind, path)
                  for kind in ("metering", "prompt", "tool"))
    equal(ground.value("SELECT count(*) FROM record_keys", path=path),
          records, "there are as many keys as records")


def once_each(got, want, what):
    """Every one of `want` is in `got` once, and nothing else is."""
    got, want = sorted(got), sorted(want)
    if got == want:
        return check(True, what)
    missing = sorted(set(want) - set(got))
    extra = sorted(set(got) - set(want))
    twice = sorted({one for one in got if got.count(one) > 1}) \
        if len(got) < 20000 else len(got) - len(set(got))
    return check(False, what, "missing", len(missing), missing[:5],
                 "extra", len(extra), extra[:5], "twice", twice)


# --- running -------------------------------------------------------------------

make_ground = Ground	# by the name of a scenario
_ground = None


def _leave():
    global _ground
    if _ground is not None:
        ground, _ground = _ground, None
        ground.leave()


def _interrupted(number, frame):
    del frame
    _leave()
    os._exit(128 + number)


def plugin_is_built(name):
    return bool(glob.glob(os.path.join(PLUGINS, "*", name + ".la")))


def need(*plugins):
    for name in plugins:
        if not plugin_is_built(name):
            raise Skip("%s was not built" % name)


def _run(scenario):
    """Runs one scenario; whether it was skipped."""
    global _ground, _failures
    began = time.monotonic()
    before = _failures
    skipped = False
    print("== %s" % scenario.__name__.replace("_", " "), flush=True)
    try:
        need("source_file", "format_ledger", "sink_sqlite")
        _ground = make_ground(scenario.__name__)
        scenario(_ground)
        _ground.sound()
    except Skip as why:
        skipped = True
        print("skipped: %s" % why)
    except Exception as why:	# whatever it is, the next one is run
        _failures += 1
        print("FAILED %s" % why)
        if not isinstance(why, Failure):
            traceback.print_exc(file=sys.stdout)
    if _failures > before and _ground is not None:
        _ground.tell()
    _leave()
    print("   %.1f s" % (time.monotonic() - began), flush=True)
    return skipped


def main(*scenarios):
    atexit.register(_leave)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _interrupted)
    print("seed %d, scale %g" % (SEED, SCALE))
    wanted = sys.argv[1:]
    chosen = [one for one in scenarios
              if not wanted or one.__name__ in wanted]
    if not chosen:
        print("there is no scenario %s" % " ".join(wanted))
        sys.exit(2)
    skipped = [_run(one) for one in chosen]
    if _failures > 0:
        print("%d failures" % _failures)
        sys.exit(1)
    sys.exit(SKIP if skipped and all(skipped) else 0)
