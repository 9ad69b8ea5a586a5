#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A program that serves an authority badly, for the kernel tests.

    authority_bad.py SOCKET AUTHORITY HOW [ARGUMENT]

    good            permits
    beats           permits, and promises a sign of life a second, which it gives
    promises        permits, and promises one, which it does not give
    slow MS         permits, each after so long
    silent          reads, and never answers
    deaf            never reads
    liar            permits everything but what it was asked: ids of others, ids that nobody has
    twice           permits each question, and then blocks it, in one line and in the next
    garbage         answers with a line that is no JSON, and one that is no request
    half            half an answer, and never its end
    huge            a line of 100,000 bytes
    odd             answers with keys, verdicts and types that there are not
    dials PORT      opens connections to this host before it permits, which its own authority would be asked about

What the daemon says to it is on standard output. When the connection ends it begins again.
"""
import json
import select
import socket
import sys
import time

PATH, AUTHORITY, HOW = sys.argv[1:4]
ARGUMENT = int(sys.argv[4]) if len(sys.argv) > 4 else 0


def answer(*answers, **more):
    return json.dumps(dict({"op": "answer", "answers": [dict(zip(("id", "verdict"), a)) for a in answers]}, **more))


def lies():
    """Whatever the ids are that are pended now, they are among these."""
    return [("a%d.%d" % (slot, generation), "permit") for slot in range(300) for generation in range(1, 9)]


def dial(address):
    with socket.socket() as s:
        s.settimeout(2)
        s.connect((address, ARGUMENT))
        s.sendall(b"x")
    return "permit"


def reply_to(ident):
    """The lines to say to a question."""
    if HOW == "slow":
        time.sleep(ARGUMENT / 1000)
    if HOW in ("good", "beats", "promises", "slow"):
        return [answer((ident, "permit"))]
    if HOW == "liar":
        all_of_them = [a for a in lies() if a[0] != ident]
        return [answer(*all_of_them[at:at + 1000]) for at in range(0, len(all_of_them), 1000)]
    if HOW == "twice":
        return [answer((ident, "permit"), (ident, "block")), answer((ident, "block"))]
    if HOW == "garbage":
        return ["\x01\xff}{ not JSON", '"a text"']
    if HOW == "odd":
        return [answer((ident, "perhaps")), answer((7, "permit")), answer((ident, None)),
                answer((ident, "permit"), veredict=1), '{"op":"answer"}', '{"op":"answer","answers":{}}']
    if HOW == "dials":
        for address in ("127.0.0.1", "192.0.2.1"):
            print("dialled %s: %s" % (address, dial(address)), flush=True)
        return [answer((ident, "permit"))]
    return []


def serve():
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(PATH)
    serve_it = {"id": 1, "op": "serve", "authority": AUTHORITY, "max": 65536}
    if HOW in ("beats", "promises"):
        serve_it["heartbeat"] = 1
    sock.sendall(json.dumps(serve_it).encode() + b"\n")
    data = b""
    while True:
        if HOW == "deaf":
            print("ready", flush=True)
            time.sleep(3600)
        if HOW == "beats" and not select.select([sock], [], [], 0.5)[0]:
            sock.sendall(b'{"id":2,"op":"ping"}\n')
            continue
        more = sock.recv(1 << 20)
        if not more:
            print("closed", flush=True)
            return
        *lines, data = (data + more).split(b"\n")
        for line in lines:
            value = json.loads(line)
            if value.get("id") == 1 and value.get("ok"):
                print("ready", flush=True)
            ident = value.get("question", {}).get("id")
            if not ident:
                print(line.decode()[:300], flush=True)
                continue
            if HOW == "half":
                sock.sendall(answer((ident, "permit")).encode()[:30])
            elif HOW == "huge":
                sock.sendall(b"x" * 100000 + b"\n")
            for text in reply_to(ident):
                sock.sendall(text.encode("latin-1") + b"\n")


while True:
    try:
        serve()
    except OSError as e:
        print("error: %s" % e, flush=True)
    time.sleep(0.1)
