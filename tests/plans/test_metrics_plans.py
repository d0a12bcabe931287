"""What a scrape and the tallies' samples read: what is open, and nothing of the history."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from notifications.outbox.gauges import GAUGES
from notifications.outbox.standing import LATELY, STANDING
from notifications.outbox.tallies import ADD, SAMPLE
from tests.plans import tables
from tests.plans.explained import explained

pytestmark = pytest.mark.django_db

OPEN = tables.LIVE + 1_000  # pending, now and later


def test_a_scrape_reads_what_is_open_by_its_indexes(stage: str, mode: str) -> None:
    plan = explained(GAUGES, {}, mode=mode)

    assert plan.indexes <= {"notification_ready", "notification_attention", "operation_unfinished"}, plan
    assert not plan.read_whole - {"operation"}, plan
    assert plan.rows <= 2 * OPEN + tables.ATTENTION, plan


def test_a_sample_reads_what_is_pending_by_its_index(stage: str, mode: str) -> None:
    plan = explained(SAMPLE, {"channels": ["slack", "sms", "email"]}, mode=mode)

    assert "notification_ready" in plan.indexes, plan
    assert not plan.read_whole - {"tally"}, plan
    assert plan.rows <= 2 * OPEN, plan


@pytest.mark.parametrize("only", ["", "slack"], ids=["all", "one channel"])
def test_how_lanes_stand_is_read_from_what_is_open_by_its_index(stage: str, mode: str, only: str) -> None:
    parameters = {"known": ["slack:default", "sms", "email"], "search": "", "only": only, "most": 100}

    plan = explained(STANDING, parameters, mode=mode)

    # A small table, by either of its two.
    of_lanes = {index for index in plan.indexes if index.startswith("lane_state_")}
    assert plan.indexes - of_lanes <= {"notification_ready"}, plan
    assert not plan.read_whole - {"lane_state"}, plan
    assert plan.rows <= 2 * OPEN, plan


def test_when_channels_sent_last_is_read_from_one_day(stage: str, mode: str) -> None:
    plan = explained(LATELY, {}, mode=mode)

    assert plan.indexes <= {"tally_pkey"}, plan
    assert not plan.read_whole - {"tally"}, plan


def test_tallies_are_added_without_reading_any(stage: str, mode: str) -> None:
    rows = {
        "minutes": [datetime(2026, 1, 1, tzinfo=UTC)] * 2,
        "channels": ["slack", "sms"],
        "kinds": ["sent", "sent"],
        "codes": ["", ""],
        "counts": [1, 2],
    }

    plan = explained(ADD, rows, mode=mode)

    assert not plan.read_whole, plan
    assert plan.rows <= 2, plan
