"""A second connection to the test's database, for what two of them do to each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final, TypeVar

from django.db import connection, transaction

from tests.eventually import eventually

Result = TypeVar("Result")
PATIENCE: Final = 20.0  # seconds, far longer than anything here takes

# pg_locks, because within a transaction pg_stat_activity shows only what it first showed.
_WAITING_FOR_US: Final = """
SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))
"""


class Second:
    """Runs what it is given in a thread of its own, and so on a connection of its own."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)

    def begin(self, work: Callable[[], Result]) -> Future[Result]:
        return self._pool.submit(work)

    def run(self, work: Callable[[], Result]) -> Result:
        return self.begin(work).result(PATIENCE)

    def close(self) -> None:
        self.run(lambda: connection.close())  # not ours: the proxy is asked there
        self._pool.shutdown()

    @contextmanager
    def overtaken_by(self, work: Callable[[], Result]) -> Iterator[Future[Result]]:
        """The block is a transaction; `work` begins after its statements, waits for its locks, and ends after it."""
        with transaction.atomic():
            later: Future[Result] = Future()
            yield later
            begun = self.begin(work)
            eventually(lambda: begun.done() or somebody_waits_for_us(), what="the second waits for the first")
            assert not begun.done(), f"it did not wait: {begun.result()!r}"
        later.set_result(begun.result(PATIENCE))


def somebody_waits_for_us() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(_WAITING_FOR_US)
        return bool(cursor.fetchone()[0])
