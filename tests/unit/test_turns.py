"""Lanes that wait for a moment are woken then, and once."""

from __future__ import annotations

from statistics import median
from time import monotonic

from notifications.turns import Turns
from tests.eventually import eventually


def test_lanes_are_woken_in_their_order_to_the_hundredth_and_never_early() -> None:
    woken: list[tuple[str, float]] = []
    turns = Turns(lambda lane: woken.append((lane, monotonic())))
    due = {f"lane {n}": monotonic() + n / 20 for n in range(1, 10)}

    for lane, at in reversed(due.items()):
        turns.ask(lane, at - monotonic())
    eventually(lambda: len(woken) == len(due), what="all woken")

    assert [lane for lane, _ in woken] == list(due)
    late = [at - due[lane] for lane, at in woken]
    assert min(late) >= 0
    assert median(late) < 0.01, "of nine: one of them may find the machine busy"


def test_of_two_times_for_one_lane_the_earlier_counts_alone() -> None:
    woken: list[str] = []
    turns = Turns(woken.append)

    turns.ask("slack:ops", 0.2)
    turns.ask("slack:ops", 0.05)
    turns.ask("slack:ops", 0.1)
    turns.ask("the last", 0.3)
    eventually(lambda: "the last" in woken, what="the last")

    assert woken == ["slack:ops", "the last"]
