"""A small, strict HTTP/1.1 server: keep-alive, Content-Length bodies, nothing else.

It answers thousands of requests a second on one thread, because the benchmarks measure what is in front of
it, and it can misbehave in the ways a `Fault` names, which no well-behaved server offers.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import parse_qsl, unquote

from channels.sandbox.faults import Fault, Kind

HEAD_LIMIT = 16 * 1024  # bytes
BODY_LIMIT = 1024 * 1024  # a Slack message with all that it may have has a quarter


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str  # decoded
    query: Mapping[str, str]
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    def form(self) -> dict[str, str]:
        """The body as application/x-www-form-urlencoded; the last of a repeated name counts."""
        return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)
    fault: Fault | None = None  # how to misbehave on the way

    @classmethod
    def of_json(cls, status: int, value: Any, *, fault: Fault | None = None) -> Answer:
        return cls(status, json.dumps(value).encode(), "application/json", fault=fault)

    def octets(self) -> bytes:
        lines = [
            f"HTTP/1.1 {self.status} {_phrase(self.status)}",
            f"Content-Type: {self.content_type}",
            f"Content-Length: {len(self.body)}",
            *(f"{name}: {value}" for name, value in self.headers.items()),
        ]
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + self.body


class Malformed(Exception):
    """Raised when what came is no request of ours; the connection is closed after the answer."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Connection(asyncio.Protocol):
    """One client's connection. Requests are answered one by one, in order; pipelined ones wait."""

    def __init__(self, answer: Callable[[Request], Answer], connections: set[Connection]) -> None:
        self._answer = answer
        self._connections = connections
        self._buffer = bytearray()
        self._fault: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._connections.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        self._connections.discard(self)
        if self._fault:
            self._fault.cancel()

    def abort(self) -> None:
        self._transport.abort()

    def data_received(self, octets: bytes) -> None:
        self._buffer += octets
        if len(self._buffer) > HEAD_LIMIT + BODY_LIMIT:
            self._transport.pause_reading()
        self._answer_all()

    def _answer_all(self) -> None:
        while self._fault is None and not self._transport.is_closing():
            try:
                request = self._next_request()
            except Malformed as error:
                self._transport.write(Answer(error.status, headers={"Connection": "close"}).octets())
                self._transport.close()
                return
            if request is None:
                self._transport.resume_reading()
                return
            answer = self._answer(request)
            if answer.fault:
                self._fault = asyncio.get_running_loop().create_task(self._misbehave(answer, answer.fault))
                return
            self._transport.write(answer.octets())
            if request.headers.get("connection", "").lower() == "close":
                self._transport.close()

    def _next_request(self) -> Request | None:
        head_end = self._buffer.find(b"\r\n\r\n")
        if head_end < 0 or head_end > HEAD_LIMIT:
            if len(self._buffer) > HEAD_LIMIT:
                raise Malformed(431)
            return None
        request_line, *header_lines = self._buffer[:head_end].decode("latin-1").split("\r\n")
        headers = _headers(header_lines)
        length = _body_length(headers)
        body_start = head_end + 4
        if len(self._buffer) < body_start + length:
            return None
        body = bytes(self._buffer[body_start : body_start + length])
        del self._buffer[: body_start + length]
        return _request(request_line, headers, body)

    async def _misbehave(self, answer: Answer, fault: Fault) -> None:
        await asyncio.sleep(fault.latency_ms / 1000)
        if fault.kind in {Kind.DROP_BEFORE, Kind.DROP_AFTER}:
            self._transport.abort()
            return
        if fault.kind is Kind.HANG:
            await asyncio.get_running_loop().create_future()  # until the client goes, or we stop
        if fault.kind is Kind.DRIP:
            for octet in answer.octets():
                self._transport.write(bytes([octet]))
                await asyncio.sleep(fault.drip_ms / 1000)
        else:
            self._transport.write(answer.octets())
        self._fault = None
        self._answer_all()


def _headers(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        name = name.lower()
        if not colon or not name or name != name.strip():
            raise Malformed(400)
        if name in headers and name in {"content-length", "host", "transfer-encoding"}:
            raise Malformed(400)
        headers[name] = value.strip()
    return headers


def _body_length(headers: Mapping[str, str]) -> int:
    if "transfer-encoding" in headers:
        raise Malformed(501)
    raw = headers.get("content-length", "0")
    if not (raw.isascii() and raw.isdigit()):
        raise Malformed(400)
    # Digits first: int() refuses thousands of them with an error of its own.
    if len(raw) > 12 or int(raw) > BODY_LIMIT:
        raise Malformed(413)
    return int(raw)


def _request(line: str, headers: Mapping[str, str], body: bytes) -> Request:
    parts = line.split(" ")
    if len(parts) != 3 or not parts[1].startswith("/"):
        raise Malformed(400)
    method, target, version = parts
    if version != "HTTP/1.1":
        raise Malformed(505)
    if "host" not in headers:
        raise Malformed(400)
    path, _, query = target.partition("?")
    return Request(method, unquote(path), dict(parse_qsl(query, keep_blank_values=True)), headers, body)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
