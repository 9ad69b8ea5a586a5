#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The control socket for the kernel tests: a command a line on standard input, an answer a line.

    control.py SOCKET

    status PATH...          values of the status, "-" for what is not there: totals.held kernel.queued
    count [KEY=VALUE...]    how many contexts are pended, by the conditions of "match"
    get FIELD[,FIELD...] [KEY=VALUE...]    these fields of each, a word each
    permit|drop|reset|unreachable all|ID...|KEY=VALUE...    "completed failed at", at in ms of the clock
    codes permit|drop... ID...    the code of each failure
    events FIELD [TYPE...]  that field of each event kept, a word each
    seen TYPE KEY=VALUE...  how many events of that type have these values
    reload                  "ok GENERATION" or "error CODE TEXT"
    ask JSON                the whole reply

It connects again when the daemon is another one.
"""
import json
import socket
import sys
import time
import traceback


class Control:
    def __init__(self, path):
        self.path, self.sock, self.file, self.number = path, None, None, 0

    def open(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(self.path)
        self.file = self.sock.makefile("rb")
        self.file.readline()  # the greeting

    def close(self):
        if self.file:
            self.file.close()
        if self.sock:
            self.sock.close()
        self.sock = self.file = None

    def once(self, request):
        if not self.sock:
            self.open()
        self.number += 1
        self.sock.sendall(json.dumps(dict(request, id=self.number)).encode() + b"\n")
        parts = {}
        while True:
            line = self.file.readline()
            if not line:
                raise ConnectionError("the daemon hung up")
            reply = json.loads(line)
            if reply.get("id") != self.number:
                continue
            for key, value in (reply.get("result") or {}).items():
                if isinstance(value, list):
                    parts.setdefault(key, []).extend(value)
            if not reply.get("more"):
                reply.setdefault("result", {}).update(parts)
                return reply

    def ask(self, **request):
        for again in (True, False):
            try:
                return self.once(request)
            except OSError:
                self.close()
                if not again:
                    raise

    def result(self, **request):
        reply = self.ask(**request)
        if not reply["ok"]:
            raise ValueError("%(code)s: %(message)s" % reply["error"])
        return reply["result"]


def conditions(words):
    out = {}
    for word in words:
        key, value = word.split("=", 1)
        out[key] = int(value) if value.isdigit() else value
    return out


def path(value, name):
    for key in name.split("."):
        try:
            value = value[int(key)] if isinstance(value, list) else value[key]
        except (KeyError, IndexError, TypeError, ValueError):
            return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value).replace(" ", "_")


def complete(control, verb, words):
    request = {"op": "complete", "verdict": "permit" if verb == "permit" else "block"}
    if verb != "permit":
        request["block"] = verb
    if words == ["all"]:
        request.update(match={}, all=True)
    elif words and "=" in words[0]:
        request["match"] = conditions(words)
    else:
        request["ids"] = words
    at = time.time() * 1000
    result = control.result(**request)
    return result, at


def same(event, wanted):
    return all(path(event, k) == str(v) for k, v in wanted.items())


def run(control, verb, words):
    if verb == "status":
        status = control.result(op="status")
        return " ".join(path(status, w) for w in words)
    if verb == "count":
        return control.result(op="pending", **conditions(words))["count"]
    if verb == "get":
        entries = control.result(op="pending", **conditions(words[1:])).get("pending", [])
        return " ".join(path(e, f) for e in entries for f in words[0].split(","))
    if verb in ("permit", "drop", "reset", "unreachable"):
        result, at = complete(control, verb, words)
        return "%d %d %.1f" % (result["completed"], len(result["failed"]), at)
    if verb == "codes":
        result, _ = complete(control, words[0], words[1:])
        return " ".join(f["code"] for f in result["failed"])
    if verb in ("events", "seen"):
        types = {"types": words[1:]} if verb == "events" and words[1:] else {}
        if verb == "seen":
            types = {"types": [words[0]]}
        found = control.result(op="events", last=1000000, **types)["events"]
        if verb == "events":
            return " ".join(path(e, words[0]) for e in found)
        return sum(same(e, conditions(words[1:])) for e in found)
    if verb == "reload":
        reply = control.ask(op="reload")
        if reply["ok"]:
            return "ok %s" % reply["result"].get("generation")
        lines = reply["result"].get("diagnostics", [])
        return "error %s %s %s" % (reply["error"]["code"], reply["error"]["message"], " ".join(lines))
    if verb == "ask":
        return json.dumps(control.ask(**json.loads(" ".join(words))))
    return "what is %s?" % verb


def main():
    control = Control(sys.argv[1])
    for line in sys.stdin:
        try:
            verb, *words = line.split()
            print(run(control, verb, words), flush=True)
        except Exception as e:  # whatever it is, the test shall read of it
            if not isinstance(e, OSError):
                traceback.print_exc()
            control.close()
            print("failed: %s: %s" % (type(e).__name__, e), flush=True)


main()
