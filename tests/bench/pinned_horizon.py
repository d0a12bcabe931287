"""What an old snapshot, which keeps vacuum from removing anything, takes from the rate of the drain.

Two Postgres servers with production's durability, side by side, so that whatever else the machine does befalls both.
Each has a lane that two processes drain through the service's own claim, cursors and record, with nothing sent between;
rows are added as they are taken. On one of them a REPEATABLE READ snapshot is held. Ends with 1 where less than the
goal is left of the normal rate in the last third, when all that was ever claimed lies dead in the indexes.

    python -m tests.bench.pinned_horizon [--seconds 180] [--json bench-horizon.json]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final

GOAL: Final = 0.8
LANE: Final = "slack:bench"
PROCESSES: Final = 2  # on each server
BATCH: Final = 100
SETTLED: Final = 5.0  # seconds at the beginning that count for nothing
SAMPLE: Final = 2.0  # seconds
AHEAD: Final = 60_000  # rows waiting, so that no claim comes back short
FEED: Final = 10_000

FEED_ROWS: Final = f"""
INSERT INTO notification (id, client_id, channel, lane, recipient, subject, body, metadata, priority, due_at, status,
    attempt, tries, losses, possible_duplicate, provider_id, error_code, correlation_id, idempotency_key, created_at)
SELECT uuidv7(), 1, 'slack', '{LANE}', 'bench', '', 'A message of ordinary length, which says what happened.', '{{}}',
    1, clock_timestamp(), 'pending', 0, 0, 0, false, '', '', 'correlation', 'key', now()
FROM generate_series(1, {FEED})
"""

_processes = multiprocessing.get_context("spawn")


@dataclass
class Side:
    """One server and its drain."""

    name: str
    drained: Synchronized[int]
    rates: list[int] = field(default_factory=list)  # notifications per second, one for each sample
    seen: int = 0

    def sample(self, seconds: float, *, counts: bool) -> None:
        now = self.drained.value
        if counts:
            self.rates.append(round((now - self.seen) / seconds))
        self.seen = now

    def last(self) -> float:
        return statistics.median(self.rates[-max(3, len(self.rates) // 3) :])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=180, help="for which the snapshot is held (default: 180)")
    parser.add_argument("--json", type=Path, help="write the result to this file, too")
    options = parser.parse_args()

    with ExitStack() as stack:
        normal = stack.enter_context(side("normal", pinned=False))
        held = stack.enter_context(side("snapshot held", pinned=True))
        measure([normal, held], options.seconds)

    for each in (normal, held):
        thirds = [statistics.median(part) for part in parts(each.rates)]
        print(f"{each.name:<14} {each.seen:>10,} drained, by thirds {', '.join(f'{rate:,.0f}/s' for rate in thirds)}")
    ratio = held.last() / normal.last()
    print(f"with a snapshot of {options.seconds:.0f} s the drain keeps {ratio:.2f} of its rate (goal: {GOAL})")
    if options.json:
        result = {
            "name": "drain under a pinned horizon",
            "ours": round(held.last()),
            "peer": round(normal.last()),
            "peer_name": "the same drain beside it, without a snapshot",
            "unit": "notifications/s",
            "ratio": round(ratio, 2),
            "goal": GOAL,
            "met": ratio >= GOAL,
            "runs": {each.name: each.rates for each in (normal, held)},
        }
        machine = {"cpus": os.cpu_count(), "python": platform.python_version(), "machine": platform.machine()}
        document = json.dumps({"machine": machine, "results": [result]}, indent=1)
        options.json.write_text(document + "\n", encoding="utf-8")
    return 0 if ratio >= GOAL else 1


def measure(sides: list[Side], seconds: float) -> None:
    began = last = monotonic()
    while monotonic() - began < seconds:
        sleep(SAMPLE)
        now = monotonic()
        for each in sides:
            each.sample(now - last, counts=now - began >= SETTLED)
        last = now


def parts(rates: list[int]) -> list[list[int]]:
    size = max(1, len(rates) // 3)
    return [rates[:size], rates[size : 2 * size], rates[2 * size :]]


@contextmanager
def side(name: str, *, pinned: bool) -> Iterator[Side]:
    """A new cluster with our tables, being drained and fed."""
    from notifier import embedded

    with tempfile.TemporaryDirectory(prefix="notifier-bench-") as folder, ExitStack() as stack:
        place = Path(folder)
        place.chmod(0o711)
        stack.enter_context(embedded.Server(place, {"max_wal_size": "4GB"}))
        in_a_child(migrate, place)
        drained = stack.enter_context(draining(place))
        stack.enter_context(fed(place, drained))
        if pinned:
            report = stack.enter_context(connected(place))
            report.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            report.execute("SELECT count(*) FROM client")
        yield Side(name, drained)


@contextmanager
def draining(place: Path) -> Iterator[Synchronized[int]]:
    drained, stop = _processes.Value("Q", 0), _processes.Event()
    children = [_processes.Process(target=drain, args=(place, drained, stop)) for _ in range(PROCESSES)]
    for child in children:
        child.start()
    try:
        yield drained
    finally:
        stop.set()
        for child in children:
            child.join(30)


@contextmanager
def fed(place: Path, drained: Synchronized[int]) -> Iterator[None]:
    """Keep rows ahead of the drain."""
    stop = threading.Event()

    def feed() -> None:
        added = 0
        with connected(place) as connection:
            while not stop.is_set():
                if added - drained.value < AHEAD:
                    connection.execute(FEED_ROWS)
                    added += FEED
                else:
                    stop.wait(0.05)

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def connected(place: Path) -> Iterator[Any]:
    import psycopg

    from notifier import embedded

    known = embedded.connection(place)
    with psycopg.connect(host=known["HOST"], user=known["USER"], dbname=known["NAME"], autocommit=True) as connection:
        yield connection


def in_a_child(target: Callable[[Path], None], place: Path) -> None:
    child = _processes.Process(target=target, args=(place,))
    child.start()
    child.join()
    if child.exitcode:
        raise SystemExit(child.exitcode)


def migrate(place: Path) -> None:
    set_up(place)
    from django.core.management import call_command

    call_command("migrate", verbosity=0)


def drain(place: Path, drained: Synchronized[int], stop: Event) -> None:
    """One process, as a worker's thread does it: claim from the cursor, record, again."""
    set_up(place)
    from uuid import uuid4

    from notifications import retry
    from notifications.cursors import Cursors
    from notifications.outbox.claim import claim
    from notifications.outbox.record import Result, record
    from notifications.states import Outcome

    cursors, worker = Cursors(), uuid4()
    in_full_flow = False
    while not stop.is_set():
        stretches, whole = cursors.begin(LANE, in_full_flow=in_full_flow)
        began = monotonic()
        claims = claim(LANE, worker_id=worker, batch=BATCH, started=True, stretches=stretches)
        now = monotonic()
        cursors.advance(LANE, claims, whole=whole, took=now - began)
        in_full_flow = any(each.more for each in claims)
        decision = retry.decide(Outcome.ACCEPTED, tries=0, hold_unknown=False)
        results = [
            Result(claim=each, outcome=Outcome.ACCEPTED, decision=decision, backend="none", started=now, finished=now)
            for each in claims
        ]
        if results:
            record(results, now=monotonic())
            with drained.get_lock():
                drained.value += len(results)


def set_up(place: Path) -> None:
    for variable in ("DATABASE_URL", "BROKER_URL"):
        os.environ.pop(variable, None)
    os.environ |= {
        "DATA_DIR": str(place),
        "DJANGO_SETTINGS_MODULE": "notifier.settings",
        "NOTIFIER_ENV_FILE": "",
        "LOG_LEVEL": "warning",
    }
    import django

    django.setup()


if __name__ == "__main__":
    sys.exit(main())
