#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A name server that misbehaves, for the kernel tests.

    dns.py ADDRESS PORT

The first label of a zone says how: 7.113.0.203.garbage.test is answered with garbage. Each query is a line on standard
output, "udp NAME PORT", PORT being whence it came, or "tcp NAME". Most that follow say yes, 127.0.0.2, unless they are about something else.
"""
import socket
import struct
import sys
import threading
import time

NOERROR, SERVFAIL, NXDOMAIN, REFUSED = 0, 2, 3, 5


def name_of(packet):
    labels, at = [], 12
    while packet[at]:
        labels.append(packet[at + 1:at + 1 + packet[at]].decode("ascii", "replace"))
        at += 1 + packet[at]
    return labels, packet[12:at + 5]


def address(text, ttl=60):
    """A record of the name that was asked about."""
    return b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, ttl, 4) + socket.inet_aton(text)


def reply(query, question, rcode=NOERROR, records=(), ident=None, flags=0):
    own = struct.unpack("!H", query[:2])[0] if ident is None else ident
    return (struct.pack("!HHHHHH", own, 0x8180 | flags | rcode, 1, len(records), 0, 0) + question +
            b"".join(records))


class Server:
    def __init__(self, host, port):
        self.family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.host = host
        self.udp = socket.socket(self.family, socket.SOCK_DGRAM)
        self.udp.bind((host, port))
        self.tcp = socket.socket(self.family, socket.SOCK_STREAM)
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.tcp.bind((host, port))
        self.tcp.listen(16)

    def later(self, seconds, packet, to):
        threading.Timer(seconds, self.udp.sendto, (packet, to)).start()

    def answer(self, query, send, to):
        labels, question = name_of(query)
        how = labels[32] if len(labels) > 32 else labels[4] if len(labels) > 4 else ""
        ident = struct.unpack("!H", query[:2])[0]
        yes = reply(query, question, records=[address("127.0.0.2")])
        no = reply(query, question, NXDOMAIN)
        print("udp" if to else "tcp", ".".join(labels), to[1] if to else "", flush=True)
        if how in ("yes", "tcp"):
            if how == "tcp" and to:  # too long for a datagram
                return send(reply(query, question, flags=0x200))
            return send(yes)
        if how == "short":  # known for a second only
            return send(reply(query, question, records=[address("127.0.0.2", 0)]))
        if how == "slow":
            return self.later(1.0, yes, to)
        if how == "slowno":
            return self.later(1.0, no, to)
        if how == "servfail":
            return send(reply(query, question, SERVFAIL))
        if how == "refused":
            return send(reply(query, question, REFUSED))
        if how == "silent":
            return None
        if how == "garbage":
            for n in (0, 1, 11, 12, 40, 400):
                send(bytes((i * 37 + n) & 255 for i in range(n)))
            return send(query[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + question + b"\xc0\xff\xff")
        if how == "malformed":  # says one record, and ends in the middle of it
            return send(reply(query, question, records=[address("127.0.0.2")])[:-3])
        if how == "ident":  # somebody who has to guess the number says yes
            for i in range(1, 200):
                send(reply(query, question, records=[address("127.0.0.2")], ident=ident ^ i))
            return self.later(0.3, no, to)
        if how == "elsewhere":  # ... or sends from another port
            with socket.socket(self.family, socket.SOCK_DGRAM) as other:
                other.bind((self.host, 0))
                other.sendto(yes, to)
            return self.later(0.3, no, to)
        if how == "othername":  # ... or answers what was not asked
            send(reply(query, question.replace(b"othername", b"othernome"),
                       records=[address("127.0.0.2")]))
            return self.later(0.3, no, to)
        if how == "limit":
            return send(reply(query, question, records=[address("127.255.255.254")]))
        if how == "parked":
            return send(reply(query, question, records=[address("203.0.113.99")]))
        if how == "many":
            return send(reply(query, question, records=[address("127.0.0.1")] * 25 + [address("127.0.0.9")]))
        return send(no)

    def run_tcp(self):
        while True:
            c, _ = self.tcp.accept()
            with c:
                size = struct.unpack("!H", c.recv(2, socket.MSG_WAITALL))[0]
                query = c.recv(size, socket.MSG_WAITALL)
                self.answer(query, lambda p, c=c: c.sendall(struct.pack("!H", len(p)) + p), None)
                time.sleep(0.05)

    def run(self):
        threading.Thread(target=self.run_tcp, daemon=True).start()
        print("ready", flush=True)
        while True:
            query, to = self.udp.recvfrom(4096)
            if len(query) > 16:
                self.answer(query, lambda p, to=to: self.udp.sendto(p, to), to)


if __name__ == "__main__":
    Server(sys.argv[1], int(sys.argv[2])).run()
