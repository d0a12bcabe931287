"""The admin as a whole."""

from __future__ import annotations

import re
from collections.abc import Callable
from uuid import uuid4

import pytest
from django.test import Client as Browser

from notifications.models import Client
from tests.integration.admin.pages import KEYS, LIST, shown, url

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("poster")]


def test_the_site_has_its_name(browser: Browser) -> None:
    answer = shown(browser, "/admin/")

    assert "<title> Dashboard | Notifier" in " ".join(answer.split())
    assert re.search(r">\s*Notifier\s*<", answer)


@pytest.mark.parametrize("model", ["client", "apikey", "lanestate", "worker", "notification", "suppression"])
def test_every_list_opens_when_it_is_empty(browser: Browser, model: str) -> None:
    Client.objects.all().delete()

    assert "0 " in shown(browser, f"/admin/notifications/{model}/")


def test_the_admin_is_closed_to_strangers(client: Browser) -> None:
    reach: Callable[[str], int] = lambda address: client.get(address).status_code  # noqa: E731

    assert [reach(address) for address in (LIST, KEYS, url(uuid4()))] == [302, 302, 302]
