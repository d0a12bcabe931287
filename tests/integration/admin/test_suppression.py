"""The suppression list in the admin: find a recipient, put one on it, take some from it."""

from __future__ import annotations

import re
from uuid import uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from notifications import services
from notifications.admin import paging
from notifications.models import Client, Suppression
from notifications.outbox import suppress
from notifications.states import Outcome, Reason
from tests.integration.outbox import rows
from tests.integration.staff import only_looking

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/admin/notifications/suppression/"
NOTIFICATIONS = "/admin/notifications/notification/"
ANN = "+14155552671"


def suppressed(to: str = ANN, channel: str = "sms", **fields: object) -> Suppression:
    services.suppress(channel, to, actor="ben", **fields)  # type: ignore[arg-type]
    return Suppression.objects.get(channel=channel, recipient=to)


def shown(browser: Browser, address: str) -> str:
    response = browser.get(address, follow=True)
    assert response.status_code == 200
    return response.content.decode()


def recipients(page: str) -> list[str]:
    return re.findall(r'class="field-recipient [^>]*><a[^>]*>\s*([^<]+?)\s*<', page)


def filled_in(**fields: str) -> dict[str, str]:
    return {"channel": "sms", "recipient": ANN, "reason": "manual", "detail": "", **fields}


def test_the_newest_come_first_with_why_and_by_whom(browser: Browser) -> None:
    suppressed(reason=Reason.OPT_OUT, detail="by phone")
    suppressed("ann@example.com", "email")

    page = shown(browser, LIST)
    assert recipients(page) == ["ann@example.com", ANN]
    for word in ("opt_out", "by phone", "ben"):
        assert word in page


@pytest.mark.parametrize(
    ("term", "found"),
    [
        (ANN, [ANN]),
        ("%2B14155552671", [ANN]),
        ("Ann@EXAMPLE.com", ["Ann@example.com"]),
        ("ann", []),
        ("4155552671", []),
    ],
)
def test_one_is_found_by_its_whole_recipient(browser: Browser, term: str, found: list[str]) -> None:
    suppressed()
    suppressed("Ann@example.com", "email")

    assert recipients(shown(browser, f"{LIST}?q={term.replace('+', '%2B')}")) == found


def test_one_is_put_on_the_list_in_its_normal_form_and_that_is_noted(browser: Browser, operator: User) -> None:
    given = filled_in(channel="email", recipient="Ann@EXAMPLE.com", detail="asked by mail", reason="opt_out")
    browser.post(f"{LIST}add/", given, follow=True)

    row = Suppression.objects.get()
    assert (row.address, row.reason, row.detail, row.created_by) == (
        *("email:Ann@example.com", "opt_out", "asked by mail", "ada"),
    )
    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_id, entry.object_repr) == (operator, str(row.pk), str(row.pk))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"recipient": "4155552671"}, "must be a phone number"),
        ({"recipient": ""}, "This field is required."),
        ({"channel": "webhook"}, "Select a valid choice."),
        ({"reason": "because"}, "Select a valid choice."),
        ({"test": "on"}, "has no sandbox"),
    ],
)
def test_what_is_wrong_with_it_is_said_and_nothing_is_stored(
    browser: Browser, given: dict[str, str], words: str
) -> None:
    page = browser.post(f"{LIST}add/", filled_in(**given)).content.decode()

    assert words in page
    assert not Suppression.objects.exists()


def test_one_that_is_on_the_list_is_not_put_there_again(browser: Browser) -> None:
    suppressed(reason=Reason.OPT_OUT)

    assert "This is on the list already." in browser.post(f"{LIST}add/", filled_in()).content.decode()
    assert Suppression.objects.get().reason == "opt_out"


def test_one_for_tests_is_marked_and_is_none_of_the_live_ones(browser: Browser, settings: Settings) -> None:
    known = settings.NOTIFIER_CHANNELS
    settings.NOTIFIER_CHANNELS = {**known, "sms": {**known["sms"], "sandbox": {**known["sms"]}}}

    browser.post(f"{LIST}add/", filled_in(test="on"))
    assert Suppression.objects.get().address == f"~test:sms:{ANN}"
    assert ">TEST</span>" in shown(browser, LIST)


def test_some_are_taken_from_the_list_and_that_is_noted_and_names_nobody(browser: Browser, operator: User) -> None:
    row, other = suppressed(reason=Reason.OPT_OUT), suppressed("ann@example.com", "email")

    response = browser.post(LIST, {"action": "unsuppress", "_selected_action": [str(row.pk)]})

    assert [str(each) for each in get_messages(response.wsgi_request)] == ["1 recipients were taken from the list."]
    assert Suppression.objects.get() == other
    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_id) == (operator, str(row.pk))
    assert entry.get_change_message() == "Taken from the list: sms +1415•••••71 (opt_out)."


def test_who_may_only_look_changes_nothing() -> None:
    row, looking = suppressed(), only_looking()

    assert recipients(shown(looking, LIST)) == [ANN]
    assert ANN in shown(looking, f"{LIST}{row.pk}/change/")
    assert looking.get(f"{LIST}add/").status_code == 403
    assert looking.post(f"{LIST}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    looking.post(LIST, {"action": "unsuppress", "_selected_action": [str(row.pk)]})
    assert Suppression.objects.exists()


def test_no_page_counts_a_long_list(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "MOST", 100)
    suppress.add(
        suppress.Suppressed(channel="sms", recipient=f"+1{number}", test=False, reason=Reason.MANUAL, created_by="ben")
        for number in range(150)
    )

    with CaptureQueriesContext(connection) as captured:
        page, searched = shown(browser, LIST), shown(browser, f"{LIST}?q=%2B17")

    asked = [query["sql"] for query in captured if '"suppression"' in query["sql"]]
    assert asked
    assert [sql for sql in asked if "LIMIT" not in sql and "IN (" not in sql] == []
    assert (len(recipients(page)), recipients(searched)) == (50, ["+17"])
    assert "100 suppressions" in page


def failed(recipient: str) -> str:
    id_ = rows.accepted(lane=f"sms:{uuid4()}", channel="sms", recipient=recipient)
    (claim,) = rows.claimed(rows.worker(), lane=rows.row(id_).lane)
    rows.recorded(rows.result(claim, Outcome.PERMANENT, code="21610"))
    return str(id_)


def test_a_resend_says_which_it_leaves_alone(browser: Browser) -> None:
    Client.objects.create(id=1, name="shop")
    stopped, free = failed(ANN), failed("+14155552672")
    suppressed()

    response = browser.post(f"{NOTIFICATIONS}{stopped}/resend/")
    assert [str(each) for each in get_messages(response.wsgi_request)] == [
        "The notification was left alone: it is suppressed."
    ]
    question = browser.post(NOTIFICATIONS, {"action": "resend_selected", "_selected_action": [stopped, free]})
    assert "<li>1 suppressed</li>" in question.content.decode()
    page = shown(browser, f"{NOTIFICATIONS}{stopped}/change/")
    assert "cannot be resent" in page
    assert f"{stopped}/resend/" not in page
    assert f"{free}/resend/" in shown(browser, f"{NOTIFICATIONS}{free}/change/")
