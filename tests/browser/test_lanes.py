"""An operator holds a lane back and lets it go, in a real browser: what waits is seen to wait, and then to be sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.visits import Visits
from tests.eventually import eventually

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.faults.site import Site

pytestmark = pytest.mark.timeout(180)
LANES = "/admin/notifications/lanestate/"


def row(page: Page) -> str:
    return page.locator("tr", has_text="slack:default").inner_text()


def test_a_lane_is_paused_seen_to_hold_what_waits_and_resumed(page: Page, visits: Visits, site: Site) -> None:
    from notifications.models import Notification, Operation

    ours = Notification.objects.filter(body="held back")
    visits.log_in(page)
    page.goto(LANES)
    page.click("a[aria-label='Pause slack:default']")
    asked = page.inner_text(".notifier-confirm")
    page.fill("[name=because]", "moving house")
    page.select_option("[name=period]", "60")
    page.click("button:text-is('Pause slack:default')")
    page.wait_for_url(f"**{LANES}")
    site.post("held back")
    page.reload()
    paused = row(page)
    visits.screenshot(page, "lane-paused")

    page.click("a[aria-label='Resume slack:default']")
    said = page.inner_text(".notifier-confirm")
    page.click("button:text-is('Resume slack:default')")
    page.wait_for_url(f"**{LANES}")
    eventually(lambda: ours.filter(status="sent").exists(), seconds=20, what="the one that waited")
    page.reload()

    assert "0 wait in slack:default" in asked
    assert "paused by an operator" in paused
    assert "moving house" in paused
    assert "1 waits in slack:default" in said
    assert "paused by ada until" in said
    assert "open" in row(page)
    acts = Operation.objects.filter(subject="slack:default").order_by("id").values_list("act", "actor")
    assert list(acts) == [("pause", "ada"), ("resume", "ada")]


def test_a_pause_without_a_reason_says_what_is_missing_and_pauses_nothing(page: Page, visits: Visits) -> None:
    from notifications.models import LaneState

    visits.log_in(page)
    page.goto(f"{LANES}add/?which=email")
    page.click("button:text-is('Pause email')")

    assert "This field is required." in page.inner_text(".notifier-confirm")
    assert not LaneState.objects.filter(lane="email").exists()
