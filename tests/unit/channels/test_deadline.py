"""The one deadline of a send, against servers that do their worst."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from time import monotonic

import pytest
import trustme
from urllib3.util import wait_for_read

from channels import deadline
from tests.contract.stand_in import Drip, Silent, StandIn, Wire

SHORT = timedelta(seconds=0.4)
LONG = timedelta(seconds=30)
AMPLE = 5  # seconds: what "at once" may take on a busy machine


def read_on(sock: socket.socket) -> None:
    while sock.recv(1):
        pass


class Dripping(StandIn):
    """Sends a byte at a time, for minutes, whatever it is asked."""

    def converse(self, wire: Wire) -> None:
        wire.say(Drip(b"\x16\x03\x03\x3f\xff" + b"x" * 3000, pause=0.05))


@pytest.fixture
def peer() -> Iterator[tuple[socket.socket, int]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener, listener.getsockname()[1]


def test_every_read_gets_only_what_is_left() -> None:
    with Dripping() as server, deadline.within(SHORT):
        began = monotonic()
        with deadline.connect("127.0.0.1", server.port) as sock, pytest.raises(TimeoutError):
            read_on(sock)
        assert SHORT.total_seconds() <= monotonic() - began < AMPLE


def test_a_file_over_the_socket_keeps_the_deadline_too() -> None:
    with (
        Dripping() as server,
        deadline.within(SHORT),
        deadline.connect("127.0.0.1", server.port) as sock,
        sock.makefile("rb") as file,
        pytest.raises(TimeoutError),
    ):
        file.readline()


def test_a_dripped_tls_handshake_keeps_the_deadline() -> None:
    with Dripping() as server, deadline.within(SHORT) as running:
        began = monotonic()
        with (
            deadline.connect("127.0.0.1", server.port) as sock,
            pytest.raises((TimeoutError, ssl.SSLError)) as failure,
        ):
            deadline.tls_context().wrap_socket(sock, server_hostname="localhost")
        assert isinstance(failure.value, TimeoutError)
        assert monotonic() - began < AMPLE
        assert not running.written


def test_a_reader_that_stops_reading_does_not_hold_the_writer() -> None:
    with Silent() as server, deadline.within(SHORT) as running:
        with deadline.connect("127.0.0.1", server.port) as sock, pytest.raises(TimeoutError):
            sock.sendall(b"x" * 50_000_000)
        assert running.written


def test_a_first_write_that_the_peer_had_refused_is_no_write(peer: tuple[socket.socket, int]) -> None:
    listener, port = peer
    with deadline.within(LONG) as running, deadline.connect("127.0.0.1", port) as sock:
        other, _ = listener.accept()
        other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        other.close()  # with a reset, because of the linger
        assert wait_for_read(sock, timeout=AMPLE)
        with pytest.raises(ConnectionError):
            sock.sendall(b"hello")
        assert not running.written


def test_a_deadline_begins_anew_for_each_send_over_one_socket() -> None:
    with Dripping() as server:
        with deadline.within(SHORT):
            sock = deadline.connect("127.0.0.1", server.port)
            with pytest.raises(TimeoutError):
                read_on(sock)
        with sock, deadline.within(LONG) as running:
            assert sock.recv(1)
            assert not running.written


def test_each_thread_has_a_deadline_of_its_own() -> None:
    seen: list[float] = []

    def other() -> None:
        with deadline.within(LONG) as running:
            seen.append(running.left())

    with deadline.within(SHORT) as running:
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert seen[0] > SHORT.total_seconds() >= running.left()


def test_nothing_is_left_once_the_time_is_up() -> None:
    with deadline.within(timedelta(0)) as running, pytest.raises(TimeoutError):
        running.left()


def test_a_call_that_cannot_be_interrupted_is_left_behind() -> None:
    release = threading.Event()
    with deadline.within(SHORT), pytest.raises(TimeoutError):
        deadline.in_time(release.wait)
    release.set()


def test_a_call_in_time_gives_its_result_or_its_error() -> None:
    with deadline.within(LONG):
        assert deadline.in_time(lambda: 42) == 42
        with pytest.raises(socket.gaierror):
            deadline.in_time(lambda: socket.getaddrinfo("no.such.host.invalid", 1))


def test_a_name_is_looked_up_and_connected_to() -> None:
    with Silent() as server, deadline.within(LONG), deadline.connect("localhost", server.port) as sock:
        assert sock.getpeername()[1] == server.port


def test_a_private_authority_is_the_only_one(tmp_path: Path) -> None:
    pem = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(pem))
    assert len(deadline.tls_context(str(pem)).get_ca_certs()) == 1
    assert len(deadline.tls_context().get_ca_certs()) > 50


@pytest.mark.parametrize("content", [None, "not a certificate"])
def test_an_authority_that_cannot_be_read_is_an_error(
    content: str | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    pem = tmp_path_factory.mktemp("ca") / "ca.pem"
    if content is not None:
        pem.write_text(content)
    with pytest.raises(OSError):
        deadline.tls_context(str(pem))
