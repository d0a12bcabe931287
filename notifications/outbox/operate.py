"""What clients, operators and time decide: replay, cancel, reschedule, expire. One function is one edge."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Final, LiteralString
from uuid import UUID

from channels.registry import MARK
from notifications.outbox import suppress, tell
from notifications.outbox.statement import run
from notifications.states import Status

# Each locks just what it changes (Postgres looks again at what it had to wait for): where the status were asked of the
# rows locked, and not before, the plan would decide whether those that are left alone are locked as well, and passed
# over by a claim. In id order, so that two never wait for each other in a circle; the second finds the status changed.

# A backup's name in a lane, and what is before it.
OF_BACKUP: Final[LiteralString] = f"^((?:{MARK})?[^@:]+)@[^:]*"

# Returns failed and unknown notifications to pending, with fresh budgets, in the lane of the channel's first backend;
# one that may have been sent stays marked. Expired ones are left alone, and those whose recipient is suppressed: they
# would only fail again; redacted ones have nothing left to send. The event row is the audit.
# Indexes: primary key, suppression_once. Rows: (id, lane).
REPLAY: Final = rf"""
WITH chosen AS MATERIALIZED (
    SELECT id FROM notification
    WHERE id = ANY(%(ids)s::uuid[]) AND status || '' IN ('failed', 'unknown') AND redacted_at IS NULL
      AND (expires_at IS NULL OR expires_at > now()) AND {suppress.REASON.format(row="notification")} IS NULL
    ORDER BY id FOR UPDATE
), replayed AS (
    UPDATE notification n
    SET status = 'pending', due_at = now(), tries = 0, losses = 0, finished_at = NULL,
        lane = regexp_replace(n.lane, '{OF_BACKUP}', '\1'), deduplicated_until = NULL,
        possible_duplicate = n.possible_duplicate OR n.status || '' = 'unknown'
    FROM chosen c WHERE n.id = c.id
    RETURNING n.id, n.lane
), reported AS (
    INSERT INTO event (notification_id, at, kind, actor, detail)
    SELECT id, now(), 'replayed', %(actor)s::text, %(detail)s::text FROM replayed
)
SELECT id, lane FROM replayed
"""

# Cancels what is not being sent and not finished well. Index: primary key. Rows: (id).
CANCEL: Final = """
WITH chosen AS MATERIALIZED (
    SELECT id FROM notification
    WHERE id = ANY(%(ids)s::uuid[]) AND status || '' IN ('pending', 'failed', 'unknown') ORDER BY id FOR UPDATE
), canceled AS (
    UPDATE notification n SET status = 'canceled', finished_at = now()
    FROM chosen c WHERE n.id = c.id
    RETURNING n.id
), reported AS (
    INSERT INTO event (notification_id, at, kind, actor, detail)
    SELECT id, now(), 'canceled', %(actor)s::text, %(detail)s::text FROM canceled
)
SELECT id FROM canceled
"""

# Gives what is pending another time; one in the past is now. One that would be sent after its life is left alone.
# Index: primary key. Rows: (id, lane).
RESCHEDULE: Final = """
WITH chosen AS MATERIALIZED (
    SELECT id FROM notification
    WHERE id = ANY(%(ids)s::uuid[]) AND status || '' = 'pending'
      AND (expires_at IS NULL OR expires_at > greatest(now(), %(send_at)s::timestamptz))
    ORDER BY id FOR UPDATE
), rescheduled AS (
    UPDATE notification n SET due_at = greatest(now(), %(send_at)s::timestamptz)
    FROM chosen c WHERE n.id = c.id
    RETURNING n.id, n.lane
), reported AS (
    INSERT INTO event (notification_id, at, kind, actor, detail)
    SELECT id, now(), 'rescheduled', %(actor)s::text, %(detail)s::text FROM rescheduled
)
SELECT id, lane FROM rescheduled
"""

# Fails what is pending past its life, a paused lane's included. Of what an earlier send under a provider's key may have
# delivered nobody knows. Index: notification_expiring. Rows: (lane, status).
EXPIRE: Final = f"""
WITH overdue AS (
    SELECT id FROM notification WHERE status = 'pending' AND expires_at <= now()
    ORDER BY expires_at LIMIT 1000 FOR UPDATE SKIP LOCKED
), expired AS (
    UPDATE notification n
    SET status = CASE WHEN n.deduplicated_until IS NULL THEN 'failed' ELSE 'unknown' END, error_code = 'expired',
        finished_at = CASE WHEN n.deduplicated_until IS NULL THEN now() END,
        possible_duplicate = n.possible_duplicate OR n.deduplicated_until IS NOT NULL, deduplicated_until = NULL
    FROM overdue o WHERE n.id = o.id
    RETURNING {tell.TOLD_OF}, n.lane
), {tell.of("expired")}, reported AS (
    INSERT INTO event (notification_id, at, kind, actor, detail) SELECT id, now(), 'expired', 'relay', '' FROM expired
)
SELECT lane, status FROM expired
"""


def replay(ids: Collection[UUID], *, actor: str, detail: str = "") -> dict[UUID, str]:
    """Return failed and unknown notifications to pending: id → lane of those that were. Safe to repeat."""
    return dict(run(REPLAY, {"ids": list(ids), "actor": actor, "detail": detail}))


def cancel(ids: Collection[UUID], *, actor: str, detail: str = "") -> set[UUID]:
    """Cancel pending, failed and unknown notifications; returns those that were. Safe to repeat."""
    return {row[0] for row in run(CANCEL, {"ids": list(ids), "actor": actor, "detail": detail})}


def reschedule(ids: Collection[UUID], *, send_at: datetime, actor: str, detail: str = "") -> dict[UUID, str]:
    """Give pending notifications another time (aware): id → lane of those that have it. Safe to repeat."""
    return dict(run(RESCHEDULE, {"ids": list(ids), "send_at": send_at, "actor": actor, "detail": detail}))


def expire() -> list[tuple[str, Status]]:
    """Fail up to a thousand pending notifications whose life is over; the lane and the new status of each."""
    return [(lane, Status(status)) for lane, status in run(EXPIRE, {})]
