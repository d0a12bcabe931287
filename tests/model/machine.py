"""The rules of the game: what clients, workers, the provider, operators and time may do next, in any order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from channels.contract import Progress
from notifications.outbox import lanes, workers
from notifications.outbox.record import Result
from notifications.outbox.statement import run
from notifications.states import FINISHED, OPEN, Event, Status

from . import deeds, promises
from .actions import (
    HOUR,
    KEY_LIFE,
    RETENTION,
    Canceling,
    Expiring,
    FindingMissing,
    Purging,
    Recording,
    Replaying,
    Retiring,
    TakingUnheld,
)
from .deeds import KINDS, LANES, Deed, ids, pick
from .meeting import Meeting, judge
from .state import look, pass_hours, wipe
from .world import FATES, Worker, World

LIVES: Final = 8  # notifications in one example: few, so that much happens to each
WORKERS: Final = 3
LONG_DRAIN: Final = 100  # rounds, each of an hour

# As if it had been tried often and had outlived all but one of its workers. Rows: none.
WEAR: Final = "UPDATE notification SET tries = 14, losses = 4 WHERE id = %(id)s"

which = st.integers(0, 5)
kinds = st.sampled_from(KINDS)
in_lane = st.sampled_from(LANES)


def some_worker(has: Callable[[Worker], object]) -> Callable[[Any], bool]:
    return lambda machine: any(has(worker) for worker in machine.world.workers)


def some_row(is_: Callable[[Any], object]) -> Callable[[Any], bool]:
    return lambda machine: any(is_(row) for row in machine.state.rows.values())


class Outbox(RuleBasedStateMachine):
    meeting: Meeting  # given by whoever runs it

    def __init__(self) -> None:
        super().__init__()
        wipe()
        self.world = World()
        self.state = look().state
        self.whole = True  # until something is found

    @initialize(lane=in_lane, number=st.integers(1, 3))
    def begin(self, lane: str, number: int) -> None:
        for _ in range(2):
            self.start_worker()
        for _ in range(number):
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

    @precondition(some_row(lambda row: row.status is Status.PENDING and not row.losses))
    @rule(number=which)
    def wear(self, number: int) -> None:
        run(WEAR, {"id": pick(ids(self.state, lambda row: row.status is Status.PENDING and not row.losses), number)})
        self.state = look().state

    # --- workers ------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.world.workers) < WORKERS)
    @rule()
    def start_worker(self) -> None:
        worker = Worker(self.world.new_id())
        worker.register()
        self.world.workers.append(worker)
        self.state = look().state

    @precondition(lambda self: self.world.workers)
    @rule(number=which, lane=in_lane, batch=st.integers(1, 3), quick=st.booleans(), lost=st.booleans())
    def claim(self, number: int, lane: str, batch: int, quick: bool, lost: bool) -> None:
        worker = pick(self.world.workers, number)
        self.perform(deeds.claim(self.world, worker, lane, batch, quick=quick, lost=lost))

    @precondition(some_worker(Worker.to_begin))
    @rule(number=which, hand=which)
    def begin_send(self, number: int, hand: int) -> None:
        worker = self._worker(Worker.to_begin, number)
        self.perform(deeds.record(worker, [], pick(worker.to_begin(), hand)))

    @precondition(some_worker(Worker.to_send))
    @rule(number=which, hand=which, fate=st.sampled_from(sorted(FATES)))
    def send(self, number: int, hand: int, fate: str) -> None:
        self.world.send(pick(self._worker(Worker.to_send, number).to_send(), hand), fate)
        self._keep(frozenset(), [])

    @precondition(some_worker(Worker.unsent))
    @rule(number=which, hand=which)
    def give_back(self, number: int, hand: int) -> None:
        self.world.give_back(pick(self._worker(Worker.unsent, number).unsent(), hand))

    @precondition(some_worker(Worker.known))
    @rule(
        number=which,
        order=st.permutations(range(3)),
        size=st.integers(1, 3),
        lost=st.booleans(),
        again=st.booleans(),
        begin=st.none() | which,
    )
    def record(self, number: int, order: list[int], size: int, lost: bool, again: bool, begin: int | None) -> None:
        """Some of what a worker knows, in any order, and perhaps the start of its next send in the same statement."""
        worker = self._worker(Worker.known, number)
        hands = worker.batch([each for each in order if each < size])
        waiting = [hand for hand in worker.to_begin() if hand.claim.id not in {each.claim.id for each in hands}]
        next_ = pick(waiting, begin) if begin is not None and waiting else None
        self.perform(deeds.record(worker, hands, next_, lost=lost, again=again))

    @precondition(lambda self: self.world.workers)
    @rule(number=which)
    def look_around(self, number: int) -> None:
        """Whoever was buried learns it, and goes on under a new id; its threads still hold what they held."""
        worker = pick(self.world.workers, number)
        self.perform(deeds.look_around(worker))
        if worker.buried:
            worker.id = self.world.new_id()
            worker.register()
            self.state = look().state

    @precondition(lambda self: self.world.workers)
    @rule(number=which)
    def die(self, number: int) -> None:
        self.world.workers.remove(pick(self.world.workers, number))

    @precondition(lambda self: self.world.workers)
    @rule(number=which)
    def retire(self, number: int) -> None:
        worker = pick(self.world.workers, number)
        self.world.workers.remove(worker)
        self.perform(Deed(Retiring(worker.id)))

    # --- recovery -----------------------------------------------------------------------------------------

    @precondition(some_worker(lambda worker: worker.seen))
    @rule(number=which, other=which)
    def bury(self, number: int, other: int) -> None:
        self.perform(deeds.bury(self._worker(lambda worker: worker.seen, number), other))

    @rule()
    def find_missing(self) -> None:
        self.perform(Deed(FindingMissing()))

    @precondition(lambda self: self.world.workers)
    @rule(number=which)
    def find_unheld(self, number: int) -> None:
        worker = pick(self.world.workers, number)
        claims = workers.sweep(worker.id).own_claims.items() - worker.hands.keys()
        self.perform(Deed(TakingUnheld(worker.id, sorted(claims))))

    # --- operators, the provider and time -----------------------------------------------------------------

    @precondition(lambda self: self.state.rows)
    @rule(number=which)
    def replay(self, number: int) -> None:
        """Of what can be replayed if there is any, for most of the rest is refused all the same."""
        some = ids(self.state, deeds.may_be_replayed) or ids(self.state)
        self.perform(Deed(Replaying([pick(some, number)])))

    @precondition(lambda self: self.state.rows)
    @rule(number=which)
    def replay_any(self, number: int) -> None:
        self.perform(Deed(Replaying([pick(ids(self.state), number)])))

    @precondition(lambda self: self.state.rows)
    @rule(number=which)
    def cancel(self, number: int) -> None:
        self.perform(Deed(Canceling([pick(ids(self.state), number)])))

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
        self.state = look().state

    @rule(lane=in_lane)
    def pause(self, lane: str) -> None:
        lanes.pause(lane, HOUR, "asked to")
        self.state = look().state

    @precondition(some_row(lambda row: row.status in FINISHED and row.finished <= -KEY_LIFE))
    @rule()
    def purge(self) -> None:
        self.perform(Deed(Purging()))

    # --- two at once --------------------------------------------------------------------------------------

    @rule(first=kinds, one=which, other=kinds, two=which, commits=st.booleans())
    def two_at_once(self, first: str, one: int, other: str, two: int, commits: bool) -> None:
        """The first is held open while the other runs, then commits or is rolled back."""
        leading = deeds.chosen(first, self.world, self.state, one)
        following = deeds.chosen(other, self.world, self.state, two)
        if leading is not None and following is not None and {first, other} != {"purge"}:
            self._together(leading, following, commits=commits)

    # --- the end ------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        """All workers die. Another finds what they left, operators what nobody knows: all must come to its end."""
        if not self.whole:
            return
        self.world.workers.clear()
        self.start_worker()
        worker = self.world.workers[0]
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
        for lane in LANES:
            self.perform(deeds.claim(self.world, worker, lane, LIVES, quick=False))
        for hand in worker.to_begin():
            self.perform(deeds.record(worker, [], hand))
            self.world.send(hand, "taken")
        self.perform(deeds.record(worker, worker.known()))
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

    def _worker(self, having: Callable[[Worker], object], number: int) -> Worker:
        return pick([worker for worker in self.world.workers if having(worker)], number)
