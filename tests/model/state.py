"""What the tables say at one instant, in the model's words: whole hours from now, and nothing that chance decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from channels.registry import channel_of
from notifications.outbox.divert import STOPPED
from notifications.outbox.rules import RULES
from notifications.outbox.statement import run
from notifications.states import Outcome, Status


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt that is over."""

    number: int
    outcome: Outcome
    late: str = ""
    marked: bool = False  # as a possible duplicate
    key: int | None = None  # in doubt, and left to the provider's key: hours until it is forgotten
    began: int = field(compare=False, default=0)


@dataclass(frozen=True, slots=True)
class Word:
    """A receipt: what the provider said of an attempt."""

    attempt: int
    rank: int


@dataclass(frozen=True, slots=True)
class Row:
    """A notification with all that belongs to it. Times are whole hours from now."""

    id: UUID
    lane: str
    priority: int
    status: Status
    attempt: int
    tries: int
    losses: int
    marked: bool
    key: int | None  # hours until its provider forgets the key of a send that is in doubt
    worker: UUID | None
    started: bool
    due: int
    expires: int | None
    finished: int | None
    replays: int
    redacted: bool
    attempts: tuple[Ended, ...]
    words: frozenset[Word]
    began: int | None = field(compare=False)  # of the send under way
    due_at: int = field(compare=False)  # microseconds: within the hour it says who is first

    @property
    def channel(self) -> str:
        return channel_of(self.lane)

    @property
    def expired(self) -> bool:
        return self.expires is not None and self.expires <= 0


@dataclass(frozen=True, slots=True)
class Key:
    """The record of an idempotency key."""

    answered: UUID
    made: int  # hours from now


@dataclass(frozen=True, slots=True)
class State:
    rows: Mapping[UUID, Row]
    keys: Mapping[str, Key]
    beats: Mapping[UUID, int]  # of each lease
    paused: frozenset[str]
    half_open: frozenset[str]  # lanes whose pause is over, and where nothing has succeeded since
    stopped: frozenset[str]  # of those that are paused, the ones whose providers refuse us
    purged: int  # notifications, by the ledger
    suppressed: frozenset[str]  # channels, whose only recipient is on the list


@dataclass(frozen=True, slots=True)
class Instant:
    state: State
    broken: tuple[tuple[str, str], ...]  # rules of the books: kind, example


_HOURS: Final = "round(extract(epoch FROM {} - now()) / 3600)::int"

_BOOKS: Final = " UNION ALL ".join(
    f"SELECT '{rule.kind}', example::text FROM ({rule.broken}) AS broken (example)" for rule in RULES
)

# Everything in one statement, and so of one snapshot; sorted, that an example goes the same way each time.
# Rows: (notifications, keys, leases, paused lanes, half-open ones, stopped ones, purged, suppressed, what breaks the
# books), one of JSON.
_LOOK: Final = f"""
SELECT
    (SELECT coalesce(json_agg(json_build_array(
        n.id, n.lane, n.priority, n.status, n.attempt, n.tries, n.losses, n.possible_duplicate, n.worker_id,
        n.started_at IS NOT NULL, {_HOURS.format("n.due_at")}, {_HOURS.format("n.expires_at")},
        {_HOURS.format("n.finished_at")}, {_HOURS.format("n.deduplicated_until")},
        {_HOURS.format("coalesce(n.started_at, n.claimed_at)")},
        (SELECT count(*) FROM event e WHERE e.notification_id = n.id AND e.kind = 'replayed'),
        n.redacted_at IS NOT NULL,
        (SELECT coalesce(json_agg(json_build_array(
                    number, outcome, late_outcome, possible_duplicate, {_HOURS.format("deduplicated_until")},
                    {_HOURS.format("started_at")}
                ) ORDER BY number), '[]') FROM attempt a WHERE a.notification_id = n.id),
        (SELECT coalesce(json_agg(json_build_array(attempt, rank)), '[]')
         FROM receipt r WHERE r.notification_id = n.id),
        (extract(epoch FROM n.due_at) * 1000000)::bigint
    ) ORDER BY n.id), '[]') FROM notification n),
    (SELECT coalesce(json_agg(json_build_array(key, notification_ids[1], {_HOURS.format("created_at")})
                              ORDER BY key), '[]') FROM idempotency_record),
    (SELECT coalesce(json_agg(json_build_array(id, beat) ORDER BY id), '[]') FROM worker),
    (SELECT coalesce(json_agg(lane), '[]') FROM lane_state WHERE paused_until > now()),
    (SELECT coalesce(json_agg(lane), '[]') FROM lane_state WHERE paused_until <= now() AND reason <> ''),
    (SELECT coalesce(json_agg(lane), '[]') FROM lane_state s WHERE {STOPPED}),
    (SELECT coalesce(sum(notifications), 0)::int FROM purge_ledger),
    (SELECT coalesce(json_agg(channel), '[]') FROM suppression),
    (SELECT coalesce(json_agg(json_build_array(kind, example)), '[]') FROM (
        {_BOOKS}
    ) AS broken (kind, example))
"""

# Rows: none.
_WIPE: Final = """
WITH n AS (DELETE FROM notification), a AS (DELETE FROM attempt), r AS (DELETE FROM receipt), e AS (DELETE FROM event),
     k AS (DELETE FROM idempotency_record), l AS (DELETE FROM lane_state), p AS (DELETE FROM purge_ledger),
     i AS (DELETE FROM listing), b AS (DELETE FROM label), s AS (DELETE FROM suppression),
     d AS (DELETE FROM redaction), g AS (DELETE FROM straggler)
DELETE FROM worker
"""

# The clock that decides cannot be moved: all that was written is moved into the past instead. Rows: none.
_PASS: Final = """
WITH went AS (SELECT %(hours)s::int * interval '1 hour' AS by),
n AS (
    UPDATE notification SET
        created_at = created_at - by, due_at = due_at - by, expires_at = expires_at - by,
        claimed_at = claimed_at - by, started_at = started_at - by, finished_at = finished_at - by,
        deduplicated_until = deduplicated_until - by FROM went
), a AS (
    UPDATE attempt SET started_at = started_at - by, finished_at = finished_at - by,
        deduplicated_until = deduplicated_until - by FROM went
), r AS (UPDATE receipt SET received_at = received_at - by FROM went
), l AS (UPDATE lane_state SET paused_until = paused_until - by FROM went)
UPDATE idempotency_record SET created_at = created_at - by FROM went
"""


def look() -> Instant:
    rows, keys, leases, paused, half_open, stopped, purged, suppressed, broken = run(_LOOK, {})[0]
    state = State(
        rows={row.id: row for row in map(_row, rows)},
        keys={key: Key(UUID(answered), made) for key, answered, made in keys},
        beats={UUID(worker): beat for worker, beat in leases},
        paused=frozenset(paused),
        half_open=frozenset(half_open),
        stopped=frozenset(stopped),
        purged=purged,
        suppressed=frozenset(suppressed),
    )
    return Instant(state, tuple((kind, example) for kind, example in broken))


def wipe() -> None:
    run(_WIPE, {})


def pass_hours(hours: int) -> None:
    run(_PASS, {"hours": hours})


def _row(columns: list[Any]) -> Row:
    id_, lane, priority, status, attempt, tries, losses, marked, worker, started, *times, attempts, words, due_at = (
        columns
    )
    due, expires, finished, key, began, replays, redacted = times
    return Row(
        id=UUID(id_),
        lane=lane,
        priority=priority,
        status=Status(status),
        attempt=attempt,
        tries=tries,
        losses=losses,
        marked=marked,
        key=key,
        worker=worker and UUID(worker),
        started=started,
        due=due,
        expires=expires,
        finished=finished,
        replays=replays,
        redacted=redacted,
        attempts=tuple(Ended(number, Outcome(outcome), *others) for number, outcome, *others in attempts),
        words=frozenset(Word(*word) for word in words),
        began=began,
        due_at=due_at,
    )
