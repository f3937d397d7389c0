#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The proxy of the tests does what it is told: a test that trusts a cut which
never came would prove nothing."""
import os
import socket
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import proxy  # noqa: E402


HEARD = []


def echo():
    """The port of a server that says again what it is told."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(8)

    def serve(one):
        with one:
            while True:
                try:
                    data = one.recv(65536)
                    if not data:
                        return
                    HEARD.append(data)
                    one.sendall(data)
                except OSError:
                    return

    def accept():
        while True:
            one, _ = listener.accept()
            threading.Thread(target=serve, args=(one,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


def connect(network):
    one = socket.create_connection(("127.0.0.1", network.port), timeout=5)
    one.settimeout(5)
    return one


def refused(network):
    """A new connection is ended before it is there, or at once."""
    try:
        return gone(connect(network))
    except TimeoutError:
        return False
    except OSError:
        return True


def asked(one, data):
    one.sendall(data)
    got = b""
    while len(got) < len(data):
        more = one.recv(65536)
        if not more:
            break
        got += more
    return got


def gone(one):
    try:
        one.sendall(b"x")
        one.recv(1)
        one.sendall(b"x")
        return one.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def gives_all_on(network):
    one = connect(network)
    data = os.urandom(1 << 20)
    sender = threading.Thread(target=one.sendall, args=(data,), daemon=True)
    sender.start()
    got = b""
    while len(got) < len(data):
        got += one.recv(1 << 16)
    assert got == data, "other bytes came back"
    one.shutdown(socket.SHUT_WR)
    assert one.recv(1) == b"", "the end was not given on"


def a_cut_ends_all_and_refuses_new_ones(network):
    one = connect(network)
    assert asked(one, b"a") == b"a"
    network.cut()
    assert gone(one), "it is still there"
    assert refused(network), "a new one works"
    network.resume()
    assert asked(connect(network), b"b") == b"b"


def a_reset_ends_all_and_takes_new_ones(network):
    one = connect(network)
    assert asked(one, b"a") == b"a"
    network.reset()
    assert gone(one), "it is still there"
    assert asked(connect(network), b"b") == b"b"


def a_delay_delays(network):
    one = connect(network)
    network.delay(0.3)
    began = time.monotonic()
    assert asked(one, b"a") == b"a"
    took = time.monotonic() - began
    assert took >= 0.6, "there and back took %.3f s" % took


def a_black_hole_keeps_all(network):
    one = connect(network)
    assert asked(one, b"a") == b"a"
    network.black_hole()
    one.sendall(b"b")
    one.settimeout(0.5)
    try:
        assert False, "%r came" % one.recv(1)
    except TimeoutError:
        pass
    late = connect(network)
    network.resume()
    one.settimeout(5)
    assert one.recv(1) == b"b", "what was held is lost"
    assert asked(late, b"c") == b"c"


def cuts_after_so_many_bytes(network):
    network.cut_after(1000)
    one = connect(network)
    assert asked(one, b"a" * 900) == b"a" * 900
    one.sendall(b"b" * 200)
    time.sleep(0.3)
    assert gone(one), "it is still there"


def cuts_at_a_word(network):
    one = connect(network)
    network.cut_at(b"WORD")
    assert asked(one, b"a") == b"a"
    one.sendall(b"a WORD")
    assert gone(one), "it is still there"
    assert network.struck == 1
    assert asked(connect(network), b"WORD") == b"WORD", "one only"


def cuts_behind_a_word(network):
    one = connect(network)
    network.cut_at(b"WORD", behind=True)
    HEARD.clear()
    one.sendall(b"a WORD")
    assert gone(one), "it is still there"
    assert b"a WORD" in b"".join(HEARD), "the word was not given on"


def main():
    port = echo()
    for test in (gives_all_on, a_cut_ends_all_and_refuses_new_ones,
                 a_reset_ends_all_and_takes_new_ones, a_delay_delays,
                 a_black_hole_keeps_all, cuts_after_so_many_bytes,
                 cuts_at_a_word, cuts_behind_a_word):
        with proxy.Proxy("127.0.0.1", port) as network:
            test(network)
        print("ok     %s" % test.__name__.replace("_", " "))


if __name__ == "__main__":
    main()
