"""The tables of docs/scaling.md, from what was measured: a test holds the page to them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tests.bench.capacity.model import Constants, Cost, Load, Plan, Singly, plan
from tests.bench.ours import PROCESSES

MEASURED: Final = Path(__file__).resolve().parents[3] / "docs" / "performance" / "capacity.json"
MINUTE: Final = 60.0
COSTS: Final = {
    "accept_in_batch": "accepted with a hundred in a request",
    "dispatch": "sent when many wait: claimed, sent by HTTP, recorded",
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
    known: dict[str, Any] = {
        name: Cost(**value) if isinstance(value, dict) else value for name, value in measured.items()
    }
    known["singly"] = [Singly(each["rate"], Cost(**each["each"])) for each in measured["singly"]]
    return Constants(**known)


def tables() -> list[str]:
    """In the order of the page: what each costs, how well that foretells, what to run."""
    known = constants(_measured()["constants"])
    return [
        _table(("each", *PARTS.values()), _costs(known)),
        *(_table((_load(check), "foretold", "measured", "ratio"), _checked(check)) for check in checks()),
        _table(("", *LOADS), _plans([plan(load, known) for load in LOADS.values()])),
    ]


def checks() -> Sequence[Mapping[str, Any]]:
    """`rate`, `batch`, and what each second was `foretold` and `measured` to cost."""
    found: Sequence[Mapping[str, Any]] = _measured()["checks"]
    return found


def _measured() -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(MEASURED.read_text(encoding="utf-8"))
    return found


def _load(check: Mapping[str, Any]) -> str:
    how = "one by one" if check["batch"] == 1 else f"{check['batch']} in a request"
    return f"each second at {check['rate']:,.0f} a second, {how}"


def _table(head: Sequence[str], rows: Iterator[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _costs(known: Constants) -> Iterator[Sequence[str]]:
    for single in known.singly:
        yield f"accepted and sent, one by one, {PROCESSES * single.rate:,.0f} a second", *_figures(single.each)
    for name, what in COSTS.items():
        yield what, *_figures(getattr(known, name))


def _figures(cost: Cost) -> Iterator[str]:
    for part in PARTS:
        figure = getattr(cost, part)
        yield f"{figure:,.0f}" if round(figure) else ""


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
