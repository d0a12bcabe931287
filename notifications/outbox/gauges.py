"""How things stand, for /metrics: one statement, which costs the same however long the history is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, LiteralString

from channels.registry import MARK
from notifications.outbox.statement import run
from notifications.outbox.workers import FIRSTS

MOST_COUNTED: Final = 100_000  # of each lane, and of each channel's failed and unknown ones: more are told as so many
_MOST: Final[LiteralString] = "100000"

# Parts of a WITH RECURSIVE. What waits in each lane, those for later among it, and for how long the oldest due one has:
# the relay's loose scan, and then a count that ends. Rows of waiting_lane: (lane, waiting, seconds or null).
WAITING_LANES: Final[LiteralString] = f"""{FIRSTS}, waiting_lane AS (
    SELECT first.lane, counted.waiting, extract(epoch FROM now() - first.due_at)::float8 AS oldest
    FROM (SELECT lane, min(due_at) FILTER (WHERE due_at <= now()) AS due_at FROM waiting GROUP BY lane) AS first
    CROSS JOIN LATERAL (
        SELECT count(*) AS waiting FROM (
            SELECT 1 FROM notification n WHERE n.status = 'pending' AND n.lane = first.lane
            ORDER BY n.priority, n.client_id, n.due_at, n.id LIMIT {_MOST}
        ) AS few
    ) AS counted
)"""

# Indexes: notification_ready, notification_attention, operation_unfinished; lane_state and chore are short.
# Rows: (what, lane, channel or chore, status or by, number).
GAUGES: Final = f"""
WITH RECURSIVE {WAITING_LANES}, attending AS (
    (SELECT channel FROM notification WHERE status IN ('failed', 'unknown') ORDER BY channel LIMIT 1)
    UNION ALL
    SELECT (SELECT n.channel FROM notification n WHERE n.status IN ('failed', 'unknown') AND n.channel > a.channel
            ORDER BY n.channel LIMIT 1)
    FROM attending a WHERE a.channel IS NOT NULL
)
SELECT 'waiting', lane, '', waiting::float8 FROM waiting_lane
UNION ALL
SELECT 'oldest', lane, '', coalesce(oldest, 0) FROM waiting_lane
UNION ALL
SELECT 'attention', CASE WHEN test THEN '{MARK}' ELSE '' END || a.channel, few.status, count(*)::float8
FROM attending a CROSS JOIN LATERAL (
    SELECT n.status, starts_with(n.lane, '{MARK}') AS test FROM notification n
    WHERE n.status IN ('failed', 'unknown') AND n.channel = a.channel ORDER BY n.id DESC LIMIT {_MOST}
) AS few GROUP BY a.channel, few.test, few.status
UNION ALL
SELECT 'paused', lane, 'provider', 1 FROM lane_state WHERE reason <> ''
UNION ALL
SELECT 'paused', lane, 'operator', 1 FROM lane_state WHERE stopped_until > now()
UNION ALL
SELECT 'operations', '', '', count(*)::float8 FROM operation WHERE state IN ('asked', 'running')
UNION ALL
SELECT 'chore', name, '', extract(epoch FROM now() - last_at)::float8 FROM chore
"""


@dataclass(slots=True)
class Gauges:
    """Counts end at MOST_COUNTED."""

    waiting: dict[str, float] = field(default_factory=dict)  # by lane
    oldest: dict[str, float] = field(default_factory=dict)  # seconds, by lane
    attention: dict[tuple[str, str], float] = field(default_factory=dict)  # by channel and status
    paused: set[tuple[str, str]] = field(default_factory=set)  # lane, by whom
    workers: float = 0  # not of the statement: a beat tells only by a second look
    operations: float = 0
    chores: dict[str, float] = field(default_factory=dict)  # seconds since the end of each


def read() -> Gauges:
    """Raises: django.db's errors."""
    found = Gauges()
    by_lane: Mapping[str, dict[str, float]] = {"waiting": found.waiting, "oldest": found.oldest}
    for what, of, which, number in run(GAUGES, {}):
        match what:
            case "waiting" | "oldest":
                by_lane[what][of] = number
            case "attention":
                found.attention[of, which] = number
            case "paused":
                found.paused.add((of, which))
            case "operations":
                found.operations = number
            case "chore":
                found.chores[of] = number
    return found
