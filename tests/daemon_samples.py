#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The sample configurations, as they stand but for the folders, the ports and
the passwords of the test's own servers: they pass the check, and store what
they are made for."""
import os
import re
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
import daemon  # noqa: E402
import real  # noqa: E402
import web  # noqa: E402
from daemon_http import blocks  # noqa: E402
from daemon import check, equal  # noqa: E402

SAMPLES = os.path.join(os.environ.get("top_srcdir") or
                       os.path.join(daemon.HERE, ".."), "etc", "samples")
EXCHANGES = ("llm.metering", "llm.audit")


def secret(ground, name, text):
    path = ground.path("etc/" + name)
    with open(path, "w", encoding="ascii") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(text + "\n")


def use(ground, name):
    """Makes the sample the configuration, with all that it asks for."""
    for folder in ("etc", "log", "state"):
        os.makedirs(ground.path(folder), mode=0o700, exist_ok=True)
    amqp = re.match(r"amqp://(.*):(.*)@(.*)/", real.address("AMQP"))
    postgres = dict(one.split("=", 1)
                    for one in real.address("PG").split() if "=" in one)
    secret(ground, "amqp-password", amqp.group(2))
    secret(ground, "postgres-password", postgres["password"])
    daemon.cluster_secret(ground, "etc/cluster-secret")
    secret(ground, "keys", "secret today " + "A" * 43 + "=")
    with open(os.path.join(SAMPLES, name), encoding="utf-8") as file:
        text = file.read()
    ground.port = daemon.free_port()
    for here, there in (
            ("/var/lib/bursar", ground.path("state")),
            ("/var/log/llm", ground.path("log")),
            ("/etc/bursar", ground.path("etc")),
            (":8378", ":%d" % ground.port),
            ("bursar@localhost/", "%s@%s/" % amqp.group(1, 3)),
            ("host=localhost ", "host=%s port=%s sslmode=disable " % (
                postgres["host"], postgres["port"]))):
        text = text.replace(here, there)
    ground.write_text("bursar.yaml", text)
    ground.state_dir = ground.path("state")
    said = ground.bursar("check")
    check("error" not in said, "`bursar check` accepts it", said)


def facts(count):
    return [daemon.fact(n) for n in range(count)]


def prompts(count):
    return [daemon.prompt(n) for n in range(count)]


def tools(count):
    return [daemon.tool(n) for n in range(count)]


def send(ground, exchange, messages):
    ground.publish(messages, target=exchange + ":")


def end(ground, process, queues):
    """Everything is settled: it leaves nothing behind."""
    asked = web.Asked(ground.port)
    equal(asked.ready(), (200, True), "/readyz says that it is well")
    equal(asked.figures().sum("bursar_dead_letters_total"), 0,
          "figures are told")
    equal(process.stop(), 0, "TERM ends it with 0")
    for queue in queues:
        equal(ground.ready(queue), 0, "%s is empty" % queue)
    equal(ground.letters(), [], "there is no dead letter")
    ground.verify()


def one_machine(ground):
    use(ground, "one-machine.yaml")
    ledger = ground.path("state/ledger.db")
    ground.write("log/usage-1.jsonl", [one["body"] for one in facts(100)])
    process = ground.follow()
    ground.write("log/audit.jsonl", prompts(20) + tools(30))
    ground.append("log/usage-1.jsonl",
                  [dict(one["body"], message_id="later-%d" % n)
                   for n, one in enumerate(facts(10))])
    real_sink, real.SINK = real.SINK, "sqlite"
    ground.ledger = ledger
    ground.wait_stored(110, "metering", ledger)
    ground.wait_stored(20, "prompt", ledger)
    ground.wait_stored(30, "tool", ledger)
    end(ground, process, [])
    real.SINK = real_sink


def exchanges():
    for exchange in EXCHANGES:
        real.broker("exchange", exchange, "topic")


def broker_and_postgres(ground):
    exchanges()
    use(ground, "broker-postgres.yaml")
    process = ground.follow()
    queues = ("llm.metering.write", "llm.audit.prompts", "llm.audit.tools")
    for queue in queues:
        daemon.wait_for(lambda: queue_is_there(ground, queue),
                        "%s is declared" % queue)
    send(ground, "llm.metering", facts(200))
    send(ground, "llm.audit", daemon.sealed(ground, "cluster", prompts(40)))
    send(ground, "llm.audit", daemon.sealed(ground, "cluster", tools(30)))
    ground.wait_stored(200)
    ground.wait_stored(40, "prompt")
    ground.wait_stored(30, "tool")
    end(ground, process, queues)
    forget(queues)


def queue_is_there(ground, queue):
    """Declared, bound and read."""
    try:
        return ground.consumers(queue) == 1
    except daemon.Failure:
        return False


def forget(queues):
    for queue in queues:
        real.broker("delete", queue)
    for exchange in EXCHANGES:
        real.broker("delete-exchange", exchange)


def mixed(ground):
    exchanges()
    use(ground, "mixed.yaml")
    audit = ground.path("state/audit.db")
    ground.write("log/tools.jsonl", tools(30))
    process = ground.follow()
    queues = ("llm.metering.write", "llm.audit.prompts")
    for queue in queues:
        daemon.wait_for(lambda: queue_is_there(ground, queue),
                        "%s is declared" % queue)
    send(ground, "llm.metering", facts(200))
    send(ground, "llm.audit", daemon.sealed(ground, "cluster", prompts(40)))
    ground.wait_stored(200)
    ground.wait_stored(40, "prompt", audit)
    ground.wait_stored(30, "tool", audit)
    end(ground, process, queues)
    equal([row[0] for row in ground.rows(
        "SELECT DISTINCT sealed_by FROM prompt_records", path=audit)],
          ["own/today"], "prompts lie sealed")
    said = ground.bursar("export", "--sink", "audit", "--bodies")
    check(said.count("what is ") == 40, "and are read with the key")
    forget(queues)


def as_producers_are_shown(ground):
    """What docs/producers.md says of brokers, at the address of this broker."""
    uri = real.address("AMQP")
    sources = [one for one in blocks("yaml") if "plugin: amqp" in one][0]
    shells = [one for one in blocks("sh") if "amqp-publish" in one]
    ground.port = daemon.free_port()
    ground.write_text("bursar.yaml", sources.replace(
        "plugin: amqp  ", 'plugin: amqp\n    uri: "%s"' % uri) +
        'services: {web: {plugin: web, listen: "127.0.0.1:%d"}}\n'
        "sinks: {ledger: {plugin: sqlite, path: ledger.db}}\n"
        "state-dir: state\n" % ground.port)
    real.broker("exchange", "llm.metering", "topic")
    process = ground.follow()
    daemon.wait_for(lambda: queue_is_there(ground, "llm.metering.write"),
                    "its queue is declared")
    ground.publish([daemon.fact(1)], target="llm.metering:metering.chat")
    want = ["fact-00000001"]
    if shutil.which("amqp-publish"):
        shown = shells[-1].replace("amqp-publish ",
                                   "amqp-publish -u '%s%%2f' " % uri)
        done = subprocess.run(["sh", "-ec", shown], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)
        equal((done.returncode, done.stdout), (0, b""), "amqp-publish")
        want = ["call-4"] + want
    else:
        print("amqp-publish is not installed")
    sink, real.SINK = real.SINK, "sqlite"
    daemon.wait_for(lambda: ground.count() == len(want), "all is stored")
    equal(ground.ids(), want, "what was published is stored")
    end(ground, process, ["llm.metering.write"])
    real.SINK = sink
    forget(["llm.metering.write"])


def failed_check(ground, *words):
    said = ground.bursar("check", status=1)
    for word in ("FAILED",) + words:
        check(word in said, "`bursar check` says: " + word, said)


def the_check_asks_the_servers(ground):
    exchanges()
    use(ground, "broker-postgres.yaml")
    said = ground.bursar("check")
    check(said.count("there is no queue") == 3, "it names missing queues",
          said)
    listed = real.rabbitmqctl("list_queues", "--no-table-headers", "name")
    check("llm." not in listed, "and makes none", listed)
    secret(ground, "amqp-password", "not this one")
    failed_check(ground, "source 'metering'", "login refused")
    use(ground, "broker-postgres.yaml")
    secret(ground, "postgres-password", "not this one")
    failed_check(ground, "sink 'ledger'", "password authentication failed")
    forget(())


if __name__ == "__main__":
    real.main(the_check_asks_the_servers, one_machine, broker_and_postgres,
              mixed, as_producers_are_shown,
              plugins=("source_amqp", "sink_postgres", "crypto_cluster",
                       "crypto_sodium", "service_web"))
