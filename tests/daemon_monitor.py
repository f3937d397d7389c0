#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What docs/operating.md says of figures and alerts is so, and alerts and
dashboard ask for figures that are there."""
import json
import os
import re
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
import daemon  # noqa: E402
from daemon import check, equal  # noqa: E402
from web import Web  # noqa: E402

TOP = os.path.abspath(os.environ.get("top_srcdir") or
                      os.path.join(daemon.HERE, ".."))
ALERTS = os.path.join(TOP, "etc", "alerts.yml")
NAME = re.compile(r"\b((?:bursar|process)_[a-z0-9_]+)")
ROW = re.compile(r"\| `((?:bursar|process)_[a-z0-9_]+)` \| (\w+) \| ([^|]*)"
                 r"\| ([^|]*)\|")
# Labels of a figure that every kind of plugin can have.
ANY = {"option", "source", "crypto", "sink", "service", "format"}


def read(*path):
    with open(os.path.join(TOP, *path), encoding="utf-8") as file:
        return file.read()


def explained():
    """By name: type, unit and labels, as the tables say."""
    found = {}
    for name, kind, unit, labels in ROW.findall(read("docs", "operating.md")):
        check(name not in found, "%s is explained once" % name)
        words = set(re.split(r", | or ", labels.strip())) - {""}
        if "and what it is of" in words:
            words = ANY
        found[name] = kind, unit.strip(), words
    return found


def of_plugins(ground):
    """Figures of all plugins that were built."""
    names = set()
    rows = json.loads(ground.bursar("plugins", "--format", "json"))["rows"]
    for row in rows:
        told = json.loads(ground.bursar(
            "plugins", "--format", "json",
            "%s_%s" % (row["kind"], row["name"])))["rows"]
        names |= {one["name"] for one in told[0]["figures"]}
    return names, {row["name"] for row in rows}


def of_the_core():
    """Those that the core has a name for, also where a run shows none."""
    names = set()
    for folder, _, files in os.walk(os.path.join(TOP, "core")):
        for file in files:
            if file.endswith(".c"):
                names |= set(re.findall(r'"(bursar_[a-z_]+[a-z])"',
                                        read(folder, file)))
    return names


def figures_of_a_run(ground):
    """Of a daemon that has one of most things."""
    secret = daemon.cluster_secret(ground, "secret")
    web = Web(ground, source={"crypto": "key"}, prices={},
              crypto={"key": {"plugin": "cluster", "secret-file": secret}})
    web.start()
    ground.write("in/a.jsonl", [daemon.fact(1), "{"])
    figures = web.wait_read(2)
    web.process.stop()
    return figures


def every_figure_is_explained(ground):
    said = explained()
    check(len(said) > 60, "%d figures are explained" % len(said))
    figures = figures_of_a_run(ground)
    plugins, built = of_plugins(ground)
    told = set(figures.types) | plugins | of_the_core() & set(said)
    equal(sorted(of_the_core() - set(said) - {"bursar_plugin"}), [],
          "none of the core's lacks it")
    equal(sorted(told - set(said)), [], "no figure lacks an explanation")
    if {"amqp", "http", "vault", "postgres", "web"} <= built:
        equal(sorted(set(said) - told), [], "nothing else is explained")
    for name, (kind, unit, words) in said.items():
        want = figures.types.get(name)
        if want is None:
            want = "counter" if name.endswith("_total") else "gauge"
        if not check(kind == want, "%s is a %s" % (name, want), kind):
            continue
        ending = name.replace("_total", "").rsplit("_", 1)[1]
        if ending in ("seconds", "bytes"):
            check(unit.startswith(ending), "%s has its unit" % name, unit)
        check(unit != "", "%s has a unit" % name)
        seen = {label for (one, has) in figures.values
                if re.sub("_(bucket|sum|count)$", "", one) == name or
                one == name for label, _ in has} - {"le"}
        check(seen <= words, "labels of %s" % name, seen, words)
        check(not seen & {"job", "instance"},
              "%s has no label that Prometheus sets" % name)
        if name in figures.types and not words & {"plugin", "format"}:
            equal(seen, words, "all labels of %s" % name)


def names_asked_for(text, known):
    """Names in expressions; those of a histogram by what it is made of."""
    wrong = set()
    for name in set(NAME.findall(text)):
        plain = re.sub("_(bucket|sum|count)$", "", name)
        if name not in known and known.get(plain) != "histogram":
            wrong.add(name)
    return sorted(wrong)


def expressions():
    """What the dashboard asks for."""
    board = json.loads(read("etc", "dashboard.json"))
    return [target["expr"] for panel in board["panels"]
            for target in panel.get("targets", [])]


def alerts_and_dashboard_ask_for_what_is_there(ground):
    figures = figures_of_a_run(ground)
    known = dict(figures.types)
    known.update({name: "" for name in of_plugins(ground)[0]})
    if not daemon.plugin_is_built("crypto_vault"):
        known.update({name: "" for name in explained() if "_vault" in name})
    rules = read("etc", "alerts.yml")
    check(len(set(NAME.findall(rules))) > 20, "alerts ask for figures")
    equal(names_asked_for(rules, known), [], "they are all there")
    asked = expressions()
    check(len(asked) > 30, "the dashboard has %d expressions" % len(asked))
    equal(names_asked_for("\n".join(asked), known), [],
          "what it asks for is all there")
    states = set(re.findall(r'state=~?"([a-z|]+)"', rules))
    words = {word for one in states for word in one.split("|")}
    there = {dict(has)["state"] for (_, has) in figures.values
             if "state" in dict(has)}
    equal(sorted(words - there), [], "and so are states")


def every_alert_is_explained(ground):
    del ground
    rules = dict(re.findall(
        r"- alert: (\w+)\n(?:.*\n)*?        labels: {severity: (\w+)}",
        read("etc", "alerts.yml")))
    check(len(rules) > 20, "there are %d alerts" % len(rules))
    told = dict((name, (severity, text)) for name, severity, text in
                re.findall(r"^\*\*(Bursar\w+)\*\* \((\w+)\): (.*)$",
                           read("docs", "operating.md"), re.M))
    equal(sorted(told), sorted(rules), "each alert has its paragraph")
    for name, (severity, text) in told.items():
        equal(severity, rules.get(name), "%s: how urgent it is" % name)
        check(" Do: " in text and len(text) > 80,
              "%s: what it means and what to do" % name, text)
    tested = set(re.findall(r"alertname: (\w+)",
                            read("tests", "alerts.test.yml")))
    equal(sorted(tested), sorted(rules), "each alert has its test")


def promtool(*arguments):
    done = subprocess.run(("promtool",) + arguments, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False)
    return done.returncode, done.stdout.decode()


def alerts_fire_when_they_should(ground):
    if shutil.which("promtool") is None:
        raise daemon.Skip("promtool is not installed")
    status, said = promtool("check", "rules", ALERTS)
    check(status == 0, "`promtool check rules` has no complaint", said)
    status, said = promtool("test", "rules", os.path.join(
        TOP, "tests", "alerts.test.yml"))
    check(status == 0, "`promtool test rules` has none", said)
    rules = ["groups:", "  - name: dashboard", "    rules:"]
    for number, one in enumerate(expressions()):
        one = one.replace("$__rate_interval", "5m").replace("$instance", ".*")
        rules.append("      - {record: panel_%d, expr: %s}" % (
            number, json.dumps(one)))
    ground.write_text("panels.yml", "\n".join(rules) + "\n")
    status, said = promtool("check", "rules", ground.path("panels.yml"))
    check(status == 0, "the dashboard's expressions can be read", said)


for plugin in ("service_web", "crypto_cluster"):
    if not daemon.plugin_is_built(plugin):
        print("skipped: %s was not built" % plugin)
        sys.exit(daemon.SKIP)
daemon.main(every_figure_is_explained,
            alerts_and_dashboard_ask_for_what_is_there,
            every_alert_is_explained, alerts_fire_when_they_should)
