"""The tallies of each minute: added up over processes, and through an outage of the database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection
from pytest_django.fixtures import Settings

from notifications import counting
from notifications.models import Tally as Row
from notifications.outbox import tallies
from notifications.states import Status
from notifications.tally import KEPT_FOR, Tally
from tests.factories import NotificationFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def tally(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tally]:
    """One without a thread, whose time stands still."""
    monkeypatch.setattr("notifications.tally.time", lambda: 1_700_000_000.0)
    return Tally(thread=False)


def rows() -> set[tuple[str, str, str, int]]:
    return set(Row.objects.values_list("channel", "kind", "code", "count"))


def test_processes_add_up(tally: Tally) -> None:
    other = Tally(thread=False)
    for each in (tally, other, tally):
        each.add("slack", "sent", count=2)
        each.add("sms", "failed", "30003")
        assert each.write()

    assert rows() == {("slack", "sent", "", 6), ("sms", "failed", "30003", 3)}


def test_what_was_written_is_not_written_again(tally: Tally) -> None:
    tally.add("slack", "sent")

    assert tally.write()
    assert tally.write()

    assert rows() == {("slack", "sent", "", 1)}


def test_through_an_outage_counts_are_kept_and_too_old_ones_are_not(
    tally: Tally, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    tally.add("slack", "sent", count=3)
    monkeypatch.setattr("notifications.tally.time", lambda: 1_700_000_000.0 + 60 * (KEPT_FOR - 1))
    tally.add("slack", "sent", count=4)
    tally.add("slack", "accepted")
    with connection.cursor() as cursor:
        cursor.execute("SAVEPOINT outage")
        cursor.execute("ALTER TABLE tally RENAME TO away")
        assert not tally.write()
        cursor.execute("ROLLBACK TO SAVEPOINT outage")
    monkeypatch.setattr("notifications.tally.time", lambda: 1_700_000_000.0 + 60 * KEPT_FOR)
    with connection.cursor() as cursor:
        cursor.execute("SAVEPOINT outage")
        cursor.execute("ALTER TABLE tally RENAME TO away")
        assert not tally.write()
        cursor.execute("ROLLBACK TO SAVEPOINT outage")

    assert tally.write()

    assert rows() == {("slack", "sent", "", 4), ("slack", "accepted", "", 1)}


def test_the_first_of_a_minute_samples_what_waits_and_nobody_else() -> None:
    NotificationFactory(channel="slack", lane="slack:ops")
    NotificationFactory(channel="slack", lane="slack:dev")
    NotificationFactory(channel="slack", lane="~test:slack:dev")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE notification SET due_at = now() - interval '90 s' WHERE lane = 'slack:dev'")

    assert tallies.sample(["slack", "sms"])
    assert not tallies.sample(["slack", "sms"])

    found = rows()
    assert {each for each in found if each[1] == "waiting"} == {
        ("slack", "waiting", "", 2),
        ("~test:slack", "waiting", "", 1),
        ("sms", "waiting", "", 0),
    }
    assert {(channel, count // 10) for channel, kind, _, count in found if kind == "oldest"} == {
        ("slack", 9),
        ("~test:slack", 0),
        ("sms", 0),
    }


def test_receipts_and_time_are_counted(tally: Tally, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("notifications.counting.tally", tally)

    counting.reported("sms", Status.DELIVERED)
    counting.reported("sms", Status.FAILED, "30003")
    counting.reported("sms", Status.SENT)
    counting.reported("sms", None)
    counting.expired([("slack:ops", Status.FAILED), ("~test:slack:ops", Status.UNKNOWN), ("slack:dev", Status.FAILED)])
    tally.write()

    assert rows() == {
        ("sms", "delivered", "", 1),
        ("sms", "undelivered", "30003", 1),
        ("slack", "failed", "expired", 2),
        ("~test:slack", "unknown", "expired", 1),
    }
