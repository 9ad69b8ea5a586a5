#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""As much of a service manager as pendd needs: readiness and the store of descriptors.

    manager.py STATE COMMAND...

Starts COMMAND, writes each notification to the file STATE, keeps the descriptors it is handed and hands them to the
next start. Commands on standard input: "kill" the service as an accident would, "stop" it, "start" it again, "forget"
the descriptors. "pid N" and "ended STATUS" go to STATE.
"""
import array
import os
import select
import signal
import socket
import sys

state = open(sys.argv[1], "a", buffering=1)
address = sys.argv[1] + ".notify"
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.bind(address)
store = {}
pid = 0


def start():
    global pid
    names = list(store)
    pid = os.fork()
    if pid:
        print("pid", pid, file=state)
        return
    os.environ.update(NOTIFY_SOCKET=address)
    moved = [os.dup2(store[n], 100 + i) for i, n in enumerate(names)]
    for i, fd in enumerate(moved):
        os.dup2(fd, 3 + i, inheritable=True)
        os.close(fd)
    if names:
        os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(names)), LISTEN_FDNAMES=":".join(names))
    os.execv(sys.argv[2], sys.argv[2:])


def end(number):
    global pid
    if pid:
        os.kill(pid, number)
        status = os.waitpid(pid, 0)[1]
        pid = 0
        drain()
        print("ended", status, file=state)


def take():
    data, ancillary, _, _ = notify.recvmsg(4096, socket.CMSG_SPACE(64))
    lines = data.decode().splitlines()
    fds = array.array("i")
    for level, kind, value in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(value)
    name = [line[7:] for line in lines if line.startswith("FDNAME=")]
    for fd in fds:
        if name and name[0] in store:
            os.close(store[name[0]])
        store[name[0] if name else "stored"] = fd
    for line in lines:
        print(line, file=state)


def drain():
    while select.select([notify], [], [], 0)[0]:
        take()


def obey(word):
    drain()
    if word == "kill":
        end(signal.SIGKILL)
    elif word == "stop":
        end(signal.SIGTERM)
    elif word == "start":
        start()
    elif word == "forget":
        for fd in store.values():
            os.close(fd)
        store.clear()
    elif word:
        end(signal.SIGTERM)
        sys.exit()


start()
while True:
    ready = select.select([notify, 0], [], [])[0]
    if notify in ready:
        take()
    if 0 in ready:
        for command in (os.read(0, 4096).decode() or "quit").split():
            obey(command)
