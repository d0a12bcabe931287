"""`make bench-growth`: whether a long history, or a long queue, makes anything slower.

One database that grows from ten thousand finished notifications to ten million. At each size: what a claim takes, what
a drain and an accept come to, what each notification costs in WAL and in processor time, and how large the tables are.
Takes about an hour and 20 GB of disk for ten million; `--sizes 10000 1000000` is a look.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Final, LiteralString
from uuid import uuid4

import psutil
import psycopg
from rich.console import Console
from rich.table import Table

from tests.bench import load, report, servers
from tests.bench.floor import claiming
from tests.bench.ours import Outbox
from tests.bench.parts.accept import BODY
from tests.bench.parts.drain import await_
from tests.bench.servers import Postgres

SIZES: Final = (10_000, 1_000_000, 10_000_000)
WAITING: Final = 1_000_000
DRAINED: Final = 100_000
CHUNK: Final = 500_000
CLAIMS: Final = 200

# Finished notifications as the service leaves them, with their attempts and keys, spread over the last thirty days.
HISTORY: Final[LiteralString] = """
WITH made AS (
    INSERT INTO notification (id, client_id, channel, lane, recipient, subject, body, metadata, priority, due_at,
        status, attempt, tries, losses, possible_duplicate, provider_id, error_code, correlation_id, idempotency_key,
        created_at, finished_at)
    SELECT uuidv7(interval '-30 days' + n * interval '1 ms'), 1, 'slack', 'slack', 'default', '',
        'A message of ordinary length, which says what happened, to whom and what can be done about it now: ' || n,
        '{}', 1, at, 'sent', 1, 0, 0, false, '', '', uuidv7()::text, 'order-' || n, at, at + interval '1 s'
    FROM generate_series(%(first)s::int, %(last)s::int) AS n,
        LATERAL (SELECT now() - interval '30 days' + n * interval '1 ms' AS at) AS moment
    RETURNING id, idempotency_key, created_at
), tried AS (
    INSERT INTO attempt (notification_id, number, started_at, finished_at, outcome, late_outcome, code, detail,
        provider_id, backend, worker_id, possible_duplicate)
    SELECT id, 1, created_at, created_at, 'accepted', '', '200', 'ok', '', 'nowhere', %(worker)s, false FROM made
)
INSERT INTO idempotency_record (client_id, operation, key, fingerprint, status, location, body, notification_ids,
    created_at)
SELECT 1, 'POST /api/v1/notifications', idempotency_key, decode(md5(idempotency_key), 'hex'), 202,
    '/api/v1/notifications/' || id, convert_to(rpad(id::text, 230, '.'), 'UTF8'), ARRAY[id], created_at
FROM made
"""
TABLES: Final[LiteralString] = """
SELECT relname, pg_total_relation_size(oid) FROM pg_class
WHERE relname IN ('notification', 'attempt', 'idempotency_record') ORDER BY relname
"""


@dataclass(frozen=True)
class Growth:
    """What one size came to."""

    history: int
    claim_20_ms: float
    claim_500_ms: float
    drain: float  # notifications/s
    wal: float  # bytes each
    cpu: float  # microseconds each, workers and Postgres
    accept: float  # requests/s
    accept_p99: float  # ms
    sizes: dict[str, int]  # bytes of each table with its indexes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="finished notifications at each look")
    parser.add_argument("--waiting", type=int, default=WAITING, help="of the long queue at the end; 0 for none")
    parser.add_argument("--output", type=Path, default=Path("bench-growth.json"))
    options = parser.parse_args()

    console = Console()
    with servers.postgres() as postgres:
        outbox = Outbox(postgres, "growth")
        found = list(_grown(postgres, outbox, options.sizes, console))
        _show(found, console)
        long_queue = _drain(postgres, outbox, options.waiting)[0] if options.waiting else 0.0
    if options.waiting:
        console.print(f"with {options.waiting:,} waiting: {long_queue:,.0f} notifications/s")
    ratio = found[-1].claim_20_ms / found[0].claim_20_ms
    console.print(f"a claim with {found[-1].history:,} rows of history takes {ratio:.2f} of what it takes with few")
    document = {"machine": report.machine(), "growth": [asdict(each) for each in found], "long_queue": long_queue}
    options.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 0


def _grown(postgres: Postgres, outbox: Outbox, sizes: list[int], console: Console) -> Iterator[Growth]:
    there = 0
    for size in sorted(sizes):
        with outbox.connect() as connection, console.status(f"growing to {size:,}"):
            while there < size:
                last = min(size, there + CHUNK)
                connection.execute(HISTORY, {"first": there + 1, "last": last, "worker": uuid4()})
                there = last
            connection.execute("VACUUM (ANALYZE) notification, attempt, idempotency_record")
        with console.status(f"measuring at {size:,}"):
            yield _measured(postgres, outbox, size)


def _measured(postgres: Postgres, outbox: Outbox, history: int) -> Growth:
    claims = {batch: _claim(outbox, batch) for batch in (20, 500)}
    drain, wal, cpu = _drain(postgres, outbox, DRAINED)
    with outbox.a_lease(), outbox.web() as url:
        load.post(f"{url}/api/v1/notifications", BODY, outbox.headers, seconds=2)
        accepted = load.post(f"{url}/api/v1/notifications", BODY, outbox.headers, seconds=10)
    with outbox.connect() as connection:
        connection.execute("DELETE FROM notification WHERE status = 'pending'")
        sizes = {str(row[0]): int(str(row[1])) for row in connection.execute(TABLES)}
    return Growth(history, claims[20], claims[500], drain, wal, cpu, accepted.rate, accepted.p99, sizes)


def _claim(outbox: Outbox, batch: int) -> float:
    """Milliseconds, the median of many, each rolled back."""
    outbox.add(2 * batch)
    times = []
    with outbox.connect() as connection, psycopg.Cursor(connection) as cursor:
        for _ in range(CLAIMS):
            with connection.transaction(force_rollback=True):
                began = perf_counter()
                cursor.execute(*claiming(batch), prepare=True)
                times.append(1000 * (perf_counter() - began))
        connection.execute("DELETE FROM notification WHERE status = 'pending'")
    return median(times)


def _drain(postgres: Postgres, outbox: Outbox, count: int) -> tuple[float, float, float]:
    """Notifications per second, bytes of WAL each, microseconds of processor each."""
    outbox.add(count)
    outbox.watch()
    postgres.settle()
    with outbox.working(), outbox.connect() as connection:
        began, wal, cpu = await_(outbox.begun), _wal(connection), _processor()
        took = await_(outbox.done) - began
        return count / took, (_wal(connection) - wal) / count, 1e6 * (_processor() - cpu) / count


def _wal(connection: psycopg.Connection[tuple[object, ...]]) -> int:
    row = connection.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn").fetchone()
    return int(str(row[0])) if row else 0


def _processor() -> float:
    """Seconds that all processes under this one have had so far."""
    total = 0.0
    for child in psutil.Process().children(recursive=True):
        try:
            times = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def _show(found: list[Growth], console: Console) -> None:
    table = Table("history", "claim of 20", "of 500", "drain", "WAL each", "CPU each", "accept", "p99", "tables")
    for each in found:
        table.add_row(
            f"{each.history:,}",
            f"{each.claim_20_ms:.2f} ms",
            f"{each.claim_500_ms:.2f} ms",
            f"{each.drain:,.0f}/s",
            f"{each.wal:,.0f} B",
            f"{each.cpu:.0f} µs",
            f"{each.accept:,.0f}/s",
            f"{each.accept_p99:.1f} ms",
            ", ".join(f"{name} {size / 1e6:,.0f} MB" for name, size in each.sizes.items()),
        )
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
