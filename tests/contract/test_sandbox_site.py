"""The sandbox's own interface: messages and faults as JSON, the page, and strict HTTP."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from channels.sandbox.server import Sandbox


@pytest.fixture(scope="module")
def shared() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture
def sandbox(shared: Sandbox) -> Sandbox:
    shared.mailbox.clear()
    shared.faults.clear()
    return shared


def call(sandbox: Sandbox, method: str, path: str, **options: Any) -> requests.Response:
    return requests.request(method, sandbox.url + path, timeout=5, **options)


def post(sandbox: Sandbox, text: str, token: str = "ops") -> None:
    assert call(sandbox, "POST", f"/services/T/B/{token}", json={"text": text}).text == "ok"


def raw(sandbox: Sandbox, octets: bytes) -> bytes:
    """What comes back for these bytes, to the end of the connection or of the first second of silence."""
    with socket.create_connection(("127.0.0.1", sandbox.http_port), timeout=1) as sock:
        answer = b""
        with suppress(OSError):
            sock.sendall(octets)
            sock.shutdown(socket.SHUT_WR)
            while piece := sock.recv(65536):
                answer += piece
        return answer


def test_messages_are_listed_newest_first(sandbox: Sandbox) -> None:
    for text in ("first", "second", "third"):
        post(sandbox, text)
    listed = call(sandbox, "GET", "/api/messages").json()
    assert [message["body"] for message in listed["results"]] == ["third", "second", "first"]
    assert listed["count"] == 3


def test_messages_are_filtered_by_channel_and_text(sandbox: Sandbox) -> None:
    post(sandbox, "Größe", "ops")
    post(sandbox, "other", "dev")
    assert call(sandbox, "GET", "/api/messages?text=GRÖSSE").json()["count"] == 1
    assert call(sandbox, "GET", "/api/messages?text=dev&channel=slack").json()["results"][0]["body"] == "other"
    assert call(sandbox, "GET", "/api/messages?channel=sms").json()["results"] == []


def test_a_page_of_messages_is_limited(sandbox: Sandbox) -> None:
    for text in ("a", "b", "c"):
        post(sandbox, text)
    listed = call(sandbox, "GET", "/api/messages?limit=2").json()
    assert (listed["count"], len(listed["results"])) == (3, 2)


@pytest.mark.parametrize("query", ["limit=0x1", "limit=-1", "limit=99999", "channel=fax"])
def test_a_query_that_makes_no_sense_is_refused(sandbox: Sandbox, query: str) -> None:
    assert call(sandbox, "GET", f"/api/messages?{query}").status_code == 400


def test_cleared_messages_are_gone_and_numbers_go_on(sandbox: Sandbox) -> None:
    post(sandbox, "old")
    number = call(sandbox, "GET", "/api/messages").json()["results"][0]["number"]
    assert call(sandbox, "DELETE", "/api/messages").status_code == 204
    post(sandbox, "new")
    (message,) = call(sandbox, "GET", "/api/messages").json()["results"]
    assert (message["body"], message["number"]) == ("new", number + 1)


def test_faults_are_set_shown_and_cleared(sandbox: Sandbox) -> None:
    wanted = {"slack": {"kind": "status", "status": 503, "times": 1}, "email": [{"kind": "hang"}, {"kind": "drip"}]}
    shown = call(sandbox, "PUT", "/api/faults", json=wanted).json()
    assert shown == call(sandbox, "GET", "/api/faults").json()
    assert [fault["kind"] for fault in shown["email"]] == ["hang", "drip"]
    assert call(sandbox, "POST", "/services/T/B/x", json={"text": "a"}).status_code == 503
    assert call(sandbox, "GET", "/api/faults").json()["slack"][0]["befell"] == 1
    assert call(sandbox, "POST", "/services/T/B/x", json={"text": "a"}).status_code == 200
    assert call(sandbox, "DELETE", "/api/faults").json() == {}


@pytest.mark.parametrize(
    "faults",
    [
        "slack",
        {"fax": {"kind": "hang"}},
        {"slack": {}},
        {"slack": {"kind": "explode"}},
        {"slack": "hang"},
        {"slack": {"kind": "hang", "latency": 5}},
        {"slack": {"kind": "latency", "latency_ms": "5"}},
        {"slack": {"kind": "latency", "latency_ms": -5}},
        {"slack": {"kind": "latency", "latency_ms": True}},
        {"slack": {"kind": "latency", "times": 0.5}},
        {"slack": {"kind": "status", "status": 42}},
        {"slack": {"kind": "status", "retry_after": 5}},
        {"slack": {"kind": "status", "retry_after": "5\r\nX: y"}},
        {"slack": {"kind": "hang", "taken": "yes"}},
        {"slack": {"kind": "hang", "probability": 0}},
        {"slack": {"kind": "hang", "probability": 2}},
        {"email": {"kind": "status", "stage": "later"}},
        {"email": {"kind": "status", "body": "a\r\nb"}},
    ],
)
def test_a_fault_that_makes_no_sense_is_refused_and_nothing_changes(sandbox: Sandbox, faults: object) -> None:
    before = call(sandbox, "PUT", "/api/faults", json={"sms": {"kind": "hang"}}).json()
    answer = call(sandbox, "PUT", "/api/faults", json=faults)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert call(sandbox, "GET", "/api/faults").json() == before


def test_the_page_needs_nothing_from_elsewhere(sandbox: Sandbox) -> None:
    page = call(sandbox, "GET", "/")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert re.findall(r"""(?:src|href)=["']?(?!data:)[^"'> ]""", page.text) == []
    assert re.findall(r"https?://", page.text) == []
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]


def test_the_page_can_be_asked_for_one_message(sandbox: Sandbox) -> None:
    page = call(sandbox, "GET", "/?text=abc")
    assert page.status_code == 200
    assert 'get("text")' in page.text  # what it does with that, a browser's test sees


def test_the_page_writes_messages_as_text_only(sandbox: Sandbox) -> None:
    page = call(sandbox, "GET", "/").text
    assert re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", page) == []


@pytest.mark.parametrize(("path", "status"), [("/healthz", 200), ("/nowhere", 404), ("/services/x", 404)])
def test_addresses_answer_what_they_are(sandbox: Sandbox, path: str, status: int) -> None:
    assert call(sandbox, "GET", path).status_code == status


@pytest.mark.parametrize("path", ["/api/messages", "/api/faults"])
def test_a_method_that_an_address_has_not_is_refused(sandbox: Sandbox, path: str) -> None:
    answer = call(sandbox, "PATCH", path)
    assert answer.status_code == 405
    assert "GET" in answer.headers["Allow"]


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"hello\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\nHost: x\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET http://elsewhere/ HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1_0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", 431),
        (b"x" * 20_000, 431),
    ],
)
def test_what_is_no_proper_request_is_refused(sandbox: Sandbox, request_bytes: bytes, status: int) -> None:
    assert raw(sandbox, request_bytes).startswith(f"HTTP/1.1 {status} ".encode())


def test_requests_sent_ahead_are_answered_in_order(sandbox: Sandbox) -> None:
    answer = raw(sandbox, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
    assert answer.count(b"HTTP/1.1 200 OK") == 3


def test_a_request_may_come_a_byte_at_a_time(sandbox: Sandbox) -> None:
    body = b'{"text": "slowly"}'
    octets = b"POST /services/T/B/x HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    with socket.create_connection(("127.0.0.1", sandbox.http_port), timeout=5) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for octet in octets:
            sock.sendall(bytes([octet]))
        assert sock.recv(1000).endswith(b"ok")


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(octets=st.binary(max_size=300))
def test_no_bytes_at_all_bring_it_down(sandbox: Sandbox, octets: bytes) -> None:
    raw(sandbox, octets + b"\r\n\r\n")
    assert call(sandbox, "GET", "/healthz").text == "ok"
