"""Containers of production are asked to stop, under load: they do so by themselves, within their grace period."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

import pytest

from tests.eventually import eventually
from tests.smoke.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

STOPPED = ("web", "worker", "postgres", "rabbitmq")
SENT_MEANWHILE = 3.0  # seconds that a send takes which is under way when its worker is asked to go
# Debian's own script in front of the broker passes no signal on; that of the broker's official image does.
DEAF = "/usr/sbin/rabbitmq-server"


@pytest.fixture(params=STOPPED)
def service(request: pytest.FixtureRequest, production: Stack) -> str:
    production.until_healthy()
    production.slow_provider(0.3)
    chosen: str = request.param
    return chosen


def test_it_stops_within_its_grace_and_by_itself_and_loses_and_doubles_nothing(
    production: Stack, service: str, told: Callable[[str], None]
) -> None:
    if service == "rabbitmq":
        skip_where_deaf(production)
    accepted = len(production.log.acknowledged())
    with production.load(f"{service} stops"):
        eventually(lambda: len(production.log.acknowledged()) >= accepted + 60, seconds=60, what="load")
        told(f"stopped under load: {production.stop(service)}")
        production.compose("start", service)
        production.until_healthy(service)
    assert not production.check().doubled


def test_a_worker_waits_for_the_sends_that_are_under_way(production: Stack, told: Callable[[str], None]) -> None:
    production.until_healthy()
    production.slow_provider(SENT_MEANWHILE)
    before = production.taken()
    production.send("slack", "under way when its worker is asked to go")
    # The sandbox has taken it, and has yet to say so.
    eventually(lambda: production.taken() > before, what="a send under way")
    told(f"stopped over a send of {SENT_MEANWHILE:.0f} s: {production.stop('worker')}")
    assert production.open() == 0
    production.slow_provider(0.0)
    production.compose("start", "worker")
    assert not production.check().doubled


def test_the_whole_stack_stops_under_load_and_goes_on_where_it_was(
    production: Stack, told: Callable[[str], None]
) -> None:
    production.until_healthy()
    production.slow_provider(0.3)
    everything = ("worker", "web", "postgres", "rabbitmq")
    accepted = len(production.log.acknowledged())
    with production.load("everything stops"):
        eventually(lambda: len(production.log.acknowledged()) >= accepted + 60, seconds=60, what="load")
        began = monotonic()
        production.compose("stop", *everything)
        took = monotonic() - began
        for service in everything[:-1]:
            production.ended_well(service)
        production.compose("start", *everything)
        production.until_healthy()
    found = production.check()
    assert not found.doubled
    told(f"the whole stack stopped under load in {took:.1f} s, and lost and doubled nothing of {found.acknowledged}")


def skip_where_deaf(stack: Stack) -> None:
    [container] = stack.containers("rabbitmq")
    first = stack.engine.docker("exec", container, "cat", "/proc/1/cmdline")
    if DEAF in first.split("\0"):
        pytest.skip(f"the first process of this image is {DEAF}, which passes no signal on to the broker")
