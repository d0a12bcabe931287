"""The request that would post a notification again, for a shell: with a fresh key, and no API key."""

from __future__ import annotations

import json
import shlex
from typing import Any
from uuid import uuid4

from django.utils import timezone

from channels.registry import channel_for
from notifications.models import Notification
from notifications.states import Priority


def command(notification: Notification, base: str) -> str | None:
    """None where nobody can read any more what it said, where files would have to be posted with it,
    or where the service itself wrote it.

    `base`: where the service is, such as https://notifier.example.
    """
    stored: dict[str, Any] = notification.content or {}
    known = channel_for(notification.lane)
    if notification.redacted_at is not None or stored.get("files") or known is None or known.backend.internal:
        return None
    fields: dict[str, Any] = {"channel": notification.channel, "to": notification.recipient}
    if notification.subject and notification.channel == "email":
        fields["subject"] = notification.subject
    fields |= {"message": notification.body}
    if notification.priority != Priority.NORMAL:
        fields["priority"] = Priority(notification.priority).name.lower()
    if notification.expires_at is not None and notification.expires_at > timezone.now():
        fields["expires_at"] = notification.expires_at.isoformat()
    fields |= {"metadata": notification.metadata} if notification.metadata else {}
    fields |= {"content": stored["fields"]} if stored.get("fields") else {}
    headers = ["Content-Type: application/json", f"Idempotency-Key: {uuid4()}"]
    if notification.correlation_id:
        headers.append(f"X-Correlation-ID: {notification.correlation_id}")
    return " \\\n  ".join(
        [
            f"curl -X POST {shlex.quote(f'{base}/api/v1/notifications')}",
            '-H "Authorization: Bearer $API_KEY"',
            *(f"-H {shlex.quote(header)}" for header in headers),
            f"--data-raw {shlex.quote(json.dumps(fields, ensure_ascii=False))}",
        ]
    )
