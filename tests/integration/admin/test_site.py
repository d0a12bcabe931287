"""The admin as a whole."""

from __future__ import annotations

import re
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
    assert [client.get(address).status_code for address in (LIST, KEYS, url(uuid4()))] == [302, 302, 302]


@pytest.mark.parametrize(
    "address",
    [
        *(
            "lanestate/?q=%00",
            "lanestate/add/?which=slack:%00",
            "lanestate/resume/?which=%00",
            "lanestate/a%00/change/",
        ),
        *("operation/?act=%00", "operation/?actor=%00", "suppression/?q=%00", "apikey/?client__id__exact=%00"),
    ],
)
def test_an_address_that_means_nothing_is_no_fault_of_ours(browser: Browser, address: str) -> None:
    assert browser.get(f"/admin/notifications/{address}", follow=True).status_code == 200
