"""Several backends of a channel, listed in the environment alone: by real workers, to stand-ins for the providers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import unquote
from uuid import UUID

import pytest

from channels.sandbox.faults import Fault, Kind
from channels.sandbox.server import Sandbox
from notifications.models import Attempt, Event, LaneState, Notification
from notifications.outbox import books
from tests import processes
from tests.contract.stand_in import Instead, http_answer
from tests.eventually import eventually
from tests.ports import free_port

from .answering import Answering
from .conftest import Post

pytestmark = pytest.mark.django_db(transaction=True)

SMS: dict[str, Any] = {"channel": "sms", "to": "+14155552671"}
MAIL: dict[str, Any] = {"channel": "email", "to": "ann@example.com", "subject": "A subject"}


@pytest.fixture
def elsewhere() -> Iterator[Answering]:
    """What apprise sends to."""
    with Answering(http_answer(200)) as running:
        yield running


@pytest.fixture
def resend() -> Iterator[Answering]:
    with Answering(http_answer(200, b'{"id": "re-1"}')) as running:
        yield running


@pytest.fixture
def listed(providers: dict[str, str], elsewhere: Answering, resend: Answering) -> dict[str, str]:
    url = f"apprise:json://127.0.0.1:{elsewhere.port}/{{to}}"
    return {
        **providers,
        "SMS_BACKENDS": f"twilio,{url}",
        "SLACK_BACKENDS": f"webhooks,{url}",
        "RESEND_API_KEY": "re_123456",
        "RESEND_BASE_URL": f"http://127.0.0.1:{resend.port}",
    }


def away() -> str:
    return f"http://127.0.0.1:{free_port()}"


def is_(status: str, id_: UUID) -> bool:
    return Notification.objects.get(pk=id_).status == status


def attempts(id_: UUID) -> list[tuple[str, str, bool]]:
    """By whom each was, what came of it, and whether it is marked."""
    of = Attempt.objects.filter(notification=id_).order_by("number")
    return list(of.values_list("backend", "outcome", "possible_duplicate"))


def test_an_sms_goes_out_by_the_backup_within_a_second(
    post: Post, sandbox: Sandbox, elsewhere: Answering, listed: dict[str, str]
) -> None:
    with processes.worker(**listed | {"TWILIO_BASE_URL": away()}):
        id_ = post("hello", **SMS)
        eventually(lambda: is_("sent", id_), what="sent by the backup")

    assert attempts(id_) == [("twilio_sms", "transient", False), ("apprise", "accepted", False)]
    first, second = Attempt.objects.order_by("number")
    assert second.started_at - first.finished_at < timedelta(seconds=1)
    (request,) = elsewhere.requests
    assert unquote(request.path).rstrip("/") == "/+14155552671"
    assert json.loads(request.body)["message"] == "hello"
    assert (Notification.objects.get().lane, sandbox.mailbox.messages()) == ("sms@apprise", [])
    assert books.audit().violations == []


def test_what_waits_for_refused_credentials_is_diverted_to_the_backup(
    post: Post, elsewhere: Answering, listed: dict[str, str]
) -> None:
    ids = [post(f"message {n}", **SMS) for n in range(10)]
    with processes.worker(**listed | {"TWILIO_AUTH_TOKEN": "wrong"}):
        eventually(lambda: all(is_("sent", id_) for id_ in ids), seconds=30, what="sent by the backup")

    assert len(elsewhere.requests) == 10
    assert "20003" in LaneState.objects.get(lane="sms").reason
    assert set(Event.objects.filter(kind="diverted").values_list("notification_id", flat=True)) == set(ids)
    assert books.audit().violations == []


def test_a_mail_whose_answer_was_lost_is_sent_again_under_its_key_without_a_mark(
    post: Post, resend: Answering, sandbox: Sandbox, listed: dict[str, str]
) -> None:
    resend.answers = [Instead.HANG_UP]
    id_ = post("hello", content={"html": "<p>hello</p>"}, **MAIL)
    with processes.worker(**listed | {"EMAIL_BACKENDS": "resend,smtp"}):
        eventually(lambda: is_("sent", id_), seconds=30, what="sent again")

    assert attempts(id_) == [("resend", "in_doubt", False), ("resend", "accepted", False)]
    first, second = resend.requests
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"] == str(id_)
    assert first.body == second.body
    assert json.loads(first.body)["html"] == "<p>hello</p>"
    assert (Notification.objects.get().possible_duplicate, sandbox.mailbox.messages("email")) == (False, [])
    assert books.audit().violations == []


def test_a_mail_goes_on_whole_or_not_at_all(
    post: Post, elsewhere: Answering, resend: Answering, listed: dict[str, str]
) -> None:
    environment = listed | {"SMTP_PORT": str(free_port())}
    url = f"apprise:json://127.0.0.1:{elsewhere.port}/{{to}}"
    whole = post("whole", content={"html": "<p>hello</p>"}, **MAIL)
    plain = post("plain", **MAIL)
    with processes.worker(**environment | {"EMAIL_BACKENDS": f"smtp,{url}"}):
        eventually(lambda: is_("sent", plain), what="the plain one sent by the backup")
        eventually(lambda: len(attempts(whole)) > 1, seconds=30, what="the other is tried by the relay again")
    assert [json.loads(request.body)["message"] for request in elsewhere.requests] == ["plain"]
    assert ({backend for backend, *_ in attempts(whole)}, is_("pending", whole)) == ({"smtp_email"}, True)

    with processes.worker(**environment | {"EMAIL_BACKENDS": f"smtp,{url},resend"}):
        eventually(lambda: is_("sent", whole), seconds=60, what="sent by the one that carries HTML")
    assert json.loads(resend.requests[0].body)["html"] == "<p>hello</p>"
    assert len(elsewhere.requests) == 1


def test_a_text_for_slack_goes_on_and_blocks_do_not(post: Post, elsewhere: Answering, listed: dict[str, str]) -> None:
    blocks = post("with blocks", content={"blocks": [{"type": "divider"}]})
    plain = post("plain")
    environment = listed | {"SLACK_WEB_HOOK_URL": f"{away()}/services/T0/B0/x", "SLACK_RATE": "off"}
    with processes.worker(**environment):
        eventually(lambda: is_("sent", plain), what="the plain one sent by the backup")

    assert [json.loads(request.body)["message"] for request in elsewhere.requests] == ["plain"]
    assert unquote(elsewhere.requests[0].path).rstrip("/") == "/default"
    assert Notification.objects.get(pk=plain).lane == "slack@apprise:default"
    assert not is_("sent", blocks)


def test_whoever_may_have_it_is_asked_before_another_sends_it(
    post: Post, sandbox: Sandbox, elsewhere: Answering, listed: dict[str, str]
) -> None:
    sandbox.faults.set("sms", Fault(kind=Kind.DROP_AFTER, times=1))
    id_ = post("hello", **SMS)
    with processes.worker(**listed, SMS_ON_UNKNOWN="resend"):
        eventually(lambda: is_("sent", id_), what="found")

    (message,) = sandbox.mailbox.messages("sms")
    assert elsewhere.requests == []
    assert attempts(id_) == [("twilio_sms", "in_doubt", False), ("twilio_sms", "accepted", True)]
    last = Attempt.objects.get(number=2)
    assert (last.code, last.provider_id) == ("found", message.provider_id)
    assert books.audit().violations == []


def test_what_nobody_has_is_sent_by_the_other_and_marked(
    post: Post, sandbox: Sandbox, elsewhere: Answering, listed: dict[str, str]
) -> None:
    sandbox.faults.set("sms", Fault(kind=Kind.DROP_BEFORE, times=1))
    id_ = post("hello", **SMS)
    with processes.worker(**listed, SMS_ON_UNKNOWN="resend"):
        eventually(lambda: is_("sent", id_), what="sent by the other")

    assert attempts(id_) == [("twilio_sms", "in_doubt", False), ("apprise", "accepted", True)]
    assert (len(elsewhere.requests), sandbox.mailbox.messages("sms")) == (1, [])


def test_who_cannot_be_asked_keeps_no_other_from_sending(
    post: Post, elsewhere: Answering, listed: dict[str, str]
) -> None:
    with Answering(http_answer(503)) as twilio:
        twilio.answers = [Instead.HANG_UP]
        id_ = post("hello", **SMS)
        troubled = {"TWILIO_BASE_URL": f"http://127.0.0.1:{twilio.port}", "SMS_ON_UNKNOWN": "resend"}
        with processes.worker(**listed | troubled):
            eventually(lambda: is_("sent", id_), what="sent by the other")

    assert attempts(id_) == [("twilio_sms", "in_doubt", False), ("apprise", "accepted", True)]
    assert [bool(request.body) for request in twilio.requests] == [True, False], "a message, then a question"
    assert len(elsewhere.requests) == 1
    assert LaneState.objects.filter(lane="sms@apprise", failures__gt=0).count() == 0
