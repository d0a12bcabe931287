"""A figure of ours beside a peer's: medians of alternating runs, their ratio, the goal."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Result:
    """`goal`: of the ratio, or of our own figure where there is no peer; None where it only informs."""

    name: str
    unit: str
    ours: Sequence[float]  # one figure for each run
    peer_name: str = ""
    peer: Sequence[float] = ()
    goal: float | None = None
    at_most: bool = False  # whether less is better

    @property
    def ratio(self) -> float | None:
        return median(self.ours) / median(self.peer) if self.peer and median(self.peer) else None

    @property
    def met(self) -> bool | None:
        if self.goal is None:
            return None
        judged = median(self.ours) if self.ratio is None else self.ratio
        return judged <= self.goal if self.at_most else judged >= self.goal

    def as_json(self) -> dict[str, object]:
        return {
            "name": self.name,
            "ours": _rounded(median(self.ours)),
            "peer": _rounded(median(self.peer)) if self.peer else None,
            "peer_name": self.peer_name,
            "unit": self.unit,
            "ratio": None if self.ratio is None else round(self.ratio, 3),
            "goal": self.goal,
            "met": self.met,
            "runs": {
                "ours": [_rounded(figure) for figure in self.ours],
                "peer": [_rounded(figure) for figure in self.peer],
            },
        }


def show(results: Sequence[Result], console: Console) -> None:
    table = Table("work", "ours", "against", "theirs", "ratio", "goal", "")
    for result in results:
        sign = "≤" if result.at_most else "≥"
        table.add_row(
            f"{result.name} ({result.unit})",
            shown(result.ours),
            result.peer_name,
            shown(result.peer) if result.peer else "",
            "" if result.ratio is None else f"{result.ratio:.2f}",
            "" if result.goal is None else f"{sign} {result.goal:g}",
            {True: "met", False: "not met", None: ""}[result.met],
        )
    console.print(table)


def write(results: Sequence[Result], path: Path) -> None:
    document = {"machine": machine(), "results": [result.as_json() for result in results]}
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def machine() -> dict[str, object]:
    return {
        "cpus": os.cpu_count(),
        "architecture": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def shown(figures: Sequence[float]) -> str:
    least, most = min(figures), max(figures)
    spread = "" if len(figures) == 1 else f"\n{_number(least)} … {_number(most)}"
    return f"{_number(median(figures))}{spread}"


def _number(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"


def _rounded(figure: float) -> float:
    return round(figure) if figure >= 1000 else float(f"{figure:.4g}")
