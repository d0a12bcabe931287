"""What may have been sent is asked for at the provider before it is sent again: no message twice, and none lost."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from uuid import UUID

import pytest
from django.core.management import call_command

from channels.contract import TransientError
from channels.registry import Channel, channels
from channels.sandbox.callbacks import Callback
from channels.sandbox.faults import Fault, Kind
from channels.sandbox.server import Sandbox
from notifications import sending
from notifications.models import Attempt, Event, LaneState, Notification
from notifications.outbox import operate
from notifications.outbox.claim import Claim
from notifications.states import Outcome, Status
from tests import processes
from tests.contract.stand_in import HttpStandIn, http_answer
from tests.eventually import eventually
from tests.integration.outbox import rows

from .conftest import Post

pytestmark = pytest.mark.django_db(transaction=True)

SMS = {"channel": "sms", "to": "+14155552671"}
FOUND = "found at the provider: an earlier attempt had sent it"


def status(id_: UUID) -> str:
    return Notification.objects.get(pk=id_).status


def attempts(id_: UUID) -> list[tuple[int, str, str]]:
    rows = Attempt.objects.filter(notification_id=id_).order_by("number")
    return [(a.number, a.outcome, a.detail if a.outcome == "accepted" else "") for a in rows]


def resend(*ids: UUID) -> None:
    call_command("replay_outbox", "--status", "unknown", "--yes", *(f"--id={id_}" for id_ in ids), stdout=io.StringIO())


def books() -> bool:
    told = io.StringIO()
    call_command("check_outbox", "--json", stdout=told)
    return bool(json.loads(told.getvalue())["balanced"])


def held(post: Post, sandbox: Sandbox, providers: dict[str, str], fault: Fault, text: str = "hello") -> UUID:
    """One whose answer never came."""
    sandbox.faults.set("sms", fault)
    id_ = post(text, **SMS)
    with processes.worker(**providers):
        eventually(lambda: status(id_) == "unknown", what="unknown")
    sandbox.faults.clear()
    return id_


TAKEN, NOT_TAKEN = Fault(kind=Kind.DROP_AFTER), Fault(kind=Kind.DROP_BEFORE)


def test_what_the_provider_has_is_not_sent_again(post: Post, sandbox: Sandbox, providers: dict[str, str]) -> None:
    id_ = held(post, sandbox, providers, TAKEN)
    resend(id_)
    with processes.worker(**providers):
        eventually(lambda: status(id_) == "sent", what="found")

    (message,) = sandbox.mailbox.messages()
    assert Notification.objects.get().provider_id == message.provider_id
    assert attempts(id_) == [(1, "in_doubt", ""), (2, "accepted", FOUND)]
    assert Attempt.objects.get(number=2).provider_id == message.provider_id
    assert books()


def test_whose_attempt_nobody_wrote_down_is_asked_for_as_well(
    post: Post, sandbox: Sandbox, providers: dict[str, str]
) -> None:
    id_ = held(post, sandbox, providers, TAKEN)
    Attempt.objects.update(backend="")  # as of a dead worker, buried by one that does not know the lane
    resend(id_)
    with processes.worker(**providers):
        eventually(lambda: status(id_) == "sent", what="found")

    assert len(sandbox.mailbox.messages()) == 1
    assert attempts(id_) == [(1, "in_doubt", ""), (2, "accepted", FOUND)]


def test_what_the_provider_has_not_is_sent_once_and_marked(
    post: Post, sandbox: Sandbox, providers: dict[str, str]
) -> None:
    id_ = held(post, sandbox, providers, NOT_TAKEN)
    resend(id_)
    with processes.worker(**providers):
        eventually(lambda: status(id_) == "sent", what="sent again")

    assert [m.body for m in sandbox.mailbox.messages()] == ["hello"]
    assert attempts(id_) == [(1, "in_doubt", ""), (2, "accepted", "queued")]
    assert Attempt.objects.get(number=2).possible_duplicate


def test_under_resend_what_the_provider_has_is_not_sent_again_either(
    post: Post, sandbox: Sandbox, providers: dict[str, str]
) -> None:
    sandbox.faults.set("sms", Fault(kind=Kind.DROP_AFTER, times=1))
    id_ = post("hello", **SMS)
    with processes.worker(**providers, SMS_ON_UNKNOWN="resend"):
        eventually(lambda: status(id_) == "sent", seconds=30, what="found")

    assert len(sandbox.mailbox.messages()) == 1
    assert attempts(id_) == [(1, "in_doubt", ""), (2, "accepted", FOUND)]


def test_what_the_provider_did_not_get_through_is_sent_again(
    post: Post, sandbox: Sandbox, providers: dict[str, str]
) -> None:
    sandbox.callbacks.set(Callback(status="undelivered"))
    id_ = held(post, sandbox, providers, TAKEN)
    sandbox.callbacks.set(None)
    resend(id_)
    with processes.worker(**providers):
        eventually(lambda: status(id_) == "sent", what="sent again")

    assert len(sandbox.mailbox.messages()) == 2
    assert attempts(id_)[-1] == (2, "accepted", "queued")


@pytest.mark.parametrize("fault", [TAKEN, NOT_TAKEN], ids=["taken", "not taken"])
def test_of_two_with_one_text_to_one_number_neither_is_lost(
    post: Post, sandbox: Sandbox, providers: dict[str, str], fault: Fault
) -> None:
    first = held(post, sandbox, providers, fault)
    with processes.worker(**providers):
        second = post("hello", **SMS, key="another")
        eventually(lambda: status(second) == "sent", what="the second sent")
        resend(first)
        eventually(lambda: status(first) == "sent", what="the first found, or sent again")

    assert len(sandbox.mailbox.messages()) == 2
    ids = {m.provider_id for m in sandbox.mailbox.messages()}
    assert set(Notification.objects.values_list("provider_id", flat=True)) == ids


@pytest.mark.parametrize(
    ("faults", "messages"), [([TAKEN, TAKEN], 2), ([NOT_TAKEN, NOT_TAKEN], 2), ([TAKEN, NOT_TAKEN], 3)]
)
def test_of_two_in_doubt_with_one_text_neither_is_lost(
    post: Post, sandbox: Sandbox, providers: dict[str, str], faults: list[Fault], messages: int
) -> None:
    """Which of them the provider has taken nobody can know: where it is but one, both are sent again, marked."""
    ids = [held(post, sandbox, providers, fault, text) for fault, text in zip(faults, ["hello", "hello "], strict=True)]
    Notification.objects.update(body="hello")
    for id_ in ids:
        resend(id_)
        with processes.worker(**providers):
            eventually(lambda id_=id_: status(id_) == "sent", what="found, or sent again")

    assert len(sandbox.mailbox.messages()) == messages
    assert books()


def test_a_look_up_that_fails_is_a_passing_trouble_and_nothing_is_sent(
    post: Post, sandbox: Sandbox, providers: dict[str, str]
) -> None:
    id_ = held(post, sandbox, providers, TAKEN)
    with HttpStandIn() as twilio:
        twilio.answer = http_answer(503)
        resend(id_)
        with processes.worker(**providers | {"TWILIO_BASE_URL": f"http://127.0.0.1:{twilio.port}"}):
            eventually(lambda: Attempt.objects.filter(number=2).exists(), what="a second attempt")
        assert {request.path.partition("?")[0].rpartition("/")[2] for request in twilio.requests} == {"Messages.json"}
        assert {request.body for request in twilio.requests} == {b""}, "nothing but questions"

    assert Attempt.objects.get(number=2).outcome == "transient"
    assert Notification.objects.get().possible_duplicate
    assert Event.objects.filter(kind="replayed").count() == 1


def test_a_look_up_that_our_credentials_do_not_open_pauses_the_lane(
    post: Post, sandbox: Sandbox, providers: dict[str, str]
) -> None:
    id_ = held(post, sandbox, providers, TAKEN)
    resend(id_)
    with processes.worker(**providers | {"TWILIO_AUTH_TOKEN": "wrong"}):
        eventually(lambda: LaneState.objects.filter(lane="sms").exists(), what="a pause")
        eventually(lambda: status(id_) == "pending", what="given back")

    assert attempts(id_)[-1] == (2, "released", "")
    assert len(sandbox.mailbox.messages()) == 1


@pytest.fixture
def doubtful(post: Post, providers: dict[str, str]) -> tuple[Claim, Channel]:
    """One in doubt in this process's own hands, claimed anew."""
    post("hello", **SMS)
    worker = rows.worker()
    (first,) = rows.claimed(worker, lane="sms")
    rows.recorded(rows.result(first, Outcome.IN_DOUBT, hold=True, backend="twilio_sms"))
    operate.replay([first.id], actor="a test")
    (again,) = rows.claimed(worker, lane="sms")
    return again, channels()["sms"]


def test_what_expires_during_its_look_up_is_not_sent(doubtful: tuple[Claim, Channel], sandbox: Sandbox) -> None:
    claim, known = doubtful
    with known.backend.session() as session:
        result, failure = sending.send(session, claim, "sms", known, left=timedelta(microseconds=1))

    assert (result.outcome, result.decision.status, result.code) == (Outcome.RELEASED, Status.FAILED, "expired")
    assert (failure, sandbox.mailbox.messages()) == (None, [])


def test_a_claim_that_was_taken_away_during_its_look_up_is_not_sent(
    doubtful: tuple[Claim, Channel], sandbox: Sandbox
) -> None:
    claim, known = doubtful
    Notification.objects.update(attempt=claim.attempt + 1)
    with known.backend.session() as session:
        result, failure = sending.send(session, claim, "sms", known, left=None)

    assert isinstance(failure, TransientError)
    assert (result.outcome, failure.code, failure.isolated) == (Outcome.TRANSIENT, "claim_lost", True)
    assert sandbox.mailbox.messages() == []
