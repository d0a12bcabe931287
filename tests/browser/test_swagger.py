"""The page to try the API out, in a real browser that has no internet."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from notifications.models import Notification
from tests.faults.site import Site

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.timeout(180)
OPERATION = "#operations-send-slack_create"


def test_a_key_is_entered_and_a_message_is_sent_from_the_page(page: Page, site: Site) -> None:
    page.goto("/api/docs")
    page.click(".btn.authorize")
    page.fill(".auth-container input", site.api_key)
    page.click(".auth-container .btn.authorize")
    page.click(".auth-container .btn-done")
    page.click(f"{OPERATION} .opblock-summary-control")
    page.click(f"{OPERATION} .try-out__btn")
    page.fill(f"{OPERATION} tr[data-param-name='Idempotency-Key'] input", "from-the-page")
    page.click(f"{OPERATION} .execute")

    answer = f"{OPERATION} .live-responses-table .response"
    status = page.inner_text(f"{answer} .response-col_status")
    body = json.loads(page.locator(f"{answer} .response-col_description code").first.inner_text())

    assert status.split()[0] == "202"
    sent = Notification.objects.get(idempotency_key="from-the-page")
    assert (str(sent.id), sent.client.name) == (body["id"], "a client")


def test_the_page_shows_every_operation_without_a_complaint(page: Page) -> None:
    page.goto("/api/docs")
    page.wait_for_selector(OPERATION)
    shown = page.eval_on_selector_all(".opblock", "all => all.map((each) => each.id)")

    assert len(shown) == len(set(shown)) >= 10
