"""A provider that takes a key for each notification: what nobody knows is sent again under it, in its time."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from notifications.models import Attempt, Notification, Worker
from notifications.outbox import books
from notifications.states import Outcome
from tests import processes
from tests.contract.stand_in import Instead, http_answer
from tests.eventually import eventually

from .answering import Answering
from .conftest import Post

pytestmark = pytest.mark.django_db(transaction=True)

SMS: dict[str, Any] = {"channel": "sms", "to": "+14155552671"}


class Provider(Answering):
    @property
    def keys(self) -> list[str]:
        return [request.headers["idempotency-key"] for request in self.requests]

    def environment(self, policy: str = "hold") -> dict[str, str]:
        return {
            "DJANGO_SETTINGS_MODULE": "tests.integration.dispatch.backups",
            "KEYED_URL": f"http://127.0.0.1:{self.port}/send",
            "SMS_ON_UNKNOWN": policy,
        }


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider(http_answer(200)) as running:
        yield running


def is_(status: str) -> bool:
    return Notification.objects.get().status == status


def attempts() -> list[tuple[str, bool, bool]]:
    """The outcome of each, whether it is marked, and whether its doubt is left to the provider's key."""
    rows = Attempt.objects.order_by("number")
    return [(row.outcome, row.possible_duplicate, row.deduplicated_until is not None) for row in rows]


@pytest.mark.parametrize("policy", ["hold", "resend"])
def test_an_unanswered_send_is_sent_again_under_its_key_without_a_mark(
    post: Post, provider: Provider, policy: str
) -> None:
    provider.answers = [Instead.HANG_UP]
    id_ = post("hello", **SMS)
    with processes.worker(**provider.environment(policy)):
        eventually(lambda: is_("sent"), what="sent again")

    assert attempts() == [("in_doubt", False, True), ("accepted", False, False)]
    assert provider.keys == [str(id_)] * 2
    assert not Notification.objects.get().possible_duplicate
    assert books.audit().violations == []


def test_a_worker_that_dies_in_a_send_leaves_it_to_the_key_as_well(post: Post, provider: Provider) -> None:
    provider.answers = [Instead.HANG]
    id_ = post("hello", **SMS)
    with processes.worker(**provider.environment()):
        eventually(lambda: provider.requests, what="being sent")
        os.kill(Worker.objects.get().pid, signal.SIGKILL)
        with processes.worker(**provider.environment()):
            eventually(lambda: is_("sent"), seconds=30, what="sent by another")

    assert attempts() == [("lost", False, True), ("accepted", False, False)]
    assert provider.keys == [str(id_)] * 2
    assert books.audit().violations == []


def in_doubt(id_: UUID, *, ago: timedelta) -> None:
    """As if its first send, so long ago, had not been answered, and every worker had been away since."""
    began = datetime.now(UTC) - ago
    until = began + timedelta(hours=24)
    Attempt.objects.create(
        notification_id=id_,
        number=1,
        started_at=began,
        finished_at=began,
        outcome=Outcome.IN_DOUBT,
        backend="keyed",
        worker_id=UUID(int=1),
        deduplicated_until=until,
    )
    Notification.objects.filter(pk=id_).update(attempt=1, tries=1, deduplicated_until=until, error_code="timeout")


DAY = timedelta(hours=24)
LAST_SECOND = DAY - timedelta(seconds=2)  # less than a send may take


@pytest.mark.parametrize("ago", [DAY, LAST_SECOND])
def test_past_the_keys_time_it_is_sent_with_a_mark_under_resend(post: Post, provider: Provider, ago: timedelta) -> None:
    in_doubt(post("hello", **SMS), ago=ago)
    with processes.worker(**provider.environment("resend")):
        eventually(lambda: is_("sent"), what="sent again")

    assert attempts() == [("in_doubt", False, True), ("released", False, False), ("accepted", True, False)]
    assert (len(provider.requests), Notification.objects.get().possible_duplicate) == (1, True)
    assert books.audit().violations == []


@pytest.mark.parametrize("ago", [DAY, LAST_SECOND])
def test_past_the_keys_time_it_is_held_unsent_under_hold(post: Post, provider: Provider, ago: timedelta) -> None:
    in_doubt(post("hello", **SMS), ago=ago)
    with processes.worker(**provider.environment()):
        eventually(lambda: is_("unknown"), what="held")

    row = Notification.objects.get()
    assert (row.error_code, row.possible_duplicate, row.deduplicated_until) == ("timeout", True, None)
    assert (attempts()[1:], provider.requests) == ([("released", False, False)], [])
    assert books.audit().violations == []


def test_within_the_keys_time_a_day_of_absence_changes_nothing(post: Post, provider: Provider) -> None:
    in_doubt(post("hello", **SMS), ago=timedelta(hours=23))
    with processes.worker(**provider.environment()):
        eventually(lambda: is_("sent"), what="sent again")

    assert attempts() == [("in_doubt", False, True), ("accepted", False, False)]
    assert books.audit().violations == []


def test_a_send_in_doubt_after_one_that_was_refused_for_now_counts_from_the_first(
    post: Post, provider: Provider
) -> None:
    """The key is as old as its first send: an attempt that failed a day ago has used it, perhaps."""
    id_ = post("hello", **SMS)
    in_doubt(id_, ago=DAY)
    Attempt.objects.update(outcome=Outcome.TRANSIENT, deduplicated_until=None)
    Notification.objects.update(deduplicated_until=None)
    provider.answers = [Instead.HANG_UP]
    with processes.worker(**provider.environment()):
        eventually(lambda: is_("unknown"), what="held")

    assert attempts() == [("transient", False, False), ("in_doubt", False, False)]
