#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""proxy.py - a network between two programs, as bad as a test wants it

    with proxy.Proxy("127.0.0.1", 5432) as network:
        connect_to(network.port)
        network.cut()           # all connections are reset, new ones refused
        network.resume()
        network.delay(0.2)      # every byte comes so many seconds later
        network.black_hole()    # nothing comes any more, nothing ends
        network.reset()         # all connections are reset, new ones work
        network.cut_after(1000) # each is reset after so many bytes of a client
        network.cut_at(b"COMMIT")               # reset before that is given on
        network.cut_at(b"COMMIT", behind=True)  # or before it is answered

    proxy.py HOST PORT [--listen PORT]
        The same for a person or a script: prints its port, then reads words
        as above from standard input, one a line, until that ends.

Each connection is a thread or two; a byte is given on as soon as it may be.
"""
import argparse
import collections
import select
import socket
import struct
import sys
import threading
import time

CHUNK = 65536
# A peer that does not read has so much to read later, and no more.
MOST_HELD = 1 << 20
TICK = 0.05
OPEN, CUT, HOLE = "open", "cut", "black hole"


def abort(one):
    """Ends a connection by RST, as a network does that is gone."""
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                       struct.pack("ii", 1, 0))
    except OSError:
        pass
    one.close()


class Way:
    """One direction of a connection: bytes, each with its time to leave."""

    def __init__(self, inward, outward):
        self.inward = inward
        self.outward = outward
        self.held = collections.deque()
        self.size = 0
        self.ended = False	# there is nothing more to read
        self.passed = 0

    def wants_more(self):
        return not self.ended and self.size < MOST_HELD

    def holds(self, word):
        return any(word in data for _, data in self.held)

    def take(self, delay):
        data = self.inward.recv(CHUNK)
        if not data:
            self.ended = True
            return
        self.held.append((time.monotonic() + delay, data))
        self.size += len(data)

    def due(self):
        return bool(self.held) and self.held[0][0] <= time.monotonic()

    def wait(self):
        """Seconds until something is due."""
        if not self.held:
            return TICK
        return min(TICK, max(0, self.held[0][0] - time.monotonic()))

    def give(self, most):
        when, data = self.held.popleft()
        sent = self.outward.send(data[:most])
        self.size -= sent
        self.passed += sent
        if sent < len(data):
            self.held.appendleft((when, data[sent:]))

    def finish(self):
        """Gives on the end, once all that came before it is gone."""
        if self.ended and not self.held and self.outward is not None:
            try:
                self.outward.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            self.outward = None
        return self.outward is None


class Proxy:
    def __init__(self, host, port, listen=0):
        self.target = (host, port)
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", listen))
        self.listener.listen(64)
        self.port = self.listener.getsockname()[1]
        self.lock = threading.Lock()
        self.mode = OPEN
        self.lag = 0.0
        self.limit = None
        self.word = None
        self.behind = False
        self.struck = 0		# connections that cut_at() has cut
        self.epoch = 0		# connections of an earlier one are reset
        self.closed = False
        self.accepted = 0
        self.live = 0
        threading.Thread(target=self._accept, daemon=True).start()

    # What a test says.

    def cut(self):
        """No connection is left, and none can be made."""
        with self.lock:
            self.mode = CUT
            self.epoch += 1

    def reset(self):
        """No connection is left; new ones work."""
        with self.lock:
            self.epoch += 1

    def delay(self, seconds):
        """Each byte takes so long, in both directions."""
        with self.lock:
            self.lag = float(seconds)

    def black_hole(self):
        """Nothing passes, and nobody is told; new connections hang."""
        with self.lock:
            self.mode = HOLE

    def cut_after(self, size):
        """Each connection is reset when its client has sent so much."""
        with self.lock:
            self.limit = int(size)

    def cut_at(self, word, behind=False):
        """The next connection whose client says it is reset: before the word
        is given on, or behind it, before anything is answered.  A word in two
        pieces is not seen."""
        with self.lock:
            self.word = word
            self.behind = behind

    def resume(self):
        """A good network; what a black hole held back is given on."""
        with self.lock:
            self.mode = OPEN
            self.lag = 0.0
            self.limit = None
            self.word = None

    def close(self):
        with self.lock:
            self.closed = True
            self.epoch += 1
        self.listener.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # What becomes of connections.

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                mode, epoch = self.mode, self.epoch
                self.accepted += 1
            if mode == CUT:
                abort(client)
                continue
            threading.Thread(target=self._serve, args=(client, epoch),
                             daemon=True).start()

    def _serve(self, client, epoch):
        with self.lock:
            self.live += 1
        server = None
        try:
            if not self._hang_while_black(epoch):
                return
            server = socket.create_connection(self.target, timeout=10)
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                one.setblocking(False)
            self._carry(client, server, epoch)
        except OSError:
            pass	# one of both is gone: so is the other
        finally:
            abort(client)
            if server is not None:
                abort(server)
            with self.lock:
                self.live -= 1

    def _hang_while_black(self, epoch):
        """Whether the connection is still wanted when it is light again."""
        while True:
            with self.lock:
                if self.epoch != epoch:
                    return False
                if self.mode != HOLE:
                    return True
            time.sleep(TICK)

    def _carry(self, client, server, epoch):
        ways = (Way(client, server), Way(server, client))
        while True:
            with self.lock:
                mode, lag, limit = self.mode, self.lag, self.limit
                if self.epoch != epoch:
                    return
            if mode == HOLE:
                time.sleep(TICK)
                continue
            if all([way.finish() for way in ways]):
                return
            self._carry_some(ways, lag, limit)
            if self._strikes(ways[0]):
                return
            if limit is not None and ways[0].passed >= limit:
                return

    def _strikes(self, way):
        """Whether the client has said the word at which to cut."""
        with self.lock:
            if self.word is None or not way.holds(self.word):
                return False
            self.word = None
            self.struck += 1
            behind = self.behind
        while behind and way.held:
            select.select([], [way.outward], [], 1)
            way.give(CHUNK)
        if behind:
            # Its answer shows that the server has done what it was told.
            select.select([way.outward], [], [], 60)
        return True

    @staticmethod
    def _carry_some(ways, lag, limit):
        readers = [way.inward for way in ways if way.wants_more()]
        writers = [way.outward for way in ways
                   if way.due() and way.outward is not None]
        readable, writable, _ = select.select(
            readers, writers, [], min(way.wait() for way in ways
                                      if not way.due())
            if any(not way.due() for way in ways) else TICK)
        for way in ways:
            if way.inward in readable:
                way.take(lag)
            if way.outward in writable and way.due():
                room = CHUNK
                if limit is not None and way is ways[0]:
                    room = max(1, limit - way.passed)
                way.give(room)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--listen", type=int, default=0)
    arguments = parser.parse_args()
    with Proxy(arguments.host, arguments.port, arguments.listen) as network:
        print(network.port, flush=True)
        words = {"cut": network.cut, "reset": network.reset,
                 "resume": network.resume, "black_hole": network.black_hole}
        for line in sys.stdin:
            word, _, value = line.strip().partition(" ")
            if word in words and not value:
                words[word]()
            elif word == "delay" and value:
                network.delay(float(value))
            elif word == "cut_after" and value:
                network.cut_after(int(value))
            else:
                print("not understood: %s" % line.strip(), file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
