"""The page that staff see first tells how things went, how they stand, and whether they add up."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext

from notifications import services
from notifications.dashboard import PERIODS, past, quantiles
from notifications.models import Operation, Tally
from notifications.outbox import books
from notifications.selection import Selection
from notifications.states import Outcome
from tests.integration.outbox import rows

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("slack")]

NOW = datetime(2026, 3, 1, 12, 34, 56, tzinfo=UTC)


def tallied(
    minutes_ago: int, kind: str, count: int, *, code: str = "", channel: str = "sms", now: datetime = NOW
) -> None:
    minute = now.replace(second=0, microsecond=0) - timedelta(minutes=minutes_ago)
    Tally.objects.create(minute=minute, channel=channel, kind=kind, code=code, count=count)


def shown(browser: Browser, address: str = "/admin/") -> str:
    response = browser.get(address)
    assert response.status_code == 200
    return unescape(response.content.decode())


# --- figures ---------------------------------------------------------------------------------------------


def test_every_minute_has_its_number_and_those_of_nothing_are_zero() -> None:
    tallied(0, "accepted", 5)
    tallied(0, "accepted", 2, channel="email")
    tallied(59, "accepted", 3)
    tallied(60, "accepted", 1)  # of the hour before
    tallied(1, "waiting", 7)

    found = past("hour", now=NOW)

    assert len(found.steps) == 60
    assert found.steps[-1] == NOW.replace(second=0)
    assert (found.curves["accepted"][-1], found.curves["accepted"][0]) == (7, 3)
    assert sum(found.curves["accepted"]) == 10
    assert found.curves["waiting"][-2] == 7
    assert found.totals == {"accepted": 10, "sent": 0, "failed": 0}
    assert past("hour", "email", now=NOW).totals["accepted"] == 2


def test_a_longer_step_tells_how_many_a_minute_and_the_most_that_waited() -> None:
    for ago in range(5):
        tallied(ago, "sent", 10)
        tallied(ago, "waiting", ago)

    found = past("6h", now=NOW.replace(minute=34))

    assert found.minutes == 5
    assert found.curves["sent"][-1] == 10
    assert found.curves["waiting"][-1] == 4


@pytest.mark.parametrize("period", PERIODS)
def test_a_period_without_anything_has_no_gaps(period: str) -> None:
    found = past(period, now=NOW)

    assert {len(curve) for curve in found.curves.values()} == {len(found.steps)} == {len(found.latency)}
    assert found.overall == (None, None, None)
    assert found.codes == []


def test_what_tests_send_is_in_no_chart() -> None:
    tallied(0, "accepted", 5, channel="~test:sms")

    assert past("hour", now=NOW).totals["accepted"] == 0


def test_errors_come_by_their_count() -> None:
    tallied(3, "retried", 2, code="20500")
    tallied(0, "failed", 4, code="21610")
    tallied(1, "failed", 5, code="21610")

    found = past("hour", now=NOW)

    assert [(each.kind, each.code, each.count) for each in found.codes] == [
        ("failed", "21610", 9),
        ("retried", "20500", 2),
    ]


@pytest.mark.parametrize(
    ("buckets", "told"),
    [
        ({}, (None, None, None)),
        ({0.1: 100}, (0.075, 0.0975, 0.0995)),
        ({0.1: 90, 0.25: 10}, (0.0777777, 0.175, 0.235)),
        ({1.0: 1, float("inf"): 99}, (300.0, 300.0, 300.0)),
    ],
)
def test_percentiles_lie_between_the_bounds(buckets: dict[float, int], told: tuple[float | None, ...]) -> None:
    assert quantiles(buckets) == pytest.approx(told, abs=1e-4) if buckets else quantiles(buckets) == told


def test_latency_is_told_of_each_step_and_of_all() -> None:
    tallied(0, "latency", 10, code="0.1")
    tallied(5, "latency", 10, code="10")

    found = past("hour", now=NOW)

    assert found.latency[-1][0] == pytest.approx(0.075)
    assert found.latency[-2] == (None, None, None)
    assert found.overall[2] == pytest.approx(9.9)


# --- the books -------------------------------------------------------------------------------------------


def test_the_newest_add_up_whatever_their_states() -> None:
    rows.accepted()
    rows.accepted(lane="sms")
    (claim,) = rows.claimed(rows.worker(), lane="sms")
    rows.recorded(rows.result(claim, Outcome.PERMANENT))
    rows.accepted(lane="email")
    rows.claimed(rows.worker(), lane="email")

    found = books.newest()

    assert (found.notifications, found.open, found.finished) == (3, 2, 1)
    assert (found.claims, found.attempts, found.under_way) == (2, 1, 1)
    assert found.balanced


def test_an_attempt_that_is_missing_is_seen() -> None:
    rows.accepted()
    (claim,) = rows.claimed(rows.worker())
    rows.recorded(rows.result(claim, Outcome.PERMANENT))
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM attempt")

    assert not books.newest().balanced


# --- the page --------------------------------------------------------------------------------------------


def charts(page: str) -> list[dict[str, Any]]:
    return [json.loads(value) for value in re.findall(r'data-value="(\{.*?\})"', page)]


def test_it_says_how_things_went_and_stand(browser: Browser) -> None:
    now = datetime.now(UTC)
    tallied(1, "accepted", 12, now=now)
    tallied(1, "sent", 11, now=now)
    tallied(1, "latency", 11, code="0.05", now=now)
    tallied(1, "failed", 1, code="21610", now=now)
    rows.accepted()
    rows.worker()
    services.pause_lane("slack", actor="ada", reason="moving house")
    services.ask("resend", Selection(), actor="ada", via=Operation.Via.ADMIN, chosen=40, subject="status failed")

    page = shown(browser)

    drawn = charts(page)
    assert [each["datasets"][0]["label"] for each in drawn] == ["accepted", "sent", "failed", "waiting", "p50"]
    assert drawn[0]["datasets"][0]["data"][-2] == 12
    assert "moving house (ada)" in page
    assert "resend: status failed" in page
    assert "channel=sms&error_code=21610&status=failed" in page
    assert "balanced" in page
    assert "not balanced" not in page


def test_it_is_narrowed_by_channel_and_period(browser: Browser) -> None:
    tallied(100, "accepted", 60, now=datetime.now(UTC))
    tallied(100, "accepted", 30, channel="email", now=datetime.now(UTC))

    assert max(charts(shown(browser))[0]["datasets"][0]["data"]) == 0
    assert max(charts(shown(browser, "/admin/?past=6h"))[0]["datasets"][0]["data"]) == 18
    assert max(charts(shown(browser, "/admin/?past=6h&channel=email"))[0]["datasets"][0]["data"]) == 6
    assert shown(browser, "/admin/?past=ever&channel=pigeon")


def test_a_new_installation_says_where_to_begin(browser: Browser) -> None:
    page = shown(browser)

    assert "Nothing was accepted or sent in this time" in page
    assert "nothing is sent: start one" in page


def test_who_may_not_see_notifications_sees_no_figures() -> None:
    user = User.objects.create_user("eve", is_staff=True)
    looking = Browser()
    looking.force_login(user)

    assert "notifier-card" not in shown(looking)


def test_the_number_of_questions_does_not_grow(browser: Browser) -> None:
    def asked() -> int:
        with CaptureQueriesContext(connection) as captured:
            shown(browser)
        return len(captured)

    asked()
    before = asked()
    for number in range(20):
        rows.accepted(lane=f"slack:{number}")
        services.pause_lane("slack", actor="ada", reason="x")
        tallied(number, "failed", 1, code=str(number), now=datetime.now(UTC))

    assert asked() == before
