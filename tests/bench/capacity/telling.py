"""The tables of docs/scaling.md, from what was measured: a test holds the page to them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tests.bench.capacity.model import Constants, Cost, Load, Plan, plan

MEASURED: Final = Path(__file__).resolve().parents[3] / "docs" / "performance" / "capacity.json"
MINUTE: Final = 60.0
COSTS: Final = {
    "accept_one": "accepted by a request of its own",
    "accept_in_batch": "… by one of a hundred",
    "dispatch": "claimed with others, sent by HTTP, recorded",
    "wake": "a wake-up, whether for one or for many",
    "purge": "deleted at the end, with its attempt and key",
    "web_second": "a second of an idle web process",
    "worker_second": "… of an idle worker process",
}
PARTS: Final = {
    "web": "processor of the web, µs",
    "worker": "of the workers, µs",
    "database": "of Postgres, µs",
    "wal": "WAL, bytes",
}
LOADS: Final = {
    "1,000 a minute": Load(1_000 / MINUTE),
    "100,000 a minute": Load(100_000 / MINUTE),
    "… a hundred in a request": Load(100_000 / MINUTE, batch=100),
    "1,000,000 a minute, a hundred in a request": Load(
        1_000_000 / MINUTE, batch=100, lanes=30, kept=7.0, keys_kept=1.0
    ),
}


def constants(measured: Mapping[str, Any]) -> Constants:
    return Constants(**{
        name: Cost(**value) if isinstance(value, dict) else value for name, value in measured["constants"].items()
    })  # fmt: skip


def tables() -> list[str]:
    """In the order of the page: what each costs, how well that foretells, what to run."""
    measured = json.loads(MEASURED.read_text(encoding="utf-8"))
    known = constants(measured)
    return [
        _table(("each", *PARTS.values()), _costs(measured["constants"])),
        _table((f"each second at {measured['checked']['rate']:,.0f}/s", "foretold", "measured", "ratio"),
               _checked(measured["checked"])),
        _table(("", *LOADS), _plans([plan(load, known) for load in LOADS.values()])),
    ]  # fmt: skip


def _table(head: Sequence[str], rows: Iterator[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _costs(measured: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    for name, what in COSTS.items():
        yield what, *(f"{measured[name][part]:,.0f}" if round(measured[name][part]) else "" for part in PARTS)


def _checked(checked: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    for part, name in PARTS.items():
        foretold, measured = checked["foretold"][part], checked["measured"][part]
        yield name, f"{foretold:,.0f}", f"{measured:,.0f}", f"{foretold / measured:.2f}"


def _plans(plans: Sequence[Plan]) -> Iterator[Sequence[str]]:
    shown: dict[str, Callable[[Plan], str]] = {
        "web: cores used": lambda each: f"{each.web_cores:.2g}",
        "… processes": lambda each: f"{each.webs}",
        "workers: cores used": lambda each: f"{each.worker_cores:.2g}",
        "… processes, of 64 threads": lambda each: f"{each.workers}",
        "memory of both, GB": lambda each: f"{each.memory:.1f}",
        "Postgres: cores used": lambda each: f"{each.database_cores:.2g}",
        "… sessions": lambda each: f"{each.sessions}",
        "… memory of these, GB": lambda each: f"{each.session_memory:.1f}",
        "… WAL, MB a second": lambda each: f"{each.wal:.2g}",
        "… disk, GB": lambda each: f"{each.disk:,.0f}",
    }
    for name, figure in shown.items():
        yield name, *map(figure, plans)


if __name__ == "__main__":
    print("\n".join(tables()))
