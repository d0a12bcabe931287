"""What the tests of the admin's pages share: rows to look at, and what a page shows of them."""

from __future__ import annotations

import re
from uuid import UUID, uuid4

from django.contrib.messages import get_messages
from django.test import Client as Browser

from notifications.states import Outcome
from tests.integration.outbox import rows

LIST = "/admin/notifications/notification/"
KEYS = "/admin/notifications/apikey/"
OPERATIONS = "/admin/notifications/operation/"
WEBHOOKS = "/admin/notifications/webhookendpoint/"


def ended(outcome: Outcome, *, lane: str | None = None, hold: bool = False, **fields: object) -> UUID:
    id_ = rows.accepted(lane=lane or f"slack:{uuid4()}", **fields)
    (claim,) = rows.claimed(rows.worker(), lane=rows.row(id_).lane)
    rows.recorded(rows.result(claim, outcome, hold=hold, code="a_code", detail="a detail"))
    return id_


def url(id_: UUID) -> str:
    return f"{LIST}{id_}/change/"


def shown(browser: Browser, address: str) -> str:
    response = browser.get(address, follow=True)
    assert response.status_code == 200
    return response.content.decode()


def listed(browser: Browser, query: str = "") -> set[str]:
    """The ids of the rows that a list shows."""
    return set(re.findall(rf'href="{LIST}([0-9a-f-]{{36}})/change/', shown(browser, LIST + query)))


def chosen(*ids: UUID, action: str = "resend_selected", **more: str) -> dict[str, object]:
    return {"action": action, "_selected_action": [str(id_) for id_ in ids], **more}


def words(response: object) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]  # type: ignore[attr-defined]


def chosen_rows(*keys: object, action: str) -> dict[str, object]:
    return {"action": action, "_selected_action": [str(key) for key in keys]}
