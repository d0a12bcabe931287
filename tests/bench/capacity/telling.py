"""The tables of docs/scaling.md, from what was measured: a test holds the page to them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tests.bench.capacity.model import THREADS, Broker, Constants, Cost, Load, Plan, Singly, plan
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
    "100,000 a minute": Load(100_000 / MINUTE, kept=30.0),
    "… a hundred in a request": Load(100_000 / MINUTE, batch=100, kept=30.0),
    "1,000,000 a minute, a hundred in a request": Load(
        1_000_000 / MINUTE, batch=100, lanes=30, kept=7.0, keys_kept=1.0
    ),
}


def constants(measured: Mapping[str, Any]) -> Constants:
    known = dict(measured)
    known |= {name: Cost(**measured[name]) for name in COSTS}
    known["singly"] = [Singly(each["rate"], Cost(**each["each"])) for each in measured["singly"]]
    known["brokers"] = {name: Broker(**broker) for name, broker in measured["brokers"].items()}
    return Constants(**known)


def tables() -> list[str]:
    """In the order of the page: what each costs, how well that foretells, what to run."""
    known = constants(_measured()["constants"])
    return [
        _table(("each", *PARTS.values()), _costs(known)),
        _table(
            ("broker", "its processor for each wake-up, µs", "in a second without, µs", "memory, MB"), _brokers(known)
        ),
        *(_table((_load(check), "foretold", "measured", "ratio"), _checked(check)) for check in checks()),
        _table(("", *LOADS), _plans([(load, plan(load, known)) for load in LOADS.values()])),
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


def _brokers(known: Constants) -> Iterator[Sequence[str]]:
    for name, broker in known.brokers.items():
        yield name, f"{broker.each:,.0f}", f"{broker.second:,.0f}", f"{broker.memory:,.0f}"


def _figures(cost: Cost) -> Iterator[str]:
    for part in PARTS:
        figure = getattr(cost, part)
        yield f"{figure:,.0f}" if round(figure) else ""


def _checked(checked: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    for part, name in PARTS.items():
        foretold, measured = checked["foretold"][part], checked["measured"][part]
        yield name, f"{foretold:,.0f}", f"{measured:,.0f}", f"{foretold / measured:.2f}"


def _plans(plans: Sequence[tuple[Load, Plan]]) -> Iterator[Sequence[str]]:
    shown: dict[str, Callable[[Load, Plan], str]] = {
        "web: cores used": lambda _, each: f"{each.web_cores:.2g}",
        "… processes": lambda _, each: f"{each.webs}",
        "workers: cores used": lambda _, each: f"{each.worker_cores:.2g}",
        f"… processes, of {THREADS} threads": lambda _, each: f"{each.workers}",
        "memory of both, GB": lambda _, each: f"{each.memory:.1f}",
        "Postgres: cores used": lambda _, each: f"{each.database_cores:.2g}",
        "… sessions": lambda _, each: f"{each.sessions}",
        "… memory of these, GB": lambda _, each: f"{each.session_memory:.1f}",
        "… WAL, MB a second": lambda _, each: f"{each.wal:.2g}",
        "RabbitMQ, where it carries the nudges: cores used": lambda _, each: f"{each.broker_cores['RabbitMQ']:.2g}",
        "… Redis": lambda _, each: f"{each.broker_cores['Redis']:.2g}",
        "days that are kept, and that keys are": lambda load, _: f"{load.kept:g}, {load.keys_kept:g}",
        "… on disk, GB": lambda _, each: f"{each.disk:,.0f}",
    }
    for name, figure in shown.items():
        yield name, *(figure(*each) for each in plans)


if __name__ == "__main__":
    print("\n".join(tables()))
