from __future__ import annotations

import threading

from notifications.bulkhead import Bulkhead
from tests.eventually import eventually


class Busy:
    """Threads inside a bulkhead that stay until told to go."""

    def __init__(self, bulkhead: Bulkhead) -> None:
        self._bulkhead = bulkhead
        self._go = threading.Event()
        self._threads: list[threading.Thread] = []
        self.inside = 0
        self.turned_away = 0

    def enter(self, lane: str) -> None:
        def work() -> None:
            self.inside += 1
            self._go.wait(10)

        def run() -> None:
            if not self._bulkhead.run(lane, work):
                self.turned_away += 1

        before = self.inside + self.turned_away
        thread = threading.Thread(target=run)
        self._threads.append(thread)
        thread.start()
        eventually(lambda: self.inside + self.turned_away > before)

    def leave(self) -> None:
        self._go.set()
        for thread in self._threads:
            thread.join(10)


def test_a_channel_gets_its_share_and_no_more() -> None:
    busy = Busy(Bulkhead(threads=6, channels=3))
    for _ in range(3):
        busy.enter("sms")
    busy.enter("email")

    assert (busy.inside, busy.turned_away) == (3, 1)
    busy.leave()


def test_a_destination_leaves_room_for_the_others_of_its_channel() -> None:
    busy = Busy(Bulkhead(threads=4, channels=1))
    for _ in range(3):
        busy.enter("slack:slow")
    busy.enter("slack:quick")

    assert (busy.inside, busy.turned_away) == (3, 1)
    busy.leave()


def test_all_tests_together_have_a_few_threads_and_take_none_of_a_live_channel() -> None:
    busy = Busy(Bulkhead(threads=16, channels=2))
    for lane in ("~test:slack:a", "~test:slack:b", "~test:sms"):
        busy.enter(lane)
    assert (busy.inside, busy.turned_away) == (2, 1)

    for _ in range(8):
        busy.enter("sms")
    assert (busy.inside, busy.turned_away) == (10, 1)
    busy.leave()


def test_where_a_channel_has_one_thread_tests_have_another() -> None:
    busy = Busy(Bulkhead(threads=1, channels=1))
    busy.enter("~test:sms")
    busy.enter("sms")

    assert (busy.inside, busy.turned_away) == (2, 0)
    busy.leave()


def test_who_was_turned_away_is_not_forgotten() -> None:
    bulkhead = Bulkhead(threads=1, channels=1)
    runs = []

    def work() -> None:
        runs.append(len(runs))
        if len(runs) == 1:
            assert not bulkhead.run("sms", work)  # a nudge that comes while the only room is taken

    assert bulkhead.run("sms", work)
    assert runs == [0, 1]


def test_a_failure_gives_the_room_back() -> None:
    bulkhead = Bulkhead(threads=1, channels=1)

    def fail() -> None:
        raise ZeroDivisionError

    for _ in range(3):
        try:
            bulkhead.run("sms", fail)
        except ZeroDivisionError:
            continue
    assert bulkhead.run("sms", lambda: None)


def test_a_backend_leaves_room_for_the_others_of_its_channel() -> None:
    busy = Busy(Bulkhead(threads=8, channels=2, with_backups={"sms"}))
    for lane in ("sms", "sms", "sms", "sms@spare", "sms@spare", "email", "email", "email"):
        busy.enter(lane)

    assert (busy.inside, busy.turned_away) == (7, 1)  # two and two of sms, and all that email wants
    busy.leave()
