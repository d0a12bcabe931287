from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

from channels.sandbox.server import Sandbox
from notifier.environment import BASE_DIR


def check(port: int, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(BASE_DIR / "deploy" / "check_http.py"), str(port)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


@contextmanager
def answering(status: int) -> Iterator[int]:
    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def test_a_server_that_answers_is_healthy() -> None:
    with Sandbox() as sandbox:
        assert check(sandbox.http_port).returncode == 0


def test_a_proxy_in_the_environment_is_not_asked() -> None:
    with Sandbox() as sandbox:
        assert check(sandbox.http_port, http_proxy="http://127.0.0.1:1").returncode == 0


def test_a_server_that_refuses_is_not_healthy() -> None:
    with answering(503) as port:
        answer = check(port)
    assert answer.returncode == 1
    assert "503" in answer.stderr


def test_a_port_without_a_server_is_not_healthy() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # nobody listens on it, and nobody else can take it
        answer = check(bound.getsockname()[1])
    assert answer.returncode == 1
    assert "did not answer" in answer.stderr


def test_a_server_that_never_answers_is_not_healthy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        answer = check(silent.getsockname()[1])
    assert answer.returncode == 1
    assert "timed out" in answer.stderr
