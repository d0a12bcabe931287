"""`make bench-growth`: whether a long history, or a long queue, makes anything slower.

One database in which the service itself accepts, sends and records until ten million notifications are finished. On the
way, at each size: what a claim takes beside one in a database that stays small, what drains and accepts come to, what
each notification costs in WAL and in processor time, and how large the tables are; at the end, what of them is bloat.
Takes about a quarter of an hour and 20 GB of disk for ten million; `--sizes 10000 1000000` is a look.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter, sleep
from typing import Any, Final, LiteralString

import psycopg
from rich.console import Console
from rich.table import Table

from tests.bench import load, processes, report, servers
from tests.bench.floor import claiming
from tests.bench.ours import Outbox
from tests.bench.parts.accept import BODY
from tests.bench.parts.drain import await_
from tests.bench.servers import Postgres

SIZES: Final = (10_000, 1_000_000, 10_000_000)
WAITING: Final = 1_000_000
DRAINED: Final = 100_000  # in each run
RUNS: Final = 5
CHUNK: Final = 500_000
CLAIMS: Final = 200  # of each database and size of batch
IN_TURN: Final = 20  # claims in one database before those in the other

# As many keys, with answers as the service keeps them.
KEYS: Final[LiteralString] = """
INSERT INTO idempotency_record (client_id, operation, key, fingerprint, status, location, body, notification_ids,
    created_at)
SELECT 1, 'POST /api/v1/notifications', id, decode(md5(id::text), 'hex'), 202, '/api/v1/notifications/' || id,
    convert_to(rpad(id::text, 230, '.'), 'UTF8'), ARRAY[id], now()
FROM (SELECT uuidv7() AS id FROM generate_series(1, %s)) AS accepted
"""
OPEN: Final[LiteralString] = """
SELECT EXISTS (SELECT FROM notification WHERE status = 'pending')
    OR EXISTS (SELECT FROM notification WHERE status = 'sending')
"""
TABLES: Final[LiteralString] = """
SELECT relname, pg_total_relation_size(oid)
    + coalesce((SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = pg_class.oid), 0)
FROM pg_class
WHERE relname IN ('notification', 'attempt', 'idempotency_record', 'listing') ORDER BY relname
"""


@dataclass(frozen=True)
class Growth:
    """What one size came to; lists have a figure for each run."""

    history: int
    claim_20_ms: float
    claim_20_ms_small: float  # in the database that stays small, in turn
    claim_500_ms: float
    claim_500_ms_small: float
    drain: Sequence[float]  # notifications/s
    wal: float  # bytes each
    cpu: float  # microseconds each, workers and Postgres
    accept: Sequence[float]  # requests/s
    accept_p99: float  # ms
    sizes: dict[str, int]  # bytes of each table with its indexes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="finished notifications at each look")
    parser.add_argument("--waiting", type=int, default=WAITING, help="of the long queue at the end; 0 for none")
    parser.add_argument("--output", type=Path, default=Path("bench-growth.json"))
    options = parser.parse_args()

    console = Console()
    document: dict[str, Any] = {"machine": report.machine(), "growth": []}
    with servers.postgres() as postgres:
        small, outbox = Outbox(postgres, "small"), Outbox(postgres, "growth")
        _grow(small, 0, min(options.sizes), console)
        found = []
        for each in _grown(postgres, outbox, small, options.sizes, console):
            found.append(each)
            document["growth"].append(asdict(each))
            _write(document, options.output)
            _show(found, console)
        if options.waiting:
            document["waiting"] = options.waiting
            document["long_queue"] = drain(postgres, outbox, options.waiting)[0]
            console.print(f"with {options.waiting:,} waiting: {document['long_queue']:,.0f} notifications/s")
        document["bloat"] = _bloat(outbox, console)
    _write(document, options.output)
    return 0


def _grown(
    postgres: Postgres, outbox: Outbox, small: Outbox, sizes: Sequence[int], console: Console
) -> Iterator[Growth]:
    there = 0
    for size in sorted(sizes):
        _grow(outbox, there, size, console)
        there = size
        with console.status(f"measuring at {size:,}"):
            yield _measured(postgres, outbox, small, size)


def _grow(outbox: Outbox, there: int, size: int, console: Console) -> None:
    """As the service leaves its history: each was pending and sent, and nobody but autovacuum has cleaned up."""
    with outbox.working(), outbox.connect() as connection, console.status("") as status:
        while there < size:
            status.update(f"growing to {size:,}: {there:,}")
            chunk = min(CHUNK, size - there)
            outbox.add(chunk)
            connection.execute(KEYS, [chunk])
            while connection.execute(OPEN).fetchone() == (True,):
                sleep(0.2)
            there += chunk


def _measured(postgres: Postgres, outbox: Outbox, small: Outbox, history: int) -> Growth:
    claims = {batch: claims(batch, outbox, small) for batch in (20, 500)}
    drains = [drain(postgres, outbox, DRAINED) for _ in range(RUNS)]
    with outbox.a_lease(), outbox.web() as url:
        load.post(f"{url}/api/v1/notifications", BODY, outbox.headers, seconds=2)
        accepts = [load.post(f"{url}/api/v1/notifications", BODY, outbox.headers, seconds=5) for _ in range(RUNS)]
    with outbox.connect() as connection:
        connection.execute("DELETE FROM notification WHERE status = 'pending'")
    return Growth(
        history,
        claims[20][0],
        claims[20][1],
        claims[500][0],
        claims[500][1],
        [rate for rate, _, _ in drains],
        median(wal for _, wal, _ in drains),
        median(cpu for _, _, cpu in drains),
        [each.rate for each in accepts],
        median(each.p99 for each in accepts),
        sizes_of(outbox),
    )


def claims(batch: int, *outboxes: Outbox) -> list[float]:
    """Milliseconds in each, the medians of many claims that are rolled back, now in the one and now in the other."""
    times: list[list[float]] = [[] for _ in outboxes]
    for outbox in outboxes:
        with outbox.connect() as connection:  # what a drain leaves dead is the horizon's matter: `make bench-horizon`
            connection.execute("VACUUM (ANALYZE) notification")
        outbox.add(2 * batch)
    for _ in range(CLAIMS // IN_TURN):
        for outbox, found in zip(outboxes, times, strict=True):
            with outbox.connect() as connection, psycopg.Cursor(connection) as cursor:
                cursor.execute("SET plan_cache_mode = force_generic_plan")  # as the service's own sessions have it
                for _ in range(IN_TURN):
                    with connection.transaction(force_rollback=True):
                        began = perf_counter()
                        cursor.execute(*claiming(batch), prepare=True)
                        found.append(1000 * (perf_counter() - began))
    for outbox in outboxes:
        with outbox.connect() as connection:
            connection.execute("DELETE FROM notification WHERE status = 'pending'")
    return [median(found) for found in times]


def drain(postgres: Postgres, outbox: Outbox, count: int) -> tuple[float, float, float]:
    """Notifications per second, bytes of WAL each, microseconds of processor each."""
    outbox.add(count)
    outbox.watch()
    postgres.settle()
    with outbox.working(), outbox.connect() as connection:
        began, wal, cpu = await_(outbox.begun), wal_of(connection), _spent()
        took = await_(outbox.done) - began
        return count / took, (wal_of(connection) - wal) / count, 1e6 * (_spent() - cpu) / count


def wal_of(connection: psycopg.Connection[tuple[object, ...]]) -> int:
    row = connection.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn").fetchone()
    return int(str(row[0])) if row else 0


def _spent() -> float:
    """Seconds of processor that all have had so far."""
    return sum(processes.processor().values())


def sizes_of(outbox: Outbox) -> dict[str, int]:
    with outbox.connect() as connection:
        return {str(row[0]): int(str(row[1])) for row in connection.execute(TABLES)}


def _bloat(outbox: Outbox, console: Console) -> dict[str, float]:
    """Table → its size with its indexes, as a multiple of what it is when written anew."""
    before = sizes_of(outbox)
    with console.status("writing the tables anew, to see what of them is bloat"), outbox.connect() as connection:
        for command in ("VACUUM FULL notification", "VACUUM FULL attempt", "VACUUM FULL idempotency_record"):
            connection.execute(command)
    after = sizes_of(outbox)
    bloat = {name: before[name] / after[name] for name in before}
    for name, ratio in bloat.items():
        console.print(f"{name}: {before[name] / 1e6:,.0f} MB, {ratio:.2f} of what it is when written anew")
    return bloat


def _write(document: dict[str, Any], path: Path) -> None:
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _show(found: Sequence[Growth], console: Console) -> None:
    table = Table("finished notifications", *(f"{each.history:,}" for each in found))
    rows: dict[str, Callable[[Growth], str]] = {
        "a claim of 20, ms": lambda each: f"{each.claim_20_ms:.2f}",
        "... of 20 by the small one's": lambda each: f"{each.claim_20_ms / each.claim_20_ms_small:.2f}",
        "a claim of 500, ms": lambda each: f"{each.claim_500_ms:.2f}",
        "... of 500 by the small one's": lambda each: f"{each.claim_500_ms / each.claim_500_ms_small:.2f}",
        "drain, notifications/s": lambda each: report.shown(each.drain),
        "WAL each, bytes": lambda each: f"{each.wal:,.0f}",
        "processor each, µs": lambda each: f"{each.cpu:.0f}",
        "accept, requests/s": lambda each: report.shown(each.accept),
        "... p99, ms": lambda each: f"{each.accept_p99:.1f}",
        **{f"{name}, MB": partial(megabytes, name=name) for name in found[0].sizes},
    }
    for name, figure in rows.items():
        table.add_row(name, *map(figure, found))
    console.print(table)


def megabytes(each: Growth, name: str) -> str:
    return f"{each.sizes[name] / 1e6:,.0f}"


if __name__ == "__main__":
    sys.exit(main())
