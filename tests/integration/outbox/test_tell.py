"""Every edge to sent, delivered, failed or unknown tells the client's webhooks, in the statement that is the edge."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction

from channels.contract import Progress
from notifications import retry
from notifications.models import Client, Notification, WebhookEndpoint
from notifications.outbox import operate, receipts, record, recover
from notifications.outbox.tell import CHANNEL
from notifications.states import Event, Outcome, Status
from tests.factories import ClientFactory, NotificationFactory, WebhookEndpointFactory

from . import rows

pytestmark = pytest.mark.django_db(transaction=True)
Told = Callable[[], list[str]]


@pytest.fixture(autouse=True)
def a_process_that_has_seen_no_webhook() -> Iterator[None]:
    record._telling.clear()
    yield
    record._telling.clear()


@pytest.fixture
def client() -> Client:
    return ClientFactory()


@pytest.fixture
def webhook(client: Client) -> WebhookEndpoint:
    return WebhookEndpointFactory(client=client)


def told(webhook: WebhookEndpoint) -> list[dict[str, Any]]:
    found = Notification.objects.filter(lane=f"{CHANNEL}:{webhook.id}").order_by("id")
    return [json.loads(each.body) for each in found]


def statuses(webhook: WebhookEndpoint) -> list[str]:
    return [each["data"]["status"] for each in told(webhook)]


def sending(client: Client, **fields: Any) -> tuple[UUID, UUID, rows.Claim]:
    """One that a worker holds: its id, the worker's, the claim."""
    id_ = rows.accepted(client_id=client.pk, **fields)
    worker_id = rows.worker()
    [claim] = rows.claimed(worker_id, lane=fields.get("lane", "slack:ops"))
    return id_, worker_id, claim


# --- which edges -----------------------------------------------------------------------------------------------


def test_a_record_of_success_tells_sent(client: Client, webhook: WebhookEndpoint) -> None:
    _, _, claim = sending(client)
    rows.recorded(rows.result(claim, Outcome.ACCEPTED))

    assert statuses(webhook) == ["sent"]


def test_a_record_of_a_refusal_tells_failed_and_why(client: Client, webhook: WebhookEndpoint) -> None:
    _, _, claim = sending(client)
    rows.recorded(rows.result(claim, Outcome.PERMANENT, code="channel_is_archived"))

    [payload] = told(webhook)
    assert (payload["data"]["status"], payload["data"]["error_code"]) == ("failed", "channel_is_archived")


def test_a_record_of_a_doubt_that_is_held_tells_unknown(client: Client, webhook: WebhookEndpoint) -> None:
    _, _, claim = sending(client)
    rows.recorded(rows.result(claim, Outcome.IN_DOUBT, hold=True))

    [payload] = told(webhook)
    assert (payload["data"]["status"], payload["data"]["possible_duplicate"]) == ("unknown", True)


@pytest.mark.parametrize("outcome", [Outcome.TRANSIENT, Outcome.RATE_LIMITED, Outcome.RELEASED, Outcome.IN_DOUBT])
def test_what_is_tried_again_tells_nothing(client: Client, webhook: WebhookEndpoint, outcome: Outcome) -> None:
    _, _, claim = sending(client)
    rows.recorded(rows.result(claim, outcome))

    assert told(webhook) == []


def test_a_late_success_tells_sent_after_unknown(client: Client, webhook: WebhookEndpoint) -> None:
    _, worker_id, claim = sending(client, lane="sms")
    recover.retire(worker_id, rows.RESEND)
    rows.recorded(rows.result(claim, Outcome.ACCEPTED))

    assert statuses(webhook) == ["unknown", "sent"]


def test_a_late_result_that_changes_nothing_tells_nothing(client: Client, webhook: WebhookEndpoint) -> None:
    _, _, claim = sending(client)
    rows.recorded(rows.result(claim, Outcome.ACCEPTED))
    rows.recorded(rows.result(claim, Outcome.ACCEPTED))
    rows.recorded(rows.result(claim, Outcome.PERMANENT))

    assert statuses(webhook) == ["sent"]


def test_a_dead_workers_claim_that_is_sent_again_tells_nothing(client: Client, webhook: WebhookEndpoint) -> None:
    _, worker_id, _ = sending(client)
    recover.retire(worker_id, rows.RESEND)

    assert told(webhook) == []


@pytest.mark.parametrize(("progress", "status"), [(Progress.DELIVERED, "delivered"), (Progress.UNDELIVERED, "failed")])
def test_a_receipt_tells_what_it_settles(
    client: Client, webhook: WebhookEndpoint, progress: Progress, status: str
) -> None:
    sent = NotificationFactory(client=client, status="sent")
    for _ in range(2):
        receipts.receive(sent.id, attempt=1, provider_id="SM1", progress=progress, code="30003")

    [payload] = told(webhook)
    assert (payload["data"]["status"], payload["data"]["provider_id"]) == (status, "SM1")


def test_what_expires_tells_failed(client: Client, webhook: WebhookEndpoint) -> None:
    NotificationFactory(client=client, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    operate.expire()

    [payload] = told(webhook)
    assert (payload["data"]["status"], payload["data"]["error_code"]) == ("failed", "expired")


def test_what_expires_in_a_workers_hands_tells_failed(client: Client, webhook: WebhookEndpoint) -> None:
    _, _, claim = sending(client)
    decision = retry.Decision(Event.EXPIRE, Status.FAILED)
    rows.recorded(rows.result(claim, Outcome.RELEASED, decision=decision, code="expired"))

    assert statuses(webhook) == ["failed"]


def test_a_cancel_and_a_replay_tell_nothing(client: Client, webhook: WebhookEndpoint) -> None:
    failed = NotificationFactory(client=client, status="failed")
    operate.replay([failed.id], actor="ada")
    operate.cancel([failed.id], actor="ada")

    assert told(webhook) == []


# --- what is told ----------------------------------------------------------------------------------------------


def test_the_payload_is_the_notification_as_it_is_now(client: Client, webhook: WebhookEndpoint) -> None:
    metadata = {"order": 42, "name": 'Zoë "x" \\'}
    id_, _, claim = sending(client, key="order-placed:42", metadata=metadata, body="hidden")
    rows.recorded(rows.result(claim, Outcome.ACCEPTED, provider_id="P-1"))

    [payload] = told(webhook)
    row = rows.row(id_)
    moment = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
    assert moment.fullmatch(payload["timestamp"])
    assert payload | {"timestamp": ""} == {
        "type": "notification.sent",
        "timestamp": "",
        "data": {
            "id": str(id_),
            "channel": "slack",
            "to": "ops",
            "test": False,
            "status": "sent",
            "error_code": "",
            "provider_id": "P-1",
            "attempt": 1,
            "possible_duplicate": False,
            "metadata": metadata,
            "idempotency_key": "order-placed:42",
            "correlation_id": "c-1",
            "created_at": row.created_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        },
    }


def test_what_is_told_is_a_notification_of_its_clients_own(client: Client, webhook: WebhookEndpoint) -> None:
    _, _, claim = sending(client)
    before = datetime.now(UTC)
    result = rows.recorded(rows.result(claim, Outcome.ACCEPTED))

    [row] = Notification.objects.filter(channel=CHANNEL)
    assert result.told == {f"{CHANNEL}:{webhook.id}"}
    assert (row.client_id, row.lane, row.recipient) == (client.pk, f"{CHANNEL}:{webhook.id}", str(webhook.id))
    assert (row.status, row.attempt, row.correlation_id, row.idempotency_key) == ("pending", 0, "c-1", "")
    assert row.expires_at is not None
    assert timedelta(days=3) <= row.expires_at - before < timedelta(days=3, minutes=1)


def test_its_id_is_of_version_7_and_of_this_moment(client: Client, webhook: WebhookEndpoint) -> None:
    _, _, claim = sending(client)
    before = datetime.now(UTC)
    rows.recorded(rows.result(claim, Outcome.ACCEPTED))

    [row] = Notification.objects.filter(channel=CHANNEL)
    assert (row.id.version, row.id.variant) == (7, "specified in RFC 4122")
    assert abs((row.id.int >> 80) - before.timestamp() * 1000) < 5_000


def test_ids_that_the_database_makes_are_in_the_order_of_time_and_never_the_same() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT notifications_uuid7() FROM generate_series(1, 20000)")
        made = [row[0] for row in cursor.fetchall()]

    assert len(set(made)) == len(made)
    assert {id_.version for id_ in made} == {7}
    times = [id_.int >> 80 for id_ in made]
    assert times == sorted(times)


# --- who is told -----------------------------------------------------------------------------------------------


def test_each_webhook_of_the_client_is_told_and_no_other_clients(client: Client, webhook: WebhookEndpoint) -> None:
    second, strangers = WebhookEndpointFactory(client=client), WebhookEndpointFactory()
    _, _, claim = sending(client)
    rows.recorded(rows.result(claim, Outcome.ACCEPTED))

    assert [len(told(each)) for each in (webhook, second, strangers)] == [1, 1, 0]


def test_only_what_it_wants_to_know_is_told(client: Client) -> None:
    webhook = WebhookEndpointFactory(client=client, events=["failed"])
    for outcome in (Outcome.ACCEPTED, Outcome.PERMANENT):
        _, _, claim = sending(client)
        rows.recorded(rows.result(claim, outcome))

    assert statuses(webhook) == ["failed"]


def test_one_that_is_switched_off_is_not_told(client: Client) -> None:
    webhook = WebhookEndpointFactory(client=client, is_active=False)
    _, _, claim = sending(client)
    rows.recorded(rows.result(claim, Outcome.ACCEPTED))

    assert told(webhook) == []


@pytest.mark.parametrize("outcome", [Outcome.ACCEPTED, Outcome.PERMANENT])
def test_what_was_told_is_not_told_of(client: Client, webhook: WebhookEndpoint, outcome: Outcome) -> None:
    _, _, claim = sending(client)
    rows.recorded(rows.result(claim, Outcome.ACCEPTED))
    [telling] = rows.claimed(rows.worker(), lane=f"{CHANNEL}:{webhook.id}")
    rows.recorded(rows.result(telling, outcome))

    assert Notification.objects.count() == 2


def test_what_was_told_in_vain_expires_without_a_word(client: Client, webhook: WebhookEndpoint) -> None:
    _, _, claim = sending(client)
    rows.recorded(rows.result(claim, Outcome.ACCEPTED))
    Notification.objects.filter(channel=CHANNEL).update(expires_at=datetime.now(UTC))
    assert len(operate.expire()) == 1

    assert len(told(webhook)) == 1


def test_a_batch_tells_of_each(client: Client, webhook: WebhookEndpoint) -> None:
    for _ in range(30):
        rows.accepted(client_id=client.pk)
    claims = rows.claimed(rows.worker(), batch=30)
    record.record([rows.result(claim, Outcome.ACCEPTED) for claim in claims], now=monotonic())

    assert {each["data"]["id"] for each in told(webhook)} == {str(claim.id) for claim in claims}


# --- in the same statement -------------------------------------------------------------------------------------


def test_a_process_that_has_seen_no_webhook_learns_of_the_first_and_loses_nothing(client: Client) -> None:
    _, worker_id, first = sending(client)
    assert rows.recorded(rows.result(first, Outcome.ACCEPTED)).told == set()
    webhook = WebhookEndpointFactory(client=client)  # by another process
    second, third = rows.accepted(client_id=client.pk), rows.accepted(client_id=client.pk)
    claims = rows.claimed(worker_id, started=False)

    result = rows.recorded(rows.result(claims[0], Outcome.ACCEPTED), next_claim=claims[1])

    assert (result.late, result.started) == (set(), {claims[1].id})
    assert [each["data"]["id"] for each in told(webhook)] == [str(claims[0].id)]
    assert {second, third} == {claim.id for claim in claims}
    assert rows.outcomes(claims[0].id) == [(1, "accepted", "", False)]


def test_what_is_rolled_back_is_not_told(client: Client, webhook: WebhookEndpoint) -> None:
    id_, _, claim = sending(client)
    with transaction.atomic():
        rows.recorded(rows.result(claim, Outcome.ACCEPTED))
        transaction.set_rollback(True)

    assert (rows.row(id_).status, told(webhook)) == ("sending", [])


def test_where_nobody_has_a_webhook_the_statement_that_tells_is_never_run(client: Client) -> None:
    _, _, claim = sending(client)
    rows.recorded(rows.result(claim, Outcome.ACCEPTED))

    assert not record._telling.is_set()
