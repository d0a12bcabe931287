"""POST /api/v1/notifications/batch: many under one key, all or none."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from django.http import HttpResponse

from notifications import services
from notifications.models import IdempotencyRecord, Notification
from notifications.services import MOST_IN_BATCH, NotificationRequest

from .callers import Caller

PATH = "/api/v1/notifications/batch"
SLACK = {"channel": "slack", "to": "ops", "message": "hello"}


def post(caller: Caller, *notifications: Any, key: str = "batch-1") -> HttpResponse:
    return caller.post(PATH, {"notifications": list(notifications)}, key=key)


def fields(answer: HttpResponse) -> dict[str, str]:
    return {error["field"]: error["code"] for error in json.loads(answer.content)["errors"]}


def test_all_are_stored_in_their_order(caller: Caller) -> None:
    answer = post(
        caller,
        {**SLACK, "message": "first", "priority": "high", "metadata": {"order": 42, "ü": "ß"}},
        {"channel": "sms", "to": "+14155552671", "message": "second\n'; --\t\\u0041 \U0001f600"},
        {"channel": "email", "to": "ann@example.com", "subject": "Third", "message": "third"},
    )

    assert answer.status_code == 202
    body = json.loads(answer.content)
    stored = list(Notification.objects.order_by("id"))
    assert [each["id"] for each in body["notifications"]] == [str(each.id) for each in stored]
    assert [(each.channel, each.recipient, each.subject, each.body) for each in stored] == [
        ("slack", "ops", "", "first"),
        ("sms", "+14155552671", "", "second\n'; --\t\\u0041 \U0001f600"),
        ("email", "ann@example.com", "Third", "third"),
    ]
    assert (stored[0].priority, stored[0].metadata) == (0, {"order": 42, "ü": "ß"})
    assert {(each.status, each.idempotency_key, each.client_id) for each in stored} == {
        ("pending", "batch-1", caller.client.pk)
    }
    assert body["notifications"][1] == {
        "id": str(stored[1].id),
        "channel": "sms",
        "to": "+14155552671",
        "status": "pending",
        "created_at": stored[1].created_at.isoformat().replace("+00:00", "Z"),
        "links": {"self": f"/api/v1/notifications/{stored[1].id}"},
    }
    assert body["idempotency_key"] == "batch-1"
    assert "Location" not in answer.headers


def test_times_are_those_that_a_single_one_would_have(caller: Caller) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    answer = post(caller, {**SLACK, "send_at": later.isoformat(), "expires_at": "2099-01-01T00:00:00.5Z"}, SLACK)
    assert answer.status_code == 202

    first, second = Notification.objects.order_by("id")
    assert (first.due_at, second.expires_at) == (later, None)
    assert first.expires_at == datetime(2099, 1, 1, microsecond=500_000, tzinfo=UTC)
    assert abs(second.due_at - second.created_at) < timedelta(seconds=5)  # the database's now


def test_a_thousand_are_taken_and_one_more_is_not(caller: Caller) -> None:
    assert post(caller, *[SLACK] * MOST_IN_BATCH, key="a").status_code == 202
    assert Notification.objects.count() == MOST_IN_BATCH

    answer = post(caller, *[SLACK] * (MOST_IN_BATCH + 1), key="b")
    assert (answer.status_code, fields(answer)) == (400, {"notifications": "wrong_number"})
    assert Notification.objects.count() == MOST_IN_BATCH


def test_the_same_batch_again_is_answered_with_the_same_bytes(caller: Caller) -> None:
    first = post(caller, SLACK, SLACK)
    again = post(caller, SLACK, SLACK)

    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert Notification.objects.count() == 2
    record = IdempotencyRecord.objects.get()
    assert record.notification_ids == [uuid.UUID(each["id"]) for each in json.loads(first.content)["notifications"]]


def test_another_batch_under_the_same_key_is_refused(caller: Caller) -> None:
    post(caller, SLACK, SLACK)
    answer = post(caller, SLACK)

    assert (answer.status_code, json.loads(answer.content)["code"]) == (422, "idempotency_key_reused")
    assert Notification.objects.count() == 2


def test_one_that_is_wrong_stops_all_and_every_mistake_is_named_by_its_place(caller: Caller) -> None:
    answer = post(
        caller,
        SLACK,
        {"channel": "sms", "to": "+14155552671"},
        {**SLACK, "mesage": "hello", "priority": "urgent"},
        "hello",
        {**SLACK, "message": 7},
    )

    assert answer.status_code == 400
    assert fields(answer) == {
        "notifications[1].message": "required",
        "notifications[2].mesage": "unknown_field",
        "notifications[2].priority": "invalid_choice",
        "notifications[3]": "invalid",
        "notifications[4].message": "invalid",
    }
    assert not Notification.objects.exists()
    assert not IdempotencyRecord.objects.exists()


def test_what_only_the_channel_knows_to_be_wrong_is_named_by_its_place_too(caller: Caller) -> None:
    answer = post(caller, SLACK, {**SLACK, "to": "nowhere"}, {"channel": "sms", "to": "12", "message": "hello"})

    assert answer.status_code == 400
    assert set(fields(answer)) == {"notifications[1].to", "notifications[2].to"}
    assert not Notification.objects.exists()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, {"notifications": "required"}),
        ({"notifications": []}, {"notifications": "wrong_number"}),
        ({"notifications": None}, {"notifications": "invalid"}),
        ({"notifications": {"0": SLACK}}, {"notifications": "invalid"}),
        ({"notifications": [SLACK], "atomic": True}, {"atomic": "unknown_field"}),
        (SLACK, dict.fromkeys(SLACK, "unknown_field") | {"notifications": "required"}),
    ],
)
def test_what_is_no_batch_is_refused(caller: Caller, body: object, expected: dict[str, str]) -> None:
    answer = caller.post(PATH, body)

    assert (answer.status_code, fields(answer)) == (400, expected)


def test_of_very_many_mistakes_some_are_named(caller: Caller) -> None:
    answer = post(caller, *[{"channel": "slack"}] * MOST_IN_BATCH)

    assert answer.status_code == 400
    assert 50 <= len(fields(answer)) <= 60


def test_a_batch_may_be_larger_than_a_single_body_and_not_without_end(caller: Caller) -> None:
    long = {"channel": "slack", "to": "ops", "message": "x" * 3000}
    assert post(caller, *[long] * 700, key="a").status_code == 202

    answer = post(caller, *[{**long, "message": "x" * 30_000}] * 700, key="b")
    assert (answer.status_code, json.loads(answer.content)["code"]) == (413, "payload_too_large")


def test_it_needs_a_key(caller: Caller) -> None:
    answer = caller.post(PATH, {"notifications": [SLACK]}, key=None)

    assert (answer.status_code, json.loads(answer.content)["code"]) == (400, "idempotency_key_missing")


def test_an_answer_that_was_given_once_is_given_again_though_a_webhook_is_gone(caller: Caller, settings: Any) -> None:
    first = post(caller, SLACK)
    known = settings.NOTIFIER_CHANNELS
    settings.NOTIFIER_CHANNELS = {**known, "slack": {**known["slack"], "webhooks": {"default": "http://127.0.0.1:9/"}}}

    assert post(caller, SLACK).content == first.content


def test_in_process_it_commits_with_the_callers_transaction_or_not_at_all(caller: Caller) -> None:
    wanted = [NotificationRequest(channel="slack", to="ops", message=f"number {n}") for n in range(3)]
    with transaction.atomic():
        services.accept_batch(caller.client, wanted, key="k")
        transaction.set_rollback(True)
    assert not Notification.objects.exists()

    accepted = services.accept_batch(caller.client, wanted, key="k")
    assert services.accept_batch(caller.client, wanted, key="k").body == accepted.body
    with pytest.raises(services.KeyReused):
        services.accept_batch(caller.client, wanted[:2], key="k")
    assert accepted.notification_ids == list(Notification.objects.order_by("id").values_list("id", flat=True))


def test_without_a_key_where_none_is_required_each_post_is_another_batch(caller: Caller, settings: Any) -> None:
    settings.IDEMPOTENCY_KEY_REQUIRED = False
    for _ in range(2):
        assert caller.post(PATH, {"notifications": [SLACK, SLACK]}, key=None).status_code == 202

    assert Notification.objects.count() == 4
    assert not IdempotencyRecord.objects.exists()
