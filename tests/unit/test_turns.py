"""Lanes that wait for a moment are woken then, and once."""

from __future__ import annotations

from time import monotonic

from notifications.turns import Turns
from tests.eventually import eventually


def test_a_lane_is_woken_at_its_time_to_the_hundredth() -> None:
    woken: list[tuple[str, float]] = []
    turns = Turns(lambda lane: woken.append((lane, monotonic())))
    began = monotonic()

    turns.ask("later", 0.3)
    turns.ask("sooner", 0.1)
    eventually(lambda: len(woken) == 2, what="both woken")

    assert [lane for lane, _ in woken] == ["sooner", "later"]
    assert 0.1 <= woken[0][1] - began < 0.2
    assert 0.3 <= woken[1][1] - began < 0.4


def test_of_two_times_for_one_lane_the_earlier_counts_alone() -> None:
    woken: list[str] = []
    turns = Turns(woken.append)

    turns.ask("slack:ops", 0.2)
    turns.ask("slack:ops", 0.05)
    turns.ask("slack:ops", 0.1)
    turns.ask("the last", 0.3)
    eventually(lambda: "the last" in woken, what="the last")

    assert woken == ["slack:ops", "the last"]
