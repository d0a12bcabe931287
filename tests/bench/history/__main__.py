"""`make bench-history`: a hundred million finished notifications in one table, and in ranges of a month each.

For each layout: how large it is, whether claims, drains and accepts feel it, what it takes to delete some of it (a day
by the service's own purge, and what vacuum then has to do; a range, by dropping it while accepts go on), and how long
backups take. `--rows 1000000` is a look; a hundred million take half an hour and 60 GB of disk.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from subprocess import DEVNULL, run
from time import perf_counter
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from tests.bench import growth, load, report, servers
from tests.bench.history import layout
from tests.bench.history.filling import fill
from tests.bench.history.layout import Range
from tests.bench.ours import Outbox
from tests.bench.parts.accept import BODY
from tests.bench.servers import BINARIES, Postgres

ROWS: Final = 100_000_000
KEPT: Final = timedelta(days=90)
RUNS: Final = 5
VACUUMED: Final = ("notification", "attempt", "listing")


@dataclass(frozen=True)
class History:
    """What one layout came to; lists have a figure for each run."""

    partitions: int  # 0: one table
    rows: int
    sizes: dict[str, int]  # bytes of each table with its indexes
    claim_20_ms: float
    claim_20_ms_small: float  # in a database without history and partitions, in turn
    claim_500_ms: float
    claim_500_ms_small: float
    drain: Sequence[float]  # notifications/s
    accept: Sequence[float]  # requests/s
    accept_p99: Sequence[float]  # ms
    purged: int  # a day's notifications, by the purge
    purge: float  # seconds
    purge_wal: int  # bytes
    vacuum: dict[str, float]  # seconds of each table after it, as autovacuum would
    vacuum_indexes: dict[str, float]  # seconds, its indexes included: once enough is dead
    dropped: float | None  # seconds until a range of each table was gone
    drop_wal: int | None  # bytes
    drop_p99: float | None  # ms of the accepts meanwhile
    dump: float  # seconds of pg_dump
    base_backup: float  # seconds of pg_basebackup


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=ROWS, help="finished notifications")
    parser.add_argument(
        "--partitions", type=int, nargs="+", default=(0, 3), help="of the history, of each layout; 0: one table"
    )
    parser.add_argument("--listed", action="store_true", help="in the clients' lists, too (a third more of disk)")
    parser.add_argument("--output", type=Path, default=Path("bench-history.json"))
    options = parser.parse_args()

    console = Console()
    found: list[History] = []
    for partitions in options.partitions:
        # A server each: there may be no disk for two of them.
        with servers.postgres() as postgres:
            found.append(_measured(postgres, partitions, options.rows, console, listed=options.listed))
        document: dict[str, Any] = {"machine": report.machine(), "history": [asdict(each) for each in found]}
        options.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        _show(found, console)
    return 0


def _measured(postgres: Postgres, partitions: int, rows: int, console: Console, *, listed: bool) -> History:
    now = datetime.now(UTC)
    begins, oldest_day = now - KEPT, (KEPT - timedelta(days=1)).days
    small = Outbox(postgres, "small")
    outbox = Outbox(postgres, "history", RETENTION_DAYS=str(oldest_day), CHORES="off")
    ranges = _ranges(begins, now, partitions)
    with outbox.connect() as connection:
        if ranges:
            layout.partition(connection, ranges)
    with console.status(f"{rows:,} finished notifications, {partitions or 'no'} partitions"):
        _timed(console, "filled", lambda: fill(outbox.connect, rows, begins, now, listed=listed))
    sizes = growth.sizes_of(outbox)
    claims = {batch: growth.claims(batch, outbox, small) for batch in (20, 500)}
    drains = [growth.drain(postgres, outbox, growth.DRAINED)[0] for _ in range(RUNS)]
    with outbox.a_lease(), outbox.web() as url:
        load.post(f"{url}/api/v1/notifications", BODY, outbox.headers, seconds=2)
        accepts = [load.post(f"{url}/api/v1/notifications", BODY, outbox.headers, seconds=5) for _ in range(RUNS)]
    dump = _timed(console, "dumped", lambda: _backup("pg_dump", "--format=custom", "--compress=0", outbox.url))
    base_backup = _timed(
        console, "copied", lambda: _backup("pg_basebackup", "--format=tar", "--wal-method=none", "--pgdata=-",
                                           "--checkpoint=fast", f"--dbname={postgres.url()}")
    )  # fmt: skip
    before = _wal(outbox)
    purge = _timed(console, "purged a day", lambda: outbox.manage("purge_notifications"))
    purge_wal = _wal(outbox) - before
    with outbox.connect() as connection:
        row = connection.execute("SELECT coalesce(sum(notifications), 0) FROM purge_ledger").fetchone()
    vacuum = {table: _vacuumed(outbox, console, f"VACUUM {table}") for table in VACUUMED}
    vacuum_indexes = {table: _vacuumed(outbox, console, f"VACUUM (INDEX_CLEANUP ON) {table}") for table in VACUUMED}
    dropped, drop_wal, drop_p99 = _dropped(outbox, ranges[0], console) if ranges else (None, None, None)
    return History(
        partitions,
        rows,
        sizes,
        claims[20][0],
        claims[20][1],
        claims[500][0],
        claims[500][1],
        drains,
        [each.rate for each in accepts],
        [each.p99 for each in accepts],
        int(str(row[0])) if row else 0,
        purge,
        purge_wal,
        vacuum,
        vacuum_indexes,
        dropped,
        drop_wal,
        drop_p99,
        dump,
        base_backup,
    )


def _ranges(begins: datetime, now: datetime, partitions: int) -> list[Range]:
    """So many of the history, and the one in which the service goes on."""
    if not partitions:
        return []
    each = (now - begins) / partitions
    edges = [*(begins + each * number for number in range(partitions)), now, now + KEPT]
    return [Range(number, *pair) for number, pair in enumerate(pairwise(edges))]


def _dropped(outbox: Outbox, gone: Range, console: Console) -> tuple[float, int, float]:
    """Seconds, bytes of WAL, and the p99 (ms) of accepts during which it was dropped."""
    took = 0.0
    before = _wal(outbox)

    def drop() -> None:
        nonlocal took
        with outbox.connect() as connection:
            took = _timed(console, "dropped a range", lambda: layout.drop(connection, gone))

    with outbox.a_lease(), outbox.web() as url:
        load.post(f"{url}/api/v1/notifications", BODY, outbox.headers, seconds=2)
        accepted = _meanwhile(drop, lambda: load.post(f"{url}/api/v1/notifications", BODY, outbox.headers, seconds=10))
    return took, _wal(outbox) - before, accepted.p99


def _meanwhile(act: Callable[[], None], measured: Callable[[], load.Load]) -> load.Load:
    with ThreadPoolExecutor(1) as threads:
        acting = threads.submit(act)
        found = measured()
        acting.result()
    return found


def _vacuumed(outbox: Outbox, console: Console, command: str) -> float:
    with outbox.connect() as connection:
        return _timed(console, command, lambda: connection.execute(command))


def _backup(program: str, *arguments: str) -> None:
    """To nowhere: what reading it takes, whatever it is written to."""
    run([str(BINARIES / program), *arguments], stdout=DEVNULL, check=True)


def _timed(console: Console, what: str, act: Callable[[], object]) -> float:
    began = perf_counter()
    act()
    took = perf_counter() - began
    console.print(f"{what}: {took:,.1f} s")
    return took


def _wal(outbox: Outbox) -> int:
    with outbox.connect() as connection:
        return growth.wal_of(connection)


def _show(found: Sequence[History], console: Console) -> None:
    table = Table("", *(f"{each.rows:,} in {each.partitions or 'one table'}" for each in found))

    def row(name: str, shown: Callable[[History], str]) -> None:
        table.add_row(name, *map(shown, found))

    for name in found[0].sizes:
        row(f"{name}, GB", lambda each, name=name: f"{each.sizes[name] / 1e9:,.1f}")
    row("claim of 20, by one without history", lambda each: f"{each.claim_20_ms / each.claim_20_ms_small:.2f}")
    row("claim of 500, likewise", lambda each: f"{each.claim_500_ms / each.claim_500_ms_small:.2f}")
    row("drain, notifications/s", lambda each: report.shown(each.drain))
    row("accept, requests/s", lambda each: report.shown(each.accept))
    row("... p99, ms", lambda each: report.shown(each.accept_p99))
    row("purge of a day, notifications/s", lambda each: f"{each.purged / each.purge:,.0f}")
    row("... WAL each, bytes", lambda each: f"{each.purge_wal / max(1, each.purged):,.0f}")
    row("vacuum after it, s", lambda each: f"{sum(each.vacuum.values()):,.1f}")
    row("... with all indexes, s", lambda each: f"{sum(each.vacuum_indexes.values()):,.1f}")
    row("drop of a range, s", lambda each: "" if each.dropped is None else f"{each.dropped:,.2f}")
    row("... p99 of accepts meanwhile, ms", lambda each: "" if each.drop_p99 is None else f"{each.drop_p99:,.0f}")
    row("pg_dump, s", lambda each: f"{each.dump:,.0f}")
    row("pg_basebackup, s", lambda each: f"{each.base_backup:,.0f}")
    console.print(table)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
