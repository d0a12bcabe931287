"""How the web server's threads hold their connections to the database: somebody waits for each of them.

Only here: a worker tries again until it is let in, and commands may take their time.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import psycopg
from django.core.signals import request_started
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from urllib3.util import wait_for_read

from notifier import deadline, lock_waits

# While a table stands locked (a migration, VACUUM FULL) the answer is a 503. Without a bound each request would wait as
# long as the lock is held, in the end with all threads, and then not even a probe is answered.
LOCK_WAIT: Final = timedelta(seconds=3)  # longer than a key is waited for, shorter than clients wait for an answer


def guard() -> None:
    """Bound every wait of this process for the database; before the first connection."""
    psycopg.connect = deadline.Connection.connect  # what Django calls for a new connection, and the sender of nudges
    connection_created.connect(_bound_waits)
    # After Django's own of this signal, which gives up connections that failed in the last request.
    request_started.connect(_drop_dead_connection)


def _bound_waits(connection: BaseDatabaseWrapper, **_: Any) -> None:
    lock_waits.limit(connection, LOCK_WAIT)  # behind a pooler the deadline bounds what waits


def _drop_dead_connection(**_: Any) -> None:
    """A server that ended or restarted has hung up: seen on the socket, where a `SELECT 1` would be a round trip."""
    ours = connections[DEFAULT_DB_ALIAS]
    raw = ours.connection
    if raw is not None and not ours.in_atomic_block and (raw.closed or wait_for_read(raw, timeout=0)):
        ours.close()  # an idle connection has nothing to say but its end, or a word of its administrator
