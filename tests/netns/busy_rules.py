#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Change the rules of a table of somebody else's all the time.

    busy_rules.py TABLE MILLISECONDS

Adds a chain to the table (ip) and takes it out, a transaction each, with that much time between two, until it is
ended.
"""
import itertools
import socket
import struct
import sys
import time

BATCH_BEGIN, BATCH_END, NEWCHAIN, DELCHAIN = 0x10, 0x11, 10 << 8 | 3, 10 << 8 | 5
REQUEST, CREATE = 1, 0x400
CHAIN_TABLE, CHAIN_NAME = 1, 3

number = itertools.count(1)


def attribute(kind, text):
    data = text.encode() + b"\0"
    return struct.pack("=HH", len(data) + 4, kind) + data + b"\0" * (-len(data) % 4)


def message(kind, flags, family, subsystem, data=b""):
    return struct.pack("=IHHIIBBH", 20 + len(data), kind, flags | REQUEST, next(number), 0,
                       family, 0, socket.htons(subsystem)) + data


def change(sock, kind, flags, table):
    chain = attribute(CHAIN_TABLE, table) + attribute(CHAIN_NAME, "a")
    sock.send(message(BATCH_BEGIN, 0, 0, 10) +
              message(kind, flags, socket.AF_INET, 0, chain) + message(BATCH_END, 0, 0, 10))


def main(table, pause):
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)  # NETLINK_NETFILTER
    sock.bind((0, 0))
    while True:
        for what in (NEWCHAIN, CREATE), (DELCHAIN, 0):
            change(sock, *what, table)
            time.sleep(int(pause) / 1000)


main(*sys.argv[1:])
