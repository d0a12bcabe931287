"""The bench's own processes, web, workers, Postgres and brokers: what they hold, and what they have used so far."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

import psutil

KINDS: Final = {"granian": "web", "dramatiq": "workers", "postgres": "Postgres"}  # by a word of the command
BROKERS: Final = {"beam.smp": "RabbitMQ", "redis-server": "Redis"}
MB: Final = 1e6


def memory(kinds: Mapping[str, str] = KINDS) -> dict[str, float]:
    """MB by kind; pages that several share are counted once (a proportional part in each)."""
    held = dict.fromkeys(kinds.values(), 0.0)
    for kind, size in _each(kinds, lambda child: child.memory_full_info().pss):
        held[kind] += size / MB
    return held


def sessions() -> list[float]:
    """MB that each of Postgres' client sessions has to itself."""
    return [
        child.memory_full_info().uss / MB
        for child in psutil.Process().children(recursive=True)
        if (command := " ".join(child.cmdline())).startswith("postgres: ") and "[local]" in command
    ]


def processor(kinds: Mapping[str, str] = KINDS) -> dict[str, float]:
    """Seconds by kind, with those of children that have ended."""
    used = dict.fromkeys(kinds.values(), 0.0)
    for kind, seconds in _each(kinds, lambda child: sum(child.cpu_times()[:4])):
        used[kind] += seconds
    return used


def _each(kinds: Mapping[str, str], look: Callable[[psutil.Process], float]) -> Iterator[tuple[str, float]]:
    for child in psutil.Process().children(recursive=True):
        try:
            command = " ".join(child.cmdline())
            kind = next((kind for word, kind in kinds.items() if word in command), "")
            if kind:
                yield kind, look(child)
        except psutil.NoSuchProcess:
            continue
