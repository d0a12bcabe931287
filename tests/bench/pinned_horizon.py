"""What an old snapshot, which keeps vacuum from removing anything, takes from the rate of the drain.

Two processes drain one lane through the service's own claim, cursors and record, with nothing sent between; rows are
added as they are taken. Before, while a REPEATABLE READ snapshot is held, and after: each on a new, empty database of a
Postgres with production's durability. Ends with 1 where less than the goal of the normal rate is left.

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
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final

GOAL: Final = 0.8
LANE: Final = "slack:bench"
PROCESSES: Final = 2
BATCH: Final = 100
SETTLED: Final = 5.0  # seconds at the beginning that count for nothing
SAMPLE: Final = 2.0  # seconds
AHEAD: Final = 60_000  # rows waiting, so that no claim comes back short
FEED: Final = 20_000

FEED_ROWS: Final = f"""
INSERT INTO notification (id, client_id, channel, lane, recipient, subject, body, metadata, priority, due_at, status,
    attempt, tries, losses, possible_duplicate, provider_id, error_code, correlation_id, idempotency_key, created_at)
SELECT uuidv7(), 1, 'slack', '{LANE}', 'bench', '', 'A message of ordinary length that says what happened.', '{{}}',
    1, clock_timestamp(), 'pending', 0, 0, 0, false, '', '', 'correlation', 'key', now()
FROM generate_series(1, {FEED})
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=180, help="for which the snapshot is held (default: 180)")
    parser.add_argument("--normal", type=float, default=60, help="seconds of each run without one (default: 60)")
    parser.add_argument("--json", type=Path, help="write the result to this file, too")
    options = parser.parse_args()

    before = measured("before", options.normal, pinned=False)
    held = measured("snapshot held", options.seconds, pinned=True)
    after = measured("after", options.normal, pinned=False)

    # The end of it is the worst: by then all that was ever claimed lies dead in the indexes.
    last = held[-max(3, len(held) // 3) :]
    normal, pinned = statistics.median(before + after), statistics.median(last)
    result = {
        "name": "drain with a pinned horizon",
        "ours": round(pinned),
        "peer": round(normal),
        "peer_name": "the same drain without the snapshot",
        "unit": "notifications/s",
        "ratio": round(pinned / normal, 2),
        "goal": GOAL,
        "met": pinned / normal >= GOAL,
        "runs": {"before": before, "held": held, "after": after},
    }
    print(
        f"normal {normal:,.0f}/s, after {options.seconds:.0f} s with a snapshot {pinned:,.0f}/s: "
        f"{result['ratio']} (goal {GOAL})"
    )
    if options.json:
        machine = {"cpus": os.cpu_count(), "python": platform.python_version(), "machine": platform.machine()}
        options.json.write_text(
            json.dumps({"machine": machine, "results": [result]}, indent=1) + "\n", encoding="utf-8"
        )
    return 0 if result["met"] else 1


def measured(name: str, seconds: float, *, pinned: bool) -> list[int]:
    """Notifications per second, one figure for each sample."""
    with postgres(), draining() as drained, fed(drained), snapshot(held=pinned):
        rates: list[int] = []
        began = last = monotonic()
        before = drained.value
        while monotonic() - began < seconds:
            sleep(SAMPLE)
            now, count = monotonic(), drained.value
            if now - began >= SETTLED:
                rates.append(round((count - before) / (now - last)))
            last, before = now, count
        total = drained.value
    print(f"{name}: median {statistics.median(rates):,.0f}/s over {seconds:.0f} s, {total:,} drained", flush=True)
    return rates


@contextmanager
def postgres() -> Iterator[None]:
    """A new cluster with our tables; this process and its children find it by the environment."""
    from notifier import embedded

    with tempfile.TemporaryDirectory(prefix="notifier-bench-") as folder:
        Path(folder).chmod(0o711)
        os.environ["DATA_DIR"] = folder
        with embedded.Server(Path(folder), {"max_wal_size": "4GB"}):
            in_a_child(migrate)
            yield


@contextmanager
def draining() -> Iterator[Synchronized[int]]:
    context = multiprocessing.get_context("spawn")
    drained, stop = context.Value("Q", 0), context.Event()
    children = [context.Process(target=drain, args=(drained, stop)) for _ in range(PROCESSES)]
    for child in children:
        child.start()
    try:
        yield drained
    finally:
        stop.set()
        for child in children:
            child.join(30)


@contextmanager
def fed(drained: Synchronized[int]) -> Iterator[None]:
    """Keep rows ahead of the drain."""
    stop = threading.Event()

    def feed() -> None:
        added = 0
        with connected() as connection:
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
def snapshot(*, held: bool) -> Iterator[None]:
    if not held:
        yield
        return
    with connected() as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SELECT count(*) FROM client")
        yield


@contextmanager
def connected() -> Iterator[Any]:
    import psycopg

    from notifier import embedded

    known = embedded.connection(Path(os.environ["DATA_DIR"]))
    with psycopg.connect(host=known["HOST"], user=known["USER"], dbname=known["NAME"], autocommit=True) as connection:
        yield connection


def in_a_child(target: Any) -> None:
    child = multiprocessing.get_context("spawn").Process(target=target)
    child.start()
    child.join()
    if child.exitcode:
        raise SystemExit(child.exitcode)


def migrate() -> None:
    set_up()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)


def drain(drained: Synchronized[int], stop: Event) -> None:
    """One process, as a worker's thread does it: claim from the cursor, record, again."""
    set_up()
    from uuid import uuid4

    from notifications import retry
    from notifications.cursors import Cursors
    from notifications.outbox.claim import claim
    from notifications.outbox.record import Result, record
    from notifications.states import Outcome

    cursors, worker = Cursors(), uuid4()
    in_full_flow = False
    while not stop.is_set():
        positions, whole = cursors.begin(LANE, in_full_flow=in_full_flow)
        began = monotonic()
        claims = claim(LANE, worker_id=worker, batch=BATCH, started=True, cursors=positions)
        now = monotonic()
        cursors.advance(LANE, claims, whole=whole, took=now - began)
        in_full_flow = len(claims) >= BATCH
        decision = retry.decide(Outcome.ACCEPTED, tries=0, hold_unknown=False)
        results = [
            Result(claim=each, outcome=Outcome.ACCEPTED, decision=decision, backend="none", started=now, finished=now)
            for each in claims
        ]
        if results:
            record(results, now=monotonic())
            with drained.get_lock():
                drained.value += len(results)


def set_up() -> None:
    import django

    django.setup()


if __name__ == "__main__":
    for variable in ("DATABASE_URL", "BROKER_URL"):
        os.environ.pop(variable, None)
    os.environ |= {"DJANGO_SETTINGS_MODULE": "notifier.settings", "NOTIFIER_ENV_FILE": "", "LOG_LEVEL": "warning"}
    sys.exit(main())
