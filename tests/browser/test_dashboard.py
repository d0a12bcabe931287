"""The dashboard, and an act on all that match, in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from channels.sandbox.faults import Fault, Kind
from tests.browser.visits import Visits, serious
from tests.eventually import eventually

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.faults.site import Site

pytestmark = pytest.mark.timeout(180)
LIST = "/admin/notifications/notification/"
DRAWN = "[...document.querySelectorAll('canvas.chart')].map(canvas => !!Chart.getChart(canvas) && canvas.width > 0)"


def test_its_charts_are_drawn_and_everybody_can_read_them(
    page: Page, visits: Visits, failed: Callable[[str], str]
) -> None:
    failed("on the dashboard")
    visits.log_in(page)
    for _ in range(40):  # the tallies come every five seconds
        page.goto("/admin/?channel=slack")
        if page.locator(".notifier-table a", has_text="invalid_payload").count():
            break
        page.wait_for_timeout(250)
    visits.screenshot(page, "dashboard")

    assert page.evaluate(DRAWN) == [True] * 5
    assert serious(page) == []
    page.click(".notifier-table a:text-is('invalid_payload')")
    page.wait_for_url("**error_code=invalid_payload**")
    assert page.locator("#result_list tbody tr").count() >= 1


def test_it_fits_a_telephone(narrow: Page, visits: Visits) -> None:
    visits.log_in(narrow)
    narrow.goto("/admin/")
    visits.screenshot(narrow, "dashboard-390")

    assert narrow.evaluate("document.documentElement.scrollWidth") == 390
    assert serious(narrow) == []


def test_all_that_match_a_filter_are_resent_by_a_relay(page: Page, visits: Visits, site: Site) -> None:
    from notifications.models import Notification

    texts = [f"one of many {number}" for number in range(55)]
    site.provider.faults.set("slack", Fault(kind=Kind.STATUS, status=400, body="invalid_blocks"))
    site.post(*texts)
    ours = Notification.objects.filter(body__startswith="one of many")
    eventually(lambda: ours.filter(status="failed").count() == 55, seconds=30, what="55 failures")
    site.provider.faults.clear()

    visits.log_in(page)
    page.goto(f"{LIST}?status=failed&error_code=invalid_blocks")
    page.check("#action-toggle")
    page.click(".question a")
    page.select_option("select[name=action]", "resend_selected")
    page.click("button[name=index]")
    asked = page.inner_text(".notifier-confirm")
    page.click(".notifier-confirm button[type=submit]")
    page.wait_for_url("**/operation/**")
    eventually(lambda: ours.filter(status="sent").count() == 55, seconds=30, what="55 sent")
    page.reload()
    visits.screenshot(page, "operation")

    assert "55 will be resent" in asked
    assert "error_code invalid_blocks" in page.inner_text("#content")
    assert "55 of 55" in page.inner_text("#content")
    assert "done" in page.inner_text("#content")
