"""What a client is told of a notification that has forgotten to whom it went."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from notifications.models import Notification
from notifications.outbox import redact
from tests.factories import NotificationFactory

from .callers import Caller

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def failed(caller: Caller) -> Notification:
    one = NotificationFactory(client=caller.client, status="failed", metadata={"order": "42"})
    assert redact.forget([one.id]) == {one.id}
    one.refresh_from_db()
    return one


def test_it_cannot_be_resent_and_is_told_why(caller: Caller, failed: Notification) -> None:
    answer = caller.post(f"/api/v1/notifications/{failed.id}/resend", {})

    assert (answer.status_code, json.loads(answer.content)["code"]) == (409, "redacted")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert Notification.objects.get().status == "failed"


def test_that_comes_before_its_life_being_over(caller: Caller, failed: Notification) -> None:
    Notification.objects.update(expires_at=timezone.now() - timedelta(days=1))

    answer = caller.post(f"/api/v1/notifications/{failed.id}/resend", {})

    assert json.loads(answer.content)["code"] == "redacted"


def test_one_that_was_sent_is_told_its_state(caller: Caller) -> None:
    sent = NotificationFactory(client=caller.client, status="sent")
    redact.forget([sent.id])

    answer = caller.post(f"/api/v1/notifications/{sent.id}/resend", {})

    assert json.loads(answer.content)["code"] == "wrong_state"


def test_resending_all_that_failed_leaves_it_alone(caller: Caller, failed: Notification) -> None:
    answer = caller.post("/api/v1/notifications/resend", {}, key="all")

    assert json.loads(answer.content)["resent"] == []


def test_it_is_shown_without_what_is_gone_and_since_when(caller: Caller, failed: Notification) -> None:
    shown = json.loads(caller.get(f"/api/v1/notifications/{failed.id}").content)

    empty = {name: shown[name] for name in ("to", "subject", "message", "content", "metadata", "measures")}
    assert empty == {"to": "", "subject": "", "message": "", "content": {}, "metadata": {}, "measures": {}}
    assert shown["redacted_at"] is not None
    assert shown["status"] == "failed"
    assert shown["next"]["what"] == "Nothing: its recipient and content were redacted, so it cannot be resent."
    assert "redacted" in [entry["event"] for entry in shown["timeline"]]


def test_its_list_knows_it_but_not_by_its_recipient(caller: Caller, failed: Notification) -> None:
    listed = json.loads(caller.get("/api/v1/notifications").content)["results"]
    by_label = json.loads(caller.get("/api/v1/notifications?metadata[order]=42").content)["results"]

    assert [(row["id"], row["to"]) for row in listed] == [(str(failed.id), "")]
    assert by_label == []
