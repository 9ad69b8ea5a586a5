#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Serve an authority and answer each question before the next one is read.

    one_by_one.py SOCKET AUTHORITY COUNT

After COUNT answers nothing is read any more; says whether they count although questions wait still.
"""
import json
import socket
import sys
import time


def connect(path):
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(10)
    sock.connect(path)
    return sock, sock.makefile("rb")


def decided(path):
    sock, lines = connect(path)
    sock.sendall(b'{"id":1,"op":"status"}\n')
    lines.readline()
    control = json.loads(lines.readline())["result"]["control"]
    sock.close()
    return control["questions_decided"], control["questions_open"]


def main(path, authority, count):
    before, _ = decided(path)
    sock, lines = connect(path)
    serve = {"id": 1, "op": "serve", "authority": authority, "max": 65536}
    sock.sendall(json.dumps(serve).encode() + b"\n")
    answered = 0
    while answered < count:
        question = json.loads(lines.readline()).get("question")
        if question:
            answer = {"op": "answer", "answers": [{"id": question["id"], "verdict": "permit"}]}
            sock.sendall(json.dumps(answer).encode() + b"\n")
            answered += 1
    end = time.monotonic() + 5
    while time.monotonic() < end:
        now, waiting = decided(path)
        if now - before >= count:
            print("decided before all was read" if waiting else "all was decided")
            return
        time.sleep(0.02)
    print("not decided:", decided(path))


main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
