"""The broker breaks, and with it every nudge: nothing is lost or doubled by it, or late by more than a poll."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from statistics import median
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import dramatiq
import psutil
import pytest

from channels.registry import channels
from notifications import nudge
from notifications.models import Attempt
from notifier import broker as brokers_of_ours
from tests import brokers
from tests.eventually import eventually
from tests.faults.proxy import Proxy
from tests.faults.site import WEB_GRACE, WORKER_GRACE, Site

# A bound for a machine that is busy, where RabbitMQ takes a quarter of a minute to start; each wait has its own.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

MORE = 40  # notifications posted in each phase of a test
RATE = 40  # a second
POLL = 1.0  # seconds: what a lost nudge costs at most
ANSWERED = 0.5  # seconds, of most requests
# One in hundreds may meet a machine that is busy with others. Still sooner than anything comes that is no poll: the
# relay's look at everything, or the end of somebody's patience with the broker.
LATEST = 8.0  # seconds


class Broker:
    """A real broker that the site reaches through a proxy."""

    def __init__(self, kind: str) -> None:
        self._start = {"redis": brokers.redis_server, "rabbitmq": brokers.rabbitmq_server}[kind]
        self._stack = ExitStack()
        self.proxy = self._stack.enter_context(Proxy(("127.0.0.1", 0)))
        self.start()

    def start(self) -> None:
        self.direct_url, self._server = self._stack.enter_context(self._start())
        port = urlsplit(self.direct_url).port or 0
        self.proxy.target = ("127.0.0.1", port)
        self.url = self.direct_url.replace(f":{port}", f":{self.proxy.port}")

    def kill(self) -> None:
        # RabbitMQ's server is a child of the script that starts it.
        for each in [*psutil.Process(self._server.pid).children(recursive=True), self._server]:
            each.kill()
        self._server.wait(10)

    def dramatiq(self) -> dramatiq.Broker:
        """A client of it that nothing stands between."""
        client = brokers_of_ours.build(self.direct_url, channels())
        self._stack.callback(client.close)
        return client

    def close(self) -> None:
        self.proxy.frozen = False
        self._stack.close()


@pytest.fixture(params=["redis", "rabbitmq"])
def broker(request: pytest.FixtureRequest, site: Site) -> Iterator[Broker]:
    broker = Broker(request.param)
    site.broker_url = broker.url
    yield broker
    broker.close()


def accept_more(site: Site, *, meanwhile: Callable[[], object] = lambda: None) -> None:
    """Until MORE have been accepted than now."""
    wanted = len(site.log.acknowledged()) + MORE

    def enough() -> bool:
        meanwhile()
        return len(site.log.acknowledged()) >= wanted

    eventually(enough, seconds=60, what=f"{wanted} accepted")


def check(site: Site) -> None:
    site.settle()
    site.check_no_doubt()
    attempts = Attempt.objects.select_related("notification")
    waits = [(attempt.started_at - attempt.notification.due_at).total_seconds() for attempt in attempts]
    assert median(waits) < POLL
    assert max(waits) < LATEST
    times = [call.seconds for call in site.log.calls]
    assert median(times) < ANSWERED, "accepting waits for no broker"
    assert max(times) < LATEST


def test_whatever_befalls_the_broker_in_turn_nothing_is_lost_or_doubled_or_late(site: Site, broker: Broker) -> None:
    """All of the below under one load."""
    site.start(workers=2)
    with site.load(rate=RATE):
        accept_more(site)
        kill_and_start_again(site, broker, users=3)
        client = broker.dramatiq()
        accept_more(site, meanwhile=lambda: empty(client))
        accept_more(site, meanwhile=lambda: nudge_many_times(client))
        delay(site, broker)
        broker.proxy.frozen = True
        accept_more(site)
    check(site)


@pytest.mark.slow
def test_a_killed_broker_is_missed_by_nobody_and_used_again(site: Site, broker: Broker) -> None:
    site.start()
    with site.load(rate=RATE):
        accept_more(site)
        kill_and_start_again(site, broker, users=2)
    check(site)


def kill_and_start_again(site: Site, broker: Broker, *, users: int) -> None:
    broker.kill()
    accept_more(site)
    before = broker.proxy.taken
    broker.start()
    accept_more(site)
    eventually(lambda: broker.proxy.taken >= before + users, what="web and workers to connect again")


@pytest.mark.slow
def test_while_the_broker_is_half_open_all_is_accepted_and_sent_and_sigterm_ends_in_time(
    site: Site, broker: Broker
) -> None:
    [(web, _)], [(worker, _)] = site.start()
    with site.load(rate=RATE):
        accept_more(site)
        broker.proxy.frozen = True
        accept_more(site)
    check(site)

    began = monotonic()
    worker.terminate()
    web.terminate()
    assert web.wait(WEB_GRACE) == 0, web.log
    assert worker.wait(WORKER_GRACE) == 0, worker.log
    print(f"with a half-open broker both ended after {monotonic() - began:.1f} s")


@pytest.mark.slow
def test_a_broker_that_is_emptied_all_the_time_delays_by_a_poll_at_most(site: Site, broker: Broker) -> None:
    site.start()
    client = broker.dramatiq()
    with site.load(rate=RATE):
        accept_more(site, meanwhile=lambda: empty(client))
    check(site)


@pytest.mark.slow
def test_nudges_that_come_many_times_over_double_nothing(site: Site, broker: Broker) -> None:
    site.start(workers=2)
    client = broker.dramatiq()
    with site.load(rate=RATE):
        accept_more(site, meanwhile=lambda: nudge_many_times(client))
    check(site)


@pytest.mark.slow
def test_nudges_that_come_late_delay_by_a_poll_at_most(site: Site, broker: Broker) -> None:
    site.start()
    with site.load(rate=RATE):
        delay(site, broker)
    check(site)


def delay(site: Site, broker: Broker) -> None:
    broker.proxy.delay = 0.5  # for each piece of a conversation: whole nudges take seconds
    accept_more(site)
    broker.proxy.delay = 0.0  # all that was under way comes at once
    accept_more(site)


def nudge_many_times(client: Any) -> None:
    for _ in range(20):
        client.enqueue(nudge.message("slack:default"))


def empty(client: Any) -> None:
    for queue in channels():
        client.flush(queue)
