"""The worker's entry, for one that dies at an exact step: `dramatiq tests.faults.breaking_worker`."""

from __future__ import annotations

from typing import Any

from notifier.worker import broker as broker  # first: it reads the settings as a worker's
from tests.faults import breaking
from tests.faults.breaking import Step

from notifications import delivery, recorder, sending  # isort: skip


def has_rows(_: tuple[Any, ...], claims: list[Any]) -> bool:
    return bool(claims)


def has_results(arguments: tuple[Any, ...], _: Any) -> bool:
    return bool(arguments[0])


def always(_: tuple[Any, ...], __: Any) -> bool:
    return True


STEPS = {
    "claim executed": Step(delivery, "claim", committed=False, counts=has_rows),
    "claim committed": Step(delivery, "claim", committed=True, counts=has_rows),
    "provider answered": Step(sending, "send", committed=True, counts=always),
    "record executed": Step(recorder, "record", committed=False, counts=has_results),
    "record committed": Step(recorder, "record", committed=True, counts=has_results),
}
breaking.install(STEPS)
