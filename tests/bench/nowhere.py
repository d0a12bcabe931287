"""A channel backend that takes every message and does nothing with it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from channels.contract import Backend, Message, Receipt, SettingProblem
from notifications import pace, recorder

_TAKEN = Receipt()


class Nowhere(Backend):
    name = "nowhere"
    send_timeout = timedelta(seconds=1)
    configured = True

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Nowhere:
        if largest := os.environ.get("BENCH_LARGEST_BATCH"):
            pace.LARGEST_BATCH = recorder.LARGEST_BATCH = int(largest)  # type: ignore[misc]  # to find the best one
        return cls()

    def problems(self) -> Sequence[SettingProblem]:
        return ()

    def validate(self, *, to: str, subject: str, body: str) -> str:
        return to

    @contextmanager
    def session(self) -> Iterator[Nowhere]:
        yield self

    def send(self, message: Message) -> Receipt:
        return _TAKEN
