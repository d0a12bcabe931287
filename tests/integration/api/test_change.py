"""What clients do with what was accepted: send it again, not at all, at another time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection

from notifications.models import Event, IdempotencyRecord, Notification
from notifications.outbox.statement import direct_connection
from notifications.states import Event as Edge
from notifications.states import Status, sources
from notifier.postgres_broker import NOTIFY_CHANNEL
from tests.factories import AttemptFactory, NotificationFactory

from .callers import SMS, Caller

LATER = datetime.now(UTC).replace(microsecond=0) + timedelta(days=30)
RESCHEDULE = {"send_at": LATER.astimezone(timezone(timedelta(hours=1))).isoformat()}
EDGES = {"resend": Edge.REPLAY, "cancel": Edge.CANCEL, "reschedule": Edge.RESCHEDULE}
GOALS = {"resend": Status.PENDING, "cancel": Status.CANCELED, "reschedule": Status.PENDING}
KINDS = {"resend": "replayed", "cancel": "canceled", "reschedule": "rescheduled"}


def a_notification(caller: Caller, status: str = "failed", **fields: Any) -> Notification:
    return NotificationFactory(client=caller.client, status=status, **fields)


def change(caller: Caller, id_: object, what: str, body: object = None, *, key: str | None = None) -> Any:
    body = body if body is not None else RESCHEDULE if what == "reschedule" else {}
    return caller.post(f"/api/v1/notifications/{id_}/{what}", body, key=key)


@pytest.mark.parametrize("what", list(EDGES))
@pytest.mark.parametrize("status", list(Status))
def test_each_status_allows_what_the_state_table_does(caller: Caller, what: str, status: Status) -> None:
    row = a_notification(caller, status)

    answer = change(caller, row.id, what)

    told, row = json.loads(answer.content), Notification.objects.get(id=row.id)
    if status in sources(EDGES[what]):
        assert answer.status_code == (202 if what == "resend" else 200), told
        assert (told["id"], told["status"], row.status) == (str(row.id), GOALS[what], GOALS[what])
        event = Event.objects.get(notification=row)
        assert (event.kind, event.actor) == (KINDS[what], f"client {caller.client.name}")
    elif what == "cancel" and status is Status.CANCELED:
        assert (answer.status_code, told["status"]) == (200, "canceled")  # it is as was asked
        assert not Event.objects.exists()
    else:
        assert (answer.status_code, told["code"]) == (409, "wrong_state")
        assert status.value in told["detail"]
        assert row.status == status
        assert not Event.objects.exists()


def test_what_is_rescheduled_is_due_when_it_says(caller: Caller) -> None:
    row = a_notification(caller, "pending")

    told = json.loads(change(caller, row.id, "reschedule").content)

    assert told["due_at"] == LATER.isoformat().replace("+00:00", "Z")
    assert Notification.objects.get(id=row.id).due_at == LATER
    assert Event.objects.get(notification=row).detail == LATER.isoformat()


def test_a_time_in_the_past_is_now(caller: Caller) -> None:
    row = a_notification(caller, "pending", due_at=LATER)
    before = datetime.now(UTC)

    assert change(caller, row.id, "reschedule", {"send_at": "2001-01-01T00:00:00Z"}).status_code == 200

    assert before - timedelta(seconds=1) < Notification.objects.get(id=row.id).due_at <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({}, "send_at", "required"),
        ({"send_at": "tomorrow"}, "send_at", "invalid"),
        ({"send_at": None}, "send_at", "null"),
        ({"send_at": "2630-01-31T09:30:00Z"}, "send_at", "too_far"),
        ({**RESCHEDULE, "priority": "high"}, "priority", "unknown_field"),
    ],
)
def test_a_time_that_is_none_is_refused_by_name(caller: Caller, body: Any, field: str, code: str) -> None:
    row = a_notification(caller, "pending")

    answer = change(caller, row.id, "reschedule", body)

    assert answer.status_code == 400
    assert [(error["field"], error["code"]) for error in json.loads(answer.content)["errors"]] == [(field, code)]
    assert Notification.objects.get(id=row.id).due_at == row.due_at


@pytest.mark.parametrize(("what", "status"), [("resend", "failed"), ("reschedule", "pending")])
def test_what_would_be_sent_after_its_life_is_left_alone(caller: Caller, what: str, status: str) -> None:
    life = {"failed": timedelta(hours=-1), "pending": timedelta(hours=1)}[status]
    row = a_notification(caller, status, expires_at=datetime.now(UTC) + life)

    answer = change(caller, row.id, what)

    assert (answer.status_code, json.loads(answer.content)["code"]) == (409, "wrong_state")
    assert "expires_at" in json.loads(answer.content)["detail"]
    assert Notification.objects.get(id=row.id).status == status


@pytest.mark.parametrize("what", list(EDGES))
def test_anothers_is_not_there(caller: Caller, other: Caller, what: str) -> None:
    row = a_notification(other, "pending" if what == "reschedule" else "failed")

    for id_ in (row.id, uuid4(), "nonsense"):
        answer = change(caller, id_, what)
        assert (answer.status_code, json.loads(answer.content)["code"]) == (404, "not_found")
    assert Notification.objects.get(id=row.id).status == row.status


@pytest.mark.parametrize("what", ["resend", "cancel"])
def test_a_body_that_says_something_is_refused(caller: Caller, what: str) -> None:
    row = a_notification(caller)

    answer = change(caller, row.id, what, {"now": True})

    assert (answer.status_code, json.loads(answer.content)["errors"][0]["field"]) == (400, "now")
    assert Notification.objects.get(id=row.id).status == "failed"


def test_no_body_is_as_good_as_an_empty_one(caller: Caller) -> None:
    row = a_notification(caller)

    answer = caller.http.generic(
        "POST", f"/api/v1/notifications/{row.id}/resend", headers={"Authorization": f"Bearer {caller.key}"}
    )

    assert answer.status_code == 202


# --- keys --------------------------------------------------------------------------------------------------


def test_a_retry_under_its_key_is_answered_and_changes_nothing_more(caller: Caller) -> None:
    row = a_notification(caller)
    first = change(caller, row.id, "resend", key="again")
    Notification.objects.filter(id=row.id).update(status="failed", finished_at=datetime.now(UTC))  # it failed once more

    second = change(caller, row.id, "resend", key="again")
    other = change(caller, row.id, "resend", key="once more")

    assert (second.status_code, second.content, second["Idempotent-Replayed"]) == (202, first.content, "true")
    assert "Idempotent-Replayed" not in first
    assert (other.status_code, "Idempotent-Replayed" in other) == (202, False)
    assert Event.objects.filter(notification=row).count() == 2


def test_a_key_belongs_to_one_change_of_one_notification(caller: Caller) -> None:
    accepted = json.loads(caller.post("/api/v1/sms", SMS, key="k").content)
    failed = a_notification(caller)

    answers = [
        change(caller, accepted["id"], "reschedule", key="k"),
        change(caller, accepted["id"], "cancel", key="k"),
        change(caller, failed.id, "resend", key="k"),
        change(caller, failed.id, "cancel", key="k"),
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 202, 200]
    assert not any("Idempotent-Replayed" in answer for answer in answers)


def test_another_body_under_the_key_is_refused(caller: Caller) -> None:
    row = a_notification(caller, "pending")
    change(caller, row.id, "reschedule", key="k")

    answer = change(caller, row.id, "reschedule", {"send_at": (LATER + timedelta(days=1)).isoformat()}, key="k")

    assert (answer.status_code, json.loads(answer.content)["code"]) == (422, "idempotency_key_reused")
    assert Notification.objects.get(id=row.id).due_at == LATER


def test_what_was_refused_leaves_the_key_free(caller: Caller) -> None:
    row = a_notification(caller, "pending")
    assert change(caller, row.id, "resend", key="k").status_code == 409
    Notification.objects.filter(id=row.id).update(status="failed", finished_at=datetime.now(UTC))

    assert change(caller, row.id, "resend", key="k").status_code == 202
    assert IdempotencyRecord.objects.count() == 1


def test_many_at_once_under_one_key_change_it_once_and_are_told_the_same(caller: Caller) -> None:
    row = a_notification(caller)

    def resend(_: int) -> Any:
        try:
            return change(Caller(caller.client, caller.key), row.id, "resend", key="k")
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(resend, range(16)))

    assert {(answer.status_code, answer.content) for answer in answers} == {(202, answers[0].content)}
    assert sum("Idempotent-Replayed" not in answer for answer in answers) == 1
    assert Event.objects.filter(notification=row).count() == 1


# --- workers are told --------------------------------------------------------------------------------------


@pytest.fixture
def nudged() -> Iterator[Any]:
    with direct_connection("a listening test") as listening:
        listening.execute(f"LISTEN {NOTIFY_CHANNEL}")
        yield lambda seconds: [notice.payload for notice in listening.notifies(timeout=seconds, stop_after=1)]


def test_what_is_pending_again_wakes_a_worker(caller: Caller, nudged: Any) -> None:
    row = a_notification(caller)

    change(caller, row.id, "resend")

    assert nudged(10) == [row.lane]


def test_what_falls_due_before_anybody_looks_wakes_a_worker_then(caller: Caller, nudged: Any) -> None:
    due = datetime.now(UTC) + timedelta(seconds=0.6)
    body = {"channel": "sms", "to": "+14155552671", "message": "soon", "send_at": due.isoformat()}

    accepted = json.loads(caller.post("/api/v1/notifications", body).content)

    assert nudged(0.3) == []
    assert nudged(10) == ["sms"]
    assert datetime.now(UTC) >= due
    assert Notification.objects.get(id=UUID(accepted["id"])).due_at == due


@pytest.mark.parametrize("what", list(EDGES))
def test_a_change_reads_the_row_before_and_after_and_nothing_else_of_it(
    caller: Caller, what: str, django_assert_num_queries: Any
) -> None:
    row = a_notification(caller, "pending" if what == "reschedule" else "failed")
    AttemptFactory(notification=row, number=1)

    with django_assert_num_queries(4):  # two, between BEGIN and COMMIT or before; the statement is none of the ORM's
        assert change(caller, row.id, what).status_code in {200, 202}
