"""What can be done to the outbox: each action is the service's own statement, and beside it what must come of it.

`do` runs the real thing and returns its answer. `must` says from the state before it what the state after it and the
answer have to be; rows that are `passed` over are those that somebody else has locked.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import takewhile
from time import monotonic
from typing import ClassVar, Final
from uuid import UUID

from django.db import connection

from channels.contract import Progress
from notifications.outbox import divert, lanes, operate, purge, receipts, recover, redact, suppress, workers
from notifications.outbox.accept import Answer, Asked, NewNotification, Use, insert, read_record
from notifications.outbox.claim import Claim, claim
from notifications.outbox.record import Result, record
from notifications.states import FINISHED, Event, Outcome, Reason, Status
from tests.integration.outbox.rows import RESEND as POLICIES

from . import edges
from .state import Key, Row, State, Word

CLIENT: Final = 1
SOMEBODY: Final = "somebody"  # whose everything is
OPERATION: Final = "accept"
HOUR: Final = timedelta(hours=1)
KEY_LIFE: Final = 72  # hours
REDACTED: Final = 100  # hours, after which what is finished may be redacted
RETENTION: Final = 144  # hours, after which what is finished may be purged
NOBODY: Final[frozenset[UUID]] = frozenset()

BY_WORD: Final = frozenset({Event.DELIVERED, Event.UNDELIVERED, Event.LATE_SUCCESS})

Edge = Callable[[Row], Row]


class Action(ABC):
    """One thing that somebody does. `events`: what it may do to a notification."""

    events: frozenset[Event] = frozenset()
    waits: ClassVar[bool] = True  # for rows that another holds; otherwise it passes them over

    @abstractmethod
    def do(self) -> object: ...

    @abstractmethod
    def must(self, before: State, passed: frozenset[UUID] = NOBODY) -> tuple[State, object]: ...

    def locks(self, before: State) -> frozenset[UUID]:
        """The rows that it holds until its transaction ends: what it changes, if nothing else is said."""
        after, _ = self.must(before)
        return frozenset(id_ for id_, row in before.rows.items() if after.rows.get(id_) != row)


def changed(state: State, ids: Sequence[UUID], edge: Edge) -> State:
    """The same, but for what became of these, as far as they are there."""
    rows = {**state.rows, **{id_: edge(state.rows[id_]) for id_ in ids if id_ in state.rows}}
    return replace(state, rows=rows)


# --- a client ---------------------------------------------------------------------------------------------


@dataclass
class Accepting(Action):
    id: UUID
    lane: str
    priority: int
    later: int | None  # hours until it is due
    life: int | None  # hours
    key: str | None

    def do(self) -> UUID | None:
        """The id that the client is told; None where nothing is sent to the recipient."""
        now = datetime.now(UTC)
        new = NewNotification(
            id=self.id,
            channel=self.lane.partition(":")[0],
            lane=self.lane,
            recipient=SOMEBODY,
            subject="",
            body="hello",
            metadata={},
            priority=self.priority,
            send_at=None if self.later is None else now + self.later * HOUR,
            expires_at=None if self.life is None else now + self.life * HOUR,
        )
        use = Use(CLIENT, OPERATION, self.key, b"")
        inserted = insert([Asked([new], use, Answer(202, "", str(self.id).encode()), "", now)])
        if inserted.new:
            return self.id
        known = read_record(use)
        if known is None:
            assert inserted.suppressed, "the key was taken, and then unknown"
            return None
        return UUID(known.answer.body.decode())

    def must(self, before: State, passed: frozenset[UUID] = NOBODY) -> tuple[State, UUID | None]:
        if self.key is not None and self.key in before.keys:
            return before, before.keys[self.key].answered
        if self.lane.partition(":")[0] in before.suppressed:
            return before, None
        row = Row(
            id=self.id,
            lane=self.lane,
            priority=self.priority,
            status=Status.PENDING,
            attempt=0,
            tries=0,
            losses=0,
            marked=False,
            key=None,
            worker=None,
            started=False,
            due=max(0, self.later or 0),
            expires=self.life,
            finished=None,
            replays=0,
            redacted=False,
            attempts=(),
            words=frozenset(),
            began=None,
            due_at=0,
        )
        keys = before.keys if self.key is None else {**before.keys, self.key: Key(self.id, 0)}
        return replace(before, rows={**before.rows, self.id: row}, keys=keys), self.id


# --- a worker ---------------------------------------------------------------------------------------------


@dataclass
class Claiming(Action):
    worker: UUID
    lane: str
    batch: int
    started: bool
    probing: bool = False  # of one message, where the lane is half-open
    claims: list[Claim] = field(default_factory=list)

    events = frozenset({Event.CLAIM})
    waits = False

    def do(self) -> list[tuple[UUID, int, bool, bool]]:
        probing = self.probing and lanes.probe(self.lane, self.worker, HOUR) is lanes.Probe.YES
        self.claims = claim(self.lane, worker_id=self.worker, batch=self.batch, started=self.started, probing=probing)
        if probing:
            lanes.end_probe(self.lane, self.worker)
        return [(each.id, each.attempt, each.possible_duplicate, each.suppressed is not None) for each in self.claims]

    def must(self, before: State, passed: frozenset[UUID] = NOBODY) -> tuple[State, list[tuple[UUID, int, bool, bool]]]:
        found = self._found(before, passed)
        # One that has lost a worker is claimed alone, that it may take no other down with it.
        harmless = list(takewhile(lambda row: not row.losses, found))
        taken = [row.id for row in harmless or found[:1]]
        after = changed(before, taken, lambda row: edges.claimed(row, self.worker, started=self.started))
        rows = [after.rows[id_] for id_ in taken]
        return after, [(row.id, row.attempt, row.marked, row.channel in before.suppressed) for row in rows]

    def locks(self, before: State) -> frozenset[UUID]:
        return frozenset(row.id for row in self._found(before, NOBODY))

    def _found(self, before: State, passed: frozenset[UUID]) -> list[Row]:
        if self.lane in before.paused or (self.lane in before.half_open and not self.probing):
            return []
        due = [
            row
            for row in before.rows.values()
            if row.status is Status.PENDING and row.lane == self.lane and row.due <= 0 and row.id not in passed
        ]
        return sorted(due, key=lambda row: (row.priority, row.due_at, row.id))[: self.batch]


@dataclass
class Recording(Action):
    """Results of attempts, whenever they come, and perhaps the start of the next send. `again`: said twice."""

    results: list[Result]
    begin: Claim | None = None
    again: bool = False

    def __post_init__(self) -> None:
        self.events = BY_WORD | {result.decision.event for result in self.results}

    def do(self) -> tuple[frozenset[UUID], bool]:
        for _ in range(1 + self.again):
            said = record(self.results, now=monotonic(), next_claims=[self.begin] if self.begin else [])
        receipts.apply_stored([result.claim.id for result in self.results])
        return said.late, bool(said.started)

    def must(self, before: State, passed: frozenset[UUID] = NOBODY) -> tuple[State, tuple[frozenset[UUID], bool]]:
        state = before
        for _ in range(1 + self.again):
            late = frozenset(
                each.claim.id for each in self.results if not edges.is_for(each, state.rows.get(each.claim.id))
            )
            for each in self.results:
                state = changed(state, [each.claim.id], partial(edges.recorded, result=each))
        state = changed(state, [each.claim.id for each in self.results], edges.settled)
        begins = self._begins(before)
        if begins is not None:
            state = changed(state, [begins], lambda row: replace(row, started=True))
        return state, (late, begins is not None)

    def _begins(self, before: State) -> UUID | None:
        if self.begin is None:
            return None
        row = before.rows.get(self.begin.id)
        right = row is not None and (row.status, row.attempt, row.worker) == (
            Status.SENDING,
            self.begin.attempt,
            self.begin.worker_id,
        )
        return self.begin.id if right else None


@dataclass
class Beating(Action):
    """A renewal. It fails when somebody has buried this worker, and tells how far the others have come."""

    worker: UUID

    def do(self) -> workers.Beats:
        connection.ensure_connection()
        return workers.beat(connection.connection, self.worker)

    def must(self, before: State, passed: frozenset[UUID] = NOBODY) -> tuple[State, workers.Beats]:
        others = {worker: beat for worker, beat in before.beats.items() if worker != self.worker}
        if self.worker not in before.beats:
            return before, workers.Beats(renewed=False, others=others)
        beats = {**others, self.worker: before.beats[self.worker] + 1}
        return replace(before, beats=beats), workers.Beats(renewed=True, others=others)


# --- recovery ---------------------------------------------------------------------------------------------

Taken = set[tuple[UUID, Status, Outcome]]


class Recovery(Action):
    events = frozenset({Event.RELEASE, Event.LOST}) | BY_WORD
    waits = False

    def _taken(
        self, before: State, whose: frozenset[UUID], passed: frozenset[UUID], only: Sequence[tuple[UUID, int]] | None
    ) -> tuple[State, Taken]:
        ids = [
            row.id
            for row in before.rows.values()
            if row.worker in whose and row.id not in passed and (only is None or (row.id, row.attempt) in only)
        ]
        after = changed(before, ids, edges.taken_back)
        answer = {(id_, after.rows[id_].status, after.rows[id_].attempts[-1].outcome) for id_ in ids}
        lost = [id_ for id_ in ids if before.rows[id_].started and before.rows[id_].words]
        return changed(after, lost, edges.settled), answer


@dataclass
class Burying(Recovery):
    worker: UUID
    beat: int  # where it was seen to stand still

    waits = True  # for the lease; it passes rows over all the same

    def do(self) -> Taken | None:
        taken = recover.bury(self.worker, observed_beat=self.beat, policies=POLICIES)
        return None if taken is None else _said(taken)

    def must(self, before: State, passed: frozenset[UUID] = NOBODY) -> tuple[State, Taken | None]:
        if before.beats.get(self.worker) != self.beat:
            return before, None
        return self._taken(_without(before, self.worker), frozenset({self.worker}), passed, None)


@dataclass
class Retiring(Recovery):
    worker: UUID

    waits = True  # as above

    def do(self) -> Taken:
        return _said(recover.retire(self.worker, POLICIES))

    def must(self, before: State, passed: frozenset[UUID] = NOBODY) -> tuple[State, Taken]:
        return self._taken(_without(before, self.worker), frozenset({self.worker}), passed, None)


@dataclass
class FindingMissing(Recovery):
    """Claims whose worker has no lease."""

    def do(self) -> Taken:
        return _said(recover.recover_missing(POLICIES))

    def must(self, before: State, passed: frozenset[UUID] = NOBODY) -> tuple[State, Taken]:
        missing = frozenset(row.worker for row in before.rows.values() if row.worker) - before.beats.keys()
        return self._taken(before, missing, passed, None)


@dataclass
class TakingUnheld(Recovery):
    """Claims that bear a worker's id and that none of its threads knows: their answer was lost."""

    worker: UUID
    claims: list[tuple[UUID, int]]

    def do(self) -> Taken:
        return _said(recover.take_back([self.worker], POLICIES, detail="", only=self.claims))

    def must(self, before: State, passed: frozenset[UUID] = NOBODY) -> tuple[State, Taken]:
        return self._taken(before, frozenset({self.worker}), passed, self.claims)


def _said(taken: list[recover.TakenBack]) -> Taken:
    return {(each.id, each.status, each.outcome) for each in taken}


def _without(state: State, worker: UUID) -> State:
    return replace(state, beats={each: beat for each, beat in state.beats.items() if each != worker})


# --- operators, time and the provider ---------------------------------------------------------------------


@dataclass
class Replaying(Action):
    ids: list[UUID]

    events = frozenset({Event.REPLAY})

    def do(self) -> set[UUID]:
        return set(operate.replay(self.ids, actor="ada"))

    def must(self, before: State, passed: frozenset[UUID] = NOBODY) -> tuple[State, set[UUID]]:
        wanted = [id_ for id_ in self.ids if id_ in before.rows and before.rows[id_].channel not in before.suppressed]
        return _moved(before, wanted, edges.replayed)


@dataclass
class Suppressing(Action):
    """Of a channel's only recipient; or `lifted`."""

    channel: str
    lifted: bool

    def do(self) -> bool:
        who = suppress.Suppressed(
            channel=self.channel, recipient=SOMEBODY, test=False, reason=Reason.MANUAL, created_by="ada"
        )
        return bool(suppress.remove([who.address]) if self.lifted else suppress.add([who]))

    def must(self, before: State, passed: frozenset[UUID] = NOBODY) -> tuple[State, bool]:
        one = frozenset({self.channel})
        suppressed = before.suppressed - one if self.lifted else before.suppressed | one
        return replace(before, suppressed=suppressed), suppressed != before.suppressed


@dataclass
class Canceling(Action):
    ids: list[UUID]

    events = frozenset({Event.CANCEL})

    def do(self) -> set[UUID]:
        return operate.cancel(self.ids, actor="ada")

    def must(self, before: State, passed: frozenset[UUID] = NOBODY) -> tuple[State, set[UUID]]:
        return _moved(before, self.ids, edges.canceled)


@dataclass
class Rescheduling(Action):
    ids: list[UUID]
    later: int  # hours until it is to be due

    events = frozenset({Event.RESCHEDULE})

    def do(self) -> set[UUID]:
        return set(operate.reschedule(self.ids, send_at=datetime.now(UTC) + self.later * HOUR, actor="ada"))

    def must(self, before: State, passed: frozenset[UUID] = NOBODY) -> tuple[State, set[UUID]]:
        return changed(before, self.ids, lambda row: edges.rescheduled(row, self.later)), set(self.locks(before))

    def locks(self, before: State) -> frozenset[UUID]:
        """Also one that has that time already."""
        there = (before.rows[id_] for id_ in self.ids if id_ in before.rows)
        return frozenset(row.id for row in there if edges.may_be_rescheduled(row, self.later))


@dataclass
class Expiring(Action):
    events = frozenset({Event.EXPIRE})
    waits = False

    def do(self) -> int:
        return len(operate.expire())

    def must(self, before: State, passed: frozenset[UUID] = NOBODY) -> tuple[State, int]:
        after, moved = _moved(before, [id_ for id_ in before.rows if id_ not in passed], edges.expired)
        return after, len(moved)


@dataclass
class Telling(Action):
    """The provider says how far an attempt has come."""

    id: UUID
    attempt: int
    progress: Progress

    events = BY_WORD

    def do(self) -> Status | None:
        return receipts.receive(self.id, attempt=self.attempt, provider_id="SM", progress=self.progress, code="c")

    def must(self, before: State, passed: frozenset[UUID] = NOBODY) -> tuple[State, Status | None]:
        if self.id not in before.rows:
            return before, None
        after = changed(before, [self.id], lambda row: edges.told(row, Word(self.attempt, self.progress)))
        status = after.rows[self.id].status
        return after, None if status is before.rows[self.id].status else status

    def locks(self, before: State) -> frozenset[UUID]:
        return frozenset({self.id}) & before.rows.keys()


@dataclass
class Diverting(Action):
    """A relay gives what another backend takes to that one's lane."""

    lane: str
    to: str
    ids: list[UUID]

    events = frozenset({Event.DIVERT})
    waits = False

    def do(self) -> set[UUID]:
        return set(divert.divert(self.lane, dict.fromkeys(self.ids, self.to), hold_unknown=False))

    def must(self, before: State, passed: frozenset[UUID] = NOBODY) -> tuple[State, set[UUID]]:
        if self.lane not in before.stopped or self.to in before.paused | before.half_open:
            return before, set()
        ids = [
            row.id
            for row in before.rows.values()
            if row.id in self.ids and row.id not in passed
            if row.status is Status.PENDING and row.lane == self.lane and row.due <= 0
        ]
        return changed(before, ids, lambda row: edges.diverted(row, self.to)), set(ids)


@dataclass
class Purging(Action):
    waits = False

    def do(self) -> tuple[int, int, int]:
        steps = list(purge.purge(key_life=KEY_LIFE * HOUR, retention=RETENTION * HOUR))
        return (
            sum(step.records for step in steps),
            sum(step.notifications for step in steps),
            sum(step.attempts for step in steps),
        )

    def must(self, before: State, passed: frozenset[UUID] = NOBODY) -> tuple[State, tuple[int, int, int]]:
        keys = {name: key for name, key in before.keys.items() if not _may_go(key, before.rows)}
        named = {key.answered for key in keys.values()}
        gone = [
            row
            for row in before.rows.values()
            if row.status in FINISHED and _old(row.finished) and row.id not in named | passed
        ]
        rows = {id_: row for id_, row in before.rows.items() if row not in gone}
        after = replace(before, keys=keys, rows=rows, purged=before.purged + len(gone))
        return after, (len(before.keys) - len(keys), len(gone), sum(len(row.attempts) for row in gone))


@dataclass
class Redacting(Action):
    waits = False

    def do(self) -> int:
        return sum(redact.redact(older_than=REDACTED * HOUR))

    def must(self, before: State, passed: frozenset[UUID] = NOBODY) -> tuple[State, int]:
        ids = [
            row.id
            for row in before.rows.values()
            if row.id not in passed and row.status in FINISHED and not row.redacted
            if row.finished is not None and row.finished <= -REDACTED
        ]
        after, moved = _moved(before, ids, edges.redacted)
        return after, len(moved)


def _may_go(key: Key, rows: Mapping[UUID, Row]) -> bool:
    row = rows.get(key.answered)
    needed = row is not None and (
        row.status not in FINISHED or (row.status is Status.FAILED and not row.redacted and not _old(row.finished))
    )
    return key.made <= -KEY_LIFE and not needed


def _old(finished: int | None) -> bool:
    return finished is not None and finished <= -RETENTION


def _moved(before: State, ids: list[UUID], edge: Edge) -> tuple[State, set[UUID]]:
    after = changed(before, ids, edge)
    return after, {id_ for id_, row in before.rows.items() if after.rows[id_] != row}
