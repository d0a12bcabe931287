"""A claim that begins at a cursor passes over nothing for long."""

from __future__ import annotations

import threading
from uuid import UUID

import pytest
from django.db import connection, transaction

from notifications.cursors import Cursors
from notifications.outbox.claim import Claim
from notifications.outbox.stretches import EVERYWHERE
from tests.eventually import eventually

from . import rows
from .draining import LANE, Drain

pytestmark = pytest.mark.django_db(transaction=True)


def ids(claims: list[Claim]) -> list[UUID]:
    return [each.id for each in claims]


def test_in_full_flow_a_claim_begins_where_the_last_one_ended() -> None:
    drain = Drain()
    first = [rows.accepted() for _ in range(3)]
    rows.accepted()
    assert ids(drain.claim(in_full_flow=False, batch=3)) == first

    stretches, whole = drain.cursors.begin(LANE, in_full_flow=True)

    last = rows.row(first[-1])
    assert [stretch.reached for stretch in stretches if stretch.high == 1] == [(last.due_at, last.id)]
    assert not whole


def test_the_first_claim_of_all_looks_from_the_start() -> None:
    assert Cursors().begin(LANE, in_full_flow=True) == (list(EVERYWHERE), True)


def test_a_commit_that_came_late_is_found_when_the_flow_ebbs() -> None:
    drain = Drain()
    begun, late = threading.Event(), threading.Event()
    late_ones: list[UUID] = []

    def slow_caller() -> None:
        with transaction.atomic():
            late_ones.append(rows.accepted())  # due at the beginning of this transaction
            begun.set()
            late.wait(10)
        connection.close()

    thread = threading.Thread(target=slow_caller)
    thread.start()
    begun.wait(10)
    prompt = [rows.accepted() for _ in range(2)]
    assert ids(drain.claim(in_full_flow=False, batch=1)) == prompt[:1]
    late.set()
    thread.join(10)

    assert ids(drain.claim(in_full_flow=True)) == prompt[1:]
    assert ids(drain.claim(in_full_flow=False)) == late_ones


def test_what_lies_farther_back_is_found_by_the_scan_from_the_start() -> None:
    drain = Drain(whole_at_least=0.2)
    old, new = rows.accepted(), rows.accepted()
    assert ids(drain.claim(in_full_flow=False)) == [old, new]
    with connection.cursor() as cursor:  # as if a lock had hidden it for an hour
        cursor.execute(
            "UPDATE notification SET status = 'pending', worker_id = NULL, claimed_at = NULL, started_at = NULL,"
            " due_at = due_at - interval '1 hour' WHERE id = %s",
            [old],
        )
    assert ids(drain.claim(in_full_flow=False)) == []

    eventually(lambda: ids(drain.claim(in_full_flow=False)) == [old], what="the scan from the start")


def test_each_priority_has_a_cursor_of_its_own() -> None:
    drain = Drain()
    normal = rows.accepted(priority=1)
    drain.claim(in_full_flow=False)
    high = rows.accepted(priority=0)

    assert ids(drain.claim(in_full_flow=True)) == [high]
    assert normal != high
