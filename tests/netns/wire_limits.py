#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Each bound of docs/protocol.md on the real socket, as TAP for test_wire_limits.sh.

    wire_limits.py SOCKET PART [ARGUMENT...]

    lines       what a client may send: length, nesting, what is not JSON, ids, answers
    requests    in progress, of a connection and of all
    clients MAX [UID]   connections; with a UID as that user and group, for whom no place is kept
    slow COUNT  so many connections that say one byte a second, until standard input ends: then what became of them
    output      one that does not read, and asks and follows on
    halves      ends of connections: half-closed, closed with something owed, reset
"""
import json
import os
import select
import socket
import sys
import time

PATH = sys.argv[1]


class Client:
    def __init__(self, buffer=None):
        self.sock = socket.socket(socket.AF_UNIX)
        if buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.sock.settimeout(20)
        self.sock.connect(PATH)
        self.data = b""
        self.greeting = self.line()

    def line(self):
        """The next one; None at the end."""
        while b"\n" not in self.data:
            try:
                more = self.sock.recv(1 << 16)
            except ConnectionResetError:
                return None
            if not more:
                return None
            self.data += more
        line, self.data = self.data.split(b"\n", 1)
        return json.loads(line)

    def say(self, text):
        self.sock.sendall(text.encode("latin-1") + b"\n")

    def ask(self, text):
        self.say(text)
        return self.line()

    def code(self, text):
        reply = self.ask(text)
        return "closed" if reply is None else reply.get("error", {}).get("code", "ok")

    def close(self):
        self.sock.close()


def ok(good, text, got=""):
    print("%s %s%s" % ("ok" if good else "not ok", text, "" if good else " (got %s)" % (got,)), flush=True)


def is_(got, want, text):
    ok(got == want, text, got)


STATUS = '{"id":1,"op":"status"}'


def status():
    c = Client()
    result = c.ask(STATUS)["result"]
    c.close()
    return result


def control(key):
    return status()["control"][key]


def padded(length):
    """A request of exactly so many bytes."""
    text = '{"id":1,"op":"check","policy":"%s"}'
    return text % (" " * (length - len(text) + 2))


def lines():
    c = Client()
    is_(len(padded(65536)), 65536, "a request of 65,536 bytes is one")
    is_(c.code(padded(65536)), "ok", "... and is answered")
    before = control("malformed")
    is_(c.code(padded(65537)), "too-long", "a byte more is too long")
    is_(c.line(), None, "... and the connection is closed")
    ok(control("malformed") > before, "... and counted")
    c = Client()
    deep = '{"id":1,"op":"status","x":%s%s}'
    is_(c.code(deep % ("[" * 15, "]" * 15)), "invalid", "16 levels are read")
    is_(c.code(deep % ("[" * 16, "]" * 16)), "malformed", "17 are not")
    is_([c.code("{") for _ in range(6)], ["malformed"] * 6, "lines that are not JSON are told")
    is_(c.code(STATUS), "ok", "... and the connection goes on")
    is_(c.code("nonsense"), "malformed", "up to the eighth")
    is_((c.line() or {}).get("error", {}).get("code"), "too-many-errors", "... which is one too many")
    is_(c.line(), None, "... and it is closed")
    c = Client()
    ids = ",".join(['"a1.1"'] * 4096)
    text = '{"id":1,"op":"complete","verdict":"permit","ids":[%s]}'
    reply = c.ask(text % ids)
    is_(len(reply["result"]["failed"]), 4096, "4,096 ids in one complete")
    is_(c.code(text % (ids + ',"a1.1"')), "invalid", "one more is invalid")
    text = '{"id":1,"op":"answer","answers":[%s]}'
    is_(len(c.ask(text % ",".join(["0"] * 4096))["result"]["failed"]), 4096, "4,096 answers in one")
    is_(c.code(text % ",".join(["0"] * 4097)), "invalid", "one more is invalid")
    is_(c.code('{"id":"%s","op":"ping"}' % ("x" * 64)), "ok", "an id of 64 bytes")
    is_(c.code('{"id":"%s","op":"ping"}' % ("x" * 65)), "invalid", "one more is invalid")
    is_(c.code('{"id":1,"op":"ping","id":2}'), "malformed", "the same key twice is malformed")
    is_(c.code('{"id":1,"op":"status","verbose":1}'), "invalid", "an unknown key is invalid")
    is_(c.code('{"id":1,"op":"version","protocol":2}'), "unsupported", "another version of the protocol is not spoken")
    c.sock.sendall(b'{"id":5,"op":"pi')
    time.sleep(0.1)
    c.sock.sendall(b'ng"}\n\n')
    is_(c.line(), {"id": 5, "ok": True, "result": {}}, "a line in pieces is one line")
    is_(c.line().get("error", {}).get("code"), "malformed", "an empty line is none")
    c.close()


def count_codes(clients, each):
    """What so many requests that take a while end with, as they come."""
    for c in clients:
        c.sock.sendall(b"".join(b'{"id":%d,"op":"hookup","action":"verify"}\n' % i for i in range(each)))
    return [[(c.line() or {}).get("error", {}).get("code", "ok") for _ in range(each)] for c in clients]


def requests():
    codes = count_codes([Client()], 64)[0]
    busy = codes.count("busy")
    ok(0 < busy <= 32, "of 64 requests at once of one connection 32 may be refused", codes)
    many = [Client() for _ in range(16)]
    codes = sum(count_codes(many, 32), [])
    ok(codes.count("busy") <= len(codes) - 256, "256 of all are in progress", codes.count("busy"))
    is_(many[0].code(STATUS), "ok", "and then there is room again")


def clients(most, uid=None):
    if uid:
        os.setgroups([])
        os.setgid(int(uid))
        os.setuid(int(uid))
    held, refused = [], None
    for _ in range(int(most) + 20):
        c = Client()
        if c.greeting is None or "error" in c.greeting:
            refused = c
            break
        held.append(c)
    print("held %d" % len(held))
    ok(refused is not None, "there is an end to connections")
    if refused and refused.greeting:
        is_(refused.greeting["error"]["code"], "busy", "one too many is told so")
        is_(refused.greeting["pend"]["role"], None, "... and has no role")
        is_(refused.line(), None, "... and is closed")
    is_(held[0].code('{"id":1,"op":"ping"}'), "ok", "the others go on")
    held.pop().close()
    time.sleep(0.2)
    is_(Client().greeting.get("error"), None, "a place that is given back is there for another")


def slow(count):
    held = []
    for _ in range(int(count)):
        s = socket.socket(socket.AF_UNIX)
        s.connect(PATH)
        s.setblocking(False)
        held.append(s)
    print("held %d" % len(held), flush=True)
    text, at = b'{"id":1,"op":"ping"}\n', 0
    while not select.select([sys.stdin], [], [], 1)[0]:
        for s in held:
            s.send(text[at:at + 1])
        at = (at + 1) % len(text)
    for s in held:
        s.setblocking(True)
        s.sendall(text[at:])
    good = 0
    for s in held:
        s.settimeout(20)
        got = b""
        while got.count(b"\n") < 2:
            got += s.recv(1 << 16)
        good += b'"ok":true' in got
    is_(good, len(held), "each of them is answered when it has said its line")


def output():
    before, lost = control("overrun"), control("subscriptions_lost")
    c = Client(4096)
    c.say('{"id":1,"op":"events","last":0,"follow":true}')
    time.sleep(0.2)
    print("following", flush=True)
    sys.stdin.readline()  # events happen
    is_(control("subscriptions_lost"), lost + 1, "a follower that does not read loses its subscription")
    is_(control("overrun"), before, "... and not its connection")
    last = None
    for _ in range(20000):
        line = c.line()
        if line is None or line.get("event", {}).get("type") == "subscription-lost":
            last = line
            break
    ok(last and last["event"]["sent"] > 100, "... and is told after what it has missed nothing of", last)
    is_(c.code('{"id":2,"op":"ping"}'), "ok", "... and is served as before")
    c.close()
    # One that has asked for more than 8 MiB before anybody looks at what waits.
    c = Client(4096)
    c.sock.sendall(b'{"id":1,"op":"events","last":1024}\n' * 400)
    time.sleep(1)
    is_(control("overrun"), before + 1, "one to which more than 8 MiB are owed is closed")
    before += 1
    while True:
        try:
            if not c.sock.recv(1 << 20):
                break
        except OSError:
            break
    # One that asks on and on, and reads nothing.
    c = Client(4096)
    c.sock.settimeout(1)
    sent, began = 0, time.monotonic()
    try:
        while sent < 50000 and time.monotonic() < began + 20:
            c.say('{"id":%d,"op":"show","what":"policy"}' % sent)
            sent += 1
    except OSError:
        pass
    ok(sent < 50000, "one that asks and does not read is not read from any more", sent)
    is_(control("overrun"), before, "... and nobody's memory grows for it")
    print("stalled", flush=True)
    began = time.monotonic()
    while control("overrun") == before and time.monotonic() < began + 45:
        time.sleep(0.5)
    took = time.monotonic() - began
    ok(25 < took < 40, "after 30 s without progress it is closed", "%.1f s" % took)
    print("# closed after %.1f s" % took)


def halves():
    c = Client()
    c.say(STATUS)
    c.sock.shutdown(socket.SHUT_WR)
    ok(c.line()["ok"], "half-closed, it still gets its answer")
    is_(c.line(), None, "... and then the end")
    c = Client()
    c.say('{"id":1,"op":"events","follow":true}')
    c.line()
    c.sock.shutdown(socket.SHUT_WR)
    time.sleep(0.3)
    c.sock.settimeout(0.5)
    try:
        got = c.line()
    except TimeoutError:
        got = "open"
    is_(got, "open", "half-closed, it still follows")
    c.close()
    before = control("clients")
    for i in range(200):
        c = Client()
        c.sock.sendall(STATUS.encode() + (b"\n" if i % 2 else b""))
        c.close()
    began = time.monotonic()
    while control("clients") > before and time.monotonic() < began + 5:
        time.sleep(0.05)
    is_(control("clients"), before, "200 that leave without waiting are gone")


{"lines": lines, "requests": requests, "clients": clients, "slow": slow, "output": output, "halves": halves}[sys.argv[2]](*sys.argv[3:])
