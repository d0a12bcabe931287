"""What must become of one notification: every edge of the state table, in plain Python beside the SQL.

Each function takes a row as it was and returns it as it must be, or unchanged where the state forbids the edge.
"""

from __future__ import annotations

from dataclasses import replace
from time import monotonic
from typing import Final
from uuid import UUID

from channels.contract import Progress
from notifications.models import MAX_LOSSES
from notifications.outbox.record import Result
from notifications.states import FINISHED, Outcome, Status
from tests.integration.outbox.rows import RESEND as POLICIES

from .state import Ended, Row, Word

FIRST_LANE: Final = {"slack@spare:ops": "slack:ops"}  # of the same channel and destination
DOUBTFUL: Final = frozenset({Outcome.IN_DOUBT, Outcome.LOST, Outcome.UNEXPECTED})


def holds(row: Row) -> bool:
    """Whether its channel's policy for unknown outcomes is `hold`."""
    return POLICIES[row.channel].hold_unknown


def claimed(row: Row, worker: UUID, *, started: bool) -> Row:
    return replace(row, status=Status.SENDING, attempt=row.attempt + 1, worker=worker, started=started)


def is_for(result: Result, row: Row | None) -> bool:
    """Whether the fence lets this result in."""
    if row is None or row.attempt != result.claim.attempt:
        return False
    if row.status is Status.SENDING:
        return row.worker == result.claim.worker_id
    return row.status is Status.UNKNOWN and result.outcome is Outcome.ACCEPTED


def recorded(row: Row, result: Result) -> Row:
    """In time: its status. Always: an attempt, or what came late of one that had ended."""
    noted = _noted(row, result)
    if not is_for(result, row):
        return noted
    decision = result.decision
    return replace(
        noted,
        status=decision.status,
        lane=result.lane or row.lane,
        due=_hours(result) if decision.status is Status.PENDING else row.due,
        tries=row.tries + decision.costs_try,
        marked=row.marked or decision.possible_duplicate,
        key=None if decision.possible_duplicate else _sooner(row.key, _key(result)),
        finished=0 if decision.status in {Status.SENT, Status.FAILED} else None,
        worker=None,
        started=False,
    )


def taken_back(row: Row) -> Row:
    """From a worker that is gone: released if its send had not begun, lost if it had."""
    lost = row.started
    known_until = _known_until(row) if lost else None
    parked = lost and known_until is None and (holds(row) or row.losses + 1 >= MAX_LOSSES)
    return replace(
        row,
        status=Status.UNKNOWN if parked else Status.PENDING,
        due=row.due if parked else 0,
        losses=row.losses + lost,
        marked=row.marked or (lost and known_until is None),
        key=known_until if lost else row.key,
        attempts=(
            *row.attempts,
            Ended(row.attempt, Outcome.LOST if lost else Outcome.RELEASED, marked=row.marked and lost, key=known_until),
        ),
        worker=None,
        started=False,
    )


def replayed(row: Row) -> Row:
    if row.status not in {Status.FAILED, Status.UNKNOWN} or row.expired or row.redacted:
        return row
    return replace(
        row,
        status=Status.PENDING,
        lane=FIRST_LANE.get(row.lane, row.lane),
        due=0,
        tries=0,
        losses=0,
        key=None,
        finished=None,
        marked=row.marked or row.status is Status.UNKNOWN,
        replays=row.replays + 1,
    )


def diverted(row: Row, to: str) -> Row:
    return replace(row, lane=to, due=0)


def redacted(row: Row) -> Row:
    return replace(row, redacted=True) if row.status in FINISHED else row


def canceled(row: Row) -> Row:
    if row.status not in {Status.PENDING, Status.FAILED, Status.UNKNOWN}:
        return row
    return replace(row, status=Status.CANCELED, finished=0)


def may_be_rescheduled(row: Row, later: int) -> bool:
    """`later`: hours until it is to be due."""
    return row.status is Status.PENDING and (row.expires is None or row.expires > max(0, later))


def rescheduled(row: Row, later: int) -> Row:
    return replace(row, due=max(0, later)) if may_be_rescheduled(row, later) else row


def expired(row: Row) -> Row:
    if row.status is not Status.PENDING or not row.expired:
        return row
    if row.key is not None:  # an earlier send may have been taken
        return replace(row, status=Status.UNKNOWN, marked=True, key=None)
    return replace(row, status=Status.FAILED, finished=0)


def settled(row: Row) -> Row:
    """By all that its provider has said: `delivered` of any attempt, less than that of the latest alone."""
    told = {word.attempt for word in row.words}
    attempts = tuple(
        replace(each, late=Outcome.ACCEPTED.value) if each.number in told and each.outcome in DOUBTFUL else each
        for each in row.attempts
    )
    row = replace(row, attempts=attempts)
    status = _by_words(row)
    if status is None:
        return row
    if row.status is Status.SENDING:
        forgotten = row.key is not None and row.key <= 0
        attempts = (*attempts, Ended(row.attempt, Outcome.ACCEPTED, marked=row.marked or forgotten))
    return replace(row, status=status, attempts=attempts, finished=0, worker=None, started=False)


def told(row: Row, word: Word) -> Row:
    return settled(replace(row, words=row.words | {word}))


def _by_words(row: Row) -> Status | None:
    every = {word.rank for word in row.words}
    of_latest = max((word.rank for word in row.words if word.attempt == row.attempt), default=0)
    if Progress.DELIVERED in every:
        return None if row.status in {Status.DELIVERED, Status.CANCELED} else Status.DELIVERED
    if of_latest == Progress.UNDELIVERED and row.status in {Status.SENT, Status.UNKNOWN}:
        return Status.FAILED
    if of_latest == Progress.TAKEN and row.status is Status.UNKNOWN:
        return Status.SENT
    return None


def _noted(row: Row, result: Result) -> Row:
    number, outcome = result.claim.attempt, result.outcome
    if any(each.number == number for each in row.attempts):
        return replace(row, attempts=tuple(_late(each, result) for each in row.attempts))
    marked = result.claim.possible_duplicate and outcome is not Outcome.RELEASED
    return replace(row, attempts=(*row.attempts, Ended(number, outcome, marked=marked, key=_key(result))))


def _late(ended: Ended, result: Result) -> Ended:
    news = ended.number == result.claim.attempt and ended.outcome is not result.outcome
    return replace(ended, late=result.outcome.value) if news and ended.late != Outcome.ACCEPTED else ended


def _known_until(row: Row) -> int | None:
    """Of a send that was lost: hours until its provider forgets the key; None where it takes none, or none are left."""
    life = POLICIES[row.channel].deduplicates_for
    if life is None or row.losses + 1 >= MAX_LOSSES:
        return None
    sends = [each.began for each in row.attempts if each.outcome is not Outcome.RELEASED]
    until = min([*sends, row.began or 0]) + round(life.total_seconds() / 3600) if row.key is None else row.key
    return until if until > 0 else None


def _key(result: Result) -> int | None:
    """Hours until the provider forgets the key of this send."""
    if result.key_left is None:
        return None
    return round((result.key_left - (monotonic() - result.finished)) / 3600)


def _sooner(one: int | None, other: int | None) -> int | None:
    return min((each for each in (one, other) if each is not None), default=None)


def _hours(result: Result) -> int:
    return round(result.decision.delay.total_seconds() / 3600)
