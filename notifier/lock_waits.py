"""How long a session waits for a lock at most, where it is ours."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.db.backends.base.base import BaseDatabaseWrapper

# On a session of our own alone: through a pooler in transaction mode it would be left to whoever comes next, to a
# migration perhaps.
LIMIT: Final = "SELECT set_config('lock_timeout', %s, false) WHERE pg_backend_pid() = %s"


def limit(connection: BaseDatabaseWrapper, wait: timedelta) -> None:
    """Let every wait end after so long, from now on; zero: never. Through a pooler nothing is changed."""
    connection.ensure_connection()
    with connection.cursor() as cursor:
        milliseconds = round(wait.total_seconds() * 1000)
        cursor.execute(LIMIT, [f"{milliseconds}ms", connection.connection.info.backend_pid])
