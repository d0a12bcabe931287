"""The page to try the API out, in a real browser that has no internet."""

from __future__ import annotations

import json

import pytest

from notifications import services
from notifications.models import Notification
from tests.browser.chromium import PROGRAM, chromium
from tests.factories import ClientFactory
from tests.processes import web

pytestmark = [
    pytest.mark.skipif(PROGRAM is None, reason="chromium is not installed (Debian: chromium)"),
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(180),
]
OPERATION = "#operations-send-slack_create"


def test_a_key_is_entered_and_a_message_is_sent_from_the_page() -> None:
    client = ClientFactory()
    key = services.create_api_key(client)
    with web(SLACK_WEB_HOOK_URL="http://127.0.0.1:9/hook") as (_, url), chromium() as page:
        page.open(f"{url}/api/docs")
        page.click(".btn.authorize")
        page.fill(".auth-container input", key)
        page.click(".auth-container .btn.authorize")
        page.click(".auth-container .btn-done")
        page.click(f"{OPERATION} .opblock-summary-control")
        page.click(f"{OPERATION} .try-out__btn")
        page.fill(f"{OPERATION} tr[data-param-name='Idempotency-Key'] input", "from-the-page")
        page.click(f"{OPERATION} .execute")

        status = page.text(f"{OPERATION} .live-responses-table .response .response-col_status")
        body = json.loads(page.text(f"{OPERATION} .live-responses-table .response .response-col_description code"))
        problems = page.problems

    assert status.split()[0] == "202"
    sent = Notification.objects.get()
    assert (str(sent.id), sent.client, sent.idempotency_key) == (body["id"], client, "from-the-page")
    assert problems == []


def test_the_page_shows_every_operation_without_a_complaint() -> None:
    with web() as (_, url), chromium() as page:
        page.open(f"{url}/api/docs")
        page.wait(OPERATION)
        shown = page.run("[...document.querySelectorAll('.opblock')].map((each) => each.id)")
        problems = page.problems

    assert len(shown) == len(set(shown)) >= 10
    assert problems == []
