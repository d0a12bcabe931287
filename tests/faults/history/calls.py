"""What clients did and were told: the only witness of what was promised to them."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from time import monotonic


@dataclass(frozen=True)
class Call:
    """One request and its answer. `status` None: none came, and the client cannot know what became of it."""

    client: int
    key: str
    text: str  # what was asked for under the key
    began: float  # seconds of one clock for all
    ended: float
    status: int | None
    replayed: bool = False
    body: bytes = b""
    location: str = ""


class History:
    def __init__(self) -> None:
        self._calls: list[Call] = []
        self._lock = threading.Lock()

    def add(self, call: Call) -> None:
        with self._lock:
            self._calls.append(call)

    @property
    def calls(self) -> list[Call]:
        with self._lock:
            return list(self._calls)

    def count(self, status: int | None) -> int:
        return sum(call.status == status for call in self.calls)


def now() -> float:
    return monotonic()
