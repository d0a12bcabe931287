"""Sending again whatever failed of a kind."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from notifications.models import Event, Notification
from tests.factories import NotificationFactory

from .callers import Caller
from .test_filters import accepted_at

RESEND = "/api/v1/notifications/resend"


def resend(caller: Caller, key: str | None = None, **body: Any) -> Any:
    answer = caller.post(RESEND, body, key=key)
    assert answer.status_code == 202, answer.content
    return json.loads(answer.content)


def failed(caller: Caller, **fields: Any) -> Notification:
    return NotificationFactory(client=caller.client, **{"status": "failed", **fields})


def test_what_failed_is_pending_again_and_nothing_else_is_touched(caller: Caller, other: Caller) -> None:
    wanted = [failed(caller, channel=channel) for channel in ("sms", "slack", "email")]
    for status in ("unknown", "sent", "delivered", "canceled", "sending"):
        failed(caller, status=status)
    failed(other)

    assert resend(caller) == {"resent": [str(row.id) for row in reversed(wanted)], "next_cursor": None}

    pending = Notification.objects.filter(status="pending")
    assert {row.id for row in pending} == {row.id for row in wanted}
    assert {(e.kind, e.actor, e.detail) for e in Event.objects.all()} == {
        ("replayed", f"client {caller.client.name}", "by filter")
    }


def test_unknown_ones_are_sent_again_only_where_they_are_named(caller: Caller) -> None:
    unknown = failed(caller, status="unknown")

    assert resend(caller)["resent"] == []
    assert resend(caller, status="unknown")["resent"] == [str(unknown.id)]
    assert Notification.objects.get(id=unknown.id).possible_duplicate


@pytest.mark.parametrize(
    "filter_",
    [
        *({"channel": "slack"}, {"to": "ops"}, {"correlation_id": "order-42"}, {"metadata": {"order": 42}}),
        {"until": (datetime.now(UTC) - timedelta(minutes=30)).isoformat()},
    ],
)
def test_filters_choose(caller: Caller, filter_: dict[str, Any]) -> None:
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    wanted = failed(
        caller,
        channel="slack",
        recipient="ops",
        correlation_id="order-42",
        metadata={"order": 42},
        **accepted_at(hour_ago),
    )
    failed(caller)

    assert resend(caller, **filter_)["resent"] == [str(wanted.id)]


def test_a_cursor_goes_on_until_all_were_looked_at(caller: Caller) -> None:
    rows = [failed(caller) for _ in range(5)]

    first = resend(caller, limit=2)
    second = resend(caller, limit=2, cursor=first["next_cursor"])
    third = resend(caller, limit=2, cursor=second["next_cursor"])

    assert [*first["resent"], *second["resent"], *third["resent"]] == [str(row.id) for row in reversed(rows)]
    assert third["next_cursor"] is None


def test_what_has_outlived_its_life_is_left_alone(caller: Caller) -> None:
    failed(caller, expires_at=datetime.now(UTC) - timedelta(minutes=1))
    assert resend(caller) == {"resent": [], "next_cursor": None}


def test_a_key_does_it_once(caller: Caller) -> None:
    row = failed(caller)
    first = caller.post(RESEND, {}, key="again")
    Notification.objects.filter(id=row.id).update(status="failed", finished_at=datetime.now(UTC), attempt=2)

    second = caller.post(RESEND, {}, key="again")
    assert second.content == first.content
    assert second["Idempotent-Replayed"] == "true"
    assert Notification.objects.get(id=row.id).status == "failed"
    assert caller.post(RESEND, {"channel": "sms"}, key="again").status_code == 422


def test_of_many_at_once_with_one_key_one_does_it_and_all_are_told_the_same(caller: Caller) -> None:
    rows = [failed(caller) for _ in range(20)]

    def post(_: int) -> tuple[int, bytes]:
        try:
            answer = caller.post(RESEND, {}, key="again")
            return answer.status_code, answer.content
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        answers = set(threads.map(post, range(8)))

    assert len(answers) == 1
    ((status, body),) = answers
    assert (status, len(json.loads(body)["resent"])) == (202, len(rows))
    assert Event.objects.count() == len(rows)


@pytest.mark.parametrize(
    "body",
    [
        *({"status": "sent"}, {"limit": 0}, {"limit": 1001}, {"cursor": "x"}, {"since": "yesterday"}),
        *({"metadata": {"a": True}}, {"metadata": {}}, {"stauts": "failed"}, {"channel": 1}, {"to": None}),
    ],
)
def test_a_bad_body_names_its_field_and_resends_nothing(caller: Caller, body: dict[str, Any]) -> None:
    failed(caller)
    answer = caller.post(RESEND, body, key=None)

    assert answer.status_code == 400, answer.content
    assert {error["field"] for error in json.loads(answer.content)["errors"]} == set(body)
    assert not Notification.objects.filter(status="pending").exists()


def test_no_body_is_no_choice(caller: Caller) -> None:
    failed(caller)
    answer = caller.post(RESEND, b"", key=None)

    assert (answer.status_code, json.loads(answer.content)["code"]) == (400, "malformed_json")
    assert not Notification.objects.filter(status="pending").exists()
