"""Sides compared run after run, in another order each time, so that none has the quiet moments to itself."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from rich.progress import Progress, TaskID

from tests.bench.servers import Postgres

Figure = TypeVar("Figure")


@dataclass
class Bench:
    """What every part is given."""

    postgres: Postgres
    redis: str  # URL
    runs: int
    quick: bool  # smaller loads, for a look after a change
    progress: Progress
    task: TaskID = field(init=False)

    def __post_init__(self) -> None:
        self.task = self.progress.add_task("", total=0)

    def rounds(self, part: str, sides: Mapping[str, Callable[[], Figure]]) -> dict[str, list[Figure]]:
        """One figure of each side for each run, sides in a random order each time."""
        self.progress.update(self.task, total=(self.progress.tasks[0].total or 0) + self.runs * len(sides))
        found: dict[str, list[Figure]] = {name: [] for name in sides}
        for number in range(1, self.runs + 1):
            for name in random.sample(list(sides), len(sides)):
                self.progress.update(self.task, description=f"{part}: {name}, run {number} of {self.runs}")
                self.postgres.settle()
                found[name].append(sides[name]())
                self.progress.advance(self.task)
        return found
