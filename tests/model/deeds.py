"""An action with the one who does it: what they believe before it, and what they learn from its answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from uuid import UUID

from channels.contract import Progress
from notifications.outbox.workers import Beats

from .actions import (
    Accepting,
    Action,
    Beating,
    Burying,
    Canceling,
    Claiming,
    Diverting,
    Expiring,
    FindingMissing,
    Purging,
    Recording,
    Redacting,
    Replaying,
    Rescheduling,
    Telling,
)
from .state import Row, State
from .world import Hand, Worker, World

LANES: Final = ("slack:ops", "sms", "mail")  # sent again when in doubt; held; and settled by the provider's key
SPARE: Final = {"slack:ops": "slack@spare:ops", "slack@spare:ops": "slack:ops"}  # the other backend's
EVERY_LANE: Final = (*LANES, "slack@spare:ops")

Thing = TypeVar("Thing")


@dataclass
class Deed:
    action: Action
    learn: Callable[[Any], object] = lambda answer: None  # of what `action.do` answers, should it ever come


def pick(things: Sequence[Thing], number: int) -> Thing:
    return things[number % len(things)]


def ids(state: State, are: Callable[[Row], object] = lambda row: True) -> list[UUID]:
    return [row.id for row in state.rows.values() if are(row)]


def accept(world: World, lane: str, priority: int, later: int | None, life: int | None, key: str | None) -> Deed:
    def learn(answer: UUID | None) -> None:
        if answer is not None:
            world.accepted.add(answer)

    return Deed(Accepting(world.new_id(), lane, priority, later, life, key), learn)


def claim(
    world: World, worker: Worker, lane: str, batch: int, *, quick: bool, lost: bool = False, probing: bool = False
) -> Deed:
    """`quick`: counted as begun with the claim, where the policy allows it. `lost`: the answer never comes.

    `probing`: of a half-open lane, a single one.
    """
    started = quick and lane not in {"sms", "mail"}
    claiming = Claiming(worker.id, lane, 1 if probing else batch, started=started, probing=probing)
    if lost:
        return Deed(claiming)
    return Deed(
        claiming,
        lambda _: worker.take(claiming.claims, lane=claiming.lane, started=claiming.started, hour=world.hour),
    )


def record(
    worker: Worker, hands: list[Hand], begin: Hand | None = None, *, lost: bool = False, again: bool = False
) -> Deed:
    """`lost`: the answer never comes, and the worker will say it all once more, sooner or later."""
    results = [hand.result for hand in hands if hand.result is not None]
    recording = Recording(results, None if begin is None else begin.claim, again)

    def learn(answer: tuple[frozenset[UUID], bool]) -> None:
        for hand in hands:
            worker.hands.pop(hand.attempt, None)  # it may have said the same twice, at once
        if begin is not None:
            begin.may_send = answer[1]
            if not begin.may_send:
                del worker.hands[begin.attempt]

    return Deed(recording) if lost else Deed(recording, learn)


def look_around(worker: Worker) -> Deed:
    """Beat, and see the others' beats."""

    def learn(beats: Beats) -> None:
        worker.seen = beats.others

    return Deed(Beating(worker.id), learn)


def bury(worker: Worker, number: int) -> Deed:
    """Whoever seems dead to this worker, by the beat it saw last: it may have been seen long ago."""
    return Deed(Burying(*pick(list(worker.seen.items()), number)))


def tell(world: World, number: int, progress: Progress) -> Deed:
    """The provider speaks of what it took, and keeps to its last word."""
    id_, attempt = pick(world.unreported(), number)

    def learn(answer: object) -> None:
        if progress is not Progress.TAKEN:
            world.over[id_, attempt] = progress is Progress.DELIVERED

    return Deed(Telling(id_, attempt, progress), learn)


def divert(state: State, lane: str) -> Deed:
    """Whatever there is: the statement says what of it may go."""
    return Deed(Diverting(lane, SPARE[lane], ids(state)))


def knowing(world: World) -> list[Worker]:
    return [worker for worker in world.workers if worker.known()]


def holders(state: State) -> list[tuple[UUID, int]]:
    """Whoever claims are held by, as far as they have a lease, and their beats now."""
    holding = {row.worker for row in state.rows.values()}
    return [(worker, beat) for worker, beat in state.beats.items() if worker in holding]


def record_all(worker: Worker) -> Deed:
    return record(worker, worker.batch())


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of deed in its simplest form. `of`: the one that a number chooses, where `can` says that there is any."""

    of: Callable[[World, State, int], Deed]
    can: Callable[[World, State], object] = lambda world, state: True


KINDS: Final = {
    "accept": Kind(lambda world, state, number: accept(world, pick(LANES, number), 1, None, None, "a")),
    "claim": Kind(
        lambda world, state, number: claim(world, pick(world.workers, number), pick(EVERY_LANE, number), 2, quick=True),
        lambda world, state: world.workers,
    ),
    "record": Kind(
        lambda world, state, number: record_all(pick(knowing(world), number)),
        lambda world, state: knowing(world),
    ),
    "look around": Kind(
        lambda world, state, number: look_around(pick(world.workers, number)),
        lambda world, state: world.workers,
    ),
    "bury": Kind(
        lambda world, state, number: Deed(Burying(*pick(holders(state), number))),
        lambda world, state: holders(state),
    ),
    "find missing": Kind(lambda world, state, number: Deed(FindingMissing())),
    "replay": Kind(
        lambda world, state, number: Deed(Replaying([pick(ids(state), number)])),
        lambda world, state: state.rows,
    ),
    "cancel": Kind(
        lambda world, state, number: Deed(Canceling([pick(ids(state), number)])),
        lambda world, state: state.rows,
    ),
    "reschedule": Kind(
        lambda world, state, number: Deed(Rescheduling([pick(ids(state), number)], number % 3)),
        lambda world, state: state.rows,
    ),
    "expire": Kind(lambda world, state, number: Deed(Expiring())),
    "tell": Kind(
        lambda world, state, number: tell(world, number, pick(tuple(Progress), number // 2)),
        lambda world, state: world.unreported(),
    ),
    "divert": Kind(lambda world, state, number: divert(state, pick(tuple(SPARE), number))),
    "redact": Kind(lambda world, state, number: Deed(Redacting())),
    "purge": Kind(lambda world, state, number: Deed(Purging())),
}
