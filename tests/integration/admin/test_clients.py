"""Clients and their keys."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client as Browser
from pytest_django import Settings

from channels import sandbox
from notifications import selectors
from notifications.credentials import digest
from notifications.models import ApiKey, Client
from tests.integration.admin.pages import KEYS, chosen_rows, shown
from tests.integration.staff import only_looking

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("poster")]


def new_key(browser: Browser, client: Client, **fields: str) -> str:
    """Make a key by the form; the page that answers."""
    response = browser.post(
        f"{KEYS}add/", {"client": client.pk, "name": "checkout", "scopes": ["send", "read"], **fields}
    )
    assert response.status_code == 200
    return response.content.decode()


def test_a_client_is_made_and_switched_off_and_never_deleted(browser: Browser) -> None:
    browser.post("/admin/notifications/client/add/", {"name": "billing", "is_active": "on"})
    client = Client.objects.get(name="billing")
    browser.post(f"/admin/notifications/client/{client.pk}/change/", {"name": "billing"})

    client.refresh_from_db()
    assert not client.is_active
    assert browser.post(f"/admin/notifications/client/{client.pk}/delete/", {"post": "yes"}).status_code == 403


def test_a_new_key_is_shown_once_and_works(browser: Browser, poster: Client) -> None:
    answer = new_key(browser, poster)

    (text,) = re.findall(r"nk_[0-9a-f]{8}_[\w-]+", answer)
    assert selectors.key(digest(text)) == selectors.Key(
        poster, frozenset({"send", "read"}), is_test=False, expires_in=None
    )
    key = ApiKey.objects.get()
    assert key.name == "checkout"
    for address in (KEYS, f"{KEYS}{key.pk}/change/", f"{KEYS}{key.pk}/history/", "/admin/"):
        again = shown(browser, address)
        assert text not in again
        assert key.digest.hex() not in again
    assert not any(text in cookie.value for cookie in browser.cookies.values())


def test_the_answer_with_a_new_key_is_not_stored_by_the_browser(browser: Browser, poster: Client) -> None:
    response = browser.post(f"{KEYS}add/", {"client": poster.pk, "name": "", "scopes": ["read"]})

    assert "no-store" in response.headers["Cache-Control"]


def test_a_new_key_is_noted_without_its_text(browser: Browser, operator: User, poster: Client) -> None:
    (text,) = re.findall(r"nk_[0-9a-f]{8}_[\w-]+", new_key(browser, poster))

    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_id) == (operator, str(ApiKey.objects.get().pk))
    assert text not in entry.object_repr + entry.change_message


def test_a_key_may_end_in_the_future_only(browser: Browser, poster: Client) -> None:
    assert "This must be in the future." in new_key(browser, poster, expires_at_0="2020-01-01", expires_at_1="00:00:00")
    assert not ApiKey.objects.exists()

    new_key(browser, poster, expires_at_0="2040-01-01", expires_at_1="00:00:00")
    assert ApiKey.objects.get().expires_at == datetime(2040, 1, 1, tzinfo=UTC)


@pytest.fixture
def sandboxed(settings: Settings) -> None:
    played = sandbox.options("http://127.0.0.1:9", 9, ["default"])
    known = settings.NOTIFIER_CHANNELS
    settings.NOTIFIER_CHANNELS = {name: {**known[name], "sandbox": played.get(name)} for name in known}


def test_a_test_key_is_made_and_shown_as_one(browser: Browser, poster: Client, sandboxed: None) -> None:
    answer = new_key(browser, poster, is_test="on")

    (text,) = re.findall(r"nk_test_[0-9a-f]{8}_[\w-]+", answer)
    assert selectors.key(digest(text)) == selectors.Key(
        poster, frozenset({"send", "read"}), is_test=True, expires_in=None
    )
    for page_ in (answer, shown(browser, KEYS), shown(browser, f"{KEYS}{ApiKey.objects.get().pk}/change/")):
        assert ">TEST</span>" in page_
    assert ">TEST</span>" not in shown(browser, f"{KEYS}?is_test__exact=0")


def test_a_test_key_is_not_made_where_it_could_reach_no_sandbox(browser: Browser, poster: Client) -> None:
    assert "set SANDBOX_URL" in new_key(browser, poster, is_test="on")
    assert not ApiKey.objects.exists()


def test_a_revoked_key_is_refused(browser: Browser, poster: Client) -> None:
    (text,) = re.findall(r"nk_[0-9a-f]{8}_[\w-]+", new_key(browser, poster))
    key = ApiKey.objects.get()

    browser.post(KEYS, chosen_rows(key.pk, action="revoke"))

    assert selectors.key(digest(text)) is None
    assert ">revoked</span>" in shown(browser, KEYS)
    assert LogEntry.objects.filter(change_message="Revoked.").count() == 1


def test_a_key_cannot_be_edited_or_deleted(browser: Browser, poster: Client) -> None:
    new_key(browser, poster)
    key = ApiKey.objects.get()

    assert browser.post(f"{KEYS}{key.pk}/change/", {"name": "other"}).status_code == 403
    assert browser.post(f"{KEYS}{key.pk}/delete/", {"post": "yes"}).status_code == 403


def test_keys_are_not_made_or_revoked_by_who_may_only_look(browser: Browser, poster: Client) -> None:
    new_key(browser, poster)
    key = ApiKey.objects.get()
    looking = only_looking()

    assert looking.post(f"{KEYS}add/", {"client": poster.pk, "name": ""}).status_code == 403
    looking.post(KEYS, chosen_rows(key.pk, action="revoke"))

    key.refresh_from_db()
    assert key.revoked_at is None
    assert ApiKey.objects.count() == 1
