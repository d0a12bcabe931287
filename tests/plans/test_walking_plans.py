"""An act on many, a stretch at a time: each stretch is a range of one index, whatever else the table holds."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

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
