"""PROVIDERS.md section 1, row by row."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from threading import Event, Thread
from typing import Any

import pytest
from django.db import connection, transaction
from pytest_django import Settings

from notifications.models import IdempotencyRecord, Notification

from .callers import SMS, Caller


def problem(answer: Any) -> dict[str, Any]:
    assert answer.headers["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = json.loads(answer.content)
    assert body["status"] == answer.status_code
    return body


def test_a_missing_key_is_refused_with_a_link(caller: Caller) -> None:
    answer = caller.post("/api/v1/sms", SMS, key=None)

    assert answer.status_code == 400
    assert problem(answer)["code"] == "idempotency_key_missing"
    assert "/api/docs" in problem(answer)["detail"]
    assert not Notification.objects.exists()


def test_a_key_may_be_missing_where_the_settings_allow_it(caller: Caller, settings: Settings) -> None:
    settings.IDEMPOTENCY_KEY_REQUIRED = False
    answers = [caller.post("/api/v1/sms", SMS, key=None) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [202, 202]
    assert json.loads(answers[0].content)["idempotency_key"] is None
    assert "Idempotency-Key" not in answers[0].headers
    assert (Notification.objects.count(), IdempotencyRecord.objects.count()) == (2, 0)


@pytest.mark.parametrize("key", ["", '""', "k" * 256, "caf\u00e9", "a,b", '"a","b"', '"open'])
def test_an_invalid_key_is_refused(caller: Caller, key: str) -> None:
    answer = caller.post("/api/v1/sms", SMS, key=key)

    assert answer.status_code == 400
    assert problem(answer)["code"] == "idempotency_key_invalid"
    assert not Notification.objects.exists()


def test_a_repeated_request_is_answered_the_same_bytes(caller: Caller) -> None:
    first = caller.post("/api/v1/sms", SMS, key="k")
    again = caller.post("/api/v1/sms", SMS, key="k")

    assert (again.status_code, again.content) == (202, first.content)
    assert again.headers["Location"] == first.headers["Location"]
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Idempotency-Key"] == "k"
    assert Notification.objects.count() == 1


def test_a_replay_tells_the_first_answer_though_the_state_has_moved_on(caller: Caller) -> None:
    first = caller.post("/api/v1/sms", SMS, key="k")
    Notification.objects.update(status="canceled", finished_at=datetime.now(UTC))

    assert caller.post("/api/v1/sms", SMS, key="k").content == first.content


def test_a_quoted_key_and_a_bare_one_are_one_key(caller: Caller) -> None:
    first = caller.post("/api/v1/sms", SMS, key="order:42")
    again = caller.post("/api/v1/sms", SMS, key='"order:42"')

    assert again.content == first.content
    assert again.headers["Idempotency-Key"] == '"order:42"'


def test_white_space_and_order_do_not_make_another_request(caller: Caller) -> None:
    first = caller.post("/api/v1/sms", SMS, key="k")
    again = caller.post("/api/v1/sms", json.dumps(dict(reversed(SMS.items())), indent=4).encode(), key="k")

    assert again.content == first.content
    assert again.headers["Idempotent-Replayed"] == "true"


def test_another_body_under_the_same_key_is_refused_and_told_nothing(caller: Caller) -> None:
    caller.post("/api/v1/sms", {**SMS, "message": "a first secret"}, key="k")
    answer = caller.post("/api/v1/sms", {**SMS, "message": "another"}, key="k")

    assert answer.status_code == 422
    assert problem(answer)["code"] == "idempotency_key_reused"
    assert b"secret" not in answer.content
    assert Notification.objects.count() == 1


def test_keys_of_two_clients_do_not_meet(caller: Caller, other: Caller) -> None:
    answers = [who.post("/api/v1/sms", SMS, key="k") for who in (caller, other)]

    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].content != answers[1].content


def test_keys_of_two_endpoints_do_not_meet(caller: Caller) -> None:
    caller.post("/api/v1/slack", {"message": "hello"}, key="k")
    answer = caller.post("/api/v1/notifications", {"channel": "slack", "message": "hello"}, key="k")

    assert answer.status_code == 202
    assert Notification.objects.count() == 2


def test_one_key_on_every_address_that_takes_any_is_as_many_keys(caller: Caller) -> None:
    one = {"channel": "sms", "to": "+14155552671", "message": "hello"}
    mail = {"message": "hello", "subject": "Hi", "send_to": "ann@example.com"}
    first, second = (json.loads(caller.post("/api/v1/sms", SMS, key=key).content)["id"] for key in ("k", "other"))
    later = {"send_at": (datetime.now(UTC) + timedelta(days=1)).isoformat()}
    others: list[tuple[str, Any]] = [
        *(("/api/v1/slack", {"message": "hello"}), ("/api/v1/mail", mail), ("/api/v1/notifications", one)),
        ("/api/v1/notifications/batch", {"notifications": [one]}),
        *((f"/api/v1/notifications/{id_}/reschedule", later) for id_ in (first, second)),
        *((f"/api/v1/notifications/{id_}/cancel", {}) for id_ in (first, second)),
        *((f"/api/v1/notifications/{id_}", {}) for id_ in (first,)),  # which takes no POST
    ]

    answers = [caller.post(path, body, key="k") for path, body in others]

    assert [answer.status_code for answer in answers] == [202, 202, 202, 202, 200, 200, 200, 200, 405]
    assert not any("Idempotent-Replayed" in answer for answer in answers)
    assert len({answer.content for answer in answers}) == len(others)
    assert IdempotencyRecord.objects.filter(key="k").count() == len(others)  # the first, and all but the last


@pytest.mark.parametrize(
    ("refused", "status"),
    [
        ({"body": {"message": "hello"}}, 400),
        ({"body": b"{"}, 400),
        ({"body": b"{}", "content_type": "text/plain"}, 415),
        ({"body": b" " * (1024 * 1024 + 1)}, 413),
        ({"body": SMS, "Authorization": "Bearer nk_no_such"}, 401),
    ],
)
def test_a_refused_request_leaves_its_key_free(caller: Caller, refused: dict[str, Any], status: int) -> None:
    assert caller.post("/api/v1/sms", key="k", **refused).status_code == status

    assert not IdempotencyRecord.objects.exists()
    assert caller.post("/api/v1/sms", SMS, key="k").status_code == 202


def test_what_was_accepted_is_replayed_though_its_time_has_passed(caller: Caller) -> None:
    soon = datetime.now(UTC) + timedelta(milliseconds=300)
    body = {"channel": "slack", "message": "hello", "expires_at": soon.isoformat()}
    first = caller.post("/api/v1/notifications", body, key="k")
    Event().wait((soon - datetime.now(UTC)).total_seconds())  # until it has passed, by the clock that judges it

    assert caller.post("/api/v1/notifications", body, key="new").status_code == 400
    again = caller.post("/api/v1/notifications", body, key="k")
    assert (again.status_code, again.content) == (202, first.content)
    assert again.headers["Idempotent-Replayed"] == "true"


def test_what_was_accepted_is_replayed_though_its_webhook_is_gone(caller: Caller, settings: Settings) -> None:
    body = {"channel": "slack", "to": "ops", "message": "hello"}
    first = caller.post("/api/v1/notifications", body, key="k")
    known = settings.NOTIFIER_CHANNELS
    settings.NOTIFIER_CHANNELS = {**known, "slack": {**known["slack"], "webhooks": {"default": "http://127.0.0.1:9/x"}}}

    assert caller.post("/api/v1/notifications", body, key="new").status_code == 400
    assert caller.post("/api/v1/notifications", body, key="k").content == first.content


def test_an_invalid_body_under_a_used_key_is_told_what_is_invalid(caller: Caller) -> None:
    caller.post("/api/v1/sms", SMS, key="k")
    answer = caller.post("/api/v1/sms", {**SMS, "send_to_number": "123"}, key="k")

    assert answer.status_code == 400
    assert problem(answer)["errors"][0]["field"] == "send_to_number"


@pytest.fixture
def held_key(caller: Caller) -> Iterator[Event]:
    """Somebody else's transaction holds the key `k` until the event is set, and then rolls back."""
    held, let_go = Event(), Event()

    def hold() -> None:
        try:
            with transaction.atomic():
                IdempotencyRecord.objects.create(
                    client_id=caller.client.pk,
                    operation="POST /api/v1/sms",
                    key="k",
                    fingerprint=b"f" * 32,
                    status=202,
                    location="",
                    body=b"",
                    notification_ids=[],
                    created_at=datetime.now(UTC),
                )
                held.set()
                let_go.wait(30)
                transaction.set_rollback(True)
        finally:
            connection.close()

    thread = Thread(target=hold)
    thread.start()
    assert held.wait(10)
    yield let_go
    let_go.set()
    thread.join()


def test_a_key_in_flight_for_too_long_is_in_use(caller: Caller, held_key: Event) -> None:
    answer = caller.post("/api/v1/sms", SMS, key="k")

    assert answer.status_code == 409
    assert problem(answer)["code"] == "idempotency_key_in_use"
    assert answer.headers["Retry-After"] == "1"

    held_key.set()
    assert caller.post("/api/v1/sms", SMS, key="k").status_code == 202
