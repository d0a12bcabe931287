"""One deadline for everything a send does on the network: looking up, connecting, TLS, writing, reading.

The timeouts of sockets, requests and smtplib start anew at every read, so a provider that sends a byte now
and then holds a thread for as long as it likes. Here every operation of a socket gets only what is left of
the send's own time, whichever library calls it:

    with deadline.within(SEND_TIMEOUT) as running:
        ...  # any library that uses deadline.connect() and deadline.tls_context()
    running.written  # whether a byte of this send was handed to the network
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

import certifi

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

T = TypeVar("T")


class Deadline:
    """The time that one send has, and whether it has written anything."""

    def __init__(self, limit: timedelta) -> None:
        self._ends = monotonic() + limit.total_seconds()
        self.written = False

    def left(self) -> float:
        """Seconds, more than zero. Raises: TimeoutError once the time is up."""
        left = self._ends - monotonic()
        if left <= 0:
            raise TimeoutError("the deadline of this send has passed")
        return left


_running: ContextVar[Deadline] = ContextVar("deadline")


@contextmanager
def within(limit: timedelta) -> Iterator[Deadline]:
    """Bound all that this thread does on sockets of `connect` inside the block."""
    running = Deadline(limit)
    token = _running.set(running)
    try:
        yield running
    finally:
        _running.reset(token)


class _Bounded(socket.socket):
    """A socket whose every operation gets what is left of the running deadline."""

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        self.settimeout(_running.get().left())
        return super().recv(buflen, flags)

    def recv_into(self, buffer: WriteableBuffer, nbytes: int | None = None, flags: int = 0) -> int:
        self.settimeout(_running.get().left())
        return super().recv_into(buffer, nbytes or 0, flags)

    def send(self, data: ReadableBuffer, flags: int = 0, /) -> int:
        running = _running.get()
        self.settimeout(running.left())
        sent = super().send(data, flags)
        # Not before: a first write that the kernel refuses (the provider had closed an idle connection)
        # has sent nothing, and is no unknown outcome.
        running.written = True
        return sent

    def sendall(self, data: ReadableBuffer, flags: int = 0, /) -> None:
        with memoryview(data).cast("B") as octets:
            sent = 0
            while sent < len(octets):
                sent += self.send(octets[sent:], flags)


class _BoundedTls(_Bounded, ssl.SSLSocket):
    """The same above TLS; OpenSSL's own loops keep to the timeout set before each call."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - the library's signature
        self.settimeout(_running.get().left())
        super().do_handshake(block)


class Forbidden(OSError):
    """Raised when a host has addresses, and none that may be connected to."""


def connect(host: str, port: int, permits: Callable[[str], bool] | None = None) -> socket.socket:
    """A connected socket, bound to whatever deadline is running when it is used.

    `permits`: asked of each address that the host was found to have; what it allows is what is connected to, without
    another look-up. None for all.

    Raises: Forbidden, OSError (TimeoutError and socket.gaierror among them).
    """
    addresses = _addresses(host, port)
    if permits is not None and addresses:
        addresses = [address for address in addresses if permits(address[4][0])]
        if not addresses:
            raise Forbidden(f"{host} has no address that may be connected to")
    failure = OSError(f"{host} has no address")
    for nth, (family, kind, protocol, _, address) in enumerate(addresses):
        sock = _Bounded(family, kind, protocol)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # A share for each address: one that swallows packets must not use up the time of the next.
            sock.settimeout(_running.get().left() / (len(addresses) - nth))
            sock.connect(address)
        except OSError as error:
            sock.close()
            failure = error
        else:
            return sock
    raise failure


def tls_context(ca_file: str = "") -> ssl.SSLContext:
    """A verifying context whose sockets keep the deadline.

    Trusts `ca_file` alone where it is given, else the machine's authorities (SSL_CERT_FILE is honoured) and
    the public ones of certifi, because slim images have none of their own.

    Raises: OSError where the file cannot be read or holds no certificate.
    """
    context = ssl.create_default_context(cafile=ca_file or None)
    if not ca_file:
        context.load_verify_locations(certifi.where())
    context.sslsocket_class = _BoundedTls
    return context


def in_time(call: Callable[[], T], name: str = "look-up") -> T:
    """Run a call that nothing can interrupt, such as the system's resolver.

    It runs in a thread of its own, of that name, which is left behind once the deadline passes: its result is dropped,
    and it ends when the resolver's own timeouts say so.
    """
    answer: Future[T] = Future()

    def run() -> None:
        try:
            answer.set_result(call())
        except Exception as error:  # noqa: BLE001 - raised again where it is waited for
            answer.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return answer.result(timeout=_running.get().left())


def _addresses(host: str, port: int) -> list[tuple[Any, ...]]:
    kind = socket.SOCK_STREAM
    with suppress(socket.gaierror):  # an address needs no look-up, and no thread
        return list(socket.getaddrinfo(host, port, type=kind, flags=socket.AI_NUMERICHOST))
    return in_time(lambda: list(socket.getaddrinfo(host, port, type=kind)))
