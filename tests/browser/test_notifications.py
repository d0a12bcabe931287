"""What operators do with one that failed, in a real browser: find it, read why, send it again and see it sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from django.urls import reverse

from tests.browser.visits import Visits, serious

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.timeout(180)
LIST = "/admin/notifications/notification/"
Failed = Callable[[str], str]


def select(page: Page, *ids: str) -> None:
    for id_ in ids:
        page.check(f"input.action-select[value='{id_}']")


def test_a_failed_one_is_found_read_resent_and_seen_to_be_sent(page: Page, visits: Visits, failed: Failed) -> None:
    id_ = failed("to be found and resent")
    visits.log_in(page)
    page.goto(f"{LIST}?status=failed&channel=slack")
    visits.screenshot(page, "notifications")
    page.click(f"#result_list a[href*='{id_}']")
    story = page.inner_text(".notifier-story")
    visits.screenshot(page, "timeline")

    page.click(".notifier-next button:text-is('Resend')")
    page.wait_for_load_state()
    for _ in range(40):
        if "Attempt 2 accepted" in page.inner_text(".notifier-story"):
            break
        page.wait_for_timeout(250)
        page.reload()

    assert "invalid_payload" in story
    after = page.inner_text(".notifier-story")
    assert "ada" in after
    assert "Attempt 2 accepted" in after


def test_several_are_resent_after_a_page_that_says_how_many(page: Page, visits: Visits, failed: Failed) -> None:
    ids = [failed("the first of two"), failed("the second of two")]
    visits.log_in(page)
    page.goto(f"{LIST}?status=failed")
    select(page, *ids)
    page.select_option("select[name=action]", "resend_selected")
    page.click("button[name=index]")
    asked = page.inner_text(".notifier-confirm")
    visits.screenshot(page, "confirm")
    complaints = serious(page)
    page.click(".notifier-confirm button[type=submit]")
    page.wait_for_url(f"**{LIST}**")

    assert "2 will be resent" in asked
    assert complaints == []
    assert "2 notifications were resent" in page.inner_text("body")


def test_who_may_only_look_sees_the_story_and_no_act(page: Page, visits: Visits, failed: Failed) -> None:
    id_ = failed("only to be looked at")
    visits.log_in(page, only_look=True)
    page.goto(f"{LIST}{id_}/change/")

    assert "invalid_payload" in page.inner_text(".notifier-story")
    assert page.locator(".notifier-next button").count() == 0
    page.goto(LIST)
    assert page.locator("select[name=action]").count() == 0


def test_the_pages_fit_a_telephone(narrow: Page, visits: Visits, failed: Failed) -> None:
    id_ = failed("read on a telephone")
    visits.log_in(narrow)
    widths = {}
    for name, address in {"list": LIST, "one": f"{LIST}{id_}/change/"}.items():
        narrow.goto(address)
        visits.screenshot(narrow, f"{name}-390")
        widths[name] = narrow.evaluate("document.documentElement.scrollWidth")

    assert widths == {"list": 390, "one": 390}


@pytest.mark.parametrize("name", ["list", "one", "attempts", "operations"])
def test_everybody_can_read_and_use_the_pages(page: Page, visits: Visits, failed: Failed, name: str) -> None:
    id_ = failed(f"for everybody: {name}")
    visits.log_in(page)
    page.goto(
        {
            "list": LIST,
            "one": f"{LIST}{id_}/change/",
            "attempts": reverse("admin:notifications_attempt_newest"),
            "operations": "/admin/notifications/operation/",
        }[name]
    )

    assert serious(page) == []
