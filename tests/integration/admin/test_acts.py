"""Resend and cancel: one, many, or all that match."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client as Browser
from django.utils import timezone

from notifications.admin import operations
from notifications.models import Event, Notification
from notifications.models import Operation as OperationRow
from notifications.selection import Selection
from notifications.states import Outcome, Status
from tests.integration.admin.pages import LIST, OPERATIONS, chosen, ended, listed, shown, url, words
from tests.integration.outbox import rows
from tests.integration.staff import only_looking

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("poster")]


def test_a_failed_one_is_resent_from_its_page(browser: Browser) -> None:
    id_ = ended(Outcome.PERMANENT)
    assert f'action="{LIST}{id_}/resend/"' in shown(browser, url(id_))

    response = browser.post(f"{LIST}{id_}/resend/")

    assert (response.status_code, response.headers["Location"]) == (302, url(id_))
    assert words(response) == ["The notification was resent."]
    assert rows.row(id_).status == "pending"


def test_a_resend_is_noted_with_the_users_name(browser: Browser, operator: User) -> None:
    id_ = ended(Outcome.PERMANENT)

    browser.post(f"{LIST}{id_}/resend/")

    event = Event.objects.get(notification_id=id_)
    assert (event.kind, event.actor, event.detail) == ("replayed", "ada", "admin")
    entry = LogEntry.objects.get(object_id=str(id_))
    assert (entry.user, entry.get_change_message()) == (operator, "Resent.")


@pytest.mark.parametrize("name", ["resend", "cancel"])
def test_an_unknown_one_is_asked_about_first(browser: Browser, name: str) -> None:
    id_ = ended(Outcome.IN_DOUBT, hold=True)

    question = browser.post(f"{LIST}{id_}/{name}/").content.decode()

    warning = {"resend": "1 may have been sent already: its recipient may get", "cancel": "cannot be resent"}
    assert warning[name] in question
    assert rows.row(id_).status == "unknown"

    browser.post(f"{LIST}{id_}/{name}/", {"confirmed": "yes"})

    assert rows.row(id_).status == {"resend": "pending", "cancel": "canceled"}[name]


def test_a_sent_one_has_no_buttons_and_is_left_alone(browser: Browser) -> None:
    id_ = ended(Outcome.ACCEPTED)
    assert "/resend/" not in shown(browser, url(id_))

    response = browser.post(f"{LIST}{id_}/resend/")

    assert words(response) == ["The notification was left alone: it is sent."]
    assert rows.row(id_).status == "sent"
    assert not LogEntry.objects.exists()


def test_an_expired_one_is_left_alone(browser: Browser) -> None:
    id_ = ended(Outcome.PERMANENT)
    Notification.objects.filter(pk=id_).update(expires_at=timezone.now() - timedelta(seconds=1))

    response = browser.post(f"{LIST}{id_}/resend/")

    assert words(response) == ["The notification was left alone: it is expired."]


def test_a_link_cannot_resend(browser: Browser) -> None:
    id_ = ended(Outcome.PERMANENT)

    assert browser.get(f"{LIST}{id_}/resend/").status_code == 405
    assert rows.row(id_).status == "failed"


def test_another_site_cannot_resend(operator: User) -> None:
    id_ = ended(Outcome.PERMANENT)
    browser = Browser(enforce_csrf_checks=True)
    browser.force_login(operator)

    assert browser.post(f"{LIST}{id_}/resend/").status_code == 403
    assert rows.row(id_).status == "failed"


def test_many_are_asked_about_with_what_is_left_alone(browser: Browser) -> None:
    failed, unknown, sent = ended(Outcome.PERMANENT), ended(Outcome.IN_DOUBT, hold=True), ended(Outcome.ACCEPTED)
    expired = ended(Outcome.PERMANENT)
    Notification.objects.filter(pk=expired).update(expires_at=timezone.now())

    question = browser.post(LIST, chosen(failed, unknown, sent, expired)).content.decode()

    assert "<b>2</b> will be resent." in question
    assert "<li>1 expired</li><li>1 sent</li>" in question
    assert "1 may have been sent already" in question
    assert [rows.row(id_).status for id_ in (failed, unknown, sent, expired)] == ["failed", "unknown", "sent", "failed"]


def test_many_are_resent_once_confirmed(browser: Browser) -> None:
    wanted = [ended(Outcome.PERMANENT) for _ in range(5)]
    other, sent = ended(Outcome.PERMANENT), ended(Outcome.ACCEPTED)

    response = browser.post(LIST, chosen(*wanted, sent, confirmed="yes"), follow=True)

    assert "5 notifications were resent." in response.content.decode()
    assert {rows.row(id_).status for id_ in wanted} == {"pending"}
    assert [rows.row(id_).status for id_ in (other, sent)] == ["failed", "sent"]
    assert Event.objects.filter(actor="ada").count() == LogEntry.objects.count() == 5


def test_the_question_carries_the_choice_to_its_answer(browser: Browser) -> None:
    """What the page would post when its button is pressed resends exactly what was asked about."""
    wanted = [ended(Outcome.PERMANENT) for _ in range(2)]
    other = ended(Outcome.PERMANENT)
    question = browser.post(f"{LIST}?status=failed", chosen(*wanted)).content.decode()
    fields = hidden(question)

    browser.post(f"{LIST}?status=failed", fields)

    assert {rows.row(id_).status for id_ in wanted} == {"pending"}
    assert rows.row(other).status == "failed"


def hidden(page_: str) -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    for name, value in re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page_):
        fields.setdefault(name, []).append(value)
    return fields


def test_all_that_match_a_filter_are_asked_about_and_given_to_a_relay_once(browser: Browser, operator: User) -> None:
    failed = [ended(Outcome.PERMANENT) for _ in range(3)]
    ended(Outcome.IN_DOUBT, hold=True)
    here = f"{LIST}?status=failed&channel=slack&error_code=a_code"

    question = browser.post(here, chosen(failed[0], select_across="1")).content.decode()
    assert "<b>3</b> will be resent." in question
    assert "status failed, channel slack, error_code a_code" in question
    fields = hidden(question)
    first, again = (browser.post(here, fields) for _ in range(2))

    asked = OperationRow.objects.get()  # a double click asks once
    assert first.headers["Location"] == again.headers["Location"] == f"{OPERATIONS}{asked.pk}/change/"
    assert (asked.act, asked.actor, asked.via, asked.state, asked.chosen) == ("resend", "ada", "admin", "asked", 3)
    selection = Selection.from_json(asked.selection)
    assert (selection.statuses, selection.channels) == ({Status.FAILED}, {"slack"})
    assert set(selection.rows().values_list("id", flat=True)) == set(failed)
    assert {rows.row(id_).status for id_ in failed} == {"failed"}  # a relay's to do
    assert "asked" in shown(browser, first.headers["Location"])
    assert "notifications/refresh.js" in shown(browser, OPERATIONS)


def test_all_that_match_are_not_acted_on_without_the_question(browser: Browser) -> None:
    failed = ended(Outcome.PERMANENT)

    browser.post(LIST, chosen(failed, select_across="1", confirmed="yes"))

    assert not OperationRow.objects.exists()
    assert rows.row(failed).status == "failed"


def test_more_than_are_counted_is_said(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "MOST", 2)
    failed = [ended(Outcome.PERMANENT) for _ in range(3)]

    question = browser.post(LIST, chosen(failed[0], select_across="1")).content.decode()

    assert "only the newest" in question
    assert "At least 2" in " ".join(re.sub("<[^>]*>", "", question).split())


def test_the_question_says_to_whom(browser: Browser) -> None:
    ids = [ended(Outcome.PERMANENT, lane="email", recipient=f"{name}@Shop.example") for name in ("ada", "bob")]

    question = browser.post(LIST, chosen(*ids)).content.decode()

    assert "<b>2</b> shop.example" in question
    assert "<b>2</b> email" in question
    assert "ada@Shop.example" in question


def test_many_are_canceled(browser: Browser) -> None:
    pending, failed, sent = rows.accepted(lane="sms"), ended(Outcome.PERMANENT), ended(Outcome.ACCEPTED)

    browser.post(LIST, chosen(pending, failed, sent, action="cancel_selected", confirmed="yes"))

    assert [rows.row(id_).status for id_ in (pending, failed, sent)] == ["canceled", "canceled", "sent"]
    assert Event.objects.filter(kind="canceled", actor="ada").count() == 2


def test_who_may_only_look_sees_and_cannot_act() -> None:
    looking = only_looking()
    id_ = ended(Outcome.PERMANENT)

    assert listed(looking) == {str(id_)}
    answer = shown(looking, url(id_))
    assert "What happens next" in answer
    assert "/resend/" not in answer
    assert "resend_selected" not in shown(looking, LIST)
    for name in ("resend", "cancel"):
        assert looking.post(f"{LIST}{id_}/{name}/", {"confirmed": "yes"}).status_code == 403
    looking.post(LIST, chosen(id_, confirmed="yes"))
    assert rows.row(id_).status == "failed"


def test_staff_without_permission_sees_nothing() -> None:
    browser = Browser()
    browser.force_login(User.objects.create_user("eve", is_staff=True))
    id_ = ended(Outcome.PERMANENT)

    assert browser.get(LIST).status_code == 403
    assert browser.get(url(id_)).status_code == 403
