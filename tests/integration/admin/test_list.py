"""Notifications are found: by filters and searches, page by page."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext

from notifications import walking
from notifications.admin import notification as page
from notifications.models import Notification
from notifications.outbox.listing import first_id
from notifications.states import Outcome
from tests.integration.admin.pages import LIST, ended, listed, shown, url, words
from tests.integration.outbox import rows
from tests.integration.staff import only_looking

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("poster")]


def test_the_list_shows_the_newest_first(browser: Browser) -> None:
    ids = [str(rows.accepted()) for _ in range(3)]

    found = re.findall(rf'href="{LIST}([0-9a-f-]{{36}})/change/', shown(browser, LIST))

    assert found == ids[::-1]


def test_the_list_says_the_state_in_words(browser: Browser) -> None:
    Notification.objects.filter(pk=ended(Outcome.PERMANENT)).update(possible_duplicate=True)

    assert '<span class="notifier-label notifier-failed">failed</span>' in shown(browser, LIST)
    assert ">possible duplicate</span>" in shown(browser, LIST)


def test_the_list_is_filtered_by_status_channel_and_time(browser: Browser) -> None:
    failed, unknown = ended(Outcome.PERMANENT), ended(Outcome.IN_DOUBT, hold=True)
    sms = rows.accepted(lane="sms")
    moment = datetime.now(UTC) - timedelta(days=2)
    old = rows.accepted(id=first_id(moment), created_at=moment)

    assert listed(browser, "?status=failed") == {str(failed)}
    assert listed(browser, "?status=attention") == {str(failed), str(unknown)}
    assert listed(browser, "?channel=sms") == {str(sms)}
    assert listed(browser, "?accepted=day") == {str(failed), str(unknown), str(sms)}
    assert str(old) in listed(browser, "?accepted=week")


def test_tests_are_marked_in_the_list_and_can_be_told_apart(browser: Browser) -> None:
    live, test = (
        rows.accepted(lane="sms", recipient="live one"),
        rows.accepted(lane="~test:sms", channel="sms", recipient="test one"),
    )

    assert listed(browser, "?mode=live") == {str(live)}
    assert listed(browser, "?mode=test") == {str(test)}
    assert shown(browser, LIST).count(">TEST</span>") == 1
    assert ">TEST</span>" in shown(browser, url(test))
    assert ">TEST</span>" not in shown(browser, url(live))


@pytest.mark.parametrize("term", ["+14155550100", "5555010", "order-42", "trace/7", " order-42 "])
def test_the_search_finds_recipient_key_and_correlation_id(browser: Browser, term: str) -> None:
    id_ = rows.accepted(recipient="+14155550100", key="order-42", correlation_id="trace/7", lane="sms")
    rows.accepted()

    assert listed(browser, f"?q={term.replace('+', '%2B')}") == {str(id_)}


def test_the_search_finds_an_id(browser: Browser) -> None:
    id_ = rows.accepted()
    rows.accepted()

    assert listed(browser, f"?q={id_}") == {str(id_)}


def test_the_search_finds_a_correlation_id_that_looks_like_an_id(browser: Browser) -> None:
    correlation_id = str(uuid4())
    id_ = rows.accepted(correlation_id=correlation_id)
    rows.accepted()

    assert listed(browser, f"?q={correlation_id}") == {str(id_)}


def test_the_list_counts_and_skips_nothing(browser: Browser) -> None:
    rows.accepted()

    with CaptureQueriesContext(connection) as queries:
        shown(browser, f"{LIST}?o=4.-2")

    about = [query["sql"] for query in queries if 'FROM "notification"' in query["sql"]]
    assert about
    assert not [sql for sql in about if "COUNT" in sql]
    assert {found for sql in about for found in re.findall(r"OFFSET (\d+)", sql)} <= {str(walking.LOOK - 1)}


def test_a_page_costs_the_same_however_many_rows_it_has(browser: Browser) -> None:
    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            shown(browser, LIST)
        return len(queries)

    rows.accepted()
    shown(browser, LIST)
    one = cost()
    for _ in range(5):
        rows.accepted()

    assert cost() == one


def link(page_: str, title: str) -> str:
    (found,) = re.findall(rf'<a href="([^"]*)"[^>]*>{title}</a>', page_)
    return unescape(found)


def test_pages_lead_to_older_and_newer_ones_and_back(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page.NotificationAdmin, "list_per_page", 2)
    ids = [str(rows.accepted()) for _ in range(5)][::-1]

    first = shown(browser, LIST)
    second = shown(browser, LIST + link(first, "Older »"))
    third = shown(browser, LIST + link(second, "Older »"))
    back = shown(browser, LIST + link(third, "« Newer"))

    def of(page_: str) -> list[str]:
        return re.findall(rf'href="{LIST}([0-9a-f-]{{36}})/change/', page_)

    assert [of(each) for each in (first, second, third, back)] == [ids[:2], ids[2:4], ids[4:], ids[2:4]]
    assert "2 of more" in first
    assert "Older" not in third
    assert link(third, "Newest") == "?"


def test_what_is_rare_among_many_is_looked_for_page_by_page(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    rare = rows.accepted(lane="sms")
    for _ in range(5):
        rows.accepted()
    monkeypatch.setattr(walking, "LOOK", 3)

    first = shown(browser, f"{LIST}?channel=sms")

    assert str(rare) not in first
    assert str(rare) in shown(browser, LIST + link(first, "Look further »"))


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("status=lost", "“status” must be one of attention, pending"),
        ("since=yesterday", "“since” must be a time such as"),
        ("before=7", "“before” must be a notification&#x27;s id"),
        ("client=nobody", "“client” must be the id or the name"),
        ("mode=dry", "“mode” must be one of live, test"),
    ],
)
def test_an_address_that_means_nothing_is_told_what_to_mend(browser: Browser, query: str, why: str) -> None:
    assert why in shown(browser, f"{LIST}?{query}")


def test_the_list_is_filtered_by_code_client_and_exact_times(browser: Browser) -> None:
    failed = ended(Outcome.PERMANENT)
    rows.accepted()
    created = rows.row(failed).created_at

    assert listed(browser, "?status=failed&channel=slack&error_code=a_code") == {str(failed)}
    assert listed(browser, "?error_code=another") == set()
    assert str(failed) in listed(browser, "?client=shop")
    assert str(failed) in listed(browser, "?client=1&status=failed")
    assert listed(browser, f"?until={created:%Y-%m-%dT%H:%M:%S.%f}") == set()
    assert str(failed) in listed(browser, f"?since={created:%Y-%m-%dT%H:%M:%S.%f}")


def test_it_takes_three_clicks_from_a_recipient_to_the_providers_answer(browser: Browser) -> None:
    """Search, open the newest, read; from the list of what failed it is one less."""
    id_ = ended(Outcome.PERMANENT, lane="sms", recipient="+14155550100")

    found = shown(browser, f"{LIST}?q=%2B14155550100")  # 1: the list; 2: search
    assert "a_code" in found  # already here
    answer = shown(browser, re.findall(rf'href="({LIST}{id_}/change/)', found)[0])  # 3: open it
    assert "a_code: a detail" in answer


def test_a_search_that_takes_too_long_is_stopped_with_advice(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO notification (id, client_id, channel, lane, recipient, subject, body, metadata, priority,
                due_at, status, attempt, tries, losses, possible_duplicate, provider_id, error_code,
                correlation_id, idempotency_key, created_at)
            SELECT lpad(to_hex(n), 32, '0')::uuid, 1, 'slack', 'slack:ops', 'ops', '', '', '{}', 1, now(), 'pending',
                0, 0, 0, false, '', '', '', '', now() FROM generate_series(1, 50000) AS n
            """
        )
    monkeypatch.setattr(page, "LOOK_FOR", timedelta(milliseconds=1))
    monkeypatch.setattr(walking, "LOOK", 50_000)  # nothing reads as many in that time

    response = browser.get(f"{LIST}?q=nobody")

    assert (response.status_code, response.headers["Location"]) == (302, LIST)
    assert "was stopped. Narrow it by time" in words(response)[0]
    monkeypatch.undo()
    assert listed(browser, "?q=nobody") == set()


def test_the_newest_attempts_are_listed_and_filtered(browser: Browser) -> None:
    failed, sent = ended(Outcome.PERMANENT), ended(Outcome.ACCEPTED)
    there = "/admin/notifications/operation/attempts/"

    assert url(failed) in shown(browser, there)
    for query in ("outcome=permanent", "channel=slack&outcome=permanent", "backend=slack_webhook&outcome=permanent"):
        answer = shown(browser, f"{there}?{query}")
        assert url(failed) in answer
        assert url(sent) not in answer
    assert "None here." in shown(browser, f"{there}?code=none")
    assert "must be a notification's id" in unescape(shown(browser, f"{there}?before=yesterday"))
    assert only_looking().get(there).status_code == 200
    nobody = Browser()
    nobody.force_login(User.objects.create_user("eve", is_staff=True))
    assert nobody.get(there).status_code == 403
