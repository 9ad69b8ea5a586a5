#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""An HTTPS server for the kernel tests, which answers well or badly.

    web.py ADDRESS PORT [CERTIFICATE KEY]       without a certificate: plain HTTP

The path says how it answers. Each request is a line of JSON on standard output, with the number of its connection.
"""
import http.server
import json
import socketserver
import ssl
import sys
import threading
import time


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    connections = 0
    lock = threading.Lock()

    def setup(self):
        super().setup()
        with Handler.lock:
            Handler.connections += 1
            self.number = Handler.connections

    def say(self, status, body=b"", kind="application/json", headers=()):
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def object(self, **keys):
        self.say(200, json.dumps(keys).encode())

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with Handler.lock:
            print(json.dumps({"connection": self.number, "path": self.path, "body": body.decode(),
                              "type": self.headers.get("Content-Type"), "token": self.headers.get("Authorization"),
                              "box": self.headers.get("X-Box"), "agent": self.headers.get("User-Agent")}), flush=True)
        getattr(self, "on_" + self.path.strip("/"), self.on_unknown)(json.loads(body))

    def on_unknown(self, _):
        self.say(404, b"{\"verdict\":\"permit\"}")

    def on_source(self, question):
        """The last octet: 1 and 6 permit, 2 block, 3 block with reset, 4 no opinion, 5 an error."""
        last = question["source"].rsplit(".", 1)[-1].rsplit(":", 1)[-1]
        self.object(**{"1": {"verdict": "permit"}, "6": {"verdict": "permit"}, "2": {"verdict": "block", "why": "no"},
                       "3": {"verdict": "block", "block": "reset"}, "4": {"verdict": "continue"},
                       "5": {"verdict": "error", "why": "the database is away"}}.get(last, {}))

    def on_permit(self, _):
        self.object(verdict="permit")

    def on_nothing(self, _):
        self.say(204)

    def on_forbidden(self, _):
        self.say(403, b"no", "text/plain")

    def on_broken(self, _):
        self.say(500, b"{\"verdict\":\"permit\"}")

    def on_redirect(self, _):
        self.say(307, b"", headers=[("Location", "/permit")])

    def on_garbage(self, _):
        self.say(200, bytes(range(256)) * 4)

    def on_page(self, _):
        self.say(200, b"<html>permit</html>", "text/html")

    def on_large(self, _):
        self.say(200, b"{\"verdict\":\"permit\",\"why\":\"" + b"x" * 100000 + b"\"}")

    def on_endless(self, _):
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        try:
            while True:
                self.wfile.write(b" " * 4096)
        except OSError:
            pass

    def on_short(self, _):
        """Promises more than it says."""
        self.send_response(200)
        self.send_header("Content-Length", "100")
        self.end_headers()
        self.wfile.write(b"{\"verdict\":\"permit\"}")
        self.close_connection = True

    def on_slow(self, _):
        body = b"{\"verdict\":\"permit\"}"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            for i in range(len(body)):
                self.wfile.write(body[i:i + 1])
                self.wfile.flush()
                time.sleep(0.3)
        except OSError:
            pass

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128
    context = None

    def finish_request(self, request, client_address):
        """In the thread of the connection: a handshake that hangs delays nobody."""
        if self.context:
            try:
                request = self.context.wrap_socket(request, server_side=True)
            except (ssl.SSLError, OSError):
                return
        self.RequestHandlerClass(request, client_address, self)

    def handle_error(self, request, client_address):
        pass


if __name__ == "__main__":
    server = Server((sys.argv[1], int(sys.argv[2])), Handler)
    if len(sys.argv) > 4:
        Server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        Server.context.load_cert_chain(sys.argv[3], sys.argv[4])
    print("ready", flush=True)
    server.serve_forever()
