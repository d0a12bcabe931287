"""An act on many, a stretch at a time: each stretch is a range of one index, whatever else the table holds."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from notifications import operations, services
from notifications.management.aftermath import Aftermath
from notifications.models import Operation
from notifications.selection import Selection
from notifications.states import Status
from notifications.walking import LOOK, walk
from tests.plans.explained import Plan, explained
from tests.plans.tables import BUSY, id_of

pytestmark = pytest.mark.django_db

SIZE = 500
FAILED = Selection(statuses=frozenset({Status.FAILED}))
SELECTIONS = {
    "failed": (FAILED, {"notification_attention"}),
    "failed of a code": (
        Selection(statuses=FAILED.statuses, error_codes=frozenset({"none has this"})),
        {"notification_attention"},
    ),
    "failed of a channel": (
        Selection(statuses=FAILED.statuses, channels=frozenset({"sms"})),
        {"notification_attention"},
    ),
    "being sent": (
        Selection(statuses=frozenset({Status.SENDING})),
        {"notification_claimed", "notification_pkey"},
    ),
    "pending": (Selection(statuses=frozenset({Status.PENDING})), {"notification_ready", "notification_pkey"}),
    "of a client": (
        Selection(clients=frozenset({BUSY})),
        {"listing_pkey", "notification_pkey", "listing_client_id_id_pk"},
    ),
    "sent": (Selection(statuses=frozenset({Status.SENT})), {"notification_pkey"}),
    "chosen by hand": (Selection(ids=frozenset({id_of(5), id_of(50)})), {"notification_pkey"}),
}


def plans(selection: Selection, *, newest: bool) -> list[Plan]:
    with CaptureQueriesContext(
        connection,
    ) as asked:
        walk(selection, size=SIZE, newest=newest)
    queries = [query["sql"] for query in asked.captured_queries if query["sql"].startswith("SELECT")]
    assert queries
    return [explained(sql, {}, mode="custom") for sql in queries]


@pytest.mark.parametrize("newest", [True, False], ids=["newest first", "oldest first"])
@pytest.mark.parametrize("name", sorted(SELECTIONS))
def test_a_stretch_looks_at_a_bounded_part_of_one_index(stage: str, name: str, newest: bool) -> None:
    selection, indexes = SELECTIONS[name]

    for plan in plans(selection, newest=newest):
        assert plan.indexes <= indexes, plan
        assert not plan.read_whole, plan
        assert plan.rows <= 3 * LOOK, plan


def test_what_became_of_many_is_looked_up_by_their_ids_alone(stage: str) -> None:
    aftermath = Aftermath()
    aftermath.add([id_of(number) for number in range(1, 5_001)])

    with CaptureQueriesContext(connection) as asked:
        aftermath.look()

    looks = [query["sql"] for query in asked.captured_queries if query["sql"].startswith("SELECT")]
    assert len(looks) == 5
    for sql in looks:
        plan = explained(sql, {}, mode="custom")
        assert plan.indexes == {"notification_pkey"}, plan
        assert not plan.read_whole, plan
        assert plan.rows <= 1_000, plan


def test_the_next_act_is_found_past_any_number_of_those_that_are_done() -> None:
    Operation.objects.bulk_create(
        Operation(act="resend", actor="ada", via=via, subject="these") for via in ("admin", "command") * 2_500
    )
    left = services.ask("resend", FAILED, actor="ada", via=Operation.Via.COMMAND, chosen=0, subject="these")
    services.ask("resend", FAILED, actor="ada", via=Operation.Via.ADMIN, chosen=0, subject="these")
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE operation")

    for own in (None, left.pk):
        with CaptureQueriesContext(connection) as asked:
            assert operations.step(own) is not None
        (sql,) = [query["sql"] for query in asked.captured_queries if "SKIP LOCKED" in query["sql"]][:1]
        plan = explained(sql, {}, mode="custom")
        assert plan.indexes <= {"operation_unfinished", "operation_pkey"}, plan
        assert not plan.read_whole, plan
        assert plan.rows <= 2, plan
