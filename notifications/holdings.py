"""What the threads of this process hold, against which the relay holds what the database says they do.

A claim can commit and its answer be lost with the connection: the row bears this worker's id, and no thread knows it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from uuid import UUID

from notifications.outbox.claim import Claim

Key = tuple[UUID, int]  # notification, attempt


class Holdings:
    """Shared by the threads of one worker process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tickets = count()
        self._claiming: set[int] = set()
        self._held: set[Key] = set()
        self._suspects: dict[Key, frozenset[int]] = {}

    @contextmanager
    def claiming(self) -> Iterator[None]:
        """Around a claim statement and the `take` of what it returned."""
        with self._lock:
            ticket = next(self._tickets)
            self._claiming.add(ticket)
        try:
            yield
        finally:
            with self._lock:
                self._claiming.discard(ticket)

    def take(self, claims: Iterable[Claim]) -> None:
        with self._lock:
            self._held.update((claim.id, claim.attempt) for claim in claims)

    def drop(self, claims: Iterable[Claim]) -> None:
        """What was recorded, or is no longer ours."""
        with self._lock:
            self._held.difference_update((claim.id, claim.attempt) for claim in claims)

    def abandoned(self, in_database: Mapping[UUID, int]) -> set[Key]:
        """Of the claims that the database says are ours, those that no thread has or can still come to have.

        A row not held may be the answer of a claim statement under way; it is abandoned only once every statement
        that was under way when it was first seen has ended. (One that was recorded since the database was read looks
        abandoned too; taking it back under its attempt number does nothing.)
        """
        with self._lock:
            under_way = frozenset(self._claiming)
            self._suspects = {
                key: self._suspects.get(key, under_way) & under_way
                for key in in_database.items()
                if key not in self._held
            }
            return {key for key, tickets in self._suspects.items() if not tickets}
