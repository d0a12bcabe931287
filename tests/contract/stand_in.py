"""Providers at the wire: real servers on loopback that say exactly what a test wants said, byte by byte."""

from __future__ import annotations

import enum
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import BinaryIO, Self

from tests.eventually import eventually


class Instead(enum.Enum):
    """What a provider does instead of answering."""

    HANG_UP = "close the connection"
    HANG = "say nothing, and keep the connection open"


@dataclass(frozen=True)
class Drip:
    """An answer that comes a byte at a time: every single read is quick, the whole takes minutes."""

    answer: bytes
    pause: float = 0.05  # seconds


Answer = bytes | Drip | Instead


class Over(Exception):
    """Raised when the conversation ends."""


class Wire:
    """The provider's end of one connection."""

    def __init__(self, sock: socket.socket, incoming: BinaryIO, stopping: threading.Event) -> None:
        self._sock = sock
        self._incoming = incoming
        self._stopping = stopping

    def line(self) -> bytes:
        """Raises: Over where the client is gone."""
        return _or_over(self._incoming.readline())

    def exactly(self, count: int) -> bytes:
        """Raises: Over where the client is gone."""
        return _or_over(self._incoming.read(count)) if count else b""

    def say(self, answer: Answer) -> bytes:
        """Returns what was said. Raises: Over where the client is gone, or nothing more is to be said."""
        if isinstance(answer, bytes):
            self._sock.sendall(answer)
            return answer
        if isinstance(answer, Drip):
            for octet in answer.answer:
                self._sock.sendall(bytes([octet]))
                if self._stopping.wait(answer.pause):
                    raise Over
            return answer.answer
        if answer is Instead.HANG:
            self._stopping.wait()
        raise Over


def _or_over(octets: bytes) -> bytes:
    if not octets:
        raise Over
    return octets


class StandIn:
    """A server that plays `converse` on every connection."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self.connections = 0
        self.ended = 0
        self._tls = tls
        self._stopping = threading.Event()
        self._listener = socket.create_server((host, 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def converse(self, wire: Wire) -> None:
        raise NotImplementedError

    def hang_up(self) -> None:
        """Close every connection from this side, as an idle timeout does, and wait until that is done."""
        with self._lock:
            for sock in self._open:
                with suppress(OSError):
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)  # below TLS, which another thread may read
        eventually(lambda: self.ended == self.connections, what="every connection is closed")

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()
        for thread in self._threads:
            thread.join()

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):  # until the listener is closed
            while True:
                sock, _ = self._listener.accept()
                self.connections += 1
                self._start(self._serve, sock)

    def _serve(self, sock: socket.socket) -> None:
        secured = sock
        with suppress(Over, OSError), sock:
            with self._lock:
                self._open.add(sock)
            if self._tls:
                secured = self._tls.wrap_socket(sock, server_side=True)
                with self._lock:
                    self._open.add(secured)
            with secured, secured.makefile("rb") as incoming:
                self.converse(Wire(secured, incoming, self._stopping))
        with self._lock:
            self._open -= {sock, secured}
            self.ended += 1


class Silent(StandIn):
    """Takes connections and says nothing, not even what TLS begins with."""

    def converse(self, wire: Wire) -> None:
        wire.say(Instead.HANG)


class Rude(StandIn):
    """Takes connections and closes them."""

    def converse(self, wire: Wire) -> None:
        wire.say(Instead.HANG_UP)


class SpeaksFirst(StandIn):
    """Greets in plain text, where a client expects TLS."""

    def converse(self, wire: Wire) -> None:
        wire.say(b"220 welcome, this is no TLS\r\n")
        wire.say(Instead.HANG)


@dataclass
class HttpRequest:
    path: str
    headers: dict[str, str]  # names in lower case
    body: bytes = field(repr=False)


class HttpStandIn(StandIn):
    """Reads whole requests; `answer` is what it says to each."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        super().__init__(tls=tls, host=host)
        self.answer: Answer = http_answer(200, b"ok")
        self.requests: list[HttpRequest] = []

    def converse(self, wire: Wire) -> None:
        while True:
            _, path, _ = wire.line().decode().split(" ")
            headers: dict[str, str] = {}
            while (line := wire.line()) != b"\r\n":
                name, _, value = line.decode("latin-1").partition(":")
                headers[name.lower()] = value.strip()
            body = wire.exactly(int(headers.get("content-length", "0")))
            self.requests.append(HttpRequest(path, headers, body))
            wire.say(self.answer)


def http_answer(status: int, body: bytes = b"", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class SmtpStandIn(StandIn):
    """Speaks SMTP; `replies` says what is answered at a stage instead of yes.

    The stages: `greeting`, the verbs (`EHLO`, `AUTH`, `MAIL`, `RCPT`, `DATA`, `RSET`, `QUIT`) and `.`, the end
    of a mail.
    """

    YES = {  # noqa: RUF012 - never written
        "greeting": b"220 stand-in\r\n",
        "EHLO": b"250-stand-in\r\n250-AUTH PLAIN LOGIN\r\n250 8BITMIME\r\n",
        "AUTH": b"235 2.7.0 welcome\r\n",
        "DATA": b"354 go on\r\n",
        "QUIT": b"221 bye\r\n",
        ".": b"250 2.0.0 queued as 42\r\n",
    }

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(tls=tls)
        self.replies: dict[str, Answer] = {}
        self.mails: list[bytes] = []  # read to the final dot, whatever was answered then
        self.verbs: list[str] = []

    def converse(self, wire: Wire) -> None:
        self._reply(wire, "greeting")
        while True:
            verb = wire.line().split()[0].decode().upper()
            self.verbs.append(verb)
            if self._reply(wire, verb).startswith(b"354"):
                self.mails.append(self._mail(wire))
                self._reply(wire, ".")

    def _reply(self, wire: Wire, stage: str) -> bytes:
        answer = self.replies.get(stage, self.YES.get(stage, b"250 2.0.0 ok\r\n"))
        return wire.say(answer)

    def _mail(self, wire: Wire) -> bytes:
        lines = []
        while (line := wire.line()) != b".\r\n":
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        return b"".join(lines)
