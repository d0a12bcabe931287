"""From an edge to a receiver that verifies: real workers, a real receiver on loopback."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from time import monotonic
from typing import Any

import pytest
from standardwebhooks import Webhook as Verifier

from channels.sandbox.faults import Fault, Kind
from channels.sandbox.server import Sandbox
from notifications import services
from notifications.models import Attempt, Client, LaneState, Notification, Worker
from notifications.outbox import record
from notifications.outbox.tell import CHANNEL
from tests import processes
from tests.contract.stand_in import Drip, HttpStandIn, Instead, http_answer
from tests.eventually import eventually
from tests.factories import ClientFactory, WebhookEndpointFactory
from tests.ports import free_port

from .conftest import Post

pytestmark = pytest.mark.django_db(transaction=True)

REFUSED_BY_TWILIO = {"channel": "sms", "to": "+15005550001"}
LOOPBACK = {"WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8"}


@pytest.fixture(autouse=True)
def a_process_that_has_seen_no_webhook() -> Iterator[None]:
    yield
    record._telling.clear()


@pytest.fixture
def receiver() -> Iterator[HttpStandIn]:
    with HttpStandIn() as stand_in:
        stand_in.answer = http_answer(204)
        yield stand_in


@pytest.fixture
def webhook(receiver: HttpStandIn, client_row: Client) -> Any:
    return WebhookEndpointFactory(client=client_row, url=f"http://127.0.0.1:{receiver.port}/hook?t0ken=h1dden")


def verified(receiver: HttpStandIn, secret: str) -> list[Any]:
    """What it was told, each request verified by the scheme's own library."""
    verifier = Verifier(secret)
    return [verifier.verify(request.body, request.headers) for request in list(receiver.requests)]


def all_told() -> bool:
    told = Notification.objects.filter(channel=CHANNEL)
    return not told.exclude(status="sent").exists() and not Notification.objects.filter(status="pending").exists()


def test_a_receiver_is_told_what_was_sent_and_what_failed(
    post: Post, providers: dict[str, str], receiver: HttpStandIn, webhook: Any
) -> None:
    sent, failed = post("hello"), post("nobody there", **REFUSED_BY_TWILIO)

    with processes.worker(**providers, **LOOPBACK) as worker:
        eventually(lambda: len(receiver.requests) == 2 and all_told(), what="both told")
        log = worker.log

    told = {payload["data"]["id"]: payload for payload in verified(receiver, webhook.secret)}
    assert (told[str(sent)]["type"], told[str(failed)]["type"]) == ("notification.sent", "notification.failed")
    assert told[str(failed)]["data"]["error_code"] == "21211"
    ids = {request.headers["webhook-id"] for request in receiver.requests}
    assert ids == {str(row.id) for row in Notification.objects.filter(channel=CHANNEL)}
    assert not any(secret in log for secret in (webhook.secret, webhook.secret[6:], "h1dden"))


def test_what_is_told_carries_the_correlation_id(
    client_row: Client, providers: dict[str, str], receiver: HttpStandIn, webhook: Any
) -> None:
    request = services.NotificationRequest(channel="slack", message="hello")
    services.accept(client_row, request, key=None, correlation_id="c0ffee-7")

    with processes.worker(**providers, **LOOPBACK):
        eventually(lambda: receiver.requests, what="told")

    assert receiver.requests[0].headers["x-correlation-id"] == "c0ffee-7"
    assert verified(receiver, webhook.secret)[0]["data"]["correlation_id"] == "c0ffee-7"


def test_both_secrets_verify_after_a_rotation(
    post: Post, providers: dict[str, str], receiver: HttpStandIn, webhook: Any
) -> None:
    rotated = services.rotate_webhook(webhook)
    post("hello")

    with processes.worker(**providers, **LOOPBACK):
        eventually(lambda: receiver.requests, what="told")

    assert rotated.secret != webhook.secret
    assert verified(receiver, webhook.secret) == verified(receiver, rotated.secret) != []


def test_a_failing_receiver_is_told_again_with_the_same_id(
    post: Post, providers: dict[str, str], receiver: HttpStandIn, webhook: Any
) -> None:
    receiver.answer = http_answer(500)
    post("hello")

    with processes.worker(**providers, **LOOPBACK):
        eventually(lambda: receiver.requests, what="asked once")
        receiver.answer = http_answer(204)
        eventually(lambda: len(receiver.requests) > 1 and all_told(), seconds=40, what="told again")

    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1
    verified(receiver, webhook.secret)


def test_without_an_allowed_network_this_machine_is_not_reached(
    post: Post, providers: dict[str, str], receiver: HttpStandIn, webhook: Any
) -> None:
    post("hello")

    with processes.worker(**providers):
        lane = eventually(lambda: LaneState.objects.filter(lane=f"{CHANNEL}:{webhook.id}").first(), what="a pause")

    assert lane.reason.startswith("forbidden_address")
    assert receiver.connections == 0


def test_gone_switches_the_webhook_off_and_what_comes_after_is_not_told(
    post: Post, providers: dict[str, str], receiver: HttpStandIn, webhook: Any
) -> None:
    receiver.answer = http_answer(410)
    post("first")

    with processes.worker(**providers, **LOOPBACK):
        eventually(lambda: Notification.objects.filter(channel=CHANNEL, status="failed").exists(), what="refused")
        webhook.refresh_from_db()
        second = post("second")
        eventually(lambda: Notification.objects.filter(pk=second, status="sent").exists(), what="sent")

    assert (webhook.is_active, webhook.disabled_reason) == (False, "it answered 410 Gone")
    assert Notification.objects.filter(channel=CHANNEL).count() == 1


def test_a_dead_receiver_rests_and_holds_up_nobody_elses(
    post: Post, providers: dict[str, str], receiver: HttpStandIn, client_row: Client
) -> None:
    dead = WebhookEndpointFactory(client=client_row, url=f"http://127.0.0.1:{free_port()}/")
    stranger = ClientFactory()
    alive = WebhookEndpointFactory(client=stranger, url=f"http://127.0.0.1:{receiver.port}/")
    for n in range(20):
        post(f"message {n}")
        request = services.NotificationRequest(channel="slack", message=f"theirs {n}")
        services.accept(stranger, request, key=None)

    with processes.worker(**providers, **LOOPBACK):
        eventually(lambda: len(receiver.requests) == 20, what="the other is told")
        eventually(lambda: LaneState.objects.filter(lane=f"{CHANNEL}:{dead.id}").exists(), what="the dead one rests")

    assert len(verified(receiver, alive.secret)) == 20
    waiting = Notification.objects.filter(lane=f"{CHANNEL}:{dead.id}")
    assert set(waiting.values_list("status", flat=True)) == {"pending"}
    assert waiting.filter(tries=0).exists(), "one that fails speaks for the others"


def test_a_worker_killed_in_the_middle_loses_nothing_that_was_to_be_told(
    post: Post, sandbox: Sandbox, providers: dict[str, str], receiver: HttpStandIn, webhook: Any
) -> None:
    sandbox.faults.set("slack", Fault(kind=Kind.LATENCY, latency_ms=20))
    receiver.answer = Drip(http_answer(204), pause=0.002)  # takes about a tenth of a second
    ids = {str(post(f"message {n}")) for n in range(100)}
    with processes.worker(**providers, **LOOPBACK), processes.worker(**providers, **LOOPBACK):
        eventually(lambda: len(receiver.requests) >= 15, what="some are told")
        victim = Worker.objects.get(
            pk=eventually(
                lambda: (
                    Notification.objects.filter(channel=CHANNEL, status="sending")
                    .values_list("worker_id", flat=True)
                    .first()
                ),
                what="one is being told",
            )
        )
        os.kill(victim.pid, signal.SIGKILL)
        eventually(lambda: len(receiver.requests) >= 100 and all_told(), seconds=60, what="all told")

    payloads = verified(receiver, webhook.secret)
    assert {payload["data"]["id"] for payload in payloads} == ids
    by_id = {r.headers["webhook-id"]: p["data"]["id"] for r, p in zip(receiver.requests, payloads, strict=True)}
    assert sorted(by_id.values()) == sorted(ids), "by webhook-id each is told once"
    asked = Counter(request.headers["webhook-id"] for request in receiver.requests)
    marked = Attempt.objects.filter(possible_duplicate=True).values_list("notification_id", flat=True)
    assert {id_ for id_, times in asked.items() if times > 1} <= {str(id_) for id_ in marked}


def test_an_unanswered_one_is_told_again_and_marked(
    post: Post, providers: dict[str, str], receiver: HttpStandIn, webhook: Any
) -> None:
    receiver.answer = Instead.HANG_UP
    post("hello")

    with processes.worker(**providers, **LOOPBACK):
        eventually(lambda: receiver.requests, what="asked once")
        receiver.answer = http_answer(204)
        eventually(lambda: len(receiver.requests) > 1 and all_told(), seconds=60, what="told after the lane's rest")

    attempts = Attempt.objects.filter(notification__channel=CHANNEL).exclude(outcome="released").order_by("number")
    assert [(each.outcome, each.possible_duplicate) for each in attempts] == [("in_doubt", False), ("accepted", True)]


def test_a_webhook_is_told_without_waiting_for_a_relays_look(
    post: Post, providers: dict[str, str], receiver: HttpStandIn, webhook: Any
) -> None:
    with processes.worker(**providers, **LOOPBACK):
        post("to warm up")
        eventually(lambda: receiver.requests, what="told")
        took = []
        for n in range(5):
            began, before = monotonic(), len(receiver.requests)
            post(f"message {n}")
            eventually(lambda before=before: len(receiver.requests) > before, what="told")
            took.append(monotonic() - began)

    print(f"from accept to receiver: {sorted(took)} s")
    assert min(took) < 0.5  # a relay looks once a second
