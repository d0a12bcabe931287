"""Where clients are told what becomes of theirs."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client as Browser

from notifications.models import Client
from tests.factories import WebhookEndpointFactory
from tests.integration.admin.pages import WEBHOOKS, shown
from tests.integration.staff import only_looking

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("poster")]


def test_a_clients_webhooks_are_listed_without_secret_and_query(browser: Browser, poster: Client) -> None:
    webhook = WebhookEndpointFactory(client=poster, url="https://example.com/notified?key=h1dden", events=["failed"])

    pages = [
        shown(browser, f"/admin/notifications/client/{poster.pk}/change/"),
        shown(browser, WEBHOOKS),
        shown(browser, f"{WEBHOOKS}{webhook.pk}/change/"),
    ]

    for page_ in pages:
        assert "https://example.com/notified?•••" in page_
        assert "h1dden" not in page_
        assert webhook.secret not in page_
        assert webhook.secret[6:] not in page_


def test_a_webhook_is_deactivated_and_that_is_noted(browser: Browser, operator: User, poster: Client) -> None:
    webhook, other = WebhookEndpointFactory(client=poster), WebhookEndpointFactory(client=poster)

    browser.post(WEBHOOKS, {"action": "deactivate", "_selected_action": [str(webhook.pk)]}, follow=True)

    webhook.refresh_from_db()
    other.refresh_from_db()
    assert (webhook.is_active, webhook.disabled_reason) == (False, "an operator switched it off")
    assert other.is_active
    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_id) == (operator, str(webhook.pk))


def test_a_webhook_is_not_deactivated_by_who_may_only_look(poster: Client) -> None:
    webhook = WebhookEndpointFactory(client=poster)

    only_looking().post(WEBHOOKS, {"action": "deactivate", "_selected_action": [str(webhook.pk)]})

    webhook.refresh_from_db()
    assert webhook.is_active
