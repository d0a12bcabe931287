"""What a client is told of a recipient to whom nothing is sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.http import HttpResponse

from notifications import credentials, services
from notifications.models import IdempotencyRecord, Notification
from notifications.states import Reason
from tests.factories import ApiKeyFactory, NotificationFactory

from .callers import SMS, Caller

TO = "+14155552671"


@pytest.fixture(autouse=True)
def suppressed(transactional_db: None) -> None:
    services.suppress("sms", TO, actor="ada", reason=Reason.OPT_OUT)


def said(answer: HttpResponse) -> tuple[int, str, list[str]]:
    problem: dict[str, Any] = json.loads(answer.content)
    return answer.status_code, problem["code"], [each["field"] for each in problem.get("errors", [])]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/api/v1/sms", SMS, "send_to_number"),
        ("/api/v1/notifications", {"channel": "sms", "to": TO, "message": "hello"}, "to"),
        (
            "/api/v1/notifications/batch",
            {
                "notifications": [
                    {"channel": "slack", "message": "hello"},
                    {"channel": "sms", "to": TO, "message": "hello"},
                ]
            },
            "notifications[1].to",
        ),
    ],
)
def test_it_is_a_conflict_that_names_the_field_and_stores_nothing(
    caller: Caller, path: str, body: dict[str, Any], field: str
) -> None:
    answer = caller.post(path, body, key="order:1")

    assert said(answer) == (409, "suppressed", [field])
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "(opt_out)" in json.loads(answer.content)["detail"]
    assert TO not in answer.content.decode()
    assert not Notification.objects.exists()
    assert not IdempotencyRecord.objects.exists()


def test_once_it_is_let_through_the_same_request_is_accepted(caller: Caller) -> None:
    assert caller.post("/api/v1/sms", SMS, key="order:1").status_code == 409

    services.unsuppress("sms", TO, actor="ada")
    assert caller.post("/api/v1/sms", SMS, key="order:1").status_code == 202


def test_what_was_accepted_before_is_answered_as_it_was(caller: Caller) -> None:
    services.unsuppress("sms", TO, actor="ada")
    first = caller.post("/api/v1/sms", SMS, key="order:1")
    services.suppress("sms", TO, actor="ada")

    again = caller.post("/api/v1/sms", SMS, key="order:1")
    assert (again.status_code, again.content) == (202, first.content)
    assert again.headers["Idempotent-Replayed"] == "true"


def test_with_a_wrong_field_beside_it_the_request_is_invalid(caller: Caller) -> None:
    assert said(caller.post("/api/v1/sms", {**SMS, "message": ""})) == (400, "invalid", ["message"])


def test_a_test_key_has_a_list_of_its_own(caller: Caller, settings: Any) -> None:
    known = settings.NOTIFIER_CHANNELS
    settings.NOTIFIER_CHANNELS = {**known, "sms": {**known["sms"], "sandbox": {**known["sms"]}}}
    text = credentials.new_key(test=True).text
    ApiKeyFactory(client=caller.client, text=text, is_test=True)
    tester = Caller(caller.client, text)

    assert tester.post("/api/v1/sms", SMS).status_code == 202
    services.suppress("sms", TO, actor="ada", test=True)
    services.unsuppress("sms", TO, actor="ada")
    assert said(tester.post("/api/v1/sms", SMS)) == (409, "suppressed", ["send_to_number"])
    assert caller.post("/api/v1/sms", SMS).status_code == 202


@pytest.mark.parametrize("status", ["failed", "unknown"])
def test_one_that_could_be_resent_is_not(caller: Caller, status: str) -> None:
    one = NotificationFactory(client=caller.client, status=status)

    assert said(caller.post(f"/api/v1/notifications/{one.id}/resend", {}))[:2] == (409, "suppressed")
    assert Notification.objects.get().status == status
    services.unsuppress("sms", TO, actor="ada")
    assert caller.post(f"/api/v1/notifications/{one.id}/resend", {}).status_code == 202


def test_one_in_another_state_is_told_its_state(caller: Caller) -> None:
    sent, failed = (NotificationFactory(client=caller.client, status=status) for status in ("sent", "failed"))

    assert said(caller.post(f"/api/v1/notifications/{sent.id}/resend", {}))[:2] == (409, "wrong_state")
    later = {"send_at": "2020-01-01T00:00:00Z"}
    assert said(caller.post(f"/api/v1/notifications/{failed.id}/reschedule", later))[:2] == (409, "wrong_state")
    assert caller.post(f"/api/v1/notifications/{failed.id}/cancel", {}).status_code == 200


def test_a_resend_of_many_leaves_them_alone(caller: Caller) -> None:
    NotificationFactory(client=caller.client, status="failed")
    other = NotificationFactory(client=caller.client, status="failed", recipient="+14155552672")

    answer = caller.post("/api/v1/notifications/resend", {})
    assert json.loads(answer.content)["resent"] == [str(other.id)]


@pytest.mark.parametrize(
    ("status", "words"), [("failed", "cannot be resent"), ("pending", "fails when it is due"), ("sent", "taken it")]
)
def test_what_comes_next_says_it(caller: Caller, status: str, words: str) -> None:
    one = NotificationFactory(client=caller.client, status=status)

    shown = json.loads(caller.get(f"/api/v1/notifications/{one.id}").content)
    assert words in shown["next"]["what"]
