"""Wait for a condition, never for a time."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, sleep
from typing import TypeVar

Found = TypeVar("Found")


def eventually(
    condition: Callable[[], Found | None], *, seconds: float = 20, what: str | Callable[[], str] = ""
) -> Found:
    """What `condition` returns once it is true; AssertionError when `seconds` have passed without.

    `what` is the text of that error, or tells it (the log of a process, say, as it is by then).
    """
    until = monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if monotonic() > until:
            told = what() if callable(what) else what
            raise AssertionError(f"not within {seconds} s: {told or condition.__name__}; last seen: {found!r}")
        sleep(0.02)
