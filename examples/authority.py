#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""An authority for pend in Python, with the standard library only.

    authority.py NAME [--socket PATH] [--allow PREFIX]...

Serves the authority NAME of the policy (`authority NAME { type socket; }`): a source in one of the
prefixes is permitted, all others are blocked. Replace decide() by what you need.
"""
import argparse
import ipaddress
import json
import socket
import sys
import time


def decide(question, allowed):
    source = ipaddress.ip_address(question["source"])
    if any(source in prefix for prefix in allowed):
        return {"verdict": "permit", "why": "on the list"}
    return {"verdict": "block", "block": "reset"}


def lines(sock):
    """Whole lines, as many at a time as have come."""
    data = b""
    while True:
        more = sock.recv(65536)
        if not more:
            return
        data += more
        *whole, data = data.split(b"\n")
        yield [json.loads(line) for line in whole]


def serve(path, name, allowed):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    sock.sendall(json.dumps({"id": 1, "op": "serve", "authority": name}).encode() + b"\n")
    for batch in lines(sock):
        answers = []
        for message in batch:
            if message.get("ok") is False:
                sys.exit("pendd: " + message["error"]["message"])
            if "unserved" in message:
                return
            if "question" in message:
                question = message["question"]
                about = {"id": question["id"], "authority": question["authority"]}
                answers.append(dict(decide(question, allowed), **about))
        if answers:
            sock.sendall(json.dumps({"op": "answer", "answers": answers}).encode() + b"\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("--socket", default="/run/pend/control.sock")
    parser.add_argument("--allow", action="append", default=[], type=ipaddress.ip_network)
    args = parser.parse_args()
    while True:
        try:
            serve(args.socket, args.name, args.allow)
        except OSError as error:
            print(f"pendd: {error}: trying again", file=sys.stderr)
        time.sleep(1)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
