# SPDX-License-Identifier: GPL-2.0-or-later
"""
The client's side of test_reload_storm.sh: reloads one after the other, by SIGHUP and by pendctl, while connections of
every kind are made; prints what it saw, a word and a number a line.

    reload_storm.py PENDCTL SOCKET CONFIG FOLDER PID HOST ROUNDS

FOLDER has the policies a, b and wrong. Ports of HOST: 80 is permitted by both policies, 81 and 84 are asked about, 82
is permitted by a and refused by b, 83 is blocked by both.
"""
import bisect
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

PENDCTL, SOCKET, CONFIG, FOLDER, PID, HOST, ROUNDS = sys.argv[1:8]
PID, ROUNDS = int(PID), int(ROUNDS)
LIMIT_S = 90 * int(os.environ.get("WAIT_FACTOR", "1"))
PACE_S = 0.045  # between two reloads
PERMIT_EVERY_S = 0.12  # so that what is pended sees a few of them

over = threading.Event()  # no new connection
done = threading.Event()  # none is left to be permitted
lock = threading.Lock()
counts = {}
complaints = []
flips = []  # (began, ended, connected) of each attempt at port 82
periods = []  # (asked for, surely in force from, "a" or "b")


def count(what, n=1):
    with lock:
        counts[what] = counts.get(what, 0) + n


def complain(text):
    with lock:
        complaints.append(text)


class Control:
    def __init__(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(SOCKET)
        self.file = self.sock.makefile("rb")
        self.file.readline()

    def ask(self, **request):
        self.sock.sendall(json.dumps(dict(request, id=1)).encode() + b"\n")
        while True:
            reply = json.loads(self.file.readline())
            if not reply.get("more"):
                return reply

    def generation(self):
        """What does not answer in time is left out of a status: then, ask again."""
        policy = None
        while not policy:
            policy = self.ask(op="status")["result"].get("policy")
        return policy["generation"]

    def last_failure(self):
        """The number of the last event that tells of a reload that failed."""
        notes = self.ask(op="events", last=20, types=["note"])["result"]["events"]
        return max([e["seq"] for e in notes if e["text"].startswith("reload failed")], default=0)


# ---- connections ----


def connect(port, timeout, source=0):
    s = socket.socket()
    if source:
        s.bind(("", source))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # no port stays taken
    s.settimeout(timeout)
    try:
        s.connect((HOST, port))
    except OSError:
        s.close()
        raise
    return s


def exchange(s, rng, size):
    """Bytes there and back; whatever is not the same is lost."""
    data = rng.randbytes(size)
    s.sendall(data)
    got = b""
    while len(got) < size:
        more = s.recv(size - len(got))
        if not more:
            raise OSError("the other side ended the connection")
        got += more
    if got != data:
        raise OSError("other bytes came back")
    count("bytes", size)


def guarded(name, function, *args):
    try:
        function(*args)
    except Exception as e:  # whatever it is, a connection was lost by it
        count("lost")
        complain("%s: %s: %s" % (name, type(e).__name__, e))


def move(seed):
    """One connection from the first reload to the last."""
    rng = random.Random(seed)
    s = connect(80, 10)
    while not over.is_set():
        exchange(s, rng, rng.randrange(1, 20000))
        time.sleep(0.01)
    s.close()
    count("moved")


def one(port, rng):
    s = connect(port, 20)
    exchange(s, rng, 3000)
    s.close()
    count("port%d" % port)


def many(port, seed):
    rng = random.Random(seed)
    while not over.is_set():
        guarded("port %d" % port, one, port, rng)
        time.sleep(0.02)


def blocked():
    while not over.is_set():
        try:
            connect(83, 0.3).close()
            complain("a connection to port 83 passed")
        except OSError:
            count("blocked")


def flip(source):
    """From a port of its own each: the entry of a flow that was ended keeps its mark until the kernel forgets it."""
    while not over.is_set():
        source = source + 2 if source < 30000 else source - 20000
        began = time.monotonic()
        try:
            connect(82, 10, source).close()
            connected = True
        except ConnectionRefusedError:
            connected = False
        except ConnectionResetError:
            continue  # permitted, and then ended
        flips.append((began, time.monotonic(), connected))
        time.sleep(0.002)


def decide():
    control = Control()
    while not done.is_set():
        reply = control.ask(op="complete", match={}, all=True, verdict="permit")
        count("permitted", reply["result"]["completed"])
        time.sleep(PERMIT_EVERY_S)


# ---- reloads ----


def install(policy):
    shutil.copy(os.path.join(FOLDER, policy), CONFIG + ".new")
    os.rename(CONFIG + ".new", CONFIG)


def until(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.002)
    return True


def by_pendctl(wrong, generation):
    run = subprocess.run([PENDCTL, "--socket", SOCKET, "--json", "reload"], capture_output=True, text=True)
    if wrong:
        return run.returncode == 6
    return run.returncode == 0 and json.loads(run.stdout)["generation"] == generation


def by_signal(wrong, generation, control):
    before = control.last_failure()
    os.kill(PID, signal.SIGHUP)
    if wrong:
        return until(lambda: control.last_failure() > before) and control.generation() == generation
    return until(lambda: control.generation() == generation)


def rss():
    """KiB of the verdict process, and of those that it has started, added up."""
    children = open("/proc/%d/task/%d/children" % (PID, PID)).read().split()
    kib = {"verdict": [PID], "others": [int(p) for p in children]}
    for name, pids in kib.items():
        lines = [line for pid in pids for line in open("/proc/%d/status" % pid) if line.startswith("VmRSS")]
        kib[name] = sum(int(line.split()[1]) for line in lines)
    return kib


def reloads():
    control = Control()
    generation = control.generation()
    began = time.monotonic()
    for i in range(1, ROUNDS + 1):
        time.sleep(max(0, began + i * PACE_S - time.monotonic()))
        wrong = i % 10 == 0
        policy = "wrong" if wrong else "ab"[generation % 2]
        asked = time.monotonic()
        generation += not wrong
        install(policy)
        right = by_signal(wrong, generation, control) if i % 4 < 2 else by_pendctl(wrong, generation)
        if not right:
            complain("reload %d of %s: generation %d, want %d" % (i, policy, control.generation(), generation))
            break
        if not wrong:
            periods.append((asked, time.monotonic(), policy))
        count("wrong" if wrong else "good")
        if i in (ROUNDS // 5, ROUNDS):
            for name, kib in rss().items():
                counts["rss_%s_%d" % (name, i)] = kib
        if time.monotonic() - began > LIMIT_S:
            complain("only %d reloads in %d s" % (i, LIMIT_S))
            break
    counts["ms"] = int((time.monotonic() - began) * 1000)
    counts["generation"] = control.generation()


def judge():
    """An attempt that lies within the time of one policy must have ended as that one says."""
    for began, ended, connected in flips:
        i = bisect.bisect_right(periods, (began, float("inf"), "")) - 1
        if i < 0 or periods[i][1] > began:
            continue
        if i + 1 < len(periods) and periods[i + 1][0] < ended:
            continue
        count("judged")
        if connected and periods[i][2] == "b":
            complain("port 82 passed under b, %.0f ms after its reload" % ((began - periods[i][1]) * 1000))
        elif not connected and periods[i][2] == "a":
            count("refused_under_a")


def main():
    decider = threading.Thread(target=decide)
    decider.start()
    threads = [threading.Thread(target=guarded, args=("moving", move, n)) for n in range(4)]
    threads += [threading.Thread(target=many, args=(port, n)) for n, port in enumerate([80, 81, 81, 81, 84, 84])]
    threads += [threading.Thread(target=guarded, args=("flip", flip, n)) for n in (10000, 10001)]
    threads.append(threading.Thread(target=blocked))
    for t in threads:
        t.start()
    time.sleep(0.5)
    guarded("reloads", reloads)
    over.set()
    for t in threads:
        t.join()
    done.set()
    decider.join()
    judge()
    for what in sorted(counts):
        print(what, counts[what])
    print("complaints", len(complaints))
    for text in complaints[:20]:
        print("#", text)


main()
