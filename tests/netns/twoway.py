#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""One end of a flow of datagrams whose both ends speak all the time.

    twoway.py ADDRESS PORT [PEER PORT]

Sends every 20 ms, to PEER or to whoever was heard first; a line for each datagram that comes in. What goes wrong is
on standard error: with PEER, that it refuses.
"""
import socket
import sys
import time


def address(host, port):
    return socket.getaddrinfo(host, int(port), type=socket.SOCK_DGRAM)[0][4]


def hear(sock, peer, until):
    while time.monotonic() < until:
        sock.settimeout(max(until - time.monotonic(), 0.001))
        try:
            _, source = sock.recvfrom(2048)
        except TimeoutError:
            continue
        except OSError as e:
            print(e.strerror, file=sys.stderr, flush=True)
            continue
        print(source[0], source[1], flush=True)
        peer = peer or source
    return peer


def main(host, port, *peer):
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(address(host, port))
    if peer:
        sock.connect(address(*peer))
    peer = address(*peer) if peer else None
    while True:
        peer = hear(sock, peer, time.monotonic() + 0.02)
        try:
            if peer:
                sock.sendto(b"x", peer)
        except OSError as e:  # a hookup that drops what goes out says so, too
            print(e.strerror, file=sys.stderr, flush=True)


main(*sys.argv[1:])
