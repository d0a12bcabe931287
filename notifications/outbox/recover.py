"""sending → pending or unknown: what becomes of the claims of a worker that is gone."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, LiteralString
from uuid import UUID

from django.db import transaction

from channels.contract import OnUnknown
from channels.registry import MARK, by_head
from notifications.models import MAX_LOSSES
from notifications.outbox import receipts, tell
from notifications.outbox.statement import Row, run
from notifications.states import Outcome, Status

# Declares a worker dead, unless its beat has moved since it was observed. Index: primary key. Rows: (id) if it was.
BURY: Final = "DELETE FROM worker WHERE id = %(worker)s AND beat = %(beat)s RETURNING id"

# Ends a worker's own lease. Index: primary key.
RETIRE: Final = "DELETE FROM worker WHERE id = %(worker)s RETURNING id"

# Workers that hold claims but have no lease. Asked on its own, because a row that changes hands during the recovery
# itself is judged again by its new worker's id, and that id is not in the answer. Index: notification_claimed.
# Rows: (id).
MISSING: Final = """
SELECT DISTINCT n.worker_id FROM notification n
WHERE n.status = 'sending' AND NOT EXISTS (SELECT 1 FROM worker w WHERE w.id = n.worker_id)
"""

# Whose a lane is, as `channels.registry.Channel.head` says it: without the mark of tests and the destination.
HEAD: Final[LiteralString] = (
    f"split_part(substr(lane, CASE WHEN starts_with(lane, '{MARK}') THEN {len(MARK) + 1} ELSE 1 END), ':', 1)"
)

# Takes back claims: of %(workers)s, all or only %(ids)s with %(attempts)s where given. Never started: released.
# Otherwise lost: sent again and marked, or parked as unknown under `hold` or with too many losses. While its provider
# knows the key of the first send that was not given back, it is sent again without a mark. Writes the attempt
# row that the dead worker could not, and an event: `lost` for each that was begun, or, where %(by)s has it done,
# `released` for all. In id order, passing over rows that somebody holds (they come next time).
# %(heads)s, %(backends)s, %(holds)s, %(lives)s, %(deadlines)s: arrays, the policy of each backend, with the seconds for
# which its provider knows a key (null: it takes none) and those of a send.
# Index: notification_claimed; where a provider takes keys, the primary key of attempt, too.
# Rows: (id, lane, status, outcome).
TAKE_BACK: Final = f"""
WITH policy AS (
    SELECT head, backend, hold, life * interval '1 second' AS life, deadline * interval '1 second' AS deadline
    FROM unnest(
        %(heads)s::text[], %(backends)s::text[], %(holds)s::bool[], %(lives)s::float8[], %(deadlines)s::float8[]
    ) AS p (head, backend, hold, life, deadline)
), abandoned AS MATERIALIZED (
    SELECT id, attempt, worker_id, started_at, coalesce(started_at, claimed_at) AS began, possible_duplicate AS doubled,
           losses, deduplicated_until, {HEAD} AS head
    FROM notification
    WHERE status = 'sending' AND worker_id = ANY(%(workers)s::uuid[])
      AND (%(ids)s::uuid[] IS NULL OR (id, attempt) IN (SELECT * FROM unnest(%(ids)s::uuid[], %(attempts)s::int[])))
    ORDER BY id LIMIT 1000 FOR UPDATE SKIP LOCKED
), looked_at AS MATERIALIZED (
    SELECT a.*, coalesce(p.backend, '') AS backend, coalesce(p.hold, true) AS holds, p.deadline,
        CASE WHEN a.started_at IS NULL THEN 'released' ELSE 'lost' END AS outcome,
        CASE WHEN a.started_at IS NOT NULL AND p.life IS NOT NULL AND a.losses + 1 < {MAX_LOSSES} THEN coalesce(
            a.deduplicated_until,
            least(a.began, (SELECT min(f.started_at) FROM attempt f
                            WHERE f.notification_id = a.id AND f.backend = p.backend AND f.outcome <> 'released'))
                + p.life
        ) END AS key_until
    FROM abandoned a LEFT JOIN policy p USING (head)
), judged AS (
    SELECT l.*, k.until,
        CASE WHEN l.outcome = 'released' OR k.until IS NOT NULL THEN 'pending'
             WHEN l.holds OR l.losses + 1 >= {MAX_LOSSES} THEN 'unknown'
             ELSE 'pending' END AS next
    FROM looked_at l
    CROSS JOIN LATERAL (SELECT CASE WHEN l.key_until - l.deadline > now() THEN l.key_until END AS until) AS k
), taken AS (
    UPDATE notification n
    SET status = j.next,
        due_at = CASE WHEN j.next = 'pending' THEN now() ELSE n.due_at END,
        losses = n.losses + (j.outcome = 'lost')::int,
        possible_duplicate = n.possible_duplicate OR (j.outcome = 'lost' AND j.until IS NULL),
        deduplicated_until = CASE WHEN j.outcome = 'lost' THEN j.until ELSE n.deduplicated_until END,
        error_code = CASE WHEN j.outcome = 'lost' THEN 'worker_lost' ELSE n.error_code END,
        worker_id = NULL, claimed_at = NULL, started_at = NULL
    FROM judged j WHERE n.id = j.id
    RETURNING {tell.TOLD_OF}, n.lane
), {tell.of("taken")}, noted AS (
    INSERT INTO attempt (notification_id, number, started_at, finished_at, outcome, late_outcome, code, detail,
                         provider_id, backend, worker_id, possible_duplicate, deduplicated_until)
    SELECT id, attempt, began, clock_timestamp(), outcome, '',
           CASE outcome WHEN 'lost' THEN 'worker_lost' ELSE '' END, %(detail)s::text, '', backend, worker_id,
           doubled AND outcome = 'lost', until
    FROM judged
    ON CONFLICT (notification_id, number) DO NOTHING
), reported AS (
    INSERT INTO event (notification_id, at, kind, actor, detail)
    SELECT id, now(), CASE WHEN %(by)s::text IS NULL THEN 'lost' ELSE 'released' END,
           coalesce(%(by)s::text, 'relay'), coalesce(%(note)s::text, %(detail)s::text)
    FROM judged WHERE outcome = 'lost' OR %(by)s::text IS NOT NULL
)
SELECT t.id, t.lane, j.next, j.outcome FROM taken t JOIN judged j USING (id)
"""


@dataclass(frozen=True, slots=True)
class Policy:
    """What recovery must know of a backend and its channel."""

    backend: str
    hold_unknown: bool
    deduplicates_for: timedelta | None = None  # as the contract of backends has it
    send_timeout: timedelta = timedelta(0)


def policies() -> dict[str, Policy]:
    """What recovery must know of each backend, by what its lanes are named by."""
    return {
        head: Policy(
            known.backend.name,
            hold_unknown=known.on_unknown is OnUnknown.HOLD,
            deduplicates_for=known.backend.deduplicates_for,
            send_timeout=known.backend.send_timeout,
        )
        for head, known in by_head().items()
    }


@dataclass(frozen=True, slots=True)
class TakenBack:
    id: UUID
    lane: str
    status: Status
    outcome: Outcome


def bury(worker_id: UUID, *, observed_beat: int, policies: Mapping[str, Policy]) -> list[TakenBack] | None:
    """Remove a worker whose beat stands still and take its claims back, in one transaction; None if it lives."""
    with transaction.atomic():
        if not run(BURY, {"worker": worker_id, "beat": observed_beat}):
            return None
        return take_back([worker_id], policies, detail="its worker stopped beating")


def retire(worker_id: UUID, policies: Mapping[str, Policy]) -> list[TakenBack]:
    """End a worker's own lease with whatever it still holds, in one transaction."""
    with transaction.atomic():
        run(RETIRE, {"worker": worker_id})
        return take_back([worker_id], policies, detail="its worker stopped")


def recover_missing(policies: Mapping[str, Policy]) -> list[TakenBack]:
    """Take back the claims of workers that have no lease any more."""
    missing = [row[0] for row in run(MISSING, {})]
    return take_back(missing, policies, detail="its worker has no lease") if missing else []


def take_back(
    workers: Collection[UUID],
    policies: Mapping[str, Policy],
    *,
    detail: str,
    only: Collection[tuple[UUID, int]] | None = None,
    by: str | None = None,
    note: str | None = None,
) -> list[TakenBack]:
    """Take back claims of `workers`, all or only these (notification, attempt), a thousand in each statement.

    `detail`: why, as the attempts have it. `by`: the operator who has it done, where it is not the relay's finding, and
    `note`, what the event says.
    Receipts that had come for a lost one are applied: what the provider has reported on is not unknown.
    """
    taken: list[TakenBack] = []
    lives = [policy.deduplicates_for for policy in policies.values()]
    while True:
        rows: list[Row] = run(
            TAKE_BACK,
            {
                "workers": list(workers),
                "ids": None if only is None else [id_ for id_, _ in only],
                "attempts": None if only is None else [attempt for _, attempt in only],
                "heads": list(policies),
                "backends": [policy.backend for policy in policies.values()],
                "holds": [policy.hold_unknown for policy in policies.values()],
                "lives": [life and life.total_seconds() for life in lives],
                "deadlines": [policy.send_timeout.total_seconds() for policy in policies.values()],
                "detail": detail,
                "by": by,
                "note": note,
            },
        )
        if not rows:
            return taken
        some = [TakenBack(row[0], row[1], Status(row[2]), Outcome(row[3])) for row in rows]
        receipts.apply_stored([each.id for each in some if each.outcome is Outcome.LOST])
        taken += some
