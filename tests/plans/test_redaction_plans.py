"""What redaction asks of a quarter of a million rows: work in proportion to its batch, never in a claim's way."""

from __future__ import annotations

from datetime import timedelta
from typing import LiteralString
from uuid import UUID

import pytest
from django.db import connection

from notifications.models import Client, Straggler
from notifications.outbox import redact
from tests.plans import tables
from tests.plans.explained import explained
from tests.plans.tables import id_of

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(300)]

# Each has one version more, an entry in each of the lists' indexes, a line less of each attempt and label.
PAGES_A_ROW = 60
BATCH = {"older_than": timedelta(0), "newest": UUID(int=2**128 - 1), "after": UUID(int=0)}
EMPTY = {"label", "attachment_link", "straggler", "redaction"}  # here: any plan may read them whole


@pytest.fixture(autouse=True)
def begun(stage: str) -> None:
    redact.run(redact.BEGIN, {})


@pytest.mark.parametrize("sql", [redact.WALK, redact.COUNT_WALK], ids=["walk", "count"])
def test_the_walk_touches_its_batch(stage: str, mode: str, sql: LiteralString) -> None:
    plan = explained(sql, BATCH, mode=mode)

    assert "notification_pkey" in plan.indexes, plan
    assert plan.read_whole <= EMPTY, plan
    assert plan.rows <= 12 * redact.BATCH, plan
    assert plan.pages <= PAGES_A_ROW * redact.BATCH, plan


def test_where_nothing_is_new_the_walk_touches_nothing(stage: str, mode: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE redaction SET through = %s", [id_of(tables.END)])

    plan = explained(redact.WALK, BATCH, mode=mode)

    assert plan.rows <= 5, plan
    assert plan.pages <= 50, plan


@pytest.mark.parametrize("sql", [redact.CATCH_UP, redact.COUNT_STRAGGLERS], ids=["catch up", "count"])
def test_stragglers_are_looked_up_one_by_one(stage: str, mode: str, sql: LiteralString) -> None:
    Straggler.objects.bulk_create(Straggler(id=id_of(n)) for n in range(1, 5 * redact.BATCH))

    plan = explained(sql, BATCH, mode=mode)

    assert plan.read_whole <= EMPTY, plan
    assert plan.rows <= 16 * redact.BATCH, plan
    assert plan.pages <= PAGES_A_ROW * redact.BATCH, plan


def test_who_asks_to_be_forgotten_is_found_by_the_lists(stage: str, mode: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE notification SET recipient = 'zoe' WHERE id = %s", [id_of(5)])
        cursor.execute("UPDATE listing SET recipient = hashtextextended('zoe', client_id) WHERE id = %s", [id_of(5)])

    plan = explained(redact.OF_RECIPIENT, {"recipients": ["zoe"], "channels": None}, mode=mode)

    assert plan.indexes <= {"listing_recipient", "notification_pkey", "client_pkey"}, plan
    assert not plan.read_whole, plan
    assert plan.rows <= 5, plan
    assert plan.pages <= 2 * 4 * Client.objects.count() + 20, plan  # a look for each client's live and test ones


def test_forgetting_touches_what_is_forgotten(stage: str, mode: str) -> None:
    ids = [id_of(n) for n in range(1, 101)]

    plan = explained(redact.FORGET, {"ids": ids}, mode=mode)

    assert plan.read_whole <= EMPTY, plan
    assert plan.rows <= 40 * len(ids), plan
    assert plan.pages <= 2 * PAGES_A_ROW * len(ids), plan
