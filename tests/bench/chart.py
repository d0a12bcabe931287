"""Throughput by the size of a batch and by history, drawn from what the bench has measured.

python -m tests.bench.chart bench.json bench-growth.json docs/performance
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from statistics import median
from typing import Any

import pygal
from pygal.style import CleanStyle

from tests.bench.parts.sizes import ACCEPT, DRAIN


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.chart", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bench", type=Path)
    parser.add_argument("growth", type=Path)
    parser.add_argument("folder", type=Path, help="where by_batch_size.svg and by_history.svg are written")
    options = parser.parse_args()
    results, growth = (json.loads(path.read_text(encoding="utf-8")) for path in (options.bench, options.growth))
    options.folder.mkdir(parents=True, exist_ok=True)
    _draw(_by_size(results["results"]), options.folder / "by_batch_size.svg", "Throughput by size of the batch")
    _draw(_by_history(growth["growth"]), options.folder / "by_history.svg", "Throughput by rows of history")
    return 0


def _by_size(results: list[dict[str, Any]]) -> dict[str, dict[int, float]]:
    """Series → size → notifications/s."""
    series: dict[str, dict[int, float]] = {}
    for result in results:
        name, _, size = result["name"].rpartition(", ")
        if name in (ACCEPT, DRAIN):
            series.setdefault(name, {})[int(size)] = result["ours"]
    return series


def _by_history(growth: list[dict[str, Any]]) -> dict[str, dict[int, float]]:
    named = {"drain": "drain to nowhere", "accept": "accept one at a time"}
    return {words: {size["history"]: median(size[figure]) for size in growth} for figure, words in named.items()}


def _draw(series: dict[str, dict[int, float]], path: Path, title: str) -> None:
    chart = pygal.Bar(
        title=title,
        y_title="notifications/s",
        style=CleanStyle(font_family="sans-serif"),
        legend_at_bottom=True,
        print_values=True,
        value_formatter=lambda rate: "" if rate is None else f"{rate:,.0f}",
        js=[],  # a picture, which fetches nothing
        width=900,
        height=420,
    )
    sizes = sorted({size for values in series.values() for size in values})
    chart.x_labels = [f"{size:,}" for size in sizes]
    for name, values in series.items():
        chart.add(name, [values.get(size) for size in sizes])
    path.write_bytes(chart.render())


if __name__ == "__main__":
    sys.exit(main())
