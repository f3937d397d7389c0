# SPDX-License-Identifier: Apache-2.0
"""web.py - a daemon with the service web, and what it says, for scripts"""
import http.client
import json
import re

import daemon

SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'([a-zA-Z_]+)="((?:[^"\\]|\\.)*)"')


class Asked:
    """The service web of a daemon, at its port."""

    def __init__(self, port):
        self.port = port

    def ask(self, path, method="GET", body=None, tls=None, **headers):
        """Status, headers and text."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=30) if tls is None else \
            http.client.HTTPSConnection("127.0.0.1", self.port, timeout=30,
                                        context=tls)
        try:
            connection.request(method, path, body, {
                name.replace("_", "-"): value
                for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode()
        finally:
            connection.close()

    def figures(self, **headers):
        status, _, text = self.ask("/metrics", **headers)
        if status != 200:
            raise daemon.Failure("/metrics: %d" % status)
        return Figures(text)

    def ready(self):
        """Status, and whether it says that it is."""
        status, _, text = self.ask("/readyz")
        return status, json.loads(text)["ready"]


class Web(Asked):
    """A daemon that follows a folder and is asked over HTTP."""

    def __init__(self, ground, web=None, **more):
        super().__init__(daemon.free_port())
        self.ground = ground
        self.web = {"plugin": "web", "listen": "127.0.0.1:%d" % self.port}
        self.web.update(web or {})
        self.more = more
        self.configure()
        self.process = None

    def configure(self, **more):
        source = {"follow": True}
        source.update(self.more.get("source", {}))
        rest = {name: value for name, value in self.more.items()
                if name != "source"}
        rest.update(more)
        return self.ground.configure(source=source,
                                     services={"web": self.web}, **rest)

    def start(self, event="listening"):
        self.process = self.ground.start()
        self.process.wait_event(event)
        return self

    def wait_read(self, count):
        """All of so many messages are read and settled."""
        def done():
            figures = self.figures()
            return figures.sum("bursar_messages_read_total") >= count and \
                figures.sum("bursar_in_flight_messages") == 0
        daemon.wait_for(done, "%d messages are settled" % count)
        return self.figures()


class Figures:
    """What /metrics said: name and labels to value."""

    def __init__(self, text):
        self.text = text
        self.values, self.types, self.order = {}, {}, []
        for line in text.splitlines():
            words = line.split(" ", 3)
            if line.startswith("# TYPE "):
                self.types[words[2]] = words[3]
                self.order.append(words[2])
            elif not line.startswith("#"):
                name, labels, value = SAMPLE.match(line).groups()
                key = (name, tuple(sorted(LABEL.findall(labels or ""))))
                if key in self.values:
                    raise daemon.Failure("twice: " + line)
                self.values[key] = float(value)

    def sum(self, name, **labels):
        found = [value for (one, has), value in self.values.items()
                 if one == name and set(labels.items()) <= set(has)]
        return sum(found) if found else None

    def by(self, name, label, **labels):
        return {dict(has)[label]: value
                for (one, has), value in self.values.items()
                if one == name and set(labels.items()) <= set(has)}

    def counters(self):
        return {key: value for key, value in self.values.items()
                if self.types.get(re.sub("_(bucket|sum|count)$", "", key[0]),
                                  self.types.get(key[0])) != "gauge"}
