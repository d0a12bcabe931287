"""Whatever happens, in whatever order: what is due is claimed once the drains look, although each begins at its cursor.

Late commits, rows that somebody holds, retries, priorities, clients, `send_at` in the past and several workers, drawn
by Hypothesis against a real Postgres. Scans from the start are switched off, but for each worker's first: what is found
is found by the cursors alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, Final
from uuid import UUID

import psycopg
import pytest
from django.db import connection
from django.db.models.functions import Now
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notifications import cursors
from notifications.cursors import Cursors
from notifications.models import Notification, Worker
from notifications.outbox import operate, recover
from notifications.outbox.accept import ACCEPT, parameters
from notifications.outbox.claim import Claim, claim
from notifications.outbox.statement import direct_connection
from notifications.outbox.workers import glance, sweep
from notifications.retry import Decision
from notifications.states import Event, Outcome, Status
from tests.integration.outbox import rows

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

LANE: Final = "slack:ops"
WORKERS: Final = 2
NEVER: Final = 1e9  # seconds until a scan from the start
ROUNDS: Final = 30  # of the relay; each drains all that its glance told of

priorities = st.sampled_from([0, 1, 2])
clients = st.sampled_from([1, 2, 3, 7])
workers = st.integers(0, WORKERS - 1)
ago = st.sampled_from([None, timedelta(seconds=-5), timedelta(hours=5), timedelta(days=300)])  # before now
fates = st.sampled_from(["accepted", "retry", "in doubt", "released", "later", "refused"])

actions = st.one_of(
    st.tuples(st.just("accept"), priorities, ago, clients),
    st.tuples(st.just("accept"), priorities, ago, clients),
    st.tuples(st.just("begin"), priorities, ago, clients),  # a transaction that accepts, and commits later
    st.tuples(st.just("commit")),
    st.tuples(st.just("hold"), st.integers(0, 20)),  # somebody else's row lock
    st.tuples(st.just("let go")),
    st.tuples(st.just("claim"), workers, st.integers(1, 4), st.lists(fates, max_size=4), st.booleans()),
    st.tuples(st.just("die"), workers),
    st.tuples(st.just("replay")),
    st.tuples(st.just("reschedule"), st.sampled_from([timedelta(seconds=-5), timedelta(hours=5)])),
    st.tuples(st.just("settle"), workers),
)


@dataclass
class Drain:
    """One worker's claims, as its threads make them."""

    id: UUID = field(default_factory=rows.worker)
    cursors: Cursors = field(default_factory=lambda: Cursors(whole_at_least=NEVER))

    def claim(self, batch: int, *, in_full_flow: bool) -> list[Claim]:
        stretches, whole = self.cursors.begin(LANE, in_full_flow=in_full_flow)
        claims = claim(LANE, worker_id=self.id, batch=batch, started=True, stretches=stretches)
        self.cursors.advance(LANE, claims, whole=whole, took=0.0)
        return claims

    def drain(self, batch: int) -> None:
        """Until a claim comes back empty: in full flow without looking back, like a worker's own."""
        in_full_flow = False
        while claims := self.claim(batch, in_full_flow=in_full_flow):
            in_full_flow = any(each.more for each in claims)
            rows.recorded(*(rows.result(each, Outcome.ACCEPTED) for each in claims))

    def sees_due(self) -> bool:
        """What its relay sees: by a glance once it has claimed from the lane, before that by its look at everything."""
        places = self.cursors.places()
        due_in = (glance(places) if places else sweep(self.id)).due_in
        return due_in.get(LANE, 1.0) <= 0


class World:
    def __init__(self) -> None:
        for table in ("notification", "attempt", "event", "worker"):
            with connection.cursor() as cursor:
                cursor.execute(f"DELETE FROM {table}")
        self.drains = [Drain() for _ in range(WORKERS)]
        self.late: list[psycopg.Connection[Any]] = []
        self.holding: list[psycopg.Connection[Any]] = []

    def act(self, action: tuple[Any, ...]) -> None:
        match action:
            case ("accept", priority, ago, client):
                rows.accepted(lane=LANE, priority=priority, send_at=_send_at(ago), client_id=client)
            case ("begin", priority, ago, client):
                self.late.append(_uncommitted(priority, _send_at(ago), client))
            case ("commit",) if self.late:
                _end(self.late.pop())
            case ("hold", number):
                self.hold(number)
            case ("let go",) if self.holding:
                _end(self.holding.pop())
            case ("claim", worker, batch, fates, in_full_flow):
                claims = self.drains[worker].claim(batch, in_full_flow=in_full_flow)
                rows.recorded(*(_fate(each, fate) for each, fate in zip(claims, fates, strict=False)))
            case ("die", worker):
                Worker.objects.filter(pk=self.drains[worker].id).delete()
                recover.take_back([self.drains[worker].id], rows.RESEND, detail="killed")
                self.drains[worker] = Drain()
            case ("replay",):
                failed = Notification.objects.filter(status="failed").values_list("id", flat=True)
                operate.replay(list(failed), actor="ada")
            case ("reschedule", ago) if not self.holding:  # it would wait for the lock
                pending = Notification.objects.filter(status="pending").values_list("id", flat=True)
                operate.reschedule(list(pending), send_at=datetime.now(UTC) - ago, actor="ada")
            case ("settle", worker):
                self.settle(worker)

    def hold(self, number: int) -> None:
        waiting = list(Notification.objects.filter(status="pending").order_by("id").values_list("id", flat=True))
        if waiting and len(self.holding) < 3:
            held = direct_connection("somebody")
            held.execute("BEGIN")
            held.execute(
                "SELECT 1 FROM notification WHERE id = %s FOR UPDATE SKIP LOCKED", [waiting[number % len(waiting)]]
            )
            self.holding.append(held)

    def settle(self, worker: int) -> None:
        """All that was begun ends; then this worker's relay looks, and wakes a drain while it sees anything due."""
        for each in [*self.late, *self.holding]:
            _end(each)
        self.late, self.holding = [], []
        drain = self.drains[worker]
        for _ in range(ROUNDS):
            if not drain.sees_due():
                break
            drain.drain(batch=3)
        left = Notification.objects.filter(status="pending", due_at__lte=Now()).values_list("id", flat=True)
        assert list(left) == []

    def end(self) -> None:
        for each in [*self.late, *self.holding]:
            each.close()


@contextmanager
def world() -> Iterator[World]:
    made = World()
    try:
        yield made
    finally:
        made.end()


def nothing_is_skipped(history: list[tuple[Any, ...]], last: int) -> None:
    with world() as made:
        for action in history:
            made.act(action)
        made.settle(last)


thorough = settings(
    max_examples=100,
    deadline=None,
    derandomize=False,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
histories = given(history=st.lists(actions, max_size=25), last=workers)


@thorough
@histories
def test_nothing_due_is_left_behind_a_cursor(history: list[tuple[Any, ...]], last: int) -> None:
    nothing_is_skipped(history, last)


LATE_COMMIT: Final = [
    ("accept", 1, None, 1),
    ("claim", 0, 1, ["accepted"], False),
    ("begin", 1, None, 1),
    ("accept", 1, None, 1),
    ("claim", 0, 1, ["accepted"], True),
    ("commit",),
]


def test_without_looking_back_something_would_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """The property can fail: it does as soon as the cursors don't look back."""
    nothing_is_skipped(LATE_COMMIT, 0)
    monkeypatch.setattr(cursors, "_back", lambda position: position)

    with pytest.raises(AssertionError):
        nothing_is_skipped(LATE_COMMIT, 0)


@thorough
@given(
    commits=st.lists(
        st.tuples(priorities, st.timedeltas(timedelta(0), timedelta(days=2)), clients), min_size=1, max_size=10
    ),
    batch=st.integers(1, 4),
)
def test_what_comes_later_than_a_cursor_looks_back_is_found_from_the_start(
    commits: list[tuple[int, timedelta, int]], batch: int
) -> None:
    with world() as made:
        drain = made.drains[0]
        drain.cursors = Cursors(whole_at_least=0.0)
        rows.accepted(lane=LANE)
        drain.drain(batch)
        for priority, late, client in commits:  # as a transaction would leave them that took as long
            id_ = rows.accepted(lane=LANE, priority=priority, client_id=client)
            Notification.objects.filter(pk=id_).update(due_at=Now() - late)

        drain.drain(batch)

        assert not Notification.objects.filter(status="pending").exists()


def _send_at(ago: timedelta | None) -> datetime | None:
    return None if ago is None else datetime.now(UTC) - ago


def _fate(of: Claim, fate: str) -> Any:
    decisions = {
        "retry": (Outcome.TRANSIENT, Decision(Event.RETRY, Status.PENDING, costs_try=True)),
        "in doubt": (Outcome.IN_DOUBT, Decision(Event.IN_DOUBT, Status.PENDING, possible_duplicate=True)),
        "released": (Outcome.RELEASED, Decision(Event.RELEASE, Status.PENDING)),
        "later": (Outcome.RATE_LIMITED, Decision(Event.RETRY, Status.PENDING, delay=timedelta(hours=1))),
        "refused": (Outcome.PERMANENT, Decision(Event.GIVE_UP, Status.FAILED)),
        "accepted": (Outcome.ACCEPTED, Decision(Event.ACCEPTED, Status.SENT)),
    }
    outcome, decision = decisions[fate]
    now = monotonic()
    return rows.result(of, outcome, decision=decision, started=now, finished=now)


def _uncommitted(priority: int, send_at: datetime | None, client: int) -> psycopg.Connection[Any]:
    """A transaction that has accepted one in this lane and not yet committed."""
    caller = direct_connection("a slow caller")
    caller.execute("BEGIN")
    late = rows.asked(lane=LANE, priority=priority, send_at=send_at, client_id=client)
    caller.execute(ACCEPT, parameters([late]))
    return caller


def _end(open_: psycopg.Connection[Any]) -> None:
    open_.execute("COMMIT")
    open_.close()
