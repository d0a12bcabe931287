"""The tables that grow, in ranges of time: what a partitioned history would look like, to be measured.

Ids of version 7 begin with the millisecond of the accept, so that a range of ids is a stretch of time, and the primary
keys, each of which has the id in it, need not change.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import psycopg
from psycopg import sql

Connection = psycopg.Connection[tuple[object, ...]]

# Table → the column that says of which notification a row is.
GROWING: Final = {"notification": "id", "attempt": "notification_id", "listing": "id", "label": "id"}
# Storage parameters belong to partitions, not to the table that they are of.
STORAGE: Final = {
    "notification": "fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0"
}


@dataclass(frozen=True, slots=True)
class Range:
    """One partition of each table: what was accepted from `begins` (aware) to before `ends`."""

    number: int
    begins: datetime
    ends: datetime

    def table(self, name: str) -> str:
        return f"{name}_{self.number}"


def first_id(moment: datetime) -> UUID:
    """No id of version 7 that was made since is less."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)


def partition(connection: Connection, ranges: Sequence[Range]) -> None:
    """Make the empty tables anew, with a partition for each range; what is outside of all is refused."""
    for table, column in GROWING.items():
        with connection.transaction():
            for statement in _statements(table, column, ranges):
                connection.execute(statement)


def _statements(table: str, column: str, ranges: Sequence[Range]) -> Iterator[sql.Composed]:
    whole, before = sql.Identifier(table), sql.Identifier(f"{table}_before")
    yield sql.SQL("ALTER TABLE {} RENAME TO {}").format(whole, before)
    yield sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL) PARTITION BY RANGE ({})").format(
        whole, before, sql.Identifier(column)
    )
    yield sql.SQL("DROP TABLE {}").format(before)
    for each in ranges:
        part = sql.Identifier(each.table(table))
        yield sql.SQL("CREATE TABLE {} PARTITION OF {} FOR VALUES FROM ({}) TO ({})").format(
            part, whole, str(first_id(each.begins)), str(first_id(each.ends))
        )
        if table in STORAGE:
            yield sql.SQL(f"ALTER TABLE {{}} SET ({STORAGE[table]})").format(part)


def drop(connection: Connection, gone: Range) -> None:
    """Delete all of one range: first out of sight, which waits for whoever reads the whole and makes none wait long."""
    for table in GROWING:
        whole, part = sql.Identifier(table), sql.Identifier(gone.table(table))
        connection.execute(sql.SQL("ALTER TABLE {} DETACH PARTITION {} CONCURRENTLY").format(whole, part))
        connection.execute(sql.SQL("DROP TABLE {}").format(part))
