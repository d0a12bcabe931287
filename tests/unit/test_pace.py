from __future__ import annotations

import threading
from collections import Counter

import pytest

from notifications.pace import LARGEST_BATCH, QUICK_THREADS, SLOW_SEND, Pace
from notifications.states import Priority


def quick() -> Pace:
    pace = Pace()
    pace.sent(SLOW_SEND / 10)
    return pace


def test_a_lane_is_not_quick_before_a_send_has_shown_it() -> None:
    assert not Pace().quick
    assert quick().quick


def test_one_send_that_was_held_up_makes_no_lane_slow() -> None:
    pace = quick()
    pace.sent(2 * SLOW_SEND)
    assert pace.quick


@pytest.mark.parametrize("took", [0.1, 1.0, 10.0])
def test_one_send_to_a_slow_provider_makes_a_lane_slow(took: float) -> None:
    pace = quick()
    pace.sent(took)
    assert not pace.quick


def test_a_lane_that_was_slow_becomes_quick_again() -> None:
    pace = Pace()
    pace.sent(1.0)
    for _ in range(100):
        pace.sent(0.0001)
    assert pace.quick


def test_full_claims_of_a_quick_lane_grow_up_to_the_largest() -> None:
    pace, batch = quick(), 20
    seen = []
    for _ in range(4):
        pace.claimed(batch, full=True)
        seen.append(batch := pace.next_batch(20, one_by_one=False, in_full_flow=True))
    assert seen == [100, LARGEST_BATCH, LARGEST_BATCH, LARGEST_BATCH]

    pace.claimed(batch, full=False)
    assert pace.next_batch(20, one_by_one=False, in_full_flow=False) == 20


def test_a_slow_lane_is_claimed_as_its_channel_says() -> None:
    pace = Pace()
    pace.sent(1.0)
    pace.claimed(20, full=True)
    assert pace.next_batch(20, one_by_one=True, in_full_flow=True) == 20


def test_threads_begin_on_a_slow_lane_with_different_parts_of_a_batch() -> None:
    begun = {Pace().next_batch(20, one_by_one=True, in_full_flow=False) for _ in range(1000)}
    assert begun == set(range(1, 21))


def at_work(pace: Pace, threads: int) -> list[bool]:
    """Of so many threads at work at once, whether each is superfluous, in the order in which they came."""
    turns = [threading.Event() for _ in range(threads)]
    all_asked = threading.Barrier(threads)
    all_there = threading.Barrier(threads)

    def work(number: int) -> None:
        turns[number].wait(10)
        with pace.working():
            if number + 1 < threads:
                turns[number + 1].set()
            all_there.wait(10)
            superfluous = pace.superfluous
            all_asked.wait(10)
        results[number] = superfluous

    results: dict[int, bool] = {}
    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    turns[0].set()
    for worker in workers:
        worker.join()
    return [results[number] for number in range(threads)]


def test_a_slow_lane_has_use_for_every_thread() -> None:
    assert at_work(Pace(), 8) == [False] * 8


def test_of_a_quick_lane_s_threads_two_are_left_though_all_ask_at_once() -> None:
    pace = quick()
    assert at_work(pace, 8) == [False] * QUICK_THREADS + [True] * (8 - QUICK_THREADS)
    assert at_work(pace, 2) == [False, False]  # nothing is left of those before


def test_a_quick_lane_with_two_threads_wants_no_more() -> None:
    pace = quick()
    assert not pace.staffed
    with pace.working(), pace.working():
        assert pace.staffed
    assert not pace.staffed


def test_of_ten_claims_one_begins_with_what_is_normal_and_one_with_what_is_low() -> None:
    pace = Pace()
    turns = Counter(pace.turn() for _ in range(100))
    assert turns == {Priority.HIGH: 80, Priority.NORMAL: 10, Priority.LOW: 10}
