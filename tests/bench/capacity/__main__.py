"""`make bench-capacity`: what each notification costs each part, and whether a model of that foretells other loads.

Writes docs/performance/capacity.json. What follows from it is told by docs/scaling.md, which a test holds to it.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench import report, servers
from tests.bench.capacity.measuring import measure
from tests.bench.capacity.model import Constants, Cost, spent
from tests.bench.capacity.telling import COSTS, MEASURED, PARTS
from tests.bench.ours import PROCESSES


@dataclass(frozen=True)
class Check:
    """Each second, at what the load came to."""

    rate: float
    batch: int
    foretold: Cost
    measured: Cost


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10, help="of each load, in each of three rounds")
    parser.add_argument("--output", type=Path, default=MEASURED)
    options = parser.parse_args()

    console = Console()
    with servers.postgres() as postgres:
        constants, measured = measure(postgres, console, seconds=options.seconds)
    _show_constants(constants, console)
    checks = [
        Check(load.rate, load.batch, spent(load, constants, webs=PROCESSES, workers=PROCESSES), second)
        for load, second in measured
    ]
    for check in checks:
        _show_check(check, console)
    document = {
        "machine": report.machine(),
        "constants": asdict(constants),
        "checks": [asdict(check) for check in checks],
    }
    options.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 0


def _show_constants(constants: Constants, console: Console) -> None:
    table = Table("", *PARTS.values())
    others = Table("", "")
    for each in constants.singly:
        table.add_row(f"one by one, {PROCESSES * each.rate:,.0f}/s", *_figures(each.each))
    for name in COSTS:
        table.add_row(name, *_figures(getattr(constants, name)))
    for name, value in asdict(constants).items():
        if isinstance(value, float):
            others.add_row(name, f"{value:,.1f}")
    for broker, known in constants.brokers.items():
        others.add_row(f"{broker}: each, second, MB", f"{known.each:,.0f}, {known.second:,.0f}, {known.memory:,.0f}")
    console.print(table, others)


def _figures(cost: Cost) -> list[str]:
    return [f"{getattr(cost, part):,.0f}" for part in PARTS]


def _show_check(check: Check, console: Console) -> None:
    head = f"each second at {check.rate:,.0f}/s, {check.batch} in a request"
    table = Table(head, "foretold", "measured", "ratio")
    for part, name in PARTS.items():
        said, was = getattr(check.foretold, part), getattr(check.measured, part)
        table.add_row(name, f"{said:,.0f}", f"{was:,.0f}", f"{said / was:.2f}")
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
