"""What people use instead, each at its best sensible settings; a peer is one file or folder and knows nothing of us.

Every peer gets a database, and where it needs one a Redis, of its own. It may be used again and again: `fill`, then
`working`, then `fill` anew. Its code runs in processes of its own, so that nobody's settings or imports meet.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Protocol


class Unavailable(Exception):
    """Raised when a peer cannot run on this machine; says in one sentence what is missing."""


class Drains(Protocol):
    """A queue that empties itself. Jobs per second is `count` by the time from `begun` to `done`."""

    name: str

    def fill(self, count: int) -> None:
        """Make the schema where there is none, empty the store, and enqueue `count` no-ops while nothing runs."""

    def working(self) -> AbstractContextManager[None]:
        """Two worker processes; at the end they are stopped and waited for."""

    def begun(self) -> bool:
        """Whether at least one is finished. Cheap: may be asked every few milliseconds.

        Raises: RuntimeError where a worker has ended.
        """

    def done(self) -> bool:
        """Whether all are finished and the store says so. As cheap, and raises the same."""


class Serves(Protocol):
    """A web server that takes a POST of JSON {"channel", "to", "message"} and answers 202."""

    name: str
    keyed: bool  # whether each request must bring an Idempotency-Key of its own

    @property
    def headers(self) -> Mapping[str, str]:
        """What each request must bring besides."""

    def serving(self, port: int) -> AbstractContextManager[str]:
        """Its URL, once it answers; the store is empty. At the end the server is stopped and waited for."""


class Enqueues(Protocol):
    """A library's own way to enqueue many at once."""

    name: str

    def enqueue(self, count: int, size: int) -> float:
        """Seconds for `count` into an empty store, `size` at a time, without the start of a process."""
