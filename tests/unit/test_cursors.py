from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from notifications.cursors import LOOK_BACK, LOOK_BACK_IN_FLOW, MOST_CLIENTS, Cursors
from notifications.outbox.claim import Claim
from notifications.outbox.stretches import EVERYWHERE, FIRST, LAST, START, Stretch
from notifications.states import Priority

LANE = "slack:ops"
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def last(client: int, *, minute: int, more: bool) -> Claim:
    """What a claim tells of a client, at so many minutes past noon."""
    due_at = NOON + timedelta(minutes=minute)
    told = ("", "", "", "", 0.0, 0, 0, False, None, None, 1, client, due_at, more, None, None, 0.0)
    return Claim(UUID(int=minute), 1, *told, uuid4())


def looked(cursors: Cursors, *claims: Claim, in_full_flow: bool = True) -> Sequence[Stretch]:
    """Where the claim after this one looks for what is of normal priority."""
    cursors.advance(LANE, claims, whole=False, took=0.0)
    stretches, _ = cursors.begin(LANE, in_full_flow=in_full_flow)
    return [stretch for stretch in stretches if stretch.priority == Priority.NORMAL]


def begun() -> Cursors:
    cursors = Cursors(whole_at_least=1e9)
    cursors.begin(LANE, in_full_flow=False)
    return cursors


def minute(stretch: Stretch) -> float | None:
    return stretch.reached and (stretch.reached.due_at - NOON) / timedelta(minutes=1)


def test_a_client_that_has_more_has_a_cursor_and_lies_between_stretches_of_others() -> None:
    found = looked(begun(), last(5, minute=1, more=True))

    assert [(each.low, each.high, minute(each)) for each in found] == [(5, LAST, None), (FIRST, 5, 1)]


def test_who_has_nothing_left_is_looked_for_from_where_all_others_are() -> None:
    cursors = begun()
    looked(cursors, last(5, minute=1, more=True), last(6, minute=2, more=True))

    found = looked(cursors, last(6, minute=3, more=False), last(5, minute=4, more=True))

    assert [(each.low, each.high, minute(each)) for each in found] == [(5, LAST, None), (FIRST, 5, 4)]
    assert {each.since for each in found} == {NOON + timedelta(minutes=3) - LOOK_BACK_IN_FLOW}


def test_a_claim_that_leaves_nothing_forgets_every_client() -> None:
    cursors = begun()
    looked(cursors, last(5, minute=1, more=True), last(6, minute=2, more=True))

    found = looked(cursors, last(1, minute=1, more=False), in_full_flow=False)

    assert found == [Stretch(1, FIRST, LAST, NOON + timedelta(minutes=2) - LOOK_BACK, None)]


def test_an_empty_claim_tells_nothing() -> None:
    cursors = begun()
    before = looked(cursors, last(5, minute=1, more=True))

    assert looked(cursors) == before


def test_what_a_look_from_the_start_found_takes_no_cursor_back() -> None:
    cursors = begun()
    looked(cursors, last(5, minute=9, more=True))

    assert [minute(each) for each in looked(cursors, last(5, minute=1, more=True))] == [None, 9]


def test_one_cursor_too_many_and_all_begin_again_where_the_first_has_come_to() -> None:
    cursors = begun()
    found = looked(cursors, *(last(client, minute=client, more=True) for client in range(1, MOST_CLIENTS + 1)))
    assert len(found) == MOST_CLIENTS + 1
    looked(cursors, last(0, minute=MOST_CLIENTS, more=False))  # nothing is known of them any more
    looked(cursors, *(last(client, minute=5000 + client, more=True) for client in range(1, MOST_CLIENTS + 2)))

    found = looked(cursors)

    assert [(each.low, each.high, each.reached) for each in found] == [(FIRST, LAST, None)]
    assert found[0].since == NOON + timedelta(minutes=MOST_CLIENTS) - LOOK_BACK_IN_FLOW


def test_whichever_priority_comes_first_all_are_looked_at() -> None:
    cursors = Cursors(whole_at_least=0.0)

    found = [cursors.begin(LANE, in_full_flow=True, first=first)[0] for first in Priority]

    assert [[stretch.priority for stretch in each] for each in found] == [[0, 1, 2], [1, 2, 0], [2, 1, 0]]
    assert all(set(each) == set(EVERYWHERE) and each[0].since == START.due_at for each in found)
