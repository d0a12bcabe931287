"""pending → sending: take due notifications of one lane for one worker, in one short transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Final, NamedTuple
from uuid import UUID

from channels.registry import channel_row
from notifications.outbox import suppress
from notifications.outbox.statement import run, squeezed
from notifications.outbox.stretches import ARRAYS, COLUMNS, EVERYWHERE, WAITING, Stretch, as_parameters

MOST_CLIENTS: Final = 100  # in one claim; the next begins behind them

# Claims up to %(batch)s due notifications of %(lane)s; raises `attempt`, the fence. The priorities take turns as the
# stretches name them: each fills what those before it leave.
# Within a priority every client that has something due gets an equal share, oldest first, and those that are known to
# have more divide what the others leave. A client's rows are found by one descent of the index, from where they were
# claimed up to: under a pinned snapshot vacuum removes nothing, and a scan from the start would walk every dead entry
# again. A lane that is not open yields nothing, but for a probe where it is half-open.
# They are sent in rounds, one of each client in each (`sending` counts them). One with losses is claimed alone: if it
# kills its worker, it takes no other down with it.
# A client may have more if it took its whole share, or if not all of its part (of a priority: who is known to have
# more, or the others) was looked at, because the batch was full, too many clients wait, or one has losses.
# What is taken is compared as a number, so that the planner expects few rows and finds them by primary key.
# %(started)s: the policy `resend` counts the whole batch as started; `hold` marks each send when it begins.
# `due_at` is told of each client's last in each priority alone, where the next claim begins: reading a time is dear.
# Indexes: notification_ready, suppression_once. Rows: (place in the order of sending, then as Claim below).
CLAIM: Final = squeezed(f"""
WITH waiting AS MATERIALIZED (
    SELECT s.number, s.priority, w.client_id, w.known,
           CASE WHEN w.known THEN s.reached_due ELSE s.since END AS from_due,
           CASE WHEN w.known THEN s.reached_id ELSE '00000000-0000-0000-0000-000000000000' END AS from_id
    FROM unnest({ARRAYS}) WITH ORDINALITY AS s ({COLUMNS}, number)
    CROSS JOIN LATERAL ({WAITING.replace("{lane}", "%(lane)s")}) AS w
    WHERE w.due_at <= now()
      AND NOT EXISTS (SELECT 1 FROM lane_state WHERE lane IN (%(lane)s, %(channel)s) AND (
          stopped_until > now()
          OR lane = %(lane)s AND reason <> '' AND (paused_until > now() OR NOT %(probing)s)))
    LIMIT least((SELECT %(batch)s::bigint), {MOST_CLIENTS})
), client AS (
    SELECT *, row_number() OVER (ORDER BY turn, known, number) AS rank,
           greatest(1, %(batch)s::bigint / CASE WHEN known THEN known_ones ELSE all_ones END) AS share
    FROM (
        SELECT *, min(number) OVER same AS turn, count(*) OVER same AS all_ones,
               count(*) FILTER (WHERE known) OVER same AS known_ones
        FROM waiting WINDOW same AS (PARTITION BY priority)
    ) AS counted
), found AS MATERIALIZED (
    SELECT own.id, own.losses, c.rank, 2 * c.turn + c.known::int AS part, own.place = c.share AS more,
           (c.priority::bigint << 50) + (own.place << 20) + c.rank AS sending
    FROM (SELECT * FROM client ORDER BY rank) AS c CROSS JOIN LATERAL (
        SELECT id, losses, row_number() OVER () AS place FROM (
            SELECT id, losses FROM notification
            WHERE lane = %(lane)s AND priority = c.priority AND client_id = c.client_id AND status = 'pending'
              AND due_at <= now() AND (due_at, id) >= (c.from_due, c.from_id)
            ORDER BY due_at, id LIMIT c.share FOR UPDATE SKIP LOCKED
        ) AS locked
    ) AS own
    LIMIT (SELECT %(batch)s::bigint)
), bounds AS (
    SELECT min(sending) AS first, min(sending) FILTER (WHERE losses > 0) AS lossy,
           CASE WHEN max(losses) > 0 OR (SELECT count(*) FROM waiting) = least(%(batch)s::bigint, {MOST_CLIENTS}) THEN 0
                WHEN count(*) = %(batch)s::bigint THEN max(part) END AS incomplete
    FROM found
), taken AS (
    SELECT id, sending, lead(rank) OVER () IS DISTINCT FROM rank AS last, more OR part >= incomplete AS more
    FROM found CROSS JOIN bounds WHERE (sending = first OR lossy IS NULL OR sending < lossy)::int = 1
)
UPDATE notification n
SET status = 'sending', attempt = n.attempt + 1, worker_id = %(worker)s, claimed_at = now(),
    started_at = CASE WHEN %(started)s THEN now() END
FROM taken
WHERE n.id = taken.id
RETURNING taken.sending, n.id, n.attempt, n.recipient, n.subject, n.body, n.correlation_id,
          extract(epoch FROM n.created_at)::float8, n.tries, n.losses, n.possible_duplicate,
          extract(epoch FROM n.expires_at - now())::float8, extract(epoch FROM n.deduplicated_until - now())::float8,
          n.priority, n.client_id,
          CASE WHEN taken.last THEN n.due_at END AS due_at, coalesce(taken.last AND taken.more, false),
          {suppress.REASON_IN_LANE.format(row="n", lane="%(lane)s")}, n.content,
          extract(epoch FROM now() - n.due_at)::float8
""")


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
    key_left: float | None  # likewise; an earlier send may have been taken, and for so long its provider knows the key
    priority: int
    client_id: int
    due_at: datetime | None  # of the last of its client in its priority, else None
    more: bool  # and whether that client may have more
    suppressed: str | None  # why nothing is sent to this recipient
    content: str | None  # JSON, as notifications/content.py has it
    due_for: float  # seconds that it had been due at the claim, by the database's clock
    worker_id: UUID

    def log_fields(self) -> Mapping[str, object]:
        """What every line of log says while it is being sent."""
        return {"correlation_id": self.correlation_id, "notification_id": str(self.id), "attempt": self.attempt}


def claim(
    lane: str,
    *,
    worker_id: UUID,
    batch: int,
    started: bool,
    stretches: Sequence[Stretch] = EVERYWHERE,
    probing: bool = False,
) -> list[Claim]:
    """Claim up to `batch` notifications of a lane for a live worker; fewer when fewer are due or others hold them.

    `stretches`: where to look. The priority that comes first in them fills the batch before the others do; they are
    sent in the order of priority all the same. `probing`: this worker has the lane's probe (`lanes.probe`).
    Raises: django.db.OperationalError; then nothing was claimed, or the relay finds the claim without an owner.
    """
    parameters: dict[str, object] = {
        "lane": lane,
        "channel": channel_row(lane),
        "worker": worker_id,
        "batch": batch,
        "started": started,
        "probing": probing,
    }
    rows = run(CLAIM, parameters | as_parameters(stretches))
    rows.sort(key=_place)
    mine = (worker_id,)
    return [Claim._make(row[1:] + mine) for row in rows]


_place = itemgetter(0)
