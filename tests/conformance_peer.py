#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""conformance_peer.py - a server that says forty lines to whoever comes

Prints its port and goes on until its standard input ends."""
import os
import socket
import sys
import threading

LINES = b"".join(b"m%d %s\n" % (n, b"x" * (n * 5)) for n in range(40))


def answer(connection):
    with connection:
        try:
            connection.sendall(LINES)
            while connection.recv(4096):
                pass
        except OSError:
            pass


def serve(listener):
    while True:
        threading.Thread(target=answer, args=(listener.accept()[0],),
                         daemon=True).start()


PLACE = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=serve, args=(PLACE,), daemon=True).start()
print(PLACE.getsockname()[1], flush=True)
sys.stdin.read()
os._exit(0)
