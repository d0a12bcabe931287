"""Twilio's word on delivery, from the sandbox by the real address, signed, to the row."""

from __future__ import annotations

from uuid import UUID

import pytest
from pytest_django.fixtures import Settings
from pytest_django.live_server_helper import LiveServer

from channels.sandbox.callbacks import Callback
from channels.sandbox.faults import Fault, Kind
from channels.sandbox.server import Sandbox
from notifications.models import Attempt, Notification, Receipt
from tests import processes
from tests.eventually import eventually

from .conftest import Post

pytestmark = pytest.mark.django_db(transaction=True)

SMS = {"channel": "sms", "to": "+14155552671"}


@pytest.fixture
def reported(providers: dict[str, str], live_server: LiveServer, settings: Settings) -> dict[str, str]:
    """The workers' environment, whose messages bear an address of this process's web server."""
    settings.PUBLIC_URL = live_server.url
    return providers | {"PUBLIC_URL": live_server.url}


def row(id_: UUID) -> Notification:
    return Notification.objects.get(pk=id_)


def told(sandbox: Sandbox, posted: int) -> None:
    eventually(lambda: sandbox.callbacks.shown()["posted"] == posted, what="all callbacks taken")
    assert sandbox.callbacks.shown()["refused"] == 0


@pytest.mark.parametrize("order", [{}, {"reversed": True}, {"doubled": True}, {"reversed": True, "doubled": True}])
def test_what_is_delivered_is_told_in_any_order_and_twice(
    post: Post, sandbox: Sandbox, reported: dict[str, str], order: dict[str, bool]
) -> None:
    sandbox.callbacks.set(Callback(**order))
    id_ = post("hello", **SMS)
    with processes.worker(**reported):
        eventually(lambda: row(id_).status == "delivered", what="delivered")
        told(sandbox, 6 if order.get("doubled") else 3)

    assert row(id_).status == "delivered"
    assert row(id_).provider_id == sandbox.mailbox.messages()[0].provider_id


def test_what_is_not_delivered_has_failed_with_twilios_code(
    post: Post, sandbox: Sandbox, reported: dict[str, str]
) -> None:
    sandbox.callbacks.set(Callback(status="undelivered"))
    id_ = post("hello", **SMS)
    with processes.worker(**reported):
        eventually(lambda: row(id_).status == "failed", what="undelivered")

    assert row(id_).error_code == "30003"


@pytest.mark.parametrize(
    ("status", "settled"), [("sent", "sent"), ("delivered", "delivered"), ("undelivered", "failed")]
)
def test_an_unknown_is_settled_by_what_twilio_says_of_it(
    post: Post, sandbox: Sandbox, reported: dict[str, str], status: str, settled: str
) -> None:
    sandbox.callbacks.set(Callback(status=status, delay_ms=1500))
    sandbox.faults.set("sms", Fault(kind=Kind.DROP_AFTER))
    id_ = post("hello", **SMS)
    with processes.worker(**reported):
        eventually(lambda: row(id_).status == "unknown", what="unknown")
        eventually(lambda: row(id_).status == settled, what="settled by a callback")

    assert row(id_).provider_id == sandbox.mailbox.messages()[0].provider_id
    assert Attempt.objects.get().late_outcome == "accepted"


def test_a_callback_that_comes_before_our_own_record_counts(
    post: Post, sandbox: Sandbox, reported: dict[str, str]
) -> None:
    sandbox.callbacks.set(Callback())
    sandbox.faults.set("sms", Fault(kind=Kind.LATENCY, latency_ms=2500))
    id_ = post("hello", **SMS)
    with processes.worker(**reported):
        eventually(lambda: Receipt.objects.count() == 3, what="the callbacks")
        assert sandbox.faults.shown()["sms"][0]["befell"] == 1
        eventually(lambda: row(id_).status == "delivered", what="delivered")
        told(sandbox, 3)

    assert (row(id_).status, Attempt.objects.get().outcome) == ("delivered", "accepted")
