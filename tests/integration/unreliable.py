"""What stands between a client and the service, and loses what a network may lose."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from time import monotonic
from typing import ClassVar
from urllib.parse import urlsplit

BUSY = {"code": "unavailable", "detail": "Later.", "correlation_id": "c-1"}


class Unreliable(ThreadingHTTPServer):
    """Of each POST it passes on the first and loses the answer, refuses the second, and passes on what comes then."""

    daemon_threads = True

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), _Passing)
        self.target = urlsplit(target).netloc
        self.posts: list[tuple[float, str]] = []  # when, and under which key

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Passing(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Unreliable
    KEPT: ClassVar = ("Content-Type", "Location", "Retry-After", "X-Correlation-ID")

    def do_GET(self) -> None:
        self._pass_on()

    def do_POST(self) -> None:
        self.server.posts.append((monotonic(), self.headers["Idempotency-Key"]))
        match len(self.server.posts):
            case 1:
                self._pass_on(answer=False)
            case 2:
                self.rfile.read(int(self.headers["Content-Length"]))
                self._answer(503, {"Content-Type": "application/problem+json", "Retry-After": "1"}, json.dumps(BUSY))
            case _:
                self._pass_on()

    def _pass_on(self, *, answer: bool = True) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        onward = HTTPConnection(self.server.target, timeout=10)
        onward.request(self.command, self.path, body, dict(self.headers.items()))
        answered = onward.getresponse()
        text = answered.read().decode()
        onward.close()
        if answer:
            headers = {name: answered.headers[name] for name in self.KEPT if name in answered.headers}
            self._answer(answered.status, headers, text)
        else:
            self.close_connection = True

    def _answer(self, status: int, headers: dict[str, str], text: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(text.encode()))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@contextmanager
def unreliable(target: str) -> Iterator[Unreliable]:
    with Unreliable(target) as front:
        Thread(target=front.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield front
        front.shutdown()
