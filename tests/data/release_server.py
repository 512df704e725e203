"""A server of releases that fails as it is told."""

import hashlib
import socket
import struct
from http.server import BaseHTTPRequestHandler

import numpy as np

DATA = np.random.default_rng(0).bytes(1_000_003)
SIZE = len(DATA)
QUARTER = SIZE // 4


def md5(data: bytes) -> str:
    return "md5:" + hashlib.md5(data).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves `server.files`; `server.faults` says what goes wrong, a word a request."""

    def do_GET(self):
        fault, asked = next(self.server.faults, ""), self.headers.get("Range", "")
        data = self.server.files.get(self.path)
        if fault == "short":
            data = data[:QUARTER]
        self.server.requests.append((self.path, asked))
        assert self.headers.get("Accept-Encoding") == "identity" or self.path == "/record"
        if fault == "redirect":
            return self.answer(302, {"Location": "/elsewhere" + self.path})
        if fault.isdigit() or data is None:
            return self.answer(int(fault or 404))
        start = int(asked[6:-1]) if asked and "no ranges" not in fault else 0
        start -= fault == "wrong range"
        if asked and start >= len(data):
            return self.answer(416, {"Content-Range": f"bytes */{len(data)}"})
        body = data[start:]
        headers = {"Content-Length": len(body)}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        if fault == "piece":
            headers["Content-Length"], body = QUARTER, body[:QUARTER]
        if fault == "corrupted":
            body = body[:-1] + b"?"
        if "chunked" in fault:
            headers = {"Transfer-Encoding": "chunked"}
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        if "break" in fault:
            body = body[:QUARTER]
        self.answer(206 if start else 200, headers)
        self.wfile.write(body)
        self.server.sent.append(len(body))
        if "reset" in fault:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def answer(self, status: int, headers: dict | None = None):
        self.send_response(status)
        for name, value in (headers or {"Content-Length": 0}).items():
            self.send_header(name, str(value))
        self.end_headers()

    def log_message(self, *_):
        pass
