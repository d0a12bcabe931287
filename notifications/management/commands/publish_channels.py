"""`manage.py publish_channels`: tell the database what these settings allow, for `notifications_accept`."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from channels.registry import channels
from notifications.outbox import channel_rules


class Command(BaseCommand):
    help = (
        "Write the channels of these settings down for the SQL function notifications_accept. Every worker does so for "
        "the channels that it is configured for; this takes away, too, what these settings no longer allow."
    )

    def handle(self, *_: Any, **__: Any) -> None:
        channel_rules.publish(whole=True)
        self.stdout.write(f"{len(channels())} channels are written down.")
