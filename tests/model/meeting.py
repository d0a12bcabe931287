"""Two actions at once: the first has done its work and not yet committed when the second begins."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillRunning
from dataclasses import replace
from time import monotonic
from typing import Final, TypeVar

from django.db import connection, transaction

from notifications.outbox.statement import run

from .actions import NOBODY, Action
from .promises import Broken, must_be, must_say
from .state import State

PATIENCE: Final = 20.0  # seconds, far longer than anything here takes
LOOK_EVERY: Final = 0.001  # seconds

# pg_locks, because within a transaction pg_stat_activity shows only what it first showed. Rows: (whether).
_WAITS_FOR_US: Final = """
SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid)))
"""

First = TypeVar("First")
Other = TypeVar("Other")


class Meeting:
    """Keeps a second thread, and so a second connection."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)

    def close(self) -> None:
        self._thread.submit(lambda: connection.close()).result(PATIENCE)  # not ours: the proxy is asked there
        self._thread.shutdown()

    def of(self, first: Callable[[], First], other: Callable[[], Other], *, commits: bool) -> tuple[First, Other, bool]:
        """Both answers, and whether the other waited for the first to commit or to be rolled back."""
        second: Future[Other] | None = None
        try:
            with transaction.atomic():
                answer = first()
                second = self._thread.submit(other)
                waited = _waits(second)
                transaction.set_rollback(not commits)
        finally:
            if second is not None:
                second.exception(PATIENCE)  # whatever became of it, it is over
        return answer, second.result(), waited


def judge(
    first: Action,
    other: Action,
    before: State,
    after: State,
    said: object,
    answer: object,
    *,
    commits: bool,
    waited: bool,
) -> None:
    """Each notification must have come out as if one had come after the other.

    Who passes rows over must not wait for them, and passes over just those that the first has locked. Raises: Broken.
    """
    if waited and not other.waits:
        raise Broken(f"{other} waited for {first}")
    must_say(first.must(before)[1], said)
    passed = NOBODY if waited else first.locks(before)
    alone, told_alone = other.must(before, passed)
    if not commits:
        must_be(alone, after)
        must_say(told_alone, answer)
        return
    second, told_second = other.must(first.must(before)[0], passed)
    reverse, _ = first.must(alone)
    must_be(_nearest(after, second, reverse), after)
    if answer != told_second:
        must_say(told_alone, answer)


def _nearest(after: State, one: State, other: State) -> State:
    """Of two expected states the parts that came true, and of the first what neither says."""
    rows = {
        id_: other.rows[id_] if id_ in other.rows and after.rows.get(id_) == other.rows[id_] else row
        for id_, row in one.rows.items()
    }
    keys = other.keys if after.keys == other.keys else one.keys
    beats = other.beats if after.beats == other.beats else one.beats
    purged = other.purged if after.purged == other.purged else one.purged
    return replace(one, rows=rows, keys=keys, beats=beats, purged=purged)


def _waits(second: Future[Other]) -> bool:
    until = monotonic() + PATIENCE
    while monotonic() < until:
        try:
            second.exception(LOOK_EVERY)
        except StillRunning:
            if run(_WAITS_FOR_US, {})[0][0]:
                return True
        else:
            return False
    raise AssertionError("the second neither ended nor waited for the first")
