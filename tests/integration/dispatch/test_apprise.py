"""The channel of further destinations, from accepting to the wire."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from django.db import connection
from pytest_django import Settings

from notifications.actors import Actors
from notifications.delivery import Delivery
from notifications.lease import Lease
from notifications.models import Attempt, Notification
from tests.contract.stand_in import HttpStandIn, http_answer
from tests.eventually import eventually

from .conftest import Post

pytestmark = pytest.mark.django_db(transaction=True)

LANE = "apprise:phone"


@pytest.fixture
def phone(providers: dict[str, str], settings: Settings) -> Iterator[HttpStandIn]:
    with HttpStandIn() as stand_in:
        known = settings.NOTIFIER_CHANNELS
        urls = {"phone": f"json://127.0.0.1:{stand_in.port}", "team": "json://127.0.0.1:9"}
        settings.NOTIFIER_CHANNELS = {**known, "apprise": {**known["apprise"], "urls": urls}}
        yield stand_in


@pytest.fixture
def actors(monkeypatch: pytest.MonkeyPatch) -> Iterator[Actors]:
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", 0)  # as a worker's threads have it
    lease = Lease()
    lease.start()
    eventually(lambda: lease.worker_id and lease.holds(lease.worker_id), what="a lease")
    found = Actors(Delivery(lease))
    found.share_out(threads=2, served=["apprise"])
    yield found
    lease.stop()


def drain(actors: Actors) -> None:
    actors.wake(LANE, lambda: None)
    actors.join(30)


def test_a_message_goes_to_the_named_destination(phone: HttpStandIn, post: Post, actors: Actors) -> None:
    id_ = post("hello", channel="apprise", to="phone", subject="Disk full")

    drain(actors)

    stored = Notification.objects.get(pk=id_)
    assert (stored.lane, stored.status) == (LANE, "sent")
    (request,) = phone.requests
    assert (json.loads(request.body)["title"], json.loads(request.body)["message"]) == ("Disk full", "hello")


def test_what_may_have_been_sent_is_sent_again_and_marked(phone: HttpStandIn, post: Post, actors: Actors) -> None:
    id_ = post("hello", channel="apprise", to="phone")
    phone.answer = http_answer(503)
    drain(actors)
    phone.answer = http_answer(200)
    Notification.objects.filter(pk=id_).update(due_at=Notification.objects.get(pk=id_).created_at)

    drain(actors)

    assert Notification.objects.get(pk=id_).status == "sent"
    told = Attempt.objects.filter(notification=id_).order_by("number").values_list("outcome", "possible_duplicate")
    first, *others, last = told  # there may be others: it is due again after a random while, which may be none
    assert (first, last) == (("in_doubt", False), ("accepted", True))
    assert set(others) <= {("in_doubt", True)}
