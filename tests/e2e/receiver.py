# SPDX-License-Identifier: Apache-2.0
"""A receiver of webhooks, over HTTPS or in clear, that does what a test tells it: a list of behaviours, one for each request,
the last one for all that follow.

    "ok"             200
    503, 400 ...     this status; (429, {"Retry-After": "2"}) with header fields
    "reset-before"   the connection is reset before an answer
    "reset-after"    200 is said, with a longer body announced, then a reset
    "slow"           the answer begins and drips, a byte each second
    "hang"           nothing is said
"""
import hashlib
import hmac
import http.server
import json
import socket
import ssl
import struct
import subprocess
import threading
import time


def make_certificate(folder):
    """A certificate for 127.0.0.1 that signs itself; its path, which is also that of its authority, and its key's."""
    cert, key = folder / "hook.pem", folder / "hook.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                    "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key),
                    "-out", str(cert)], check=True, capture_output=True)
    return cert, key


class Receiver:
    def __init__(self, folder=None, does=("ok",), secret=None):
        """folder: for the certificate of HTTPS; None: in clear."""
        self.does, self.secret = list(does), secret
        self.requests, self.accepted = [], []  # (time, header, events); events of answers that were 200 and whole
        self.lock = threading.Lock()
        self.is_over = False
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                outer.answer(self)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *args: None
        self.url = f"http://127.0.0.1:{self.server.server_port}/events"
        self.cert = None
        if folder is not None:
            self.cert, key = make_certificate(folder)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.cert, key)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
            self.url = self.url.replace("http:", "https:")
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.is_over = True
        self.server.shutdown()
        self.server.server_close()

    def check_signature(self, header, body):
        parts = dict(p.split("=", 1) for p in header["Mtad-Signature"].split(","))
        want = hmac.new(self.secret, parts["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
        assert hmac.compare_digest(want, parts["v1"]) and abs(time.time() - int(parts["t"])) < 60

    def answer(self, h):
        body = h.rfile.read(int(h.headers["Content-Length"]))
        if self.secret is not None:
            self.check_signature(h.headers, body)
        events = json.loads(body)
        assert isinstance(events, list) and events
        with self.lock:
            what = self.does.pop(0) if len(self.does) > 1 else self.does[0]
            self.requests.append((time.monotonic(), h.headers, events))
            if what == "ok":
                self.accepted.append(events)
        h.close_connection = what != "ok"
        if what == "ok":
            self.say(h, 200, {}, b"thanks")
        elif what in ("reset-before", "reset-after"):
            if what == "reset-after":
                h.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nha")
                h.wfile.flush()
                time.sleep(0.2)
            h.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            socket.socket.close(h.connection)
        elif what == "slow":
            h.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            while not self.is_over:
                h.wfile.write(b".")
                time.sleep(0.3)
        elif what == "hang":
            while not self.is_over:
                time.sleep(0.1)
        else:
            status, fields = what if isinstance(what, tuple) else (what, {})
            self.say(h, status, fields, b"go\r\naway")

    def say(self, h, status, fields, body):
        h.send_response(status)
        for name, value in fields.items():
            h.send_header(name, value)
        h.send_header("Content-Length", str(len(body)))
        h.end_headers()
        h.wfile.write(body)

    def events(self):
        """All that was accepted, in order, repeats too."""
        with self.lock:
            return [e for batch in self.accepted for e in batch]

    def rcpts(self):
        return [e["rcpt"] for e in self.events()]
