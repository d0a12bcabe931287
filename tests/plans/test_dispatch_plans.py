"""What every worker asks all the time, over a quarter of a million rows: work in proportion to the batch.

Whatever the planner was told about the tables, and with 150,000 dead entries in the indexes, as a pinned snapshot
leaves them.
"""

from __future__ import annotations

from datetime import timedelta
from typing import LiteralString

import pytest
from django.db import connection

from notifications.models import Client
from notifications.outbox import lanes, suppress
from notifications.outbox.claim import CLAIM
from notifications.outbox.divert import AT_ONCE, DIVERT, FIND, find
from notifications.outbox.keys import SINCE_FIRST_SEND
from notifications.outbox.operate import EXPIRE
from notifications.outbox.record import RECORD, RECORD_AND_TELL, RECORD_MOVES, RECORD_MOVES_AND_TELL
from notifications.outbox.recover import BURY, TAKE_BACK
from notifications.outbox.stretches import EVERYWHERE, FIRST, LAST, START, Position, Stretch, as_parameters
from notifications.outbox.workers import BEAT, GLANCE, OLDEST, SWEEP
from tests.factories import WebhookEndpointFactory
from tests.plans import tables
from tests.plans.explained import explained
from tests.plans.tables import BUSY, CLAIMED, CLIENTS, GONE, LANE, LANES, OWN, id_of, moment

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(300)]

# Pages for each row that is written: its versions, and an entry in each index, a few levels down.
PAGES_A_ROW = 25
PAGES_AT_LEAST = 100

# Of the worker that drained it: the busy client has more; of the others, too, nothing older is left.
DRAINED_TO = Position(moment(tables.HISTORY), id_of(tables.HISTORY))
DRAINED = (
    Stretch(1, FIRST, BUSY, DRAINED_TO.due_at, DRAINED_TO),
    Stretch(1, BUSY, LAST, DRAINED_TO.due_at, None),
)
STRETCHES = (EVERYWHERE[0], *DRAINED, EVERYWHERE[2])


def claiming(batch: int, *stretches: Stretch) -> dict[str, object]:
    where = as_parameters(stretches or STRETCHES)
    return {
        "lane": LANE,
        "channel": "slack",
        "worker": OWN,
        "batch": batch,
        "started": True,
        "probing": False,
        **where,
    }


def recording(batch: int) -> dict[str, object]:
    def all_of(value: object) -> str:
        return "{" + ",".join([str(value)] * batch) + "}"

    usual: dict[str, object] = dict.fromkeys(
        ["outcomes", "statuses", "delays", "tries", "doubles", "doubled", "codes", "details"], "{}"
    )
    return {
        **usual,
        "ids": "{" + ",".join(str(id_of(tables.SENDING_OWN + n)) for n in range(batch)) + "}",
        "attempts": all_of(1),
        "workers": all_of(OWN),
        "provider_ids": all_of('"SM1"'),
        "backend": "slack_webhook",
        "started": all_of(0.2),
        "finished": all_of(0.1),
        "next": "{" + ",".join(str(id_of(tables.SENDING_OWN + batch + n)) for n in range(batch)) + "}",
        "next_attempts": all_of(1),
        "next_workers": all_of(OWN),
    }


@pytest.mark.parametrize("batch", [1, 20, 500])
@pytest.mark.parametrize("first", [0, 1, 2])
def test_a_claim_begins_at_its_cursors_and_touches_what_it_takes(stage: str, mode: str, batch: int, first: int) -> None:
    stretches = sorted(STRETCHES, key=lambda stretch: (stretch.priority - first) % 3)

    # What a statement does by itself it does each time. Once, and by the way, Postgres looks through the heap for what
    # tests before this one rolled back, where a page of an index is full of it.
    plans = [explained(CLAIM, claiming(batch, *stretches), mode=mode) for _ in range(2)]
    plan = min(plans, key=lambda each: each.pages)

    assert plan.indexes == {"notification_ready", "notification_pkey", "suppression_once"}, plan
    assert not plan.read_whole, plan
    # Found once, updated once; and the first of each client, or the one behind its share, and of the suppression list.
    assert plan.rows <= 2 * batch + 4 * len(CLIENTS) + 1, plan
    assert plan.pages <= PAGES_A_ROW * batch + PAGES_AT_LEAST, plan


@pytest.mark.parametrize("stretch", [EVERYWHERE[1], DRAINED[0]._replace(reached=START)])
def test_without_its_cursors_a_claim_would_walk_the_dead(stage: str, mode: str, stretch: Stretch) -> None:
    """What the test above would see, if it were so: of a client that has a cursor of its own, and of the others."""
    plan = explained(CLAIM, claiming(20, stretch), mode=mode)

    assert (plan.pages > 10 * (PAGES_A_ROW * 20 + PAGES_AT_LEAST)) == ("dead" in stage), plan


# What CLAIM and REPLAY ask of each of their rows; by itself, as it writes nothing then.
_LOOKING = "SELECT {reason} FROM notification AS n WHERE n.id = ANY(%(ids)s::uuid[])"
LOOKING = _LOOKING.format(reason=suppress.REASON.format(row="n"))
LOOKING_IN_LANE = _LOOKING.format(reason=suppress.REASON_IN_LANE.format(row="n", lane="%(lane)s"))
SOME = {"ids": [id_of(tables.PENDING + n) for n in range(500)], "lane": LANE}


@pytest.mark.parametrize("statement", [LOOKING, LOOKING_IN_LANE])
def test_the_suppressed_are_found_one_by_one(stage: str, mode: str, statement: str) -> None:
    with connection.cursor() as cursor:  # undone at the end of the test
        cursor.execute("UPDATE suppression SET recipient = 'somebody' WHERE id = (SELECT min(id) FROM suppression)")

    plan = explained(statement, SOME, mode=mode)

    assert plan.indexes == {"notification_pkey", "suppression_once"}, plan
    assert not plan.read_whole, plan
    assert plan.rows <= 2 * 500 + 1, plan
    assert plan.pages <= 10 * 500, plan


def test_while_nobody_is_suppressed_nobody_is_looked_for(stage: str, mode: str) -> None:
    with connection.cursor() as cursor:  # undone at the end of the test
        cursor.execute("TRUNCATE suppression")

    plan = explained(LOOKING, SOME, mode=mode)

    assert plan.indexes == {"notification_pkey"}, plan


@pytest.mark.parametrize("lane", ["fax", "~test:fax", "slac", "slackk:ops"])
def test_of_a_channel_that_suppresses_nobody_nobody_is_looked_for(stage: str, mode: str, lane: str) -> None:
    plan = explained(LOOKING_IN_LANE, {**SOME, "lane": lane}, mode=mode)

    assert not plan.read_whole, plan
    assert plan.rows <= 500 + 1, plan
    assert plan.pages <= 5 * 500, plan


def test_a_claim_of_an_empty_lane_touches_nothing(stage: str, mode: str) -> None:
    plan = explained(CLAIM, claiming(20) | {"lane": "slack:nobody"}, mode=mode)

    assert plan.rows == 0, plan
    assert plan.pages <= 20, plan


@pytest.mark.parametrize("batch", [1, 200])
def test_a_record_finds_its_rows_by_primary_key(stage: str, mode: str, batch: int) -> None:
    plan = explained(RECORD, recording(batch), mode=mode)

    assert plan.indexes == {"notification_pkey"}, plan
    assert not plan.read_whole, plan
    assert plan.rows == 2 * batch, plan  # as many results as sends that begin
    assert plan.pages <= PAGES_A_ROW * 2 * batch + PAGES_AT_LEAST, plan


@pytest.mark.parametrize("statement", [RECORD_MOVES, RECORD_MOVES_AND_TELL])
@pytest.mark.parametrize("batch", [1, 200])
def test_a_record_that_moves_finds_its_rows_by_primary_key(
    stage: str, mode: str, batch: int, statement: LiteralString
) -> None:
    moves = {"lanes": "{" + ",".join(["slack@spare:ops"] * batch) + "}", "key_lefts": "{}"}

    plan = explained(statement, recording(batch) | moves, mode=mode)

    assert plan.indexes == {"notification_pkey"}, plan
    assert not plan.read_whole, plan
    assert plan.rows == 2 * batch, plan
    assert plan.pages <= PAGES_A_ROW * 2 * batch + PAGES_AT_LEAST, plan


@pytest.mark.parametrize("webhooks", [1, 10])
@pytest.mark.parametrize("batch", [1, 200])
def test_a_record_that_tells_finds_what_it_tells_of_by_primary_key(
    stage: str, mode: str, batch: int, webhooks: int
) -> None:
    for _ in range(webhooks):  # undone at the end of the test
        WebhookEndpointFactory(client=Client(id=BUSY))

    plan = explained(RECORD_AND_TELL, recording(batch), mode=mode)

    assert plan.indexes == {"notification_pkey"}, plan
    assert not plan.read_whole, plan
    assert plan.rows <= (2 + webhooks) * batch, plan  # for each result and each that begins; and for what is told
    assert plan.pages <= PAGES_A_ROW * (2 + webhooks) * batch + PAGES_AT_LEAST, plan


@pytest.mark.parametrize("batch", [1, 200])
def test_a_record_that_must_tell_stops_before_its_rows(stage: str, mode: str, batch: int) -> None:
    WebhookEndpointFactory(client=Client(id=BUSY))
    nothing_begins = dict.fromkeys(["next", "next_attempts", "next_workers"], "{}")

    plan = explained(RECORD, recording(batch) | nothing_begins, mode=mode)

    assert plan.rows == 0, plan
    assert plan.pages <= 20, plan


def test_with_a_plain_status_a_record_would_walk_the_dead(stage: str, mode: str) -> None:
    """Why the fence compares `status || ''`: no partial index may match."""
    plain = RECORD.replace("n.status || '' = 'sending'", "n.status = 'sending'")
    assert plain != RECORD

    plan = explained(plain, recording(1), mode=mode)

    assert (plan.pages > 3 * (PAGES_A_ROW * 2 + PAGES_AT_LEAST)) == ("dead" in stage), plan


def test_taking_back_touches_what_the_dead_worker_held(stage: str, mode: str) -> None:
    plan = explained(TAKE_BACK, taking_back(keys=False), mode=mode)

    assert plan.indexes == {"notification_claimed", "notification_pkey"}, plan
    assert not plan.read_whole, plan
    assert plan.rows == 2 * CLAIMED, plan
    assert plan.pages <= PAGES_A_ROW * CLAIMED + PAGES_AT_LEAST, plan


def test_where_a_provider_takes_keys_taking_back_looks_at_the_attempts_of_what_was_lost(stage: str, mode: str) -> None:
    plan = explained(TAKE_BACK, taking_back(keys=True), mode=mode)

    assert plan.indexes == {"notification_claimed", "notification_pkey", "attempt_pkey"}, plan
    assert not plan.read_whole, plan
    assert plan.rows == 2 * CLAIMED, plan  # none of these has an attempt
    assert plan.pages <= PAGES_A_ROW * CLAIMED + PAGES_AT_LEAST, plan


def taking_back(*, keys: bool) -> dict[str, object]:
    """With the policies of all lanes."""
    return {
        "workers": [GONE],
        "ids": None,
        "attempts": None,
        "detail": "",
        "by": None,
        "note": None,
        "heads": ["email", "slack", "sms"],
        "backends": ["smtp", "slack_webhook", "twilio_sms"],
        "holds": [False, False, True],
        "lives": [86_400.0 if keys else None] * 3,
        "deadlines": [10.0] * 3,
    }


def test_when_a_key_was_given_is_asked_of_one_notifications_attempts(stage: str, mode: str) -> None:
    plan = explained(SINCE_FIRST_SEND, {"id": id_of(777), "backend": "slack_webhook"}, mode=mode)

    assert plan.indexes == {"attempt_pkey"}, plan
    assert (plan.rows, plan.pages <= 10) == (1, True), plan


@pytest.fixture
def stopped() -> None:
    """By a refusal of its provider's; undone at the end of the test."""
    lanes.pause_growing(LANE, timedelta(minutes=1), timedelta(minutes=1), "refused")


def test_what_waits_for_a_provider_that_stopped_is_found_by_lane(stage: str, mode: str, stopped: None) -> None:
    given = {"lane": LANE, "hold": False, "staying": [], **as_parameters(EVERYWHERE)}

    plan = explained(FIND, given, mode=mode)

    assert plan.indexes <= {"notification_ready", "lane_state_pkey"}, plan
    assert not plan.read_whole, plan
    assert plan.rows <= AT_ONCE + 3 * len(CLIENTS), plan
    if "dead" not in stage:  # there it walks them, as a look at everything does; the lane is stopped, and nothing waits
        assert plan.pages <= PAGES_A_ROW * AT_ONCE, plan  # what other tests have rolled back lies on the way


def test_where_no_provider_stopped_nothing_is_looked_for(stage: str, mode: str) -> None:
    given = {"lane": LANE, "hold": False, "staying": [], **as_parameters(EVERYWHERE)}

    plan = explained(FIND, given, mode=mode)

    assert (plan.rows, plan.pages <= 10) == (0, True), plan


def test_a_diversion_touches_the_rows_it_names(stage: str, mode: str, stopped: None) -> None:
    ids = [row.id for row in find(LANE, hold_unknown=False)]
    given = {"lane": LANE, "ids": ids, "lanes": ["slack@spare:ops"] * len(ids), "hold": False}

    plan = explained(DIVERT, given, mode=mode)

    assert len(ids) == AT_ONCE
    assert plan.indexes <= {"notification_pkey", "lane_state_pkey"}, plan
    assert not plan.read_whole, plan
    assert plan.rows <= 2 * len(ids), plan
    assert plan.pages <= PAGES_A_ROW * len(ids) + PAGES_AT_LEAST, plan


def test_a_glance_looks_only_where_this_process_has_come_to(stage: str, mode: str) -> None:
    places = [
        (lane, stretch)
        for lane in LANES
        for priority in (0, 1, 2)
        for stretch in (DRAINED if (lane, priority) == (LANE, 1) else [EVERYWHERE[priority]])
    ]
    named = {"lanes": [lane for lane, _ in places], **as_parameters([stretch for _, stretch in places])}

    plan = explained(GLANCE, named, mode=mode)

    assert plan.indexes == {"notification_ready"}, plan
    assert plan.rows <= len(places) * len(CLIENTS), plan
    assert plan.pages <= 10 * len(places) * len(CLIENTS), plan


def test_a_look_at_everything_touches_each_lane_and_what_is_being_sent(stage: str, mode: str) -> None:
    plan = explained(SWEEP, {"worker": OWN}, mode=mode)

    partial = {"notification_ready", "notification_claimed", "notification_expiring", "operation_unfinished"}
    assert plan.indexes == partial, plan
    assert not plan.read_whole, plan
    assert plan.rows <= 3 * CLAIMED + 3 * len(LANES) * len(CLIENTS), plan
    if "dead" not in stage:  # there it walks them all: the relay does so a twentieth of the time, and glances between
        assert plan.pages <= 5 * CLAIMED + PAGES_AT_LEAST, plan


def test_the_age_of_the_queue_is_told_by_the_first_of_each_lane(stage: str, mode: str) -> None:
    plan = explained(OLDEST, {}, mode=mode)

    of_lanes = {
        index for index in plan.indexes if index.startswith("lane_state_")
    }  # a small table, by either of its two
    assert plan.indexes - of_lanes == {"notification_ready"}, plan
    assert not plan.read_whole, plan
    assert plan.rows <= 3 * len(LANES) * len(CLIENTS), plan
    if "dead" not in stage:  # there it walks them all: a probe that took long is believed for longer
        assert plan.pages <= 10 * 3 * len(LANES) * len(CLIENTS), plan


def test_a_beat_touches_the_leases_alone(stage: str, mode: str) -> None:
    plan = explained(BEAT, {"id": OWN}, mode=mode)

    assert (plan.indexes - {"worker_pkey"}, plan.read_whole) == (set(), set()), plan
    assert plan.pages <= 20, plan


def test_burying_touches_one_lease(stage: str, mode: str) -> None:
    plan = explained(BURY, {"worker": OWN, "beat": 5}, mode=mode)

    assert plan.pages <= 20, plan


@pytest.mark.parametrize("overdue", [0, 100])
def test_expiring_touches_what_is_overdue(stage: str, mode: str, overdue: int) -> None:
    with connection.cursor() as cursor:  # undone at the end of the test
        cursor.execute(
            "UPDATE notification SET expires_at = now() - interval '1 hour' WHERE id BETWEEN %s AND %s",
            [id_of(tables.LATER), id_of(tables.LATER + overdue - 1)],
        )

    plan = explained(EXPIRE, {}, mode=mode)

    assert plan.indexes == {"notification_expiring", "notification_pkey"} or not overdue, plan
    assert not plan.read_whole, plan
    assert plan.rows <= 3 * overdue, plan
    assert plan.pages <= PAGES_A_ROW * overdue + PAGES_AT_LEAST, plan
