# SPDX-License-Identifier: GPL-2.0-or-later
"""
The operator of test_soak.sh: follows events, decides in batches at random, asks for the status all the
while, and prints what it saw, a word and a number a line.

    soak.py SOCKET SECONDS SEED
"""
import json
import random
import selectors
import socket
import statistics
import sys
import time

TIMEOUT_MS = 700  # of the rule for port 81: nobody decides about those
LAST_WORDS_S = 3


class Control:
    """One connection: lines out at once, answers and events in as they come."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.sock.connect(path)
        self.rest = b""
        self.last = 0

    def send(self, **request):
        self.last += 1
        self.sock.sendall((json.dumps(dict(request, id=self.last)) + "\n").encode())
        return self.last

    def lines(self):
        data = self.sock.recv(1 << 20)
        if not data:
            raise SystemExit("pendd closed the control connection")
        *whole, self.rest = (self.rest + data).split(b"\n")
        return [json.loads(line) for line in whole]


class Operator:
    def __init__(self, path, rng):
        self.rng = rng
        self.events = Control(path)
        self.asker = Control(path)
        self.batches = {}
        self.busy = 0
        self.counts = {"pended": 0, "ended": 0, "decided": 0, "refused": 0, "lost": 0}
        self.light, self.overshoot = [], 0
        self.status_max = 0.0
        self.status_sent = None
        self.follow()

    def follow(self):
        self.events.send(op="events", follow=True, last=0, types=["pended", "completed"])

    def event(self, e):
        if e["type"] == "subscription-lost":
            self.counts["lost"] += 1
            self.follow()
        elif e["type"] == "pended":
            self.counts["pended"] += 1
            self.choose(e)
        elif e["type"] == "completed":
            self.counts["ended"] += 1
            late = e["pended_ms"] - TIMEOUT_MS
            if e["dest_port"] == 81:
                self.light.append(late)
            elif e["state"] == "timed-out":
                self.overshoot = max(self.overshoot, late)

    def choose(self, e):
        dice = self.rng.random()
        if e["dest_port"] == 81 or dice < 0.02:
            return
        kind = ("permit", None) if dice < 0.5 else ("block", "reset") if dice < 0.9 else ("block", "drop")
        self.batches.setdefault(kind, []).append(e["id"])

    def decide(self):
        for (verdict, block), ids in list(self.batches.items()):
            if self.busy >= 16:
                return
            del self.batches[(verdict, block)]
            request = {"op": "complete", "ids": ids[:2000], "verdict": verdict}
            if len(ids) > 2000:
                self.batches[(verdict, block)] = ids[2000:]
            if block:
                request["block"] = block
            self.busy += 1
            self.events.send(**request)

    def on_events(self):
        for line in self.events.lines():
            if "event" in line:
                self.event(line["event"])
            elif "completed" in line.get("result", {}):
                self.busy -= 1
                self.counts["decided"] += line["result"]["completed"]
                self.counts["refused"] += len(line["result"]["failed"])
        self.decide()

    def on_status(self):
        for line in self.asker.lines():
            if "result" in line:
                self.status_max = max(self.status_max, time.monotonic() - self.status_sent)
                self.status_sent = None
                self.answer = line["result"]

    def run(self, seconds):
        selector = selectors.DefaultSelector()
        selector.register(self.events.sock, selectors.EVENT_READ, self.on_events)
        selector.register(self.asker.sock, selectors.EVENT_READ, self.on_status)
        end = time.monotonic() + seconds
        ask = 0.0
        while time.monotonic() < end or self.status_sent:
            for key, _ in selector.select(0.02):
                key.data()
            self.decide()
            if not self.status_sent and time.monotonic() >= ask:
                ask = time.monotonic() + 0.1
                self.status_sent = time.monotonic()
                self.asker.send(op="status")


def main():
    path, seconds, seed = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
    operator = Operator(path, random.Random(seed))
    print("follows", 1, flush=True)
    operator.run(seconds)
    totals = operator.answer["totals"]
    ended = sum(v for k, v in totals.items() if k.startswith("ended_"))
    operator.counts.update(
        status_ms=round(operator.status_max * 1000), overshoot_light_ms=max(operator.light, default=0),
        overshoot_median_ms=round(statistics.median(operator.light or [0])),
        overshoot_ms=operator.overshoot, unaccounted=totals["pended"] - ended - totals["pending"],
        pending=totals["pending"], held=totals["held"], verdict_errors=totals["verdict_errors"],
        copied=totals["copied_bytes"], total=totals["pended"], limited=totals["limit_contexts"],
        overruns=totals["socket_overruns"], dropped=totals["events_dropped"])
    for name, value in operator.counts.items():
        print(name, value)


main()
