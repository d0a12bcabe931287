"""Breaks a process of ours at an exact step: it kills itself and everything of its group with SIGKILL.

The entries `breaking_worker` and `breaking_web` wrap one function of the service in it. Which one, and at which of its
calls, the environment says: NOTIFIER_TESTS_BREAK="<step>:<nth>".
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

VARIABLE: Final = "NOTIFIER_TESTS_BREAK"

Function = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Step:
    """A place to break: `owner.name` is wrapped; `counts(arguments, result)` tells calls that matter from others."""

    owner: Any
    name: str
    committed: bool  # False: its statement ran, and its transaction is open when the process dies
    counts: Callable[[tuple[Any, ...], Any], bool]
    first: Callable[[], None] = lambda: None  # what is waited for before dying


def install(steps: Mapping[str, Step]) -> None:
    """Wrap the step that the environment names."""
    name, _, nth = os.environ[VARIABLE].partition(":")
    step = steps[name]
    setattr(step.owner, step.name, _breaking(getattr(step.owner, step.name), step, _Countdown(int(nth))))


def die() -> None:
    os.killpg(0, signal.SIGKILL)  # the command that started us, too: as a machine takes everything with it
    signal.pause()


class _Countdown:
    def __init__(self, nth: int) -> None:
        self._left = nth
        self._lock = threading.Lock()

    def is_over(self) -> bool:
        with self._lock:
            self._left -= 1
            return self._left == 0


def _breaking(function: Function, step: Step, countdown: _Countdown) -> Function:
    def whole(*arguments: Any, **named: Any) -> Any:
        result = function(*arguments, **named)
        if step.counts(arguments, result) and countdown.is_over():
            step.first()
            die()
        return result

    def uncommitted(*arguments: Any, **named: Any) -> Any:
        from django.db import transaction

        with transaction.atomic():
            return whole(*arguments, **named)

    return whole if step.committed else uncommitted
