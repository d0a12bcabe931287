"""How long ago a provider was first given a notification's own key, by which it tells a second send."""

from __future__ import annotations

from datetime import timedelta
from typing import Final
from uuid import UUID

from notifications.outbox.statement import run

# Since when %(backend)s may know the key of a notification: since the first send that was not given back. One that
# failed before it reached the provider counts as well, so that at worst a key is thought to be forgotten too early.
# Asked only when a later attempt is in doubt. Index: primary key of attempt. Rows: (seconds or null), one row.
SINCE_FIRST_SEND: Final = """
SELECT extract(epoch FROM now() - min(started_at))::float8 FROM attempt
WHERE notification_id = %(id)s AND backend = %(backend)s AND outcome <> 'released'
"""


def since_first_send(notification_id: UUID, backend: str) -> timedelta:
    """By the database's clock; nothing where none is recorded. Raises: django.db's errors."""
    seconds = run(SINCE_FIRST_SEND, {"id": notification_id, "backend": backend})[0][0]
    return timedelta(seconds=seconds or 0)
