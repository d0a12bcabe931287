"""Connections that are kept between sends, over real sockets."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import timedelta
from time import monotonic

import pytest

from channels import deadline
from channels.idle import FAREWELL, Idle, is_over
from tests.contract.stand_in import Silent
from tests.eventually import eventually

LONG = timedelta(hours=1)  # longer than any run of tests: what watches them must not wake in another
SHORT = timedelta(seconds=0.2)


class Connection:
    """One end of a pair; says `bye` when it parts."""

    def __init__(self) -> None:
        self.sock: socket.socket | None
        self.sock, self.other_end = socket.socketpair()

    def is_over(self) -> bool:
        return is_over(self.sock)

    def part(self) -> None:
        assert self.sock is not None
        self.sock.sendall(b"bye")
        self.close()

    def close(self) -> None:
        if self.sock is not None:
            self.sock.close()
        self.sock = None

    def heard(self) -> bytes:
        """All that the other end was told, to the end."""
        return b"".join(iter(lambda: self.other_end.recv(100), b""))


@pytest.fixture
def connections() -> Iterator[list[Connection]]:
    made = [Connection() for _ in range(3)]
    yield made
    for one in made:
        one.close()
        one.other_end.close()


def test_the_one_used_last_is_taken_first(connections: list[Connection]) -> None:
    idle = Idle(Connection.part, LONG)
    for one in connections:
        idle.give("a", one)

    assert [idle.take("a") for _ in range(4)] == [*connections[::-1], None]


def test_only_the_same_key_gets_it(connections: list[Connection]) -> None:
    idle = Idle(Connection.part, LONG)
    idle.give("a", connections[0])
    idle.give("b", connections[1])

    assert idle.take("c") is None
    assert idle.take("a") is connections[0]


def test_one_that_the_other_end_has_closed_is_passed_over(connections: list[Connection]) -> None:
    idle = Idle(Connection.part, LONG)
    idle.give("a", connections[0])
    idle.give("a", connections[1])
    connections[1].other_end.close()

    assert idle.take("a") is connections[0]
    assert connections[1].sock is None


def test_one_that_was_said_something_in_between_is_out_of_step(connections: list[Connection]) -> None:
    idle = Idle(Connection.part, LONG)
    idle.give("a", connections[0])
    connections[0].other_end.sendall(b"421 going down\r\n")

    assert idle.take("a") is None


def test_after_its_time_it_is_closed_with_a_farewell_though_nobody_asks(connections: list[Connection]) -> None:
    idle = Idle(Connection.part, SHORT)
    given = monotonic()
    idle.give("a", connections[0])

    assert connections[0].heard() == b"bye"
    assert monotonic() - given >= SHORT.total_seconds()
    assert idle.take("a") is None


def test_one_past_its_time_is_not_used(connections: list[Connection]) -> None:
    idle = Idle(Connection.part, timedelta(0))
    idle.give("a", connections[0])

    assert idle.take("a") is None
    eventually(lambda: connections[0].sock is None, what="closed")


def test_the_watch_begins_anew_after_a_silence(connections: list[Connection]) -> None:
    idle = Idle(Connection.part, SHORT)
    for one in connections:
        idle.give("a", one)
        assert one.heard() == b"bye"


def test_closing_parts_from_all(connections: list[Connection]) -> None:
    idle = Idle(Connection.part, LONG)
    for one in connections:
        idle.give("a", one)
    idle.close()

    assert [one.heard() for one in connections] == [b"bye"] * 3


def test_a_farewell_that_nobody_answers_holds_up_no_end() -> None:
    def wait_for_an_answer(connection: Connection) -> None:
        assert connection.sock is not None
        try:
            connection.sock.recv(1)
        finally:
            connection.close()

    idle = Idle(wait_for_an_answer, LONG)
    with Silent() as server:
        made = [Connection() for _ in range(3)]
        for one in made:
            one.close()
            one.other_end.close()
            with deadline.within(LONG):
                one.sock = deadline.connect("127.0.0.1", server.port)
            idle.give("a", one)
        began = monotonic()
        idle.close()
        took = monotonic() - began

    assert FAREWELL.total_seconds() <= took < 2 * FAREWELL.total_seconds()
    assert [one.sock for one in made] == [None] * 3


def test_a_closed_socket_is_over() -> None:
    connection = Connection()
    sock = connection.sock
    assert not is_over(sock)
    connection.close()
    connection.other_end.close()
    assert is_over(sock)
    assert is_over(None)
