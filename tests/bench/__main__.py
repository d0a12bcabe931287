"""`make bench`: us and what people use instead, in turn on this machine, as one table and bench.json.

Rounds alternate and figures are medians; quote ratios, for absolute figures are this machine's and this hour's.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.bench import report, servers
from tests.bench.parts import LONG, PARTS
from tests.bench.sides import Bench


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="smaller loads and three runs: a look after a change")
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--runs", type=int, help="of each side (default: 5, quick 3)")
    parser.add_argument("--output", type=Path, default=Path("bench.json"))
    options = parser.parse_args()
    parts = options.only or [part for part in PARTS if not (options.quick and part in LONG)]

    console = Console()
    results: list[report.Result] = []
    columns = (BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with (
        servers.postgres() as postgres,
        servers.redis() as redis,
        Progress(*columns, console=console, transient=True) as progress,
    ):
        bench = Bench(postgres, redis, options.runs or (3 if options.quick else 5), options.quick, progress)
        for name in parts:
            found = list(PARTS[name](bench))
            results += found
            report.show(found, console)
            report.write(results, options.output)
    report.show(results, console)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except pytest.skip.Exception as missing:  # how the tests say that a server is not installed
        sys.exit(str(missing))
