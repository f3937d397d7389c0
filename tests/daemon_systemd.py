#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What systemd and the daemon say to each other: that it is ready, reloads,
ends and is alive; sockets that are passed, and credentials.  The test plays
systemd by the protocols of sd_notify(3) and sd_listen_fds(3)."""
import http.client
import json
import os
import shutil
import signal
import socket
import sys
import time

sys.dont_write_bytecode = True
import daemon  # noqa: E402
from daemon import check, equal  # noqa: E402

MODULES = os.path.join(os.path.dirname(daemon.PLUGINS), "tests", "modules")


class Manager:
    """The end of the notify socket that systemd holds."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address.replace("@", "\0", 1))
        self.heard = []		# (when, name, value)

    def listen(self, seconds=0.0):
        until = time.monotonic() + seconds
        while True:
            self.socket.settimeout(max(0.001, until - time.monotonic()))
            try:
                text = self.socket.recv(65536).decode()
            except (socket.timeout, BlockingIOError):
                if time.monotonic() >= until:
                    return
                continue
            for line in text.splitlines():
                name, value = line.split("=", 1)
                self.heard.append((time.monotonic(), name, value))

    def values(self, name):
        self.listen()
        return [value for _, heard, value in self.heard if heard == name]

    def wait(self, name, count=1, value=None):
        daemon.wait_for(
            lambda: len([one for one in self.values(name)
                         if value is None or value in one]) >= count,
            "%s %s is said" % (name, value or ""))
        return self.values(name)[-1]


def tells_how_it_goes(ground):
    daemon.need("source_file", "sink_sqlite")
    ground.configure(source={"follow": True}, drain_timeout="2s")
    for address in (ground.path("notify"), "@bursar-test-%d" % os.getpid()):
        manager = Manager(address)
        process = ground.start(env={"NOTIFY_SOCKET": address})
        equal(manager.wait("READY"), "1", "ready, at %s" % address[:1])
        check(process.events("started"), "it was when everything is open")
        manager.wait("STATUS", value="Takes messages: 1 sources, 1 sinks")
        ground.configure(source={"follow": True, "scan-interval": "70ms"},
                         drain_timeout="2s")
        before = time.monotonic()
        process.signal(signal.SIGHUP)
        manager.wait("RELOADING")
        manager.wait("READY", 2)
        when = int(manager.values("MONOTONIC_USEC")[0]) / 1e6
        check(before <= when <= time.monotonic(),
              "it says when the reload began", before, when)
        order = [name for _, name, _ in manager.heard
                 if name in ("READY", "RELOADING")]
        equal(order, ["READY", "RELOADING", "READY"], "in that order")
        ground.write_text("bursar.yaml", "sources: [\n")
        process.signal(signal.SIGHUP)
        manager.wait("READY", 3)
        check(process.events("reload-refused"), "the old one goes on")
        ground.configure(source={"follow": True}, drain_timeout="2s")
        equal(process.stop(), 0, "it ends")
        equal(manager.values("STOPPING"), ["1"], "and says so")
        equal(manager.values("EXTEND_TIMEOUT_USEC"), ["12000000"],
              "and how long it may take")
        equal(manager.values("WATCHDOG"), [], "no watchdog was asked for")


def says_what_holds_it_up(ground):
    ground.configure(source={"follow": True}, sinks={
        "ledger": {"plugin": "moody", "mood": "absent"}})
    manager = Manager(ground.path("notify"))
    process = ground.start(env={
        "NOTIFY_SOCKET": ground.path("notify"),
        "BURSAR_PLUGIN_PATH": daemon.PLUGINS + ":" + MODULES})
    manager.wait("STATUS", value="Waits to store metering: ")
    manager.wait("READY")
    process.stop()


def feeds_the_watchdog_while_threads_get_on(ground):
    stuck = ground.path("stuck")
    ground.configure(source={"follow": True}, sinks={
        "ledger": {"plugin": "stuck", "path": stuck}})
    manager = Manager(ground.path("notify"))
    env = {"NOTIFY_SOCKET": ground.path("notify"), "WATCHDOG_USEC": "600000",
           "BURSAR_PLUGIN_PATH": daemon.PLUGINS + ":" + MODULES}
    process = ground.start(env=env)
    manager.wait("WATCHDOG", 12)
    beats = [at for at, name, _ in manager.heard if name == "WATCHDOG"]
    # Of a machine that stalls the test may hear late.
    pauses = sorted(b - a for a, b in zip(beats, beats[1:]))
    check(pauses[len(pauses) // 2] < 0.6, "it is fed in time", beats)

    ground.write_text("stuck", "")
    ground.write("in/a", [daemon.fact(1)])
    process.wait_event("thread-stuck")
    check("thread=ledger" in process.events("thread-stuck")[0],
          "it says which one", process.events("thread-stuck"))
    manager.listen(0.3)
    count = len(manager.values("WATCHDOG"))
    manager.listen(1.5)
    equal(len(manager.values("WATCHDOG")), count,
          "a thread that does not come back starves it")
    os.remove(stuck)
    manager.wait("WATCHDOG", count + 3)
    equal(len(process.events("thread-stuck")), 1, "and was said once")
    equal(process.stop(), 0, "it ends")

    process = ground.start(env=dict(env, WATCHDOG_PID="1"))
    manager.wait("READY", 2)
    count = len(manager.values("WATCHDOG"))
    manager.listen(1)
    equal(len(manager.values("WATCHDOG")), count,
          "a watchdog of another process is not fed")
    process.stop()


def starts_whatever_the_variables_say(ground):
    ground.configure(source={"follow": True})
    for env in ({"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "x" * 200},
                {"NOTIFY_SOCKET": "/nowhere/at/all", "WATCHDOG_USEC": "-1"},
                {"NOTIFY_SOCKET": "/" + "x" * 200, "WATCHDOG_USEC": "all"}):
        process = ground.follow(env=env)
        equal(process.stop(), 0, "with %s" % sorted(env.items())[0][1][:8])


# --- sockets -------------------------------------------------------------------

PASS = """
import os, sys
fds = [int(fd) for fd in sys.argv[1].split(",") if fd]
high = [os.dup2(fd, 100 + i) for i, fd in enumerate(fds)]
for i, fd in enumerate(high):
    os.dup2(fd, 3 + i)
    os.close(fd)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""


class Passed:
    """A daemon that is given sockets, as the service manager does it."""

    def __init__(self, ground, listen, **source):
        self.ground = ground
        self.source = dict({"plugin": "http", "kind": "metering",
                            "listen": listen}, **source)
        self.configure()

    def configure(self, **more):
        self.source.update(more)
        tree = self.ground.configure(blocked_retry="100ms")
        tree["sources"] = {"in": self.source}
        self.ground.write_text("bursar.yaml", json.dumps(tree))

    def start(self, sockets, names="", event="listening"):
        fds = [one.fileno() for one in sockets]
        process = self.ground.start(
            before=[sys.executable, "-c", PASS,
                    ",".join("%d" % fd for fd in fds)],
            fds=fds, env={"LISTEN_FDS": "%d" % len(fds),
                          "LISTEN_FDNAMES": names})
        process.wait_event(event)
        return process


def listener(address=("127.0.0.1", 0), family=socket.AF_INET):
    one = socket.socket(family)
    one.bind(address)
    one.listen(16)
    return one


def begin_post(one, n):
    """Sends a record; its answer is to come."""
    client = socket.socket(one.family)
    client.settimeout(daemon.PATIENCE)
    client.connect(one.getsockname())
    body = json.dumps(daemon.body_of_fact(n)).encode()
    client.sendall(b"POST /v1/records HTTP/1.1\r\nHost: localhost\r\n"
                   b"Content-Type: application/json\r\n"
                   b"Connection: close\r\nContent-Length: %d\r\n\r\n%s" % (
                       len(body), body))
    return client


def answer(client):
    response = http.client.HTTPResponse(client)
    response.begin()
    said = response.read()
    client.close()
    return response.status, said


def listens_on_a_socket_that_was_passed(ground):
    daemon.need("source_http")
    one = listener()
    passed = Passed(ground, "systemd")
    process = passed.start([one])
    equal(answer(begin_post(one, 1))[0], 200, "it answers there")

    passed.configure(**{"max-records": 50})
    process.signal(signal.SIGHUP)
    process.wait_event("reloaded")
    equal(answer(begin_post(one, 2))[0], 200, "and after a reload")

    equal(process.stop(), 0, "it ends")
    waiting = begin_post(one, 3)
    process = passed.start([one])
    equal(answer(waiting)[0], 200, "who came meanwhile was not refused")
    process.kill()
    waiting = begin_post(one, 4)
    process = passed.start([one])
    equal(answer(waiting)[0], 200, "nor after a kill")
    process.stop()
    equal(ground.count(), 4, "all are stored")
    one.close()


def listens_on_the_socket_of_that_name(ground):
    daemon.need("source_http")
    other = listener()
    here = listener(ground.path("http"), socket.AF_UNIX)
    passed = Passed(ground, "systemd:http")
    process = passed.start([other, here], "other:http")
    equal(answer(begin_post(here, 1))[0], 200, "it answers there")
    process.stop()
    passed.start([other, here], "http-not:other", "source-blocked").stop()
    equal(ground.count(), 1, "it is stored")


def refuses_what_it_cannot_serve(ground):
    daemon.need("source_http")
    passed = Passed(ground, "systemd")
    ground.bursar("check")
    process = passed.start([], event="source-blocked")
    check("no socket was passed" in process.log(), "none was passed",
          process.log())
    process.stop()
    everywhere = listener(("0.0.0.0", 0))
    for sockets, why in (([everywhere], "can be reached from other"),
                         ([socket.socket()], "no socket that listens")):
        fds = [one.fileno() for one in sockets]
        process = ground.start(
            before=[sys.executable, "-c", PASS, "%d" % fds[0]], fds=fds,
            env={"LISTEN_FDS": "1"})
        daemon.wait_for(lambda: why in process.log(), why)
        process.kill()
    process = ground.start(env={"LISTEN_FDS": "1", "LISTEN_PID": "1"})
    daemon.wait_for(lambda: "no socket was passed" in process.log(),
                    "those of another process are not taken")
    process.stop()


def is_started_by_its_socket(ground):
    daemon.need("source_http")
    if shutil.which("systemd-socket-activate") is None:
        raise daemon.Skip("no systemd-socket-activate")
    with listener() as free:
        place = free.getsockname()
    passed = Passed(ground, "systemd:http")
    process = ground.start(
        before=["systemd-socket-activate", "-l", "%s:%d" % place,
                "--fdname=http", "-E", "BURSAR_PLUGIN_PATH", "-E",
                "LD_LIBRARY_PATH", "-E", "ASAN_OPTIONS"])
    daemon.wait_for(lambda: "Listening on" in process.log(), "it listens")
    check(not process.events("started"), "nothing runs before somebody comes")

    class Place:
        family = socket.AF_INET

        @staticmethod
        def getsockname():
            return place
    equal(answer(begin_post(Place, 1))[0], 200, "the first is answered")
    equal(process.stop(), 0, "it ends")
    equal(ground.count(), 1, "and stored")
    del passed


# --- credentials ---------------------------------------------------------------

def takes_credentials(ground):
    daemon.need("source_http")
    folder = ground.path("credentials")
    os.mkdir(folder)
    ground.bursar("token", "add", "gateway", "--file", ground.path("tokens"))
    shutil.copy(ground.path("tokens"), os.path.join(folder, "tokens"))
    os.chmod(os.path.join(folder, "tokens"), 0o440)
    one = listener()
    passed = Passed(ground, "systemd", **{
        "token-file": "${CREDENTIALS_DIRECTORY}/tokens"})
    fds = [one.fileno()]
    before = [sys.executable, "-c", PASS, "%d" % fds[0]]
    env = {"LISTEN_FDS": "1", "CREDENTIALS_DIRECTORY": folder}
    process = ground.start(before=before, fds=fds, env=env)
    process.wait_event("listening")
    equal(answer(begin_post(one, 1))[0], 401, "a token is asked for")
    process.stop()

    passed.configure(**{"token-file": os.path.join(folder, "tokens")})
    del env["CREDENTIALS_DIRECTORY"]
    process = ground.start(before=before, fds=fds, env=env)
    daemon.wait_for(lambda: "others can reach it" in process.log(),
                    "elsewhere such a file is refused")
    process.kill()


daemon.main(tells_how_it_goes, says_what_holds_it_up,
            feeds_the_watchdog_while_threads_get_on,
            starts_whatever_the_variables_say,
            listens_on_a_socket_that_was_passed,
            listens_on_the_socket_of_that_name,
            refuses_what_it_cannot_serve, is_started_by_its_socket,
            takes_credentials)
