"""A long history as finished notifications leave it, written by Postgres itself: a hundred million take minutes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Final, LiteralString

from tests.bench.history.layout import Connection

CHUNK: Final = 1_000_000

# In the order of time, and the same whenever it is computed: each table's rows are written by themselves.
_ID: Final[LiteralString] = (
    "(lpad(to_hex(%(begins)s::bigint + n * %(span)s::bigint / %(count)s::bigint), 12, '0')"
    " || '70008' || lpad(to_hex(n), 15, '0'))::uuid"
)
_AT: Final[LiteralString] = "to_timestamp((%(begins)s::bigint + n * %(span)s::bigint / %(count)s::bigint) / 1000.0)"
_ROWS: Final[LiteralString] = f"""
    (SELECT n, {_ID} AS id, {_AT} AS at FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n) AS made
"""

# Sent and redacted: as REDACT_AFTER_DAYS leaves what is kept for long.
NOTIFICATIONS: Final[LiteralString] = f"""
INSERT INTO notification (id, client_id, channel, lane, recipient, subject, body, metadata, priority, due_at, status,
    attempt, tries, losses, possible_duplicate, provider_id, error_code, correlation_id, idempotency_key, created_at,
    finished_at, redacted_at)
SELECT id, 1, 'slack', 'slack', '', '', '', '{{}}', 1, at, 'sent', 1, 0, 0, false, '', '', id::text, 'order-' || n, at,
    at, at
FROM {_ROWS}
"""
ATTEMPTS: Final[LiteralString] = f"""
INSERT INTO attempt (notification_id, number, started_at, finished_at, outcome, late_outcome, code, detail,
    provider_id, backend, worker_id, possible_duplicate)
SELECT id, 1, at, at, 'accepted', '', '', '', '', 'nowhere', '00000000-0000-0000-0000-000000000001', false
FROM {_ROWS}
"""
LISTINGS: Final[LiteralString] = f"""
INSERT INTO listing (client_id, id, recipient, correlation)
SELECT 1, id, hashtextextended('', 1), hashtextextended(id::text, 1)
FROM {_ROWS}
"""


def fill(connect: Callable[[], Connection], count: int, begins: datetime, ends: datetime, *, listed: bool) -> None:
    """So many notifications with an attempt each, evenly from `begins` to before `ends` (aware); `listed`: in lists."""
    span = {
        "begins": int(begins.timestamp() * 1000),
        "span": int((ends - begins).total_seconds() * 1000),
        "count": count,
    }

    def write(*statements: LiteralString) -> None:
        with connect() as connection:
            connection.execute("SET synchronous_commit = off")
            for statement in statements:
                for first in range(0, count, CHUNK):
                    last = min(first + CHUNK, count) - 1
                    connection.execute(statement, {**span, "first": first, "last": last})

    with ThreadPoolExecutor(2) as threads:
        others = (ATTEMPTS, LISTINGS) if listed else (ATTEMPTS,)
        for written in [threads.submit(write, NOTIFICATIONS), threads.submit(write, *others)]:
            written.result()
    with connect() as connection:
        connection.execute("VACUUM (ANALYZE, FREEZE) notification, attempt, listing")
