"""What SQL accepted, to the provider: no nudge comes with it, and the workers say what may be accepted."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from django.db import connection

from channels.sandbox.server import Sandbox
from notifications.models import ChannelRules, Client, LaneState, Notification
from tests import processes
from tests.eventually import eventually

pytestmark = pytest.mark.django_db(transaction=True)


def accept(client: Client, **fields: str) -> UUID:
    given = {"client": client.name, **fields}
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT id FROM notifications_accept({', '.join(f'{name} => %s' for name in given)})", [*given.values()]
        )
        id_: UUID = cursor.fetchone()[0]
    return id_


def test_a_worker_says_what_it_can_send_and_sends_what_sql_accepts(
    client_row: Client, providers: dict[str, str], sandbox: Sandbox
) -> None:
    with processes.worker(**providers):
        eventually(lambda: ChannelRules.objects.filter(configured=True).count() == 3, what="the channels' rules")
        wanted: list[dict[str, Any]] = [
            {"channel": "slack", "message": "hello"},
            {"channel": "sms", "recipient": "+14155552671", "message": "hello"},
            {"channel": "email", "recipient": "ann@example.com", "subject": "Hi", "message": "hello"},
        ]
        ids = [accept(client_row, **each) for each in wanted]

        eventually(lambda: Notification.objects.filter(pk__in=ids, status="sent").count() == 3, what="all are sent")


def test_what_sql_accepted_and_no_worker_can_send_waits_and_says_why(
    client_row: Client, providers: dict[str, str]
) -> None:
    with processes.worker(**providers):
        slack = eventually(lambda: ChannelRules.objects.filter(channel="slack", configured=True).first())
        # Written by another, whose settings know more than this worker's.
        ChannelRules.objects.filter(pk=slack.pk).update(names=["default", "gone"])
        id_ = accept(client_row, channel="slack", recipient="gone", message="hello")

        paused = eventually(lambda: LaneState.objects.filter(lane="slack:gone").first(), what="its lane is paused")

    assert "unknown_destination" in paused.reason
    assert Notification.objects.get(pk=id_).status == "pending"
