"""Lanes are paused and resumed, and workers are seen."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client as Browser

from notifications.models import LaneState
from notifications.outbox import lanes
from tests.integration.admin.pages import chosen_rows, shown
from tests.integration.outbox import rows
from tests.integration.staff import only_looking

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("poster")]


def test_a_paused_lane_is_seen_and_resumed(browser: Browser, operator: User) -> None:
    lanes.pause("slack:ops", timedelta(minutes=5), "429: <too> many requests")
    lanes.pause("sms", timedelta(minutes=5), "20003: refused")
    answer = shown(browser, "/admin/notifications/lanestate/")
    assert ">paused</span>" in answer
    assert "429: &lt;too&gt; many requests" in answer

    browser.post("/admin/notifications/lanestate/", chosen_rows("slack:ops", action="resume"))

    assert [state.lane for state in LaneState.objects.all()] == ["sms"]
    assert LogEntry.objects.get().object_id == "slack:ops"


def test_a_lane_is_not_resumed_by_who_may_only_look() -> None:
    lanes.pause("slack:ops", timedelta(minutes=5), "429")

    browser = only_looking()
    browser.post("/admin/notifications/lanestate/", chosen_rows("slack:ops", action="resume"))
    assert browser.get("/admin/notifications/lanestate/add/").status_code == 403

    assert LaneState.objects.count() == 1


def pausing(lane: str, **fields: str) -> dict[str, str]:
    return {"which": lane, "because": "maintenance", "until_0": "", "until_1": "", **fields}


def test_an_operator_pauses_a_channel_which_is_seen_audited_and_resumed(browser: Browser, operator: User) -> None:
    lanes.pause("sms", timedelta(minutes=5), "20003: refused")

    browser.post("/admin/notifications/lanestate/add/", pausing("sms", until_0="2040-01-02", until_1="03:04:05"))

    state = LaneState.objects.get()
    assert (state.lane, state.stopped_by, state.reason) == ("sms", operator.get_username(), "20003: refused")
    assert state.stopped_until == datetime(2040, 1, 2, 3, 4, 5, tzinfo=UTC)
    answer = shown(browser, "/admin/notifications/lanestate/")
    assert ">paused by an operator</span>" in answer
    assert f"maintenance ({operator.get_username()})" in answer
    (entry,) = LogEntry.objects.all()
    assert (entry.object_id, entry.change_message) == ("sms", "Paused: maintenance")
    browser.post("/admin/notifications/lanestate/", chosen_rows("sms", action="resume"))
    assert not LaneState.objects.exists()


def test_a_lane_that_is_none_is_not_paused_and_the_form_says_why(browser: Browser) -> None:
    answer = browser.post(
        "/admin/notifications/lanestate/add/", pausing("slak", until_0="2020-01-02", until_1="03:04:05")
    ).content.decode()

    assert "It must begin with a channel" in answer
    assert "It must be in the future" in answer
    assert not LaneState.objects.exists()


def test_workers_are_shown_with_what_they_hold(browser: Browser) -> None:
    worker = rows.worker()
    for _ in range(3):
        rows.accepted()
    rows.claimed(worker)

    answer = shown(browser, "/admin/notifications/worker/")

    assert str(worker) in answer
    assert re.search(r'class="[^"]*field-claims[^"]*"[^>]*>\s*3\s*<', answer)
    assert browser.get("/admin/notifications/worker/add/").status_code == 403
    assert browser.post(f"/admin/notifications/worker/{worker}/delete/", {"post": "yes"}).status_code == 403
