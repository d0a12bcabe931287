"""How many requests a client has left of its minute, counted for all web processes together."""

from __future__ import annotations

from typing import Final, NamedTuple

from notifications.outbox.statement import run

# Grants up to %(ask)s of what the client has left of this minute (by the database's clock) out of %(limit)s.
# Index: primary key. Rows: (granted, used of the minute by all, seconds until it ends); none where the client has no
# row yet.
GRANT: Final = """
UPDATE client_quota q
SET minute = known.now, used = known.used + known.granted
FROM (
    SELECT client_id, now, used, least(%(ask)s::int, greatest(0, %(limit)s::int - used)) AS granted
    FROM (
        SELECT client_id, date_trunc('minute', now()) AS now,
               CASE WHEN minute = date_trunc('minute', now()) THEN used ELSE 0 END AS used
        FROM client_quota WHERE client_id = %(client)s FOR UPDATE
    ) AS locked
) AS known
WHERE q.client_id = known.client_id
RETURNING known.granted, q.used, extract(epoch FROM q.minute + interval '1 minute' - now())::float8
"""
# Rows: none.
BEGIN: Final = """
INSERT INTO client_quota (client_id, minute, used) VALUES (%(client)s, date_trunc('minute', now()), 0)
ON CONFLICT (client_id) DO NOTHING
"""


class Grant(NamedTuple):
    granted: int
    used: int  # of this minute, by all processes, what was granted now included
    ends_in: float  # seconds until the minute ends


def grant(client_id: int, *, ask: int, limit: int) -> Grant:
    """Take up to `ask` requests out of a client's minute. Raises: django.db.OperationalError."""
    parameters = {"client": client_id, "ask": ask, "limit": limit}
    rows = run(GRANT, parameters)
    if not rows:
        run(BEGIN, {"client": client_id})
        rows = run(GRANT, parameters)
    return Grant(*rows[0])
