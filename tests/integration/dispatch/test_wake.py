"""What the relay wakes tells it when a lane was drained, so that it looks for what falls due next."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from django.db import connection

from channels.sandbox.server import Sandbox
from notifications.actors import Actors
from notifications.delivery import Delivery
from notifications.lease import Lease
from tests.eventually import eventually

from .conftest import Post

pytestmark = pytest.mark.django_db(transaction=True)

LANE = "slack:default"


@pytest.fixture
def actors(providers: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Actors]:
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", 0)  # as a worker's threads have it
    lease = Lease()
    lease.start()
    eventually(lambda: lease.worker_id and lease.holds(lease.worker_id), what="a lease")
    found = Actors(Delivery(lease))
    found.share_out(threads=2, served=["slack"])
    yield found
    lease.stop()


def test_a_lane_that_was_drained_is_told(actors: Actors, post: Post, sandbox: Sandbox) -> None:
    post("hello")
    drained = threading.Event()

    actors.wake(LANE, drained.set)
    actors.join(30)

    assert drained.is_set()
    assert [message.body for message in sandbox.mailbox.messages()] == ["hello"]


def test_a_lane_in_which_nothing_was_done_is_not_or_looks_would_never_end(actors: Actors) -> None:
    drained = threading.Event()

    actors.wake(LANE, drained.set)
    actors.join(30)

    assert not drained.is_set()
