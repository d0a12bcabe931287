"""What waits in a broker when nobody fetches it: next to nothing, however long and however much is posted."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from time import monotonic
from urllib.parse import urlsplit

import dramatiq
import pytest

from channels.sandbox.server import Sandbox
from notifications import nudge, services
from notifications.models import Client, Notification, Worker
from notifier import broker
from tests import processes
from tests.eventually import eventually

from .conftest import Post

pytestmark = pytest.mark.django_db(transaction=True)

MOST = 10  # for each lane and web process
THREADS = 8
QUEUES = ("slack", "sms", "email")


@pytest.fixture(params=["redis", "rabbitmq"])
def broker_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def waiting(nudges: str) -> Callable[[], dict[str, int]]:
    """How many nudges each queue holds; empty at the beginning of each test."""
    known = dramatiq.get_broker()
    assert isinstance(known, broker._Redis | broker.Rabbitmq)
    for queue in QUEUES:
        known.declare_queue(queue)
        known.waiting(queue)  # so that there is something to flush
        known.flush(queue)
    return lambda: {queue: found for queue in QUEUES if (found := known.waiting(queue))}


def post_to(url: str, key: str, *, name: str, times: int) -> int:
    """Post so often on one connection; how many were accepted."""
    accepted = 0
    wire = HTTPConnection(urlsplit(url).netloc, timeout=30)
    for n in range(times):
        body = {"channel": ("slack", "sms")[n % 2], "to": ("default", "+14155552671")[n % 2], "message": "hello"}
        headers = {
            "Authorization": f"Bearer {key}",
            "Idempotency-Key": f"{name}-{n}",
            "Content-Type": "application/json",
        }
        wire.request("POST", "/api/v1/notifications", json.dumps(body), headers)
        answer = wire.getresponse()
        answer.read()
        accepted += answer.status == 202
    wire.close()
    return accepted


def test_thousands_of_posts_without_a_worker_leave_a_handful_of_nudges(
    waiting: Callable[[], dict[str, int]], nudges: str, client_row: Client, providers: dict[str, str]
) -> None:
    key = services.create_api_key(client_row).text
    with processes.web(processes=2, threads=4, BROKER_URL=nudges, **providers) as (_, url):
        with ThreadPoolExecutor(4) as clients:
            posts = [clients.submit(post_to, url, key, name=f"client-{n}", times=500) for n in range(4)]
            assert sum(each.result() for each in posts) == 2000
        assert set(waiting()) == {"slack", "sms"}
        assert max(waiting().values()) <= 2 * MOST, waiting()

        with processes.worker(BROKER_URL=nudges, **providers):
            eventually(lambda: Notification.objects.filter(status="sent").count() >= 20, what="a worker that comes")


def test_a_worker_that_is_killed_in_full_flow_leaves_no_more(
    waiting: Callable[[], dict[str, int]], nudges: str, providers: dict[str, str], transactional_db: None
) -> None:
    sender = nudge.Nudger()

    def nudge_for(seconds: float) -> int:
        """As fast as one process ever sends, one after the other."""
        sent, until = 0, monotonic() + seconds
        while monotonic() < until:
            sender._send("sms")
            sent += 1
        return sent

    with processes.worker(threads=THREADS, BROKER_URL=nudges, **providers):
        nudge_for(1.0)
        os.kill(Worker.objects.get().pid, signal.SIGKILL)
        assert nudge_for(3.0) > 100 * MOST

        # What the dead one had fetched RabbitMQ puts back: Dramatiq fetches two for each thread.
        assert waiting()["sms"] <= MOST + 2 * THREADS


def test_nudges_for_a_queue_that_no_living_worker_serves_do_not_pile_up(
    waiting: Callable[[], dict[str, int]], nudges: str, post: Post, providers: dict[str, str]
) -> None:
    with processes.worker("--queues", "sms", BROKER_URL=nudges, **providers):
        sender = nudge.Nudger()
        for _ in range(1000):
            sender._send("slack:default")
        post("by phone", channel="sms", to="+14155552671")
        eventually(lambda: Notification.objects.get().status == "sent", what="the served channel")

        assert set(waiting()) == {"slack"}
        assert waiting()["slack"] <= MOST


def test_a_queue_that_was_full_is_nudged_again_once_a_worker_has_emptied_it(
    waiting: Callable[[], dict[str, int]], nudges: str, post: Post, sandbox: Sandbox, providers: dict[str, str]
) -> None:
    sender = nudge.Nudger()
    for _ in range(100):
        sender._send("slack:default")
    assert 0 < waiting()["slack"] <= MOST
    with processes.worker(BROKER_URL=nudges, **providers):
        eventually(lambda: not waiting(), what="the queues emptied")

    def arrives() -> bool:
        sender._send("slack:default")
        return bool(waiting())

    eventually(arrives, seconds=5, what="a nudge in the queue again")
