"""What is promised of every step, whoever did what: each promise looks at the tables before and after it.

They know nothing of the model that says what exactly each step must do; the provider and the clients are their
witnesses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from notifications.outbox.record import Result
from notifications.states import FINISHED, OPEN, TRANSITIONS, Event, Status

from . import edges
from .actions import KEY_LIFE
from .state import Instant, Row, State
from .world import World


class Broken(AssertionError):
    """Raised when a promise was broken, or the tables are not as the model says."""


@dataclass(frozen=True, slots=True)
class Step:
    before: State
    after: Instant
    events: frozenset[Event]  # what the step may do
    results: Sequence[Result]  # that it records, and does nothing else
    world: World

    def changes(self) -> Iterator[tuple[Row, Row]]:
        after = self.after.state.rows
        return ((row, after[id_]) for id_, row in self.before.rows.items() if id_ in after)


def nothing_accepted_is_lost(step: Step) -> None:
    """What a client was told is accepted is there, or was finished and then purged, and the ledger says so."""
    rows, purged = step.after.state.rows, step.after.state.purged
    gone = step.before.rows.keys() - rows.keys()
    assert len(rows) + purged == len(step.world.accepted)
    assert rows.keys() <= step.world.accepted
    assert all(step.before.rows[id_].status in FINISHED for id_ in gone)
    assert len(gone) == purged - step.before.purged


def the_state_table_holds(step: Step) -> None:
    for was, is_ in step.changes():
        assert is_.status in _reachable(was.status, step.events), (was.status, is_.status, step.events)


def finished_is_finished(step: Step) -> None:
    """Only a person opens it again."""
    for was, is_ in step.changes():
        if was.status in FINISHED and is_.status in OPEN:
            assert was.status is Status.FAILED
            assert is_.replays == was.replays + 1


def every_claim_is_an_attempt(step: Step) -> None:
    """Numbered 1, 2, 3 …, and each ends in exactly one row, but for the one under way."""
    for row in step.after.state.rows.values():
        under_way = row.status is Status.SENDING
        assert [each.number for each in row.attempts] == list(range(1, row.attempt - under_way + 1))


def the_fence_only_rises(step: Step) -> None:
    for was, is_ in step.changes():
        claims = Event.CLAIM in step.events and is_.status is Status.SENDING
        assert is_.attempt in {was.attempt, was.attempt + claims}


def a_late_result_changes_no_status(step: Step) -> None:
    """Late is what comes under another attempt, worker or status; but a success settles its own attempt's unknown."""
    for was, is_ in step.changes():
        in_time = [result for result in step.results if result.claim.id == was.id and edges.is_for(result, was)]
        assert in_time or not step.results or is_.status is was.status


def what_ended_stays_as_it_ended(step: Step) -> None:
    """Of an attempt that is over nothing changes but what came late; a known success is not forgotten for it."""
    for was, is_ in step.changes():
        for old, new in zip(was.attempts, is_.attempts, strict=False):
            assert (old.number, old.outcome, old.marked) == (new.number, new.outcome, new.marked)
            assert old.late != "accepted" or new.late == "accepted"


def no_two_hold_the_same(step: Step) -> None:
    """Of workers that believe to hold one notification, one at most is right: no number was given out twice."""
    hands = Counter(attempt for worker in step.world.workers for attempt in worker.hands)
    assert [attempt for attempt, number in hands.items() if number > 1] == []


def no_duplicate_is_silent(step: Step) -> None:
    """Whatever reached the provider after an attempt that may have is marked as a possible duplicate."""
    for row in step.after.state.rows.values():
        reached = step.world.reached(row.id)
        assert all(_marked(row, number) for number in reached[1:]), (row, reached)


def what_is_held_is_sent_once(step: Step) -> None:
    """Under `hold` nobody but a person sends again what may have reached its recipient."""
    for row in step.after.state.rows.values():
        if edges.holds(row):
            assert len(step.world.reached(row.id)) <= 1 + row.replays, row


def whoever_sends_it_the_channel_is_the_same(step: Step) -> None:
    """Another backend of the same channel may; and only a person, or what it answered, gives it to the first again."""
    for was, is_ in step.changes():
        assert is_.channel == was.channel
        in_its_hands = was.status in {Status.PENDING, Status.SENDING} or is_.replays > was.replays
        assert is_.lane == was.lane or in_its_hands


def a_key_has_one_answer(step: Step) -> None:
    """For its life. Then it may be purged, and used anew at once."""
    after = step.after.state.keys
    for name, key in step.before.keys.items():
        assert key.made <= -KEY_LIFE or after[name].answered == key.answered


def what_is_redacted_is_never_sent_again(step: Step) -> None:
    for was, is_ in step.changes():
        assert is_.redacted or not was.redacted
        assert not is_.redacted or is_.status in FINISHED, is_


def the_books_balance(step: Step) -> None:
    assert step.after.broken == (), step.after.broken


PROMISES: Final[tuple[Callable[[Step], None], ...]] = (
    nothing_accepted_is_lost,
    the_state_table_holds,
    finished_is_finished,
    every_claim_is_an_attempt,
    the_fence_only_rises,
    a_late_result_changes_no_status,
    what_ended_stays_as_it_ended,
    no_two_hold_the_same,
    no_duplicate_is_silent,
    what_is_held_is_sent_once,
    whoever_sends_it_the_channel_is_the_same,
    a_key_has_one_answer,
    what_is_redacted_is_never_sent_again,
    the_books_balance,
)


def keep(step: Step) -> None:
    """Raises: Broken, naming the promise."""
    for promise in PROMISES:
        try:
            promise(step)
        except AssertionError as error:
            raise Broken(f"{promise.__name__.replace('_', ' ')}: {error}") from error


def must_be(expected: State, observed: State) -> None:
    """Raises: Broken, with what differs."""
    if expected == observed:
        return
    names = ("keys", "beats", "paused", "half_open", "purged", "suppressed")
    differs: dict[str | UUID, object] = {
        name: (getattr(expected, name), getattr(observed, name))
        for name in names
        if getattr(expected, name) != getattr(observed, name)
    }
    for id_ in expected.rows.keys() | observed.rows.keys():
        pair = expected.rows.get(id_), observed.rows.get(id_)
        if pair[0] != pair[1]:
            differs[id_] = pair
    raise Broken(f"the tables are not as the model says (model, tables): {differs}")


def must_say(expected: object, answer: object) -> None:
    """Raises: Broken, with both."""
    if expected != answer:
        raise Broken(f"the answer is {answer!r}, and must be {expected!r}")


def _reachable(status: Status, events: frozenset[Event]) -> set[Status]:
    """A record may be followed by the receipts that came before it: several edges in one step."""
    reached, more = set[Status](), {status}
    while more:
        reached |= more
        more = {
            to for (at, event), leads in TRANSITIONS.items() if at in more and event in events for to in leads
        } - reached
    return reached


def _marked(row: Row, number: int) -> bool:
    if row.status is Status.SENDING and row.attempt == number:
        return row.marked
    return any(each.number == number and each.marked for each in row.attempts)
