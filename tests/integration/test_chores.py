"""How a worker does its chores: step by step, never a step without its lease, and in nobody's way."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from datetime import timedelta
from uuid import UUID

import pytest
import pytest_django
from django.db import OperationalError, transaction
from django.test import Client as Browser
from django.utils import timezone

from notifications import chores
from notifications.chores import Housekeeper
from notifications.lease import Lease
from notifications.models import Chore, IdempotencyRecord, Notification, Worker
from notifications.outbox.purge import purge
from notifications.states import Outcome
from tests.integration.outbox import rows
from tests.integration.outbox.second import Second

pytestmark = pytest.mark.django_db(transaction=True)

LONG_AGO = timezone.now() - timedelta(days=400)


@pytest.fixture
def due() -> Chore:
    return Chore.objects.create(name="purge", last_at=LONG_AGO)


def sent_long_ago(**fields: object) -> UUID:
    id_ = rows.accepted(id=UUID(int=Notification.objects.count() + 1), **fields)
    (claim,) = rows.claimed(rows.worker(), lane=rows.row(id_).lane)
    rows.recorded(rows.result(claim, Outcome.ACCEPTED))
    Notification.objects.filter(pk=id_).update(finished_at=LONG_AGO)
    return id_


def do(chore: chores.Chore, worker: UUID) -> None:
    Housekeeper(Lease(), threading.Event())._look_after("purge", chore, worker)


def test_it_is_done_and_told_with_what_another_had_done_of_it(due: Chore) -> None:
    sent_long_ago(key="old")
    IdempotencyRecord.objects.update(created_at=LONG_AGO)
    Chore.objects.update(done={"notifications": 1000})

    do(chores.wanted()["purge"], rows.worker())

    due.refresh_from_db()
    assert due.last_result == "deleted 1,001 notifications, 1 attempts, 1 keys"
    assert not Notification.objects.exists()


def test_a_worker_without_its_lease_takes_no_step_more(due: Chore) -> None:
    taken: list[int] = []

    def steps() -> Iterator[Mapping[str, int]]:
        for number in range(5):
            taken.append(number)
            if number == 1:
                Worker.objects.all().delete()  # buried by another, while it was in this step
            yield {"keys": 1}

    do(chores.Chore("did", steps), rows.worker())

    due.refresh_from_db()
    assert taken == [0, 1]
    assert (due.last_at, due.last_result, due.done) == (LONG_AGO, "", {"keys": 1})


def test_one_that_trips_says_so_and_is_tried_again_when_it_is_due_again(due: Chore) -> None:
    def steps() -> Iterator[Mapping[str, int]]:
        yield {}
        raise ValueError

    worker = rows.worker()
    with pytest.raises(ValueError):
        do(chores.Chore("did", steps), worker)

    due.refresh_from_db()
    assert due.last_result == "failed: ValueError, see the worker's log"
    do(chores.Chore("did", steps), worker)  # not due


def test_one_that_the_database_interrupts_goes_on(due: Chore) -> None:
    away = True

    def steps() -> Iterator[Mapping[str, int]]:
        yield {"keys": 1}
        if away:
            raise OperationalError
        yield {"keys": 1}

    worker = rows.worker()
    with pytest.raises(OperationalError):
        do(chores.Chore("did", steps), worker)
    away = False
    do(chores.Chore("did", steps), worker)

    due.refresh_from_db()
    assert due.last_result == "did 3 keys"


def test_the_settings_say_what_is_done(settings: pytest_django.Settings) -> None:
    assert set(chores.wanted()) == {"purge"}
    settings.REDACT_AFTER_DAYS = 30
    assert set(chores.wanted()) == {"purge", "redact"}
    settings.CHORES = False
    assert not chores.wanted()


# --- beside claims ---------------------------------------------------------------------------------------


def test_a_purge_passes_over_what_somebody_holds(second: Second) -> None:
    held, free = sent_long_ago(), sent_long_ago()

    with transaction.atomic():
        list(Notification.objects.select_for_update().filter(pk=held))
        second.run(purge_whole)

    assert set(Notification.objects.values_list("id", flat=True)) == {held}, f"{free} is gone"


def test_neither_a_claim_nor_a_record_waits_for_a_step_that_is_not_at_its_end(second: Second) -> None:
    gone = sent_long_ago(key="old")
    IdempotencyRecord.objects.update(created_at=LONG_AGO)
    waits, under_way = rows.accepted(), rows.accepted(lane="slack:other")
    (before,) = rows.claimed(rows.worker(), lane="slack:other")

    with transaction.atomic():
        purge_whole()
        assert not Notification.objects.filter(pk=gone).exists()
        (claim,) = second.run(lambda: rows.claimed(rows.worker()))
        second.run(lambda: rows.recorded(rows.result(claim, Outcome.ACCEPTED), rows.result(before, Outcome.ACCEPTED)))

    assert rows.row(waits).status == rows.row(under_way).status == "sent"


def purge_whole() -> None:
    list(purge(key_life=timedelta(days=3), retention=timedelta(days=90)))


# --- seen by operators -----------------------------------------------------------------------------------


def test_the_dashboard_says_what_was_done_when_and_by_whom(browser: Browser, due: Chore) -> None:
    assert "purge: not done yet" in shown(browser)
    worker = rows.worker()
    Chore.objects.update(taken_by=worker, taken_at=timezone.now(), done={"keys": 12_000})
    name = str(Worker.objects.get())
    assert f"UTC by {name}, deleted 12,000 keys" in shown(browser)

    do(chores.wanted()["purge"], worker)

    page = shown(browser)
    assert "purge: deleted 12,000 keys, " in page
    assert f"UTC by {name}" in page


def test_the_dashboard_says_that_chores_are_left_to_somebody_else(
    browser: Browser, settings: pytest_django.Settings
) -> None:
    settings.CHORES = False

    assert "CHORES</code> is off" in shown(browser)


def shown(browser: Browser) -> str:
    return browser.get("/admin/").content.decode()
