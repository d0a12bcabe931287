"""Two providers of one channel: what one cannot do the other does, and what may have been sent is marked or held."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest

from channels.sandbox.faults import Fault, Kind
from channels.sandbox.server import Sandbox
from notifications import services
from notifications.models import Attempt, Event, LaneState, Notification
from notifications.outbox import books
from tests import processes
from tests.contract.stand_in import http_answer
from tests.eventually import eventually
from tests.ports import free_port

from .answering import Answering
from .conftest import Post

pytestmark = pytest.mark.django_db(transaction=True)

SMS: dict[str, Any] = {"channel": "sms", "to": "+14155552671"}
BUSY = http_answer(408)  # certainly not sent
REFUSED = http_answer(400, b'{"code": 21211, "message": "no"}')
TAKEN = http_answer(201, b'{"sid": "SM00000000000000000000000000000000", "status": "queued"}')
SETTINGS = {"DJANGO_SETTINGS_MODULE": "tests.integration.dispatch.backups"}


@pytest.fixture
def spare() -> Iterator[Sandbox]:
    """The second provider."""
    with Sandbox() as running:
        yield running


@pytest.fixture
def both(providers: dict[str, str], spare: Sandbox) -> dict[str, str]:
    return {**providers, **SETTINGS, "SPARE_URL": spare.url}


@pytest.fixture
def first() -> Iterator[Answering]:
    """The first provider of SMS, where a test says what it answers."""
    with Answering(TAKEN) as running:
        yield running


@pytest.fixture
def answering(first: Answering, both: dict[str, str]) -> dict[str, str]:
    return both | {"TWILIO_BASE_URL": f"http://127.0.0.1:{first.port}"}


def statuses() -> list[str]:
    return sorted(Notification.objects.values_list("status", flat=True))


def attempts() -> list[tuple[str, bool]]:
    """The outcome of each, and whether it is marked as a possible duplicate."""
    return list(Attempt.objects.order_by("number").values_list("outcome", "possible_duplicate"))


def taken(sandbox: Sandbox) -> list[str]:
    return [message.body for message in sandbox.mailbox.messages()]


def balanced() -> bool:
    return books.audit().violations == []


def test_an_outage_fails_over_within_a_second(
    post: Post, sandbox: Sandbox, spare: Sandbox, both: dict[str, str]
) -> None:
    with processes.worker(**both | {"TWILIO_BASE_URL": f"http://127.0.0.1:{free_port()}"}):
        post("hello", **SMS)
        eventually(lambda: statuses() == ["sent"], what="sent by the spare")

    first, second = Attempt.objects.order_by("number")
    assert (first.outcome, second.outcome, second.possible_duplicate) == ("transient", "accepted", False)
    assert second.started_at - first.finished_at < timedelta(seconds=1)
    assert (taken(sandbox), taken(spare)) == ([], ["hello"])
    assert (Notification.objects.get().lane, Notification.objects.get().tries) == ("sms@spare", 1)
    assert balanced()


def test_a_backup_is_told_an_address_of_its_own_for_its_reports(post: Post, both: dict[str, str]) -> None:
    with Answering(TAKEN) as spare:
        urls = {
            "TWILIO_BASE_URL": f"http://127.0.0.1:{free_port()}",
            "SPARE_URL": f"http://127.0.0.1:{spare.port}",
            "PUBLIC_URL": "https://notify.example.com",
        }
        with processes.worker(**both | urls):
            id_ = post("hello", **SMS)
            eventually(lambda: statuses() == ["sent"], what="sent by the spare")

    told = parse_qs(spare.requests[0].body.decode())["StatusCallback"]
    assert told == [f"https://notify.example.com/api/v1/receipts/sms@spare/{id_}/2"]


def test_a_refused_recipient_does_not_fail_over(post: Post, spare: Sandbox, both: dict[str, str]) -> None:
    post("hello", channel="sms", to="+15005550001")
    with processes.worker(**both):
        eventually(lambda: statuses() == ["failed"], what="refused")

    assert (attempts(), taken(spare)) == ([("permanent", False)], [])


def test_under_hold_what_may_have_been_sent_does_not_fail_over(
    post: Post, sandbox: Sandbox, spare: Sandbox, both: dict[str, str]
) -> None:
    sandbox.faults.set("sms", Fault(kind=Kind.DROP_AFTER))
    post("hello", **SMS)
    with processes.worker(**both):
        eventually(lambda: statuses() == ["unknown"], what="held")

    assert (attempts(), taken(sandbox), taken(spare)) == ([("in_doubt", False)], ["hello"], [])
    assert balanced()


def test_under_resend_it_fails_over_and_is_marked(
    post: Post, sandbox: Sandbox, spare: Sandbox, both: dict[str, str]
) -> None:
    sandbox.faults.set("slack", Fault(kind=Kind.DROP_AFTER))
    post("hello")
    with processes.worker(**both):
        eventually(lambda: statuses() == ["sent"], what="sent by the spare")

    assert attempts() == [("in_doubt", False), ("accepted", True)]
    assert (taken(sandbox), taken(spare)) == (["hello"], ["hello"])
    assert Notification.objects.get().lane == "slack@spare:default"
    assert balanced()


def test_where_the_backup_is_away_as_well_it_comes_back_to_the_first(
    post: Post, first: Answering, answering: dict[str, str]
) -> None:
    first.answers = [BUSY]
    post("hello", **SMS)
    with processes.worker(**answering | {"SPARE_URL": f"http://127.0.0.1:{free_port()}"}):
        eventually(lambda: statuses() == ["sent"], seconds=30, what="sent by the first")

    assert [outcome for outcome, _ in attempts()] == ["transient", "transient", "accepted"]
    assert (len(first.requests), Notification.objects.get().lane) == (2, "sms")


def test_a_rate_limit_waits_for_the_same_provider(
    post: Post, sandbox: Sandbox, spare: Sandbox, both: dict[str, str]
) -> None:
    sandbox.faults.set("slack", Fault(kind=Kind.STATUS, status=429, retry_after="3", times=1))
    for n in range(5):
        post(f"message {n}")
    with processes.worker(**both):
        eventually(lambda: statuses() == ["sent"] * 5, seconds=30, what="sent when it said so")

    assert (len(taken(sandbox)), taken(spare)) == (5, [])
    assert not Event.objects.filter(kind="diverted").exists()


def test_what_waits_for_refused_credentials_is_diverted_and_new_ones_begin_with_the_first(
    post: Post, sandbox: Sandbox, spare: Sandbox, both: dict[str, str]
) -> None:
    for n in range(30):
        post(f"message {n}", **SMS)
    with processes.worker(**both | {"TWILIO_AUTH_TOKEN": "wrong"}):
        eventually(lambda: statuses() == ["sent"] * 30, what="sent by the spare")
        late = post("later", **SMS)
        assert Notification.objects.get(pk=late).lane == "sms"
        eventually(lambda: statuses() == ["sent"] * 31, what="that one, too")

    assert (taken(sandbox), len(taken(spare))) == ([], 31)
    assert set(Notification.objects.values_list("lane", "tries")) == {("sms@spare", 0)}
    assert "20003" in LaneState.objects.get(lane="sms").reason
    told = Event.objects.filter(kind="diverted", actor="relay")
    assert told.count() == 31
    assert "sms to sms@spare, because of 20003" in told[0].detail
    assert balanced()


def test_what_is_replayed_begins_with_the_first_again(post: Post, first: Answering, answering: dict[str, str]) -> None:
    first.answers = [BUSY]
    id_ = post("hello", **SMS)
    spare = Answering(REFUSED)
    spare_url = {"SPARE_URL": f"http://127.0.0.1:{spare.port}"}
    with spare, processes.worker(**answering | spare_url):
        eventually(lambda: statuses() == ["failed"], what="refused by the spare")
        assert Notification.objects.get().lane == "sms@spare"
        services.resend([id_], actor="ada")
        eventually(lambda: statuses() == ["sent"], what="sent by the first")

    assert [outcome for outcome, _ in attempts()] == ["transient", "permanent", "accepted"]
    assert (len(first.requests), len(spare.requests), Notification.objects.get().lane) == (2, 1, "sms")


def test_a_worker_that_knows_no_backups_leaves_their_lanes_to_those_that_do(
    post: Post, providers: dict[str, str], spare: Sandbox, both: dict[str, str]
) -> None:
    id_ = post("hello", **SMS)
    Notification.objects.filter(pk=id_).update(lane="sms@spare")
    with processes.worker(**providers):
        post("another", **SMS)
        eventually(lambda: statuses() == ["pending", "sent"], what="its own is sent")
    assert Notification.objects.get(pk=id_).attempt == 0

    with processes.worker(**both):
        eventually(lambda: statuses() == ["sent", "sent"], what="both")
    assert taken(spare) == ["hello"]


def test_an_hour_ahead_nothing_is_diverted(post: Post, spare: Sandbox, both: dict[str, str]) -> None:
    later = post("later", **SMS, send_at=datetime.now(UTC) + timedelta(hours=1))
    with processes.worker(**both | {"TWILIO_AUTH_TOKEN": "wrong"}):
        post("hello", **SMS)
        eventually(lambda: "sent" in statuses(), what="the other is sent by the spare")

    assert Notification.objects.get(pk=later).lane == "sms"
