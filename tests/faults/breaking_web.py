"""The web server's entry, for one that dies at an exact step of accepting: `granian … tests.faults.breaking_web`."""

from __future__ import annotations

import threading
from typing import Any
from uuid import UUID

from notifier.wsgi import application as application  # first: it sets Django up
from tests.faults import breaking
from tests.faults.breaking import Step

from notifications import nudge, services  # isort: skip
from notifications.outbox import accept  # isort: skip

_nudged = threading.Event()
_send = nudge.Nudger._send


def _noted_send(self: nudge.Nudger, lane: str) -> None:
    _send(self, lane)
    _nudged.set()


def await_nudge() -> None:
    # Another thread sends it, and whoever accepts does not wait for that: here it must have left before we die.
    assert _nudged.wait(10)


def is_new(_: tuple[Any, ...], inserted: set[UUID]) -> bool:
    return bool(inserted)


def is_no_replay(_: tuple[Any, ...], accepted: services.Accepted) -> bool:
    return not accepted.replayed


STEPS = {
    "before commit": Step(accept, "insert", committed=False, counts=is_new),
    "after commit": Step(accept, "insert", committed=True, counts=is_new),
    "after nudge": Step(services, "accept", committed=True, counts=is_no_replay, first=await_nudge),
}
nudge.Nudger._send = _noted_send  # type: ignore[method-assign]
breaking.install(STEPS)
