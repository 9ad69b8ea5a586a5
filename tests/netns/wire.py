#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The control protocol against its schema, docs/protocol.schema.json.

    wire.py docs PROTOCOL.md        every example of the document
    wire.py table CONTROL.C         the server's table of operations: all are there, with the same keys
    wire.py proxy LISTEN CONNECT REPORT
        stand between clients and the daemon and look at every line of both; on SIGTERM REPORT has, a line each,
        what was seen ("op status", "part rules", "event pended", "line question", "code denied") and what was
        wrong ("wrong ...")

What the server sends is judged more strictly than by the schema: it has no member that the schema does not describe.
"""
import asyncio
import collections
import json
import os
import re
import signal
import sys

from jsonschema import Draft202012Validator

HERE = os.path.dirname(os.path.abspath(__file__))
SCHEMA = os.path.join(HERE, "..", "..", "docs", "protocol.schema.json")


def closed(node):
    """The same schema, with no room for further members."""
    if isinstance(node, list):
        return [closed(n) for n in node]
    if not isinstance(node, dict):
        return node
    out = {k: closed(v) for k, v in node.items()}
    if isinstance(node.get("properties"), dict) and node.get("type", "object") == "object":
        out.setdefault("additionalProperties", False)
    return out


def shortened(node):
    """The same schema for examples that leave members out."""
    if isinstance(node, list):
        return [shortened(n) for n in node]
    if not isinstance(node, dict):
        return node
    return {k: shortened(v) for k, v in node.items() if k != "required" or not isinstance(v, list)}


class Schema:
    def __init__(self, change=lambda node: node):
        with open(SCHEMA, encoding="utf-8") as f:
            root = json.load(f)
        Draft202012Validator.check_schema(root)
        self.defs = closed(root["$defs"])
        for name in self.defs:
            if not name.endswith(".request"):
                self.defs[name] = change(self.defs[name])
        self.validators = {}

    def wrong(self, name, value):
        """None, or what is wrong with this value of that definition."""
        if name not in self.defs:
            return "the schema has no %s" % name
        if name not in self.validators:
            self.validators[name] = Draft202012Validator({"$ref": "#/$defs/" + name, "$defs": self.defs})
        errors = sorted(self.validators[name].iter_errors(value), key=lambda e: len(list(e.absolute_path)))
        if not errors:
            return None
        e = max([errors[0]] + list(errors[0].context or []), key=lambda e: len(list(e.absolute_path)))
        return "%s: %s: %s" % (name, "/".join(map(str, e.absolute_path)), e.message[:300])


LINES = ("event", "question", "withdrawn", "unserved", "unlock", "lock")


class Session:
    """One connection: which request a reply belongs to, and what is wrong with each line."""

    def __init__(self, schema, seen, report, document=False):
        self.schema, self.seen, self.report, self.document = schema, seen, report, document
        self.asked = collections.defaultdict(list)

    def note(self, what, text):
        if what:
            self.report("%s in %s" % (what, text[:600]))

    def client(self, text):
        try:
            value = json.loads(text)
            op, ident = value["op"], value.get("id")
        except (ValueError, KeyError, TypeError):
            return  # the server will say so
        what = self.schema.wrong("%s.request" % op, value)
        if what and self.document:
            self.note(what, text)
        if isinstance(ident, (int, str)):
            self.asked[ident].append((op, what, text))

    def server(self, text):
        try:
            value = json.loads(text)
        except ValueError as e:
            return self.note(str(e), text)
        if not isinstance(value, dict):
            return self.note("not an object", text)
        for kind in LINES:
            if kind in value:
                self.seen["line " + kind] += 1
                if kind == "event":
                    self.seen["event %s" % value["event"].get("type")] += 1
                return self.note(self.schema.wrong(kind + ".line", value), text)
        if "pend" in value:
            self.seen["line greeting"] += 1
            return self.note(self.schema.wrong("greeting", value), text)
        return self.reply(value, text)

    def reply(self, value, text):
        self.note(self.schema.wrong("reply", value), text)
        queue = self.asked.get(value.get("id"), [])
        op, invalid, request = queue[0] if queue else (None, None, "")
        if value.get("id") is None and value.get("ok"):
            op = "answer"  # only these need no id
        if not value.get("more") and queue:
            queue.pop(0)
        code = (value.get("error") or {}).get("code")
        if code:
            self.seen["code %s" % code] += 1
            if op and "result" in value:
                self.note(self.schema.wrong(op + ".failed", value["result"]), text)
            return
        if not op:
            return self.note("a reply to nothing", text)
        kind = "part" if value.get("more") else "result"
        self.seen["%s %s" % ("part" if kind == "part" else "op", op)] += 1
        what = self.schema.wrong("%s.%s" % (op, kind), value.get("result"))
        self.note(what, text)
        for event in value.get("result", {}).get("events", []) if op == "events" else []:
            self.seen["event %s" % event.get("type")] += 1
        # Of answers each is judged for itself.
        if invalid and not (op == "answer" and value["result"].get("failed")):
            self.note("the server takes what the schema does not: " + invalid, request)


# ---- the document ----

def values_of(text):
    """The JSON values of a block, one after the other."""
    at, decoder = 0, json.JSONDecoder()
    while True:
        while at < len(text) and text[at].isspace():
            at += 1
        if at == len(text):
            return
        value, at = decoder.raw_decode(text, at)
        yield value


def blocks_of(page):
    """(line, heading, marked as shortened, text) of each block of JSON."""
    heading, mark, start, block = "", "", 0, None
    for number, line in enumerate(page.split("\n"), 1):
        if block is None and line.startswith("#"):
            heading = line.lstrip("# ").strip()
        if block is not None and line.startswith("```"):
            yield start, heading, mark == "<!-- shortened -->", "\n".join(block)
            block, mark = None, ""
        elif block is not None:
            block.append(line)
        elif line.startswith("```json"):
            block, start = [], number
        elif line.strip():
            mark = line.strip()


def bare_result(value, heading):
    """Of which operation it is the result, alone: the heading's, or that which its list is named after."""
    ops = re.split(r", *", heading.split(":")[0])
    named = [op for op in ops if op in value]
    return (named or ops)[0]


def check_block(session, values, heading):
    for value in values:
        text = json.dumps(value)
        if "op" in value:
            session.client(text)
        elif any(k in value for k in LINES + ("pend", "ok", "more")):
            session.server(text)
        else:
            op = bare_result(value, heading)
            session.note(session.schema.wrong(op + ".result", value), text)
            session.seen["op " + op] += 1


def check_inline(session, page, report):
    """`{"op":...}` -> `{...}` within a line."""
    for line in page.split("\n"):
        found = re.findall(r"`(\{[^`]*\})`", line)
        if line.startswith("|") or not found:
            continue
        values = [json.loads(text) for text in found]
        for value in values:
            if "op" in value:
                session.client(json.dumps(value))
        if "-> `" in line and "op" in values[0]:
            session.note(session.schema.wrong(values[0]["op"] + ".result", values[1]), found[1])
            session.seen["op " + values[0]["op"]] += 1
        elif not any("op" in v for v in values):
            report("%s: what is this an example of?" % line)


def check_docs(path):
    with open(path, encoding="utf-8") as f:
        page = f.read()
    strict, loose = Schema(), Schema(shortened)
    seen, bad, examples = collections.Counter(), [], 0
    for line, heading, short, text in blocks_of(page):
        def report(what, line=line):
            bad.append("%s:%d: %s" % (path, line, what))
        try:
            values = list(values_of(text))
        except ValueError as e:
            report("no JSON: %s" % e)
            continue
        examples += len(values)
        check_block(Session(loose if short else strict, seen, report, True), values, heading)
    check_inline(Session(strict, seen, bad.append, True), page, bad.append)
    for op in ops_of(strict):
        if not seen["op " + op]:
            bad.append("%s: there is no example of a result of %s" % (path, op))
    print("\n".join(bad + ["%d examples" % examples]))
    return 1 if bad or not examples else 0


# ---- the server's table ----

def ops_of(schema):
    return [name[:-8] for name in schema.defs if name.endswith(".request")]


def check_table(path):
    with open(path, encoding="utf-8") as f:
        text = f.read()
    match = " ".join(re.findall(r'#define MATCH_ARGS "([^"]*)"', text))
    table = re.search(r"commands\[\] = \{(.*?)\n\};", text, re.S).group(1).replace("MATCH_ARGS", '"%s"' % match)
    schema, bad, ops = Schema(), [], []
    listed = {d["$ref"].rsplit("/", 1)[1] for d in schema.defs["request"]["oneOf"]}
    for op, keys in re.findall(r'\{"([a-z]+)",\s*ROLE_[A-Z]+,\s*((?:"[^"]*"\s*)+),', table):
        ops.append(op)
        want = set(" ".join(re.findall(r'"([^"]*)"', keys)).split()) | {"id", "op"}
        for kind in ("request", "result"):
            if "%s.%s" % (op, kind) not in schema.defs:
                bad.append("%s: the schema has no %s.%s" % (path, op, kind))
        have = set(schema.defs.get(op + ".request", {}).get("properties", {}))
        if have and have != want:
            bad.append("%s: %s: the keys differ: %s" % (path, op, " ".join(sorted(have ^ want))))
        if op + ".request" not in listed:
            bad.append("%s: %s is not among the requests of the schema" % (path, op))
    for op in set(ops_of(schema)) - set(ops):
        bad.append("%s: the schema has an operation %s that is not there" % (path, op))
    print("\n".join(bad + ["%d operations" % len(ops)] + ["op " + op for op in ops]))
    return 1 if bad or not ops else 0


# ---- between the two ----

async def pump(reader, writer, take):
    rest = b""
    try:
        while True:
            data = await reader.read(1 << 16)
            if not data:
                break
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                take(line.decode("utf-8", "replace"))
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.close()


async def proxy(listen, connect, report):
    schema, seen, bad = Schema(), collections.Counter(), []
    done = asyncio.get_running_loop().create_future()

    async def client(reader, writer):
        try:
            up_reader, up_writer = await asyncio.open_unix_connection(connect)
        except OSError:
            writer.close()
            return
        session = Session(schema, seen, bad.append)
        await asyncio.gather(pump(reader, up_writer, session.client), pump(up_reader, writer, session.server))
        writer.close()
        up_writer.close()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: done.done() or done.set_result(None))
    server = await asyncio.start_unix_server(client, listen)
    await done
    server.close()
    with open(report, "w", encoding="utf-8") as f:
        for what in sorted(seen):
            f.write("%s\n" % what)
        for what in bad:
            f.write("wrong %s\n" % what)


def main():
    what, args = sys.argv[1], sys.argv[2:]
    if what == "docs":
        return check_docs(*args)
    if what == "table":
        return check_table(*args)
    asyncio.run(proxy(*args))
    return 0


sys.exit(main())
