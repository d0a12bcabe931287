"""What this process counts for the charts, minute by minute, and the thread that adds it to the database's own.

In the web server that thread starts with the first thing counted: the process may be forked after its import. While the
database is away what was counted is kept, for some minutes: charts are no books, and memory is not theirs to fill.
"""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from multiprocessing.util import Finalize
from time import time
from typing import Final

import structlog
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections
from django.db import Error as DatabaseError

from channels.registry import MARK, open_channels, twins
from notifications.outbox import tallies
from notifications.outbox.tallies import Key

WRITE_EVERY: Final = 5.0  # seconds that a chart is late at most
KEPT_FOR: Final = 10  # minutes, while it cannot be written

log = structlog.get_logger(__name__)


class Tally:
    """Of one process; one without a `thread` is written by whoever has it."""

    def __init__(self, *, thread: bool = True) -> None:
        self._threaded = thread
        self._counts: defaultdict[Key, int] = defaultdict(int)
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._owner = 0  # process id of the thread: a forked child has none yet
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._sampled = 0  # the minute that this process last looked for a sample of

    def add(self, channel: str, kind: str, code: str = "", count: int = 1) -> None:
        """Costs no statement, and raises nothing."""
        key = int(time()) // 60, channel, kind, code
        with self._lock:
            self._counts[key] += count
        if self._threaded and self._owner != os.getpid():
            self.start()

    def take(self) -> dict[Key, int]:
        """What was added since the last time."""
        with self._lock:
            taken, self._counts = self._counts, defaultdict(int)
        return dict(taken)

    def start(self) -> None:
        """Start the thread, if this process has none."""
        with self._lock:
            if self._owner == os.getpid():
                return
            self._owner = os.getpid()
            self._stop = threading.Event()
            self._thread = threading.Thread(target=self._run, name="tally", daemon=True)
        self._thread.start()
        Finalize(
            None, self.stop, exitpriority=0
        )  # at the end of a child of a web server, too, where no atexit is heard

    def stop(self) -> None:
        """Write what is left, and no more."""
        self._stop.set()
        if self._thread is not None and self._thread.is_alive():
            self._thread.join(timeout=5)

    def write(self) -> bool:
        """Write what there is; False where the database is away, and then it is kept."""
        with self._writing:
            taken = self.take()
            if not taken:
                return True
            try:
                tallies.add(taken)
            except DatabaseError as error:
                log.warning("tally.kept", counts=len(taken), error=type(error).__name__)
                self._keep(taken)
                return False
        return True

    def _keep(self, taken: dict[Key, int]) -> None:
        oldest = int(time()) // 60 - KEPT_FOR
        with self._lock:
            for key, count in taken.items():
                if key[0] > oldest:
                    self._counts[key] += count

    def _run(self) -> None:
        stop = self._stop
        while True:
            last = stop.wait(WRITE_EVERY)
            try:
                if self.write() and not last:
                    self._sample()
            except DatabaseError as error:
                log.warning("tally.not_sampled", error=type(error).__name__)
            except Exception:
                log.exception("tally.unexpected")  # our bug; whoever is counted must not notice
            finally:
                connections[DEFAULT_DB_ALIAS].close()  # to the pool, or for good: nothing is kept for a few rows
            if last:
                return

    def _sample(self) -> None:
        minute = int(time()) // 60
        if minute == self._sampled:
            return
        tallies.sample([*open_channels(), *(MARK + name for name in twins())])
        self._sampled = minute


_tally: Final = Tally()
stop: Final = _tally.stop


def add(channel: str, kind: str, code: str = "", count: int = 1) -> None:
    """Where tallies are kept."""
    if getattr(settings, "TALLIES", True):
        _tally.add(channel, kind, code, count)


def start() -> None:
    """Where tallies are kept: for a process that has samples to take before it counts anything."""
    if getattr(settings, "TALLIES", True):
        _tally.start()
