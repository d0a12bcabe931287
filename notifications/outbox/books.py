"""The books: what is in the tables at one instant, whether it breaks a rule, and how long which lane has waited.

Nothing here changes anything. Most rules read whole tables: an audit for quiet hours or a replica, not a probe.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic, sleep
from typing import Final
from uuid import UUID

from django.db import transaction

from notifications.outbox.lanes import CHANNEL_ROW
from notifications.outbox.rules import CLAIM_WITHOUT_WORKER, RULES, Rule
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

# How long the first of each lane has been due (seconds; negative: until it is), and what keeps the lane, or all of its
# channel; lanes that are closed with nothing pending included. Index: notification_ready.
# Rows: (lane, pending, seconds due or null, seconds paused or null, reason or null); half-open: a reason, no seconds.
LANES: Final = f"""
SELECT j.lane, coalesce(j.pending, 0), extract(epoch FROM now() - j.first_due)::float8,
       extract(epoch FROM nullif(greatest(stop.until, j.paused_until, now()), now()) - now())::float8,
       coalesce(stop.reason, j.reason)
FROM ((SELECT lane, count(*) AS pending, min(due_at) AS first_due
       FROM notification WHERE status = 'pending' GROUP BY lane) AS p
FULL JOIN (SELECT lane, nullif(reason, '') AS reason, CASE WHEN reason <> '' THEN paused_until END AS paused_until
           FROM lane_state WHERE reason <> '' OR stopped_until > now()) AS s USING (lane)) AS j
LEFT JOIN LATERAL (
    SELECT stopped_until AS until, 'paused by ' || stopped_by || ': ' || stopped_reason AS reason
    FROM lane_state l
    WHERE l.lane IN (j.lane, {CHANNEL_ROW.replace("{lane}", "j.lane")}) AND stopped_until > now()
    ORDER BY stopped_until DESC LIMIT 1
) AS stop ON true
ORDER BY 3 DESC NULLS LAST, 1
"""

# What was deleted for good, ever. Rows: (notifications, attempts, keys, first time, last time), one row.
LEDGER: Final = """
SELECT coalesce(sum(notifications), 0)::bigint, coalesce(sum(attempts), 0)::bigint, coalesce(sum(records), 0)::bigint,
       min(at), max(at)
FROM purge_ledger
"""

# Counts what a rule finds and shows some of it. Rows: (count, array of examples as text), one row.
FIND: Final = """
WITH broken (example) AS MATERIALIZED ({rule})
SELECT count(*), ARRAY(SELECT example::text FROM broken ORDER BY example LIMIT {examples}) FROM broken
"""

# Whether the newest add up: each of them is open or finished, each of their claims has one attempt, or is under way.
# Index: primary keys. Rows: (notifications, open, finished, claims, attempts, under way), one row.
NEWEST: Final = """
WITH newest AS MATERIALIZED (SELECT id, status, attempt FROM notification ORDER BY id DESC LIMIT 5000)
SELECT count(*), count(*) FILTER (WHERE status IN ('pending', 'sending', 'unknown')),
       count(*) FILTER (WHERE status IN ('sent', 'delivered', 'failed', 'canceled')), coalesce(sum(attempt), 0)::bigint,
       (SELECT count(*) FROM newest m JOIN attempt a ON a.notification_id = m.id),
       count(*) FILTER (WHERE status = 'sending')
FROM newest
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


@dataclass(frozen=True, slots=True)
class Violation:
    kind: str
    meaning: str
    count: int
    examples: list[str]  # up to ten


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a lane holds that is pending, or why it stands still."""

    lane: str
    pending: int
    due_for: float | None  # seconds since its first fell due, negative until it does; None: nothing is pending
    paused_for: float | None  # seconds that its pause has left; None: it is open, or half-open where there is a reason
    reason: str | None  # what closed it


@dataclass(frozen=True, slots=True)
class Purged:
    """The ledger's sums: what was deleted for good, in all purges together."""

    notifications: int
    attempts: int
    records: int
    first_at: datetime | None
    last_at: datetime | None


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest of all, added up at one instant."""

    notifications: int
    open: int
    finished: int
    claims: int
    attempts: int
    under_way: int

    @property
    def balanced(self) -> bool:
        return self.notifications == self.open + self.finished and self.claims == self.attempts + self.under_way


@dataclass(frozen=True, slots=True)
class Books:
    counts: dict[Status, int]  # every status, zeros included
    violations: list[Violation]
    lanes: list[Waiting]  # longest due first
    purged: Purged
    dead: dict[UUID, int | None]  # workers that hold claims and show no life, and the beat they stopped at (None: none)

    @property
    def accepted(self) -> int:
        """Notifications that were ever accepted: those that are here, and those that the ledger says were purged."""
        return sum(self.counts.values()) + self.purged.notifications

    def late(self, limit: timedelta) -> list[Waiting]:
        """Lanes that are open and hold something that fell due longer ago."""
        seconds = limit.total_seconds()
        return [lane for lane in self.lanes if lane.paused_for is None and (lane.due_for or 0) > seconds]


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
        lanes = waiting()
        purged = Purged(*run(LEDGER, {})[0])
        holders = {row[0]: row[1] for row in run(HOLDERS, {})}
    dead = _dead(holders, max(watch, SHORTEST_WATCH))
    if dead:
        found.append(_find(CLAIM_WITHOUT_WORKER, workers=dead))
    return Books(
        counts={status: counts.get(status, 0) for status in Status},
        violations=[violation for violation in found if violation.count],
        lanes=lanes,
        purged=purged,
        dead=dead,
    )


def waiting() -> list[Waiting]:
    """Every lane that holds something pending or is closed, longest due first."""
    return [Waiting(*row) for row in run(LANES, {})]


def newest() -> Newest:
    """A look that costs some ten milliseconds; the whole audit is `audit`. Raises: django.db's errors."""
    return Newest(*run(NEWEST, {})[0])


def _find(rule: Rule, *, workers: Iterable[UUID] = ()) -> Violation:
    sql = FIND.format(rule=rule.broken, examples=EXAMPLES)
    count, examples = run(sql, {"workers": list(workers)} if workers else {})[0]
    return Violation(rule.kind, rule.meaning, count, examples)


def _dead(holders: dict[UUID, int | None], watch: timedelta) -> dict[UUID, int | None]:
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
    return suspects
