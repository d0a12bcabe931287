"""sent, unknown (and pending, sending, failed) → delivered; sent, unknown → failed: the provider's later word."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final
from uuid import UUID

from django.db import transaction

from channels.contract import Progress
from notifications.outbox import tell
from notifications.outbox.statement import run
from notifications.states import Status

# Stores a receipt as it comes, before anything is decided from it. Rows: none.
STORE: Final = """
INSERT INTO receipt (notification_id, attempt, provider_id, rank, code, received_at)
VALUES (%(id)s, %(attempt)s, %(provider_id)s, %(rank)s, %(code)s, now())
"""

# Takes the notification's row lock, so that receipts, records and operators come one after another.
# Index: primary key. Rows: (status, attempt).
LOCK: Final = "SELECT status, attempt FROM notification WHERE id = %(id)s FOR UPDATE"

# The farthest word on any attempt, and on the latest one; what is said of a message that the latest only found, by a
# look-up, is said of it. Indexes: receipt's notification_id, primary key of attempt.
# Rows: (highest rank of any attempt, highest rank of attempt %(attempt)s, its code, provider id of the farthest word),
# nulls where there is none.
FARTHEST: Final = """
SELECT max(rank), max(rank) FILTER (WHERE latest),
       (array_agg(code ORDER BY rank DESC, id DESC) FILTER (WHERE latest))[1],
       (array_agg(provider_id ORDER BY rank DESC, id DESC))[1]
FROM (
    SELECT r.*, r.attempt = %(attempt)s OR r.provider_id <> '' AND r.provider_id = (
        SELECT a.provider_id FROM attempt a WHERE a.notification_id = %(id)s AND a.number = %(attempt)s
    ) AS latest
    FROM receipt r WHERE r.notification_id = %(id)s
) AS said
"""

# Which of %(ids)s have receipts. Index: receipt's notification_id. Rows: (id).
WITH_RECEIPTS: Final = "SELECT DISTINCT notification_id FROM receipt WHERE notification_id = ANY(%(ids)s::uuid[])"

# Settles the notification. If its claim is still open, the receipt ends it: the attempt row is written here, and the
# worker's own record finds it; marked, where its provider may have forgotten its key. Index: primary key. Rows: (id).
SETTLE: Final = f"""
WITH before AS (
    SELECT id, attempt, status, worker_id, coalesce(started_at, claimed_at) AS began,
           coalesce(possible_duplicate OR deduplicated_until <= now(), false) AS possible_duplicate
    FROM notification WHERE id = %(id)s
), ended AS (
    INSERT INTO attempt (notification_id, number, started_at, finished_at, outcome, late_outcome, code, detail,
                         provider_id, backend, worker_id, possible_duplicate)
    SELECT id, attempt, began, clock_timestamp(), 'accepted', '', '', 'settled by a receipt',
           %(provider_id)s::text, '', worker_id, possible_duplicate
    FROM before WHERE status = 'sending'
    ON CONFLICT (notification_id, number) DO NOTHING
), settled AS (
    UPDATE notification n
    SET status = %(status)s, error_code = %(code)s, provider_id = %(provider_id)s, finished_at = now(),
        worker_id = NULL, claimed_at = NULL, started_at = NULL
    FROM before b WHERE n.id = b.id
    RETURNING {tell.TOLD_OF}
), {tell.of("settled")}
SELECT id FROM settled
"""

# Notes that attempts in doubt were accepted after all. Indexes: primary key of attempt, receipt's notification_id.
NOTE: Final = """
UPDATE attempt SET late_outcome = 'accepted'
WHERE notification_id = %(id)s AND number IN (SELECT r.attempt FROM receipt r WHERE r.notification_id = %(id)s)
  AND outcome IN ('lost', 'in_doubt', 'unexpected')
"""


def receive(
    notification_id: UUID, *, attempt: int, provider_id: str, progress: Progress, code: str = ""
) -> Status | None:
    """Store a receipt and apply what is known now; the new status, or None where nothing changed.

    Safe to repeat and in any order. An unknown notification's receipt is stored all the same.
    """
    with transaction.atomic():
        run(
            STORE,
            {
                "id": notification_id,
                "attempt": attempt,
                "provider_id": provider_id,
                "rank": progress.value,
                "code": code,
            },
        )
        return _apply(notification_id)


def apply_stored(ids: Collection[UUID]) -> dict[UUID, Status]:
    """Apply the receipts that came before these were recorded or recovered; the new status of those they changed.

    A statement of its own, after the commit of the record or in the recovery's transaction: a receipt that came while
    that waited for its lock is in no earlier snapshot, and one that comes later finds what was written. Safe to repeat.
    """
    settled: dict[UUID, Status] = {}
    for (notification_id,) in run(WITH_RECEIPTS, {"ids": list(ids)}) if ids else []:
        with transaction.atomic():
            status = _apply(notification_id)
        if status is not None:
            settled[notification_id] = status
    return settled


def _apply(notification_id: UUID) -> Status | None:
    """What the stored receipts make of a notification."""
    locked = run(LOCK, {"id": notification_id})
    if not locked:
        return None
    status, latest = Status(locked[0][0]), locked[0][1]
    run(NOTE, {"id": notification_id})
    highest, of_latest, code, provider_id = run(FARTHEST, {"id": notification_id, "attempt": latest})[0]
    settled = _settled(status, highest, of_latest)
    if settled is None:
        return None
    failed = settled is Status.FAILED
    run(
        SETTLE,
        {
            "id": notification_id,
            "status": settled.value,
            "code": code if failed else "",
            "provider_id": provider_id,
        },
    )
    return settled


def _settled(status: Status, highest: int | None, of_latest: int | None) -> Status | None:
    """`delivered` of any attempt settles; `undelivered` counts for the latest attempt alone."""
    if highest == Progress.DELIVERED and status not in {Status.DELIVERED, Status.CANCELED}:
        return Status.DELIVERED
    if of_latest == Progress.UNDELIVERED and status in {Status.SENT, Status.UNKNOWN}:
        return Status.FAILED
    if of_latest == Progress.TAKEN and status is Status.UNKNOWN:
        return Status.SENT
    return None
