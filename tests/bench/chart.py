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
    folder: Path = options.folder
    _draw(
        _by_size(results["results"]), folder / "by_batch_size.svg", "Throughput by size of the batch", "notifications/s"
    )
    _draw(
        _by_history(growth["growth"]),
        folder / "by_history.svg",
        "Throughput by finished notifications",
        "% of that with the fewest",
    )
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
    """Series → finished notifications → percent of the throughput with the fewest: the two are far apart."""
    named = {"drain": "drain to nowhere", "accept": "accept one at a time"}
    fewest = min(growth, key=lambda size: size["history"])
    return {
        words: {size["history"]: 100 * median(size[figure]) / median(fewest[figure]) for size in growth}
        for figure, words in named.items()
    }


def _draw(series: dict[str, dict[int, float]], path: Path, title: str, unit: str) -> None:
    chart = pygal.Bar(
        title=title,
        y_title=unit,
        style=CleanStyle(font_family="sans-serif", value_font_size=11),
        legend_at_bottom=True,
        print_values=True,
        print_values_position="top",
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
