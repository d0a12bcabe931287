from __future__ import annotations

from uuid import UUID

from notifications.beating import BEAT_PATIENCE, Beats

FIRST, SECOND = UUID(int=1), UUID(int=2)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def tick(self, seconds: float) -> None:
        self.now += seconds


def test_a_worker_whose_beat_rises_is_alive() -> None:
    clock = Clock()
    beats = Beats(clock)
    for beat in range(5):
        assert beats.beating({FIRST: beat}) == 1
        clock.tick(60)


def test_a_worker_whose_beat_stands_still_is_not() -> None:
    clock = Clock()
    beats = Beats(clock)
    beats.beating({FIRST: 7, SECOND: 7})
    clock.tick(BEAT_PATIENCE.total_seconds())
    assert beats.beating({FIRST: 7, SECOND: 8}) == 1


def test_standing_still_is_counted_from_when_the_beat_was_first_seen() -> None:
    clock = Clock()
    beats = Beats(clock)
    for _ in range(int(BEAT_PATIENCE.total_seconds())):
        assert beats.beating({FIRST: 7}) == 1
        clock.tick(1)
    assert beats.beating({FIRST: 7}) == 0


def test_a_worker_that_is_gone_is_not_counted() -> None:
    beats = Beats(Clock())
    beats.beating({FIRST: 1, SECOND: 1})
    assert beats.beating({SECOND: 2}) == 1
