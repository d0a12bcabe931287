"""`make bench-capacity`: what each notification costs each part, and whether a model of that tells of another load.

Writes docs/performance/capacity.json. What follows from it is told by docs/scaling.md, which a test holds to it.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from tests.bench import report, servers
from tests.bench.capacity.measuring import LATENCY, live, measure, serving
from tests.bench.capacity.model import Constants, Cost, Load, spent
from tests.bench.capacity.telling import MEASURED, PARTS
from tests.bench.ours import PROCESSES

CHECKED_AT: Final = 300.0  # a second: nothing was measured there


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20, help="of each load")
    parser.add_argument("--output", type=Path, default=MEASURED)
    options = parser.parse_args()

    console = Console()
    with servers.postgres() as postgres:
        constants = measure(postgres, console, seconds=options.seconds)
        _show_constants(constants, console)
        with serving(postgres, "checking") as (outbox, url), console.status("the point to be checked"):
            live(outbox, url, 3, rate=CHECKED_AT)
            cost, took, count = live(outbox, url, options.seconds, rate=CHECKED_AT)
    checked = Load(count / took, latency=LATENCY, lanes=1)
    foretold = spent(checked, constants, webs=PROCESSES, workers=PROCESSES)
    measured = cost * (1 / took)
    _show_check(checked, foretold, measured, console)
    document = {
        "machine": report.machine(),
        "constants": asdict(constants),
        "checked": {"rate": checked.rate, "foretold": asdict(foretold), "measured": asdict(measured)},
    }
    options.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 0


def _show_constants(constants: Constants, console: Console) -> None:
    table = Table("", *PARTS.values())
    others = Table("", "")
    for name, value in asdict(constants).items():
        if isinstance(value, dict):
            table.add_row(name, *(f"{value[part]:,.0f}" for part in PARTS))
        else:
            others.add_row(name, f"{value:,.1f}")
    console.print(table, others)


def _show_check(load: Load, foretold: Cost, measured: Cost, console: Console) -> None:
    table = Table(f"each second at {load.rate:,.0f}/s", "foretold", "measured", "ratio")
    for part, name in PARTS.items():
        said, was = asdict(foretold)[part], asdict(measured)[part]
        table.add_row(name, f"{said:,.0f}", f"{was:,.0f}", f"{said / was:.2f}")
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
