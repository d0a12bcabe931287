"""What the relays' chores ask of tables of any size: their own few rows, and a purge that finds nothing to delete."""

from __future__ import annotations

from datetime import timedelta
from typing import LiteralString
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from notifications.models import Chore, Worker
from notifications.outbox import chores, purge
from tests.plans.explained import explained

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(300)]

STATEMENTS = {
    "take": chores.TAKE,
    "hold": chores.HOLD,
    "keep": chores.KEEP,
    "end": chores.END,
    "lay down": chores.LAY_DOWN,
}


@pytest.mark.parametrize("sql", STATEMENTS.values(), ids=STATEMENTS)
def test_a_chores_statements_touch_a_chore_and_its_worker(stage: str, mode: str, sql: LiteralString) -> None:
    worker = Worker.objects.create(id=uuid4(), host="here", pid=1, started_at=timezone.now()).id
    Chore.objects.create(name="purge", last_at=timezone.now() - timedelta(hours=2), taken_by=worker)
    parameters = {
        "name": "purge",
        "worker": worker,
        "every": timedelta(hours=1),
        "done": "{}",
        "result": "deleted nothing",
    }

    plan = explained(sql, parameters, mode=mode)

    assert plan.read_whole <= {"chore"}, plan  # as long as there are chores
    assert plan.pages <= 60, plan


def test_a_purge_that_finds_nothing_old_reads_no_notification(stage: str, mode: str) -> None:
    """Which is what it finds an hour after the last: ids are in the order of time."""
    nothing = {"retention": timedelta(days=90), "newest": UUID(int=1), "referred": [], "after": UUID(int=0)}

    plan = explained(purge.DELETE_NOTIFICATIONS, nothing, mode=mode)

    assert plan.rows <= 5, plan
    assert plan.pages <= 100, plan
    assert plan.read_whole <= {"receipt", "event", "label", "attachment_link"}, plan  # empty here
