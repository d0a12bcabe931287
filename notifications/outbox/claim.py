"""pending → sending: take due notifications of one lane for one worker, in one short transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter
from typing import Final, LiteralString, NamedTuple
from uuid import UUID

from notifications.outbox.statement import run
from notifications.states import Priority

# Claims up to %(batch)s due notifications of %(lane)s, oldest first; raises `attempt`, the fence. Of the priorities one
# comes first and the others fill up what it leaves.
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


def _claim(first: int, second: int, third: int) -> LiteralString:
    batch: LiteralString = "%(batch)s::bigint"
    after_first: LiteralString = f"{batch} - (SELECT count(*) FROM first)"
    after_second: LiteralString = f"{after_first} - (SELECT count(*) FROM second)"
    return f"""
WITH first AS MATERIALIZED ({_due(first, batch)}),
second AS MATERIALIZED ({_due(second, after_first)}),
third AS MATERIALIZED ({_due(third, after_second)}),
due AS (
    SELECT id, row_number() OVER place AS number, count(*) FILTER (WHERE losses > 0) OVER place AS lossy,
           priority
    FROM (SELECT * FROM first UNION ALL SELECT * FROM second UNION ALL SELECT * FROM third) AS found
    WINDOW place AS (ORDER BY priority, due_at, id)
), taken AS (
    SELECT id, number, lead(priority) OVER (ORDER BY number) IS DISTINCT FROM priority AS last
    FROM due WHERE due.number = 1 OR due.lossy = 0
)
UPDATE notification n
SET status = 'sending', attempt = n.attempt + 1, worker_id = %(worker)s, claimed_at = now(),
    started_at = CASE WHEN %(started)s THEN now() END
FROM taken
WHERE n.id = taken.id
RETURNING taken.number, n.id, n.attempt, n.recipient, n.subject, n.body, n.correlation_id,
          extract(epoch FROM n.created_at)::float8, n.tries, n.losses, n.possible_duplicate,
          extract(epoch FROM n.expires_at - now())::float8, n.priority,
          CASE WHEN taken.last THEN n.due_at END AS due_at
"""


def _due(priority: int, limit: LiteralString) -> LiteralString:
    columns: dict[int, LiteralString] = {0: "0", 1: "1", 2: "2"}
    return _DUE.replace("{priority}", columns[priority]).replace("{limit}", limit)


CLAIM: Final = _claim(Priority.HIGH, Priority.NORMAL, Priority.LOW)
# What claims in turn, now and then, so that nothing waits for as long as something above it comes in.
CLAIM_NORMAL_FIRST: Final = _claim(Priority.NORMAL, Priority.LOW, Priority.HIGH)
CLAIM_LOW_FIRST: Final = _claim(Priority.LOW, Priority.NORMAL, Priority.HIGH)


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


def claim(
    lane: str,
    *,
    worker_id: UUID,
    batch: int,
    started: bool,
    cursors: Mapping[int, Position],
    first: Priority = Priority.HIGH,
) -> list[Claim]:
    """Claim up to `batch` notifications of a lane for a live worker; fewer when fewer are due or others hold them.

    `first`: the priority that fills the batch before the others do. They come in the order of priority all the same.
    Raises: django.db.OperationalError; then nothing was claimed, or the relay finds the claim without an owner.
    """
    parameters: dict[str, object] = {"lane": lane, "worker": worker_id, "batch": batch, "started": started}
    for priority in Priority:
        position = cursors.get(priority, START)
        parameters[f"due_{priority}"] = position.due_at
        parameters[f"id_{priority}"] = position.id
    statement = {Priority.HIGH: CLAIM, Priority.NORMAL: CLAIM_NORMAL_FIRST, Priority.LOW: CLAIM_LOW_FIRST}[first]
    rows = run(statement, parameters)
    rows.sort(key=_place)
    return [Claim._make((*row[1:], worker_id)) for row in rows]


_place = itemgetter(0)
