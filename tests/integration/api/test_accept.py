from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from notifications.models import Notification
from notifications.states import Priority

from .callers import SMS, Caller


@pytest.mark.parametrize(
    ("path", "body", "channel", "recipient"),
    [
        ("/api/v1/slack", {"message": "hello"}, "slack", "default"),
        (
            "/api/v1/mail",
            {"message": "hello", "send_to": "ann@example.com", "subject": "Hi"},
            "email",
            "ann@example.com",
        ),
        ("/api/v1/sms", SMS, "sms", "+14155552671"),
        ("/api/v1/notifications", {"channel": "slack", "to": "ops", "message": "hello"}, "slack", "ops"),
        ("/api/v1/notifications", {"channel": "sms", "to": "+14155552671", "message": "hello"}, "sms", "+14155552671"),
    ],
)
def test_each_endpoint_stores_a_pending_notification(
    caller: Caller, path: str, body: dict[str, Any], channel: str, recipient: str
) -> None:
    answer = caller.post(path, body)

    assert answer.status_code == 202
    stored = Notification.objects.get()
    assert (stored.client, stored.channel, stored.recipient) == (caller.client, channel, recipient)
    assert (stored.body, stored.subject, stored.status) == ("hello", body.get("subject", ""), "pending")


def test_the_answer_names_the_notification_and_where_to_read_it(caller: Caller) -> None:
    answer = caller.post("/api/v1/sms", SMS, key="order-placed:42")

    body = json.loads(answer.content)
    stored = Notification.objects.get()
    assert body == {
        "id": str(stored.id),
        "channel": "sms",
        "to": "+14155552671",
        "status": "pending",
        "created_at": stored.created_at.isoformat().replace("+00:00", "Z"),
        "idempotency_key": "order-placed:42",
        "links": {"self": f"/api/v1/notifications/{stored.id}"},
    }
    assert UUID(body["id"]).version == 7
    assert answer.headers["Location"] == body["links"]["self"]
    assert answer.headers["Idempotency-Key"] == "order-placed:42"
    assert answer.headers["Content-Type"] == "application/json"
    assert "Idempotent-Replayed" not in answer.headers


def test_every_option_is_stored(caller: Caller) -> None:
    send_at = datetime.now(UTC) + timedelta(days=1)
    options = {
        "priority": "high",
        "metadata": {"order": 42, "weight": 1.5, "shop": "Zürich"},
        "send_at": send_at.isoformat(),
        "expires_at": (send_at + timedelta(hours=1)).isoformat(),
    }
    caller.post("/api/v1/notifications", {"channel": "slack", "message": "hello", **options})

    stored = Notification.objects.get()
    assert stored.priority == Priority.HIGH
    assert stored.metadata == {"order": 42, "weight": 1.5, "shop": "Zürich"}
    assert stored.due_at == send_at
    assert stored.expires_at == send_at + timedelta(hours=1)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2030-01-31T09:30:00+01:00", "2030-01-31T08:30:00+00:00"),
        ("2030-01-31t08:30:00z", "2030-01-31T08:30:00+00:00"),
        ("2030-01-31 08:30:00.123456789Z", "2030-01-31T08:30:00.123456+00:00"),
    ],
)
def test_times_are_read_with_their_offset(caller: Caller, written: str, meant: str) -> None:
    answer = caller.post("/api/v1/notifications", {"channel": "slack", "message": "hello", "expires_at": written})

    assert answer.status_code == 202
    assert Notification.objects.get().expires_at == datetime.fromisoformat(meant)


def test_null_means_left_out_for_times(caller: Caller) -> None:
    body = {"channel": "slack", "message": "hello", "send_at": None, "expires_at": None}
    assert caller.post("/api/v1/notifications", body).status_code == 202


def test_a_message_is_kept_to_the_last_space(caller: Caller) -> None:
    caller.post("/api/v1/slack", {"message": "  two\nlines \U0001f600 "})
    assert Notification.objects.get().body == "  two\nlines \U0001f600 "


def test_a_trailing_slash_makes_no_difference(caller: Caller) -> None:
    first = caller.post("/api/v1/slack", {"message": "hello"}, key="k")
    again = caller.post("/api/v1/slack/", {"message": "hello"}, key="k")

    assert (first.status_code, again.status_code) == (202, 202)
    assert first.content == again.content


def test_the_correlation_id_is_stored_and_echoed(caller: Caller) -> None:
    answer = caller.post("/api/v1/slack", {"message": "hello"}, **{"X-Correlation-ID": "order-42"})

    assert answer.headers["X-Correlation-ID"] == "order-42"
    assert Notification.objects.get().correlation_id == "order-42"


def test_a_correlation_id_is_made_where_none_is_sent(caller: Caller) -> None:
    answer = caller.post("/api/v1/slack", {"message": "hello"})

    assert UUID(answer.headers["X-Correlation-ID"]).version == 7
    assert Notification.objects.get().correlation_id == answer.headers["X-Correlation-ID"]
