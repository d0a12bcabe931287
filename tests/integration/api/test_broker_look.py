"""A probe's look at the broker's server: true, soon, and in nobody's way."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from time import monotonic

import pytest
from dramatiq.broker import Broker

from notifications.api.broker_look import BELIEVED_FOR, Look
from notifier import broker
from tests import brokers
from tests.eventually import eventually


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def deaf() -> Iterator[str]:
    """The address of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


def built(url: str) -> Broker:
    return broker.build(url, ())


def later(clock: Clock, look: Look, server: Broker) -> bool | None:
    clock.now += BELIEVED_FOR
    return look(server)


def test_postgres_own_has_no_server_to_look_at() -> None:
    assert Look()(built("")) is None


def test_redis_is_there_and_then_it_is_not() -> None:
    clock = Clock()
    look = Look(clock)
    with brokers.redis_server() as (url, server), closing(built(url)) as redis:
        eventually(lambda: look(redis) is True, what="its word")
        server.kill()
        server.wait()

        assert look(redis) is True  # believed, and not asked again
        eventually(lambda: later(clock, look, redis) is False, what="its silence")


def test_rabbitmq_is_there_and_then_it_is_not() -> None:
    clock = Clock()
    look = Look(clock)
    with brokers.rabbitmq_server() as (url, server), closing(built(url)) as rabbitmq:
        eventually(lambda: look(rabbitmq) is True, what="its word")
        server.terminate()
        server.wait()

        eventually(lambda: later(clock, look, rabbitmq) is False, what="its silence")


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_server_that_says_nothing_is_not_waited_for(scheme: str, deaf: str) -> None:
    look = Look()
    with closing(built(f"{scheme}://{deaf}")) as silent:
        began = monotonic()
        assert [look(silent) for _ in range(3)] == [False] * 3
        assert monotonic() - began < 1.0  # a tenth of a second each, where the machine is not busy

        eventually(lambda: look._looking is None, seconds=20, what="the end of the look")
