"""The rules of the game: what clients, workers, the provider, operators and time may do next, in any order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from hypothesis.strategies._internal.featureflags import FeatureFlags

from channels.contract import Progress
from notifications.outbox import lanes, workers
from notifications.outbox.record import Result
from notifications.outbox.statement import run
from notifications.states import FINISHED, OPEN, Event, Status

from . import deeds, promises
from .actions import (
    HOUR,
    KEY_LIFE,
    REDACTED,
    RETENTION,
    Burying,
    Canceling,
    Expiring,
    FindingMissing,
    Purging,
    Recording,
    Redacting,
    Replaying,
    Rescheduling,
    Retiring,
    Suppressing,
    TakingUnheld,
)
from .deeds import EVERY_LANE, KINDS, LANES, SPARE, Deed, ids, pick
from .meeting import Meeting, judge
from .state import Row, look, pass_hours, wipe
from .world import FATES, Worker, World

LIVES: Final = 8  # notifications in one example: few, so that much happens to each
WORKERS: Final = 2  # at a time: who dies or is stopped is started anew
LONG_DRAIN: Final = 100  # rounds, each of an hour

# As if it had been tried often and had outlived all but one of its workers. Rows: none.
WEAR: Final = "UPDATE notification SET tries = 14, losses = 4 WHERE id = %(id)s"

which = st.integers(0, 5)
fates = st.sampled_from(sorted(FATES))
in_lane = st.sampled_from(LANES)
seldom = st.sampled_from([False, False, False, True])


def some_worker(has: Callable[[Worker], object]) -> Callable[[Any], bool]:
    return lambda machine: any(has(worker) for worker in machine.world.workers)


def some_row(is_: Callable[[Row], object]) -> Callable[[Any], bool]:
    return lambda machine: any(is_(row) for row in machine.state.rows.values())


def can_wear(row: Row) -> bool:
    return row.status is Status.PENDING and not row.losses


def is_over(row: Row) -> bool:
    """For now: an operator may want it sent again."""
    return row.status not in {Status.PENDING, Status.SENDING}


def may_be_redacted(row: Row) -> bool:
    return row.finished is not None and row.finished <= -REDACTED and not row.redacted


def is_old(row: Row) -> bool:
    return row.finished is not None and row.finished <= -KEY_LIFE


class Outbox(RuleBasedStateMachine):
    meeting: Meeting  # given by whoever runs it
    without: frozenset[str] = frozenset()  # rules that are left out
    first: tuple[str, ...] = tuple(KINDS)  # of two at once, what the one may do that is held open
    other: tuple[str, ...] = tuple(KINDS)

    def __init__(self) -> None:
        super().__init__()
        # Hypothesis switches rules off at random for an example's length. In most of those nobody would send anything.
        self._rules_strategy.enabled_rules_strategy = st.just(FeatureFlags(disabled=tuple(self.without)))
        wipe()
        self.world = World()
        self.state = look().state
        self.whole = True  # until something is found

    @initialize(lanes=st.lists(in_lane, min_size=2, max_size=4))
    def begin(self, lanes: list[str]) -> None:
        for _ in range(WORKERS):
            self._start_worker()
        self.perform(deeds.look_around(self.world.workers[0]))
        for lane in lanes:
            self.perform(deeds.accept(self.world, lane, 1, None, None, None))

    # --- clients ------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.state.rows) < LIVES)
    @rule(
        lane=in_lane,
        priority=st.integers(0, 2),
        later=st.sampled_from([None, -1, 1]),
        life=st.sampled_from([None, None, 1, 3]),
        key=st.sampled_from([None, "a", "b"]),
    )
    def accept(self, lane: str, priority: int, later: int | None, life: int | None, key: str | None) -> None:
        self.perform(deeds.accept(self.world, lane, priority, later, life, key))

    @precondition(some_row(can_wear))
    @rule(number=which)
    def wear(self, number: int) -> None:
        run(WEAR, {"id": pick(ids(self.state, can_wear), number)})
        self.state = look().state

    # --- workers ------------------------------------------------------------------------------------------

    @precondition(lambda self: self._lanes_due())
    @rule(number=which, lane=which, batch=st.integers(1, 3), quick=st.booleans(), lost=seldom)
    def claim(self, number: int, lane: int, batch: int, quick: bool, lost: bool) -> None:
        worker, due = pick(self.world.workers, number), pick(self._lanes_due(), lane)
        probing = due in self.state.half_open
        self.perform(deeds.claim(self.world, worker, due, batch, quick=quick, lost=lost, probing=probing))

    @precondition(some_worker(lambda worker: worker.hands))
    @rule(number=which, steps=st.integers(1, 3), fate=fates)
    def work(self, number: int, steps: int, fate: str) -> None:
        """A worker goes on with what it holds, as far as it gets."""
        worker = self._worker(lambda worker: worker.hands, number)
        for _ in range(steps):
            if hands := worker.to_send():
                self.world.send(hands[0], fate)
                self._keep(frozenset(), [])
            elif hands := worker.to_begin():
                self.perform(deeds.record(worker, [], hands[0]))
            elif hands := worker.unsent():
                self.world.give_back(hands[0])  # it was claimed under a lease that is known to be lost
            elif worker.known():
                self.perform(deeds.record_all(worker))

    @precondition(some_worker(Worker.known))
    @rule(
        number=which,
        order=st.permutations(range(3)),
        size=st.integers(1, 3),
        lost=st.booleans(),
        again=seldom,
        begin=st.none() | which,
    )
    def record(self, number: int, order: list[int], size: int, lost: bool, again: bool, begin: int | None) -> None:
        """Some of what a worker knows, in any order, and perhaps the start of its next send in the same statement."""
        worker = self._worker(Worker.known, number)
        hands = worker.batch([each for each in order if each < size])
        waiting = [hand for hand in worker.to_begin() if hand.claim.id not in {each.claim.id for each in hands}]
        next_ = pick(waiting, begin) if begin is not None and waiting else None
        self.perform(deeds.record(worker, hands, next_, lost=lost, again=again))

    @precondition(some_worker(Worker.unsent))
    @rule(number=which, hand=which)
    def give_back(self, number: int, hand: int) -> None:
        self.world.give_back(pick(self._worker(Worker.unsent, number).unsent(), hand))

    @precondition(lambda self: self._buried())
    @rule(number=which)
    def learn_of_burial(self, number: int) -> None:
        """It goes on under a new id; its threads still hold what they held."""
        worker = pick(self._buried(), number)
        self.perform(deeds.look_around(worker))
        worker.id = self.world.new_id()
        worker.register()
        self.state = look().state

    @precondition(some_worker(lambda worker: worker.hands))
    @rule(number=which, suddenly=st.booleans())
    def end(self, number: int, suddenly: bool) -> None:
        """A worker that holds something dies, or is stopped; another is started."""
        worker = self._worker(lambda worker: worker.hands, number)
        self.world.workers.remove(worker)
        if not suddenly:
            self.perform(Deed(Retiring(worker.id)))
        self._start_worker()

    # --- recovery -----------------------------------------------------------------------------------------

    @precondition(lambda self: self._buriable())
    @rule(number=which, afresh=st.booleans())
    def bury(self, number: int, afresh: bool) -> None:
        """Somebody who holds claims seems dead to a worker, by the beat that it saw last: just now, or long ago."""
        worker, other = pick(self._buriable(), number)
        if afresh or other not in worker.seen:
            self.perform(deeds.look_around(worker))
        self.perform(Deed(Burying(other, worker.seen[other])))

    @precondition(lambda self: any(row.worker not in {None, *self.state.beats} for row in self.state.rows.values()))
    @rule()
    def find_missing(self) -> None:
        self.perform(Deed(FindingMissing()))

    @precondition(lambda self: self._unheld())
    @rule(number=which)
    def find_unheld(self, number: int) -> None:
        """A worker's relay sees claims that bear its id and that no thread of it knows."""
        worker = pick(self._unheld(), number)
        claims = workers.sweep(worker.id).own_claims.items() - worker.hands.keys()
        self.perform(Deed(TakingUnheld(worker.id, sorted(claims))))

    # --- operators, the provider and time -----------------------------------------------------------------

    @precondition(some_row(is_over))
    @rule(number=which)
    def replay(self, number: int) -> None:
        self.perform(Deed(Replaying([pick(ids(self.state, is_over), number)])))

    @rule(lane=in_lane, lifted=st.booleans())
    def suppress(self, lane: str, lifted: bool) -> None:
        self.perform(Deed(Suppressing(lane.partition(":")[0], lifted)))

    @precondition(some_row(lambda row: row.status not in FINISHED))
    @rule(number=which)
    def cancel(self, number: int) -> None:
        self.perform(Deed(Canceling([pick(ids(self.state, lambda row: row.status not in FINISHED), number)])))

    @precondition(some_row(lambda row: row.status not in FINISHED))
    @rule(number=which, later=st.sampled_from([-1, 0, 1, 2, 5]))
    def reschedule(self, number: int, later: int) -> None:
        one = pick(ids(self.state, lambda row: row.status not in FINISHED), number)
        self.perform(Deed(Rescheduling([one], later)))

    @precondition(some_row(lambda row: row.expired))
    @rule()
    def expire(self) -> None:
        self.perform(Deed(Expiring()))

    @precondition(lambda self: self.world.unreported())
    @rule(number=which, progress=st.sampled_from(Progress))
    def tell(self, number: int, progress: Progress) -> None:
        self.perform(deeds.tell(self.world, number, progress))

    @rule(hours=st.sampled_from([1, 1, 2, KEY_LIFE, RETENTION]))
    def wait(self, hours: int) -> None:
        pass_hours(hours)
        self.world.hour += hours
        for worker in self.world.workers:
            worker.forget(self.world.hour - RETENTION)
            worker.grow_old(hours)
        self.state = look().state

    @precondition(lambda self: not self.state.paused)
    @rule(lane=in_lane)
    def pause(self, lane: str) -> None:
        lanes.pause(lane, HOUR, "asked to")
        self.state = look().state

    @precondition(lambda self: self.state.half_open)
    @rule(number=which)
    def succeed(self, number: int) -> None:
        assert lanes.succeed(pick(sorted(self.state.half_open), number))
        self.state = look().state

    @precondition(lambda self: not self.state.paused)
    @rule(lane=st.sampled_from(EVERY_LANE))
    def stop(self, lane: str) -> None:
        """Its provider refuses us."""
        lanes.pause_growing(lane, HOUR, HOUR, "refused")
        self.state = look().state

    @precondition(some_row(lambda row: row.lane in SPARE))
    @rule(number=which)
    def divert(self, number: int) -> None:
        lane = pick(ids(self.state, lambda row: row.lane in SPARE), number)
        self.perform(deeds.divert(self.state, self.state.rows[lane].lane))

    @precondition(lambda self: any(is_old(row) for row in self.state.rows.values()) or self._old_keys())
    @rule()
    def purge(self) -> None:
        self.perform(Deed(Purging()))

    @precondition(lambda self: any(may_be_redacted(row) for row in self.state.rows.values()))
    @rule()
    def redact(self) -> None:
        self.perform(Deed(Redacting()))

    # --- two at once --------------------------------------------------------------------------------------

    @precondition(lambda self: self._possible(self.first) and self._possible(self.other))
    @rule(first=st.integers(0, 20), other=st.integers(0, 20), number=which, commits=st.booleans())
    def two_at_once(self, first: int, other: int, number: int, commits: bool) -> None:
        """The first is held open while the other runs, then commits or is rolled back; often both want one row."""
        kinds = pick(self._possible(self.first), first), pick(self._possible(self.other), other)
        if kinds in {("purge", "purge"), ("redact", "redact")}:
            return
        leading, following = (KINDS[kind].of(self.world, self.state, number) for kind in kinds)
        self._together(leading, following, commits=commits)

    # --- the end ------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        """All workers die. Another finds what they left, operators what nobody knows: all must come to its end."""
        if not self.whole:
            return
        for lane in LANES:
            self.perform(Deed(Suppressing(lane.partition(":")[0], lifted=True)))
        self.world.workers.clear()
        worker = self._start_worker()
        self.perform(deeds.look_around(worker))
        for number in range(len(worker.seen)):
            self.perform(deeds.bury(worker, number))
        self.perform(Deed(FindingMissing()))
        for _ in range(LONG_DRAIN):
            if not ids(self.state, lambda row: row.status in OPEN):
                return
            self._drain_for_an_hour(worker)
        raise promises.Broken(f"something stays behind: {self.state}")

    def _drain_for_an_hour(self, worker: Worker) -> None:
        for lane in EVERY_LANE:
            lanes.succeed(lane)
        self.state = look().state
        for lane in EVERY_LANE:
            self.perform(deeds.claim(self.world, worker, lane, LIVES, quick=False))
        for hand in worker.to_begin():
            self.perform(deeds.record(worker, [], hand))
            self.world.send(hand, "taken")
        while worker.known():
            self.perform(deeds.record_all(worker))
        if unknown := ids(self.state, lambda row: row.status is Status.UNKNOWN):
            self.perform(Deed(Replaying(unknown)))
            self.perform(Deed(Canceling([id_ for id_ in unknown if self.state.rows[id_].expired])))
        self.wait(1)

    # --- how it is done -----------------------------------------------------------------------------------

    def perform(self, deed: Deed) -> None:
        """Do it, and hold what came of it against the promises and against the model."""
        before, self.whole = self.state, False
        answer = deed.action.do()
        deed.learn(answer)
        self._keep(deed.action.events, deed.action.results if isinstance(deed.action, Recording) else [])
        expected, said = deed.action.must(before)
        promises.must_be(expected, self.state)
        promises.must_say(said, answer)
        self.whole = True

    def _together(self, one: Deed, other: Deed, *, commits: bool) -> None:
        before, self.whole = self.state, False
        said, answer, waited = self.meeting.of(one.action.do, other.action.do, commits=commits)
        if commits:
            one.learn(said)
        other.learn(answer)
        self._keep(one.action.events | other.action.events, [])
        judge(one.action, other.action, before, self.state, said, answer, commits=commits, waited=waited)
        self.whole = True

    def _keep(self, events: frozenset[Event], results: Sequence[Result]) -> None:
        before, after = self.state, look()
        promises.keep(promises.Step(before, after, events, results, self.world))
        self.state = after.state

    def _start_worker(self) -> Worker:
        worker = Worker(self.world.new_id())
        worker.register()
        worker.seen = dict(self.state.beats)
        self.world.workers.append(worker)
        self.state = look().state
        return worker

    def _possible(self, kinds: Sequence[str]) -> list[str]:
        return [kind for kind in kinds if KINDS[kind].can(self.world, self.state)]

    def _lanes_due(self) -> list[str]:
        """Where something can be claimed."""
        due = {row.lane for row in self.state.rows.values() if row.status is Status.PENDING and row.due <= 0}
        return sorted(due - self.state.paused)

    def _buriable(self) -> list[tuple[Worker, UUID]]:
        """Who may find whom dead."""
        holders = sorted({row.worker for row in self.state.rows.values() if row.worker} & self.state.beats.keys())
        return [(worker, other) for other in holders for worker in self.world.workers if worker.id != other]

    def _old_keys(self) -> bool:
        return any(key.made <= -KEY_LIFE for key in self.state.keys.values())

    def _buried(self) -> list[Worker]:
        return [worker for worker in self.world.workers if worker.id not in self.state.beats]

    def _unheld(self) -> list[Worker]:
        claims = [(row.worker, (row.id, row.attempt)) for row in self.state.rows.values() if row.worker]
        return [
            worker
            for worker in self.world.workers
            if any(id_ == worker.id and claim not in worker.hands for id_, claim in claims)
        ]

    def _worker(self, having: Callable[[Worker], object], number: int) -> Worker:
        return pick([worker for worker in self.world.workers if having(worker)], number)


RULES: Final = frozenset(each.function.__name__ for each in Outbox.setup_state().rules)
