"""The leases of worker processes, and what the relay looks at every second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, LiteralString
from uuid import UUID

import psycopg

from notifications.outbox.lanes import CHANNEL_ROW
from notifications.outbox.statement import Row, run
from notifications.outbox.stretches import ARRAYS, COLUMNS, WAITING, Stretch, as_parameters

# A new lease. Rows: none.
REGISTER: Final = """
INSERT INTO worker (id, beat, host, pid, started_at) VALUES (%(id)s, 0, %(host)s, %(pid)s, now())
"""

# Raises this worker's beat and reads everybody's, in one statement on a connection of its own.
# Index: primary key; the table is as long as there are workers. Rows: (id, beat, renewed), one for each worker, or one
# (null, null, false) where there is none.
BEAT: Final = """
WITH mine AS (UPDATE worker SET beat = beat + 1 WHERE id = %(id)s RETURNING id)
SELECT w.id, w.beat, EXISTS (SELECT 1 FROM mine) FROM (SELECT 1) AS always LEFT JOIN worker w ON true
"""

# When the lanes `first` may be claimed from, but for their tokens, in seconds from now; written into statements.
# Another's probe is waited for while that worker has its lease.
_OPEN: Final[LiteralString] = """extract(epoch FROM greatest(
    first.due_at, s.paused_until, s.stopped_until, whole.stopped_until,
    CASE WHEN EXISTS (SELECT 1 FROM worker p WHERE p.id = s.probe_by) THEN s.probe_until END
) - now())::float8"""
_STATES: Final[LiteralString] = f"""
LEFT JOIN lane_state s ON s.lane = first.lane
LEFT JOIN lane_state whole ON whole.lane = {CHANNEL_ROW.replace("{lane}", "first.lane")}"""

# A loose scan of the ready index, which finds the lanes, priorities and clients that have anything pending, whatever
# the settings say, and the first due time of each: a step for each, however much waits. Written into statements.
FIRSTS: Final[LiteralString] = """waiting AS (
    (SELECT lane, priority, client_id, due_at FROM notification WHERE status = 'pending'
     ORDER BY lane, priority, client_id, due_at, id LIMIT 1)
    UNION ALL
    SELECT next.* FROM waiting w CROSS JOIN LATERAL (
        SELECT n.lane, n.priority, n.client_id, n.due_at FROM notification n
        WHERE n.status = 'pending' AND (n.lane, n.priority, n.client_id) > (w.lane, w.priority, w.client_id)
        ORDER BY n.lane, n.priority, n.client_id, n.due_at, n.id LIMIT 1
    ) AS next
)"""

# What wants doing now. One statement, so that an idle worker costs little.
# While some session holds an old snapshot it walks every dead entry of these indexes: see GLANCE.
# Indexes: notification_ready, notification_claimed, notification_expiring.
# Rows: ('lane', lane, null, seconds until due, 0 or negative when due), ('paced', lane, null, seconds until it has a
# token again) for each lane that has none, and ('claim', lane, id, attempt) for each claim
# that bears %(worker)s, ('missing', '', worker id, 0) for each worker that holds claims without a lease, and
# ('troubled', lane, null, 0) for each lane that an answer closed and no success has opened since, and
# ('overdue', '', null, 0) if something pending has expired.
SWEEP: Final = f"""
WITH RECURSIVE {FIRSTS}
SELECT 'lane', first.lane, NULL::uuid, {_OPEN}
FROM (SELECT lane, min(due_at) AS due_at FROM waiting GROUP BY lane) AS first {_STATES}
UNION ALL
SELECT 'paced', lane, NULL::uuid, extract(epoch FROM next_at - now())::float8 FROM lane_state WHERE next_at > now()
UNION ALL
SELECT 'claim', lane, id, attempt::float8 FROM notification WHERE status = 'sending' AND worker_id = %(worker)s
UNION ALL
SELECT DISTINCT 'missing', '', n.worker_id, 0::float8 FROM notification n
WHERE n.status = 'sending' AND NOT EXISTS (SELECT 1 FROM worker w WHERE w.id = n.worker_id)
UNION ALL
SELECT 'troubled', lane, NULL::uuid, 0::float8 FROM lane_state WHERE reason <> ''
UNION ALL
SELECT 'overdue', '', NULL::uuid, 0::float8
WHERE EXISTS (SELECT 1 FROM notification WHERE status = 'pending' AND expires_at <= now())
"""

# When lanes that this process knows are due, from the places behind which it has claimed: dead entries lie before that.
# Parameters: %(lanes)s, one for each stretch. Index: notification_ready. Rows: (lane, seconds until due, seconds until
# it has a token, whether an answer closed it) of each lane that holds anything pending.
GLANCE: Final = f"""
SELECT first.lane, {_OPEN}, coalesce(extract(epoch FROM s.next_at - now()), 0)::float8, coalesce(s.reason <> '', false)
FROM (
    SELECT s.lane, min(w.due_at) AS due_at
    FROM unnest(%(lanes)s::text[], {ARRAYS}) AS s (lane, {COLUMNS})
    CROSS JOIN LATERAL ({WAITING.replace("{lane}", "s.lane")}) AS w
    GROUP BY s.lane
) AS first {_STATES}
"""


# The open lane whose first has been due for longest: one that nobody paused and no answer closed (a half-open one waits
# for its provider, not for us). Index: notification_ready. Rows: (lane, seconds since due), one, or none.
OLDEST: Final = f"""
WITH RECURSIVE {FIRSTS}
SELECT first.lane, extract(epoch FROM now() - first.due_at)::float8
FROM (SELECT lane, min(due_at) AS due_at FROM waiting GROUP BY lane) AS first {_STATES}
WHERE first.due_at <= now() AND coalesce(s.reason, '') = ''
  AND coalesce(greatest(s.paused_until, s.stopped_until, whole.stopped_until) <= now(), true)
ORDER BY first.due_at LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Beats:
    renewed: bool  # whether this worker still has its lease
    others: dict[UUID, int]


@dataclass(frozen=True, slots=True)
class Sweep:
    due_in: dict[str, float]  # seconds until the first pending notification of each lane is due; not positive: now
    token_in: dict[str, float]  # seconds until there is a token again, of lanes that have none
    own_claims: dict[UUID, int]  # id → attempt
    workers_missing: bool
    overdue: bool  # whether something pending has expired
    troubled: frozenset[str]  # lanes that an answer closed, and no success has opened


@dataclass(frozen=True, slots=True)
class Glance:
    """Of the lanes that were looked at, as in `Sweep`."""

    due_in: dict[str, float]
    token_in: dict[str, float]
    troubled: frozenset[str]


def register(connection: psycopg.Connection[Row], worker_id: UUID, *, host: str, pid: int) -> None:
    connection.execute(REGISTER, {"id": worker_id, "host": host, "pid": pid})


def beat(connection: psycopg.Connection[Row], worker_id: UUID) -> Beats:
    rows = connection.execute(BEAT, {"id": worker_id}, prepare=True).fetchall()
    return Beats(
        renewed=any(row[2] for row in rows),
        others={row[0]: row[1] for row in rows if row[0] not in (None, worker_id)},
    )


def sweep(worker_id: UUID) -> Sweep:
    rows = run(SWEEP, {"worker": worker_id})
    return Sweep(
        due_in={row[1]: row[3] for row in rows if row[0] == "lane"},
        token_in={row[1]: row[3] for row in rows if row[0] == "paced"},
        own_claims={row[2]: int(row[3]) for row in rows if row[0] == "claim"},
        workers_missing=any(row[0] == "missing" for row in rows),
        overdue=any(row[0] == "overdue" for row in rows),
        troubled=frozenset(row[1] for row in rows if row[0] == "troubled"),
    )


def glance(places: Sequence[tuple[str, Stretch]]) -> Glance:
    """When something in or behind these stretches is due."""
    parameters = as_parameters([stretch for _, stretch in places])
    rows = run(GLANCE, {"lanes": [lane for lane, _ in places], **parameters})
    return Glance(
        due_in={row[0]: row[1] for row in rows},
        token_in={row[0]: row[2] for row in rows if row[2] > 0},
        troubled=frozenset(row[0] for row in rows if row[3]),
    )


def oldest() -> tuple[str, float] | None:
    """The open lane that has waited for longest, and for how many seconds; None where nothing is due in any."""
    rows = run(OLDEST, {})
    return (rows[0][0], rows[0][1]) if rows else None
