# SPDX-License-Identifier: Apache-2.0
"""real.py - the daemon between a real broker and a real database

    import real

    def stores(ground):
        ground.declare()
        process = ground.follow()
        ground.publish([daemon.fact(1)])
        ground.wait_stored(1)

    real.main(stores, servers=["rabbitmq", "postgres"])

A script of this kind runs under tests/servers, and starts it where nobody did.
Each scenario has a schema without tables, and a queue of its own.  Its ground
is that of daemon.py; source and sink are what the script says: SOURCE `amqp`
or `file`, SINK `postgres` or `sqlite`.

What daemon.py knows of a ledger holds for PostgreSQL as well: copy() makes a
SQLite ledger of what is stored there.
"""
import csv
import io
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import threading

import daemon
import proxy

SERVERS = os.path.join(daemon.HERE, "servers")
BROKER = os.path.join(daemon.BUILD, "tests", "broker")
TABLES = ("metering_records", "prompt_records", "tool_records",
          "rollup_cells", "record_keys")
NOTHING = "@NULL@"
KEYS = {"metering": "metering.test", "prompt": "audit.prompt.test",
        "tool": "audit.tool.test"}
SOURCE, SINK = "amqp", "postgres"


def address(name):
    return os.environ["BURSAR_TEST_" + name]


# --- the servers ---------------------------------------------------------------

def servers(verb, name):
    """stop, start, restart or kill one of them."""
    done = subprocess.run([SERVERS, verb, name], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        raise daemon.Failure("servers %s %s: %s" % (
            verb, name, done.stdout.decode("utf-8", "replace")))


def rabbitmqctl(*arguments):
    done = subprocess.run([SERVERS, "rabbitmqctl", "-q"] + list(arguments),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=False)
    said = done.stdout.decode("utf-8", "replace")
    if done.returncode != 0:
        raise daemon.Failure("rabbitmqctl %s: %s" % (
            " ".join(arguments), said))
    return said


def broker(*arguments, status=0, uri=None):
    """What tests/broker prints; None where it may fail and did."""
    try:
        done = subprocess.run(
            [BROKER, uri or address("AMQP")] + [str(one) for one in arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, timeout=4 * daemon.PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        raise daemon.Failure("broker %s: no end" % arguments[0]) from None
    if done.returncode != status:
        if status is None:
            return None if done.returncode else done.stdout.decode()
        raise daemon.Failure("broker %s: %d: %s" % (
            arguments[0], done.returncode,
            done.stderr.decode("utf-8", "replace")))
    return done.stdout.decode()


def psql(role):
    return ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1",
            address("PG_" + role if role else "PG") +
            " connect_timeout=10 options='-c search_path=bursar -c "
            "timezone=UTC'"]


def sql(statement, role="ADMIN", patience=daemon.PATIENCE):
    """Rows of text; an SQL NULL is None."""
    try:
        done = subprocess.run(
            psql(role) + ["--csv", "-t", "-P", "null=" + NOTHING,
                          "-c", statement],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, timeout=patience, check=False)
    except subprocess.TimeoutExpired:
        raise daemon.Failure("psql: no answer: " + statement) from None
    if done.returncode != 0:
        raise daemon.Failure("psql: %s: %s" % (
            statement, done.stderr.decode("utf-8", "replace")))
    rows = csv.reader(io.StringIO(done.stdout.decode("utf-8"), newline=""))
    return [[None if one == NOTHING else one for one in row] for row in rows]


class Session:
    """A psql that stays: a transaction that holds a lock."""

    def __init__(self, *statements, role="ADMIN"):
        self.process = subprocess.Popen(
            psql(role) + ["-At"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for statement in statements:
            self.say(statement)

    def say(self, statement):
        self.process.stdin.write(
            (statement + ";\n\\echo said\n").encode())
        self.process.stdin.flush()
        line = self.process.stdout.readline().decode()
        while line and line != "said\n":
            if "ERROR" in line:
                raise daemon.Failure("psql: %s: %s" % (statement, line))
            line = self.process.stdout.readline().decode()
        if not line:
            raise daemon.Failure("psql: %s: it ended" % statement)

    def end(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def through(network, uri):
    """The same address, by way of a proxy."""
    if uri.startswith("amqp"):
        return re.sub(r":\d+/", ":%d/" % network.port, uri)
    return re.sub(r"port=\d+", "port=%d" % network.port, uri)


def network_to(name):
    """A proxy in front of one of the servers: AMQP or PG."""
    port = re.search(r":(\d+)/|port=(\d+)", address(name))
    return proxy.Proxy("127.0.0.1", int(port.group(1) or port.group(2)))


# --- ground --------------------------------------------------------------------

class Ground(daemon.Ground):
    def __init__(self, name):
        self.queue = name
        self.wire = []
        if "BURSAR_TEST_PG" in os.environ:
            empty_schema()
        super().__init__(name)

    def defaults(self):
        tree = super().defaults()
        if SOURCE == "amqp":
            tree["sources"]["in"] = {"plugin": "amqp",
                                     "uri": address("AMQP"),
                                     "queue": self.queue,
                                     "kind": "metering"}
        if SINK == "postgres":
            tree["sinks"]["ledger"] = self.postgres()
        return tree

    @staticmethod
    def postgres(**more):
        return dict({"plugin": "postgres", "conninfo": address("PG"),
                     "schema": "bursar"}, **more)

    def network(self, name):
        """A proxy that lives as long as this ground."""
        network = network_to(name)
        self.wire.append(network)
        return network

    def leave(self):
        super().leave()
        for network in self.wire:
            network.close()

    # The broker.

    def declare(self, *arguments, queue=None):
        broker("declare", queue or self.queue, *arguments)

    def publish(self, messages, *options, target=None):
        """All are with the broker when it returns."""
        self.write("to-publish", [with_key(one) for one in messages])
        broker("publish", target or self.queue, self.path("to-publish"),
               "--mandatory", *options)

    def ready(self, queue=None):
        """Messages that wait in the queue and are with nobody."""
        return int(broker("count", queue or self.queue))

    def wait_ready(self, count, queue=None):
        daemon.wait_for(lambda: self.ready(queue) == count,
                        "%d messages wait in the queue" % count)

    def consumers(self, queue=None):
        return int(broker("consumers", queue or self.queue))

    def topic(self, queue=None):
        """An exchange before the queue: publish() to `topic:` then gives
        each message the routing key of its kind."""
        broker("exchange", "topic", "topic")
        broker("bind", queue or self.queue, "topic", "#")

    # The ledger.

    def count(self, kind="metering", path=None):
        if SINK != "postgres" or path is not None:
            return super().count(kind, path)
        try:
            return int(sql("SELECT count(*) FROM %s_records" % kind)[0][0])
        except daemon.Failure:
            return 0	# the tables are not there, or nobody answers

    def ids(self, kind="metering", path=None):
        if SINK != "postgres" or path is not None:
            return super().ids(kind, path)
        return [row[0] for row in sql(
            "SELECT message_id FROM %s_records" % kind)]

    def wait_stored(self, count, kind="metering", path=None,
                    seconds=daemon.PATIENCE):
        daemon.wait_for(lambda: self.count(kind, path) >= count,
                        "%d %s records are stored" % (count, kind), seconds)

    def copy(self):
        """A SQLite ledger with what stands in PostgreSQL."""
        path = self.path("copy.db")
        if os.path.exists(path):
            os.unlink(path)
        database = sqlite3.connect(path)
        for table in TABLES:
            copy_table(database, table)
        database.commit()
        database.close()
        return path

    def check_ledger(self, path=None):
        """Rollups, keys and records agree, in SQL and by the command."""
        if SINK == "postgres" and path is None:
            path = self.copy()
        daemon.check_rollups(self, path)
        daemon.check_sound(self, path)


def with_key(message):
    if isinstance(message, dict) and message.get("kind") in KEYS:
        return dict({"routing_key": KEYS[message["kind"]]}, **message)
    return message


SQLITE_TYPES = {"bigint": "INTEGER", "integer": "INTEGER",
                "smallint": "INTEGER", "boolean": "BOOL",
                "double precision": "REAL", "numeric": "NUMERIC"}


def copy_table(database, table):
    columns = sql("SELECT column_name, data_type FROM "
                  "information_schema.columns WHERE table_schema = 'bursar' "
                  "AND table_name = '%s' ORDER BY ordinal_position" % table)
    if not columns:
        raise daemon.Failure("there is no %s" % table)
    types = [SQLITE_TYPES.get(kind, "TEXT") for _, kind in columns]
    database.execute("CREATE TABLE %s (%s)" % (table, ", ".join(
        '"%s" %s' % (name, "INTEGER" if kind == "BOOL" else kind)
        for (name, _), kind in zip(columns, types))))
    rows = sql("SELECT * FROM " + table)
    flags = [i for i, kind in enumerate(types) if kind == "BOOL"]
    for row in rows:
        for i in flags:
            row[i] = {"t": 1, "f": 0}.get(row[i])
    database.executemany("INSERT INTO %s VALUES (%s)" % (
        table, ", ".join("?" * len(columns))), rows)


def empty_schema():
    """The ledger as the administrator hands it over."""
    sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = 'ledger' AND pid <> pg_backend_pid()")
    sql("DROP SCHEMA bursar CASCADE; "
        "CREATE SCHEMA bursar AUTHORIZATION bursar; "
        "GRANT USAGE ON SCHEMA bursar TO bursar_reader; "
        "ALTER DEFAULT PRIVILEGES FOR ROLE bursar IN SCHEMA bursar "
        "GRANT SELECT ON TABLES TO bursar_reader")


def facts(first, count):
    return [daemon.fact(n) for n in range(first, first + count)]


def names(first, count):
    return ["fact-%08d" % n for n in range(first, first + count)]


def with_test_modules():
    """The environment of a daemon that has the plugins of the tests, too."""
    return {"BURSAR_PLUGIN_PATH": ":".join([
        daemon.PLUGINS, os.path.join(daemon.BUILD, "tests", "modules")])}


class InBackground(threading.Thread):
    """Does something beside the test; tells of it at the end."""

    def __init__(self, what):
        super().__init__(daemon=True)
        self.what = what
        self.why = None
        self.start()

    def run(self):
        try:
            self.what()
        except Exception as why:	# told by done()
            self.why = why

    def done(self, seconds=daemon.PATIENCE):
        self.join(seconds)
        if self.is_alive():
            raise daemon.Failure("it is not done after %g s" % seconds)
        if self.why is not None:
            raise self.why


# --- running -------------------------------------------------------------------

def skip(why):
    print("skipped: %s" % why)
    sys.exit(daemon.SKIP)


def under_servers(servers, lines=()):
    """Starts this script again with servers, unless there are some."""
    if "BURSAR_TEST_SERVERS" not in os.environ:
        only = ["--only", servers[0]] if len(servers) == 1 else []
        os.execv(sys.executable, [sys.executable, SERVERS, "run"] + only +
                 list(lines) + ["--", sys.executable] + sys.argv)


def main(*scenarios, servers=("rabbitmq", "postgres"), plugins=(), lines=()):
    """`lines` are options for `servers run`."""
    for name in plugins:
        if not daemon.plugin_is_built(name):
            skip("%s was not built" % name)
    if "rabbitmq" in servers and not os.path.exists(BROKER):
        skip("tests/broker was not built")
    if "postgres" in servers and shutil.which("psql") is None:
        skip("psql is not installed")
    under_servers(servers, lines)
    daemon.make_ground = Ground
    daemon.main(*scenarios)


# --- either database -----------------------------------------------------------

def ask(ground, statement):
    """Rows of text from whichever ledger the script has; NULL is None."""
    if SINK == "postgres":
        return sql(statement)
    return [[None if one is None else str(one) for one in row]
            for row in ground.rows(statement)]


def change(ground, statement):
    if SINK == "postgres":
        sql(statement)
    else:
        ground.run_sql(statement + ";")


def on(sink, scenario):
    """The scenario on that sink, under a name that says so."""
    def run(ground):
        global SINK
        SINK = sink
        ground.configure()
        scenario(ground)
    run.__name__ = "%s_in_%s" % (scenario.__name__, sink)
    return run


def main_in_both(*scenarios, postgres=()):
    """Each of them in SQLite, and where it is there in PostgreSQL as well; the
    others in PostgreSQL alone."""
    if not daemon.plugin_is_built("sink_sqlite"):
        skip("sink_sqlite was not built")
    runs = [on("sqlite", one) for one in scenarios]
    if daemon.plugin_is_built("sink_postgres") and shutil.which("psql"):
        runs += [on("postgres", one) for one in scenarios + tuple(postgres)]
        under_servers(["postgres"])
    daemon.make_ground = Ground
    daemon.main(*runs)
