"""The books: what must be true of the tables at every instant, each rule one statement that finds what breaks it.

Nothing here changes anything. Most rules read whole tables: an audit for quiet hours or a replica, not a probe.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic, sleep
from typing import Final, LiteralString
from uuid import UUID

from django.db import transaction

from notifications.outbox.statement import run
from notifications.states import Status

EXAMPLES: Final = 10
# A dead worker is buried after 4 s without a beat, its claims taken back with it or a second later.
RECOVERY: Final = timedelta(seconds=6)
SHORTEST_WATCH: Final = timedelta(seconds=1)  # a live worker beats twice in it
LOOK_EVERY: Final = 0.2  # seconds

# All rules see the same instant, so that what moves meanwhile breaks none. Must be the transaction's first statement.
ONE_INSTANT: Final = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"

# Rows: (status, count) of each status that occurs.
COUNTS: Final = "SELECT status, count(*) FROM notification GROUP BY status"

# Counts what a rule finds and shows some of it. Rows: (count, array of examples as text), one row.
FIND: Final = """
WITH broken (example) AS MATERIALIZED ({rule})
SELECT count(*), ARRAY(SELECT example::text FROM broken ORDER BY example LIMIT {examples}) FROM broken
"""

# Who holds claims, and its beat (null: no lease). Index: notification_claimed. Rows: (worker id, beat).
HOLDERS: Final = """
SELECT h.worker_id, w.beat
FROM (SELECT DISTINCT worker_id FROM notification WHERE status = 'sending') AS h
LEFT JOIN worker w ON w.id = h.worker_id
"""

# The same workers again: which still hold claims, and their beat now. Index: notification_claimed. Rows: as above.
STILL_HOLDING: Final = """
SELECT s.id, w.beat FROM unnest(%(workers)s::uuid[]) AS s (id) LEFT JOIN worker w ON w.id = s.id
WHERE EXISTS (SELECT 1 FROM notification n WHERE n.status = 'sending' AND n.worker_id = s.id)
"""

# The claims of workers that nobody will finish. Index: notification_claimed.
ABANDONED: Final = "SELECT id FROM notification WHERE status = 'sending' AND worker_id = ANY(%(workers)s::uuid[])"


@dataclass(frozen=True, slots=True)
class Rule:
    """`broken` selects one column, what to show of each violation: a notification's id where there is one."""

    kind: str
    meaning: str
    broken: LiteralString


RULES: Final = (
    Rule(
        "record_without_notification",
        "an idempotency key was answered with a notification that is gone: something accepted was lost",
        """SELECT r.id FROM (SELECT unnest(notification_ids) AS id FROM idempotency_record) AS r
           WHERE NOT EXISTS (SELECT 1 FROM notification n WHERE n.id = r.id)""",
    ),
    Rule(
        "key_forgotten",
        "accepted under a key whose record is gone although it is open or under a day old: a retry would double it",
        # One replayed long after its key's life may be open without it.
        """SELECT n.id FROM notification n
           WHERE n.idempotency_key <> ''
             AND (n.created_at > now() - interval '24 hours'
                  OR (n.status IN ('pending', 'sending', 'unknown')
                      AND NOT EXISTS (SELECT 1 FROM event e WHERE e.notification_id = n.id AND e.kind = 'replayed')))
             AND NOT EXISTS (SELECT 1 FROM (SELECT unnest(notification_ids) AS id FROM idempotency_record) AS r
                             WHERE r.id = n.id)""",
    ),
    Rule(
        "sent_without_acceptance",
        "said to be sent or delivered, but no attempt was accepted and no receipt came",
        """SELECT n.id FROM notification n
           WHERE n.status IN ('sent', 'delivered')
             AND NOT EXISTS (SELECT 1 FROM attempt a WHERE a.notification_id = n.id
                             AND (a.outcome = 'accepted' OR a.late_outcome = 'accepted'))
             AND NOT EXISTS (SELECT 1 FROM receipt r WHERE r.notification_id = n.id)""",
    ),
    Rule(
        "accepted_and_open",
        "accepted by its provider, yet to be sent again although nobody replayed it: it would double",
        """SELECT n.id FROM notification n
           WHERE n.status IN ('pending', 'sending')
             AND EXISTS (SELECT 1 FROM attempt a WHERE a.notification_id = n.id AND a.outcome = 'accepted')
             AND NOT EXISTS (SELECT 1 FROM event e WHERE e.notification_id = n.id AND e.kind = 'replayed')""",
    ),
    Rule(
        "failed_after_acceptance",
        "said to have failed, but its last attempt was accepted and no receipt says otherwise",
        """SELECT n.id FROM notification n JOIN attempt a ON a.notification_id = n.id AND a.number = n.attempt
           WHERE n.status = 'failed' AND a.outcome = 'accepted'
             AND NOT EXISTS (SELECT 1 FROM receipt r WHERE r.notification_id = n.id)""",
    ),
    Rule(
        "unknown_without_doubt",
        "said to be unknown, but its last attempt's outcome is known",
        """SELECT n.id FROM notification n
           WHERE n.status = 'unknown'
             AND NOT EXISTS (SELECT 1 FROM attempt a WHERE a.notification_id = n.id AND a.number = n.attempt
                             AND a.outcome IN ('in_doubt', 'lost', 'unexpected') AND a.late_outcome <> 'accepted')""",
    ),
    Rule(
        "canceled_by_nobody",
        "canceled, but no event says by whom",
        """SELECT n.id FROM notification n
           WHERE n.status = 'canceled'
             AND NOT EXISTS (SELECT 1 FROM event e WHERE e.notification_id = n.id AND e.kind = 'canceled')""",
    ),
    Rule(
        "silent_duplicate",
        "an attempt after one of unknown outcome was made without being marked as a possible duplicate",
        """SELECT DISTINCT later.notification_id FROM attempt doubtful
           JOIN attempt later ON later.notification_id = doubtful.notification_id AND later.number > doubtful.number
           WHERE doubtful.outcome IN ('in_doubt', 'lost', 'unexpected')
             AND later.outcome <> 'released' AND NOT later.possible_duplicate""",
    ),
    Rule(
        "attempt_miscounted",
        "`attempt` is not the last attempt row's number (one more while sending): a row was lost, or the fence moved",
        """SELECT n.id FROM notification n
           LEFT JOIN (SELECT notification_id, max(number) AS number FROM attempt GROUP BY notification_id) AS last
             ON last.notification_id = n.id
           WHERE coalesce(last.number, 0) <> n.attempt - (n.status = 'sending')::int""",
    ),
    Rule(
        "attempts_with_a_gap",
        "the attempts are not numbered 1, 2, 3 …: a claim ended without a row, or a row was lost",
        "SELECT notification_id FROM attempt GROUP BY notification_id HAVING count(*) <> max(number)",
    ),
    Rule(
        "attempt_without_notification",
        "an attempt of a notification that is gone (shown as id #number)",
        """SELECT a.notification_id || ' #' || a.number FROM attempt a
           WHERE NOT EXISTS (SELECT 1 FROM notification n WHERE n.id = a.notification_id)""",
    ),
    Rule(
        "event_without_notification",
        "an event of a notification that is gone",
        """SELECT e.notification_id FROM event e
           WHERE NOT EXISTS (SELECT 1 FROM notification n WHERE n.id = e.notification_id)""",
    ),
    Rule(
        "idle_with_worker",
        "not being sent, yet it bears a worker or a claim's times",
        """SELECT id FROM notification
           WHERE status <> 'sending'
             AND (worker_id IS NOT NULL OR claimed_at IS NOT NULL OR started_at IS NOT NULL)""",
    ),
)
CLAIM_WITHOUT_WORKER: Final = Rule(
    "claim_without_worker",
    "being sent by a worker that is dead, and nobody took it back in time: is any worker running?",
    ABANDONED,
)


@dataclass(frozen=True, slots=True)
class Violation:
    kind: str
    meaning: str
    count: int
    examples: list[str]  # up to ten


@dataclass(frozen=True, slots=True)
class Books:
    counts: dict[Status, int]  # every status, zeros included
    violations: list[Violation]


def audit(*, watch: timedelta = RECOVERY) -> Books:
    """Read the books at one instant, then watch the workers that held claims at it; outside any transaction.

    A claim's worker may have died a moment ago, and has its claims taken back within five seconds; no clock says
    whether it lives, only its beat. So those whose beat has not moved are watched, `watch` (at least a second) at most,
    until it does or their claims are gone. Where nothing is being sent, or all workers live, that ends at once.

    Raises: django.db.OperationalError.
    """
    with transaction.atomic(durable=True):
        run(ONE_INSTANT, {})
        counts = {Status(status): count for status, count in run(COUNTS, {})}
        found = [_find(rule) for rule in RULES]
        holders = {row[0]: row[1] for row in run(HOLDERS, {})}
    dead = _dead(holders, max(watch, SHORTEST_WATCH))
    if dead:
        found.append(_find(CLAIM_WITHOUT_WORKER, workers=dead))
    return Books(
        counts={status: counts.get(status, 0) for status in Status},
        violations=[violation for violation in found if violation.count],
    )


def _find(rule: Rule, *, workers: Iterable[UUID] = ()) -> Violation:
    sql = FIND.format(rule=rule.broken, examples=EXAMPLES)
    count, examples = run(sql, {"workers": list(workers)} if workers else {})[0]
    return Violation(rule.kind, rule.meaning, count, examples)


def _dead(holders: dict[UUID, int | None], watch: timedelta) -> list[UUID]:
    """Of the workers that held claims, with their beats then, those that still do and have not beaten since."""
    until = monotonic() + watch.total_seconds()
    suspects = dict(holders)
    while suspects:
        holding: dict[UUID, int | None] = dict(run(STILL_HOLDING, {"workers": list(suspects)}))
        for worker, beat in list(suspects.items()):
            # A lease that is gone by now does not come back: whoever took it has the claims yet to take.
            if worker not in holding or holding[worker] not in (None, beat):
                del suspects[worker]
        if monotonic() >= until:
            break
        if suspects:
            sleep(LOOK_EVERY)
    return list(suspects)
