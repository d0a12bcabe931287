from __future__ import annotations

import threading
from collections import Counter
from contextlib import ExitStack

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


def test_full_claims_of_a_quick_lane_double_up_to_the_largest() -> None:
    pace, batch = quick(), 20
    seen = []
    for _ in range(7):
        pace.claimed(batch, full=True)
        seen.append(batch := pace.batch)
    assert seen == [40, 80, 160, 320, LARGEST_BATCH, LARGEST_BATCH, LARGEST_BATCH]

    pace.claimed(batch, full=False)
    assert pace.batch == 0


def test_a_slow_lane_is_claimed_as_its_channel_says() -> None:
    pace = Pace()
    pace.sent(1.0)
    pace.claimed(20, full=True)
    assert pace.batch == 0


def test_a_slow_lane_keeps_every_thread() -> None:
    pace = Pace()
    with ExitStack() as stack:
        places = [stack.enter_context(pace.working()) for _ in range(8)]
        assert not any(place.left_if_crowded() for place in places)
        assert not pace.staffed


def test_of_a_quick_lane_s_threads_all_but_two_go_however_they_ask() -> None:
    pace = quick()
    left: list[bool] = []
    start = threading.Barrier(8)

    def work() -> None:
        with pace.working() as place:
            start.wait()
            left.append(place.left_if_crowded())
            start.wait()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(left) == [False] * QUICK_THREADS + [True] * (8 - QUICK_THREADS)
    with pace.working() as place:
        assert not place.left_if_crowded()  # those that left are not counted twice


def test_of_ten_claims_one_begins_with_what_is_normal_and_one_with_what_is_low() -> None:
    pace = Pace()
    turns = Counter(pace.turn() for _ in range(100))
    assert turns == {Priority.HIGH: 80, Priority.NORMAL: 10, Priority.LOW: 10}
