"""pending → sending: take due notifications of one lane for one worker, in one short transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter
from typing import Final, NamedTuple
from uuid import UUID

from notifications.outbox.statement import run
from notifications.states import Priority

# Claims up to %(batch)s due notifications of %(lane)s, high priority first, oldest first; raises `attempt`, the fence.
# One index descent per priority, each from its cursor (the last key this worker claimed there): under a pinned snapshot
# vacuum removes nothing, and a scan from the start would walk every dead entry again. A paused lane yields nothing.
# A notification with losses is claimed alone: if it kills its worker, it takes no other down with it.
# %(started)s: the policy `resend` counts the whole batch as started; `hold` marks each send when it begins.
# `due_at` is told of the last of each priority alone, where the next claim begins: reading a time is dear.
# Index: notification_ready. Rows: (place in the order of sending, then as Claim below).
_DUE: Final = """
    SELECT id, priority, due_at, losses FROM notification
    WHERE lane = %(lane)s AND priority = {priority} AND status = 'pending' AND due_at <= now()
      AND (due_at, id) >= (%(due_{priority})s::timestamptz, %(id_{priority})s::uuid)
      AND NOT EXISTS (SELECT 1 FROM lane_state WHERE lane = %(lane)s AND paused_until > now())
    ORDER BY due_at, id LIMIT {limit} FOR UPDATE SKIP LOCKED
"""
CLAIM: Final = f"""
WITH high AS MATERIALIZED ({_DUE.format(priority=0, limit="%(batch)s::bigint")}),
normal AS MATERIALIZED ({_DUE.format(priority=1, limit="%(batch)s::bigint - (SELECT count(*) FROM high)")}),
low AS MATERIALIZED ({
    _DUE.format(priority=2, limit="%(batch)s::bigint - (SELECT count(*) FROM high) - (SELECT count(*) FROM normal)")
}),
due AS (
    SELECT id, row_number() OVER place AS number, count(*) FILTER (WHERE losses > 0) OVER place AS lossy,
           lead(priority) OVER place IS DISTINCT FROM priority AS last
    FROM (SELECT * FROM high UNION ALL SELECT * FROM normal UNION ALL SELECT * FROM low) AS found
    WINDOW place AS (ORDER BY priority, due_at, id)
)
UPDATE notification n
SET status = 'sending', attempt = n.attempt + 1, worker_id = %(worker)s, claimed_at = now(),
    started_at = CASE WHEN %(started)s THEN now() END
FROM due
WHERE n.id = due.id AND (due.number = 1 OR due.lossy = 0)
RETURNING due.number, n.id, n.attempt, n.recipient, n.subject, n.body, n.correlation_id,
          extract(epoch FROM n.created_at)::float8, n.tries, n.losses, n.possible_duplicate,
          extract(epoch FROM n.expires_at - now())::float8, n.priority,
          CASE WHEN due.last OR due.lossy > 0 THEN n.due_at END AS due_at
"""


class Claim(NamedTuple):
    """One notification in a worker's hands, and the fence it must record under."""

    id: UUID
    attempt: int
    recipient: str
    subject: str
    body: str
    correlation_id: str
    created: float  # seconds since 1970 in UTC: when it was accepted
    tries: int
    losses: int
    possible_duplicate: bool
    expires_in: float | None  # seconds from the claim, by the database's clock; negative: expired already
    priority: int
    due_at: datetime | None  # of the last in its priority, else None
    worker_id: UUID

    def log_fields(self) -> Mapping[str, object]:
        """What every line of log says while it is being sent."""
        return {"correlation_id": self.correlation_id, "notification_id": str(self.id), "attempt": self.attempt}


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the ready index, within one lane and priority."""

    due_at: datetime
    id: UUID


START: Final = Position(datetime(1970, 1, 1, tzinfo=UTC), UUID(int=0))  # before anything that was ever accepted


def claim(lane: str, *, worker_id: UUID, batch: int, started: bool, cursors: Mapping[int, Position]) -> list[Claim]:
    """Claim up to `batch` notifications of a lane for a live worker; fewer when fewer are due or others hold them.

    Raises: django.db.OperationalError; then nothing was claimed, or the relay finds the claim without an owner.
    """
    parameters: dict[str, object] = {"lane": lane, "worker": worker_id, "batch": batch, "started": started}
    for priority in Priority:
        position = cursors.get(priority, START)
        parameters[f"due_{priority.value}"] = position.due_at
        parameters[f"id_{priority.value}"] = position.id
    rows = run(CLAIM, parameters)
    rows.sort(key=_place)
    return [Claim._make((*row[1:], worker_id)) for row in rows]


_place = itemgetter(0)
