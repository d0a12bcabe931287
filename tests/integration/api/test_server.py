"""What only a real server shows: repeated headers, bodies without a length, sockets, processes."""

from __future__ import annotations

import json
import re
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from notifications.models import Notification
from notifier import lifeline
from tests.eventually import eventually
from tests.ports import free_port
from tests.processes import starting_web, web

from .callers import SMS, Caller

PROVIDER = {
    "TWILIO_ACCOUNT_SID": f"AC{'0' * 32}",
    "TWILIO_AUTH_TOKEN": "t0ken" * 6,
    "TWILIO_FROM_NUMBER": "+15005550006",
}
SHOP = "https://shop.example"
LIMIT = 1024 * 1024
BODY = json.dumps(SMS).encode()


@pytest.fixture(scope="module")
def server(django_db_setup: None) -> Iterator[str]:
    with web(**PROVIDER, CORS_ALLOWED_ORIGINS=SHOP) as (running, url):
        yield url
        written = running.log
    assert "Traceback" not in written


@contextmanager
def connected(url: str) -> Iterator[socket.socket]:
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port or 80), timeout=10) as wire:
        yield wire


def head(caller: Caller, *headers: str, path: str = "/api/v1/sms") -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        f"Authorization: Bearer {caller.key}",
        *headers,
    ]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


def answer(wire: socket.socket) -> tuple[HTTPResponse, Any]:
    response = HTTPResponse(wire, method="POST")
    response.begin()
    return response, json.loads(response.read())


def chunked(body: bytes, size: int) -> bytes:
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


@pytest.mark.parametrize(
    "keys",
    [("a", "b"), ("a", "a"), ('"a"', '"b"'), ('"a"', "b"), ("a", '"b"'), ("a", ""), ("", "a"), ("a", "b", "c")],
)
def test_a_key_that_is_sent_twice_is_refused(server: str, caller: Caller, keys: tuple[str, ...]) -> None:
    repeated = [f"Idempotency-Key: {key}" for key in keys]
    with connected(server) as wire:
        wire.sendall(head(caller, *repeated, f"Content-Length: {len(BODY)}") + BODY)
        response, body = answer(wire)

    assert (response.status, body["code"]) == (400, "idempotency_key_invalid")
    assert not Notification.objects.exists()


@pytest.mark.parametrize("key", ["caf\u00e9", '"caf\u00e9"', "a\tb"])
def test_a_key_of_other_bytes_is_refused(server: str, caller: Caller, key: str) -> None:
    with connected(server) as wire:
        wire.sendall(head(caller, f"Idempotency-Key: {key}", f"Content-Length: {len(BODY)}") + BODY)
        response, body = answer(wire)

    assert (response.status, body["code"]) == (400, "idempotency_key_invalid")


def test_a_quoted_key_with_a_comma_is_one_key(server: str, caller: Caller) -> None:
    with connected(server) as wire:
        wire.sendall(head(caller, 'Idempotency-Key: "a,b"', f"Content-Length: {len(BODY)}") + BODY)
        response, body = answer(wire)

    assert (response.status, body["idempotency_key"]) == (202, "a,b")


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_chunked_body_is_read_whole(server: str, caller: Caller, size: int) -> None:
    with connected(server) as wire:
        wire.sendall(head(caller, "Idempotency-Key: k", "Transfer-Encoding: chunked") + chunked(BODY, size))
        response, body = answer(wire)

    assert response.status == 202, body
    assert Notification.objects.get().body == SMS["message"]


def test_a_chunked_body_over_the_limit_is_too_large_however_long_it_goes_on(server: str, caller: Caller) -> None:
    with connected(server) as wire:
        wire.sendall(head(caller, "Idempotency-Key: k", "Transfer-Encoding: chunked"))
        part = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        for _ in range(LIMIT // 0x10000 + 1):  # past the limit, and never ended
            wire.sendall(part)
        response, body = answer(wire)

    assert (response.status, body["code"]) == (413, "payload_too_large")


def test_a_length_over_the_limit_is_refused_before_the_body_is_sent(server: str, caller: Caller) -> None:
    with connected(server) as wire:
        wire.sendall(head(caller, "Idempotency-Key: k", f"Content-Length: {LIMIT + 1}"))
        response, body = answer(wire)

    assert (response.status, body["code"]) == (413, "payload_too_large")


def test_who_sends_the_large_body_all_the_same_reads_the_refusal(server: str, caller: Caller) -> None:
    parts = urlsplit(server)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    headers = {"Authorization": f"Bearer {caller.key}", "Idempotency-Key": "k", "Content-Type": "application/json"}
    with suppress(OSError):  # the server may stop reading; its answer is there to be read
        connection.request("POST", "/api/v1/sms", b" " * (8 * LIMIT), headers)
    response = connection.getresponse()

    assert (response.status, json.loads(response.read())["code"]) == (413, "payload_too_large")
    connection.close()


def test_a_connection_goes_on_after_a_refusal(server: str, caller: Caller) -> None:
    with connected(server) as wire:
        wire.sendall(head(caller, f"Content-Length: {len(BODY)}") + BODY)
        assert answer(wire)[0].status == 400
        wire.sendall(head(caller, "Idempotency-Key: k", f"Content-Length: {len(BODY)}") + BODY)
        assert answer(wire)[0].status == 202


def test_an_address_with_a_slash_takes_a_post_without_a_redirect(server: str, caller: Caller) -> None:
    with connected(server) as wire:
        sent = head(caller, "Idempotency-Key: k", f"Content-Length: {len(BODY)}", path="/api/v1/sms/")
        wire.sendall(sent + BODY)
        assert answer(wire)[0].status == 202


@pytest.mark.parametrize("path", ["/api/v1/%00", "/api/v1/notifications/%00", "/%ff%fe", "/api/v1/../../etc/passwd"])
def test_odd_paths_are_not_found(server: str, caller: Caller, path: str) -> None:
    with connected(server) as wire:
        wire.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {caller.key}\r\n\r\n".encode())
        response = HTTPResponse(wire)
        response.begin()
        assert response.status == 404


@pytest.mark.parametrize(
    "raw",
    [
        *(b"\x00\x01\x02\r\n\r\n", b"GET\r\n\r\n", b"GET /api/v1/sms HTTP/9.9\r\nHost: 127.0.0.1\r\n\r\n"),
        b"POST /api/v1/sms HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/v1/sms HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}}",
        b"POST /api/v1/sms HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nnothing\r\n",
        b"GET /api/v1/sms HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Correlation-ID: a\x00b\r\n\r\n",
        b"GET /api/v1/sms HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 1_000_000 + b"\r\n\r\n",
        b"BREW /api/v1/sms HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_and_teaches_nothing(server: str, caller: Caller, raw: bytes) -> None:
    with connected(server) as wire, suppress(ConnectionError):
        wire.sendall(raw)
        with suppress(OSError):  # it may have been closed by now
            wire.shutdown(socket.SHUT_WR)
        answered = b""
        while part := wire.recv(65536):
            answered += part
        status, _, rest = answered.partition(b"\r\n")
        assert re.fullmatch(rb"HTTP/1\.1 4\d\d .*|", status), answered[:200]
        # The web server's own refusals have no body; what comes as far as ours is a problem.
        assert not rest.partition(b"\r\n\r\n")[2] or b"application/problem+json" in rest
    with connected(server) as wire:
        wire.sendall(head(caller, "Idempotency-Key: k", f"Content-Length: {len(BODY)}") + BODY)
        assert answer(wire)[0].status == 202


@pytest.mark.django_db(transaction=True)
def test_without_a_database_the_service_is_alive_unready_and_says_when_to_come_back() -> None:
    nobody = f"postgresql://notifier:s3cr3tword@127.0.0.1:{free_port()}/notifier"
    with web(**{**PROVIDER, "DATABASE_URL": nobody}) as (running, url):
        with connected(url) as wire:
            headers = "Host: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\nIdempotency-Key: k"
            wire.sendall(f"POST /api/v1/sms HTTP/1.1\r\nAuthorization: Bearer nk_x_y\r\n{headers}\r\n\r\n{{}}".encode())
            response, body = answer(wire)
            wire.sendall(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            readiness, reasons = answer(wire)
            wire.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            health, _ = answer(wire)
        log = running.log

    assert (response.status, body["code"]) == (503, "unavailable")
    assert int(response.headers["Retry-After"]) >= 1
    assert response.headers["Content-Type"] == "application/problem+json"
    assert (readiness.status, len(reasons["reasons"])) == (503, 1)
    assert reasons["reasons"][0].startswith("The database does not answer")
    assert health.status == 200
    assert "s3cr3tword" not in log


def test_the_log_of_a_request_is_a_line_of_json_that_tells_no_secret(caller: Caller) -> None:
    with web(**PROVIDER) as (running, url):
        with connected(url) as wire:
            sent = head(caller, "Idempotency-Key: k", "X-Correlation-ID: order-42", f"Content-Length: {len(BODY)}")
            wire.sendall(sent + BODY)
            answer(wire)
        log = running.log

    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    ours = [line for line in lines if line.get("correlation_id") == "order-42"]
    assert [line["event"] for line in ours if line["logger"] == "notifier.request"] == ["answer"]
    assert (ours[-1]["status"], ours[-1]["client"]) == (202, caller.client.name)
    for secret in (caller.key, SMS["message"], SMS["send_to_number"], PROVIDER["TWILIO_AUTH_TOKEN"]):
        assert secret not in log


@pytest.mark.skipif(not lifeline.AVAILABLE, reason="only Linux tells a child of its parent's death")
@pytest.mark.django_db(transaction=True)
def test_no_web_process_outlives_its_killed_parent() -> None:
    with web(processes=2, NOTIFIER_DIE_WITH_PARENT="on", **PROVIDER) as (running, url):
        children = psutil.Process(running.popen.pid).children(recursive=True)
        assert len(children) >= 2  # one of them perhaps still at its imports: it too must end
        running.popen.send_signal(signal.SIGKILL)
        eventually(lambda: not any(child.is_running() for child in children), seconds=10, what="the end of the workers")
        with pytest.raises(OSError), connected(url):
            pass


def loading(server: psutil.Process) -> list[psutil.Process]:
    """The server's workers that are past their first lines, and have the framework before them."""
    return [
        worker
        for worker in server.children()
        if any("psycopg" in mapped.path for mapped in worker.memory_maps())  # the first of what they load
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="what a process has loaded is read where the kernel tells it")
@pytest.mark.django_db(transaction=True)
def test_a_web_server_that_is_stopped_while_it_loads_ends_at_once() -> None:
    with starting_web(processes=2, **PROVIDER) as (running, _):
        server = psutil.Process(running.popen.pid)
        workers = eventually(lambda: len(found := loading(server)) == 2 and found, what="two workers that load")
        for worker in workers:
            worker.suspend()
        assert "Started worker" not in running.log
        running.terminate()
        eventually(lambda: "Shutting down" in running.log, what="the server's stopping")
        for worker in workers:
            with suppress(psutil.NoSuchProcess):  # the stop came before the suspension had
                worker.resume()

        assert running.wait(10) == 0


def test_a_pre_flight_of_an_origin_that_the_environment_names_is_allowed(server: str) -> None:
    with connected(server) as wire:
        lines = [
            "OPTIONS /api/v1/sms HTTP/1.1",
            "Host: 127.0.0.1",
            f"Origin: {SHOP}",
            "Access-Control-Request-Method: POST",
            "Access-Control-Request-Headers: authorization,idempotency-key",
        ]
        wire.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")
        answered = HTTPResponse(wire, method="OPTIONS")
        answered.begin()

    assert (answered.status, answered.headers["Access-Control-Allow-Origin"]) == (200, SHOP)
